// The judge: what callers were told and what reached devices, and what of it contradicts the promises. It knows nothing of the server but its documents,
// and sees nothing but the wire. No sockets, no clock of its own.
//
// What is known, and what is not:
// * An answer proves what it says. A command it names is on record for good; what a cancel lists is never delivered, before or after.
// * A call that was not answered may have been carried out or not, and both are right: a kill between the commit and the answer leaves it done, a kill
//   before the commit undone. So nothing is demanded of it. Its number travels in the command: if the command reaches a device or stands on record, the
//   call was carried out, and from then on it is held to everything but the acknowledgement.
// * A cancel that was not answered may have cancelled anything that was created, or nothing. The record tells: what it shows as cancelled is held to it.
// * A refused connection proves that nothing happened. So does an answer that says that nothing was stored.
// * Order: ids grow in the order of acceptance. That is not taken on trust: a call that began after another one's id was known must get a larger id.
//   (Calls that overlap may be accepted in either order.) What reaches a device must then come in the order of ids.
// * A command that was sent when the server was killed may or may not have reached its device. Either is right, once: it must never come again.
// * A device behind a gateway is sent to over a connection of the gateway, and only while it is logged in there. What arrives after a login was asked for
//   may be right, what arrives after a logout was answered is not. Over a connection that the device has left for a newer one may still come what was
//   written before; but nothing whose call began after that was known.
// * A device has one command at a time: while one that it has not answered is open beyond doubt, the next one does not come.
// * Where servers are struck and live on (paused, cut off, their store restarted), times say less: what was sent may arrive late, and its answer then comes
//   too late. So a short time from arrival to acknowledgement proves something only in calm.
//
// kill -9 leaves what was written to files in the hands of the operating system: this proves nothing about power cuts.

import { Presence } from './presence.ts'

export const FINAL_STATES: ReadonlySet<number> = new Set([2, 3, 5, 6, 7])
const CREATED = 1
const CANCELLED = 2
const EXPIRED = 3
const SUCCEEDED = 5
const FAILED = 6
const TIMED_OUT = 7
/** Codes of answers that say that the device is not here: never active, away. */
const AWAY: ReadonlySet<number> = new Set([11888, 11900])
/** Codes of answers that say that the command was never sent: besides those, queue full, not sent in time. */
const NOT_SENT: ReadonlySet<number> = new Set([...AWAY, 11902, 11904])
/** ms from a cached command's arrival to the acknowledgement of its answer within which it cannot have timed out, its timeout being 2 s or more */
const SURELY_IN_TIME_MS = 500
/** ms by which a server's clock may differ from ours, where there is one */
const CLOCKS_DIFFER_MS = 100
/** ms before a command's arrival in which it was sent */
const SENT_BEFORE_MS = 3_500

/** The counts that must be 0. */
export type Fault =
  | 'acknowledgedButLost'
  | 'cancelledButDelivered'
  | 'deliveredButCancelled'
  | 'outOfOrder'
  | 'deliveredTwice'
  | 'twoAtOnce'
  | 'notLoggedIn'
  | 'afterLogout'
  | 'stuck'
  | 'contradiction'

export const faultNames: Readonly<Record<Fault, string>> = {
  acknowledgedButLost: 'acknowledged, but lost',
  cancelledButDelivered: 'cancelled, but delivered',
  deliveredButCancelled: 'delivered, but reported cancelled',
  outOfOrder: 'out of order',
  deliveredTwice: 'delivered twice',
  twoAtOnce: 'two in flight',
  notLoggedIn: 'delivered over a connection that the device was not logged in on',
  afterLogout: 'delivered after a logout, before the next login',
  stuck: 'stuck',
  contradiction: 'other contradictions',
}

export interface Call {
  readonly number: number
  readonly assetId: string
  readonly timeoutS: number
  readonly pendingTtlS: number
  /** the largest id of the device that was known when the call began */
  readonly floor: string | null
  /** when it began, in ms */
  readonly beganMs: number
  /** when it began, in the order of what is known of where devices are */
  readonly beganAt: number
}

/** All that is known of one command. */
interface Known {
  readonly id: string
  readonly assetId: string
  call: number | null
  /** the code it was answered with; null where no answer named it */
  code: number | null
  /** a cancel's answer listed it */
  cancelled: boolean
  /** how often it reached its device */
  receipts: number
  receivedAt: number
  /** the connection that it came over last */
  line: number
  /**
   * the device's answer was acknowledged: its code, how long after the command's arrival it was given and that was known, and whether it was calm from
   * its sending on
   */
  answer: { readonly code: number; readonly givenMs: number; readonly afterMs: number; readonly isCalm: boolean } | null
  /** the device has given its answer; whether the server got it is not known */
  isAnswerGiven: boolean
  /** its only answer was given while the device was logged out, so that it must not count */
  isAnsweredOutside: boolean
  /** the state that a read has shown last */
  shown: number | null
  /** when something about it was learnt last, in the order in which the ledger was told */
  newsAt: number
}

export interface Totals {
  readonly devices: number
  readonly logins: number
  readonly logouts: number
  readonly accepted: number
  readonly cancelled: number
  readonly delivered: number
  readonly instantAnswered: number
  /** as far as it was read */
  readonly timedOut: number
  readonly unanswered: number
  readonly unansweredDone: number
}

/** What an answer to a set or an invoke said. */
export interface SendAnswer {
  readonly status: number
  readonly code: number
  readonly commandId: string | null
  readonly text: string
}

/** What several servers make less sure. */
export interface Spread {
  /** ms for which a login without an answer may be acted on late, as Presence has it */
  readonly hauntMs: number
  /** ms by which the clocks of two servers may differ */
  readonly clocksDifferMs: number
}

export class Ledger {
  readonly faults: { readonly fault: Fault; readonly text: string }[] = []
  readonly presence: Presence
  /** told of each command that reaches a device, and of the connection */
  heard: (assetId: string, line: number) => void = () => undefined
  readonly #now: () => number
  readonly #clocksDifferMs: number
  readonly #calls = new Map<number, Call>()
  readonly #commands = new Map<string, Known>()
  readonly #idOfCall = new Map<number, string>()
  readonly #unanswered = new Set<number>()
  readonly #storedNothing = new Set<number>()
  readonly #largest = new Map<string, string>()
  readonly #lastReceived = new Map<string, string>()
  /** what each device got last, in the order of arrival */
  readonly #newestAt = new Map<string, Known>()
  readonly #blamed = new Set<string>()
  #lastCall = 0
  #told = 0
  #calmSince = Number.NEGATIVE_INFINITY

  /** @param now ms, for the time from a command's arrival to the acknowledgement of its answer */
  constructor(
    now: () => number,
    { hauntMs, clocksDifferMs }: Spread = { hauntMs: 0, clocksDifferMs: CLOCKS_DIFFER_MS },
  ) {
    this.#now = now
    this.#clocksDifferMs = clocksDifferMs
    this.presence = new Presence(now, hauntMs)
  }

  /** Servers that live on are being struck, or it is over. */
  calm(isCalm: boolean): void {
    this.#calmSince = isCalm ? this.#now() : Number.POSITIVE_INFINITY
  }

  count(fault: Fault): number {
    return this.faults.filter(found => found.fault === fault).length
  }

  /** Of these devices. */
  totals(assetIds: readonly string[]): Totals {
    const devices = new Set(assetIds)
    const all = [...this.#commands.values()].filter(({ assetId }) => devices.has(assetId))
    const unanswered = [...this.#unanswered].filter(number => devices.has(this.#calls.get(number)?.assetId ?? ''))
    const sum = (of: (assetId: string) => number) => assetIds.reduce((total, assetId) => total + of(assetId), 0)
    return {
      devices: assetIds.length,
      logins: sum(assetId => this.presence.logins(assetId)),
      logouts: sum(assetId => this.presence.logouts(assetId)),
      accepted: all.filter(({ code }) => code !== null).length,
      cancelled: all.filter(({ cancelled }) => cancelled).length,
      delivered: all.filter(({ receipts }) => receipts > 0).length,
      instantAnswered: all.filter(({ code, call }) => code !== null && this.#isInstant(call)).length,
      timedOut: all.filter(({ shown }) => shown === TIMED_OUT).length,
      unanswered: unanswered.length,
      unansweredDone: unanswered.filter(number => this.#idOfCall.has(number)).length,
    }
  }

  /** how much the ledger has been told */
  get newsCount(): number {
    return this.#told
  }

  /** Ids that an answer has named, with their devices. */
  acknowledged(): { readonly assetId: string; readonly id: string }[] {
    return [...this.#commands.values()].filter(({ code, cancelled }) => code !== null || cancelled)
  }

  /** What has reached a device, by id: that it came in this order is judged as it comes. */
  receivedBy(assetId: string): readonly string[] {
    const received = [...this.#commands.values()].filter(known => known.assetId === assetId && known.receipts > 0)
    return received.map(({ id }) => id).sort()
  }

  isReceived(id: string): boolean {
    return (this.#commands.get(id)?.receipts ?? 0) > 0
  }

  /** The connection over which it reached its device. */
  lineOf(id: string): number | null {
    return this.isReceived(id) ? (this.#commands.get(id)?.line ?? null) : null
  }

  /** The device's answer to it was acknowledged. */
  isAnswerTaken(id: string): boolean {
    return (this.#commands.get(id)?.answer ?? null) !== null
  }

  // --- what happens ----------------------------------------------------------------------------------------------

  /** A set or invoke is about to be called. The number returned goes into the command. */
  calling(assetId: string, timeoutS: number, pendingTtlS: number): Call {
    this.#lastCall += 1
    const floor = this.#largest.get(assetId) ?? null
    const beganAt = this.presence.moment()
    const call = { number: this.#lastCall, assetId, timeoutS, pendingTtlS, floor, beganMs: this.#now(), beganAt }
    this.#calls.set(call.number, call)
    return call
  }

  /** The call was answered. An answer that names a command puts it on record; one that does not has stored nothing. */
  answered(call: Call, { status, code, commandId, text }: SendAnswer): void {
    if (commandId === null) {
      this.refused(call)
      if (code !== 99503)
        this.#blame('contradiction', `call ${call.number}`, `it was answered ${status} ${code} ${text}`)
      return
    }
    const known = this.#known(commandId, call.assetId, call.number)
    if (known.code !== null) this.#blame('contradiction', commandId, 'its id was given to two calls')
    known.code = code
    this.#news(known)
    // What was about to leave and then came too late is told the same way as what found nobody.
    const mayBeLate = this.#now() >= this.#earliestDeadline(call)
    if (AWAY.has(code) && !mayBeLate && this.presence.isHereSince(call.assetId, call.beganAt))
      this.#blame('contradiction', commandId, `its caller was told ${code}, and its device was logged in all the while`)
    if (call.floor !== null && commandId <= call.floor)
      this.#blame('outOfOrder', commandId, `its call began when ${call.floor} was known, yet its id is smaller`)
    this.#agrees(known)
  }

  /** The call was refused, for a reason that is as it should be. Nothing was stored. */
  refused(call: Call): void {
    this.#storedNothing.add(call.number)
  }

  /** No answer came. `reached` false: nobody was listening, so nothing happened. */
  unanswered(call: Call, reached: boolean): void {
    if (reached) this.#unanswered.add(call.number)
    else this.#storedNothing.add(call.number)
  }

  /** A cancel's answer listed these, in this order. */
  cancelled(assetId: string, ids: readonly string[]): void {
    for (const id of ids) {
      const known = this.#known(id, assetId, null)
      if (known.cancelled) this.#blame('contradiction', id, 'two cancels report it')
      known.cancelled = true
      this.#news(known)
      if (known.receipts > 0)
        this.#blame('deliveredButCancelled', id, 'it had reached its device when a cancel reported it')
      this.#agrees(known)
    }
    if (ids.some((id, i) => id <= (ids[i - 1] ?? '')))
      this.contradiction(`a cancel listed ${ids.join(', ')}: not oldest first`)
  }

  /** A device was sent a command, over this connection. */
  received(assetId: string, id: string, call: number | null, line: number): void {
    if (call === null) this.#blame('contradiction', id, `device ${assetId} received it without the number of a call`)
    const known = this.#known(id, assetId, call)
    this.#came(known, line)
    known.receipts += 1
    this.#news(known)
    if (known.receipts > 1) {
      this.#blame('deliveredTwice', id, `device ${assetId} received it ${known.receipts} times`)
      return
    }
    known.receivedAt = this.#now()
    known.line = line
    this.#follows(known)
    this.heard(assetId, line)
    const last = this.#lastReceived.get(assetId) ?? ''
    if (id < last) this.#blame('outOfOrder', id, `device ${assetId} received it after ${last}`)
    else this.#lastReceived.set(assetId, id)
    if (known.cancelled)
      this.#blame('cancelledButDelivered', id, `device ${assetId} received it after a cancel had reported it`)
    if (known.shown === CANCELLED)
      this.#blame('cancelledButDelivered', id, `device ${assetId} received it after it was shown as cancelled`)
    this.#agrees(known)
  }

  /** The device gives its answer now. ms since the command's arrival, to be given back when the answer is acknowledged. */
  answering(id: string): number {
    const known = this.#commands.get(id)
    if (known) known.isAnswerGiven = true
    return this.#now() - (known?.receivedAt ?? 0)
  }

  /** The device's answer with this code was acknowledged, so it is on record. */
  answerTaken(id: string, code: number, givenMs: number): void {
    const known = this.#commands.get(id)
    const isCalm = known !== undefined && known.receivedAt - SENT_BEFORE_MS > this.#calmSince
    if (known) known.answer ??= { code, givenMs, afterMs: this.#now() - known.receivedAt, isCalm }
  }

  /** The device's only answer was given while it was logged out: it was not its own to give. */
  answeredOutside(id: string): void {
    const known = this.#commands.get(id)
    if (known) known.isAnsweredOutside = true
  }

  /** A read is about to be called; what it shows is given to `shown` with this. */
  reading(): number {
    this.#told += 1
    return this.#told
  }

  /**
   * A read has shown the command in this state; `call` is the number that its input carries. An open state says nothing where something was learnt
   * of the command since the read began: the read may have been the earlier of the two.
   */
  shown(assetId: string, id: string, state: number, call: number | null, reading: number): void {
    const known = this.#known(id, assetId, call)
    const { shown: before, receipts, newsAt } = known
    const isFinal = FINAL_STATES.has(state)
    if (!isFinal && newsAt > reading) return
    if (before !== null && FINAL_STATES.has(before) && before !== state)
      this.#blame('contradiction', id, `it was shown in state ${before}, which is final, and then in ${state}`)
    if (state === CREATED && receipts > 0)
      this.#blame('contradiction', id, 'it reached its device, and is shown as created')
    if (state === CANCELLED && receipts > 0)
      this.#blame('cancelledButDelivered', id, `it is on record as cancelled, and reached device ${assetId}`)
    known.shown = state
    if (isFinal) this.#news(known)
    this.#agrees(known)
  }

  /** A read said that there is no such command. */
  missing(assetId: string, id: string): void {
    const known = this.#known(id, assetId, null)
    if (known.code !== null || known.cancelled)
      this.#blame('acknowledgedButLost', id, 'an answer named it, and it is not on record')
    else this.#blame('contradiction', id, 'it is known from a device or a read, and it is not on record')
  }

  /** Everything was done for it to become final, for long enough. */
  stuck(id: string, text: string): void {
    this.#blame('stuck', id, text)
  }

  contradiction(text: string): void {
    this.#blame('contradiction', text, '')
  }

  /** When all is final and was read: what is not among the ids on record, and records that fit nothing that was called. */
  close(onRecord: ReadonlySet<string>): void {
    for (const known of this.#commands.values()) {
      if (!onRecord.has(known.id)) this.missing(known.assetId, known.id)
      const call = known.call === null ? undefined : this.#calls.get(known.call)
      if (call === undefined)
        this.#blame('contradiction', known.id, `it belongs to no call that was made: ${known.call}`)
      else this.#closes(known, call)
    }
    for (const number of this.#storedNothing) {
      const id = this.#idOfCall.get(number)
      if (id !== undefined)
        this.#blame('contradiction', id, `it is on record, but its call ${number} was told that nothing was stored`)
    }
  }

  /** For a server that was given damaged files: what is on record there is no news of what it was told before. */
  forget(): void {
    this.faults.length = 0
    for (const of of [this.#calls, this.#commands, this.#idOfCall, this.#largest, this.#lastReceived, this.#newestAt])
      of.clear()
  }

  // --- what must fit together ------------------------------------------------------------------------------------

  /** The command by its id; what comes to be known of it later must fit what is known already. */
  #known(id: string, assetId: string, call: number | null): Known {
    const told = { code: null, cancelled: false, shown: null, newsAt: 0 }
    const device = { receipts: 0, receivedAt: 0, line: 0, answer: null, isAnswerGiven: false, isAnsweredOutside: false }
    const known: Known = this.#commands.get(id) ?? { id, assetId, call, ...told, ...device }
    this.#commands.set(id, known)
    if (id > (this.#largest.get(assetId) ?? '')) this.#largest.set(assetId, id)
    if (known.assetId !== assetId)
      this.#blame('contradiction', id, `it is of device ${known.assetId}, and of ${assetId}`)
    if (call === null) return known
    known.call ??= call
    if (known.call !== call)
      this.#blame('contradiction', id, `it carries call ${call}, and is the answer to call ${known.call}`)
    const other = this.#idOfCall.get(call)
    if (other === undefined) this.#idOfCall.set(call, id)
    else if (other !== id) this.#blame('contradiction', id, `call ${call} was carried out twice, as ${other} too`)
    return known
  }

  #isInstant(call: number | null): boolean {
    return call !== null && this.#calls.get(call)?.pendingTtlS === 0
  }

  /** Whether it may have come over this connection. */
  #came({ id, assetId, call }: Known, line: number): void {
    const beganAt = this.#calls.get(call ?? 0)?.beganAt
    if (this.presence.wasNeverIn(assetId, line))
      this.#blame('notLoggedIn', id, `device ${assetId} has never been logged in on connection ${line}`)
    else if (this.presence.standing(assetId, line) === 'out')
      this.#blame('afterLogout', id, `device ${assetId} had logged out on connection ${line}`)
    else if (beganAt !== undefined && this.presence.wasElsewhere(assetId, line, beganAt))
      this.#blame(
        'notLoggedIn',
        id,
        `device ${assetId} had left connection ${line} for a newer one before its call began`,
      )
  }

  /** Whether the one before it at its device is still open beyond doubt: not answered, and before the earliest deadline that it can have. */
  #follows(known: Known): void {
    const before = this.#newestAt.get(known.assetId)
    this.#newestAt.set(known.assetId, known)
    if (before === undefined || before.isAnswerGiven) return
    const call = this.#calls.get(before.call ?? 0)
    if (call !== undefined && this.#now() < this.#earliestDeadline(call))
      this.#blame('twoAtOnce', known.id, `device ${known.assetId} had got ${before.id}, and not answered it`)
  }

  /** ms before which the command of the call cannot have timed out: its timeout counts from its acceptance, or from later. */
  #earliestDeadline({ beganMs, timeoutS }: Call): number {
    return beganMs + timeoutS * 1_000 - this.#clocksDifferMs
  }

  #news(known: Known): void {
    this.#told += 1
    known.newsAt = this.#told
    // An open state that was shown before the news is of yesterday.
    if (known.shown !== null && !FINAL_STATES.has(known.shown)) known.shown = null
  }

  /** What holds at any time: who was told that it was not sent, or that it was done, was told the truth. */
  #agrees({ id, code, call, receipts, cancelled, shown }: Known): void {
    if (code !== null && NOT_SENT.has(code) && receipts > 0)
      this.#blame(
        'contradiction',
        id,
        `its caller was told ${code}, which says that it was not sent, and it reached its device`,
      )
    if (cancelled && shown !== null && shown !== CANCELLED)
      this.#blame('contradiction', id, `a cancel reported it, and it is shown in state ${shown}`)
    if (this.#isInstant(call) && code === 0 && shown !== null && shown !== SUCCEEDED)
      this.#blame('contradiction', id, `its caller was told that it was done, and it is shown in state ${shown}`)
    if (shown === EXPIRED && receipts > 0)
      this.#blame('contradiction', id, 'it is shown as expired, and it reached its device')
  }

  /** What holds in the end, when all is final and read. */
  #closes(known: Known, call: Call): void {
    const { id, code, receipts, receivedAt, answer, isAnswerGiven, isAnsweredOutside, shown } = known
    const { timeoutS, pendingTtlS } = call
    if (shown === SUCCEEDED && receipts === 0)
      this.#blame('contradiction', id, 'it is on record as done, and never reached its device')
    if ((shown === SUCCEEDED || shown === FAILED) && receipts > 0 && !isAnswerGiven)
      this.#blame('contradiction', id, `it is in state ${shown}, and its device never answered it`)
    if (shown === FAILED && pendingTtlS > 0 && receipts === 0 && code === 0)
      this.#blame('contradiction', id, 'it is on record as failed, and was neither refused at once nor delivered')
    if (isAnsweredOutside && shown !== null && shown !== TIMED_OUT)
      this.#blame('contradiction', id, `its device was logged out when it answered, and it is in state ${shown}`)
    if (answer === null || shown === null) return
    if (shown !== TIMED_OUT && answer.givenMs > timeoutS * 1_000 + this.#clocksDifferMs)
      this.#blame('contradiction', id, `its device answered after its timeout, and it is in state ${shown}`)
    const expected = answer.code === 200 ? SUCCEEDED : FAILED
    const isSoon = answer.isCalm && pendingTtlS > 0 && timeoutS >= 2 && answer.afterMs < SURELY_IN_TIME_MS
    const surelyInTime = isSoon || receivedAt + answer.afterMs < this.#earliestDeadline(call)
    if (shown !== expected && (surelyInTime || shown !== TIMED_OUT))
      this.#blame(
        'contradiction',
        id,
        `its device's answer ${answer.code} was acknowledged after ${answer.afterMs} ms, and it is in state ${shown}`,
      )
  }

  /** Each command counts once for each fault. */
  #blame(fault: Fault, subject: string, text: string): void {
    const key = `${fault} ${subject}`
    if (this.#blamed.has(key)) return
    this.#blamed.add(key)
    const known = this.#commands.get(subject)
    this.faults.push({ fault, text: `${subject} ${text}${known ? `   ${JSON.stringify(known)}` : ''}` })
  }
}
