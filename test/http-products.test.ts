// Products over HTTP: created, looked up, searched, changed and deleted, by applications whose grants reach that far and no further.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { FLEET_PAGE_MAX, PRODUCTS_MAX } from '../src/core/limits.ts'
import { FleetCalls, newDevice, newProduct } from './rig/fleet-calls.ts'
import { type AppRig, BY_ASSET, BY_PRODUCT, expectRefused, NOBODY, startApp } from './rig/http.ts'
import { APP, Application, ORG, PRODUCT, READER, STRANGER } from './rig/server.ts'

let rig: AppRig
let app: FleetCalls
beforeEach(async () => {
  rig = await startApp()
  app = new FleetCalls(rig.app)
})
afterEach(() => rig.stop())

const as = (credentials: typeof APP, orgId = ORG) =>
  new FleetCalls(new Application(rig.url, credentials, () => rig.clock.now()), orgId)
const create = async (over: object = {}): Promise<string> => {
  const { code, data, msg } = await app.products('create', { ...newProduct, ...over })
  expect([code, msg]).toEqual([0, 'OK'])
  return data
}

describe('create', () => {
  it('answers the key of a product that is there with all that was said', async () => {
    const productKey = await create({
      productDesc: 'seven of them',
      productTags: { 'line/a': 'P7' },
      dynamicActivateEnabled: true,
    })
    expect(productKey).toMatch(/^[A-Za-z0-9]{8}$/)
    const { data } = await app.products('get', undefined, { productKey })
    expect(data).toEqual({
      orgId: ORG,
      productKey,
      productName: newProduct.productName,
      productSecret: expect.stringMatching(/^[A-Za-z0-9]{20}$/),
      productDesc: 'seven of them',
      productType: 'Device',
      dataFormat: 'Json',
      productTags: { 'line/a': 'P7' },
      modelId: 'demo',
      dynamicActivateEnabled: true,
      dynamicActiveEnabled: true,
      biDirectionalAuth: false,
      createBy: APP.appKey,
      createTime: rig.clock.now(),
      updateBy: APP.appKey,
      updateTime: rig.clock.now(),
      defaultValidDay: null,
      maxValidDay: null,
    })
  })

  it('takes null for a product without a model', async () => {
    const productKey = await create({ modelId: null })
    expect((await app.products('get', undefined, { productKey })).data.modelId).toBeNull()
  })

  it('seals the secret', async () => {
    const productKey = await create()
    const { data } = await app.products('get', undefined, { productKey })
    const row = await rig.store.product(productKey)
    expect(row?.secret).toMatch(/^v1:/)
    expect(JSON.stringify(row)).not.toContain(data.productSecret)
  })

  it.each([
    [{ productName: undefined }, 'productName:productName is missing'],
    [{ productName: { defaultValue: ' ' } }, 'productName.defaultValue:must not be blank'],
    [{ productName: { defaultValue: 'x'.repeat(5_000) } }, /productName:has \d+ characters/],
    [{ productName: 7 }, 'productName:'],
    [{ modelId: undefined }, 'modelId:modelId is missing'],
    [{ modelId: 'no model!' }, 'modelId:must be the id of a thing model, or null'],
    [{ productType: 'Router' }, 'productType:must be one of Device, Gateway'],
    [{ dataFormat: 'Xml' }, 'dataFormat:must be one of Json, Custom'],
    [{ biDirectionalAuth: 'no' }, 'biDirectionalAuth:must be true or false'],
    [{ biDirectionalAuth: undefined }, 'biDirectionalAuth:biDirectionalAuth is missing'],
    [{ productDesc: 'a\0b' }, 'productDesc:has a NUL'],
    [{ productTags: { 'two words': 'x' } }, 'productTags:must be at most'],
    [{ productTags: { a: ' x' } }, 'productTags.a:must not begin or end with a blank'],
    [{ productTags: { a: '\ud800' } }, 'productTags.a:has a NUL, or a half'],
  ])('refuses %j and names the field', async (over, text) => {
    const before = await app.products('search', {})
    expectRefused(await app.products('create', { ...newProduct, ...over }), 99400, text)
    expect((await app.products('search', {})).pagination).toEqual(before.pagination)
  })

  it('tolerates what it does not know, as the vendor does', async () => {
    await create({ nodeType: 'whatever', defaultValidDay: 7 })
  })

  it('refuses a model that does not exist, also one of another organization', async () => {
    expectRefused(await app.products('create', { ...newProduct, modelId: 'nothing' }), 11699, 'nothing not found')
    const stranger = as(STRANGER, 'oOther')
    expectRefused(await stranger.products('create', newProduct), 11699, 'demo not found')
  })

  it('needs full access to all devices', async () => {
    for (const caller of [BY_PRODUCT, BY_ASSET])
      expectRefused(await as(caller).products('create', newProduct), 99403, `orgId ${ORG} needs Device FullAccess`)
    expectRefused(await as(READER).products('create', newProduct), 99403, 'Device')
    expectRefused(await as(NOBODY).products('create', newProduct), 99403, 'Device')
  })

  it('stops at as many as an organization may have', async () => {
    const { length } = await rig.store.products(ORG)
    const json = (await rig.store.product(PRODUCT))?.json ?? ''
    const products = Array.from({ length: PRODUCTS_MAX - length }, (_, n) => {
      return { productKey: `more-${n}`, orgId: ORG, secret: 'sealed', modelId: null, json }
    })
    await rig.store.addFleet(
      { organizations: [], applications: [], models: [], products, devices: [] },
      rig.clock.now(),
    )
    expectRefused(await app.products('create', newProduct), 99400, `has ${PRODUCTS_MAX} products, more are not taken`)
  })
})

describe('get and search', () => {
  it('shows a product of a fleet file without what only applications say', async () => {
    const { data } = await app.call('products', 'get', undefined, { productKey: PRODUCT }, 'GET')
    expect(data).toMatchObject({
      productKey: PRODUCT,
      productSecret: 'k2vEY1LRMJl',
      createBy: null,
      createTime: null,
      productTags: {},
    })
  })

  it('shows the secret to those with full access to all of the product only', async () => {
    const secretFor = async (caller: typeof APP) =>
      (await as(caller).products('get', undefined, { productKey: PRODUCT })).data
    expect(await secretFor(BY_PRODUCT)).toHaveProperty('productSecret')
    expect(await secretFor(READER)).not.toHaveProperty('productSecret')
  })

  it('refuses what does not exist, is not named, or is not granted', async () => {
    expectRefused(
      await app.products('get', undefined, { productKey: 'nothing' }),
      11611,
      'productKey nothing not found',
    )
    expectRefused(await app.products('get'), 99400, 'productKey:productKey is missing')
    // Of another organization: it is not there.
    expectRefused(await app.products('get', undefined, { productKey: 'otherPk' }), 11611, 'not found')
    expectRefused(await as(BY_PRODUCT).products('get', undefined, { productKey: 'freePk' }), 99403, 'product freePk')
    expectRefused(await as(BY_ASSET).products('get', undefined, { productKey: PRODUCT }), 99403, `product ${PRODUCT}`)
  })

  it('finds by fields, names and tags', async () => {
    const tagged = await create({ productTags: { line: 'P7', hall: 'north' } })
    const other = await create({ modelId: null, productName: { defaultValue: 'Valve', i18nValue: { zh_CN: '阀' } } })
    const found = async (expression: string) => {
      const { code, msg, data } = await app.products('search', { expression })
      expect([code, msg]).toEqual([0, 'OK'])
      return data.map(({ productKey }: { productKey: string }) => productKey).sort()
    }
    expect(await found(`productKey = '${tagged}'`)).toEqual([tagged])
    expect(await found(`productKey in ('${tagged}', "${other}")`)).toEqual([tagged, other].sort())
    expect(await found("modelId = 'demo'")).toEqual([PRODUCT, tagged].sort())
    expect(await found("productTags.line = 'P7'")).toEqual([tagged])
    expect(await found("productTags.line = 'P8'")).toEqual([])
    expect(await found('exists(productTags.hall)')).toEqual([tagged])
    expect(await found(`not exists(productTags.hall) and modelId = 'demo'`)).toEqual([PRODUCT])
    expect(await found("productName.zh_CN like '阀' OR productName like 'nothing'")).toEqual([other])
    expect(await found("productName.default like 'VALVE'")).toEqual([other])
    expect(await found(`productType = 'Gateway'`)).toEqual([])
  })

  it('pages by key, ten at a time', async () => {
    const made = await Promise.all(Array.from({ length: 12 }, () => create()))
    const first = await app.products('search', {})
    expect(first.data).toHaveLength(10)
    expect(first.pagination).toEqual({ sortedBy: null, pageNo: 1, pageSize: 10, totalSize: 15 })
    const second = await app.products('search', { pagination: { pageNo: 2, pageSize: 10 } })
    const keys = [...first.data, ...second.data].map(({ productKey }) => productKey)
    expect(keys).toEqual([...keys].sort())
    expect(keys).toEqual(expect.arrayContaining(made))
    expectRefused(
      await app.products('search', { pagination: { pageSize: FLEET_PAGE_MAX + 1 } }),
      99400,
      'pagination.pageSize:must be an integer from 1 to 200',
    )
  })

  it('shows what the grants cover, and nothing of another organization', async () => {
    const keys = async (caller: FleetCalls) => {
      const { code, data } = await caller.products('search', {})
      expect(code).toBe(0)
      return data.map(({ productKey }: { productKey: string }) => productKey)
    }
    expect(await keys(as(BY_PRODUCT))).toEqual([PRODUCT])
    expect(await keys(as(BY_ASSET))).toEqual([])
    expect(await keys(as(STRANGER, 'oOther'))).toEqual(['otherPk'])
    expectRefused(await as(STRANGER).products('search', {}), 99403, ORG)
  })

  it.each([
    ["colour = 'red'", 'expected productKey, modelId, productType, productName, productTags.KEY, exists, not or ('],
    ["productName = 'Pump'", 'expected like'],
    ["productType = 'Router'", 'expected "Device" or "Gateway"'],
    ["productTags. = 'x'", 'expected productKey'],
    ['exists(modelId)', 'expected such as productTags.KEY'],
    ['modelId in ()', 'expected a value'],
    ['not', 'expected productKey'],
  ])('refuses the expression %s', async (expression, text) => {
    expectRefused(await app.products('search', { expression }), 99400, text)
  })
})

describe('update', () => {
  it('changes what is said and leaves the rest', async () => {
    const productKey = await create({ productDesc: 'old', productTags: { a: '1', b: '2' } })
    const before = (await app.products('get', undefined, { productKey })).data
    await rig.advance(5_000)
    const answer = await app.products(
      'update',
      { productDesc: 'new', productTags: { c: '3' }, biDirectionalAuth: true, productName: null },
      { productKey },
    )
    expect(answer).toMatchObject({ code: 0, data: productKey })
    const after = (await app.products('get', undefined, { productKey })).data
    expect(after).toEqual({
      ...before,
      productDesc: 'new',
      productTags: { c: '3' },
      biDirectionalAuth: true,
      updateTime: before.createTime + 5_000,
    })
  })

  it('of a product of a fleet file says who did it, and leaves the rest as the file has it', async () => {
    await app.products('update', { productDesc: 'noted' }, { productKey: PRODUCT })
    const { data } = await app.products('get', undefined, { productKey: PRODUCT })
    expect(data).toMatchObject({
      productDesc: 'noted',
      createTime: null,
      updateBy: APP.appKey,
      productName: { defaultValue: 'Demo' },
    })
    expect((await rig.store.product(PRODUCT))?.modelId).toBe('demo')
  })

  it('refuses what a product is for good', async () => {
    expectRefused(
      await app.products('update', { modelId: 'typed' }, { productKey: PRODUCT }),
      99400,
      'modelId:cannot be changed, it is demo',
    )
    expectRefused(
      await app.products('update', { productType: 'Gateway' }, { productKey: PRODUCT }),
      99400,
      'productType:cannot be changed',
    )
    expect((await app.products('update', { modelId: 'demo', dataFormat: 'Json' }, { productKey: PRODUCT })).code).toBe(
      0,
    )
  })

  it('at once both count', async () => {
    const productKey = await create()
    const answers = await Promise.all([
      app.products('update', { productDesc: 'said' }, { productKey }),
      app.products('update', { productTags: { a: '1' } }, { productKey }),
      app.products('update', { biDirectionalAuth: true }, { productKey }),
    ])
    expect(answers.map(({ code }) => code)).toEqual([0, 0, 0])
    const { data } = await app.products('get', undefined, { productKey })
    expect(data).toMatchObject({ productDesc: 'said', productTags: { a: '1' }, biDirectionalAuth: true })
  })

  it('needs full access to the product', async () => {
    expect((await as(BY_PRODUCT).products('update', { productDesc: 'x' }, { productKey: PRODUCT })).code).toBe(0)
    expectRefused(
      await as(BY_PRODUCT).products('update', {}, { productKey: 'freePk' }),
      99403,
      'product freePk needs Device FullAccess',
    )
    expectRefused(await as(READER).products('update', {}, { productKey: PRODUCT }), 99403, 'Device')
    expectRefused(await app.products('update', {}, { productKey: 'otherPk' }), 11611, 'not found')
  })
})

describe('delete', () => {
  it('removes one without devices', async () => {
    const productKey = await create()
    expect(await app.products('delete', undefined, { productKey })).toMatchObject({ code: 0, data: productKey })
    expectRefused(await app.products('get', undefined, { productKey }), 11611, 'not found')
    expectRefused(await app.products('delete', undefined, { productKey }), 99404, 'not found')
  })

  it('refuses one with devices', async () => {
    expectRefused(await app.products('delete', undefined, { productKey: PRODUCT }), 11619, 'still has devices')
    expect((await app.products('get', undefined, { productKey: PRODUCT })).code).toBe(0)
  })

  it('does not do on a misunderstanding what cannot be undone', async () => {
    const productKey = await create()
    expectRefused(
      await app.products('delete', { productKey: 'freePk' }, { productKey }),
      99400,
      'body:this action takes no body',
    )
    expectRefused(await app.products('delete', undefined, { productKey, assetId: 'a1' }), 99400, 'assetId')
    expectRefused(await app.products('delete'), 99400, 'productKey:productKey is missing')
    expect((await app.products('get', undefined, { productKey })).code).toBe(0)
  })

  it('of a product that is not granted, or of another organization, does nothing', async () => {
    expectRefused(await as(BY_PRODUCT).products('delete', undefined, { productKey: 'freePk' }), 99403, 'freePk')
    expectRefused(await app.products('delete', undefined, { productKey: 'otherPk' }), 99404, 'not found')
    expect(await rig.store.product('otherPk')).not.toBeNull()
  })

  it('and a device that is created at the same time: one of them is first', async () => {
    for (let round = 0; round < 10; round += 1) {
      const productKey = await create()
      const [device, deletion] = await Promise.all([
        app.devices('create', newDevice(productKey)),
        app.products('delete', undefined, { productKey }),
      ])
      if (deletion.code === 0) expect([11611]).toContain(device.code)
      else expect([device.code, deletion.code]).toEqual([0, 11619])
    }
  })
})
