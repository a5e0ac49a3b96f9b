// Who has which node number, written down as the store gives and takes it: what is promised about leases is checked against this, not against what nodes
// believe. Not here: the leases themselves (src/store/memory-nodes.ts).

import type { Ledger } from './ledger.ts'
import type { World } from './world.ts'

interface Lease {
  readonly epoch: number
  /** number of the process that took it */
  readonly process: number
  /** instant of the store's clock; null: given back */
  until: number | null
}

export class LeaseBook {
  readonly #world: World
  readonly #ledger: Ledger
  readonly #leases = new Map<number, Lease>()

  constructor(world: World, ledger: Ledger) {
    this.#world = world
    this.#ledger = ledger
  }

  took(process: number, nodeNo: number, epoch: number, until: number): void {
    const before = this.#leases.get(nodeNo)
    if (before !== undefined && before.until !== null && before.until > this.#world.now)
      this.#ledger.broken(40, null, `process ${process} takes number ${nodeNo}, which process ${before.process} has`)
    if (before !== undefined && before.epoch >= epoch)
      this.#ledger.broken(40, null, `life ${epoch} of number ${nodeNo} follows life ${before.epoch}`)
    if (before !== undefined && before.until !== null) this.#world.count('node number taken over')
    this.#leases.set(nodeNo, { epoch, process, until })
    this.#world.note(null, `process ${process} has number ${nodeNo}, life ${epoch}`)
  }

  renewed(nodeNo: number, epoch: number, until: number): void {
    const lease = this.#leases.get(nodeNo)
    if (lease?.epoch !== epoch) this.#ledger.broken(40, null, `a lost lease of number ${nodeNo} is renewed`)
    else lease.until = until
  }

  released(nodeNo: number, epoch: number): void {
    const lease = this.#leases.get(nodeNo)
    if (lease?.epoch === epoch) lease.until = null
  }

  /** The number is this life's, whether or not its lease has lapsed. */
  isOf(nodeNo: number, epoch: number): boolean {
    const lease = this.#leases.get(nodeNo)
    return lease?.epoch === epoch && lease.until !== null
  }

  /** By the store's clock nobody else may take the number. */
  isGood(nodeNo: number, epoch: number): boolean {
    const lease = this.#leases.get(nodeNo)
    return lease?.epoch === epoch && lease.until !== null && lease.until > this.#world.now
  }

  /** Numbers that nobody may take now. */
  alive(): ReadonlySet<number> {
    const { now } = this.#world
    return new Set([...this.#leases].filter(([, { until }]) => until !== null && until > now).map(([node]) => node))
  }

  /** The number's lease was given back, or lapsed more than so long ago. */
  isFree(nodeNo: number, forMs: number): boolean {
    const until = this.#leases.get(nodeNo)?.until ?? null
    return until === null || until + forMs < this.#world.now
  }
}
