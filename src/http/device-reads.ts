// Devices, as the vendor shows them: one, those that a search finds, and how many there are. Not here: what is done to them (manage.ts, device-writes.ts),
// the struct itself (fleet-structs.ts), our own lists (views).

import Type from 'typebox'
import { errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import { FLEET_PAGE_DEFAULT, FLEET_PAGE_MAX, PAGE_MAX_BYTES } from '../core/limits.ts'
import { noProduct } from '../fleet/registrar.ts'
import type { Reach } from '../store/stream.ts'
import { type DeviceCondition, type DeviceLine, type DeviceStatus, SearchesFull } from '../store/views.ts'
import { type Call, type DeviceAction, type DeviceCall, type OrganizationAction, objectBody } from './action.ts'
import { parseDeviceExpression } from './device-expression.ts'
import { device } from './fleet-schemas.ts'
import {
  coversProduct,
  denied,
  deviceStructs,
  deviceStructWithTimes,
  fleetRead,
  labelBytes,
  reach,
} from './fleet-structs.ts'
import { readPagination } from './pagination.ts'
import { parseProjection } from './projection.ts'
import { none, pageRequest, pagination, productKey, projected, projection } from './schemas.ts'
import { failure, ok, type Result, refused } from './wire.ts'

export const getDevice: DeviceAction = {
  about: 'device',
  operationId: 'getDevice',
  summary: 'Get a device',
  description:
    'With what it last reported of itself: attributes, tags, and when it last sent a measurepoint or an event.',
  methods: ['GET', 'POST'],
  needs: fleetRead,
  parameters: none,
  data: device,
  codes: ['notFound'],
  strict: false,
  run: get,
  examples: [
    { summary: 'by its asset', query: { assetId: 'oxWwM9i5' } },
    { summary: 'by its keys', query: { productKey: 'bXuuAiku', deviceKey: 'mqtt_02' } },
  ],
}

/** What searches of devices take. */
export const searchBody = {
  expression: Type.Optional(Type.String()),
  pagination: Type.Optional(pageRequest(FLEET_PAGE_DEFAULT, FLEET_PAGE_MAX)),
  projection: Type.Optional(projection),
}

export const searchDevices: OrganizationAction = {
  about: 'organization',
  operationId: 'searchDevices',
  summary: 'Search devices',
  description: [
    'Newest first; `totalSize` is exact. Devices that the caller has no grant for are not there.',
    'Expressions know `modelId`, `productKey`, `deviceKey`, `assetId`, `productType`, `status` (`online`, `offline`, `inactive`, `disabled` or `disable`),',
    '`deviceAttributes.ID` and `deviceTags.KEY` with `=`, `!=` and `in`; `exists(…)` and `not exists(…)` of the last two; `deviceName` with `like`, with a locale',
    'or without; `and`, `or`, `not`, parentheses.',
  ].join('\n'),
  methods: ['POST'],
  needs: fleetRead,
  parameters: none,
  body: Type.Object(searchBody),
  data: Type.Array(projected(device)),
  beside: Type.Object({ pagination }),
  strict: false,
  run: call => search(call, reach(call, fleetRead)),
  examples: [
    {
      summary: 'those of a product that are away',
      body: {
        expression: "productKey = 'bXuuAiku' and status in ('offline', 'inactive')",
        pagination: { pageNo: 1, pageSize: 5 },
      },
    },
    {
      summary: 'only keys and status',
      body: { expression: "deviceName.en_US like 'pump'", projection: ['deviceKey', 'status'] },
    },
    { summary: 'an expression that is wrong', body: { expression: "status = 'asleep'" }, code: 99400 },
  ],
}

const count = Type.Integer({ minimum: 0 })

export const getStats: OrganizationAction = {
  about: 'organization',
  operationId: 'getDeviceStats',
  summary: 'Count devices by status',
  description: 'Of the organization, or of one product. Devices that the caller has no grant for are not counted.',
  methods: ['GET', 'POST'],
  needs: fleetRead,
  parameters: Type.Object({ productKey: Type.Optional(productKey) }),
  data: Type.Object({
    totalCount: count,
    onlineCount: count,
    offlineCount: count,
    inactiveCount: count,
    disabledCount: count,
  }),
  codes: ['productNotFound'],
  strict: false,
  run: stats,
  examples: [{ summary: 'of the organization' }, { summary: 'of a product', query: { productKey: 'bXuuAiku' } }],
}

async function get(call: DeviceCall): Promise<Result> {
  const line = await call.store.deviceLine(call.device.id)
  return line === null
    ? failure(refuse(errors.notFound, 'device not found'))
    : ok(await deviceStructWithTimes(call, line))
}

/** The page that the body asks for, of the devices within `of`. */
export async function search(call: Call, of: Reach): Promise<Result> {
  const body = objectBody(call.body)
  if ('ok' in body) return failure(body)
  const read = parseDeviceExpression(body.fields.get('expression'))
  if (!read.ok) return failure(read)
  const wanted = parseProjection(body.fields.get('projection'))
  if (!wanted.ok) return failure(wanted)
  const page = readPagination(body.fields.get('pagination'), FLEET_PAGE_DEFAULT, FLEET_PAGE_MAX)
  if ('ok' in page) return failure(page)
  const { pageNo, pageSize, offset } = page
  const found = await pageOf(call, of, read.condition, offset, pageSize)
  if ('ok' in found) return refused(found)
  const { lines, total } = found
  const bytes = await labelBytes(
    call,
    lines.map(line => line.device),
  )
  if (bytes > PAGE_MAX_BYTES) return failure(tooMuch(bytes))
  const structs = await deviceStructs(call, lines)
  return ok(structs.map(wanted.project), { pagination: { sortedBy: null, pageNo, pageSize, totalSize: total } })
}

/** One that the store has no room for may be repeated. */
async function pageOf(
  { store, orgId }: Call,
  of: Reach,
  condition: DeviceCondition | null,
  offset: number,
  pageSize: number,
): Promise<{ readonly lines: DeviceLine[]; readonly total: number } | Refusal> {
  try {
    return await store.searchDevices(orgId, of, condition, offset, pageSize)
  } catch (error) {
    if (!(error instanceof SearchesFull)) throw error
    return refuse(errors.unavailable, `Service unavailable: ${error.message}`)
  }
}

const tooMuch = (bytes: number): Refusal =>
  invalid('pagination.pageSize', `the attributes and tags would be ${(bytes / 1_000_000).toFixed(1)} MB; ask for fewer`)

async function stats(call: Call): Promise<Result> {
  const named = call.query.get('productKey') ?? null
  const visible = reach(call, fleetRead)
  if (named !== null) {
    if ((await call.fleet.registrar.product(call.orgId, named)) === null) return failure(noProduct(named))
    const isSeen = coversProduct(visible, named) || (visible !== 'all' && visible.assetIds.length > 0)
    if (!isSeen) return failure(denied(`product ${named}`, fleetRead))
  }
  const counts = visible === 'all' ? await countAll(call, named) : await countSeen(call, visible, named)
  const { online, offline, inactive, disabled } = counts
  return ok({
    totalCount: online + offline + inactive + disabled,
    onlineCount: online,
    offlineCount: offline,
    inactiveCount: inactive,
    disabledCount: disabled,
  })
}

async function countAll({ store, orgId }: Call, productKey: string | null): Promise<Record<DeviceStatus, number>> {
  const counts = await store.counts(orgId, productKey === null ? null : [productKey])
  const { devices, online, inactive, disabled } = counts
  return { online, inactive, disabled, offline: devices - online - inactive - disabled }
}

/** One after the other, so each as of its own moment: a device that changes meanwhile may be counted twice, or not at all. */
async function countSeen(call: Call, visible: Reach, product: string | null): Promise<Record<DeviceStatus, number>> {
  const countOf = async (status: DeviceStatus): Promise<number> => {
    const isStatus: DeviceCondition = { op: 'in', field: 'status', values: [status] }
    const ofProduct: DeviceCondition[] = product === null ? [] : [{ op: 'in', field: 'productKey', values: [product] }]
    const condition: DeviceCondition = { op: 'and', terms: [isStatus, ...ofProduct] }
    return (await call.store.searchDevices(call.orgId, visible, condition, 0, 1)).total
  }
  const online = await countOf('online')
  const offline = await countOf('offline')
  const inactive = await countOf('inactive')
  return { online, offline, inactive, disabled: await countOf('disabled') }
}
