// What a caller signs, and with what: the two digests of the vendor's API, by the Web Cryptography that node and browsers share. Pure but for that.
// Not here: which token, when it is renewed (token.ts).

/** SHA-256 of a text in UTF-8, lower-case hex. */
export async function sha256(text: string): Promise<string> {
  const { subtle } = globalThis.crypto
  // Browsers have it in secure contexts only.
  if (subtle === undefined) throw new TypeError('signing needs a secure page: serve it by https, or from localhost')
  const digest = await subtle.digest('SHA-256', new TextEncoder().encode(text))
  return Array.from(new Uint8Array(digest), byte => byte.toString(16).padStart(2, '0')).join('')
}

/**
 * The signature of a call: over accessToken, each query parameter's name and decoded value with the names in order of their UTF-16 units, the body as
 * sent, timestamp, appSecret, with nothing between them.
 * @param timestamp ms since 1970 in digits, as the header has it
 */
export function signature(
  accessToken: string,
  query: Iterable<readonly [name: string, value: string]>,
  body: string,
  timestamp: string,
  appSecret: string,
): Promise<string> {
  const pairs = [...query].sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0))
  const signed = pairs.map(([name, value]) => name + value).join('')
  return sha256(`${accessToken}${signed}${body}${timestamp}${appSecret}`)
}

/** What proves an appSecret to the token service. */
export const encryption = (appKey: string, timestamp: string, appSecret: string): Promise<string> =>
  sha256(`${appKey}${timestamp}${appSecret}`)
