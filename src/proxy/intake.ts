// Connections that come from balancers: each begins with a header of the PROXY protocol, which is taken off before anybody else sees the connection, and the
// address in it counts as the connection's. Not here: what a header looks like (header.ts). Nothing is guessed: a connection without a header is closed,
// for whoever could choose would be believed any address.

import type { Server, Socket } from 'node:net'
import type { Clock, Timers } from '../clock.ts'
import { PROXY_HEADER_WAIT_MS } from '../core/limits.ts'
import type { Log } from '../log.ts'
import { Sparing } from '../uplink/sparing.ts'
import { type HeaderFault, readHeader } from './header.ts'

/** Why a connection was closed instead of taken in. */
export type IntakeFault = HeaderFault | 'too slow' | 'cut off'

export interface IntakeOptions {
  readonly clock: Clock & Timers
  readonly log: Pick<Log, 'warn'>
  readonly count: (fault: IntakeFault) => void
}

export class Intake {
  readonly #options: IntakeOptions
  readonly #refusals: Sparing
  /** what lets go of each connection whose header is waited for */
  readonly #waiting = new Map<Socket, () => void>()
  /** what headers said, of connections that are open. By their ends, since that of TLS is another socket over the same connection */
  readonly #sources = new Map<string, string>()
  #stopping = false

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#refusals = new Sparing(options.clock, options.log)
  }

  /**
   * Stands before what a server of node does with its connections so far: HTTP, or the handshake of TLS. To be called before the server listens, and
   * before a listener for connections is added that is to hear of them at once.
   */
  guard(server: Server): void {
    const takers = server.listeners('connection')
    server.removeAllListeners('connection')
    server.on('connection', (socket: Socket) =>
      this.read(socket, () => {
        for (const take of takers) Reflect.apply(take, server, [socket])
      }),
    )
  }

  /**
   * Takes the header off, and then calls `pass`, in whose turn the socket must get its reader: what came behind the header is the first that it reads. Where
   * no good header comes within PROXY_HEADER_WAIT_MS the socket is closed, and that is counted, and logged within bounds. A balancer that only looks whether
   * the port is open sends nothing, and that is not remarkable.
   */
  read(socket: Socket, pass: () => void): void {
    if (this.#stopping) socket.destroy()
    if (socket.destroyed) return
    // Looked at now, since a socket that was closed does not know them any more.
    const ends = endsOf(socket)
    let held = NOTHING
    const leave = (): void => {
      cancel()
      this.#waiting.delete(socket)
      socket.off('readable', take).off('end', end).off('error', end).off('close', closed)
    }
    const refuse = (fault: IntakeFault, detail: string): void => {
      leave()
      this.#refused(socket, fault, detail)
      socket.destroy()
    }
    const take = (): void => {
      const chunk: Buffer | null = socket.read()
      if (chunk === null) return
      held = Buffer.concat([held, chunk])
      const header = readHeader(held)
      if (header.type === 'unfinished') return
      if (header.type === 'wrong') {
        refuse(header.fault, header.detail)
        return
      }
      leave()
      if (header.source !== null) this.#remember(socket, ends, header.source)
      if (held.length > header.length) socket.unshift(held.subarray(header.length))
      pass()
    }
    const end = (): void => void socket.destroy()
    const closed = (): void => {
      if (held.length > 0) refuse('cut off', `it was closed after ${held.length} bytes of a header`)
      else leave()
    }
    const until = this.#options.clock.now() + PROXY_HEADER_WAIT_MS
    const cancel = this.#options.clock.at(until, () =>
      refuse('too slow', `no header in ${PROXY_HEADER_WAIT_MS} ms, but ${held.length} bytes of one`),
    )
    this.#waiting.set(socket, leave)
    socket.on('readable', take).on('end', end).on('error', end).on('close', closed)
  }

  /** The address that a connection comes from: what its header says, else the one that it has. undefined: it is closed. */
  sourceOf(socket: Socket): string | undefined {
    return this.#sources.get(endsOf(socket)) ?? socket.remoteAddress
  }

  /** Connections whose header is waited for, and those whose header named an address. */
  gauges(): { readonly waiting: number; readonly sources: number } {
    return { waiting: this.#waiting.size, sources: this.#sources.size }
  }

  /** Waits for no more headers: whoever has not sent one is closed. */
  stop(): void {
    this.#stopping = true
    for (const [socket, leave] of this.#waiting) {
      leave()
      socket.destroy()
    }
  }

  #remember(socket: Socket, ends: string, source: string): void {
    this.#sources.set(ends, source)
    socket.once('close', () => this.#sources.delete(ends))
  }

  #refused({ remoteAddress, localPort }: Socket, fault: IntakeFault, detail: string): void {
    this.#options.count(fault)
    const fields = { remote: remoteAddress, port: localPort, fault, detail }
    this.#refusals.warn(fields, 'connection closed: with --proxy-protocol each must begin with a PROXY header')
  }
}

const NOTHING = Buffer.alloc(0)

const endsOf = ({ localAddress, localPort, remoteAddress, remotePort }: Socket): string =>
  `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`
