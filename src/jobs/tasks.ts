// What somebody asks of single tasks of a job: to cancel them, or to try them again. Done when it is the job's turn, so that no attempt is made meanwhile.
// Not here: the steps that a job takes by itself (job.ts), how the answers look on the wire (http/jobs.ts).

import { errors, type Refusal, refuse } from '../core/errors.ts'
import { JOB_CANCEL_LOOKS } from '../core/limits.ts'
import { type JobRow, type TaskRow, taskIdOf } from '../store/jobs.ts'
import { type Withdrawal, type Workshop, withdraw } from './job.ts'
import { ended, isOpen } from './statuses.ts'

/** What became of each task that was named, in the order in which they were: null: it is as it was asked for. */
export type TaskAnswers = ReadonlyMap<number, Refusal | null>

/**
 * Cancels tasks: one that waits is never sent. What has been sent goes on, and what is over stays so; a cancelled task is not tried again by itself. Where
 * somebody else changes a task meanwhile it is looked at again, so that nobody is told that nothing was done when its command is cancelled.
 */
export async function cancelTasks(
  shop: Workshop,
  job: JobRow,
  taskNos: readonly number[],
  by: string,
): Promise<TaskAnswers> {
  const answers = new Map<number, Refusal | null>()
  const ours = new Set<string>()
  let left = taskNos
  for (let n = 0; n < JOB_CANCEL_LOOKS && left.length > 0; n++) {
    const asked = await cancelOnce(shop, job, left, by, ours)
    const lost = await write(shop, job, asked)
    for (const each of asked)
      answers.set(each.task.taskNo, lost.has(each.task.taskNo) ? unwritten(each, ours) : each.answer)
    left = [...lost]
  }
  await stir(shop, job)
  return inOrder(taskNos, answers)
}

/** One look at these tasks. `ours`: the commands that this call has cancelled so far. */
async function cancelOnce(
  shop: Workshop,
  job: JobRow,
  taskNos: readonly number[],
  by: string,
  ours: Set<string>,
): Promise<Asked[]> {
  const tasks = await shop.store.tasks(job.jobId, taskNos)
  const now = shop.clock.now()
  return Promise.all(
    tasks.map(async task => {
      if (!isOpen(task) && task.nextAt === null) return { task, answer: isIn(ours, task) ? null : over(task), to: null }
      const end = await withdraw(shop, task, by)
      if (end.type === 'cancelled') ours.add(end.commandId)
      const isOurs = end.type === 'final' && ours.has(end.commandId)
      return { task, ...afterCancel(task, isOurs ? { ...end, type: 'cancelled' } : end, now) }
    }),
  )
}

const isIn = (ours: ReadonlySet<string>, { commandId }: TaskRow): boolean => commandId !== null && ours.has(commandId)

/** The answer of one that somebody else keeps changing. A command that was cancelled makes its task CANCELLED whoever looks at it next. */
function unwritten({ answer, to }: Asked, ours: ReadonlySet<string>): Refusal | null {
  return answer !== null || (to !== null && isIn(ours, to)) ? answer : busy
}

interface Asked {
  readonly task: TaskRow
  readonly answer: Refusal | null
  /** null: it stays as it is */
  readonly to: TaskRow | null
}

const over = (task: TaskRow): Refusal => refuse(errors.isOver, `task ${taskIdOf(task)} is over: ${task.status}`)

function afterCancel(task: TaskRow, end: Withdrawal, now: number): Omit<Asked, 'task'> {
  if (end.type === 'refused') return { answer: end.refusal, to: null }
  const words = 'The task was cancelled.'
  if (end.type === 'none') {
    // An open one has a command; that it is not there any more, or its device, is what the next look finds.
    if (isOpen(task)) return { answer: refuse(errors.isOver, `task ${taskIdOf(task)} is over`), to: null }
    return { answer: null, to: ended(task, 'CANCELLED', task.resultCode, words, now) }
  }
  // One that a crash left without a record in the task was the next attempt.
  const attempt = task.commandId === end.commandId ? task.attempt : task.attempt + 1
  const known = { ...task, commandId: end.commandId, attempt }
  if (end.type === 'cancelled') return { answer: null, to: ended(known, 'CANCELLED', null, words, now) }
  const what = end.type === 'open' ? 'its command has been sent' : 'its command is over'
  const answer = refuse(errors.isOver, `task ${taskIdOf(task)} cannot be cancelled: ${what}`)
  return { answer, to: isOpen(task) ? null : { ...known, status: 'QUEUED', nextAt: null, updatedAt: now } }
}

/** Begins a new attempt of tasks that are over without success, at once. Automatic attempts stay counted as they are. */
export async function retryTasks(shop: Workshop, job: JobRow, taskNos: readonly number[]): Promise<TaskAnswers> {
  const { store, clock } = shop
  const now = clock.now()
  const tasks = await store.tasks(job.jobId, taskNos)
  // First of all the job is open again: were this the last step before a crash, it would end once more.
  const status = job.status === 'ENDED' ? 'RUNNING' : job.status
  const isSaved = await store.saveJob(job.jobId, job, { status, changedAt: now, nextAt: now, endedAt: null })
  if (!isSaved) return new Map(taskNos.map(taskNo => [taskNo, busy]))
  const asked = tasks.map((task): Asked => {
    const isFinal = !isOpen(task) && task.status !== 'INIT'
    if (!isFinal || task.status === 'SUCCEED')
      return {
        task,
        answer: refuse(errors.isOver, `task ${taskIdOf(task)} cannot be retried: ${task.status}`),
        to: null,
      }
    const again = { status: 'INIT', resultCode: null, resultText: null, outputJson: null } as const
    const manualRetries = task.manualRetries + 1
    return {
      task,
      answer: null,
      to: { ...task, ...again, manualRetries, nextAt: Math.max(now, job.triggerAt), updatedAt: now },
    }
  })
  const lost = await write(shop, job, asked)
  await stir(shop, { ...job, status, changedAt: now, nextAt: now, endedAt: null })
  const answers = asked.map(({ task, answer }) => [task.taskNo, lost.has(task.taskNo) ? busy : answer] as const)
  return inOrder(taskNos, new Map(answers))
}

export const busy = refuse(errors.unavailable, 'Service unavailable: the job is being worked on; nothing was done')

/** Writes what is to be changed; the numbers of those that somebody else has changed meanwhile, so that they were not written. */
async function write({ store }: Workshop, { jobId }: JobRow, asked: readonly Asked[]): Promise<Set<number>> {
  const changes = asked.flatMap(({ task, to }) => (to === null ? [] : [{ from: task, task: to }]))
  const lost = new Set(changes.map(({ task }) => task.taskNo))
  for (const taskNo of await store.saveTasks(jobId, changes)) lost.delete(taskNo)
  return lost
}

/** With some tasks changed the job may be over, or have something to do. */
async function stir({ store, clock }: Workshop, job: JobRow): Promise<void> {
  const now = clock.now()
  if (job.status === 'RUNNING') await store.saveJob(job.jobId, job, { ...job, changedAt: now, nextAt: now })
}

const inOrder = (taskNos: readonly number[], answers: TaskAnswers): TaskAnswers =>
  new Map(taskNos.map(taskNo => [taskNo, answers.get(taskNo) ?? (answers.has(taskNo) ? null : noSuchTask)]))

export const noSuchTask = refuse(errors.notFound, 'the job has no such task')
