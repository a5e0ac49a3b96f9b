// @downlink/client against real servers and devices, over a network that is cut where it hurts: what it sends, what it makes of the answers, what it
// repeats and what it does not. Not here: its parts by themselves (client-parts.test.ts), browsers (client-browser.test.ts), its README.

import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  codes,
  Downlink,
  DownlinkError,
  type DownlinkOptions,
  NoAnswer,
  NoToken,
  State,
} from '../packages/client/src/index.ts'
import { readServeConfig } from '../src/cli/config.ts'
import { startServer } from '../src/cli/serve.ts'
import { Cutter } from './rig/cutter.ts'
import { APP, fleetFile, ORG, PRODUCT, READER, type Rig, startRig, TestDevice } from './rig/server.ts'

const TOKEN_GET = '/apim-token-service/v2.0/token/get'
/** of the form that they have, and of nobody */
const TOKEN = `dlo_${'A'.repeat(43)}`
/** each test takes its own */
const DEVICES = 50
let rig: Rig
let cutter: Cutter
beforeAll(async () => {
  rig = await startRig([], fleetFile(DEVICES))
})
afterAll(() => rig.stop())
beforeEach(async () => {
  cutter = await Cutter.start(rig.server.httpUrl)
})
const devices: TestDevice[] = []
afterEach(async () => {
  await Promise.all(devices.splice(0).map(device => device.end()))
  await cutter.stop()
})

const clientOf = (more: Partial<DownlinkOptions> = {}) =>
  new Downlink({ server: cutter.url, orgId: ORG, ...APP, random: () => 0, ...more })
let next = 0
/** A device that no other test has. */
function fresh(): { deviceKey: string; device: { productKey: string; deviceKey: string }; assetId: string } {
  next += 1
  return { deviceKey: `d${next}`, assetId: `a${next}`, device: { productKey: PRODUCT, deviceKey: `d${next}` } }
}
async function online(deviceKey: string): Promise<TestDevice> {
  const device = new TestDevice(rig.server.mqttUrl, deviceKey)
  devices.push(device)
  return device.connected()
}
async function errorOf(promise: Promise<unknown>): Promise<DownlinkError> {
  const error = await promise.then(
    value => expect.fail(`resolved with ${JSON.stringify(value)}`),
    error => error,
  )
  expect(error).toBeInstanceOf(DownlinkError)
  return error
}
async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

/** An HTTP server that is not Downlink, for as long as `use` runs. */
async function withOther(listener: RequestListener, use: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
}

describe('commands', () => {
  it('are queued, read, and cancelled once and for all', async () => {
    const [client, { device, assetId }] = [clientOf(), fresh()]
    const sent = await client.setMeasurepoint(device, 'Int_value', 5, { pendingTtl: 600, timeout: 7 })
    expect(sent).toEqual({ commandId: expect.stringMatching(/^\d{19}$/), outputData: null })
    const { commandId } = sent
    const command = await client.get({ assetId }, commandId)
    expect(command).toMatchObject({
      ...{ commandId, assetId, ...device, orgId: ORG, state: State.created, pendingTtl: 600, timeout: 7 },
      ...{ commandType: 1, tslIdentifier: 'Int_value', inputData: 5, outputData: null },
    })
    expect(await client.record(commandId)).toMatchObject({ ...command, createdBy: APP.appKey, sentAt: null })
    const cancelled = { commandId, cancelled: true, state: State.cancelled }
    expect(await client.cancel(device, commandId)).toEqual(cancelled)
    expect(await client.cancel(device, commandId)).toEqual(cancelled)
    expect((await client.get(device, commandId)).state).toBe(State.cancelled)
  })

  it('that are instant resolve when the device has done it, with what it answered', async () => {
    const [client, { deviceKey, device }] = [clientOf(), fresh()]
    const simulated = await online(deviceKey)
    simulated.answer = ({ payload }) => ({ id: payload.id, code: 200, data: { ok: true } })
    const invoked = await client.invokeService(device, 'reboot', { delay: 3 })
    expect(invoked.outputData).toEqual({ ok: true })
    expect(simulated.received[0]?.payload.params).toEqual({ delay: 3 })
    expect((await client.setMeasurepoint(device, 'Int_value', 1)).outputData).toBeNull()
    expect(simulated.ids()).toHaveLength(2)
    const late = await client.cancel(device, invoked.commandId)
    expect(late).toEqual({ commandId: invoked.commandId, cancelled: false, state: State.succeeded })
  })

  it('are cancelled all at once only by a method of its own', async () => {
    const [client, { device }] = [clientOf(), fresh()]
    const ids: string[] = []
    for (const value of [1, 2])
      ids.push((await client.setMeasurepoint(device, 'Int_value', value, { pendingTtl: 60 })).commandId)
    for (const forgotten of [undefined, null, '', 'all', 5, ['1']])
      await expect(client.cancel(device, forgotten as unknown as string)).rejects.toThrow(/^commandId: must be a text/)
    await expect(client.get(device, undefined as unknown as string)).rejects.toThrow(TypeError)
    expect(cutter.asked('cancel')).toBe(0)
    expect((await client.cancelAll(device)).map(({ commandId, state }) => [commandId, state])).toEqual(
      ids.map(id => [id, 2]),
    )
    expect(await client.cancelAll(device)).toEqual([])
  })

  it('are for a device that is named whole', async () => {
    const client = clientOf()
    const half = [{}, { productKey: PRODUCT }, { deviceKey: 'd1' }, { assetId: '' }, { assetId: undefined }]
    const both = [
      { assetId: 'a1', deviceKey: 'd1' },
      { assetId: undefined, productKey: PRODUCT, deviceKey: 'd1' },
      { assetId: 5 },
    ]
    for (const device of [...half, ...both.filter(({ assetId }) => assetId !== undefined)])
      await expect(client.cancelAll(device as never)).rejects.toThrow(/^device: name it by/)
    expect(cutter.requests).toEqual([])
  })

  it('say what was given, or are not sent', async () => {
    const [client, { device }] = [clientOf(), fresh()]
    const send = (value: unknown) => client.setMeasurepoint(device, 'Int_value', value, { pendingTtl: 60 })
    await expect(send(undefined)).rejects.toThrow('value: is missing')
    await expect(send(1n)).rejects.toThrow('value: JSON has no BigInt')
    await expect(send(Number.NaN)).rejects.toThrow('value: JSON has no NaN')
    for (const idempotencyKey of ['', 'x'.repeat(256), 'ä', 'a\nb'])
      await expect(client.invokeService(device, 'reboot', {}, { idempotencyKey })).rejects.toThrow(/^idempotencyKey: /)
    for (const odd of [
      { pendingTtl: 0.5 },
      { timeout: Number.NaN },
      { pendingTtl: -1 },
      { timeout: Number.POSITIVE_INFINITY },
    ])
      await expect(client.invokeService(device, 'reboot', {}, odd)).rejects.toThrow(/: must be an integer from 0 to/)
    await expect(client.waitFor('1', { timeoutMs: 2 ** 31 })).rejects.toThrow('timeoutMs: must be an integer')
    await expect(client.device('..')).rejects.toThrow('assetId: must be a text, and not dots alone')
    // What cannot be kept exactly is refused by the server, in its own words.
    expect(await errorOf(send(2 ** 53))).toMatchObject({
      code: codes.invalidArgument,
      outcome: 'notDone',
      retriable: false,
    })
    expect(await all(client.search(device))).toEqual([])
  })
})

describe('search', () => {
  it('has every command once, newest first, however the pages fall', async () => {
    const [client, { device }] = [clientOf(), fresh()]
    const ids: string[] = []
    for (let value = 0; value < 7; value++)
      ids.unshift((await client.setMeasurepoint(device, 'Int_value', value, { pendingTtl: 600 })).commandId)
    for (const pageSize of [1, 2, 3, 7, 100])
      expect((await all(client.search(device, { pageSize }))).map(({ commandId }) => commandId)).toEqual(ids)
    const some = await all(client.search(device, { pageSize: 1, expression: 'state = 2 or state = 1' }))
    expect(some.map(({ commandId }) => commandId)).toEqual(ids)
    expect(await all(client.search(device, { expression: 'state = 5' }))).toEqual([])
  })

  it('misses none though what it finds ends meanwhile, and repeats none though more come', async () => {
    const [client, { device }] = [clientOf(), fresh()]
    const ids: string[] = []
    for (let value = 0; value < 6; value++)
      ids.unshift((await client.setMeasurepoint(device, 'Int_value', value, { pendingTtl: 600 })).commandId)
    const found: string[] = []
    for await (const { commandId } of client.search(device, { expression: 'state = 1', pageSize: 2 })) {
      found.push(commandId)
      await client.cancel(device, commandId)
      await client.setMeasurepoint(device, 'Int_value', 9, { pendingTtl: 600 })
    }
    expect(found).toEqual(ids)
  })

  it('is had by page for who pages by himself, with how many there are', async () => {
    const [client, { device }] = [clientOf(), fresh()]
    const ids: string[] = []
    for (let value = 0; value < 5; value++)
      ids.unshift((await client.setMeasurepoint(device, 'Int_value', value, { pendingTtl: 600 })).commandId)
    const second = await client.searchPage(device, { expression: 'state = 1', pageNo: 2, pageSize: 2 })
    expect(second.commands.map(({ commandId }) => commandId)).toEqual(ids.slice(2, 4))
    expect(second).toMatchObject({ pageNo: 2, pageSize: 2, totalSize: 5 })
    expect((await client.searchPage(device)).commands).toHaveLength(5)
    const none = { commands: [], pageNo: 4, pageSize: 2, totalSize: 5 }
    expect(await client.searchPage(device, { pageNo: 4, pageSize: 2 })).toEqual(none)
    expect(await errorOf(client.searchPage(device, { pageNo: 0 }))).toMatchObject({ code: codes.invalidArgument })
    expect(cutter.asked('search')).toBe(4)
  })

  it('ends where its reader does', async () => {
    const [client, { device }] = [clientOf(), fresh()]
    for (let value = 0; value < 3; value++)
      await client.setMeasurepoint(device, 'Int_value', value, { pendingTtl: 600 })
    for await (const _ of client.search(device, { pageSize: 1 })) break
    expect(cutter.asked('search')).toBe(1)
  })
})

describe('refusals', () => {
  it('have their code, what to do, and the command that is on record', async () => {
    const [client, { device }] = [clientOf(), fresh()]
    const inactive = await errorOf(client.setMeasurepoint(device, 'Int_value', 1))
    expect(inactive).toMatchObject({ code: codes.inactive, outcome: 'onRecord', state: State.failed, httpStatus: 200 })
    expect(inactive.commandId).toMatch(/^\d{19}$/)
    expect(inactive.message).toMatch(/^refused with 11888: .*command \d{19} is failed\. .*pendingTtl\.$/)
    expect(inactive.requestId).toMatch(/^[0-9a-f]{32}$/)
    expect(cutter.asked('setMeasurepoint')).toBe(1)
    expect(await errorOf(client.get({ assetId: 'nobody' }, '1'))).toMatchObject({ code: codes.notFound })
    expect(await errorOf(client.get(device, '1'))).toMatchObject({ code: codes.commandNotFound, commandId: null })
    expect(await errorOf(client.record('1'))).toMatchObject({ code: codes.commandNotFound })
    const reader = clientOf(READER)
    expect(await errorOf(reader.cancelAll(device))).toMatchObject({ code: codes.denied })
    const bad = await errorOf(client.setMeasurepoint(device, 'Nothing', 1, { pendingTtl: 1 }))
    expect(bad.message).toContain('Invalid Argument measurepointId')
  })

  it('of a device are its own, even with a code of the token service', async () => {
    const [client, { deviceKey, device }] = [clientOf(), fresh()]
    const simulated = await online(deviceKey)
    simulated.answer = ({ payload }) => ({ id: payload.id, code: 1203, message: 'jammed' })
    const error = await errorOf(client.invokeService(device, 'reboot'))
    expect(error).toMatchObject({ code: null, deviceCode: 1203, outcome: 'onRecord', state: State.failed })
    expect(error.message).toMatch(/^the device answered 1203: jammed; command \d{19} is failed/)
    expect(simulated.received).toHaveLength(1)
  })

  it('of other methods and paths come the same way', async () => {
    const client = clientOf()
    const device = await client.call('devices', 'get', { device: { assetId: 'a1' }, method: 'GET' })
    expect(device.data).toMatchObject({ assetId: 'a1', productKey: PRODUCT })
    expect(await errorOf(client.call('devices', 'nonsense'))).toMatchObject({ code: codes.invalidArgument })
    const answer = await client.request({ method: 'GET', path: '/v1/devices', query: { limit: 1 } })
    expect(answer).toMatchObject({ code: 0, httpStatus: 200, data: [expect.anything()] })
    expect(await errorOf(client.request({ method: 'GET', path: '/v1/nothing' }))).toMatchObject({ httpStatus: 404 })
    for (const path of ['v1/devices', '/v1/devices?limit=1', '/v1#x'])
      await expect(client.request({ method: 'GET', path })).rejects.toThrow(/^path: /)
    const forgotten = { limit: undefined } as unknown as Record<string, string>
    await expect(client.request({ method: 'GET', path: '/v1/devices', query: forgotten })).rejects.toThrow('limit: ')
  })
})

describe('views', () => {
  it('tell of devices, queues, statistics, and why something waits', async () => {
    const [client, { device, assetId }] = [clientOf(), fresh()]
    const { commandId } = await client.setMeasurepoint(device, 'Int_value', 1, { pendingTtl: 600 })
    const second = await client.setMeasurepoint(device, 'Int_value', 2, { pendingTtl: 600 })
    expect(await client.device(assetId)).toMatchObject({ assetId, ...device, status: 'inactive', waiting: 2 })
    const listed = await all(client.devices({ productKey: PRODUCT }))
    expect(listed).toHaveLength(DEVICES + 1)
    expect(new Set(listed.map(line => line.assetId)).size).toBe(DEVICES + 1)
    expect((await all(client.devices({ text: assetId, waiting: true }))).map(line => line.assetId)).toContain(assetId)
    expect((await client.topDevices('waiting', { limit: 1 }))[0]?.waiting).toBeGreaterThanOrEqual(2)
    const first = await client.devicePage({ productKey: PRODUCT, limit: 2 })
    expect(first.devices).toEqual(listed.slice(0, 2))
    const rest = await client.devicePage({ productKey: PRODUCT, after: first.next ?? 0 })
    expect([...first.devices, ...rest.devices]).toEqual(listed)
    expect([typeof first.next, rest.next]).toEqual(['number', null])
    const model = await client.thingModel(assetId)
    expect(model).toMatchObject({ modelId: 'demo', measurepoints: { Fixed: { dataType: 'INT', writable: false } } })
    expect(model?.services.reboot?.inputData).toMatchObject([{ identifier: 'delay', dataType: 'INT' }])
    const queue = await client.queue(assetId)
    expect(queue.commands.map(command => command.commandId)).toEqual([commandId, second.commandId])
    const why = await client.explain(second.commandId)
    expect(why).toMatchObject({ state: State.created, cancellable: true, ahead: 1 })
    expect(why.reasons.map(({ reason }) => reason)).toContain('behind')
    const stats = await client.stats({ stepS: 120 })
    expect(stats.now.devices).toBe(DEVICES + 1)
    expect(stats.total.accepted).toBeGreaterThanOrEqual(2)
    expect(stats.series.length).toBeGreaterThanOrEqual(30)
  })
})

describe('tokens', () => {
  it('are fetched once for all calls', async () => {
    const client = clientOf()
    await Promise.all(Array.from({ length: 20 }, (_, n) => all(client.search({ assetId: `a${n + 1}` }))))
    expect(cutter.asked(TOKEN_GET)).toBe(1)
  })

  it('that a server does not know are fetched anew, and the call is made once more', async () => {
    const config = (port: string) => {
      const args = ['--http', port, '--mqtt', '0', '--store', 'memory:', '--fleet', join(rig.folder, 'fleet.json')]
      const read = readServeConfig(args, {})
      if (!read.ok) throw new Error(read.problems.join('\n'))
      return read.config
    }
    const silent = pino({ level: 'silent' })
    let server = await startServer(config('0'), silent)
    const proxy = await Cutter.start(server.httpUrl)
    try {
      const client = clientOf({ server: proxy.url, retries: 0 })
      await all(client.search({ assetId: 'a1' }))
      await server.stop()
      server = await startServer(config(new URL(server.httpUrl).port), silent)
      const found = await Promise.all([1, 2, 3].map(n => all(client.search({ assetId: `a${n}` }))))
      expect(found).toEqual([[], [], []])
      expect(proxy.asked(TOKEN_GET)).toBe(2)
    } finally {
      await proxy.stop()
      await server.stop()
    }
  })

  it('are renewed beside the calls, before they end', async () => {
    // The server's answer to the first request says that little is left; the rest is the server's own.
    const shortly: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      if (!`${input}`.endsWith('/token/get')) return response
      const answer = (await response.json()) as { data: { expire: number } }
      answer.data.expire = 0.002
      return Response.json(answer)
    }
    let now = Date.now()
    const client = clientOf({ fetch: shortly, now: () => now })
    /** The token that a search was signed with. */
    const signedWith = async () => {
      await all(client.search({ assetId: 'a1' }))
      const last = cutter.requests.findLast(({ what }) => what === 'search')
      const [, token = ''] = /apim-accesstoken: (\S+)/i.exec(last?.text ?? '') ?? []
      return token
    }
    const first = await signedWith()
    expect(first).not.toBe('')
    now += 1
    while ((await signedWith()) === first) await new Promise(resolve => setImmediate(resolve))
    const refresh = TOKEN_GET.replace('get', 'refresh')
    now += 60_000
    // By what the first answer said there is none any more; the renewed one is good for long.
    await all(client.search({ assetId: 'a1' }))
    expect([cutter.asked(TOKEN_GET), cutter.asked(refresh)]).toEqual([1, 1])
  })

  it('are not had with a wrong secret or an unknown key: nothing was called', async () => {
    const wrong = await errorOf(all(clientOf({ appSecret: 'hunter2' }).search({ assetId: 'a1' })))
    expect(wrong).toBeInstanceOf(NoToken)
    expect(wrong).toMatchObject({ code: codes.badSignature, outcome: 'notDone', retriable: false })
    expect(wrong.message).toMatch(/^the server gave no token: 1003 .*Check the appSecret/)
    const unknown = await errorOf(all(clientOf({ appKey: 'nobody' }).search({ assetId: 'a1' })))
    expect(unknown).toMatchObject({ code: codes.unknownApp })
    expect(cutter.asked('search')).toBe(0)
    expect(JSON.stringify([wrong, unknown]) + wrong.stack).not.toMatch(new RegExp(`hunter2|${APP.appSecret}`))
  })

  it('are not had by a clock that is wrong, and that is said', async () => {
    const ahead = await errorOf(all(clientOf({ now: () => Date.now() + 1_200_000 }).search({ assetId: 'a1' })))
    expect(ahead.message).toMatch(/The clock of this machine is 1(199|200|201) s ahead of the server’s\.$/)
    const behind = await errorOf(all(clientOf({ now: () => Date.now() - 1_200_000 }).search({ assetId: 'a1' })))
    expect(behind.message).toMatch(/s behind the server’s\.$/)
    let now = Date.now()
    const client = clientOf({ now: () => now })
    await all(client.search({ assetId: 'a1' }))
    now += 1_200_000
    const later = await errorOf(all(client.search({ assetId: 'a1' })))
    expect(later).toMatchObject({ code: codes.badSignature, httpStatus: 401 })
    expect(later.message).toMatch(/s ahead of the server’s\.$/)
  })

  it('are not given up because the call that asked first was', async () => {
    const client = clientOf()
    const controller = new AbortController()
    const reason = new Error('enough')
    cutter.fault = ({ what }) => {
      if (what === TOKEN_GET) controller.abort(reason)
      return 'pass'
    }
    const { device } = fresh()
    const first = all(client.search(device, { signal: controller.signal }))
    const second = all(client.search(device))
    await expect(first).rejects.toBe(reason)
    expect(await second).toEqual([])
    expect(cutter.asked(TOKEN_GET)).toBe(1)
  })
})

describe('a network that breaks', () => {
  const faults = ['refuse', 'swallow', 'half'] as const
  /** so that nothing waits */
  const pauses: number[] = []
  const sleep = async (ms: number) => void pauses.push(ms)
  afterEach(() => void pauses.splice(0))
  const failing = (what: string, fault: (typeof faults)[number], times: number) => {
    cutter.fault = asked => (asked.what === what && cutter.asked(what) <= times ? fault : 'pass')
  }

  it.each(faults)('does not send a command twice: %s', async fault => {
    const [client, { device }] = [clientOf({ sleep }), fresh()]
    failing('setMeasurepoint', fault, 3)
    const { commandId } = await client.setMeasurepoint(device, 'Int_value', 1, { pendingTtl: 600 })
    expect(cutter.asked('setMeasurepoint')).toBe(4)
    expect((await all(client.search(device))).map(command => command.commandId)).toEqual([commandId])
    expect(pauses).toEqual([100, 200, 400])
  })

  it('does not execute an instant command twice, and its answer comes with the repeat', async () => {
    const [client, { deviceKey, device }] = [clientOf({ sleep }), fresh()]
    const simulated = await online(deviceKey)
    simulated.answer = ({ payload }) => ({ id: payload.id, code: 200, data: { ok: true } })
    failing('invokeService', 'swallow', 2)
    expect((await client.invokeService(device, 'reboot', { delay: 1 })).outputData).toEqual({ ok: true })
    expect(simulated.ids()).toHaveLength(1)
  })

  it.each(faults)('loses no read, and no cancel of one command: %s', async fault => {
    const [client, { device }] = [clientOf({ sleep }), fresh()]
    const { commandId } = await client.setMeasurepoint(device, 'Int_value', 1, { pendingTtl: 600 })
    for (const what of ['get', 'search', 'cancel', TOKEN_GET]) {
      failing(what, fault, cutter.asked(what) + 2)
      if (what === 'get') expect((await client.get(device, commandId)).commandId).toBe(commandId)
      if (what === 'search') expect(await all(client.search(device))).toHaveLength(1)
      if (what === 'cancel') expect((await client.cancel(device, commandId)).cancelled).toBe(true)
      if (what === TOKEN_GET) expect(await all(clientOf({ sleep }).search(device))).toHaveLength(1)
    }
  })

  it('cancels all no second time, and says that it may have been done', async () => {
    const [client, { device }] = [clientOf({ sleep }), fresh()]
    await client.setMeasurepoint(device, 'Int_value', 1, { pendingTtl: 600 })
    failing('cancel', 'swallow', 1)
    const error = await errorOf(client.cancelAll(device))
    expect(error).toBeInstanceOf(NoAnswer)
    expect(error).toMatchObject({ why: 'lost', outcome: 'unknown', retriable: false, code: null })
    expect(cutter.asked('cancel')).toBe(1)
    expect((await all(client.search(device))).map(({ state }) => state)).toEqual([State.cancelled])
  })

  it('ends a call after so many repeats, with the key under which it may be repeated', async () => {
    const [client, { device }] = [clientOf({ sleep, retries: 2 }), fresh()]
    failing('setMeasurepoint', 'swallow', 3)
    const error = await errorOf(client.setMeasurepoint(device, 'Int_value', 1, { pendingTtl: 600 }))
    expect(cutter.asked('setMeasurepoint')).toBe(3)
    expect(error).toMatchObject({ why: 'lost', outcome: 'unknown', retriable: true })
    const idempotencyKey = error.idempotencyKey ?? ''
    expect(idempotencyKey).toMatch(/^[0-9a-f]{32}$/)
    const again = { pendingTtl: 600, idempotencyKey }
    const { commandId } = await client.setMeasurepoint(device, 'Int_value', 1, again)
    expect((await all(client.search(device))).map(command => command.commandId)).toEqual([commandId])
    const other = await errorOf(client.setMeasurepoint(device, 'Int_value', 2, again))
    expect(other).toMatchObject({ code: codes.keyReused, httpStatus: 409, outcome: 'notDone', retriable: false })
  })

  it('is told at once with retries: 0', async () => {
    const [client, { device }] = [clientOf({ sleep, retries: 0 }), fresh()]
    failing('get', 'refuse', 1)
    expect(await errorOf(client.get(device, '1'))).toMatchObject({ why: 'lost', outcome: 'notDone' })
    expect(pauses).toEqual([])
  })

  it('may be a server that is not there: nothing was sent', async () => {
    const urls: string[] = []
    await withOther(
      () => undefined,
      async url => void urls.push(url),
    )
    const client = clientOf({ server: urls[0] ?? '', sleep, retries: 1 })
    const error = await errorOf(client.cancelAll({ assetId: 'a1' }))
    expect(error).toMatchObject({ why: 'lost', outcome: 'notDone', retriable: true })
    expect(error.message).toContain('ECONNREFUSED')
    expect(pauses).toHaveLength(1)
  })

  it('waits as long as a server asks for that is overloaded, and no longer than is bearable', async () => {
    let asked = 0
    let seconds = '3'
    const busy = JSON.stringify({ code: 99503, msg: 'Service unavailable', requestId: 'r', data: null })
    const listener: RequestListener = (_, response) => {
      asked += 1
      if (asked % 3 > 0) response.writeHead(503, { 'retry-after': seconds }).end(busy)
      else response.end(JSON.stringify({ code: 0, msg: 'OK', requestId: 'r', data: [] }))
    }
    await withOther(listener, async server => {
      const client = new Downlink({ server, orgId: ORG, open: true, sleep, random: () => 0 })
      // Nothing was stored, says the server: so even this is repeated.
      expect(await client.cancelAll({ assetId: 'a1' })).toEqual([])
      expect(pauses).toEqual([3_000, 3_000])
      seconds = '3600'
      const error = await errorOf(client.cancelAll({ assetId: 'a1' }))
      expect(error).toMatchObject({ code: codes.unavailable, retryAfterMs: 3_600_000, httpStatus: 503 })
      expect(asked).toBe(4)
    })
  })

  it('does not repeat what left a command on record, though its code is retriable', async () => {
    let asked = 0
    const data = { commandId: '2278935391225618432', state: 1 }
    const stopping = JSON.stringify({ code: 99503, msg: 'stopping', requestId: 'r', data })
    const listener: RequestListener = (_, response) => {
      asked += 1
      response.writeHead(503, { 'retry-after': '1' }).end(stopping)
    }
    await withOther(listener, async server => {
      const client = new Downlink({ server, orgId: ORG, open: true, sleep })
      const error = await errorOf(client.invokeService({ assetId: 'a1' }, 'reboot'))
      expect(error).toMatchObject({ ...data, outcome: 'onRecord', retriable: true })
      expect(asked).toBe(1)
    })
  })

  it('has cancelled what it could tell no more about', async () => {
    const data = [{ commandId: '2278935391225618432', state: 2 }]
    const unseen = JSON.stringify({ code: 99503, msg: 'cancelled, as data says', requestId: 'r', data })
    await withOther(
      (_, response) => response.writeHead(503).end(unseen),
      async server => {
        const client = new Downlink({ server, orgId: ORG, open: true, sleep })
        const one = await client.cancel({ assetId: 'a1' }, '2278935391225618432')
        expect(one).toEqual({ commandId: '2278935391225618432', cancelled: true, state: 2 })
        expect(await errorOf(client.cancelAll({ assetId: 'a1' }))).toMatchObject({ data, outcome: 'onRecord' })
      },
    )
  })
})

describe('cancelling by filter', () => {
  it('says of every command what came of it, and nothing means everything only where it says so', async () => {
    const client = clientOf()
    const [here, there] = [fresh(), fresh()]
    const ids: string[] = []
    for (const { device } of [here, there, here])
      ids.push((await client.invokeService(device, 'reboot', {}, { pendingTtl: 600 })).commandId)
    const other = await client.setMeasurepoint(here.device, 'Int_value', 1, { pendingTtl: 600 })
    const filter = { assetIds: [here.assetId, there.assetId], serviceId: 'reboot' }
    const ended = async (cancellationId: string) => {
      for (;;) {
        const cancellation = await client.cancellations.get(cancellationId)
        if (cancellation.status === 'ended') return cancellation
        await new Promise(resolve => setImmediate(resolve))
      }
    }
    const tried = await client.cancellations.create(filter, { dryRun: true })
    expect(await ended(tried.cancellationId)).toMatchObject({ dryRun: true, matched: 3, cancelled: 3, filter })
    const made = await client.cancellations.create(filter)
    expect(await ended(made.cancellationId)).toMatchObject({ matched: 3, cancelled: 3, notCancelled: 0, undecided: 0 })
    const items = await all(client.cancellations.items(made.cancellationId))
    expect(items.map(({ commandId, outcome }) => [commandId, outcome])).toEqual(ids.sort().map(id => [id, 'cancelled']))
    expect((await client.record(other.commandId)).state).toBe(State.created)
    const listed = await all(client.cancellations.list())
    expect(listed.map(({ cancellationId }) => cancellationId)).toEqual([made.cancellationId, tried.cancellationId])
    const over = await errorOf(client.cancellations.stop(made.cancellationId))
    expect(over).toMatchObject({ code: codes.isOver, outcome: 'notDone', retriable: false })
    expect(await errorOf(client.cancellations.create({}))).toMatchObject({ code: codes.invalidArgument })
    await expect(client.cancellations.stop('')).rejects.toThrow('cancellationId: must be a text')
  })
})

describe('jobs', () => {
  it('do one command on many devices, and say how each went', async () => {
    const client = clientOf()
    const [here, away] = [fresh(), fresh()]
    const device = await online(here.deviceKey)
    device.answer = ({ payload }) => ({ id: payload.id, code: 200, data: { ok: true } })
    const jobId = await client.jobs.create({
      name: { defaultValue: 'Restart', i18nValue: {} },
      desc: 'after the update',
      targetScope: { targetType: 'device_list', targetDevices: [here.device, { assetId: away.assetId }] },
      commandInfo: {
        commandType: 'SERVICE_INVOKE',
        serviceInvokeInfo: { serviceId: 'reboot', inputData: { delay: 1 } },
      },
      schedulePolicy: { scheduleType: 'DISPOSABLE' },
      timeoutPolicy: { ttlTimeoutInSeconds: 600 },
    })
    expect(await client.jobs.get(jobId)).toMatchObject({ jobId, orgId: ORG, desc: 'after the update' })
    const statuses = async () => (await all(client.jobs.tasks(jobId))).map(({ status }) => status)
    while (`${await statuses()}` !== 'SUCCEED,QUEUED') await new Promise(resolve => setTimeout(resolve, 20))
    const [done, waiting] = await all(client.jobs.tasks(jobId))
    expect(done).toMatchObject({ assetId: here.assetId, taskResult: { code: 0, outputData: { ok: true } } })
    expect(await client.jobs.task(waiting?.taskId ?? '')).toEqual(waiting)
    expect(await client.jobs.statistics(jobId)).toMatchObject({ total: 2, succeed: 1, queued: 1 })
    const cancelled = await client.jobs.cancel(jobId, [waiting?.taskId ?? '', done?.taskId ?? ''])
    expect(cancelled.map(({ code }) => code)).toEqual([0, codes.isOver])
    expect(await all(client.jobs.tasks(jobId, { expression: "status = 'CANCELLED'" }))).toHaveLength(1)
    const retried = await client.jobs.retry(jobId, [waiting?.taskId ?? ''])
    expect(retried).toEqual([{ taskId: waiting?.taskId, code: 0, msg: 'OK' }])
    expect((await all(client.jobs.search())).map(job => job.jobId)).toContain(jobId)
    const { finished } = await client.jobs.delete(jobId)
    expect(finished).toBe(true)
    expect(await errorOf(client.jobs.get(jobId))).toMatchObject({ code: codes.notFound })
    for (const odd of ['', "x' or jobId = 'y"]) {
      await expect(client.jobs.get(odd)).rejects.toThrow('jobId: must be an id')
      expect(() => client.jobs.tasks(odd)).toThrow('jobId: must be an id')
    }
  })
})

/** No pause ends by itself: only what the stream tells does. */
const never: NonNullable<DownlinkOptions['sleep']> = (_, signal) =>
  new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason), { once: true }))

describe('waiting', () => {
  const looksAt = (commandId: string) => cutter.asked(`/v1/commands/${commandId}`)
  const until = async (holds: () => boolean) => {
    while (!holds()) await new Promise(resolve => setImmediate(resolve))
  }

  it('ends by what the stream tells, after two or three looks', async () => {
    const [client, { deviceKey, device }] = [clientOf({ sleep: never }), fresh()]
    const { commandId } = await client.setMeasurepoint(device, 'Int_value', 1, { pendingTtl: 600 })
    const waiting = client.waitFor(commandId)
    await until(() => looksAt(commandId) === 2)
    await online(deviceKey)
    expect(await waiting).toMatchObject({ commandId, state: State.succeeded, code: 0 })
    expect(looksAt(commandId)).toBe(3)
    // What is over already needs no stream.
    expect((await client.waitFor(commandId)).state).toBe(State.succeeded)
    expect(cutter.asked('/v1/events')).toBe(1)
  })

  it('ends by looking where there is no stream', async () => {
    const pauses: number[] = []
    const sleep = async (ms: number) => {
      pauses.push(ms)
      if (pauses.length === 3) await client.cancel(device, commandId)
    }
    const [client, { device }] = [clientOf({ sleep, retries: 0 }), fresh()]
    cutter.fault = ({ what }) => (what === '/v1/events' ? 'refuse' : 'pass')
    const { commandId } = await client.setMeasurepoint(device, 'Int_value', 1, { pendingTtl: 600 })
    expect((await client.waitFor(commandId)).state).toBe(State.cancelled)
    expect(pauses).toEqual([250, 500, 1_000])
  })

  it('goes on where a stream breaks off', async () => {
    const [client, { device }] = [
      clientOf({ sleep: (ms, signal) => (ms < 250 ? Promise.resolve() : never(ms, signal)) }),
      fresh(),
    ]
    const { commandId } = await client.setMeasurepoint(device, 'Int_value', 1, { pendingTtl: 600 })
    const waiting = client.waitFor(commandId)
    await until(() => looksAt(commandId) === 2)
    cutter.cut()
    await until(() => cutter.asked('/v1/events') === 2)
    await clientOf().cancel(device, commandId)
    expect((await waiting).state).toBe(State.cancelled)
  })

  it('has few streams, however many are waited for', async () => {
    const client = clientOf()
    const ids: string[] = []
    const { device } = fresh()
    for (let value = 0; value < 5; value++)
      ids.push((await client.setMeasurepoint(device, 'Int_value', value, { pendingTtl: 600 })).commandId)
    const waiting = Promise.all(ids.map(id => client.waitFor(id)))
    await until(() => ids.every(id => looksAt(id) > 0) && cutter.asked('/v1/events') === 2)
    await client.cancelAll(device)
    expect((await waiting).map(({ state }) => state)).toEqual(ids.map(() => State.cancelled))
    expect(cutter.asked('/v1/events')).toBe(2)
  })

  it('ends with its time, and says what is left to do', async () => {
    const [client, { device }] = [clientOf(), fresh()]
    const { commandId } = await client.setMeasurepoint(device, 'Int_value', 1, { pendingTtl: 600 })
    const error = await errorOf(client.waitFor(commandId, { timeoutMs: 50 }))
    expect(error).toMatchObject({ name: 'NoAnswer', why: 'late', outcome: 'notDone' })
    expect(error.message).toMatch(/^command \d{19} was not over in 50 ms; it is created\. Ask why it waits/)
    expect(await errorOf(client.waitFor('1'))).toMatchObject({ code: codes.commandNotFound })
    const reason = new Error('enough')
    await expect(client.waitFor(commandId, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})

describe('events', () => {
  it('come each once, in order, over a connection that is cut again and again', async () => {
    const [client, { device, assetId }] = [clientOf({ sleep: async () => undefined }), fresh()]
    const helper = clientOf({ server: rig.server.httpUrl })
    const { next } = await client.changes({ from: 'now', limit: 1 })
    const sent: string[] = []
    const seen: { seq: number; commandId: string | null; to: number | null }[] = []
    const controller = new AbortController()
    const sending = (async () => {
      for (let value = 0; value < 20; value++) {
        const { commandId } = await helper.setMeasurepoint(device, 'Int_value', value, { pendingTtl: 600 })
        await helper.cancel(device, commandId)
        sent.push(commandId)
      }
    })().catch(error => controller.abort(error))
    for await (const { seq, commandId, to } of client.events({ assetId, after: next, signal: controller.signal })) {
      seen.push({ seq, commandId, to })
      if (seen.length % 7 === 0) cutter.cut()
      if (seen.length === 40) break
    }
    await sending
    expect(seen.map(({ seq }) => seq)).toEqual(Array.from({ length: 40 }, (_, n) => n + 1))
    expect(seen.map(({ commandId, to }) => `${commandId} ${to}`)).toEqual(sent.flatMap(id => [`${id} 1`, `${id} 2`]))
    expect(cutter.asked('/v1/events')).toBeGreaterThan(3)
  })

  it('say when they are followed, and each time that they are not', async () => {
    const [client, { device, assetId }] = [clientOf({ sleep: async () => undefined, retries: 1 }), fresh()]
    const { commandId } = await client.setMeasurepoint(device, 'Int_value', 1, { pendingTtl: 600 })
    const { next } = await client.changes({ assetId })
    const told: string[] = []
    const helper = clientOf({ server: rig.server.httpUrl })
    const onOpen = () => {
      told.push('open')
      if (told.length === 1) cutter.cut()
      else void helper.cancel(device, commandId)
    }
    const onLost = (error: unknown) => {
      told.push(error instanceof NoAnswer ? `lost: ${error.why}` : `lost: ${error}`)
      // Broken off, and then not to be had again twice; then it is.
      if (told.length === 2) cutter.fault = () => 'refuse'
      if (told.length === 4) cutter.fault = () => 'pass'
    }
    for await (const { state } of client.events({ assetId, after: next, onOpen, onLost })) {
      told.push(`${state}`)
      if (told.length > 5) break
    }
    expect(told).toEqual(['open', 'lost: lost', 'lost: lost', 'lost: lost', 'open', 'cancelled'])
    expect((await client.get(device, commandId)).state).toBe(State.cancelled)
  })

  it('are asked for once after each pause, which grows, and is as long as the server says where it says so', async () => {
    const asked: string[] = []
    const controller = new AbortController()
    const answers = ['busy', 'away', 'away', 'stream', 'away', 'away', 'busy', 'away']
    const listener: RequestListener = (_, response) => {
      const what = answers[asked.length] ?? 'away'
      asked.push(what)
      if (what === 'away') response.destroy()
      else if (what === 'busy') response.writeHead(429, { 'retry-after': '7' }).end('{"code":99503,"msg":"busy"}')
      else response.writeHead(200, { 'content-type': 'text/event-stream' }).end()
    }
    await withOther(listener, async server => {
      const pauses: [number, number][] = []
      const sleep = async (ms: number) => {
        pauses.push([asked.length, ms])
        if (asked.length === answers.length) controller.abort(new Error('enough'))
      }
      const client = new Downlink({ server, orgId: ORG, open: true, retries: 2, sleep, random: () => 0 })
      const following = client.events({ untilOpen: true, signal: controller.signal })
      await expect(all(following)).rejects.toThrow('enough')
      expect(pauses).toEqual(
        [1, 2, 3, 4, 5, 6, 7, 8].map((n, i) => [n, [7_000, 200, 400, 800, 1_600, 3_200, 7_000, 5_000][i]]),
      )
      // Unless it was asked for, opening it the first time is a call like any other.
      asked.splice(0, asked.length)
      pauses.splice(0)
      answers.fill('away')
      expect(await errorOf(all(client.events()))).toMatchObject({ why: 'lost' })
      expect([asked.length, pauses.length]).toEqual([3, 2])
    })
  })

  it('are not followed on where the caller is let in no more, or the signal says so: that is thrown, and not told', async () => {
    const refusal = JSON.stringify({ code: 1203, status: 1203, msg: 'ended', requestId: 'r', data: null })
    let asked = 0
    const listener: RequestListener = (_, response) => {
      asked += 1
      if (asked > 1) response.writeHead(401).end(refusal)
      else response.writeHead(200, { 'content-type': 'text/event-stream' }).end('id: a\nevent: cursor\ndata: {}\n\n')
    }
    const told: string[] = []
    const callbacks = { onOpen: () => void told.push('open'), onLost: () => void told.push('lost') }
    await withOther(listener, async server => {
      const client = new Downlink({ server, orgId: ORG, operatorToken: TOKEN, sleep: async () => undefined })
      const error = await errorOf(all(client.events(callbacks)))
      expect(error).toBeInstanceOf(NoToken)
      expect(error.next).toContain('downlink console token')
      expect([told, asked]).toEqual([['open', 'lost'], 2])
    })
    const controller = new AbortController()
    const onOpen = () => controller.abort(new Error('enough'))
    const events = clientOf().events({ ...callbacks, onOpen, signal: controller.signal })
    await expect(all(events)).rejects.toThrow('enough')
    expect(told).toEqual(['open', 'lost'])
  })

  it('can be had by page, in the same words', async () => {
    const [client, { device, assetId }] = [clientOf(), fresh()]
    const { commandId } = await client.setMeasurepoint(device, 'Int_value', 1, { pendingTtl: 600 })
    await client.cancel(device, commandId)
    const first = await client.changes({ assetId, limit: 1 })
    expect(first.events.map(({ state }) => state)).toEqual(['created'])
    const second = await client.changes({ assetId, after: first.next })
    expect(second.events).toMatchObject([{ commandId, from: 1, to: 2, by: APP.appKey, command: { commandType: 1 } }])
    for await (const event of client.events({ assetId, after: first.next })) {
      expect(event).toEqual(second.events[0])
      break
    }
    const only = await client.changes({ assetId, states: [State.created] })
    expect(only.events.map(({ to }) => to)).toEqual([State.created])
  })

  it('are refused where some would be missed, and where a cursor is none', async () => {
    const client = clientOf()
    const ahead = Buffer.from([1, 0, 4, 0, 0, 0, 0, 0, 0]).toString('base64url')
    const read = (after: string) => errorOf(all(client.events({ after })))
    expect(await read(ahead)).toMatchObject({ code: codes.cursorGone, httpStatus: 410, retriable: false })
    expect(await read('yesterday')).toMatchObject({ code: codes.invalidArgument })
    expect(cutter.asked('/v1/events')).toBe(2)
  })

  it('end where the server says that what comes next is gone', async () => {
    const listener: RequestListener = (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream;charset=UTF-8' })
      response.end('id: AAAAAAAAAAAB\nevent: cursor\ndata: {}\n\nevent: gone\ndata: {"code":99411}\n\n')
    }
    await withOther(listener, async server => {
      const client = new Downlink({ server, orgId: ORG, open: true })
      expect(await errorOf(all(client.events()))).toMatchObject({ code: codes.cursorGone, outcome: 'notDone' })
    })
  })

  it('are followed on from the last cursor, also of a time in which nothing happened', async () => {
    const asked: (string | undefined)[] = []
    const controller = new AbortController()
    const listener: RequestListener = (request, response) => {
      asked.push(String(request.headers['last-event-id'] ?? ''))
      if (asked.length === 3) controller.abort(new Error('enough'))
      response
        .writeHead(200, { 'content-type': 'text/event-stream' })
        .end(`id: cursor${asked.length}\nevent: cursor\ndata: {}\n\n`)
    }
    await withOther(listener, async server => {
      const client = new Downlink({ server, orgId: ORG, open: true, sleep: async () => undefined })
      await expect(all(client.events({ signal: controller.signal }))).rejects.toThrow('enough')
      expect(asked).toEqual(['', 'cursor1', 'cursor2'])
    })
  })

  it('end with the first break with retries: 0, and with what is no stream of events', async () => {
    const { assetId } = fresh()
    const client = clientOf({ retries: 0 })
    const following = errorOf(all(client.events({ assetId })))
    while (cutter.asked('/v1/events') === 0) await new Promise(resolve => setImmediate(resolve))
    cutter.cut()
    expect(await following).toMatchObject({ name: 'NoAnswer', why: 'lost', retriable: true })
    const listener: RequestListener = (_, response) => response.end('{"code":0,"msg":"OK","data":null}')
    await withOther(listener, async server => {
      const other = new Downlink({ server, orgId: ORG, open: true })
      expect(await errorOf(all(other.events()))).toMatchObject({ why: 'foreign', retriable: false })
    })
  })
})

describe('a signal', () => {
  const reason = new Error('enough')

  it('ends a call that waits for its device, which ends as it would have', async () => {
    const [client, { deviceKey, device }] = [clientOf(), fresh()]
    const simulated = await online(deviceKey)
    simulated.answer = () => undefined
    const controller = new AbortController()
    const call = client.invokeService(device, 'reboot', {}, { timeout: 1, signal: controller.signal })
    const ended = expect(call).rejects.toBe(reason)
    await simulated.count(1)
    controller.abort(reason)
    await ended
    const [command] = await all(client.search(device))
    expect((await client.waitFor(command?.commandId ?? '')).state).toBe(State.timedOut)
  })

  it('ends the pause before a repeat, and calls before they begin', async () => {
    const controller = new AbortController()
    cutter.fault = ({ what }) => {
      if (what !== 'get') return 'pass'
      setImmediate(() => controller.abort(reason))
      return 'refuse'
    }
    const client = clientOf({ random: () => 1 })
    await expect(client.get({ assetId: 'a1' }, '1', { signal: controller.signal })).rejects.toBe(reason)
    const asked = cutter.requests.length
    await expect(client.get({ assetId: 'a1' }, '1', { signal: controller.signal })).rejects.toBe(reason)
    expect(cutter.requests).toHaveLength(asked)
  })
})

describe('a client', () => {
  it.each([
    [{ server: 'ftp://x' }, /^server: must be a URL/],
    [{ server: 'http://u:p@x' }, /^server: .*without user/],
    [{ server: 'x' }, /^server: /],
    [{ orgId: '' }, /^orgId: /],
    [{ appSecret: undefined }, /^appSecret: must be a text; .*say open: true/],
    [{ appKey: '' }, /^appKey: /],
    [{ open: true }, /^open: goes without appKey, appSecret and operatorToken/],
    [{ operatorToken: TOKEN }, /^operatorToken: goes without appKey and appSecret/],
    [{ appKey: undefined, appSecret: undefined, operatorToken: TOKEN, open: true }, /^open: goes without/],
    [{ appKey: undefined, appSecret: undefined, operatorToken: APP.appSecret }, /^operatorToken: must be dlo_ and 43/],
    [{ appKey: undefined, appSecret: undefined, operatorToken: `${TOKEN}\n` }, /^operatorToken: must be dlo_ and 43/],
    [{ appKey: undefined, appSecret: undefined, operatorToken: '' }, /^operatorToken: must be dlo_ and 43/],
    [{ retries: -1 }, /^retries: /],
    [{ retries: 1.5 }, /^retries: /],
  ])('that makes no sense is not made: %j', (wrong, said) => {
    expect(() => clientOf(wrong as Partial<DownlinkOptions>)).toThrow(said)
    expect(() => clientOf(wrong as Partial<DownlinkOptions>)).toThrow(TypeError)
  })

  it('signs nothing in open mode, and takes a server behind a path', async () => {
    const open = await startRig(['--auth', 'open'])
    const asked: string[] = []
    const prefixed: typeof fetch = (input, init) => {
      asked.push(`${input}`)
      expect(Object.keys(init?.headers ?? {}).filter(name => name.startsWith('apim-'))).toEqual([])
      return fetch(`${input}`.replace('/prefix/', '/'), init)
    }
    try {
      const client = new Downlink({ server: `${open.server.httpUrl}/prefix/`, orgId: ORG, open: true, fetch: prefixed })
      expect(await all(client.search({ assetId: 'oxWwM9i5' }))).toEqual([])
      expect(asked[0]).toContain('/prefix/connect-service/v2.1/commands?')
    } finally {
      await open.stop()
    }
  })
})
