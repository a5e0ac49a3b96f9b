// The store as one would write it first: a statement for each row, one after the other. The same rows as the real one writes, and no more:
// no fence by the node's lease, no count of batches. It is what batches are measured against, and nothing else.

import pg, { type Client, type QueryConfig } from 'pg'
import type { Queue } from '../../src/core/queue.ts'
import {
  bodyColumns,
  bumpColumns,
  eventColumns,
  insertColumns,
  type QueueColumns,
  queuesOf,
  updateColumns,
} from '../../src/store/postgres-rows.ts'
import { statements } from '../../src/store/postgres-statements.ts'
import type { DeviceChange } from '../../src/store/store.ts'

const INT8 = 20
/** As the store's connections are: its plans for any parameters, its integers as numbers. */
const SETTINGS = "set plan_cache_mode = 'force_generic_plan'; set random_page_cost = 1.1; set jit = off"

const parameters = (count: number): string => Array.from({ length: count }, (_, n) => `$${n + 1}`).join(', ')

const perRow = {
  queue: statements.queue,
  device: `update device set version = version + 1, last_command_id = $3, event_seq = $4, session_no = $5, session_node = $6, disabled = $7,
    active_at = $8, last_online_at = $9, last_offline_at = $10, wanting = $11 where id = $1 and version = $2`,
  updateCommand: `update command set state = $1, deadline_at = $2, sent_at = $3, settled_at = $4, sent_session = $5, code = $6, late_replies = $7
    where id = $8 and device_id = $9 and state = $10`,
  insertCommand: `insert into command (id, device_id, state, kind, identifier, timeout_s, pending_ttl_s, expire_at, deadline_at, created_at,
    sent_at, settled_at, sent_session, created_by, code, late_replies) values (${parameters(16)})`,
  insertBody: `insert into command_body (id, name_json, input_json, output_json, device_code, device_message) values (${parameters(6)})`,
  setOutcome: 'update command_body set output_json = $1, device_code = $2, device_message = $3 where id = $4',
  insertEvent: `insert into event (device_id, device_seq, command_id, from_state, to_state, at, by, reason, detail) values (${parameters(9)})`,
} as const

export class Rows {
  readonly #client: Client

  private constructor(client: Client) {
    this.#client = client
  }

  static async connect(url: string): Promise<Rows> {
    const getTypeParser = (oid: number, format?: 'text' | 'binary') =>
      oid === INT8 && format !== 'binary' ? Number : pg.types.getTypeParser(oid as never, format as never)
    const client = new pg.Client({ connectionString: url, types: { getTypeParser } as pg.CustomTypesConfig })
    await client.connect()
    await client.query(SETTINGS)
    return new Rows(client)
  }

  async begin(): Promise<void> {
    await this.#client.query('begin isolation level read committed')
  }

  async commit(): Promise<void> {
    await this.#client.query('commit')
  }

  async load(device: number): Promise<Queue> {
    const config = { name: 'queue', text: perRow.queue, values: [[device], [], []], rowMode: 'array' as const }
    const { rows } = await this.#client.query(config as QueryConfig)
    const queue = queuesOf(rows as unknown as QueueColumns[]).get(device)
    if (queue === undefined) throw new Error(`there is no device ${device}`)
    return queue
  }

  async write(change: DeviceChange): Promise<void> {
    const { deviceId } = change.queue
    await this.#one('device', bumpColumns(change))
    for (const { command, from } of change.updates)
      await this.#one('updateCommand', updateColumns(deviceId, command, from))
    for (const { command, body } of change.inserts) {
      await this.#one('insertCommand', insertColumns(deviceId, command))
      await this.#one('insertBody', bodyColumns(command.id, body))
    }
    for (const { outputJson, deviceCode, deviceMessage, commandId } of change.outcomes)
      await this.#one('setOutcome', [outputJson, deviceCode, deviceMessage, commandId])
    for (const event of change.events) await this.#one('insertEvent', eventColumns(deviceId, event))
  }

  async end(): Promise<void> {
    await this.#client.end()
  }

  async #one(name: keyof typeof perRow, values: readonly unknown[]): Promise<void> {
    const { rowCount } = await this.#client.query({ name, text: perRow[name], values: [...values] })
    if (rowCount !== 1) throw new Error(`${name} wrote ${rowCount} rows in place of one`)
  }
}
