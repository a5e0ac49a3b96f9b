// From bytes to packets and back, around the mqtt-packet codec: cuts the stream into whole packets itself, so that nothing is held for a length that
// was only announced, and checks what the codec lets pass. Not here: sockets, and what a packet means (session.ts).

import { generate, type Packet, parser } from 'mqtt-packet'

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
    const length = packetLength(this.begun)
    if (length === 'malformed') return length
    if (length !== null && length > this.maxBytes) return 'tooLarge'
    if (length === null || length > this.#end - this.#start) {
      this.#rest()
      return null
    }
    this.#start += length
    return this.#held.subarray(this.#start - length, this.#start)
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
      return
    }
    this.#held = NOTHING
    this.#start = 0
    this.#end = 0
  }
}

/** Bytes of the packet that begins here, header included; null while the header is not whole [MQTT-2.2.3]. */
function packetLength(bytes: Buffer): number | null | 'malformed' {
  let length = 0
  for (let i = 0; i < LENGTH_BYTES_MAX; i += 1) {
    const byte = bytes[1 + i]
    if (byte === undefined) return null
    length += (byte & 0x7f) * 128 ** i
    if (byte < 0x80) return 2 + i + length
  }
  return 'malformed'
}

const TYPE_CONNECT = 1

/** Told from the first byte alone, before anything is parsed. */
export const isConnect = (packet: Buffer): boolean => (packet[0] ?? 0) >> 4 === TYPE_CONNECT

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
 * must be none. A CONNECT says itself which version it is. A new parser each time costs 1.5 µs and cannot be left in the middle of anything.
 */
export function decode(bytes: Buffer, version: Version): Decoded {
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

/** The bytes of a packet of ours. */
export const encode = (packet: Packet, version: Version): Buffer => generate(packet, { protocolVersion: version })

/** Bytes of a QoS 1 PUBLISH without properties, header included, to be known before it is made. */
export function publishBytes(topicBytes: number, payloadBytes: number, version: Version): number {
  const content = 2 + topicBytes + 2 + (version === 5 ? 1 : 0) + payloadBytes
  let lengthBytes = 1
  for (let rest = content; rest >= 0x80; rest = Math.floor(rest / 128)) lengthBytes += 1
  return 1 + lengthBytes + content
}
