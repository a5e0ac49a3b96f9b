// The process under test: engine, connections and clock of one start after another on the same store, how they die, and what the dead may not do.

import type { Clock, Timers } from '../src/clock.ts'
import { State } from '../src/core/command.ts'
import { errors, type Refusal } from '../src/core/errors.ts'
import { Ids } from '../src/core/ids.ts'
import { Engine, type Log } from '../src/engine.ts'
import { Fleet } from '../src/fleet/fleet.ts'
import type { Batch, DeviceMove, Store } from '../src/store/store.ts'
import { LoginLimit } from '../src/uplink/login-limit.ts'
import { Requests } from '../src/uplink/requests.ts'
import { Saver } from '../src/uplink/saver.ts'
import type { DeviceKeys, Notice } from '../src/uplink/topics.ts'
import type { Checks } from './checks.ts'
import { SimCodecs } from './codecs.ts'
import { ServerConnection } from './connection.ts'
import { type Kin, secrets } from './fleet.ts'
import { type CrashPoint, type FaultsDue, type Gated, gate, never, StoreFault } from './gate.ts'
import type { Ledger } from './ledger.ts'
import type { Beside } from './line.ts'
import type { Wire } from './wire.ts'
import type { World } from './world.ts'

/** A process may come back with another node number, smaller or larger. */
const NODES = [1, 1, 1, 0, 2] as const
const DOWN_MAX_MS = 500
const LONG_DOWN_MAX_MS = 20_000
const HTTP_CLOSE_MAX_MS = 3_000
/** several calls in a row, none of them stuck, or some */
const MARGIN_MS = 500
const STUCK_MARGIN_MS = 6_000
const LOST_MEANWHILE = 0.05
/** a loop turn in which inputs gather */
const TURN_MAX_MS = 2

/** The product's clock: never backwards, not before the last commit, and from there on as fast as time passes where the wall clock is behind. */
class ProcessClock implements Clock, Timers {
  readonly #world: World
  readonly #process: Gated
  readonly #aheadMs: number

  constructor(world: World, process: Gated, floor: number) {
    this.#world = world
    this.#process = process
    this.#aheadMs = Math.max(floor, world.wall) - world.now
  }

  now(): number {
    return this.#world.now + this.#aheadMs
  }

  wall(): number {
    return this.#world.wall
  }

  at(instant: number, run: () => void): () => void {
    // Its time has whole milliseconds.
    return this.#world.at(Math.ceil(instant) - this.#aheadMs, 'process', () => {
      if (this.#process.alive) run()
    })
  }
}

/** A store that outlives its processes. `reopen`: what a new process finds after the old one was killed, or has closed it. */
export interface Disk {
  open(): Store
  reopen(store: Store, killed: boolean): Promise<Store>
  close(store: Store): Promise<void>
}

/** One start of the process, to its end. */
export class Incarnation implements Gated, Beside {
  readonly number: number
  alive = true
  started = false
  stopping = false
  /** its clock when it was told to stop */
  stoppedAt: number | null = null
  inFlight = 0
  readonly world: World
  readonly checks: Checks
  readonly clock: ProcessClock
  readonly ledger: Ledger
  readonly store: Store
  readonly engine: Engine
  readonly fleet: Fleet
  readonly requests: Requests
  readonly limit = new LoginLimit()
  readonly defer = (run: () => void): void => this.#defer(run)
  readonly codecs: SimCodecs
  /** for what devices do wrong, which is no fault of the process */
  readonly deviceLog: Log
  readonly connections = new Set<ServerConnection>()
  readonly #host: Host
  readonly #blamed = new Set<StoreFault>()
  /** step at which the batch in the making was begun */
  #loadedAt = 0

  constructor(
    host: Host,
    store: Store,
    faultsDue: FaultsDue,
    nodeNo: number,
    node: Awaited<ReturnType<Store['node']>>,
  ) {
    const { world, checks } = host
    host.starts += 1
    this.number = host.starts
    this.#host = host
    this.world = world
    this.checks = checks
    this.ledger = host.ledger
    this.clock = new ProcessClock(world, this, node.clockFloor)
    this.store = gate(store, world, this, faultsDue, () => {
      host.faultAt = world.now
    })
    const bug = (fields: object, message: string): void => this.unexpected(Reflect.get(fields, 'err'), message)
    const quiet = (): void => undefined
    const log = { info: quiet, warn: bug, error: bug }
    const { defer } = this
    this.engine = new Engine({
      store: this.store,
      clock: this.clock,
      ids: new Ids(nodeNo, node.lastCommandId),
      log,
      observer: {
        batch: inputs => world.count(inputs > 1 ? 'batch of many' : 'batch of one'),
        transition: () => undefined,
        published: () => undefined,
        reply: outcome => world.count(`observed reply ${outcome}`),
      },
      queueCap: world.faults.queueCap,
      retentionMs: world.faults.retentionMs,
      defer,
    })
    this.deviceLog = { info: quiet, warn: quiet, error: bug }
    this.fleet = new Fleet(this.store, secrets)
    this.codecs = new SimCodecs(world, this)
    const saver = new Saver({ store: this.store, log, defer })
    const randomBytes = (count: number): Uint8Array =>
      Uint8Array.from({ length: count }, () => world.random.int(0, 255))
    const desk = { fleet: this.fleet, store: this.store, saver, clock: this.clock, log, randomBytes }
    this.requests = new Requests(desk)
  }

  kin(of: DeviceKeys | number): Kin | null {
    return this.#host.kin(of)
  }

  wasBehind(deviceId: number, gateway: number, since: number): boolean {
    return this.#host.wasBehind(deviceId, gateway, since)
  }

  /** Tells the gateway with this id, if it is connected, what became of a device behind it. */
  notify(gatewayId: number, notice: Notice, of: DeviceKeys): void {
    for (const each of this.connections) if (each.isOpen && each.deviceId === gatewayId) each.notify(notice, of)
  }

  #defer(run: () => void): void {
    this.inFlight += 1
    const ms = this.world.random.int(0, TURN_MAX_MS)
    this.world.after(ms, 'process', () => {
      if (!this.alive) return
      this.inFlight -= 1
      run()
    })
  }

  /** A moment at which something else may happen, in time for the same batch. */
  moment(moment: Moment, deviceId: number): void {
    for (const told of this.#host.onMoment) told(moment, deviceId)
  }

  /** Everything that goes wrong inside must have been injected. */
  unexpected(error: unknown, message: string): void {
    if (!this.alive) return
    if (error instanceof StoreFault) {
      if (message === 'input failed') this.#blame(error)
      return
    }
    const said = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#host.ledger.broken(20, null, `${message}: ${said.split('\n').slice(0, 4).join(' | ')}`)
  }

  /** One fault takes one input with it at most: what shared a batch with it is tried again without it. */
  #blame(fault: StoreFault): void {
    if (this.#blamed.has(fault)) this.#host.ledger.broken(14, null, `two inputs fail for one fault: ${fault.message}`)
    this.#blamed.add(fault)
  }

  crashAt(point: CrashPoint): void {
    if (this.alive && this.started && this.#host.crashDue === point) this.#host.crash(point)
  }

  onStuck(): void {
    this.#host.stuckAt = this.world.now
  }

  onLoad(deviceIds: readonly number[]): void {
    this.#loadedAt = this.world.steps
    for (const told of this.#host.onLoad) told(deviceIds)
    this.noteAway()
  }

  onPurge(before: number): void {
    this.#host.ledger.purging(before, this.clock.now())
  }

  onCommitting(batch: Batch): void {
    this.noteAway()
    if (this.world.calm) return
    for (const { queue } of batch.changes)
      if (queue.open.some(({ state }) => state === State.sent)) this.#loseMeanwhile(queue.deviceId)
  }

  /** The connection that a command was just decided for may be lost while that is being made durable. */
  #loseMeanwhile(deviceId: number): void {
    const { random } = this.world
    if (!random.chance(LOST_MEANWHILE)) return
    const link = [...this.connections].find(each => each.isOpen && each.line.carries(deviceId))
    if (link === undefined) return
    this.world.count('fault connection lost during a commit')
    this.world.after(random.int(0, 5), 'net', () => link.lost())
  }

  /** Notes who is away now: an instant command may only fail as offline where that was so while its batch was made. */
  noteAway(): void {
    for (const deviceId of this.#host.deviceIds)
      if (!this.engine.isOnline(deviceId)) this.#host.awayAt.set(deviceId, this.world.steps)
  }

  onCommitted(batch: Batch, stale: readonly number[], old: readonly number[]): void {
    for (const deviceId of old)
      if (!stale.includes(deviceId))
        this.#host.ledger.broken(
          16,
          deviceId,
          'what was decided on an old picture of the device is written over the new one',
        )
    if (stale.length > 0) this.world.count('stale device', stale.length)
    for (const { queue } of batch.changes)
      if (queue.deleted && !stale.includes(queue.deviceId)) this.#host.isGone(queue.deviceId)
    // Whoever is disabled in the middle of a batch counts as away in it.
    for (const { queue, events } of batch.changes)
      if (queue.disabled || events.some(({ reason }) => reason === 'disabled'))
        this.#host.awayAt.set(queue.deviceId, this.world.steps)
    this.#host.ledger.committed(batch, stale, {
      wasAway: deviceId => (this.#host.awayAt.get(deviceId) ?? -1) >= this.#loadedAt,
      stoppedAt: this.stoppedAt,
      process: this.number,
      faultAt: this.#host.faultAt,
    })
  }

  onMoved(moves: readonly DeviceMove[]): void {
    this.#host.moved(moves)
  }
}

/**
 * A device is about to be let in; something comes from it; a command has left for it, perhaps over a connection that is not read; one waits for room or
 * its codec; the process is about to be told to stop.
 */
export type Moment = 'login' | 'input' | 'published' | 'published unread' | 'held' | 'stop'

/** The machine that processes are started on. */
export class Host {
  current: Incarnation | null = null
  crashDue: CrashPoint | null = null
  /** processes so far */
  starts = 0
  /** when the store last failed on purpose */
  faultAt = Number.NEGATIVE_INFINITY
  /** when a call to the store last hung for long */
  stuckAt = Number.NEGATIVE_INFINITY
  readonly faultsDue: FaultsDue = new Map()
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
  readonly onDeath: (() => void)[] = []
  /** calls of callers that are in flight */
  calls = 0
  readonly #wires = new Set<Wire>()
  readonly #kin = new Map<number | string, Kin>()
  readonly #disk: Disk
  #store: Store
  #callsDone: (() => void)[] = []

  constructor(
    readonly world: World,
    readonly ledger: Ledger,
    readonly checks: Checks,
    readonly family: readonly Kin[],
    disk: Disk,
    store: Store,
  ) {
    for (const kin of family) {
      this.#kin.set(kin.id, kin)
      this.#kin.set(nameOf(kin.keys), kin)
      this.#kin.set(kin.assetId, kin)
    }
    this.#disk = disk
    this.#store = store
  }

  /** The store itself, for looking at what is durable and for what other parts of the product write. */
  get store(): Store {
    return this.#store
  }

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

  async boot(): Promise<void> {
    const { world } = this
    const nodeNo = world.random.pick(NODES)
    const node = await this.#store.node(nodeNo)
    this.ledger.idsUsed(nodeNo, node.lastCommandId)
    const process = new Incarnation(this, this.#store, this.faultsDue, nodeNo, node)
    const steps = world.now + world.wallOffsetMs < node.clockFloor ? ', its wall clock behind the last commit' : ''
    world.note(null, `process starts${steps}`)
    world.count(`start${steps}`)
    world.processNow = () => process.clock.now()
    this.checks.started()
    await this.checks.compareStore(this.#store)
    await process.engine.start()
    process.started = true
    this.current = process
  }

  /** A device opens a connection; null: nobody listens. */
  accept(wire: Wire, deviceId: number): boolean {
    const process = this.current
    if (process === null || !process.alive || process.stopping) return false
    this.#wires.add(wire)
    process.connections.add(new ServerConnection(process, wire, deviceId))
    return true
  }

  /** From one moment to the next the process does nothing any more. Its sockets are closed by the system, or, with the machine gone, by nobody. */
  crash(point: CrashPoint): void {
    const process = this.current
    if (process === null) return
    process.alive = false
    this.crashDue = null
    this.world.count(`crash ${point}`)
    this.world.note(null, `process crashes: ${point}`)
    this.checks.died()
    const machineToo = this.world.random.chance(0.3)
    for (const wire of this.#wires)
      if (machineToo) {
        wire.mute('toServer')
        wire.mute('toDevice')
      } else wire.close('server', true)
    this.#restart(true)
  }

  #restart(killed: boolean): void {
    const { world } = this
    this.#wires.clear()
    this.current = null
    this.#callsDone = []
    this.calls = 0
    for (const told of this.onDeath) told()
    const { stepBackMs } = world.faults
    const downMaxMs = world.random.chance(0.1) ? LONG_DOWN_MAX_MS : DOWN_MAX_MS
    world.after(world.random.int(5, downMaxMs), 'actor', () => {
      if (stepBackMs > 0 && !world.calm && world.random.chance(0.5))
        world.wallOffsetMs -= world.random.int(1, stepBackMs)
      void this.#startAgain(killed).catch((error: unknown) =>
        this.ledger.broken(20, null, `start failed: ${String(error)}`),
      )
    })
  }

  async #startAgain(killed: boolean): Promise<void> {
    this.#store = await this.#disk.reopen(this.#store, killed)
    await this.boot()
  }

  /** SIGTERM: the order of things is that of the server. */
  stop(): void {
    const process = this.current
    if (process === null || process.stopping) return
    for (const { id } of this.family) if (process.engine.isOnline(id)) process.moment('stop', id)
    process.stopping = true
    process.stoppedAt = process.clock.now()
    this.world.count('graceful stop')
    this.world.note(null, 'process is told to stop')
    void this.#stopAll(process).catch((error: unknown) => this.ledger.broken(20, null, `stop failed: ${String(error)}`))
  }

  async #stopAll(process: Incarnation): Promise<void> {
    await Promise.all([process.engine.stop(), this.#callsAnswered(), this.#closingOfHttp()])
    for (const connection of process.connections) connection.stop()
    await Promise.all([...process.connections].map(connection => connection.gone()))
    await process.engine.idle()
    if (!process.alive) return never()
    this.world.note(null, 'process has stopped')
    process.alive = false
    this.checks.stopped()
    this.#restart(false)
  }

  /** Connections of callers may take a while to close, during which devices go on talking. */
  #closingOfHttp(): Promise<void> {
    const { world } = this
    const ms = world.calm ? 0 : world.random.int(0, HTTP_CLOSE_MAX_MS)
    return new Promise(resolve => world.after(ms, 'process', resolve))
  }

  #callsAnswered(): Promise<void> {
    if (this.calls === 0) return Promise.resolve()
    return new Promise(resolve => this.#callsDone.push(resolve))
  }

  /** Somebody who is no caller asks something of the process, if one runs; `done` where it was done. */
  ask<A extends { readonly ok: true }>(
    deviceId: number,
    what: string,
    run: (process: Incarnation) => Promise<A | Refusal>,
    done: (answer: A) => void,
  ): void {
    const { world } = this
    const process = this.current
    if (process === null || !process.alive || process.stopping) return
    world.note(deviceId, `is asked for: ${what}`)
    this.callBegins()
    const ended = (answer: A | Refusal): void => {
      if (!process.alive) return
      world.note(deviceId, `${what}: ${answer.ok ? 'done' : `refused ${answer.code}`}`)
      world.count(`${what} ${answer.ok ? 'done' : `refused ${answer.code}`}`)
      if (answer.ok) done(answer)
      else if (answer.code === errors.notFound.code && !this.ledger.log(deviceId).deleted)
        this.ledger.broken(1, deviceId, 'is not found, and was never deleted')
      this.callEnds()
    }
    run(process).then(ended, (error: unknown) => process.unexpected(error, 'a call rejects'))
  }

  callBegins(): void {
    this.calls += 1
  }

  callEnds(): void {
    this.calls -= 1
    if (this.calls === 0) for (const done of this.#callsDone.splice(0)) done()
  }

  /** Looked at after every step. */
  afterStep(): void {
    const process = this.current
    if (process === null || !process.alive || !process.started) return
    process.noteAway()
    if (process.inFlight > 0 || this.world.processIsDue) return
    const { world, faultAt } = this
    const ready = new Set<number>()
    const now = process.clock.now()
    for (const { line } of process.connections) line.atRest(now, ready)
    this.checks.atRest({
      now,
      stopping: process.stopping,
      faultAt,
      faultMarginMs: this.stuckAt >= faultAt - STUCK_MARGIN_MS ? STUCK_MARGIN_MS : MARGIN_MS,
      worldNow: world.now,
      process: process.number,
      isOnline: deviceId => process.engine.isOnline(deviceId),
      isReady: deviceId => ready.has(deviceId),
    })
    process.crashAt('at rest')
  }
}

const nameOf = ({ productKey, deviceKey }: DeviceKeys): string => `${productKey}/${deviceKey}`
