// The actions of command jobs over HTTP: shapes, who may do what, each field that is refused, searches, and what tasks are told one by one.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { JOB_TARGETS_MAX, TASK_IDS_MAX } from '../src/core/limits.ts'
import type { Scope } from '../src/store/store.ts'
import { type AppRig, BY_ASSET, BY_PRODUCT, expectRefused, NOBODY, startApp } from './rig/http.ts'
import { type Answer, Application, ORG, PRODUCT, READER, STRANGER } from './rig/server.ts'

let rig: AppRig
beforeEach(async () => {
  rig = await startApp()
})
afterEach(() => rig.stop())

const as = (credentials: { appKey: string; appSecret: string }) =>
  new Application(rig.url, credentials, () => rig.clock.now())

const call = (action: string, query: Record<string, string> = {}, body?: unknown, app = rig.app, method = 'POST') =>
  app.call({ action, orgId: ORG, ...query }, { method, body, resource: '/connect-service/v2.5/commands' })

const commandInfo = {
  commandType: 'SERVICE_INVOKE',
  serviceInvokeInfo: { serviceId: 'reboot', inputData: { delay: 1 } },
}
const body = (over: object = {}) => ({
  name: { defaultValue: 'Reboot all', i18nValue: { de_DE: 'Alle neu starten' } },
  desc: 'a test',
  targetScope: {
    targetType: 'device_list',
    targetDevices: [{ assetId: 'a1' }, { productKey: PRODUCT, deviceKey: 'd2' }],
  },
  schedulePolicy: { scheduleType: 'DISPOSABLE' },
  timeoutPolicy: { inProgressTimeoutInSeconds: 900, ttlTimeoutInSeconds: 600 },
  commandInfo,
  ...over,
})
const create = async (over: object = {}, app = rig.app): Promise<string> => {
  const answer = await call('createJob', {}, body(over), app)
  expect(answer).toMatchObject({ code: 0, msg: 'OK' })
  await rig.advance(0)
  return answer.data
}
const listed = (...targetDevices: object[]) => ({ targetScope: { targetType: 'device_list', targetDevices } })

describe('createJob', () => {
  test('answers the jobId, and the job is there as it was said', async () => {
    const jobId = await create({ extra: 'tolerated' })
    expect(jobId).toMatch(/^[0-9a-f]{24}$/)
    expect((await call('getJob', { jobId }, undefined, rig.app, 'GET')).data).toEqual({
      orgId: ORG,
      jobId,
      name: { defaultValue: 'Reboot all', i18nValue: { de_DE: 'Alle neu starten' } },
      desc: 'a test',
      status: 'RUNNING',
      targetScope: {
        targetType: 'DEVICE_LIST',
        targetDevices: [
          { assetId: 'a1', productKey: null, deviceKey: null },
          { assetId: null, productKey: PRODUCT, deviceKey: 'd2' },
        ],
      },
      schedulePolicy: { scheduleType: 'DISPOSABLE', disposableSchedulePolicy: { triggerTs: rig.clock.now() } },
      timeoutPolicy: { inProgressTimeoutInSeconds: 900, ttlTimeoutInSeconds: 600 },
      retryPolicy: { enableRetry: false, retryIntervalInSeconds: 300, retryCount: 3 },
      commandInfo: { ...commandInfo, setMeasurepointInfo: null },
      createTimestamp: rig.clock.now(),
      createBy: rig.app.credentials.appKey,
      endTimestamp: null,
    })
  })

  test('makes commands that are like any others', async () => {
    const jobId = await create()
    const [first] = (await rig.app.on({ assetId: 'a1' }).search()).data
    expect(first).toMatchObject({
      ...{ commandType: 2, tslIdentifier: 'reboot', inputData: { delay: 1 }, timeout: 900, pendingTtl: 600, state: 1 },
      commandName: { defaultValue: 'reboot' },
    })
    const task = await call('getTask', { taskId: `${jobId}-1` }, undefined, rig.app, 'GET')
    expect(task.data).toMatchObject({ commandId: first.commandId, status: 'QUEUED', assetId: 'a1', taskResult: null })
    await rig.app.on({ assetId: 'a1' }).cancel(first.commandId)
    await rig.advance(1_000)
    expect((await call('getTask', { taskId: `${jobId}-1` })).data.status).toBe('CANCELLED')
  })

  test('takes inputs as JSON text, and sets measurepoints', async () => {
    await create({
      commandInfo: {
        commandType: 'SERVICE_INVOKE',
        serviceInvokeInfo: { serviceId: 'reboot', inputData: '{"delay":7}' },
      },
    })
    await create({
      ...listed({ assetId: 'a3' }),
      commandInfo: { commandType: 'MEASUREPOINT_SET', setMeasurepointInfo: { measurepointId: 'Int_value', value: 5 } },
    })
    expect((await rig.app.on({ assetId: 'a1' }).search()).data[0].inputData).toEqual({ delay: 7 })
    expect((await rig.app.on({ assetId: 'a3' }).search()).data[0]).toMatchObject({ commandType: 1, inputData: 5 })
  })

  test('fills defaults of the model in, by the product of each device', async () => {
    const commandInfo = { commandType: 'SERVICE_INVOKE', serviceInvokeInfo: { serviceId: 'defaulted', inputData: {} } }
    await create({ ...listed({ assetId: 't1' }, { assetId: 'free1' }), commandInfo })
    expect((await rig.app.on({ assetId: 't1' }).search()).data[0].inputData).toEqual({ n: 7 })
    expect((await rig.app.on({ assetId: 'free1' }).search()).data[0].inputData).toEqual({})
  })

  test('is for every device of a product', async () => {
    const jobId = await create({
      targetScope: { targetType: 'PRODUCT_KEY', targetDevices: [{ productKey: PRODUCT, deviceKey: null }] },
    })
    expect((await call('queryStatistics', { jobId })).data).toEqual({
      ...{ total: 5, init: 0, queued: 5, published: 0, inProgress: 0, succeed: 0 },
      ...{ failed: 0, canceled: 0, ttlTimeout: 0, rspTimeout: 0 },
    })
    expect((await call('getJob', { jobId })).data.targetScope).toEqual({
      targetType: 'PRODUCT_KEY',
      targetDevices: [{ productKey: PRODUCT, deviceKey: null, assetId: null }],
    })
  })

  test('takes as many devices as the vendor says, and larger bodies than a command has', async () => {
    const targetDevices = Array.from({ length: JOB_TARGETS_MAX }, () => ({
      assetId: null,
      productKey: 'p'.repeat(60),
      deviceKey: 'd'.repeat(60),
    }))
    const answer = await call('createJob', {}, body({ targetScope: { targetType: 'device_list', targetDevices } }))
    expectRefused(answer, 99400, /targetDevices\[0\]:there is no such device/)
    targetDevices.push({ assetId: null, productKey: 'p', deviceKey: 'd' })
    const more = await call('createJob', {}, body({ targetScope: { targetType: 'device_list', targetDevices } }))
    expectRefused(more, 99400, /targetScope\.targetDevices:must be an array of 1 to 1000 devices/)
  })

  const refusals: readonly (readonly [string, object, RegExp])[] = [
    ['no name', { name: undefined }, /Argument name:/],
    ['a name that is a number', { name: 5 }, /Argument name:/],
    ['a name that is too long', { name: { defaultValue: 'x'.repeat(4_100) } }, /Argument name:may have/],
    ['no desc', { desc: undefined }, /Argument desc:/],
    ['a desc that is too long', { desc: 'x'.repeat(101) }, /Argument desc:/],
    ['no scope', { targetScope: undefined }, /Argument targetScope:/],
    ['another scope', { targetScope: { targetType: 'everything' } }, /targetScope\.targetType:.*"everything"/],
    ['no devices', listed(), /targetScope\.targetDevices:/],
    ['devices that are no list', { targetScope: { targetType: 'device_list', targetDevices: {} } }, /targetDevices:/],
    [
      'a device that is a text',
      { targetScope: { targetType: 'device_list', targetDevices: ['a1'] } },
      /targetDevices\[0\]:/,
    ],
    ['a device without keys', listed({ assetId: 'a1' }, { productKey: PRODUCT }), /targetDevices\[1\]:needs assetId/],
    ['a key that is a number', listed({ assetId: 1 }), /targetDevices\[0\]\.assetId:must be a text/],
    ['a device that is not there', listed({ assetId: 'nothing' }), /targetDevices\[0\]:there is no such device/],
    ["another organization's device", listed({ assetId: 'other1' }), /targetDevices\[0\]:there is no such device/],
    ['keys of two devices', listed({ assetId: 'a1', deviceKey: 'd2' }), /targetDevices\[0\]:assetId names another/],
    [
      'a device twice',
      listed({ assetId: 'a1' }, { productKey: PRODUCT, deviceKey: 'd1' }),
      /targetDevices\[1\]:names a1 a second/,
    ],
    ['no product', { targetScope: { targetType: 'product_key' } }, /targetScope\.productKey:/],
    [
      'two products',
      {
        targetScope: { targetType: 'product_key', targetDevices: [{ productKey: PRODUCT }, { productKey: 'freePk' }] },
      },
      /targetScope\.productKey:.*one product/,
    ],
    [
      'a product and a device',
      { targetScope: { targetType: 'product_key', targetDevices: [{ productKey: PRODUCT, deviceKey: 'd1' }] } },
      /targetScope\.targetDevices:.*no device/,
    ],
    ['no schedule', { schedulePolicy: undefined }, /schedulePolicy:/],
    ['another schedule', { schedulePolicy: { scheduleType: 'DAILY' } }, /schedulePolicy\.scheduleType:/],
    [
      'an instant that is none',
      { schedulePolicy: { scheduleType: 'DISPOSABLE', disposableSchedulePolicy: { triggerTs: 'now' } } },
      /disposableSchedulePolicy\.triggerTs:/,
    ],
    [
      'an instant in other units',
      {
        schedulePolicy: { scheduleType: 'DISPOSABLE', disposableSchedulePolicy: { triggerTs: 1_800_000_000_000_000 } },
      },
      /triggerTs:.*milliseconds/,
    ],
    ['a timeout of 0', { timeoutPolicy: { inProgressTimeoutInSeconds: 0 } }, /inProgressTimeoutInSeconds:.*1 to 900/],
    [
      'a timeout that is too long',
      { timeoutPolicy: { inProgressTimeoutInSeconds: 901 } },
      /inProgressTimeoutInSeconds:/,
    ],
    ['a ttl that is too long', { timeoutPolicy: { ttlTimeoutInSeconds: 172_801 } }, /ttlTimeoutInSeconds:.*172800/],
    ['a policy that is a text', { timeoutPolicy: 'x' }, /timeoutPolicy:/],
    ['enableRetry as a text', { retryPolicy: { enableRetry: 'true' } }, /retryPolicy\.enableRetry:/],
    ['too many retries', { retryPolicy: { enableRetry: true, retryCount: 11 } }, /retryCount:.*1 to 10/],
    ['an interval that is negative', { retryPolicy: { retryIntervalInSeconds: -1 } }, /retryIntervalInSeconds:/],
    ['no command', { commandInfo: undefined }, /commandInfo:/],
    ['another command', { commandInfo: { commandType: 'X' } }, /commandInfo\.commandType:/],
    ['no service', { commandInfo: { commandType: 'SERVICE_INVOKE' } }, /commandInfo\.serviceInvokeInfo:/],
    [
      'a service that the model does not have',
      { commandInfo: { commandType: 'SERVICE_INVOKE', serviceInvokeInfo: { serviceId: 'rebot' } } },
      /serviceId:.*did you mean "reboot"\?.*product bXuuAiku/,
    ],
    [
      'inputs that are no object',
      { commandInfo: { commandType: 'SERVICE_INVOKE', serviceInvokeInfo: { serviceId: 'reboot', inputData: 'x' } } },
      /inputData:must be an object/,
    ],
    ['no point', { commandInfo: { commandType: 'MEASUREPOINT_SET' } }, /setMeasurepointInfo:/],
    [
      'a value that does not fit',
      {
        commandInfo: {
          commandType: 'MEASUREPOINT_SET',
          setMeasurepointInfo: { measurepointId: 'Int_value', value: 'x' },
        },
      },
      /value:/,
    ],
    [
      'a value that is too large',
      {
        commandInfo: {
          commandType: 'MEASUREPOINT_SET',
          setMeasurepointInfo: { measurepointId: 'Text', value: 'x'.repeat(70_000) },
        },
      },
      /setMeasurepointInfo\.value:may have 65536 bytes/,
    ],
  ]
  test.each(refusals)('refuses %s', async (_what, over, message) => {
    expectRefused(await call('createJob', {}, body(over)), 99400, message)
    expect((await call('searchJob', {}, {})).pagination.totalSize).toBe(0)
  })

  test('refuses what is no object, and a product that is not there', async () => {
    expectRefused(await call('createJob', {}, [1]), 99400, /body/)
    const unknown = { targetScope: { targetType: 'product_key', targetDevices: [{ productKey: 'otherPk' }] } }
    expectRefused(await call('createJob', {}, body(unknown)), 11611, /product "otherPk" not found/)
  })
})

describe('who may do what', () => {
  test('an application without the grant is refused', async () => {
    const jobId = await create()
    for (const action of ['createJob', 'deleteJob', 'retryTask', 'cancelTask'])
      expectRefused(await call(action, { jobId }, body(), as(READER)), 99403, /Denied resource/)
    for (const action of ['getJob', 'searchJob', 'queryStatistics', 'getTask', 'searchTask', 'createJob'])
      expectRefused(await call(action, { jobId }, {}, as(NOBODY)), 99403, /Denied resource/)
    expect((await call('getJob', { jobId }, undefined, as(READER))).code).toBe(0)
  })

  test('a job may be made only for devices that one may command and change', async () => {
    const app = as(BY_PRODUCT)
    expect((await call('createJob', {}, body(), app)).code).toBe(0)
    const other = { ...listed({ assetId: 'a1' }, { assetId: 'free1' }), commandInfo }
    expectRefused(await call('createJob', {}, body(other), app), 99403, /free1 needs/)
    const product = { targetScope: { targetType: 'product_key', targetDevices: [{ productKey: 'freePk' }] } }
    expectRefused(await call('createJob', {}, body(product), app), 99403, /product freePk needs/)
  })

  test('an application with a part of the devices sees its own jobs only', async () => {
    const foreign = await create()
    const own = await create({}, as(BY_PRODUCT))
    const app = as(BY_PRODUCT)
    expectRefused(await call('getJob', { jobId: foreign }, undefined, app), 99404, /not found/)
    expectRefused(await call('getTask', { taskId: `${foreign}-1` }, undefined, app), 99404, /not found/)
    expectRefused(await call('deleteJob', { jobId: foreign }, undefined, app), 99404, /not found/)
    expectRefused(await call('cancelTask', { jobId: foreign }, { taskIds: [`${foreign}-1`] }, app), 99404, /not found/)
    const seen = await call('searchJob', {}, {}, app)
    expect([seen.data.map((job: { jobId: string }) => job.jobId), seen.pagination.totalSize]).toEqual([[own], 1])
    const tasks = await call('searchTask', {}, { expression: `jobId in ('${foreign}', '${own}')` }, app)
    expect(tasks.data.map((task: { jobId: string }) => task.jobId)).toEqual([own, own])
    expect((await call('searchJob', {}, {})).pagination.totalSize).toBe(2)
  })

  test('another organization sees nothing', async () => {
    const jobId = await create()
    const stranger = as(STRANGER)
    const seen = await stranger.call(
      { action: 'getJob', orgId: 'oOther', jobId },
      { resource: '/connect-service/v2.5/commands' },
    )
    expectRefused(seen, 99404, /not found/)
    expect((await as(BY_ASSET).on({ assetId: 'a1' }).search()).code).toBe(0)
  })
})

describe('who made a job', () => {
  const later = () => ({
    schedulePolicy: {
      scheduleType: 'DISPOSABLE',
      disposableSchedulePolicy: { triggerTs: rig.clock.now() + 60_000 },
    },
    retryPolicy: { enableRetry: true, retryIntervalInSeconds: 10, retryCount: 5 },
  })
  const tasksOf = async (jobId: string) =>
    (await call('searchTask', {}, { expression: `jobId = '${jobId}'` })).data.map(
      ({ status, taskResult, retryTimestamp, commandId }: Answer['data']) => ({
        status,
        code: taskResult?.code,
        desc: taskResult?.desc,
        retryTimestamp,
        commandId,
      }),
    )
  const commands = async (assetId: string) => (await rig.app.on({ assetId }).search()).data.length

  test('and was removed commands nothing any more', async () => {
    const jobId = await create(later(), as(BY_PRODUCT))
    expect(await rig.fleet.applications.remove(ORG, BY_PRODUCT.appKey)).toBeNull()
    await rig.advance(60_000)
    const refused = {
      ...{ status: 'FAILED', code: 99403, retryTimestamp: null, commandId: null },
      desc: expect.stringMatching(/application .*, which made the job, was removed/),
    }
    expect(await tasksOf(jobId)).toEqual([refused, refused])
    expect((await call('getJob', { jobId })).data.status).toBe('ENDED')
    expect([await commands('a1'), await commands('a2')]).toEqual([0, 0])
    // Nor by the hand of somebody who might.
    await call('retryTask', { jobId }, { taskIds: [`${jobId}-1`] })
    await rig.advance(0)
    expect(await tasksOf(jobId)).toEqual([refused, refused])
    expect(await commands('a1')).toBe(0)
  })

  test('and lost a part of the devices goes on with the others', async () => {
    const jobId = await create(later(), as(BY_PRODUCT))
    const grants = [{ resource: 'Asset', actions: ['Control'], scope: { assetIds: ['a2'] } }]
    await rig.fleet.applications.setGrants(ORG, BY_PRODUCT.appKey, grants)
    await rig.advance(60_000)
    expect(await tasksOf(jobId)).toMatchObject([
      { status: 'FAILED', code: 99403, desc: expect.stringMatching(/Asset a1 needs Asset Control.*any more/) },
      { status: 'QUEUED' },
    ])
    expect([await commands('a1'), await commands('a2')]).toEqual([0, 1])
  })

  test('is asked at each attempt, not only at the first', async () => {
    const over = { ...later(), schedulePolicy: { scheduleType: 'DISPOSABLE' }, timeoutPolicy: {} }
    const jobId = await create({ ...over, ...listed({ assetId: 'a1' }) }, as(BY_PRODUCT))
    expect(await tasksOf(jobId)).toMatchObject([{ status: 'FAILED', code: 11888 }])
    await rig.advance(10_000)
    expect(await commands('a1')).toBe(2)
    await rig.fleet.applications.revoke(ORG, BY_PRODUCT.appKey, { resource: 'Asset' })
    await rig.advance(60_000)
    expect(await tasksOf(jobId)).toMatchObject([{ status: 'FAILED', code: 99403, retryTimestamp: null }])
    expect(await commands('a1')).toBe(2)
  })
})

describe('searches', () => {
  const ids = async (expression: string): Promise<string[] | Answer> => {
    const answer = await call('searchJob', {}, { expression })
    return answer.code === 0 ? answer.data.map((job: { jobId: string }) => job.jobId) : answer
  }

  test('of jobs', async () => {
    const first = await create()
    await rig.advance(2_000)
    const second = await create({ name: { defaultValue: 'Pumps' }, ...listed({ assetId: 'a4' }), timeoutPolicy: {} })
    expect(await ids(`jobId in ('${first}', 'x')`)).toEqual([first])
    expect(await ids(`jobId = ${first}`)).toEqual([first])
    expect(await ids("name like 'PUMP'")).toEqual([second])
    expect(await ids("name.de_DE like 'neu'")).toEqual([first])
    expect(await ids("status = 'ENDED'")).toEqual([second])
    expect(await ids("status in (running, 'SCHEDULED') and name like 'reboot'")).toEqual([first])
    const at = rig.clock.now()
    expect(await ids(`createTime >= ${at}`)).toEqual([second])
    expect(await ids(`createTime < ${at}`)).toEqual([first])
    expect(await ids(`createTime = ${at}`)).toEqual([second])
    const text = new Date(at).toISOString().slice(0, 19)
    expect(await ids(`createTime = '${text.replace('T', ' ')}'`)).toEqual([second])
    expect(await ids(`createTime <= '${text}Z' or name like 'x'`)).toEqual([second, first])
    const page = await call('searchJob', {}, { pagination: { pageNo: 2, pageSize: 1 } })
    expect(page.data.map((job: { jobId: string }) => job.jobId)).toEqual([first])
    expect(page.pagination).toEqual({
      sortedBy: [{ field: 'createTimestamp', order: 'DESC' }],
      ...{ pageNo: 2, pageSize: 1, totalSize: 2 },
    })
    const none = await call('searchJob', {}, { pagination: { pageNo: 1, pageSize: 0 } })
    expect([none.data, none.pagination.totalSize]).toEqual([[], 2])
  })

  test('of tasks', async () => {
    const jobId = await create()
    const found = async (expression: string) =>
      (await call('searchTask', {}, { expression })).data.map((task: { taskId: string }) => task.taskId)
    expect(await found(`jobId = '${jobId}'`)).toEqual([`${jobId}-1`, `${jobId}-2`])
    expect(await found(`ztaskId in ('${jobId}-2')`)).toEqual([`${jobId}-2`])
    expect(await found(`dk = 'd1' and pk = '${PRODUCT}' and status = QUEUED`)).toEqual([`${jobId}-1`])
    expect(await found("assetId in ('a2', 'nothing') or deviceKey = 'd1'")).toEqual([`${jobId}-1`, `${jobId}-2`])
    expect(await found(`jobId = '${jobId}' and status in ('IN_PROGRESS', 'FAILED')`)).toEqual([])
    expect(await found(`jobId = '${jobId}' and createTime > 5`)).toHaveLength(2)
  })

  test('say where they went wrong', async () => {
    for (const [expression, message] of [
      ['state = 1', /character 1: expected jobId, status, name/],
      ["status = 'DONE'", /character 10: expected a status: SCHEDULED, RUNNING, ENDED/],
      ["status != 'ENDED'", /character 8: expected = or in/],
      ["name = 'x'", /expected like/],
      ['createTime > yesterday', /an existing time/],
      ["createTime like '2020'", /expected >/],
      ["jobId = 'a' jobId", /expected and, or or the end/],
    ] as const)
      expectRefused(await call('searchJob', {}, { expression }), 99400, message)
    expectRefused(await call('searchJob', {}, { pagination: { pageSize: 1_001 } }), 99400, /from 0 to 1000/)
    for (const expression of ['', "status = 'FAILED'", "jobId = 'a' or status = 'FAILED'", "productKey = 'x'"])
      expectRefused(await call('searchTask', {}, { expression }), 99400, /must say which tasks/)
    expectRefused(await call('searchTask', {}, { expression: "name like 'x'" }), 99400, /character 1/)
  })
})

describe('tasks', () => {
  test('that are cancelled are answered one by one', async () => {
    const jobId = await create()
    const taskIds = [`${jobId}-2`, `${jobId}-7`, 'other-1', 'x']
    const answer = await call('cancelTask', { jobId }, { taskIds })
    expect(answer).toMatchObject({ code: 0, successSize: 1, totalSize: 4 })
    expect(answer.data).toEqual([
      { code: 0, msg: 'OK', data: `${jobId}-2` },
      { code: 99404, msg: expect.stringContaining('no such task'), data: `${jobId}-7` },
      { code: 99404, msg: expect.stringContaining('other-1'), data: 'other-1' },
      { code: 99404, msg: expect.any(String), data: 'x' },
    ])
    const again = await call('cancelTask', { jobId }, { taskIds: `${jobId}-2` })
    expect(again.data[0]).toMatchObject({ code: 99413, msg: expect.stringContaining('CANCELLED') })
    expect((await call('getTask', { taskId: `${jobId}-2` })).data).toMatchObject({
      status: 'CANCELLED',
      taskResult: { code: null, desc: 'The task was cancelled.', outputData: null },
    })
    expect((await rig.app.on({ assetId: 'a2' }).search()).data[0].state).toBe(2)
  })

  test('that are retried begin again', async () => {
    const jobId = await create({ timeoutPolicy: {} })
    expect((await call('getJob', { jobId })).data).toMatchObject({ status: 'ENDED', endTimestamp: rig.clock.now() })
    expect((await call('getTask', { taskId: `${jobId}-1` })).data).toMatchObject({
      status: 'FAILED',
      taskResult: { code: 11888, outputData: null },
    })
    const answer = await call('retryTask', { jobId }, { taskIds: [`${jobId}-1`] })
    expect(answer).toMatchObject({ code: 0, successSize: 1, totalSize: 1 })
    await rig.advance(0)
    expect((await call('getTask', { taskId: `${jobId}-1` })).data).toMatchObject({
      ...{ status: 'FAILED', manualRetryCount: 1, autoRetryCount: 0, retryTimestamp: null },
    })
    expect((await rig.app.on({ assetId: 'a1' }).search()).data).toHaveLength(2)
  })

  test('are named by a list that is not too long', async () => {
    const jobId = await create()
    for (const taskIds of [undefined, [], [1], Array.from({ length: TASK_IDS_MAX + 1 }, () => 'x')])
      expectRefused(await call('retryTask', { jobId }, { taskIds }), 99400, /taskIds:must be a list of 1 to 200/)
    expectRefused(await call('cancelTask', {}, { taskIds: ['x'] }), 99400, /jobId is missing/)
    expectRefused(await call('cancelTask', { jobId: 'nothing' }, { taskIds: ['x'] }), 99404, /"nothing" not found/)
    expectRefused(await call('getTask', {}), 99400, /taskId is missing/)
    expectRefused(await call('getTask', { taskId: 'x' }), 99404, /not found/)
  })

  test('are counted under both names', async () => {
    const jobId = await create()
    await call('cancelTask', { jobId }, { taskIds: [`${jobId}-1`] })
    for (const action of ['queryStatistics', 'queryJobStatistics'])
      expect((await call(action, { jobId })).data).toMatchObject({ total: 2, queued: 1, canceled: 1 })
  })
})

describe('deleteJob', () => {
  test('cancels what waits, says so, and the job is gone', async () => {
    const jobId = await create()
    const answer = await call('deleteJob', { jobId })
    expect(answer).toMatchObject({ code: 0, data: null, cancelled: 2, published: 0, finished: true })
    expectRefused(await call('getJob', { jobId }), 99404, /not found/)
    expectRefused(await call('deleteJob', { jobId }), 99404, /not found/)
    expect((await rig.app.on({ assetId: 'a1' }).search()).data[0].state).toBe(2)
  })

  test('needs Asset Control for whatever waits', async () => {
    const jobId = await create()
    const forProduct = await create({ targetScope: { targetType: 'product_key', productKey: PRODUCT } })
    const may = (scope: Scope) =>
      rig.fleet.applications.setGrants(ORG, NOBODY.appKey, [
        { resource: 'Device', actions: ['FullAccess'], scope: 'all' },
        { resource: 'Asset', actions: ['Control'], scope },
      ])
    const app = as(NOBODY)
    await may({ assetIds: ['a1'] })
    expectRefused(await call('deleteJob', { jobId }, undefined, app), 99403, /Asset a2 needs Asset Control/)
    expectRefused(await call('deleteJob', { jobId: forProduct }, undefined, app), 99403, /product bXuuAiku needs/)
    for (const id of [jobId, forProduct])
      expect((await call('getJob', { jobId: id })).data).toMatchObject({ status: 'RUNNING' })
    expect((await call('queryStatistics', { jobId })).data).toMatchObject({ queued: 2, canceled: 0 })
    // What is over on a device is not taken back.
    await call('cancelTask', { jobId }, { taskIds: [`${jobId}-2`] })
    expect(await call('deleteJob', { jobId }, undefined, app)).toMatchObject({ code: 0, cancelled: 1 })
    await may({ productKeys: [PRODUCT] })
    expect(await call('deleteJob', { jobId: forProduct }, undefined, app)).toMatchObject({ code: 0, cancelled: 5 })
  })

  test('is strict about what it is given', async () => {
    const jobId = await create()
    expectRefused(await call('deleteJob', { jobId }, { jobId }), 99400, /takes no body/)
    expectRefused(await call('deleteJob', { jobId, jobid: 'x' }), 99400, /jobid/)
    expectRefused(await call('deleteJob', {}), 99400, /jobId is missing/)
    expect((await call('getJob', { jobId })).code).toBe(0)
  })
})
