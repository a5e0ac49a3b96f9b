// A TCP balancer as plain as there is: each connection goes to the next node in turn, and on to the one after it where nobody listens. It asks no node how
// it is, so one that is paused gets its share of connections, accepts them as far as the kernel does, and says nothing.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** ms for a node to accept: on loopback only one whose backlog is full takes any time */
const ACCEPT_WAIT_MS = 1_000

export class Balancer {
  readonly #listener: Server
  /** ports of the nodes that are up, by their names */
  readonly #nodes = new Map<string, number>()
  readonly #clients = new Set<Socket>()
  /** the node that a connection went to, by the client's port: the newest one with that port */
  readonly #went = new Map<number, string>()
  #turn = 0

  private constructor(listener: Server) {
    this.#listener = listener
  }

  static async listen(): Promise<Balancer> {
    const listener = createServer({ noDelay: true, pauseOnConnect: true })
    const balancer = new Balancer(listener)
    listener.on('connection', client => balancer.#accept(client))
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    return balancer
  }

  get port(): number {
    const address = this.#listener.address() as AddressInfo | null
    return address?.port ?? 0
  }

  add(node: string, port: number): void {
    this.#nodes.set(node, port)
  }

  remove(node: string): void {
    this.#nodes.delete(node)
  }

  /** The node that the client with this port is, or was, connected to; null: to none. */
  nodeOf(clientPort: number): string | null {
    return this.#went.get(clientPort) ?? null
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.destroy()
    this.#listener.close()
    await once(this.#listener, 'close')
  }

  #accept(client: Socket): void {
    this.#clients.add(client)
    // Its end ends the other side; there is nothing else to do about an error.
    client.on('error', () => undefined)
    client.on('close', () => this.#clients.delete(client))
    const nodes = [...this.#nodes]
    this.#turn += 1
    const first = this.#turn % Math.max(1, nodes.length)
    this.#forward(client, [...nodes.slice(first), ...nodes.slice(0, first)])
  }

  /** To the first of them that listens. */
  #forward(client: Socket, [next, ...others]: readonly (readonly [string, number])[]): void {
    if (client.destroyed) return
    if (next === undefined) {
      client.resetAndDestroy()
      return
    }
    const [node, port] = next
    const server = connect({ port, host: '127.0.0.1', noDelay: true })
    const tooLong = setTimeout(() => server.destroy(), ACCEPT_WAIT_MS)
    const onwards = () => {
      clearTimeout(tooLong)
      this.#forward(client, others)
    }
    server.on('error', () => undefined)
    server.once('close', onwards)
    server.once('connect', () => {
      clearTimeout(tooLong)
      server.off('close', onwards)
      if (client.remotePort !== undefined) this.#went.set(client.remotePort, node)
      // What was written before the end arrives before it.
      server.once('close', () => client.destroySoon())
      client.once('close', () => server.destroySoon())
      if (client.destroyed) server.destroy()
      else client.pipe(server).pipe(client)
    })
  }
}
