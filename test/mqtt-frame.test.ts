// Cutting a stream into packets, whatever the chunks; and what the codec must not let pass.

import fc from 'fast-check'
import type { Packet } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { FILTERS_PER_PACKET_MAX } from '../src/core/limits.ts'
import {
  connectProtocol,
  decode,
  encode,
  Framer,
  hasTooManyFilters,
  isConnect,
  publishBytes,
} from '../src/mqtt/frame.ts'

const publish = (payload: string, topic = 'a/b'): Packet => ({
  cmd: 'publish',
  topic,
  payload,
  qos: 1,
  dup: false,
  retain: false,
  messageId: 7,
})

/** Every packet that the framer gives for these chunks, and how it ended. */
function cut(chunks: readonly Buffer[], maxBytes = 1_000): { packets: Buffer[]; end: null | string } {
  const framer = new Framer(maxBytes)
  const packets: Buffer[] = []
  for (const chunk of chunks) {
    framer.push(chunk)
    for (;;) {
      const packet = framer.next()
      if (packet === null) break
      if (typeof packet === 'string') return { packets, end: packet }
      packets.push(packet)
    }
  }
  return { packets, end: null }
}

describe('the framer', () => {
  it('gives the same packets whatever the chunks', () => {
    const packet = fc
      .string({ maxLength: 300 })
      .map(payload => encode(payload === '' ? { cmd: 'pingreq' } : publish(payload), 4))
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 400 })), (packets, sizes) => {
        const stream = Buffer.concat(packets)
        const chunks: Buffer[] = []
        let at = 0
        for (const size of [...sizes, ...Array(stream.length).fill(97)]) {
          if (at >= stream.length) break
          chunks.push(Buffer.from(stream.subarray(at, at + size)))
          at += size
        }
        // Each packet is looked at after all were cut: bytes that were given away must not change.
        expect(cut(chunks, 2_000).packets.map(bytes => bytes.toString('hex'))).toEqual(
          packets.map(bytes => bytes.toString('hex')),
        )
      }),
    )
  })

  it('takes single bytes', () => {
    const bytes = encode(publish('x'.repeat(500)), 4)
    const { packets } = cut([...bytes].map(byte => Buffer.from([byte])))
    expect(packets).toEqual([bytes])
  })

  it('keeps what is pushed before it is taken, in order', () => {
    const framer = new Framer(1_000)
    const packets = ['one', 'two', 'three'].map(payload => encode(publish(payload), 4))
    for (const bytes of packets) {
      framer.push(bytes.subarray(0, 5))
      framer.push(bytes.subarray(5))
    }
    expect([framer.next(), framer.next(), framer.next(), framer.next()]).toEqual([...packets, null])
  })

  it('gives back what was not taken, and begins anew with what comes next', () => {
    const framer = new Framer(1_000)
    const [one, two] = ['one', 'two'].map(payload => encode(publish(payload), 4)) as [Buffer, Buffer]
    framer.push(Buffer.concat([one, two.subarray(0, 5)]))
    expect(framer.next()).toEqual(one)
    expect(framer.release()).toEqual(two.subarray(0, 5))
    expect([framer.release().length, framer.next()]).toEqual([0, null])
    framer.push(two)
    expect([framer.next(), framer.next()]).toEqual([two, null])
  })

  it('refuses a length beyond its bound from the header alone', () => {
    // 300 MB is beyond what four length bytes can say; the largest they can say is 256 MB.
    expect(cut([Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])])).toEqual({ packets: [], end: 'tooLarge' })
    expect(cut([Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01])])).toEqual({ packets: [], end: 'malformed' })
    expect(cut([0x30, 0xff, 0xff, 0xff, 0xff].map(byte => Buffer.from([byte]))).end).toBe('malformed')
  })

  it('takes a packet of exactly its bound, header included, and not one byte more', () => {
    const bytes = encode(publish('x'.repeat(200)), 4)
    expect(cut([bytes], bytes.length).packets).toEqual([bytes])
    expect(cut([bytes], bytes.length - 1)).toEqual({ packets: [], end: 'tooLarge' })
  })
})

describe('decoding', () => {
  const raw = (...bytes: number[]) => Buffer.from(bytes)

  it('gives back what was encoded, in both versions', () => {
    for (const version of [4, 5] as const) {
      const decoded = decode(encode(publish('payload'), version), version)
      expect(decoded).toMatchObject({ ok: true, packet: { cmd: 'publish', topic: 'a/b', messageId: 7 } })
    }
  })

  it.each([
    ['a reserved type', 4, raw(0x00, 0x00)],
    ['flags of a PUBACK', 4, raw(0x41, 0x02, 0, 1)],
    ['flags of a SUBSCRIBE', 4, raw(0x80, 0x06, 0, 1, 0, 1, 0x61, 0)],
    ['QoS 3', 4, raw(0x36, 0x05, 0, 1, 0x61, 0, 1)],
    ['a topic that is longer than the packet', 4, raw(0x30, 0x03, 0, 9, 0x61)],
    ['a PUBLISH that ends in its topic length', 4, raw(0x30, 0x01, 0)],
    ['a PINGREQ with content', 4, raw(0xc0, 0x01, 0)],
    ['a filter without its options', 4, raw(0x82, 0x05, 0, 1, 0, 1, 0x61)],
    ['a QoS of a filter beyond 2', 4, raw(0x82, 0x06, 0, 1, 0, 1, 0x61, 3)],
    ['AUTH in 3.1.1', 4, raw(0xf0, 0x00)],
    ['an unknown property', 5, raw(0x30, 0x06, 0, 1, 0x61, 2, 0x7f, 0)],
    ['properties that are longer than the packet', 5, raw(0x30, 0x05, 0, 1, 0x61, 9, 0x01)],
    ['an unknown DISCONNECT reason', 5, raw(0xe0, 0x01, 0x55)],
    ['nothing', 4, raw()],
    ['half a packet', 4, raw(0x30, 0x7f, 0, 1)],
  ] as const)('refuses %s', (_what, version, bytes) => expect(decode(bytes, version)).toMatchObject({ ok: false }))

  it('never throws, and what it takes has the shape of its type', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.constantFrom(4, 5), (content, version) => {
        const bytes = Buffer.from([content[0] ?? 0, content.length, ...content])
        const decoded = decode(bytes, version as 4 | 5)
        if (!decoded.ok) return
        const { packet } = decoded
        if (packet.cmd === 'publish')
          expect([typeof packet.topic, Buffer.isBuffer(packet.payload)]).toEqual(['string', true])
        if (packet.cmd === 'subscribe') expect(Array.isArray(packet.subscriptions)).toBe(true)
        if (packet.cmd === 'unsubscribe') expect(Array.isArray(packet.unsubscriptions)).toBe(true)
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('the filters of one packet', () => {
  const filters = fc.array(fc.string({ maxLength: 200 }), { minLength: 1, maxLength: 2 * FILTERS_PER_PACKET_MAX })
  const properties = fc.option(fc.dictionary(fc.string(), fc.string({ maxLength: 90 }), { minKeys: 1, maxKeys: 3 }))

  it('are counted as they are, in both versions', () => {
    fc.assert(
      fc.property(filters, properties, fc.constantFrom(4, 5), (topics, userProperties, level) => {
        const version = level as 4 | 5
        const more = version === 5 && userProperties !== null ? { properties: { userProperties } } : {}
        const subscriptions = topics.map(topic => ({ topic, qos: 1 as const }))
        const packets: Packet[] = [
          { cmd: 'subscribe', messageId: 1, subscriptions, ...more },
          { cmd: 'unsubscribe', messageId: 1, unsubscriptions: topics, ...more },
        ]
        for (const packet of packets)
          expect(hasTooManyFilters(encode(packet, version), version)).toBe(topics.length > FILTERS_PER_PACKET_MAX)
      }),
    )
  })

  it('are too many from one more than the bound, however short', () => {
    const packet = (length: number) =>
      encode({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: Array(length).fill('') }, 4)
    expect(hasTooManyFilters(packet(FILTERS_PER_PACKET_MAX), 4)).toBe(false)
    expect(hasTooManyFilters(packet(FILTERS_PER_PACKET_MAX + 1), 4)).toBe(true)
  })

  it('are not looked for in other packets, and noise has none that matter', () => {
    expect(hasTooManyFilters(encode(publish('\0'.repeat(5_000)), 4), 4)).toBe(false)
    fc.assert(
      fc.property(fc.constantFrom(0x82, 0xa2), fc.uint8Array({ maxLength: 300 }), (type, content) => {
        expect(hasTooManyFilters(Buffer.from([type, ...content]), 5)).toBe(false)
      }),
    )
  })
})

describe('the size of a PUBLISH', () => {
  it('is known before it is made', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 16_000, max: 17_000 })),
        fc.constantFrom(4, 5),
        (length, version) => {
          const bytes = encode(publish('x'.repeat(length), 'topic'), version as 4 | 5)
          expect(publishBytes(5, length, version as 4 | 5)).toBe(bytes.length)
        },
      ),
    )
  })
})

describe('the head of a CONNECT', () => {
  const connect = (over: object = {}) => encode({ cmd: 'connect', clientId: 'c', ...over } as Packet, 4)
  it('names the protocol and its level, also one that nobody knows', () => {
    expect(isConnect(connect())).toBe(true)
    expect(isConnect(encode({ cmd: 'pingreq' }, 4))).toBe(false)
    expect(connectProtocol(connect())).toEqual({ name: 'MQTT', level: 4 })
    expect(connectProtocol(connect({ protocolVersion: 5 }))).toEqual({ name: 'MQTT', level: 5 })
    expect(connectProtocol(connect({ protocolId: 'MQIsdp', protocolVersion: 3 }))).toEqual({ name: 'MQIsdp', level: 3 })
    // Long enough that its length takes two bytes.
    expect(connectProtocol(connect({ clientId: 'c'.repeat(200) }))).toEqual({ name: 'MQTT', level: 4 })
    const strange = Buffer.from(connect())
    strange[8] = 77
    expect(connectProtocol(strange)).toEqual({ name: 'MQTT', level: 77 })
  })
  it.each([
    [[0x10, 0x00]],
    [[0x10, 0x02, 0, 4]],
    [[0x10, 0x06, 0, 4, 77, 81, 84, 84]],
    [[0x10]],
    [[0x10, 0xff, 0xff, 0xff, 0xff]],
  ])('is missing in %j', bytes => expect(connectProtocol(Buffer.from(bytes))).toBeNull())
})
