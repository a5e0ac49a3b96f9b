// What devices report, on PostgreSQL: the changes of one call are applied to what is on record of their devices, in memory and one after the other, and
// what comes of it is written at once. A call that only brings new values of what is there, as nearly all do, locks no device.
// Not here: what is checked before anything is written (checks.ts).

import { checkData, isKept, mayHave } from './checks.ts'
import { type Connections, type Session, together } from './postgres-connection.ts'
import { columns } from './postgres-rows.ts'
import { type LatestEventColumns, latestEventOf, latestValueOf, type ValueColumns } from './rows.ts'
import type { DataChange, DeviceData, LatestEvent, LatestValue } from './store.ts'

type Latest = 'measurepoints' | 'event'
type Labels = 'attributes' | 'tags'

/** What is on record of one device, of the ids that the changes name, and how it will be. */
interface Reported {
  readonly latest: Record<Latest, { count: number; readonly at: Map<string, number> }>
  /** places of all that it has */
  readonly labels: Record<Labels, Map<string, number>>
}

/** What is to be written, by device and id: the last word on each. */
interface Writes {
  readonly values: Map<string, readonly unknown[]>
  readonly events: Map<string, readonly unknown[]>
  readonly labels: Record<
    Labels,
    { readonly put: Map<string, readonly unknown[]>; readonly removed: Map<string, readonly unknown[]> }
  >
  /** whether a device gets more of something than it has: then nobody else may add to it meanwhile */
  adds: boolean
}

const keyOf = (deviceId: number, id: string): string => `${deviceId} ${id}`
const isLatest = (change: DataChange): change is DataChange & { readonly type: Latest } =>
  change.type === 'measurepoints' || change.type === 'event'

/** id and instant of each value that the change brings */
const saidBy = (change: DataChange & { readonly type: Latest }): { readonly id: string; readonly at: number }[] =>
  change.type === 'event'
    ? [{ id: change.event.eventId, at: change.event.at }]
    : change.values.map(({ pointId, at }) => ({ id: pointId, at }))

export class PostgresData implements DeviceData {
  readonly #connections: Connections

  constructor(connections: Connections) {
    this.#connections = connections
  }

  /** Saving the same twice leaves the same, so a loss needs no further thought. */
  async saveData(changes: readonly DataChange[]): Promise<boolean[]> {
    checkData(changes)
    if (changes.length === 0) return []
    const needsLock = changes.some(change => !isLatest(change))
    return this.#connections.write('others', async on => {
      let plan = planOf(changes, await recordOf(on, changes, needsLock))
      // Looked at again, where it was looked at without a lock and that will not do.
      if (plan.writes.adds && !needsLock) plan = planOf(changes, await recordOf(on, changes, true))
      await writeAll(on, plan.writes)
      return plan.applied
    })
  }

  async reportedBytes(type: DataChange['type'], deviceId: number, ids: Names): Promise<number> {
    const [row] = await this.#connections.again('others', on =>
      on.all<{ bytes: number }>(BYTES_OF[type], deviceId, keptOf(ids)),
    )
    return row?.bytes ?? 0
  }

  async latestValues(deviceId: number, pointIds: Names): Promise<LatestValue[]> {
    const rows = await this.#connections.again('others', on =>
      on.all<ValueColumns>('latestValues', deviceId, keptOf(pointIds)),
    )
    return rows.map(latestValueOf)
  }

  async latestEvents(deviceId: number, eventIds: Names = null): Promise<LatestEvent[]> {
    const rows = await this.#connections.again('others', on =>
      on.all<LatestEventColumns>('latestEvents', deviceId, keptOf(eventIds)),
    )
    return rows.map(latestEventOf)
  }

  attributes(deviceId: number, ids: Names = null): Promise<Map<string, string>> {
    return this.#labels('attributes', deviceId, ids)
  }

  tags(deviceId: number, keys: Names = null): Promise<Map<string, string>> {
    return this.#labels('tags', deviceId, keys)
  }

  async #labels(type: Labels, deviceId: number, names: Names): Promise<Map<string, string>> {
    const rows = await this.#connections.again('others', on =>
      on.all<{ name: string; value: string }>(type, deviceId, keptOf(names)),
    )
    return new Map(rows.map(({ name, value }) => [name, value]))
  }
}

/** ids that are asked for; null: all */
type Names = readonly string[] | null
const keptOf = (names: Names): string[] | null => names?.filter(isKept) ?? null

const BYTES_OF = {
  measurepoints: 'bytesOfValues',
  event: 'bytesOfEvents',
  attributes: 'bytesOfAttributes',
  tags: 'bytesOfTags',
} as const

/** What is on record of the devices that the changes name; absent: it does not exist. With `lock` nobody else adds to them until the end. */
async function recordOf(on: Session, changes: readonly DataChange[], lock: boolean): Promise<Map<number, Reported>> {
  const ids = [...new Set(changes.map(({ deviceId }) => deviceId))]
  const there = await on.all<{ id: number }>(lock ? 'lockReporting' : 'hasDevice', ids)
  const devices = new Map(there.map(({ id }) => [id, newReported()]))
  const named = (type: Latest): unknown[][] =>
    columns(
      changes
        .filter(isLatest)
        .flatMap(change => (change.type === type ? saidBy(change).map(({ id }) => [change.deviceId, id]) : [])),
      2,
    )
  const labelled = (type: Labels): number[] => changes.flatMap(each => (each.type === type ? [each.deviceId] : []))
  type At = { device_id: number; id: string; at: number }
  type Count = { device_id: number; count: number }
  type Place = { device_id: number; name: string; place: number }
  const [values, events, valueCounts, eventCounts, attributes, tags] = await together([
    on.all<At>('latestValue', ...named('measurepoints')),
    on.all<At>('latestEvent', ...named('event')),
    // How many a device has matters only where it gets more, which is not looked at without a lock.
    on.all<Count>('countValues', lock ? ids : []),
    on.all<Count>('countEvents', lock ? ids : []),
    on.all<Place>('attributePlaces', labelled('attributes')),
    on.all<Place>('tagPlaces', labelled('tags')),
  ])
  for (const row of values) devices.get(row.device_id)?.latest.measurepoints.at.set(row.id, row.at)
  for (const row of events) devices.get(row.device_id)?.latest.event.at.set(row.id, row.at)
  for (const { device_id, count } of valueCounts) setCount(devices.get(device_id)?.latest.measurepoints, count)
  for (const { device_id, count } of eventCounts) setCount(devices.get(device_id)?.latest.event, count)
  for (const row of attributes) devices.get(row.device_id)?.labels.attributes.set(row.name, row.place)
  for (const row of tags) devices.get(row.device_id)?.labels.tags.set(row.name, row.place)
  return devices
}

const newReported = (): Reported => ({
  latest: { measurepoints: { count: 0, at: new Map() }, event: { count: 0, at: new Map() } },
  labels: { attributes: new Map(), tags: new Map() },
})

function setCount(of: { count: number } | undefined, count: number): void {
  if (of) of.count = count
}

const newWrites = (): Writes => ({
  values: new Map(),
  events: new Map(),
  labels: { attributes: { put: new Map(), removed: new Map() }, tags: { put: new Map(), removed: new Map() } },
  adds: false,
})

/** The changes one after the other: which are applied, and what is to be written for all of them. */
function planOf(changes: readonly DataChange[], devices: ReadonlyMap<number, Reported>) {
  const writes = newWrites()
  const applied = changes.map(change => {
    const device = devices.get(change.deviceId)
    if (device === undefined) return false
    return isLatest(change) ? putLatest(device, change, writes) : applyLabels(device, change, writes)
  })
  return { applied, writes }
}

function putLatest(device: Reported, change: DataChange & { readonly type: Latest }, writes: Writes): boolean {
  const has = device.latest[change.type]
  const said = saidBy(change)
  const added = new Set(said.map(({ id }) => id).filter(id => !has.at.has(id))).size
  if (added > 0) writes.adds = true
  if (added > 0 && !mayHave(change.type, has.count, has.count + added)) return false
  has.count += added
  said.forEach(({ id, at }, n) => {
    if (at < (has.at.get(id) ?? at)) return
    has.at.set(id, at)
    const key = keyOf(change.deviceId, id)
    if (change.type === 'event') writes.events.set(key, [change.deviceId, id, change.event.outputJson, at])
    else {
      const { valueJson, quality } = change.values[n] as LatestValue
      writes.values.set(key, [change.deviceId, id, valueJson, quality, at])
    }
  })
  return true
}

function applyLabels(device: Reported, change: DataChange & { readonly type: Labels }, writes: Writes): boolean {
  const { deviceId, type, set, remove } = change
  const before = device.labels[type]
  const after = new Map(before)
  for (const name of remove) after.delete(name)
  // Places only grow: that of a label that goes in the same call is not given again.
  let place = Math.max(0, ...before.values())
  for (const [name] of set) if (!after.has(name)) after.set(name, ++place)
  if (!mayHave(type, before.size, after.size)) return false
  device.labels[type] = after
  const { put, removed } = writes.labels[type]
  for (const name of remove) {
    if (!before.has(name)) continue
    removed.set(keyOf(deviceId, name), [deviceId, name])
    put.delete(keyOf(deviceId, name))
  }
  for (const [name, value] of set) put.set(keyOf(deviceId, name), [deviceId, after.get(name), name, value])
  return true
}

async function writeAll(on: Session, { values, events, labels }: Writes): Promise<void> {
  const rows = (of: ReadonlyMap<string, readonly unknown[]>, width: number) => columns([...of.values()], width)
  await together([
    on.run('putValue', ...rows(values, 5)),
    on.run('putEvent', ...rows(events, 4)),
    on.run('removeAttribute', ...rows(labels.attributes.removed, 2)),
    on.run('setAttribute', ...rows(labels.attributes.put, 4)),
    on.run('removeTag', ...rows(labels.tags.removed, 2)),
    on.run('setTag', ...rows(labels.tags.put, 4)),
  ])
}
