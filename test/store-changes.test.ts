// What a commit writes besides commands and events, on every store: answers that are kept, what waits on a device, tallies, places in the stream of changes,
// and who a deleted device was; and how all of it is read and goes. With PostgreSQL also that a reader of the stream misses nothing, however commits of
// several nodes interleave.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Command, Kind, State } from '../src/core/command.ts'
import { Bug } from '../src/core/errors.ts'
import type { KeptAnswer, QueueEvent } from '../src/core/queue.ts'
import { LeaseLost, type Nodes } from '../src/store/nodes.ts'
import { openPostgres } from '../src/store/postgres.ts'
import type { DeviceChange, Store } from '../src/store/store.ts'
import type { Change, ChangeFilter } from '../src/store/stream.ts'
import { databaseFor, stopSharedPostgres } from './rig/postgres.ts'
import {
  addDevices,
  asFinal,
  asSent,
  changeOf,
  commit,
  created,
  deviceRow,
  event,
  fleetRows,
  id,
  inserted,
  loadOne,
  ORG,
  put,
  smallFleet,
  stores,
  T0,
} from './rig/store.ts'

const MINUTE = 60_000
/** within the minute of T0 */
const THIS_MINUTE = Math.floor(T0 / MINUTE) * MINUTE

/** Everything that is committed gets its place. */
async function placeAll(store: Store): Promise<void> {
  while ((await store.placeEvents(3)) > 0);
}

/** All changes, in pages of a few, each of which goes on where the one before ended. */
async function follow(store: Store, filter: ChangeFilter | null = null, after = 0, limit = 3): Promise<Change[]> {
  const all: Change[] = []
  for (let from = after; ; ) {
    const page = await store.changesAfter(from, filter, limit, 4)
    all.push(...page.changes)
    if (page.upTo === from) expect(page).toEqual({ changes: [], upTo: from, isFull: false })
    else expect(page.upTo).toBeGreaterThan(from)
    if (page.upTo === from) return all
    from = page.upTo
  }
}

const anything: ChangeFilter = { orgId: ORG, reach: 'all', productKey: null, assetId: null, to: null }
const seqsOf = (changes: readonly Change[], deviceId: number): number[] =>
  changes.filter(({ device }) => device.deviceId === deviceId).map(({ event }) => event.seq)

/** One step of a device with as many events as are given, whose numbers go on from the last one. */
async function step(
  store: Store,
  deviceId: number,
  events: readonly Partial<QueueEvent>[],
  over: Partial<DeviceChange> = {},
  now = T0,
): Promise<void> {
  const queue = await loadOne(store, deviceId)
  const numbered = events.map((each, n) => event(queue.eventSeq + n + 1, each.commandId ?? null, { at: now, ...each }))
  const change = changeOf(queue, { events: numbered, ...over })
  const changes = [{ ...change, queue: { ...(over.queue ?? queue), eventSeq: queue.eventSeq + events.length } }]
  expect(await store.commit({ node: 0, lastCommandId: null, now, changes })).toEqual([])
}

/** A command from its acceptance to its end. */
async function wholeLife(store: Store, deviceId: number, n: number, settledAt = T0 + 50): Promise<Command> {
  const command = created(id(n))
  const final = asFinal(asSent(command), State.succeeded, settledAt)
  const moves = [
    [null, State.created],
    [State.created, State.sent],
    [State.sent, State.succeeded],
  ] as const
  await step(
    store,
    deviceId,
    moves.map(([from, to]) => ({ commandId: command.id, from, to, reason: 'moved' })),
    { inserts: [inserted(final)] },
  )
  return final
}

describe.each(stores)('$name store', ({ open, stop }) => {
  let folder: string
  let store: Store & Nodes
  let device: number
  let other: number

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-changes-'))
    store = await open(folder)
    const devices = await addDevices(store, 'a1', 'a2')
    device = devices[0]!
    other = devices[1]!
  })
  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true })
  })
  afterAll(stop)

  describe('answers of repeated calls', () => {
    const answer = (over: Partial<KeptAnswer> = {}): KeptAnswer => ({
      application: 'app1',
      key: 'k1',
      requestHash: 'ab',
      commandId: id(1),
      refusedCode: null,
      expireAt: T0 + 1_000,
      ...over,
    })
    const keep = async (deviceId: number, ...kept: KeptAnswer[]) =>
      commit(store, changeOf(await loadOne(store, deviceId), { kept }))
    const kept = async (deviceId: number, ...keys: [application: string, key: string][]) => {
      const named = keys.map(([application, key]) => ({ application, key }))
      const [queue] = await store.load([{ deviceId, commandIds: [], keys: named }])
      return queue?.kept
    }

    test('come with the queue of their device, where their key is named', async () => {
      const all = [
        answer(),
        answer({ key: 'k2', refusedCode: 11_421 }),
        answer({ application: 'app2', commandId: id(2) }),
      ]
      expect(await keep(device, ...all)).toEqual([])
      expect(await kept(device, ['app1', 'k1'])).toEqual([all[0]])
      expect(await kept(device, ['app2', 'k1'], ['app1', 'k2'], ['app2', 'k1'])).toEqual([all[2], all[1]])
      expect(await kept(device)).toEqual([])
      expect(await kept(other, ['app1', 'k1'])).toEqual([])
      expect((await loadOne(store, device)).kept).toEqual([])
      expect(await kept(9_999, ['app1', 'k1'])).toBeUndefined()
    })

    test('come with those of other devices and with commands in one load', async () => {
      await put(store, device, created(id(1)), asFinal(created(id(2))))
      await keep(device, answer())
      await keep(other, answer({ commandId: id(7) }))
      const keys = [{ application: 'app1', key: 'k1' }]
      const queues = await store.load([
        { deviceId: other, commandIds: [], keys },
        { deviceId: device, commandIds: [id(2)], keys },
        { deviceId: 9_999, commandIds: [], keys },
      ])
      expect(queues).toMatchObject([
        { deviceId: other, open: [], kept: [{ commandId: id(7) }] },
        { deviceId: device, open: [{ id: id(1) }], named: [{ id: id(2) }], kept: [answer()] },
        null,
      ])
    })

    test('are replaced by a later one, and do not come where nothing was written', async () => {
      await keep(device, answer())
      const stale = await loadOne(store, device)
      const later = answer({ requestHash: 'cd', commandId: id(9), refusedCode: 11_400, expireAt: T0 + 9_000 })
      await keep(device, later)
      expect(await kept(device, ['app1', 'k1'])).toEqual([later])
      await keep(device, answer({ key: 'k2' }), answer({ key: 'k2', commandId: id(3) }))
      expect(await kept(device, ['app1', 'k2'])).toMatchObject([{ commandId: id(3) }])
      await expect(keep(device, answer({ key: 'k\0' }))).rejects.toThrow(Bug)
      expect(await commit(store, changeOf(stale, { kept: [answer()] }))).toEqual([device])
      expect(await kept(device, ['app1', 'k1'])).toEqual([later])
    })

    test('that have lapsed come as well, for who asks knows the time, until they are forgotten', async () => {
      await keep(device, answer(), answer({ key: 'k2', expireAt: T0 + 2_000 }))
      await store.purgeTokens(T0 + 1_000)
      expect(await kept(device, ['app1', 'k1'], ['app1', 'k2'])).toHaveLength(2)
      await store.purgeTokens(T0 + 1_001)
      expect(await kept(device, ['app1', 'k1'], ['app1', 'k2'])).toEqual([answer({ key: 'k2', expireAt: T0 + 2_000 })])
    })

    test('are forgotten in pieces, the oldest first', async () => {
      await keep(device, ...[3, 1, 2].map(n => answer({ key: `k${n}`, expireAt: T0 + n })))
      await keep(other, answer({ key: 'k4', expireAt: T0 + 4 }))
      const left = async () => [
        ...((await kept(device, ['app1', 'k1'], ['app1', 'k2'], ['app1', 'k3'])) ?? []),
        ...((await kept(other, ['app1', 'k4'])) ?? []),
      ]
      expect(await store.purgeTokens(T0 + 4, 2)).toBe(2)
      expect((await left()).map(({ key }) => key)).toEqual(['k3', 'k4'])
      expect(await store.purgeTokens(T0 + 4, 2)).toBe(1)
      expect((await left()).map(({ key }) => key)).toEqual(['k4'])
      expect(await store.purgeTokens(T0 + 4)).toBe(0)
      expect(await store.purgeTokens(T0 + 5)).toBe(1)
    })

    test('are under no key that is not theirs to the letter', async () => {
      await keep(device, answer({ key: 'é😀' }), answer({ key: '' }))
      expect(await kept(device, ['app1', 'é😀'])).toHaveLength(1)
      expect(await kept(device, ['app1', ''])).toHaveLength(1)
      for (const key of ['É😀', 'é😀\0', 'é', '\ud83d', '\0']) expect(await kept(device, ['app1', key])).toEqual([])
      expect(await kept(device, ['app1\0', ''])).toEqual([])
    })
  })

  describe('what waits on a device', () => {
    const waiting = async (deviceId = device) => {
      const line = await store.deviceLine(deviceId)
      return line && [line.waiting, line.oldestWaitingAt]
    }

    test('is known after every kind of step', async () => {
      expect(await waiting()).toEqual([0, null])
      const [one, two] = [created(id(1), { createdAt: T0 + 5 }), created(id(2), { createdAt: T0 + 7 })]
      await put(store, device, one)
      expect(await waiting()).toEqual([1, T0 + 5])
      await put(store, device, two, asFinal(created(id(3))))
      expect(await waiting()).toEqual([2, T0 + 5])
      const change = async (command: Command, from: State) =>
        commit(store, changeOf(await loadOne(store, device), { updates: [{ command, from }] }))
      await change(asSent(one), State.created)
      expect(await waiting()).toEqual([1, T0 + 7])
      await change(one, State.sent)
      expect(await waiting()).toEqual([2, T0 + 5])
      await change(asFinal(one, State.cancelled), State.created)
      expect(await waiting()).toEqual([1, T0 + 7])
      // One that is of another version writes nothing.
      const queue = await loadOne(store, device)
      const settled = { updates: [{ command: asFinal(two), from: State.created }] }
      expect(await commit(store, changeOf({ ...queue, version: 0 }, settled))).toEqual([device])
      expect(await waiting()).toEqual([1, T0 + 7])
      expect(await waiting(other)).toEqual([0, null])
      await commit(store, changeOf(queue, settled))
      expect(await waiting()).toEqual([0, null])
    })

    test('does not change by a step that only sees to something else', async () => {
      await put(store, device, created(id(1)), asSent(created(id(2))))
      await step(store, device, [{ reason: 'connected' }])
      expect(await waiting()).toEqual([1, T0])
    })
  })

  describe('tallies', () => {
    const tallies = (from = THIS_MINUTE, to = THIS_MINUTE + 10 * MINUTE, products: string[] | null = null) =>
      store.tallies(ORG, products, from, to, MINUTE)
    const sorted = (found: Awaited<ReturnType<typeof tallies>>) =>
      [...found].sort((a, b) => a.at - b.at || Number(a.from) - Number(b.from) || a.to - b.to)

    test('count how often commands went from a state to another, by minute and product', async () => {
      await store.applyFleet(
        fleetRows({
          products: [{ ...smallFleet().products[0]!, productKey: 'pk2' }],
          devices: [deviceRow('b1', { productKey: 'pk2' })],
        }),
        T0,
      )
      const third = (await store.deviceByAsset('b1'))!.id
      await wholeLife(store, device, 1)
      await wholeLife(store, other, 2)
      await step(store, third, [{ commandId: id(3), to: State.failed }], {}, T0 + MINUTE)
      const moves = [
        { at: THIS_MINUTE, from: null, to: State.created, n: 2 },
        { at: THIS_MINUTE, from: State.created, to: State.sent, n: 2 },
        { at: THIS_MINUTE, from: State.sent, to: State.succeeded, n: 2 },
      ]
      const failed = { at: THIS_MINUTE + MINUTE, from: null, to: State.failed, n: 1 }
      expect(sorted(await tallies())).toEqual([...moves, failed])
      expect(sorted(await tallies(THIS_MINUTE, THIS_MINUTE + 10 * MINUTE, ['pk1']))).toEqual(moves)
      expect(await tallies(THIS_MINUTE + MINUTE)).toEqual([failed])
    })

    test('are of commands that move, not of devices, late answers, or what was not written', async () => {
      await step(store, device, [
        { reason: 'connected' },
        { commandId: id(1), from: State.succeeded, to: State.succeeded, reason: 'late reply' },
      ])
      const queue = await loadOne(store, device)
      const accepted = event(queue.eventSeq + 1, id(2), { to: State.created })
      expect(await commit(store, changeOf({ ...queue, version: 7 }, { events: [accepted] }))).toEqual([device])
      expect(await tallies()).toEqual([])
    })

    test('of several nodes are one', async () => {
      for (const [n, node] of [0, 7, 0].entries()) {
        const queue = await loadOne(store, device)
        const events = [event(n + 1, id(n), { to: State.created })]
        await store.commit({ node, lastCommandId: null, now: T0 + n, changes: [changeOf(queue, { events })] })
      }
      expect(await tallies()).toEqual([{ at: THIS_MINUTE, from: null, to: State.created, n: 3 }])
    })

    test('go when the minute is as old as what is purged', async () => {
      await step(store, device, [{ commandId: id(1), to: State.created }])
      await step(store, device, [{ commandId: id(2), to: State.created }], {}, T0 + MINUTE)
      await store.purge(THIS_MINUTE + MINUTE - 1, 100)
      expect(await tallies()).toHaveLength(2)
      await store.purge(THIS_MINUTE + MINUTE, 100)
      expect(await tallies()).toMatchObject([{ at: THIS_MINUTE + MINUTE }])
    })
  })

  describe('the stream', () => {
    test('has every event once, at places that grow, of each device in its order', async () => {
      await wholeLife(store, other, 1)
      await wholeLife(store, device, 2)
      await step(store, other, [{ reason: 'connected' }])
      await placeAll(store)
      const changes = await follow(store)
      expect(changes.map(({ position }) => position)).toEqual([1, 2, 3, 4, 5, 6, 7])
      expect(seqsOf(changes, device)).toEqual([1, 2, 3])
      expect(seqsOf(changes, other)).toEqual([1, 2, 3, 4])
      expect(await store.streamEnds()).toEqual({ given: 7, lost: 0 })
      // What comes later is at later places, and the earlier ones stay.
      await step(store, device, [{ reason: 'disconnected' }])
      await placeAll(store)
      expect(await follow(store, null, 7)).toMatchObject([{ position: 8, device: { deviceId: device } }])
      expect((await follow(store)).slice(0, 7)).toEqual(changes)
    })

    test('says of each event whose it is, and what its command is by now', async () => {
      const final = await wholeLife(store, device, 1)
      await step(store, device, [{ reason: 'disconnected', by: 'device', detail: '{"reason":"bye"}' }])
      await placeAll(store)
      const [first, , , last] = await follow(store)
      const { createdAt, sentAt, settledAt } = final
      const name = { orgId: ORG, productKey: 'pk1', deviceKey: 'key-a1', assetId: 'a1', timezone: '+08:00' }
      expect(first).toEqual({
        position: 1,
        device: { deviceId: device, ...name, deletedAt: null },
        event: event(1, id(1), { to: State.created, reason: 'moved' }),
        command: {
          kind: Kind.invoke,
          identifier: 'reboot',
          createdAt,
          createdBy: 'app1',
          sentAt,
          settledAt,
          code: 0,
        },
      })
      expect(last).toMatchObject({ event: { seq: 4, detail: '{"reason":"bye"}' }, command: null })
    })

    test('is narrowed down by organization, reach, product, device and state', async () => {
      await store.applyFleet(
        fleetRows({
          organizations: [{ orgId: 'o2', name: 'Two' }],
          products: [
            { productKey: 'pk2', orgId: ORG, secret: 's', modelId: null, json: '{}' },
            { productKey: 'pk3', orgId: 'o2', secret: 's', modelId: null, json: '{}' },
          ],
          devices: [deviceRow('b1', { productKey: 'pk2' }), deviceRow('c1', { productKey: 'pk3', orgId: 'o2' })],
        }),
        T0,
      )
      const [second, foreign] = await Promise.all(
        ['b1', 'c1'].map(async assetId => (await store.deviceByAsset(assetId))!.id),
      )
      for (const [n, deviceId] of [device, other, second!, foreign!].entries()) await wholeLife(store, deviceId, n)
      await step(store, device, [
        { reason: 'connected' },
        { commandId: id(0), from: State.succeeded, to: State.succeeded, reason: 'late reply' },
      ])
      await placeAll(store)
      const found = async (over: Partial<ChangeFilter>) =>
        (await follow(store, { ...anything, ...over })).map(({ device, event }) => [device.assetId, event.seq])
      const whole = (assetId: string, ...seqs: number[]) => seqs.map(seq => [assetId, seq])
      const mine = [...whole('a1', 1, 2, 3, 4, 5), ...whole('a2', 1, 2, 3), ...whole('b1', 1, 2, 3)]
      const byName = (rows: (string | number)[][]) => rows.map(row => row.join()).sort()
      expect(byName(await found({}))).toEqual(byName(mine))
      expect(await follow(store)).toHaveLength(14)
      expect(byName(await found({ orgId: 'o2' }))).toEqual(byName(whole('c1', 1, 2, 3)))
      expect(await found({ productKey: 'pk2' })).toEqual(whole('b1', 1, 2, 3))
      expect(await found({ assetId: 'a2' })).toEqual(whole('a2', 1, 2, 3))
      expect(await found({ productKey: 'pk2', assetId: 'a2' })).toEqual([])
      expect(await found({ assetId: 'c1' })).toEqual([])
      expect(byName(await found({ reach: { productKeys: ['pk2'], assetIds: ['a2', 'c1'] } }))).toEqual(
        byName([...whole('a2', 1, 2, 3), ...whole('b1', 1, 2, 3)]),
      )
      expect(await found({ reach: { productKeys: [], assetIds: [] } })).toEqual([])
      expect(byName(await found({ to: [State.succeeded] }))).toEqual(
        byName([...whole('a1', 3), ...whole('a2', 3), ...whole('b1', 3)]),
      )
      expect(await found({ assetId: 'a1', to: [State.sent, State.created] })).toEqual(whole('a1', 1, 2))
      expect(await found({ to: [] })).toEqual([])
      for (const text of ['a1\0', '\ud800', ''])
        for (const over of [{ assetId: text }, { productKey: text }, { orgId: text }])
          expect(await found(over)).toEqual([])
      expect(await found({ reach: { productKeys: ['pk1\0'], assetIds: ['\ud800', 'a2'] } })).toEqual(
        whole('a2', 1, 2, 3),
      )
    })

    test('comes in pages, which say how far they have looked', async () => {
      await step(
        store,
        device,
        Array.from({ length: 6 }, (_, n) => ({ reason: `r${n}` })),
      )
      await step(store, other, [{ reason: 'other' }])
      await placeAll(store)
      const page = async (after: number, limit: number, scan: number, filter: ChangeFilter | null = anything) => {
        const { changes, upTo, isFull } = await store.changesAfter(after, filter, limit, scan)
        return [changes.map(({ position }) => position), upTo, isFull]
      }
      expect(await page(0, 3, 100)).toEqual([[1, 2, 3], 3, true])
      expect(await page(3, 100, 2)).toEqual([[4, 5], 5, true])
      expect(await page(5, 100, 100)).toEqual([[6, 7], 7, false])
      expect(await page(7, 100, 100)).toEqual([[], 7, false])
      expect(await page(1_000, 100, 100)).toEqual([[], 1_000, false])
      // What is not wanted counts as looked at: the next page goes on after it.
      const rare = { ...anything, assetId: 'a2' }
      expect(await page(0, 10, 4, rare)).toEqual([[], 4, true])
      expect(await page(4, 10, 4, rare)).toEqual([[7], 7, false])
      expect(await page(0, 1, 7, rare)).toEqual([[7], 7, true])
      expect(await page(0, 10, 4, { ...anything, assetId: '\0' })).toEqual([[], 4, true])
    })

    test('names devices that have been deleted, until nothing of them is left', async () => {
      await wholeLife(store, device, 1)
      const queue = await loadOne(store, device)
      await step(store, device, [{ reason: 'deleted', at: T0 + 100 }], { queue: { ...queue, deleted: true } }, T0 + 100)
      await placeAll(store)
      const name = { deviceId: device, orgId: ORG, productKey: 'pk1', deviceKey: 'key-a1', assetId: 'a1' }
      const gone = { ...name, timezone: '+08:00', deletedAt: T0 + 100 }
      expect(await store.deviceByAsset('a1')).toBeNull()
      expect((await follow(store)).map(({ device }) => device)).toEqual([gone, gone, gone, gone])
      expect(await follow(store, { ...anything, assetId: 'a1', to: [State.succeeded] })).toHaveLength(1)
      // A device that comes under the same names is another one.
      const [again] = await addDevices(store, 'a1')
      await step(store, again!, [{ reason: 'connected' }])
      await placeAll(store)
      expect((await follow(store, anything, 4)).map(({ device }) => device)).toEqual([
        { ...gone, deviceId: again, deletedAt: null },
      ])
      expect(await store.deviceName(device)).toEqual(gone)
      expect(await store.purge(T0 + 100, 100)).toBe(2)
      expect(await store.deviceName(device)).toEqual(gone)
      expect(await store.purge(T0 + 101, 100)).toBe(1)
      expect(await store.deviceName(device)).toBeNull()
    })

    test('knows that changes were purged, which events of devices and late answers are not', async () => {
      await step(store, device, [{ reason: 'connected' }])
      await wholeLife(store, device, 1, T0 + 10)
      await step(store, device, [
        { commandId: id(1), from: State.succeeded, to: State.succeeded, reason: 'late reply' },
        { reason: 'disconnected' },
      ])
      await wholeLife(store, device, 2, T0 + 20)
      await placeAll(store)
      const places = (await follow(store)).map(({ event, position }) => [event.seq, position])
      expect(places).toEqual(Array.from({ length: 9 }, (_, n) => [n + 1, n + 1]))
      expect(await store.purge(T0 + 10, 100)).toBe(2)
      // Both events of the device.
      expect(await store.streamEnds()).toEqual({ given: 9, lost: 0 })
      expect(await store.purge(T0 + 11, 100)).toBe(1)
      // The last change of the command; its late answer was at 5.
      expect(await store.streamEnds()).toEqual({ given: 9, lost: 4 })
      expect((await follow(store)).map(({ position }) => position)).toEqual([7, 8, 9])
      expect(await store.purge(T0 + 21, 100)).toBe(1)
      expect(await store.streamEnds()).toEqual({ given: 9, lost: 9 })
      expect(await follow(store)).toEqual([])
      // Places are never given again.
      await step(store, device, [{ reason: 'connected' }])
      await placeAll(store)
      expect(await follow(store)).toMatchObject([{ position: 10 }])
    })

    test('gives nothing of a batch that was not written', async () => {
      const queue = await loadOne(store, device)
      const broken = changeOf(queue, {
        updates: [{ command: asSent(created(id(1))), from: State.created }],
        events: [event(1, id(1), { from: State.created, to: State.sent })],
      })
      await expect(commit(store, broken)).rejects.toThrow()
      await step(store, device, [{ reason: 'connected' }])
      await placeAll(store)
      expect(await follow(store)).toMatchObject([{ position: 1, event: { reason: 'connected' } }])
      expect(await store.streamEnds()).toEqual({ given: 1, lost: 0 })
    })
  })

  test('the timeline of a command is its events, the first ones, also of a device that is gone', async () => {
    await step(store, device, [{ reason: 'connected' }])
    await wholeLife(store, device, 1)
    const events = await store.events(device, id(1), 10)
    expect(events.map(({ seq }) => seq)).toEqual([2, 3, 4])
    expect(await store.timeline(id(1), 10)).toEqual(events)
    expect(await store.timeline(id(1), 2)).toEqual(events.slice(0, 2))
    for (const text of [id(2), '', 'x', '9999999999999999999']) expect(await store.timeline(text, 10)).toEqual([])
    await step(store, device, [{ reason: 'deleted' }], { queue: { ...(await loadOne(store, device)), deleted: true } })
    expect(await store.timeline(id(1), 10)).toEqual(events)
    expect((await store.eventsBetween(device, 1, 5, 10)).map(({ seq }) => seq)).toEqual([2, 3, 4])
    expect((await store.eventsBetween(device, 0, 9, 2)).map(({ seq }) => seq)).toEqual([1, 2])
  })

  describe('the end of sessions of a life that is over', () => {
    const online = (sessionNode: number | null, lastOnlineAt: number, lastOfflineAt: number | null = null) => ({
      sessionNo: 3,
      sessionNode,
      lastOnlineAt,
      lastOfflineAt,
    })
    const connect = async (deviceId: number, over: object, now: number, node = 7) => {
      const queue = { ...(await loadOne(store, deviceId)), ...over }
      expect(await store.commit({ node, lastCommandId: null, now, changes: [changeOf(queue)] })).toEqual([])
    }

    test('is on record with a time, for its devices and no others', async () => {
      const [third] = await addDevices(store, 'a3')
      await connect(device, online(7, T0 + 10), T0 + 10)
      await connect(other, online(0, T0 + 20), T0 + 20, 0)
      await connect(third!, online(null, T0 + 5, T0 + 6), T0 + 30)
      const before = await Promise.all([device, other, third!].map(each => loadOne(store, each)))
      expect(await store.endSessions(7)).toBe(1)
      const after = await Promise.all([device, other, third!].map(each => loadOne(store, each)))
      // The last commit of the node was at 30.
      const ended = { ...before[0]!, version: before[0]!.version + 1, sessionNode: null, lastOfflineAt: T0 + 30 }
      expect(after).toEqual([ended, before[1], before[2]])
      expect(await commit(store, changeOf(before[0]!))).toEqual([device])
      expect(await store.endSessions(7)).toBe(0)
      expect(await store.endSessions(5).catch(error => error)).toSatisfy(
        result => result === 0 || result instanceof LeaseLost,
      )
    })

    test('is not before what was known to be later', async () => {
      await connect(device, online(7, T0 + 90, T0 + 80), T0 + 10)
      await connect(other, online(7, T0 + 40, T0 + 95), T0 + 10)
      expect(await store.endSessions(7)).toBe(2)
      expect((await loadOne(store, device)).lastOfflineAt).toBe(T0 + 90)
      expect((await loadOne(store, other)).lastOfflineAt).toBe(T0 + 95)
    })

    test('leaves what is open as it is, and what waits for the device wants nothing any more', async () => {
      const waiting = created(id(1))
      const queue = { ...(await loadOne(store, device)), ...online(7, T0) }
      await commit(store, changeOf(queue, { inserts: [inserted(waiting)] }))
      expect(await store.wanting(7, 10)).toEqual([device])
      expect(await store.endSessions(7)).toBe(1)
      expect(await store.wanting(7, 10)).toEqual([])
      expect((await loadOne(store, device)).open).toEqual([waiting])
    })

    test('is refused to a life that has lost the number', async () => {
      const { lease } = (await store.takeNode(9, 0))!
      await connect(device, online(9, T0), T0, 9)
      const next = (await store.takeNode(9, 60_000))!
      await expect(store.endSessions(9, lease.epoch)).rejects.toThrow(LeaseLost)
      expect((await loadOne(store, device)).sessionNode).toBe(9)
      expect(await store.endSessions(9, next.lease.epoch)).toBe(1)
      await store.releaseNode(next.lease)
      await expect(store.endSessions(9, next.lease.epoch)).rejects.toThrow(LeaseLost)
    })
  })
})

describe('with several nodes on PostgreSQL', () => {
  let folder: string
  let url: string
  let nodes: (Store & Nodes)[]
  let client: Client
  /** sees what the others do while the client is in a transaction */
  let watcher: Client
  let devices: number[]

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-changes-'))
    url = await databaseFor(folder)
    nodes = []
    for (const nodeNo of [0, 1]) {
      const store = await openPostgres(url)
      await store.takeNode(nodeNo, 600_000)
      nodes.push(store)
    }
    devices = await addDevices(nodes[0]!, ...Array.from({ length: 6 }, (_, n) => `a${n}`))
    client = new Client({ connectionString: url })
    watcher = new Client({ connectionString: url })
    await Promise.all([client.connect(), watcher.connect()])
  })
  afterEach(async () => {
    await Promise.all([client.end(), watcher.end()])
    for (const store of nodes) await store.close()
    rmSync(folder, { recursive: true })
  })
  afterAll(stopSharedPostgres)

  /** A commit of a node with one event of each device named. Resolves to the devices that were stale. */
  const happen = async (node: number, deviceIds: readonly number[], reason: string): Promise<number[]> => {
    const store = nodes[node]!
    const queues = await store.load(deviceIds.map(deviceId => ({ deviceId, commandIds: [] })))
    const changes = queues.map(queue =>
      changeOf(
        { ...queue!, eventSeq: queue!.eventSeq + 1 },
        { events: [event(queue!.eventSeq + 1, null, { reason })] },
      ),
    )
    return store.commit({ node, lastCommandId: null, now: T0, changes })
  }

  test('what is committed late is read by who has read further meanwhile', async () => {
    const [reader] = nodes as [Store & Nodes]
    // The row of node 1 is locked, so that its commit has written everything and cannot end.
    await client.query('begin')
    await client.query('select from node where node_no = 1 for update')
    const late = happen(1, devices.slice(0, 2), 'late')
    const waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'update node%'"
    await expect.poll(async () => (await watcher.query(waiting)).rows.length, { timeout: 10_000 }).toBe(1)
    await happen(0, devices.slice(2, 5), 'soon')
    expect(await reader.placeEvents(100)).toBe(3)
    const first = await follow(reader)
    expect(first.map(({ event }) => event.reason)).toEqual(['soon', 'soon', 'soon'])
    expect(await reader.placeEvents(100)).toBe(0)
    await client.query('commit')
    expect(await late).toEqual([])
    // It is there, and nobody sees it before it has its place, which is after all that have been given.
    expect(await follow(reader, null, first.at(-1)!.position)).toEqual([])
    await happen(0, devices.slice(0, 3), 'last')
    expect(await reader.placeEvents(100)).toBe(5)
    const rest = await follow(reader, null, first.at(-1)!.position)
    expect(rest.map(({ position }) => position)).toEqual([4, 5, 6, 7, 8])
    expect(seqsOf(rest, devices[0]!)).toEqual([1, 2])
    expect(seqsOf([...first, ...rest], devices[2]!)).toEqual([1, 2])
  })

  test('who follows misses nothing and gets nothing twice, whoever commits and gives places at the same time', async () => {
    const rounds = 40
    let committing = 2
    const written = new Map(devices.map(deviceId => [deviceId, 0]))
    const commits = nodes.map(async (_, node) => {
      for (let n = 0; n < rounds; n += 1) {
        // Some devices are of one node alone, and the others of both.
        const mine = devices.filter((_, place) => place % 3 === 2 || place % 3 === node)
        const stale = new Set(await happen(node, mine, `${node}/${n}`))
        for (const deviceId of mine) if (!stale.has(deviceId)) written.set(deviceId, written.get(deviceId)! + 1)
      }
      committing -= 1
    })
    let placed = 0
    const places = nodes.map(async store => {
      for (let last = false; ; ) {
        const some = await store.placeEvents(7)
        placed += some
        if (last && some === 0) return
        last = committing === 0
      }
    })
    const read: Change[] = []
    const reading = (async () => {
      const store = nodes[1]!
      for (let after = 0, last = false; ; ) {
        const { changes, upTo, isFull } = await store.changesAfter(after, null, 5, 8)
        read.push(...changes)
        after = upTo
        if (last && !isFull) return
        last = committing === 0 && placed === [...written.values()].reduce((sum, n) => sum + n, 0)
      }
    })()
    await Promise.all([...commits, ...places])
    // What one of them had to leave to the other, at the very end.
    for (const store of nodes) placed += await store.placeEvents(1_000)
    await reading
    const total = [...written.values()].reduce((sum, n) => sum + n, 0)
    expect(total).toBeGreaterThanOrEqual(rounds * 6)
    expect(read).toHaveLength(total)
    for (const deviceId of devices)
      expect(seqsOf(read, deviceId)).toEqual(Array.from({ length: written.get(deviceId)! }, (_, n) => n + 1))
    const positions = read.map(({ position }) => position)
    expect(positions).toEqual([...new Set(positions)].sort((a, b) => a - b))
    const { given } = await nodes[0]!.streamEnds()
    expect(given).toBeGreaterThanOrEqual(total)
  })

  test('one gives places at a time: the others have nothing to do', async () => {
    await happen(0, devices, 'x')
    await client.query('begin')
    await client.query('select pg_advisory_xact_lock(1145851467, 5)')
    expect(await nodes[0]!.placeEvents(100)).toBe(0)
    await client.query('rollback')
    expect(await nodes[1]!.placeEvents(2)).toBe(2)
    expect(await nodes[0]!.placeEvents(100)).toBe(4)
    expect(await follow(nodes[0]!)).toHaveLength(6)
  })

  test('what was purged before it had a place takes one, so that who reads on is told', async () => {
    const [store] = nodes as [Store & Nodes]
    await wholeLife(store, devices[0]!, 1, T0 + 10)
    await placeAll(store)
    await wholeLife(store, devices[1]!, 2, T0 + 11)
    await store.purge(T0 + 12, 100)
    expect(await store.streamEnds()).toEqual({ given: 4, lost: 4 })
    await happen(0, devices.slice(0, 1), 'x')
    await placeAll(store)
    expect(await follow(store)).toMatchObject([{ position: 5 }])
  })

  test('a purge and who gives places wait for each other, and neither fails', async () => {
    const [store, second] = nodes as [Store & Nodes, Store & Nodes]
    for (let n = 0; n < 10; n += 1) {
      await wholeLife(store, devices[n % 6]!, 10 + n, T0 + n)
      await Promise.all([store.purge(T0 + n + 1, 100), second.placeEvents(100), store.placeEvents(100)])
    }
    await placeAll(store)
    expect(await follow(store)).toEqual([])
    const { given, lost } = await store.streamEnds()
    expect(lost).toBe(given)
  })

  test('answers and queue are as of one instant', async () => {
    const [store, second] = nodes as [Store & Nodes, Store & Nodes]
    const [deviceId] = devices as [number]
    const rounds = 60
    let writing = true
    const write = (async () => {
      for (let n = 1; n <= rounds; n += 1) {
        const kept = [
          { application: 'app1', key: 'k', requestHash: '', commandId: id(n), refusedCode: null, expireAt: T0 + n },
        ]
        await commit(store, changeOf(await loadOne(store, deviceId), { kept }))
      }
      writing = false
    })()
    const keys = [{ application: 'app1', key: 'k' }]
    while (writing) {
      const [queue] = await second.load([{ deviceId, commandIds: [], keys }])
      // Each commit writes both.
      expect(queue!.kept.map(({ expireAt }) => expireAt - T0)).toEqual(queue!.version === 0 ? [] : [queue!.version])
    }
    await write
  })
})
