// The clocks and timers of a machine, as a process on it sees them. Alone, a process goes by the wall clock; among other nodes by the monotonic clock of its
// machine, which has a base and a pace of its own. Not here: what stops a machine or a process (host.ts).

import type { Clock, Machine, Timers } from '../src/clock.ts'
import type { Runner, World } from './world.ts'

/** Whose clocks they are. A timer of a process that is gone does nothing. */
interface Living {
  readonly alive: boolean
}

/** The product's clock: never backwards, not before the last commit, and from there on as fast as time passes where the wall clock is behind. */
export class ProcessClock implements Clock, Timers {
  readonly #world: World
  readonly #process: Living
  readonly #runner: Runner
  readonly #aheadMs: number

  constructor(world: World, process: Living, runner: Runner, floor: number) {
    this.#world = world
    this.#process = process
    this.#runner = runner
    this.#aheadMs = Math.max(floor, world.wall) - world.now
  }

  now(): number {
    return this.#world.now + this.#aheadMs
  }

  wall(): number {
    return this.#world.wall
  }

  at(instant: number, run: () => void): () => void {
    const ifAlive = (): void => {
      if (this.#process.alive) run()
    }
    // Its time has whole milliseconds.
    return this.#world.at(Math.ceil(instant) - this.#aheadMs, 'process', ifAlive, this.#runner)
  }
}

/** A machine whose clocks are its own, as hardware has them. */
export interface Hardware extends Runner {
  /** ms that it has been awake, as it truly passed */
  readonly awakeMs: number
  /** ms of its monotonic clock for each that passes */
  readonly pace: number
  /** ms by which its wall clock is ahead */
  readonly wallAheadMs: number
}

/** The clocks of one process on it. */
export class SimMachine implements Machine {
  readonly #world: World
  readonly #process: Living
  readonly #hardware: Hardware
  readonly #base: number

  constructor(world: World, process: Living, hardware: Hardware, base: number) {
    this.#world = world
    this.#process = process
    this.#hardware = hardware
    this.#base = base
  }

  mono(): number {
    return this.#base + this.#hardware.awakeMs * this.#hardware.pace
  }

  wall(): number {
    return this.#world.now + this.#hardware.wallAheadMs
  }

  after(ms: number, run: () => void): () => void {
    const ifAlive = (): void => {
      if (this.#process.alive) run()
    }
    return this.#world.after(Math.ceil(ms / this.#hardware.pace), 'process', ifAlive, this.#hardware)
  }
}
