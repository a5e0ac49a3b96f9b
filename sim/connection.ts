// The process's end of one connection: what mqtt/connection.ts does around a session, on a simulated wire instead of a socket. CONNECT, login, session,
// members, topics, payloads and the packets' codec are the real ones.

import type { Packet } from 'mqtt-packet'
import type { Downlink } from '../src/core/command.ts'
import { isUnavailable } from '../src/core/errors.ts'
import { LAST_REQUESTS_MAX_MS } from '../src/core/limits.ts'
import type { Unsent } from '../src/core/queue.ts'
import { unpack } from '../src/mqtt/compression.ts'
import { type Admitted, admit, type Connect, readConnect } from '../src/mqtt/connect.ts'
import { decode, encode } from '../src/mqtt/frame.ts'
import { type Carrier, Members, type MembersEndpoint } from '../src/mqtt/members.ts'
import { Session } from '../src/mqtt/session.ts'
import type {
  Close,
  CloseReason,
  SessionInput,
  SessionRequest,
  SessionTerms,
  Step,
  ToEncode,
} from '../src/mqtt/step.ts'
import { commandPayload } from '../src/uplink/payload.ts'
import { type DeviceKeys, methodOf, type Notice } from '../src/uplink/topics.ts'
import { fromRaw } from './codecs.ts'
import { isRaw } from './fleet.ts'
import type { Incarnation } from './incarnation.ts'
import { Line } from './line.ts'
import { WatchedLink } from './link.ts'
import type { End, Wire } from './wire.ts'

const READY_AFTER_MS = 2_000
/** code of an answer */
const OK = 200
const GENTLE: ReadonlySet<CloseReason> = new Set(['client disconnected', 'server stopping'])

interface Open {
  readonly machine: Session
  readonly terms: SessionTerms
  readonly members: Members
}

type Reply = SessionInput['input'] & { readonly type: 'reply' }

export class ServerConnection implements Carrier, End {
  readonly #process: Incarnation
  readonly #wire: Wire
  /** the device at the other end */
  readonly deviceId: number
  readonly line: Line
  #phase: 'waiting' | 'entering' | 'open' | 'closing' = 'waiting'
  #open: Open | null = null
  #members: Members | null = null
  /** what its devices ask for, in order */
  readonly #requests: SessionRequest[] = []
  #isAnswering = false
  /** the step in which the one before them began to be answered */
  #answeringSince = 0
  /** answers to commands that are being decoded, in order */
  readonly #decoding: SessionRequest[] = []
  /** what is asked for and not answered yet, answers that are being decoded included */
  #asked = 0
  /** how it ends when all of that is done */
  #lastWord: Close | null = null
  /** it logged in with a secret of its own */
  #shows = false
  #stopping = false
  readonly #inbox: Buffer[] = []
  /** commands whose answers wait for their PUBACK, by packet id; those that the store refused are out again */
  readonly #answering = new Map<number, { readonly deviceId: number; readonly commandId: string }>()
  /** the same by uplink number */
  readonly #uplinks = new Map<number, string>()
  /** packet ids of requests and of answers in a format of their own, by uplink number */
  readonly #asking = new Map<number, number>()
  #wakeAt = Number.POSITIVE_INFINITY
  #cancelWake = (): void => undefined
  #login: Promise<void> = Promise.resolve()
  #isClosed = (): void => undefined
  readonly #closed = new Promise<void>(resolve => {
    this.#isClosed = resolve
  })

  constructor(process: Incarnation, wire: Wire, deviceId: number) {
    this.#process = process
    this.#wire = wire
    this.deviceId = deviceId
    this.line = new Line(process, deviceId)
    wire.server = this
  }

  get isOpen(): boolean {
    return this.#phase === 'open'
  }

  /** Reads no more, lets what was read be committed and acknowledged, then closes. */
  stop(): void {
    this.#stopping = true
    if (this.#phase === 'open') this.#closeIfDone()
    else this.#drop()
  }

  async gone(): Promise<void> {
    await this.#closed
    await this.#login
    await this.#members?.ended()
  }

  /** Tells a gateway what became of a device behind it. */
  notify(notice: Notice, of: DeviceKeys): void {
    if (this.#open !== null) this.carryOut(this.#open.machine.notify(notice, of, this.#process.clock.now()))
  }

  // --- what its members ask of it ----------------------------------------------------------------------------------

  session(): Session | null {
    return this.#process.alive && this.#phase === 'open' ? (this.#open?.machine ?? null) : null
  }

  carryOut(step: Step): void {
    this.#carryOut(step, null)
  }

  publish(deviceId: number, downlink: Downlink): Unsent['reason'] | null {
    const session = this.session()
    if (session === null) return 'sessionGone'
    const step = session.publish(deviceId, downlink, this.#process.clock.now())
    if (typeof step === 'string') return step
    this.carryOut(step)
    return null
  }

  odd(kind: string): void {
    this.#process.world.count(`oddity ${kind}`)
  }

  end(reason: CloseReason): void {
    this.#close({ reason, code: null })
  }

  // --- reading -----------------------------------------------------------------------------------------------------

  receive(bytes: Buffer): void {
    if (!this.#process.alive || this.#phase === 'closing') return
    this.#process.checks.arrived(this.line)
    this.#inbox.push(bytes)
    this.#readOn()
  }

  lost(): void {
    if (this.#process.alive) this.#close({ reason: 'connection lost', code: null })
  }

  #readOn(): void {
    while (this.#mayRead()) {
      const bytes = this.#inbox.shift()
      if (bytes === undefined) return
      if (this.#phase === 'waiting') this.#enter(bytes)
      else this.#take(bytes)
    }
    if (this.#inbox.length > 0 && this.#phase === 'open') this.#process.world.count('process does not read on')
  }

  #mayRead(): boolean {
    if (!this.#process.alive) return false
    if (this.#phase === 'open') return this.#open?.machine.reads === true && !this.#stopping && this.#lastWord === null
    return this.#phase === 'waiting'
  }

  #take(bytes: Buffer): void {
    if (this.#open === null) return
    const { machine, terms } = this.#open
    const decoded = decode(bytes, terms.version)
    if (!decoded.ok) throw new Error(`the device sent what cannot be read: ${decoded.why}`)
    const { packet } = decoded
    if (packet.cmd === 'puback') this.#process.crashAt('between PUBLISH and PUBACK')
    if (this.line.holds) this.#process.crashAt('while a command is held')
    if (!this.#process.alive) return
    // Also what had come before the last command and is read only now, because reading had paused: a process knows no better.
    this.#process.checks.arrived(this.line)
    const now = this.#process.clock.now()
    this.line.takes(packet, now)
    this.#carryOut(machine.receive(packet, now), packet)
  }

  // --- login -------------------------------------------------------------------------------------------------------

  #enter(bytes: Buffer): void {
    this.#phase = 'entering'
    this.#login = this.#logIn(bytes).catch((error: unknown) => {
      this.#process.unexpected(error, 'login failed')
      this.#refuse('server error')
    })
  }

  async #logIn(bytes: Buffer): Promise<void> {
    const connect = readConnect(bytes)
    if (connect.type !== 'connect') throw new Error(`the device cannot connect: ${connect.reason}`)
    const { fleet, world } = this.#process
    const admitted = await admit(connect, fleet, null, world.faults.reactivation)
    if (admitted.type === 'refused') return this.#refuse(admitted.connack)
    if (this.#phase !== 'entering' || admitted.device === null) return
    this.#shows = connect.packet.clientId.includes('securemode=2')
    const members = new Members(this.#endpoint(), admitted, this)
    this.#members = members
    const refusal = await members.connect(admitted.device, admitted.mode !== 'activation', admitted.codec)
    if (refusal !== null) return this.#refuse(refusal.message)
    if (this.#phase === 'entering') this.#openUp(connect, admitted, members)
    else members.end('connection lost')
  }

  #openUp(connect: Connect, admitted: Admitted, members: Members): void {
    const { version, packet, receiveMaximum, maximumPacketSize } = connect
    const { device, services, isGateway, compression, secret, codec } = admitted
    if (device === null) throw new Error('there are no channels here')
    const { id, productKey, deviceKey, assetId } = device
    const terms: SessionTerms = {
      keys: { productKey, deviceKey },
      kind: isGateway ? 'gateway' : 'device',
      version,
      keepAliveS: packet.keepalive ?? 0,
      receiveMaximum,
      maximumPacketSize,
      readyAfterMs: READY_AFTER_MS,
      compression,
      activation: secret === null ? null : { deviceSecret: secret, assetId },
      mayPublish: () => this.#process.engine.mayPublish(),
    }
    const now = this.#process.clock.now()
    const machine = new Session(terms, { deviceId: id, keys: terms.keys, services, raw: codec }, now)
    machine.topology(admitted.members, [])
    this.#open = { machine, terms, members }
    this.#phase = 'open'
    this.line.opened(terms, now)
    this.#send({ cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0 })
    this.#wakeFor()
    this.#readOn()
  }

  #refuse(why: string): void {
    this.#process.world.count(`login refused, ${why}`)
    this.#members?.end('server error')
    if (this.#phase !== 'entering') return
    this.#phase = 'closing'
    this.line.dropped()
    this.#isClosed()
    this.#wire.close('server', false)
  }

  // --- between the members and the engine ----------------------------------------------------------------------------

  /** What the members are given: the real parts, and somebody who takes note of what passes between them and the engine. */
  #endpoint(): MembersEndpoint {
    const { engine, fleet, requests, codecs, clock, deviceLog: log, world, checks } = this.#process
    const watched: MembersEndpoint['engine'] = {
      connect: (deviceId, link, activates) => {
        // A sub-device that logs in with its product's secret is told its own with the answer.
        const proves = deviceId !== this.deviceId || this.#shows
        if (proves) checks.proves(deviceId)
        this.#process.moment('login', deviceId)
        const seen = new WatchedLink(this.#process, this.line, deviceId, link, () => this.#open?.machine ?? null)
        const answer = engine.connect(deviceId, seen, activates)
        void answer.then(said => {
          if (said.ok && proves && this.#process.alive) checks.isActive(deviceId)
          if (!said.ok || seen.isOver || !this.#process.alive) return
          seen.session = said.session
          this.line.begins(deviceId, said.session, clock.now())
          if (deviceId !== this.deviceId && !this.#process.wasBehind(deviceId, this.deviceId, this.#answeringSince))
            this.#process.ledger.broken(34, deviceId, `is logged in by gateway ${this.deviceId}, and not behind it`)
          world.note(
            deviceId,
            `session ${said.session} connected${deviceId === this.deviceId ? '' : ' over its gateway'}, process ${this.#process.number}`,
          )
        })
        return answer
      },
      mayPublish: () => engine.mayPublish(),
      disconnect: (deviceId, session, reason) => {
        world.count('input disconnected')
        this.line.ends(deviceId, session)
        const answer = engine.disconnect(deviceId, session, reason)
        void answer.then(({ ok }) => {
          if (!ok) checks.endLost(deviceId, session)
        })
        return answer
      },
      apply: (deviceId, input) => {
        const answer = engine.apply(deviceId, input)
        if (input.type === 'reply') this.#repliedInItsOwn(deviceId, input, answer)
        return answer
      },
    }
    const codecFailed = (_fields: object, message: string): void => world.count(message)
    const { limit, defer } = this.#process
    return { engine: watched, fleet, requests, codecs, codecFailed, limit, defer, clock, log }
  }

  /** An answer that had to be decoded first. */
  #repliedInItsOwn(deviceId: number, input: Reply, answer: Promise<{ readonly ok: boolean }>): void {
    const request = this.#decoding.shift()
    if (request === undefined) throw new Error('an answer is read that did not come')
    this.line.repliedInItsOwn(deviceId, request.keys)
    this.#noteAnswer(deviceId, input, request.uplink, this.#asking.get(request.uplink) ?? null)
    void answer.then(({ ok }) => {
      if (!ok) this.#refusedInput(input, request.uplink)
    })
  }

  // --- what the session decides --------------------------------------------------------------------------------------

  /** `packet`: what it is done for, if it is done for a packet. */
  #carryOut({ packets, inputs, requests, toEncode, oddities, close }: Step, packet: Packet | null): void {
    if (this.#open === null) return
    const { members } = this.#open
    const from = packet?.cmd === 'publish' ? { topic: packet.topic, id: packet.messageId ?? null } : null
    for (const each of packets) this.#send(each)
    for (const input of inputs) this.#handOn(input, from)
    for (const each of toEncode) this.#encode(each)
    for (const { kind } of oddities) this.odd(kind)
    for (const { uplink } of requests) this.#asking.set(uplink, from?.id ?? 0)
    for (const request of requests) this.#takeIn(members, request)
    if (close !== null && this.#phase === 'open') this.#endWhenHeard(close)
    this.#wakeFor()
  }

  /** An answer to a command waits for nobody; what is asked for waits for what was asked before. */
  #takeIn(members: Members, request: SessionRequest): void {
    this.#asked += 1
    this.#process.world.count(`request ${request.path || request.type}`)
    if (request.type === 'rawReply') {
      this.#decoding.push(request)
      void members.answer(request).then(() => {
        if (this.#decoding.includes(request)) this.#decoding.splice(this.#decoding.indexOf(request), 1)
        this.#answered(request, null)
      })
      return
    }
    this.#requests.push(request)
    if (this.#isAnswering) return
    this.#isAnswering = true
    void this.#answerAll(members)
  }

  #handOn(told: SessionInput, from: { readonly topic: string; readonly id: number | null } | null): void {
    const process = this.#process
    const { deviceId, input, uplink } = told
    if (!process.alive) return
    this.line.told(told, from?.topic ?? null)
    if (input.type === 'reply') this.#noteAnswer(deviceId, input, uplink ?? 0, from?.id ?? null)
    if (input.type === 'activated') process.checks.proves(deviceId)
    process.world.count(`input ${input.type}`)
    if (input.type !== 'unsent') process.moment('input', deviceId)
    void process.engine.apply(deviceId, input).then(answer => {
      if (!process.alive) return
      if (answer.ok && input.type === 'activated') process.checks.isActive(deviceId)
      if (!answer.ok) this.#refusedInput(input, uplink)
      else if ('outcome' in answer) process.world.count(`reply ${answer.outcome}`)
      if (!answer.ok && isUnavailable(answer) && uplink !== null) return this.end('server error')
      if (uplink !== null) this.#done(uplink, null)
    })
  }

  #noteAnswer(deviceId: number, { commandId, deviceCode }: Reply, uplink: number, messageId: number | null): void {
    const isAwaited = this.#process.checks.answerArrived(deviceId, commandId, deviceCode)
    if (!isAwaited || messageId === null || messageId === 0) return
    this.#answering.set(messageId, { deviceId, commandId })
    this.#uplinks.set(uplink, commandId)
  }

  /** A store fault took an input with it, or the device is deleted. What was answered is acknowledged all the same. */
  #refusedInput(input: SessionInput['input'], uplink: number | null): void {
    this.#process.world.count(`input refused ${input.type}`)
    const id = this.#uplinks.get(uplink ?? 0)
    for (const [messageId, { commandId }] of this.#answering) if (commandId === id) this.#answering.delete(messageId)
  }

  #encode({ deviceId, keys, downlink }: ToEncode): void {
    const { codecs, clock } = this.#process
    const message = JSON.parse(commandPayload(downlink, methodOf(downlink)))
    void codecs.encode(keys.productKey, message).then(encoded => {
      const machine = this.session()
      if (machine === null) return
      this.line.encoded(downlink.commandId)
      this.carryOut(machine.encoded(deviceId, downlink.commandId, encoded.ok ? encoded.value : null, clock.now()))
      this.line.settled(downlink.commandId)
    })
  }

  async #answerAll(members: Members): Promise<void> {
    for (let request = this.#requests.shift(); request !== undefined; request = this.#requests.shift()) {
      this.#answeringSince = this.#process.world.steps
      const answer = await members.answer(request)
      if (!this.#process.alive) return
      this.#checkAnswer(request, answer)
      this.#answered(request, answer)
      await new Promise<void>(resolve => this.#process.defer(resolve))
      if (this.#phase !== 'open') this.#requests.length = 0
    }
    this.#isAnswering = false
  }

  #answered({ uplink }: SessionRequest, answer: Buffer | null): void {
    this.#asked -= 1
    this.#done(uplink, answer)
    if (this.#asked === 0 && this.#lastWord !== null && this.#phase === 'open') this.#finish(this.#lastWord)
  }

  /** A client that says goodbye, or closes its end, is heard to the end: what it sent before that is done first, within a bound. */
  #endWhenHeard(close: Close): void {
    this.line.over()
    const isItsOwn = close.reason === 'client disconnected' || close.reason === 'connection lost'
    if (this.#asked === 0 || !isItsOwn || this.#stopping) {
      this.#finish(close)
      return
    }
    this.#process.world.count('client is heard to the end')
    this.#lastWord = close
    const { clock } = this.#process
    clock.at(clock.now() + LAST_REQUESTS_MAX_MS, () => {
      if (this.#phase === 'open') this.#finish(close)
    })
  }

  /** Who is told to be gone must be. */
  #checkAnswer({ path, payload }: SessionRequest, answer: Buffer | null): void {
    if (answer === null || this.#open === null || (path !== 'combine/logout' && path !== 'thing/topo/delete')) return
    const { code }: { code: number } = JSON.parse(answer.toString())
    const asked = unpack(payload, this.#open.terms.compression) ?? Buffer.alloc(0)
    const { params }: { params: DeviceKeys | readonly DeviceKeys[] } = JSON.parse(asked.toString())
    for (const keys of [params].flat()) {
      const id = this.#process.kin(keys)?.id ?? 0
      if (code === OK && id !== this.deviceId && this.line.carries(id))
        this.#process.ledger.broken(34, id, `${path} is answered ${code}, and its session goes on`)
    }
  }

  #done(uplink: number, answer: Buffer | null): void {
    this.#uplinks.delete(uplink)
    this.#asking.delete(uplink)
    const machine = this.session()
    if (machine === null) return
    this.carryOut(machine.answered(uplink, answer, this.#process.clock.now()))
    this.#readOn()
    this.#closeIfDone()
  }

  #send(packet: Packet): void {
    if (!this.#process.alive || this.#open === null) return
    const { version, maximumPacketSize } = this.#open.terms
    const bytes = encode(packet, version)
    if (bytes.length > maximumPacketSize) {
      if (packet.cmd === 'publish') this.odd('answer too large')
      else this.#close({ reason: 'packet too large', code: null })
      return
    }
    this.line.left(packet, this.#process.clock.now())
    if (packet.cmd === 'puback') {
      const answer = this.#answering.get(packet.messageId ?? 0)
      this.#answering.delete(packet.messageId ?? 0)
      if (answer !== undefined) this.#process.checks.acknowledging(answer.deviceId, answer.commandId)
    }
    this.#process.world.note(this.deviceId, `server sends ${nameOf(packet)}`)
    this.#wire.send('toDevice', bytes)
  }

  #closeIfDone(): void {
    if (this.#stopping && this.#phase === 'open' && this.#open?.machine.pending === 0)
      this.#close({ reason: 'server stopping', code: null })
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  #close(close: Close): void {
    if (!this.#process.alive) return
    if (this.#phase === 'open' && this.#open !== null) this.carryOut(this.#open.machine.close(close))
    else this.#drop()
  }

  #drop(): void {
    if (this.#phase === 'closing') return
    this.#phase = 'closing'
    this.line.dropped()
    this.#isClosed()
    this.#wire.close('server', true)
    this.#members?.end('connection lost')
  }

  #finish({ reason }: Close): void {
    const { checks, world } = this.#process
    checks.closing(this.line, this.deviceId, reason)
    this.#phase = 'closing'
    this.#open = null
    this.#cancelWake()
    world.count(`close ${reason}`)
    world.note(this.deviceId, `server closes: ${reason}`)
    if (this.line.underWay > 1) world.count('gateway goes with commands of several devices on their way')
    this.#members?.end(reason)
    this.line.closed(reason)
    this.#isClosed()
    this.#wire.close('server', !GENTLE.has(reason))
  }

  // --- time ------------------------------------------------------------------------------------------------------------

  #wakeFor(): void {
    if (this.#open === null) return
    const at = this.#open.machine.wakeAt()
    if (at >= this.#wakeAt) return
    this.#cancelWake()
    this.#wakeAt = at
    if (at === Number.POSITIVE_INFINITY) return
    this.#cancelWake = this.#process.clock.at(at, () => {
      this.#wakeAt = Number.POSITIVE_INFINITY
      if (this.#open === null) return
      if (this.line.holds) this.#process.crashAt('while a command is held')
      if (!this.#process.alive) return
      const now = this.#process.clock.now()
      this.line.ticks(now)
      this.carryOut(this.#open.machine.tick(now))
    })
  }
}

/** of a payload, in the trace */
const NOTED_CHARS = 140

/** A packet as the trace has it. */
export function nameOf(packet: Packet): string {
  if (packet.cmd !== 'publish') return packet.cmd
  const [, productKey = '', deviceKey = '', path = packet.topic] =
    /^\/(?:sys|ext\/session)\/([^/]*)\/([^/]*)\/(?:thing\/)?(.*)$/.exec(packet.topic) ?? []
  const plain = unpack(Buffer.from(packet.payload), packet.payload[0] === GZIP_MAGIC ? 'gzip' : 'none')
  const bytes = plain ?? Buffer.from(packet.payload)
  const text = isRaw({ productKey, deviceKey }) && path.includes('_raw') ? fromRaw(bytes) : bytes.toString()
  return `publish ${deviceKey} ${path} ${text.slice(0, NOTED_CHARS)}`
}
const GZIP_MAGIC = 0x1f
