// Local times and timezones, daylight saving included.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Bug } from '../src/core/errors.ts'
import { fromLocal, isTimezone, type LocalTime, readInstant, readLocal, toLocal } from '../src/core/time.ts'

const local = (text: string): LocalTime => {
  const read = readLocal(text)
  if (read === null) throw new Error(`not a local time: ${text}`)
  return read
}
const from = (text: string, timezone: string) => new Date(fromLocal(local(text), timezone)).toISOString()

const named = [
  'Europe/Berlin',
  'America/New_York',
  'America/St_Johns',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'Asia/Kathmandu',
  'Africa/Casablanca',
  'Antarctica/Troll',
  'America/Sao_Paulo',
]
const offset = fc
  .tuple(fc.constantFrom('+', '-'), fc.integer({ min: 0, max: 13 }), fc.integer({ min: 0, max: 59 }))
  .map(([sign, h, m]) => `${sign}${String(h).padStart(2, '0')}:${String(m).padStart(2, '0')}`)
/** 1900 to 2100: where zones change their offsets */
const instant = fc.integer({ min: -2_208_988_800_000, max: 4_102_444_800_000 })
/** 0001 to 9998 */
const anyInstant = fc.integer({ min: -62_135_500_000_000, max: 253_370_000_000_000 })

describe('toLocal', () => {
  test.each([
    [1560505243577, '+08:00', '2019-06-14 17:40:43'],
    [1565688731159, 'UTC', '2019-08-13 09:32:11'],
    [1557113821000, 'Asia/Shanghai', '2019-05-06 11:37:01'],
    [1560505243577, '-03:30', '2019-06-14 06:10:43'],
    [1560505243577, 'Asia/Kathmandu', '2019-06-14 15:25:43'],
    [0, '-00:01', '1969-12-31 23:59:00'],
    [951782400000, '+00:00', '2000-02-29 00:00:00'],
    [1572137999000, 'Europe/Berlin', '2019-10-27 02:59:59'],
    [1572138000000, 'Europe/Berlin', '2019-10-27 02:00:00'],
    [-1, 'UTC', '1969-12-31 23:59:59'],
  ])('%d in %s is %s', (ms, timezone, text) => expect(toLocal(ms, timezone)).toBe(text))

  test('agrees with the calendar of the platform for every fixed offset', () => {
    fc.assert(
      fc.property(anyInstant, offset, (ms, timezone) => {
        const [hours = 0, minutes = 0] = timezone.slice(1).split(':').map(Number)
        const shift = (timezone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000
        expect(toLocal(ms, timezone)).toBe(new Date(ms + shift).toISOString().slice(0, 19).replace('T', ' '))
      }),
    )
  })

  test('knows every day of the 400 years after which the calendar repeats', () => {
    const first = Date.parse('1900-01-01T00:00:00Z')
    for (let day = 0; day < 146_097; day++) {
      const noon = first + (day * 24 + 12) * 3_600_000
      const text = toLocal(noon, 'UTC')
      const expected = `${new Date(noon).toISOString().slice(0, 10)} 12:00:00`
      if (text !== expected || fromLocal(local(text), 'UTC') !== noon) expect.fail(`${expected} was ${text}`)
    }
  })

  test('a timezone that is none is a bug', () => {
    expect(() => toLocal(0, 'Mars/Olympus')).toThrow(Bug)
    expect(() => fromLocal(local('2020-01-01 00:00:00'), '')).toThrow(Bug)
  })
})

describe('fromLocal', () => {
  test.each([
    ['2019-06-14 17:40:43', '+08:00', '2019-06-14T09:40:43.000Z'],
    ['2019-07-01 12:00:00', 'Europe/Berlin', '2019-07-01T10:00:00.000Z'],
    // repeated: the earlier one
    ['2019-10-27 02:30:00', 'Europe/Berlin', '2019-10-27T00:30:00.000Z'],
    ['2019-11-03 01:00:00', 'America/New_York', '2019-11-03T05:00:00.000Z'],
    ['2019-04-07 01:45:00', 'Australia/Lord_Howe', '2019-04-06T14:45:00.000Z'],
    // skipped: moved forward
    ['2019-03-31 02:30:00', 'Europe/Berlin', '2019-03-31T01:30:00.000Z'],
    ['2019-03-10 02:00:00', 'America/New_York', '2019-03-10T07:00:00.000Z'],
    ['2018-11-04 00:15:00', 'America/Sao_Paulo', '2018-11-04T03:15:00.000Z'],
    // a whole day that Samoa skipped
    ['2011-12-30 12:00:00', 'Pacific/Apia', '2011-12-30T22:00:00.000Z'],
    ['2011-12-31 00:00:00', 'Pacific/Apia', '2011-12-30T10:00:00.000Z'],
    // the first and last years that can be written
    ['0000-01-01 00:00:00', '+00:00', '0000-01-01T00:00:00.000Z'],
    ['9999-12-31 23:59:59', 'Asia/Shanghai', '9999-12-31T15:59:59.000Z'],
  ])('%s in %s is %s', (text, timezone, iso) => expect(from(text, timezone)).toBe(iso))

  test('the years before Intl can be asked have the oldest offset of the zone', () => {
    const day = 86_400_000
    const utc = Date.parse('0000-01-01T00:00:00Z')
    for (const zone of named) expect(Math.abs(fromLocal(local('0000-01-01 00:00:00'), zone) - utc)).toBeLessThan(day)
  })

  test('undoes toLocal, to the second, at every fixed offset', () => {
    fc.assert(
      fc.property(anyInstant, offset, (ms, timezone) => {
        expect(fromLocal(local(toLocal(ms, timezone)), timezone)).toBe(Math.floor(ms / 1000) * 1000)
      }),
    )
  })

  test('gives the earliest instant at which the zone shows that time', () => {
    fc.assert(
      fc.property(instant, fc.constantFrom(...named), (ms, timezone) => {
        const text = toLocal(ms, timezone)
        const back = fromLocal(local(text), timezone)
        expect(toLocal(back, timezone)).toBe(text)
        expect(back).toBeLessThanOrEqual(ms)
      }),
    )
  })

  test('a skipped time is as far past the change as it was past the gap', () => {
    for (let minute = 0; minute < 60; minute++) {
      const text = `2019-03-31 02:${String(minute).padStart(2, '0')}:07`
      expect(toLocal(fromLocal(local(text), 'Europe/Berlin'), 'Europe/Berlin')).toBe(text.replace(' 02', ' 03'))
    }
  })
})

describe('isTimezone', () => {
  test.each(['+08:00', '-12:00', '+14:00', '-14:00', '+05:45', '-00:00', 'UTC', 'Europe/Berlin', 'Etc/GMT+8'])(
    '%s is one',
    text => expect(isTimezone(text)).toBe(true),
  )
  test.each([
    '',
    '+8:00',
    '+0800',
    '+08',
    '08:00',
    '+14:01',
    '+15:00',
    '+08:60',
    '+08:00 ',
    '\u221208:00',
    'Z',
    'Mars/Olympus',
    'Europe/Berlin\n',
    'Europe/../Berlin',
    '__proto__',
    'constructor',
    `A${'a'.repeat(100_000)}`,
  ])('%j is none', text => expect(isTimezone(text)).toBe(false))

  test('more timezones than are kept do not break those that were', () => {
    const many = Array.from(
      { length: 840 },
      (_, i) => `+${String(Math.floor(i / 60)).padStart(2, '0')}:${String(i % 60).padStart(2, '0')}`,
    )
    for (const timezone of ['Europe/Berlin', ...many, 'Europe/Berlin']) expect(isTimezone(timezone)).toBe(true)
    expect(toLocal(1572137999000, 'Europe/Berlin')).toBe('2019-10-27 02:59:59')
  })
})

describe('literals', () => {
  test.each([
    ['2019-08-13 09:00:00', '+08:00', '2019-08-13T01:00:00.000Z'],
    ['2019-08-13T09:00:00Z', '+08:00', '2019-08-13T09:00:00.000Z'],
    ['2020-02-29 00:00:00', 'UTC', '2020-02-29T00:00:00.000Z'],
    ['2000-02-29 23:59:59', 'UTC', '2000-02-29T23:59:59.000Z'],
  ])('%s in %s names %s', (text, timezone, iso) =>
    expect(new Date(readInstant(text, timezone) ?? Number.NaN).toISOString()).toBe(iso),
  )
  test.each([
    '',
    '2019-08-13',
    '2019-08-13 09:00',
    '2019-08-13T09:00:00',
    '2019-08-13 09:00:00Z',
    '2019-08-13T09:00:00+08:00',
    '2019-08-13T09:00:00.000Z',
    ' 2019-08-13 09:00:00',
    '2019-08-13 09:00:00\n',
    '2019-02-29 00:00:00',
    '1900-02-29 00:00:00',
    '2019-04-31 00:00:00',
    '2019-00-10 00:00:00',
    '2019-13-10 00:00:00',
    '2019-01-00 00:00:00',
    '2019-01-01 24:00:00',
    '2019-01-01 00:60:00',
    '2016-12-31 23:59:60',
    '2019-1-1 0:0:0',
    '٢٠١٩-01-01 00:00:00',
  ])('%j names nothing', text => expect(readInstant(text, 'UTC')).toBeNull())
})
