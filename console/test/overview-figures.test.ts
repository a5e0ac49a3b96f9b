// What the charts of the overview are made of: since when, at which rate, and the columns that are drawn. Not here: the page itself (overview.test.ts).

import { describe, expect, it } from 'vitest'
import { beginOf, rangeNames, rangeOf, ranges, ratesOf } from '../src/overview/ranges.ts'
import { dataOf } from '../src/parts/plotted.ts'

const HOUR_MS = 3_600_000
const at = (text: string) => Date.parse(text)

describe('ranges', () => {
  it('takes one that there is, and else the first', () => {
    expect(rangeNames.map(rangeOf)).toEqual(rangeNames)
    expect([null, '', '2h', 'constructor'].map(rangeOf)).toEqual(['1h', '1h', '1h', '1h'])
  })

  it.each(rangeNames)('of %s are as long as they say, and the server gives as many steps', range => {
    const { stepS, steps } = ranges[range]
    const [, n = '', unit = ''] = /^(\d+)([hd])$/.exec(range) ?? []
    expect(stepS * steps * 1_000).toBe(Number(n) * HOUR_MS * (unit === 'd' ? 24 : 1))
    expect(stepS % 60).toBe(0)
    expect(steps).toBeLessThanOrEqual(1_500)
  })

  it('begin at a whole step of the clock on the wall, and end with the one that is under way', () => {
    const now = at('2026-11-23T10:41:05.123Z')
    expect(beginOf('1h', now, 0)).toBe(at('2026-11-23T09:42:00Z'))
    expect(beginOf('24h', now, 0)).toBe(at('2026-11-22T10:45:00Z'))
    // 16:26:05 in Kathmandu, 5 h 45 min ahead: steps of two hours begin at even hours there.
    expect(beginOf('7d', now, 5.75 * HOUR_MS)).toBe(at('2026-11-16T18:00:00+05:45'))
    // 07:11:05 in St. John's, 3 h 30 min behind.
    expect(beginOf('7d', now, -3.5 * HOUR_MS)).toBe(at('2026-11-16T08:00:00-03:30'))
    expect(beginOf('1h', at('2026-11-23T10:41:00Z'), 0)).toBe(at('2026-11-23T09:42:00Z'))
  })
})

const nothing = { accepted: 0, sent: 0, succeeded: 0, failed: 0, timedOut: 0, cancelled: 0, expired: 0 }

describe('rates', () => {
  const series = (...accepted: number[]) => accepted.map((n, step) => ({ ...nothing, at: step * 60_000, accepted: n }))

  it('are per unit in which the highest is at least one', () => {
    expect(ratesOf({ series: series(60, 30), stepS: 60, to: 120_000 })).toMatchObject({
      unit: 'second',
      values: { accepted: [1, 0.5], sent: [0, 0] },
    })
    expect(ratesOf({ series: series(59, 30), stepS: 60, to: 120_000 })).toMatchObject({
      unit: 'minute',
      values: { accepted: [59, 30] },
    })
    expect(ratesOf({ series: series(0, 0), stepS: 60, to: 120_000 }).unit).toBe('hour')
    expect(ratesOf({ series: [], stepS: 60, to: 0 }).unit).toBe('hour')
  })

  it('of the step under way are by how long it has been, and half a step at least', () => {
    const last = (to: number) => ratesOf({ series: series(6, 6), stepS: 60, to }).values.accepted.at(-1)
    expect(last(120_000)).toBe(6)
    expect(last(105_000)).toBe(8)
    expect(last(90_000)).toBe(12)
    expect(last(61_000)).toBe(12)
    // A clock of the server that is behind the step.
    expect(last(0)).toBe(12)
  })
})

describe('columns', () => {
  const plotted = (kind: 'bars' | 'lines') => ({
    kind,
    starts: [0, 60, 120],
    stepMs: 60,
    series: [
      { label: 'a', colour: '--a', values: [1, 0, 2] },
      { label: 'b', colour: '--b', values: [3, 4, 0] },
      { label: 'c', colour: '--c', values: [0, 0] },
    ],
  })

  it('of lines are the values, in the middle of their steps', () => {
    expect(dataOf(plotted('lines'))).toEqual([
      [30, 90, 150],
      [1, 0, 2],
      [3, 4, 0],
      [0, 0],
    ])
  })

  it('of bars are sums, the whole first, and none where a series has nothing', () => {
    expect(dataOf(plotted('bars'))).toEqual([
      [30, 90, 150],
      [null, null, null],
      [4, 4, null],
      [1, null, 2],
    ])
  })
})
