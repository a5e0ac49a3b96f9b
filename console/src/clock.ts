// Time: the server's, by which commands wait and lapse, whatever this machine's clock says; ticking; and how instants and durations read, in the reader's zone
// or the device's. Not here: where they stand on a page (parts/time.tsx).

import { computed, signal } from '@preact/signals'
import { preferences } from './preferences.ts'
import { isZone } from './wall-time.ts'
import { language, locale } from './words.ts'

/** ms that the server's clock is ahead of this machine's */
const offsetMs = signal(0)
/** ms by which what was heard may differ without meaning anything: it was on its way */
const ON_ITS_WAY_MS = 300

/** The server has said what time it is, in an answer that has just come. */
export function heardAt(serverNow: number): void {
  const offset = serverNow - Date.now()
  if (Math.abs(offset - offsetMs.value) > ON_ITS_WAY_MS) offsetMs.value = offset
}

/** ms since 1970, by the server's clock */
export const serverNow = (): number => Date.now() + offsetMs.value

const TICK_MS = 1_000
const ticked = signal(Date.now())
setInterval(() => {
  ticked.value = Date.now()
}, TICK_MS)

/** The server's time, again each second for whoever reads it while rendering. */
export const now = computed(() => ticked.value + offsetMs.value)

const options = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' } as const
const days = { month: 'short', day: 'numeric' } as const

/** The zone in which a device's times are shown; undefined: the reader's own, also where this browser does not know the device's. */
export const zoneOf = (timezone: string | undefined): string | undefined =>
  preferences.zone.value === 'device' && timezone !== undefined && isZone(timezone) ? timezone : undefined

const formats = new Map<string, Intl.DateTimeFormat>()
function format(more: Intl.DateTimeFormatOptions, timeZone: string | undefined): Intl.DateTimeFormat {
  const key = JSON.stringify([locale.value, more, timeZone])
  const kept = formats.get(key)
  if (kept !== undefined) return kept
  const made = new Intl.DateTimeFormat(locale.value, { ...more, ...(timeZone === undefined ? {} : { timeZone }) })
  formats.set(key, made)
  return made
}

/** `10:41:05`; with the day where it is another than today's, and with the year where that is another. */
export function timeText(at: number, timezone?: string): string {
  const zone = zoneOf(timezone)
  const day = (ms: number) => format({ dateStyle: 'short' }, zone).format(ms)
  if (day(at) === day(now.peek())) return format(options, zone).format(at)
  const year = format({ year: 'numeric' }, zone)
  const isThisYear = year.format(at) === year.format(now.peek())
  return format({ ...options, ...days, ...(isThisYear ? {} : { year: 'numeric' }) }, zone).format(at)
}

/** All of it, with ms and the zone: `2026-11-23 10:41:05.123 GMT+8`. */
export function fullTimeText(at: number, timezone?: string): string {
  const zone = zoneOf(timezone)
  const parts = Object.fromEntries(
    format(
      {
        ...options,
        year: 'numeric',
        month: '2-digit',
        day: '2-digit',
        fractionalSecondDigits: 3,
        timeZoneName: 'short',
      },
      zone,
    )
      .formatToParts(at)
      .map(({ type, value }) => [type, value]),
  )
  const { year, month, day, hour, minute, second, fractionalSecond, timeZoneName } = parts
  return `${year}-${month}-${day} ${hour}:${minute}:${second}.${fractionalSecond} ${timeZoneName}`
}

/** `10:41`, `Nov 22` where the step is a day, for axes. */
export const axisText = (at: number, isDay: boolean): string =>
  format(isDay ? days : { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }, undefined).format(at)

const units = {
  en: { d: ' d', h: ' h', min: ' min', minAnd: ' min', s: ' s', ms: ' ms' },
  // Minutes have a shorter word before seconds.
  zh: { d: ' 天', h: ' 小时', min: ' 分钟', minAnd: ' 分', s: ' 秒', ms: ' 毫秒' },
}
const [SECOND, MINUTE, HOUR, DAY] = [1_000, 60_000, 3_600_000, 86_400_000]

/** The two largest units of it: `1 h 2 min`, `12 s`. Below ten seconds with a digit, below one in ms, where `isFine`. */
export function durationText(ms: number, isFine = false): string {
  const of = units[language.value]
  const size = Math.max(0, ms)
  if (isFine && size < SECOND) return `${Math.round(size)}${of.ms}`
  if (isFine && size < 10 * SECOND) return `${(size / SECOND).toFixed(1)}${of.s}`
  const both = (large: number, unit: string, small: number, rest: string, unitBefore = unit) =>
    small === 0 ? `${large}${unit}` : `${large}${unitBefore} ${small}${rest}`
  if (size < MINUTE) return `${Math.floor(size / SECOND)}${of.s}`
  if (size < HOUR) return both(Math.floor(size / MINUTE), of.min, Math.floor((size % MINUTE) / SECOND), of.s, of.minAnd)
  if (size < DAY) return both(Math.floor(size / HOUR), of.h, Math.floor((size % HOUR) / MINUTE), of.min)
  return both(Math.floor(size / DAY), of.d, Math.floor((size % DAY) / HOUR), of.h)
}
