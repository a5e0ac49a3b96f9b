// Processor time of other processes, by what Linux says of them in /proc. To 10 ms: for work that takes seconds.

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

function statOf(pid: number): Stat | null {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch (error) {
    // It has ended since it was listed.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw error
  }
  // The name stands in parentheses and may hold anything; after it come the state, the parent, and so on.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const number = (n: number): number => Number(fields[n])
  return { parent: number(1), ownMs: (number(11) + number(12)) * TICK_MS, endedMs: (number(13) + number(14)) * TICK_MS }
}

/** ms of processor that the process has taken so far. Throws where it is not there. */
export function cpuMs(pid: number): number {
  const stat = statOf(pid)
  if (stat === null) throw new Error(`there is no process ${pid}`)
  return stat.ownMs
}

/** The same for a process and its children, also those that have ended: PostgreSQL with all its connections. */
export function cpuMsWithChildren(pid: number): number {
  const self = statOf(pid)
  if (self === null) throw new Error(`there is no process ${pid}`)
  const children = readdirSync('/proc')
    .filter(name => /^[0-9]+$/.test(name))
    .map(name => statOf(Number(name)))
    .filter(stat => stat?.parent === pid)
  return children.reduce((sum, child) => sum + (child?.ownMs ?? 0), self.ownMs + self.endedMs)
}

/** ms of processor of this process, so far. */
export function ownCpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
