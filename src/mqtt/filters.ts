// Topic filters: which a device may have, and when they cover the topics of its commands. Pure.
// Not here: what the topics mean (uplink/topics.ts), and when anything is sent (session.ts).

import { isKey } from '../core/command.ts'
import { SUBSCRIPTIONS_MAX, TOPIC_MAX_CHARS } from '../core/limits.ts'
import { type DeviceKeys, nameOf, servicesPrefix, setTopic } from '../uplink/topics.ts'

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

/** The device below whose two prefixes a filter is; null where its keys are not written out. Wildcards are free below them. */
export function keysOfFilter(filter: string): DeviceKeys | null {
  const [, productKey = '', deviceKey = ''] = /^\/(?:sys|ext\/session)\/([^/]*)\/([^/]*)\//.exec(filter) ?? []
  return isKey(productKey) && isKey(deviceKey) ? { productKey, deviceKey } : null
}

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
    const services = servicesPrefix(this.#keys)
    this.#set ||= matches(filter, setTopic(this.#keys))
    this.#allServices ||= matches(filter, `${services}${NAMELESS}`)
    const named = filter.slice(filter.lastIndexOf('/') + 1)
    if (this.#services?.has(named) && matches(filter, `${services}${named}`)) this.#services.delete(named)
  }

  get complete(): boolean {
    return this.#set && (this.#allServices || this.#services?.size === 0)
  }
}

/** What one session subscribed to, and the topics that it asked not to hear: the only ones on which an answer is held back. Both within bounds. */
export class Subscriptions {
  /** by the device that they are for, so that a device that comes in late is offered its own only */
  readonly #filters = new Map<string, Set<string>>()
  #size = 0
  readonly #unheard = new Set<string>()
  /** characters of both */
  #chars = 0
  readonly #maxChars: number

  constructor(maxChars: number) {
    this.#maxChars = maxChars
  }

  of(keys: DeviceKeys): Iterable<string> {
    return this.#filters.get(nameOf(keys)) ?? []
  }

  isUnheard(topic: string): boolean {
    return this.#unheard.has(topic)
  }

  /** `keys` are those that the filter writes out. False where it would be more than a session may hold. */
  subscribe(filter: string, keys: DeviceKeys): boolean {
    if (this.#unheard.delete(filter)) this.#chars -= filter.length
    const own = this.#filters.get(nameOf(keys)) ?? new Set()
    if (own.has(filter)) return true
    if (this.#size >= SUBSCRIPTIONS_MAX || !this.#hasRoom(filter)) return false
    this.#filters.set(nameOf(keys), own.add(filter))
    this.#size += 1
    this.#chars += filter.length
    return true
  }

  /** Whether it was subscribed to. `keys` null: it is none that could have been; otherwise it is remembered as not to be heard, if there is room. */
  unsubscribe(filter: string, keys: DeviceKeys | null): boolean {
    if (keys === null) return false
    const own = this.#filters.get(nameOf(keys))
    const had = own?.delete(filter) ?? false
    if (own?.size === 0) this.#filters.delete(nameOf(keys))
    if (had) this.#size -= 1
    if (had) this.#chars -= filter.length
    if (this.#unheard.has(filter) || this.#unheard.size >= SUBSCRIPTIONS_MAX || !this.#hasRoom(filter)) return had
    this.#unheard.add(filter)
    this.#chars += filter.length
    return had
  }

  #hasRoom(filter: string): boolean {
    return this.#chars + filter.length <= this.#maxChars
  }
}
