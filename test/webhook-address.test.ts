// Where webhooks may go and where they may not: the table of addresses, URLs, names that resolve to what is not public, and what is really connected to.

import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { errors } from '../src/core/errors.ts'
import { WEBHOOK_LOOKUPS_MAX } from '../src/core/limits.ts'
import type { Log } from '../src/log.ts'
import { addressesOf, Forbidden, type HostAddress, notPublic, type Resolve, readUrl } from '../src/stream/address.ts'
import { type Post, Poster, type PosterOptions } from '../src/stream/post.ts'
import { Receiver } from './rig/changes.ts'
import { expectRefused, startApp } from './rig/http.ts'
import { ORG } from './rig/server.ts'
import { SERVER_CERT, SERVER_KEY } from './rig/tls.ts'

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

describe('an address', () => {
  test.each([
    ['0.0.0.0', 'this network'],
    ['0.1.2.3', 'this network'],
    ['10.0.0.1', 'private'],
    ['10.255.255.255', 'private'],
    ['100.64.0.1', 'shared, behind a carrier'],
    ['100.127.255.255', 'shared, behind a carrier'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['169.254.169.254', 'link-local'],
    ['172.16.0.1', 'private'],
    ['172.31.255.255', 'private'],
    ['192.0.0.170', 'reserved for protocols'],
    ['192.0.2.1', 'for documentation'],
    ['192.88.99.1', 'a relay'],
    ['192.168.178.1', 'private'],
    ['198.18.0.1', 'for benchmarks'],
    ['198.19.255.255', 'for benchmarks'],
    ['198.51.100.7', 'for documentation'],
    ['203.0.113.7', 'for documentation'],
    ['224.0.0.1', 'multicast'],
    ['239.255.255.250', 'multicast'],
    ['240.0.0.1', 'reserved'],
    ['255.255.255.255', 'reserved'],
    ['::', 'unspecified'],
    ['::1', 'loopback'],
    ['::ffff:127.0.0.1', 'an IPv4 address in disguise'],
    ['::ffff:8.8.8.8', 'an IPv4 address in disguise'],
    ['::ffff:a00:1', 'an IPv4 address in disguise'],
    ['::7f00:1', 'an IPv4 address in disguise'],
    ['64:ff9b::a00:1', 'an IPv4 address in disguise'],
    ['64:ff9b:1::1', 'an IPv4 address in disguise'],
    ['100::1', 'discarded'],
    ['2001::1', 'reserved for protocols'],
    ['2001:db8::1', 'for documentation'],
    ['2002:7f00:1::', 'an IPv4 address in disguise'],
    ['3fff::1', 'for documentation'],
    ['4000::1', 'not given out'],
    ['fc00::1', 'private'],
    ['fd12:3456::1', 'private'],
    ['fe80::1', 'link-local'],
    ['fec0::1', 'private'],
    ['ff02::1', 'multicast'],
    ['localhost', 'no address'],
    ['', 'no address'],
  ])('%s is not public: %s', (address, what) => {
    expect(notPublic(address)).toBe(what)
  })

  test.each([
    ...[
      '1.1.1.1',
      '8.8.8.8',
      '9.255.255.255',
      '11.0.0.1',
      '100.63.255.255',
      '100.128.0.1',
      '126.255.255.255',
      '128.0.0.1',
    ],
    ...[
      '169.253.1.1',
      '172.15.255.255',
      '172.32.0.1',
      '192.0.1.1',
      '192.167.1.1',
      '198.17.1.1',
      '198.20.0.1',
      '223.255.255.255',
    ],
    ...['2606:4700:4700::1111', '2a00:1450:4001::1', '2001:4860:4860::8888', '2400:cb00::1'],
  ])('%s is public', address => {
    expect(notPublic(address)).toBeNull()
  })
})

describe('a URL', () => {
  test.each([
    ['https://example.com/hook?key=value', null],
    ['https://example.com:8443/', null],
    ['https://8.8.8.8/', null],
    ['https://[2606:4700:4700::1111]/', null],
    ['http://example.com/', 'must begin with https://'],
    ['ftp://example.com/', 'must begin with https://'],
    ['file:///etc/passwd', 'must begin with https://'],
    ['javascript:alert(1)', 'must begin with https://'],
    ['example.com', 'is not a URL'],
    ['https://', 'is not a URL'],
    ['https://user@example.com/', 'a user or a password'],
    ['https://:secret@example.com/', 'a user or a password'],
    ['https://example.com/#x', 'a fragment'],
    ['https://127.0.0.1/', 'loopback'],
    // The same address in the ways that a browser reads it.
    ['https://2130706433/', 'loopback'],
    ['https://0x7f.1/', 'loopback'],
    ['https://0177.0.0.1/', 'loopback'],
    ['https://127.1/', 'loopback'],
    ['https://１２７.0.0.1/', 'loopback'],
    ['https://[::1]/', 'loopback'],
    ['https://[::ffff:127.0.0.1]/', 'in disguise'],
    ['https://[::ffff:7f00:1]/', 'in disguise'],
    ['https://169.254.169.254/latest/meta-data/', 'link-local'],
    ['https://10.0.0.1/', 'private'],
    [`https://example.com/${'a'.repeat(2_100)}`, 'characters'],
  ])('%s', (text, problem) => {
    const read = readUrl(text, 'public')
    if (problem === null) expect(read).toMatchObject({ ok: true })
    else expect(read).toContain(problem)
  })

  test('may be plain and anywhere where that was said, but no other scheme', () => {
    for (const text of ['http://127.0.0.1:9/', 'http://localhost/', 'https://[::1]/', 'http://10.0.0.1/hook'])
      expect(readUrl(text, 'any'), text).toMatchObject({ ok: true })
    expect(readUrl('ftp://127.0.0.1/', 'any')).toContain('https:// or http://')
    expect(readUrl('http://user@127.0.0.1/', 'any')).toContain('a user')
  })
})

const at =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses.map((address): HostAddress => ({ address, family: address.includes(':') ? 6 : 4 }))

describe('a name', () => {
  const url = new URL('https://receiver.example/')

  test('is refused if any of its addresses is not public, and says which to the log alone', async () => {
    await expect(addressesOf(url, 'public', at('8.8.8.8', '10.1.2.3'))).rejects.toThrow(Forbidden)
    await expect(addressesOf(url, 'public', at('8.8.8.8', '10.1.2.3'))).rejects.toThrow(
      expect.objectContaining({
        message: 'receiver.example is at an address that is not public: nothing is sent there',
        found: '10.1.2.3 (private)',
      }),
    )
    await expect(addressesOf(url, 'public', at('::1'))).rejects.toThrow(
      expect.objectContaining({ found: '::1 (loopback)' }),
    )
    await expect(addressesOf(url, 'public', at())).rejects.toThrow('has no address')
    expect(await addressesOf(url, 'public', at('8.8.8.8', '2606:4700::1'))).toEqual([
      { address: '8.8.8.8', family: 4 },
      { address: '2606:4700::1', family: 6 },
    ])
    expect(await addressesOf(url, 'any', at('127.0.0.1'))).toEqual([{ address: '127.0.0.1', family: 4 }])
  })

  test('that is an address is looked at as one, and resolved by nobody', async () => {
    const resolve: Resolve = () => Promise.reject(new Error('somebody asked'))
    await expect(addressesOf(new URL('https://127.1/'), 'public', resolve)).rejects.toThrow(Forbidden)
    expect(await addressesOf(new URL('https://8.8.8.8/'), 'public', resolve)).toEqual([
      { address: '8.8.8.8', family: 4 },
    ])
    await expect(addressesOf(url, 'public', resolve)).rejects.toThrow('somebody asked')
  })
})

const post = (url: string): Post => ({
  url,
  webhookId: 'w',
  delivery: 'd',
  body: '{"events":[]}',
  secret: 's',
  timestampS: 1,
})
const never = new AbortController().signal
const quiet: Log = { info: () => undefined, warn: () => undefined, error: () => undefined }

function poster(options: Partial<PosterOptions> = {}): Poster {
  const made = new Poster({ reachable: 'any', waitMs: 2_000, log: quiet, ...options })
  stops.push(() => made.close())
  return made
}

describe('a POST', () => {
  async function receiver(): Promise<{ receiver: Receiver; port: string }> {
    const receiver = new Receiver()
    const { port } = new URL(await receiver.listen())
    stops.push(() => receiver.stop())
    return { receiver, port }
  }

  test('goes to the address that was looked at and to no other, by its own name', async () => {
    const { receiver: heard, port } = await receiver()
    let asked = 0
    // A name that no other resolver knows: whoever looked it up again would find nothing.
    const resolve: Resolve = async () => {
      asked += 1
      return [{ address: '127.0.0.1', family: 4 }]
    }
    const answer = await poster({ resolve }).post(post(`http://receiver.invalid:${port}/hook`), never)
    expect(answer).toMatchObject({ outcome: 'taken', status: 200, text: 'thanks' })
    expect(asked).toBe(1)
    expect(heard.received[0]?.headers.host).toBe(`receiver.invalid:${port}`)
  })

  test('to what is not public is not made, also where the name was public when the webhook was made', async () => {
    const { receiver: heard, port } = await receiver()
    const logged: object[] = []
    const log = { ...quiet, warn: (fields: object) => void logged.push(fields) }
    const made = poster({ reachable: 'public', resolve: at('127.0.0.1'), log })
    for (const url of [
      `https://receiver.invalid:${port}/`,
      `https://127.0.0.1:${port}/`,
      `http://receiver.invalid:${port}/`,
    ]) {
      const answer = await made.post(post(url), never)
      expect(answer).toMatchObject({ outcome: 'forbidden', status: null })
      expect(answer.error).not.toBe('')
      // Of a name nothing is said that is not known already.
      if (url.startsWith('https://receiver')) expect(answer.error).not.toMatch(/127|loopback/)
    }
    expect(heard.received).toEqual([])
    const url = `https://receiver.invalid:${port}/`
    expect(logged).toEqual([{ webhookId: 'w', url, at: '127.0.0.1 (loopback)' }])
  })

  test('over TLS is for who has a certificate that is trusted, and for nobody else', async () => {
    const server = createTlsServer({ cert: SERVER_CERT, key: SERVER_KEY }, (_, response) => void response.end())
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    stops.push(() => void server.close())
    const { port } = server.address() as AddressInfo
    const answer = await poster({ resolve: at('127.0.0.1') }).post(post(`https://localhost:${port}/`), never)
    expect(answer).toMatchObject({ outcome: 'unreachable', status: null })
    expect(answer.error).toMatch(/certificate/)
  })

  test('ends in time though its name is never resolved, and when the server stops', async () => {
    const hanging: Resolve = () => new Promise(() => undefined)
    const answer = await poster({ resolve: hanging, waitMs: 50 }).post(post('http://receiver.invalid/'), never)
    expect(answer).toMatchObject({ outcome: 'unreachable', error: 'no answer within 0.05 s' })
    const stop = new AbortController()
    const stopped = poster({ resolve: hanging }).post(post('http://receiver.invalid/'), stop.signal)
    stop.abort()
    expect((await stopped).error).toContain('the server stopped')
  })

  test('does not begin more look-ups than may go on, also where their POSTs were given up long ago', async () => {
    const { port } = await receiver()
    const ends: (() => void)[] = []
    const resolve: Resolve = () =>
      new Promise(resolve => ends.push(() => resolve([{ address: '127.0.0.1', family: 4 }])))
    const made = poster({ resolve, waitMs: 50 })
    const send = () => made.post(post(`http://receiver.invalid:${port}/`), never)
    for (let round = 0; round < 2; round++)
      for (const { error } of await Promise.all(Array.from({ length: 2 * WEBHOOK_LOOKUPS_MAX }, send)))
        expect(error).toBe('no answer within 0.05 s')
    expect(ends).toHaveLength(WEBHOOK_LOOKUPS_MAX)
    // Addresses are looked up by nobody, and need none of these places.
    expect((await made.post(post(`http://127.0.0.1:${port}/`), never)).outcome).toBe('taken')
    // Those that waited have gone: the place is for who comes now.
    ends[0]?.()
    const next = send()
    while (ends.length === WEBHOOK_LOOKUPS_MAX) await new Promise(resolve => setImmediate(resolve))
    ends.at(-1)?.()
    expect((await next).outcome).toBe('taken')
  })

  test('keeps of an answer a little, and nothing that a terminal would choke on', async () => {
    const { receiver: heard, port } = await receiver()
    heard.answer = (_, response) => void response.writeHead(500).end(`\x1b[31m\0${'é'.repeat(2_000)}`)
    const { error, text } = await poster().post(post(`http://127.0.0.1:${port}/`), never)
    expect(text.length).toBeLessThanOrEqual(300)
    expect(error).toMatch(/^500 Internal Server Error: \[31m é+$/)
  })
})

describe('a webhook of a server that lets them go to public addresses alone', () => {
  test('is not made for any other', async () => {
    const rig = await startApp({ stream: { reachable: 'public', resolve: at('10.0.0.1') } })
    stops.push(() => rig.stop())
    const call = (method: string, path: string, body?: object) =>
      rig.app.call({ orgId: ORG }, { method, resource: `/v1/webhooks${path}`, ...(body && { body }) })
    for (const [url, why] of [
      ['http://example.com/', 'https://'],
      ['https://127.0.0.1/', 'loopback'],
      ['https://[fd00::1]/', 'private'],
    ] as const)
      expectRefused(await call('POST', '', { url }), errors.invalidArgument.code, why)
    // A name may resolve to anything at any time, so it is looked at when something is sent.
    const made = await call('POST', '', { url: 'https://internal.example/', paused: true })
    expect(made.code).toBe(0)
    const tried = await call('POST', `/${made.data.webhookId}/test`)
    expect(tried.data).toMatchObject({ outcome: 'forbidden', status: null })
    expect(tried.data.error).toContain('internal.example is at an address that is not public')
    expect(JSON.stringify(tried)).not.toContain('10.0.0')
  })
})
