// Reads for people on PostgreSQL: its dialect of the questions (view-questions.ts). Each is asked by itself, so that what others commit meanwhile may show in
// a later one and not in an earlier one. Not here: commits.

import { VIEW_SEARCH_DEVICES } from '../core/limits.ts'
import { idNumber } from './condition.ts'
import { type Rows, sql } from './device-query.ts'
import type { Connections, Session } from './postgres-connection.ts'
import { bodyOf, commandOf } from './postgres-rows.ts'
import { STORE_NOW } from './postgres-statements.ts'
import type { DeviceName } from './stream.ts'
import {
  type Asking,
  counts,
  deviceLine,
  deviceName,
  listDevices,
  searchDevices,
  tallies,
  topDevices,
  type ViewDialect,
  waitingDevices,
} from './view-questions.ts'
import type { DeviceStatus, FoundCommand, Views } from './views.ts'

/** The nodes that are alive, read once per question. */
const ALIVE = `array(select n.node_no from node n where n.lease_until > ${STORE_NOW})`
/**
 * Where a device stands as far as its row knows, as the index on it has it: on the node of that number, or nowhere and disabled (-3), inactive (-2), or
 * neither (-1). A node may have died with its devices.
 */
const PLACE = `(case when d.disabled then -3 when d.session_node is not null then d.session_node when d.active_at is null then -2 else -1 end)`
const STATUS = `(case when d.disabled then 3 when d.session_node = any (${ALIVE}) then 0 when d.active_at is null then 2 else 1 end)`

/** The places of devices with a status, and what else is so of them. The dead nodes are those that have devices of the organization. */
function placesOf(status: DeviceStatus, nodes: Rows): readonly (readonly [place: number, isSo: string])[] {
  const on = (isAlive: boolean, isSo: string) =>
    nodes.filter(node => node[1] === isAlive).map(([no]) => [Number(no), isSo] as const)
  switch (status) {
    case 'online':
      return on(true, '')
    case 'offline':
      return [[-1, ''], ...on(false, ' and d.active_at is not null')]
    case 'inactive':
      return [[-2, ''], ...on(false, ' and d.active_at is null')]
    case 'disabled':
      return [[-3, '']]
  }
}

export const dialect: ViewDialect = {
  devices: () => 'device d',
  looked: column => column,
  isText: '= any (array(select json_array_elements_text(cast(? as json))))',
  // Hashed, where an array would be gone through for each device.
  isNumber: 'in (select cast(json_array_elements_text(cast(? as json)) as integer))',
  status: STATUS,
  holds: column => `lower(${column} collate "C") like '%' || ? || '%'`,
  join: 'join',
  // It looks up labels in a process of its own.
  devicesAtOnce: () => VIEW_SEARCH_DEVICES,
  isWaiting: 'd.is_waiting',
  isSending: 'exists (select 1 from command s where s.device_id = d.id and s.state = 4)',
  // By the commands, however many they are thought to be: they are few, and to go through all devices instead takes ten times as long.
  sending:
    'command c cross join lateral (select e.org_id, e.product_key from device e where e.id = c.device_id offset 0) d',
  nodes: orgId =>
    sql(
      `select n.node_no, coalesce(n.lease_until > ${STORE_NOW}, false) from node n
        where exists (select 1 from device d where d.org_id = ? and ${PLACE} = n.node_no)`,
      orgId,
    ),
  withStatus: (orgId, status, nodes) =>
    placesOf(status, nodes).map(([place, isSo]) =>
      sql(`select d.id from device d where d.org_id = ? and ${PLACE} = ${place}${isSo}`, orgId),
    ),
  countByStatus: where => ({
    sql: `select ${STATUS}, count(*) from device d where ${where.sql} group by 1`,
    parameters: where.parameters,
  }),
}

export class PostgresViews implements Views {
  readonly #connections: Connections

  constructor(connections: Connections) {
    this.#connections = connections
  }

  /** From the beginning where the connection is lost. */
  #ask<T>(begin: () => Asking<T>): Promise<T> {
    return this.#connections.again('others', on => answer(on, begin()))
  }

  readonly listDevices: Views['listDevices'] = (query, after, limit, scan) =>
    this.#ask(() => listDevices(dialect, query, after, limit, scan))
  readonly topDevices: Views['topDevices'] = (query, by, limit) =>
    this.#ask(() => topDevices(dialect, query, by, limit))
  readonly deviceLine: Views['deviceLine'] = deviceId => this.#ask(() => deviceLine(dialect, deviceId))
  readonly searchDevices: Views['searchDevices'] = (orgId, reach, condition, offset, limit) =>
    this.#ask(() => searchDevices(dialect, orgId, reach, condition, offset, limit))
  readonly counts: Views['counts'] = (orgId, productKeys) => this.#ask(() => counts(dialect, orgId, productKeys))
  readonly tallies: Views['tallies'] = (orgId, productKeys, from, to, stepMs) =>
    this.#ask(() => tallies(dialect, orgId, productKeys, from, to, stepMs))
  readonly waitingDevices: Views['waitingDevices'] = (orgId, productKeys, after, limit) =>
    this.#ask(() => waitingDevices(dialect, orgId, productKeys, after, limit))

  deviceName(deviceId: number): Promise<DeviceName | null> {
    return this.#ask(() => deviceName(deviceId))
  }

  async commandById(commandId: string): Promise<FoundCommand | null> {
    if (idNumber(commandId) === null) return null
    return this.#connections.again('others', async on => {
      const [row] = await on.arrays<readonly [deviceId: number, ...unknown[]]>('commandById', commandId)
      if (row === undefined) return null
      const [deviceId, ...columns] = row
      const device = await answer(on, deviceName(deviceId))
      // Of a device that was deleted before names were kept, nobody knows whose it was.
      return device === null ? null : { command: commandOf(columns), body: bodyOf(columns), device }
    })
  }
}

async function answer<T>(on: Session, asking: Asking<T>): Promise<T> {
  for (let rows: Rows = []; ; ) {
    const step = asking.next(rows)
    if (step.done) return step.value
    let n = 0
    // Nothing of a caller's text is in the SQL, so every question mark is a parameter.
    const text = step.value.sql.replace(/\?/g, () => `$${++n}`)
    rows = await on.search(text, [...step.value.parameters])
  }
}
