// A device's login over HTTP: reading its body, and whether the device may have a session. Not here: the session itself (device-session.ts), how a sign
// is made of its parts (uplink/sign.ts), how often a login may be refused (devices.ts).

import { isKey } from '../core/command.ts'
import { isObject, quote, readJson } from '../core/json.ts'
import {
  HTTP_COMMAND_TYPES_MAX,
  HTTP_LIFETIME_DEFAULT_MS,
  HTTP_LIFETIME_MAX_MS,
  HTTP_LIFETIME_MIN_MS,
} from '../core/limits.ts'
import type { Product } from '../fleet/fleet.ts'
import type { Device } from '../store/store.ts'
import { codes } from '../uplink/codes.ts'
import { type Digest, digestOf, isSign, signMethods } from '../uplink/sign.ts'
import type { DeviceKeys } from '../uplink/topics.ts'
import { type DeviceRefusal, httpCodes, refuse, unreadable } from './device-wire.ts'

/** Where devices are looked up; the fleet is one. */
export interface LoginDirectory {
  deviceByKeys(productKey: string, deviceKey: string): Promise<Device | null>
  /** in clear */
  deviceSecret(device: Device): string
  product(productKey: string): Promise<Pick<Product, 'dataFormat' | 'biDirectionalAuth'> | null>
}

/** What a device says in the body of its login. */
export interface DeviceLogin {
  /** of signMethod and lifetime the very text that is signed */
  readonly signMethod: string
  readonly lifetime: string
  readonly lifetimeMs: number
  readonly digest: Digest
  readonly sign: string
  /** it takes service invocations on the responses to its requests */
  readonly takesInvocations: boolean
}

/** A device that has proved itself, and may have a session. */
export interface AdmittedDevice {
  readonly ok: true
  readonly device: Device
  /** the product's devices speak a format of their own, which no header can carry */
  readonly isCustom: boolean
}

/** The vendor's name for commands that wait for a device until it asks for something. */
const PENDING_INVOKE = 'CMD_PENDING_INVOKE'

/** `productKey/deviceKey`, what follows `/auth/`; null: it is no such thing. */
export function readLoginPath(path: string): DeviceKeys | null {
  const [productKey = '', deviceKey = '', ...more] = path.split('/')
  return isKey(productKey) && isKey(deviceKey) && more.length === 0 ? { productKey, deviceKey } : null
}

/**
 * Reads `{"signMethod","lifetime","sign","clientInfo","acceptCommandTypes"}`. clientInfo is not looked at. A lifetime out of bounds is refused rather
 * than cut: the device goes by the one that it asked for, and the vendor's SDK does not notice that a session has ended earlier.
 */
export function readLogin(body: Buffer): ({ readonly ok: true } & DeviceLogin) | DeviceRefusal {
  const read = readJson(body.toString('utf8'))
  if (!read.ok) return unreadable(`the body ${read.fault}`, 400)
  if (!isObject(read.value)) return unreadable(`the body must be a JSON object, not ${quote(read.value)}`, 400)
  const { signMethod, sign, acceptCommandTypes } = read.value
  const digest = typeof signMethod === 'string' ? digestOf(signMethod) : null
  if (typeof signMethod !== 'string' || digest === null)
    return unreadable(`signMethod must be one of ${signMethods.join(', ')}, not ${quote(signMethod)}`)
  if (typeof sign !== 'string' || sign === '') return unreadable('sign must be the hex digest over what is signed')
  // Written as a number, or as text: the documents have both.
  const given = read.value.lifetime ?? HTTP_LIFETIME_DEFAULT_MS
  const lifetime = typeof given === 'number' || typeof given === 'string' ? String(given) : ''
  const lifetimeMs = /^\d{1,9}$/.test(lifetime) ? Number(lifetime) : Number.NaN
  if (!(lifetimeMs >= HTTP_LIFETIME_MIN_MS && lifetimeMs <= HTTP_LIFETIME_MAX_MS))
    return unreadable(
      `lifetime must be a whole number of ms from ${HTTP_LIFETIME_MIN_MS} to ${HTTP_LIFETIME_MAX_MS}, not ${quote(given)}`,
    )
  const types = acceptCommandTypes ?? []
  if (!Array.isArray(types) || types.length > HTTP_COMMAND_TYPES_MAX || types.some(type => typeof type !== 'string'))
    return unreadable(`acceptCommandTypes must be a list of at most ${HTTP_COMMAND_TYPES_MAX} names`)
  return { ok: true, signMethod, lifetime, lifetimeMs, digest, sign, takesInvocations: types.includes(PENDING_INVOKE) }
}

/**
 * Who it is, and whether it may have a session. Whatever else is wrong with a device is told only to who knows its secret. Rejects where the directory
 * does: then nothing is known about the device.
 */
export async function admitDevice(
  { productKey, deviceKey }: DeviceKeys,
  { signMethod, lifetime, digest, sign }: DeviceLogin,
  directory: LoginDirectory,
): Promise<AdmittedDevice | DeviceRefusal> {
  const device = await directory.deviceByKeys(productKey, deviceKey)
  if (device === null) return refuse(codes.deviceNotFound, `there is no device ${deviceKey} of product ${productKey}`)
  const product = await directory.product(productKey)
  if (product === null) return refuse(codes.internal, 'the product of the device cannot be read', 500)
  const signed = { productKey, deviceKey, lifetime, signMethod }
  if (!isSign(signed, directory.deviceSecret(device), digest, sign))
    return refuse(codes.badSign, 'sign does not fit deviceKey, lifetime, productKey, signMethod and the device secret')
  if (device.disabled) return refuse(codes.deviceDisabled, 'enable it first')
  if (device.gatewayAssetId !== null)
    return refuse(httpCodes.subDevice, 'it is behind a gateway: let the gateway log it in, over MQTT')
  // This endpoint sees no certificate, whatever a proxy in front of it may have seen.
  if (product.biDirectionalAuth)
    return refuse(codes.needsCertificate, 'the product requires a client certificate: connect by MQTT over TLS')
  return { ok: true, device, isCustom: product.dataFormat === 'Custom' }
}
