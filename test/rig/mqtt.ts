// The MQTT endpoint on loopback with a real engine, fleet and memory store behind it, and devices that speak in bytes or through the mqtt client.

import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import { generate, type IConnectPacket, type IPublishPacket, type Packet, parser } from 'mqtt-packet'
import { type Clock, SystemClock, type Timers } from '../../src/clock.ts'
import { alone, type Cluster } from '../../src/cluster/signal.ts'
import { Codecs } from '../../src/codec/codec.ts'
import { Kind, type State } from '../../src/core/command.ts'
import { Ids } from '../../src/core/ids.ts'
import { Engine, type NewCommand } from '../../src/engine.ts'
import { parseFleetFile } from '../../src/fleet/file.ts'
import { Fleet } from '../../src/fleet/fleet.ts'
import { randomKey, Secrets } from '../../src/fleet/secrets.ts'
import type { DeviceDirectory } from '../../src/mqtt/connect.ts'
import { MqttListener, type MqttOptions, type TlsFiles } from '../../src/mqtt/listener.ts'
import { Intake } from '../../src/proxy/intake.ts'
import { openMemory } from '../../src/store/memory.ts'
import type { Store } from '../../src/store/store.ts'
import { LoginLimit } from '../../src/uplink/login-limit.ts'
import { Requests } from '../../src/uplink/requests.ts'
import { Saver } from '../../src/uplink/saver.ts'

export const PRODUCT = 'pk'
export const secretOf = (deviceKey: string): string => `secret-of-${deviceKey}`

/** Devices d1, d2, … of a product without a model; m1 of one with the service `reboot`; off is disabled; sub is behind the gateway g. */
const fleetText = (devices: number): string =>
  JSON.stringify({
    organizations: [
      {
        orgId: 'o1',
        models: [{ modelId: 'model', services: { reboot: { name: { defaultValue: 'reboot' } } } }],
        products: [
          { productKey: PRODUCT, productSecret: 'ps' },
          { productKey: 'modelled', productSecret: 'ps', modelId: 'model' },
          { productKey: 'guarded', productSecret: 'ps', biDirectionalAuth: true },
          { productKey: 'gateways', productSecret: 'ps', productType: 'Gateway' },
        ],
        devices: [
          ...Array.from({ length: devices }, (_, i) => device(PRODUCT, `d${i + 1}`)),
          device('modelled', 'm1'),
          device('guarded', 'cert1'),
          { ...device(PRODUCT, 'off'), disabled: true },
          device('gateways', 'g'),
          { ...device(PRODUCT, 'sub'), gateway: 'asset-g' },
        ],
      },
    ],
  })
const device = (productKey: string, deviceKey: string) => ({
  assetId: `asset-${deviceKey}`,
  productKey,
  deviceKey,
  deviceSecret: secretOf(deviceKey),
})

export interface MqttRigOptions {
  readonly devices?: number
  readonly clock?: Clock & Timers
  readonly readyAfterMs?: number
  readonly connectionsMax?: number
  /** connections must begin with a PROXY header; what is wrong with it counts as `header FAULT` */
  readonly proxyProtocol?: boolean
  /** this node among others; alone unless said otherwise */
  readonly cluster?: Cluster
  /** stands before the real fleet */
  readonly fleet?: (fleet: Fleet) => DeviceDirectory
}

export class MqttRig {
  readonly #counted = new Map<string, number>()
  readonly logged: { level: string; fields: object; message: string }[] = []
  #waiting: { isMet: () => boolean; resolve: () => void }[] = []
  readonly #opened: { end(): unknown }[] = []

  private constructor(
    readonly store: Store,
    readonly fleet: Fleet,
    readonly engine: Engine,
    readonly listener: MqttListener,
    public port: number,
    readonly intake: Intake,
  ) {}

  static async start(options: MqttRigOptions = {}): Promise<MqttRig> {
    const { devices = 3, clock = new SystemClock(), readyAfterMs = 2_000, connectionsMax } = options
    const store = openMemory()
    const fleet = new Fleet(store, new Secrets(randomKey()))
    const parsed = parseFleetFile(fleetText(devices), 'fleet.json')
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
    await fleet.apply(parsed.file, clock.now())
    // The rig is told of everything that happens, from before it is made.
    let rig: MqttRig | null = null
    const happened = (what: string) => rig?.happened(what)
    const level = (level: string) => (fields: object, message: string) =>
      void rig?.logged.push({ level, fields, message })
    const log = { debug: level('debug'), info: level('info'), warn: level('warn'), error: level('error') }
    const defer = (run: () => void) => void setImmediate(run)
    const engine = new Engine({
      cluster: options.cluster ?? alone,
      store,
      clock,
      log,
      ids: new Ids(0, null),
      observer: {
        batch: () => undefined,
        transition: ({ reason, to }) => happened(to === null ? reason : `${reason} ${to}`),
        published: () => happened('published'),
        reply: outcome => happened(`reply ${outcome}`),
      },
      queueCap: 10_000,
      retentionMs: 86_400_000,
      defer,
    })
    await engine.start()
    const saver = new Saver({ store, log, defer })
    const intake = new Intake({ clock, log, count: fault => happened(`header ${fault}`) })
    const settings: MqttOptions = {
      intake: options.proxyProtocol ? intake : null,
      engine,
      requests: new Requests({ fleet, store, saver, clock, log, randomBytes }),
      codecs: new Codecs({ dir: null, clock, log }),
      reactivation: 'strict',
      limit: new LoginLimit(),
      fleet: options.fleet?.(fleet) ?? fleet,
      clock,
      log,
      readyAfterMs,
      count: happened,
      ...(connectionsMax === undefined ? {} : { connectionsMax }),
    }
    const listener = new MqttListener(settings)
    const { port } = await listener.listen('127.0.0.1', 0)
    rig = new MqttRig(store, fleet, engine, listener, port, intake)
    return rig
  }

  happened(what: string): void {
    this.#counted.set(what, this.count(what) + 1)
    const met = this.#waiting.filter(({ isMet }) => isMet())
    if (met.length > 0) this.#waiting = this.#waiting.filter(waiting => !met.includes(waiting))
    for (const { resolve } of met) resolve()
  }

  count(what: string): number {
    return this.#counted.get(what) ?? 0
  }

  /** Resolves when `what` has happened `times` times since the start of the rig. */
  async until(what: string, times = 1): Promise<void> {
    const isMet = () => this.count(what) >= times
    if (isMet()) return
    await new Promise<void>(resolve => {
      const waiting = { isMet, resolve }
      this.#waiting.push(waiting)
    })
  }

  async listenTls(files: TlsFiles): Promise<number> {
    return (await this.listener.listen('127.0.0.1', 0, files)).port
  }

  async id(deviceKey: string, productKey = PRODUCT): Promise<number> {
    const device = await this.fleet.deviceByKeys(productKey, deviceKey)
    if (device === null) throw new Error(`no device ${deviceKey}`)
    return device.id
  }

  /** Enqueues a cached command; its id. */
  async enqueue(deviceId: number, over: Partial<NewCommand> = {}): Promise<string> {
    const accepted = await this.engine.enqueue(
      deviceId,
      {
        kind: Kind.set,
        identifier: 'Int_value',
        timeoutS: 30,
        pendingTtlS: 3_600,
        by: 'test',
        nameJson: '{"defaultValue":"Int_value","i18nValue":{}}',
        inputJson: '1',
        ...over,
      },
      false,
    )
    if (!accepted.ok) throw new Error(accepted.message)
    if ('repeated' in accepted) throw new Error(`repeats ${accepted.repeated.commandId}`)
    return accepted.command.id
  }

  async state(deviceId: number, commandId: string): Promise<State | undefined> {
    return (await this.store.command(deviceId, commandId))?.command.state
  }

  /** A connection that speaks in bytes; nothing is sent yet. */
  async raw(): Promise<RawDevice> {
    const device = new RawDevice(connectTcp({ host: '127.0.0.1', port: this.port, noDelay: true }))
    this.#opened.push(device)
    await once(device.socket, 'connect')
    return device
  }

  /** One that is logged in. */
  async rawDevice(deviceKey: string, over: Partial<IConnectPacket> = {}): Promise<RawDevice> {
    const device = await this.raw()
    device.version = over.protocolVersion === 5 ? 5 : 4
    device.send(connectPacket(deviceKey, over))
    const connack = await device.next('connack')
    if (connack.cmd === 'connack' && (connack.returnCode ?? connack.reasonCode) !== 0)
      throw new Error(`refused: ${JSON.stringify(connack)}`)
    return device
  }

  /** A device on the real client, not waited for. */
  client(deviceKey: string, options: IClientOptions = {}, productKey = PRODUCT): MqttClient {
    const { clientId, username, password } = credentials(deviceKey, productKey)
    const client = mqtt.connect({
      host: '127.0.0.1',
      port: this.port,
      clientId,
      username,
      password,
      reconnectPeriod: 0,
      ...options,
    })
    client.on('error', () => undefined)
    this.#opened.push({ end: () => client.endAsync(true) })
    return client
  }

  async stop(): Promise<void> {
    for (const opened of this.#opened.splice(0)) await opened.end()
    await this.engine.stop()
    await this.listener.stop()
    await this.engine.idle()
    await this.store.close()
  }
}

/** Made here once more, so that the server's own code is not what it is checked against. */
export function credentials(deviceKey: string, productKey = PRODUCT, secret = secretOf(deviceKey)) {
  const timestamp = '1548753362502'
  const text = `clientId${deviceKey}deviceKey${deviceKey}productKey${productKey}timestamp${timestamp}${secret}`
  return {
    clientId: `${deviceKey}|securemode=2,signmethod=sha256,timestamp=${timestamp}|`,
    username: `${deviceKey}&${productKey}`,
    password: createHash('sha256').update(text).digest('hex'),
  }
}

export function connectPacket(
  deviceKey: string,
  over: Partial<IConnectPacket> = {},
  productKey = PRODUCT,
): IConnectPacket {
  const { clientId, username, password } = credentials(deviceKey, productKey)
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clientId,
    username,
    password: Buffer.from(password),
    clean: true,
    keepalive: 0,
    ...over,
  }
}

/** A device that says exactly what it is told to, and keeps all that it hears. */
export class RawDevice {
  version: 4 | 5 = 4
  /** packets not yet asked for */
  readonly heard: Packet[] = []
  /** the packets that came with each chunk */
  readonly chunks: string[][] = []
  readonly closed: Promise<void>
  #isClosed = false
  #wanted: (() => void) | null = null
  #parser = parser({ protocolVersion: 4 })
  #parses = 4

  constructor(readonly socket: Socket) {
    this.#listen()
    socket.on('data', chunk => {
      if (this.#parses !== this.version) this.#listen()
      this.chunks.push([])
      this.#parser.parse(chunk)
      this.#wanted?.()
    })
    socket.on('error', () => undefined)
    this.closed = new Promise(resolve => {
      socket.once('close', () => {
        this.#isClosed = true
        this.#wanted?.()
        resolve()
      })
    })
  }

  #listen(): void {
    this.#parses = this.version
    this.#parser = parser({ protocolVersion: this.version })
    this.#parser.on('packet', packet => {
      this.heard.push(packet)
      this.chunks.at(-1)?.push(packet.cmd)
    })
    this.#parser.on('error', error => {
      throw error
    })
  }

  send(...packets: readonly (Packet | Buffer)[]): void {
    const bytes = packets.map(packet =>
      Buffer.isBuffer(packet) ? packet : generate(packet, { protocolVersion: this.version }),
    )
    this.socket.write(Buffer.concat(bytes))
  }

  /** The next packet, which must be of this type. */
  next<C extends Packet['cmd']>(cmd: C): Promise<Extract<Packet, { cmd: C }>> {
    return this.nextOf(cmd)
  }

  /** The next packet, which must be of one of these types. */
  async nextOf<C extends Packet['cmd']>(...cmds: C[]): Promise<Extract<Packet, { cmd: C }>> {
    while (this.heard.length === 0) {
      if (this.#isClosed) throw new Error(`closed while waiting for ${cmds.join()}`)
      await new Promise<void>(resolve => {
        this.#wanted = resolve
      })
    }
    const packet = this.heard.shift()
    if (cmds.some(cmd => cmd === packet?.cmd)) return packet as Extract<Packet, { cmd: C }>
    throw new Error(`waiting for ${cmds.join()}, got ${JSON.stringify(packet)}`)
  }

  /** Subscribes, so that it is ready; the codes granted. */
  async subscribe(...filters: string[]): Promise<unknown> {
    this.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.map(topic => ({ topic, qos: 1 })) })
    return (await this.next('suback')).granted
  }

  /** All that a device must hear to be ready. */
  listen(deviceKey: string): Promise<unknown> {
    return this.subscribe(`/sys/${PRODUCT}/${deviceKey}/#`)
  }

  reply(to: IPublishPacket, messageId = 100, over: object = {}): void {
    const { id } = payloadOf(to)
    this.send(publishPacket(`${to.topic}_reply`, { id, code: 200, ...over }, messageId))
  }

  async end(): Promise<void> {
    this.socket.destroy()
    await this.closed
  }
}

export const publishPacket = (topic: string, payload: object | string, messageId = 100): IPublishPacket => ({
  cmd: 'publish',
  topic,
  payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
  qos: 1,
  messageId,
  dup: false,
  retain: false,
})

// biome-ignore lint/suspicious/noExplicitAny: JSON as the device reads it
export const payloadOf = (packet: IPublishPacket): any => JSON.parse(packet.payload.toString())
