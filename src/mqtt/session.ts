// One device's connection after its login, as a pure machine: packets and time in; packets, inputs for the engine and the end out.
// It holds readiness, suspicion, the window of unacknowledged commands, keep-alive and the order of PUBACKs.
// Not here: sockets, timers, the clock (connection.ts), what is in a payload (payload.ts), which command is next (core/queue.ts).

import type { IPublishPacket, ISubscribePacket, IUnsubscribePacket, Packet } from 'mqtt-packet'
import type { Downlink } from '../core/command.ts'
import {
  INFLIGHT_MAX,
  READY_AT_LATEST_MS,
  SUBSCRIPTIONS_MAX,
  SUBSCRIPTIONS_MAX_CHARS,
  SUSPECT_CLOSE_MIN_MS,
  SUSPECT_CLOSE_NO_KEEPALIVE_MS,
  TOPIC_MAX_CHARS,
  UPLINK_PENDING_MAX,
} from '../core/limits.ts'
import type { Presence, Ready, Reply } from '../core/queue.ts'
import { publishBytes, type Version } from './frame.ts'
import { commandPayload, readReply, readRequestId, refusals, requestAnswer } from './payload.ts'
import {
  Coverage,
  commandTopic,
  type DeviceKeys,
  isFilter,
  isReplyTopic,
  isShared,
  isTopicName,
  mayHear,
  readTopic,
  replyTopic,
} from './topics.ts'

/** What the CONNECT settled. */
export interface SessionTerms {
  readonly keys: DeviceKeys
  readonly version: Version
  /** s; 0 = none */
  readonly keepAliveS: number
  readonly receiveMaximum: number
  /** bytes of a packet that the client takes; Infinity where it set no limit */
  readonly maximumPacketSize: number
  /** services of the device's model; null without one */
  readonly services: readonly string[] | null
  /** ms of quiet that make a device ready which does not subscribe to its command topics */
  readonly readyAfterMs: number
}

/** Why a session ended. Stored with the device's history and counted: a fixed vocabulary. */
export type CloseReason =
  | 'client disconnected'
  | 'connection lost'
  | 'keep-alive timeout'
  | 'silent after a command'
  | 'command not acknowledged'
  | 'protocol error'
  | 'QoS 2'
  | 'malformed packet'
  | 'packet too large'
  | 'slow reader'
  | 'kicked'
  | 'taken over'
  | 'server stopping'
  | 'server error'

/** The end. `code` is the reason of the DISCONNECT that an MQTT 5 client gets; null: it gets none. */
export interface Close {
  readonly reason: CloseReason
  readonly code: number | null
  /** what exactly was wrong, for the log */
  readonly detail?: string
}

/** Something odd and harmless that a device did; counted, and logged a few times. */
export type Oddity =
  | 'garbage reply'
  | 'stray answer'
  | 'unsupported request'
  | 'foreign topic'
  | 'refused filter'
  | 'answer too large'

/** An input for the engine. After the commit of one with an uplink number, `committed` is called with it, whatever the answer was. */
export type SessionInput =
  | { readonly input: Ready; readonly uplink: null }
  | { readonly input: Reply; readonly uplink: number }

/** What one call brings about, to be done in this order: packets written, inputs handed on, then closed. */
export interface Step {
  readonly packets: readonly Packet[]
  readonly inputs: readonly SessionInput[]
  readonly oddities: readonly { readonly kind: Oddity; readonly topic: string }[]
  readonly close: Close | null
}

/** An uplink packet whose PUBACK, and answer if any, wait for the commit of what it carried and for those before it [MQTT-4.6.0-2]. */
interface Pending {
  readonly uplink: number
  readonly acks: readonly Packet[]
  committed: boolean
}

/** DISCONNECT and CONNACK reasons of MQTT 5 */
export const reasonCode = {
  malformed: 0x81,
  protocolError: 0x82,
  /** implementation specific */
  unacknowledged: 0x83,
  notAuthorized: 0x87,
  shuttingDown: 0x8b,
  keepAlive: 0x8d,
  takenOver: 0x8e,
  topicName: 0x90,
  topicAlias: 0x94,
  packetTooLarge: 0x95,
  quota: 0x97,
  administrative: 0x98,
  qos: 0x9b,
  subscriptionIds: 0xa1,
} as const

/** MQTT 3.1.1 knows one code for a filter that is refused [MQTT-3.8.4-5]. */
const SUBACK_FAILURE = 0x80
const subackCode = { invalid: 0x8f, notAuthorized: 0x87, shared: 0x9e, tooMany: 0x97 } as const
const NO_SUBSCRIPTION = 0x11
const PACKET_ID_MAX = 65_535

export class Session {
  readonly #terms: SessionTerms
  readonly #window: number
  /** ms of silence after a command that end a suspect connection, and of a window that stays full */
  readonly #patienceMs: number
  readonly #startedAt: number
  readonly #coverage: Coverage
  #packets: Packet[] = []
  #inputs: SessionInput[] = []
  #oddities: { kind: Oddity; topic: string }[] = []
  #close: Close | null = null
  #isClosed = false

  #subscribedAt: number
  /** the device listens; once true, it stays so */
  #listens = false
  /** what the engine was last told, or saw, by presence */
  #wasReady = false
  #receivedAt: number
  #publishedAt = Number.NEGATIVE_INFINITY
  #silent = false
  #suspect = false
  /** packet ids of commands without their PUBACK */
  readonly #unacked = new Set<number>()
  #fullSince: number | null = null
  #lastPacketId = 0
  readonly #filters = new Set<string>()
  /** topics that the device asked not to hear: the only ones on which an answer is held back */
  readonly #unheard = new Set<string>()
  /** characters of both */
  #heldChars = 0
  readonly #pending: Pending[] = []
  #lastUplink = 0

  /** `now`: the instant of the CONNACK. */
  constructor(terms: SessionTerms, now: number) {
    this.#terms = terms
    this.#window = Math.min(terms.receiveMaximum, INFLIGHT_MAX)
    this.#patienceMs =
      terms.keepAliveS === 0
        ? SUSPECT_CLOSE_NO_KEEPALIVE_MS
        : Math.max(SUSPECT_CLOSE_MIN_MS, keepAliveMs(terms.keepAliveS))
    this.#startedAt = now
    this.#subscribedAt = now
    this.#receivedAt = now
    this.#coverage = new Coverage(terms.keys, terms.services)
  }

  /** May it be sent to now, and has nothing come since the last command. */
  presence(): Omit<Presence, 'session'> {
    const ready = this.#listens && !this.#suspect && !this.#isClosed && this.#unacked.size < this.#window
    // What is not read may have come.
    return { ready, silent: this.#silent && this.reads }
  }

  /** False while so much is waiting to be committed that no more may be read. */
  get reads(): boolean {
    return this.#pending.length < UPLINK_PENDING_MAX
  }

  /** Uplink packets that wait for their commit. */
  get pending(): number {
    return this.#pending.length
  }

  /** A packet came. */
  receive(packet: Packet, now: number): Step {
    if (this.#isClosed) return this.#step()
    this.#receivedAt = now
    this.#silent = false
    this.#suspect = false
    const close = this.#read(packet, now)
    return close === null ? this.#step() : this.close(close)
  }

  /** What an uplink packet carried is durable, or was refused for good. */
  committed(uplink: number, now: number): Step {
    const pending = this.#pending.find(each => each.uplink === uplink)
    if (pending) pending.committed = true
    const wasFull = !this.reads
    this.#acknowledge()
    if (wasFull && this.reads) this.#hearAgain(now)
    return this.#step()
  }

  /** Nothing could be heard while nothing was read: silence counts from now. */
  #hearAgain(now: number): void {
    this.#receivedAt = now
    if (this.#fullSince !== null) this.#fullSince = now
  }

  /** Time has passed: to be called at `wakeAt`, harmless at any other instant. */
  tick(now: number): Step {
    if (now >= this.#readyAt()) this.#listens = true
    if (now >= this.#keepAliveEnd()) return this.close({ reason: 'keep-alive timeout', code: reasonCode.keepAlive })
    if (now >= this.#suspectEnd()) return this.close({ reason: 'silent after a command', code: reasonCode.keepAlive })
    if (now >= this.#fullEnd())
      return this.close({ reason: 'command not acknowledged', code: reasonCode.unacknowledged })
    return this.#step()
  }

  /** The next instant at which time alone changes something; Infinity if none. */
  wakeAt(): number {
    if (this.#isClosed) return Number.POSITIVE_INFINITY
    return Math.min(this.#readyAt(), this.#keepAliveEnd(), this.#suspectEnd(), this.#fullEnd())
  }

  /** The PUBLISH of a command, to be written whole and at once; or it is larger than the client takes, and nothing has changed. */
  publish(downlink: Downlink, now: number): Step | 'tooLarge' {
    const { topic, method } = commandTopic(this.#terms.keys, downlink)
    const payload = Buffer.from(commandPayload(downlink, method))
    if (publishBytes(topic.length, payload.length, this.#terms.version) > this.#terms.maximumPacketSize)
      return 'tooLarge'
    // QoS 1 whatever was granted, so that a lost connection shows; never repeated, so never a DUP.
    const messageId = this.#takePacketId()
    this.#packets.push({ cmd: 'publish', topic, payload, qos: 1, dup: false, retain: false, messageId })
    this.#publishedAt = now
    this.#silent = true
    if (this.#unacked.size >= this.#window) this.#fullSince ??= now
    return this.#step()
  }

  /**
   * A command of this session was not answered in time, and nothing at all had come since: not ready until something does.
   * What came while that was being made durable counts, and then the queue goes on.
   */
  suspect(): Step {
    this.#suspect = this.#silent
    this.#wasReady = false
    return this.#step()
  }

  /** Ends it. The first reason is the one that counts. */
  close(close: Close): Step {
    if (!this.#isClosed) this.#close = close
    this.#isClosed = true
    return this.#step()
  }

  /** What a packet brings about is noted as it is read; what is returned ends the connection. */
  #read(packet: Packet, now: number): Close | null {
    switch (packet.cmd) {
      case 'publish':
        return this.#readPublish(packet)
      case 'puback':
        if (this.#unacked.delete(packet.messageId ?? 0)) this.#fullSince = null
        return null
      case 'subscribe':
        return this.#readSubscribe(packet, now)
      case 'unsubscribe':
        return this.#readUnsubscribe(packet)
      case 'pingreq':
        this.#packets.push({ cmd: 'pingresp' })
        return null
      case 'disconnect':
        return { reason: 'client disconnected', code: null }
      default:
        // [MQTT-3.1.0-2] A second CONNECT; an AUTH that nobody asked for [MQTT-4.12.0-6]; packets of QoS 2; packets that only a server sends.
        return protocolError(`unexpected ${packet.cmd}`)
    }
  }

  #readPublish(packet: IPublishPacket): Close | null {
    const { topic, qos, messageId = 0, properties } = packet
    if (qos === 2) return { reason: 'QoS 2', code: reasonCode.qos }
    // [MQTT-2.3.1-1] The packet id of a QoS 1 PUBLISH is not 0.
    if (qos === 1 && messageId < 1) return protocolError('PUBLISH without packet id')
    // [MQTT-3.3.2-10] The CONNACK said that there are no topic aliases.
    if (properties?.topicAlias !== undefined) return protocolError('topic alias', reasonCode.topicAlias)
    // [MQTT-4.7.3-1], [MQTT-3.3.2-2]
    if (!isTopicName(topic)) return protocolError('not a topic name', reasonCode.topicName)
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload)
    const meaning = readTopic(topic, this.#terms.keys)
    const isForeign = meaning === 'foreign'
    const acks = qos === 1 ? [this.#puback(messageId, isForeign ? reasonCode.notAuthorized : 0)] : []
    if (meaning === 'reply') return this.#readReply(topic, payload, acks)
    if (meaning === 'answer') {
      this.#odd('stray answer', topic)
      return this.#queue(acks, true)
    }
    this.#odd(isForeign ? 'foreign topic' : 'unsupported request', topic)
    const answer = this.#answerTo(topic, payload, isForeign ? 'foreign' : 'unsupported')
    return this.#queue(answer === null ? acks : [...acks, answer], true)
  }

  #readReply(topic: string, payload: Buffer, acks: readonly Packet[]): null {
    const reply = readReply(payload)
    if (reply === null) {
      this.#odd('garbage reply', topic)
      return this.#queue(acks, true)
    }
    this.#inputs.push({ input: reply, uplink: this.#lastUplink + 1 })
    return this.#queue(acks, false)
  }

  /** Takes its place behind the uplink packets that wait; what waits for nobody goes out at once. */
  #queue(acks: readonly Packet[], committed: boolean): null {
    this.#lastUplink += 1
    this.#pending.push({ uplink: this.#lastUplink, acks, committed })
    this.#acknowledge()
    return null
  }

  #acknowledge(): void {
    while (this.#pending[0]?.committed) this.#packets.push(...(this.#pending.shift()?.acks ?? []))
  }

  #puback(messageId: number, reason: number): Packet {
    return this.#terms.version === 5 ? { cmd: 'puback', messageId, reasonCode: reason } : { cmd: 'puback', messageId }
  }

  /**
   * One SDK waits for an answer without end, so whatever asks gets one, also without a subscription: two SDKs lose theirs and do not renew them.
   * Nothing of a payload that cannot be read is sent back, no answer is answered, and none is sent that the client could not take.
   */
  #answerTo(topic: string, payload: Buffer, why: keyof typeof refusals): IPublishPacket | null {
    const to = replyTopic(topic)
    const idJson = isReplyTopic(topic) ? null : readRequestId(payload)
    if (idJson === null || to.length > TOPIC_MAX_CHARS || this.#unheard.has(to)) return null
    return {
      cmd: 'publish',
      topic: to,
      payload: requestAnswer(idJson, refusals[why]),
      qos: 0,
      dup: false,
      retain: false,
    }
  }

  #readSubscribe(packet: ISubscribePacket, now: number): Close | null {
    const { messageId = 0, subscriptions, properties } = packet
    // [MQTT-2.3.1-1], [MQTT-3.8.3-3]
    if (messageId < 1 || subscriptions.length === 0) return protocolError('SUBSCRIBE without packet id or filter')
    if (properties?.subscriptionIdentifier !== undefined)
      return protocolError('subscription identifier', reasonCode.subscriptionIds)
    this.#subscribedAt = now
    let firstRefused: string | null = null
    const granted = subscriptions.map(({ topic: filter, qos }) => {
      const refusal = this.#refuseFilter(filter)
      if (refusal === null) return Math.min(qos, 1)
      firstRefused ??= filter
      return this.#terms.version === 5 ? subackCode[refusal] : SUBACK_FAILURE
    })
    if (firstRefused !== null) this.#odd('refused filter', firstRefused)
    this.#packets.push({ cmd: 'suback', messageId, granted })
    // Ready with the SUBACK written: the step's packets leave before its inputs.
    if (this.#coverage.complete) this.#listens = true
    return null
  }

  /** Why a filter is not granted; null: it is, and counts from now on. */
  #refuseFilter(filter: string): keyof typeof subackCode | null {
    if (isShared(filter)) return 'shared'
    if (!isFilter(filter)) return 'invalid'
    if (!mayHear(filter, this.#terms.keys)) return 'notAuthorized'
    this.#letGo(this.#unheard, filter)
    if (!this.#hold(this.#filters, filter)) return 'tooMany'
    this.#coverage.add(filter)
    return null
  }

  /** Whether it is among them now: not if that were more than a session may hold. */
  #hold(held: Set<string>, filter: string): boolean {
    if (held.has(filter)) return true
    if (held.size >= SUBSCRIPTIONS_MAX || this.#heldChars + filter.length > SUBSCRIPTIONS_MAX_CHARS) return false
    held.add(filter)
    this.#heldChars += filter.length
    return true
  }

  /** Whether it was among them. */
  #letGo(held: Set<string>, filter: string): boolean {
    const was = held.delete(filter)
    if (was) this.#heldChars -= filter.length
    return was
  }

  #readUnsubscribe({ messageId = 0, unsubscriptions }: IUnsubscribePacket): Close | null {
    // [MQTT-2.3.1-1], [MQTT-3.10.3-2]
    if (messageId < 1 || unsubscriptions.length === 0) return protocolError('UNSUBSCRIBE without packet id or filter')
    const granted = unsubscriptions.map(filter => {
      const had = this.#letGo(this.#filters, filter)
      if (isFilter(filter) && mayHear(filter, this.#terms.keys)) this.#hold(this.#unheard, filter)
      return had ? 0 : NO_SUBSCRIPTION
    })
    // MQTT 3.1.1 has no codes here, and the codec leaves them out.
    this.#packets.push({ cmd: 'unsuback', messageId, granted })
    return null
  }

  #takePacketId(): number {
    do this.#lastPacketId = (this.#lastPacketId % PACKET_ID_MAX) + 1
    while (this.#unacked.has(this.#lastPacketId))
    this.#unacked.add(this.#lastPacketId)
    return this.#lastPacketId
  }

  #readyAt(): number {
    if (this.#listens) return Number.POSITIVE_INFINITY
    return Math.min(this.#subscribedAt + this.#terms.readyAfterMs, this.#startedAt + READY_AT_LATEST_MS)
  }

  /** [MQTT-3.1.2-24] One and a half times the keep-alive without a packet. */
  #keepAliveEnd(): number {
    const { keepAliveS } = this.#terms
    return keepAliveS === 0 || !this.reads ? Number.POSITIVE_INFINITY : this.#receivedAt + keepAliveMs(keepAliveS)
  }

  #suspectEnd(): number {
    return this.#suspect && this.reads ? this.#publishedAt + this.#patienceMs : Number.POSITIVE_INFINITY
  }

  /** A client that never acknowledges would keep its window full for ever, however much else it says. */
  #fullEnd(): number {
    return this.#fullSince === null || !this.reads ? Number.POSITIVE_INFINITY : this.#fullSince + this.#patienceMs
  }

  #odd(kind: Oddity, topic: string): void {
    this.#oddities.push({ kind, topic: topic.slice(0, TOPIC_MAX_CHARS) })
  }

  /** Whenever the device has become ready, for whatever reason, its queue must go on: that is told here and nowhere else. */
  #step(): Step {
    const { ready } = this.presence()
    if (ready && !this.#wasReady) this.#inputs.push({ input: { type: 'ready' }, uplink: null })
    this.#wasReady = ready
    const step = { packets: this.#packets, inputs: this.#inputs, oddities: this.#oddities, close: this.#close }
    this.#packets = []
    this.#inputs = []
    this.#oddities = []
    this.#close = null
    return step
  }
}

const protocolError = (detail: string, code: number = reasonCode.protocolError): Close => ({
  reason: 'protocol error',
  code,
  detail,
})

const keepAliveMs = (keepAliveS: number): number => keepAliveS * 1_500
