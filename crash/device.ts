// A device on the npm `mqtt` client: logs in as the documents say, tells the ledger what reaches it, answers, leaves and comes back.
// Not here: when all of them come back at once (kills.ts).

import { createHash } from 'node:crypto'
import mqtt, { type MqttClient } from 'mqtt'
import { field, textField } from './caller.ts'
import type { Chance } from './chance.ts'
import { type DeviceName, POINT, PRODUCT, SERVICE_INPUT } from './fleet.ts'
import type { Ledger } from './ledger.ts'

/** How a device takes part: `lively` ones err, keep silent and go away at times; `obedient` ones stay and answer everything at once; `silent` ones never. */
export type Manner = 'lively' | 'obedient' | 'silent'

const RECONNECT_MS = { from: 10, to: 120 }
const STAY_MS = { from: 300, to: 4_000 }
const AWAY_MS = { from: 50, to: 900 }
const THINK_MS = { from: 0, to: 25 }
const NEVER_ANSWERS = 0.03
const ANSWERS_ERROR = 0.05

export class Device {
  manner: Manner
  readonly #name: DeviceName
  readonly #ledger: Ledger
  readonly #chance: Chance
  /** the newest connection, and those that it took the place of and that are not closed yet */
  #client: MqttClient | null = null
  readonly #clients = new Set<MqttClient>()
  #mqttUrl: string | null = null
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(name: DeviceName, manner: Manner, ledger: Ledger, chance: Chance) {
    this.#name = name
    this.manner = manner
    this.#ledger = ledger
    this.#chance = chance
  }

  get isConnected(): boolean {
    return this.#client?.connected === true
  }

  /** Where the server is from now on, or null where it is not. The device connects, and keeps connecting, on its own. */
  serverAt(mqttUrl: string | null): void {
    this.#mqttUrl = mqttUrl
    if (mqttUrl !== null && this.#client === null) this.#later(this.#between(RECONNECT_MS), () => this.#connect())
  }

  /** Connects anew at once: in half of the cases without closing the connection that it has. */
  rush(): void {
    const before = this.#client
    if (before !== null && this.#chance.happens(0.5)) before.end(true)
    clearTimeout(this.#timer)
    this.#connect()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await Promise.all([...this.#clients].map(client => client.endAsync(true)))
  }

  #between({ from, to }: { readonly from: number; readonly to: number }): number {
    return this.#chance.whole(from, to)
  }

  #later(waitMs: number, run: () => void): void {
    clearTimeout(this.#timer)
    if (!this.#stopped) this.#timer = setTimeout(run, waitMs)
  }

  #connect(): void {
    if (this.#stopped || this.#mqttUrl === null) return
    const client = mqtt.connect(this.#mqttUrl, {
      ...login(this.#name),
      protocolVersion: this.#chance.happens(0.5) ? 4 : 5,
      reconnectPeriod: 0,
      connectTimeout: 5_000,
      keepalive: 30,
    })
    this.#client = client
    this.#clients.add(client)
    client.on('connect', () => this.#connected(client))
    client.on('message', (topic, payload) => this.#received(client, topic, payload.toString()))
    // Whatever it is, the connection closes, and the device comes again; a server that is being killed causes all of them.
    client.on('error', () => client.end(true))
    client.on('close', () => this.#closed(client))
  }

  #connected(client: MqttClient): void {
    // One device in two does not subscribe, as most of the vendor's SDKs.
    const prefix = `/sys/${PRODUCT}/${this.#name.deviceKey}/thing/service/`
    if (this.#chance.happens(0.5)) client.subscribe([`${prefix}measurepoint/set`, `${prefix}+`], { qos: 1 })
    if (this.manner === 'lively') this.#later(this.#between(STAY_MS), () => this.#leave(client))
  }

  #leave(client: MqttClient): void {
    if (this.manner !== 'lively') return
    // With a DISCONNECT or without one.
    client.end(this.#chance.happens(0.5))
  }

  #closed(client: MqttClient): void {
    this.#clients.delete(client)
    client.end(true)
    if (this.#client !== client) return
    this.#client = null
    const away =
      this.manner === 'lively' && this.#chance.happens(0.3) ? this.#between(AWAY_MS) : this.#between(RECONNECT_MS)
    this.#later(away, () => this.#connect())
  }

  #received(client: MqttClient, topic: string, text: string): void {
    const message: unknown = JSON.parse(text)
    const id = textField(message, 'id')
    const params = field(message, 'params')
    const call = field(params, POINT) ?? field(params, SERVICE_INPUT)
    const { assetId } = this.#name
    if (id === null) {
      this.#ledger.contradiction(`device ${assetId} was sent something without an id on ${topic}: ${text}`)
      return
    }
    this.#ledger.received(assetId, id, numberOf(call))
    if (this.manner === 'silent') return
    const lively = this.manner === 'lively'
    if (lively && this.#chance.happens(NEVER_ANSWERS)) return
    const code = lively && this.#chance.happens(ANSWERS_ERROR) ? 2_000 : 200
    const answer = () => {
      // On the connection that it came on, if that is still there; a device that has come back does not answer old questions.
      if (!client.connected) return
      client.publish(`${topic}_reply`, JSON.stringify({ id, code, data: {} }), { qos: 1 }, error => {
        if (!error) this.#ledger.answerTaken(id, code)
      })
    }
    if (lively) setTimeout(answer, this.#between(THINK_MS))
    else answer()
  }
}

/** The call's number in what a command carries: the number itself, or the `call` of an object. */
export const numberOf = (value: unknown): number | null => {
  const inner = typeof value === 'object' ? field(value, SERVICE_INPUT) : value
  return typeof inner === 'number' ? inner : null
}

/** The vendor's login: the digest over the names in alphabetical order with their values, then the secret. */
function login({ deviceKey, deviceSecret }: DeviceName): { clientId: string; username: string; password: string } {
  const timestamp = String(Date.now())
  const content = `clientId${deviceKey}deviceKey${deviceKey}productKey${PRODUCT}timestamp${timestamp}${deviceSecret}`
  return {
    clientId: `${deviceKey}|securemode=2,signmethod=sha256,timestamp=${timestamp}|`,
    username: `${deviceKey}&${PRODUCT}`,
    password: createHash('sha256').update(content).digest('hex').toUpperCase(),
  }
}
