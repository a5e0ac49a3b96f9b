// Signals over NOTIFY, on a real PostgreSQL: what every carrier must do, what PostgreSQL adds to that, and the words on the wire.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { Client } from 'pg'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Backlog } from '../src/cluster/backlog.ts'
import type { Carrier, SignalBearing } from '../src/cluster/carrier.ts'
import { openNotify } from '../src/cluster/notify.ts'
import type { Tidings } from '../src/cluster/signal.ts'
import { readWords, textsOf } from '../src/cluster/words.ts'
import {
  DEVICE_ID_MAX,
  SIGNAL_ANSWER_WAIT_MS,
  SIGNAL_STATEMENT_MAX_MS,
  SIGNAL_TEXT_MAX_BYTES,
} from '../src/core/limits.ts'
import { databaseFor, type PostgresServer, sharedPostgres, stopSharedPostgres } from './rig/postgres.ts'
import { PostgresProxy } from './rig/postgres-proxy.ts'
import {
  brisk,
  describeCarrier,
  Ears,
  type Ground,
  idOf,
  KEY,
  LogRecord,
  look,
  range,
  settled,
  soon,
} from './rig/signals.ts'

afterAll(stopSharedPostgres)

const END_WHO_WAITS =
  "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and wait_event_type = 'Lock'"

/** A database of its own for the test that has the folder. */
async function databaseOf(folder: string): Promise<string> {
  return new URL(await databaseFor(folder)).pathname.slice(1)
}

describeCarrier('signals over NOTIFY, as every carrier', async (): Promise<Ground> => {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-notify-'))
  const server = await sharedPostgres()
  const database = await databaseOf(folder)
  const proxy = await PostgresProxy.start(server)
  return {
    open: (log, bearing) => openNotify(proxy.url(database), { log, key: KEY, bearing }),
    down: async () => proxy.down(),
    up: async () => proxy.up(),
    stall: async () => proxy.stallAll(true),
    stallOver: () => proxy.stallAll(false),
    say: async (node, text) => {
      await server.sql(database, 'select pg_notify($1, $2)', [`downlink_node_${node}`, text])
    },
    stop: async () => {
      await proxy.stop()
      rmSync(folder, { recursive: true })
    },
  }
})

describe('signals over NOTIFY', () => {
  let server: PostgresServer
  let folder: string
  let database: string
  let log: LogRecord
  let opened: Carrier[]
  const open = async (url = server.url(database), bearing: Partial<SignalBearing> = {}): Promise<Carrier> => {
    const carrier = await openNotify(url, { log, key: KEY, bearing: { ...brisk, ...bearing } })
    opened.push(carrier)
    return carrier
  }
  /** It looks for the first time when these tests are over, but for those that are about that. */
  const listener = async (): Promise<[Carrier, Ears]> => {
    const [carrier, ears] = [await open(undefined, { lookMs: 60_000 }), new Ears()]
    await carrier.listen(7, ears.heard)
    return [carrier, ears]
  }
  const connections = async (): Promise<number> =>
    (await server.sql('postgres', 'select from pg_stat_activity where datname = $1', [database])).length

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-notify-'))
    server = await sharedPostgres()
    database = await databaseOf(folder)
    log = new LogRecord()
    opened = []
  })
  afterEach(async () => {
    for (const carrier of opened) await carrier.close()
    rmSync(folder, { recursive: true })
  })

  test('what is told in one turn is one statement, and so is all that is told while it is on the way', async () => {
    const proxy = await PostgresProxy.start(server)
    const [, ears] = await listener()
    const teller = await open(proxy.url(database), { lookMs: 60_000 })
    const before = proxy.roundTrips
    for (const n of range(1, 1_001)) {
      teller.tell(n % 10, look(n))
      // Still the same turn of the loop, as where several calls are answered in it.
      if (n % 100 === 0) await Promise.resolve()
    }
    await soon(() => expect(teller.counts.told).toBe(1_000))
    expect(proxy.roundTrips - before).toBe(1)
    teller.tell(7, look(2_000))
    await new Promise<void>(resolve => setImmediate(resolve))
    // That one is on its way by now, and not answered before the loop has turned.
    for (const n of range(0, 10)) teller.tell(7, settled([n + 1, idOf(n)]))
    await soon(() => expect(teller.counts.told).toBe(1_011))
    expect(proxy.roundTrips - before).toBe(3)
    await soon(() => expect([ears.devices.size, ears.commands.size, ears.times]).toEqual([101, 10, 3]))
    await teller.close()
    await proxy.stop()
  })

  test.each(['immediate', 'fast'] as const)('outlive a restart of PostgreSQL (%s)', async how => {
    const [carrier, ears] = await listener()
    await server.restart(how)
    await soon(() => expect(log.matching(/connection is lost/)).toHaveLength(1))
    carrier.tell(7, look(1))
    await soon(() => expect([...ears.devices]).toEqual([1]))
    expect(carrier.counts).toMatchObject({ told: 1, dropped: 0 })
  })

  test('what was on its way when PostgreSQL ended the connection is told again', async () => {
    const [[, ears], teller] = [await listener(), await open(undefined, { lookMs: 60_000 })]
    const [locker, killer] = [new Client(server.url(database)), new Client(server.url('postgres'))]
    await Promise.all([locker.connect(), killer.connect()])
    try {
      // To tell for the first time, its connection has to look up what pg_notify is; PostgreSQL lets it wait for no more than SIGNAL_STATEMENT_MAX_MS.
      await locker.query('begin; lock table pg_proc in access exclusive mode')
      teller.tell(7, look(1))
      await soon(async () => expect((await killer.query(END_WHO_WAITS, [database])).rowCount).toBe(1))
      await soon(() => expect(log.matching(/connection is lost/)).toHaveLength(1))
    } finally {
      await Promise.all([locker.end(), killer.end()])
    }
    await soon(() => expect([...ears.devices]).toEqual([1]))
    expect(teller.counts).toMatchObject({ told: 1, dropped: 0 })
  })

  test('a telling that PostgreSQL refuses is dropped and counted, and the connection stays', async () => {
    await server.sql(database, 'drop role if exists mute; create role mute login')
    await server.sql(database, 'revoke execute on function pg_notify(text, text) from public')
    const [mute, ears] = [await open(server.url(database).replace('downlink@', 'mute@')), new Ears()]
    await mute.listen(7, ears.heard)
    mute.tell(8, look(1, 2))
    mute.tell(8, settled([1, idOf(1)]))
    await soon(() => expect(mute.counts.dropped).toBe(3))
    expect(log.matching(/not told.*permission denied for function pg_notify/)).toHaveLength(1)
    const other = await open()
    other.tell(7, look(3))
    await soon(() => expect([...ears.devices]).toEqual([3]))
    expect(log.matching(/lost/)).toEqual([])
    await server.sql(database, 'grant execute on function pg_notify(text, text) to public')
  })

  test('notice that the connection does not listen any more, as behind a pooler that gave it to others meanwhile', async () => {
    const pooler = await Pooler.start(server)
    const [carrier, ears] = [await open(pooler.url(database)), new Ears()]
    await carrier.listen(7, ears.heard)
    pooler.unlisten()
    await soon(() => expect(log.matching(/does not listen any more.*session mode/)).toHaveLength(1))
    carrier.tell(7, look(1))
    await soon(() => expect([...ears.devices]).toEqual([1]))
    await carrier.close()
    await pooler.stop()
  })

  test('a node has one connection, and none after close', async () => {
    const [carrier] = await listener()
    carrier.tell(8, look(1))
    await soon(() => expect(carrier.counts.told).toBe(1))
    expect(await connections()).toBe(1)
    await carrier.close()
    await soon(async () => expect(await connections()).toBe(0))
  })

  test('where nobody may log in, the reason is said, and no password', async () => {
    const url = server.url(database).replace('downlink@', 'nobody:secret@')
    const carrier = await open(url)
    expect(log.matching(/no connection.*role "nobody" does not exist/)).toHaveLength(1)
    expect(log.lines.join()).not.toContain('secret')
    await carrier.close()
  })

  test("PostgreSQL's own bound on a statement comes before ours, and its own on a text above ours", async () => {
    expect(SIGNAL_STATEMENT_MAX_MS).toBeLessThan(SIGNAL_ANSWER_WAIT_MS)
    await server.sql(database, "select pg_notify('c', $1)", ['x'.repeat(SIGNAL_TEXT_MAX_BYTES)])
    await expect(server.sql(database, "select pg_notify('c', $1)", ['x'.repeat(8_000)])).rejects.toThrow(/too long/)
  })
})

/** Passes everything on, and once says `unlisten *` in the client's name: a pooler does so when it gives a connection to somebody else. */
class Pooler {
  readonly #listener = createServer()
  readonly #sockets: Socket[] = []
  #last: { readonly client: Socket; readonly server: Socket; isAnswering: boolean } | null = null

  static async start(server: PostgresServer): Promise<Pooler> {
    const pooler = new Pooler()
    pooler.#listener.on('connection', client => pooler.#accept(client, connect(server.socket))).listen(0, '127.0.0.1')
    await once(pooler.#listener, 'listening')
    return pooler
  }

  #accept(client: Socket, server: Socket): void {
    const link = { client, server, isAnswering: false }
    this.#last = link
    this.#sockets.push(client, server)
    // The end of either is the end of both, and what the test waits for.
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const)
      from.on('error', () => to.destroy()).on('close', () => to.destroy())
    client.on('data', chunk => server.write(chunk))
    server.on('data', chunk => {
      // The answer to what was said in its name is not the client's.
      if (link.isAnswering) link.isAnswering = false
      else client.write(chunk)
    })
  }

  url(database: string): string {
    return `postgres://downlink@127.0.0.1:${(this.#listener.address() as AddressInfo).port}/${database}`
  }

  unlisten(): void {
    const text = Buffer.from('unlisten *\0')
    const head = Buffer.from('Q\0\0\0\0')
    head.writeInt32BE(text.length + 4, 1)
    this.#last!.isAnswering = true
    this.#last!.server.write(Buffer.concat([head, text]))
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#listener.close()
    await once(this.#listener, 'close')
  }
}

describe('the words', () => {
  const deviceId = fc.oneof(fc.integer({ min: 1, max: 9_999 }), fc.integer({ min: 1, max: DEVICE_ID_MAX }))
  const commandId = fc.bigInt({ min: 10n ** 18n, max: 2n ** 63n - 1n }).map(String)
  const tidings: fc.Arbitrary<Tidings> = fc.record({
    look: fc.array(deviceId, { maxLength: 1_500, size: 'max' }),
    settled: fc.array(fc.record({ deviceId, commandId }), { maxLength: 500, size: 'max' }),
    notices: fc.array(
      fc.record({
        gatewayId: deviceId,
        notice: fc.constantFrom('enable', 'disable', 'delete'),
        productKey: fc.stringMatching(/^[A-Za-z0-9_.-]{1,64}$/),
        deviceKey: fc.stringMatching(/^[A-Za-z0-9_.-]{1,64}$/),
      }),
      { maxLength: 100, size: 'max' },
    ),
  })

  test('say all of it, in order, in texts that each fit, and in as few as may be', () => {
    fc.assert(
      fc.property(tidings, said => {
        const texts = textsOf(said)
        for (const text of texts) expect(Buffer.byteLength(text)).toBeLessThanOrEqual(SIGNAL_TEXT_MAX_BYTES)
        // The next word would not have fitted: the longest is a notice with two long keys.
        for (const text of texts.slice(0, -1)) expect(text.length).toBeGreaterThan(SIGNAL_TEXT_MAX_BYTES - 200)
        const read = texts.map(readWords)
        expect(read.every(({ ok }) => ok)).toBe(true)
        const heard = read.flatMap(words => (words.ok ? [words.tidings] : []))
        expect({
          look: heard.flatMap(each => each.look),
          settled: heard.flatMap(each => each.settled),
          notices: heard.flatMap(each => each.notices ?? []),
        }).toEqual(said)
      }),
      { numRuns: 50 },
    )
  })

  test('are short', () => {
    expect(textsOf({ look: [], settled: [] })).toEqual([])
    expect(textsOf(look(1, 22))).toEqual(['{"l":[1,22]}'])
    const notices = [{ gatewayId: 9, notice: 'disable', productKey: 'pk', deviceKey: 'dk' }] as const
    expect(textsOf({ look: [], settled: [], notices })).toEqual(['{"n":[[9,"disable","pk","dk"]]}'])
    expect(textsOf({ look: [4], settled: [{ deviceId: 17, commandId: idOf(0) }] })).toEqual([
      `{"l":[4],"s":[[17,"${idOf(0)}"]]}`,
    ])
    expect(textsOf(look(...range(100_000, 101_000)))).toHaveLength(1)
  })

  const whole = '{"l":[1],"s":[[2,"1990000000000000001"]]}'
  test.each([
    ['', /is not JSON/],
    ['[1]', /must be an object, got an array/],
    ['7', /must be an object/],
    ['{"l":1}', /^l must be an array, got 1/],
    ['{"l":null}', /^l must be an array, got null/],
    ['{"s":{}}', /^s must be an array, got an object/],
    ['{"l":[1,0]}', /^l\[1\] must be the number of a device, got 0/],
    ['{"l":[-1]}', /got -1/],
    ['{"l":[1.5]}', /got 1.5/],
    ['{"l":["1"]}', /got "1"/],
    ['{"l":[2147483648]}', /got 2147483648/],
    ['{"l":[9007199254740992]}', /./],
    ['{"l":[1e300]}', /./],
    ['{"n":7}', /^n must be an array, got 7/],
    ['{"n":[[1,"disable","pk"]]}', /^n\[0\] must be a gateway/],
    ['{"n":[[1,"wipe","pk","dk"]]}', /^n\[0\] must be a gateway/],
    ['{"n":[[0,"enable","pk","dk"]]}', /^n\[0\] must be a gateway/],
    ['{"n":[[1,"enable","p/k","dk"]]}', /^n\[0\] must be a gateway/],
    ['{"n":[[1,"enable","pk",7]]}', /^n\[0\] must be a gateway/],
    ['{"s":[1]}', /^s\[0\] must be a pair, got 1/],
    ['{"s":[[1]]}', /must be a pair/],
    ['{"s":[[1,"1990000000000000001",1]]}', /must be a pair/],
    ['{"s":[["1","1990000000000000001"]]}', /^s\[0\]\[0\] must be the number/],
    ['{"s":[[1,1990]]}', /^s\[0\]\[1\] must be a commandId of 19 digits, got 1990/],
    ['{"s":[[1,"199000000000000000"]]}', /19 digits/],
    ['{"s":[[1,"0990000000000000001"]]}', /19 digits/],
    ['{"s":[[1,"9223372036854775808"]]}', /19 digits/],
    ['{"s":[[1,"199000000000000000x"]]}', /19 digits/],
    ['{"s":[[1,"1990000000000000001\\n"]]}', /19 digits/],
    ['{"l":[],"l":[1]}', /twice/],
    ['{"__proto__":{}}', /__proto__/],
    ['['.repeat(5_000), /./],
    [`{"l":[${'1,'.repeat(3_950)}1]}`, /longer than 7900 bytes/],
    [`${whole}${whole}`, /is not JSON/],
  ])('refuse %j', (text, problem) => {
    expect(readWords(text)).toEqual({ ok: false, problem: expect.stringMatching(problem) })
  })

  test('take a newer node’s further words, and either of ours alone', () => {
    expect(readWords('{"l":[1],"x":[["later"]]}')).toEqual({ ok: true, tidings: look(1) })
    expect(readWords('{}')).toEqual({ ok: true, tidings: look() })
    expect(readWords('{"s":[[2,"9223372036854775807"]]}')).toEqual({
      ok: true,
      tidings: settled([2, '9223372036854775807']),
    })
  })

  const mutilated = fc
    .tuple(fc.nat(whole.length), fc.nat(whole.length), fc.string({ maxLength: 4 }))
    .map(([at, to, text]) => whole.slice(0, at) + text + whole.slice(to))
  test('never throw, whatever comes, and let nothing else through', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), mutilated), text => {
        const words = readWords(text)
        if (!words.ok) {
          expect(words.problem).not.toBe('')
          return
        }
        for (const each of [...words.tidings.look, ...words.tidings.settled.map(({ deviceId: of }) => of)])
          expect(Number.isSafeInteger(each) && each > 0).toBe(true)
        for (const { commandId: each } of words.tidings.settled) expect(each).toMatch(/^[1-9][0-9]{18}$/)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('the backlog', () => {
  test('has each once, never more than its bound, and says how many it left out', () => {
    const small = fc.integer({ min: 1, max: 6 })
    const told = fc.array(
      fc.record({ node: fc.nat(2), devices: fc.array(small), commands: fc.array(fc.tuple(small, small.map(idOf))) }),
    )
    fc.assert(
      fc.property(told, fc.integer({ min: 1, max: 20 }), (all, max) => {
        const backlog = new Backlog(max)
        const kept = new Set<string>()
        for (const { node, devices, commands } of all) {
          const fresh: string[] = []
          let without = 0
          for (const key of [...devices.map(n => `${node} ${n}`), ...commands.map(([, id]) => `${node} ${id}`)]) {
            if (kept.has(key) || fresh.includes(key)) continue
            if (kept.size + fresh.length < max) fresh.push(key)
            else without += 1
          }
          const left = backlog.add(node, { look: devices, settled: settled(...commands).settled })
          for (const key of fresh) kept.add(key)
          expect(left).toBe(without)
        }
        const has = [...backlog.entries()].flatMap(([node, of]) => [
          ...of.look.map(n => `${node} ${n}`),
          ...of.settled.map(({ commandId }) => `${node} ${commandId}`),
        ])
        expect(backlog.size).toBe(kept.size)
        expect(has.sort()).toEqual([...kept].sort())
      }),
    )
  })
})
