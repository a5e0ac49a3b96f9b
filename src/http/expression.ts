// The search expression for commands: text from a caller to the condition tree that stores understand. Not a query language of its own, and no SQL is made
// here. How expressions are built is in expression-reader.ts.
//
//   comparison = "state" ("=" | "!=") number | "state" "in" "(" number { "," number } ")"
//              | "commandName" [ "." locale ] ("like" | "=") string
//              | "createTime" (">" | ">=" | "<" | "<=" | "=") string
//   number     = 1 to 7, bare or as a string          locale = "default" | "defaultValue" | such as zh_CN
//
// Names of fields may not be in another case.

import { State, stateName } from '../core/command.ts'
import type { Refusal } from '../core/errors.ts'
import { readInstant } from '../core/time.ts'
import type { Condition } from '../store/store.ts'
import { ExpressionReader, readExpression } from './expression-reader.ts'

/**
 * Reads a search expression. Nothing, or nothing but blanks, is no condition. Times without a zone are read in `timezone`, the device's;
 * a time means its whole second, so `=` is a second long and `>` begins after it. A refusal names the character at which it went wrong,
 * counted from 1, and what could have stood there.
 */
export const parseExpression = (
  text: unknown,
  timezone: string,
): { readonly ok: true; readonly condition: Condition | null } | Refusal =>
  readExpression(text, expression => new Reader(expression, timezone))

/** What a comparison that could not be read stands for; never seen outside, since then there is a fault. */
const NOTHING: Condition = { op: 'and', terms: [] }

class Reader extends ExpressionReader<Condition> {
  readonly #timezone: string

  constructor(text: string, timezone: string) {
    super(text)
    this.#timezone = timezone
  }

  protected joined(op: 'and' | 'or', terms: readonly Condition[]): Condition {
    return { op, terms }
  }

  protected comparison(): Condition {
    const [field, ...locale] = this.token.kind === 'bare' ? this.token.text.split('.') : []
    if (field === 'commandName') return this.#name()
    if (locale.length === 0 && field === 'state') return this.#state()
    if (locale.length === 0 && field === 'createTime') return this.#created()
    this.expected('state, commandName, createTime or (')
    return NOTHING
  }

  #state(): Condition {
    this.next()
    if (this.takesWord('in')) {
      const states = new Set(this.list(() => this.#stateNumber()))
      return { op: 'state', states: [...states], negated: false }
    }
    const negated = this.takesSign('!=')
    if (!negated && !this.takesSign('=')) this.expected('=, != or in')
    return { op: 'state', states: [this.#stateNumber()], negated }
  }

  #stateNumber(): State {
    const { kind, text } = this.token
    const state = Object.values(State).find(state => String(state) === text)
    if (state !== undefined && (kind === 'bare' || kind === 'string')) this.next()
    else
      this.expected(
        `a state, ${Object.entries(stateName)
          .map(([state, name]) => `${state} ${name}`)
          .join(', ')}`,
      )
    return state ?? State.created
  }

  #name(): Condition {
    const locale = this.locale('commandName')
    const exact = !this.takesWord('like')
    if (exact && !this.takesSign('=')) this.expected('like or =')
    return { op: 'name', locale, text: this.quoted('a name in quotes'), exact }
  }

  #created(): Condition {
    this.next()
    const sign = ['>=', '<=', '>', '<', '='].find(sign => this.takesSign(sign))
    if (sign === undefined) this.expected('>, >=, <, <= or =')
    const at = this.token.kind === 'string' ? readInstant(this.token.text, this.#timezone) : null
    if (at === null) {
      this.expected('an existing time as "YYYY-MM-DD HH:mm:ss" (local to the device) or "YYYY-MM-DDTHH:mm:ssZ"')
      return NOTHING
    }
    this.next()
    const after = at + 1000
    if (sign === '>' || sign === '>=') return { op: 'created', from: sign === '>' ? after : at, to: null }
    if (sign === '<' || sign === '<=') return { op: 'created', from: null, to: sign === '<' ? at : after }
    return { op: 'created', from: at, to: after }
  }
}
