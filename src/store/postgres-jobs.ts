// Command jobs and their tasks on PostgreSQL. Where an attempt was not answered, the next one waits for its end at the job's row, and finds what it wrote.
// Not here: the SQL (postgres-job-statements.ts), what a search asks for (job-condition.ts), cancellations (postgres-cancellations.ts).

import { assert } from '../core/errors.ts'
import { assertNoNul, isKept } from './checks.ts'
import { idNumber } from './condition.ts'
import { compileJobs, compileTasks, type Dialect, looksAtJobNames } from './job-condition.ts'
import {
  JOB_COLUMNS,
  type JobColumns,
  jobOf,
  jobValues,
  type MovedColumns,
  movedOf,
  TASK_COLUMNS,
  type TaskColumns,
  taskOf,
} from './job-rows.ts'
import type {
  CommandJobs,
  JobField,
  JobRow,
  TaskField,
  TaskOutcome,
  TaskRow,
  TaskStatus,
  WorkCondition,
} from './jobs.ts'
import type { Connections, Session } from './postgres-connection.ts'
import { columns } from './postgres-rows.ts'

export class PostgresJobs implements CommandJobs {
  readonly #connections: Connections

  constructor(connections: Connections) {
    this.#connections = connections
  }

  async addJob(job: JobRow, tasks: readonly TaskRow[]): Promise<void> {
    for (const row of [job, ...tasks]) assertNoNul(row)
    const added = await this.#connections.write('others', async (on, repeated) => {
      const isNew = (await on.run('addJob', ...jobValues(job))) === 1
      if (isNew) await addTasks(on, job.jobId, tasks)
      return isNew || repeated
    })
    assert(added, `job ${job.jobId} is added once`)
  }

  async job(jobId: string): Promise<JobRow | null> {
    if (!isKept(jobId)) return null
    const [row] = await this.#connections.again('others', on => on.all<JobColumns>('job', jobId))
    return row === undefined ? null : jobOf(row)
  }

  async countJobs(orgId: string): Promise<{ open: number; all: number }> {
    const [row] = await this.#connections.again('others', on => on.all<{ n: number; open: number }>('countJobs', orgId))
    return { open: row?.open ?? 0, all: row?.n ?? 0 }
  }

  async searchJobs(
    orgId: string,
    createdBy: string | null,
    condition: WorkCondition<JobField> | null,
    offset: number,
    limit: number,
  ): Promise<{ rows: JobRow[]; total: number }> {
    const found = await this.#connections.again('others', async on => {
      const { sql, parameters } = compileJobs(condition, await dialect(on, orgId, condition))
      const question = `with found as materialized (select j.job_id, j.created_at from job j where ${VISIBLE} and ${sql}),
          page as (select job_id from found order by created_at desc, job_id desc limit ? offset ?)
        select (select count(*) from found), ${JOB_COLUMNS} from (select) as one left join (page join job j using (job_id)) on true
        order by j.created_at desc, j.job_id desc`
      return on.search<[number, ...unknown[]]>(numbered(question), [
        orgId,
        createdBy,
        createdBy,
        ...parameters,
        limit,
        offset,
      ])
    })
    return pageOf(found, JOB_NAMES, row => jobOf(row as unknown as JobColumns))
  }

  async searchTasks(
    orgId: string,
    createdBy: string | null,
    condition: WorkCondition<TaskField>,
    offset: number,
    limit: number,
  ): Promise<{ rows: TaskRow[]; total: number }> {
    const found = await this.#connections.again('others', async on => {
      const { sql, parameters } = compileTasks(condition, await dialect(on, orgId, condition))
      const question = `with found as materialized (select t.job_id, t.task_no, j.created_at
            from task t join job j on j.job_id = t.job_id where ${VISIBLE} and ${sql}),
          page as (select * from found order by created_at desc, job_id desc, task_no limit ? offset ?)
        select (select count(*) from found), ${TASK_COLUMNS}
        from (select) as one left join (page p join task t on t.job_id = p.job_id and t.task_no = p.task_no) on true
        order by p.created_at desc, t.job_id desc, t.task_no`
      return on.search<[number, ...unknown[]]>(numbered(question), [
        orgId,
        createdBy,
        createdBy,
        ...parameters,
        limit,
        offset,
      ])
    })
    return pageOf(found, TASK_NAMES, row => taskOf(row as unknown as TaskColumns))
  }

  async dueJobs(now: number, limit: number): Promise<JobRow[]> {
    const rows = await this.#connections.again('others', on => on.all<JobColumns>('dueJobs', now, limit))
    return rows.map(jobOf)
  }

  async saveJob(
    jobId: string,
    from: Pick<JobRow, 'status' | 'nextAt'>,
    to: Pick<JobRow, 'status' | 'changedAt' | 'nextAt' | 'endedAt'>,
  ): Promise<boolean> {
    const { status, changedAt, nextAt, endedAt } = to
    return this.#connections.write('others', async (on, repeated) => {
      const [row] = await on.all<JobColumns>('lockJob', jobId)
      const isAsIt = (was: Pick<JobRow, 'status' | 'nextAt'>): boolean =>
        row?.status === was.status && row.next_at === was.nextAt
      if (isAsIt(from)) await on.run('saveJob', jobId, status, changedAt, nextAt, endedAt)
      return isAsIt(from) || (repeated && isAsIt(to))
    })
  }

  async addTasks(jobId: string, from: number, to: number | null, tasks: readonly TaskRow[]): Promise<boolean> {
    tasks.forEach(assertNoNul)
    return this.#connections.write('others', async (on, repeated) => {
      const [row] = await on.all<JobColumns>('lockJob', jobId)
      if (row === undefined || row.status === 'DELETED') return false
      if (row.spread_to !== from) return repeated && row.spread_to === to
      await on.run('spreadJob', jobId, tasks.length, to)
      await addTasks(on, jobId, tasks)
      return true
    })
  }

  async dueTasks(jobId: string, now: number, limit: number): Promise<TaskRow[]> {
    const rows = await this.#connections.again('others', on => on.all<TaskColumns>('dueTasks', jobId, now, limit))
    return rows.map(taskOf)
  }

  async tasksLeft(jobId: string): Promise<{ open: boolean; nextAt: number | null }> {
    const [row] = await this.#connections.again('others', on =>
      on.all<{ open: boolean; next_at: number | null }>('tasksLeft', jobId),
    )
    return { open: row?.open ?? false, nextAt: row?.next_at ?? null }
  }

  async tasks(jobId: string, taskNos: readonly number[]): Promise<TaskRow[]> {
    if (!isKept(jobId)) return []
    const rows = await this.#connections.again('others', on => on.all<TaskColumns>('tasks', jobId, taskNos))
    return rows.map(taskOf)
  }

  async unfinishedTasks(jobId: string, after: number, limit: number): Promise<TaskRow[]> {
    const rows = await this.#connections.again('others', on =>
      on.all<TaskColumns>('unfinishedTasks', jobId, after, limit),
    )
    return rows.map(taskOf)
  }

  async countTasks(jobId: string): Promise<Map<TaskStatus, number>> {
    const rows = await this.#connections.again('others', on =>
      on.all<{ status: TaskStatus; n: number }>('countTasks', jobId),
    )
    return new Map(rows.map(({ status, n }) => [status, n]))
  }

  async movedTasks(
    jobId: string,
    after: number,
    scan: number,
  ): Promise<{ moved: { task: TaskRow; outcome: TaskOutcome | null }[]; next: number | null }> {
    return this.#connections.again('others', async on => {
      const [looked] = await on.all<{ n: number; last: number | null }>('openTasks', jobId, after, scan)
      const last = looked?.last ?? null
      if (last === null) return { moved: [], next: null }
      const rows = await on.all<MovedColumns>('movedTasks', jobId, after, last)
      return { moved: rows.map(movedOf), next: looked?.n === scan ? last : null }
    })
  }

  async saveTasks(
    jobId: string,
    tasks: readonly { readonly from: Pick<TaskRow, 'attempt' | 'status'>; readonly task: TaskRow }[],
  ): Promise<number[]> {
    for (const { task } of tasks) assertNoNul(task)
    const rows = tasks.map(({ from, task }) => [task.taskNo, from.attempt, from.status, ...changing(task)])
    const [taskNos, ...rest] = columns(rows, 13)
    return this.#connections.write('others', async (on, repeated) => {
      const [job] = await on.all<JobColumns>('lockJob', jobId)
      if (job === undefined) return []
      const written = await on.all<{ task_no: number }>('saveTasks', jobId, taskNos, repeated, ...rest)
      return written.map(row => row.task_no)
    })
  }

  async removeJob(jobId: string, limit: number): Promise<boolean> {
    await this.#connections.again('others', on => on.run('removeTasks', jobId, limit))
    await this.#connections.again('others', on => on.run('removeJob', jobId))
    return (await this.job(jobId)) === null
  }
}

/** Deletes at most `limit` rows, or one more, of jobs that ended before; returns how many. Within a transaction. */
export async function purgeJobs(on: Session, before: number, limit: number): Promise<number> {
  let left = limit
  while (left > 0) {
    const [old] = await on.all<{ job_id: string }>('oldestEndedJob', before)
    if (old === undefined) break
    left -= await on.run('removeTasks', old.job_id, left)
    const jobs = await on.run('removeJob', old.job_id)
    // The rest goes in the next step; until then nobody sees a part of it.
    if (jobs === 0) await on.run('hideJob', old.job_id)
    left -= jobs
  }
  return Math.min(limit - left, limit)
}

async function addTasks(on: Session, jobId: string, tasks: readonly TaskRow[]): Promise<void> {
  if (tasks.length === 0) return
  const rows = tasks.map(task => {
    const { taskNo, deviceId, productKey, deviceKey, assetId, createdAt } = task
    return [taskNo, deviceId, productKey, deviceKey, assetId, createdAt, ...changing(task)]
  })
  await on.run('addTasks', jobId, ...columns(rows, 16))
}

/** What an attempt or its end changes of a task, in the order of the statements. */
const changing = (task: TaskRow): unknown[] => [
  ...[task.status, task.commandId === null ? null : idNumber(task.commandId), task.attempt, task.autoRetries],
  ...[task.manualRetries, task.nextAt, task.resultCode, task.resultText, task.outputJson, task.updatedAt],
]

/** Jobs of an organization, of anybody or of one application. */
const VISIBLE = `j.org_id = ? and (?::text is null or j.created_by = ?) and j.status <> 'DELETED'`

async function dialect(on: Session, orgId: string, condition: WorkCondition<string> | null): Promise<Dialect> {
  const rows = looksAtJobNames(condition) ? await on.all<{ name_json: string }>('namesOfJobs', orgId) : []
  const isListed = '= any (array(select json_array_elements_text(?::json)))'
  return { isListed, names: rows.map(row => row.name_json) }
}

/** Nothing of the caller's text is in the SQL, so every question mark is a parameter. */
function numbered(question: string): string {
  let n = 0
  return question.replace(/\?/g, () => `$${++n}`)
}

/** Rows of searches come as arrays: the total, then the columns by these names. */
const namesOf = (list: string): string[] => list.split(',').map(column => /(\w+)\s*$/.exec(column)?.[1] ?? '')
const JOB_NAMES = namesOf(JOB_COLUMNS)
const TASK_NAMES = namesOf(TASK_COLUMNS)

/** A page with nothing on it is one row, which has only the total. */
function pageOf<Row>(
  found: readonly [number, ...unknown[]][],
  names: readonly string[],
  of: (row: Readonly<Record<string, unknown>>) => Row,
): { rows: Row[]; total: number } {
  const rows = found
    .filter(row => row[1] !== null)
    .map(([, ...values]) => of(Object.fromEntries(names.map((name, n) => [name, values[n]]))))
  return { rows, total: found[0]?.[0] ?? 0 }
}
