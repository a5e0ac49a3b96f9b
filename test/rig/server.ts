// A whole server on free ports of loopback, an application that signs its calls, and devices on the real mqtt client.

import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { type Logger, pino } from 'pino'
import { readServeConfig } from '../../src/cli/config.ts'
import { type Server, startServer } from '../../src/cli/serve.ts'
import { permissions } from '../../src/fleet/grants.ts'
import { encryption, signature } from '../../src/http/signature.ts'

export const ORG = 'o15541858646501'
export const APP = { appKey: '5acb82e7-a11e-4300-9164-c8b20b638e8b', appSecret: '65417473-2da3-40cc-b235-513b9123aefb' }
/** may only read */
export const READER = {
  appKey: '00000000-0000-4000-8000-00000000aaaa',
  appSecret: '00000000-0000-4000-8000-00000000bbbb',
}
/** of another organization */
export const STRANGER = {
  appKey: '00000000-0000-4000-8000-00000000cccc',
  appSecret: '00000000-0000-4000-8000-00000000dddd',
}
export const PRODUCT = 'bXuuAiku'

const deviceSecret = (deviceKey: string) => `secret-of-${deviceKey}`

/** The seed's names: device mqtt_01 (asset oxWwM9i5) of bXuuAiku with point Int_value, and `more` devices d1, d2, … with assets a1, a2, … */
export function fleetFile(more = 0): string {
  const device = (assetId: string, deviceKey: string) => ({
    assetId,
    productKey: PRODUCT,
    deviceKey,
    deviceSecret: deviceSecret(deviceKey),
    timezone: '+08:00',
  })
  /** of everything there is, all or reading */
  const grant = (which: 'all' | 'read') =>
    Object.entries(permissions).map(([resource, [all, read]]) => ({
      resource,
      actions: which === 'all' ? [all, read] : [read],
      scope: 'all',
    }))
  const name = (text: string) => ({ defaultValue: text, i18nValue: { en_US: text } })
  return JSON.stringify({
    organizations: [
      {
        orgId: ORG,
        name: 'Demo',
        applications: [
          { ...APP, grants: grant('all') },
          { ...READER, grants: grant('read') },
        ],
        models: [
          {
            modelId: 'demo',
            measurepoints: {
              Int_value: { name: name('Int_value'), dataType: 'INT' },
              Text: { name: name('Text'), dataType: 'STRING', dataDefinition: { maxLength: 60000 } },
              Fixed: { name: name('Fixed'), dataType: 'INT', writable: false },
            },
            services: {
              reboot: {
                name: name('reboot'),
                inputData: [{ identifier: 'delay', dataType: 'INT' }],
                outputData: [{ identifier: 'ok', dataType: 'BOOL' }],
              },
            },
          },
        ],
        products: [{ productKey: PRODUCT, productSecret: 'k2vEY1LRMJl', productName: name('Demo'), modelId: 'demo' }],
        devices: [
          device('oxWwM9i5', 'mqtt_01'),
          ...Array.from({ length: more }, (_, i) => device(`a${i + 1}`, `d${i + 1}`)),
        ],
      },
      {
        orgId: 'oOther',
        name: 'Other',
        applications: [{ ...STRANGER, grants: grant('all') }],
        products: [{ productKey: 'otherPk', productSecret: 'x', productName: name('Other') }],
        devices: [{ ...device('other1', 'other1'), productKey: 'otherPk' }],
      },
    ],
  })
}

export interface Rig {
  readonly server: Server
  readonly folder: string
  readonly app: Application
  /** Stops the server and starts another on the same folder; this rig is over, the one returned takes its place. */
  restart(): Promise<Rig>
  /** Stops the server and removes the folder. */
  stop(): Promise<void>
}

const silent = pino({ level: 'silent' })

/** `args` are options of `downlink serve`; the store is SQLite in a folder of its own unless they say otherwise. */
export async function startRig(args: string[] = [], fleet = fleetFile(), log: Logger = silent): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-test-'))
  writeFileSync(join(folder, 'fleet.json'), fleet)
  return openRig(folder, args, log)
}

async function openRig(folder: string, args: string[], log: Logger): Promise<Rig> {
  const file = join(folder, 'fleet.json')
  const store = args.includes('--store') ? [] : ['--store', `sqlite:${join(folder, 'downlink.db')}`]
  const base = ['--http', '0', '--mqtt', '0', '--fleet', file, ...store]
  const read = readServeConfig([...base, '--ready-after', '50', ...args], {})
  if (!read.ok) throw new Error(read.problems.join('\n'))
  const server = await startServer(read.config, log)
  let halted: Promise<void> | null = null
  const halt = () => {
    halted ??= server.stop()
    return halted
  }
  const stop = async () => {
    await halt()
    rmSync(folder, { recursive: true, force: true })
  }
  const restart = async () => {
    await halt()
    return openRig(folder, args, log)
  }
  return { server, folder, app: new Application(server.httpUrl, APP), restart, stop }
}

// biome-ignore lint/suspicious/noExplicitAny: the wire's answers are looked at field by field in expectations
export type Answer = { status: number; code: number; msg: string; requestId: string; data: any; [beside: string]: any }

export interface CallOptions {
  readonly method?: string
  readonly body?: unknown
  /** changes the request after it was signed */
  readonly headers?: Record<string, string>
  readonly timestamp?: number
  /** what is called: commands unless said otherwise; a path where it begins with a slash */
  readonly resource?: string
}

/** A caller that signs as the vendor documents it. */
export class Application {
  token: string | null = null

  constructor(
    readonly url: string,
    readonly credentials: { appKey: string; appSecret: string },
    readonly now: () => number = Date.now,
  ) {}

  async getToken(timestamp = this.now()): Promise<string> {
    const { appKey, appSecret } = this.credentials
    const body = JSON.stringify({ appKey, timestamp, encryption: encryption(appKey, String(timestamp), appSecret) })
    const response = await fetch(`${this.url}/apim-token-service/v2.0/token/get`, { method: 'POST', body })
    const answer = (await response.json()) as Answer
    if (answer.status === 1001) return this.getToken(timestamp + 1)
    if (answer.status !== 0) throw new Error(`no token: ${JSON.stringify(answer)}`)
    return answer.data.accessToken
  }

  /** A signed call with the parameters given; a string body is sent as it is. */
  async call(
    params: Record<string, string>,
    { method = 'POST', body, headers = {}, timestamp = this.now(), resource = 'commands' }: CallOptions = {},
  ): Promise<Answer> {
    const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body)
    const signed = await this.sign(params, text, timestamp, resource)
    const init = { method, headers: { ...signed.headers, ...headers } }
    const response = await fetch(this.url + signed.path, text === '' ? init : { ...init, body: text })
    return { ...((await response.json()) as Answer), status: response.status }
  }

  /** The path and the headers of a signed call, for a request that is made by other means. Params may be a query string, sent as it is. */
  async sign(
    params: Record<string, string> | string,
    body: string | Uint8Array = '',
    timestamp = this.now(),
    resource = 'commands',
  ): Promise<{ path: string; headers: Record<string, string> }> {
    this.token ??= await this.getToken()
    const query = new URLSearchParams(params)
    const pairs = [...query].filter(([name]) => name.trim() !== '').map(([name, value]) => ({ name, value }))
    const { appSecret } = this.credentials
    const headers = {
      'apim-accesstoken': this.token,
      'apim-timestamp': String(timestamp),
      'apim-signature': signature(this.token, pairs, Buffer.from(body), String(timestamp), appSecret),
    }
    const path = resource.startsWith('/') ? resource : `/connect-service/v2.1/${resource}`
    return { path: `${path}?${typeof params === 'string' ? params : query}`, headers }
  }

  on(device: Record<string, string>): DeviceCalls {
    return new DeviceCalls(this, device)
  }
}

/** The five actions for one device. */
export class DeviceCalls {
  constructor(
    readonly app: Application,
    readonly device: Record<string, string>,
  ) {}

  set(
    value: unknown,
    params: Record<string, string> = { pendingTtl: '600' },
    measurepointId = 'Int_value',
  ): Promise<Answer> {
    return this.app.call(
      { action: 'setMeasurepoint', orgId: ORG, ...this.device, measurepointId, ...params },
      { body: { value } },
    )
  }
  invoke(
    inputData: unknown,
    params: Record<string, string> = { pendingTtl: '600' },
    serviceId = 'reboot',
  ): Promise<Answer> {
    return this.app.call(
      { action: 'invokeService', orgId: ORG, ...this.device, serviceId, ...params },
      { body: { inputData } },
    )
  }
  get(commandId: string): Promise<Answer> {
    return this.app.call({ action: 'get', orgId: ORG, ...this.device, commandId }, { method: 'GET' })
  }
  search(body: unknown = {}): Promise<Answer> {
    return this.app.call({ action: 'search', orgId: ORG, ...this.device }, { body })
  }
  cancel(commandId?: string): Promise<Answer> {
    return this.app.call({
      action: 'cancel',
      orgId: ORG,
      ...this.device,
      ...(commandId === undefined ? {} : { commandId }),
    })
  }
  /** Sends n cached sets of the values 1..n one after the other; their ids. */
  async queue(n: number, params: Record<string, string> = { pendingTtl: '600' }): Promise<string[]> {
    const ids: string[] = []
    for (let i = 1; i <= n; i++) {
      const answer = await this.set(i, params)
      if (answer.code !== 0) throw new Error(JSON.stringify(answer))
      ids.push(answer.data.commandId)
    }
    return ids
  }
  async states(ids: readonly string[]): Promise<number[]> {
    return Promise.all(ids.map(async id => (await this.get(id)).data.state))
  }
  /** Waits until the command is in that state, looking again and again; the test's own time limit ends it. */
  async until(commandId: string, state: number): Promise<Answer> {
    for (;;) {
      const answer = await this.get(commandId)
      if (answer.data.state === state) return answer
      await new Promise(resolve => setImmediate(resolve))
    }
  }
}

export interface Received {
  readonly topic: string
  // biome-ignore lint/suspicious/noExplicitAny: JSON as the device reads it
  readonly payload: any
}

/** A device on the real mqtt client: records what it is told, answers as `answer` says. */
export class TestDevice {
  readonly received: Received[] = []
  readonly client: MqttClient
  #wanted: { count: number; resolve: () => void }[] = []
  /** makes the reply to a command, or undefined for none */
  answer: (received: Received) => object | undefined = ({ payload }) => ({ id: payload.id, code: 200, data: {} })

  constructor(
    mqttUrl: string,
    deviceKey: string,
    options: IClientOptions = {},
    productKey = PRODUCT,
    secret = deviceSecret(deviceKey),
  ) {
    const { clientId, username, password } = credentials(deviceKey, secret, productKey)
    this.client = mqtt.connect(mqttUrl, { clientId, username, password, reconnectPeriod: 0, ...options })
    this.client.on('error', () => undefined)
    this.client.on('message', (topic, payload) => {
      const received = { topic, payload: JSON.parse(payload.toString()) }
      this.received.push(received)
      const reply = this.answer(received)
      if (reply) this.client.publish(`${topic}_reply`, JSON.stringify(reply), { qos: 1 })
      for (const wanted of this.#wanted) if (this.received.length >= wanted.count) wanted.resolve()
    })
  }

  async connected(): Promise<this> {
    if (this.client.connected) return this
    await new Promise<void>((resolve, reject) => {
      this.client.once('connect', () => resolve())
      this.client.once('error', reject)
      this.client.once('close', () => reject(new Error('closed before it was connected')))
    })
    return this
  }

  /** Resolves when so many commands have arrived in all. */
  async count(count: number): Promise<void> {
    if (this.received.length >= count) return
    await new Promise<void>(resolve => this.#wanted.push({ count, resolve }))
  }

  ids(): string[] {
    return this.received.map(({ payload }) => payload.id)
  }

  closed(): Promise<void> {
    if (!this.client.connected && this.client.disconnected) return Promise.resolve()
    return new Promise(resolve => this.client.once('close', () => resolve()))
  }

  end(): Promise<void> {
    return new Promise(resolve => this.client.end(true, {}, () => resolve()))
  }
}

/** What the vendor's SDKs send at login, as the documents have it. */
export function credentials(deviceKey: string, secret: string, productKey = PRODUCT) {
  const timestamp = '1548753362502'
  const name = `${deviceKey}-${randomBytes(3).toString('hex')}`
  const content = `clientId${name}deviceKey${deviceKey}productKey${productKey}timestamp${timestamp}${secret}`
  return {
    clientId: `${name}|securemode=2,signmethod=sha256,timestamp=${timestamp}|`,
    username: `${deviceKey}&${productKey}`,
    password: createHash('sha256').update(content).digest('hex').toUpperCase(),
  }
}
