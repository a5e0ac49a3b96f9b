// One connection after its login, as a pure machine: packets and time in; packets, inputs for the engine, requests to answer and the end out.
// It holds readiness, suspicion, the window of unacknowledged commands, keep-alive and the order of PUBACKs, for the device of the connection and for
// the sub-devices that are logged in over it. Not here: sockets, timers, the clock (connection.ts), who may log in (members.ts), what is in a
// payload (uplink/payload.ts), which command is next (core/queue.ts). Long, because its rules look at the same few fields; what has fields of its own is
// in filters.ts, window.ts and lane.ts.

import type { IPublishPacket, ISubscribePacket, IUnsubscribePacket, Packet } from 'mqtt-packet'
import type { Downlink } from '../core/command.ts'
import {
  ACTIVATION_AFTER_MS,
  GATEWAY_SUBSCRIPTIONS_MAX_CHARS,
  READY_AT_LATEST_MS,
  SUBSCRIPTIONS_MAX_CHARS,
  SUSPECT_CLOSE_MIN_MS,
  SUSPECT_CLOSE_NO_KEEPALIVE_MS,
  TOPIC_MAX_CHARS,
  UPLINK_PENDING_MAX,
} from '../core/limits.ts'
import type { Presence, Unsent } from '../core/queue.ts'
import { codes } from '../uplink/codes.ts'
import { activationPayload, answerTo, commandPayload, noticePayload, readReply } from '../uplink/payload.ts'
import {
  activationTopic,
  commandTopic,
  type DeviceKeys,
  isReplyTopic,
  isSame,
  methodOf,
  type Notice,
  nameOf,
  noticeTopic,
  rawCommandTopic,
  readTopic,
  replyTopic,
  type Uplink,
} from '../uplink/topics.ts'
import { pack, unpack } from './compression.ts'
import { Coverage, isFilter, isShared, isTopicName, keysOfFilter, Subscriptions } from './filters.ts'
import { publishBytes } from './frame.ts'
import { type Encoding, type Held, type Lane, until } from './lane.ts'
import {
  type Close,
  type Member,
  type Oddity,
  reasonCode,
  type SessionInput,
  type SessionRequest,
  type SessionTerms,
  type Step,
  type ToEncode,
} from './step.ts'
import { Window } from './window.ts'

/** An uplink packet whose PUBACK, and answer if any, wait for the commit of what it carried and for those before it [MQTT-4.6.0-2]. */
interface Pending {
  readonly uplink: number
  acks: readonly Packet[]
  /** where an answer to it goes; null: it gets none */
  readonly answerTopic: string | null
  committed: boolean
}

/** MQTT 3.1.1 knows one code for a filter that is refused [MQTT-3.8.4-5]. */
const SUBACK_FAILURE = 0x80
const subackCode = { invalid: 0x8f, notAuthorized: 0x87, shared: 0x9e, tooMany: 0x97 } as const
const NO_SUBSCRIPTION = 0x11

export class Session {
  readonly #terms: SessionTerms
  readonly #window: Window
  /** ms of silence after a command that end a suspect connection, and of a window that stays full */
  readonly #patienceMs: number
  #packets: Packet[] = []
  #inputs: SessionInput[] = []
  #requests: SessionRequest[] = []
  #toEncode: ToEncode[] = []
  #oddities: { kind: Oddity; topic: string }[] = []
  #close: Close | null = null
  #isClosed = false

  readonly #lanes = new Map<number, Lane>()
  readonly #lanesByKeys = new Map<string, Lane>()
  /** those that do not listen yet */
  readonly #unready = new Set<Lane>()
  /** some lane has become ready, or all may have */
  #stirred = false
  /** devices of a gateway's topology: it may subscribe for them before they log in */
  readonly #topology = new Set<string>()

  #activateAt: number
  #subscribedAt: number
  #receivedAt: number
  /** packets that have come */
  #received = 0
  #publishedAt = Number.NEGATIVE_INFINITY
  #suspect = false
  #fullSince: number | null = null
  /** lanes that the engine found not ready for nothing but a full window */
  readonly #turnedAway = new Set<Lane>()
  /** at most one of each lane, since at most one is sent */
  readonly #encoding = new Map<Lane, Encoding>()
  #held: Held[] = []
  readonly #subscriptions: Subscriptions
  readonly #pending: Pending[] = []
  #lastUplink = 0

  /** `now`: the instant of the CONNACK. `own`: the device of the connection; null for a channel. */
  constructor(terms: SessionTerms, own: Member | null, now: number) {
    this.#terms = terms
    this.#window = new Window(terms.receiveMaximum)
    this.#patienceMs =
      terms.keepAliveS === 0
        ? SUSPECT_CLOSE_NO_KEEPALIVE_MS
        : Math.max(SUSPECT_CLOSE_MIN_MS, keepAliveMs(terms.keepAliveS))
    this.#activateAt = terms.activation === null ? Number.POSITIVE_INFINITY : now + ACTIVATION_AFTER_MS
    this.#subscribedAt = now
    this.#receivedAt = now
    this.#subscriptions = new Subscriptions(
      terms.kind === 'gateway' ? GATEWAY_SUBSCRIPTIONS_MAX_CHARS : SUBSCRIPTIONS_MAX_CHARS,
    )
    if (own !== null) this.#add(own, now)
  }

  /** A sub-device logged in: from now on commands may be sent to it. `now`: the instant at which it is told so. */
  enter(member: Member, now: number): Step {
    this.#add(member, now)
    return this.#step()
  }

  /** A sub-device is here no more: it logged out, was deleted, or came in elsewhere. What waited to be written to it never left. */
  leave(deviceId: number, now: number): Step {
    const lane = this.#lanes.get(deviceId)
    if (lane === undefined) return this.#step()
    this.#lanes.delete(deviceId)
    this.#lanesByKeys.delete(nameOf(lane.keys))
    this.#unready.delete(lane)
    this.#turnedAway.delete(lane)
    this.#giveBack(lane)
    // What was behind it may fit.
    this.#letOut(now)
    if (!this.#isFull()) this.#fullSince = null
    return this.#step()
  }

  /** Devices came into the topology of this gateway, or left it. */
  topology(joined: readonly DeviceKeys[], left: readonly DeviceKeys[]): void {
    for (const keys of joined) this.#topology.add(nameOf(keys))
    for (const keys of left) this.#topology.delete(nameOf(keys))
  }

  /** May this member be sent to now, and has nothing come since its last command. Who asks is told when a full window has room again. */
  presence(deviceId: number): Omit<Presence, 'session'> {
    const lane = this.#lanes.get(deviceId)
    if (lane === undefined || this.#isClosed) return { ready: false, silent: false }
    const isFull = this.#isFull()
    if (isFull) this.#turnedAway.add(lane)
    return { ready: lane.listens && !this.#suspect && !isFull, silent: this.#isSilent(lane) }
  }

  /** What is not read may have come. */
  #isSilent(lane: Lane): boolean {
    return lane.sentAfter === this.#received && this.reads
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
    this.#received += 1
    if (this.#suspect) {
      this.#suspect = false
      this.#stirred = true
      this.#letOut(now)
    }
    const close = this.#read(packet, now)
    return close === null ? this.#step() : this.close(close)
  }

  /** What an uplink packet carried is durable, or was refused for good. */
  committed(uplink: number, now: number): Step {
    return this.answered(uplink, null, now)
  }

  /** A request is done, and this is its answer, uncompressed; null: there is none. */
  answered(uplink: number, answer: Buffer | null, now: number): Step {
    const pending = this.#pending.find(each => each.uplink === uplink)
    if (pending) {
      pending.committed = true
      const { answerTopic } = pending
      if (answer !== null && answerTopic !== null && !this.#subscriptions.isUnheard(answerTopic))
        pending.acks = [...pending.acks, this.#message(answerTopic, answer)]
    }
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
    for (const lane of this.#unready) if (now >= this.#readyAt(lane)) this.#listen(lane)
    if (now >= this.#activateAt) this.#activate(now)
    this.#giveBackLate(now)
    if (now >= this.#keepAliveEnd()) return this.close({ reason: 'keep-alive timeout', code: reasonCode.keepAlive })
    if (now >= this.#suspectEnd()) return this.close({ reason: 'silent after a command', code: reasonCode.keepAlive })
    if (now >= this.#fullEnd())
      return this.close({ reason: 'command not acknowledged', code: reasonCode.unacknowledged })
    return this.#step()
  }

  /** The next instant at which time alone changes something; Infinity if none. */
  wakeAt(): number {
    if (this.#isClosed) return Number.POSITIVE_INFINITY
    let at = Math.min(this.#keepAliveEnd(), this.#suspectEnd(), this.#fullEnd(), this.#activateAt)
    for (const lane of this.#unready) at = Math.min(at, this.#readyAt(lane))
    for (const { until } of this.#held) at = Math.min(at, until)
    for (const { until } of this.#encoding.values()) at = Math.min(at, until)
    return at
  }

  /**
   * The PUBLISH of a command, to be written whole and at once; or why it cannot be, and then nothing has changed. Where its codec is asked first, or
   * several members fill the window in one batch of the engine, it is written later; if it then cannot be, an `unsent` says so.
   */
  publish(deviceId: number, downlink: Downlink, now: number): Step | Unsent['reason'] {
    const lane = this.#lanes.get(deviceId)
    if (lane === undefined || this.#isClosed) return 'sessionGone'
    if (lane.raw) {
      this.#encoding.set(lane, { downlink, until: until(downlink, now) })
      this.#toEncode.push({ deviceId, keys: lane.keys, downlink })
      return this.#step()
    }
    const topic = commandTopic(lane.keys, downlink)
    const payload = pack(Buffer.from(commandPayload(downlink, methodOf(downlink))), this.#terms.compression)
    if (this.#isTooLarge(topic, payload)) return 'tooLarge'
    this.#send({ lane, downlink, topic, payload }, now)
    return this.#step()
  }

  /** What came of a command that was given to its codec: its bytes, or null: it cannot be encoded. Ignored where the command was given back meanwhile. */
  encoded(deviceId: number, commandId: string, bytes: Buffer | null, now: number): Step {
    const lane = this.#lanes.get(deviceId)
    const downlink = lane && this.#encoding.get(lane)?.downlink
    if (!lane || downlink?.commandId !== commandId) return this.#step()
    this.#encoding.delete(lane)
    const topic = rawCommandTopic(lane.keys)
    if (bytes === null) {
      this.#odd('not encoded', topic)
      this.#unsent(lane, downlink, 'codec')
      return this.#step()
    }
    const payload = pack(bytes, this.#terms.compression)
    if (this.#isTooLarge(topic, payload)) this.#unsent(lane, downlink, 'tooLarge')
    else this.#send({ lane, downlink, topic, payload }, now)
    return this.#step()
  }

  /** Whether this command waits inside for room or its codec: what is said of it then is a guess, and would settle what has yet to leave. */
  isInside(deviceId: number, commandId: string): boolean {
    const lane = this.#lanes.get(deviceId)
    if (lane === undefined) return false
    if (this.#encoding.get(lane)?.downlink.commandId === commandId) return true
    return this.#held.some(held => held.lane === lane && held.downlink.commandId === commandId)
  }

  /** Tells a gateway what became of a device of its topology. */
  notify(notice: Notice, of: DeviceKeys, now: number): Step {
    const topic = noticeTopic(this.#terms.keys, notice)
    this.#packets.push(this.#message(topic, Buffer.from(noticePayload(notice, of, now))))
    return this.#step()
  }

  /**
   * A command to this member was not answered in time, and nothing at all had come since: nobody is ready until something does.
   * What came while that was being made durable counts, and then the queue goes on.
   */
  suspect(deviceId: number): Step {
    const lane = this.#lanes.get(deviceId)
    if (lane === undefined) return this.#step()
    if (this.#isSilent(lane)) {
      this.#suspect = true
      for (const each of this.#lanes.values()) each.told = false
    } else {
      lane.told = false
      this.#stirred = true
    }
    return this.#step()
  }

  /** Ends it. The first reason is the one that counts. */
  close(close: Close): Step {
    if (!this.#isClosed) {
      this.#close = close
      this.#isClosed = true
      for (const lane of this.#lanes.values()) this.#giveBack(lane)
    }
    return this.#step()
  }

  // --- members -----------------------------------------------------------------------------------------------

  #add(member: Member, now: number): void {
    const coverage = new Coverage(member.keys, member.services)
    const state = { startedAt: now, listens: false, told: false, sentAfter: -1 }
    const lane: Lane = { ...member, coverage, ...state }
    for (const filter of this.#subscriptions.of(member.keys)) coverage.add(filter)
    this.#lanes.set(member.deviceId, lane)
    this.#lanesByKeys.set(nameOf(member.keys), lane)
    if (coverage.complete) this.#listen(lane)
    else this.#unready.add(lane)
  }

  #listen(lane: Lane): void {
    this.#unready.delete(lane)
    lane.listens = true
    this.#stirred = true
  }

  #readyAt(lane: Lane): number {
    const quietSince = Math.max(lane.startedAt, this.#subscribedAt)
    return Math.min(quietSince + this.#terms.readyAfterMs, lane.startedAt + READY_AT_LATEST_MS)
  }

  /** May this connection speak for, and listen to, the device with these keys? A gateway's requests are looked at one by one, by who answers them. */
  #isOwn(keys: DeviceKeys): boolean {
    return isSame(keys, this.#terms.keys) || this.#lanesByKeys.has(nameOf(keys))
  }

  // --- commands ----------------------------------------------------------------------------------------------

  #isFull(): boolean {
    return this.#held.length > 0 || !this.#window.hasRoom(1)
  }

  #isTooLarge(topic: string, payload: Buffer): boolean {
    return publishBytes(topic.length, payload.length, this.#terms.version) > this.#terms.maximumPacketSize
  }

  /** At once if there is room, however little time there is; else it waits. Not a byte leaves on a connection that may be dead. */
  #send(message: Omit<Held, 'until'>, now: number): void {
    const { lane, downlink, payload } = message
    if (now >= downlink.notAfter) this.#unsent(lane, downlink, 'late')
    else if (!this.#terms.mayPublish()) this.#unsent(lane, downlink, 'fenced')
    else if (!this.#suspect && this.#held.length === 0 && this.#window.hasRoom(payload.length))
      this.#write(message, now)
    else this.#held.push({ ...message, until: until(downlink, now) })
    if (this.#isFull()) this.#fullSince ??= now
  }

  #write({ lane, topic, payload }: Omit<Held, 'until'>, now: number): void {
    // QoS 1 whatever was granted, so that a lost connection shows; never repeated, so never a DUP.
    const messageId = this.#window.take(payload.length)
    this.#packets.push({ cmd: 'publish', topic, payload, qos: 1, dup: false, retain: false, messageId })
    this.#publishedAt = now
    lane.sentAfter = this.#received
  }

  /** Writes what is held, in order, as far as there is room; gives back what has waited too long. */
  #letOut(now: number): void {
    this.#giveBackLate(now)
    if (this.#suspect) return
    for (let held = this.#held[0]; held && this.#window.hasRoom(held.payload.length); held = this.#held[0]) {
      this.#held.shift()
      if (this.#terms.mayPublish()) this.#write(held, now)
      else this.#unsent(held.lane, held.downlink, 'fenced')
    }
  }

  #giveBackLate(now: number): void {
    const late = this.#held.filter(held => now >= held.until)
    this.#held = this.#held.filter(held => now < held.until)
    for (const { lane, downlink } of late) this.#unsent(lane, downlink, 'late')
    for (const [lane, { downlink, until }] of this.#encoding) {
      if (now < until) continue
      this.#encoding.delete(lane)
      this.#unsent(lane, downlink, 'late')
    }
  }

  #unsent(lane: Lane, { commandId, session }: Downlink, reason: Unsent['reason']): void {
    const { deviceId } = lane
    this.#inputs.push({ deviceId, input: { type: 'unsent', commandId, session, reason }, uplink: null })
  }

  /** The member is gone: of its command that is not written yet no byte has left, nor will. */
  #giveBack(lane: Lane): void {
    const encoding = this.#encoding.get(lane)
    if (encoding) this.#unsent(lane, encoding.downlink, 'sessionGone')
    this.#encoding.delete(lane)
    for (const held of this.#held) if (held.lane === lane) this.#unsent(lane, held.downlink, 'sessionGone')
    this.#held = this.#held.filter(held => held.lane !== lane)
  }

  /** An answer or a notice. QoS 0: nobody would send it again. */
  #message(topic: string, payload: Buffer): IPublishPacket {
    const packed = pack(payload, this.#terms.compression)
    return { cmd: 'publish', topic, payload: packed, qos: 0, dup: false, retain: false }
  }

  /** One SDK drops what comes within the turn of its CONNACK, another gives up after a second. */
  #activate(now: number): void {
    const { activation, keys } = this.#terms
    this.#activateAt = Number.POSITIVE_INFINITY
    if (activation === null) return
    this.#packets.push(this.#message(activationTopic(keys), Buffer.from(activationPayload(activation, keys, now))))
  }

  // --- reading -----------------------------------------------------------------------------------------------

  /** What a packet brings about is noted as it is read; what is returned ends the connection. */
  #read(packet: Packet, now: number): Close | null {
    switch (packet.cmd) {
      case 'publish':
        return this.#readPublish(packet)
      case 'puback':
        if (!this.#window.acknowledge(packet.messageId ?? 0)) return null
        this.#letOut(now)
        this.#fullSince = this.#isFull() ? now : null
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
    const meaning = readTopic(topic)
    // Whom a gateway may ask something for is known when its requests before that are done: one of them may be a login.
    const isForeign =
      meaning === null || !(this.#isOwn(meaning.keys) || (this.#terms.kind === 'gateway' && meaning.type === 'request'))
    const acks = qos === 1 ? [this.#puback(messageId, isForeign ? reasonCode.notAuthorized : 0)] : []
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload)
    return isForeign ? this.#readForeign(topic, payload, acks) : this.#readOwn(meaning, topic, payload, acks)
  }

  #readOwn(meaning: Uplink, topic: string, payload: Buffer, acks: readonly Packet[]): null {
    const { keys, type } = meaning
    const lane = this.#lanesByKeys.get(nameOf(keys))
    const uplink = this.#lastUplink + 1
    if (type === 'request') {
      this.#requests.push({ type, uplink, keys, path: meaning.path, payload })
      const to = replyTopic(topic)
      return this.#queue(acks, to.length > TOPIC_MAX_CHARS ? null : to, false)
    }
    if (type === 'rawReply' && lane?.raw) {
      this.#requests.push({ type, uplink, keys, path: '', payload })
      return this.#queue(acks, null, false)
    }
    if (type === 'activated' && lane && this.#terms.activation !== null) {
      this.#inputs.push({ deviceId: lane.deviceId, input: { type: 'activated' }, uplink })
      return this.#queue(acks, null, false)
    }
    if (type !== 'reply' || lane === undefined) {
      this.#odd('stray answer', topic)
      return this.#queue(acks, null, true)
    }
    const unpacked = unpack(payload, this.#terms.compression)
    const reply = unpacked === null ? null : readReply(unpacked)
    if (reply === null || this.isInside(lane.deviceId, reply.commandId)) {
      this.#odd(reply === null ? 'garbage reply' : 'stray answer', topic)
      return this.#queue(acks, null, true)
    }
    this.#inputs.push({ deviceId: lane.deviceId, input: reply, uplink })
    return this.#queue(acks, null, false)
  }

  /**
   * One SDK waits for an answer without end, so whatever asks gets one, also without a subscription: two SDKs lose theirs and do not renew them.
   * Nothing of a payload that cannot be read is sent back, no answer is answered, and none is sent that the client could not take.
   */
  #readForeign(topic: string, payload: Buffer, acks: readonly Packet[]): null {
    const to = replyTopic(topic)
    this.#odd(isReplyTopic(topic) ? 'stray answer' : 'foreign topic', topic)
    const mayBeTold = !isReplyTopic(topic) && to.length <= TOPIC_MAX_CHARS && !this.#subscriptions.isUnheard(to)
    const unpacked = mayBeTold ? unpack(payload, this.#terms.compression) : null
    const { code, message } = codes.noPermission
    const answer = unpacked && answerTo(unpacked, code, message)
    return this.#queue(answer === null ? acks : [...acks, this.#message(to, Buffer.from(answer))], null, true)
  }

  /** Takes its place behind the uplink packets that wait; what waits for nobody goes out at once. */
  #queue(acks: readonly Packet[], answerTopic: string | null, committed: boolean): null {
    this.#lastUplink += 1
    this.#pending.push({ uplink: this.#lastUplink, acks, answerTopic, committed })
    this.#acknowledge()
    return null
  }

  #acknowledge(): void {
    while (this.#pending[0]?.committed) this.#packets.push(...(this.#pending.shift()?.acks ?? []))
  }

  #puback(messageId: number, reason: number): Packet {
    return this.#terms.version === 5 ? { cmd: 'puback', messageId, reasonCode: reason } : { cmd: 'puback', messageId }
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
    // Ready with the SUBACK written: the step's packets leave before its inputs.
    this.#packets.push({ cmd: 'suback', messageId, granted })
    return null
  }

  /** Why a filter is not granted; null: it is, and counts from now on. */
  #refuseFilter(filter: string): keyof typeof subackCode | null {
    if (isShared(filter)) return 'shared'
    if (!isFilter(filter)) return 'invalid'
    const keys = this.#mayHear(filter)
    if (keys === null) return 'notAuthorized'
    if (!this.#subscriptions.subscribe(filter, keys)) return 'tooMany'
    const lane = this.#lanesByKeys.get(nameOf(keys))
    lane?.coverage.add(filter)
    if (lane?.coverage.complete && !lane.listens) this.#listen(lane)
    return null
  }

  /** The device that a filter is for, if this connection may listen to it: its own keys, or those of a device of its topology, written out. */
  #mayHear(filter: string): DeviceKeys | null {
    const keys = keysOfFilter(filter)
    return keys !== null && (this.#isOwn(keys) || this.#topology.has(nameOf(keys))) ? keys : null
  }

  #readUnsubscribe({ messageId = 0, unsubscriptions }: IUnsubscribePacket): Close | null {
    // [MQTT-2.3.1-1], [MQTT-3.10.3-2]
    if (messageId < 1 || unsubscriptions.length === 0) return protocolError('UNSUBSCRIBE without packet id or filter')
    const granted = unsubscriptions.map(filter => {
      const keys = isFilter(filter) ? this.#mayHear(filter) : null
      return this.#subscriptions.unsubscribe(filter, keys) ? 0 : NO_SUBSCRIPTION
    })
    // MQTT 3.1.1 has no codes here, and the codec leaves them out.
    this.#packets.push({ cmd: 'unsuback', messageId, granted })
    return null
  }

  // --- time --------------------------------------------------------------------------------------------------

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

  /** Whenever a member has become ready, for whatever reason, its queue must go on: that is told here and nowhere else. */
  #tellReady(): void {
    if (this.#isClosed || this.#suspect) return
    if (this.#stirred) {
      for (const lane of this.#lanes.values()) {
        if (lane.listens && !lane.told) this.#tell(lane)
      }
      this.#stirred = false
    }
    if (this.#turnedAway.size === 0 || this.#isFull()) return
    for (const lane of this.#turnedAway) if (lane.listens) this.#tell(lane)
    this.#turnedAway.clear()
  }

  #tell(lane: Lane): void {
    lane.told = true
    this.#inputs.push({ deviceId: lane.deviceId, input: { type: 'ready' }, uplink: null })
  }

  #step(): Step {
    this.#tellReady()
    const step = {
      packets: this.#packets,
      inputs: this.#inputs,
      requests: this.#requests,
      toEncode: this.#toEncode,
      oddities: this.#oddities,
      close: this.#close,
    }
    this.#packets = []
    this.#inputs = []
    this.#requests = []
    this.#toEncode = []
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
