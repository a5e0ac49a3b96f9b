// One POST to a webhook: signed, to an address that was looked at first, without redirects, and with an end however the receiver behaves.
// Not here: when it is sent again (delivery.ts).

import { createHmac } from 'node:crypto'
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { LookupFunction } from 'node:net'
import {
  WEBHOOK_ANSWER_MAX_BYTES,
  WEBHOOK_ANSWER_WAIT_MS,
  WEBHOOK_ERROR_MAX_CHARS,
  WEBHOOK_LOOKUPS_MAX,
  WEBHOOK_LOOKUPS_WAITING_MAX,
  WEBHOOK_POSTS_MAX,
  WEBHOOK_POSTS_WAITING_MAX,
} from '../core/limits.ts'
import type { Log } from '../log.ts'
import {
  addressesOf,
  Forbidden,
  type HostAddress,
  type Reachable,
  type Resolve,
  readUrl,
  resolveName,
} from './address.ts'
import { Crowded, Gate } from './gate.ts'

/** What is sent, and where. */
export interface Post {
  readonly url: string
  readonly webhookId: string
  /** the same for a repeat of the same */
  readonly delivery: string
  readonly body: string
  /** in clear */
  readonly secret: string
  /** epoch s, as the machine has it */
  readonly timestampS: number
}

/** What came of it. `taken`: the receiver answered 2xx. */
export interface Answered {
  readonly outcome: 'taken' | 'refused' | 'unreachable' | 'forbidden'
  /** null: there was no answer */
  readonly status: number | null
  /** why it was not taken; empty where it was */
  readonly error: string
  /** the beginning of what it said */
  readonly text: string
  /** ms for which the receiver asks to be left alone; null: it does not */
  readonly retryAfterMs: number | null
}

export interface PosterOptions {
  readonly reachable: Reachable
  readonly resolve?: Resolve
  /** ms that a receiver has for its answer */
  readonly waitMs?: number
  readonly log: Log
}

/** `t=<epoch s>,v1=<HMAC-SHA-256 of "<t>.<body>" in lower-case hex>`; the key is the secret's text. */
export function signatureOf(secret: string, timestampS: number, body: string): string {
  const mac = createHmac('sha256', secret).update(`${timestampS}.${body}`).digest('hex')
  return `t=${timestampS},v1=${mac}`
}

class TooLong extends Error {
  override readonly name = 'TooLong'
}

export class Poster {
  readonly reachable: Reachable
  readonly #resolve: Resolve
  readonly #waitMs: number
  readonly #log: Log
  readonly #gate = new Gate(WEBHOOK_POSTS_MAX, WEBHOOK_POSTS_WAITING_MAX)
  /** A look-up goes on after its POST was given up, and keeps its thread: so it keeps its place. */
  readonly #lookups = new Gate(WEBHOOK_LOOKUPS_MAX, WEBHOOK_LOOKUPS_WAITING_MAX)
  readonly #agents = {
    'http:': new HttpAgent({ keepAlive: true, maxFreeSockets: WEBHOOK_POSTS_MAX, timeout: 60_000 }),
    'https:': new HttpsAgent({ keepAlive: true, maxFreeSockets: WEBHOOK_POSTS_MAX, timeout: 60_000 }),
  }

  constructor({ reachable, resolve = resolveName, waitMs = WEBHOOK_ANSWER_WAIT_MS, log }: PosterOptions) {
    this.reachable = reachable
    this.#log = log
    this.#resolve = resolve
    this.#waitMs = waitMs
  }

  /** A delivery, as soon as there is a place for it. Never rejects: whatever goes wrong is said in the answer. Aborted, it is as if there had been none. */
  post(post: Post, signal: AbortSignal): Promise<Answered> {
    return this.#inTime(post, signal, over => this.#gate.pass(() => this.#send(post, over), over))
  }

  /** The same at once, whatever else is under way: for who has a place of his own. */
  postAtOnce(post: Post, signal: AbortSignal): Promise<Answered> {
    return this.#inTime(post, signal, over => this.#send(post, over))
  }

  /** The time is also for a place: who waits longer may have lost his turn to send meanwhile. */
  async #inTime(post: Post, signal: AbortSignal, work: (over: AbortSignal) => Promise<Answered>): Promise<Answered> {
    // Not AbortSignal.any: what it leaves on a signal that lives for long is never taken away.
    const over = new AbortController()
    const stop = () => over.abort(signal.reason)
    const tooLong = setTimeout(() => over.abort(new TooLong()), this.#waitMs)
    signal.addEventListener('abort', stop, { once: true })
    try {
      signal.throwIfAborted()
      return await work(over.signal)
    } catch (error) {
      const outcome = error instanceof Forbidden ? 'forbidden' : 'unreachable'
      if (error instanceof Forbidden && error.found !== null)
        this.#log.warn({ webhookId: post.webhookId, url: post.url, at: error.found }, 'a webhook is not sent')
      return { outcome, status: null, error: this.#told(error, signal), text: '', retryAfterMs: null }
    } finally {
      clearTimeout(tooLong)
      signal.removeEventListener('abort', stop)
    }
  }

  close(): void {
    for (const agent of Object.values(this.#agents)) agent.destroy()
  }

  #told(error: unknown, signal: AbortSignal): string {
    if (error instanceof TooLong) return `no answer within ${this.#waitMs / 1_000} s`
    if (signal.aborted) return 'the server stopped before there was an answer'
    if (error instanceof Crowded) return 'the server has too much to send at this moment'
    const { message, code }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error))
    return shortened(message === '' ? (code ?? 'the connection failed') : message)
  }

  async #send(post: Post, signal: AbortSignal): Promise<Answered> {
    const { url, body, webhookId, delivery, secret, timestampS } = post
    // It may have been allowed once and not be any more.
    const read = readUrl(url, this.reachable)
    if (typeof read === 'string') throw new Forbidden(`the URL ${read}`)
    const resolve: Resolve = host => this.#lookups.pass(() => this.#resolve(host), signal)
    const addresses = await inTime(addressesOf(read.url, this.reachable, resolve), signal)
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'user-agent': 'Downlink',
      'downlink-webhook-id': webhookId,
      'downlink-delivery': delivery,
      'downlink-signature': signatureOf(secret, timestampS, body),
    }
    const options = { method: 'POST', headers, signal, lookup: pinned(addresses) }
    const response = await this.#exchange(read.url, options, body)
    return answered(response, await beginningOf(response))
  }

  /** A connection that was kept open may have been closed by the receiver just now: then nothing was heard, and a new one is made. */
  async #exchange(url: URL, options: RequestOptions, body: string, isAgain = false): Promise<IncomingMessage> {
    const isSecure = url.protocol === 'https:'
    const send = isSecure ? httpsRequest : httpRequest
    const agent = this.#agents[isSecure ? 'https:' : 'http:']
    const request = send(url, { ...options, agent })
    try {
      return await new Promise<IncomingMessage>((resolve, reject) => {
        request
          .on('response', resolve)
          .on('error', error => reject(options.signal?.aborted ? options.signal.reason : error))
        request.end(body)
      })
    } catch (error) {
      const { code }: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error))
      if (isAgain || !request.reusedSocket || code !== 'ECONNRESET') throw error
      return this.#exchange(url, options, body, true)
    }
  }
}

/** Rejects when the signal is aborted; a look-up of a name cannot be called off. */
const inTime = <T>(work: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const over = () => reject(signal.reason)
    if (signal.aborted) over()
    signal.addEventListener('abort', over, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', over))
  })

/** Connects to these addresses, whatever the name resolves to by now. */
const pinned =
  (addresses: readonly [HostAddress, ...HostAddress[]]): LookupFunction =>
  (_host, options, done) => {
    if (options.all) done(null, [...addresses])
    else done(null, addresses[0].address, addresses[0].family)
  }

/** What counts is in the head already: a body that is long, slow or cut off takes nothing back. */
async function beginningOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response) {
      chunks.push(chunk)
      bytes += chunk.length
      // Leaving the loop ends the connection.
      if (bytes >= WEBHOOK_ANSWER_MAX_BYTES) break
    }
  } catch (error) {
    chunks.push(Buffer.from(` (cut off: ${error instanceof Error ? error.message : String(error)})`))
  }
  return shortened(Buffer.concat(chunks).toString('utf8'))
}

function answered(response: IncomingMessage, text: string): Answered {
  const status = response.statusCode ?? 0
  const retryAfterMs = secondsOf(response.headers['retry-after'])
  if (status >= 200 && status < 300) return { outcome: 'taken', status, error: '', text, retryAfterMs: null }
  const { location } = response.headers
  const isRedirect = status >= 300 && status < 400
  const why = isRedirect ? `redirects are not followed${location === undefined ? '' : `, to ${location}`}` : text
  const said = `${status} ${response.statusMessage ?? ''}`.trim()
  const error = shortened(why === '' ? said : `${said}: ${why}`)
  return { outcome: 'refused', status, error, text, retryAfterMs }
}

/** A date is not read: clocks differ. */
const secondsOf = (header: string | undefined): number | null =>
  header !== undefined && /^[0-9]{1,9}$/.test(header) ? Number(header) * 1_000 : null

/** Kept and shown: no longer than needed, and nothing that a store or a terminal chokes on. */
const shortened = (text: string): string =>
  text
    .slice(0, WEBHOOK_ERROR_MAX_CHARS)
    .replace(/[\p{Cc}\p{Surrogate}]/gu, ' ')
    .trim()
