// The MQTT endpoint for directly connected devices: listening sockets, the list of connections, the bounds that they share.
// Not here: one connection (connection.ts), who may come in (connect.ts), the protocol after that (session.ts).

import { constants } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type PeerCertificate, type TLSSocket } from 'node:tls'
import { CHANNELS_MAX_PER_PRODUCT, CONNECT_WAIT_MS, CONNECTIONS_MAX, CONNECTIONS_SPARE } from '../core/limits.ts'
import type { Intake } from '../proxy/intake.ts'
import { Sparing } from '../uplink/sparing.ts'
import type { DeviceKeys, Notice } from '../uplink/topics.ts'
import type { ClientCertificate } from './connect.ts'
import { Connection } from './connection.ts'
import type { Endpoint, MqttEvent } from './endpoint.ts'

export interface MqttOptions
  extends Pick<
    Endpoint,
    'engine' | 'fleet' | 'requests' | 'codecs' | 'limit' | 'clock' | 'log' | 'readyAfterMs' | 'reactivation'
  > {
  readonly count: (event: MqttEvent) => void
  /** devices that may be connected; CONNECTIONS_MAX unless said otherwise */
  readonly connectionsMax?: number
  /** takes PROXY headers off, where connections come from balancers; null: they come from devices */
  readonly intake?: Intake | null
}

/**
 * PEM texts. With `ca`, clients are asked for a certificate that it signed. One without, or with another, is heard all the same: whether it needs one
 * is known when it says who it is.
 */
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
  /** by productKey */
  readonly #channels = new Map<string, number>()
  #channelCount = 0
  #stopping = false
  readonly #refusedLogins: Sparing
  readonly #failedHandshakes: Sparing
  readonly #failedCodecs: Sparing

  constructor(options: MqttOptions) {
    this.#options = options
    const { clock, log, count, connectionsMax = CONNECTIONS_MAX } = options
    this.#refusedLogins = new Sparing(clock, log)
    this.#failedHandshakes = new Sparing(clock, log)
    this.#failedCodecs = new Sparing(clock, log)
    this.#endpoint = {
      ...options,
      defer: run => void setImmediate(run),
      isFullFor: (deviceId, productKey) => {
        if (deviceId !== null && this.#devices.has(deviceId)) return false
        if (deviceId === null && (this.#channels.get(productKey) ?? 0) >= CHANNELS_MAX_PER_PRODUCT) return true
        return this.#devices.size + this.#channelCount >= connectionsMax
      },
      refused: refusal => {
        count('refused login')
        this.#refusedLogins.warn(refusal, 'login refused')
      },
      codecFailed: (fields, message) => this.#failedCodecs.warn(fields, message),
      opened: (connection, deviceId, productKey) => {
        if (deviceId === null) this.#countChannel(productKey, 1)
        else this.#devices.set(deviceId, connection)
      },
      closed: (connection, deviceId, productKey) => {
        if (deviceId === null) this.#countChannel(productKey, -1)
        else if (this.#devices.get(deviceId) === connection) this.#devices.delete(deviceId)
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
          // What was found of a certificate counts for one handshake only: it may expire before a session that is resumed ends.
          ...(tls.ca === null ? {} : { ca: tls.ca, secureOptions: constants.SSL_OP_NO_TICKET }),
          requestCert: tls.ca !== null,
          rejectUnauthorized: false,
          minVersion: 'TLSv1.2',
          handshakeTimeout: CONNECT_WAIT_MS,
        })
      : createServer(socketOptions)
    const { intake = null } = this.#options
    if (tls) intake?.guard(server)
    server.on('connection', (socket: Socket) => this.#register(socket))
    if (tls) {
      server.on('secureConnection', (socket: TLSSocket) => this.#accept(socket, certificateOf(socket)))
      server.on('tlsClientError', (error: Error, socket: TLSSocket) => {
        this.#options.count('dropped before login')
        const { code, reason = error.message }: { code?: string; reason?: string } & Error = error
        this.#failedHandshakes.warn({ code, reason, remote: this.#sourceOf(socket) }, 'TLS handshake failed')
      })
    } else {
      const accept = (socket: Socket): void => this.#accept(socket, null)
      server.on('connection', (socket: Socket) => {
        if (intake === null) accept(socket)
        else intake.read(socket, () => accept(socket))
      })
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
    this.drop()
    await Promise.all(closed)
  }

  /** Closes every connection that is still there, whatever it waits for. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Tells the gateway with this id what became of a device of its topology; false where it is not connected here. */
  notify(gatewayId: number, notice: Notice, of: DeviceKeys): boolean {
    const gateway = this.#devices.get(gatewayId)
    gateway?.notify(notice, of)
    return gateway !== undefined
  }

  /** For metrics: sockets open, and devices that are logged in. */
  gauges(): { readonly sockets: number; readonly devices: number } {
    return { sockets: this.#sockets.size, devices: this.#devices.size }
  }

  #countChannel(productKey: string, by: 1 | -1): void {
    this.#channelCount += by
    const count = (this.#channels.get(productKey) ?? 0) + by
    if (count === 0) this.#channels.delete(productKey)
    else this.#channels.set(productKey, count)
  }

  #register(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    // Until somebody listens for it, a socket that breaks would take the process with it; what it means is told by its close.
    socket.on('error', () => socket.destroy())
    const { connectionsMax = CONNECTIONS_MAX } = this.#options
    if (this.#sockets.size > connectionsMax + CONNECTIONS_SPARE) socket.destroy()
  }

  #accept(socket: Socket, certificate: ClientCertificate | null): void {
    if (this.#stopping) socket.destroy()
    if (socket.destroyed) return
    const remote = this.#sourceOf(socket) ?? 'unknown'
    this.#connections.add(new Connection(socket, this.#endpoint, certificate, remote))
  }

  #sourceOf(socket: Socket): string | undefined {
    const { intake } = this.#options
    return intake ? intake.sourceOf(socket) : socket.remoteAddress
  }
}

/**
 * What the client showed in its handshake; null: nothing, or it was not asked. node takes a resumed session without a certificate for an authorized
 * one, so that alone proves nothing.
 */
function certificateOf(socket: TLSSocket): ClientCertificate | null {
  // Without a certificate node gives an object without fields, and of a socket that is gone nothing, against its types.
  const peer: Partial<PeerCertificate> | null = socket.getPeerCertificate()
  const { subject, serialNumber } = peer ?? {}
  if (serialNumber === undefined) return null
  // Of a name that comes several times node makes a list, against its types too.
  const names: string | readonly string[] = subject?.CN ?? []
  const fault: unknown = socket.authorizationError
  return {
    verified: socket.authorized,
    fault: socket.authorized ? null : String(fault),
    names: typeof names === 'string' ? [names] : names,
    serial: serialNumber,
  }
}
