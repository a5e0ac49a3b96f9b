// One connection as somebody sees it who stands beside it: which sessions it carries, what is on the wire, who may be sent to. It has rules of its own, in
// other words than mqtt/session.ts, and what the session does and says is compared with them.

import type { IPublishPacket, Packet } from 'mqtt-packet'
import { type Downlink, State } from '../src/core/command.ts'
import { INFLIGHT_MAX, READY_AT_LATEST_MS, UNACKED_MAX_BYTES } from '../src/core/limits.ts'
import type { Link } from '../src/engine.ts'
import { type Compression, unpack } from '../src/mqtt/compression.ts'
import type { CloseReason, SessionInput } from '../src/mqtt/step.ts'
import type { DeviceKeys } from '../src/uplink/topics.ts'
import type { Checks } from './checks.ts'
import { fromRaw } from './codecs.ts'
import { isRaw, type Kin } from './fleet.ts'
import type { Ledger } from './ledger.ts'
import type { World } from './world.ts'

/** What a line stands among. */
export interface Beside {
  readonly world: World
  readonly ledger: Ledger
  readonly checks: Checks
  /** of the process */
  readonly number: number
  /** by the store, its node's lease is good */
  readonly hasLease: boolean
  /** ms by which its clock is ahead of the store's; null where it goes by none */
  readonly aheadMs: number | null
  /** null: there is no such device */
  kin(of: DeviceKeys | number): Kin | null
}

/** What the CONNECT settled. */
export interface LineTerms {
  readonly receiveMaximum: number
  readonly readyAfterMs: number
  readonly compression: Compression
}

/** A device that is here, between the word of the engine that it is and the word to it that it is not. */
interface Lane {
  readonly session: number
  readonly startedAt: number
  /** its subscriptions have covered the topics of its commands */
  set: boolean
  services: boolean
  listens: boolean
  /** packets that had come when the last command left; -1 before the first */
  sentAfter: number
  /** the engine was told that it is not ready, and not that it is again */
  owed: boolean
}

/** A command that the session took. */
interface Parcel {
  readonly deviceId: number
  readonly downlink: Downlink
  where: 'encoding' | 'held' | 'written' | 'given back'
}

type Presence = ReturnType<Link['presence']>
const NOBODY: Presence = { ready: false, silent: false }
const SUBACK_FAILURE = 0x80

const keysOf = (topic: string): DeviceKeys => {
  const [, productKey = '', deviceKey = ''] = /^\/(?:sys|ext\/session)\/([^/]*)\/([^/]*)\//.exec(topic) ?? []
  return { productKey, deviceKey }
}

export class Line {
  readonly #beside: Beside
  readonly #own: number
  /** sessions that the engine has on record for this connection, by device */
  readonly #sessions = new Map<number, number>()
  /** devices that ever had one */
  readonly #everHere = new Set<number>()
  #terms: LineTerms | null = null
  readonly #lanes = new Map<number, Lane>()
  /** bytes of what is without its PUBACK, by packet id */
  readonly #unacked = new Map<number, number>()
  readonly #parcels = new Map<string, Parcel>()
  readonly #held = new Set<string>()
  readonly #granted = new Set<string>()
  /** filters of a SUBSCRIBE without its SUBACK, by packet id */
  readonly #asked = new Map<number, readonly string[]>()
  #subscribedAt = 0
  #received = 0
  #suspect = false
  /** the device whose command was not answered then */
  #suspectFor = 0
  /** the session is over; its devices may still be here for a moment */
  #isOver = false
  #isClosed = false
  /** how the session of the connection's own device ended, where the engine ended it */
  #ownEnd: 'taken over' | 'kicked' | null = null

  constructor(beside: Beside, own: number) {
    this.#beside = beside
    this.#own = own
  }

  /** It is the connection of this device, not of one behind it. */
  isOf(deviceId: number): boolean {
    return deviceId === this.#own
  }

  /** Devices here that have a command without an answer. */
  get underWay(): number {
    const { ledger } = this.#beside
    return [...this.#lanes.keys()].filter(deviceId => ledger.inState(deviceId, State.sent).length > 0).length
  }

  /** A command is with the session, and cannot leave yet. */
  get holds(): boolean {
    return this.#held.size > 0
  }

  // --- sessions ----------------------------------------------------------------------------------------------------

  /** The engine says that this device is here. */
  begins(deviceId: number, session: number, now: number): void {
    this.#sessions.set(deviceId, session)
    this.#everHere.add(deviceId)
    if (this.#terms !== null && !this.#isOver) this.#enter(deviceId, session, now)
  }

  /** The CONNACK leaves. */
  opened(terms: LineTerms, now: number): void {
    this.#terms = terms
    this.#subscribedAt = now
    for (const [deviceId, session] of this.#sessions) this.#enter(deviceId, session, now)
  }

  #enter(deviceId: number, session: number, now: number): void {
    const lane: Lane = {
      session,
      startedAt: now,
      set: false,
      services: false,
      listens: false,
      sentAfter: -1,
      owed: false,
    }
    this.#lanes.set(deviceId, lane)
    for (const filter of this.#granted) this.#cover(filter)
  }

  /** The engine has ended this session, and is about to say so. */
  ending(deviceId: number, session: number, how: 'taken over' | 'kicked'): void {
    if (deviceId === this.#own) this.#ownEnd = how
    if (this.#sessions.get(deviceId) === session) this.#sessions.delete(deviceId)
  }

  /** That was said; or the engine is about to be told that the session is over. */
  ends(deviceId: number, session: number): void {
    if (this.#sessions.get(deviceId) === session) this.#sessions.delete(deviceId)
    if (this.#lanes.get(deviceId)?.session !== session) return
    this.#lanes.delete(deviceId)
    for (const parcel of this.#parcels.values()) if (parcel.deviceId === deviceId) this.#mustBeBack(parcel)
  }

  /** The session is over. */
  over(): void {
    this.#isOver = true
    for (const parcel of this.#parcels.values()) this.#mustBeBack(parcel)
  }

  /** The connection is over, and all that follows from it at once has been done. */
  closed(reason: CloseReason): void {
    this.#isClosed = true
    this.#noSessions()
    const byEngine = reason === 'taken over' || reason === 'kicked'
    if (byEngine && this.#ownEnd !== reason)
      this.#broken(32, this.#own, `the connection ends as ${reason}, and its own device was not`)
  }

  /** Over before it was open: what was on record is told to be over. */
  dropped(): void {
    this.#isOver = true
    this.#isClosed = true
  }

  #noSessions(): void {
    for (const deviceId of this.#sessions.keys())
      this.#broken(28, deviceId, 'its connection is over, and the engine is not told that it is gone')
  }

  #mustBeBack({ deviceId, downlink, where }: Parcel): void {
    if (where === 'held' || where === 'encoding')
      this.#broken(29, deviceId, `${downlink.commandId} is ${where} as its session ends, and is not given back`)
  }

  /** The session that it has here, as far as the engine is concerned. */
  sessionOf(deviceId: number): number | null {
    return this.#sessions.get(deviceId) ?? null
  }

  carries(deviceId: number): boolean {
    return this.#sessions.has(deviceId)
  }

  // --- the wire ----------------------------------------------------------------------------------------------------

  /** A packet is about to be given to the session. */
  takes(packet: Packet, now: number): void {
    this.#received += 1
    this.#suspect = false
    if (packet.cmd === 'puback') this.#unacked.delete(packet.messageId ?? 0)
    if (packet.cmd === 'unsubscribe') for (const filter of packet.unsubscriptions) this.#granted.delete(filter)
    if (packet.cmd !== 'subscribe') return
    this.#subscribedAt = now
    const filters = packet.subscriptions.map(({ topic }) => topic)
    this.#asked.set(packet.messageId ?? 0, filters)
  }

  /** A packet leaves. */
  left(packet: Packet, now: number): void {
    if (packet.cmd === 'suback') {
      const filters = this.#asked.get(packet.messageId ?? 0) ?? []
      for (const [i, filter] of filters.entries()) {
        if (Number(packet.granted[i]) >= SUBACK_FAILURE) continue
        this.#granted.add(filter)
        this.#cover(filter)
      }
    }
    if (packet.cmd === 'publish' && packet.qos > 0) this.#commandLeft(packet, now)
  }

  #cover(filter: string): void {
    const { productKey, deviceKey } = keysOf(filter)
    const lane = this.#lanes.get(this.#beside.kin({ productKey, deviceKey })?.id ?? 0)
    if (lane === undefined) return
    const services = `/sys/${productKey}/${deviceKey}/thing/service/`
    lane.set ||= filter === `${services}measurepoint/set`
    lane.services ||= filter === `${services}+`
    lane.listens ||= lane.set && lane.services
  }

  #commandLeft(packet: IPublishPacket, now: number): void {
    const { world, checks } = this.#beside
    const messageId = packet.messageId ?? 0
    if (this.#unacked.has(messageId)) this.#broken(27, this.#own, `packet id ${messageId} is in use`)
    this.#unacked.set(messageId, packet.payload.length)
    if (this.#suspect) this.#broken(15, this.#own, 'a command leaves on a connection that may be dead')
    if (this.#unacked.size > 1 && this.#bytes > UNACKED_MAX_BYTES)
      this.#broken(27, this.#own, `${this.#bytes} bytes of commands are without their PUBACK`)
    if (this.#unacked.size > this.#window)
      this.#broken(27, this.#own, `${this.#unacked.size} commands are without their PUBACK, ${this.#window} may be`)
    const keys = keysOf(packet.topic)
    const deviceId = this.#beside.kin(keys)?.id ?? 0
    const commandId = this.#commandOf(packet, keys)
    const parcel = this.#parcels.get(commandId)
    const lane = this.#lanes.get(deviceId)
    const { session } = parcel?.downlink ?? {}
    if (lane === undefined || lane.session !== session || parcel?.deviceId !== deviceId)
      this.#broken(26, deviceId, `${commandId} of session ${session} leaves, here is session ${lane?.session}`)
    if (parcel === undefined) return
    if (parcel.where === 'given back') this.#broken(29, deviceId, `${commandId} leaves after it was given back`)
    const [first] = this.#held
    if (this.#held.has(commandId)) world.count('held command is written')
    if (first !== undefined && first !== commandId) this.#overtakes(deviceId, commandId, first)
    this.#held.delete(commandId)
    parcel.where = 'written'
    if (lane !== undefined) lane.sentAfter = this.#received
    checks.publishing(this, this.#beside, deviceId, parcel.downlink, now)
  }

  /** Packets leave before the engine is told what the same step gave back: what is given back with its session is overtaken by nobody. */
  #overtakes(deviceId: number, commandId: string, first: string): void {
    queueMicrotask(() => {
      if (this.#held.has(first)) this.#broken(38, deviceId, `${commandId} leaves, and ${first} was there before it`)
      else this.#beside.world.count('held command leaves as the one before it is given back')
    })
  }

  #commandOf({ payload, topic }: IPublishPacket, keys: DeviceKeys): string {
    const bytes = unpack(Buffer.from(payload), this.#terms?.compression ?? 'none') ?? Buffer.alloc(0)
    const isOfItsOwn = topic.endsWith('thing/model/down_raw')
    if (isOfItsOwn !== isRaw(keys)) this.#broken(26, this.#own, `a command of ${keys.deviceKey} leaves on ${topic}`)
    return String(JSON.parse(isOfItsOwn ? fromRaw(bytes) : bytes.toString()).id)
  }

  // --- commands ------------------------------------------------------------------------------------------------------

  /** The engine hands a command over. What its codec is at work on for this device is forgotten: the engine has settled that. */
  handedOver(deviceId: number, downlink: Downlink): void {
    if (this.#suspect && this.#suspectFor === deviceId)
      this.#broken(15, deviceId, `${downlink.commandId} is decided on for a connection that was found silent`)
    const { commands } = this.#beside.ledger.log(deviceId)
    for (const [id, parcel] of this.#parcels) {
      if (parcel.deviceId !== deviceId || parcel.where !== 'encoding' || id === downlink.commandId) continue
      parcel.where = 'given back'
      if (commands.get(id)?.state === State.sent) this.#broken(29, deviceId, `${id} is forgotten, and is still sent`)
    }
    const where = this.#beside.kin(deviceId)?.raw === true ? 'encoding' : 'held'
    this.#parcels.set(downlink.commandId, { deviceId, downlink, where })
  }

  /** What was said to that: null, it is taken. */
  answered({ commandId }: Downlink, refusal: string | null): void {
    const parcel = this.#parcels.get(commandId)
    if (parcel === undefined) return
    if (refusal !== null) {
      if (parcel.where === 'written')
        this.#broken(29, parcel.deviceId, `${commandId} has left, and is refused as ${refusal}`)
      this.#parcels.delete(commandId)
    } else if (parcel.where === 'held') this.#hold(parcel)
  }

  /** Its codec is done with a command. */
  encoded(commandId: string): void {
    const parcel = this.#parcels.get(commandId)
    if (parcel?.where === 'encoding') parcel.where = 'held'
  }

  /** What came of that was done: what has not left is held. */
  settled(commandId: string): void {
    const parcel = this.#parcels.get(commandId)
    if (parcel?.where === 'held' && !this.#held.has(commandId)) this.#hold(parcel)
  }

  #hold({ downlink }: Parcel): void {
    this.#beside.world.count('command is held')
    this.#held.add(downlink.commandId)
  }

  /** The session tells the engine something. `topic`: of the packet that it is told for. */
  told({ deviceId, input }: SessionInput, topic: string | null): void {
    const lane = this.#lanes.get(deviceId)
    if (input.type === 'unsent') this.#givenBack(deviceId, input.commandId, input.reason)
    if (input.type === 'ready' && lane?.listens !== true)
      this.#broken(30, deviceId, 'is told to be ready, and does not listen')
    if (input.type === 'ready' && lane !== undefined) lane.owed = false
    if (input.type !== 'reply') return
    const speaker = topic === null ? null : this.#beside.kin(keysOf(topic))
    if (lane === undefined || speaker?.id !== deviceId)
      this.#broken(31, deviceId, `an answer on ${topic} counts, its device is ${lane === undefined ? 'not ' : ''}here`)
  }

  /** An answer that had to be decoded first: its device may have gone meanwhile. */
  repliedInItsOwn(deviceId: number, keys: DeviceKeys): void {
    if (this.#beside.kin(keys)?.id !== deviceId || !this.#everHere.has(deviceId))
      this.#broken(31, deviceId, `an answer of ${keys.deviceKey} counts for a device that was never here`)
  }

  #givenBack(deviceId: number, commandId: string, reason: string): void {
    const parcel = this.#parcels.get(commandId)
    this.#beside.world.count(`held command is given back, ${reason}`)
    if (parcel === undefined || parcel.where === 'written')
      this.#broken(29, deviceId, `${commandId} is given back, and has left`)
    if (parcel !== undefined) parcel.where = 'given back'
    this.#held.delete(commandId)
  }

  /** It was handed over here, and has not left. */
  keeps(commandId: string): boolean {
    const where = this.#parcels.get(commandId)?.where
    return where !== undefined && where !== 'written'
  }

  // --- who may be sent to ----------------------------------------------------------------------------------------------

  get #bytes(): number {
    return [...this.#unacked.values()].reduce((sum, bytes) => sum + bytes, 0)
  }

  get #hasRoom(): boolean {
    return this.#unacked.size === 0 || (this.#unacked.size < this.#window && this.#bytes < UNACKED_MAX_BYTES)
  }

  get #window(): number {
    return Math.min(this.#terms?.receiveMaximum ?? 0, INFLIGHT_MAX)
  }

  #readyAt({ startedAt }: Lane): number {
    const quietSince = Math.max(startedAt, this.#subscribedAt)
    return Math.min(quietSince + (this.#terms?.readyAfterMs ?? 0), startedAt + READY_AT_LATEST_MS)
  }

  /** Time has passed, and the session is about to be told. */
  ticks(now: number): void {
    for (const lane of this.#lanes.values()) lane.listens ||= now >= this.#readyAt(lane)
  }

  /** The engine asks for a member: what the session says must be so. `reads`: the session may be read to. */
  asked(deviceId: number, said: Presence, reads: boolean): void {
    const { ready, silent } = this.#presence(deviceId, reads)
    const lane = this.#lanes.get(deviceId)
    if (lane !== undefined && !said.ready) lane.owed = true
    if (said.ready !== ready || said.silent !== silent)
      this.#broken(30, deviceId, `the session says ${show(said)}, it is ${show({ ready, silent })}`)
  }

  #presence(deviceId: number, reads: boolean): Presence {
    const lane = this.#lanes.get(deviceId)
    if (lane === undefined || this.#isOver) return NOBODY
    const isFull = !this.#hasRoom || this.holds
    return { ready: lane.listens && !this.#suspect && !isFull, silent: this.#isSilent(lane, reads) }
  }

  #isSilent({ sentAfter }: Lane, reads: boolean): boolean {
    return sentAfter === this.#received && reads
  }

  /** The engine says that a command was not answered in time, and nothing had come. */
  suspected(deviceId: number, reads: boolean): void {
    const lane = this.#lanes.get(deviceId)
    if (lane === undefined || !this.#isSilent(lane, reads)) return
    this.#suspect = true
    this.#suspectFor = deviceId
  }

  /** Devices that may be sent to, as far as is known from here. */
  readyNow(): number[] {
    if (this.#isOver || this.#terms === null) return []
    return [...this.#lanes.keys()].filter(deviceId => this.#presence(deviceId, true).ready)
  }

  /** Nothing is under way in the process: everything that follows from what came has been done. Adds who may be sent to. lateMs: by which its timers may be late. */
  atRest(now: number, ready: Set<number>, lateMs: number): void {
    if (this.#isClosed) this.#noSessions()
    if (this.#isOver || this.#terms === null) return
    if (!this.#lanes.has(this.#own)) this.#broken(28, this.#own, 'is gone, and its connection is not')
    const [commandId] = this.#held
    // One that is larger than what is left of the bytes waits for all of them.
    const isEmpty =
      this.#unacked.size === 0 || (this.#unacked.size < this.#window && this.#bytes < UNACKED_MAX_BYTES / 2)
    if (commandId !== undefined && isEmpty && !this.#suspect)
      this.#broken(8, this.#parcels.get(commandId)?.deviceId ?? null, `${commandId} is held, and there is room`)
    for (const [deviceId, lane] of this.#lanes) {
      if (!lane.listens && now >= this.#readyAt(lane) + lateMs)
        this.#broken(30, deviceId, `should be ready since ${this.#readyAt(lane)}, it is ${now}`)
      if (!this.#presence(deviceId, true).ready) continue
      ready.add(deviceId)
      if (lane.owed) this.#broken(30, deviceId, 'is ready again, and the engine is not told')
    }
  }

  #broken(invariant: 8 | 15 | 26 | 27 | 28 | 29 | 30 | 31 | 32 | 38, deviceId: number | null, detail: string): void {
    this.#beside.ledger.broken(invariant, deviceId, detail)
  }
}

const show = ({ ready, silent }: Presence): string => `${ready ? '' : 'not '}ready and ${silent ? '' : 'not '}silent`
