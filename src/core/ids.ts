// Where command ids come from: one generator per node that never goes backwards. Pure but for its own memory; the clock is an argument.

import { idMs, makeId } from './command.ts'
import { assert } from './errors.ts'
import { ID_AHEAD_MAX_MS, IDS_PER_MS, NODE_MAX } from './limits.ts'

/**
 * Ids of one node. `next` gives an id larger than every id it gave before and larger than `floor`, the device's last one,
 * which may come from a node with a larger number or a faster clock. Null: it would have to run more than 5 s ahead of the clock.
 */
export class Ids {
  #ms = 0
  #sequence = 0

  constructor(
    readonly node: number,
    /** high-water mark read back from the store at start; null on a new one */
    highWater: string | null,
  ) {
    assert(node >= 0 && node <= NODE_MAX, 'a node number has ten bits')
    if (highWater !== null) {
      this.#ms = idMs(highWater)
      this.#sequence = IDS_PER_MS - 1
    }
  }

  next(now: number, floor: string | null): string | null {
    let ms = Math.max(now, this.#ms)
    let sequence = ms === this.#ms ? this.#sequence + 1 : 0
    if (sequence >= IDS_PER_MS) {
      ms += 1
      sequence = 0
    }
    if (floor !== null && makeId(ms, this.node, sequence) <= floor) {
      ms = idMs(floor) + 1
      sequence = 0
    }
    if (ms - now > ID_AHEAD_MAX_MS) return null
    this.#ms = ms
    this.#sequence = sequence
    return makeId(ms, this.node, sequence)
  }
}
