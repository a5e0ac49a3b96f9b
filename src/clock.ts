// The process's clock and timers, as the engine and the MQTT endpoint take them. Not here: any rule about time.

export interface Clock {
  /** epoch ms, never less than at an earlier call: what all rules about commands go by */
  now(): number
  /** epoch ms as the machine's clock has it, which may step either way: for comparing with the clocks of others */
  wall(): number
}

export interface Timers {
  /** Runs once at the instant (epoch ms) or as soon after it as may be. Returns what calls it off. */
  at(instant: number, run: () => void): () => void
}

/** setTimeout takes 31 bits; a later instant is simply looked at again. */
const TIMEOUT_MAX_MS = 2_147_000_000

/**
 * The wall clock that never runs backwards, nor starts before `floor`, the clock of the last durable commit. Where the wall clock was set back it
 * goes on from where it was, as fast as time passes, so that timeouts and expiries keep their length.
 */
export class SystemClock implements Clock, Timers {
  #last: number
  #readAt = performance.now()

  constructor(floor = 0) {
    this.#last = floor
  }

  now(): number {
    const readAt = performance.now()
    this.#last = Math.max(this.#last + (readAt - this.#readAt), Date.now())
    this.#readAt = readAt
    return Math.floor(this.#last)
  }

  wall(): number {
    return Date.now()
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
