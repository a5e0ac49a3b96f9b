// One socket: bytes in and out, the timer, and the order of things from its first byte to its last. It carries out what the session decides.
// Not here: rules of the protocol (connect.ts, session.ts), what its devices ask for (members.ts), servers and the list of connections (listener.ts).

import type { Socket } from 'node:net'
import type { IConnackPacket, Packet } from 'mqtt-packet'
import type { Downlink } from '../core/command.ts'
import { errors, isUnavailable } from '../core/errors.ts'
import {
  ANSWERS_READ_MAX_MS,
  CLOSE_LINGER_MS,
  CONNECT_MAX_BYTES,
  CONNECT_WAIT_MS,
  LAST_REQUESTS_MAX_MS,
  ODDITIES_LOGGED,
  PACKET_MAX_BYTES,
  REFUSED_LOGIN_DELAY_MS,
  TOPIC_MAX_CHARS,
  TURN_MAX_MS,
  TURN_MAX_PACKETS,
  WRITE_BUFFER_MAX_BYTES,
} from '../core/limits.ts'
import type { Unsent } from '../core/queue.ts'
import { logFailed } from '../uplink/failed.ts'
import { commandPayload } from '../uplink/payload.ts'
import { CHANNEL_KEY, type DeviceKeys, methodOf, type Notice } from '../uplink/topics.ts'
import {
  type Admitted,
  admit,
  type ClientCertificate,
  type Connack,
  type Connect,
  claimedKeys,
  connack,
  isHeldAgainst,
  type Refused,
  readConnect,
} from './connect.ts'
import type { Endpoint } from './endpoint.ts'
import { type Cut, decode, encode, Framer, hasTooManyFilters, isConnect } from './frame.ts'
import { type Carrier, Members } from './members.ts'
import { Session } from './session.ts'
import {
  type Close,
  type CloseReason,
  type Oddity,
  reasonCode,
  type SessionInput,
  type SessionRequest,
  type SessionTerms,
  type Step,
  type ToEncode,
} from './step.ts'

/**
 * `waiting` for a CONNECT; `entering` while the login is looked up and recorded: nothing is read meanwhile; `refused`: that is held back;
 * `open`; `closing`: over, but the last packet may still have to be read by the client. What comes when it is refused or closing is thrown away.
 */
type Phase =
  | { readonly name: 'waiting' | 'entering' | 'refused' | 'closing' }
  | {
      readonly name: 'open'
      readonly machine: Session
      readonly terms: SessionTerms
      readonly members: Members
      /** null: a channel */
      readonly deviceId: number | null
    }
type Open = Phase & { readonly name: 'open' }

/** Ends after which the client still gets what was written, an MQTT 5 client always: the others find their socket closed. */
const GENTLE: ReadonlySet<CloseReason> = new Set(['client disconnected', 'server stopping'])

export class Connection implements Carrier {
  readonly #socket: Socket
  readonly #endpoint: Endpoint
  readonly #certificate: ClientCertificate | null
  readonly #remote: string
  readonly #framer = new Framer(CONNECT_MAX_BYTES)
  #phase: Phase = { name: 'waiting' }
  /** from the moment that the engine is told of its device */
  #members: Members | null = null
  /** what its devices ask for, in order */
  readonly #requests: SessionRequest[] = []
  #isAnswering = false
  /** what is asked for and not answered yet, answers to commands that are being decoded included */
  #asked = 0
  /** how it ends when all of that is done */
  #lastWord: Close | null = null
  /** ends the wait for a client that does not read */
  #goOn = (): void => undefined
  /** what it may still take in this turn of the loop; null while it has taken nothing in it */
  #turn: { packetsLeft: number; readonly until: number } | null = null
  #stopping = false
  /** written in this turn of the loop */
  #unsent: Buffer[] = []
  #oddities = 0
  /** the instant that the timer is set to */
  #wakeAt = Number.POSITIVE_INFINITY
  #cancelWake = (): void => undefined
  #login: Promise<void> = Promise.resolve()
  readonly #socketClosed: Promise<void>

  /** `certificate`: what the client showed; null: nothing. `remote`: the address that it comes from. */
  constructor(socket: Socket, endpoint: Endpoint, certificate: ClientCertificate | null, remote: string) {
    this.#socket = socket
    this.#endpoint = endpoint
    this.#certificate = certificate
    this.#remote = remote
    this.#wake(endpoint.clock.now() + CONNECT_WAIT_MS, () => this.#drop('no CONNECT in time'))
    socket.setNoDelay(true)
    socket.on('data', chunk => this.#receive(chunk))
    // What broke a connection says no more than that it is lost.
    socket.on('end', () => this.#lost())
    socket.on('error', () => this.#lost())
    this.#socketClosed = new Promise(resolve => {
      socket.once('close', () => {
        this.#lost()
        this.#cancelWake()
        endpoint.gone(this)
        resolve()
      })
    })
  }

  /** Resolves when the socket is closed and the ends of its sessions are on record. */
  async gone(): Promise<void> {
    await this.#socketClosed
    await this.#login
    await this.#members?.ended()
  }

  /** Reads no more, lets what was read be committed and acknowledged, then closes. */
  stop(): void {
    this.#stopping = true
    this.#goOn()
    if (this.#phase.name === 'open') {
      this.#socket.pause()
      this.#closeIfDone(this.#phase)
    } else this.#drop('server stopping')
  }

  /** Tells a gateway what became of a device of its topology. */
  notify(notice: Notice, of: DeviceKeys): void {
    if (this.#phase.name !== 'open') return
    this.carryOut(this.#phase.machine.notify(notice, of, this.#endpoint.clock.now()))
  }

  // --- what its members ask of it ------------------------------------------------------------------------------

  session(): Session | null {
    // Until the CONNACK is written there is nobody to send to.
    return this.#phase.name === 'open' && this.#isWritable() ? this.#phase.machine : null
  }

  carryOut(step: Step): void {
    if (this.#phase.name === 'open') this.#carryOut(this.#phase, step)
  }

  publish(deviceId: number, downlink: Downlink): Unsent['reason'] | null {
    const session = this.session()
    if (session === null) return 'sessionGone'
    const step = session.publish(deviceId, downlink, this.#endpoint.clock.now())
    if (typeof step === 'string') return step
    this.carryOut(step)
    // Not with what else this turn of the loop writes: the instant until which it may leave was checked just now.
    this.#flush()
    return null
  }

  odd(kind: Oddity, topic: string): void {
    if (this.#phase.name === 'open') this.#odd(this.#phase, { kind, topic: topic.slice(0, TOPIC_MAX_CHARS) })
  }

  end(reason: CloseReason, code: number): void {
    this.#close({ reason, code })
  }

  // --- reading -----------------------------------------------------------------------------------------------

  #receive(chunk: Buffer): void {
    if (this.#isOver()) return
    this.#framer.push(chunk)
    // [MQTT-3.1.0-1] told by its first byte: nothing else is waited for.
    if (this.#phase.name === 'waiting' && !isConnect(this.#framer.begun))
      this.#drop('the first packet is not a CONNECT')
    else this.#readOn()
  }

  /**
   * Takes packets strictly in order while it may. What is left goes back to the socket, which is not read either, and does not tell its end before
   * all of it was taken.
   */
  #readOn(): void {
    while (this.#mayRead() && this.#isItsTurn()) {
      const packet = this.#framer.next()
      if (packet === null) return
      if (packet === 'malformed' || packet === 'tooLarge') this.#cut(packet)
      else if (this.#phase.name === 'open') this.#take(this.#phase, packet)
      else this.#enter(packet)
    }
    const rest = this.#framer.release()
    if (this.#isOver()) return
    this.#socket.pause()
    if (rest.length > 0) this.#socket.unshift(rest)
  }

  /** No device may hold up the others: each has its share of a turn of the loop, however much it sends, and goes on in the next one. */
  #isItsTurn(): boolean {
    const now = this.#endpoint.clock.now()
    if (this.#turn === null) {
      this.#turn = { packetsLeft: TURN_MAX_PACKETS, until: now + TURN_MAX_MS }
      setImmediate(() => {
        this.#turn = null
        if (this.#phase.name === 'open') this.#resume(this.#phase)
      })
    }
    this.#turn.packetsLeft -= 1
    return this.#turn.packetsLeft >= 0 && now < this.#turn.until
  }

  #isOver(): boolean {
    return this.#phase.name === 'refused' || this.#phase.name === 'closing'
  }

  #mayRead(): boolean {
    if (this.#phase.name === 'open') return this.#phase.machine.reads && !this.#stopping && this.#lastWord === null
    return this.#phase.name === 'waiting'
  }

  #cut(cut: Cut): void {
    if (this.#phase.name !== 'open') this.#drop(cut)
    else if (cut === 'tooLarge') this.#close({ reason: 'packet too large', code: reasonCode.packetTooLarge })
    else this.#close({ reason: 'malformed packet', code: reasonCode.malformed, detail: 'remaining length' })
  }

  #take(open: Open, bytes: Buffer): void {
    const { version } = open.terms
    if (hasTooManyFilters(bytes, version)) {
      this.#close({ reason: 'protocol error', code: reasonCode.quota, detail: 'too many filters in one packet' })
      return
    }
    const decoded = decode(bytes, version)
    if (decoded.ok) this.#carryOut(open, open.machine.receive(decoded.packet, this.#endpoint.clock.now()))
    else this.#close({ reason: 'malformed packet', code: reasonCode.malformed, detail: decoded.why })
  }

  // --- login -------------------------------------------------------------------------------------------------

  #enter(bytes: Buffer): void {
    const connect = readConnect(bytes)
    if (connect.type === 'dropped') {
      this.#drop(connect.reason)
      return
    }
    this.#phase = { name: 'entering' }
    this.#wake(Number.POSITIVE_INFINITY)
    this.#login = this.#logIn(connect).catch((error: unknown) => {
      logFailed(this.#endpoint.log, error, { remote: this.#remote }, 'login failed')
      if (connect.type === 'connect')
        this.#refuse(connect, 'unavailable', 'the server cannot look the device up, try again later')
    })
  }

  async #logIn(connect: Connect | Refused): Promise<void> {
    const { fleet, limit, clock, reactivation } = this.#endpoint
    if (connect.type === 'refused') return this.#refuse(connect, connect.connack, connect.reason)
    // Let in here, it would get nothing, and to the other nodes it would be away: one of them can serve it.
    if (!this.#endpoint.engine.mayPublish())
      return this.#refuse(connect, 'unavailable', 'this node has lost the store for a while: come again')
    const keys = claimedKeys(connect)
    if (!limit.allows(this.#remote, keys, clock.now()))
      return this.#refuse(
        connect,
        'limited',
        'too many logins were refused: wait before the next one, and check the secret',
      )
    const admitted = await admit(connect, fleet, this.#certificate, reactivation)
    if (admitted.type === 'refused') {
      if (isHeldAgainst(admitted.connack)) limit.refused(this.#remote, keys, clock.now())
      return this.#refuse(connect, admitted.connack, admitted.reason)
    }
    limit.admitted(this.#remote, keys)
    const { device } = admitted
    if (this.#endpoint.isFullFor(device?.id ?? null, admitted.productKey))
      return this.#refuse(connect, 'full', 'as many devices, or channels of this product, are connected as may be')
    if (this.#phase.name !== 'entering') return
    const members = new Members(this.#endpoint, admitted, this)
    this.#members = members
    const refusal =
      device === null ? null : await members.connect(device, admitted.mode !== 'activation', admitted.codec)
    if (refusal !== null) {
      const isOurs = isUnavailable(refusal) || refusal.code === errors.internal.code
      return this.#refuse(connect, isOurs ? 'unavailable' : 'notAuthorized', refusal.message)
    }
    if (this.#phase.name === 'entering') this.#open(connect, admitted, members)
    else members.end('connection lost')
  }

  #open(connect: Connect, admitted: Admitted, members: Members): void {
    const { clock } = this.#endpoint
    const { device, services } = admitted
    const terms = this.#terms(connect, admitted)
    const member = device && { deviceId: device.id, keys: terms.keys, services, raw: admitted.codec }
    const machine = new Session(terms, member, clock.now())
    machine.topology(admitted.members, [])
    const open: Open = { name: 'open', machine, terms, members, deviceId: device?.id ?? null }
    this.#phase = open
    this.#framer.maxBytes = PACKET_MAX_BYTES
    this.#endpoint.count('login')
    this.#endpoint.opened(this, open.deviceId, admitted.productKey)
    const { keys, version, kind } = terms
    this.#endpoint.log.debug({ deviceId: open.deviceId, ...keys, version, kind, remote: this.#remote }, 'connected')
    this.#send(open, welcome(connect))
    this.#wakeFor(open)
    this.#resume(open)
  }

  /** The CONNECT itself is not kept: its fields point into all that came in one piece with it. */
  #terms({ version, packet, receiveMaximum, maximumPacketSize }: Connect, admitted: Admitted): SessionTerms {
    const { device, productKey, isGateway, compression, secret } = admitted
    return {
      keys: { productKey, deviceKey: device?.deviceKey ?? CHANNEL_KEY },
      kind: device === null ? 'channel' : isGateway ? 'gateway' : 'device',
      version,
      keepAliveS: packet.keepalive ?? 0,
      receiveMaximum,
      maximumPacketSize,
      readyAfterMs: this.#endpoint.readyAfterMs,
      compression,
      mayPublish: () => this.#endpoint.engine.mayPublish(),
      activation: device === null || secret === null ? null : { deviceSecret: secret, assetId: device.assetId },
    }
  }

  /** Held back for a moment, so that a client that tries again without a pause does not keep the server busy. */
  #refuse(to: Connect | Refused, code: Connack, reason: string): void {
    this.#members?.end('server error')
    if (this.#phase.name !== 'entering') return
    this.#phase = { name: 'refused' }
    // Nothing that comes behind the CONNECT is held for it.
    this.#socket.resume()
    this.#endpoint.refused({ ...claimedKeys(to), connack: code, reason, remote: this.#remote })
    const told = connack[code]
    const bare: IConnackPacket = { cmd: 'connack', sessionPresent: false, returnCode: told[4], reasonCode: told[5] }
    const limit = to.type === 'connect' ? to.maximumPacketSize : Number.POSITIVE_INFINITY
    const full = encode({ ...bare, properties: { reasonString: reason } }, to.version)
    // [MQTT-3.2.2-19] The reason is left out where it would make the packet too large.
    const bytes = full.length > limit ? encode(bare, to.version) : full
    this.#wake(this.#endpoint.clock.now() + REFUSED_LOGIN_DELAY_MS, () => {
      this.#phase = { name: 'closing' }
      this.#sayLast(bytes)
    })
  }

  // --- what the session decides --------------------------------------------------------------------------------

  #carryOut(open: Open, { packets, inputs, requests, toEncode, oddities, close }: Step): void {
    for (const packet of packets) this.#send(open, packet)
    for (const input of inputs) this.#handOn(open, input)
    for (const each of toEncode) this.#encode(open, each)
    for (const oddity of oddities) this.#odd(open, oddity)
    for (const request of requests) this.#takeIn(open, request)
    // A packet that could not be sent may have ended it already.
    if (close !== null && this.#phase === open) this.#endWhenHeard(open, close)
    this.#wakeFor(open)
  }

  /** An answer to a command waits for nobody; what is asked for waits for what was asked before. */
  #takeIn(open: Open, request: SessionRequest): void {
    this.#asked += 1
    if (request.type === 'rawReply') {
      void open.members.answer(request).then(() => this.#answered(open, request, null))
      return
    }
    this.#requests.push(request)
    if (this.#isAnswering) return
    this.#isAnswering = true
    void this.#answerAll(open)
  }

  #handOn(open: Open, { deviceId, input, uplink }: SessionInput): void {
    void this.#endpoint.engine.apply(deviceId, input).then(answer => {
      if (!answer.ok) {
        const { code, message } = answer
        this.#endpoint.log.warn({ deviceId, input: input.type, code, message }, 'input refused')
        // Not on record, and it never will be from here: without its PUBACK the device says it again, elsewhere.
        if (isUnavailable(answer) && uplink !== null) return this.#close({ reason: 'server error', code: null })
      }
      if (uplink !== null) this.#done(open, uplink, null)
    })
  }

  #encode(open: Open, { deviceId, keys, downlink }: ToEncode): void {
    const { codecs, clock, codecFailed } = this.#endpoint
    const message = JSON.parse(commandPayload(downlink, methodOf(downlink)))
    void codecs.encode(keys.productKey, message).then(encoded => {
      if (!encoded.ok) codecFailed({ deviceId, ...keys, reason: encoded.reason }, 'a command was not encoded')
      if (this.#phase !== open) return
      const bytes = encoded.ok ? encoded.value : null
      this.#carryOut(open, open.machine.encoded(deviceId, downlink.commandId, bytes, clock.now()))
      this.#flush()
    })
  }

  /** One after the other, in the order in which they came: what a login or logout changes counts for those behind it. */
  async #answerAll(open: Open): Promise<void> {
    for (let request = this.#requests.shift(); request !== undefined; request = this.#requests.shift()) {
      this.#answered(open, request, await open.members.answer(request))
      // A store that answers at once would else hold the loop for as long as there is something to answer.
      await new Promise<void>(resolve => this.#endpoint.defer(resolve))
      await this.#wasRead()
      if (this.#phase !== open) this.#requests.length = 0
    }
    this.#isAnswering = false
  }

  #answered(open: Open, { uplink }: SessionRequest, answer: Buffer | null): void {
    this.#asked -= 1
    this.#done(open, uplink, answer)
    if (this.#asked === 0 && this.#lastWord !== null && this.#phase === open) this.#finish(open, this.#lastWord)
  }

  /**
   * Resolves when the client has read most of what it was told: whoever asks faster than it reads waits. One that does not read at all is closed, for
   * nothing else would tell that it is gone while nothing of it is read either.
   */
  async #wasRead(): Promise<void> {
    if (this.#stopping || this.#socket.writableLength <= WRITE_BUFFER_MAX_BYTES / 2) return
    await new Promise<void>(resolve => {
      const { clock } = this.#endpoint
      const giveUp = clock.at(clock.now() + ANSWERS_READ_MAX_MS, () =>
        this.#close({ reason: 'slow reader', code: null }),
      )
      this.#goOn = () => {
        this.#socket.off('drain', this.#goOn).off('close', this.#goOn)
        this.#goOn = () => undefined
        giveUp()
        resolve()
      }
      this.#socket.on('drain', this.#goOn).on('close', this.#goOn)
    })
  }

  /** A client that says goodbye, or closes its end, is heard to the end: what it sent before that is done first, within a bound. */
  #endWhenHeard(open: Open, close: Close): void {
    const isItsOwn = close.reason === 'client disconnected' || close.reason === 'connection lost'
    if (this.#asked === 0 || !isItsOwn || this.#stopping) {
      this.#finish(open, close)
      return
    }
    this.#lastWord = close
    const { clock } = this.#endpoint
    this.#wake(clock.now() + LAST_REQUESTS_MAX_MS, () => {
      if (this.#phase === open) this.#finish(open, close)
    })
  }

  #done(open: Open, uplink: number, answer: Buffer | null): void {
    if (this.#phase !== open) return
    this.#carryOut(open, open.machine.answered(uplink, answer, this.#endpoint.clock.now()))
    this.#resume(open)
    this.#closeIfDone(open)
  }

  #odd({ deviceId }: Open, { kind, topic }: Step['oddities'][number]): void {
    this.#endpoint.count(kind)
    this.#oddities += 1
    if (this.#oddities > ODDITIES_LOGGED) return
    const isLast = this.#oddities === ODDITIES_LOGGED
    this.#endpoint.log.debug({ deviceId, topic, ...(isLast ? { more: 'not logged' } : {}) }, kind)
  }

  #resume(open: Open): void {
    if (!this.#socket.isPaused() || this.#phase !== open || !this.#mayRead()) return
    this.#socket.resume()
  }

  #closeIfDone({ machine }: Open): void {
    if (this.#stopping && machine.pending === 0)
      this.#close({ reason: 'server stopping', code: reasonCode.shuttingDown })
  }

  // --- writing -----------------------------------------------------------------------------------------------

  #send(open: Open, packet: Packet): void {
    const bytes = encode(packet, open.terms.version)
    if (bytes.length <= open.terms.maximumPacketSize) this.#write(bytes)
    // [MQTT-3.1.2-24], [MQTT-3.1.2-25] A client never gets more than it takes: an answer is left out, anything else cannot be.
    else if (packet.cmd === 'publish') this.#odd(open, { kind: 'answer too large', topic: packet.topic })
    else this.#close({ reason: 'packet too large', code: reasonCode.packetTooLarge, detail: `our ${packet.cmd}` })
  }

  /** All that is written in one turn of the loop leaves in one piece: a PUBACK with the next PUBLISH, a CONNACK with the first. */
  #write(bytes: Buffer): void {
    if (this.#unsent.length === 0) process.nextTick(() => this.#flush())
    this.#unsent.push(bytes)
  }

  #flush(): void {
    const [first = NOTHING, ...more] = this.#unsent
    this.#unsent = []
    if (first.length === 0 || !this.#isWritable()) return
    this.#socket.write(more.length === 0 ? first : Buffer.concat([first, ...more]))
    // What the kernel did not take: the client does not read.
    if (this.#socket.writableLength > WRITE_BUFFER_MAX_BYTES) this.#close({ reason: 'slow reader', code: null })
  }

  #isWritable(): boolean {
    return this.#socket.writable && !this.#socket.destroyed
  }

  // --- the end -----------------------------------------------------------------------------------------------

  #lost(): void {
    this.#close({ reason: 'connection lost', code: null })
  }

  #close(close: Close): void {
    if (this.#phase.name === 'open') this.#carryOut(this.#phase, this.#phase.machine.close(close))
    else this.#drop(close.reason)
  }

  /** The end before anybody was let in: without an answer. */
  #drop(reason: string): void {
    if (this.#phase.name === 'closing') return
    this.#phase = { name: 'closing' }
    this.#framer.release()
    this.#cancelWake()
    this.#socket.destroy()
    this.#members?.end('connection lost')
    this.#endpoint.count('dropped before login')
    this.#endpoint.log.debug({ remote: this.#remote, reason }, 'connection dropped before its login')
  }

  #finish({ terms, deviceId, members }: Open, { reason, code, detail }: Close): void {
    this.#phase = { name: 'closing' }
    this.#framer.release()
    // What was handed over is on its way, even when the socket is closed in the same turn.
    this.#flush()
    members.end(reason)
    this.#endpoint.closed(this, deviceId, terms.keys.productKey)
    this.#endpoint.count(reason)
    this.#endpoint.log.debug({ deviceId, reason, detail, oddities: this.#oddities }, 'device disconnected')
    const last = terms.version === 5 && code !== null ? encode({ cmd: 'disconnect', reasonCode: code }, 5) : NOTHING
    if (last.length > 0 || GENTLE.has(reason)) this.#sayLast(last.length <= terms.maximumPacketSize ? last : NOTHING)
    else this.#socket.destroy()
  }

  /** Writes the last bytes and half-closes; what still comes is thrown away, until the client closes or its time is up. */
  #sayLast(bytes: Buffer): void {
    this.#wake(this.#endpoint.clock.now() + CLOSE_LINGER_MS, () => this.#socket.destroy())
    this.#socket.end(bytes)
    this.#socket.resume()
  }

  // --- time --------------------------------------------------------------------------------------------------

  /** Set to the session's next instant. It is left where it is when that moves on: waking early costs less than setting it at every packet. */
  #wakeFor(open: Open): void {
    if (this.#phase !== open) return
    const at = open.machine.wakeAt()
    if (at >= this.#wakeAt) return
    this.#wake(at, () => {
      if (this.#phase === open) this.#carryOut(open, open.machine.tick(this.#endpoint.clock.now()))
    })
  }

  #wake(at: number, run: () => void = () => undefined): void {
    this.#cancelWake()
    this.#wakeAt = at
    if (at === Number.POSITIVE_INFINITY) return
    this.#cancelWake = this.#endpoint.clock.at(at, () => {
      this.#wakeAt = Number.POSITIVE_INFINITY
      run()
    })
  }
}

const NOTHING = Buffer.alloc(0)

/** [MQTT-3.2.2-2] Never a session of before; with MQTT 5, what this server does not do and how much it takes. */
function welcome({ packet, version }: Connect): IConnackPacket {
  const accepted: IConnackPacket = { cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0 }
  if (version !== 5) return accepted
  const asksForMore = (packet.properties?.sessionExpiryInterval ?? 0) > 0
  return {
    ...accepted,
    properties: {
      maximumQoS: 1,
      retainAvailable: false,
      maximumPacketSize: PACKET_MAX_BYTES,
      topicAliasMaximum: 0,
      wildcardSubscriptionAvailable: true,
      subscriptionIdentifiersAvailable: false,
      sharedSubscriptionAvailable: false,
      ...(asksForMore ? { sessionExpiryInterval: 0 } : {}),
    },
  }
}
