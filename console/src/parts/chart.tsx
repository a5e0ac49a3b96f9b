// A chart over time with its legend, which has the values of the step that the pointer is over, and with the same numbers as a table for who does not see it.
// It brings the drawing library with it, so only pages that are fetched when they are opened may import it. Not here: how it is drawn (plot.ts).

import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { axisText } from '../clock.ts'
import { language, locale } from '../words.ts'
import './chart.css'
import { chartWords } from './chart-words.ts'
import { optionsOf } from './plot.ts'
import { dataOf, type PlotSeries, type Plotted } from './plotted.ts'

export interface ChartSeries extends PlotSeries {
  /** what the legend says of it while the pointer is over no step: such as its sum */
  readonly inAll: string
}

export interface Charted extends Plotted {
  readonly series: readonly ChartSeries[]
}

export interface ChartProps {
  /** the same object for as long as it shows the same: it is drawn anew with another one */
  readonly chart: Charted
  /** what it shows, for who does not see it; the sums are added */
  readonly name: string
  /** what `inAll` is of: `Last hour` */
  readonly span: string
  /** on the axis, in the legend and in the table */
  readonly valueText: (value: number) => string
  readonly empty?: string
}

export const Chart = ({ chart, name, span, valueText, empty }: ChartProps) => {
  const words = chartWords()
  const { kind, series, starts } = chart
  const [step, setStep] = useState<number | null>(null)
  const box = usePlot(chart, valueText, setStep)
  const isEmpty = series.every(({ values }) => values.every(value => value === 0))
  const at = step === null || starts[step] === undefined ? null : step
  return (
    <figure class="chart">
      <figcaption>
        <p class="chart-when">{at === null ? span : stepText(chart, at)}</p>
        <dl class="legend">
          {series.map(({ label, colour, dash = 'solid', inAll, values }) => (
            <div key={label}>
              <dt>
                <span class={`key key-${kind} key-${dash}`} style={{ color: `var(${colour})` }} aria-hidden="true" />
                {label}
              </dt>
              <dd>{at === null ? inAll : valueText(values[at] ?? 0)}</dd>
            </div>
          ))}
        </dl>
      </figcaption>
      <div
        class="plot"
        role="img"
        aria-label={`${name}. ${span}: ${series.map(({ label, inAll }) => `${label} ${inAll}`).join(', ')}`}
      >
        <div class="plot-box" ref={box} />
        {isEmpty && <p class="plot-empty">{empty ?? words.nothing}</p>}
      </div>
      <Numbers chart={chart} name={name} valueText={valueText} />
    </figure>
  )
}

/** `10:41 – 10:42`, with the day where that is not clear. */
function stepText({ starts, stepMs }: Plotted, step: number): string {
  const from = starts[step] ?? 0
  const day = axisText(from, true)
  const isClear = day === axisText(starts[0] ?? from, true) && day === axisText(starts.at(-1) ?? from, true)
  return `${isClear ? '' : `${day}, `}${axisText(from, false)} – ${axisText(from + stepMs, false)}`
}

/** Draws it into the box that it gives, again when it is another, when the box has another size, and with another theme or language. */
function usePlot(plotted: Plotted, valueText: (value: number) => string, onStep: (step: number | null) => void) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const latest = useRef(valueText)
  latest.current = valueText
  const theme = useTheme()
  const { kind, stepMs, series } = plotted
  useEffect(() => {
    const { current } = box
    if (current === null) return
    const made = new uPlot(
      optionsOf(plotted, current, value => latest.current(value), onStep),
      dataOf(plotted),
      current,
    )
    plot.current = made
    const sizes = new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = current
      if (width > 0 && height > 0 && (width !== made.width || height !== made.height)) made.setSize({ width, height })
    })
    sizes.observe(current)
    return () => {
      sizes.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [theme, language.value, locale.value, kind, stepMs, series.length])
  useEffect(() => plot.current?.setData(dataOf(plotted)), [plotted])
  return box
}

/** Another number with each theme: what is drawn does not follow the style sheet by itself. */
function useTheme(): number {
  const [theme, setTheme] = useState(0)
  useEffect(() => {
    const changed = () => setTheme(theme => theme + 1)
    const system = window.matchMedia('(prefers-color-scheme: dark)')
    const chosen = new MutationObserver(changed)
    system.addEventListener('change', changed)
    chosen.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] })
    return () => {
      system.removeEventListener('change', changed)
      chosen.disconnect()
    }
  }, [])
  return theme
}

const Numbers = ({ chart, name, valueText }: Pick<ChartProps, 'chart' | 'name' | 'valueText'>) => {
  const words = chartWords()
  const { starts, series } = chart
  const [isOpen, setOpen] = useState(false)
  const steps = isOpen ? [...starts.keys()].reverse().filter(step => series.some(({ values }) => values[step])) : []
  return (
    <details class="numbers" onToggle={event => setOpen(event.currentTarget.open)}>
      <summary>{words.numbers}</summary>
      {isOpen && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        <section class="numbers-scroll" tabIndex={0} aria-label={name}>
          <table>
            <caption class="small faint">{words.rest}</caption>
            <thead>
              <tr>
                <th scope="col">{words.time}</th>
                {series.map(({ label }) => (
                  <th scope="col" class="number" key={label}>
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {steps.map(step => (
                <tr key={starts[step]}>
                  <th scope="row">{stepText(chart, step)}</th>
                  {series.map(({ label, values }) => (
                    <td class="number" key={label}>
                      {valueText(values[step] ?? 0)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </details>
  )
}
