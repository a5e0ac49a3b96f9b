// How a batch gets into the SQLite file: one transaction. Not here: the SQL of queues and commands (sqlite-statements.ts), events and tallies
// (sqlite-changes.ts).

import type { DatabaseSyncInstance } from '@photostructure/sqlite'
import { type Command, type CommandBody, State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import type { KeptAnswer } from '../core/queue.ts'
import { checkBatch } from './checks.ts'
import { standingOf } from './derived.ts'
import { answerJson } from './kept-rows.ts'
import type { DeviceEvents, SqliteChanges } from './sqlite-changes.ts'
import { transaction } from './sqlite-file.ts'
import type { Statements } from './sqlite-rows.ts'
import type { Batch, DeviceChange } from './store.ts'

export class Commits {
  readonly #db: DatabaseSyncInstance
  readonly #sql: Statements
  readonly #stream: SqliteChanges

  constructor(db: DatabaseSyncInstance, sql: Statements, stream: SqliteChanges) {
    this.#db = db
    this.#sql = sql
    this.#stream = stream
  }

  /** Durable when it returns: what was written, and the devices left out. Throws Bug, and nothing was written, where a guard does not hold. */
  commit(batch: Batch): { readonly fresh: readonly DeviceChange[]; readonly stale: number[] } {
    checkBatch(batch)
    const { node, now } = batch
    const stale: number[] = []
    const fresh: DeviceChange[] = []
    const added: DeviceEvents[] = []
    transaction(this.#db, () => {
      for (const change of batch.changes) {
        const device = this.#bumpDevice(change)
        if (device === null) stale.push(change.queue.deviceId)
        else {
          fresh.push(change)
          added.push(device)
        }
      }
      this.#write(fresh)
      this.#stream.write(added, node, now)
      for (const { queue } of fresh) if (queue.deleted) this.#deleteDevice(queue.deviceId, now)
      this.#sql.touchNode.run(node, keyOrNull(batch.lastCommandId), now)
    })
    this.#stream.written()
    return { fresh, stale }
  }

  /** What there is to add to its events; null where the device is no longer as it was loaded. */
  #bumpDevice(change: DeviceChange): DeviceEvents | null {
    const { queue, events } = change
    const row: Bumped | undefined = this.#sql.bumpDevice.get(
      keyOrNull(queue.lastCommandId),
      queue.eventSeq,
      queue.sessionNo,
      queue.lastOnlineAt,
      queue.lastOfflineAt,
      queue.deviceId,
      queue.version,
    )
    if (row === undefined) return null
    const [orgId, productKey, sessionNode, disabled, activeAt, ...before] = row
    const status = [queue.sessionNode, queue.disabled ? 1 : 0, queue.activeAt] as const
    if (!isSame(status, [sessionNode, disabled, activeAt])) this.#sql.setStatus.run(...status, queue.deviceId)
    const { waiting, oldestWaitingAt } = standingOf(change)
    if (!isSame([waiting, oldestWaitingAt], before)) this.#sql.setWaiting.run(waiting, oldestWaitingAt, queue.deviceId)
    return { deviceId: queue.deviceId, orgId, productKey, events }
  }

  /** In this order over the whole batch: a device's next command may only become sent when the one before has left that state. */
  #write(changes: readonly DeviceChange[]): void {
    for (const { queue, updates } of changes)
      for (const { command, from } of updates)
        if (from === State.sent) this.#updateCommand(queue.deviceId, command, from)
    for (const { queue, updates } of changes)
      for (const { command, from } of updates)
        if (from !== State.sent) this.#updateCommand(queue.deviceId, command, from)
    for (const { queue, inserts } of changes)
      for (const { command, body } of inserts) this.#insertCommand(queue.deviceId, command, body)
    for (const { outcomes } of changes)
      for (const { commandId, outputJson, deviceCode, deviceMessage } of outcomes) {
        const { changes } = this.#sql.setOutcome.run(outputJson, deviceCode, deviceMessage, key(commandId))
        assert(changes === 1, `command ${commandId} has a body`)
      }
    for (const { queue, kept } of changes) for (const answer of kept ?? []) this.#keep(queue.deviceId, answer)
  }

  #updateCommand(deviceId: number, command: Command, from: State): void {
    const { changes } = this.#sql.updateCommand.run(
      command.state,
      command.deadlineAt,
      command.sentAt,
      command.settledAt,
      command.sentSession,
      command.code,
      command.lateReplies,
      key(command.id),
      deviceId,
      from,
    )
    assert(changes === 1, `command ${command.id} is no longer in state ${from}`)
  }

  #insertCommand(deviceId: number, command: Command, body: CommandBody): void {
    const id = key(command.id)
    this.#sql.insertCommand.run(
      id,
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
    )
    this.#sql.insertBody.run(id, body.nameJson, body.inputJson, body.outputJson, body.deviceCode, body.deviceMessage)
  }

  #keep(deviceId: number, answer: KeptAnswer): void {
    const { application, key, requestHash, expireAt } = answer
    this.#sql.keepAnswer.run(application, deviceId, key, requestHash, answerJson(answer), expireAt)
  }

  #deleteDevice(deviceId: number, now: number): void {
    this.#stream.nameDeleted(deviceId, now)
    this.#sql.freeSubDevices.run(deviceId)
    this.#sql.deleteDevice.run(deviceId)
  }
}

/** What `bumpDevice` returns. */
type Bumped = readonly [
  orgId: string,
  productKey: string,
  sessionNode: number | null,
  disabled: number,
  activeAt: number | null,
  waiting: number,
  oldestWaitingAt: number | null,
]

const isSame = (one: readonly (number | null)[], other: readonly (number | null)[]): boolean =>
  one.every((value, n) => value === other[n])

const key = (commandId: string): bigint => BigInt(commandId)
const keyOrNull = (commandId: string | null): bigint | null => (commandId === null ? null : key(commandId))
