// What a device can be told, read out of its thing model: which points can be set, which services invoked, and of each input what fits it. Pure.
// Not here: what somebody types (drafts.ts), whether it fits (values.ts), which names of these are shown (words.ts of the console).

import type { DataDefinition, Datapoint, DataType, StringI18n, ThingModel, ThingService } from '@downlink/client'

export type Kind = 'set' | 'invoke'
export type NumberType = 'INT' | 'FLOAT' | 'DOUBLE'

/** What fits a field. Null where the model does not say: then only the general shape counts. */
export type Definition =
  | { readonly dataType: NumberType; readonly min: number | null; readonly max: number | null }
  /** names of true and false; null: the model has none */
  | {
      readonly dataType: 'BOOL'
      readonly names: { readonly true: StringI18n | null; readonly false: StringI18n | null }
    }
  /** maxLength in characters (code points) */
  | { readonly dataType: 'STRING'; readonly maxLength: number }
  /** with enumType INT a key is sent as a number, with STRING as a text; null: either will do */
  | { readonly dataType: 'ENUM'; readonly enumType: 'INT' | 'STRING' | null; readonly keys: readonly EnumKey[] | null }
  | { readonly dataType: 'DATE' | 'TIMESTAMP' | 'FILE' }
  | { readonly dataType: 'ARRAY'; readonly item: Definition | null }
  | { readonly dataType: 'STRUCT'; readonly items: readonly Field[] | null }

export interface EnumKey {
  readonly key: string
  readonly name: StringI18n
}

/** A point that is set, an input or output of a service, a member of a struct. */
export interface Field {
  readonly identifier: string
  readonly name: StringI18n
  readonly desc: string
  /** `kW`, `°C`; empty: none */
  readonly unit: string
  readonly required: boolean
  /** undefined: none */
  readonly defaultValue: unknown
  readonly definition: Definition
}

/** A point with the one field that it is set to, or a service with its inputs. */
export interface Sendable {
  readonly kind: Kind
  readonly identifier: string
  readonly name: StringI18n
  readonly desc: string
  readonly fields: readonly Field[]
  /** what a service answers with */
  readonly outputs: readonly Field[]
}

/** characters of a text for which the model names no maxLength: what the server takes then */
const STRING_MAX_CHARS = 1_024

/** Points that may be set, then services, in the model's order. */
export function sendablesOf(model: ThingModel): Sendable[] {
  const points = Object.values(model.measurepoints).filter(({ writable }) => writable !== false)
  return [...points.map(settable), ...Object.values(model.services).map(invocable)]
}

const settable = (point: Datapoint): Sendable => {
  const { identifier, name, desc = '' } = point
  // A point is set to something, whatever the model says of it being required.
  const field = { ...fieldOf(point), required: true }
  return { kind: 'set', identifier, name, desc, fields: [field], outputs: [] }
}

const invocable = ({ identifier, name, desc, inputData, outputData }: ThingService): Sendable => ({
  ...{ kind: 'invoke', identifier, name, desc },
  fields: inputData.map(fieldOf),
  outputs: outputData.map(fieldOf),
})

type Said = Omit<Datapoint, 'name'> & { readonly name?: StringI18n | string | null }

export function fieldOf(said: Said): Field {
  const { identifier, desc = '', dataType } = said
  const definition = definitionText(said.dataDefinition)
  return {
    ...{ identifier, name: namedBy(said.name, identifier), desc, unit: unitText(said.unit) },
    required: said.isRequired ?? said.required ?? false,
    defaultValue: said.defaultValue ?? definition?.defaultValue ?? undefined,
    definition: definitionOf(dataType, { ...definition, ...ownBounds(said) }, definition !== null),
  }
}

/** What a point says of itself wins over its definition. */
const ownBounds = ({ min, max }: Said): DataDefinition => ({
  ...(min === undefined || min === null ? {} : { min }),
  ...(max === undefined || max === null ? {} : { max }),
})

/** An object, or the same as JSON text. The server has read it before; what cannot be read nevertheless says nothing. */
function definitionText(said: Said['dataDefinition']): DataDefinition | null {
  if (typeof said !== 'string') return said ?? null
  try {
    const read: unknown = JSON.parse(said)
    return typeof read === 'object' && !Array.isArray(read) ? read : null
  } catch {
    return null
  }
}

function definitionOf(dataType: DataType, said: DataDefinition, isSaid: boolean): Definition {
  switch (dataType) {
    case 'INT':
    case 'FLOAT':
    case 'DOUBLE':
      return { dataType, min: said.min ?? null, max: said.max ?? null }
    case 'STRING':
      return { dataType, maxLength: said.maxLength ?? STRING_MAX_CHARS }
    case 'BOOL':
      return { dataType, names: { true: maybeName(said.boolDesc?.true), false: maybeName(said.boolDesc?.false) } }
    case 'ENUM': {
      const keys = Object.entries(said.enumDesc ?? {}).map(([key, name]) => ({ key, name: namedBy(name, key) }))
      return { dataType, enumType: said.enumType ?? null, keys: keys.length === 0 ? null : keys }
    }
    case 'ARRAY':
      return { dataType, item: said.itemType === undefined ? null : definitionOf(said.itemType, {}, false) }
    case 'STRUCT':
      return { dataType, items: isSaid ? (said.items ?? []).map(fieldOf) : null }
    case 'DATE':
    case 'TIMESTAMP':
    case 'FILE':
      return { dataType }
  }
}

/** A name as models have them: in several languages, one text for all, or none. */
function maybeName(said: unknown): StringI18n | null {
  if (typeof said === 'string') return said === '' ? null : { defaultValue: said, i18nValue: {} }
  if (typeof said !== 'object' || said === null || !('defaultValue' in said)) return null
  const { defaultValue, i18nValue } = said as Partial<StringI18n>
  return typeof defaultValue === 'string' ? { defaultValue, i18nValue: i18nValue ?? {} } : null
}
const namedBy = (said: unknown, otherwise: string): StringI18n =>
  maybeName(said) ?? { defaultValue: otherwise, i18nValue: {} }

/** The vendor's multipliers as they are written before a unit. */
const multipliers: Readonly<Record<string, string>> = {
  ...{
    YOTTA: 'Y',
    ZETTA: 'Z',
    EXA: 'E',
    PETA: 'P',
    TERA: 'T',
    GIGA: 'G',
    MEGA: 'M',
    KILO: 'k',
    HECTO: 'h',
    DECA: 'da',
  },
  ...{ DECI: 'd', CENTI: 'c', MILLI: 'm', MICRO: 'µ', NANO: 'n', PICO: 'p', FEMTO: 'f', ATTO: 'a', ZEPTO: 'z' },
  ...{ YOCTO: 'y', ONE: '' },
}

function unitText(said: Said['unit']): string {
  if (typeof said === 'string') return said
  const { unitId = '', multiplier = 'ONE' } = said ?? {}
  if (unitId === '') return ''
  const before = multipliers[multiplier]
  // A multiplier that is not known is shown as it is: leaving it out would show another quantity.
  return before === undefined ? `${multiplier} ${unitId}` : `${before}${unitId}`
}

/** `set:setpoint`: one text for each. */
export const keyOf = ({ kind, identifier }: Pick<Sendable, 'kind' | 'identifier'>): string => `${kind}:${identifier}`
