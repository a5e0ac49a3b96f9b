// The stream of changes in the SQLite store, with its SQL: what a commit adds to it, and to what is counted; its reads; and what goes with old records.
// One process writes the file, so the last position given is known here. Nothing here begins a transaction: the caller has one.
// Not here: commands and queues (sqlite-commit.ts).

import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite'
import type { QueueEvent } from '../core/queue.ts'
import {
  CHANGE_COLUMNS,
  type ChangeColumns,
  changeFilter,
  changeJoins,
  filterValues,
  type Looked,
  pageOf,
} from './change-rows.ts'
import { idNumber } from './condition.ts'
import { type Added, minuteOf, movesOf, TALLY_MS } from './derived.ts'
import { type EventColumns, eventOf } from './rows.ts'
import type { ChangeFilter, ChangePage, Changes } from './stream.ts'

const EVENT_COLUMNS = 'device_seq, cast(command_id as text) as command_id, from_state, to_state, at, by, reason, detail'

const wanted = changeFilter({
  value: n => `?${n + 3}`,
  isIn: n => `in (select value from json_each(?${n + 3}))`,
})

const joins = changeJoins((table, as, on) => `left join ${table} ${as} on ${as}.${on}`)

export const changeStatements = {
  ends: 'select given, lost from stream where id = 1',
  insertEvent: `insert into event (device_id, device_seq, command_id, from_state, to_state, at, by, reason, detail, position)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  give: 'update stream set given = ? where id = 1',
  count: `insert into tally (org_id, product_key, minute_at, node_no, from_state, to_state, n) values (?, ?, ?, ?, ?, ?, ?)
    on conflict do update set n = n + excluded.n`,
  nameDeleted: `insert into deleted_device (device_id, org_id, product_key, device_key, asset_id, timezone, deleted_at)
    select id, org_id, product_key, device_key, asset_id, timezone, ? from device where id = ?`,

  looked: `select max(position) as last, count(*) as looked
    from (select position from event indexed by event_by_position where position > ? order by position limit ?)`,
  /** ?1 after, ?2 up to, ?3 how many; then the filter */
  changes: `select ${CHANGE_COLUMNS} from event e indexed by event_by_position ${joins}
    where e.position > ?1 and e.position <= ?2 and ${wanted} order by e.position limit ?3`,
  timeline: `select ${EVENT_COLUMNS} from event indexed by event_by_command where command_id = ? order by device_id, device_seq
    limit ?`,
  between: `select ${EVENT_COLUMNS} from event where device_id = ? and device_seq > ? and device_seq < ? order by device_seq limit ?`,

  deleteEvents: 'delete from event where command_id = ? returning position, from_state, to_state',
  lose: 'update stream set lost = max(lost, ?) where id = 1',
  purgeNames: `delete from deleted_device where device_id in (
    select x.device_id from deleted_device x where x.deleted_at < ?
      and not exists (select 1 from event e where e.device_id = x.device_id)
      and not exists (select 1 from command c indexed by command_by_device where c.device_id = x.device_id)
    order by x.deleted_at, x.device_id limit ?)`,
  purgeTallies: `delete from tally where (org_id, minute_at, product_key, node_no, from_state, to_state) in (
    select org_id, minute_at, product_key, node_no, from_state, to_state from tally indexed by tally_by_time
    where minute_at <= ? order by minute_at, org_id, product_key, node_no, from_state, to_state limit ?)`,
} as const

/** What a commit adds to the events of a device. */
export interface DeviceEvents extends Added {
  readonly deviceId: number
}

export class SqliteChanges implements Changes {
  readonly #sql: Readonly<Record<keyof typeof changeStatements, StatementSyncInstance>>
  /** the last position that is on record */
  #given: number
  /** the last one given in the transaction that goes on */
  #next: number

  constructor(db: DatabaseSyncInstance) {
    const prepared = Object.entries(changeStatements).map(([name, sql]) => [name, db.prepare(sql)])
    this.#sql = Object.fromEntries(prepared)
    const ends: { given: number } = this.#sql.ends.get()
    this.#given = ends.given
    this.#next = ends.given
  }

  /** Events with their positions, and the tallies of the minute. `written` is to be called once that is durable. */
  write(added: readonly DeviceEvents[], node: number, now: number): void {
    this.#next = this.#given
    for (const { deviceId, events } of added) for (const event of events) this.#insert(deviceId, event)
    if (this.#next > this.#given) this.#sql.give.run(this.#next)
    for (const { orgId, productKey, from, to, n } of movesOf(added))
      this.#sql.count.run(orgId, productKey, minuteOf(now), node, from, to, n)
  }

  written(): void {
    this.#given = this.#next
  }

  #insert(deviceId: number, { seq, commandId, from, to, at, by, reason, detail }: QueueEvent): void {
    this.#next += 1
    const id = commandId === null ? null : BigInt(commandId)
    this.#sql.insertEvent.run(deviceId, seq, id, from, to, at, by, reason, detail, this.#next)
  }

  /** Who a device is that is about to be deleted. */
  nameDeleted(deviceId: number, now: number): void {
    this.#sql.nameDeleted.run(now, deviceId)
  }

  /** Deletes the events of commands that are purged. */
  purgeEvents(commandIds: readonly string[]): void {
    let lost = 0
    for (const id of commandIds) {
      const gone: { position: number | null; from_state: number | null; to_state: number }[] =
        this.#sql.deleteEvents.all(BigInt(id))
      for (const { position, from_state, to_state } of gone)
        if (from_state !== to_state) lost = Math.max(lost, position ?? 0)
    }
    if (lost > 0) this.#sql.lose.run(lost)
  }

  /**
   * Who devices were of which no record is left, and tallies of minutes that were over by `before`: at most `limit` of each. Returns how many of the
   * kind of which there were most.
   */
  purgeRest(before: number, limit: number): number {
    const names = this.#sql.purgeNames.run(before, limit).changes
    const tallies = this.#sql.purgeTallies.run(before - TALLY_MS, limit).changes
    return Math.max(names, tallies)
  }

  /** They have their positions from their commit on. */
  async placeEvents(): Promise<number> {
    return 0
  }

  async changesAfter(after: number, filter: ChangeFilter | null, limit: number, scan: number): Promise<ChangePage> {
    const looked: Looked = this.#sql.looked.get(after, scan)
    const values = filterValues(filter)
    const isNothing = values === null || looked.last === null
    const parameters = values?.map(value => (Array.isArray(value) ? JSON.stringify(value) : value)) ?? []
    const rows: ChangeColumns[] = isNothing ? [] : this.#sql.changes.all(after, looked.last, limit, ...parameters)
    return pageOf(rows, looked, { after, limit, scan })
  }

  async streamEnds(): Promise<{ readonly given: number; readonly lost: number }> {
    const { given, lost }: { given: number; lost: number } = this.#sql.ends.get()
    return { given, lost }
  }

  async timeline(commandId: string, limit: number): Promise<QueueEvent[]> {
    const rows: EventColumns[] = this.#sql.timeline.all(idNumber(commandId), limit)
    return rows.map(eventOf)
  }

  async eventsBetween(deviceId: number, after: number, before: number, limit: number): Promise<QueueEvent[]> {
    const rows: EventColumns[] = this.#sql.between.all(deviceId, after, before, limit)
    return rows.map(eventOf)
  }
}
