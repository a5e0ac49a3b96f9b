// Strict reading of JSON: equal to JSON.parse where that is safe, refused with a place where it is not.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errors } from '../src/core/errors.ts'
import { parseJson, pathTo, quote } from '../src/core/json.ts'
import { JSON_MAX_DEPTH, QUOTE_PATH_MAX_CHARS } from '../src/core/limits.ts'

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
const message = (text: string): string => {
  const read = parseJson(text)
  if (read.ok) throw new Error(`was read: ${text.slice(0, 80)}`)
  expect(read.code).toBe(errors.invalidArgument.code)
  return read.message
}
const milliseconds = (work: () => void): number => {
  const start = performance.now()
  work()
  return performance.now() - start
}

describe('reads what JSON.parse reads', () => {
  test('any value that JSON can hold without loss', () => {
    const unsafe = (value: unknown): boolean =>
      JSON.stringify(value).includes('__proto__') || (typeof value === 'number' && Math.abs(value) > 2 ** 53)
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' }),
        fc.integer({ min: 0, max: 3 }),
        (value, indent) => {
          fc.pre(!JSON.stringify(value, (_, part) => (unsafe(part) ? 'UNSAFE' : part)).includes('UNSAFE'))
          const text = JSON.stringify(value, null, indent)
          expect(parseJson(text)).toEqual({ ok: true, value: JSON.parse(text) })
        },
      ),
    )
  })

  test('and refuses what it refuses', () => {
    const alphabet = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      '"',
      ',',
      ':',
      '1',
      '-',
      '.',
      'e',
      't',
      'null',
      '\\',
      'a',
      ' ',
      '0',
    )
    fc.assert(
      fc.property(fc.array(alphabet, { maxLength: 14 }), parts => {
        const text = parts.join('')
        let parsed = true
        try {
          JSON.parse(text)
        } catch {
          parsed = false
        }
        fc.pre(!parsed)
        expect(message(text)).toMatch(/^Invalid Argument body:is not JSON: ./)
      }),
      { numRuns: 500 },
    )
  })

  test.each([
    ['0'],
    ['-0'],
    ['9007199254740991'],
    ['9007199254740992'],
    ['-9007199254740992'],
    ['0.1'],
    ['1.0'],
    ['12345678901234567.5'],
    ['3.141592653589793238462643383279'],
    ['1e17'],
    ['1E+22'],
    ['-6.02214076e23'],
    ['1.7976931348623157e308'],
    ['900719925474099.2e1'],
    ['9007199254740991000e-3'],
    ['5e-324'],
    ['1e-999'],
    ['0e999'],
    ['0.000e-5'],
    ['"\\u0000"'],
    ['"9007199254740993 and 1e999"'],
    ['"a\\\\"'],
    ['["\\"[{", {"a\\"1e999":[]}]'],
    ['{"constructor":1,"toString":{"constructor":2}}'],
    ['[{"a":1},{"a":2},{"b":{"a":1}}]'],
    [nested(JSON_MAX_DEPTH)],
    [' \t\r\n{ "a" : [ true , false , null ] } '],
  ])('%s', text => expect(parseJson(text)).toEqual({ ok: true, value: JSON.parse(text) }))
})

const EXACT = 'whole numbers are exact up to 9007199254740992 (2^53)'

describe('refuses what would be changed', () => {
  test.each([
    ['9007199254740993', `is a whole number that would be rounded: 9007199254740993; ${EXACT}`],
    ['-9007199254740993', `is a whole number that would be rounded: -9007199254740993; ${EXACT}`],
    // exact as a double, and beyond 2^53 all the same
    ['9007199254740994', `is a whole number that would be rounded: 9007199254740994; ${EXACT}`],
    ['10000000000000000000000', `is a whole number that would be rounded: 10000000000000000000000; ${EXACT}`],
    ['9007199254740993.0', `is a whole number that would be rounded: 9007199254740993.0; ${EXACT}`],
    ['9007199254740993e0', `is a whole number that would be rounded: 9007199254740993e0; ${EXACT}`],
    ['9.007199254740993E15', `is a whole number that would be rounded: 9.007199254740993E15; ${EXACT}`],
    ['90071992547409930e-1', `is a whole number that would be rounded: 90071992547409930e-1; ${EXACT}`],
    ['1e400', 'is too large for a number: 1e400'],
    ['{"value":-1e999}', 'value is too large for a number: -1e999'],
    [
      '{"value":[1,{"x":[0,20000000000000001]}]}',
      `value[1].x[1] is a whole number that would be rounded: 20000000000000001; ${EXACT}`,
    ],
    [
      '{"a b":{"\\u0063":99999999999999999999}}',
      `["a b"].c is a whole number that would be rounded: 99999999999999999999; ${EXACT}`,
    ],
    ['{"a":[],"b":99999999999999999999}', `b is a whole number that would be rounded: 99999999999999999999; ${EXACT}`],
    ['{"value":1,"value":2}', 'value is given twice'],
    ['{"x":{"value":1,"valu\\u0065":{}}}', 'x.value is given twice'],
    ['{"inputData":{"__proto__":{"a":1}}}', 'inputData.__proto__ is a key that is not allowed'],
    ['{"\\u005f_proto__":1}', '__proto__ is a key that is not allowed'],
    [`{"value":${nested(JSON_MAX_DEPTH)}}`, `value${'[0]'.repeat(JSON_MAX_DEPTH - 1)} is nested deeper than 32 levels`],
  ])('%s', (text, detail) => expect(message(text)).toBe(`Invalid Argument body:${detail}`))

  test('every integer beyond 2^53, and none within', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), n => {
        const within = n <= 2n ** 53n && n >= -(2n ** 53n)
        expect(parseJson(`[${n}]`).ok).toBe(within)
        if (within) expect(parseJson(`[${n}]`)).toEqual({ ok: true, value: [Number(n)] })
      }),
    )
  })

  test('a whole number in any notation is kept to the digit or refused', () => {
    /** the integer that a double is printed as, exactly */
    const printed = (double: number): bigint => {
      const [mantissa = '', power = '0'] = String(double).split('e')
      const [whole = '', fraction = ''] = mantissa.split('.')
      return BigInt(whole + fraction) * 10n ** BigInt(Number(power) - fraction.length)
    }
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 10n ** 19n }), fc.integer({ min: 0, max: 12 }), (n, power) => {
        const text = `${n}e${power}`
        expect(parseJson(text).ok).toBe(printed(Number(text)) === n * 10n ** BigInt(power))
      }),
    )
  })

  test('names the parameter it was given', () => {
    expect(parseJson('{', 'dataDefinition')).toMatchObject({
      message: expect.stringMatching(/^Invalid Argument dataDefinition:is not JSON: /),
    })
  })
})

describe('hostile text', () => {
  test('nesting without end neither recurses nor is followed', () => {
    const deep = 200_000
    expect(message(nested(deep))).toContain('is nested deeper than')
    expect(message('{"a":'.repeat(100_000))).toContain('is not JSON')
  })

  test('messages are short and on one line', () => {
    const key = 'k\n\u202e\u0000'.repeat(100)
    const long = Array.from({ length: JSON_MAX_DEPTH - 1 }, () => `{${JSON.stringify(key)}:`).join('')
    const text = `${long}${'9'.repeat(50_000)}${'}'.repeat(JSON_MAX_DEPTH - 1)}`
    for (const refused of [message(text), message('\n\u202e\u0000x'), message('9'.repeat(300))]) {
      expect(refused.length).toBeLessThan(QUOTE_PATH_MAX_CHARS + 200)
      expect(refused).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
    }
  })

  test('work grows with length, not with its square', () => {
    const worst = (size: number): string[] => [
      `[${'0'.repeat(0)}1${'0'.repeat(size)}]`,
      `["${'\\\\'.repeat(size / 2)}"]`,
      `[0.${'0'.repeat(size)}1]`,
      `[0.${'01'.repeat(size / 2)}e1]`,
      `{${Array.from({ length: size / 8 }, (_, i) => `"k${i}":1`).join(',')}}`,
      `[1e${'0'.repeat(size)}1]`,
      ' '.repeat(size),
    ]
    for (const text of worst(1_000_000)) {
      expect(milliseconds(() => parseJson(text))).toBeLessThan(3_000)
    }
  })
})

describe('quote', () => {
  test.each([
    ['x', '"x"'],
    ['a"b\\', '"a\\"b\\\\"'],
    ['a\nb\u0000\u007f\u2028\u202e\ufeff', '"a\\nb\\u0000\\u007f\\u2028\\u202e\\ufeff"'],
    ['\u{e0041}', '"\\udb40\\udc41"'],
    ['\ud800', '"\\ud800"'],
    ['😀é', '"😀é"'],
    [undefined, 'nothing'],
    [null, 'null'],
    [1.5, '1.5'],
    [Number.NaN, 'NaN'],
    [true, 'true'],
    [[1, 2], 'an array of 2'],
    [{ a: 1 }, 'an object'],
  ])('%j is shown as %s', (value, shown) => expect(quote(value)).toBe(shown))

  test('cuts what is long', () => expect(quote('x'.repeat(1_000_000))).toBe(`"${'x'.repeat(64)}…"`))
})

test('pathTo', () => {
  expect(pathTo('', 'a')).toBe('a')
  expect(pathTo('a', 'b')).toBe('a.b')
  expect(pathTo('a', 3)).toBe('a[3]')
  expect(pathTo('a', 'x y')).toBe('a["x y"]')
  expect(pathTo('', '')).toBe('[""]')
})
