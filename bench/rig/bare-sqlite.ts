// The least that SQLite must do for what Downlink does, on the file of a Downlink server with all its indexes: the rows of commands, bodies, events and
// devices, written in groups by one thread, each group durable before the next. There is no HTTP, no MQTT, no JSON, no rules, no reads; and nothing is counted
// by the minute. No program that keeps the same records in the same file can be faster. Not here: how many of what (contenders/sqlite-loop.ts, growth.ts).

import { DatabaseSync, type DatabaseSyncInstance, type StatementSyncInstance } from '@photostructure/sqlite'
import { idMs, State } from '../../src/core/command.ts'
import { Ids } from '../../src/core/ids.ts'
import { STORE_CACHE_KIB, STORE_WAL_MAX_BYTES, STORE_WAL_PAGES } from '../../src/core/limits.ts'
import { APP, POINT } from './server.ts'

/** As the store of Downlink has its file. */
const PRAGMAS = `pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = full; pragma fullfsync = on;
  pragma cache_size = -${STORE_CACHE_KIB}; pragma wal_autocheckpoint = ${STORE_WAL_PAGES}; pragma journal_size_limit = ${STORE_WAL_MAX_BYTES}`

const SQL = {
  device: `update device set version = version + 1, last_command_id = ?, event_seq = ?, waiting = ?, oldest_waiting_at = ?
    where id = ? and version = ?`,
  command: `insert into command (id, device_id, state, kind, identifier, timeout_s, pending_ttl_s, expire_at, deadline_at, created_at, sent_at, settled_at,
    sent_session, created_by, code, late_replies) values (?, ?, ?, 1, ?, 30, ?, ?, ?, ?, ?, null, ?, ?, null, 0)`,
  body: `insert into command_body (id, name_json, input_json, output_json, device_code, device_message) values (?, ?, '222', null, null, null)`,
  event: `insert into event (device_id, device_seq, command_id, from_state, to_state, at, by, reason, detail, position)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  settle: 'update command set state = ?, settled_at = ?, code = ? where id = ? and device_id = ? and state = ?',
  outcome: 'update command_body set device_code = ? where id = ?',
} as const

const NAME = JSON.stringify({ defaultValue: POINT, i18nValue: {} })
const TTL_S = 172_800
const TIMEOUT_MS = 30_000

interface Device {
  readonly id: number
  version: number
  eventSeq: number
  lastCommandId: string | null
  /** ids of what it has created, oldest first */
  readonly waiting: string[]
}

export class BareSqlite {
  readonly #db: DatabaseSyncInstance
  readonly #sql: Readonly<Record<keyof typeof SQL, StatementSyncInstance>>
  readonly #devices: readonly Device[]
  readonly #ids: Ids
  #position: number

  /** Takes the file that a server has made and left. */
  constructor(file: string) {
    this.#db = new DatabaseSync(file)
    this.#db.exec(PRAGMAS)
    const prepared = Object.entries(SQL).map(([name, sql]) => [name, this.#db.prepare(sql)])
    this.#sql = Object.fromEntries(prepared)
    const rows: { id: number; version: number; event_seq: number; last: string | null }[] = this.#db
      .prepare('select id, version, event_seq, cast(last_command_id as text) as last from device order by id')
      .all()
    this.#devices = rows.map(({ id, version, event_seq, last }) => ({
      ...{ id, version, eventSeq: event_seq, lastCommandId: last, waiting: [] },
    }))
    const byId = new Map(this.#devices.map(device => [device.id, device]))
    const open: { id: string; device_id: number }[] = this.#db
      .prepare('select cast(id as text) as id, device_id from command c where state in (1, 4) order by c.id')
      .all()
    for (const { id, device_id } of open) byId.get(device_id)?.waiting.push(id)
    const { given }: { given: number } = this.#db.prepare('select given from stream where id = 1').get()
    this.#position = given
    const { last }: { last: string | null } = this.#db
      .prepare('select cast(max(last_command_id) as text) as last from node')
      .get()
    this.#ids = new Ids(0, last)
  }

  /** `3.50.4` */
  get version(): string {
    const row: { version: string } = this.#db.prepare('select sqlite_version() as version').get()
    return row.version
  }

  /** Accepts one command for each of the devices (0, 1, …), in one transaction; their ids. */
  accept(devices: readonly number[]): string[] {
    return this.#durably(() =>
      devices.map(number => {
        const device = this.#device(number)
        const id = this.#insert(device, State.created)
        device.waiting.push(id)
        this.#bump(device)
        return id
      }),
    )
  }

  /** Accepts and sends one command for each of them, in one transaction, and settles each as its device has answered, in another. */
  deliver(devices: readonly number[]): void {
    const sent = this.#durably(() =>
      devices.map(number => {
        const device = this.#device(number)
        const id = this.#insert(device, State.sent)
        this.#bump(device)
        return { device, id }
      }),
    )
    this.#durably(() => {
      for (const { device, id } of sent) {
        this.#settle(device, id, State.sent, State.succeeded)
        this.#change('outcome', '200', BigInt(id))
        this.#bump(device)
      }
    })
  }

  /** Cancels these commands of each device, in one transaction. */
  cancel(of: readonly { readonly device: number; readonly commandIds: readonly string[] }[]): void {
    this.#durably(() => {
      for (const { device: number, commandIds } of of) {
        const device = this.#device(number)
        for (const id of commandIds) {
          this.#settle(device, id, State.created, State.cancelled)
          device.waiting.splice(device.waiting.indexOf(id), 1)
        }
        this.#bump(device)
      }
    })
  }

  close(): void {
    this.#db.close()
  }

  #device(number: number): Device {
    const device = this.#devices[number]
    if (device === undefined) throw new Error(`there is no device ${number}`)
    return device
  }

  #durably<T>(work: () => T): T {
    this.#db.exec('begin immediate')
    const result = work()
    this.#db.exec('commit')
    return result
  }

  #insert(device: Device, state: typeof State.created | typeof State.sent): string {
    const now = Date.now()
    const id = this.#ids.next(now, device.lastCommandId)
    if (id === null) throw new Error('more ids are given than there are milliseconds for')
    const isSent = state === State.sent
    const [ttlS, lifeMs] = isSent ? [0, TIMEOUT_MS] : [TTL_S, TTL_S * 1_000]
    const sent = isSent ? [now + TIMEOUT_MS, now, now, 1] : [null, now, null, null]
    this.#sql.command.run(BigInt(id), device.id, state, POINT, ttlS, now + lifeMs, ...sent, APP.appKey)
    this.#sql.body.run(BigInt(id), NAME)
    this.#event(device, id, null, State.created, APP.appKey, 'accepted')
    if (isSent) this.#event(device, id, State.created, State.sent, 'server', 'sent', '{"node":0,"session":1}')
    device.lastCommandId = id
    return id
  }

  #settle(device: Device, id: string, from: State, to: typeof State.succeeded | typeof State.cancelled): void {
    const isAnswer = to === State.succeeded
    this.#change('settle', to, Date.now(), isAnswer ? 0 : null, BigInt(id), device.id, from)
    const [by, reason] = isAnswer ? ['device', 'reply'] : [APP.appKey, 'cancel']
    this.#event(device, id, from, to, by!, reason!)
  }

  #event(
    device: Device,
    id: string,
    from: State | null,
    to: State,
    by: string,
    reason: string,
    detail: string | null = null,
  ): void {
    device.eventSeq += 1
    this.#position += 1
    this.#sql.event.run(
      ...[device.id, device.eventSeq, BigInt(id), from, to, Date.now(), by, reason, detail, this.#position],
    )
  }

  #bump(device: Device): void {
    const { id, eventSeq, lastCommandId, waiting, version } = device
    const oldestAt = waiting[0] === undefined ? null : idMs(waiting[0])
    const last = lastCommandId === null ? null : BigInt(lastCommandId)
    this.#change('device', last, eventSeq, waiting.length, oldestAt, id, version)
    device.version += 1
  }

  /** Throws where it is not exactly one row: the loop would measure something else than it says. */
  #change(statement: keyof typeof SQL, ...values: (string | number | bigint | null)[]): void {
    const { changes } = this.#sql[statement].run(...values)
    if (changes !== 1) throw new Error(`${statement} changed ${changes} rows`)
  }
}
