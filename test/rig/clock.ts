// A clock that tests move: time stands still until it is told to go on, and timers run when it passes them.

import type { Clock, Timers } from '../../src/clock.ts'

export class ManualClock implements Clock, Timers {
  #now: number
  #timers: { at: number; run: () => void }[] = []

  constructor(now = 1_800_000_000_000) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#now
  }

  at(instant: number, run: () => void): () => void {
    const timer = { at: instant, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter(other => other !== timer)
    }
  }

  /** Moves on by `ms`, running what is due on the way in order, and lets what that started come to rest after each. */
  async advance(ms: number, rest: () => Promise<void>): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const [next] = this.#timers.filter(timer => timer.at <= end).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#timers = this.#timers.filter(other => other !== next)
      this.#now = Math.max(this.#now, next.at)
      next.run()
      await rest()
    }
    this.#now = end
    await rest()
  }
}
