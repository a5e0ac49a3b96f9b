// Packets for the MQTT fuzzer: what a device may send, what it may not, and both spoilt. Bytes only; what becomes of them is mqtt.ts's to see.

import { generate, type Packet } from 'mqtt-packet'
import { compressed, request } from './mqtt-requests.ts'
import { jsonValue, oddText, type Random, spoilBytes, spoilJson } from './random.ts'
import { connectPacket, PRODUCT, VICTIMS } from './world.ts'

/** Stands for the id of the command that the device was last sent: as long as an id, so that lengths stay what they are. */
export const CURRENT_ID = '@@@-current-id-@@@@'

export interface Speaker {
  readonly productKey: string
  readonly deviceKey: string
  /** of a gateway: those behind it */
  readonly subs: readonly { readonly productKey: string; readonly deviceKey: string }[]
  /** every payload is compressed */
  readonly gzip: boolean
}

/** Its own place, or that of one behind it. */
function place(random: Random, { subs, productKey, deviceKey }: Speaker): string {
  const keys = subs.length > 0 && random.chance(60) ? random.pick(subs) : { productKey, deviceKey }
  return `/sys/${keys.productKey}/${keys.deviceKey}/`
}

function topic(random: Random, speaker: Speaker): string {
  const base = place(random, speaker)
  return random.either(
    () => `${base}thing/service/plain_reply`,
    () => `${base}thing/service/measurepoint/set_reply`,
    () => `${base}thing/service/echo_reply`,
    () => `${base}thing/event/measurepoint/post`,
    () => `${base}thing/model/${random.pick(['down_raw_reply', 'up_raw', 'up_raw_reply', 'down_raw'])}`,
    () => `${base}thing/${oddText(random)}`,
    () => `${base}${oddText(random)}_reply`,
    () => `/ext/session/${speaker.productKey}/${speaker.deviceKey}/${random.pick(['x', 'combine/disable_reply'])}`,
    () => `/ext/session/${speaker.productKey}/${speaker.deviceKey}/thing/activate/info_reply`,
    () => `/sys/${PRODUCT}/${random.pick(VICTIMS)}/thing/service/plain_reply`,
    () => oddText(random),
    () => `${base}${'x/'.repeat(random.between(1, 400))}`,
  )
}

function filter(random: Random, speaker: Speaker): string {
  const base = place(random, speaker)
  return random.either(
    () => `${base}#`,
    () => `${base}thing/service/+`,
    () => `${base}thing/service/measurepoint/set`,
    () => `${base}+/${oddText(random)}`,
    () => `/ext/session/${speaker.productKey}/${speaker.deviceKey}/#`,
    () => `/sys/${PRODUCT}/+/#`,
    () => random.pick(['#', '+', '/#', 'a/#/b', 'a+', '$share/g/a', '$SYS/#']),
    () => topic(random, speaker),
  )
}

/** JSON such as devices send, mostly about the command that they were sent. */
export function payload(random: Random): Buffer {
  const id = random.either<unknown>(
    () => CURRENT_ID,
    () => CURRENT_ID,
    () => random.below(1_000),
    () => jsonValue(random, 1),
    () => String(2n ** 63n - BigInt(random.below(3))),
  )
  const code = random.pick<unknown>([
    0,
    200,
    '200',
    '0',
    405,
    -1,
    1.5,
    '',
    null,
    'x',
    '1e3',
    true,
    {},
    2 ** 53,
    '0x10',
    ' 200 ',
  ])
  const answer = {
    id,
    code,
    data: jsonValue(random),
    message: random.chance(50) ? oddText(random) : jsonValue(random, 1),
  }
  const fields = random.shuffled(Object.entries(answer)).slice(0, random.between(1, 6))
  const text = JSON.stringify(random.chance(85) ? Object.fromEntries(fields) : jsonValue(random))
  const end = random.chance(10) ? '\0'.repeat(random.between(1, 3)) : ''
  const spoilt = random.chance(25) ? spoilJson(random, text) : text
  const bytes = Buffer.from(spoilt + end)
  return random.chance(10) ? spoilBytes(random, bytes) : bytes
}

const packetId = (random: Random): number => random.pick([1, 2, 7, 65_535, random.between(1, 65_535)])

function properties(random: Random): object {
  return random.pick<object>([
    {},
    { properties: {} },
    { properties: { userProperties: { a: oddText(random).slice(0, 20), b: ['1', '2'] } } },
    { properties: { topicAlias: random.between(1, 9) } },
    {
      properties: {
        messageExpiryInterval: random.below(100),
        contentType: 'x',
        responseTopic: 'r',
        correlationData: random.bytes(0, 9),
      },
    },
    { properties: { subscriptionIdentifier: random.between(1, 500) } },
  ])
}

function publish(random: Random, speaker: Speaker, isFive: boolean): Packet {
  const qos = random.pick([0, 1, 1, 1, 2] as const)
  const messageId = qos === 0 ? {} : { messageId: packetId(random) }
  const flags = { dup: qos > 0 && random.chance(10), retain: random.chance(10) }
  const said = random.chance(55)
    ? { topic: topic(random, speaker), payload: payload(random) }
    : request(random, speaker)
  const packed = compressed(random, said.payload, speaker.gzip)
  const base = { cmd: 'publish', topic: said.topic || 'a', payload: packed, qos } as const
  return { ...base, ...flags, ...messageId, ...(isFive && random.chance(30) ? properties(random) : {}) }
}

/** Any packet, of a device or not, as the codec makes it. */
function anyPacket(random: Random, speaker: Speaker, isFive: boolean): Packet {
  const messageId = packetId(random)
  const subscription = () => ({ topic: filter(random, speaker) || 'a', qos: random.pick([0, 1, 2] as const) })
  return random.either<Packet>(
    () => publish(random, speaker, isFive),
    () => publish(random, speaker, isFive),
    () => publish(random, speaker, isFive),
    () => ({ cmd: 'subscribe', messageId, subscriptions: random.times(1, 4, subscription) }),
    () => ({
      cmd: 'unsubscribe',
      messageId,
      unsubscriptions: random.times(1, 4, () => filter(random, speaker) || 'a'),
    }),
    () => ({
      cmd: 'puback',
      messageId: random.between(1, 4),
      ...(isFive ? { reasonCode: random.pick([0, 0x10, 0x87]) } : {}),
    }),
    () => ({ cmd: 'pingreq' }),
    () => ({ cmd: random.pick(['pubrec', 'pubrel', 'pubcomp'] as const), messageId }),
    () => ({ cmd: 'disconnect', ...(isFive ? { reasonCode: random.pick([0, 4]) } : {}) }),
    () => connectPacket(speaker.deviceKey, { protocolVersion: isFive ? 5 : 4 }, speaker.productKey),
    () => ({ cmd: 'pingresp' }),
    () => ({ cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0 }),
    () => ({ cmd: 'suback', messageId, granted: [0] }),
    () => (isFive ? { cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: 'x' } } : { cmd: 'pingreq' }),
  )
}

/** The codec refuses to make some of what is asked for here; that is not what is looked at. */
function encoded(random: Random, make: () => Packet, version: 4 | 5): Buffer {
  for (let tries = 0; tries < 5; tries += 1) {
    try {
      return generate(make(), { protocolVersion: version })
    } catch {
      // Another one, then.
    }
  }
  return random.bytes(2, 8)
}

/** Sets the remaining length to what is there, so that what was spoilt is still one packet. */
export function relength(bytes: Buffer): Buffer {
  let header = 1
  while (header < Math.min(5, bytes.length) && (bytes[header] ?? 0) >= 0x80) header += 1
  const body = bytes.subarray(Math.min(header + 1, bytes.length))
  const length: number[] = []
  for (let left = body.length; ; left = Math.floor(left / 128)) {
    length.push((left % 128) | (left >= 128 ? 0x80 : 0))
    if (left < 128) break
  }
  return Buffer.concat([bytes.subarray(0, 1), Buffer.from(length), body])
}

function spoilt(random: Random, bytes: Buffer): Buffer {
  const spoiltBytes = spoilBytes(random, bytes)
  return random.chance(60) && spoiltBytes.length > 0 ? relength(spoiltBytes) : spoiltBytes
}

/** Bytes of one packet: by the codec, or in so many percent of all cases spoilt, or chance behind a plausible header. */
export function packetBytes(random: Random, speaker: Speaker, version: 4 | 5, percent: number): Buffer {
  const good = () => encoded(random, () => anyPacket(random, speaker, version === 5), version)
  if (!random.chance(percent)) return good()
  const kind = random.between(50, 99)
  if (kind < 88) return spoilt(random, good())
  if (kind < 96) {
    const body = random.bytes(0, 40)
    return Buffer.concat([Buffer.from([random.next() & 0xff, body.length]), body])
  }
  return random.bytes(1, 40)
}

/** A CONNECT, right or wrong in one of the many ways. */
export function connectBytes(random: Random): { bytes: Buffer; version: 4 | 5; deviceKey: string } {
  const version = random.pick([4, 5] as const)
  const deviceKey = random.pick([...VICTIMS, 'f1', 'c1', 'off', 'nobody'])
  const productKey = deviceKey === 'f1' ? 'free' : deviceKey === 'c1' ? 'guarded' : PRODUCT
  const will = { topic: 'w', payload: Buffer.from('w'), qos: random.pick([0, 1, 2] as const), retain: false }
  const limits = { receiveMaximum: random.pick([1, 65_535]), maximumPacketSize: random.pick([1, 20, 100_000]) }
  const over = random.pick<object>([
    {},
    { keepalive: random.pick([0, 1, 65_535]) },
    { will },
    { clean: false },
    { clientId: oddText(random) },
    {
      clientId: `${oddText(random)}|securemode=${random.below(5)},signmethod=${random.pick(['sha256', 'md5', 'x'])},timestamp=1|`,
    },
    { username: oddText(random) },
    { username: `${deviceKey}&${oddText(random)}` },
    { password: random.bytes(0, 80) },
    { password: Buffer.alloc(0), username: undefined },
    { protocolId: 'MQIsdp', protocolVersion: 3 },
    ...(version === 5
      ? [
          { properties: limits },
          { properties: { authenticationMethod: 'x' } },
          { properties: { sessionExpiryInterval: 9 } },
        ]
      : []),
  ])
  const make = (): Packet => connectPacket(deviceKey, { protocolVersion: version, ...over }, productKey)
  const bytes = encoded(random, make, version)
  return { bytes: random.chance(55) ? spoilt(random, bytes) : bytes, version, deviceKey }
}

/** The same bytes in other pieces. */
export function chunked(random: Random, bytes: Buffer): Buffer[] {
  if (random.chance(60)) return [bytes]
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const size = random.pick([1, 2, 3, 7, 100, 5_000])
    chunks.push(bytes.subarray(at, at + size))
    at += size
  }
  return chunks
}
