// From the core's words to the wire's: the Command struct and the envelope. Pure. Not here: which command, who may see it.

import type { Readable } from 'node:stream'
import type { Command } from '../core/command.ts'
import { errors, type Refusal } from '../core/errors.ts'
import { toLocal } from '../core/time.ts'
import type { Device, StoredCommand } from '../store/store.ts'

/** The Content-Type of every answer that has the envelope. */
export const JSON_TYPE = 'application/json;charset=UTF-8'

/** An answer that goes on: what the stream gives takes the place of the envelope, as fast as the caller reads; it is destroyed when the caller goes. */
export interface Stream {
  /** Content-Type */
  readonly type: string
  /** names in lower case */
  readonly headers?: Readonly<Record<string, string>>
  readonly body: Readable
}

/** What an action answers; app.ts wraps it into the envelope. status is the HTTP status, 200 unless the gateway itself refuses. */
export interface Result {
  readonly code: number
  readonly msg: string
  readonly data: unknown
  /** fields beside `data`: pagination, notCancelled */
  readonly beside?: Readonly<Record<string, unknown>>
  readonly status?: number
  /** sent instead of the envelope; code (0) is for the metrics then */
  readonly stream?: Stream
}

export const ok = (data: unknown, beside: Readonly<Record<string, unknown>> = {}): Result => ({
  code: 0,
  msg: 'OK',
  data,
  beside,
})

export const failure = (refusal: Refusal, data: unknown = null, status = 200): Result => ({
  code: refusal.code,
  msg: refusal.message,
  data,
  status,
})

/** Codes that have an HTTP status of their own wherever they come from. */
const statuses: ReadonlyMap<number, number> = new Map([
  [errors.keyReused.code, 409],
  [errors.cursorGone.code, 410],
  [errors.unavailable.code, 503],
  [errors.outcomeUnknown.code, 503],
])

/** What the engine refused: overloaded or stopping is the gateway's own trouble, and has its HTTP status. */
export const refused = (refusal: Refusal): Result => failure(refusal, null, statuses.get(refusal.code) ?? 200)

/** `{"code":0,"msg":"OK","requestId":"<32 hex>","data":…}` with what stands beside data after it. */
export const envelope = (result: Result, requestId: string): string =>
  JSON.stringify({ code: result.code, msg: result.msg, requestId, data: result.data ?? null, ...result.beside })

/**
 * The Command struct of get, search and cancel. createTime is a string of epoch ms; the local time is the device's, at the time of reading,
 * under both spellings that the vendor's documents have.
 */
export function commandStruct(
  { command, body }: StoredCommand,
  device: Pick<Device, 'orgId' | 'productKey' | 'deviceKey' | 'assetId' | 'timezone'>,
): Record<string, unknown> {
  const local = toLocal(command.createdAt, device.timezone)
  return {
    commandId: command.id,
    orgId: device.orgId,
    productKey: device.productKey,
    deviceKey: device.deviceKey,
    assetId: device.assetId,
    createTime: String(command.createdAt),
    createLocalTime: local,
    createLocaltime: local,
    commandType: command.kind,
    commandName: JSON.parse(body.nameJson),
    timeout: command.timeoutS,
    pendingTtl: command.pendingTtlS,
    state: command.state,
    tslIdentifier: command.identifier,
    inputData: JSON.parse(body.inputJson),
    outputData: body.outputJson === null ? null : JSON.parse(body.outputJson),
  }
}

/** What a failing call says about the command it left on record. */
export const onRecord = (command: Pick<Command, 'id' | 'state'>): { commandId: string; state: number } => ({
  commandId: command.id,
  state: command.state,
})
