// How often logins may be refused before the next ones are refused unseen: by address, and by address and device together. Pure: the time comes in.
// Not here: what is refused and why (mqtt/connect.ts), and that every refusal is held back for a moment (mqtt/connection.ts).
//
// The device alone is never limited: whoever does not know its secret could keep it out from anywhere. Limited together with the address, a stranger only
// shuts himself out, or at worst those behind the same address.

import {
  LOGIN_PAIR_BURST,
  LOGIN_PAIR_EVERY_MS,
  LOGIN_PAIRS_MAX,
  LOGIN_SOURCE_BURST,
  LOGIN_SOURCE_EVERY_MS,
  LOGIN_SOURCES_MAX,
} from '../core/limits.ts'
import type { DeviceKeys } from './topics.ts'

/** How often somebody may be refused; {@link LoginLimit} is one. */
export interface LoginGate {
  allows(source: string, keys: DeviceKeys | null, now: number): boolean
  refused(source: string, keys: DeviceKeys | null, now: number): void
  admitted(source: string, keys: DeviceKeys | null): void
}

/** The source of what a gateway says in the name of a device: whatever address it comes from, the guesses are its own. No address begins so. */
export const gatewaySource = ({ assetId }: { readonly assetId: string }): string => `${GATEWAY}${assetId}`
const GATEWAY = 'gateway:'

/**
 * Token buckets, of which a refused login takes one token each, and a login that is let in none. Logins that were under way at the same time may take a
 * bucket below zero, by as much as it holds when full, so that coming all at once gains nothing.
 */
export class LoginLimit implements LoginGate {
  readonly #pairs = new Buckets(LOGIN_PAIR_BURST, LOGIN_PAIR_EVERY_MS, LOGIN_PAIRS_MAX)
  readonly #sources = new Buckets(LOGIN_SOURCE_BURST, LOGIN_SOURCE_EVERY_MS, LOGIN_SOURCES_MAX)

  /**
   * Whether a login may be looked at. `source` is the address that it comes from, or a {@link gatewaySource}; `keys` whom it says to be; null where that
   * cannot be read: then only the source counts. Takes nothing: a client that is refused here, and tries on, is let through when its time has come.
   */
  allows(source: string, keys: DeviceKeys | null, now: number): boolean {
    const from = sourceOf(source)
    if (!this.#sources.has(from, now)) return false
    return keys === null || this.#pairs.has(pairOf(from, keys), now)
  }

  /** A login that was looked at was refused, for a reason that lies with the client. */
  refused(source: string, keys: DeviceKeys | null, now: number): void {
    const from = sourceOf(source)
    this.#sources.take(from, now)
    if (keys !== null) this.#pairs.take(pairOf(from, keys), now)
  }

  /** A login was let in: what this device was refused before, from this address, is forgotten. What others were from there is not. */
  admitted(source: string, keys: DeviceKeys | null): void {
    if (keys !== null) this.#pairs.fill(pairOf(sourceOf(source), keys))
  }

  /** How many addresses and pairs are remembered. */
  get size(): { readonly sources: number; readonly pairs: number } {
    return { sources: this.#sources.size, pairs: this.#pairs.size }
  }
}

/** Buckets by name, each kept as the instant at which it will be full again; one that is full is not kept. The longest unused goes when there are too many. */
class Buckets {
  readonly #fullAt = new Map<string, number>()
  readonly #everyMs: number
  readonly #max: number
  readonly #spanMs: number

  constructor(burst: number, everyMs: number, max: number) {
    this.#everyMs = everyMs
    this.#max = max
    this.#spanMs = burst * everyMs
  }

  get size(): number {
    return this.#fullAt.size
  }

  /** Whether there is a whole token in it. */
  has(name: string, now: number): boolean {
    const fullAt = this.#fullAt.get(name)
    if (fullAt === undefined) return true
    this.#fullAt.delete(name)
    if (fullAt > now) this.#fullAt.set(name, fullAt)
    return fullAt - now <= this.#spanMs - this.#everyMs
  }

  take(name: string, now: number): void {
    const fullAt = Math.max(this.#fullAt.get(name) ?? now, now) + this.#everyMs
    this.#fullAt.delete(name)
    this.#fullAt.set(name, Math.min(fullAt, now + 2 * this.#spanMs))
    const oldest = this.#fullAt.keys().next().value
    if (this.#fullAt.size > this.#max && oldest !== undefined) this.#fullAt.delete(oldest)
  }

  fill(name: string): void {
    this.#fullAt.delete(name)
  }
}

/** Neither addresses nor keys have blanks. */
const pairOf = (source: string, { productKey, deviceKey }: DeviceKeys): string => `${source} ${deviceKey}&${productKey}`

/**
 * Whoever has one IPv6 address mostly has its whole /64 network: it counts as one. An IPv4 address may come as part of an IPv6 one. A gateway is one
 * to the letter.
 */
export function sourceOf(address: string): string {
  if (!address.includes(':') || address.startsWith(GATEWAY)) return address
  const plain = address.replace(/%.*$/, '').toLowerCase()
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(plain)?.[1]
  if (mapped !== undefined) return mapped
  const [head = '', tail] = plain.split('::')
  const before = head === '' ? [] : head.split(':')
  // Where `::` stands for zeros among the first four groups, what is behind it may begin there too.
  const behind = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - behind.length)
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...behind]
  return `${groups.slice(0, 4).join(':')}::/64`
}
