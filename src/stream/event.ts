// An event as it is told, everywhere alike: in streams, to webhooks, in a command's timeline. Pure.
//
// It says only what was so when it happened, so that it is told in the same words each time: how a command ended stands in the event of its end, not in
// those before it, whenever they are read. (Names of a device are those that it has when it is told.)

import { isOpen, type State, stateName } from '../core/command.ts'
import type { QueueEvent } from '../core/queue.ts'
import type { Change, DeviceName, EventCommand } from '../store/stream.ts'
import { cursorOf } from './cursor.ts'

/** Between instants of a command, in ms; null where there was no such instant. */
export interface Latency {
  /** from its creation until it was sent */
  readonly waitedMs: number | null
  /** from then until it was settled */
  readonly answeredMs: number | null
  /** from its creation until it was settled */
  readonly totalMs: number | null
}

/** What `id` is not part of: events that were written before there was a stream have none. */
export interface ToldEvent {
  readonly seq: number
  readonly commandId: string | null
  readonly device: Pick<DeviceName, 'orgId' | 'productKey' | 'deviceKey' | 'assetId'>
  readonly from: State | null
  readonly to: State | null
  /** the name of `to` */
  readonly state: string | null
  /** epoch ms */
  readonly at: number
  readonly by: string
  readonly reason: string
  /** what else there is to say, which depends on the reason */
  readonly detail: unknown
  readonly latency: Latency | null
  readonly command: {
    readonly commandType: number
    readonly tslIdentifier: string
    readonly code: number | null
  } | null
}

export function eventOf(device: DeviceName, event: QueueEvent, command: EventCommand | null): ToldEvent {
  const { seq, commandId, from, to, at, by, reason, detail } = event
  const { orgId, productKey, deviceKey, assetId } = device
  const isOver = to !== null && !isOpen(to)
  return {
    seq,
    commandId,
    device: { orgId, productKey, deviceKey, assetId },
    from,
    to,
    state: to === null ? null : stateName[to],
    at,
    by,
    reason,
    detail: detail === null ? null : JSON.parse(detail),
    latency: command === null ? null : latencyOf(event, command),
    command:
      command === null
        ? null
        : { commandType: command.kind, tslIdentifier: command.identifier, code: isOver ? command.code : null },
  }
}

/** Of the event by which it was sent, and of its end. */
function latencyOf({ from, to, at }: QueueEvent, { createdAt, sentAt, settledAt }: EventCommand): Latency | null {
  if (to === null || from === to) return null
  if (isOpen(to)) {
    const isSending = from !== null && to > from
    return isSending ? { waitedMs: between(createdAt, at), answeredMs: null, totalMs: null } : null
  }
  const endedAt = settledAt ?? at
  return {
    waitedMs: sentAt === null ? null : between(createdAt, sentAt),
    answeredMs: sentAt === null ? null : between(sentAt, endedAt),
    totalMs: between(createdAt, endedAt),
  }
}

/** An id, and so the creation that it carries, may be ahead of the clock by a little: then no time has passed. */
const between = (from: number, to: number): number => Math.max(0, to - from)

/** A change that many are told of is put into words once. */
const texts = new WeakMap<Change, string>()

/** The JSON text of a change: an event with its cursor as `id`. */
export function eventText(change: Change): string {
  const { position, device, event, command } = change
  const known = texts.get(change)
  if (known !== undefined) return known
  const text = JSON.stringify({ id: cursorOf(position), ...eventOf(device, event, command) })
  texts.set(change, text)
  return text
}
