// Requests of devices as such: who is answered and with which id, who may ask, what there is to ask for, and that nothing hostile gets further than its
// answer. What each request does has tests of its own.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import {
  JSON_MAX_DEPTH,
  PAYLOAD_MAX_MEMBERS,
  PAYLOAD_MAX_PARTS,
  REQUEST_ID_MAX_CHARS,
  TOLD_MODEL_MAX_CHARS,
} from '../src/core/limits.ts'
import type { DataChange } from '../src/store/store.ts'
import { type CodeEntry, codes } from '../src/uplink/codes.ts'
import { answerJson, answerTo, readRequest } from '../src/uplink/payload.ts'
import { type Connection, MODEL, UplinkRig } from './rig/uplink.ts'

const POST = 'thing/measurepoint/post'

let rig: UplinkRig
let m1: Connection
beforeEach(async () => {
  rig = await UplinkRig.open()
  m1 = await rig.connection('m1')
})

describe('the id', () => {
  const ids = [
    '"7"',
    '7',
    '-1',
    '0',
    '1.50',
    '1e3',
    '12345678901234567890123',
    '"\\u6cf5 \\"x\\""',
    '""',
    '"泵"',
    `"${'x'.repeat(REQUEST_ID_MAX_CHARS - 2)}"`,
  ]
  it.each(ids)('%s comes back byte for byte', async id => {
    const payload = `{ "params" : {"measurepoints":{"Int":1}} , "id" : ${id} }`
    expect(await m1.send(POST, payload)).toBe(`{"id":${id},"code":200,"data":{},"message":""}`)
    expect(answerTo(Buffer.from(payload), 1009, 'why "not"')).toBe(
      `{"id":${id},"code":1009,"data":{},"message":"why \\"not\\""}`,
    )
  })

  const nested = (levels: number) => `{"id":"1","params":${'['.repeat(levels)}${']'.repeat(levels)}}`
  const nobody: (string | Buffer)[] = [
    '',
    '\0',
    'x',
    '7',
    '"id"',
    'null',
    '[]',
    '[{"id":"1"}]',
    '{}',
    '{"params":{}}',
    '{"id":null}',
    '{"id":true}',
    '{"id":{}}',
    '{"id":["1"]}',
    '{"id":"1"',
    '{"id":"1"}}',
    '{"id":NaN}',
    "{'id':'1'}",
    `{"id":"${'x'.repeat(REQUEST_ID_MAX_CHARS)}"}`,
    nested(JSON_MAX_DEPTH),
    `${'['.repeat(100_000)}`,
    Buffer.from([0xff, 0xfe, 0x00, 0x01]),
  ]
  it.each(nobody.map(payload => [payload]))('is missing in %j, so that nobody is answered', async payload => {
    expect(await m1.send(POST, payload)).toBeNull()
    expect(answerTo(Buffer.from(payload), 1009, '')).toBeNull()
    expect(readRequest(Buffer.from(payload))).toBeNull()
    expect(rig.errors).toEqual([])
  })
  it('counts as it stands last', async () => {
    expect(await m1.send(POST, '{"id":"1","id":"2"}')).toContain('{"id":"2","code":1251,')
  })
  it('is found under all that may be nested', async () => {
    expect(await m1.send('thing/log/post', nested(JSON_MAX_DEPTH - 1))).toContain('"code":200')
  })
})

describe('a payload of many parts', () => {
  /** With so many of them in all: the object itself, the names of its id and its params, and the list are four. */
  const withParts = (parts: number, part = '{}', id = '"1"') =>
    `{"id":${id},"params":[${Array.from({ length: parts - 4 }, () => part).join(',')}]}`
  const listTold = '"code":1206'

  it('is read as long as there are no more than may be', async () => {
    expect(await m1.send(POST, withParts(PAYLOAD_MAX_PARTS)), 'a list is no report').toContain(listTold)
    const told = await m1.send(POST, withParts(PAYLOAD_MAX_PARTS + 1))
    expect(JSON.parse(String(told))).toEqual({
      id: '1',
      code: 1204,
      data: {},
      message:
        'Model validate failed: params are not read: the request has 25001 names, objects and lists, and may have 25000; send several',
    })
  })
  it.each([
    ['objects', '{}', 1],
    ['lists', '[]', 1],
    ['names', '{"a":1}', 2],
    ['objects in objects', '{"a":{"b":[]}}', 5],
  ])('counts %s', async (_, part, parts) => {
    const count = (PAYLOAD_MAX_PARTS - 4) / parts
    const payload = (items: number) => `{"id":"1","params":[${Array.from({ length: items }, () => part).join(',')}]}`
    expect(await m1.send(POST, payload(Math.floor(count)))).toContain(listTold)
    expect(await m1.send(POST, payload(Math.floor(count) + 1))).toContain('"code":1204')
  })
  it.each([
    ['numbers', '1'],
    ['texts', '""'],
    ['brackets in a text', JSON.stringify('{"a":[{"b":1}]}')],
    ['brackets behind an escaped quote', '"\\"{[:"'],
    ['brackets behind an escaped backslash', '"\\\\","[{:"'],
  ])('does not count %s', async (_, part) => {
    expect(await m1.send(POST, withParts(2 * PAYLOAD_MAX_PARTS, part))).toContain(listTold)
  })
  it('is answered wherever its id stands, and nobody is where it has none', async () => {
    const many = Array.from({ length: PAYLOAD_MAX_PARTS }, () => '{}').join(',')
    expect(await m1.send(POST, `{"params":[${many}],"\\u0069d":7}`)).toContain('{"id":7,"code":1204')
    expect(answerTo(Buffer.from(`{"params":[${many}],"id":"x"}`), 1009, '')).toContain('{"id":"x","code":1009')
    for (const odd of ['"1', '1x', '-', '"\n"', '{}', '"\\x"'])
      expect(await m1.send(POST, `{"id":${odd},"params":[${many}]}`)).toBeNull()
    for (const odd of [`[${many}]`, `{"params":[${many}]}`, `{${many}`, `${many}`, `{"id":1,${many}`])
      expect(JSON.parse((await m1.send(POST, odd)) ?? '{"code":1204}')).toMatchObject({ code: 1204 })
    expect(rig.errors).toEqual([])
  })
  it('does no more for who says so on a topic whose params are not looked at', async () => {
    expect(await m1.send('thing/log/post', withParts(PAYLOAD_MAX_PARTS + 1))).toContain('"code":200')
  })
  it('has few members, or is none', async () => {
    const members = (count: number) => Array.from({ length: count }, (_, n) => `"m${n}":1`).join(',')
    expect(await m1.send('thing/log/post', `{"id":"1",${members(PAYLOAD_MAX_MEMBERS - 1)}}`)).toContain('"code":200')
    expect(await m1.send('thing/log/post', `{"id":"1",${members(PAYLOAD_MAX_MEMBERS)}}`)).toBeNull()
  })
})

describe('NUL in a payload', () => {
  const odd: [string, string, string][] = [
    ['as a byte', '"x\0y"', '"x\ufffdy"'],
    ['as bytes', `"${'\0'.repeat(1_000)}"`, `"${'\ufffd'.repeat(1_000)}"`],
    ['as an escape', '"x\\u0000y"', '"x\ufffdy"'],
    ['as escapes', '"\\u0000\\u0000\\n\\u0000"', '"\ufffd\ufffd\\n\ufffd"'],
    ['behind a backslash', '"\\\\\\u0000"', '"\\\\\ufffd"'],
    ['not where a backslash is escaped before it', '"\\\\u0000"', '"\\\\u0000"'],
    ['not where two are', '"\\\\\\\\u0000"', '"\\\\\\\\u0000"'],
  ]
  it.each(odd)('%s', async (_, sent, kept) => {
    const f1 = await rig.connection('f1')
    expect(await f1.send(POST, `{"id":"1","params":{"measurepoints":{"a":${sent}}}}\0\0`)).toContain('"code":200')
    expect(await rig.values('f1')).toEqual({ a: `${kept}@0` })
  })
  it('in a name, and of nothing else', async () => {
    const f1 = await rig.connection('f1')
    const between = Buffer.from('{"id":"1","params":{"measurepoints":{"a":"?"}}}')
    const cut = Buffer.from([0xe6, 0xb3, 0x00, 0x80])
    const at = between.indexOf('?')
    const payload = Buffer.concat([between.subarray(0, at), cut, between.subarray(at + 1)])
    expect(await f1.send(POST, payload), 'beside bytes that are no UTF-8').toContain('"code":200')
    expect(await rig.values('f1')).toEqual({ a: '"\ufffd\ufffd\ufffd"@0' })
    expect(await f1.send(POST, '{"id":"1","params":{"measurepoints":{"a\0":1}}}')).toContain('"code":1204')
    expect(await f1.send(POST, Buffer.alloc(1_000))).toBeNull()
  })
})

describe('an answer', () => {
  it('always has data, never a bare text', () => {
    expect(JSON.parse(answerJson('"1"', 200, {}))).toEqual({ id: '1', code: 200, data: {}, message: '' })
    expect(JSON.parse(answerJson('1', 723, [1], 'x'))).toEqual({ id: 1, code: 723, data: [1], message: 'x' })
  })
  it('repeats nothing of what could not be read', async () => {
    const told = await m1.send(POST, '{"id":"1","params":{"measurepoints":{"Int":1,"Int":2},"secret":"tell-nobody"}}')
    expect(told).toContain('"code":1204')
    expect(told).toContain('measurepoints.Int is given twice')
    expect(told).not.toContain('tell-nobody')
  })
  it('is short, whatever was wrong', async () => {
    const long = 'x'.repeat(60_000)
    const measurepoints: Record<string, unknown> = { [long]: long, Int: long }
    const told = await m1.send(POST, JSON.stringify({ id: '1', params: { measurepoints } }))
    expect(told?.length).toBeLessThan(600)
    const nested = { a: Array.from({ length: 20 }, () => long.slice(0, 1000)) }
    expect((await m1.send(POST, JSON.stringify({ id: '1', params: nested })))?.length).toBeLessThan(600)
  })
})

describe('what there is to ask for', () => {
  const acknowledged: [string, unknown, unknown][] = [
    ['thing/log/post', [{ level: 'INFO', data: 'x' }], {}],
    ['network/status/report', { rssi: -60 }, {}],
    ['connection/state/post', { state: 'x' }, {}],
    ['ota/device/inform', { version: '1.2.3' }, {}],
    ['ota/device/progress', { step: '20', desc: 'downloading' }, {}],
    ['ota/device/request', {}, {}],
    ['ota/device/getversion', {}, []],
    ['ota/device/getversion', undefined, []],
    ['thing/log/post', 9_007_199_254_740_993n.toString(), {}],
  ]
  it.each(acknowledged)('%s of %j', async (path, params, data) => {
    expect(await m1.ask(path, params)).toEqual({ id: '7', code: 200, data, message: '' })
  })

  it('the thing model', async () => {
    const told = await m1.ask('thing/tsltemplate/get', {})
    expect(told).toMatchObject({ code: 200 })
    expect(told.data).toEqual({
      tslAttributeMap: JSON.parse(JSON.stringify(MODEL.attributes)),
      tslMeasurepointMap: MODEL.measurepoints,
      tslServiceMap: MODEL.services,
      tslEventMap: MODEL.events,
    })
    expect((await (await rig.connection('f1')).ask('thing/tsltemplate/get', {})).data).toEqual({
      tslAttributeMap: {},
      tslMeasurepointMap: {},
      tslServiceMap: {},
      tslEventMap: {},
    })
  })

  it('no thing model that an answer could not hold, which is not looked at further', async () => {
    const { orgId, productKey } = await rig.device('m1')
    const product = await rig.store.product(productKey)
    const organizations = { organizations: [], applications: [], products: [], devices: [] }
    const modelOf = async (json: string) => {
      await rig.store.applyFleet({ ...organizations, models: [{ orgId, modelId: String(product?.modelId), json }] }, 0)
      return m1.ask('thing/tsltemplate/get', {})
    }
    const padded = (length: number) => JSON.stringify({ measurepoints: {} }).padEnd(length)
    expect(await modelOf(padded(TOLD_MODEL_MAX_CHARS))).toMatchObject({ code: 200, data: { tslMeasurepointMap: {} } })
    expect(await modelOf(`{"no JSON`.padEnd(TOLD_MODEL_MAX_CHARS + 1))).toMatchObject({ code: 1008, data: {} })
    expect(rig.errors).toEqual([])
  })

  it.each([
    '',
    'thing',
    'thing/measurepoint',
    `${POST}/`,
    `/${POST}`,
    'thing/event/post',
    'thing/event//post',
    'thing/event/a/b/post',
    'constructor',
    '__proto__',
    'measurepoint/post',
  ])('not %j', async path => {
    expect(await m1.ask(path, {})).toEqual({ id: '7', code: 501, data: {}, message: 'not supported by this server' })
  })
  it.each([POST, 'thing/topo/get', 'thing/log/post', 'event/fault/post'])('not %s by a channel', async path => {
    expect(await rig.channel('meterPk').ask(path, [])).toMatchObject({ code: 501 })
  })
})

describe('who may ask', () => {
  const foreign = { code: 1009, data: {}, message: 'no write permission on this topic' }
  it.each([POST, 'thing/log/post', 'nothing', 'measurepoint/post'])(
    '%s: not for a device that is not here',
    async path => {
      const params = { measurepoints: { Int: 1 } }
      for (const deviceKey of ['m2', 's1', 'nobody', 'integration'])
        expect(await m1.ask(path, params, {}, { productKey: 'meterPk', deviceKey })).toMatchObject(foreign)
      expect(await rig.values('m2')).toEqual({})
    },
  )
  it('a gateway for the devices that are logged in over it', async () => {
    const gateway = await rig.connection('g1', 's1')
    const ask = (deviceKey: string) =>
      gateway.ask(POST, { measurepoints: { Int: 1 } }, {}, { productKey: 'meterPk', deviceKey })
    expect(await ask('s1')).toMatchObject({ code: 200 })
    expect(await ask('s2')).toMatchObject(foreign)
    expect(await rig.values('s1')).toEqual({ Int: '1@0' })
  })
  it('a channel on its own topic', async () => {
    const channel = rig.channel('meterPk')
    const items = [{ deviceKey: 'm1', measurepoints: { Int: 1 } }]
    for (const keys of [
      { productKey: 'freePk', deviceKey: 'integration' },
      { productKey: 'meterPk', deviceKey: 'm1' },
    ])
      expect(await channel.ask('measurepoint/post', items, {}, keys)).toMatchObject(foreign)
    expect(await channel.ask('measurepoint/post', items)).toMatchObject({ code: 200 })
    expect(await channel.ask('measurepoint/post', null)).toMatchObject({ code: 1251 })
  })
})

describe('what fails inside', () => {
  it('is answered and logged, and harms nobody else', async () => {
    const broken = await UplinkRig.open(store => {
      const save = store.saveData.bind(store)
      store.saveData = async (changes: readonly DataChange[]) => {
        const isBad = changes.some(
          change => change.type === 'measurepoints' && change.values.some(v => v.pointId === 'Bool'),
        )
        if (isBad) throw new Error('the disk has a hole')
        return save(changes)
      }
    })
    const connections = await Promise.all(['m1', 'm2', 's1'].map(assetId => broken.connection(assetId)))
    const points = [{ Int: 1 }, { Bool: true }, { Int: 3 }]
    const told = await Promise.all(
      connections.map((connection, i) => connection.ask(POST, { measurepoints: points[i] })),
    )
    expect(told.map(({ code }) => code)).toEqual([200, 500, 200])
    expect(told[1]).toEqual({ id: '7', code: 500, data: {}, message: 'internal error: try again later' })
    expect(broken.errors).toMatchObject([{ deviceKey: 'm2', path: POST, err: { message: 'the disk has a hole' } }])
    expect(await broken.values('s1')).toEqual({ Int: '3@0' })
  })
  it('may be a read', async () => {
    const broken = await UplinkRig.open(store => {
      store.tags = () => Promise.reject(new Error('the disk has a hole'))
    })
    expect(await (await broken.connection('m1')).ask('thing/tag/query', { tags: [] })).toMatchObject({ code: 500 })
  })
})

describe('whatever comes', () => {
  const words = [
    'id',
    'params',
    'measurepoints',
    'attributes',
    'tags',
    'events',
    'time',
    'value',
    'quality',
    'productKey',
    'deviceKey',
    'Int',
    'Struct',
    'm1',
    's1',
    'g1',
    'meterPk',
    'gwPk',
    'deviceName',
    'tagKey',
    'tagValue',
    'sign',
    'signMethod',
    'sha256',
    'timestamp',
    'fault',
    'code',
    '__proto__',
    'constructor',
    'toString',
    '\0',
    '',
  ]
  const key = fc.oneof(fc.constantFrom(...words), fc.string({ maxLength: 5 }))
  const value: fc.Arbitrary<unknown> = fc.letrec(tie => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.oneof(fc.constantFrom(...words), fc.integer(), fc.double({ noNaN: true }), fc.boolean(), fc.constant(null)),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(key, tie('value'), { maxKeys: 5 }),
    ),
  })).value
  const PATHS = [
    ...[POST, 'thing/measurepoint/resume', `${POST}/batch`, 'thing/event/fault/post', 'thing/event/\u0000/post'],
    ...['query', 'update', 'delete'].flatMap(what => [`thing/attribute/${what}`, `thing/tag/${what}`]),
    ...['add', 'delete', 'get'].map(what => `thing/topo/${what}`),
    ...['thing/device/register', 'thing/tsltemplate/get', 'ota/device/getversion', 'thing/log/post', 'nothing'],
    ...['measurepoint/post', 'event/post', 'attribute/post'],
  ]
  const request = fc.record({
    path: fc.constantFrom(...PATHS),
    who: fc.nat(2),
    params: value,
    beside: fc.dictionary(key, value, { maxKeys: 2 }),
  })
  const known = new Set<number>(Object.values(codes).map(({ code }) => code))

  it('is answered with a code of the table, and fails nowhere inside', async () => {
    const connections = [m1, await rig.connection('g1', 's1'), rig.channel('meterPk')]
    await fc.assert(
      fc.asyncProperty(request, async ({ path, who, params, beside }) => {
        const payload = JSON.stringify({ ...beside, id: '7', params })
        const told = JSON.parse((await connections[who]?.send(path, payload)) ?? 'null')
        expect(Object.keys(told)).toEqual(['id', 'code', 'data', 'message'])
        expect(told.id).toBe('7')
        expect(known).toContain(told.code)
        expect(told.code).not.toBe(codes.internal.code)
        expect(typeof told.data).toBe('object')
      }),
      { numRuns: 2_000 },
    )
    expect(rig.errors).toEqual([])
  })

  it('is answered with its id or not at all, however it was damaged', async () => {
    const sound = JSON.stringify({
      id: '7',
      params: { measurepoints: { Int: { value: 1, quality: 9 }, Text: 'x' }, time: 5 },
    })
    const damage = fc.record({ at: fc.nat(sound.length), cut: fc.nat(3), put: fc.uint8Array({ maxLength: 4 }) })
    await fc.assert(
      fc.asyncProperty(damage, async ({ at, cut, put }) => {
        const payload = Buffer.concat([Buffer.from(sound.slice(0, at)), put, Buffer.from(sound.slice(at + cut))])
        const told = await m1.send(POST, payload)
        if (told !== null) expect(JSON.parse(told)).toMatchObject({ code: expect.any(Number), data: {} })
      }),
      { numRuns: 2_000 },
    )
    expect(rig.errors).toEqual([])
  })
})

describe('the codes', () => {
  const page = readFileSync(new URL('../docs/mqtt.md', import.meta.url), 'utf8')
  const row = ({ code, message, origin, meaning }: CodeEntry) => `| ${code} | ${message} | ${origin} | ${meaning} |`
  it('are printed in docs/mqtt.md exactly as the code has them', () => {
    expect(page).toContain(Object.values(codes).map(row).join('\n'))
  })
  it('are in order, one entry each', () => {
    const all = Object.values(codes).map(({ code }) => code)
    expect(all).toEqual([...new Set(all)].sort((a, b) => a - b))
    expect(all, 'SDKs send odd methods, and nothing is wrong with that').not.toContain(1260)
  })
})
