// What a device says about itself in its CONNECT: client id, username, password, as the vendor's SDKs build them; and whether the password is right.
// Pure. Not here: whether such a device exists and may come in (connect.ts), how a password is made of its parts (uplink/sign.ts).

import { isKey } from '../core/command.ts'
import { type Digest, digestOf, isSign, signMethods } from '../uplink/sign.ts'
import type { DeviceKeys } from '../uplink/topics.ts'
import type { Compression } from './compression.ts'

/**
 * Whose secret makes the password, and what for. `device` (securemode 2): the device's own. `activation` (3): the product's; the device asks for its own.
 * `channel` (4): the product's; it speaks for no device of its own, but brings data of the product's devices.
 */
export type LoginMode = 'device' | 'activation' | 'channel'

/** A login that can be checked: it names a device, or with mode channel a product, and says how its password was made. */
export interface Login extends DeviceKeys {
  readonly mode: LoginMode
  /** for mode channel {@link CHANNEL}, which no device can be called */
  readonly deviceKey: string
  /** what the device signed as its client id: everything before the last `|…|`, with whatever is in it */
  readonly clientId: string
  readonly digest: Digest
  /** an opaque text: one SDK sends fractions, another always the same instant */
  readonly timestamp: string
  /** how every payload of the session is compressed, in both directions */
  readonly compression: Compression
}

/**
 * Why a login is refused.
 * `clientId`, `username`: cannot be read; `mode`: a kind of login that this server does not do.
 */
export interface LoginRefusal {
  readonly ok: false
  readonly fault: 'clientId' | 'username' | 'mode'
  /** for the log and the MQTT 5 reason string: what is wrong and what to send instead; no secret, and nothing that the client wrote */
  readonly reason: string
}

/** What stands for the deviceKey in the username of a channel. */
export const CHANNEL = '%channel%'
/** What stands for the productKey in the vendor's login of an organization, which has no secret at all. */
const VIRTUAL_GATEWAY = '%VIRT_GATEWAY%'

const modes: ReadonlyMap<string, LoginMode> = new Map([
  ['2', 'device'],
  ['3', 'activation'],
  ['4', 'channel'],
])

const refuse = (fault: LoginRefusal['fault'], reason: string): LoginRefusal => ({ ok: false, fault, reason })

/** Reads `{clientId}|securemode=2,signmethod=sha256,timestamp=1548753362502|` and `{deviceKey}&{productKey}`. */
export function readLogin(
  clientId: string,
  username: string | undefined,
): { readonly ok: true; readonly login: Login } | LoginRefusal {
  const said = readClientId(clientId)
  if (said === null) return refuse('clientId', 'the client id must end in |securemode=2,signmethod=sha256,timestamp=…|')
  const { signed, parameters } = said
  const digest = digestOf(parameters.get('signmethod') ?? '')
  if (digest === null) return refuse('clientId', `signmethod must be one of ${signMethods.join(', ')}`)
  const timestamp = parameters.get('timestamp')
  if (!timestamp) return refuse('clientId', 'timestamp is missing in the client id')
  const mode = modes.get(parameters.get('securemode') ?? '')
  if (mode === undefined)
    return refuse(
      'clientId',
      'securemode must be 2 (device secret), 3 (product secret, to be activated) or 4 (channel of a product)',
    )
  const compression = readCompression(signed)
  if (compression === null)
    return refuse('mode', 'only GZIP is available for compression: set compress to GZIP, or to DEFAULT for none')
  const keys = readUsername(username, mode)
  if ('fault' in keys) return keys
  return { ok: true, login: { mode, ...keys, clientId: signed, digest, timestamp, compression } }
}

function readUsername(username: string | undefined, mode: LoginMode): DeviceKeys | LoginRefusal {
  const [deviceKey = '', productKey = '', ...more] = username?.split('&') ?? []
  if (productKey === VIRTUAL_GATEWAY)
    return refuse(
      'mode',
      'virtual gateways are not available, because they have no secret: log in as a gateway device with its own secret',
    )
  if (mode === 'channel') {
    if (deviceKey === CHANNEL && isKey(productKey) && more.length === 0) return { deviceKey, productKey }
    return refuse('username', `with securemode 4 the username must be ${CHANNEL}&{productKey}`)
  }
  if (deviceKey === CHANNEL) return refuse('username', `the username ${CHANNEL}&{productKey} is for securemode 4`)
  if (isKey(deviceKey) && isKey(productKey) && more.length === 0) return { deviceKey, productKey }
  return refuse('username', 'the username must be {deviceKey}&{productKey}')
}

/** The last `|…|` group holds the parameters; what is before it may hold anything, bars included. Null: there is no such group, or it names one thing twice. */
function readClientId(
  text: string,
): { readonly signed: string; readonly parameters: ReadonlyMap<string, string> } | null {
  const whole = text.trimEnd()
  const opening = whole.lastIndexOf('|', whole.length - 2)
  if (!whole.endsWith('|') || whole.length < 2 || opening < 0) return null
  const pairs = readPairs(whole.slice(opening + 1, -1))
  const parameters = new Map(pairs)
  return parameters.size < pairs.length ? null : { signed: whole.slice(0, opening), parameters }
}

/** `name=value,name=value`, with blanks anywhere between; names in lower case. */
function readPairs(text: string): [name: string, value: string][] {
  return text.split(',').map(pair => {
    const [name = '', ...value] = pair.split('=')
    return [name.trim().toLowerCase(), value.join('=').trim()]
  })
}

/**
 * The Java SDK says in braces behind its own id how it compresses all that it sends, and that it expects the same of us: `GW{ip=…,compress=GZIP}`.
 * Null: in a way that this server does not do, or in several.
 */
function readCompression(signed: string): Compression | null {
  if (!signed.endsWith('}')) return 'none'
  const pairs = readPairs(signed.slice(signed.lastIndexOf('{') + 1, -1))
  const said = new Set(pairs.filter(([name]) => name === 'compress').map(([, value]) => value.toUpperCase()))
  if (said.size > 1) return null
  const [way = ''] = said
  if (way === '' || way === 'DEFAULT') return 'none'
  return way === 'GZIP' ? 'gzip' : null
}

/** Whether `given` is the password of this login with this secret: the device's own with mode device, the product's otherwise. */
export function isPassword(login: Login, secret: string, given: Buffer): boolean {
  const { clientId, deviceKey, productKey, timestamp, digest } = login
  return isSign({ clientId, deviceKey, productKey, timestamp }, secret, digest, given)
}
