// One connection, seen from the device: its CONNECT, its packets over a simulated wire, how it behaves while it lasts. What is said on it is devices.ts,
// units.ts and gateways.ts.

import type { IPublishPacket, Packet } from 'mqtt-packet'
import { pack, unpack } from '../src/mqtt/compression.ts'
import { decode, encode, type Version } from '../src/mqtt/frame.ts'
import type { DeviceKeys } from '../src/uplink/topics.ts'
import { nameOf } from './connection.ts'
import { loginOf } from './fleet.ts'
import type { Random } from './random.ts'
import type { End, Wire } from './wire.ts'
import type { World } from './world.ts'

type Subscribes = 'all' | 'set only' | 'late' | 'never'

/** How a device behaves on one connection: drawn anew each time. */
export interface Manner {
  readonly version: Version
  /** with its own secret; otherwise with its product's */
  readonly own: boolean
  readonly gzip: boolean
  readonly subscribes: Subscribes
  readonly keepAliveS: number
  readonly pings: boolean
  readonly receiveMaximum: number
  readonly maximumPacketSize: number | null
  readonly answers: 'always' | 'drawn'
  /** of a gateway: which of those behind it, and how, when it has come in */
  readonly logsIn: 'batch' | 'each' | 'some' | 'never'
  /** of a gateway: for those behind it */
  readonly listensFor: Subscribes | 'before login'
}

/** One that does what it should. Its window may be small all the same. */
export const calmManner = (random: Random): Manner => ({
  version: 5,
  own: true,
  gzip: false,
  subscribes: 'all',
  keepAliveS: 600,
  pings: true,
  receiveMaximum: random.pick([1, 2, 32]),
  maximumPacketSize: null,
  answers: 'always',
  logsIn: 'batch',
  listensFor: random.pick(['all', 'never', 'before login']),
})

export const drawManner = (random: Random): Manner => ({
  version: random.pick([4, 5]),
  own: random.chance(0.9),
  gzip: random.chance(0.15),
  subscribes: random.weighted({ all: 6, 'set only': 1, late: 2, never: 2 }),
  keepAliveS: random.pick([0, 5, 20, 60]),
  pings: random.chance(0.7),
  receiveMaximum: random.pick([1, 2, 32, 32]),
  maximumPacketSize: random.pick([null, null, null, null, null, null, 150]),
  answers: 'drawn',
  logsIn: random.weighted({ batch: 5, each: 4, some: 2, never: 1 }),
  listensFor: random.weighted({ all: 4, 'set only': 1, late: 2, never: 3, 'before login': 2 }),
})

/** Whose connection it is. */
export interface Owner {
  readonly world: World
  readonly keys: DeviceKeys
  note(text: string): void
  connected(client: Client): void
  got(client: Client, packet: IPublishPacket, payload: Buffer): void
}

export class Client implements End {
  readonly #owner: Owner
  readonly manner: Manner
  readonly #wire: Wire
  isUp = false
  isOver = false
  #messageId = 0
  #requestId = 0
  /** requests without an answer, by id: what is to be done with it */
  readonly asked = new Map<string, (code: number, data: unknown) => void>()

  constructor(owner: Owner, wire: Wire, manner: Manner) {
    this.#owner = owner
    this.#wire = wire
    this.manner = manner
    wire.device = this
    const { version, own, gzip, keepAliveS, receiveMaximum, maximumPacketSize } = manner
    const limits = { receiveMaximum, ...(maximumPacketSize === null ? {} : { maximumPacketSize }) }
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clean: true,
      keepalive: keepAliveS,
      ...loginOf(owner.keys, own, gzip),
      ...(version === 5 ? { properties: limits } : {}),
    })
  }

  send(packet: Packet): void {
    if (this.isOver) return
    this.#owner.note(`device sends ${nameOf(packet)}`)
    this.#wire.send('toServer', encode(packet, this.manner.version))
  }

  publish(topic: string, payload: Buffer | string, qos: 0 | 1): void {
    const packed = pack(Buffer.from(payload), this.manner.gzip ? 'gzip' : 'none')
    const more = qos === 1 ? { messageId: this.nextId() } : {}
    this.send({ cmd: 'publish', topic, payload: packed, qos, dup: false, retain: false, ...more })
  }

  subscribe(filters: readonly string[]): void {
    const subscriptions = filters.map(topic => ({ topic, qos: 1 as const }))
    this.send({ cmd: 'subscribe', messageId: this.nextId(), subscriptions })
  }

  /** Asks for something. `answered` is called with what comes back on this connection, if anything does. */
  ask(topic: string, params: unknown, answered: (code: number, data: unknown) => void): void {
    this.#requestId += 1
    const id = `r${this.#requestId}`
    this.asked.set(id, answered)
    this.publish(topic, JSON.stringify({ id, version: '1.0', params, method: 'any' }), 1)
  }

  nextId(): number {
    this.#messageId = (this.#messageId % 65_535) + 1
    return this.#messageId
  }

  receive(bytes: Buffer): void {
    if (this.isOver) return
    const decoded = decode(bytes, this.manner.version)
    if (!decoded.ok) throw new Error(`the process sent what cannot be read: ${decoded.why}`)
    const { packet } = decoded
    if (packet.cmd === 'connack') {
      this.isUp = true
      this.#owner.connected(this)
    }
    if (packet.cmd === 'publish') this.#got(packet)
  }

  #got(packet: IPublishPacket): void {
    const payload = unpack(Buffer.from(packet.payload), this.manner.gzip ? 'gzip' : 'none')
    if (payload === null) throw new Error('the process sent what cannot be unpacked')
    if (!packet.topic.endsWith('_reply')) {
      this.#owner.got(this, packet, payload)
      return
    }
    const { id, code, data }: { id: string; code: number; data: unknown } = JSON.parse(payload.toString())
    const answered = this.asked.get(id)
    this.asked.delete(id)
    answered?.(code, data)
  }

  lost(): void {
    this.isOver = true
    this.isUp = false
  }

  close(abrupt: boolean): void {
    if (this.isOver) return
    if (!abrupt) this.send({ cmd: 'disconnect' })
    this.lost()
    this.#wire.close('device', abrupt)
  }

  /** Open, and nobody at the other end, as far as the process can see. */
  goHalfOpen(): void {
    const { world } = this.#owner
    const way = world.random.weighted({ both: 2, toServer: 1, toDevice: 1 })
    world.count(`fault half-open ${way}`)
    if (way !== 'toDevice') this.#wire.mute('toServer')
    if (way !== 'toServer') this.#wire.mute('toDevice')
  }

  stall(ms: number): void {
    this.#wire.stall(ms)
  }

  drop(): void {
    this.#wire.drop()
  }
}
