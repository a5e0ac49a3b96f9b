// Devices that a gateway registers: `thing/device/register`. They exist afterwards, with secrets that the answer tells once; they are in nobody's topology
// yet. Not here: how secrets are kept (fleet/secrets.ts), how devices come behind a gateway (topology.ts).

import { isKey } from '../core/command.ts'
import { isObject, quote } from '../core/json.ts'
import {
  ATTRIBUTES_MAX_PER_DEVICE,
  DEVICE_NAME_MAX_CHARS,
  NEW_NAMES_ATTEMPTS,
  REGISTER_MAX_DEVICES,
  REGISTER_UP_TO_DEVICES,
  REQUEST_MAX_VALUES,
} from '../core/limits.ts'
import { type Model, parseStringI18n, type StringI18n } from '../core/model.ts'
import { isTimezone } from '../core/time.ts'
import type { NewDevice } from '../fleet/fleet.ts'
import { newAssetId, newDeviceKey, newSecret } from '../fleet/names.ts'
import { ClearSecret } from '../fleet/secrets.ts'
import { type DeviceRow, FleetConflict } from '../store/store.ts'
import { checkAttributes } from './attributes.ts'
import {
  type DeviceCall,
  done,
  isMissing,
  isOutcome,
  type Outcome,
  refused,
  type Saving,
  save,
  tooManyValues,
} from './call.ts'
import { codes } from './codes.ts'

/** A device as it is asked for. */
interface Draft {
  readonly productKey: string
  /** null: one is drawn */
  readonly deviceKey: string | null
  readonly deviceName: StringI18n
  readonly timezone: string
  /** id and JSON text */
  readonly attributes: readonly (readonly [string, string])[]
}

/**
 * A list of `{"productKey", "deviceName", "deviceKey"?, "timezone"?, "deviceAttributes"?, "deviceDesc"?}`; all of them or none. The timezone is the
 * gateway's where none is given; the description is not kept. Not for products of gateways, or one gateway's secret would be that of any number. The
 * answer lists what came of them in the same order.
 */
export async function registerDevices(call: DeviceCall): Promise<Outcome> {
  const drafts = await readDrafts(call)
  if (isOutcome(drafts)) return drafts
  const devices = await add(call, drafts)
  if (isOutcome(devices)) return devices
  call.log.info({ gateway: call.device.assetId, devices: devices.length }, 'devices registered')
  const data = devices.map(({ assetId, productKey, deviceKey, deviceSecret }) => ({
    ...{ assetId, productKey, deviceKey },
    deviceSecret: deviceSecret.reveal(),
  }))
  const problem = await saveAttributes(call, drafts, devices)
  // The devices are there, and nobody could tell their secrets a second time: this is told beside them.
  return { ...done(JSON.stringify(data)), detail: problem }
}

async function readDrafts(call: DeviceCall): Promise<readonly Draft[] | Outcome> {
  const { params } = call
  if (!Array.isArray(params)) return refused(codes.badFormat, `params must be a list, got ${quote(params)}`)
  if (params.length > REGISTER_MAX_DEVICES)
    return refused(codes.tooManyDevices, `a request may have ${REGISTER_MAX_DEVICES}, got ${params.length}`)
  const models = new Map<string, Model | null>()
  const named = new Set<string>()
  const drafts: Draft[] = []
  let values = 0
  for (const [index, item] of params.entries()) {
    while (call.turns?.isOver()) await call.turns.ended
    const draft = isObject(item) ? await readDraft(call, item, models) : refused(codes.badFormat, 'must be an object')
    if (isOutcome(draft)) return refused(draft.of, `params[${index}]: ${draft.detail}`)
    const name = `${draft.productKey}/${draft.deviceKey}`
    if (draft.deviceKey !== null && named.has(name)) return refused(codes.deviceKeyExists, `${name} is there twice`)
    named.add(name)
    drafts.push(draft)
    values += draft.attributes.length
  }
  // Looked at before there are devices: afterwards they would be there without their attributes.
  return values <= REQUEST_MAX_VALUES ? drafts : refused(codes.misfit, tooManyValues(values))
}

/** `models`: of the products of this request so far, which are the organization's. */
async function readDraft(
  { fleet, device: gateway, registerUpTo = REGISTER_UP_TO_DEVICES }: DeviceCall,
  item: Record<string, unknown>,
  models: Map<string, Model | null>,
): Promise<Draft | Outcome> {
  const { productKey } = item
  const deviceKey = isMissing(item.deviceKey) ? null : item.deviceKey
  const timezone = isMissing(item.timezone) ? gateway.timezone : item.timezone
  if (typeof productKey !== 'string' || !isKey(productKey))
    return refused(codes.badFormat, `productKey must be 1 to 64 letters, digits or _ . -, got ${quote(productKey)}`)
  if (deviceKey !== null && (typeof deviceKey !== 'string' || !isKey(deviceKey)))
    return refused(codes.badFormat, `deviceKey must be 1 to 64 letters, digits or _ . -, got ${quote(deviceKey)}`)
  // The certificate of a product's channel is named after the product: nobody's device may come to that name.
  if (deviceKey !== null && (await fleet.product(deviceKey)) !== null)
    return refused(codes.badFormat, `deviceKey must not be a productKey, got ${quote(deviceKey)}`)
  if (typeof timezone !== 'string' || !isTimezone(timezone))
    return refused(codes.badFormat, `timezone must be such as "+08:00" or Europe/Berlin, got ${quote(timezone)}`)
  const deviceName = readName(item.deviceName)
  if (deviceName === null)
    return refused(
      codes.badFormat,
      `deviceName must be {defaultValue, i18nValue} or a text, of ${DEVICE_NAME_MAX_CHARS} characters in all at most`,
    )
  if (!models.has(productKey)) {
    const product = await fleet.product(productKey)
    if (product?.orgId !== gateway.orgId) return refused(codes.noProduct, productKey)
    if (product.productType === 'Gateway') return refused(codes.notRegistrable, `${productKey} is of gateways`)
    const has = await fleet.countDevices(productKey)
    if (has >= registerUpTo) return refused(codes.tooManyDevices, `the product ${productKey} has ${has} already`)
    models.set(productKey, await fleet.model(productKey))
  }
  const attributes = checkAttributes(item.deviceAttributes ?? {}, models.get(productKey) ?? null, codes.badFormat)
  return isOutcome(attributes) ? attributes : { productKey, deviceKey, deviceName, timezone, attributes }
}

function readName(given: unknown): StringI18n | null {
  const name = parseStringI18n(given)
  if (name === null || name.defaultValue.trim() === '') return null
  return JSON.stringify(name).length <= DEVICE_NAME_MAX_CHARS ? name : null
}

/** Adds them under names that are drawn anew where one was taken. */
async function add(call: DeviceCall, drafts: readonly Draft[]): Promise<readonly NewDevice[] | Outcome> {
  for (let attempt = 1; attempt <= NEW_NAMES_ATTEMPTS; attempt += 1) {
    const devices = drafts.map(draft => newDevice(call, draft))
    const rows: DeviceRow[] = []
    for (const device of devices) {
      while (call.turns?.isOver()) await call.turns.ended
      rows.push(call.fleet.newRow(device))
    }
    try {
      await call.fleet.addDevices(rows, call.clock.now())
      return devices
    } catch (error) {
      if (!(error instanceof FleetConflict)) throw error
    }
    for (const { productKey, deviceKey } of drafts)
      if (deviceKey !== null && (await call.fleet.deviceByKeys(productKey, deviceKey)) !== null)
        return refused(codes.deviceKeyExists, `${productKey}/${deviceKey}`)
  }
  return refused(codes.noDeviceKey)
}

function newDevice({ device: gateway, randomBytes }: DeviceCall, draft: Draft): NewDevice {
  const { productKey, deviceName, timezone } = draft
  return {
    assetId: newAssetId(randomBytes),
    orgId: gateway.orgId,
    productKey,
    deviceKey: draft.deviceKey ?? newDeviceKey(randomBytes),
    deviceSecret: new ClearSecret(newSecret(randomBytes)),
    deviceName,
    timezone,
  }
}

/** Empty, or what went wrong: the devices exist whether or not their attributes can be saved. */
async function saveAttributes(
  call: DeviceCall,
  drafts: readonly Draft[],
  devices: readonly NewDevice[],
): Promise<string> {
  const notSaved = 'registered, but the attributes could not be saved: send them again with thing/attribute/update'
  try {
    const savings: Saving[] = []
    for (const [index, { attributes: set }] of drafts.entries()) {
      while (call.turns?.isOver()) await call.turns.ended
      const added = devices[index]
      if (set.length === 0 || added === undefined) continue
      const device = await call.fleet.deviceByKeys(added.productKey, added.deviceKey)
      // Deleted again in the same moment: then it needs none.
      if (device === null) continue
      const change = { type: 'attributes', deviceId: device.id, set, remove: [] } as const
      savings.push({
        change,
        tooMany: `${device.deviceKey} would have more than ${ATTRIBUTES_MAX_PER_DEVICE} attributes`,
      })
    }
    const { of } = await save(call, savings)
    return of === codes.ok ? '' : notSaved
  } catch (error) {
    call.log.error({ err: error }, 'attributes of registered devices were not saved')
    return notSaved
  }
}
