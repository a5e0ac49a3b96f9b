// Taking a SQLite file: creating it, making it this process's own, the settings that durability rests on, migrations.
// Not here: what is kept in it.

import { chmodSync, closeSync, existsSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite'
import { assert } from '../core/errors.ts'
import { STORE_CACHE_KIB, STORE_LOCK_WAIT_MS, STORE_WAL_MAX_BYTES, STORE_WAL_PAGES } from '../core/limits.ts'
import { type Applied, type Migration, pendingMigrations, SCHEMA_VERSION_TABLE, SchemaMismatch } from './migrate.ts'

/** The store cannot be opened. The message names the file, the reason, and what to do. */
export class CannotOpen extends Error {
  override readonly name = 'CannotOpen'
}

/** Result codes of SQLite that have a plain reason; what else the number holds is detail. */
const PRIMARY = 0xff
const BUSY = 5
const READ_ONLY = 8
const IO_ERROR = 10
const CANNOT_OPEN = 14
const NOT_A_DATABASE = 26

/** Opens the file, creating it and its folder if need be, for this process alone, and applies the migrations that it lacks. Throws CannotOpen. */
export function openFile(path: string, migrations: readonly Migration[]): DatabaseSyncInstance {
  // An absolute path, because SQLite reads names such as `:memory:` and `file:…` in ways of its own.
  const file = resolve(path)
  try {
    createPrivate(file)
    const db = new DatabaseSync(file, { timeout: STORE_LOCK_WAIT_MS })
    prepareFile(db, file, migrations)
    return db
  } catch (error) {
    throw new CannotOpen(`cannot open the store ${file}: ${reasonOf(error)}`, { cause: error })
  }
}

function prepareFile(db: DatabaseSyncInstance, file: string, migrations: readonly Migration[]): void {
  try {
    own(db)
  } catch (error) {
    db.close()
    throw error
  }
  try {
    refuseForeign(db)
    closeToOthers(file)
    makeDurable(db)
    migrate(db, migrations)
  } catch (error) {
    closeFile(db)
    throw error
  }
}

/**
 * Gives the file back, all of it in one piece: the write-ahead log is moved into it and removed. The lock goes here and not with `close`, because
 * SQLite keeps a connection, and its locks, while prepared statements are left, and the driver ends those only when they are collected.
 */
export function closeFile(db: DatabaseSyncInstance): void {
  if (!db.isOpen) return
  try {
    // An exclusive lock taken in WAL mode can only be given up outside of it, and goes with the next look at the file.
    db.exec('pragma journal_mode = delete')
    db.exec('pragma locking_mode = normal')
    db.exec('select count(*) from sqlite_schema')
  } finally {
    db.close()
  }
}

/** Runs `work` in one transaction: all of it is durable when this returns, or none of it where it throws. */
export function transaction<T>(db: DatabaseSyncInstance, work: () => T): T {
  db.exec('begin immediate')
  try {
    const result = work()
    db.exec('commit')
    return result
  } catch (error) {
    // Some failures (a full disk, for one) have rolled back already.
    if (db.isTransaction) db.exec('rollback')
    throw error
  }
}

/** Private where it is made. Not mkdir's own `recursive`, which turns for ever below folders that take no entries, such as /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return
  makeFolder(dirname(folder))
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    // Another process made it meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/**
 * A new file is readable by its owner only; SQLite gives its write-ahead log the same mode. A file that is there is never opened here:
 * closing any descriptor of it would drop the locks that this process may hold on it already.
 */
function createPrivate(file: string): void {
  makeFolder(dirname(file))
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** For a file that was there, and has proved to be a store: what is not ours is left as it is. */
function closeToOthers(file: string): void {
  if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600)
}

/**
 * Exclusive locking makes the operating system's lock on the file itself, taken here, last until the process ends, however it ends: no second
 * process can write, or read, beside this one, and after a kill the next can open at once. It also spares the shared-memory file.
 */
function own(db: DatabaseSyncInstance): void {
  db.exec('pragma locking_mode = exclusive')
  // Takes the lock, which another process may hold, and writes nothing: it is not known yet whose file this is.
  db.exec('begin exclusive; select count(*) from sqlite_schema; commit')
}

/** What the rest of the program relies on when it says that a commit is durable. */
function makeDurable(db: DatabaseSyncInstance): void {
  db.exec('pragma journal_mode = wal')
  const mode: { journal_mode: string } = db.prepare('pragma journal_mode').get()
  assert(mode.journal_mode === 'wal', 'the file system can hold a write-ahead log')
  // A commit is on the disk when it returns; fullfsync is for macOS, whose fsync alone does not reach that far.
  db.exec('pragma synchronous = full; pragma fullfsync = on; pragma checkpoint_fullfsync = on')
  db.exec(`pragma cache_size = -${STORE_CACHE_KIB}; pragma wal_autocheckpoint = ${STORE_WAL_PAGES}`)
  db.exec(`pragma journal_size_limit = ${STORE_WAL_MAX_BYTES}`)
}

function refuseForeign(db: DatabaseSyncInstance): void {
  const tables: { name: string }[] = db.prepare("select name from sqlite_schema where type = 'table'").all()
  const names = tables.map(table => table.name)
  if (names.length > 0 && !names.includes('schema_version'))
    throw new SchemaMismatch('it holds the tables of another program. Give this program a file of its own.')
}

function migrate(db: DatabaseSyncInstance, migrations: readonly Migration[]): void {
  db.exec(SCHEMA_VERSION_TABLE)
  const rows: { number: number; name: string; breaking: number }[] = db
    .prepare('select number, name, breaking from schema_version')
    .all()
  const applied: Applied[] = rows.map(({ number, name, breaking }) => ({ number, name, breaking: breaking === 1 }))
  // A migration that rebuilds a table drops the old one, which must not count as deleting what others refer to.
  db.exec('pragma foreign_keys = off')
  for (const migration of pendingMigrations(migrations, applied)) transaction(db, () => apply(db, migration))
  db.exec('pragma foreign_keys = on')
}

function apply(db: DatabaseSyncInstance, { number, name, breaking, sql }: Migration): void {
  db.prepare('insert into schema_version (number, name, breaking) values (?, ?, ?)').run(number, name, breaking ? 1 : 0)
  db.exec(sql)
  const broken = db.prepare('pragma foreign_key_check').all()
  assert(broken.length === 0, `migration ${name} leaves references to rows that do not exist`)
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { errcode, code } = error as Error & { readonly errcode?: number; readonly code?: string }
  switch ((errcode ?? 0) & PRIMARY) {
    case BUSY:
      return 'another process has it open, and a store belongs to one process. Stop that process, or give this one another file with --store.'
    case NOT_A_DATABASE:
      return 'it is not a SQLite database. Give another file with --store, or move this one away.'
    case READ_ONLY:
    case IO_ERROR:
    case CANNOT_OPEN:
      return `${error.message}. The file and its folder must be writable for this user.`
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
    return `${error.message}. The file and its folder must be writable for this user.`
  return error.message
}
