// Gateways and the devices behind them over HTTP: found, searched, put there and taken out, with gateways that are connected over MQTT meanwhile.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { TOPOLOGY_MAX_DEVICES } from '../src/core/limits.ts'
import { openMemory } from '../src/store/memory.ts'
import { FleetCalls } from './rig/fleet-calls.ts'
import { GATEWAYS, gatewayFleet, TestGateway } from './rig/gateway.ts'
import { BY_ASSET, expectRefused, startApp } from './rig/http.ts'
import { Application, ORG, PRODUCT, READER, type Rig, STRANGER, startRig, TestDevice } from './rig/server.ts'
import { deviceRow } from './rig/store.ts'

let rig: Rig
let app: FleetCalls
const opened: { end(): Promise<void> }[] = []
beforeAll(async () => {
  rig = await startRig(['--store', 'memory:'], gatewayFleet(8))
  app = new FleetCalls(rig.app)
})
afterEach(async () => {
  for (const each of opened.splice(0)) await each.end()
})
afterAll(() => rig.stop())

const asset = (assetId: string) => ({ assetId })
const g1 = asset('g1')
const gateway = async (deviceKey = 'g1'): Promise<TestGateway> => {
  const connected = await new TestGateway(rig.server.mqttUrl, deviceKey).connected()
  opened.push(connected)
  return connected
}
const keysBehind = async (of: object, body: object = {}) => {
  const { code, msg, data, pagination } = await app.topos('searchSubDevices', { gateway: of, ...body })
  expect([code, msg]).toEqual([0, 'OK'])
  return { keys: data.map(({ deviceKey }: { deviceKey: string }) => deviceKey), pagination }
}
const statusOf = async (assetId: string) => (await app.devices('get', undefined, { assetId })).data.status

describe('getGateway', () => {
  it('answers the gateway of a device, named either way, and null where it has none', async () => {
    const { data } = await app.topos('getGateway', { subDevice: { productKey: PRODUCT, deviceKey: 's1' } })
    expect(data).toMatchObject({ assetId: 'g1', productType: 'Gateway', productKey: GATEWAYS })
    expect(await app.topos('getGateway', { subDevice: asset('free1') })).toMatchObject({ code: 0, data: null })
  })

  it.each([
    [{}, 99400, 'subDevice:subDevice is missing'],
    [{ subDevice: {} }, 99400, 'subDevice:give assetId, or productKey and deviceKey'],
    [{ subDevice: { assetId: 7 } }, 99400, 'subDevice.assetId:'],
    [{ subDevice: { productKey: PRODUCT } }, 99400, 'subDevice:give assetId'],
    [{ subDevice: { assetId: 's1', deviceKey: 's2' } }, 99400, 'subDevice:assetId names another device'],
    [{ subDevice: asset('nothing') }, 99404, 'subDevice: device not found'],
    [{ subDevice: asset('other1') }, 99404, 'subDevice: device not found'],
  ])('refuses %j', async (body, code, text) => {
    expectRefused(await app.topos('getGateway', body), code, text)
  })
})

describe('searchSubDevice', () => {
  it('finds those behind the gateway, by the same expressions as devices', async () => {
    const all = await keysBehind(g1, { pagination: { pageNo: 1, pageSize: 50 } })
    expect(all.keys.sort()).toEqual([
      'certSub',
      'customSub',
      'freshSub',
      'off1',
      ...'12345678'.split('').map(n => `s${n}`),
    ])
    expect((await keysBehind(g1)).pagination).toEqual({ sortedBy: null, pageNo: 1, pageSize: 10, totalSize: 12 })
    expect((await keysBehind(g1, { expression: "status = 'disabled'" })).keys).toEqual(['off1'])
    expect((await keysBehind(g1, { expression: "deviceKey in ('s1', 'far1')" })).keys).toEqual(['s1'])
    expect((await keysBehind(asset('g2'))).keys).toEqual(['far1'])
    const { data } = await app.topos('searchSubDevice', {
      gateway: g1,
      expression: "deviceKey = 's1'",
      projection: ['deviceKey'],
    })
    expect(data).toEqual([{ deviceKey: 's1' }])
  })

  it('refuses what is no gateway, or not there', async () => {
    for (const of of ['s1', 'free1', 'nothing', 'other1'])
      expectRefused(
        await app.topos('searchSubDevice', { gateway: asset(of) }),
        11738,
        'is not a device of a product of gateways',
      )
    expectRefused(await app.topos('searchSubDevice', {}), 99400, 'gateway:gateway is missing')
  })
})

describe('addSubDevice and removeSubDevice', () => {
  const add = (...subDevices: object[]) => app.topos('addSubDevice', { gateway: g1, subDevices })
  const remove = (...subDevices: object[]) => app.topos('removeSubDevice', { gateway: g1, subDevices })

  it('put devices there and take them out', async () => {
    expect(await add(asset('free1'), { productKey: PRODUCT, deviceKey: 'free2' })).toMatchObject({
      code: 0,
      data: null,
    })
    expect((await app.topos('getGateway', { subDevice: asset('free2') })).data.assetId).toBe('g1')
    // Those that are there already stay.
    expect((await add(asset('free1'), asset('s1'), asset('free1'))).code).toBe(0)
    expect(await remove(asset('free1'), asset('free2'))).toMatchObject({ code: 0, data: null })
    expect((await app.topos('getGateway', { subDevice: asset('free1') })).data).toBeNull()
  })

  it.each([
    ['far1', 'is behind another gateway'],
    ['g2', 'is a gateway itself'],
    ['certSub', 'needs a client certificate'],
  ])('%s cannot come there, and nobody with it', async (assetId, text) => {
    expectRefused(await add(asset('free1'), asset(assetId)), 11795, text)
    expect((await app.topos('getGateway', { subDevice: asset('free1') })).data).toBeNull()
  })

  it('what is not there cannot be taken out, and nobody with it', async () => {
    expectRefused(await remove(asset('s1'), asset('far1')), 11795, `${PRODUCT}/far1 is not behind this gateway`)
    expect((await app.topos('getGateway', { subDevice: asset('s1') })).data.assetId).toBe('g1')
  })

  it.each([
    [{ gateway: g1 }, 99400, 'subDevices:subDevices is missing'],
    [{ gateway: g1, subDevices: [] }, 99400, 'subDevices:must be a list of 1 to 1000'],
    [{ gateway: g1, subDevices: ['s1'] }, 99400, 'subDevices[0]:'],
    [{ gateway: asset('free1'), subDevices: [asset('free2')] }, 11738, 'gateway'],
    [{ gateway: g1, subDevices: [asset('free1'), asset('other1')] }, 99404, 'subDevices[1]: device not found'],
  ])('refuse %j', async (body, code, text) => {
    for (const action of ['addSubDevice', 'removeSubDevice']) expectRefused(await app.topos(action, body), code, text)
  })

  it('need full access to the gateway and to each device', async () => {
    const reader = new FleetCalls(new Application(rig.server.httpUrl, READER))
    expectRefused(await reader.topos('addSubDevice', { gateway: g1, subDevices: [asset('free1')] }), 99403, 'Device')
    const stranger = new FleetCalls(new Application(rig.server.httpUrl, STRANGER), 'oOther')
    expectRefused(await stranger.topos('removeSubDevice', { gateway: g1, subDevices: [asset('s1')] }), 11738, 'gateway')
  })

  it('of one device by two gateways at once: one has it', async () => {
    for (let round = 0; round < 10; round += 1) {
      const answers = await Promise.all(
        ['g1', 'g2'].map(of => app.topos('addSubDevice', { gateway: asset(of), subDevices: [asset('free1')] })),
      )
      expect(answers.map(({ code }) => code).sort()).toEqual([0, 11795])
      const { data } = await app.topos('getGateway', { subDevice: asset('free1') })
      expect(data.assetId).toBe(answers[0]?.code === 0 ? 'g1' : 'g2')
      await app.topos('removeSubDevice', { gateway: asset(data.assetId), subDevices: [asset('free1')] })
    }
  })

  it('a device that was put there logs in through its gateway, and gets its commands', async () => {
    const connected = await gateway()
    expect((await connected.login('free1')).code).not.toBe(200)
    await add(asset('free1'))
    expect((await connected.login('free1')).code).toBe(200)
    expect(await statusOf('free1')).toBe('online')
    const calls = rig.app.on(asset('free1'))
    await calls.until((await calls.set(7)).data.commandId, 5)
    await remove(asset('free1'))
  })

  it('one that is taken out is logged out, keeps what waits, and may connect by itself', async () => {
    const connected = await gateway()
    expect((await connected.login('s8')).code).toBe(200)
    const calls = rig.app.on(asset('s8'))
    await calls.until((await calls.set(1)).data.commandId, 5)
    await remove(asset('s8'))
    expect(await statusOf('s8')).toBe('offline')
    const waits = await calls.set(2)
    expect((await calls.get(waits.data.commandId)).data.state).toBe(1)
    expect((await connected.login('s8')).code).not.toBe(200)
    const alone = await new TestDevice(rig.server.mqttUrl, 's8').connected()
    opened.push(alone)
    await alone.count(1)
    await calls.until(waits.data.commandId, 5)
    expect(connected.received.map(({ payload }) => payload.id)).not.toContain(waits.data.commandId)
  })
})

describe('what a gateway is told', () => {
  it('a device behind it that is replaced is deleted for it', async () => {
    const connected = await gateway()
    await connected.login('s7')
    const { code, data } = await app.devices('replaceDevice', { newDeviceKey: 's7-new' }, { assetId: 's7' })
    expect(code).toBe(0)
    await connected.noticed(1)
    expect(connected.notices[0]?.payload).toMatchObject({
      method: 'combine.delete',
      params: { productKey: PRODUCT, deviceKey: 's7' },
    })
    expect((await connected.login('s7')).code).not.toBe(200)
    expect((await connected.login('s7-new', { secret: data.deviceSecret })).code).toBe(200)
  })

  it('one that is deleted with commands in its queue settles them first', async () => {
    const connected = await gateway()
    await connected.login('s6')
    connected.command = () => undefined
    const calls = rig.app.on(asset('s6'))
    const [sent = '', ...waiting] = await calls.queue(3)
    await calls.until(sent, 4)
    const answer = await app.devices('delete', undefined, asset('s6'))
    expect(answer).toMatchObject({
      code: 0,
      data: null,
      settled: [{ commandId: sent, state: 6 }, ...waiting.map(commandId => ({ commandId, state: 2 }))],
    })
    await connected.noticed(1)
    expect(connected.notices[0]?.payload.method).toBe('combine.delete')
  })
})

describe('a topology', () => {
  it('has as many devices as it may have', async () => {
    const store = openMemory()
    const full = await startApp({ store })
    try {
      const fleet = new FleetCalls(full.app)
      const product = {
        productName: { defaultValue: 'G' },
        modelId: null,
        productType: 'Gateway',
        dataFormat: 'Json',
        biDirectionalAuth: false,
      }
      const productKey = (await fleet.products('create', product)).data
      const device = { productKey, deviceName: { defaultValue: 'G' }, timezone: '+00:00' }
      const { assetId } = (await fleet.devices('create', device)).data
      const rows = Array.from({ length: TOPOLOGY_MAX_DEVICES - 1 }, (_, n) =>
        deviceRow(`sub-${n}`, { orgId: ORG, productKey: PRODUCT, gatewayAssetId: assetId }),
      )
      await store.addDevices(rows, 1)
      const add = (...ids: string[]) =>
        fleet.topos('addSubDevice', { gateway: { assetId }, subDevices: ids.map(asset) })
      expectRefused(
        await add('a1', 'a2'),
        11739,
        `a topology may have ${TOPOLOGY_MAX_DEVICES} devices, it has ${TOPOLOGY_MAX_DEVICES - 1}`,
      )
      expect((await add('a1')).code).toBe(0)
      // One of many that the caller may see: the others are not there for it.
      const few = new FleetCalls(new Application(full.url, BY_ASSET, () => full.clock.now()))
      expectRefused(await few.topos('searchSubDevice', { gateway: { assetId } }), 99403, 'gateway')
      const reader = new FleetCalls(new Application(full.url, READER, () => full.clock.now()))
      const { pagination } = await reader.topos('searchSubDevice', { gateway: { assetId } })
      expect(pagination.totalSize).toBe(TOPOLOGY_MAX_DEVICES)
    } finally {
      await full.stop()
    }
  })
})
