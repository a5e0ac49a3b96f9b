// What applications changed of a fleet, and a fleet file that is applied afterwards; and names that are drawn.

import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { parseFleetFile } from '../src/fleet/file.ts'
import { Fleet } from '../src/fleet/fleet.ts'
import { newAssetId, newDeviceKey, newProductKey, newSecret, newUuid } from '../src/fleet/names.ts'
import { randomKey, Secrets } from '../src/fleet/secrets.ts'
import { openMemory } from '../src/store/memory.ts'
import type { Store } from '../src/store/store.ts'
import { fleetFile, ORG, PRODUCT } from './rig/server.ts'

let store: Store
let fleet: Fleet
const apply = async () => {
  const parsed = parseFleetFile(fleetFile(1), 'fleet.json')
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
  await fleet.apply(parsed.file, 1_000)
}
beforeEach(async () => {
  store = openMemory()
  fleet = new Fleet(store, new Secrets(randomKey()))
  await apply()
})
const row = async () => {
  const found = await store.product(PRODUCT)
  if (found === null) throw new Error('the product is there')
  return found
}

describe('a fleet file', () => {
  it('leaves what it has no words for', async () => {
    const changes = { productDesc: 'noted', productTags: { a: '1' }, biDirectionalAuth: true }
    expect(await fleet.registrar.updateProduct(ORG, PRODUCT, changes, 'me', 5_000)).toBeNull()
    await fleet.registrar.updateDevice({ assetId: 'a1' }, { description: 'kept', timezone: '+01:00' })
    await apply()
    expect(await fleet.registrar.product(ORG, PRODUCT)).toMatchObject({
      product: { biDirectionalAuth: false },
      notes: { productDesc: 'noted', productTags: { a: '1' }, updateBy: 'me', updateTime: 5_000, createTime: null },
    })
    expect(await store.deviceByAsset('a1')).toMatchObject({ description: 'kept', timezone: '+08:00' })
  })

  it('that is applied again changes no row', async () => {
    await fleet.registrar.updateProduct(ORG, PRODUCT, { productDesc: 'noted' }, 'me', 5_000)
    const before = await row()
    await apply()
    expect(await row()).toEqual(before)
  })

  it('heals a product whose row makes no sense', async () => {
    await store.changeProduct(await row(), { json: '{"productTags": 7}' })
    await expect(fleet.registrar.product(ORG, PRODUCT)).rejects.toThrow('apply its fleet file again')
    await apply()
    expect((await fleet.registrar.product(ORG, PRODUCT))?.notes.productTags).toEqual({})
  })
})

describe('a product', () => {
  it('that somebody changed meanwhile is changed as it is now', async () => {
    const first = await row()
    const product = store.product
    let looks = 0
    Object.assign(store, {
      product: async (productKey: string) => {
        looks += 1
        if (looks > 1) return product.call(store, productKey)
        await fleet.registrar.updateProduct(ORG, PRODUCT, { productDesc: 'by another' }, 'other', 2_000)
        return first
      },
    })
    expect(await fleet.registrar.updateProduct(ORG, PRODUCT, { productTags: { a: '1' } }, 'me', 3_000)).toBeNull()
    const { notes } = (await fleet.registrar.product(ORG, PRODUCT)) ?? {}
    expect(notes).toMatchObject({ productDesc: 'by another', productTags: { a: '1' }, updateBy: 'me' })
  })

  it('that is removed meanwhile stays removed', async () => {
    const made = await fleet.registrar.createProduct(
      ORG,
      {
        ...{ modelId: null, productType: 'Device', dataFormat: 'Json', productDesc: null, productTags: {} },
        productName: { defaultValue: 'x', i18nValue: {} },
        ...{ dynamicActivateEnabled: false, biDirectionalAuth: false },
      },
      'me',
      1,
    )
    if (typeof made !== 'string') throw new Error(made.message)
    const found = await store.product(made)
    const product = store.product
    let looks = 0
    Object.assign(store, {
      product: async (productKey: string) => {
        looks += 1
        if (looks > 1) return product.call(store, productKey)
        await store.removeProduct(made)
        return found
      },
    })
    expect(await fleet.registrar.updateProduct(ORG, made, { productDesc: 'x' }, 'me', 2)).toMatchObject({ code: 11611 })
    expect(await product.call(store, made)).toBeNull()
  })
})

describe('names that are drawn', () => {
  it('have the lengths of the vendor', () => {
    for (const [make, length] of [
      [newAssetId, 8],
      [newProductKey, 8],
      [newDeviceKey, 10],
      [newSecret, 20],
    ] as const)
      expect(make(randomBytes)).toMatch(new RegExp(`^[A-Za-z0-9]{${length}}$`))
  })

  it('are UUIDs of version 4 for applications, whatever was drawn', () => {
    expect(newUuid(count => new Uint8Array(count))).toBe('00000000-0000-4000-8000-000000000000')
    expect(newUuid(count => new Uint8Array(count).fill(255))).toBe('ffffffff-ffff-4fff-bfff-ffffffffffff')
  })
})
