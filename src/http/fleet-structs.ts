// From the store's rows to the structs of the fleet on the wire: Product, Device, ThingModel. What only some callers may see is left out here. Not here:
// which of them are asked for, schemas (fleet-schemas.ts).

import { errors, type Refusal, refuse } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import { PAGE_MAX_BYTES } from '../core/limits.ts'
import { parseStringI18n } from '../core/model.ts'
import { allows, type Need, reachOf } from '../fleet/grants.ts'
import type { StoredProduct } from '../fleet/registrar.ts'
import { readModelJson } from '../fleet/rows.ts'
import type { Device, ModelRow } from '../store/store.ts'
import type { Reach } from '../store/stream.ts'
import type { DeviceLine } from '../store/views.ts'
import { remembered } from '../uplink/items.ts'
import type { Call } from './action.ts'

export const fleetRead = { resource: 'Device', action: 'Read' } as const
export const fleetFull = { resource: 'Device', action: 'FullAccess' } as const
export const modelRead = { resource: 'Model', action: 'Read' } as const
export const modelFull = { resource: 'Model', action: 'FullAccess' } as const

/** What of the organization the caller may see or change; nothing where it has no such grant. */
export const reach = ({ application }: Pick<Call, 'application'>, need: Need): Reach =>
  reachOf(application, need) ?? { productKeys: [], assetIds: [] }

export const coversProduct = (of: Reach, productKey: string): boolean =>
  of === 'all' || of.productKeys.includes(productKey)

export const denied = (what: string, { resource, action }: Need): Refusal =>
  refuse(errors.denied, `Denied resource:  ${what} needs ${resource} ${action}`)

export function productStruct({ fleet, application }: Call, stored: StoredProduct): Record<string, unknown> {
  const { product, notes } = stored
  const { orgId, productKey, productName, productType, dataFormat, modelId } = product
  const { dynamicActivateEnabled, biDirectionalAuth } = product
  const isFull = coversProduct(reach({ application }, fleetFull), productKey)
  return {
    ...{ orgId, productKey, productName },
    ...(isFull ? { productSecret: fleet.registrar.productSecret(stored) } : {}),
    productDesc: notes.productDesc,
    ...{ productType, dataFormat },
    productTags: notes.productTags,
    ...{ modelId, dynamicActivateEnabled },
    dynamicActiveEnabled: dynamicActivateEnabled,
    biDirectionalAuth,
    createBy: notes.createBy,
    createTime: notes.createTime,
    updateBy: notes.updateBy,
    updateTime: notes.updateTime,
    ...{ defaultValidDay: null, maxValidDay: null },
  }
}

/** Looks at the store that are made side by side for one page: others have its connections too. */
const LOOKS_AT_ONCE = 8

async function inGroups<T, R>(items: readonly T[], look: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let from = 0; from < items.length; from += LOOKS_AT_ONCE)
    results.push(...(await Promise.all(items.slice(from, from + LOOKS_AT_ONCE).map(look))))
  return results
}

/** Bytes of what the devices have as attributes and tags, all together. */
export async function labelBytes({ store }: Call, devices: readonly Device[]): Promise<number> {
  const bytes = await inGroups(devices, async ({ id }) => {
    const attributes = await store.reportedBytes('attributes', id, null)
    return attributes + (await store.reportedBytes('tags', id, null))
  })
  return bytes.reduce((sum, each) => sum + each, 0)
}

/**
 * Devices as the vendor shows them, in the order given; without `labels` their attributes and tags are null. When something was last reported is left open:
 * it costs a look at all that was.
 */
export function deviceStructs(
  call: Call,
  lines: readonly DeviceLine[],
  labels = true,
): Promise<Record<string, unknown>[]> {
  const productOf = remembered(productKey => call.fleet.product(productKey))
  return inGroups(lines, line => deviceStruct(call, line, productOf, labels))
}

async function deviceStruct(
  { fleet, store, application }: Call,
  { device, status }: DeviceLine,
  productOf: (productKey: string) => ReturnType<Call['fleet']['product']>,
  labels: boolean,
): Promise<Record<string, unknown>> {
  const { orgId, assetId, productKey, deviceKey, timezone } = device
  const [product, attributes, tags] = await Promise.all([
    productOf(productKey),
    labels ? store.attributes(device.id) : null,
    labels ? store.tags(device.id) : null,
  ])
  const modelId = product?.modelId ?? null
  return {
    ...{ orgId, assetId, modelId },
    modelIdPath: modelId === null ? null : `/${modelId}`,
    productKey,
    productName: product?.productName ?? { defaultValue: productKey, i18nValue: {} },
    productType: product?.productType ?? 'Device',
    dataFormat: product?.dataFormat ?? 'Json',
    deviceKey,
    deviceName: JSON.parse(device.nameJson),
    ...(allows(application, fleetFull, device) ? { deviceSecret: fleet.deviceSecret(device) } : {}),
    deviceDesc: device.description ?? null,
    timezone,
    deviceAttributes: attributes && Object.fromEntries([...attributes].map(([id, json]) => [id, JSON.parse(json)])),
    deviceTags: tags && Object.fromEntries(tags),
    createTime: device.createdAt,
    status,
    activeTime: device.activeAt ?? 0,
    lastOnlineTime: device.lastOnlineAt ?? 0,
    lastOfflineTime: device.lastOfflineAt ?? 0,
    ...{ measurepointLastUpdate: null, eventLastUpdate: null, attributeLastUpdate: null, featureLastUpdate: null },
  }
}

/** One device, and when it last reported. What of it is more than is read at once is null. */
export async function deviceStructWithTimes(call: Call, line: DeviceLine): Promise<Record<string, unknown>> {
  const { store } = call
  const { id } = line.device
  const newest = async (type: 'measurepoints' | 'event'): Promise<number | null> => {
    if ((await store.reportedBytes(type, id, null)) > PAGE_MAX_BYTES) return null
    const reported = await (type === 'event' ? store.latestEvents(id) : store.latestValues(id, null))
    return latest(reported.map(({ at }) => at))
  }
  const [[struct], measurepointLastUpdate, eventLastUpdate] = await Promise.all([
    deviceStructs(call, [line], (await labelBytes(call, [line.device])) <= PAGE_MAX_BYTES),
    newest('measurepoints'),
    newest('event'),
  ])
  const both = [measurepointLastUpdate, eventLastUpdate].filter(at => at !== null)
  return { ...struct, measurepointLastUpdate, eventLastUpdate, featureLastUpdate: latest(both) }
}

const latest = (instants: readonly number[]): number | null =>
  instants.length === 0 ? null : instants.reduce((newest, at) => Math.max(newest, at))

/** A thing model as the vendor shows it: what was left out when it was made is there, and everything has a name. */
export function modelStruct({ modelId, orgId, json }: ModelRow): Record<string, unknown> {
  const read = readModelJson(`${orgId}/${modelId}`, json)
  const said: Record<string, unknown> = isObject(read) ? read : {}
  return {
    modelId,
    modelIdPath: said.modelIdPath ?? `/${modelId}`,
    orgId,
    name: nameOr(said.name, modelId),
    desc: textOr(said.desc),
    tags: isObject(said.tags) ? said.tags : {},
    attributes: elements(said.attributes),
    measurepoints: elements(said.measurepoints),
    services: elements(said.services, ['inputData', 'outputData']),
    events: elements(said.events, ['outputData']),
  }
}

/** A name, or what stands for it. */
export const nameOr = (name: unknown, otherwise: string) =>
  parseStringI18n(name) ?? { defaultValue: otherwise, i18nValue: {} }

const textOr = (text: unknown): string => (typeof text === 'string' ? text : '')

/** Elements by identifier; `lists`: what of each is a list of datapoints. */
function elements(of: unknown, lists: readonly string[] = []): Record<string, unknown> {
  const entries = Object.entries(isObject(of) ? of : {})
  return Object.fromEntries(entries.map(([identifier, said]) => [identifier, element(identifier, said, lists)]))
}

function element(identifier: string, said: unknown, lists: readonly string[]): Record<string, unknown> {
  const fields = isObject(said) ? said : {}
  const filled = lists.map(list => [list, datapoints(fields[list])])
  const name = nameOr(fields.name, identifier)
  const { desc, tags } = fields
  const notes = { desc: textOr(desc), tags: isObject(tags) ? tags : {} }
  return { ...fields, identifier, name, ...notes, ...Object.fromEntries(filled) }
}

const datapoints = (list: unknown): unknown[] =>
  Array.isArray(list) ? list.map(point => (isObject(point) ? element(String(point.identifier), point, []) : point)) : []
