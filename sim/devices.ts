// Devices as they are in the field: they connect, subscribe late or never, vanish, and come again; some are gateways, with others behind them. They speak
// real MQTT packets over simulated wires, and know nothing of the process but what it sends. What they do with commands is units.ts.

import type { IPublishPacket } from 'mqtt-packet'
import { Client, calmManner, drawManner, type Manner, type Owner } from './client.ts'
import type { Kin } from './fleet.ts'
import { Gateway } from './gateways.ts'
import { type Home, type Surroundings, Unit } from './units.ts'
import { Wire } from './wire.ts'
import type { World } from './world.ts'

const ACT_MAX_MS = 3_000
/** a gateway has more to do */
const GATEWAY_ACT_MAX_MS = 1_500
/** share of those that come twice at once */
const TWICE = 0.08
/** longer than a packet takes that is not slow */
const TOGETHER_MS = 21
/** of who has nothing to do */
const AWAY_MAX_MS = 60_000

export class SimDevice implements Owner, Home {
  readonly #around: Surroundings
  readonly kin: Kin
  readonly #clients: Client[] = []
  readonly #unit: Unit
  readonly gateway: Gateway | null
  /** comes back and behaves when the faults end */
  staysAway = false

  constructor(around: Surroundings, kin: Kin) {
    this.#around = around
    this.kin = kin
    this.#unit = new Unit(around, kin, this)
    this.gateway = kin.isGateway ? new Gateway(around, this) : null
    this.#actLater()
  }

  get world(): World {
    return this.#around.world
  }

  get keys(): Kin['keys'] {
    return this.kin.keys
  }

  note(text: string): void {
    this.world.note(this.kin.id, text)
  }

  get open(): readonly Client[] {
    return this.#clients.filter(client => !client.isOver)
  }

  get current(): Client | null {
    return this.open.findLast(client => client.isUp) ?? null
  }

  /** On a connection on which it behaves it waits for an answer. */
  get isAsking(): boolean {
    return this.open.some(({ manner, asked }) => manner.answers === 'always' && asked.size > 0)
  }

  // --- what it does by itself ----------------------------------------------------------------------------------------

  #actLater(): void {
    const { world } = this
    const { disabled, deleted } = this.#around.ledger.log(this.kin.id)
    const isIdle = world.calm && (this.staysAway || this.#unit.home !== this || disabled || deleted)
    const mostMs = this.gateway === null ? ACT_MAX_MS : GATEWAY_ACT_MAX_MS
    world.after(world.random.int(1, isIdle ? AWAY_MAX_MS : mostMs), 'actor', () => {
      if (world.calm) this.#behave()
      else this.#act()
      this.#actLater()
    })
  }

  #act(): void {
    const { random } = this.world
    if (this.current === null) {
      // One that is wired to a gateway is seldom tried by itself, and is not let in.
      const wired = this.#unit.home !== this
      if (!random.chance(wired ? 0.01 : 0.8)) return
      const [first, second] = [this.#connect(this.#draw()), random.chance(TWICE) ? this.#connect(this.#draw()) : null]
      // Both CONNECTs arrive in the same moment.
      if (second !== null) for (const client of [first, second]) client?.stall(TOGETHER_MS)
      return
    }
    const does = random.weighted({
      nothing: this.gateway === null ? 60 : 20,
      behind: this.gateway === null ? 0 : 40,
      disconnect: 4,
      drop: 3,
      vanish: 3,
      takeover: 4,
      ping: 10,
      stray: 6,
      report: 6,
      flood: 1,
    })
    this.world.count(`device ${does}`)
    switch (does) {
      case 'behind':
        this.gateway?.act(this.current)
        break
      case 'disconnect':
        this.current.close(false)
        break
      case 'drop':
        this.current.close(true)
        break
      case 'vanish':
        this.#vanish()
        break
      case 'takeover':
        this.#connect(this.#draw())
        break
      case 'ping':
        this.current.send({ cmd: 'pingreq' })
        break
      case 'stray':
        this.#unit.stray(this.current)
        break
      case 'report':
        this.#unit.report(this.current)
        break
      case 'flood':
        this.#unit.flood(this.current)
    }
  }

  /** Without faults: connected once, or away. */
  #behave(): void {
    const { current } = this
    if (this.staysAway || this.#unit.home !== this) for (const client of this.open) client.close(true)
    else if (current?.manner.answers !== 'always') {
      for (const client of this.open) client.close(true)
      this.#connect(calmManner(this.world.random))
    } else this.gateway?.behave(current)
  }

  /** Power off: nothing is sent, not even the end. */
  #vanish(): void {
    for (const client of this.open) {
      client.goHalfOpen()
      client.lost()
    }
  }

  #draw(): Manner {
    const { random } = this.world
    const manner = drawManner(random)
    return this.gateway === null ? manner : { ...manner, receiveMaximum: random.pick([1, 1, 2, 3, 32]) }
  }

  #connect(manner: Manner): Client | null {
    const { world, site } = this.#around
    const wire = new Wire(world)
    if (!site.accept(wire, this.kin.id)) return null
    world.count(this.gateway === null ? 'device connects' : 'gateway connects')
    const client = new Client(this, wire, manner)
    this.#clients.push(client)
    return client
  }

  // --- connected -------------------------------------------------------------------------------------------------------

  connected(client: Client): void {
    const { world } = this
    const { subscribes, pings, keepAliveS } = client.manner
    world.count(`device subscribes ${subscribes}`)
    const subscribe = (): void => client.subscribe(this.#unit.filters(subscribes === 'set only'))
    if (subscribes === 'late') world.after(world.random.int(200, 12_000), 'actor', subscribe)
    else if (subscribes !== 'never') subscribe()
    if (pings && keepAliveS > 0) this.#ping(client, keepAliveS * 1_000)
    this.#unit.connected()
    this.gateway?.connected(client)
  }

  #ping(client: Client, everyMs: number): void {
    this.world.after(everyMs, 'actor', () => {
      if (client.isOver) return
      client.send({ cmd: 'pingreq' })
      this.#ping(client, everyMs)
    })
  }

  got(client: Client, packet: IPublishPacket, payload: Buffer): void {
    if (packet.topic.startsWith('/ext/session/')) {
      this.#told(client, packet.topic)
      return
    }
    const [, productKey = '', deviceKey = ''] = /^\/sys\/([^/]*)\/([^/]*)\//.exec(packet.topic) ?? []
    const { site, units, ledger } = this.#around
    const unit = units.get(site.kin({ productKey, deviceKey })?.id ?? 0)
    if (unit === undefined || (unit !== this.#unit && this.gateway === null))
      ledger.broken(26, this.kin.id, `a command comes on ${packet.topic}, which is of somebody else`)
    else unit.got(client, packet, payload)
  }

  /** What the server says by itself: here is your secret; a device behind you was disabled, enabled or deleted. */
  #told(client: Client, topic: string): void {
    const { world } = this
    world.count(`device is told ${topic.split('/').slice(-2).join('/')}`)
    if (!topic.endsWith('/thing/activate/info')) return
    const heard = world.calm || world.random.chance(0.8)
    if (heard) client.publish(`${topic}_reply`, '{"id":"1","code":200}', 1)
  }
}
