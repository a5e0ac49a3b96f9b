// Warnings that may come in floods: a few a second are logged, the others counted. Not here: what is warned of.

import type { Clock } from '../clock.ts'
import { REFUSALS_LOGGED_PER_S } from '../core/limits.ts'
import type { Log } from '../log.ts'

/** Whoever fails often comes again at once: a few warnings a second tell as much as all of them, and each says how many before it were left out. */
export class Sparing {
  readonly #clock: Clock
  readonly #log: Pick<Log, 'warn'>
  #second = 0
  #logged = 0
  #leftOut = 0

  constructor(clock: Clock, log: Pick<Log, 'warn'>) {
    this.#clock = clock
    this.#log = log
  }

  warn(fields: object, message: string): void {
    const second = Math.floor(this.#clock.now() / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#logged = 0
    }
    if (this.#logged >= REFUSALS_LOGGED_PER_S) {
      this.#leftOut += 1
      return
    }
    this.#log.warn({ ...fields, leftOut: this.#leftOut }, message)
    this.#logged += 1
    this.#leftOut = 0
  }
}
