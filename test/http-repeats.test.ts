// Safe retries over HTTP: a call with an Idempotency-Key that comes again is answered like the first, and done once.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { State } from '../src/core/command.ts'
import { REPEATS_KEPT_MS } from '../src/core/limits.ts'
import { RecordingLink } from './rig/engine.ts'
import { type AppRig, BY_PRODUCT, startApp, unchanged } from './rig/http.ts'
import { jsonOf, rawCall, request } from './rig/raw.ts'
import { type Answer, Application, ORG, PRODUCT, startRig } from './rig/server.ts'

type Params = Record<string, string>

let rig: AppRig
beforeEach(async () => {
  rig = await startApp()
})
afterEach(() => rig.stop())

const idOf = async (assetId: string): Promise<number> => {
  const device = await rig.store.deviceByAsset(assetId)
  if (device === null) throw new Error(`no device ${assetId}`)
  return device.id
}

/** A device that takes commands and answers when the test says so. */
async function connect(assetId = 'a1'): Promise<RecordingLink> {
  const link = new RecordingLink()
  const answer = await rig.engine.connect(await idOf(assetId), link)
  if (!answer.ok) throw new Error(answer.message)
  return link
}

async function reply(commandId: string, over: object = {}, assetId = 'a1'): Promise<void> {
  await rig.engine.apply(await idOf(assetId), {
    ...{ type: 'reply', commandId, code: 200, deviceCode: '200', message: null, outputJson: '{"ok":true}' },
    ...over,
  })
}

interface Sending {
  readonly key?: string | null
  readonly app?: Application
}
const send = (params: Params, body: unknown, { key = 'k', app = rig.app }: Sending = {}): Promise<Answer> =>
  app.call({ orgId: ORG, assetId: 'a1', ...params }, { body, headers: key === null ? {} : { 'idempotency-key': key } })
const set = (value: unknown, params: Params = {}, sending: Sending = {}) =>
  send({ action: 'setMeasurepoint', measurepointId: 'Int_value', pendingTtl: '600', ...params }, { value }, sending)
const invoke = (inputData: unknown, params: Params = {}, sending: Sending = {}) =>
  send({ action: 'invokeService', serviceId: 'reboot', ...params }, { inputData }, sending)

const onRecord = async (assetId = 'a1') => (await rig.store.search(await idOf(assetId), null, 0, 100)).rows
/** An answer without what tells one call from another. */
const said = ({ status, code, msg, data }: Answer) => ({ status, code, msg, data })
/** Resolves once so many callers wait. */
async function untilWaiting(count: number): Promise<void> {
  while (rig.engine.gauges().waiters < count) await new Promise(resolve => setImmediate(resolve))
}

/** Makes the same call again, which must be answered like the first and change nothing. */
async function repeats(first: Answer, again: () => Promise<Answer>): Promise<void> {
  const repeat = await unchanged(rig.app, again)
  expect(said(repeat)).toEqual(said(first))
  expect(repeat.requestId).not.toBe(first.requestId)
}

describe('a call that is repeated with its key', () => {
  it('is answered with the commandId of the first where it is cached, whatever became of that', async () => {
    const first = await set(1)
    expect(first).toMatchObject({ code: 0, data: { commandId: expect.stringMatching(/^\d{19}$/) } })
    await repeats(first, () => set(1))
    await connect()
    await rig.engine.apply(await idOf('a1'), { type: 'ready' })
    await repeats(first, () => set(1))
    await reply(first.data.commandId, { code: 405, deviceCode: '405' })
    await repeats(first, () => set(1))
    expect(await onRecord()).toHaveLength(1)
  })

  it('is a call of its own without the key, with an empty body too', async () => {
    const ids = new Set<string>()
    for (const key of [null, 'k', null]) ids.add((await set(1, {}, { key })).data.commandId)
    expect(ids.size).toBe(3)
    const service = { serviceId: 'reboot', pendingTtl: '60' }
    const answers = [1, 2].map(() => send({ action: 'invokeService', ...service }, undefined, { key: 'empty' }))
    const [one, other] = await Promise.all(answers)
    expect(said(one!)).toEqual(said(other!))
  })

  it.each([
    ['never active', 't1', 11888, 'device not activated, instant command cannot be sent'],
    ['offline', 'a1', 11900, 'device offline, instant command cannot be sent'],
  ])('is refused again as it was: %s', async (how, assetId, code, msg) => {
    const params = { assetId, measurepointId: how === 'offline' ? 'Int_value' : 'Int', pendingTtl: '0' }
    if (how === 'offline') {
      await connect()
      await rig.engine.disconnect(await idOf('a1'), 1, 'closed')
    }
    const first = await set(1, params)
    expect(first).toMatchObject({ code, msg, data: { commandId: expect.any(String), state: State.failed } })
    // It comes back: a new call would be sent.
    await connect(assetId)
    await repeats(first, () => set(1, params))
    expect(await onRecord(assetId)).toHaveLength(1)
  })

  it('is refused again as it was: the queue full', async () => {
    await rig.app.on({ assetId: 'a1' }).queue(50)
    const first = await set(1)
    expect(first).toMatchObject({ code: 11902, data: { state: State.failed } })
    await rig.app.on({ assetId: 'a1' }).cancel()
    await repeats(first, () => set(1))
  })

  it('has the outputs of an instant service again', async () => {
    const link = await connect()
    const call = invoke({ delay: 1 })
    await untilWaiting(1)
    await reply(link.published[0]!.commandId)
    const first = await call
    expect(first).toMatchObject({ code: 0, data: { outputData: { ok: true } } })
    await repeats(first, () => invoke({ delay: 1 }))
    expect(link.published).toHaveLength(1)
  })

  it.each([
    ['an error of the device', { code: 405, deviceCode: '405', message: 'no' }, { code: 405, msg: 'no' }],
    ['an error that is no integer', { code: null, deviceCode: 'E-STOP' }, { code: 99500 }],
  ])('has %s again', async (_, said, expected) => {
    const link = await connect()
    const call = set(1, { pendingTtl: '0' })
    await untilWaiting(1)
    await reply(link.published[0]!.commandId, { outputJson: null, ...said })
    const first = await call
    const deviceCode = said.code ?? said.deviceCode
    expect(first).toMatchObject({ ...expected, data: { state: State.failed, deviceCode } })
    await repeats(first, () => set(1, { pendingTtl: '0' }))
  })

  it('is told again that it was not answered in time (11915), also where an answer came after that', async () => {
    const link = await connect()
    const call = set(1, { pendingTtl: '0', timeout: '5' })
    await untilWaiting(1)
    await rig.advance(5_000)
    const first = await call
    expect(first).toMatchObject({ code: 11915, data: { state: State.timedOut } })
    await reply(link.published[0]!.commandId)
    const repeat = await set(1, { pendingTtl: '0', timeout: '5' })
    expect(said(repeat)).toEqual(said(first))
    expect(link.published).toHaveLength(1)
  })

  it.each(['it was cancelled', 'its time was over'])('is told again that it was not sent (11904): %s', async how => {
    await connect().then(link => {
      link.ready = false
    })
    const call = set(1, { pendingTtl: '0', timeout: '5' })
    await untilWaiting(1)
    if (how === 'it was cancelled') await rig.app.on({ assetId: 'a1' }).cancel()
    else await rig.advance(5_000)
    const first = await call
    const state = how === 'it was cancelled' ? State.cancelled : State.failed
    expect(first).toMatchObject({ code: 11904, data: { state } })
    await repeats(first, () => set(1, { pendingTtl: '0', timeout: '5' }))
  })

  it('joins the first one while that waits: one PUBLISH, and both are told the same', async () => {
    const link = await connect()
    const first = invoke({ delay: 1 })
    await untilWaiting(1)
    const second = invoke({ delay: 1 })
    await untilWaiting(2)
    await reply(link.published[0]!.commandId)
    const [one, other] = await Promise.all([first, second])
    expect(one).toMatchObject({ code: 0, data: { commandId: link.published[0]!.commandId, outputData: { ok: true } } })
    expect(said(other)).toEqual(said(one))
    expect(link.published).toHaveLength(1)
    expect(await onRecord()).toHaveLength(1)
    expect(rig.engine.gauges().waiters).toBe(0)
  })

  it.each([
    ['cached', '600'],
    ['instant', '0'],
  ])('makes one command of 20 that come at once: %s', async (_, pendingTtl) => {
    const link = await connect()
    const calls = Array.from({ length: 20 }, () => set(1, { pendingTtl }))
    if (pendingTtl === '0') await untilWaiting(20)
    else await Promise.all(calls)
    await reply(link.published[0]!.commandId)
    const answers = await Promise.all(calls)
    expect(answers[0]).toMatchObject({ code: 0, data: { commandId: link.published[0]!.commandId } })
    for (const answer of answers) expect(said(answer)).toEqual(said(answers[0]!))
    expect(link.published).toHaveLength(1)
    expect(await onRecord()).toHaveLength(1)
  })

  it('is told what is known once its record has been purged', async () => {
    const refused = await set(1, { pendingTtl: '0' }, { key: 'refused' })
    const link = await connect()
    const cached = await set(1, {}, { key: 'cached' })
    await reply(link.published[0]!.commandId)
    const call = set(2, { pendingTtl: '0' }, { key: 'instant' })
    await untilWaiting(1)
    await reply(link.published[1]!.commandId)
    const instant = await call
    expect(await rig.store.purge(rig.clock.now() + 1, 100)).toBeGreaterThanOrEqual(3)
    expect(await onRecord()).toEqual([])
    await repeats(refused, () => set(1, { pendingTtl: '0' }, { key: 'refused' }))
    await repeats(cached, () => set(1, {}, { key: 'cached' }))
    const repeat = await set(2, { pendingTtl: '0' }, { key: 'instant' })
    const { commandId } = instant.data
    expect(repeat).toMatchObject({ status: 200, code: 11404, data: { commandId } })
    expect(repeat.msg).toContain(`commandId ${commandId}, whose record has been purged`)
  })
})

describe('a key', () => {
  it('is refused for another request (HTTP 409), and nothing is stored', async () => {
    const first = await set(1)
    const others: (() => Promise<Answer>)[] = [
      () => set(2),
      () => set('1', { measurepointId: 'Text' }),
      () => set(1, { pendingTtl: '601' }),
      () => set(1, { pendingTtl: '0' }),
      () => set(1, { timeout: '31' }),
      () => invoke({ delay: 1 }, { pendingTtl: '600' }),
      () => send({ action: 'setMeasurepoint', measurepointId: 'Int_value', pendingTtl: '600' }, { value: 1, more: 1 }),
    ]
    for (const other of others) {
      const answer = await unchanged(rig.app, other)
      expect(answer).toMatchObject({ status: 409, code: 99409, data: null })
      expect(answer.msg).toBe('the Idempotency-Key was used before, for another request; nothing was stored')
    }
    await repeats(first, () => set(1))
  })

  it('is for one request however it is written: defaults left out, blanks, the order of fields', async () => {
    const params = { action: 'invokeService', serviceId: 'any', assetId: 'free1' }
    const one = '{"inputData":{"a":{"x":1,"y":[{"p":1,"q":2}]},"b":2}}'
    const other = ' { "inputData": {"b": 2.0, "a": {"y": [{"q":2, "p":1}], "x": 1}} } '
    const call = (body: string, over: Params) =>
      rig.app.call({ orgId: ORG, ...params, ...over }, { body, headers: { 'idempotency-key': 'k' } })
    const first = await call(one, { pendingTtl: '600' })
    expect(first.code).toBe(0)
    await repeats(first, () => call(other, { pendingTtl: ' 600 ', timeout: '30' }))
    const order = '{"inputData":{"b":2,"a":{"x":1,"y":[{"p":2,"q":1}]}}}'
    expect(await call(order, { pendingTtl: '600' })).toMatchObject({ status: 409, code: 99409 })
  })

  it('is one for each application and each device, however that is named', async () => {
    const other = new Application(rig.url, BY_PRODUCT, () => rig.clock.now())
    const ids = [await set(1), await set(1, {}, { app: other }), await set(1, { assetId: 'a2' })]
    expect(new Set(ids.map(({ data }) => data.commandId)).size).toBe(3)
    await repeats(ids[1]!, () => set(1, {}, { app: other }))
    const keys = { productKey: PRODUCT, deviceKey: 'd2' }
    await repeats(ids[2]!, () => set(1, { assetId: '', ...keys }))
    expect(await set(2, { assetId: 'a2' })).toMatchObject({ status: 409 })
  })

  it('is kept for its pendingTtl and a day, from acceptance', async () => {
    const first = await set(1)
    const keptMs = 600_000 + REPEATS_KEPT_MS
    await rig.advance(keptMs - 1)
    rig.app.token = null
    await repeats(first, () => set(1))
    expect(await set(2)).toMatchObject({ status: 409 })
    await rig.advance(1)
    const later = await set(2)
    expect(later).toMatchObject({ status: 200, code: 0 })
    expect(later.data.commandId > first.data.commandId).toBe(true)
    await repeats(later, () => set(2))
  })

  it('is not used by a call that left no record', async () => {
    expect(await set('not a number')).toMatchObject({ code: 99400 })
    expect(await set(1)).toMatchObject({ code: 0 })
  })

  it('goes with its device', async () => {
    const first = await set(1)
    await rig.engine.deleteDevice(await idOf('a1'), 'test')
    expect(await set(1)).toMatchObject({ code: 99404 })
    expect(first.code).toBe(0)
  })

  it.each([
    ['empty', ''],
    ['too long', 'x'.repeat(256)],
    ['not ASCII', 'schl\u00fcssel'],
    ['not printable', 'a\tb'],
  ])('is refused by name where it is %s, and nothing is stored', async (_, key) => {
    const params = {
      action: 'setMeasurepoint',
      orgId: ORG,
      assetId: 'a1',
      measurepointId: 'Int_value',
      pendingTtl: '600',
    }
    const body = '{"value":1}'
    const { path, headers } = await rig.app.sign(params, body)
    const sent = request('POST', path, { ...headers, 'Idempotency-Key': key }, body)
    const answer = await unchanged(rig.app, async () => jsonOf(await rawCall(rig.url, sent)))
    expect(answer).toMatchObject({ code: 99400, data: null })
    expect(answer.msg).toBe('Invalid Argument Idempotency-Key:must be 1 to 255 printable characters of ASCII')
  })

  it('may have 255 characters, blanks and quotes among them', async () => {
    for (const key of ['x'.repeat(255), 'a "b" ~!']) await repeats(await set(1, {}, { key }), () => set(1, {}, { key }))
  })

  it('means nothing to an action that takes none', async () => {
    const { commandId } = (await set(1)).data
    const cancel = { action: 'cancel', orgId: ORG, assetId: 'a1', commandId }
    const headers = { 'idempotency-key': 'k' }
    expect((await rig.app.call(cancel, { headers })).data).toHaveLength(1)
    expect((await rig.app.call(cancel, { headers })).data).toEqual([])
  })
})

describe('a server that is started anew', () => {
  it('answers what was called before as it was answered then', async () => {
    let server = await startRig()
    try {
      const params = { action: 'setMeasurepoint', orgId: ORG, assetId: 'oxWwM9i5', measurepointId: 'Int_value' }
      const call = (value: number, key: string, ttl: string) =>
        server.app.call({ ...params, pendingTtl: ttl }, { body: { value }, headers: { 'idempotency-key': key } })
      const cached = await call(1, 'cached', '600')
      const refused = await call(1, 'refused', '0')
      expect([cached.code, refused.code]).toEqual([0, 11888])
      server = await server.restart()
      expect(said(await call(1, 'cached', '600'))).toEqual(said(cached))
      expect(said(await call(1, 'refused', '0'))).toEqual(said(refused))
      expect(await call(2, 'cached', '600')).toMatchObject({ status: 409, code: 99409 })
      const { pagination } = await server.app.on({ assetId: 'oxWwM9i5' }).search()
      expect(pagination.totalSize).toBe(2)
    } finally {
      await server.stop()
    }
  })
})

describe('a repeat after the model has changed', () => {
  const withoutPoint = async () => {
    const model = await rig.store.model(ORG, 'demo')
    if (model === null) throw new Error('no model')
    const { measurepoints: _, ...rest } = JSON.parse(model.json)
    const rows = { organizations: [], applications: [], products: [], devices: [] }
    const json = JSON.stringify({ ...rest, measurepoints: {} })
    await rig.store.applyFleet({ ...rows, models: [{ ...model, json }] }, rig.clock.now())
  }

  it('gets the first answer all the same, and another request is refused for what it is', async () => {
    const first = await set(1)
    expect(first.code).toBe(0)
    await withoutPoint()
    expect(said(await set(1))).toEqual(said(first))
    expect(await set(1, {}, { key: 'another' })).toMatchObject({ code: 99400, data: null })
    expect(await set(2)).toMatchObject({ code: 99400, data: null })
    expect(await onRecord()).toHaveLength(1)
  })

  it('while the first instant call still waits, is told that it is on record', async () => {
    await connect()
    const first = set(1, { pendingTtl: '0', timeout: '10' })
    await untilWaiting(1)
    await withoutPoint()
    const [{ command } = { command: { id: '' } }] = await onRecord()
    expect(await set(1, { pendingTtl: '0', timeout: '10' })).toMatchObject({
      status: 503,
      code: 99503,
      data: { commandId: command.id, state: State.sent },
    })
    await reply(command.id)
    expect((await first).code).toBe(0)
    expect((await set(1, { pendingTtl: '0', timeout: '10' })).code).toBe(0)
  })
})
