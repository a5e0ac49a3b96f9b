// Whether what a device reports of itself fits its product's model: a measurepoint, an attribute, an event. A product without a model takes any JSON
// but null under ids that are keys. Not here: when it was so (uplink/time.ts), how much a device may report (the store's bounds), what callers set (model.ts).

import { isKey } from './command.ts'
import { isObject, quote } from './json.ts'
import { REPORTED_MAX_BYTES } from './limits.ts'
import { hintAt, type Model } from './model.ts'
import { checkMembers, checkValue, type Definition } from './value.ts'

/** A value as it is kept, or what is wrong with it, in words that name it: found only when asked for, since to look for what is meant may take ms. */
export type ReportCheck =
  | { readonly ok: true; readonly json: string; readonly quality: number | null }
  | { readonly ok: false; readonly problem: () => string }

const misfit = (problem: () => string): ReportCheck => ({ ok: false, problem })

/**
 * A measurepoint, bare or as `{"value": v, "quality": q}`. What fits the point's type bare is taken so, so that a STRUCT with items of these names is
 * none of the other kind. Without a model it takes both names, and a quality that is one, to be more than an object.
 */
export function checkReportedPoint(model: Model | null, pointId: string, given: unknown): ReportCheck {
  const point = model?.measurepoints.get(pointId)
  const unknown = misnamed('measurepoint', pointId, model?.measurepoints)
  if (unknown !== null) return unknown
  const bare = checkReported(point?.definition, pointId, given)
  if (!isObject(given) || !isQualityForm(given)) return bare
  const quality = qualityOf(given.quality)
  if (point === undefined) {
    if (typeof quality !== 'number') return bare
  } else if (bare.ok) {
    return bare
  }
  if (quality === undefined) return misfit(() => `${pointId}.quality must be an integer, got ${quote(given.quality)}`)
  const inner = checkReported(point?.definition, pointId, given.value)
  return inner.ok ? { ...inner, quality } : inner
}

export function checkReportedAttribute(model: Model | null, attributeId: string, given: unknown): ReportCheck {
  const unknown = misnamed('attribute', attributeId, model?.attributes)
  return unknown ?? checkReported(model?.attributes.get(attributeId)?.definition, attributeId, given)
}

/** The outputs of an event; missing ones are none. */
export function checkReportedEvent(model: Model | null, eventId: string, given: unknown): ReportCheck {
  const unknown = misnamed('event', eventId, model?.events)
  if (unknown !== null) return unknown
  const outputs = given ?? {}
  if (!isObject(outputs)) return misfit(() => `${eventId} must be an object of outputs, got ${quote(given)}`)
  const event = model?.events.get(eventId)
  if (event === undefined) return kept(eventId, outputs)
  const result = checkMembers(event.outputs, outputs)
  return result.ok ? kept(eventId, result.value) : misfit(() => `${eventId}: ${result.problem}`)
}

function misnamed(what: string, id: string, known: ReadonlyMap<string, unknown> | undefined): ReportCheck | null {
  if (!isKey(id)) return misfit(() => `the ${what}'s id must be 1 to 64 letters, digits or _ . -, got ${quote(id)}`)
  if (known === undefined || known.has(id)) return null
  return misfit(() => `the product's model has no ${what} ${quote(id)}; ${hintAt(id, known)}`)
}

function checkReported(definition: Definition | undefined, id: string, given: unknown): ReportCheck {
  if (given === undefined || given === null) return misfit(() => `${id} must not be null`)
  if (definition === undefined) return kept(id, given)
  const result = checkValue(definition, given, id)
  return result.ok ? kept(id, result.value) : misfit(() => result.problem)
}

function kept(id: string, value: unknown): ReportCheck {
  const json = JSON.stringify(value)
  return isWithinBytes(json, REPORTED_MAX_BYTES)
    ? { ok: true, json, quality: null }
    : misfit(() => `${id} has more bytes as JSON than a value may have: ${REPORTED_MAX_BYTES}`)
}

/** In UTF-8. JSON text that was printed has no half of a surrogate pair, so that a unit has two bytes in a pair and three where it stands alone. */
function isWithinBytes(json: string, max: number): boolean {
  if (json.length > max || 3 * json.length <= max) return json.length <= max
  let bytes = 0
  for (let at = 0; at < json.length; at += 1) {
    const unit = json.charCodeAt(at)
    if (unit < 0x80) bytes += 1
    else if (unit < 0x800 || (unit >= 0xd800 && unit < 0xe000)) bytes += 2
    else bytes += 3
  }
  return bytes <= max
}

const isQualityForm = (given: Record<string, unknown>): boolean =>
  Object.hasOwn(given, 'value') && Object.keys(given).every(key => key === 'value' || key === 'quality')

/** Some SDKs send it as text. Null: none is given; undefined: it is no quality. */
function qualityOf(given: unknown): number | null | undefined {
  if (given === undefined || given === null) return null
  const quality = typeof given === 'string' && /^-?\d{1,15}$/.test(given) ? Number(given) : given
  return typeof quality === 'number' && Number.isSafeInteger(quality) ? quality : undefined
}
