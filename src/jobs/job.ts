// The steps of a job: its tasks are made, begun and followed, and when all are over it has ended. Each step is bounded and guarded, and may be the last one
// before a crash: whoever comes next finds from the rows what is to be done. An attempt's command is made by a key of its own, so that an attempt that was
// made and not recorded is found again instead of made twice.
// Not here: whose turn it is (turns.ts, runner.ts), what somebody asks of single tasks (tasks.ts), what a status means (statuses.ts).

import { createHash } from 'node:crypto'
import type { Clock, Timers } from '../clock.ts'
import { type Command, isOpen, State } from '../core/command.ts'
import { errors, type Refusal } from '../core/errors.ts'
import {
  JOB_KEYS_KEPT_MS,
  JOB_LOOK_MAX_MS,
  JOB_LOOK_MIN_MS,
  JOB_LOOK_TASKS,
  JOB_STEP_TASKS,
  JOB_VISIT_STEPS,
  RETRY_AFTER_MS,
} from '../core/limits.ts'
import type { Engine } from '../engine.ts'
import { BrokenFleet, type Fleet } from '../fleet/fleet.ts'
import type { Log } from '../log.ts'
import type { JobRow, Jobs, TaskRow } from '../store/jobs.ts'
import type { CommandStore, Store } from '../store/store.ts'
import type { Views } from '../store/views.ts'
import { deniedToMaker, makerOf } from './maker.ts'
import { type CheckedCommand, checkCommand, type JobSpec, storedSpec } from './spec.ts'
import { type Attempt, attempted, attemptKey, followed, KEYS_OF_JOBS } from './statuses.ts'
import type { Keep } from './turns.ts'

/** What the steps of jobs and cancellations stand on. */
export interface Workshop {
  readonly store: Jobs & Pick<CommandStore, 'load' | 'command' | 'events'> & Pick<Views, 'listDevices'>
  readonly engine: Pick<Engine, 'enqueue' | 'cancel'>
  readonly fleet: Pick<Fleet, 'model' | 'applications'>
  readonly clock: Clock & Timers
  readonly log: Log
  /** lets others have their turn of the loop */
  readonly rest: () => Promise<void>
  /** the process is about to end: nothing new is begun, because it would not be sent any more */
  readonly isStopping: () => boolean
  /** commands that are to be cancelled because nobody knows of them, by commandId */
  readonly strays: Map<string, Stray>
}
/** A command that an attempt has made, and that its task, which somebody changed meanwhile, does not name. */
export interface Stray extends Pick<TaskRow, 'jobId' | 'taskNo' | 'deviceId'> {
  /** who is said to have cancelled it */
  readonly by: string
}
export type JobStore = Workshop['store'] & Pick<Store, 'takeTurn' | 'endTurn'>

/**
 * Whether a refusal says that there is no such device, or no such command. Every other one, whatever its code, says only that this cannot be done now, or
 * that it is not known whether it was, and is asked again.
 */
export const isNothing = ({ code }: Refusal): boolean =>
  code === errors.notFound.code || code === errors.commandNotFound.code

/** Takes a job some steps further. When this resolves, its row says when it is to be looked at again. */
export async function visitJob(shop: Workshop, jobId: string, keep: Keep): Promise<void> {
  for (let n = 0; n < JOB_VISIT_STEPS; n++) {
    if (!(await keep())) return
    const job = await shop.store.job(jobId)
    if (job === null || job.nextAt === null || job.nextAt > shop.clock.now()) return
    if (!(await step(shop, job, keep))) return
    await shop.rest()
  }
  // There is more to do; but others that are due have waited longer now.
  const job = await shop.store.job(jobId)
  if (job !== null) await shop.store.saveJob(jobId, job, { ...job, nextAt: shop.clock.now() })
}

/** One step. False: there is nothing more to do at this instant. */
async function step(shop: Workshop, job: JobRow, keep: Keep): Promise<boolean> {
  const now = shop.clock.now()
  switch (job.status) {
    case 'SCHEDULED':
      if (now >= job.triggerAt) return shop.store.saveJob(job.jobId, job, { ...job, status: 'RUNNING', nextAt: now })
      await shop.store.saveJob(job.jobId, job, { ...job, nextAt: job.triggerAt })
      return false
    case 'RUNNING': {
      const spec = storedSpec(job.specJson)
      if (job.spreadTo !== null) return spread(shop, job, spec, job.spreadTo)
      const due = await shop.store.dueTasks(job.jobId, now, JOB_STEP_TASKS)
      return due.length > 0 ? begin(shop, job, spec, due) : lookAndRest(shop, job, spec, keep)
    }
    case 'ENDED':
      await shop.store.saveJob(job.jobId, job, { ...job, nextAt: null })
      return false
    case 'DELETED':
      return !(await remove(shop, job, 'server', keep)).isGone
  }
}

/** Makes the next tasks of a job for a product: its devices go by their numbers, so one that comes while this lasts has a task too. */
async function spread(shop: Workshop, job: JobRow, { target }: JobSpec, from: number): Promise<boolean> {
  if (target.type !== 'product_key') return shop.store.addTasks(job.jobId, from, null, [])
  const now = shop.clock.now()
  const { productKey } = target
  const query = { orgId: job.orgId, reach: 'all', productKey, status: null, text: null, waiting: false } as const
  const { lines, next } = await shop.store.listDevices(query, from, JOB_STEP_TASKS, JOB_STEP_TASKS)
  const tasks = lines.map(({ device }, i) => newTask(job.jobId, job.tasks + i + 1, device, now, now))
  return shop.store.addTasks(job.jobId, from, next, tasks)
}

/** A device, as a task knows it. */
export type Target = { readonly id: number } & Pick<TaskRow, 'productKey' | 'deviceKey' | 'assetId'>

/** A job that begins at its instant, or at once where that has passed, with a task for each device that it lists; those of a product get theirs then. */
export function newJob(
  maker: Pick<JobRow, 'jobId' | 'orgId' | 'createdBy' | 'nameJson'>,
  spec: JobSpec,
  devices: readonly Target[],
  now: number,
): { readonly job: JobRow; readonly tasks: readonly TaskRow[] } {
  const triggerAt = Math.max(now, spec.triggerTs ?? now)
  const isListed = spec.target.type === 'device_list'
  const times = { createdAt: now, changedAt: now, triggerAt, nextAt: triggerAt, endedAt: null }
  const begin = { status: 'SCHEDULED', tasks: devices.length, spreadTo: isListed ? null : 0 } as const
  const job = { ...maker, ...times, ...begin, specJson: JSON.stringify(spec) }
  return { job, tasks: devices.map((device, i) => newTask(maker.jobId, i + 1, device, now, triggerAt)) }
}

/** A task that has not been begun. */
const newTask = (jobId: string, taskNo: number, device: Target, now: number, nextAt: number): TaskRow => ({
  ...{ jobId, taskNo, deviceId: device.id, nextAt, createdAt: now, updatedAt: now },
  ...{ productKey: device.productKey, deviceKey: device.deviceKey, assetId: device.assetId },
  ...{ status: 'INIT', commandId: null, attempt: 0, autoRetries: 0, manualRetries: 0 },
  ...{ resultCode: null, resultText: null, outputJson: null },
})

// --- attempts ----------------------------------------------------------------------------------------------------

/** Makes the next attempt of each of these tasks. Those that are refused for now stay due. */
async function begin(shop: Workshop, job: JobRow, spec: JobSpec, all: readonly TaskRow[]): Promise<boolean> {
  // What cannot be taken back for now does not grow without bound.
  const due = shop.strays.size < JOB_STEP_TASKS ? all : []
  const maker = await makerOf(shop.fleet, job)
  const commands = await commandsFor(shop, spec, due)
  const requestHash = createHash('sha256').update(job.specJson).digest('hex')
  const attempts = await Promise.all(
    due.map(async task => {
      const command = deniedToMaker(maker, job, task) ?? commands.get(task.productKey)
      const attempt = command === undefined ? null : await attemptOf(shop, job, spec, task, command, requestHash)
      return { task, attempt }
    }),
  )
  const now = shop.clock.now()
  const begun = attempts.flatMap(({ task, attempt }) =>
    attempt === null ? [] : [{ from: task, task: attempted(task, attempt, spec.retry, now) }],
  )
  const written = new Set(await shop.store.saveTasks(job.jobId, begun))
  const lost = begun.map(({ task }) => task).filter(({ taskNo }) => !written.has(taskNo))
  if (lost.length > 0) await takeBack(shop, job, lost)
  const isHeldUp = begun.length < all.length
  const nextAt = isHeldUp ? now + RETRY_AFTER_MS : now
  await shop.store.saveJob(job.jobId, job, { ...job, changedAt: now, nextAt })
  return !isHeldUp
}

/** The command for each product, as its model is now: it may have changed since the job was created. */
async function commandsFor(
  { fleet, log }: Workshop,
  { command }: JobSpec,
  tasks: readonly TaskRow[],
): Promise<Map<string, CheckedCommand | Refusal>> {
  const commands = new Map<string, CheckedCommand | Refusal>()
  for (const productKey of new Set(tasks.map(task => task.productKey))) {
    try {
      commands.set(productKey, checkCommand(command, await fleet.model(productKey)))
    } catch (error) {
      if (!(error instanceof BrokenFleet)) throw error
      log.warn({ err: error, productKey }, 'a job has no command for the devices of this product')
      commands.set(productKey, { ok: false, code: errors.notFound.code, message: 'the product, or its model, is gone' })
    }
  }
  return commands
}

/** Null: refused for now, or the process is about to end. */
async function attemptOf(
  shop: Workshop,
  job: JobRow,
  { timeoutS, pendingTtlS }: JobSpec,
  task: TaskRow,
  command: CheckedCommand | Refusal,
  requestHash: string,
): Promise<Attempt | null> {
  if (!command.ok) return unlessMade(shop, task, command)
  const { kind, identifier, nameJson, inputJson } = command
  const keepMs = (pendingTtlS + timeoutS) * 1_000 + JOB_KEYS_KEPT_MS
  const repeatable = { application: KEYS_OF_JOBS, key: attemptKey(task), requestHash, keepMs }
  const made = { kind, identifier, timeoutS, pendingTtlS, by: job.createdBy, nameJson, inputJson, repeatable }
  // An instant command that is made now would wait for its device until that is let go, and fail.
  if (shop.isStopping()) return null
  const accepted = await shop.engine.enqueue(task.deviceId, made, false)
  if (!accepted.ok) return isNothing(accepted) ? unlessMade(shop, task, accepted) : null
  if ('repeated' in accepted) return madeBefore(accepted.repeated.commandId, accepted.command)
  const { id, state, code } = accepted.command
  return { type: 'made', commandId: id, state, code }
}

/** There can be no command any more; but while there could, this attempt may have made one, and a crash kept that from being recorded. */
async function unlessMade(shop: Workshop, task: TaskRow, { code, message }: Refusal): Promise<Attempt> {
  const commandId = await commandMade(shop, task)
  return commandId === null ? { type: 'refused', code, message } : madeBefore(commandId, null)
}

/** One that is over is taken for open: the next look sees how it ended, with all that is on record of that, which is more than is known here. */
const madeBefore = (commandId: string, command: Command | null): Attempt => {
  const state = command !== null && isOpen(command.state) ? command.state : State.created
  return { type: 'made', commandId, state, code: null }
}

/**
 * Attempts that cannot be recorded, because somebody else had his turn meanwhile. Where he made the same one, its command is his; otherwise the task was
 * cancelled, or its job deleted, and nobody would know of the command.
 */
async function takeBack(shop: Workshop, job: JobRow, attempts: readonly TaskRow[]): Promise<void> {
  const by = job.createdBy
  for (const { jobId, taskNo, deviceId, commandId } of attempts)
    if (commandId !== null) shop.strays.set(commandId, { jobId, taskNo, deviceId, by })
  await cancelStrays(shop)
}

/** Cancels what nobody knows of. What is refused for now stays to be done. */
export async function cancelStrays(shop: Workshop): Promise<void> {
  await Promise.all([...shop.strays].map(([commandId, stray]) => cancelStray(shop, commandId, stray)))
}

async function cancelStray({ store, engine, log, strays }: Workshop, commandId: string, stray: Stray): Promise<void> {
  const { jobId, taskNo, deviceId, by } = stray
  const [now] = await store.tasks(jobId, [taskNo])
  if (now?.commandId !== commandId) {
    const answer = await engine.cancel(deviceId, commandId, by, detailOf(jobId))
    log.warn({ jobId, taskNo, commandId, answer }, 'an attempt came too late, and is taken back')
    if (!answer.ok && !isNothing(answer)) return
  }
  strays.delete(commandId)
}

/** What the events of cancelled commands say. */
export const detailOf = (jobId: string): string => JSON.stringify({ job: jobId })

// --- following ---------------------------------------------------------------------------------------------------

/** Looks at all open commands of a job, and decides when to look again, or that it has ended. */
async function lookAndRest(shop: Workshop, job: JobRow, spec: JobSpec, keep: Keep): Promise<boolean> {
  const { store, clock } = shop
  let changedAt = job.changedAt
  for (let after: number | null = 0; after !== null; ) {
    const { moved, next } = await store.movedTasks(job.jobId, after, JOB_LOOK_TASKS)
    const now = clock.now()
    const tasks = moved.map(({ task, outcome }) => ({ from: task, task: followed(task, outcome, spec.retry, now) }))
    if (tasks.length > 0 && (await store.saveTasks(job.jobId, tasks)).length > 0) changedAt = now
    after = next
    if (after === null) break
    await shop.rest()
    if (!(await keep())) return false
  }
  const now = clock.now()
  const { open, nextAt } = await store.tasksLeft(job.jobId)
  if (!open && nextAt === null) {
    await store.saveJob(job.jobId, job, { status: 'ENDED', changedAt, nextAt: null, endedAt: now })
    return false
  }
  const lookMs = Math.min(Math.max((now - changedAt) / 10, JOB_LOOK_MIN_MS), JOB_LOOK_MAX_MS)
  const lookAt = open ? Math.ceil(now + lookMs) : Number.POSITIVE_INFINITY
  const at = Math.min(lookAt, nextAt ?? Number.POSITIVE_INFINITY)
  await store.saveJob(job.jobId, job, { status: 'RUNNING', changedAt, nextAt: Math.max(at, now), endedAt: null })
  return at <= now
}

// --- the end of a job that is deleted ----------------------------------------------------------------------------

/** What deleting a job did: commands that it cancelled, and those that had been sent and go on without it. */
export interface Removal {
  readonly cancelled: number
  readonly published: number
  /** false: a part of it is to be done later, because something was refused for now */
  readonly isGone: boolean
}

/** Cancels what a deleted job has queued, then forgets it. `by`: who is said to have cancelled. */
export async function remove(shop: Workshop, job: JobRow, by: string, keep: Keep): Promise<Removal> {
  const { store, clock } = shop
  let cancelled = 0
  let published = 0
  const unfinished = { cancelled, published, isGone: false }
  const later = async (): Promise<Removal> => {
    await store.saveJob(job.jobId, job, { ...job, nextAt: clock.now() + RETRY_AFTER_MS })
    return { ...unfinished, cancelled, published }
  }
  for (let after = 0; ; ) {
    const tasks = await store.unfinishedTasks(job.jobId, after, JOB_STEP_TASKS)
    const ends = await Promise.all(tasks.map(task => withdraw(shop, task, by)))
    for (const end of ends) {
      if (end.type === 'refused') return later()
      if (end.type === 'cancelled') cancelled += 1
      if (end.type === 'open') published += 1
    }
    after = tasks.at(-1)?.taskNo ?? after
    if (tasks.length < JOB_STEP_TASKS) break
    await shop.rest()
    if (!(await keep())) return later()
  }
  while (!(await store.removeJob(job.jobId, JOB_STEP_TASKS))) {
    await shop.rest()
    if (!(await keep())) return later()
  }
  return { cancelled, published, isGone: true }
}

/** What became of the command of a task that nobody wants any more. */
export type Withdrawal =
  | { readonly type: 'none' }
  | { readonly type: 'cancelled'; readonly commandId: string }
  /** it is sent, or has ended */
  | { readonly type: 'open' | 'final'; readonly commandId: string }
  | { readonly type: 'refused'; readonly refusal: Refusal }

/** Cancels what a task has queued: the command of its attempt, or one that a crash has left without a record in the task. */
export async function withdraw(shop: Workshop, task: TaskRow, by: string): Promise<Withdrawal> {
  const commandId = task.nextAt === null ? task.commandId : await commandMade(shop, task)
  if (commandId === null) return { type: 'none' }
  const answer = await shop.engine.cancel(task.deviceId, commandId, by, detailOf(task.jobId))
  if (!answer.ok) return isNothing(answer) ? { type: 'none' } : { type: 'refused', refusal: answer }
  if (answer.cancelled.length > 0) return { type: 'cancelled', commandId }
  const isSent = answer.notCancelled.some(({ state }) => state === State.sent)
  return { type: isSent ? 'open' : 'final', commandId }
}

/** The command of the attempt that comes next, where it was made and a crash kept that from being recorded. */
async function commandMade({ store, clock }: Workshop, task: TaskRow): Promise<string | null> {
  const key = attemptKey(task)
  const keys = [{ application: KEYS_OF_JOBS, key }]
  const [queue] = await store.load([{ deviceId: task.deviceId, commandIds: [], keys }])
  const made = queue?.kept.find(kept => kept.application === KEYS_OF_JOBS && kept.key === key)
  return made === undefined || made.expireAt <= clock.now() ? null : made.commandId
}
