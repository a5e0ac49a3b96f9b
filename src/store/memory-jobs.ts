// Command jobs and their tasks in memory. Each search and each look goes through all there are. Not here: cancellations (memory-cancellations.ts).

import type { State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import { assertNoNul, byCodePoint } from './checks.ts'
import { matchesJob, matchesTask } from './job-condition.ts'
import {
  type CommandJobs,
  type JobField,
  type JobRow,
  openStatuses,
  type TaskField,
  type TaskOutcome,
  type TaskRow,
  type TaskStatus,
  type WorkCondition,
} from './jobs.ts'
import type { StoredCommand } from './store.ts'

interface Entry {
  row: JobRow
  /** by their numbers */
  readonly tasks: Map<number, TaskRow>
}

const isOpen = ({ status }: Pick<TaskRow, 'status'>): boolean =>
  (openStatuses as readonly TaskStatus[]).includes(status)

/** What a task says of the state of its command. */
const said: Readonly<Partial<Record<TaskStatus, State>>> = { QUEUED: 1, PUBLISHED: 4 }

export class MemoryJobs implements CommandJobs {
  readonly #jobs = new Map<string, Entry>()
  readonly #command: (commandId: string) => StoredCommand | null

  /** command: the record of a command, whatever its device */
  constructor(command: (commandId: string) => StoredCommand | null) {
    this.#command = command
  }

  async addJob(job: JobRow, tasks: readonly TaskRow[]): Promise<void> {
    for (const row of [job, ...tasks]) assertNoNul(row)
    assert(!this.#jobs.has(job.jobId), `job ${job.jobId} is added once`)
    const entry = { row: Object.freeze({ ...job }), tasks: new Map<number, TaskRow>() }
    for (const task of tasks) putNew(entry, task)
    this.#jobs.set(job.jobId, entry)
  }

  async job(jobId: string): Promise<JobRow | null> {
    return this.#jobs.get(jobId)?.row ?? null
  }

  async countJobs(orgId: string): Promise<{ open: number; all: number }> {
    const rows = [...this.#jobs.values()].map(({ row }) => row).filter(row => row.orgId === orgId)
    return { open: rows.filter(({ endedAt }) => endedAt === null).length, all: rows.length }
  }

  /** Newest first. */
  #visible(orgId: string, createdBy: string | null): Entry[] {
    const isVisible = ({ row }: Entry): boolean =>
      row.orgId === orgId && row.status !== 'DELETED' && (createdBy === null || row.createdBy === createdBy)
    const isBefore = (a: Entry, b: Entry): number =>
      b.row.createdAt - a.row.createdAt || byCodePoint(b.row.jobId, a.row.jobId)
    return [...this.#jobs.values()].filter(isVisible).sort(isBefore)
  }

  async searchJobs(
    orgId: string,
    createdBy: string | null,
    condition: WorkCondition<JobField> | null,
    offset: number,
    limit: number,
  ): Promise<{ rows: JobRow[]; total: number }> {
    const rows = this.#visible(orgId, createdBy).map(({ row }) => row)
    const found = rows.filter(row => condition === null || matchesJob(row, condition))
    return { rows: found.slice(offset, offset + limit), total: found.length }
  }

  async searchTasks(
    orgId: string,
    createdBy: string | null,
    condition: WorkCondition<TaskField>,
    offset: number,
    limit: number,
  ): Promise<{ rows: TaskRow[]; total: number }> {
    const found = this.#visible(orgId, createdBy).flatMap(entry =>
      inOrder(entry).filter(task => matchesTask(task, entry.row, condition)),
    )
    return { rows: found.slice(offset, offset + limit), total: found.length }
  }

  async dueJobs(now: number, limit: number): Promise<JobRow[]> {
    const due = [...this.#jobs.values()].map(({ row }) => row).filter(({ nextAt }) => nextAt !== null && nextAt <= now)
    due.sort((a, b) => Number(a.nextAt) - Number(b.nextAt) || byCodePoint(a.jobId, b.jobId))
    return due.slice(0, limit)
  }

  /** When a job is to be looked at next. */
  get nextAt(): number | null {
    return earliest([...this.#jobs.values()].map(({ row }) => row.nextAt))
  }

  async saveJob(
    jobId: string,
    from: Pick<JobRow, 'status' | 'nextAt'>,
    { status, changedAt, nextAt, endedAt }: Pick<JobRow, 'status' | 'changedAt' | 'nextAt' | 'endedAt'>,
  ): Promise<boolean> {
    const entry = this.#jobs.get(jobId)
    if (entry?.row.status !== from.status || entry.row.nextAt !== from.nextAt) return false
    entry.row = Object.freeze({ ...entry.row, status, changedAt, nextAt, endedAt })
    return true
  }

  async addTasks(jobId: string, from: number, to: number | null, tasks: readonly TaskRow[]): Promise<boolean> {
    tasks.forEach(assertNoNul)
    const entry = this.#jobs.get(jobId)
    if (entry === undefined || entry.row.spreadTo !== from || entry.row.status === 'DELETED') return false
    for (const task of tasks) putNew(entry, task)
    entry.row = Object.freeze({ ...entry.row, tasks: entry.row.tasks + tasks.length, spreadTo: to })
    return true
  }

  async dueTasks(jobId: string, now: number, limit: number): Promise<TaskRow[]> {
    const due = this.#tasks(jobId).filter(({ nextAt }) => nextAt !== null && nextAt <= now)
    return due.sort((a, b) => Number(a.nextAt) - Number(b.nextAt) || a.taskNo - b.taskNo).slice(0, limit)
  }

  async tasksLeft(jobId: string): Promise<{ open: boolean; nextAt: number | null }> {
    const tasks = this.#tasks(jobId)
    return { open: tasks.some(isOpen), nextAt: earliest(tasks.map(({ nextAt }) => nextAt)) }
  }

  async tasks(jobId: string, taskNos: readonly number[]): Promise<TaskRow[]> {
    const wanted = new Set(taskNos)
    return this.#tasks(jobId).filter(({ taskNo }) => wanted.has(taskNo))
  }

  async unfinishedTasks(jobId: string, after: number, limit: number): Promise<TaskRow[]> {
    const isUnfinished = (task: TaskRow): boolean => task.taskNo > after && (isOpen(task) || task.nextAt !== null)
    return this.#tasks(jobId).filter(isUnfinished).slice(0, limit)
  }

  async countTasks(jobId: string): Promise<Map<TaskStatus, number>> {
    const counts = new Map<TaskStatus, number>()
    for (const { status } of this.#tasks(jobId)) counts.set(status, (counts.get(status) ?? 0) + 1)
    return counts
  }

  async movedTasks(
    jobId: string,
    after: number,
    scan: number,
  ): Promise<{ moved: { task: TaskRow; outcome: TaskOutcome | null }[]; next: number | null }> {
    const looked = this.#tasks(jobId)
      .filter(task => isOpen(task) && task.taskNo > after)
      .slice(0, scan)
    const all = looked.map(task => ({ task, outcome: this.#outcome(task.commandId) }))
    const moved = all.filter(({ task, outcome }) => outcome?.state !== said[task.status])
    return { moved, next: looked.length === scan ? (looked.at(-1)?.taskNo ?? null) : null }
  }

  #outcome(commandId: string | null): TaskOutcome | null {
    const stored = commandId === null ? null : this.#command(commandId)
    if (stored === null) return null
    const { state, code, settledAt } = stored.command
    const { outputJson, deviceMessage } = stored.body
    return { state, code, settledAt, outputJson, deviceMessage }
  }

  async saveTasks(
    jobId: string,
    tasks: readonly { readonly from: Pick<TaskRow, 'attempt' | 'status'>; readonly task: TaskRow }[],
  ): Promise<number[]> {
    for (const { task } of tasks) assertNoNul(task)
    const entry = this.#jobs.get(jobId)
    const written: number[] = []
    for (const { from, task } of tasks) {
      const before = entry?.tasks.get(task.taskNo)
      if (before === undefined || before.attempt !== from.attempt || before.status !== from.status) continue
      const { deviceId, productKey, deviceKey, assetId, createdAt } = before
      entry?.tasks.set(
        task.taskNo,
        Object.freeze({ ...task, jobId, deviceId, productKey, deviceKey, assetId, createdAt }),
      )
      written.push(task.taskNo)
    }
    return written
  }

  async removeJob(jobId: string, limit: number): Promise<boolean> {
    const entry = this.#jobs.get(jobId)
    if (entry === undefined) return true
    for (const { taskNo } of inOrder(entry).slice(0, limit)) entry.tasks.delete(taskNo)
    if (entry.tasks.size === 0) this.#jobs.delete(jobId)
    return entry.tasks.size === 0
  }

  /** Deletes at most `limit` rows of jobs that ended before; returns how many. */
  purge(before: number, limit: number): number {
    const old = [...this.#jobs.values()]
      .filter(({ row: { endedAt } }) => endedAt !== null && endedAt < before)
      .sort((a, b) => Number(a.row.endedAt) - Number(b.row.endedAt))
    let left = limit
    for (const entry of old) {
      const gone = inOrder(entry).slice(0, left)
      for (const { taskNo } of gone) entry.tasks.delete(taskNo)
      left -= gone.length
      if (left === 0 || entry.tasks.size > 0) {
        // The rest goes in the next step; until then nobody sees a part of it.
        entry.row = Object.freeze({ ...entry.row, status: 'DELETED' })
        break
      }
      this.#jobs.delete(entry.row.jobId)
      left -= 1
    }
    return limit - left
  }

  /** In the order of their numbers. */
  #tasks(jobId: string): TaskRow[] {
    const entry = this.#jobs.get(jobId)
    return entry === undefined ? [] : inOrder(entry)
  }
}

const inOrder = ({ tasks }: Entry): TaskRow[] => [...tasks.values()].sort((a, b) => a.taskNo - b.taskNo)

function putNew({ tasks }: Entry, task: TaskRow): void {
  assert(!tasks.has(task.taskNo), `task ${task.taskNo} of job ${task.jobId} is added once`)
  tasks.set(task.taskNo, Object.freeze({ ...task }))
}

/** The earliest of some instants; null where there is none. */
export function earliest(instants: readonly (number | null)[]): number | null {
  let first: number | null = null
  for (const at of instants) if (at !== null && (first === null || at < first)) first = at
  return first
}
