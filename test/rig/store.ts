// For the tests of the stores: which there are, a small fleet, commands with their bodies, and changes of a queue put together by hand.

import { join } from 'node:path'
import { type Command, type CommandBody, Kind, makeId, State } from '../../src/core/command.ts'
import type { Queue, QueueEvent } from '../../src/core/queue.ts'
import { openMemory } from '../../src/store/memory.ts'
import type { Nodes } from '../../src/store/nodes.ts'
import { openPostgres } from '../../src/store/postgres.ts'
import { openSqlite } from '../../src/store/sqlite.ts'
import type { DeviceChange, DeviceRow, FleetRows, Store } from '../../src/store/store.ts'
import { databaseFor, stopSharedPostgres } from './postgres.ts'

export interface StoreUnderTest {
  readonly name: string
  /** The store of a test, which is known by its folder; nodes 0 and 7 are taken. */
  open(folder: string): Promise<Store & Nodes>
  /** Ends what all of them share; for afterAll. */
  stop(): Promise<void>
  /** why what was committed is not there after close and open, or null where it is */
  readonly forgets: string | null
}

/** With leases that lapse at once, so that the next one may open it too. */
async function withNodes(store: Store & Nodes): Promise<Store & Nodes> {
  for (const nodeNo of [0, 7])
    if ((await store.takeNode(nodeNo, 0)) === null) throw new Error(`node ${nodeNo} is taken`)
  return store
}

const nothing = async (): Promise<void> => undefined

export const stores: readonly StoreUnderTest[] = [
  {
    name: 'memory',
    open: () => withNodes(openMemory()),
    stop: nothing,
    forgets: 'the memory store ends with its process',
  },
  { name: 'sqlite', open: folder => withNodes(openSqlite(join(folder, 'test.db'))), stop: nothing, forgets: null },
  {
    name: 'postgres',
    open: async folder => withNodes(await openPostgres(await databaseFor(folder))),
    stop: stopSharedPostgres,
    forgets: null,
  },
]

export const ORG = 'o1'
export const T0 = 1_700_000_000_000

export const deviceRow = (assetId: string, over: Partial<DeviceRow> = {}): DeviceRow => ({
  assetId,
  orgId: ORG,
  productKey: 'pk1',
  deviceKey: `key-${assetId}`,
  secret: `sealed ${assetId}`,
  nameJson: JSON.stringify({ defaultValue: assetId, i18nValue: {} }),
  timezone: '+08:00',
  disabled: false,
  gatewayAssetId: null,
  certificateSerial: null,
  ...over,
})

export const fleetRows = (over: Partial<FleetRows> = {}): FleetRows => ({
  organizations: [],
  applications: [],
  models: [],
  products: [],
  devices: [],
  ...over,
})

/** One organization with a model, a product and the devices named. */
export const smallFleet = (...assetIds: string[]): FleetRows =>
  fleetRows({
    organizations: [{ orgId: ORG, name: 'One' }],
    applications: [
      {
        appKey: 'app1',
        orgId: ORG,
        secret: 'sealed',
        grants: [{ resource: 'Asset', actions: ['Control'], scope: 'all' }],
      },
    ],
    models: [{ modelId: 'model1', orgId: ORG, json: '{"measurepoints":{}}' }],
    products: [
      { productKey: 'pk1', orgId: ORG, secret: 'sealed', modelId: 'model1', json: '{"productType":"Device"}' },
    ],
    devices: assetIds.map(assetId => deviceRow(assetId)),
  })

/** Adds the devices; returns their numbers in the same order. */
export async function addDevices(store: Store, ...assetIds: string[]): Promise<number[]> {
  await store.applyFleet(smallFleet(...assetIds), T0)
  return Promise.all(assetIds.map(async assetId => (await store.deviceByAsset(assetId))!.id))
}

export async function loadOne(store: Store, deviceId: number, ...commandIds: string[]): Promise<Queue> {
  const [queue] = await store.load([{ deviceId, commandIds }])
  if (!queue) throw new Error(`device ${deviceId} does not exist`)
  return queue
}

/** The nth id of T0. */
export const id = (n: number): string => makeId(T0 + n, 0, 0)

export const created = (commandId: string, over: Partial<Command> = {}): Command => ({
  id: commandId,
  state: State.created,
  kind: Kind.invoke,
  identifier: 'reboot',
  timeoutS: 30,
  pendingTtlS: 600,
  expireAt: T0 + 600_000,
  deadlineAt: null,
  createdAt: T0,
  sentAt: null,
  settledAt: null,
  sentSession: null,
  createdBy: 'app1',
  code: null,
  lateReplies: 0,
  ...over,
})

export const asSent = (command: Command): Command => ({
  ...command,
  state: State.sent,
  sentAt: T0 + 10,
  deadlineAt: T0 + 30_010,
  sentSession: 1,
})

export const asFinal = (command: Command, state: State = State.succeeded, settledAt = T0 + 50): Command => ({
  ...command,
  state,
  settledAt,
  code: state === State.succeeded ? 0 : null,
})

export const bodyRow = (over: Partial<CommandBody> = {}): CommandBody => ({
  nameJson: '{"defaultValue":"Reboot","i18nValue":{}}',
  inputJson: '{"delay":1}',
  outputJson: null,
  deviceCode: null,
  deviceMessage: null,
  ...over,
})

export const inserted = (command: Command, body: CommandBody = bodyRow()) => ({ command, body })

export const event = (seq: number, commandId: string | null, over: Partial<QueueEvent> = {}): QueueEvent => ({
  seq,
  commandId,
  from: null,
  to: null,
  at: T0,
  by: 'app1',
  reason: 'accepted',
  detail: null,
  ...over,
})

export const changeOf = (queue: Queue, over: Partial<DeviceChange> = {}): DeviceChange => ({
  queue,
  inserts: [],
  updates: [],
  outcomes: [],
  events: [],
  ...over,
})

/** Commits changes as node 0 at T0; returns the devices that were stale. */
export const commit = (store: Store, ...changes: DeviceChange[]): Promise<number[]> =>
  store.commit({ node: 0, lastCommandId: null, now: T0, changes })

/** Puts commands into a device's queue as they are. */
export async function put(store: Store, deviceId: number, ...commands: Command[]): Promise<void> {
  const stale = await commit(
    store,
    changeOf(await loadOne(store, deviceId), { inserts: commands.map(command => inserted(command)) }),
  )
  if (stale.length > 0) throw new Error(`device ${deviceId} was stale`)
}
