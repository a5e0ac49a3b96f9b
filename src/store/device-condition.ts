// What lists and searches of devices ask of one device, as predicates: how the memory store answers, and what the others must agree with; they take from
// here what a database would decide differently. Not here: the same as SQL (device-query.ts), the grammar that callers write (http/).

import { nameMatches } from '../core/name.ts'
import type { DeviceRow, ProductRow } from './store.ts'
import type { Reach } from './stream.ts'
import type { DeviceCondition, DeviceQuery, DeviceStatus } from './views.ts'

/** All that a condition may look at. */
export interface Candidate {
  readonly row: DeviceRow
  readonly status: DeviceStatus
  readonly product: ProductRow | null
  readonly labels: Readonly<Record<'attributes' | 'tags', ReadonlyMap<string, string>>>
}

/** isOnline: it has a session on a node that is alive. */
export function statusOf(disabled: boolean, isOnline: boolean, activeAt: number | null): DeviceStatus {
  if (disabled) return 'disabled'
  if (isOnline) return 'online'
  return activeAt === null ? 'inactive' : 'offline'
}

export const covers = (reach: Reach, { productKey, assetId }: Pick<DeviceRow, 'productKey' | 'assetId'>): boolean =>
  reach === 'all' || reach.productKeys.includes(productKey) || reach.assetIds.includes(assetId)

/** The text of a list's query: the beginning of a key or an assetId, or a part of a name, whatever the case. */
export function textMatches(
  { deviceKey, assetId, nameJson }: Pick<DeviceRow, 'deviceKey' | 'assetId' | 'nameJson'>,
  text: string,
): boolean {
  const wanted = text.toLowerCase()
  const begins = (key: string): boolean => key.toLowerCase().startsWith(wanted)
  return begins(deviceKey) || begins(assetId) || nameMatches(nameJson, null, text, false)
}

/** Whether a device is what a list asks for. `waiting`: how many created commands it has. */
export function isListed(query: DeviceQuery, { row, status }: Candidate, waiting: number): boolean {
  if (row.orgId !== query.orgId || !covers(query.reach, row)) return false
  if (query.productKey !== null && row.productKey !== query.productKey) return false
  if (query.status !== null && status !== query.status) return false
  if (query.waiting && waiting === 0) return false
  return query.text === null || textMatches(row, query.text)
}

/**
 * What a list goes through in the order of numbers; whatever else it asks for is looked up. The narrowest of what has an index: few devices have something
 * that waits, and of those that are online, disabled or the like there may be few.
 */
export type Path = 'waiting' | 'status' | 'product' | 'organization'
export function pathOf({ waiting, status, productKey }: DeviceQuery): Path {
  if (waiting) return 'waiting'
  if (status !== null) return 'status'
  return productKey === null ? 'organization' : 'product'
}

export function deviceMatches(candidate: Candidate, condition: DeviceCondition): boolean {
  switch (condition.op) {
    case 'and':
      return condition.terms.every(term => deviceMatches(candidate, term))
    case 'or':
      return condition.terms.some(term => deviceMatches(candidate, term))
    case 'not':
      return !deviceMatches(candidate, condition.term)
    case 'in': {
      const value = fieldOf(candidate, condition.field)
      return value !== null && condition.values.includes(value)
    }
    case 'name':
      return nameMatches(candidate.row.nameJson, condition.locale, condition.text, false)
    case 'label': {
      const { of, key, values } = condition
      const text = candidate.labels[of].get(key)
      if (text === undefined || values === null) return text !== undefined
      return of === 'tags' ? values.includes(text) : values.some(value => isSameJson(text, value))
    }
  }
}

type Field = (DeviceCondition & { readonly op: 'in' })['field']

function fieldOf({ row, status, product }: Candidate, field: Field): string | null {
  switch (field) {
    case 'status':
      return status
    case 'modelId':
      return product?.modelId ?? null
    case 'productType':
      return product === null ? null : productTypeOf(product.json)
    default:
      return row[field]
  }
}

/** What a product says that its devices are; null where it says nothing. */
export function productTypeOf(json: string): string | null {
  const { productType } = Object(JSON.parse(json)) as { productType?: unknown }
  return typeof productType === 'string' ? productType : null
}

/** Whether two JSON texts are the same value; members of objects have no order. Stored ones are as JSON.stringify writes them, so equal ones are of equal length. */
export const isSameJson = (stored: string, wanted: string): boolean =>
  stored === wanted ||
  (Buffer.byteLength(stored) === Buffer.byteLength(ordered(wanted)) && ordered(stored) === ordered(wanted))

/** The one text of a JSON value. */
export const ordered = (json: string): string => JSON.stringify(JSON.parse(json, sortMembers))

function sortMembers(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}
