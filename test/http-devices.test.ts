// Devices that speak HTTP as the vendor's SDK does: logins, requests, and sessions, over real sockets and a clock that the test moves.
// Not here: what is handed out on responses (http-device-commands.test.ts).

import { readFileSync } from 'node:fs'
import { maxHeaderSize } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import * as limits from '../src/core/limits.ts'
import {
  HTTP_LIFETIME_GRACE_MS,
  HTTP_LIFETIME_MAX_MS,
  HTTP_LOGIN_MAX_BYTES,
  HTTP_SESSION_REQUESTS_MAX,
  LOGIN_PAIR_BURST,
  LOGIN_PAIR_EVERY_MS,
  PACKET_MAX_BYTES,
  REFUSALS_LOGGED_PER_S,
} from '../src/core/limits.ts'
import { httpCodes } from '../src/http/device-wire.ts'
import type { Answer } from '../src/uplink/asker.ts'
import {
  call,
  HttpDevice,
  HttpDevicesRig,
  type HttpDevicesRigOptions,
  loginBody,
  PRODUCT,
  secretOf,
} from './rig/http-devices.ts'
import { jsonOf, RawConnection, rawCall, request } from './rig/raw.ts'
import { TestDevice } from './rig/server.ts'

const rigs: HttpDevicesRig[] = []
async function start(options: HttpDevicesRigOptions = {}): Promise<HttpDevicesRig> {
  const rig = await HttpDevicesRig.start(options)
  rigs.push(rig)
  return rig
}
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.stop()
})

const refusal = (code: number, message: RegExp, status = 200) => ({
  status,
  code,
  data: {},
  message: expect.stringMatching(message),
})

/** Requests that wait until they are let go. */
function gate() {
  const waiting: (() => void)[] = []
  const arrived: string[] = []
  let come = (): void => undefined
  return {
    arrived,
    requests: (
      real: HttpDevicesRig['requests'],
    ): NonNullable<ReturnType<NonNullable<HttpDevicesRigOptions['requests']>>> => ({
      answer: async (asked, asker): Promise<Answer | null> => {
        arrived.push(asked.payload.toString())
        come()
        await new Promise<void>(resolve => waiting.push(resolve))
        return real.answer(asked, asker)
      },
    }),
    /** resolves when so many requests have come in all */
    async came(count: number) {
      while (arrived.length < count) await new Promise<void>(resolve => (come = resolve))
    },
    release: () => waiting.shift()?.(),
  }
}

describe('a login', () => {
  it('gives a session, which is 256 bits of chance, and makes the device online and active', async () => {
    const rig = await start()
    const device = rig.device('d1')
    expect(await device.login()).toMatchObject({ status: 200, code: 200, message: '', command: null })
    expect(device.sessionId).toMatch(/^[\w-]{43}$/)
    const row = await rig.row('d1')
    expect(rig.engine.isOnline(row.id)).toBe(true)
    expect(row).toMatchObject({ activeAt: rig.clock.now(), lastOnlineAt: rig.clock.now() })
    expect(rig.devices.gauges()).toEqual({ sessions: 1 })
    expect(rig.counted).toEqual(['device login 200'])
  })

  it('takes every sign method and case, and a lifetime that is text or is not given', async () => {
    const rig = await start()
    for (const signMethod of ['sha256', 'SHA256', 'hmacSha256', 'sha1', 'md5', 'hmacmd5'])
      expect((await rig.device('d1').login({ signMethod })).code).toBe(200)
    const upper = String(loginBody(PRODUCT, 'd1').sign).toUpperCase()
    expect((await rig.device('d1').login({ sign: upper })).code).toBe(200)
    expect((await rig.device('d1').login({ lifetime: '30000' })).code).toBe(200)
    const { sign } = loginBody(PRODUCT, 'd1')
    expect((await rig.device('d1').login({ lifetime: undefined, sign, clientInfo: 7 })).code).toBe(200)
    expect((await rig.device('d1').login({ acceptCommandTypes: null })).code).toBe(200)
  })

  it('agrees with a sign that was computed elsewhere', async () => {
    // printf 'deviceKeyd1lifetime300000productKeypksignMethodsha256secret-of-d1' | sha256sum
    const sign = 'de5c3a37572fd887ab75adb64dede8638b3b2009b4f4664d8a1cac20ffe1fe70'
    const rig = await start()
    expect((await rig.device('d1').login({ sign })).code).toBe(200)
  })

  it('is refused with a code that says why, and names the field', async () => {
    const rig = await start()
    const refused = async (deviceKey: string, over: Record<string, unknown>, productKey = PRODUCT, secret?: string) => {
      const told = await rig.device(deviceKey, productKey).login(over, secret)
      // Far enough that the number of refusals is not what the next one is refused for.
      await rig.advance(LOGIN_PAIR_EVERY_MS)
      return told
    }
    expect(await refused('nobody', {})).toMatchObject(refusal(705, /no device nobody of product pk/))
    expect(await refused('d1', {}, PRODUCT, 'wrong')).toMatchObject(refusal(742, /device secret/))
    expect(await refused('off1', {})).toMatchObject(refusal(723, /disabled/))
    expect(await refused('sub1', {})).toMatchObject(refusal(771, /behind a gateway/))
    expect(await refused('cert1', {}, 'guarded')).toMatchObject(refusal(746, /client certificate/))
    // Only who knows the secret is told what else is wrong.
    expect(await refused('off1', {}, PRODUCT, 'wrong')).toMatchObject(refusal(742, /./))
    expect(await refused('d1', { signMethod: 'sha512' })).toMatchObject(
      refusal(1220, /signMethod must be one of sha256/),
    )
    expect(await refused('d1', { signMethod: 7 })).toMatchObject(refusal(1220, /signMethod .* not 7/))
    expect(await refused('d1', { sign: '' })).toMatchObject(refusal(1220, /sign must be/))
    expect(await refused('d1', { sign: ['a'] })).toMatchObject(refusal(1220, /sign must be/))
    for (const lifetime of [999, HTTP_LIFETIME_MAX_MS + 1, -1, 1.5, 1e300, 'soon', '', ' 30000', true, {}, [300000]])
      expect(await refused('d1', { lifetime })).toMatchObject(refusal(1220, /lifetime must be .* 1000 to 86400000/))
    for (const acceptCommandTypes of ['CMD_PENDING_INVOKE', {}, [1], Array(17).fill('x')])
      expect(await refused('d1', { acceptCommandTypes })).toMatchObject(refusal(1220, /acceptCommandTypes/))
    expect(rig.devices.gauges().sessions).toBe(0)
    expect(rig.logged[0]).toMatchObject({ message: 'login refused', fields: { code: 705, deviceKey: 'nobody' } })
    expect(JSON.stringify(rig.logged)).not.toContain(secretOf('d1'))
  })

  it('is a POST of a JSON object to /auth/{productKey}/{deviceKey}', async () => {
    const rig = await start()
    const path = `${rig.url}/auth/${PRODUCT}/d1`
    const good = JSON.stringify(loginBody(PRODUCT, 'd1'))
    for (const body of ['', '{', '[]', '7', 'null', '{"a":1,"a":2}', '\ud800'])
      expect(await call(path, body)).toMatchObject(refusal(1220, /the body/, 400))
    for (const path of ['/auth/pk', '/auth/', '/auth/pk/d1/x', '/auth/pk/d%201', '/auth/pk/%2e%2e%2fd1'])
      expect(await call(rig.url + path, good)).toMatchObject(refusal(1220, /path must be \/auth/))
    expect(await call(`${rig.url}/auth/%zz/d1`, good)).toMatchObject(refusal(1220, /percent-encoded/, 400))
    const got = await call(path, undefined, { method: 'GET' })
    expect(got).toMatchObject(refusal(405, /only POST/, 405))
    expect(got.headers.get('allow')).toBe('POST')
    const large = JSON.stringify({ ...loginBody(PRODUCT, 'd1'), clientInfo: 'x'.repeat(HTTP_LOGIN_MAX_BYTES) })
    expect(await call(path, large)).toMatchObject(refusal(1008, /4 KiB/, 413))
    // As many clients as servers' URLs are written: the vendor's sample has a slash at the end.
    expect(await call(`${rig.url}//auth/${PRODUCT}/d1`, good)).toMatchObject({ status: 200, code: 200 })
    const device = new HttpDevice(`${rig.url}/`, PRODUCT, 'd1')
    await device.login()
    expect((await device.report()).code).toBe(200)
    expect(await call(`${path}?orgId=x&orgId=y`, good)).toMatchObject({ status: 200, code: 200 })
  })

  it('is refused unseen after too many wrong ones, with the right secret too, until its time has come', async () => {
    const rig = await start()
    for (let i = 0; i < LOGIN_PAIR_BURST; i++) expect((await rig.device('d1').login({}, `guess ${i}`)).code).toBe(742)
    const limited = await rig.device('d1').login()
    expect(limited).toMatchObject(refusal(429, /too many/, 429))
    expect(Number(limited.headers.get('retry-after')) * 1000).toBe(LOGIN_PAIR_EVERY_MS)
    expect((await rig.device('d2').login()).code).toBe(200)
    await rig.advance(LOGIN_PAIR_EVERY_MS)
    expect((await rig.device('d1').login()).code).toBe(200)
  })

  it('that is refused is logged, a few of them each second', async () => {
    const rig = await start()
    const flood = () => Promise.all(Array.from({ length: 30 }, (_, i) => rig.device(`nobody${i}`).login()))
    for (const { code } of await flood()) expect(code).toBe(705)
    expect(rig.logged).toHaveLength(REFUSALS_LOGGED_PER_S)
    await rig.advance(1_000)
    await rig.device('nobody').login()
    expect(rig.logged.at(-1)?.fields).toMatchObject({ deviceKey: 'nobody', leftOut: 30 - REFUSALS_LOGGED_PER_S })
  })

  it('that is right clears what was wrong before it, of this device', async () => {
    const rig = await start()
    for (let round = 0; round < 2; round++) {
      for (let i = 1; i < LOGIN_PAIR_BURST; i++) expect((await rig.device('d1').login({}, 'guess')).code).toBe(742)
      expect((await rig.device('d1').login()).code).toBe(200)
    }
  })

  it('is one of several at once: the last one has the session', async () => {
    const rig = await start()
    const devices = Array.from({ length: 8 }, () => rig.device('d1'))
    const told = await Promise.all(devices.map(device => device.login()))
    for (const { code } of told) expect([200, 503]).toContain(code)
    expect(rig.devices.gauges()).toEqual({ sessions: 1 })
    const reports = await Promise.all(devices.map(device => device.report()))
    expect(reports.map(({ code }) => code).sort()).toEqual([200, ...Array(7).fill(401)])
    await rig.loggedIn('d1')
    expect(rig.devices.gauges()).toEqual({ sessions: 1 })
  })

  it('is refused where as many devices have a session as may, unless the device has one of them', async () => {
    const rig = await start({ sessionsMax: 2 })
    await rig.loggedIn('d1')
    await rig.loggedIn('d2')
    expect(await rig.device('d3').login()).toMatchObject(refusal(503, /as many devices/, 503))
    expect((await rig.device('d1').login()).code).toBe(200)
    expect(rig.devices.gauges().sessions).toBe(2)
    await rig.advance(300_000 + HTTP_LIFETIME_GRACE_MS)
    expect((await rig.device('d3').login()).code).toBe(200)
    expect((await rig.device('d2').login()).code).toBe(200)
    // It had one once.
    expect((await rig.device('d1').login()).code).toBe(503)
  })
})

describe('a request', () => {
  it('does what the same message does over MQTT, and is answered in the body', async () => {
    const rig = await start()
    const device = await rig.loggedIn('d1')
    const told = await device.post(`${device.sys}/thing/measurepoint/post`, {
      id: 'my-1',
      version: '1.1',
      params: { measurepoints: { Power: { value: 1.5, quality: 9 } }, time: rig.clock.now() },
      method: 'thing.measurepoint.post',
    })
    expect(told).toMatchObject({ status: 200, id: 'my-1', code: 200, data: {} })
    await device.request('thing/attribute/update', { attributes: { a: 1 } })
    await device.request('thing/tag/update', [{ tagKey: 'k', tagValue: 'v' }])
    expect((await device.request('thing/tag/query', { tags: [] })).data).toEqual({ k: 'v' })

    // What was reported over HTTP is there when the device speaks MQTT.
    const mqtt = await mqttDevice(rig, 'd1')
    const answered = new Promise<unknown>(resolve => {
      mqtt.answer = ({ topic, payload }) => {
        if (topic.endsWith('query_reply')) resolve(payload.data)
        return undefined
      }
    })
    mqtt.client.publish(`${device.sys}/thing/tag/query`, JSON.stringify({ id: '1', params: { tags: [] } }))
    expect(await answered).toEqual({ k: 'v' })
    await mqtt.end()
  })

  it('that is wrong is answered with its id where that can be read', async () => {
    const rig = await start()
    const device = await rig.loggedIn('d1')
    const other = `/sys/${PRODUCT}/d2/thing/measurepoint/post`
    expect(await device.request('', {}, other)).toMatchObject({ status: 200, id: '1', code: 1009 })
    expect(await device.request('', {}, '/a/b')).toMatchObject({ id: '2', code: 1009 })
    expect(await device.request('thing/nonsense', {})).toMatchObject({ id: '3', code: 501 })
    expect(await device.request('thing/model/up_raw', {})).toMatchObject({ id: '4', code: 501 })
    const login = `/ext/session/${PRODUCT}/d1/combine/login`
    expect(await device.request('', {}, login)).toMatchObject({
      id: '5',
      code: 501,
      message: expect.stringMatching(/MQTT/),
    })
    expect(await device.request('thing/measurepoint/post', { measurepoints: { Level: 'x' } })).toMatchObject({
      id: '6',
      code: 1204,
    })
    const topic = `${device.sys}/thing/measurepoint/post`
    for (const body of ['{', '[]', '7', '{"params":{}}', '{"id":{}}'])
      expect(await device.post(topic, body)).toMatchObject(refusal(1220, /JSON object with an id/))
    expect(await device.post(topic, '')).toMatchObject(refusal(1251, /body is missing/))
    expect(await device.post(`${topic}_reply`, '{"id":"1"}')).toMatchObject({ id: '1', code: 501 })
    expect(await device.post(topic, { id: '1', params: 'x'.repeat(PACKET_MAX_BYTES) })).toMatchObject(
      refusal(1008, /128 KiB/, 413),
    )
    // Still a session after all of that.
    expect((await device.report()).code).toBe(200)
  })

  it('without a session is told to log in again', async () => {
    const rig = await start()
    const device = await rig.loggedIn('d1')
    const topic = `${rig.url}/topic${device.sys}/thing/measurepoint/post`
    const body = JSON.stringify({ id: '1', params: { measurepoints: { Power: 1 } } })
    for (const query of ['', '?', '?sessionId', '?sessionId=', '?sessionid=x', '?sessionId=%20', '?sessionId=nonsense'])
      expect(await call(topic + query, body)).toMatchObject(refusal(401, /log in again/, 401))
    const twice = `?sessionId=${device.sessionId}&sessionId=${device.sessionId}`
    expect(await call(topic + twice, body)).toMatchObject(refusal(1220, /sessionId.*more than once/, 400))
    expect(await call(`${topic}?sessionId=${device.sessionId}`, undefined, { method: 'PUT', body })).toMatchObject(
      refusal(405, /only POST/, 405),
    )
    expect(await rig.store.latestValues((await rig.row('d1')).id, null)).toEqual([])
    // A reply is no exception, and the SDK, which looks at the status there, sees it.
    const reply = `${rig.url}/topic${device.sys}/thing/service/reboot_reply?sessionId=old`
    expect(await call(reply, '{"id":"1","code":200}')).toMatchObject(refusal(401, /./, 401))
  })

  it('without a session is refused while its body is still to come, so that strangers cannot fill the memory', async () => {
    const rig = await start()
    const device = await rig.loggedIn('d1')
    const path = `/topic${device.sys}/thing/measurepoint/post`
    const announced = { 'content-length': String(PACKET_MAX_BYTES) }
    for (const [query, code] of [
      ['', 401],
      ['?sessionId=nonsense', 401],
      [`?sessionId=${device.sessionId}&sessionId=x`, 1220],
    ] as const)
      for (const slash of ['', '/'])
        expect(jsonOf(await rawCall(rig.url, request('POST', slash + path + query, announced)))).toMatchObject({ code })
    const own = `${path}?sessionId=${device.sessionId}`
    expect(jsonOf(await rawCall(rig.url, request('PUT', own, announced)))).toMatchObject({ code: 405 })
    expect(new Set(rig.counted.slice(1))).toEqual(new Set(['device 401', 'device 1220', 'device 405']))
    // What was refused so is over: the connection goes on with the next request.
    const body = '{"id":"1","params":{"measurepoints":{"Power":1}}}'
    const connection = new RawConnection(rig.url)
    connection.send(Buffer.concat([request('POST', `${path}?sessionId=x`, {}, body), request('POST', own, {}, body)]))
    expect((await connection.answers(2)).map(answer => jsonOf(answer).code)).toEqual([401, 200])
    connection.destroy()
  })

  it('whose session ends while its body is under way is refused too', async () => {
    const rig = await start()
    const device = await rig.loggedIn('d1')
    const path = `/topic${device.sys}/thing/measurepoint/post?sessionId=${device.sessionId}`
    const body = '{"id":"1","params":{"measurepoints":{"Power":1}}}'
    const bytes = request('POST', path, {}, body)
    const connection = new RawConnection(rig.url).send(bytes.subarray(0, bytes.length - 1))
    await rig.loggedIn('d1')
    connection.send(bytes.subarray(bytes.length - 1))
    expect(jsonOf(await connection.answer())).toMatchObject({ code: 401, data: {} })
    connection.destroy()
    expect(await rig.store.latestValues((await rig.row('d1')).id, null)).toEqual([])
  })

  it('with files is refused before they are read, however large they are', async () => {
    const rig = await start()
    const device = await rig.loggedIn('d1')
    const path = `/multipart${device.sys}/thing/measurepoint/post?sessionId=${device.sessionId}`
    const form = new FormData()
    form.set('enos-message', '{"id":"1"}')
    form.set('enos-file', new Blob(['x'.repeat(300_000)]), 'file.txt')
    const response = await fetch(rig.url + path, { method: 'POST', body: form })
    expect({ status: response.status, ...((await response.json()) as object) }).toEqual(refusal(501, /files/, 501))
    const download = `/multipart${device.sys}/file/download?sessionId=${device.sessionId}&fileUri=x&category=feature`
    expect(await call(rig.url + download, undefined, { method: 'GET' })).toMatchObject(refusal(501, /files/, 501))
    // Refused while the body is still to come.
    const bytes = request('POST', path, { 'content-length': '1000000000' })
    expect(jsonOf(await rawCall(rig.url, bytes))).toMatchObject({ code: 501 })
  })

  it('is performed when those before it are done, and only so many may wait', async () => {
    const { requests, arrived, came, release } = gate()
    const rig = await start({ requests })
    const device = await rig.loggedIn('d1')
    const other = await rig.loggedIn('d2')
    const answers = Array.from({ length: HTTP_SESSION_REQUESTS_MAX + 1 }, (_, i) => device.report(i))
    // All have come when one is too many.
    expect(await Promise.race(answers)).toMatchObject(refusal(503, /too many requests of this session/, 503))
    expect(arrived).toHaveLength(1)
    // Others do not wait for this device.
    const others = other.report()
    await came(2)
    release()
    await came(3)
    release()
    expect((await others).code).toBe(200)
    for (let done = 1; done < HTTP_SESSION_REQUESTS_MAX; done++) {
      expect(arrived).toHaveLength(done + 2)
      release()
      if (done < HTTP_SESSION_REQUESTS_MAX - 1) await came(done + 3)
    }
    const codes = (await Promise.all(answers)).map(({ code }) => code)
    expect(codes.filter(code => code === 200)).toHaveLength(HTTP_SESSION_REQUESTS_MAX)
  })
})

async function mqttDevice(rig: HttpDevicesRig, deviceKey: string): Promise<TestDevice> {
  const device = new TestDevice(rig.mqttUrl, deviceKey, { keepalive: 0 }, PRODUCT)
  return device.connected()
}

describe('a session', () => {
  const LIFE_MS = 300_000 + HTTP_LIFETIME_GRACE_MS
  const isOnline = async (rig: HttpDevicesRig, deviceKey: string) => rig.engine.isOnline((await rig.row(deviceKey)).id)

  it('ends when its lifetime has passed without a request, and its device is offline', async () => {
    const rig = await start()
    const device = await rig.loggedIn('d1')
    await rig.advance(LIFE_MS - 1)
    expect(await isOnline(rig, 'd1')).toBe(true)
    await rig.advance(1)
    expect(await isOnline(rig, 'd1')).toBe(false)
    expect(await rig.row('d1')).toMatchObject({ lastOfflineAt: rig.clock.now() })
    expect(await device.report()).toMatchObject(refusal(401, /log in again/, 401))
    expect(rig.devices.gauges().sessions).toBe(0)
    const events = await rig.store.events((await rig.row('d1')).id, null, 10)
    expect(events.at(-1)).toMatchObject({ reason: 'disconnected', detail: '{"reason":"session expired"}' })
    await device.login()
    expect((await device.report()).code).toBe(200)
  })

  it('lives on with every request, whatever becomes of it', async () => {
    const rig = await start()
    const device = await rig.loggedIn('d1')
    for (const body of ['{', { id: '1', params: {} }]) {
      await rig.advance(LIFE_MS - 1)
      await device.post(`${device.sys}/thing/nonsense`, body)
    }
    await rig.advance(LIFE_MS - 1)
    await device.post(`${device.sys}/thing/service/reboot_reply`, { id: '7', code: 200 })
    await rig.advance(LIFE_MS - 1)
    expect(await isOnline(rig, 'd1')).toBe(true)
    // What was refused before it came to the session is no sign of life.
    await call(`${rig.url}/topic${device.sys}/thing/tag/query?sessionId=other`, '{}')
    await rig.advance(1)
    expect(await isOnline(rig, 'd1')).toBe(false)
  })

  it('has the lifetime that was asked for, and does not end under a request', async () => {
    const { requests, came, release } = gate()
    const rig = await start({ requests })
    const device = rig.device('d1')
    await device.login({ lifetime: 1_000 })
    const told = device.report()
    await came(1)
    await rig.advance(10 * (1_000 + HTTP_LIFETIME_GRACE_MS))
    expect(await isOnline(rig, 'd1')).toBe(true)
    release()
    expect((await told).code).toBe(200)
    await rig.advance(1_000 + HTTP_LIFETIME_GRACE_MS)
    expect(await isOnline(rig, 'd1')).toBe(false)
  })

  it('gives way to the next login of its device, over HTTP and over MQTT', async () => {
    const rig = await start()
    const first = await rig.loggedIn('d1')
    const second = await rig.loggedIn('d1')
    expect(await first.report()).toMatchObject(refusal(401, /log in again/, 401))
    expect((await second.report()).code).toBe(200)
    const mqtt = await mqttDevice(rig, 'd1')
    expect(await second.report()).toMatchObject(refusal(401, /log in again/, 401))
    expect(rig.devices.gauges().sessions).toBe(0)
    // Its time passing does nothing to the connection that has taken its place.
    await rig.advance(LIFE_MS)
    expect(await isOnline(rig, 'd1')).toBe(true)

    const closed = mqtt.closed()
    const third = await rig.loggedIn('d1')
    await closed
    expect((await third.report()).code).toBe(200)
    expect(await isOnline(rig, 'd1')).toBe(true)
    await mqtt.end()
  })

  it('ends when its device is disabled or deleted', async () => {
    const rig = await start()
    const device = await rig.loggedIn('d1')
    const { id } = await rig.row('d1')
    await rig.engine.disable(id, 'test')
    expect(await device.report()).toMatchObject(refusal(401, /./, 401))
    expect(await device.login()).toMatchObject(refusal(723, /disabled/))
    await rig.engine.enable(id, 'test')
    await device.login()
    await rig.engine.deleteDevice(id, 'test')
    expect(await device.report()).toMatchObject(refusal(401, /./, 401))
    expect(await device.login()).toMatchObject(refusal(705, /no device/))
    expect(rig.devices.gauges().sessions).toBe(0)
  })

  it('of a gateway is for the gateway itself', async () => {
    const rig = await start()
    const gateway = await rig.loggedIn('gw1', 'gateways')
    expect((await gateway.request('thing/topo/get', {})).data).toEqual([{ productKey: PRODUCT, deviceKey: 'sub1' }])
    const sub = `/sys/${PRODUCT}/sub1/thing/measurepoint/post`
    expect((await gateway.request('', { measurepoints: { Power: 1 } }, sub)).code).toBe(1009)
  })
})

describe('the server', () => {
  it('in open mode hears no web page, and tells it so in the envelope of devices', async () => {
    const rig = await start({ auth: 'open' })
    const device = await rig.loggedIn('d1')
    const path = `/topic${device.sys}/thing/measurepoint/post?sessionId=${device.sessionId}`
    const body = '{"id":"1","params":{"measurepoints":{"Power":1}}}'
    for (const headers of [
      { origin: 'http://evil.example' },
      { host: 'evil.example' },
      { 'sec-fetch-site': 'cross-site' },
    ]) {
      expect(jsonOf(await rawCall(rig.url, request('POST', path, headers, body)))).toEqual({
        code: 403,
        data: {},
        message: expect.stringMatching(/foreign (Host|Origin)/),
      })
    }
    expect((await device.report()).code).toBe(200)
  })

  it('that stops takes answers and nothing else, and puts the end of all sessions on record', async () => {
    const { requests, came, release } = gate()
    const rig = await start({ requests })
    const device = await rig.loggedIn('d1')
    const { id } = await rig.accept('d1')
    const first = device.report()
    await came(1)
    release()
    const { command } = await first
    expect(command?.payload.id).toBe(id)
    const later = await rig.accept('d1')

    const post = ({ sessionId }: { sessionId: string }, topic: string, body: string) =>
      request('POST', `/topic${topic}?sessionId=${sessionId}`, {}, body)
    const report = (of: HttpDevice) => post(of, `${of.sys}/thing/measurepoint/post`, '{"id":"1","params":{}}')
    const [second, third] = [await rig.loggedIn('d2'), await rig.loggedIn('d3')]
    const connections = [device, second, third].map(of => new RawConnection(rig.url).send(report(of)))
    await came(4)
    const closed = Promise.all([rig.app.close(), rig.engine.stop()])
    // On connections that are open, behind what is being performed there.
    connections[0]?.send(post(device, `${command?.topic}_reply`, `{"id":"${id}","code":200}`))
    connections[1]?.send(report(second))
    connections[2]?.send(request('POST', `/auth/${PRODUCT}/d2`, {}, JSON.stringify(loginBody(PRODUCT, 'd2'))))
    for (const _ of connections) release()
    const answers = await Promise.all(connections.map(connection => connection.answers(2)))
    for (const [first] of answers) expect(first?.headers.get('command-payload')).toBeUndefined()
    expect(answers.map(([, second]) => [second?.status, second && jsonOf(second).code])).toEqual([
      [200, 200],
      [503, 503],
      [503, 503],
    ])
    await closed
    await rig.engine.idle()
    expect(await rig.states('d1', [id, later.id])).toEqual([5, 1])
    expect(rig.engine.isOnline((await rig.row('d1')).id)).toBe(false)
    expect((await rig.store.events((await rig.row('d1')).id, null, 10)).at(-1)).toMatchObject({
      reason: 'disconnected',
      detail: '{"reason":"server stopping"}',
    })
  })
})

describe('the bounds', () => {
  it('leave room for one another', () => {
    expect(limits.HTTP_LIFETIME_MIN_MS).toBeLessThan(limits.HTTP_LIFETIME_DEFAULT_MS)
    expect(limits.HTTP_LIFETIME_DEFAULT_MS).toBeLessThan(limits.HTTP_LIFETIME_MAX_MS)
    // A lifetime has nine digits at most, and fits a timer.
    expect(limits.HTTP_LIFETIME_MAX_MS + limits.HTTP_LIFETIME_GRACE_MS).toBeLessThan(1_000_000_000)
    // Whoever reads 16 KiB of headers reads a command with its topic, and what every response has.
    expect(limits.HTTP_COMMAND_MAX_BYTES + limits.TOPIC_MAX_CHARS + 1_024).toBeLessThan(maxHeaderSize)
    expect(limits.HTTP_LOGIN_MAX_BYTES).toBeLessThan(limits.PACKET_MAX_BYTES)
    expect(limits.HTTP_UNFIT_MAX).toBeLessThan(limits.QUEUE_CAP)
  })
})

describe('the documents', () => {
  it('have the table of codes that only HTTP has', () => {
    const docs = readFileSync(new URL('../docs/http-devices.md', import.meta.url), 'utf8')
    const rows = [...docs.matchAll(/^\| (\d+) \| (.*?) \| (vendor|ours) \| (.*?) \|$/gm)]
    expect(
      rows.map(([, code, message, origin, meaning]) => ({ code: Number(code), message, origin, meaning })),
    ).toEqual(
      Object.values(httpCodes)
        .map(({ code, message, origin, meaning }) => ({ code, message, origin, meaning }))
        .sort((a, b) => a.code - b.code),
    )
  })
})
