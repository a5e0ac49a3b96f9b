// The page of a run: a table and a plot for each scenario, what the targets came to, and on which machine. Pure but for what describes the machine.
// Not here: how a plot is drawn (plot.ts), how a row was measured (scenario.ts).

import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { markdown, median, quantile, ratio, shown, spread } from './figures.ts'
import { bars, lines } from './plot.ts'
import type { Figures } from './scenario.ts'

/** What a run has found, as it is kept beside the page. */
export interface Results {
  readonly command: string
  /** ISO 8601, when it began */
  readonly beganAt: string
  readonly machine: Machine
  readonly scenarios: readonly ScenarioResult[]
}

export interface Machine {
  readonly processors: string
  readonly memoryGib: number
  readonly system: string
  readonly node: string
  /** p50 of a write of 4 KiB and its fdatasync, in the folder that the stores were in */
  readonly fsyncMs: number
  /** processes that were running or waiting to, over the minute before it began: what else went on */
  readonly loadBefore: number
}

export interface ScenarioResult {
  readonly name: string
  readonly title: string
  readonly what: string
  readonly baseline: string
  readonly lacking: readonly { readonly name: string; readonly why: string }[]
  readonly rows: readonly RowResult[]
}

export interface RowResult {
  readonly name: string
  readonly what: string
  readonly versions: string
  /** why it was not measured; its rounds are none then */
  readonly skipped: string | null
  readonly rounds: readonly Figures[]
}

const GIB = 1_073_741_824
const FSYNCS = 300

export function describeMachine(): Machine {
  const [processor] = cpus()
  return {
    processors: `${availableParallelism()} × ${processor?.model.trim() ?? 'unknown'}`,
    memoryGib: Math.round(totalmem() / GIB),
    system: `${process.platform} ${release()}`,
    node: process.version,
    fsyncMs: fsyncMs(),
    loadBefore: loadavg()[0]!,
  }
}

function fsyncMs(): number {
  const path = join(tmpdir(), `downlink-bench-fsync-${process.pid}`)
  const file = openSync(path, 'w')
  const block = Buffer.alloc(4_096)
  try {
    const took = Array.from({ length: FSYNCS }, () => {
      const beganAt = performance.now()
      writeSync(file, block)
      fdatasyncSync(file)
      return performance.now() - beganAt
    })
    return median(took)
  } finally {
    closeSync(file)
    rmSync(path)
  }
}

// --- tables --------------------------------------------------------------------------------------------------------

/** The total over all roles. */
export const cpuUsOf = ({ cpuUs }: Figures): number => Object.values(cpuUs ?? {}).reduce((sum, us) => sum + us, 0)

interface Column {
  readonly head: string
  readonly value: (figures: Figures) => number | undefined
  /** also as a factor of the baseline's */
  readonly hasRatio: boolean
}

const usual: readonly Column[] = [
  { head: 'per second', value: figures => figures.perSecond, hasRatio: true },
  { head: 'p50 ms', value: figures => figures.p50Ms, hasRatio: true },
  { head: 'p99 ms', value: figures => figures.p99Ms, hasRatio: false },
  { head: 'p99.9 ms', value: figures => figures.p999Ms, hasRatio: false },
  { head: 'CPU µs/op', value: figures => (figures.cpuUs === undefined ? undefined : cpuUsOf(figures)), hasRatio: true },
  { head: 'load µs/op', value: figures => figures.loadCpuUs, hasRatio: false },
  { head: 'MiB', value: figures => figures.memoryMib, hasRatio: false },
]

/** `twoFsyncsMs` as people read it: `two fsyncs ms`. */
const wordsOf = (name: string): string =>
  name.replace(/([a-z0-9])([A-Z])/g, (_, before, after) => `${before} ${after.toLowerCase()}`)

/** The columns that any of the rows has something for. */
function columnsOf(rows: readonly RowResult[]): Column[] {
  const all = rows.flatMap(({ rounds }) => rounds)
  const names = [...new Set(all.flatMap(({ more }) => Object.keys(more ?? {})))]
  const own = names.map(name => ({ head: wordsOf(name), value: ({ more }: Figures) => more?.[name], hasRatio: false }))
  return [...usual, ...own].filter(({ value }) => all.some(figures => value(figures) !== undefined))
}

const has = (rounds: readonly Figures[], { value }: Column): boolean =>
  rounds.length > 0 && rounds.every(figures => value(figures) !== undefined)

const middle = (rounds: readonly Figures[], { value }: Column): number =>
  median(rounds.map(figures => value(figures) ?? Number.NaN))

function cellsOf(column: Column, { rounds }: RowResult, baseline: RowResult | undefined): string[] {
  const isRated = column.hasRatio && baseline !== undefined
  if (!has(rounds, column)) return isRated ? ['-', '-'] : ['-']
  // The range only where it is looked at first: a table of ranges cannot be read.
  const isFirst = column.head === 'per second'
  const cell = isFirst ? spread(rounds, figures => column.value(figures) ?? Number.NaN) : shown(middle(rounds, column))
  if (!isRated) return [cell]
  return [cell, has(baseline.rounds, column) ? ratio(middle(rounds, column), middle(baseline.rounds, column)) : '-']
}

function tableOf(scenario: ScenarioResult): string {
  const rows = scenario.rows.filter(({ rounds }) => rounds.length > 0)
  const baseline = rows.find(({ name }) => name === scenario.baseline)
  const columns = columnsOf(rows)
  const head = ['', ...columns.flatMap(({ head, hasRatio }) => (hasRatio && baseline ? [head, 'ratio'] : [head]))]
  const skipped = scenario.rows.flatMap(({ name, skipped }) =>
    skipped === null ? [] : [`Not run: ${name}, ${skipped}.`],
  )
  const cannot = scenario.lacking.map(({ name, why }) => `${name} cannot: ${why}.`)
  return markdown({
    title: scenario.title,
    head,
    rows: rows.map(row => [row.name, ...columns.flatMap(column => cellsOf(column, row, baseline))]),
    notes: [
      [scenario.what, baseline === undefined ? '' : `Ratios are to “${baseline.name}”.`, ...cannot, ...skipped]
        .filter(text => text !== '')
        .join(' '),
    ],
  })
}

// --- plots ---------------------------------------------------------------------------------------------------------

/** What a scenario is drawn as; null: it has nothing that a picture would say better. `series`: figures by size, such as `acceptAt1000000PerSecond`. */
export function plotOf({ title, rows }: ScenarioResult): string | null {
  const measured = rows.filter(({ rounds }) => rounds.length > 0)
  const sizes = measured.flatMap(({ name, rounds }) => seriesOf(name, rounds))
  if (sizes.length > 0)
    return lines({ title, xTitle: 'stored commands', yTitle: 'of the rate at the smallest', series: sizes })
  const [column] = usual
  const drawn = measured.filter(({ rounds }) => has(rounds, column!))
  if (drawn.length < 2) return null
  const valuesOf = ({ rounds }: RowResult): number[] => rounds.map(figures => figures.perSecond ?? Number.NaN)
  return bars({
    title,
    unit: 'per second',
    bars: drawn.map(row => ({
      name: row.name,
      value: median(valuesOf(row)),
      low: Math.min(...valuesOf(row)),
      high: Math.max(...valuesOf(row)),
      note: latencyOf(row.rounds),
      isOurs: row.name.startsWith('Downlink'),
    })),
  })
}

function latencyOf(rounds: readonly Figures[]): string {
  const [p50, p99] = [usual[1]!, usual[2]!]
  if (!has(rounds, p50) || !has(rounds, p99)) return ''
  return `p50 ${shown(middle(rounds, p50))} ms, p99 ${shown(middle(rounds, p99))} ms`
}

/** `acceptAt10000`, `acceptAt1000000`, … as a line of what is kept of the first. */
function seriesOf(row: string, rounds: readonly Figures[]): { name: string; points: [number, number][] }[] {
  const byVerb = new Map<string, [number, number][]>()
  for (const name of Object.keys(rounds[0]?.more ?? {})) {
    const [, verb, size] = /^([a-z]+)At([0-9]+)(?:PerSecond)?$/.exec(name) ?? []
    if (verb === undefined) continue
    const values = rounds.map(({ more }) => more?.[name] ?? Number.NaN)
    byVerb.set(verb, [...(byVerb.get(verb) ?? []), [Number(size), quantile(values, 0.5)]])
  }
  return [...byVerb].map(([verb, points]) => {
    const ordered = points.sort(([left], [right]) => left - right)
    const first = ordered[0]![1]
    return { name: `${row}: ${verb}`, points: ordered.map(([size, value]) => [size, value / first]) }
  })
}

// --- the page ------------------------------------------------------------------------------------------------------

export const BEGIN = '<!-- made by `npm run bench`: from here -->'
export const END = '<!-- made by `npm run bench`: to here -->'

export interface Target {
  readonly what: string
  readonly atLeast: string
  /** as it was measured, in words; null: the run does not have what it needs */
  readonly found: string | null
  readonly isMet: boolean
}

/** Everything that a run says, for between the marks of the page. `plots`: which scenarios have one. */
export function page(results: Results, targets: readonly Target[], plots: ReadonlySet<string>): string {
  const { machine, scenarios } = results
  const day = results.beganAt.slice(0, 10)
  const versions = new Map(scenarios.flatMap(({ rows }) => rows.map(row => [row.name, row] as const)))
  const who = [...versions.values()].map(({ name, what, versions }) => `| ${name} | ${what} | ${versions} |`)
  const found = targets.map(
    ({ what, atLeast, found, isMet }) =>
      `| ${what} | ${atLeast} | ${found ?? 'not measured'} | ${found === null ? '-' : isMet ? 'met' : '**missed**'} |`,
  )
  return `${day}, \`${results.command}\`, ${machine.processors}, ${machine.memoryGib} GiB, ${machine.system}, Node ${machine.node}; a write with its fdatasync takes ${shown(machine.fsyncMs)} ms here. Before it began the machine's load was ${machine.loadBefore.toFixed(2)}. All that was measured is in [results.json](benchmarks/results.json).

### Targets

| what | at least | measured | |
| --- | --- | --- | --- |
${found.join('\n')}

### Who takes part

| | what it is | versions |
| --- | --- | --- |
${who.join('\n')}

${scenarios.map(scenario => `${tableOf(scenario)}${plots.has(scenario.name) ? `\n\n![${scenario.title}](benchmarks/${scenario.name}.svg)` : ''}`).join('\n\n')}`
}

/** The page with what is between its marks replaced. Throws where it has none. */
export function between(text: string, made: string): string {
  const from = text.indexOf(BEGIN)
  const to = text.indexOf(END)
  if (from < 0 || to < from) throw new Error(`the page has no place for the run: put ${BEGIN} and ${END} into it`)
  return `${text.slice(0, from + BEGIN.length)}\n\n${made}\n\n${text.slice(to)}`
}
