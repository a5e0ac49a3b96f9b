// A network between a caller and its server that fails as real ones do: it passes bytes on, and cuts a connection where a test says so, before the server
// has the request or after it has. It knows HTTP only as far as to see where a request begins.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/**
 * What becomes of a request: `pass`; `refuse` it is cut before the server has a byte; `swallow` the server has it, and its answer is cut off before the
 * caller has a byte; `half` the caller gets the first bytes of the answer; `stall` the server has it, and the caller never hears anything.
 */
export type Fault = 'pass' | 'refuse' | 'swallow' | 'half' | 'stall'

export interface Asked {
  /** the query's `action`, or else the path */
  readonly what: string
  /** the request as far as it came in one piece */
  readonly text: string
}

/** bytes that get through of an answer that is cut in half: the status line and some headers */
const HALF_BYTES = 40

export class Cutter {
  /** says what becomes of the next request; each is counted before */
  fault: (asked: Asked) => Fault = () => 'pass'
  readonly requests: Asked[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(to: number) {
    this.#server = createServer(client => {
      const server = connect(to, '127.0.0.1')
      let fault: Fault = 'pass'
      for (const [socket, other] of [
        [client, server],
        [server, client],
      ] as const) {
        this.#sockets.add(socket)
        socket.on('error', () => other.destroy())
        socket.once('close', () => {
          this.#sockets.delete(socket)
          other.destroy()
        })
      }
      client.on('data', bytes => {
        const asked = askedOf(bytes.toString('latin1'))
        if (asked !== null) {
          this.requests.push(asked)
          fault = this.fault(asked)
        }
        if (fault === 'refuse') client.resetAndDestroy()
        else server.write(bytes)
      })
      server.on('data', bytes => {
        if (fault === 'pass') client.write(bytes)
        else if (fault === 'swallow') client.resetAndDestroy()
        else if (fault === 'half') client.end(bytes.subarray(0, HALF_BYTES))
      })
    })
  }

  static async start(to: string): Promise<Cutter> {
    const cutter = new Cutter(Number(new URL(to).port))
    cutter.#server.listen(0, '127.0.0.1')
    await once(cutter.#server, 'listening')
    return cutter
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** How often this was asked for. */
  asked(what: string): number {
    return this.requests.filter(request => request.what === what).length
  }

  /** Cuts every connection there is now. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve))
    this.cut()
    await closed
  }
}

/** The request that begins here; null where this is the rest of one. */
function askedOf(text: string): Asked | null {
  const [, target = ''] = /^(?:GET|POST|PUT|PATCH|DELETE) (\S+) HTTP\/1\.1\r\n/.exec(text) ?? []
  if (target === '') return null
  const url = new URL(target, 'http://localhost')
  return { what: url.searchParams.get('action') ?? url.pathname, text }
}
