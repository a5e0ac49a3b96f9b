// Which commands of a device's history are shown: as the address of the page says it, so that a link shows the same, and as the server's search is asked for
// it. What the search has no words for, kinds and identifiers, is looked for in what it finds. Pure. Not here: the search itself (history-find.ts), the fields
// (history-filters.tsx).

import { type Command, State, type StateName, type ThingModel } from '@downlink/client'
import { LATEST } from '../wall-time.ts'

export type Kind = 'set' | 'invoke'
export type Range = '1h' | '24h' | '7d' | 'between'

export interface Filter {
  /** part of a name or an identifier, or a whole commandId */
  readonly text: string
  /** in one of these; empty: in any */
  readonly states: readonly StateName[]
  readonly kind: Kind | null
  /** null: at any time */
  readonly range: Range | null
  /** ms since 1970; only of `between`, and null is open */
  readonly from: number | null
  readonly to: number | null
}

export const kinds: readonly Kind[] = ['set', 'invoke']
export const ranges: readonly Range[] = ['1h', '24h', '7d', 'between']
export const stateNames = Object.keys(State) as readonly StateName[]
export const everything: Filter = { text: '', states: [], kind: null, range: null, from: null, to: null }

/** characters of a text that is looked for: as many as an identifier has at most */
export const TEXT_MAX_CHARS = 64
const HOUR_MS = 3_600_000
const spans: Readonly<Record<Exclude<Range, 'between'>, number>> = {
  '1h': HOUR_MS,
  '24h': 24 * HOUR_MS,
  '7d': 168 * HOUR_MS,
}

/** What the query of an address says; what it says wrong counts as not said. */
export function filterIn(given: URLSearchParams): Filter {
  const named = (given.get('state') ?? '').split(',')
  const range = ranges.find(range => range === given.get('range')) ?? null
  const between = range === 'between'
  return {
    text: (given.get('text') ?? '').trim().slice(0, TEXT_MAX_CHARS),
    states: stateNames.filter(name => named.includes(name)),
    kind: kinds.find(kind => kind === given.get('kind')) ?? null,
    range,
    from: between ? instantIn(given.get('since')) : null,
    to: between ? instantIn(given.get('until')) : null,
  }
}

/** The same in the words of an address; what is everything is not said. */
export function searchOf({ text, states, kind, range, from, to }: Filter): Record<string, string> {
  const said = { text, state: states.join(','), kind, range, since: from?.toString(), until: to?.toString() }
  return Object.fromEntries(
    Object.entries(said).filter((entry): entry is [string, string] => typeof entry[1] === 'string' && entry[1] !== ''),
  )
}

/** ms since 1970 in digits, of a time that a search can name: years have four digits there. */
function instantIn(text: string | null): number | null {
  if (text === null || !/^[0-9]{1,15}$/.test(text)) return null
  const at = Number(text)
  return at <= LATEST ? at : null
}

export const isFiltered = (filter: Filter): boolean => Object.keys(searchOf(filter)).length > 0

const COMMAND_ID = /^[0-9]{15,19}$/
/** The commandId that is looked for; null: it is something else. */
export const idIn = ({ text }: Filter): string | null => (COMMAND_ID.test(text) ? text : null)

/** names that one expression may compare, and one is for the text itself */
const NAMES_MAX = 7

/**
 * What the server is asked for: no fewer than those that match, and as few more as it has words for. Identifiers it does not know, so it is asked for the
 * names that the model has for those that the text is part of; where there are too many of them, for all names. A text stands in quotes, in which only the
 * quote itself means anything, and is written twice.
 */
export function expressionOf(filter: Filter, model: ThingModel | null, now: number): string {
  const { text, states, range } = filter
  const terms: string[] = []
  if (states.length > 0) terms.push(`state in (${states.map(name => State[name]).join(', ')})`)
  const from = range === null || range === 'between' ? filter.from : now - spans[range]
  if (from !== null) terms.push(`createTime >= "${second(from)}"`)
  if (filter.to !== null) terms.push(`createTime <= "${second(filter.to)}"`)
  const meant = namesOf(text, model)
  if (text !== '' && meant.length <= NAMES_MAX)
    terms.push(
      `(${[`commandName like ${quoted(text)}`, ...meant.map(name => `commandName = ${quoted(name)}`)].join(' or ')})`,
    )
  return terms.join(' and ')
}

const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`
/** `2026-01-31T08:00:00Z`: a search names whole seconds. */
export const second = (at: number): string => `${new Date(at).toISOString().slice(0, 19)}Z`

/** Names of what has the text in its identifier, and in none of its names. */
function namesOf(text: string, model: ThingModel | null): readonly string[] {
  const all = [...Object.entries(model?.measurepoints ?? {}), ...Object.entries(model?.services ?? {})]
  const meant = all.filter(
    ([identifier, { name }]) => contains(identifier, text) && !allNames(name).some(one => contains(one, text)),
  )
  return [...new Set(meant.map(([, { name }]) => name.defaultValue))]
}

/** Whether a command that the server has found is meant. */
export function matches({ text, kind }: Filter, command: Command): boolean {
  if (kind !== null && (command.commandType === 1) !== (kind === 'set')) return false
  return contains(command.tslIdentifier, text) || allNames(command.commandName).some(name => contains(name, text))
}

/** Whether the server's search alone finds exactly what is meant. */
export const isExact = ({ text, kind }: Filter): boolean => text === '' && kind === null

const allNames = ({ defaultValue, i18nValue }: Command['commandName']): readonly string[] => [
  defaultValue,
  ...Object.values(i18nValue ?? {}),
]
const contains = (whole: string, part: string): boolean => whole.toLowerCase().includes(part.toLowerCase())
