// From the store's rows to the vendor's structs: CommandJob and TaskInfo. Pure. Not here: which of them a caller may see (jobs.ts), their schemas
// (jobs-described.ts).

import { Kind } from '../core/command.ts'
import { type JobCommand, type JobSpec, storedSpec } from '../jobs/spec.ts'
import { type JobRow, type TaskRow, type TaskStatus, taskIdOf } from '../store/jobs.ts'

/** `commandInfo` as it was said. */
const commandInfo = (command: JobCommand) =>
  command.kind === Kind.invoke
    ? {
        commandType: 'SERVICE_INVOKE',
        serviceInvokeInfo: { serviceId: command.serviceId, inputData: command.inputData },
        setMeasurepointInfo: null,
      }
    : {
        commandType: 'MEASUREPOINT_SET',
        serviceInvokeInfo: null,
        setMeasurepointInfo: { measurepointId: command.measurepointId, value: command.value },
      }

function targetScope({ target }: JobSpec) {
  if (target.type === 'device_list')
    return {
      targetType: 'DEVICE_LIST',
      targetDevices: target.devices.map(({ productKey, deviceKey, assetId }) => ({ productKey, deviceKey, assetId })),
    }
  const product = { productKey: target.productKey, deviceKey: null, assetId: null }
  return { targetType: 'PRODUCT_KEY', targetDevices: [product] }
}

export function jobStruct(row: JobRow): Record<string, unknown> {
  const spec = storedSpec(row.specJson)
  const { enabled, intervalS, count } = spec.retry
  return {
    orgId: row.orgId,
    jobId: row.jobId,
    name: JSON.parse(row.nameJson),
    desc: spec.desc,
    status: row.status,
    targetScope: targetScope(spec),
    schedulePolicy: { scheduleType: 'DISPOSABLE', disposableSchedulePolicy: { triggerTs: row.triggerAt } },
    timeoutPolicy: { inProgressTimeoutInSeconds: spec.timeoutS, ttlTimeoutInSeconds: spec.pendingTtlS },
    retryPolicy: { enableRetry: enabled, retryIntervalInSeconds: intervalS, retryCount: count },
    commandInfo: commandInfo(spec.command),
    createTimestamp: row.createdAt,
    createBy: row.createdBy,
    endTimestamp: row.endedAt,
  }
}

export function taskStruct(row: TaskRow, job: JobRow): Record<string, unknown> {
  const { resultCode, resultText, outputJson } = row
  const output: unknown = outputJson === null ? null : JSON.parse(outputJson)
  const { orgId } = job
  const { assetId, productKey, deviceKey, jobId, status, commandId } = row
  return {
    taskId: taskIdOf(row),
    ...{ orgId, assetId, productKey, deviceKey, jobId, status },
    commandInfo: commandInfo(storedSpec(job.specJson).command),
    taskResult: resultText === null ? null : { code: resultCode, desc: resultText, outputData: output },
    createTimestamp: row.createdAt,
    updateTimestamp: row.updatedAt,
    autoRetryCount: row.autoRetries,
    manualRetryCount: row.manualRetries,
    commandId,
    retryTimestamp: status === 'INIT' ? null : row.nextAt,
  }
}

export function statisticsStruct(counts: ReadonlyMap<TaskStatus, number>): Record<string, number> {
  const of = (status: TaskStatus): number => counts.get(status) ?? 0
  return {
    total: [...counts.values()].reduce((sum, n) => sum + n, 0),
    init: of('INIT'),
    queued: of('QUEUED'),
    published: of('PUBLISHED'),
    inProgress: 0,
    succeed: of('SUCCEED'),
    failed: of('FAILED'),
    canceled: of('CANCELLED'),
    ttlTimeout: of('TTL_TIMEOUT'),
    rspTimeout: of('RSP_TIMEOUT'),
  }
}

/** Bytes of what of them may be long. */
export const jobBytes = ({ nameJson, specJson }: JobRow): number =>
  Buffer.byteLength(nameJson) + Buffer.byteLength(specJson)
export const taskBytes = ({ outputJson, resultText }: TaskRow): number =>
  Buffer.byteLength(outputJson ?? '') + Buffer.byteLength(resultText ?? '')
