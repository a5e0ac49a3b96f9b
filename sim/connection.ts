// The process's end of one device connection: what mqtt/connection.ts does around a session, on a simulated wire instead of a socket.
// The session machine, the topics, the payloads and the codec are the real ones; the CONNECT is believed without a password.

import type { Packet } from 'mqtt-packet'
import type { Downlink } from '../src/core/command.ts'
import type { Unsent } from '../src/core/queue.ts'
import type { Link } from '../src/engine.ts'
import { decode, encode, type Version } from '../src/mqtt/frame.ts'
import { type Close, type CloseReason, Session, type SessionInput, type Step } from '../src/mqtt/session.ts'
import type { DeviceKeys } from '../src/mqtt/topics.ts'
import type { Incarnation } from './process.ts'
import type { End, Wire } from './wire.ts'

const READY_AFTER_MS = 2_000
const RECEIVE_MAXIMUM_DEFAULT = 65_535
const GENTLE: ReadonlySet<CloseReason> = new Set(['client disconnected', 'server stopping'])

interface Open {
  readonly machine: Session
  readonly version: Version
}

export class ServerConnection implements Link, End {
  readonly #process: Incarnation
  readonly #wire: Wire
  readonly deviceId: number
  readonly #keys: DeviceKeys
  #phase: 'waiting' | 'entering' | 'open' | 'closing' = 'waiting'
  #open: Open | null = null
  /** the session that the engine has on record and must be told the end of */
  #recorded: number | null = null
  #stopping = false
  readonly #inbox: Buffer[] = []
  /** commands whose answers wait for their PUBACK, by packet id; those that the store refused are out again */
  readonly #answering = new Map<number, string>()
  readonly #uplinks = new Map<number, string>()
  #wakeAt = Number.POSITIVE_INFINITY
  #cancelWake = (): void => undefined
  #login: Promise<void> = Promise.resolve()
  #farewell: Promise<unknown> = Promise.resolve()

  constructor(process: Incarnation, wire: Wire, deviceId: number, keys: DeviceKeys) {
    this.#process = process
    this.#wire = wire
    this.deviceId = deviceId
    this.#keys = keys
    wire.server = this
  }

  get isOpen(): boolean {
    return this.#phase === 'open'
  }

  // --- what the engine asks of a link ------------------------------------------------------------------------------

  presence(): ReturnType<Link['presence']> {
    return this.#open?.machine.presence() ?? { ready: false, silent: false }
  }

  publish(downlink: Downlink): Unsent['reason'] | null {
    const process = this.#process
    process.crashAt('between effects, before the PUBLISH')
    const open = this.#open
    if (open === null || !process.alive) return 'sessionGone'
    const now = process.clock.now()
    const step = open.machine.publish(downlink, now)
    if (step === 'tooLarge') return step
    process.checks.publishing(this, this.deviceId, downlink, now)
    this.#carryOut(step)
    process.crashAt('after the PUBLISH, before answers')
    return null
  }

  suspect(): void {
    if (!this.#process.alive || this.#open === null) return
    this.#process.world.count('session suspect')
    this.#carryOut(this.#open.machine.suspect())
  }

  takenOver(): void {
    if (!this.#process.alive) return
    this.#process.world.count('session takeover')
    this.#recorded = null
    this.#close({ reason: 'taken over', code: null })
  }

  kick(): void {
    this.#close({ reason: 'kicked', code: null })
  }

  /** Reads no more, lets what was read be committed and acknowledged, then closes. */
  stop(): void {
    this.#stopping = true
    if (this.#phase === 'open') this.#closeIfDone()
    else this.#drop()
  }

  async gone(): Promise<void> {
    await this.#login
    await this.#farewell
  }

  // --- reading -----------------------------------------------------------------------------------------------------

  receive(bytes: Buffer): void {
    if (!this.#process.alive || this.#phase === 'closing') return
    this.#process.checks.arrived(this)
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
    if (this.#phase === 'open') return this.#open?.machine.reads === true && !this.#stopping
    return this.#phase === 'waiting'
  }

  #take(bytes: Buffer): void {
    if (this.#open === null) return
    const decoded = decode(bytes, this.#open.version)
    if (!decoded.ok) throw new Error(`the device sent what cannot be read: ${decoded.why}`)
    const { packet } = decoded
    if (packet.cmd === 'puback') {
      this.#process.crashAt('between PUBLISH and PUBACK')
      if (!this.#process.alive) return
    }
    // Also what had come before the last command and is read only now, because reading had paused: a process knows no better.
    this.#process.checks.arrived(this)
    const step = this.#open.machine.receive(packet, this.#process.clock.now())
    for (const { input, uplink } of step.inputs) if (input.type === 'reply') this.#noteAnswer(packet, input, uplink)
    this.#carryOut(step)
  }

  #noteAnswer(packet: Packet, input: SessionInput['input'] & { type: 'reply' }, uplink: number | null): void {
    const { commandId, deviceCode } = input
    const isAwaited = this.#process.checks.answerArrived(this.deviceId, commandId, deviceCode)
    if (!isAwaited || packet.cmd !== 'publish' || packet.qos !== 1 || uplink === null) return
    this.#answering.set(packet.messageId ?? 0, commandId)
    this.#uplinks.set(uplink, commandId)
  }

  #enter(bytes: Buffer): void {
    this.#phase = 'entering'
    this.#login = this.#logIn(bytes).catch((error: unknown) => {
      this.#process.unexpected(error, 'login failed')
      this.#refuse('server error')
    })
  }

  async #logIn(bytes: Buffer): Promise<void> {
    const decoded = decode(bytes, 4)
    if (!decoded.ok || decoded.packet.cmd !== 'connect') throw new Error('a connection begins with a CONNECT')
    const { engine, store } = this.#process
    const { packet } = decoded
    if (await this.#isDisabled(store)) return this.#refuse('device is disabled')
    if (this.#phase !== 'entering') return
    this.#process.loggingIn(this.deviceId)
    const answer = await engine.connect(this.deviceId, this)
    if (!answer.ok) return this.#refuse('engine refuses')
    this.#recorded = answer.session
    this.#process.world.note(this.deviceId, `session ${answer.session} connected`)
    if (this.#phase !== 'entering') return this.#leave('connection lost')
    if (await this.#isDisabled(store)) return this.#refuse('device is disabled')
    if (this.#phase !== 'entering') return
    const version: Version = packet.protocolVersion === 5 ? 5 : 4
    const { receiveMaximum = RECEIVE_MAXIMUM_DEFAULT, maximumPacketSize = Number.POSITIVE_INFINITY } =
      packet.properties ?? {}
    const terms = {
      keys: this.#keys,
      version,
      keepAliveS: packet.keepalive ?? 0,
      receiveMaximum,
      maximumPacketSize,
      services: null,
      readyAfterMs: READY_AFTER_MS,
    }
    this.#open = { machine: new Session(terms, this.#process.clock.now()), version }
    this.#phase = 'open'
    this.#send({ cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0 }, version)
    this.#wakeFor()
    this.#readOn()
  }

  async #isDisabled(store: Incarnation['store']): Promise<boolean> {
    const { productKey, deviceKey } = this.#keys
    return (await store.deviceByKeys(productKey, deviceKey))?.disabled !== false
  }

  #refuse(why: string): void {
    this.#process.world.count(`login refused, ${why}`)
    this.#leave('server error')
    this.#phase = 'closing'
    this.#wire.close('server', false)
  }

  // --- what the session decides --------------------------------------------------------------------------------------

  #carryOut({ packets, inputs, oddities, close }: Step): void {
    const { world } = this.#process
    for (const packet of packets) if (this.#open !== null) this.#send(packet, this.#open.version)
    for (const input of inputs) this.#handOn(input)
    for (const { kind } of oddities) world.count(`oddity ${kind}`)
    if (close !== null && this.#phase === 'open') this.#finish(close)
    this.#wakeFor()
  }

  #handOn({ input, uplink }: SessionInput): void {
    const process = this.#process
    process.world.count(`input ${input.type}`)
    void process.engine.apply(this.deviceId, input).then(answer => {
      if (!process.alive) return
      if (!answer.ok) this.#refusedInput(input, uplink)
      else if ('outcome' in answer) process.world.count(`reply ${answer.outcome}`)
      if (uplink === null || this.#open === null) return
      this.#uplinks.delete(uplink)
      this.#carryOut(this.#open.machine.committed(uplink, process.clock.now()))
      this.#readOn()
      this.#closeIfDone()
    })
  }

  /** A store fault took an input with it. What was answered is acknowledged all the same. */
  #refusedInput(input: SessionInput['input'], uplink: number | null): void {
    this.#process.world.count(`input refused ${input.type}`)
    const id = this.#uplinks.get(uplink ?? 0)
    for (const [messageId, commandId] of this.#answering) if (commandId === id) this.#answering.delete(messageId)
  }

  #send(packet: Packet, version: Version): void {
    if (!this.#process.alive) return
    if (packet.cmd === 'puback') {
      const id = this.#answering.get(packet.messageId ?? 0)
      this.#answering.delete(packet.messageId ?? 0)
      if (id !== undefined) this.#process.checks.acknowledging(this.deviceId, id)
    }
    this.#process.world.note(this.deviceId, `server sends ${nameOf(packet)}`)
    this.#wire.send('toDevice', encode(packet, version))
  }

  #closeIfDone(): void {
    if (this.#stopping && this.#phase === 'open' && this.#open?.machine.pending === 0)
      this.#close({ reason: 'server stopping', code: null })
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  #close(close: Close): void {
    if (this.#phase === 'open' && this.#open !== null) this.#carryOut(this.#open.machine.close(close))
    else this.#drop()
  }

  #drop(): void {
    if (this.#phase === 'closing') return
    this.#phase = 'closing'
    this.#wire.close('server', true)
    this.#leave('connection lost')
  }

  #finish({ reason }: Close): void {
    this.#process.checks.closing(this, this.deviceId, reason)
    this.#phase = 'closing'
    this.#open = null
    this.#cancelWake()
    this.#process.world.count(`close ${reason}`)
    this.#process.world.note(this.deviceId, `server closes: ${reason}`)
    this.#leave(reason)
    this.#wire.close('server', !GENTLE.has(reason))
  }

  #leave(reason: CloseReason): void {
    if (this.#recorded === null) return
    const session = this.#recorded
    this.#recorded = null
    this.#process.world.count('input disconnected')
    this.#farewell = this.#process.engine.disconnect(this.deviceId, session, reason)
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
      if (this.#open !== null) this.#carryOut(this.#open.machine.tick(this.#process.clock.now()))
    })
  }
}

/** of a payload, in the trace */
const NOTED_CHARS = 140

/** A packet as the trace has it. */
export function nameOf(packet: Packet): string {
  if (packet.cmd !== 'publish') return packet.cmd
  return `publish ${packet.topic.split('/').slice(-2).join('/')} ${packet.payload.toString().slice(0, NOTED_CHARS)}`
}
