// Thing models as types: what a product's devices can be told and asked, as the server shows it. What a model leaves out is absent or null; what it says
// beyond this is there as well. Not here: commands, devices (wire.ts).

import type { StringI18n } from './wire.ts'

export type DataType =
  | 'INT'
  | 'FLOAT'
  | 'DOUBLE'
  | 'BOOL'
  | 'STRING'
  | 'ENUM'
  | 'DATE'
  | 'TIMESTAMP'
  | 'ARRAY'
  | 'STRUCT'
  | 'FILE'

/** What fits a data type more exactly; which of these there are goes by the type. */
export interface DataDefinition {
  /** of INT, FLOAT, DOUBLE */
  readonly min?: number | null
  readonly max?: number | null
  /** of STRING: characters */
  readonly maxLength?: number | null
  /** of ENUM: what its keys are sent as; absent: either will do */
  readonly enumType?: 'INT' | 'STRING' | null
  /** of ENUM: a name for each key */
  readonly enumDesc?: Readonly<Record<string, StringI18n | string | null>>
  /** of BOOL: names for `true` and `false` */
  readonly boolDesc?: Readonly<Record<string, unknown>> | null
  /** of ARRAY: what its items are */
  readonly itemType?: DataType
  /** of STRUCT: its members, which are no structs themselves. Their names are as the model has them: a text, or absent. */
  readonly items?: readonly (Omit<Datapoint, 'name'> & { readonly name?: StringI18n | string | null })[]
  readonly defaultValue?: unknown
}

/** An attribute, a measurepoint, an input or output of a service, an output of an event. */
export interface Datapoint {
  readonly identifier: string
  readonly name: StringI18n
  readonly desc?: string
  readonly tags?: Readonly<Record<string, unknown>>
  readonly dataType: DataType
  /** an object, or the same as JSON text: as the model has it */
  readonly dataDefinition?: DataDefinition | string | null
  readonly unit?: { readonly unitId?: string; readonly multiplier?: string } | string | null
  /** false: it cannot be set */
  readonly writable?: boolean | null
  /** an input that must be given, unless it has a default; both spellings are in use, and the first one wins */
  readonly isRequired?: boolean | null
  readonly required?: boolean | null
  /** here, or in the definition */
  readonly defaultValue?: unknown
  /** of INT, FLOAT, DOUBLE; these win over those of the definition */
  readonly min?: number | null
  readonly max?: number | null
}

export interface ThingService {
  readonly identifier: string
  readonly name: StringI18n
  readonly desc: string
  readonly tags: Readonly<Record<string, unknown>>
  readonly inputData: readonly Datapoint[]
  readonly outputData: readonly Datapoint[]
}

export interface ThingEvent {
  readonly identifier: string
  readonly name: StringI18n
  readonly desc: string
  readonly tags: Readonly<Record<string, unknown>>
  readonly outputData: readonly Datapoint[]
}

/** Everything in it is by identifier. */
export interface ThingModel {
  readonly modelId: string
  readonly modelIdPath: string
  readonly orgId: string
  readonly name: StringI18n
  readonly desc: string
  readonly tags: Readonly<Record<string, unknown>>
  readonly attributes: Readonly<Record<string, Datapoint>>
  readonly measurepoints: Readonly<Record<string, Datapoint>>
  readonly services: Readonly<Record<string, ThingService>>
  readonly events: Readonly<Record<string, ThingEvent>>
}
