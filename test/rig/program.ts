// The program for the tests of the command line: built and as a real process, or in this one. Each test file builds its own, in a folder of its own.

import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { dispatch } from '../../src/cli/dispatch.ts'
import type { Terminal } from '../../src/cli/terminal.ts'

export const root = resolve(import.meta.dirname, '../..')

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export class Program {
  /** the folder that `package.json` and `dist` are in; tests may put files there, it is removed at the end */
  readonly folder = mkdtempSync(join(tmpdir(), 'downlink-cli-'))
  readonly main = join(this.folder, 'dist', 'main.js')
  readonly #running = new Set<Running>()

  constructor() {
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'))
    copyFileSync(join(root, 'package.json'), join(this.folder, 'package.json'))
    execFileSync(process.execPath, ['scripts/build.mjs', join(this.folder, 'dist')], { cwd: root })
  }

  /** Starts it with these arguments and nothing of our environment but `env`. */
  start(args: readonly string[], env: Record<string, string> = {}): Running {
    const running = new Running(this.main, args, this.folder, env)
    this.#running.add(running)
    void running.ended.then(() => this.#running.delete(running))
    return running
  }

  run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
    return this.start(args, env).ended
  }

  async remove(): Promise<void> {
    for (const running of this.#running) running.child.kill('SIGKILL')
    await Promise.all([...this.#running].map(running => running.ended))
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export class Running {
  readonly child: ChildProcessWithoutNullStreams
  readonly ended: Promise<Ended>
  stdout = ''
  stderr = ''
  readonly #looking = new Set<() => boolean>()
  #isOver = false

  constructor(main: string, args: readonly string[], cwd: string, env: Record<string, string>) {
    this.child = spawn(process.execPath, [main, ...args], { cwd, env: { PATH: process.env.PATH ?? '', ...env } })
    this.child.stdout.setEncoding('utf8').on('data', text => {
      this.stdout += text
      this.#look()
    })
    this.child.stderr.setEncoding('utf8').on('data', text => {
      this.stderr += text
      this.#look()
    })
    this.ended = once(this.child, 'close').then(([code]) => {
      this.#isOver = true
      this.#look()
      return { code, stdout: this.stdout, stderr: this.stderr }
    })
  }

  /** The first match of the pattern in what it has printed, as soon as it is there. Rejects if the process ends without it. */
  printed(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = (): boolean => {
        const found = pattern.exec(this.stdout) ?? pattern.exec(this.stderr)
        if (found) resolve(found)
        else if (this.#isOver) reject(new Error(`ended without ${pattern}:\n${this.stdout}\n${this.stderr}`))
        return found !== null || this.#isOver
      }
      if (!look()) this.#looking.add(look)
    })
  }

  #look(): void {
    for (const look of this.#looking) if (look()) this.#looking.delete(look)
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    this.child.kill(signal)
    return this.ended
  }
}

/** A terminal that remembers what was printed. */
export class Screen implements Terminal {
  readonly colour = false
  stdout = ''
  stderr = ''

  line(text: string): void {
    this.stdout += `${text}\n`
  }

  problem(text: string): void {
    this.stderr += `${text}\n`
  }
}

/** Runs a command line in this process, with nothing of our environment but `env`: the same code, for what needs no process of its own. */
export async function runHere(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const screen = new Screen()
  const code = await dispatch(args, env, screen, '0.0.0')
  return { code, stdout: screen.stdout, stderr: screen.stderr }
}
