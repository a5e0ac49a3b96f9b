// The form for commands without a browser: what a model makes of fields, what is typed becomes of values, and what is told at which field; which attempt has which
// key; what a refusal of the server is about. Not here: how it looks and what becomes of it (send.test.ts).

import { DownlinkError, type ThingModel } from '@downlink/client'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseJson } from '../../src/core/json.ts'
import { checkService, parseModel } from '../../src/core/model.ts'
import {
  blankDrafts,
  type Draft,
  type Drafts,
  draftsOf,
  type ListDraft,
  textDraft,
  withItem,
  withItemAs,
  withMember,
  withoutItem,
} from '../src/send/drafts.ts'
import { readNumber } from '../src/send/exact.ts'
import { type Attempt, isAsSent, isRepeat, keyFor, newForm, read, refusalOf } from '../src/send/form.ts'
import { readJson } from '../src/send/json-text.ts'
import { contentOf, type Order, placeOf, previewOf } from '../src/send/order.ts'
import { fieldOf, type Sendable, sendablesOf } from '../src/send/sendable.ts'
import { type Fault, readForm, readRaw, readText, readWhole } from '../src/send/values.ts'
import { readInstant, wallText } from '../src/wall-time.ts'

const BERLIN = 'Europe/Berlin'
const name = (text: string) => ({ defaultValue: text, i18nValue: {} })
const point = (dataType: string, more: object = {}) => ({ identifier: 'p', name: name('p'), dataType, ...more })

const modelOf = (over: Partial<ThingModel>): ThingModel => ({
  ...{ modelId: 'm', modelIdPath: '/m', orgId: 'o1', name: name('m'), desc: '', tags: {} },
  ...{ attributes: {}, measurepoints: {}, services: {}, events: {} },
  ...over,
})
/** The one service of a model with these inputs. */
const serviceWith = (...inputData: object[]): Sendable => {
  const service = { identifier: 's', name: name('s'), desc: '', tags: {}, inputData, outputData: [] }
  const [found] = sendablesOf(modelOf({ services: { s: service } } as unknown as Partial<ThingModel>))
  if (found === undefined) throw new Error('no service')
  return found
}
const settableAs = (dataType: string, more: object = {}): Sendable => {
  const [found] = sendablesOf(
    modelOf({ measurepoints: { p: point(dataType, more) } } as unknown as Partial<ThingModel>),
  )
  if (found === undefined) throw new Error('not settable')
  return found
}
const typed = (of: Sendable, texts: Record<string, string>) => {
  const drafts = Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, textDraft(text)]))
  return readForm(of, { ...blankDrafts(of.fields, BERLIN), ...drafts }, BERLIN)
}
/** What a point takes that text for: its value, or the fault. */
const set = (dataType: string, text: string, more: object = {}): unknown => {
  const { input, faults } = typed(settableAs(dataType, more), { p: text })
  return faults.size === 0 ? { value: input } : faults.get('')
}

describe('what can be sent', () => {
  it('is every point that is not marked as not writable, and every service, in order', () => {
    const measurepoints = { a: point('INT'), b: point('INT', { writable: false }), c: point('INT', { writable: null }) }
    const services = { s: { identifier: 's', name: name('S'), desc: '', tags: {}, inputData: [], outputData: [] } }
    const found = sendablesOf(modelOf({ measurepoints, services } as unknown as Partial<ThingModel>))
    expect(found.map(({ kind, fields }) => [kind, fields.length])).toEqual([
      ['set', 1],
      ['set', 1],
      ['invoke', 0],
    ])
  })

  it('has its definition as an object or as JSON text, and bounds of its own before those', () => {
    const asText = fieldOf(point('INT', { dataDefinition: '{"min":1,"max":9}', max: 5 }) as never)
    expect(asText.definition).toEqual({ dataType: 'INT', min: 1, max: 5 })
    const names = fieldOf(point('BOOL', { dataDefinition: { boolDesc: { true: 'on', false: name('off') } } }) as never)
    expect(names.definition).toEqual({ dataType: 'BOOL', names: { true: name('on'), false: name('off') } })
    const keys = fieldOf(
      point('ENUM', { dataDefinition: { enumType: 'INT', enumDesc: { '1': null, '2': 'two' } } }) as never,
    )
    expect(keys.definition).toMatchObject({
      keys: [
        { key: '1', name: name('1') },
        { key: '2', name: name('two') },
      ],
    })
  })

  it.each([
    ['°C', '°C'],
    [{ unitId: 'W', multiplier: 'KILO' }, 'kW'],
    [{ unitId: 'W', multiplier: 'ONE' }, 'W'],
    [{ unitId: 'W', multiplier: 'DOZEN' }, 'DOZEN W'],
    [null, ''],
  ])('has the unit %j as %s', (unit, shown) => {
    expect(fieldOf(point('DOUBLE', { unit }) as never).unit).toBe(shown)
  })
})

describe('numbers', () => {
  it.each([
    ['INT', '12', { value: 12 }],
    ['INT', ' -7 ', { value: -7 }],
    ['INT', '9007199254740991', { value: 9007199254740991 }],
    ['INT', '9007199254740992', { fault: 'intTooLarge' }],
    ['INT', '99999999999999999999', { fault: 'intTooLarge' }],
    ['INT', '1.0', { fault: 'whole' }],
    ['INT', '1e3', { fault: 'whole' }],
    ['DOUBLE', '0.1', { value: 0.1 }],
    ['DOUBLE', '1.50', { value: 1.5 }],
    ['DOUBLE', '-.5e-3', { value: -0.0005 }],
    ['DOUBLE', '0.10000000000000000001', { fault: 'rounded', nearest: '0.1' }],
    ['DOUBLE', '1e-400', { fault: 'rounded', nearest: '0' }],
    ['DOUBLE', '9007199254740994', { fault: 'wholeTooLarge' }],
    ['DOUBLE', '1e22', { value: 1e22 }],
    ['DOUBLE', '1e400', { fault: 'tooLarge' }],
    ['DOUBLE', '12,5', { fault: 'number' }],
    ['DOUBLE', '0x10', { fault: 'number' }],
    ['FLOAT', 'NaN', { fault: 'number' }],
  ])('%s %s', (type, text, expected) => {
    expect(set(type, text)).toEqual(expected)
  })

  it('of a range are told the rule', () => {
    expect(set('INT', '36', { dataDefinition: { min: 5, max: 35 } })).toEqual({ fault: 'range', min: 5, max: 35 })
    expect(set('INT', '35', { dataDefinition: { min: 5, max: 35 } })).toEqual({ value: 35 })
    expect(set('INT', '4', { dataDefinition: '{"min":5}' })).toEqual({ fault: 'range', min: 5, max: null })
  })

  it('that are taken go out as JSON that the server reads as the same number', () => {
    const digits = fc.stringMatching(/^-?\d{1,25}(\.\d{1,25})?([eE][+-]?\d{1,3})?$/)
    fc.assert(
      fc.property(digits, text => {
        const read = readNumber(text)
        if ('fault' in read) return
        const kept = parseJson(JSON.stringify(read.value))
        expect(kept).toEqual({ ok: true, value: Object.is(read.value, -0) ? 0 : read.value })
        expect(Number(text)).toBe(read.value)
      }),
    )
  })
})

describe('texts and choices', () => {
  it('a text is sent as typed; its characters are counted, not its halves', () => {
    expect(set('STRING', ' a\n')).toEqual({ value: ' a\n' })
    expect(set('STRING', '🙂🙂', { dataDefinition: { maxLength: 2 } })).toEqual({ value: '🙂🙂' })
    expect(set('STRING', '🙂🙂🙂', { dataDefinition: { maxLength: 2 } })).toEqual({
      fault: 'tooLong',
      length: 3,
      max: 2,
    })
  })

  it('an empty text is sent where it is meant, and is missing else', () => {
    const of = settableAs('STRING')
    expect(set('STRING', '')).toEqual({ fault: 'required' })
    expect(readForm(of, { p: textDraft('', true) }, BERLIN)).toEqual({ input: '', faults: new Map() })
  })

  it('a key of an enum goes out as its type says', () => {
    const desc = { enumDesc: { '1': name('one'), '2': name('two') } }
    expect(set('ENUM', '1', { dataDefinition: { enumType: 'INT', ...desc } })).toEqual({ value: 1 })
    expect(set('ENUM', '1', { dataDefinition: { enumType: 'STRING', ...desc } })).toEqual({ value: '1' })
    expect(set('ENUM', '1', { dataDefinition: desc })).toEqual({ value: 1 })
    expect(set('ENUM', '3', { dataDefinition: { enumType: 'INT', ...desc } })).toEqual({ fault: 'choose' })
    expect(set('ENUM', '', { dataDefinition: desc })).toEqual({ fault: 'choose' })
    expect(set('ENUM', 'any')).toEqual({ value: 'any' })
  })

  it('a bool is true, false, or the 0 or 1 that it was', () => {
    expect(['true', 'false', '1', '0'].map(text => set('BOOL', text))).toEqual(
      [true, false, 1, 0].map(value => ({ value })),
    )
    expect(set('BOOL', '')).toEqual({ fault: 'choose' })
  })

  it('a file is a URI', () => {
    expect(set('FILE', ' https://example.com/a.bin ')).toEqual({ value: 'https://example.com/a.bin' })
    expect(set('FILE', 'a b')).toEqual({ fault: 'uri' })
  })
})

describe('days and times', () => {
  it.each([
    ['2026-01-31', { value: '2026-01-31' }],
    ['2026-01-31 08:00:00', { value: '2026-01-31 08:00:00' }],
    ['2026-02-30', { fault: 'noSuchTime' }],
    ['2026-01-31 25:00:00', { fault: 'noSuchTime' }],
    ['31.1.2026', { fault: 'date' }],
    ['2026-01-31T08:00:00', { fault: 'date' }],
  ])('a DATE %s', (text, expected) => {
    expect(set('DATE', text)).toEqual(expected)
  })

  it.each([
    ['2026-01-31 08:00', { value: Date.UTC(2026, 0, 31, 7) }],
    ['2026-07-31 08:00:00.5', { value: Date.UTC(2026, 6, 31, 6, 0, 0, 500) }],
    ['2026-01-31T08:00:00Z', { value: Date.UTC(2026, 0, 31, 8) }],
    ['2026-01-31 08:00 +08:00', { value: Date.UTC(2026, 0, 31) }],
    ['1769817600000', { value: 1769817600000 }],
    // Clocks in Berlin went from 2 to 3 on that day.
    ['2026-03-29 02:30', { fault: 'skipped' }],
    ['2026-02-29 02:30', { fault: 'noSuchTime' }],
    ['1969-12-31 12:00', { fault: 'tooEarly' }],
    ['tomorrow', { fault: 'time' }],
    ['9999999999999999', { fault: 'intTooLarge' }],
  ])('a TIMESTAMP %s, typed in Berlin', (text, expected) => {
    expect(set('TIMESTAMP', text)).toEqual(expected)
  })

  it('an hour that clocks show twice is the earlier one, and said to be', () => {
    expect(readInstant('2026-10-25 02:30', BERLIN)).toEqual({ at: Date.UTC(2026, 9, 25, 0, 30), isRepeated: true })
    expect(readInstant('2026-10-25 03:30', BERLIN)).toMatchObject({ isRepeated: false })
  })

  it('what a wall clock shows of an instant reads as that instant, in any zone', () => {
    const zones = fc.constantFrom('UTC', BERLIN, 'Asia/Shanghai', 'America/St_Johns', 'Australia/Lord_Howe')
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e12 }), zones, (at, zone) => {
        const found = readInstant(wallText(at, zone), zone)
        if ('fault' in found) expect.fail(`${at} in ${zone}: ${found.fault}`)
        if (!found.isRepeated) expect(found.at).toBe(at)
      }),
    )
  })
})

describe('lists and structs', () => {
  const list = settableAs('ARRAY', { dataDefinition: { itemType: 'INT' } })
  const empty = blankDrafts(list.fields, BERLIN).p as ListDraft

  it('a list has the items that it was given, and faults at theirs', () => {
    const two = withItem(withItem(empty, textDraft('1')), textDraft('x'))
    expect(readForm(list, { p: two }, BERLIN).faults).toEqual(new Map([['[1]', { fault: 'whole' }]]))
    expect(readForm(list, { p: withItemAs(two, 1, textDraft('2')) }, BERLIN).input).toEqual([1, 2])
    const later = withItem(withoutItem(two, 0), textDraft('3'))
    expect(later.items.map(({ id }) => id)).toEqual([1, 2])
    expect(readForm(list, { p: empty }, BERLIN).input).toEqual([])
  })

  it('where the model names no items, it is JSON of one kind', () => {
    expect(set('ARRAY', '[1, 2]')).toEqual({ value: [1, 2] })
    expect(set('ARRAY', '[1, "2"]')).toEqual({ fault: 'mixed' })
    expect(set('ARRAY', '[null]')).toEqual({ fault: 'null' })
    expect(set('ARRAY', '{}')).toEqual({ fault: 'list' })
    expect(set('STRUCT', '[]')).toEqual({ fault: 'object' })
    expect(set('STRUCT', '{"a": 1}')).toEqual({ value: { a: 1 } })
  })

  const limits = {
    ...point('STRUCT', { identifier: 'limits' }),
    dataDefinition: {
      items: [
        { identifier: 'low', dataType: 'INT', required: true, dataDefinition: { min: 0 } },
        { identifier: 'high', dataType: 'INT' },
      ],
    },
  }
  it('an optional struct is left out until it is meant; then its members count', () => {
    const of = serviceWith(limits)
    const blank = blankDrafts(of.fields, BERLIN)
    expect(readForm(of, blank, BERLIN)).toEqual({ input: {}, faults: new Map() })
    const given = { ...blank.limits, isGiven: true } as Extract<Draft, { shape: 'struct' }>
    expect(readForm(of, { limits: given }, BERLIN).faults).toEqual(new Map([['limits.low', { fault: 'required' }]]))
    const wrong = withMember(given, 'low', textDraft('-1'))
    expect(readForm(of, { limits: wrong }, BERLIN).faults.get('limits.low')).toEqual({
      fault: 'range',
      min: 0,
      max: null,
    })
    const right = withMember(given, 'low', textDraft('1'))
    expect(readForm(of, { limits: right }, BERLIN).input).toEqual({ limits: { low: 1 } })
  })
})

describe('inputs of a service', () => {
  const of = serviceWith(
    point('DOUBLE', { identifier: 'reference', isRequired: true }),
    point('INT', { identifier: 'passes', isRequired: true, defaultValue: 3 }),
    point('INT', { identifier: 'delay', dataDefinition: { defaultValue: 7 } }),
    point('STRING', { identifier: 'note' }),
  )

  it('begin with the defaults of the model', () => {
    const { input, faults } = typed(of, {})
    expect([input, [...faults]]).toEqual([undefined, [['reference', { fault: 'required' }]]])
    expect(typed(of, { reference: '1' }).input).toEqual({ reference: 1, passes: 3, delay: 7 })
  })

  it('that are blank are left out; a required one with a default is no fault then, since the server takes the default', () => {
    expect(typed(of, { reference: '1', passes: '', delay: '' }).input).toEqual({ reference: 1 })
  })

  it('are those of an earlier command, as far as the model still takes them', () => {
    const { drafts, leftOut } = draftsOf(of, { reference: 2.5, delay: 'soon', gone: 1, note: '' }, BERLIN)
    expect(leftOut).toEqual(['gone', 'delay'])
    expect(readForm(of, drafts, BERLIN)).toEqual({ input: { reference: 2.5, note: '' }, faults: new Map() })
  })

  it('of an earlier command come to the same value again, whatever it was', () => {
    const all = serviceWith(
      point('INT', { identifier: 'i' }),
      point('DOUBLE', { identifier: 'd' }),
      point('BOOL', { identifier: 'b' }),
      point('STRING', { identifier: 's' }),
      point('TIMESTAMP', { identifier: 't' }),
      point('ARRAY', { identifier: 'l', dataDefinition: { itemType: 'STRING' } }),
      point('ARRAY', { identifier: 'any' }),
      point('STRUCT', {
        identifier: 'o',
        dataDefinition: {
          items: [point('INT', { identifier: 'x' }), point('STRING', { identifier: 'y', defaultValue: 'q' })],
        },
      }),
    )
    const text = fc.string({ unit: 'grapheme', maxLength: 20 })
    const inputs = fc.record(
      {
        i: fc.maxSafeInteger(),
        d: fc.double({ noNaN: true, noDefaultInfinity: true }).filter(d => !Object.is(d, -0) && Math.abs(d) < 2 ** 53),
        b: fc.constantFrom<unknown>(true, false, 0, 1),
        s: text,
        t: fc.integer({ min: 0, max: 4e12 }),
        l: fc.array(text, { maxLength: 4 }),
        any: fc.array(fc.integer(), { maxLength: 4 }),
        o: fc.record({ x: fc.integer(), y: text }, { requiredKeys: [] }),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(inputs, fc.constantFrom(BERLIN, 'Asia/Shanghai'), (input, zone) => {
        const { drafts, leftOut } = draftsOf(all, input, zone)
        expect(leftOut).toEqual([])
        expect(readForm(all, drafts, zone)).toEqual({ input, faults: new Map() })
      }),
    )
  })
})

describe('the server', () => {
  const inputData = [
    { identifier: 'i', dataType: 'INT', dataDefinition: { min: -5, max: 5 }, isRequired: true },
    { identifier: 'e', dataType: 'ENUM', dataDefinition: { enumType: 'STRING', enumDesc: { '1': 'a', b: 'b' } } },
    { identifier: 's', dataType: 'STRING', dataDefinition: { maxLength: 3 } },
    { identifier: 'd', dataType: 'DATE' },
    { identifier: 't', dataType: 'TIMESTAMP' },
    { identifier: 'f', dataType: 'FILE' },
    { identifier: 'x', dataType: 'DOUBLE' },
  ]
  const parsed = parseModel({ services: { s: { inputData } } })
  const of = serviceWith(...inputData.map(input => ({ ...input, name: name(input.identifier) })))

  it('takes what the form takes, and refuses what the form refuses', () => {
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
    const texts = fc.record({
      i: fc.constantFrom('', '1', '6', '-5', 'x', '1.5'),
      e: fc.constantFrom('', '1', 'b', 'c'),
      s: fc.constantFrom('', 'abc', 'abcd', '🙂🙂🙂'),
      d: fc.constantFrom('', '2026-01-31', '2026-02-31', '2026-01-31 23:59:59', '2026-01-31 24:00:00'),
      t: fc.constantFrom('', '0', '2026-01-31 08:00'),
      f: fc.constantFrom('', 'file:a', 'a b', 'x'),
      x: fc.constantFrom('', '1.25', '-1e3', 'one'),
    })
    fc.assert(
      fc.property(texts, texts => {
        const { input, faults } = typed(of, texts)
        if (faults.size === 0) expect(checkService(parsed.model, 's', input)).toMatchObject({ ok: true, inputs: input })
        // As somebody else would send it who does not look first.
        const unseen = Object.entries(texts).filter(([, text]) => text !== '')
        const raw = Object.fromEntries(
          unseen.map(([key, text]) => [key, faults.has(key) ? text : valueAt(of, key, text)]),
        )
        if (faults.size > 0) expect(checkService(parsed.model, 's', raw).ok).toBe(false)
      }),
    )
  })
  const valueAt = ({ fields }: Sendable, key: string, text: string): unknown => {
    const field = fields.find(({ identifier }) => identifier === key)
    if (field === undefined) return undefined
    const read = readText(field.definition, text, BERLIN)
    return 'value' in read ? read.value : undefined
  }

  it('names the field that it refuses', () => {
    const paths = ['i', 'limits', 'limits.low', 'list', 'list[2]']
    const place = (message: string, of = paths) => placeOf(`Invalid Argument ${message}`, of)
    expect(place('inputData:limits.low must be an INT, got "x"')).toEqual({
      ...{ about: 'input', path: 'limits.low', said: 'must be an INT, got "x"' },
    })
    expect(place('inputData:list[2] must not be null')).toMatchObject({ path: 'list[2]' })
    expect(place('inputData:i is required')).toMatchObject({ path: 'i', said: 'is required' })
    expect(place('inputData:has no "z"; known are i')).toBeNull()
    expect(place('value:must be an INT from 5 to 35, got 99', [''])).toMatchObject({ path: '' })
    expect(place('timeout:must be an integer')).toMatchObject({ about: 'timeout' })
    expect(place("serviceId:the product's model has no service")).toMatchObject({ about: 'identifier' })
    expect(placeOf('device offline', paths)).toBeNull()
  })
})

describe('raw JSON', () => {
  it.each<[string, Fault]>([
    ['{"a": 1', { fault: 'json', said: expect.any(String) }],
    [
      '{"a": 12345678901234567890}',
      { fault: 'jsonNumber', literal: '12345678901234567890', why: { fault: 'wholeTooLarge' } },
    ],
    [
      '[0.12345678901234567890]',
      { fault: 'jsonNumber', literal: expect.any(String), why: { fault: 'rounded', nearest: '0.12345678901234568' } },
    ],
    ['{"a": {"b": 1, "b": 2}}', { fault: 'jsonKey', key: 'b' }],
    ['{"a\\u0062": 1, "ab": 2}', { fault: 'jsonKey', key: 'ab' }],
    ['null', { fault: 'null' }],
    ['', { fault: 'required' }],
  ])('%s', (text, fault) => {
    expect(readRaw('set', text).faults.get('')).toEqual(fault)
  })

  it('of a service is an object, or nothing', () => {
    expect(readRaw('invoke', ' ').input).toEqual({})
    expect(readRaw('invoke', '[1]').faults.get('')).toEqual({ fault: 'object' })
    expect(readRaw('invoke', '{"a": [{"b": 1}, {"b": 2}], "b": "x:\\"{"}').input).toEqual({
      ...{ a: [{ b: 1 }, { b: 2 }], b: 'x:"{' },
    })
  })

  it('is refused or taken as the server would, whatever it is', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 3 }), text => {
        const read = readJson(text)
        if ('value' in read) expect(parseJson(JSON.stringify(read.value)).ok || text.includes('__proto__')).toBe(true)
        else expect(read.fault === 'jsonNumber' && !parseJson(text).ok).toBe(true)
      }),
    )
  })
})

describe('orders', () => {
  const about = settableAs('INT')
  const form = (text: string, times: object = {}) => ({
    ...newForm,
    choice: { kind: 'set', identifier: 'p' } as const,
    drafts: { 'set:p': { p: textDraft(text) } as Drafts },
    times: { ...newForm.times, ...times },
  })

  it('go out now to a device that is there, and wait an hour for one that is not, unless somebody chose', () => {
    expect(read(form('1'), about, true, BERLIN).order).toMatchObject({ input: 1, pendingTtl: 0, timeout: 30 })
    expect(read(form('1'), about, false, BERLIN).order?.pendingTtl).toBe(3600)
    expect(read(form('1', { isNow: true }), about, false, BERLIN).order?.pendingTtl).toBe(0)
    const other = (text: string, unit: string) =>
      read(form('1', { isNow: false, waitS: 'other', other: { text, unit } }), about, true, BERLIN)
    expect(other('90', 'min').order?.pendingTtl).toBe(5400)
    expect(other('49', 'h').faults.pendingTtl).toEqual({ fault: 'range', min: 1, max: 48 })
    expect(other('', 'h').faults.pendingTtl).toEqual({ fault: 'required' })
    expect(read(form('1', { timeout: '61' }), about, true, BERLIN).faults.timeout).toEqual({
      fault: 'range',
      min: 1,
      max: 60,
    })
    expect(readWhole('1.5', 1, 60)).toEqual({ fault: 'whole' })
  })

  const order: Order = { kind: 'set', identifier: 'p', input: 1, pendingTtl: 0, timeout: 30 }
  const attempt = (outcome: Attempt['outcome']): Attempt => ({
    ...{ order, key: 'first', about, form: form('1'), beganAt: 0, outcome },
  })
  const failed = (of: ConstructorParameters<typeof DownlinkError>[1]) =>
    attempt({ state: 'failed', error: new DownlinkError('x', of) })
  const answer = (code: number, msg: string, data: object | null = null) => ({
    ...{ httpStatus: 200, code, msg, requestId: null, data, fields: {}, text: '' },
  })
  const about99 = { retriable: false, next: '' }

  it('keep their key while it is not known what became of them, and no longer', () => {
    const fresh = () => 'second'
    const lost = failed({ ...about99, outcome: 'unknown' })
    expect(keyFor(lost, order, fresh)).toBe('first')
    expect(isRepeat(lost, order)).toBe(true)
    expect(keyFor(lost, { ...order, input: 2 }, fresh)).toBe('second')
    expect(keyFor(lost, { ...order, pendingTtl: 60 }, fresh)).toBe('second')
    const open = failed({
      ...about99,
      outcome: 'onRecord',
      answer: answer(99503, 'stopping', { commandId: '1', state: 4 }),
    })
    expect(keyFor(open, order, fresh)).toBe('first')
    const over = failed({
      ...about99,
      outcome: 'onRecord',
      answer: answer(11900, 'offline', { commandId: '1', state: 6 }),
    })
    expect(keyFor(over, order, fresh)).toBe('second')
    expect(isRepeat(over, order)).toBe(false)
    expect(keyFor(failed({ ...about99, outcome: 'notDone' }), order, fresh)).toBe('second')
    expect(keyFor(attempt({ state: 'sent', sent: { commandId: '1', outputData: null } }), order, fresh)).toBe('second')
    expect(keyFor(null, order, fresh)).toBe('second')
    expect(contentOf(order)).not.toBe(contentOf({ ...order, kind: 'invoke' }))
  })

  it('show a refusal at its field until that is changed', () => {
    const refused = failed({
      ...about99,
      outcome: 'notDone',
      answer: answer(99400, 'Invalid Argument value:must be even'),
    })
    const shown = { ...form('1'), attempt: { ...refused, form: form('1') } }
    const then = { ...shown, drafts: shown.attempt.form.drafts }
    const refusal = refusalOf(then, [''])
    expect(refusal).toEqual({ about: 'input', path: '', said: 'must be even' })
    expect(refusal !== null && isAsSent(then, refusal)).toBe(true)
    expect(refusal !== null && isAsSent({ ...then, drafts: form('2').drafts }, refusal)).toBe(false)
    const byDevice = failed({
      ...{ ...about99, outcome: 'onRecord' },
      answer: answer(99400, 'Invalid Argument value:x', { commandId: '1', state: 6, deviceCode: 99400 }),
    })
    expect(refusalOf({ ...then, attempt: byDevice }, [''])).toBeNull()
  })

  it('are shown as a call and as command lines that say the same', () => {
    const target = { server: 'http://h:1', orgId: 'o1', assetId: 'a1', proof: 'operator' } as const
    const text = { ...order, identifier: 'label', input: "it's $HOME" }
    const hostile = { ...order, input: '"; rm $DOWNLINK_OPERATOR_TOKEN' }
    expect(previewOf(hostile, target).curl).toContain(`'{"value":"\\"; rm $DOWNLINK_OPERATOR_TOKEN"}'`)
    const { request, cli, curl } = previewOf(text, target)
    expect(request).toMatch(/^POST \/connect-service\/v2\.1\/commands\?action=setMeasurepoint&/)
    expect(cli).toContain(`--set 'label="it'\\''s $HOME"'`)
    expect(curl).toContain(`-d '{"value":"it'\\''s $HOME"}'`)
    expect(curl).toContain('-H "authorization: Bearer $DOWNLINK_OPERATOR_TOKEN"')
    const service = previewOf(
      { ...order, kind: 'invoke', identifier: 'reboot', input: { delay: 5 } },
      { ...target, proof: 'signed' },
    )
    expect(service.cli).toContain(`--invoke reboot --input '{"delay":5}' \\\n  --pending-ttl 0 --timeout 30`)
    expect(service.curl).toBeNull()
  })
})
