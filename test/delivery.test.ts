// The whole way: a signed HTTP call, the queue on SQLite, a device on the real mqtt client.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type DeviceCalls, fleetFile, type Received, type Rig, startRig, TestDevice } from './rig/server.ts'

let rig: Rig
let devices = 0
const opened: TestDevice[] = []

beforeAll(async () => {
  rig = await startRig([], fleetFile(40))
})
afterAll(() => rig.stop())
afterEach(async () => {
  for (const device of opened.splice(0)) await device.end()
})

/** A device of its own for each test: its calls, and how it comes online. */
function fresh(): { calls: DeviceCalls; key: string; come: (options?: object) => Promise<TestDevice> } {
  devices += 1
  const key = `d${devices}`
  const come = async (options = {}) => {
    const device = new TestDevice(rig.server.mqttUrl, key, options)
    opened.push(device)
    return device.connected()
  }
  return { calls: rig.app.on({ assetId: `a${devices}` }), key, come }
}

const instant = { pendingTtl: '0', timeout: '10' }

describe('a device that is away', () => {
  it('gets what waited for it when it is back, in order, and each only after the answer to the one before', async () => {
    const { calls, come } = fresh()
    const ids = await calls.queue(5)
    expect(await calls.states(ids)).toEqual([1, 1, 1, 1, 1])
    const device = await come()
    const open: Received[] = []
    let most = 0
    device.answer = received => {
      open.push(received)
      most = Math.max(most, open.length)
      setImmediate(() => {
        open.pop()
        device.client.publish(`${received.topic}_reply`, JSON.stringify({ id: received.payload.id, code: 200 }), {
          qos: 1,
        })
      })
      return undefined
    }
    await calls.until(ids[4]!, 5)
    expect(device.ids()).toEqual(ids)
    expect(most).toBe(1)
    expect(await calls.states(ids)).toEqual([5, 5, 5, 5, 5])
    expect(device.received[0]!.payload).toEqual({
      id: ids[0],
      version: '1.0',
      params: { Int_value: 1 },
      method: 'thing.service.measurepoint.set',
    })
  })

  it('never gets what was cancelled meanwhile, one or all', async () => {
    const { calls, come } = fresh()
    const ids = await calls.queue(4)
    await calls.cancel(ids[1])
    const device = await come()
    await calls.until(ids[3]!, 5)
    expect(device.ids()).toEqual([ids[0], ids[2], ids[3]])
    await device.end()
    const more = await calls.queue(3)
    const { data } = await calls.cancel()
    expect(data).toHaveLength(3)
    const [last] = await calls.queue(1)
    const again = await come()
    await calls.until(last!, 5)
    expect(again.ids()).toEqual([last])
    expect(await calls.states(more)).toEqual([2, 2, 2])
  })

  it('does not get what expired', async () => {
    const { calls, come } = fresh()
    const [short] = await calls.queue(1, { pendingTtl: '1' })
    const [long] = await calls.queue(1)
    await calls.until(short!, 3)
    const device = await come()
    await calls.until(long!, 5)
    expect(device.ids()).toEqual([long])
    expect((await calls.cancel(short!)).notCancelled).toEqual([{ commandId: short, state: 3 }])
  })

  it('has room for 50; the next is refused with 11902 and recorded as failed', async () => {
    const { calls } = fresh()
    await calls.queue(50)
    const refused = await calls.set(51)
    expect(refused).toMatchObject({ status: 200, code: 11902, data: { state: 6 } })
    expect((await calls.get(refused.data.commandId)).data.state).toBe(6)
    expect((await calls.cancel()).data).toHaveLength(50)
    expect((await calls.set(52)).code).toBe(0)
  })
})

describe('one command is in flight', () => {
  it('cancel all takes the rest and leaves it alone', async () => {
    const { calls, come } = fresh()
    const device = await come()
    device.answer = () => undefined
    const ids = await calls.queue(3)
    await device.count(1)
    const { data } = await calls.cancel()
    expect(data.map((command: { commandId: string }) => command.commandId)).toEqual(ids.slice(1))
    expect((await calls.cancel(ids[0])).notCancelled).toEqual([{ commandId: ids[0], state: 4 }])
    device.client.publish(`${device.received[0]!.topic}_reply`, JSON.stringify({ id: ids[0], code: 200 }))
    await calls.until(ids[0]!, 5)
    expect(device.ids()).toEqual([ids[0]])
  })

  it('that is not answered times out, the next one goes, and a late answer changes nothing', async () => {
    const { calls, come } = fresh()
    const device = await come()
    device.answer = ({ payload }) => (device.received.length > 1 ? { id: payload.id, code: 200 } : undefined)
    const [slow] = await calls.queue(1, { pendingTtl: '600', timeout: '1' })
    const [next] = await calls.queue(1)
    await device.count(1)
    await calls.until(slow!, 7)
    await calls.until(next!, 5)
    const late = JSON.stringify({ id: slow, code: 200, data: { ok: true } })
    await device.client.publishAsync(`${device.received[0]!.topic}_reply`, late, { qos: 1 })
    expect((await calls.get(slow!)).data.state).toBe(7)
    expect(device.ids()).toEqual([slow, next])
  })

  it('moves on after an answer that says failure, and keeps the code', async () => {
    const { calls, come } = fresh()
    const device = await come()
    device.answer = ({ payload }) => ({
      id: payload.id,
      code: device.received.length === 1 ? 405 : '200',
      message: 'no',
    })
    const ids = await calls.queue(2)
    await calls.until(ids[1]!, 5)
    expect(await calls.states(ids)).toEqual([6, 5])
  })

  it('is not published again after a reconnect; its answer on the new connection counts', async () => {
    const { calls, come } = fresh()
    const first = await come()
    first.answer = () => undefined
    const ids = await calls.queue(2)
    await first.count(1)
    await first.end()
    const second = await come()
    await second.client.publishAsync(`${first.received[0]!.topic}_reply`, JSON.stringify({ id: ids[0], code: 200 }), {
      qos: 1,
    })
    await calls.until(ids[1]!, 5)
    expect(second.ids()).toEqual([ids[1]])
    expect(await calls.states(ids)).toEqual([5, 5])
  })
})

describe('an instant command', () => {
  it('returns the outputs of the service', async () => {
    const { calls, come } = fresh()
    const device = await come()
    device.answer = ({ payload }) => ({ id: payload.id, code: 200, data: { ok: true } })
    const answer = await calls.invoke({ delay: 1 }, instant)
    expect(answer).toMatchObject({ status: 200, code: 0, msg: 'OK', data: { outputData: { ok: true } } })
    expect(device.received[0]).toMatchObject({
      topic: `/sys/bXuuAiku/${'d'}${devices}/thing/service/reboot`,
      payload: { params: { delay: 1 }, method: 'thing.service.reboot' },
    })
    expect((await calls.get(answer.data.commandId)).data).toMatchObject({
      state: 5,
      outputData: { ok: true },
      pendingTtl: 0,
    })
  })

  it('of a set returns the commandId alone', async () => {
    const { calls, come } = fresh()
    await come()
    const { code, data } = await calls.set(7, instant)
    expect(code).toBe(0)
    expect(Object.keys(data)).toEqual(['commandId'])
  })

  it('passes on what the device says is wrong', async () => {
    const { calls, come } = fresh()
    const device = await come()
    device.answer = ({ payload }) => ({ id: payload.id, code: 2405, message: 'valve stuck' })
    const answer = await calls.set(7, instant)
    expect(answer).toMatchObject({ status: 200, code: 2405, msg: 'valve stuck', data: { state: 6, deviceCode: 2405 } })
    device.answer = ({ payload }) => ({ id: payload.id, code: 'E-STOP' })
    expect(await calls.set(7, instant)).toMatchObject({ code: 99500, data: { state: 6, deviceCode: 'E-STOP' } })
  })

  it('fails at once where the device never connected, and where it is away', async () => {
    const { calls, come } = fresh()
    expect(await calls.set(7, instant)).toMatchObject({ code: 11888, data: { state: 6 } })
    const device = await come()
    await calls.set(7, instant)
    await device.end()
    let answer = await calls.set(7, instant)
    while (answer.code === 0) answer = await calls.set(7, instant)
    expect(answer).toMatchObject({ code: 11900, data: { state: 6 } })
    expect((await calls.get(answer.data.commandId)).data.state).toBe(6)
  })

  it('that is not answered in time is told so', async () => {
    const { calls, come } = fresh()
    const device = await come()
    device.answer = () => undefined
    expect(await calls.set(7, { pendingTtl: '0', timeout: '1' })).toMatchObject({ code: 11915, data: { state: 7 } })
  })

  it('waits its turn behind cached ones', async () => {
    const { calls, come } = fresh()
    const ids = await calls.queue(2)
    const device = await come()
    const held: Received[] = []
    device.answer = received => {
      held.push(received)
      return undefined
    }
    const answer = calls.set(99, instant)
    const reply = ({ topic, payload }: Received) =>
      device.client.publish(`${topic}_reply`, JSON.stringify({ id: payload.id, code: 200 }))
    for (let i = 0; i < 3; i++) {
      await device.count(i + 1)
      reply(held[i]!)
    }
    const { data } = await answer
    expect(device.ids()).toEqual([...ids, data.commandId])
  })

  it('that waits too long in the queue is told it was not sent; one that is cancelled there too', async () => {
    const { calls, come } = fresh()
    const device = await come()
    device.answer = () => undefined
    await calls.queue(1)
    await device.count(1)
    expect(await calls.set(1, { pendingTtl: '0', timeout: '1' })).toMatchObject({ code: 11904, data: { state: 6 } })
    const waiting = calls.set(2, instant)
    let cancelled = await calls.cancel()
    while (cancelled.data.length === 0) cancelled = await calls.cancel()
    expect(await waiting).toMatchObject({ code: 11904, data: { state: 2, commandId: cancelled.data[0].commandId } })
  })

  it('fails when the device goes away while it waits', async () => {
    const { calls, come } = fresh()
    const device = await come()
    device.answer = () => undefined
    await calls.queue(1)
    await device.count(1)
    const waiting = calls.set(1, instant)
    let total = 0
    while (total < 2) total = (await calls.search({ expression: 'state in (1, 4)' })).pagination.totalSize
    await device.end()
    expect(await waiting).toMatchObject({ code: 11900, data: { state: 6 } })
  })

  it('goes on without a caller who hung up', async () => {
    const { calls, key, come } = fresh()
    const device = await come()
    let reply: (() => void) | undefined
    device.answer = ({ topic, payload }) => {
      reply = () => device.client.publish(`${topic}_reply`, JSON.stringify({ id: payload.id, code: 200 }))
      return undefined
    }
    const { request } = await import('node:http')
    const raw = await signedPath(calls, { measurepointId: 'Int_value', ...instant }, '{"value":5}')
    const call = request(rig.server.httpUrl + raw.path, { method: 'POST', headers: raw.headers })
    call.on('error', () => undefined)
    call.end('{"value":5}')
    await device.count(1)
    call.destroy()
    reply?.()
    const { payload } = device.received[0]!
    expect((await calls.until(payload.id, 5)).data.inputData).toBe(5)
    expect(key).toBe(calls.device.assetId?.replace('a', 'd'))
  })
})

async function signedPath(calls: DeviceCalls, params: Record<string, string>, body: string) {
  const { signature } = await import('../src/http/signature.ts')
  const all = { action: 'setMeasurepoint', orgId: 'o15541858646501', ...calls.device, ...params }
  const token = calls.app.token ?? (await calls.app.getToken())
  const timestamp = String(Date.now())
  const pairs = Object.entries(all).map(([name, value]) => ({ name, value }))
  const signed = signature(token, pairs, Buffer.from(body), timestamp, calls.app.credentials.appSecret)
  const headers = { 'apim-accesstoken': token, 'apim-timestamp': timestamp, 'apim-signature': signed }
  return { path: `/connect-service/v2.1/commands?${new URLSearchParams(all)}`, headers }
}

describe('a second connection of the same device', () => {
  it('takes over: the first is closed, what follows goes to the second, and nothing is lost or doubled', async () => {
    const { calls, come } = fresh()
    const first = await come()
    const closed = first.closed()
    const second = await come()
    await closed
    const ids = await calls.queue(2)
    await calls.until(ids[1]!, 5)
    expect(first.ids()).toEqual([])
    expect(second.ids()).toEqual(ids)
  })

  it('is not offline for an instant command that waits', async () => {
    const { calls, come } = fresh()
    const first = await come()
    first.answer = () => undefined
    const [head] = await calls.queue(1)
    await first.count(1)
    const waiting = calls.set(2, instant)
    let total = 0
    while (total < 2) total = (await calls.search({ expression: 'state in (1, 4)' })).pagination.totalSize
    const second = await come()
    second.client.publish(`${first.received[0]!.topic}_reply`, JSON.stringify({ id: head, code: 200 }))
    expect(await waiting).toMatchObject({ code: 0 })
    expect(second.ids()).toHaveLength(1)
  })
})
