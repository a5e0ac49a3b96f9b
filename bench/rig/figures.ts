// What benches make of their measurements: medians, percentiles, and tables in Markdown. Not here: what is measured (loops.ts, watch.ts).

/** The value below which that part (0 to 1) of them lies; NaN of none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** Of a field of the rounds. */
export const medianOf = <Round>(rounds: readonly Round[], field: (round: Round) => number): number =>
  median(rounds.map(field))

/** A result as people read it. The first column is what was measured, the others are figures. */
export interface Table {
  readonly title: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  /** what the figures are, and what they are not */
  readonly notes: readonly string[]
}

export function markdown({ title, head, rows, notes }: Table): string {
  const width = (column: number): number => Math.max(...[head, ...rows].map(row => (row[column] ?? '').length))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, n) => (n === 0 ? cell.padEnd(width(n)) : cell.padStart(width(n)))).join(' | ')} |`
  const rule = `| ${head.map((_, n) => (n === 0 ? '-'.repeat(width(n)) : `${'-'.repeat(width(n) - 1)}:`)).join(' | ')} |`
  return [`### ${title}`, '', line(head), rule, ...rows.map(line), '', ...notes].join('\n')
}

/** With separators of thousands above 100, and three digits below. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return '-'
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)))
}

/** Against a baseline, as a factor. */
export const ratio = (value: number, baseline: number): string => (value / baseline).toFixed(2)

/** Median of the rounds, and between what they lay. */
export function spread<Round>(rounds: readonly Round[], field: (round: Round) => number): string {
  const values = rounds.map(field)
  const middle = shown(median(values))
  return values.length < 2 ? middle : `${middle} (${shown(Math.min(...values))}–${shown(Math.max(...values))})`
}
