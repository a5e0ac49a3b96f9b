// The port for work that goes on: command jobs with a task for each device, and cancellations by filter. Rows and guarded steps, so that whoever takes
// them up after a crash goes on where they were. Not here: what a step does (jobs/).

import type { State } from '../core/command.ts'

/** `RUNNING`: tasks are made and followed. `ENDED`: every task is over. `DELETED`: what it has made is being taken back, then it is gone. */
export const jobStatuses = ['SCHEDULED', 'RUNNING', 'ENDED', 'DELETED'] as const
export type JobStatus = (typeof jobStatuses)[number]

export interface JobRow {
  readonly jobId: string
  readonly orgId: string
  readonly createdBy: string
  readonly createdAt: number
  readonly triggerAt: number
  /** StringI18n as JSON text */
  readonly nameJson: string
  /** what else its maker said, checked: as JSON text */
  readonly specJson: string
  readonly status: JobStatus
  /** how many tasks it has so far */
  readonly tasks: number
  /** the devices up to this number have their tasks; null: all that it is for have */
  readonly spreadTo: number | null
  /** when one of its tasks changed last */
  readonly changedAt: number
  /** when it is to be looked at again; null: never */
  readonly nextAt: number | null
  readonly endedAt: number | null
}

/** The vendor's words. */
export const taskStatuses = [
  'INIT',
  'QUEUED',
  'PUBLISHED',
  'SUCCEED',
  'FAILED',
  'CANCELLED',
  'RSP_TIMEOUT',
  'TTL_TIMEOUT',
] as const
export type TaskStatus = (typeof taskStatuses)[number]

/** Of these there is a command that may still change. */
export const openStatuses = ['QUEUED', 'PUBLISHED'] as const satisfies readonly TaskStatus[]

export interface TaskRow {
  readonly jobId: string
  /** from 1 */
  readonly taskNo: number
  readonly deviceId: number
  readonly productKey: string
  readonly deviceKey: string
  readonly assetId: string
  readonly status: TaskStatus
  /** the command of the last attempt; null before the first, and where none was made */
  readonly commandId: string | null
  /** attempts made */
  readonly attempt: number
  /** of them those that were made because the one before failed, and those that somebody asked for */
  readonly autoRetries: number
  readonly manualRetries: number
  /** when the next attempt is to be made; null: there is to be none */
  readonly nextAt: number | null
  readonly resultCode: number | null
  readonly resultText: string | null
  readonly outputJson: string | null
  readonly createdAt: number
  readonly updatedAt: number
}

/** How callers name a task. */
export const taskIdOf = ({ jobId, taskNo }: Pick<TaskRow, 'jobId' | 'taskNo'>): string => `${jobId}-${taskNo}`

/** The job and the number that a taskId is made of; null where it is none. */
export function readTaskId(taskId: string): { readonly jobId: string; readonly taskNo: number } | null {
  const [, jobId, digits] = /^([^-]+)-([1-9][0-9]{0,8})$/.exec(taskId) ?? []
  return jobId === undefined || digits === undefined ? null : { jobId, taskNo: Number(digits) }
}

/** A condition of searchJob or searchTask; http/job-expression.ts makes it from text. */
export type WorkCondition<Field extends string> =
  | { readonly op: 'and' | 'or'; readonly terms: readonly WorkCondition<Field>[] }
  | { readonly op: 'in'; readonly field: Field; readonly values: readonly string[] }
  /** from <= createdAt < to; null: open end */
  | { readonly op: 'created'; readonly from: number | null; readonly to: number | null }
  /** as the names of commands: `like`; of tasks, the name of their job */
  | { readonly op: 'name'; readonly locale: string | null; readonly text: string }
export type JobField = 'jobId' | 'status'
export type TaskField = 'jobId' | 'taskId' | 'assetId' | 'productKey' | 'deviceKey' | 'status'

/** How a command stands, for the task that made it. */
export interface TaskOutcome {
  readonly state: State
  readonly code: number | null
  readonly settledAt: number | null
  readonly outputJson: string | null
  readonly deviceMessage: string | null
}

/** `stopping`: nothing more is cancelled, but what was begun is not all on record yet. */
export const cancellationStatuses = ['running', 'stopping', 'stopped', 'ended'] as const
export type CancellationStatus = (typeof cancellationStatuses)[number]

export interface CancellationRow {
  readonly cancellationId: string
  readonly orgId: string
  readonly createdBy: string
  readonly createdAt: number
  /** what its maker said and may reach, checked: as JSON text */
  readonly filterJson: string
  readonly dryRun: boolean
  readonly status: CancellationStatus
  /** the devices up to this number have been looked at; null: all have */
  readonly scannedTo: number | null
  /** how many devices there may be to look at: an estimate from the beginning */
  readonly devicesTotal: number
  /** of those that have been looked at, the ones with a command that matched */
  readonly devices: number
  /** commands found; cancelled by this (in a dry run: would be), or not. The rest is undecided. */
  readonly matched: number
  readonly cancelled: number
  readonly notCancelled: number
  readonly nextAt: number | null
  readonly endedAt: number | null
}

export interface CancellationItem {
  readonly commandId: string
  readonly deviceId: number
  readonly decided: boolean
  /** the state that the command was in when it was decided on; null: not decided yet, or its record was gone */
  readonly state: State | null
  /** this cancellation cancelled it */
  readonly ours: boolean
}

export interface CommandJobs {
  /** One transaction: the job with the tasks that it begins with. */
  addJob(job: JobRow, tasks: readonly TaskRow[]): Promise<void>
  job(jobId: string): Promise<JobRow | null>
  /** How many an organization has on record, and of those how many that have not ended. */
  countJobs(orgId: string): Promise<{ readonly open: number; readonly all: number }>
  /** Newest first; total counts all matches. `createdBy` null: whoever made them. Deleted ones are not there. */
  searchJobs(
    orgId: string,
    createdBy: string | null,
    condition: WorkCondition<JobField> | null,
    offset: number,
    limit: number,
  ): Promise<{ readonly rows: JobRow[]; readonly total: number }>
  /** By job, the newest first, and then by number. Those of deleted jobs are not there. */
  searchTasks(
    orgId: string,
    createdBy: string | null,
    condition: WorkCondition<TaskField>,
    offset: number,
    limit: number,
  ): Promise<{ readonly rows: TaskRow[]; readonly total: number }>
  /** Jobs to be looked at by `now`, the longest overdue first. */
  dueJobs(now: number, limit: number): Promise<JobRow[]>
  /** False, and nothing is written, where its status, or when it is to be looked at, is not `from` any more: somebody else has written it meanwhile. */
  saveJob(
    jobId: string,
    from: Pick<JobRow, 'status' | 'nextAt'>,
    to: Pick<JobRow, 'status' | 'changedAt' | 'nextAt' | 'endedAt'>,
  ): Promise<boolean>
  /** One transaction: the next tasks, and how far they are made. False, and nothing is written, where that is not `from` any more, or the job is deleted. */
  addTasks(jobId: string, from: number, to: number | null, tasks: readonly TaskRow[]): Promise<boolean>
  /** Its tasks whose next attempt is due by `now`, in their order. */
  dueTasks(jobId: string, now: number, limit: number): Promise<TaskRow[]>
  /** Whether a command of its tasks is open, and when the next attempt is to be made; null: none is. */
  tasksLeft(jobId: string): Promise<{ readonly open: boolean; readonly nextAt: number | null }>
  /** In the order of their numbers; numbers without a task are absent. */
  tasks(jobId: string, taskNos: readonly number[]): Promise<TaskRow[]>
  /** Tasks with an open command or an attempt to come, in their order, from above `after` on. */
  unfinishedTasks(jobId: string, after: number, limit: number): Promise<TaskRow[]>
  countTasks(jobId: string): Promise<Map<TaskStatus, number>>
  /**
   * Looks at no more than `scan` tasks with an open command, from above `after` on, and returns those whose command is in another state than the task
   * says, with how it stands; null: its record is gone. `next`: where to go on; null: that is all.
   */
  movedTasks(
    jobId: string,
    after: number,
    scan: number,
  ): Promise<{
    readonly moved: { readonly task: TaskRow; readonly outcome: TaskOutcome | null }[]
    readonly next: number | null
  }>
  /** Writes those that still have the attempt and the status given; returns their numbers. Only what an attempt or its end changes is written. */
  saveTasks(
    jobId: string,
    tasks: readonly { readonly from: Pick<TaskRow, 'attempt' | 'status'>; readonly task: TaskRow }[],
  ): Promise<number[]>
  /** Deletes at most `limit` of its tasks, and when there are no more, the job. True: it is gone. */
  removeJob(jobId: string, limit: number): Promise<boolean>
}

export interface Cancellations {
  addCancellation(row: CancellationRow): Promise<void>
  cancellation(cancellationId: string): Promise<CancellationRow | null>
  /** How many an organization has on record, and of those how many that have not ended. */
  countCancellations(orgId: string): Promise<{ readonly open: number; readonly all: number }>
  /** Newest first. `createdBy` null: whoever made them. */
  cancellations(
    orgId: string,
    createdBy: string | null,
    offset: number,
    limit: number,
  ): Promise<{ readonly rows: CancellationRow[]; readonly total: number }>
  /** As dueJobs. */
  dueCancellations(now: number, limit: number): Promise<CancellationRow[]>
  /** Of `scan` devices of any organization with an open command, by their numbers from above `after` on, those of this one. `next`: where to go on. */
  openDevices(
    orgId: string,
    after: number,
    scan: number,
  ): Promise<{
    readonly devices: { readonly deviceId: number; readonly productKey: string; readonly assetId: string }[]
    readonly next: number | null
  }>
  /** How many devices of an organization, or of some of its products, have a created command. */
  countWaitingDevices(orgId: string, productKeys: readonly string[] | null): Promise<number>
  /**
   * One transaction: what was found on the devices up to `to` (null: all), each with the state that decides it or null. Devices, matches and what is decided
   * are added to the row's counts: what waits (in a dry run, the only one that decides that) to `cancelled`, and the rest to `notCancelled`. An item that is there stays as it is. False, and nothing is written, where the cancellation is not running, or has got
   * further than `from`.
   */
  addItems(
    cancellationId: string,
    from: number,
    to: number | null,
    items: readonly Pick<CancellationItem, 'commandId' | 'deviceId' | 'state'>[],
  ): Promise<boolean>
  /** By commandId. */
  undecidedItems(cancellationId: string, limit: number): Promise<CancellationItem[]>
  /**
   * One transaction, with the row's counts. An item that is decided stays as it is, but for this: one found to be cancelled by this cancellation is, whatever
   * was written before, because that is what the event log says.
   */
  decideItems(
    cancellationId: string,
    items: readonly Pick<CancellationItem, 'commandId' | 'state' | 'ours'>[],
  ): Promise<void>
  /** False, and nothing is written, where its status is not `from` any more. */
  saveCancellation(
    cancellationId: string,
    from: CancellationStatus,
    to: Pick<CancellationRow, 'status' | 'nextAt' | 'endedAt'>,
  ): Promise<boolean>
  /** By commandId, from above `after` on. */
  cancellationItems(cancellationId: string, after: string | null, limit: number): Promise<CancellationItem[]>
}

export interface Jobs extends CommandJobs, Cancellations {
  /** The next instant at which a job or a cancellation is to be looked at; null: none is. */
  nextWorkAt(): Promise<number | null>
  /**
   * Jobs and cancellations that ended before `before`, with all that belongs to them, the first to end first. At most `limit` rows; returns how many:
   * `limit` means that there may be more. A job of which a part is left is DELETED, so that nobody sees or begins that part.
   */
  purgeJobs(before: number, limit: number): Promise<number>
}
