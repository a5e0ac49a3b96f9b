// A whole store moved from SQLite to PostgreSQL: which tables, with which columns, in which order; all of them copied, and then read again on both sides
// and compared, row by row and column by column, before anything counts. Not here: reading the file (sqlite-export.ts), writing the database
// (postgres-import.ts).

import { assert } from '../core/errors.ts'
import { QUOTE_MAX_CHARS } from '../core/limits.ts'

/**
 * Nothing was moved: the message says why, and what to do. It names a table, a key and a column, never a value that could be a secret.
 */
export class CopyFailed extends Error {
  override readonly name = 'CopyFailed'
}

/** The answer to the COMMIT was lost: everything is there, or nothing is, and it could not be learned which. The message says what to do. */
export class CopyInDoubt extends Error {
  override readonly name = 'CopyInDoubt'
}

const types = ['text', 'smallint', 'integer', 'bigint', 'boolean', 'float8'] as const

export interface Column {
  readonly name: string
  /** as PostgreSQL has it; SQLite has text, integers of 64 bits, and reals */
  readonly type: (typeof types)[number]
}

/** One value as SQLite has it: text, an integer, a real. A boolean is 0 or 1. */
export type Value = string | bigint | number | null
/** In the order of the columns. */
export type Row = readonly Value[]

export interface Table {
  readonly name: string
  readonly columns: readonly Column[]
  /** The first so many columns are the key, in whose order rows are read on both sides. */
  readonly keyWidth: number
  /** columns that name a row to a person */
  readonly shown: readonly string[]
  /** Of a table that has its one row from the beginning: the condition that it is still as it was. */
  readonly asMade?: string
}

function table(name: string, keyWidth: number, text: string, shown?: readonly string[]): Table {
  const columns = text.split(',').map(column => {
    const [, name, of] = /^\s*(\w+) (\w+)\s*$/.exec(column) ?? []
    const type = types.find(each => each === of)
    assert(name !== undefined && type !== undefined, `"${column}" is a column and its type`)
    return { name, type }
  })
  return { name, columns, keyWidth, shown: shown ?? columns.slice(0, keyWidth).map(column => column.name) }
}

/**
 * In an order in which each row comes after those that it refers to, but for the gateways of devices. What is left out: sessions of devices, since
 * nobody is connected to the new store yet, and with them which of them want something; the lives and batches of nodes, which begin anew, and their
 * counts of commands, which are counted; and whose turn it is, which is a process of the old store. An access token is not to be printed, so a row of `token` is named by its place.
 */
export const tables: readonly Table[] = [
  table('setting', 1, 'key text, value text'),
  table('organization', 1, 'org_id text, name text'),
  table('application', 1, 'id integer, app_key text, org_id text, secret text, grants_json text'),
  table('model', 2, 'org_id text, model_id text, json text'),
  table('product', 1, 'product_key text, org_id text, secret text, model_id text, json text'),
  table(
    'device',
    1,
    `id integer, asset_id text, org_id text, product_key text, device_key text, secret text, name_json text, timezone text,
      disabled boolean, gateway_id integer, version bigint, last_command_id bigint, event_seq integer, session_no integer,
      active_at bigint, last_online_at bigint, last_offline_at bigint, certificate_serial text, description text,
      created_at bigint, waiting integer, oldest_waiting_at bigint`,
  ),
  table(
    'command',
    1,
    `id bigint, device_id integer, state smallint, kind smallint, identifier text, timeout_s integer, pending_ttl_s integer,
      expire_at bigint, deadline_at bigint, created_at bigint, sent_at bigint, settled_at bigint, sent_session integer,
      created_by text, code bigint, late_replies integer`,
  ),
  table(
    'command_body',
    1,
    'id bigint, name_json text, input_json text, output_json text, device_code text, device_message text',
  ),
  table(
    'event',
    2,
    `device_id integer, device_seq integer, command_id bigint, from_state smallint, to_state smallint, at bigint, by text,
      reason text, detail text, position bigint`,
  ),
  { ...table('stream', 1, 'id integer, given bigint, lost bigint'), asMade: 'given = 0 and lost = 0' },
  table(
    'deleted_device',
    1,
    `device_id integer, org_id text, product_key text, device_key text, asset_id text, timezone text, deleted_at bigint`,
  ),
  table(
    'tally',
    6,
    `org_id text, minute_at bigint, product_key text, node_no integer, from_state smallint, to_state smallint, n bigint`,
  ),
  table(
    'idempotency',
    3,
    'application text, device_id integer, key text, request_hash text, answer text, expire_at bigint',
  ),
  table('token', 1, 'access_token text, app_key text, expire_at bigint, saved_no bigint', ['saved_no']),
  table('seen_encryption', 1, 'encryption text, expire_at bigint'),
  table('node', 1, 'node_no integer, last_command_id bigint, clock_at bigint'),
  table('latest_value', 2, 'device_id integer, point_id text, value_json text, quality float8, at bigint'),
  table('latest_event', 2, 'device_id integer, event_id text, output_json text, at bigint'),
  table('device_attribute', 2, 'device_id integer, place integer, name text, value_json text'),
  table('device_tag', 2, 'device_id integer, place integer, name text, value text'),
  table(
    'webhook',
    1,
    `webhook_id text, org_id text, url text, secret text, filter_json text, created_by text, created_at bigint, paused boolean,
      position bigint, attempts integer, failing_since bigint, next_at bigint, last_error text`,
  ),
  table('dead_letter', 2, 'webhook_id text, position bigint, event_json text, failed_at bigint, reason text'),
  table(
    'job',
    1,
    `job_id text, org_id text, created_by text, created_at bigint, trigger_at bigint, name_json text, spec_json text, status text,
      tasks integer, spread_to integer, changed_at bigint, next_at bigint, ended_at bigint`,
  ),
  table(
    'task',
    2,
    `job_id text, task_no integer, device_id integer, product_key text, device_key text, asset_id text, status text, command_id bigint,
      attempt integer, auto_retries integer, manual_retries integer, next_at bigint, result_code bigint, result_text text,
      output_json text, created_at bigint, updated_at bigint`,
  ),
  table(
    'cancellation',
    1,
    `cancellation_id text, org_id text, created_by text, created_at bigint, filter_json text, dry_run boolean, status text,
      scanned_to integer, devices_total integer, devices integer, matched integer, cancelled integer, not_cancelled integer,
      next_at bigint, ended_at bigint`,
  ),
  table(
    'cancellation_item',
    2,
    'cancellation_id text, command_id bigint, device_id integer, decided boolean, state smallint, ours boolean',
  ),
]

/** Columns whose numbers are given in order, and none twice, not even that of a row that is gone. */
export const numbered = [
  { table: 'application', column: 'id' },
  { table: 'device', column: 'id' },
  { table: 'token', column: 'saved_no' },
] as const
export type Numbered = (typeof numbered)[number]

/** Where the rows come from. It does not change meanwhile. */
export interface CopySource {
  count(table: Table): number
  /** All rows in the order of the key, in pages of bounded size, none of them empty. Throws CopyFailed where a row cannot be kept as it is. */
  pages(table: Table): Iterable<readonly Row[]>
  /** The largest number that was ever given; null where none was. */
  lastNumber(of: Numbered): bigint | null
}

/**
 * Where they go to: one transaction, in which nobody else reads or writes. All reject with CopyFailed, and then nothing was written, and nothing will
 * be; with CopyInDoubt from a commit on that was not answered.
 */
export interface CopyTarget {
  /** Begins; after a commit that was not answered once more, on a new connection: that transaction has ended then, one way or the other. */
  begin(): Promise<void>
  /** Names of the tables that have rows, or whose one row is not as it was made. */
  filled(): Promise<string[]>
  insert(table: Table, rows: readonly Row[]): Promise<void>
  /** All rows are in: they are about to be read. */
  inserted(): Promise<void>
  /** In the order of the key, from above `after` to `upTo`, null = no bound, at most `limit`. */
  rows(table: Table, after: Row | null, upTo: Row | null, limit: number): Promise<Row[]>
  /** What does not stand in the rows: the numbers that are given next, the counts of commands. */
  complete(lastNumber: (of: Numbered) => bigint | null): Promise<void>
  /** Durable when it resolves. */
  commit(): Promise<void>
}

export interface CopyProgress {
  readonly step: 'copying' | 'comparing'
  readonly table: string
  /** rows of this table so far, and in all */
  readonly done: number
  readonly total: number
}

/** Rows by table, in the order of `tables`. */
export type Copied = ReadonlyMap<string, number>

/** Copies everything and compares it; then, and not before, it is committed. Rejects with CopyFailed, or with CopyInDoubt. */
export async function copyStore(
  source: CopySource,
  target: CopyTarget,
  tell: (progress: CopyProgress) => void,
): Promise<Copied> {
  await target.begin()
  const filled = await target.filled()
  if (filled.length > 0)
    throw new CopyFailed(
      `it is not empty: there are rows in ${filled.join(', ')}. Give an empty database; a new one is made with: createdb --encoding UTF8 NAME`,
    )
  const copied = new Map<string, number>()
  for (const table of tables) copied.set(table.name, await copyTable(table, source, target, tell))
  await target.inserted()
  for (const table of tables) await compareTable(table, source, target, tell)
  await target.complete(of => source.lastNumber(of))
  try {
    await target.commit()
  } catch (error) {
    if (!(error instanceof CopyInDoubt)) throw error
    await learn(source, target, tell)
  }
  return copied
}

async function copyTable(
  table: Table,
  source: CopySource,
  target: CopyTarget,
  tell: (progress: CopyProgress) => void,
): Promise<number> {
  const total = source.count(table)
  let done = 0
  for (const page of source.pages(table)) {
    await target.insert(table, page)
    done += page.length
    tell({ step: 'copying', table: table.name, done, total })
  }
  // What is counted and what is walked through are different indexes of the file.
  if (done !== total) throw new CopyFailed(`table ${table.name}: ${total} rows are counted and ${done} are found`)
  return done
}

/** Finds out whether a commit that was not answered took place: then everything is there. */
async function learn(source: CopySource, target: CopyTarget, tell: (progress: CopyProgress) => void): Promise<void> {
  await target.begin()
  if ((await target.filled()).length === 0)
    throw new CopyFailed('the connection was lost before everything was committed. Run this again.')
  try {
    for (const table of tables) await compareTable(table, source, target, tell)
  } catch (error) {
    if (!(error instanceof CopyFailed)) throw error
    throw new CopyInDoubt(
      `the connection was lost while everything was committed, and the database is neither empty nor what was copied: ${error.message}. Is a server ` +
        'at work on it already? Stop it, and look what is there.',
    )
  }
}

async function compareTable(
  table: Table,
  source: CopySource,
  target: CopyTarget,
  tell: (progress: CopyProgress) => void,
): Promise<void> {
  const total = source.count(table)
  let done = 0
  let after: Row | null = null
  for (const page of source.pages(table)) {
    const last: Row | null = page.at(-1) ?? null
    comparePage(table, page, await target.rows(table, after, last, page.length + 1))
    after = last
    done += page.length
    tell({ step: 'comparing', table: table.name, done, total })
  }
  comparePage(table, [], await target.rows(table, after, null, 1))
}

/** The rows between the same two keys on either side; where `copied` has more, it has at least one more than `page`. Throws CopyFailed. */
function comparePage(table: Table, page: readonly Row[], copied: readonly Row[]): void {
  const keyOf = (row: Row): string => row.slice(0, table.keyWidth).join('\0')
  const wanted = new Set(page.map(keyOf))
  const found = new Map(copied.map(row => [keyOf(row), row]))
  for (const [key, row] of found) if (!wanted.has(key)) throw different(table, row, 'it is not in the file')
  for (const row of page) {
    const copy = found.get(keyOf(row))
    if (copy === undefined) throw different(table, row, 'it is missing in PostgreSQL')
    const column = table.columns.find((_, n) => row[n] !== copy[n])
    if (column !== undefined) throw different(table, row, `column ${column.name} is another in PostgreSQL`)
  }
}

const different = (table: Table, row: Row, how: string): CopyFailed =>
  new CopyFailed(`the copy is not the same: ${nameOf(table, row)}: ${how}`)

/** `table event, device_id 1, device_seq 3`: enough to find the row, and nothing of it that is secret. */
export function nameOf({ name, columns, shown }: Table, row: Row): string {
  const parts = columns.flatMap((column, n) => (shown.includes(column.name) ? `${column.name} ${quoted(row[n])}` : []))
  return [`table ${name}`, ...parts].join(', ')
}

const quoted = (value: Value | undefined): string =>
  typeof value === 'string' ? JSON.stringify(value.slice(0, QUOTE_MAX_CHARS)) : String(value)
