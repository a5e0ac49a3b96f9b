// The search expression: text from a caller to the condition tree that stores understand. Not a query language of its own, and no SQL is made here.
//
//   expression = all { "or" all }            all = one { "and" one }            one = "(" expression ")" | comparison
//   comparison = "state" ("=" | "!=") number | "state" "in" "(" number { "," number } ")"
//              | "commandName" [ "." locale ] ("like" | "=") string
//              | "createTime" (">" | ">=" | "<" | "<=" | "=") string
//   number     = 1 to 7, bare or as a string          locale = "default" | "defaultValue" | such as zh_CN
//   string     = in single or double quotes; the quote itself is written twice: 'it''s'. A backslash is an ordinary character.
//
// Keywords may be upper or lower case, names of fields may not.

import { State, stateName } from '../core/command.ts'
import { invalid, type Refusal } from '../core/errors.ts'
import { quote } from '../core/json.ts'
import {
  EXPRESSION_MAX_CHARS,
  EXPRESSION_MAX_DEPTH,
  EXPRESSION_MAX_NAME_TERMS,
  EXPRESSION_MAX_TERMS,
} from '../core/limits.ts'
import { readInstant } from '../core/time.ts'
import type { Condition } from '../store/store.ts'

/**
 * Reads a search expression. Nothing, or nothing but blanks, is no condition. Times without a zone are read in `timezone`, the device's;
 * a time means its whole second, so `=` is a second long and `>` begins after it. A refusal names the character at which it went wrong,
 * counted from 1, and what could have stood there.
 */
export function parseExpression(
  text: unknown,
  timezone: string,
): { readonly ok: true; readonly condition: Condition | null } | Refusal {
  if (text === undefined || text === null) return { ok: true, condition: null }
  if (typeof text !== 'string') return invalid('expression', `must be a string, got ${quote(text)}`)
  if (text.length > EXPRESSION_MAX_CHARS) {
    return invalid('expression', `is ${text.length} characters long, at most ${EXPRESSION_MAX_CHARS} are taken`)
  }
  if (text.trim() === '') return { ok: true, condition: null }
  const reader = new Reader(text, timezone)
  const condition = reader.expression()
  const fault = reader.fault ?? reader.end()
  return fault === null ? { ok: true, condition } : invalid('expression', fault)
}

interface Token {
  readonly kind: 'bare' | 'string' | 'sign' | 'end' | 'fault'
  /** of a string: what it means, without quotes */
  readonly text: string
  /** in code units from 0 */
  readonly position: number
  /** where the next token may begin */
  readonly after: number
}

/** What a comparison that could not be read stands for; never seen outside, since then there is a fault. */
const NOTHING: Condition = { op: 'and', terms: [] }

/** Reads from left to right, one token ahead. The first fault is kept, and from then on every token is the end, so that all loops do. */
class Reader {
  fault: string | null = null
  #token: Token
  #terms = 0
  #nameTerms = 0
  #depth = 0

  constructor(
    readonly text: string,
    readonly timezone: string,
  ) {
    this.#token = this.#scan(0)
  }

  expression(): Condition {
    return this.#chain('or', () => this.#chain('and', () => this.#one()))
  }

  /** Null if all was read; otherwise the fault. */
  end(): string | null {
    if (this.#token.kind !== 'end') this.#expected('and, or or the end')
    return this.fault
  }

  #chain(op: 'and' | 'or', part: () => Condition): Condition {
    const first = part()
    const terms = [first]
    while (this.#takesWord(op)) terms.push(part())
    return terms.length === 1 ? first : { op, terms }
  }

  #one(): Condition {
    if (!this.#takesSign('(')) return this.#comparison()
    this.#depth += 1
    if (this.#depth > EXPRESSION_MAX_DEPTH)
      this.#fail(`more than ${EXPRESSION_MAX_DEPTH} parentheses inside each other`)
    const inner = this.expression()
    this.#depth -= 1
    if (!this.#takesSign(')')) this.#expected('and, or or )')
    return inner
  }

  #comparison(): Condition {
    this.#terms += 1
    if (this.#terms > EXPRESSION_MAX_TERMS) this.#fail(`more than ${EXPRESSION_MAX_TERMS} comparisons`)
    const [field, ...locale] = this.#token.kind === 'bare' ? this.#token.text.split('.') : []
    if (field === 'commandName') return this.#name(locale.length === 0 ? null : locale.join('.'))
    if (locale.length === 0 && field === 'state') return this.#state()
    if (locale.length === 0 && field === 'createTime') return this.#created()
    this.#expected('state, commandName, createTime or (')
    return NOTHING
  }

  #state(): Condition {
    this.#next()
    if (this.#takesWord('in')) return { op: 'state', states: this.#stateList(), negated: false }
    const negated = this.#takesSign('!=')
    if (!negated && !this.#takesSign('=')) this.#expected('=, != or in')
    return { op: 'state', states: [this.#stateNumber()], negated }
  }

  #stateList(): State[] {
    if (!this.#takesSign('(')) this.#expected('(')
    const states = new Set([this.#stateNumber()])
    while (this.#takesSign(',')) states.add(this.#stateNumber())
    if (!this.#takesSign(')')) this.#expected(', or )')
    return [...states]
  }

  #stateNumber(): State {
    const { kind, text } = this.#token
    const state = Object.values(State).find(state => String(state) === text)
    if (state !== undefined && (kind === 'bare' || kind === 'string')) this.#next()
    else
      this.#expected(
        `a state, ${Object.entries(stateName)
          .map(([state, name]) => `${state} ${name}`)
          .join(', ')}`,
      )
    return state ?? State.created
  }

  #name(locale: string | null): Condition {
    this.#nameTerms += 1
    if (this.#nameTerms > EXPRESSION_MAX_NAME_TERMS)
      this.#fail(`more than ${EXPRESSION_MAX_NAME_TERMS} comparisons of commandName`)
    // No name that objects inherit looks like a locale, so stores may look it up as it is.
    if (locale !== null && !/^(?:default|defaultValue|[A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{2,8}){0,3})$/.test(locale)) {
      this.#expected('commandName.default or a locale such as commandName.en_US')
    }
    this.#next()
    const exact = !this.#takesWord('like')
    if (exact && !this.#takesSign('=')) this.#expected('like or =')
    if (this.#token.kind !== 'string') this.#expected('a name in quotes')
    const { text } = this.#token
    this.#next()
    return { op: 'name', locale: locale === 'defaultValue' ? 'default' : locale, text, exact }
  }

  #created(): Condition {
    this.#next()
    const sign = ['>=', '<=', '>', '<', '='].find(sign => this.#takesSign(sign))
    if (sign === undefined) this.#expected('>, >=, <, <= or =')
    const at = this.#token.kind === 'string' ? readInstant(this.#token.text, this.timezone) : null
    if (at === null) {
      this.#expected('an existing time as "YYYY-MM-DD HH:mm:ss" (local to the device) or "YYYY-MM-DDTHH:mm:ssZ"')
      return NOTHING
    }
    this.#next()
    const after = at + 1000
    if (sign === '>' || sign === '>=') return { op: 'created', from: sign === '>' ? after : at, to: null }
    if (sign === '<' || sign === '<=') return { op: 'created', from: null, to: sign === '<' ? at : after }
    return { op: 'created', from: at, to: after }
  }

  #takesWord(word: string): boolean {
    const takes = this.#token.kind === 'bare' && this.#token.text.toLowerCase() === word
    if (takes) this.#next()
    return takes
  }

  #takesSign(sign: string): boolean {
    const takes = this.#token.kind === 'sign' && this.#token.text === sign
    if (takes) this.#next()
    return takes
  }

  #next(): void {
    this.#token = this.#scan(this.#token.after)
  }

  #expected(what: string): void {
    const { kind, text } = this.#token
    if (kind === 'fault') this.#fail(text)
    else this.#fail(`expected ${what}, got ${kind === 'end' ? 'the end' : quote(text)}`)
  }

  #fail(what: string): void {
    const { position } = this.#token
    this.fault ??= `character ${position + 1}: ${what}`
    this.#token = { kind: 'end', text: '', position, after: this.text.length }
  }

  #scan(from: number): Token {
    const position = from + match(BLANKS, this.text, from).length
    const first = this.text.charAt(position)
    if (first === '"' || first === "'") return readString(this.text, position, first)
    const bare = match(BARE, this.text, position)
    const text = bare === '' ? match(SIGN, this.text, position) : bare
    const token = { text, position, after: position + text.length }
    if (text !== '') return { kind: bare === '' ? 'sign' : 'bare', ...token }
    return first === ''
      ? { kind: 'end', ...token }
      : { kind: 'fault', ...token, text: `${quote(first)} has no meaning here` }
  }
}

const BLANKS = /\s*/y
/** Words and numbers alike, so that `2and` is neither. */
const BARE = /[A-Za-z0-9_.+-]*/y
const SIGN = /(?:[<>!]=|[=<>(),])?/y

function match(pattern: RegExp, text: string, position: number): string {
  pattern.lastIndex = position
  return pattern.exec(text)?.[0] ?? ''
}

function readString(text: string, position: number, mark: string): Token {
  let value = ''
  let from = position + 1
  for (;;) {
    const end = text.indexOf(mark, from)
    if (end === -1) return { kind: 'fault', text: `the ${mark} is never closed`, position, after: text.length }
    value += text.slice(from, end)
    if (text.charAt(end + 1) !== mark) return { kind: 'string', text: value, position, after: end + 1 }
    value += mark
    from = end + 2
  }
}
