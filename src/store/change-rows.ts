// How both databases ask for changes: the columns of one, the tables that it is put together from, and what narrows them down. Not here: the pages of a
// scan, which each of them reads in its own way (sqlite-changes.ts, postgres-changes.ts).

import type { Kind } from '../core/command.ts'
import { isKept } from './checks.ts'
import { type EventColumns, eventOf } from './rows.ts'
import type { Change, ChangeFilter, ChangePage } from './stream.ts'

/** Of an event `e`; ids of commands as text, because JavaScript has no such integers. */
export const CHANGE_COLUMNS = `e.position, e.device_id, e.device_seq, cast(e.command_id as text) as command_id, e.from_state, e.to_state, e.at, e.by, e.reason,
  e.detail, coalesce(d.org_id, x.org_id) as org_id, coalesce(d.product_key, x.product_key) as product_key,
  coalesce(d.device_key, x.device_key) as device_key, coalesce(d.asset_id, x.asset_id) as asset_id, coalesce(d.timezone, x.timezone) as timezone,
  x.deleted_at, c.kind, c.identifier, c.created_at, c.created_by, c.sent_at, c.settled_at, c.code`

/** Where they come from: a device is there, or who it was is kept. `join` is how the dialect says that the row of a table with a key is looked up. */
export const changeJoins = (join: (table: string, as: string, on: string) => string): string =>
  [
    join('device', 'd', 'id = e.device_id'),
    join('deleted_device', 'x', 'device_id = e.device_id'),
    join('command', 'c', 'id = e.command_id'),
  ].join(' ')

/** How a dialect writes the nth parameter of a filter, and that a column is in the list that it is. */
export interface FilterDialect {
  readonly value: (n: number, type: 'text' | 'text[]' | 'smallint[]') => string
  readonly isIn: (n: number, type: 'text[]' | 'smallint[]') => string
}

/** The condition that a change is wanted, over the parameters that `filterValues` gives, in their order. */
export function changeFilter({ value, isIn }: FilterDialect): string {
  const is = (n: number, column: string): string =>
    `(${value(n, 'text')} is null or coalesce(d.${column}, x.${column}) = ${value(n, 'text')})`
  const covers = (n: number, column: string): string =>
    `(${value(n, 'text[]')} is not null and coalesce(d.${column}, x.${column}) ${isIn(n, 'text[]')})`
  const isTransition = 'e.command_id is not null and e.from_state is distinct from e.to_state'
  return `${is(1, 'org_id')} and ${is(2, 'product_key')} and ${is(3, 'asset_id')}
    and ((${value(4, 'text[]')} is null and ${value(5, 'text[]')} is null) or ${covers(4, 'product_key')} or ${covers(5, 'asset_id')})
    and (${value(6, 'smallint[]')} is null or (${isTransition} and e.to_state ${isIn(6, 'smallint[]')}))`
}

/** The parameters of the condition; null: it names what no row can be. Lists as arrays. */
export function filterValues(
  filter: ChangeFilter | null,
): (string | readonly string[] | readonly number[] | null)[] | null {
  if (filter === null) return [null, null, null, null, null, null]
  const { orgId, reach, productKey, assetId, to } = filter
  if ([orgId, productKey, assetId].some(text => text !== null && !isKept(text))) return null
  const covered = reach === 'all' ? [null, null] : [reach.productKeys.filter(isKept), reach.assetIds.filter(isKept)]
  return [orgId, productKey, assetId, ...covered, to]
}

export interface ChangeColumns extends EventColumns {
  readonly position: number
  readonly device_id: number
  readonly org_id: string
  readonly product_key: string
  readonly device_key: string
  readonly asset_id: string
  readonly timezone: string
  readonly deleted_at: number | null
  /** null, as all of its command, where the event is of the device itself */
  readonly kind: Kind | null
  readonly identifier: string
  readonly created_at: number
  readonly created_by: string
  readonly sent_at: number | null
  readonly settled_at: number | null
  readonly code: number | null
}

const changeOf = (row: ChangeColumns): Change => ({
  position: row.position,
  device: {
    deviceId: row.device_id,
    orgId: row.org_id,
    productKey: row.product_key,
    deviceKey: row.device_key,
    assetId: row.asset_id,
    timezone: row.timezone,
    deletedAt: row.deleted_at,
  },
  event: eventOf(row),
  command:
    row.kind === null
      ? null
      : {
          kind: row.kind,
          identifier: row.identifier,
          createdAt: row.created_at,
          createdBy: row.created_by,
          sentAt: row.sent_at,
          settledAt: row.settled_at,
          code: row.code,
        },
})

/** What has been looked at: up to which position (null: nothing is there), and how many. */
export interface Looked {
  readonly last: number | null
  readonly looked: number
}

/** The page of the first `limit` rows wanted among those looked at after a position. */
export function pageOf(
  rows: readonly ChangeColumns[],
  { last, looked }: Looked,
  { after, limit, scan }: { readonly after: number; readonly limit: number; readonly scan: number },
): ChangePage {
  const isFull = rows.length === limit
  const upTo = (isFull ? rows.at(-1)?.position : last) ?? after
  return { changes: rows.map(changeOf), upTo, isFull: isFull || looked === scan }
}
