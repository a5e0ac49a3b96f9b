// Open mode over the socket: nobody is asked for credentials, and so no web page may reach it.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readServeConfig } from '../src/cli/config.ts'
import { expectRefused, httpFleet, startApp } from './rig/http.ts'
import { jsonOf, type RawAnswer, rawCall, request } from './rig/raw.ts'
import { Application, ORG, READER, type Rig, startRig } from './rig/server.ts'

const COMMANDS = '/connect-service/v2.1/commands'
const SET = `?action=setMeasurepoint&orgId=${ORG}&assetId=a1&measurepointId=Int_value&pendingTtl=600`
const CANCEL = `?action=cancel&orgId=${ORG}&assetId=a2`

/** The fleet with one organization without applications, and with the first application of ORG being one that may only read, if so asked. */
function fleet(readerFirst = false): string {
  const { organizations } = JSON.parse(httpFleet())
  const { applications } = organizations[0]
  if (readerFirst) applications.unshift(...applications.splice(1, 1))
  return JSON.stringify({ organizations: [...organizations, { orgId: 'oEmpty', name: 'Empty' }] })
}

let rig: Rig
beforeAll(async () => {
  rig = await startRig(['--auth', 'open'], fleet())
})
afterAll(() => rig.stop())

const call = (
  path: string,
  {
    method = 'POST',
    headers = {},
    body = '',
  }: { method?: string; headers?: Record<string, string | null>; body?: string } = {},
): Promise<RawAnswer> => rawCall(rig.server.httpUrl, request(method, path, headers, body))

describe('open mode', () => {
  it('takes calls without credentials, and with any', async () => {
    const junk = {
      'apim-accesstoken': 'x',
      'apim-signature': 'y',
      'apim-timestamp': 'never',
      authorization: 'Bearer z',
    }
    for (const headers of [{}, junk]) {
      const sent = jsonOf(await call(COMMANDS + SET, { headers, body: '{"value":1}' }))
      expect(sent).toMatchObject({ code: 0, data: { commandId: expect.stringMatching(/^[0-9]{19}$/) } })
      const get = `?action=get&orgId=${ORG}&assetId=a1&commandId=${sent.data.commandId}`
      expect(jsonOf(await call(COMMANDS + get, { method: 'GET', headers })).data.state).toBe(1)
    }
    const cancelled = jsonOf(await call(`${COMMANDS}?action=cancel&orgId=${ORG}&assetId=a1`))
    expect(cancelled.data).toHaveLength(2)
  })

  it('acts as the first application of the organization named, with its grants', async () => {
    const other = `?action=search&orgId=oOther&assetId=`
    expect(jsonOf(await call(`${COMMANDS}${other}other1`))).toMatchObject({ code: 0 })
    expect(jsonOf(await call(`${COMMANDS}${other}a1`))).toMatchObject({ code: 99404 })
    const reading = await startRig(['--auth', 'open'], fleet(true))
    try {
      const as = (query: string) =>
        rawCall(reading.server.httpUrl, request('POST', COMMANDS + query, {}, '{"value":1}'))
      expect(jsonOf(await as(SET))).toMatchObject({ code: 99403, msg: 'Denied resource:  Asset a1 needs Control' })
      expect(jsonOf(await as(`?action=search&orgId=${ORG}&assetId=a1`))).toMatchObject({ code: 0, data: [] })
    } finally {
      await reading.stop()
    }
  })

  it('checks everything else as ever', async () => {
    const answer = async (query: string, body = '') => {
      const raw = await call(COMMANDS + query, { body })
      return { ...jsonOf(raw), status: raw.status }
    }
    expectRefused(await answer('?action=search&orgId=nowhere&assetId=a1'), 99400, 'orgId does not exist')
    expectRefused(await answer('?action=search&assetId=a1'), 99400, 'orgId is missing')
    expectRefused(await answer('?action=search&orgId=oEmpty&assetId=a1'), 99403, 'has no application to act as')
    expectRefused(await answer(`?action=search&orgId=${ORG}&assetId=other1`), 99404, 'device not found')
    expectRefused(await answer(SET, '{"value":"x"}'), 99400, 'must be an INT')
    expectRefused(await answer(SET, '{"value":'), 99400, 'is not JSON', 400)
    expectRefused(await answer(`${CANCEL}&commandID=1`), 99400, 'did you mean commandId')
  })

  it('gives everyone a token', async () => {
    for (const what of ['get', 'refresh']) {
      for (const body of ['', '{}', '{{{', JSON.stringify({ appKey: READER.appKey })]) {
        const answer = await call(`/apim-token-service/v2.0/token/${what}`, { body })
        expect(jsonOf(answer)).toMatchObject({
          status: 0,
          msg: 'SUCCESS',
          business: 'apim-token-service',
          data: { expire: 7200 },
        })
        expect(jsonOf(answer).data.accessToken).not.toBe('')
      }
    }
    const signing = new Application(rig.server.httpUrl, READER)
    expect(await signing.call({ action: 'search', orgId: ORG, assetId: 'a1' })).toMatchObject({ status: 200, code: 0 })
  })
})

describe('a web page', () => {
  const host = () => new URL(rig.server.httpUrl).host
  /** Queues a command of a2, calls, and says whether the command is still there. */
  async function attack(
    method: string,
    headers: Record<string, string | null>,
  ): Promise<{ answer: RawAnswer; survived: boolean }> {
    const sent = jsonOf(await call(COMMANDS + SET.replace('a1', 'a2'), { body: '{"value":1}' }))
    const answer = await call(COMMANDS + CANCEL, { method, headers })
    const get = `?action=get&orgId=${ORG}&assetId=a2&commandId=${sent.data.commandId}`
    const { data } = jsonOf(await call(COMMANDS + get, { method: 'GET' }))
    if (data.state === 1) await call(COMMANDS + CANCEL)
    return { answer, survived: data.state === 1 }
  }

  it.each([
    ['another site', { origin: 'https://evil.example' }],
    ['another port of this machine', { origin: 'http://localhost:1' }],
    ['a sandboxed frame', { origin: 'null' }],
    ['an origin that only begins alike', { origin: 'http://localhost.evil.example', host: 'localhost' }],
    ['an empty origin', { origin: '' }],
    ['a name that leads here', { host: 'evil.example' }],
    ['a name that leads here, and its origin', { host: 'evil.example', origin: 'http://evil.example' }],
    ['a name that begins like ours', { host: 'localhost.evil.example' }],
    ['a name that looks like an address', { host: '127.0.0.1.evil.example' }],
    ['another address of this machine', { host: '192.168.0.1:8080' }],
    ['a name with a user', { host: 'localhost@evil.example' }],
    ['an image on another site', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }],
    ['an image on another port', { 'sec-fetch-site': 'same-site' }],
    ['a browser that says it otherwise', { 'sec-fetch-site': 'Cross-Site, same-origin' }],
  ])('of %s is refused with 403 and changes nothing, by POST and GET', async (_what, headers) => {
    for (const method of ['POST', 'GET']) {
      const { answer, survived } = await attack(method, headers)
      expectRefused(
        { ...jsonOf(answer), status: answer.status },
        99403,
        /^Denied resource: {2}a foreign (Origin|Host) /,
        403,
      )
      expect(survived).toBe(true)
    }
    for (const path of ['/metrics', '/healthz', '/nowhere'])
      expect((await call(path, { method: 'GET', headers })).status).toBe(403)
    expect((await call('/apim-token-service/v2.0/token/get', { headers })).status).toBe(403)
  })

  it('that is our own, a person, and every other client may call', async () => {
    for (const headers of [
      { origin: `http://${host()}`, host: host() },
      { origin: 'https://localhost', host: 'localhost' },
      { host: 'LOCALHOST:80' },
      { host: '127.8.8.8' },
      { host: '[::1]:8080' },
      { 'sec-fetch-site': 'same-origin' },
      { 'sec-fetch-site': 'none' },
    ]) {
      const { answer, survived } = await attack('POST', headers)
      expect({ status: answer.status, code: jsonOf(answer).code, survived }).toEqual({
        status: 200,
        code: 0,
        survived: false,
      })
    }
  })

  it('without any Host is refused, and so is HTTP/1.0 without one', async () => {
    const hostless = await call(COMMANDS + CANCEL, { headers: { host: null } })
    expectRefused({ ...jsonOf(hostless), status: hostless.status }, 99400, 'it has no Host header', 400)
    const old = await rawCall(rig.server.httpUrl, `POST ${COMMANDS}${CANCEL} HTTP/1.0\r\n\r\n`)
    expectRefused({ ...jsonOf(old), status: old.status }, 99403, 'a foreign Host', 403)
  })
})

describe('listening', () => {
  const problems = (...args: string[]) => {
    const read = readServeConfig(['--auth', 'open', ...args], {})
    return read.ok ? [] : read.problems
  }
  it('beyond loopback is refused, unless the operator knows', () => {
    for (const http of ['0.0.0.0:0', '[::]:0', '192.168.0.1:0', 'example.org:0'])
      expect(problems('--http', http)).toEqual([expect.stringContaining('--i-know-this-is-open')])
    for (const http of ['127.0.0.1:0', '0', '[::1]:0', 'localhost:0']) expect(problems('--http', http)).toEqual([])
    expect(problems('--http', '0.0.0.0:0', '--i-know-this-is-open')).toEqual([])
  })

  /** A server that may be reached beyond loopback, called at this address of its machine. */
  async function calledAt(localAddress: string | undefined) {
    const app = await startApp({
      auth: 'open',
      openBeyondLoopback: true,
      // All tests stay on loopback, so the address that the socket would have is put in its place.
      before: ({ server }) =>
        server.on('connection', socket => Object.defineProperty(socket, 'localAddress', { value: localAddress })),
    })
    const as = async (method: string, headers: Record<string, string>, query = CANCEL) => {
      const answer = await rawCall(app.url, request(method, COMMANDS + query, headers))
      return { ...jsonOf(answer), status: answer.status }
    }
    return { as, stop: app.stop }
  }

  it.each(['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1', undefined])(
    'where the operator knows, a foreign Host is still refused over loopback (%s)',
    async address => {
      const { as, stop } = await calledAt(address)
      try {
        expectRefused(await as('POST', { host: 'evil.example' }), 99403, 'a foreign Host', 403)
        const rebound = { host: 'evil.example', origin: 'http://evil.example' }
        expectRefused(await as('POST', rebound), 99403, 'a foreign Host', 403)
        expect(await as('POST', { host: 'localhost' })).toMatchObject({ status: 200, code: 0 })
        expect(await as('GET', { host: 'localhost' })).toMatchObject({ status: 200, code: 0 })
      } finally {
        await stop()
      }
    },
  )

  it.each(['192.0.2.1', '2001:db8::1', '::ffff:192.0.2.1'])(
    'beyond loopback (%s) any Host is taken, but no foreign Origin, and no GET that a page could send and that changes something',
    async address => {
      const { as, stop } = await calledAt(address)
      const host = 'downlink.example'
      try {
        expect((await as('POST', { host })).status).toBe(200)
        expect((await as('POST', { host, origin: 'http://downlink.example' })).status).toBe(200)
        expect((await as('POST', { host, origin: 'http://evil.example' })).status).toBe(403)
        for (const headers of [{ host }, { host, accept: 'image/*', authorization: 'Basic eDp5' }])
          expectRefused(await as('GET', headers), 99403, 'needs an apim-accesstoken header', 403)
        expect(await as('GET', { host, 'apim-accesstoken': 'x' })).toMatchObject({ status: 200, code: 0 })
        const get = `?action=get&orgId=${ORG}&assetId=a1&commandId=1`
        expect(await as('GET', { host }, get)).toMatchObject({ status: 200, code: 11404 })
      } finally {
        await stop()
      }
    },
  )

  it('with signatures, neither Origin nor Host matters', async () => {
    const signed = await startRig([], fleet())
    try {
      const headers = { host: 'downlink.example', origin: 'https://console.example', 'sec-fetch-site': 'cross-site' }
      const { path, headers: own } = await signed.app.sign({ action: 'search', orgId: ORG, assetId: 'a1' })
      const answer = await rawCall(signed.server.httpUrl, request('POST', path, { ...own, ...headers }))
      expect(jsonOf(answer)).toMatchObject({ code: 0 })
    } finally {
      await signed.stop()
    }
  })
})
