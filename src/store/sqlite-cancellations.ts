// Cancellations by filter, with what each found, in the SQLite store, with their SQL. Not here: jobs (sqlite-jobs.ts), the commands themselves (sqlite.ts).

import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite'
import { State } from '../core/command.ts'
import { assertNoNul, isKept } from './checks.ts'
import { idNumber } from './condition.ts'
import {
  CANCELLATION_COLUMNS,
  type CancellationColumns,
  cancellationOf,
  ITEM_COLUMNS,
  type ItemColumns,
  itemOf,
} from './job-rows.ts'
import type { CancellationItem, CancellationRow, CancellationStatus, Cancellations } from './jobs.ts'
import { transaction } from './sqlite-file.ts'

const statements = {
  addCancellation: `insert into cancellation (${CANCELLATION_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  cancellation: `select ${CANCELLATION_COLUMNS} from cancellation where cancellation_id = ?`,
  countCancellations:
    'select count(*) as n, count(*) filter (where ended_at is null) as open from cancellation where org_id = ?',
  countVisible: 'select count(*) as n from cancellation where org_id = ?1 and (?2 is null or created_by = ?2)',
  cancellations: `select ${CANCELLATION_COLUMNS} from cancellation where org_id = ?1 and (?2 is null or created_by = ?2)
    order by created_at desc, cancellation_id desc limit ?3 offset ?4`,
  dueCancellations: `select ${CANCELLATION_COLUMNS} from cancellation where next_at <= ? order by next_at, cancellation_id limit ?`,
  nextCancellationAt: 'select min(next_at) as at from cancellation where next_at is not null',
  /** how many devices with an open command a look takes, and the last of them */
  openDevices: `select count(*) as n, max(device_id) as last from (select distinct device_id from command
      where state in (1, 4) and device_id > ? order by device_id limit ?)`,
  openDevicesOf: `select d.id, d.product_key, d.asset_id from (select distinct device_id from command
      where state in (1, 4) and device_id > ? and device_id <= ?) c join device d on d.id = c.device_id
    where d.org_id = ? order by d.id`,
  countWaitingDevices: 'select count(*) as n from device where org_id = ? and waiting > 0',
  countWaitingDevicesOf: `select count(*) as n from device where org_id = ? and waiting > 0
    and product_key in (select value from json_each(?))`,
  scanned: `update cancellation set scanned_to = ? where cancellation_id = ? and status = 'running' and scanned_to = ?`,
  addItem: `insert into cancellation_item (cancellation_id, command_id, device_id, decided, state, ours) values (?, ?, ?, ?, ?, 0)
    on conflict (cancellation_id, command_id) do nothing`,
  addCounts: `update cancellation set devices = devices + ?, matched = matched + ?, cancelled = cancelled + ?, not_cancelled = not_cancelled + ?
    where cancellation_id = ?`,
  undecidedItems: `select ${ITEM_COLUMNS} from cancellation_item where cancellation_id = ? and decided = 0 order by command_id limit ?`,
  decideItem: `update cancellation_item set decided = 1, state = ?, ours = ? where cancellation_id = ? and command_id = ? and decided = 0`,
  ownItem: `update cancellation_item set state = ?, ours = 1 where cancellation_id = ? and command_id = ? and decided = 1 and ours = 0`,
  saveCancellation:
    'update cancellation set status = ?, next_at = ?, ended_at = ? where cancellation_id = ? and status = ?',
  cancellationItems: `select ${ITEM_COLUMNS} from cancellation_item where cancellation_id = ? and command_id > ? order by command_id limit ?`,
  removeItems: `delete from cancellation_item where cancellation_id = ?1 and command_id in
    (select command_id from cancellation_item where cancellation_id = ?1 order by command_id limit ?2)`,
  hasItem: 'select 1 from cancellation_item where cancellation_id = ? limit 1',
  removeCancellation: 'delete from cancellation where cancellation_id = ?',
  oldestEnded: 'select cancellation_id from cancellation where ended_at < ? order by ended_at limit 1',
} as const

export class SqliteCancellations implements Cancellations {
  readonly #db: DatabaseSyncInstance
  readonly #sql: Readonly<Record<keyof typeof statements, StatementSyncInstance>>

  constructor(db: DatabaseSyncInstance) {
    this.#db = db
    const prepared = Object.entries(statements).map(([name, sql]) => [name, db.prepare(sql)])
    this.#sql = Object.fromEntries(prepared)
  }

  async addCancellation(row: CancellationRow): Promise<void> {
    assertNoNul(row)
    const { cancellationId, orgId, createdBy, createdAt, filterJson, dryRun, status, scannedTo } = row
    const { devicesTotal, devices, matched, cancelled, notCancelled, nextAt, endedAt } = row
    this.#sql.addCancellation.run(
      ...[cancellationId, orgId, createdBy, createdAt, filterJson, dryRun ? 1 : 0, status, scannedTo],
      ...[devicesTotal, devices, matched, cancelled, notCancelled, nextAt, endedAt],
    )
  }

  async cancellation(cancellationId: string): Promise<CancellationRow | null> {
    if (!isKept(cancellationId)) return null
    const row: CancellationColumns | undefined = this.#sql.cancellation.get(cancellationId)
    return row === undefined ? null : cancellationOf(row)
  }

  async countCancellations(orgId: string): Promise<{ open: number; all: number }> {
    const row: { n: number; open: number } = this.#sql.countCancellations.get(orgId)
    return { open: row.open, all: row.n }
  }

  async cancellations(
    orgId: string,
    createdBy: string | null,
    offset: number,
    limit: number,
  ): Promise<{ rows: CancellationRow[]; total: number }> {
    const count: { n: number } = this.#sql.countVisible.get(orgId, createdBy)
    const rows: CancellationColumns[] = this.#sql.cancellations.all(orgId, createdBy, limit, offset)
    return { rows: rows.map(cancellationOf), total: count.n }
  }

  async dueCancellations(now: number, limit: number): Promise<CancellationRow[]> {
    const rows: CancellationColumns[] = this.#sql.dueCancellations.all(now, limit)
    return rows.map(cancellationOf)
  }

  /** When a cancellation is to be looked at next. */
  get nextAt(): number | null {
    const row: { at: number | null } = this.#sql.nextCancellationAt.get()
    return row.at
  }

  async openDevices(
    orgId: string,
    after: number,
    scan: number,
  ): Promise<{ devices: { deviceId: number; productKey: string; assetId: string }[]; next: number | null }> {
    const looked: { n: number; last: number | null } = this.#sql.openDevices.get(after, scan)
    const rows: { id: number; product_key: string; asset_id: string }[] =
      looked.last === null ? [] : this.#sql.openDevicesOf.all(after, looked.last, orgId)
    const devices = rows.map(row => ({ deviceId: row.id, productKey: row.product_key, assetId: row.asset_id }))
    return { devices, next: looked.n === scan ? looked.last : null }
  }

  async countWaitingDevices(orgId: string, productKeys: readonly string[] | null): Promise<number> {
    const row: { n: number } =
      productKeys === null
        ? this.#sql.countWaitingDevices.get(orgId)
        : this.#sql.countWaitingDevicesOf.get(orgId, JSON.stringify(productKeys.filter(isKept)))
    return row.n
  }

  async addItems(
    cancellationId: string,
    from: number,
    to: number | null,
    items: readonly Pick<CancellationItem, 'commandId' | 'deviceId' | 'state'>[],
  ): Promise<boolean> {
    return transaction(this.#db, () => {
      if (this.#sql.scanned.run(to, cancellationId, from).changes !== 1) return false
      const added = items.filter(({ commandId, deviceId, state }) => {
        const id = idNumber(commandId)
        return this.#sql.addItem.run(cancellationId, id, deviceId, state === null ? 0 : 1, state).changes === 1
      })
      const devices = new Set(added.map(({ deviceId }) => deviceId)).size
      const waiting = added.filter(({ state }) => state === State.created).length
      const others = added.filter(({ state }) => state !== null).length - waiting
      this.#sql.addCounts.run(devices, added.length, waiting, others, cancellationId)
      return true
    })
  }

  async undecidedItems(cancellationId: string, limit: number): Promise<CancellationItem[]> {
    const rows: ItemColumns[] = this.#sql.undecidedItems.all(cancellationId, limit)
    return rows.map(itemOf)
  }

  async decideItems(
    cancellationId: string,
    items: readonly Pick<CancellationItem, 'commandId' | 'state' | 'ours'>[],
  ): Promise<void> {
    transaction(this.#db, () => {
      let cancelled = 0
      let notCancelled = 0
      for (const { commandId, state, ours } of items) {
        const id = idNumber(commandId)
        const isDecided = this.#sql.decideItem.run(state, ours ? 1 : 0, cancellationId, id).changes === 1
        const isOwned = !isDecided && ours && this.#sql.ownItem.run(state, cancellationId, id).changes === 1
        if (isDecided && !ours) notCancelled += 1
        if ((isDecided && ours) || isOwned) cancelled += 1
        if (isOwned) notCancelled -= 1
      }
      this.#sql.addCounts.run(0, 0, cancelled, notCancelled, cancellationId)
    })
  }

  async saveCancellation(
    cancellationId: string,
    from: CancellationStatus,
    { status, nextAt, endedAt }: Pick<CancellationRow, 'status' | 'nextAt' | 'endedAt'>,
  ): Promise<boolean> {
    return this.#sql.saveCancellation.run(status, nextAt, endedAt, cancellationId, from).changes === 1
  }

  async cancellationItems(cancellationId: string, after: string | null, limit: number): Promise<CancellationItem[]> {
    if (!isKept(cancellationId)) return []
    const from = after === null ? 0n : (idNumber(after) ?? 0n)
    const rows: ItemColumns[] = this.#sql.cancellationItems.all(cancellationId, from, limit)
    return rows.map(itemOf)
  }

  /** Deletes at most `limit` rows, or one more, of cancellations that ended before; returns how many. Within a transaction. */
  purge(before: number, limit: number): number {
    let left = limit
    while (left > 0) {
      const old: { cancellation_id: string } | undefined = this.#sql.oldestEnded.get(before)
      if (old === undefined) break
      left -= Number(this.#sql.removeItems.run(old.cancellation_id, left).changes)
      if (this.#sql.hasItem.get(old.cancellation_id) === undefined)
        left -= Number(this.#sql.removeCancellation.run(old.cancellation_id).changes)
    }
    return Math.min(limit - left, limit)
  }
}
