// What devices report, in the SQLite store: each change as statements, run within a transaction that the store has begun; and how it is read.
// Not here: what is checked before anything is written (checks.ts).

import type { StatementSyncInstance } from '@photostructure/sqlite'
import { byCodePoint, isKept, mayHave } from './checks.ts'
import { type LatestEventColumns, latestEventOf, latestValueOf, type ValueColumns } from './rows.ts'
import { find, type Statements } from './sqlite-rows.ts'
import type { DataChange, LatestEvent, LatestValue } from './store.ts'

type Points = DataChange & { readonly type: 'measurepoints' }
type Event = DataChange & { readonly type: 'event' }
type Labels = DataChange & { readonly type: 'attributes' | 'tags' }

const countOf = (count: StatementSyncInstance, deviceId: number): number => {
  const row: { count: number } = count.get(deviceId)
  return row.count
}

/** Applies one change. False, and nothing is written, where the device does not exist or would get more than it may have. */
export function applyData(sql: Statements, change: DataChange): boolean {
  if (sql.hasDevice.get(change.deviceId) === undefined) return false
  switch (change.type) {
    case 'measurepoints':
      return putValues(sql, change)
    case 'event':
      return putEvent(sql, change)
    case 'attributes':
    case 'tags':
      return applyLabels(sql, change)
  }
}

/** What a device has is counted only where it gets more, which it seldom does. */
function putValues(sql: Statements, { type, deviceId, values }: Points): boolean {
  const ids = new Set(values.map(({ pointId }) => pointId))
  const known: { count: number } = sql.countKnownValues.get(deviceId, JSON.stringify([...ids]))
  const added = ids.size - known.count
  const before = added === 0 ? 0 : countOf(sql.countValues, deviceId)
  if (added > 0 && !mayHave(type, before, before + added)) return false
  for (const { pointId, valueJson, quality, at } of values) sql.putValue.run(deviceId, pointId, valueJson, quality, at)
  return true
}

function putEvent(sql: Statements, { type, deviceId, event }: Event): boolean {
  const { eventId, outputJson, at } = event
  if (sql.hasEvent.get(deviceId, eventId) === undefined) {
    const before = countOf(sql.countEvents, deviceId)
    if (!mayHave(type, before, before + 1)) return false
  }
  sql.putEvent.run(deviceId, eventId, outputJson, at)
  return true
}

function applyLabels(sql: Statements, { type, deviceId, set, remove }: Labels): boolean {
  const { has, count, unset, put } = labelStatements(sql, type)
  const isThere = (name: string): boolean => has.get(deviceId, name) !== undefined
  const removed = new Set(remove.filter(name => isKept(name) && isThere(name)))
  const added = new Set(set.map(([name]) => name).filter(name => removed.has(name) || !isThere(name)))
  if (added.size > removed.size) {
    const before = countOf(count, deviceId)
    if (!mayHave(type, before, before - removed.size + added.size)) return false
  }
  for (const name of removed) unset.run(deviceId, name)
  for (const [name, value] of set) put.run(deviceId, deviceId, name, value)
  return true
}

const labelStatements = (sql: Statements, type: Labels['type']) =>
  type === 'attributes'
    ? { has: sql.hasAttribute, count: sql.countAttributes, unset: sql.removeAttribute, put: sql.setAttribute }
    : { has: sql.hasTag, count: sql.countTags, unset: sql.removeTag, put: sql.setTag }

// --- reads -------------------------------------------------------------------------------------------------------

/** The rows of these ids, each once; ids that name nothing are left out. */
const rowsOf = <Columns>(one: StatementSyncInstance, deviceId: number, ids: readonly string[]): Columns[] =>
  [...new Set(ids)].flatMap(id => find<Columns>(one, deviceId, id) ?? [])

export function bytesOf(
  sql: Statements,
  type: DataChange['type'],
  deviceId: number,
  ids: readonly string[] | null,
): number {
  const { all, one } = {
    measurepoints: { all: sql.bytesOfValues, one: sql.bytesOfValue },
    event: { all: sql.bytesOfEvents, one: sql.bytesOfEvent },
    attributes: { all: sql.bytesOfAttributes, one: sql.bytesOfAttribute },
    tags: { all: sql.bytesOfTags, one: sql.bytesOfTag },
  }[type]
  const rows: { bytes: number }[] = ids === null ? all.all(deviceId) : rowsOf(one, deviceId, ids)
  return rows.reduce((sum, { bytes }) => sum + bytes, 0)
}

export function readValues(sql: Statements, deviceId: number, pointIds: readonly string[] | null): LatestValue[] {
  if (pointIds === null) return sql.latestValues.all(deviceId).map(latestValueOf)
  const rows = rowsOf<ValueColumns>(sql.latestValue, deviceId, pointIds)
  return rows.map(latestValueOf).sort((a, b) => byCodePoint(a.pointId, b.pointId))
}

export function readEvents(sql: Statements, deviceId: number, eventIds: readonly string[] | null): LatestEvent[] {
  if (eventIds === null) return sql.latestEvents.all(deviceId).map(latestEventOf)
  const rows = rowsOf<LatestEventColumns>(sql.latestEvent, deviceId, eventIds)
  return rows.map(latestEventOf).sort((a, b) => byCodePoint(a.eventId, b.eventId))
}

interface LabelColumns {
  readonly place: number
  readonly name: string
  readonly value: string
}

export function readLabels(
  sql: Statements,
  type: Labels['type'],
  deviceId: number,
  names: readonly string[] | null,
): Map<string, string> {
  const { all, one } =
    type === 'attributes' ? { all: sql.attributes, one: sql.attribute } : { all: sql.tags, one: sql.tag }
  const rows: LabelColumns[] =
    names === null ? all.all(deviceId) : rowsOf<LabelColumns>(one, deviceId, names).sort((a, b) => a.place - b.place)
  return new Map(rows.map(({ name, value }) => [name, value]))
}
