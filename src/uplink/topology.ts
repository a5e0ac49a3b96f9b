// The topology of a gateway as the gateway itself changes it: which devices are behind it. Not here: their logins (mqtt/gateway.ts), how devices come to
// exist (registration.ts).

import { isKey } from '../core/command.ts'
import { isObject, quote } from '../core/json.ts'
import { LOGIN_PAIR_EVERY_MS, REQUEST_ITEMS_MAX, TOPOLOGY_MAX_DEVICES } from '../core/limits.ts'
import type { Product } from '../fleet/fleet.ts'
import { type Device, FleetConflict } from '../store/store.ts'
import { type DeviceCall, done, isOutcome, type Outcome, refused } from './call.ts'
import { type CodeEntry, codes } from './codes.ts'
import { remembered } from './items.ts'
import { gatewaySource } from './login-limit.ts'
import { digestOf, isSign } from './sign.ts'
import type { DeviceKeys } from './topics.ts'

/** `thing/topo/get`: the keys of all devices behind the gateway. */
export async function getTopology({ fleet, device }: DeviceCall): Promise<Outcome> {
  const devices = await fleet.subDevices(device)
  return done(JSON.stringify(devices.map(({ productKey, deviceKey }) => ({ productKey, deviceKey }))))
}

/**
 * `thing/topo/add`: a list of `{"productKey", "deviceKey", "clientId", "timestamp", "signMethod", "sign"}`, each signed with the secret of its device.
 * All of them or none. A device that is behind this gateway already stays there; one behind another gateway must leave that first.
 */
export async function addToTopology(call: DeviceCall): Promise<Outcome> {
  const { fleet, device: gateway, asker, turns } = call
  const items = readDevices(call.params, codes.topologyNotAdded)
  if (isOutcome(items)) return items
  const productOf = remembered(productKey => fleet.product(productKey))
  const joining = new Map<string, Device>()
  for (const item of items) {
    while (turns?.isOver()) await turns.ended
    const device = await fleet.deviceByKeys(item.productKey, item.deviceKey)
    const problem = await whyNot(call, item, device, productOf)
    if (problem !== null || device === null)
      return refused(codes.topologyNotAdded, `${item.productKey}/${item.deviceKey} ${problem}`)
    if (device.gatewayAssetId === null) joining.set(device.assetId, device)
  }
  if (joining.size === 0) return done()
  const present = await fleet.countSubDevices(gateway)
  if (present + joining.size > TOPOLOGY_MAX_DEVICES)
    return refused(codes.topologyNotAdded, `a topology may have ${TOPOLOGY_MAX_DEVICES} devices, it has ${present}`)
  const devices = [...joining.values()]
  if (!(await move(call, devices, gateway.assetId)))
    return refused(codes.topologyNotAdded, 'one of the devices was moved or deleted in the same moment')
  asker.joined(devices.map(device => ({ ...device, gatewayAssetId: gateway.assetId })))
  return done()
}

/** `thing/topo/delete`: a list of `{"productKey", "deviceKey"}`. Done if one of them was behind this gateway; others are left as they are. */
export async function removeFromTopology(call: DeviceCall): Promise<Outcome> {
  const { fleet, device: gateway, asker, turns } = call
  const items = readDevices(call.params, codes.topologyNotRemoved)
  if (isOutcome(items)) return items
  const leaving = new Map<string, Device>()
  for (const { productKey, deviceKey } of items) {
    while (turns?.isOver()) await turns.ended
    const device = await fleet.deviceByKeys(productKey, deviceKey)
    if (device?.gatewayAssetId === gateway.assetId) leaving.set(device.assetId, device)
  }
  const devices = [...leaving.values()]
  if (devices.length === 0) return refused(codes.topologyNotRemoved, 'none of them is in the topology of this gateway')
  if (!(await move(call, devices, null)))
    return refused(codes.topologyNotRemoved, 'one of the devices was moved or deleted in the same moment')
  asker.left(devices.map(device => ({ ...device, gatewayAssetId: null })))
  return done()
}

interface Item extends DeviceKeys {
  readonly fields: Record<string, unknown>
}

function readDevices(params: unknown, code: CodeEntry): readonly Item[] | Outcome {
  if (!Array.isArray(params) || params.length > REQUEST_ITEMS_MAX)
    return refused(codes.badFormat, `params must be a list of at most ${REQUEST_ITEMS_MAX}, got ${quote(params)}`)
  const items: Item[] = []
  for (const [index, fields] of params.entries()) {
    if (!isObject(fields)) return refused(codes.badFormat, `params[${index}] must be an object, got ${quote(fields)}`)
    const { productKey, deviceKey } = fields
    if (typeof productKey !== 'string' || !isKey(productKey) || typeof deviceKey !== 'string' || !isKey(deviceKey))
      return refused(code, `params[${index}] does not name a device by productKey and deviceKey`)
    items.push({ productKey, deviceKey, fields })
  }
  return items
}

/** Why a device cannot come behind the gateway; null: it can. One of another organization is not found: a gateway must not learn who else there is. */
async function whyNot(
  call: DeviceCall,
  item: Item,
  device: Device | null,
  productOf: (productKey: string) => Promise<Product | null>,
): Promise<string | null> {
  const { device: gateway } = call
  if (device === null || device.orgId !== gateway.orgId) return 'does not exist'
  const problem = signProblem(call, item, device)
  if (problem !== null) return problem
  // What follows is told only to who has the device's secret.
  if (device.gatewayAssetId !== null && device.gatewayAssetId !== gateway.assetId) return 'is behind another gateway'
  const product = await productOf(device.productKey)
  if (product?.productType === 'Gateway') return 'is a gateway itself'
  // The secret alone must not let anybody speak for such a device.
  return product?.biDirectionalAuth === true ? 'needs a client certificate, which a sub-device cannot show' : null
}

/** A wrong sign counts as a refused login of this device through this gateway, which would guess the secret otherwise. */
function signProblem(
  { fleet, clock, guess, device: gateway }: DeviceCall,
  { productKey, deviceKey, fields }: Item,
  device: Device,
): string | null {
  const { clientId, timestamp, sign, signMethod = fields.signmethod } = fields
  const digest = typeof signMethod === 'string' ? digestOf(signMethod.trim()) : null
  if (digest === null) return `has no known signMethod: ${quote(signMethod)}; use sha256`
  const source = gatewaySource(gateway)
  const now = clock.now()
  if (guess?.allows(source, device, now) === false)
    return `was not looked at, because too many signs were wrong: try again in ${LOGIN_PAIR_EVERY_MS / 1_000} s`
  // Some SDKs send the timestamp as a number; what is signed is its text.
  const signed = { clientId: textOf(clientId), deviceKey, productKey, timestamp: textOf(timestamp) }
  if (typeof sign === 'string' && isSign(signed, fleet.deviceSecret(device), digest, sign.trim())) {
    guess?.admitted(source, device)
    return null
  }
  guess?.refused(source, device, now)
  return 'is not signed with its secret'
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''

/** Whether they were moved: somebody else may have moved one of them since it was looked up, and then none is. */
async function move(
  { fleet, log, device: gateway }: DeviceCall,
  devices: readonly Device[],
  to: string | null,
): Promise<boolean> {
  try {
    await fleet.moveDevices(devices.map(({ assetId, gatewayAssetId: from }) => ({ assetId, from, to })))
    log.info({ gateway: gateway.assetId, devices: devices.length, joined: to !== null }, 'topology changed')
    return true
  } catch (error) {
    if (error instanceof FleetConflict) return false
    throw error
  }
}
