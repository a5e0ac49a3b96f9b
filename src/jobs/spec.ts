// What a job is to do: the body of createJob, read and checked field by field; and the command that it makes for a device, checked against the model of
// the device's product. Pure. Not here: whether the devices exist and may be commanded (http/jobs.ts), when what is done (job.ts).

import { isKey, Kind } from '../core/command.ts'
import { invalid, type Refusal } from '../core/errors.ts'
import { isObject, quote } from '../core/json.ts'
import {
  INPUT_MAX_BYTES,
  JOB_AHEAD_MAX_MS,
  JOB_DESC_MAX_CHARS,
  JOB_NAME_MAX_CHARS,
  JOB_RETRIES_DEFAULT,
  JOB_RETRIES_MAX,
  JOB_RETRY_INTERVAL_DEFAULT_S,
  JOB_RETRY_INTERVAL_MAX_S,
  JOB_TARGETS_MAX,
  JOB_TIMEOUT_MAX_S,
  PENDING_TTL_MAX_S,
  TIMEOUT_DEFAULT_S,
} from '../core/limits.ts'
import { checkPoint, checkService, type Model, parseStringI18n, type StringI18n } from '../core/model.ts'

/** A device as the body names it: by its assetId, or by both keys, or by all three. */
export interface TargetDevice {
  readonly assetId: string | null
  readonly productKey: string | null
  readonly deviceKey: string | null
}

export type TargetScope =
  | { readonly type: 'device_list'; readonly devices: readonly TargetDevice[] }
  /** every device that the product has when the job begins */
  | { readonly type: 'product_key'; readonly productKey: string }

export type JobCommand =
  | { readonly kind: typeof Kind.invoke; readonly serviceId: string; readonly inputData: unknown }
  | { readonly kind: typeof Kind.set; readonly measurepointId: string; readonly value: unknown }

/** After which of its attempts, and how soon, a task that failed is tried again by itself. */
export interface RetryPolicy {
  readonly enabled: boolean
  readonly intervalS: number
  readonly count: number
}

/** What is kept of a job as JSON, beside its name. */
export interface JobSpec {
  readonly desc: string
  readonly target: TargetScope
  /** epoch ms as its maker said it; null: at once */
  readonly triggerTs: number | null
  readonly timeoutS: number
  readonly pendingTtlS: number
  readonly retry: RetryPolicy
  readonly command: JobCommand
}

/** A spec that was checked when it was stored. */
export const storedSpec = (specJson: string): JobSpec => JSON.parse(specJson) as JobSpec

/** Reads the body of createJob. A refusal is 99400 and names the field. What the vendor does not document is ignored. */
export function readJob(
  body: unknown,
  now: number,
): { readonly ok: true; readonly name: StringI18n; readonly spec: JobSpec } | Refusal {
  if (!isObject(body)) return invalid('body', 'must be a JSON object')
  const name = body.name === undefined || body.name === null ? null : parseStringI18n(body.name)
  if (name === null)
    return invalid('name', 'must be {"defaultValue": text, "i18nValue": {locale: text}}, the name of the job')
  if (JSON.stringify(name).length > JOB_NAME_MAX_CHARS)
    return invalid('name', `may have ${JOB_NAME_MAX_CHARS} characters as JSON`)
  const { desc } = body
  if (typeof desc !== 'string' || desc.length > JOB_DESC_MAX_CHARS)
    return invalid('desc', `must be a text of at most ${JOB_DESC_MAX_CHARS} characters`)
  const target = readTarget(body.targetScope)
  if ('ok' in target) return target
  const triggerTs = readSchedule(body.schedulePolicy, now)
  if (typeof triggerTs === 'object' && triggerTs !== null) return triggerTs
  const timeouts = readTimeouts(body.timeoutPolicy)
  if ('ok' in timeouts) return timeouts
  const retry = readRetry(body.retryPolicy)
  if ('ok' in retry) return retry
  const command = readCommand(body.commandInfo)
  if ('ok' in command) return command
  return { ok: true, name, spec: { desc, target, triggerTs, ...timeouts, retry, command } }
}

function readTarget(value: unknown): TargetScope | Refusal {
  if (!isObject(value)) return invalid('targetScope', 'must be an object with targetType')
  const type = typeof value.targetType === 'string' ? value.targetType.toLowerCase() : ''
  if (type !== 'device_list' && type !== 'product_key')
    return invalid('targetScope.targetType', `must be device_list or product_key, got ${quote(value.targetType)}`)
  const { targetDevices = null } = value
  if (type === 'product_key') return readProduct(value.productKey, targetDevices)
  if (!Array.isArray(targetDevices) || targetDevices.length === 0 || targetDevices.length > JOB_TARGETS_MAX)
    return invalid('targetScope.targetDevices', `must be an array of 1 to ${JOB_TARGETS_MAX} devices`)
  const devices: TargetDevice[] = []
  for (const [i, each] of targetDevices.entries()) {
    const device = readDevice(each, `targetScope.targetDevices[${i}]`)
    if ('ok' in device) return device
    devices.push(device)
  }
  return { type, devices }
}

/** The vendor documents no field for the product: it is taken from beside targetType, or as the only device, of which it is the only key. */
function readProduct(said: unknown, targetDevices: unknown): TargetScope | Refusal {
  const path = 'targetScope.productKey'
  const listed: readonly unknown[] = Array.isArray(targetDevices) ? targetDevices : []
  const keys = new Set(
    [said, ...listed.map(each => (isObject(each) ? each.productKey : each))].filter(
      key => key !== undefined && key !== null,
    ),
  )
  const [productKey] = keys
  if (keys.size !== 1 || typeof productKey !== 'string' || !isKey(productKey))
    return invalid(path, 'with targetType product_key it must name one product')
  const narrower = listed.find(each => isObject(each) && (each.deviceKey ?? each.assetId ?? null) !== null)
  if (narrower !== undefined)
    return invalid(
      'targetScope.targetDevices',
      'with targetType product_key no device may be named: it is for all of them',
    )
  return { type: 'product_key', productKey }
}

function readDevice(value: unknown, path: string): TargetDevice | Refusal {
  if (!isObject(value)) return invalid(path, 'must be an object with assetId, or with productKey and deviceKey')
  const read = {
    assetId: value.assetId ?? null,
    productKey: value.productKey ?? null,
    deviceKey: value.deviceKey ?? null,
  }
  for (const [name, key] of Object.entries(read))
    if (key !== null && (typeof key !== 'string' || key === ''))
      return invalid(`${path}.${name}`, `must be a text, got ${quote(key)}`)
  if (read.assetId === null && (read.productKey === null || read.deviceKey === null))
    return invalid(path, 'needs assetId, or productKey and deviceKey')
  return read as TargetDevice
}

function readSchedule(value: unknown, now: number): number | null | Refusal {
  if (!isObject(value)) return invalid('schedulePolicy', 'must be an object with scheduleType')
  if (value.scheduleType !== 'DISPOSABLE')
    return invalid('schedulePolicy.scheduleType', `must be DISPOSABLE, got ${quote(value.scheduleType)}`)
  const policy = value.disposableSchedulePolicy ?? {}
  const path = 'schedulePolicy.disposableSchedulePolicy'
  if (!isObject(policy)) return invalid(path, 'must be an object')
  const triggerTs = policy.triggerTs ?? null
  if (triggerTs === null) return null
  if (!isWhole(triggerTs) || triggerTs < 0)
    return invalid(`${path}.triggerTs`, 'must be an integer, epoch milliseconds')
  if (triggerTs > now + JOB_AHEAD_MAX_MS)
    return invalid(
      `${path}.triggerTs`,
      `may be ${JOB_AHEAD_MAX_MS / 86_400_000} days ahead; it is in epoch milliseconds`,
    )
  return triggerTs
}

function readTimeouts(value: unknown): Pick<JobSpec, 'timeoutS' | 'pendingTtlS'> | Refusal {
  const policy = value ?? {}
  if (!isObject(policy)) return invalid('timeoutPolicy', 'must be an object')
  const timeoutS = policy.inProgressTimeoutInSeconds ?? TIMEOUT_DEFAULT_S
  if (!isBetween(timeoutS, 1, JOB_TIMEOUT_MAX_S))
    return invalid('timeoutPolicy.inProgressTimeoutInSeconds', `must be an integer from 1 to ${JOB_TIMEOUT_MAX_S}`)
  const pendingTtlS = policy.ttlTimeoutInSeconds ?? 0
  if (!isBetween(pendingTtlS, 0, PENDING_TTL_MAX_S))
    return invalid('timeoutPolicy.ttlTimeoutInSeconds', `must be an integer from 0 to ${PENDING_TTL_MAX_S}`)
  return { timeoutS, pendingTtlS }
}

function readRetry(value: unknown): RetryPolicy | Refusal {
  const policy = value ?? {}
  if (!isObject(policy)) return invalid('retryPolicy', 'must be an object')
  const enabled = policy.enableRetry ?? false
  if (typeof enabled !== 'boolean') return invalid('retryPolicy.enableRetry', 'must be true or false')
  const intervalS = policy.retryIntervalInSeconds ?? JOB_RETRY_INTERVAL_DEFAULT_S
  if (!isBetween(intervalS, 0, JOB_RETRY_INTERVAL_MAX_S))
    return invalid('retryPolicy.retryIntervalInSeconds', `must be an integer from 0 to ${JOB_RETRY_INTERVAL_MAX_S}`)
  const count = policy.retryCount ?? JOB_RETRIES_DEFAULT
  if (!isBetween(count, 1, JOB_RETRIES_MAX))
    return invalid('retryPolicy.retryCount', `must be an integer from 1 to ${JOB_RETRIES_MAX}`)
  return { enabled, intervalS, count }
}

function readCommand(value: unknown): JobCommand | Refusal {
  if (!isObject(value)) return invalid('commandInfo', 'must be an object with commandType')
  switch (value.commandType) {
    case 'SERVICE_INVOKE': {
      const info = value.serviceInvokeInfo
      if (!isObject(info)) return invalid('commandInfo.serviceInvokeInfo', 'must be an object with serviceId')
      const inputData = readInput(info.inputData)
      if (typeof info.serviceId !== 'string')
        return invalid('commandInfo.serviceInvokeInfo.serviceId', 'must be a text')
      const tooLarge = checkSize('commandInfo.serviceInvokeInfo.inputData', inputData)
      return tooLarge ?? { kind: Kind.invoke, serviceId: info.serviceId, inputData }
    }
    case 'MEASUREPOINT_SET': {
      const info = value.setMeasurepointInfo
      if (!isObject(info)) return invalid('commandInfo.setMeasurepointInfo', 'must be an object with measurepointId')
      const { measurepointId, value: point } = info
      if (typeof measurepointId !== 'string')
        return invalid('commandInfo.setMeasurepointInfo.measurepointId', 'must be a text')
      const tooLarge = checkSize('commandInfo.setMeasurepointInfo.value', point)
      return tooLarge ?? { kind: Kind.set, measurepointId, value: point ?? null }
    }
    default:
      return invalid('commandInfo.commandType', 'must be SERVICE_INVOKE or MEASUREPOINT_SET')
  }
}

/** The vendor's table has it as a text, its samples as an object: both are read. */
function readInput(value: unknown): unknown {
  if (typeof value !== 'string') return value ?? {}
  try {
    return JSON.parse(value) as unknown
  } catch {
    // A text that is no JSON is no object of inputs either: the check against the model says so.
    return value
  }
}

const checkSize = (path: string, value: unknown): Refusal | null =>
  Buffer.byteLength(JSON.stringify(value) ?? '') > INPUT_MAX_BYTES
    ? invalid(path, `may have ${INPUT_MAX_BYTES} bytes as JSON`)
    : null

const isWhole = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value)
const isBetween = (value: unknown, min: number, max: number): value is number =>
  isWhole(value) && value >= min && value <= max

/** The part of a new command that the job itself decides. */
export interface CheckedCommand {
  readonly ok: true
  readonly kind: Kind
  readonly identifier: string
  readonly nameJson: string
  readonly inputJson: string
}

/** The command for a device of a product with this model; null: without one. Refusals are 99400 and name the field. */
export function checkCommand(command: JobCommand, model: Model | null): CheckedCommand | Refusal {
  if (command.kind === Kind.invoke) {
    const checked = checkService(model, command.serviceId, command.inputData)
    if (!checked.ok) return checked
    return made(Kind.invoke, command.serviceId, checked.name, checked.inputs)
  }
  const checked = checkPoint(model, command.measurepointId, command.value)
  if (!checked.ok) return checked
  return made(Kind.set, command.measurepointId, checked.name, checked.value)
}

const made = (kind: Kind, identifier: string, name: StringI18n, input: unknown): CheckedCommand => ({
  ok: true,
  kind,
  identifier,
  nameJson: JSON.stringify(name),
  inputJson: JSON.stringify(input),
})
