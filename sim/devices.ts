// Devices as they are in the field: they connect, subscribe late or never, answer, answer wrongly, twice, late or not at all, vanish, and come again.
// They speak real MQTT packets over simulated wires, and know nothing of the process but what it sends.

import type { IPublishPacket, Packet } from 'mqtt-packet'
import { decode, encode, type Version } from '../src/mqtt/frame.ts'
import { type DeviceKeys, replyTopic } from '../src/mqtt/topics.ts'
import type { Checks } from './checks.ts'
import { nameOf } from './connection.ts'
import type { Ledger } from './ledger.ts'
import type { Host } from './process.ts'
import { type End, Wire } from './wire.ts'
import type { World } from './world.ts'

/** What every device has around it. */
export interface Surroundings {
  readonly world: World
  readonly host: Host
  readonly ledger: Ledger
  readonly checks: Checks
}

/** How a device behaves on one connection: drawn anew each time. */
interface Manner {
  readonly version: Version
  readonly subscribes: 'all' | 'set only' | 'late' | 'never'
  readonly keepAliveS: number
  readonly pings: boolean
  readonly receiveMaximum: number
  readonly maximumPacketSize: number | null
  readonly answers: 'always' | 'drawn'
}

const FLOOD = 80
const ACT_MAX_MS = 3_000
const QUICK_MAX_MS = 300
const CALM: Manner = {
  version: 4,
  subscribes: 'all',
  keepAliveS: 600,
  pings: true,
  receiveMaximum: 32,
  maximumPacketSize: null,
  answers: 'always',
}

type Answer =
  | 'success'
  | 'error'
  | 'not integer'
  | 'never'
  | 'twice'
  | 'wrong id'
  | 'foreign id'
  | 'garbage'
  | 'late'
  | 'at the deadline'

/** One connection, seen from the device. */
class Client implements End {
  readonly #device: SimDevice
  readonly manner: Manner
  readonly #wire: Wire
  isUp = false
  isOver = false
  #messageId = 0

  constructor(device: SimDevice, wire: Wire, manner: Manner) {
    this.#device = device
    this.#wire = wire
    this.manner = manner
    wire.device = this
    const { productKey, deviceKey } = device.keys
    const { version, keepAliveS, receiveMaximum, maximumPacketSize } = manner
    const limits = { receiveMaximum, ...(maximumPacketSize === null ? {} : { maximumPacketSize }) }
    this.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: version,
      clean: true,
      clientId: `${deviceKey}.${productKey}`,
      keepalive: keepAliveS,
      ...(version === 5 ? { properties: limits } : {}),
    })
  }

  send(packet: Packet): void {
    if (this.isOver) return
    this.#device.note(`device sends ${nameOf(packet)}`)
    this.#wire.send('toServer', encode(packet, this.manner.version))
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
      this.#device.connected(this)
    }
    if (packet.cmd === 'publish') this.#device.got(this, packet)
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
    const { world } = this.#device.around
    const way = world.random.weighted({ both: 2, toServer: 1, toDevice: 1 })
    world.count(`fault half-open ${way}`)
    if (way !== 'toDevice') this.#wire.mute('toServer')
    if (way !== 'toServer') this.#wire.mute('toDevice')
  }

  drop(): void {
    this.#wire.drop()
  }
}

export class SimDevice {
  readonly #clients: Client[] = []
  #backlog: (() => void)[] = []
  /** comes back and behaves when the faults end */
  staysAway = false

  constructor(
    readonly around: Surroundings,
    readonly id: number,
    readonly keys: DeviceKeys,
  ) {
    this.#actLater()
  }

  note(text: string): void {
    this.around.world.note(this.id, text)
  }

  get open(): readonly Client[] {
    return this.#clients.filter(client => !client.isOver)
  }

  get #current(): Client | null {
    return this.open.findLast(client => client.isUp) ?? null
  }

  // --- what it does by itself ----------------------------------------------------------------------------------------

  #actLater(): void {
    const { world } = this.around
    world.after(world.random.int(1, ACT_MAX_MS), 'actor', () => {
      if (world.calm) this.#behave()
      else this.#act()
      this.#actLater()
    })
  }

  #act(): void {
    const { random } = this.around.world
    if (this.#current === null) {
      if (random.chance(0.8)) this.#connect(this.#draw())
      return
    }
    const does = random.weighted({
      nothing: 70,
      disconnect: 4,
      drop: 3,
      vanish: 3,
      takeover: 4,
      ping: 10,
      stray: 6,
      flood: 0.5,
    })
    this.around.world.count(`device ${does}`)
    switch (does) {
      case 'disconnect':
        this.#current.close(false)
        break
      case 'drop':
        this.#current.close(true)
        break
      case 'vanish':
        this.#vanish()
        break
      case 'takeover':
        this.#connect(this.#draw())
        break
      case 'ping':
        this.#current.send({ cmd: 'pingreq' })
        break
      case 'stray':
        this.#stray(this.#current)
        break
      case 'flood':
        this.#flood(this.#current)
    }
  }

  /** Without faults: connected once, or away. */
  #behave(): void {
    if (this.staysAway) for (const client of this.open) client.close(true)
    else if (this.#current?.manner !== CALM) {
      for (const client of this.open) client.close(true)
      this.#connect(CALM)
    }
  }

  /** Power off: nothing is sent, not even the end. */
  #vanish(): void {
    for (const client of this.open) {
      client.goHalfOpen()
      client.lost()
    }
  }

  #draw(): Manner {
    const { random } = this.around.world
    return {
      version: random.pick([4, 5]),
      subscribes: random.weighted({ all: 6, 'set only': 1, late: 2, never: 2 }),
      keepAliveS: random.pick([0, 5, 20, 60]),
      pings: random.chance(0.7),
      receiveMaximum: random.pick([1, 2, 32, 32]),
      maximumPacketSize: random.pick([null, null, null, 150]),
      answers: 'drawn',
    }
  }

  #connect(manner: Manner): void {
    const { world, host } = this.around
    const wire = new Wire(world)
    if (!host.accept(wire, this.id, this.keys)) return
    world.count('device connects')
    this.#clients.push(new Client(this, wire, manner))
  }

  // --- connected -------------------------------------------------------------------------------------------------------

  connected(client: Client): void {
    const { world } = this.around
    const { subscribes, pings, keepAliveS } = client.manner
    world.count(`device subscribes ${subscribes}`)
    if (subscribes === 'late') this.#later(world.random.int(200, 12_000), () => this.#subscribe(client))
    else if (subscribes !== 'never') this.#subscribe(client)
    if (pings && keepAliveS > 0) this.#ping(client, keepAliveS * 1_000)
    for (const answer of this.#backlog.splice(0)) this.#later(world.random.int(1, QUICK_MAX_MS), answer)
  }

  #later(ms: number, run: () => void): void {
    this.around.world.after(ms, 'actor', run)
  }

  #subscribe(client: Client): void {
    const { productKey, deviceKey } = this.keys
    const services = `/sys/${productKey}/${deviceKey}/thing/service/`
    const filters = [
      `${services}measurepoint/set`,
      ...(client.manner.subscribes === 'set only' ? [] : [`${services}+`]),
    ]
    const subscriptions = filters.map(topic => ({ topic, qos: 1 as const }))
    client.send({ cmd: 'subscribe', messageId: client.nextId(), subscriptions })
  }

  #ping(client: Client, everyMs: number): void {
    this.#later(everyMs, () => {
      if (client.isOver) return
      client.send({ cmd: 'pingreq' })
      this.#ping(client, everyMs)
    })
  }

  // --- commands ----------------------------------------------------------------------------------------------------------

  got(client: Client, packet: IPublishPacket): void {
    const { world, checks } = this.around
    if (packet.topic.endsWith('_reply')) return
    const said: { id: string; params: Record<string, unknown>; method: string } = JSON.parse(packet.payload.toString())
    const isSet = said.method === 'thing.service.measurepoint.set'
    world.note(this.id, `device gets ${said.id}`)
    world.count('device gets a command')
    checks.received(this.id, said.id, JSON.stringify(isSet ? said.params.point : said.params))
    const isCalm = world.calm || client.manner.answers === 'always'
    const puback = isCalm ? 'before' : world.random.weighted({ before: 7, after: 2, never: 1 })
    const acknowledge = (): void => client.send({ cmd: 'puback', messageId: packet.messageId ?? 0 })
    if (puback === 'before') acknowledge()
    const delay = this.#answer(packet.topic, said.id, isCalm ? 'success' : this.#drawAnswer())
    if (puback === 'after') this.#later(delay + world.random.int(0, 50), acknowledge)
  }

  #drawAnswer(): Answer {
    return this.around.world.random.weighted({
      success: 50,
      error: 10,
      'not integer': 4,
      never: 10,
      twice: 6,
      'wrong id': 3,
      'foreign id': 3,
      garbage: 2,
      late: 6,
      'at the deadline': 6,
    })
  }

  /** Returns in how many ms it answers. */
  #answer(topic: string, id: string, answer: Answer): number {
    const { world, ledger } = this.around
    const { random } = world
    world.count(`device answers ${answer}`)
    const quick = random.int(1, QUICK_MAX_MS)
    const timeoutMs = (ledger.log(this.id).commands.get(id)?.timeoutS ?? 1) * 1_000
    const say = (ms: number, of: string, code: unknown): void => this.#later(ms, () => this.#reply(topic, of, code))
    switch (answer) {
      case 'success':
        say(quick, id, random.pick([200, 0, '200']))
        return quick
      case 'error':
        say(quick, id, random.pick([405, -1, 500]))
        return quick
      case 'not integer':
        say(quick, id, random.pick(['broken', 1.5, null]))
        return quick
      case 'twice':
        say(quick, id, random.pick([200, 405]))
        say(quick + random.int(0, 500), id, random.pick([200, 405]))
        return quick
      case 'wrong id':
        say(quick, random.pick(['1', '9223372036854775807', `${id.slice(0, -1)}0`]), 200)
        return quick
      case 'foreign id':
        say(quick, this.#otherId(id), 200)
        return quick
      case 'garbage':
        this.#later(quick, () => this.#send(topic, '{"id":'))
        return quick
      case 'late':
        say(timeoutMs + random.int(1, 5_000), id, 200)
        return timeoutMs
      case 'at the deadline':
        say(Math.max(1, timeoutMs - random.int(-60, 60)), id, 200)
        return timeoutMs
      case 'never':
        return quick
    }
  }

  /** The id of a command of some other device, or an old one of its own. */
  #otherId(id: string): string {
    const others = this.around.ledger.logs.flatMap(({ commands }) => [...commands.keys()]).filter(other => other !== id)
    return others.length === 0 ? '1' : this.around.world.random.pick(others)
  }

  /** More answers at once than may wait for their commit: the process must stop reading, and go on. */
  #flood(client: Client): void {
    const { productKey, deviceKey } = this.keys
    const topic = replyTopic(`/sys/${productKey}/${deviceKey}/thing/service/reboot`)
    for (let i = 0; i < FLOOD; i += 1) {
      const id = this.#otherId('')
      const payload = `{"id":"${id}","code":200,"data":{"of":"${id}"}}`
      client.send({ cmd: 'publish', topic, payload, qos: 1, dup: false, retain: false, messageId: client.nextId() })
    }
  }

  #stray(client: Client): void {
    const { productKey, deviceKey } = this.keys
    const { random } = this.around.world
    const own = `/sys/${productKey}/${deviceKey}/thing/`
    const topic = random.pick([`${own}service/reboot_reply`, `${own}event/post`, '/sys/other/device/thing/event/post'])
    const payload = `{"id":"${random.pick([this.#otherId(''), '7'])}","code":200}`
    client.send({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false })
  }

  #reply(topic: string, id: string, code: unknown): void {
    const data = `{"id":"${id}","code":${JSON.stringify(code)},"data":{"of":"${id}"},"message":"m"}`
    this.#send(topic, data)
  }

  /** Over whatever connection it has by now; without one it keeps the answer for the next, or forgets it. */
  #send(topic: string, payload: string): void {
    const { random } = this.around.world
    const client = this.#current
    if (client === null) {
      if (random.chance(0.5)) this.#backlog.push(() => this.#send(topic, payload))
      return
    }
    const qos = random.chance(0.8) ? 1 : 0
    const more = qos === 1 ? { messageId: client.nextId() } : {}
    client.send({ cmd: 'publish', topic: replyTopic(topic), payload, qos, dup: false, retain: false, ...more })
  }
}
