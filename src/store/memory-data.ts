// What devices report, in memory. Not here: the devices (memory.ts).

import { byCodePoint, checkData, mayHave } from './checks.ts'
import { type Entry, keep } from './memory-entry.ts'
import type { DataChange, DeviceData, LatestEvent, LatestValue } from './store.ts'

export class MemoryData implements DeviceData {
  readonly #devices: ReadonlyMap<number, Entry>

  constructor(devices: ReadonlyMap<number, Entry>) {
    this.#devices = devices
  }

  async saveData(changes: readonly DataChange[]): Promise<boolean[]> {
    checkData(changes)
    return changes.map(change => {
      const entry = this.#devices.get(change.deviceId)
      return entry !== undefined && report(entry, keep(change))
    })
  }

  async reportedBytes(type: DataChange['type'], deviceId: number, ids: readonly string[] | null): Promise<number> {
    const entry = this.#devices.get(deviceId)
    const texts = entry === undefined ? [] : [...named(textsOf(entry, type), ids).values()]
    return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  }

  async latestValues(deviceId: number, pointIds: readonly string[] | null): Promise<LatestValue[]> {
    const wanted = [...named(this.#devices.get(deviceId)?.values, pointIds).values()]
    return wanted.sort((a, b) => byCodePoint(a.pointId, b.pointId))
  }

  async latestEvents(deviceId: number, eventIds: readonly string[] | null = null): Promise<LatestEvent[]> {
    const wanted = [...named(this.#devices.get(deviceId)?.latestEvents, eventIds).values()]
    return wanted.sort((a, b) => byCodePoint(a.eventId, b.eventId))
  }

  async attributes(deviceId: number, ids: readonly string[] | null = null): Promise<Map<string, string>> {
    return named(this.#devices.get(deviceId)?.labels.attributes, ids)
  }

  async tags(deviceId: number, keys: readonly string[] | null = null): Promise<Map<string, string>> {
    return named(this.#devices.get(deviceId)?.labels.tags, keys)
  }
}

/** Those of the names given, or with null all, in the order that they have; a new Map. */
function named<T>(all: ReadonlyMap<string, T> | undefined, names: readonly string[] | null): Map<string, T> {
  const wanted = names === null ? null : new Set(names)
  return new Map([...(all ?? [])].filter(([name]) => wanted?.has(name) ?? true))
}

function textsOf(entry: Entry, type: DataChange['type']): ReadonlyMap<string, string> {
  if (type === 'attributes' || type === 'tags') return entry.labels[type]
  if (type === 'event') return new Map([...entry.latestEvents].map(([id, { outputJson }]) => [id, outputJson]))
  return new Map([...entry.values].map(([id, { valueJson }]) => [id, valueJson]))
}

/** Applies a change to what a device reports; false, and nothing is changed, where it would get more than it may have. */
function report(entry: Entry, change: DataChange): boolean {
  switch (change.type) {
    case 'measurepoints':
      return putLatest(
        entry.values,
        change.values.map(value => [value.pointId, value]),
        change.type,
      )
    case 'event':
      return putLatest(entry.latestEvents, [[change.event.eventId, change.event]], change.type)
    case 'attributes':
    case 'tags': {
      const labels = new Map(entry.labels[change.type])
      for (const id of change.remove) labels.delete(id)
      for (const [id, value] of change.set) labels.set(id, value)
      if (!mayHave(change.type, entry.labels[change.type].size, labels.size)) return false
      entry.labels[change.type] = labels
      return true
    }
  }
}

function putLatest<T extends { readonly at: number }>(
  latest: Map<string, T>,
  said: readonly (readonly [id: string, T])[],
  type: DataChange['type'],
): boolean {
  const added = new Set(said.map(([id]) => id).filter(id => !latest.has(id)))
  if (!mayHave(type, latest.size, latest.size + added.size)) return false
  for (const [id, each] of said) if (each.at >= (latest.get(id)?.at ?? each.at)) latest.set(id, each)
  return true
}
