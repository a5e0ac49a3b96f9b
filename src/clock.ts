// The process's clock and timers, as the engine and the MQTT endpoint take them. Not here: any rule about time.

export interface Clock {
  /** epoch ms, never less than at an earlier call */
  now(): number
}

export interface Timers {
  /** Runs once at the instant (epoch ms) or as soon after it as may be. Returns what calls it off. */
  at(instant: number, run: () => void): () => void
}

/** setTimeout takes 31 bits; a later instant is simply looked at again. */
const TIMEOUT_MAX_MS = 2_147_000_000

/** The wall clock that never runs backwards, nor starts before `floor`, the clock of the last durable commit. */
export class SystemClock implements Clock, Timers {
  #last: number

  constructor(floor = 0) {
    this.#last = floor
  }

  now(): number {
    this.#last = Math.max(this.#last, Date.now())
    return this.#last
  }

  at(instant: number, run: () => void): () => void {
    const waitMs = Math.min(Math.max(0, instant - this.now()), TIMEOUT_MAX_MS)
    const timer = setTimeout(() => {
      if (instant > this.now()) cancel = this.at(instant, run)
      else run()
    }, waitMs)
    let cancel = (): void => clearTimeout(timer)
    return () => cancel()
  }
}
