// How every store keeps jobs with their tasks, and cancellations with what they found: what is searched, what is due, and each step guarded by what it began from.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { State } from '../src/core/command.ts'
import { Bug } from '../src/core/errors.ts'
import {
  type CancellationRow,
  type JobRow,
  readTaskId,
  type TaskField,
  type TaskRow,
  type TaskStatus,
  taskIdOf,
  type WorkCondition,
} from '../src/store/jobs.ts'
import type { Store } from '../src/store/store.ts'
import {
  addDevices,
  asFinal,
  asSent,
  changeOf,
  commit,
  created,
  deviceRow,
  fleetRows,
  id,
  loadOne,
  ORG,
  put,
  stores,
  T0,
} from './rig/store.ts'

const jobRow = (jobId: string, over: Partial<JobRow> = {}): JobRow => ({
  jobId,
  orgId: ORG,
  createdBy: 'app1',
  createdAt: T0,
  triggerAt: T0 + 1_000,
  nameJson: '{"defaultValue":"Reboot all","i18nValue":{"de_DE":"Alle neu starten"}}',
  specJson: '{"desc":"\\u0000 is written as an escape"}',
  status: 'SCHEDULED',
  tasks: 0,
  spreadTo: null,
  changedAt: T0,
  nextAt: T0 + 1_000,
  endedAt: null,
  ...over,
})

const taskRow = (jobId: string, taskNo: number, over: Partial<TaskRow> = {}): TaskRow => ({
  jobId,
  taskNo,
  deviceId: 1,
  productKey: 'pk1',
  deviceKey: `key-${taskNo}`,
  assetId: `asset-${taskNo}`,
  status: 'INIT',
  commandId: null,
  attempt: 0,
  autoRetries: 0,
  manualRetries: 0,
  nextAt: T0 + 1_000,
  resultCode: null,
  resultText: null,
  outputJson: null,
  createdAt: T0,
  updatedAt: T0,
  ...over,
})

const queued = (task: TaskRow, commandId: string, over: Partial<TaskRow> = {}): TaskRow => ({
  ...task,
  status: 'QUEUED',
  commandId,
  attempt: task.attempt + 1,
  nextAt: null,
  updatedAt: T0 + 2_000,
  ...over,
})

const cancellationRow = (cancellationId: string, over: Partial<CancellationRow> = {}): CancellationRow => ({
  cancellationId,
  orgId: ORG,
  createdBy: 'app1',
  createdAt: T0,
  filterJson: '{"all":true}',
  dryRun: false,
  status: 'running',
  scannedTo: 0,
  devicesTotal: 3,
  devices: 0,
  matched: 0,
  cancelled: 0,
  notCancelled: 0,
  nextAt: T0,
  endedAt: null,
  ...over,
})

test('a taskId is the job and the number, and nothing else is one', () => {
  expect(taskIdOf({ jobId: 'abc', taskNo: 12 })).toBe('abc-12')
  expect(readTaskId('abc-12')).toEqual({ jobId: 'abc', taskNo: 12 })
  for (const text of ['', 'abc', 'abc-', '-1', 'abc-0', 'abc-01', 'abc-x', 'a-b-1', 'abc-1234567890'])
    expect(readTaskId(text), text).toBeNull()
})

describe.each(stores)('$name store', ({ open, stop, forgets }) => {
  let folder: string
  let store: Store

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-jobs-'))
    store = await open(folder)
    await addDevices(store, 'a1', 'a2', 'a3')
  })
  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true })
  })
  afterAll(stop)

  describe('a job', () => {
    test.skipIf(forgets)('is there after a restart, with its tasks', async () => {
      const tasks = [taskRow('j1', 1), taskRow('j1', 2, { outputJson: '{"a":1}', resultText: 'ü', resultCode: -7 })]
      await store.addJob(jobRow('j1', { tasks: 2 }), tasks)
      await store.close()
      store = await open(folder)
      expect(await store.job('j1')).toEqual(jobRow('j1', { tasks: 2 }))
      expect(await store.tasks('j1', [2, 1, 2, 9])).toEqual(tasks)
    })

    test('is added once, with all of its tasks or not at all', async () => {
      await store.addJob(jobRow('j1'), [taskRow('j1', 1)])
      await expect(store.addJob(jobRow('j1'), [])).rejects.toThrow()
      await expect(store.addJob(jobRow('j2', { nameJson: 'a\0b' }), [])).rejects.toThrow(Bug)
      expect(await store.job('j2')).toBeNull()
      expect(await store.job('no\0where')).toBeNull()
    })

    test('is due at its instant, the longest overdue first', async () => {
      await store.addJob(jobRow('j1', { nextAt: T0 + 30 }), [])
      await store.addJob(jobRow('j2', { nextAt: T0 + 10 }), [])
      await store.addJob(jobRow('j3', { nextAt: null }), [])
      expect((await store.dueJobs(T0 + 9, 10)).map(({ jobId }) => jobId)).toEqual([])
      expect((await store.dueJobs(T0 + 30, 10)).map(({ jobId }) => jobId)).toEqual(['j2', 'j1'])
      expect((await store.dueJobs(T0 + 30, 1)).map(({ jobId }) => jobId)).toEqual(['j2'])
      expect(await store.nextWorkAt()).toBe(T0 + 10)
    })

    test('changes only from what it was found to be', async () => {
      await store.addJob(jobRow('j1'), [])
      const to = { status: 'RUNNING', changedAt: T0 + 1, nextAt: T0 + 2, endedAt: null } as const
      const before = { status: 'SCHEDULED', nextAt: T0 + 1_000 } as const
      expect(await store.saveJob('j1', { ...before, status: 'RUNNING' }, to)).toBe(false)
      expect(await store.saveJob('j1', { ...before, nextAt: T0 }, to)).toBe(false)
      expect(await store.saveJob('j1', { ...before, nextAt: null }, to)).toBe(false)
      expect(await store.saveJob('j1', before, to)).toBe(true)
      expect(await store.saveJob('j1', before, to)).toBe(false)
      expect(await store.saveJob('j9', before, to)).toBe(false)
      expect(await store.job('j1')).toEqual(jobRow('j1', to))
      const over = { ...to, status: 'ENDED', nextAt: null, endedAt: T0 + 3 } as const
      expect(await store.saveJob('j1', to, over)).toBe(true)
      expect(await store.saveJob('j1', over, { ...to, status: 'RUNNING' })).toBe(true)
    })

    test('gets its tasks in pages, each from where the one before ended', async () => {
      await store.addJob(jobRow('j1', { spreadTo: 0 }), [])
      expect(await store.addTasks('j1', 0, 5, [taskRow('j1', 1), taskRow('j1', 2)])).toBe(true)
      expect(await store.addTasks('j1', 0, 5, [taskRow('j1', 1), taskRow('j1', 2)])).toBe(false)
      expect(await store.addTasks('j1', 5, null, [taskRow('j1', 3)])).toBe(true)
      expect(await store.addTasks('j1', 5, null, [taskRow('j1', 4)])).toBe(false)
      expect(await store.job('j1')).toMatchObject({ tasks: 3, spreadTo: null })
      expect((await store.dueTasks('j1', T0 + 1_000, 10)).map(({ taskNo }) => taskNo)).toEqual([1, 2, 3])
    })

    test('gets no tasks once it is deleted', async () => {
      await store.addJob(jobRow('j1', { spreadTo: 0 }), [])
      await store.saveJob('j1', jobRow('j1'), { status: 'DELETED', changedAt: T0, nextAt: T0, endedAt: null })
      expect(await store.addTasks('j1', 0, null, [taskRow('j1', 1)])).toBe(false)
      expect(await store.countTasks('j1')).toEqual(new Map())
    })

    test('is counted by its organization', async () => {
      await store.addJob(jobRow('j1'), [])
      await store.addJob(jobRow('j2', { status: 'ENDED', endedAt: T0 }), [])
      expect(await store.countJobs(ORG)).toEqual({ open: 1, all: 2 })
      expect(await store.countJobs('o9')).toEqual({ open: 0, all: 0 })
    })

    test('goes with its tasks, some at a time', async () => {
      await store.addJob(
        jobRow('j1'),
        [1, 2, 3].map(n => taskRow('j1', n)),
      )
      await store.addJob(jobRow('j2'), [taskRow('j2', 1)])
      expect(await store.removeJob('j1', 2)).toBe(false)
      expect((await store.tasks('j1', [1, 2, 3])).length).toBe(1)
      expect(await store.removeJob('j1', 2)).toBe(true)
      expect(await store.job('j1')).toBeNull()
      expect(await store.removeJob('j1', 2)).toBe(true)
      expect((await store.tasks('j2', [1])).length).toBe(1)
    })
  })

  describe('a search', () => {
    beforeEach(async () => {
      await store.applyFleet(fleetRows({ organizations: [{ orgId: 'o2', name: 'Two' }] }), T0)
      await store.addJob(jobRow('j1', { createdAt: T0 }), [
        taskRow('j1', 1, { status: 'SUCCEED', nextAt: null }),
        taskRow('j1', 2, { productKey: 'pk2' }),
      ])
      await store.addJob(jobRow('j2', { createdAt: T0 + 5, nameJson: '{"defaultValue":"Pump","i18nValue":{}}' }), [
        taskRow('j2', 1, { createdAt: T0 + 5 }),
      ])
      await store.addJob(jobRow('j3', { createdAt: T0 + 5, status: 'ENDED', endedAt: T0, createdBy: 'app2' }), [])
      await store.addJob(jobRow('j4', { status: 'DELETED' }), [taskRow('j4', 1)])
      await store.addJob(jobRow('j5', { orgId: 'o2' }), [taskRow('j5', 1)])
    })

    const jobs = async (condition: WorkCondition<'jobId' | 'status'> | null, by: string | null = null) => {
      const { rows, total } = await store.searchJobs(ORG, by, condition, 0, 10)
      expect(total).toBe(rows.length)
      return rows.map(({ jobId }) => jobId)
    }
    const tasks = async (condition: WorkCondition<TaskField>, by: string | null = null) => {
      const { rows, total } = await store.searchTasks(ORG, by, condition, 0, 10)
      expect(total).toBe(rows.length)
      return rows.map(taskIdOf)
    }
    const all = { op: 'and', terms: [] } as const

    test('finds the jobs of an organization, the newest first, and none that is deleted', async () => {
      expect(await jobs(null)).toEqual(['j3', 'j2', 'j1'])
      expect(await jobs(null, 'app2')).toEqual(['j3'])
      expect(await jobs(null, 'nobody')).toEqual([])
    })

    test('finds jobs by what they are', async () => {
      expect(await jobs({ op: 'in', field: 'jobId', values: ['j1', 'j5', 'a\0b', "x' or 1=1"] })).toEqual(['j1'])
      expect(await jobs({ op: 'in', field: 'status', values: ['ENDED', 'RUNNING'] })).toEqual(['j3'])
      expect(await jobs({ op: 'in', field: 'status', values: [] })).toEqual([])
      expect(await jobs({ op: 'name', locale: null, text: 'PUMP' })).toEqual(['j2'])
      expect(await jobs({ op: 'name', locale: 'de_DE', text: 'neu' })).toEqual(['j3', 'j1'])
      expect(await jobs({ op: 'name', locale: 'default', text: 'neu' })).toEqual([])
      expect(await jobs({ op: 'created', from: T0 + 1, to: null })).toEqual(['j3', 'j2'])
      expect(await jobs({ op: 'created', from: null, to: T0 + 5 })).toEqual(['j1'])
      expect(await jobs({ op: 'created', from: null, to: null })).toEqual(['j3', 'j2', 'j1'])
    })

    test('joins conditions', async () => {
      const pump = { op: 'name', locale: null, text: 'pump' } as const
      const ended = { op: 'in', field: 'status', values: ['ENDED'] } as const
      expect(await jobs({ op: 'or', terms: [pump, ended] })).toEqual(['j3', 'j2'])
      expect(await jobs({ op: 'and', terms: [pump, ended] })).toEqual([])
      expect(await jobs({ op: 'or', terms: [] })).toEqual([])
      expect(await jobs({ op: 'and', terms: [{ op: 'or', terms: [pump, ended] }, ended] })).toEqual(['j3'])
    })

    test('has pages, and the total with each, also with one that is empty', async () => {
      const page = async (offset: number, limit: number) => {
        const { rows, total } = await store.searchJobs(ORG, null, null, offset, limit)
        return [rows.map(({ jobId }) => jobId), total]
      }
      expect(await page(0, 2)).toEqual([['j3', 'j2'], 3])
      expect(await page(2, 2)).toEqual([['j1'], 3])
      expect(await page(9, 2)).toEqual([[], 3])
      expect(await page(0, 0)).toEqual([[], 3])
      const some = await store.searchTasks(ORG, null, all, 1, 1)
      expect([some.rows.map(taskIdOf), some.total]).toEqual([['j1-1'], 3])
      const none = await store.searchTasks(ORG, null, all, 7, 1)
      expect([none.rows, none.total]).toEqual([[], 3])
    })

    test('finds tasks', async () => {
      expect(await tasks(all)).toEqual(['j2-1', 'j1-1', 'j1-2'])
      expect(await tasks(all, 'app2')).toEqual([])
      expect(await tasks({ op: 'in', field: 'jobId', values: ['j1', 'j4', 'j5'] })).toEqual(['j1-1', 'j1-2'])
      expect(await tasks({ op: 'in', field: 'taskId', values: ['j1-2', 'j2-1', 'j2-2', 'j5-1', 'x'] })).toEqual([
        'j2-1',
        'j1-2',
      ])
      expect(await tasks({ op: 'in', field: 'taskId', values: ['x'] })).toEqual([])
      expect(await tasks({ op: 'in', field: 'assetId', values: ['asset-1'] })).toEqual(['j2-1', 'j1-1'])
      expect(await tasks({ op: 'in', field: 'deviceKey', values: ['key-2'] })).toEqual(['j1-2'])
      expect(await tasks({ op: 'in', field: 'productKey', values: ['pk2'] })).toEqual(['j1-2'])
      expect(await tasks({ op: 'in', field: 'status', values: ['SUCCEED'] })).toEqual(['j1-1'])
      expect(await tasks({ op: 'created', from: T0 + 5, to: T0 + 6 })).toEqual(['j2-1'])
      expect(await tasks({ op: 'name', locale: null, text: 'pump' })).toEqual(['j2-1'])
    })
  })

  describe('tasks', () => {
    const five = [1, 2, 3, 4, 5].map(n => taskRow('j1', n, { nextAt: T0 + 1_000 - n }))
    beforeEach(() => store.addJob(jobRow('j1', { tasks: 5 }), five))

    const save = (from: TaskRow, task: TaskRow) => store.saveTasks('j1', [{ from, task }])

    test('are due by their instants', async () => {
      const due = async (now: number, limit = 10) =>
        (await store.dueTasks('j1', now, limit)).map(({ taskNo }) => taskNo)
      expect(await due(T0 + 994)).toEqual([])
      expect(await due(T0 + 997)).toEqual([5, 4, 3])
      expect(await due(T0 + 1_000, 4)).toEqual([5, 4, 3, 2])
      expect(await store.tasksLeft('j1')).toEqual({ open: false, nextAt: T0 + 995 })
      expect(await store.tasksLeft('j9')).toEqual({ open: false, nextAt: null })
    })

    test('are written only over the attempt and the status that they were read with', async () => {
      const [one, two] = five as [TaskRow, TaskRow]
      expect(await save(one, queued(one, id(1)))).toEqual([1])
      expect(await save(one, queued(one, id(2)))).toEqual([])
      const done = queued(one, id(1), { status: 'FAILED', resultCode: 11_900, resultText: 'x', outputJson: '{}' })
      const both = [
        { from: queued(one, id(1)), task: done },
        { from: { attempt: 3, status: 'INIT' as const }, task: queued(two, id(3)) },
      ]
      expect(await store.saveTasks('j1', both)).toEqual([1])
      expect(await store.tasks('j1', [1, 2])).toEqual([done, two])
      expect(await store.saveTasks('j9', both)).toEqual([])
      expect(await store.saveTasks('j1', [])).toEqual([])
    })

    test('keep what they are for', async () => {
      const [one] = five as [TaskRow]
      await save(one, { ...queued(one, id(1)), deviceId: 9, assetId: 'other', createdAt: 1 })
      expect(await store.tasks('j1', [1])).toEqual([queued(one, id(1))])
    })

    test('are counted by their status', async () => {
      const [one] = five as [TaskRow]
      await save(one, queued(one, id(1)))
      expect(await store.countTasks('j1')).toEqual(
        new Map<TaskStatus, number>([
          ['INIT', 4],
          ['QUEUED', 1],
        ]),
      )
    })

    test('are unfinished while a command is open or an attempt is to come', async () => {
      const [one, two, three, four] = five as [TaskRow, TaskRow, TaskRow, TaskRow]
      await save(one, queued(one, id(1)))
      await save(two, queued(two, id(2), { status: 'PUBLISHED' }))
      await save(three, queued(three, id(3), { status: 'SUCCEED' }))
      await save(four, queued(four, id(4), { status: 'FAILED', nextAt: T0 + 9_000 }))
      const unfinished = async (after: number, limit = 10) =>
        (await store.unfinishedTasks('j1', after, limit)).map(({ taskNo }) => taskNo)
      expect(await unfinished(0)).toEqual([1, 2, 4, 5])
      expect(await unfinished(2)).toEqual([4, 5])
      expect(await unfinished(0, 1)).toEqual([1])
      expect(await store.tasksLeft('j1')).toEqual({ open: true, nextAt: T0 + 995 })
    })

    test('that their command has left behind are found, in bounded looks', async () => {
      const device = 1
      await put(store, device, ...[1, 2, 3, 4].map(n => created(id(n))))
      for (const [i, task] of five.entries()) await save(task, queued(task, id(i + 1), { status: 'QUEUED' }))
      const nothing = await store.movedTasks('j1', 0, 4)
      // The record of the fifth is not there.
      expect(nothing).toEqual({ moved: [], next: 4 })
      expect(await store.movedTasks('j1', 4, 4)).toEqual({
        moved: [{ task: queued(five[4]!, id(5)), outcome: null }],
        next: null,
      })
      const one = asSent(created(id(1)))
      const two = { ...asFinal(created(id(2)), State.failed), code: 12 }
      const updates = [
        { command: one, from: State.created },
        { command: two, from: State.created },
      ]
      const outcome = { commandId: id(2), outputJson: '{"x":1}', deviceCode: '12', deviceMessage: 'no' }
      await commit(store, changeOf(await loadOne(store, device), { updates, outcomes: [outcome] }))
      const { moved, next } = await store.movedTasks('j1', 0, 10)
      expect(next).toBeNull()
      expect(moved.map(({ task, outcome }) => [task.taskNo, outcome])).toEqual([
        [1, { state: State.sent, code: null, settledAt: null, outputJson: null, deviceMessage: null }],
        [2, { state: State.failed, code: 12, settledAt: two.settledAt, outputJson: '{"x":1}', deviceMessage: 'no' }],
        [5, null],
      ])
    })
  })

  describe('a cancellation', () => {
    const item = (n: number, deviceId: number, state: State | null = null) => ({ commandId: id(n), deviceId, state })

    test('is kept, listed newest first, and counted', async () => {
      await store.addCancellation(cancellationRow('c1'))
      await store.addCancellation(cancellationRow('c2', { createdAt: T0 + 1, dryRun: true, createdBy: 'app2' }))
      await expect(store.addCancellation(cancellationRow('c1'))).rejects.toThrow()
      expect(await store.cancellation('c2')).toEqual(
        cancellationRow('c2', { createdAt: T0 + 1, dryRun: true, createdBy: 'app2' }),
      )
      expect(await store.cancellation('c9')).toBeNull()
      const listed = async (by: string | null, offset: number, limit: number) => {
        const { rows, total } = await store.cancellations(ORG, by, offset, limit)
        return [rows.map(({ cancellationId }) => cancellationId), total]
      }
      expect(await listed(null, 0, 10)).toEqual([['c2', 'c1'], 2])
      expect(await listed(null, 1, 1)).toEqual([['c1'], 2])
      expect(await listed('app2', 0, 10)).toEqual([['c2'], 1])
      expect(await store.countCancellations(ORG)).toEqual({ open: 2, all: 2 })
    })

    test('is due, and changes only from the status that it was found in', async () => {
      await store.addCancellation(cancellationRow('c1', { nextAt: T0 + 5 }))
      expect(await store.dueCancellations(T0 + 4, 10)).toEqual([])
      expect((await store.dueCancellations(T0 + 5, 10)).length).toBe(1)
      expect(await store.nextWorkAt()).toBe(T0 + 5)
      const to = { status: 'stopping', nextAt: T0 + 6, endedAt: null } as const
      expect(await store.saveCancellation('c1', 'ended', to)).toBe(false)
      expect(await store.saveCancellation('c1', 'running', to)).toBe(true)
      expect(await store.saveCancellation('c1', 'running', to)).toBe(false)
      expect(await store.cancellation('c1')).toEqual(cancellationRow('c1', to))
    })

    test('finds devices of its organization with something open, in bounded looks', async () => {
      await store.applyFleet(
        fleetRows({
          organizations: [{ orgId: 'o2', name: 'Two' }],
          products: [{ productKey: 'pk2', orgId: 'o2', secret: 's', modelId: null, json: '{}' }],
          devices: [deviceRow('b1', { orgId: 'o2', productKey: 'pk2' })],
        }),
        T0,
      )
      const [a1, a2, a3, b1] = (await Promise.all(
        ['a1', 'a2', 'a3', 'b1'].map(async assetId => (await store.deviceByAsset(assetId))!.id),
      )) as [number, number, number, number]
      await put(store, a1, created(id(1)), created(id(2)))
      await put(store, a2, asFinal(created(id(3))))
      await put(store, a3, asSent(created(id(4))))
      await put(store, b1, created(id(5)))
      const one = { deviceId: a1, productKey: 'pk1', assetId: 'a1' }
      const three = { deviceId: a3, productKey: 'pk1', assetId: 'a3' }
      expect(await store.openDevices(ORG, 0, 10)).toEqual({ devices: [one, three], next: null })
      expect(await store.openDevices(ORG, 0, 1)).toEqual({ devices: [one], next: a1 })
      expect(await store.openDevices(ORG, a1, 2)).toEqual({ devices: [three], next: b1 })
      expect(await store.openDevices(ORG, b1, 2)).toEqual({ devices: [], next: null })
      expect(await store.countWaitingDevices(ORG, null)).toBe(1)
      expect(await store.countWaitingDevices(ORG, ['pk1', 'pk2'])).toBe(1)
      expect(await store.countWaitingDevices(ORG, ['pk2'])).toBe(0)
      expect(await store.countWaitingDevices('o2', null)).toBe(1)
    })

    test('adds what a page found once, and counts it', async () => {
      await store.addCancellation(cancellationRow('c1'))
      expect(await store.addItems('c1', 0, 2, [item(1, 1), item(2, 1, State.sent), item(3, 2)])).toBe(true)
      expect(await store.addItems('c1', 0, 2, [item(9, 1)])).toBe(false)
      expect(await store.addItems('c1', 2, 3, [])).toBe(true)
      // One that is there already stays as it is.
      expect(await store.addItems('c1', 3, null, [item(3, 2, State.sent), item(4, 3)])).toBe(true)
      expect(await store.addItems('c1', 3, null, [])).toBe(false)
      // Of a dry run: what waits would be cancelled, and only a dry run decides that.
      await store.addCancellation(cancellationRow('dry', { dryRun: true }))
      const found = [item(1, 1, State.created), item(2, 1, State.created), item(3, 2, State.sent)]
      expect(await store.addItems('dry', 0, null, found)).toBe(true)
      expect(await store.cancellation('dry')).toMatchObject({ devices: 2, matched: 3, cancelled: 2, notCancelled: 1 })
      expect(await store.cancellation('c1')).toMatchObject({
        ...{ scannedTo: null, devices: 3, matched: 4, cancelled: 0, notCancelled: 1 },
      })
      const undecided = await store.undecidedItems('c1', 2)
      expect(undecided.map(({ commandId }) => commandId)).toEqual([id(1), id(3)])
      expect(await store.cancellationItems('c1', null, 10)).toEqual([
        { ...item(1, 1), decided: false, ours: false },
        { ...item(2, 1, State.sent), decided: true, ours: false },
        { ...item(3, 2), decided: false, ours: false },
        { ...item(4, 3), decided: false, ours: false },
      ])
      expect((await store.cancellationItems('c1', id(2), 1)).map(({ commandId }) => commandId)).toEqual([id(3)])
      expect(await store.cancellationItems('c1', id(4), 1)).toEqual([])
    })

    test('adds nothing once it is not running any more', async () => {
      await store.addCancellation(cancellationRow('c1', { status: 'stopping' }))
      expect(await store.addItems('c1', 0, 2, [item(1, 1)])).toBe(false)
      expect(await store.cancellationItems('c1', null, 10)).toEqual([])
    })

    test('decides each item once, but for what it turns out to have cancelled itself', async () => {
      await store.addCancellation(cancellationRow('c1'))
      await store.addItems('c1', 0, null, [item(1, 1), item(2, 1), item(3, 2), item(4, 2)])
      const decide = (n: number, state: State | null, ours: boolean) =>
        store.decideItems('c1', [{ commandId: id(n), state, ours }])
      const counts = async () => {
        const row = await store.cancellation('c1')
        return [row?.cancelled, row?.notCancelled]
      }
      await store.decideItems('c1', [
        { commandId: id(1), state: State.cancelled, ours: true },
        { commandId: id(2), state: State.created, ours: false },
        { commandId: id(9), state: State.created, ours: false },
      ])
      expect(await counts()).toEqual([1, 1])
      await decide(1, State.expired, false)
      await decide(2, State.expired, false)
      expect(await counts()).toEqual([1, 1])
      await decide(2, State.cancelled, true)
      await decide(2, State.cancelled, true)
      await decide(1, State.cancelled, true)
      expect(await counts()).toEqual([2, 0])
      await decide(3, null, false)
      await store.decideItems('c1', [])
      expect(await counts()).toEqual([2, 1])
      const items = await store.cancellationItems('c1', null, 10)
      expect(items.map(({ decided, state, ours }) => [decided, state, ours])).toEqual([
        [true, State.cancelled, true],
        [true, State.cancelled, true],
        [true, null, false],
        [false, null, false],
      ])
    })
  })

  test('what ended long ago is purged, in bounded steps, and nothing else', async () => {
    for (const [jobId, endedAt] of [
      ['j1', T0],
      ['j2', T0 + 10],
      ['j3', null],
    ] as const)
      await store.addJob(
        jobRow(jobId, { endedAt, status: endedAt === null ? 'RUNNING' : 'ENDED' }),
        [1, 2, 3].map(n => taskRow(jobId, n)),
      )
    for (const [cancellationId, endedAt] of [
      ['c1', T0],
      ['c2', T0 + 10],
      ['c3', null],
    ] as const) {
      await store.addCancellation(cancellationRow(cancellationId))
      const items = [1, 2, 3].map(n => ({ commandId: id(n), deviceId: 1, state: State.sent }))
      await store.addItems(cancellationId, 0, null, items)
      if (endedAt !== null)
        await store.saveCancellation(cancellationId, 'running', { status: 'ended', nextAt: null, endedAt })
    }
    expect(await store.purgeJobs(T0 + 10, 2)).toBe(2)
    // A part of it is left, and nobody sees that, or begins it anew.
    expect((await store.tasks('j1', [1, 2, 3])).length).toBe(1)
    const seen = await store.searchJobs(ORG, null, null, 0, 10)
    expect(seen.rows.map(({ jobId }) => jobId).sort()).toEqual(['j2', 'j3'])
    const tasksSeen = await store.searchTasks(ORG, null, { op: 'in', field: 'jobId', values: ['j1'] }, 0, 10)
    expect(tasksSeen).toEqual({ rows: [], total: 0 })
    const again = { status: 'RUNNING', changedAt: T0, nextAt: T0, endedAt: null } as const
    expect(await store.saveJob('j1', { status: 'ENDED', nextAt: jobRow('j1').nextAt }, again)).toBe(false)
    let steps = 1
    for (let purged = 2; purged === 2; steps++) purged = await store.purgeJobs(T0 + 10, 2)
    expect(steps).toBeGreaterThan(2)
    expect([await store.job('j1'), (await store.tasks('j1', [1, 2, 3])).length]).toEqual([null, 0])
    expect([await store.cancellation('c1'), await store.cancellationItems('c1', null, 9)]).toEqual([null, []])
    for (const jobId of ['j2', 'j3']) expect((await store.tasks(jobId, [1, 2, 3])).length).toBe(3)
    for (const left of ['c2', 'c3']) expect((await store.cancellationItems(left, null, 9)).length).toBe(3)
    expect(await store.purgeJobs(T0 + 10, 2)).toBe(0)
  })

  test('a command that a task made says how it ended after its device is gone', async () => {
    await put(store, 1, created(id(1)))
    await store.addJob(jobRow('j1'), [queued(taskRow('j1', 1), id(1))])
    const cancelled = { ...asFinal(created(id(1)), State.cancelled), code: 99_410 }
    const queue = await loadOne(store, 1)
    await commit(
      store,
      changeOf({ ...queue, deleted: true, open: [] }, { updates: [{ command: cancelled, from: State.created }] }),
    )
    const { moved } = await store.movedTasks('j1', 0, 10)
    expect(moved.map(({ outcome }) => outcome?.state)).toEqual([State.cancelled])
  })
})
