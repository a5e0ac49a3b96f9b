// What all machines have in common: the store, the fleet, the balancer before them, and what is known of all of them together.
// Not here: one machine (host.ts), one process (incarnation.ts).

import type { DeviceMove, Store } from '../src/store/store.ts'
import type { DeviceKeys } from '../src/uplink/topics.ts'
import type { Checks } from './checks.ts'
import type { Kin } from './fleet.ts'
import { Host } from './host.ts'
import type { Incarnation, Moment } from './incarnation.ts'
import { LeaseBook } from './leases.ts'
import type { Ledger } from './ledger.ts'
import { Progress } from './progress.ts'
import { Air } from './signals.ts'
import type { Wire } from './wire.ts'
import type { World } from './world.ts'

/** A store that outlives its processes. `reopen`: what a new process finds after the old one was killed, or has closed it. */
export interface Disk {
  open(now: () => number): Store
  reopen(store: Store, killed: boolean): Promise<Store>
  close(store: Store): Promise<void>
}

export class Site {
  readonly hosts: readonly Host[]
  readonly leases: LeaseBook
  readonly air: Air
  /** the step in which a device was last away */
  readonly awayAt = new Map<number, number>()
  /** who is behind whom, by number */
  readonly topology = new Map<number, number>()
  /** the step in which a device last left a gateway, by both numbers */
  readonly #leftAt = new Map<string, number>()
  /** told of moments at which others may act */
  readonly onMoment: ((moment: Moment, deviceId: number) => void)[] = []
  /** told when queues are loaded, so that somebody may write before they are committed */
  readonly onLoad: ((deviceIds: readonly number[]) => void)[] = []
  /** told when a process is gone, so that nobody waits for it */
  readonly onDeath: ((process: Incarnation) => void)[] = []
  readonly #kin = new Map<number | string, Kin>()
  readonly #disk: Disk
  readonly #progress: Progress
  #store: Store
  #starts = 0

  constructor(
    readonly world: World,
    readonly ledger: Ledger,
    readonly checks: Checks,
    readonly family: readonly Kin[],
    disk: Disk,
    store: Store,
    nodes: number,
  ) {
    for (const kin of family) {
      this.#kin.set(kin.id, kin)
      this.#kin.set(nameOf(kin.keys), kin)
      this.#kin.set(kin.assetId, kin)
    }
    this.#disk = disk
    this.#store = store
    this.leases = new LeaseBook(world, ledger)
    this.air = new Air(world)
    this.#progress = new Progress(this)
    this.isMany = nodes > 1
    this.hosts = Array.from({ length: nodes }, (_, i) => new Host(this, i))
  }

  /** Several nodes share the store. */
  readonly isMany: boolean

  /** The store itself, for looking at what is durable and for what other parts of the product write. */
  get store(): Store {
    return this.#store
  }

  /** A process starts: what it finds on the disk. Where there are several, the store runs by itself. */
  async reopen(killed: boolean): Promise<void> {
    if (!this.isMany) this.#store = await this.#disk.reopen(this.#store, killed)
  }

  nextNumber(): number {
    this.#starts += 1
    return this.#starts
  }

  // --- processes -------------------------------------------------------------------------------------------------------

  get processes(): Incarnation[] {
    return this.hosts.flatMap(({ current }) => (current?.alive === true ? [current] : []))
  }

  process(number: number): Incarnation | null {
    return this.processes.find(process => process.number === number) ?? null
  }

  /** The one that a new connection or call comes to; null: nobody listens. The balancer draws among those that do, also one that stands still. */
  pick(): Incarnation | null {
    const listening = this.processes.filter(({ isListening }) => isListening)
    const [first] = listening
    if (first === undefined) return null
    return listening.length === 1 ? first : this.world.random.pick(listening)
  }

  /** All machines have a process that has started and is not about to end. */
  get isUp(): boolean {
    return this.hosts.every(({ current, isStill, isCut }) => current?.isListening === true && !isStill && !isCut)
  }

  /** No machine has slept without having learned the time since. */
  get knowsTheTime(): boolean {
    return this.hosts.every(({ isOnTime }) => isOnTime)
  }

  /** Calls of callers that are in flight. */
  get calls(): number {
    return this.processes.reduce((sum, { calls }) => sum + calls, 0)
  }

  /** The clock of some process, or the world's where none runs: for who wants to be in time. */
  get now(): number {
    return this.processes[0]?.clock.now() ?? this.world.now
  }

  /** A device opens a connection; false: nobody listens. */
  accept(wire: Wire, deviceId: number): boolean {
    const process = this.pick()
    const host = this.hosts.find(({ current }) => current === process)
    if (process === null || host === undefined) return false
    host.accept(process, wire, deviceId)
    return true
  }

  // --- the fleet -------------------------------------------------------------------------------------------------------

  /** Whoever has this number, or these keys. */
  kin(of: DeviceKeys | number): Kin | null {
    return this.#kin.get(typeof of === 'number' ? of : nameOf(of)) ?? null
  }

  get deviceIds(): readonly number[] {
    return this.family.map(({ id }) => id)
  }

  /** A device is on record as deleted: those behind it are free. */
  isGone(deviceId: number): void {
    this.#leaves(deviceId)
    for (const [of, gateway] of this.topology) if (gateway === deviceId) this.#leaves(of)
  }

  #leaves(deviceId: number): void {
    this.#leftAt.set(`${deviceId} ${this.topology.get(deviceId)}`, this.world.steps)
    this.topology.delete(deviceId)
  }

  /** Devices have come behind gateways, or left them. */
  moved(moves: readonly DeviceMove[]): void {
    for (const { assetId, to } of moves) {
      const of = this.#kin.get(assetId)?.id ?? 0
      const gateway = this.#kin.get(to ?? '')?.id
      this.world.note(of, gateway === undefined ? 'leaves its gateway' : `is behind gateway ${gateway} now`)
      this.#leaves(of)
      if (gateway !== undefined) this.topology.set(of, gateway)
    }
  }

  /** At some moment since this step the device was behind the gateway. */
  wasBehind(deviceId: number, gateway: number, since: number): boolean {
    return this.topology.get(deviceId) === gateway || (this.#leftAt.get(`${deviceId} ${gateway}`) ?? -1) >= since
  }

  // --- who is here ---------------------------------------------------------------------------------------------------

  /** Notes who is away now: an instant command may only fail as offline where that was so while its batch was made. */
  noteAway(): void {
    for (const deviceId of this.deviceIds) if (!this.#isHere(deviceId)) this.awayAt.set(deviceId, this.world.steps)
  }

  /**
   * Among several nodes: its newest session, if nothing has ended it, is on one that is alive by the store. Where that one had just slept and did not know
   * the time yet, others take the session for an old one, which it is not.
   */
  #isHere(deviceId: number): boolean {
    if (!this.isMany) return this.hosts[0]?.current?.engine.isOnline(deviceId) === true
    const { heldBy, isDated } = this.ledger.log(deviceId)
    const holder = this.process(heldBy)
    return isDated && holder?.hasLease === true && holder.engine.isOnline(deviceId)
  }

  wasAway(deviceId: number, since: number): boolean {
    return (this.awayAt.get(deviceId) ?? -1) >= since
  }

  // --- faults ------------------------------------------------------------------------------------------------------------

  /** Everything stood still for a while, the store too. */
  jumped(ms: number): void {
    for (const host of this.hosts) host.jumped(ms)
    this.#progress.forget()
  }

  /** Looked at after every step. */
  afterStep(): void {
    if (this.isMany) this.#afterStepOfMany()
    else this.#afterStepOfOne()
  }

  #afterStepOfOne(): void {
    const [host] = this.hosts
    const process = host?.current ?? null
    if (host === undefined || process === null || !process.alive) return
    this.noteAway()
    if (!host.isAtRest) return
    const ready = host.linesAtRest(process)
    this.checks.atRest({
      now: process.clock.now(),
      stopping: process.stopping,
      faultAt: host.faultAt,
      faultMarginMs: host.faultMarginMs,
      worldNow: this.world.now,
      process: process.number,
      isOnline: deviceId => process.engine.isOnline(deviceId),
      isReady: deviceId => ready.has(deviceId),
    })
    process.crashAt('at rest')
  }

  #afterStepOfMany(): void {
    this.noteAway()
    for (const host of this.hosts) {
      const { current } = host
      if (current === null || !host.isAtRest) continue
      this.world.count('rest')
      host.linesAtRest(current)
      current.crashAt('at rest')
    }
    this.#progress.look()
  }
}

const nameOf = ({ productKey, deviceKey }: DeviceKeys): string => `${productKey}/${deviceKey}`
