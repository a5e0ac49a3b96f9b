// How the columns of the SQLite store read as the records of the port. Ids of commands come as text (see sqlite-statements.ts).

import type { StatementSyncInstance } from '@photostructure/sqlite'
import type { Command, CommandBody, Kind, State } from '../core/command.ts'
import type { KeptAnswer, Queue } from '../core/queue.ts'
import { isKept } from './checks.ts'
import type { statements } from './sqlite-statements.ts'

export type Statements = Readonly<Record<keyof typeof statements, StatementSyncInstance>>

export interface QueueColumns {
  readonly id: number
  readonly version: number
  readonly last_command_id: string | null
  readonly event_seq: number
  readonly session_no: number
  readonly session_node: number | null
  readonly disabled: number
  readonly active_at: number | null
  readonly last_online_at: number | null
  readonly last_offline_at: number | null
}

export const queueOf = (
  row: QueueColumns,
  open: readonly Command[],
  named: readonly Command[],
  kept: readonly KeptAnswer[],
): Queue => ({
  deviceId: row.id,
  version: row.version,
  lastCommandId: row.last_command_id,
  eventSeq: row.event_seq,
  sessionNo: row.session_no,
  sessionNode: row.session_node,
  disabled: row.disabled === 1,
  deleted: false,
  activeAt: row.active_at,
  lastOnlineAt: row.last_online_at,
  lastOfflineAt: row.last_offline_at,
  open,
  named,
  kept,
})

/** Commands are read as arrays, in the order of COMMAND_COLUMNS: every step loads some, and as objects they cost half as much again. */
export type CommandColumns = readonly [
  id: string,
  state: State,
  kind: Kind,
  identifier: string,
  timeoutS: number,
  pendingTtlS: number,
  expireAt: number,
  deadlineAt: number | null,
  createdAt: number,
  sentAt: number | null,
  settledAt: number | null,
  sentSession: number | null,
  createdBy: string,
  code: number | null,
  lateReplies: number,
]

export const commandOf = (row: CommandColumns): Command => ({
  id: row[0],
  state: row[1],
  kind: row[2],
  identifier: row[3],
  timeoutS: row[4],
  pendingTtlS: row[5],
  expireAt: row[6],
  deadlineAt: row[7],
  createdAt: row[8],
  sentAt: row[9],
  settledAt: row[10],
  sentSession: row[11],
  createdBy: row[12],
  code: row[13],
  lateReplies: row[14],
})

export interface BodyColumns {
  readonly name_json: string
  readonly input_json: string
  readonly output_json: string | null
  readonly device_code: string | null
  readonly device_message: string | null
}

export const bodyOf = (row: BodyColumns): CommandBody => ({
  nameJson: row.name_json,
  inputJson: row.input_json,
  outputJson: row.output_json,
  deviceCode: row.device_code,
  deviceMessage: row.device_message,
})

/** The row that a statement finds by keys from outside. The driver would cut a key at a NUL and find what it does not name. */
export function find<Columns>(
  statement: StatementSyncInstance,
  ...keys: readonly (string | number)[]
): Columns | undefined {
  return keys.every(key => typeof key !== 'string' || isKept(key)) ? statement.get(...keys) : undefined
}
