// A balancer for tests: it puts a PROXY header before what its clients send, and passes everything on. The headers are made here once more, so that the
// server's own code is not what it is checked against.

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** Version 1, of a client with this address. */
export function lineHeader(source: string): Buffer {
  const [protocol, destination] = source.includes(':') ? ['TCP6', '2001:db8::ffff'] : ['TCP4', '203.0.113.255']
  return Buffer.from(`PROXY ${protocol} ${source} ${destination} 56324 443\r\n`)
}

/** Octets of an address; of IPv6 in full, or with one `::`. */
export function octetsOf(address: string): number[] {
  if (!address.includes(':')) return address.split('.').map(Number)
  const [before = [], behind = []] = address.split('::').map(part => (part === '' ? [] : part.split(':')))
  const groups = [...before, ...Array(8 - before.length - behind.length).fill('0'), ...behind]
  return groups.flatMap(group => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff])
}

export interface BinaryOptions {
  /** version and command; 0x21 = PROXY */
  readonly command?: number
  /** family and protocol; TCP of the address unless said otherwise */
  readonly kind?: number
  /** what follows the addresses */
  readonly more?: Uint8Array
  /** what it says that it has, where that is not so */
  readonly length?: number
}

/** Version 2, of a client with this address; null: without addresses. */
export function binaryHeader(source: string | null, options: BinaryOptions = {}): Buffer {
  const octets = source === null ? [] : octetsOf(source)
  const ports = source === null ? [] : [0xdc, 0x04, 0x01, 0xbb]
  const { command = 0x21, kind = { 0: 0, 4: 0x11, 16: 0x21 }[octets.length] ?? 0, more = [] } = options
  const rest = [...octets, ...octets, ...ports, ...more]
  const { length = rest.length } = options
  const signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
  return Buffer.from([...signature, command, kind, length >> 8, length & 0xff, ...rest])
}

/** Writes one byte in each turn of the loop, so that the other end reads them in many pieces. */
export async function writeSlowly(socket: Socket, bytes: Uint8Array): Promise<void> {
  socket.setNoDelay(true)
  for (const byte of bytes) {
    if (socket.destroyed) return
    await new Promise<void>(resolve => void socket.write(Uint8Array.of(byte), () => setImmediate(resolve)))
  }
}

export interface BalancerOptions {
  /** what stands before the first bytes of each client */
  readonly header: Uint8Array
  /** in which way the header and those bytes are written: as one packet, or each byte by itself */
  readonly manner?: 'one packet' | 'single bytes'
}

export class Balancer {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(to: number, { header, manner = 'one packet' }: BalancerOptions) {
    this.#server = createServer(client => {
      const server = connect(to, '127.0.0.1')
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
      server.pipe(client)
      client.once('data', async first => {
        client.pause()
        const bytes = Buffer.concat([header, first])
        if (manner === 'one packet') server.write(bytes)
        else await writeSlowly(server, bytes)
        client.pipe(server)
      })
    })
  }

  static async start(to: number | string, options: BalancerOptions): Promise<Balancer> {
    const balancer = new Balancer(typeof to === 'number' ? to : Number(new URL(to).port), options)
    balancer.#server.listen(0, '127.0.0.1')
    await once(balancer.#server, 'listening')
    return balancer
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}
