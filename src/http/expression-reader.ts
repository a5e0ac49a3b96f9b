// What all search expressions have in common: words and signs, strings, `and`, `or`, parentheses, and that a refusal names the character. Not here: which
// fields there are and how they are compared (expression.ts for commands, field-expression.ts for the fleet).
//
//   expression = all { "or" all }            all = one { "and" one }            one = "(" expression ")" | comparison
//   string     = in single or double quotes; the quote itself is written twice: 'it''s'. A backslash is an ordinary character.
//
// Keywords may be upper or lower case.

import { invalid, type Refusal } from '../core/errors.ts'
import { quote } from '../core/json.ts'
import {
  EXPRESSION_MAX_CHARS,
  EXPRESSION_MAX_DEPTH,
  EXPRESSION_MAX_NAME_TERMS,
  EXPRESSION_MAX_TERMS,
} from '../core/limits.ts'

/** Nothing, or nothing but blanks, is no condition. A refusal names the character at which it went wrong, counted from 1, and what could have stood there. */
export function readExpression<C>(
  text: unknown,
  readerOf: (text: string) => ExpressionReader<C>,
): { readonly ok: true; readonly condition: C | null } | Refusal {
  if (text === undefined || text === null) return { ok: true, condition: null }
  if (typeof text !== 'string') return invalid('expression', `must be a string, got ${quote(text)}`)
  if (text.length > EXPRESSION_MAX_CHARS) {
    return invalid('expression', `is ${text.length} characters long, at most ${EXPRESSION_MAX_CHARS} are taken`)
  }
  if (text.trim() === '') return { ok: true, condition: null }
  const reader = readerOf(text)
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

/** Reads from left to right, one token ahead. The first fault is kept, and from then on every token is the end, so that all loops do. */
export abstract class ExpressionReader<C> {
  fault: string | null = null
  readonly #text: string
  #token: Token
  #terms = 0
  #nameTerms = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
    this.#token = this.#scan(0)
  }

  /** One comparison. After a fault anything may be returned: it is never looked at. */
  protected abstract comparison(): C
  protected abstract joined(op: 'and' | 'or', terms: readonly C[]): C

  expression(): C {
    return this.#chain('or', () => this.#chain('and', () => this.one()))
  }

  /** Null if all was read; otherwise the fault. */
  end(): string | null {
    if (this.#token.kind !== 'end') this.expected('and, or or the end')
    return this.fault
  }

  #chain(op: 'and' | 'or', part: () => C): C {
    const first = part()
    const terms = [first]
    while (this.takesWord(op)) terms.push(part())
    return terms.length === 1 ? first : this.joined(op, terms)
  }

  protected one(): C {
    if (!this.takesSign('(')) {
      this.#terms += 1
      if (this.#terms > EXPRESSION_MAX_TERMS) this.fail(`more than ${EXPRESSION_MAX_TERMS} comparisons`)
      return this.comparison()
    }
    this.#depth += 1
    if (this.#depth > EXPRESSION_MAX_DEPTH) this.fail(`more than ${EXPRESSION_MAX_DEPTH} parentheses inside each other`)
    const inner = this.expression()
    this.#depth -= 1
    if (!this.takesSign(')')) this.expected('and, or or )')
    return inner
  }

  // --- tokens ------------------------------------------------------------------------------------------------------

  /** The token ahead. */
  protected get token(): Pick<Token, 'kind' | 'text'> {
    return this.#token
  }

  protected next(): void {
    this.#token = this.#scan(this.#token.after)
  }

  protected takesWord(word: string): boolean {
    const takes = this.#token.kind === 'bare' && this.#token.text.toLowerCase() === word
    if (takes) this.next()
    return takes
  }

  protected takesSign(sign: string): boolean {
    const takes = this.#token.kind === 'sign' && this.#token.text === sign
    if (takes) this.next()
    return takes
  }

  protected expected(what: string): void {
    const { kind, text } = this.#token
    if (kind === 'fault') this.fail(text)
    else this.fail(`expected ${what}, got ${kind === 'end' ? 'the end' : quote(text)}`)
  }

  protected fail(what: string): void {
    const { position } = this.#token
    this.fault ??= `character ${position + 1}: ${what}`
    this.#token = { kind: 'end', text: '', position, after: this.#text.length }
  }

  // --- what comparisons have in common -----------------------------------------------------------------------------

  /** `( part, part, … )` */
  protected list<T>(part: () => T): T[] {
    if (!this.takesSign('(')) this.expected('(')
    const parts = [part()]
    while (this.takesSign(',')) parts.push(part())
    if (!this.takesSign(')')) this.expected(', or )')
    return parts
  }

  /** The locale behind the name of a field, which is the token ahead, as stores know it; null: none. Takes the token, and counts the comparison of a name. */
  protected locale(field: string): string | null {
    this.#nameTerms += 1
    if (this.#nameTerms > EXPRESSION_MAX_NAME_TERMS)
      this.fail(`more than ${EXPRESSION_MAX_NAME_TERMS} comparisons of ${field}`)
    const given = this.#token.text.slice(field.length + 1)
    const locale = this.#token.text.length > field.length ? given : null
    // No name that objects inherit looks like a locale, so stores may look it up as it is.
    if (locale !== null && !/^(?:default|defaultValue|[A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{2,8}){0,3})$/.test(locale)) {
      this.expected(`${field}.default or a locale such as ${field}.en_US`)
    }
    this.next()
    return locale === 'defaultValue' ? 'default' : locale
  }

  /** The text in quotes that is ahead. */
  protected quoted(what: string): string {
    const { kind, text } = this.#token
    if (kind !== 'string') this.expected(what)
    this.next()
    return text
  }

  #scan(from: number): Token {
    const position = from + match(BLANKS, this.#text, from).length
    const first = this.#text.charAt(position)
    if (first === '"' || first === "'") return readString(this.#text, position, first)
    const bare = match(BARE, this.#text, position)
    const text = bare === '' ? match(SIGN, this.#text, position) : bare
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
