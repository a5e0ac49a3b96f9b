// One node of the cluster: a process that is started anew whenever it ends, as a supervisor does, and how each of its lives may end.
// Not here: who strikes it, and when (strikes.ts).

import type { Cable } from './cable.ts'
import type { Ended, Server } from './place.ts'
import { NotStarted } from './place.ts'

/** ms in which SIGTERM ends it */
export const STOP_WAIT_MS = 10_000
/** What it says when its number has gone over to another life, and it ends by itself. */
const LOST = /has lost its lease/

/** How a life ended: it was killed; SIGTERM ended it; its number was gone; it could not start; or nobody knows why. */
export type End = 'killed' | 'stopped' | 'lost' | 'not started' | 'by itself'

export interface NodeHooks {
  launch(node: ClusterNode): Server
  /** it listens */
  up(node: ClusterNode, server: Server): void
  over(node: ClusterNode, server: Server, end: End, ended: Ended): void
  /** Resolves when the next life may begin. */
  rest(): Promise<void>
}

export class ClusterNode {
  readonly name: string
  readonly cable: Cable
  readonly #hooks: NodeHooks
  #server: Server | null = null
  #isUp = false
  #isClosing = false
  #wanted: 'killed' | 'stopped' | null = null
  #waiting: (() => void)[] = []
  #supervising: Promise<void> = Promise.resolve()

  constructor(name: string, cable: Cable, hooks: NodeHooks) {
    this.name = name
    this.cable = cable
    this.#hooks = hooks
  }

  get isUp(): boolean {
    return this.#isUp
  }

  begin(): void {
    this.#supervising = this.#supervise()
  }

  /** Resolves when it listens, in this life or the next. */
  up(): Promise<void> {
    return this.#isUp ? Promise.resolve() : new Promise(resolve => this.#waiting.push(resolve))
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#wanted = 'killed'
    await this.#server?.kill()
  }

  /** SIGTERM; its exit code, and how long it took. */
  async stop(): Promise<{ readonly code: number | null; readonly ms: number }> {
    this.#wanted ??= 'stopped'
    const from = performance.now()
    const code = (await this.#server?.stop()) ?? null
    return { code, ms: performance.now() - from }
  }

  /** SIGSTOP; returns what lets it go on. */
  pause(): () => void {
    const server = this.#server
    server?.pause(true)
    return () => server?.pause(false)
  }

  /** Its last life is over when this resolves. */
  async close(): Promise<void> {
    this.#isClosing = true
    await this.kill()
    await this.#supervising
  }

  async #supervise(): Promise<void> {
    while (!this.#isClosing) {
      const server = this.#hooks.launch(this)
      this.#server = server
      this.#wanted = null
      const isListening = await listens(server)
      if (isListening) this.#comes(server)
      const ended = await server.ended
      this.#isUp = false
      this.#server = null
      this.#hooks.over(this, server, this.#wanted ?? endOf(ended, isListening), ended)
      if (!this.#isClosing) await this.#hooks.rest()
    }
  }

  #comes(server: Server): void {
    this.#isUp = true
    this.#hooks.up(this, server)
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

async function listens(server: Server): Promise<boolean> {
  try {
    await server.listening
    return true
  } catch (error) {
    if (error instanceof NotStarted) return false
    throw error
  }
}

function endOf({ stderr }: Ended, wasListening: boolean): End {
  if (LOST.test(stderr)) return 'lost'
  return wasListening ? 'by itself' : 'not started'
}
