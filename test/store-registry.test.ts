// What the registry of every store does for those who manage a fleet: lists, rows that must be new, what goes again, and what is changed of a device. Its
// other half, a fleet that is applied, is tested in store.test.ts; devices and gateways in store-devices.test.ts.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Nodes } from '../src/store/nodes.ts'
import { type ApplicationRow, FleetConflict, type FleetRows, type ProductRow, type Store } from '../src/store/store.ts'
import {
  addDevices,
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
  smallFleet,
  stores,
  T0,
} from './rig/store.ts'

const application = (appKey: string, over: Partial<ApplicationRow> = {}): ApplicationRow => ({
  appKey,
  orgId: ORG,
  secret: 'sealed',
  grants: [{ resource: 'Asset', actions: ['Read'], scope: { productKeys: ['pk1'] } }],
  ...over,
})
const product = (productKey: string, over: Partial<ProductRow> = {}): ProductRow => ({
  productKey,
  orgId: ORG,
  secret: 'sealed',
  modelId: null,
  json: '{"productType":"Device"}',
  ...over,
})

describe.each(stores)('$name', ({ open, stop }) => {
  let folder: string
  let store: Store & Nodes
  let device: number

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-registry-'))
    store = await open(folder)
    ;[device] = (await addDevices(store, 'a1', 'a2')) as [number, number]
    await store.applyFleet(fleetRows({ organizations: [{ orgId: 'o2', name: 'Two' }] }), T0)
  })
  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true })
  })
  afterAll(stop)

  const version = async () => (await loadOne(store, device)).version

  describe('lists', () => {
    test('organizations by their ids', async () => {
      await store.applyFleet(fleetRows({ organizations: [{ orgId: 'O', name: 'Zero' }] }), T0)
      const names = (await store.organizations()).map(({ orgId, name }) => `${orgId} ${name}`)
      expect(names).toEqual(['O Zero', 'o1 One', 'o2 Two'])
    })

    test('applications in the order in which they were added', async () => {
      const rows = ['z', 'b', 'a'].map(appKey => application(appKey))
      await store.applyFleet(fleetRows({ applications: [...rows, application('x', { orgId: 'o2' })] }), T0)
      await store.applyFleet(fleetRows({ applications: [application('b', { secret: 'new' })] }), T0)
      expect(await store.applications(ORG)).toEqual([
        smallFleet().applications[0],
        rows[0],
        { ...rows[1], secret: 'new' },
        rows[2],
      ])
      expect(await store.applications('o2')).toEqual([application('x', { orgId: 'o2' })])
      for (const none of ['none', 'o\0', '\ud800', '']) expect(await store.applications(none)).toEqual([])
    })

    test('models and products by their ids', async () => {
      const models = ['b', 'B', 'a'].map(modelId => ({ modelId, orgId: ORG, json: `{"of":"${modelId}"}` }))
      const products = ['b', 'B', 'a'].map(productKey => product(productKey, { modelId: 'a' }))
      await store.applyFleet(fleetRows({ models, products }), T0)
      expect(await store.models(ORG)).toEqual([models[1], models[2], models[0], smallFleet().models[0]])
      expect(await store.products(ORG)).toEqual([products[1], products[2], products[0], smallFleet().products[0]])
      for (const none of ['o2', 'o1\0', '\ud800', '']) {
        expect(await store.models(none)).toEqual([])
        expect(await store.products(none)).toEqual([])
      }
    })
  })

  test('a device is found by its number', async () => {
    expect(await store.deviceById(device)).toEqual(await store.deviceByAsset('a1'))
    for (const none of [0, -1, 99, 2 ** 31, Number.MAX_SAFE_INTEGER]) expect(await store.deviceById(none)).toBeNull()
  })

  describe('a fleet that must be new', () => {
    const whole = (): FleetRows =>
      fleetRows({
        organizations: [{ orgId: 'o3', name: 'Three' }],
        applications: [application('n1', { orgId: 'o3' })],
        models: [{ modelId: 'model1', orgId: 'o3', json: '{}' }],
        products: [product('n2', { orgId: 'o3', modelId: 'model1' })],
        devices: [
          deviceRow('n3', { orgId: 'o3', productKey: 'n2', gatewayAssetId: 'n4', description: 'on the roof' }),
          deviceRow('n4', { orgId: 'o3', productKey: 'n2' }),
        ],
      })

    test('is there with all that its rows say', async () => {
      const rows = whole()
      await store.addFleet(rows, T0 + 5)
      expect(await store.organization('o3')).toEqual(rows.organizations[0])
      expect(await store.applications('o3')).toEqual(rows.applications)
      expect(await store.models('o3')).toEqual(rows.models)
      expect(await store.products('o3')).toEqual(rows.products)
      expect(await store.deviceByAsset('n3')).toMatchObject({ ...rows.devices[0], createdAt: T0 + 5 })
      expect(await store.deviceByAsset('n4')).toMatchObject({
        ...rows.devices[1],
        createdAt: T0 + 5,
        description: null,
      })
      await store.addFleet(fleetRows(), T0)
    })

    const there: readonly (readonly [string, Partial<FleetRows>, RegExp])[] = [
      [
        'an organization',
        { organizations: [{ orgId: ORG, name: 'One' }] },
        /orgId "o1".*exists already; use another orgId/,
      ],
      [
        'an application',
        { applications: [smallFleet().applications[0]!] },
        /appKey "app1".*exists already; use another appKey/,
      ],
      ['a model', { models: [smallFleet().models[0]!] }, /modelId "model1".*exists already; use another modelId/],
      [
        'a product',
        { products: [smallFleet().products[0]!] },
        /productKey "pk1".*exists already; use another productKey/,
      ],
      ['a device', { devices: [deviceRow('a1')] }, /assetId "a1".*exists already; use another assetId/],
      [
        'keys of a device',
        { devices: [deviceRow('n9', { deviceKey: 'key-a1' })] },
        /"key-a1" is taken by assetId "a1"/,
      ],
      ['something twice', { products: [product('n9'), product('n9')] }, /productKey "n9".*listed twice/],
      [
        'a model that there is not',
        { products: [product('n9', { modelId: 'none' })] },
        /modelId "none" does not exist/,
      ],
      ['a text with NUL', { products: [product('n9', { json: '\0' })] }, /NUL/],
    ]
    test.each(there)('with %s that is there: refused, and none of it is added', async (_, rows, message) => {
      const fleet = whole()
      const merged = Object.fromEntries(
        Object.entries(fleet).map(([kind, of]) => [kind, [...of, ...(rows[kind as keyof FleetRows] ?? [])]]),
      ) as unknown as FleetRows
      const refusal = store.addFleet(merged, T0)
      await expect(refusal).rejects.toThrow(message)
      expect([await store.organization('o3'), await store.product('n2'), await store.deviceByAsset('n3')]).toEqual([
        null,
        null,
        null,
      ])
      expect(await store.application('app1')).toEqual(smallFleet().applications[0])
    })
  })

  describe('what goes again', () => {
    test('an application, with its tokens', async () => {
      await store.applyFleet(fleetRows({ applications: [application('app2')] }), T0)
      for (const appKey of ['app1', 'app2']) await store.saveToken(`token of ${appKey}`, appKey, T0 + 1_000)
      expect(await store.removeApplication('app1')).toBe(true)
      expect([
        await store.application('app1'),
        await store.token('token of app1'),
        await store.tokenOf('app1', T0),
      ]).toEqual([null, null, null])
      expect((await store.token('token of app2'))?.appKey).toBe('app2')
      expect(await store.firstApplication(ORG)).toEqual(application('app2'))
      for (const none of ['app1', 'app2\0', '\ud800', '']) expect(await store.removeApplication(none)).toBe(false)
    })

    test('a product without devices, and no other', async () => {
      await store.applyFleet(fleetRows({ products: [product('pk2')] }), T0)
      expect(await store.removeProduct('pk2')).toBe(true)
      expect(await store.product('pk2')).toBeNull()
      for (const none of ['pk2', 'pk1\0', '']) expect(await store.removeProduct(none)).toBe(false)
      await expect(store.removeProduct('pk1')).rejects.toThrow(FleetConflict)
      await expect(store.removeProduct('pk1')).rejects.toThrow(/productKey "pk1": has 2 devices; delete them first/)
      expect(await store.product('pk1')).not.toBeNull()
      for (const assetId of ['a1', 'a2']) {
        const queue = await loadOne(store, (await store.deviceByAsset(assetId))!.id)
        await commit(store, changeOf({ ...queue, deleted: true, eventSeq: 1 }, { events: [event(1, null)] }))
      }
      expect(await store.removeProduct('pk1')).toBe(true)
    })
  })

  describe('in the place of what was read', () => {
    const before = smallFleet().applications[0]!
    const to = { secret: 'other', grants: [{ resource: 'Device', actions: ['Read'], scope: 'all' as const }] }

    test('an application gets another secret, and its tokens end', async () => {
      await store.saveToken('t1', 'app1', T0 + 1_000)
      expect(await store.changeApplication(before, { ...before, grants: to.grants })).toBe(true)
      expect((await store.token('t1'))?.appKey).toBe('app1')
      expect(await store.changeApplication({ ...before, grants: to.grants }, to)).toBe(true)
      expect(await store.application('app1')).toEqual({ ...before, ...to })
      expect(await store.token('t1')).toBeNull()
      expect(await store.applications(ORG)).toHaveLength(1)
    })

    test.each([
      ['secret', { secret: 'x' }],
      ['grants', { grants: [] }],
      ['key', { appKey: 'app9' }],
    ])('not an application with another %s by now', async (_, other) => {
      await store.saveToken('t1', 'app1', T0 + 1_000)
      expect(await store.changeApplication({ ...before, ...other }, to)).toBe(false)
      expect([await store.application('app1'), await store.application('app9')]).toEqual([before, null])
      expect(await store.token('t1')).not.toBeNull()
    })

    test('a product gets another text, where it has the one that was read', async () => {
      const [read] = await store.products(ORG)
      expect(await store.changeProduct({ ...read!, json: '{}' }, { json: '{"a":1}' })).toBe(false)
      expect(await store.changeProduct({ ...read!, productKey: 'none' }, { json: '{"a":1}' })).toBe(false)
      expect(await store.product('pk1')).toEqual(read)
      expect(await store.changeProduct(read!, { json: '{"a":1}' })).toBe(true)
      expect(await store.product('pk1')).toEqual({ ...read, json: '{"a":1}' })
      await expect(store.changeProduct({ ...read!, json: '{"a":1}' }, { json: '\0' })).rejects.toThrow(/NUL/)
    })
  })

  describe('what is changed of a device', () => {
    beforeEach(async () => {
      await put(store, device, created(id(1)))
      const queue = await loadOne(store, device)
      await commit(store, changeOf({ ...queue, sessionNo: 1, sessionNode: 0, activeAt: T0, lastOnlineAt: T0 }))
    })

    test('is as it says, and all else stays', async () => {
      const before = await store.deviceByAsset('a1')
      const queue = await loadOne(store, device)
      const to = { nameJson: '{"defaultValue":"New","i18nValue":{}}', timezone: 'Europe/Berlin', description: 'moved' }
      expect(await store.changeDevice('a1', to)).toBe(true)
      expect(await store.deviceByAsset('a1')).toEqual({ ...before, ...to })
      expect(await loadOne(store, device)).toEqual({ ...queue, version: queue.version + 1 })
      expect(await store.changeDevice('a1', { description: null, secret: 'sealed anew' })).toBe(true)
      expect(await store.deviceByAsset('a1')).toEqual({ ...before, ...to, description: null, secret: 'sealed anew' })
      expect((await loadOne(store, device)).sessionNode, 'whoever is connected stays it').toBe(0)
    })

    test('is nothing where it says what is so', async () => {
      const { secret, deviceKey, nameJson, timezone } = deviceRow('a1')
      const before = await version()
      for (const same of [{}, { secret, deviceKey, nameJson, timezone, description: null }])
        expect(await store.changeDevice('a1', same)).toBe(true)
      expect(await version()).toBe(before)
    })

    test('with another key, it is one that was never active, and whoever is connected is not it; its commands stay', async () => {
      const queue = await loadOne(store, device)
      expect(await store.changeDevice('a1', { deviceKey: 'new' })).toBe(true)
      expect((await store.deviceByKeys('pk1', 'new'))?.id).toBe(device)
      expect(await store.deviceByKeys('pk1', 'key-a1')).toBeNull()
      expect(await loadOne(store, device)).toEqual({
        ...{ ...queue, version: queue.version + 1 },
        ...{ sessionNode: null, activeAt: null },
      })
      expect(await store.sessions([device])).toEqual([{ deviceId: device, sessionNo: 1, sessionNode: null }])
      expect(await store.wanting(0, 10)).toEqual([])
      expect(await store.changeDevice('a2', { deviceKey: 'key-a1' }), 'the old key is free').toBe(true)
      const stale = changeOf({ ...queue, eventSeq: queue.eventSeq + 1 })
      expect(await commit(store, stale), 'a step that was decided before is refused').toEqual([device])
    })

    test('is refused where the keys are taken, or a text has a NUL', async () => {
      const before = await store.deviceByAsset('a1')
      await expect(store.changeDevice('a1', { deviceKey: 'key-a2', timezone: 'UTC' })).rejects.toThrow(FleetConflict)
      await expect(store.changeDevice('a1', { deviceKey: 'key-a2' })).rejects.toThrow(
        /"key-a2" is taken by assetId "a2"/,
      )
      await expect(store.changeDevice('a1', { description: 'x\0' })).rejects.toThrow(/NUL/)
      expect(await store.deviceByAsset('a1')).toEqual(before)
      for (const none of ['none', 'a1\0', '\ud800'])
        expect(await store.changeDevice(none, { timezone: 'UTC' })).toBe(false)
    })

    test('what a fleet does not say of its description stays', async () => {
      await store.changeDevice('a1', { description: 'kept' })
      const before = await version()
      await store.applyFleet(fleetRows({ devices: [deviceRow('a1')] }), T0)
      expect(await version()).toBe(before)
      await store.applyFleet(fleetRows({ devices: [deviceRow('a1', { timezone: 'UTC' })] }), T0 + 9)
      expect(await store.deviceByAsset('a1')).toMatchObject({ description: 'kept', timezone: 'UTC', createdAt: T0 })
      await store.applyFleet(fleetRows({ devices: [deviceRow('a1', { description: null })] }), T0)
      expect(await store.deviceByAsset('a1')).toMatchObject({ description: null })
    })
  })
})
