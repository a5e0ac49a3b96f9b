// Many callers at once, and callers without sense: every request is answered, every accepted command is there, and nonsense changes nothing.

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ASSETS, httpFleet, recorder } from './rig/http.ts'
import { jsonOf, type RawAnswer, RawConnection, rawCall, request } from './rig/raw.ts'
import { type Answer, ORG, type Rig, startRig } from './rig/server.ts'

describe('64 connections that set as fast as they can', () => {
  let rig: Rig
  beforeAll(async () => {
    rig = await startRig(['--queue-cap', '1000'], httpFleet())
  })
  afterAll(() => rig.stop())

  it('are all answered; every id is new, grows within its device, and is found by search', async () => {
    const devices = ['a1', 'a2', 'a3', 'a4']
    const EACH = 8
    const one = async (n: number): Promise<{ assetId: string; ids: string[] }> => {
      const assetId = devices[n % devices.length]!
      const connection = new RawConnection(rig.server.httpUrl)
      const params = { action: 'setMeasurepoint', orgId: ORG, assetId, measurepointId: 'Int_value', pendingTtl: '6000' }
      const ids: string[] = []
      for (let i = 0; i < EACH; i++) {
        const body = JSON.stringify({ value: n * EACH + i })
        const { path, headers } = await rig.app.sign(params, body)
        const answer = await connection.send(request('POST', path, headers, body)).answer()
        expect(jsonOf(answer)).toMatchObject({ code: 0, data: { commandId: expect.stringMatching(/^[0-9]{19}$/) } })
        ids.push(jsonOf(answer).data.commandId)
      }
      connection.destroy()
      return { assetId, ids }
    }
    rig.app.token = await rig.app.getToken()
    const done = await Promise.all(Array.from({ length: 64 }, (_, n) => one(n)))
    const all = done.flatMap(({ ids }) => ids)
    expect(new Set(all).size).toBe(64 * EACH)
    // A caller who waits for each answer sees its own ids grow.
    for (const { ids } of done) expect(ids).toEqual([...ids].sort())
    for (const assetId of devices) {
      const accepted = done.flatMap((caller, n) =>
        caller.assetId === assetId ? caller.ids.map((commandId, i) => ({ commandId, inputData: n * EACH + i })) : [],
      )
      const newestFirst = accepted.sort((a, b) => (a.commandId < b.commandId ? 1 : -1))
      const page = { pageNo: 1, pageSize: 200 }
      const found = await rig.app.on({ assetId }).search({ pagination: page, projection: ['commandId', 'inputData'] })
      expect(found.pagination.totalSize).toBe(accepted.length)
      expect(found.data).toEqual(newestFirst)
    }
  })

  it('that cancel the same commands report each of them exactly once', async () => {
    const calls = rig.app.on({ assetId: 'a1' })
    const { data } = await calls.search({ expression: 'state = 1', pagination: { pageNo: 1, pageSize: 200 } })
    const some = data.slice(0, 20).map((command: { commandId: string }) => command.commandId)
    const cancels = Array.from({ length: 64 }, (_, n) => calls.cancel(n % 8 === 0 ? undefined : some[n % 20]))
    const answers: Answer[] = await Promise.all(cancels)
    const reported = answers.flatMap(answer => answer.data.map((command: { commandId: string }) => command.commandId))
    expect(answers.every(({ code }) => code === 0)).toBe(true)
    expect(new Set(reported).size).toBe(reported.length)
    expect(reported.length).toBe(data.length)
    expect((await calls.search({ expression: 'state = 2' })).pagination.totalSize).toBe(data.length)
  })
})

describe('nonsense', () => {
  let rig: Rig
  let record: () => Promise<unknown>
  beforeAll(async () => {
    // Nobody has to sign here, so that what is made up comes as far as it can.
    rig = await startRig(['--auth', 'open'], httpFleet())
    record = recorder(rig.app)
    for (const assetId of ASSETS) {
      const point = assetId.startsWith('t') ? 'Int' : 'Int_value'
      expect((await rig.app.on({ assetId }).set(1, { pendingTtl: '6000' }, point)).code).toBe(0)
    }
  })
  afterAll(() => rig.stop())

  /** An answer that says no, or that read something; never a failure of ours. */
  function expectSane(answer: RawAnswer): void {
    expect([200, 400, 404, 413]).toContain(answer.status)
    const { code, msg, requestId, data } = jsonOf(answer)
    expect([0, 99400, 99404, 11404]).toContain(code)
    expect(typeof msg).toBe('string')
    expect(requestId).toMatch(/^[0-9a-f]{32}$/)
    expect(data).toBeDefined()
  }

  const text = fc.oneof(fc.string({ maxLength: 20 }), fc.string({ unit: 'binary', maxLength: 20 }))
  const known = (...values: string[]) => fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...values) }, text)
  const name = fc.oneof(
    text,
    fc.constantFrom('pendingTtl', 'timeout', 'PendingTTL', 'x', 'productKey', 'deviceKey', 'constructor'),
  )
  /** Never what could be stored: the point cannot be set, the input of the service does not fit, a commandId always stands there. */
  const query = fc
    .record({
      action: known('setMeasurepoint', 'invokeService', 'get', 'search', 'cancel'),
      orgId: known(ORG).filter(orgId => orgId.trim() !== 'oOther'),
      assetId: known('t1', 'a1', 'free1', 'other1').filter(assetId => assetId.trim() !== 'free1'),
      measurepointId: known('Fixed', 'Nothing').filter(id => !['Int', 'Int_value'].includes(id.trim())),
      serviceId: known('needy', 'Nothing').filter(id => !['plain', 'defaulted', 'reboot'].includes(id.trim())),
      commandId: fc.oneof(text, fc.stringMatching(/^[0-9]{1,19}$/)),
    })
    .chain(fixed => fc.array(fc.tuple(name, text), { maxLength: 3 }).map(more => [...Object.entries(fixed), ...more]))
    .chain(pairs => fc.shuffledSubarray(pairs, { minLength: pairs.length }))
    .map(pairs => pairs.map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).join('&'))
  const tail = fc.oneof(fc.constant(''), fc.stringMatching(/^&[\x21-\x7e]{0,30}$/))
  const noInteger = fc.oneof(
    fc.double().filter(value => !Number.isInteger(value)),
    text,
    fc.constant(null),
    fc.array(fc.integer()),
  )
  const shaped = fc.record(
    {
      value: fc.jsonValue(),
      inputData: fc.oneof(text, fc.record({ n: noInteger }), fc.record({ n: fc.integer(), m: fc.jsonValue() })),
      expression: fc.oneof(
        fc.jsonValue(),
        fc.stringMatching(/^(state|commandName(\.\w+)?|createTime|\(|\)|=|in|like|and|or|'[^']*'|[0-9]| ){0,12}$/),
      ),
      pagination: fc.oneof(
        fc.jsonValue(),
        fc.record({ pageNo: fc.oneof(fc.integer(), fc.double()), pageSize: fc.oneof(fc.integer(), fc.double()) }),
      ),
      projection: fc.oneof(fc.jsonValue(), fc.array(text, { maxLength: 4 })),
    },
    { requiredKeys: [] },
  )
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
    fc.jsonValue().map(value => Buffer.from(JSON.stringify(value))),
    shaped.map(value => Buffer.from(JSON.stringify(value))),
  )

  it('in queries and bodies is never a 5xx and never changes anything', async () => {
    const before = await record()
    const codes = new Set<number>()
    const call = fc.tuple(fc.constantFrom('POST', 'POST', 'GET'), query, tail, body)
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 8, maxLength: 8 }), async calls => {
        const answers = await Promise.all(
          calls.map(([method, query, tail, body]) =>
            rawCall(rig.server.httpUrl, request(method, `/connect-service/v2.1/commands?${query}${tail}`, {}, body)),
          ),
        )
        for (const answer of answers) {
          expectSane(answer)
          codes.add(jsonOf(answer).code)
        }
      }),
      { numRuns: 60 },
    )
    expect(await record()).toEqual(before)
    // It came through to the actions, and not only to the door.
    for (const code of [99400, 99404, 11404]) expect(codes).toContain(code)
  })

  it('in paths is never a 5xx and never changes anything', async () => {
    const before = await record()
    const path = fc.oneof(
      fc.stringMatching(/^\/[\x21-\x7e]{0,60}$/),
      fc.stringMatching(/^\/connect-service\/v2\.1\/commands[\x21-\x3e\x40-\x7e]{1,20}$/),
      fc.stringMatching(/^\/apim-token-service\/v2\.0\/token\/(get|refresh)[\x21-\x7e]{0,20}$/),
    )
    const verb = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS')
    await fc.assert(
      fc.asyncProperty(verb, path, body, async (method, path, body) => {
        const answer = await rawCall(rig.server.httpUrl, request(method, path, {}, body))
        expect(answer.status).toBeLessThan(500)
        if (path !== '/metrics') jsonOf(answer)
      }),
      { numRuns: 150 },
    )
    expect(await record()).toEqual(before)
  })

  it('in bytes that are no HTTP is refused or closed, and the next caller is served', async () => {
    const before = await record()
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
      fc
        .uint8Array({ maxLength: 100 })
        .map(bytes => Buffer.concat([Buffer.from('POST /healthz HTTP/1.1\r\nhost: localhost\r\n'), bytes])),
      fc
        .uint8Array({ maxLength: 100 })
        .map(bytes =>
          Buffer.concat([
            Buffer.from('POST /healthz HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n'),
            bytes,
          ]),
        ),
    )
    await fc.assert(
      fc.asyncProperty(bytes, async bytes => {
        const connection = new RawConnection(rig.server.httpUrl).send(
          Buffer.concat([bytes, Buffer.from('\r\n\r\n\r\n\r\n')]),
        )
        connection.socket.end()
        await connection.closed()
        const answer = await connection.answer().catch(() => null)
        if (answer !== null) expect(answer.status).toBeGreaterThanOrEqual(400)
        if (answer !== null) expect(answer.status).toBeLessThan(500)
        expect((await rawCall(rig.server.httpUrl, request('GET', '/healthz'))).status).toBe(200)
      }),
      { numRuns: 100 },
    )
    expect(await record()).toEqual(before)
  })
})
