// The steps of a CONNECT, in order, each with the clause of the standard or the rule it comes from: from the first packet of a connection to a device
// that may come in. Not here: sockets and sessions (connection.ts), how passwords are made (login.ts).

import type { IConnectPacket } from 'mqtt-packet'
import { type Model, serviceIds } from '../core/model.ts'
import type { Device } from '../store/store.ts'
import { connectProtocol, decode, isConnect, type Version } from './frame.ts'
import { isPassword, type Login, readLogin } from './login.ts'
import type { DeviceKeys } from './topics.ts'

/** Where devices are looked up; the fleet is one. */
export interface DeviceDirectory {
  deviceByKeys(productKey: string, deviceKey: string): Promise<Device | null>
  /** in clear */
  deviceSecret(device: Device): string
  product(productKey: string): Promise<{ readonly biDirectionalAuth: boolean } | null>
  /** null: a product without a model */
  model(device: Device): Promise<Model | null>
}

/** Codes of a CONNACK that refuses: of MQTT 3.1.1 and of MQTT 5, which have nothing in common. */
export const connack = {
  protocolVersion: { 4: 1, 5: 0x84 },
  clientId: { 4: 2, 5: 0x85 },
  unavailable: { 4: 3, 5: 0x88 },
  full: { 4: 3, 5: 0x97 },
  credentials: { 4: 4, 5: 0x86 },
  notAuthorized: { 4: 5, 5: 0x87 },
  authMethod: { 4: 5, 5: 0x8c },
} as const
export type Connack = keyof typeof connack

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

/** A device that has proved itself and may have a session. */
export interface Admitted {
  readonly type: 'admitted'
  readonly device: Device
  /** null: the product has no model, so any service may be invoked */
  readonly services: readonly string[] | null
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
 * Who it is, and whether it may come in. `certified`: the client showed a certificate that was verified.
 * Rejects where the directory does: then nothing is known about the device.
 */
export async function admit(
  { packet, version }: Connect,
  directory: DeviceDirectory,
  certified: boolean,
): Promise<Admitted | Refused> {
  const refuse = (connack: Connack, reason: string): Refused => ({ type: 'refused', version, connack, reason })
  // [MQTT-3.1.3-8] An empty or unreadable client id is refused: it says how the password is made.
  const read = readLogin(packet.clientId, packet.username)
  if (!read.ok) return refuse(loginConnack[read.fault], read.reason)
  const { login } = read
  const device = await directory.deviceByKeys(login.productKey, login.deviceKey)
  if (device === null) return refuse('notAuthorized', `there is no device ${nameOf(login)}`)
  if (!isPassword(login, directory.deviceSecret(device), packet.password ?? NO_PASSWORD))
    return refuse('credentials', 'the password does not fit the client id, the username and the device secret')
  if (device.disabled) return refuse('notAuthorized', 'the device is disabled')
  // Sub-devices come in through their gateway's connection.
  if (device.gatewayAssetId !== null)
    return refuse('notAuthorized', 'the device is behind a gateway and cannot connect itself')
  const product = await directory.product(device.productKey)
  if (product?.biDirectionalAuth !== false && !certified)
    return refuse('notAuthorized', 'the product requires a client certificate: connect by TLS with one')
  const model = await directory.model(device)
  return { type: 'admitted', device, services: model === null ? null : serviceIds(model) }
}

/** The device that a CONNECT names, for the log: not proved, and null where it cannot be read. Keys are plain letters and digits. */
export function claimedKeys(connect: Connect | Refused): DeviceKeys | null {
  if (connect.type === 'refused') return null
  const read = readLogin(connect.packet.clientId, connect.packet.username)
  return read.ok ? { productKey: read.login.productKey, deviceKey: read.login.deviceKey } : null
}

const NO_PASSWORD = Buffer.alloc(0)

const loginConnack = { clientId: 'clientId', username: 'credentials', mode: 'notAuthorized' } as const

/** Keys are plain letters and digits, or the login would not have been read. */
const nameOf = ({ productKey, deviceKey }: Login): string => `${deviceKey}&${productKey}`
