// Where webhooks may go: by default to public addresses over TLS, because whoever may make a webhook must not reach with it what only this server can reach.
// Not here: the connection itself (post.ts), which goes to the very addresses that were looked at here.

import { lookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import { WEBHOOK_URL_MAX_CHARS } from '../core/limits.ts'

/** `public`: https to public addresses. `any`: http too, and any address; for development, and for receivers in a network of one's own. */
export type Reachable = 'public' | 'any'

export interface HostAddress {
  readonly address: string
  readonly family: 4 | 6
}
/** The addresses of a name. */
export type Resolve = (host: string) => Promise<readonly HostAddress[]>

/** What is said of an address, a name or a URL to which nothing is sent. The message is for the caller, `found` for the log. */
export class Forbidden extends Error {
  override readonly name = 'Forbidden'
  /** What a name is at. Not for who made the webhook: by names and answers he could learn how the network in here is made. Null: there is nothing more to say. */
  readonly found: string | null

  constructor(message: string, found: string | null = null) {
    super(message)
    this.found = found
  }
}

/** Ranges that are not the public internet (IANA special-purpose registries), and what they are. */
const special: readonly (readonly [string, number, string])[] = [
  ['0.0.0.0', 8, 'this network'],
  ['10.0.0.0', 8, 'private'],
  ['100.64.0.0', 10, 'shared, behind a carrier'],
  ['127.0.0.0', 8, 'loopback'],
  ['169.254.0.0', 16, 'link-local'],
  ['172.16.0.0', 12, 'private'],
  ['192.0.0.0', 24, 'reserved for protocols'],
  ['192.0.2.0', 24, 'for documentation'],
  ['192.31.196.0', 24, 'reserved for protocols'],
  ['192.52.193.0', 24, 'reserved for protocols'],
  ['192.88.99.0', 24, 'a relay'],
  ['192.168.0.0', 16, 'private'],
  ['192.175.48.0', 24, 'reserved for protocols'],
  ['198.18.0.0', 15, 'for benchmarks'],
  ['198.51.100.0', 24, 'for documentation'],
  ['203.0.113.0', 24, 'for documentation'],
  ['224.0.0.0', 4, 'multicast'],
  ['240.0.0.0', 4, 'reserved'],
  ['::', 128, 'unspecified'],
  ['::1', 128, 'loopback'],
  ['::ffff:0:0', 96, 'an IPv4 address in disguise'],
  ['::', 96, 'an IPv4 address in disguise'],
  ['64:ff9b::', 96, 'an IPv4 address in disguise'],
  ['64:ff9b:1::', 48, 'an IPv4 address in disguise'],
  ['100::', 64, 'discarded'],
  ['2001::', 23, 'reserved for protocols'],
  ['2001:db8::', 32, 'for documentation'],
  ['2002::', 16, 'an IPv4 address in disguise'],
  ['2620:4f:8000::', 48, 'reserved for protocols'],
  ['3fff::', 20, 'for documentation'],
  ['5f00::', 16, 'for segment routing'],
  ['fc00::', 7, 'private'],
  ['fe80::', 10, 'link-local'],
  ['fec0::', 10, 'private'],
  ['ff00::', 8, 'multicast'],
]

function listOf(network: string, prefix: number): BlockList {
  const list = new BlockList()
  list.addSubnet(network, prefix, network.includes(':') ? 'ipv6' : 'ipv4')
  return list
}
const ranges = special.map(([network, prefix, what]) => ({
  list: listOf(network, prefix),
  family: network.includes(':') ? 6 : 4,
  what,
}))
/** all that is given out as global unicast of IPv6 so far */
const GLOBAL_IPV6 = listOf('2000::', 3)

/** What an address is that is not public; null: it is. */
export function notPublic(address: string): string | null {
  const family = isIP(address)
  if (family === 0) return 'no address'
  const type = family === 6 ? 'ipv6' : 'ipv4'
  const found = ranges.find(range => range.family === family && range.list.check(address, type))
  if (found !== undefined) return found.what
  return family === 6 && !GLOBAL_IPV6.check(address, 'ipv6') ? 'not given out' : null
}

/** The URL of a webhook, as it is kept, or why it cannot be one. What its name resolves to is looked at before each POST. */
export function readUrl(text: string, reachable: Reachable): { readonly ok: true; readonly url: URL } | string {
  if (text.length > WEBHOOK_URL_MAX_CHARS) return `has more than ${WEBHOOK_URL_MAX_CHARS} characters`
  if (!URL.canParse(text)) return 'is not a URL, such as https://example.com/hook'
  const url = new URL(text)
  const schemes = reachable === 'any' ? ['https:', 'http:'] : ['https:']
  if (!schemes.includes(url.protocol))
    return reachable === 'any' ? 'must begin with https:// or http://' : 'must begin with https://'
  if (url.username !== '' || url.password !== '')
    return 'must not hold a user or a password: requests are signed, so check their signature'
  if (url.hash !== '') return 'must not have a fragment (#): it is never sent'
  const literal = literalOf(url.hostname)
  if (literal !== null) {
    const what = reachable === 'any' ? null : notPublic(literal.address)
    if (what !== null) return `must be at a public address, and ${literal.address} is not (${what})`
  }
  return { ok: true, url }
}

/** The address that a host is by itself; null: it is a name. A URL has IPv4 in its plain form, however it was written, and IPv6 in brackets. */
function literalOf(hostname: string): HostAddress | null {
  const bare = hostname.replace(/^\[(.*)\]$/, '$1')
  const family = isIP(bare)
  return family === 4 || family === 6 ? { address: bare, family } : null
}

export const resolveName: Resolve = async host => {
  const found = await lookup(host, { all: true, verbatim: true })
  return found.flatMap(({ address, family }) => (family === 4 || family === 6 ? [{ address, family }] : []))
}

/**
 * The addresses to connect to, and to no others: what is looked up again a moment later may be something else. Throws Forbidden where one of them is not
 * public; and what the look-up throws.
 */
export async function addressesOf(
  url: URL,
  reachable: Reachable,
  resolve: Resolve,
): Promise<readonly [HostAddress, ...HostAddress[]]> {
  const literal = literalOf(url.hostname)
  const [first, ...others] = literal === null ? await resolve(url.hostname) : [literal]
  if (first === undefined) throw new Error(`${url.hostname} has no address`)
  for (const { address } of reachable === 'any' ? [] : [first, ...others]) {
    const what = notPublic(address)
    if (what !== null)
      throw new Forbidden(
        `${url.hostname} is at an address that is not public: nothing is sent there`,
        `${address} (${what})`,
      )
  }
  return [first, ...others]
}
