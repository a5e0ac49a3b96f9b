// A server as it is, put together in this process on a clock that the fuzzers move: real engine, HTTP app and MQTT endpoint on loopback, memory store.
// Beside whatever is thrown at it live a device and a caller that behave, and a book of every change with what explains it.

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { generate, type IConnectPacket, type IPublishPacket, type Packet, parser } from 'mqtt-packet'
import { alone } from '../src/cluster/signal.ts'
import { Codecs } from '../src/codec/codec.ts'
import { Ids } from '../src/core/ids.ts'
import type { QueueEvent } from '../src/core/queue.ts'
import { Engine } from '../src/engine.ts'
import { parseFleetFile } from '../src/fleet/file.ts'
import { Fleet } from '../src/fleet/fleet.ts'
import { permissions } from '../src/fleet/grants.ts'
import { randomKey, Secrets } from '../src/fleet/secrets.ts'
import type { Notify } from '../src/http/action.ts'
import { buildApp } from '../src/http/app.ts'
import { encryption, signature } from '../src/http/signature.ts'
import { TokenService } from '../src/http/tokens.ts'
import { Jobs } from '../src/jobs/runner.ts'
import type { Log } from '../src/log.ts'
import { Metrics } from '../src/metrics.ts'
import { MqttListener } from '../src/mqtt/listener.ts'
import { openMemory } from '../src/store/memory.ts'
import type { Batch, Store } from '../src/store/store.ts'
import { Stream } from '../src/stream/stream.ts'
import type { Asker } from '../src/uplink/asker.ts'
import { LoginLimit } from '../src/uplink/login-limit.ts'
import { Requests } from '../src/uplink/requests.ts'
import { Saver } from '../src/uplink/saver.ts'
import { isSame } from '../src/uplink/topics.ts'
import { ManualClock } from '../test/rig/clock.ts'
import { check, Violation, within } from './target.ts'

export const ORG = 'oFuzz'
export const APP = { appKey: '00000000-0000-4000-8000-00000000f0f0', appSecret: 'secret-of-the-application' }
export const PRODUCT = 'pk'
/** of the device that behaves; nothing that is thrown names it */
const GOOD = 'wellBehaved'
export const VICTIMS = ['v1', 'v2', 'v3', 'v4']
/** gateways, with those behind them */
export const GATEWAYS: Readonly<Record<string, readonly string[]>> = { g1: ['gs1', 'gs2', 'gs3'], g2: ['gs4'] }
export const GATEWAY_PRODUCT = 'gw'
/** its product has a format of its own, and no codec */
const RAW = 'r1'
/** have commands waiting and are never touched */
const QUIET = ['q1', 'q2']
/** its link takes commands, and answers some */
export const SLOW = 's1'
export const secretOf = (deviceKey: string): string => `secret-of-${deviceKey}`
const LONGEST_TTL_S = 172_800
/** ms of real time in which anything on loopback must have happened, on a machine that does other things too */
export const PATIENCE_MS = 10_000

const device = (deviceKey: string, productKey = PRODUCT) => ({
  ...{ assetId: `asset-${deviceKey}`, productKey, deviceKey, deviceSecret: secretOf(deviceKey), timezone: '+08:00' },
})
const point = (dataType: string, dataDefinition?: object) => ({
  dataType,
  ...(dataDefinition ? { dataDefinition } : {}),
})
const FLEET = JSON.stringify({
  organizations: [
    {
      orgId: ORG,
      applications: [
        {
          ...APP,
          grants: Object.entries(permissions).map(([resource, actions]) => ({ resource, actions, scope: 'all' })),
        },
      ],
      models: [
        {
          modelId: 'm',
          measurepoints: {
            Int: point('INT'),
            Bounded: point('DOUBLE', { min: -1, max: 1 }),
            Text: point('STRING', { maxLength: 60_000 }),
            Enum: point('ENUM', { enumType: 'INT', enumDesc: { 1: 'on', 2: 'off' } }),
            Date: point('DATE'),
            Timestamp: point('TIMESTAMP'),
            Array: point('ARRAY', { itemType: 'INT' }),
            Struct: point('STRUCT', { items: [{ identifier: 'a', dataType: 'INT', required: true }] }),
            File: point('FILE'),
            Bool: point('BOOL'),
            Fixed: { ...point('INT'), writable: false },
          },
          services: {
            plain: {},
            echo: {
              inputData: [{ identifier: 'n', dataType: 'INT' }],
              outputData: [{ identifier: 'n', dataType: 'INT' }],
            },
            needy: { inputData: [{ identifier: 'n', dataType: 'INT', isRequired: true }] },
          },
        },
      ],
      products: [
        { productKey: PRODUCT, productSecret: 'ps', modelId: 'm' },
        { productKey: 'free', productSecret: 'ps' },
        { productKey: GATEWAY_PRODUCT, productSecret: 'ps', productType: 'Gateway' },
        { productKey: 'own', productSecret: 'ps', dataFormat: 'Custom' },
        { productKey: 'guarded', productSecret: 'ps', biDirectionalAuth: true },
      ],
      devices: [
        ...[GOOD, ...VICTIMS, ...QUIET, SLOW].map(key => device(key)),
        ...Object.entries(GATEWAYS).flatMap(([gateway, subs]) => [
          device(gateway, GATEWAY_PRODUCT),
          ...subs.map(key => ({ ...device(key), gateway: `asset-${gateway}` })),
        ]),
        device(RAW, 'own'),
        device('f1', 'free'),
        device('c1', 'guarded'),
        { ...device('off'), disabled: true },
      ],
    },
    { orgId: 'oOther', products: [{ productKey: 'other', productSecret: 'ps' }], devices: [device('x1', 'other')] },
  ],
})
/** assets that requests may name */
export const ASSETS = [...VICTIMS, SLOW, 'f1', 'off', 'x1'].map(key => `asset-${key}`)

/** A change as the store was told to make it. */
export interface Entry {
  readonly deviceId: number
  readonly event: QueueEvent
}

/** What must not be logged by a server that is well, whatever it is sent. */
class Complaints {
  readonly list: string[] = []
  readonly log: Log & { debug(fields: object, message: string): void } = {
    debug: () => undefined,
    info: () => undefined,
    warn: (fields, message) => {
      if (!DEVICES_FAULT.has(message)) this.list.push(`${message}: ${show(fields)}`)
    },
    error: (fields, message) => void this.list.push(`${message}: ${show(fields)}`),
  }
}

/** what is logged where a device, or the codec that is missing here, is to blame */
const DEVICES_FAULT: ReadonlySet<string> = new Set([
  'login refused',
  'a payload was not decoded',
  'an answer was not encoded',
  'a command was not encoded',
])

const show = (fields: object): string =>
  JSON.stringify(fields, (_key, value: unknown) => (value instanceof Error ? value.stack : value))

export class World {
  /** changes since they were last taken */
  #book: Entry[] = []
  /** ids of commands that somebody was told, by device */
  readonly #accepted = new Map<string, number>()
  readonly #complaints: Complaints
  #good: Device | null = null
  readonly #caller: Caller
  #pulses = 0
  #quiet = ''

  private constructor(
    readonly store: Store,
    readonly fleet: Fleet,
    readonly clock: ManualClock,
    readonly engine: Engine,
    readonly requests: Requests,
    readonly listener: MqttListener,
    readonly app: FastifyInstance,
    readonly mqttPort: number,
    complaints: Complaints,
  ) {
    this.#complaints = complaints
    this.#caller = new Caller((app.server.address() as AddressInfo).port, () => clock.now())
  }

  static async open(): Promise<World> {
    let world: World | null = null
    const store = openMemory()
    const commit = store.commit.bind(store)
    // Nothing is changed on the way: what the engine writes is only noted.
    store.commit = async (batch: Batch) => {
      const stale = await commit(batch)
      world?.note(batch, stale)
      return stale
    }
    const clock = new ManualClock()
    const fleet = new Fleet(store, new Secrets(randomKey()))
    const parsed = parseFleetFile(FLEET, 'fleet.json')
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
    await fleet.apply(parsed.file, clock.now())
    const metrics = new Metrics()
    const complaints = new Complaints()
    const { log } = complaints
    const defer = (run: () => void) => void setImmediate(run)
    const ids = new Ids(0, null)
    const limits = { queueCap: 50, retentionMs: 604_800_000 }
    const engine = new Engine({
      cluster: alone,
      store,
      clock,
      ids,
      log,
      observer: metrics,
      defer,
      ...limits,
    })
    await engine.start()
    const newToken = () => randomBytes(32).toString('base64url')
    const tokens = new TokenService({ tokens: store, fleet, newToken, clockWindowMs: 600_000 })
    const parts = { engine, store, fleet, tokens, clock, metrics, log, auth: 'signature' as const }
    const notify: Notify = async (gatewayId, notice, of) => void listener.notify(gatewayId, notice, of)
    const changes = new Stream({
      ...{ store, fleet, clock, realClock: clock, log, isShared: false, reachable: 'public' },
      ...{ defer, chance: Math.random, observer: metrics },
    })
    const jobs = new Jobs({
      ...{ store, engine, fleet, clock, log, defer, retentionMs: limits.retentionMs },
      ...{ holder: 'this process', isShared: false },
    })
    jobs.start()
    const app = buildApp({
      leaving: { isLeaving: false },
      ...parts,
      changes,
      jobs,
      notify,
      maxInputBytes: 65_536,
      openBeyondLoopback: false,
    })
    app.addHook('onClose', () => jobs.stop())
    await app.listen({ host: '127.0.0.1', port: 0 })
    const count = (event: Parameters<Metrics['mqtt']>[0]) => metrics.mqtt(event)
    const saver = new Saver({ store, log, defer })
    const requests = new Requests({ fleet, store, saver, clock, log, randomBytes })
    const codecs = new Codecs({ dir: null, clock, log })
    const devices = { engine, fleet, requests, codecs, limit: new LoginLimit(), clock, log }
    const listener = new MqttListener({ ...devices, readyAfterMs: 2_000, reactivation: 'lenient', count })
    const { port } = await listener.listen('127.0.0.1', 0)
    world = new World(store, fleet, clock, engine, requests, listener, app, port, complaints)
    await world.#start()
    return world
  }

  async #start(): Promise<void> {
    for (const key of QUIET) for (let i = 0; i < 3; i += 1) await this.enqueue(key)
    this.#quiet = await this.#quietNow()
    this.#good = await Device.connect(this.mqttPort, GOOD, {})
    check(this.#good.accepted, () => 'the device that behaves is not let in')
    this.#good.answer = packet => {
      const { id, params } = JSON.parse(packet.payload.toString())
      return { id, code: 200, data: params }
    }
    this.#good.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: `/sys/${PRODUCT}/${GOOD}/#`, qos: 1 }] })
    await this.pulse()
    this.takeBook()
  }

  note({ changes }: Batch, stale: readonly number[]): void {
    for (const { queue, inserts, updates, events } of changes) {
      if (stale.includes(queue.deviceId)) continue
      const { deviceId } = queue
      const told = new Set(events.map(({ commandId }) => commandId))
      for (const { command } of [...inserts, ...updates])
        if (!told.has(command.id) && command.lateReplies === 0)
          this.#complaints.list.push(`command ${command.id} of device ${deviceId} changed without an event`)
      for (const event of events) this.#book.push({ deviceId, event })
    }
  }

  /** What was changed since the last time, the doings of the device that behaves left out. */
  takeBook(): Entry[] {
    const book = this.#book
    this.#book = []
    const good = this.#goodId
    return book.filter(({ deviceId }) => deviceId !== good)
  }

  get #goodId(): number {
    // Devices are numbered in the order of the file, and this is the first.
    return 1
  }

  async id(deviceKey: string, productKey = PRODUCT): Promise<number> {
    return (await this.fleet.deviceByKeys(productKey, deviceKey))?.id ?? 0
  }

  /** A session that requests come over: of a gateway with all those behind it logged in, of a device by itself, or of a channel. */
  async asker(by: string): Promise<Asker> {
    const isGateway = by in GATEWAYS
    const device = await this.fleet.deviceByKeys(isGateway ? GATEWAY_PRODUCT : PRODUCT, by)
    const behind = device === null || !isGateway ? [] : await this.fleet.subDevices(device)
    const here = device === null ? [] : [device, ...behind]
    return {
      device,
      productKey: device?.productKey ?? PRODUCT,
      speaker: keys => here.find(each => isSame(each, keys)) ?? null,
      joined: () => undefined,
      left: () => undefined,
    }
  }

  /** Somebody was told that this command is on record. */
  accepted(commandId: string, deviceId: number): void {
    this.#accepted.set(commandId, deviceId)
  }

  isAccepted(commandId: string): boolean {
    return this.#accepted.has(commandId)
  }

  /** A cached command, put straight into the engine. */
  async enqueue(deviceKey: string, productKey = PRODUCT): Promise<string> {
    const deviceId = await this.id(deviceKey, productKey)
    const command = { kind: 2 as const, identifier: 'plain', timeoutS: 30, pendingTtlS: LONGEST_TTL_S, by: 'fuzz' }
    const answer = await this.engine.enqueue(
      deviceId,
      { ...command, nameJson: '{"defaultValue":"p"}', inputJson: '{}' },
      false,
    )
    if (!answer.ok) throw new Violation(`the engine refused a good command: ${answer.message}`)
    if ('repeated' in answer) throw new Violation('the engine takes a command without a key for a repeat')
    this.accepted(answer.command.id, deviceId)
    return answer.command.id
  }

  /**
   * The caller that behaves sends an instant command to the device that behaves, and must get its answer. To be awaited; where the input fails
   * first, that is the failure, and this one's must not be told in its place as one that nobody awaited.
   */
  pulse(): Promise<void> {
    const pulse = this.#pulse()
    pulse.catch(() => undefined)
    return pulse
  }

  async #pulse(): Promise<void> {
    this.#pulses += 1
    const n = this.#pulses
    const params = { action: 'invokeService', orgId: ORG, assetId: `asset-${GOOD}`, serviceId: 'echo' }
    const answer = await within(this.#caller.call(params, { inputData: { n } }), PATIENCE_MS, () => 'a good call')
    check(answer.status === 200 && answer.body.code === 0, () => `a good call is answered ${JSON.stringify(answer)}`)
    const { commandId, outputData } = answer.body.data as { commandId: string; outputData: { n: number } }
    check(outputData.n === n, () => `a good call gets another's answer: ${JSON.stringify(answer)}`)
    check(
      this.#good?.ids.at(-1) === commandId && this.#good.ids.length === n,
      () => 'the good device was sent something else',
    )
    this.accepted(commandId, this.#goodId)
  }

  /** A signed call's headers for this moment. */
  sign(query: readonly { name: string; value: string | null }[], body: Uint8Array): Promise<Record<string, string>> {
    return this.#caller.sign(query, body)
  }

  /** Turns of the loop until the engine has nothing left to do. */
  async rest(): Promise<void> {
    for (let i = 0; i < 3; i += 1) {
      await new Promise(resolve => setImmediate(resolve))
      await this.engine.idle()
    }
  }

  advance(ms: number): Promise<void> {
    return this.clock.advance(ms, () => this.rest())
  }

  /** To be called after each input. */
  checkHealth(): void {
    const [first] = this.#complaints.list
    check(first === undefined, () => `the server complains: ${first}`)
  }

  /** Before anything is stopped, which would let go of it. */
  #checkRests(): void {
    const { waiters, pending } = this.engine.gauges()
    check(waiters === 0 && pending === 0, () => `${waiters} callers and ${pending} inputs are left`)
  }

  async #quietNow(): Promise<string> {
    const found = await Promise.all(
      QUIET.map(async key => this.store.load([{ deviceId: await this.id(key), commandIds: [] }])),
    )
    return JSON.stringify(found)
  }

  /** The end: what is on record is what somebody was told, and nothing is left behind. */
  async close(): Promise<void> {
    await this.pulse()
    await this.rest()
    this.checkHealth()
    check((await this.#quietNow()) === this.#quiet, () => 'the queues of devices that nobody named have changed')
    for (const [commandId, deviceId] of this.#accepted)
      check(
        await this.store.command(deviceId, commandId),
        () => `command ${commandId} was accepted and is not on record`,
      )
    const counted = [...(await this.store.countByState()).values()].reduce((sum, count) => sum + count, 0)
    check(
      counted === this.#accepted.size,
      () => `${counted} commands are on record, ${this.#accepted.size} were accepted`,
    )
    this.#caller.end()
    await this.#good?.end()
    await this.rest()
    this.#checkRests()
    await within(Promise.all([this.app.close(), this.engine.stop()]), PATIENCE_MS, () => 'the end of HTTP and engine')
    const stopped = this.listener.stop()
    await this.advance(5_000)
    await within(stopped, PATIENCE_MS, () => 'the end of MQTT')
    const { sockets, devices } = this.listener.gauges()
    check(sockets === 0 && devices === 0, () => `${sockets} sockets and ${devices} devices are left`)
    await this.engine.idle()
    await this.store.close()
    this.checkHealth()
  }
}

/** A caller that signs as documented, on one connection that is kept. */
class Caller {
  readonly #port: number
  readonly #now: () => number
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  #token = ''
  #tokenUntil = 0
  /** asked for once, however many calls need it: the same proof is not taken twice */
  #renewing: Promise<void> | null = null

  constructor(port: number, now: () => number) {
    this.#port = port
    this.#now = now
  }

  async sign(
    query: readonly { name: string; value: string | null }[],
    body: Uint8Array,
  ): Promise<Record<string, string>> {
    const now = this.#now()
    if (now >= this.#tokenUntil) {
      this.#renewing ??= this.#renew(String(now)).finally(() => {
        this.#renewing = null
      })
      await this.#renewing
    }
    const timestamp = String(now)
    return {
      'apim-accesstoken': this.#token,
      'apim-timestamp': timestamp,
      'apim-signature': signature(this.#token, query, body, timestamp, APP.appSecret),
    }
  }

  async #renew(timestamp: string): Promise<void> {
    const { appKey, appSecret } = APP
    const proof = JSON.stringify({ appKey, timestamp, encryption: encryption(appKey, timestamp, appSecret) })
    const { body } = await this.#post('/apim-token-service/v2.0/token/get', {}, proof)
    check(body.status === 0, () => `no token: ${JSON.stringify(body)}`)
    const { accessToken, expire } = body.data as { accessToken: string; expire: number }
    this.#token = accessToken
    this.#tokenUntil = this.#now() + expire * 1_000
  }

  async call(
    params: Readonly<Record<string, string>>,
    value: unknown,
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    const text = JSON.stringify(value)
    const headers = await this.sign(
      Object.entries(params).map(([name, of]) => ({ name, value: of })),
      Buffer.from(text),
    )
    return this.#post(`/connect-service/v2.1/commands?${new URLSearchParams(params)}`, headers, text)
  }

  #post(
    path: string,
    headers: Record<string, string>,
    body: string,
  ): Promise<{ status: number; body: Record<string, unknown> }> {
    return new Promise((resolve, reject) => {
      const options = { agent: this.#agent, host: '127.0.0.1', port: this.#port, path, method: 'POST', headers }
      const call = request(options, response => {
        let text = ''
        response.setEncoding('utf8').on('data', chunk => {
          text += chunk
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }))
      })
      call.on('error', reject)
      call.end(body)
    })
  }

  end(): void {
    this.#agent.destroy()
  }
}

/** What a device says at login, made here once more, so that the server's own code is not what it is checked against. */
export function connectPacket(deviceKey: string, over: Partial<IConnectPacket>, productKey = PRODUCT): IConnectPacket {
  const text = `clientId${deviceKey}deviceKey${deviceKey}productKey${productKey}timestamp1${secretOf(deviceKey)}`
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId: `${deviceKey}|securemode=2,signmethod=sha256,timestamp=1|`,
    username: `${deviceKey}&${productKey}`,
    password: Buffer.from(createHash('sha256').update(text).digest('hex')),
    clean: true,
    keepalive: 0,
    ...over,
  }
}

/** A client on a real socket that hears everything. */
export class Device {
  readonly ids: string[] = []
  readonly heard: Packet[] = []
  /** bytes that are no MQTT came from the server */
  fault: string | null = null
  isClosed = false
  answer: ((packet: IPublishPacket) => object) | null = null
  readonly closed: Promise<void>
  #wake: (() => void)[] = []
  readonly #version: 4 | 5

  private constructor(
    readonly socket: Socket,
    version: 4 | 5,
  ) {
    this.#version = version
    const reader = parser({ protocolVersion: version })
    reader.on('packet', packet => this.#hear(packet))
    reader.on('error', error => {
      this.fault = error.message
    })
    socket.on('data', chunk => {
      reader.parse(chunk)
      this.#wakeAll()
    })
    socket.on('error', () => socket.destroy())
    this.closed = new Promise(resolve => {
      socket.once('close', () => {
        this.isClosed = true
        this.#wakeAll()
        resolve()
      })
    })
  }

  /** A connection on which nothing was said yet. */
  static async open(port: number, version: 4 | 5): Promise<Device> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    const made = new Device(socket, version)
    await once(socket, 'connect')
    return made
  }

  static async connect(
    port: number,
    deviceKey: string,
    over: Partial<IConnectPacket>,
    productKey = PRODUCT,
  ): Promise<Device> {
    const made = await Device.open(port, over.protocolVersion === 5 ? 5 : 4)
    made.send(connectPacket(deviceKey, over, productKey))
    await made.until(() => made.heard.length > 0, 'a CONNACK')
    return made
  }

  get accepted(): boolean {
    const [first] = this.heard
    return first?.cmd === 'connack' && (first.returnCode ?? first.reasonCode) === 0
  }

  #hear(packet: Packet): void {
    this.heard.push(packet)
    if (packet.cmd !== 'publish' || packet.qos === 0) return
    this.ids.push(String(JSON.parse(packet.payload.toString()).id))
    if (this.answer === null) return
    const messageId = (this.ids.length % 65_535) + 1
    const payload = JSON.stringify(this.answer(packet))
    const reply: Packet = {
      cmd: 'publish',
      topic: `${packet.topic}_reply`,
      payload,
      qos: 1,
      dup: false,
      retain: false,
      messageId,
    }
    this.send({ cmd: 'puback', messageId: packet.messageId ?? 0 }, reply)
    // What lives as long as the block must not keep all that it heard.
    this.heard.length = 0
  }

  send(...packets: readonly (Packet | Buffer)[]): void {
    const bytes = packets.map(packet =>
      Buffer.isBuffer(packet) ? packet : generate(packet, { protocolVersion: this.#version }),
    )
    if (!this.socket.destroyed && this.socket.writable) this.socket.write(Buffer.concat(bytes))
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** Resolves when it holds, looked at whenever something came, or the connection is over. */
  async until(holds: () => boolean, what: string): Promise<void> {
    while (!holds() && !this.isClosed)
      await within(new Promise<void>(resolve => this.#wake.push(resolve)), PATIENCE_MS, () => what)
  }

  async end(): Promise<void> {
    this.socket.destroy()
    await this.closed
  }
}
