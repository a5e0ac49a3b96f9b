// Running it: health, readiness, metrics, what happens to calls while the server stops or fails, and that no secret ever leaves it.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { makeId } from '../src/core/command.ts'
import { openMemory } from '../src/store/memory.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import { cancel, get, invoke, search, set } from './rig/contract.ts'
import { RecordingLink } from './rig/engine.ts'
import { type AppRig, type AppRigOptions, expectRefused, httpFleet, startApp, unchanged } from './rig/http.ts'
import { jsonOf, RawConnection, rawCall, request } from './rig/raw.ts'
import { APP, Application, READER, type Rig, STRANGER, startRig, TestDevice } from './rig/server.ts'

async function withApp(options: AppRigOptions, use: (app: AppRig) => Promise<void>): Promise<void> {
  const app = await startApp(options)
  try {
    await use(app)
  } finally {
    await app.stop()
  }
}

/** The same with a store in a file, which can really fail. */
async function withSqlite(options: AppRigOptions, use: (app: AppRig) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-operations-'))
  try {
    await withApp({ ...options, store: openSqlite(join(folder, 'downlink.db')) }, use)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe('health', () => {
  it('/healthz says that the process is up, /readyz that the store answers', () =>
    withApp({}, async ({ url }) => {
      const health = await rawCall(url, request('GET', '/healthz'))
      expect({ status: health.status, body: jsonOf(health) }).toEqual({ status: 200, body: { status: 'up' } })
      const ready = await rawCall(url, request('GET', '/readyz'))
      expect({ status: ready.status, body: jsonOf(ready) }).toEqual({ status: 200, body: { status: 'ready' } })
    }))

  it.each(['memory', 'sqlite'])('/readyz is 503 once the %s store does not answer, /healthz is not', async kind => {
    const warned: string[] = []
    const note = (_fields: object, message: string) => void warned.push(message)
    const log = { info: note, warn: note, error: note }
    await (kind === 'memory' ? withApp : withSqlite)({ log }, async ({ url, store }) => {
      await store.close()
      const ready = await rawCall(url, request('GET', '/readyz'))
      expect({ status: ready.status, body: jsonOf(ready) }).toEqual({
        status: 503,
        body: { status: 'the store does not answer' },
      })
      expect((await rawCall(url, request('GET', '/healthz'))).status).toBe(200)
      expect(warned).toContain('not ready: the store does not answer')
    })
  })
})

describe('a store that fails', () => {
  it('makes a call fail with 500 in the envelope, and the log has the cause under its requestId', async () => {
    const logged: { fields: Record<string, unknown>; message: string }[] = []
    const note = (fields: object, message: string) => void logged.push({ fields: { ...fields }, message })
    await withSqlite({ log: { info: note, warn: note, error: note } }, async ({ app, store }) => {
      const signed = [set, invoke, get, search, cancel].map(params => app.sign(params, '{"value":1}'))
      const calls = await Promise.all(signed)
      await store.close()
      for (const { path, headers } of calls) {
        const answer = await rawCall(app.url, request('POST', path, headers, '{"value":1}'))
        expectRefused({ ...jsonOf(answer), status: answer.status }, 99500, /^An unexpected error occurred$/, 500)
        const { fields, message } = logged.at(-1)!
        expect(message).toBe('a call failed')
        expect(fields).toMatchObject({ requestId: jsonOf(answer).requestId, err: expect.any(Error) })
      }
    })
  })
})

describe('a clock that ran backwards', () => {
  it('makes sets be refused with 503 and Retry-After, and nothing stored, until it has caught up', async () => {
    const startAt = Date.UTC(2026, 0, 1)
    // The last process gave an id for a time that is 6 s ahead of the clock now.
    await withApp({ startAt, lastCommandId: makeId(startAt + 6_000, 0, 0) }, async app => {
      const call = async () => {
        const { path, headers } = await app.app.sign(set, '{"value":1}')
        return rawCall(app.url, request('POST', path, headers, '{"value":1}'))
      }
      const answer = await unchanged(app.app, call)
      expectRefused({ ...jsonOf(answer), status: answer.status }, 99503, 'nothing was stored', 503)
      expect(answer.headers.get('retry-after')).toBe('1')
      await app.advance(2_000)
      expect(jsonOf(await call()).code).toBe(0)
    })
  })
})

describe('callers who wait', () => {
  const published = async (link: RecordingLink, count: number): Promise<void> => {
    while (link.published.length < count) await new Promise(resolve => setImmediate(resolve))
  }

  it('are told that their device was deleted, and whether their command had been sent', () =>
    withApp({}, async ({ app, store, engine }) => {
      const deviceId = (await store.deviceByAsset('a1'))?.id ?? 0
      const link = new RecordingLink()
      await engine.connect(deviceId, link)
      const calls = app.on({ assetId: 'a1' })
      const sent = calls.set(1, { pendingTtl: '0' })
      await published(link, 1)
      const waits = calls.set(2, { pendingTtl: '0' })
      while (engine.gauges().waiters < 2) await new Promise(resolve => setImmediate(resolve))
      expect(await engine.deleteDevice(deviceId, 'operator')).toMatchObject({ ok: true })
      const told = { code: 99410, msg: 'the device was deleted' }
      expect(await sent).toMatchObject({ ...told, data: { commandId: link.published[0]!.commandId, state: 6 } })
      expect(await waits).toMatchObject({ ...told, data: { commandId: expect.stringMatching(/^\d{19}$/), state: 2 } })
      expect(await calls.set(3, { pendingTtl: '0' })).toMatchObject({ code: 99404, data: null })
    }))

  it('are told that their device is offline where it is disabled', () =>
    withApp({}, async ({ app, store, engine }) => {
      const deviceId = (await store.deviceByAsset('a1'))?.id ?? 0
      const link = new RecordingLink()
      link.ready = false
      await engine.connect(deviceId, link)
      const waits = app.on({ assetId: 'a1' }).set(1, { pendingTtl: '0' })
      while (engine.gauges().waiters < 1) await new Promise(resolve => setImmediate(resolve))
      await engine.disable(deviceId, 'operator')
      expect(await waits).toMatchObject({ code: 11900, data: { state: 6 } })
    }))
})

describe('metrics', () => {
  it('are Prometheus text with what happened, and with labels that no caller or device can choose', () =>
    withApp({ store: openMemory() }, async ({ url, app, store, engine }) => {
      const calls = app.on({ assetId: 'a1' })
      await calls.queue(2)
      await calls.search({ expression: 'nonsense' })
      await app.call({ action: 'invented-by-a-caller' })
      const deviceId = (await store.deviceByAsset('a2'))?.id ?? 0
      const link = new RecordingLink()
      await engine.connect(deviceId, link)
      for (const code of [54_321, 987_654]) {
        const answer = app.on({ assetId: 'a2' }).set(1, { pendingTtl: '0' })
        const published = link.published.length
        while (link.published.length === published) await new Promise(resolve => setImmediate(resolve))
        const { commandId } = link.published.at(-1)!
        await engine.apply(deviceId, {
          type: 'reply',
          commandId,
          code,
          deviceCode: String(code),
          message: null,
          outputJson: null,
        })
        expect(await answer).toMatchObject({ code, data: { deviceCode: code, state: 6 } })
      }
      const answer = await rawCall(url, request('GET', '/metrics'))
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
      const lines = answer.body.split('\n').filter(line => line !== '')
      for (const line of lines)
        expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)+\})? (-?[\d.e+-]+|Na[nN]|\+Inf))$/)
      expect(lines).toContain('downlink_http_calls_total{action="setMeasurepoint",code="0"} 2')
      expect(lines).toContain('downlink_http_calls_total{action="search",code="99400"} 1')
      expect(lines).toContain('downlink_http_calls_total{action="unknown",code="99400"} 1')
      expect(lines).toContain('downlink_http_calls_total{action="setMeasurepoint",code="device"} 2')
      expect(answer.body).toMatch(/^downlink_transitions_total\{to="failed",reason="\w+"\} 2$/m)
      expect(answer.body).not.toMatch(/54321|987654|invented/)
    }))

  it('are made once a second however often they are asked for', () =>
    withApp({}, async ({ url, app, metrics, advance }) => {
      let made = 0
      const make = metrics.registry.metrics.bind(metrics.registry)
      metrics.registry.metrics = () => {
        made += 1
        return make()
      }
      const scrape = async () => (await rawCall(url, request('GET', '/metrics'))).body
      const searches = /^downlink_http_calls_total\{action="search",code="0"\} 1$/m
      const texts = await Promise.all(Array.from({ length: 5 }, scrape))
      await app.on({ assetId: 'a1' }).search()
      await advance(999)
      texts.push(await scrape())
      expect({ made, different: new Set(texts).size }).toEqual({ made: 1, different: 1 })
      expect(texts[0]).not.toMatch(searches)
      await advance(1)
      expect(await scrape()).toMatch(searches)
      expect(made).toBe(2)
    }))
})

describe('a stop', () => {
  it('tells who waits with 503 and the commandId, lets what came in be durable, and takes nothing new', async () => {
    let rig: Rig = await startRig([], httpFleet())
    try {
      const { httpUrl } = rig.server
      const device = await new TestDevice(rig.server.mqttUrl, 'd1').connected()
      device.answer = () => undefined
      const instant = async () => {
        const { path, headers } = await rig.app.sign({ ...set, pendingTtl: '0', timeout: '60' }, '{"value":1}')
        return new RawConnection(httpUrl).send(request('POST', path, headers, '{"value":1}'))
      }
      const first = await instant()
      await device.count(1)
      const second = await instant()
      const queued = rig.app.on({ assetId: 'a1' })
      while ((await queued.search()).pagination.totalSize < 2) await new Promise(resolve => setImmediate(resolve))
      // A call whose body is half here when the stop begins, and one behind it on the same connection.
      const late = await rig.app.sign({ ...set, assetId: 'a2' }, '{"value":2}')
      const bytes = request('POST', late.path, late.headers, '{"value":2}')
      const half = new RawConnection(httpUrl).send(request('GET', '/healthz')).send(bytes.subarray(0, -4))
      await half.answer()

      const stopped = rig.server.stop()
      const waited = [await first.answer(), await second.answer()]
      const told = waited.map(answer => ({
        ...jsonOf(answer),
        status: answer.status,
        retry: answer.headers.get('retry-after'),
      }))
      expect(told).toMatchObject([
        { status: 503, retry: '1', code: 99503, data: { state: 4, commandId: expect.any(String) } },
        { status: 503, retry: '1', code: 99503, data: { state: 1, commandId: expect.any(String) } },
      ])
      half.send(Buffer.concat([bytes.subarray(-4), bytes]))
      const [accepted, refused] = await half.answers(2)
      expect(jsonOf(accepted!)).toMatchObject({ code: 0 })
      expectRefused({ ...jsonOf(refused!), status: refused!.status }, 99503, 'stopping; nothing was stored', 503)
      expect(refused!.headers.get('retry-after')).toBe('1')
      await half.closed()
      await stopped
      await device.end()
      await expect(fetch(`${httpUrl}/healthz`)).rejects.toThrow()

      rig = await rig.restart()
      const [sentOne] = told
      expect((await rig.app.on({ assetId: 'a1' }).get(sentOne.data.commandId)).data.state).toBe(4)
      expect((await rig.app.on({ assetId: 'a1' }).search()).pagination.totalSize).toBe(2)
      const found = await rig.app.on({ assetId: 'a2' }).search()
      expect(found.data).toMatchObject([{ commandId: jsonOf(accepted!).data.commandId, state: 1, inputData: 2 }])
      expect(found.pagination.totalSize).toBe(1)
    } finally {
      await rig.stop()
    }
  })
})

describe('secrets', () => {
  it('are in no answer and in no line of the log, whatever is called', async () => {
    const fleet = httpFleet()
    const secrets = [...fleet.matchAll(/"\w+Secret":"([^"]{8,})"/g)].map(match => match[1]!)
    expect(secrets.length).toBeGreaterThan(15)
    const lines: string[] = []
    const capture = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
    const rig = await startRig(['--log-level', 'trace'], fleet, capture)
    const answers: string[] = []
    const note = async (bytes: Buffer | string) =>
      void answers.push(JSON.stringify(await rawCall(rig.server.httpUrl, bytes)))
    const tokens: string[] = []
    try {
      for (const credentials of [APP, READER, STRANGER, { ...APP, appSecret: 'this-is-a-wrong-secret' }]) {
        const app = new Application(rig.server.httpUrl, credentials)
        if (credentials.appSecret.startsWith('this')) app.token = tokens[0]!
        else tokens.push(await app.getToken())
        for (const params of [
          set,
          invoke,
          get,
          search,
          cancel,
          { ...get, commandId: '1' },
          { ...search, orgId: 'oOther', assetId: 'other1' },
          {},
        ]) {
          for (const body of ['', '{"value":1,"inputData":{}}', '{{{']) {
            const { path, headers } = await app.sign(params, body)
            await note(request('POST', path, headers, body))
            await note(request('GET', path, { ...headers, 'apim-timestamp': '1' }))
            await note(request('POST', path, { ...headers, 'apim-signature': null }, body))
          }
        }
      }
      for (const path of ['/', '/healthz', '/readyz', '/metrics', '/%zz', '/fleet', '/connect-service/v2.1/products'])
        await note(request('GET', path))
      for (const body of [
        '',
        '{"appKey":1}',
        JSON.stringify({ appKey: APP.appKey, encryption: '0'.repeat(64), timestamp: 1 }),
      ])
        await note(request('POST', '/apim-token-service/v2.0/token/refresh', {}, body))
      await note('no http\r\n\r\n')
      const device = await new TestDevice(rig.server.mqttUrl, 'd1').connected()
      await rig.app.on({ assetId: 'a1' }).set(1, { pendingTtl: '0' })
      await device.end()
      const wrong = new TestDevice(rig.server.mqttUrl, 'd2', { password: 'this-is-a-wrong-secret' })
      await wrong.closed()
      await wrong.end()
    } finally {
      await rig.server.stop()
    }
    const log = lines.join('')
    const said = answers.join('\n')
    expect(answers.length).toBeGreaterThan(250)
    expect(log).toContain('stopped')
    for (const secret of [...secrets, 'this-is-a-wrong-secret']) {
      expect(said).not.toContain(secret)
      expect(log).not.toContain(secret)
    }
    for (const token of tokens) {
      expect(said).not.toContain(token)
      expect(log).not.toContain(token)
    }
    const key = readFileSync(join(rig.folder, 'secret.key'), 'utf8').trim()
    expect(said + log).not.toContain(key)
    await rig.stop()
  })
})
