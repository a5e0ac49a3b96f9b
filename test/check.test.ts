// What is said of a value that does not fit its schema, and what a text of a query is read as. Not here: routes (http-routes.test.ts).

import fc from 'fast-check'
import Type, { type TSchema } from 'typebox'
import { Check } from 'typebox/value'
import { describe, expect, it } from 'vitest'
import { checker, closed, type Plain, readText } from '../src/http/check.ts'

const schema = Type.Object({
  filter: Type.Object({
    state: Type.Optional(Type.Array(Type.Integer({ minimum: 1, maximum: 7 }), { minItems: 1, maxItems: 3 })),
    productKey: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
  }),
  mode: Type.Optional(Type.Union([Type.Literal('one'), Type.Literal('all')])),
  rate: Type.Optional(Type.Number({ minimum: 0 })),
  dryRun: Type.Optional(Type.Boolean()),
  scope: Type.Optional(Type.Union([Type.Literal('all'), Type.Object({ assetIds: Type.Array(Type.String()) })])),
  names: Type.Optional(Type.Record(Type.String(), Type.String())),
  note: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  step: Type.Optional(Type.Integer({ minimum: 60, maximum: 600, multipleOf: 60 })),
  change: Type.Optional(
    Type.Object({ url: Type.Optional(Type.String()), paused: Type.Optional(Type.Boolean()) }, { minProperties: 1 }),
  ),
  key: Type.Optional(Type.String({ pattern: '^[a-z]+$', 'x-rule': 'must be lower case' })),
})
const check = checker(schema, 'body')

describe('a check', () => {
  it('says nothing of what fits', () => {
    const full = {
      filter: { state: [1, 4], productKey: 'p' },
      mode: 'all',
      rate: 0.5,
      dryRun: true,
      scope: { assetIds: ['a'] },
      names: { en_US: 'x' },
      note: null,
      key: 'abc',
    }
    for (const value of [{ filter: {} }, full, { ...full, scope: 'all', note: 'n' }]) expect(check(value)).toBeNull()
  })

  it.each([
    [undefined, 'body:must be an object, got nothing'],
    [[], 'body:must be an object, got an array of 0'],
    [{}, 'body.filter:filter is missing'],
    [{ filter: null }, 'body.filter:must be an object, got null'],
    [{ filter: { states: [1] } }, 'body.filter.states:is not known, did you mean state?'],
    [{ filter: { zzzzzz: 1 } }, 'body.filter.zzzzzz:is not known; there are state, productKey'],
    [
      { filter: {}, 'a b': 1 },
      'body["a b"]:is not known; there are filter, mode, rate, dryRun, scope, names, note, step, change, key',
    ],
    [{ filter: { state: 1 } }, 'body.filter.state:must be a list of 1 to 3 elements, got 1'],
    [{ filter: { state: [] } }, 'body.filter.state:must be a list of 1 to 3 elements, got an array of 0'],
    [{ filter: { state: [1, 9] } }, 'body.filter.state[1]:must be an integer from 1 to 7, got 9'],
    [{ filter: { state: [1.5] } }, 'body.filter.state[0]:must be an integer from 1 to 7, got 1.5'],
    [{ filter: { productKey: '' } }, 'body.filter.productKey:must be text of 1 to 64 characters, got ""'],
    [{ filter: {}, step: 90 }, 'body.step:must be a multiple of 60 from 60 to 600, got 90'],
    [{ filter: {}, change: {} }, 'body.change:must have at least one of url, paused'],
    [{ filter: {}, change: { paused: 1 } }, 'body.change.paused:must be true or false, got 1'],
    [{ filter: {}, mode: 'some' }, 'body.mode:must be one of one, all, got "some"'],
    [{ filter: {}, rate: -1 }, 'body.rate:must be a number from 0, got -1'],
    [{ filter: {}, dryRun: 'true' }, 'body.dryRun:must be true or false, got "true"'],
    [{ filter: {}, scope: { assetIds: [1] } }, 'body.scope.assetIds[0]:must be text, got 1'],
    [{ filter: {}, scope: { productKeys: [] } }, 'body.scope.productKeys:is not known; there are assetIds'],
    [{ filter: {}, scope: 7 }, 'body.scope:must be all or an object, got 7'],
    [{ filter: {}, names: { en_US: 5 } }, 'body.names.en_US:must be text, got 5'],
    [{ filter: {}, note: 5 }, 'body.note:must be text or null, got 5'],
    [{ filter: {}, key: 'ABC' }, 'body.key:must be lower case, got "ABC"'],
  ])('names the first place that does not fit: %j', (value, message) => {
    expect(check(value)).toEqual({ ok: false, code: 99400, message: `Invalid Argument ${message}` })
  })

  it('calls the members of a query by their own names', () => {
    const query = checker(Type.Object({ limit: Type.Integer({ minimum: 1 }) }), '')
    expect(query({ limit: 0 })).toMatchObject({ message: 'Invalid Argument limit:must be an integer from 1, got 0' })
    expect(query({})).toMatchObject({ message: 'Invalid Argument limit:limit is missing' })
  })

  it('shows nothing of a value that could forge a line of a log', () => {
    const { message } = check({ filter: {}, mode: 'a\nb\u202e' }) ?? { message: '' }
    expect(message).toMatch(/^[\x20-\x7e]+$/)
  })

  it('agrees with the schema about every JSON value, and always has something to say', () => {
    const strict = closed(JSON.parse(JSON.stringify(schema))) as TSchema
    const near = fc.record(
      {
        filter: fc.oneof(
          fc.constant({}),
          fc.record({ state: fc.array(fc.integer({ min: 0, max: 8 })) }),
          fc.jsonValue(),
        ),
        mode: fc.constantFrom('one', 'all', 'some', 1),
        scope: fc.oneof(fc.constant('all'), fc.record({ assetIds: fc.array(fc.string()) }), fc.jsonValue()),
        names: fc.oneof(fc.dictionary(fc.string(), fc.string()), fc.jsonValue()),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(fc.oneof(near, fc.jsonValue()), value => {
        const refusal = check(value)
        expect(refusal === null).toBe(Check(strict, value))
        if (refusal !== null) expect(refusal.message).toMatch(/^Invalid Argument body\S*.*:\S/s)
      }),
      { numRuns: 500 },
    )
  })
})

describe('a closed schema', () => {
  const named = Type.Object({ x: Type.Integer() }, { $id: 'Named' })
  const outer: Plain = JSON.parse(
    JSON.stringify(Type.Object({ named, list: Type.Array(Type.Object({ y: Type.Null() })) })),
  )

  it('takes no other fields at any depth', () => {
    const strict = closed(outer)
    expect(strict.additionalProperties).toBe(false)
    expect(strict.properties?.named).toMatchObject({ additionalProperties: false })
    expect(strict.properties?.named).not.toHaveProperty('$id')
    expect(strict.properties?.list?.items?.additionalProperties).toBe(false)
  })

  it('leaves schemas with a name as they are where that is asked for', () => {
    expect(closed(outer, true).properties?.named).toEqual(outer.properties?.named)
  })

  it('leaves objects open that say so themselves', () => {
    expect(closed({ type: 'object', properties: {}, additionalProperties: true }).additionalProperties).toBe(true)
  })
})

describe('a text of a query', () => {
  const integer = { type: 'integer' }
  it.each<[Plain, string, unknown]>([
    [integer, '7', 7],
    [integer, '-7', -7],
    [integer, '007', 7],
    [integer, '7.0', '7.0'],
    [integer, '1e3', '1e3'],
    [integer, '', ''],
    [integer, '1234567890123456', '1234567890123456'],
    [{ type: 'number' }, '1.5', 1.5],
    [{ type: 'number' }, '.5', '.5'],
    [{ type: 'number' }, 'NaN', 'NaN'],
    [{ type: 'boolean' }, 'true', true],
    [{ type: 'boolean' }, 'false', false],
    [{ type: 'boolean' }, '1', '1'],
    [{ type: 'array', items: integer }, '1, 2,x', [1, 2, 'x']],
    [{ type: 'array', items: { type: 'string' } }, 'a', ['a']],
    [{ type: 'array' }, 'a,b', ['a', 'b']],
    [{ type: 'string' }, '7', '7'],
    [{ anyOf: [] }, '7', '7'],
  ])('by %j is read from %j', (schema, text, value) => {
    expect(readText(schema, text)).toEqual(value)
  })
})
