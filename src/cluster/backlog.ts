// What is still to be told, by node: each device and each command once, however often it comes up, and never more than a bound of them.
// Not here: when it is told, and what carries it.

import type { GatewayNotice, Tidings } from './signal.ts'

interface Heap {
  readonly look: Set<number>
  /** devices by the commands */
  readonly settled: Map<string, number>
  /** in their order: disabled and enabled again is another thing than the other way round */
  readonly notices: GatewayNotice[]
}

const newHeap = (): Heap => ({ look: new Set(), settled: new Map(), notices: [] })

export class Backlog {
  readonly #max: number
  readonly #heaps = new Map<number, Heap>()
  #size = 0

  /** max: devices and commands together, for all nodes */
  constructor(max: number) {
    this.#max = max
  }

  /** devices and commands */
  get size(): number {
    return this.#size
  }

  /** Returns how many devices and commands found no room. */
  add(node: number, { look, settled, notices = [] }: Tidings): number {
    const heap = this.#heaps.get(node) ?? newHeap()
    let without = 0
    for (const deviceId of look) {
      if (heap.look.has(deviceId)) continue
      if (this.#takeRoom()) heap.look.add(deviceId)
      else without += 1
    }
    for (const { deviceId, commandId } of settled) {
      if (heap.settled.has(commandId)) continue
      if (this.#takeRoom()) heap.settled.set(commandId, deviceId)
      else without += 1
    }
    for (const notice of notices) {
      if (this.#takeRoom()) heap.notices.push(notice)
      else without += 1
    }
    if (heap.look.size + heap.settled.size + heap.notices.length > 0) this.#heaps.set(node, heap)
    return without
  }

  /** All of it, by nodes. */
  *entries(): Iterable<readonly [node: number, tidings: Tidings]> {
    for (const [node, { look, settled, notices }] of this.#heaps) {
      const tidings = {
        look: [...look],
        settled: [...settled].map(([commandId, deviceId]) => ({ deviceId, commandId })),
      }
      yield [node, notices.length === 0 ? tidings : { ...tidings, notices }]
    }
  }

  #takeRoom(): boolean {
    if (this.#size >= this.#max) return false
    this.#size += 1
    return true
  }
}
