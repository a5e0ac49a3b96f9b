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
  #idle: Connection[] = []
  readonly #all = new Set<Connection>()
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
    if (this.#all.size >= this.#connections) return null
    const free = (connection: Connection): void => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#idle.push(connection)
      else connection.send(next)
    }
    // A server closes what has been idle for long; the next call opens another one.
    const lost = (connection: Connection): void => {
      this.#all.delete(connection)
      this.#idle = this.#idle.filter(idle => idle !== connection)
    }
    const connection = new Connection(this.#url, free, lost)
    this.#all.add(connection)
    return connection
  }
}

class Connection {
  readonly #socket: Socket
  readonly #free: (connection: Connection) => void
  #call: Call | null = null
  #got: Buffer = Buffer.alloc(0)
  #closed = false
  #reason = 'the server closed the connection'

  constructor({ hostname, port }: URL, free: (connection: Connection) => void, lost: (connection: Connection) => void) {
    this.#free = free
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true })
    this.#socket.setTimeout(ANSWER_WAIT_MS, () => {
      if (this.#call !== null) this.#socket.destroy(new Error(`no answer within ${ANSWER_WAIT_MS} ms`))
    })
    this.#socket.on('data', (chunk: Buffer) => this.#data(chunk))
    this.#socket.on('error', error => {
      this.#reason = error.message
    })
    this.#socket.on('close', () => {
      lost(this)
      if (!this.#closed) this.#call?.reject(new Error(this.#reason))
    })
  }

  send(call: Call): void {
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
