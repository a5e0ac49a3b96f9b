// What a command waited for: how its device was meanwhile, and when commands before it were under way; and where on the drawing that is. The record tells of
// turns only, so how it was before the first one is concluded from it. Pure. Not here: the command's own phases (life.ts).

import {
  type CommandRecord,
  type DeviceLine,
  type Explanation,
  State,
  type Timeline,
  type TimelineEvent,
} from '@downlink/client'
import { placeOf, scaleOf } from './scale.ts'

interface Between {
  readonly from: number
  readonly to: number
}

export type Contact = 'online' | 'offline' | 'disabled'
export interface Period<Kind extends string> {
  readonly kind: Kind
  readonly from: number
  readonly to: number
}
export interface Waiting {
  /** how the device was, as far as it is known */
  readonly contact: readonly Period<Contact>[]
  /** when a command before it was sent and not answered */
  readonly before: readonly Period<'before'>[]
  /** commands before it that something happened to meanwhile */
  readonly others: number
  /** instants at which it was not sent after all */
  readonly attempts: readonly number[]
}

export function waitingOf(
  { command, events, waitedFor }: Timeline,
  { from, to }: Between,
  explanation: Explanation,
  device: DeviceLine | null,
): Waiting {
  const contact = contactPeriods(waitedFor, { from, to }, contactWithout(command, explanation, device, { from, to }))
  const before = flights(waitedFor, { from, to }, explanation)
  const others = new Set(waitedFor.flatMap(({ commandId }) => (commandId === null ? [] : [commandId])))
  const attempts = events.filter(event => event.from === State.sent && event.to === State.created).map(({ at }) => at)
  return { contact, before, others: Math.max(others.size, explanation.ahead ?? 0), attempts }
}

/** What an event of the device says of how it was after it, and before it; null: either. */
const turns: Readonly<Record<string, { readonly after: Contact; readonly before: Contact | null }>> = {
  connected: { after: 'online', before: 'offline' },
  disconnected: { after: 'offline', before: 'online' },
  disabled: { after: 'disabled', before: null },
  enabled: { after: 'offline', before: 'disabled' },
  deleted: { after: 'offline', before: null },
}

function turnOf({ commandId, to, reason }: TimelineEvent) {
  // Not every connection has an event of its own, but what is sent is sent to a device that is there.
  if (commandId !== null) return to === State.sent ? { after: 'online' as const, before: 'online' as const } : undefined
  return Object.hasOwn(turns, reason) ? turns[reason] : undefined
}

function contactPeriods(events: readonly TimelineEvent[], { from, to }: Between, without: Contact | null) {
  const all = events.flatMap(event => {
    const turn = turnOf(event)
    return turn === undefined ? [] : [{ at: event.at, ...turn }]
  })
  const periods: Period<Contact>[] = []
  let kind = all.length === 0 ? without : (all[0]?.before ?? null)
  let since = from
  const end = (at: number) => {
    if (kind !== null && at > since) periods.push({ kind, from: since, to: at })
    since = at
  }
  for (const { at, after } of all) {
    if (after === kind) continue
    end(Math.min(Math.max(at, since), to))
    kind = after
  }
  end(to)
  return periods
}

/** How the device was all the time, where no event says so: as it is now, or as it must have been; null: it is not known. */
function contactWithout(
  { state, sentAt }: CommandRecord,
  { reasons }: Explanation,
  device: DeviceLine | null,
  { from, to }: Between,
): Contact | null {
  if (sentAt !== null) return 'online'
  if (state === State.created) {
    const names = reasons.map(({ reason }) => reason as string)
    if (names.includes('deviceDisabled')) return 'disabled'
    return names.includes('deviceOffline') || names.includes('deviceInactive') ? 'offline' : 'online'
  }
  if (device === null) return null
  const { lastOnlineAt, lastOfflineAt } = device
  if (lastOnlineAt === null || lastOnlineAt >= to) return (lastOfflineAt ?? from) <= from ? 'offline' : null
  if (lastOnlineAt > from || (lastOfflineAt ?? from) > from) return null
  return lastOfflineAt !== null && lastOfflineAt >= lastOnlineAt ? 'offline' : 'online'
}

/** One at a time is in flight, so these do not overlap. */
function flights(events: readonly TimelineEvent[], { from, to }: Between, { head }: Explanation): Period<'before'>[] {
  const periods: Period<'before'>[] = []
  const open = new Map<string, number>()
  const told = new Set<string>()
  for (const { commandId, from: left, to: entered, at } of events) {
    if (commandId === null) continue
    told.add(commandId)
    if (left === State.sent && entered !== left) {
      periods.push({ kind: 'before', from: open.get(commandId) ?? from, to: Math.min(at, to) })
      open.delete(commandId)
    } else if (entered === State.sent) open.set(commandId, Math.max(at, from))
  }
  if (head?.state === State.sent && !told.has(head.commandId)) open.set(head.commandId, from)
  for (const since of open.values()) periods.push({ kind: 'before', from: since, to })
  return periods
}

/** of the time that it waited, what is drawn of one thing that it waited for, at least */
const PERIOD_SHARE = 0.05
const PERIODS_SHARE = 0.7
/** things that it waited for that get a length of their own: with more, each would be too short to be seen */
const CUTS_MAX = 12

/** Where an instant of its waiting is, from 0 to 1 of the length that the waiting is drawn with. */
export function waitingPlace({ from, to }: Between, { contact, before }: Waiting): (at: number) => number {
  const ends = [contact, before].map(periods => periods.flatMap(period => [period.from, period.to]))
  const both = cuts(ends.flat(), from, to)
  const instants = both.length <= CUTS_MAX + 2 ? both : cuts(ends[0] ?? [], from, to)
  if (instants.length > CUTS_MAX + 2) return at => placeOf(at, [from, to], [0, 1])
  const durations = instants.slice(1).map((instant, part) => instant - (instants[part] ?? from))
  const { places } = scaleOf(durations, Math.min(PERIOD_SHARE, PERIODS_SHARE / durations.length))
  return at => placeOf(at, instants, places)
}

const cuts = (ends: readonly number[], from: number, to: number): number[] =>
  [...new Set([from, ...ends.filter(end => end > from && end < to), to])].sort((a, b) => a - b)
