// The devices of the memory store by what they are found by, and what is left of those that were deleted. Not here: what an entry holds (memory-entry.ts),
// what is checked before one is put or changed (checks.ts).

import { type Entry, keep, newEntry, pair } from './memory-entry.ts'
import type { DeviceRow } from './store.ts'

/** Another row: whoever loaded the queue before decides again. */
export function change(entry: Entry, row: DeviceRow, sessionNode = entry.queue.sessionNode): void {
  entry.row = keep(row)
  entry.queue = { ...entry.queue, version: entry.queue.version + 1, sessionNode }
}

export class Devices {
  readonly byId = new Map<number, Entry>()
  /** devices, and those deleted of which there are records left */
  readonly recorded = new Map<number, Entry>()
  readonly #byAsset = new Map<string, Entry>()
  readonly #byKeys = new Map<string, Entry>()
  #lastId = 0

  byAsset(assetId: string): Entry | null {
    return this.#byAsset.get(assetId) ?? null
  }

  byKeys(productKey: string, deviceKey: string): Entry | null {
    return this.#byKeys.get(pair(productKey, deviceKey)) ?? null
  }

  /** Adds or changes devices. What a row does not say of its description stays. */
  put(rows: readonly DeviceRow[], now: number): void {
    // All old keys go before any new ones come: two devices may swap theirs.
    for (const { assetId } of rows) {
      const row = this.byAsset(assetId)?.row
      if (row !== undefined) this.#byKeys.delete(pair(row.productKey, row.deviceKey))
    }
    for (const row of rows) {
      const before = this.byAsset(row.assetId)
      const whole = { description: before?.row.description ?? null, ...row }
      const entry = before ?? this.#add(whole, now)
      if (before !== null) change(before, whole, row.disabled ? null : before.queue.sessionNode)
      this.#byKeys.set(pair(row.productKey, row.deviceKey), entry)
    }
  }

  /** It is found by the keys of `row` from now on. */
  rename(entry: Entry, row: DeviceRow): void {
    this.#byKeys.delete(pair(entry.row.productKey, entry.row.deviceKey))
    this.#byKeys.set(pair(row.productKey, row.deviceKey), entry)
  }

  #add(row: DeviceRow, now: number): Entry {
    this.#lastId += 1
    const entry = newEntry(this.#lastId, keep(row), now)
    this.byId.set(entry.id, entry)
    this.recorded.set(entry.id, entry)
    this.#byAsset.set(row.assetId, entry)
    return entry
  }

  /** Its records stay, and who it was. Devices behind it are free. */
  remove(entry: Entry, now: number): void {
    const { id, row, values, latestEvents, labels } = entry
    entry.deletedAt = now
    this.byId.delete(id)
    this.#byAsset.delete(row.assetId)
    this.#byKeys.delete(pair(row.productKey, row.deviceKey))
    for (const reported of [values, latestEvents, labels.attributes, labels.tags]) reported.clear()
    for (const other of this.byId.values())
      if (other.row.gatewayAssetId === row.assetId) change(other, { ...other.row, gatewayAssetId: null })
  }
}
