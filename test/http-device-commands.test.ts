// Commands on the responses to a device that speaks HTTP: what is handed out, when, and never twice. Over real sockets and a clock that the test moves.

import { EventEmitter, once } from 'node:events'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { Kind } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import { HTTP_COMMAND_MAX_BYTES, HTTP_LIFETIME_GRACE_MS, HTTP_UNFIT_MAX, TURN_MAX_MS } from '../src/core/limits.ts'
import { DeviceSession } from '../src/http/device-session.ts'
import { commandHeaders, headerJson } from '../src/http/device-wire.ts'
import { StoreUnavailable } from '../src/store/nodes.ts'
import { Turns } from '../src/uplink/turns.ts'
import { HttpDevicesRig, type HttpDevicesRigOptions } from './rig/http-devices.ts'
import { RawConnection, request } from './rig/raw.ts'
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

const SET = { kind: Kind.set, identifier: 'Level', inputJson: '7' }
const [CREATED, CANCELLED, SENT, SUCCEEDED, FAILED, TIMED_OUT] = [1, 2, 4, 5, 6, 7]

describe('a command', () => {
  it('that waited rides on the response to a request, and is answered by a request of its own', async () => {
    const rig = await start()
    const { id } = await rig.accept('d1', { inputJson: '{"delay":5}' })
    const device = rig.device('d1')
    // A program that uses the vendor's SDK has set no handler yet when the SDK logs in.
    expect((await device.login({ acceptCommandTypes: ['CMD_PENDING_INVOKE'] })).command).toBeNull()
    expect(await rig.states('d1', [id])).toEqual([CREATED])
    const told = await device.report()
    expect(told).toMatchObject({ status: 200, code: 200, data: {} })
    expect(told.headers.get('topic')).toBe('/sys/pk/d1/thing/service/reboot')
    expect(told.headers.get('command-payload')).toBe(
      `{"id":"${id}","version":"1.0","params":{"delay":5},"method":"thing.service.reboot"}`,
    )
    expect(await rig.states('d1', [id])).toEqual([SENT])
    expect(await device.reply(told.command, { data: { ok: true } })).toMatchObject({ status: 200, code: 200 })
    const { command, body } = await rig.stored('d1', id)
    expect(command.state).toBe(SUCCEEDED)
    expect(body.outputJson).toBe('{"ok":true}')
    expect(await rig.reasons('d1', id)).toEqual(['accepted', 'sent', 'reply'])
  })

  it('follows the answer to the one before, on the next response that the SDK looks at', async () => {
    const rig = await start()
    const ids = [await rig.accept('d1'), await rig.accept('d1'), await rig.accept('d1')].map(({ id }) => id)
    const device = await rig.loggedIn('d1')
    const first = await device.report()
    expect(first.command?.payload.id).toBe(ids[0])
    // While the first one is out, no other leaves.
    expect((await device.report()).command).toBeNull()
    // The SDK does not look for a command on the response to its answer, so there it would be lost.
    expect((await device.reply(first.command)).command).toBeNull()
    expect(await rig.states('d1', ids)).toEqual([SUCCEEDED, CREATED, CREATED])
    const second = await device.report()
    expect(second.command?.payload.id).toBe(ids[1])
    expect((await device.reply(second.command, { code: '2001', message: 'jammed' })).code).toBe(200)
    expect((await rig.stored('d1', ids[1] ?? '')).command).toMatchObject({ state: FAILED, code: 2001 })
    // A request that is refused takes a command along as well.
    const third = await device.request('thing/nonsense', {})
    expect(third).toMatchObject({ code: 501, command: { payload: { id: ids[2] } } })
  })

  it('is handed out once, and is timed out where nothing came back', async () => {
    const rig = await start()
    const lost = await rig.accept('d1')
    const next = await rig.accept('d1')
    const device = await rig.loggedIn('d1')
    expect((await device.report()).command?.payload.id).toBe(lost.id)
    await rig.advance(30_000)
    expect(await rig.states('d1', [lost.id, next.id])).toEqual([TIMED_OUT, CREATED])
    // The device is no worse for having been silent: it gets the next one when it comes.
    const told = await device.report()
    expect(told.command?.payload.id).toBe(next.id)
    expect(await rig.reasons('d1', lost.id)).toEqual(['accepted', 'sent', 'timeout'])
    // The answer to the lost one comes after all.
    expect(await device.reply({ topic: told.command?.topic ?? '', payload: { id: lost.id } })).toMatchObject({
      code: 200,
      message: expect.stringMatching(/too late/),
    })
    expect(await rig.states('d1', [lost.id, next.id])).toEqual([TIMED_OUT, SENT])
  })

  it('that times out while its device reports now and then makes way for the next one', async () => {
    const rig = await start()
    const lost = await rig.accept('d1')
    const next = await rig.accept('d1')
    const device = await rig.loggedIn('d1')
    await device.report()
    await rig.advance(29_999)
    expect((await device.report()).command).toBeNull()
    await rig.advance(1)
    expect((await device.report()).command?.payload.id).toBe(next.id)
    expect(await rig.states('d1', [lost.id, next.id])).toEqual([TIMED_OUT, SENT])
  })

  it('waits where the device did not say that it takes commands', async () => {
    const rig = await start()
    const { id } = await rig.accept('d1')
    const device = rig.device('d1')
    for (const acceptCommandTypes of [undefined, [], ['CMD_OTA_UPGRADE'], ['cmd_pending_invoke']]) {
      await device.login({ acceptCommandTypes })
      expect((await device.report()).command).toBeNull()
    }
    expect(await rig.states('d1', [id])).toEqual([CREATED])
    await device.login({ acceptCommandTypes: ['CMD_OTA_UPGRADE', 'CMD_PENDING_INVOKE'] })
    expect((await device.report()).command?.payload.id).toBe(id)
  })

  it('that was cancelled is not handed out, and one that was handed out is not cancelled', async () => {
    const rig = await start()
    const [first, second] = [await rig.accept('d1'), await rig.accept('d1')]
    const { id: deviceId } = await rig.row('d1')
    const device = await rig.loggedIn('d1')
    await rig.engine.cancel(deviceId, first.id, 'test')
    const told = await device.report()
    expect(told.command?.payload.id).toBe(second.id)
    expect(await rig.engine.cancel(deviceId, null, 'test')).toMatchObject({ ok: true, cancelled: [] })
    expect(await rig.states('d1', [first.id, second.id])).toEqual([CANCELLED, SENT])
  })

  it('that is instant is sent if the device asks for something in time, and fails if it does not', async () => {
    const rig = await start()
    const device = await rig.loggedIn('d1')
    const instant = { pendingTtlS: 0, timeoutS: 30, wait: true }
    const answered = await rig.accept('d1', instant)
    await rig.advance(29_999)
    const { command } = await device.report()
    expect(command?.payload.id).toBe(answered.id)
    await device.reply(command, { data: { ok: false } })
    expect(await answered.settlement).toMatchObject({ type: 'settled', command: { state: SUCCEEDED, code: 0 } })

    const late = await rig.accept('d1', instant)
    await rig.advance(30_000)
    expect((await device.report()).command).toBeNull()
    expect((await late.settlement)?.command).toMatchObject({ state: FAILED, code: errors.notSent.code })

    // Its session over, the device is offline.
    await device.login({ lifetime: 10_000, acceptCommandTypes: ['CMD_PENDING_INVOKE'] })
    const gone = await rig.accept('d1', { ...instant, timeoutS: 60 })
    await rig.advance(10_000 + HTTP_LIFETIME_GRACE_MS)
    expect((await gone.settlement)?.command).toMatchObject({ state: FAILED, code: errors.offline.code })
    expect((await rig.accept('d1', instant)).command).toMatchObject({ state: FAILED, code: errors.offline.code })
  })

  it('goes out by the session that the device has now, and its answer counts from any', async () => {
    const rig = await start()
    const [first, second] = [await rig.accept('d1'), await rig.accept('d1')]
    const http = await rig.loggedIn('d1')
    const { command } = await http.report()
    expect(command?.payload.id).toBe(first.id)
    const mqtt = await new TestDevice(rig.mqttUrl, 'd1', { keepalive: 0 }, 'pk').connected()
    mqtt.client.publish(`${command?.topic}_reply`, JSON.stringify({ id: first.id, code: 200 }), { qos: 1 })
    while ((await rig.states('d1', [first.id]))[0] !== SUCCEEDED) await rig.rest()
    expect((await http.report()).status).toBe(401)
    await rig.advance(100)
    await mqtt.count(1)
    expect(mqtt.ids()).toEqual([second.id])
    await mqtt.end()
  })
})

describe('the link of a session', () => {
  it('is silent from its command until the next request, and keeps no timer when it is over', async () => {
    const rig = await start()
    const device = await rig.row('d1')
    const timers = new Set<object>()
    const clock = {
      now: () => rig.clock.now(),
      wall: () => rig.clock.wall(),
      at: (instant: number, run: () => void) => {
        const timer = {}
        timers.add(timer)
        const cancel = rig.clock.at(instant, () => {
          timers.delete(timer)
          run()
        })
        return () => {
          timers.delete(timer)
          cancel()
        }
      },
    }
    const terms = { sessionId: 's', device, lifetimeMs: 1_000, takesInvocations: true, isCustom: false }
    const session = new DeviceSession(terms, { engine: rig.engine, clock, turns: null, gone: () => undefined })
    const answer = await rig.engine.connect(device.id, session)
    if (!answer.ok) throw new Error(answer.message)
    session.begin(answer.session)
    expect(session.presence()).toEqual({ ready: false, silent: false })
    const { id } = await rig.accept('d1')
    const performed = await session.perform(
      async () => session.presence(),
      () => true,
    )
    // Not ready while the request is performed: what is decided then may settle it, or change the queue.
    expect(performed?.answer).toEqual({ ready: false, silent: false })
    expect(JSON.parse(performed?.command?.['command-payload'] ?? '')).toMatchObject({ id })
    expect(session.presence()).toEqual({ ready: false, silent: true })
    session.seen()
    expect(session.presence()).toEqual({ ready: false, silent: false })
    expect(timers.size).toBe(1)
    await rig.loggedIn('d1')
    expect(session.isOver).toBe(true)
    expect(timers.size).toBe(0)
  })
})

describe('requests of a session', () => {
  it('that are answered at once give the loop a turn between them', async () => {
    const rig = await start()
    const device = await rig.row('d1')
    const log: string[] = []
    let now = 0
    const defer = (run: () => void) =>
      void setImmediate(() => {
        log.push('turn')
        run()
      })
    const turns = new Turns({ clock: { now: () => now }, defer })
    const terms = { sessionId: 's', device, lifetimeMs: 1_000, takesInvocations: false, isCustom: false }
    const { engine, clock } = rig
    const session = new DeviceSession(terms, { engine, clock, turns, gone: () => undefined })
    const work = (name: string, ms: number) => async () => {
      log.push(name)
      now += ms
      return name
    }
    const long = TURN_MAX_MS
    const asked = [long, long, 1, 1, long].map((ms, n) => session.perform(work(String(n), ms), () => true))
    expect((await Promise.all(asked)).map(performed => performed?.answer)).toEqual(['0', '1', '2', '3', '4'])
    expect(log.join(' ')).toMatch(/^0 turn 1 turn 2 3 4/)
  })
})

describe('an answer', () => {
  it('that is none, is for another device, or to nothing that was sent, is told so', async () => {
    const rig = await start()
    const { id } = await rig.accept('d1')
    const device = await rig.loggedIn('d1')
    const other = await rig.loggedIn('d2')
    const topic = `${device.sys}/thing/service/reboot_reply`
    for (const body of ['', '{', '[]', '{}', '{"id":true}', '{"id":"x"}'])
      expect(await device.post(topic, body)).toMatchObject({ status: 200, code: 1220 })
    expect(await other.post(topic, { id, code: 200 })).toMatchObject({ status: 200, code: 1009 })
    expect(await device.post(topic, { id: '7', code: 200 })).toMatchObject({
      code: 404,
      message: expect.stringMatching(/id 7/),
    })
    // One that has not been sent yet cannot be answered.
    expect(await device.post(topic, { id, code: 200 })).toMatchObject({ code: 404 })
    const { command } = await device.report()
    expect(await other.post(`${other.sys}/thing/service/reboot_reply`, { id, code: 200 })).toMatchObject({ code: 404 })
    expect(await rig.states('d1', [id])).toEqual([SENT])
    expect((await device.reply(command)).code).toBe(200)
    expect(await device.reply(command)).toMatchObject({ code: 200, message: expect.stringMatching(/too late/) })
  })
})

describe('a command that no header can carry', () => {
  it('fails, says why, and does not hold up those behind it', async () => {
    const rig = await start()
    const set = await rig.accept('d1', { ...SET, wait: true, pendingTtlS: 600 })
    const invoke = await rig.accept('d1')
    const device = await rig.loggedIn('d1')
    expect((await device.report()).command?.payload.id).toBe(invoke.id)
    expect((await rig.stored('d1', set.id)).command).toMatchObject({ state: FAILED, code: 11810, sentAt: null })
    expect(await rig.reasons('d1', set.id)).toEqual(['accepted', 'sent', 'unsent: unsupported'])
    expect((await set.settlement)?.command).toMatchObject({ state: FAILED, code: 11810 })
  })

  it('is one of so many that a response takes, then the next one goes on', async () => {
    const rig = await start()
    const sets: string[] = []
    for (let i = 0; i <= HTTP_UNFIT_MAX; i++) sets.push((await rig.accept('d1', SET)).id)
    const invoke = await rig.accept('d1')
    const device = await rig.loggedIn('d1')
    expect((await device.report()).command).toBeNull()
    await rig.rest()
    expect(await rig.states('d1', sets)).toEqual([...Array(HTTP_UNFIT_MAX).fill(FAILED), CREATED])
    expect((await device.report()).command?.payload.id).toBe(invoke.id)
    expect(await rig.states('d1', sets)).toEqual(Array(HTTP_UNFIT_MAX + 1).fill(FAILED))
  })

  it('is one that is too large, by a byte', async () => {
    const rig = await start()
    const device = await rig.loggedIn('free1', 'free')
    const head = '{"id":"1234567890123456789","version":"1.0","params":{"a":""},"method":"thing.service.reboot"}'.length
    const input = (length: number) => JSON.stringify({ a: 'x'.repeat(length) })
    const fits = await rig.accept('free1', { productKey: 'free', inputJson: input(HTTP_COMMAND_MAX_BYTES - head) })
    const not = await rig.accept('free1', { productKey: 'free', inputJson: input(HTTP_COMMAND_MAX_BYTES - head + 1) })
    // What counts is what the header has: six characters for each of these.
    const wide = await rig.accept('free1', { productKey: 'free', inputJson: JSON.stringify({ a: '泵'.repeat(2_000) }) })
    const { command, headers } = await device.report()
    expect(command?.payload.id).toBe(fits.id)
    expect(headers.get('command-payload')).toHaveLength(HTTP_COMMAND_MAX_BYTES)
    await device.reply(command)
    expect((await device.report()).command).toBeNull()
    for (const { id } of [not, wide]) {
      expect((await rig.stored('free1', id, 'free')).command).toMatchObject({ state: FAILED, code: 11810 })
      expect(await rig.reasons('free1', id, 'free')).toEqual(['accepted', 'sent', 'unsent: tooLarge'])
    }
  })

  it('is every one for a product with a format of its own', async () => {
    const rig = await start()
    const { id } = await rig.accept('custom1', { productKey: 'custom' })
    const device = await rig.loggedIn('custom1', 'custom')
    expect((await device.report()).command).toBeNull()
    await rig.rest()
    expect(await rig.reasons('custom1', id, 'custom')).toEqual(['accepted', 'sent', 'unsent: unsupported'])
  })
})

describe('a header', () => {
  it('means what the command means, and cannot be ended by it', async () => {
    const rig = await start()
    const device = await rig.loggedIn('free1', 'free')
    const input = {
      text: 'Düse 泵 😀 \u2028\u007f"\\/',
      'x\r\ntopic: /evil\r\n\r\n<html>': '\r\nset-cookie: a=b\r\n\r\n\u0000',
      half: '\ud800',
      '\r\n': ['\r', '\n', '\u0085'],
    }
    // As one that formats its JSON could have stored it: with line breaks between the tokens.
    const inputJson = JSON.stringify(input, null, '\r\n\t')
    const { id } = await rig.accept('free1', { productKey: 'free', inputJson, identifier: 'a.b_c-9' })

    const connection = new RawConnection(rig.url)
    const path = `/topic${device.sys}/thing/tag/query?sessionId=${device.sessionId}`
    const answer = await connection.send(request('POST', path, {}, '{"id":"1","params":{"tags":[]}}')).answer()
    connection.destroy()
    expect([...answer.headers.keys()].sort()).toEqual(
      ['command-payload', 'connection', 'content-length', 'content-type', 'date', 'keep-alive', 'topic'].sort(),
    )
    expect(answer.headers.get('topic')).toBe('/sys/free/free1/thing/service/a.b_c-9')
    expect(JSON.parse(answer.body)).toMatchObject({ id: '1', code: 200 })
    const payload = answer.headers.get('command-payload') ?? ''
    expect(payload).toMatch(/^[\x20-\x7e]+$/)
    expect(JSON.parse(payload)).toEqual({ id, version: '1.0', params: input, method: 'thing.service.a.b_c-9' })
  })

  it('is printable ASCII and the same JSON, whatever the JSON', () => {
    const spaces = fc.constantFrom('', ' ', '\t', '\n', '\r\n', '\r')
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), spaces, (value, space) => {
        const json = JSON.stringify(value, null, space)
        const header = headerJson(json)
        expect(header).toMatch(/^[\x20-\x7e]*$/)
        expect(JSON.parse(header)).toEqual(JSON.parse(json))
      }),
    )
  })

  it('says the topic of a service, and no identifier can change it', () => {
    const keys = { productKey: 'pk', deviceKey: 'dk' }
    const downlink = { commandId: '1', kind: Kind.invoke, inputJson: '{}', session: 1, notAfter: 1 }
    expect(commandHeaders(keys, { ...downlink, identifier: 'a.b' })).toEqual({
      topic: '/sys/pk/dk/thing/service/a.b',
      'command-payload': '{"id":"1","version":"1.0","params":{},"method":"thing.service.a.b"}',
    })
  })
})

describe('a device that hangs up', () => {
  it('before its request is done is not sent what it would not get', async () => {
    let arrived = (): void => undefined
    const came = new Promise<void>(resolve => (arrived = resolve))
    let release = (): void => undefined
    const released = new Promise<void>(resolve => (release = resolve))
    let isHeld = true
    const rig = await start({
      requests: real => ({
        answer: async (asked, asker) => {
          arrived()
          if (isHeld) await released
          return real.answer(asked, asker)
        },
      }),
    })
    const { id } = await rig.accept('d1')
    const device = await rig.loggedIn('d1')
    const connection = new RawConnection(rig.url)
    const gone = once(rig.app.server, 'connection').then(([socket]) => once(socket, 'close'))
    const path = `/topic${device.sys}/thing/measurepoint/post?sessionId=${device.sessionId}`
    connection.send(request('POST', path, {}, '{"id":"1","params":{}}'))
    await came
    connection.destroy()
    await gone
    release()
    isHeld = false
    // Its turn is over before that of the next request begins.
    const told = await device.report()
    expect(told.command?.payload.id).toBe(id)
    expect(await rig.reasons('d1', id)).toEqual(['accepted', 'sent'])
  })

  it('while its command is being made durable gets it later, and the record says so', async () => {
    const rig = await start()
    const { id } = await rig.accept('d1')
    const device = await rig.loggedIn('d1')
    const connection = new RawConnection(rig.url)
    const accepted = once(rig.app.server, 'connection')
    // The commit that makes it sent takes until the connection is gone.
    const { store } = rig
    const commit = store.commit.bind(store)
    let isFirst = true
    store.commit = async batch => {
      const isSent = batch.changes.some(({ updates }) => updates.some(({ command }) => command.state === SENT))
      const stale = await commit(batch)
      if (isSent && isFirst) {
        isFirst = false
        const [socket] = await accepted
        connection.destroy()
        await once(socket, 'close')
      }
      return stale
    }
    const path = `/topic${device.sys}/thing/measurepoint/post?sessionId=${device.sessionId}`
    connection.send(request('POST', path, {}, '{"id":"1","params":{}}'))
    await connection.closed()
    while ((await rig.reasons('d1', id)).at(-1) !== 'unsent: sessionGone') await rig.rest()
    expect(await rig.states('d1', [id])).toEqual([CREATED])
    expect((await device.report()).command?.payload.id).toBe(id)
    expect(await rig.reasons('d1', id)).toEqual(['accepted', 'sent', 'unsent: sessionGone', 'sent'])
  })
})

describe('a store that is away', () => {
  it('does not hold up a command that an earlier batch has given to a response', async () => {
    const rig = await start()
    const device = await rig.loggedIn('d1')
    const { id } = await rig.accept('d1', { timeoutS: 1 })
    const { id: deviceId } = await rig.row('d1')
    const { store } = rig
    const load = store.load.bind(store)
    let letLoad = (): void => undefined
    const held = new Promise<void>(resolve => {
      letLoad = resolve
    })
    let loads = 0
    store.load = async keys => {
      loads += 1
      if (loads > 1) throw new StoreUnavailable('gone')
      await held
      return load(keys)
    }
    void rig.engine.apply(deviceId, { type: 'tick' })
    await once(new Signalled(() => loads === 1), 'met')
    const reported = device.report()
    // What it says is with the engine while the batch before it is loaded.
    await once(new Signalled(() => rig.engine.gauges().pending === 1), 'met')
    letLoad()
    const told = await reported
    expect(told.command?.payload.id).toBe(id)
    store.load = load
    expect(await rig.states('d1', [id])).toEqual([SENT])
  })
})

/** Tells `met` in the first turn of the loop in which that is so. */
class Signalled extends EventEmitter {
  constructor(isMet: () => boolean) {
    super()
    const look = (): void => {
      if (isMet()) this.emit('met')
      else setImmediate(look)
    }
    setImmediate(look)
  }
}
