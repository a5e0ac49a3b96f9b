// Command jobs: one command for many devices, each with a task of its own, begun, followed and retried by the server. Thin: one method, one call, or an
// iteration over pages. Not here: commands for one device (client.ts).

import type { Call, Caller } from './caller.ts'
import type { CallOptions } from './client.ts'
import { isText } from './given.ts'
import { PAGE_SIZE } from './limits.ts'
import { listOf, notUnderstood } from './told.ts'
import { type Device, isObject, type StringI18n } from './wire.ts'

/** What a job does on each of its devices. */
export type JobCommand =
  | {
      readonly commandType: 'SERVICE_INVOKE'
      readonly serviceInvokeInfo: {
        readonly serviceId: string
        readonly inputData?: Readonly<Record<string, unknown>>
      }
    }
  | {
      readonly commandType: 'MEASUREPOINT_SET'
      readonly setMeasurepointInfo: { readonly measurepointId: string; readonly value: unknown }
    }

/** For which devices. */
export type JobTarget =
  /** these, 1 to 1000 */
  | { readonly targetType: 'device_list'; readonly targetDevices: readonly Device[] }
  /** every device that the product has when the job begins */
  | { readonly targetType: 'product_key'; readonly targetDevices: readonly [{ readonly productKey: string }] }

export interface JobOrder {
  readonly name: StringI18n
  /** at most 100 characters */
  readonly desc: string
  readonly targetScope: JobTarget
  readonly commandInfo: JobCommand
  /** DISPOSABLE: once; without triggerTs (ms since 1970) at once */
  readonly schedulePolicy: {
    readonly scheduleType: 'DISPOSABLE'
    readonly disposableSchedulePolicy?: { readonly triggerTs: number }
  }
  readonly timeoutPolicy?: {
    /** s that a device has to answer, 1 to 900; default 30 */
    readonly inProgressTimeoutInSeconds?: number
    /** s for which its command waits for it; default 0: now or never */
    readonly ttlTimeoutInSeconds?: number
  }
  readonly retryPolicy?: {
    readonly enableRetry?: boolean
    /** s, default 300 */
    readonly retryIntervalInSeconds?: number
    /** 1 to 10, default 3 */
    readonly retryCount?: number
  }
}

/** Instants are ms since 1970. */
export interface Job extends Omit<Required<JobOrder>, 'targetScope'> {
  readonly orgId: string
  readonly jobId: string
  /** ENDED: every task is over */
  readonly status: 'SCHEDULED' | 'RUNNING' | 'ENDED'
  readonly targetScope: {
    readonly targetType: 'DEVICE_LIST' | 'PRODUCT_KEY'
    readonly targetDevices: readonly {
      readonly productKey: string | null
      readonly deviceKey: string | null
      readonly assetId: string | null
    }[]
  }
  readonly createTimestamp: number
  /** appKey */
  readonly createBy: string
  readonly endTimestamp: number | null
}

export type TaskStatus =
  | 'INIT'
  | 'QUEUED'
  | 'PUBLISHED'
  | 'SUCCEED'
  | 'FAILED'
  | 'CANCELLED'
  | 'RSP_TIMEOUT'
  | 'TTL_TIMEOUT'

/** What a job does on one device. */
export interface Task {
  readonly taskId: string
  readonly jobId: string
  readonly orgId: string
  readonly assetId: string
  readonly productKey: string
  readonly deviceKey: string
  readonly status: TaskStatus
  readonly commandInfo: JobCommand
  /** null until it is over */
  readonly taskResult: {
    readonly code: number | null
    readonly desc: string
    readonly outputData: Readonly<Record<string, unknown>> | null
  } | null
  readonly autoRetryCount: number
  readonly manualRetryCount: number
  readonly createTimestamp: number
  readonly updateTimestamp: number
  /** of its last attempt */
  readonly commandId: string | null
  /** when it is tried again by itself */
  readonly retryTimestamp: number | null
}

/** How many of a job's tasks stand how. */
export interface JobStatistics {
  readonly total: number
  readonly init: number
  readonly queued: number
  readonly published: number
  readonly inProgress: number
  readonly succeed: number
  readonly failed: number
  readonly canceled: number
  readonly ttlTimeout: number
  readonly rspTimeout: number
}

/** What became of one of the tasks that were named: code 0, it is as it was asked for. */
export interface TaskAnswer {
  readonly taskId: string
  readonly code: number
  readonly msg: string
}

/** What deleting a job has done. */
export interface JobDeleted {
  /** commands of it that waited */
  readonly cancelled: number
  /** commands of it that had been sent, and go on by themselves */
  readonly published: number
  /** false: the server is busy, and the rest is done soon */
  readonly finished: boolean
}

export interface JobSearch extends CallOptions {
  /** such as `status = 'RUNNING'`; docs/http.md has the grammar */
  readonly expression?: string
}

const COMMANDS = '/connect-service/v2.5/commands'

export class Jobs {
  readonly #caller: Caller

  constructor(caller: Caller) {
    this.#caller = caller
  }

  /** The id of the new job. Not repeated where nothing was heard of it: a second one would be another job. */
  async create(order: JobOrder, { signal }: CallOptions = {}): Promise<string> {
    const { data } = await this.#do('createJob', {}, { body: order, signal })
    if (!isText(data)) throw notUnderstood('data')
    return data
  }

  async get(jobId: string, { signal }: CallOptions = {}): Promise<Job> {
    return (await this.#read('getJob', { jobId: named('jobId', jobId) }, signal)) as Job
  }

  /** Jobs, newest first, fetched by pages as they are read. */
  search({ expression = '', signal }: JobSearch = {}): AsyncGenerator<Job, void> {
    return this.#pages<Job>('searchJob', expression, signal, ({ jobId }) => jobId)
  }

  /** Nothing of it is begun any more, its commands that wait are cancelled, and then it is forgotten. What was sent goes on by itself. */
  async delete(jobId: string, { signal }: CallOptions = {}): Promise<JobDeleted> {
    const { fields } = await this.#do('deleteJob', { jobId: named('jobId', jobId) }, { signal })
    const { cancelled, published, finished } = fields as unknown as JobDeleted
    return { cancelled, published, finished }
  }

  async statistics(jobId: string, { signal }: CallOptions = {}): Promise<JobStatistics> {
    const query = { jobId: named('jobId', jobId) }
    const { data } = await this.#do('queryStatistics', query, { changes: false, signal })
    return data as JobStatistics
  }

  async task(taskId: string, { signal }: CallOptions = {}): Promise<Task> {
    return (await this.#read('getTask', { taskId: named('taskId', taskId) }, signal)) as Task
  }

  /** The tasks of a job, fetched by pages as they are read; `expression` narrows them, such as `status in ('FAILED', 'RSP_TIMEOUT')`. */
  tasks(jobId: string, { expression = '', signal }: JobSearch = {}): AsyncGenerator<Task, void> {
    const terms = [`jobId = '${named('jobId', jobId)}'`, ...(expression.trim() === '' ? [] : [`(${expression})`])]
    return this.#pages<Task>('searchTask', terms.join(' and '), signal, ({ taskId }) => taskId)
  }

  /** Begins new attempts of tasks that are over without success, at once; 1 to 200 of one job. */
  retry(jobId: string, taskIds: readonly string[], options: CallOptions = {}): Promise<readonly TaskAnswer[]> {
    return this.#tell('retryTask', jobId, taskIds, false, options)
  }

  /** Cancels tasks: what waits is never sent, what has been sent goes on (99413), and none of them is tried again by itself; 1 to 200 of one job. */
  cancel(jobId: string, taskIds: readonly string[], options: CallOptions = {}): Promise<readonly TaskAnswer[]> {
    return this.#tell('cancelTask', jobId, taskIds, true, options)
  }

  async #tell(
    action: string,
    jobId: string,
    taskIds: readonly string[],
    repeatable: boolean,
    { signal }: CallOptions,
  ): Promise<readonly TaskAnswer[]> {
    const call = { body: { taskIds }, repeatable, signal }
    const { data } = await this.#do(action, { jobId: named('jobId', jobId) }, call)
    return listOf(data).map(answer => {
      if (!isObject(answer) || !isText(answer.data) || typeof answer.code !== 'number') throw notUnderstood('data')
      return { taskId: answer.data, code: answer.code, msg: String(answer.msg) }
    })
  }

  /** By pages that are numbered: what comes or goes meanwhile may shift them, so one that was seen is left out. */
  async *#pages<T>(
    action: string,
    expression: string,
    signal: AbortSignal | undefined,
    idOf: (item: T) => string,
  ): AsyncGenerator<T, void> {
    const seen = new Set<string>()
    for (let pageNo = 1; ; pageNo += 1) {
      const body = { expression, pagination: { pageNo, pageSize: PAGE_SIZE } }
      const items = listOf((await this.#do(action, {}, { body, changes: false, signal })).data) as readonly T[]
      for (const item of items) {
        if (!seen.has(idOf(item))) yield item
        seen.add(idOf(item))
      }
      if (items.length < PAGE_SIZE) return
    }
  }

  async #read(action: string, query: Record<string, string>, signal: AbortSignal | undefined): Promise<unknown> {
    return (await this.#caller.answer({ method: 'GET', path: COMMANDS, query: { action, ...query }, signal })).data
  }

  #do(action: string, query: Record<string, string>, call: Omit<Call, 'method' | 'path' | 'query'>) {
    return this.#caller.answer({ ...call, method: 'POST', path: COMMANDS, query: { action, ...query } })
  }
}

/** An id that is missing would make a call about one thing into another. It stands in quotes in an expression, too. */
function named(name: string, id: string): string {
  if (!isText(id) || id.includes("'")) throw new TypeError(`${name}: must be an id as the server gave it`)
  return id
}
