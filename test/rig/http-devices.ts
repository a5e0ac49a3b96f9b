// Devices over HTTP on a real socket: the app with the endpoint for devices, and the MQTT endpoint on the same engine, fleet and requests, all on a clock
// that the test moves; and a device that speaks as the vendor's SDK does.

import { createHash, randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { alone } from '../../src/cluster/signal.ts'
import { Codecs } from '../../src/codec/codec.ts'
import { type Command, Kind } from '../../src/core/command.ts'
import { Ids } from '../../src/core/ids.ts'
import { Engine, type NewCommand } from '../../src/engine.ts'
import { parseFleetFile } from '../../src/fleet/file.ts'
import { Fleet } from '../../src/fleet/fleet.ts'
import { randomKey, Secrets } from '../../src/fleet/secrets.ts'
import { buildApp } from '../../src/http/app.ts'
import { HttpDevices, type HttpDevicesOptions } from '../../src/http/devices.ts'
import { TokenService } from '../../src/http/tokens.ts'
import { Metrics } from '../../src/metrics.ts'
import { MqttListener } from '../../src/mqtt/listener.ts'
import { Intake } from '../../src/proxy/intake.ts'
import { openMemory } from '../../src/store/memory.ts'
import type { Device, Store, StoredCommand } from '../../src/store/store.ts'
import { LoginLimit } from '../../src/uplink/login-limit.ts'
import { Requests } from '../../src/uplink/requests.ts'
import { Saver } from '../../src/uplink/saver.ts'
import type { Settlement } from '../../src/waiters.ts'
import { streamOver } from './changes.ts'
import { ManualClock } from './clock.ts'
import { jobsOver } from './jobs.ts'

export const PRODUCT = 'pk'
export const ORG = 'o1'
export const secretOf = (deviceKey: string): string => `secret-of-${deviceKey}`

/** d1, d2 and d3 of a product with a model; free1 without one; off1 disabled; gw1 a gateway and sub1 behind it; cert1, custom1 of such products. */
function fleetText(): string {
  const device = (productKey: string, deviceKey: string, more: object = {}) => ({
    ...{ assetId: `asset-${deviceKey}`, productKey, deviceKey, deviceSecret: secretOf(deviceKey), ...more },
  })
  const model = {
    modelId: 'model',
    measurepoints: { Power: { dataType: 'DOUBLE' }, Level: { dataType: 'INT' } },
    services: {
      reboot: {
        inputData: [{ identifier: 'delay', dataType: 'INT' }],
        outputData: [{ identifier: 'ok', dataType: 'BOOL' }],
      },
    },
  }
  return JSON.stringify({
    organizations: [
      {
        orgId: ORG,
        models: [model],
        products: [
          { productKey: PRODUCT, productSecret: 'ps', modelId: 'model' },
          { productKey: 'free', productSecret: 'ps' },
          { productKey: 'gateways', productSecret: 'ps', productType: 'Gateway' },
          { productKey: 'guarded', productSecret: 'ps', biDirectionalAuth: true },
          { productKey: 'custom', productSecret: 'ps', dataFormat: 'Custom' },
        ],
        devices: [
          ...['d1', 'd2', 'd3'].map(deviceKey => device(PRODUCT, deviceKey)),
          device(PRODUCT, 'off1', { disabled: true }),
          device('free', 'free1'),
          device('gateways', 'gw1'),
          device(PRODUCT, 'sub1', { gateway: 'asset-gw1' }),
          device('guarded', 'cert1'),
          device('custom', 'custom1'),
        ],
      },
    ],
  })
}

export interface HttpDevicesRigOptions {
  readonly auth?: 'signature' | 'open'
  readonly sessionsMax?: number
  /** connections must begin with a PROXY header; what is wrong with it counts as `header FAULT` */
  readonly proxyProtocol?: boolean
  /** stands before the real requests */
  readonly requests?: (requests: Requests) => HttpDevicesOptions['requests']
}

export class HttpDevicesRig {
  readonly counted: string[] = []
  readonly logged: { fields: object; message: string }[] = []
  readonly clock = new ManualClock()
  readonly store: Store = openMemory()
  readonly fleet: Fleet
  readonly engine: Engine
  readonly requests: Requests
  readonly devices: HttpDevices
  readonly mqtt: MqttListener
  readonly app: FastifyInstance
  readonly intake: Intake | null
  url = ''
  mqttUrl = ''

  constructor({ auth = 'signature', sessionsMax, requests, proxyProtocol }: HttpDevicesRigOptions) {
    const { clock, store } = this
    const note = (fields: object, message: string) => void this.logged.push({ fields, message })
    const log = { debug: () => undefined, info: () => undefined, warn: note, error: note }
    const defer = (run: () => void) => void setImmediate(run)
    const metrics = new Metrics()
    const fleet = new Fleet(store, new Secrets(randomKey()))
    this.fleet = fleet
    const settings = { queueCap: 50, retentionMs: 604_800_000, defer, observer: metrics, ids: new Ids(0, null) }
    const engine = new Engine({
      cluster: alone,
      store,
      clock,
      log,
      ...settings,
    })
    this.engine = engine
    const saver = new Saver({ store, log, defer })
    this.requests = new Requests({ fleet, store, saver, clock, log, randomBytes })
    const newToken = () => randomBytes(32).toString('base64url')
    const count = (fault: string) => void this.counted.push(`header ${fault}`)
    this.intake = proxyProtocol ? new Intake({ clock, log, count }) : null
    const { intake } = this
    this.devices = new HttpDevices({
      ...{ engine, fleet, clock, log, intake },
      requests: requests?.(this.requests) ?? this.requests,
      limit: new LoginLimit(),
      newSessionId: newToken,
      count: (call, code) => void this.counted.push(`${call} ${code}`),
      ...(sessionsMax === undefined ? {} : { sessionsMax }),
    })
    const tokens = new TokenService({ tokens: store, fleet, newToken, clockWindowMs: 600_000 })
    const notify = async () => undefined
    const bounds = { maxInputBytes: 65_536, openBeyondLoopback: false }
    const shared = {
      tokens,
      notify,
      changes: streamOver({ store, fleet, clock, log }),
      jobs: jobsOver({ store, engine, fleet, clock, log }),
    }
    this.app = buildApp({
      leaving: { isLeaving: false },
      ...{ engine, store, fleet, clock, log, metrics, ...shared, auth, ...bounds, intake, devices: this.devices },
    })
    this.mqtt = new MqttListener({
      ...{ engine, fleet, clock, log, requests: this.requests },
      codecs: new Codecs({ dir: null, clock, log }),
      limit: new LoginLimit(),
      reactivation: 'strict',
      readyAfterMs: 50,
      count: event => void this.counted.push(event),
    })
  }

  static async start(options: HttpDevicesRigOptions = {}): Promise<HttpDevicesRig> {
    const rig = new HttpDevicesRig(options)
    const parsed = parseFleetFile(fleetText(), 'fleet.json')
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
    await rig.fleet.apply(parsed.file, rig.clock.now())
    await rig.engine.start()
    await rig.app.listen({ host: '127.0.0.1', port: 0 })
    rig.url = `http://127.0.0.1:${(rig.app.server.address() as AddressInfo).port}`
    const { port } = await rig.mqtt.listen('127.0.0.1', 0)
    rig.mqttUrl = `mqtt://127.0.0.1:${port}`
    return rig
  }

  async stop(): Promise<void> {
    await Promise.all([this.app.close(), this.engine.stop()])
    await this.mqtt.stop()
    await this.engine.idle()
    await this.store.close()
  }

  /** Moves time on and waits until the engine rests. */
  advance(ms: number): Promise<void> {
    return this.clock.advance(ms, () => this.rest())
  }

  async rest(): Promise<void> {
    for (let i = 0; i < 4; i++) {
      await new Promise(resolve => setImmediate(resolve))
      await this.engine.idle()
    }
  }

  device(deviceKey: string, productKey = PRODUCT): HttpDevice {
    return new HttpDevice(this.url, productKey, deviceKey)
  }

  /** A device that is logged in and takes commands. */
  async loggedIn(deviceKey: string, productKey = PRODUCT): Promise<HttpDevice> {
    const device = this.device(deviceKey, productKey)
    const { code, message } = await device.login({ acceptCommandTypes: ['CMD_PENDING_INVOKE'] })
    if (code !== 200) throw new Error(`${code} ${message}`)
    return device
  }

  async row(deviceKey: string, productKey = PRODUCT): Promise<Device> {
    const device = await this.fleet.deviceByKeys(productKey, deviceKey)
    if (device === null) throw new Error(`no device ${deviceKey}`)
    return device
  }

  /** Accepts a command: an invocation of reboot, cached for ten minutes, unless said otherwise. */
  async accept(
    deviceKey: string,
    { productKey = PRODUCT, wait = false, ...over }: Partial<NewCommand> & { productKey?: string; wait?: boolean } = {},
  ): Promise<{ id: string; settlement: Promise<Settlement> | null; command: Command }> {
    const { id } = await this.row(deviceKey, productKey)
    const command: NewCommand = {
      ...{ kind: Kind.invoke, identifier: 'reboot', timeoutS: 30, pendingTtlS: 600, by: 'test' },
      nameJson: '{"defaultValue":"reboot","i18nValue":{}}',
      inputJson: '{"delay":1}',
      ...over,
    }
    const accepted = await this.engine.enqueue(id, command, wait)
    if (!accepted.ok) throw new Error(accepted.message)
    if ('repeated' in accepted) throw new Error(`repeats ${accepted.repeated.commandId}`)
    return { id: accepted.command.id, settlement: accepted.settlement, command: accepted.command }
  }

  async stored(deviceKey: string, commandId: string, productKey = PRODUCT): Promise<StoredCommand> {
    const stored = await this.store.command((await this.row(deviceKey, productKey)).id, commandId)
    if (stored === null) throw new Error(`no command ${commandId}`)
    return stored
  }

  async states(deviceKey: string, ids: readonly string[], productKey = PRODUCT): Promise<number[]> {
    return Promise.all(ids.map(async id => (await this.stored(deviceKey, id, productKey)).command.state))
  }

  /** Reasons of the command's events, oldest first. */
  async reasons(deviceKey: string, commandId: string, productKey = PRODUCT): Promise<string[]> {
    const events = await this.store.events((await this.row(deviceKey, productKey)).id, commandId, 100)
    return events.map(({ reason }) => reason)
  }
}

export interface Told {
  readonly status: number
  readonly code: number
  readonly message: string
  // biome-ignore lint/suspicious/noExplicitAny: the wire's answers are looked at field by field in expectations
  readonly data: any
  readonly id?: unknown
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: JSON as the device reads it
  readonly command: { readonly topic: string; readonly payload: any } | null
}

/** What a device sends at its login, signed by itself; `over` is put in its place, and out of it where it is undefined. */
export function loginBody(
  productKey: string,
  deviceKey: string,
  over: Record<string, unknown> = {},
  secret = secretOf(deviceKey),
): Record<string, unknown> {
  const { lifetime = 300_000, signMethod = 'sha256' } = over
  const content = `deviceKey${deviceKey}lifetime${lifetime}productKey${productKey}signMethod${signMethod}${secret}`
  const digest = /sha1/i.test(String(signMethod)) ? 'sha1' : /md5/i.test(String(signMethod)) ? 'md5' : 'sha256'
  const sign = createHash(digest).update(content).digest('hex')
  const clientInfo = { ipAddress: '127.0.0.1', sdkVersion: 'enos-http-0.2.1' }
  return { signMethod, lifetime, sign, clientInfo, acceptCommandTypes: [], ...over }
}

export class HttpDevice {
  sessionId = ''
  #lastId = 0

  constructor(
    readonly url: string,
    readonly productKey: string,
    readonly deviceKey: string,
  ) {}

  get sys(): string {
    return `/sys/${this.productKey}/${this.deviceKey}`
  }

  async login(over: Record<string, unknown> = {}, secret?: string): Promise<Told> {
    const body = loginBody(this.productKey, this.deviceKey, over, secret)
    const told = await call(`${this.url}/auth/${this.productKey}/${this.deviceKey}`, JSON.stringify(body))
    if (told.code === 200) this.sessionId = told.data.sessionId
    return told
  }

  /** POSTs a body to a topic, as it is where it is text. */
  post(topic: string, body: unknown, sessionId = this.sessionId): Promise<Told> {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    return call(`${this.url}/topic${topic}?sessionId=${sessionId}`, text)
  }

  request(path: string, params: unknown, topic = `${this.sys}/${path}`): Promise<Told> {
    this.#lastId += 1
    return this.post(topic, { id: String(this.#lastId), version: '1.1', params, method: path.replaceAll('/', '.') })
  }

  /** What every device does from time to time. */
  report(value = 1): Promise<Told> {
    return this.request('thing/measurepoint/post', { measurepoints: { Power: value }, time: 1_800_000_000_000 })
  }

  reply(command: Told['command'], over: object = {}): Promise<Told> {
    if (command === null) throw new Error('there is no command to reply to')
    return this.post(`${command.topic}_reply`, { id: command.payload.id, code: 200, data: {}, message: '', ...over })
  }
}

export async function call(url: string, body: string | undefined, init: RequestInit = {}): Promise<Told> {
  const response = await fetch(url, { method: 'POST', ...(body === undefined ? {} : { body }), ...init })
  const { headers, status } = response
  const [topic, payload] = [headers.get('topic'), headers.get('command-payload')]
  const command = topic === null || payload === null ? null : { topic, payload: JSON.parse(payload) }
  return { ...((await response.json()) as Omit<Told, 'status' | 'headers' | 'command'>), status, headers, command }
}
