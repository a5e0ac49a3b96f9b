// Between an instant and what a clock on a wall shows, in a timezone (an IANA name or an offset; undefined: the reader's own). What daylight saving skips or
// repeats is told, not guessed. Nothing else reads or writes wall times for fields. Pure but for the browser's knowledge of zones. Not here: how times are shown
// to be read (clock.ts).

const DAY_MS = 86_400_000
/** ms since 1970 until which a wall time is written with four digits of a year, wherever the wall is; later ones are told as figures. */
export const LATEST = Date.UTC(9999, 11, 31)

/** `2026-01-31`, with a time or without, with seconds and ms or without, with an offset or without */
const TEXT = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?)?\s?(Z|[+-]\d\d:\d\d)?$/

export type Instant =
  | { readonly at: number; readonly isRepeated: boolean }
  /** `form`: it is no time; `missing`: there is no such day or hour; `skipped`: clocks there never show it */
  | { readonly fault: 'form' | 'missing' | 'skipped' }

/** The instant that somebody means: by a wall clock in the zone, with an offset of its own, or in ms since 1970. One that is repeated is the earlier one. */
export function readInstant(text: string, zone: string | undefined): Instant {
  if (/^\d{1,16}$/.test(text)) return { at: Number(text), isRepeated: false }
  const [, day, time = '00:00', second = '00', fraction = '', offset] = TEXT.exec(text) ?? []
  if (day === undefined) return { fault: 'form' }
  const written = `${day}T${time}:${second}.${fraction.padEnd(3, '0')}Z`
  const wallMs = Date.parse(written)
  // A day such as February 30 is either no date at all or another one.
  if (Number.isNaN(wallMs) || new Date(wallMs).toISOString() !== written) return { fault: 'missing' }
  if (offset === undefined) return inZone(wallMs, zone)
  const at = Date.parse(written.replace('Z', offset))
  return Number.isNaN(at) ? { fault: 'missing' } : { at, isRepeated: false }
}

/** No offset reaches a day, so these two lie on either side of a change of clocks that may be near. */
function inZone(wallMs: number, zone: string | undefined): Instant {
  const offsets = [offsetAt(wallMs - DAY_MS, zone), offsetAt(wallMs + DAY_MS, zone)]
  const shown = offsets.map(offset => wallMs - offset).filter(at => at + offsetAt(at, zone) === wallMs)
  if (shown.length === 0) return { fault: 'skipped' }
  return { at: Math.min(...shown), isRepeated: new Set(shown).size > 1 }
}

/** `2026-01-31 08:00:00`, with ms where there are any. */
export function wallText(at: number, zone: string | undefined): string {
  const text = new Date(at + offsetAt(at, zone)).toISOString().slice(0, 23).replace('T', ' ')
  return text.replace(/\.000$/, '')
}

const formats = new Map<string | undefined, Intl.DateTimeFormat>()

/** ms that the zone's clock is ahead of UTC at an instant. */
export function offsetAt(at: number, timeZone: string | undefined): number {
  let format = formats.get(timeZone)
  if (format === undefined) {
    const two = '2-digit'
    const shape = { year: 'numeric', month: two, day: two, hour: two, minute: two, second: two } as const
    const more = { hourCycle: 'h23', calendar: 'gregory', era: 'short' } as const
    format = new Intl.DateTimeFormat('en-US', { ...shape, ...more, ...(timeZone === undefined ? {} : { timeZone }) })
    formats.set(timeZone, format)
  }
  const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]))
  const { year = '', month, day, hour, minute, second } = parts
  const shown = Date.parse(`${year.padStart(4, '0')}-${month}-${day}T${hour}:${minute}:${second}Z`)
  // Zones of a time before clocks were set by law have offsets that are no whole minutes; before the year 1, nothing is asked of them.
  return Number.isNaN(shown) || parts.era !== 'AD' ? 0 : shown - Math.floor(at / 1_000) * 1_000
}

/** `2026-01-31` or `2026-01-31 08:00:00`, and a day and time that there is. */
export const isDate = (text: string): boolean => {
  const [, day, time = '00:00:00'] = /^(\d{4}-\d\d-\d\d)(?: (\d\d:\d\d:\d\d))?$/.exec(text) ?? []
  if (day === undefined) return false
  const written = `${day}T${time}.000Z`
  const at = Date.parse(written)
  return !Number.isNaN(at) && new Date(at).toISOString() === written
}

const zones = new Map<string, boolean>()

/** Whether this browser knows the zone: an IANA name or an offset such as `+08:00`. */
export function isZone(timeZone: string): boolean {
  let known = zones.get(timeZone)
  if (known === undefined) {
    known = true
    try {
      new Intl.DateTimeFormat('en', { timeZone })
    } catch {
      known = false
    }
    zones.set(timeZone, known)
  }
  return known
}
