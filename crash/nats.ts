// A NATS server of the harness's own, where one is installed: signals between nodes go over it, and it is killed and started again like everything else.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const PROGRAM = 'nats-server'
const START_WAIT_MS = 10_000

export const hasNats = (): boolean => spawnSync(PROGRAM, ['--version']).status === 0

export class Nats {
  readonly #port: number
  #process: ChildProcess

  private constructor(port: number) {
    this.#port = port
    this.#process = launch(port)
  }

  static async start(): Promise<Nats> {
    const nats = new Nats(await freePort())
    await nats.#listening()
    return nats
  }

  get url(): string {
    return `nats://127.0.0.1:${this.#port}`
  }

  /** kill -9, and after a while a new one on the same port. */
  async restart(downMs: number): Promise<void> {
    await this.stop()
    await sleep(downMs)
    this.#process = launch(this.#port)
    await this.#listening()
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const over = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await over
  }

  async #listening(): Promise<void> {
    const until = performance.now() + START_WAIT_MS
    while (!(await answers(this.#port))) {
      if (this.#process.exitCode !== null || performance.now() > until)
        throw new Error(`${PROGRAM} did not start on port ${this.#port}`)
      await sleep(20)
    }
  }
}

/** In a group of its own: an interrupt at the terminal is for the harness. */
const launch = (port: number): ChildProcess =>
  spawn(PROGRAM, ['-a', '127.0.0.1', '-p', String(port)], { detached: true, stdio: 'ignore' })

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  listener.close()
  await once(listener, 'close')
  return port
}

function answers(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
