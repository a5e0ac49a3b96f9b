// How the columns of the PostgreSQL store read as the records of the port, and how records become columns: an array for each parameter.
// Ids of commands are text on both ways; other 64-bit integers are read as numbers, which they fit (postgres-connection.ts).

import type { Command, CommandBody, Kind, State } from '../core/command.ts'
import type { KeptAnswer, Queue, QueueEvent } from '../core/queue.ts'
import { standingOf } from './derived.ts'
import { answerJson, keptOf } from './kept-rows.ts'
import type { DeviceChange } from './store.ts'

/** Columns of the rows given, for a statement that unnests them: one array for each of `width` columns, also where there are no rows. */
export function columns(rows: readonly (readonly unknown[])[], width: number): unknown[][] {
  return Array.from({ length: width }, (_, n) => rows.map(row => row[n]))
}

/**
 * The columns of a device in `queue`, which reads rows as arrays. Null from the version on: the command after it was named, or, where that is null too, an
 * answer comes after it (in `queueWithAnswers`, and null in all other rows).
 */
export type QueueColumns = readonly [
  id: number,
  version: number | null,
  lastCommandId: string | null,
  eventSeq: number,
  sessionNo: number,
  sessionNode: number | null,
  disabled: boolean,
  activeAt: number | null,
  lastOnlineAt: number | null,
  lastOfflineAt: number | null,
  ...command: CommandColumns | readonly null[],
]
const QUEUE_WIDTH = 10

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
const COMMAND_WIDTH = 15

export const commandOf = (row: readonly unknown[], from = 0): Command => {
  const columns = row.slice(from, from + COMMAND_WIDTH) as unknown as CommandColumns
  return {
    id: columns[0],
    state: columns[1],
    kind: columns[2],
    identifier: columns[3],
    timeoutS: columns[4],
    pendingTtlS: columns[5],
    expireAt: columns[6],
    deadlineAt: columns[7],
    createdAt: columns[8],
    sentAt: columns[9],
    settledAt: columns[10],
    sentSession: columns[11],
    createdBy: columns[12],
    code: columns[13],
    lateReplies: columns[14],
  }
}

const byId = (a: Command, b: Command): number => (a.id < b.id ? -1 : 1)

/** The queues in the rows of `queue`, by device. */
export function queuesOf(rows: readonly QueueColumns[]): Map<number, Queue> {
  const devices = new Map<number, Loaded>()
  for (const row of rows)
    if (row[1] !== null && !devices.has(row[0]))
      devices.set(row[0], { row, version: row[1], open: [], named: [], kept: [] })
  for (const row of rows) {
    const device = devices.get(row[0])
    const answer = row[QUEUE_WIDTH + COMMAND_WIDTH]
    if (typeof answer === 'string') device?.kept.push(answerOf(answer))
    if (row[QUEUE_WIDTH] === null) continue
    const list = row[1] === null ? device?.named : device?.open
    list?.push(commandOf(row, QUEUE_WIDTH))
  }
  return new Map([...devices].map(([deviceId, device]) => [deviceId, queueOf(device)]))
}

interface Loaded {
  readonly row: QueueColumns
  readonly version: number
  readonly open: Command[]
  readonly named: Command[]
  readonly kept: KeptAnswer[]
}

/** The columns of one in a JSON array. */
function answerOf(json: string): KeptAnswer {
  const [application, key, request_hash, answer, expire_at] = JSON.parse(json) as [
    string,
    string,
    string,
    string,
    number,
  ]
  return keptOf({ application, key, request_hash, answer, expire_at })
}

const queueOf = ({ row, version, open, named, kept }: Loaded): Queue => ({
  deviceId: row[0],
  version,
  lastCommandId: row[2],
  eventSeq: row[3],
  sessionNo: row[4],
  sessionNode: row[5],
  disabled: row[6],
  deleted: false,
  activeAt: row[7],
  lastOnlineAt: row[8],
  lastOfflineAt: row[9],
  open: open.sort(byId),
  named: named.sort(byId),
  kept,
})

/** The row of `bumpDevice`. */
export const bumpColumns = (change: DeviceChange): readonly unknown[] => {
  const { queue } = change
  const { waiting, oldestWaitingAt, isWanting } = standingOf(change)
  return [
    queue.deviceId,
    queue.version,
    queue.lastCommandId,
    queue.eventSeq,
    queue.sessionNo,
    queue.sessionNode,
    queue.disabled,
    queue.activeAt,
    queue.lastOnlineAt,
    queue.lastOfflineAt,
    isWanting,
    waiting,
    oldestWaitingAt,
  ]
}

/** The row of `keepAnswer`. */
export const answerColumns = (deviceId: number, answer: KeptAnswer): readonly unknown[] => [
  answer.application,
  deviceId,
  answer.key,
  answer.requestHash,
  answerJson(answer),
  answer.expireAt,
]

/** The row of `updateCommand`. */
export const updateColumns = (deviceId: number, command: Command, from: State): readonly unknown[] => [
  command.state,
  command.deadlineAt,
  command.sentAt,
  command.settledAt,
  command.sentSession,
  command.code,
  command.lateReplies,
  command.id,
  deviceId,
  from,
]

/** The row of `insertCommand`. */
export const insertColumns = (deviceId: number, command: Command): readonly unknown[] => [
  command.id,
  deviceId,
  command.state,
  command.kind,
  command.identifier,
  command.timeoutS,
  command.pendingTtlS,
  command.expireAt,
  command.deadlineAt,
  command.createdAt,
  command.sentAt,
  command.settledAt,
  command.sentSession,
  command.createdBy,
  command.code,
  command.lateReplies,
]

/** The row of `insertBody`. */
export const bodyColumns = (id: string, body: CommandBody): readonly unknown[] => [
  id,
  body.nameJson,
  body.inputJson,
  body.outputJson,
  body.deviceCode,
  body.deviceMessage,
]

/** The row of `insertEvent`. */
export const eventColumns = (deviceId: number, event: QueueEvent): readonly unknown[] => [
  deviceId,
  event.seq,
  event.commandId,
  event.from,
  event.to,
  event.at,
  event.by,
  event.reason,
  event.detail,
]

type BodyColumns = readonly [
  nameJson: string,
  inputJson: string,
  outputJson: string | null,
  deviceCode: string | null,
  deviceMessage: string | null,
]

/** A body after a command, or by itself. */
export const bodyOf = (row: readonly unknown[], from = COMMAND_WIDTH): CommandBody => {
  const [nameJson, inputJson, outputJson, deviceCode, deviceMessage] = row.slice(from) as unknown as BodyColumns
  return { nameJson, inputJson, outputJson, deviceCode, deviceMessage }
}
