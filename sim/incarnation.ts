// The process under test: engine, connections and clock of one start, how it fits into the machine that it runs on, and what the dead may not do.
// Not here: how it is started, stopped and killed (host.ts), what the whole site has in common (site.ts).

import type { Clock, Machine, Timers } from '../src/clock.ts'
import { CannotJoin, Membership } from '../src/cluster/membership.ts'
import { alone, type Cluster } from '../src/cluster/signal.ts'
import { State } from '../src/core/command.ts'
import { errors, type Refusal } from '../src/core/errors.ts'
import { Ids } from '../src/core/ids.ts'
import { NODE_LEASE_MS, NODE_MARGIN_MS } from '../src/core/limits.ts'
import { Engine } from '../src/engine.ts'
import { Fleet } from '../src/fleet/fleet.ts'
import type { Log } from '../src/log.ts'
import { CommitUnknown, LeaseLost, StoreUnavailable } from '../src/store/nodes.ts'
import type { Batch, DeviceMove, Store } from '../src/store/store.ts'
import { LoginLimit } from '../src/uplink/login-limit.ts'
import { Requests } from '../src/uplink/requests.ts'
import { Saver } from '../src/uplink/saver.ts'
import type { DeviceKeys, Notice } from '../src/uplink/topics.ts'
import type { Checks } from './checks.ts'
import { SimCodecs } from './codecs.ts'
import type { ServerConnection } from './connection.ts'
import { type Kin, secrets } from './fleet.ts'
import { type CrashPoint, type Gated, gate, StoreFault } from './gate.ts'
import type { Host } from './host.ts'
import type { Ledger } from './ledger.ts'
import type { Beside } from './line.ts'
import { ProcessClock, SimMachine } from './machine.ts'
import { CUT_OFF, type Look, StoreWay } from './way.ts'
import type { Runner, World } from './world.ts'

const LOST_MEANWHILE = 0.05
/** a loop turn in which inputs gather */
const TURN_MAX_MS = 2
/** ms that a monotonic clock may have gone for when a process starts */
const BASE_MAX_MS = 1_000_000

/** What a process is made of once it knows which node it is. */
interface Parts {
  readonly node: number
  readonly clock: Clock & Timers
  readonly engine: Engine
  readonly fleet: Fleet
  readonly requests: Requests
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
  /** calls of callers that are in flight */
  calls = 0
  readonly world: World
  readonly checks: Checks
  readonly ledger: Ledger
  readonly store: Store
  readonly limit = new LoginLimit()
  readonly defer = (run: () => void): void => this.#defer(run)
  readonly codecs: SimCodecs
  /** for what devices do wrong, which is no fault of the process */
  readonly deviceLog: Log
  readonly connections = new Set<ServerConnection>()
  readonly #host: Host
  readonly #log: Log
  readonly #way: StoreWay | null
  readonly #blamed = new Set<StoreFault>()
  #parts: Parts | null = null
  #membership: Membership | null = null
  /** step at which the batch in the making was begun */
  #loadedAt = 0
  /** who else was alive, as far as it knew then; null where it is alone */
  #look: Look | null = null
  #callsDone: (() => void)[] = []

  constructor(host: Host, number: number) {
    const { world, checks, ledger, isMany } = host.site
    this.number = number
    this.#host = host
    this.world = world
    this.checks = checks
    this.ledger = ledger
    this.#way = isMany ? new StoreWay(host, this) : null
    const failed = (): void => host.failed()
    this.store = gate(host.site.store, world, this, host.faultsDue, failed, this.#way)
    const bug = (fields: object, message: string): void =>
      this.unexpected(Reflect.get(fields, 'err') ?? Reflect.get(fields, 'reason'), message)
    const quiet = (): void => undefined
    this.#log = { info: quiet, warn: bug, error: bug }
    this.deviceLog = { info: quiet, warn: quiet, error: bug }
    this.codecs = new SimCodecs(world, this, host)
  }

  // --- how it starts -------------------------------------------------------------------------------------------------

  /** The one process that the store has. */
  async startAlone(nodeNo: number, node: Awaited<ReturnType<Store['node']>>): Promise<void> {
    const clock = new ProcessClock(this.world, this, this.#host, node.clockFloor)
    await this.store.endSessions(nodeNo)
    const { engine } = this.#build(nodeNo, node.lastCommandId, clock, alone)
    await engine.start()
  }

  /** One among others, with the number wanted or any. Rejects where it cannot join. */
  async join(wanted: number | null): Promise<void> {
    const { world } = this
    const machine: Machine = new SimMachine(world, this, this.#host, world.random.int(0, BASE_MAX_MS))
    const signals = this.#host.site.air.for(this)
    const ended = (): void => this.#host.ended(this)
    const cutOff = (): void => this.#letGo()
    const options = { nodes: this.store, signals, machine, log: this.#log, ended, cutOff }
    const membership = await Membership.join(options, wanted)
    this.#membership = membership
    const { node, epoch, lastCommandId, clock } = membership
    await this.store.endSessions(node, epoch)
    const { engine } = this.#build(node, lastCommandId, clock, membership)
    await membership.start(tidings => engine.hear(tidings))
    await engine.start()
  }

  #build(node: number, lastCommandId: string | null, clock: Clock & Timers, cluster: Cluster): Parts {
    const { world, store, defer } = this
    const log = this.#log
    const engine = new Engine({
      cluster,
      store,
      clock,
      ids: new Ids(node, lastCommandId),
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
    const fleet = new Fleet(store, secrets)
    const saver = new Saver({ store, log, defer })
    const randomBytes = (count: number): Uint8Array =>
      Uint8Array.from({ length: count }, () => world.random.int(0, 255))
    const requests = new Requests({ fleet, store, saver, clock, log, randomBytes })
    this.#parts = { node, clock, engine, fleet, requests }
    return this.#parts
  }

  get #made(): Parts {
    if (this.#parts === null) throw new Error('the process has not started yet')
    return this.#parts
  }

  get clock(): Clock & Timers {
    return this.#made.clock
  }

  get engine(): Engine {
    return this.#made.engine
  }

  get fleet(): Fleet {
    return this.#made.fleet
  }

  get requests(): Requests {
    return this.#made.requests
  }

  get node(): number {
    return this.#made.node
  }

  // --- on its machine --------------------------------------------------------------------------------------------------

  get runner(): Runner {
    return this.#host
  }

  get isDeaf(): boolean {
    return this.#host.isDeaf
  }

  /** It would take a call, or a connection. */
  get isListening(): boolean {
    return this.alive && this.started && !this.stopping
  }

  /** By the store, it may still do something: nobody has its number, nor may anybody take it. */
  get hasLease(): boolean {
    const lease = this.#way?.lease
    if (this.#way === null) return true
    return lease !== null && lease !== undefined && this.#host.site.leases.isGood(lease.nodeNo, lease.epoch)
  }

  get #hasNumber(): boolean {
    const lease = this.#way?.lease
    return lease !== null && lease !== undefined && this.#host.site.leases.isOf(lease.nodeNo, lease.epoch)
  }

  /** The newest session of the device is on a connection of this process, and nothing has ended it. */
  holds(deviceId: number): boolean {
    return this.ledger.log(deviceId).heldBy === this.number && this.engine.isOnline(deviceId)
  }

  /** Somebody reads the device here: what is due is settled. */
  isReadOf(deviceId: number): void {
    const failed = (error: unknown): void => this.unexpected(error, 'a read rejects')
    this.reach(() => void this.engine.settleDue(deviceId).catch(failed))
  }

  /** Somebody reaches it: at once, or when it goes on. */
  reach(run: () => void): void {
    if (this.world.now >= this.#host.goesOnAt) run()
    else this.world.after(0, 'net', () => this.alive && run(), this.#host)
  }

  /** Its devices may find another node, which has the store. */
  #letGo(): void {
    this.world.count('node cut off lets its devices go')
    for (const connection of this.connections) connection.end('server stopping')
  }

  async leave(): Promise<void> {
    await this.#membership?.leave()
  }

  callBegins(): void {
    this.calls += 1
  }

  callEnds(): void {
    this.calls -= 1
    if (this.calls === 0) for (const done of this.#callsDone.splice(0)) done()
  }

  callsAnswered(): Promise<void> {
    if (this.calls === 0) return Promise.resolve()
    return new Promise(resolve => this.#callsDone.push(resolve))
  }

  kin(of: DeviceKeys | number): Kin | null {
    return this.#host.site.kin(of)
  }

  wasBehind(deviceId: number, gateway: number, since: number): boolean {
    return this.#host.site.wasBehind(deviceId, gateway, since)
  }

  /** Tells the gateway with this id, if it is connected, what became of a device behind it. */
  notify(gatewayId: number, notice: Notice, of: DeviceKeys): void {
    for (const each of this.connections) if (each.isOpen && each.deviceId === gatewayId) each.notify(notice, of)
  }

  #defer(run: () => void): void {
    this.inFlight += 1
    const ms = this.world.random.int(0, TURN_MAX_MS)
    const turn = (): void => {
      if (!this.alive) return
      this.inFlight -= 1
      run()
    }
    this.world.after(ms, 'process', turn, this.#host)
  }

  /** A moment at which something else may happen, in time for the same batch. */
  moment(moment: Moment, deviceId: number): void {
    if (moment === 'held') this.#host.strikesWhileHeld(deviceId)
    for (const told of this.#host.site.onMoment) told(moment, deviceId)
  }

  /** Everything that goes wrong inside must have been injected. */
  unexpected(error: unknown, message: string): void {
    if (!this.alive) return
    if (error instanceof StoreFault) {
      if (message === 'input failed') this.#blame(error)
      return
    }
    if (this.#isExplained(error, message)) {
      this.world.count(`said: ${message}`)
      return
    }
    const said = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.ledger.broken(20, null, `${message}: ${said.split('\n').slice(0, 4).join(' | ')}`)
  }

  /** A store out of reach is one that was cut off, a lease is lost only to another life, and a batch that takes long was held up. */
  #isExplained(error: unknown, message: string): boolean {
    if (error instanceof StoreUnavailable || error instanceof CommitUnknown || error instanceof CannotJoin) return true
    if (error === CUT_OFF) return true
    if (error instanceof LeaseLost || message.startsWith('the number of this node has gone over'))
      return !this.#hasNumber
    const isHeldUp = message.startsWith('the store does not answer') || message.startsWith('cut off from the store')
    return isHeldUp && this.#host.wasHeldUp
  }

  /** One fault takes one input with it at most: what shared a batch with it is tried again without it. */
  #blame(fault: StoreFault): void {
    if (this.#blamed.has(fault)) this.ledger.broken(14, null, `two inputs fail for one fault: ${fault.message}`)
    this.#blamed.add(fault)
  }

  crashAt(point: CrashPoint): void {
    if (this.alive && this.started && this.#host.crashDue === point) this.#host.crash(point)
  }

  onStuck(): void {
    this.#host.stuck()
  }

  onLoad(deviceIds: readonly number[]): void {
    this.#loadedAt = this.world.steps
    this.#look = this.#way?.look ?? null
    for (const told of this.#host.site.onLoad) told(deviceIds)
    this.#host.site.noteAway()
  }

  onPurge(before: number): void {
    this.ledger.purging(before, this.clock.now())
  }

  onForgetting(before: number): void {
    this.ledger.keys.purging(before, this.clock.now())
  }

  onCommitting(batch: Batch): void {
    this.#host.site.noteAway()
    if (this.world.calm) return
    const sending = batch.changes.filter(({ queue }) => queue.open.some(({ state }) => state === State.sent))
    for (const { queue } of sending) this.#loseMeanwhile(queue.deviceId)
    for (const { queue } of sending) this.#host.strikesMeanwhile(queue)
  }

  /** The connection that a command was just decided for may be lost while that is being made durable. */
  #loseMeanwhile(deviceId: number): void {
    const { random } = this.world
    if (!random.chance(LOST_MEANWHILE)) return
    const link = [...this.connections].find(each => each.isOpen && each.line.carries(deviceId))
    if (link === undefined) return
    this.world.count('fault connection lost during a commit')
    this.world.after(random.int(0, 5), 'net', () => link.lost(), this.#host)
  }

  onCommitted(batch: Batch, stale: readonly number[], old: readonly number[]): void {
    for (const deviceId of old)
      if (!stale.includes(deviceId))
        this.ledger.broken(16, deviceId, 'what was decided on an old picture of the device is written over the new one')
    if (stale.length > 0) this.world.count('stale device', stale.length)
    for (const { queue } of batch.changes)
      if (queue.deleted && !stale.includes(queue.deviceId)) this.#host.site.isGone(queue.deviceId)
    // Whoever is disabled in the middle of a batch counts as away in it.
    for (const { queue, events } of batch.changes)
      if (queue.disabled || events.some(({ reason }) => reason === 'disabled'))
        this.#host.site.awayAt.set(queue.deviceId, this.world.steps)
    this.ledger.committed(batch, stale, {
      wasAway: deviceId => this.#host.site.wasAway(deviceId, this.#loadedAt),
      seemedAway: deviceId => this.#seemedAway(deviceId),
      mustSeemAway: deviceId => this.#mustSeemAway(deviceId),
      stoppedAt: this.stoppedAt,
      process: this.number,
      faultAt: this.#host.overtakenAt,
      node: batch.node,
      isHere: deviceId => this.holds(deviceId),
      slackMs: this.#way === null ? 0 : NODE_MARGIN_MS,
      aheadMs: this.aheadMs,
      apartMs: this.#apartMs,
    })
  }

  /** Who is alive elsewhere it knows as of its last look. A session that began since then is one of somebody who is alive. */
  #seemedAway(deviceId: number): boolean {
    const { site } = this.#host
    if (this.#look === null || site.wasAway(deviceId, this.#loadedAt)) return site.wasAway(deviceId, this.#loadedAt)
    const beganBefore = Number(this.ledger.log(deviceId).lastOnlineAt) < this.#look.at - NODE_MARGIN_MS / 2
    return beganBefore && site.wasAway(deviceId, this.#look.step)
  }

  /**
   * Its newest session is on a node that was not alive any more, as this one knows from before the batch was begun until now. A look as old as a lease says
   * nothing.
   */
  #mustSeemAway(deviceId: number): boolean {
    const { sessionNode, lastOnlineAt } = this.ledger.log(deviceId)
    const looks = [this.#look, this.#way?.look ?? null]
    if (sessionNode === null || sessionNode === this.node) return false
    return looks.every(
      look =>
        look !== null &&
        !look.isPatient &&
        !look.alive.has(sessionNode) &&
        this.clock.now() - look.at < NODE_LEASE_MS - NODE_MARGIN_MS &&
        Number(lastOnlineAt) < look.at - 2 * NODE_MARGIN_MS,
    )
  }

  get aheadMs(): number | null {
    return this.#way === null ? null : this.clock.now() - this.world.now
  }

  /** The same, but for a time in which it cannot know how long its machine has slept. */
  get #apartMs(): number | null {
    return this.#host.isOnTime ? this.aheadMs : null
  }

  onMoved(moves: readonly DeviceMove[]): void {
    this.#host.site.moved(moves)
  }

  /** Somebody who is no caller asks something of it; `done` where it was done. */
  ask<A extends { readonly ok: true }>(
    deviceId: number,
    what: string,
    run: () => Promise<A | Refusal>,
    done: (answer: A) => void,
  ): void {
    const { world } = this
    world.note(deviceId, `is asked for: ${what}`)
    this.callBegins()
    const ended = (answer: A | Refusal): void => {
      if (!this.alive) return
      world.note(deviceId, `${what}: ${answer.ok ? 'done' : `refused ${answer.code}`}`)
      world.count(`${what} ${answer.ok ? 'done' : `refused ${answer.code}`}`)
      if (answer.ok) done(answer)
      else if (answer.code === errors.notFound.code && !this.ledger.log(deviceId).deleted)
        this.ledger.broken(1, deviceId, 'is not found, and was never deleted')
      this.callEnds()
    }
    this.reach(() => run().then(ended, (error: unknown) => this.unexpected(error, 'a call rejects')))
  }
}

/**
 * A device is about to be let in; something comes from it; a command has left for it, perhaps over a connection that is not read; one waits for room or
 * its codec; the process is about to be told to stop.
 */
export type Moment = 'login' | 'input' | 'published' | 'published unread' | 'held' | 'stop'
