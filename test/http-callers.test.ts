// Who is calling: signatures and tokens over the socket, what a rejected caller is told, what survives a restart, and what grants allow.
// Not here: the token service by itself (tokens.test.ts), the digests (signature.test.ts).

import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encryption } from '../src/http/signature.ts'
import { Contract, cancel, get, invoke, search, set } from './rig/contract.ts'
import { BY_ASSET, BY_PRODUCT, expectRefused, httpFleet, NOBODY, startApp, unchanged } from './rig/http.ts'
import { jsonOf, rawCall, request } from './rig/raw.ts'
import { type Answer, APP, Application, ORG, READER, type Rig, STRANGER, startRig } from './rig/server.ts'

const contract = new Contract()
const MINUTE = 60_000

/** A signed set with its headers changed: null leaves one out. */
async function withHeaders(changes: Record<string, string | null>, body = '{"value":1}', sent = body): Promise<Answer> {
  const signed = await contract.rig.app.sign(set, body)
  const bytes = request('POST', signed.path, { ...signed.headers, ...changes }, sent)
  const answer = await rawCall(contract.rig.server.httpUrl, bytes)
  return { ...jsonOf(answer), httpStatus: answer.status, keys: Object.keys(jsonOf(answer)) }
}

/** HTTP 401, and the code as both code and status. */
function expectRejected(answer: Answer, code: number, says: string): void {
  expect(answer).toMatchObject({ httpStatus: 401, code, status: code, data: null })
  expect(answer.keys).toEqual(['code', 'msg', 'requestId', 'data', 'status'])
  expect(answer.requestId).toMatch(/^[0-9a-f]{32}$/)
  expect(answer.msg).toContain(says)
}

describe('a signed call is rejected with 401', () => {
  const names = ['apim-accesstoken', 'apim-timestamp', 'apim-signature']
  it.each(names)('without %s, or with an empty one: 1202', async name => {
    expectRejected(await withHeaders({ [name]: null }), 1202, `header ${name} is missing`)
    expectRejected(await withHeaders({ [name]: '' }), 1202, `header ${name} is missing`)
  })

  it.each([
    ['apim-accesstoken', ['a b', 'x'.repeat(129), 'tökén']],
    ['apim-timestamp', ['now', '-1', '1.5', '1e12', '0x10', '1'.repeat(16), '']],
    ['apim-signature', ['abc', 'g'.repeat(64), '0'.repeat(63), '0'.repeat(65), `${'0'.repeat(64)}, ${'0'.repeat(64)}`]],
  ])('with a malformed %s: 1004', async (name, texts) => {
    for (const text of texts.filter(text => text !== ''))
      expectRejected(await withHeaders({ [name]: text }), 1004, `header ${name} is malformed`)
  })

  it('with a header twice: 1004', async () => {
    const signed = await contract.rig.app.sign(set, '{}')
    const bytes = request('POST', signed.path, { ...signed.headers, 'Apim-Timestamp': '1800000000000' }, '{}')
    expect(jsonOf(await rawCall(contract.rig.server.httpUrl, bytes))).toMatchObject({ code: 1004, status: 1004 })
  })

  it.each(['x', "' or 1=1 --", 'A'.repeat(43), 'constructor'])('with the unknown token %j: 1203', async token => {
    const answer = await withHeaders({ 'apim-accesstoken': token.replaceAll(' ', '') })
    expectRejected(answer, 1203, 'the access token is unknown or has expired')
  })

  it('with a wrong signature: 1003', async () => {
    expectRejected(await withHeaders({ 'apim-signature': '0'.repeat(64) }), 1003, 'the signature is wrong')
    const digest = createHash('sha256').update('anything').digest('hex')
    expectRejected(await withHeaders({ 'apim-signature': digest }), 1003, 'the signature is wrong')
  })

  it("with another application's secret or token: 1003", async () => {
    const reader = new Application(contract.rig.server.httpUrl, { ...READER, appSecret: APP.appSecret })
    reader.token = await new Application(contract.rig.server.httpUrl, READER).getToken()
    expect(await reader.call(search, { body: {} })).toMatchObject({ status: 401, code: 1003 })
    expectRejected(await withHeaders({ 'apim-accesstoken': reader.token }), 1003, 'the signature is wrong')
  })

  it('with a body changed after signing, by a single byte: 1003', async () => {
    for (const sent of ['{"value":2}', '{"value":1} ', '{ "value":1}', ''])
      expectRejected(await withHeaders({}, '{"value":1}', sent), 1003, 'the signature is wrong')
    expectRejected(await withHeaders({}, '', '{"value":1}'), 1003, 'the signature is wrong')
  })

  it('with a query changed after signing: 1003', async () => {
    const signed = await contract.rig.app.sign(cancel)
    const sent = async (path: string) =>
      jsonOf(await rawCall(contract.rig.server.httpUrl, request('POST', path, signed.headers)))
    for (const path of [
      `${signed.path}&commandId=${contract.queued[0]}`,
      signed.path.replace('assetId=a1', 'assetId=a2'),
      signed.path.replace('action=cancel', 'action=search'),
      signed.path.replace('&assetId=a1', ''),
      signed.path.replace('assetId', 'assetID'),
      `${signed.path}&x`,
      `${signed.path}%20`,
    ])
      expect(await sent(path)).toMatchObject({ code: 1003, status: 1003, data: null })
  })

  it('before anything else is looked at', async () => {
    const url = contract.rig.server.httpUrl
    for (const query of [
      '',
      '?',
      '?action=cancel',
      '?action=nothing&orgId=nowhere',
      '?action=get&orgId=oOther&assetId=other1',
    ]) {
      const answer = await rawCall(url, request('POST', `/connect-service/v2.1/commands${query}`, {}, '{{{'))
      expect(jsonOf(answer)).toMatchObject({ code: 1202, status: 1202 })
      expect(answer.status).toBe(401)
    }
  })
})

describe('the timestamp of a call', () => {
  it('may be ten minutes off, either way, and not a millisecond more: 1003', async () => {
    const app = await startApp()
    try {
      await app.app.getToken()
      const at = (offset: number) => app.app.call(search, { body: {}, timestamp: app.clock.now() + offset })
      for (const offset of [0, 10 * MINUTE, -10 * MINUTE]) expect((await at(offset)).code).toBe(0)
      for (const offset of [10 * MINUTE + 1, -10 * MINUTE - 1, 86_400_000, -app.clock.now()])
        expect(await at(offset)).toMatchObject({
          status: 401,
          code: 1003,
          msg: expect.stringContaining('too far from the server clock'),
        })
    } finally {
      await app.stop()
    }
  })

  it("may be used again, as the vendor's clients do", async () => {
    const timestamp = Date.now()
    const params = { ...search, assetId: 'a2' }
    for (let i = 0; i < 3; i++) expect((await contract.rig.app.call(params, { body: {}, timestamp })).code).toBe(0)
  })
})

describe('tokens', () => {
  const path = '/apim-token-service/v2.0/token'
  const proof = (at: number, { appKey, appSecret } = APP) => ({
    appKey,
    encryption: encryption(appKey, String(at), appSecret),
    timestamp: at as unknown,
  })

  async function ask(url: string, what: string, body: unknown) {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const answer = await rawCall(url, request('POST', `${path}/${what}`, {}, text))
    return { http: answer.status, ...jsonOf(answer) }
  }

  it('are given, the same until it expires, refreshed, and taken for calls as long as they live', async () => {
    const { url, clock, advance, app, stop } = await startApp()
    try {
      const first = await ask(url, 'get', proof(clock.now()))
      expect(Object.keys(first)).toEqual(['http', 'status', 'msg', 'business', 'requestId', 'data'])
      expect(first).toMatchObject({
        http: 200,
        status: 0,
        msg: 'SUCCESS',
        business: 'apim-token-service',
        data: { expire: 7200 },
      })
      expect(first.data.accessToken).toMatch(/^[\w-]{43}$/)
      await advance(1_500)
      const second = await ask(url, 'get', { ...proof(clock.now()), timestamp: String(clock.now()) })
      expect(second.data).toEqual({ accessToken: first.data.accessToken, expire: 7198 })
      await advance(1_000)
      const third = await ask(url, 'refresh', { ...proof(clock.now()), accessToken: first.data.accessToken })
      expect(third).toMatchObject({ http: 200, status: 0, data: { expire: 7200 } })
      expect(third.data.accessToken).not.toBe(first.data.accessToken)
      // Both are good until their own ends: the first one after two hours, the second 2.5 s later.
      const good = async (token: string) => {
        app.token = token
        return (await app.call(search, { body: {} })).code
      }
      expect([await good(first.data.accessToken), await good(third.data.accessToken)]).toEqual([0, 0])
      await advance(7_200_000 - 2_500)
      expect([await good(first.data.accessToken), await good(third.data.accessToken)]).toEqual([1203, 0])
      await advance(2_500)
      expect(await good(third.data.accessToken)).toBe(1203)
      const fourth = await ask(url, 'get', proof(clock.now()))
      expect(await good(fourth.data.accessToken)).toBe(0)
    } finally {
      await stop()
    }
  })

  it('are refused with HTTP 200 and the reason in status', async () => {
    const url = contract.rig.server.httpUrl
    const now = Date.now()
    const refused = async (what: string, body: unknown, status: number, says: string) => {
      const answer = await ask(url, what, body)
      expect(answer).toMatchObject({ http: 200, status, business: 'apim-token-service', data: null })
      expect(answer.msg).toContain(says)
    }
    for (const what of ['get', 'refresh']) {
      await refused(what, { ...proof(now), accessToken: 'x', appKey: 'nobody' }, 1002, 'the appKey does not exist')
      await refused(
        what,
        { ...proof(now, { ...APP, appSecret: 'wrong' }), accessToken: 'x' },
        1003,
        'the encryption is wrong',
      )
      await refused(what, { ...proof(now - 11 * MINUTE), accessToken: 'x' }, 1003, 'too far from the server clock')
      await refused(what, { ...proof(now + 11 * MINUTE), accessToken: 'x' }, 1003, 'too far from the server clock')
      await refused(what, {}, 1202, 'parameter appKey is missing')
      await refused(what, { ...proof(now), accessToken: 'x', encryption: '' }, 1202, 'parameter encryption is missing')
      await refused(what, { ...proof(now), accessToken: 'x', timestamp: null }, 1202, 'parameter timestamp is missing')
      await refused(
        what,
        { ...proof(now), accessToken: 'x', encryption: 'zz' },
        1004,
        'parameter encryption is malformed',
      )
      await refused(what, { ...proof(now), accessToken: 'x', timestamp: 1.5 }, 1004, 'parameter timestamp is malformed')
      await refused(what, { ...proof(now), accessToken: 'x', appKey: ['a'] }, 1004, 'parameter appKey is malformed')
      for (const body of ['', '[]', '"x"', 'null', '5'])
        await refused(what, body, 1004, 'the body must be a JSON object')
      for (const body of ['{', '{"appKey":', 'appKey=x', '{"appKey":1,"appKey":2}']) await refused(what, body, 1004, '')
    }
    await refused('refresh', proof(now), 1202, 'parameter accessToken is missing')
    await refused(
      'refresh',
      { ...proof(now + 5), accessToken: 'unknown' },
      1204,
      'unknown, expired or of another application',
    )
  })

  it('are given once for one encryption: 1001', async () => {
    const body = proof(Date.now() - 30_000)
    const { httpUrl } = contract.rig.server
    expect((await ask(httpUrl, 'get', body)).status).toBe(0)
    expect(await ask(httpUrl, 'get', body)).toMatchObject({ http: 200, status: 1001, data: null })
    expect(await ask(httpUrl, 'refresh', { ...body, accessToken: 'x' })).toMatchObject({ http: 200, status: 1001 })
    const loud = { ...body, encryption: body.encryption.toUpperCase(), timestamp: String(body.timestamp) }
    expect((await ask(httpUrl, 'get', loud)).status).toBe(1001)
  })

  it('are refused with 413 where the request is too large', async () => {
    const answer = await rawCall(contract.rig.server.httpUrl, request('POST', `${path}/get`, {}, ' '.repeat(65_537)))
    expectRefused({ ...jsonOf(answer), status: answer.status }, 99400, 'Request size limit exceeded', 413)
  })
})

describe('a restart', () => {
  let rig: Rig
  beforeAll(async () => {
    rig = await startRig([], httpFleet())
  })
  afterAll(() => rig.stop())

  it('keeps tokens, used encryptions and commands, and gives ids that grow on', async () => {
    const device = { assetId: 'a1' }
    const timestamp = Date.now() - 1000
    const token = await rig.app.getToken(timestamp)
    rig.app.token = token
    const [before] = await rig.app.on(device).queue(1)
    rig = await rig.restart()
    const body = JSON.stringify({
      appKey: APP.appKey,
      timestamp,
      encryption: encryption(APP.appKey, String(timestamp), APP.appSecret),
    })
    const answer = await rawCall(rig.server.httpUrl, request('POST', '/apim-token-service/v2.0/token/get', {}, body))
    expect(jsonOf(answer).status).toBe(1001)
    rig.app.token = token
    expect((await rig.app.on(device).get(before!)).data.state).toBe(1)
    const [after] = await rig.app.on(device).queue(1)
    expect(after! > before!).toBe(true)
    expect(await rig.app.getToken()).toBe(token)
    expect((await rig.app.on(device).cancel()).data.map((command: { commandId: string }) => command.commandId)).toEqual(
      [before, after],
    )
  })
})

describe('grants', () => {
  const may = async (credentials: typeof APP, assetId: string): Promise<string[]> => {
    const caller = new Application(contract.rig.server.httpUrl, credentials)
    const device = { orgId: ORG, assetId }
    // Calls that go through to the action without storing anything: a command that is not there, a value that does not fit.
    const answers = {
      get: await caller.call({ ...get, ...device, commandId: '1' }, { method: 'GET' }),
      search: await caller.call({ ...search, ...device }, { body: {} }),
      set: await caller.call({ ...set, ...device }, { body: {} }),
      invoke: await caller.call({ ...invoke, ...device, serviceId: 'a b' }, { body: {} }),
      cancel: await caller.call({ ...cancel, ...device, commandId: '1' }),
      cancelAll: await caller.call({ ...cancel, ...device, commandId: '' }),
    }
    const allowed: string[] = []
    for (const [name, answer] of Object.entries(answers)) {
      expect(answer.status).toBe(200)
      if (answer.code !== 99403) allowed.push(name)
      else expectRefused(answer, 99403, new RegExp(`^Denied resource: {2}Asset ${assetId} needs (Control|Read)$`))
    }
    return allowed
  }
  const all = ['get', 'search', 'set', 'invoke', 'cancel', 'cancelAll']
  const read = ['get', 'search']

  it('Control is for everything, Read for get and search, none for nothing', async () => {
    expect(await may(APP, 'a1')).toEqual(all)
    expect(await may(READER, 'a1')).toEqual(read)
    expect(await may(NOBODY, 'a1')).toEqual([])
  })

  it('hold for the products or the devices they name', async () => {
    expect(await may(BY_PRODUCT, 'a3')).toEqual(all)
    expect(await may(BY_PRODUCT, 't1')).toEqual([])
    expect(await may(BY_PRODUCT, 'free1')).toEqual([])
    expect(await may(BY_ASSET, 'a1')).toEqual(all)
    expect(await may(BY_ASSET, 'a2')).toEqual(read)
    expect(await may(BY_ASSET, 'a3')).toEqual([])
  })

  it('do not reach beyond the organization', async () => {
    const stranger = new Application(contract.rig.server.httpUrl, STRANGER)
    for (const params of [get, search, set, invoke, cancel]) {
      expectRefused(
        await stranger.call(params, { method: params === get ? 'GET' : 'POST' }),
        99403,
        `Denied resource:  orgId ${ORG}`,
      )
      const own = { ...params, orgId: 'oOther' }
      expectRefused(await stranger.call(own, { method: params === get ? 'GET' : 'POST' }), 99404, 'device not found')
    }
  })

  it('are looked at before the body is', async () => {
    const reader = new Application(contract.rig.server.httpUrl, READER)
    const answer = await unchanged(contract.rig.app, () => reader.call(set, { body: '{{{' }))
    expectRefused(answer, 99403, 'needs Control')
  })
})
