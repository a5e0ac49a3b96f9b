// What benches make of their measurements: medians, percentiles, loops of callers, and tables in Markdown. Not here: what is measured.

import { setTimeout as sleep } from 'node:timers/promises'

/** The value below which that part (0 to 1) of them lies; NaN of none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** Of a field of the rounds. */
export const medianOf = <Round>(rounds: readonly Round[], field: (round: Round) => number): number =>
  median(rounds.map(field))

export interface Load {
  /** each begins its next turn when the one before is over */
  readonly workers: number
  readonly warmUpMs: number
  readonly measuredMs: number
  /** up to so long, by chance, each waits before a turn, so that turns of different workers have nothing to do with each other */
  readonly thinkMs?: number
  /** Called as the measured time begins, and as it ends. */
  readonly mark?: (edge: 'begin' | 'end') => void
}

export interface Turns {
  /** turns that ended in the measured time */
  readonly turns: number
  readonly perSecond: number
  /** how long each of them took, without the wait before it */
  readonly latenciesMs: readonly number[]
}

/** A closed loop. Rejects with the first error of a turn, after the others have ended theirs. */
export async function closedLoop(load: Load, turn: (worker: number) => Promise<unknown>): Promise<Turns> {
  const latenciesMs: number[] = []
  let from = Number.POSITIVE_INFINITY
  let until = Number.POSITIVE_INFINITY
  const isOver = (): boolean => until !== Number.POSITIVE_INFINITY
  const run = async (worker: number): Promise<void> => {
    while (!isOver()) {
      if (load.thinkMs !== undefined) await sleep(Math.random() * load.thinkMs)
      const beganAt = performance.now()
      await turn(worker)
      const endedAt = performance.now()
      if (endedAt >= from && !isOver()) latenciesMs.push(endedAt - beganAt)
    }
  }
  const watch = async (): Promise<void> => {
    await sleep(load.warmUpMs)
    from = performance.now()
    load.mark?.('begin')
    await sleep(load.measuredMs)
    until = performance.now()
    load.mark?.('end')
  }
  const running = Array.from({ length: load.workers }, async (_, worker) => {
    try {
      await run(worker)
    } catch (error) {
      until = Math.min(until, performance.now())
      throw error
    }
  })
  const ends = await Promise.allSettled([...running, watch()])
  for (const end of ends) if (end.status === 'rejected') throw end.reason
  const turns = latenciesMs.length
  return { turns, perSecond: (turns * 1_000) / (until - from), latenciesMs }
}

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
