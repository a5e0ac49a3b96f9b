// The devices of one connection: its own, and the sub-devices that are logged in over it. Their sessions with the engine begin and end here, and what
// they ask for is answered. Not here: sockets (connection.ts), the protocol (session.ts), whether a sub-device may log in (gateway.ts).

import type { Clock } from '../clock.ts'
import type { Downlink } from '../core/command.ts'
import { errors, type Refusal, refuse } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import { SUBDEVICES_ONLINE_MAX } from '../core/limits.ts'
import type { Unsent } from '../core/queue.ts'
import type { Link } from '../engine.ts'
import type { Log } from '../log.ts'
import type { Device } from '../store/store.ts'
import type { Answer, Asker } from '../uplink/asker.ts'
import { codes } from '../uplink/codes.ts'
import { logFailed } from '../uplink/failed.ts'
import { gatewaySource } from '../uplink/login-limit.ts'
import { answerJson, answerTo, readReply, readRequest } from '../uplink/payload.ts'
import { type DeviceKeys, isSame, nameOf, UP_RAW } from '../uplink/topics.ts'
import { unpack } from './compression.ts'
import type { Admitted, DeviceDirectory } from './connect.ts'
import type { Endpoint } from './endpoint.ts'
import {
  admitSub,
  isRefused,
  readBatch,
  readSubLogin,
  remembering,
  type SubAdmitted,
  type SubLogin,
  type SubRefusal,
} from './gateway.ts'
import type { Session } from './session.ts'
import { type CloseReason, type Oddity, reasonCode, type SessionRequest, type Step } from './step.ts'

/** What members need of their connection. */
export interface Carrier {
  /** the session, while the connection is open and can be written to */
  session(): Session | null
  carryOut(step: Step): void
  /** Hands a command to the session and writes it at once. */
  publish(deviceId: number, downlink: Downlink): Unsent['reason'] | null
  odd(kind: Oddity, topic: string): void
  end(reason: CloseReason, code: number): void
}

/** What members need of the endpoint. */
export type MembersEndpoint = Pick<
  Endpoint,
  'engine' | 'fleet' | 'requests' | 'codecs' | 'codecFailed' | 'limit' | 'defer'
> & {
  readonly clock: Clock
  readonly log: Log
}

/** A member's session as the engine has it on record; it must be told of its end, once. */
interface Here {
  readonly device: Device
  readonly link: MemberLink
  readonly session: number
  /** its product has a format of its own */
  readonly raw: boolean
}

export class Members implements Asker {
  readonly device: Device | null
  readonly productKey: string
  readonly #endpoint: MembersEndpoint
  readonly #admitted: Admitted
  readonly #carrier: Carrier
  /** by keys, which is how what comes up names them: every report of a gateway's devices is looked up here */
  readonly #here = new Map<string, Here>()
  readonly #farewells = new Set<Promise<unknown>>()
  /** sub-devices whose login is being made durable */
  #entering = 0
  #isOver = false

  constructor(endpoint: MembersEndpoint, admitted: Admitted, carrier: Carrier) {
    this.device = admitted.device
    this.productKey = admitted.productKey
    this.#endpoint = endpoint
    this.#admitted = admitted
    this.#carrier = carrier
  }

  /** Tells the engine that this device is here. Null where that is on record; otherwise why it may not be. */
  async connect(device: Device, activates: boolean, raw: boolean): Promise<Refusal | null> {
    // A login that outlived its connection must not take the device from a newer one.
    if (this.#isOver) return refuse(errors.denied, 'the connection is over')
    const link = new MemberLink(this, device)
    const answer = await this.#endpoint.engine.connect(device.id, link, activates)
    if (!answer.ok) return answer
    // While that was made durable, somebody else may have become this device, or it may have been disabled.
    if (link.isOver) return refuse(errors.denied, 'the device logged in elsewhere, or was disabled, in the same moment')
    this.#here.set(nameOf(device), { device, link, session: answer.session, raw })
    if (this.#isOver) this.#leave(device, 'connection lost')
    return null
  }

  /** The connection is over, and so are all its sessions, at once. */
  end(reason: CloseReason): void {
    this.#isOver = true
    for (const { device } of this.#here.values()) this.#leave(device, reason)
  }

  /** Resolves when the ends of all sessions that have ended are on record. */
  async ended(): Promise<void> {
    await Promise.all(this.#farewells)
  }

  #leave(device: Device, reason: CloseReason): void {
    const here = this.#here.get(nameOf(device))
    if (here === undefined) return
    this.#here.delete(nameOf(device))
    const session = this.#carrier.session()
    // Before the engine is told: what was never written to it is given back first.
    if (session !== null) this.#carrier.carryOut(session.leave(here.device.id, this.#endpoint.clock.now()))
    const farewell = this.#endpoint.engine.disconnect(here.device.id, here.session, reason)
    this.#farewells.add(farewell)
    void farewell.then(() => this.#farewells.delete(farewell))
  }

  // --- what the engine asks of a member's link -----------------------------------------------------------------

  presence(deviceId: number): ReturnType<Link['presence']> {
    return this.#carrier.session()?.presence(deviceId) ?? { ready: false, silent: false }
  }

  publish(deviceId: number, downlink: Downlink): Unsent['reason'] | null {
    return this.#carrier.publish(deviceId, downlink)
  }

  suspect(deviceId: number): void {
    const session = this.#carrier.session()
    if (session !== null) this.#carrier.carryOut(session.suspect(deviceId))
  }

  /** The engine has ended this session itself. A connection ends with its own device; a sub-device leaves it. */
  gone(device: Device, reason: CloseReason, code: number): void {
    this.#here.delete(nameOf(device))
    if (device.id === this.device?.id) {
      this.#carrier.end(reason, code)
      return
    }
    const session = this.#carrier.session()
    if (session !== null) this.#carrier.carryOut(session.leave(device.id, this.#endpoint.clock.now()))
  }

  // --- who asks ------------------------------------------------------------------------------------------------

  speaker(keys: DeviceKeys): Device | null {
    return this.#here.get(nameOf(keys))?.device ?? null
  }

  joined(devices: readonly Device[]): void {
    this.#carrier.session()?.topology(devices, [])
  }

  left(devices: readonly Device[]): void {
    this.#carrier.session()?.topology([], devices)
    for (const device of devices) if (device.id !== this.device?.id) this.#leave(device, 'logged out')
  }

  /** The payload of the answer, or null: nobody gets one. Never rejects: what fails in here is answered as well, because some SDKs wait without end. */
  async answer(asked: SessionRequest): Promise<Buffer | null> {
    const payload = unpack(asked.payload, this.#admitted.compression)
    if (payload === null) {
      this.#carrier.odd('garbage payload', asked.path)
      return null
    }
    const request = { ...asked, payload }
    try {
      if (request.type === 'rawReply') return await this.#rawReply(request)
      if (request.path === UP_RAW) return await this.#rawRequest(request)
      const answer = await this.#ask(request.keys, request.path, request.payload)
      return answer === null ? null : Buffer.from(answer.json)
    } catch (error) {
      const { keys, path } = request
      logFailed(this.#endpoint.log, error, { ...keys, path }, 'a request of a device failed')
      const told = answerTo(request.payload, codes.internal.code, 'the server failed, try again later')
      return told === null ? null : Buffer.from(told)
    }
  }

  async #ask(keys: DeviceKeys, path: string, payload: Buffer): Promise<Answer | null> {
    const answer = path.startsWith('combine/')
      ? await this.#combine(keys, path, payload)
      : await this.#endpoint.requests.answer({ keys, path, payload }, this)
    if (answer?.code === codes.unsupported.code) this.#carrier.odd('unsupported request', path)
    if (answer?.code === codes.noPermission.code) this.#carrier.odd('foreign topic', path)
    return answer
  }

  // --- a format of the product's own ---------------------------------------------------------------------------

  async #rawReply({ keys, payload }: SessionRequest): Promise<null> {
    const device = this.speaker(keys)
    const decoded = await this.#decode(keys, payload)
    const reply = decoded === null ? null : readReply(Buffer.from(JSON.stringify(decoded)))
    if (reply === null || device === null) this.#carrier.odd('garbage reply', keys.deviceKey)
    else if (this.#carrier.session()?.isInside(device.id, reply.commandId))
      this.#carrier.odd('stray answer', keys.deviceKey)
    else await this.#endpoint.engine.apply(device.id, reply)
    return null
  }

  /** What comes up in the product's own format says by its method what it is; its answer goes back in that format as well. */
  async #rawRequest({ keys, payload }: SessionRequest): Promise<Buffer | null> {
    // Nobody else's codec is troubled, and a payload that nobody can read has no id to answer to.
    if (this.#here.get(nameOf(keys))?.raw !== true) {
      this.#carrier.odd('foreign topic', UP_RAW)
      return null
    }
    const decoded = await this.#decode(keys, payload)
    const path = pathOf(isObject(decoded) ? decoded.method : undefined)
    if (path === null) {
      this.#carrier.odd('garbage payload', UP_RAW)
      return null
    }
    const answer = await this.#ask(keys, path, Buffer.from(JSON.stringify(decoded)))
    if (answer === null) return null
    const encoded = await this.#endpoint.codecs.encode(keys.productKey, JSON.parse(answer.json))
    // A device that wants no answer has a codec that makes none.
    if (encoded.ok) return encoded.value.length === 0 ? null : encoded.value
    this.#endpoint.codecFailed({ ...keys, reason: encoded.reason }, 'an answer was not encoded')
    this.#carrier.odd('not encoded', UP_RAW)
    return null
  }

  async #decode(keys: DeviceKeys, payload: Buffer): Promise<unknown> {
    const decoded = await this.#endpoint.codecs.decode(keys.productKey, payload)
    if (decoded.ok) return decoded.value
    this.#endpoint.codecFailed({ ...keys, reason: decoded.reason }, 'a payload was not decoded')
    return null
  }

  // --- sub-devices ---------------------------------------------------------------------------------------------

  async #combine(keys: DeviceKeys, path: string, payload: Buffer): Promise<Answer | null> {
    // Nobody is logged in or out over a connection that is over, and nobody is there to be answered.
    if (this.#isOver) return null
    const request = readRequest(payload)
    if (request === null) return null
    const { idJson, params } = request
    const tell = (code: number, data: object, message?: string): Answer => ({
      code,
      json: answerJson(idJson, code, data, message),
    })
    if (this.device === null || !isSame(keys, this.device))
      return tell(codes.noPermission.code, {}, 'only the gateway itself may ask for this')
    if (!this.#admitted.isGateway) return tell(codes.notAGateway.code, {}, "the device's product is no gateway")
    if (path === 'combine/login') return this.#login(params, tell)
    if (path === 'combine/login/batch') return this.#loginBatch(params, tell)
    if (path === 'combine/logout') return this.#logout(params, tell)
    return tell(codes.unsupported.code, {}, codes.unsupported.message)
  }

  async #login(params: unknown, tell: Tell): Promise<Answer> {
    const login = readSubLogin(params)
    if (login === null) return tell(codes.badFormat.code, {}, 'productKey, deviceKey, timestamp and sign are needed')
    const outcome = await this.#admit(login, this.#endpoint.fleet)
    if (isRefused(outcome)) return tell(outcome.code, {}, outcome.message)
    return tell(codes.ok.code, loggedIn(outcome))
  }

  /** Both lists always: two SDKs read them unseen. */
  async #loginBatch(params: unknown, tell: Tell): Promise<Answer> {
    const logins = readBatch(params)
    if (logins === null)
      return tell(
        codes.badFormat.code,
        { loginedSubDevices: [], failedSubDevices: [] },
        `subDevices must be a list of 1 to ${SUBDEVICES_ONLINE_MAX}`,
      )
    const directory = remembering(this.#endpoint.fleet)
    const outcomes: { readonly login: SubLogin | null; readonly outcome: SubAdmitted | SubRefusal }[] = []
    for (let from = 0; from < logins.length; from += LOGINS_AT_ONCE) {
      const some = logins.slice(from, from + LOGINS_AT_ONCE)
      outcomes.push(...(await Promise.all(some.map(login => this.#admitOne(login, directory)))))
      // Others have their turn: each of these is a look at the store and a digest.
      await new Promise<void>(resolve => this.#endpoint.defer(resolve))
    }
    const loginedSubDevices = outcomes.flatMap(({ outcome }) => (isRefused(outcome) ? [] : [loggedIn(outcome)]))
    const failed = outcomes.flatMap(({ login, outcome }) => (isRefused(outcome) ? [{ login, outcome }] : []))
    const failedSubDevices = failed.map(({ login }) => keysOf(login))
    const data = { loginedSubDevices, failedSubDevices }
    if (failed.length === 0) return tell(codes.ok.code, data)
    const why = failed.map(({ login, outcome }) => {
      const { productKey, deviceKey } = keysOf(login)
      return `${productKey}&${deviceKey} has error: ${outcome.code} ${outcome.message};`
    })
    const more = why.length > REASONS_TOLD ? ` and ${why.length - REASONS_TOLD} more` : ''
    return tell(codes.deviceDisabled.code, data, why.slice(0, REASONS_TOLD).join(' ') + more)
  }

  /** One of a batch: what goes wrong with it is told of it alone. */
  async #admitOne(login: SubLogin | null, directory: DeviceDirectory) {
    if (login === null) {
      const message = 'productKey, deviceKey or sign is missing'
      return { login, outcome: { code: codes.badFormat.code, message } }
    }
    try {
      return { login, outcome: await this.#admit(login, directory) }
    } catch (error) {
      const { productKey, deviceKey } = login
      logFailed(this.#endpoint.log, error, { productKey, deviceKey }, 'the login of a sub-device failed')
      return { login, outcome: { code: codes.internal.code, message: 'the server failed, try again later' } }
    }
  }

  /** Lets a sub-device in, or says why not. One that is here already is here: its SDK may only have lost the answer. */
  async #admit(login: SubLogin, directory: DeviceDirectory): Promise<SubAdmitted | SubRefusal> {
    const gateway = this.device
    if (gateway === null) return { code: codes.notAGateway.code, message: 'a channel has no sub-devices' }
    // A gateway must not find out secrets any faster than a device can.
    const { limit, clock } = this.#endpoint
    const source = gatewaySource(gateway)
    if (!limit.allows(source, login, clock.now()))
      return { code: codes.badSign.code, message: 'too many signs were wrong: wait before the next one' }
    const outcome = await admitSub(login, gateway, directory)
    if (isRefused(outcome)) {
      if (outcome.code === codes.badSign.code) limit.refused(source, login, clock.now())
      return outcome
    }
    limit.admitted(source, login)
    // Another node may have ended its session, and this one not have heard of it: a look at what is on record ends it here as well.
    if (this.#here.has(nameOf(outcome.device))) await this.#endpoint.engine.apply(outcome.device.id, { type: 'tick' })
    if (this.#here.has(nameOf(outcome.device))) return outcome
    return (await this.#letIn(outcome)) ?? outcome
  }

  async #letIn({ device, member }: SubAdmitted): Promise<SubRefusal | null> {
    // Those of a batch come in side by side, and are counted before they are here.
    if (this.#here.size + this.#entering > SUBDEVICES_ONLINE_MAX)
      return { code: codes.internal.code, message: `at most ${SUBDEVICES_ONLINE_MAX} may be logged in over a gateway` }
    this.#entering += 1
    const refusal = await this.connect(device, true, member.raw).finally(() => {
      this.#entering -= 1
    })
    if (refusal !== null) return { code: codes.deviceDisabled.code, message: refusal.message }
    const session = this.#carrier.session()
    if (session !== null) this.#carrier.carryOut(session.enter(member, this.#endpoint.clock.now()))
    return null
  }

  /** 200 also for a device that is not here, or does not exist: it is not logged in afterwards, and that was asked for. */
  async #logout(params: unknown, tell: Tell): Promise<Answer> {
    const keys = isObject(params) ? { productKey: params.productKey, deviceKey: params.deviceKey } : null
    if (keys === null || typeof keys.productKey !== 'string' || typeof keys.deviceKey !== 'string')
      return tell(codes.badFormat.code, {}, 'productKey and deviceKey are needed')
    const { productKey, deviceKey } = keys
    const device = this.speaker({ productKey, deviceKey })
    if (device !== null && device.id !== this.device?.id) this.#leave(device, 'logged out')
    await this.ended()
    return tell(codes.ok.code, { productKey, deviceKey })
  }
}

/** logins of one batch that are looked up side by side, in one turn of the loop */
const LOGINS_AT_ONCE = 32
/** reasons in the answer to a batch; SDKs look at the lists */
const REASONS_TOLD = 100

type Tell = (code: number, data: object, message?: string) => Answer

const keysOf = (login: DeviceKeys | null): DeviceKeys => ({
  productKey: login?.productKey ?? '',
  deviceKey: login?.deviceKey ?? '',
})

const loggedIn = ({ device: { assetId, productKey, deviceKey }, deviceSecret }: SubAdmitted): object => ({
  assetId,
  productKey,
  deviceKey,
  ...(deviceSecret === null ? {} : { deviceSecret }),
})

/** `thing.measurepoint.post` is `thing/measurepoint/post`; an event's id may hold dots. */
function pathOf(method: unknown): string | null {
  if (typeof method !== 'string') return null
  const [, event] = /^thing\.event\.(.+)\.post$/.exec(method) ?? []
  return event === undefined ? method.replaceAll('.', '/') : `thing/event/${event}/post`
}

/** One member as the engine holds it. */
class MemberLink implements Link {
  readonly #members: Members
  readonly #device: Device
  /** the engine has let go of it */
  isOver = false

  constructor(members: Members, device: Device) {
    this.#members = members
    this.#device = device
  }

  presence(): ReturnType<Link['presence']> {
    return this.#members.presence(this.#device.id)
  }

  publish(downlink: Downlink): Unsent['reason'] | null {
    return this.#members.publish(this.#device.id, downlink)
  }

  suspect(): void {
    this.#members.suspect(this.#device.id)
  }

  takenOver(): void {
    this.isOver = true
    this.#members.gone(this.#device, 'taken over', reasonCode.takenOver)
  }

  evicted(): void {
    this.isOver = true
    this.#members.gone(this.#device, 'kicked', reasonCode.administrative)
  }
}
