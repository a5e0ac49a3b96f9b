// A PostgreSQL database that a whole store is moved into: one transaction, on a connection of its own, with all tables locked. Whatever ends it before its
// COMMIT leaves the database as empty as it was. Not here: which tables and columns there are, and how they are compared (copy.ts).

import { Client, type CustomTypesConfig, DatabaseError, types } from 'pg'
import { State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import {
  COPY_DOUBT_MS,
  COPY_IDLE_MAX_MS,
  COPY_LOCK_WAIT_MS,
  COPY_STATEMENT_MAX_MS,
  POSTGRES_ANSWER_WAIT_MS,
  POSTGRES_CONNECT_WAIT_MS,
  POSTGRES_KEEPALIVE_MS,
  POSTGRES_RETRY_MS,
} from '../core/limits.ts'
import {
  type Column,
  CopyFailed,
  CopyInDoubt,
  type CopyTarget,
  type Numbered,
  nameOf,
  numbered,
  type Row,
  type Table,
  tables,
} from './copy.ts'
import { readMigrations } from './migrate.ts'
import { Attempts } from './postgres-connection.ts'
import { prepareDatabase } from './postgres-schema.ts'

/** SQLSTATE of a lock that was not to be had in time */
const NO_LOCK = '55P03'

const INTEGERS: ReadonlySet<number> = new Set([types.builtins.INT2, types.builtins.INT4, types.builtins.INT8])
/** Integers as the file gives them. */
const getTypeParser: CustomTypesConfig['getTypeParser'] = (oid: number, format?: 'text' | 'binary') =>
  INTEGERS.has(oid) && format !== 'binary' ? (BigInt as never) : types.getTypeParser(oid as never, format as never)

/** Pages are read by the index of the key, whatever is guessed about a table that has just been filled. */
const BY_INDEX = 'set local enable_seqscan = off; set local enable_bitmapscan = off; set local jit = off'
const AS_IT_COMES = 'set local enable_seqscan = on'

/** A gateway may come after the devices behind it. */
const GATEWAYS = 'alter table device alter constraint device_gateway_id_fkey'

/** How many commands are in each state. Only the sum over all nodes means something, so it stands with the first. */
const COUNT_COMMANDS = `update node set commands = array(
    select coalesce(c.n, 0) from generate_series(1, ${Object.keys(State).length}) as s (state)
      left join (select state, count(*) as n from command group by state) as c on c.state = s.state order by s.state)
  where node_no = (select min(node_no) from node) returning node_no`

const names = tables.map(table => table.name)

/**
 * Makes the schema of the database what this program needs, as openPostgres does. Throws CannotOpen, saying what to do.
 * doubtMs: how long it goes on asking what became of a COMMIT that was not answered.
 */
export async function openPostgresImport(url: string, doubtMs = COPY_DOUBT_MS): Promise<PostgresImport> {
  await prepareDatabase(url, readMigrations('postgres'), attemptsFor(POSTGRES_RETRY_MS))
  return new PostgresImport(url, doubtMs)
}

/** Nobody calls them off. */
const attemptsFor = (ms: number): Attempts => new Attempts(ms, new AbortController().signal)

export class PostgresImport implements CopyTarget {
  readonly #url: string
  readonly #doubtMs: number
  #client: Client | null = null
  /** a COMMIT was sent and not answered */
  #inDoubt = false

  constructor(url: string, doubtMs: number) {
    this.#url = url
    this.#doubtMs = doubtMs
  }

  async begin(): Promise<void> {
    if (!this.#inDoubt) return this.#begin(COPY_LOCK_WAIT_MS)
    const attempts = attemptsFor(this.#doubtMs)
    for (;;) {
      try {
        // The transaction in doubt has the locks until it ends.
        return await this.#begin(this.#doubtMs)
      } catch (error) {
        await this.close()
        await attempts.next(error).catch(cause => {
          throw new CopyInDoubt(UNKNOWN, { cause })
        })
      }
    }
  }

  async #begin(lockWaitMs: number): Promise<void> {
    this.#client = await connect(this.#url)
    await this.#query('begin isolation level read committed')
    await this.#query(`set local lock_timeout = ${lockWaitMs}`)
    await this.#query(`lock table ${names.join(', ')} in access exclusive mode`)
    await this.#query(BY_INDEX)
    await this.#query(`${GATEWAYS} deferrable initially deferred`)
  }

  async filled(): Promise<string[]> {
    const questions = tables.map(({ name, asMade }) => {
      const isNew = asMade === undefined ? '' : `where not (${asMade})`
      return `select '${name}' where exists (select from ${name} ${isNew})`
    })
    const rows = await this.#query<[string]>(questions.join(' union all '))
    return rows.map(([name]) => name)
  }

  async insert(table: Table, rows: readonly Row[]): Promise<void> {
    const { name, columns, keyWidth, asMade } = table
    const list = columns.map(column => column.name).join(', ')
    const arrays = columns.map(({ type }, n) => `$${n + 1}::${type === 'boolean' ? 'integer' : type}[]`)
    const values = columns.map(column => (column.type === 'boolean' ? `${column.name} <> 0` : column.name))
    const sets = columns.slice(keyWidth).map(column => `${column.name} = excluded.${column.name}`)
    const key = columns.slice(0, keyWidth).map(column => column.name)
    const instead = asMade === undefined ? '' : ` on conflict (${key.join(', ')}) do update set ${sets.join(', ')}`
    const text = `insert into ${name} (${list}) select ${values.join(', ')} from unnest(${arrays.join(', ')}) as r (${list})${instead}`
    const of = columns.map((_, n) => rows.map(row => row[n]))
    await this.#query(text, of, () => {
      const [first, last] = [rows.at(0) ?? [], rows.at(-1) ?? []]
      return `PostgreSQL refuses a row from ${nameOf(table, first)} to ${nameOf(table, last)}: `
    })
  }

  async inserted(): Promise<void> {
    await this.#query(`analyze ${names.join(', ')}`)
  }

  async rows(table: Table, after: Row | null, upTo: Row | null, limit: number): Promise<Row[]> {
    const { name, columns, keyWidth } = table
    const values: unknown[] = []
    const bound = (operator: string, row: Row | null): string[] => {
      if (row === null) return []
      const places = row.slice(0, keyWidth).map(value => `$${values.push(value)}`)
      return [`(${key}) ${operator} (${places.join(', ')})`]
    }
    const key = columns
      .slice(0, keyWidth)
      .map(column => column.name)
      .join(', ')
    const bounds = [...bound('>', after), ...bound('<=', upTo)]
    const where = bounds.length === 0 ? '' : `where ${bounds.join(' and ')}`
    const text = `select ${columns.map(readAs).join(', ')} from ${name} ${where} order by ${key} limit ${limit}`
    return this.#query<Row>(text, values)
  }

  async complete(lastNumber: (of: Numbered) => bigint | null): Promise<void> {
    await this.#query('set constraints all immediate')
    await this.#query(`${GATEWAYS} not deferrable`)
    for (const of of numbered) {
      const next = (lastNumber(of) ?? 0n) + 1n
      await this.#query(`alter table ${of.table} alter column ${of.column} restart with ${next}`)
    }
    await this.#query(AS_IT_COMES)
    const counted = await this.#query(COUNT_COMMANDS)
    if (counted.length === 0 && (await this.#query('select from command limit 1')).length > 0)
      throw new CopyFailed('there are commands, and no node that they are of: this is not the file of a server')
  }

  async commit(): Promise<void> {
    try {
      const { command } = await this.#connected().query('commit')
      assert(command === 'COMMIT', 'a transaction that is committed has not failed')
    } catch (error) {
      // Also where the server says that it ends the connection: it may have committed before.
      this.#inDoubt = true
      throw new CopyInDoubt(UNKNOWN, { cause: error })
    } finally {
      await this.close()
    }
  }

  /** Ends the connection, and with it what was not committed: that is gone when this resolves. */
  async close(): Promise<void> {
    const client = this.#client
    this.#client = null
    await client?.end()
  }

  async #query<Columns extends readonly unknown[]>(
    text: string,
    values: readonly unknown[] = [],
    what: () => string = () => '',
  ): Promise<Columns[]> {
    try {
      const { rows } = await this.#connected().query({ text, values: [...values], rowMode: 'array' })
      return rows as unknown as Columns[]
    } catch (error) {
      if (this.#inDoubt) throw new CopyInDoubt(UNKNOWN, { cause: error })
      throw failure(error, error instanceof DatabaseError ? what() : '')
    }
  }

  #connected(): Client {
    if (this.#client === null) throw new CopyFailed('the connection is closed')
    return this.#client
  }
}

const UNKNOWN =
  'the connection was lost while everything was committed, and PostgreSQL could not be asked again whether it was. Run this again when it can be: where ' +
  'it then says that the database is not empty, all of it is there, and was compared before.'

const readAs = ({ name, type }: Column): string => (type === 'boolean' ? `${name}::integer` : name)

async function connect(connectionString: string): Promise<Client> {
  const client = new Client({
    connectionString,
    connectionTimeoutMillis: POSTGRES_CONNECT_WAIT_MS,
    fallback_application_name: 'downlink migrate',
    statement_timeout: COPY_STATEMENT_MAX_MS,
    idle_in_transaction_session_timeout: COPY_IDLE_MAX_MS,
    query_timeout: COPY_STATEMENT_MAX_MS + POSTGRES_ANSWER_WAIT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: POSTGRES_KEEPALIVE_MS,
    types: { getTypeParser },
  })
  // Whoever works on it learns of its end from his query, which then fails.
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (error) {
    await client.end()
    throw failure(error, '')
  }
  return client
}

function failure(error: unknown, what: string): CopyFailed {
  const isLocked = error instanceof DatabaseError && error.code === NO_LOCK
  // node puts what it tried on several addresses into one error without words
  const tried = error instanceof AggregateError ? error.errors.map(String).join('; ') : (error as Error).message
  const why = isLocked ? 'somebody is at work in the database: stop the servers that use it, and run this again' : tried
  return new CopyFailed(`${what}${why}`, { cause: error })
}
