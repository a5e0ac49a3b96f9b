// What a chart over time shows, and the columns that are drawn of it. Pure. Not here: drawing (plot.ts).

import type { AlignedData } from 'uplot'

export interface PlotSeries {
  readonly label: string
  /** custom property of the style sheet that has its colour: `--sent-strong` */
  readonly colour: string
  /** of a line, beside its colour: not everybody tells colours apart */
  readonly dash?: 'dashed' | 'dotted'
  /** one for each step */
  readonly values: readonly number[]
}

export interface Plotted {
  /** `bars`: stacked, the first series at the bottom */
  readonly kind: 'bars' | 'lines'
  /** when each step begins, ms since 1970, all of the same length, at least two */
  readonly starts: readonly number[]
  readonly stepMs: number
  readonly series: readonly PlotSeries[]
}

/**
 * The middle of each step, where its bar stands and its point lies; then the series as they are drawn. Of bars these are sums, from the top down, each drawn
 * over the one before; null where the series itself has nothing, so that nothing of its colour shines through at the edges.
 */
export function dataOf({ kind, starts, stepMs, series }: Plotted): AlignedData {
  const middles = starts.map(at => at + stepMs / 2)
  if (kind === 'lines') return [middles, ...series.map(({ values }) => [...values])]
  const below = starts.map(() => 0)
  const sums = series.map(({ values }) =>
    below.map((sum, step) => {
      const value = values[step] ?? 0
      below[step] = sum + value
      return value === 0 ? null : sum + value
    }),
  )
  return [middles, ...sums.reverse()]
}
