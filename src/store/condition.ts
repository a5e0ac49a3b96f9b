// The search condition, read two ways: as a predicate on a record (memory.ts) and as SQL with bound parameters (the database stores).
// Not the grammar that callers write (http/expression.ts).

import { makeId } from '../core/command.ts'
import { nameMatches } from '../core/name.ts'
import type { Condition, StoredCommand } from './store.ts'

/** The largest id that a 64-bit signed column holds. */
export const ID_MAX = 2n ** 63n - 1n

/** A commandId as the databases keep it; null where the text cannot be the id of any record (too large, leading zeros, not digits). */
export function idNumber(id: string): bigint | null {
  if (!/^[1-9][0-9]{0,18}$/.test(id)) return null
  const number = BigInt(id)
  return number <= ID_MAX ? number : null
}

export function matches({ command, body }: StoredCommand, condition: Condition): boolean {
  switch (condition.op) {
    case 'and':
      return condition.terms.every(term => matches({ command, body }, term))
    case 'or':
      return condition.terms.some(term => matches({ command, body }, term))
    case 'state':
      return condition.states.includes(command.state) !== condition.negated
    case 'created': {
      const { from, to } = condition
      return (from === null || command.createdAt >= from) && (to === null || command.createdAt < to)
    }
    case 'name':
      return nameMatches(body.nameJson, condition.locale, condition.text, condition.exact)
  }
}

export interface Compiled {
  /** one SQL condition; `?` for each parameter; nothing of the caller's text is in it */
  readonly sql: string
  readonly parameters: readonly (number | bigint | string)[]
  /** whether it looks at `name_json`, so that searches that do not can leave bodies unread */
  readonly names: boolean
}

const compiled = (sql: string, parameters: Compiled['parameters'] = [], names = false): Compiled => ({
  sql,
  parameters,
  names,
})

/** Whether a condition looks at names: then the device's distinct ones must be known before it can be compiled. */
export const looksAtNames = (condition: Condition): boolean =>
  condition.op === 'name' || ('terms' in condition && condition.terms.some(looksAtNames))

/**
 * The condition over the columns `c.id`, `c.state` and `b.name_json`. `names`: the distinct name_json texts of the records searched. A term
 * on names is decided once for each of them, not for each record, and becomes a list: a device has many records and few names. `isListed`: how the
 * dialect says that a text is in the JSON array of its one parameter.
 */
export function compile(condition: Condition, names: readonly string[], isListed: string): Compiled {
  switch (condition.op) {
    case 'and':
      return join(condition.terms, names, isListed, ' and ', '1 = 1')
    case 'or':
      return join(condition.terms, names, isListed, ' or ', '1 = 0')
    case 'state': {
      const { states, negated } = condition
      if (states.length === 0) return compiled(negated ? '1 = 1' : '1 = 0')
      return compiled(`c.state ${negated ? 'not in' : 'in'} (${states.map(() => '?').join(', ')})`, states)
    }
    case 'created':
      return createdBetween(condition.from, condition.to)
    case 'name': {
      const { locale, text, exact } = condition
      const matching = names.filter(nameJson => nameMatches(nameJson, locale, text, exact))
      return compiled(`b.name_json ${isListed}`, [JSON.stringify(matching)], true)
    }
  }
}

function join(
  terms: readonly Condition[],
  names: readonly string[],
  isListed: string,
  operator: ' and ' | ' or ',
  empty: string,
): Compiled {
  if (terms.length === 0) return compiled(empty)
  const parts = terms.map(term => compile(term, names, isListed))
  return {
    sql: `(${parts.map(part => part.sql).join(operator)})`,
    parameters: parts.flatMap(part => part.parameters),
    names: parts.some(part => part.names),
  }
}

/** An id carries its createTime in its upper bits, so bounds on time are bounds on the key: no index on time is needed. */
function createdBetween(from: number | null, to: number | null): Compiled {
  const low = from === null ? 0n : idFloor(from)
  const high = to === null ? null : idFloor(to)
  if (low > ID_MAX) return compiled('1 = 0')
  if (high === null || high > ID_MAX) return compiled('c.id >= ?', [low])
  return compiled('(c.id >= ? and c.id < ?)', [low, high])
}

/** The first id at or after an instant, 0 for all instants before the epoch of ids. */
function idFloor(ms: number): bigint {
  const id = BigInt(makeId(Math.ceil(ms), 0, 0))
  return id < 0n ? 0n : id
}
