// The parts of packages/client by themselves: digests, pauses, the format of streams, errors and the codes that they share with the server, what is sent as
// JSON, one exchange with a server that misbehaves, and waiting. Not here: the client against a real server (client.test.ts).

import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { toJson } from '../packages/client/src/caller.ts'
import {
  type Answer,
  codes,
  DownlinkError,
  errors,
  NoAnswer,
  noToken,
  refusalOf,
  shown,
} from '../packages/client/src/errors.ts'
import { MessageReader } from '../packages/client/src/events.ts'
import { exchange, type Request, readObject, readText, retryAfterMs } from '../packages/client/src/exchange.ts'
import * as limits from '../packages/client/src/limits.ts'
import { mayRepeat, pauseMs, sleep, withRetries } from '../packages/client/src/retry.ts'
import { encryption, signature } from '../packages/client/src/signature.ts'
import { Tokens } from '../packages/client/src/token.ts'
import { waitForEnd } from '../packages/client/src/wait.ts'
import { type CommandRecord, isFinal, State, stateName } from '../packages/client/src/wire.ts'
import { isOpen, State as ServerState, stateName as serverStateName } from '../src/core/command.ts'
import { authErrors, errors as serverErrors } from '../src/core/errors.ts'
import * as serverLimits from '../src/core/limits.ts'
import { parseQuery, signature as serverSignature } from '../src/http/signature.ts'

describe('digests', () => {
  const appSecret = '65417473-2da3-40cc-b235-513b9123aefg'
  const timestamp = '1572574909697'
  const query = (text: string) => new URLSearchParams(text)

  it('are the golden vectors of the vendor, and our own', async () => {
    const body = '{\n  "count": 20,\n  "page": 1,\n  "desc": "描述"\n}'
    expect(await signature('xxxxaaaxxxx', query('k3=v3&k1=v1&k2=v2'), body, timestamp, 'xxxappSecretxxx')).toBe(
      '59828328f6c1f9771015dc74e4929ae30f518a35a3d2353972c2ea46556fc981',
    )
    expect(await encryption('5acb82e7-a11e-4300-9164-c8b20b638e8b', timestamp, appSecret)).toBe(
      '9be399e5c31ed54fbbc535ba56fbefce39b0cee949540f18903df0231a69413c',
    )
    const cancel = query(
      'action=cancel&deviceKey=yourDeviceKey&productKey=yourProductKey&orgId=yourOrgId&commandId=2278935391225618432',
    )
    expect(await signature('TOKEN', cancel, '', timestamp, appSecret)).toBe(
      '7ecc993b7e7501bf7d8eb3d2322b0f04065df679576d3f740c2b979e874d04f0',
    )
    const set = query(
      'action=setMeasurepoint&orgId=yourOrgId&assetId=yourAssetId&measurepointId=Int_value&pendingTtl=600&timeout=30',
    )
    expect(await signature('TOKEN', set, '{"value":1.0}', timestamp, appSecret)).toBe(
      '774b4c2d09ddc888c4b9e1c0cb65b11113ff90187fa0e7be140954000cfcd1ac',
    )
  })

  it('are what the server makes of the same call, whatever is in its query', async () => {
    const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 6 }).filter(name => name.trim() !== '')
    const pairs = fc.uniqueArray(fc.tuple(text, fc.string({ unit: 'binary', maxLength: 6 })), {
      selector: ([name]) => new URLSearchParams([[name, '']]).keys().next().value?.trim(),
      maxLength: 5,
    })
    await fc.assert(
      fc.asyncProperty(pairs, fc.string({ unit: 'grapheme' }), async (given, body) => {
        const sent = new URLSearchParams(given)
        const read = parseQuery(sent.toString())
        if (!read.ok) throw new Error(read.message)
        const expected = serverSignature('T', read.signed, Buffer.from(body), '1', 'S')
        expect(await signature('T', sent, body, '1', 'S')).toBe(expected)
      }),
      { numRuns: 50 },
    )
  })
})

describe('codes', () => {
  it('are the server’s, with its advice', () => {
    const { ok: _, ...refusals } = serverErrors
    const table = Object.fromEntries(
      Object.entries({ ...refusals, ...authErrors }).map(([name, { code, retriable, next }]) => [
        name,
        { code, retriable, next },
      ]),
    )
    expect(errors).toEqual(table)
    expect(codes.offline).toBe(11900)
    expect(new Set(Object.values(codes)).size).toBe(Object.keys(codes).length)
  })

  it('and so are the states', () => {
    expect(State).toEqual(ServerState)
    expect(stateName).toEqual(serverStateName)
    for (const state of Object.values(State)) expect(isFinal(state)).toBe(!isOpen(state))
  })
})

const answer = (fields: Partial<Answer>): Answer => ({
  ...{ httpStatus: 200, code: 99500, msg: 'm', requestId: 'r', data: null, fields: {}, text: '' },
  ...fields,
})
const READS = { changes: false, repeatable: true }
const ONCE = { changes: true, repeatable: false }
const KEYED = { changes: true, repeatable: true }

describe('a refusal', () => {
  it.each([
    // code, data, of what call: outcome, retriable, repeated
    [99400, null, KEYED, 'notDone', false, false],
    [99503, null, ONCE, 'notDone', true, true],
    [99503, { commandId: '1', state: 1 }, KEYED, 'onRecord', true, false],
    [11900, { commandId: '1', state: 6 }, KEYED, 'onRecord', true, false],
    [11915, { commandId: '1', state: 7 }, KEYED, 'onRecord', false, false],
    [99504, null, KEYED, 'unknown', true, true],
    [99504, null, ONCE, 'unknown', false, false],
    [99504, null, READS, 'notDone', false, false],
    [99500, null, ONCE, 'unknown', false, false],
    [99500, null, KEYED, 'unknown', true, true],
    [99500, null, READS, 'notDone', true, true],
    [99409, null, KEYED, 'notDone', false, false],
    [12345, null, KEYED, 'unknown', false, false],
  ] as const)('%s with %j of %j is %s', (code, data, nature, outcome, retriable, repeated) => {
    const error = refusalOf(answer({ code, data }), nature)
    expect({ code: error.code, outcome: error.outcome, retriable: error.retriable }).toEqual({
      code,
      outcome,
      retriable,
    })
    expect(mayRepeat(error)).toBe(repeated)
    expect(error.commandId).toBe(data?.commandId ?? null)
    expect(error.state).toBe(data?.state ?? null)
  })

  it('of a gateway that has had too many calls is repeated, whatever its code', () => {
    expect(mayRepeat(refusalOf(answer({ httpStatus: 429, code: 1 }), ONCE))).toBe(true)
  })

  it('of a device is not taken for one of ours, whatever its code', () => {
    const data = { commandId: '1', state: 6, deviceCode: 11900 }
    const error = refusalOf(answer({ code: 11900, msg: 'jammed\u001b[2J', data }), KEYED)
    expect(error).toMatchObject({
      code: null,
      deviceCode: 11900,
      retriable: false,
      outcome: 'onRecord',
      commandId: '1',
    })
    expect(error.message).toContain('the device answered 11900: jammed\\u001b[2J; command 1 is failed')
    const odd = refusalOf(answer({ data: { ...data, deviceCode: 'E1' } }), KEYED)
    expect(odd.message).toContain('the device answered "E1"')
  })

  it('says what to do, and keeps the answer for whoever wants it', () => {
    const error = refusalOf(answer({ code: 99404, msg: 'device not found' }), READS, { note: 'Beside that.' })
    expect(error.message).toBe(`refused with 99404: device not found. ${serverErrors.notFound.next} Beside that.`)
    expect(error.problem).toBe('refused with 99404: device not found')
    expect(error).toMatchObject({ requestId: 'r', httpStatus: 200, name: 'DownlinkError' })
    expect(error.answer?.msg).toBe('device not found')
    expect('cause' in error).toBe(false)
    const token = noToken(answer({ code: 1002, msg: 'the appKey does not exist' }), READS, {})
    expect(token.problem).toBe('the server gave no token: 1002 the appKey does not exist')
    expect(token).toMatchObject({ name: 'NoToken', code: 1002, outcome: 'notDone', retriable: false })
  })

  it('shows texts of others short and on one line', () => {
    expect(shown('a\u009bb\u{e0041}\n\u2028')).toBe('a\\u009bb\\udb40\\udc41\\u000a\\u2028')
    expect(shown('x'.repeat(500))).toHaveLength(limits.SHOWN_CHARS)
  })
})

describe('repeats', () => {
  const failing = (retriable = true, after: number | null = null) =>
    new DownlinkError('no', { outcome: 'notDone', retriable, next: '', retryAfterMs: after })
  const pauses: number[] = []
  const retries = {
    retries: 3,
    random: () => 0,
    sleep: async (ms: number) => void pauses.push(ms),
  }
  afterEach(() => void pauses.splice(0))

  it('come after pauses that grow, and end', async () => {
    let calls = 0
    const run = () => {
      calls += 1
      return Promise.reject(failing())
    }
    await expect(withRetries(retries, undefined, run)).rejects.toThrow('no')
    expect(calls).toBe(4)
    expect(pauses).toEqual([100, 200, 400])
    calls = 0
    await expect(withRetries({ ...retries, retries: 0 }, undefined, run)).rejects.toThrow('no')
    expect(calls).toBe(1)
  })

  it('are not made of what a repeat does not help, nor of other people’s errors', async () => {
    for (const error of [failing(false), new TypeError('no')]) {
      await expect(withRetries(retries, undefined, () => Promise.reject(error))).rejects.toBe(error)
    }
    expect(pauses).toEqual([])
  })

  it('heed what the server asks for, within a bound', async () => {
    let calls = 0
    const run = async (ms: number) => {
      calls += 1
      if (calls < 3) throw failing(true, ms)
      return 'done'
    }
    expect(await withRetries(retries, undefined, () => run(7_000))).toBe('done')
    expect(pauses).toEqual([7_000, 7_000])
    calls = 0
    await expect(withRetries(retries, undefined, () => run(limits.RETRY_AFTER_MAX_MS + 1))).rejects.toThrow('no')
    expect(calls).toBe(1)
  })

  it('have pauses between half and whole, at most the largest', () => {
    fc.assert(
      fc.property(fc.nat(60), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (attempt, drawn) => {
        const most = Math.min(limits.PAUSE_MAX_MS, limits.PAUSE_MIN_MS * 2 ** attempt)
        const pause = pauseMs(attempt, null, () => drawn) ?? 0
        expect(pause).toBeGreaterThanOrEqual(most / 2)
        expect(pause).toBeLessThanOrEqual(most)
      }),
    )
  })

  it('end with the signal, at once', async () => {
    const reason = new Error('enough')
    await expect(sleep(3_600_000, AbortSignal.abort(reason))).rejects.toBe(reason)
    const controller = new AbortController()
    const run = () => Promise.reject(failing())
    const ended = withRetries({ ...retries, sleep, random: () => 1 }, controller.signal, run)
    controller.abort(reason)
    await expect(ended).rejects.toBe(reason)
  })
})

describe('JSON', () => {
  it('says what was given, or nothing at all', () => {
    expect(toJson({ value: { a: [1, null, 'x'], b: undefined } })).toBe('{"value":{"a":[1,null,"x"]}}')
    expect(() => toJson({ value: 1n })).toThrow(/^value: JSON has no BigInt/)
    expect(() => toJson({ inputData: { x: Number.NaN } })).toThrow('x: JSON has no NaN')
    expect(() => toJson({ value: [Number.POSITIVE_INFINITY] })).toThrow('0: JSON has no Infinity')
  })
})

describe('a stream of events', () => {
  const text =
    '\ufeff: hello\r\n\r\nid: 1\ndata: {"a":\ndata: 1}\n\nevent:gone\rdata:x\r\rdata\nid:2\n\ndata: same id\n\nid: 9\n\nretry: 5\ndata: last\n\n'
  const expected = [
    { id: '1', event: 'message', data: '{"a":\n1}' },
    { id: '1', event: 'gone', data: 'x' },
    { id: '2', event: 'message', data: '' },
    { id: '2', event: 'message', data: 'same id' },
    { id: '9', event: 'message', data: 'last' },
  ]

  it('is read alike, in whatever pieces it comes', () => {
    const bytes = new TextEncoder().encode(text)
    const cuts = fc.array(fc.nat(bytes.length), { maxLength: 12 })
    fc.assert(
      fc.property(cuts, at => {
        const [decoder, reader] = [new TextDecoder(), new MessageReader()]
        const ends = [...at.sort((a, b) => a - b), bytes.length]
        const read = ends.flatMap((end, n) =>
          reader.read(decoder.decode(bytes.subarray(ends[n - 1] ?? 0, end), { stream: true })),
        )
        expect(read).toEqual(expected)
      }),
    )
  })

  it('has no event that is not whole, no id with a NUL, and none without an end', () => {
    const reader = new MessageReader()
    expect(reader.read('id: a\0b\ndata: 1\ndata: 2')).toEqual([])
    expect(reader.read('\n\n')).toEqual([{ id: null, event: 'message', data: '1\n2' }])
    const endless = () => {
      for (let i = 0; i < 100; i++) reader.read(`data: ${'x'.repeat(limits.EVENT_MAX_CHARS / 50)}\n`)
    }
    expect(endless).toThrow(NoAnswer)
    expect(() => new MessageReader().read('x'.repeat(limits.EVENT_MAX_CHARS + 1))).toThrow(/an event has more than/)
  })
})

describe('one exchange', () => {
  const closing: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
  })
  async function serve(listener: RequestListener): Promise<string> {
    const server = createServer(listener)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    closing.push(async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const requestOf = (server: string, more: Partial<Request> = {}): Request => ({
    ...{ method: 'GET', server, target: '/x', headers: {}, body: null, withinMs: 5_000, signal: undefined },
    ...KEYED,
    ...more,
  })
  const read = (request: Request) =>
    exchange(globalThis.fetch, request, async response => readObject(request, response, await readText(response)))
  const failure = async (request: Request): Promise<NoAnswer> => {
    const error = await read(request).catch(error => error)
    expect(error).toBeInstanceOf(NoAnswer)
    return error
  }

  it('is late when its time is up, whether the head or the rest of the answer is missing', async () => {
    const silent = await serve(() => undefined)
    const half = await serve((_, response) => response.write('{'))
    for (const server of [silent, half]) {
      const error = await failure(requestOf(server, { withinMs: 60 }))
      expect(error).toMatchObject({ why: 'late', outcome: 'unknown', retriable: true, code: null })
      expect(error.message).toContain(`no answer from ${server} in 60 ms. It may have been done`)
      expect(await failure(requestOf(server, { ...READS, withinMs: 60 }))).toMatchObject({ outcome: 'notDone' })
      expect(await failure(requestOf(server, { ...ONCE, withinMs: 60 }))).toMatchObject({ retriable: false })
    }
  })

  it('knows when nothing was sent', async () => {
    const server = await serve(() => undefined)
    for (const close of closing.splice(0)) await close()
    const refused = await failure(requestOf(server, ONCE))
    expect(refused).toMatchObject({ why: 'lost', outcome: 'notDone', retriable: true })
    expect(refused.message).toMatch(/ECONNREFUSED.*Nothing was sent/)
    const other = await serve((_, response) => response.end('{}'))
    const untrusted = await failure(requestOf(other.replace('http:', 'https:'), KEYED))
    expect(untrusted).toMatchObject({ why: 'lost', outcome: 'notDone', retriable: false })
  })

  it('does not know what became of it when the connection broke off', async () => {
    const server = await serve((request, response) => {
      if (request.url === '/x') response.socket?.destroy()
      else response.socket?.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{')
    })
    for (const target of ['/x', '/half']) {
      expect(await failure(requestOf(server, { target }))).toMatchObject({
        why: 'lost',
        outcome: 'unknown',
        retriable: true,
      })
      expect(await failure(requestOf(server, { target, ...ONCE }))).toMatchObject({ retriable: false })
    }
  })

  it.each([
    [200, '<html>\u001b[2J', 'unknown', false, 'does not answer as Downlink does: <html>\\u001b[2J'],
    [404, '', 'unknown', false, 'empty body'],
    [200, '[]', 'unknown', false, 'does not answer as Downlink does: []'],
    [502, 'Bad Gateway', 'unknown', true, 'Bad Gateway'],
    [503, 'busy', 'unknown', true, 'busy'],
    [429, 'slow down', 'notDone', true, 'slow down'],
  ] as const)('with another program, which says %s %j', async (status, body, outcome, retriable, said) => {
    const server = await serve((_, response) => response.writeHead(status, { 'retry-after': '3' }).end(body))
    const error = await failure(requestOf(server))
    expect(error).toMatchObject({ why: 'foreign', outcome, retriable, httpStatus: status, retryAfterMs: 3_000 })
    expect(error.message).toContain(said)
  })

  it('follows no redirect', async () => {
    const asked: string[] = []
    const server = await serve((request, response) => {
      asked.push(request.url ?? '')
      response.writeHead(307, { location: 'http://elsewhere.example/\u0009x' }).end()
    })
    const error = await failure(requestOf(server))
    expect(error).toMatchObject({ why: 'foreign', outcome: 'notDone', retriable: false })
    expect(error.message).toContain('points elsewhere, to http://elsewhere.example/')
    expect(asked).toEqual(['/x'])
  })

  it('reads no more than it should', async () => {
    const server = await serve((_, response) => response.end('x'.repeat(2_000)))
    const request = requestOf(server)
    const error = await exchange(globalThis.fetch, request, response => readText(response, 1_999)).catch(error => error)
    expect(error).toMatchObject({ why: 'tooLarge', retriable: false })
    expect(await exchange(globalThis.fetch, request, response => readText(response, 2_000))).toHaveLength(2_000)
  })

  it('ends with its signal, and throws its reason', async () => {
    const reason = new Error('enough')
    const server = await serve(() => undefined)
    await expect(read(requestOf(server, { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason)
    const controller = new AbortController()
    const ended = read(requestOf(server, { signal: controller.signal }))
    setImmediate(() => controller.abort(reason))
    await expect(ended).rejects.toBe(reason)
  })

  it('reads Retry-After in both of its forms', () => {
    const of = (headers: Record<string, string>) => retryAfterMs(new Response(null, { headers }))
    expect(of({ 'retry-after': '12' })).toBe(12_000)
    const date = 'Fri, 31 Jan 2025 08:00:00 GMT'
    expect(of({ 'retry-after': 'Fri, 31 Jan 2025 08:01:30 GMT', date })).toBe(90_000)
    expect(of({ 'retry-after': 'Fri, 31 Jan 2025 07:00:00 GMT', date })).toBe(0)
    for (const text of ['', '-1', 'soon', '1e9', 'Fri, 31 Jan 2025 08:01:30 GMT'])
      expect(of({ 'retry-after': text })).toBeNull()
  })
})

describe('tokens', () => {
  interface World {
    now: number
    readonly asked: { what: string; timestamp: number; accessToken: string | undefined }[]
    readonly tokens: Tokens
    /** what the service answers next: a life in s, or an error */
    next: () => Promise<number>
  }
  function world(): World {
    const made: World = {
      now: 1_000_000,
      asked: [],
      next: async () => 7_200,
      tokens: new Tokens({
        appKey: 'k',
        appSecret: 's',
        now: () => made.now,
        random: () => 0.5,
        ask: async (what, { timestamp, accessToken }) => {
          made.asked.push({ what, timestamp: Number(timestamp), accessToken })
          const name = `token ${made.asked.length}`
          return { accessToken: name, expire: await made.next() }
        },
      }),
    }
    return made
  }
  /** Until so many requests were made, and what came of the last one is known. The digest is made in another thread. */
  const asked = async (w: World, count: number) => {
    while (w.asked.length < count) await new Promise(resolve => setImmediate(resolve))
    await new Promise(resolve => setImmediate(resolve))
  }

  it('are fetched once, however many calls want one', async () => {
    const { tokens, asked: requests } = world()
    expect(new Set(await Promise.all(Array.from({ length: 20 }, () => tokens.current()))).size).toBe(1)
    expect(requests).toHaveLength(1)
  })

  it('are renewed before their end, beside the calls, once', async () => {
    const w = world()
    await w.tokens.current()
    w.now += 7_200_000 - limits.RENEW_BEFORE_MS - 1
    expect(await w.tokens.current()).toBe('token 1')
    expect(w.asked).toHaveLength(1)
    w.now += 1
    expect(await Promise.all([w.tokens.current(), w.tokens.current()])).toEqual(['token 1', 'token 1'])
    await asked(w, 2)
    expect(w.asked.slice(1)).toEqual([{ what: 'refresh', timestamp: w.now, accessToken: 'token 1' }])
    expect(await w.tokens.current()).toBe('token 2')
  })

  it('are used to their end where they cannot be renewed, and then fetched anew', async () => {
    const w = world()
    await w.tokens.current()
    w.now += 7_000_000
    w.next = () => Promise.reject(new Error('the server is away'))
    expect(await w.tokens.current()).toBe('token 1')
    await asked(w, 2)
    expect(await w.tokens.current()).toBe('token 1')
    expect(w.asked).toHaveLength(2)
    w.now += limits.RENEW_AGAIN_MS
    expect(await w.tokens.current()).toBe('token 1')
    await asked(w, 3)
    expect(w.asked.map(({ what }) => what)).toEqual(['get', 'refresh', 'refresh'])
    w.now += 200_000
    await expect(w.tokens.current()).rejects.toThrow('away')
    w.next = async () => 7_200
    expect(await w.tokens.current()).toBe('token 5')
    expect(w.asked.at(-1)?.what).toBe('get')
  })

  it('with a short rest of life are renewed in the middle of it', async () => {
    const w = world()
    w.next = async () => 20
    await w.tokens.current()
    w.now += 9_999
    await w.tokens.current()
    expect(w.asked).toHaveLength(1)
    w.now += 1
    await w.tokens.current()
    await asked(w, 2)
    expect(w.asked).toHaveLength(2)
  })

  it('that the server does not know are fetched anew, once, also where many calls find that out', async () => {
    const w = world()
    const old = await w.tokens.current()
    w.tokens.drop(old)
    const next = await w.tokens.current()
    // A call that was under way learns it later, when there is another already.
    w.tokens.drop(old)
    expect(await w.tokens.current()).toBe(next)
    expect(w.asked).toHaveLength(2)
  })

  it('are asked for with another timestamp where the proof was used before, some times', async () => {
    const w = world()
    const repeated = noToken(answer({ code: codes.repeated }), READS, {})
    let refusals = 2
    w.next = () => (refusals-- > 0 ? Promise.reject(repeated) : Promise.resolve(7_200))
    await w.tokens.current()
    const timestamps = w.asked.map(({ timestamp }) => timestamp)
    expect(new Set(timestamps).size).toBe(3)
    expect([...timestamps].sort()).toEqual(timestamps)
    w.tokens.drop('token 3')
    refusals = Number.POSITIVE_INFINITY
    await expect(w.tokens.current()).rejects.toBe(repeated)
    expect(w.asked).toHaveLength(3 + limits.TOKEN_ATTEMPTS)
  })
})

describe('waiting', () => {
  const command = (state: State) => ({ commandId: '1', assetId: 'a', state }) as CommandRecord
  const at = <T>(list: readonly T[], n: number): T => list[Math.min(n, list.length - 1)] as T
  const never = (_: number, signal?: AbortSignal) =>
    new Promise<void>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason), { once: true }))
  const base = { commandId: '1', signal: undefined, timeoutMs: null, retries: 4 }

  it('looks with growing pauses where there is no stream', async () => {
    const pauses: number[] = []
    let looks = 0
    const ended = await waitForEnd({
      ...base,
      look: async () => command(looks++ < 7 ? State.created : State.expired),
      listen: async () => undefined,
      sleep: async ms => void pauses.push(ms),
    })
    expect(ended.state).toBe(State.expired)
    expect(pauses).toEqual([250, 500, 1_000, 2_000, 4_000, 5_000, 5_000])
  })

  it('looks once the stream is there, and then when it tells of something', async () => {
    const states = [State.created, State.created, State.sent, State.succeeded]
    let [looks, opened] = [0, 0]
    const ended = await waitForEnd({
      ...base,
      look: async () => command(at(states, looks++)),
      listen: async (assetId, signal, on) => {
        expect(assetId).toBe('a')
        opened += 1
        for (const say of [on.open, on.event, on.event]) {
          const before = looks
          say()
          while (looks === before && !signal.aborted) await new Promise(resolve => setImmediate(resolve))
        }
      },
      sleep: never,
    })
    expect({ state: ended.state, looks, opened }).toEqual({ state: State.succeeded, looks: 4, opened: 1 })
  })

  it('misses nothing that is told while it looks', async () => {
    let tell: () => void = () => undefined
    let looks = 0
    const ended = await waitForEnd({
      ...base,
      look: async () => {
        looks += 1
        if (looks === 2) tell()
        return command(looks < 3 ? State.sent : State.succeeded)
      },
      listen: async (_, signal, on) => {
        tell = on.event
        on.open()
        await never(0, signal).catch(() => undefined)
      },
      sleep: never,
    })
    expect({ state: ended.state, looks }).toEqual({ state: State.succeeded, looks: 3 })
  })

  it('ends with its time, its signal, and what a look fails with', async () => {
    const look = async () => command(State.created)
    const listen = async () => undefined
    const late = await waitForEnd({ ...base, timeoutMs: 20, look, listen, sleep: never }).catch(error => error)
    expect(late).toBeInstanceOf(NoAnswer)
    expect(late.message).toMatch(/^command 1 was not over in 20 ms; it is created\. Ask why/)
    const reason = new Error('enough')
    const controller = new AbortController()
    const waiting = waitForEnd({ ...base, signal: controller.signal, look, listen, sleep: never })
    setImmediate(() => controller.abort(reason))
    await expect(waiting).rejects.toBe(reason)
    const denied = refusalOf(answer({ code: codes.denied }), READS)
    await expect(waitForEnd({ ...base, look: () => Promise.reject(denied), listen, sleep: never })).rejects.toBe(denied)
  })

  it('waits for a server that goes away, once it was there', async () => {
    const away = new NoAnswer('lost', 'away', { outcome: 'notDone', retriable: true, next: '' })
    const pauses: number[] = []
    let looks = 0
    const look = async () => {
      looks += 1
      if (looks > 1 && looks < 5) throw away
      return command(looks < 5 ? State.created : State.succeeded)
    }
    const sleep = async (ms: number) => void pauses.push(ms)
    const ended = await waitForEnd({ ...base, look, listen: async () => undefined, sleep })
    expect({ state: ended.state, pauses }).toEqual({ state: State.succeeded, pauses: [250, 500, 1_000, 2_000] })
    looks = 0
    await expect(waitForEnd({ ...base, retries: 0, look, listen: async () => undefined, sleep })).rejects.toBe(away)
    looks = 1
    await expect(waitForEnd({ ...base, look, listen: async () => undefined, sleep })).rejects.toBe(away)
  })

  it('tells its stream to end', async () => {
    let ended = false
    await waitForEnd({
      ...base,
      look: async () => command(ended ? State.failed : State.created),
      listen: async (_, signal) => {
        signal.addEventListener('abort', () => {
          ended = true
        })
      },
      sleep: async () => {
        ended = true
      },
    })
    expect(ended).toBe(true)
  })
})

describe('bounds', () => {
  it('leave room for one another, and for the server’s', () => {
    expect(limits.RETRIES).toBeLessThanOrEqual(limits.RETRIES_MAX)
    expect(limits.PAUSE_MIN_MS).toBeLessThan(limits.PAUSE_MAX_MS)
    expect(limits.PAUSE_MAX_MS).toBeLessThan(limits.RETRY_AFTER_MAX_MS)
    expect(limits.LOOK_MIN_MS).toBeLessThan(limits.LOOK_MAX_MS)
    expect(limits.LOOK_MAX_MS).toBeLessThan(limits.LOOK_STREAMED_MS)
    expect(limits.PAGE_SIZE).toBeLessThanOrEqual(serverLimits.PAGE_SIZE_MAX)
    expect(limits.ANSWER_MAX_BYTES).toBeGreaterThan(serverLimits.PAGE_MAX_BYTES)
    expect(limits.RENEW_BEFORE_MS).toBeLessThan(serverLimits.TOKEN_LIFE_S * 1_000)
    // A timestamp that was moved on is still one that the server takes.
    expect(limits.TOKEN_ATTEMPTS * limits.TOKEN_SPREAD_MS).toBeLessThan(60_000)
    for (const [name, value] of Object.entries(limits)) expect(Number.isFinite(value) && value > 0, name).toBe(true)
  })
})
