// Cancellations by filter, with what each found, on PostgreSQL. Where an attempt was not answered, the next one waits for its end at the cancellation's row,
// and finds what it wrote. Not here: the SQL (postgres-job-statements.ts), jobs (postgres-jobs.ts).

import { State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import { assertNoNul, isKept } from './checks.ts'
import { idNumber } from './condition.ts'
import { type CancellationColumns, cancellationOf, type ItemColumns, itemOf } from './job-rows.ts'
import type { CancellationItem, CancellationRow, CancellationStatus, Cancellations } from './jobs.ts'
import { type Connections, type Session, together } from './postgres-connection.ts'
import { columns } from './postgres-rows.ts'

export class PostgresCancellations implements Cancellations {
  readonly #connections: Connections

  constructor(connections: Connections) {
    this.#connections = connections
  }

  async addCancellation(row: CancellationRow): Promise<void> {
    assertNoNul(row)
    const { cancellationId, orgId, createdBy, createdAt, filterJson, dryRun, status, scannedTo } = row
    const { devicesTotal, devices, matched, cancelled, notCancelled, nextAt, endedAt } = row
    const made = [cancellationId, orgId, createdBy, createdAt, filterJson, dryRun, status, scannedTo]
    const counts = [devicesTotal, devices, matched, cancelled, notCancelled, nextAt, endedAt]
    const added = await this.#connections.write('others', async (on, repeated) => {
      const count = await on.run('addCancellation', ...made, ...counts)
      return count === 1 || repeated
    })
    assert(added, `cancellation ${cancellationId} is added once`)
  }

  async cancellation(cancellationId: string): Promise<CancellationRow | null> {
    if (!isKept(cancellationId)) return null
    const [row] = await this.#connections.again('others', on =>
      on.all<CancellationColumns>('cancellation', cancellationId),
    )
    return row === undefined ? null : cancellationOf(row)
  }

  async countCancellations(orgId: string): Promise<{ open: number; all: number }> {
    const [row] = await this.#connections.again('others', on =>
      on.all<{ n: number; open: number }>('countCancellations', orgId),
    )
    return { open: row?.open ?? 0, all: row?.n ?? 0 }
  }

  async cancellations(
    orgId: string,
    createdBy: string | null,
    offset: number,
    limit: number,
  ): Promise<{ rows: CancellationRow[]; total: number }> {
    const [[count], rows] = await this.#connections.again('others', on =>
      together([
        on.all<{ n: number }>('countVisibleCancellations', orgId, createdBy),
        on.all<CancellationColumns>('cancellations', orgId, createdBy, limit, offset),
      ]),
    )
    return { rows: rows.map(cancellationOf), total: count?.n ?? 0 }
  }

  async dueCancellations(now: number, limit: number): Promise<CancellationRow[]> {
    const rows = await this.#connections.again('others', on =>
      on.all<CancellationColumns>('dueCancellations', now, limit),
    )
    return rows.map(cancellationOf)
  }

  async openDevices(
    orgId: string,
    after: number,
    scan: number,
  ): Promise<{ devices: { deviceId: number; productKey: string; assetId: string }[]; next: number | null }> {
    return this.#connections.again('others', async on => {
      const [looked] = await on.all<{ n: number; last: number | null }>('openDevices', after, scan)
      const last = looked?.last ?? null
      if (last === null) return { devices: [], next: null }
      const rows = await on.all<{ id: number; product_key: string; asset_id: string }>(
        'openDevicesOf',
        after,
        last,
        orgId,
      )
      const devices = rows.map(row => ({ deviceId: row.id, productKey: row.product_key, assetId: row.asset_id }))
      return { devices, next: looked?.n === scan ? last : null }
    })
  }

  async countWaitingDevices(orgId: string, productKeys: readonly string[] | null): Promise<number> {
    const [row] = await this.#connections.again('others', on =>
      on.all<{ n: number }>('countWaitingDevices', orgId, productKeys?.filter(isKept) ?? null),
    )
    return row?.n ?? 0
  }

  async addItems(
    cancellationId: string,
    from: number,
    to: number | null,
    items: readonly Pick<CancellationItem, 'commandId' | 'deviceId' | 'state'>[],
  ): Promise<boolean> {
    const rows = items.map(({ commandId, deviceId, state }) => [idNumber(commandId), deviceId, state])
    return this.#connections.write('others', async (on, repeated) => {
      const [row] = await on.all<CancellationColumns>('lockCancellation', cancellationId)
      if (row?.status !== 'running') return false
      if (row.scanned_to !== from) return repeated && row.scanned_to === to
      await on.run('scanned', cancellationId, to)
      if (rows.length === 0) return true
      const added = await on.all<{ device_id: number; state: number | null }>(
        'addItems',
        cancellationId,
        ...columns(rows, 3),
      )
      const devices = new Set(added.map(({ device_id }) => device_id)).size
      const waiting = added.filter(({ state }) => state === State.created).length
      const others = added.filter(({ state }) => state !== null).length - waiting
      await on.run('addCancellationCounts', cancellationId, devices, added.length, waiting, others)
      return true
    })
  }

  async undecidedItems(cancellationId: string, limit: number): Promise<CancellationItem[]> {
    const rows = await this.#connections.again('others', on =>
      on.all<ItemColumns>('undecidedItems', cancellationId, limit),
    )
    return rows.map(itemOf)
  }

  async decideItems(
    cancellationId: string,
    items: readonly Pick<CancellationItem, 'commandId' | 'state' | 'ours'>[],
  ): Promise<void> {
    if (items.length === 0) return
    const rows = items.map(({ commandId, state, ours }) => [idNumber(commandId), state, ours])
    const arrays = columns(rows, 3)
    await this.#connections.write('others', async on => {
      await on.all('lockCancellation', cancellationId)
      const owned = await on.run('ownItems', cancellationId, ...arrays)
      const decided = await on.all<{ ours: boolean }>('decideItems', cancellationId, ...arrays)
      const cancelled = decided.filter(({ ours }) => ours).length
      const others = decided.length - cancelled
      await on.run('addCancellationCounts', cancellationId, 0, 0, cancelled + owned, others - owned)
    })
  }

  async saveCancellation(
    cancellationId: string,
    from: CancellationStatus,
    { status, nextAt, endedAt }: Pick<CancellationRow, 'status' | 'nextAt' | 'endedAt'>,
  ): Promise<boolean> {
    return this.#connections.write('others', async (on, repeated) => {
      const [row] = await on.all<CancellationColumns>('lockCancellation', cancellationId)
      if (row?.status === from) await on.run('saveCancellation', cancellationId, status, nextAt, endedAt)
      return row?.status === from || (repeated && row?.status === status)
    })
  }

  async cancellationItems(cancellationId: string, after: string | null, limit: number): Promise<CancellationItem[]> {
    if (!isKept(cancellationId)) return []
    const from = after === null ? 0n : (idNumber(after) ?? 0n)
    const rows = await this.#connections.again('others', on =>
      on.all<ItemColumns>('cancellationItems', cancellationId, from, limit),
    )
    return rows.map(itemOf)
  }
}

/** Deletes at most `limit` rows, or one more, of cancellations that ended before; returns how many. Within a transaction. */
export async function purgeCancellations(on: Session, before: number, limit: number): Promise<number> {
  let left = limit
  while (left > 0) {
    const [old] = await on.all<{ cancellation_id: string }>('oldestEndedCancellation', before)
    if (old === undefined) break
    left -= await on.run('removeItems', old.cancellation_id, left)
    left -= await on.run('removeCancellation', old.cancellation_id)
  }
  return Math.min(limit - left, limit)
}
