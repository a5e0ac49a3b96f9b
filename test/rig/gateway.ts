// A gateway on the real mqtt client, asking for what the vendor's SDKs ask for, and a fleet with gateways and devices behind them.

import { createHash } from 'node:crypto'
import { fleetFile, PRODUCT, type Received, TestDevice } from './server.ts'

/** product of gateways; devices behind them are of PRODUCT, with the same secrets as all others */
export const GATEWAYS = 'gwPk'
export const secretOf = (deviceKey: string): string => `secret-of-${deviceKey}`

/**
 * The fleet of the rig, and in it gateways g1 and g2 with `subDevices` devices s1, s2, … (assets s1, s2, …) behind g1, free1 and free2 behind none, one
 * behind g2 (far1), products `activated` (dynamic activation), `custom` (a format of its own) and `guarded` (client certificates) with a device each.
 */
export function gatewayFleet(subDevices: number): string {
  const fleet = JSON.parse(fleetFile())
  const [organization] = fleet.organizations
  const device = (deviceKey: string, productKey: string, more: object = {}) => ({
    assetId: deviceKey,
    productKey,
    deviceKey,
    deviceSecret: secretOf(deviceKey),
    ...more,
  })
  organization.products.push(
    { productKey: GATEWAYS, productSecret: 'gatewaySecret', productType: 'Gateway' },
    { productKey: 'activated', productSecret: 'activatedSecret', dynamicActivateEnabled: true },
    { productKey: 'custom', productSecret: 'customSecret', dataFormat: 'Custom' },
    { productKey: 'guarded', productSecret: 'guardedSecret', biDirectionalAuth: true },
  )
  organization.devices.push(
    device('g1', GATEWAYS),
    device('g2', GATEWAYS),
    ...Array.from({ length: subDevices }, (_, i) => device(`s${i + 1}`, PRODUCT, { gateway: 'g1' })),
    device('off1', PRODUCT, { gateway: 'g1', disabled: true }),
    device('far1', PRODUCT, { gateway: 'g2' }),
    device('free1', PRODUCT),
    device('free2', PRODUCT),
    device('fresh1', 'activated'),
    device('freshSub', 'activated', { gateway: 'g1' }),
    device('custom1', 'custom'),
    device('customSub', 'custom', { gateway: 'g1' }),
    device('certSub', 'guarded', { gateway: 'g1' }),
  )
  return JSON.stringify(fleet)
}

/** What a sub-device signs with, as one of the SDKs writes it: all text, clientId made of its keys. */
export function subLogin(deviceKey: string, over: { [field: string]: unknown } = {}): Record<string, unknown> {
  const {
    productKey = PRODUCT,
    secret = secretOf(deviceKey),
    clientId = `${productKey}.${deviceKey}`,
    timestamp = '1795383668139',
    ...more
  } = over
  const content = `clientId${clientId}deviceKey${deviceKey}productKey${productKey}timestamp${timestamp}${secret}`
  const sign = createHash('sha256').update(content).digest('hex')
  return { productKey, deviceKey, clientId, timestamp, signMethod: 'sha256', sign, secureMode: '2', ...more }
}

// biome-ignore lint/suspicious/noExplicitAny: the wire's answers are looked at field by field in expectations
export type DeviceAnswer = { id: unknown; code: number; data: any; message?: string }

/** A device that also asks: each request's answer by its id, commands as any TestDevice has them. */
export class AskingDevice extends TestDevice {
  readonly #asked = new Map<string, (answer: DeviceAnswer) => void>()
  readonly #noticed: { isMet: () => boolean; resolve: () => void }[] = []
  /** what came that is neither a command nor an answer: notices, activation */
  readonly notices: Received[] = []
  #lastId = 0

  constructor(mqttUrl: string, deviceKey: string, options = {}, productKey = GATEWAYS) {
    super(mqttUrl, deviceKey, options, productKey)
    this.answer = received => {
      const { topic, payload } = received
      if (topic.endsWith('_reply')) {
        this.received.pop()
        this.#asked.get(`${topic} ${JSON.stringify(payload.id)}`)?.(payload)
        return undefined
      }
      if (topic.startsWith('/ext/')) {
        this.received.pop()
        this.notices.push(received)
        for (const { isMet, resolve } of this.#noticed) if (isMet()) resolve()
        return undefined
      }
      return this.command(received)
    }
  }

  /** makes the reply to a command, or undefined for none; in place of `answer`, which sorts what comes */
  command: (received: Received) => object | undefined = ({ payload }) => ({ id: payload.id, code: 200, data: {} })

  /** Publishes a request and resolves with its answer. `beside` goes beside params. */
  request(topic: string, params: unknown, beside: object = {}): Promise<DeviceAnswer> {
    this.#lastId += 1
    return this.ask(topic, { id: String(this.#lastId), version: '1.0', params, method: 'x', ...beside })
  }

  ask(topic: string, payload: { id: unknown; [field: string]: unknown }): Promise<DeviceAnswer> {
    const key = `${topic}_reply ${JSON.stringify(payload.id)}`
    return new Promise(resolve => {
      this.#asked.set(key, answer => {
        this.#asked.delete(key)
        resolve(answer)
      })
      this.client.publish(topic, JSON.stringify(payload), { qos: 1 })
    })
  }

  async noticed(count: number): Promise<void> {
    if (this.notices.length >= count) return
    await new Promise<void>(resolve => {
      this.#noticed.push({ isMet: () => this.notices.length >= count, resolve })
    })
  }
}

/** One of the gateways of {@link gatewayFleet}. */
export class TestGateway extends AskingDevice {
  readonly session: string
  readonly sys: string

  constructor(mqttUrl: string, deviceKey: string, options = {}) {
    super(mqttUrl, deviceKey, options)
    this.session = `/ext/session/${GATEWAYS}/${deviceKey}`
    this.sys = `/sys/${GATEWAYS}/${deviceKey}`
  }

  override async connected(): Promise<this> {
    await super.connected()
    return this
  }

  login(deviceKey: string, over = {}): Promise<DeviceAnswer> {
    return this.request(`${this.session}/combine/login`, subLogin(deviceKey, over))
  }

  loginBatch(deviceKeys: readonly string[]): Promise<DeviceAnswer> {
    const [clientId, timestamp] = ['login.batch', '1795383687.0505488']
    const subDevices = deviceKeys.map(deviceKey => {
      const { sign, productKey } = subLogin(deviceKey, { clientId, timestamp })
      return { sign, secureMode: 2, productKey, deviceKey }
    })
    return this.request(`${this.session}/combine/login/batch`, {
      clientId,
      timestamp,
      signMethod: 'sha256',
      subDevices,
    })
  }

  logout(deviceKey: string): Promise<DeviceAnswer> {
    return this.request(`${this.session}/combine/logout`, { productKey: PRODUCT, deviceKey })
  }
}
