// Other people's servers as processes of the bench: started on a port that is free, waited for until they listen, ended with it.
// Not here: with which settings (contenders/).

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export interface Program {
  readonly pid: number
  /** SIGTERM, and SIGKILL where that is not enough; resolves when it is gone */
  stop(): Promise<void>
}

const START_WAIT_MS = 20_000
const STOP_WAIT_MS = 10_000
const WORDS_MAX_CHARS = 4_000

/** Starts the program and resolves when its port takes connections. Throws with what it said where it ends before. */
export async function startProgram(command: string, args: readonly string[], port: number): Promise<Program> {
  const { program, words, hasEnded } = launch(command, args, {})
  for (const beganAt = performance.now(); !(await listens(port)); await sleep(20)) {
    if (hasEnded()) throw new Error(`${command} ended before it listened: ${words()}`)
    if (performance.now() - beganAt > START_WAIT_MS)
      throw new Error(`${command} does not listen on ${port}: ${words()}`)
  }
  return program
}

/** Starts a program of ours, which says `listening NAME URL` when it does; the URL. */
export async function startScript(args: readonly string[]): Promise<Program & { readonly url: URL }> {
  const { program, words, child } = launch(process.execPath, args, { NODE_ENV: 'production' })
  for await (const line of createInterface(child.stdout!)) {
    const [, url] = /^listening \S+ (\S+)$/.exec(line) ?? []
    if (url !== undefined) return { ...program, url: new URL(url) }
  }
  throw new Error(`${args.join(' ')} ended before it listened: ${words()}`)
}

/** Something that runs. */
interface Stoppable {
  stop(): Promise<void>
}

/**
 * Starts what belongs together: each is added as soon as it runs. What is returned ends all of them, the last first; where one does not start, those before it
 * are ended.
 */
export async function startTogether<T>(
  start: (add: <S extends Stoppable>(one: S) => S) => Promise<T>,
): Promise<T & Stoppable> {
  const running: Stoppable[] = []
  const stop = async (): Promise<void> => {
    for (const one of running.splice(0).reverse()) await one.stop()
  }
  const add = <S extends Stoppable>(one: S): S => {
    running.push(one)
    return one
  }
  try {
    return { ...(await start(add)), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function launch(command: string, args: readonly string[], env: Readonly<Record<string, string>>) {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', ...env },
  })
  running.add(child)
  let said = ''
  const hear = (words: string): void => {
    said = (said + words).slice(-WORDS_MAX_CHARS)
  }
  child.stderr.setEncoding('utf8').on('data', hear)
  child.stdout.setEncoding('utf8').on('data', hear)
  child.on('error', error => hear(error.message))
  let isOver = false
  const ended = once(child, 'close').finally(() => {
    isOver = true
    running.delete(child)
  })
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_WAIT_MS)
    await ended
    clearTimeout(late)
  }
  return { program: { pid: child.pid ?? -1, stop }, child, words: () => said, hasEnded: () => isOver }
}

function listens(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

/** A port of the loopback that nobody had a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** What the program says of itself, its first line; null: it is not installed. */
export async function saidBy(command: string, ...args: readonly string[]): Promise<string | null> {
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args)
    return (stdout || stderr).split('\n')[0]!.trim()
  } catch (error) {
    // Some say it and end with an error all the same.
    const { code, stdout } = error as { readonly code?: number | string; readonly stdout?: string }
    if (code === 'ENOENT') return null
    if (stdout) return stdout.split('\n')[0]!.trim()
    throw error
  }
}
