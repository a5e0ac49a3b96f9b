// The fleet that the crash harness works with, as a fleet file, and the names and secrets in it.

export const ORG = 'oCrash'
export const APP = { appKey: '6f0c2f1e-0000-4000-8000-00000000c4a5', appSecret: 'secret-of-the-crash-harness' }
const PRODUCT = 'pkCrash'
const GATEWAY_PRODUCT = 'pkCrashGateway'
/** Every command carries the number of the call that asked for it, here or as the input of the service: that is how a call without an answer is recognised. */
export const POINT = 'call'
export const SERVICE = 'work'
export const SERVICE_INPUT = 'call'

export interface DeviceName {
  readonly assetId: string
  readonly productKey: string
  readonly deviceKey: string
  readonly deviceSecret: string
  /** assetId of the gateway that it is behind; null: it has a connection of its own */
  readonly gateway: string | null
}

/** A device with a connection of its own, and who is behind it. */
export interface Connected extends DeviceName {
  /** empty, unless it is a gateway */
  readonly subDevices: readonly DeviceName[]
}

export interface FleetSize {
  readonly devices: number
  readonly gateways: number
  /** behind each gateway */
  readonly subDevices: number
}

export class Fleet {
  /** devices a1, a2, … without anybody behind them */
  readonly devices: readonly Connected[]
  /** gateways g1, g2, … with g1s1, g1s2, … behind the first */
  readonly gateways: readonly Connected[]
  readonly #behind: ReadonlySet<string>

  constructor({ devices, gateways, subDevices }: FleetSize) {
    this.devices = names(devices, i => ({ ...named(`a${i}`, PRODUCT), subDevices: [] }))
    this.gateways = names(gateways, i => ({
      ...named(`g${i}`, GATEWAY_PRODUCT),
      subDevices: names(subDevices, n => named(`g${i}s${n}`, PRODUCT, `g${i}`)),
    }))
    this.#behind = new Set(this.gateways.flatMap(gateway => gateway.subDevices.map(({ assetId }) => assetId)))
  }

  /** Who has a connection. */
  get connected(): readonly Connected[] {
    return [...this.devices, ...this.gateways]
  }

  /** Who gets commands: everybody. */
  get all(): readonly DeviceName[] {
    return this.connected.flatMap(device => [device, ...device.subDevices])
  }

  isBehindGateway(assetId: string): boolean {
    return this.#behind.has(assetId)
  }

  /** Without a model, so that commands of any size are taken. */
  file(): string {
    const secret = { productSecret: 'secret-of-the-product', productName: { defaultValue: 'Crash' } }
    return JSON.stringify({
      organizations: [
        {
          orgId: ORG,
          name: 'Crash',
          applications: [
            {
              ...APP,
              grants: [
                { resource: 'Asset', actions: ['Control', 'Read'], scope: 'all' },
                { resource: 'Organization', actions: ['FullAccess'], scope: 'all' },
              ],
            },
          ],
          products: [
            { productKey: PRODUCT, ...secret },
            { productKey: GATEWAY_PRODUCT, productType: 'Gateway', ...secret },
          ],
          devices: this.all.map(({ assetId, productKey, deviceKey, deviceSecret, gateway }) => ({
            assetId,
            productKey,
            deviceKey,
            deviceSecret,
            ...(gateway === null ? {} : { gateway }),
          })),
        },
      ],
    })
  }
}

const names = <T>(count: number, make: (n: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i + 1))

const named = (assetId: string, productKey: string, gateway: string | null = null): DeviceName => ({
  assetId,
  productKey,
  deviceKey: `key-${assetId}`,
  deviceSecret: `secret-of-${assetId}`,
  gateway,
})
