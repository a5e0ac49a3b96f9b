// The search grammar of the fleet: what each form means, and that anything else is refused at its place. Against stores it is tested where they are.

import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { parseDeviceExpression } from '../src/http/device-expression.ts'
import { type FieldCondition, isMatch } from '../src/http/field-expression.ts'
import type { DeviceCondition } from '../src/store/views.ts'

function read(text: string): DeviceCondition | null {
  const parsed = parseDeviceExpression(text)
  if (!parsed.ok) throw new Error(parsed.message)
  return parsed.condition
}
const refusal = (text: unknown): string => {
  const parsed = parseDeviceExpression(text)
  return parsed.ok ? 'read' : parsed.message
}
const field = (name: string, ...values: string[]) => ({ op: 'in', field: name, values })
const tag = (key: string, ...values: string[]) => ({ op: 'label', of: 'tags', key, values })
const attribute = (key: string, ...values: string[]) => ({ op: 'label', of: 'attributes', key, values })
const not = (term: object) => ({ op: 'not', term })

describe('is read', () => {
  it.each<[string, object]>([
    ["modelId = 'a'", field('modelId', 'a')],
    ['productKey = bare_word', field('productKey', 'bare_word')],
    ["deviceKey != 'a'", not(field('deviceKey', 'a'))],
    [`assetId IN ('a', "b",c)`, field('assetId', 'a', 'b', 'c')],
    ["status in (online, 'disable', disabled)", field('status', 'online', 'disabled', 'disabled')],
    ["productType = 'Gateway'", field('productType', 'Gateway')],
    ["deviceName like 'x'", { op: 'name', locale: null, text: 'x' }],
    ["deviceName.defaultValue LIKE 'x'", { op: 'name', locale: 'default', text: 'x' }],
    ["deviceName.zh_CN like 'it''s'", { op: 'name', locale: 'zh_CN', text: "it's" }],
    ["deviceTags.a-b.c = 'x'", tag('a-b.c', 'x')],
    ['deviceTags.n = 7', tag('n', '7')],
    [`'deviceTags.a/b' in ('x', "y")`, tag('a/b', 'x', 'y')],
    ['deviceAttributes.n = 35.50', attribute('n', '35.5')],
    ['deviceAttributes.n = -1e3', attribute('n', '-1000')],
    ['deviceAttributes.n != true', not(attribute('n', 'true'))],
    ["deviceAttributes.n = 'a'", attribute('n', '"a"')],
    ["deviceAttributes.n = '7'", attribute('n', '"7"', '7')],
    ["deviceAttributes.n in (1, 'x')", attribute('n', '1', '"x"')],
    ['exists(deviceTags.k1)', { op: 'label', of: 'tags', key: 'k1', values: null }],
    ['not exists( "deviceAttributes.k/2" )', not({ op: 'label', of: 'attributes', key: 'k/2', values: null })],
    [
      'not (status = online or status = offline)',
      not({ op: 'or', terms: [field('status', 'online'), field('status', 'offline')] }),
    ],
    [
      "modelId = 'a' or not modelId = 'b' and deviceKey = 'c'",
      {
        op: 'or',
        terms: [field('modelId', 'a'), { op: 'and', terms: [not(field('modelId', 'b')), field('deviceKey', 'c')] }],
      },
    ],
  ])('%s', (text, condition) => {
    expect(read(text)).toEqual(condition)
  })

  it.each([[undefined], [null], [''], [' \n ']])('%j as no condition', text => {
    expect(parseDeviceExpression(text)).toEqual({ ok: true, condition: null })
  })
})

describe('is refused', () => {
  it.each<[unknown, string]>([
    [7, 'expression:must be a string, got 7'],
    ["ModelId = 'a'", 'character 1: expected modelId, productKey'],
    ["modelId like 'a'", 'character 9: expected =, != or in, got "like"'],
    ["deviceName = 'a'", 'character 12: expected like'],
    ["deviceName.x like 'a'", 'character 1: expected deviceName.default or a locale'],
    ['deviceName like x', 'character 17: expected a part of a name in quotes'],
    ['deviceTags = 1', 'character 1: expected'],
    ["'deviceTags.a b' = 1", 'character 1: expected'],
    ['deviceAttributes.n = word', 'character 22: expected a number, true, false or a text in quotes'],
    ['deviceAttributes.n = 1e999', 'character 22: expected a number'],
    ['status = asleep', 'expected "online" or "offline" or "inactive" or "disabled", got "asleep"'],
    ['exists deviceTags.a', 'expected ('],
    ['exists(modelId)', 'expected such as deviceAttributes.KEY'],
    ['not', 'expected modelId'],
    ["__proto__.a = 'x'", 'character 1: expected'],
    ["constructor = 'x'", 'character 1: expected'],
    ["modelId = 'a' 'b'", 'expected and, or or the end'],
    [Array.from({ length: 65 }, () => 'modelId=a').join(' or '), 'more than 64 comparisons'],
    [`${'not '.repeat(70)}modelId=a`, 'more than 64 comparisons'],
    [Array.from({ length: 9 }, () => "deviceName like 'a'").join(' or '), 'more than 8 comparisons of deviceName'],
    [`${'('.repeat(20)}modelId=a${')'.repeat(20)}`, 'more than 16 parentheses'],
  ])('%j', (text, said) => {
    expect(refusal(text)).toContain(said)
  })

  test('at a place inside it, whatever is said', () => {
    const names = [
      'modelId',
      'status',
      'deviceName',
      'deviceName.en_US',
      'deviceTags.a',
      'deviceAttributes.n',
      'exists',
      'not',
    ]
    const word = fc.constantFrom(
      ...names,
      '=',
      '!=',
      'in',
      'like',
      'and',
      'or',
      '(',
      ')',
      ',',
      '1',
      '"x"',
      "'",
      '"',
      'online',
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(word, fc.string({ unit: 'binary', maxLength: 3 })), { maxLength: 20 }), words => {
        const text = words.join(' ')
        const parsed = parseDeviceExpression(text)
        if (parsed.ok) return
        const position = Number(/^Invalid Argument expression:character (\d+): ./.exec(parsed.message)?.[1])
        expect(position).toBeGreaterThanOrEqual(1)
        expect(position).toBeLessThanOrEqual(text.length + 1)
      }),
      { numRuns: 500 },
    )
  })
})

describe('a condition held against a thing', () => {
  const thing = {
    field: (name: 'id' | 'kind') => (name === 'id' ? 'one' : null),
    nameJson: () => JSON.stringify({ defaultValue: 'Pump', i18nValue: { zh_CN: '泵' } }),
    label: (_: 'tags', key: string) => (key === 'a' ? '1' : null),
  }
  const holds = (condition: FieldCondition<'id' | 'kind', 'tags'>) => isMatch(condition, thing)
  const id = (...values: string[]) => ({ op: 'in', field: 'id', values }) as const

  it('is true or false', () => {
    expect(holds(id('one', 'two'))).toBe(true)
    expect(holds(id('two'))).toBe(false)
    expect(holds({ op: 'in', field: 'kind', values: ['x'] })).toBe(false)
    expect(holds({ op: 'not', term: { op: 'in', field: 'kind', values: ['x'] } })).toBe(true)
    expect(holds({ op: 'and', terms: [id('one'), id('two')] })).toBe(false)
    expect(holds({ op: 'or', terms: [id('one'), id('two')] })).toBe(true)
    expect(holds({ op: 'name', locale: 'zh_CN', text: '泵' })).toBe(true)
    expect(holds({ op: 'name', locale: 'en_US', text: 'PUMP' })).toBe(true)
    expect(holds({ op: 'label', of: 'tags', key: 'a', values: null })).toBe(true)
    expect(holds({ op: 'label', of: 'tags', key: 'a', values: ['2'] })).toBe(false)
    expect(holds({ op: 'label', of: 'tags', key: 'b', values: null })).toBe(false)
  })
})
