// How jobs, tasks, cancellations and their items are read from every SQL store: the columns, in words that both dialects have, and the records that they make.

import type { State } from '../core/command.ts'
import type {
  CancellationItem,
  CancellationRow,
  CancellationStatus,
  JobRow,
  JobStatus,
  TaskOutcome,
  TaskRow,
  TaskStatus,
} from './jobs.ts'

/** Of `job j`, in the order in which a job is written. */
export const JOB_COLUMNS = `j.job_id, j.org_id, j.created_by, j.created_at, j.trigger_at, j.name_json, j.spec_json, j.status, j.tasks, j.spread_to,
  j.changed_at, j.next_at, j.ended_at`

export interface JobColumns {
  readonly job_id: string
  readonly org_id: string
  readonly created_by: string
  readonly created_at: number
  readonly trigger_at: number
  readonly name_json: string
  readonly spec_json: string
  readonly status: JobStatus
  readonly tasks: number
  readonly spread_to: number | null
  readonly changed_at: number
  readonly next_at: number | null
  readonly ended_at: number | null
}

export const jobOf = (row: JobColumns): JobRow => ({
  jobId: row.job_id,
  orgId: row.org_id,
  createdBy: row.created_by,
  createdAt: row.created_at,
  triggerAt: row.trigger_at,
  nameJson: row.name_json,
  specJson: row.spec_json,
  status: row.status,
  tasks: row.tasks,
  spreadTo: row.spread_to,
  changedAt: row.changed_at,
  nextAt: row.next_at,
  endedAt: row.ended_at,
})

/** The values of JOB_COLUMNS. */
export const jobValues = (row: JobRow): (string | number | null)[] => [
  ...[row.jobId, row.orgId, row.createdBy, row.createdAt, row.triggerAt, row.nameJson, row.specJson, row.status],
  ...[row.tasks, row.spreadTo, row.changedAt, row.nextAt, row.endedAt],
]

/** Of `task t`; a command's id as text, because JavaScript has no such integers. */
export const TASK_COLUMNS = `t.job_id, t.task_no, t.device_id, t.product_key, t.device_key, t.asset_id, t.status,
  cast(t.command_id as text) as command_id, t.attempt, t.auto_retries, t.manual_retries, t.next_at, t.result_code, t.result_text, t.output_json,
  t.created_at, t.updated_at`

export interface TaskColumns {
  readonly job_id: string
  readonly task_no: number
  readonly device_id: number
  readonly product_key: string
  readonly device_key: string
  readonly asset_id: string
  readonly status: TaskStatus
  readonly command_id: string | null
  readonly attempt: number
  readonly auto_retries: number
  readonly manual_retries: number
  readonly next_at: number | null
  readonly result_code: number | null
  readonly result_text: string | null
  readonly output_json: string | null
  readonly created_at: number
  readonly updated_at: number
}

export const taskOf = (row: TaskColumns): TaskRow => ({
  jobId: row.job_id,
  taskNo: row.task_no,
  deviceId: row.device_id,
  productKey: row.product_key,
  deviceKey: row.device_key,
  assetId: row.asset_id,
  status: row.status,
  commandId: row.command_id,
  attempt: row.attempt,
  autoRetries: row.auto_retries,
  manualRetries: row.manual_retries,
  nextAt: row.next_at,
  resultCode: row.result_code,
  resultText: row.result_text,
  outputJson: row.output_json,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
})

/** How the command of a task stands; `state` null: its record is gone. */
export const OUTCOME_COLUMNS = `c.state as c_state, c.code as c_code, c.settled_at as c_settled_at, b.output_json as c_output_json,
  b.device_message as c_message`

export interface MovedColumns extends TaskColumns {
  readonly c_state: State | null
  readonly c_code: number | null
  readonly c_settled_at: number | null
  readonly c_output_json: string | null
  readonly c_message: string | null
}

export const movedOf = (row: MovedColumns): { task: TaskRow; outcome: TaskOutcome | null } => ({
  task: taskOf(row),
  outcome:
    row.c_state === null
      ? null
      : {
          state: row.c_state,
          code: row.c_code,
          settledAt: row.c_settled_at,
          outputJson: row.c_output_json,
          deviceMessage: row.c_message,
        },
})

/** In the order in which a cancellation is written. */
export const CANCELLATION_COLUMNS = `cancellation_id, org_id, created_by, created_at, filter_json, dry_run, status, scanned_to, devices_total, devices,
  matched, cancelled, not_cancelled, next_at, ended_at`

export interface CancellationColumns {
  readonly cancellation_id: string
  readonly org_id: string
  readonly created_by: string
  readonly created_at: number
  readonly filter_json: string
  /** SQLite has no booleans */
  readonly dry_run: boolean | number
  readonly status: CancellationStatus
  readonly scanned_to: number | null
  readonly devices_total: number
  readonly devices: number
  readonly matched: number
  readonly cancelled: number
  readonly not_cancelled: number
  readonly next_at: number | null
  readonly ended_at: number | null
}

export const cancellationOf = (row: CancellationColumns): CancellationRow => ({
  cancellationId: row.cancellation_id,
  orgId: row.org_id,
  createdBy: row.created_by,
  createdAt: row.created_at,
  filterJson: row.filter_json,
  dryRun: Boolean(row.dry_run),
  status: row.status,
  scannedTo: row.scanned_to,
  devicesTotal: row.devices_total,
  devices: row.devices,
  matched: row.matched,
  cancelled: row.cancelled,
  notCancelled: row.not_cancelled,
  nextAt: row.next_at,
  endedAt: row.ended_at,
})

export const ITEM_COLUMNS = 'cast(command_id as text) as command_id, device_id, decided, state, ours'

export interface ItemColumns {
  readonly command_id: string
  readonly device_id: number
  readonly decided: boolean | number
  readonly state: State | null
  readonly ours: boolean | number
}

export const itemOf = (row: ItemColumns): CancellationItem => ({
  commandId: row.command_id,
  deviceId: row.device_id,
  decided: Boolean(row.decided),
  state: row.state,
  ours: Boolean(row.ours),
})
