// Command jobs and their tasks in the SQLite store, with their SQL. Not here: cancellations (sqlite-cancellations.ts), what a search asks for
// (job-condition.ts), the commands themselves (sqlite.ts).

import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite'
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
  OUTCOME_COLUMNS,
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
import { transaction } from './sqlite-file.ts'

const statements = {
  addJob: `insert into job (${JOB_COLUMNS.replaceAll('j.', '')}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  job: `select ${JOB_COLUMNS} from job j where j.job_id = ?`,
  countJobs: 'select count(*) as n, count(*) filter (where ended_at is null) as open from job where org_id = ?',
  namesOfJobs: 'select distinct name_json from job where org_id = ?',
  dueJobs: `select ${JOB_COLUMNS} from job j where j.next_at <= ? order by j.next_at, j.job_id limit ?`,
  nextJobAt: 'select min(next_at) as at from job where next_at is not null',
  saveJob:
    'update job set status = ?, changed_at = ?, next_at = ?, ended_at = ? where job_id = ? and status = ? and next_at is ?',
  spreadJob: `update job set tasks = tasks + ?, spread_to = ? where job_id = ? and spread_to = ? and status <> 'DELETED'`,
  addTask: `insert into task (job_id, task_no, device_id, product_key, device_key, asset_id, created_at,
      status, command_id, attempt, auto_retries, manual_retries, next_at, result_code, result_text, output_json, updated_at)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  dueTasks: `select ${TASK_COLUMNS} from task t where t.job_id = ? and t.next_at <= ? order by t.next_at, t.task_no limit ?`,
  tasksLeft: `select exists (select 1 from task where job_id = ?1 and status in ('QUEUED', 'PUBLISHED')) as open,
      (select min(next_at) from task where job_id = ?1 and next_at is not null) as next_at`,
  task: `select ${TASK_COLUMNS} from task t where t.job_id = ? and t.task_no = ?`,
  unfinishedTasks: `select ${TASK_COLUMNS} from task t
    where t.job_id = ? and t.task_no > ? and (t.status in ('QUEUED', 'PUBLISHED') or t.next_at is not null) order by t.task_no limit ?`,
  countTasks: 'select status, count(*) as n from task where job_id = ? group by status',
  /** how many open tasks a look takes, and the last of them */
  openTasks: `select count(*) as n, max(task_no) as last from (select task_no from task
      where job_id = ? and status in ('QUEUED', 'PUBLISHED') and task_no > ? order by task_no limit ?)`,
  movedTasks: `select ${TASK_COLUMNS}, ${OUTCOME_COLUMNS}
    from task t left join command c on c.id = t.command_id left join command_body b on b.id = c.id
    where t.job_id = ? and t.status in ('QUEUED', 'PUBLISHED') and t.task_no > ? and t.task_no <= ?
      and (c.id is null or c.state <> case t.status when 'QUEUED' then 1 else 4 end)
    order by t.task_no`,
  saveTask: `update task set status = ?, command_id = ?, attempt = ?, auto_retries = ?, manual_retries = ?, next_at = ?, result_code = ?,
      result_text = ?, output_json = ?, updated_at = ?
    where job_id = ? and task_no = ? and attempt = ? and status = ?`,
  removeTasks: 'delete from task where rowid in (select rowid from task where job_id = ? limit ?)',
  hasTask: 'select 1 from task where job_id = ? limit 1',
  removeJob: 'delete from job where job_id = ?',
  hideJob: `update job set status = 'DELETED' where job_id = ?`,
  oldestEnded: 'select job_id from job where ended_at < ? order by ended_at limit 1',
} as const

export class SqliteJobs implements CommandJobs {
  readonly #db: DatabaseSyncInstance
  readonly #sql: Readonly<Record<keyof typeof statements, StatementSyncInstance>>

  constructor(db: DatabaseSyncInstance) {
    this.#db = db
    const prepared = Object.entries(statements).map(([name, sql]) => [name, db.prepare(sql)])
    this.#sql = Object.fromEntries(prepared)
  }

  async addJob(job: JobRow, tasks: readonly TaskRow[]): Promise<void> {
    for (const row of [job, ...tasks]) assertNoNul(row)
    transaction(this.#db, () => {
      this.#sql.addJob.run(...jobValues(job))
      for (const task of tasks) this.#addTask(task)
    })
  }

  #addTask(task: TaskRow): void {
    const { jobId, taskNo, deviceId, productKey, deviceKey, assetId, createdAt } = task
    this.#sql.addTask.run(
      ...[jobId, taskNo, deviceId, productKey, deviceKey, assetId, createdAt],
      ...Object.values(changing(task)),
    )
  }

  async job(jobId: string): Promise<JobRow | null> {
    if (!isKept(jobId)) return null
    const row: JobColumns | undefined = this.#sql.job.get(jobId)
    return row === undefined ? null : jobOf(row)
  }

  async countJobs(orgId: string): Promise<{ open: number; all: number }> {
    const row: { n: number; open: number } = this.#sql.countJobs.get(orgId)
    return { open: row.open, all: row.n }
  }

  #dialect(orgId: string, condition: WorkCondition<string> | null): Dialect {
    const rows: { name_json: string }[] = looksAtJobNames(condition) ? this.#sql.namesOfJobs.all(orgId) : []
    return { isListed: 'in (select value from json_each(?))', names: rows.map(row => row.name_json) }
  }

  async searchJobs(
    orgId: string,
    createdBy: string | null,
    condition: WorkCondition<JobField> | null,
    offset: number,
    limit: number,
  ): Promise<{ rows: JobRow[]; total: number }> {
    const { sql, parameters } = compileJobs(condition, this.#dialect(orgId, condition))
    const matching = `from job j where ${VISIBLE} and ${sql}`
    const given = [orgId, createdBy, createdBy, ...parameters]
    const count: { n: number } = this.#db.prepare(`select count(*) as n ${matching}`).get(...given)
    const page = this.#db.prepare(
      `select ${JOB_COLUMNS} ${matching} order by j.created_at desc, j.job_id desc limit ? offset ?`,
    )
    const rows: JobColumns[] = page.all(...given, limit, offset)
    return { rows: rows.map(jobOf), total: count.n }
  }

  async searchTasks(
    orgId: string,
    createdBy: string | null,
    condition: WorkCondition<TaskField>,
    offset: number,
    limit: number,
  ): Promise<{ rows: TaskRow[]; total: number }> {
    const { sql, parameters } = compileTasks(condition, this.#dialect(orgId, condition))
    const matching = `from task t join job j on j.job_id = t.job_id where ${VISIBLE} and ${sql}`
    const given = [orgId, createdBy, createdBy, ...parameters]
    const count: { n: number } = this.#db.prepare(`select count(*) as n ${matching}`).get(...given)
    const page = this.#db.prepare(
      `select ${TASK_COLUMNS} ${matching} order by j.created_at desc, j.job_id desc, t.task_no limit ? offset ?`,
    )
    const rows: TaskColumns[] = page.all(...given, limit, offset)
    return { rows: rows.map(taskOf), total: count.n }
  }

  async dueJobs(now: number, limit: number): Promise<JobRow[]> {
    const rows: JobColumns[] = this.#sql.dueJobs.all(now, limit)
    return rows.map(jobOf)
  }

  /** When a job is to be looked at next. */
  get nextAt(): number | null {
    const row: { at: number | null } = this.#sql.nextJobAt.get()
    return row.at
  }

  async saveJob(
    jobId: string,
    from: Pick<JobRow, 'status' | 'nextAt'>,
    { status, changedAt, nextAt, endedAt }: Pick<JobRow, 'status' | 'changedAt' | 'nextAt' | 'endedAt'>,
  ): Promise<boolean> {
    return this.#sql.saveJob.run(status, changedAt, nextAt, endedAt, jobId, from.status, from.nextAt).changes === 1
  }

  async addTasks(jobId: string, from: number, to: number | null, tasks: readonly TaskRow[]): Promise<boolean> {
    tasks.forEach(assertNoNul)
    return transaction(this.#db, () => {
      const isNext = this.#sql.spreadJob.run(tasks.length, to, jobId, from).changes === 1
      for (const task of isNext ? tasks : []) this.#addTask(task)
      return isNext
    })
  }

  async dueTasks(jobId: string, now: number, limit: number): Promise<TaskRow[]> {
    const rows: TaskColumns[] = this.#sql.dueTasks.all(jobId, now, limit)
    return rows.map(taskOf)
  }

  async tasksLeft(jobId: string): Promise<{ open: boolean; nextAt: number | null }> {
    const row: { open: number; next_at: number | null } = this.#sql.tasksLeft.get(jobId)
    return { open: row.open === 1, nextAt: row.next_at }
  }

  async tasks(jobId: string, taskNos: readonly number[]): Promise<TaskRow[]> {
    if (!isKept(jobId)) return []
    const found = [...new Set(taskNos)].sort((a, b) => a - b)
    return found.flatMap(taskNo => {
      const row: TaskColumns | undefined = this.#sql.task.get(jobId, taskNo)
      return row === undefined ? [] : [taskOf(row)]
    })
  }

  async unfinishedTasks(jobId: string, after: number, limit: number): Promise<TaskRow[]> {
    const rows: TaskColumns[] = this.#sql.unfinishedTasks.all(jobId, after, limit)
    return rows.map(taskOf)
  }

  async countTasks(jobId: string): Promise<Map<TaskStatus, number>> {
    const rows: { status: TaskStatus; n: number }[] = this.#sql.countTasks.all(jobId)
    return new Map(rows.map(({ status, n }) => [status, n]))
  }

  async movedTasks(
    jobId: string,
    after: number,
    scan: number,
  ): Promise<{ moved: { task: TaskRow; outcome: TaskOutcome | null }[]; next: number | null }> {
    const looked: { n: number; last: number | null } = this.#sql.openTasks.get(jobId, after, scan)
    const rows: MovedColumns[] = looked.last === null ? [] : this.#sql.movedTasks.all(jobId, after, looked.last)
    return { moved: rows.map(movedOf), next: looked.n === scan ? looked.last : null }
  }

  async saveTasks(
    jobId: string,
    tasks: readonly { readonly from: Pick<TaskRow, 'attempt' | 'status'>; readonly task: TaskRow }[],
  ): Promise<number[]> {
    for (const { task } of tasks) assertNoNul(task)
    return transaction(this.#db, () => {
      const written = tasks.filter(({ from, task }) => {
        const to = Object.values(changing(task))
        return this.#sql.saveTask.run(...to, jobId, task.taskNo, from.attempt, from.status).changes === 1
      })
      return written.map(({ task }) => task.taskNo)
    })
  }

  async removeJob(jobId: string, limit: number): Promise<boolean> {
    return transaction(this.#db, () => this.#remove(jobId, limit).isGone)
  }

  #remove(jobId: string, limit: number): { isGone: boolean; rows: number } {
    const tasks = Number(this.#sql.removeTasks.run(jobId, limit).changes)
    if (this.#sql.hasTask.get(jobId) !== undefined) return { isGone: false, rows: tasks }
    return { isGone: true, rows: tasks + Number(this.#sql.removeJob.run(jobId).changes) }
  }

  /** Deletes at most `limit` rows, or one more, of jobs that ended before; returns how many. Within a transaction. */
  purge(before: number, limit: number): number {
    let left = limit
    while (left > 0) {
      const old: { job_id: string } | undefined = this.#sql.oldestEnded.get(before)
      if (old === undefined) break
      const { isGone, rows } = this.#remove(old.job_id, left)
      // The rest goes in the next step; until then nobody sees a part of it.
      if (!isGone) this.#sql.hideJob.run(old.job_id)
      left -= rows
    }
    return Math.min(limit - left, limit)
  }
}

/** Jobs of an organization, of anybody or of one application. */
const VISIBLE = `j.org_id = ? and (? is null or j.created_by = ?) and j.status <> 'DELETED'`

/** What an attempt or its end changes of a task, in the order of the statements. */
const changing = (task: TaskRow) => ({
  status: task.status,
  commandId: task.commandId === null ? null : idNumber(task.commandId),
  attempt: task.attempt,
  autoRetries: task.autoRetries,
  manualRetries: task.manualRetries,
  nextAt: task.nextAt,
  resultCode: task.resultCode,
  resultText: task.resultText,
  outputJson: task.outputJson,
  updatedAt: task.updatedAt,
})
