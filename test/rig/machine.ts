// A machine whose clocks and timers a test moves, and whose requests to a store take as long as the test says.

import type { Machine } from '../../src/clock.ts'

export class ManualMachine implements Machine {
  #mono: number
  #wall: number
  #timers: { readonly at: number; readonly run: () => void }[] = []

  constructor(mono = 1_000, wall = 1_700_000_000_000) {
    this.#mono = mono
    this.#wall = wall
  }

  mono(): number {
    return this.#mono
  }

  wall(): number {
    return this.#wall
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#mono + ms, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter(other => other !== timer)
    }
  }

  /** Time passes, and nothing runs: the process is paused, or the machine asleep (then its monotonic clock may stand still). */
  pass(ms: number, asleep = false): void {
    if (!asleep) this.#mono += ms
    this.#wall += ms
  }

  setWall(wall: number): void {
    this.#wall = wall
  }

  /** Time passes, and timers run as it comes to them, in order; what each started comes to rest before the next. */
  async run(ms: number): Promise<void> {
    const end = this.#mono + ms
    const rest = async () => {
      for (let i = 0; i < 4; i += 1) await new Promise(resolve => setImmediate(resolve))
    }
    await rest()
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#timers = this.#timers.filter(timer => timer !== next)
      this.pass(Math.max(0, next.at - this.#mono))
      next.run()
      await rest()
    }
    this.pass(Math.max(0, end - this.#mono))
  }
}
