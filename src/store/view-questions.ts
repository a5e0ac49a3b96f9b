// Reads for people, as what is asked of a database and what is made of the answers: one after the other, each begun once the one before is answered.
// Both databases answer them, each with its dialect. Not here: how a question reaches the database, and commands (sqlite-views.ts, postgres-views.ts).

import type { State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import { DEVICE_ID_MAX, VIEW_SEARCH_FIELDS, VIEW_TEXT_ROWS } from '../core/limits.ts'
import { isKept } from './checks.ts'
import { type Path, pathOf, textMatches } from './device-condition.ts'
import {
  type Among,
  all,
  COLUMNS,
  compileCondition,
  type DeviceDialect,
  hasStatus,
  isOneOf,
  joined,
  type Leaf,
  leavesOf,
  lookupOf,
  mayHold,
  narrowOf,
  ofProducts,
  type Rows,
  reached,
  type Sql,
  sql,
} from './device-query.ts'
import { DEVICE_COLUMNS, type DeviceColumns, deviceOf } from './rows.ts'
import type { DeviceName, Reach } from './stream.ts'
import {
  type Counts,
  type DeviceCondition,
  type DeviceLine,
  type DeviceQuery,
  type DeviceStatus,
  deviceStatuses,
  type Tally,
} from './views.ts'

/** Questions, of which each is answered with its rows, and in the end the result. */
export type Asking<T> = Generator<Sql, T, Rows>

export interface ViewDialect extends DeviceDialect {
  /** how a table is joined to one whose rows come first, in their order */
  readonly join: string
  /** devices that a search looks at in one go, with so many comparisons of each */
  readonly devicesAtOnce: (comparisons: number) => number
  /** it has something that waits, as the index on those says it */
  readonly isWaiting: string
  /** one of the device's commands is sent and not answered */
  readonly isSending: string
  /** the commands that are, with their devices */
  readonly sending: string
  /** what `withStatus` must know of an organization */
  readonly nodes: ((orgId: string) => Sql) | null
  /** Ways to the devices of an organization that have a status, each in the order of their numbers. */
  readonly withStatus: (orgId: string, status: DeviceStatus, nodes: Rows) => readonly Sql[]
  /** Places of statuses, and how many devices have each; the devices of an organization are those of `where`. */
  readonly countByStatus: (where: Sql) => Sql
}

// --- lines -------------------------------------------------------------------------------------------------------

/** Of a device `d` and its gateway `g`. */
const lineColumns = ({ status, isSending }: ViewDialect): string =>
  `${DEVICE_COLUMNS}, d.waiting, d.oldest_waiting_at, ${status}, ${isSending}`
const GATEWAY = 'left join device g on g.id = d.gateway_id'
const DEVICE_WIDTH = 16

type AfterDevice = readonly [
  waiting: number,
  oldestWaitingAt: number | null,
  status: number,
  isSending: boolean | 0 | 1,
]

function lineOf(row: readonly unknown[]): DeviceLine {
  const [waiting, oldestWaitingAt, place, isSending] = row.slice(DEVICE_WIDTH) as unknown as AfterDevice
  const device = deviceOf(row as unknown as DeviceColumns)
  return { device, status: statusAt(place), waiting, oldestWaitingAt, inFlight: Boolean(isSending) }
}

function statusAt(place: number): DeviceStatus {
  const status = deviceStatuses[place]
  assert(status, `${place} is the place of a status`)
  return status
}

export function* deviceLine(dialect: ViewDialect, deviceId: number): Asking<DeviceLine | null> {
  const from = `from device d ${GATEWAY} where d.id = cast(? as bigint)`
  const [row] = yield sql(`select ${lineColumns(dialect)} ${from}`, deviceId)
  return row === undefined ? null : lineOf(row)
}

const idsOf = (rows: Rows): number[] => rows.map(([id]) => Number(id))

/** The lines of devices in the order of these numbers; of those that are gone by now there is none. */
function* linesOf(dialect: ViewDialect, ids: readonly number[]): Asking<DeviceLine[]> {
  if (ids.length === 0) return []
  const from = `from device d ${GATEWAY} where d.id ${dialect.isNumber}`
  const rows = yield sql(`select ${lineColumns(dialect)} ${from}`, JSON.stringify(ids))
  const lines = new Map(rows.map(lineOf).map(line => [line.device.id, line]))
  return ids.flatMap(id => lines.get(id) ?? [])
}

// --- lists -------------------------------------------------------------------------------------------------------

/** The ways on which a list goes through devices; it goes through all of them at once, in the order of numbers. */
function* waysOf(dialect: ViewDialect, path: Path, query: DeviceQuery): Asking<readonly Sql[]> {
  const { orgId, productKey, status } = query
  if (path === 'status' && status !== null)
    return dialect.withStatus(orgId, status, dialect.nodes === null ? [] : yield dialect.nodes(orgId))
  const way = (index: string, where: string, ...parameters: Sql['parameters']): readonly Sql[] => [
    sql(`select d.id from ${dialect.devices(index)} where ${where}`, ...parameters),
  ]
  // Devices are of their product's organization; it is looked up once, and not for each of them.
  const isOurs = '(select count(*) from product p where p.product_key = ? and p.org_id = ?) = 1'
  if (path === 'product' && productKey !== null)
    return way('device_by_product', `d.product_key = ? and ${isOurs}`, productKey, productKey, orgId)
  if (path === 'waiting') return way('device_waiting', `d.org_id = ? and ${dialect.isWaiting}`, orgId)
  return way('device_by_organization', 'd.org_id = ?', orgId)
}

const beyond = (ways: readonly Sql[], after: number): Sql => {
  const pieces = ways.map(way => all(way, sql('d.id > cast(? as bigint)', after)))
  const { sql: text, parameters } = joined(pieces, ' union all ')
  return sql(`(${text}) as w`, ...parameters)
}

/** What is not on the path is looked up. */
function filtersOf(dialect: ViewDialect, path: Path, { reach, productKey, status, text }: DeviceQuery): readonly Sql[] {
  const isReached = reached(dialect, reach)
  const isOfProduct = productKey === null || path === 'product' ? null : ofProducts(dialect, [productKey])
  const isSo = status === null || path === 'status' ? null : hasStatus(dialect, [deviceStatuses.indexOf(status)])
  const mayBe = text === null ? null : mayHold(dialect, text, 'd.device_key', 'd.asset_id')
  return [isReached, isOfProduct, isSo, mayBe].filter(filter => filter !== null)
}

/** The last device that may be looked at; null: there are no more than may be. */
function* endOf(ways: Sql, scan: number): Asking<number | null> {
  const [last, more] = yield sql(
    `select w.id from ${ways.sql} order by w.id limit 2 offset ${scan - 1}`,
    ...ways.parameters,
  )
  return last === undefined || more === undefined ? null : Number(last[0])
}

export function* listDevices(
  dialect: ViewDialect,
  query: DeviceQuery,
  after: number,
  limit: number,
  scan: number,
): Asking<{ readonly lines: DeviceLine[]; readonly next: number | null }> {
  const { orgId, productKey, text } = query
  if (![orgId, productKey ?? ''].every(isKept)) return { lines: [], next: null }
  const path = pathOf(query)
  const ways = yield* waysOf(dialect, path, query)
  if (ways.length === 0) return { lines: [], next: null }
  const filters = filtersOf(dialect, path, query)
  const isPlain = filters.length === 0 && text === null && limit < scan
  // Where everything on the path is wanted, the page itself is all that is looked at.
  const end = isPlain ? null : yield* endOf(beyond(ways, after), scan)
  const where = all(...filters, sql('w.id <= ?', end ?? DEVICE_ID_MAX))
  // A text that says nothing to the database is looked for in many rows at a time.
  const isVague = text !== null && mayHold(dialect, text) === null
  const page = isVague ? Math.max(limit + 1, VIEW_TEXT_ROWS) : limit + 1
  const ids: number[] = []
  for (let from = after; ; ) {
    const rows = yield* pageOf(dialect, beyond(ways, from), where, page)
    for (const [id, deviceKey, assetId, nameJson] of rows as unknown as readonly TextColumns[])
      if (text === null || textMatches({ deviceKey, assetId, nameJson }, text)) ids.push(id)
    if (ids.length > limit || rows.length < page) break
    from = Number(rows.at(-1)?.[0])
  }
  const first = ids.slice(0, limit)
  const next = ids.length > limit ? (first.at(-1) ?? after) : end
  return { lines: yield* linesOf(dialect, first), next }
}

/** What a text is looked for in, of a device. */
type TextColumns = readonly [id: number, deviceKey: string, assetId: string, nameJson: string]

function* pageOf(dialect: ViewDialect, ways: Sql, where: Sql, limit: number): Asking<Rows> {
  const joins = `${ways.sql} ${dialect.join} device d on d.id = w.id`
  return yield sql(
    `select d.id, d.device_key, d.asset_id, d.name_json from ${joins} where ${where.sql} order by w.id limit ${limit}`,
    ...ways.parameters,
    ...where.parameters,
  )
}

export function* topDevices(
  dialect: ViewDialect,
  { orgId, reach, productKey }: Pick<DeviceQuery, 'orgId' | 'reach' | 'productKey'>,
  by: 'waiting' | 'oldest',
  limit: number,
): Asking<DeviceLine[]> {
  if (!isKept(orgId)) return []
  const isOfProduct = ofProducts(dialect, productKey === null ? null : [productKey])
  const where = all(sql(`d.org_id = ? and ${dialect.isWaiting}`, orgId), isOfProduct, reached(dialect, reach))
  const order = by === 'waiting' ? 'd.waiting desc, d.id desc' : 'd.oldest_waiting_at, d.id'
  const first = `from ${dialect.devices('device_waiting')} where ${where.sql} order by ${order} limit ${limit}`
  return yield* linesOf(dialect, idsOf(yield sql(`select d.id ${first}`, ...where.parameters)))
}

export function* waitingDevices(
  dialect: ViewDialect,
  orgId: string,
  productKeys: readonly string[] | null,
  after: number,
  limit: number,
): Asking<number[]> {
  if (!isKept(orgId)) return []
  const beyond = sql(`d.org_id = ? and ${dialect.isWaiting} and d.id > cast(? as bigint)`, orgId, after)
  const where = all(beyond, ofProducts(dialect, productKeys))
  const from = dialect.devices('device_waiting')
  const rows = yield sql(
    `select d.id from ${from} where ${where.sql} order by d.id limit ${limit}`,
    ...where.parameters,
  )
  return idsOf(rows)
}

// --- searches ----------------------------------------------------------------------------------------------------

/** Whether a search goes through all devices of the organization, some at a time, rather than asks for all at once or for a few by their keys. */
export function goesThroughAll(condition: DeviceCondition | null): boolean {
  const { beyondRow, fields } = comparisonsOf(condition === null ? [] : leavesOf(condition))
  return narrowOf(condition) === null && (beyondRow > 0 || fields > VIEW_SEARCH_FIELDS)
}

function comparisonsOf(leaves: readonly Leaf[]): { readonly beyondRow: number; readonly fields: number } {
  const fields = leaves.filter(({ op }) => op === 'in').length
  return { beyondRow: leaves.length - fields, fields }
}

/**
 * Where a condition is on texts that are decided here, or on what a device reported, or of many parts, all devices of the organization are gone through,
 * some at a time: whoever answers can do other work in between.
 */
export function* searchDevices(
  dialect: ViewDialect,
  orgId: string,
  reach: Reach,
  condition: DeviceCondition | null,
  offset: number,
  limit: number,
): Asking<{ readonly lines: DeviceLine[]; readonly total: number }> {
  if (!isKept(orgId)) return { lines: [], total: 0 }
  const leaves = condition === null ? [] : leavesOf(condition)
  const few = fewOf(dialect, orgId, condition)
  const organization: Among = {
    from: dialect.devices('device_by_organization'),
    where: sql('d.org_id = ?', orgId),
  }
  const asked = { dialect, orgId, reach, condition, leaves }
  if (few === null && !goesThroughAll(condition)) {
    const where = yield* whereOf(asked, organization)
    const [[total]] = whole(
      yield sql(`select count(*) from ${organization.from} where ${where.sql}`, ...where.parameters),
    )
    const page = `where ${where.sql} order by d.id desc limit ${limit} offset ${offset}`
    const ids = idsOf(yield sql(`select d.id from ${organization.from} ${page}`, ...where.parameters))
    return { lines: yield* linesOf(dialect, ids), total: Number(total) }
  }
  const { beyondRow, fields } = comparisonsOf(leaves)
  const ids: number[] = []
  const atOnce = dialect.devicesAtOnce(beyondRow + Math.ceil(fields / VIEW_SEARCH_FIELDS))
  for (let below: number | null = DEVICE_ID_MAX + 1; below !== null; ) {
    const part: Among & { readonly next: number | null } =
      few === null ? yield* partBelow(organization, below, atOnce) : { ...few, next: null }
    const where = yield* whereOf(asked, part)
    ids.push(
      ...idsOf(yield sql(`select d.id from ${part.from} where ${where.sql} order by d.id desc`, ...where.parameters)),
    )
    below = part.next
  }
  return { lines: yield* linesOf(dialect, ids.slice(offset, offset + limit)), total: ids.length }
}

/** The condition of a search among some devices, once it is known what decides it. */
function* whereOf(
  {
    dialect,
    orgId,
    reach,
    condition,
    leaves,
  }: {
    readonly dialect: ViewDialect
    readonly orgId: string
    readonly reach: Reach
    readonly condition: DeviceCondition | null
    readonly leaves: readonly Leaf[]
  },
  among: Among,
): Asking<Sql> {
  const found = new Map<Leaf, readonly (string | number)[]>()
  for (const leaf of leaves) {
    const lookup = lookupOf(dialect, orgId, among, leaf)
    if (lookup !== null) found.set(leaf, lookup.decide(yield lookup.ask))
  }
  const isWanted = condition === null ? null : compileCondition(dialect, condition, found)
  return all(among.where, reached(dialect, reach), isWanted)
}

/** So many devices with the largest numbers below one, and below which the next part is. */
function* partBelow(
  { from, where }: Among,
  below: number,
  atOnce: number,
): Asking<Among & { readonly next: number | null }> {
  const isBelow = all(where, sql('d.id < cast(? as bigint)', below))
  const end = `order by d.id desc limit 1 offset ${atOnce - 1}`
  const [last] = yield sql(`select d.id from ${from} where ${isBelow.sql} ${end}`, ...isBelow.parameters)
  const next = last === undefined ? null : Number(last[0])
  return { from, where: all(isBelow, sql('d.id >= ?', next ?? 0)), next }
}

/** A few devices, if the search names them; they are found by their own keys. */
function fewOf(dialect: ViewDialect, orgId: string, condition: DeviceCondition | null): Among | null {
  const narrow = narrowOf(condition)
  if (narrow === null) return null
  const isOurs = sql(`${dialect.looked('d.org_id')} = ?`, orgId)
  const isNamed = isOneOf(dialect, COLUMNS[narrow.field], narrow.values)
  if (narrow.field === 'assetId') return { from: 'device d', where: all(isOurs, isNamed) }
  const products = sql('d.product_key in (select p.product_key from product p where p.org_id = ?)', orgId)
  return { from: 'device d', where: all(isOurs, products, isNamed) }
}

// --- counts ------------------------------------------------------------------------------------------------------

export function* counts(dialect: ViewDialect, orgId: string, productKeys: readonly string[] | null): Asking<Counts> {
  const of = all(sql('d.org_id = ?', isKept(orgId) ? orgId : ''), ofProducts(dialect, productKeys))
  const one = (select: string, from: string, isSo: string): Sql =>
    sql(`select ${select} from ${from} where ${of.sql} and ${isSo}`, ...of.parameters)
  const byPlace = new Map((yield dialect.countByStatus(of)).map(([place, n]) => [statusAt(Number(place)), Number(n)]))
  const sum = 'cast(coalesce(sum(d.waiting), 0) as bigint), min(d.oldest_waiting_at)'
  const [[waiting, oldest]] = whole(yield one(sum, dialect.devices('device_waiting'), dialect.isWaiting))
  const [[inFlight]] = whole(yield one('count(*)', dialect.sending, 'c.state = 4'))
  return {
    devices: [...byPlace.values()].reduce((total, n) => total + n, 0),
    online: byPlace.get('online') ?? 0,
    disabled: byPlace.get('disabled') ?? 0,
    inactive: byPlace.get('inactive') ?? 0,
    waiting: Number(waiting),
    inFlight: Number(inFlight),
    oldestWaitingAt: oldest === null ? null : Number(oldest),
  }
}

/** What a question about all rows together answers. */
function whole(rows: Rows): readonly [readonly unknown[]] {
  const [row] = rows
  assert(row, 'a sum has a row')
  return [row]
}

export function* tallies(
  dialect: ViewDialect,
  orgId: string,
  productKeys: readonly string[] | null,
  from: number,
  to: number,
  stepMs: number,
): Asking<Tally[]> {
  if (!isKept(orgId)) return []
  const [start, step] = ['cast(? as bigint)', 'cast(? as bigint)']
  const at = `${start} + (t.minute_at - ${start}) / ${step} * ${step}`
  const isOurs = sql('t.org_id = ? and t.minute_at >= ? and t.minute_at < ?', orgId, from, to)
  const isOfProduct = productKeys === null ? null : isOneOf(dialect, 't.product_key', productKeys)
  const where = all(isOurs, isOfProduct)
  const rows = yield sql(
    `select ${at}, t.from_state, t.to_state, cast(sum(t.n) as bigint) from tally t where ${where.sql} group by 1, 2, 3 order by 1, 2, 3`,
    ...[from, from, stepMs, stepMs],
    ...where.parameters,
  )
  return rows.map(row => {
    const [at, from, to, n] = row as unknown as readonly [number, State | 0, State, number]
    return { at, from: from === 0 ? null : from, to, n }
  })
}

// --- names -------------------------------------------------------------------------------------------------------

const NAME_COLUMNS = 'org_id, product_key, device_key, asset_id, timezone'

export function* deviceName(deviceId: number): Asking<DeviceName | null> {
  const [row] = yield sql(
    `select id, ${NAME_COLUMNS}, cast(null as bigint) from device where id = cast(? as bigint)
      union all select device_id, ${NAME_COLUMNS}, deleted_at from deleted_device where device_id = cast(? as bigint)`,
    deviceId,
    deviceId,
  )
  if (row === undefined) return null
  const [id, orgId, productKey, deviceKey, assetId, timezone, deletedAt] = row as unknown as NameColumns
  return { deviceId: id, orgId, productKey, deviceKey, assetId, timezone, deletedAt }
}

type NameColumns = readonly [number, string, string, string, string, string, number | null]
