// A machine that processes are started on, one after another: how they are started, stopped and killed; how it stands still, sleeps, or loses the store.
// Not here: what a process is (incarnation.ts), what all machines have in common (site.ts).

import { State } from '../src/core/command.ts'
import { NODE_LEASE_MS, NODE_MARGIN_MS, NODE_ROUND_TRIP_MAX_MS, RETRY_AFTER_MS } from '../src/core/limits.ts'
import type { Queue } from '../src/core/queue.ts'
import { ServerConnection } from './connection.ts'
import type { CrashPoint, FaultsDue } from './gate.ts'
import { never } from './gate.ts'
import { Incarnation } from './incarnation.ts'
import type { Hardware } from './machine.ts'
import type { Site } from './site.ts'
import type { Wire } from './wire.ts'
import type { Runner, World } from './world.ts'

/** A process may come back with another node number, smaller or larger. */
const NODES = [1, 1, 1, 0, 2] as const
const DOWN_MAX_MS = 500
const LONG_DOWN_MAX_MS = 20_000
const HTTP_CLOSE_MAX_MS = 3_000
/** ms after which a process that does not come to its end is killed, as the product does it with itself */
const STOP_AT_LATEST_MS = 10_000
/** several calls in a row, none of them stuck, or some */
const MARGIN_MS = 500
const STUCK_MARGIN_MS = 6_000
/** ms for which what held a process up explains that a batch took long */
const HELD_UP_MS = 12_000
/** chance that a process wants a number of its own */
const WANTS_ITS_OWN = 0.3
/** ms after the process has learned how long it slept, in which whatever was to be ready in a while has become so */
const SLEEP_FORGOTTEN_MS = 15_000
/** chance for each batch that sends, and ms: a lease may be over by then */
const MEANWHILE = 0.02
const UNTIL_THE_DEADLINE = 0.15
const MEANWHILE_MAX_MS = 9_000
const WHILE_HELD = 0.9
const CLOCKS_APART_MS = NODE_ROUND_TRIP_MAX_MS
const JUST_BEFORE_MS = 10_000
/** share of its time by which a machine's clock is wrong */
const PACE_MAX = 50
const PACE_UNIT = 1e-6
const WALL_MAX_MS = 5_000

/** Most ms that a call that keeps leases takes in each direction, as a rule; or, where it is steady, what each of them takes. */
interface Route {
  readonly there: number
  readonly back: number
  readonly isSteady: boolean
}

const [SHORT_WAY_MS, LONG_WAY_MS] = [15, 475]

/** What such a call says of the time is wrong by half of what one direction takes longer than the other. */
function drawRoute({ random, faults }: World, index: number): Route {
  const [there, back] = index % 2 === 0 ? [SHORT_WAY_MS, LONG_WAY_MS] : [LONG_WAY_MS, SHORT_WAY_MS]
  if (faults.farApart) return { there, back, isSteady: true }
  const way = (): number => random.pick([0, SHORT_WAY_MS, (SHORT_WAY_MS + LONG_WAY_MS) / 2])
  return { there: way(), back: way(), isSteady: random.chance(0.3) }
}

export class Host implements Hardware {
  readonly site: Site
  readonly world: World
  /** from 0 on */
  readonly index: number
  crashDue: CrashPoint | null = null
  /** when the store last failed on purpose */
  faultAt = Number.NEGATIVE_INFINITY
  /** when a call to the store last hung for long */
  stuckAt = Number.NEGATIVE_INFINITY
  /** until when what went wrong explains that nothing is done */
  troubledUntil = Number.NEGATIVE_INFINITY
  readonly faultsDue: FaultsDue = new Map()
  goesOnAt = Number.NEGATIVE_INFINITY
  first: Runner['first'] = 'timers'
  readonly pace: number
  readonly wallAheadMs: number
  readonly route: Route
  /** the store cannot be reached until then */
  cutUntil = Number.NEGATIVE_INFINITY
  #deafUntil = Number.NEGATIVE_INFINITY
  #sleptMs = 0
  #asleep: { readonly from: number; readonly ms: number } | null = null
  /** when it woke, if nobody has told it the time since */
  #wokeAt: number | null = null
  /** until then timers may be late by as much as it slept */
  #timersLateUntil = Number.NEGATIVE_INFINITY
  #process: Incarnation | null = null
  readonly #wires = new Set<Wire>()

  constructor(site: Site, index: number) {
    this.site = site
    this.world = site.world
    this.index = index
    const { random } = site.world
    this.pace = site.isMany ? 1 + random.int(-PACE_MAX, PACE_MAX) * PACE_UNIT : 1
    this.wallAheadMs = site.isMany ? random.int(-WALL_MAX_MS, WALL_MAX_MS) : 0
    this.route = site.isMany ? drawRoute(site.world, index) : { there: 0, back: 0, isSteady: false }
  }

  /** The process that runs here, if one has started. */
  get current(): Incarnation | null {
    return this.#process?.started === true ? this.#process : null
  }

  // --- time ------------------------------------------------------------------------------------------------------------

  get awakeMs(): number {
    const { now } = this.world
    if (this.#asleep !== null && now < this.#asleep.from + this.#asleep.ms)
      return this.#asleep.from - (this.#sleptMs - this.#asleep.ms)
    return now - this.#sleptMs
  }

  get isStill(): boolean {
    return this.world.now < this.goesOnAt
  }

  get isCut(): boolean {
    return this.world.now < this.cutUntil
  }

  get isDeaf(): boolean {
    return this.world.now < this.#deafUntil
  }

  /** It has learned the time since it last slept. */
  get isOnTime(): boolean {
    return this.#wokeAt === null
  }

  knowsTheTime(asked: number): void {
    if (this.#wokeAt === null || asked < this.#wokeAt) return
    this.#wokeAt = null
    this.#timersLateUntil = this.world.now + SLEEP_FORGOTTEN_MS
  }

  /** The process stands still, and time goes on: SIGSTOP, or a long stop of the loop. */
  pause(ms: number): void {
    if (this.isStill) return
    this.world.note(null, `machine ${this.index} pauses its process for ${ms} ms`)
    this.#standStill(ms)
  }

  #standStill(ms: number): void {
    this.goesOnAt = this.world.now + ms
    this.first = this.world.random.pick(['timers', 'packets'])
    this.world.count(`still, then ${this.first} first`)
    this.heldUp(ms)
  }

  /** The machine sleeps: its monotonic clock stops, and with it its timers; its wall clock goes on. */
  sleep(ms: number): void {
    if (this.isStill) return
    this.world.note(null, `machine ${this.index} sleeps for ${ms} ms`)
    this.world.delayTimers(this, ms)
    this.#sleptMs += ms
    this.#asleep = { from: this.world.now, ms }
    this.#wokeAt = this.world.now + ms
    this.#timersLateUntil = Number.POSITIVE_INFINITY
    this.#standStill(ms)
  }

  /** It does not stand still any more: whoever starts here next finds it awake. */
  #wake(): void {
    const { now } = this.world
    this.goesOnAt = Number.NEGATIVE_INFINITY
    if (this.#asleep === null) return
    const { from, ms } = this.#asleep
    const sleptMs = Math.min(ms, now - from)
    this.#sleptMs -= ms - sleptMs
    this.#asleep = { from, ms: sleptMs }
    this.#wokeAt = null
    this.#timersLateUntil = this.world.now
  }

  // --- what goes wrong ---------------------------------------------------------------------------------------------------

  failed(): void {
    this.faultAt = this.world.now
    this.troubled()
  }

  stuck(): void {
    this.stuckAt = this.world.now
    this.heldUp(STUCK_MARGIN_MS / 2)
  }

  /**
   * When the store last failed, or the process went on with what had come meanwhile, before its timers: a command that is held is given back by a timer,
   * and a call may have come to its device before.
   */
  get overtakenAt(): number {
    return Math.max(this.faultAt, this.first === 'packets' ? this.goesOnAt : this.faultAt)
  }

  /** Everything has stood still for so long. */
  jumped(ms: number): void {
    // What failed just before is tried again a while after.
    if (this.world.now - ms - this.faultAt < JUST_BEFORE_MS) this.faultAt = this.world.now
    if (this.world.now - ms < this.#timersLateUntil) this.#timersLateUntil += ms
    this.troubled()
  }

  /** What is tried again is so a little later. */
  troubled(): void {
    this.heldUp(RETRY_AFTER_MS + MARGIN_MS)
  }

  /** For so long nothing need be done in time here. */
  heldUp(ms: number): void {
    this.troubledUntil = Math.max(this.troubledUntil, this.world.now + ms)
  }

  /** A batch that takes long has a reason. */
  get wasHeldUp(): boolean {
    return this.world.now - this.troubledUntil <= HELD_UP_MS
  }

  /** The store cannot be reached from here for a while. */
  cut(ms: number): void {
    this.world.note(null, `machine ${this.index} is cut off from the store for ${ms} ms`)
    this.cutUntil = Math.max(this.cutUntil, this.world.now + ms)
    this.heldUp(ms + RETRY_AFTER_MS + NODE_MARGIN_MS)
  }

  /** A batch that sends something is being made durable: the process may stand still by then, or be cut off and not learn of it for a while. */
  strikesMeanwhile(queue: Queue): void {
    const { random, faults } = this.world
    const { pause, 'cut off from the store': cut } = faults.strikes
    if (cut > 0 && random.chance(MEANWHILE)) this.cut(random.int(100, MEANWHILE_MAX_MS))
    if (pause === 0) return
    if (random.chance(MEANWHILE)) this.pause(random.int(100, MEANWHILE_MAX_MS))
    // Where clocks are far apart it is deadlines that they may differ about.
    else if (random.chance(faults.farApart ? UNTIL_THE_DEADLINE : MEANWHILE)) this.#pauseUntilTheDeadline(queue)
  }

  /** It goes on a moment before what it is about to send lapses, by its own clock, and others look at the device just then. */
  #pauseUntilTheDeadline({ deviceId, open }: Queue): void {
    const { world } = this
    const deadlineAt = open.find(({ state }) => state === State.sent)?.deadlineAt ?? 0
    const leftMs = deadlineAt - (this.current?.clock.now() ?? 0)
    const ms = leftMs - world.random.int(1, CLOCKS_APART_MS / 2)
    // By then it must have its lease, or it sends nothing.
    if (ms < 1 || ms > NODE_LEASE_MS / 2) return
    world.count('fault paused until just before a deadline')
    this.pause(ms)
    const others = this.site.processes.filter(process => process !== this.current)
    for (const other of others) {
      const dueMs = deadlineAt - other.clock.now() + world.random.int(0, 20)
      world.after(Math.max(1, dueMs), 'actor', () => other.isReadOf(deviceId))
    }
  }

  /** A command waits inside, and it stands still for as long as a lease; but not for half of the command's time, after which it is given back. */
  strikesWhileHeld(deviceId: number): void {
    const { random, faults, calm } = this.world
    const [sent] = this.site.ledger.inState(deviceId, State.sent)
    const leftMs = Math.min(Number(sent?.deadlineAt), Number(sent?.expireAt)) - (this.current?.clock.now() ?? 0)
    if (calm || faults.strikes.pause === 0 || leftMs <= 2 * NODE_LEASE_MS || !random.chance(WHILE_HELD)) return
    this.world.count('fault paused while a command is held')
    this.pause(NODE_LEASE_MS)
    this.first = 'packets'
  }

  /** No signals come or go for a while. */
  deafen(ms: number): void {
    this.#deafUntil = Math.max(this.#deafUntil, this.world.now + ms)
  }

  /** The faults end here. */
  calm(): void {
    this.crashDue = null
    this.faultsDue.clear()
  }

  // --- processes -----------------------------------------------------------------------------------------------------------

  async boot(): Promise<void> {
    const { world, site } = this
    const process = new Incarnation(this, site.nextNumber())
    this.#process = process
    await site.checks.compareStore(site.store)
    if (site.isMany) {
      world.note(null, `process ${process.number} starts on machine ${this.index}`)
      await process.join(world.random.chance(WANTS_ITS_OWN) ? this.index : null)
      world.count('start')
    } else {
      const nodeNo = world.random.pick(NODES)
      const node = await site.store.node(nodeNo)
      site.ledger.idsUsed(nodeNo, node.lastCommandId)
      const steps = world.now + world.wallOffsetMs < node.clockFloor ? ', its wall clock behind the last commit' : ''
      world.note(null, `process starts${steps}`)
      world.count(`start${steps}`)
      site.ledger.started(process.number)
      await process.startAlone(nodeNo, node)
    }
    site.checks.started(process.number)
    process.started = true
    this.heldUp(MARGIN_MS)
  }

  /** A device opens a connection. */
  accept(process: Incarnation, wire: Wire, deviceId: number): void {
    this.#wires.add(wire)
    wire.host = this
    process.connections.add(new ServerConnection(process, wire, deviceId))
  }

  /** From one moment to the next the process does nothing any more. Its sockets are closed by the system, or, with the machine gone, by nobody. */
  crash(point: CrashPoint | 'starting' | 'while it stands still' | 'it does not come to its end'): void {
    const process = this.#process
    if (process === null) return
    process.alive = false
    this.crashDue = null
    this.world.count(`crash ${point}`)
    this.world.note(null, `process ${process.number} crashes: ${point}`)
    this.site.checks.died(process.number)
    const machineToo = this.world.random.chance(0.3)
    for (const wire of this.#wires)
      if (machineToo) {
        wire.mute('toServer')
        wire.mute('toDevice')
      } else wire.close('server', true)
    this.#restart(process, true)
  }

  #restart(process: Incarnation, killed: boolean): void {
    const { world, site } = this
    this.#wires.clear()
    this.#process = null
    this.#wake()
    for (const told of site.onDeath) told(process)
    const { stepBackMs } = world.faults
    const downMaxMs = world.random.chance(0.1) ? LONG_DOWN_MAX_MS : DOWN_MAX_MS
    world.after(world.random.int(5, downMaxMs), 'actor', () => {
      if (!site.isMany && stepBackMs > 0 && !world.calm && world.random.chance(0.5))
        world.wallOffsetMs -= world.random.int(1, stepBackMs)
      this.start(killed)
    })
  }

  /** Starts a process. One that cannot join ends, and the next one is started. */
  start(killed: boolean): void {
    const failed = (error: unknown): void => {
      const process = this.#process
      process?.unexpected(error, 'start failed')
      if (process === null || !this.site.isMany) return
      this.world.count('process cannot join')
      this.world.note(null, `process ${process.number} cannot join: ${String(error)}`)
      process.alive = false
      this.#restart(process, true)
    }
    void this.site
      .reopen(killed)
      .then(() => this.boot())
      .catch(failed)
  }

  /** SIGTERM: the order of things is that of the server. */
  stop(): void {
    const process = this.current
    if (process === null || process.stopping || this.isStill) return
    for (const { id } of this.site.family) if (process.engine.isOnline(id)) process.moment('stop', id)
    this.world.count('graceful stop')
    this.#end(process, 'is told to stop')
  }

  /** The process has learned that its number is another's: it ends as it does at SIGTERM. */
  ended(process: Incarnation): void {
    this.world.count('life of a node ended')
    if (!process.stopping) this.#end(process, 'has lost its number')
  }

  #end(process: Incarnation, why: string): void {
    process.stopping = true
    process.stoppedAt = process.clock.now()
    this.world.note(null, `process ${process.number} ${why}`)
    void this.#stopAll(process).catch((error: unknown) =>
      this.site.ledger.broken(20, null, `stop failed: ${String(error)}`),
    )
    if (!this.site.isMany) return
    this.world.after(STOP_AT_LATEST_MS, 'actor', () => {
      if (process.alive) this.crash('it does not come to its end')
    })
  }

  async #stopAll(process: Incarnation): Promise<void> {
    await Promise.all([process.engine.stop(), process.callsAnswered(), this.#closingOfHttp()])
    for (const connection of process.connections) connection.stop()
    await Promise.all([...process.connections].map(connection => connection.gone()))
    await process.engine.idle()
    if (!process.alive) return never()
    this.site.checks.stopped(process.number)
    await process.leave()
    if (!process.alive) return never()
    this.world.note(null, `process ${process.number} has stopped`)
    process.alive = false
    this.#restart(process, false)
  }

  /** Connections of callers may take a while to close, during which devices go on talking. */
  #closingOfHttp(): Promise<void> {
    const { world } = this
    const ms = world.calm ? 0 : world.random.int(0, HTTP_CLOSE_MAX_MS)
    return new Promise(resolve => world.after(ms, 'process', resolve, this))
  }

  /** SIGKILL, whatever it does. */
  kill(): void {
    const process = this.#process
    if (process === null) return
    if (!process.started) this.crash('starting')
    else if (this.isStill) this.crash('while it stands still')
    else this.crash('at rest')
  }

  // --- looked at after every step -------------------------------------------------------------------------------------

  /** The process is not in the middle of anything. */
  get isAtRest(): boolean {
    const process = this.current
    // What comes second when it goes on comes a moment later.
    if (process === null || !process.alive || this.world.now <= this.goesOnAt + 1) return false
    return process.inFlight === 0 && !this.world.isDue(this)
  }

  /** Every connection is as it should be. Returns who may be sent to. */
  linesAtRest(process: Incarnation): ReadonlySet<number> {
    const ready = new Set<number>()
    const now = process.clock.now()
    for (const { line } of process.connections) line.atRest(now, ready, this.#timersLateMs)
    return ready
  }

  /**
   * Timers go by the monotonic clock: where the process's clock leaps, because a look has shown it to be behind, they go off as much later. After a sleep
   * that is as long as the sleep was.
   */
  get #timersLateMs(): number {
    if (!this.site.isMany) return 0
    return this.world.now < this.#timersLateUntil ? Number.POSITIVE_INFINITY : NODE_ROUND_TRIP_MAX_MS
  }

  get faultMarginMs(): number {
    return this.stuckAt >= this.faultAt - STUCK_MARGIN_MS ? STUCK_MARGIN_MS : MARGIN_MS
  }
}
