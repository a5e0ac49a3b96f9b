// Thing models and the values that fit them.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errors, type Refusal } from '../src/core/errors.ts'
import { HINT_CANDIDATES_MAX, MODEL_PROBLEMS_MAX, QUOTE_PATH_MAX_CHARS } from '../src/core/limits.ts'
import { checkPoint, checkService, type Model, parseModel, parseStringI18n, serviceIds } from '../src/core/model.ts'

const modelOf = (value: unknown): Model => {
  const read = parseModel(value)
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.model
}
const problemsOf = (value: unknown): string[] => {
  const read = parseModel(value)
  if (read.ok) throw new Error('the model was accepted')
  return read.problems.map(({ path, message }) => `${path}: ${message}`)
}
/** A model with one point `p`. */
const withPoint = (point: object): Model => modelOf({ measurepoints: { p: point } })
const problemsOfPoint = (point: unknown) => problemsOf({ measurepoints: { p: point } })
/** A model with one service `s` that has these inputs. */
const withInputs = (...inputData: object[]): Model => modelOf({ services: { s: { inputData } } })

const detail = (result: { ok: true } | Refusal): string => {
  if (result.ok) throw new Error('was accepted')
  expect(result.code).toBe(errors.invalidArgument.code)
  return result.message.replace('Invalid Argument ', '')
}

/** The structs of the vendor, with every field that they document. */
const full = {
  modelId: 'demo',
  modelIdPath: '/root/demo',
  orgId: 'o15541858646501',
  name: { defaultValue: 'Demo', i18nValue: { en_US: 'Demo', zh_CN: '' } },
  desc: null,
  tags: { k: 'v' },
  attributes: {
    serial: {
      identifier: 'serial',
      name: { defaultValue: 'Serial', i18nValue: {} },
      desc: 'd',
      tags: {},
      dataType: 'STRING',
      dataDefinition: '{"maxLength":8}',
      unit: { unitId: '°C', multiplier: 'ONE' },
      isRequired: true,
      defaultValue: 'none',
      isStdElement: false,
      stdElementId: null,
    },
  },
  measurepoints: {
    Int_value: {
      identifier: 'Int_value',
      name: { defaultValue: 'Int_value', i18nValue: { en_US: 'Int value' } },
      dataType: 'INT',
      dataDefinition: null,
      unit: null,
      hasQuality: true,
      signalType: 'AI',
    },
    temp: { dataType: 'DOUBLE' },
  },
  services: {
    reboot: {
      identifier: 'reboot',
      name: { defaultValue: 'Reboot' },
      inputData: [
        { identifier: 'delay', dataType: 'INT', isRequired: true, defaultValue: 5 },
        { identifier: 'reason', dataType: 'STRING' },
      ],
      outputData: [{ identifier: 'ok', dataType: 'BOOL' }],
      callType: 'SYNC',
    },
  },
  events: { overheat: { name: 'Overheat', eventType: 'WARN', outputData: [{ identifier: 't', dataType: 'FLOAT' }] } },
}

describe('parseModel', () => {
  test('reads all that the vendor documents', () => {
    const model = modelOf(full)
    expect([...model.measurepoints.keys()]).toEqual(['Int_value', 'temp'])
    expect(model.attributes.get('serial')).toEqual({
      identifier: 'serial',
      name: { defaultValue: 'Serial', i18nValue: {} },
      definition: { dataType: 'STRING', maxLength: 8 },
      required: true,
      writable: true,
      defaultValue: 'none',
    })
    expect(model.measurepoints.get('temp')?.name).toEqual({ defaultValue: 'temp', i18nValue: {} })
    expect([...(model.events.get('overheat')?.outputs.keys() ?? [])]).toEqual(['t'])
    expect(model.services.get('reboot')?.outputs.get('ok')?.definition).toEqual({ dataType: 'BOOL' })
    expect(serviceIds(model)).toEqual(['reboot'])
    expect(serviceIds(null)).toEqual([])
  })

  test('a model may be empty, and null is absent', () => {
    for (const empty of [{}, { measurepoints: null, services: null, name: null, modelId: null }]) {
      const model = modelOf(empty)
      expect([model.attributes.size, model.measurepoints.size, model.services.size, model.events.size]).toEqual([
        0, 0, 0, 0,
      ])
    }
    expect(modelOf({ services: { s: { inputData: null, outputData: null } } }).services.get('s')?.inputs.size).toBe(0)
  })

  test('a definition is an object, the same as JSON text, or nothing', () => {
    const definition = {
      enumType: 'INT',
      enumDesc: { 1: { defaultValue: 'on', i18nValue: {} }, 2: 'off' },
      defaultValue: 1,
    }
    for (const dataDefinition of [definition, JSON.stringify(definition)]) {
      const point = withPoint({ dataType: 'ENUM', dataDefinition }).measurepoints.get('p')
      expect(point?.definition).toEqual({ dataType: 'ENUM', enumType: 'INT', keys: new Set(['1', '2']) })
      expect(point?.defaultValue).toBe(1)
    }
    for (const dataDefinition of [undefined, null, 'null']) {
      const point = withPoint({ dataType: 'STRING', dataDefinition }).measurepoints.get('p')
      expect(point?.definition).toEqual({ dataType: 'STRING', maxLength: 1024 })
    }
    expect(withPoint({ dataType: 'STRING', dataDefinition: {} }).measurepoints.get('p')?.definition).toEqual({
      dataType: 'STRING',
      maxLength: 1024,
    })
  })

  test('min and max stand in the definition or on the point, where they win', () => {
    const bounds = (point: object) => withPoint({ dataType: 'INT', ...point }).measurepoints.get('p')?.definition
    expect(bounds({ min: 1, max: 9 })).toEqual({ dataType: 'INT', min: 1, max: 9 })
    expect(bounds({ dataDefinition: { min: 1, max: 9 } })).toEqual({ dataType: 'INT', min: 1, max: 9 })
    expect(bounds({ dataDefinition: { min: 1, max: 9 }, max: 5 })).toEqual({ dataType: 'INT', min: 1, max: 5 })
    expect(bounds({ dataDefinition: { min: 1 }, min: null })).toEqual({ dataType: 'INT', min: 1, max: null })
  })

  test.each([
    [null, ': must be an object, not null'],
    [[], ': must be an object, not an array of 0'],
    [{ modelId: 3 }, 'modelId: must be a string, not 3'],
    [{ name: 3 }, 'name: must be {defaultValue, i18nValue: {locale: text}}, all text'],
    [
      { measurepoint: {} },
      'measurepoint: unknown key; known are modelId, modelIdPath, orgId, name, desc, tags, attributes, measurepoints, services, events',
    ],
    [{ measurepoints: [] }, 'measurepoints: must be a map keyed by identifier, not an array of 0'],
    [
      { measurepoints: { 'a/b': { dataType: 'INT' } } },
      'measurepoints["a/b"]: an identifier is 1 to 64 letters, digits or _ . -',
    ],
    [{ services: { s: 'x' } }, 'services.s: must be an object, not "x"'],
    [
      { services: { s: { inputs: [] } } },
      'services.s.inputs: unknown key; known are identifier, name, desc, tags, isStdElement, stdElementId, inputData, outputData, callType',
    ],
    [{ services: { s: { inputData: {} } } }, 'services.s.inputData: must be an array, not an object'],
    [
      { services: { s: { inputData: [{ dataType: 'INT' }] } } },
      'services.s.inputData[0].identifier: must be 1 to 64 letters, digits or _ . -, not nothing',
    ],
    [
      { services: { s: { inputData: ['x'] } } },
      'services.s.inputData[0].identifier: must be 1 to 64 letters, digits or _ . -, not nothing',
    ],
    [
      {
        services: {
          s: {
            inputData: [
              { identifier: 'a', dataType: 'INT' },
              { identifier: 'a', dataType: 'INT' },
            ],
          },
        },
      },
      'services.s.inputData[1].identifier: a is given twice',
    ],
    [
      { events: { e: { outputData: [{ identifier: 'a' }] } } },
      'events.e.outputData[0].dataType: must be one of ARRAY, BOOL, DATE, ENUM, INT, FLOAT, DOUBLE, STRUCT, STRING, TIMESTAMP, FILE, not nothing',
    ],
  ])('%j: %s', (model, problem) => expect(problemsOf(model)).toEqual([problem]))

  test.each([
    [
      { dataType: 'int' },
      'dataType: must be one of ARRAY, BOOL, DATE, ENUM, INT, FLOAT, DOUBLE, STRUCT, STRING, TIMESTAMP, FILE, not "int"',
    ],
    [
      { dataType: 'toString' },
      'dataType: must be one of ARRAY, BOOL, DATE, ENUM, INT, FLOAT, DOUBLE, STRUCT, STRING, TIMESTAMP, FILE, not "toString"',
    ],
    [{ dataType: 'INT', identifier: 'q' }, 'identifier: must be its key "p", not "q"'],
    [{ dataType: 'INT', name: { i18nValue: {} } }, 'name: must be {defaultValue, i18nValue: {locale: text}}, all text'],
    [{ dataType: 'INT', writable: 'yes' }, 'writable: must be true or false, not "yes"'],
    [{ dataType: 'INT', isRequired: 1 }, 'isRequired: must be true or false, not 1'],
    [{ dataType: 'INT', required: 1 }, 'required: must be true or false, not 1'],
    [{ dataType: 'INT', min: '1' }, 'min: must be a number, not "1"'],
    [{ dataType: 'INT', dataDefinition: { max: Number.NaN } }, 'dataDefinition.max: must be a number, not NaN'],
    [{ dataType: 'INT', min: 2, max: 1 }, 'dataDefinition: min 2 is above max 1'],
    [{ dataType: 'BOOL', min: 2 }, 'min: is not for BOOL'],
    [{ dataType: 'INT', min: 'x', defaultValue: 'y' }, 'min: must be a number, not "x"'],
    [{ dataType: 'INT', dataDefinition: 7 }, 'dataDefinition: must be an object, not 7'],
    [
      { dataType: 'INT', dataDefinition: '{"min":1,"min":2}' },
      'dataDefinition: is refused as JSON text: min is given twice',
    ],
    [
      { dataType: 'INT', dataDefinition: { maxLength: 1 } },
      'dataDefinition.maxLength: unknown key; known are min, max, defaultValue',
    ],
    [{ dataType: 'INT', defaultValue: 'x' }, 'defaultValue: must be an INT, got "x"'],
    [{ dataType: 'INT', max: 3, defaultValue: 4 }, 'defaultValue: must be an INT of at most 3, got 4'],
    [{ dataType: 'BOOL', dataDefinition: { boolDesc: 'x' } }, 'dataDefinition.boolDesc: must be an object'],
    [
      { dataType: 'STRING', dataDefinition: { maxLength: 0 } },
      'dataDefinition.maxLength: must be a whole number of characters above 0, not 0',
    ],
    [
      { dataType: 'STRING', dataDefinition: { maxLength: '8' } },
      'dataDefinition.maxLength: must be a whole number of characters above 0, not "8"',
    ],
    [
      { dataType: 'ENUM', dataDefinition: { enumType: 'FLOAT', enumDesc: { a: 'a' } } },
      'dataDefinition.enumType: must be INT or STRING, not "FLOAT"',
    ],
    [
      { dataType: 'ENUM', dataDefinition: { enumType: 'INT' }, defaultValue: 3 },
      'dataDefinition.enumDesc: must be an object with a key for every value, not nothing',
    ],
    [
      { dataType: 'ENUM', dataDefinition: { enumDesc: {} } },
      'dataDefinition.enumDesc: must be an object with a key for every value, not an object',
    ],
    [
      { dataType: 'ENUM', dataDefinition: { enumType: 'INT', enumDesc: { '01': 'a' } } },
      'dataDefinition.enumDesc.01: must be a decimal whole number, since enumType is INT',
    ],
    [
      { dataType: 'ENUM', dataDefinition: { enumDesc: { a: 3 } } },
      'dataDefinition.enumDesc.a: must be {defaultValue, i18nValue}, or a text',
    ],
    [
      { dataType: 'ARRAY', dataDefinition: {} },
      'dataDefinition.itemType: must be one of INT, FLOAT, DOUBLE, STRING, BOOL, DATE, TIMESTAMP, FILE, not null',
    ],
    [
      { dataType: 'ARRAY', dataDefinition: { itemType: 'STRUCT' } },
      'dataDefinition.itemType: must be one of INT, FLOAT, DOUBLE, STRING, BOOL, DATE, TIMESTAMP, FILE, not "STRUCT"',
    ],
    [{ dataType: 'STRUCT', dataDefinition: {} }, 'dataDefinition.items: is missing'],
    [{ dataType: 'STRUCT', dataDefinition: { items: {} } }, 'dataDefinition.items: must be an array, not an object'],
    [
      {
        dataType: 'STRUCT',
        dataDefinition: { items: [{ identifier: 'x', dataType: 'STRUCT', dataDefinition: { items: [] } }] },
      },
      'dataDefinition.items[0].dataType: a STRUCT holds no STRUCT',
    ],
    [
      { dataType: 'STRUCT', dataDefinition: { items: [{ identifier: 'x', dataType: 'INT', require: true }] } },
      'dataDefinition.items[0].require: unknown key; known are identifier, name, desc, tags, isStdElement, stdElementId, dataType, dataDefinition, unit, hasQuality, signalType, isRequired, required, defaultValue, writable, min, max',
    ],
  ])('point %j: %s', (point, problem) => expect(problemsOfPoint(point)).toEqual([`measurepoints.p.${problem}`]))

  test('all problems are told at once, up to a bound', () => {
    const points = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`p${i}`, { dataType: 'X' }]))
    expect(problemsOf({ measurepoints: points, services: { s: 3 } })).toHaveLength(MODEL_PROBLEMS_MAX)
    expect(problemsOf({ measurepoints: { a: 1, b: { dataType: 'INT', nmae: 'x' } } })).toHaveLength(3)
  })

  test('a struct inside itself ends', () => {
    const struct: Record<string, unknown> = { identifier: 'x', dataType: 'STRUCT' }
    struct.dataDefinition = { items: [struct] }
    expect(problemsOfPoint(struct)).toContain(
      'measurepoints.p.dataDefinition.items[0].dataType: a STRUCT holds no STRUCT',
    )
  })

  test('whatever one place of a model is replaced with, it is read or its problem is told', () => {
    const struct = {
      dataType: 'STRUCT',
      dataDefinition: { items: [{ identifier: 'x', dataType: 'INT', required: true }] },
    }
    const list = { dataType: 'ARRAY', dataDefinition: { itemType: 'INT' } }
    const choice = { dataType: 'ENUM', dataDefinition: { enumType: 'INT', enumDesc: { 1: 'on' } } }
    const text = JSON.stringify({ ...full, measurepoints: { ...full.measurepoints, struct, list, choice } })
    let places = 0
    JSON.parse(text, (_, part) => {
      places += 1
      return part
    })
    const junk = fc.oneof(
      fc.constantFrom('INT', 'STRUCT', 'ENUM', '{}', '', null, [], {}, -1),
      fc.anything({ maxDepth: 1 }),
    )
    fc.assert(
      fc.property(fc.nat({ max: places - 1 }), junk, (place, value) => {
        let count = 0
        const model: unknown = JSON.parse(text, (_, part) => (count++ === place ? value : part))
        const read = parseModel(model)
        if (read.ok) for (const id of read.model.measurepoints.keys()) checkPoint(read.model, id, value)
        else expect(read.problems.length).toBeGreaterThan(0)
      }),
      { numRuns: 500 },
    )
  })
})

describe('parseStringI18n', () => {
  test.each([
    ['x', { defaultValue: 'x', i18nValue: {} }],
    [{ defaultValue: '' }, { defaultValue: '', i18nValue: {} }],
    [
      { defaultValue: 'a', i18nValue: null },
      { defaultValue: 'a', i18nValue: {} },
    ],
    [
      { defaultValue: 'a', i18nValue: { en_US: 'b', zh_CN: '' } },
      { defaultValue: 'a', i18nValue: { en_US: 'b', zh_CN: '' } },
    ],
    [{}, null],
    [{ defaultValue: null }, null],
    [{ defaultValue: 'a', i18nValue: [] }, null],
    [{ defaultValue: 'a', i18nValue: { en_US: 1 } }, null],
    [{ defaultValue: 'a', i18n: {} }, null],
    [undefined, null],
    [null, null],
    [3, null],
    [['a'], null],
  ])('%j is %j', (value, name) => expect(parseStringI18n(value)).toEqual(name))
})

describe('checkPoint', () => {
  const long = `{"defaultValue":"x","i18nValue":{}}`
  const intEnum = { enumType: 'INT', enumDesc: { 1: 'on', '-2': JSON.parse(long) } }
  const structOf = (...items: object[]) => ({ dataType: 'STRUCT', dataDefinition: { items } })
  const fitting: [object, unknown[]][] = [
    [{ dataType: 'INT' }, [0, -1, 2 ** 53 - 1, 1.0]],
    [{ dataType: 'INT', min: -1, max: 1 }, [-1, 0, 1]],
    [{ dataType: 'FLOAT' }, [0, 1.5, -1e300]],
    [{ dataType: 'DOUBLE', dataDefinition: { min: 0.5 } }, [0.5, 1e308]],
    [{ dataType: 'BOOL', dataDefinition: { boolDesc: { true: 'on', false: 'off' } } }, [true, false, 0, 1]],
    [{ dataType: 'STRING', dataDefinition: { maxLength: 3 } }, ['', 'abc', '😀😀😀', '\u0000']],
    [{ dataType: 'STRING' }, ['x'.repeat(1024)]],
    [{ dataType: 'ENUM', dataDefinition: intEnum }, [1, -2]],
    [{ dataType: 'ENUM', dataDefinition: { enumType: 'STRING', enumDesc: { 1: null, on: null } } }, ['1', 'on']],
    [{ dataType: 'ENUM', dataDefinition: { enumDesc: { 1: null } } }, [1, '1']],
    [{ dataType: 'ENUM' }, [7, 'seven']],
    [{ dataType: 'DATE', dataDefinition: {} }, ['2019-05-06', '2020-02-29 23:59:59']],
    [{ dataType: 'TIMESTAMP' }, [0, 1560505243577, '1560505243577', '0', '9007199254740991']],
    [{ dataType: 'FILE' }, ['enos-connect://a/b?c=d', 'https://例え.jp/x', 'urn:a']],
    [{ dataType: 'ARRAY', dataDefinition: { itemType: 'INT' } }, [[], [1, 2]]],
    [{ dataType: 'ARRAY', dataDefinition: { itemType: 'STRING' } }, [['a', '']]],
    [{ dataType: 'ARRAY' }, [[], [1, 2.5], ['a'], [{ a: 1 }, { b: 2 }], [[1], ['x']]]],
    [{ dataType: 'STRUCT' }, [{}, { any: [1, null] }]],
    [
      structOf(
        { identifier: 'a', dataType: 'INT', required: true },
        { identifier: 'b', dataType: 'ARRAY', dataDefinition: { itemType: 'INT' } },
      ),
      [{ a: 1 }, { a: 1, b: [2] }],
    ],
  ]
  test.each(fitting)('%j takes %j', (point, values) => {
    for (const value of values) {
      expect(checkPoint(withPoint({ name: 'P', ...point }), 'p', value)).toEqual({
        ok: true,
        name: { defaultValue: 'P', i18nValue: {} },
        value,
      })
    }
  })

  const refused: [object, unknown, string][] = [
    [{ dataType: 'INT' }, 1.5, 'must be an INT, got 1.5'],
    [{ dataType: 'INT' }, '1', 'must be an INT, got "1"'],
    [{ dataType: 'INT' }, 2 ** 53, 'must be an INT, got 9007199254740992'],
    [{ dataType: 'INT' }, true, 'must be an INT, got true'],
    [{ dataType: 'INT' }, [1], 'must be an INT, got an array of 1'],
    [{ dataType: 'INT' }, undefined, 'value is missing'],
    [{ dataType: 'INT', defaultValue: 3 }, null, 'must not be null'],
    [{ dataType: 'INT', min: 0, max: 10 }, 11, 'must be an INT from 0 to 10, got 11'],
    [{ dataType: 'FLOAT', min: 0 }, -0.1, 'must be a FLOAT of at least 0, got -0.1'],
    [{ dataType: 'DOUBLE', max: 1 }, 1.1, 'must be a DOUBLE of at most 1, got 1.1'],
    [{ dataType: 'FLOAT' }, Number.POSITIVE_INFINITY, 'must be a FLOAT, got Infinity'],
    [{ dataType: 'DOUBLE' }, Number.NaN, 'must be a DOUBLE, got NaN'],
    [{ dataType: 'BOOL' }, 2, 'must be a BOOL (true, false, 0 or 1), got 2'],
    [{ dataType: 'BOOL' }, 'true', 'must be a BOOL (true, false, 0 or 1), got "true"'],
    [
      { dataType: 'STRING', dataDefinition: { maxLength: 3 } },
      'abcd',
      'must be a STRING of at most 3 characters, got "abcd"',
    ],
    [
      { dataType: 'STRING', dataDefinition: { maxLength: 2 } },
      '😀😀😀',
      'must be a STRING of at most 2 characters, got "😀😀😀"',
    ],
    [
      { dataType: 'STRING', dataDefinition: { maxLength: 2 } },
      'ab😀',
      'must be a STRING of at most 2 characters, got "ab😀"',
    ],
    [{ dataType: 'STRING' }, 1, 'must be a STRING of at most 1024 characters, got 1'],
    [{ dataType: 'ENUM', dataDefinition: intEnum }, 2, 'must be an ENUM value (as a number), one of 1, -2, got 2'],
    [{ dataType: 'ENUM', dataDefinition: intEnum }, '1', 'must be an ENUM value (as a number), one of 1, -2, got "1"'],
    [
      { dataType: 'ENUM', dataDefinition: { enumType: 'STRING', enumDesc: { '1': null } } },
      1,
      'must be an ENUM value (as a string), one of "1", got 1',
    ],
    [
      { dataType: 'ENUM', dataDefinition: { enumType: 'STRING', enumDesc: { a: null } } },
      'toString',
      'must be an ENUM value (as a string), one of "a", got "toString"',
    ],
    [{ dataType: 'ENUM' }, 1.5, 'must be an ENUM value, got 1.5'],
    [{ dataType: 'ENUM' }, true, 'must be an ENUM value, got true'],
    [{ dataType: 'DATE' }, '2019-02-29', 'must be a DATE (yyyy-MM-dd HH:mm:ss or yyyy-MM-dd), got "2019-02-29"'],
    [
      { dataType: 'DATE' },
      '2019-02-28T00:00:00',
      'must be a DATE (yyyy-MM-dd HH:mm:ss or yyyy-MM-dd), got "2019-02-28T00:00:00"',
    ],
    [{ dataType: 'DATE' }, 0, 'must be a DATE (yyyy-MM-dd HH:mm:ss or yyyy-MM-dd), got 0'],
    [{ dataType: 'TIMESTAMP' }, -1, 'must be a TIMESTAMP (ms since 1970), got -1'],
    [{ dataType: 'TIMESTAMP' }, 1.5, 'must be a TIMESTAMP (ms since 1970), got 1.5'],
    [{ dataType: 'TIMESTAMP' }, '', 'must be a TIMESTAMP (ms since 1970), got ""'],
    [{ dataType: 'TIMESTAMP' }, '1e3', 'must be a TIMESTAMP (ms since 1970), got "1e3"'],
    [{ dataType: 'TIMESTAMP' }, '007', 'must be a TIMESTAMP (ms since 1970), got "007"'],
    [{ dataType: 'TIMESTAMP' }, '9007199254740992', 'must be a TIMESTAMP (ms since 1970), got "9007199254740992"'],
    [{ dataType: 'FILE' }, 'a/b', 'must be a FILE (a URI), got "a/b"'],
    [{ dataType: 'FILE' }, 'file:a b', 'must be a FILE (a URI), got "file:a b"'],
    [{ dataType: 'FILE' }, 'file:', 'must be a FILE (a URI), got "file:"'],
    [{ dataType: 'FILE' }, {}, 'must be a FILE (a URI), got an object'],
    [{ dataType: 'ARRAY' }, 'x', 'must be an ARRAY, got "x"'],
    [{ dataType: 'ARRAY' }, { length: 1 }, 'must be an ARRAY, got an object'],
    [{ dataType: 'ARRAY' }, [1, 'x'], '[1] must be a number like the elements before it'],
    [{ dataType: 'ARRAY' }, [[1], {}], '[1] must be a list like the elements before it'],
    [{ dataType: 'ARRAY' }, [null], '[0] must not be null'],
    [{ dataType: 'ARRAY', dataDefinition: { itemType: 'INT' } }, [1, 2, '3'], '[2] must be an INT, got "3"'],
    [{ dataType: 'ARRAY', dataDefinition: { itemType: 'INT' } }, [null], '[0] must be an INT, got null'],
    [{ dataType: 'STRUCT' }, [], 'must be a STRUCT, got an array of 0'],
    [structOf({ identifier: 'a', dataType: 'INT', required: true }), {}, 'a is required'],
    [structOf({ identifier: 'a', dataType: 'INT', required: true }), { a: null }, 'a is required'],
    [structOf({ identifier: 'a', dataType: 'INT' }), { a: 'x' }, 'a must be an INT, got "x"'],
    [structOf({ identifier: 'a', dataType: 'INT' }), { b: 1 }, 'has no "b"; known are a'],
    [structOf(), { b: 1 }, 'has no "b"; known are none'],
    [
      structOf({ identifier: 'a', dataType: 'ARRAY', dataDefinition: { itemType: 'BOOL' } }),
      { a: [true, 'x'] },
      'a[1] must be a BOOL (true, false, 0 or 1), got "x"',
    ],
  ]
  test.each(refused)('%j refuses %j: %s', (point, value, message) =>
    expect(detail(checkPoint(withPoint(point), 'p', value))).toBe(`value:${message}`),
  )

  test('names the point when that is what is wrong', () => {
    const model = withPoint({ dataType: 'INT', writable: false })
    expect(detail(checkPoint(model, '', 1))).toBe('measurepointId:measurepointId is missing')
    expect(detail(checkPoint(model, 'a/b', 1))).toBe(
      'measurepointId:must be 1 to 64 letters, digits or _ . -, got "a/b"',
    )
    expect(detail(checkPoint(model, 'unlike', 1))).toBe(
      'measurepointId:the product\'s model has no measurepoint "unlike"; it has 1',
    )
    expect(detail(checkPoint(model, 'p', 1))).toBe('measurepointId:the product\'s model has "p" as not writable')
    expect(checkPoint(withPoint({ dataType: 'INT', writable: true }), 'p', 1).ok).toBe(true)
  })

  test('without a model any JSON but null fits any point', () => {
    fc.assert(
      fc.property(fc.jsonValue(), value => {
        fc.pre(value !== null)
        expect(checkPoint(null, 'p.1', value)).toEqual({
          ok: true,
          name: { defaultValue: 'p.1', i18nValue: {} },
          value,
        })
      }),
    )
    expect(detail(checkPoint(null, 'p', null))).toBe('value:must not be null')
    expect(detail(checkPoint(null, 'p', undefined))).toBe('value:value is missing')
    expect(detail(checkPoint(null, '+', 1))).toMatch(/^measurepointId:/)
  })

  test('what every object inherits is no point, service, input or item', () => {
    const model = modelOf({ measurepoints: { p: structOf() }, services: { s: {} } })
    for (const inherited of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(detail(checkPoint(model, inherited, 1))).toMatch(/^measurepointId:.* has no /)
      expect(detail(checkService(model, inherited, {}))).toMatch(/^serviceId:.* has no /)
      const given = JSON.parse(`{"${inherited}":1}`)
      expect(detail(checkService(model, 's', given))).toMatch(/^inputData:has no /)
      expect(detail(checkPoint(model, 'p', given))).toMatch(/^value:has no /)
      const named = withInputs({ identifier: inherited, dataType: 'INT', isRequired: true })
      expect(detail(checkService(named, 's', {}))).toBe(`inputData:${inherited} is required`)
      const result = checkService(named, 's', given)
      expect(result.ok && JSON.stringify(result.inputs)).toBe(`{"${inherited}":1}`)
    }
    expect(
      checkPoint(modelOf(JSON.parse('{"measurepoints":{"__proto__":{"dataType":"INT"}}}')), '__proto__', 1).ok,
    ).toBe(true)
  })

  test('messages stay short whatever is quoted', () => {
    const keys = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`key\n${i}`, null]))
    const model = withPoint({ dataType: 'ENUM', dataDefinition: { enumType: 'STRING', enumDesc: keys } })
    for (const value of ['x\u0000\n'.repeat(50_000), Array(100_000).fill(1)]) {
      const message = detail(checkPoint(model, 'p', value))
      expect(message.length).toBeLessThan(2 * QUOTE_PATH_MAX_CHARS + 400)
      expect(message).not.toMatch(/\p{Cc}/u)
    }
    expect(detail(checkPoint(null, 'x\n'.repeat(50_000), 1)).length).toBeLessThan(QUOTE_PATH_MAX_CHARS)
    expect(detail(checkService(withInputs(), 's', { ['x\n'.repeat(50_000)]: 1 })).length).toBeLessThan(
      QUOTE_PATH_MAX_CHARS,
    )
  })
})

describe('checkService', () => {
  const model = modelOf(full)
  const name = { defaultValue: 'Reboot', i18nValue: {} }

  test('fills in the default of a required input that is missing or null', () => {
    expect(checkService(model, 'reboot', {})).toEqual({ ok: true, name, inputs: { delay: 5 } })
    expect(checkService(model, 'reboot', { delay: null })).toEqual({ ok: true, name, inputs: { delay: 5 } })
    expect(checkService(model, 'reboot', { delay: 0 })).toEqual({ ok: true, name, inputs: { delay: 0 } })
    expect(checkService(model, 'reboot', undefined)).toEqual({ ok: true, name, inputs: { delay: 5 } })
    expect(checkService(model, 'reboot', null)).toEqual({ ok: true, name, inputs: { delay: 5 } })
  })

  test('an input that is not required and null is as good as missing, and gets no default', () => {
    const optional = withInputs(
      { identifier: 'a', dataType: 'INT', defaultValue: 3 },
      { identifier: 'b', dataType: 'INT' },
    )
    expect(checkService(optional, 's', { a: null, b: 1 })).toMatchObject({ ok: true, inputs: { b: 1 } })
    const result = checkService(optional, 's', { a: null })
    expect(result.ok && result.inputs).toEqual({})
  })

  test('inputs of every shape arrive as they were given', () => {
    const inputs = { delay: 11, reason: 'why' }
    expect(checkService(model, 'reboot', inputs)).toEqual({ ok: true, name, inputs })
    expect(checkService(withInputs(), 's', {})).toMatchObject({ ok: true, inputs: {} })
  })

  test.each([
    [{ delay: 'x' }, 'delay must be an INT, got "x"'],
    [{ delay: 1, Delay: 2 }, 'has no "Delay"; known are delay, reason'],
    [[], 'must be an object of inputs, got an array of 0'],
    ['{}', 'must be an object of inputs, got "{}"'],
  ])('%j: %s', (inputs, message) => expect(detail(checkService(model, 'reboot', inputs))).toBe(`inputData:${message}`))

  test('a required input without a default must be given, also inside a struct', () => {
    const item = { identifier: 'x', dataType: 'DOUBLE', required: true }
    const required = withInputs({
      identifier: 'at',
      dataType: 'STRUCT',
      isRequired: true,
      dataDefinition: { items: [item] },
    })
    expect(detail(checkService(required, 's', {}))).toBe('inputData:at is required')
    expect(detail(checkService(required, 's', { at: {} }))).toBe('inputData:at.x is required')
    expect(detail(checkService(required, 's', { at: { x: 'n' } }))).toBe('inputData:at.x must be a DOUBLE, got "n"')
    expect(detail(checkService(required, 's', { at: { y: 1 } }))).toBe('inputData:at has no "y"; known are x')
    expect(checkService(required, 's', { at: { x: 1 } }).ok).toBe(true)
  })

  test('a default that is required inside a struct is filled in', () => {
    const items = [{ identifier: 'x', dataType: 'INT', required: true, defaultValue: 7 }]
    const struct = withInputs({ identifier: 'at', dataType: 'STRUCT', dataDefinition: { items } })
    expect(checkService(struct, 's', { at: {} })).toMatchObject({ ok: true, inputs: { at: { x: 7 } } })
  })

  test('names the service when that is what is wrong', () => {
    expect(detail(checkService(model, '', {}))).toBe('serviceId:serviceId is missing')
    expect(detail(checkService(model, '#', {}))).toBe('serviceId:must be 1 to 64 letters, digits or _ . -, got "#"')
    expect(detail(checkService(model, 'halt', {}))).toBe(
      'serviceId:the product\'s model has no service "halt"; it has 1',
    )
    expect(detail(checkService(model, 'rebot', {}))).toMatch(/ has no service "rebot"; did you mean "reboot"\?$/)
    expect(detail(checkService(modelOf({}), 'halt', {}))).toMatch(/; it has none$/)
  })

  test('the id that is most likely meant is named, in a model of a size that can be searched', () => {
    const points = (count: number) =>
      modelOf({
        measurepoints: Object.fromEntries(Array.from({ length: count }, (_, i) => [`speed_${i}`, { dataType: 'INT' }])),
      })
    expect(detail(checkPoint(points(HINT_CANDIDATES_MAX), 'Speed_7', 1))).toMatch(/; did you mean "speed_7"\?$/)
    expect(detail(checkPoint(points(HINT_CANDIDATES_MAX), 'temperature', 1))).toMatch(/; it has 100$/)
    expect(detail(checkPoint(points(HINT_CANDIDATES_MAX + 1), 'Speed_7', 1))).toMatch(/; it has 101$/)
  })

  test('without a model any object fits any service', () => {
    const any = { ok: true, name: { defaultValue: 'any', i18nValue: {} } }
    expect(checkService(null, 'any', { a: [null] })).toEqual({ ...any, inputs: { a: [null] } })
    expect(checkService(null, 'any', undefined)).toEqual({ ...any, inputs: {} })
    expect(detail(checkService(null, 'any', [1]))).toBe('inputData:must be an object of inputs, got an array of 1')
    expect(detail(checkService(null, 'a b', {}))).toMatch(/^serviceId:/)
  })
})
