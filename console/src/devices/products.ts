// Names of products, for who may read devices as a resource; others see keys. Not here: where one is chosen (filters.tsx).

import type { Downlink, StringI18n } from '@downlink/client'
import { may, mayAll } from '../grants.ts'
import { useLook } from '../live.ts'
import { useSession } from '../signed-in.tsx'

/** products whose names are had: one page of the server's, and more than anybody wants to choose from in a list */
const NAMED_MAX = 200

export interface Products {
  /** by productKey */
  readonly names: ReadonlyMap<string, StringI18n>
  /** the organization has no others; null: that is being asked */
  readonly isAll: boolean | null
}

const unknown: Products = { names: new Map(), isAll: false }
const asking: Products = { names: new Map(), isAll: null }

/** Where they cannot be had, none is known. */
export function useProducts(): Products {
  const { grants } = useSession()
  const isGranted = may(grants, 'Device', 'Read')
  const { data, error } = useLook(
    (client, signal) => (isGranted ? named(client, signal) : Promise.resolve(unknown)),
    [isGranted],
  )
  if (data === null) return isGranted && error === null ? asking : unknown
  return { ...data, isAll: data.isAll && mayAll(grants, 'Device', 'Read') }
}

async function named(client: Downlink, signal: AbortSignal): Promise<Products> {
  const body = { expression: '', pagination: { pageNo: 1, pageSize: NAMED_MAX } }
  const { data } = await client.call('products', 'search', { body, changes: false, signal })
  const found = data as readonly { readonly productKey: string; readonly productName: StringI18n }[]
  const names = new Map(found.map(({ productKey, productName }) => [productKey, productName]))
  return { names, isAll: names.size < NAMED_MAX }
}
