// Grants: which there are, what each call needs, and which devices they cover. Pure. Not here: where they are kept (fleet.ts), how a file says them (file.ts).

import type { DeviceRow, Grant, Scope } from '../store/store.ts'
import type { Reach } from '../store/stream.ts'

/** What a grant is for: assets are commands and what devices report, devices are the fleet itself. */
export const permissions = {
  Asset: ['Control', 'Read'],
  Device: ['FullAccess', 'Read'],
  Model: ['FullAccess', 'Read'],
  Organization: ['FullAccess', 'Read'],
} as const satisfies Record<string, readonly [all: string, read: string]>

/** What a call needs: Control and FullAccess imply Read. */
export type Need = {
  readonly [R in keyof typeof permissions]: { readonly resource: R; readonly action: (typeof permissions)[R][number] }
}[keyof typeof permissions]

/** Who has grants: an application. */
interface Granted {
  readonly orgId: string
  readonly grants: readonly Grant[]
}

function* covering({ grants }: Granted, { resource, action }: Need): Iterable<Scope> {
  const [all] = permissions[resource]
  for (const grant of grants)
    if (grant.resource === resource && (grant.actions.includes(action) || grant.actions.includes(all)))
      yield grant.scope
}

/** Whether the device is of the application's organization, and one of its grants has the action and covers the device by its scope. */
export function allows(
  application: Granted,
  need: Need,
  device: Pick<DeviceRow, 'orgId' | 'productKey' | 'assetId'>,
): boolean {
  if (application.orgId !== device.orgId) return false
  for (const scope of covering(application, need)) {
    if (scope === 'all') return true
    if (
      'productKeys' in scope ? scope.productKeys.includes(device.productKey) : scope.assetIds.includes(device.assetId)
    )
      return true
  }
  return false
}

/** The devices of its organization that the application's grants for this cover; null: it has no such grant at all. */
export function reachOf(application: Granted, need: Need): Reach | null {
  const scopes = [...covering(application, need)]
  if (scopes.length === 0) return null
  if (scopes.includes('all')) return 'all'
  const productKeys = scopes.flatMap(scope =>
    typeof scope === 'object' && 'productKeys' in scope ? scope.productKeys : [],
  )
  const assetIds = scopes.flatMap(scope => (typeof scope === 'object' && 'assetIds' in scope ? scope.assetIds : []))
  return { productKeys: [...new Set(productKeys)], assetIds: [...new Set(assetIds)] }
}
