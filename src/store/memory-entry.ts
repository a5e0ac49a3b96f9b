// What the memory store has of one device, and what it keeps of everything else: rows that nobody can change. Not here: what is done to them (memory.ts and
// the parts beside it).

import { type Command, isOpen } from '../core/command.ts'
import type { KeptAnswer, Queue, QueueEvent } from '../core/queue.ts'
import type { Device, DeviceRow, LatestEvent, LatestValue, StoredCommand } from './store.ts'
import type { DeviceName } from './stream.ts'

/** What of a queue belongs to its device alone; the rest is its commands, and `disabled`, which its row has. */
export type QueueFields = Omit<Queue, 'deviceId' | 'disabled' | 'deleted' | 'open' | 'named' | 'kept'>

/** One device, or what is left of it. Rows and events are frozen and replaced, never changed, so that they may be handed out. */
export interface Entry {
  readonly id: number
  row: DeviceRow
  readonly createdAt: number
  /** null: it is there */
  deletedAt: number | null
  queue: QueueFields
  readonly commands: Map<string, StoredCommand>
  /** ids of the open ones */
  readonly open: Set<string>
  events: QueueEvent[]
  /** by application and key */
  readonly kept: Map<string, KeptAnswer>
  readonly values: Map<string, LatestValue>
  readonly latestEvents: Map<string, LatestEvent>
  readonly labels: Record<'attributes' | 'tags', Map<string, string>>
}

const newQueue: QueueFields = {
  version: 0,
  lastCommandId: null,
  eventSeq: 0,
  sessionNo: 0,
  sessionNode: null,
  activeAt: null,
  lastOnlineAt: null,
  lastOfflineAt: null,
}

export function newEntry(id: number, row: DeviceRow, createdAt: number): Entry {
  const data = { values: new Map(), latestEvents: new Map(), labels: { attributes: new Map(), tags: new Map() } }
  const records = { commands: new Map(), open: new Set<string>(), events: [], kept: new Map() }
  return { id, row, createdAt, deletedAt: null, queue: newQueue, ...records, ...data }
}

/** A copy that nobody can change. */
export function keep<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, part]) => [name, keep(part)])
  const copy: unknown = Array.isArray(value) ? value.map(keep) : Object.fromEntries(entries)
  return Object.freeze(copy) as T
}

export const pair = (one: string, other: string): string => JSON.stringify([one, other])
export const byId = (a: Command, b: Command): number => (a.id < b.id ? -1 : 1)

/** The commands of these ids that the device has, oldest first. */
export function records(entry: Entry, ids: ReadonlySet<string>): Command[] {
  const found = [...ids].map(id => entry.commands.get(id)?.command)
  return found.filter(command => command !== undefined).sort(byId)
}

/** Of a row on record only these fields ever change. */
export function updated(before: Command, after: Command): Command {
  const { state, deadlineAt, sentAt, settledAt, sentSession, code, lateReplies } = after
  return { ...before, state, deadlineAt, sentAt, settledAt, sentSession, code, lateReplies }
}

/** When a command became final; null while it is open. */
export function finalSince(entry: Entry, id: string): number | null {
  const command = entry.commands.get(id)?.command
  return command === undefined || isOpen(command.state) ? null : command.settledAt
}

export function deviceOf({ id, row, createdAt, queue }: Entry): Device {
  const { activeAt, lastOnlineAt, lastOfflineAt } = queue
  return { description: null, ...row, id, createdAt, activeAt, lastOnlineAt, lastOfflineAt }
}

export function nameOf({ id, row, deletedAt }: Entry): DeviceName {
  const { orgId, productKey, deviceKey, assetId, timezone } = row
  return { deviceId: id, orgId, productKey, deviceKey, assetId, timezone, deletedAt }
}
