// What becomes of work on PostgreSQL when the connection breaks under it, or the server goes away: nothing is done twice, nothing half, and nothing is
// said to have been done that was not.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { CommitUnknown, LeaseLost, type Nodes, StoreUnavailable, WriteUnknown } from '../src/store/nodes.ts'
import { openPostgres } from '../src/store/postgres.ts'
import type { Bearing } from '../src/store/postgres-connection.ts'
import type { DeviceChange, Store } from '../src/store/store.ts'
import { databaseFor, type PostgresServer, sharedPostgres, stopSharedPostgres } from './rig/postgres.ts'
import { type Fate, PostgresProxy } from './rig/postgres-proxy.ts'
import { addDevices, changeOf, created, deviceRow, event, fleetRows, id, inserted, loadOne, T0 } from './rig/store.ts'

let server: PostgresServer
let proxy: PostgresProxy
let folder: string
let database: string
let store: Store & Nodes
/** past the proxy, to see what is there */
let direct: Store & Nodes
let device: number
let other: number
const lost: string[] = []
const opened: Store[] = []

const open = async (bearing: Partial<Bearing> = {}): Promise<Store & Nodes> => {
  const options = { bearing: { lost: (error: Error) => void lost.push(error.message), ...bearing } }
  const each = await openPostgres(proxy.url(database), options)
  opened.push(each)
  return each
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-loss-'))
  server = await sharedPostgres()
  database = new URL(await databaseFor(folder)).pathname.slice(1)
  proxy = await PostgresProxy.start(server)
  direct = await openPostgres(server.url(database))
  opened.push(direct)
  const devices = await addDevices(direct, 'a1', 'a2')
  device = devices[0]!
  other = devices[1]!
  store = await open()
  await store.takeNode(0, 60_000)
  proxy.commits = 0
})
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close()
  await proxy.stop()
  rmSync(folder, { recursive: true })
})
afterAll(stopSharedPostgres)

/** A change that can be written once only: it adds the nth command and event to the device. */
const nth = async (n: number, deviceId = device): Promise<DeviceChange> => {
  const queue = await loadOne(direct, deviceId)
  return changeOf(
    { ...queue, lastCommandId: id(n), eventSeq: queue.eventSeq + 1 },
    { inserts: [inserted(created(id(n)))], events: [event(queue.eventSeq + 1, id(n))] },
  )
}
const commit = (changes: readonly DeviceChange[], by: Store = store) =>
  by.commit({ node: 0, lastCommandId: null, now: T0, changes })

const batchNo = async (): Promise<unknown> =>
  (await server.sql(database, 'select batch_no from node where node_no = 0'))[0]?.batch_no

/** Exactly these commands of the device are on record, each accepted once; so many batches were written. */
async function expectWritten(batches: number, ...commands: number[]): Promise<void> {
  const { rows } = await direct.search(device, null, 0, 100)
  expect(rows.map(({ command }) => command.id).reverse()).toEqual(commands.map(id))
  expect((await direct.events(device, null, 100)).map(({ commandId }) => commandId)).toEqual(commands.map(id))
  expect(await batchNo()).toBe(String(batches))
}

/** As soon as it holds; a machine that is busy may take its time. */
const soon = (holds: () => unknown) => vi.waitFor(holds, { timeout: 10_000, interval: 10 })

const waitingForLock = async (): Promise<boolean> => {
  const rows = await server.sql(
    'postgres',
    "select 1 from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'",
    [database],
  )
  return rows.length > 0
}

describe('a commit whose connection breaks', () => {
  test.each<Fate>(['cutBefore', 'cutAfter'])(
    '%s its COMMIT arrives is written once, and says what it did',
    async fate => {
      const stale = { ...(await nth(9, other)).queue, version: 99 }
      proxy.nextCommit(fate)
      expect(await commit([await nth(1), changeOf(stale)])).toEqual([other])
      await expectWritten(1, 1)
      // One more where nothing had been written, none where it had.
      expect(proxy.commits).toBe(fate === 'cutBefore' ? 2 : 1)
      expect(await commit([await nth(2)])).toEqual([])
      await expectWritten(2, 1, 2)
      expect(lost.length).toBeGreaterThan(0)
    },
  )

  test('while its COMMIT is still on the way is not tried again before that has arrived', async () => {
    proxy.nextCommit('hold')
    const committing = commit([await nth(1)])
    // It reads by now whether the batch was written, and is made to wait: an answer now would have been no.
    await soon(async () => expect([proxy.isHolding, await waitingForLock()]).toEqual([true, true]))
    expect(await batchNo()).toBe('0')
    proxy.deliver()
    expect(await committing).toEqual([])
    await expectWritten(1, 1)
    expect(proxy.commits).toBe(1)
  })

  test('and whose COMMIT never arrives is tried again once the server has given it up', async () => {
    proxy.nextCommit('hold')
    expect(await commit([await nth(1)])).toEqual([])
    await expectWritten(1, 1)
    // The server ends what waits for us after 2 s; what arrives after that is for nobody.
    proxy.deliver()
    await expectWritten(1, 1)
  })

  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])('at any other moment (message %i) is written once', async n => {
    const first = await nth(1)
    proxy.cutAtChunk(n)
    const commits = [commit([first]), commit([await nth(2, other)])]
    expect(await Promise.all(commits)).toEqual([[], []])
    await expectWritten(2, 1)
  })

  test('again and again, in all ways: each batch is written once', async () => {
    const fates: readonly (Fate | number)[] = [
      'cutAfter',
      2,
      'cutBefore',
      3,
      'cutAfter',
      1,
      'cutAfter',
      5,
      'cutBefore',
      4,
    ]
    for (const [n, fate] of fates.entries()) {
      const change = await nth(n + 1)
      if (typeof fate === 'number') proxy.cutAtChunk(fate)
      else proxy.nextCommit(fate)
      expect(await commit([change])).toEqual([])
    }
    await expectWritten(fates.length, ...fates.map((_, n) => n + 1))
  })
})

describe('a server that is away', () => {
  const impatient = { retryMs: 150 }

  test('for a while: reads and commits wait for it, and readiness is denied', async () => {
    const change = await nth(1)
    proxy.down()
    const [loading, committing] = [loadOne(store, device), commit([change])]
    await expect(store.ping()).rejects.toThrow(StoreUnavailable)
    proxy.up()
    expect([(await loading).deviceId, await committing]).toEqual([device, []])
    await store.ping()
    await expectWritten(1, 1)
  })

  test('for too long: both are refused, nothing is written, and all goes on when it is back', async () => {
    const short = await open(impatient)
    await store.releaseNode({ nodeNo: 0, epoch: 1 })
    await short.takeNode(0, 60_000)
    const change = await nth(1)
    proxy.down()
    await expect(short.load([{ deviceId: device, commandIds: [] }])).rejects.toThrow(StoreUnavailable)
    await expect(commit([change], short)).rejects.toThrow(StoreUnavailable)
    await expect(short.saveToken('t', 'app1', T0)).rejects.toThrow(/cannot be reached/)
    proxy.up()
    await expectWritten(0)
    expect(await commit([change], short)).toEqual([])
    await expectWritten(1, 1)
  })

  test.each<Fate>(['cutBefore', 'cutAfter'])(
    'just when a batch is in doubt (%s): nothing is said about it, and no other is begun, until it has been read',
    async fate => {
      const short = await open(impatient)
      await store.releaseNode({ nodeNo: 0, epoch: 1 })
      await short.takeNode(0, 60_000)
      const [first, second] = [await nth(1), await nth(2, other)]
      proxy.nextCommit(fate, true)
      let settled = 0
      const commits = [commit([first], short), commit([second], short)]
      for (const each of commits) void each.finally(() => (settled += 1))
      await soon(() => expect(proxy.isDown).toBe(true))
      // Longer than any other work is tried again.
      await new Promise(resolve => setTimeout(resolve, 3 * impatient.retryMs))
      expect(settled).toBe(0)
      await expect(short.ping()).rejects.toThrow(/whether the last batch was written/)
      proxy.up()
      expect(await Promise.all(commits)).toEqual([[], []])
      await short.ping()
      await expectWritten(2, 1)
    },
  )

  test('for good, with a batch in doubt: when the store is closed the caller is told that it is not known', async () => {
    proxy.nextCommit('cutAfter', true)
    const told = expect(commit([await nth(1)])).rejects.toThrow(CommitUnknown)
    await soon(() => expect(proxy.isDown).toBe(true))
    await store.close()
    await told
    await expect(commit([await nth(2)])).rejects.toThrow(StoreUnavailable)
  })

  test('while another life takes the number, with a batch in doubt: it is not known, and nothing more is written', async () => {
    await store.renewNode({ nodeNo: 0, epoch: 1 }, 0)
    proxy.nextCommit('cutAfter', true)
    const told = expect(commit([await nth(1)])).rejects.toThrow(CommitUnknown)
    await soon(() => expect(proxy.isDown).toBe(true))
    expect(await direct.takeNode(0, 60_000)).toMatchObject({ lease: { epoch: 2 } })
    proxy.up()
    await told
    await expect(commit([await nth(2)])).rejects.toThrow(LeaseLost)
    await expectWritten(1, 1)
  })

  test('without a word: connections that do not answer are given up', async () => {
    const short = await open({ answerMs: 200, connectMs: 200 })
    await short.load([{ deviceId: device, commandIds: [] }])
    proxy.stall()
    expect((await loadOne(short, device)).deviceId).toBe(device)
    proxy.stallAll(true)
    const loading = loadOne(short, device)
    await expect(short.ping()).rejects.toThrow(StoreUnavailable)
    proxy.stallAll(false)
    expect((await loading).deviceId).toBe(device)
  })

  test.each(['fast', 'immediate'] as const)(
    'and comes back after a restart (%s) in the midst of commits',
    async how => {
      let commits = 0
      let stop = false
      const committing = (async () => {
        while (!stop) {
          commits += 1
          const change = changeOf(await loadOne(store, other))
          expect(await commit([change])).toEqual([])
        }
      })()
      await soon(() => expect(commits).toBeGreaterThan(5))
      await server.restart(how)
      const before = commits
      await soon(() => expect(commits).toBeGreaterThan(before + 5))
      stop = true
      await committing
      expect(await batchNo()).toBe(String(commits))
      expect((await loadOne(direct, other)).version).toBe(commits)
    },
  )
})

describe('other writes whose COMMIT is not answered', () => {
  const lose = (): void => proxy.nextCommit('cutAfter')

  test('a number that is taken is taken once', async () => {
    lose()
    expect(await store.takeNode(null, 60_000)).toMatchObject({ lease: { nodeNo: 1, epoch: 1 } })
    lose()
    expect(await store.takeNode(5, 60_000)).toMatchObject({ lease: { nodeNo: 5, epoch: 1 } })
    expect((await direct.liveNodes()).map(({ nodeNo }) => nodeNo)).toEqual([0, 1, 5])
  })

  test('devices are added once, moved once, and a fleet is applied', async () => {
    lose()
    await store.addDevices([deviceRow('n1'), deviceRow('n2', { gatewayAssetId: 'n1' })], T0)
    expect(await direct.countDevices('pk1')).toBe(4)
    // Whoever adds them again is told so, as ever.
    await expect(store.addDevices([deviceRow('n1')], T0)).rejects.toThrow(/exists already/)
    lose()
    await store.moveDevices([{ assetId: 'a1', from: null, to: 'n1' }])
    expect((await direct.subDevices('n1')).map(({ assetId }) => assetId)).toEqual(['a1', 'n2'])
    await expect(store.moveDevices([{ assetId: 'a1', from: null, to: 'n1' }])).rejects.toThrow(/by now/)
    lose()
    await store.applyFleet(fleetRows({ organizations: [{ orgId: 'o2', name: 'Two' }], devices: [deviceRow('n3')] }), T0)
    expect([await direct.organization('o2'), (await direct.deviceByAsset('n3'))?.assetId]).toEqual([
      { orgId: 'o2', name: 'Two' },
      'n3',
    ])
  })

  test('what a device reports is saved, in its order', async () => {
    const set = [
      ['b', '1'],
      ['a', '2'],
    ] as const
    lose()
    expect(await store.saveData([{ type: 'tags', deviceId: device, set, remove: [] }])).toEqual([true])
    expect([...(await direct.tags(device))]).toEqual(set)
    expect(proxy.commits).toBe(2)
  })

  test('is not called undone where the store is gone as well, and nobody learns whether it was done', async () => {
    const hasty = await open({ retryMs: 150 })
    proxy.nextCommit('cutAfter', true)
    const adding = hasty.addDevices([deviceRow('n1')], T0)
    await expect(adding).rejects.toThrow(WriteUnknown)
    proxy.up()
    expect(await direct.deviceByAsset('n1')).not.toBeNull()
  })

  test('an encryption is not called used where it may have been this call that used it', async () => {
    proxy.cutAtChunk(1)
    await expect(store.useEncryption('e1', T0)).rejects.toThrow(StoreUnavailable)
  })
})
