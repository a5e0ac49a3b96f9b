// The rules: one device's queue as a state machine. decide(queue, input, situation) -> what changes, what to do, what to answer.
// Pure: no IO, no clock, no randomness. Not here: how a step notes what it does, and which transitions there are (step.ts), batches and waiters (engine.ts),
// what a command looks like on the wire (http/wire.ts).
// docs/states.md draws this machine; test/queue.test.ts holds its full table.

import { type Command, idMs, isOpen, Kind, State } from './command.ts'
import { assert, errors, type Refusal, refuse } from './errors.ts'
import { LATE_DETAIL_MAX_CHARS, LATE_REPLIES_KEPT, NODE_MARGIN_MS, SESSION_EVENT_EVERY_MS } from './limits.ts'
import { Step } from './step.ts'

/** What a call with an Idempotency-Key left, so that a repeat of it is answered like the first and does nothing. */
export interface KeptAnswer {
  /** whose key it is: appKey, or what else makes commands */
  readonly application: string
  readonly key: string
  /** of what was asked: SHA-256 in lower-case hex */
  readonly requestHash: string
  readonly commandId: string
  /** why the command failed the moment it was accepted; null: it did not */
  readonly refusedCode: number | null
  /** epoch ms; from then on the key is as if it had never been used */
  readonly expireAt: number
}

/** One device as the rules see it: its open commands, oldest first, plus those commands that the input names. */
export interface Queue {
  readonly deviceId: number
  /** guard of the commit: grows by one with each */
  readonly version: number
  /** never lowered, not even by a purge; null before the first command */
  readonly lastCommandId: string | null
  /** number of the last event of this device; events are dense */
  readonly eventSeq: number
  /** number of the newest session. A fence, not a claim: only that session may get the head. */
  readonly sessionNo: number
  /** the node that it began on; null once its end is on record. (A node that dies leaves it as it is: whether the node is alive, others must know.) */
  readonly sessionNode: number | null
  readonly disabled: boolean
  /** true from the step that deletes it: the commit removes its row */
  readonly deleted: boolean
  readonly activeAt: number | null
  readonly lastOnlineAt: number | null
  readonly lastOfflineAt: number | null
  readonly open: readonly Command[]
  /** final commands that an input names, or that settled earlier in the same batch */
  readonly named: readonly Command[]
  /** those of the keys that inputs name, and of keys used earlier in the same batch */
  readonly kept: readonly KeptAnswer[]
}

/** The device's live connection on this node. Volatile: comes in as an argument, is never stored. */
export interface Presence {
  readonly session: number
  /** may be sent to now */
  readonly ready: boolean
  /** nothing at all has arrived on it since the last command was written to it */
  readonly silent: boolean
}

/** The other nodes that share the store: their devices are theirs to send to. */
export interface Others {
  /** those whose lease was good when that was last looked at */
  readonly alive: ReadonlySet<number>
  /** epoch ms of that look: whoever has joined since is alive too, and not among them */
  readonly asOf: number
}

export interface Situation {
  readonly now: number
  /** this node */
  readonly node: number
  /** null: the store is this node's alone */
  readonly others: Others | null
  /** null: not connected here */
  readonly presence: Presence | null
  /** false while the server stops, or has no good lease: nothing new is sent */
  readonly dispatch: boolean
  readonly queueCap: number
}

export type Enqueue = {
  readonly type: 'enqueue'
  /** a fresh id, larger than the queue's lastCommandId */
  readonly id: string
  readonly kind: Kind
  readonly identifier: string
  readonly timeoutS: number
  readonly pendingTtlS: number
  readonly by: string
  /** with it the call may be repeated: `keepMs` from acceptance the same answer comes again */
  readonly repeatable?: Pick<KeptAnswer, 'application' | 'key' | 'requestHash'> & { readonly keepMs: number }
}
/** `detail`: JSON text for the event of each command that it cancels, such as what it is part of. */
export type Cancel = {
  readonly type: 'cancel'
  readonly commandId: string | null
  readonly by: string
  readonly detail?: string
}
/** `activates`: it proved itself with its own secret; one that used the product's is active only when it has got its own (see Activated). */
export type Connected = { readonly type: 'connected'; readonly activates: boolean }
/** The device said that it has got its own secret. */
export type Activated = { readonly type: 'activated' }
/** Disabled: offline whatever connects, until it is enabled. Its cached commands wait; what was sent may still be answered, or times out. */
export type Disable = { readonly type: 'disable'; readonly by: string }
export type Enable = { readonly type: 'enable'; readonly by: string }
/** Everything open is settled, then the device is gone; its records stay until they are purged. */
export type Delete = { readonly type: 'delete'; readonly by: string }
export type Ready = { readonly type: 'ready' }
export type Disconnected = { readonly type: 'disconnected'; readonly session: number; readonly reason: string }
export type Reply = {
  readonly type: 'reply'
  readonly commandId: string
  /** the device's code, null where it is not an integer */
  readonly code: number | null
  /** the code as sent */
  readonly deviceCode: string
  readonly message: string | null
  readonly outputJson: string | null
}
/** The process knows that no byte of the PUBLISH was handed to a socket. */
export type Unsent = {
  readonly type: 'unsent'
  readonly commandId: string
  readonly session: number
  /**
   * `tooLarge`, `codec`, `unsupported`: it can never be sent (larger than the device takes; its product's codec cannot encode it; the device takes no
   * such commands), so it fails. After the others it is as if it had not been sent; `fenced`: the node's lease was no longer good.
   */
  readonly reason: 'sessionGone' | 'late' | 'fenced' | 'tooLarge' | 'codec' | 'unsupported'
}
export type Tick = { readonly type: 'tick' }
export type Input =
  | Enqueue
  | Cancel
  | Connected
  | Activated
  | Ready
  | Disconnected
  | Reply
  | Unsent
  | Disable
  | Enable
  | Delete
  | Tick

/** What each input is answered with. */
export interface Answers {
  /** refused (notFound): the device was deleted in the same batch, nothing is on record */
  enqueue:
    | { readonly ok: true; readonly command: Command }
    /** the key was used before, for the same: nothing was done. command: that one, where it is open or settled in this batch */
    | { readonly ok: true; readonly repeated: KeptAnswer; readonly command: Command | null }
    | Refusal
  cancel:
    | {
        readonly ok: true
        /** exactly those that this call moved from created to cancelled, oldest first */
        readonly cancelled: readonly Command[]
        readonly notCancelled: readonly { readonly commandId: string; readonly state: State }[]
      }
    | Refusal
  /** refused: `denied` where the device is disabled, `notFound` where it was deleted. No caller of the API sees it: it is for whoever lets devices in. */
  connected: { readonly ok: true; readonly session: number } | Refusal
  activated: { readonly ok: true }
  /** changed: false where it was so already */
  disable: { readonly ok: true; readonly changed: boolean }
  enable: { readonly ok: true; readonly changed: boolean }
  delete: {
    readonly ok: true
    /** exactly those that deleting moved from created to cancelled, oldest first */
    readonly cancelled: readonly Command[]
    /** the one that was sent and not answered: it failed */
    readonly failed: Command | null
  }
  ready: { readonly ok: true }
  disconnected: { readonly ok: true }
  reply: { readonly ok: true; readonly outcome: 'settled' | 'late' | 'ignored' }
  unsent: { readonly ok: true }
  tick: { readonly ok: true }
}
export type AnswerTo<I extends Input> = Answers[I['type']]

/** A row of the device's event log. from/to are null where the event is not a command's transition. */
export interface QueueEvent {
  readonly seq: number
  readonly commandId: string | null
  readonly from: State | null
  readonly to: State | null
  readonly at: number
  readonly by: string
  readonly reason: string
  /** JSON text, or null */
  readonly detail: string | null
}

export type Effect =
  | {
      /** Publish it to the session, after the commit. notAfter: not a byte at or after this instant. */
      readonly type: 'publish'
      readonly commandId: string
      readonly kind: Kind
      readonly identifier: string
      readonly session: number
      readonly notAfter: number
    }
  | { readonly type: 'settled'; readonly command: Command }
  | { readonly type: 'suspect'; readonly session: number }
  /** Another node should look at the device: it has something to send to it, or a connection that is not its newest any more. */
  | { readonly type: 'wake'; readonly node: number }
  | {
      /** Close the device's connection, before anything else is done: it may not be connected any more. */
      readonly type: 'evict'
      readonly why: 'disabled' | 'deleted'
      /** the newest session at that moment. A later one was let in after the device had been enabled again, and stays. */
      readonly session: number
    }

/** What a reply leaves in the body of its command. */
export interface Outcome {
  readonly commandId: string
  readonly outputJson: string | null
  readonly deviceCode: string
  readonly deviceMessage: string | null
}

export interface Decision<A> {
  /** the queue after the step, version not yet raised */
  readonly queue: Queue
  /** rows that the step wrote, in their new form */
  readonly changed: readonly Command[]
  readonly outcomes: readonly Outcome[]
  readonly events: readonly QueueEvent[]
  readonly kept: readonly KeptAnswer[]
  readonly effects: readonly Effect[]
  readonly answer: A
}

const isInstant = (command: Command): boolean => command.pendingTtlS === 0

/**
 * One step of one device: what is due lapses, the input is applied, and the head moves on if it may.
 * An `unsent` comes before the lapse: what is known not to have left must not be called timed out.
 */
export function decide<I extends Input>(queue: Queue, input: I, situation: Situation): Decision<AnswerTo<I>> {
  const step = new Step(queue, situation)
  if (queue.deleted) return step.decision(afterDeletion(input) as AnswerTo<I>)
  if (input.type === 'unsent') unsent(step, input)
  lapse(step)
  if (step.isAway) failInstants(step)
  const answer = apply(step, input)
  advance(step)
  return step.decision(asItIsNow(step, answer) as AnswerTo<I>)
}

/** An answer that names a command has it as the whole step leaves it: it may have been sent since. */
function asItIsNow(step: Step, answer: Answers[Input['type']]): Answers[Input['type']] {
  if (!answer.ok || !('command' in answer) || answer.command === null) return answer
  return { ...answer, command: step.commands.get(answer.command.id) ?? answer.command }
}

/** True when a step at `now` would settle something by time alone: a read applies that first. */
export function isDue(queue: Queue, now: number): boolean {
  return queue.open.some(command => now >= lapsesAt(command))
}

/** The instant at which an open command lapses if nothing else happens. */
export function lapsesAt(command: Command): number {
  return command.state === State.sent && command.deadlineAt !== null ? command.deadlineAt : command.expireAt
}

function apply(step: Step, input: Input): Answers[Input['type']] {
  switch (input.type) {
    case 'enqueue':
      return enqueueOnce(step, input)
    case 'cancel':
      return cancel(step, input)
    case 'connected':
      return connected(step, input)
    case 'disconnected':
      disconnected(step, input)
      return { ok: true }
    case 'reply':
      return reply(step, input)
    case 'activated':
      activated(step)
      return { ok: true }
    case 'disable':
      return disable(step, input)
    case 'enable':
      return enable(step, input)
    case 'delete':
      return deleteDevice(step, input)
    case 'ready':
    case 'tick':
    case 'unsent':
      return { ok: true }
  }
}

/** What comes in the batch that deletes a device, and after that: nothing is done any more, and nothing taken. */
function afterDeletion(input: Input): Answers[Input['type']] {
  switch (input.type) {
    case 'enqueue':
    case 'cancel':
    case 'connected':
      return refuse(errors.notFound, 'the device is deleted')
    case 'reply':
      return { ok: true, outcome: 'ignored' }
    case 'disable':
    case 'enable':
      return { ok: true, changed: false }
    case 'delete':
      return { ok: true, cancelled: [], failed: null }
    case 'activated':
    case 'disconnected':
    case 'ready':
    case 'tick':
    case 'unsent':
      return { ok: true }
  }
}

/**
 * Lapsed means now >= the instant. What was sent over a session that is not here may be about to leave, on a node whose clock is behind this one, up to its
 * deadline: such a command lapses only once that is over by any clock.
 */
function lapse(step: Step): void {
  const { now, others } = step.situation
  for (const command of step.commands.values()) {
    const isHere = others === null || command.sentSession === step.presence?.session
    const slackMs = command.state === State.sent && !isHere ? NODE_MARGIN_MS : 0
    if (!isOpen(command.state) || now < lapsesAt(command) + slackMs) continue
    if (command.state === State.sent) timeOut(step, command)
    else if (isInstant(command)) step.move(command, State.failed, 'time', 'timeout', { code: errors.notSent.code })
    else step.move(command, State.expired, 'time', 'pendingTtl')
  }
}

/** A connection on which nothing came back at all is suspect: it gets no further command until it speaks. */
function timeOut(step: Step, command: Command): void {
  step.move(command, State.timedOut, 'time', 'timeout', { code: errors.timedOut.code })
  const { presence } = step
  if (presence?.silent && presence.session === command.sentSession) {
    step.presence = { ...presence, ready: false }
    step.effects.push({ type: 'suspect', session: presence.session })
  }
}

/** Instant commands do not wait for a device that is away: neither when it goes, nor when the process comes back after a crash. */
function failInstants(step: Step): void {
  for (const command of step.inState(State.created)) {
    if (isInstant(command)) step.move(command, State.failed, 'device', 'offline', { code: errors.offline.code })
  }
}

/**
 * A call that may be repeated is done once, however often it comes while its answer is kept. That is decided with the queue, and kept in the commit that
 * puts the command on record: there is no moment in which there is one without the other, and two nodes cannot both be the first.
 */
function enqueueOnce(step: Step, input: Enqueue): Answers['enqueue'] {
  const { repeatable } = input
  if (repeatable === undefined) return { ok: true, command: enqueue(step, input) }
  const { application, key, requestHash, keepMs } = repeatable
  const { now } = step.situation
  const isOfKey = (kept: KeptAnswer): boolean => kept.application === application && kept.key === key
  const repeated = step.device.kept.find(kept => isOfKey(kept) && now < kept.expireAt)
  if (repeated !== undefined && repeated.requestHash !== requestHash)
    return refuse(errors.keyReused, 'the Idempotency-Key was used before, for another request; nothing was stored')
  if (repeated !== undefined) return { ok: true, repeated, command: step.commands.get(repeated.commandId) ?? null }
  const command = enqueue(step, input)
  const refusedCode = command.state === State.failed ? command.code : null
  const expireAt = command.createdAt + keepMs
  const first: KeptAnswer = { application, key, requestHash, commandId: command.id, refusedCode, expireAt }
  step.kept.push(first)
  // One that has lapsed gives its place to the new one, here as in the store.
  step.device = { ...step.device, kept: [...step.device.kept.filter(kept => !isOfKey(kept)), first] }
  return { ok: true, command }
}

function enqueue(step: Step, input: Enqueue): Command {
  const { device } = step
  assert(device.lastCommandId === null || input.id > device.lastCommandId, 'command ids of a device grow')
  const createdAt = idMs(input.id)
  const refusal = refuseAtOnce(step, input)
  const lifeS = input.pendingTtlS > 0 ? input.pendingTtlS : input.timeoutS
  const command: Command = {
    id: input.id,
    state: refusal === null ? State.created : State.failed,
    kind: input.kind,
    identifier: input.identifier,
    timeoutS: input.timeoutS,
    pendingTtlS: input.pendingTtlS,
    expireAt: createdAt + lifeS * 1000,
    deadlineAt: null,
    createdAt,
    sentAt: null,
    settledAt: refusal === null ? null : step.situation.now,
    sentSession: null,
    createdBy: input.by,
    code: refusal?.code ?? null,
    lateReplies: 0,
  }
  step.device = { ...step.device, lastCommandId: input.id }
  step.put(command)
  step.event({
    commandId: input.id,
    from: null,
    to: command.state,
    by: input.by,
    reason: refusal?.name ?? 'accepted',
    detail: null,
  })
  return command
}

/** Why a command fails the moment it is accepted, or null. It is on record all the same. */
function refuseAtOnce(step: Step, input: Enqueue): { code: number; name: string } | null {
  if (input.pendingTtlS === 0) {
    if (step.device.activeAt === null) return errors.inactive
    if (step.isAway) return errors.offline
  }
  return step.inState(State.created).length >= step.situation.queueCap ? errors.queueFull : null
}

function cancel(step: Step, input: Cancel): Answers['cancel'] {
  const { commandId, by, detail } = input
  if (commandId !== null) {
    const named = step.commands.get(commandId)
    if (named === undefined) return refuse(errors.commandNotFound, `commandId ${commandId} not found`)
    if (named.state !== State.created)
      return { ok: true, cancelled: [], notCancelled: [{ commandId, state: named.state }] }
  }
  const targets = step.inState(State.created).filter(command => commandId === null || command.id === commandId)
  return {
    ok: true,
    cancelled: targets.map(command => step.move(command, State.cancelled, by, 'cancel', {}, detail)),
    notCancelled: [],
  }
}

function connected(step: Step, input: Connected): Answers['connected'] {
  if (step.device.disabled) return refuse(errors.denied, 'the device is disabled')
  const { now, node } = step.situation
  const session = step.device.sessionNo + 1
  const isLogged = !isRecent(step.device.lastOnlineAt, now)
  wakeHolder(step)
  step.device = {
    ...step.device,
    sessionNo: session,
    sessionNode: node,
    activeAt: step.device.activeAt ?? (input.activates ? now : null),
    lastOnlineAt: now,
  }
  if (isLogged) deviceEvent(step, 'device', 'connected')
  return { ok: true, session }
}

/** The other node that has the device's connection is told that something has changed for it. */
function wakeHolder(step: Step): void {
  if (step.elsewhere !== null) step.effects.push({ type: 'wake', node: step.elsewhere })
}

/** Of the device itself, not of one of its commands. */
function deviceEvent(step: Step, by: string, reason: string, detail: string | null = null): void {
  step.event({ commandId: null, from: null, to: null, by, reason, detail })
}

function activated(step: Step): void {
  if (step.device.activeAt !== null) return
  step.device = { ...step.device, activeAt: step.situation.now }
  deviceEvent(step, 'device', 'activated')
}

/** What is sent stays sent: its answer may be on the way. Also where the device is disabled already, a connection that is there ends. */
function disable(step: Step, { by }: Disable): Answers['disable'] {
  const changed = !step.device.disabled
  wakeHolder(step)
  // Nobody tells the end of a connection that is closed for this.
  step.device = { ...step.device, disabled: true, sessionNode: null, lastOfflineAt: offlineSince(step) }
  step.presence = null
  if (changed) deviceEvent(step, by, 'disabled')
  failInstants(step)
  step.effects.push({ type: 'evict', why: 'disabled', session: step.device.sessionNo })
  return { ok: true, changed }
}

/** The instant at which a device goes offline that is sent away now: this one, unless it was away before. */
function offlineSince({ device, situation }: Step): number | null {
  const { lastOnlineAt, lastOfflineAt } = device
  return lastOnlineAt !== null && lastOnlineAt >= (lastOfflineAt ?? lastOnlineAt) ? situation.now : lastOfflineAt
}

function enable(step: Step, { by }: Enable): Answers['enable'] {
  const changed = step.device.disabled
  step.device = { ...step.device, disabled: false }
  step.presence = step.situation.presence
  if (changed) deviceEvent(step, by, 'enabled')
  return { ok: true, changed }
}

/** Settles everything, so that nobody waits for a device that is gone and nothing lapses after it. */
function deleteDevice(step: Step, { by }: Delete): Answers['delete'] {
  const { code } = errors.deviceDeleted
  const [sent] = step.inState(State.sent)
  const failed = sent === undefined ? null : step.move(sent, State.failed, by, 'device deleted', { code })
  const created = step.inState(State.created)
  const cancelled = created.map(command => step.move(command, State.cancelled, by, 'device deleted', { code }))
  wakeHolder(step)
  step.device = { ...step.device, deleted: true }
  step.presence = null
  deviceEvent(step, by, 'deleted')
  step.effects.push({ type: 'evict', why: 'deleted', session: step.device.sessionNo })
  return { ok: true, cancelled, failed }
}

/** Too soon after the last one of its kind for an event of its own; the device's row has the instant all the same. */
const isRecent = (last: number | null, now: number): boolean => last !== null && now - last < SESSION_EVENT_EVERY_MS

/** The end of an older session says nothing about the newest one: a takeover is not offline. */
function disconnected(step: Step, input: Disconnected): void {
  if (input.session !== step.device.sessionNo) return
  const { now } = step.situation
  const isLogged = !isRecent(step.device.lastOfflineAt, now)
  step.device = { ...step.device, sessionNode: null, lastOfflineAt: now }
  if (!isLogged) return
  deviceEvent(step, 'device', 'disconnected', JSON.stringify({ reason: input.reason }))
}

function reply(step: Step, input: Reply): Answers['reply'] {
  const named = step.commands.get(input.commandId)
  // What is answered has left: the margin for what may be about to leave is not for it.
  if (named?.state === State.sent && step.situation.now >= lapsesAt(named)) timeOut(step, named)
  const command = step.commands.get(input.commandId)
  if (command === undefined || command.sentAt === null) return { ok: true, outcome: 'ignored' }
  if (command.state !== State.sent) return lateReply(step, command, input)
  const success = input.code === 0 || input.code === 200
  const code = success ? 0 : (input.code ?? errors.internal.code)
  step.move(command, success ? State.succeeded : State.failed, 'device', 'reply', { code })
  step.outcomes.push({
    commandId: command.id,
    outputJson: command.kind === Kind.invoke ? input.outputJson : null,
    deviceCode: input.deviceCode,
    deviceMessage: input.message,
  })
  return { ok: true, outcome: 'settled' }
}

/** A final state is never taken back; what came after it is kept beside it. */
function lateReply(step: Step, command: Command, input: Reply): Answers['reply'] {
  step.put({ ...command, lateReplies: command.lateReplies + 1 })
  if (command.lateReplies < LATE_REPLIES_KEPT) {
    const { deviceCode, message, outputJson } = input
    const detail = JSON.stringify({
      code: deviceCode.slice(0, 64),
      message: message?.slice(0, LATE_DETAIL_MAX_CHARS / 2) ?? null,
      output: outputJson?.slice(0, LATE_DETAIL_MAX_CHARS / 2) ?? null,
    })
    step.event({
      commandId: command.id,
      from: command.state,
      to: command.state,
      by: 'device',
      reason: 'late reply',
      detail,
    })
  }
  return { ok: true, outcome: 'late' }
}

function unsent(step: Step, input: Unsent): void {
  const command = step.commands.get(input.commandId)
  if (command?.state !== State.sent || command.sentSession !== input.session) return
  const back = { sentAt: null, deadlineAt: null, sentSession: null }
  if (input.reason === 'tooLarge' || input.reason === 'codec' || input.reason === 'unsupported')
    step.move(command, State.failed, 'server', `unsent: ${input.reason}`, { ...back, code: errors.notEncodable.code })
  else if (isInstant(command))
    step.move(command, State.failed, 'server', `unsent: ${input.reason}`, { ...back, code: errors.offline.code })
  else step.move(command, State.created, 'server', `unsent: ${input.reason}`, back)
}

/** The head is sent if nothing else is, the device is ready, and its session is the newest. The only place where sending is decided. */
function advance(step: Step): void {
  const { presence, device, situation } = step
  const [head] = step.inState(State.created)
  if (head === undefined || step.inState(State.sent).length > 0) return
  wakeHolder(step)
  if (step.elsewhere !== null || !situation.dispatch || !presence?.ready || presence.session !== device.sessionNo)
    return
  const deadlineAt = isInstant(head) ? head.expireAt : situation.now + head.timeoutS * 1000
  const { session } = presence
  const patch = { sentAt: situation.now, deadlineAt, sentSession: session }
  step.move(head, State.sent, 'server', 'sent', patch, JSON.stringify({ node: situation.node, session }))
  const { id: commandId, kind, identifier } = head
  const notAfter = Math.min(deadlineAt, head.expireAt)
  step.effects.push({ type: 'publish', commandId, kind, identifier, session, notAfter })
}
