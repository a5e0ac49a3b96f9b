// The fleet of a world: its products, its devices, who is behind whom, and how each proves who it is. What is on record is made by the product's own
// Fleet; the signatures are real ones.

import type { FileDevice, FileProduct, FleetFile } from '../src/fleet/file.ts'
import { ClearSecret, SecretKey, Secrets } from '../src/fleet/secrets.ts'
import { signOf } from '../src/uplink/sign.ts'
import type { DeviceKeys } from '../src/uplink/topics.ts'
import type { Random } from './random.ts'

/** A device of the world, and what never changes of it. */
export interface Kin {
  readonly id: number
  readonly assetId: string
  readonly keys: DeviceKeys
  readonly isGateway: boolean
  /** its product has a format of its own */
  readonly raw: boolean
}

/** A device before it is on record. `gateway`: assetId of the one that it is behind; null: it connects by itself. */
export interface Draft {
  readonly assetId: string
  readonly keys: DeviceKeys
  readonly gateway: string | null
}

const PRODUCT = 'pk'
const GATEWAY_PRODUCT = 'gw'
/** of devices with a format of their own */
export const RAW_PRODUCT = 'raw'
const RAW = 0.15

const KEY_BYTES = 32
/** one key for all worlds: what is secret in them is known to everybody */
export const secrets = new Secrets(new SecretKey(Buffer.alloc(KEY_BYTES, 7)))
const productSecretOf = (productKey: string): string => `secret-of-${productKey}`
const deviceSecretOf = ({ deviceKey }: DeviceKeys): string => `secret-of-${deviceKey}`

export const isGateway = ({ productKey }: DeviceKeys): boolean => productKey === GATEWAY_PRODUCT
export const isRaw = ({ productKey }: DeviceKeys): boolean => productKey === RAW_PRODUCT

const DIRECT_MIN = 3
const DIRECT_MAX = 8
/** beside gateways */
const FEW_DIRECT = 3
const SUBS_MAX = 6

/** Devices that connect themselves, and gateways with one to six behind each. */
export function drawDevices(random: Random, gateways: number): Draft[] {
  const drafts: Draft[] = []
  const add = (productKey: string, gateway: string | null): Draft => {
    const n = drafts.length + 1
    const draft = { assetId: `asset${n}`, keys: { productKey, deviceKey: `dk${n}` }, gateway }
    drafts.push(draft)
    return draft
  }
  const product = (): string => (random.chance(RAW) ? RAW_PRODUCT : PRODUCT)
  const direct = gateways === 0 ? random.int(DIRECT_MIN, DIRECT_MAX) : random.int(1, FEW_DIRECT)
  for (let i = 0; i < direct; i += 1) add(product(), null)
  for (let i = 0; i < gateways; i += 1) {
    const { assetId } = add(GATEWAY_PRODUCT, null)
    for (let left = random.int(1, SUBS_MAX); left > 0; left -= 1) add(product(), assetId)
  }
  return drafts
}

const product = (productKey: string): FileProduct => ({
  productKey,
  productSecret: new ClearSecret(productSecretOf(productKey)),
  productName: { defaultValue: productKey, i18nValue: {} },
  modelId: null,
  productType: productKey === GATEWAY_PRODUCT ? 'Gateway' : 'Device',
  dataFormat: productKey === RAW_PRODUCT ? 'Custom' : 'Json',
  dynamicActivateEnabled: true,
  biDirectionalAuth: false,
})

/** What a fleet file may say of a device beside its keys. */
export interface Said {
  readonly gateway: string | null
  readonly disabled: boolean
  readonly name: string
}

const fileDevice = (
  { assetId, keys }: Pick<Kin, 'assetId' | 'keys'>,
  { gateway, disabled, name }: Said,
): FileDevice => ({
  assetId,
  ...keys,
  deviceSecret: new ClearSecret(deviceSecretOf(keys)),
  deviceName: { defaultValue: name, i18nValue: {} },
  timezone: '+00:00',
  gateway,
  disabled,
  certificateSerial: null,
})

const fileOf = (products: readonly FileProduct[], devices: readonly FileDevice[]): FleetFile => ({
  organizations: [{ orgId: 'o1', name: 'One', applications: [], models: [], products, devices }],
})

/** The fleet as it is at first. */
export const firstFile = (drafts: readonly Draft[]): FleetFile =>
  fileOf(
    [PRODUCT, GATEWAY_PRODUCT, RAW_PRODUCT].map(product),
    drafts.map(draft => fileDevice(draft, { gateway: draft.gateway, disabled: false, name: 'device' })),
  )

/** One device, said anew. */
export const editOf = (kin: Kin, said: Said): FleetFile => fileOf([], [fileDevice(kin, said)])

// --- who proves what -----------------------------------------------------------------------------------------------

export interface Login {
  readonly clientId: string
  readonly username: string
  readonly password: Buffer
}

/** Of a CONNECT. `own`: with its own secret; otherwise with its product's, to be given its own. */
export function loginOf(keys: DeviceKeys, own: boolean, gzip: boolean): Login {
  const { productKey, deviceKey } = keys
  const clientId = gzip ? `${deviceKey}{compress=GZIP}` : deviceKey
  const secret = own ? deviceSecretOf(keys) : productSecretOf(productKey)
  const timestamp = '1'
  const password = Buffer.from(signOf({ clientId, deviceKey, productKey, timestamp }, secret, 'sha256'))
  const mode = `|securemode=${own ? 2 : 3},signmethod=sha256,timestamp=${timestamp}|`
  return { clientId: `${clientId}${mode}`, username: `${deviceKey}&${productKey}`, password }
}

export type Proof = 'own' | 'product' | 'wrong'

/** Of a sub-device, as its gateway passes it on; `shared`: what the devices of a batch have in common. */
export function proofOf(
  keys: DeviceKeys,
  proof: Proof,
  shared: { clientId: string; timestamp: string } | null,
): object {
  const { productKey, deviceKey } = keys
  const { clientId, timestamp } = shared ?? { clientId: deviceKey, timestamp: '1795383655330' }
  const secret = { own: deviceSecretOf(keys), product: productSecretOf(productKey), wrong: 'guessed' }[proof]
  const sign = signOf({ clientId, deviceKey, productKey, timestamp }, secret, 'sha256')
  const secureMode = proof === 'product' ? '3' : '2'
  return {
    ...(shared === null ? { clientId, timestamp } : {}),
    productKey,
    deviceKey,
    signMethod: 'sha256',
    sign,
    secureMode,
  }
}
