// What applications and the administrator change, on every store: changes that are made from what is on record and written only where it is so still, and
// what becomes of a device in whose place another one comes. The rest of the registry is in store.test.ts and store-devices.test.ts.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FleetConflict, type Store } from '../src/store/store.ts'
import { addDevices, changeOf, commit, created, id, loadOne, ORG, put, stores, T0 } from './rig/store.ts'

describe.each(stores)('$name store', ({ open, stop }) => {
  let folder: string
  let store: Store
  let device: number
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-registrar-'))
    store = await open(folder)
    const devices = await addDevices(store, 'a1', 'a2')
    device = devices[0]!
  })
  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true })
  })
  afterAll(stop)

  const application = async () => {
    const row = await store.application('app1')
    if (row === null) throw new Error('the application is there')
    return row
  }
  const product = async () => {
    const row = await store.product('pk1')
    if (row === null) throw new Error('the product is there')
    return row
  }

  describe('changeApplication', () => {
    const read = [{ resource: 'Asset', actions: ['Read'], scope: { productKeys: ['pk1'] } }]

    test('writes where the row is what it was taken for', async () => {
      const from = await application()
      expect(await store.changeApplication(from, { secret: from.secret, grants: read })).toBe(true)
      expect(await application()).toEqual({ ...from, grants: read })
      // What it was made from is old now, by its grants or by its secret.
      expect(await store.changeApplication(from, { secret: 'other', grants: [] })).toBe(false)
      expect(await store.changeApplication({ ...from, secret: 'x', grants: read }, { secret: 'y', grants: [] })).toBe(
        false,
      )
      expect(await application()).toEqual({ ...from, grants: read })
    })

    test('ends the tokens with another secret, and with nothing else', async () => {
      await store.saveToken('t1', 'app1', T0 + 60_000)
      await store.saveToken('t2', 'another', T0 + 60_000)
      const from = await application()
      await store.changeApplication(from, { secret: from.secret, grants: read })
      expect(await store.token('t1')).not.toBeNull()
      expect(await store.changeApplication(await application(), { secret: 'sealed anew', grants: read })).toBe(true)
      expect(await store.token('t1')).toBeNull()
      expect(await store.token('t2')).not.toBeNull()
    })

    test('does not bring back what was removed', async () => {
      const from = await application()
      expect(await store.removeApplication('app1')).toBe(true)
      expect(await store.changeApplication(from, { secret: 'x', grants: [] })).toBe(false)
      expect(await store.application('app1')).toBeNull()
    })

    test('of many at once lets each through once', async () => {
      const from = await application()
      const writes = await Promise.all(
        Array.from({ length: 5 }, (_, n) => store.changeApplication(from, { secret: `s${n}`, grants: [] })),
      )
      expect(writes.filter(Boolean)).toHaveLength(1)
      expect((await application()).secret).toBe(`s${writes.indexOf(true)}`)
    })
  })

  describe('changeProduct', () => {
    test('writes where the row is what it was taken for, and brings nothing back', async () => {
      const from = await product()
      expect(await store.changeProduct(from, { json: '{"productType":"Gateway"}' })).toBe(true)
      expect(await product()).toEqual({ ...from, json: '{"productType":"Gateway"}' })
      expect(await store.changeProduct(from, { json: '{}' })).toBe(false)
      await expect(store.removeProduct('pk1')).rejects.toThrow(FleetConflict)
      const gone = { productKey: 'pk9', orgId: ORG, secret: 's', modelId: null, json: '{}' }
      await store.addFleet({ organizations: [], applications: [], models: [], products: [gone], devices: [] }, T0)
      expect(await store.removeProduct('pk9')).toBe(true)
      expect(await store.changeProduct(gone, { json: '{"a":1}' })).toBe(false)
      expect(await store.product('pk9')).toBeNull()
    })
  })

  describe('changeDevice', () => {
    const active = async () => {
      const queue = await loadOne(store, device)
      const here = { sessionNo: 3, sessionNode: 0, activeAt: T0, lastOnlineAt: T0 }
      expect(await commit(store, changeOf({ ...queue, ...here }))).toEqual([])
    }

    test('leaves connection and commands alone where the key stays', async () => {
      await active()
      await put(store, device, created(id(1)))
      const before = await loadOne(store, device)
      const to = { nameJson: '{"defaultValue":"new","i18nValue":{}}', timezone: 'Europe/Berlin', description: 'said' }
      expect(await store.changeDevice('a1', to)).toBe(true)
      expect(await store.deviceByAsset('a1')).toMatchObject({ ...to, activeAt: T0 })
      const after = await loadOne(store, device)
      expect(after).toEqual({ ...before, version: after.version })
      expect(after.version).toBeGreaterThan(before.version)
      expect(await store.changeDevice('a1', to)).toBe(true)
      expect((await loadOne(store, device)).version).toBe(after.version)
    })

    test('with another key is another device: not connected, not active, with the same commands', async () => {
      await active()
      await put(store, device, created(id(1)))
      const before = await loadOne(store, device)
      expect(await store.changeDevice('a1', { deviceKey: 'other', secret: 'sealed anew' })).toBe(true)
      const after = await loadOne(store, device)
      expect(after).toMatchObject({ sessionNode: null, activeAt: null, open: before.open })
      expect(await store.deviceByKeys('pk1', 'key-a1')).toBeNull()
      expect(await store.deviceByKeys('pk1', 'other')).toMatchObject({
        assetId: 'a1',
        secret: 'sealed anew',
        activeAt: null,
      })
      // A step that was decided before is refused.
      expect(await commit(store, changeOf(before))).toEqual([device])
    })

    test('refuses a key that is taken, and finds no device that is not there', async () => {
      const before = await store.deviceByAsset('a1')
      await expect(store.changeDevice('a1', { deviceKey: 'key-a2' })).rejects.toThrow(FleetConflict)
      expect(await store.deviceByAsset('a1')).toEqual(before)
      expect(await store.changeDevice('nothing', { description: 'x' })).toBe(false)
    })
  })
})
