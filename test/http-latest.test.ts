// What devices last reported, as applications read it: over HTTP, of a whole server to which a device reports over MQTT.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PAGE_MAX_BYTES, POINTS_MAX_PER_DEVICE, REPORTED_MAX_BYTES } from '../src/core/limits.ts'
import { AskingDevice } from './rig/gateway.ts'
import { type AppRig, expectRefused, httpFleet, NOBODY, startApp } from './rig/http.ts'
import {
  type APP,
  Application,
  type CallOptions,
  ORG,
  PRODUCT,
  READER,
  type Rig,
  STRANGER,
  startRig,
} from './rig/server.ts'

const T = 1_795_383_655_330
const params = { action: 'queryLatest', orgId: ORG, assetId: 't1' }

describe('the latest of a device', () => {
  let rig: AppRig
  beforeAll(async () => {
    rig = await startApp()
    const id = async (assetId: string) => (await rig.store.deviceByAsset(assetId))?.id ?? 0
    const point = (pointId: string, valueJson: string, quality: number | null = null) => ({
      pointId,
      valueJson,
      quality,
      at: T,
    })
    const t1 = await id('t1')
    await rig.store.saveData([
      {
        type: 'measurepoints',
        deviceId: t1,
        values: [point('Text', '"泵"'), point('Int', '9007199254740991', 9), point('Struct', '{"a":1}', 0)],
      },
      { type: 'event', deviceId: t1, event: { eventId: 'trip', outputJson: '{}', at: T } },
      { type: 'event', deviceId: t1, event: { eventId: 'fault', outputJson: '{"code":9}', at: T - 1 } },
    ])
    // More than a page: the largest values, as many of them as it takes.
    const large = JSON.stringify('x'.repeat(REPORTED_MAX_BYTES - 2))
    const count = Math.ceil(PAGE_MAX_BYTES / REPORTED_MAX_BYTES) + 1
    const deviceId = await id('free1')
    await rig.store.saveData([
      { type: 'measurepoints', deviceId, values: Array.from({ length: count }, (_, i) => point(`p${i}`, large)) },
      ...Array.from({ length: count }, (_, i) => ({
        ...{ type: 'event' as const, deviceId, event: { eventId: `e${i}`, outputJson: `{"a":${large}}`, at: T } },
      })),
    ])
  })
  afterAll(() => rig.stop())

  const ask = (body?: unknown, over: Record<string, string> = {}, options: CallOptions = {}, app = rig.app) =>
    app.call({ ...params, ...over }, { resource: 'measurepoints', body, ...options })
  const askEvents = (body?: unknown, over: Record<string, string> = {}) => ask(body, over, { resource: 'events' })
  const int = { id: 'Int', time: String(T), value: 9_007_199_254_740_991, quality: 9 }

  it('is a list by id, with text for the time, and a quality where there is one', async () => {
    const all = await ask()
    expect(all).toMatchObject({ status: 200, code: 0, msg: 'OK' })
    expect(all.data).toEqual([
      int,
      { id: 'Struct', time: String(T), value: { a: 1 }, quality: 0 },
      { id: 'Text', time: String(T), value: '泵' },
    ])
    for (const body of ['', {}, { measurepointIds: null }]) expect((await ask(body)).data).toEqual(all.data)
  })

  it('may be asked for in part', async () => {
    expect((await ask({ measurepointIds: ['Int', 'nothing', 'Int', 'a\0b', ''] })).data).toEqual([int])
    expect((await ask({ measurepointIds: [] })).data).toEqual([])
    expect((await ask(undefined, { assetId: 't2' })).data).toEqual([])
  })

  it('takes the device by its keys as well', async () => {
    const byKeys = { action: 'queryLatest', orgId: ORG, productKey: 'typedPk', deviceKey: 't1' }
    const { data } = await rig.app.call(byKeys, { resource: 'measurepoints', body: { measurepointIds: ['Int'] } })
    expect(data).toEqual([int])
  })

  it('has events as well', async () => {
    const trip = { id: 'trip', time: String(T), output: {} }
    expect((await askEvents()).data).toEqual([{ id: 'fault', time: String(T - 1), output: { code: 9 } }, trip])
    expect((await askEvents({ eventIds: ['trip', 'nothing'] })).data).toEqual([trip])
    expect((await askEvents({}, { assetId: 't2' })).data).toEqual([])
  })

  it('is asked for in parts where it is more than a page, which is known before it is read', async () => {
    const free = { assetId: 'free1' }
    const { latestValues, latestEvents } = rig.store
    let reads = 0
    const counting =
      <A extends unknown[], T>(read: (...args: A) => Promise<T>) =>
      (...args: A) => {
        reads += 1
        return read.apply(rig.store, args)
      }
    rig.store.latestValues = counting(latestValues)
    rig.store.latestEvents = counting(latestEvents)
    expectRefused(
      await ask({}, free),
      99400,
      /^Invalid Argument measurepointIds:what the device reported is 4\.\d MB; name fewer$/,
    )
    expectRefused(await askEvents({}, free), 99400, /^Invalid Argument eventIds:.*name fewer$/)
    const all = (name: string) => Array.from({ length: 300 }, (_, i) => `${name}${i}`)
    expectRefused(await ask({ measurepointIds: all('p') }, free), 99400, /name fewer$/)
    expectRefused(await askEvents({ eventIds: all('e') }, free), 99400, /name fewer$/)
    expect(reads).toBe(0)
    expect((await ask({ measurepointIds: ['p0', 'p1'] }, free)).data).toHaveLength(2)
    expect((await askEvents({ eventIds: ['e0'] }, free)).data).toHaveLength(1)
    expect(reads).toBe(2)
  })

  const odd: [unknown, RegExp][] = [
    [[], /^Invalid Argument body:must be a JSON object/],
    ['7', /^Invalid Argument body:must be a JSON object/],
    [
      { measurepointIds: 'Int', eventIds: 'fault' },
      /^Invalid Argument (measurepoint|event)Ids:must be a list of at most 5000/,
    ],
    [{ measurepointIds: {}, eventIds: {} }, /Ids:must be a list of at most 5000/],
    [{ measurepointIds: ['Int', 7], eventIds: [7] }, /Ids:must be a list of ids, got 7$/],
    [{ measurepointIds: [null], eventIds: [['x']] }, /Ids:must be a list of ids, got (null|an array of 1)$/],
    [
      {
        measurepointIds: Array(POINTS_MAX_PER_DEVICE + 1).fill('Int'),
        eventIds: Array(POINTS_MAX_PER_DEVICE + 1).fill('x'),
      },
      /Ids:must be a list of at most 5000/,
    ],
  ]
  it.each(odd.map(([body, why]) => ({ body, why })))('is not told to who asks with $body', async ({ body, why }) => {
    expectRefused(await ask(body), 99400, why)
    expectRefused(await askEvents(body), 99400, why)
  })

  it('goes the same ways as commands: who asks, where, and how', async () => {
    const as = async (credentials: typeof APP, over = {}) =>
      ask({}, over, {}, new Application(rig.url, credentials, () => rig.clock.now()))
    expect(await as(READER)).toMatchObject({ code: 0 })
    expectRefused(await as(NOBODY), 99403, 'Denied resource:  Asset t1 needs Read')
    expectRefused(await as(STRANGER), 99403, `Denied resource:  orgId ${ORG}`)
    expectRefused(await as(STRANGER, { orgId: 'oOther' }), 99404, 'device not found')
    expectRefused(await ask({}, { orgId: 'nothing' }), 99400, 'Invalid Argument orgId:')
    expectRefused(await ask({}, { action: 'querylatest' }), 99400, 'unknown action; it is one of queryLatest')
    expectRefused(await ask({}, { action: 'cancel' }), 99400, 'unknown action; it is one of queryLatest')
    expectRefused(await ask({}, { orgid: ORG }), 99400, 'Invalid Argument orgid:unknown parameter, did you mean orgId?')
    expectRefused(await ask(undefined, {}, { method: 'GET' }), 99400, 'this action takes POST, not GET')
    const unsigned = await ask({}, {}, { headers: { 'apim-signature': 'a'.repeat(64) } })
    expect(unsigned).toMatchObject({ status: 401, code: 1003 })
    const metrics = await (await fetch(`${rig.url}/metrics`)).text()
    expect(metrics).toMatch(/action="measurepoints queryLatest",code="0"/)
    expect(metrics).toMatch(/action="events queryLatest",code="0"/)
  })
})

describe('a whole server', () => {
  let rig: Rig
  beforeAll(async () => {
    rig = await startRig([], httpFleet())
  })
  afterAll(() => rig.stop())

  it('tells what a device reported over MQTT, also after a restart', async () => {
    const device = await new AskingDevice(rig.server.mqttUrl, 'mqtt_01', {}, PRODUCT).connected()
    const sys = `/sys/${PRODUCT}/mqtt_01/`
    const measurepoints = { Int_value: { value: 222, quality: 9 }, Text: 'x' }
    expect(await device.request(`${sys}thing/measurepoint/post`, { measurepoints, time: T })).toMatchObject({
      code: 200,
    })
    expect(await device.request(`${sys}thing/measurepoint/post`, { measurepoints: { Int_value: 'x' } })).toMatchObject({
      code: 1204,
    })
    expect(await device.request(`${sys}thing/event/fault/post`, { events: {} }), 'not in the model').toMatchObject({
      code: 1204,
    })
    expect(await device.request(`${sys}thing/tag/update`, [{ tagKey: 'a', tagValue: 'b' }])).toMatchObject({
      code: 200,
    })
    await device.end()
    const told = [
      { id: 'Int_value', time: String(T), value: 222, quality: 9 },
      { id: 'Text', time: String(T), value: 'x' },
    ]
    const ask = async () =>
      (await rig.app.call({ action: 'queryLatest', orgId: ORG, assetId: 'oxWwM9i5' }, { resource: 'measurepoints' }))
        .data
    expect(await ask()).toEqual(told)
    rig = await rig.restart()
    expect(await ask()).toEqual(told)
    const again = await new AskingDevice(rig.server.mqttUrl, 'mqtt_01', {}, PRODUCT).connected()
    expect(await again.request(`${sys}thing/tag/query`, { tags: [] })).toMatchObject({ code: 200, data: { a: 'b' } })
    await again.end()
  })
})
