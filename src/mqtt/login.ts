// What a device says about itself in its CONNECT: client id, username, password, as the vendor's SDKs build them; and whether the password is right.
// Pure. Not here: whether such a device exists and may come in (connect.ts).

import { createHash, timingSafeEqual } from 'node:crypto'
import { isKey } from '../core/command.ts'
import type { DeviceKeys } from './topics.ts'

/** A login that can be checked: it names a device and says how its password was made. */
export interface Login extends DeviceKeys {
  /** what the device signed as its client id: everything before the last `|…|`, with whatever is in it */
  readonly clientId: string
  readonly digest: Digest
  /** an opaque text: one SDK sends fractions, another always the same instant */
  readonly timestamp: string
}

/**
 * Why a login is refused, in the order in which it is looked at.
 * `clientId`, `username`: cannot be read; `mode`: a kind of login that this server does not do.
 */
export interface LoginRefusal {
  readonly ok: false
  readonly fault: 'clientId' | 'username' | 'mode'
  /** for the log and the MQTT 5 reason string: what is wrong and what to send instead; no secret, and nothing that the client wrote */
  readonly reason: string
}

type Digest = 'sha256' | 'sha1' | 'md5'

/** Names of sign methods as the vendor's SDKs write them, in lower case. Those with hmac are labels only: all are plain digests. */
const digests: ReadonlyMap<string, Digest> = new Map([
  ['sha256', 'sha256'],
  ['hmacsha256', 'sha256'],
  ['sha1', 'sha1'],
  ['hmacsha1', 'sha1'],
  ['md5', 'md5'],
  ['hmacmd5', 'md5'],
])

const refuse = (fault: LoginRefusal['fault'], reason: string): LoginRefusal => ({ ok: false, fault, reason })

/** Reads `{clientId}|securemode=2,signmethod=sha256,timestamp=1548753362502|` and `{deviceKey}&{productKey}`. */
export function readLogin(
  clientId: string,
  username: string | undefined,
): { readonly ok: true; readonly login: Login } | LoginRefusal {
  const said = readClientId(clientId)
  if (said === null) return refuse('clientId', 'the client id must end in |securemode=2,signmethod=sha256,timestamp=…|')
  const { parameters } = said
  const digest = digests.get(parameters.get('signmethod')?.toLowerCase() ?? '')
  if (digest === undefined) return refuse('clientId', `signmethod must be one of ${[...digests.keys()].join(', ')}`)
  const timestamp = parameters.get('timestamp')
  if (!timestamp) return refuse('clientId', 'timestamp is missing in the client id')
  const refusal = refuseMode(parameters.get('securemode'), said.signed)
  if (refusal !== null) return refusal
  const [deviceKey = '', productKey = '', ...more] = username?.split('&') ?? []
  if (!isKey(deviceKey) || !isKey(productKey) || more.length > 0)
    return refuse('username', 'the username must be {deviceKey}&{productKey}')
  return { ok: true, login: { clientId: said.signed, productKey, deviceKey, digest, timestamp } }
}

/** The last `|…|` group holds the parameters; what is before it may hold anything, bars included. Null: there is no such group, or it names one thing twice. */
function readClientId(
  text: string,
): { readonly signed: string; readonly parameters: ReadonlyMap<string, string> } | null {
  const whole = text.trimEnd()
  const opening = whole.lastIndexOf('|', whole.length - 2)
  if (!whole.endsWith('|') || whole.length < 2 || opening < 0) return null
  const parameters = readPairs(whole.slice(opening + 1, -1))
  return parameters === null ? null : { signed: whole.slice(0, opening), parameters }
}

/** `name=value,name=value`, with blanks anywhere between; null if a name comes twice. */
function readPairs(text: string): ReadonlyMap<string, string> | null {
  const pairs = new Map<string, string>()
  for (const pair of text.split(',')) {
    const [name = '', ...value] = pair.split('=')
    const key = name.trim().toLowerCase()
    if (pairs.has(key)) return null
    pairs.set(key, value.join('=').trim())
  }
  return pairs
}

/** The Java SDK says in braces behind its own id how it compresses all that it sends, and that it expects the same of us: `GW{ip=…,compress=GZIP}`. */
function isCompressed(signed: string): boolean {
  if (!signed.endsWith('}')) return false
  const compress = readPairs(signed.slice(signed.lastIndexOf('{') + 1, -1))?.get('compress')
  return compress !== undefined && compress !== '' && compress.toUpperCase() !== 'DEFAULT'
}

function refuseMode(mode: string | undefined, signed: string): LoginRefusal | null {
  const instead = 'log in with the device secret, securemode 2'
  if (mode === '3') return refuse('mode', `securemode 3 (dynamic activation) is not available: ${instead}`)
  if (mode === '4') return refuse('mode', `securemode 4 (integration) is not available: ${instead}`)
  if (mode !== '2') return refuse('clientId', 'securemode must be 2')
  return isCompressed(signed) ? refuse('mode', 'compression is not available: set compress to DEFAULT') : null
}

/** The password of a login: the hex digest of what it says about itself, names in alphabetical order, and the device's secret. */
export function passwordOf({ clientId, deviceKey, productKey, timestamp, digest }: Login, secret: string): string {
  const content = `clientId${clientId}deviceKey${deviceKey}productKey${productKey}timestamp${timestamp}`
  return createHash(digest).update(`${content}${secret}`, 'utf8').digest('hex')
}

/** In constant time, and whatever the case of the hex digits: the SDKs differ. */
export function isPassword(login: Login, secret: string, given: Buffer): boolean {
  const expected = Buffer.from(passwordOf(login, secret), 'latin1')
  const actual = Buffer.from(given.toString('latin1').toLowerCase(), 'latin1')
  return actual.length === expected.length && timingSafeEqual(actual, expected)
}
