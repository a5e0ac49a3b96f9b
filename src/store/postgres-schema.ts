// Taking a PostgreSQL database: what it must be, and the migrations that it lacks, applied by one of the nodes that start at once.
// Not here: what is kept in it.

import { Client, DatabaseError } from 'pg'
import {
  POSTGRES_ANSWER_WAIT_MS,
  POSTGRES_CONNECT_WAIT_MS,
  POSTGRES_KEEPALIVE_MS,
  POSTGRES_MIGRATION_STATEMENT_MAX_MS,
  POSTGRES_STATEMENT_MAX_MS,
} from '../core/limits.ts'
import { type Applied, type Migration, pendingMigrations, SCHEMA_VERSION_TABLE, SchemaMismatch } from './migrate.ts'
import type { Attempts } from './postgres-connection.ts'
import { migrationLock, statements } from './postgres-statements.ts'

/** The store cannot be opened. The message names the database, the reason, and what to do; never a password. */
export class CannotOpen extends Error {
  override readonly name = 'CannotOpen'
}

/** The oldest version that this program's SQL works on: what Debian's stable release had when it was written. */
const OLDEST_VERSION = 150_000

/** SQLSTATEs that have a plain reason. */
const WRONG_PASSWORD = '28'
const NO_DATABASE = '3D000'
const STARTING = '57P03'
const NO_LOCK = '55P03'
const DENIED = '42501'

/**
 * Makes the schema what this program needs. Several nodes may do so at once: one of them does, the others wait for it. A database that is just
 * starting is waited for as long as `attempts` last. Throws CannotOpen.
 */
export async function prepareDatabase(
  url: string,
  migrations: readonly Migration[],
  attempts: Attempts,
): Promise<void> {
  for (;;) {
    try {
      return await prepareOnce(url, migrations)
    } catch (error) {
      if (!isStarting(error))
        throw new CannotOpen(`cannot open the store ${placeOf(url)}: ${reasonOf(error)}`, { cause: error })
      try {
        await attempts.next(error)
      } catch {
        throw new CannotOpen(`cannot open the store ${placeOf(url)}: ${reasonOf(error)}`, { cause: error })
      }
    }
  }
}

async function prepareOnce(url: string, migrations: readonly Migration[]): Promise<void> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: POSTGRES_CONNECT_WAIT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: POSTGRES_KEEPALIVE_MS,
    fallback_application_name: 'downlink migrations',
    statement_timeout: POSTGRES_MIGRATION_STATEMENT_MAX_MS,
    idle_in_transaction_session_timeout: POSTGRES_STATEMENT_MAX_MS,
  })
  let lost: Error | null = null
  client.on('error', error => {
    lost = error
  })
  try {
    await client.connect()
    await refuseUnfit(client)
    // Kept until this connection ends, whatever happens to it.
    await client.query(migrationLock)
    await migrate(client, migrations)
  } catch (error) {
    throw lost ?? error
  } finally {
    await client.end()
  }
}

/** Bounded here as well: a server, or something before it, may take the connection and say nothing. */
const lookedAt = { text: 'select current_setting($1) as value', query_timeout: POSTGRES_ANSWER_WAIT_MS }

/** What no migration can mend. */
async function refuseUnfit(client: Client): Promise<void> {
  const shown = async (name: string): Promise<string> => {
    const { rows } = await client.query<{ value: string }>({ ...lookedAt, values: [name] })
    return rows[0]?.value ?? ''
  }
  const version = Number(await shown('server_version_num'))
  if (version < OLDEST_VERSION)
    throw new SchemaMismatch(
      `its server is PostgreSQL ${await shown('server_version')}; version 15 or later is needed. Upgrade the server.`,
    )
  const encoding = await shown('server_encoding')
  if (encoding !== 'UTF8')
    throw new SchemaMismatch(
      `its encoding is ${encoding}, which cannot hold every text. Create a database with encoding UTF8.`,
    )
  if ((await shown('synchronous_commit')) === 'off')
    throw new SchemaMismatch(
      'synchronous_commit is off for it: a command that was accepted would be lost where the server crashes. Set it to on for this database or user.',
    )
}

async function migrate(client: Client, migrations: readonly Migration[]): Promise<void> {
  const { rows: tables } = await client.query<{ tablename: string }>(
    'select tablename from pg_tables where schemaname = current_schema()',
  )
  const names = tables.map(({ tablename }) => tablename)
  if (names.length > 0 && !names.includes('schema_version'))
    throw new SchemaMismatch(
      'it holds the tables of another program. Give this program a database, or a schema, of its own.',
    )
  if (names.length === 0) await client.query(SCHEMA_VERSION_TABLE)
  const { rows } = await client.query<{ number: number; name: string; breaking: number }>(
    'select number, name, breaking from schema_version',
  )
  const applied: Applied[] = rows.map(({ number, name, breaking }) => ({ number, name, breaking: breaking === 1 }))
  const pending = pendingMigrations(migrations, applied)
  if (applied.length > 0 && pending.some(({ breaking }) => breaking)) await refuseWhileNodesRun(client)
  for (const migration of pending) await apply(client, migration)
}

/** Nodes of the version before would go on with a schema that they do not know. */
async function refuseWhileNodesRun(client: Client): Promise<void> {
  const { rows } = await client.query<{ node_no: number }>(statements.liveNodes)
  if (rows.length === 0) return
  const running = rows.map(({ node_no }) => node_no).join(', ')
  throw new SchemaMismatch(
    `this version changes the schema in a way that the version before does not understand, and nodes of it are running (${running}). Stop them all first, then start this one.`,
  )
}

/** In one transaction. Other nodes may be at work, and wait for the tables that it changes no longer than for anything else. */
async function apply(client: Client, { number, name, breaking, sql }: Migration): Promise<void> {
  await client.query(`begin; set local lock_timeout = ${POSTGRES_STATEMENT_MAX_MS}`)
  try {
    const row = [number, name, breaking ? 1 : 0]
    await client.query('insert into schema_version (number, name, breaking) values ($1, $2, $3)', row)
    await client.query(sql)
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  }
}

/** A server that is not there yet, or whose tables the other nodes have just now, is worth another look. */
function isStarting(error: unknown): boolean {
  if (error instanceof DatabaseError) return error.code === STARTING || error.code === NO_LOCK
  return error instanceof Error && 'code' in error && (error.code === 'ECONNREFUSED' || error.code === 'ENOENT')
}

/** Where it is, for messages: what of the address is no secret. */
export function placeOf(url: string): string {
  const { protocol, host, pathname, searchParams } = new URL(url)
  const socket = searchParams.get('host')
  return `${protocol}//${socket ?? host}${pathname}`
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = error instanceof DatabaseError ? (error.code ?? '') : ''
  if (code.startsWith(WRONG_PASSWORD)) return `${error.message}. Correct the user or the password in its address.`
  if (code === NO_DATABASE) return `${error.message}. Create it with: createdb --encoding UTF8 NAME`
  if (code === DENIED) return `${error.message}. Its user must own the schema, or may create in it.`
  if (code !== '' || error instanceof SchemaMismatch) return error.message
  // node puts what it tried on several addresses into one error without words
  const tried = error instanceof AggregateError ? error.errors.map(String).join('; ') : error.message
  return `${tried}. Is PostgreSQL running, and its address right?`
}
