// From what was typed to the value that is sent, and what is wrong with it, at which field. By the rules of the server, which judges all the same: here somebody
// is told before anything is sent. Pure. Not here: how a fault is worded (words.ts), when it is shown (the form).

import { isDate, readInstant } from '../wall-time.ts'
import {
  type Draft,
  type Drafts,
  isObject,
  itemPath,
  type ListDraft,
  memberPath,
  type StructDraft,
  type TextDraft,
} from './drafts.ts'
import { type NumberFault, readNumber } from './exact.ts'
import { type JsonFault, readJson } from './json-text.ts'
import type { Definition, Field, Kind, Sendable } from './sendable.ts'

export type Fault =
  | NumberFault
  | JsonFault
  | { readonly fault: 'required' | 'choose' | 'whole' | 'intTooLarge' | 'date' | 'time' | 'noSuchTime' | 'skipped' }
  | { readonly fault: 'tooEarly' | 'uri' | 'object' | 'list' | 'mixed' | 'null' | 'identifier' }
  | { readonly fault: 'range'; readonly min: number | null; readonly max: number | null }
  | { readonly fault: 'tooLong'; readonly length: number; readonly max: number }

/** By where it is: `delay`, `limits.low`, `points[2]`, as the server names places too; empty: the value of a point as a whole. */
export type Faults = ReadonlyMap<string, Fault>

export interface Read {
  /** undefined where there are faults */
  readonly input: unknown
  readonly faults: Faults
}

/** A form's value for a point, or its inputs for a service. Times are of the zone. */
export function readForm({ kind, fields }: Sendable, drafts: Drafts, zone: string | undefined): Read {
  const faults = new Map<string, Fault>()
  const reader = new Reader(faults, zone)
  const [field] = fields
  const input =
    kind === 'invoke'
      ? reader.members(fields, drafts, '')
      : // A point's default is a proposal: of a value that is not there, the server takes none.
        field && reader.value({ ...field, defaultValue: undefined }, drafts[field.identifier], '')
  return { input: faults.size === 0 ? input : undefined, faults }
}

/** What is typed as JSON where there is no model: any value but null for a point; an object for a service, or nothing for one without inputs. */
export function readRaw(kind: Kind, text: string): Read {
  const faults = new Map<string, Fault>()
  if (kind === 'invoke' && text.trim() === '') return { input: {}, faults }
  if (text.trim() === '') return { input: undefined, faults: faults.set('', { fault: 'required' }) }
  const read = readJson(text)
  if ('fault' in read) return { input: undefined, faults: faults.set('', read) }
  if (kind === 'invoke' && !isObject(read.value)) faults.set('', { fault: 'object' })
  if (kind === 'set' && read.value === null) faults.set('', { fault: 'null' })
  return { input: faults.size === 0 ? read.value : undefined, faults }
}

export const isIdentifier = (text: string): boolean => /^[A-Za-z0-9_.-]{1,64}$/.test(text)

/** A whole number of a range, for what is no input: seconds. */
export function readWhole(text: string, min: number, max: number): number | Fault {
  if (text.trim() === '') return { fault: 'required' }
  const value = /^\d{1,15}$/.test(text.trim()) ? Number(text) : null
  if (value === null) return { fault: 'whole' }
  return value >= min && value <= max ? value : { fault: 'range', min, max }
}

class Reader {
  readonly #faults: Map<string, Fault>
  readonly #zone: string | undefined

  constructor(faults: Map<string, Fault>, zone: string | undefined) {
    this.#faults = faults
    this.#zone = zone
  }

  members(fields: readonly Field[], drafts: Drafts, path: string): Record<string, unknown> {
    const values = fields.map(field => {
      const { identifier } = field
      return [identifier, this.value(field, drafts[identifier], memberPath(path, identifier))] as const
    })
    return Object.fromEntries(values.filter(([, value]) => value !== undefined))
  }

  /** undefined: it is left out, or has a fault. Where the model has a default, the server takes that for a required one that is left out. */
  value({ definition, required, defaultValue }: Field, draft: Draft | undefined, path: string): unknown {
    const isNeeded = required && defaultValue === undefined
    if (draft === undefined) return isNeeded ? this.#fault(path, { fault: 'required' }) : undefined
    if (draft.shape === 'text') return this.#text(definition, draft, isNeeded, path)
    if (!draft.isGiven && !required) return undefined
    return draft.shape === 'list' ? this.#list(definition, draft, path) : this.#struct(definition, draft, path)
  }

  #fault(path: string, fault: Fault): undefined {
    this.#faults.set(path, fault)
    return undefined
  }

  #list(definition: Definition, { items }: ListDraft, path: string): unknown {
    const item = definition.dataType === 'ARRAY' ? definition.item : null
    if (item === null) return this.#fault(path, { fault: 'list' })
    const field = { identifier: '', name: NO_NAME, desc: '', unit: '', required: true, defaultValue: undefined }
    return items.map(({ draft }, index) => this.value({ ...field, definition: item }, draft, itemPath(path, index)))
  }

  #struct(definition: Definition, { members }: StructDraft, path: string): unknown {
    const items = definition.dataType === 'STRUCT' ? definition.items : null
    return items === null ? this.#fault(path, { fault: 'object' }) : this.members(items, members, path)
  }

  #text(definition: Definition, draft: TextDraft, isNeeded: boolean, path: string): unknown {
    const { text, isEmptyText } = draft
    const isBlank = definition.dataType === 'STRING' ? text === '' && !isEmptyText : text.trim() === ''
    const isChoice = definition.dataType === 'BOOL' || (definition.dataType === 'ENUM' && definition.keys !== null)
    if (isBlank) return isNeeded ? this.#fault(path, { fault: isChoice ? 'choose' : 'required' }) : undefined
    const read = readText(definition, text, this.#zone)
    return 'fault' in read ? this.#fault(path, read) : read.value
  }
}
const NO_NAME = { defaultValue: '', i18nValue: {} }

/** One control's text as a value of its type. */
export function readText(
  definition: Definition,
  text: string,
  zone: string | undefined,
): { readonly value: unknown } | Fault {
  switch (definition.dataType) {
    case 'INT':
    case 'FLOAT':
    case 'DOUBLE':
      return readNumberOf(definition, text.trim())
    case 'BOOL':
      return { value: bools.get(text) }
    case 'STRING': {
      // Characters are code points: an emoji is one, though a text counts it as two.
      const { length } = [...text]
      return length > definition.maxLength ? { fault: 'tooLong', length, max: definition.maxLength } : { value: text }
    }
    case 'ENUM':
      return readEnum(definition, text)
    case 'DATE':
      return isDate(text.trim()) ? { value: text.trim() } : { fault: isDateShaped(text) ? 'noSuchTime' : 'date' }
    case 'TIMESTAMP':
      return readTimestamp(text.trim(), zone)
    case 'FILE':
      return /^[A-Za-z][A-Za-z0-9+.-]*:[^\s\p{Cc}]+$/u.test(text.trim()) ? { value: text.trim() } : { fault: 'uri' }
    case 'ARRAY':
      return readList(text)
    case 'STRUCT': {
      const read = readJson(text)
      return 'fault' in read || isObject(read.value) ? read : { fault: 'object' }
    }
  }
}

const bools: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['true', true],
  ['false', false],
  ['1', 1],
  ['0', 0],
])

type Numeric = Extract<Definition, { readonly dataType: 'INT' | 'FLOAT' | 'DOUBLE' }>

function readNumberOf({ dataType, min, max }: Numeric, text: string): { readonly value: number } | Fault {
  if (dataType === 'INT' && !/^[+-]?\d+$/.test(text)) return { fault: 'whole' }
  const read = readNumber(text)
  if ('fault' in read) return dataType === 'INT' && read.fault !== 'number' ? { fault: 'intTooLarge' } : read
  const { value } = read
  if (dataType === 'INT' && !Number.isSafeInteger(value)) return { fault: 'intTooLarge' }
  const isWithin = (min === null || value >= min) && (max === null || value <= max)
  return isWithin ? { value } : { fault: 'range', min, max }
}

/** A key as its type says: the number, or the text. Where the model says neither, what reads as a whole number is one. */
function readEnum({ enumType, keys }: Extract<Definition, { readonly dataType: 'ENUM' }>, text: string) {
  if (keys !== null && !keys.some(({ key }) => key === text)) return { fault: 'choose' } as const
  const number = Number(text)
  const isWhole = Number.isSafeInteger(number) && String(number) === text
  if (enumType === 'INT' && !isWhole) return { fault: 'whole' } as const
  return { value: isWhole && enumType !== 'STRING' ? number : text }
}

const isDateShaped = (text: string): boolean => /^\s*\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?\s*$/.test(text)

function readTimestamp(text: string, zone: string | undefined): { readonly value: number } | Fault {
  const read = readInstant(text, zone)
  if ('fault' in read)
    return { fault: ({ form: 'time', missing: 'noSuchTime', skipped: 'skipped' } as const)[read.fault] }
  if (read.at < 0) return { fault: 'tooEarly' }
  return Number.isSafeInteger(read.at) ? { value: read.at } : { fault: 'intTooLarge' }
}

/** Of a list whose items the model does not name: all of one kind, and none of them null. */
function readList(text: string): { readonly value: unknown } | Fault {
  const read = readJson(text)
  if ('fault' in read) return read
  const { value } = read
  if (!Array.isArray(value)) return { fault: 'list' }
  if (value.includes(null)) return { fault: 'null' }
  return new Set(value.map(kindOf)).size > 1 ? { fault: 'mixed' } : read
}
const kindOf = (value: unknown): string => (Array.isArray(value) ? 'list' : typeof value)
