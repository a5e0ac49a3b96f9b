// One call, signed or with an operator's token: token, signature, sending, a new token where the old one is not known, and repeats. What it means is not known here.
// Not here: what can be called (client.ts), the bytes (exchange.ts).

import { type Answer, codes, DownlinkError, noToken, refusalOf, tokenOver } from './errors.ts'
import { exchange, type Fetch, foreign, type Request, readObject, readText, retryAfterMs } from './exchange.ts'
import { ANSWER_MARGIN_MS, SKEW_TOLD_MS } from './limits.ts'
import { type Retries, withRetries } from './retry.ts'
import { signature } from './signature.ts'
import { type Credentials, type Given, Tokens } from './token.ts'
import { isObject } from './wire.ts'

/** A call of any path of the server. */
export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** such as `/v1/devices`; its parts are percent-encoded by whoever makes it */
  readonly path: string
  /** beside orgId */
  readonly query?: Readonly<Record<string, string | number | boolean>>
  /** sent as JSON; a text is sent as it is, and must be JSON itself */
  readonly body?: object | string
  readonly headers?: Readonly<Record<string, string>>
  /** ms that the server may take by what is asked of it, such as the timeout of an instant command */
  readonly waitMs?: number
  /** whether it can change anything; a GET cannot, unless this says so */
  readonly changes?: boolean
  /** Whether doing it twice is as good as once, so that it may be repeated though nothing was heard of it. What changes nothing is, unless this says otherwise. */
  readonly repeatable?: boolean
  readonly signal?: AbortSignal | undefined
}

/** Who calls: an application, which signs, or a person with a token of his own. */
export type Identity = Credentials | { readonly operatorToken: string }

export interface CallerOptions extends Retries {
  /** without a slash at its end */
  readonly server: string
  /** null: no call has one */
  readonly orgId: string | null
  /** null: nothing is signed */
  readonly credentials: Identity | null
  readonly fetch: Fetch
  /** ms since 1970 */
  readonly now: () => number
}

const TOKENS = '/apim-token-service/v2.0/token'
const JSON_TYPE = 'application/json;charset=UTF-8'
const UNAUTHORIZED = 401

export class Caller {
  readonly #options: CallerOptions
  readonly #tokens: Tokens | null

  constructor(options: CallerOptions) {
    this.#options = options
    const { credentials, now, random } = options
    const ask = (what: 'get' | 'refresh', body: object) => this.#askToken(what, JSON.stringify(body))
    this.#tokens = isApplication(credentials) ? new Tokens({ ...credentials, now, random, ask }) : null
  }

  /** The answer, which has code 0. Throws DownlinkError, or the signal's reason. */
  async answer(call: Call): Promise<Answer> {
    return this.#repeated(call, () => this.#letIn(call, readAnswer))
  }

  /**
   * The response itself, its body not read: a stream of events. What is no such stream is read as an answer, and so an error. `retries`: other than those of
   * all calls, for who repeats it himself.
   */
  async open(call: Call, retries: number = this.#options.retries): Promise<Response> {
    const run = () =>
      this.#letIn(call, async (request, response) => {
        if (response.headers.get('content-type')?.startsWith('text/event-stream')) return response
        await readAnswer(request, response)
        throw foreign(request, response, 'an answer, and no stream of events')
      })
    return this.#repeated(call, run, retries)
  }

  async #repeated<T>(call: Call, run: () => Promise<T>, retries: number = this.#options.retries): Promise<T> {
    try {
      return await withRetries({ ...this.#options, retries }, call.signal, run)
    } catch (error) {
      const key = call.headers?.['idempotency-key'] ?? null
      if (key !== null && error instanceof DownlinkError) error.idempotencyKey = key
      throw error
    }
  }

  /** A call that was not let in has done nothing: it is made once more with another token. */
  async #letIn<T>(call: Call, read: (request: Request, response: Response) => Promise<T>): Promise<T> {
    const token = await this.#token(call.signal)
    try {
      return await this.#signed(call, token, read)
    } catch (error) {
      // By the status too: a device may answer with that very code, and then the command has been executed.
      const wasLetIn =
        !(error instanceof DownlinkError) || error.code !== codes.tokenExpired || error.httpStatus !== UNAUTHORIZED
      if (!wasLetIn && error.answer !== null && isOperator(this.#options.credentials)) throw tokenOver(error.answer)
      if (wasLetIn || token === null) throw error
      this.#tokens?.drop(token)
      return this.#signed(call, await this.#token(call.signal), read)
    }
  }

  /** The token that all calls share is not given up with the one that asked for it. */
  async #token(signal: AbortSignal | undefined): Promise<string | null> {
    if (this.#tokens === null) return null
    signal?.throwIfAborted()
    const token = this.#tokens.current()
    if (signal === undefined) return token
    return new Promise<string>((resolve, reject) => {
      const stop = () => reject(signal.reason)
      signal.addEventListener('abort', stop, { once: true })
      token.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
    })
  }

  async #signed<T>(
    call: Call,
    token: string | null,
    read: (request: Request, response: Response) => Promise<T>,
  ): Promise<T> {
    const { server, orgId, credentials, fetch, now } = this.#options
    const { method, path, waitMs = 0, changes = method !== 'GET', repeatable = !changes, signal } = call
    const query = queryOf({ ...(orgId === null ? {} : { orgId }), ...call.query })
    const body = typeof call.body === 'object' ? toJson(call.body) : (call.body ?? null)
    const headers: Record<string, string> = { ...(body === null ? {} : { 'content-type': JSON_TYPE }), ...call.headers }
    if (isOperator(credentials)) headers.authorization = `Bearer ${credentials.operatorToken}`
    if (isApplication(credentials) && token !== null) {
      const timestamp = String(now())
      headers['apim-accesstoken'] = token
      headers['apim-timestamp'] = timestamp
      headers['apim-signature'] = await signature(token, query, body ?? '', timestamp, credentials.appSecret)
    }
    const withinMs = waitMs + ANSWER_MARGIN_MS
    const request = { method, server, target: `${path}?${query}`, headers, body, withinMs, changes, repeatable, signal }
    return exchange(fetch, request, async response => {
      try {
        return await read(request, response)
      } catch (error) {
        if (error instanceof DownlinkError && error.code === codes.badSignature && error.answer)
          throw refusalOf(error.answer, request, { note: skewTold(response, now()) })
        throw error
      }
    })
  }

  /** Asking for a token changes nothing: whatever became of it, the call that wanted one has not been made. */
  async #askToken(what: 'get' | 'refresh', body: string): Promise<Given> {
    const { server, fetch, now } = this.#options
    const headers = { 'content-type': JSON_TYPE }
    const target = `${TOKENS}/${what}`
    const withinMs = ANSWER_MARGIN_MS
    const nature = { changes: false, repeatable: true }
    const request = { method: 'POST', server, target, headers, body, withinMs, ...nature, signal: undefined }
    return exchange(fetch, request, async response => {
      const text = await readText(response)
      const fields = readObject(request, response, text)
      const { status, msg, data } = fields
      if (status === 0 && isObject(data) && typeof data.accessToken === 'string' && typeof data.expire === 'number')
        return { accessToken: data.accessToken, expire: data.expire }
      // What is refused before anybody looks at it has a code instead, as every answer.
      const code = typeof status === 'number' && status !== 0 ? status : fields.code
      if (typeof code !== 'number') throw foreign(request, response, text)
      const answer = { ...envelopeOf(response, fields, text), code, msg: String(msg), data: null }
      const note = code === codes.badSignature ? skewTold(response, now()) : ''
      throw noToken(answer, nature, { retryAfterMs: retryAfterMs(response), note })
    })
  }
}

const isApplication = (identity: Identity | null): identity is Credentials => identity !== null && 'appKey' in identity

const isOperator = (identity: Identity | null): identity is Exclude<Identity, Credentials> =>
  identity !== null && 'operatorToken' in identity

async function readAnswer(request: Request, response: Response): Promise<Answer> {
  const text = await readText(response)
  const fields = readObject(request, response, text)
  if (typeof fields.code !== 'number' || typeof fields.msg !== 'string') throw foreign(request, response, text)
  const answer = {
    ...envelopeOf(response, fields, text),
    code: fields.code,
    msg: fields.msg,
    data: fields.data ?? null,
  }
  if (answer.code === 0) return answer
  throw refusalOf(answer, request, { retryAfterMs: retryAfterMs(response) })
}

const envelopeOf = (response: Response, fields: Readonly<Record<string, unknown>>, text: string) => ({
  httpStatus: response.status,
  requestId: typeof fields.requestId === 'string' ? fields.requestId : null,
  fields,
  text,
})

/** What a wrong timestamp may come from. Browsers show the header to pages of the server itself only. */
function skewTold({ headers }: Response, now: number): string {
  const skewMs = now - Date.parse(headers.get('date') ?? '')
  if (!(Math.abs(skewMs) > SKEW_TOLD_MS)) return ''
  const s = Math.round(Math.abs(skewMs) / 1_000)
  return `The clock of this machine is ${s} s ${skewMs > 0 ? 'ahead of' : 'behind'} the server’s.`
}

function queryOf(values: Readonly<Record<string, unknown>>): URLSearchParams {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) {
    // An undefined value would be sent as that word, or change what is asked: neither is meant.
    if (!['string', 'number', 'boolean'].includes(typeof value))
      throw new TypeError(`${name}: must be a text or a number`)
    query.set(name, String(value))
  }
  return query
}

/** JSON that says what was given: what JSON has no word for is an error, where JSON.stringify would leave it out or write null. */
export function toJson(value: object): string {
  return JSON.stringify(value, (name, part: unknown) => {
    if (typeof part === 'bigint')
      throw new TypeError(`${name}: JSON has no BigInt: give a number up to 2^53, or a text where the model takes one`)
    if (typeof part === 'number' && !Number.isFinite(part)) throw new TypeError(`${name}: JSON has no ${part}`)
    return part
  })
}
