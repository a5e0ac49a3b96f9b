// The condition of a search for jobs or tasks, read two ways: as a predicate on a row (memory-jobs.ts) and as SQL with bound parameters (the database stores).
// Not the grammar that callers write (http/job-expression.ts).

import { nameMatches } from '../core/name.ts'
import { isKept } from './checks.ts'
import {
  type JobField,
  type JobRow,
  readTaskId,
  type TaskField,
  type TaskRow,
  taskIdOf,
  type WorkCondition,
} from './jobs.ts'

/** Of the job that is looked at, or that the task belongs to. */
type Job = Pick<JobRow, 'nameJson' | 'createdAt'>

export const matchesJob = (job: JobRow, condition: WorkCondition<JobField>): boolean =>
  holds(condition, job, field => job[field])

/** A task is as old as its own row says: those of a product are made when their job begins. */
export const matchesTask = (task: TaskRow, job: Job, condition: WorkCondition<TaskField>): boolean =>
  holds(condition, { nameJson: job.nameJson, createdAt: task.createdAt }, field =>
    field === 'taskId' ? taskIdOf(task) : task[field],
  )

function holds<Field extends string>(
  condition: WorkCondition<Field>,
  of: Job,
  read: (field: Field) => string,
): boolean {
  switch (condition.op) {
    case 'and':
      return condition.terms.every(term => holds(term, of, read))
    case 'or':
      return condition.terms.some(term => holds(term, of, read))
    case 'in':
      return condition.values.includes(read(condition.field))
    case 'created':
      return (
        (condition.from === null || of.createdAt >= condition.from) &&
        (condition.to === null || of.createdAt < condition.to)
      )
    case 'name':
      return nameMatches(of.nameJson, condition.locale, condition.text, false)
  }
}

export interface CompiledWork {
  /** one SQL condition; `?` for each parameter; nothing of the caller's text is in it */
  readonly sql: string
  readonly parameters: readonly (number | string)[]
}

const TRUE: CompiledWork = { sql: '1 = 1', parameters: [] }
const FALSE: CompiledWork = { sql: '1 = 0', parameters: [] }

export interface Dialect {
  /** how it says that a text is in the JSON array of its one parameter */
  readonly isListed: string
  /** the distinct names (StringI18n as JSON text) of the jobs that are searched: they are decided here, as everywhere */
  readonly names: readonly string[]
}

/** Over the columns of `job j`. */
export const compileJobs = (condition: WorkCondition<JobField> | null, dialect: Dialect): CompiledWork =>
  condition === null
    ? TRUE
    : compile(condition, dialect, 'j.created_at', (field, values) => listed(jobColumns[field], values, dialect))

const jobColumns: Readonly<Record<JobField, string>> = { jobId: 'j.job_id', status: 'j.status' }

/** Over the columns of `task t` and of its `job j`. */
export const compileTasks = (condition: WorkCondition<TaskField>, dialect: Dialect): CompiledWork =>
  compile(condition, dialect, 't.created_at', (field, values) =>
    field === 'taskId' ? taskIds(values) : listed(taskColumns[field], values, dialect),
  )

const taskColumns: Readonly<Record<Exclude<TaskField, 'taskId'>, string>> = {
  jobId: 't.job_id',
  assetId: 't.asset_id',
  productKey: 't.product_key',
  deviceKey: 't.device_key',
  status: 't.status',
}

/** Whether a condition looks at names: then they must be known before it can be compiled. */
export const looksAtJobNames = (condition: WorkCondition<string> | null): boolean =>
  condition !== null && (condition.op === 'name' || ('terms' in condition && condition.terms.some(looksAtJobNames)))

function compile<Field extends string>(
  condition: WorkCondition<Field>,
  dialect: Dialect,
  createdAt: string,
  isIn: (field: Field, values: readonly string[]) => CompiledWork,
): CompiledWork {
  switch (condition.op) {
    case 'and':
    case 'or': {
      if (condition.terms.length === 0) return condition.op === 'and' ? TRUE : FALSE
      const parts = condition.terms.map(term => compile(term, dialect, createdAt, isIn))
      const sql = parts.map(part => part.sql).join(` ${condition.op} `)
      return { sql: `(${sql})`, parameters: parts.flatMap(part => part.parameters) }
    }
    case 'in':
      return isIn(condition.field, condition.values.filter(isKept))
    case 'created': {
      const { from, to } = condition
      const parts = [from === null ? [] : `${createdAt} >= ?`, to === null ? [] : `${createdAt} < ?`].flat()
      const sql = parts.length === 0 ? TRUE.sql : `(${parts.join(' and ')})`
      return { sql, parameters: [from, to].filter(bound => bound !== null) }
    }
    case 'name': {
      const { locale, text } = condition
      const matching = dialect.names.filter(nameJson => nameMatches(nameJson, locale, text, false))
      return listed('j.name_json', matching, dialect)
    }
  }
}

const listed = (column: string, values: readonly string[], { isListed }: Dialect): CompiledWork => ({
  sql: `${column} ${isListed}`,
  parameters: [JSON.stringify(values)],
})

/** By the key of the table, so that it is looked up. */
function taskIds(values: readonly string[]): CompiledWork {
  const keys = values.map(readTaskId).filter(key => key !== null)
  if (keys.length === 0) return FALSE
  const sql = keys.map(() => '(t.job_id = ? and t.task_no = ?)').join(' or ')
  return { sql: `(${sql})`, parameters: keys.flatMap(({ jobId, taskNo }) => [jobId, taskNo]) }
}
