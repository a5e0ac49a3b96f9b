// Progress among several nodes: what one of them has left to another is found within one sweep, whatever becomes of the signals. Each rule is a condition
// that must not last: it is looked at for every node that runs and can reach the store, for as long as it does. Not here: what must hold at every step
// (checks.ts, ledger.ts).

import { State } from '../src/core/command.ts'
import { NODE_MARGIN_MS, NODE_SWEEP_MS } from '../src/core/limits.ts'
import type { Incarnation } from './incarnation.ts'
import type { Invariant } from './invariants.ts'
import type { Entry, Log } from './ledger.ts'
import type { Site } from './site.ts'

/** ms that a sweep may take beside its pause: it waits for a batch, reads, and its ticks are a batch that waits for another; each call may be slow */
const BATCHES_MS = 2_000
const SWEEP_MS = NODE_SWEEP_MS + BATCHES_MS
/** ms between two looks: what lasts as long as a sweep is not missed */
const LOOK_EVERY_MS = 50

/** ms; NODE_ROUND_TRIP_MAX_MS is the most */
const FAR_APART_MS = 400

/** Something that must not last. */
interface Condition {
  readonly key: string
  readonly lastsMs: number
  readonly invariant: Invariant
  readonly deviceId: number
  readonly what: string
}

export class Progress {
  readonly #site: Site
  #since = new Map<string, number>()
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(site: Site) {
    this.#site = site
  }

  /** Time has passed in which nobody could do anything. */
  forget(): void {
    this.#since.clear()
  }

  look(): void {
    const { world, hosts, ledger } = this.#site
    if (world.now < this.#lookedAt + LOOK_EVERY_MS) return
    this.#lookedAt = world.now
    this.#noteClocks()
    const since = new Map<string, number>()
    for (const host of hosts) {
      const process = host.current
      if (process === null || !process.isListening || host.isStill || host.isCut) continue
      if (world.now < host.troubledUntil || !host.isOnTime) continue
      for (const { key, lastsMs, invariant, deviceId, what } of this.#conditions(process)) {
        const from = this.#since.get(key) ?? world.now
        since.set(key, from)
        if (world.now - from > lastsMs)
          ledger.broken(invariant, deviceId, `${what}: for ${world.now - from} ms now, node ${process.node} runs`)
      }
    }
    this.#since = since
  }

  /** Clocks that agree would put little to the test. */
  #noteClocks(): void {
    const { world, hosts } = this.#site
    const onTime = hosts.filter(({ isStill, isOnTime }) => !isStill && isOnTime)
    const clocks = onTime.flatMap(({ current }) => (current?.isListening === true ? [current.clock.now()] : []))
    if (Math.max(...clocks) - Math.min(...clocks) >= FAR_APART_MS) world.count('clocks of nodes far apart')
  }

  *#conditions(process: Incarnation): Generator<Condition> {
    const { ledger, checks } = this.#site
    const ready = new Set([...process.connections].flatMap(({ line }) => line.readyNow()))
    for (const log of ledger.logs) {
      if (ready.has(log.deviceId)) yield* this.#sending(process, log)
      yield* this.#due(process, log)
      yield* this.#links(process, log)
    }
    for (const { id, deviceId, expireAt, isFinal } of checks.waitersAt(process.number)) {
      const common = { invariant: 41, deviceId } as const
      if (isFinal)
        yield { ...common, ...this.#of(process, `told ${id}`), what: `who waits for ${id} is not told its end` }
      const isOver = process.clock.now() >= expireAt
      const isLate = { ...common, invariant: 9, key: `${process.number} over ${id}` } as const
      // Its device is here: the timer of this node is for it. Elsewhere it is this node's only once it is overdue by any clock.
      const isHere = process.holds(deviceId)
      const lastsMs = isHere ? BATCHES_MS : NODE_MARGIN_MS + SWEEP_MS
      if (isOver)
        yield {
          ...isLate,
          key: `${isLate.key} ${isHere}`,
          lastsMs,
          what: `who waits for ${id} was not told by ${expireAt}`,
        }
    }
  }

  #of(process: Incarnation, what: string): { readonly key: string; readonly lastsMs: number } {
    return { key: `${process.number} ${what}`, lastsMs: SWEEP_MS }
  }

  /** A device is ready here, something is created, and nothing is sent. */
  *#sending(process: Incarnation, log: Log): Generator<Condition> {
    const { ledger } = this.#site
    if (!process.holds(log.deviceId) || log.disabled || log.deleted || !process.engine.mayPublish()) return
    if (ledger.inState(log.deviceId, State.sent).length > 0) return
    const [head] = ledger.inState(log.deviceId, State.created)
    const what = `${head?.id} waits, the device is ready, and nothing is sent`
    if (head !== undefined)
      yield { ...this.#of(process, `send ${head.id}`), invariant: 8, deviceId: log.deviceId, what }
  }

  /** Something is due by the clock of a node that has to see to it. */
  *#due(process: Incarnation, log: Log): Generator<Condition> {
    if (log.deleted || !this.#mustTick(process, log)) return
    const now = process.clock.now()
    for (const entry of this.#open(log)) {
      const due = entry.state === State.sent ? entry.deadlineAt : entry.expireAt
      if (due === null || now < due) continue
      const isHere = process.holds(log.deviceId) && entry.sentSession === log.sessions
      const slackMs = entry.state === State.sent && !isHere ? NODE_MARGIN_MS : 0
      const key = `${process.number} due ${entry.id} ${entry.state} ${isHere}`
      const what = `${entry.id} was due at ${due}, and is as it was`
      yield { key, lastsMs: slackMs + SWEEP_MS, invariant: 19, deviceId: log.deviceId, what }
    }
  }

  #open({ deviceId }: Log): Entry[] {
    const { ledger } = this.#site
    return [...ledger.inState(deviceId, State.created), ...ledger.inState(deviceId, State.sent)]
  }

  /** It has the device on record, nobody has, or whoever has it lost its lease long enough ago. */
  #mustTick(process: Incarnation, { sessionNode }: Log): boolean {
    if (sessionNode === null || sessionNode === process.node) return true
    return this.#site.leases.isFree(sessionNode, NODE_MARGIN_MS)
  }

  /** A connection here that is not the device's any more. */
  *#links(process: Incarnation, log: Log): Generator<Condition> {
    const { deviceId, sessionIn, sessionNode, lastOnlineAt } = log
    const isOnline = process.engine.isOnline(deviceId)
    if (isOnline && (log.disabled || log.deleted))
      yield {
        ...this.#of(process, `barred ${deviceId}`),
        invariant: 33,
        deviceId,
        what: 'is connected, and is disabled or deleted',
      }
    if (isOnline && !log.deleted && sessionIn !== process.number)
      yield {
        ...this.#of(process, `old ${deviceId}`),
        invariant: 41,
        deviceId,
        what: `its connection is not the newest any more`,
      }
    const isOnRecord = sessionIn === process.number && sessionNode === process.node && !log.deleted
    if (!isOnline && isOnRecord && !this.#site.checks.isEndLost(log))
      yield {
        ...this.#of(process, `gone ${deviceId}`),
        invariant: 28,
        deviceId,
        what: `is away, on record it is here since ${lastOnlineAt}`,
      }
  }
}
