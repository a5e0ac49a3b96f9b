// For the tests of what devices ask for and report: the real memory store, a real fleet in it, and requests as they come from a connection. The
// connection itself is only who asks: it says which devices are logged in over it, and notes what it is told.

import { createHash, randomBytes } from 'node:crypto'
import { parseFleetFile } from '../../src/fleet/file.ts'
import { Fleet } from '../../src/fleet/fleet.ts'
import { randomKey, Secrets } from '../../src/fleet/secrets.ts'
import type { Log } from '../../src/log.ts'
import { openMemory } from '../../src/store/memory.ts'
import type { Device, Store } from '../../src/store/store.ts'
import type { Asker } from '../../src/uplink/asker.ts'
import type { Desk } from '../../src/uplink/call.ts'
import { Requests } from '../../src/uplink/requests.ts'
import { Saver } from '../../src/uplink/saver.ts'
import type { DeviceKeys } from '../../src/uplink/topics.ts'
import { ManualClock } from './clock.ts'

export const NOW = 1_800_000_000_000

const item = (identifier: string, dataType: string, more: object = {}) => ({ identifier, dataType, ...more })
export const MODEL = {
  modelId: 'meter',
  measurepoints: {
    Int: { dataType: 'INT', min: -10, max: 1000 },
    Double: { dataType: 'DOUBLE' },
    Text: { dataType: 'STRING', dataDefinition: { maxLength: 20 } },
    Bool: { dataType: 'BOOL' },
    Enum: { dataType: 'ENUM', dataDefinition: { enumType: 'INT', enumDesc: { 1: 'on', 2: 'off' } } },
    Array: { dataType: 'ARRAY', dataDefinition: { itemType: 'STRING' } },
    // its items have the very names of the form with a quality
    Struct: {
      dataType: 'STRUCT',
      dataDefinition: { items: [item('value', 'INT', { required: true }), item('quality', 'INT')] },
    },
    Place: { dataType: 'STRUCT', dataDefinition: { items: [item('x', 'INT', { required: true })] } },
    File: { dataType: 'FILE' },
  },
  attributes: {
    serial: { dataType: 'STRING', dataDefinition: { maxLength: 10 } },
    count: { dataType: 'INT' },
    place: { dataType: 'STRUCT', dataDefinition: { items: [item('x', 'INT')] } },
    // names that an object would put first
    2: { dataType: 'INT' },
    1: { dataType: 'INT' },
  },
  events: {
    fault: { outputData: [item('code', 'INT', { isRequired: true }), item('text', 'STRING')] },
    'INV.Trip': {},
  },
  services: { reboot: { inputData: [item('delay', 'INT')] } },
}

export const secretOf = (deviceKey: string): string => `secret-of-${deviceKey}`
const device = (deviceKey: string, productKey: string, more: object = {}) => ({
  ...{ assetId: deviceKey, productKey, deviceKey, deviceSecret: secretOf(deviceKey), ...more },
})

/**
 * m1, m2 of a product with the model; f1 of one without; gateways g1 (with s1, s2, and off, which is disabled, behind it) and g2 (with far behind it);
 * loose and loose2 behind none; cert, and certIn behind g2, of a product that wants certificates; in another organization product foreignPk with the
 * device foreign.
 */
const FLEET = {
  organizations: [
    {
      orgId: 'o1',
      models: [MODEL],
      products: [
        { productKey: 'meterPk', productSecret: 's', modelId: 'meter' },
        { productKey: 'freePk', productSecret: 's' },
        { productKey: 'gwPk', productSecret: 's', productType: 'Gateway' },
        { productKey: 'certPk', productSecret: 's', biDirectionalAuth: true },
      ],
      devices: [
        device('m1', 'meterPk'),
        device('m2', 'meterPk'),
        device('f1', 'freePk'),
        device('g1', 'gwPk', { timezone: '+08:00' }),
        device('g2', 'gwPk'),
        device('s1', 'meterPk', { gateway: 'g1' }),
        device('s2', 'meterPk', { gateway: 'g1' }),
        device('off', 'meterPk', { gateway: 'g1', disabled: true }),
        device('far', 'meterPk', { gateway: 'g2' }),
        device('loose', 'meterPk'),
        device('loose2', 'freePk'),
        device('cert', 'certPk'),
        device('certIn', 'certPk', { gateway: 'g2' }),
      ],
    },
    {
      orgId: 'o2',
      products: [{ productKey: 'foreignPk', productSecret: 's' }],
      devices: [device('foreign', 'foreignPk')],
    },
  ],
}

// biome-ignore lint/suspicious/noExplicitAny: answers are looked at field by field in expectations
export type Told = { id: any; code: number; data: any; message: string }

/** One connection: its own device, and those that are logged in over it. */
export class Connection implements Asker {
  readonly joinedKeys: string[] = []
  readonly leftKeys: string[] = []
  readonly productKey: string

  constructor(
    private readonly rig: UplinkRig,
    readonly device: Device | null,
    readonly members: Device[],
    productKey = device?.productKey ?? '',
  ) {
    this.productKey = productKey
  }

  speaker({ productKey, deviceKey }: DeviceKeys): Device | null {
    return this.members.find(each => each.productKey === productKey && each.deviceKey === deviceKey) ?? null
  }

  joined(devices: readonly Device[]): void {
    this.joinedKeys.push(...devices.map(({ deviceKey, gatewayAssetId }) => `${deviceKey} behind ${gatewayAssetId}`))
  }

  left(devices: readonly Device[]): void {
    this.leftKeys.push(...devices.map(({ deviceKey }) => deviceKey))
  }

  /** The raw answer to a raw payload on the topic of the connection's own device, or of the device named. */
  async send(path: string, payload: string | Buffer, keys: DeviceKeys = this.own()): Promise<string | null> {
    const answer = await this.rig.requests.answer({ keys, path, payload: Buffer.from(payload) }, this)
    return answer?.json ?? null
  }

  /** The answer to a request with these params; `beside` goes beside them. */
  async ask(path: string, params: unknown, beside: object = {}, keys?: DeviceKeys): Promise<Told> {
    const json = await this.send(path, JSON.stringify({ id: '7', version: '1.0', params, ...beside }), keys)
    if (json === null) throw new Error('nobody was answered')
    return JSON.parse(json)
  }

  private own(): DeviceKeys {
    return this.device ?? { productKey: this.productKey, deviceKey: 'integration' }
  }
}

export class UplinkRig {
  private constructor(
    readonly store: Store,
    readonly fleet: Fleet,
    readonly clock: ManualClock,
    readonly requests: Requests,
    /** what was logged as an error */
    readonly errors: unknown[],
  ) {}

  /** `broken` changes what the store does before anything uses it. */
  static async open(
    broken: (store: Store) => void = () => undefined,
    draw = randomBytes,
    more: Pick<Desk, 'registerUpTo' | 'guess' | 'turns'> = {},
  ): Promise<UplinkRig> {
    const store = openMemory()
    const fleet = new Fleet(store, new Secrets(randomKey()))
    const parsed = parseFleetFile(JSON.stringify(FLEET), 'fleet.json')
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
    await fleet.apply(parsed.file, NOW)
    broken(store)
    const clock = new ManualClock(NOW)
    const errors: unknown[] = []
    const log: Log = { info: () => undefined, warn: () => undefined, error: fields => void errors.push(fields) }
    const saver = new Saver({ store, log, defer: run => void setImmediate(run) })
    const requests = new Requests({ fleet, store, saver, clock, log, randomBytes: draw, ...more })
    return new UplinkRig(store, fleet, clock, requests, errors)
  }

  /** A connection of a device with sub-devices logged in over it, all by assetId. */
  async connection(assetId: string, ...subDevices: string[]): Promise<Connection> {
    const devices = await Promise.all([assetId, ...subDevices].map(each => this.device(each)))
    return new Connection(this, devices[0] ?? null, devices)
  }

  channel(productKey: string): Connection {
    return new Connection(this, null, [], productKey)
  }

  async device(assetId: string): Promise<Device> {
    const device = await this.fleet.deviceByAsset(assetId)
    if (device === null) throw new Error(`there is no device ${assetId}`)
    return device
  }

  /** Latest values by id as `value@time`, with `/quality` where there is one. */
  async values(assetId: string): Promise<Record<string, string>> {
    const { id } = await this.device(assetId)
    const values = await this.store.latestValues(id, null)
    return Object.fromEntries(
      values.map(({ pointId, valueJson, quality, at }) => [
        pointId,
        `${valueJson}${quality === null ? '' : `/${quality}`}@${at - NOW}`,
      ]),
    )
  }
}

/** A device's signed words about itself, as for topo/add. */
export function signed(productKey: string, deviceKey: string, over: Record<string, unknown> = {}) {
  const { secret = secretOf(deviceKey), ...more } = over
  const fields = { clientId: `${productKey}.${deviceKey}`, timestamp: '1795383668139', ...more }
  const content = `clientId${fields.clientId}deviceKey${deviceKey}productKey${productKey}timestamp${fields.timestamp}${secret}`
  const sign = createHash('sha256').update(content).digest('hex')
  return { productKey, deviceKey, signMethod: 'sha256', sign, ...fields }
}
