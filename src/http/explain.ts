// Why a command is where it is, in words and in fields: for whoever asks at night whether it may still be sent, and whether it can be stopped. Pure.
// Not here: the rules themselves (core/queue.ts), reading what is on record (views.ts).

import { type Command, State, stateName } from '../core/command.ts'
import type { Queue } from '../core/queue.ts'
import type { DeviceStatus } from '../store/views.ts'

/** What keeps a command from being sent, or what it waits for. */
export type Reason =
  | { readonly reason: 'deviceDisabled' }
  | { readonly reason: 'deviceInactive' }
  | { readonly reason: 'deviceOffline'; readonly since: number | null }
  /** connected, and not ready for commands yet: it has not subscribed, or has gone silent since the last command */
  | { readonly reason: 'deviceNotReady' }
  /** connected to another node, which sends */
  | { readonly reason: 'deviceElsewhere'; readonly node: number }
  | { readonly reason: 'behind'; readonly commandId: string; readonly ahead: number }
  | { readonly reason: 'awaitingAnswer'; readonly sentAt: number; readonly deadlineAt: number }
  /** nothing is in its way: it is about to be sent */
  | { readonly reason: 'next' }
  | { readonly reason: 'over'; readonly settledAt: number; readonly code: number | null }

/** The command before it in the queue that is sent and not answered, or the first that waits. */
export interface Head {
  readonly commandId: string
  readonly state: State
  readonly sentAt: number | null
  readonly deadlineAt: number | null
}

export interface Explanation {
  /** one sentence or a few, in English; times in UTC */
  readonly explanation: string
  readonly reasons: readonly Reason[]
  /** whether a cancel now would find it created */
  readonly cancellable: boolean
  /** created and sent commands before it; null: it is over */
  readonly ahead: number | null
  readonly head: Head | null
  /** when it lapses unsent; null: it is not waiting */
  readonly expireAt: number | null
  /** when it lapses unanswered; null: it is not sent */
  readonly deadlineAt: number | null
}

/** What is known of the device's connection. */
export interface Contact {
  readonly status: DeviceStatus
  readonly lastOnlineAt: number | null
  readonly lastOfflineAt: number | null
  /** its connection on this node; null: it has none here */
  readonly presence: { readonly ready: boolean; readonly silent: boolean } | null
  /** the other node that it is connected to; null: none */
  readonly elsewhere: number | null
}

/** Of a command that is open: `queue` has it among its open ones. */
export function explainOpen(command: Command, queue: Queue, contact: Contact, now: number): Explanation {
  const before = queue.open.filter(({ id }) => id < command.id)
  const head = before.find(({ state }) => state === State.sent) ?? before[0] ?? null
  const reasons = command.state === State.sent ? [awaiting(command)] : waiting(head, before.length, contact)
  const isWaiting = command.state === State.created
  return {
    explanation: reasons.map(reason => sentence(reason, command, head, now)).join(' ') + lapse(command, now),
    reasons,
    cancellable: isWaiting && now < command.expireAt,
    ahead: before.length,
    head: head === null ? null : headOf(head),
    expireAt: isWaiting ? command.expireAt : null,
    deadlineAt: command.deadlineAt,
  }
}

/** Of one that is over, or whose device is gone. */
export function explainOver(command: Command, by: string): Explanation {
  const settledAt = command.settledAt ?? command.createdAt
  const tried = command.sentAt === null ? 'It was never sent.' : `It was sent at ${instant(command.sentAt)}.`
  const code = command.code === null ? '' : `, code ${command.code}`
  return {
    explanation: `It is over: ${words[stateName[command.state]]} at ${instant(settledAt)} (${by}${code}). ${tried}`,
    reasons: [{ reason: 'over', settledAt, code: command.code }],
    cancellable: false,
    ahead: null,
    head: null,
    expireAt: null,
    deadlineAt: null,
  }
}

const words: Readonly<Record<(typeof stateName)[State], string>> = {
  created: 'created',
  cancelled: 'cancelled',
  expired: 'expired before it could be sent',
  sent: 'sent',
  succeeded: 'succeeded',
  failed: 'failed',
  timedOut: 'timed out, sent and not answered',
}

const awaiting = ({ sentAt, deadlineAt, createdAt, expireAt }: Command): Reason => ({
  reason: 'awaitingAnswer',
  sentAt: sentAt ?? createdAt,
  deadlineAt: deadlineAt ?? expireAt,
})

function waiting(head: Command | null, ahead: number, contact: Contact): Reason[] {
  const behind: Reason[] = head === null ? [] : [{ reason: 'behind', commandId: head.id, ahead }]
  const away = whyAway(contact)
  if (away !== null) return [away, ...behind]
  // What is sent is waited for, whatever the connection does.
  if (head?.state === State.sent) return [...behind, awaiting(head)]
  if (contact.elsewhere !== null) return [{ reason: 'deviceElsewhere', node: contact.elsewhere }, ...behind]
  if (contact.presence?.ready === false) return [{ reason: 'deviceNotReady' }, ...behind]
  return behind.length > 0 ? behind : [{ reason: 'next' }]
}

function whyAway({ status, lastOnlineAt, lastOfflineAt, presence, elsewhere }: Contact): Reason | null {
  if (status === 'disabled') return { reason: 'deviceDisabled' }
  if (presence !== null || elsewhere !== null) return null
  return lastOnlineAt === null ? { reason: 'deviceInactive' } : { reason: 'deviceOffline', since: lastOfflineAt }
}

function sentence(reason: Reason, command: Command, head: Command | null, now: number): string {
  switch (reason.reason) {
    case 'deviceDisabled':
      return 'The device is disabled: nothing is sent to it before somebody enables it.'
    case 'deviceInactive':
      return 'The device has never connected.'
    case 'deviceOffline':
      return reason.since === null
        ? 'The device is offline.'
        : `The device has been offline since ${instant(reason.since)}, for ${span(now - reason.since)}.`
    case 'deviceNotReady':
      return 'The device is connected and not ready for commands: it has not subscribed yet, or has been silent since the last one.'
    case 'deviceElsewhere':
      return `The device is connected to node ${reason.node}, which sends to it.`
    case 'behind':
      return `It is behind ${reason.ahead} ${reason.ahead === 1 ? 'command' : 'commands'}, first ${reason.commandId}.`
    case 'awaitingAnswer':
      return command.state === State.sent
        ? `It was sent at ${instant(reason.sentAt)}, and the device has not answered yet.`
        : `${head?.id ?? 'The one before it'} was sent at ${instant(reason.sentAt)}, and has until ${instant(reason.deadlineAt)} to be answered.`
    case 'next':
      return 'It is next, and nothing is in its way.'
    case 'over':
      return 'It is over.'
  }
}

function lapse({ state, expireAt, deadlineAt, pendingTtlS }: Command, now: number): string {
  if (state === State.sent)
    return deadlineAt === null
      ? ''
      : ` Without an answer it times out at ${instant(deadlineAt)}, in ${span(deadlineAt - now)}. It cannot be recalled.`
  const how = pendingTtlS === 0 ? 'fails' : 'expires'
  return ` It ${how} at ${instant(expireAt)}, in ${span(expireAt - now)}, if it has not been sent by then; until then it can be cancelled.`
}

const headOf = ({ id, state, sentAt, deadlineAt }: Command): Head => ({ commandId: id, state, sentAt, deadlineAt })

/** `2026-11-23T03:04:05Z` */
const instant = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`

/** The two largest units: `2 d 3 h`, `5 min 20 s`. */
export function span(ms: number): string {
  let left = Math.max(0, Math.round(ms / 1_000))
  const parts: string[] = []
  for (const [unit, seconds] of [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ] as const) {
    const n = Math.floor(left / seconds)
    left -= n * seconds
    if (n > 0) parts.push(`${n} ${unit}`)
  }
  return parts.slice(0, 2).join(' ') || '0 s'
}
