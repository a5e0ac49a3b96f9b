// How devices come, move, go and report, on every store: what the queue's commit deletes, and all that is kept of a device besides its commands.
// Queues, commands and the fleet file are in store.test.ts.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { State } from '../src/core/command.ts'
import { Bug } from '../src/core/errors.ts'
import { ATTRIBUTES_MAX_PER_DEVICE, DATA_ID_MAX_CHARS, POINTS_MAX_PER_DEVICE } from '../src/core/limits.ts'
import type { Queue } from '../src/core/queue.ts'
import { type DataChange, FleetConflict, type LatestEvent, type LatestValue, type Store } from '../src/store/store.ts'
import {
  addDevices,
  asFinal,
  changeOf,
  commit,
  created,
  deviceRow,
  event,
  fleetRows,
  id,
  loadOne,
  ORG,
  put,
  stores,
  T0,
} from './rig/store.ts'

describe.each(stores)('$name store', ({ open, stop, forgets }) => {
  let folder: string
  let store: Store
  let device: number
  let other: number

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-devices-'))
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

  const remove = async (deviceId: number, over: Partial<Queue> = {}) =>
    changeOf({ ...(await loadOne(store, deviceId)), open: [], deleted: true, ...over })

  const value = (pointId: string, over: Partial<LatestValue> = {}): LatestValue => ({
    pointId,
    valueJson: '1',
    quality: null,
    at: T0,
    ...over,
  })
  const values = (deviceId: number, ...all: LatestValue[]): DataChange => ({
    type: 'measurepoints',
    deviceId,
    values: all,
  })
  const happened = (deviceId: number, eventId: string, over: Partial<LatestEvent> = {}): DataChange => ({
    type: 'event',
    deviceId,
    event: { eventId, outputJson: '{}', at: T0, ...over },
  })
  const labels = (
    type: 'attributes' | 'tags',
    deviceId: number,
    set: readonly (readonly [string, string])[],
    remove: readonly string[] = [],
  ): DataChange => ({ type, deviceId, set, remove })

  /** All that a device has reported. */
  const reported = async (deviceId: number) => ({
    values: await store.latestValues(deviceId, null),
    events: await store.latestEvents(deviceId),
    attributes: [...(await store.attributes(deviceId))],
    tags: [...(await store.tags(deviceId))],
  })
  const nothing = { values: [], events: [], attributes: [], tags: [] }
  const everything = (deviceId: number) => [
    values(deviceId, value('p')),
    happened(deviceId, 'e'),
    labels('attributes', deviceId, [['a', '1']]),
    labels('tags', deviceId, [['t', 'x']]),
  ]

  describe('a device that a commit deletes', () => {
    test('goes with what it reported; its commands, their bodies and its events stay until they are purged', async () => {
      await put(store, device, created(id(1)), asFinal(created(id(2))))
      await store.saveData([...everything(device), ...everything(other)])
      const before = await reported(other)
      const cancelled = asFinal(created(id(1)), State.cancelled, T0 + 5)
      const change = changeOf(
        { ...(await remove(device)).queue, eventSeq: 2 },
        {
          updates: [{ command: cancelled, from: State.created }],
          events: [event(1, id(1), { to: State.cancelled }), event(2, null, { reason: 'deleted', at: T0 + 5 })],
        },
      )
      expect(await commit(store, change)).toEqual([])
      expect(await store.load([{ deviceId: device, commandIds: [id(1)] }])).toEqual([null])
      expect(await store.deviceByAsset('a1')).toBeNull()
      expect(await store.deviceByKeys('pk1', 'key-a1')).toBeNull()
      expect([await reported(device), await reported(other)]).toEqual([nothing, before])

      expect((await store.command(device, id(1)))?.command).toEqual(cancelled)
      expect((await store.search(device, null, 0, 10)).rows.map(({ command }) => command.id)).toEqual([id(2), id(1)])
      const named = { op: 'name', locale: null, text: 'reboot', exact: false } as const
      expect((await store.search(device, named, 0, 10)).total).toBe(2)
      expect([...(await store.bodies([id(1), id(2)])).keys()]).toEqual([id(1), id(2)])
      expect((await store.events(device, null, 10)).map(({ seq }) => seq)).toEqual([1, 2])
      expect(await store.events(device, id(1), 10)).toHaveLength(1)
      const counts = new Map([
        [State.cancelled, 1],
        [State.succeeded, 1],
      ])
      expect(await store.countByState()).toEqual(counts)
      expect([await store.nextDue(), await store.due(T0 + 1e9, 10)]).toEqual([null, []])

      expect(await store.purge(T0 + 1_000, 2)).toBe(2)
      expect((await store.search(device, null, 0, 10)).total).toBe(0)
      expect((await store.events(device, null, 10)).map(({ seq }) => seq)).toEqual([2])
      expect(await store.purge(T0 + 1_000, 10)).toBe(1)
      expect(await store.events(device, null, 10)).toEqual([])
      expect(await store.purge(T0 + 1_000, 10)).toBe(0)
    })

    test('is not there for a queue that was loaded before', async () => {
      const old = await loadOne(store, device)
      await commit(store, await remove(device))
      for (const version of [old.version, old.version + 1, old.version + 2])
        expect(await commit(store, changeOf({ ...old, version }))).toEqual([device])
    })

    test('makes room for another with its names, which has another number and none of its records', async () => {
      await put(store, device, asFinal(created(id(1))))
      await commit(store, await remove(device), await remove(other))
      const [next] = await addDevices(store, 'a1')
      expect(next).toBeGreaterThan(other)
      expect(await loadOne(store, next!)).toMatchObject({
        version: 0,
        lastCommandId: null,
        eventSeq: 0,
        activeAt: null,
      })
      expect((await store.search(next!, null, 0, 10)).total).toBe(0)
      expect((await store.search(device, null, 0, 10)).total).toBe(1)
      expect(await loadOne(store, next!, id(1))).toMatchObject({ named: [] })
      expect(await store.command(next!, id(1))).toBeNull()
    })

    test('sets the devices behind it free, and makes their loaded queues stale', async () => {
      const behind = ['s1', 's2'].map(assetId => deviceRow(assetId, { gatewayAssetId: 'a1' }))
      await store.addDevices([...behind, deviceRow('s3', { gatewayAssetId: 'a2' })], T0)
      const [one, , three] = await Promise.all(['s1', 's2', 's3'].map(async a => (await store.deviceByAsset(a))!.id))
      const [old, untouched] = [await loadOne(store, one!), await loadOne(store, three!)]
      await commit(store, await remove(device))
      expect(await store.subDevices('a1')).toEqual([])
      for (const assetId of ['s1', 's2'])
        expect(await store.deviceByAsset(assetId)).toMatchObject({ gatewayAssetId: null })
      expect((await store.deviceByAsset('s3'))?.gatewayAssetId).toBe('a2')
      expect(await commit(store, changeOf(old), changeOf(untouched))).toEqual([one])
      // A new device of that name is not their gateway.
      await addDevices(store, 'a1')
      expect(await store.subDevices('a1')).toEqual([])
    })

    test('may be behind another that goes in the same batch, or that changes in it', async () => {
      await store.addDevices([deviceRow('s1', { gatewayAssetId: 'a1' }), deviceRow('s2', { gatewayAssetId: 'a1' })], T0)
      const [one, two] = await Promise.all(['s1', 's2'].map(async assetId => (await store.deviceByAsset(assetId))!.id))
      const kept = changeOf({ ...(await loadOne(store, two!)), sessionNo: 4 })
      expect(await commit(store, await remove(one!), await remove(device), kept)).toEqual([])
      expect(await store.load([one!, device].map(deviceId => ({ deviceId, commandIds: [] })))).toEqual([null, null])
      expect(await loadOne(store, two!)).toMatchObject({ sessionNo: 4, version: kept.queue.version + 2 })
      expect((await store.deviceByAsset('s2'))?.gatewayAssetId).toBeNull()
    })

    test('stays, with everything, where the batch fails or its queue is stale', async () => {
      await store.saveData(everything(device))
      await store.addDevices([deviceRow('s1', { gatewayAssetId: 'a1' })], T0)
      const before = [await store.deviceByAsset('a1'), await loadOne(store, device), await reported(device)]
      const bad = changeOf(await loadOne(store, other), {
        updates: [{ command: asFinal(created(id(9))), from: State.created }],
      })
      const deletion = await remove(device)
      for (const changes of [
        [deletion, bad],
        [bad, deletion],
      ])
        await expect(commit(store, ...changes)).rejects.toThrow(/no longer in state/)
      expect(await commit(store, changeOf({ ...deletion.queue, version: 99 }))).toEqual([device])
      expect([await store.deviceByAsset('a1'), await loadOne(store, device), await reported(device)]).toEqual(before)
      expect(await store.subDevices('a1')).toHaveLength(1)
    })

    test('has nothing open: anything else is a bug', async () => {
      await put(store, device, created(id(1)))
      const queue = { ...(await loadOne(store, device)), deleted: true }
      await expect(commit(store, changeOf(queue))).rejects.toThrow(Bug)
      expect(await store.deviceByAsset('a1')).not.toBeNull()
    })
  })

  describe('devices that are added', () => {
    test('are there with all that their rows say, a gateway of the same call included', async () => {
      const rows = [
        deviceRow('n1', { gatewayAssetId: 'n2', certificateSerial: '0abc', timezone: 'Europe/Berlin', disabled: true }),
        deviceRow('n2'),
      ]
      const before = await store.countDevices(rows[0]!.productKey)
      await store.addDevices(rows, T0)
      expect(await store.countDevices(rows[0]!.productKey)).toBe(before + rows.length)
      expect(await store.countDevices('no\0product')).toBe(0)
      const fresh = { createdAt: T0, description: null, activeAt: null, lastOnlineAt: null, lastOfflineAt: null }
      expect(await store.deviceByAsset('n1')).toEqual({ ...rows[0], id: other + 1, ...fresh })
      expect(await store.deviceByKeys('pk1', 'key-n2')).toEqual({ ...rows[1], id: other + 2, ...fresh })
      expect(await loadOne(store, other + 1)).toMatchObject({ version: 0, disabled: true })
      await store.addDevices([], T0)
    })

    const wrong: readonly (readonly [string, readonly Parameters<typeof deviceRow>[], RegExp])[] = [
      ['an assetId that is taken', [['a1', { deviceKey: 'k' }]], /assetId "a1".*exists already/],
      ['the very row of a device that is there', [['a1']], /assetId "a1".*exists already/],
      ['keys that are taken', [['n2', { deviceKey: 'key-a1' }]], /assetId "n2".*"key-a1" is taken by assetId "a1"/],
      ['an assetId twice', [['n2'], ['n2', { deviceKey: 'k' }]], /"n2".*listed twice/],
      ['keys twice', [['n2'], ['n3', { deviceKey: 'key-n2' }]], /"n3".*listed twice/],
      ['a product that does not exist', [['n2', { productKey: 'none' }]], /productKey "none" does not exist/],
      ['an organization that does not exist', [['n2', { orgId: 'none' }]], /orgId "none" does not exist/],
      ['a gateway that does not exist', [['n2', { gatewayAssetId: 'none' }]], /gateway "none" does not exist/],
    ]
    test.each(wrong)('%s: refused, and none is added', async (_, rows, message) => {
      const all = [deviceRow('n1'), ...rows.map(row => deviceRow(...row))]
      const before = await store.deviceByAsset('a1')
      await expect(store.addDevices(all, T0)).rejects.toThrow(FleetConflict)
      await expect(store.addDevices(all, T0)).rejects.toThrow(message)
      expect([await store.deviceByAsset('n1'), await store.deviceByAsset('a1')]).toEqual([null, before])
    })

    test('a text with NUL is refused', async () => {
      await expect(store.addDevices([deviceRow('n1'), deviceRow('n\0')], T0)).rejects.toThrow(/NUL/)
      await expect(store.addDevices([deviceRow('n1', { certificateSerial: '1\0' })], T0)).rejects.toThrow(/NUL/)
      expect(await store.deviceByAsset('n1')).toBeNull()
    })
  })

  describe('gateways', () => {
    const behind = async (gateway: string) => (await store.subDevices(gateway)).map(({ assetId }) => assetId)

    test('the devices behind one come by their numbers, whole', async () => {
      await store.addDevices(
        ['s3', 's1', 's2'].map(assetId => deviceRow(assetId, { gatewayAssetId: 'a1' })),
        T0,
      )
      expect(await behind('a1')).toEqual(['s3', 's1', 's2'])
      expect(await store.subDevices('a1')).toContainEqual(await store.deviceByAsset('s1'))
      expect(await store.countSubDevices('a1')).toBe(3)
      for (const none of ['a2', 's1', 'none', '', 'a1\0', 'a1\0x', '\ud800']) {
        expect(await behind(none)).toEqual([])
        expect(await store.countSubDevices(none)).toBe(0)
      }
    })

    test('a device comes behind one, goes over to another, and leaves; each time its version is raised', async () => {
      await store.addDevices([deviceRow('s1'), deviceRow('s2', { gatewayAssetId: 'a1' })], T0)
      const sub = (await store.deviceByAsset('s1'))!.id
      const stayed = await loadOne(store, other)
      for (const [from, to, version] of [
        [null, 'a1', 1],
        ['a1', 'a2', 2],
        ['a2', 'a2', 2],
        ['a2', null, 3],
      ] as const) {
        await store.moveDevices([{ assetId: 's1', from, to }])
        expect(await store.deviceByAsset('s1')).toMatchObject({ gatewayAssetId: to })
        expect((await loadOne(store, sub)).version).toBe(version)
      }
      await store.moveDevices([
        { assetId: 's1', from: null, to: 'a2' },
        { assetId: 's2', from: 'a1', to: null },
      ])
      expect([await behind('a1'), await behind('a2')]).toEqual([[], ['s1']])
      expect(await loadOne(store, other)).toEqual(stayed)
      await store.moveDevices([])
    })

    const wrong: readonly (readonly [string, string, string | null, string | null, RegExp])[] = [
      ['one that is elsewhere by now', 's1', 'a2', null, /"s1".*is behind gateway "a1" by now/],
      ['one that is behind none by now', 'a2', 'a1', null, /"a2".*is behind no gateway by now/],
      ['one that was behind none', 's1', null, 'a2', /"s1".*is behind gateway "a1" by now/],
      ['one that does not exist', 'none', null, 'a1', /"none".*does not exist/],
      ['one whose name has a NUL', 'a2\0', null, 'a1', /does not exist/],
      ['a gateway that does not exist', 'a2', null, 'none', /gateway "none" does not exist/],
      ['a gateway whose name has a NUL', 'a2', null, 'a1\0', /does not exist/],
      ['a gateway of another organization', 'a2', null, 'x1', /gateway "x1" does not exist in organization "o1"/],
      ['itself', 'a2', null, 'a2', /itself/],
      ['one that is listed twice', 's2', null, 'a1', /"s2".*listed twice/],
    ]
    test.each(wrong)('%s: refused, and none moves', async (_, assetId, from, to, message) => {
      const product = { productKey: 'pk2', orgId: 'o2', secret: 's', modelId: null, json: '{}' }
      const devices = [deviceRow('x1', { orgId: 'o2', productKey: 'pk2' })]
      await store.applyFleet(
        fleetRows({ organizations: [{ orgId: 'o2', name: 'Two' }], products: [product], devices }),
        T0,
      )
      await store.addDevices([deviceRow('s1', { gatewayAssetId: 'a1' }), deviceRow('s2')], T0)
      const good = { assetId: 's2', from: null, to: 'a2' }
      for (const moves of [
        [good, { assetId, from, to }],
        [{ assetId, from, to }, good],
      ]) {
        await expect(store.moveDevices(moves)).rejects.toThrow(FleetConflict)
        await expect(store.moveDevices(moves)).rejects.toThrow(message)
      }
      expect([await behind('a1'), await behind('a2')]).toEqual([['s1'], []])
      expect(await store.deviceByAsset('s2')).toMatchObject({ orgId: ORG, gatewayAssetId: null })
    })
  })

  describe('what devices report', () => {
    test('a new device has reported nothing, nor has one that does not exist', async () => {
      for (const deviceId of [device, 9_999]) expect(await reported(deviceId)).toEqual(nothing)
      expect(await store.latestValues(device, ['p'])).toEqual([])
      expect(await store.saveData([])).toEqual([])
    })

    test('each device has its own', async () => {
      expect(await store.saveData(everything(device))).toEqual([true, true, true, true])
      expect(await reported(device)).toEqual({
        values: [value('p')],
        events: [{ eventId: 'e', outputJson: '{}', at: T0 }],
        attributes: [['a', '1']],
        tags: [['t', 'x']],
      })
      expect(await reported(other)).toEqual(nothing)
    })

    test('values come in the order of their ids, all or those that are named', async () => {
      const ids = ['b', 'a', 'B', 'a.b', 'a-b', 'ä', '\u{1F600}', '\uffee', '10', '9']
      await store.saveData([values(device, ...ids.map(each => value(each)))])
      const named = async (pointIds: string[] | null) =>
        (await store.latestValues(device, pointIds)).map(({ pointId }) => pointId)
      expect(await named(null)).toEqual(['10', '9', 'B', 'a', 'a-b', 'a.b', 'b', 'ä', '\uffee', '\u{1F600}'])
      const strange = ['none', '', 'a\0', 'a\0b', '\ud83d', '\ud83d\ude00']
      expect(await named(['b', ...strange, 'a', 'b'])).toEqual(['a', 'b', '\u{1F600}'])
      expect(await named([])).toEqual([])
    })

    test('events, attributes and tags may be asked for by name as well, and keep their order', async () => {
      const ids = ['z', 'b', 'a', 'ä', '10', '']
      await store.saveData([
        ...ids.map(each => happened(device, each)),
        labels(
          'attributes',
          device,
          ids.map(each => [each, `"${each}"`]),
        ),
        labels(
          'tags',
          device,
          ids.map(each => [each, `t${each}`]),
        ),
        labels('tags', other, [['other', 'x']]),
      ])
      const named = async (names?: string[] | null) => [
        (await store.latestEvents(device, names)).map(({ eventId }) => eventId),
        [...(await store.attributes(device, names)).keys()],
        [...(await store.tags(device, names)).keys()],
      ]
      const all = [['', '10', 'a', 'b', 'z', 'ä'], ids, ids]
      expect(await named()).toEqual(all)
      expect(await named(null)).toEqual(all)
      expect(await named([])).toEqual([[], [], []])
      const strange = ['none', 'a\0', 'a\0b', '\ud83d', 'other']
      expect(await named(['a', ...strange, 'z', 'a', 'ä'])).toEqual([
        ['a', 'z', 'ä'],
        ['z', 'a', 'ä'],
        ['z', 'a', 'ä'],
      ])
      expect(await store.attributes(device, ['b'])).toEqual(new Map([['b', '"b"']]))
      expect(await store.tags(device, ['b'])).toEqual(new Map([['b', 'tb']]))
      expect(await store.latestEvents(device, ['b'])).toEqual([{ eventId: 'b', outputJson: '{}', at: T0 }])
    })

    test('how many bytes there are to read is known before they are read', async () => {
      const types = ['measurepoints', 'event', 'attributes', 'tags'] as const
      const bytes = (ids: string[] | null, of = device) =>
        Promise.all(types.map(type => store.reportedBytes(type, of, ids)))
      for (const ids of [null, [], ['a']]) expect(await bytes(ids)).toEqual([0, 0, 0, 0])
      const texts = { a: '"xyz"', b: `"${'泵'.repeat(30_000)}"`, c: '"\u{1F600}ä"' }
      const pairs = Object.entries(texts)
      await store.saveData([
        values(device, ...pairs.map(([id, valueJson]) => value(id, { valueJson }))),
        ...pairs.map(([id, outputJson]) => happened(device, id, { outputJson })),
        labels('attributes', device, pairs),
        labels('tags', device, pairs),
        values(other, value('a')),
      ])
      const [a, b, c] = [5, 2 + 3 * 30_000, 2 + 4 + 2]
      const four = (sum: number) => [sum, sum, sum, sum]
      expect(await bytes(null)).toEqual(four(a + b + c))
      expect(await bytes(['c', 'none', 'a', 'c', 'a\0', '\ud800'])).toEqual(four(a + c))
      expect(await bytes([])).toEqual(four(0))
      expect(await bytes(null, other)).toEqual([1, 0, 0, 0])
      expect(await bytes(null, 9_999)).toEqual(four(0))
      await store.saveData([labels('tags', device, [], ['b']), values(device, value('b'))])
      expect(await bytes(null)).toEqual([a + 1 + c, a + b + c, a + b + c, a + c])
    })

    test('an older value or event leaves a newer one, an equally old one takes its place', async () => {
      const seen = async () => [
        (await store.latestValues(device, null)).map(({ valueJson, quality, at }) => [valueJson, quality, at - T0]),
        (await store.latestEvents(device)).map(({ outputJson, at }) => [outputJson, at - T0]),
      ]
      const said = (json: string, quality: number | null, at: number) =>
        store.saveData([
          values(device, value('p', { valueJson: json, quality, at: T0 + at })),
          happened(device, 'e', { outputJson: json, at: T0 + at }),
        ])
      await said('{"n":1}', 192, 5)
      await said('{"n":2}', null, 4)
      expect(await seen()).toEqual([[['{"n":1}', 192, 5]], [['{"n":1}', 5]]])
      await said('{"n":3}', 0.5, 5)
      expect(await seen()).toEqual([[['{"n":3}', 0.5, 5]], [['{"n":3}', 5]]])
      await said('{"n":4}', null, 6)
      expect(await seen()).toEqual([[['{"n":4}', null, 6]], [['{"n":4}', 6]]])
      // Within one change, too, in whatever order they come.
      const inOne = [7, 9, 9, 8].map((at, n) => value('p', { valueJson: String(n), at: T0 + at }))
      expect(await store.saveData([values(device, ...inOne)])).toEqual([true])
      expect((await seen())[0]).toEqual([['2', null, 9]])
    })

    test.each(['attributes', 'tags'] as const)('%s keep the order in which they were first set', async type => {
      const set = (pairs: [string, string][], remove: string[] = []) =>
        store.saveData([labels(type, device, pairs, remove)])
      const entries = async () => [...(await store[type](device))].map(([name, text]) => `${name}=${text}`)
      await set([
        ['z', '1'],
        ['a', '2'],
        ['m', '3'],
      ])
      await set([
        ['a', '4'],
        ['b', '5'],
        ['b', '6'],
      ])
      expect(await entries()).toEqual(['z=1', 'a=4', 'm=3', 'b=6'])
      await set([], ['z', 'none', '', 'a\0', 'z'])
      expect(await entries()).toEqual(['a=4', 'm=3', 'b=6'])
      await set(
        [
          ['z', '7'],
          ['a', '8'],
        ],
        ['a'],
      )
      expect(await entries()).toEqual(['m=3', 'b=6', 'z=7', 'a=8'])
      await set([], ['m', 'b', 'z', 'a'])
      expect(await entries()).toEqual([])
    })

    test('attributes and tags of one name are two things', async () => {
      await store.saveData([labels('attributes', device, [['x', '1']]), labels('tags', device, [['x', 'one']])])
      await store.saveData([labels('attributes', device, [], ['x'])])
      expect(await reported(device)).toEqual({ ...nothing, tags: [['x', 'one']] })
    })

    test('JSON and text come back to the letter', async () => {
      const json = ' [1e400, 12345678901234567890,\t"\\u0000", "\\ud800", "\u2028😀"] '
      const text = `'"\`\\ % _ \n ж`.repeat(1_000)
      await store.saveData([
        values(device, value('p', { valueJson: json })),
        happened(device, 'e', { outputJson: json }),
        labels('attributes', device, [['ä 😀', json]]),
        labels('tags', device, [['', text]]),
      ])
      expect(await reported(device)).toEqual({
        values: [value('p', { valueJson: json })],
        events: [{ eventId: 'e', outputJson: json, at: T0 }],
        attributes: [['ä 😀', json]],
        tags: [['', text]],
      })
    })

    const long = 'x'.repeat(DATA_ID_MAX_CHARS + 1)
    const broken: readonly (readonly [string, (deviceId: number) => DataChange])[] = [
      ['a NUL in a value', of => values(of, value('p', { valueJson: '"\0"' }))],
      ['a NUL in a pointId', of => values(of, value('p\0'))],
      ['half a surrogate pair in a pointId', of => values(of, value('\ud800'))],
      ['a pointId that is too long', of => values(of, value(long))],
      ['an instant that is no integer', of => values(of, value('p', { at: 1.5 }))],
      ['a quality that is no number', of => values(of, value('p', { quality: Number.NaN }))],
      ['a NUL in an output', of => happened(of, 'e', { outputJson: '\0' })],
      ['a NUL in an eventId', of => happened(of, '\0')],
      ['an instant of an event that is no integer', of => happened(of, 'e', { at: Number.POSITIVE_INFINITY })],
      ['a NUL in an attribute', of => labels('attributes', of, [['a', '\0']])],
      ['an attribute whose name is too long', of => labels('attributes', of, [[long, '1']])],
      ['a NUL in the name of a tag', of => labels('tags', of, [['\0', 'x']])],
      ['half a surrogate pair in a tag', of => labels('tags', of, [['t', 'x\udc00']])],
    ]
    test.each(broken)('%s is a bug, and nothing is written', async (_, change) => {
      await expect(store.saveData([...everything(device), change(device)])).rejects.toThrow(Bug)
      await expect(store.saveData([change(device), ...everything(device)])).rejects.toThrow(Bug)
      expect(await reported(device)).toEqual(nothing)
    })

    const many = (count: number, of = 'p') => Array.from({ length: count }, (_, n) => `${of}${n}`)
    test('a change that would make it too many is left out whole, the others are applied', async () => {
      const full = many(POINTS_MAX_PER_DEVICE).map(each => value(each))
      expect(await store.saveData([values(device, ...full, value('one-more'))])).toEqual([false])
      expect(await store.latestValues(device, null)).toEqual([])
      const later = { valueJson: '2', at: T0 + 1 }
      const answers = await store.saveData([
        values(device, ...full),
        values(device, value('p0', later), value('one-more')),
        values(device, value('p1', later), value('p1', later)),
        values(other, value('one-more')),
      ])
      expect(answers).toEqual([true, false, true, true])
      expect(await store.latestValues(device, ['p0', 'p1', 'one-more'])).toEqual([value('p0'), value('p1', later)])
    })

    test.each(['attributes', 'tags'] as const)(
      '%s have their bound, what goes makes room for what comes',
      async type => {
        const full = many(ATTRIBUTES_MAX_PER_DEVICE).map(each => [each, 'x'] as const)
        const answers = await store.saveData([
          labels(type, device, [...full, ['more', 'x']]),
          labels(type, device, full),
          labels(type, device, [['p0', 'y'], ...full.slice(1, 9)]),
          labels(type, device, [['more', 'x']], ['none']),
          labels(type, device, [['more', 'x']], ['p1']),
          labels(type, device, [['p2', 'z']], ['p2', 'p3']),
          labels(type, device, [
            ['room', 'x'],
            ['no room', 'x'],
          ]),
        ])
        expect(answers).toEqual([false, true, true, false, true, true, false])
        const kept = await store[type](device)
        expect(kept.size).toBe(ATTRIBUTES_MAX_PER_DEVICE - 1)
        expect([kept.get('p0'), kept.has('p1'), kept.has('p3'), [...kept.keys()].slice(-2)]).toEqual([
          'y',
          false,
          false,
          ['more', 'p2'],
        ])
      },
    )

    test('kinds of events have their bound', async () => {
      const full = many(ATTRIBUTES_MAX_PER_DEVICE).map(each => happened(device, each))
      const answers = await store.saveData([...full, happened(device, 'more'), happened(device, 'p0', { at: T0 + 1 })])
      expect(answers).toEqual([...full.map(() => true), false, true])
      expect(await store.latestEvents(device)).toHaveLength(ATTRIBUTES_MAX_PER_DEVICE)
    })

    test('of a device that does not exist any more nothing is kept, of the others it is', async () => {
      await commit(store, await remove(device))
      const answers = await store.saveData([...everything(device), ...everything(other), ...everything(9_999)])
      expect(answers).toEqual([false, false, false, false, true, true, true, true, false, false, false, false])
      expect([await reported(device), await reported(9_999)]).toEqual([nothing, nothing])
      expect((await reported(other)).values).toHaveLength(1)
    })

    test('what went in or came out can be changed without changing the store', async () => {
      const change = { ...value('p') }
      const pairs: [string, string][] = [['t', 'x']]
      await store.saveData([values(device, change), labels('tags', device, pairs)])
      Object.assign(change, { valueJson: '2' })
      pairs[0]![1] = 'y'
      const tags = await store.tags(device)
      tags.clear()
      const read = await store.latestValues(device, null)
      read.pop()
      expect(await reported(device)).toEqual({ ...nothing, values: [value('p')], tags: [['t', 'x']] })
    })

    test('is there after close and open', async context => {
      if (forgets !== null) return context.skip(forgets)
      await store.saveData([...everything(device), labels('tags', device, [['b', '1']])])
      await commit(store, await remove(other))
      const before = await reported(device)
      await store.close()
      store = await open(folder)
      expect(await reported(device)).toEqual(before)
      expect(await store.deviceByAsset('a2')).toBeNull()
      expect(await addDevices(store, 'a2')).toEqual([other + 1])
    })
  })
})
