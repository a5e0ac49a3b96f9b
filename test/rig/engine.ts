// An engine on the memory store with a clock that the test moves, devices to talk to, and links that record what they are given.

import { alone } from '../../src/cluster/signal.ts'
import { type Downlink, Kind } from '../../src/core/command.ts'
import { Ids } from '../../src/core/ids.ts'
import type { Unsent } from '../../src/core/queue.ts'
import { Engine, type EngineOptions, type Link, type NewCommand } from '../../src/engine.ts'
import { openMemory } from '../../src/store/memory.ts'
import type { Store } from '../../src/store/store.ts'
import { ManualClock } from './clock.ts'

export const ORG = 'o15541858646501'

/** n devices of one product, numbered from 1, whose assetIds are asset1, asset2, … */
export async function addDevices(store: Store, n: number): Promise<number[]> {
  const devices = Array.from({ length: n }, (_, i) => ({
    assetId: `asset${i + 1}`,
    orgId: ORG,
    productKey: 'pk',
    deviceKey: `dk${i + 1}`,
    secret: 'sealed',
    nameJson: '{"defaultValue":"device","i18nValue":{}}',
    timezone: '+00:00',
    disabled: false,
    gatewayAssetId: null,
    certificateSerial: null,
  }))
  const product = { productKey: 'pk', orgId: ORG, secret: 'sealed', modelId: null, json: '{}' }
  const organizations = [{ orgId: ORG, name: 'Test' }]
  await store.applyFleet({ organizations, applications: [], models: [], products: [product], devices }, 0)
  return Promise.all(devices.map(async ({ assetId }) => (await store.deviceByAsset(assetId))?.id ?? 0))
}

export class RecordingLink implements Link {
  ready = true
  silent = false
  refusal: Unsent['reason'] | null = null
  readonly published: Downlink[] = []
  suspected = 0
  gone = 0
  readonly evictions: ('disabled' | 'deleted')[] = []

  presence() {
    return { ready: this.ready, silent: this.silent }
  }
  publish(downlink: Downlink) {
    if (this.refusal === null) this.published.push(downlink)
    return this.refusal
  }
  suspect() {
    this.suspected += 1
    this.ready = false
  }
  takenOver() {
    this.gone += 1
  }
  evicted(why: 'disabled' | 'deleted') {
    this.evictions.push(why)
  }
}

export interface Rig {
  readonly engine: Engine
  readonly store: Store
  readonly clock: ManualClock
  readonly devices: number[]
  readonly logged: string[]
  readonly counted: string[]
  /** moves time on and waits until the engine rests */
  advance(ms: number): Promise<void>
}

export async function rig(devices = 1, over: Partial<EngineOptions> & { store?: Store } = {}): Promise<Rig> {
  const store = over.store ?? openMemory()
  const clock = new ManualClock()
  const logged: string[] = []
  const counted: string[] = []
  const note = (_fields: object, message: string) => void logged.push(message)
  const engine = new Engine({
    cluster: alone,
    clock,
    ids: new Ids(0, null),
    log: { info: note, warn: note, error: note },
    observer: {
      batch: inputs => counted.push(`batch ${inputs}`),
      transition: event => counted.push(event.reason),
      published: () => counted.push('published'),
      reply: outcome => counted.push(`reply ${outcome}`),
    },
    queueCap: 50,
    retentionMs: 7 * 86_400_000,
    defer: run => void setImmediate(run),
    ...over,
    store,
  })
  const ids = await addDevices(store, devices)
  await engine.start()
  const rest = async () => {
    // Two turns of the loop: one for what a timer started, one for what that submitted.
    for (let i = 0; i < 4; i++) {
      await new Promise(resolve => setImmediate(resolve))
      await engine.idle()
    }
  }
  return { engine, store, clock, devices: ids, logged, counted, advance: ms => clock.advance(ms, rest) }
}

export const newCommand = (over: Partial<NewCommand> = {}): NewCommand => ({
  kind: Kind.invoke,
  identifier: 'reboot',
  timeoutS: 30,
  pendingTtlS: 600,
  by: 'app',
  nameJson: '{"defaultValue":"reboot","i18nValue":{}}',
  inputJson: '{"delay":1}',
  ...over,
})
