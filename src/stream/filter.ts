// Which changes somebody is told of, and that as JSON text, as it is kept with a webhook. Pure. Not here: how a store reads by it.

import type { State } from '../core/command.ts'
import { isObject } from '../core/json.ts'
import type { Change, ChangeFilter, Reach } from '../store/stream.ts'

/** What a caller asks for: of one product, one device, into some states; null: whatever. */
export type Wanted = Pick<ChangeFilter, 'productKey' | 'assetId' | 'to'>

/** As the stores read: of states only transitions into them, without a state everything, also what happened to devices themselves. */
export function isWanted(filter: ChangeFilter, { device, event }: Change): boolean {
  const { orgId, reach, productKey, assetId, to } = filter
  if (device.orgId !== orgId || !isReached(reach, device)) return false
  if (productKey !== null && device.productKey !== productKey) return false
  if (assetId !== null && device.assetId !== assetId) return false
  return to === null || (event.to !== null && event.from !== event.to && to.includes(event.to))
}

const isReached = (reach: Reach, { productKey, assetId }: Change['device']): boolean =>
  reach === 'all' || reach.productKeys.includes(productKey) || reach.assetIds.includes(assetId)

export const filterJson = ({ reach, productKey, assetId, to }: Omit<ChangeFilter, 'orgId'>): string =>
  JSON.stringify({ reach, productKey, assetId, to })

/** A stored filter that makes no sense: somebody else wrote to the store. Never taken for another one. */
export class BrokenFilter extends Error {
  override readonly name = 'BrokenFilter'
}

/** Throws BrokenFilter for anything that filterJson does not write. */
export function readFilter(orgId: string, text: string): ChangeFilter {
  const said: unknown = JSON.parse(text)
  const fields = isObject(said) ? said : {}
  const { reach, productKey, assetId, to } = fields
  if (!isReach(reach) || !isTextOrNull(productKey) || !isTextOrNull(assetId) || !isStatesOrNull(to))
    throw new BrokenFilter('the stored filter of a webhook makes no sense; change it, or make the webhook anew')
  return { orgId, reach, productKey, assetId, to }
}

const isTextOrNull = (value: unknown): value is string | null => value === null || typeof value === 'string'
const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every(element => typeof element === 'string')
const isReach = (value: unknown): value is Reach =>
  value === 'all' || (isObject(value) && isTexts(value.productKeys) && isTexts(value.assetIds))
const isStatesOrNull = (value: unknown): value is readonly State[] | null =>
  value === null ||
  (Array.isArray(value) && value.every(element => Number.isInteger(element) && element >= 1 && element <= 7))
