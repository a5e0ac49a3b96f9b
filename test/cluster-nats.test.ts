// Signals over NATS, on a real nats-server: what every carrier must do, who may connect and write, and the address.

import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Carrier, SignalBearing } from '../src/cluster/carrier.ts'
import { openNats } from '../src/cluster/nats.ts'
import { readNatsUrl } from '../src/cluster/nats-url.ts'
import { freePort, type NatsServer, startNats, whyNoNats } from './rig/nats.ts'
import { brisk, describeCarrier, Ears, type Ground, KEY, LogRecord, look, range, soon } from './rig/signals.ts'
import { CA, SERVER_CERT, SERVER_KEY } from './rig/tls.ts'

async function startGround(): Promise<Ground> {
  const server = await startNats()
  return {
    open: (log, bearing) => openNats(server.url, { log, key: KEY, bearing }),
    down: () => server.kill(),
    up: () => server.start(),
    stall: () => server.stall(),
    stallOver: () => server.stallOver(),
    say: async (node, text) => {
      const stranger = await connect({ servers: server.url })
      stranger.publish(`downlink.node.${node}`, text)
      await stranger.drain()
    },
    stop: () => server.stop(),
  }
}

const title = whyNoNats === null ? 'signals over NATS' : `signals over NATS (skipped: ${whyNoNats})`

describe.skipIf(whyNoNats !== null)(title, () => {
  describeCarrier('as every carrier', startGround)

  describe('and by itself', () => {
    const closing: (() => Promise<void>)[] = []
    afterEach(async () => {
      for (const close of closing.splice(0).reverse()) await close()
    })
    const serve = async (config = ''): Promise<NatsServer> => {
      const server = await startNats(config)
      closing.push(() => server.stop())
      return server
    }
    const open = async (url: string, log = new LogRecord(), more: Partial<SignalBearing> = {}): Promise<Carrier> => {
      const carrier = await openNats(url, { log, key: KEY, bearing: { ...brisk, ...more } })
      closing.push(() => carrier.close())
      return carrier
    }

    test('two installations on one NATS do not hear each other, if one has a name', async () => {
      const { url } = await serve()
      const [ours, theirs, other] = [new Ears(), new Ears(), await open(`${url}/acme.prod`)]
      const carrier = await open(url)
      await carrier.listen(7, ours.heard)
      await other.listen(7, theirs.heard)
      carrier.tell(7, look(1))
      other.tell(7, look(2))
      await soon(() => expect([[...ours.devices], [...theirs.devices]]).toEqual([[1], [2]]))
    })

    test.each([
      ['a user and a password', 'user: "a:b", password: "p@ss/1"', 'a%3Ab:p%40ss%2F1@'],
      ['a token', 'token: "t0p"', 't0p@'],
    ])('lets itself in with %s, and goes on trying where they are wrong', async (_, authorization, login) => {
      const { port } = await serve(`authorization { ${authorization} }`)
      const [ears, log] = [new Ears(), new LogRecord()]
      const carrier = await open(`nats://${login}127.0.0.1:${port}`)
      await carrier.listen(7, ears.heard)
      carrier.tell(7, look(1))
      await soon(() => expect([...ears.devices]).toEqual([1]))
      const stranger = await open(`nats://wrong@127.0.0.1:${port}`, log)
      stranger.tell(7, look(2))
      expect(log.matching(/no connection.*Authorization Violation/i)).toHaveLength(1)
      expect(log.lines.join()).not.toContain('wrong')
    })

    test('says so where it may not write, and where it may not listen', async () => {
      const { port } = await serve(`authorization { users: [
        { user: mute, password: p, permissions: { publish: { deny: ">" } } },
        { user: deaf, password: p, permissions: { subscribe: { deny: ">" } } },
      ] }`)
      const [ofMute, ofDeaf] = [new LogRecord(), new LogRecord()]
      const [mute, deaf] = [
        await open(`nats://mute:p@127.0.0.1:${port}`, ofMute),
        await open(`nats://deaf:p@127.0.0.1:${port}`, ofDeaf),
      ]
      const ears = new Ears()
      await mute.listen(7, ears.heard)
      mute.tell(7, look(1))
      await soon(() => expect(ofMute.matching(/objects.*publish/i)).toHaveLength(1))
      expect(ofMute.matching(/lost/)).toEqual([])
      await deaf.listen(8, () => undefined)
      expect(ofDeaf.matching(/not heard.*may not subscribe to downlink.node.8/)).toHaveLength(1)
      // It still tells, and what it hears is up to it: NATS does not end the connection.
      deaf.tell(7, look(2))
      await soon(() => expect([...ears.devices]).toEqual([2]))
      expect(ofDeaf.matching(/lost/)).toEqual([])
    })

    test('what is too large for the server is dropped and counted, and the connection stays', async () => {
      const { url } = await serve('max_payload: 1024')
      const [log, ears] = [new LogRecord(), new Ears()]
      const carrier = await open(url, log)
      await carrier.listen(7, ears.heard)
      carrier.tell(7, look(...range(1, 1_001)))
      await soon(() => expect(carrier.counts.dropped).toBe(1_000))
      carrier.tell(7, look(1))
      await soon(() => expect([...ears.devices]).toEqual([1]))
      expect(log.matching(/not told.*max_payload/)).toHaveLength(1)
      expect(log.matching(/lost/)).toEqual([])
    })

    test('of several servers, one that answers is enough', async () => {
      const { port } = await serve()
      const ears = new Ears()
      const carrier = await open(`nats://127.0.0.1:${await freePort()},127.0.0.1:${port}`)
      await carrier.listen(7, ears.heard)
      carrier.tell(7, look(1))
      await soon(() => expect([...ears.devices]).toEqual([1]))
    })

    test('a host of which no address answers is named, with the reason', async () => {
      const log = new LogRecord()
      await open(`nats://localhost:${await freePort()}`, log)
      expect(log.matching(/no connection.*localhost.*ECONNREFUSED/)).toHaveLength(1)
    })

    test('what takes connections and says nothing holds none of them for long', async () => {
      const held = new Set<Socket>()
      let taken = 0
      const mute = createServer(socket => {
        taken += 1
        held.add(socket.on('close', () => held.delete(socket)).resume())
      }).listen(0, '127.0.0.1')
      closing.push(async () => void mute.close())
      await once(mute, 'listening')
      const log = new LogRecord()
      const { port } = mute.address() as AddressInfo
      const carrier = await open(`nats://127.0.0.1:${port}`, log, { connectMs: 20, backoffMaxMs: 20 })
      await soon(() => expect(taken).toBeGreaterThan(5))
      expect(held.size).toBeLessThanOrEqual(2)
      expect(log.matching(/no connection.*says nothing within 20 ms/)).toHaveLength(1)
      await carrier.close()
      await soon(() => expect(held.size).toBe(0))
    })

    test('is tried less and less often where it cannot be reached', async () => {
      const takenAt: number[] = []
      const curt = createServer(socket => {
        takenAt.push(performance.now())
        socket.end()
      }).listen(0, '127.0.0.1')
      closing.push(async () => void curt.close())
      await once(curt, 'listening')
      const log = new LogRecord()
      await open(`nats://127.0.0.1:${(curt.address() as AddressInfo).port}`, log, {
        backoffMinMs: 20,
        backoffMaxMs: 80,
      })
      await soon(() => expect(takenAt.length).toBeGreaterThan(5))
      expect(log.matching(/no connection.*ends the connection without a word/)).toHaveLength(1)
      // The clock that is read here is not quite that of the timer.
      for (const [n, atLeastMs] of [20, 40, 80, 80].entries())
        expect(takenAt[n + 1]! - takenAt[n]!).toBeGreaterThan(atLeastMs - 5)
    })

    describe('with TLS', () => {
      let folder: string
      let config: string
      beforeAll(() => {
        folder = mkdtempSync(join(tmpdir(), 'downlink-nats-tls-'))
        for (const [name, text] of Object.entries({ ca: CA, cert: SERVER_CERT, key: SERVER_KEY }))
          writeFileSync(join(folder, `${name}.pem`), text)
        config = `tls { cert_file: "${folder}/cert.pem", key_file: "${folder}/key.pem" }`
      })
      afterAll(() => rmSync(folder, { recursive: true }))

      test('talks to a server whose authority it is given', async () => {
        const { port } = await serve(config)
        const ears = new Ears()
        const carrier = await open(`tls://localhost:${port}?ca=${folder}/ca.pem`)
        await carrier.listen(7, ears.heard)
        carrier.tell(7, look(1))
        await soon(() => expect([...ears.devices]).toEqual([1]))
      })

      test.each(['tls', 'nats'])('not over %s:// to one that it has no reason to trust', async scheme => {
        const { port } = await serve(config)
        const log = new LogRecord()
        await open(`${scheme}://localhost:${port}`, log)
        expect(log.matching(/no connection.*(verify|certificate)/)).toHaveLength(1)
        expect(log.matching(/ connected/)).toEqual([])
      })

      test('and not without, where it was asked for', async () => {
        const { port } = await serve()
        const log = new LogRecord()
        await open(`tls://127.0.0.1:${port}`, log)
        expect(log.matching(/no connection.*does not support 'tls'/)).toHaveLength(1)
      })
    })
  })
})

describe('the address of NATS', () => {
  const plain = { login: {}, tls: 'offered', caFile: null, name: 'downlink' }
  test.each([
    ['nats://127.0.0.1', { ...plain, servers: ['127.0.0.1:4222'] }],
    ['nats://nats:4333/', { ...plain, servers: ['nats:4333'] }],
    [
      'nats://[::1]:4333,b.example/eu-1.prod',
      { ...plain, servers: ['[::1]:4333', 'b.example:4222'], name: 'eu-1.prod' },
    ],
    ['nats://u:p%40@h', { ...plain, servers: ['h:4222'], login: { user: 'u', password: 'p@' } }],
    ['nats://u:@h', { ...plain, servers: ['h:4222'], login: { user: 'u', password: '' } }],
    ['nats://t%2Fk@h', { ...plain, servers: ['h:4222'], login: { token: 't/k' } }],
    ['tls://h', { ...plain, servers: ['h:4222'], tls: 'required' }],
    ['tls://h/n?ca=/etc/a.pem', { ...plain, servers: ['h:4222'], tls: 'required', caFile: '/etc/a.pem', name: 'n' }],
  ])('%s', (text, address) => {
    expect(readNatsUrl(text)).toEqual({ ok: true, address })
  })

  const servers = Array.from({ length: 17 }, (_, n) => `h${n}`).join()
  test.each([
    ['', /is not an address/],
    ['127.0.0.1:4222', /is not an address/],
    ['http://h', /is not an address/],
    ['nats://', /is not an address/],
    ['nats://h/n#f', /is not an address/],
    ['nats://h:0', /not host or host:port/],
    ['nats://h:65536', /not host or host:port/],
    ['nats://h,', /not host or host:port/],
    ['nats://::1', /not host or host:port/],
    [`nats://${servers}`, /more than 16 servers/],
    ['nats://:secret@h', /neither user:password nor a token/],
    ['nats://u:secret:x@h', /neither user:password nor a token/],
    ['nats://%zz@h', /neither user:password nor a token/],
    ['nats://u:%zz@h', /neither user:password nor a token/],
    ['nats://h/a b', /has a name/],
    ['nats://h/a..b', /has a name/],
    ['nats://h/>', /has a name/],
    ['nats://h/*.x', /has a name/],
    ['nats://h/a/b', /has a name/],
    [`nats://h/${'n'.repeat(65)}`, /has a name/],
    ['tls://h?ca=', /parameters/],
    ['tls://h?ca=a&ca=b', /parameters/],
    ['tls://h?cert=a', /parameters/],
    ['nats://h?ca=a', /is for tls/],
  ])('not %s', (text, problem) => {
    const read = readNatsUrl(text)
    expect(read).toEqual({ ok: false, problem: expect.stringMatching(problem) })
    expect(JSON.stringify(read)).not.toContain('secret')
  })

  test('a wrong one is refused where it is opened', async () => {
    await expect(openNats('nats://u:secret@h h', { log: new LogRecord(), key: KEY })).rejects.toThrow(
      /^the address of NATS has a server/,
    )
  })
})
