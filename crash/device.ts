// A device on the npm `mqtt` client, and with it the devices behind it where it is a gateway: logs in as the documents say, tells the ledger what
// reaches them, answers, leaves and comes back. Not here: how sub-devices log in (logins.ts), when all come back at once (kills.ts).

import { Socket } from 'node:net'
import mqtt, { type MqttClient } from 'mqtt'
import { field, textField } from './caller.ts'
import type { Chance } from './chance.ts'
import { type Connected, type DeviceName, POINT, SERVICE_INPUT } from './fleet.ts'
import type { Ledger } from './ledger.ts'
import { Logins, signed } from './logins.ts'
import type { Asked } from './presence.ts'

/** How a device takes part: `lively` ones err, keep silent and go away at times; `obedient` ones stay and answer everything at once; `silent` ones never. */
export type Manner = 'lively' | 'obedient' | 'silent'

const CONNECT_WAIT_MS = 5_000
const RECONNECT_MS = { from: 10, to: 120 }
const STAY_MS = { from: 300, to: 4_000 }
const AWAY_MS = { from: 50, to: 900 }
const THINK_MS = { from: 0, to: 25 }
/** around the timeouts of commands, 1 to 3 s */
const THINK_LONG_MS = { from: 900, to: 3_300 }
const NEVER_ANSWERS = 0.03
const THINKS_LONG = 0.03
const ANSWERS_ERROR = 0.05

export interface DeviceOptions {
  /** ms until a login without an answer is given up */
  readonly connectWaitMs?: number
  /** Told of each connection that has been let in, by its number, and of our end of it. */
  readonly opened?: (line: number, port: number) => void
}

/** A connection. */
interface Line {
  readonly client: MqttClient
  readonly number: number
  readonly login: Asked
  /** of those behind it; null: it is no gateway */
  readonly logins: Logins | null
}

export class Device {
  manner: Manner
  /** ids of commands that are never answered, whatever its manner */
  readonly withheld = new Set<string>()
  readonly #name: Connected
  readonly #ledger: Ledger
  readonly #chance: Chance
  readonly #options: DeviceOptions
  /** itself and those behind it, by the beginning of their topics */
  readonly #addressees: ReadonlyMap<string, DeviceName>
  /** the newest connection, and those that it took the place of and that are not closed yet */
  #line: Line | null = null
  readonly #lines = new Set<Line>()
  #mqttUrl: string | null = null
  /** ends its stay, and its absence */
  #leaving: NodeJS.Timeout | undefined
  #coming: NodeJS.Timeout | undefined
  #hasBeenHere = false
  #stopped = false

  constructor(name: Connected, manner: Manner, ledger: Ledger, chance: Chance, options: DeviceOptions = {}) {
    this.#name = name
    this.#options = options
    this.manner = manner
    this.#ledger = ledger
    this.#chance = chance
    this.#addressees = new Map([name, ...name.subDevices].map(device => [topicsOf(device), device]))
  }

  /** It is connected, and all who are behind it are logged in. */
  get isHere(): boolean {
    return this.#line?.client.connected === true && this.#line.logins?.isWhole !== false
  }

  get assetId(): string {
    return this.#name.assetId
  }

  /** The number of its newest connection, if that has been let in. */
  get line(): number | null {
    return this.#line?.client.connected === true ? this.#line.number : null
  }

  /** Where the server is from now on, or null where it is not. The device connects, and keeps connecting, on its own. */
  serverAt(mqttUrl: string | null): void {
    this.#mqttUrl = mqttUrl
    if (mqttUrl !== null && this.#line === null) this.#comeLater(this.#between(RECONNECT_MS))
  }

  /** Connects anew at once: in half of the cases without closing the connection that it has. */
  rush(): void {
    const before = this.#line
    if (before !== null && this.#chance.happens(0.5)) before.client.end(true)
    this.#connect()
  }

  /** All who are behind it log out and in again, at once. */
  shake(): void {
    this.#line?.logins?.shake()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#leaving)
    clearTimeout(this.#coming)
    await Promise.all([...this.#lines].map(({ client }) => client.endAsync(true)))
  }

  #between({ from, to }: { readonly from: number; readonly to: number }): number {
    return this.#chance.whole(from, to)
  }

  #comeLater(waitMs: number): void {
    clearTimeout(this.#coming)
    if (!this.#stopped) this.#coming = setTimeout(() => this.#connect(), waitMs)
  }

  #connect(): void {
    clearTimeout(this.#leaving)
    clearTimeout(this.#coming)
    if (this.#stopped || this.#mqttUrl === null) return
    const { presence } = this.#ledger
    for (const { number } of this.#lines) presence.lost(number)
    const client = mqtt.connect(this.#mqttUrl, {
      ...login(this.#name),
      protocolVersion: this.#chance.happens(0.5) ? 4 : 5,
      reconnectPeriod: 0,
      connectTimeout: this.#options.connectWaitMs ?? CONNECT_WAIT_MS,
      keepalive: 30,
    })
    const number = presence.open()
    const isSole = () => this.#isSole
    const logins =
      this.#name.subDevices.length === 0
        ? null
        : new Logins(client, number, this.#name, this.#ledger, this.#chance, isSole)
    const line = { client, number, logins, login: presence.loginAsked(this.#name.assetId, number) }
    this.#line = line
    this.#lines.add(line)
    client.on('connect', () => this.#connected(line))
    client.on('message', (topic, payload) => this.#received(line, topic, payload.toString()))
    // Whatever it is, the connection closes, and the device comes again; a server that is being killed causes all of them.
    client.on('error', () => client.end(true))
    client.on('close', () => this.#closed(line))
  }

  /** It has no other connection that may take this one's place. */
  get #isSole(): boolean {
    return this.#lines.size === 1 && !this.#ledger.presence.isHaunted(this.#name.assetId)
  }

  #connected(line: Line): void {
    const { client, number, login: asked, logins } = line
    this.#ledger.presence.loggedIn(asked, this.#isSole)
    if (client.stream instanceof Socket) this.#options.opened?.(number, client.stream.localPort ?? 0)
    // One device in two does not subscribe, as most of the vendor's SDKs. A gateway may subscribe for those behind it before they log in.
    const filters = [...this.#addressees.keys()].flatMap(topics => [`${topics}measurepoint/set`, `${topics}+`])
    if (this.#chance.happens(0.5)) client.subscribe(filters, { qos: 1 })
    if (this.manner === 'lively') {
      // One that came in after a newer one was begun will be closed for it.
      if (line === this.#line && !this.#stopped)
        this.#leaving = setTimeout(() => this.#leave(client, number), this.#between(STAY_MS))
      logins?.beginLively(!this.#hasBeenHere)
    } else logins?.beginWhole()
    this.#hasBeenHere = true
  }

  #leave(client: MqttClient, number: number): void {
    if (this.manner !== 'lively') return
    this.#ledger.presence.lost(number)
    // With a DISCONNECT or without one.
    client.end(this.#chance.happens(0.5))
  }

  #closed(line: Line): void {
    this.#lines.delete(line)
    this.#ledger.presence.lost(line.number)
    line.logins?.end()
    line.client.end(true)
    if (this.#line !== line) return
    this.#line = null
    clearTimeout(this.#leaving)
    const away =
      this.manner === 'lively' && this.#chance.happens(0.3) ? this.#between(AWAY_MS) : this.#between(RECONNECT_MS)
    this.#comeLater(away)
  }

  #received(line: Line, topic: string, text: string): void {
    const message: unknown = JSON.parse(text)
    if (line.logins?.takes(topic, message)) return
    const [topics = ''] = /^\/sys\/[^/]+\/[^/]+\/thing\/service\//.exec(topic) ?? []
    const assetId = this.#addressees.get(topics)?.assetId
    const id = textField(message, 'id')
    if (assetId === undefined || id === null) {
      this.#ledger.contradiction(`device ${this.#name.assetId} was sent no command of its own on ${topic}: ${text}`)
      return
    }
    const params = field(message, 'params')
    this.#ledger.received(assetId, id, numberOf(field(params, POINT) ?? field(params, SERVICE_INPUT)), line.number)
    if (this.manner === 'silent' || this.withheld.has(id)) return
    const lively = this.manner === 'lively'
    if (lively && this.#chance.happens(NEVER_ANSWERS)) return
    const answer = { id, code: lively && this.#chance.happens(ANSWERS_ERROR) ? 2_000 : 200, data: {} }
    if (!lively) this.#answer(line, assetId, topic, answer)
    else {
      const thinkMs = this.#between(this.#chance.happens(THINKS_LONG) ? THINK_LONG_MS : THINK_MS)
      setTimeout(() => this.#answer(line, assetId, topic, answer), thinkMs)
    }
  }

  /** On the connection that the command came on, or on the newest one if that is over. */
  #answer(line: Line, assetId: string, topic: string, answer: { readonly id: string; readonly code: number }): void {
    const over = line.client.connected ? line : this.#line
    if (!over?.client.connected) return
    const { id, code } = answer
    const { presence } = this.#ledger
    const standing = presence.standing(assetId, over.number)
    const isSure = standing === 'here' && !presence.isHaunted(assetId) && !presence.isHaunted(this.#name.assetId)
    const givenMs = this.#ledger.answering(id)
    if (standing === 'out') this.#ledger.answeredOutside(id)
    over.client.publish(`${topic}_reply`, JSON.stringify(answer), { qos: 1 }, error => {
      if (!error && isSure) this.#ledger.answerTaken(id, code, givenMs)
    })
  }
}

const topicsOf = ({ productKey, deviceKey }: DeviceName): string => `/sys/${productKey}/${deviceKey}/thing/service/`

/** The call's number in what a command carries: the number itself, or the `call` of an object. */
export const numberOf = (value: unknown): number | null => {
  const inner = typeof value === 'object' ? field(value, SERVICE_INPUT) : value
  return typeof inner === 'number' ? inner : null
}

/** The vendor's login. */
function login(device: DeviceName): { clientId: string; username: string; password: string } {
  const { productKey, deviceKey } = device
  const timestamp = String(Date.now())
  return {
    clientId: `${deviceKey}|securemode=2,signmethod=sha256,timestamp=${timestamp}|`,
    username: `${deviceKey}&${productKey}`,
    password: signed(device, deviceKey, timestamp),
  }
}
