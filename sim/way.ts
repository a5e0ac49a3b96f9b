// The way from one process to the store that it shares with others: it may be cut, it takes longer in one direction than in the other, and while the
// process stands still nothing comes back. What the store says of leases is written down here. Not here: the calls themselves (gate.ts).

import { NODE_LEASE_MS, NODE_ROUND_TRIP_MAX_MS, POSTGRES_RETRY_MS } from '../src/core/limits.ts'
import { CommitUnknown, type NodeLease, StoreUnavailable } from '../src/store/nodes.ts'
import type { Direction, StoreOp, Way } from './gate.ts'
import { never } from './gate.ts'
import type { Host } from './host.ts'

/** ms that a call that keeps leases takes now and then, too long for what it says of the time to be of use */
const LEASE_SLOW_MAX_MS = 3_000
const LEASE_SLOW = 0.03
const LEASE_SLOW_AFTER_SLEEP = 0.3
const LEASE_QUICK = 0.4
/** ms for rounding */
const SLACK_MS = 20

/** what the store's unavailability says, by which it is known again where only that is told */
export const CUT_OFF = 'injected: cut off'

/** Who was alive by the store, in this step, and no earlier than at this instant. */
export interface Look {
  readonly step: number
  readonly at: number
  readonly alive: ReadonlySet<number>
  /** it has just come back from an outage, and gives the others the time to come back too */
  readonly isPatient: boolean
}

export class StoreWay implements Way {
  readonly #host: Host
  readonly #process: { readonly alive: boolean; readonly number: number }
  /** the process's own, once it has one */
  lease: NodeLease | null = null
  /** when the store last renewed its lease: who is alive it asks after that */
  #renewedAt = 0
  /** as the process last learned it */
  look: Look = { step: 0, at: 0, alive: new Set(), isPatient: true }
  /** ms that the machine was awake when it last asked for a renewal that it got; and until when it then gave others time, after an outage */
  #askedAwakeMs = 0
  #patientAwakeMs = 0

  constructor(host: Host, process: { readonly alive: boolean; readonly number: number }) {
    this.#host = host
    this.#process = process
  }

  get #world(): Host['world'] {
    return this.#host.world
  }

  #until(instant: number): Promise<void> {
    return new Promise(resolve => this.#world.at(instant, 'net', resolve))
  }

  /** A driver tries for a while, and then gives up: nothing was done. */
  async there(): Promise<void> {
    if (this.#host.isCut) await this.#patiently()
  }

  async #patiently(): Promise<void> {
    const { random, now } = this.#world
    const givesUpAt = now + random.int(50, POSTGRES_RETRY_MS)
    while (this.#host.isCut && this.#world.now < givesUpAt) await this.#until(Math.min(givesUpAt, this.#host.cutUntil))
    await this.#goesOn()
    if (!this.#host.isCut) return
    this.#world.count('fault store cannot be reached')
    this.#host.troubled()
    throw new StoreUnavailable(CUT_OFF)
  }

  async back(op: StoreOp): Promise<void> {
    if (this.#host.isCut && op === 'commit') await this.#inDoubt()
    else if (this.#host.isCut) await this.#patiently()
    await this.#goesOn()
    if (!this.#process.alive) return never()
  }

  /** Done, and nobody here knows until the store can be asked again. */
  async #inDoubt(): Promise<void> {
    this.#world.count('fault commit in doubt')
    while (this.#host.isCut) await this.#until(this.#host.cutUntil)
    this.#host.troubled()
    if (this.lease === null || this.#host.site.leases.isOf(this.lease.nodeNo, this.lease.epoch)) return
    this.#world.count('fault commit whose end cannot be learned')
    throw new CommitUnknown('injected: the answer was lost, and the number has gone over to another life')
  }

  async #goesOn(): Promise<void> {
    while (this.#world.now < this.#host.goesOnAt)
      await new Promise<void>(resolve => this.#world.after(0, 'net', resolve, this.#host))
  }

  leaseMs(direction: Direction): number {
    const { random, calm } = this.#world
    const { isSteady, [direction]: mostMs } = this.#host.route
    if (calm) return 0
    // Whatever comes back after a sleep comes back slowly.
    const slow = this.#host.isOnTime ? LEASE_SLOW : LEASE_SLOW_AFTER_SLEEP
    if (random.chance(slow)) return random.int(1, LEASE_SLOW_MAX_MS)
    if (isSteady) return mostMs
    return random.chance(LEASE_QUICK) ? 0 : random.int(0, mostMs)
  }

  onTaken(lease: NodeLease, until: number): void {
    this.lease = lease
    this.#host.site.ledger.started(this.#process.number)
    this.#host.site.leases.took(this.#process.number, lease.nodeNo, lease.epoch, until)
  }

  onRenewed({ nodeNo, epoch }: NodeLease, until: number): void {
    this.#renewedAt = this.#world.now
    this.#host.site.leases.renewed(nodeNo, epoch, until)
  }

  onReleased({ nodeNo, epoch }: NodeLease): void {
    this.#host.site.leases.released(nodeNo, epoch)
  }

  onAsked(): () => void {
    const [asked, askedAwakeMs] = [this.#world.now, this.#host.awakeMs]
    return () => {
      // What kept it from the store may have kept others from it.
      const { awakeMs } = this.#host
      if (awakeMs - this.#askedAwakeMs > NODE_LEASE_MS - SLACK_MS)
        this.#patientAwakeMs = awakeMs + NODE_LEASE_MS + SLACK_MS
      this.#askedAwakeMs = askedAwakeMs
      if (this.#world.now - asked <= NODE_ROUND_TRIP_MAX_MS) this.#host.knowsTheTime(asked)
      else this.#world.count('fault look at the store’s clock that took too long')
    }
  }

  onLive(): () => void {
    const isPatient = this.#host.awakeMs <= this.#patientAwakeMs
    const look = { step: this.#world.steps, at: this.#renewedAt, isPatient, alive: this.#host.site.leases.alive() }
    return () => {
      this.look = look
    }
  }

  onWritten(): void {
    if (this.lease === null || this.#host.site.leases.isOf(this.lease.nodeNo, this.lease.epoch)) return
    this.#host.site.ledger.broken(40, null, `process ${this.#process.number} writes, and has lost its number`)
  }
}
