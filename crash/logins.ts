// The devices behind a gateway, over one of its connections: logged in one by one or all at once, out and in again, and what the server answers to it.
// Each request must be answered while the connection lasts, some of the vendor's SDKs wait without end. Not here: their commands (device.ts).

import { createHash } from 'node:crypto'
import type { MqttClient } from 'mqtt'
import { field, listOf, numberField, textField } from './caller.ts'
import type { Chance } from './chance.ts'
import type { Connected, DeviceName } from './fleet.ts'
import type { Ledger } from './ledger.ts'
import type { Asked } from './presence.ts'

/** between two things that a lively gateway does with its sub-devices */
const CHURN_MS = { from: 10, to: 120 }
const ANSWER_WAIT_MS = 10_000
const OK = 200
const BAD_SIGN = 742

type Kind = 'login' | 'login/batch' | 'logout'

interface Request {
  readonly kind: Kind
  readonly code: typeof OK | typeof BAD_SIGN
  readonly of: ReadonlyMap<DeviceName, Asked>
  readonly overdue: NodeJS.Timeout
}

export class Logins {
  readonly #client: MqttClient
  readonly #line: number
  readonly #gateway: Connected
  readonly #ledger: Ledger
  readonly #chance: Chance
  readonly #isSole: () => boolean
  readonly #topics: string
  readonly #requests = new Map<string, Request>()
  #lastId = 0
  #churn: NodeJS.Timeout | undefined
  #isOver = false

  /** `isSole`: the gateway has no other connection under way, so that no login on this one may be refused. */
  constructor(
    client: MqttClient,
    line: number,
    gateway: Connected,
    ledger: Ledger,
    chance: Chance,
    isSole: () => boolean,
  ) {
    this.#client = client
    this.#line = line
    this.#gateway = gateway
    this.#ledger = ledger
    this.#chance = chance
    this.#isSole = isSole
    this.#topics = `/ext/session/${gateway.productKey}/${gateway.deviceKey}/combine/`
  }

  /** Every sub-device is logged in, beyond doubt. */
  get isWhole(): boolean {
    return this.#gateway.subDevices.every(({ assetId }) => this.#standing(assetId) === 'here')
  }

  /** Logs all in, in one go. */
  beginWhole(): void {
    this.#loginAll(this.#gateway.subDevices)
  }

  /** At first one by one; later mostly in one go, as the vendor's Node SDK does. Not all come, and then they go and come. */
  beginLively(isFirst: boolean): void {
    if (this.#chance.happens(0.5)) {
      const answers = ['login', 'login/batch', 'logout'].map(kind => `${this.#topics}${kind}_reply`)
      this.#client.subscribe(answers, { qos: 1 })
    }
    const coming = this.#gateway.subDevices.filter(() => this.#chance.happens(0.9))
    if (isFirst || this.#chance.happens(0.3)) for (const device of coming) this.#login(device)
    else this.#loginAll(coming)
    this.#churnLater()
  }

  /** All log out, and in again in one go, before any of it is answered. */
  shake(): void {
    for (const device of this.#gateway.subDevices) this.#logout(device)
    this.#loginAll(this.#gateway.subDevices)
  }

  /** The connection is over. */
  end(): void {
    this.#isOver = true
    clearTimeout(this.#churn)
    for (const { overdue } of this.#requests.values()) clearTimeout(overdue)
  }

  /** Whether what came is an answer to one of its requests; if so, it is dealt with. */
  takes(topic: string, message: unknown): boolean {
    if (!topic.startsWith(this.#topics)) return false
    const id = textField(message, 'id') ?? ''
    const request = this.#requests.get(id)
    if (request === undefined || topic !== `${this.#topics}${request.kind}_reply`) return false
    // They are done one after the other, so an answer that is still missing will not come.
    const [first = id] = this.#requests.keys()
    if (first !== id)
      this.#contradict(`${this.#requests.get(first)?.kind} ${first} was not answered before ${id}`, message)
    this.#requests.delete(id)
    clearTimeout(request.overdue)
    this.#answered(request, message)
    return true
  }

  #answered({ kind, code: expected, of }: Request, message: unknown): void {
    const code = numberField(message, 'code')
    const data = field(message, 'data')
    const { presence } = this.#ledger
    // Two connections of one gateway may be under way, and the other may have come later: then this one is about to be closed. Or its server is in trouble,
    // or another one still acts on a login that was given up.
    const isHaunted = [...of.keys()].some(({ assetId }) => presence.isHaunted(assetId))
    if (code !== expected && this.#isSole() && !this.#isOver && !presence.isLost(this.#line) && !isHaunted)
      this.#contradict(`${kind} was not answered ${expected}`, message)
    if (kind === 'logout') {
      for (const asked of of.values()) presence.loggedOut(asked)
      return
    }
    const loggedIn = new Set(namesIn(kind === 'login' ? [data] : field(data, 'loginedSubDevices')))
    for (const [device, asked] of of) {
      const isIn = loggedIn.delete(device.deviceKey)
      if (isIn) presence.loggedIn(asked, this.#isSole())
      else presence.loginRefused(asked)
      if (!isIn && code === OK) this.#contradict(`${kind} does not name ${device.deviceKey} as logged in`, message)
    }
    const failed = listOf(field(data, 'failedSubDevices'))
    if (code === OK && (loggedIn.size > 0 || failed.length > 0))
      this.#contradict(`${kind} names others than were asked for`, message)
  }

  #contradict(what: string, message: unknown): void {
    this.#ledger.contradiction(`gateway ${this.#gateway.assetId}: ${what}: ${JSON.stringify(message)}`)
  }

  #standing(assetId: string): ReturnType<Ledger['presence']['standing']> {
    return this.#ledger.presence.standing(assetId, this.#line)
  }

  #churnLater(): void {
    this.#churn = setTimeout(
      () => {
        this.#goOrCome()
        this.#churnLater()
      },
      this.#chance.whole(CHURN_MS.from, CHURN_MS.to),
    )
  }

  #goOrCome(): void {
    const { subDevices } = this.#gateway
    const out = subDevices.filter(({ assetId }) => this.#standing(assetId) === 'out')
    const of = out.length > 0 && this.#chance.happens(0.6) ? out : subDevices
    const device = of[this.#chance.whole(0, of.length - 1)]
    if (device === undefined) return
    if (this.#standing(device.assetId) !== 'out') {
      this.#logout(device)
      if (this.#chance.happens(0.5)) this.#login(device)
    } else if (this.#chance.happens(0.15)) this.#login({ ...device, deviceSecret: 'not its secret' }, BAD_SIGN)
    else this.#login(device)
  }

  #login(device: DeviceName, code: Request['code'] = OK): void {
    const clientId = device.deviceKey
    const timestamp = String(Date.now())
    const { productKey, deviceKey } = device
    const sign = signed(device, clientId, timestamp)
    const params = { productKey, deviceKey, clientId, timestamp, signMethod: 'sha256', sign }
    this.#ask('login', params, [device], code)
  }

  #loginAll(devices: readonly DeviceName[]): void {
    if (devices.length === 0) return
    const clientId = 'login.batch'
    const timestamp = String(Date.now())
    const subDevices = devices.map(device => {
      const { productKey, deviceKey } = device
      return { productKey, deviceKey, secureMode: 2, sign: signed(device, clientId, timestamp) }
    })
    this.#ask('login/batch', { clientId, timestamp, signMethod: 'sha256', subDevices }, devices)
  }

  #logout(device: DeviceName): void {
    const { productKey, deviceKey } = device
    this.#ask('logout', { productKey, deviceKey }, [device])
  }

  #ask(kind: Kind, params: object, devices: readonly DeviceName[], code: Request['code'] = OK): void {
    if (!this.#client.connected || this.#client.disconnecting) return
    this.#lastId += 1
    const id = String(this.#lastId)
    const { presence } = this.#ledger
    const of = new Map(
      devices.map(device => {
        const { assetId } = device
        const isOut = kind === 'logout'
        return [
          device,
          isOut ? presence.logoutAsked(assetId, this.#line) : presence.loginAsked(assetId, this.#line),
        ] as const
      }),
    )
    const overdue = setTimeout(() => {
      if (!presence.isLost(this.#line))
        this.#contradict(`${kind} was not answered within ${ANSWER_WAIT_MS} ms`, { id, params })
    }, ANSWER_WAIT_MS)
    this.#requests.set(id, { kind, code, of, overdue })
    const message = { id, version: '1.0', params, method: `combine.${kind.replace('/', '.')}` }
    // With QoS 0 in one SDK, 1 in the others.
    this.#client.publish(`${this.#topics}${kind}`, JSON.stringify(message), { qos: this.#chance.happens(0.7) ? 1 : 0 })
  }
}

const namesIn = (devices: unknown): string[] => listOf(devices).map(device => textField(device, 'deviceKey') ?? '')

/** The vendor's digest: the names in alphabetical order with their values, then the secret. */
export function signed(
  { deviceKey, productKey, deviceSecret }: DeviceName,
  clientId: string,
  timestamp: string,
): string {
  const content = `clientId${clientId}deviceKey${deviceKey}productKey${productKey}timestamp${timestamp}${deviceSecret}`
  return createHash('sha256').update(content).digest('hex').toUpperCase()
}
