// The steps of a CONNECT, in order, each with the clause of the standard or the rule it comes from: from the first packet of a connection to a device
// that may come in. Not here: sockets and sessions (connection.ts), how passwords are made (login.ts).

import type { IConnectPacket } from 'mqtt-packet'
import { type Model, serviceIds } from '../core/model.ts'
import { normalSerial } from '../core/serial.ts'
import type { Product } from '../fleet/fleet.ts'
import type { Device } from '../store/store.ts'
import type { DeviceKeys } from '../uplink/topics.ts'
import type { Compression } from './compression.ts'
import { connectProtocol, decode, isConnect, type Version } from './frame.ts'
import { isPassword, type Login, type LoginMode, readLogin } from './login.ts'

/** What a login asks of a product. */
export type LoginProduct = Pick<
  Product,
  'productKey' | 'productType' | 'dataFormat' | 'dynamicActivateEnabled' | 'biDirectionalAuth'
>

/** Where devices are looked up; the fleet is one. */
export interface DeviceDirectory {
  deviceByKeys(productKey: string, deviceKey: string): Promise<Device | null>
  /** in clear */
  deviceSecret(device: Device): string
  /** in clear; null: there is no such product */
  productSecret(productKey: string): Promise<string | null>
  product(productKey: string): Promise<LoginProduct | null>
  /** of the device's product; null: it has none */
  model(device: Pick<Device, 'productKey'>): Promise<Model | null>
  /** the topology of a gateway */
  subDevices(gateway: Device): Promise<readonly Device[]>
}

/** The certificate that a client showed in its TLS handshake, good or not. */
export interface ClientCertificate {
  /** it is of the CA that clients' certificates must be of, and was valid at the handshake */
  readonly verified: boolean
  /** what OpenSSL found wrong with it, such as CERT_HAS_EXPIRED; null: nothing */
  readonly fault: string | null
  /** every common name of its subject */
  readonly names: readonly string[]
  /** in hexadecimal, in either case */
  readonly serial: string
}

/** Whether a device that is active already may log in with its product's secret again, and is told its own again. */
export type Reactivation = 'strict' | 'lenient'

/** Codes of a CONNACK that refuses: of MQTT 3.1.1 and of MQTT 5, which have nothing in common. */
export const connack = {
  protocolVersion: { 4: 1, 5: 0x84 },
  clientId: { 4: 2, 5: 0x85 },
  unavailable: { 4: 3, 5: 0x88 },
  full: { 4: 3, 5: 0x97 },
  credentials: { 4: 4, 5: 0x86 },
  notAuthorized: { 4: 5, 5: 0x87 },
  authMethod: { 4: 5, 5: 0x8c },
  /** too many refused logins before this one: uplink/login-limit.ts */
  limited: { 4: 3, 5: 0x9f },
} as const
export type Connack = keyof typeof connack

/** Whether a refusal counts against whoever logs in: what is wrong lies with the server otherwise, or has been counted. */
export const isHeldAgainst = (code: Connack): boolean => code !== 'unavailable' && code !== 'full' && code !== 'limited'

/** Told to the client with a CONNACK. The reason says what to do, and nothing that the client must not know. */
export interface Refused {
  readonly type: 'refused'
  readonly version: Version
  readonly connack: Connack
  readonly reason: string
}
/** Closed without an answer: what came is no MQTT that could be answered. */
export interface Dropped {
  readonly type: 'dropped'
  readonly reason: string
}

/** A CONNECT that keeps to the standard. */
export interface Connect {
  readonly type: 'connect'
  readonly version: Version
  readonly packet: IConnectPacket
  /** commands that may wait for their PUBACK; 65,535 where the client does not say */
  readonly receiveMaximum: number
  /** bytes; Infinity where the client does not say */
  readonly maximumPacketSize: number
}

/** A device, or a channel of a product, that has proved itself and may have a session. */
export interface Admitted {
  readonly type: 'admitted'
  readonly mode: LoginMode
  /** null: a channel, which is nobody itself */
  readonly device: Device | null
  readonly productKey: string
  /** null: the product has no model, so any service may be invoked; also for a channel, which no service is invoked on */
  readonly services: readonly string[] | null
  readonly compression: Compression
  /** the product's devices speak a format of their own */
  readonly codec: boolean
  /** with mode activation the device's own secret, in clear, which it is told after CONNACK; null otherwise. Never to be logged. */
  readonly secret: string | null
  /** the device may have others behind it */
  readonly isGateway: boolean
  /** the topology of a gateway as it is now; empty for all others */
  readonly members: readonly Device[]
}

const RECEIVE_MAXIMUM_DEFAULT = 65_535
const QOS_MAX = 2

const drop = (reason: string): Dropped => ({ type: 'dropped', reason })

/** What the packet itself must be, before anybody is looked up. */
export function readConnect(bytes: Buffer): Connect | Refused | Dropped {
  // [MQTT-3.1.0-1] The first packet must be a CONNECT.
  if (!isConnect(bytes)) return drop('the first packet is not a CONNECT')
  // [MQTT-3.1.2-1] Another protocol name may be dropped. MQIsdp is MQTT 3.1, an older version and so the next guard's.
  const protocol = connectProtocol(bytes)
  if (protocol === null || (protocol.name !== 'MQTT' && protocol.name !== 'MQIsdp')) return drop('this is not MQTT')
  // [MQTT-3.1.2-2] A level that is not supported must be answered. Whoever speaks none of ours is answered in the form of 3.1.1.
  const { level } = protocol
  if (protocol.name !== 'MQTT' || (level !== 4 && level !== 5))
    return { type: 'refused', version: 4, connack: 'protocolVersion', reason: 'only MQTT 3.1.1 and 5 are spoken here' }
  // [MQTT-2.2.2-2], [MQTT-3.1.2-3], [MQTT-3.1.2-11], [MQTT-3.1.2-13], [MQTT-3.1.2-15]: flags that contradict themselves, and fields cut short.
  const decoded = decode(bytes, level)
  if (!decoded.ok) return drop(decoded.why)
  const { packet } = decoded
  if (packet.cmd !== 'connect') return drop('the first packet is not a CONNECT')
  // [MQTT-3.1.2-14] There is no will QoS 3. (Wills are taken and never sent: nobody listens to devices here.)
  if ((packet.will?.qos ?? 0) > QOS_MAX) return drop('the will QoS is 3')
  return readProperties(packet, level)
}

/** MQTT 5, 3.1.2.11: the limits that a client sets us must be numbers, given once, and not 0. */
function readProperties(packet: IConnectPacket, version: Version): Connect | Refused | Dropped {
  const { receiveMaximum = RECEIVE_MAXIMUM_DEFAULT, maximumPacketSize = Number.POSITIVE_INFINITY } =
    packet.properties ?? {}
  // The codec makes a list of a property that comes twice.
  if (!(Number(receiveMaximum) > 0 && Number(maximumPacketSize) > 0))
    return drop('a limit in the CONNECT is 0 or comes twice')
  // [MQTT-4.12.0-1] An authentication method that is not supported is refused; there is none besides the password.
  if (packet.properties?.authenticationMethod !== undefined)
    return {
      type: 'refused',
      version,
      connack: 'authMethod',
      reason: 'log in with a password, not with an authentication method',
    }
  return { type: 'connect', version, packet, receiveMaximum, maximumPacketSize }
}

/**
 * Who it is, and whether it may come in. `certificate`: what the client showed over TLS; null: nothing, or there is no TLS.
 * Before a right password a client learns no more than whether there is such a device or product; everything else about it is told to those
 * who proved that they know its secret. Rejects where the directory does: then nothing is known about the device.
 *
 * Under `strict` a device may activate itself again and again until it is active: until it has said that it got its secret, or has logged in with it.
 */
export async function admit(
  { packet, version }: Connect,
  directory: DeviceDirectory,
  certificate: ClientCertificate | null,
  reactivation: Reactivation,
): Promise<Admitted | Refused> {
  const told = ({ code, reason }: Fault): Refused => ({ type: 'refused', version, connack: code, reason })
  // [MQTT-3.1.3-8] An empty or unreadable client id is refused: it says how the password is made.
  const read = readLogin(packet.clientId, packet.username)
  if (!read.ok) return told(fault(loginConnack[read.fault], read.reason))
  const { login } = read
  const password = packet.password ?? NO_PASSWORD
  if (login.mode === 'channel') {
    const channel = await admitChannel(login, password, directory, certificate)
    return 'code' in channel ? told(channel) : channel
  }
  const device = await directory.deviceByKeys(login.productKey, login.deviceKey)
  if (device === null) return told(fault('notAuthorized', `there is no device ${nameOf(login)}`))
  const product = await directory.product(device.productKey)
  const secret =
    login.mode === 'device' ? directory.deviceSecret(device) : await directory.productSecret(device.productKey)
  if (product === null || secret === null) return told(fault('unavailable', 'the product of the device cannot be read'))
  if (!isPassword(login, secret, password)) return told(wrongPassword(login.mode))
  const why =
    faultOfDevice(device) ??
    (login.mode === 'activation' ? faultOfActivation(device, product, reactivation) : null) ??
    faultOfCertificate(product, certificate, device)
  if (why !== null) return told(why)
  const model = await directory.model(device)
  const isGateway = product.productType === 'Gateway'
  return {
    type: 'admitted',
    mode: login.mode,
    device,
    productKey: device.productKey,
    services: model === null ? null : serviceIds(model),
    compression: login.compression,
    codec: product.dataFormat === 'Custom',
    secret: login.mode === 'activation' ? directory.deviceSecret(device) : null,
    isGateway,
    members: isGateway ? await directory.subDevices(device) : [],
  }
}

/** A channel proves itself with the secret of its product, and is nothing but that. */
async function admitChannel(
  login: Login,
  password: Buffer,
  directory: DeviceDirectory,
  certificate: ClientCertificate | null,
): Promise<Admitted | Fault> {
  const { productKey, mode, compression } = login
  const product = await directory.product(productKey)
  const secret = await directory.productSecret(productKey)
  if (product === null || secret === null) return fault('notAuthorized', `there is no product ${productKey}`)
  if (!isPassword(login, secret, password)) return wrongPassword(mode)
  const why = faultOfCertificate(product, certificate, null)
  if (why !== null) return why
  const codec = product.dataFormat === 'Custom'
  const nobody = { device: null, services: null, secret: null, isGateway: false, members: [] }
  return { type: 'admitted', mode, productKey, compression, codec, ...nobody }
}

/** Why somebody may not come in. */
interface Fault {
  readonly code: Connack
  readonly reason: string
}

const fault = (code: Connack, reason: string): Fault => ({ code, reason })

const wrongPassword = (mode: LoginMode): Fault =>
  fault(
    'credentials',
    `the password does not fit the client id, the username and the ${mode === 'device' ? 'device' : 'product'} secret`,
  )

function faultOfDevice(device: Device): Fault | null {
  if (device.disabled) return fault('notAuthorized', 'the device is disabled')
  // Sub-devices come in through their gateway's connection.
  if (device.gatewayAssetId !== null)
    return fault('notAuthorized', 'the device is behind a gateway and cannot connect itself')
  return null
}

function faultOfActivation(device: Device, product: LoginProduct, reactivation: Reactivation): Fault | null {
  if (!product.dynamicActivateEnabled)
    return fault(
      'notAuthorized',
      'the product does not allow dynamic activation: log in with the device secret, securemode 2',
    )
  if (reactivation === 'strict' && device.activeAt !== null)
    return fault('notAuthorized', 'the device has been activated already: log in with the device secret, securemode 2')
  return null
}

/**
 * Products with biDirectionalAuth want a certificate besides the secret, and it must be the client's own: a device's has the serial number that is on
 * record or else is named after the device; that of a channel is named after the product, because a device's proves nothing for the others.
 * `device` null: a channel.
 */
function faultOfCertificate(
  product: LoginProduct,
  certificate: ClientCertificate | null,
  device: Device | null,
): Fault | null {
  if (!product.biDirectionalAuth) return null
  const refuse = (reason: string): Fault => fault('notAuthorized', reason)
  if (certificate === null) return refuse('the product requires a client certificate: connect by TLS with one')
  if (certificate.fault === EXPIRED) return refuse('the client certificate has expired: connect with a renewed one')
  if (!certificate.verified)
    return refuse(
      `the client certificate is not trusted (${certificate.fault ?? 'not verified'}): connect with one signed by the CA that this server trusts for clients`,
    )
  const { names } = certificate
  if (device === null)
    return names.includes(product.productKey)
      ? null
      : refuse('the client certificate is not for a channel: its common name must be the productKey')
  const { certificateSerial, assetId, deviceKey } = device
  if (certificateSerial !== null)
    return normalSerial(certificate.serial) === certificateSerial
      ? null
      : refuse('the client certificate is not the one on record for the device: its serial number is another')
  return names.includes(assetId) || names.includes(deviceKey)
    ? null
    : refuse("the client certificate is not the device's: its common name must be the assetId or the deviceKey")
}

/** As OpenSSL calls it. */
const EXPIRED = 'CERT_HAS_EXPIRED'

/**
 * Whom a CONNECT names, for the log and the limit on refused logins: not proved, and null where it cannot be read. Keys are plain letters and digits,
 * or for a channel what stands for its deviceKey.
 */
export function claimedKeys(connect: Connect | Refused): DeviceKeys | null {
  if (connect.type === 'refused') return null
  const read = readLogin(connect.packet.clientId, connect.packet.username)
  return read.ok ? { productKey: read.login.productKey, deviceKey: read.login.deviceKey } : null
}

const NO_PASSWORD = Buffer.alloc(0)

const loginConnack = { clientId: 'clientId', username: 'credentials', mode: 'notAuthorized' } as const

/** Keys are plain letters and digits, or the login would not have been read. */
const nameOf = ({ productKey, deviceKey }: Login): string => `${deviceKey}&${productKey}`
