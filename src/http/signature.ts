// What a caller signs, and with what: the query as it stands in the URL, the digests, and their comparison. Pure functions.
// Not here: whose secret it is, how old a timestamp may be, and what a rejected caller is told (tokens.ts).

import { createHash, timingSafeEqual } from 'node:crypto'
import { invalid, type Refusal } from '../core/errors.ts'
import { quote } from '../core/json.ts'

/** One query parameter as it is signed: decoded, blanks kept; value null where the URL has the name without `=`. */
export interface SignedPair {
  readonly name: string
  readonly value: string | null
}

export interface Query {
  readonly ok: true
  /** What the actions read: names and values without surrounding blanks. A name without `=` has the value ''. */
  readonly values: ReadonlyMap<string, string>
  /** What the signature covers, in the order of the URL. */
  readonly signed: readonly SignedPair[]
}

/** Decodes one name or value as a form does: `+` is a blank, `%XX` a byte of UTF-8. Null where it is neither. */
function decode(text: string): string | null {
  // Bytes outside ASCII reach us as something else already, so their signature could not be checked: they must come percent-encoded.
  if (!/^[\x20-\x7e]*$/.test(text)) return null
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (error) {
    if (error instanceof URIError) return null
    throw error
  }
}

/**
 * Reads a raw query string (what follows the `?`). Refused with 99400: a name or value that is not well-formed, which other parsers
 * would quietly repair into something that was not signed, and a name that comes twice, of which readers take different ones. Names
 * differ by case, not by surrounding blanks. Pairs with an empty name (`&&`, `=x`) are ignored: the vendor's samples contain them,
 * and they name nothing.
 */
export function parseQuery(raw: string): Query | Refusal {
  const values = new Map<string, string>()
  const signed: SignedPair[] = []
  for (const pair of raw.split('&')) {
    const at = pair.indexOf('=')
    const name = decode(at < 0 ? pair : pair.slice(0, at))
    const value = at < 0 ? '' : decode(pair.slice(at + 1))
    if (name === null) return invalid('query', 'a name is not valid percent-encoded UTF-8')
    const key = name.trim()
    if (value === null)
      return invalid(key === '' ? 'query' : nameOf(key), 'the value is not valid percent-encoded UTF-8')
    if (key === '') continue
    if (values.has(key)) return invalid(nameOf(key), 'is given more than once')
    values.set(key, value.trim())
    signed.push({ name, value: at < 0 ? null : value })
  }
  return { ok: true, values, signed }
}

/** A parameter's name in a message: as it is if it looks like one, else quoted, short and on one line. */
const nameOf = (key: string): string => (/^[\w.-]{1,64}$/.test(key) ? key : quote(key))

const byName = (left: SignedPair, right: SignedPair): number =>
  left.name < right.name ? -1 : left.name > right.name ? 1 : 0

/**
 * The signature of a call, lower-case hex: SHA-256 over accessToken, each pair's name and decoded value with the names in order of
 * their UTF-16 units (upper case before lower case), the body's bytes as sent, timestamp, appSecret, with nothing between them.
 * A multipart body is not signed: pass an empty one.
 *
 * @param timestamp the header's text as sent
 * @param valueless what a name without `=` is signed with, see {@link isSignedBy}
 */
export function signature(
  accessToken: string,
  pairs: readonly SignedPair[],
  body: Uint8Array,
  timestamp: string,
  appSecret: string,
  valueless: '' | 'null' = '',
): string {
  const hash = createHash('sha256').update(accessToken)
  for (const { name, value } of [...pairs].sort(byName)) hash.update(name).update(value ?? valueless)
  return hash.update(body).update(timestamp).update(appSecret).digest('hex')
}

/**
 * Whether `given` is the signature of this call. A name without `=` may be signed with '' or, as the vendor's Java client does, with
 * the text `null`; all such names of one call alike. The action reads '' either way, so accepting both changes what is rejected, never what is done.
 */
export function isSignedBy(
  given: string,
  accessToken: string,
  pairs: readonly SignedPair[],
  body: Uint8Array,
  timestamp: string,
  appSecret: string,
): boolean {
  const plain = sameDigest(given, signature(accessToken, pairs, body, timestamp, appSecret))
  if (plain || pairs.every(({ value }) => value !== null)) return plain
  return sameDigest(given, signature(accessToken, pairs, body, timestamp, appSecret, 'null'))
}

/** What proves an appSecret to the token service, lower-case hex: SHA-256 over appKey, timestamp, appSecret. */
export const encryption = (appKey: string, timestamp: string, appSecret: string): string =>
  createHash('sha256').update(appKey).update(timestamp).update(appSecret).digest('hex')

/** Compares two hex digests in constant time, upper or lower case. Texts of different lengths are different. */
export function sameDigest(left: string, right: string): boolean {
  const a = Buffer.from(left.toLowerCase())
  const b = Buffer.from(right.toLowerCase())
  return a.length === b.length && timingSafeEqual(a, b)
}
