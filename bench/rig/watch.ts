// What a measured stretch of work cost: processor time of the system under test by its roles and of the load beside it, and memory at its end.
// Not here: how the work is done (loops.ts), and what /proc says (cpu.ts).

import type { Running } from './contender.ts'
import { cpuMsWithChildren, memoryBytes, ownCpuMs } from './cpu.ts'

export interface Cost {
  readonly elapsedMs: number
  /** ms of processor, by role */
  readonly cpuMs: Readonly<Record<string, number>>
  /** of the callers and devices */
  readonly loadCpuMs: number
  /** by role, at the end */
  readonly memoryBytes: Readonly<Record<string, number>>
}

/** Starts to count; what is returned ends it. */
export function watch(processes: Running['processes']): () => Cost {
  const beganAt = performance.now()
  const loadBefore = ownCpuMs()
  const before = times(processes)
  return () => {
    const elapsedMs = performance.now() - beganAt
    const loadCpuMs = ownCpuMs() - loadBefore
    const after = times(processes)
    const cpuMs = Object.fromEntries(Object.entries(after).map(([role, ms]) => [role, ms - (before[role] ?? 0)]))
    const memory = Object.entries(processes).map(([role, pid]) => [role, memoryBytes(pid)] as const)
    return { elapsedMs, cpuMs, loadCpuMs, memoryBytes: Object.fromEntries(memory) }
  }
}

const times = (processes: Running['processes']): Record<string, number> =>
  Object.fromEntries(Object.entries(processes).map(([role, pid]) => [role, cpuMsWithChildren(pid)]))
