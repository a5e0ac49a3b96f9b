// What people look at: devices with their queues, one command and why it waits, its timeline, how much happens; and who may see what of it.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  APP,
  Application,
  fleetFile,
  ORG,
  PRODUCT,
  READER,
  type Rig,
  STRANGER,
  startRig,
  TestDevice,
} from './rig/server.ts'

let rig: Rig
let device: TestDevice | null = null
beforeEach(async () => {
  rig = await startRig([], fleetFile(3))
})
afterEach(async () => {
  await device?.end()
  device = null
  await rig.stop()
})

const PUMP = { assetId: 'oxWwM9i5' }
/** A signed GET of one of our own paths. */
async function get(path: string, params: Record<string, string> = {}, app: Application = rig.app, orgId = ORG) {
  const { path: signed, headers } = await app.sign({ orgId, ...params })
  const response = await fetch(`${app.url}${path}${signed.slice(signed.indexOf('?'))}`, { headers })
  const answer = (await response.json()) as { code: number; msg: string; data: never; next: number | null }
  // biome-ignore lint/suspicious/noExplicitAny: the wire's answers are looked at field by field in expectations
  return { ...answer, status: response.status } as any
}

/** An application that may see some only. */
async function scoped(scope: object): Promise<Application> {
  const app = { appKey: '00000000-0000-4000-8000-0000000000ff', appSecret: '00000000-0000-4000-8000-00000000ffff' }
  const fleet = JSON.parse(fleetFile(3))
  fleet.organizations[0].applications.push({ ...app, grants: [{ resource: 'Asset', actions: ['Read'], scope }] })
  await rig.stop()
  rig = await startRig([], JSON.stringify(fleet))
  return new Application(rig.server.httpUrl, app)
}

describe('devices', () => {
  it('are listed by page with status and depth, and found by what they are called', async () => {
    await rig.app.on(PUMP).queue(3)
    const first = await get('/v1/devices', { limit: '2' })
    expect(first.data).toHaveLength(2)
    expect(first.data[0]).toMatchObject({
      ...PUMP,
      productKey: PRODUCT,
      status: 'inactive',
      waiting: 3,
      inFlight: false,
    })
    const second = await get('/v1/devices', { limit: '2', after: String(first.next) })
    expect(second.data.map((line: { deviceKey: string }) => line.deviceKey)).toEqual(['d2', 'd3'])
    expect((await get('/v1/devices', { text: 'D3' })).data).toMatchObject([{ assetId: 'a3' }])
    expect((await get('/v1/devices', { waiting: 'true' })).data).toMatchObject([PUMP])
    expect((await get('/v1/devices', { status: 'online' })).data).toEqual([])
    device = await new TestDevice(rig.server.mqttUrl, 'd2').connected()
    expect((await get('/v1/devices', { status: 'online' })).data).toMatchObject([{ assetId: 'a2', status: 'online' }])
  })

  it('come by the depth of their queues, and by who has waited longest', async () => {
    await rig.app.on({ assetId: 'a1' }).queue(1)
    await rig.app.on(PUMP).queue(3)
    const ids = async (order: string) =>
      (await get('/v1/devices', { order })).data.map((line: { assetId: string }) => line.assetId)
    expect(await ids('waiting')).toEqual(['oxWwM9i5', 'a1'])
    expect(await ids('oldest')).toEqual(['a1', 'oxWwM9i5'])
    expect(await get('/v1/devices', { order: 'oldest', text: 'a' })).toMatchObject({
      code: 99400,
      msg: expect.stringContaining('text'),
    })
  })

  it('are those of the caller: by organization, by the scope of its grants', async () => {
    const stranger = new Application(rig.server.httpUrl, STRANGER)
    expect((await get('/v1/devices', {}, stranger, 'oOther')).data).toMatchObject([{ assetId: 'other1' }])
    expect((await get('/v1/devices/oxWwM9i5', {}, stranger, 'oOther')).code).toBe(99404)
    expect((await get('/v1/devices', {}, stranger)).code).toBe(99403)
    const some = await scoped({ assetIds: ['a2'] })
    expect((await get('/v1/devices', {}, some)).data).toMatchObject([{ assetId: 'a2' }])
    expect((await get('/v1/devices/oxWwM9i5', {}, some)).code).toBe(99403)
    expect((await get('/v1/devices/oxWwM9i5/queue', {}, some)).code).toBe(99403)
    expect((await get('/v1/stats', {}, some)).code).toBe(99403)
  })

  it('show their queue in order, as of one instant', async () => {
    const ids = await rig.app.on(PUMP).queue(3)
    const { data } = await get('/v1/devices/oxWwM9i5/queue')
    expect(data.commands.map((command: { commandId: string }) => command.commandId)).toEqual(ids)
    expect(data.commands[0]).toMatchObject({ state: 1, inputData: 1, createdBy: APP.appKey, sentAt: null })
    expect(data.device.waiting).toBe(3)
    expect(data.commands[0].expireAt).toBeGreaterThan(data.now)
  })
})

describe('a command', () => {
  it('says why it waits, before and after it is sent, and how it ended', async () => {
    const [first = '', second = ''] = await rig.app.on(PUMP).queue(2)
    expect((await get(`/v1/commands/${second}/explain`)).data).toMatchObject({
      state: 1,
      cancellable: true,
      ahead: 1,
      reasons: [{ reason: 'deviceInactive' }, { reason: 'behind', commandId: first, ahead: 1 }],
    })
    device = new TestDevice(rig.server.mqttUrl, 'mqtt_01')
    device.answer = () => undefined
    await device.connected()
    await device.count(1)
    const sent = (await get(`/v1/commands/${first}/explain`)).data
    expect(sent).toMatchObject({ state: 4, cancellable: false, reasons: [{ reason: 'awaitingAnswer' }] })
    const behind = (await get(`/v1/commands/${second}/explain`)).data
    expect(behind.reasons.map(({ reason }: { reason: string }) => reason)).toEqual(['behind', 'awaitingAnswer'])
    expect(behind.head).toMatchObject({ commandId: first, state: 4, deadlineAt: sent.deadlineAt })
    await rig.app.on(PUMP).cancel(second)
    const over = (await get(`/v1/commands/${second}/explain`)).data
    expect(over).toMatchObject({ state: 2, cancellable: false, reasons: [{ reason: 'over' }] })
    expect(over.explanation).toContain(APP.appKey)
  })

  it('is found by its id alone, also when its device is gone, and by nobody else', async () => {
    const [id = ''] = await rig.app.on(PUMP).queue(1)
    expect((await get(`/v1/commands/${id}`)).data).toMatchObject({ commandId: id, state: 1, ...PUMP, code: null })
    expect((await get(`/v1/commands/${id}`, {}, new Application(rig.server.httpUrl, READER))).code).toBe(0)
    const stranger = new Application(rig.server.httpUrl, STRANGER)
    expect((await get(`/v1/commands/${id}`, {}, stranger, 'oOther')).code).toBe(11404)
    expect((await get('/v1/commands/1')).code).toBe(11404)
    expect((await get('/v1/commands/abc')).code).toBe(99400)
    await rig.app.call({ action: 'delete', orgId: ORG, ...PUMP }, { resource: 'devices' })
    expect((await get(`/v1/commands/${id}`)).data).toMatchObject({ commandId: id, state: 2, ...PUMP })
    expect((await get(`/v1/commands/${id}/explain`)).data).toMatchObject({ state: 2, cancellable: false })
    expect((await get('/v1/commands/abc/explain')).msg).toContain('commandId:must be 1 to 19 decimal digits, got "abc"')
    expect((await get(`/v1/commands/${id}/timeline`)).data.events.map(({ to }: { to: number }) => to)).toEqual([1, 2])
  })

  it('has a timeline: who, when, what it waited for, sent by which node, answered what', async () => {
    const [first = '', second = ''] = await rig.app.on(PUMP).queue(2)
    device = new TestDevice(rig.server.mqttUrl, 'mqtt_01')
    await device.connected()
    await rig.app.on(PUMP).until(second, 5)
    const { data } = await get(`/v1/commands/${second}/timeline`)
    expect(data.command).toMatchObject({
      commandId: second,
      state: 5,
      createdBy: APP.appKey,
      inputData: 2,
      deviceCode: '200',
    })
    expect(data.events).toMatchObject([
      { from: null, to: 1, by: APP.appKey, reason: 'accepted' },
      { from: 1, to: 4, by: 'server', detail: { node: 0, session: 1 } },
      { from: 4, to: 5, by: 'device', reason: 'reply', command: { code: 0 } },
    ])
    expect(data.events[2].latency.totalMs).toBe(data.events[2].latency.waitedMs + data.events[2].latency.answeredMs)
    expect(data.waitedFor).toMatchObject([
      { commandId: null, reason: 'connected' },
      { commandId: first, to: 4 },
      { commandId: first, to: 5 },
    ])
  })
})

describe('stats', () => {
  it('count what is and what was, by minutes', async () => {
    const ids = await rig.app.on(PUMP).queue(3)
    await rig.app.on(PUMP).cancel(ids[0])
    device = await new TestDevice(rig.server.mqttUrl, 'mqtt_01').connected()
    await rig.app.on(PUMP).until(ids[2] ?? '', 5)
    const { data } = await get('/v1/stats')
    expect(data.now).toMatchObject({ devices: 4, online: 1, inactive: 3, offline: 0, waiting: 0, inFlight: 0 })
    expect(data.total).toEqual({ accepted: 3, sent: 2, succeeded: 2, failed: 0, timedOut: 0, cancelled: 1, expired: 0 })
    expect(data.series).toHaveLength(Math.ceil((data.to - data.from) / 60_000))
    const summed = data.series.reduce((sum: number, step: { accepted: number }) => sum + step.accepted, 0)
    expect(summed).toBe(3)
    expect(await get('/v1/stats', { productKey: 'nope' })).toMatchObject({
      code: 11611,
      msg: expect.stringContaining('nope'),
    })
  })

  it('name what is wrong with a request', async () => {
    for (const [params, name] of [
      [{ stepS: '90' }, 'stepS'],
      [{ from: '120000', to: '5' }, 'to'],
      [{ from: '0' }, 'stepS'],
      [{ form: '0' }, 'form'],
    ] as const)
      expect(await get('/v1/stats', params)).toMatchObject({ code: 99400, msg: expect.stringContaining(name) })
  })
})
