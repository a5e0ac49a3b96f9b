// Bodies of the vendor's actions, read by their schemas: fields that nobody knows are tolerated there, what is known must fit. Not here: schemas themselves,
// bodies of our own routes (perform.ts).

import type { Static, TSchema } from 'typebox'
import { invalid, type Refusal } from '../core/errors.ts'
import { isObject, quote } from '../core/json.ts'
import { DEVICE_NAME_MAX_CHARS } from '../core/limits.ts'
import type { StringI18n } from '../core/model.ts'
import { isTimezone } from '../core/time.ts'
import { checker } from './check.ts'

/** No body is an empty one. Refusals are 99400 and name the field. */
export function bodyReader<B extends TSchema>(
  schema: B,
): (body: unknown) => { readonly ok: true; readonly value: Static<B> } | Refusal {
  const faultOf = checker(schema, '', true)
  return body => {
    const given = body ?? {}
    if (!isObject(given)) return invalid('body', `must be a JSON object, got ${quote(given)}`)
    return faultOf(given) ?? { ok: true, value: given as Static<B> }
  }
}

/** Text that every store keeps to the letter. */
export const isWhole = (text: string): boolean => !/[\0\p{Surrogate}]/u.test(text)

/** What is wrong with a name that has the shape of one; null: nothing. */
export function nameFault(field: string, { defaultValue, i18nValue = {} }: Partial<StringI18n>): Refusal | null {
  if (defaultValue === undefined || defaultValue.trim() === '')
    return invalid(`${field}.defaultValue`, 'must not be blank')
  const { length } = JSON.stringify({ defaultValue, i18nValue })
  return length <= DEVICE_NAME_MAX_CHARS
    ? null
    : invalid(field, `has ${length} characters as JSON, at most ${DEVICE_NAME_MAX_CHARS} are taken`)
}

export const nameOf = ({ defaultValue, i18nValue = {} }: Pick<StringI18n, 'defaultValue'> & Partial<StringI18n>) => ({
  defaultValue,
  i18nValue,
})

export const timezoneFault = (field: string, timezone: string): Refusal | null =>
  isTimezone(timezone)
    ? null
    : invalid(field, `must be an offset such as "+08:00" or an IANA name such as Europe/Berlin, got ${quote(timezone)}`)

export const textFault = (field: string, text: string | null | undefined): Refusal | null =>
  text === null || text === undefined || isWhole(text)
    ? null
    : invalid(field, 'has a NUL, or a half of a surrogate pair')

/** Of tags that fit their schema. The vendor's rule for values is kept, since what others cannot hold is of no use. */
export function tagsFault(field: string, tags: Readonly<Record<string, string>>): Refusal | null {
  for (const [key, value] of Object.entries(tags)) {
    if (!isWhole(value)) return invalid(`${field}.${key}`, 'has a NUL, or a half of a surrogate pair')
    if (value !== value.trim()) return invalid(`${field}.${key}`, 'must not begin or end with a blank')
  }
  return null
}

/** The first refusal of several. */
export const firstOf = (...faults: readonly (Refusal | null)[]): Refusal | null =>
  faults.find(fault => fault !== null) ?? null
