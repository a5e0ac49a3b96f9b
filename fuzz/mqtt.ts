// Fuzzes the MQTT endpoint: most inputs straight into its parts (framer, decoder, login, session, payloads), where they are cheap; one in many over a
// real socket of a whole server, before and after login, while a device and a caller that behave must keep getting what is theirs.

import { isDeepStrictEqual } from 'node:util'
import { type Packet, parser } from 'mqtt-packet'
import { isCommandId, Kind } from '../src/core/command.ts'
import {
  CONNECT_MAX_BYTES,
  DEVICE_CODE_MAX_CHARS,
  DEVICE_MESSAGE_MAX_CHARS,
  PACKET_MAX_BYTES,
  UPLINK_PENDING_MAX,
} from '../src/core/limits.ts'
import { readConnect } from '../src/mqtt/connect.ts'
import { decode, encode, Framer, hasTooManyFilters } from '../src/mqtt/frame.ts'
import { readLogin } from '../src/mqtt/login.ts'
import { readReply, readRequestId } from '../src/mqtt/payload.ts'
import { Session, type Step } from '../src/mqtt/session.ts'
import { CURRENT_ID, chunked, connectBytes, packetBytes, payload, type Speaker } from './mqtt-packets.ts'
import type { Random } from './random.ts'
import { type Block, check, type Target, within } from './target.ts'
import { Device, type Entry, PATIENCE_MS, PRODUCT, VICTIMS, World } from './world.ts'

type Version = 4 | 5

/** Bytes are hex. */
export type MqttInput =
  | { readonly kind: 'connect'; readonly chunks: readonly string[] }
  | { readonly kind: 'payload'; readonly bytes: string }
  | {
      readonly kind: 'stream'
      readonly version: Version
      readonly chunks: readonly string[]
      readonly limits: readonly [number, number]
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

/** A command in the life of a session that is fuzzed without a server. */
const COMMAND_ID = '4249300236708610048'
const SPEAKER: Speaker = { productKey: PRODUCT, deviceKey: 'v1' }
const hex = (chunks: readonly Buffer[]): string[] => chunks.map(chunk => chunk.toString('hex'))
const bytesOf = (chunks: readonly string[]): Buffer[] => chunks.map(chunk => Buffer.from(chunk, 'hex'))

function generateInput(random: Random): MqttInput {
  const kind = random.below(1_000)
  const version = random.pick([4, 5] as const)
  const packets = (speaker: Speaker, most: number): Buffer =>
    Buffer.concat(random.times(1, random.chance(60) ? 1 : most, () => packetBytes(random, speaker, version)))
  if (kind < 200) return { kind: 'connect', chunks: hex(chunked(random, connectBytes(random).bytes)) }
  if (kind < 320) return { kind: 'payload', bytes: payload(random).toString('hex') }
  if (kind < 980) {
    const limits = [random.pick([1, 2, 65_535]), random.pick([30, 100, 100_000])] as const
    return { kind: 'stream', version, chunks: hex(chunked(random, packets(SPEAKER, 8))), limits }
  }
  if (kind < 990) {
    const first = random.chance(70) ? connectBytes(random).bytes : packets(SPEAKER, 3)
    const more = random.chance(30) ? packets(SPEAKER, 4) : Buffer.alloc(0)
    return { kind: 'socket', chunks: hex(chunked(random, Buffer.concat([first, more]))) }
  }
  const deviceKey = random.pick(VICTIMS)
  const chunks = hex(chunked(random, packets({ productKey: PRODUCT, deviceKey }, 8)))
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

function checkReply(bytes: Buffer): void {
  const reply = readReply(bytes)
  const id = readRequestId(bytes)
  if (id !== null) JSON.parse(id)
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

/** One session from its login on. What it answers is compared with what its packets ask for. */
class Talk {
  readonly #session: Session
  readonly #version: Version
  #now = 1_000
  closed = false
  /** committed in order, as the engine does it */
  readonly #uplinks: number[] = []
  readonly #wanted: string[] = []
  readonly #got: string[] = []

  constructor(version: Version, keys: Speaker, [receiveMaximum, maximumPacketSize]: readonly [number, number]) {
    this.#version = version
    const terms = {
      keys,
      version,
      keepAliveS: 60,
      receiveMaximum,
      maximumPacketSize,
      services: ['plain', 'echo'],
      readyAfterMs: 2_000,
    }
    this.#session = new Session(terms, this.#now)
    const command = {
      commandId: COMMAND_ID,
      kind: Kind.invoke,
      identifier: 'plain',
      inputJson: '{}',
      session: 1,
      notAfter: 9_000,
    }
    const step = this.#session.publish(command, this.#now)
    if (step !== 'tooLarge') this.#take(step)
  }

  receive(packet: Packet): void {
    this.#now += 1
    if (!this.#session.reads) this.#commitAll()
    const step = this.#session.receive(packet, this.#now)
    this.#want(packet, step)
    this.#take(step)
    check(this.#session.pending <= UPLINK_PENDING_MAX, () => `${this.#session.pending} uplinks are pending`)
  }

  /** What the standard has this packet answered with, unless the connection ends. */
  #want(packet: Packet, { close }: Step): void {
    if (close !== null) return
    if (packet.cmd === 'publish') {
      check(
        packet.qos < 2 && packet.topic !== '',
        () => `taken: a PUBLISH with QoS ${packet.qos} on ${JSON.stringify(packet.topic)}`,
      )
      check(!/[+#\0]/.test(packet.topic), () => `taken: a PUBLISH on ${JSON.stringify(packet.topic)}`)
      if (packet.qos === 1) this.#wanted.push(`puback ${packet.messageId}`)
    } else if (packet.cmd === 'subscribe')
      this.#wanted.push(`suback ${packet.messageId} ${packet.subscriptions.length}`)
    else if (packet.cmd === 'unsubscribe') this.#wanted.push(`unsuback ${packet.messageId}`)
    else if (packet.cmd === 'pingreq') this.#wanted.push('pingresp')
    else check(packet.cmd === 'puback', () => `taken without an end: ${packet.cmd}`)
  }

  #take(step: Step): void {
    check(!this.closed || step.packets.length + step.inputs.length === 0, () => 'it goes on after its end')
    for (const packet of step.packets) {
      const reader = parser({ protocolVersion: this.#version })
      let read: Packet | null = null
      reader.on('packet', each => {
        read = each
      })
      reader.parse(encode(packet, this.#version))
      check(read !== null, () => `what is sent cannot be read: ${JSON.stringify(packet)}`)
      this.#note(packet)
    }
    for (const { input, uplink } of step.inputs) {
      if (uplink !== null) this.#uplinks.push(uplink)
      if (input.type === 'reply') check(isCommandId(input.commandId), () => `a reply to ${input.commandId}`)
    }
    if (step.close !== null) this.closed = true
  }

  #note(packet: Packet): void {
    if (packet.cmd === 'puback') this.#got.push(`puback ${packet.messageId}`)
    if (packet.cmd === 'suback') this.#got.push(`suback ${packet.messageId} ${packet.granted.length}`)
    if (packet.cmd === 'unsuback') this.#got.push(`unsuback ${packet.messageId}`)
    if (packet.cmd === 'pingresp') this.#got.push('pingresp')
    if (packet.cmd !== 'publish' || packet.qos === 1) return
    check(
      packet.topic.endsWith('_reply') && !packet.topic.endsWith('_reply_reply'),
      () => `an answer on ${packet.topic}`,
    )
    JSON.parse(packet.payload.toString())
  }

  #commitAll(): void {
    for (const uplink of this.#uplinks.splice(0)) this.#take(this.#session.committed(uplink, this.#now))
  }

  /** Everything committed: each packet has had its answer; then the end by time. */
  end(): void {
    this.#commitAll()
    // PUBACKs wait for commits and others do not: each kind is in order, and that is what the standard asks for.
    const kinds = (all: readonly string[]) =>
      ['puback', 'suback', 'unsuback', 'pingresp'].map(kind =>
        all.filter(each => each.startsWith(`${kind} `) || each === kind),
      )
    if (!this.closed)
      check(
        isDeepStrictEqual(kinds(this.#got), kinds(this.#wanted)),
        () => `answered ${this.#got.join()}, wanted ${this.#wanted.join()}`,
      )
    for (let turns = 0; !this.closed; turns += 1) {
      const at = this.#session.wakeAt()
      check(turns < 10 && at < Number.POSITIVE_INFINITY, () => 'a silent session never ends')
      this.#now = Math.max(at, this.#now)
      this.#take(this.#session.tick(this.#now))
    }
  }
}

function runStream(version: Version, chunks: readonly Buffer[], limits: readonly [number, number]): void {
  const { packets, end } = cut(chunks, PACKET_MAX_BYTES)
  const stream = Buffer.concat(chunks)
  check((end !== null) === (endOf(stream) === 'broken'), () => `cut ends with ${end}, the stream is ${endOf(stream)}`)
  const talk = new Talk(version, SPEAKER, limits)
  for (const bytes of packets) {
    check(wholeLength(bytes) === bytes.length, () => 'a packet of another length than it says')
    if (hasTooManyFilters(bytes, version)) return
    const decoded = decode(bytes, version)
    if (!decoded.ok) {
      check(typeof decoded.why === 'string' && decoded.why !== '', () => 'refused without a reason')
      return
    }
    talk.receive(decoded.packet)
    if (talk.closed) return
  }
  talk.end()
}

/** Whether something in the stream ends a session by the rules of its parts. */
function endsSession(version: Version, speaker: Speaker, stream: Buffer): boolean {
  const talk = new Talk(version, speaker, [65_535, 100_000])
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
    else if (input.kind === 'stream')
      runStream(
        input.version,
        bytesOf(input.chunks).map(chunk => withId(chunk, COMMAND_ID)),
        input.limits,
      )
    else return this.#onSocket(input)
    return this.#inputs % PULSE_EVERY === 0 ? this.#world.pulse() : undefined
  }

  async #onSocket(input: Extract<MqttInput, { kind: 'socket' | 'device' }>): Promise<void> {
    const chunks = bytesOf(input.chunks)
    if (input.kind === 'socket') await this.#stranger(chunks)
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

  async #victim(
    { version, deviceKey, subscribes, again }: Extract<MqttInput, { kind: 'device' }>,
    chunks: readonly Buffer[],
  ): Promise<void> {
    const world = this.#world
    const deviceId = await world.id(deviceKey)
    const [queue] = await world.store.load([{ deviceId, commandIds: [] }])
    for (let left = 3 - (queue?.open.length ?? 0); left > 0; left -= 1) await world.enqueue(deviceKey)
    const device = await Device.connect(world.mqttPort, deviceKey, { protocolVersion: version, keepalive: 5 })
    check(device.accepted, () => `${deviceKey} is not let in: ${JSON.stringify(device.heard)}`)
    const inFlight = queue?.open.find(({ state }) => state === 4)?.id
    if (subscribes) {
      device.send({
        cmd: 'subscribe',
        messageId: 9,
        subscriptions: [{ topic: `/sys/${PRODUCT}/${deviceKey}/#`, qos: 1 }],
      })
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
      endsSession(version, { productKey: PRODUCT, deviceKey }, Buffer.concat(sent)),
    )
    await pulse
    const second = again ? await Device.connect(world.mqttPort, deviceKey, { protocolVersion: version }) : null
    if (second !== null) await within(device.closed, PATIENCE_MS, () => 'a session that is taken over to be closed')
    await second?.end()
    await device.end()
    await world.rest()
    this.#checkBook(deviceId, Buffer.concat(sent))
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

  #checkBook(deviceId: number, stream: Buffer): void {
    for (const entry of this.#world.takeBook()) {
      const { event } = entry
      const told = (): string => `no input explains ${JSON.stringify(entry)}`
      if (event.by === 'fuzz' || event.by === 'time') continue
      check(entry.deviceId === deviceId, told)
      check(
        ['connected', 'disconnected', 'sent', 'unsent: sessionGone', 'reply', 'late reply'].includes(event.reason),
        told,
      )
      if (event.reason.endsWith('reply')) check(repliedIn(entry, stream), told)
    }
  }

  async close(): Promise<void> {
    await this.#world.close()
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
