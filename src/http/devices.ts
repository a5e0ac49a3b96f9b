// Devices that speak HTTP: the three paths of the vendor's SDK, and the sessions behind them. Not here: a session (device-session.ts), who gets one
// (device-login.ts), what a request does (uplink/requests.ts), callers of the API, who have paths and credentials of their own (app.ts).

import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock, Timers } from '../clock.ts'
import { errors } from '../core/errors.ts'
import {
  HTTP_LOGIN_MAX_BYTES,
  HTTP_REPLIES_MAX,
  HTTP_SESSIONS_MAX,
  LOGIN_PAIR_EVERY_MS,
  PACKET_MAX_BYTES,
} from '../core/limits.ts'
import type { Engine } from '../engine.ts'
import type { Log } from '../log.ts'
import type { Intake } from '../proxy/intake.ts'
import type { Answer, Asker, Request } from '../uplink/asker.ts'
import { codes } from '../uplink/codes.ts'
import { logFailed } from '../uplink/failed.ts'
import type { LoginGate } from '../uplink/login-limit.ts'
import { answerTo, readReply } from '../uplink/payload.ts'
import { Sparing } from '../uplink/sparing.ts'
import { type DeviceKeys, readTopic, UP_RAW, type Uplink } from '../uplink/topics.ts'
import type { Turns } from '../uplink/turns.ts'
import { admitDevice, type LoginDirectory, readLogin, readLoginPath } from './device-login.ts'
import { DeviceSession, type SessionHost } from './device-session.ts'
import {
  type CommandHeaders,
  type DeviceRefusal,
  deviceEnvelope,
  httpCodes,
  isDevicePath,
  messageOf,
  refuse,
  unreadable,
} from './device-wire.ts'
import { parseQuery } from './signature.ts'
import { JSON_TYPE } from './wire.ts'

/** What is counted: fixed names, with a code of {@link codes} or {@link httpCodes}. */
export type DeviceCall = 'device login' | 'device request' | 'device reply' | 'device file' | 'device'

export interface HttpDevicesOptions {
  readonly engine: Pick<Engine, 'connect' | 'apply' | 'disconnect'>
  readonly fleet: LoginDirectory
  /** answers what devices ask for; never rejects. Null: the payload cannot be read as far as its id */
  readonly requests: { answer(request: Request, asker: Asker): Promise<Answer | null> }
  /** how often logins may be refused: the one that MQTT goes by, so that nobody gets a second set of attempts here */
  readonly limit: LoginGate
  readonly clock: Clock & Timers
  /** gives others their turn of the loop; without it requests are done as fast as they can be */
  readonly turns?: Turns
  readonly log: Log
  /** 256 bits of chance as text */
  readonly newSessionId: () => string
  readonly count: (call: DeviceCall, code: number) => void
  /** HTTP_SESSIONS_MAX unless said otherwise */
  readonly sessionsMax?: number
  /** knows where connections come from that a balancer passes on; null: they come from devices */
  readonly intake?: Pick<Intake, 'sourceOf'> | null
}

/** What a device is told. */
interface Told {
  readonly status: number
  readonly code: number
  readonly json: string
  readonly command: CommandHeaders | null
}

const told = (code: number, json: string, status = 200): Told => ({ status, code, json, command: null })
const refusal = (of: DeviceRefusal): Told => told(of.of.code, deviceEnvelope(of.of.code, {}, messageOf(of)), of.status)

export class HttpDevices {
  readonly #options: HttpDevicesOptions
  readonly #host: SessionHost
  readonly #sessions = new Map<string, DeviceSession>()
  /** numbers of the devices that have one; nobody has two, because the engine ends the first when it takes the second */
  readonly #devices = new Set<number>()
  readonly #refusedLogins: Sparing
  #entering = 0
  /** answers to commands that the engine has, and has not answered */
  #replies = 0
  #isStopping = false

  constructor(options: HttpDevicesOptions) {
    this.#options = options
    const { engine, clock, log, turns = null } = options
    this.#host = { engine, clock, turns, gone: session => this.#forget(session) }
    this.#refusedLogins = new Sparing(clock, log)
  }

  /** For metrics: devices that have a session here. */
  gauges(): { readonly sessions: number } {
    return { sessions: this.#sessions.size }
  }

  /**
   * Adds the paths to a server. While it stops, answers to commands are still taken, and nothing else; when its connections are closed, all sessions
   * end, and that is on record.
   */
  register(app: FastifyInstance): void {
    app.register(async scope => {
      scope.setErrorHandler((error: FastifyError, request, reply) => this.#failed(error, request, reply))
      scope.addHook('preClose', async () => {
        this.#isStopping = true
      })
      scope.addHook('onClose', () => this.#endAll())
      const refuseFiles = async (_: FastifyRequest, reply: FastifyReply) => this.#send(reply, 'device file', noFiles)
      // The vendor's sample of a device has a slash at the end of the server's URL, and its SDK puts another behind it.
      for (const slash of ['', '/']) {
        scope.all(`${slash}/auth/*`, { bodyLimit: HTTP_LOGIN_MAX_BYTES }, async (request, reply) =>
          this.#send(reply, 'device login', await this.#logIn(request)),
        )
        // Before the body is read, which is for devices that are logged in: strangers could fill the memory with such.
        const onRequest = async (request: FastifyRequest, reply: FastifyReply) => this.#refuseStranger(request, reply)
        const topics = { bodyLimit: PACKET_MAX_BYTES, onRequest }
        scope.all(`${slash}/topic/*`, topics, (request, reply) => this.#topic(request, reply))
        // Before as well: files may be of any size.
        scope.all(`${slash}/multipart/*`, { onRequest: refuseFiles }, refuseFiles)
      }
    })
  }

  /** For what the server refuses before it comes to a path. False: the path is none of ours, so that nothing was sent. */
  refuse(request: FastifyRequest, reply: FastifyReply, why: 'foreign' | 'badUrl', message: string): boolean {
    if (!isDevicePath(request.raw.url ?? '')) return false
    const of = why === 'foreign' ? refuse(httpCodes.foreign, message, 403) : unreadable(message, 400)
    this.#send(reply, 'device', refusal(of))
    return true
  }

  async #endAll(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map(session => session.end('server stopping')))
  }

  #forget(session: DeviceSession): void {
    this.#sessions.delete(session.sessionId)
    this.#devices.delete(session.device.id)
  }

  #send(reply: FastifyReply, call: DeviceCall, { status, code, json, command }: Told): FastifyReply {
    this.#options.count(call, code)
    const retryAfterMs = retryAfter[status]
    if (retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(retryAfterMs / 1000))
    if (status === 405) reply.header('allow', 'POST')
    if (command !== null) reply.headers({ ...command })
    return reply.code(status).type(JSON_TYPE).send(json)
  }

  #failed(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { statusCode = 500 } = error
    if (statusCode === 413) {
      const of = refuse(httpCodes.tooLarge, 'the body of a login may have 4 KiB, that of a message 128 KiB', 413)
      return this.#send(reply, 'device', refusal(of))
    }
    if (statusCode < 500) return this.#send(reply, 'device', refusal(unreadable(error.message, 400)))
    logFailed(this.#options.log, error, { requestId: request.id }, 'a call of a device failed')
    return this.#send(reply, 'device', refusal(refuse(codes.internal, 'try again later', 500)))
  }

  // --- login ---------------------------------------------------------------------------------------------------

  async #logIn(request: FastifyRequest): Promise<Told> {
    const { limit, clock, intake } = this.#options
    const { socket } = request.raw
    const source = (intake ? intake.sourceOf(socket) : socket.remoteAddress) ?? ''
    if (request.method !== 'POST') return refusal(notPost)
    if (this.#isStopping) return refusal(stopping)
    const keys = readLoginPath(pathOf(request))
    if (!limit.allows(source, keys, clock.now())) return refusal(refuse(httpCodes.limited, 'check the secret', 429))
    const outcome = keys === null ? noKeys : await this.#enter(keys, bodyOf(request))
    if (outcome instanceof DeviceSession) {
      limit.admitted(source, keys)
      return told(codes.ok.code, deviceEnvelope(codes.ok.code, { sessionId: outcome.sessionId }, ''))
    }
    // What lies with the server is not held against anybody.
    if (outcome.status < 500) limit.refused(source, keys, clock.now())
    this.#refusedLogins.warn({ ...keys, source, code: outcome.of.code, reason: messageOf(outcome) }, 'login refused')
    return refusal(outcome)
  }

  async #enter(keys: DeviceKeys, body: Buffer): Promise<DeviceSession | DeviceRefusal> {
    const login = readLogin(body)
    if (!login.ok) return login
    const admitted = await admitDevice(keys, login, this.#options.fleet)
    if (!admitted.ok) return admitted
    const { device, isCustom } = admitted
    const { sessionsMax = HTTP_SESSIONS_MAX } = this.#options
    if (this.#sessions.size + this.#entering >= sessionsMax && !this.#devices.has(device.id))
      return refuse(codes.overloaded, 'as many devices have a session as may', 503)
    const { lifetimeMs, takesInvocations } = login
    const sessionId = this.#options.newSessionId()
    const session = new DeviceSession({ sessionId, device, lifetimeMs, takesInvocations, isCustom }, this.#host)
    this.#entering += 1
    const answer = await this.#options.engine.connect(device.id, session)
    this.#entering -= 1
    if (!answer.ok) return notConnected(answer.code)
    // While that was made durable, somebody else may have become this device, or it may have been disabled.
    if (session.isOver) return refuse(codes.overloaded, 'the device has logged in elsewhere in the same moment', 503)
    this.#sessions.set(sessionId, session)
    this.#devices.add(device.id)
    session.begin(answer.session)
    return session
  }

  // --- messages ------------------------------------------------------------------------------------------------

  #refuseStranger(request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
    if (request.method !== 'POST') return this.#send(reply, 'device', refusal(notPost))
    const session = this.#sessionOf(request)
    return session instanceof DeviceSession ? undefined : this.#send(reply, 'device', refusal(session))
  }

  async #topic(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    // Looked for again: it may have ended while the body was on its way.
    const session = this.#sessionOf(request)
    if (!(session instanceof DeviceSession)) return this.#send(reply, 'device', refusal(session))
    session.seen()
    const uplink = readTopic(`/${pathOf(request)}`)
    if (uplink?.type === 'reply')
      return this.#send(reply, 'device reply', await this.#reply(session, uplink.keys, bodyOf(request)))
    if (this.#isStopping) return this.#send(reply, 'device request', refusal(stopping))
    return this.#send(reply, 'device request', await this.#request(session, uplink, request))
  }

  #sessionOf(request: FastifyRequest): DeviceSession | DeviceRefusal {
    const { url = '' } = request.raw
    const at = url.indexOf('?')
    const query = parseQuery(at < 0 ? '' : url.slice(at + 1))
    if (!query.ok) return unreadable(query.message, 400)
    const sessionId = query.values.get('sessionId') ?? ''
    if (sessionId === '') return refuse(httpCodes.notLoggedIn, 'the query has no sessionId', 401)
    return this.#sessions.get(sessionId) ?? refuse(httpCodes.notLoggedIn, 'the session of this sessionId is over', 401)
  }

  /** An answer to a command. Its own response never carries one: the vendor's SDK does not look for commands there. */
  async #reply(session: DeviceSession, keys: DeviceKeys, body: Buffer): Promise<Told> {
    if (session.speaker(keys) === null) return refusal(refuse(codes.noPermission, 'the topic is of another device'))
    const reply = readReply(body)
    if (reply === null) return refusal(unreadable('an answer is a JSON object with the id of its command'))
    // A device may hang up and come again: what it said is with the engine all the same, for as long as the store is away.
    if (this.#replies >= HTTP_REPLIES_MAX)
      return refusal(refuse(codes.overloaded, 'too many answers wait for the store: send it again', 503))
    this.#replies += 1
    const answer = await this.#options.engine.apply(session.device.id, reply)
    this.#replies -= 1
    if (!answer.ok) return refusal(refuse(codes.internal, 'the answer was not stored: send it again', 500))
    if (answer.outcome === 'ignored') return refusal(refuse(httpCodes.noSuchCommand, `id ${reply.commandId}`))
    const message = answer.outcome === 'late' ? 'too late: the command is over, and stays as it is' : ''
    return told(codes.ok.code, deviceEnvelope(codes.ok.code, {}, message))
  }

  async #request(session: DeviceSession, uplink: Uplink | null, request: FastifyRequest): Promise<Told> {
    const payload = bodyOf(request)
    const performed = session.perform(
      () => this.#answer(session, uplink, payload),
      () => willLeave(request),
    )
    if (performed === null)
      return refusal(refuse(codes.overloaded, 'too many requests of this session wait for their answers', 503))
    const { answer, command } = await performed
    return { ...answer, command }
  }

  async #answer(session: DeviceSession, uplink: Uplink | null, payload: Buffer): Promise<Told> {
    const refusedWith = ({ of, detail }: DeviceRefusal): Told => {
      const message = messageOf({ of, detail })
      return told(of.code, answerTo(payload, of.code, message) ?? deviceEnvelope(of.code, {}, message))
    }
    if (uplink === null) return refusedWith(refuse(codes.noPermission, 'this is no topic of a device'))
    if (uplink.type !== 'request') return refusedWith(refuse(codes.unsupported, 'nothing was asked on this topic'))
    if (payload.length === 0) return refusedWith(refuse(codes.empty, 'the body is missing'))
    const { keys, path } = uplink
    if (path === UP_RAW || path.startsWith('combine/'))
      return refusedWith(refuse(codes.unsupported, 'over HTTP; connect by MQTT for it'))
    const answer = await this.#options.requests.answer({ keys, path, payload }, session)
    if (answer !== null) return told(answer.code, answer.json)
    return refusedWith(unreadable('the body must be a JSON object with an id'))
  }
}

/** ms, by HTTP status: when to come again */
const retryAfter: Readonly<Record<number, number>> = { 429: LOGIN_PAIR_EVERY_MS, 503: 1_000 }

const notPost = refuse(httpCodes.badMethod, '', 405)
const stopping = refuse(codes.overloaded, 'the server is stopping', 503)
const noKeys = unreadable('the path must be /auth/{productKey}/{deviceKey}')
const noFiles = refusal(
  refuse(codes.unsupported, 'files are not kept here; send the message to /topic without them', 501),
)

/** A device that was disabled or deleted between its proof and its session. */
function notConnected(code: number): DeviceRefusal {
  if (code === errors.denied.code) return refuse(codes.deviceDisabled, 'enable it first')
  if (code === errors.notFound.code) return refuse(codes.deviceNotFound, 'it was deleted')
  return refuse(codes.internal, 'try again later', 500)
}

/** What stands behind the first part of the path, percent-decoded. */
const pathOf = ({ params }: FastifyRequest): string => String((params as Record<string, unknown>)['*'] ?? '')

const NOTHING = Buffer.alloc(0)
const bodyOf = ({ body }: FastifyRequest): Buffer => (Buffer.isBuffer(body) ? body : NOTHING)

/** Whether the bytes of the response would still be handed to a socket that somebody holds. */
const willLeave = ({ raw: { socket } }: FastifyRequest): boolean => socket.writable && !socket.destroyed
