// Cancellations by filter, with what each found, in memory. Not here: jobs (memory-jobs.ts), the commands themselves (memory.ts).

import { State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import { assertNoNul, byCodePoint } from './checks.ts'
import type { CancellationItem, CancellationRow, CancellationStatus, Cancellations } from './jobs.ts'
import { type Entry as Device, records } from './memory-entry.ts'
import { earliest } from './memory-jobs.ts'

interface Entry {
  row: CancellationRow
  /** by their commands */
  readonly items: Map<string, CancellationItem>
}

export class MemoryCancellations implements Cancellations {
  readonly #cancellations = new Map<string, Entry>()
  readonly #devices: ReadonlyMap<number, Device>

  /** devices: all that there are, by their numbers */
  constructor(devices: ReadonlyMap<number, Device>) {
    this.#devices = devices
  }

  async addCancellation(row: CancellationRow): Promise<void> {
    assertNoNul(row)
    assert(!this.#cancellations.has(row.cancellationId), `cancellation ${row.cancellationId} is added once`)
    this.#cancellations.set(row.cancellationId, { row: Object.freeze({ ...row }), items: new Map() })
  }

  async cancellation(cancellationId: string): Promise<CancellationRow | null> {
    return this.#cancellations.get(cancellationId)?.row ?? null
  }

  async countCancellations(orgId: string): Promise<{ open: number; all: number }> {
    const rows = [...this.#cancellations.values()].map(({ row }) => row).filter(row => row.orgId === orgId)
    return { open: rows.filter(({ endedAt }) => endedAt === null).length, all: rows.length }
  }

  async cancellations(
    orgId: string,
    createdBy: string | null,
    offset: number,
    limit: number,
  ): Promise<{ rows: CancellationRow[]; total: number }> {
    const rows = [...this.#cancellations.values()]
      .map(({ row }) => row)
      .filter(row => row.orgId === orgId && (createdBy === null || row.createdBy === createdBy))
      .sort((a, b) => b.createdAt - a.createdAt || byCodePoint(b.cancellationId, a.cancellationId))
    return { rows: rows.slice(offset, offset + limit), total: rows.length }
  }

  async dueCancellations(now: number, limit: number): Promise<CancellationRow[]> {
    const due = [...this.#cancellations.values()]
      .map(({ row }) => row)
      .filter(({ nextAt }) => nextAt !== null && nextAt <= now)
    due.sort((a, b) => Number(a.nextAt) - Number(b.nextAt) || byCodePoint(a.cancellationId, b.cancellationId))
    return due.slice(0, limit)
  }

  /** When a cancellation is to be looked at next. */
  get nextAt(): number | null {
    return earliest([...this.#cancellations.values()].map(({ row }) => row.nextAt))
  }

  async openDevices(
    orgId: string,
    after: number,
    scan: number,
  ): Promise<{
    devices: { deviceId: number; productKey: string; assetId: string }[]
    next: number | null
  }> {
    const looked = [...this.#devices.values()]
      .filter(({ id, open }) => id > after && open.size > 0)
      .sort((a, b) => a.id - b.id)
      .slice(0, scan)
    const devices = looked
      .filter(({ row }) => row.orgId === orgId)
      .map(({ id, row: { productKey, assetId } }) => ({ deviceId: id, productKey, assetId }))
    return { devices, next: looked.length === scan ? (looked.at(-1)?.id ?? null) : null }
  }

  async countWaitingDevices(orgId: string, productKeys: readonly string[] | null): Promise<number> {
    const isWaiting = (device: Device): boolean =>
      device.row.orgId === orgId &&
      (productKeys === null || productKeys.includes(device.row.productKey)) &&
      records(device, device.open).some(({ state }) => state === 1)
    return [...this.#devices.values()].filter(isWaiting).length
  }

  async addItems(
    cancellationId: string,
    from: number,
    to: number | null,
    items: readonly Pick<CancellationItem, 'commandId' | 'deviceId' | 'state'>[],
  ): Promise<boolean> {
    const entry = this.#cancellations.get(cancellationId)
    if (entry === undefined || entry.row.status !== 'running' || entry.row.scannedTo !== from) return false
    const added = items.filter(({ commandId }) => !entry.items.has(commandId))
    for (const { commandId, deviceId, state } of added)
      entry.items.set(commandId, Object.freeze({ commandId, deviceId, decided: state !== null, state, ours: false }))
    const { devices, matched, cancelled, notCancelled } = entry.row
    const waiting = added.filter(({ state }) => state === State.created).length
    entry.row = Object.freeze({
      ...entry.row,
      scannedTo: to,
      devices: devices + new Set(added.map(({ deviceId }) => deviceId)).size,
      matched: matched + added.length,
      cancelled: cancelled + waiting,
      notCancelled: notCancelled + added.filter(({ state }) => state !== null).length - waiting,
    })
    return true
  }

  async undecidedItems(cancellationId: string, limit: number): Promise<CancellationItem[]> {
    return this.#items(cancellationId)
      .filter(({ decided }) => !decided)
      .slice(0, limit)
  }

  async decideItems(
    cancellationId: string,
    items: readonly Pick<CancellationItem, 'commandId' | 'state' | 'ours'>[],
  ): Promise<void> {
    const entry = this.#cancellations.get(cancellationId)
    if (entry === undefined) return
    let { cancelled, notCancelled } = entry.row
    for (const { commandId, state, ours } of items) {
      const before = entry.items.get(commandId)
      if (before === undefined || (before.decided && (before.ours || !ours))) continue
      entry.items.set(commandId, Object.freeze({ ...before, decided: true, state, ours }))
      if (before.decided) notCancelled -= 1
      if (ours) cancelled += 1
      else notCancelled += 1
    }
    entry.row = Object.freeze({ ...entry.row, cancelled, notCancelled })
  }

  async saveCancellation(
    cancellationId: string,
    from: CancellationStatus,
    { status, nextAt, endedAt }: Pick<CancellationRow, 'status' | 'nextAt' | 'endedAt'>,
  ): Promise<boolean> {
    const entry = this.#cancellations.get(cancellationId)
    if (entry?.row.status !== from) return false
    entry.row = Object.freeze({ ...entry.row, status, nextAt, endedAt })
    return true
  }

  async cancellationItems(cancellationId: string, after: string | null, limit: number): Promise<CancellationItem[]> {
    return this.#items(cancellationId)
      .filter(({ commandId }) => after === null || commandId > after)
      .slice(0, limit)
  }

  /** By commandId. */
  #items(cancellationId: string): CancellationItem[] {
    const items = [...(this.#cancellations.get(cancellationId)?.items.values() ?? [])]
    return items.sort((a, b) => (a.commandId < b.commandId ? -1 : 1))
  }

  /** Deletes at most `limit` rows of cancellations that ended before; returns how many. */
  purge(before: number, limit: number): number {
    const old = [...this.#cancellations.values()]
      .filter(({ row: { endedAt } }) => endedAt !== null && endedAt < before)
      .sort((a, b) => Number(a.row.endedAt) - Number(b.row.endedAt))
    let left = limit
    for (const entry of old) {
      const gone = [...entry.items.keys()].slice(0, left)
      for (const commandId of gone) entry.items.delete(commandId)
      left -= gone.length
      if (left === 0 || entry.items.size > 0) break
      this.#cancellations.delete(entry.row.cancellationId)
      left -= 1
    }
    return limit - left
  }
}
