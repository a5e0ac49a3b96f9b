// One MQTT 3.1.1 connection for load: what comes is handed on, what goes is generated, and nothing is kept. No reconnect, no queue, no keep-alive.
// Not here: what devices do with it (raw-devices.ts), what applications do with it (contenders/).

import { connect, type Socket } from 'node:net'
import mqtt, { type Packet } from 'mqtt-packet'

export interface RawLogin {
  readonly clientId: string
  readonly username?: string
  readonly password?: string
  readonly clean: boolean
  readonly will?: { readonly topic: string; readonly payload: string }
}

export class RawClient {
  readonly #socket: Socket
  readonly #parser = mqtt.parser({ protocolVersion: 4 })
  #packetId = 0
  #isClosed = false

  private constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Resolves when the server has let it in, with whether it kept a session. `packet` gets all that comes after; `lost` is told once, unless it was closed here. */
  static open(
    url: URL,
    login: RawLogin,
    packet: (packet: Packet, from: RawClient) => void,
    lost: (reason: string) => void,
  ): Promise<RawClient> {
    const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true })
    const client = new RawClient(socket)
    return new Promise((resolve, reject) => {
      let isIn = false
      let reason = 'the server closed the connection'
      client.#parser.on('packet', received => {
        if (isIn) return packet(received, client)
        if (received.cmd !== 'connack' || received.returnCode !== 0) {
          reason = `refused: ${received.cmd} ${'returnCode' in received ? received.returnCode : ''}`
          socket.destroy()
          return
        }
        isIn = true
        resolve(client)
      })
      client.#parser.on('error', error => socket.destroy(error))
      socket.on('connect', () => client.send(connectPacket(login)))
      socket.on('data', chunk => client.#parser.parse(chunk))
      socket.on('error', error => {
        reason = error.message
      })
      socket.on('close', () => {
        if (!isIn) reject(new Error(`${login.clientId}: ${reason}`))
        else if (!client.#isClosed) lost(reason)
      })
    })
  }

  send(packet: Packet): void {
    this.#socket.write(mqtt.generate(packet))
  }

  /** The packet id that the acknowledgement will have. */
  publish(topic: string, payload: string, qos: 0 | 1, retain = false): number {
    const messageId = this.#nextId()
    this.send({ cmd: 'publish', topic, payload, qos, retain, dup: false, messageId })
    return messageId
  }

  /** The packet id that the acknowledgement will have. */
  subscribe(topics: readonly string[]): number {
    const messageId = this.#nextId()
    const subscriptions = topics.map(topic => ({ topic, qos: 1 as const }))
    this.send({ cmd: 'subscribe', messageId, subscriptions })
    return messageId
  }

  /** Both writes go in one. */
  together(write: () => void): void {
    this.#socket.cork()
    write()
    this.#socket.uncork()
  }

  /** Leaves with a DISCONNECT, or as a lost network does. Resolves when the connection is gone. */
  close(how: 'says goodbye' | 'is lost' = 'says goodbye'): Promise<void> {
    if (this.#socket.destroyed) return Promise.resolve()
    this.#isClosed = true
    const gone = new Promise<void>(resolve => this.#socket.once('close', () => resolve()))
    if (how === 'is lost') this.#socket.resetAndDestroy()
    else this.#socket.end(mqtt.generate({ cmd: 'disconnect' }))
    return gone
  }

  #nextId(): number {
    this.#packetId = (this.#packetId % 65_535) + 1
    return this.#packetId
  }
}

function connectPacket({ clientId, username, password, clean, will }: RawLogin): Packet {
  const proof = username === undefined ? {} : { username, password: Buffer.from(password ?? '') }
  const last =
    will === undefined
      ? {}
      : { will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 1 as const, retain: true } }
  return { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean, keepalive: 0, clientId, ...proof, ...last }
}
