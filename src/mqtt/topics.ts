// Topics of directly connected devices: where a command goes, what an uplink topic means, which filters a device may have.
// Pure. Not here: what the payloads say (payload.ts), and when anything is sent (session.ts).

import { type Downlink, isKey, Kind } from '../core/command.ts'
import { TOPIC_MAX_CHARS } from '../core/limits.ts'

/** The two keys that name a device, in its login and in every topic of its own. */
export interface DeviceKeys {
  readonly productKey: string
  readonly deviceKey: string
}

const sysPrefix = ({ productKey, deviceKey }: DeviceKeys): string => `/sys/${productKey}/${deviceKey}/`
const sessionPrefix = ({ productKey, deviceKey }: DeviceKeys): string => `/ext/session/${productKey}/${deviceKey}/`

/** Both places below which a device has topics of its own. */
const isOwn = (topic: string, keys: DeviceKeys): boolean =>
  topic.startsWith(sysPrefix(keys)) || topic.startsWith(sessionPrefix(keys))

const SET = 'thing/service/measurepoint/set'
const SERVICES = 'thing/service/'
const REPLY = '_reply'

/** Where a command is published, and the `method` in its payload. Identifiers are keys, so that they cannot add a level. */
export function commandTopic(
  keys: DeviceKeys,
  { kind, identifier }: Pick<Downlink, 'kind' | 'identifier'>,
): { readonly topic: string; readonly method: string } {
  if (kind === Kind.set) return { topic: `${sysPrefix(keys)}${SET}`, method: 'thing.service.measurepoint.set' }
  return { topic: `${sysPrefix(keys)}${SERVICES}${identifier}`, method: `thing.service.${identifier}` }
}

/** The topic on which whoever published to `topic` hears the answer. */
export const replyTopic = (topic: string): string => `${topic}${REPLY}`

/** Whether a topic is one for answers: those are never answered in turn. */
export const isReplyTopic = (topic: string): boolean => topic.endsWith(REPLY)

/**
 * What a device means by publishing to a topic:
 * `reply` answers a command; `answer` answers something that is no command; `request` asks for something; `foreign` is not the device's topic.
 */
export type Uplink = 'reply' | 'answer' | 'request' | 'foreign'

export function readTopic(topic: string, keys: DeviceKeys): Uplink {
  if (!isOwn(topic, keys)) return 'foreign'
  if (!isReplyTopic(topic)) return 'request'
  const services = `${sysPrefix(keys)}${SERVICES}`
  if (!topic.startsWith(services)) return 'answer'
  const of = topic.slice(services.length, -REPLY.length)
  return of === 'measurepoint/set' || isKey(of) ? 'reply' : 'answer'
}

/** A topic that a PUBLISH may name: not empty, no wildcard [MQTT-3.3.2-2], no character that the standard forbids [MQTT-1.5.3-2]. */
export const isTopicName = (topic: string): boolean => topic !== '' && !/[+#]/.test(topic) && isCleanText(topic)

/** A filter by the rules of the standard: `+` fills a level, `#` fills the last one [MQTT-4.7.1-2], [MQTT-4.7.1-3]. */
export function isFilter(filter: string): boolean {
  if (filter === '' || filter.length > TOPIC_MAX_CHARS || !isCleanText(filter)) return false
  const levels = filter.split('/')
  return levels.every((level, i) => {
    if (level === '#') return i === levels.length - 1
    return level === '+' || !/[+#]/.test(level)
  })
}

/** No NUL, and no U+FFFD: the decoder puts that where the bytes are not UTF-8 [MQTT-1.5.3-1]. */
const isCleanText = (text: string): boolean => !text.includes('\0') && !text.includes('\ufffd')

/** A device may listen to what is below its own two prefixes, its keys written out; wildcards are free below them. */
export const mayHear = (filter: string, keys: DeviceKeys): boolean => isOwn(filter, keys)

/** MQTT 5 and some brokers share a subscription between clients by this prefix: there is one client to a device. */
export const isShared = (filter: string): boolean => filter.startsWith('$share/')

/** Whether a filter matches a topic, level by level. `a/#` matches `a` as well [MQTT-4.7.1-2]. */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const levels = topic.split('/')
  for (const [i, level] of wanted.entries()) {
    if (level === '#') return true
    if (i >= levels.length || (level !== '+' && level !== levels[i])) return false
  }
  return wanted.length === levels.length
}

/** A service that no filter can name, because filters have no NUL: only a wildcard matches it. */
const NAMELESS = '\0'

/**
 * Which of a device's command topics its filters have covered so far: complete when they cover the set topic and every service topic.
 * Covered stays covered. Without a list of services, only a wildcard covers them. Each filter costs the same, however many services there are.
 */
export class Coverage {
  readonly #keys: DeviceKeys
  readonly #services: Set<string> | null
  #set = false
  #allServices = false

  constructor(keys: DeviceKeys, services: readonly string[] | null) {
    this.#keys = keys
    this.#services = services === null ? null : new Set(services)
  }

  add(filter: string): void {
    const services = `${sysPrefix(this.#keys)}${SERVICES}`
    this.#set ||= matches(filter, `${sysPrefix(this.#keys)}${SET}`)
    this.#allServices ||= matches(filter, `${services}${NAMELESS}`)
    const named = filter.slice(filter.lastIndexOf('/') + 1)
    if (this.#services?.has(named) && matches(filter, `${services}${named}`)) this.#services.delete(named)
  }

  get complete(): boolean {
    return this.#set && (this.#allServices || this.#services?.size === 0)
  }
}
