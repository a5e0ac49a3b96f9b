// Local time: between an instant (epoch ms, UTC) and what a clock on the wall of a timezone shows. Not a clock: nothing here asks what time it is.
// A timezone is a fixed offset, `+08:00`, or an IANA name such as `Europe/Berlin`. The calendar is the Gregorian one throughout.

import { assert } from './errors.ts'
import { TIMEZONES_CACHED_MAX } from './limits.ts'

/** What a wall clock shows. It names a second, or none (skipped by daylight saving), or two (repeated). */
export interface LocalTime {
  readonly year: number
  readonly month: number
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
}

/** A fixed offset in ms, or a formatter of a zone whose offset changes. */
type Zone = number | Intl.DateTimeFormat

const MINUTE_MS = 60_000
const DAY_S = 86_400
const DAY_MS = 86_400_000
const OFFSET_MAX_MS = 14 * 60 * MINUTE_MS
/** 0100-01-01 UTC. Zones have one constant offset that far back, and Intl would print the years before 1 with an era. */
const EARLIEST_MS = -59_011_459_200_000

const zones = new Map<string, Zone>()

/** True for `±HH:mm` up to 14 hours, which is as far as any place on Earth is from UTC, and for every IANA name that this runtime knows. */
export const isTimezone = (text: string): boolean => zoneOf(text) !== null

/**
 * `YYYY-MM-DD HH:mm:ss` as the timezone's clock shows it at the instant; fractions of a second are dropped.
 * For years 0 to 9999. The timezone must be one (see {@link isTimezone}).
 */
export function toLocal(ms: number, timezone: string): string {
  const wallS = Math.floor((ms + offsetAt(knownZone(timezone), ms)) / 1000)
  const { year, month, day } = dateOf(Math.floor(wallS / DAY_S))
  const second = wallS - Math.floor(wallS / DAY_S) * DAY_S
  const time = `${two(Math.floor(second / 3600))}:${two(Math.floor(second / 60) % 60)}:${two(second % 60)}`
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)} ${time}`
}

/**
 * The instant in ms at which the timezone's clock shows this time. A time that daylight saving repeats is the earlier of the two;
 * one that it skips is moved forward by as much as was skipped (02:30 in a gap from 02:00 to 03:00 is 03:30).
 */
export function fromLocal(local: LocalTime, timezone: string): number {
  const zone = knownZone(timezone)
  const wallMs = wallMsOf(local)
  if (typeof zone === 'number') return wallMs - zone
  // No offset reaches a day, so these two lie on either side of the wanted instant and of the change that may be near it.
  const before = offsetAt(zone, wallMs - DAY_MS)
  const after = offsetAt(zone, wallMs + DAY_MS)
  const candidates = before >= after ? [wallMs - before, wallMs - after] : [wallMs - after, wallMs - before]
  const shown = candidates.find(ms => ms + offsetAt(zone, ms) === wallMs)
  return shown ?? wallMs - before
}

/** Reads `YYYY-MM-DD HH:mm:ss`; null unless it is exactly that and the date exists. */
export function readLocal(text: string): LocalTime | null {
  const match = /^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)$/.exec(text)
  if (match === null) return null
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number)
  const isDate = month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month)
  return isDate && hour < 24 && minute < 60 && second < 60 ? { year, month, day, hour, minute, second } : null
}

/** The instant in ms that a caller's literal names: `YYYY-MM-DD HH:mm:ss` in the timezone, `YYYY-MM-DDTHH:mm:ssZ` in UTC. Null: neither. */
export function readInstant(text: string, timezone: string): number | null {
  const isUtc = text.charAt(10) === 'T' && text.charAt(19) === 'Z' && text.length === 20
  const local = readLocal(isUtc ? `${text.slice(0, 10)} ${text.slice(11, 19)}` : text)
  if (local === null) return null
  return isUtc ? wallMsOf(local) : fromLocal(local, timezone)
}

const two = (n: number): string => (n < 10 ? `0${n}` : String(n))

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)

function daysIn(year: number, month: number): number {
  if (month === 2) return isLeap(year) ? 29 : 28
  return [4, 6, 9, 11].includes(month) ? 30 : 31
}

/** A 400-year cycle of the Gregorian calendar, and the days from 0000-03-01 to 1970-01-01. Years here begin in March, so that a leap day comes last. */
const CYCLE_DAYS = 146_097
const MARCH_0000_TO_EPOCH_DAYS = 719_468

function daysOf({ year, month, day }: Pick<LocalTime, 'year' | 'month' | 'day'>): number {
  const marchYear = month > 2 ? year : year - 1
  const cycle = Math.floor(marchYear / 400)
  const yearOfCycle = marchYear - cycle * 400
  const dayOfYear = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1
  const dayOfCycle = yearOfCycle * 365 + Math.floor(yearOfCycle / 4) - Math.floor(yearOfCycle / 100) + dayOfYear
  return cycle * CYCLE_DAYS + dayOfCycle - MARCH_0000_TO_EPOCH_DAYS
}

function dateOf(daysSinceEpoch: number): Pick<LocalTime, 'year' | 'month' | 'day'> {
  const days = daysSinceEpoch + MARCH_0000_TO_EPOCH_DAYS
  const cycle = Math.floor(days / CYCLE_DAYS)
  const dayOfCycle = days - cycle * CYCLE_DAYS
  // Take out the leap days before this one (every 1460 days, but not every 36524, but every 146096), then a year has 365.
  const leapDays = Math.floor(dayOfCycle / 1_460) - Math.floor(dayOfCycle / 36_524) + Math.floor(dayOfCycle / 146_096)
  const yearOfCycle = Math.floor((dayOfCycle - leapDays) / 365)
  const dayOfYear = dayOfCycle - (yearOfCycle * 365 + Math.floor(yearOfCycle / 4) - Math.floor(yearOfCycle / 100))
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
  return { year: cycle * 400 + yearOfCycle + (month <= 2 ? 1 : 0), month, day }
}

/** The wall clock's reading as if it were UTC. */
const wallMsOf = (local: LocalTime): number =>
  (daysOf(local) * DAY_S + local.hour * 3600 + local.minute * 60 + local.second) * 1000

/** How far a zone's wall clock is ahead of UTC at the instant, in ms. */
function offsetAt(zone: Zone, ms: number): number {
  if (typeof zone === 'number') return zone
  const at = Math.max(ms, EARLIEST_MS)
  const shown = zone.format(at)
  const match = /^(\d+)\/(\d+)\/(\d+), (\d+):(\d+):(\d+)$/.exec(shown)
  assert(match, `Intl prints month/day/year, hour:minute:second, not ${shown}`)
  const [month = 0, day = 0, year = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map(Number)
  return wallMsOf({ year, month, day, hour, minute, second }) - Math.floor(at / 1000) * 1000
}

function knownZone(timezone: string): Zone {
  const zone = zoneOf(timezone)
  assert(zone !== null, `${timezone} was checked to be a timezone`)
  return zone
}

function zoneOf(timezone: string): Zone | null {
  const known = zones.get(timezone)
  if (known !== undefined) return known
  const zone = resolveZone(timezone)
  if (zone === null) return null
  const [oldest] = zones.keys()
  if (oldest !== undefined && zones.size >= TIMEZONES_CACHED_MAX) zones.delete(oldest)
  zones.set(timezone, zone)
  return zone
}

function resolveZone(timezone: string): Zone | null {
  if (timezone === 'UTC') return 0
  const offset = /^([+-])(\d\d):([0-5]\d)$/.exec(timezone)
  if (offset !== null) {
    const ms = (Number(offset[2]) * 60 + Number(offset[3])) * MINUTE_MS
    if (ms > OFFSET_MAX_MS) return null
    return offset[1] === '-' ? 0 - ms : ms
  }
  // Newer runtimes take offsets in more spellings than one; here a name begins with a letter.
  return /^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(timezone) ? namedZone(timezone) : null
}

function namedZone(timeZone: string): Intl.DateTimeFormat | null {
  const two = '2-digit'
  const shape = { year: 'numeric', month: two, day: two, hour: two, minute: two, second: two } as const
  try {
    return new Intl.DateTimeFormat('en-US', { ...shape, timeZone, hourCycle: 'h23', calendar: 'gregory' })
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return null
  }
}
