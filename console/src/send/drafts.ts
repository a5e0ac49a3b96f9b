// What stands in the fields of a form: texts as they were typed, items of lists, members of structs, so that nothing that was typed is lost while it is not yet
// a value. Drafts are never changed, only replaced. Pure. Not here: what value a draft comes to, and whether it fits (values.ts).

import { LATEST, readInstant, wallText } from '../wall-time.ts'
import type { Definition, Field, Kind, Sendable } from './sendable.ts'

export type Draft = TextDraft | ListDraft | StructDraft
/** Of everything that is one control: numbers and dates as typed, `true` or `false`, the key of an enum, JSON. */
export interface TextDraft {
  readonly shape: 'text'
  readonly text: string
  /** a text of no characters is meant, not that it is left out */
  readonly isEmptyText: boolean
}
/** `isGiven` of these two: an optional one is left out otherwise */
export interface ListDraft {
  readonly shape: 'list'
  readonly isGiven: boolean
  /** `id` stays with an item while others come and go */
  readonly items: readonly { readonly id: number; readonly draft: Draft }[]
}
export interface StructDraft {
  readonly shape: 'struct'
  readonly isGiven: boolean
  readonly members: Drafts
}
/** by identifier */
export type Drafts = Readonly<Record<string, Draft>>

export const textDraft = (text: string, isEmptyText = false): TextDraft => ({ shape: 'text', text, isEmptyText })

/** Where nobody has typed anything: the defaults of the model, and blanks. */
export const blankDrafts = (fields: readonly Field[], zone: string | undefined): Drafts =>
  Object.fromEntries(fields.map(field => [field.identifier, blankDraft(field, zone)]))

export function blankDraft({ definition, defaultValue, required }: Field, zone: string | undefined): Draft {
  const ofDefault = defaultValue === undefined ? null : draftOf(definition, defaultValue, zone)
  return ofDefault ?? emptyDraft(definition, required, zone)
}

export function emptyDraft(definition: Definition, isGiven: boolean, zone: string | undefined): Draft {
  if (definition.dataType === 'ARRAY' && definition.item !== null) return { shape: 'list', isGiven, items: [] }
  if (definition.dataType === 'STRUCT' && definition.items !== null)
    return { shape: 'struct', isGiven, members: blankDrafts(definition.items, zone) }
  return textDraft('')
}

/** Whether a draft can be of this type. */
export const isShapeOf = (definition: Definition, { shape }: Draft): boolean =>
  shape === emptyDraft(definition, false, undefined).shape

/** The draft that comes to this value; null: the field has none, since it does not take such a value. */
export function draftOf(definition: Definition, value: unknown, zone: string | undefined): Draft | null {
  switch (definition.dataType) {
    case 'INT':
    case 'FLOAT':
    case 'DOUBLE':
      return typeof value === 'number' ? textDraft(String(value)) : null
    case 'BOOL':
      // 0 and 1 stay what they are: a device may tell them from false and true.
      return value === 0 || value === 1 || typeof value === 'boolean' ? textDraft(String(value)) : null
    case 'STRING':
      return typeof value === 'string' ? textDraft(value, value === '') : null
    case 'DATE':
    case 'FILE':
      return typeof value === 'string' ? textDraft(value) : null
    case 'ENUM': {
      if (typeof value !== 'string' && typeof value !== 'number') return null
      const isKnown = definition.keys?.some(({ key }) => key === String(value)) ?? true
      return isKnown ? textDraft(String(value)) : null
    }
    case 'TIMESTAMP':
      return draftOfInstant(value, zone)
    case 'ARRAY':
      return definition.item === null ? draftOfJson(value) : draftOfList(definition.item, value, zone)
    case 'STRUCT':
      return definition.items === null ? draftOfJson(value) : draftOfStruct(definition.items, value, zone)
  }
}

const draftOfJson = (value: unknown): Draft => textDraft(JSON.stringify(value, null, 2))

/** As a wall clock shows it, unless it shows that twice. */
function draftOfInstant(value: unknown, zone: string | undefined): Draft | null {
  const at = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value
  if (typeof at !== 'number' || !Number.isSafeInteger(at) || at < 0) return null
  const isShown = at < LATEST
  const text = isShown ? wallText(at, zone) : String(at)
  const read = readInstant(text, zone)
  return textDraft('at' in read && read.at === at ? text : String(at))
}

function draftOfList(item: Definition, value: unknown, zone: string | undefined): Draft | null {
  if (!Array.isArray(value)) return null
  const drafts = value.map(element => draftOf(item, element, zone))
  if (drafts.includes(null)) return null
  const items = drafts.filter(draft => draft !== null).map((draft, id) => ({ id, draft }))
  return { shape: 'list', isGiven: true, items }
}

/** What the value leaves out is blank, also where there is a default: it was not sent. */
function draftOfStruct(items: readonly Field[], value: unknown, zone: string | undefined): Draft | null {
  if (!isObject(value)) return null
  const members = items.map(({ identifier, definition }): [string, Draft | null] => {
    const given = Object.hasOwn(value, identifier) ? value[identifier] : undefined
    return [identifier, given === undefined ? emptyDraft(definition, false, zone) : draftOf(definition, given, zone)]
  })
  const known = members.filter((member): member is [string, Draft] => member[1] !== null)
  const isWhole = known.length === items.length && Object.keys(value).every(key => members.some(([id]) => id === key))
  return isWhole ? { shape: 'struct', isGiven: true, members: Object.fromEntries(known) } : null
}

/** The form as it was when a command was sent, by what that carried. `leftOut`: identifiers of which it carried what the model does not take now. */
export function draftsOf(
  { kind, fields }: Sendable,
  input: unknown,
  zone: string | undefined,
): { readonly drafts: Drafts; readonly leftOut: readonly string[] } {
  const inputs: Readonly<Record<string, unknown>> =
    kind === 'set'
      ? Object.fromEntries(fields.map(({ identifier }) => [identifier, input]))
      : isObject(input)
        ? input
        : {}
  const leftOut = Object.keys(inputs).filter(key => !fields.some(({ identifier }) => identifier === key))
  const drafts = fields.map(({ identifier, definition, required }): [string, Draft] => {
    const blank = emptyDraft(definition, required, zone)
    if (!Object.hasOwn(inputs, identifier)) return [identifier, blank]
    const draft = draftOf(definition, inputs[identifier], zone)
    if (draft === null) leftOut.push(identifier)
    return [identifier, draft ?? blank]
  })
  return { drafts: Object.fromEntries(drafts), leftOut }
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** One more item at the end. */
export function withItem(list: ListDraft, draft: Draft): ListDraft {
  const id = 1 + Math.max(-1, ...list.items.map(item => item.id))
  return { ...list, items: [...list.items, { id, draft }] }
}
export const withoutItem = (list: ListDraft, id: number): ListDraft => ({
  ...list,
  items: list.items.filter(item => item.id !== id),
})
export const withItemAs = (list: ListDraft, id: number, draft: Draft): ListDraft => ({
  ...list,
  items: list.items.map(item => (item.id === id ? { id, draft } : item)),
})
export const withMember = (struct: StructDraft, identifier: string, draft: Draft): StructDraft => ({
  ...struct,
  members: { ...struct.members, [identifier]: draft },
})

/** Where all of the fields are, with those of items and members: a refusal may be about any of them. */
export function pathsOf({ kind, fields }: Sendable, drafts: Drafts): string[] {
  const within = (draft: Draft | undefined, path: string): string[] => {
    if (draft?.shape === 'list')
      return [path, ...draft.items.flatMap((item, index) => within(item.draft, itemPath(path, index)))]
    if (draft?.shape === 'struct')
      return [path, ...Object.entries(draft.members).flatMap(([id, member]) => within(member, memberPath(path, id)))]
    return [path]
  }
  return fields.flatMap(({ identifier }) => within(drafts[identifier], rootPath(kind, identifier)))
}

// --- where a field is: as the server names places in its refusals ---------------------------------------------------

export const memberPath = (path: string, identifier: string): string =>
  path === '' ? identifier : `${path}.${identifier}`
export const itemPath = (path: string, index: number): string => `${path}[${index}]`
/** A point's value has no name. */
export const rootPath = (kind: Kind, identifier: string): string => (kind === 'set' ? '' : identifier)
