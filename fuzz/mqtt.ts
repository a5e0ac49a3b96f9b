// Fuzzes the MQTT endpoint: most inputs straight into its parts (framer, decoder, login, session, payloads), where they are cheap; one in many over a
// real socket of a whole server, before and after login, while a device and a caller that behave must keep getting what is theirs.

import type { Packet } from 'mqtt-packet'
import { isCommandId } from '../src/core/command.ts'
import {
  CONNECT_MAX_BYTES,
  DEVICE_CODE_MAX_CHARS,
  DEVICE_MESSAGE_MAX_CHARS,
  PACKET_MAX_BYTES,
  REQUEST_ANSWER_MAX_BYTES,
  REQUEST_ID_MAX_CHARS,
} from '../src/core/limits.ts'
import { readConnect } from '../src/mqtt/connect.ts'
import { decode, encode, Framer, hasTooManyFilters } from '../src/mqtt/frame.ts'
import { readBatch, readSubLogin } from '../src/mqtt/gateway.ts'
import { readLogin } from '../src/mqtt/login.ts'
import { codes } from '../src/uplink/codes.ts'
import { answerTo, readReply, readRequest } from '../src/uplink/payload.ts'
import { readTopic } from '../src/uplink/topics.ts'
import { CURRENT_ID, chunked, connectBytes, packetBytes, payload, type Speaker } from './mqtt-packets.ts'
import { request } from './mqtt-requests.ts'
import { COMMAND_ID, Talk, type Version } from './mqtt-talk.ts'
import type { Random } from './random.ts'
import { type Block, check, type Target, within } from './target.ts'
import {
  connectPacket,
  Device,
  type Entry,
  GATEWAY_PRODUCT,
  GATEWAYS,
  PATIENCE_MS,
  PRODUCT,
  VICTIMS,
  World,
} from './world.ts'

/** Bytes are hex. */
export type MqttInput =
  | { readonly kind: 'connect'; readonly chunks: readonly string[] }
  | { readonly kind: 'payload'; readonly bytes: string }
  | { readonly kind: 'request'; readonly topic: string; readonly bytes: string; readonly by: 'g1' | 'v1' | 'channel' }
  | {
      readonly kind: 'stream'
      readonly version: Version
      readonly chunks: readonly string[]
      readonly limits: readonly [number, number]
      /** of a gateway: how many are behind it */
      readonly behind: number
      readonly gzip: boolean
      /** what happens after each packet that is none, see Talk */
      readonly happens: readonly number[]
    }
  | { readonly kind: 'socket'; readonly chunks: readonly string[] }
  | {
      readonly kind: 'device'
      readonly version: Version
      readonly deviceKey: string
      readonly subscribes: boolean
      readonly again: boolean
      readonly chunks: readonly string[]
    }

const speakerOf = (deviceKey: string, subs: readonly string[], gzip = false): Speaker => ({
  productKey: subs.length > 0 ? GATEWAY_PRODUCT : PRODUCT,
  deviceKey,
  subs: subs.map(key => ({ productKey: PRODUCT, deviceKey: key })),
  gzip,
})
/** of a session that is fuzzed without a server */
const speakerFor = (behind: number, gzip: boolean): Speaker =>
  behind > 0 ? speakerOf('g1', ['gs1', 'gs2', 'gs3'].slice(0, behind), gzip) : speakerOf('v1', [], gzip)
type Stream = Extract<MqttInput, { kind: 'stream' }>
const hex = (chunks: readonly Buffer[]): string[] => chunks.map(chunk => chunk.toString('hex'))
const bytesOf = (chunks: readonly string[]): Buffer[] => chunks.map(chunk => Buffer.from(chunk, 'hex'))

function generateInput(random: Random): MqttInput {
  const kind = random.below(1_000)
  const version = random.pick([4, 5] as const)
  const packets = (speaker: Speaker, most: number, spoilt = 50): Buffer =>
    Buffer.concat(random.times(1, random.chance(60) ? 1 : most, () => packetBytes(random, speaker, version, spoilt)))
  if (kind < 200) return { kind: 'connect', chunks: hex(chunked(random, connectBytes(random).bytes)) }
  if (kind < 320) {
    const bytes = random.chance(60) ? payload(random) : request(random, speakerFor(2, false)).payload
    return { kind: 'payload', bytes: bytes.toString('hex') }
  }
  if (kind < 420) {
    const { topic, payload: said } = request(random, speakerFor(3, false))
    return { kind: 'request', topic, bytes: said.toString('hex'), by: random.pick(['g1', 'g1', 'v1', 'channel']) }
  }
  if (kind < 972) {
    const limits = [random.pick([1, 2, 65_535]), random.pick([30, 100, 100_000])] as const
    const behind = random.chance(50) ? random.between(1, 3) : 0
    const gzip = random.chance(20)
    const happens = random.times(0, 8, () => random.below(256))
    const chunks = hex(chunked(random, packets(speakerFor(behind, gzip), 8)))
    return { kind: 'stream', version, chunks, limits, behind, gzip, happens }
  }
  if (kind < 980) {
    const stranger = speakerOf('v1', [])
    const first = random.chance(70) ? connectBytes(random).bytes : packets(stranger, 3)
    const more = random.chance(30) ? packets(stranger, 4) : Buffer.alloc(0)
    return { kind: 'socket', chunks: hex(chunked(random, Buffer.concat([first, more]))) }
  }
  const deviceKey = random.pick([...VICTIMS, ...Object.keys(GATEWAYS), ...Object.keys(GATEWAYS)])
  const speaker = speakerOf(deviceKey, GATEWAYS[deviceKey] ?? [])
  const chunks = hex(chunked(random, packets(speaker, 12, random.pick([10, 50]))))
  return { kind: 'device', version, deviceKey, subscribes: random.chance(70), again: random.chance(10), chunks }
}

/** Puts the id of a real command where the input has its place. */
function withId(bytes: Buffer, commandId: string): Buffer {
  const filled = Buffer.from(bytes)
  for (let at = filled.indexOf(CURRENT_ID); at >= 0; at = filled.indexOf(CURRENT_ID))
    filled.write(commandId, at, 'latin1')
  return filled
}

// --- parts -----------------------------------------------------------------------------------------------------------

/** Packets of a stream whatever its chunks, and how it ended; what the framer holds stays below its bound. */
function cut(chunks: readonly Buffer[], maxBytes: number): { packets: Buffer[]; end: string | null } {
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
    check(framer.begun.length <= maxBytes, () => `the framer holds ${framer.begun.length} bytes`)
  }
  return { packets, end: null }
}

/** Where a packet ends, said once more and simply. Null: it is not whole. */
function wholeLength(bytes: Buffer): number | 'malformed' | null {
  let length = 0
  for (let i = 1; i <= 4; i += 1) {
    const byte = bytes[i]
    if (byte === undefined) return null
    length += (byte & 0x7f) * 128 ** (i - 1)
    if (byte < 0x80) return 1 + i + length
  }
  return 'malformed'
}

/** How the stream must end by the standard: in the middle of a packet, at its end, or as no MQTT. */
function endOf(stream: Buffer): 'whole' | 'open' | 'broken' {
  let rest = stream
  while (rest.length > 0) {
    const length = wholeLength(rest)
    if (length === 'malformed' || (length ?? 0) > PACKET_MAX_BYTES) return 'broken'
    if (length === null || length > rest.length) return 'open'
    rest = rest.subarray(length)
  }
  return 'whole'
}

function runConnect(chunks: readonly Buffer[]): void {
  const { packets } = cut(chunks, CONNECT_MAX_BYTES)
  const [first] = packets
  if (first === undefined) return
  const connect = readConnect(first)
  if (connect.type === 'refused') {
    const returnCode = { 4: 1, 5: 0x8c }[connect.version]
    check(
      encode({ cmd: 'connack', sessionPresent: false, returnCode, reasonCode: returnCode }, connect.version).length > 0,
      () => 'no CONNACK',
    )
  }
  if (connect.type === 'connect') {
    check(
      connect.receiveMaximum > 0 && connect.maximumPacketSize > 0,
      () => `limits of a CONNECT: ${JSON.stringify(connect)}`,
    )
    const login = readLogin(connect.packet.clientId, connect.packet.username)
    if (login.ok) check(/^[\w.-]{1,64}$/.test(login.login.deviceKey), () => `a device key: ${login.login.deviceKey}`)
    else
      check(
        !login.reason.includes(connect.packet.clientId) || connect.packet.clientId.length < 5,
        () => `says what the client wrote: ${login.reason}`,
      )
  }
}

/** A request is read as far as its id, or not at all; and who can be answered gets its id back as it came. */
function checkRequest(bytes: Buffer): void {
  const request = readRequest(bytes)
  const told = answerTo(bytes, 1_009, 'no')
  check((request === null) === (told === null), () => `read ${request !== null}, answered ${told !== null}`)
  if (request === null || told === null) return
  const { idJson, params, fault } = request
  check(idJson.length <= REQUEST_ID_MAX_CHARS, () => `an id of ${idJson.length} characters`)
  check(told.startsWith(`{"id":${idJson},"code":1009,`) && JSON.parse(told).code === 1_009, () => `an answer: ${told}`)
  check(fault === null || params === undefined, () => `params with a fault are given: ${fault}`)
  const login = readSubLogin(params)
  for (const each of [login, ...(readBatch(params) ?? [])])
    if (each !== null)
      check(
        /^[\w.-]{1,64}$/.test(each.deviceKey) && /^[\w.-]{1,64}$/.test(each.productKey),
        () => `keys of a sub-device: ${JSON.stringify(each)}`,
      )
}

function checkReply(bytes: Buffer): void {
  checkRequest(bytes)
  const reply = readReply(bytes)
  if (reply === null) return
  const { commandId, code, deviceCode, message, outputJson } = reply
  check(isCommandId(commandId), () => `a reply to ${commandId}`)
  check(code === null || Number.isSafeInteger(code), () => `a code that is no integer: ${code}`)
  check(
    deviceCode.length <= DEVICE_CODE_MAX_CHARS && (message?.length ?? 0) <= DEVICE_MESSAGE_MAX_CHARS,
    () => 'a text without bound',
  )
  const texts = [deviceCode, message ?? '', outputJson ?? '']
  check(
    texts.every(text => !/[\0\p{Surrogate}]/u.test(text)),
    () => `what no store can keep: ${JSON.stringify(texts)}`,
  )
  if (outputJson !== null)
    check(!JSON.stringify(JSON.parse(outputJson)).includes('\\u0000'), () => `an output with NUL: ${outputJson}`)
}

function runStream({ version, limits, behind, gzip, happens }: Stream, chunks: readonly Buffer[]): void {
  const { packets, end } = cut(chunks, PACKET_MAX_BYTES)
  const stream = Buffer.concat(chunks)
  check((end !== null) === (endOf(stream) === 'broken'), () => `cut ends with ${end}, the stream is ${endOf(stream)}`)
  const [receiveMaximum, maximumPacketSize] = limits
  const talk = new Talk({ version, speaker: speakerFor(behind, gzip), receiveMaximum, maximumPacketSize })
  for (const [i, bytes] of packets.entries()) {
    check(wholeLength(bytes) === bytes.length, () => 'a packet of another length than it says')
    if (hasTooManyFilters(bytes, version)) return
    const decoded = decode(bytes, version)
    if (!decoded.ok) {
      check(typeof decoded.why === 'string' && decoded.why !== '', () => 'refused without a reason')
      return
    }
    talk.receive(decoded.packet)
    const what = happens[i]
    if (what !== undefined) talk.happens(what)
    if (talk.closed) return
  }
  talk.end()
}

/** Whether something in the stream ends a session by the rules of its parts. */
function endsSession(version: Version, speaker: Speaker, stream: Buffer): boolean {
  const talk = new Talk({ version, speaker, receiveMaximum: 65_535, maximumPacketSize: 100_000 })
  for (const bytes of cut([stream], PACKET_MAX_BYTES).packets) {
    if (hasTooManyFilters(bytes, version)) return true
    const decoded = decode(bytes, version)
    if (!decoded.ok) return true
    talk.receive(decoded.packet)
    if (talk.closed) return true
  }
  return false
}

// --- the whole ---------------------------------------------------------------------------------------------------------

/** In-process inputs after which the well-behaved are looked at, too. */
const PULSE_EVERY = 500
/** ms; longer than anything that an endpoint waits for before a login, and than the keep-alive of those that log in here */
const SILENCE_MS = 12_000

class MqttBlock implements Block<MqttInput> {
  readonly #world: World
  #inputs = 0

  constructor(world: World) {
    this.#world = world
  }

  run(input: MqttInput): void | Promise<void> {
    this.#inputs += 1
    if (input.kind === 'connect') runConnect(bytesOf(input.chunks))
    else if (input.kind === 'payload') checkReply(withId(Buffer.from(input.bytes, 'hex'), COMMAND_ID))
    else if (input.kind === 'request') return this.#request(input)
    else if (input.kind === 'stream')
      runStream(
        input,
        bytesOf(input.chunks).map(chunk => withId(chunk, COMMAND_ID)),
      )
    else return this.#onSocket(input)
    return this.#inputs % PULSE_EVERY === 0 ? this.#world.pulse() : undefined
  }

  /** Straight to who answers requests. Whoever asks with an id that can be read gets it back, with a code that there is, and with data. */
  async #request({ topic, bytes, by }: Extract<MqttInput, { kind: 'request' }>): Promise<void> {
    const world = this.#world
    const payload = Buffer.from(bytes, 'hex')
    const meaning = readTopic(topic)
    if (meaning?.type !== 'request') return
    const keys = by === 'channel' ? { ...meaning.keys, deviceKey: 'integration' } : meaning.keys
    const answer = await world.requests.answer({ keys, path: meaning.path, payload }, await world.asker(by))
    const read = readRequest(payload)
    check((read === null) === (answer === null), () => `read ${read !== null}, answered ${answer?.json}`)
    if (read === null || answer === null) return
    const { code, json } = answer
    const said: { code: number; data: unknown } = JSON.parse(json)
    check(json.startsWith(`{"id":${read.idJson},`) && said.code === code, () => `an answer with another id: ${json}`)
    check(CODES.has(code), () => `an answer with a code that there is not: ${json}`)
    check(typeof said.data === 'object' && said.data !== null, () => `an answer without data: ${json}`)
    check(Buffer.byteLength(json) <= REQUEST_ANSWER_MAX_BYTES, () => `an answer of ${json.length} characters`)
    check(code !== codes.internal.code, () => `the server failed: ${json}`)
    world.checkHealth()
  }

  async #onSocket(input: Extract<MqttInput, { kind: 'socket' | 'device' }>): Promise<void> {
    const chunks = bytesOf(input.chunks)
    if (input.kind === 'socket') await this.#stranger(chunks)
    else if (input.deviceKey in GATEWAYS) await this.#gateway(input, chunks)
    else await this.#victim(input, chunks)
    await this.#world.rest()
    this.#world.checkHealth()
  }

  /** Nobody yet: whatever it says, it is closed in the end, or let in by its own right and then closed for its silence. */
  async #stranger(chunks: readonly Buffer[]): Promise<void> {
    const world = this.#world
    const device = await Device.open(world.mqttPort, 4)
    const pulse = world.pulse()
    for (const chunk of chunks) device.send(chunk)
    await pulse
    await world.rest()
    // A CONNECT that is right may ask for no keep-alive, or for a long one: then it is for the client to go.
    if (device.accepted || device.fault !== null) await device.end()
    else await this.#mustClose(device)
    await world.rest()
    const strange = world
      .takeBook()
      .filter(entry => !['connected', 'disconnected', 'sent', 'timeout'].includes(entry.event.reason))
    check(
      strange.every(entry => repliedIn(entry, Buffer.concat(chunks))),
      () => `changes by nobody: ${JSON.stringify(strange)}`,
    )
  }

  /** Puts so many commands into the queue of a device, those that it has included. Returns the one that it was sent before. */
  async #fill(deviceKey: string, count: number, productKey = PRODUCT): Promise<string | undefined> {
    const world = this.#world
    const [queue] = await world.store.load([{ deviceId: await world.id(deviceKey, productKey), commandIds: [] }])
    const left = count - (queue?.open.length ?? 0)
    for (let i = 0; i < left; i += 1) await world.enqueue(deviceKey, productKey)
    return queue?.open.find(({ state }) => state === 4)?.id
  }

  async #victim(
    { version, deviceKey, subscribes, again }: Extract<MqttInput, { kind: 'device' }>,
    chunks: readonly Buffer[],
  ): Promise<void> {
    const world = this.#world
    const deviceId = await world.id(deviceKey)
    const inFlight = await this.#fill(deviceKey, 3)
    const device = await Device.connect(world.mqttPort, deviceKey, { protocolVersion: version, keepalive: 5 })
    check(device.accepted, () => `${deviceKey} is not let in: ${JSON.stringify(device.heard)}`)
    if (subscribes) {
      device.send(subscription([below(deviceKey)]))
      const said = () => device.heard.some(({ cmd }) => cmd === 'suback')
      await device.until(() => said() && (inFlight !== undefined || device.ids.length > 0), 'a SUBACK and a command')
    }
    const current = device.ids.at(-1) ?? inFlight ?? COMMAND_ID
    const sent = chunks.map(chunk => withId(chunk, current))
    const pulse = world.pulse()
    for (const chunk of sent) device.send(chunk)
    await this.#answered(
      device,
      Buffer.concat(sent),
      endsSession(version, speakerOf(deviceKey, []), Buffer.concat(sent)),
    )
    await pulse
    const second = again ? await Device.connect(world.mqttPort, deviceKey, { protocolVersion: version }) : null
    if (second !== null) await within(device.closed, PATIENCE_MS, () => 'a session that is taken over to be closed')
    await second?.end()
    await device.end()
    await world.rest()
    this.#checkBook(new Set([deviceId]), Buffer.concat(sent))
  }

  /** A gateway that has logged in those behind it, with commands on their way to all of them. When it is gone, so are they. */
  async #gateway(
    { version, deviceKey, subscribes, again }: Extract<MqttInput, { kind: 'device' }>,
    chunks: readonly Buffer[],
  ): Promise<void> {
    const world = this.#world
    const subs = GATEWAYS[deviceKey] ?? []
    const inFlight = await this.#fill(deviceKey, 1, GATEWAY_PRODUCT)
    for (const sub of subs) await this.#fill(sub, 2)
    const over = { protocolVersion: version, keepalive: 5 }
    const device = await Device.connect(world.mqttPort, deviceKey, over, GATEWAY_PRODUCT)
    check(device.accepted, () => `${deviceKey} is not let in: ${JSON.stringify(device.heard)}`)
    const session = `/ext/session/${GATEWAY_PRODUCT}/${deviceKey}/combine/login/batch`
    if (subscribes) device.send(subscription([`/sys/${GATEWAY_PRODUCT}/${deviceKey}/#`, ...subs.map(below)]))
    device.send(message(session, JSON.stringify({ id: '1', params: { subDevices: subs.map(proofOf) } })))
    const isAnswered = () => device.heard.some(each => each.cmd === 'publish' && each.topic === `${session}_reply`)
    const isSent = () => !subscribes || inFlight !== undefined || device.ids.length > 0
    await device.until(() => isAnswered() && isSent(), 'an answer to a login and a command')
    const sent = chunks.map(chunk => withId(chunk, device.ids.at(-1) ?? COMMAND_ID))
    const pulse = world.pulse()
    for (const chunk of sent) device.send(chunk)
    const stream = Buffer.concat(sent)
    await this.#answered(device, stream, endsSession(version, speakerOf(deviceKey, subs), stream))
    await pulse
    const second = again ? await Device.connect(world.mqttPort, deviceKey, over, GATEWAY_PRODUCT) : null
    if (second !== null) await within(device.closed, PATIENCE_MS, () => 'a session that is taken over to be closed')
    await second?.end()
    await device.end()
    await world.rest()
    // A topology may have changed by what was sent, now or before.
    const all = await Promise.all(Object.values(GATEWAYS).flatMap(keys => keys.map(key => world.id(key))))
    for (const id of all) check(!world.engine.isOnline(id), () => `sub-device ${id} is online without its gateway`)
    this.#checkBook(new Set([...all, await world.id(deviceKey, GATEWAY_PRODUCT)]), stream)
  }

  /** Either the bytes are good and the next PINGREQ is answered, or they end the connection: at once, or when the rest does not come. */
  async #answered(device: Device, stream: Buffer, ends: boolean): Promise<void> {
    if (ends) await within(device.closed, PATIENCE_MS, () => 'a connection to be closed for what it sent')
    else if (endOf(stream) !== 'whole') await this.#mustClose(device)
    else {
      const wanted = countPings(stream) + 1
      device.send(Buffer.from([0xc0, 0x00]))
      await device.until(() => pings(device) >= wanted, 'a PINGRESP')
      check(
        pings(device) === wanted,
        () => `closed, and nothing that it sent says why: ${pings(device)} of ${wanted} PINGRESPs`,
      )
    }
  }

  async #mustClose(device: Device): Promise<void> {
    // Half of a packet is waited for; time decides.
    for (let turns = 0; turns < 4 && !device.isClosed; turns += 1) await this.#world.advance(SILENCE_MS / 4)
    device.socket.end()
    await this.#world.advance(SILENCE_MS)
    await within(device.closed, PATIENCE_MS, () => 'a connection to be closed after what it sent')
  }

  #checkBook(deviceIds: ReadonlySet<number>, stream: Buffer): void {
    for (const entry of this.#world.takeBook()) {
      const { event } = entry
      const told = (): string => `no input explains ${JSON.stringify(entry)}`
      if (event.by === 'fuzz' || event.by === 'time') continue
      check(deviceIds.has(entry.deviceId) && EXPLAINED.has(event.reason), told)
      if (event.reason.endsWith('reply')) check(repliedIn(entry, stream), told)
    }
  }

  async close(): Promise<void> {
    await this.#world.close()
  }
}

const CODES: ReadonlySet<number> = new Set(Object.values(codes).map(({ code }) => code))

/** what a device may bring about by connecting, and by what it says */
const EXPLAINED: ReadonlySet<string> = new Set([
  'connected',
  'disconnected',
  'sent',
  'unsent: sessionGone',
  'unsent: late',
  'reply',
  'late reply',
])

const below = (deviceKey: string): string => `/sys/${PRODUCT}/${deviceKey}/#`
const subscription = (filters: readonly string[]): Packet => ({
  cmd: 'subscribe',
  messageId: 9,
  subscriptions: filters.map(topic => ({ topic, qos: 1 })),
})
const message = (topic: string, payload: string): Packet => ({
  cmd: 'publish',
  topic,
  payload,
  qos: 0,
  dup: false,
  retain: false,
})

/** As the gateway passes it on: signed as in a CONNECT of the sub-device itself. */
function proofOf(deviceKey: string): object {
  const { clientId = '', password } = connectPacket(deviceKey, {})
  const sign = password?.toString()
  return {
    productKey: PRODUCT,
    deviceKey,
    clientId: clientId.split('|')[0],
    timestamp: '1',
    signMethod: 'sha256',
    sign,
  }
}

const pings = (device: Device): number => device.heard.filter(({ cmd }) => cmd === 'pingresp').length

/** PINGREQs that the stream has itself. */
function countPings(stream: Buffer): number {
  let count = 0
  for (let rest = stream; rest.length > 0; ) {
    const length = wholeLength(rest)
    if (length === null || length === 'malformed') break
    if (rest[0] === 0xc0 && length === 2) count += 1
    rest = rest.subarray(length)
  }
  return count
}

/** A change by a reply is explained by the bytes that hold its id. */
const repliedIn = ({ event }: Entry, stream: Buffer): boolean =>
  event.commandId !== null && stream.includes(event.commandId)

export const mqttTarget: Target<MqttInput> = {
  name: 'mqtt',
  share: 48,
  boundMs: 500,
  generate: generateInput,
  open: async () => new MqttBlock(await World.open()),
}
