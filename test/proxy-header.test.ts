// What a PROXY header says, whatever it is made of, in how many pieces it comes, and what follows it; and what is none.

import { SocketAddress } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PROXY_HEADER_MAX_BYTES, PROXY_LINE_MAX_BYTES } from '../src/core/limits.ts'
import { readHeader } from '../src/proxy/header.ts'
import { sourceOf } from '../src/uplink/login-limit.ts'
import { binaryHeader, lineHeader } from './rig/proxy.ts'

const line = (text: string): Buffer => Buffer.from(`${text}\r\n`, 'latin1')
const LONGEST = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'

/** A name, the bytes, and the address; null: the connection's own counts. */
const good: [string, Buffer, string | null][] = [
  ['TCP4', line('PROXY TCP4 192.0.2.1 203.0.113.9 56324 443'), '192.0.2.1'],
  ['TCP4 at its edges', line('PROXY TCP4 255.255.255.255 0.0.0.0 65535 0'), '255.255.255.255'],
  ['TCP6', line('PROXY TCP6 2001:db8::1 2001:db8::2 1 2'), '2001:db8::1'],
  ['TCP6, the longest', line(`PROXY TCP6 ${LONGEST} ${LONGEST} 65535 65535`), LONGEST],
  ['TCP6, spelled otherwise', line('PROXY TCP6 2001:0DB8:0:0:0::01 ::1 1 2'), '2001:db8::1'],
  ['TCP6 with an IPv4 address in it', line('PROXY TCP6 ::FFFF:192.0.2.1 ::ffff:203.0.113.9 1 2'), '::ffff:192.0.2.1'],
  ['the same in hexadecimal', line('PROXY TCP6 ::ffff:c000:0201 ::1 1 2'), '::ffff:192.0.2.1'],
  ['UNKNOWN', line('PROXY UNKNOWN'), null],
  ['UNKNOWN with addresses', line(`PROXY UNKNOWN ${LONGEST} ${LONGEST} 65535 65535`), null],
  ['UNKNOWN with anything', line('PROXY UNKNOWN \0\n\r PROXY TCP4'), null],
  ['version 2, IPv4', binaryHeader('192.0.2.1'), '192.0.2.1'],
  ['version 2, IPv6', binaryHeader('2001:db8::1'), '2001:db8::1'],
  ['version 2, an IPv4 address in an IPv6 one', binaryHeader('::ffff:c000:201'), '::ffff:192.0.2.1'],
  ['version 2 with more', binaryHeader('192.0.2.1', { more: Uint8Array.of(4, 0, 1, 0) }), '192.0.2.1'],
  [
    'version 2, the longest',
    binaryHeader('192.0.2.1', { more: Buffer.alloc(PROXY_HEADER_MAX_BYTES - 28, 1) }),
    '192.0.2.1',
  ],
  ['LOCAL', binaryHeader(null, { command: 0x20 }), null],
  ['LOCAL with addresses, which do not count', binaryHeader('192.0.2.1', { command: 0x20 }), null],
  ['LOCAL of a family that there is not', binaryHeader(null, { command: 0x20, kind: 0xff }), null],
  ['LOCAL that is shorter than its addresses', binaryHeader(null, { command: 0x20, kind: 0x11 }), null],
  ['UNSPEC', binaryHeader(null), null],
  ['UNSPEC with something', binaryHeader(null, { more: Buffer.alloc(50, 7) }), null],
  ['datagrams over IPv4', binaryHeader('192.0.2.1', { kind: 0x12 }), null],
  ['datagrams over IPv6', binaryHeader('2001:db8::1', { kind: 0x22 }), null],
  ['a UNIX socket', binaryHeader(null, { kind: 0x31, more: Buffer.alloc(216) }), null],
]

const wrong: [string, Buffer, string, RegExp][] = [
  ['a CONNECT', Buffer.from([0x10, 0x0c, 0, 4]), 'missing', /something else/],
  ['a request', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'missing', /something else/],
  ['another case', line('proxy TCP4 192.0.2.1 203.0.113.9 1 2'), 'missing', /something else/],
  ['another word', line('PROXYS TCP4'), 'missing', /something else/],
  ['a blank before it', line(' PROXY UNKNOWN'), 'missing', /something else/],
  ['one byte of the signature wrong', Buffer.from('\r\n\r\n\0\r\nQUIT\r'), 'missing', /something else/],
  ['no protocol', line('PROXY '), 'malformed', /protocol/],
  ['UDP', line('PROXY UDP4 192.0.2.1 203.0.113.9 1 2'), 'malformed', /protocol/],
  ['UNKNOWN with a tab', line('PROXY UNKNOWN\tx'), 'malformed', /protocol/],
  ['two blanks', line('PROXY  TCP4 192.0.2.1 203.0.113.9 1 2'), 'malformed', /protocol/],
  ['two blanks further on', line('PROXY TCP4 192.0.2.1  203.0.113.9 1 2'), 'malformed', /one blank/],
  ['nothing but a protocol', line('PROXY TCP4'), 'malformed', /two addresses and two ports/],
  ['a port too few', line('PROXY TCP4 192.0.2.1 203.0.113.9 1'), 'malformed', /two addresses and two ports/],
  ['a field too many', line('PROXY TCP4 192.0.2.1 203.0.113.9 1 2 3'), 'malformed', /two addresses and two ports/],
  ['a blank at the end', line('PROXY TCP4 192.0.2.1 203.0.113.9 1 2 '), 'malformed', /two addresses and two ports/],
  ['a source of the other family', line('PROXY TCP4 2001:db8::1 203.0.113.9 1 2'), 'malformed', /source/],
  ['a destination of the other family', line('PROXY TCP6 2001:db8::1 203.0.113.9 1 2'), 'malformed', /destination/],
  ['a leading zero', line('PROXY TCP4 192.0.2.01 203.0.113.9 1 2'), 'malformed', /source/],
  ['an octet too large', line('PROXY TCP4 192.0.2.256 203.0.113.9 1 2'), 'malformed', /source/],
  ['a name', line('PROXY TCP4 localhost 203.0.113.9 1 2'), 'malformed', /source/],
  ['a zone', line('PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2'), 'malformed', /source/],
  ['a group too many', line('PROXY TCP6 1:2:3:4:5:6:7:8:9 2001:db8::2 1 2'), 'malformed', /source/],
  ['a port too large', line('PROXY TCP4 192.0.2.1 203.0.113.9 65536 2'), 'malformed', /ports/],
  ['a port with a zero before it', line('PROXY TCP4 192.0.2.1 203.0.113.9 1 02'), 'malformed', /ports/],
  ['a port below zero', line('PROXY TCP4 192.0.2.1 203.0.113.9 1 -2'), 'malformed', /ports/],
  ['a line that ends with LF', line('PROXY TCP4 192.0.2.1 203.0.113.9 1 2\nGET /'), 'malformed', /ports/],
  ['a line that is too long', line(`PROXY UNKNOWN ${'x'.repeat(PROXY_LINE_MAX_BYTES)}`), 'too long', /107 bytes/],
  ['a line too long by one', line('PROXY UNKNOWN '.padEnd(PROXY_LINE_MAX_BYTES - 1)), 'too long', /107 bytes/],
  ['version 1 in binary', binaryHeader('192.0.2.1', { command: 0x11 }), 'malformed', /then it says 1/],
  ['version 3', binaryHeader('192.0.2.1', { command: 0x31 }), 'malformed', /then it says 3/],
  ['an unknown command', binaryHeader('192.0.2.1', { command: 0x22 }), 'malformed', /command 2/],
  ['an unknown family', binaryHeader('192.0.2.1', { kind: 0x41 }), 'malformed', /0x41/],
  ['an unknown protocol', binaryHeader('192.0.2.1', { kind: 0x03 }), 'malformed', /0x03/],
  ['IPv4 cut short', binaryHeader('192.0.2.1', { length: 11 }), 'malformed', /11 bytes instead of 12/],
  ['IPv6 cut short', binaryHeader('192.0.2.1', { kind: 0x21 }), 'malformed', /12 bytes instead of 36/],
  ['too much', binaryHeader('192.0.2.1', { length: PROXY_HEADER_MAX_BYTES - 15 }), 'too long', /4097 bytes/],
  ['all that it may say', binaryHeader(null, { command: 0x20, length: 65_535 }), 'too long', /65551 bytes/],
]

describe('a header', () => {
  it.each(good)('%s names its address, whatever comes behind it', (_what, bytes, source) => {
    const whole = { type: 'whole', length: bytes.length, source }
    expect(readHeader(bytes)).toEqual(whole)
    expect(readHeader(Buffer.concat([bytes, bytes]))).toEqual(whole)
    expect(readHeader(Buffer.concat([bytes, Buffer.alloc(70_000, 0x0d)]))).toEqual(whole)
  })

  it.each(good)('%s is unfinished up to its last byte', (_what, bytes) => {
    for (let n = 0; n < bytes.length; n++) expect(readHeader(bytes.subarray(0, n))).toEqual({ type: 'unfinished' })
  })

  it.each(wrong)('is not %s', (_what, bytes, fault, detail) => {
    const found = readHeader(bytes)
    expect(found).toEqual({ type: 'wrong', fault, detail: expect.stringMatching(detail) })
    expect(readHeader(Buffer.concat([bytes, line('PROXY UNKNOWN')]))).toEqual(found)
  })
})

const octet = fc.integer({ min: 0, max: 255 })
const ipv4 = fc.tuple(octet, octet, octet, octet).map(octets => octets.join('.'))
/** Every group with as many zeros before it, and in such letters, as may be. */
const group = fc.tuple(fc.integer({ min: 0, max: 0xffff }), fc.boolean(), fc.boolean()).map(([n, upper, padded]) =>
  n
    .toString(16)
    .padStart(padded ? 4 : 1, '0')
    [upper ? 'toUpperCase' : 'toLowerCase'](),
)
const ipv6 = fc.oneof(
  fc.tuple(...Array.from({ length: 8 }, () => group)).map(groups => groups.join(':')),
  fc
    .tuple(fc.array(group, { maxLength: 3 }), fc.array(group, { maxLength: 3 }))
    .map(([before, behind]) => `${before.join(':')}::${behind.join(':')}`),
  fc.tuple(group, group).map(([a, b]) => `::ffff:${a}:${b}`),
)
const address = fc.oneof(ipv4, ipv6)
const anything = fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes))
const header = fc.oneof(
  address.map(lineHeader),
  fc.tuple(address, anything).map(([source, more]) => binaryHeader(source, { more })),
  fc.record({ command: octet, kind: octet, more: anything }).map(options => binaryHeader(null, options)),
  fc.string({ maxLength: 120 }).map(text => line(`PROXY ${text}`)),
)

describe('whatever comes', () => {
  it('both versions call an address by the same name, and count it as the same source', () => {
    fc.assert(
      fc.property(address, source => {
        const inText = readHeader(lineHeader(source))
        const inBinary = readHeader(binaryHeader(source))
        const family = source.includes(':') ? 'ipv6' : 'ipv4'
        const name = new SocketAddress({ address: source, family }).address
        expect(inText).toMatchObject({ type: 'whole', source: name })
        expect(inBinary).toMatchObject({ type: 'whole', source: name })
        const mapped = /^::ffff:([0-9.]+)$/.exec(name)?.[1]
        if (mapped !== undefined) expect(sourceOf(name)).toBe(mapped)
      }),
    )
  })

  it('nothing that follows changes what was read, and nothing is waited for without end', () => {
    const bytes = fc.oneof(
      fc.tuple(header, anything).map(parts => Buffer.concat(parts)),
      anything,
      // A header of which one byte is another one.
      fc.tuple(header, fc.nat(), octet).map(([bytes, at, value]) => {
        bytes[at % bytes.length] = value
        return bytes
      }),
    )
    fc.assert(
      fc.property(bytes, bytes => {
        let decided = null
        for (let n = 0; n <= bytes.length; n++) {
          const found = readHeader(bytes.subarray(0, n))
          if (decided !== null) expect(found).toEqual(decided)
          else if (found.type !== 'unfinished') decided = found
          if (found.type === 'whole') expect(found.length).toBeLessThanOrEqual(n)
        }
        const filled = readHeader(Buffer.concat([bytes, Buffer.alloc(PROXY_HEADER_MAX_BYTES)]))
        expect(filled.type).not.toBe('unfinished')
      }),
      { numRuns: 300 },
    )
  })
})
