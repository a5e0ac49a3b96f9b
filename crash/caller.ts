// An application: calls over HTTP, signed as the documents say. Written from the documents alone, so that a misreading in the server's code is not repeated here.
// Not here: what is called when (load.ts), and what the answers prove (ledger.ts).

import { createHash } from 'node:crypto'
import { Agent, type IncomingMessage, request } from 'node:http'
import { APP, ORG } from './fleet.ts'

/** ms for any answer; the longest instant command waits 3 s */
const ANSWER_WAIT_MS = 15_000

/** The wire's envelope. `code` is NaN where the body has none. */
export interface Answer {
  readonly status: number
  readonly code: number
  readonly msg: string
  readonly data: unknown
  /** our end of the connection that it came over */
  readonly port: number
}

/** How an answer failed to come: nobody listened, the connection ended before it or within it, or the caller hung up. */
export type Silence = 'refused' | 'lost' | 'cut off' | 'too slow'

/** No whole answer came. Unless the connection was refused, the call may have been carried out, or not. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  constructor(
    message: string,
    readonly how: Silence,
  ) {
    super(message)
  }

  /** false: nobody was listening, so nothing can have happened */
  get reached(): boolean {
    return this.how !== 'refused'
  }
}

export interface CallerOptions {
  /** ms until a call is given up, asked before each */
  readonly patienceMs?: () => number
  /** every second call has a connection of its own, so that whoever balances has something to choose */
  readonly isSpread?: boolean
}

export class Caller {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 })
  readonly #options: CallerOptions
  #token: string | null = null
  #calls = 0

  constructor(options: CallerOptions = {}) {
    this.#options = options
  }

  /** Asks for the token that all later calls are signed with; it outlives the server's process. */
  async login(httpUrl: string, timestamp = Date.now()): Promise<void> {
    const { appKey, appSecret } = APP
    const encryption = sha256(appKey + timestamp + appSecret)
    const body = JSON.stringify({ appKey, encryption, timestamp })
    const answer = await this.#exchange(httpUrl, 'POST', '/apim-token-service/v2.0/token/get', {}, body)
    const token = field(answer.body.data, 'accessToken')
    if (typeof token !== 'string') throw new Error(`no token: ${JSON.stringify(answer.body)}`)
    this.#token = token
  }

  /** One signed call about one device. Throws NoAnswer where none came. */
  async call(
    httpUrl: string,
    assetId: string,
    params: Readonly<Record<string, string>>,
    body: object | null,
  ): Promise<Answer> {
    const { path, headers, text } = this.signed('/connect-service/v2.1/commands', { assetId, ...params }, body)
    const { status, port, body: answer } = await this.#exchange(httpUrl, 'POST', path, headers, text)
    return { status, code: Number(answer.code ?? Number.NaN), msg: String(answer.msg), data: answer.data, port }
  }

  /** One signed call of the server's own API, with all that its answer says. Throws NoAnswer where none came. */
  async ours(
    httpUrl: string,
    method: string,
    route: string,
    params: Readonly<Record<string, string>> = {},
    body: object | null = null,
  ): Promise<Record<string, unknown>> {
    const { path, headers, text } = this.signed(route, params, body)
    const { body: answer } = await this.#exchange(httpUrl, method, path, headers, text)
    if (answer.code !== 0) throw new Error(`${method} ${route} was answered with ${JSON.stringify(answer)}`)
    return answer
  }

  /** A call as it is sent: its path with the query, its headers, its body. */
  signed(
    route: string,
    params: Readonly<Record<string, string>>,
    body: object | null = null,
  ): { readonly path: string; readonly headers: Readonly<Record<string, string>>; readonly text: string } {
    if (this.#token === null) throw new Error('login comes first')
    const query = { orgId: ORG, ...params }
    const text = body === null ? '' : JSON.stringify(body)
    const timestamp = String(Date.now())
    const pairs = Object.entries(query).sort(([left], [right]) => (left < right ? -1 : 1))
    const headers = {
      'apim-accesstoken': this.#token,
      'apim-timestamp': timestamp,
      'apim-signature': sha256(this.#token + pairs.flat().join('') + text + timestamp + APP.appSecret),
    }
    return { path: `${route}?${new URLSearchParams(query)}`, headers, text }
  }

  /** The status of a plain GET, or null where nobody answers. */
  async status(httpUrl: string, path: string): Promise<number | null> {
    try {
      return (await this.#exchange(httpUrl, 'GET', path, {}, '')).status
    } catch (error) {
      if (error instanceof NoAnswer) return null
      throw error
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  async #exchange(
    httpUrl: string,
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: string,
  ): Promise<{ status: number; port: number; body: Record<string, unknown> }> {
    const response = await this.#send(httpUrl, method, path, headers, body)
    const parsed: unknown = JSON.parse(response.text)
    if (typeof parsed !== 'object' || parsed === null) throw new Error(`${path} was answered with ${response.text}`)
    return { ...response, body: { ...parsed } }
  }

  #send(
    httpUrl: string,
    method: string,
    path: string,
    headers: Readonly<Record<string, string>>,
    body: string,
  ): Promise<{ status: number; port: number; text: string }> {
    const timeout = this.#options.patienceMs?.() ?? ANSWER_WAIT_MS
    this.#calls += 1
    const isAlone = this.#options.isSpread === true && this.#calls % 2 === 0
    return new Promise((resolve, reject) => {
      const lost = (error: NodeJS.ErrnoException) =>
        reject(
          error instanceof NoAnswer
            ? error
            : new NoAnswer(error.message, error.code === 'ECONNREFUSED' ? 'refused' : 'lost'),
        )
      const options = { agent: isAlone ? false : this.#agent, method, headers, timeout }
      const call = request(httpUrl + path, options, (response: IncomingMessage) => {
        const port = response.socket.localPort ?? 0
        let text = ''
        response.setEncoding('utf8').on('data', chunk => {
          text += chunk
        })
        // A body that was cut off is no answer, however much of it came.
        response.on('close', () => {
          if (response.complete) resolve({ status: response.statusCode ?? 0, port, text })
          else reject(new NoAnswer('the answer was cut off', 'cut off'))
        })
        response.on('error', lost)
      })
      call.on('error', lost)
      call.on('timeout', () => call.destroy(new NoAnswer(`no answer within ${timeout} ms`, 'too slow')))
      call.end(body)
    })
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** A field of something that may be no object at all. */
export const field = (of: unknown, name: string): unknown =>
  typeof of === 'object' && of !== null ? Object.entries(of).find(([key]) => key === name)?.[1] : undefined

export const textField = (of: unknown, name: string): string | null => {
  const value = field(of, name)
  return typeof value === 'string' ? value : null
}
export const numberField = (of: unknown, name: string): number | null => {
  const value = field(of, name)
  return typeof value === 'number' ? value : null
}
export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
