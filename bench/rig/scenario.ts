// One thing that the bench measures, of several contenders in the same run: which rows its table has, and how a row is measured.
// Not here: the things (scenarios/), who takes part (contenders/), the order of the run (../main.ts), tables and plots (report.ts, plot.ts).

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Caller } from './caller.ts'
import type { Ability, Contender, Running } from './contender.ts'
import { quantile } from './figures.ts'
import type { Turns } from './loops.ts'
import { type Cost, watch } from './watch.ts'

export interface Scenario {
  /** as `--only` has it */
  readonly name: string
  readonly title: string
  /** what one operation is, what happens around it, and what the figures are not; for the page */
  readonly what: string
  /** what the ratios are to: the name of one of the rows */
  readonly baseline: string
  readonly rows: readonly Row[]
  /** where a round takes very long: so many at most */
  readonly roundsMax?: number
  /** contenders that cannot do it, and why, for the page */
  readonly lacking: readonly { readonly name: string; readonly why: string }[]
}

/** A line of the table. */
export interface Row {
  readonly name: string
  readonly what: string
  missing(): Promise<string | null>
  versions(): Promise<string>
  /** Measured once, from nothing, in a folder of its own that is removed afterwards. */
  measure(settings: Settings): Promise<Figures>
}

export interface Settings {
  readonly folder: string
  readonly warmUpMs: number
  readonly measuredMs: number
  /** only to see that it works: small numbers of everything */
  readonly isQuick: boolean
  readonly say: (line: string) => void
}

/** What a row came to in one round. Absent: the scenario has no such figure. */
export interface Figures {
  readonly perSecond?: number
  readonly p50Ms?: number
  readonly p99Ms?: number
  readonly p999Ms?: number
  /** µs of processor for each operation, by role */
  readonly cpuUs?: Readonly<Record<string, number>>
  /** of the callers and devices, which share the processors */
  readonly loadCpuUs?: number
  readonly memoryMib?: number
  /** what only this scenario has; names carry their unit */
  readonly more?: Readonly<Record<string, number>>
}

const MIB = 1_048_576

/** The usual figures of a loop and what it cost. */
export function figuresOf({ turns, perSecond, latenciesMs }: Turns, cost: Cost, more: Figures['more'] = {}): Figures {
  const [p50Ms, p99Ms, p999Ms] = [0.5, 0.99, 0.999].map(part => quantile(latenciesMs, part)) as [number, number, number]
  const each = (ms: number): number => (ms * 1_000) / turns
  const cpuUs = Object.fromEntries(Object.entries(cost.cpuMs).map(([role, ms]) => [role, each(ms)]))
  const bytes = Object.values(cost.memoryBytes).reduce((sum, of) => sum + of, 0)
  return { perSecond, p50Ms, p99Ms, p999Ms, cpuUs, loadCpuUs: each(cost.loadCpuMs), memoryMib: bytes / MIB, more }
}

/** Runs a loop, which marks where its measured time begins, and says what came of it and what it cost. */
export async function measured(
  processes: Running['processes'],
  loop: (mark: (edge: 'begin' | 'end') => void) => Promise<Turns>,
  more?: Figures['more'],
): Promise<Figures> {
  let end = watch(processes)
  const turns = await loop(edge => {
    if (edge === 'begin') end = watch(processes)
  })
  return figuresOf(turns, end(), more)
}

/** A contender that runs, and somebody who may call it. */
export interface Stand extends Settings {
  readonly running: Running
  readonly caller: Caller
}

export interface Standing {
  readonly devices: number
  /** HTTP connections of the caller */
  readonly connections: number
  readonly measure: (stand: Stand) => Promise<Figures>
}

/** The contender as a row: started for the measurement, and stopped after it. */
export function rowOf(contender: Contender, { devices, connections, measure }: Standing): Row {
  const { name, what } = contender
  return {
    name,
    what,
    missing: () => contender.missing(),
    versions: () => contender.versions(),
    measure: async settings => {
      const folder = join(settings.folder, 'contender')
      mkdirSync(folder)
      const running = await contender.start({ folder, devices })
      try {
        const caller = await Caller.logIn(running.httpUrl, connections)
        try {
          return await measure({ ...settings, running, caller })
        } finally {
          caller.close()
        }
      } finally {
        await running.stop()
      }
    },
  }
}

/** Rows of those that can, and the reasons of those that cannot. */
export function standing(
  contenders: readonly Contender[],
  needs: readonly Ability[],
  how: Standing,
): Pick<Scenario, 'rows' | 'lacking'> {
  const reason = ({ lacks }: Contender): string | undefined => needs.map(need => lacks[need]).find(Boolean)
  const lacking = contenders.flatMap(contender => {
    const why = reason(contender)
    return why === undefined ? [] : [{ name: contender.name, why }]
  })
  const able = contenders.filter(contender => reason(contender) === undefined)
  return { rows: able.map(contender => rowOf(contender, how)), lacking }
}

/** Does the work with a new folder, which is removed after it. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-bench-'))
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
