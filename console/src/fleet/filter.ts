// Which commands a cancellation is for, in three shapes: as a form has it, as the server takes it, as the page's address has it. And the filter of the real
// one that a dry run leads to. Pure. Not here: the form (filter-form.tsx), how it reads (filter-words.tsx).

import type { Cancellation, CancellationFilter } from '@downlink/client'
import { readInstant, wallText } from '../wall-time.ts'

/** As the server tells it: conditions, or `all`. */
export type Said = { readonly all?: true } & Exclude<CancellationFilter, { readonly all: true }>

export type Unit = 's' | 'min' | 'h'
const SECONDS: Readonly<Record<Unit, number>> = { s: 1, min: 60, h: 3_600 }
export const units = ['min', 'h', 's'] as const satisfies readonly Unit[]
/** s: nothing waits for longer, by the server */
const OLDEST_S = 172_800

/** A filter as it is being written. */
export interface Draft {
  readonly isAll: boolean
  readonly productKeys: readonly string[]
  readonly assetIds: readonly string[]
  readonly what: 'any' | 'service' | 'measurepoint'
  /** of the service or the measurepoint */
  readonly identifier: string
  readonly age: 'any' | 'older' | 'before'
  readonly older: string
  readonly unit: Unit
  /** in the reader's time, as an input of type datetime-local has it */
  readonly before: string
  readonly applications: readonly string[]
  readonly withSent: boolean
}

export type Fault = 'noCondition' | 'identifier' | 'older' | 'before'

/** What a draft says, or what is wrong with it. */
export function filterOf(draft: Draft): { readonly filter: CancellationFilter } | { readonly fault: Fault } {
  if (draft.isAll) return { filter: { all: true } }
  const { productKeys, assetIds, what, applications, withSent } = draft
  const identifier = draft.identifier.trim()
  if (what !== 'any' && identifier === '') return { fault: 'identifier' }
  const age = ageOf(draft)
  if ('fault' in age) return age
  const conditions = {
    ...(productKeys.length > 0 && { productKeys }),
    ...(assetIds.length > 0 && { assetIds }),
    ...(what === 'service' && { serviceId: identifier }),
    ...(what === 'measurepoint' && { measurepointId: identifier }),
    ...age,
    ...(applications.length > 0 && { applications }),
  }
  if (Object.keys(conditions).length === 0) return { fault: 'noCondition' }
  return { filter: { ...conditions, ...(withSent && { states: [1, 4] as const }) } }
}

function ageOf({
  age,
  older,
  unit,
  before,
}: Draft): { readonly olderThanS?: number; readonly createdBefore?: number } | { readonly fault: Fault } {
  if (age === 'any') return {}
  if (age === 'before') {
    const read = readInstant(before, undefined)
    return 'at' in read && read.at >= 0 ? { createdBefore: read.at } : { fault: 'before' }
  }
  const olderThanS = Math.round(Number(older) * SECONDS[unit])
  const isGood = older.trim() !== '' && olderThanS >= 0 && olderThanS <= OLDEST_S
  return isGood ? { olderThanS } : { fault: 'older' }
}

/** The draft that says this. */
export function draftOf(filter: Said): Draft {
  const { olderThanS, createdBefore, serviceId, measurepointId } = filter
  const unit = olderThanS === undefined ? 'min' : (largest.find(unit => olderThanS % SECONDS[unit] === 0) ?? 's')
  return {
    isAll: filter.all === true,
    productKeys: filter.productKeys ?? [],
    assetIds: filter.assetIds ?? [],
    what: serviceId !== undefined ? 'service' : measurepointId !== undefined ? 'measurepoint' : 'any',
    identifier: serviceId ?? measurepointId ?? '',
    age: olderThanS !== undefined ? 'older' : createdBefore !== undefined ? 'before' : 'any',
    older: olderThanS === undefined ? '' : String(olderThanS / SECONDS[unit]),
    unit,
    before: createdBefore === undefined ? '' : wallText(createdBefore, undefined).replace(' ', 'T'),
    applications: filter.applications ?? [],
    withSent: filter.states?.includes(4) ?? false,
  }
}
const largest: readonly Unit[] = ['h', 'min', 's']

/** As a query: `productKey=…&productKey=…&serviceId=…`. */
export function queryOf(filter: Said): string {
  const query = new URLSearchParams()
  if (filter.all === true) query.set('all', 'true')
  for (const productKey of filter.productKeys ?? []) query.append('productKey', productKey)
  for (const assetId of filter.assetIds ?? []) query.append('assetId', assetId)
  for (const name of ['serviceId', 'measurepointId', 'olderThanS', 'createdBefore'] as const) {
    const value = filter[name]
    if (value !== undefined) query.set(name, String(value))
  }
  for (const appKey of filter.applications ?? []) query.append('application', appKey)
  if (filter.states?.includes(4)) query.set('withSent', 'true')
  return query.toString()
}

/** What a query says; what of it is no filter is left out. */
export function saidIn(query: URLSearchParams): Said {
  const texts = (name: string) => query.getAll(name).filter(text => text !== '')
  const numberOf = (name: string) => (/^[0-9]{1,15}$/.test(query.get(name) ?? '') ? Number(query.get(name)) : undefined)
  const [olderThanS, createdBefore] = [numberOf('olderThanS'), numberOf('createdBefore')]
  const [serviceId, measurepointId] = [query.get('serviceId'), query.get('measurepointId')]
  return {
    ...(query.get('all') === 'true' && { all: true as const }),
    productKeys: texts('productKey'),
    assetIds: texts('assetId'),
    ...(serviceId !== null && { serviceId }),
    ...(measurepointId !== null && { measurepointId }),
    ...(olderThanS !== undefined && { olderThanS }),
    ...(createdBefore !== undefined && { createdBefore }),
    applications: texts('application'),
    ...(query.get('withSent') === 'true' && { states: [1, 4] as const }),
  }
}

/**
 * The filter of the real one after a dry run: the same conditions, and the instant before which the dry run took commands. So it is for what the dry run
 * has shown and still waits, and for nothing that was created since; that instant says as much as an age or `all` did.
 */
export function exactly({ filter, createdBefore }: Pick<Cancellation, 'filter' | 'createdBefore'>): CancellationFilter {
  const { all: _all, olderThanS: _olderThanS, ...conditions }: Said = filter
  return { ...conditions, createdBefore }
}
