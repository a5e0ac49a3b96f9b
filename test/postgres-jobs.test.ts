// Jobs and cancellations on PostgreSQL where the connection breaks at a COMMIT: each step is done once, and says what it did. The memory store, to which nothing
// of this can happen, says how it ends.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CancellationRow, JobRow, TaskRow } from '../src/store/jobs.ts'
import { openMemory } from '../src/store/memory.ts'
import { openPostgres } from '../src/store/postgres.ts'
import type { Store } from '../src/store/store.ts'
import { databaseFor, sharedPostgres, stopSharedPostgres } from './rig/postgres.ts'
import { type Fate, PostgresProxy } from './rig/postgres-proxy.ts'
import { addDevices, id, ORG, T0 } from './rig/store.ts'

let proxy: PostgresProxy
let folder: string
let store: Store

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-loss-'))
  const server = await sharedPostgres()
  const database = new URL(await databaseFor(folder)).pathname.slice(1)
  proxy = await PostgresProxy.start(server)
  store = await openPostgres(proxy.url(database))
})
afterEach(async () => {
  await store.close()
  await proxy.stop()
  rmSync(folder, { recursive: true })
})
afterAll(stopSharedPostgres)

const job: JobRow = {
  ...{ jobId: 'j1', orgId: ORG, createdBy: 'app1', createdAt: T0, triggerAt: T0, nameJson: '{"defaultValue":"x"}' },
  ...{ specJson: '{}', status: 'SCHEDULED', tasks: 0, spreadTo: 0, changedAt: T0, nextAt: T0, endedAt: null },
}
const task = (taskNo: number): TaskRow => ({
  ...{ jobId: 'j1', taskNo, deviceId: 1, productKey: 'pk1', deviceKey: 'k', assetId: 'a1', status: 'INIT' },
  ...{ commandId: null, attempt: 0, autoRetries: 0, manualRetries: 0, nextAt: T0, resultCode: null, resultText: null },
  ...{ outputJson: null, createdAt: T0, updatedAt: T0 },
})
const begun = (taskNo: number): TaskRow => ({
  ...task(taskNo),
  ...{ status: 'QUEUED', commandId: id(taskNo), attempt: 1, nextAt: null, updatedAt: T0 + 1 },
})
const cancellation: CancellationRow = {
  ...{ cancellationId: 'c1', orgId: ORG, createdBy: 'app1', createdAt: T0, filterJson: '{}', dryRun: false },
  ...{ status: 'running', scannedTo: 0, devicesTotal: 2, devices: 0, matched: 0, cancelled: 0, notCancelled: 0 },
  ...{ nextAt: T0, endedAt: null },
}

/** Each writes in one transaction of its own, and stands on those before it. */
const steps: readonly (readonly [name: string, (on: Store) => Promise<unknown>])[] = [
  ['addJob', on => on.addJob(job, [])],
  ['saveJob', on => on.saveJob('j1', job, { ...job, status: 'RUNNING', nextAt: T0 + 5 })],
  ['addTasks', on => on.addTasks('j1', 0, null, [task(1), task(2)])],
  [
    'saveTasks',
    on =>
      on.saveTasks('j1', [
        { from: task(1), task: begun(1) },
        { from: task(2), task: begun(2) },
      ]),
  ],
  ['addCancellation', on => on.addCancellation(cancellation)],
  [
    'addItems',
    on =>
      on.addItems('c1', 0, null, [
        { commandId: id(1), deviceId: 1, state: null },
        { commandId: id(2), deviceId: 2, state: 4 },
        { commandId: id(3), deviceId: 2, state: null },
      ]),
  ],
  [
    'decideItems',
    on =>
      on.decideItems('c1', [
        { commandId: id(1), state: 2, ours: true },
        { commandId: id(2), state: 2, ours: true },
        { commandId: id(3), state: 3, ours: false },
      ]),
  ],
  ['saveCancellation', on => on.saveCancellation('c1', 'running', { status: 'ended', nextAt: null, endedAt: T0 + 9 })],
]

const all = async (on: Store) => ({
  job: await on.job('j1'),
  tasks: await on.tasks('j1', [1, 2]),
  cancellation: await on.cancellation('c1'),
  items: await on.cancellationItems('c1', null, 10),
})

describe.each<Fate>(['cutBefore', 'cutAfter'])('a connection that is %s', fate => {
  test.each(steps.map(([name]) => name))('the COMMIT of %s has it done once', async name => {
    const memory = openMemory()
    for (const on of [memory, store]) await addDevices(on, 'a1', 'a2')
    for (const [step, write] of steps) {
      proxy.commits = 0
      if (step === name) proxy.nextCommit(fate)
      expect([step, await write(store)]).toEqual([step, await write(memory)])
      if (step === name) expect(proxy.commits).toBeGreaterThan(1)
    }
    expect(await all(store)).toEqual(await all(memory))
    expect(await memory.cancellation('c1')).toMatchObject({ cancelled: 2, notCancelled: 1, matched: 3 })
  })
})
