// A lean HTTP/1.1 client for load: connections that stay open, one call at a time on each, whole answers. It costs the machine a quarter of what Node's own
// client does, and what the caller costs is missing to the server that shares its processors.
// Not here: what is called, and how it is signed (caller.ts). It understands what the servers of the benches send: a Content-Length, no chunks.

import { connect, type Socket } from 'node:net'

/** ms without an answer after which a bench has failed: longer than any instant command may take */
const ANSWER_WAIT_MS = 40_000
const HEAD_END = Buffer.from('\r\n\r\n')

interface Call {
  readonly bytes: string
  readonly resolve: (text: string) => void
  readonly reject: (error: Error) => void
}

/** As many connections as are asked for; calls beyond them wait in line. */
export class Http {
  readonly #waiting: Call[] = []
  readonly #idle: Connection[] = []
  readonly #all: Connection[] = []
  readonly #url: URL
  readonly #connections: number

  constructor(url: URL, connections: number) {
    this.#url = url
    this.#connections = connections
  }

  /** The body of the answer, whatever its status. Rejects where none comes. */
  call(method: string, path: string, headers: Readonly<Record<string, string>>, body: string): Promise<string> {
    const named = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const typed = body === '' ? '' : 'content-type: application/json\r\n'
    const head = `${method} ${path} HTTP/1.1\r\nhost: ${this.#url.host}\r\n${named.join('')}${typed}content-length: ${Buffer.byteLength(body)}\r\n\r\n`
    return new Promise((resolve, reject) => {
      const call = { bytes: head + body, resolve, reject }
      const connection = this.#idle.pop() ?? this.#another()
      if (connection === null) this.#waiting.push(call)
      else connection.send(call)
    })
  }

  close(): void {
    for (const connection of this.#all) connection.close()
  }

  #another(): Connection | null {
    if (this.#all.length >= this.#connections) return null
    const connection = new Connection(this.#url, free => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#idle.push(free)
      else free.send(next)
    })
    this.#all.push(connection)
    return connection
  }
}

class Connection {
  readonly #socket: Socket
  readonly #free: (connection: Connection) => void
  #call: Call | null = null
  #got: Buffer = Buffer.alloc(0)
  #closed = false
  #lost: Error | null = null

  constructor({ hostname, port }: URL, free: (connection: Connection) => void) {
    this.#free = free
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true })
    this.#socket.setTimeout(ANSWER_WAIT_MS, () => {
      if (this.#call !== null) this.#socket.destroy(new Error(`no answer within ${ANSWER_WAIT_MS} ms`))
    })
    this.#socket.on('data', (chunk: Buffer) => this.#data(chunk))
    this.#socket.on('error', error => {
      this.#lost = error
    })
    this.#socket.on('close', () => {
      this.#lost ??= new Error('the server closed the connection')
      if (!this.#closed) this.#call?.reject(this.#lost)
    })
  }

  send(call: Call): void {
    if (this.#lost !== null) {
      call.reject(this.#lost)
      return
    }
    this.#call = call
    this.#socket.write(call.bytes)
  }

  close(): void {
    this.#closed = true
    this.#socket.destroy()
  }

  #data(chunk: Buffer): void {
    this.#got = this.#got.length === 0 ? chunk : Buffer.concat([this.#got, chunk])
    const end = this.#got.indexOf(HEAD_END)
    if (end < 0) return
    const head = this.#got.toString('latin1', 0, end)
    const [, length] = /\r\ncontent-length: *([0-9]+)/i.exec(head) ?? []
    if (length === undefined) {
      this.#socket.destroy(new Error(`an answer without a length: ${head}`))
      return
    }
    const from = end + HEAD_END.length
    const until = from + Number(length)
    if (this.#got.length < until) return
    const text = this.#got.toString('utf8', from, until)
    this.#got = this.#got.subarray(until)
    const call = this.#call
    this.#call = null
    this.#free(this)
    call?.resolve(text)
  }
}
