// Devices over HTTP: created, one and many, looked up, searched, counted, changed, replaced and deleted, with real engines, stores and MQTT connections.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  ATTRIBUTES_MAX_PER_DEVICE,
  NEW_NAMES_ATTEMPTS,
  REGISTER_MAX_DEVICES,
  REGISTER_UP_TO_DEVICES,
} from '../src/core/limits.ts'
import { Fleet } from '../src/fleet/fleet.ts'
import { randomKey, Secrets } from '../src/fleet/secrets.ts'
import { StoreUnavailable } from '../src/store/nodes.ts'
import { SearchesFull } from '../src/store/views.ts'
import { FleetCalls, newDevice, newProduct } from './rig/fleet-calls.ts'
import { type AppRig, BY_ASSET, BY_PRODUCT, expectRefused, startApp } from './rig/http.ts'
import {
  type APP,
  Application,
  fleetFile,
  ORG,
  PRODUCT,
  READER,
  type Rig,
  STRANGER,
  startRig,
  TestDevice,
} from './rig/server.ts'
import { deviceRow } from './rig/store.ts'

let rig: AppRig
let app: FleetCalls
beforeEach(async () => {
  rig = await startApp()
  app = new FleetCalls(rig.app)
})
afterEach(() => rig.stop())

const as = (credentials: typeof APP, orgId = ORG) =>
  new FleetCalls(new Application(rig.url, credentials, () => rig.clock.now()), orgId)

/** A model with attributes, one of them required without a default, one with. */
async function attributed(): Promise<string> {
  const model = {
    modelId: 'attributed',
    attributes: {
      serial: { dataType: 'STRING', isRequired: true },
      power: { dataType: 'INT', isRequired: true, defaultValue: 7 },
      hall: { dataType: 'STRING' },
    },
  }
  expect((await app.models('create', model)).code).toBe(0)
  return (await app.products('create', { ...newProduct, modelId: 'attributed' })).data
}

describe('create', () => {
  it('answers keys and secret of a device that is there with all that was said', async () => {
    const productKey = await attributed()
    const asked = newDevice(productKey, {
      deviceKey: 'pump-7',
      timezone: 'Europe/Berlin',
      deviceDesc: 'behind the boiler',
      deviceAttributes: { serial: 'S-1', hall: null },
      deviceTags: { region: 'north', 'a/b': 'x' },
    })
    const { code, data } = await app.devices('create', asked)
    expect(code).toBe(0)
    expect(data).toEqual({
      assetId: expect.stringMatching(/^[A-Za-z0-9]{8}$/),
      productKey,
      deviceKey: 'pump-7',
      deviceSecret: expect.stringMatching(/^[A-Za-z0-9]{20}$/),
    })
    const shown = await app.devices('get', undefined, { assetId: data.assetId })
    expect(shown.data).toEqual({
      ...{ orgId: ORG, assetId: data.assetId, modelId: 'attributed', modelIdPath: '/attributed' },
      ...{ productKey, productName: newProduct.productName, productType: 'Device', dataFormat: 'Json' },
      ...{ deviceKey: 'pump-7', deviceName: asked.deviceName, deviceSecret: data.deviceSecret },
      ...{ deviceDesc: 'behind the boiler', timezone: 'Europe/Berlin' },
      deviceAttributes: { serial: 'S-1', power: 7 },
      deviceTags: { region: 'north', 'a/b': 'x' },
      ...{ createTime: rig.clock.now(), status: 'inactive', activeTime: 0, lastOnlineTime: 0, lastOfflineTime: 0 },
      ...{ measurepointLastUpdate: null, eventLastUpdate: null, attributeLastUpdate: null, featureLastUpdate: null },
    })
    expect((await rig.store.deviceByAsset(data.assetId))?.secret).toMatch(/^v1:/)
  })

  it('draws a deviceKey where none is given', async () => {
    const { data } = await app.devices('create', newDevice(PRODUCT))
    expect(data.deviceKey).toMatch(/^[A-Za-z0-9]{10}$/)
    const again = await app.devices('create', newDevice(PRODUCT, { deviceKey: null }))
    expect(again.data.deviceKey).not.toBe(data.deviceKey)
  })

  it.each([
    [{ productKey: undefined }, 99400, 'productKey:productKey is missing'],
    [{ timezone: undefined }, 99400, 'timezone:timezone is missing'],
    [{ timezone: 'Mars/Base' }, 99400, 'timezone:must be an offset such as'],
    [{ deviceName: undefined }, 99400, 'deviceName:deviceName is missing'],
    [{ deviceName: { defaultValue: '' } }, 99400, 'deviceName.defaultValue:must not be blank'],
    [{ deviceKey: 'no/slash' }, 99400, 'deviceKey:'],
    [{ deviceKey: PRODUCT }, 99400, 'deviceKey:must not be a productKey'],
    [{ deviceDesc: 'x'.repeat(2_000) }, 99400, 'deviceDesc:'],
    [{ deviceTags: { a: 7 } }, 99400, 'deviceTags:must be at most'],
    [{ deviceAttributes: { nope: 1 } }, 99400, 'deviceAttributes:the product\'s model has no attribute "nope"'],
    [{ deviceAttributes: [] }, 99400, 'deviceAttributes:must be an object'],
    [{ productKey: 'nothing' }, 11611, 'productKey nothing not found'],
    [{ productKey: 'otherPk' }, 11611, 'productKey otherPk not found'],
    [{ deviceKey: 'd1' }, 11702, `product ${PRODUCT} has a device d1 already`],
  ])('refuses %j and adds nothing', async (over, code, text) => {
    const before = await rig.store.countDevices(PRODUCT)
    expectRefused(await app.devices('create', newDevice(PRODUCT, over)), code, text)
    expect(await rig.store.countDevices(PRODUCT)).toBe(before)
  })

  it('asks for the attributes that the model requires', async () => {
    const productKey = await attributed()
    expectRefused(
      await app.devices('create', newDevice(productKey)),
      99400,
      'deviceAttributes.serial:serial is missing',
    )
    expectRefused(
      await app.devices('create', newDevice(productKey, { deviceAttributes: { serial: 'S', power: 'much' } })),
      99400,
      'deviceAttributes:power',
    )
  })

  it('needs full access to the product', async () => {
    expect((await as(BY_PRODUCT).devices('create', newDevice(PRODUCT))).code).toBe(0)
    expectRefused(
      await as(BY_PRODUCT).devices('create', newDevice('freePk')),
      99403,
      'product freePk needs Device FullAccess',
    )
    expectRefused(await as(BY_ASSET).devices('create', newDevice(PRODUCT)), 99403, `product ${PRODUCT}`)
    expectRefused(await as(READER).devices('create', newDevice(PRODUCT)), 99403, 'Device')
  })

  it('twice at once makes one device of a key', async () => {
    for (let round = 0; round < 20; round += 1) {
      const asked = newDevice(PRODUCT, { deviceKey: `raced-${round}` })
      const answers = await Promise.all([1, 2, 3].map(() => app.devices('create', asked)))
      expect(answers.map(({ code }) => code).sort()).toEqual([0, 11702, 11702])
      const [made] = answers.filter(({ code }) => code === 0)
      expect((await rig.store.deviceByKeys(PRODUCT, `raced-${round}`))?.assetId).toBe(made?.data.assetId)
    }
  })

  it('stops at as many as a product may have', async () => {
    const has = await rig.store.countDevices('freePk')
    const rows = Array.from({ length: REGISTER_UP_TO_DEVICES - has - 1 }, (_, n) =>
      deviceRow(`many-${n}`, { orgId: ORG, productKey: 'freePk', deviceKey: `many-${n}` }),
    )
    await rig.store.addDevices(rows, rig.clock.now())
    const two = {
      deviceList: [newDevice('freePk', { deviceKey: 'last' }), newDevice('freePk', { deviceKey: 'beyond' })],
    }
    const { data } = await app.devices('batchCreate', two)
    expect(data.map(({ code }: { code: number }) => code)).toEqual([0, 11739])
    expectRefused(await app.devices('create', newDevice('freePk')), 11739, `has ${REGISTER_UP_TO_DEVICES} devices`)
  })

  it('that met no store tells whether the device was made', async () => {
    const { store } = rig
    const saveData = store.saveData
    Object.assign(store, { saveData: () => Promise.reject(new StoreUnavailable('gone')) })
    const tagged = newDevice(PRODUCT, { deviceKey: 'half', deviceTags: { a: '1' } })
    const answer = await app.devices('create', tagged)
    expect(answer).toMatchObject({ status: 503, code: 99504, data: { deviceKey: 'half' } })
    Object.assign(store, { saveData })
    expect((await app.devices('update', { deviceTags: { a: '1' } }, { assetId: answer.data.assetId })).code).toBe(0)
    expect((await app.devices('get', undefined, { assetId: answer.data.assetId })).data.deviceTags).toEqual({ a: '1' })
  })
})

describe('a drawn name', () => {
  it('that is taken again and again is given up', async () => {
    let drawn = 0
    const stuck = (count: number) => {
      drawn += 1
      return new Uint8Array(count)
    }
    const fleet = new Fleet(rig.store, new Secrets(randomKey()), stuck)
    const draft = { orgId: ORG, productKey: PRODUCT, deviceKey: null, timezone: '+08:00', description: null }
    const named = { ...draft, deviceName: { defaultValue: 'x', i18nValue: {} } }
    const [first] = await fleet.registrar.createDevices([named], 1)
    expect(first).toMatchObject({ ok: true, deviceKey: 'AAAAAAAAAA' })
    const before = drawn
    const [second] = await fleet.registrar.createDevices([named], 1)
    expect(second).toMatchObject({ ok: false, code: 11714 })
    expect(drawn - before).toBe(3 * NEW_NAMES_ATTEMPTS)
  })
})

it('a search that the store has no room for is told to come again', async () => {
  const { store } = rig
  const { searchDevices } = store
  const full = new SearchesFull('16 searches wait already; come again in some seconds')
  Object.assign(store, { searchDevices: () => Promise.reject(full) })
  const answer = await app.devices('search', { expression: "deviceName like 'x'" })
  expect(answer).toMatchObject({ status: 503, code: 99503, msg: `Service unavailable: ${full.message}`, data: null })
  Object.assign(store, { searchDevices })
  expect((await app.devices('search', {})).code).toBe(0)
})

describe('batchCreate', () => {
  it('makes each by itself and tells of each', async () => {
    const answer = await app.devices('batchCreate', {
      deviceList: [
        newDevice(PRODUCT, { deviceKey: 'b1', deviceTags: { n: '1' } }),
        newDevice(PRODUCT, { deviceKey: 'd1' }),
        newDevice(PRODUCT, { deviceKey: 'b1' }),
        newDevice('nothing'),
        newDevice(PRODUCT, { timezone: 'x' }),
        'no device',
        newDevice('freePk', { deviceAttributes: { anything: [1, 2] } }),
      ],
    })
    expect(answer).toMatchObject({ code: 0, successSize: 2, totalSize: 7 })
    expect(answer.data.map(({ code }: { code: number }) => code)).toEqual([0, 11702, 11702, 11611, 99400, 99400, 0])
    expect(answer.data[2]).toMatchObject({ msg: `${PRODUCT}/b1 is there twice`, data: null })
    const [first, , , , , , last] = answer.data
    expect((await app.devices('get', undefined, { assetId: first.data.assetId })).data).toMatchObject({
      deviceKey: 'b1',
      deviceTags: { n: '1' },
    })
    expect((await app.devices('get', undefined, { assetId: last.data.assetId })).data.deviceAttributes).toEqual({
      anything: [1, 2],
    })
  })

  it('takes as many as it says, in one body', async () => {
    const deviceList = Array.from({ length: REGISTER_MAX_DEVICES }, (_, n) =>
      newDevice(PRODUCT, { deviceKey: `${'k'.repeat(58)}-${n}`, deviceTags: { n: 'x'.repeat(60) } }),
    )
    const bytes = Buffer.byteLength(JSON.stringify({ deviceList }))
    expect(bytes).toBeGreaterThan(200_000)
    expect(await app.devices('batchCreate', { deviceList })).toMatchObject({ code: 0, successSize: 1_000 })
  })

  it('is where the vendor has it as well', async () => {
    const list = { deviceList: [newDevice(PRODUCT, { deviceKey: 'old' })] }
    const answer = await app.call('/connect-service/v2.0/devices', 'batchCreate', list)
    expect(answer).toMatchObject({ code: 0, successSize: 1 })
  })

  it.each([[undefined], [{}], [{ deviceList: [] }], [{ deviceList: 'b1' }]])('refuses %j as a whole', async body => {
    expectRefused(await app.devices('batchCreate', body), 99400, 'deviceList')
  })

  it('refuses by item what the caller may not do', async () => {
    const list = { deviceList: [newDevice(PRODUCT, { deviceKey: 'mine' }), newDevice('freePk')] }
    const { data } = await as(BY_PRODUCT).devices('batchCreate', list)
    expect(data.map(({ code }: { code: number }) => code)).toEqual([0, 99403])
  })
})

describe('get', () => {
  it('tells when something was last reported', async () => {
    const { id = 0 } = (await rig.store.deviceByAsset('free1')) ?? {}
    const value = (pointId: string, at: number) => ({ pointId, valueJson: '1', quality: null, at })
    await rig.store.saveData([
      { type: 'measurepoints', deviceId: id, values: [value('a', 5_000), value('b', 7_000)] },
      { type: 'event', deviceId: id, event: { eventId: 'e', outputJson: '{}', at: 6_000 } },
    ])
    const { data } = await app.devices('get', undefined, { assetId: 'free1' })
    expect(data).toMatchObject({
      measurepointLastUpdate: 7_000,
      eventLastUpdate: 6_000,
      featureLastUpdate: 7_000,
      attributeLastUpdate: null,
    })
  })

  it('shows the secret to those with full access only', async () => {
    const keysOf = async (caller: typeof APP, assetId: string) =>
      Object.keys((await as(caller).devices('get', undefined, { assetId })).data)
    expect(await keysOf(BY_ASSET, 'a1')).toContain('deviceSecret')
    expect(await keysOf(BY_ASSET, 'a2')).not.toContain('deviceSecret')
    expect(await keysOf(READER, 'a1')).not.toContain('deviceSecret')
  })

  it('refuses what is not there or not granted', async () => {
    expectRefused(await app.devices('get', undefined, { assetId: 'other1' }), 99404, 'device not found')
    expectRefused(await as(BY_ASSET).devices('get', undefined, { assetId: 'a3' }), 99403, 'Device a3 needs Read')
  })
})

describe('search', () => {
  const keys = async (caller: FleetCalls, body: object) => {
    const { code, msg, data } = await caller.devices('search', body)
    expect([code, msg]).toEqual([0, 'OK'])
    return data.map(({ deviceKey }: { deviceKey: string }) => deviceKey)
  }

  it('finds the newest first, ten at a time', async () => {
    await rig.advance(10)
    await app.devices('create', newDevice(PRODUCT, { deviceKey: 'newest' }))
    const answer = await app.devices('search', {})
    expect(answer.data[0].deviceKey).toBe('newest')
    expect(answer.pagination).toEqual({ sortedBy: null, pageNo: 1, pageSize: 10, totalSize: 9 })
    const two = await app.devices('search', { pagination: { pageNo: 2, pageSize: 4 } })
    expect(two.data).toHaveLength(4)
    expect(two.data.map((each: object) => each)).toEqual(answer.data.slice(4, 8))
  })

  it('finds by everything that the vendor has', async () => {
    const tagged = await app.devices(
      'create',
      newDevice('freePk', {
        deviceKey: 'tagged',
        deviceName: { defaultValue: 'Old pump', i18nValue: { zh_CN: '旧泵' } },
        deviceTags: { region: 'north', 'a/b': 'x' },
        deviceAttributes: { power: 35.5, on: true, serial: '12' },
      }),
    )
    const { assetId } = tagged.data
    const found = (expression: string) => keys(app, { expression })
    expect(await found(`assetId = '${assetId}'`)).toEqual(['tagged'])
    expect(await found("deviceKey in ('tagged', 'd1')")).toEqual(expect.arrayContaining(['tagged', 'd1']))
    expect(await found("productKey = 'freePk' and deviceKey != 'free1'")).toEqual(['tagged'])
    expect((await found("modelId = 'typed'")).sort()).toEqual(['t1', 't2'])
    expect(await found("deviceTags.region = 'north'")).toEqual(['tagged'])
    expect(await found(`"deviceTags.a/b" = "x"`)).toEqual(['tagged'])
    expect(await found('"deviceAttributes.power"=35.50')).toEqual(['tagged'])
    expect(await found("deviceAttributes.power in (1, '35.5')")).toEqual(['tagged'])
    expect(await found('deviceAttributes.on = true')).toEqual(['tagged'])
    expect(await found("deviceAttributes.serial = '12'")).toEqual(['tagged'])
    expect(await found('deviceAttributes.serial = 12')).toEqual([])
    expect(await found('exists(deviceAttributes.power) AND NOT exists(deviceTags.none)')).toEqual(['tagged'])
    expect(await found("deviceName.zh_CN like '旧'")).toEqual(['tagged'])
    expect(await found("deviceName like 'OLD P'")).toEqual(['tagged'])
    expect(await found("productType = 'Gateway'")).toEqual([])
    expect(await found("status = 'inactive' and (deviceKey = 'tagged' or deviceKey = 'nothing')")).toEqual(['tagged'])
    expect(await found("status = 'online'")).toEqual([])
    await app.devices('disable', undefined, { assetId })
    expect(await found("status = 'disable'")).toEqual(['tagged'])
    expect(await found("status = 'disabled'")).toEqual(['tagged'])
  })

  it('projects', async () => {
    const { data } = await app.devices('search', {
      expression: "assetId = 'a1'",
      projection: ['deviceKey', 'deviceName.defaultValue'],
    })
    expect(data).toEqual([{ deviceKey: 'd1', deviceName: { defaultValue: 'd1' } }])
  })

  it('shows what the grants cover', async () => {
    expect((await keys(as(BY_ASSET), {})).sort()).toEqual(['d1', 'd2'])
    expect((await keys(as(BY_PRODUCT), {})).sort()).toEqual(['d1', 'd2', 'd3', 'd4', 'mqtt_01'])
    const { data } = await as(BY_ASSET).devices('search', {})
    expect(data.map((each: object) => 'deviceSecret' in each)).toEqual(
      data.map(({ assetId }: { assetId: string }) => assetId === 'a1'),
    )
    expect(await keys(as(STRANGER, 'oOther'), {})).toEqual(['other1'])
  })

  it('is not a way to make the server read without end', async () => {
    const { id = 0 } = (await rig.store.deviceByAsset('free1')) ?? {}
    const long = JSON.stringify('x'.repeat(16_000))
    const set = (from: number) => Array.from({ length: 200 }, (_, n) => [`attribute-${from + n}`, long] as const)
    for (const from of [0, 200])
      await rig.store.saveData([{ type: 'attributes', deviceId: id, set: set(from), remove: [] }])
    expect((await app.devices('get', undefined, { assetId: 'free1' })).data).toMatchObject({
      deviceAttributes: null,
      deviceTags: null,
    })
    expectRefused(await app.devices('search', {}), 99400, /pageSize:the attributes and tags would be 6\.\d MB/)
    expect(await keys(app, { expression: "deviceKey != 'free1'" })).toHaveLength(7)
  })

  it.each([
    ["status = 'asleep'", 'expected "online" or "offline" or "inactive" or "disabled"'],
    ['deviceAttributes.power = much', 'expected a number, true, false or a text in quotes'],
    ['deviceTags.a = ', 'expected a value, got the end'],
    ['exists(deviceName)', 'expected such as deviceAttributes.KEY'],
    ["colour = 'red'", 'expected modelId, productKey, deviceKey'],
  ])('refuses the expression %s', async (expression, text) => {
    expectRefused(await app.devices('search', { expression }), 99400, text)
  })
})

describe('getStats', () => {
  it('counts by status, of the organization, of a product, and of what the grants cover', async () => {
    await app.devices('disable', undefined, { assetId: 'a1' })
    const zero = { onlineCount: 0, offlineCount: 0 }
    const stats = async (caller: FleetCalls, query = {}) =>
      (await caller.call('devices', 'getStats', undefined, query, 'GET')).data
    expect(await stats(app)).toEqual({ ...zero, totalCount: 8, inactiveCount: 7, disabledCount: 1 })
    expect(await stats(app, { productKey: 'freePk' })).toEqual({
      ...zero,
      totalCount: 1,
      inactiveCount: 1,
      disabledCount: 0,
    })
    expect(await stats(as(BY_PRODUCT))).toEqual({ ...zero, totalCount: 5, inactiveCount: 4, disabledCount: 1 })
    expect(await stats(as(BY_ASSET), { productKey: PRODUCT })).toEqual({
      ...zero,
      totalCount: 2,
      inactiveCount: 1,
      disabledCount: 1,
    })
    expectRefused(await as(BY_PRODUCT).devices('getStats', undefined, { productKey: 'freePk' }), 99403, 'freePk')
    expectRefused(await app.devices('getStats', undefined, { productKey: 'otherPk' }), 11611, 'not found')
  })
})

describe('update', () => {
  it('changes what is said and leaves the rest', async () => {
    const made = newDevice('freePk', {
      deviceAttributes: { a: 1, b: 2 },
      deviceTags: { x: '1', y: '2' },
      deviceDesc: 'old',
    })
    const { assetId } = (await app.devices('create', made)).data
    const before = (await app.devices('get', undefined, { assetId })).data
    const answer = await app.devices(
      'update',
      {
        deviceAttributes: { b: null, c: [3] },
        deviceTags: { y: '3' },
        deviceName: { defaultValue: 'New name', i18nValue: { en_US: 'New name' } },
      },
      { assetId },
    )
    expect(answer).toMatchObject({ code: 0, data: null })
    expect((await app.devices('get', undefined, { assetId })).data).toEqual({
      ...before,
      deviceAttributes: { a: 1, c: [3] },
      deviceTags: { y: '3' },
      deviceName: { defaultValue: 'New name', i18nValue: { en_US: 'New name' } },
    })
    await app.devices('update', { timezone: 'Asia/Shanghai', deviceDesc: '' }, { assetId })
    expect((await app.devices('get', undefined, { assetId })).data).toMatchObject({
      timezone: 'Asia/Shanghai',
      deviceDesc: '',
    })
  })

  it('shows local times of commands in the new timezone', async () => {
    const calls = rig.app.on({ assetId: 'free1' })
    const { data } = await calls.set(1, { pendingTtl: '600' }, 'p')
    const hourOf = async () => (await calls.get(data.commandId)).data.createLocalTime
    const before = await hourOf()
    await app.devices('update', { timezone: '+05:00' }, { assetId: 'free1' })
    expect(Date.parse(`${await hourOf()}Z`) - Date.parse(`${before}Z`)).toBe(5 * 3_600_000)
  })

  it.each([
    [{ timezone: 'x' }, 'timezone:'],
    [{ deviceName: { defaultValue: ' ' } }, 'deviceName.defaultValue:'],
    [{ deviceDesc: 7 }, 'deviceDesc:'],
    [{ deviceTags: { a: 'x '.repeat(1) } }, 'deviceTags.a:must not begin or end'],
    [{ deviceAttributes: { '': 1 } }, 'deviceAttributes:'],
  ])('refuses %j and changes nothing', async (over, text) => {
    const before = (await app.devices('get', undefined, { assetId: 'free1' })).data
    expectRefused(await app.devices('update', { deviceTags: { new: '1' }, ...over }, { assetId: 'free1' }), 99400, text)
    expect((await app.devices('get', undefined, { assetId: 'free1' })).data).toEqual(before)
  })

  it('refuses more attributes than a device may have, and changes nothing', async () => {
    const { id = 0 } = (await rig.store.deviceByAsset('free1')) ?? {}
    const set = Array.from({ length: ATTRIBUTES_MAX_PER_DEVICE }, (_, n) => [`a${n}`, '1'] as const)
    await rig.store.saveData([{ type: 'attributes', deviceId: id, set, remove: [] }])
    const body = { deviceAttributes: { more: 1 }, deviceTags: { a: '1' }, deviceDesc: 'x' }
    expectRefused(
      await app.devices('update', body, { assetId: 'free1' }),
      99400,
      `deviceAttributes:the device would have more than ${ATTRIBUTES_MAX_PER_DEVICE}`,
    )
    expect((await app.devices('get', undefined, { assetId: 'free1' })).data).toMatchObject({
      deviceTags: {},
      deviceDesc: null,
    })
  })

  it('needs full access to the device', async () => {
    expect((await as(BY_ASSET).devices('update', { deviceDesc: 'x' }, { assetId: 'a1' })).code).toBe(0)
    expectRefused(
      await as(BY_ASSET).devices('update', { deviceDesc: 'x' }, { assetId: 'a2' }),
      99403,
      'Device a2 needs FullAccess',
    )
  })
})

describe('replaceDevice', () => {
  it('refuses the key that it has, one that is taken, and one that is a productKey', async () => {
    const replace = (newDeviceKey: unknown) => app.devices('replaceDevice', { newDeviceKey }, { assetId: 'a1' })
    expectRefused(await replace('d1'), 11704, 'is the key that the device has')
    expectRefused(await replace('d2'), 11702, `product ${PRODUCT} has a device d2 already`)
    expectRefused(await replace('freePk'), 99400, 'newDeviceKey:must not be a productKey')
    expectRefused(await replace('a b'), 99400, 'newDeviceKey:must be 1 to 64')
    expectRefused(await replace(undefined), 99400, 'newDeviceKey:newDeviceKey is missing')
    expect((await rig.store.deviceByAsset('a1'))?.deviceKey).toBe('d1')
  })

  it('by two devices that want one key gives it to one', async () => {
    for (let round = 0; round < 10; round += 1) {
      const answers = await Promise.all(
        ['a1', 'a2'].map(assetId => app.devices('replaceDevice', { newDeviceKey: `n${round}` }, { assetId })),
      )
      expect(answers.map(({ code }) => code).sort()).toEqual([0, 11702])
    }
  })

  it('keeps the commands and the data, and is inactive until the new one connects', async () => {
    const calls = rig.app.on({ assetId: 'a1' })
    const [commandId = ''] = await calls.queue(1)
    const { data } = await app.devices('replaceDevice', { newDeviceKey: 'other' }, { assetId: 'a1' })
    expect(data).toEqual({
      assetId: 'a1',
      productKey: PRODUCT,
      deviceKey: 'other',
      deviceSecret: expect.stringMatching(/^[A-Za-z0-9]{20}$/),
    })
    const shown = (await app.devices('get', undefined, { productKey: PRODUCT, deviceKey: 'other' })).data
    expect(shown).toMatchObject({ assetId: 'a1', status: 'inactive', deviceSecret: data.deviceSecret })
    expect((await calls.get(commandId)).data).toMatchObject({ state: 1, deviceKey: 'other' })
    expectRefused(await app.devices('get', undefined, { productKey: PRODUCT, deviceKey: 'd1' }), 99404, 'not found')
  })
})

describe('disable, enable, delete', () => {
  it('need full access to the device: to control it is not enough', async () => {
    for (const action of ['disable', 'enable', 'delete', 'replaceDevice'])
      expectRefused(await as(READER).devices(action, undefined, { assetId: 'a1' }), 99403, 'Device a1 needs FullAccess')
  })

  it('refuse what is so already', async () => {
    expectRefused(await app.devices('enable', undefined, { assetId: 'a1' }), 11794, 'enabled already')
    expect((await app.devices('disable', undefined, { assetId: 'a1' })).code).toBe(0)
    expectRefused(await app.devices('disable', undefined, { assetId: 'a1' }), 11794, 'disabled already')
  })

  it('settle what is queued and tell of it', async () => {
    const calls = rig.app.on({ assetId: 'a1' })
    const ids = await calls.queue(3)
    const answer = await app.devices('delete', undefined, { assetId: 'a1' })
    expect(answer).toMatchObject({ code: 0, data: null, settled: ids.map(commandId => ({ commandId, state: 2 })) })
    expectRefused(await app.devices('get', undefined, { assetId: 'a1' }), 99404, 'not found')
    // A new one under the same keys has a queue of its own.
    const { data } = await app.devices('create', newDevice(PRODUCT, { deviceKey: 'd1' }))
    expect(data.assetId).not.toBe('a1')
    expect((await rig.app.on({ assetId: data.assetId }).search()).data).toEqual([])
  })
})

describe('over MQTT', () => {
  let server: Rig
  beforeEach(async () => {
    server = await startRig([], fleetFile(2))
  })
  afterEach(() => server.stop())

  it('a device that was created logs in and gets its command', async () => {
    const fleet = new FleetCalls(server.app)
    const { data } = await fleet.devices('create', newDevice(PRODUCT))
    const calls = server.app.on({ assetId: data.assetId })
    const sent = await calls.set(5)
    const device = await new TestDevice(
      server.server.mqttUrl,
      data.deviceKey,
      {},
      PRODUCT,
      data.deviceSecret,
    ).connected()
    await device.count(1)
    expect(device.received[0]?.payload.params).toEqual({ Int_value: 5 })
    await calls.until(sent.data.commandId, 5)
    const { data: shown } = await fleet.devices('get', undefined, { assetId: data.assetId })
    expect(shown).toMatchObject({ status: 'online', activeTime: expect.any(Number) })
    expect(shown.lastOnlineTime).toBeGreaterThan(0)
    expect((await fleet.devices('search', { expression: "status = 'online'" })).data).toHaveLength(1)
    expect((await fleet.devices('getStats', undefined, {})).data).toMatchObject({ onlineCount: 1 })
    await device.end()
  })

  it('a device that is replaced loses its connection, and the new one gets what waits', async () => {
    const fleet = new FleetCalls(server.app)
    const calls = server.app.on({ assetId: 'a1' })
    const old = await new TestDevice(server.server.mqttUrl, 'd1').connected()
    await calls.until((await calls.set(1)).data.commandId, 5)
    const closed = old.closed()
    const { data } = await fleet.devices('replaceDevice', { newDeviceKey: 'new1' }, { assetId: 'a1' })
    await closed
    expect((await fleet.devices('get', undefined, { assetId: 'a1' })).data.status).toBe('inactive')
    expect((await calls.set(2, { pendingTtl: '0', timeout: '5' })).code).toBe(11888)
    const sent = await calls.set(3)
    // The secret of the old one is good for nothing.
    for (const key of ['d1', 'new1'])
      await expect(
        new TestDevice(server.server.mqttUrl, key, {}, PRODUCT, 'secret-of-d1').connected(),
      ).rejects.toThrow()
    const next = await new TestDevice(server.server.mqttUrl, 'new1', {}, PRODUCT, data.deviceSecret).connected()
    await next.count(1)
    await calls.until(sent.data.commandId, 5)
    expect(next.ids()).toEqual([sent.data.commandId])
    await next.end()
  })
})
