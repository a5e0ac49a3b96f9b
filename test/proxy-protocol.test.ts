// Behind balancers: MQTT, MQTT over TLS and HTTP over real sockets, each connection with a PROXY header before it, or with something else.

import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MqttClient } from 'mqtt'
import { afterEach, describe, expect, it } from 'vitest'
import {
  CONNECT_WAIT_MS,
  LOGIN_PAIR_BURST,
  PROXY_HEADER_MAX_BYTES,
  PROXY_HEADER_WAIT_MS,
  PROXY_LINE_MAX_BYTES,
  REFUSALS_LOGGED_PER_S,
} from '../src/core/limits.ts'
import { ManualClock } from './rig/clock.ts'
import { HttpDevice, HttpDevicesRig, loginBody } from './rig/http-devices.ts'
import { connectPacket, MqttRig, PRODUCT, publishPacket } from './rig/mqtt.ts'
import { Balancer, type BalancerOptions, binaryHeader, lineHeader, writeSlowly } from './rig/proxy.ts'
import { RawConnection, request } from './rig/raw.ts'
import { fleetFile, startRig, TestDevice } from './rig/server.ts'
import { ANOTHER_CERT, CA, CLIENT_CERT, CLIENT_KEY, SERVER_CERT, SERVER_KEY } from './rig/tls.ts'

const A = '192.0.2.1'
const B = '198.51.100.7'
const SIX = '2001:db8::1'

const opened: { stop(): Promise<unknown> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.stop()
})
const kept = async <T extends { stop(): Promise<unknown> }>(making: Promise<T>): Promise<T> => {
  const made = await making
  opened.push(made)
  return made
}
const mqttRig = (clock = new ManualClock()) => kept(MqttRig.start({ clock, proxyProtocol: true }))
const httpRig = () => kept(HttpDevicesRig.start({ proxyProtocol: true }))
const through = (to: number | string, header: Uint8Array, manner?: BalancerOptions['manner']) =>
  kept(Balancer.start(to, manner === undefined ? { header } : { header, manner }))

const turn = () => new Promise<void>(resolve => setImmediate(resolve))
const pass = (clock: ManualClock, ms: number) => clock.advance(ms, turn)
/** What the client is told, by its CONNACK; null: closed without one. */
const told = (client: MqttClient): Promise<number | null> =>
  new Promise(resolve => {
    client.on('packetreceive', packet => {
      if (packet.cmd === 'connack') resolve(packet.reasonCode ?? packet.returnCode ?? Number.NaN)
    })
    client.on('close', () => resolve(null))
  })
const lines = (rig: { logged: readonly { fields: object; message: string }[] }, message: RegExp) =>
  rig.logged.filter(line => message.test(line.message)).map(({ fields }) => fields)
const headers = (rig: { logged: readonly { fields: object; message: string }[] }) => lines(rig, /PROXY header/)

/** A name, the header, and the address that counts. */
const headersOf: [string, Buffer, string][] = [
  ['version 1, IPv4', lineHeader(A), A],
  ['version 1, IPv6', lineHeader(SIX), SIX],
  ['version 1, UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), '127.0.0.1'],
  ['version 2, IPv4', binaryHeader(A), A],
  ['version 2, IPv6, with more', binaryHeader(SIX, { more: Buffer.alloc(900, 7) }), SIX],
  ['version 2, LOCAL', binaryHeader(null, { command: 0x20 }), '127.0.0.1'],
]
const manners = ['one packet', 'single bytes'] as const
const ways = headersOf.flatMap(([what, header, source]) =>
  manners.map(manner => [what, manner, header, source] as const),
)

const tls = { cert: SERVER_CERT, key: SERVER_KEY, ca: CA }
const overTls = (port: number) => ({ protocol: 'mqtts', port, ca: CA, servername: 'localhost' }) as const
const WRONG = '0'.repeat(64)

describe('MQTT', () => {
  it.each(ways)(
    'with %s in %s lets devices in, and counts and logs that address',
    async (_what, manner, header, source) => {
      const rig = await mqttRig()
      const { port } = await through(rig.port, header, manner)
      expect(await told(rig.client('d1', { port }))).toBe(0)
      rig.client('d2', { port, password: WRONG })
      await rig.until('refused login')
      expect(lines(rig, /login refused/)).toMatchObject([{ deviceKey: 'd2', remote: source }])
      expect(headers(rig)).toEqual([])
    },
  )

  it('with much behind the header in the same packet loses nothing of it', async () => {
    const rig = await mqttRig()
    const device = await rig.raw()
    const n = 3_000
    const publishes = Array.from({ length: n }, (_, i) => publishPacket('x', 'x'.repeat(40), i + 1))
    device.send(lineHeader(A), connectPacket('d1'), ...publishes)
    expect(await device.next('connack')).toMatchObject({ returnCode: 0 })
    for (let i = 1; i <= n; i++) expect((await device.next('puback')).messageId).toBe(i)
  })

  it('with all at once and the end behind it hears it to its end', async () => {
    const rig = await mqttRig()
    const device = await rig.raw()
    device.send(binaryHeader(A), connectPacket('d1'), publishPacket('x', ''), { cmd: 'disconnect' })
    device.socket.end()
    await rig.until('client disconnected')
    expect(rig.count('foreign topic')).toBe(1)
  })

  it('gives as long for the CONNECT after the header as without one', async () => {
    const clock = new ManualClock()
    const rig = await mqttRig(clock)
    const device = await rig.raw()
    device.send(lineHeader(A))
    while (rig.intake.gauges().waiting > 0 || rig.listener.gauges().sockets === 0) await turn()
    await pass(clock, CONNECT_WAIT_MS - 1)
    expect(device.socket.destroyed).toBe(false)
    await pass(clock, 1)
    await device.closed
    expect(rig.count('dropped before login')).toBe(1)
    expect(headers(rig)).toEqual([])
  })
})

describe('MQTT over TLS', () => {
  it.each(ways)(
    'with %s in %s lets devices in, and counts and logs that address',
    async (_what, manner, header, source) => {
      const rig = await mqttRig()
      const { port } = await through(await rig.listenTls(tls), header, manner)
      expect(await told(rig.client('d1', overTls(port)))).toBe(0)
      rig.client('d2', { ...overTls(port), password: WRONG })
      await rig.until('refused login')
      expect(lines(rig, /login refused/)).toMatchObject([{ deviceKey: 'd2', remote: source }])
      expect(headers(rig)).toEqual([])
    },
  )

  it('knows many devices by their own addresses at the same time, and forgets them', async () => {
    const rig = await mqttRig()
    const to = await rig.listenTls(tls)
    const addresses = Array.from({ length: 8 }, (_, i) => `192.0.2.${i + 1}`)
    const clients = await Promise.all(
      addresses.map(async address => {
        const { port } = await through(to, binaryHeader(address), 'single bytes')
        return rig.client('d1', { ...overTls(port), password: WRONG })
      }),
    )
    await rig.until('refused login', addresses.length)
    expect(rig.intake.gauges().sources).toBe(addresses.length)
    const remotes = lines(rig, /login refused/).map(fields => 'remote' in fields && fields.remote)
    expect(remotes.sort()).toEqual(addresses)
    for (const client of clients) await client.endAsync(true)
    while (rig.listener.gauges().sockets > 0) await turn()
    expect(rig.intake.gauges().sources).toBe(0)
  })

  it('asks for certificates as ever', async () => {
    const rig = await mqttRig()
    const { port } = await through(await rig.listenTls(tls), lineHeader(A))
    const attempt = (cert: string) => rig.client('cert1', { ...overTls(port), cert, key: CLIENT_KEY }, 'guarded')
    expect(await told(attempt(CLIENT_CERT))).toBe(0)
    attempt(ANOTHER_CERT)
    await rig.until('refused login')
  })

  it('names the address of a handshake that fails', async () => {
    const rig = await mqttRig()
    rig.port = await rig.listenTls(tls)
    const noisy = await rig.raw()
    noisy.send(lineHeader(A), connectPacket('d1'))
    await noisy.closed
    await rig.until('dropped before login')
    expect(lines(rig, /TLS handshake failed/)).toMatchObject([{ remote: A }])
    expect(headers(rig)).toEqual([])
  })

  it('does not take a handshake without a header', async () => {
    const rig = await mqttRig()
    expect(await told(rig.client('d1', overTls(await rig.listenTls(tls))))).toBe(null)
    await rig.until('header missing')
    expect(lines(rig, /TLS handshake failed/)).toEqual([])
  })
})

describe('HTTP', () => {
  it.each(ways)(
    'with %s in %s lets devices in, and counts and logs that address',
    async (_what, manner, header, source) => {
      const rig = await httpRig()
      const { port } = await through(rig.url, header, manner)
      const url = `http://127.0.0.1:${port}`
      const device = new HttpDevice(url, PRODUCT, 'd1')
      expect(await device.login()).toMatchObject({ code: 200 })
      // Further requests of the same connection have no header before them.
      expect(await device.report()).toMatchObject({ code: 200 })
      expect((await new HttpDevice(url, PRODUCT, 'd2').login({ sign: WRONG })).code).not.toBe(200)
      expect(lines(rig, /login refused/)).toMatchObject([{ deviceKey: 'd2', source }])
      expect(headers(rig)).toEqual([])
    },
  )

  it('with much behind the header in the same packet loses nothing of it', async () => {
    const rig = await httpRig()
    const login = request('POST', `/auth/${PRODUCT}/d1`, {}, JSON.stringify(loginBody(PRODUCT, 'd1')))
    // Larger than what a socket reads at a time.
    const padded = (n: number) => JSON.stringify({ ...loginBody(PRODUCT, 'd2'), clientInfo: 'x'.repeat(n) })
    const requests = Array.from({ length: 30 }, () => request('POST', `/auth/${PRODUCT}/d2`, {}, padded(3_500)))
    const connection = new RawConnection(rig.url).send(Buffer.concat([lineHeader(A), login, ...requests]))
    const answers = await connection.answers(31)
    expect(answers.map(({ body }) => JSON.parse(body).code)).toEqual(answers.map(() => 200))
    connection.destroy()
  })

  it('stops without waiting for connections that have not said who they are', async () => {
    const rig = await httpRig()
    const silent = new RawConnection(rig.url)
    const begun = new RawConnection(rig.url).send('PROXY TC')
    while ((rig.intake?.gauges().waiting ?? 0) < 2) await turn()
    rig.intake?.stop()
    await Promise.all([rig.app.close(), silent.closed(), begun.closed()])
    expect(headers(rig)).toEqual([])
  })
})

describe('a connection', () => {
  const bad: [string, Buffer, string][] = [
    ['without a header', Buffer.from('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n'), 'missing'],
    ['of MQTT without a header', Buffer.from([0x10, 0x02, 0, 0]), 'missing'],
    ['with a malformed line', Buffer.from('PROXY TCP4 192.0.2.1 203.0.113.9 1\r\n'), 'malformed'],
    ['with a malformed binary header', binaryHeader(A, { command: 0x31 }), 'malformed'],
    ['with a line without an end', Buffer.alloc(PROXY_LINE_MAX_BYTES, 'PROXY TCP4 '), 'too long'],
    ['with a header that says it is large', binaryHeader(A, { length: PROXY_HEADER_MAX_BYTES }), 'too long'],
  ]
  it.each(bad)('%s is closed on every port, without an answer, and counted', async (_what, bytes, fault) => {
    const rig = await mqttRig()
    const http = await httpRig()
    const tlsPort = await rig.listenTls(tls)
    for (const port of [rig.port, tlsPort, Number(new URL(http.url).port)]) {
      const socket = connect(port, '127.0.0.1')
      let answered = 0
      socket.on('data', chunk => {
        answered += chunk.length
      })
      socket.on('error', () => socket.destroy())
      socket.write(bytes)
      await once(socket, 'close')
      expect(answered).toBe(0)
    }
    expect(rig.count(`header ${fault}`)).toBe(2)
    expect(http.counted).toEqual([`header ${fault}`])
    const fields = { remote: '127.0.0.1', fault, detail: expect.stringMatching(/\w/), leftOut: 0 }
    expect(headers(rig)).toEqual([
      { ...fields, port: rig.port },
      { ...fields, port: tlsPort },
    ])
    expect(rig.count('dropped before login')).toBe(0)
  })

  it.each([
    ['nothing', ''],
    ['half a line', 'PROXY TCP4 192.'],
    ['half a signature', '\r\n\r\n\0'],
  ])('that says %s is closed when its time is up', async (_what, bytes) => {
    const clock = new ManualClock()
    const rig = await mqttRig(clock)
    rig.port = await rig.listenTls(tls)
    const slow = await rig.raw()
    await writeSlowly(slow.socket, Buffer.from(bytes, 'latin1'))
    while (rig.intake.gauges().waiting === 0) await turn()
    await pass(clock, PROXY_HEADER_WAIT_MS - 1)
    expect(slow.socket.destroyed).toBe(false)
    await pass(clock, 1)
    await slow.closed
    expect(rig.count('header too slow')).toBe(1)
    expect(headers(rig)).toMatchObject([{ fault: 'too slow', remote: '127.0.0.1' }])
  })

  it('that ends within its header is logged, one that said nothing is not', async () => {
    const rig = await mqttRig()
    for (const end of ['end', 'resetAndDestroy'] as const) {
      const nothing = await rig.raw()
      while (rig.listener.gauges().sockets === 0) await turn()
      nothing.socket[end]()
      await nothing.closed
      while (rig.listener.gauges().sockets > 0) await turn()
    }
    expect(rig.logged).toEqual([])
    const half = await rig.raw()
    half.send(Buffer.from('PROXY '))
    half.socket.end()
    await rig.until('header cut off')
    expect(headers(rig)).toMatchObject([{ fault: 'cut off', remote: '127.0.0.1' }])
    expect(rig.intake.gauges().waiting).toBe(0)
  })

  it('of HTTP that ends before its header is whole is closed as well', async () => {
    const rig = await httpRig()
    for (const bytes of ['', 'PROXY ']) {
      const connection = new RawConnection(rig.url).send(bytes)
      connection.socket.end()
      await connection.closed()
    }
    expect(rig.counted).toEqual(['header cut off'])
    expect(rig.intake?.gauges()).toEqual({ waiting: 0, sources: 0 })
  })

  it('without a header costs a few lines in the log, however often it comes', async () => {
    const clock = new ManualClock()
    const rig = await mqttRig(clock)
    const come = async () => {
      const device = await rig.raw()
      device.send(connectPacket('d1'))
      await device.closed
    }
    await Promise.all(Array.from({ length: 100 }, come))
    expect(rig.count('header missing')).toBe(100)
    expect(headers(rig)).toHaveLength(REFUSALS_LOGGED_PER_S)
    await pass(clock, 1_000)
    await come()
    expect(headers(rig).at(-1)).toMatchObject({ leftOut: 100 - REFUSALS_LOGGED_PER_S })
  })

  it('is closed when the server stops, whatever it has said so far', async () => {
    const rig = await mqttRig()
    const tlsPort = await rig.listenTls(tls)
    const silent = await rig.raw()
    const begun = await rig.raw()
    begun.send(Buffer.from('PROXY '))
    rig.port = tlsPort
    const overTls = await rig.raw()
    while (rig.listener.gauges().sockets < 3) await turn()
    await rig.listener.stop()
    await Promise.all([silent.closed, begun.closed, overTls.closed])
    expect(rig.listener.gauges().sockets).toBe(0)
  })
})

describe('without the option', () => {
  it('a header is a malformed CONNECT, no handshake, and no request', async () => {
    const rig = await kept(MqttRig.start())
    const http = await kept(HttpDevicesRig.start())
    const { port } = await through(rig.port, lineHeader(A))
    expect(await told(rig.client('d1', { port }))).toBe(null)
    expect(rig.count('dropped before login')).toBe(1)
    const secure = await through(await rig.listenTls(tls), lineHeader(A))
    expect(await told(rig.client('d1', overTls(secure.port)))).toBe(null)
    await rig.until('dropped before login', 2)
    const answer = await new RawConnection(http.url).send(lineHeader(A)).answer()
    expect(answer.status).toBe(400)
    expect(rig.count('login')).toBe(0)
  })
})

describe('a whole server behind balancers', () => {
  it('limits refused logins by the address that they come from, at all doors together', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'downlink-test-'))
    opened.push({ stop: async () => rmSync(folder, { recursive: true }) })
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text)
      return join(folder, name)
    }
    const certificate = ['--tls-cert', file('cert.pem', SERVER_CERT), '--tls-key', file('key.pem', SERVER_KEY)]
    const { server } = await kept(startRig(['--proxy-protocol', '--mqtts', '0', ...certificate], fleetFile(2)))
    const doors = { http: server.httpUrl, mqtt: server.mqttUrl, mqtts: server.mqttsUrl ?? '' }
    const door = async (name: keyof typeof doors, source: string, header = lineHeader) => {
      const { port } = await through(doors[name], header(source))
      return `${name}://localhost:${port}`
    }
    const attempt = async (url: string, options = {}) => {
      const device = new TestDevice(url, 'd1', { ca: CA, protocolVersion: 5, ...options })
      opened.push({ stop: () => device.end() })
      return told(device.client)
    }
    const login = async (url: string) => (await new HttpDevice(url, 'bXuuAiku', 'd1').login()).status

    const guessing = await door('mqtt', A)
    const guesses = Array.from({ length: LOGIN_PAIR_BURST }, () => attempt(guessing, { password: WRONG }))
    expect(await Promise.all(guesses)).toEqual(guesses.map(() => 0x86))
    // The same address is shut out everywhere, in either version of the header.
    expect(await attempt(await door('mqtts', A, binaryHeader))).toBe(0x9f)
    expect(await login(await door('http', A, binaryHeader))).toBe(429)
    // All others come from the same balancer, and are let in.
    expect(await attempt(await door('mqtt', B))).toBe(0)
    expect(await attempt(await door('mqtts', B, binaryHeader))).toBe(0)
    expect(await login(await door('http', B))).toBe(200)

    const refused = await told(new TestDevice(server.mqttUrl, 'd1').client)
    expect(refused).toBe(null)
    const metrics = await fetch(`${await door('http', B)}/metrics`)
    expect(await metrics.text()).toContain('downlink_proxy_headers_refused_total{fault="missing"} 1')
  })
})
