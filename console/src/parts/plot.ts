// How uPlot draws a chart over time: stacked bars, or lines; its axes, its colours from the style sheet. Not here: what is drawn (plotted.ts), what stands
// around it (chart.tsx).

import uPlot from 'uplot'
import { axisText } from '../clock.ts'
import type { Plotted } from './plotted.ts'

/** CSS px: what one bar, the room beside it, a label on an axis and what of it is beyond the end, the point at the cursor and one digit take */
const BAR_MAX = 28
const BAR_GAP = 1
const LABEL_SPACE = { x: 64, y: 34 }
const LABEL_HALF = 22
const POINT = 7
const DIGIT = 7
const AXIS_MIN = 30
const AXIS_X = 28
const FONT = 12

const DAY_MS = 86_400_000
const dashes = { dashed: [7, 4], dotted: [2, 3] }
/** Steps of the axis of values: 1, 2 and 5, each times a power of ten. Counts have no parts. */
const incrsFrom = (least: number): number[] =>
  Array.from({ length: 12 - least }, (_, n) => [1, 2, 5].map(times => Number(`${times}e${n + least}`))).flat()
const incrs = { bars: incrsFrom(0), lines: incrsFrom(-3) }

/** Where charts share a key, a pointer over one of them is over all. */
const SYNC = 'time'

/** What uPlot is told, once: it is made anew where the style or the language is another. `onStep`: the pointer is over this step, or over none. */
export function optionsOf(
  { kind, series, stepMs }: Plotted,
  box: HTMLElement,
  valueText: (value: number) => string,
  onStep: (step: number | null) => void,
): uPlot.Options {
  const style = getComputedStyle(box)
  const colour = (property: string) => style.getPropertyValue(property).trim()
  const axis = {
    stroke: colour('--faint'),
    font: `${FONT}px ${style.fontFamily}`,
    ticks: { show: false },
    grid: { stroke: colour('--line'), width: 1 },
  }
  const bars = uPlot.paths.bars?.({ size: [0.86, BAR_MAX], gap: BAR_GAP })
  const drawn = series.map(({ label, colour: property, dash }): uPlot.Series => {
    const ink = colour(property)
    if (kind === 'bars') return { label, width: 0, fill: ink, points: { show: false }, ...(bars && { paths: bars }) }
    return { label, stroke: ink, width: 2, points: { show: false }, ...(dash && { dash: dashes[dash] }) }
  })
  return {
    width: Math.max(1, box.clientWidth),
    height: Math.max(1, box.clientHeight),
    ms: 1,
    padding: [8, LABEL_HALF, 0, 0],
    series: [{}, ...(kind === 'bars' ? drawn.reverse() : drawn)],
    scales: {
      x: { time: true, range: (_, min, max) => [(min ?? 0) - stepMs / 2, (max ?? 0) + stepMs / 2] },
      y: { range: (_, _min, max) => [0, max > 0 ? max * 1.04 : 1] },
    },
    axes: [
      {
        ...axis,
        ...{ space: LABEL_SPACE.x, size: AXIS_X, grid: { show: false } },
        values: (_, splits, _axis, _space, incr) => splits.map(at => axisText(at, incr >= DAY_MS)),
      },
      {
        ...axis,
        ...{ space: LABEL_SPACE.y, gap: 6, incrs: incrs[kind] },
        values: (_, splits) => splits.map(valueText),
        size: (_, values) =>
          Math.max(AXIS_MIN, DIGIT * Math.max(0, ...(values ?? []).map(({ length }) => length)) + 12),
      },
    ],
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: false, y: false },
      points: kind === 'lines' ? { size: POINT } : { show: false },
      sync: { key: SYNC, setSeries: false },
      bind: { dblclick: () => null },
    },
    hooks: { setCursor: [({ cursor }) => onStep(cursor.idx ?? null)] },
  }
}
