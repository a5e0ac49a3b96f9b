// How a task stands: the vendor's word for the state of its command, what is kept of how it ended, and whether it is tried again by itself. Pure.
// Not here: when what is looked at (job.ts).

import { State } from '../core/command.ts'
import { errors } from '../core/errors.ts'
import type { TaskOutcome, TaskRow, TaskStatus } from '../store/jobs.ts'
import type { RetryPolicy } from './spec.ts'

export const statusOf: Readonly<Record<State, TaskStatus>> = {
  [State.created]: 'QUEUED',
  [State.cancelled]: 'CANCELLED',
  [State.expired]: 'TTL_TIMEOUT',
  [State.sent]: 'PUBLISHED',
  [State.succeeded]: 'SUCCEED',
  [State.failed]: 'FAILED',
  [State.timedOut]: 'RSP_TIMEOUT',
}

/** A command of it is open. */
export const isOpen = ({ status }: Pick<TaskRow, 'status'>): boolean => status === 'QUEUED' || status === 'PUBLISHED'

/** What a policy tries again: not what somebody cancelled, and nothing that was done. */
export const isRetried = (status: TaskStatus): boolean =>
  status === 'FAILED' || status === 'RSP_TIMEOUT' || status === 'TTL_TIMEOUT'

/** The task as its command leaves it. outcome null: the record was purged before its end was seen. */
export function followed(task: TaskRow, outcome: TaskOutcome | null, policy: RetryPolicy, now: number): TaskRow {
  if (outcome === null) return ended(task, 'FAILED', errors.commandNotFound.code, PURGED, now)
  const status = statusOf[outcome.state]
  if (isOpen({ status })) return { ...task, status, updatedAt: now }
  const { code, deviceMessage, outputJson, settledAt } = outcome
  const text = deviceMessage !== null && deviceMessage !== '' ? deviceMessage : wordsFor(status, code)
  const over = { ...ended(task, status, code, text, now), outputJson }
  return isRetried(status) ? { ...over, nextAt: retryAt(task, policy, settledAt ?? now, now) } : over
}

const PURGED = 'the record of its command was purged before its end was seen'

/** A task that is over. */
export const ended = (
  task: TaskRow,
  status: TaskStatus,
  resultCode: number | null,
  resultText: string,
  now: number,
): TaskRow => ({ ...task, status, resultCode, resultText, outputJson: null, nextAt: null, updatedAt: now })

/** When a task that has just failed is tried again; null: it is not. */
function retryAt({ autoRetries }: TaskRow, policy: RetryPolicy, failedAt: number, now: number): number | null {
  if (!policy.enabled || autoRetries >= policy.count) return null
  return Math.max(now, failedAt + policy.intervalS * 1_000)
}

const meanings: ReadonlyMap<number, string> = new Map(Object.values(errors).map(({ code, meaning }) => [code, meaning]))

function wordsFor(status: TaskStatus, code: number | null): string {
  if (status === 'SUCCEED') return 'OK'
  if (status === 'CANCELLED' && code === null) return 'The command was cancelled before it was sent.'
  if (status === 'TTL_TIMEOUT') return 'The command was not sent within its ttlTimeoutInSeconds.'
  return meanings.get(code ?? errors.internal.code) ?? `The device answered code ${code}.`
}

/** What an attempt came to. */
export type Attempt =
  | { readonly type: 'made'; readonly commandId: string; readonly state: State; readonly code: number | null }
  /** there can be no command: the device is gone, or its model does not allow it any more */
  | { readonly type: 'refused'; readonly code: number; readonly message: string }

/**
 * The task after an attempt. One that failed the moment it was accepted (offline, inactive, queue full) is over, and tried again like any other; one for
 * which there can be no command is not tried again by itself.
 */
export function attempted(task: TaskRow, attempt: Attempt, policy: RetryPolicy, now: number): TaskRow {
  const autoRetries = task.autoRetries + (isRetried(task.status) ? 1 : 0)
  const begun = { ...task, attempt: task.attempt + 1, autoRetries, nextAt: null, outputJson: null, updatedAt: now }
  if (attempt.type === 'refused')
    return ended({ ...begun, commandId: null }, 'FAILED', attempt.code, attempt.message, now)
  const { commandId, state, code } = attempt
  const started: TaskRow = { ...begun, commandId, status: 'QUEUED', resultCode: null, resultText: null }
  return followed(started, { state, code, settledAt: now, outputJson: null, deviceMessage: null }, policy, now)
}

/** The name of an attempt, by which its command is made once: of the next one, if nothing else is said. */
export const attemptKey = ({ jobId, taskNo, attempt }: TaskRow): string => `${jobId}/${taskNo}/${attempt + 1}`
/** Whose keys these are. An appKey has no blank, so no application's keys are among them. */
export const KEYS_OF_JOBS = 'a job'
