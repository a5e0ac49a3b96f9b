// The emulator's clock: time passes as it does elsewhere, and can be made to leap, so that 48 hours are over in a moment. What is due on the way happens
// on the way, in order. Not here: who may move it (routes.ts), what happens at an instant (the engine, and whoever else has a timer).

import type { Clock, Machine, Timers } from '../clock.ts'
import { assert } from '../core/errors.ts'
import { EMULATOR_LEAP_STEPS_MAX } from '../core/limits.ts'

interface Timer {
  readonly instant: number
  readonly run: () => void
}

/** What a leap has to know of the world. */
export interface Surroundings {
  /** the next instant (epoch ms) at which something happens that must happen at that instant; null: none */
  next(): Promise<number | null>
  /** Resolves when what an instant has started has come to its end. */
  rest(): Promise<void>
}

export class VirtualClock implements Clock, Timers {
  readonly #machine: Machine
  /** epoch ms of this clock less the monotonic one */
  #offset: number
  readonly #timers = new Set<Timer>()
  #disarm: () => void = () => undefined
  #leaping = false

  constructor(machine: Machine) {
    this.#machine = machine
    this.#offset = machine.wall() - machine.mono()
  }

  now(): number {
    return Math.floor(this.#machine.mono() + this.#offset)
  }

  /** Everything goes by this one clock: callers sign with it, or with no clock at all. */
  wall(): number {
    return this.now()
  }

  at(instant: number, run: () => void): () => void {
    const timer = { instant, run }
    this.#timers.add(timer)
    this.#arm()
    return () => {
      this.#timers.delete(timer)
    }
  }

  /**
   * Makes so many ms pass. Each instant that the surroundings name is met, and what it starts comes to rest before time goes on. Other timers run on the way
   * too, but not one by one where there are many: they may be late by ms / EMULATOR_LEAP_STEPS_MAX. One leap at a time; a second one is a Bug.
   */
  async leap(ms: number, surroundings: Surroundings): Promise<void> {
    assert(!this.#leaping, 'one leap at a time')
    this.#leaping = true
    this.#disarm()
    try {
      const end = this.now() + ms
      const apart = Math.max(1, Math.ceil(ms / EMULATOR_LEAP_STEPS_MAX))
      let met = this.now()
      for (;;) {
        const exact = await surroundings.next()
        const other = this.#earliest()
        const steps = [
          ...(exact !== null && exact > met ? [exact] : []),
          ...(other === null ? [] : [Math.max(other, met + apart)]),
        ].filter(instant => instant <= end)
        if (steps.length === 0) break
        met = Math.min(...steps)
        await this.#reach(met, surroundings)
      }
      await this.#reach(end, surroundings)
    } finally {
      this.#leaping = false
      this.#arm()
    }
  }

  async #reach(instant: number, surroundings: Surroundings): Promise<void> {
    this.#offset += Math.max(0, instant - this.now())
    this.#run()
    await surroundings.rest()
  }

  /** What is due runs once, earliest first; what that sets anew waits for the next time. */
  #run(): void {
    const now = this.now()
    const due = [...this.#timers].filter(({ instant }) => instant <= now).sort((a, b) => a.instant - b.instant)
    for (const timer of due) if (this.#timers.delete(timer)) timer.run()
  }

  #earliest(): number | null {
    let earliest: number | null = null
    for (const { instant } of this.#timers) earliest = Math.min(earliest ?? instant, instant)
    return earliest
  }

  /** One timer of the machine for the earliest; while time is made to leap only for what is due already, so that what rests may come to its end. */
  #arm(): void {
    this.#disarm()
    const earliest = this.#earliest()
    if (earliest === null || (this.#leaping && earliest > this.now())) return
    this.#disarm = this.#machine.after(Math.min(Math.max(0, earliest - this.now()), ARM_MAX_MS), () => {
      this.#run()
      this.#arm()
    })
  }
}

/** setTimeout takes 31 bits; a later instant is simply looked at again */
const ARM_MAX_MS = 2_147_000_000
