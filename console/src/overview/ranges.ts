// Over which time one looks back, in which steps, and how often again; and rates made of what happened in each step. Pure.
// Not here: how it is drawn (parts/plot.ts), what it is called (words.ts).

import type { Stats } from '@downlink/client'

interface Steps {
  readonly stepS: number
  /** steps, the last of which is under way: few enough for a bar each on a small window */
  readonly steps: number
  /** ms between two looks, at least: the more the server has to add up, and the less of a step a change is, the rarer */
  readonly leastMs: number
  /** ms until the next look where nothing happens: the last step grows older all the same */
  readonly everyMs: number
}

export const ranges = {
  '1h': { stepS: 60, steps: 60, leastMs: 1_000, everyMs: 5_000 },
  '6h': { stepS: 300, steps: 72, leastMs: 2_000, everyMs: 10_000 },
  '24h': { stepS: 900, steps: 96, leastMs: 5_000, everyMs: 30_000 },
  '7d': { stepS: 7_200, steps: 84, leastMs: 10_000, everyMs: 60_000 },
} as const satisfies Readonly<Record<string, Steps>>
export type Range = keyof typeof ranges
export const rangeNames = Object.keys(ranges) as readonly Range[]

/** The one that the address names; the first where it names none that there is. */
export const rangeOf = (name: string | null): Range => rangeNames.find(range => range === name) ?? '1h'

/**
 * Since when: whole steps by the reader's clock on the wall, so that a bar stays what it was while time goes on, and one of two hours begins at an even hour.
 * `aheadMs`: what that clock is ahead of UTC.
 */
export function beginOf(range: Range, now: number, aheadMs: number): number {
  const { stepS, steps } = ranges[range]
  const stepMs = stepS * 1_000
  const under = Math.floor((now + aheadMs) / stepMs) * stepMs - aheadMs
  return under - (steps - 1) * stepMs
}

export type Rated = 'accepted' | 'sent' | 'cancelled'
export type RateUnit = 'second' | 'minute' | 'hour'
const unitS: Readonly<Record<RateUnit, number>> = { second: 1, minute: 60, hour: 3_600 }

/** The part of a step that the one which is under way counts as having lasted, at least: when it has just begun, one command would make a peak. */
const UNDER_WAY_LEAST = 0.5

export interface Rates {
  /** the smallest in which the highest rate is at least one, so that figures read well */
  readonly unit: RateUnit
  readonly values: Readonly<Record<Rated, readonly number[]>>
}

/** How many per unit, in each step; in the one that is under way, by how long it has been. */
export function ratesOf({ series, stepS, to }: Pick<Stats, 'series' | 'stepS' | 'to'>): Rates {
  const perSecond = (name: Rated) =>
    series.map(step => {
      const lastedS = Math.min(stepS, Math.max(UNDER_WAY_LEAST * stepS, (to - step.at) / 1_000))
      return step[name] / lastedS
    })
  const all = { accepted: perSecond('accepted'), sent: perSecond('sent'), cancelled: perSecond('cancelled') }
  const highest = Math.max(0, ...all.accepted, ...all.sent, ...all.cancelled)
  const unit = (['second', 'minute'] as const).find(unit => highest * unitS[unit] >= 1) ?? 'hour'
  const inUnit = (values: readonly number[]) => values.map(value => value * unitS[unit])
  return {
    unit,
    values: { accepted: inUnit(all.accepted), sent: inUnit(all.sent), cancelled: inUnit(all.cancelled) },
  }
}
