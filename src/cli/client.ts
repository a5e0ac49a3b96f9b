// A small caller of Downlink's own HTTP API for the command line: token, signature, one retry when the token has expired, bounded answers.
// Not here: what the answers mean to a person (command.ts).

import { authErrors } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import { ANSWER_MARGIN_MS, ANSWER_MAX_BYTES, TOKEN_ATTEMPTS } from '../core/limits.ts'
import { encryption, signature } from '../http/signature.ts'
import { printable } from './terminal.ts'

export interface Credentials {
  readonly appKey: string
  readonly appSecret: string
}

/** The envelope of the command API, as it was read. */
export interface Answer {
  /** of HTTP */
  readonly status: number
  readonly code: number
  readonly msg: string
  readonly data: unknown
  /** the whole envelope, for what stands beside `data` */
  readonly fields: Readonly<Record<string, unknown>>
  /** the body as it came */
  readonly text: string
}

/** No answer that could be understood. The message says what to do next and holds no secret. */
export class CallFailed extends Error {
  override readonly name = 'CallFailed'
}

const UNAUTHORIZED = 401
const COMMANDS = '/connect-service/v2.1/commands'
const TOKEN_GET = '/apim-token-service/v2.0/token/get'
/** characters of a body that is no answer, as a message shows it */
const SHOWN_CHARS = 200

export class Client {
  readonly #server: URL
  readonly #credentials: Credentials | null
  readonly #now: () => number
  #token: string | null = null

  /** Without credentials nothing is signed, which a server takes only with `--auth open`. */
  constructor(server: URL, credentials: Credentials | null, now: () => number = Date.now) {
    this.#server = server
    this.#credentials = credentials
    this.#now = now
  }

  /**
   * One call of the command API. Refusals come as answers with their code; CallFailed where nothing or something else came back.
   * `body` is JSON text, sent as it is; `waitMs` is how long the server may take by what is asked of it.
   * Repeated once with a new token after 1203: a call that was not let in has done nothing.
   */
  async call(
    method: 'GET' | 'POST',
    query: Readonly<Record<string, string>>,
    body: string | null,
    waitMs: number,
  ): Promise<Answer> {
    const answer = await this.#signed(method, query, body, waitMs)
    // By the status too: a device may answer with that very code, and then the command has been executed.
    const wasLetIn = answer.status !== UNAUTHORIZED || answer.code !== authErrors.tokenExpired.code
    if (wasLetIn || this.#credentials === null) return answer
    this.#token = null
    return this.#signed(method, query, body, waitMs)
  }

  async #signed(
    method: 'GET' | 'POST',
    query: Readonly<Record<string, string>>,
    body: string | null,
    waitMs: number,
  ): Promise<Answer> {
    const headers: Record<string, string> = body === null ? {} : { 'content-type': 'application/json;charset=UTF-8' }
    if (this.#credentials) {
      this.#token ??= await this.#getToken(this.#credentials)
      const pairs = Object.entries(query).map(([name, value]) => ({ name, value }))
      const timestamp = String(this.#now())
      headers['apim-accesstoken'] = this.#token
      headers['apim-timestamp'] = timestamp
      headers['apim-signature'] = signature(
        this.#token,
        pairs,
        Buffer.from(body ?? ''),
        timestamp,
        this.#credentials.appSecret,
      )
    }
    const { status, text, fields } = await this.#exchange(
      method,
      `${COMMANDS}?${new URLSearchParams(query)}`,
      headers,
      body,
      waitMs,
    )
    const { code, msg, data } = fields
    if (typeof code !== 'number' || typeof msg !== 'string') throw notDownlink(this.#server, text)
    return { status, code, msg, data, fields, text }
  }

  async #getToken({ appKey, appSecret }: Credentials): Promise<string> {
    for (let attempt = 1; ; attempt += 1) {
      const timestamp = String(this.#now())
      const body = JSON.stringify({ appKey, encryption: encryption(appKey, timestamp, appSecret), timestamp })
      const headers = { 'content-type': 'application/json;charset=UTF-8' }
      const { text, fields } = await this.#exchange('POST', TOKEN_GET, headers, body, 0)
      const { status, msg, data } = fields
      if (status === 0 && isObject(data) && typeof data.accessToken === 'string') return data.accessToken
      if (typeof status !== 'number') throw notDownlink(this.#server, text)
      if (status !== authErrors.repeated.code || attempt === TOKEN_ATTEMPTS) throw tokenRefused(status, String(msg))
      // Another process asked in the same millisecond; in a later one the encryption is another.
      await new Promise(resolve => setTimeout(resolve, attempt))
    }
  }

  async #exchange(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: string | null,
    waitMs: number,
  ): Promise<{ status: number; text: string; fields: Record<string, unknown> }> {
    const url = this.#server.href.replace(/\/$/, '') + path
    let text: string
    let status: number
    try {
      const signal = AbortSignal.timeout(waitMs + ANSWER_MARGIN_MS)
      // A signed call is meant for one server: it follows no redirect.
      const response = await fetch(url, { method, headers, body, signal, redirect: 'error' })
      status = response.status
      text = await readBounded(response)
    } catch (error) {
      if (error instanceof CallFailed) throw error
      throw unreachable(this.#server, error)
    }
    let fields: unknown
    try {
      fields = JSON.parse(text)
    } catch {
      throw notDownlink(this.#server, text)
    }
    if (!isObject(fields)) throw notDownlink(this.#server, text)
    return { status, text, fields }
  }
}

async function readBounded(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > ANSWER_MAX_BYTES)
      throw new CallFailed(`the answer is larger than ${ANSWER_MAX_BYTES} bytes; ask for less with --limit`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function tokenRefused(status: number, msg: string): CallFailed {
  const known = Object.values(authErrors).find(({ code }) => code === status)
  const next = known ? ` ${known.next}` : ''
  return new CallFailed(`the server gave no token: ${status} ${printable(msg, SHOWN_CHARS)}.${next}`)
}

/** As it was named, with its path: that may be what is wrong. */
const shown = (server: URL): string => printable(server.href.replace(/\/$/, ''))

/** What OpenSSL says of an answer that is no TLS, such as that of an HTTP server. */
const NOT_TLS: ReadonlySet<string> = new Set(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'])

function unreachable(server: URL, error: unknown): CallFailed {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const why = cause instanceof Error ? printable(cause.message || cause.name, SHOWN_CHARS) : 'unknown cause'
  if (error instanceof Error && error.name === 'TimeoutError')
    return new CallFailed(
      `no answer from ${shown(server)} in time; what was sent may be on record, look with: downlink command list`,
    )
  if (cause instanceof Error && 'code' in cause && NOT_TLS.has(String(cause.code)))
    return new CallFailed(
      `${shown(server)} does not speak TLS; try --server ${shown(server).replace(/^https/, 'http')}`,
    )
  return new CallFailed(
    `cannot reach ${shown(server)} (${why}); start a server with "downlink serve", or name another with --server`,
  )
}

const notDownlink = (server: URL, text: string): CallFailed =>
  new CallFailed(
    `${shown(server)} does not answer as Downlink does: ${printable(text, SHOWN_CHARS) || 'empty body'}; check --server`,
  )
