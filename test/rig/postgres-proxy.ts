// A TCP proxy between a store and its PostgreSQL that fails where a test wants it to: at a COMMIT, at the nth message of a transaction, or for a while.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { PostgresServer } from './postgres.ts'

/** The message that commits, as the driver sends it. */
const COMMIT = Buffer.from('Q\0\0\0\x0bcommit\0', 'latin1')

/**
 * What becomes of the next COMMIT:
 * `cutBefore` it never arrives, and the server sees that the connection has ended;
 * `cutAfter` it arrives, and its answer does not;
 * `hold` the client sees that the connection has ended; the server does not, and gets the COMMIT when the test says so.
 */
export type Fate = 'cutBefore' | 'cutAfter' | 'hold'

interface Link {
  readonly client: Socket
  readonly server: Socket
}

export class PostgresProxy {
  readonly #listener: Server
  readonly #links = new Set<Link>()
  #isDown = false
  #isStalled = false
  #fate: Fate | null = null
  #thenDown = false
  #cutIn = 0
  #held: { readonly link: Link; readonly commit: Buffer } | null = null
  /** COMMITs that reached the proxy */
  commits = 0
  /** how often the client spoke after the server had, or first: so often it waited for an answer */
  roundTrips = 0

  private constructor(listener: Server) {
    this.#listener = listener
  }

  static async start(server: PostgresServer, port = 0): Promise<PostgresProxy> {
    const listener = createServer()
    const proxy = new PostgresProxy(listener)
    listener.on('connection', client => proxy.#accept(client, connect(server.socket)))
    listener.listen(port, '127.0.0.1')
    await once(listener, 'listening')
    return proxy
  }

  url(database: string): string {
    const { port } = this.#listener.address() as AddressInfo
    return `postgres://downlink@127.0.0.1:${port}/${database}`
  }

  /** thenDown: when that connection is cut, all are, and no new one is taken. */
  nextCommit(fate: Fate, thenDown = false): void {
    this.#fate = fate
    this.#thenDown = thenDown
  }

  /** The connection that brings the nth chunk from now on is cut, and the chunk goes with it. */
  cutAtChunk(n: number): void {
    this.#cutIn = n
  }

  /** Cuts every connection and takes no new one. */
  down(): void {
    this.#isDown = true
    for (const link of this.#links) end(link)
  }

  get isDown(): boolean {
    return this.#isDown
  }

  up(): void {
    this.#isDown = false
  }

  /** Nothing arrives any more on the connections that there are, and nobody is told; new ones are as good as ever. */
  stall(): void {
    for (const { client, server } of this.#links) {
      client.pause()
      server.pause()
    }
  }

  /** No new connection gets an answer either. */
  stallAll(stalled: boolean): void {
    this.#isStalled = stalled
    if (stalled) this.stall()
  }

  get isHolding(): boolean {
    return this.#held !== null
  }

  /** The COMMIT that was held arrives at last. */
  deliver(): void {
    this.#held?.link.server.write(this.#held.commit)
    this.#held?.link.server.end()
    this.#held = null
  }

  async stop(): Promise<void> {
    this.down()
    this.#listener.close()
    await once(this.#listener, 'close')
  }

  #accept(client: Socket, server: Socket): void {
    const link = { client, server }
    this.#links.add(link)
    // A reset is what the tests want; who waits for the connection is told by its end.
    for (const socket of [client, server]) socket.on('error', () => end(link))
    client.on('close', () => {
      if (this.#held?.link !== link) end(link)
      this.#links.delete(link)
    })
    server.on('close', () => end(link))
    if (this.#isDown) end(link)
    if (this.#isDown || this.#isStalled) return
    let isAnswered = true
    client.on('data', chunk => {
      if (isAnswered) this.roundTrips += 1
      isAnswered = false
      this.#forward(link, chunk)
    })
    server.on('data', answer => {
      isAnswered = true
      client.write(answer)
    })
  }

  #forward(link: Link, chunk: Buffer): void {
    const isCommit = chunk.includes(COMMIT)
    if (isCommit) this.commits += 1
    const fate = isCommit ? this.#fate : null
    if (isCommit) this.#fate = null
    const isCut = this.#cutIn > 0 && --this.#cutIn === 0
    if (isCut || fate === 'cutBefore') this.#cut(link)
    else if (fate === 'hold') {
      this.#held = { link, commit: chunk }
      link.client.destroy()
    } else {
      if (fate === 'cutAfter') {
        link.server.removeAllListeners('data')
        link.server.once('data', () => this.#cut(link))
      }
      link.server.write(chunk)
    }
  }

  #cut(link: Link): void {
    if (this.#thenDown) this.down()
    this.#thenDown = false
    end(link)
  }
}

function end({ client, server }: Link): void {
  client.destroy()
  server.destroy()
}
