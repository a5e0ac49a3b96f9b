// How every store keeps numbers of nodes on lease, and what it tells a node about its devices. That a commit needs a lease on PostgreSQL, and what
// happens when it is lost, is in postgres.test.ts.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { State } from '../src/core/command.ts'
import { Bug } from '../src/core/errors.ts'
import { NODE_MAX } from '../src/core/limits.ts'
import type { Queue } from '../src/core/queue.ts'
import type { Nodes } from '../src/store/nodes.ts'
import type { Store } from '../src/store/store.ts'
import {
  addDevices,
  asFinal,
  asSent,
  changeOf,
  commit,
  created,
  id,
  inserted,
  loadOne,
  put,
  stores,
  T0,
} from './rig/store.ts'

const LONG_MS = 3_600_000

describe.each(stores)('$name store', ({ open, stop }) => {
  let folder: string
  let store: Store & Nodes

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-nodes-'))
    store = await open(folder)
  })
  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true })
  })
  afterAll(stop)

  const take = async (wanted: number | null, leaseMs = LONG_MS) => {
    const taken = await store.takeNode(wanted, leaseMs)
    if (taken === null) throw new Error(`node ${wanted} is taken`)
    return taken
  }

  describe('a number', () => {
    test('is taken by one at a time; each life of it has the next epoch', async () => {
      const first = await take(3)
      expect(first).toMatchObject({ lease: { nodeNo: 3, epoch: 1 }, lastCommandId: null, clockFloor: 0 })
      expect(await store.takeNode(3, LONG_MS)).toBeNull()
      await store.releaseNode(first.lease)
      const second = await take(3)
      expect(second.lease.epoch).toBeGreaterThan(first.lease.epoch)
      expect(await store.takeNode(3, LONG_MS)).toBeNull()
    })

    test('not asked for is the lowest that is free', async () => {
      // 0 and 7 have been taken by this suite, with leases that lapsed at once.
      await take(0)
      await take(2)
      expect((await take(null)).lease.nodeNo).toBe(1)
      expect((await take(null)).lease.nodeNo).toBe(3)
      await store.releaseNode((await take(4)).lease)
      expect((await take(null)).lease.nodeNo).toBe(4)
    })

    test('has ten bits', async () => {
      expect((await take(NODE_MAX)).lease.nodeNo).toBe(NODE_MAX)
      await expect(store.takeNode(NODE_MAX + 1, LONG_MS)).rejects.toThrow(Bug)
      await expect(store.takeNode(-1, LONG_MS)).rejects.toThrow(Bug)
    })

    test('is free once its lease has lapsed', async () => {
      const first = await take(3, 0)
      const second = await take(3)
      expect(second.lease.epoch).toBe(first.lease.epoch + 1)
    })

    test('is good from the store’s now, for as long as was asked', async () => {
      const before = Date.now()
      const { storeNow, until } = await take(3, 1_000)
      expect(until - storeNow).toBeGreaterThanOrEqual(999)
      expect(until - storeNow).toBeLessThanOrEqual(1_000)
      // All of them run on this machine.
      expect(Math.abs(storeNow - before)).toBeLessThan(60_000)
    })

    test('comes with what its lives before have left, and the latest clock of all', async () => {
      await store.commit({ node: 7, lastCommandId: id(5), now: T0 + 9, changes: [] })
      expect(await take(7)).toMatchObject({ lastCommandId: id(5), clockFloor: T0 + 9 })
      expect(await take(3)).toMatchObject({ lastCommandId: null, clockFloor: T0 + 9 })
      expect(await store.node(7)).toEqual({ lastCommandId: id(5), clockFloor: T0 + 9 })
    })
  })

  describe('a lease', () => {
    test('is extended by who has it, also when it has lapsed and nobody took the number', async () => {
      const { lease, until } = await take(3, 10)
      const renewed = await store.renewNode(lease, LONG_MS)
      expect(renewed!.until).toBeGreaterThan(until)
      expect(renewed!.until - renewed!.storeNow).toBeGreaterThan(LONG_MS - 10)
      await store.renewNode(lease, 0)
      expect(await store.renewNode(lease, LONG_MS)).not.toBeNull()
      expect(await store.takeNode(3, LONG_MS)).toBeNull()
    })

    test('that was lost, or given back, is not extended, and giving it back changes nothing', async () => {
      const { lease } = await take(3, 0)
      const next = await take(3)
      expect(await store.renewNode(lease, LONG_MS)).toBeNull()
      await store.releaseNode(lease)
      expect(await store.renewNode(next.lease, LONG_MS)).not.toBeNull()
      await store.releaseNode(next.lease)
      expect(await store.renewNode(next.lease, LONG_MS)).toBeNull()
      expect(await store.renewNode({ nodeNo: 9, epoch: 1 }, LONG_MS)).toBeNull()
    })

    test('that is good makes its node a live one', async () => {
      expect(await store.liveNodes()).toEqual([])
      const [five, two] = [await take(5), await take(2)]
      await take(3, 0)
      expect(await store.liveNodes()).toEqual([
        { nodeNo: 2, until: two.until },
        { nodeNo: 5, until: five.until },
      ])
      await store.releaseNode(five.lease)
      expect((await store.liveNodes()).map(({ nodeNo }) => nodeNo)).toEqual([2])
    })
  })

  /** Puts the device on a node, as the connect of its session does. */
  const connect = async (deviceId: number, sessionNode: number | null, over: Partial<Queue> = {}) => {
    const queue = await loadOne(store, deviceId)
    const session = { sessionNo: queue.sessionNo + 1, sessionNode, lastOnlineAt: T0 }
    expect(await commit(store, changeOf({ ...queue, ...session, ...over }))).toEqual([])
  }

  test('the newest sessions of devices, by their numbers', async () => {
    const [one, two, three] = await addDevices(store, 'a1', 'a2', 'a3')
    await connect(two!, 7)
    await connect(two!, 5)
    await connect(three!, 0)
    expect(await store.sessions([three!, one!, 9_999, two!, two!])).toEqual([
      { deviceId: one, sessionNo: 0, sessionNode: null },
      { deviceId: two, sessionNo: 2, sessionNode: 5 },
      { deviceId: three, sessionNo: 1, sessionNode: 0 },
    ])
    expect(await store.sessions([])).toEqual([])
  })

  describe('what is due', () => {
    const due = async (nodeNo: number, marginMs = 0, now = T0 + 1_000) =>
      (await store.dueFor(nodeNo, now, marginMs, 100)).sort((a, b) => a - b)

    test('is for the node that has the device, and for any where no live node has it', async () => {
      const [none, mine, theirs, dead, left] = await addDevices(store, 'a1', 'a2', 'a3', 'a4', 'a5')
      const { lease } = await take(4)
      for (const nodeNo of [1, 2]) await take(nodeNo)
      await take(3, 0)
      await store.releaseNode(lease)
      for (const [n, deviceId] of [none, mine, theirs, dead, left].entries())
        await put(store, deviceId!, created(id(n), { expireAt: T0 + 500 }))
      for (const [deviceId, nodeNo] of [
        [mine, 1],
        [theirs, 2],
        [dead, 3],
        [left, 4],
      ] as const)
        await connect(deviceId!, nodeNo)
      // The lease of node 3 lapses with the instant of its taking, and has lapsed by more than nothing a ms later.
      await vi.waitFor(async () => expect(await due(1)).toEqual([none, mine, dead, left]))
      expect(await due(2)).toEqual([none, theirs, dead, left])
      expect(await due(3)).toEqual([none, dead, left])
      expect(await due(1, LONG_MS)).toEqual([none, mine, left])
      expect(await due(3, LONG_MS)).toEqual([none, dead, left])
      expect(await store.dueFor(1, T0 + 1_000, 0, 2)).toHaveLength(2)
    })

    test('lapses at its instant: created by its expiry, sent by its deadline', async () => {
      const [one, two] = await addDevices(store, 'a1', 'a2')
      await put(store, one!, created(id(1), { expireAt: T0 + 300 }), created(id(2), { expireAt: T0 + 200 }))
      await put(store, two!, { ...asSent(created(id(3), { expireAt: T0 })), deadlineAt: T0 + 400 })
      expect(await due(1, 0, T0 + 199)).toEqual([])
      expect(await due(1, 0, T0 + 200)).toEqual([one])
      expect(await due(1, 0, T0 + 400)).toEqual([one, two])
      expect(await store.dueFor(1, T0 + 400, 0, 1)).toHaveLength(1)
    })
  })

  describe('devices that want something sent', () => {
    test('are online here and have something created and nothing sent', async () => {
      const names = Array.from({ length: 8 }, (_, n) => `a${n}`)
      const [wanting, busy, idle, done, away, elsewhere, disabled, again] = await addDevices(store, ...names)
      await put(store, wanting!, created(id(1)), created(id(2)))
      await put(store, busy!, created(id(3)), asSent(created(id(4))))
      await put(store, done!, asFinal(created(id(5))))
      for (const [n, deviceId] of [away, elsewhere, disabled, again].entries())
        await put(store, deviceId!, created(id(10 + n)))
      for (const deviceId of [wanting, busy, idle, done, disabled]) await connect(deviceId!, 1)
      await connect(away!, null, { lastOfflineAt: T0 + 1 })
      await connect(elsewhere!, 2)
      await connect(disabled!, 1, { disabled: true })
      await connect(again!, 1, { lastOnlineAt: T0 + 2, lastOfflineAt: T0 + 1 })
      expect(await store.wanting(1, 100)).toEqual([wanting, again])
      expect(await store.wanting(2, 100)).toEqual([elsewhere])
      expect(await store.wanting(3, 100)).toEqual([])
      // Page by page.
      expect(await store.wanting(1, 1)).toEqual([wanting])
      expect(await store.wanting(1, 1, wanting)).toEqual([again])
      expect(await store.wanting(1, 1, again)).toEqual([])
    })

    test('follow every step', async () => {
      const [device] = await addDevices(store, 'a1')
      await connect(device!, 1)
      const [a, b] = [created(id(1)), created(id(2))]
      const step = async (change: Partial<Parameters<typeof changeOf>[1] & object>) => {
        expect(await commit(store, changeOf(await loadOne(store, device!), change))).toEqual([])
        return (await store.wanting(1, 10)).length
      }
      expect(await step({ inserts: [inserted(asSent(a))] })).toBe(0)
      expect(await step({ inserts: [inserted(b)] })).toBe(0)
      expect(await step({ updates: [{ command: asFinal(asSent(a)), from: State.sent }] })).toBe(1)
      expect(await step({ updates: [{ command: asSent(b), from: State.created }] })).toBe(0)
      expect(await step({ updates: [{ command: b, from: State.sent }] })).toBe(1)
      expect(await step({ updates: [{ command: asFinal(b, State.cancelled), from: State.created }] })).toBe(0)
    })
  })

  test('which commands are final', async () => {
    const [device] = await addDevices(store, 'a1')
    await put(store, device!, created(id(1)), asSent(created(id(2))), asFinal(created(id(3))), asFinal(created(id(4))))
    const asked = [id(4), id(1), id(9), '', 'x', '9223372036854775808', id(2), id(3), id(3)]
    expect((await store.settledOf(asked)).sort()).toEqual([id(3), id(4)])
    expect(await store.settledOf([])).toEqual([])
  })
})
