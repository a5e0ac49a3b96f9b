// Connections to PostgreSQL: a pool for each kind of work, what each connection is told, what counts as a loss, and how work is tried again after one.
// Not here: SQL (postgres-statements.ts), what must be read before a commit that nobody answered may be tried again (postgres-commit.ts).

import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type CustomTypesConfig,
  DatabaseError,
  Pool,
  type PoolClient,
  type QueryConfig,
  type QueryResult,
  type QueryResultRow,
  types,
} from 'pg'
import { assert, Bug } from '../core/errors.ts'
import {
  POSTGRES_ANSWER_WAIT_MS,
  POSTGRES_BACKOFF_MAX_MS,
  POSTGRES_BACKOFF_MIN_MS,
  POSTGRES_CONNECT_WAIT_MS,
  POSTGRES_FLEET_STATEMENT_MAX_MS,
  POSTGRES_KEEPALIVE_MS,
  POSTGRES_LEASE_CONNECTIONS,
  POSTGRES_OTHER_CONNECTIONS,
  POSTGRES_PLAN_LIFE_MS,
  POSTGRES_RETRY_MS,
  POSTGRES_STATEMENT_MAX_MS,
  POSTGRES_STEP_CONNECTIONS,
} from '../core/limits.ts'
import { StoreUnavailable, WriteUnknown } from './nodes.ts'
import { type StatementName, statements } from './postgres-statements.ts'

/** How losses are borne, and what else a store is opened with. */
export interface Bearing {
  /** ms until a connection is there */
  readonly connectMs: number
  /** ms without an answer after which a connection is given up */
  readonly answerMs: number
  /** ms for which work is tried again */
  readonly retryMs: number
  /** ms for which a plan is used */
  readonly planLifeMs: number
  /** Told of each connection that ended by itself, and why. Whatever was done on it is tried again or has failed, so this is for the log only. */
  readonly lost: (error: Error) => void
}
export const ordinaryBearing: Bearing = {
  connectMs: POSTGRES_CONNECT_WAIT_MS,
  answerMs: POSTGRES_ANSWER_WAIT_MS,
  retryMs: POSTGRES_RETRY_MS,
  planLifeMs: POSTGRES_PLAN_LIFE_MS,
  lost: () => undefined,
}

/**
 * The work was not done, through no fault of its own: the connection is gone, the server is starting, stopping or overloaded, or another transaction was
 * in the way. Nothing of it is in the store, unless its COMMIT was on the way: that is InDoubt.
 */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  /** the server ended it for the time that it took: of a single statement, it may well be the statement */
  readonly isSlow: boolean

  constructor(message: string, cause?: unknown) {
    super(message, { cause })
    this.isSlow = cause instanceof DatabaseError && cause.code === TOO_SLOW
  }
}

/** COMMIT was sent and not answered: the transaction is in the store, or will be, or never will. */
export class InDoubt<T> extends Error {
  override readonly name = 'InDoubt'
  constructor(
    /** what the work returned, before the COMMIT */
    readonly result: T,
    cause: unknown,
  ) {
    super('the connection was lost while a transaction was committed', { cause })
  }
}

/** SQLSTATE of a statement that the server ended for the time that it took */
const TOO_SLOW = '57014'

/** Classes of SQLSTATE, or whole ones, that say nothing about the work itself. */
const INTERRUPTIONS: readonly string[] = [
  '08', // the connection
  '57P', // the server shuts down, starts, or has closed the connection
  '25P03', // the transaction waited for us too long
  '25006', // read-only: a standby that is not the primary yet, or no longer
  '53300', // no connection is free
  '40', // another transaction was in the way: serialization, deadlock
  '55P03', // a lock was not to be had in time
  TOO_SLOW,
  '23503', // what a row refers to has gone since it was looked up
]

function interruptionOf(error: unknown): unknown {
  if (error instanceof DatabaseError) {
    const code = error.code ?? ''
    return INTERRUPTIONS.some(start => code.startsWith(start)) ? new Interrupted(error.message, error) : error
  }
  // What else the driver rejects with is its connection's end, in many words.
  const isOurs = error instanceof Bug || error instanceof TypeError || error instanceof RangeError
  return error instanceof Error && !isOurs ? new Interrupted(error.message, error) : error
}

/** 64-bit integers other than ids of commands (which are read as text) are counts and instants, and fit a number. */
const INT8 = 20
const getTypeParser: CustomTypesConfig['getTypeParser'] = (oid: number, format?: 'text' | 'binary') =>
  oid === INT8 && format !== 'binary' ? (integer as never) : types.getTypeParser(oid as never, format as never)

function integer(text: string): number {
  const number = Number(text)
  assert(Number.isSafeInteger(number), `${text} is read as text, or fits a number`)
  return number
}

/**
 * What every connection is told. A statement is planned for any parameters, which are arrays of some hundred at most, and not for each anew. The pages
 * that are read at random are recent, and in memory.
 */
const SETTINGS: Readonly<Record<string, string | number>> = {
  statement_timeout: POSTGRES_STATEMENT_MAX_MS,
  lock_timeout: POSTGRES_STATEMENT_MAX_MS,
  idle_in_transaction_session_timeout: POSTGRES_STATEMENT_MAX_MS,
  plan_cache_mode: 'force_generic_plan',
  random_page_cost: 1.1,
  jit: 'off',
}
const tell = Object.entries(SETTINGS)
  .map(([name, value]) => `set ${name} = '${value}'`)
  .join('; ')

/** Work that does not wait for work of another kind: the lease of the node, the engine's loads and commits, all else. */
export type Lane = 'lease' | 'steps' | 'others'

/** One connection, for as long as some work has it. Rejects with Interrupted, or with what the database says of the work. */
export class Session {
  readonly #client: PoolClient
  readonly #answerMs: number

  constructor(client: PoolClient, answerMs: number) {
    this.#client = client
    this.#answerMs = answerMs
  }

  async all<Row extends object>(name: StatementName, ...values: unknown[]): Promise<Row[]> {
    const { rows } = await this.#query({ name, text: statements[name], values })
    return rows as Row[]
  }

  /** Rows as arrays: of commands there are many, and as objects they cost half as much again. */
  async arrays<Row extends readonly unknown[]>(name: StatementName, ...values: unknown[]): Promise<Row[]> {
    const { rows } = await this.#query({ name, text: statements[name], values, rowMode: 'array' })
    return rows as unknown as Row[]
  }

  /** How many rows it changed. */
  async run(name: StatementName, ...values: unknown[]): Promise<number> {
    const { rowCount } = await this.#query({ name, text: statements[name], values })
    return rowCount ?? 0
  }

  /** SQL put together per call, not prepared. */
  async search<Row extends readonly unknown[]>(text: string, values: unknown[]): Promise<Row[]> {
    const { rows } = await this.#query({ text, values, rowMode: 'array' })
    return rows as unknown as Row[]
  }

  /** The same, for work to which PostgreSQL gives more time (registryLock). */
  patiently(): Session {
    return new Session(this.#client, POSTGRES_FLEET_STATEMENT_MAX_MS + this.#answerMs)
  }

  /** The tag that the server answers such a command with. */
  async control(
    text: 'begin isolation level read committed' | 'commit' | 'rollback' | 'discard plans',
  ): Promise<string> {
    const { command } = await this.#query({ text })
    return command
  }

  async #query(config: QueryConfig & { readonly rowMode?: 'array' }): Promise<QueryResult> {
    try {
      const timed = { ...config, query_timeout: this.#answerMs }
      return await this.#client.query<QueryResultRow>(timed as QueryConfig)
    } catch (error) {
      throw interruptionOf(error)
    }
  }
}

/** Statements sent without waiting for each other's answers: one round trip. Rejects as the first one that did, once all are answered. */
export async function together<const T extends readonly Promise<unknown>[]>(
  queries: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const answers = await Promise.allSettled(queries)
  for (const answer of answers) if (answer.status === 'rejected') throw answer.reason
  return Promise.all(queries)
}

/** Attempts at one piece of work: how long they go on, and the pauses between them. */
export class Attempts {
  readonly #until: number
  readonly #closed: AbortSignal
  #pauseMs = POSTGRES_BACKOFF_MIN_MS

  /** retryMs Infinity: until the store is closed */
  constructor(retryMs: number, closed: AbortSignal) {
    this.#until = performance.now() + retryMs
    this.#closed = closed
  }

  /** Waits before the next attempt, after one that `error` ended. Rejects with StoreUnavailable where there is none. */
  async next(error: unknown): Promise<void> {
    const why = error instanceof Error ? error.message : String(error)
    if (this.#closed.aborted) throw new StoreUnavailable('the store is closed', { cause: error })
    if (performance.now() + this.#pauseMs > this.#until)
      throw new StoreUnavailable(`PostgreSQL cannot be reached, or does not answer in time: ${why}`, { cause: error })
    const pauseMs = this.#pauseMs * (1 + Math.random() / 2)
    this.#pauseMs = Math.min(2 * this.#pauseMs, POSTGRES_BACKOFF_MAX_MS)
    try {
      await sleep(pauseMs, undefined, { signal: this.#closed })
    } catch (closed) {
      throw new StoreUnavailable('the store is closed', { cause: closed })
    }
  }
}

export class Connections {
  readonly #bearing: Bearing
  readonly #pools: Readonly<Record<Lane, Pool>>
  readonly #closed = new AbortController()
  #isClosed = false
  readonly #sockets = new Set<Socket>()
  /** when the plans of a connection were begun anew */
  readonly #plannedAt = new WeakMap<PoolClient, number>()

  constructor(url: string, bearing: Bearing) {
    this.#bearing = bearing
    const pool = (max: number): Pool => newPool(url, max, bearing, this.#sockets)
    this.#pools = {
      lease: pool(POSTGRES_LEASE_CONNECTIONS),
      steps: pool(POSTGRES_STEP_CONNECTIONS),
      others: pool(POSTGRES_OTHER_CONNECTIONS),
    }
  }

  /** Attempts that end when the store is closed, at the latest. */
  attempts(retryMs = this.#bearing.retryMs): Attempts {
    return new Attempts(retryMs, this.#closed.signal)
  }

  /** Does the work once; Interrupted where a connection is not to be had or is lost. */
  async once<T>(lane: Lane, work: (on: Session) => Promise<T>): Promise<T> {
    const client = await this.#connect(lane)
    let broken = true
    try {
      const on = new Session(client, this.#bearing.answerMs)
      await this.#replan(client, on)
      const result = await work(on)
      broken = false
      return result
    } catch (error) {
      broken = error instanceof Interrupted || error instanceof InDoubt
      throw error
    } finally {
      client.release(broken)
    }
  }

  /**
   * Work that only reads, or that is the same when it is done twice: after a loss again, as long as retryMs last; but not where it took too long, which
   * it would again. Rejects with StoreUnavailable then.
   */
  async again<T>(lane: Lane, work: (on: Session) => Promise<T>): Promise<T> {
    const attempts = this.attempts()
    for (;;) {
      try {
        return await this.once(lane, work)
      } catch (error) {
        if (!(error instanceof Interrupted)) throw error
        if (error.isSlow) throw new StoreUnavailable(`PostgreSQL took too long: ${error.message}`, { cause: error })
        await attempts.next(error)
      }
    }
  }

  /**
   * Does the work in one transaction, whose statements each see what was committed before they began. It is durable when this resolves. Rejects with
   * Interrupted or with what the work rejects with, and then nothing of it was done; or with InDoubt.
   */
  transaction<T>(lane: Lane, work: (on: Session) => Promise<T>): Promise<T> {
    return this.once(lane, async on => {
      // Waited for: were it refused, what is sent after it would each be a transaction of its own.
      await on.control('begin isolation level read committed')
      let result: T
      try {
        result = await work(on)
      } catch (error) {
        if (!(error instanceof Interrupted)) await on.control('rollback')
        throw error
      }
      await commit(on, result)
      return result
    })
  }

  /**
   * A transaction, after a loss again. Where the COMMIT of an attempt was not answered, `repeated` is true from then on: what the work finds may be
   * what it did itself. It must take a lock by which it waits for that attempt's end. Rejects with StoreUnavailable where nothing was written, with
   * WriteUnknown where it was not learned.
   */
  async write<T>(lane: Lane, work: (on: Session, repeated: boolean) => Promise<T>): Promise<T> {
    const attempts = this.attempts()
    let repeated = false
    for (;;) {
      try {
        return await this.transaction(lane, on => work(on, repeated))
      } catch (error) {
        if (error instanceof InDoubt) repeated = true
        else if (!(error instanceof Interrupted)) throw error
        try {
          await attempts.next(error)
        } catch (gaveUp) {
          throw repeated ? new WriteUnknown('PostgreSQL did not say whether it was written', { cause: gaveUp }) : gaveUp
        }
      }
    }
  }

  async #connect(lane: Lane): Promise<PoolClient> {
    if (this.#closed.signal.aborted) throw new StoreUnavailable('the store is closed')
    try {
      return await this.#pools[lane].connect()
    } catch (error) {
      // Also a wrong password: it was right when the store was opened, so it is being changed.
      throw new Interrupted(error instanceof Error ? error.message : String(error), error)
    }
  }

  /**
   * Plans last as long as their connection, and are right for tables of the size that they had. Nothing tells PostgreSQL that a table has grown until
   * it is analyzed, which may be minutes later; meanwhile a plan for ten rows would read a hundred thousand, again and again.
   */
  async #replan(client: PoolClient, on: Session): Promise<void> {
    const now = performance.now()
    const plannedAt = this.#plannedAt.get(client)
    if (plannedAt !== undefined && now - plannedAt < this.#bearing.planLifeMs) return
    if (plannedAt !== undefined) await on.control('discard plans')
    this.#plannedAt.set(client, now)
  }

  /** What waits for its next attempt, for a connection or for an answer is told that there is none. */
  giveUp(): void {
    this.#closed.abort()
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Resolves when all work has ended. What waits for its next attempt is told. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#closed.abort()
    await Promise.all(Object.values(this.#pools).map(pool => pool.end()))
  }
}

async function commit<T>(on: Session, result: T): Promise<void> {
  let tag: string
  try {
    tag = await on.control('commit')
  } catch (error) {
    throw new InDoubt(result, error)
  }
  assert(tag === 'COMMIT', 'a transaction that is committed has not failed')
}

function newPool(connectionString: string, max: number, { connectMs, lost }: Bearing, sockets: Set<Socket>): Pool {
  // Ours to destroy: what the driver ends, it ends politely, and waits for a server that may be silent.
  const stream = (): Socket => {
    const socket = new Socket()
    sockets.add(socket)
    return socket.once('close', () => sockets.delete(socket))
  }
  const pool = new Pool({
    connectionString,
    stream,
    max,
    connectionTimeoutMillis: connectMs,
    pipeline: true,
    keepAlive: true,
    keepAliveInitialDelayMillis: POSTGRES_KEEPALIVE_MS,
    fallback_application_name: 'downlink',
    types: { getTypeParser },
    // Kept for good: a new connection has to learn every statement again.
    idleTimeoutMillis: 0,
    onConnect: async client => {
      await client.query(tell)
    },
  })
  // Its end must have a listener, or it would end the process: the pool has one while a connection is idle. Whoever works on it learns from his query.
  pool.on('error', error => lost(error))
  pool.on('acquire', client => void client.on('error', lost))
  pool.on('release', (_, client) => void client.off('error', lost))
  return pool
}
