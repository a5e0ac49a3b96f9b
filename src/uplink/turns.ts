// Whose turn it is: requests of all devices together get a few ms of each turn of the loop, so that sockets, timers and commits have the others. Not here:
// in which order the requests of one device are done (its connection or session), how long one step of a request takes (limits.ts bounds what is in it).

import type { Clock } from '../clock.ts'
import { TURN_MAX_MS } from '../core/limits.ts'

export interface TurnsOptions {
  readonly clock: Pick<Clock, 'now'>
  /** Runs in the next turn of the loop: setImmediate. */
  readonly defer: (run: () => void) => void
}

/**
 * Reads that are answered at once, as those of the embedded store are, give the loop no turn by themselves: whoever asks often, or for much, would
 * hold it for seconds. So requests ask here before they begin, and between their items: `while (turns.isOver()) await turns.ended`.
 */
export class Turns {
  readonly #options: TurnsOptions
  /** until when requests may be done in this turn; null: none was in it yet */
  #until: number | null = null
  #ended: Promise<void> = Promise.resolve()

  constructor(options: TurnsOptions) {
    this.#options = options
  }

  /** Whether requests have had their share of this turn of the loop. */
  isOver(): boolean {
    const now = this.#options.clock.now()
    if (this.#until === null) {
      this.#until = now + TURN_MAX_MS
      this.#ended = new Promise(resolve =>
        this.#options.defer(() => {
          this.#until = null
          resolve()
        }),
      )
    }
    return now >= this.#until
  }

  /** Resolves when this turn has ended. Who waits then asks again whether the next one is over, since others may have been first. */
  get ended(): Promise<void> {
    return this.#ended
  }
}
