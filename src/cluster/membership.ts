// One life of a node among others: the number it has on lease, the heartbeat that keeps it, the clock that goes by the store's, and who else is alive.
// Not here: what is done with that (engine.ts), the leases themselves (store/nodes.ts), what carries the signals (notify.ts, nats.ts).

import { type Machine, NodeClock, type StoreTime } from '../clock.ts'
import {
  NODE_CUT_OFF_MS,
  NODE_HEARTBEAT_MS,
  NODE_JOIN_ATTEMPTS,
  NODE_LEASE_MS,
  NODE_MARGIN_MS,
  NODE_MAX,
  NODE_ROUND_TRIP_MAX_MS,
} from '../core/limits.ts'
import type { Others } from '../core/queue.ts'
import type { Log } from '../log.ts'
import type { Nodes, TakenNode } from '../store/nodes.ts'
import type { Cluster, Signals, Tidings } from './signal.ts'

export interface MembershipOptions {
  readonly nodes: Pick<Nodes, 'takeNode' | 'renewNode' | 'releaseNode' | 'liveNodes'>
  readonly signals: Signals
  readonly machine: Machine
  readonly log: Log
  /** Told once: the number has gone over to another life, so this process must end. */
  readonly ended: () => void
  /** Told once in each outage: no heartbeat has succeeded for NODE_CUT_OFF_MS, while other nodes may be well. */
  readonly cutOff: () => void
}

/** There is no number to be had, or the store is too slow to keep time by. The message says what to do. */
export class CannotJoin extends Error {
  override readonly name = 'CannotJoin'
}

export class Membership implements Cluster {
  readonly node: number
  readonly epoch: number
  readonly clock: NodeClock
  /** high-water mark of the ids of this number */
  readonly lastCommandId: string | null
  readonly #options: MembershipOptions
  readonly #lease: TakenNode['lease']
  /** when the last renewal that succeeded was asked for, by both clocks of the machine: a machine that sleeps may stop either */
  #renewed: { readonly mono: number; readonly wall: number }
  /** the same of the last look at the store's clock that was good */
  #told: { readonly mono: number; readonly wall: number }
  #others: Others
  #isCutOff = false
  /** until then those who were alive before count as alive, by the monotonic clock */
  #patientUntil = 0
  #state: 'joining' | 'in' | 'leaving' | 'ended' = 'joining'
  #beat: Promise<void> = Promise.resolve()
  #disarm = (): void => undefined

  private constructor(options: MembershipOptions, taken: TakenNode, asked: { mono: number; wall: number }) {
    this.#options = options
    this.#lease = taken.lease
    this.#renewed = asked
    this.#told = asked
    this.node = taken.lease.nodeNo
    this.epoch = taken.lease.epoch
    this.lastCommandId = taken.lastCommandId
    this.#others = { alive: new Set(), asOf: 0 }
    const answeredAt = options.machine.mono()
    // Of a look that took too long it is certain only that the store's time is no less than what it said: a clock that is behind leaps to the first good look.
    const isGood = answeredAt - asked.mono <= NODE_ROUND_TRIP_MAX_MS
    const askedAt = isGood ? asked.mono : answeredAt
    this.clock = new NodeClock(options.machine, { storeNow: taken.storeNow, askedAt, answeredAt }, taken.clockFloor)
  }

  /**
   * Takes the number wanted, or the lowest free one. One that is wanted and was held a moment ago by a process that was killed is free when its lease has
   * lapsed, so that is waited for. Throws CannotJoin, or what the store rejects with.
   */
  static async join(options: MembershipOptions, wanted: number | null): Promise<Membership> {
    const { machine, nodes, log } = options
    const until = machine.mono() + NODE_LEASE_MS + NODE_MARGIN_MS
    for (;;) {
      const asked = { mono: machine.mono(), wall: machine.wall() }
      const taken = await nodes.takeNode(wanted, NODE_LEASE_MS)
      if (taken !== null) return new Membership(options, taken, asked).#measured()
      if (wanted === null) throw new CannotJoin(`all of the node numbers 0 to ${NODE_MAX} are held by live nodes`)
      if (machine.mono() >= until)
        throw new CannotJoin(`node ${wanted} is held by a live node; leave --node-id out, and a free number is taken`)
      log.info({ node: wanted }, 'the node number is held, waiting for its lease to lapse')
      await new Promise<void>(resolve => machine.after(NODE_HEARTBEAT_MS, resolve))
    }
  }

  /** Has had one good look at the store's clock, and at who else is there. */
  async #measured(): Promise<this> {
    for (let attempt = 0; attempt < NODE_JOIN_ATTEMPTS; attempt += 1) {
      const isGood = await this.#renew()
      if (this.#state === 'ended') throw new CannotJoin(`node ${this.node} was taken by another process; start again`)
      if (isGood) {
        // From now on: what comes before the first device, such as a large fleet file, may take longer than a lease.
        this.#state = 'in'
        this.#arm()
        return this
      }
    }
    await this.#options.nodes.releaseNode(this.#lease)
    throw new CannotJoin(
      `the store took longer than ${NODE_ROUND_TRIP_MAX_MS} ms to say its time, ${NODE_JOIN_ATTEMPTS} times in a row: it is overloaded, or too far away`,
    )
  }

  /** Listens to the others. */
  start(heard: (tidings: Tidings) => void): Promise<void> {
    return this.#options.signals.listen(this.node, heard)
  }

  #arm(): void {
    if (this.#state !== 'in') return
    this.#disarm = this.#options.machine.after(NODE_HEARTBEAT_MS, () => {
      this.#beat = this.#heartbeat().finally(() => this.#arm())
    })
  }

  /** One that fails is made good by the next: three in a row may. */
  async #heartbeat(): Promise<void> {
    try {
      await this.#renew()
    } catch (error) {
      this.#options.log.warn({ err: error, node: this.node }, 'a heartbeat failed, the next one follows')
      if (this.#isCutOff || this.#options.machine.mono() - this.#renewed.mono < NODE_CUT_OFF_MS) return
      this.#isCutOff = true
      this.#options.log.error({ node: this.node }, 'cut off from the store: devices are let go, to find another node')
      this.#options.cutOff()
    }
  }

  /** True where the look at the store's clock was good too. */
  async #renew(): Promise<boolean> {
    const { nodes, machine } = this.#options
    const asked = { mono: machine.mono(), wall: machine.wall() }
    const renewed = await nodes.renewNode(this.#lease, NODE_LEASE_MS)
    const answeredAt = machine.mono()
    if (renewed === null) {
      this.leaseLost()
      return false
    }
    // Whatever kept this node from the store may have kept the others from it: they are given the time to come back before they count as dead.
    if (answeredAt - this.#renewed.mono >= NODE_LEASE_MS) this.#patientUntil = answeredAt + NODE_LEASE_MS
    this.#renewed = asked
    this.#isCutOff = false
    const time: StoreTime = { storeNow: renewed.storeNow, askedAt: asked.mono, answeredAt }
    const isGood = this.clock.steer(time)
    if (isGood) this.#told = asked
    const live = await nodes.liveNodes()
    const before = machine.mono() < this.#patientUntil ? [...this.#others.alive] : []
    const alive = new Set([...before, ...live.map(({ nodeNo }) => nodeNo)].filter(nodeNo => nodeNo !== this.node))
    // Those who joined while it was read may be missing, those who joined before it was asked are not.
    this.#others = { alive, asOf: renewed.storeNow }
    return isGood
  }

  // --- as the engine sees it -------------------------------------------------------------------------------------

  others(): Others {
    return this.#others
  }

  mayPublish(): boolean {
    const { machine } = this.#options
    const isGood = (passedMs: number): boolean => passedMs < NODE_LEASE_MS - NODE_MARGIN_MS
    const { mono, wall } = this.#renewed
    const isKept = isGood(machine.mono() - mono) && isGood(machine.wall() - wall)
    return this.#state !== 'ended' && isKept && this.#knowsTheTime()
  }

  /** Where the machine slept, its monotonic clock may have stopped: until the store has told it the time again, nothing here knows what is over. */
  #knowsTheTime(): boolean {
    const { machine } = this.#options
    const sleptMs = machine.wall() - this.#told.wall - (machine.mono() - this.#told.mono)
    return Math.abs(sleptMs) < NODE_ROUND_TRIP_MAX_MS
  }

  tell(node: number, tidings: Tidings): void {
    this.#options.signals.tell(node, tidings)
  }

  leaseLost(): void {
    if (this.#state === 'ended') return
    const wasIn = this.#state === 'in'
    this.#state = 'ended'
    this.#options.log.error({ node: this.node }, 'the number of this node has gone over to another life: this one ends')
    if (wasIn) this.#options.ended()
  }

  /** Gives the number back: its devices are free for others at once. After everything else that writes. */
  async leave(): Promise<void> {
    if (this.#state !== 'ended') this.#state = 'leaving'
    this.#disarm()
    await this.#beat
    await this.#options.signals.close()
    try {
      await this.#options.nodes.releaseNode(this.#lease)
    } catch (error) {
      this.#options.log.warn(
        { err: error, node: this.node },
        'the node number could not be given back, its lease lapses by itself',
      )
    }
  }
}
