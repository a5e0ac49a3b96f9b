// Strict JSON: what JSON.parse takes, less what it would silently change (numbers it rounds, keys it drops). Also how hostile values are quoted
// in messages. Not a validator of shapes: model.ts and the readers of each body do that.

import { isKey } from './command.ts'
import { invalid, type Refusal } from './errors.ts'
import { JSON_MAX_DEPTH, QUOTE_MAX_CHARS, QUOTE_PATH_MAX_CHARS } from './limits.ts'

/** An object as JSON has it: not null, not an array. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Reads JSON from a stranger, in time linear in its length. Refused with 99400, naming `parameter` and the place:
 * - whole numbers written without fraction or exponent beyond ±2^53, and any whole number that JavaScript would print as another
 *   (`9007199254740993e0`); numbers with a fraction are ordinary doubles; `1e400` is too large for one
 * - an object with the same key twice, since readers differ on which one counts, and the key `__proto__`
 * - nesting deeper than JSON_MAX_DEPTH, so that whoever walks the value may recurse
 *
 * @param parameter what the caller calls this text in messages
 */
export function parseJson(text: string, parameter = 'body'): { readonly ok: true; readonly value: unknown } | Refusal {
  const read = readJson(text)
  return read.ok ? read : invalid(parameter, read.fault)
}

/** The same, for who words the refusal: what is wrong with the text, and where. */
export function readJson(
  text: string,
): { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly fault: string } {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error)
    return { ok: false, fault: `is not JSON: ${escapeInvisible(cause).slice(0, QUOTE_PATH_MAX_CHARS)}` }
  }
  const fault = faultOf(text)
  return fault === null ? { ok: true, value } : { ok: false, fault }
}

/** A value as a message may show it: short, on one line, nothing invisible. Objects and arrays are only named. */
export function quote(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value !== 'string') return String(value).slice(0, QUOTE_MAX_CHARS)
  const cut = value.length > QUOTE_MAX_CHARS
  return escapeInvisible(JSON.stringify(cut ? `${value.slice(0, QUOTE_MAX_CHARS)}…` : value))
}

/** The path to a member: `a`, then `a.b`, then `a.b[3]`; keys that are no identifiers are quoted, `a["x y"]`. */
export function pathTo(path: string, key: string | number): string {
  if (typeof key === 'number') return `${path}[${key}]`
  if (!isKey(key)) return `${path}[${quote(key)}]`
  return path === '' ? key : `${path}.${key}`
}

/** Control, format and separator characters, which could forge or hide what a terminal or a log shows, as the escapes that JSON has. */
export const escapeInvisible = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, char =>
    Array.from({ length: char.length }, (_, unit) => `\\u${char.charCodeAt(unit).toString(16).padStart(4, '0')}`).join(
      '',
    ),
  )

/** An array or object that the scan is inside of, and where in it. */
interface Level {
  readonly isArray: boolean
  /** key or index of the member being read */
  at: string | number
  /** in an object: the next string is a key */
  awaitsKey: boolean
  /** the keys so far, from the second on: most objects are small, and a set costs as much as the rest of them */
  keys: Set<string> | null
}

/** What is wrong with this JSON, and where; null if nothing is. The text has already been accepted by JSON.parse, so its grammar is not checked again. */
function faultOf(text: string): string | null {
  const levels: Level[] = []
  let position = 0
  while (position < text.length) {
    const char = text.charAt(position)
    const level = levels.at(-1)
    let end = position + 1
    let fault: string | null = null
    if (char === '"') {
      end = closingQuote(text, position) + 1
      if (level?.awaitsKey) fault = takeKey(level, text.slice(position, end))
    } else if (char === '{' || char === '[') {
      if (levels.length >= JSON_MAX_DEPTH) fault = `is nested deeper than ${JSON_MAX_DEPTH} levels`
      else levels.push({ isArray: char === '[', at: 0, awaitsKey: char === '{', keys: null })
    } else if (char === '}' || char === ']') {
      levels.pop()
    } else if (char === ',' && level !== undefined) {
      if (level.isArray) level.at = Number(level.at) + 1
      level.awaitsKey = !level.isArray
    } else if (char === '-' || (char >= '0' && char <= '9')) {
      while (isOfNumber(text.charCodeAt(end))) end += 1
      fault = numberFault(text.slice(position, end))
    }
    if (fault !== null) return `${placeOf(levels)}${fault}`
    position = end
  }
  return null
}

/** A digit, or one of `.eE+-`; not what is behind the end, which is NaN. */
const isOfNumber = (unit: number): boolean =>
  (unit >= 0x30 && unit <= 0x39) || unit === 0x2e || unit === 0x65 || unit === 0x45 || unit === 0x2b || unit === 0x2d

/**
 * Where the string ends that begins here: at the first quote with an even number of backslashes before it; at the end of the text where there is none.
 * Not a pattern, which would remember a way back for every character.
 */
export function closingQuote(text: string, opening: number): number {
  for (let at = text.indexOf('"', opening + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let first = at
    while (text.charCodeAt(first - 1) === BACKSLASH) first -= 1
    if ((at - first) % 2 === 0) return at
  }
  return text.length
}
const BACKSLASH = 0x5c

function takeKey(level: Level, token: string): string | null {
  const key = token.includes('\\') ? String(JSON.parse(token)) : token.slice(1, -1)
  const before = level.at
  level.at = key
  level.awaitsKey = false
  if (key === '__proto__') return 'is a key that is not allowed'
  // Before its first key an object is at 0, which is no text.
  if (typeof before !== 'string') return null
  level.keys ??= new Set([before])
  if (level.keys.has(key)) return 'is given twice'
  level.keys.add(key)
  return null
}

/** `inputData.list[3] `, the end of it where it is long; empty at the root. */
function placeOf(levels: readonly Level[]): string {
  const path = levels.reduce((path, level) => pathTo(path, level.at), '')
  const shown = path.length > QUOTE_PATH_MAX_CHARS ? `…${path.slice(-QUOTE_PATH_MAX_CHARS)}` : path
  return shown === '' ? '' : `${shown} `
}

function numberFault(literal: string): string | null {
  if (literal.length <= 15 && !/[eE]/.test(literal)) return null
  const isPlain = !/[.eE]/.test(literal)
  const value = Number(literal)
  const shown = literal.length > QUOTE_MAX_CHARS ? `${literal.slice(0, QUOTE_MAX_CHARS)}…` : literal
  if (!Number.isFinite(value)) return `is too large for a number: ${shown}`
  // A fraction is an ordinary double: near what was written, which is all that a fraction can ask for. (A whole number never becomes one.)
  if (!Number.isInteger(value) || value === 0) return null
  const written = decimal(literal)
  if (written.exponent < 0) return null
  const kept = decimal(String(value))
  const isKept = written.digits === kept.digits && written.exponent === kept.exponent
  if (isKept && !(isPlain && Math.abs(value) > 2 ** 53)) return null
  return `is a whole number that would be rounded: ${shown}; whole numbers are exact up to 9007199254740992 (2^53)`
}

/** digits x 10^exponent, the digits without zeros at either end: one form for each value. The sign is left out. */
function decimal(literal: string): { readonly digits: string; readonly exponent: number } {
  const [mantissa = '', power = '0'] = (literal.startsWith('-') ? literal.slice(1) : literal).split(/[eE]/)
  const [whole = '', fraction = ''] = mantissa.split('.')
  const digits = whole + fraction
  let start = 0
  while (digits.charAt(start) === '0') start += 1
  let end = digits.length
  while (end > start && digits.charAt(end - 1) === '0') end -= 1
  return { digits: digits.slice(start, end), exponent: Number(power) - fraction.length + (digits.length - end) }
}

/** Whether the platform can read it at all, however strictly {@link parseJson} then judges it. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
