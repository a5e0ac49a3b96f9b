// What gateways ask for: devices registered, brought into their topology and taken out of it, and who may ask for that.

import { createHash, randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import {
  ATTRIBUTES_MAX_PER_REQUEST,
  LOGIN_PAIR_BURST,
  LOGIN_PAIR_EVERY_MS,
  REGISTER_MAX_DEVICES,
  REQUEST_ITEMS_MAX,
  REQUEST_MAX_VALUES,
  TOPOLOGY_MAX_DEVICES,
} from '../src/core/limits.ts'
import { alphanumerics } from '../src/fleet/names.ts'
import { FleetConflict } from '../src/store/store.ts'
import { gatewaySource, LoginLimit } from '../src/uplink/login-limit.ts'
import { isSign } from '../src/uplink/sign.ts'
import { type Connection, secretOf, signed, UplinkRig } from './rig/uplink.ts'

const ADD = 'thing/topo/add'
const DELETE = 'thing/topo/delete'
const GET = 'thing/topo/get'
const REGISTER = 'thing/device/register'

let rig: UplinkRig
let gateway: Connection
beforeEach(async () => {
  rig = await UplinkRig.open()
  gateway = await rig.connection('g1')
})

const keysOf = (deviceKey: string, productKey = 'meterPk') => ({ productKey, deviceKey })
const topology = async (of = gateway): Promise<string[]> =>
  (await of.ask(GET, {})).data.map(({ deviceKey }: { deviceKey: string }) => deviceKey)

describe('the topology', () => {
  it('is told to its gateway', async () => {
    expect(await gateway.ask(GET, {})).toEqual({
      id: '7',
      code: 200,
      data: ['s1', 's2', 'off'].map(deviceKey => keysOf(deviceKey)),
      message: '',
    })
    expect(await gateway.send(GET, '{"id":"1","version":"1.0"}'), 'params are not needed').toContain('"code":200')
  })

  it('takes devices in as the SDKs sign them', async () => {
    const sdks = [
      // C: signmethod in lower case, clientId pk.dk
      { ...signed('meterPk', 'loose'), signMethod: undefined, signmethod: 'hmacSha256' },
      // Node: the timestamp is a number, hex in upper case
      (item => ({ ...item, sign: item.sign.toUpperCase() }))(
        signed('freePk', 'loose2', { clientId: 'loose2', timestamp: 1795383655330 }),
      ),
    ]
    expect(await gateway.ask(ADD, sdks)).toEqual({ id: '7', code: 200, data: {}, message: '' })
    expect(await topology()).toEqual(['s1', 's2', 'off', 'loose', 'loose2'])
    expect(gateway.joinedKeys).toEqual(['loose behind g1', 'loose2 behind g1'])
    expect((await rig.device('loose')).gatewayAssetId).toBe('g1')
  })

  it('leaves as they are devices that are in it already', async () => {
    const items = [signed('meterPk', 's1'), signed('meterPk', 'loose'), signed('meterPk', 'loose')]
    expect(await gateway.ask(ADD, items)).toMatchObject({ code: 200 })
    expect(gateway.joinedKeys).toEqual(['loose behind g1'])
    expect(await gateway.ask(ADD, items)).toMatchObject({ code: 200 })
    expect(gateway.joinedKeys).toHaveLength(1)
    expect(await gateway.ask(ADD, [])).toMatchObject({ code: 200 })
  })

  const strangers: [string, Record<string, unknown>, string][] = [
    ['one that does not exist', signed('meterPk', 'nobody'), 'meterPk/nobody does not exist'],
    ['one of another organization', signed('foreignPk', 'foreign'), 'foreignPk/foreign does not exist'],
    ['one behind another gateway', signed('meterPk', 'far'), 'meterPk/far is behind another gateway'],
    ['a gateway', signed('gwPk', 'g2'), 'gwPk/g2 is a gateway itself'],
    ['itself', signed('gwPk', 'g1'), 'gwPk/g1 is a gateway itself'],
    ['one that needs a certificate', signed('certPk', 'cert'), 'certPk/cert needs a client certificate'],
    ['one with the wrong secret', signed('meterPk', 'loose', { secret: 'x' }), 'is not signed with its secret'],
    ['one with another clientId', { ...signed('meterPk', 'loose'), clientId: 'x' }, 'is not signed with its secret'],
    ['one with another timestamp', { ...signed('meterPk', 'loose'), timestamp: 1 }, 'is not signed with its secret'],
    ['one without a sign', { ...signed('meterPk', 'loose'), sign: undefined }, 'is not signed with its secret'],
    ['one whose sign is a list', { ...signed('meterPk', 'loose'), sign: ['x'] }, 'is not signed with its secret'],
    [
      'one without a sign method',
      { ...signed('meterPk', 'loose'), signMethod: undefined },
      'no known signMethod: nothing',
    ],
    [
      'one with an odd sign method',
      { ...signed('meterPk', 'loose'), signMethod: 'rot13' },
      'no known signMethod: "rot13"',
    ],
    ['one without keys', { sign: 'x' }, 'params[1] does not name a device'],
    ['one whose keys are none', signed('meterPk', 'a/b'), 'params[1] does not name a device'],
  ]
  it.each(strangers)('does not take in %s, nor what came with it', async (_what, item, why) => {
    const told = await gateway.ask(ADD, [signed('freePk', 'loose2'), item])
    expect(told).toMatchObject({ code: 1255, data: {} })
    expect(told.message).toContain('add topo failure: ')
    expect(told.message).toContain(why)
    expect(await topology()).toEqual(['s1', 's2', 'off'])
    expect(gateway.joinedKeys).toEqual([])
  })

  it('tells nobody without its secret where a device is', async () => {
    const far = await gateway.ask(ADD, [signed('meterPk', 'far', { secret: 'x' })])
    expect(far.message).toContain('is not signed with its secret')
    expect(far.message).not.toContain('gateway')
  })

  it('is not read for a device to come in, nor anything at all for none', async () => {
    const looks: string[] = []
    const { store } = rig
    for (const name of ['subDevices', 'countSubDevices', 'deviceByKeys'] as const) {
      const look = store[name].bind(store) as (...keys: string[]) => Promise<never>
      store[name] = (...keys: string[]) => {
        looks.push(name)
        return look(...keys)
      }
    }
    expect(await gateway.ask(ADD, [])).toMatchObject({ code: 200 })
    expect(await gateway.ask(DELETE, [])).toMatchObject({ code: 1256 })
    expect(looks).toEqual([])
    expect(await gateway.ask(ADD, [signed('meterPk', 'loose')])).toMatchObject({ code: 200 })
    expect(looks).toEqual(['deviceByKeys', 'countSubDevices'])
    expect(await gateway.ask(ADD, [signed('meterPk', 'loose')])).toMatchObject({ code: 200 })
    expect(looks, 'it is in already').toEqual(['deviceByKeys', 'countSubDevices', 'deviceByKeys'])
  })

  it('loses devices, done if one of them was in it', async () => {
    const told = await gateway.ask(DELETE, [keysOf('s1'), keysOf('s1'), keysOf('far'), keysOf('nobody')])
    expect(told).toEqual({ id: '7', code: 200, data: {}, message: '' })
    expect(gateway.leftKeys).toEqual(['s1'])
    expect(await topology()).toEqual(['s2', 'off'])
    expect((await rig.device('far')).gatewayAssetId).toBe('g2')
    for (const none of [[], [keysOf('s1')], [keysOf('far'), keysOf('foreign', 'foreignPk')]])
      expect(await gateway.ask(DELETE, none)).toMatchObject({ code: 1256, data: {} })
    expect(gateway.leftKeys).toEqual(['s1'])
  })

  const odd: [string, unknown, number][] = [
    [ADD, {}, 1220],
    [ADD, 'x', 1220],
    [ADD, [null], 1220],
    [ADD, [['meterPk', 's1']], 1220],
    [ADD, [{}], 1255],
    [ADD, [{ productKey: 7, deviceKey: 's1' }], 1255],
    [ADD, null, 1251],
    [ADD, Array.from({ length: REQUEST_ITEMS_MAX + 1 }, () => signed('meterPk', 's1')), 1220],
    [DELETE, {}, 1220],
    [DELETE, ['s1'], 1220],
    [DELETE, [{ deviceKey: 's1' }], 1256],
    [DELETE, undefined, 1251],
  ]
  it.each(odd)('%s of %j is answered %i', async (path, params, code) => {
    expect(await gateway.ask(path, params)).toMatchObject({ id: '7', code, data: {} })
    expect(await topology()).toEqual(['s1', 's2', 'off'])
  })

  it('is of one gateway only, whoever comes first', async () => {
    const other = await rig.connection('g2')
    const told = await Promise.all([gateway, other].map(each => each.ask(ADD, [signed('meterPk', 'loose')])))
    expect(told.map(({ code }) => code).sort()).toEqual([1255, 200])
    expect([...gateway.joinedKeys, ...other.joinedKeys]).toHaveLength(1)
    const gone = await Promise.all([gateway, gateway].map(each => each.ask(DELETE, [keysOf('s1')])))
    expect(gone.map(({ code }) => code).sort()).toEqual([1256, 200])
    expect(gateway.leftKeys).toEqual(['s1'])
  })

  it('has a bound', async () => {
    const rows = Array.from({ length: TOPOLOGY_MAX_DEVICES - 3 }, (_, i) => ({
      ...{ assetId: `x${i}`, orgId: 'o1', productKey: 'freePk', deviceKey: `x${i}`, secret: 's', nameJson: '{}' },
      ...{ timezone: '+00:00', disabled: false, gatewayAssetId: 'g1', certificateSerial: null },
    }))
    await rig.store.addDevices(rows, 0)
    const told = await gateway.ask(ADD, [signed('meterPk', 'loose')])
    expect(told).toMatchObject({ code: 1255, message: expect.stringContaining('a topology may have 5000 devices') })
    expect(await gateway.ask(DELETE, [keysOf('s1')])).toMatchObject({ code: 200 })
    expect(await gateway.ask(ADD, [signed('meterPk', 'loose')])).toMatchObject({ code: 200 })
    expect(await topology(), 'and all of them fit into an answer').toHaveLength(TOPOLOGY_MAX_DEVICES)
  })
})

describe('a wrong sign', () => {
  const wrong = (deviceKey = 'loose') => [signed('meterPk', deviceKey, { secret: 'x' })]
  const refused = (why: string) => ({ code: 1255, data: {}, message: expect.stringContaining(why) })
  const unseen = refused(
    `was not looked at, because too many signs were wrong: try again in ${LOGIN_PAIR_EVERY_MS / 1_000} s`,
  )
  const looked = refused('is not signed with its secret')
  let guess: LoginLimit
  beforeEach(async () => {
    guess = new LoginLimit()
    rig = await UplinkRig.open(undefined, undefined, { guess })
    gateway = await rig.connection('g1')
  })

  it('counts as a refused login: after some of them the right one is not looked at either, until its time has come', async () => {
    for (let n = 0; n < LOGIN_PAIR_BURST; n++) expect(await gateway.ask(ADD, wrong())).toMatchObject(looked)
    expect(await gateway.ask(ADD, wrong())).toMatchObject(unseen)
    expect(await gateway.ask(ADD, [signed('meterPk', 'loose')])).toMatchObject(unseen)
    expect(await gateway.ask(ADD, [signed('freePk', 'loose2')]), 'of another device').toMatchObject({ code: 200 })
    const other = await rig.connection('g2')
    expect(await other.ask(ADD, wrong()), 'through another gateway').toMatchObject(looked)
    await rig.clock.advance(LOGIN_PAIR_EVERY_MS, async () => undefined)
    expect(await gateway.ask(ADD, [signed('meterPk', 'loose')])).toMatchObject({ code: 200 })
    expect(gateway.joinedKeys).toEqual(['loose2 behind g1', 'loose behind g1'])
  })

  it('is forgotten with a right one', async () => {
    for (let round = 0; round < 3; round++) {
      for (let n = 1; n < LOGIN_PAIR_BURST; n++) expect(await gateway.ask(ADD, wrong())).toMatchObject(looked)
      expect(await gateway.ask(ADD, [signed('meterPk', 'loose')])).toMatchObject({ code: 200 })
    }
    expect(guess.size.pairs).toBe(0)
  })

  it('is counted together with those of logins through the same gateway', async () => {
    const keys = keysOf('loose')
    const source = gatewaySource({ assetId: 'g1' })
    expect(source).toBe('gateway:g1')
    for (let n = 0; n < LOGIN_PAIR_BURST; n++) guess.refused(source, keys, rig.clock.now())
    expect(await gateway.ask(ADD, [signed('meterPk', 'loose')])).toMatchObject(unseen)
  })

  it('counts for each device by itself', async () => {
    let refusals = 0
    const devices = ['loose', 's1', 's2', 'off', 'far', 'm1', 'm2']
    for (; refusals < 1_000; refusals++) {
      const deviceKey = devices[refusals % devices.length] ?? ''
      const told = await gateway.ask(ADD, wrong(deviceKey))
      if (told.message.includes('not looked at')) break
    }
    expect(refusals).toBe(devices.length * LOGIN_PAIR_BURST)
  })

  it('is one that was compared: what cannot be, and what does not exist, counts for nobody', async () => {
    const others = [
      { ...signed('meterPk', 'loose'), signMethod: 'rot13' },
      signed('meterPk', 'nobody'),
      signed('foreignPk', 'foreign'),
    ]
    for (let n = 0; n <= LOGIN_PAIR_BURST; n++)
      for (const item of others) expect(await gateway.ask(ADD, [item])).toMatchObject({ code: 1255 })
    expect(guess.size).toEqual({ sources: 0, pairs: 0 })
  })
})

describe('who may ask', () => {
  it('is a gateway', async () => {
    const device = await rig.connection('m1')
    expect(await device.ask(GET, {})).toMatchObject({ code: 1200 })
    expect(await device.ask(ADD, [signed('meterPk', 'loose')])).toMatchObject({ code: 1255 })
    expect(await device.ask(DELETE, [keysOf('s1')])).toMatchObject({ code: 1256 })
    expect(await device.ask(REGISTER, [{ productKey: 'meterPk', deviceName: 'n' }])).toMatchObject({ code: 1009 })
    expect((await rig.device('loose')).gatewayAssetId).toBeNull()
  })
  it.each([GET, ADD, DELETE, REGISTER])('%s, for itself only', async path => {
    const connection = await rig.connection('g1', 's1')
    for (const deviceKey of ['s1', 's2', 'm1']) {
      const told = await connection.ask(path, [], {}, keysOf(deviceKey))
      expect(told).toMatchObject({ code: 1009, data: {} })
    }
    expect(await connection.ask(path, [], {}, keysOf('g2', 'gwPk'))).toMatchObject({ code: 1009 })
    expect(await rig.channel('gwPk').ask(path, [])).toMatchObject({ code: 501 })
  })
})

describe('registering', () => {
  it('makes devices, with their secrets told once', async () => {
    const params = [
      {
        productKey: 'meterPk',
        deviceKey: 'new1',
        deviceName: { defaultValue: 'New', i18nValue: { zh_CN: '新' } },
        timezone: 'Europe/Berlin',
        deviceDesc: 'a description',
        deviceAttributes: { count: 3, serial: 'A' },
      },
      { productKey: 'freePk', deviceName: 'Drawn', deviceKey: '', timezone: '', deviceAttributes: null },
    ]
    const told = await gateway.ask(REGISTER, params)
    expect(told).toMatchObject({ id: '7', code: 200, message: '' })
    const [first, second] = told.data
    expect(Object.keys(first)).toEqual(['assetId', 'productKey', 'deviceKey', 'deviceSecret'])
    expect(first).toMatchObject({ productKey: 'meterPk', deviceKey: 'new1' })
    expect(second.deviceKey).toMatch(/^[A-Za-z0-9]{10}$/)
    for (const { assetId, productKey, deviceKey, deviceSecret } of told.data) {
      expect(assetId).toMatch(/^[A-Za-z0-9]{8}$/)
      expect(deviceSecret).toMatch(/^[A-Za-z0-9]{20}$/)
      const device = await rig.device(assetId)
      expect(device).toMatchObject({ orgId: 'o1', productKey, deviceKey, gatewayAssetId: null, disabled: false })
      expect(device.secret, 'sealed').not.toContain(deviceSecret)
      expect(rig.fleet.deviceSecret(device)).toBe(deviceSecret)
    }
    expect(await rig.device(first.assetId)).toMatchObject({
      timezone: 'Europe/Berlin',
      nameJson: '{"defaultValue":"New","i18nValue":{"zh_CN":"新"}}',
    })
    expect(await rig.device(second.assetId)).toMatchObject({
      timezone: '+08:00',
      nameJson: '{"defaultValue":"Drawn","i18nValue":{}}',
    })
    const attributes = await rig.store.attributes((await rig.device(first.assetId)).id)
    expect([...attributes]).toEqual([
      ['count', '3'],
      ['serial', '"A"'],
    ])
    expect(await gateway.ask(ADD, [signed('meterPk', 'new1', { secret: first.deviceSecret })])).toMatchObject({
      code: 200,
    })
    expect(await topology()).toContain('new1')
  })

  const good = { productKey: 'meterPk', deviceKey: 'good', deviceName: 'Good' }
  const refusals: [unknown, number, string][] = [
    [{ ...good, deviceKey: 'm1' }, 702, 'meterPk/m1'],
    [good, 702, 'meterPk/good is there twice'],
    [{ ...good, productKey: 'nothing', deviceKey: 'x' }, 611, 'nothing'],
    [{ ...good, productKey: 'foreignPk', deviceKey: 'x' }, 611, 'foreignPk'],
    [{ productKey: 'meterPk' }, 1220, 'params[1]: deviceName must be'],
    [{ ...good, deviceKey: 'x', deviceName: ' ' }, 1220, 'deviceName must be'],
    [{ ...good, deviceKey: 'x', deviceName: { defaultValue: 7 } }, 1220, 'deviceName must be'],
    [{ ...good, deviceKey: 'x', deviceName: 'x'.repeat(5000) }, 1220, 'deviceName must be'],
    [{ ...good, deviceKey: 'a/b' }, 1220, 'deviceKey must be 1 to 64'],
    [{ ...good, deviceKey: 0 }, 1220, 'deviceKey must be 1 to 64'],
    [{ ...good, deviceKey: 'x', productKey: 7 }, 1220, 'productKey must be 1 to 64'],
    [{ ...good, deviceKey: 'x', timezone: 'Mars/Olympus' }, 1220, 'timezone must be'],
    [{ ...good, deviceKey: 'x', timezone: 8 }, 1220, 'timezone must be'],
    [{ ...good, deviceKey: 'x', deviceAttributes: { count: 'x' } }, 1204, 'count must be an INT'],
    [{ ...good, deviceKey: 'x', deviceAttributes: { other: 1 } }, 1204, 'has no attribute "other"'],
    [{ ...good, deviceKey: 'x', deviceAttributes: [] }, 1220, 'attributes must be an object'],
    [null, 1220, 'params[1]: must be an object'],
    // A gateway would come to any number of others; and to the name of a channel's certificate.
    [{ ...good, productKey: 'gwPk', deviceKey: 'x' }, 612, 'product not allowed: params[1]: gwPk is of gateways'],
    [{ ...good, deviceKey: 'meterPk' }, 1220, 'params[1]: deviceKey must not be a productKey, got "meterPk"'],
    [{ ...good, deviceKey: 'certPk' }, 1220, 'deviceKey must not be a productKey'],
    [{ ...good, deviceKey: 'foreignPk' }, 1220, 'deviceKey must not be a productKey'],
  ]
  it.each(refusals)('is refused as a whole with %j: %i', async (item, code, why) => {
    const told = await gateway.ask(REGISTER, [good, item])
    expect(told).toMatchObject({ code, data: {}, message: expect.stringContaining(why) })
    expect(await rig.fleet.deviceByKeys('meterPk', 'good')).toBeNull()
    expect(await rig.fleet.deviceByKeys('meterPk', 'x')).toBeNull()
  })

  it('has a bound of attributes, in all its devices together', async () => {
    const item = (i: number, count: number) => ({
      ...{ productKey: 'freePk', deviceKey: `new${i}`, deviceName: 'n' },
      deviceAttributes: Object.fromEntries(Array.from({ length: count }, (_, n) => [`a${n}`, n])),
    })
    const devices = REQUEST_MAX_VALUES / ATTRIBUTES_MAX_PER_REQUEST
    const items = Array.from({ length: devices }, (_, i) => item(i, ATTRIBUTES_MAX_PER_REQUEST))
    const told = await gateway.ask(REGISTER, [...items, item(devices, 1)])
    expect(told).toMatchObject({ code: 1204, message: expect.stringContaining('may have 5000 values, got 5001') })
    expect(await rig.fleet.deviceByKeys('freePk', 'new0'), 'none of them is there').toBeNull()
    expect(await gateway.ask(REGISTER, [...items, item(devices, 0)])).toMatchObject({ code: 200, message: '' })
  })

  it('ends where the product has as many devices as it may', async () => {
    const small = await UplinkRig.open(undefined, undefined, { registerUpTo: 8 })
    const asking = await small.connection('g1')
    expect(await small.fleet.countDevices('meterPk')).toBe(7)
    const item = { productKey: 'meterPk', deviceName: 'n' }
    expect(await asking.ask(REGISTER, [item])).toMatchObject({ code: 200 })
    const told = await asking.ask(REGISTER, [item])
    expect(told).toMatchObject({ code: 739, message: expect.stringContaining('the product meterPk has') })
  })

  it('has a bound, which fits into one answer', async () => {
    const item = (i: number) => ({
      productKey: 'freePk',
      deviceName: 'n',
      deviceKey: `${'k'.repeat(58)}${i + 100_000}`,
    })
    const items = (count: number) => Array.from({ length: count }, (_, i) => item(i))
    expect(await gateway.ask(REGISTER, items(REGISTER_MAX_DEVICES + 1))).toMatchObject({ code: 739 })
    expect(await gateway.ask(REGISTER, {})).toMatchObject({ code: 1220 })
    expect(await gateway.ask(REGISTER, [])).toMatchObject({ code: 200, data: [] })
    const told = await gateway.ask(REGISTER, items(REGISTER_MAX_DEVICES))
    expect(told.code).toBe(200)
    expect(told.data).toHaveLength(REGISTER_MAX_DEVICES)
  })

  it('draws new names where one is taken, and gives up after some', async () => {
    let draws = 0
    const stuck = (count: number) => {
      draws += 1
      return Buffer.alloc(count, 1)
    }
    const same = await UplinkRig.open(() => undefined, stuck as typeof randomBytes)
    const asking = await same.connection('g1')
    const item = { productKey: 'freePk', deviceName: 'n' }
    expect(await asking.ask(REGISTER, [item])).toMatchObject({ code: 200, data: [{ assetId: 'BBBBBBBB' }] })
    draws = 0
    expect(await asking.ask(REGISTER, [item])).toMatchObject({ code: 714, data: {} })
    expect(draws, 'three names three times').toBe(9)

    let left = 1
    const unlucky = (count: number) => (left-- > 0 ? Buffer.alloc(count, 1) : randomBytes(count))
    const once = await UplinkRig.open(() => undefined, unlucky as typeof randomBytes)
    await once.store.addDevices([{ ...(await once.device('m1')), assetId: 'BBBBBBBB', deviceKey: 'taken' }], 0)
    const told = await (await once.connection('g1')).ask(REGISTER, [item])
    expect(told).toMatchObject({ code: 200 })
    expect(told.data[0].assetId).not.toBe('BBBBBBBB')
  })

  it('tells the secrets also where the attributes could not be saved', async () => {
    const broken = await UplinkRig.open(store => {
      store.saveData = () => Promise.reject(new Error('the disk is full'))
    })
    const item = { productKey: 'meterPk', deviceName: 'n', deviceKey: 'x', deviceAttributes: { count: 1 } }
    const told = await (await broken.connection('g1')).ask(REGISTER, [item])
    expect(told).toMatchObject({ code: 200, message: expect.stringContaining('the attributes could not be saved') })
    expect(told.data[0].deviceSecret).toMatch(/^[A-Za-z0-9]{20}$/)
    expect(broken.errors).toHaveLength(1)
  })

  it('fails as a whole where the store does', async () => {
    const broken = await UplinkRig.open(store => {
      store.addDevices = () => Promise.reject(new Error('the disk is full'))
    })
    const item = { productKey: 'meterPk', deviceName: 'n' }
    expect(await (await broken.connection('g1')).ask(REGISTER, [item])).toMatchObject({ code: 500, data: {} })
    expect(broken.errors).toHaveLength(1)
  })
})

describe('a move that somebody else made impossible', () => {
  it.each([
    [ADD, 1255],
    [DELETE, 1256],
  ])('in the same moment: %s is answered %i', async (path, code) => {
    const raced = await UplinkRig.open(store => {
      store.moveDevices = () => Promise.reject(new FleetConflict('moved'))
    })
    const asking = await raced.connection('g1')
    const item = path === ADD ? signed('meterPk', 'loose') : keysOf('s1')
    expect(await asking.ask(path, [item])).toMatchObject({ code })
    expect([...asking.joinedKeys, ...asking.leftKeys]).toEqual([])
  })
})

describe('names that are drawn', () => {
  it('have all 62 characters alike', () => {
    const counts = new Map<string, number>()
    const everyByte = () => Uint8Array.from({ length: 256 }, (_, i) => i)
    const text = alphanumerics(248, everyByte)
    for (const char of text) counts.set(char, (counts.get(char) ?? 0) + 1)
    expect(counts.size).toBe(62)
    expect(new Set(counts.values())).toEqual(new Set([4]))
  })
  it('have the length that is asked for, whatever is passed over', () => {
    let odd = false
    const half = (count: number) => {
      odd = !odd
      return odd ? Buffer.alloc(count, 255) : Buffer.alloc(count, 61)
    }
    expect(alphanumerics(5, half)).toBe('99999')
  })
})

describe('the rig', () => {
  it('signs as the vendor documents it', () => {
    const { sign } = signed('meterPk', 'loose')
    const content = 'clientIdmeterPk.loosedeviceKeylooseproductKeymeterPktimestamp1795383668139secret-of-loose'
    expect(sign).toBe(createHash('sha256').update(content).digest('hex'))
    const fields = { clientId: 'meterPk.loose', ...keysOf('loose'), timestamp: '1795383668139' }
    expect(isSign(fields, secretOf('loose'), 'sha256', sign)).toBe(true)
  })
})
