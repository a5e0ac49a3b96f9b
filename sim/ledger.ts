// What became durable, written down by the simulator as each commit succeeds, and checked against rules of its own: the table of docs/states.md once more,
// in other words than core/queue.ts has it. Everything else is compared with this.

import { idMs, State, stateName } from '../src/core/command.ts'
import { ID_AHEAD_MAX_MS, NODE_ROUND_TRIP_MAX_MS } from '../src/core/limits.ts'
import type { QueueEvent } from '../src/core/queue.ts'
import type { Batch, DeviceChange } from '../src/store/store.ts'
import type { Invariant } from './invariants.ts'
import { invariants } from './invariants.ts'
import { Keys } from './keys.ts'
import type { World } from './world.ts'

/** One command as the ledger knows it. */
export interface Entry {
  readonly id: string
  /** the number that its caller put into its input: tells whose it is */
  readonly tag: number
  readonly instant: boolean
  readonly timeoutS: number
  readonly createdAt: number
  readonly expireAt: number
  /** it was accepted by a process that did not know how long its machine had slept: it may be over as it is accepted */
  readonly isLate: boolean
  deadlineAt: number | null
  /** the latest deadline that it ever had */
  sentUntil: number | null
  settledAt: number | null
  state: State
  /** its states in order; each holds from this position of the device's log on */
  readonly history: { readonly from: number; readonly state: State }[]
  sentSession: number | null
  /** the session that the event says it was sent on */
  saidSession: number | null
  /** times that its bytes left */
  published: number
  unsent: boolean
  /** its device answered before its bytes left, by a guess: what comes of that is the device's own doing */
  guessed: boolean
  code: number | null
  /** events of it, late replies included */
  events: number
  /** the process, the moment of the world and the commit in which it was last sent */
  sentIn: { readonly process: number; readonly worldNow: number; readonly commit: number } | null
  /** the commit that settled it, and the process that did */
  settledIn: number
  settledBy: number
}

export interface Log {
  readonly deviceId: number
  /** the number of the last event */
  length: number
  readonly events: QueueEvent[]
  /** the number of the newest session that is known to have begun: events of sessions that follow each other closely are left out */
  sessions: number
  readonly commands: Map<string, Entry>
  disabled: boolean
  deleted: boolean
  /** the commit that disabled or deleted it last */
  barredIn: number
  activeAt: number | null
  /** it has shown a secret of its own, or said that it has got one: whether or not that is on record yet */
  proven: boolean
  /** the largest id whose bytes left */
  lastPublished: string
  /** codes of the answers that the process has got from this device, by the command that they name */
  readonly answers: Map<string, string[]>
  /** as of the last commit */
  lastOnlineAt: number | null
  lastOfflineAt: number | null
  /** the process in which its newest session began */
  sessionIn: number
  /** the same; 0 once the device was disabled or deleted since, which ends its session */
  heldBy: number
  /** it began by a clock that went by the store's: others can tell how new it is */
  isDated: boolean
  /** the node of that session, as it is on record */
  sessionNode: number | null
}

/** A command may go from one state to another for these reasons, and no others. */
const table: Readonly<Record<string, { readonly reasons: RegExp; readonly only?: 'instant' | 'cached' }>> = {
  'new created': { reasons: /^accepted$/ },
  'new failed': { reasons: /^(inactive|offline|queueFull)$/ },
  'created cancelled': { reasons: /^(cancel|device deleted)$/ },
  'created expired': { reasons: /^pendingTtl$/, only: 'cached' },
  'created sent': { reasons: /^sent$/ },
  'created failed': { reasons: /^(offline|timeout)$/, only: 'instant' },
  'sent created': { reasons: /^unsent: (sessionGone|late|fenced)$/, only: 'cached' },
  'sent succeeded': { reasons: /^reply$/ },
  'sent failed': { reasons: /^(reply|unsent: (tooLarge|codec|unsupported)|device deleted)$/ },
  'sent failed instant': { reasons: /^unsent: (sessionGone|late|fenced)$/, only: 'instant' },
  'sent timedOut': { reasons: /^timeout$/ },
}

const isSuccess = (code: string): boolean => /^\s*(0|200)\s*$/.test(code)
const isFinal = (state: State): boolean => state !== State.created && state !== State.sent

/** What the ledger must be told about the process at the time of a commit. */
export interface Circumstances {
  /** the device was away, or disabled, at some moment since the batch was begun */
  wasAway(deviceId: number): boolean
  /** the same, as the process could know */
  seemedAway(deviceId: number): boolean
  /** its newest session is on another node, which was known to be gone */
  mustSeemAway(deviceId: number): boolean
  /** the process's clock when it was told to stop; null: it was not */
  readonly stoppedAt: number | null
  /** number of the process */
  readonly process: number
  /** when the store last failed on purpose, or calls went ahead of timers that were due, on the world's own time */
  readonly faultAt: number
  readonly node: number
  /** the device's newest session is at this process */
  isHere(deviceId: number): boolean
  /** ms for which what was sent over a session that is not here is left to whoever has it */
  readonly slackMs: number
  /** ms by which the process's clock is ahead of the store's; null where it goes by none */
  readonly aheadMs: number | null
  /** the same; null where that need not be small */
  readonly apartMs: number | null
}

/** ms by which a clock may be further from the store's than a look at it explains: what its pace loses between two, and what is rounded */
const APART_SLACK_MS = 15

/** A clock is further from the store's than any look at it that counts explains. */
export const isFarOff = (aheadMs: number | null): boolean =>
  aheadMs !== null && Math.abs(aheadMs) > NODE_ROUND_TRIP_MAX_MS / 2 + APART_SLACK_MS

export class Ledger {
  readonly #world: World
  readonly #logs = new Map<number, Log>()
  readonly byTag = new Map<number, Entry>()
  /** what keys were used for */
  readonly keys: Keys
  /** what settled before this instant may have been purged; a clock that is set back later brings it not back */
  purgedBefore = 0
  /** of the last batch of each process */
  readonly #lastAt = new Map<number, number>()
  /** the latest of all */
  #latestAt = 0
  /** batches so far */
  #commits = 0
  /** by node: each counts for itself */
  readonly #largestIds = new Map<number, string>()

  constructor(world: World, deviceIds: readonly number[]) {
    this.#world = world
    this.keys = new Keys(world, this)
    for (const deviceId of deviceIds)
      this.#logs.set(deviceId, {
        deviceId,
        length: 0,
        events: [],
        sessions: 0,
        commands: new Map(),
        disabled: false,
        deleted: false,
        barredIn: 0,
        activeAt: null,
        proven: false,
        lastPublished: '',
        answers: new Map(),
        lastOnlineAt: null,
        lastOfflineAt: null,
        sessionIn: 0,
        heldBy: 0,
        isDated: true,
        sessionNode: null,
      })
  }

  get logs(): readonly Log[] {
    return [...this.#logs.values()]
  }

  log(deviceId: number): Log {
    const log = this.#logs.get(deviceId)
    if (log === undefined) throw new Error(`there is no device ${deviceId}`)
    return log
  }

  broken(invariant: Invariant, deviceId: number | null, detail: string): void {
    this.#world.note(deviceId, `INVARIANT ${invariant} BROKEN: ${detail}`)
    this.#world.fail({ invariant, name: invariants[invariant], detail, deviceId })
  }

  inState(deviceId: number, state: State): Entry[] {
    return [...this.log(deviceId).commands.values()].filter(entry => entry.state === state)
  }

  /** When a command that is in this state lapses; null where it does not, or where that is unknown. */
  dueAt(deviceId: number, id: string, state: State): number | null {
    const entry = this.log(deviceId).commands.get(id)
    if (entry === undefined) return null
    if (state === State.sent) return entry.sentUntil
    return state === State.created && !entry.isLate ? entry.expireAt : null
  }

  /** A process starts: its clock goes on from the last commit of any. */
  started(process: number): void {
    this.#lastAt.set(process, this.#latestAt)
  }

  /** A purge begins: of what settled before `before`, at `now`. */
  purging(before: number, now: number): void {
    if (before > now - this.#world.faults.retentionMs)
      this.broken(1, null, `what settled before ${before} is purged at ${now}`)
    this.purgedBefore = Math.max(this.purgedBefore, before)
  }

  /** A process of this node starts, and the store says up to where its ids are used. */
  idsUsed(node: number, until: string | null): void {
    const largest = this.#largestIds.get(node) ?? ''
    const known = until ?? ''
    if (known < largest) this.broken(25, null, `node ${node} gave ${largest}, the store says ${until}`)
    this.#largestIds.set(node, known)
  }

  /** A batch has become durable, `stale` devices left out. */
  committed(batch: Batch, stale: readonly number[], circumstances: Circumstances): void {
    const written = batch.changes.filter(change => !stale.includes(change.queue.deviceId))
    this.#commits += 1
    this.#checkGrowth(batch, written, circumstances)
    for (const change of written) this.#apply(change, batch.now, circumstances)
  }

  /**
   * Over all devices, and from one process to the next. Of several at once each has its own clock, which goes by the store's: how far they may be apart
   * follows from how far each may be from that one.
   */
  #checkGrowth({ now, node }: Batch, changes: readonly DeviceChange[], { process, apartMs }: Circumstances): void {
    const lastAt = this.#lastAt.get(process) ?? 0
    if (now < lastAt) this.broken(25, null, `a batch is of ${now}, the one before it of ${lastAt}`)
    this.#lastAt.set(process, now)
    this.#latestAt = Math.max(this.#latestAt, now)
    if (isFarOff(apartMs))
      this.broken(42, null, `the clock of process ${process} is ${Math.round(Number(apartMs))} ms ahead of the store's`)
    const ids = changes.flatMap(({ inserts }) => inserts.map(({ command }) => command.id)).sort()
    const [first] = ids
    const largest = this.#largestIds.get(node) ?? ''
    if (first !== undefined && first <= largest) this.broken(25, null, `${first} is given after ${largest}`)
    if (new Set(ids).size < ids.length) this.broken(25, null, `an id is given twice: ${ids.join(', ')}`)
    this.#largestIds.set(node, ids.at(-1) ?? largest)
  }

  #apply(change: DeviceChange, now: number, circumstances: Circumstances): void {
    const log = this.log(change.queue.deviceId)
    if (log.deleted) this.broken(36, log.deviceId, 'what was deleted changes')
    const before = log.sessions
    for (const event of change.events) {
      if (event.seq !== log.length + 1) this.broken(13, log.deviceId, `event ${event.seq} follows event ${log.length}`)
      log.length = event.seq
      log.events[event.seq - 1] = event
      if (event.at !== now) this.broken(13, log.deviceId, `event ${event.seq} is of ${event.at}, its batch of ${now}`)
      this.#world.count(`event ${describe(event)}`)
      this.#world.note(
        log.deviceId,
        `durable ${event.seq}: ${event.commandId ?? '-'} ${describe(event)}, process ${circumstances.process}`,
      )
      if (event.reason === 'connected') log.sessions += 1
      if (event.reason === 'disconnected' && !circumstances.wasAway(log.deviceId))
        this.broken(7, log.deviceId, 'a device that is connected is said to be disconnected')
      if (event.commandId !== null) this.#fold(log, event, event.commandId, change, circumstances)
    }
    this.#compareRows(log, change)
    this.#compareDevice(log, change)
    this.#checkSession(log, before, change, circumstances)
    const { sessionNo, sessionNode, lastOnlineAt, lastOfflineAt } = change.queue
    if (sessionNo > before || sessionNode !== log.sessionNode)
      this.#world.note(log.deviceId, `session ${sessionNo} is on record, on node ${sessionNode}`)
    const { process, apartMs } = circumstances
    if (sessionNo > before) Object.assign(log, { sessionIn: process, heldBy: process, isDated: apartMs !== null })
    if (log.disabled || log.deleted) log.heldBy = 0
    Object.assign(log, { sessions: sessionNo, sessionNode, lastOnlineAt, lastOfflineAt })
  }

  /** The session on record begins on the node that lets the device in, and ends with its connection, or with the device. */
  #checkSession(log: Log, before: number, { queue, events }: DeviceChange, { wasAway, node }: Circumstances): void {
    const { deviceId, sessionNode } = log
    if (queue.sessionNo > before && queue.sessionNode !== node && queue.sessionNode !== null)
      this.broken(7, deviceId, `a session begins on node ${node}, on record on ${queue.sessionNode}`)
    const isBarred = queue.disabled || queue.deleted || events.some(({ reason }) => reason === 'disabled')
    if (sessionNode !== null && queue.sessionNode === null && !isBarred && !wasAway(deviceId))
      this.broken(7, deviceId, 'its session ends on record, and its connection has not')
    const waits = this.inState(deviceId, State.created).find(({ instant }) => instant)
    // Whoever begins a session, or finds one on record, may be sent to; without one nobody is here.
    if (queue.sessionNode === null && waits !== undefined && !queue.deleted && sessionNode !== null)
      this.broken(24, deviceId, `${waits.id} waits, and the session of its device has ended`)
  }

  /** What is on record of the device itself. */
  #compareDevice(log: Log, { queue, events }: DeviceChange): void {
    const switched = events.findLast(({ reason }) => reason === 'disabled' || reason === 'enabled')
    const isDisabled = switched === undefined ? log.disabled : switched.reason === 'disabled'
    if (queue.disabled !== isDisabled)
      this.broken(
        33,
        log.deviceId,
        `is on record as ${queue.disabled ? 'disabled' : 'enabled'}, its events say otherwise`,
      )
    if (queue.deleted !== events.some(({ reason }) => reason === 'deleted'))
      this.broken(36, log.deviceId, 'its last event and its deletion do not go together')
    if (queue.activeAt !== null && !log.proven)
      this.broken(37, log.deviceId, 'is active and never showed a secret of its own')
    if (log.activeAt !== null && queue.activeAt !== log.activeAt)
      this.broken(37, log.deviceId, `is active since ${queue.activeAt}, and was since ${log.activeAt}`)
    if ((queue.disabled && !log.disabled) || queue.deleted) log.barredIn = this.#commits
    log.disabled = queue.disabled
    log.deleted = queue.deleted
    log.activeAt = queue.activeAt
    if (!log.deleted) return
    for (const { id, state } of log.commands.values())
      if (!isFinal(state)) this.broken(36, log.deviceId, `${id} is ${stateName[state]}, and its device is deleted`)
  }

  #fold(log: Log, event: QueueEvent, id: string, change: DeviceChange, circumstances: Circumstances): void {
    const known = log.commands.get(id)
    if (known !== undefined) known.events += 1
    if (event.from === event.to && known !== undefined) {
      if (known.state !== event.to || !isFinal(known.state)) this.broken(7, log.deviceId, `late reply to an open ${id}`)
      return
    }
    const entry = known ?? this.#accept(log, event, id, change, isFarOff(circumstances.aheadMs))
    if (entry !== null && known === undefined) entry.events = 1
    if (entry === null || event.to === null) return
    const from = event.from === null ? 'new' : stateName[event.from]
    if (event.from !== null && entry.state !== event.from) {
      const invariant = isFinal(entry.state) ? 11 : 7
      this.broken(invariant, log.deviceId, `${id} is ${stateName[entry.state]} and goes from ${from}`)
    }
    this.#checkMove(log, entry, event, from)
    this.#checkActive(log, entry, event, change)
    const waitsForNobody = event.reason === 'accepted' && entry.instant && change.queue.sessionNode === log.sessionNode
    if (waitsForNobody && circumstances.mustSeemAway(log.deviceId))
      this.broken(24, log.deviceId, `${id} waits for a device whose node is gone`)
    this.#checkTime(log, entry, event, circumstances)
    this.#move(log, entry, event, circumstances)
  }

  #accept(log: Log, event: QueueEvent, id: string, change: DeviceChange, isLate: boolean): Entry | null {
    const inserted = change.inserts.find(({ command }) => command.id === id)
    if (event.from !== null || inserted === undefined) {
      this.broken(13, log.deviceId, `an event of ${id}, which was never accepted`)
      return null
    }
    const { command, body } = inserted
    const last = [...log.commands.keys()].at(-1) ?? ''
    if (id <= last) this.broken(5, log.deviceId, `id ${id} is accepted after ${last}`)
    if (command.createdAt !== idMs(id) || Math.abs(command.createdAt - event.at) > ID_AHEAD_MAX_MS)
      this.broken(6, log.deviceId, `${id} says that it was created at ${command.createdAt}, its event at ${event.at}`)
    const { timeoutS, pendingTtlS, createdAt } = command
    const tag: unknown = JSON.parse(body.inputJson).tag
    const entry: Entry = {
      id,
      tag: Number(tag),
      instant: pendingTtlS === 0,
      isLate,
      timeoutS,
      createdAt,
      expireAt: createdAt + (pendingTtlS === 0 ? timeoutS : pendingTtlS) * 1_000,
      deadlineAt: null,
      sentUntil: null,
      settledAt: null,
      state: State.created,
      history: [],
      sentSession: null,
      saidSession: null,
      published: 0,
      unsent: false,
      guessed: false,
      code: null,
      events: 0,
      sentIn: null,
      settledIn: 0,
      settledBy: 0,
    }
    if (this.byTag.has(entry.tag)) this.broken(17, log.deviceId, `the call with tag ${entry.tag} is on record twice`)
    this.byTag.set(entry.tag, entry)
    log.commands.set(id, entry)
    this.keys.isOnRecord(log.deviceId, entry, event.to === State.failed ? command.code : null, event.at)
    return entry
  }

  #checkMove(log: Log, entry: Entry, event: QueueEvent, from: string): void {
    const to = event.to === null ? 'nothing' : stateName[event.to]
    const fits = [`${from} ${to}`, `${from} ${to} instant`].some(name => {
      const move = table[name]
      const isKind = move?.only === undefined || (move.only === 'instant') === entry.instant
      return move?.reasons.test(event.reason) === true && isKind
    })
    if (!fits) this.broken(7, log.deviceId, `${entry.instant ? 'instant' : 'cached'} ${entry.id}: ${describe(event)}`)
    if (event.to === State.cancelled && entry.published > 0)
      this.broken(2, log.deviceId, `${entry.id} was published and becomes cancelled`)
    if (event.from === State.sent && event.reason.startsWith('unsent') && entry.published > 0)
      this.broken(4, log.deviceId, `${entry.id} was published and is said to be unsent`)
    if (event.to === State.sent) {
      const other = this.inState(log.deviceId, State.sent)[0]
      if (other !== undefined && other !== entry)
        this.broken(3, log.deviceId, `${entry.id} is sent while ${other.id} is`)
      const head = this.inState(log.deviceId, State.created)[0]
      if (head !== entry) this.broken(5, log.deviceId, `${entry.id} is sent before ${head?.id ?? 'nothing'}`)
    }
    if (event.from === null && event.to === State.created) {
      // The entry itself is counted as created already.
      const created = this.inState(log.deviceId, State.created).length
      if (created > this.#world.faults.queueCap)
        this.broken(10, log.deviceId, `${entry.id} is number ${created} of ${this.#world.faults.queueCap}`)
    }
    if (event.reason === 'queueFull') {
      const created = this.inState(log.deviceId, State.created).length - 1
      if (created < this.#world.faults.queueCap)
        this.broken(10, log.deviceId, `${entry.id} is refused with ${created} of ${this.#world.faults.queueCap}`)
    }
  }

  /** An instant command is taken for an active device only, and is not refused to one. */
  #checkActive(log: Log, entry: Entry, { reason }: QueueEvent, { queue }: DeviceChange): void {
    if (reason === 'inactive' && log.activeAt !== null)
      this.broken(37, log.deviceId, `${entry.id} fails, and the device is active since ${log.activeAt}`)
    if (reason === 'accepted' && entry.instant && queue.activeAt === null)
      this.broken(37, log.deviceId, `${entry.id} is instant, and the device was never active`)
  }

  #checkTime(log: Log, entry: Entry, { to, from, at, reason }: QueueEvent, circumstances: Circumstances): void {
    const wrong = (what: string): void => this.broken(6, log.deviceId, `${entry.id} ${what} at ${at}`)
    if (reason === 'pendingTtl' && at < entry.expireAt) wrong(`expires before ${entry.expireAt}`)
    if (reason === 'timeout') {
      const due = from === State.sent ? entry.deadlineAt : entry.expireAt
      if (due === null || at < due) wrong(`times out before ${due}`)
    }
    if (to === State.sent && at >= entry.expireAt) wrong(`is sent after ${entry.expireAt}`)
    if (to === State.cancelled && at >= entry.expireAt) wrong(`is cancelled after ${entry.expireAt}`)
    const isHere = entry.sentSession === log.sessions && circumstances.isHere(log.deviceId)
    const until = Number(entry.deadlineAt) + (isHere ? 0 : circumstances.slackMs)
    if (reason === 'reply' && at >= until) wrong(`is settled by a reply after ${entry.deadlineAt}`)
    const { stoppedAt, process, faultAt } = circumstances
    // A process that lives on, with a store that works, knows what it did not hand over.
    const isKnown = entry.sentIn?.process === process && faultAt < entry.sentIn.worldNow
    const isUnsent = reason === 'timeout' && from === State.sent && entry.published === 0
    if (isUnsent && isKnown) this.broken(7, log.deviceId, `${entry.id} times out, and its bytes never left`)
    if (to === State.sent && stoppedAt !== null && at > stoppedAt)
      this.broken(23, log.deviceId, `${entry.id} is sent at ${at}, the stop was at ${stoppedAt}`)
    if (reason === 'offline' && !circumstances.seemedAway(log.deviceId))
      this.broken(7, log.deviceId, `${entry.id} fails as offline on a device that is connected`)
    const codes = log.answers.get(entry.id) ?? []
    if (reason === 'reply' && to === State.failed && codes.length > 0 && codes.every(isSuccess))
      this.broken(18, log.deviceId, `${entry.id} fails, the device answered ${codes.join(', ')}`)
    if (reason === 'reply' && !log.answers.has(entry.id))
      this.broken(18, log.deviceId, `${entry.id} is settled by an answer that the device never gave`)
  }

  #move(log: Log, entry: Entry, event: QueueEvent, { process, node }: Circumstances): void {
    if (event.to === null) return
    entry.state = event.to
    entry.history.push({ from: event.seq, state: event.to })
    entry.settledAt = isFinal(event.to) ? event.at : null
    entry.settledIn = isFinal(event.to) ? this.#commits : 0
    entry.settledBy = isFinal(event.to) ? process : 0
    if (event.to === State.sent) {
      entry.deadlineAt = entry.instant ? entry.expireAt : event.at + entry.timeoutS * 1_000
      entry.sentUntil = entry.deadlineAt
      entry.sentSession = log.sessions
      entry.saidSession = this.#saidSession(log, event, node)
      entry.sentIn = { process, worldNow: this.#world.now, commit: this.#commits }
    }
    if (event.reason.startsWith('unsent')) {
      entry.unsent = true
      entry.deadlineAt = null
    }
    if (event.from === null) this.#world.note(log.deviceId, `${entry.id} has tag ${entry.tag}`)
  }

  /** Who sent it is in the event: the node that did, and over which session. */
  #saidSession({ deviceId }: Log, { commandId, detail }: QueueEvent, node: number): number {
    const said = JSON.parse(detail ?? '{}')
    if (said.node !== node) this.broken(13, deviceId, `${commandId} is sent by node ${node}, its event has ${detail}`)
    return Number(said.session)
  }

  /** The rows that were written must say the same as the events. */
  #compareRows(log: Log, change: DeviceChange): void {
    for (const { command } of [...change.inserts, ...change.updates]) {
      const entry = log.commands.get(command.id)
      if (entry?.state !== command.state) {
        this.broken(
          13,
          log.deviceId,
          `row ${command.id} is ${stateName[command.state]}, its events say ${entry?.state}`,
        )
        return
      }
      entry.code = command.code
      const isSent = command.state === State.sent
      if (command.settledAt !== entry.settledAt || command.deadlineAt !== entry.deadlineAt)
        this.broken(13, log.deviceId, `row ${command.id} has other instants than its events`)
      if (isSent && entry.sentSession !== null && Number(command.sentSession) < entry.sentSession)
        this.broken(4, log.deviceId, `row ${command.id} is sent on session ${command.sentSession}, an older one`)
      if (isSent && command.sentSession !== entry.saidSession)
        this.broken(13, log.deviceId, `row ${command.id} is sent on session ${command.sentSession}, its event differs`)
      if (isSent) entry.sentSession = command.sentSession
      if (command.expireAt !== entry.expireAt) this.broken(6, log.deviceId, `row ${command.id} expires at another time`)
      const codes = log.answers.get(command.id) ?? []
      const isAnswered = command.state === State.succeeded
      if (isAnswered && !codes.some(isSuccess))
        this.broken(18, log.deviceId, `${command.id} succeeded, the device answered ${codes.join(', ') || 'nothing'}`)
    }
    const { length } = log
    if (change.queue.eventSeq !== length)
      this.broken(13, log.deviceId, `the device counts ${change.queue.eventSeq} events, there are ${length}`)
  }
}

function describe({ from, to, reason }: QueueEvent): string {
  const name = (state: State | null): string => (state === null ? 'new' : stateName[state])
  return to === null ? reason : `${name(from)} > ${name(to)} (${reason})`
}
