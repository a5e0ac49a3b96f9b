// The actions of command jobs on /connect-service/v2.5/commands: from the shape of a request to what the jobs of this process are asked, and from rows to the
// vendor's structs. Not here: what a job does by itself (jobs/), what the OpenAPI document says of them (jobs-described.ts).

import { randomBytes } from 'node:crypto'
import { errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import { isObject, quote } from '../core/json.ts'
import {
  JOB_BODY_MAX_BYTES,
  JOB_PAGE_CHUNK,
  JOB_PAGE_DEFAULT,
  JOB_PAGE_MAX,
  JOB_STEP_TASKS,
  PAGE_MAX_BYTES,
  TASK_IDS_MAX,
} from '../core/limits.ts'
import { allows, type Need, reachOf } from '../fleet/grants.ts'
import { newJob } from '../jobs/job.ts'
import { checkCommand, type JobSpec, readJob, storedSpec, type TargetDevice } from '../jobs/spec.ts'
import type { TaskAnswers } from '../jobs/tasks.ts'
import { type JobRow, readTaskId, type TaskField, type TaskRow, type WorkCondition } from '../store/jobs.ts'
import type { Device } from '../store/store.ts'
import { type Action, type Call, isEmptyBody, type OrganizationAction, objectBody, type Resource } from './action.ts'
import { coversProduct, denied, fleetFull, fleetRead, reach } from './fleet-structs.ts'
import { parseJobExpression, parseTaskExpression } from './job-expression.ts'
import { jobBytes, jobStruct, statisticsStruct, taskBytes, taskStruct } from './job-structs.ts'
import * as described from './jobs-described.ts'
import { type Page, readPagination } from './pagination.ts'
import { failure, ok, type Result, refused } from './wire.ts'

/** What commands of a job need, as commands of anybody do. */
const control: Need = { resource: 'Asset', action: 'Control' }

const write = { about: 'organization', methods: ['POST'], needs: fleetFull, strict: false } as const
const read = { about: 'organization', methods: ['POST', 'GET'], needs: fleetRead, strict: false } as const

const actions: Readonly<Record<string, OrganizationAction>> = {
  createJob: { ...described.createJob, ...write, run: createJob },
  getJob: {
    ...described.getJob,
    ...read,
    methods: ['GET', 'POST'],
    run: call => withJob(call, fleetRead, async job => ok(jobStruct(job))),
  },
  searchJob: { ...described.searchJob, ...read, methods: ['POST'], run: searchJob },
  // A jobId in a body would be overlooked, and one that is misspelt in the query as well.
  deleteJob: { ...described.deleteJob, ...write, strict: true, run: deleteJob },
  queryStatistics: { ...described.queryStatistics, ...read, run: statistics },
  queryJobStatistics: { ...described.queryJobStatistics, ...read, run: statistics },
  getTask: { ...described.getTask, ...read, methods: ['GET', 'POST'], run: getTask },
  searchTask: { ...described.searchTask, ...read, methods: ['POST'], run: searchTask },
  retryTask: {
    ...described.retryTask,
    ...write,
    run: call => onTasks(call, (jobId, nos) => call.jobs.retryTasks(jobId, nos)),
  },
  cancelTask: {
    ...described.cancelTask,
    ...write,
    run: call => onTasks(call, (jobId, nos) => call.jobs.cancelTasks(jobId, nos, call.appKey)),
  },
}

export const jobs: Resource = {
  path: '/connect-service/v2.5/commands',
  label: 'jobs ',
  tag: 'Command jobs',
  bodyMaxBytes: JOB_BODY_MAX_BYTES,
  actions: new Map<string, Action>(Object.entries(actions)),
}

/** Whoever may see only some devices sees the jobs that it has made itself: null: all of the organization's. */
const maker = ({ application, appKey }: Call, need: Need): string | null =>
  reachOf(application, need) === 'all' ? null : appKey

const noSuchJob = (jobId: string): Refusal => refuse(errors.notFound, `job ${quote(jobId)} not found`)

/** The job that the query names, if the caller may see or change it. */
async function withJob(call: Call, need: Need, run: (job: JobRow) => Promise<Result>): Promise<Result> {
  const jobId = call.query.get('jobId') ?? ''
  if (jobId === '') return failure(invalid('jobId', 'jobId is missing'))
  const job = await visibleJob(call, need, jobId)
  return job === null ? failure(noSuchJob(jobId)) : run(job)
}

async function visibleJob(call: Call, need: Need, jobId: string): Promise<JobRow | null> {
  const job = await call.store.job(jobId)
  if (job === null || job.orgId !== call.orgId || job.status === 'DELETED') return null
  const by = maker(call, need)
  return by === null || job.createdBy === by ? job : null
}

// --- creating ----------------------------------------------------------------------------------------------------

async function createJob(call: Call): Promise<Result> {
  const now = call.clock.now()
  const read = readJob(call.body, now)
  if (!read.ok) return failure(read)
  const { name, spec } = read
  const devices = await targetsOf(call, spec)
  if (!Array.isArray(devices)) return failure(devices)
  const jobId = randomBytes(12).toString('hex')
  const { orgId, appKey, jobs } = call
  const { job, tasks } = newJob({ jobId, orgId, createdBy: appKey, nameJson: JSON.stringify(name) }, spec, devices, now)
  const refusal = await jobs.create(job, tasks)
  return refusal === null ? ok(jobId) : refused(refusal)
}

/** The devices that a job lists, each of which is there, may be commanded, and is of a product whose model allows the command; none where it is for a product. */
async function targetsOf(call: Call, spec: JobSpec): Promise<Device[] | Refusal> {
  const { target } = spec
  if (target.type === 'product_key') {
    const refusal = await checkProduct(call, spec, target.productKey)
    return refusal ?? []
  }
  const devices: Device[] = []
  for (const [i, named] of target.devices.entries()) {
    const device = await findTarget(call, named, `targetScope.targetDevices[${i}]`)
    if ('ok' in device) return device
    devices.push(device)
  }
  const seen = new Set<number>()
  for (const [i, { id, assetId }] of devices.entries()) {
    if (seen.has(id)) return invalid(`targetScope.targetDevices[${i}]`, `names ${assetId} a second time`)
    seen.add(id)
  }
  for (const productKey of new Set(devices.map(device => device.productKey))) {
    const refusal = await checkModel(call, spec, productKey)
    if (refusal !== null) return refusal
  }
  return devices
}

async function findTarget(
  { fleet, orgId, application }: Call,
  { assetId, productKey, deviceKey }: TargetDevice,
  path: string,
): Promise<Device | Refusal> {
  const found =
    assetId !== null ? await fleet.deviceByAsset(assetId) : await fleet.deviceByKeys(productKey ?? '', deviceKey ?? '')
  // Another organization's device is not there: which refusal it is must not tell either that it exists.
  if (found === null || found.orgId !== orgId) return invalid(path, 'there is no such device in the organization')
  const isMeant = [productKey ?? found.productKey, deviceKey ?? found.deviceKey]
  if (isMeant[0] !== found.productKey || isMeant[1] !== found.deviceKey)
    return invalid(path, 'assetId names another device than productKey and deviceKey')
  for (const need of [fleetFull, control])
    if (!allows(application, need, found)) return denied(`${need.resource} ${found.assetId}`, need)
  return found
}

async function checkProduct(call: Call, spec: JobSpec, productKey: string): Promise<Refusal | null> {
  const product = await call.fleet.product(productKey)
  if (product === null || product.orgId !== call.orgId)
    return refuse(errors.productNotFound, `product ${quote(productKey)} not found`)
  for (const need of [fleetFull, control])
    if (!coversProduct(reach(call, need), productKey)) return denied(`product ${productKey}`, need)
  return checkModel(call, spec, productKey)
}

/** The refusal names the product as well: a job may be for devices of several. */
async function checkModel({ fleet }: Call, { command }: JobSpec, productKey: string): Promise<Refusal | null> {
  const checked = checkCommand(command, await fleet.model(productKey))
  return checked.ok ? null : { ...checked, message: `${checked.message} (product ${productKey})` }
}

// --- looking -----------------------------------------------------------------------------------------------------

function statistics(call: Call): Promise<Result> {
  return withJob(call, fleetRead, async ({ jobId }) => ok(statisticsStruct(await call.store.countTasks(jobId))))
}

async function searchJob(call: Call): Promise<Result> {
  const body = objectBody(call.body)
  if ('ok' in body) return failure(body)
  const expression = parseJobExpression(body.fields.get('expression'))
  if (!expression.ok) return failure(expression)
  const page = readPagination(body.fields.get('pagination'), JOB_PAGE_DEFAULT, JOB_PAGE_MAX, 0)
  if ('ok' in page) return failure(page)
  const by = maker(call, fleetRead)
  const found = await readPage(
    page,
    (offset, limit) => call.store.searchJobs(call.orgId, by, expression.condition, offset, limit),
    jobBytes,
  )
  return 'ok' in found ? failure(found) : paged(page, found.total, found.rows.map(jobStruct))
}

async function searchTask(call: Call): Promise<Result> {
  const body = objectBody(call.body)
  if ('ok' in body) return failure(body)
  const expression = parseTaskExpression(body.fields.get('expression'))
  if (!expression.ok) return failure(expression)
  const page = readPagination(body.fields.get('pagination'), JOB_PAGE_DEFAULT, JOB_PAGE_MAX, 0)
  if ('ok' in page) return failure(page)
  const by = maker(call, fleetRead)
  const condition = within(call, expression.condition)
  const found = await readPage(
    page,
    (offset, limit) => call.store.searchTasks(call.orgId, by, condition, offset, limit),
    taskBytes,
  )
  if ('ok' in found) return failure(found)
  const jobs = new Map<string, JobRow | null>()
  for (const { jobId } of found.rows) if (!jobs.has(jobId)) jobs.set(jobId, await call.store.job(jobId))
  const data = found.rows.flatMap(row => {
    // One that was deleted since is not there any more.
    const job = jobs.get(row.jobId) ?? null
    return job === null ? [] : [taskStruct(row, job)]
  })
  return paged(page, found.total, data)
}

/** Only tasks of devices that the caller may see. */
function within(call: Call, condition: WorkCondition<TaskField>): WorkCondition<TaskField> {
  const visible = reach(call, fleetRead)
  if (visible === 'all') return condition
  const devices: WorkCondition<TaskField> = {
    op: 'or',
    terms: [
      { op: 'in', field: 'productKey', values: visible.productKeys },
      { op: 'in', field: 'assetId', values: visible.assetIds },
    ],
  }
  return { op: 'and', terms: [condition, devices] }
}

/** A page, some rows at a time: it is refused before it has become too large for memory. */
async function readPage<Row>(
  { offset, pageSize }: Page,
  read: (offset: number, limit: number) => Promise<{ readonly rows: readonly Row[]; readonly total: number }>,
  bytesOf: (row: Row) => number,
): Promise<{ readonly rows: readonly Row[]; readonly total: number } | Refusal> {
  const rows: Row[] = []
  let bytes = 0
  for (;;) {
    const limit = Math.min(JOB_PAGE_CHUNK, pageSize - rows.length)
    const chunk = await read(offset + rows.length, limit)
    rows.push(...chunk.rows)
    for (const row of chunk.rows) bytes += bytesOf(row)
    if (bytes > PAGE_MAX_BYTES)
      return invalid('pagination.pageSize', `the page would have more than ${PAGE_MAX_BYTES} bytes; ask for fewer`)
    if (chunk.rows.length < limit || rows.length >= pageSize) return { rows, total: chunk.total }
  }
}

function paged({ pageNo, pageSize }: Page, totalSize: number, data: unknown): Result {
  const sortedBy = [{ field: 'createTimestamp', order: 'DESC' }]
  return ok(data, { pagination: { sortedBy, pageNo, pageSize, totalSize } })
}

async function getTask(call: Call): Promise<Result> {
  const taskId = call.query.get('taskId') ?? ''
  if (taskId === '') return failure(invalid('taskId', 'taskId is missing'))
  const named = readTaskId(taskId)
  const job = named === null ? null : await visibleJob(call, fleetRead, named.jobId)
  const [task] = named === null || job === null ? [] : await call.store.tasks(named.jobId, [named.taskNo])
  if (job === null || task === undefined || !isVisible(call, fleetRead, task))
    return failure(refuse(errors.notFound, `task ${quote(taskId)} not found`))
  return ok(taskStruct(task, job))
}

const isVisible = ({ application, orgId }: Call, need: Need, { productKey, assetId }: TaskRow): boolean =>
  allows(application, need, { orgId, productKey, assetId })

// --- changing ----------------------------------------------------------------------------------------------------

async function deleteJob(call: Call): Promise<Result> {
  if (!isEmptyBody(call.body))
    return failure(invalid('body', 'deleteJob takes no body; the jobId belongs into the query'))
  if (reachOf(call.application, control) === null) return failure(denied(`orgId ${call.orgId}`, control))
  return withJob(call, fleetFull, async ({ jobId }) => {
    const removal = await call.jobs.delete(jobId, call.appKey, job => deniedDeletion(call, job))
    if (removal === null) return failure(noSuchJob(jobId))
    if ('ok' in removal) return refused(removal)
    const { cancelled, published, isGone } = removal
    return ok(null, { cancelled, published, finished: isGone })
  })
}

/**
 * Deleting takes back what waits, so the caller must command each device that has something open: null: it does. A job for a product may get tasks of any of
 * its devices yet, so that takes the whole product; one that lists devices has JOB_TARGETS_MAX at most, which are looked at in steps.
 */
async function deniedDeletion(call: Call, { jobId, status, specJson }: JobRow): Promise<Refusal | null> {
  const commanded = reach(call, control)
  if (commanded === 'all') return null
  const { target } = storedSpec(specJson)
  if (target.type === 'product_key') {
    const isCovered = status === 'ENDED' || coversProduct(commanded, target.productKey)
    return isCovered ? null : denied(`product ${target.productKey}`, control)
  }
  for (let after = 0; ; ) {
    const tasks = await call.store.unfinishedTasks(jobId, after, JOB_STEP_TASKS)
    const foreign = tasks.find(task => !isVisible(call, control, task))
    if (foreign !== undefined) return denied(`Asset ${foreign.assetId}`, control)
    if (tasks.length < JOB_STEP_TASKS) return null
    after = tasks.at(-1)?.taskNo ?? after
  }
}

/** What is done to tasks that the body names: an answer for each of them, in their order. */
async function onTasks(
  call: Call,
  act: (jobId: string, taskNos: readonly number[]) => Promise<TaskAnswers | Refusal | null>,
): Promise<Result> {
  const taskIds = readTaskIds(call.body)
  if (!Array.isArray(taskIds)) return failure(taskIds)
  return withJob(call, fleetFull, async ({ jobId }) => {
    const named = taskIds.map(taskId => {
      const read = readTaskId(taskId)
      return { taskId, taskNo: read?.jobId === jobId ? read.taskNo : null }
    })
    const nos = [...new Set(named.flatMap(({ taskNo }) => taskNo ?? []))]
    const refusals = await deniedTasks(call, jobId, nos)
    const answers = await act(
      jobId,
      nos.filter(taskNo => !refusals.has(taskNo)),
    )
    if (answers === null) return failure(noSuchJob(jobId))
    if ('ok' in answers) return refused(answers)
    const data = named.map(({ taskId, taskNo }) => {
      const none = refuse(errors.notFound, `the job has no task ${quote(taskId)}`)
      const refusal = taskNo === null ? none : (refusals.get(taskNo) ?? answers.get(taskNo) ?? null)
      return { code: refusal?.code ?? 0, msg: refusal?.message ?? 'OK', data: taskId }
    })
    return ok(data, { successSize: data.filter(({ code }) => code === 0).length, totalSize: data.length })
  })
}

/** Those whose devices the caller may not command. */
async function deniedTasks(call: Call, jobId: string, taskNos: readonly number[]): Promise<Map<number, Refusal>> {
  const tasks = await call.store.tasks(jobId, taskNos)
  const refused = tasks.filter(task => !isVisible(call, control, task))
  return new Map(refused.map(({ taskNo, assetId }) => [taskNo, denied(`Asset ${assetId}`, control)]))
}

/** One alone may stand by itself: the vendor's table says text, its sample has a list. */
function readTaskIds(body: unknown): string[] | Refusal {
  const said = isObject(body) ? body.taskIds : undefined
  const taskIds: unknown = typeof said === 'string' ? [said] : said
  const isList = Array.isArray(taskIds) && taskIds.length > 0 && taskIds.length <= TASK_IDS_MAX
  if (isList && taskIds.every(taskId => typeof taskId === 'string')) return taskIds
  return invalid('taskIds', `must be a list of 1 to ${TASK_IDS_MAX} taskIds`)
}
