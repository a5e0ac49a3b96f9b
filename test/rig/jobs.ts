// Jobs on the engine of the engine's rig: devices of one product without a model, a clock that the test moves, and jobs and cancellations as a call makes them.

import { Fleet } from '../../src/fleet/fleet.ts'
import { randomKey, Secrets } from '../../src/fleet/secrets.ts'
import { definite, type SaidFilter } from '../../src/jobs/filter.ts'
import { newJob } from '../../src/jobs/job.ts'
import { Jobs, type JobsOptions } from '../../src/jobs/runner.ts'
import { readJob } from '../../src/jobs/spec.ts'
import type { CancellationItem, CancellationRow, JobRow, TaskRow } from '../../src/store/jobs.ts'
import type { Store } from '../../src/store/store.ts'
import type { Reach } from '../../src/store/stream.ts'
import { ORG, RecordingLink, type Rig, rig } from './engine.ts'

export interface JobsRig extends Rig {
  readonly jobs: Jobs
  readonly options: JobsOptions
  /** lets everything that is under way come to rest, without time passing */
  rest(): Promise<void>
  connect(n: number): Promise<RecordingLink>
  /** Creates a job for these devices (numbers from 1), or for all of the product; its id. */
  create(devices: readonly number[] | 'product', over?: object): Promise<string>
  job(jobId: string): Promise<JobRow>
  tasks(jobId: string): Promise<TaskRow[]>
  /** the status of each task, in order */
  statuses(jobId: string): Promise<string>
  cancel(said: SaidFilter, over?: Partial<CancellationRow> & { reach?: Reach; deviceIds?: number[] }): Promise<string>
  cancellation(id: string): Promise<CancellationRow>
  items(id: string): Promise<CancellationItem[]>
  /** another process on the same store, which has its own turns */
  another(over?: Partial<JobsOptions>): Jobs
}

/** The jobs of a process that has its store to itself. */
export const jobsOver = (parts: Pick<JobsOptions, 'store' | 'engine' | 'fleet' | 'clock' | 'log'>): Jobs =>
  new Jobs({
    ...parts,
    ...{ retentionMs: 7 * 86_400_000, holder: 'this process', isShared: false },
    defer: run => void setImmediate(run),
  })

export async function jobsRig(
  devices: number,
  over: { store?: Store; jobs?: Partial<JobsOptions> } = {},
): Promise<JobsRig> {
  const base = await rig(devices, over.store === undefined ? {} : { store: over.store })
  const { engine, store, clock } = base
  const fleet = new Fleet(store, new Secrets(randomKey()))
  // Who makes all jobs here, and somebody of another organization; their secrets are never opened.
  const grants = [{ resource: 'Asset', actions: ['Control'], scope: 'all' as const }]
  const applications = [
    { appKey: 'app', orgId: ORG, secret: 'sealed', grants },
    { appKey: 'stranger', orgId: 'another', secret: 'sealed', grants },
  ]
  const organizations = [{ orgId: 'another', name: 'Another' }]
  await store.applyFleet({ organizations, applications, models: [], products: [], devices: [] }, clock.now())
  const note = (_fields: object, message: string) => void base.logged.push(message)
  const options: JobsOptions = {
    ...{ store, engine, fleet, clock, retentionMs: 7 * 86_400_000, holder: 'one', isShared: false },
    log: { info: note, warn: note, error: note },
    defer: run => void setImmediate(run),
    ...over.jobs,
  }
  const all = [new Jobs(options)]
  const [jobs] = all as [Jobs]
  jobs.start()
  const rest = async () => {
    for (let i = 0; i < 6; i++) {
      await new Promise(resolve => setImmediate(resolve))
      await engine.idle()
      for (const each of all) await each.idle()
    }
  }
  let made = 0
  const job = async (jobId: string) => (await store.job(jobId)) ?? fail(`job ${jobId}`)
  const tasks = async (jobId: string) => {
    const nos = Array.from({ length: (await job(jobId)).tasks }, (_, i) => i + 1)
    return store.tasks(jobId, nos)
  }
  return {
    ...base,
    jobs,
    options,
    rest,
    advance: ms => clock.advance(ms, rest),
    tasks,
    job,
    statuses: async jobId => (await tasks(jobId)).map(({ status }) => status).join(' '),
    connect: async n => {
      const link = new RecordingLink()
      const connected = await engine.connect(base.devices[n - 1] ?? 0, link)
      if (!connected.ok) throw new Error(connected.message)
      await engine.apply(base.devices[n - 1] ?? 0, { type: 'ready' })
      return link
    },
    create: async (which, over = {}) => {
      made += 1
      const jobId = `job${made}`
      const target = (n: number) => ({
        id: base.devices[n - 1] ?? 0,
        productKey: 'pk',
        deviceKey: `dk${n}`,
        assetId: `asset${n}`,
      })
      const targets = which === 'product' ? [] : which.map(target)
      const targetScope =
        which === 'product'
          ? { targetType: 'product_key', productKey: 'pk' }
          : { targetType: 'device_list', targetDevices: targets.map(({ assetId }) => ({ assetId })) }
      const read = readJob({ ...jobBody, targetScope, ...over }, clock.now())
      if (!read.ok) throw new Error(read.message)
      const maker = { jobId, orgId: ORG, createdBy: 'app', nameJson: JSON.stringify(read.name) }
      const { job, tasks } = newJob(maker, read.spec, targets, clock.now())
      const refusal = await jobs.create(job, tasks)
      if (refusal !== null) throw new Error(refusal.message)
      return jobId
    },
    cancel: async (said, { reach = 'all', deviceIds, ...over } = {}) => {
      made += 1
      const now = clock.now()
      const row: CancellationRow = {
        cancellationId: `cancellation${made}`,
        ...{ orgId: ORG, createdBy: 'app', createdAt: now, dryRun: false, status: 'running', scannedTo: 0 },
        filterJson: JSON.stringify(definite(said, reach, deviceIds ?? null, now, jobs.upTo(now))),
        ...{ devicesTotal: 0, devices: 0, matched: 0, cancelled: 0, notCancelled: 0, nextAt: now, endedAt: null },
        ...over,
      }
      const asked = jobs.createCancellation(row)
      // Among others it is answered after a while.
      if (options.isShared) await clock.advance(2_000, rest)
      const refusal = await asked
      if (refusal !== null) throw new Error(refusal.message)
      return row.cancellationId
    },
    cancellation: async id => (await store.cancellation(id)) ?? fail(`cancellation ${id}`),
    items: id => store.cancellationItems(id, null, 100_000),
    another: (over = {}) => {
      const other = new Jobs({ ...options, holder: 'other', ...over })
      all.push(other)
      return other
    },
  }
}

function fail(what: string): never {
  throw new Error(`there is no ${what}`)
}

/** A job that waits for its devices, at once. */
export const jobBody = {
  name: { defaultValue: 'Reboot' },
  desc: 'all of them',
  schedulePolicy: { scheduleType: 'DISPOSABLE' },
  timeoutPolicy: { ttlTimeoutInSeconds: 600, inProgressTimeoutInSeconds: 30 },
  commandInfo: { commandType: 'SERVICE_INVOKE', serviceInvokeInfo: { serviceId: 'reboot', inputData: { delay: 1 } } },
}
