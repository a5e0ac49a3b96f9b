// How routes of our own are called: what of a request is read and checked, who may call, verbs, answers that go on, and the administrator. The routes here
// tell what they were given; what the real ones do is in the tests of each.

import { once } from 'node:events'
import { Readable } from 'node:stream'
import Type from 'typebox'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminRoute, type Route, type RouteCall, route } from '../src/http/action.ts'
import { signature } from '../src/http/signature.ts'
import { failure, ok } from '../src/http/wire.ts'
import { type AppRig, BY_PRODUCT, expectRefused, NOBODY, startApp } from './rig/http.ts'
import { jsonOf, rawCall, request } from './rig/raw.ts'
import { type Answer, APP, Application, ORG, READER, STRANGER } from './rig/server.ts'

const described = { summary: 'x', tag: 'Server', data: Type.Unknown(), examples: [] } as const
const told = ({ parameters, body, path, orgId, appKey, idempotencyKey }: RouteCall) => ({
  ...{ parameters, body: body ?? null, path, orgId, appKey, idempotencyKey },
})

const echo = route({
  ...described,
  operationId: 'echo',
  method: 'POST',
  path: '/v1/test/{thing}/echo',
  names: Type.Object({ thing: Type.Integer({ minimum: 1 }) }),
  parameters: Type.Object({
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100 })),
    waiting: Type.Optional(Type.Boolean()),
    states: Type.Optional(Type.Array(Type.Integer())),
    text: Type.Optional(Type.String({ minLength: 1 })),
  }),
  body: Type.Object({ filter: Type.Optional(Type.Object({ state: Type.Integer() })) }),
  needs: { resource: 'Device', action: 'FullAccess' },
  repeatable: true,
  run: async call => ok(told(call)),
})
const plain = route({
  ...described,
  operationId: 'plain',
  method: 'GET',
  path: '/v1/test/plain',
  parameters: Type.Object({}),
  needs: { resource: 'Device', action: 'Read' },
  run: async call => ok(told(call)),
})
const removal: Route = { ...plain, operationId: 'removal', method: 'DELETE' }
const changing: Route = { ...plain, operationId: 'changing', path: '/v1/test/changing', needs: echo.needs }
const refusing: Route = {
  ...plain,
  operationId: 'refusing',
  path: '/v1/test/refusing',
  run: async () => failure({ ok: false, code: 99503, message: 'no' }, null, 503),
}
const administered = adminRoute({
  ...described,
  operationId: 'administered',
  method: 'POST',
  path: '/v1/test/admin/{orgId}',
  names: Type.Object({ orgId: Type.String() }),
  parameters: Type.Object({ dryRun: Type.Optional(Type.Boolean()) }),
  body: Type.Object({ name: Type.String() }),
  run: async ({ path, parameters, body }) => ok({ path, parameters, body }),
})

const streams: { body: Readable; stopping: AbortSignal }[] = []
const streaming: Route = {
  ...plain,
  operationId: 'streaming',
  path: '/v1/test/stream',
  streams: 'text/event-stream',
  run: async ({ stopping }) => {
    const body = new Readable({ read: () => undefined })
    body.push(': welcome\n\n')
    stopping.addEventListener('abort', () => body.push(null))
    streams.push({ body, stopping })
    return { ...ok(null), stream: { type: 'text/event-stream', headers: { 'x-accel-buffering': 'no' }, body } }
  },
}

const ADMIN = 'a'.repeat(40)
const routes = [echo, plain, removal, changing, refusing, administered, streaming]
let rig: AppRig
beforeAll(async () => {
  rig = await startApp({ routes, adminToken: ADMIN })
})
afterAll(() => rig.stop())

/** A signed call of a route. */
async function call(
  method: string,
  url: string,
  { as = APP, body = '', headers = {} }: { as?: typeof APP; body?: string; headers?: Record<string, string> } = {},
): Promise<Answer & { headers: Headers }> {
  const app = new Application(rig.url, as, () => rig.clock.now())
  const token = await app.getToken()
  const timestamp = String(rig.clock.now())
  const pairs = [...new URL(url, 'http://x').searchParams].map(([name, value]) => ({ name, value }))
  const signed = {
    'apim-accesstoken': token,
    'apim-timestamp': timestamp,
    'apim-signature': signature(token, pairs, Buffer.from(body), timestamp, as.appSecret),
  }
  const init = { method, headers: { ...signed, ...headers } }
  const response = await fetch(rig.url + url, body === '' ? init : { ...init, body })
  return { ...((await response.json()) as Answer), status: response.status, headers: response.headers }
}

const org = `orgId=${ORG}`

describe('a route', () => {
  it('is given path, query and body in the types of their schemas', async () => {
    const query = `${org}&limit=5&waiting=true&states=1,%202&text=%20a%20b%20`
    const answer = await call('POST', `/v1/test/7/echo?${query}`, { body: '{"filter":{"state":2}}' })
    expect(answer).toMatchObject({ status: 200, code: 0 })
    expect(answer.data).toEqual({
      path: { thing: 7 },
      parameters: { limit: 5, waiting: true, states: [1, 2], text: 'a b' },
      body: { filter: { state: 2 } },
      orgId: ORG,
      appKey: APP.appKey,
      idempotencyKey: null,
    })
  })

  it('takes no body for an empty object', async () => {
    expect((await call('POST', `/v1/test/7/echo?${org}`)).data).toMatchObject({ body: {}, parameters: {} })
  })

  it.each([
    ['/v1/test/0/echo?', '', 'thing:must be an integer from 1, got 0'],
    ['/v1/test/x%20y/echo?', '', 'thing:must be an integer from 1, got "x y"'],
    ['/v1/test/7/echo?limit=101&', '', 'limit:must be an integer from 1 to 100, got 101'],
    ['/v1/test/7/echo?limit=&', '', 'limit:must be an integer from 1 to 100, got ""'],
    ['/v1/test/7/echo?waiting=yes&', '', 'waiting:must be true or false, got "yes"'],
    ['/v1/test/7/echo?states=1,,2&', '', 'states[1]:must be an integer, got ""'],
    ['/v1/test/7/echo?limits=1&', '', 'limits:is not known, did you mean limit?'],
    ['/v1/test/7/echo?Limit=1&', '', 'Limit:is not known, did you mean limit?'],
    ['/v1/test/7/echo?zzzzzzzzz=1&', '', 'zzzzzzzzz:is not known; there are orgId, limit, waiting, states, text'],
    ['/v1/test/7/echo?limit=1&limit=1&', '', 'limit:is given more than once'],
    ['/v1/test/7/echo?', '{"filter":{"state":"2"}}', 'body.filter.state:must be an integer, got "2"'],
    ['/v1/test/7/echo?', '{"filter":{"state":2,"age":1}}', 'body.filter.age:is not known; there are state'],
    ['/v1/test/7/echo?', '{"filters":{}}', 'body.filters:is not known, did you mean filter?'],
    ['/v1/test/7/echo?', '[1]', 'body:must be an object, got an array of 1'],
    ['/v1/test/7/echo?', '{"filter":{"state":9007199254740993}}', 'body:filter.state is a whole number'],
  ])('%s %s is refused: %s', async (path, body, message) => {
    const answer = await call('POST', path + org, { body })
    expectRefused(answer, 99400, `Invalid Argument ${message}`)
  })

  it('without a body says that it takes none', async () => {
    expect((await call('DELETE', `/v1/test/plain?${org}`, { body: '{}' })).code).toBe(0)
    const answer = await call('DELETE', `/v1/test/plain?${org}`, { body: '{"all":true}' })
    expectRefused(answer, 99400, 'Invalid Argument body:there is none in this call')
  })

  it('refuses a body that is no JSON, or too large, as every call does', async () => {
    expectRefused(
      await call('POST', `/v1/test/7/echo?${org}`, { body: '{' }),
      99400,
      /^Cannot process request body/,
      400,
    )
    const large = await call('POST', `/v1/test/7/echo?${org}`, { body: JSON.stringify('x'.repeat(65_536)) })
    expectRefused(large, 99400, 'a body may have 65536 bytes', 413)
    const long = await call('GET', `/v1/test/plain?${org}&x=${'x'.repeat(8_192)}`)
    expectRefused(long, 99400, 'the query may have 8192 bytes', 413)
  })

  it('takes an Idempotency-Key where it is repeatable', async () => {
    const url = `/v1/test/7/echo?${org}`
    const keyed = (key: string) => call('POST', url, { headers: { 'Idempotency-Key': key } })
    expect((await keyed('order 4711/~')).data.idempotencyKey).toBe('order 4711/~')
    expect((await keyed('x'.repeat(255))).data.idempotencyKey).toHaveLength(255)
    const rule = 'Invalid Argument Idempotency-Key:must be 1 to 255 printable characters of ASCII'
    for (const key of ['', 'x'.repeat(256), 'caf\u00e9']) expectRefused(await keyed(key), 99400, rule)
    const elsewhere = await call('GET', `/v1/test/plain?${org}`, { headers: { 'Idempotency-Key': '' } })
    expect(elsewhere.data.idempotencyKey).toBeNull()
  })

  it('is for who has a grant of its kind, in the organization named', async () => {
    const post = (as: typeof APP, query = org) => call('POST', `/v1/test/7/echo?${query}`, { as })
    expect((await post(BY_PRODUCT)).code).toBe(0)
    expectRefused(await post(READER), 99403, `Denied resource:  orgId ${ORG} needs a grant for Device: FullAccess`)
    expectRefused(await post(NOBODY), 99403, 'needs a grant for Device: FullAccess')
    expectRefused(await post(STRANGER), 99403, `Denied resource:  orgId ${ORG}`)
    expectRefused(await post(APP, 'limit=1'), 99400, 'Invalid Argument orgId:orgId is missing')
    expectRefused(await post(APP, 'orgId=nobody'), 99400, 'Invalid Argument orgId: orgId does not exist')
    // Who may not call is not told what else is wrong with the call.
    expectRefused(await call('POST', `/v1/test/0/echo?${org}`, { as: READER, body: '{{' }), 99403, 'Denied resource')
  })

  it('is for nobody who does not sign', async () => {
    const response = await fetch(`${rig.url}/v1/test/plain?${org}`)
    expect(response.status).toBe(401)
    expect(await response.json()).toMatchObject({ code: 1202, status: 1202, data: null })
  })

  it('says when to come again', async () => {
    const answer = await call('GET', `/v1/test/refusing?${org}`)
    expect(answer).toMatchObject({ status: 503, code: 99503 })
    expect(answer.headers.get('retry-after')).toBe('1')
  })

  it('is counted by its operation', async () => {
    await call('GET', `/v1/test/plain?${org}`)
    expect(await rig.metrics.registry.metrics()).toMatch(/downlink_http_calls_total\{action="plain",code="0"\} [1-9]/)
  })
})

describe('a path', () => {
  it('says which verbs it takes', async () => {
    const answer = await rawCall(rig.url, request('PUT', `/v1/test/plain?${org}`))
    expect(answer.status).toBe(405)
    expect(answer.headers.get('allow')).toBe('GET, DELETE')
    expectRefused(
      { ...jsonOf(answer), status: answer.status },
      99400,
      'Invalid Argument method:this path takes GET or DELETE, not PUT',
      405,
    )
    expect((await fetch(`${rig.url}/v1/test/plain?${org}`, { method: 'HEAD' })).status).toBe(405)
  })

  it('that does not exist says where all of them are listed', async () => {
    const answer = await rawCall(rig.url, request('GET', '/v1/test/nothing'))
    expect(answer.status).toBe(404)
    expect(jsonOf(answer)).toMatchObject({ code: 99404, msg: expect.stringContaining('GET /openapi.json and /docs') })
  })
})

describe('an answer that goes on', () => {
  const listen = async () => {
    const app = new Application(rig.url, APP, () => rig.clock.now())
    const token = await app.getToken()
    const timestamp = String(rig.clock.now())
    const signed = signature(token, [{ name: 'orgId', value: ORG }], Buffer.alloc(0), timestamp, APP.appSecret)
    const leave = new AbortController()
    const headers = { 'apim-accesstoken': token, 'apim-timestamp': timestamp, 'apim-signature': signed }
    const response = await fetch(`${rig.url}/v1/test/stream?${org}`, { headers, signal: leave.signal })
    const reader = response.body?.getReader()
    const stream = streams.at(-1)
    if (reader === undefined || stream === undefined) throw new Error('no stream')
    const next = async () => new TextDecoder().decode((await reader.read()).value)
    return { response, next, leave, ...stream }
  }

  it('has its own type and headers, and comes as it is made', async () => {
    const { response, next, body, leave } = await listen()
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    expect(response.headers.get('x-accel-buffering')).toBe('no')
    expect(await next()).toBe(': welcome\n\n')
    body.push('data: 1\n\n')
    expect(await next()).toBe('data: 1\n\n')
    const closed = once(body, 'close')
    leave.abort()
    await closed
    expect(body.destroyed).toBe(true)
  })

  it('is told when the server begins to stop, and may end by itself', async () => {
    const own = await startApp({ routes, auth: 'open' })
    const response = await fetch(`${own.url}/v1/test/stream?${org}`)
    const reader = response.body?.getReader()
    expect(new TextDecoder().decode((await reader?.read())?.value)).toBe(': welcome\n\n')
    const stopped = own.stop()
    expect((await reader?.read())?.done).toBe(true)
    expect(streams.at(-1)?.stopping.aborted).toBe(true)
    await stopped
  })
})

describe("the administrator's routes", () => {
  const post = async (url: string, authorization: string | null, path = `/v1/test/admin/${ORG}?dryRun=true`) => {
    const headers = authorization === null ? {} : { authorization }
    const response = await fetch(url + path, { method: 'POST', headers, body: '{"name":"n"}' })
    return { ...((await response.json()) as Answer), status: response.status }
  }

  it('are for who has the token', async () => {
    for (const authorization of [`Bearer ${ADMIN}`, `bearer  ${ADMIN}`])
      expect(await post(rig.url, authorization)).toMatchObject({
        status: 200,
        code: 0,
        data: { path: { orgId: ORG }, parameters: { dryRun: true }, body: { name: 'n' } },
      })
  })

  it('are for nobody else', async () => {
    expect(await post(rig.url, null)).toMatchObject({ status: 401, code: 1202, data: null })
    for (const authorization of [
      `Bearer ${ADMIN}x`,
      `Bearer ${'a'.repeat(39)}`,
      'Bearer',
      'Bearer ',
      ADMIN,
      `Basic ${ADMIN}`,
    ]) {
      const answer = await post(rig.url, authorization)
      expect(answer).toMatchObject({ status: 401, code: 1004, data: null })
      expect(answer.msg).toContain('DOWNLINK_ADMIN_TOKEN')
      expect(answer.msg).not.toContain(ADMIN)
    }
    // What is wrong with the call is told to the administrator alone.
    expect(await post(rig.url, null, '/v1/test/admin/x?y=1')).toMatchObject({ status: 401 })
  })

  it('refuse what they do not know', async () => {
    const answer = await post(rig.url, `Bearer ${ADMIN}`, `/v1/test/admin/${ORG}?orgId=${ORG}`)
    expectRefused(answer, 99400, 'Invalid Argument orgId:is not known; there are dryRun')
  })

  it('tell how to have an administrator where there is none', async () => {
    const own = await startApp({ routes })
    try {
      expectRefused(await post(own.url, `Bearer ${ADMIN}`), 99403, /DOWNLINK_ADMIN_TOKEN \(at least 32/, 403)
    } finally {
      await own.stop()
    }
  })

  it('are open in open mode, but not to a page of elsewhere', async () => {
    const own = await startApp({ routes, auth: 'open' })
    try {
      expect(await post(own.url, null)).toMatchObject({ status: 200, code: 0 })
      const headers = { origin: 'http://elsewhere.example' }
      const response = await fetch(`${own.url}/v1/test/admin/${ORG}`, { method: 'POST', headers, body: '{"name":"n"}' })
      expect(response.status).toBe(403)
    } finally {
      await own.stop()
    }
  })
})

describe('the reference page', () => {
  it('may load nothing but the files of the server', async () => {
    const response = await fetch(`${rig.url}/docs`)
    const policy = response.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toContain('unsafe')
    const page = await response.text()
    expect(page).not.toMatch(/<script(?![^>]*\bsrc=)|https?:\/\/|\bon\w+=/)
    const named = [...page.matchAll(/(?:src|href)="(docs\/[^"]+)"/g)].map(([, path]) => path)
    expect(named).toHaveLength(5)
    for (const path of named) {
      const file = await fetch(`${rig.url}/${path}`)
      expect({ path, status: file.status, length: (await file.text()).length > 100 }).toEqual({
        path,
        status: 200,
        length: true,
      })
      expect(file.headers.get('x-content-type-options')).toBe('nosniff')
    }
  })

  it('offers to try things out in open mode only', async () => {
    expect(await (await fetch(`${rig.url}/docs`)).text()).toContain('data-auth="signature"')
    const own = await startApp({ auth: 'open' })
    try {
      expect(await (await fetch(`${own.url}/docs/`)).text()).toContain('data-auth="open"')
    } finally {
      await own.stop()
    }
  })

  it('is refused to pages of elsewhere in open mode, as everything is', async () => {
    const own = await startApp({ auth: 'open' })
    try {
      for (const path of ['/docs', '/openapi.json']) {
        const response = await fetch(own.url + path, { headers: { origin: 'http://elsewhere.example' } })
        expect(response.status).toBe(403)
      }
    } finally {
      await own.stop()
    }
  })
})
