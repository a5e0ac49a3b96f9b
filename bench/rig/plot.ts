// Plots as SVG text: bars of contenders, and lines over a size. They follow the reader's theme, need no script, and have all figures in words for those who
// cannot see them. Not here: which plots there are (report.ts).

import { shown } from './figures.ts'

export interface Bar {
  readonly name: string
  readonly value: number
  readonly low: number
  readonly high: number
  /** beside the bar */
  readonly note: string
  readonly isOurs: boolean
}

const WIDTH = 760
const STYLE = `<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.quiet { fill: #59636e; font-size: 12px }
.ours { fill: #0969da } .theirs { fill: #9aa4af }
.range { stroke: #1f2328; stroke-width: 1 }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .quiet { fill: #9198a1 } .ours { fill: #4493f8 } .theirs { fill: #656c76 }
  .range { stroke: #f0f6fc } .grid { stroke: #3d444d }
}
</style>`

const plain = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

function svg(height: number, title: string, words: string, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
<title>${plain(title)}</title>
<desc>${plain(words)}</desc>
${STYLE}
${parts.join('\n')}
</svg>
`
}

const NAME_WIDTH = 190
const NOTE_WIDTH = 250
const BAR_HEIGHT = 20
const STEP = 32

/** Horizontal bars from nought, with the range over the rounds as a thin line. */
export function bars(plot: { readonly title: string; readonly unit: string; readonly bars: readonly Bar[] }): string {
  const most = Math.max(...plot.bars.map(({ high }) => high))
  const xOf = (value: number): number => NAME_WIDTH + (value / most) * (WIDTH - NAME_WIDTH - NOTE_WIDTH)
  const parts = plot.bars.flatMap(({ name, value, low, high, note, isOurs }, n) => {
    const y = 44 + n * STEP
    const middle = y + BAR_HEIGHT / 2
    const width = Math.max(1, xOf(value) - NAME_WIDTH)
    return [
      `<text x="${NAME_WIDTH - 8}" y="${middle + 4}" text-anchor="end">${plain(name)}</text>`,
      `<rect class="${isOurs ? 'ours' : 'theirs'}" x="${NAME_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" rx="2"/>`,
      `<path class="range" d="M${xOf(low).toFixed(1)} ${middle}H${xOf(high).toFixed(1)}"/>`,
      `<text x="${(xOf(high) + 8).toFixed(1)}" y="${middle + 4}">${shown(value)} <tspan class="quiet">${plain(note)}</tspan></text>`,
    ]
  })
  const words = plot.bars.map(({ name, value }) => `${name}: ${shown(value)} ${plot.unit}`).join('; ')
  const title = `<text class="title" x="8" y="22">${plain(plot.title)}<tspan class="quiet">, ${plain(plot.unit)}</tspan></text>`
  return svg(44 + plot.bars.length * STEP + 8, plot.title, words, [title, ...parts])
}

export interface Lines {
  readonly title: string
  readonly xTitle: string
  readonly yTitle: string
  readonly series: readonly { readonly name: string; readonly points: readonly (readonly [number, number])[] }[]
}

const COLOURS = ['#0969da', '#8250df', '#1a7f37', '#9a6700', '#cf222e', '#59636e', '#bf3989', '#0550ae']
const PLOT = { left: 60, right: 540, top: 44, bottom: 300 } as const

/** Lines over a size, which grows by factors; heights from nought. */
export function lines({ title, xTitle, yTitle, series }: Lines): string {
  const xs = [...new Set(series.flatMap(({ points }) => points.map(([x]) => x)))].sort((left, right) => left - right)
  const most = Math.max(1, ...series.flatMap(({ points }) => points.map(([, y]) => y)))
  const from = Math.log(xs[0]!)
  const span = Math.max(1e-9, Math.log(xs.at(-1)!) - from)
  const xOf = (x: number): number => PLOT.left + ((Math.log(x) - from) / span) * (PLOT.right - PLOT.left)
  const yOf = (y: number): number => PLOT.bottom - (y / most) * (PLOT.bottom - PLOT.top)
  const grid = [0, 0.25, 0.5, 0.75, 1]
    .filter(y => y <= most)
    .flatMap(y => [
      `<path class="grid" d="M${PLOT.left} ${yOf(y)}H${PLOT.right}"/>`,
      `<text class="quiet" x="${PLOT.left - 8}" y="${yOf(y) + 4}" text-anchor="end">${y}</text>`,
    ])
  const marks = xs.map(
    x => `<text class="quiet" x="${xOf(x)}" y="${PLOT.bottom + 18}" text-anchor="middle">${shown(x)}</text>`,
  )
  const drawn = series.flatMap(({ name, points }, n) => {
    const colour = COLOURS[n % COLOURS.length]!
    const path = points.map(([x, y], at) => `${at === 0 ? 'M' : 'L'}${xOf(x).toFixed(1)} ${yOf(y).toFixed(1)}`).join('')
    const y = PLOT.top + 8 + n * 20
    // Dashes tell ours from the baselines without the colour.
    const dashes = name.startsWith('Downlink') ? '' : ' stroke-dasharray="5 4"'
    return [
      `<path class="line" stroke="${colour}"${dashes} d="${path}"/>`,
      ...points.map(([x, y]) => `<circle cx="${xOf(x).toFixed(1)}" cy="${yOf(y).toFixed(1)}" r="3" fill="${colour}"/>`),
      `<path class="line" stroke="${colour}"${dashes} d="M${PLOT.right + 16} ${y}h22"/>`,
      `<text class="quiet" x="${PLOT.right + 44}" y="${y + 4}">${plain(name)}</text>`,
    ]
  })
  const words = series.map(
    ({ name, points }) => `${name}: ${points.map(([x, y]) => `${y.toFixed(2)} at ${shown(x)}`).join(', ')}`,
  )
  const height = Math.max(PLOT.bottom + 48, PLOT.top + 24 + series.length * 20)
  return svg(height, title, words.join('; '), [
    `<text class="title" x="8" y="22">${plain(title)}<tspan class="quiet">, ${plain(yTitle)}</tspan></text>`,
    ...grid,
    ...marks,
    `<text class="quiet" x="${(PLOT.left + PLOT.right) / 2}" y="${PLOT.bottom + 38}" text-anchor="middle">${plain(xTitle)}</text>`,
    ...drawn,
  ])
}
