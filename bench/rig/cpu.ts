// Processor time and memory of other processes, by what Linux says of them in /proc. Time to 10 ms: for work that takes seconds.

import { readdirSync, readFileSync } from 'node:fs'

/** One count of /proc/PID/stat, whatever the kernel's own clock: 100 a second on every Linux that Node runs on. */
const TICK_MS = 10

interface Stat {
  readonly parent: number
  /** of the process with all its threads */
  readonly ownMs: number
  /** of its children that have ended and were waited for */
  readonly endedMs: number
}

/** Null where the process has ended since it was listed. */
function read(path: string): string | null {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
}

function statOf(pid: number): Stat | null {
  const text = read(`/proc/${pid}/stat`)
  if (text === null) return null
  // The name stands in parentheses and may hold anything; after it come the state, the parent, and so on.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const number = (n: number): number => Number(fields[n])
  return { parent: number(1), ownMs: (number(11) + number(12)) * TICK_MS, endedMs: (number(13) + number(14)) * TICK_MS }
}

/** The process and all that descends from it. */
function treeOf(root: number): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    const stat = /^[0-9]+$/.test(name) ? statOf(Number(name)) : null
    if (stat !== null) parents.set(Number(name), stat.parent)
  }
  const tree = [root]
  for (const pid of tree) for (const [child, parent] of parents) if (parent === pid) tree.push(child)
  return tree
}

/** ms of processor that the process has taken so far. Throws where it is not there. */
export function cpuMs(pid: number): number {
  const stat = statOf(pid)
  if (stat === null) throw new Error(`there is no process ${pid}`)
  return stat.ownMs
}

/** The same for a process and all that descends from it, also what has ended: PostgreSQL with all its connections. */
export function cpuMsWithChildren(pid: number): number {
  cpuMs(pid)
  return treeOf(pid).reduce((sum, one) => {
    const stat = statOf(one)
    return sum + (stat === null ? 0 : stat.ownMs + stat.endedMs)
  }, 0)
}

/** Bytes of memory that a process and its descendants hold, what they share counted once among them. */
export function memoryBytes(pid: number): number {
  return treeOf(pid).reduce((sum, one) => {
    const rollup = read(`/proc/${one}/smaps_rollup`)
    const [, kib] = /^Pss: +([0-9]+) kB$/m.exec(rollup ?? '') ?? []
    return sum + Number(kib ?? 0) * 1_024
  }, 0)
}

/** ms of processor of this process, so far. */
export function ownCpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
