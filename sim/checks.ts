// The invariants that are looked at while a world runs: as bytes leave, as callers are answered, and whenever the process is at rest.
// Their list is invariants.ts; what is checked commit by commit is in ledger.ts, call by call in history.ts.

import { type Command, type Downlink, State, stateName } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import { NODE_ROUND_TRIP_MAX_MS, NODE_SWEEP_MS, RETRY_AFTER_MS } from '../src/core/limits.ts'
import type { Answers } from '../src/core/queue.ts'
import type { Store } from '../src/store/store.ts'
import type { Settlement } from '../src/waiters.ts'
import type { Call, History } from './history.ts'
import { type Entry, isFarOff, type Ledger, type Log } from './ledger.ts'
import type { World } from './world.ts'

/** the measurepoint that devices report */
export const READING = 'reading'

/** A connection, and who has a session on it. */
interface Carrier {
  sessionOf(deviceId: number): number | null
}

/** One connection, as far as the rule about dead ones is concerned. */
interface Heard {
  /** something arrived since the last command was written to it */
  since: boolean
  /** what was written to it since something arrived, with its device */
  written: { readonly deviceId: number; readonly entry: Entry }[]
}

/** A caller that waits. Several may wait for one command. */
export interface Waiter {
  readonly call: Call
  readonly id: string
  readonly expireAt: number
  /** the process at which it waits */
  readonly process: number
  /** it came after the first call */
  readonly repeats: boolean
}

/** The process, as far as its answers are concerned. */
interface Answering {
  readonly number: number
  /** by the store, its node's lease is good */
  readonly hasLease: boolean
  /** ms by which its clock is ahead of the store's; null where it goes by none */
  readonly aheadMs: number | null
}

/** Somebody was told that the device is barred: by which process, and when. */
interface Bar {
  readonly process: number
  readonly at: number
}

/** ms for which a node that is not told may go on sending what it holds: until its sweep, which may be slow */
const BARRED_ELSEWHERE_MS = NODE_SWEEP_MS + 2_000

/** What the process looks like when nothing is in flight in it. */
export interface AtRest {
  readonly now: number
  readonly stopping: boolean
  /** instant of the last store fault, on the world's own time: what failed then is tried again a little later */
  readonly faultAt: number
  /** ms that the calls around a failed one may take until the pause before the next attempt begins */
  readonly faultMarginMs: number
  readonly worldNow: number
  /** number of the process */
  readonly process: number
  isOnline(deviceId: number): boolean
  /** connected, and its session may be sent to */
  isReady(deviceId: number): boolean
}

export class Checks {
  readonly #world: World
  readonly #ledger: Ledger
  readonly #history: History
  readonly #heard = new WeakMap<Carrier, Heard>()
  readonly #waiters = new Set<Waiter>()
  readonly #cancelledBy = new Map<string, Call>()
  /** cancels whose answer nobody got: the process died, or a fault struck */
  readonly #lostCancels = new Set<number>()
  readonly #received = new Set<string>()
  readonly #accepted = new Map<string, number>()
  /** lengths of the logs when the newest process started */
  readonly #lengthAtStart = new Map<number, number>()
  readonly #refusedTags = new Map<number, number>()
  /** devices of which somebody was told that they are disabled or deleted */
  readonly #barred = new Map<number, Bar>()
  /** sessions whose end a fault kept from being recorded, by device */
  readonly #lostEnds = new Map<number, number>()
  readonly #isMany: boolean
  /** by device the largest reading that it was told to be saved, and when it had reported it */
  readonly #saved = new Map<number, { readonly reading: number; readonly asked: number }>()

  /** nodes: that share the store */
  constructor(world: World, ledger: Ledger, history: History, nodes: number) {
    this.#world = world
    this.#isMany = nodes > 1
    this.#ledger = ledger
    this.#history = history
  }

  // --- as it happens ---------------------------------------------------------------------------------------------

  /** Something came from the device, on this connection. */
  arrived(connection: Carrier): void {
    const heard = this.#heard.get(connection)
    if (heard === undefined) return
    heard.since = true
    heard.written = []
  }

  /** The bytes of a PUBLISH leave: the moment that counts for every promise about publishing. */
  publishing(connection: Carrier, by: Answering, deviceId: number, downlink: Downlink, now: number): void {
    const log = this.#ledger.log(deviceId)
    const { commandId: id, session } = downlink
    const entry = log.commands.get(id)
    const broken = (invariant: 1 | 2 | 4 | 5 | 6 | 15 | 33 | 39 | 42, what: string): void =>
      this.#ledger.broken(invariant, deviceId, `${id} is published ${what}`)
    this.#world.count('published')
    if (entry === undefined) {
      broken(1, 'and not on record')
      return
    }
    // What was sent before that, and waited for room or its codec, may leave until it is answered that the device is disabled or deleted.
    const isBarred = (log.disabled || log.deleted) && (entry.sentIn?.commit ?? 0) >= log.barredIn
    if (isBarred) broken(33, 'to a device that is disabled or deleted')
    const isDeleted = log.deleted && !isBarred
    if (!by.hasLease) broken(39, 'by a node whose lease is over')
    if (isFarOff(by.aheadMs)) broken(42, `by a node whose clock is ${by.aheadMs} ms ahead of the store's`)
    if (this.#cancelledBy.has(id)) broken(2, 'after a cancel reported it')
    if (entry.published > 0) broken(4, 'again')
    entry.published += 1
    if (isDeleted) this.#world.count('held command leaves while its device is being deleted')
    else if (entry.guessed && entry.state !== State.sent) this.#world.count('device settles what has not left yet')
    else if (entry.state !== State.sent)
      broken(entry.state === State.cancelled ? 2 : 4, `while it is ${stateName[entry.state]}`)
    if (entry.sentSession !== session) broken(4, `on session ${session}, it was sent on ${entry.sentSession}`)
    if (id <= log.lastPublished) broken(5, `after ${log.lastPublished}`)
    log.lastPublished = id
    if (now >= entry.expireAt) broken(6, `at ${now}, it expires at ${entry.expireAt}`)
    if (now >= Number(entry.deadlineAt)) broken(6, `at ${now}, its deadline is ${entry.deadlineAt}`)
    if (tagOf(downlink.inputJson) !== entry.tag)
      this.#ledger.broken(17, deviceId, `${id} is published with another input`)
    const bar = this.#barred.get(deviceId)
    // Another node finds out a little later that the connection that it holds is to end.
    if (bar !== undefined && (bar.process === by.number || this.#world.now > bar.at + BARRED_ELSEWHERE_MS))
      broken(33, 'and the device may have nothing')
    this.#checkHeard(connection, deviceId, entry)
    this.#history.published(deviceId, id)
  }

  /**
   * A connection on which a command timed out, and nothing has come since, gets no more: its device nothing at all, others on the same connection
   * nothing that was decided after that. A device that was gone by then says nothing about the connection.
   */
  #checkHeard(connection: Carrier, deviceId: number, entry: Entry): void {
    const heard = this.#heard.get(connection) ?? { since: false, written: [] }
    for (const before of heard.written) {
      const { state, settledIn, id, sentSession, sentIn, settledBy } = before.entry
      if (state !== State.timedOut || connection.sessionOf(before.deviceId) !== sentSession) continue
      // Another node, which had it lapse for one that did not in time, knows nothing of the connection.
      if (settledBy !== sentIn?.process) continue
      if (before.deviceId === deviceId || settledIn < (entry.sentIn?.commit ?? 0))
        this.#ledger.broken(15, deviceId, `${entry.id} is published on a connection silent since ${id} timed out`)
    }
    this.#heard.set(connection, { since: false, written: [...heard.written, { deviceId, entry }] })
  }

  /** The process closes a connection: as silent only where nothing came since the last command. */
  closing(connection: Carrier, deviceId: number, reason: string): void {
    if (reason === 'silent after a command' && this.#heard.get(connection)?.since === true)
      this.#ledger.broken(15, deviceId, 'a connection on which something came is closed as silent')
  }

  /** Somebody was told that the device is disabled, or deleted; or asks that it be enabled again. */
  bar(deviceId: number, process: number, isOnline: boolean): void {
    if (isOnline) this.#ledger.broken(33, deviceId, 'has a connection when that is answered')
    this.#barred.set(deviceId, { process, at: this.#world.now })
  }

  unbar(deviceId: number): void {
    this.#barred.delete(deviceId)
  }

  /** A fault has kept the end of a session from being put on record. */
  endLost(deviceId: number, session: number): void {
    this.#lostEnds.set(deviceId, session)
  }

  isEndLost({ deviceId, sessions }: Pick<Log, 'deviceId' | 'sessions'>): boolean {
    return this.#lostEnds.get(deviceId) === sessions
  }

  /** A device was told that its reading is saved. Its readings grow. */
  saved(deviceId: number, reading: number, asked: number): void {
    if (reading > (this.#saved.get(deviceId)?.reading ?? 0)) this.#saved.set(deviceId, { reading, asked })
  }

  /** A command has reached its device. */
  received(deviceId: number, id: string, inputJson: string): void {
    if (this.#received.has(id)) this.#ledger.broken(4, deviceId, `${id} reaches the device twice`)
    this.#received.add(id)
    const entry = this.#ledger.log(deviceId).commands.get(id)
    if (entry === undefined) {
      this.#ledger.broken(1, deviceId, `${id} reaches a device that it is not for`)
      return
    }
    if (tagOf(inputJson) !== entry.tag) this.#ledger.broken(17, deviceId, `${id} arrives with another input`)
    if (this.#cancelledBy.has(id)) this.#ledger.broken(2, deviceId, `${id} arrives after a cancel reported it`)
  }

  /** The process has got an answer of this device from the network. True where the command has left: a device may guess ids before. */
  answerArrived(deviceId: number, id: string, code: string): boolean {
    const { answers, commands } = this.#ledger.log(deviceId)
    answers.set(id, [...(answers.get(id) ?? []), code])
    const entry = commands.get(id)
    if (entry === undefined) return false
    entry.guessed ||= entry.published === 0
    return entry.published > 0
  }

  /** The PUBACK of an answer leaves. */
  acknowledging(deviceId: number, id: string): void {
    const entry = this.#ledger.log(deviceId).commands.get(id)
    if (entry?.state === State.sent)
      this.#ledger.broken(18, deviceId, `the answer to ${id} is acknowledged while it is still sent`)
  }

  accepted(call: Call, { id, state }: Command, tag: number): void {
    if (this.#ledger.byTag.get(tag)?.id !== id)
      this.#ledger.broken(1, call.deviceId, `the call with tag ${tag} is answered ${id}, which is not on record`)
    this.#accepted.set(id, call.deviceId)
    this.#history.accepted(call, id, state)
  }

  /** The call was taken for a repeat, which changes nothing; `command`: what it is a repeat of, where that is not over. */
  repeated(call: Call, command: Command | null, id: string, tag: number): void {
    this.#refusedTags.set(tag, call.deviceId)
    this.#accepted.set(id, call.deviceId)
    if (command === null) return
    this.#history.saw(call, id, command.state)
    this.#history.matches(call, [[id, command.state]])
  }

  /** A caller waits from now on. */
  waits(waiter: Waiter): void {
    this.#waiters.add(waiter)
  }

  /** The call was refused: nothing is stored, as the answer says. */
  refused(call: Call, tag: number): void {
    this.#refusedTags.set(tag, call.deviceId)
  }

  settled(waiter: Waiter, settlement: Settlement): void {
    if (!this.#waiters.delete(waiter)) throw new Error('an answer that nobody waited for')
    const { call, id, repeats } = waiter
    const { type, command } = settlement
    const isFinal = command.state !== State.created && command.state !== State.sent
    if (command.id !== id || (type === 'settled') !== isFinal)
      this.#ledger.broken(9, call.deviceId, `who waits for ${id} is told ${type}, ${stateName[command.state]}`)
    if (type === 'settled') this.#history.saw(call, id, command.state)
    this.#history.matches(call, [[id, command.state]])
    this.#ledger.keys.ended(call.deviceId, settlement, repeats)
  }

  cancelled(call: Call, commands: readonly Command[], all: boolean): void {
    const { deviceId } = call
    const log = this.#ledger.log(deviceId)
    let last = ''
    for (const { id, state } of commands) {
      if (id <= last) this.#ledger.broken(16, deviceId, `a cancel lists ${id} after ${last}`)
      last = id
      if (state !== State.cancelled) this.#ledger.broken(2, deviceId, `a cancel lists ${id} as ${stateName[state]}`)
      if (log.commands.get(id)?.state !== State.cancelled) this.#ledger.broken(2, deviceId, `a cancel lists ${id}`)
      if ((log.commands.get(id)?.published ?? 0) > 0)
        this.#ledger.broken(2, deviceId, `${id} was published and is reported cancelled`)
      if (this.#cancelledBy.has(id)) this.#ledger.broken(2, deviceId, `${id} is reported cancelled by two calls`)
      this.#cancelledBy.set(id, call)
      this.#history.saw(call, id, state)
    }
    const told = commands.map(({ id, state }) => [id, state] as const)
    this.#history.matches(call, told, all ? new Set([State.created]) : undefined)
    if (all) this.#history.cancelledAll(call)
  }

  /** A device shows its own secret, or says that it has got it. */
  proves(deviceId: number): void {
    this.#ledger.log(deviceId).proven = true
  }

  /** What it proved has been taken. */
  isActive(deviceId: number): void {
    const { activeAt, deleted } = this.#ledger.log(deviceId)
    if (activeAt === null && !deleted)
      this.#ledger.broken(37, deviceId, 'has shown a secret of its own, and is not active')
  }

  /** A deletion said what it settled: that, and nothing that had left. */
  deleted(deviceId: number, { cancelled, failed }: Answers['delete']): void {
    const { commands, deleted } = this.#ledger.log(deviceId)
    if (!deleted) this.#ledger.broken(36, deviceId, 'is said to be deleted, and is not')
    for (const { id } of cancelled)
      if (commands.get(id)?.state !== State.cancelled || commands.get(id)?.published !== 0)
        this.#ledger.broken(36, deviceId, `${id} is said to be cancelled by the deletion`)
    if (failed !== null && commands.get(failed.id)?.state !== State.failed)
      this.#ledger.broken(36, deviceId, `${failed.id} is said to have failed by the deletion`)
  }

  lostCancel(deviceId: number): void {
    this.#lostCancels.add(deviceId)
  }

  started(process: number): void {
    this.#world.note(null, `process ${process} has started`)
    for (const { deviceId, length } of this.#ledger.logs) this.#lengthAtStart.set(deviceId, length)
  }

  /** The process is gone: nobody waits for it any more. */
  died(process: number): void {
    for (const waiter of this.#waiters) if (waiter.process === process) this.#waiters.delete(waiter)
  }

  /** The process has ended in order: everybody has been told. */
  stopped(process: number): void {
    for (const waiter of this.#waiters)
      if (waiter.process === process)
        this.#ledger.broken(9, waiter.call.deviceId, `it has stopped, and who waits for ${waiter.id} was not told`)
    this.died(process)
  }

  /** Who waits at this process, and whether what they wait for is final on record. */
  waitersAt(process: number): { id: string; deviceId: number; expireAt: number; isFinal: boolean }[] {
    return [...this.#waiters]
      .filter(waiter => waiter.process === process)
      .map(({ id, expireAt, call: { deviceId } }) => {
        const state = this.#ledger.log(deviceId).commands.get(id)?.state
        return { id, deviceId, expireAt, isFinal: state !== State.created && state !== State.sent }
      })
  }

  // --- at rest ---------------------------------------------------------------------------------------------------

  atRest(rest: AtRest): void {
    this.#world.count('rest')
    const isExcused = rest.worldNow - rest.faultAt <= RETRY_AFTER_MS + rest.faultMarginMs
    if (isExcused || rest.stopping) return
    this.#checkDue(rest)
    for (const { deviceId, disabled, deleted } of this.#ledger.logs) {
      const isOnline = rest.isOnline(deviceId)
      if (!isOnline) this.#checkAway(deviceId, rest.process)
      if (isOnline && (disabled || deleted))
        this.#ledger.broken(33, deviceId, 'is connected, and is disabled or deleted')
      if (!rest.isReady(deviceId)) continue
      const [head] = this.#ledger.inState(deviceId, State.created)
      if (head && this.#ledger.inState(deviceId, State.sent).length === 0)
        this.#ledger.broken(8, deviceId, `${head.id} waits, the device is ready, and nothing is sent`)
    }
  }

  /** What a process found when it started may wait for the device's next step. */
  #checkAway(deviceId: number, process: number): void {
    const { sessionIn, sessions, lastOnlineAt, lastOfflineAt, deleted } = this.#ledger.log(deviceId)
    const isKnown = sessionIn === process && !this.isEndLost({ deviceId, sessions }) && !deleted
    if (isKnown && Number(lastOnlineAt) > Number(lastOfflineAt))
      this.#ledger.broken(28, deviceId, `is away, on record it is here since ${lastOnlineAt}`)
    const waits = this.#ledger.inState(deviceId, State.created).find(({ instant }) => instant)
    if (waits !== undefined && Number(waits.history[0]?.from) > (this.#lengthAtStart.get(deviceId) ?? 0))
      this.#ledger.broken(24, deviceId, `${waits.id} waits, and the device is away`)
  }

  #checkDue({ now }: AtRest): void {
    for (const { id, call, expireAt } of this.#waiters)
      if (now >= expireAt)
        this.#ledger.broken(9, call.deviceId, `who waits for ${id} was not told by ${expireAt}, it is ${now}`)
    for (const { deviceId, commands } of this.#ledger.logs)
      for (const entry of commands.values()) {
        const due = dueAt(entry)
        if (due !== null && now >= due)
          this.#ledger.broken(19, deviceId, `${entry.id} is ${stateName[entry.state]} at ${now}, it was due at ${due}`)
      }
  }

  /** The store, read back whole, says what the ledger says: after a start, and at the end. */
  async compareStore(store: Store): Promise<void> {
    await this.#ledger.keys.compareStore(store)
    for (const { deviceId, commands, length, deleted } of this.#ledger.logs) {
      const { rows } = await store.search(deviceId, null, 0, Number.MAX_SAFE_INTEGER)
      const stored = new Map(rows.map(row => [row.command.id, row]))
      for (const entry of commands.values()) {
        const row = stored.get(entry.id)
        stored.delete(entry.id)
        if (row === undefined) {
          if (!this.#history.mayBeGone(entry))
            this.#ledger.broken(1, deviceId, `${entry.id} is not in the store any more`)
        } else if (
          row.command.state !== entry.state ||
          row.command.code !== entry.code ||
          tagOf(row.body.inputJson) !== entry.tag
        )
          this.#ledger.broken(
            1,
            deviceId,
            `the store has ${entry.id} as ${stateName[row.command.state]}, not ${stateName[entry.state]}`,
          )
      }
      for (const { command, body } of rows)
        if (body.outputJson !== null && body.outputJson !== `{"of":"${command.id}"}`)
          this.#ledger.broken(18, deviceId, `${command.id} has the outputs of another answer: ${body.outputJson}`)
      for (const id of stored.keys())
        this.#ledger.broken(17, deviceId, `the store has ${id}, which was never committed`)
      for (const { id, events: count } of commands.values()) {
        const kept = await store.events(deviceId, id, Number.MAX_SAFE_INTEGER)
        const isThere = rows.some(({ command }) => command.id === id)
        if (isThere && kept.length !== count)
          this.#ledger.broken(13, deviceId, `the store has ${kept.length} events of ${id}, ${count} were committed`)
      }
      await this.#compareReading(store, deviceId, deleted)
      const events = await store.events(deviceId, null, 1)
      const last = events[0]?.seq ?? length
      const [queue] = await store.load([{ deviceId, commandIds: [] }])
      if (deleted && queue !== null) this.#ledger.broken(36, deviceId, 'was deleted, and is still in the store')
      if (deleted) continue
      if (queue?.eventSeq !== length || last > length)
        this.#ledger.broken(13, deviceId, `the store has ${queue?.eventSeq} events, ${length} were committed`)
    }
  }

  async #compareReading(store: Store, deviceId: number, deleted: boolean): Promise<void> {
    const wanted = this.#saved.get(deviceId)
    if (wanted === undefined || deleted) return
    const [latest] = await store.latestValues(deviceId, [READING])
    if (latest !== undefined && Number(latest.valueJson) >= wanted.reading) return
    // Another node, whose clock is ahead, may have dated an earlier one later.
    if (this.#isMany && latest !== undefined && latest.at >= wanted.asked - NODE_ROUND_TRIP_MAX_MS) return
    this.#ledger.broken(35, deviceId, `was told that ${wanted.reading} is saved, on record is ${latest?.valueJson}`)
  }

  /** When everything is over. */
  atEnd(): void {
    for (const [id, deviceId] of this.#accepted)
      if (!this.#ledger.log(deviceId).commands.has(id))
        this.#ledger.broken(1, deviceId, `${id} was accepted and is lost`)
    for (const [tag, deviceId] of this.#refusedTags)
      if (this.#ledger.byTag.has(tag))
        this.#ledger.broken(17, deviceId, `the call with tag ${tag} was refused and is on record`)
    for (const { deviceId, commands, deleted } of this.#ledger.logs)
      for (const { id, state, code } of commands.values()) {
        if (state === State.created || state === State.sent)
          this.#ledger.broken(21, deviceId, `${id} is ${stateName[state]} at the end`)
        const byDeletion = deleted && code === errors.deviceDeleted.code
        const isTold = this.#cancelledBy.has(id) || this.#lostCancels.has(deviceId) || byDeletion
        if (state === State.cancelled && !isTold)
          this.#ledger.broken(2, deviceId, `${id} is cancelled, and no cancel reported it`)
      }
    for (const { id, call } of this.#waiters)
      this.#ledger.broken(9, call.deviceId, `who waits for ${id} was never told`)
    this.#history.checkAll()
  }
}

const dueAt = ({ state, expireAt, deadlineAt }: Entry): number | null => {
  if (state === State.sent) return deadlineAt
  return state === State.created ? expireAt : null
}

const tagOf = (inputJson: string): number => Number(JSON.parse(inputJson).tag)
