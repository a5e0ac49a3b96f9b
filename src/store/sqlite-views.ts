// Reads for people in the SQLite store: its dialect of the questions (view-questions.ts). All but searches are answered before anything else is done.
// Not here: which search is next (search-turns.ts).

import { setImmediate as turn } from 'node:timers/promises'
import type { DatabaseSyncInstance } from '@photostructure/sqlite'
import { assert } from '../core/errors.ts'
import { VIEW_SEARCH_DEVICES } from '../core/limits.ts'
import { idNumber } from './condition.ts'
import type { Rows, Sql } from './device-query.ts'
import { SearchTurns } from './search-turns.ts'
import { type BodyColumns, bodyOf, type CommandColumns, commandOf, type Statements } from './sqlite-rows.ts'
import { Searches } from './sqlite-searches.ts'
import type { DeviceName } from './stream.ts'
import {
  type Asking,
  counts,
  deviceLine,
  deviceName,
  goesThroughAll,
  listDevices,
  searchDevices,
  tallies,
  topDevices,
  type ViewDialect,
  waitingDevices,
} from './view-questions.ts'
import { deviceStatuses, type FoundCommand, type Views } from './views.ts'

export const viewStatements = {
  deviceOfCommand: 'select device_id from command where id = ?',
} as const

/** As the index on it has it. The one process that has the file has all the sessions, and ended those of its last life. */
const STATUS =
  'case when d.disabled = 1 then 3 when d.session_node is not null then 0 when d.active_at is null then 2 else 1 end'
const devices = (index: string): string => `device d indexed by ${index}`
const isStatus = (place: number): string => `${STATUS} = ${place}`

export const dialect: ViewDialect = {
  devices,
  looked: column => `+${column}`,
  isText: 'in (select value from json_each(?))',
  isNumber: 'in (select value from json_each(?))',
  status: STATUS,
  holds: column => `${column} like '%' || ? || '%'`,
  join: 'cross join',
  devicesAtOnce: comparisons => Math.ceil(VIEW_SEARCH_DEVICES / Math.max(1, comparisons)),
  isWaiting: 'd.waiting > 0',
  isSending: 'exists (select 1 from command s indexed by command_one_sent where s.device_id = d.id and s.state = 4)',
  sending: 'command c indexed by command_one_sent cross join device d on d.id = c.device_id',
  nodes: null,
  withStatus: (orgId, status) => [
    {
      sql: `select d.id from ${devices('device_by_status')} where d.org_id = ? and ${isStatus(deviceStatuses.indexOf(status))}`,
      parameters: [orgId],
    },
  ],
  // One count after the other takes half the time of a grouping.
  countByStatus: where => {
    const count = (place: number): string =>
      `select ${place}, count(*) from ${devices('device_by_status')} where ${where.sql} and ${isStatus(place)}`
    const places = deviceStatuses.map((_, place) => place)
    return { sql: places.map(count).join(' union all '), parameters: places.flatMap(() => where.parameters) }
  },
}

export class SqliteViews implements Views {
  readonly #sql: Statements
  readonly #questions: Searches
  readonly #turns = new SearchTurns()

  constructor(db: DatabaseSyncInstance, sql: Statements) {
    this.#sql = sql
    this.#questions = new Searches(db)
  }

  #answer({ sql, parameters }: Sql): Rows {
    return this.#questions.prepared(sql).all(...parameters)
  }

  #ask<T>(asking: Asking<T>): T {
    for (let answer: Rows = []; ; ) {
      const step = asking.next(answer)
      if (step.done) return step.value
      answer = this.#answer(step.value)
    }
  }

  /** With others in between, who may write: what a question is told is as of when it is answered. */
  async #askInTurns<T>(asking: Asking<T>): Promise<T> {
    for (let answer: Rows = []; ; await turn()) {
      const step = asking.next(answer)
      if (step.done) return step.value
      answer = this.#answer(step.value)
    }
  }

  readonly listDevices: Views['listDevices'] = async (query, after, limit, scan) =>
    this.#ask(listDevices(dialect, query, after, limit, scan))
  readonly topDevices: Views['topDevices'] = async (query, by, limit) =>
    this.#ask(topDevices(dialect, query, by, limit))
  readonly deviceLine: Views['deviceLine'] = async deviceId => this.#ask(deviceLine(dialect, deviceId))
  /** Of searches that go through all devices one at a time: else each loop of the process would do a part of every one of them. */
  readonly searchDevices: Views['searchDevices'] = (orgId, reach, condition, offset, limit) => {
    const search = () => this.#askInTurns(searchDevices(dialect, orgId, reach, condition, offset, limit))
    return goesThroughAll(condition) ? this.#turns.run(orgId, search) : search()
  }
  readonly counts: Views['counts'] = async (orgId, productKeys) => this.#ask(counts(dialect, orgId, productKeys))
  readonly tallies: Views['tallies'] = async (orgId, productKeys, from, to, stepMs) =>
    this.#ask(tallies(dialect, orgId, productKeys, from, to, stepMs))
  readonly waitingDevices: Views['waitingDevices'] = async (orgId, productKeys, after, limit) =>
    this.#ask(waitingDevices(dialect, orgId, productKeys, after, limit))

  async deviceName(deviceId: number): Promise<DeviceName | null> {
    return this.#ask(deviceName(deviceId))
  }

  async commandById(commandId: string): Promise<FoundCommand | null> {
    const id = idNumber(commandId)
    const owner: { device_id: number } | undefined = this.#sql.deviceOfCommand.get(id)
    if (owner === undefined) return null
    const row: CommandColumns | undefined = this.#sql.command.get(id, owner.device_id)
    const body: BodyColumns | undefined = this.#sql.body.get(id)
    const device = this.#ask(deviceName(owner.device_id))
    assert(row && body, `command ${commandId} has a body`)
    // Of a device that was deleted before names were kept, nobody knows whose it was.
    return device === null ? null : { command: commandOf(row), body: bodyOf(body), device }
  }
}
