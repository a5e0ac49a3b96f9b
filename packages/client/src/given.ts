// What was given, checked before anything is sent: servers, credentials, devices, ids, parts of paths. What makes no sense is a TypeError that names it.
// Not here: values and inputs, of which the server knows what fits its models.

import type { AccessOptions } from './access.ts'
import type { Identity } from './caller.ts'
import { type Device, isCommandId } from './wire.ts'

const OPERATOR_TOKEN = /^dlo_[A-Za-z0-9_-]{43}$/

export const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

export function serverOf(server: string | URL): string {
  const url = URL.canParse(String(server)) ? new URL(server) : null
  const isPlain = url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  if (!isPlain || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new TypeError('server: must be a URL such as http://127.0.0.1:8080, without user, query or fragment')
  return url.href.replace(/\/$/, '')
}

/** A secret that was forgotten must not become a call without signature: that is said in so many words. */
export function credentialsOf({ appKey, appSecret, operatorToken, open = false }: AccessOptions): Identity | null {
  const isApplication = appKey !== undefined || appSecret !== undefined
  if (open && (isApplication || operatorToken !== undefined))
    throw new TypeError('open: goes without appKey, appSecret and operatorToken; give either')
  if (open) return null
  if (operatorToken !== undefined) {
    if (isApplication) throw new TypeError('operatorToken: goes without appKey and appSecret; give either')
    // Something else that was put here by mistake, such as a secret, is not sent either.
    if (typeof operatorToken !== 'string' || !OPERATOR_TOKEN.test(operatorToken))
      throw new TypeError(
        'operatorToken: must be dlo_ and 43 letters, digits, - or _, as downlink console token prints it',
      )
    return { operatorToken }
  }
  if (isText(appKey) && isText(appSecret)) return { appKey, appSecret }
  const missing = isText(appKey) ? 'appSecret' : 'appKey'
  throw new TypeError(`${missing}: must be a text; for a server that runs with --auth open say open: true instead`)
}

/** The query's words for a device. One that is named by half, or by nothing, would be another, or none. */
export function identify(device: Device): Record<string, string> {
  const { assetId, productKey, deviceKey }: { assetId?: unknown; productKey?: unknown; deviceKey?: unknown } = device
  const byAsset = assetId !== undefined
  if (byAsset && isText(assetId) && productKey === undefined && deviceKey === undefined) return { assetId }
  if (!byAsset && isText(productKey) && isText(deviceKey)) return { productKey, deviceKey }
  throw new TypeError('device: name it by {assetId}, or by {productKey, deviceKey}')
}

export function idOf(commandId: string): string {
  if (isCommandId(commandId)) return commandId
  throw new TypeError('commandId: must be a text of 1 to 19 decimal digits')
}

/** What is finer is the server's to say; this is what no timer and no counter here can do with. */
export function inRange(name: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw new TypeError(`${name}: must be an integer from ${min} to ${max}`)
}

/** A part of a path. Dots alone would be taken out of it, with what stands before them. */
export function part(name: string, value: string): string {
  if (!isText(value) || /^\.{1,2}$/.test(value)) throw new TypeError(`${name}: must be a text, and not dots alone`)
  return encodeURIComponent(value)
}

/** 128 random bits. */
export const newKey = (): string =>
  Array.from(globalThis.crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')

/** What was given of these, for a query. */
export const given = <T extends object>(fields: T): Record<string, string | number | boolean> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
