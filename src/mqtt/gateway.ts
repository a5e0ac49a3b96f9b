// Sub-devices that log in through their gateway: reading what it asks for them, and whether they may. Not here: their sessions (members.ts), how a
// device comes into a topology (uplink/topology.ts).

import { isKey } from '../core/command.ts'
import { isObject } from '../core/json.ts'
import { SUBDEVICES_ONLINE_MAX } from '../core/limits.ts'
import { serviceIds } from '../core/model.ts'
import type { Device } from '../store/store.ts'
import { codes } from '../uplink/codes.ts'
import { remembered } from '../uplink/items.ts'
import { digestOf, isSign } from '../uplink/sign.ts'
import type { DeviceKeys } from '../uplink/topics.ts'
import type { DeviceDirectory } from './connect.ts'
import type { Member } from './step.ts'

/** A sub-device's login as its gateway passes it on. Numbers are taken as the text that they are: the SDKs differ in what they write as which. */
export interface SubLogin extends DeviceKeys {
  readonly clientId: string
  readonly timestamp: string
  readonly signMethod: string
  readonly sign: string
  /** '' where it is missing: then the sign tells */
  readonly secureMode: string
}

/** `code` is one of the vendor's, `message` says what to do. */
export interface SubRefusal {
  readonly code: number
  readonly message: string
}

/** A sub-device that has proved itself. */
export interface SubAdmitted {
  readonly device: Device
  readonly member: Member
  /** its own secret in clear, where it proved itself with its product's: it is told with the answer */
  readonly deviceSecret: string | null
}

export const isRefused = (outcome: SubAdmitted | SubRefusal): outcome is SubRefusal => 'code' in outcome

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value.trim() : typeof value === 'number' ? String(value) : ''

/** Of `combine/login`, and of each item of `combine/login/batch` with what the items share. Null: a field is missing or no text. */
export function readSubLogin(said: unknown, shared: Record<string, unknown> = {}): SubLogin | null {
  if (!isObject(said)) return null
  const field = (name: string): string => textOf(said[name] ?? shared[name])
  const login = {
    productKey: field('productKey'),
    deviceKey: field('deviceKey'),
    clientId: field('clientId'),
    timestamp: field('timestamp'),
    signMethod: field('signMethod') || field('signmethod'),
    sign: field('sign'),
    secureMode: field('secureMode') || field('securemode'),
  }
  const isWhole = isKey(login.productKey) && isKey(login.deviceKey) && login.timestamp !== '' && login.sign !== ''
  return isWhole ? login : null
}

/**
 * Whether a sub-device may log in through this gateway. Rejects where the directory does. A device of another organization is not found, so that a
 * gateway cannot ask who else is there.
 */
export async function admitSub(
  login: SubLogin,
  gateway: Device,
  directory: DeviceDirectory,
): Promise<SubAdmitted | SubRefusal> {
  const refuse = (of: { code: number }, message: string): SubRefusal => ({ code: of.code, message })
  const { productKey, deviceKey } = login
  const device = await directory.deviceByKeys(productKey, deviceKey)
  if (device === null || device.orgId !== gateway.orgId) return refuse(codes.deviceNotFound, 'there is no such device')
  if (device.gatewayAssetId !== gateway.assetId)
    return refuse(codes.notThisGateway, 'the device is not in the topology of this gateway: add it with thing/topo/add')
  const product = await directory.product(productKey)
  if (product === null) return refuse(codes.deviceNotFound, 'there is no such product')
  // Its gateway's certificate proves the gateway; a sub-device has no TLS connection to show its own.
  if (product.biDirectionalAuth)
    return refuse(codes.needsCertificate, 'the product requires a client certificate, which a sub-device cannot show')
  const digest = digestOf(login.signMethod)
  if (digest === null) return refuse(codes.badSign, 'this signMethod is not known: use sha256')
  const { clientId, timestamp } = login
  const fits = (secret: string | null) =>
    secret !== null && isSign({ clientId, deviceKey, productKey, timestamp }, secret, digest, login.sign)
  const deviceSecret = directory.deviceSecret(device)
  const byOwn = login.secureMode !== '3' && fits(deviceSecret)
  const byProduct = !byOwn && login.secureMode !== '2' && fits(await directory.productSecret(productKey))
  if (!byOwn && !byProduct)
    return refuse(codes.badSign, 'the sign does not fit clientId, deviceKey, productKey, timestamp and the secret')
  if (byProduct && !product.dynamicActivateEnabled)
    return refuse(codes.noActivation, 'the product has no dynamic activation: sign with the device secret')
  // Told only to who has proved to be the device.
  if (device.disabled) return refuse(codes.deviceDisabled, 'the device is disabled')
  const model = await directory.model(device)
  const services = model === null ? null : serviceIds(model)
  const member = {
    deviceId: device.id,
    keys: { productKey, deviceKey },
    services,
    raw: product.dataFormat === 'Custom',
  }
  return { device, member, deviceSecret: byProduct ? deviceSecret : null }
}

/** The items of `combine/login/batch`; null: there are none, or more than may be online over one gateway. */
export function readBatch(params: unknown): readonly (SubLogin | null)[] | null {
  if (!isObject(params) || !Array.isArray(params.subDevices)) return null
  const { subDevices, clientId, timestamp, signMethod } = params
  if (subDevices.length === 0 || subDevices.length > SUBDEVICES_ONLINE_MAX) return null
  return subDevices.map(item => readSubLogin(item, { clientId, timestamp, signMethod }))
}

/** The directory, for the length of one batch: what its items have in common is read once. Devices are looked up each time. */
export function remembering(directory: DeviceDirectory): DeviceDirectory {
  const modelOf = remembered(productKey => directory.model({ productKey }))
  return {
    deviceByKeys: (productKey, deviceKey) => directory.deviceByKeys(productKey, deviceKey),
    deviceSecret: device => directory.deviceSecret(device),
    subDevices: gateway => directory.subDevices(gateway),
    product: remembered(productKey => directory.product(productKey)),
    productSecret: remembered(productKey => directory.productSecret(productKey)),
    model: ({ productKey }) => modelOf(productKey),
  }
}
