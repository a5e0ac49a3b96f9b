// Attributes and tags of a device: asked for, set and deleted by the device itself. Attributes are in its model and have its types; tags are texts under
// names that the device chooses. Not here: whether an attribute fits (core/report.ts).

import { isKey } from '../core/command.ts'
import { isObject, quote } from '../core/json.ts'
import {
  ATTRIBUTES_MAX_PER_DEVICE,
  ATTRIBUTES_MAX_PER_REQUEST,
  REQUEST_ANSWER_MAX_BYTES,
  TAG_MAX_CHARS,
} from '../core/limits.ts'
import type { Model } from '../core/model.ts'
import { checkReportedAttribute } from '../core/report.ts'
import type { Device } from '../store/store.ts'
import { type Call, type DeviceCall, done, isOutcome, type Outcome, refused, type Saving, save } from './call.ts'
import { type CodeEntry, codes } from './codes.ts'
import { channelDevices, readItems } from './items.ts'

// --- attributes --------------------------------------------------------------------------------------------------

/** `thing/attribute/query`: `{"attributes": ["<id>"]}`; an empty list, or none, asks for all that have a value. Those without one are absent. */
export async function queryAttributes(call: DeviceCall): Promise<Outcome> {
  const names = readNames(call.params, 'attributes', codes.queryFormat)
  if (isOutcome(names)) return names
  const wanted = namesOrAll(names)
  if (await isTooMuch(call, 'attributes', wanted)) return tooMuch
  return done(jsonOf(await call.store.attributes(call.device.id, wanted)))
}

/** `thing/attribute/update`: `{"attributes": {"<id>": <value>}}`, all of them or none. */
export async function updateAttributes(call: DeviceCall): Promise<Outcome> {
  const { device, params } = call
  if (!isObject(params)) return refused(codes.attributesFormat, `params must be an object, got ${quote(params)}`)
  const saving = readAttributes(params.attributes, device, await call.fleet.model(device), codes.attributesFormat)
  return isOutcome(saving) ? saving : save(call, [saving])
}

/** `attribute/post` of a channel: a list of `{"deviceKey", "attributes": {"<id>": <value>}}`. */
export async function updateAttributesByChannel(call: Call): Promise<Outcome> {
  const savings = await readItems(call, channelDevices(call), codes.badFormat, (item, device, model) =>
    readAttributes(item.attributes, device, model, codes.badFormat),
  )
  return isOutcome(savings) ? savings : save(call, savings)
}

/** `thing/attribute/delete`: `{"attributes": ["<id>"]}`; an empty list deletes none. What has no value stays without one. */
export async function deleteAttributes(call: DeviceCall): Promise<Outcome> {
  const remove = readNames(call.params, 'attributes', codes.deleteFormat)
  return isOutcome(remove) ? remove : save(call, [savingOf('attributes', call.device, [], remove)])
}

function readAttributes(given: unknown, device: Device, model: Model | null, format: CodeEntry): Saving | Outcome {
  const set = checkAttributes(given, model, format)
  return isOutcome(set) ? set : savingOf('attributes', device, set, [])
}

/** Attributes as id and JSON text, also of a device that is yet to be, or what is wrong where they are not all in its model and of their types. */
export function checkAttributes(
  given: unknown,
  model: Model | null,
  format: CodeEntry,
): readonly (readonly [id: string, json: string])[] | Outcome {
  if (!isObject(given)) return refused(format, 'attributes must be an object of values by their ids')
  const entries = Object.entries(given)
  if (entries.length > ATTRIBUTES_MAX_PER_REQUEST)
    return refused(format, `a request may have ${ATTRIBUTES_MAX_PER_REQUEST} attributes, got ${entries.length}`)
  const set: [string, string][] = []
  for (const [id, value] of entries) {
    const check = checkReportedAttribute(model, id, value)
    if (!check.ok) return refused(codes.misfit, check.problem())
    set.push([id, check.json])
  }
  return set
}

// --- tags --------------------------------------------------------------------------------------------------------

/** `thing/tag/query`: `{"tags": ["<key>"]}`; an empty list, or none, asks for all, in the order in which they were first set. */
export async function queryTags(call: DeviceCall): Promise<Outcome> {
  const names = readNames(call.params, 'tags', codes.badFormat)
  if (isOutcome(names)) return names
  const wanted = namesOrAll(names)
  if (await isTooMuch(call, 'tags', wanted)) return tooMuch
  const tags = await call.store.tags(call.device.id, wanted)
  return done(jsonOf(new Map([...tags].map(([key, text]) => [key, JSON.stringify(text)]))))
}

/** `thing/tag/update`: `[{"tagKey", "tagValue"}]`, both texts. */
export async function updateTags(call: DeviceCall): Promise<Outcome> {
  const { params } = call
  if (!Array.isArray(params) || params.length > ATTRIBUTES_MAX_PER_REQUEST)
    return refused(
      codes.badFormat,
      `params must be a list of at most ${ATTRIBUTES_MAX_PER_REQUEST}, got ${quote(params)}`,
    )
  const set = new Map<string, string>()
  for (const [index, item] of params.entries()) {
    const { tagKey, tagValue }: Record<string, unknown> = isObject(item) ? item : {}
    const at = `params[${index}]`
    if (typeof tagKey !== 'string' || !isKey(tagKey))
      return refused(codes.badFormat, `${at}.tagKey must be 1 to 64 letters, digits or _ . -, got ${quote(tagKey)}`)
    if (typeof tagValue !== 'string' || tagValue.length > TAG_MAX_CHARS)
      return refused(codes.badFormat, `${at}.tagValue must be a text of at most ${TAG_MAX_CHARS} characters`)
    // Half of a surrogate pair, alone, is no text, and stores would each make something else of it.
    set.set(tagKey, tagValue.replace(/\p{Surrogate}/gu, '\ufffd'))
  }
  return save(call, [savingOf('tags', call.device, [...set], [])])
}

/** `thing/tag/delete`: `{"tags": ["<key>"]}`; an empty list deletes none. */
export async function deleteTags(call: DeviceCall): Promise<Outcome> {
  const remove = readNames(call.params, 'tags', codes.badFormat)
  return isOutcome(remove) ? remove : save(call, [savingOf('tags', call.device, [], remove)])
}

// --- both --------------------------------------------------------------------------------------------------------

/** A list of names: none where there is no list. A name that cannot be one names nothing, but is most likely a mistake. */
function readNames(params: unknown, field: 'attributes' | 'tags', format: CodeEntry): readonly string[] | Outcome {
  if (!isObject(params)) return refused(format, `params must be an object, got ${quote(params)}`)
  const names = params[field] ?? []
  if (!Array.isArray(names) || names.length > ATTRIBUTES_MAX_PER_REQUEST)
    return refused(format, `${field} must be a list of at most ${ATTRIBUTES_MAX_PER_REQUEST}, got ${quote(names)}`)
  const odd = names.find(name => typeof name !== 'string' || !isKey(name))
  return odd === undefined ? names : refused(format, `${field} must be a list of ids, got ${quote(odd)}`)
}

/** A query that names none asks for all. */
const namesOrAll = (names: readonly string[]): readonly string[] | null => (names.length === 0 ? null : names)

/** All that a device may have is many times what an answer may hold, and would be read for nothing. */
const isTooMuch = async (
  { store, device }: DeviceCall,
  type: 'attributes' | 'tags',
  names: readonly string[] | null,
): Promise<boolean> => (await store.reportedBytes(type, device.id, names)) > REQUEST_ANSWER_MAX_BYTES
const tooMuch = refused(codes.tooLarge, 'ask for less')

/** As a JSON object. Written by hand, for an object would put names that are numbers first. */
const jsonOf = (values: ReadonlyMap<string, string>): string =>
  `{${[...values].map(([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`

const savingOf = (
  type: 'attributes' | 'tags',
  { id, deviceKey }: Device,
  set: readonly (readonly [string, string])[],
  remove: readonly string[],
): Saving => ({
  change: { type, deviceId: id, set, remove },
  tooMany: `${deviceKey} would have more than ${ATTRIBUTES_MAX_PER_DEVICE} ${type}`,
})
