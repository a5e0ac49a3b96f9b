// The search grammar: what reads, what it means, and what a caller is told about what does not.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errors } from '../src/core/errors.ts'
import {
  EXPRESSION_MAX_CHARS,
  EXPRESSION_MAX_DEPTH,
  EXPRESSION_MAX_NAME_TERMS,
  EXPRESSION_MAX_TERMS,
} from '../src/core/limits.ts'
import { toLocal } from '../src/core/time.ts'
import { parseExpression } from '../src/http/expression.ts'
import type { Condition } from '../src/store/store.ts'

const condition = (text: unknown, timezone = '+08:00'): Condition | null => {
  const read = parseExpression(text, timezone)
  if (!read.ok) throw new Error(read.message)
  return read.condition
}
const fault = (text: unknown): string => {
  const read = parseExpression(text, '+08:00')
  if (read.ok) throw new Error(`was read: ${JSON.stringify(read.condition)}`)
  expect(read.code).toBe(errors.invalidArgument.code)
  return read.message.replace('Invalid Argument expression:', '')
}

const state = (...states: number[]) => ({ op: 'state', states, negated: false })
const named = (locale: string | null, text: string, exact = false) => ({ op: 'name', locale, text, exact })
const created = (from: number | null, to: number | null) => ({ op: 'created', from, to })
/** 2019-08-13 09:00:00 at +08:00 */
const nine = Date.parse('2019-08-13T01:00:00Z')

describe('reads', () => {
  test.each([undefined, null, '', ' \t\n'])('%j as no condition', text => expect(condition(text)).toBeNull())

  test.each([
    ['state = 2', state(2)],
    ['state=2', state(2)],
    ["state = '7'", state(7)],
    ['state = "1"', state(1)],
    ['state != 3', { op: 'state', states: [3], negated: true }],
    ['state!=3', { op: 'state', states: [3], negated: true }],
    ['state in (1, 4)', state(1, 4)],
    ["state IN('4',1,4 , 1)", state(4, 1)],
    ['commandName like "pump"', named(null, 'pump')],
    ["commandName.zh_CN Like '泵'", named('zh_CN', '泵')],
    ['commandName.en_US like ""', named('en_US', '')],
    ['commandName.default like "x"', named('default', 'x')],
    ['commandName.defaultValue = "x"', named('default', 'x', true)],
    ['commandName.zh-Hans-CN="x"', named('zh-Hans-CN', 'x', true)],
    ['commandName like "%_\\"', named(null, '%_\\')],
    ["commandName like 'it''s \"so\"'", named(null, 'it\'s "so"')],
    ['commandName like """"', named(null, '"')],
    ['commandName = "state = 2 and ("', named(null, 'state = 2 and (', true)],
    ['createTime > "2019-08-13 09:00:00"', created(nine + 1000, null)],
    ['createTime >= "2019-08-13 09:00:00"', created(nine, null)],
    ["createTime<'2019-08-13 09:00:00'", created(null, nine)],
    ['createTime <= "2019-08-13 09:00:00"', created(null, nine + 1000)],
    ['createTime = "2019-08-13 09:00:00"', created(nine, nine + 1000)],
    ['createTime = "2019-08-13T01:00:00Z"', created(nine, nine + 1000)],
    ['(state = 1)', state(1)],
    ['((((state = 1))))', state(1)],
    ['state = 1 and state = 2', { op: 'and', terms: [state(1), state(2)] }],
    ['state = 1 OR state = 2 Or state = 3', { op: 'or', terms: [state(1), state(2), state(3)] }],
    ['state=1 or state=2 and state=3', { op: 'or', terms: [state(1), { op: 'and', terms: [state(2), state(3)] }] }],
    ['state=1 and state=2 or state=3', { op: 'or', terms: [{ op: 'and', terms: [state(1), state(2)] }, state(3)] }],
    ['(state=1 or state=2)and(state=3)', { op: 'and', terms: [{ op: 'or', terms: [state(1), state(2)] }, state(3)] }],
    // as in the vendor's samples
    [
      'commandName.zh_CN like "Int_value" AND createTime >= "2019-08-13 09:00:00"',
      { op: 'and', terms: [named('zh_CN', 'Int_value'), created(nine, null)] },
    ],
  ])('%s', (text, tree) => expect(condition(text)).toEqual(tree))

  test('times in the timezone of the device', () => {
    const at = (text: string, timezone: string) => condition(`createTime >= "${text}"`, timezone)
    expect(at('2019-08-13 09:00:00', 'UTC')).toEqual(created(Date.parse('2019-08-13T09:00:00Z'), null))
    expect(at('2019-08-13 09:00:00', 'America/New_York')).toEqual(created(Date.parse('2019-08-13T13:00:00Z'), null))
    expect(at('2019-08-13T09:00:00Z', 'America/New_York')).toEqual(created(Date.parse('2019-08-13T09:00:00Z'), null))
    // repeated: the earlier; skipped: moved forward
    expect(at('2019-10-27 02:30:00', 'Europe/Berlin')).toEqual(created(Date.parse('2019-10-27T00:30:00Z'), null))
    expect(at('2019-03-31 02:30:00', 'Europe/Berlin')).toEqual(created(Date.parse('2019-03-31T01:30:00Z'), null))
  })
})

describe('refuses', () => {
  const states = '1 created, 2 cancelled, 3 expired, 4 sent, 5 succeeded, 6 failed, 7 timedOut'
  const time = 'an existing time as "YYYY-MM-DD HH:mm:ss" (local to the device) or "YYYY-MM-DDTHH:mm:ssZ"'
  test.each([
    [{ 'state = 2': 1 }, 'must be a string, got an object'],
    [2, 'must be a string, got 2'],
    ['stat = 2', 'character 1: expected state, commandName, createTime or (, got "stat"'],
    ['State = 2', 'character 1: expected state, commandName, createTime or (, got "State"'],
    ['"state" = 2', 'character 1: expected state, commandName, createTime or (, got "state"'],
    ['state.x = 2', 'character 1: expected state, commandName, createTime or (, got "state.x"'],
    ['  and', 'character 3: expected state, commandName, createTime or (, got "and"'],
    ['state = 2 and', 'character 14: expected state, commandName, createTime or (, got the end'],
    ['state', 'character 6: expected =, != or in, got the end'],
    ['state > 2', 'character 7: expected =, != or in, got ">"'],
    ['state like "2"', 'character 7: expected =, != or in, got "like"'],
    ['state = 0', `character 9: expected a state, ${states}, got "0"`],
    ['state = 8', `character 9: expected a state, ${states}, got "8"`],
    ['state = -1', `character 9: expected a state, ${states}, got "-1"`],
    ['state = 02', `character 9: expected a state, ${states}, got "02"`],
    ['state = "2 "', `character 9: expected a state, ${states}, got "2 "`],
    ['state = 2and state = 3', `character 9: expected a state, ${states}, got "2and"`],
    ['state = created', `character 9: expected a state, ${states}, got "created"`],
    ['state in ()', `character 11: expected a state, ${states}, got ")"`],
    ['state in 1', 'character 10: expected (, got "1"'],
    ['state in (1 2)', 'character 13: expected , or ), got "2"'],
    ['state in (1,)', `character 13: expected a state, ${states}, got ")"`],
    ['state = 2 state = 3', 'character 11: expected and, or or the end, got "state"'],
    ['(state = 2', 'character 11: expected and, or or ), got the end'],
    ['state = 2)', 'character 10: expected and, or or the end, got ")"'],
    ['not state = 2', 'character 1: expected state, commandName, createTime or (, got "not"'],
    [
      'commandName.toString like "x"',
      'character 1: expected commandName.default or a locale such as commandName.en_US, got "commandName.toString"',
    ],
    [
      'commandName.__proto__ like "x"',
      'character 1: expected commandName.default or a locale such as commandName.en_US, got "commandName.__proto__"',
    ],
    [
      'commandName. like "x"',
      'character 1: expected commandName.default or a locale such as commandName.en_US, got "commandName."',
    ],
    [
      'commandName.a.b like "x"',
      'character 1: expected commandName.default or a locale such as commandName.en_US, got "commandName.a.b"',
    ],
    ['commandName != "x"', 'character 13: expected like or =, got "!="'],
    ['commandName like x', 'character 18: expected a name in quotes, got "x"'],
    ['commandName like "x', 'character 18: the " is never closed'],
    ["commandName like 'x''", "character 18: the ' is never closed"],
    ['createTime != "2019-08-13 09:00:00"', 'character 12: expected >, >=, <, <= or =, got "!="'],
    ['createTime > 2019', `character 14: expected ${time}, got "2019"`],
    ['createTime > "2019-02-30 00:00:00"', `character 14: expected ${time}, got "2019-02-30 00:00:00"`],
    ['createTime > "2019-02-03"', `character 14: expected ${time}, got "2019-02-03"`],
    ['state = 2 ; drop', 'character 11: ";" has no meaning here'],
    ['state ! 2', 'character 7: "!" has no meaning here'],
    ['state = 2 \u0000', 'character 11: "\\u0000" has no meaning here'],
    ['state == 2', `character 8: expected a state, ${states}, got "="`],
    ['tags.k = 1', 'character 1: expected state, commandName, createTime or (, got "tags.k"'],
  ])('%j: %s', (text, message) => expect(fault(text)).toBe(message))

  test('more than its bounds, and takes as much as they say', () => {
    const terms = (count: number) => Array(count).fill('state=1').join(' or ')
    const nested = (depth: number) => `${'('.repeat(depth)}state=1${')'.repeat(depth)}`
    const long = (chars: number) => `commandName like "${'x'.repeat(chars - 19)}"`.padEnd(chars)
    expect(condition(terms(EXPRESSION_MAX_TERMS))).toMatchObject({ op: 'or' })
    expect(fault(terms(EXPRESSION_MAX_TERMS + 1))).toBe(
      `character ${EXPRESSION_MAX_TERMS * 11 + 1}: more than 64 comparisons`,
    )
    const names = (count: number) => Array(count).fill("commandName like 'x'").join(' or ')
    expect(condition(names(EXPRESSION_MAX_NAME_TERMS))).toMatchObject({ op: 'or' })
    expect(fault(names(EXPRESSION_MAX_NAME_TERMS + 1))).toContain('more than 8 comparisons of commandName')
    expect(condition(nested(EXPRESSION_MAX_DEPTH))).toEqual(state(1))
    expect(condition(Array(EXPRESSION_MAX_TERMS).fill('(state=1)').join(' or '))).toMatchObject({ op: 'or' })
    expect(fault(nested(EXPRESSION_MAX_DEPTH + 1))).toBe(
      `character ${EXPRESSION_MAX_DEPTH + 2}: more than 16 parentheses inside each other`,
    )
    expect(fault('('.repeat(EXPRESSION_MAX_CHARS))).toContain('more than 16 parentheses')
    expect(condition(long(EXPRESSION_MAX_CHARS))).toMatchObject({ op: 'name' })
    expect(fault(long(EXPRESSION_MAX_CHARS + 1))).toBe('is 4097 characters long, at most 4096 are taken')
    expect(fault(`commandName ${'='.repeat(4_000)}`).length).toBeLessThan(200)
    expect(fault('x\n\u202e'.repeat(1_000))).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  })
})

/** Writes a tree as text that means it, in one of many ways that `pick` chooses. */
function print(tree: Condition, pick: () => boolean): string {
  const mark = pick() ? '"' : "'"
  const inQuotes = (text: string) => `${mark}${text.replaceAll(mark, mark + mark)}${mark}`
  const word = (text: string) => (pick() ? text.toUpperCase() : text)
  const at = (ms: number) => {
    const utc = new Date(ms).toISOString().slice(0, 19)
    return inQuotes(pick() ? `${utc}Z` : toLocal(ms, '+08:00'))
  }
  const blank = pick() ? '' : ' '
  switch (tree.op) {
    case 'state': {
      const states = tree.states.map(number => (pick() ? String(number) : inQuotes(String(number))))
      if (tree.negated) return `state${blank}!=${blank}${states[0]}`
      if (states.length === 1 && pick()) return `state${blank}=${blank}${states[0]}`
      return `state ${word('in')}${blank}(${states.join(`${blank},`)})`
    }
    case 'name': {
      const locale = tree.locale === 'default' && pick() ? 'defaultValue' : tree.locale
      const operator = tree.exact ? `${blank}=` : ` ${word('like')}`
      return `commandName${locale === null ? '' : `.${locale}`}${operator}${blank}${inQuotes(tree.text)}`
    }
    case 'created': {
      if (tree.from !== null && tree.to !== null) return `createTime${blank}=${at(tree.from)}`
      if (tree.from !== null) return pick() ? `createTime >= ${at(tree.from)}` : `createTime>${at(tree.from - 1000)}`
      const to = tree.to ?? 0
      return pick() ? `createTime < ${at(to)}` : `createTime<=${at(to - 1000)}`
    }
    default: {
      const terms = tree.terms.map(term => {
        const text = print(term, pick)
        // `and` binds tighter, so that within `or` it needs no parentheses.
        const isBare = !('terms' in term) || (tree.op === 'or' && term.op === 'and')
        return isBare && pick() ? text : `(${text})`
      })
      return terms.join(` ${word(tree.op)} `)
    }
  }
}

describe('properties', () => {
  const second = fc.integer({ min: 0, max: 4_000_000_000 }).map(s => s * 1000)
  const leaf: fc.Arbitrary<Condition> = fc.oneof(
    fc
      .uniqueArray(fc.constantFrom(1, 2, 3, 4, 5, 6, 7), { minLength: 1 })
      .map(states => ({ op: 'state' as const, states, negated: false }) as Condition),
    fc.constantFrom(1, 7).map(one => ({ op: 'state', states: [one], negated: true }) as Condition),
    fc.record({
      op: fc.constant('name' as const),
      locale: fc.constantFrom(null, 'default', 'zh_CN', 'en_US'),
      text: fc.string({ unit: fc.constantFrom('a', '"', "'", '\\', ' ', ')', '服', '\n', '😀') }),
      exact: fc.boolean(),
    }),
    second.map(from => ({ op: 'created' as const, from, to: null })),
    second.map(to => ({ op: 'created' as const, from: null, to })),
    second.map(from => ({ op: 'created' as const, from, to: from + 1000 })),
  )
  const { tree } = fc.letrec<{ tree: Condition }>(tie => ({
    tree: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      leaf,
      fc.record({
        op: fc.constantFrom('and' as const, 'or' as const),
        terms: fc.array(tie('tree'), { minLength: 2, maxLength: 3 }),
      }),
    ),
  }))
  const choices = fc.infiniteStream(fc.boolean())

  test('what was printed is read back as it was', () => {
    fc.assert(
      fc.property(tree, choices, (tree, stream) => {
        const text = print(tree, () => stream.next().value)
        fc.pre(text.length <= EXPRESSION_MAX_CHARS)
        expect(condition(text)).toEqual(tree)
      }),
      { numRuns: 300 },
    )
  })

  test('whatever is said, it is read or refused at a place inside it', () => {
    const word = fc.constantFrom(
      'state',
      'commandName',
      'createTime',
      '=',
      '!=',
      '>',
      '<=',
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
      '!',
      ' ',
      '.',
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(word, fc.string({ unit: 'binary', maxLength: 3 })), { maxLength: 20 }), words => {
        const text = words.join(' ')
        const read = parseExpression(text, 'UTC')
        if (read.ok) return
        const position = Number(/^Invalid Argument expression:character (\d+): ./.exec(read.message)?.[1])
        expect(position).toBeGreaterThanOrEqual(1)
        expect(position).toBeLessThanOrEqual(text.length + 1)
      }),
      { numRuns: 500 },
    )
  })
})
