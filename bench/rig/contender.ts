// What the bench compares: a system that takes commands over signed HTTP and delivers them to devices over MQTT, or a part of one as a baseline. All of them
// take the same calls, from the same callers, and serve the same devices, which speak the vendor's topics. Not here: the systems (contenders/), what is
// measured (scenarios/).

import { createHash } from 'node:crypto'
import type { RawLogin } from './raw-client.ts'
import { DEVICE_SECRET, deviceKeyOf, PRODUCT } from './server.ts'

/** What a scenario asks for. A contender that has not all of them is named in the table, with the reason. */
export type Ability =
  /** `action=setMeasurepoint` with a pendingTtl is answered when the command is on the disk */
  | 'accept'
  /** with pendingTtl 0 it is answered when the device has answered */
  | 'instant'
  /** `action=cancel` of one command, or of all that wait */
  | 'cancel'
  /** what waited is sent when its device is back */
  | 'deliver'
  /** a device gets its next command after it has answered the one before */
  | 'in order'
  /** `action=get` of one command */
  | 'read'

export interface Contender {
  /** as tables and `--contenders` have it */
  readonly name: string
  /** in one sentence, for the page: what is between the call and the device, and when an answer is given */
  readonly what: string
  /** those that it lacks, and why */
  readonly lacks: Partial<Record<Ability, string>>
  /** Null, or what has to be installed. */
  missing(): Promise<string | null>
  /** Programs and libraries with their versions. */
  versions(): Promise<string>
  /** Starts it on empty data in the folder, knowing devices 0 to devices - 1. */
  start(options: StartOptions): Promise<Running>
}

export interface StartOptions {
  /** an empty folder of its own, removed by the caller */
  readonly folder: string
  readonly devices: number
}

export interface Running {
  readonly httpUrl: URL
  readonly mqttUrl: URL
  readonly login: (device: number) => DeviceLogin
  /** roots of the process trees that are its cost, by role: `server`, `PostgreSQL`, `Redis`, `Mosquitto` */
  readonly processes: Readonly<Record<string, number>>
  stop(): Promise<void>
}

export interface DeviceLogin extends RawLogin {
  /** retained: how a broker's application learns that the device is there; what takes it back is the will */
  readonly hello?: { readonly topic: string; readonly payload: string }
}

const servicesOf = (device: number): string => `/sys/${PRODUCT}/${deviceKeyOf(device)}/thing/service/`
export const setTopicOf = (device: number): string => `${servicesOf(device)}measurepoint/set`
export const setReplyTopicOf = (device: number): string => `${setTopicOf(device)}_reply`

/** The device of a topic of {@link setTopicOf}; null where it is none. */
export function deviceOfSet(topic: string): number | null {
  const [, number] = /^\/sys\/pk\/d([0-9]+)\/thing\/service\/measurepoint\/set$/.exec(topic) ?? []
  return number === undefined ? null : Number(number)
}

/** What each device subscribes to. */
export const topicsOf = (device: number): string[] => [setTopicOf(device), `${servicesOf(device)}+`]

/** The client id of the application of a broker. */
export const APPLICATION = 'application'

/** The answers of all devices. */
export const REPLY_FILTER = `/sys/${PRODUCT}/+/thing/service/measurepoint/set_reply`

/** The device of a topic of {@link setReplyTopicOf}; null where it is none. */
export function deviceOfReply(topic: string): number | null {
  const [, number] = /^\/sys\/pk\/d([0-9]+)\/thing\/service\/measurepoint\/set_reply$/.exec(topic) ?? []
  return number === undefined ? null : Number(number)
}

/** The message that a device gets, by whichever system. */
export const setMessage = (commandId: string, valueJson: string): string =>
  `{"id":"${commandId}","version":"1.0","params":${valueJson},"method":"thing.service.measurepoint.set"}`

/** The vendor's login of a device with a secret of its own. */
export function secretLogin(device: number): DeviceLogin {
  const deviceKey = deviceKeyOf(device)
  const timestamp = String(Date.now())
  const signed = `clientId${deviceKey}deviceKey${deviceKey}productKey${PRODUCT}timestamp${timestamp}${DEVICE_SECRET}`
  return {
    clean: true,
    clientId: `${deviceKey}|securemode=2,signmethod=sha256,timestamp=${timestamp}|`,
    username: `${deviceKey}&${PRODUCT}`,
    password: createHash('sha256').update(signed).digest('hex').toUpperCase(),
  }
}

export const presenceTopicOf = (device: number): string => `presence/${device}`
export const PRESENCE_FILTER = 'presence/+'

/** The device of a topic of {@link presenceTopicOf}; null where it is none. */
export function deviceOfPresence(topic: string): number | null {
  const [, number] = /^presence\/([0-9]+)$/.exec(topic) ?? []
  return number === undefined ? null : Number(number)
}

/** The login of a device at a broker, which tells the broker's application by a retained message that it is there, and by its will that it is gone. */
export function brokerLogin(device: number, clean: boolean): DeviceLogin {
  const topic = presenceTopicOf(device)
  return { clean, clientId: deviceKeyOf(device), hello: { topic, payload: '1' }, will: { topic, payload: '0' } }
}
