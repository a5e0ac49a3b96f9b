// Reads for people, over all stores: what each says of a fleet that is put together by hand, and that the databases answer any question about any fleet as
// the memory store does.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { State } from '../src/core/command.ts'
import { VIEW_SEARCH_DEVICES } from '../src/core/limits.ts'
import { readMigrations } from '../src/store/migrate.ts'
import type { Nodes } from '../src/store/nodes.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import { closeFile, openFile } from '../src/store/sqlite-file.ts'
import { dialect } from '../src/store/sqlite-views.ts'
import type { DeviceRow, FleetRows, Store } from '../src/store/store.ts'
import type { Reach } from '../src/store/stream.ts'
import {
  type Asking,
  counts,
  deviceLine,
  deviceName,
  listDevices,
  searchDevices,
  tallies,
  topDevices,
  waitingDevices,
} from '../src/store/view-questions.ts'
import { type DeviceCondition, type DeviceQuery, deviceStatuses } from '../src/store/views.ts'
import {
  asFinal,
  asSent,
  bodyRow,
  changeOf,
  created,
  deviceRow,
  event,
  fleetRows,
  id,
  inserted,
  loadOne,
  ORG,
  stores,
  T0,
} from './rig/store.ts'

type AnyStore = Store & Nodes
const [reference, ...others] = stores
const LEASE_MS = 3_600_000

const every: DeviceQuery = { orgId: ORG, reach: 'all', productKey: null, status: null, text: null, waiting: false }

/** Two organizations, products with and without models, of devices and of gateways. */
const fleet = (devices: readonly DeviceRow[]): FleetRows =>
  fleetRows({
    organizations: [ORG, 'o2'].map(orgId => ({ orgId, name: orgId })),
    models: [ORG, 'o2'].flatMap(orgId => ['m1', 'm2'].map(modelId => ({ modelId, orgId, json: '{}' }))),
    products: [
      { productKey: 'pk1', orgId: ORG, secret: 's', modelId: 'm1', json: '{"productType":"Device"}' },
      { productKey: 'pk2', orgId: ORG, secret: 's', modelId: 'm2', json: '{"productType":"Gateway"}' },
      { productKey: 'pk3', orgId: ORG, secret: 's', modelId: null, json: '{}' },
      { productKey: 'pk9', orgId: 'o2', secret: 's', modelId: 'm1', json: '{"productType":"Device"}' },
    ],
    devices,
  })

/** What is on record of a device besides its row. */
interface Standing {
  readonly sessionNode: number | null
  readonly activeAt: number | null
  /** instants at which waiting commands were created, in ms after T0 */
  readonly waiting: readonly number[]
  readonly sending: boolean
}
const idle: Standing = { sessionNode: null, activeAt: null, waiting: [], sending: false }

let commandNo = 0
/** Commits of a device what it is to stand like. Its first command is number `from`. */
async function stand(store: AnyStore, deviceId: number, to: Standing, from: number): Promise<void> {
  const queue = await loadOne(store, deviceId)
  const { sessionNode, activeAt, waiting, sending } = to
  const commands = waiting.map((at, n) => created(id(from + n), { createdAt: T0 + at }))
  if (sending) commands.push(asSent(created(id(from + waiting.length), { createdAt: T0 })))
  const change = changeOf({ ...queue, sessionNode, activeAt }, { inserts: commands.map(each => inserted(each)) })
  const stale = await store.commit({ node: 0, lastCommandId: null, now: T0, changes: [change] })
  expect(stale).toEqual([])
}

describe.each(stores)('$name', ({ name, open, stop }) => {
  let folder: string
  let store: AnyStore

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-views-'))
    store = await open(folder)
    expect(await store.takeNode(0, LEASE_MS)).not.toBeNull()
    commandNo = 1
  })
  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true })
  })
  afterAll(stop)

  async function put(assetId: string, over: Partial<DeviceRow> = {}, to: Partial<Standing> = {}): Promise<number> {
    await store.applyFleet(fleet([deviceRow(assetId, over)]), T0)
    const deviceId = (await store.deviceByAsset(assetId))!.id
    const standing = { ...idle, ...to }
    await stand(store, deviceId, standing, commandNo)
    commandNo += 60
    return deviceId
  }

  const listed = async (over: Partial<DeviceQuery>, after = 0, limit = 100, scan = 1_000) => {
    const { lines, next } = await store.listDevices({ ...every, ...over }, after, limit, scan)
    return { assetIds: lines.map(({ device }) => device.assetId), next }
  }
  const found = async (condition: DeviceCondition | null, reach: Reach = 'all') => {
    const { lines, total } = await store.searchDevices(ORG, reach, condition, 0, 100)
    expect(total).toBe(lines.length)
    return lines.map(({ device }) => device.assetId)
  }

  describe('a line', () => {
    test('has the device, how it is, and what waits for it', async () => {
      const deviceId = await put(
        'a1',
        { description: 'in the cellar' },
        { sessionNode: 0, waiting: [5, 2, 9], sending: true },
      )
      expect(await store.deviceLine(deviceId)).toEqual({
        device: await store.deviceById(deviceId),
        status: 'online',
        waiting: 3,
        oldestWaitingAt: T0 + 2,
        inFlight: true,
      })
      expect((await store.listDevices(every, 0, 10, 10)).lines).toEqual([await store.deviceLine(deviceId)])
      for (const none of [deviceId + 1, 0, -1, 2 ** 31, Number.MAX_SAFE_INTEGER])
        expect(await store.deviceLine(none)).toBeNull()
    })

    test.each([
      ['online, though it never proved a secret', { sessionNode: 0 }, {}, 'online'],
      ['online', { sessionNode: 0, activeAt: T0 }, {}, 'online'],
      ['offline', { activeAt: T0 }, {}, 'offline'],
      ['inactive', {}, {}, 'inactive'],
      ['disabled', { activeAt: T0 }, { disabled: true }, 'disabled'],
      ['disabled before it ever was active', {}, { disabled: true }, 'disabled'],
    ] as const)('a device that is %s', async (_, standing, row, status) => {
      const deviceId = await put('a1', row, standing)
      expect(await store.deviceLine(deviceId)).toMatchObject({
        status,
        waiting: 0,
        oldestWaitingAt: null,
        inFlight: false,
      })
      for (const other of deviceStatuses)
        expect((await listed({ status: other })).assetIds, other).toEqual(other === status ? ['a1'] : [])
      expect(await found({ op: 'in', field: 'status', values: [status] })).toEqual(['a1'])
      expect(await found({ op: 'not', term: { op: 'in', field: 'status', values: [status] } })).toEqual([])
    })

    test.skipIf(name !== 'postgres')('a device whose node is dead is not online', async () => {
      const known = await put('a1', {}, { sessionNode: 0, activeAt: T0 })
      const fresh = await put('a2', {}, { sessionNode: 0 })
      expect(await store.counts(ORG, null)).toMatchObject({ devices: 2, online: 2 })
      await store.releaseNode((await store.takeNode(7, LEASE_MS))!.lease)
      for (const deviceId of [known, fresh]) {
        const queue = await loadOne(store, deviceId)
        const change = changeOf({ ...queue, sessionNode: 7 })
        expect(await store.commit({ node: 0, lastCommandId: null, now: T0, changes: [change] })).toEqual([])
      }
      expect((await store.deviceLine(known))?.status).toBe('offline')
      expect((await store.deviceLine(fresh))?.status).toBe('inactive')
      expect(await store.counts(ORG, null)).toMatchObject({ devices: 2, online: 0, inactive: 1 })
      expect((await listed({ status: 'online' })).assetIds).toEqual([])
      expect((await listed({ status: 'offline' })).assetIds).toEqual(['a1'])
      expect((await listed({ status: 'inactive' })).assetIds).toEqual(['a2'])
      expect(await store.takeNode(7, LEASE_MS)).not.toBeNull()
      expect((await listed({ status: 'online' })).assetIds).toEqual(['a1', 'a2'])
    })
  })

  describe('a list', () => {
    test('comes in pages, from a number on, and says where to go on', async () => {
      const ids: number[] = []
      for (const name of ['c', 'a', 'b']) ids.push(await put(name))
      await put('x', { orgId: 'o2', productKey: 'pk9' })
      expect(await listed({}, 0, 2)).toEqual({ assetIds: ['c', 'a'], next: ids[1] })
      expect(await listed({}, ids[1], 2)).toEqual({ assetIds: ['b'], next: null })
      expect(await listed({}, 0, 3), 'a page that is full is the last one where there is no more').toEqual({
        assetIds: ['c', 'a', 'b'],
        next: null,
      })
      expect(await listed({}, 2 ** 40)).toEqual({ assetIds: [], next: null })
      expect(await listed({ orgId: 'none' })).toEqual({ assetIds: [], next: null })
    })

    test('looks at no more than it may', async () => {
      const ids: number[] = []
      for (const name of ['a1', 'b1', 'b2', 'a2', 'b3']) ids.push(await put(name))
      expect(await listed({ text: 'a' }, 0, 5, 3)).toEqual({ assetIds: ['a1'], next: ids[2] })
      expect(await listed({ text: 'a' }, ids[2], 5, 2)).toEqual({ assetIds: ['a2'], next: null })
      expect(await listed({ text: 'none' }, 0, 5, 1)).toEqual({ assetIds: [], next: ids[0] })
    })

    test('has all its filters at once', async () => {
      await put('a1', { productKey: 'pk1' }, { waiting: [1], sessionNode: 0 })
      await put('a2', { productKey: 'pk2' }, { waiting: [1] })
      await put('a3', { productKey: 'pk2' }, { sessionNode: 0 })
      await put('a4', { productKey: 'pk2' }, { waiting: [1], sessionNode: 0 })
      expect((await listed({ productKey: 'pk2' })).assetIds).toEqual(['a2', 'a3', 'a4'])
      expect((await listed({ productKey: 'pk2', waiting: true })).assetIds).toEqual(['a2', 'a4'])
      expect((await listed({ productKey: 'pk2', waiting: true, status: 'online' })).assetIds).toEqual(['a4'])
      expect((await listed({ productKey: 'pk2', status: 'online' })).assetIds).toEqual(['a3', 'a4'])
      expect((await listed({ productKey: 'pk2', status: 'online', text: 'A3' })).assetIds).toEqual(['a3'])
      expect((await listed({ orgId: 'o2', productKey: 'pk2' })).assetIds, "another organization's product").toEqual([])
      const some = { productKeys: ['pk1', 'none'], assetIds: ['a3', 'x\0'] }
      expect((await listed({ reach: some })).assetIds).toEqual(['a1', 'a3'])
      expect((await listed({ reach: { productKeys: [], assetIds: [] } })).assetIds).toEqual([])
      for (const odd of ['pk1\0', '\ud800']) {
        expect(await listed({ productKey: odd })).toEqual({ assetIds: [], next: null })
        expect(await listed({ orgId: odd })).toEqual({ assetIds: [], next: null })
      }
    })

    const texts: readonly (readonly [string, readonly string[]])[] = [
      ['KEY-', ['one', 'two', 'three']],
      ['ey-one', []],
      ['ONE', ['one']],
      ['pUmP', ['one', 'three']],
      ['ump', ['one', 'three']],
      ['泵', ['one']],
      ['水泵', ['one']],
      ['kelvin', ['two']],
      ['istanbul', []],
      ['i\u0307stanbul', ['two']],
      ['grÜN', ['three']],
      ['100%_', ['three']],
      ['100%x', []],
      ['say "', ['three']],
      ['back\\', ['three']],
      ['\u0007', ['three']],
      ['', ['one', 'two', 'three']],
    ]
    test.each(texts)('a text: %s', async (text, expected) => {
      const named = (defaultValue: string, i18nValue: Record<string, string> = {}) => ({
        nameJson: JSON.stringify({ defaultValue, i18nValue }),
      })
      await put('one', named('Pump', { zh_CN: '水泵' }))
      await put('two', named('\u212aelvin', { tr_TR: '\u0130stanbul' }))
      await put('three', named('gr\u00fcn 100%_', { en_US: 'PUMP say "hi" back\\ \u0007' }))
      expect((await listed({ text })).assetIds).toEqual(expected)
      expect((await listed({ text }, 0, 1)).assetIds).toEqual(expected.slice(0, 1))
    })
  })

  describe('the top', () => {
    test('of what waits: the most, or the oldest, first', async () => {
      await put('few', {}, { waiting: [7] })
      await put('many', { productKey: 'pk2' }, { waiting: [9, 8, 6] })
      await put('old', {}, { waiting: [3, 4] })
      await put('none', {}, { sending: true })
      await put('far', { orgId: 'o2', productKey: 'pk9' }, { waiting: [0, 1, 2, 3] })
      const top = async (over: Partial<DeviceQuery>, by: 'waiting' | 'oldest', limit = 10) =>
        (await store.topDevices({ ...every, ...over }, by, limit)).map(({ device }) => device.assetId)
      expect(await top({}, 'waiting')).toEqual(['many', 'old', 'few'])
      expect(await top({}, 'oldest')).toEqual(['old', 'many', 'few'])
      expect(await top({}, 'oldest', 1)).toEqual(['old'])
      expect(await top({ productKey: 'pk1' }, 'waiting')).toEqual(['old', 'few'])
      expect(await top({ reach: { productKeys: [], assetIds: ['few'] } }, 'waiting')).toEqual(['few'])
      expect(await top({ orgId: 'o\0' }, 'waiting')).toEqual([])
      const [line] = await store.topDevices(every, 'waiting', 1)
      expect(line).toEqual(await store.deviceLine(line!.device.id))
    })
  })

  describe('a search', () => {
    const isIn = (field: (DeviceCondition & { op: 'in' })['field'], ...values: string[]): DeviceCondition => ({
      op: 'in',
      field,
      values,
    })
    const label = (of: 'attributes' | 'tags', key: string, values: readonly string[] | null): DeviceCondition => ({
      op: 'label',
      of,
      key,
      values,
    })

    beforeEach(async () => {
      await put('a1', { productKey: 'pk1', nameJson: '{"defaultValue":"Pump","i18nValue":{"zh_CN":"泵"}}' })
      await put('a2', { productKey: 'pk2' })
      await put('a3', { productKey: 'pk3' })
      await put('x', { orgId: 'o2', productKey: 'pk9' })
      const [a1, a2] = await Promise.all(['a1', 'a2'].map(async name => (await store.deviceByAsset(name))!.id))
      const saved = await store.saveData([
        {
          type: 'attributes',
          deviceId: a1!,
          set: [
            ['size', '{"w":1,"h":[2,3]}'],
            ['n', '1.5'],
          ],
          remove: [],
        },
        {
          type: 'attributes',
          deviceId: a2!,
          set: [
            ['size', '{"w":2,"h":[2,3]}'],
            ['n', '"1.5"'],
          ],
          remove: [],
        },
        {
          type: 'tags',
          deviceId: a1!,
          set: [
            ['site', 'north'],
            ['n', '1.5'],
          ],
          remove: [],
        },
        { type: 'tags', deviceId: a2!, set: [['site', 'NORTH']], remove: [] },
      ])
      expect(saved).toEqual([true, true, true, true])
    })

    const cases: readonly (readonly [string, DeviceCondition | null, readonly string[]])[] = [
      ['nothing: all, newest first', null, ['a3', 'a2', 'a1']],
      ['no term', { op: 'and', terms: [] }, ['a3', 'a2', 'a1']],
      ['no choice', { op: 'or', terms: [] }, []],
      ['keys', isIn('deviceKey', 'key-a1', 'key-a3', 'key-x'), ['a3', 'a1']],
      ['keys, to the letter', isIn('deviceKey', 'KEY-a1', 'key-a'), []],
      ['assetIds', isIn('assetId', 'a2', 'x', 'a2\0', '\ud800'), ['a2']],
      ['products', isIn('productKey', 'pk3', 'pk9'), ['a3']],
      ['models', isIn('modelId', 'm1', ''), ['a1']],
      ['not of a model, which those without one are not', { op: 'not', term: isIn('modelId', 'm1') }, ['a3', 'a2']],
      ['types', isIn('productType', 'Gateway', '', 'null'), ['a2']],
      ['not of a type', { op: 'not', term: isIn('productType', 'Gateway') }, ['a3', 'a1']],
      ['none of no values', isIn('assetId'), []],
      ['a status that there is not', isIn('status', 'disable'), []],
      ['a name', { op: 'name', locale: null, text: '泵' }, ['a1']],
      ['a name of a locale', { op: 'name', locale: 'zh_CN', text: 'pump' }, []],
      ['a default name', { op: 'name', locale: 'default', text: 'UMP' }, ['a1']],
      ['a name that falls back', { op: 'name', locale: 'en_US', text: 'A2' }, ['a2']],
      ['an attribute that is there', label('attributes', 'n', null), ['a2', 'a1']],
      ['no attribute', { op: 'not', term: label('attributes', 'n', null) }, ['a3']],
      ['a number', label('attributes', 'n', ['1.5', '7']), ['a1']],
      ['a number, however it is written', label('attributes', 'n', ['15e-1']), ['a1']],
      ['a text', label('attributes', 'n', ['"1.5"']), ['a2']],
      ['an object in any order', label('attributes', 'size', ['{"h":[2,3],"w":1}']), ['a1']],
      ['a list in its order', label('attributes', 'size', ['{"h":[3,2],"w":1}']), []],
      ['a tag', label('tags', 'site', ['north', 'x\0']), ['a1']],
      ['a tag that is there', label('tags', 'site', null), ['a2', 'a1']],
      ['a tag that nothing has', label('tags', 'site\0', null), []],
      ['a tag is no attribute', label('tags', 'size', null), []],
      ['both', { op: 'and', terms: [label('tags', 'site', null), isIn('modelId', 'm2')] }, ['a2']],
      [
        'one or the other',
        { op: 'or', terms: [label('tags', 'site', ['north']), isIn('assetId', 'a3')] },
        ['a3', 'a1'],
      ],
      [
        'a few of many',
        { op: 'and', terms: [isIn('deviceKey', 'key-a1', 'key-a2'), isIn('productKey', 'pk2')] },
        ['a2'],
      ],
    ]
    test.each(cases)('%s', async (_, condition, expected) => {
      expect(await found(condition)).toEqual(expected)
    })

    test('of more devices than are looked at in one go: each is found once, newest first', {
      timeout: 60_000,
    }, async () => {
      const before = (await store.searchDevices(ORG, 'all', null, 0, 1)).total
      // Whole parts, so that the last one is empty.
      const more = 2 * VIEW_SEARCH_DEVICES - before
      const nameOf = (n: number) => JSON.stringify({ defaultValue: n % 1_000 === 0 ? 'rare' : 'common', i18nValue: {} })
      await store.addDevices(
        Array.from({ length: more }, (_, n) => deviceRow(`n${n}`, { nameJson: nameOf(n) })),
        T0,
      )
      const named = async (text: string, offset: number, limit: number) => {
        const { lines, total } = await store.searchDevices(
          ORG,
          'all',
          { op: 'name', locale: null, text },
          offset,
          limit,
        )
        return { assetIds: lines.map(({ device }) => device.assetId), total }
      }
      const rare = Array.from({ length: Math.ceil(more / 1_000) }, (_, n) => `n${n * 1_000}`).reverse()
      expect(await named('RARE', 0, 100)).toEqual({ assetIds: rare, total: rare.length })
      expect(await named('RARE', 3, 2)).toEqual({ assetIds: rare.slice(3, 5), total: rare.length })
      expect((await named('common', 0, 0)).total).toBe(more - rare.length)
      expect((await store.searchDevices(ORG, 'all', null, 0, 0)).total).toBe(before + more)
    })

    test('in pages, with the total of all, within its reach', async () => {
      const page = await store.searchDevices(ORG, 'all', null, 1, 1)
      expect([page.total, page.lines.map(({ device }) => device.assetId)]).toEqual([3, ['a2']])
      expect(page.lines).toEqual([await store.deviceLine(page.lines[0]!.device.id)])
      expect(await store.searchDevices(ORG, 'all', null, 3, 5)).toEqual({ lines: [], total: 3 })
      expect(await found(null, { productKeys: ['pk1'], assetIds: ['a3', 'x'] })).toEqual(['a3', 'a1'])
      expect(await store.searchDevices('o\0', 'all', null, 0, 5)).toEqual({ lines: [], total: 0 })
    })
  })

  describe('counts', () => {
    test('are of an organization, or of some of its products', async () => {
      await put('a1', { productKey: 'pk1' }, { sessionNode: 0, waiting: [4, 5], sending: true })
      await put('a2', { productKey: 'pk1', disabled: true }, { waiting: [9] })
      await put('a3', { productKey: 'pk2' })
      await put('a4', { productKey: 'pk2' }, { activeAt: T0, waiting: [3] })
      await put('x', { orgId: 'o2', productKey: 'pk9' }, { sessionNode: 0, waiting: [1], sending: true })
      const all = { devices: 4, online: 1, disabled: 1, inactive: 1, waiting: 4, inFlight: 1, oldestWaitingAt: T0 + 3 }
      const one = { devices: 2, online: 1, disabled: 1, inactive: 0, waiting: 3, inFlight: 1, oldestWaitingAt: T0 + 4 }
      const none = { devices: 0, online: 0, disabled: 0, inactive: 0, waiting: 0, inFlight: 0, oldestWaitingAt: null }
      expect(await store.counts(ORG, null)).toEqual(all)
      expect(await store.counts(ORG, ['pk1', 'pk1', 'pk9'])).toEqual(one)
      expect(await store.counts(ORG, ['pk2', 'pk1'])).toEqual(all)
      for (const nothing of [
        store.counts(ORG, []),
        store.counts('none', null),
        store.counts('o\0', null),
        store.counts(ORG, ['pk1\0']),
      ])
        expect(await nothing).toEqual(none)
    })

    test('follow what is committed', async () => {
      const deviceId = await put('a1', {}, { waiting: [4, 5] })
      const queue = await loadOne(store, deviceId)
      const [first, second] = queue.open
      const settled = [
        { command: asFinal(first!, State.cancelled), from: State.created },
        { command: asSent(second!), from: State.created },
      ]
      await store.commit({ node: 0, lastCommandId: null, now: T0, changes: [changeOf(queue, { updates: settled })] })
      expect(await store.counts(ORG, null)).toMatchObject({ waiting: 0, inFlight: 1, oldestWaitingAt: null })
      expect(await store.waitingDevices(ORG, null, 0, 10)).toEqual([])
    })
  })

  describe('tallies', () => {
    const MINUTE = 60_000
    const start = Math.ceil(T0 / MINUTE) * MINUTE

    async function happen(
      deviceId: number,
      at: number,
      ...moves: readonly (readonly [State | null, State])[]
    ): Promise<void> {
      const queue = await loadOne(store, deviceId)
      const commandId = id(commandNo++)
      const events = moves.map(([from, to], n) => event(queue.eventSeq + n + 1, commandId, { from, to, at }))
      const last = moves.at(-1)![1]
      const change = changeOf(
        { ...queue, eventSeq: queue.eventSeq + moves.length },
        { inserts: [inserted(asFinal(created(commandId), last, at))], events },
      )
      expect(await store.commit({ node: 0, lastCommandId: null, now: at, changes: [change] })).toEqual([])
    }

    test('come in steps, by from and to', async () => {
      const one = await put('a1', { productKey: 'pk1' })
      const other = await put('a2', { productKey: 'pk2' })
      const far = await put('x', { orgId: 'o2', productKey: 'pk9' })
      const accepted = [null, State.created] as const
      const cancelled = [State.created, State.cancelled] as const
      await happen(one, start - 1, accepted, cancelled)
      await happen(one, start, accepted, cancelled)
      await happen(other, start + MINUTE + 1, accepted, [State.created, State.sent], [State.sent, State.succeeded])
      await happen(one, start + 3 * MINUTE, accepted, cancelled)
      await happen(far, start, accepted, cancelled)
      const tally = (step: number, from: State | null, to: State, n = 1) => ({ at: start + step * MINUTE, from, to, n })
      expect(await store.tallies(ORG, null, start, start + 4 * MINUTE, 2 * MINUTE)).toEqual([
        tally(0, null, State.created, 2),
        tally(0, State.created, State.cancelled),
        tally(0, State.created, State.sent),
        tally(0, State.sent, State.succeeded),
        tally(2, null, State.created),
        tally(2, State.created, State.cancelled),
      ])
      const first = [tally(0, null, State.created), tally(0, State.created, State.cancelled)]
      expect(await store.tallies(ORG, null, start, start + MINUTE, MINUTE)).toEqual(first)
      expect(await store.tallies(ORG, ['pk1', 'pk9'], start, start + 2 * MINUTE, MINUTE)).toEqual(first)
      expect(await store.tallies(ORG, null, start + 5 * MINUTE, start + 9 * MINUTE, MINUTE)).toEqual([])
      for (const [orgId, productKeys] of [
        ['o\0', null],
        [ORG, []],
        [ORG, ['\ud800']],
      ] as const)
        expect(await store.tallies(orgId, productKeys, 0, start + MINUTE, MINUTE)).toEqual([])
    })
  })

  describe('by name and number', () => {
    test('a command is found by its id alone, also of a device that is deleted', async () => {
      const deviceId = await put('a1', {}, { waiting: [4] })
      const commandId = id(1)
      const device = { deviceId, orgId: ORG, productKey: 'pk1', deviceKey: 'key-a1', assetId: 'a1', timezone: '+08:00' }
      const before = { command: created(commandId, { createdAt: T0 + 4 }), body: bodyRow() }
      expect(await store.commandById(commandId)).toEqual({ ...before, device: { ...device, deletedAt: null } })
      expect(await store.deviceName(deviceId)).toEqual({ ...device, deletedAt: null })
      const queue = await loadOne(store, deviceId)
      const settled = asFinal(queue.open[0]!, State.cancelled)
      const change = changeOf(
        { ...queue, open: [], deleted: true, eventSeq: queue.eventSeq + 1 },
        { updates: [{ command: settled, from: State.created }], events: [event(queue.eventSeq + 1, null)] },
      )
      expect(await store.commit({ node: 0, lastCommandId: null, now: T0 + 8, changes: [change] })).toEqual([])
      expect(await store.deviceName(deviceId)).toEqual({ ...device, deletedAt: T0 + 8 })
      expect(await store.commandById(commandId)).toEqual({
        ...before,
        command: settled,
        device: { ...device, deletedAt: T0 + 8 },
      })
      expect([await store.deviceLine(deviceId), await store.deviceById(deviceId)]).toEqual([null, null])
      expect((await listed({})).assetIds).toEqual([])
    })

    test('what there is not', async () => {
      for (const none of ['1', '0', '', 'x', '01', '9'.repeat(19), '9'.repeat(30)])
        expect(await store.commandById(none)).toBeNull()
      for (const none of [0, -1, 77, 2 ** 31, Number.MAX_SAFE_INTEGER]) expect(await store.deviceName(none)).toBeNull()
    })

    test('devices with something that waits, from a number on', async () => {
      const one = await put('a1', { productKey: 'pk1' }, { waiting: [1] })
      await put('a2', {}, { sending: true })
      const three = await put('a3', { productKey: 'pk2' }, { waiting: [1] })
      await put('x', { orgId: 'o2', productKey: 'pk9' }, { waiting: [1] })
      expect(await store.waitingDevices(ORG, null, 0, 10)).toEqual([one, three])
      expect(await store.waitingDevices(ORG, null, 0, 1)).toEqual([one])
      expect(await store.waitingDevices(ORG, null, one, 1)).toEqual([three])
      expect(await store.waitingDevices(ORG, ['pk2', 'pk9'], 0, 10)).toEqual([three])
      expect(await store.waitingDevices(ORG, null, 2 ** 40, 10)).toEqual([])
      expect(await store.waitingDevices('o\0', null, 0, 10)).toEqual([])
    })
  })
})

// --- any fleet, any question -------------------------------------------------------------------------------------

const DEVICES = 9
const text = fc.constantFrom(
  'pump',
  'PUMP',
  'k',
  'K',
  '\u212a',
  'i',
  '\u0130',
  '\u0131',
  'ss',
  '\u00df',
  '泵',
  '_',
  '%',
  '"',
  '\\',
  'u0',
  '',
  'key-',
  'd1',
  'D',
)
const name = fc
  .record({
    defaultValue: fc.array(text, { maxLength: 3 }),
    i18n: fc.dictionary(fc.constantFrom('zh_CN', 'en_US'), text),
  })
  .map(({ defaultValue, i18n }) => JSON.stringify({ defaultValue: defaultValue.join(' '), i18nValue: i18n }))
const key = fc.constantFrom('a', 'b', 'ä')
const tag = fc.constantFrom('1', 'x', 'X', '')
const json = fc.constantFrom('1', '1.5', '"1"', 'null', '{"a":1,"b":2}', '{"b":2,"a":1}', '[1,2]', '""')
const productKey = fc.constantFrom('pk1', 'pk2', 'pk3', 'pk9')

const device = fc.record({
  productKey,
  nameJson: name,
  disabled: fc.boolean(),
  connected: fc.boolean(),
  activeAt: fc.option(fc.constant(T0)),
  waiting: fc.array(fc.nat(3), { maxLength: 3 }),
  sending: fc.boolean(),
  attributes: fc.dictionary(key, json),
  tags: fc.dictionary(key, tag),
})

const assetIds = Array.from({ length: DEVICES }, (_, n) => `D${n}`)
const leaf: fc.Arbitrary<DeviceCondition> = fc.oneof(
  fc.record({
    op: fc.constant('in' as const),
    field: fc.constantFrom('modelId' as const, 'productKey' as const, 'productType' as const, 'status' as const),
    values: fc.array(
      fc.constantFrom('m1', 'm2', 'pk1', 'pk3', 'Device', 'Gateway', 'online', 'offline', 'inactive', 'disabled'),
      { maxLength: 4 },
    ),
  }),
  fc.record({
    op: fc.constant('in' as const),
    field: fc.constantFrom('assetId' as const, 'deviceKey' as const),
    values: fc.array(fc.constantFrom(...assetIds, ...assetIds.map(assetId => `key-${assetId}`)), { maxLength: 6 }),
  }),
  fc.record({ op: fc.constant('name' as const), locale: fc.constantFrom(null, 'default', 'zh_CN', 'de'), text }),
  fc.record({
    op: fc.constant('label' as const),
    of: fc.constant('attributes' as const),
    key,
    values: fc.option(fc.array(json, { maxLength: 2 })),
  }),
  fc.record({
    op: fc.constant('label' as const),
    of: fc.constant('tags' as const),
    key,
    values: fc.option(fc.array(tag, { maxLength: 2 })),
  }),
)
const { condition } = fc.letrec<{ condition: DeviceCondition }>(tie => ({
  condition: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.record({
      op: fc.constantFrom('and' as const, 'or' as const),
      terms: fc.array(tie('condition'), { maxLength: 3 }),
    }),
    fc.record({ op: fc.constant('not' as const), term: tie('condition') }),
  ),
}))
const reach = fc.oneof(
  { weight: 2, arbitrary: fc.constant('all' as const) },
  {
    weight: 1,
    arbitrary: fc.record({
      productKeys: fc.array(productKey, { maxLength: 2 }),
      assetIds: fc.array(fc.constantFrom(...assetIds), { maxLength: 3 }),
    }),
  },
)
const query = fc.record({
  orgId: fc.constantFrom(ORG, ORG, 'o2'),
  reach,
  productKey: fc.option(productKey, { freq: 2 }),
  status: fc.option(fc.constantFrom(...deviceStatuses), { freq: 2 }),
  text: fc.option(text),
  waiting: fc.boolean(),
})

describe.each(others)('$name', ({ open, stop }) => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-views-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))
  afterAll(stop)

  /** The same fleet in both, and the same answers. */
  class Pair {
    readonly memory: AnyStore
    readonly store: AnyStore
    constructor(memory: AnyStore, store: AnyStore) {
      this.memory = memory
      this.store = store
    }

    async both<T>(ask: (store: AnyStore) => Promise<T>): Promise<T> {
      const expected = await ask(this.memory)
      expect(await ask(this.store)).toEqual(expected)
      return expected
    }

    async fill(devices: readonly (typeof device extends fc.Arbitrary<infer T> ? T : never)[]): Promise<void> {
      const rows = devices.map(({ productKey, nameJson, disabled }, n) => {
        const orgId = productKey === 'pk9' ? 'o2' : ORG
        return deviceRow(`D${n}`, { orgId, productKey, nameJson, disabled })
      })
      await this.both(store => store.addFleet(fleet(rows), T0))
      for (const [n, one] of devices.entries()) {
        const sessionNode = one.connected && !one.disabled ? 0 : null
        await this.both(async store => {
          const deviceId = (await store.deviceByAsset(`D${n}`))!.id
          await stand(store, deviceId, { ...one, sessionNode }, 1 + 10 * n)
          const label = (type: 'attributes' | 'tags') => ({
            type,
            deviceId,
            set: Object.entries(one[type]),
            remove: [],
          })
          return store.saveData([label('attributes'), label('tags')])
        })
      }
    }

    /** All pages. Returns how many lines there were. */
    async list(query: DeviceQuery, limit: number, scan: number): Promise<number> {
      let lines = 0
      for (let after: number | null = 0; after !== null; ) {
        const from: number = after
        const page = await this.both(store => store.listDevices(query, from, limit, scan))
        lines += page.lines.length
        expect(page.next ?? Number.POSITIVE_INFINITY).toBeGreaterThan(from)
        after = page.next
      }
      return lines
    }
  }

  test('answers as the memory store does', { timeout: 120_000 }, async () => {
    let run = 0
    const reached = { listed: 0, found: 0, missed: 0 }
    const questions = fc.record({
      devices: fc.array(device, { minLength: DEVICES, maxLength: DEVICES }),
      lists: fc.array(fc.tuple(query, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 6 })), {
        minLength: 12,
        maxLength: 12,
      }),
      searches: fc.array(fc.tuple(reach, condition, fc.nat(2)), { minLength: 25, maxLength: 25 }),
      products: fc.array(fc.array(productKey, { maxLength: 3 }), { minLength: 2, maxLength: 2 }),
    })
    await fc.assert(
      fc.asyncProperty(questions, async ({ devices, lists, searches, products }) => {
        const place = join(folder, String(run++))
        mkdirSync(place)
        const pair = new Pair(await reference!.open(place), await open(place))
        try {
          await pair.both(async store => (await store.takeNode(0, LEASE_MS)) !== null)
          await pair.fill(devices)
          for (const [query, limit, scan] of lists) {
            reached.listed += await pair.list(query, limit, scan)
            for (const by of ['waiting', 'oldest'] as const)
              await pair.both(store => store.topDevices(query, by, limit))
          }
          for (const [reach, condition, offset] of searches) {
            const { total } = await pair.both(store => store.searchDevices(ORG, reach, condition, offset, 3))
            reached.found += total
            reached.missed += DEVICES - total
          }
          for (const productKeys of [null, ...products]) {
            await pair.both(store => store.counts(ORG, productKeys))
            await pair.both(store => store.waitingDevices(ORG, productKeys, 1, 4))
          }
        } finally {
          await pair.store.close()
          rmSync(place, { recursive: true })
        }
      }),
      { numRuns: 25 },
    )
    // The questions found something, and not everything: otherwise they would agree about nothing.
    expect(Math.min(...Object.values(reached))).toBeGreaterThan(100)
  })
})

describe('the questions on SQLite', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-views-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  /** What the planner does for each question of a view, but for lists of parameters, which are no tables. */
  function plansOf(db: ReturnType<typeof openFile>, asking: Asking<unknown>): string[] {
    const plans: string[] = []
    for (let answer: readonly (readonly unknown[])[] = []; ; ) {
      const step = asking.next(answer)
      if (step.done) return plans
      const { sql, parameters } = step.value
      const steps: { detail: string }[] = db.prepare(`explain query plan ${sql}`).all(...parameters)
      plans.push(steps.flatMap(({ detail }) => (detail.startsWith('SCAN json_each') ? [] : detail)).join('; '))
      const statement = db.prepare(sql)
      statement.setReturnArrays(true)
      answer = statement.all(...parameters)
    }
  }

  test('read pages by their key, and nothing that the view is not about', async () => {
    const store = openSqlite(join(folder, 'test.db'))
    await store.applyFleet(fleet([deviceRow('a1'), deviceRow('a2', { productKey: 'pk2' })]), T0)
    await stand(store, 1, { ...idle, waiting: [1], sending: true }, 1)
    await store.close()
    const db = openFile(join(folder, 'test.db'), readMigrations('sqlite'))
    try {
      const some = { reach: { productKeys: ['pk1'], assetIds: ['a2'] }, text: 'a' } as const
      const lists = [{}, { productKey: 'pk1' }, { status: 'inactive' as const }, { waiting: true }]
      for (const over of [...lists, ...lists.map(each => ({ ...each, ...some }))]) {
        const plans = plansOf(db, listDevices(dialect, { ...every, ...over }, 0, 10, 100))
        for (const plan of plans) expect(plan).not.toMatch(/SCAN|ORDER BY/)
        const isPlain = !('text' in over)
        expect(plans).toHaveLength(isPlain ? 2 : 3)
        // The first one finds where to stop, and reads no device.
        if (!isPlain) expect(plans[0]).toMatch(/COVERING INDEX device_|INDEX device_by_status/)
      }
      const named: DeviceCondition = { op: 'name', locale: null, text: 'a' }
      const keyed: DeviceCondition = { op: 'in', field: 'deviceKey', values: ['key-a1', 'key-a2'] }
      const asset: DeviceCondition = { op: 'in', field: 'assetId', values: ['a1'] }
      const tagged: DeviceCondition = { op: 'label', of: 'tags', key: 'k', values: ['v'] }
      const search = (condition: DeviceCondition | null) =>
        plansOf(db, searchDevices(dialect, ORG, 'all', condition, 0, 10))
      for (const condition of [null, named, tagged, { op: 'and' as const, terms: [named, tagged] }])
        for (const plan of search(condition)) expect(plan).not.toMatch(/SCAN|ORDER BY/)
      expect(search({ op: 'and', terms: [keyed, named] })[0]).toMatch(
        /sqlite_autoindex_device_2 \(product_key=\? AND device_key=\?\)/,
      )
      expect(search(asset)[0]).toMatch(/sqlite_autoindex_device_1 \(asset_id=\?\)/)
      const others = [
        counts(dialect, ORG, ['pk1', 'pk2']),
        tallies(dialect, ORG, null, 0, T0, 60_000),
        waitingDevices(dialect, ORG, null, 0, 10),
        deviceName(1),
        deviceLine(dialect, 1),
      ]
      const read = others.flatMap(asking => plansOf(db, asking)).join('; ')
      // All that is sent and not answered is looked at, whosever it is.
      expect(read.replace('SCAN c USING COVERING INDEX command_one_sent', '')).not.toMatch(/SCAN|ORDER BY/)
      const [ids] = plansOf(db, topDevices(dialect, every, 'waiting', 5))
      expect(ids).toMatch(/^SEARCH d USING COVERING INDEX device_waiting \(org_id=\?\); USE TEMP B-TREE FOR ORDER BY$/)
    } finally {
      closeFile(db)
    }
  })
})
