// Prepared statements of searches, whose SQL is put together per call: those of the shapes asked for last. Not here: what their SQL says (condition.ts).

import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite'
import { STORE_SEARCHES_PREPARED_MAX } from '../core/limits.ts'

export class Searches {
  readonly #db: Pick<DatabaseSyncInstance, 'prepare'>
  /** by their text, the longest unused first; those let go are freed when they are collected */
  readonly #statements = new Map<string, StatementSyncInstance>()

  constructor(db: Pick<DatabaseSyncInstance, 'prepare'>) {
    this.#db = db
  }

  /** The statement of this text. Its rows come as arrays. */
  prepared(sql: string): StatementSyncInstance {
    const statement = this.#statements.get(sql) ?? this.#db.prepare(sql)
    statement.setReturnArrays(true)
    this.#statements.delete(sql)
    this.#statements.set(sql, statement)
    const oldest = this.#statements.keys().next().value
    if (this.#statements.size > STORE_SEARCHES_PREPARED_MAX && oldest !== undefined) this.#statements.delete(oldest)
    return statement
  }
}
