// Search expressions of the fleet: products, thing models and devices have fields that are texts, a name in several languages, and labels (attributes,
// tags). Which of them there are comes in as a grammar. How expressions are built is in expression-reader.ts.
//
//   comparison = field ("=" | "!=") text | field "in" "(" text { "," text } ")"
//              | name [ "." locale ] "like" string
//              | label ("=" | "!=") value | label "in" "(" value { "," value } ")" | "exists" "(" label ")"
//              | "not" one
//   label      = such as deviceTags.region; in quotes where its key has a slash: 'deviceTags.a/b'
//   text       = a string, or a word without quotes          value = the same; of an attribute a string, a number, true or false
//   locale     = "default" | "defaultValue" | such as zh_CN

import type { Refusal } from '../core/errors.ts'
import { quote } from '../core/json.ts'
import { nameMatches } from '../core/name.ts'
import { ExpressionReader, readExpression } from './expression-reader.ts'

/** `F`: fields, `L`: kinds of labels. */
export type FieldCondition<F extends string, L extends string> =
  | { readonly op: 'and' | 'or'; readonly terms: readonly FieldCondition<F, L>[] }
  | { readonly op: 'not'; readonly term: FieldCondition<F, L> }
  | { readonly op: 'in'; readonly field: F; readonly values: readonly string[] }
  /** locale null: any of its names */
  | { readonly op: 'name'; readonly locale: string | null; readonly text: string }
  /** values null: it is there, whatever it is */
  | { readonly op: 'label'; readonly of: L; readonly key: string; readonly values: readonly string[] | null }

export interface Grammar<F extends string, L extends string> {
  /** What a field may be, where only some texts are anything: as it is kept, and all spellings of it. null: any text. */
  readonly fields: Readonly<Record<F, ReadonlyMap<string, string> | null>>
  /** the field that has names */
  readonly name: string
  /** by what stands before the dot; `isJson`: values are kept as JSON texts */
  readonly labels: Readonly<Record<string, { readonly of: L; readonly isJson: boolean }>>
}

/** Reads a search expression; nothing is no condition. A refusal names the character, counted from 1, and what could have stood there. */
export const parseFieldExpression = <F extends string, L extends string>(
  text: unknown,
  grammar: Grammar<F, L>,
): { readonly ok: true; readonly condition: FieldCondition<F, L> | null } | Refusal =>
  readExpression(text, expression => new Reader(expression, grammar))

/** What a condition is held against, where that is done here and not in a store. */
export interface Labelled<F extends string, L extends string> {
  field(name: F): string | null
  /** StringI18n as JSON text */
  nameJson(): string
  label(of: L, key: string): string | null
}

export function isMatch<F extends string, L extends string>(
  condition: FieldCondition<F, L>,
  thing: Labelled<F, L>,
): boolean {
  switch (condition.op) {
    case 'and':
      return condition.terms.every(term => isMatch(term, thing))
    case 'or':
      return condition.terms.some(term => isMatch(term, thing))
    case 'not':
      return !isMatch(condition.term, thing)
    case 'in': {
      const value = thing.field(condition.field)
      return value !== null && condition.values.includes(value)
    }
    case 'name':
      return nameMatches(thing.nameJson(), condition.locale, condition.text, false)
    case 'label': {
      const value = thing.label(condition.of, condition.key)
      return value !== null && (condition.values?.includes(value) ?? true)
    }
  }
}

const LABEL_KEY = /^[A-Za-z0-9_./-]{1,64}$/
const NUMBER = /^[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$/

class Reader<F extends string, L extends string> extends ExpressionReader<FieldCondition<F, L>> {
  readonly #grammar: Grammar<F, L>

  constructor(text: string, grammar: Grammar<F, L>) {
    super(text)
    this.#grammar = grammar
  }

  protected joined(op: 'and' | 'or', terms: readonly FieldCondition<F, L>[]): FieldCondition<F, L> {
    return { op, terms }
  }

  protected comparison(): FieldCondition<F, L> {
    if (this.takesWord('not')) return { op: 'not', term: this.one() }
    if (this.takesWord('exists')) return this.#exists()
    const { kind, text } = this.token
    const { name } = this.#grammar
    if (kind === 'bare' && this.#isField(text)) return this.#field(text)
    if (kind === 'bare' && (text === name || text.startsWith(`${name}.`))) return this.#name()
    const label = this.#labelAhead()
    if (label !== null) return this.#label(label)
    const labels = Object.keys(this.#grammar.labels).map(prefix => `${prefix}.KEY`)
    this.expected(`${[...Object.keys(this.#grammar.fields), name, ...labels].join(', ')}, exists, not or (`)
    return { op: 'and', terms: [] }
  }

  #isField(text: string): text is F {
    return Object.hasOwn(this.#grammar.fields, text)
  }

  #field(field: F): FieldCondition<F, L> {
    this.next()
    const known = this.#grammar.fields[field]
    return this.#compared(
      () => this.#text(known),
      values => ({ op: 'in', field, values }),
    )
  }

  #name(): FieldCondition<F, L> {
    const locale = this.locale(this.#grammar.name)
    if (!this.takesWord('like')) this.expected('like')
    return { op: 'name', locale, text: this.quoted('a part of a name in quotes') }
  }

  #exists(): FieldCondition<F, L> {
    if (!this.takesSign('(')) this.expected('(')
    const label = this.#labelAhead()
    if (label === null) this.expected(`such as ${Object.keys(this.#grammar.labels)[0]}.KEY`)
    this.next()
    if (!this.takesSign(')')) this.expected(')')
    return label === null ? { op: 'and', terms: [] } : { op: 'label', of: label.of, key: label.key, values: null }
  }

  #label({ of, key, isJson }: Label<L>): FieldCondition<F, L> {
    this.next()
    return this.#compared(
      () => (isJson ? this.#jsonValues() : [this.#text(null)]),
      values => ({ op: 'label', of, key, values: values.flat() }),
    )
  }

  /** The label that the token ahead names; null: it names none. */
  #labelAhead(): Label<L> | null {
    const { kind, text } = this.token
    if (kind !== 'bare' && kind !== 'string') return null
    const dot = text.indexOf('.')
    const [prefix, key] = [text.slice(0, dot), text.slice(dot + 1)]
    const { labels } = this.#grammar
    const label = dot > 0 && Object.hasOwn(labels, prefix) ? labels[prefix] : undefined
    return label !== undefined && LABEL_KEY.test(key) ? { ...label, key } : null
  }

  #compared<V>(value: () => V, make: (values: V[]) => FieldCondition<F, L>): FieldCondition<F, L> {
    if (this.takesWord('in')) return make(this.list(value))
    if (this.takesSign('!=')) return { op: 'not', term: make([value()]) }
    if (!this.takesSign('=')) this.expected('=, != or in')
    return make([value()])
  }

  #text(known: ReadonlyMap<string, string> | null): string {
    const { kind, text } = this.token
    const isValue = kind === 'bare' || kind === 'string'
    if (!isValue) this.expected('a value')
    else if (known !== null && !known.has(text)) this.expected([...new Set(known.values())].map(quote).join(' or '))
    const value = known === null ? text : (known.get(text) ?? text)
    this.next()
    return value
  }

  /** What a value may be kept as: text in quotes may stand for a number as well, since callers quote those too. */
  #jsonValues(): readonly string[] {
    const { kind, text } = this.token
    const isNumber = NUMBER.test(text) && Number.isFinite(Number(text))
    const isScalar = isNumber || text === 'true' || text === 'false'
    const scalar = isScalar ? [JSON.stringify(isNumber ? Number(text) : text === 'true')] : []
    if (kind === 'string') {
      this.next()
      return [JSON.stringify(text), ...scalar]
    }
    if (kind !== 'bare' || !isScalar) this.expected('a number, true, false or a text in quotes')
    this.next()
    return scalar
  }
}

interface Label<L> {
  readonly of: L
  readonly key: string
  readonly isJson: boolean
}
