// Topics of devices: where a command goes, and what an uplink topic means. Pure.
// Not here: what the payloads say (payload.ts), what a request does (requests.ts), topic filters (mqtt/filters.ts).

import { type Downlink, isKey, Kind } from '../core/command.ts'

/** The two keys that name a device, in its login and in every topic of its own. */
export interface DeviceKeys {
  readonly productKey: string
  readonly deviceKey: string
}

const sysPrefix = ({ productKey, deviceKey }: DeviceKeys): string => `/sys/${productKey}/${deviceKey}/`
const sessionPrefix = ({ productKey, deviceKey }: DeviceKeys): string => `/ext/session/${productKey}/${deviceKey}/`

/** Both places below which a device has topics of its own. */
export const isOwn = (topic: string, keys: DeviceKeys): boolean =>
  topic.startsWith(sysPrefix(keys)) || topic.startsWith(sessionPrefix(keys))

export const isSame = (a: DeviceKeys, b: DeviceKeys): boolean =>
  a.productKey === b.productKey && a.deviceKey === b.deviceKey

/** Stands where a device's key does in the topics of a channel. */
export const CHANNEL_KEY = 'integration'

/** One text for one device: keys hold no slash. */
export const nameOf = ({ productKey, deviceKey }: DeviceKeys): string => `${productKey}/${deviceKey}`

const SET = 'thing/service/measurepoint/set'
const SERVICES = 'thing/service/'
const REPLY = '_reply'
/** Commands and answers in the product's own format, and what such a device sends by itself. */
const DOWN_RAW = 'thing/model/down_raw'
export const UP_RAW = 'thing/model/up_raw'

export const setTopic = (keys: DeviceKeys): string => `${sysPrefix(keys)}${SET}`
export const servicesPrefix = (keys: DeviceKeys): string => `${sysPrefix(keys)}${SERVICES}`
/** Where a command goes whose product has a format of its own. */
export const rawCommandTopic = (keys: DeviceKeys): string => `${sysPrefix(keys)}${DOWN_RAW}`
/** Where a device that logged in with its product's secret is given its own. */
export const activationTopic = (keys: DeviceKeys): string => `${sessionPrefix(keys)}${ACTIVATION}`
const ACTIVATION = 'thing/activate/info'
/** Where a gateway is told what became of a sub-device. */
export const noticeTopic = (gateway: DeviceKeys, notice: Notice): string => `${sessionPrefix(gateway)}combine/${notice}`
export type Notice = 'enable' | 'disable' | 'delete'

/** The `method` in a command's payload. */
export const methodOf = ({ kind, identifier }: Pick<Downlink, 'kind' | 'identifier'>): string =>
  kind === Kind.set ? 'thing.service.measurepoint.set' : `thing.service.${identifier}`

/** Where a command is published. Identifiers are keys, so that they cannot add a level. */
export const commandTopic = (keys: DeviceKeys, { kind, identifier }: Pick<Downlink, 'kind' | 'identifier'>): string =>
  kind === Kind.set ? setTopic(keys) : `${servicesPrefix(keys)}${identifier}`

/** The topic on which whoever published to `topic` hears the answer. */
export const replyTopic = (topic: string): string => `${topic}${REPLY}`

/** Whether a topic is one for answers: those are never answered in turn. */
export const isReplyTopic = (topic: string): boolean => topic.endsWith(REPLY)

/**
 * What is meant by publishing to a topic, and for which device. Whether the publisher may speak for that device is not looked at here.
 * `reply` answers a command, `rawReply` one in the product's own format; `activated` says that a device has got its secret; `answer` answers anything
 * else; `request` asks for something: its `path` is what comes after the keys, such as `thing/measurepoint/post` or `combine/login`.
 */
export type Uplink =
  | { readonly type: 'reply' | 'rawReply' | 'activated' | 'answer'; readonly keys: DeviceKeys }
  | { readonly type: 'request'; readonly keys: DeviceKeys; readonly path: string }

/** Null: no topic of any device. */
export function readTopic(topic: string): Uplink | null {
  const found = /^\/(?:sys|ext\/session)\/([^/]*)\/([^/]*)\/(.+)$/s.exec(topic)
  const [, productKey = '', deviceKey = '', path = ''] = found ?? []
  if (!isKey(productKey) || !isKey(deviceKey)) return null
  const keys = { productKey, deviceKey }
  if (!isReplyTopic(topic)) return { type: 'request', keys, path }
  const of = path.slice(0, -REPLY.length)
  if (topic.startsWith('/ext/')) return { type: of === ACTIVATION ? 'activated' : 'answer', keys }
  if (of === DOWN_RAW) return { type: 'rawReply', keys }
  if (!of.startsWith(SERVICES)) return { type: 'answer', keys }
  return { type: of === SET || isKey(of.slice(SERVICES.length)) ? 'reply' : 'answer', keys }
}
