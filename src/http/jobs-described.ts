// What the OpenAPI document says of the actions of command jobs. Not here: the actions (jobs.ts), schemas that others have too (schemas.ts).

import Type from 'typebox'
import { Kind } from '../core/command.ts'
import {
  JOB_DESC_MAX_CHARS,
  JOB_LOOK_MAX_MS,
  JOB_PAGE_DEFAULT,
  JOB_PAGE_MAX,
  JOB_RETRIES_DEFAULT,
  JOB_RETRIES_MAX,
  JOB_RETRY_INTERVAL_DEFAULT_S,
  JOB_RETRY_INTERVAL_MAX_S,
  JOB_TARGETS_MAX,
  JOB_TIMEOUT_MAX_S,
  PENDING_TTL_MAX_S,
  TASK_IDS_MAX,
  TIMEOUT_DEFAULT_S,
} from '../core/limits.ts'
import { taskStatuses } from '../store/jobs.ts'
import type { Before, Described } from './action.ts'
import { shownJobStatuses } from './job-expression.ts'
import { instant, maybe, none, pagination, stringI18n, timeout } from './schemas.ts'

const jobId = Type.String({ pattern: '^[0-9a-f]{24}$', description: 'The job.' })
const taskId = Type.String({ description: 'The task: its job and its number in it.' })

const targetDevice = Type.Object({
  assetId: Type.Optional(maybe(Type.String())),
  productKey: Type.Optional(maybe(Type.String())),
  deviceKey: Type.Optional(maybe(Type.String())),
})

const targetScope = Type.Object({
  targetType: Type.String({ description: '`device_list` or `product_key`, in capitals or not.' }),
  targetDevices: Type.Optional(
    Type.Array(targetDevice, {
      maxItems: JOB_TARGETS_MAX,
      description:
        'The devices, each by its assetId or by both keys. For `product_key` one entry that has only the productKey.',
    }),
  ),
})

const schedulePolicy = Type.Object({
  scheduleType: Type.Literal('DISPOSABLE'),
  disposableSchedulePolicy: Type.Optional(
    Type.Object({ triggerTs: Type.Optional(instant('When it begins; at once where that has passed or is not said.')) }),
  ),
})

const timeoutPolicy = Type.Object({
  inProgressTimeoutInSeconds: Type.Optional(timeout(TIMEOUT_DEFAULT_S, JOB_TIMEOUT_MAX_S)),
  ttlTimeoutInSeconds: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: PENDING_TTL_MAX_S,
      default: 0,
      description: 'Seconds that a command may wait for its device; 0: it fails at once where the device is not there.',
    }),
  ),
})

const retryPolicy = Type.Object({
  enableRetry: Type.Optional(Type.Boolean({ default: false })),
  retryIntervalInSeconds: Type.Optional(
    Type.Integer({ minimum: 0, maximum: JOB_RETRY_INTERVAL_MAX_S, default: JOB_RETRY_INTERVAL_DEFAULT_S }),
  ),
  retryCount: Type.Optional(Type.Integer({ minimum: 1, maximum: JOB_RETRIES_MAX, default: JOB_RETRIES_DEFAULT })),
})

const commandInfo = Type.Object(
  {
    commandType: Type.String({ description: '`SERVICE_INVOKE` or `MEASUREPOINT_SET`.' }),
    serviceInvokeInfo: Type.Optional(
      maybe(
        Type.Object({
          serviceId: Type.String(),
          inputData: Type.Optional(Type.Unknown({ description: 'The map of inputs, also as JSON text.' })),
        }),
      ),
    ),
    setMeasurepointInfo: Type.Optional(maybe(Type.Object({ measurepointId: Type.String(), value: Type.Unknown() }))),
  },
  { $id: 'CommandInfo', description: `The command that each device gets; of type ${Kind.set} or ${Kind.invoke}.` },
)

const job = Type.Object(
  {
    orgId: Type.String(),
    jobId,
    name: stringI18n,
    desc: Type.String(),
    status: Type.Enum([...shownJobStatuses], { description: '`ENDED`: every task is over.' }),
    targetScope,
    schedulePolicy,
    timeoutPolicy,
    retryPolicy,
    commandInfo,
    createTimestamp: instant('When it was created.'),
    createBy: Type.String({ description: 'appKey.' }),
    endTimestamp: maybe(instant('When the last of its tasks was over.')),
  },
  { $id: 'CommandJob' },
)

const task = Type.Object(
  {
    taskId,
    orgId: Type.String(),
    assetId: Type.String(),
    productKey: Type.String(),
    deviceKey: Type.String(),
    jobId,
    status: Type.Enum([...taskStatuses], {
      description:
        'INIT: not begun. QUEUED: its command waits. PUBLISHED: sent, not answered. SUCCEED, FAILED, CANCELLED; RSP_TIMEOUT: sent and not answered in time; TTL_TIMEOUT: not sent in time.',
    }),
    commandInfo,
    taskResult: maybe(
      Type.Object({
        code: maybe(Type.Integer({ description: '0, one of ours, or the device’s own.' })),
        desc: Type.String(),
        outputData: Type.Unknown(),
      }),
    ),
    createTimestamp: instant('When it was made.'),
    updateTimestamp: instant('When it changed last.'),
    autoRetryCount: Type.Integer(),
    manualRetryCount: Type.Integer(),
    commandId: maybe(Type.String({ description: 'The command of its last attempt.' })),
    retryTimestamp: maybe(instant('When it is tried again by itself.')),
  },
  { $id: 'CommandTask' },
)

const counts = Type.Object({
  total: Type.Integer(),
  init: Type.Integer(),
  queued: Type.Integer(),
  published: Type.Integer(),
  inProgress: Type.Integer({ description: 'Always 0: no device says that it has begun.' }),
  succeed: Type.Integer(),
  failed: Type.Integer(),
  canceled: Type.Integer(),
  ttlTimeout: Type.Integer(),
  rspTimeout: Type.Integer(),
})

const taskAnswers = {
  body: Type.Object({
    taskIds: Type.Array(Type.String(), { minItems: 1, maxItems: TASK_IDS_MAX }),
  }),
  data: Type.Array(Type.Object({ code: Type.Integer(), msg: Type.String(), data: taskId }), {
    description: 'An answer for each task, in the order of the body.',
  }),
  beside: Type.Object({ successSize: Type.Integer(), totalSize: Type.Integer() }),
}

const search = Type.Object({
  expression: Type.Optional(Type.String()),
  pagination: Type.Optional(
    Type.Object({
      pageNo: Type.Optional(Type.Integer({ minimum: 1, default: 1 })),
      pageSize: Type.Optional(Type.Integer({ minimum: 0, maximum: JOB_PAGE_MAX, default: JOB_PAGE_DEFAULT })),
    }),
  ),
})

// --- examples ----------------------------------------------------------------------------------------------------

const JOB = '5d0c1e2f3a4b5c6d7e8f9a0b'
const NONE = '0'.repeat(24)
const created: Before = { operationId: 'createJob', example: 'A service of two devices', gives: { data: JOB } }
const ofNone = { summary: 'One that does not exist', query: { jobId: NONE }, code: 99404 }

const example = {
  name: { defaultValue: 'Restart the pumps', i18nValue: { en_US: 'Restart the pumps' } },
  desc: 'after the update of last night',
  targetScope: {
    targetType: 'device_list',
    targetDevices: [{ assetId: 'oxWwM9i5' }, { productKey: 'bXuuAiku', deviceKey: 'mqtt_03' }],
  },
  schedulePolicy: { scheduleType: 'DISPOSABLE' },
  timeoutPolicy: { inProgressTimeoutInSeconds: 30, ttlTimeoutInSeconds: 3_600 },
  retryPolicy: { enableRetry: true, retryIntervalInSeconds: 300, retryCount: 3 },
  commandInfo: { commandType: 'SERVICE_INVOKE', serviceInvokeInfo: { serviceId: 'reboot', inputData: { delay: 1 } } },
}

export const createJob: Described = {
  operationId: 'createJob',
  summary: 'Create a command job',
  description: `One command for many devices, now or at an instant: each device of the list, or every device that a product has when the job begins, becomes a task. \`data\` is the jobId. All devices must be there, be named once, and be such that the caller may command them (Asset Control); the command is checked against the models of their products, and again at each attempt. Commands of a job wait in the queues of their devices like any others.

With \`enableRetry\` a task that is FAILED, RSP_TIMEOUT or TTL_TIMEOUT is tried again, \`retryIntervalInSeconds\` after it failed, at most \`retryCount\` times. What was cancelled is not, nor what no command can be made for: the device is gone, or its model does not have the command any more. A task follows its command within a second while things move, and within ${JOB_LOOK_MAX_MS / 1_000} s in a job on which nothing has happened for long.`,
  parameters: none,
  body: Type.Object({
    name: stringI18n,
    desc: Type.String({ maxLength: JOB_DESC_MAX_CHARS }),
    targetScope,
    schedulePolicy,
    timeoutPolicy: Type.Optional(timeoutPolicy),
    retryPolicy: Type.Optional(retryPolicy),
    commandInfo,
  }),
  data: Type.String({ description: 'The jobId.' }),
  codes: ['productNotFound', 'isOver'],
  examples: [
    { summary: 'A service of two devices', body: example, data: JOB },
    {
      summary: 'A measurepoint of all devices of a product, tonight',
      body: {
        ...example,
        targetScope: { targetType: 'product_key', targetDevices: [{ productKey: 'bXuuAiku' }] },
        commandInfo: {
          commandType: 'MEASUREPOINT_SET',
          setMeasurepointInfo: { measurepointId: 'Int_value', value: 7 },
        },
      },
      data: JOB,
    },
    {
      summary: 'A device twice',
      body: {
        ...example,
        targetScope: { targetType: 'device_list', targetDevices: [{ assetId: 'oxWwM9i5' }, { assetId: 'oxWwM9i5' }] },
      },
      code: 99400,
    },
  ],
}

export const getJob: Described = {
  operationId: 'getJob',
  summary: 'Get a command job',
  parameters: Type.Object({ jobId }),
  data: job,
  codes: ['notFound'],
  examples: [{ summary: 'One', query: { jobId: JOB }, before: [created] }, ofNone],
}

export const searchJob: Described = {
  operationId: 'searchJob',
  summary: 'Search command jobs',
  description:
    'Expressions know `jobId` and `status` (`=`, `in`), `name` (`like`, with a locale or without) and `createTime` (`=`, `<`, `<=`, `>`, `>=`; UTC, or milliseconds). The newest first. Who may see only some devices sees the jobs that it has made itself.',
  parameters: none,
  body: search,
  data: Type.Array(job),
  beside: Type.Object({ pagination }),
  examples: [
    {
      summary: 'By its jobId',
      body: { expression: `jobId in ('${JOB}')`, pagination: { pageNo: 1, pageSize: 100 } },
      before: [created],
    },
    { summary: 'Those that have not ended', body: { expression: "status in ('SCHEDULED', 'RUNNING')" } },
  ],
}

export const deleteJob: Described = {
  operationId: 'deleteJob',
  summary: 'Delete a command job',
  description:
    'Nothing of it is begun any more, its commands that wait are cancelled, and then it is forgotten. What has been sent goes on by itself: its command is still on record. Beside `data` it says how many commands it cancelled, and how many had been sent. The caller must have `Asset` Control for every device whose task is open, or for the product that the job is for; otherwise it is refused with 99403, and nothing is done. No body, and no other query name.',
  parameters: Type.Object({ jobId }),
  data: Type.Null(),
  beside: Type.Object({
    cancelled: Type.Integer({ description: 'Commands that waited.' }),
    published: Type.Integer({ description: 'Commands that had been sent, and not answered.' }),
    finished: Type.Boolean({ description: 'False: the store or the engine is busy, and the rest is done soon.' }),
  }),
  codes: ['notFound'],
  examples: [{ summary: 'One', query: { jobId: JOB }, before: [created] }, ofNone],
}

const statistics = {
  summary: 'Count the tasks of a job by their status',
  parameters: Type.Object({ jobId }),
  data: counts,
  codes: ['notFound'],
  examples: [{ summary: 'One', query: { jobId: JOB }, before: [created] }, ofNone],
} as const

export const queryStatistics: Described = { operationId: 'queryStatistics', ...statistics }
export const queryJobStatistics: Described = {
  operationId: 'queryJobStatistics',
  ...statistics,
  description: 'The same as queryStatistics: the vendor’s page has one name in its table and the other in its sample.',
}

export const getTask: Described = {
  operationId: 'getTask',
  summary: 'Get a task',
  parameters: Type.Object({ taskId }),
  data: task,
  codes: ['notFound'],
  examples: [
    { summary: 'The first of a job', query: { taskId: `${JOB}-1` }, before: [created] },
    { summary: 'One that does not exist', query: { taskId: `${NONE}-1` }, code: 99404 },
  ],
}

export const searchTask: Described = {
  operationId: 'searchTask',
  summary: 'Search tasks',
  description:
    'Expressions know `jobId`, `taskId`, `assetId`, `productKey`, `deviceKey` and `status` (`=`, `in`; also `ztaskId`, `pk` and `dk`) and `createTime` (`=`, `<`, `<=`, `>`, `>=`; UTC, or milliseconds). One of jobId, taskId, assetId and deviceKey must be among what has to hold, since there may be millions of tasks.',
  parameters: none,
  body: search,
  data: Type.Array(task),
  beside: Type.Object({ pagination }),
  examples: [
    {
      summary: 'Those of a job that failed',
      body: { expression: `jobId = '${JOB}' and status in ('FAILED', 'RSP_TIMEOUT', 'TTL_TIMEOUT')` },
      before: [created],
    },
    { summary: 'What was ever done on a device', body: { expression: "assetId = 'oxWwM9i5'" } },
    { summary: 'Everything', body: {}, code: 99400 },
  ],
}

export const retryTask: Described = {
  operationId: 'retryTask',
  summary: 'Try tasks again',
  description:
    'At once, each that is over without success, also where it was cancelled or is to be tried again later, and also where its job has ended. Needs Asset Control for the devices.',
  parameters: Type.Object({ jobId }),
  ...taskAnswers,
  codes: ['notFound'],
  examples: [
    {
      summary: 'One that has not been begun twice',
      query: { jobId: JOB },
      body: { taskIds: [`${JOB}-2`, `${JOB}-9`] },
      before: [created],
    },
  ],
}

export const cancelTask: Described = {
  operationId: 'cancelTask',
  summary: 'Cancel tasks',
  description:
    'Each whose command waits, or is not made yet: it is never sent. A task that is to be tried again is not. What has been sent cannot be called back, and what is over stays as it is: the answer for that task has code 99413. Needs Asset Control for the devices.',
  parameters: Type.Object({ jobId }),
  ...taskAnswers,
  codes: ['notFound'],
  examples: [
    {
      summary: 'One that waits for its device',
      query: { jobId: JOB },
      body: { taskIds: [`${JOB}-2`] },
      before: [created],
    },
  ],
}
