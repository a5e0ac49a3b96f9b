// Everything that a SQLite file holds, for moving it to another store: one table after the other, in pages, exactly as it is on the disk.
// Not here: which tables and columns there are (copy.ts), how the file is opened and owned (sqlite-file.ts).

import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite'
import { COPY_PAGE_BYTES, COPY_PAGE_ROWS } from '../core/limits.ts'
import {
  type Column,
  CopyFailed,
  type CopySource,
  type Numbered,
  nameOf,
  type Row,
  type Table,
  type Value,
} from './copy.ts'
import { readMigrations } from './migrate.ts'
import { CannotOpen, closeFile, openFile } from './sqlite-file.ts'
import { statements } from './sqlite-statements.ts'

/** What the driver hands over: text comes as its bytes, because it would be cut at a NUL, and repaired where it is broken. */
type Raw = Uint8Array | bigint | number | null

/** The byte order mark is kept: it is a character of the text. */
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const lenient = new TextDecoder('utf-8', { ignoreBOM: true })

/** Integers of SQLite have 64 bits. */
const BITS = { smallint: 16, integer: 32, bigint: 64, boolean: 64 } as const

/** What a row has its place among the others by, where the file has no column for it. */
const ROWID: ReadonlySet<string> = new Set(['token.saved_no'])

/** The largest number ever given. Of devices it is on record, because those that are gone leave records behind. */
const LAST_NUMBER: Readonly<Record<Numbered['table'], string>> = {
  application: 'select max(id) from application',
  device:
    "select max(n) from (select seq as n from sqlite_sequence where name = 'device' union all select max(id) from device)",
  token: 'select max(rowid) from token',
}

/**
 * Opens the file, which must be there, for this process alone, migrates it as a server of this version would, and has SQLite look through all of it.
 * Throws CannotOpen, saying what to do: a server has it, it is damaged, a newer Downlink changed it.
 */
export function openSqliteExport(path: string): SqliteExport {
  const file = resolve(path)
  const refuse = (reason: string, cause?: unknown): CannotOpen =>
    new CannotOpen(`cannot open the store ${file}: ${reason}`, { cause })
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined) throw refuse('there is no such file, and none was made. Give the file that the server has.')
  if (!stat.isFile() || stat.size === 0)
    throw refuse('it is not a file, or an empty one. Give the file that the server has.')
  const migrations = readMigrations('sqlite')
  const db = openFile(file, migrations)
  try {
    const newest: { number: number } = db.prepare('select max(number) as number from schema_version').get()
    // A server may ignore what it does not know; whoever moves all that there is may not.
    if (newest.number > migrations.length)
      throw refuse('a newer version of Downlink keeps more in it than this one knows. Move it with that version.')
    const damage = damageOf(db)
    if (damage !== null) throw refuse(`it is damaged: ${damage}. Restore the last backup, and move that.`)
  } catch (error) {
    closeFile(db)
    throw error
  }
  return new SqliteExport(db, file)
}

/** What SQLite finds wrong with the file: pages, rows, and indexes that do not have each row. */
function damageOf(db: DatabaseSyncInstance): string | null {
  try {
    const first: { integrity_check: string } = db.prepare('pragma integrity_check(1)').get()
    return first.integrity_check === 'ok' ? null : first.integrity_check
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

export class SqliteExport implements CopySource {
  readonly #db: DatabaseSyncInstance
  /** Kept for as long as the file is open: the driver frees a statement that nobody refers to any more, and crashes where its rows are still walked through. */
  readonly #statements = new Map<Table, StatementSyncInstance>()
  /** its absolute path */
  readonly file: string

  constructor(db: DatabaseSyncInstance, file: string) {
    this.#db = db
    this.file = file
  }

  count({ name }: Table): number {
    const row: { count: number } = this.#db.prepare(`select count(*) as count from ${name}`).get()
    return row.count
  }

  *pages(table: Table): Generator<readonly Row[]> {
    let page: Row[] = []
    let bytes = 0
    for (const raw of this.#all(table).iterate() as Iterable<readonly Raw[]>) {
      page.push(rowOf(table, raw))
      for (const value of raw) bytes += value instanceof Uint8Array ? value.byteLength : 0
      if (page.length < COPY_PAGE_ROWS && bytes < COPY_PAGE_BYTES) continue
      yield page
      page = []
      bytes = 0
    }
    if (page.length > 0) yield page
  }

  #all(table: Table): StatementSyncInstance {
    let all = this.#statements.get(table)
    if (all === undefined) {
      const columns = table.columns.map(column => expressionOf(table, column))
      const key = table.columns.slice(0, table.keyWidth).map(column => column.name)
      all = this.#db.prepare(`select ${columns.join(', ')} from ${table.name} order by ${key.join(', ')}`)
      all.setReturnArrays(true)
      all.setReadBigInts(true)
      this.#statements.set(table, all)
    }
    return all
  }

  lastNumber({ table }: Numbered): bigint | null {
    const last = this.#db.prepare(LAST_NUMBER[table])
    last.setReturnArrays(true)
    last.setReadBigInts(true)
    const [number]: [bigint | null] = last.get()
    return number
  }

  /** As the registry has it: the check value of the key that the secrets are sealed under, null before the first start of a server. */
  async secretCheck(): Promise<string | null> {
    const row: { value: string } | undefined = this.#db.prepare(statements.setting).get('secret_check')
    return row?.value ?? null
  }

  close(): void {
    closeFile(this.#db)
  }
}

function expressionOf(table: Table, { name, type }: Column): string {
  if (ROWID.has(`${table.name}.${name}`)) return 'rowid'
  return type === 'text' ? `cast(${name} as blob)` : name
}

/** Throws CopyFailed where PostgreSQL could not keep a value as it is. */
function rowOf(table: Table, raw: readonly Raw[]): Row {
  return table.columns.map(({ name, type }, n) => {
    const value = raw[n] ?? null
    const read = type === 'text' ? textOf(value) : numberOf(type, value)
    if (typeof read !== 'object' || read === null) return read
    const row = raw.map(each => (each instanceof Uint8Array ? lenient.decode(each) : each))
    throw new CopyFailed(`${nameOf(table, row)}: column ${name} ${read.problem}`)
  })
}

type Read = Value | { readonly problem: string }

function textOf(value: Raw): Read {
  if (!(value instanceof Uint8Array)) return value
  let text: string
  try {
    text = strict.decode(value)
  } catch {
    // decode throws for nothing else, and its message says no more than that.
    return { problem: 'holds bytes that are not UTF-8, which PostgreSQL refuses' }
  }
  return text.includes('\0') ? { problem: 'holds a NUL character, which PostgreSQL refuses' } : text
}

function numberOf(type: Exclude<Column['type'], 'text'>, value: Raw): Read {
  if (value instanceof Uint8Array) return { problem: 'holds bytes where a number belongs' }
  if (type === 'float8' || typeof value !== 'bigint') return value
  if (BigInt.asIntN(BITS[type], value) !== value) return { problem: `is ${value}, too large for ${type} of PostgreSQL` }
  if (type === 'boolean' && value !== 0n && value !== 1n) return { problem: `is ${value}, neither 0 nor 1` }
  return value
}
