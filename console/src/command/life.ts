// A command's life as what is drawn of it: the phases that it went through and the instants between them. Pure.
// Not here: what it waited for meanwhile (waiting.ts), how it looks (life.tsx).

import { isFinal, State, type StateName, stateName, type Timeline, type TimelineEvent } from '@downlink/client'
import { type Scale, scaleOf } from './scale.ts'

/** What a stretch of its life was: it waited; it was sent and not answered; it was over and a late answer was still to come; it has so long from now on. */
export type PhaseKind = 'waiting' | 'answering' | 'after' | 'left'

/** Between two phases, and at both ends. `late`: an answer that came after the end. The last three are ahead. */
export type StationKind =
  | 'created'
  | 'sent'
  | 'now'
  | 'late'
  | Exclude<StateName, 'created' | 'sent'>
  | 'willExpire'
  | 'willFail'
  | 'willTimeOut'

export interface Station {
  readonly kind: StationKind
  readonly at: number
}

/** A phase, and the instant at which it ends. */
export interface Stretch {
  readonly kind: PhaseKind
  readonly from: number
  readonly to: number
  readonly end: Station
}

export interface Life {
  readonly start: Station
  /** one after the other; none where it was refused on arrival */
  readonly stretches: readonly Stretch[]
}

export function lifeOf({ command, events }: Timeline, now: number): Life {
  const { state, sentAt, settledAt, expireAt, deadlineAt, pendingTtl } = command
  const createdAt = Number(command.createTime)
  const kind = sentAt === null ? 'waiting' : 'answering'
  const stretches: Stretch[] = []
  let from = createdAt
  // Clocks of two nodes may differ by a little; nothing ends before it begins.
  const add = (kind: PhaseKind, at: number, end: StationKind) => {
    const to = Math.max(from, at)
    stretches.push({ kind, from, to, end: { kind: end, at: to } })
    from = to
  }
  const final = isFinal(state) ? (stateName[state] as Exclude<StateName, 'created' | 'sent'>) : null
  if (final !== null && isRefused(events)) return { start: { kind: final, at: createdAt }, stretches }
  if (sentAt !== null) add('waiting', sentAt, 'sent')
  if (final !== null) add(kind, settledAt ?? now, final)
  else {
    add(kind, now, 'now')
    const limit = state === State.created ? expireAt : deadlineAt
    const lapse = state === State.sent ? 'willTimeOut' : pendingTtl === 0 ? 'willFail' : 'willExpire'
    if (limit !== null && limit > from) add('left', limit, lapse)
  }
  const late = events.find(isLate)
  if (late !== undefined) add('after', late.at, 'late')
  return { start: { kind: 'created', at: createdAt }, stretches }
}

export const isLate = ({ reason }: TimelineEvent): boolean => reason === 'late reply'
/** It was over the moment that it came. */
export const isRefused = ([first]: readonly TimelineEvent[]): boolean =>
  first !== undefined && first.from === null && first.to === State.failed

/** of what a phase is drawn as, at least: its words and those of its end stand there */
const PHASE_SHARE = 0.24
/** of all phases, with which they still differ in length */
const PHASES_SHARE = 0.88

/** What the shortest of so many phases gets. */
export const leastShare = (phases: number): number => Math.min(PHASE_SHARE, PHASES_SHARE / Math.max(1, phases))

/** Where the phases are, from 0 to 1. */
export const phaseScale = ({ stretches }: Life): Scale =>
  scaleOf(
    stretches.map(({ from, to }) => to - from),
    leastShare(stretches.length),
  )
