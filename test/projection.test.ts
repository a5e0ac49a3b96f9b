// Projections: which fields of a struct come back, and what is no projection.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errors } from '../src/core/errors.ts'
import { JSON_MAX_DEPTH, PROJECTION_MAX_PATHS, PROJECTION_PATH_MAX_CHARS } from '../src/core/limits.ts'
import { parseProjection } from '../src/http/projection.ts'

const project = (paths: unknown, struct: object): unknown => {
  const read = parseProjection(paths)
  if (!read.ok) throw new Error(read.message)
  return read.project(struct)
}

/** A command as search shows it. */
const command = {
  commandId: '2322417598073053184',
  createTime: '1565688726563',
  createLocalTime: '2019-08-13 09:32:06',
  createLocaltime: '2019-08-13 09:32:06',
  commandName: { defaultValue: 'service522', i18nValue: { en_US: 'service522', zh_CN: '服务' } },
  state: 5,
  inputData: { service_input: 555, list: [{ a: 1, b: 2 }, { b: 3 }, 4, null], grid: [[{ x: 1, y: 2 }], [{ y: 3 }]] },
  outputData: null,
}

describe('projection', () => {
  test.each([
    [['state'], { state: 5 }],
    [['state', 'commandId', 'state'], { commandId: '2322417598073053184', state: 5 }],
    [['createLocalTime'], { createLocalTime: '2019-08-13 09:32:06' }],
    [['createLocaltime'], { createLocaltime: '2019-08-13 09:32:06' }],
    [['commandName.defaultValue'], { commandName: { defaultValue: 'service522' } }],
    [
      ['commandName.i18nValue.zh_CN', 'commandName.defaultValue'],
      { commandName: { defaultValue: 'service522', i18nValue: { zh_CN: '服务' } } },
    ],
    [['commandName', 'commandName.defaultValue'], { commandName: command.commandName }],
    [['commandName.*'], { commandName: command.commandName }],
    [['*.defaultValue'], { commandName: { defaultValue: 'service522' }, inputData: {}, outputData: null }],
    [
      ['*.i18nValue', 'commandName.defaultValue', 'state'],
      { commandName: command.commandName, state: 5, inputData: {}, outputData: null },
    ],
    [['inputData.list'], { inputData: { list: command.inputData.list } }],
    [['inputData.list[*]'], { inputData: { list: command.inputData.list } }],
    [['inputData.list[*].a'], { inputData: { list: [{ a: 1 }, {}, null] } }],
    [['inputData.list[*].*'], { inputData: { list: [{ a: 1, b: 2 }, { b: 3 }, null] } }],
    [['inputData.grid[*][*].y'], { inputData: { grid: [[{ y: 2 }], [{ y: 3 }]] } }],
    [['inputData.grid[*].y'], { inputData: { grid: [] } }],
    [['inputData.*[*].b'], { inputData: { list: [{ b: 2 }, { b: 3 }, null], grid: [] } }],
    // into what has no inside
    [['state.x'], {}],
    [['inputData.list.a'], { inputData: {} }],
    [['commandName[*]'], {}],
    [['outputData.x'], { outputData: null }],
    [['nothing', 'no.such'], {}],
  ])('%j', (paths, expected) => {
    const shown = project(paths, command)
    expect(shown).toEqual(expected)
    expect(Object.keys(shown as object)).toEqual(Object.keys(expected))
  })

  test('none, null and an empty one show whole structs', () => {
    for (const whole of [undefined, null, []]) expect(project(whole, command)).toBe(command)
    expect(project(['*'], command)).toEqual(command)
  })

  test('shows nothing inherited, and pollutes nothing', () => {
    expect(
      project(['__proto__', 'constructor', 'toString', '__proto__.constructor', '*.constructor'], { a: {} }),
    ).toEqual({ a: {} })
    const own = JSON.parse('{"__proto__":{"polluted":1,"b":2}}')
    const shown = project(['__proto__.polluted'], own)
    expect(JSON.stringify(shown)).toBe('{"__proto__":{"polluted":1}}')
    expect(Object.getPrototypeOf(shown)).toBe(Object.prototype)
    expect('polluted' in {}).toBe(false)
  })

  test.each([
    ['state', 'must be an array of paths, got "state"'],
    [{}, 'must be an array of paths, got an object'],
    [['state', 3], '[1] must be a string, got 3'],
    [[''], '[0] must be field names or * with dots between, each perhaps followed by [*], got ""'],
    [['a..b'], '[0] must be field names or * with dots between, each perhaps followed by [*], got "a..b"'],
    [['a.'], '[0] must be field names or * with dots between, each perhaps followed by [*], got "a."'],
    [['[*]'], '[0] must be field names or * with dots between, each perhaps followed by [*], got "[*]"'],
    [['a[0]'], '[0] must be field names or * with dots between, each perhaps followed by [*], got "a[0]"'],
    [['a[*]b'], '[0] must be field names or * with dots between, each perhaps followed by [*], got "a[*]b"'],
    [['a*'], '[0] must be field names or * with dots between, each perhaps followed by [*], got "a*"'],
    [
      [
        Array(JSON_MAX_DEPTH + 1)
          .fill('a')
          .join('.'),
      ],
      `[0] must have at most ${JSON_MAX_DEPTH} steps, got "${Array(32).fill('a').join('.')}.…"`,
    ],
    [
      ['a'.repeat(PROJECTION_PATH_MAX_CHARS + 1)],
      `[0] must have at most ${PROJECTION_PATH_MAX_CHARS} characters, got "${'a'.repeat(64)}…"`,
    ],
    [
      Array(PROJECTION_MAX_PATHS + 1).fill('a'),
      `has ${PROJECTION_MAX_PATHS + 1} paths, at most ${PROJECTION_MAX_PATHS} are taken`,
    ],
  ])('refuses %j', (paths, detail) =>
    expect(parseProjection(paths)).toEqual({
      ok: false,
      code: errors.invalidArgument.code,
      message: `Invalid Argument projection:${detail}`,
    }),
  )

  test('the longest paths are taken', () => {
    const path = Array(JSON_MAX_DEPTH).fill('a').join('.')
    expect(parseProjection(Array(PROJECTION_MAX_PATHS).fill(path)).ok).toBe(true)
  })

  test('many paths over much data cost their sum, not their product', () => {
    const wide = { list: Array.from({ length: 200_000 }, (_, i) => ({ a: i, b: { c: i } })) }
    const paths = Array.from({ length: PROJECTION_MAX_PATHS }, (_, i) => `*[*].${i % 2 === 0 ? '*' : 'b'}.x${i}`)
    const read = parseProjection([...paths.slice(1), 'list[*].b.c'])
    const start = performance.now()
    const shown = read.ok ? read.project(wide) : null
    expect(performance.now() - start).toBeLessThan(3_000)
    expect(shown).toMatchObject({ list: { 7: { b: { c: 7 } } } })
  })

  test('a named leaf is shown at its place, and nothing but leaves of the struct is ever shown', () => {
    const name = fc.constantFrom('a', 'b', 'c')
    const { tree } = fc.letrec(tie => ({
      tree: fc.oneof({ maxDepth: 4 }, fc.integer(), fc.dictionary(name, tie('tree'), { minKeys: 1 })),
    }))
    const struct = fc.dictionary(name, tree, { minKeys: 1 })
    const path = fc.array(fc.oneof(name, fc.constant('*')), { minLength: 1, maxLength: 4 })
    /** every leaf as `a.b=1` */
    const leaves = (value: unknown, at: string): string[] =>
      typeof value === 'object' && value !== null
        ? Object.entries(value).flatMap(([key, member]) => leaves(member, `${at}.${key}`))
        : [`${at}=${value}`]
    fc.assert(
      fc.property(struct, fc.array(path, { minLength: 1, maxLength: 4 }), (value, paths) => {
        const patterns = paths.map(
          steps => new RegExp(`^\\.${steps.map(step => (step === '*' ? '[abc]' : step)).join('\\.')}[.=]`),
        )
        const wanted = leaves(value, '').filter(leaf => patterns.some(pattern => pattern.test(leaf)))
        const shown = project(
          paths.map(steps => steps.join('.')),
          value,
        )
        expect(leaves(shown, '')).toEqual(wanted)
      }),
    )
  })
})
