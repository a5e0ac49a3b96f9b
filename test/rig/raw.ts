// HTTP by hand over a socket: for requests that no client library would send, and for answers byte by byte.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  /** by lower-case name */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** The JSON of an answer; fails with the whole answer where it is none. */
// biome-ignore lint/suspicious/noExplicitAny: the wire's answers are looked at field by field in expectations
export function jsonOf(answer: RawAnswer): any {
  try {
    return JSON.parse(answer.body)
  } catch (error) {
    throw new Error(`no JSON: ${JSON.stringify({ ...answer, headers: [...answer.headers] })}`, { cause: error })
  }
}

/** A request's bytes. Host is a good one and the length fits the body, unless `headers` say otherwise; null leaves a header out. */
export function request(
  method: string,
  path: string,
  headers: Readonly<Record<string, string | null>> = {},
  body: string | Uint8Array = '',
): Buffer {
  const length = Buffer.byteLength(body)
  const all = { host: 'localhost', ...(length > 0 ? { 'content-length': String(length) } : {}), ...headers }
  const lines = Object.entries(all).flatMap(([name, value]) => (value === null ? [] : [`${name}: ${value}`]))
  return Buffer.concat([Buffer.from([`${method} ${path} HTTP/1.1`, ...lines, '', ''].join('\r\n')), Buffer.from(body)])
}

export class RawConnection {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  readonly #closed: Promise<void>

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.socket = connect(Number(port), hostname)
    this.socket.on('data', chunk => {
      this.#received = Buffer.concat([this.#received, chunk])
    })
    // A server that closes while we still write resets the connection; what it answered before counts, and `answers` tells what did not come.
    this.socket.on('error', () => this.socket.destroy())
    this.#closed = new Promise(resolve => this.socket.once('close', () => resolve()))
  }

  send(bytes: string | Uint8Array): this {
    this.socket.write(bytes)
    return this
  }

  /** The next `count` answers. Rejects if the server closes before they are whole. */
  async answers(count: number): Promise<RawAnswer[]> {
    const found: RawAnswer[] = []
    while (found.length < count) {
      const next = this.#take()
      if (next !== null) found.push(next)
      else if (this.socket.closed) throw new Error(`closed after ${found.length} of ${count} answers`)
      else await Promise.race([once(this.socket, 'data'), this.#closed])
    }
    return found
  }

  async answer(): Promise<RawAnswer> {
    const [answer] = await this.answers(1)
    if (answer === undefined) throw new Error('no answer')
    return answer
  }

  /** Resolves when the connection is over. */
  closed(): Promise<void> {
    return this.#closed
  }

  destroy(): void {
    this.socket.destroy()
  }

  #take(): RawAnswer | null {
    const end = this.#received.indexOf('\r\n\r\n')
    if (end < 0) return null
    const [statusLine = '', ...lines] = this.#received.subarray(0, end).toString('latin1').split('\r\n')
    const headers = new Map(
      lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    )
    const length = Number(headers.get('content-length') ?? 0)
    const status = Number(statusLine.split(' ')[1])
    if (this.#received.length < end + 4 + length) return null
    const body = this.#received.subarray(end + 4, end + 4 + length).toString()
    this.#received = this.#received.subarray(end + 4 + length)
    return { status, headers, body }
  }
}

/** One request on a connection of its own. */
export async function rawCall(url: string, bytes: string | Uint8Array): Promise<RawAnswer> {
  const connection = new RawConnection(url)
  try {
    return await connection.send(bytes).answer()
  } finally {
    connection.destroy()
  }
}
