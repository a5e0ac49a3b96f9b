// Attributes, tags and events as devices report and ask for them, by themselves and over a channel.

import { beforeEach, describe, expect, it } from 'vitest'
import {
  ATTRIBUTES_MAX_PER_DEVICE,
  ATTRIBUTES_MAX_PER_REQUEST,
  REPORT_AHEAD_MAX_MS,
  REQUEST_MAX_VALUES,
  TAG_MAX_CHARS,
} from '../src/core/limits.ts'
import { type Connection, NOW, UplinkRig } from './rig/uplink.ts'

let rig: UplinkRig
let m1: Connection
beforeEach(async () => {
  rig = await UplinkRig.open()
  m1 = await rig.connection('m1')
})

const numbered = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}`, i]))

describe('attributes', () => {
  const query = async (attributes?: unknown, device = m1) =>
    (await device.ask('thing/attribute/query', { attributes })).data
  const update = (attributes: unknown, device = m1) => device.ask('thing/attribute/update', { attributes })

  it('are set, asked for and deleted', async () => {
    expect(await query([])).toEqual({})
    expect(await update({ serial: 'A1', place: { x: 1 } })).toEqual({ id: '7', code: 200, data: {}, message: '' })
    expect(await update({ count: 3 })).toMatchObject({ code: 200 })
    expect(await query([])).toEqual({ serial: 'A1', place: { x: 1 }, count: 3 })
    expect(await query(), 'no list asks for all').toEqual({ serial: 'A1', place: { x: 1 }, count: 3 })
    expect(await query(['count', 'unset', 'serial'])).toEqual({ serial: 'A1', count: 3 })
    expect(await m1.ask('thing/attribute/delete', { attributes: [] })).toMatchObject({ code: 200 })
    expect(await m1.ask('thing/attribute/delete', {})).toMatchObject({ code: 200 })
    expect(Object.keys(await query([]))).toHaveLength(3)
    expect(await m1.ask('thing/attribute/delete', { attributes: ['serial', 'unset', 'serial'] })).toMatchObject({
      code: 200,
    })
    expect(await query([])).toEqual({ place: { x: 1 }, count: 3 })
  })

  it('come in the order in which they were first set, also where an object would put them in another', async () => {
    await update({ serial: 'A1' })
    await update({ 2: 2 })
    await update({ 1: 1, serial: 'A2' })
    const payload = '{"id":"7","params":{"attributes":[]}}'
    const answer = '{"id":"7","code":200,"data":{"serial":"A2","2":2,"1":1},"message":""}'
    expect(await m1.send('thing/attribute/query', payload)).toBe(answer)
  })

  const misfits: [object, string][] = [
    [{ count: 1, serial: 7 }, 'serial must be a STRING'],
    [{ count: 1, serial: null }, 'serial must not be null'],
    [{ count: 1, other: 1 }, 'has no attribute "other"'],
    [{ count: 1, place: { y: 1 } }, 'place has no "y"'],
    [{ count: 1, toString: 1 }, 'has no attribute "toString"'],
  ]
  it.each(misfits)('%j are refused as a whole', async (attributes, why) => {
    expect(await update(attributes)).toMatchObject({ code: 1204, data: {}, message: expect.stringContaining(why) })
    expect(await query([])).toEqual({})
  })

  const odd: [string, unknown, number][] = [
    ['update', {}, 1207],
    ['update', [], 1207],
    ['update', { attributes: [] }, 1207],
    ['update', { attributes: null }, 1207],
    ['update', { attributes: 'serial' }, 1207],
    ['update', null, 1251],
    ['query', [], 1208],
    ['query', { attributes: {} }, 1208],
    ['query', { attributes: 'serial' }, 1208],
    ['query', { attributes: [7] }, 1208],
    ['query', { attributes: [null] }, 1208],
    ['query', { attributes: ['a b'] }, 1208],
    ['query', undefined, 1251],
    ['delete', 'x', 1209],
    ['delete', { attributes: {} }, 1209],
    ['delete', { attributes: [['serial']] }, 1209],
  ]
  it.each(odd)('%s of %j is answered %i', async (what, params, code) => {
    expect(await m1.ask(`thing/attribute/${what}`, params)).toMatchObject({ id: '7', code, data: {} })
  })

  it('have bounds', async () => {
    const free = await rig.connection('f1')
    expect(await update(numbered(ATTRIBUTES_MAX_PER_REQUEST + 1), free)).toMatchObject({ code: 1207 })
    const ids = Object.keys(numbered(ATTRIBUTES_MAX_PER_REQUEST + 1))
    expect(await free.ask('thing/attribute/query', { attributes: ids })).toMatchObject({ code: 1208 })
    expect(await free.ask('thing/attribute/delete', { attributes: ids })).toMatchObject({ code: 1209 })
    for (let from = 0; from < ATTRIBUTES_MAX_PER_DEVICE; from += 200) {
      const attributes = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`a${from + i}`, i]))
      expect(await update(attributes, free)).toMatchObject({ code: 200 })
    }
    const full = await update({ more: 1, a1: 2 }, free)
    expect(full).toMatchObject({
      code: 1204,
      message: expect.stringContaining('f1 would have more than 1000 attributes'),
    })
    expect(await query(['a1'], free), 'all or nothing').toEqual({ a1: 1 })
  })

  it('that would make too long an answer are asked for in parts, and nothing else is read', async () => {
    const free = await rig.connection('f1')
    for (let i = 0; i < 16; i += 1)
      expect(await update({ [`a${i}`]: 'x'.repeat(16_000) }, free)).toMatchObject({ code: 200 })
    const read: unknown[] = []
    const { attributes } = rig.store
    rig.store.attributes = async (...asked) => {
      const found = await attributes.apply(rig.store, asked)
      read.push([...found.keys()])
      return found
    }
    expect(await free.ask('thing/attribute/query', { attributes: [] })).toMatchObject({ id: '7', code: 1008, data: {} })
    const all = Array.from({ length: 16 }, (_, i) => `a${i}`)
    expect(await free.ask('thing/attribute/query', { attributes: all })).toMatchObject({ code: 1008 })
    expect(read).toEqual([])
    expect(Object.keys(await query(['a2', 'a1', 'none', 'a2'], free))).toEqual(['a1', 'a2'])
    expect(await query(['none'], free)).toEqual({})
    expect(read).toEqual([['a1', 'a2'], []])
  })

  it.each(['attribute/post', 'attributes/post'])('of several devices come over a channel on %s', async path => {
    const channel = rig.channel('meterPk')
    const items = [
      { deviceKey: 'm1', attributes: { count: 1 } },
      { deviceKey: 'm2', attributes: { count: 2, serial: 'B' } },
      { deviceKey: 'm1', attributes: { serial: 'A' } },
    ]
    expect(await channel.ask(path, items)).toMatchObject({ code: 200, data: {} })
    expect(await query([])).toEqual({ count: 1, serial: 'A' })
    expect(await query([], await rig.connection('m2'))).toEqual({ count: 2, serial: 'B' })
    const refused: [unknown, number][] = [
      [{ deviceKey: 'm1', attributes: { count: 'x' } }, 1204],
      [{ deviceKey: 'm1' }, 1220],
      [{ deviceKey: 'nobody', attributes: {} }, 1257],
    ]
    for (const [item, code] of refused) {
      const told = await channel.ask(path, [{ deviceKey: 'm2', attributes: { count: 9 } }, item])
      expect(told).toMatchObject({ code, message: expect.stringContaining('params[1]: ') })
    }
    expect(await channel.ask(path, {})).toMatchObject({ code: 1220 })
    const free = rig.channel('freePk')
    const many = (items: number) =>
      Array.from({ length: items }, () => ({ deviceKey: 'f1', attributes: numbered(ATTRIBUTES_MAX_PER_REQUEST) }))
    const most = REQUEST_MAX_VALUES / ATTRIBUTES_MAX_PER_REQUEST
    expect(await free.ask(path, many(most))).toMatchObject({ code: 200 })
    expect(await free.ask(path, [...many(most), { deviceKey: 'f1', attributes: { more: 1 } }])).toMatchObject({
      code: 1204,
      message: expect.stringContaining('a request may have 5000 values, got 5001'),
    })
    expect(await query(['count'], await rig.connection('m2'))).toEqual({ count: 2 })
  })
})

describe('tags', () => {
  const query = async (tags?: unknown) => (await m1.ask('thing/tag/query', { tags })).data
  const update = (...tags: [string, unknown][]) =>
    m1.ask(
      'thing/tag/update',
      tags.map(([tagKey, tagValue]) => ({ tagKey, tagValue })),
    )

  it('are set, asked for and deleted', async () => {
    expect(await query([])).toEqual({})
    expect(await update(['b', 'x'], ['a', ''], ['b', 'y'])).toEqual({ id: '7', code: 200, data: {}, message: '' })
    expect(await query([])).toEqual({ b: 'y', a: '' })
    expect(await query()).toEqual({ b: 'y', a: '' })
    expect(await query(['a', 'unset'])).toEqual({ a: '' })
    expect(await m1.ask('thing/tag/delete', { tags: [] })).toMatchObject({ code: 200 })
    expect(Object.keys(await query([]))).toHaveLength(2)
    expect(await m1.ask('thing/tag/delete', { tags: ['b', 'unset'] })).toMatchObject({ code: 200 })
    expect(await query([])).toEqual({ a: '' })
  })

  it('come in the order in which they were first set', async () => {
    await update(['z', '1'], ['2', '2'], ['1', '3'])
    await update(['z', '4'], ['__proto__', '5'])
    const answer = '{"id":"7","code":200,"data":{"z":"4","2":"2","1":"3","__proto__":"5"},"message":""}'
    expect(await m1.send('thing/tag/query', '{"id":"7","params":{"tags":[]}}')).toBe(answer)
  })

  it('that would make too long an answer are asked for in parts, and nothing else is read', async () => {
    const keys = Array.from({ length: 100 }, (_, i) => `t${i}`)
    expect(await update(...keys.map((key): [string, string] => [key, '泵'.repeat(TAG_MAX_CHARS)]))).toMatchObject({
      code: 200,
    })
    const { tags } = rig.store
    const read: number[] = []
    rig.store.tags = async (...asked) => {
      const found = await tags.apply(rig.store, asked)
      read.push(found.size)
      return found
    }
    expect(await m1.ask('thing/tag/query', {})).toMatchObject({ code: 1008, data: {} })
    expect(Object.keys(await query(['t7', 'none', 't3']))).toEqual(['t3', 't7'])
    expect(read).toEqual([2])
  })

  it('are text, and that without what no text can be', async () => {
    expect(await update(['a', 'q"\\\n泵😀'], ['b', 'x\0y\ud800z'])).toMatchObject({ code: 200 })
    expect(await query([])).toEqual({ a: 'q"\\\n泵😀', b: 'x\ufffdy\ufffdz' })
  })

  const odd: [string, unknown, number][] = [
    ['update', {}, 1220],
    ['update', { tagKey: 'a', tagValue: 'b' }, 1220],
    ['update', [{ 333: '444' }], 1220],
    ['update', [{ tagKey: 'a' }], 1220],
    ['update', [{ tagKey: 'a', tagValue: 7 }], 1220],
    ['update', [{ tagKey: 'a', tagValue: null }], 1220],
    ['update', [{ tagKey: 'a', tagValue: 'x'.repeat(TAG_MAX_CHARS + 1) }], 1220],
    ['update', [{ tagKey: '', tagValue: 'b' }], 1220],
    ['update', [{ tagKey: 'a b', tagValue: 'b' }], 1220],
    ['update', [{ tagKey: 'k'.repeat(65), tagValue: 'b' }], 1220],
    ['update', [{ tagKey: 'ok', tagValue: 'b' }, null], 1220],
    ['update', Array.from({ length: 201 }, (_, i) => ({ tagKey: `a${i}`, tagValue: '' })), 1220],
    ['update', null, 1251],
    ['query', { tags: {} }, 1220],
    ['query', { tags: [7] }, 1220],
    ['query', [], 1220],
    ['query', null, 1251],
    ['delete', { tags: 'a' }, 1220],
  ]
  it.each(odd)('%s of %j is answered %i', async (what, params, code) => {
    expect(await m1.ask(`thing/tag/${what}`, params)).toMatchObject({ id: '7', code, data: {} })
    expect(await query([])).toEqual({})
  })

  it('have a bound', async () => {
    for (let from = 0; from < ATTRIBUTES_MAX_PER_DEVICE; from += 200)
      expect(
        await update(...Array.from({ length: 200 }, (_, i): [string, string] => [`t${from + i}`, ''])),
      ).toMatchObject({ code: 200 })
    const full = await update(['more', ''])
    expect(full).toMatchObject({ code: 1204, message: expect.stringContaining('m1 would have more than 1000 tags') })
  })
})

describe('events', () => {
  const events = async (assetId = 'm1') => {
    const latest = await rig.store.latestEvents((await rig.device(assetId)).id)
    return Object.fromEntries(latest.map(({ eventId, outputJson, at }) => [eventId, `${outputJson}@${at - NOW}`]))
  }

  it('are kept as they last occurred', async () => {
    const java = `{"id":"1","method":"thing.event.fault.post","version":"1.1","params":{"events":{"code":9},"time":${NOW - 5}}}`
    expect(await m1.send('thing/event/fault/post', java)).toBe('{"id":"1","code":200,"data":{},"message":""}')
    expect(await events()).toEqual({ fault: '{"code":9}@-5' })
    expect(await m1.ask('thing/event/fault/post', { events: { code: 8 }, time: NOW - 6 })).toMatchObject({ code: 200 })
    expect(await events(), 'an older one').toEqual({ fault: '{"code":9}@-5' })
    const more = { events: { code: 7, text: null }, time: NOW + REPORT_AHEAD_MAX_MS + 1 }
    expect(await m1.ask('thing/event/fault/post', more)).toMatchObject({ code: 200 })
    expect(await m1.ask('thing/event/INV.Trip/post', {})).toMatchObject({ code: 200 })
    expect(await events()).toEqual({ fault: '{"code":7}@0', 'INV.Trip': '{}@0' })
  })

  const odd: [string, unknown, number, string][] = [
    ['fault', { events: { code: 'x' } }, 1204, 'fault: code must be an INT, got "x"'],
    ['fault', { events: {} }, 1204, 'fault: code is required'],
    ['fault', {}, 1204, 'fault: code is required'],
    ['fault', { events: { code: 1, other: 1 } }, 1204, 'has no "other"'],
    ['fault', { events: [] }, 1204, 'fault must be an object of outputs'],
    ['fault', { events: 'x' }, 1204, 'fault must be an object of outputs'],
    ['test-111', {}, 1204, 'has no event "test-111"'],
    ['a b', { events: {} }, 1204, "the event's id must be"],
    ['fault', [], 1220, 'params must be an object'],
    ['fault', { events: { code: 1 }, time: 'x' }, 1220, 'time must be ms since 1970'],
    ['fault', null, 1251, ''],
  ]
  it.each(odd)('%s with %j is answered %i', async (event, params, code, why) => {
    const told = await m1.ask(`thing/event/${event}/post`, params)
    expect(told).toMatchObject({ id: '7', code, data: {}, message: expect.stringContaining(why) })
    expect(await events()).toEqual({})
  })

  it('of a product without a model may be any', async () => {
    const free = await rig.connection('f1')
    expect(await free.ask('thing/event/any/post', { events: { a: [1, { b: null }] } })).toMatchObject({ code: 200 })
    expect(await free.ask('thing/event/other/post', { events: { a: 'x'.repeat(20_000) } })).toMatchObject({
      code: 1204,
    })
    expect(await events('f1')).toEqual({ any: '{"a":[1,{"b":null}]}@0' })
  })

  it('of several devices come over a channel', async () => {
    const channel = rig.channel('meterPk')
    const items = [
      { deviceKey: 'm1', events: { fault: { code: 1 }, 'INV.Trip': {} }, time: NOW - 1 },
      { deviceKey: 'm2', events: { fault: { code: 2 } }, time: String(NOW - 2) },
    ]
    expect(await channel.ask('event/post', items)).toMatchObject({ code: 200 })
    expect(await events()).toEqual({ fault: '{"code":1}@-1', 'INV.Trip': '{}@-1' })
    expect(await events('m2')).toEqual({ fault: '{"code":2}@-2' })
    const refused: [unknown, number][] = [
      [{ deviceKey: 'm1', events: { fault: {} } }, 1204],
      [{ deviceKey: 'm1', events: { other: {} } }, 1204],
      [{ deviceKey: 'm1' }, 1220],
      [{ deviceKey: 'm1', events: {}, time: -1 }, 1220],
      [{ deviceKey: 'foreign', events: {} }, 1257],
    ]
    for (const [item, code] of refused)
      expect(
        await channel.ask('event/post', [{ deviceKey: 'm2', events: { fault: { code: 9 } } }, item]),
      ).toMatchObject({ code })
    expect(await events('m2')).toEqual({ fault: '{"code":2}@-2' })
  })

  it('have a bound', async () => {
    const channel = rig.channel('freePk')
    const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`e${i}`, {}]))
    const post = (events: object) => channel.ask('event/post', [{ deviceKey: 'f1', events }])
    expect(await post(many(ATTRIBUTES_MAX_PER_DEVICE + 1))).toMatchObject({ code: 1204 })
    expect(await post(many(ATTRIBUTES_MAX_PER_DEVICE))).toMatchObject({ code: 200 })
    const items = [many(ATTRIBUTES_MAX_PER_DEVICE), many(1)].map(events => ({ deviceKey: 'f1', events }))
    expect(await channel.ask('event/post', items), 'in one request').toMatchObject({ code: 1220 })
    expect(await post({ more: {} })).toMatchObject({
      code: 1204,
      message: expect.stringContaining('more than 1000 events'),
    })
  })
})
