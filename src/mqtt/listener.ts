// The MQTT endpoint for directly connected devices: listening sockets, the list of connections, the bounds that they share.
// Not here: one connection (connection.ts), who may come in (connect.ts), the protocol after that (session.ts).

import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import type { Clock } from '../clock.ts'
import { CONNECT_WAIT_MS, CONNECTIONS_MAX, CONNECTIONS_SPARE, REFUSALS_LOGGED_PER_S } from '../core/limits.ts'
import { Connection, type Endpoint, type MqttEvent, type MqttLog } from './connection.ts'

export interface MqttOptions extends Pick<Endpoint, 'engine' | 'fleet' | 'clock' | 'log' | 'readyAfterMs'> {
  readonly count: (event: MqttEvent) => void
  /** devices that may be connected; CONNECTIONS_MAX unless said otherwise */
  readonly connectionsMax?: number
}

/** PEM texts. With `ca`, a client must show a certificate that it signed. */
export interface TlsFiles {
  readonly cert: string | Buffer
  readonly key: string | Buffer
  readonly ca: string | Buffer | null
}

export interface Address {
  readonly host: string
  readonly port: number
}

const KEEP_ALIVE_PROBE_MS = 60_000

export class MqttListener {
  readonly #options: MqttOptions
  readonly #endpoint: Endpoint
  readonly #servers: Server[] = []
  /** every open socket, also those in a TLS handshake */
  readonly #sockets = new Set<Socket>()
  readonly #connections = new Set<Connection>()
  readonly #devices = new Map<number, Connection>()
  #stopping = false
  readonly #refusedLogins: Sparing
  readonly #failedHandshakes: Sparing

  constructor(options: MqttOptions) {
    this.#options = options
    const { engine, fleet, clock, log, readyAfterMs, count, connectionsMax = CONNECTIONS_MAX } = options
    this.#refusedLogins = new Sparing(clock, log)
    this.#failedHandshakes = new Sparing(clock, log)
    this.#endpoint = {
      engine,
      fleet,
      clock,
      log,
      readyAfterMs,
      count,
      isFullFor: deviceId => this.#devices.size >= connectionsMax && !this.#devices.has(deviceId),
      refused: refusal => {
        count('refused login')
        this.#refusedLogins.warn(refusal, 'login refused')
      },
      opened: (connection, deviceId) => void this.#devices.set(deviceId, connection),
      closed: (connection, deviceId) => {
        if (this.#devices.get(deviceId) === connection) this.#devices.delete(deviceId)
      },
      gone: connection => void this.#connections.delete(connection),
    }
  }

  /** Opens one more listening socket, port 0 for any; with `tls`, for TLS 1.2 and newer. Rejects where it cannot listen or the key does not fit. */
  async listen(host: string, port: number, tls?: TlsFiles): Promise<Address> {
    const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS }
    const server = tls
      ? createTlsServer({
          ...socketOptions,
          cert: tls.cert,
          key: tls.key,
          ...(tls.ca === null ? {} : { ca: tls.ca }),
          requestCert: tls.ca !== null,
          rejectUnauthorized: tls.ca !== null,
          minVersion: 'TLSv1.2',
          handshakeTimeout: CONNECT_WAIT_MS,
        })
      : createServer(socketOptions)
    server.on('connection', (socket: Socket) => this.#register(socket))
    if (tls) {
      server.on('secureConnection', (socket: TLSSocket) => this.#accept(socket, socket.authorized))
      server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
        this.#options.count('dropped before login')
        const { code, reason = error.message }: { code?: string; reason?: string } & Error = error
        this.#failedHandshakes.warn({ code, reason, remote: socket.remoteAddress }, 'TLS handshake failed')
      })
    } else {
      server.on('connection', (socket: Socket) => this.#accept(socket, false))
    }
    server.listen(port, host)
    await once(server, 'listening')
    server.on('error', error => this.#options.log.error({ err: error }, 'MQTT server failed'))
    this.#servers.push(server)
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
    return { host: address.address, port: address.port }
  }

  /**
   * Takes no new connection, reads no more, lets what was read be committed and acknowledged, and closes. Resolves when every socket is closed and
   * the end of every session is on record. Commands on their way stay sent: their devices may answer after the restart.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    const closed = this.#servers.map(server => new Promise<void>(resolve => server.close(() => resolve())))
    const connections = [...this.#connections]
    for (const connection of connections) connection.stop()
    await Promise.all(connections.map(connection => connection.gone()))
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }

  /** Closes the device's connection, if it has one here: it was disabled or deleted, and that is already on record. */
  kick(deviceId: number): void {
    this.#devices.get(deviceId)?.kick()
  }

  /** For metrics: sockets open, and devices that are logged in. */
  gauges(): { readonly sockets: number; readonly devices: number } {
    return { sockets: this.#sockets.size, devices: this.#devices.size }
  }

  #register(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    // Until somebody listens for it, a socket that breaks would take the process with it; what it means is told by its close.
    socket.on('error', () => socket.destroy())
    const { connectionsMax = CONNECTIONS_MAX } = this.#options
    if (this.#sockets.size > connectionsMax + CONNECTIONS_SPARE) socket.destroy()
  }

  #accept(socket: Socket, certified: boolean): void {
    if (this.#stopping) socket.destroy()
    if (!socket.destroyed) this.#connections.add(new Connection(socket, this.#endpoint, certified))
  }
}

/** Whoever fails often comes again at once: a few warnings a second tell as much as all of them, and each says how many before it were left out. */
class Sparing {
  readonly #clock: Clock
  readonly #log: MqttLog
  #second = 0
  #logged = 0
  #leftOut = 0

  constructor(clock: Clock, log: MqttLog) {
    this.#clock = clock
    this.#log = log
  }

  warn(fields: object, message: string): void {
    const second = Math.floor(this.#clock.now() / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#logged = 0
    }
    if (this.#logged >= REFUSALS_LOGGED_PER_S) {
      this.#leftOut += 1
      return
    }
    this.#log.warn({ ...fields, leftOut: this.#leftOut }, message)
    this.#logged += 1
    this.#leftOut = 0
  }
}
