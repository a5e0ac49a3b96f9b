// Values of strangers against schemas: what the first thing is that does not fit, in a sentence that names its place; and what a text of a query means to its
// schema. Not here: the schemas (schemas.ts and each route), JSON itself (core/json.ts).

import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Check } from 'typebox/value'
import { invalid, type Refusal } from '../core/errors.ts'
import { isObject, pathTo, quote } from '../core/json.ts'
import { nearest } from '../core/nearest.ts'

/** A schema as the JSON that it is. What is not listed here may be in it, but nothing is said of it beyond that it does not fit. */
export interface Plain {
  readonly $id?: string
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Plain[]
  readonly properties?: Readonly<Record<string, Plain>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Plain
  readonly patternProperties?: Readonly<Record<string, Plain>>
  readonly items?: Plain
  readonly minProperties?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly uniqueItems?: boolean
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly multipleOf?: number
  readonly pattern?: string
  /** what a value must be, where the schema can say it to a machine only: `must be …` */
  readonly 'x-rule'?: string
}

/**
 * The same schema for what callers send: objects take no other fields than they list, unless they say so themselves. Names of schemas are left out where
 * `keepNamed` is absent; with it, what has a name stays as it is.
 */
export function closed(schema: Plain, keepNamed = false): Plain {
  const { $id, ...rest } = schema
  if (keepNamed && $id !== undefined) return schema
  const inner = (part: Plain): Plain => closed(part, keepNamed)
  const { anyOf, properties, items, additionalProperties, patternProperties } = rest
  const isOpen = additionalProperties !== undefined || patternProperties !== undefined
  return {
    ...rest,
    ...(anyOf && { anyOf: anyOf.map(inner) }),
    ...(items && { items: inner(items) }),
    ...(properties && { properties: mapped(properties, inner) }),
    ...(patternProperties && { patternProperties: mapped(patternProperties, inner) }),
    ...(isObject(additionalProperties) && { additionalProperties: inner(additionalProperties) }),
    ...(properties && !isOpen && { additionalProperties: false }),
  }
}

const mapped = (of: Readonly<Record<string, Plain>>, change: (schema: Plain) => Plain): Record<string, Plain> =>
  Object.fromEntries(Object.entries(of).map(([name, schema]) => [name, change(schema)]))

/**
 * Checks values of a stranger against a schema: objects take no fields that it does not list (see {@link closed}). Refused with 99400, naming the first place
 * that does not fit; `root` is what the whole value is called, '' where its members stand for themselves (a query). `tolerant`: for the vendor's paths, where
 * objects may have fields that nobody knows.
 */
export function checker(schema: TSchema, root: string, tolerant = false): (value: unknown) => Refusal | null {
  const strict: Plain = tolerant ? schema : closed(schema)
  const compiled = Compile(strict as TSchema)
  return value => {
    if (compiled.Check(value)) return null
    const { path, fault } = faultOf(strict, value, root) ?? { path: root, fault: 'does not fit its schema' }
    return invalid(path === '' ? 'query' : path, fault)
  }
}

interface Fault {
  readonly path: string
  readonly fault: string
}

const fits = (schema: Plain, value: unknown): boolean => Check(schema as TSchema, value)

/** The first thing in a value that does not fit; null where all of it does. Values are JSON, whose depth is bounded. */
function faultOf(schema: Plain, value: unknown, path: string): Fault | null {
  if (fits(schema, value)) return null
  if (schema.properties && isObject(value)) {
    const fault = faultOfFields(schema, schema.properties, value, path)
    if (fault !== null || !hasTooFew(schema, value)) return fault
    return { path, fault: `must have ${atLeast(schema)} of ${Object.keys(schema.properties).join(', ')}` }
  }
  if (schema.items && Array.isArray(value))
    for (const [index, element] of value.entries()) {
      const fault = faultOf(schema.items, element, pathTo(path, index))
      if (fault !== null) return fault
    }
  const values = schema.additionalProperties ?? Object.values(schema.patternProperties ?? {})[0]
  if (isObject(values) && isObject(value))
    for (const [name, member] of Object.entries(value)) {
      const fault = faultOf(values, member, pathTo(path, name))
      if (fault !== null) return fault
    }
  // Of several forms the one is meant that is of the value's kind, if there is only one.
  const alike = (schema.anyOf ?? []).filter(form => form.type === kindOf(value) && form.const === undefined)
  const [meant] = alike
  if (meant && alike.length === 1 && ['object', 'array'].includes(meant.type ?? '')) return faultOf(meant, value, path)
  return { path, fault: `${ruleOf(schema)}, got ${quote(value)}` }
}

function faultOfFields(
  schema: Plain,
  properties: Readonly<Record<string, Plain>>,
  value: Readonly<Record<string, unknown>>,
  path: string,
): Fault | null {
  const at = (name: string): string => pathTo(path, name)
  const known = Object.keys(properties)
  if (schema.additionalProperties === false)
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(properties, name)) return { path: at(name), fault: unknownName(name, known) }
    }
  for (const name of schema.required ?? [])
    if (!Object.hasOwn(value, name)) return { path: at(name), fault: `${name} is missing` }
  for (const [name, property] of Object.entries(properties)) {
    if (!Object.hasOwn(value, name)) continue
    const fault = faultOf(property, value[name], at(name))
    if (fault !== null) return fault
  }
  return null
}

/** What is said of a name that nothing has. */
export function unknownName(name: string, known: readonly string[]): string {
  const meant = nearest(name, known)
  if (meant !== null) return `is not known, did you mean ${meant}?`
  return known.length === 0 ? 'is not known; there are none here' : `is not known; there are ${known.join(', ')}`
}

const kindOf = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value === 'number' ? 'number' : typeof value

/** What a value must be: `must be an integer from 1 to 7`. */
function ruleOf(schema: Plain): string {
  return schema['x-rule'] ?? `must be ${wordsOf(schema)}`
}

function wordsOf(schema: Plain): string {
  const said = schema['x-rule']
  if (said !== undefined) return said.replace(/^must be /, '')
  if (schema.const !== undefined) return String(schema.const)
  if (schema.enum) return oneOf(schema.enum)
  if (schema.anyOf) {
    const values = schema.anyOf.map(form => form.const)
    return values.every(value => value !== undefined) ? oneOf(values) : schema.anyOf.map(wordsOf).join(' or ')
  }
  switch (schema.type) {
    case 'integer':
      return `${integer(schema)}${range(schema.minimum, schema.maximum)}`
    case 'number':
      return `a number${range(schema.minimum, schema.maximum)}`
    case 'boolean':
      return 'true or false'
    case 'null':
      return 'null'
    case 'string':
      return schema.pattern === undefined
        ? `text${size(schema.minLength, schema.maxLength, 'characters')}`
        : `text that matches ${schema.pattern}`
    case 'array':
      return `a list${size(schema.minItems, schema.maxItems, schema.uniqueItems ? 'different elements' : 'elements')}`
    default:
      return schema.minProperties === undefined ? 'an object' : `an object with ${atLeast(schema)} field`
  }
}

const integer = ({ multipleOf }: Plain): string =>
  multipleOf === undefined || multipleOf === 1 ? 'an integer' : `a multiple of ${multipleOf}`

const atLeast = ({ minProperties = 0 }: Plain): string =>
  minProperties === 1 ? 'at least one' : `at least ${minProperties}`

const hasTooFew = ({ minProperties = 0 }: Plain, value: object): boolean => Object.keys(value).length < minProperties

const oneOf = (values: readonly unknown[]): string =>
  values.length === 1 ? String(values[0]) : `one of ${values.join(', ')}`

const range = (from?: number, to?: number): string =>
  from === undefined
    ? to === undefined
      ? ''
      : ` up to ${to}`
    : to === undefined
      ? ` from ${from}`
      : ` from ${from} to ${to}`

function size(from: number | undefined, to: number | undefined, of: string): string {
  if (to !== undefined) return ` of ${from ?? 0} to ${to} ${of}`
  return from === undefined ? '' : ` of at least ${from} ${of}`
}

/**
 * A value of a path or a query, by the type of its schema: numbers from decimal text, `true` and `false`, lists from elements with commas between. Text that
 * is none stays text, for the check to refuse.
 */
export function readText(schema: Plain, text: string): unknown {
  switch (schema.type) {
    case 'integer':
      return /^-?[0-9]{1,15}$/.test(text) ? Number(text) : text
    case 'number':
      return /^-?[0-9]{1,15}(\.[0-9]{1,15})?$/.test(text) ? Number(text) : text
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'array':
      return text.split(',').map(element => readText(schema.items ?? {}, element.trim()))
    default:
      return text
  }
}
