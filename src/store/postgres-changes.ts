// The stream of changes on PostgreSQL: positions, which one node at a time gives to what is committed, and the reads of it.
// Not here: its SQL (postgres-changes-statements.ts), what a commit adds (postgres-commit.ts), what a purge takes away (postgres.ts).

import type { QueueEvent } from '../core/queue.ts'
import { type ChangeColumns, filterValues, type Looked, pageOf } from './change-rows.ts'
import { idNumber } from './condition.ts'
import type { Connections } from './postgres-connection.ts'
import { type EventColumns, eventOf } from './rows.ts'
import type { ChangeFilter, ChangePage, Changes } from './stream.ts'

export class PostgresChanges implements Changes {
  readonly #connections: Connections

  constructor(connections: Connections) {
    this.#connections = connections
  }

  /** A loss needs no further thought: what an attempt that was not answered has placed is placed. */
  placeEvents(limit: number): Promise<number> {
    return this.#connections.again('others', on => on.run('placeEvents', limit))
  }

  async changesAfter(after: number, filter: ChangeFilter | null, limit: number, scan: number): Promise<ChangePage> {
    const values = filterValues(filter)
    const [wanted, parameters] = values === null ? [0, filterValues(null) ?? []] : [limit, values]
    const rows = await this.#connections.again('others', on =>
      on.all<Looked & (ChangeColumns | { readonly position: null })>('changes', after, wanted, scan, ...parameters),
    )
    const looked = rows[0] ?? { last: null, looked: 0 }
    // A page with nothing on it is one row, which has only what was looked at.
    const page = rows.filter(row => row.position !== null)
    return pageOf(page, looked, { after, limit, scan })
  }

  async streamEnds(): Promise<{ readonly given: number; readonly lost: number }> {
    const [ends] = await this.#connections.again('others', on => on.all<{ given: number; lost: number }>('streamEnds'))
    return ends ?? { given: 0, lost: 0 }
  }

  async timeline(commandId: string, limit: number): Promise<QueueEvent[]> {
    if (idNumber(commandId) === null) return []
    const rows = await this.#connections.again('others', on => on.all<EventColumns>('timeline', commandId, limit))
    return rows.map(eventOf)
  }

  async eventsBetween(deviceId: number, after: number, before: number, limit: number): Promise<QueueEvent[]> {
    const rows = await this.#connections.again('others', on =>
      on.all<EventColumns>('eventsBetween', deviceId, after, before, limit),
    )
    return rows.map(eventOf)
  }
}
