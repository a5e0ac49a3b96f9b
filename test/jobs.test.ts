// Jobs, step by step on a clock that the test moves: when they begin, how their tasks follow their commands, what is tried again, what is cancelled and deleted,
// and that a crash at any step repeats nothing and loses nothing.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { State } from '../src/core/command.ts'
import { errors, overloaded, refuse } from '../src/core/errors.ts'
import {
  JOB_LOOK_MAX_MS,
  JOB_LOOK_MIN_MS,
  JOB_STEP_TASKS,
  JOB_TURN_WAIT_MS,
  JOBS_OPEN_MAX,
} from '../src/core/limits.ts'
import type { Accepted, Engine } from '../src/engine.ts'
import { Jobs } from '../src/jobs/runner.ts'
import type { TaskRow } from '../src/store/jobs.ts'
import { openMemory } from '../src/store/memory.ts'
import type { Nodes } from '../src/store/nodes.ts'
import type { Store } from '../src/store/store.ts'
import { dyingAfter, replacing } from './rig/dying.ts'
import { ORG, type RecordingLink } from './rig/engine.ts'
import { type JobsRig, jobsRig } from './rig/jobs.ts'
import { stores } from './rig/store.ts'

const reply = (rig: JobsRig, n: number, link: RecordingLink, over: object = {}) => {
  const commandId = link.published.at(-1)?.commandId ?? ''
  const said = { code: 200, deviceCode: '200', message: null, outputJson: '{"ok":true}', ...over }
  return rig.engine.apply(rig.devices[n - 1] ?? 0, { type: 'reply', commandId, ...said })
}

/** The commands that a device has on record, oldest first. */
const commandsOf = async (rig: JobsRig, n: number) => {
  const { rows } = await rig.store.search(rig.devices[n - 1] ?? 0, null, 0, 1_000)
  return rows.map(({ command }) => command).reverse()
}

const retry = (over: object = {}) => ({
  retryPolicy: { enableRetry: true, retryIntervalInSeconds: 60, retryCount: 2, ...over },
})
const instant = { timeoutPolicy: { ttlTimeoutInSeconds: 0, inProgressTimeoutInSeconds: 5 } }

describe('a job', () => {
  test('makes one command for each of its devices at once, and has ended when all have answered', async () => {
    const rig = await jobsRig(2)
    const links = [await rig.connect(1), await rig.connect(2)]
    const jobId = await rig.create([1, 2])
    await rig.rest()
    expect(links.map(link => link.published.length)).toEqual([1, 1])
    expect(await rig.statuses(jobId)).toBe('PUBLISHED PUBLISHED')
    expect(await rig.job(jobId)).toMatchObject({ status: 'RUNNING', endedAt: null })
    await reply(rig, 1, links[0]!)
    await reply(rig, 2, links[1]!, { code: 7, deviceCode: '7', message: 'broken', outputJson: null })
    await rig.advance(JOB_LOOK_MIN_MS)
    expect(await rig.job(jobId)).toMatchObject({ status: 'ENDED', nextAt: null, endedAt: rig.clock.now() })
    expect(await rig.tasks(jobId)).toMatchObject([
      { status: 'SUCCEED', resultCode: 0, resultText: 'OK', outputJson: '{"ok":true}', attempt: 1, autoRetries: 0 },
      { status: 'FAILED', resultCode: 7, resultText: 'broken', outputJson: null, nextAt: null },
    ])
    const [command] = await commandsOf(rig, 1)
    expect(command).toMatchObject({ createdBy: 'app', identifier: 'reboot', timeoutS: 30, pendingTtlS: 600 })
  })

  test('begins at its instant, not before', async () => {
    const rig = await jobsRig(1)
    const triggerTs = rig.clock.now() + 3_600_000
    const schedulePolicy = { scheduleType: 'DISPOSABLE', disposableSchedulePolicy: { triggerTs } }
    const jobId = await rig.create([1], { schedulePolicy })
    await rig.advance(3_599_999)
    expect([await rig.statuses(jobId), (await rig.job(jobId)).status]).toEqual(['INIT', 'SCHEDULED'])
    await rig.advance(1)
    expect([await rig.statuses(jobId), (await rig.job(jobId)).status]).toEqual(['QUEUED', 'RUNNING'])
  })

  test('whose instant has passed begins at once', async () => {
    const rig = await jobsRig(1)
    const schedulePolicy = { scheduleType: 'DISPOSABLE', disposableSchedulePolicy: { triggerTs: 5 } }
    const jobId = await rig.create([1], { schedulePolicy })
    await rig.rest()
    expect(await rig.statuses(jobId)).toBe('QUEUED')
    expect((await rig.job(jobId)).triggerAt).toBe(rig.clock.now())
  })

  test('for a product is for the devices that it has when it begins', async () => {
    const rig = await jobsRig(2 * JOB_STEP_TASKS + 3)
    const schedulePolicy = {
      scheduleType: 'DISPOSABLE',
      disposableSchedulePolicy: { triggerTs: rig.clock.now() + 1_000 },
    }
    const jobId = await rig.create('product', { schedulePolicy })
    expect((await rig.job(jobId)).tasks).toBe(0)
    await rig.engine.deleteDevice(rig.devices[0]!, 'app')
    await rig.advance(1_000)
    const tasks = await rig.tasks(jobId)
    expect(tasks.length).toBe(2 * JOB_STEP_TASKS + 2)
    expect(tasks[0]).toMatchObject({
      taskNo: 1,
      assetId: 'asset2',
      deviceKey: 'dk2',
      productKey: 'pk',
      status: 'QUEUED',
    })
    expect(new Set(tasks.map(({ deviceId }) => deviceId)).size).toBe(tasks.length)
    expect(new Set(tasks.map(({ status }) => status))).toEqual(new Set(['QUEUED']))
  })

  test('for a product without devices ends at once', async () => {
    const rig = await jobsRig(1)
    await rig.engine.deleteDevice(rig.devices[0]!, 'app')
    const jobId = await rig.create('product')
    await rig.rest()
    expect(await rig.job(jobId)).toMatchObject({ status: 'ENDED', tasks: 0 })
  })

  test('waits for devices that are away, and is looked at less and less often', async () => {
    const rig = await jobsRig(1)
    let looks = 0
    const { store } = rig
    const original = store.movedTasks
    const counted: typeof original = (...of) => {
      looks += 1
      return original(...of)
    }
    Object.assign(store, { movedTasks: counted })
    const jobId = await rig.create([1], { timeoutPolicy: { ttlTimeoutInSeconds: 7_200 } })
    await rig.rest()
    await rig.advance(20_000)
    const soon = looks
    expect(soon).toBeGreaterThan(10)
    await rig.advance(3_600_000)
    expect(looks - soon).toBeLessThan(3_600_000 / JOB_LOOK_MAX_MS + 30)
    const link = await rig.connect(1)
    expect(link.published.length).toBe(1)
    await reply(rig, 1, link)
    await rig.advance(JOB_LOOK_MAX_MS)
    expect(await rig.statuses(jobId)).toBe('SUCCEED')
  })

  test('tells what ran out of time apart', async () => {
    const rig = await jobsRig(3)
    const link = await rig.connect(2)
    const jobId = await rig.create([1, 2, 3], {
      timeoutPolicy: { ttlTimeoutInSeconds: 60, inProgressTimeoutInSeconds: 900 },
    })
    await rig.rest()
    expect(link.published.length).toBe(1)
    await rig.engine.cancel(rig.devices[2]!, null, 'somebody')
    await rig.advance(70_000)
    expect(await rig.statuses(jobId)).toBe('TTL_TIMEOUT PUBLISHED CANCELLED')
    await rig.advance(900_000)
    expect(await rig.statuses(jobId)).toBe('TTL_TIMEOUT RSP_TIMEOUT CANCELLED')
    expect(await rig.tasks(jobId)).toMatchObject(
      [
        { resultCode: null, resultText: /ttlTimeoutInSeconds/ },
        { resultCode: errors.timedOut.code },
        { resultCode: null, resultText: /cancelled before it was sent/ },
      ].map(({ resultText, ...rest }) => ({
        ...rest,
        resultText: resultText === undefined ? expect.any(String) : expect.stringMatching(resultText),
      })),
    )
    expect((await rig.job(jobId)).status).toBe('ENDED')
  })

  test('whose commands are instant fails for devices that are away', async () => {
    const rig = await jobsRig(2)
    await rig.connect(2)
    await rig.engine.disconnect(rig.devices[1]!, 1, 'gone')
    const jobId = await rig.create([1, 2], instant)
    await rig.rest()
    expect(await rig.tasks(jobId)).toMatchObject([
      { status: 'FAILED', resultCode: errors.inactive.code },
      { status: 'FAILED', resultCode: errors.offline.code },
    ])
    expect((await rig.job(jobId)).status).toBe('ENDED')
  })

  test('goes on where a device was deleted, and says so of its task', async () => {
    const rig = await jobsRig(2)
    const schedulePolicy = {
      scheduleType: 'DISPOSABLE',
      disposableSchedulePolicy: { triggerTs: rig.clock.now() + 1_000 },
    }
    const jobId = await rig.create([1, 2], { schedulePolicy, ...retry() })
    await rig.engine.deleteDevice(rig.devices[0]!, 'app')
    await rig.advance(1_000)
    expect(await rig.tasks(jobId)).toMatchObject([
      { status: 'FAILED', resultCode: errors.notFound.code, commandId: null, attempt: 1, nextAt: null },
      { status: 'QUEUED' },
    ])
    await rig.engine.deleteDevice(rig.devices[1]!, 'app')
    await rig.advance(JOB_LOOK_MIN_MS)
    expect((await rig.tasks(jobId))[1]).toMatchObject({ status: 'CANCELLED', resultCode: errors.deviceDeleted.code })
  })

  test('whose command does not fit the model any more fails, and is not tried again by itself', async () => {
    const rig = await jobsRig(1)
    const schedulePolicy = {
      scheduleType: 'DISPOSABLE',
      disposableSchedulePolicy: { triggerTs: rig.clock.now() + 1_000 },
    }
    const jobId = await rig.create([1], { schedulePolicy, ...retry() })
    const model = { modelId: 'm', orgId: ORG, json: JSON.stringify({ services: { start: {} } }) }
    const product = { productKey: 'pk', orgId: ORG, secret: 'sealed', modelId: 'm', json: '{}' }
    await rig.store.applyFleet(
      { organizations: [], applications: [], models: [model], products: [product], devices: [] },
      0,
    )
    await rig.advance(1_000)
    expect(await rig.tasks(jobId)).toMatchObject([
      {
        status: 'FAILED',
        resultCode: 99_400,
        resultText: expect.stringContaining('serviceId'),
        commandId: null,
        nextAt: null,
      },
    ])
    expect((await rig.job(jobId)).status).toBe('ENDED')
  })

  test('knows that a record was purged before its end was seen', async () => {
    const rig = await jobsRig(1)
    const jobId = await rig.create([1])
    await rig.rest()
    await rig.engine.cancel(rig.devices[0]!, null, 'somebody')
    await rig.store.purge(rig.clock.now() + 1, 100)
    await rig.advance(JOB_LOOK_MIN_MS)
    expect(await rig.tasks(jobId)).toMatchObject([{ status: 'FAILED', resultCode: errors.commandNotFound.code }])
  })

  test('is refused where the organization has too many', async () => {
    const rig = await jobsRig(1)
    const schedulePolicy = {
      scheduleType: 'DISPOSABLE',
      disposableSchedulePolicy: { triggerTs: rig.clock.now() + 1_000 },
    }
    for (let n = 0; n < JOBS_OPEN_MAX; n++) await rig.create([1], { schedulePolicy })
    await expect(rig.create([1])).rejects.toThrow(`${JOBS_OPEN_MAX} jobs that have not ended`)
  })

  test('is forgotten when it ended as long ago as commands are kept', async () => {
    const rig = await jobsRig(1)
    const jobId = await rig.create([1], instant)
    await rig.rest()
    expect((await rig.job(jobId)).status).toBe('ENDED')
    await rig.advance(7 * 86_400_000 - 60_000)
    expect(await rig.store.job(jobId)).not.toBeNull()
    await rig.advance(120_000)
    expect(await rig.store.job(jobId)).toBeNull()
  }, 60_000)
})

describe('what failed', () => {
  test('is tried again as often as the policy says, at its interval', async () => {
    const rig = await jobsRig(1)
    const jobId = await rig.create([1], { ...instant, ...retry() })
    await rig.rest()
    expect(await rig.tasks(jobId)).toMatchObject([
      { status: 'FAILED', attempt: 1, autoRetries: 0, nextAt: rig.clock.now() + 60_000 },
    ])
    expect((await rig.job(jobId)).status).toBe('RUNNING')
    await rig.advance(59_999)
    expect((await commandsOf(rig, 1)).length).toBe(1)
    await rig.advance(1)
    expect(await rig.tasks(jobId)).toMatchObject([{ attempt: 2, autoRetries: 1 }])
    await rig.advance(60_000)
    expect(await rig.tasks(jobId)).toMatchObject([{ status: 'FAILED', attempt: 3, autoRetries: 2, nextAt: null }])
    expect((await rig.job(jobId)).status).toBe('ENDED')
    await rig.advance(600_000)
    expect((await commandsOf(rig, 1)).length).toBe(3)
  })

  test('is tried again from the moment at which it failed, whenever that was seen', async () => {
    const rig = await jobsRig(1)
    const link = await rig.connect(1)
    const jobId = await rig.create([1], retry())
    await rig.rest()
    await rig.advance(300)
    const failedAt = rig.clock.now()
    await reply(rig, 1, link, { code: 1, deviceCode: '1' })
    await rig.advance(2_000)
    expect(await rig.tasks(jobId)).toMatchObject([{ status: 'FAILED', nextAt: failedAt + 60_000 }])
    await rig.advance(60_000)
    await reply(rig, 1, link)
    await rig.advance(JOB_LOOK_MAX_MS)
    expect(await rig.tasks(jobId)).toMatchObject([{ status: 'SUCCEED', attempt: 2, autoRetries: 1, resultCode: 0 }])
  })

  test('is tried again after each kind of timeout, and not after a cancel', async () => {
    const rig = await jobsRig(3)
    await rig.connect(2)
    const jobId = await rig.create([1, 2, 3], {
      ...retry({ retryCount: 1, retryIntervalInSeconds: 0 }),
      timeoutPolicy: { ttlTimeoutInSeconds: 60, inProgressTimeoutInSeconds: 10 },
    })
    await rig.rest()
    await rig.engine.cancel(rig.devices[2]!, null, 'somebody')
    await rig.advance(65_000)
    expect((await rig.tasks(jobId)).map(({ attempt, autoRetries }) => [attempt, autoRetries])).toEqual([
      [2, 1],
      [2, 1],
      [1, 0],
    ])
  })
})

describe('a task that somebody', () => {
  test('cancels while it waits is never sent', async () => {
    const rig = await jobsRig(2)
    const jobId = await rig.create([1, 2])
    await rig.rest()
    const answers = await rig.jobs.cancelTasks(jobId, [1, 9], 'somebody')
    expect(answers).toEqual(
      new Map([
        [1, null],
        [9, expect.objectContaining({ code: errors.notFound.code })],
      ]),
    )
    expect(await rig.statuses(jobId)).toBe('CANCELLED QUEUED')
    const [command] = await commandsOf(rig, 1)
    expect(command?.state).toBe(State.cancelled)
    const events = await rig.store.events(rig.devices[0]!, command!.id, 10)
    expect(events.at(-1)).toMatchObject({ by: 'somebody', detail: JSON.stringify({ job: jobId }) })
    expect((await rig.connect(1)).published).toEqual([])
  })

  test('cancels before its job begins is never begun', async () => {
    const rig = await jobsRig(2)
    const schedulePolicy = {
      scheduleType: 'DISPOSABLE',
      disposableSchedulePolicy: { triggerTs: rig.clock.now() + 1_000 },
    }
    const jobId = await rig.create([1, 2], { schedulePolicy })
    expect(await rig.jobs.cancelTasks(jobId, [1, 2], 'app')).toEqual(
      new Map([
        [1, null],
        [2, null],
      ]),
    )
    await rig.advance(10_000)
    expect([await rig.statuses(jobId), (await rig.job(jobId)).status]).toEqual(['CANCELLED CANCELLED', 'ENDED'])
    expect(await commandsOf(rig, 1)).toEqual([])
  })

  test('cancels while it waits for its next attempt is not tried again', async () => {
    const rig = await jobsRig(1)
    const jobId = await rig.create([1], { ...instant, ...retry() })
    await rig.rest()
    expect(await rig.jobs.cancelTasks(jobId, [1], 'app')).toEqual(new Map([[1, null]]))
    await rig.rest()
    expect([await rig.statuses(jobId), (await rig.job(jobId)).status]).toEqual(['CANCELLED', 'ENDED'])
    await rig.advance(600_000)
    expect((await commandsOf(rig, 1)).length).toBe(1)
  })

  test('cannot cancel goes on: what is sent, and what is over', async () => {
    const rig = await jobsRig(2)
    const link = await rig.connect(1)
    const jobId = await rig.create([1, 2], instant)
    await rig.rest()
    const answers = await rig.jobs.cancelTasks(jobId, [1, 2], 'app')
    expect(answers).toEqual(
      new Map([
        [1, expect.objectContaining({ code: errors.isOver.code, message: expect.stringContaining('has been sent') })],
        [2, expect.objectContaining({ code: errors.isOver.code, message: expect.stringContaining('FAILED') })],
      ]),
    )
    await reply(rig, 1, link)
    await rig.advance(JOB_LOOK_MIN_MS)
    expect(await rig.statuses(jobId)).toBe('SUCCEED FAILED')
    expect(await rig.jobs.cancelTasks(jobId, [1], 'app')).toEqual(
      new Map([[1, expect.objectContaining({ code: errors.isOver.code })]]),
    )
  })

  test('retries is begun again at once, also when its job had ended', async () => {
    const rig = await jobsRig(3)
    const link = await rig.connect(3)
    const jobId = await rig.create([1, 2, 3], instant)
    await rig.rest()
    await reply(rig, 3, link)
    await rig.advance(JOB_LOOK_MIN_MS)
    expect([await rig.statuses(jobId), (await rig.job(jobId)).status]).toEqual(['FAILED FAILED SUCCEED', 'ENDED'])
    const first = await rig.connect(1)
    const answers = await rig.jobs.retryTasks(jobId, [1, 3, 7])
    expect(answers).toMatchObject(
      new Map<number, object | null>([
        [1, null],
        [3, { code: errors.isOver.code }],
        [7, { code: errors.notFound.code }],
      ]),
    )
    await rig.rest()
    expect([await rig.statuses(jobId), (await rig.job(jobId)).status]).toEqual(['PUBLISHED FAILED SUCCEED', 'RUNNING'])
    await reply(rig, 1, first)
    await rig.advance(JOB_LOOK_MIN_MS)
    expect(await rig.tasks(jobId)).toMatchObject([
      { status: 'SUCCEED', attempt: 2, manualRetries: 1, autoRetries: 0 },
      { status: 'FAILED', attempt: 1, manualRetries: 0 },
      { status: 'SUCCEED', attempt: 1 },
    ])
    expect((await rig.job(jobId)).status).toBe('ENDED')
  })

  test('retries of a deleted or unknown job are not there', async () => {
    const rig = await jobsRig(1)
    expect(await rig.jobs.retryTasks('nothing', [1])).toBeNull()
    expect(await rig.jobs.cancelTasks('nothing', [1], 'app')).toBeNull()
    expect(await rig.jobs.delete('nothing', 'app')).toBeNull()
  })
})

describe('deleting a job', () => {
  test('cancels what waits first, leaves what is sent, and says both', async () => {
    const rig = await jobsRig(3)
    const link = await rig.connect(2)
    const jobId = await rig.create([1, 2, 3])
    await rig.rest()
    expect(await rig.jobs.delete(jobId, 'somebody')).toEqual({ cancelled: 2, published: 1, isGone: true })
    expect(await rig.store.job(jobId)).toBeNull()
    expect(await rig.store.tasks(jobId, [1, 2, 3])).toEqual([])
    expect((await commandsOf(rig, 1))[0]?.state).toBe(State.cancelled)
    await reply(rig, 2, link)
    expect((await commandsOf(rig, 2))[0]?.state).toBe(State.succeeded)
    expect(await rig.jobs.delete(jobId, 'somebody')).toBeNull()
  })

  test('of many devices is done in steps', async () => {
    const rig = await jobsRig(2 * JOB_STEP_TASKS + 1)
    const jobId = await rig.create('product')
    await rig.rest()
    const removal = await rig.jobs.delete(jobId, 'app')
    expect(removal).toEqual({ cancelled: 2 * JOB_STEP_TASKS + 1, published: 0, isGone: true })
    expect(await rig.store.countByState()).toEqual(new Map([[State.cancelled, 2 * JOB_STEP_TASKS + 1]]))
  })

  test('that the engine refuses for now is finished later', async () => {
    let isOverloaded = false
    const rig = await jobsRig(2, {})
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: (...of) => rig.engine.enqueue(...of),
      cancel: async (...of) => (isOverloaded ? overloaded('a test says so') : rig.engine.cancel(...of)),
    }
    const jobId = await rig.create([1, 2])
    await rig.rest()
    await rig.jobs.stop()
    const other = rig.another({ engine })
    other.start()
    isOverloaded = true
    expect(await other.delete(jobId, 'app')).toMatchObject({ isGone: false })
    expect(await rig.store.searchJobs(ORG, null, null, 0, 10)).toMatchObject({ total: 0 })
    isOverloaded = false
    await rig.advance(2_000)
    expect(await rig.store.job(jobId)).toBeNull()
    expect((await commandsOf(rig, 1))[0]?.state).toBe(State.cancelled)
  })
})

describe('an engine that is overloaded', () => {
  test('is asked again, with the same attempts', async () => {
    const rig = await jobsRig(3)
    let left = 2
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: async (...of) => (left-- > 0 ? overloaded('a test says so') : rig.engine.enqueue(...of)),
      cancel: (...of) => rig.engine.cancel(...of),
    }
    await rig.jobs.stop()
    const jobId = await rig.create([1, 2, 3])
    const other = rig.another({ engine })
    other.start()
    await rig.rest()
    expect((await rig.statuses(jobId)).split(' ').filter(status => status === 'INIT').length).toBe(2)
    await rig.advance(5_000)
    expect(await rig.tasks(jobId)).toMatchObject([{ attempt: 1 }, { attempt: 1 }, { attempt: 1 }])
    expect(await rig.statuses(jobId)).toBe('QUEUED QUEUED QUEUED')
  })
})

const broken = refuse(errors.internal, 'Internal Server Error')

describe('an engine that fails inside', () => {
  /** The rig's jobs are stopped; these are of an engine that fails as long as `fails` says so. */
  const failing = async (devices: number, which: 'enqueue' | 'cancel') => {
    const rig = await jobsRig(devices)
    const ill = { fails: false }
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: async (...of) => (ill.fails && which === 'enqueue' ? broken : rig.engine.enqueue(...of)),
      cancel: async (...of) => (ill.fails && which === 'cancel' ? broken : rig.engine.cancel(...of)),
    }
    await rig.jobs.stop()
    const other = rig.another({ engine })
    other.start()
    return { rig, ill, other }
  }

  test('when a command is to be made is asked again', async () => {
    const { rig, ill, other } = await failing(1, 'enqueue')
    ill.fails = true
    const jobId = await rig.create([1])
    other.wake()
    await rig.rest()
    expect(await rig.tasks(jobId)).toMatchObject([{ status: 'INIT', attempt: 0, resultCode: null }])
    ill.fails = false
    await rig.advance(2_000)
    expect(await rig.tasks(jobId)).toMatchObject([{ status: 'QUEUED', attempt: 1, autoRetries: 0 }])
  })

  test('when a job is deleted leaves nothing of it behind in the end', async () => {
    const { rig, ill, other } = await failing(1, 'cancel')
    const jobId = await rig.create([1])
    other.wake()
    await rig.rest()
    ill.fails = true
    expect(await other.delete(jobId, 'app')).toEqual({ cancelled: 0, published: 0, isGone: false })
    await rig.advance(5_000)
    expect((await commandsOf(rig, 1))[0]?.state).toBe(State.created)
    ill.fails = false
    await rig.advance(2_000)
    expect(await rig.store.job(jobId)).toBeNull()
    expect((await rig.connect(1)).published).toEqual([])
  })

  test('when a task is cancelled is what the caller is told', async () => {
    const { rig, ill, other } = await failing(1, 'cancel')
    const jobId = await rig.create([1])
    other.wake()
    await rig.rest()
    ill.fails = true
    expect(await other.cancelTasks(jobId, [1], 'app')).toEqual(new Map([[1, broken]]))
    expect(await rig.statuses(jobId)).toBe('QUEUED')
  })
})

describe('a stop', () => {
  test('in the middle of a step begins nothing more, and the next process goes on with what is due', async () => {
    const rig = await jobsRig(3)
    const links = [await rig.connect(1), await rig.connect(2), await rig.connect(3)]
    await rig.jobs.stop()
    const jobId = await rig.create([1, 2, 3], instant)
    let stopped: Promise<void> | null = null
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: (...of) => {
        stopped ??= other.stop()
        return rig.engine.enqueue(...of)
      },
      cancel: (...of) => rig.engine.cancel(...of),
    }
    const other = rig.another({ engine })
    other.start()
    await rig.rest()
    await stopped
    // What it had begun is sent and on record when the stop is over, so that the engine may stop then.
    expect(links.map(link => link.published.length)).toEqual([1, 0, 0])
    expect(await rig.statuses(jobId)).toBe('PUBLISHED INIT INIT')
    expect(await rig.store.countByState()).toEqual(new Map([[State.sent, 1]]))
    rig.another({ holder: 'next' }).start()
    await rig.advance(2_000)
    expect(links.map(link => link.published.length)).toEqual([1, 1, 1])
    expect((await rig.tasks(jobId)).map(({ attempt }) => attempt)).toEqual([1, 1, 1])
  })

  test('in the middle of a visit ends it after the step in flight', async () => {
    const rig = await jobsRig(4 * JOB_STEP_TASKS)
    await rig.jobs.stop()
    const jobId = await rig.create('product')
    let stopped: Promise<void> | null = null
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: async (...of) => {
        const accepted = await rig.engine.enqueue(...of)
        stopped ??= other.stop()
        return accepted
      },
      cancel: (...of) => rig.engine.cancel(...of),
    }
    const other = rig.another({ engine })
    other.start()
    await rig.rest()
    await stopped
    expect(await rig.store.countTasks(jobId)).toEqual(
      new Map([
        ['INIT', 3 * JOB_STEP_TASKS],
        ['QUEUED', JOB_STEP_TASKS],
      ]),
    )
  })
})

/** What a call that waits for its turn is told in the end. */
async function waiting<T>(rig: JobsRig, call: Promise<T>): Promise<T> {
  await rig.rest()
  await rig.advance(JOB_TURN_WAIT_MS)
  return call
}

describe('a crash', () => {
  const steps: readonly (keyof Store)[] = [
    'saveJob',
    'addTasks',
    'dueTasks',
    'saveTasks',
    'movedTasks',
    'tasksLeft',
    'takeTurn',
  ]

  test.each(steps)('after any %s repeats nothing and loses nothing', async name => {
    let deaths = 0
    for (let nth = 1; nth <= 4; nth++) {
      const rig = await jobsRig(5)
      const link = await rig.connect(1)
      await rig.jobs.stop()
      const dying = dyingAfter(rig.store, name, nth)
      const first = new Jobs({ ...rig.options, store: dying.store })
      first.start()
      const jobId = await rig.create('product', { ...retry({ retryCount: 1, retryIntervalInSeconds: 1 }) })
      first.wake()
      for (let i = 0; i < 40; i++) await new Promise(resolve => setImmediate(resolve))
      await rig.engine.idle()
      if (dying.isDead()) deaths += 1
      // The next life has the same name, because the store is one process's.
      const second = rig.another({ holder: 'one' })
      second.start()
      await rig.rest()
      await rig.advance(2_000)
      expect(await rig.statuses(jobId), `${name} ${nth}`).toBe('PUBLISHED QUEUED QUEUED QUEUED QUEUED')
      await reply(rig, 1, link, { code: 1, deviceCode: '1' })
      await rig.advance(15_000)
      const tasks = await rig.tasks(jobId)
      expect(tasks.map(({ attempt }) => attempt)).toEqual([2, 1, 1, 1, 1])
      for (const [i, task] of tasks.entries()) {
        const commands = await commandsOf(rig, i + 1)
        expect(commands.length, `${name} ${nth}: device ${i + 1}`).toBe(task.attempt)
        expect(commands.at(-1)?.id).toBe(task.commandId)
      }
    }
    expect(deaths).toBeGreaterThan(0)
  })

  test('between the making of a command and its record is found out before the task is cancelled', async () => {
    const rig = await jobsRig(2)
    await rig.jobs.stop()
    // Dies with the answer of the engine: the commands are there, the tasks know nothing of them.
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: async (...of) => {
        await rig.engine.enqueue(...of)
        return new Promise(() => undefined)
      },
      cancel: (...of) => rig.engine.cancel(...of),
    }
    const jobId = await rig.create([1, 2])
    const first = new Jobs({ ...rig.options, engine })
    first.start()
    for (let i = 0; i < 40; i++) await new Promise(resolve => setImmediate(resolve))
    expect(await rig.statuses(jobId)).toBe('INIT INIT')
    expect((await commandsOf(rig, 1)).length).toBe(1)
    // Not started: only what is asked is done.
    const second = new Jobs({ ...rig.options })
    expect(await second.cancelTasks(jobId, [1], 'app')).toEqual(new Map([[1, null]]))
    expect(await rig.tasks(jobId)).toMatchObject([
      { status: 'CANCELLED', attempt: 1, commandId: (await commandsOf(rig, 1))[0]!.id },
      { status: 'INIT', attempt: 0 },
    ])
    expect((await commandsOf(rig, 1))[0]?.state).toBe(State.cancelled)
    expect(await second.delete(jobId, 'app')).toEqual({ cancelled: 1, published: 0, isGone: true })
    expect((await commandsOf(rig, 2))[0]?.state).toBe(State.cancelled)
  })
})

describe('a command that was made before a crash, and not recorded', () => {
  /** A job of one device whose first process dies with the answer of the engine. */
  const unrecorded = async (rig: JobsRig) => {
    await rig.jobs.stop()
    const jobId = await rig.create([1])
    const enqueue = async (...of: Parameters<Engine['enqueue']>): Promise<Accepted> => {
      await rig.engine.enqueue(...of)
      return new Promise(() => undefined)
    }
    new Jobs({ ...rig.options, engine: { enqueue, cancel: (...of) => rig.engine.cancel(...of) } }).start()
    for (let i = 0; i < 40; i++) await new Promise(resolve => setImmediate(resolve))
    expect(await rig.statuses(jobId)).toBe('INIT')
    return jobId
  }

  test('is found although its model does not allow it any more', async () => {
    const rig = await jobsRig(1)
    const jobId = await unrecorded(rig)
    const [made] = await commandsOf(rig, 1)
    const model = { modelId: 'm', orgId: ORG, json: JSON.stringify({ services: { start: {} } }) }
    const product = { productKey: 'pk', orgId: ORG, secret: 'sealed', modelId: 'm', json: '{}' }
    await rig.store.applyFleet(
      { organizations: [], applications: [], models: [model], products: [product], devices: [] },
      0,
    )
    const next = rig.another({ holder: 'one' })
    next.start()
    await rig.rest()
    expect(await rig.tasks(jobId)).toMatchObject([
      { status: 'QUEUED', commandId: made!.id, attempt: 1, resultCode: null },
    ])
    expect(await next.delete(jobId, 'app')).toMatchObject({ cancelled: 1, isGone: true })
    expect((await commandsOf(rig, 1)).map(({ state }) => state)).toEqual([State.cancelled])
  })

  test('and is answered while it is found has its output all the same', async () => {
    const rig = await jobsRig(1)
    const link = await rig.connect(1)
    const jobId = await unrecorded(rig)
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      // In one batch, the answer first.
      enqueue: (...of) => {
        void reply(rig, 1, link)
        return rig.engine.enqueue(...of)
      },
      cancel: (...of) => rig.engine.cancel(...of),
    }
    rig.another({ holder: 'one', engine }).start()
    await rig.advance(2_000)
    expect(await rig.tasks(jobId)).toMatchObject([
      { status: 'SUCCEED', resultCode: 0, resultText: 'OK', outputJson: '{"ok":true}', attempt: 1 },
    ])
    expect(link.published.length).toBe(1)
  })
})

describe('cancelTasks, while somebody else changes the task,', () => {
  /** A store whose saveTasks is what the test says, with the rig's beneath it. */
  const losing = (rig: JobsRig, saveTasks: Store['saveTasks']): Store => replacing(rig.store, { saveTasks })

  test('says that it is cancelled where its command was', async () => {
    const rig = await jobsRig(2)
    const jobId = await rig.create([1, 2])
    await rig.rest()
    await rig.jobs.stop()
    let saves = 0
    const store = losing(rig, async (id, tasks) => {
      saves += 1
      if (saves > 1) return rig.store.saveTasks(id, tasks)
      // The first is seen to be cancelled by the look of another; the second is only found changed.
      await rig.store.saveTasks(id, tasks.slice(0, 1))
      return []
    })
    expect(await rig.another({ store }).cancelTasks(jobId, [1, 2], 'app')).toEqual(
      new Map([
        [1, null],
        [2, null],
      ]),
    )
    expect(await rig.statuses(jobId)).toBe('CANCELLED CANCELLED')
  })

  test('again and again says what was done: a command is cancelled, an attempt to come is not', async () => {
    const rig = await jobsRig(2)
    const jobId = await rig.create([1], { ...retry() })
    await rig.rest()
    await rig.jobs.stop()
    const triggerTs = rig.clock.now() + 1_000
    const schedulePolicy = { scheduleType: 'DISPOSABLE', disposableSchedulePolicy: { triggerTs } }
    const later = await rig.create([2], { schedulePolicy })
    const other = rig.another({ store: losing(rig, async () => []) })
    expect(await other.cancelTasks(jobId, [1], 'app')).toEqual(new Map([[1, null]]))
    expect((await commandsOf(rig, 1)).map(({ state }) => state)).toEqual([State.cancelled])
    expect(await other.cancelTasks(later, [1], 'app')).toEqual(
      new Map([[1, expect.objectContaining({ code: errors.unavailable.code })]]),
    )
    rig.another({ holder: 'next' }).start()
    await rig.advance(2_000)
    expect([await rig.statuses(jobId), await rig.statuses(later)]).toEqual(['CANCELLED', 'QUEUED'])
  })
})

describe('of two processes', () => {
  test('one works on a job, the other takes it over when that one is gone', async () => {
    let now = 1_800_000_000_000
    const store = openMemory(() => now)
    const rig = await jobsRig(2, { store, jobs: { isShared: true } })
    await rig.jobs.stop()
    const jobId = await rig.create([1, 2])
    expect(await store.takeTurn(`job:${jobId}`, 'gone', 15_000)).toBe(true)
    const other = rig.another({ isShared: true })
    other.start()
    await rig.advance(5_000)
    expect(await rig.statuses(jobId)).toBe('INIT INIT')
    expect(await waiting(rig, other.cancelTasks(jobId, [1], 'app'))).toMatchObject({ code: errors.unavailable.code })
    now += 15_001
    await rig.advance(5_000)
    expect(await rig.statuses(jobId)).toBe('QUEUED QUEUED')
    await other.stop()
  })
})

describe('a process that comes too late', () => {
  test('takes an attempt back whose task somebody cancelled meanwhile', async () => {
    const rig = await jobsRig(2)
    await rig.jobs.stop()
    const jobId = await rig.create([1, 2])
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      // It was paused here for so long that its turn was over, and somebody else has had it.
      enqueue: async (deviceId, ...of) => {
        const accepted = await rig.engine.enqueue(deviceId, ...of)
        const [task] = await rig.store.tasks(jobId, [1])
        const cancelled = { ...task!, status: 'CANCELLED', nextAt: null } as const
        if (deviceId === rig.devices[0]) await rig.store.saveTasks(jobId, [{ from: task!, task: cancelled }])
        return accepted
      },
      cancel: (...of) => rig.engine.cancel(...of),
    }
    rig.another({ engine }).start()
    await rig.rest()
    expect(await rig.statuses(jobId)).toBe('CANCELLED QUEUED')
    expect((await commandsOf(rig, 1)).map(({ state }) => state)).toEqual([State.cancelled])
    expect((await commandsOf(rig, 2)).map(({ state }) => state)).toEqual([State.created])
  })

  /** One whose task is cancelled by another while its command is made, and whose engine refuses to cancel `refusals` times. */
  const late = async (refusals: number) => {
    const rig = await jobsRig(1)
    await rig.jobs.stop()
    const jobId = await rig.create([1])
    let left = refusals
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: async (...of) => {
        const accepted = await rig.engine.enqueue(...of)
        const [task] = await rig.store.tasks(jobId, [1])
        const to: TaskRow = { ...task!, status: 'CANCELLED', nextAt: null }
        await rig.store.saveTasks(jobId, [{ from: task!, task: to }])
        return accepted
      },
      cancel: async (...of) => (left-- > 0 ? broken : rig.engine.cancel(...of)),
    }
    const other = rig.another({ engine })
    other.start()
    await rig.rest()
    expect(left).toBeLessThan(refusals)
    expect((await commandsOf(rig, 1)).map(({ state }) => state)).toEqual([State.created])
    const heal = (): void => {
      left = 0
    }
    return { rig, other, heal }
  }

  test('takes it back as soon as that is possible', async () => {
    const { rig, heal } = await late(1_000)
    await rig.advance(5_000)
    heal()
    await rig.advance(1_000)
    expect((await commandsOf(rig, 1)).map(({ state }) => state)).toEqual([State.cancelled])
  })

  test('takes it back at the latest when it stops, or says which command is left', async () => {
    const { rig, other, heal } = await late(1_000)
    heal()
    await other.stop()
    expect((await commandsOf(rig, 1)).map(({ state }) => state)).toEqual([State.cancelled])
    const second = await late(1_000)
    await second.other.stop()
    expect(second.rig.logged).toContain('attempts that came too late are not taken back: cancel them')
  })

  test('leaves an attempt alone that somebody else has made and recorded', async () => {
    const rig = await jobsRig(1)
    await rig.jobs.stop()
    const jobId = await rig.create([1])
    let isLate = true
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: async (...of) => {
        const accepted = await rig.engine.enqueue(...of)
        if (!isLate) return accepted
        isLate = false
        const other = new Jobs({ ...rig.options, store: everybody, holder: 'other' })
        other.start()
        for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
        await other.stop()
        return accepted
      },
      cancel: (...of) => rig.engine.cancel(...of),
    }
    const everybody = new Proxy(rig.store, {
      get: (target, property) => (property === 'takeTurn' ? async () => true : Reflect.get(target, property)),
    })
    rig.another({ engine, store: everybody }).start()
    await rig.rest()
    expect(await rig.tasks(jobId)).toMatchObject([{ status: 'QUEUED', attempt: 1 }])
    expect((await commandsOf(rig, 1)).map(({ state }) => state)).toEqual([State.created])
  })
})

test('a job that a call had its turn at is gone on with as soon as that is over', async () => {
  const rig = await jobsRig(1)
  const jobId = await rig.create([1])
  await rig.rest()
  await rig.jobs.stop()
  const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
    enqueue: (...of) => rig.engine.enqueue(...of),
    cancel: async (...of) => {
      // The job is due meanwhile, and found busy.
      await rig.advance(JOB_LOOK_MIN_MS)
      return rig.engine.cancel(...of)
    },
  }
  const other = rig.another({ engine })
  other.start()
  expect(await other.cancelTasks(jobId, [1], 'app')).toEqual(new Map([[1, null]]))
  await rig.rest()
  expect((await rig.job(jobId)).status).toBe('ENDED')
})

describe.each(stores)('on the $name store', ({ open, stop }) => {
  let folder: string
  let store: Store & Nodes
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-runner-'))
    store = await open(folder)
  })
  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true })
  })
  afterAll(stop)

  test('a job and a cancellation of what it has queued go the same way', async () => {
    const rig = await jobsRig(JOB_STEP_TASKS + 20, { store })
    const link = await rig.connect(1)
    const jobId = await rig.create('product')
    await rig.rest()
    await reply(rig, 1, link)
    await rig.advance(JOB_LOOK_MIN_MS)
    expect(await store.countTasks(jobId)).toEqual(
      new Map([
        ['QUEUED', JOB_STEP_TASKS + 19],
        ['SUCCEED', 1],
      ]),
    )
    const id = await rig.cancel({ serviceId: 'reboot' })
    await rig.rest()
    expect(await rig.cancellation(id)).toMatchObject({
      ...{ status: 'ended', matched: JOB_STEP_TASKS + 19, cancelled: JOB_STEP_TASKS + 19, notCancelled: 0 },
    })
    await rig.advance(JOB_LOOK_MAX_MS)
    expect((await rig.job(jobId)).status).toBe('ENDED')
    expect((await store.countTasks(jobId)).get('CANCELLED')).toBe(JOB_STEP_TASKS + 19)
    expect(await rig.jobs.delete(jobId, 'app')).toEqual({ cancelled: 0, published: 0, isGone: true })
    await rig.jobs.stop()
    await rig.engine.stop()
  })
})
