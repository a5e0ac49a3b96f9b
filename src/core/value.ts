// Whether a value fits a data type of a thing model. Values are JSON already read; types are already checked (model.ts reads them).
// Not here: which point or service is meant, and the wording of the refusal around it.

import { isObject, pathTo, quote } from './json.ts'
import { QUOTE_PATH_MAX_CHARS, STRING_MAX_CHARS } from './limits.ts'
import { readLocal } from './time.ts'

/** What values a point, an input or an output takes. Null where the model does not say: then only the general shape counts. */
export type Definition =
  | { readonly dataType: 'BOOL' | 'DATE' | 'TIMESTAMP' | 'FILE' }
  | { readonly dataType: NumberType; readonly min: number | null; readonly max: number | null }
  /** maxLength in characters (code points) */
  | { readonly dataType: 'STRING'; readonly maxLength: number }
  /** keys as they stand in the model, `1`; with enumType INT the value is the number, with STRING the text, with null either */
  | { readonly dataType: 'ENUM'; readonly enumType: 'INT' | 'STRING' | null; readonly keys: ReadonlySet<string> | null }
  | { readonly dataType: 'ARRAY'; readonly item: Definition | null }
  | { readonly dataType: 'STRUCT'; readonly items: ReadonlyMap<string, Member> | null }
export type NumberType = 'INT' | 'FLOAT' | 'DOUBLE'
export type DataType = Definition['dataType']

/** An input of a service or an item of a struct. */
export interface Member {
  readonly definition: Definition
  readonly required: boolean
  /** taken for a required member that is not given; undefined = none */
  readonly defaultValue: unknown
}

/** The value as it goes to the device, with defaults filled in, or the first place that does not fit: `delay must be an INT, got "x"`. */
export type ValueCheck =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly problem: string }

/**
 * Does the value fit the definition? BOOL takes 0 and 1 as well, and every value is passed on as given, except for structs: {@link checkMembers}.
 *
 * @param path what to call the value in a problem; empty for the value as a whole
 */
export function checkValue(definition: Definition, value: unknown, path = ''): ValueCheck {
  if (definition.dataType === 'ARRAY') return checkArray(definition.item, value, path)
  if (definition.dataType === 'STRUCT') return checkStruct(definition.items, value, path)
  return isOf(definition, value)
    ? { ok: true, value }
    : misfit(path, `must be ${expected(definition)}, got ${quote(value)}`)
}

/**
 * Do these named values fit their definitions? None may be unknown. One that is null counts as not given: if it is required its default is
 * filled in, and without a default it is refused; if it is not required it is left out.
 */
export function checkMembers(
  members: ReadonlyMap<string, Member>,
  given: Record<string, unknown>,
  path = '',
): ValueCheck {
  for (const key of Object.keys(given)) {
    if (!members.has(key)) return misfit(path, `has no ${quote(key)}; known are ${list(members.keys(), String)}`)
  }
  const fitting: [string, unknown][] = []
  for (const [key, member] of members) {
    // A key such as `constructor` must not find what every object inherits.
    const value = (Object.hasOwn(given, key) ? given[key] : null) ?? null
    if (value === null && !member.required) continue
    if (value === null && member.defaultValue === undefined) return misfit(pathTo(path, key), 'is required')
    const result = checkValue(member.definition, value ?? member.defaultValue, pathTo(path, key))
    if (!result.ok) return result
    fitting.push([key, result.value])
  }
  return { ok: true, value: Object.fromEntries(fitting) }
}

const misfit = (path: string, problem: string): ValueCheck => ({
  ok: false,
  problem: path === '' ? problem : `${path} ${problem}`,
})

function checkStruct(items: ReadonlyMap<string, Member> | null, value: unknown, path: string): ValueCheck {
  if (!isObject(value)) return misfit(path, `must be a STRUCT, got ${quote(value)}`)
  return items === null ? { ok: true, value } : checkMembers(items, value, path)
}

/** Elements are all of the model's type; where it names none, all of one kind. */
function checkArray(item: Definition | null, value: unknown, path: string): ValueCheck {
  if (!Array.isArray(value)) return misfit(path, `must be an ARRAY, got ${quote(value)}`)
  for (const [index, element] of value.entries()) {
    const at = pathTo(path, index)
    if (item === null) {
      if (element === null) return misfit(at, 'must not be null')
      if (kindOf(element) !== kindOf(value[0]))
        return misfit(at, `must be a ${kindOf(value[0])} like the elements before it`)
    } else {
      const result = checkValue(item, element, at)
      if (!result.ok) return result
    }
  }
  return { ok: true, value }
}

const kindOf = (value: unknown): string => (Array.isArray(value) ? 'list' : typeof value)

type Scalar = Exclude<Definition, { readonly dataType: 'ARRAY' | 'STRUCT' }>

function isOf(scalar: Scalar, value: unknown): boolean {
  switch (scalar.dataType) {
    case 'BOOL':
      return typeof value === 'boolean' || value === 0 || value === 1
    case 'INT':
      return Number.isSafeInteger(value) && isWithin(scalar, Number(value))
    case 'FLOAT':
    case 'DOUBLE':
      return Number.isFinite(value) && isWithin(scalar, Number(value))
    case 'STRING':
      return typeof value === 'string' && isAtMost(value, scalar.maxLength)
    case 'ENUM':
      return isEnumKey(scalar, value)
    case 'DATE':
      return typeof value === 'string' && readLocal(value.length === 10 ? `${value} 00:00:00` : value) !== null
    case 'TIMESTAMP':
      return isTimestamp(value)
    case 'FILE':
      return typeof value === 'string' && /^[A-Za-z][A-Za-z0-9+.-]*:[^\s\p{Cc}]+$/u.test(value)
  }
}

const isWithin = ({ min, max }: { min: number | null; max: number | null }, value: number): boolean =>
  (min === null || value >= min) && (max === null || value <= max)

/** Characters are code points: an emoji is one, though a string counts it as two. */
function isAtMost(text: string, maxLength: number): boolean {
  if (text.length <= maxLength) return true
  return text.length <= 2 * maxLength && [...text].length <= maxLength
}

function isEnumKey({ enumType, keys }: Extract<Scalar, { dataType: 'ENUM' }>, value: unknown): boolean {
  const isNumber = Number.isSafeInteger(value) && enumType !== 'STRING'
  const isText = typeof value === 'string' && enumType !== 'INT'
  return (isNumber || isText) && (keys === null || keys.has(String(value)))
}

/** ms since 1970, as a number or as the decimal text of one. */
function isTimestamp(value: unknown): boolean {
  const ms = typeof value === 'string' && /^(?:0|[1-9][0-9]{0,15})$/.test(value) ? Number(value) : value
  return typeof ms === 'number' && Number.isSafeInteger(ms) && ms >= 0
}

/** What would have fitted, for the caller to read. */
function expected(scalar: Scalar): string {
  switch (scalar.dataType) {
    case 'BOOL':
      return 'a BOOL (true, false, 0 or 1)'
    case 'INT':
      return `an INT${range(scalar)}`
    case 'FLOAT':
    case 'DOUBLE':
      return `a ${scalar.dataType}${range(scalar)}`
    case 'STRING':
      return `a STRING of at most ${scalar.maxLength} characters`
    case 'ENUM': {
      const kind = { INT: ' (as a number)', STRING: ' (as a string)', none: '' }[scalar.enumType ?? 'none']
      const show = scalar.enumType === 'INT' ? String : quote
      return `an ENUM value${kind}${scalar.keys === null ? '' : `, one of ${list(scalar.keys, show)}`}`
    }
    case 'DATE':
      return 'a DATE (yyyy-MM-dd HH:mm:ss or yyyy-MM-dd)'
    case 'TIMESTAMP':
      return 'a TIMESTAMP (ms since 1970)'
    case 'FILE':
      return 'a FILE (a URI)'
  }
}

function range({ min, max }: { min: number | null; max: number | null }): string {
  if (min !== null && max !== null) return ` from ${min} to ${max}`
  if (min !== null) return ` of at least ${min}`
  return max === null ? '' : ` of at most ${max}`
}

/** As many names as a message may hold. */
function list(names: Iterable<string>, show: (name: string) => string): string {
  let shown = ''
  for (const name of names) {
    if (shown.length > QUOTE_PATH_MAX_CHARS) return `${shown}, …`
    shown += `${shown === '' ? '' : ', '}${show(name)}`
  }
  return shown === '' ? 'none' : shown
}

/** The definition of a type of which the model says no more than its name. */
export function plainDefinition(dataType: DataType): Definition {
  switch (dataType) {
    case 'INT':
    case 'FLOAT':
    case 'DOUBLE':
      return { dataType, min: null, max: null }
    case 'STRING':
      return { dataType, maxLength: STRING_MAX_CHARS }
    case 'ENUM':
      return { dataType, enumType: null, keys: null }
    case 'ARRAY':
      return { dataType, item: null }
    case 'STRUCT':
      return { dataType, items: null }
    case 'BOOL':
    case 'DATE':
    case 'TIMESTAMP':
    case 'FILE':
      return { dataType }
  }
}
