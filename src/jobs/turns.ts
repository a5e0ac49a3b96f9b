// Whose turn it is at a job or a cancellation: one at a time in this process, first come, first served; and one process at a time, by a turn in the store.
// What is done in a turn is guarded step by step all the same, because a process that was paused may come back when its turn is over.

import type { Clock, Timers } from '../clock.ts'
import { JOB_TURN_AGAIN_MS, JOB_TURN_MS, JOB_TURN_RENEW_MS } from '../core/limits.ts'
import type { Log } from '../log.ts'
import type { Webhooks } from '../store/stream.ts'

/** To be asked before each step: takes the turn anew where some of it has passed. False: it is somebody else's by now. */
export type Keep = () => Promise<boolean>

export interface TurnOptions {
  readonly store: Pick<Webhooks, 'takeTurn' | 'endTurn'>
  readonly clock: Clock & Timers
  readonly log: Log
  /** this process, or this life of it where several share the store */
  readonly holder: string
}

export class Turns {
  readonly #options: TurnOptions
  /** the last of those who have or want a turn here */
  readonly #tails = new Map<string, Promise<void>>()

  constructor(options: TurnOptions) {
    this.#options = options
  }

  /**
   * Does the work when it is its turn. `waitMs`: how long it waits for another process to end its own; for those in this process it waits as long as they
   * take. 0: it waits for nobody. Null: it is not done, because it was not its turn.
   */
  async hold<T>(name: string, waitMs: number, work: (keep: Keep) => Promise<T>): Promise<{ readonly done: T } | null> {
    const before = this.#tails.get(name)
    if (before !== undefined && waitMs === 0) return null
    let release = (): void => undefined
    const own = new Promise<void>(resolve => {
      release = resolve
    })
    this.#tails.set(name, own)
    await before
    try {
      if (!(await this.#take(name, waitMs))) return null
      try {
        return { done: await work(this.#keeper(name)) }
      } finally {
        await this.#end(name)
      }
    } finally {
      release()
      if (this.#tails.get(name) === own) this.#tails.delete(name)
    }
  }

  async #take(name: string, waitMs: number): Promise<boolean> {
    const { store, clock, holder } = this.#options
    const until = clock.now() + waitMs
    while (!(await store.takeTurn(name, holder, JOB_TURN_MS))) {
      const next = clock.now() + JOB_TURN_AGAIN_MS
      if (next > until) return false
      await new Promise<void>(resolve => clock.at(next, resolve))
    }
    return true
  }

  /** What was done is done, also where this fails: then the turn ends by itself. */
  async #end(name: string): Promise<void> {
    const { store, holder, log } = this.#options
    try {
      await store.endTurn(name, holder)
    } catch (error) {
      log.warn({ err: error, name }, 'a turn could not be given back')
    }
  }

  #keeper(name: string): Keep {
    const { store, clock, holder } = this.#options
    let takenAt = clock.now()
    return async () => {
      if (clock.now() - takenAt < JOB_TURN_RENEW_MS) return true
      takenAt = clock.now()
      return store.takeTurn(name, holder, JOB_TURN_MS)
    }
  }
}
