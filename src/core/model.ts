// Thing models: reading one as the vendor writes it, and checking what a caller wants to set or invoke against it.
// Not here: where models are stored, and which product has which (fleet).

import { isKey } from './command.ts'
import { invalid, type Refusal } from './errors.ts'
import { isObject, pathTo, quote, readJson } from './json.ts'
import { HINT_CANDIDATES_MAX, MODEL_PROBLEMS_MAX } from './limits.ts'
import { nearest } from './nearest.ts'
import { checkMembers, checkValue, type DataType, type Definition, type Member, plainDefinition } from './value.ts'

/** A name in several languages: `i18nValue[locale]`, or `defaultValue` where the locale has none. */
export interface StringI18n {
  readonly defaultValue: string
  readonly i18nValue: Readonly<Record<string, string>>
}

/** An attribute, a measurepoint, an input or output of a service, an output of an event. */
export interface Datapoint extends Member {
  readonly identifier: string
  readonly name: StringI18n
  /** only measurepoints are ever written; true unless the model says otherwise */
  readonly writable: boolean
}

export interface Service {
  readonly identifier: string
  readonly name: StringI18n
  readonly inputs: ReadonlyMap<string, Datapoint>
  readonly outputs: ReadonlyMap<string, Datapoint>
}

export interface ModelEvent {
  readonly identifier: string
  readonly name: StringI18n
  readonly outputs: ReadonlyMap<string, Datapoint>
}

/** A thing model that was read and holds together. Everything is keyed by identifier. */
export interface Model {
  readonly attributes: ReadonlyMap<string, Datapoint>
  readonly measurepoints: ReadonlyMap<string, Datapoint>
  readonly services: ReadonlyMap<string, Service>
  readonly events: ReadonlyMap<string, ModelEvent>
}

/** `path` as in `services.reboot.inputData[0].dataType`; empty for the model as a whole. */
export interface ModelProblem {
  readonly path: string
  readonly message: string
}

type Problems = ModelProblem[]
type Fields = Record<string, unknown>

const MODEL_KEYS = ['modelId', 'modelIdPath', 'orgId', 'name', 'desc', 'tags']
const MODEL_MAPS = ['attributes', 'measurepoints', 'services', 'events']
const COMMON_KEYS = ['identifier', 'name', 'desc', 'tags', 'isStdElement', 'stdElementId']
const DATAPOINT_KEYS = [
  ...COMMON_KEYS,
  ...['dataType', 'dataDefinition', 'unit', 'hasQuality', 'signalType', 'isRequired', 'required'],
  ...['defaultValue', 'writable', 'min', 'max'],
]
const SERVICE_KEYS = [...COMMON_KEYS, 'inputData', 'outputData', 'callType']
const EVENT_KEYS = [...COMMON_KEYS, 'outputData', 'eventType']
const DEFINITION_KEYS: Readonly<Record<DataType, readonly string[]>> = {
  ARRAY: ['itemType'],
  BOOL: ['boolDesc'],
  DATE: [],
  ENUM: ['enumType', 'enumDesc'],
  INT: ['min', 'max'],
  FLOAT: ['min', 'max'],
  DOUBLE: ['min', 'max'],
  STRUCT: ['items'],
  STRING: ['maxLength'],
  TIMESTAMP: [],
  FILE: [],
}
const DATA_TYPES = Object.keys(DEFINITION_KEYS)
/** What an array may hold: the vendor names the first four, the others are as plain. An ENUM would need a definition of its own. */
const ITEM_TYPES = ['INT', 'FLOAT', 'DOUBLE', 'STRING', 'BOOL', 'DATE', 'TIMESTAMP', 'FILE']

const isDataType = (value: unknown): value is DataType => typeof value === 'string' && DATA_TYPES.includes(value)

/** A StringI18n, or a bare string for its defaultValue; null if it is neither. `i18nValue` may be missing. */
export function parseStringI18n(value: unknown): StringI18n | null {
  if (typeof value === 'string') return { defaultValue: value, i18nValue: {} }
  if (!isObject(value) || typeof value.defaultValue !== 'string') return null
  if (Object.keys(value).some(key => key !== 'defaultValue' && key !== 'i18nValue')) return null
  const names: unknown = value.i18nValue ?? {}
  if (!isObject(names)) return null
  const entries = Object.entries(names).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
  if (entries.length !== Object.keys(names).length) return null
  return { defaultValue: value.defaultValue, i18nValue: Object.fromEntries(entries) }
}

/**
 * Reads a ThingModel: modelId, name and the like, and the maps attributes, measurepoints, services, events, each keyed by identifier.
 * What the vendor's structs have and commands do not need (unit, tags, signalType, …) is accepted and ignored; a key that they do not have is a
 * problem, for it is most likely a misspelt one. null counts as absent everywhere. At most MODEL_PROBLEMS_MAX problems are told.
 *
 * `dataDefinition` is an object, or the same as JSON text. Without one, ENUM, ARRAY and STRUCT take every value of their general shape.
 */
export function parseModel(
  value: unknown,
): { readonly ok: true; readonly model: Model } | { readonly ok: false; readonly problems: readonly ModelProblem[] } {
  const problems: Problems = []
  const fields = readFields(value, '', [...MODEL_KEYS, ...MODEL_MAPS], problems)
  for (const key of ['modelId', 'modelIdPath', 'orgId']) {
    if (typeof (fields[key] ?? '') !== 'string') report(problems, key, `must be a string, not ${quote(fields[key])}`)
  }
  readName(fields, '', '', problems)
  const model = {
    attributes: readMap(fields, 'attributes', readDatapoint, problems),
    measurepoints: readMap(fields, 'measurepoints', readDatapoint, problems),
    services: readMap(fields, 'services', readService, problems),
    events: readMap(fields, 'events', readEvent, problems),
  }
  return problems.length === 0 ? { ok: true, model } : { ok: false, problems }
}

/** The services that a device of this model may be told to run; none are known without a model. */
export const serviceIds = (model: Model | null): string[] => (model === null ? [] : [...model.services.keys()])

/**
 * May this value be set on this point? With the point's name, and the value as it goes to the device.
 * Without a model every point exists and takes any JSON but null. Refusals are 99400 and name `measurepointId` or `value`.
 */
export function checkPoint(
  model: Model | null,
  measurepointId: string,
  value: unknown,
): { readonly ok: true; readonly name: StringI18n; readonly value: unknown } | Refusal {
  const misnamed = checkId('measurepointId', measurepointId)
  if (misnamed !== null) return misnamed
  const point = model?.measurepoints.get(measurepointId)
  if (model !== null && point === undefined) {
    const hint = hintAt(measurepointId, model.measurepoints)
    return invalid('measurepointId', `the product's model has no measurepoint ${quote(measurepointId)}; ${hint}`)
  }
  if (point?.writable === false) {
    return invalid('measurepointId', `the product's model has ${quote(measurepointId)} as not writable`)
  }
  if (value === undefined) return invalid('value', 'value is missing')
  if (value === null) return invalid('value', 'must not be null')
  if (point === undefined) return { ok: true, name: nameOf(measurepointId), value }
  const result = checkValue(point.definition, value)
  return result.ok ? { ok: true, name: point.name, value: result.value } : invalid('value', result.problem)
}

/**
 * May this service be invoked with these inputs? With the service's name, and the inputs as they go to the device: defaults filled in for
 * required ones that are missing or null. Inputs that are missing altogether are none. Without a model every service exists and takes any object.
 * Refusals are 99400 and name `serviceId` or `inputData`.
 */
export function checkService(
  model: Model | null,
  serviceId: string,
  inputs: unknown,
): { readonly ok: true; readonly name: StringI18n; readonly inputs: unknown } | Refusal {
  const misnamed = checkId('serviceId', serviceId)
  if (misnamed !== null) return misnamed
  const service = model?.services.get(serviceId)
  if (model !== null && service === undefined) {
    const hint = hintAt(serviceId, model.services)
    return invalid('serviceId', `the product's model has no service ${quote(serviceId)}; ${hint}`)
  }
  const given = inputs ?? {}
  if (!isObject(given)) return invalid('inputData', `must be an object of inputs, got ${quote(given)}`)
  if (service === undefined) return { ok: true, name: nameOf(serviceId), inputs: given }
  const result = checkMembers(service.inputs, given)
  return result.ok ? { ok: true, name: service.name, inputs: result.value } : invalid('inputData', result.problem)
}

/** The known id that is most likely meant, or how many there are. A large model is not searched: whoever sends misspelt ids must not cost more than others. */
export function hintAt(id: string, known: ReadonlyMap<string, unknown>): string {
  const meant = known.size <= HINT_CANDIDATES_MAX ? nearest(id, [...known.keys()]) : null
  return meant === null ? `it has ${known.size === 0 ? 'none' : known.size}` : `did you mean ${quote(meant)}?`
}

function checkId(parameter: string, id: string): Refusal | null {
  if (id === '') return invalid(parameter, `${parameter} is missing`)
  return isKey(id) ? null : invalid(parameter, `must be 1 to 64 letters, digits or _ . -, got ${quote(id)}`)
}

const nameOf = (identifier: string): StringI18n => ({ defaultValue: identifier, i18nValue: {} })

// --- reading ---------------------------------------------------------------------------------------------------

function report(problems: Problems, path: string, message: string): void {
  if (problems.length < MODEL_PROBLEMS_MAX) problems.push({ path, message })
}

/** The fields of a struct, of which none may be unknown. Something else in its place is a problem, and reads as no fields. */
function readFields(value: unknown, path: string, known: readonly string[], problems: Problems): Fields {
  if (!isObject(value)) {
    report(problems, path, `must be an object, not ${quote(value)}`)
    return {}
  }
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) report(problems, pathTo(path, key), `unknown key; known are ${known.join(', ')}`)
  }
  return value
}

type Read<T> = (identifier: string, value: unknown, path: string, problems: Problems) => T

function readMap<T>(model: Fields, of: string, read: Read<T>, problems: Problems): ReadonlyMap<string, T> {
  const things = new Map<string, T>()
  const value = model[of] ?? {}
  if (!isObject(value)) report(problems, of, `must be a map keyed by identifier, not ${quote(value)}`)
  for (const [identifier, thing] of isObject(value) ? Object.entries(value) : []) {
    const path = pathTo(of, identifier)
    if (!isKey(identifier)) report(problems, path, 'an identifier is 1 to 64 letters, digits or _ . -')
    things.set(identifier, read(identifier, thing, path, problems))
  }
  return things
}

/** `inputData`, `outputData`, `items`: an array of datapoints that name themselves. */
function readList(struct: Fields, of: string, path: string, read: Read<Datapoint>, problems: Problems) {
  const members = new Map<string, Datapoint>()
  const value = struct[of] ?? []
  if (!Array.isArray(value)) report(problems, pathTo(path, of), `must be an array, not ${quote(value)}`)
  for (const [index, member] of Array.isArray(value) ? value.entries() : []) {
    const at = pathTo(pathTo(path, of), index)
    const identifier: unknown = isObject(member) ? member.identifier : undefined
    if (typeof identifier !== 'string' || !isKey(identifier)) {
      report(problems, pathTo(at, 'identifier'), `must be 1 to 64 letters, digits or _ . -, not ${quote(identifier)}`)
    } else if (members.has(identifier)) {
      report(problems, pathTo(at, 'identifier'), `${identifier} is given twice`)
    } else {
      members.set(identifier, read(identifier, member, at, problems))
    }
  }
  return members
}

const readService: Read<Service> = (identifier, value, path, problems) => {
  const fields = readFields(value, path, SERVICE_KEYS, problems)
  return {
    identifier,
    name: readName(fields, identifier, path, problems),
    inputs: readList(fields, 'inputData', path, readDatapoint, problems),
    outputs: readList(fields, 'outputData', path, readDatapoint, problems),
  }
}

const readEvent: Read<ModelEvent> = (identifier, value, path, problems) => {
  const fields = readFields(value, path, EVENT_KEYS, problems)
  const name = readName(fields, identifier, path, problems)
  return { identifier, name, outputs: readList(fields, 'outputData', path, readDatapoint, problems) }
}

/** Also checks the identifier that a thing in a map may repeat. */
function readName(fields: Fields, identifier: string, path: string, problems: Problems): StringI18n {
  const own = fields.identifier ?? identifier
  if (own !== identifier) {
    report(problems, pathTo(path, 'identifier'), `must be its key ${quote(identifier)}, not ${quote(own)}`)
  }
  const name = parseStringI18n(fields.name ?? identifier)
  if (name === null) {
    report(problems, pathTo(path, 'name'), 'must be {defaultValue, i18nValue: {locale: text}}, all text')
  }
  return name ?? nameOf(identifier)
}

const readDatapoint: Read<Datapoint> = (identifier, value, path, problems) => {
  const fields = readFields(value, path, DATAPOINT_KEYS, problems)
  const name = readName(fields, identifier, path, problems)
  const isRequired = readFlag(fields, 'isRequired', path, problems)
  const required = isRequired ?? readFlag(fields, 'required', path, problems) ?? false
  const writable = readFlag(fields, 'writable', path, problems) ?? true
  const shape = { identifier, name, required, writable, defaultValue: undefined }
  const { dataType } = fields
  if (!isDataType(dataType)) {
    report(problems, pathTo(path, 'dataType'), `must be one of ${DATA_TYPES.join(', ')}, not ${quote(dataType)}`)
    return { ...shape, definition: plainDefinition('STRING') }
  }
  const before = problems.length
  const given = readDefinitionFields(fields, dataType, path, problems)
  const definition = readDefinition(dataType, given, pathTo(path, 'dataDefinition'), problems)
  const defaultValue = fields.defaultValue ?? given?.defaultValue ?? undefined
  // A definition that is itself a problem would only make one of every default.
  if (defaultValue === undefined || problems.length > before) return { ...shape, definition }
  const result = checkValue(definition, defaultValue)
  if (!result.ok) report(problems, pathTo(path, 'defaultValue'), result.problem)
  return { ...shape, definition, defaultValue: result.ok ? result.value : undefined }
}

function readFlag(fields: Fields, key: string, path: string, problems: Problems): boolean | null {
  const flag = fields[key] ?? null
  if (flag === null || typeof flag === 'boolean') return flag
  report(problems, pathTo(path, key), `must be true or false, not ${quote(flag)}`)
  return null
}

/** `dataDefinition` as an object, with min and max of the datapoint itself (which win); null where the model says nothing. */
function readDefinitionFields(point: Fields, dataType: DataType, path: string, problems: Problems): Fields | null {
  const own = readOwnBounds(point, dataType, path, problems)
  const at = pathTo(path, 'dataDefinition')
  let value: unknown = point.dataDefinition ?? null
  if (typeof value === 'string') {
    const read = readJson(value)
    if (!read.ok) {
      report(problems, at, `is refused as JSON text: ${read.fault}`)
      return null
    }
    value = read.value
  }
  if (value === null) return Object.keys(own).length === 0 ? null : own
  return { ...readFields(value, at, [...DEFINITION_KEYS[dataType], 'defaultValue'], problems), ...own }
}

function readOwnBounds(point: Fields, dataType: DataType, path: string, problems: Problems): Fields {
  const own: Fields = {}
  for (const key of ['min', 'max']) {
    const bound = point[key] ?? null
    if (bound === null) continue
    if (!DEFINITION_KEYS[dataType].includes(key)) report(problems, pathTo(path, key), `is not for ${dataType}`)
    else own[key] = readBound(point, key, path, problems)
  }
  return own
}

function readDefinition(dataType: DataType, given: Fields | null, path: string, problems: Problems): Definition {
  if (given === null) return plainDefinition(dataType)
  switch (dataType) {
    case 'INT':
    case 'FLOAT':
    case 'DOUBLE':
      return { dataType, ...readBounds(given, path, problems) }
    case 'STRING':
      return readString(given, path, problems)
    case 'ENUM':
      return readEnum(given, path, problems)
    case 'ARRAY':
      return readArray(given, path, problems)
    case 'STRUCT':
      if ((given.items ?? null) === null) report(problems, pathTo(path, 'items'), 'is missing')
      return { dataType, items: readList(given, 'items', path, readItem, problems) }
    case 'BOOL':
      if (!isObject(given.boolDesc ?? {})) report(problems, pathTo(path, 'boolDesc'), 'must be an object')
      return { dataType }
    case 'DATE':
    case 'TIMESTAMP':
    case 'FILE':
      return { dataType }
  }
}

/** An item of a struct, which is itself none. Refused before its own items are read, so that nothing here recurses as deep as the input likes. */
const readItem: Read<Datapoint> = (identifier, value, path, problems) => {
  if (!isObject(value) || value.dataType !== 'STRUCT') return readDatapoint(identifier, value, path, problems)
  report(problems, pathTo(path, 'dataType'), 'a STRUCT holds no STRUCT')
  return readDatapoint(identifier, { ...value, dataDefinition: null }, path, problems)
}

function readBounds(given: Fields, path: string, problems: Problems): { min: number | null; max: number | null } {
  const min = readBound(given, 'min', path, problems)
  const max = readBound(given, 'max', path, problems)
  if (min !== null && max !== null && min > max) report(problems, path, `min ${min} is above max ${max}`)
  return { min, max }
}

function readBound(fields: Fields, key: string, path: string, problems: Problems): number | null {
  const bound = fields[key] ?? null
  if (bound === null || (typeof bound === 'number' && Number.isFinite(bound))) return bound
  report(problems, pathTo(path, key), `must be a number, not ${quote(bound)}`)
  return null
}

function readString(given: Fields, path: string, problems: Problems): Definition {
  const maxLength = given.maxLength ?? null
  if (maxLength === null) return plainDefinition('STRING')
  if (typeof maxLength === 'number' && Number.isSafeInteger(maxLength) && maxLength > 0)
    return { dataType: 'STRING', maxLength }
  report(problems, pathTo(path, 'maxLength'), `must be a whole number of characters above 0, not ${quote(maxLength)}`)
  return plainDefinition('STRING')
}

function readEnum(given: Fields, path: string, problems: Problems): Definition {
  const enumType = given.enumType ?? null
  if (enumType !== null && enumType !== 'INT' && enumType !== 'STRING') {
    report(problems, pathTo(path, 'enumType'), `must be INT or STRING, not ${quote(enumType)}`)
    return plainDefinition('ENUM')
  }
  const { enumDesc } = given
  if (!isObject(enumDesc) || Object.keys(enumDesc).length === 0) {
    report(problems, pathTo(path, 'enumDesc'), `must be an object with a key for every value, not ${quote(enumDesc)}`)
    return plainDefinition('ENUM')
  }
  for (const [key, name] of Object.entries(enumDesc)) {
    const at = pathTo(pathTo(path, 'enumDesc'), key)
    const isInt = Number.isSafeInteger(Number(key)) && String(Number(key)) === key
    if (enumType === 'INT' && !isInt) report(problems, at, 'must be a decimal whole number, since enumType is INT')
    if (parseStringI18n(name ?? key) === null) report(problems, at, 'must be {defaultValue, i18nValue}, or a text')
  }
  return { dataType: 'ENUM', enumType, keys: new Set(Object.keys(enumDesc)) }
}

function readArray(given: Fields, path: string, problems: Problems): Definition {
  const itemType = given.itemType ?? null
  if (isDataType(itemType) && ITEM_TYPES.includes(itemType))
    return { dataType: 'ARRAY', item: plainDefinition(itemType) }
  report(problems, pathTo(path, 'itemType'), `must be one of ${ITEM_TYPES.join(', ')}, not ${quote(itemType)}`)
  return plainDefinition('ARRAY')
}
