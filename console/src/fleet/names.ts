// Names of products, services and measurepoints, which are beside what these pages are about: without them the identifiers stand alone.

import { type Downlink, DownlinkError, type StringI18n, type ThingModel } from '@downlink/client'

/** What the server does not tell this reader, or has not any more, is no name; what it could not tell for now is asked for again. */
export const told = <T>(asked: Promise<T | null>): Promise<T | null> =>
  asked.catch((error: unknown) => {
    if (error instanceof DownlinkError && error.answer !== null && !error.retriable) return null
    throw error
  })

/** The model of a device, or of the product of which it is enough to know one device; null: there is none. */
export async function modelOf(
  client: Downlink,
  assetId: string | null,
  productKey: string | null,
  signal: AbortSignal,
): Promise<ThingModel | null> {
  if (assetId !== null) return client.thingModel(assetId, { signal })
  if (productKey === null) return null
  const { devices } = await client.devicePage({ productKey, limit: 1, signal })
  const [device] = devices
  return device === undefined ? null : client.thingModel(device.assetId, { signal })
}

export async function productNameOf(
  client: Downlink,
  productKey: string,
  signal: AbortSignal,
): Promise<StringI18n | null> {
  const call = { method: 'GET', query: { productKey }, changes: false, signal } as const
  const { data } = await client.call('products', 'get', call)
  return (data as { readonly productName: StringI18n }).productName
}
