// One session from its login on, without a server: what it answers is compared with what its packets ask for, and what becomes of every command that it is
// given is followed to its end. A device by itself, or a gateway whose sub-devices come and go meanwhile.

import { isDeepStrictEqual } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { type IPublishPacket, type Packet, parser } from 'mqtt-packet'
import { isCommandId, Kind } from '../src/core/command.ts'
import { INFLIGHT_MAX, TOPIC_MAX_CHARS, UPLINK_PENDING_MAX } from '../src/core/limits.ts'
import { encode } from '../src/mqtt/frame.ts'
import { Session } from '../src/mqtt/session.ts'
import type { Member, Step } from '../src/mqtt/step.ts'
import type { Speaker } from './mqtt-packets.ts'
import { check } from './target.ts'

export type Version = 4 | 5

/** How the session is set up. */
export interface TalkTerms {
  readonly version: Version
  readonly speaker: Speaker
  readonly receiveMaximum: number
  readonly maximumPacketSize: number
}

/** The first command in the life of a session; those after it count on. */
export const COMMAND_ID = '4249300236708610048'
const OWN = 1
const NOT_AFTER_MS = 9_000
/** more instants than a session can have something to do at, before it ends for silence */
const WAKE_UPS_MAX = 40

/** A command that the session took, and did not refuse. */
interface Parcel {
  readonly deviceId: number
  where: 'with the session' | 'written' | 'given back'
}

export class Talk {
  readonly #session: Session
  readonly #terms: TalkTerms
  readonly #subs: readonly Member[]
  readonly #here = new Set<number>([OWN])
  #now = 1_000
  closed = false
  /** committed in order, as the engine does it; requests among them are answered */
  readonly #uplinks: { readonly uplink: number; readonly isRequest: boolean }[] = []
  readonly #wanted: string[] = []
  readonly #got: string[] = []
  readonly #parcels = new Map<string, Parcel>()
  readonly #unacked = new Set<number>()
  #commands = 0

  constructor(terms: TalkTerms) {
    this.#terms = terms
    const { speaker, version, receiveMaximum, maximumPacketSize } = terms
    const { productKey, deviceKey, subs } = speaker
    const member = (keys: { productKey: string; deviceKey: string }, i: number): Member => ({
      deviceId: OWN + i,
      keys: { productKey: keys.productKey, deviceKey: keys.deviceKey },
      services: ['plain', 'echo'],
      // Every third one has a format of its own.
      raw: i % 3 === 2,
    })
    const keys = { productKey, deviceKey }
    const own = member(keys, 0)
    this.#subs = subs.map((sub, i) => member(sub, i + 1))
    this.#session = new Session(
      {
        keys,
        kind: subs.length > 0 ? 'gateway' : 'device',
        version,
        keepAliveS: 60,
        receiveMaximum,
        maximumPacketSize,
        readyAfterMs: 2_000,
        compression: speaker.gzip ? 'gzip' : 'none',
        activation: null,
        mayPublish: () => true,
      },
      own,
      this.#now,
    )
    this.#session.topology(
      this.#subs.map(sub => sub.keys),
      [],
    )
    this.#publish(OWN)
    for (const { deviceId } of this.#subs.slice(0, 2)) {
      this.#enter(deviceId)
      this.#publish(deviceId)
    }
  }

  receive(packet: Packet): void {
    this.#now += 1
    if (!this.#session.reads) this.#commitAll()
    if (packet.cmd === 'puback') this.#unacked.delete(packet.messageId ?? 0)
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

  // --- what happens meanwhile ------------------------------------------------------------------------------------------

  /** Something that is no packet: `what` is any byte. */
  happens(what: number): void {
    if (this.closed) return
    this.#now += what % 7
    const deviceId = OWN + (what % (this.#subs.length + 1))
    const acts: readonly (() => void)[] = [
      () => this.#publish(deviceId),
      () => this.#publish(deviceId),
      () => this.#enter(deviceId),
      () => this.#leave(deviceId),
      () => this.#take(this.#session.suspect(deviceId)),
      () => this.#later(what * 40),
      () => this.#encode(deviceId),
      () => void this.#session.presence(deviceId),
      () => this.#take(this.#session.notify('disable', this.#subs[0]?.keys ?? this.#terms.speaker, this.#now)),
    ]
    acts[(what >> 3) % acts.length]?.()
  }

  #later(ms: number): void {
    this.#now += ms
    this.#take(this.#session.tick(this.#now))
  }

  #enter(deviceId: number): void {
    const member = this.#subs.find(sub => sub.deviceId === deviceId)
    if (member === undefined || this.#here.has(deviceId)) return
    this.#here.add(deviceId)
    this.#take(this.#session.enter(member, this.#now))
  }

  #leave(deviceId: number): void {
    if (deviceId === OWN) return
    this.#here.delete(deviceId)
    this.#take(this.#session.leave(deviceId, this.#now))
    for (const [id, parcel] of this.#parcels)
      check(
        parcel.deviceId !== deviceId || parcel.where !== 'with the session',
        () => `${id} is still with the session, its device has left`,
      )
  }

  /** One at a time for a device, as the engine does it. */
  #publish(deviceId: number): void {
    const isBusy = [...this.#parcels.values()].some(
      parcel => parcel.deviceId === deviceId && parcel.where === 'with the session',
    )
    if (isBusy) return
    const commandId = String(BigInt(COMMAND_ID) + BigInt(this.#commands))
    this.#commands += 1
    const command = {
      commandId,
      kind: Kind.invoke,
      identifier: 'plain',
      inputJson: '{}',
      session: 1,
      notAfter: this.#now + NOT_AFTER_MS,
    }
    this.#parcels.set(commandId, { deviceId, where: 'with the session' })
    const step = this.#session.publish(deviceId, command, this.#now)
    if (typeof step === 'string') this.#parcels.delete(commandId)
    else this.#take(step)
    check(
      typeof step !== 'string' || this.#terms.maximumPacketSize < 1_000 || !this.#here.has(deviceId) || this.closed,
      () => `a command is refused as ${String(step)}`,
    )
  }

  /** Its codec is done with a command, if one was waiting for it. */
  #encode(deviceId: number): void {
    for (const [commandId, parcel] of this.#parcels) {
      if (parcel.deviceId !== deviceId || parcel.where !== 'with the session') continue
      const bytes = this.#now % 5 === 0 ? null : Buffer.from(JSON.stringify({ id: commandId }))
      this.#take(this.#session.encoded(deviceId, commandId, bytes, this.#now))
    }
  }

  // --- what it does --------------------------------------------------------------------------------------------------

  #take(step: Step): void {
    const { packets, inputs, requests, oddities, close } = step
    check(!this.closed || packets.length + inputs.length + requests.length === 0, () => 'it goes on after its end')
    for (const packet of packets) {
      this.#mustBeReadable(packet)
      this.#note(packet)
    }
    for (const { uplink } of requests) this.#uplinks.push({ uplink, isRequest: true })
    for (const { input, uplink, deviceId } of inputs) {
      if (uplink !== null) this.#uplinks.push({ uplink, isRequest: false })
      if (input.type === 'unsent') this.#givenBack(input.commandId)
      else check(this.#here.has(deviceId), () => `${input.type} for device ${deviceId}, which is not here`)
      if (input.type === 'reply') check(isCommandId(input.commandId), () => `a reply to ${input.commandId}`)
    }
    for (const { topic } of oddities)
      check(topic.length <= TOPIC_MAX_CHARS, () => `${topic.length} characters of a topic are noted`)
    // In the order of their coming, whatever they are.
    this.#uplinks.sort((a, b) => a.uplink - b.uplink)
    if (close !== null) this.#end()
  }

  #end(): void {
    this.closed = true
    for (const [id, { where }] of this.#parcels)
      check(where !== 'with the session', () => `${id} is neither written nor given back at the end`)
  }

  #mustBeReadable(packet: Packet): void {
    const reader = parser({ protocolVersion: this.#terms.version })
    let read: Packet | null = null
    reader.on('packet', each => {
      read = each
    })
    reader.parse(encode(packet, this.#terms.version))
    check(read !== null, () => `what is sent cannot be read: ${JSON.stringify(packet)}`)
  }

  #note(packet: Packet): void {
    if (packet.cmd === 'puback') this.#got.push(`puback ${packet.messageId}`)
    if (packet.cmd === 'suback') this.#got.push(`suback ${packet.messageId} ${packet.granted.length}`)
    if (packet.cmd === 'unsuback') this.#got.push(`unsuback ${packet.messageId}`)
    if (packet.cmd === 'pingresp') this.#got.push('pingresp')
    if (packet.cmd !== 'publish') return
    const said: { id: string } = JSON.parse(this.#plain(packet).toString())
    if (packet.qos === 1) this.#written(packet, said.id)
    else
      check(
        (packet.topic.endsWith('_reply') && !packet.topic.endsWith('_reply_reply')) ||
          packet.topic.startsWith('/ext/session/'),
        () => `an answer on ${packet.topic}`,
      )
  }

  #plain({ payload }: IPublishPacket): Buffer {
    const bytes = Buffer.from(payload)
    return this.#terms.speaker.gzip ? gunzipSync(bytes) : bytes
  }

  #written({ messageId = 0, topic }: IPublishPacket, commandId: string): void {
    const parcel = this.#parcels.get(commandId)
    check(parcel?.where === 'with the session', () => `${commandId} is written, it was ${parcel?.where}`)
    const keys = this.#subs.find(({ deviceId }) => deviceId === parcel.deviceId)?.keys ?? this.#terms.speaker
    check(
      topic.startsWith(`/sys/${keys.productKey}/${keys.deviceKey}/`) && this.#here.has(parcel.deviceId),
      () => `a command for device ${parcel.deviceId} is written on ${topic}`,
    )
    parcel.where = 'written'
    check(!this.#unacked.has(messageId), () => `packet id ${messageId} is used twice`)
    this.#unacked.add(messageId)
    const window = Math.min(this.#terms.receiveMaximum, INFLIGHT_MAX)
    check(this.#unacked.size <= window, () => `${this.#unacked.size} commands are unacknowledged, of ${window}`)
  }

  #givenBack(commandId: string): void {
    const parcel = this.#parcels.get(commandId)
    check(parcel?.where === 'with the session', () => `${commandId} is given back, it was ${parcel?.where}`)
    parcel.where = 'given back'
  }

  #commitAll(): void {
    for (const { uplink, isRequest } of this.#uplinks.splice(0)) {
      const answer = isRequest && uplink % 3 > 0 ? Buffer.from('{"id":"1","code":200,"data":{}}') : null
      this.#take(
        isRequest ? this.#session.answered(uplink, answer, this.#now) : this.#session.committed(uplink, this.#now),
      )
    }
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
      check(turns < WAKE_UPS_MAX && at < Number.POSITIVE_INFINITY, () => 'a silent session never ends')
      this.#now = Math.max(at, this.#now)
      this.#take(this.#session.tick(this.#now))
    }
  }
}
