// Measurepoints as devices report them: one by one, in batches of a gateway, over a channel; their forms, their times, and that a request is done whole
// or not at all.

import { beforeEach, describe, expect, it } from 'vitest'
import {
  POINTS_MAX_PER_DEVICE,
  REPORT_AHEAD_MAX_MS,
  REPORTED_MAX_BYTES,
  REQUEST_ITEMS_MAX,
  REQUEST_MAX_VALUES,
} from '../src/core/limits.ts'
import { NOW, UplinkRig } from './rig/uplink.ts'

const POST = 'thing/measurepoint/post'
const BATCH = 'thing/measurepoint/post/batch'

let rig: UplinkRig
beforeEach(async () => {
  rig = await UplinkRig.open()
})

/** What the SDKs of the vendor really send. */
const asSent: Record<string, { path: string; payload: string; values: Record<string, string> }> = {
  node: {
    path: POST,
    payload:
      '{"id":"3","version":"1.0","params":{"measurepoints":{"Int":20,"Array":["a","b"]}},"method":"thing.measurepoint.post"}',
    values: { Int: '20@0', Array: '["a","b"]@0' },
  },
  java: {
    path: POST,
    payload: `{"id":"12","method":"thing.measurepoint.post","version":"1.1","params":{"measurepoints":{"Int":{"value":1,"quality":9},"Double":1.02},"time":${NOW - 50}}}`,
    values: { Int: '1/9@-50', Double: '1.02@-50' },
  },
  python: {
    path: 'thing/measurepoint/resume',
    payload: `{"id": "2", "version": "1.0", "params": {"measurepoints": {"Int": {"value": 1, "quality": "9"}, "Text": "\\u6cf5"}, "time": ${NOW - 7}}, "method": "wrong.method"}`,
    values: { Int: '1/9@-7', Text: '"泵"@-7' },
  },
  c: {
    path: POST,
    payload:
      '{"id":"0","version":"1.0","params":{"measurepoints":{"Int":5,"Bool":1}},"method":"thing.measurepoint.post"}\0',
    values: { Int: '5@0', Bool: '1@0' },
  },
  'java batch': {
    path: BATCH,
    payload: `{"id":"4","version":"1.1","method":"thing.measurepoint.post.batch","allowOfflineSubDevice":false,"skipInvalidMeasurepoints":false,"params":[{"measurepoints":{"Int":1},"time":${NOW - 2}},{"productKey":"meterPk","deviceKey":"m1","measurepoints":{"Int":2},"time":${NOW - 1}}]}`,
    values: { Int: '2@-1' },
  },
  'python batch': {
    path: 'thing/measurepoint/resume/batch',
    payload: `{"id": "5", "version": "1.0", "allowOfflineSubDevice": "", "skipInvalidMeasurepoints": "", "params": [{"productKey": "", "deviceKey": "", "measurepoints": {"Int": 3}, "time": ${NOW}}]}`,
    values: { Int: '3@0' },
  },
}

describe('what the SDKs send', () => {
  it.each(Object.entries(asSent))('%s', async (_name, { path, payload, values }) => {
    const device = await rig.connection('m1')
    const id = JSON.parse(payload.replace('\0', '')).id
    expect(await device.send(path, payload)).toBe(`{"id":"${id}","code":200,"data":{},"message":""}`)
    expect(await rig.values('m1')).toEqual(values)
  })
})

describe('a value', () => {
  const fits: [string, unknown, string][] = [
    ['Int', 7, '7'],
    ['Int', { value: 7 }, '7'],
    ['Int', { value: 7, quality: null }, '7'],
    ['Int', { value: 7, quality: 0 }, '7/0'],
    ['Double', 1.5e300, '1.5e+300'],
    ['Enum', 1, '1'],
    ['File', 'local://x.png', '"local://x.png"'],
    ['Array', { value: ['1.02'], quality: 1 }, '["1.02"]/1'],
    // A STRUCT whose items are named so is itself, and may all the same come with a quality.
    ['Struct', { value: 1, quality: 2 }, '{"value":1,"quality":2}'],
    ['Struct', { value: 1 }, '{"value":1}'],
    ['Struct', { value: { value: 1 }, quality: 2 }, '{"value":1}/2'],
    ['Place', { x: 1 }, '{"x":1}'],
    ['Place', { value: { x: 1 }, quality: 2 }, '{"x":1}/2'],
    ['Place', { value: { x: 1 } }, '{"x":1}'],
  ]
  it.each(fits)('of %s may be %j', async (point, given, kept) => {
    const device = await rig.connection('m1')
    expect(await device.ask(POST, { measurepoints: { [point]: given } })).toMatchObject({ code: 200 })
    expect(await rig.values('m1')).toEqual({ [point]: `${kept}@0` })
  })

  const misfits: [string, unknown, string][] = [
    ['Int', 'x', 'Int must be an INT from -10 to 1000, got "x"'],
    ['Int', 1001, 'Int must be'],
    ['Int', null, 'Int must not be null'],
    ['Int', { value: 'x', quality: 1 }, 'Int must be an INT'],
    ['Int', { value: null, quality: 1 }, 'Int must not be null'],
    ['Int', { value: 1, quality: 'good' }, 'Int.quality must be an integer, got "good"'],
    ['Int', { value: 1, quality: 1.5 }, 'Int.quality must be an integer, got 1.5'],
    ['Int', { value: 1, time: 5 }, 'Int must be an INT'],
    ['Text', 'x'.repeat(21), 'Text must be a STRING of at most 20'],
    ['Place', { y: 1 }, 'Place has no "y"'],
    ['Struct', { value: 'x' }, 'Struct must be a STRUCT, got "x"'],
    ['Intt', 7, 'the product\'s model has no measurepoint "Intt"; did you mean "Int"?'],
    ['a b', 7, "the measurepoint's id must be 1 to 64 letters"],
    ['constructor', 7, 'the product\'s model has no measurepoint "constructor"'],
  ]
  it.each(misfits)('of %s may not be %j', async (point, given, why) => {
    const device = await rig.connection('m1')
    const told = await device.ask(POST, { measurepoints: { Double: 1, [point]: given } })
    expect(told).toMatchObject({ id: '7', code: 1204, data: {} })
    expect(told.message).toContain(`Model validate failed: ${why}`)
    expect(await rig.values('m1'), 'nothing of the request is applied').toEqual({})
  })

  it('of a product without a model is any JSON but null', async () => {
    const device = await rig.connection('f1')
    const given = {
      a: 'x',
      b: { value: 1, quality: 2 },
      c: { value: 1 },
      d: { value: 1, quality: 'good' },
      e: [[], {}],
    }
    expect(await device.ask(POST, { measurepoints: given })).toMatchObject({ code: 200 })
    expect(await rig.values('f1')).toEqual({
      a: '"x"@0',
      b: '1/2@0',
      c: '{"value":1}@0',
      d: '{"value":1,"quality":"good"}@0',
      e: '[[],{}]@0',
    })
    for (const measurepoints of [{ a: null }, { 'a/b': 1 }, { '': 1 }, { ['k'.repeat(65)]: 1 }])
      expect(await device.ask(POST, { measurepoints })).toMatchObject({ code: 1204 })
  })

  it('is refused rather than rounded', async () => {
    const device = await rig.connection('f1')
    const post = (value: string) => device.send(POST, `{"id":1,"params":{"measurepoints":{"a":${value}}}}`)
    expect(await post('9007199254740991')).toContain('"code":200')
    for (const value of ['9007199254740993', '-9007199254740993', '{"b":[12345678901234567890]}', '1e400'])
      expect(await post(value)).toMatch(/^\{"id":1,"code":1204,"data":\{\},"message":"Model validate failed: params /)
    expect(await rig.values('f1')).toEqual({ a: '9007199254740991@0' })
  })

  it('has a bound, and so has the number of points', async () => {
    const device = await rig.connection('f1')
    const text = (length: number) => 'x'.repeat(length - 2)
    expect(await device.ask(POST, { measurepoints: { a: text(REPORTED_MAX_BYTES) } })).toMatchObject({ code: 200 })
    expect(await device.ask(POST, { measurepoints: { a: text(REPORTED_MAX_BYTES + 1) } })).toMatchObject({ code: 1204 })
    const points = (from: number, count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${from + i}`, 1]))
    expect(await device.ask(POST, { measurepoints: points(0, POINTS_MAX_PER_DEVICE + 1) })).toMatchObject({
      code: 1204,
    })
    expect(await device.ask(POST, { measurepoints: points(0, POINTS_MAX_PER_DEVICE - 1) })).toMatchObject({ code: 200 })
    const full = await device.ask(POST, { measurepoints: points(POINTS_MAX_PER_DEVICE, 1) })
    expect(full).toMatchObject({
      code: 1204,
      message: expect.stringContaining('f1 would have more than 5000 measurepoints'),
    })
  })

  it('has its bound in bytes, whatever it is written in', async () => {
    const device = await rig.connection('f1')
    const room = REPORTED_MAX_BYTES - 2
    for (const [letter, bytes] of [
      ['x', 1],
      ['\x7f', 1],
      ['\x80', 2],
      ['ä', 2],
      ['\u07ff', 2],
      ['\u0800', 3],
      ['泵', 3],
      ['\uffee', 3],
      ['😀', 4],
    ] as const) {
      expect(Buffer.byteLength(letter), letter).toBe(bytes)
      const fits = letter.repeat(Math.floor(room / bytes)) + 'x'.repeat(room % bytes)
      expect(await device.ask(POST, { measurepoints: { a: fits } }), letter).toMatchObject({ code: 200 })
      const told = await device.ask(POST, { measurepoints: { a: `${fits}x` } })
      expect(told, letter).toMatchObject({ code: 1204, message: expect.stringContaining('a has more bytes as JSON') })
    }
  })

  it('holds no NUL', async () => {
    const device = await rig.connection('f1')
    expect(await device.ask(POST, { measurepoints: { a: 'x\0y', b: '\\u0000', c: '\ud800' } })).toMatchObject({
      code: 200,
    })
    expect(await rig.values('f1')).toEqual({ a: '"x\ufffdy"@0', b: '"\\\\u0000"@0', c: '"\\ud800"@0' })
  })
})

describe('the time', () => {
  const times: [unknown, number | null][] = [
    [undefined, 0],
    [null, 0],
    ['', 0],
    [NOW - 5, -5],
    [String(NOW - 5), -5],
    [0, -NOW],
    [NOW + REPORT_AHEAD_MAX_MS, REPORT_AHEAD_MAX_MS],
    [NOW + REPORT_AHEAD_MAX_MS + 1, 0],
    [Number.MAX_SAFE_INTEGER, 0],
    [-1, null],
    [1.5, null],
    ['yesterday', null],
    [{}, null],
    [[NOW], null],
    [true, null],
  ]
  it.each(times)('may be %j: %j', async (time, at) => {
    const device = await rig.connection('m1')
    const told = await device.ask(POST, { measurepoints: { Int: 1 }, time })
    expect(told.code).toBe(at === null ? 1206 : 200)
    expect(await rig.values('m1')).toEqual(at === null ? {} : { Int: `1@${at}` })
  })

  it('decides which value is the latest, for reports of old data as for any', async () => {
    const device = await rig.connection('m1')
    const report = (path: string, value: number, time: number) =>
      device.ask(path, { measurepoints: { Int: value, Double: value }, time: NOW + time })
    await report(POST, 2, -10)
    await report('thing/measurepoint/resume', 1, -20)
    expect(await rig.values('m1')).toEqual({ Int: '2@-10', Double: '2@-10' })
    await report('thing/measurepoint/resume', 3, -5)
    expect(await rig.values('m1')).toEqual({ Int: '3@-5', Double: '3@-5' })
  })
})

describe('a report that is not built as one', () => {
  const odd: [unknown, number][] = [
    [{}, 1206],
    [{ measurepoints: [] }, 1206],
    [{ measurepoints: null }, 1206],
    [{ measurepoints: 'Int' }, 1206],
    [[], 1206],
    ['x', 1206],
    [7, 1206],
    [false, 1206],
    [null, 1251],
    [undefined, 1251],
  ]
  it.each(odd)('%j is answered %i', async (params, code) => {
    const device = await rig.connection('m1')
    expect(await device.ask(POST, params)).toMatchObject({ id: '7', code, data: {} })
  })
  it('says nothing where it has no points', async () => {
    const device = await rig.connection('m1')
    expect(await device.ask(POST, { measurepoints: {} })).toMatchObject({ code: 200 })
    expect(await device.ask(BATCH, [])).toMatchObject({ code: 200 })
  })
})

describe('a batch', () => {
  const point = (deviceKey: string, value: unknown, more: object = {}) => ({
    ...{ productKey: 'meterPk', deviceKey, measurepoints: { Int: value }, ...more },
  })

  it('is about the publisher and the sub-devices that are logged in', async () => {
    const gateway = await rig.connection('g1', 's1', 's2')
    const items = [point('s1', 1), point('s2', 2), { measurepoints: { anything: [3] } }]
    expect(await gateway.ask(BATCH, items)).toMatchObject({ code: 200 })
    expect(await rig.values('s1')).toEqual({ Int: '1@0' })
    expect(await rig.values('s2')).toEqual({ Int: '2@0' })
    expect(await rig.values('g1')).toEqual({ anything: '[3]@0' })
  })

  it('may come on the topic of a sub-device, and is about that where it names none', async () => {
    const gateway = await rig.connection('g1', 's1')
    const keys = { productKey: 'meterPk', deviceKey: 's1' }
    expect(await gateway.ask(BATCH, [{ deviceKey: '', measurepoints: { Int: 4 } }], {}, keys)).toMatchObject({
      code: 200,
    })
    expect(await rig.values('s1')).toEqual({ Int: '4@0' })
  })

  const strangers = ['s2', 'off', 'far', 'loose', 'nobody', 'not/a/key', 7, {}]
  it.each(strangers)('that names %j is refused as a whole', async stranger => {
    const gateway = await rig.connection('g1', 's1')
    const told = await gateway.ask(BATCH, [point('s1', 1), point(String(stranger), 2)])
    expect(told).toMatchObject({ code: 1212, data: {} })
    expect(told.message).toContain('params[1]: ')
    expect(await gateway.ask(BATCH, [{ ...point('s1', 1), deviceKey: stranger }])).toMatchObject({ code: 1212 })
    expect(await rig.values('s1')).toEqual({})
  })

  it('may be about offline devices of its topology where it says so, and about no others', async () => {
    const gateway = await rig.connection('g1', 's1')
    const offline = { allowOfflineSubDevice: true }
    expect(await gateway.ask(BATCH, [point('s1', 1), point('s2', 2), point('s2', 3)], offline)).toMatchObject({
      code: 200,
    })
    expect(await rig.values('s2')).toEqual({ Int: '3@0' })
    for (const stranger of ['off', 'far', 'loose', 'nobody'])
      expect(await gateway.ask(BATCH, [point('s2', 9), point(stranger, 2)], offline)).toMatchObject({ code: 1212 })
    expect(await rig.values('s2')).toEqual({ Int: '3@0' })
    expect(await gateway.ask(BATCH, [point('s2', 5)], { allowOfflineSubDevice: 'TRUE' })).toMatchObject({ code: 200 })
    for (const no of [false, '', null, 1, 'yes', {}, [true]])
      expect(await gateway.ask(BATCH, [point('s2', 6)], { allowOfflineSubDevice: no })).toMatchObject({ code: 1212 })
  })

  it('with one value that does not fit is refused as a whole, or leaves that value out', async () => {
    const gateway = await rig.connection('g1', 's1', 's2')
    const items = [point('s1', 1), point('s2', 'x', { measurepoints: { Int: 'x', Double: 2, Nothing: 1 } })]
    const told = await gateway.ask(BATCH, items)
    expect(told).toMatchObject({ code: 1204, message: expect.stringContaining('params[1]: Int must be an INT') })
    expect(await rig.values('s1')).toEqual({})
    const skip = { skipInvalidMeasurepoints: true }
    expect(await gateway.ask(BATCH, items, skip)).toMatchObject({ code: 200 })
    expect(await rig.values('s1')).toEqual({ Int: '1@0' })
    expect(await rig.values('s2')).toEqual({ Double: '2@0' })
    expect(await gateway.ask(BATCH, [point('s1', 'x')], skip), 'nothing is left').toMatchObject({ code: 200 })
  })

  it('leaves out by itself a device that would have too many points', async () => {
    const gateway = await rig.connection('g1', 's1')
    const many = Object.fromEntries(Array.from({ length: POINTS_MAX_PER_DEVICE }, (_, i) => [`p${i}`, 1]))
    expect(await gateway.ask(BATCH, [{ measurepoints: many }])).toMatchObject({ code: 200 })
    const told = await gateway.ask(BATCH, [{ measurepoints: { more: 1 } }, point('s1', 1)])
    expect(told).toMatchObject({ code: 1204, message: expect.stringContaining('g1 would have more than 5000') })
    expect(await rig.values('s1')).toEqual({ Int: '1@0' })
  })

  const odd: unknown[] = [{}, 'x', [null], [[]], [7], [{ measurepoints: 1 }], [{ measurepoints: {}, time: 'x' }]]
  it.each(odd.map(params => [params]))('built as %j is refused', async params => {
    const gateway = await rig.connection('g1')
    expect(await gateway.ask(BATCH, params)).toMatchObject({ code: 1206 })
  })
  it('has a bound', async () => {
    const gateway = await rig.connection('g1')
    const items = (count: number) => Array.from({ length: count }, () => ({ measurepoints: { p: 1 } }))
    expect(await gateway.ask(BATCH, items(REQUEST_ITEMS_MAX))).toMatchObject({ code: 200 })
    expect(await gateway.ask(BATCH, items(REQUEST_ITEMS_MAX + 1))).toMatchObject({ code: 1206 })
  })

  it('has a bound of values, in all its items together', async () => {
    const gateway = await rig.connection('g1', 's1')
    const points = (count: number, value: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, value]))
    const half = REQUEST_MAX_VALUES / 2
    const items = (more: number) => [
      { measurepoints: points(half, more) },
      { measurepoints: points(half, more) },
      { productKey: 'meterPk', deviceKey: 's1', measurepoints: more === 0 ? {} : { Int: more } },
    ]
    expect(await gateway.ask(BATCH, items(0))).toMatchObject({ code: 200 })
    const told = await gateway.ask(BATCH, items(1))
    expect(told).toMatchObject({
      code: 1204,
      message: 'Model validate failed: a request may have 5000 values, got 5001: send several',
    })
    expect([await rig.values('s1'), (await rig.values('g1')).p0], 'nothing of it was saved').toEqual([{}, '0@0'])
    // What does not fit is left out before it is counted.
    const skip = { skipInvalidMeasurepoints: true }
    expect(await gateway.ask(BATCH, [...items(1), { measurepoints: { 'a b': 1 } }], skip)).toMatchObject({ code: 1204 })
    const odd = { productKey: 'meterPk', deviceKey: 's1', measurepoints: { Int: 'x' } }
    expect(await gateway.ask(BATCH, [...items(0), odd], skip)).toMatchObject({ code: 200 })
  })

  it('may not be about a device that needs a certificate, which its gateway cannot show', async () => {
    const gateway = await rig.connection('g2', 'far')
    const item = { productKey: 'certPk', deviceKey: 'certIn', measurepoints: { p: 1 } }
    const far = { productKey: 'meterPk', deviceKey: 'far', measurepoints: { Int: 1 } }
    for (const params of [[item], [far, item]])
      expect(await gateway.ask(BATCH, params, { allowOfflineSubDevice: true })).toMatchObject({
        code: 1212,
        message: expect.stringContaining('certPk/certIn is not logged in on this connection'),
      })
    expect([await rig.values('certIn'), await rig.values('far')]).toEqual([{}, {}])
  })
})

describe('a channel', () => {
  it('reports for the devices of its product, each with its own time', async () => {
    const channel = rig.channel('meterPk')
    const items = [
      { deviceKey: 'm1', measurepoints: { Int: { value: 1, quality: 9 } }, time: NOW - 1 },
      { deviceKey: 'm1', measurepoints: { Int: 2 }, time: String(NOW) },
      { deviceKey: 's1', measurepoints: { Int: 3 } },
    ]
    expect(await channel.ask('measurepoint/post', items)).toMatchObject({ id: '7', code: 200, data: {} })
    expect(await rig.values('m1')).toEqual({ Int: '2@0' })
    expect(await rig.values('s1')).toEqual({ Int: '3@0' })
  })

  const refusals: [unknown, number][] = [
    [{ deviceKey: 'f1', measurepoints: { Int: 1 } }, 1257],
    [{ deviceKey: 'nobody', measurepoints: { Int: 1 } }, 1257],
    [{ measurepoints: { Int: 1 } }, 1257],
    [{ deviceKey: 7, measurepoints: { Int: 1 } }, 1257],
    [{ deviceKey: 'off', measurepoints: { Int: 1 } }, 723],
    [{ deviceKey: 'm1', measurepoints: { Int: 'x' } }, 1204],
    [{ deviceKey: 'm1' }, 1206],
    [null, 1206],
  ]
  it.each(refusals)('is refused as a whole with %j: %i', async (item, code) => {
    const channel = rig.channel('meterPk')
    const items = [{ deviceKey: 'm2', measurepoints: { Int: 1 } }, item]
    expect(await channel.ask('measurepoint/post', items)).toMatchObject({ code })
    expect(await rig.values('m2')).toEqual({})
  })
})
