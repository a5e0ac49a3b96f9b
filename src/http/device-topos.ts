// Gateways and the devices behind them, as applications see and change them. Not here: what gateways do themselves (uplink/topology.ts), logins of
// sub-devices (mqtt/).

import Type, { type Static } from 'typebox'
import { errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import { REQUEST_ITEMS_MAX, TOPOLOGY_MAX_DEVICES } from '../core/limits.ts'
import { allows, type Need } from '../fleet/grants.ts'
import { type Device, FleetConflict } from '../store/store.ts'
import { remembered } from '../uplink/items.ts'
import type { Action, Call, OrganizationAction, Resource } from './action.ts'
import { bodyReader } from './body.ts'
import { search, searchBody } from './device-reads.ts'
import { device, deviceIdentifier } from './fleet-schemas.ts'
import { denied, deviceStructWithTimes, fleetFull, fleetRead } from './fleet-structs.ts'
import { none, pagination } from './schemas.ts'
import { failure, ok, type Result } from './wire.ts'

type Identifier = Static<typeof deviceIdentifier>

const byAsset = (assetId: string) => ({ assetId })
const gatewayBody = Type.Object({ gateway: deviceIdentifier, ...searchBody })
const topology = Type.Object({
  gateway: deviceIdentifier,
  subDevices: Type.Array(deviceIdentifier, { minItems: 1, maxItems: REQUEST_ITEMS_MAX }),
})

const getGateway: OrganizationAction = {
  about: 'organization',
  operationId: 'getGateway',
  summary: 'The gateway that a device is behind',
  description: '`data` is the gateway; `null` where the device is behind none. The caller needs a grant for both.',
  methods: ['POST'],
  needs: fleetRead,
  parameters: none,
  body: Type.Object({ subDevice: deviceIdentifier }),
  data: Type.Union([device, Type.Null()]),
  codes: ['notFound'],
  strict: false,
  run: gatewayBehind,
  examples: [
    { summary: 'of a device that is behind one', body: { subDevice: byAsset('sB8uVn3K') } },
    { summary: 'of one that is not', body: { subDevice: byAsset('oxWwM9i5') }, data: null },
  ],
}

/** The vendor's documents have both names. */
const searchSubDevices = (operationId: string): OrganizationAction => ({
  about: 'organization',
  operationId,
  summary: 'Search the devices behind a gateway',
  description: 'As the search of devices, of those behind `gateway` that the caller has a grant for.',
  methods: ['POST'],
  needs: fleetRead,
  parameters: none,
  body: gatewayBody,
  data: Type.Array(device),
  beside: Type.Object({ pagination }),
  codes: ['notGateway'],
  strict: false,
  run: searchBehind,
  examples: [
    { summary: 'all of them', body: { gateway: byAsset('gW1rTe5Y') } },
    { summary: 'of a device that is no gateway', body: { gateway: byAsset('oxWwM9i5') }, code: 11738 },
  ],
})

const addSubDevice: OrganizationAction = {
  about: 'organization',
  operationId: 'addSubDevice',
  summary: 'Put devices behind a gateway',
  description:
    'All of them or none; one that is behind this gateway already stays there. A device that is connected by itself stays so until its gateway logs it in, or its connection ends.',
  methods: ['POST'],
  needs: fleetFull,
  parameters: none,
  body: topology,
  data: Type.Null(),
  codes: ['notGateway', 'notFound', 'topology', 'tooManyDevices'],
  strict: false,
  run: add,
  examples: [
    { summary: 'a pump', body: { gateway: byAsset('gW1rTe5Y'), subDevices: [byAsset('k3TzVb7Q')] } },
    { summary: 'a gateway', body: { gateway: byAsset('gW1rTe5Y'), subDevices: [byAsset('gW1rTe5Y')] }, code: 11795 },
  ],
}

const removeSubDevice: OrganizationAction = {
  about: 'organization',
  operationId: 'removeSubDevice',
  summary: 'Take devices out from behind a gateway',
  description:
    'All of them or none. Whoever of them is logged in through the gateway is logged out, and is offline until it connects by itself, or through another gateway.',
  methods: ['POST'],
  needs: fleetFull,
  parameters: none,
  body: topology,
  data: Type.Null(),
  codes: ['notGateway', 'notFound', 'topology'],
  strict: false,
  run: remove,
  examples: [
    { summary: 'one that is behind it', body: { gateway: byAsset('gW1rTe5Y'), subDevices: [byAsset('sB8uVn3K')] } },
    {
      summary: 'one that is not',
      body: { gateway: byAsset('gW1rTe5Y'), subDevices: [byAsset('oxWwM9i5')] },
      code: 11795,
    },
  ],
}

export const deviceTopos: Resource = {
  path: '/connect-service/v2.1/device-topos',
  label: 'topos ',
  tag: 'Gateways',
  actions: new Map<string, Action>([
    ['getGateway', getGateway],
    ['searchSubDevice', searchSubDevices('searchSubDevice')],
    ['searchSubDevices', searchSubDevices('searchSubDevices')],
    ['addSubDevice', addSubDevice],
    ['removeSubDevice', removeSubDevice],
  ]),
}

const readSubDevice = bodyReader(Type.Object({ subDevice: deviceIdentifier }))
const readGateway = bodyReader(Type.Object({ gateway: deviceIdentifier }))
const readTopology = bodyReader(topology)

async function gatewayBehind(call: Call): Promise<Result> {
  const body = readSubDevice(call.body)
  if (!body.ok) return failure(body)
  const device = await find(call, 'subDevice', body.value.subDevice, fleetRead)
  if ('ok' in device) return failure(device)
  if (device.gatewayAssetId === null) return ok(null)
  const gateway = await find(call, 'gateway', { assetId: device.gatewayAssetId }, fleetRead)
  if ('ok' in gateway) return failure(gateway)
  const line = await call.store.deviceLine(gateway.id)
  return ok(line === null ? null : await deviceStructWithTimes(call, line))
}

async function searchBehind(call: Call): Promise<Result> {
  const body = readGateway(call.body)
  if (!body.ok) return failure(body)
  const gateway = await findGateway(call, body.value.gateway, fleetRead)
  if ('ok' in gateway) return failure(gateway)
  const behind = (await call.fleet.subDevices(gateway)).filter(each => allows(call.application, fleetRead, each))
  return search(call, { productKeys: [], assetIds: behind.map(({ assetId }) => assetId) })
}

async function add(call: Call): Promise<Result> {
  const body = readTopology(call.body)
  if (!body.ok) return failure(body)
  const gateway = await findGateway(call, body.value.gateway, fleetFull)
  if ('ok' in gateway) return failure(gateway)
  const named = await findAll(call, body.value.subDevices)
  if ('ok' in named) return failure(named)
  const productOf = remembered(productKey => call.fleet.product(productKey))
  for (const device of named) {
    const problem = whyNot(device, gateway, await productOf(device.productKey))
    if (problem !== null) return failure(misplaced(device, problem))
  }
  const joining = named.filter(({ gatewayAssetId }) => gatewayAssetId === null)
  const present = await call.fleet.countSubDevices(gateway)
  if (present + joining.length > TOPOLOGY_MAX_DEVICES) {
    const message = `a topology may have ${TOPOLOGY_MAX_DEVICES} devices, it has ${present}`
    return failure(refuse(errors.tooManyDevices, message))
  }
  return (await move(call, joining, gateway.assetId)) ? ok(null) : failure(movedMeanwhile)
}

/** Why a device cannot come behind the gateway; null: it can. */
function whyNot(
  device: Device,
  gateway: Device,
  product: Awaited<ReturnType<Call['fleet']['product']>>,
): string | null {
  if (product?.productType === 'Gateway') return 'is a gateway itself'
  if (device.gatewayAssetId !== null && device.gatewayAssetId !== gateway.assetId) return 'is behind another gateway'
  // Its secret alone must not let anybody speak for such a device.
  return product?.biDirectionalAuth === true ? 'needs a client certificate, which a sub-device cannot show' : null
}

async function remove(call: Call): Promise<Result> {
  const body = readTopology(call.body)
  if (!body.ok) return failure(body)
  const gateway = await findGateway(call, body.value.gateway, fleetFull)
  if ('ok' in gateway) return failure(gateway)
  const named = await findAll(call, body.value.subDevices)
  if ('ok' in named) return failure(named)
  const other = named.find(({ gatewayAssetId }) => gatewayAssetId !== gateway.assetId)
  if (other !== undefined) return failure(misplaced(other, 'is not behind this gateway'))
  if (!(await move(call, named, null))) return failure(movedMeanwhile)
  await logOut(call, named)
  return ok(null)
}

/** Ends the sessions that they have through the gateway: on record at once, and then wherever their connection is. */
async function logOut({ store, engine }: Call, devices: readonly Device[]): Promise<void> {
  const sessions = await store.sessions(devices.map(({ id }) => id))
  await Promise.all(
    sessions.map(async ({ deviceId, sessionNo, sessionNode }) => {
      if (sessionNode === null) return
      await engine.apply(deviceId, { type: 'disconnected', session: sessionNo, reason: 'taken from its gateway' })
      // A look at the queue finds that the link is not the session on record any more; other nodes look for themselves.
      await engine.apply(deviceId, { type: 'tick' })
    }),
  )
}

const misplaced = ({ productKey, deviceKey }: Device, problem: string): Refusal =>
  refuse(errors.topology, `${productKey}/${deviceKey} ${problem}`)

const movedMeanwhile = refuse(errors.topology, 'one of the devices was moved or deleted in the same moment')

async function move({ fleet }: Call, devices: readonly Device[], to: string | null): Promise<boolean> {
  try {
    await fleet.moveDevices(devices.map(({ assetId, gatewayAssetId: from }) => ({ assetId, from, to })))
    return true
  } catch (error) {
    if (error instanceof FleetConflict) return false
    throw error
  }
}

async function findGateway(call: Call, identifier: Identifier, need: Need): Promise<Device | Refusal> {
  const device = await find(call, 'gateway', identifier, need)
  if ('ok' in device) return device.code === errors.notFound.code ? notGateway : device
  return (await call.fleet.product(device.productKey))?.productType === 'Gateway' ? device : notGateway
}

const notGateway = refuse(errors.notGateway, 'gateway is not a device of a product of gateways')

/** Each of them once, in the order in which they are named. */
async function findAll(call: Call, identifiers: readonly Identifier[]): Promise<Device[] | Refusal> {
  const found = new Map<string, Device>()
  for (const [index, identifier] of identifiers.entries()) {
    const device = await find(call, `subDevices[${index}]`, identifier, fleetFull)
    if ('ok' in device) return device
    found.set(device.assetId, device)
  }
  return [...found.values()]
}

/** The device that a part of a body names. Another organization's is not there. */
async function find(call: Call, field: string, identifier: Identifier, need: Need): Promise<Device | Refusal> {
  const assetId = identifier.assetId ?? ''
  const productKey = identifier.productKey ?? ''
  const deviceKey = identifier.deviceKey ?? ''
  if (assetId === '' && (productKey === '' || deviceKey === ''))
    return invalid(field, 'give assetId, or productKey and deviceKey')
  const device =
    assetId === '' ? await call.fleet.deviceByKeys(productKey, deviceKey) : await call.fleet.deviceByAsset(assetId)
  if (device?.orgId !== call.orgId) return refuse(errors.notFound, `${field}: device not found`)
  const isMeant = ['', device.productKey].includes(productKey) && ['', device.deviceKey].includes(deviceKey)
  if (!isMeant) return invalid(field, 'assetId names another device than productKey and deviceKey')
  return allows(call.application, need, device) ? device : denied(`${field} ${device.assetId}`, need)
}
