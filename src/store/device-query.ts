// What lists and searches of devices ask, as SQL with bound parameters, for both databases. What a database would decide otherwise than JavaScript does
// (names whatever their case, values as JSON) is decided here, on the texts that come into question. Not here: the same as predicates
// (device-condition.ts), in what order is asked (view-questions.ts), the grammar that callers write (http/).

import { nameMatches } from '../core/name.ts'
import { isKept } from './checks.ts'
import { isSameJson, ordered, productTypeOf } from './device-condition.ts'
import type { Reach } from './stream.ts'
import { type DeviceCondition, deviceStatuses } from './views.ts'

/** A piece of SQL: `?` for each parameter, and nothing of a caller's text in it. */
export interface Sql {
  readonly sql: string
  readonly parameters: readonly (string | number)[]
}
/** What a question is answered with. */
export type Rows = readonly (readonly unknown[])[]

export const sql = (text: string, ...parameters: Sql['parameters']): Sql => ({ sql: text, parameters })

/** Pieces one after the other, with `between` between them. */
export const joined = (pieces: readonly Sql[], between: string): Sql => ({
  sql: pieces.map(piece => piece.sql).join(between),
  parameters: pieces.flatMap(piece => piece.parameters),
})

/** True of a device of which all pieces are. */
export const all = (...pieces: readonly (Sql | null)[]): Sql => {
  const there = pieces.filter(piece => piece !== null)
  return there.length === 0 ? sql('1 = 1') : joined(there, ' and ')
}

/** What the dialects write differently. A device is `d` throughout. */
export interface DeviceDialect {
  /** the table of devices, read by way of one of its indexes */
  readonly devices: (index: string) => string
  /** makes a condition on this column one that is looked at in the row, not by an index */
  readonly looked: (column: string) => string
  /** is one of the texts, or of the whole numbers, in the JSON array of its one parameter */
  readonly isText: string
  readonly isNumber: string
  /** the place of its status among all */
  readonly status: string
  /** a part of a text is that of its one parameter, of which letters are small, and in which `_` is any character; letters of ASCII whatever their case */
  readonly holds: (column: string) => string
}

/** Whether a column has one of these values. */
export function isOneOf(dialect: DeviceDialect, column: string, values: readonly string[]): Sql {
  const [one, ...others] = values.filter(isKept)
  if (one !== undefined && others.length === 0) return sql(`${column} = ?`, one)
  return sql(`${column} ${dialect.isText}`, JSON.stringify(one === undefined ? [] : [one, ...others]))
}

const bracketed = ({ sql, parameters }: Sql): Sql => ({ sql: `(${sql})`, parameters })

export function reached(dialect: DeviceDialect, reach: Reach): Sql | null {
  if (reach === 'all') return null
  const byProduct = isOneOf(dialect, 'd.product_key', reach.productKeys)
  return bracketed(joined([byProduct, isOneOf(dialect, 'd.asset_id', reach.assetIds)], ' or '))
}

export const ofProducts = (dialect: DeviceDialect, productKeys: readonly string[] | null): Sql | null =>
  productKeys === null ? null : isOneOf(dialect, 'd.product_key', productKeys)

export const hasStatus = (dialect: DeviceDialect, places: readonly number[]): Sql =>
  sql(`${dialect.status} ${dialect.isNumber}`, JSON.stringify(places))

/**
 * The longest part of a text that a name must have as it is, if it has the text whatever the case: letters without case, digits, a few signs, and letters of
 * ASCII but for those that are lower case of others too (the Kelvin sign is one of k, the dotted capital one of i), which may be any character. Empty: none.
 */
function certainPart(text: string): string {
  const parts = text.match(/[\p{Lo}0-9A-Za-z _.-]+/gu) ?? []
  const longest = parts.reduce((one, other) => (other.length > one.length ? other : one), '')
  return longest.replace(/[ik]/gi, '_').replace(/[A-Z]/g, letter => letter.toLowerCase())
}

/**
 * True of all devices whose name, or one of these other columns, has the text whatever the case, and of few others. Null: of all. JSON.stringify, which writes
 * names, writes none of what such a part is made of as an escape.
 */
export function mayHold(dialect: DeviceDialect, text: string, ...others: readonly string[]): Sql | null {
  const part = certainPart(text)
  if (part === '') return null
  const columns = ['d.name_json', ...others]
  const pieces = columns.map(column => sql(dialect.holds(column), part))
  return bracketed(joined(pieces, ' or '))
}

// --- conditions of a search --------------------------------------------------------------------------------------

/** What must be known before a condition can be asked: the rows of `ask`, and which values they come to. */
export interface Lookup {
  readonly ask: Sql
  readonly decide: (rows: Rows) => readonly (string | number)[]
}

export type Leaf = Exclude<DeviceCondition, { readonly op: 'and' | 'or' | 'not' }>

export function leavesOf(condition: DeviceCondition): readonly Leaf[] {
  switch (condition.op) {
    case 'and':
    case 'or':
      return condition.terms.flatMap(leavesOf)
    case 'not':
      return leavesOf(condition.term)
    default:
      return [condition]
  }
}

/** The first of each row whose second is a text that is wanted. */
const firstOf = (rows: Rows, isWanted: (text: string) => boolean): (string | number)[] =>
  rows.filter(([, text]) => typeof text === 'string' && isWanted(text)).map(([first]) => first as string | number)

/** Devices that a search looks among, as `d`: table and condition. */
export interface Among {
  readonly from: string
  readonly where: Sql
}

/** Null: the condition can be asked as it is. */
export function lookupOf(dialect: DeviceDialect, orgId: string, among: Among, leaf: Leaf): Lookup | null {
  if (leaf.op === 'name') {
    const where = all(among.where, mayHold(dialect, leaf.text))
    return {
      ask: sql(`select d.id, d.name_json from ${among.from} where ${where.sql}`, ...where.parameters),
      decide: rows => firstOf(rows, nameJson => nameMatches(nameJson, leaf.locale, leaf.text, false)),
    }
  }
  if (leaf.op === 'label' && isDecidedHere(leaf) && isKept(leaf.key)) {
    const wanted = leaf.values ?? []
    // Equal values have texts of equal length, so none but those are read.
    const lengths = wanted.map(value => Buffer.byteLength(ordered(value)))
    const isLong = sql(`octet_length(a.value_json) ${dialect.isNumber}`, JSON.stringify(lengths))
    const isTheirs = all(sql('a.device_id = d.id and a.name = ?', leaf.key), isLong)
    const value = `(select a.value_json from device_attribute a where ${isTheirs.sql})`
    const { from, where } = among
    return {
      ask: sql(`select d.id, ${value} from ${from} where ${where.sql}`, ...isTheirs.parameters, ...where.parameters),
      decide: rows => firstOf(rows, json => wanted.some(value => isSameJson(json, value))),
    }
  }
  if (leaf.op === 'in' && leaf.field === 'modelId')
    return {
      ask: sql('select product_key, model_id from product where model_id is not null and org_id = ?', orgId),
      decide: rows => firstOf(rows, modelId => leaf.values.includes(modelId)),
    }
  if (leaf.op === 'in' && leaf.field === 'productType')
    return {
      ask: sql('select product_key, json from product where org_id = ?', orgId),
      decide: rows => firstOf(rows, json => isAmong(leaf.values, productTypeOf(json))),
    }
  return null
}

/** Objects and lists have as many texts as their members have orders; all else has one. */
const isDecidedHere = ({ of, values }: Leaf & { readonly op: 'label' }): boolean =>
  of === 'attributes' && (values ?? []).some(json => typeof JSON.parse(json) === 'object')

const isAmong = (values: readonly string[], value: string | null): boolean => value !== null && values.includes(value)

export const COLUMNS = { productKey: 'd.product_key', deviceKey: 'd.device_key', assetId: 'd.asset_id' } as const

/** The condition on `d`, with what its lookups came to. */
export function compileCondition(
  dialect: DeviceDialect,
  condition: DeviceCondition,
  found: ReadonlyMap<Leaf, readonly (string | number)[]>,
): Sql {
  const compile = (term: DeviceCondition): Sql => compileCondition(dialect, term, found)
  switch (condition.op) {
    case 'and':
    case 'or': {
      if (condition.terms.length === 0) return sql(condition.op === 'and' ? '1 = 1' : '1 = 0')
      return bracketed(joined(condition.terms.map(compile), ` ${condition.op} `))
    }
    case 'not': {
      const term = bracketed(compile(condition.term))
      return { ...term, sql: `not ${term.sql}` }
    }
    case 'name':
      return isFound(dialect, found.get(condition))
    case 'in':
      return compileField(dialect, condition, found)
    case 'label': {
      const { of, key, values } = condition
      if (!isKept(key)) return sql('1 = 0')
      if (isDecidedHere(condition)) return isFound(dialect, found.get(condition))
      const [table, column, texts] =
        of === 'attributes'
          ? ['device_attribute', 'l.value_json', values?.map(ordered)]
          : ['device_tag', 'l.value', values]
      const isWanted = values === null ? null : isOneOf(dialect, column, texts ?? [])
      const where = all(sql('l.device_id = d.id and l.name = ?', key), isWanted)
      // A count is made for each device by itself, where a database might go through all labels for an `exists`.
      return { ...where, sql: `(select count(*) from ${table} l where ${where.sql}) = 1` }
    }
  }
}

const isFound = (dialect: DeviceDialect, ids: readonly (string | number)[] = []): Sql =>
  sql(`d.id ${dialect.isNumber}`, JSON.stringify(ids))

function compileField(
  dialect: DeviceDialect,
  leaf: Leaf & { readonly op: 'in' },
  found: ReadonlyMap<Leaf, readonly (string | number)[]>,
): Sql {
  const { field, values } = leaf
  switch (field) {
    case 'status': {
      const places = values.map(value => (deviceStatuses as readonly string[]).indexOf(value))
      return hasStatus(dialect, places)
    }
    case 'modelId':
    case 'productType':
      return isOneOf(dialect, 'd.product_key', (found.get(leaf) ?? []).map(String))
    default:
      return isOneOf(dialect, COLUMNS[field], values)
  }
}

/**
 * What makes a search one of a few devices, which are found by their own keys instead of among all of the organization: a list of assetIds or deviceKeys
 * that each of them is in. Null: nothing does.
 */
export function narrowOf(
  condition: DeviceCondition | null,
): { readonly field: 'assetId' | 'deviceKey'; readonly values: readonly string[] } | null {
  if (condition?.op === 'and') {
    const narrow = condition.terms.map(narrowOf).filter(each => each !== null)
    return narrow.find(({ field }) => field === 'assetId') ?? narrow[0] ?? null
  }
  if (condition?.op !== 'in' || (condition.field !== 'assetId' && condition.field !== 'deviceKey')) return null
  return { field: condition.field, values: condition.values }
}
