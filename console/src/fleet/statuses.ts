// Statuses of tasks: in which order they are shown, which state of a command each is, and what can be done to a task. Pure. Not here: how it looks.

import { type JobStatistics, State, stateName, type Task, type TaskStatus } from '@downlink/client'
import type { Share } from './shares.tsx'
import { words } from './words.ts'

/** As a bar has them: first what is done, then what is under way, then what is to come. */
export const statuses: readonly TaskStatus[] = [
  'SUCCEED',
  'FAILED',
  'RSP_TIMEOUT',
  'TTL_TIMEOUT',
  'CANCELLED',
  'PUBLISHED',
  'QUEUED',
  'INIT',
]

/** The state of the command of its last attempt; null: there is none yet. */
export const stateOf: Readonly<Record<TaskStatus, State | null>> = {
  INIT: null,
  QUEUED: State.created,
  PUBLISHED: State.sent,
  SUCCEED: State.succeeded,
  FAILED: State.failed,
  CANCELLED: State.cancelled,
  RSP_TIMEOUT: State.timedOut,
  TTL_TIMEOUT: State.expired,
}

const counted: Readonly<Record<TaskStatus, keyof JobStatistics>> = {
  INIT: 'init',
  QUEUED: 'queued',
  PUBLISHED: 'published',
  SUCCEED: 'succeed',
  FAILED: 'failed',
  CANCELLED: 'canceled',
  RSP_TIMEOUT: 'rspTimeout',
  TTL_TIMEOUT: 'ttlTimeout',
}
export const countOf = (statistics: JobStatistics, status: TaskStatus): number => statistics[counted[status]]

export const kindOf = (status: TaskStatus): Share['kind'] => {
  const state = stateOf[status]
  return state === null ? 'rest' : stateName[state]
}

export const sharesOf = (statistics: JobStatistics): readonly Share[] =>
  statuses.map(status => ({
    kind: kindOf(status),
    count: countOf(statistics, status),
    word: words().taskStatus[status],
  }))

/** Those that failed in one way or another: what a policy would try again. */
export const failed = ['FAILED', 'RSP_TIMEOUT', 'TTL_TIMEOUT'] as const satisfies readonly TaskStatus[]
/** Those that are not begun, or whose command is open. */
export const unfinished = ['INIT', 'QUEUED', 'PUBLISHED'] as const satisfies readonly TaskStatus[]
/** Those that wait. What is to be tried again by itself waits as well, and says so by its `retryTimestamp`. */
export const waiting = ['INIT', 'QUEUED'] as const satisfies readonly TaskStatus[]

export const isAmong = (of: readonly TaskStatus[], status: TaskStatus): boolean => of.includes(status)

export const canRetry = ({ status }: Task): boolean => status === 'CANCELLED' || isAmong(failed, status)
export const canCancel = ({ status, retryTimestamp }: Task): boolean =>
  isAmong(waiting, status) || retryTimestamp !== null
