// How a device proves that it knows a secret: a digest of what it says about itself and the secret, in hex. One rule for MQTT logins, for sub-devices that
// a gateway logs in, and for logins over HTTP. Pure. Not here: which fields are signed and with whose secret; signatures of applications (http/signature.ts).

import { createHash, timingSafeEqual } from 'node:crypto'

export type Digest = 'sha256' | 'sha1' | 'md5'

/** Names of sign methods as the vendor's SDKs write them, in lower case. Those with hmac are labels only: all are plain digests. */
const digests: ReadonlyMap<string, Digest> = new Map([
  ['sha256', 'sha256'],
  ['hmacsha256', 'sha256'],
  ['sha1', 'sha1'],
  ['hmacsha1', 'sha1'],
  ['md5', 'md5'],
  ['hmacmd5', 'md5'],
])

/** For messages: what may be written, in any case. */
export const signMethods: readonly string[] = [...digests.keys()]

/** The digest that a sign method means, whatever its case; null: none that is known. */
export const digestOf = (signMethod: string): Digest | null => digests.get(signMethod.toLowerCase()) ?? null

/** Hex in lower case of the digest over names and values, without separators and in the order of the names, and then the secret. Text is UTF-8. */
export function signOf(fields: Readonly<Record<string, string>>, secret: string, digest: Digest): string {
  const hash = createHash(digest)
  // By code unit, which is alphabetical for the names that there are: they differ before their first capital.
  for (const name of Object.keys(fields).sort()) hash.update(`${name}${fields[name]}`, 'utf8')
  return hash.update(secret, 'utf8').digest('hex')
}

/** Whether `given` is the sign of these fields. In constant time, and whatever the case of the hex digits: the SDKs differ. */
export function isSign(
  fields: Readonly<Record<string, string>>,
  secret: string,
  digest: Digest,
  given: string | Buffer,
): boolean {
  const text = typeof given === 'string' ? given : given.toString('latin1')
  const actual = Buffer.from(text.toLowerCase(), 'utf8')
  const expected = Buffer.from(signOf(fields, secret, digest), 'utf8')
  return actual.length === expected.length && timingSafeEqual(actual, expected)
}
