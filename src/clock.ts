// The process's clock and timers, as the engine and the MQTT endpoint take them. Not here: any rule about time.

import { NODE_ROUND_TRIP_MAX_MS, NODE_SLEW } from './core/limits.ts'

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

/** The machine's own clocks, and its timer. */
export interface Machine {
  /** ms since some moment, as fast as time passes, whatever is done to the wall clock, and also while the process is paused */
  mono(): number
  /** epoch ms, as the machine has it */
  wall(): number
  /** Runs once, so many ms from now. Returns what calls it off. */
  after(ms: number, run: () => void): () => void
}

export const machine: Machine = {
  mono: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
}

/** setTimeout takes 31 bits; a later instant is simply looked at again. */
const TIMEOUT_MAX_MS = 2_147_000_000

function runAt(clock: Pick<Clock, 'now'>, on: Machine, instant: number, run: () => void): () => void {
  const wait = (): (() => void) =>
    on.after(Math.min(Math.max(0, instant - clock.now()), TIMEOUT_MAX_MS), () => {
      if (instant > clock.now()) cancel = wait()
      else run()
    })
  let cancel = wait()
  return () => cancel()
}

/**
 * The wall clock that never runs backwards, nor starts before `floor`, the clock of the last durable commit. Where the wall clock was set back it
 * goes on from where it was, as fast as time passes, so that timeouts and expiries keep their length.
 */
export class SystemClock implements Clock, Timers {
  #last: number
  #readAt = machine.mono()

  constructor(floor = 0) {
    this.#last = floor
  }

  now(): number {
    const readAt = machine.mono()
    this.#last = Math.max(this.#last + (readAt - this.#readAt), machine.wall())
    this.#readAt = readAt
    return Math.floor(this.#last)
  }

  wall(): number {
    return machine.wall()
  }

  at(instant: number, run: () => void): () => void {
    return runAt(this, machine, instant, run)
  }
}

/** A look at the store's clock: what it said, and when it was asked and answered by the monotonic clock. */
export interface StoreTime {
  readonly storeNow: number
  readonly askedAt: number
  readonly answeredAt: number
}

/**
 * The clock of a node among others: the monotonic clock and an offset to the store's time, which all nodes share. It never runs backwards, nor starts
 * before `floor`. Where it turns out to be ahead it goes a little slower until time has caught up, so that timeouts hardly change; where it is behind, it
 * leaps. A look that took longer than NODE_ROUND_TRIP_MAX_MS is not gone by, so two nodes differ by that much at most, once each has had a good one.
 */
export class NodeClock implements Clock, Timers {
  readonly #machine: Machine
  /** epoch ms of the store less the monotonic clock */
  #offset: number
  #last: number
  #readAt: number

  constructor(machine: Machine, first: StoreTime, floor: number) {
    this.#machine = machine
    this.#offset = offsetOf(first)
    this.#readAt = machine.mono()
    this.#last = Math.max(floor, this.#readAt + this.#offset)
  }

  /** Goes by this look from now on; false where it took too long to say anything. */
  steer(time: StoreTime): boolean {
    if (time.answeredAt - time.askedAt > NODE_ROUND_TRIP_MAX_MS) return false
    // What passed until now passed by the old offset.
    this.now()
    this.#offset = offsetOf(time)
    return true
  }

  now(): number {
    const readAt = this.#machine.mono()
    const passed = readAt - this.#readAt
    this.#readAt = readAt
    this.#last = Math.max(readAt + this.#offset, this.#last + passed * (1 - NODE_SLEW))
    return Math.floor(this.#last)
  }

  wall(): number {
    return Math.floor(this.#machine.mono() + this.#offset)
  }

  at(instant: number, run: () => void): () => void {
    return runAt(this, this.#machine, instant, run)
  }
}

/** The store said it at some moment between the two: half-way is wrong by half the round trip at most. */
const offsetOf = ({ storeNow, askedAt, answeredAt }: StoreTime): number => storeNow - (askedAt + answeredAt) / 2
