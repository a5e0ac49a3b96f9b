// What the one who is signed in may do, by the grants that the server tells. Only so that nothing is offered that would be refused: the server decides.
// Pure. Not here: who is signed in (session.ts).

import type { Grant } from '@downlink/client'

export type Resource = 'Asset' | 'Device' | 'Model' | 'Organization'
const ALL: Readonly<Record<Resource, 'Control' | 'FullAccess'>> = {
  Asset: 'Control',
  Device: 'FullAccess',
  Model: 'FullAccess',
  Organization: 'FullAccess',
}

export interface Within {
  readonly productKey: string
  readonly assetId: string
}

/** Whether the grants have it: for this device, or where none is named, for anything at all. */
export function may(
  grants: readonly Grant[],
  resource: Resource,
  action: 'Control' | 'FullAccess' | 'Read',
  device?: Within,
): boolean {
  return grants.some(grant => {
    if (grant.resource !== resource) return false
    if (!grant.actions.includes(action) && !grant.actions.includes(ALL[resource])) return false
    return device === undefined || covers(grant.scope, device)
  })
}

/** Whether it is granted for the whole organization. */
export const mayAll = (grants: readonly Grant[], resource: Resource, action: 'Control' | 'FullAccess' | 'Read') =>
  may(
    grants.filter(({ scope }) => scope === 'all'),
    resource,
    action,
  )

function covers(scope: Grant['scope'], { productKey, assetId }: Within): boolean {
  if (scope === 'all') return true
  return 'productKeys' in scope ? scope.productKeys.includes(productKey) : scope.assetIds.includes(assetId)
}
