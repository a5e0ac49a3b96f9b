// From bytes to packets and back, around the mqtt-packet codec: cuts the stream into whole packets itself, so that nothing is held for a length that
// was only announced, and checks what the codec lets pass. Not here: sockets, and what a packet means (session.ts).

import { generate, type Packet, parser } from 'mqtt-packet'
import { FILTERS_PER_PACKET_MAX } from '../core/limits.ts'

/** MQTT 3.1.1 is level 4. */
export type Version = 4 | 5

/** What ends the reading of a stream: a length that is no length, or one that is more than is taken here. */
export type Cut = 'malformed' | 'tooLarge'

const NOTHING: Buffer = Buffer.alloc(0)
const LENGTH_BYTES_MAX = 4

/**
 * Cuts a stream of bytes into packets. Holds what was pushed and not taken yet, and of a packet that is not whole at most `maxBytes`:
 * a header that announces more is told at once, by whoever sends it in bytes of one too.
 */
export class Framer {
  /** bytes of one packet, its header included */
  maxBytes: number
  #held: Buffer = NOTHING
  #start = 0
  #end = 0
  /** the held buffer is our own, with room behind what is in it */
  #own = false

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  push(chunk: Buffer): void {
    if (this.#start === this.#end) {
      this.#held = chunk
      this.#start = 0
      this.#end = chunk.length
      this.#own = false
      return
    }
    // A chunk that is not our own has no room behind its end.
    if (this.#held.length - this.#end < chunk.length) this.#grow(chunk.length)
    chunk.copy(this.#held, this.#end)
    this.#end += chunk.length
  }

  /** What has been pushed and not taken: a packet tells its type before it is whole. */
  get begun(): Buffer {
    return this.#held.subarray(this.#start, this.#end)
  }

  /** The next whole packet, null if it has not come yet, or why there will be none. */
  next(): Buffer | null | Cut {
    const content = lengthAt(this.#held, this.#start + 1, this.#end)
    if (content === 'malformed') return content
    const end = content === null ? Number.POSITIVE_INFINITY : content.next + content.length
    if (content !== null && end - this.#start > this.maxBytes) return 'tooLarge'
    if (end > this.#end) {
      this.#rest()
      return null
    }
    const packet = this.#held.subarray(this.#start, end)
    this.#start = end
    return packet
  }

  /** Lets go of all that was pushed and not taken, and gives it back. */
  release(): Buffer {
    const rest = this.begun
    this.#held = NOTHING
    this.#start = 0
    this.#end = 0
    return rest
  }

  /** Doubles, so that single bytes cost no more than twice what they are. Written bytes never move in place: packets cut earlier point at them. */
  #grow(extra: number): void {
    const held = this.#end - this.#start
    const larger = Buffer.allocUnsafeSlow(Math.max(held * 2, held + extra, 64))
    this.#held.copy(larger, 0, this.#start, this.#end)
    this.#held = larger
    this.#start = 0
    this.#end = held
    this.#own = true
  }

  /** Lets go of the chunk: an idle connection holds nothing, or only what it has begun. */
  #rest(): void {
    if (this.#start < this.#end) {
      if (!this.#own) this.#grow(0)
    } else this.release()
  }
}

/** The length written at `at`, and where what has it begins [MQTT-2.2.3]; null while it is not whole before `end`. */
function lengthAt(bytes: Buffer, at: number, end: number): { length: number; next: number } | null | 'malformed' {
  let length = 0
  for (let i = 0; i < LENGTH_BYTES_MAX; i += 1) {
    const byte = bytes[at + i]
    if (byte === undefined || at + i >= end) return null
    length += (byte & 0x7f) * 128 ** i
    if (byte < 0x80) return { length, next: at + i + 1 }
  }
  return 'malformed'
}

/** The same in a whole packet; one that cannot be read has nothing behind it. */
function wholeLengthAt(packet: Buffer, at: number): { length: number; next: number } {
  const read = lengthAt(packet, at, packet.length)
  return read === null || read === 'malformed' ? { length: 0, next: packet.length } : read
}

const TYPE_CONNECT = 1
const TYPE_SUBSCRIBE = 8
const TYPE_UNSUBSCRIBE = 10
const typeOf = (packet: Buffer): number => (packet[0] ?? 0) >> 4

/** Told from the first byte alone, before anything is parsed. */
export const isConnect = (packet: Buffer): boolean => typeOf(packet) === TYPE_CONNECT

/**
 * Whether a whole packet is a SUBSCRIBE or UNSUBSCRIBE of more filters than are taken. They are counted where they lie: the codec makes objects of
 * them, which takes 50 ms for as many as a packet can hold. Of a packet that is not well-formed, nothing follows from the answer.
 */
export function hasTooManyFilters(packet: Buffer, version: Version): boolean {
  const type = typeOf(packet)
  if (type !== TYPE_SUBSCRIBE && type !== TYPE_UNSUBSCRIBE) return false
  let at = wholeLengthAt(packet, 1).next + PACKET_ID_BYTES
  if (version === 5) {
    const properties = wholeLengthAt(packet, at)
    at = properties.next + properties.length
  }
  let count = 0
  while (count <= FILTERS_PER_PACKET_MAX && at + 2 <= packet.length) {
    at += 2 + packet.readUInt16BE(at) + (type === TYPE_SUBSCRIBE ? 1 : 0)
    count += 1
  }
  return count > FILTERS_PER_PACKET_MAX
}
const PACKET_ID_BYTES = 2

/** The protocol's name and level in a CONNECT, which must be looked at first: a version that nobody knows must be answered. Null if it has none. */
export function connectProtocol(packet: Buffer): { readonly name: string; readonly level: number } | null {
  const header = packet.findIndex((byte, i) => i > 0 && byte < 0x80) + 1
  if (packet.length < header + 2) return null
  const nameEnd = header + 2 + packet.readUInt16BE(header)
  const level = packet[nameEnd]
  return level === undefined ? null : { name: packet.toString('latin1', header + 2, nameEnd), level }
}

export type Decoded = { readonly ok: true; readonly packet: Packet } | { readonly ok: false; readonly why: string }

/**
 * Parses one whole packet. Not ok, with the reason for the log: what the codec refuses or finds shorter than its content, and content where there
 * must be none. A CONNECT says itself which version it is. A new parser each time costs a few µs and cannot be left in the middle of anything.
 */
export function decode(bytes: Buffer, version: Version): Decoded {
  // Most packets of a fleet at rest, and always the same.
  if (bytes.length === HEADER_ONLY && bytes[0] === PINGREQ_HEADER && bytes[1] === 0) return PINGREQ
  const reader = parser({ protocolVersion: version })
  let packet: Packet | null = null
  let fault: string | null = null
  reader.on('packet', read => {
    packet = read
  })
  reader.on('error', (error: Error) => {
    fault ??= error.message
  })
  try {
    if (reader.parse(bytes) > 0) fault ??= 'the packet is shorter than its content'
  } catch (error) {
    // The codec reads beyond the end of some truncated packets, and the buffer throws.
    fault ??= error instanceof Error ? error.message : String(error)
  }
  return verdict(packet, fault, bytes)
}

function verdict(packet: Packet | null, fault: string | null, bytes: Buffer): Decoded {
  if (fault !== null) return { ok: false, why: fault }
  if (packet === null) return { ok: false, why: 'the packet is shorter than its content' }
  if (packet.cmd === 'pingreq' && bytes.length > HEADER_ONLY) return { ok: false, why: 'a PINGREQ has no content' }
  return { ok: true, packet }
}
const HEADER_ONLY = 2
const PINGREQ_HEADER = 0xc0
const PINGREQ: Decoded = { ok: true, packet: { cmd: 'pingreq' } }

/** The bytes of a packet of ours. */
export const encode = (packet: Packet, version: Version): Buffer => generate(packet, { protocolVersion: version })

/** Bytes of a QoS 1 PUBLISH without properties, header included, to be known before it is made. */
export function publishBytes(topicBytes: number, payloadBytes: number, version: Version): number {
  const content = 2 + topicBytes + 2 + (version === 5 ? 1 : 0) + payloadBytes
  let lengthBytes = 1
  for (let rest = content; rest >= 0x80; rest = Math.floor(rest / 128)) lengthBytes += 1
  return 1 + lengthBytes + content
}
