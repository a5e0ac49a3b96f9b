// The HTTP server: who is asking, which action, what the gateway itself refuses. Not here: what an action does (commands.ts), tokens and signatures.

import { randomBytes } from 'node:crypto'
import { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import type { Clock } from '../clock.ts'
import { authErrors, errors, invalid, overloaded, type Refusal, refuse } from '../core/errors.ts'
import { isJson, parseJson } from '../core/json.ts'
import {
  CONNECTIONS_CHECK_MS,
  HEADERS_WAIT_MS,
  HTTP_CONNECTIONS_MAX,
  KEEP_ALIVE_MS,
  QUERY_MAX_BYTES,
  REQUEST_WAIT_MS,
  TOKEN_LIFE_S,
} from '../core/limits.ts'
import type { Engine } from '../engine.ts'
import { type Application, allows, type Fleet } from '../fleet/fleet.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Intake } from '../proxy/intake.ts'
import { StoreUnavailable } from '../store/nodes.ts'
import type { Device, Store } from '../store/store.ts'
import type { Action, Notify, Resource } from './action.ts'
import { commands } from './commands.ts'
import { Connections } from './connections.ts'
import { isDevicePath } from './device-wire.ts'
import type { HttpDevices } from './devices.ts'
import { devices } from './manage.ts'
import { events, measurepoints } from './measurepoints.ts'
import { parseQuery, type Query } from './signature.ts'
import type { TokenAnswer, TokenService } from './tokens.ts'
import { envelope, failure, JSON_TYPE, type Result } from './wire.ts'

export interface AppOptions {
  readonly engine: Engine
  /** The server is about to stop: it is not ready, and keeps no connection, but serves on until it is closed. */
  readonly leaving: { readonly isLeaving: boolean }
  readonly store: Store
  readonly fleet: Fleet
  readonly tokens: TokenService
  readonly clock: Clock
  readonly metrics: Metrics
  readonly log: Log
  readonly notify: Notify
  readonly maxInputBytes: number
  /** `open`: nobody is asked for credentials; see docs/http.md */
  readonly auth: 'signature' | 'open'
  /** with auth open: the server listens beyond loopback on purpose, and Host is checked only of calls that come over loopback */
  readonly openBeyondLoopback: boolean
  /** devices that speak HTTP, on paths of their own; without them those paths do not exist */
  readonly devices?: HttpDevices
  /** takes PROXY headers off, where connections come from balancers; null: they come from callers */
  readonly intake?: Intake | null
}

/** What there is to call, one path each. */
const resources: readonly Resource[] = [commands, devices, measurepoints, events]
const TOKENS = '/apim-token-service/v2.0/token'
/** query names that every action has */
const COMMON = ['action', 'orgId', 'assetId', 'productKey', 'deviceKey']

const newRequestId = (): string => randomBytes(16).toString('hex')

export function buildApp(options: AppOptions): FastifyInstance {
  const connections = new Connections(newRequestId)
  const app = fastify({
    logger: false,
    bodyLimit: options.maxInputBytes,
    forceCloseConnections: 'idle',
    genReqId: newRequestId,
    // One server with bounds on every connection. By itself fastify listens on each address of localhost with a server of its own, of which only
    // the first can be given bounds.
    serverFactory: handler => {
      const bounds = {
        headersTimeout: HEADERS_WAIT_MS,
        requestTimeout: REQUEST_WAIT_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
      }
      const server = connections.createServer(bounds, handler)
      options.intake?.guard(server)
      return server
    },
    // Each of these would otherwise be answered in another shape than the envelope.
    clientErrorHandler: (error, socket) => connections.refuse(error, socket),
    frameworkErrors: (_error, request, reply) => {
      const message = 'the path is not well percent-encoded'
      if (!options.devices?.refuse(request, reply, 'badUrl', message)) noSuchPath(request, reply)
    },
    return503OnClosing: false,
    // The raw query is what is signed; it is parsed once, by signature.ts.
    routerOptions: { querystringParser: () => ({}) },
  })
  app.server.maxConnections = HTTP_CONNECTIONS_MAX
  readAnyBody(app)
  refuseWhileStopping(app, options)
  if (options.auth === 'open')
    app.addHook('onRequest', (request, reply, done) => refuseForeign(options, request, reply, done))
  app.setErrorHandler((error: FastifyError, request, reply) => onError(options, error, request, reply))
  app.addHook('onSend', async (_request, reply) => {
    if (options.leaving.isLeaving) reply.header('connection', 'close')
  })
  app.setNotFoundHandler((request, reply) => noSuchPath(request, reply))

  for (const resource of resources)
    app.route({
      method: ['GET', 'POST'],
      url: resource.path,
      handler: async (request, reply) => {
        const { action, result } = await call(options, resource, request)
        options.metrics.call(`${resource.label}${action}`, ourCodes.has(result.code) ? result.code : 'device')
        return send(reply, request, result)
      },
    })
  app.post(`${TOKENS}/get`, (request, reply) => token(options, 'get', request, reply))
  app.post(`${TOKENS}/refresh`, (request, reply) => token(options, 'refresh', request, reply))
  app.get('/healthz', (_request, reply) => reply.type(JSON_TYPE).send('{"status":"up"}'))
  app.get('/readyz', (_request, reply) => ready(options, reply))
  app.get('/metrics', async (_request, reply) =>
    reply.type(options.metrics.registry.contentType).send(await options.metrics.text(options.clock.now())),
  )
  options.devices?.register(app)
  return app
}

/** What is counted by itself; the codes of devices are theirs to choose, so they are counted as one. */
const ourCodes: ReadonlySet<number> = new Set(
  [...Object.values(errors), ...Object.values(authErrors)].map(({ code }) => code),
)

/** The raw body is what is signed. Whatever its declared type, even one that is malformed, and whatever the verb, it is read as JSON. */
function readAnyBody(app: FastifyInstance): void {
  app.addHook('onRequest', (request, _reply, done) => {
    delete request.raw.headers['content-type']
    done()
  })
  app.addHttpMethod('GET', { hasBody: true, overrideExisting: true })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
}

/** Calls may still come on connections that are open when the server begins to stop. Devices may still answer then, so they see to themselves. */
function refuseWhileStopping(app: FastifyInstance, options: AppOptions): void {
  let stopping = false
  app.addHook('preClose', done => {
    stopping = true
    done()
  })
  app.addHook('onRequest', (request, reply, done) => {
    if (!stopping || (options.devices !== undefined && isDevicePath(request.raw.url ?? ''))) return done()
    send(reply, request, failure(overloaded('the server is stopping'), null, 503))
  })
}

function noSuchPath(request: FastifyRequest, reply: FastifyReply): void {
  const message = `no such path or verb: the command API is POST ${commands.path}, tokens are POST ${TOKENS}/get and ${TOKENS}/refresh`
  send(reply, request, failure(refuse(errors.notFound, message), null, 404))
}

function send(reply: FastifyReply, request: FastifyRequest, result: Result): FastifyReply {
  if (result.status === 503) reply.header('retry-after', '1')
  return reply
    .code(result.status ?? 200)
    .type(JSON_TYPE)
    .send(envelope(result, request.id))
}

/** Steps in order: a call that is not authentic learns nothing about fleets, one without a grant nothing about commands. */
async function call(
  options: AppOptions,
  { actions }: Resource,
  request: FastifyRequest,
): Promise<{ action: string; result: Result }> {
  const raw = request.raw.url ?? ''
  const at = raw.indexOf('?')
  const text = at < 0 ? '' : raw.slice(at + 1)
  const unknown = (result: Result) => ({ action: 'unknown', result })
  if (text.length > QUERY_MAX_BYTES) return unknown(tooLong)
  const query = parseQuery(text)
  if (!query.ok) return unknown(failure(query))

  const caller = await authenticate(options, request, query)
  if (!caller.ok) return unknown(caller.result)
  const name = query.values.get('action') ?? ''
  const action = actions.get(name)
  if (action === undefined) return unknown(failure(unknownAction(name, actions)))
  if (options.auth === 'open' && mayBeAnImage(request, action))
    return { action: name, result: failure(refuse(errors.denied, imageMessage), null, 403) }
  const result = await perform(options, request, query.values, action, caller.application)
  return { action: name, result }
}

const tooLong = failure(
  refuse(errors.invalidArgument, `Request size limit exceeded: the query may have ${QUERY_MAX_BYTES} bytes`),
  null,
  413,
)

const unknownAction = (name: string, actions: Resource['actions']): Refusal =>
  name === ''
    ? invalid('action', 'action is missing')
    : invalid('action', `unknown action; it is one of ${[...actions.keys()].join(', ')}`)

async function perform(
  options: AppOptions,
  request: FastifyRequest,
  query: ReadonlyMap<string, string>,
  action: Action,
  application: Application | null,
): Promise<Result> {
  if (!action.methods.includes(request.method))
    return failure(invalid('action', `this action takes ${action.methods.join(' or ')}, not ${request.method}`))
  const stray = strayName(query, action)
  if (stray !== null) return failure(stray)

  const orgId = query.get('orgId') ?? ''
  if (orgId === '') return failure(invalid('orgId', 'orgId is missing'))
  if ((await options.fleet.organization(orgId)) === null) return failure(invalid('orgId', ' orgId does not exist'))
  const caller = application ?? (await options.fleet.firstApplication(orgId))
  if (caller === null)
    return failure(refuse(errors.denied, `Denied resource:  orgId ${orgId} has no application to act as`))
  if (caller.orgId !== orgId) return failure(refuse(errors.denied, `Denied resource:  orgId ${orgId}`))

  const device = await findDevice(options.fleet, query, orgId)
  if ('ok' in device) return failure(device)
  if (!allows(caller, action.needs, device))
    return failure(refuse(errors.denied, `Denied resource:  Asset ${device.assetId} needs ${action.needs}`))
  const body = readBody(request.body)
  if (!body.ok) return body.result
  const { engine, store, fleet, clock, notify } = options
  return action.run({ engine, store, fleet, clock, notify, appKey: caller.appKey, device, query, body: body.value })
}

/** A name that the action does not have: refused where the action is strict, and everywhere if only its case is wrong. */
function strayName(query: ReadonlyMap<string, string>, action: Action): Refusal | null {
  const known = [...COMMON, ...action.parameters]
  for (const name of query.keys()) {
    if (known.includes(name)) continue
    const meant = known.find(other => other.toLowerCase() === name.toLowerCase())
    if (meant) return invalid(printable(name), `unknown parameter, did you mean ${meant}?`)
    if (action.strict) return invalid(printable(name), `unknown parameter; this action takes ${known.join(', ')}`)
  }
  return null
}

const printable = (name: string): string => name.slice(0, 64).replace(/[^\x20-\x7e]/g, '?')

async function findDevice(fleet: Fleet, query: ReadonlyMap<string, string>, orgId: string): Promise<Device | Refusal> {
  const assetId = query.get('assetId') ?? ''
  const productKey = query.get('productKey') ?? ''
  const deviceKey = query.get('deviceKey') ?? ''
  if (assetId === '' && (productKey === '' || deviceKey === '')) {
    const missing = productKey === '' && deviceKey !== '' ? 'productKey' : productKey !== '' ? 'deviceKey' : 'assetId'
    return invalid(missing, 'the device identifier is missing: give assetId, or productKey and deviceKey')
  }
  // Another organization's device is not there: which refusal it is must not tell either that it exists.
  const within = (device: Device | null) => (device?.orgId === orgId ? device : null)
  const byAsset = assetId === '' ? null : within(await fleet.deviceByAsset(assetId))
  const byKeys = productKey === '' || deviceKey === '' ? null : within(await fleet.deviceByKeys(productKey, deviceKey))
  const device = byAsset ?? byKeys
  if (device === null) return refuse(errors.notFound, 'device not found')
  const isMeant =
    ['', device.assetId].includes(assetId) &&
    ['', device.productKey].includes(productKey) &&
    ['', device.deviceKey].includes(deviceKey)
  return isMeant ? device : invalid('assetId', 'names another device than productKey and deviceKey')
}

function readBody(body: unknown): { ok: true; value: unknown } | { ok: false; result: Result } {
  if (!Buffer.isBuffer(body) || body.length === 0) return { ok: true, value: undefined }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    return { ok: false, result: unreadable('it is not UTF-8') }
  }
  const parsed = parseJson(text)
  if (parsed.ok) return parsed
  // JSON that would be rounded, or is nested too deep, was read: then it is an argument that is wrong, and the caller looks at the code.
  return { ok: false, result: isJson(text) ? failure(parsed) : unreadable(parsed.message) }
}

const unreadable = (why: string): Result =>
  failure(refuse(errors.invalidArgument, `Cannot process request body: ${why}`), null, 400)

type Caller =
  | { readonly ok: true; readonly application: Application | null }
  | { readonly ok: false; readonly result: Result }

async function authenticate(options: AppOptions, request: FastifyRequest, query: Query): Promise<Caller> {
  if (options.auth === 'open') return { ok: true, application: null }
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
  const caller = await options.tokens.authenticate(request.headers, query, body, options.clock.wall())
  if (caller.ok) return caller
  const { code, message } = caller
  const result: Result = { code, msg: message, data: null, beside: { status: code }, status: 401 }
  return { ok: false, result }
}

async function token(options: AppOptions, what: 'get' | 'refresh', request: FastifyRequest, reply: FastifyReply) {
  const answer = await tokenAnswer(options, what, request)
  options.metrics.call(`token ${what}`, answer.status)
  const { status, msg, data } = answer
  return reply
    .type(JSON_TYPE)
    .send(JSON.stringify({ status, msg, business: 'apim-token-service', requestId: request.id, data }))
}

/** In open mode every application gets a token, since no call looks at it. */
async function tokenAnswer(
  options: AppOptions,
  what: 'get' | 'refresh',
  request: FastifyRequest,
): Promise<TokenAnswer> {
  if (options.auth === 'open') return { status: 0, msg: 'SUCCESS', data: { accessToken: 'open', expire: TOKEN_LIFE_S } }
  const body = readBody(request.body)
  if (!body.ok) return { status: authErrors.badParameter.code, msg: body.result.msg, data: null }
  return options.tokens[what](body.value, options.clock.wall())
}

async function ready(options: AppOptions, reply: FastifyReply): Promise<FastifyReply> {
  reply.type(JSON_TYPE)
  if (options.leaving.isLeaving) return reply.code(503).send('{"status":"the server is about to stop"}')
  if (!options.engine.mayPublish())
    return reply.code(503).send('{"status":"the lease of this node is over: the store does not answer"}')
  try {
    await options.store.ping()
    return reply.send('{"status":"ready"}')
  } catch (error) {
    options.log.warn({ err: error }, 'not ready: the store does not answer')
    return reply.code(503).send('{"status":"the store does not answer"}')
  }
}

/**
 * In open mode whoever reaches the server may do anything, so a web page must not reach it: neither from its own origin nor by DNS rebinding. A
 * browser names no Origin where a page only loads something, such as an image; then Sec-Fetch-Site tells. A name that was rebound to loopback is
 * known by Host, however else the server may be reached.
 */
function refuseForeign(options: AppOptions, request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const { host, origin, 'sec-fetch-site': site } = request.headers
  const named = origin === undefined || origin === `http://${host}` || origin === `https://${host}`
  const sameOrigin = named && (site === undefined || site === 'same-origin' || site === 'none')
  const hostIsOurs =
    (options.openBeyondLoopback && !isOverLoopback(request)) || (host !== undefined && isLoopbackHost(host))
  if (sameOrigin && hostIsOurs) {
    done()
    return
  }
  const message = `Denied resource:  a foreign ${sameOrigin ? 'Host' : 'Origin'} may not call a server in open mode`
  if (options.devices?.refuse(request, reply, 'foreign', message)) return
  send(reply, request, failure(refuse(errors.denied, message), null, 403))
}

const isLoopbackHost = (host: string): boolean => /^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?$/i.test(host)

/** A socket that is closed already has no address, and counts as the stricter of the two. */
const isOverLoopback = ({ socket: { localAddress = '' } }: FastifyRequest): boolean =>
  /^(|::1|(::ffff:)?127\..*)$/i.test(localAddress)

/**
 * To an address that is not loopback browsers send no Sec-Fetch-Site over plain HTTP, so the GET of a page's image looks like any other. What a page
 * cannot send to another origin without asking first is a header of its own, and the vendor's clients always send such a one.
 */
const mayBeAnImage = (request: FastifyRequest, action: Action): boolean =>
  request.method === 'GET' &&
  action.needs === 'Control' &&
  !isOverLoopback(request) &&
  !Object.keys(request.headers).some(name => name.startsWith('apim-'))

const imageMessage =
  'Denied resource:  in open mode a GET that changes something needs an apim-accesstoken header, whatever its value; or use POST'

/** What fastify refuses before a handler runs, and what failed inside one. */
function onError(options: AppOptions, error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const status = error.statusCode ?? 500
  if (status === 413) {
    const message = `Request size limit exceeded: a body may have ${options.maxInputBytes} bytes`
    return send(reply, request, failure(refuse(errors.invalidArgument, message), null, status))
  }
  if (status < 500) return send(reply, request, unreadable(error.message))
  if (error instanceof StoreUnavailable) {
    options.log.warn({ err: error, requestId: request.id }, 'a call met no store')
    const message = 'Service unavailable: the store cannot be reached; come again in a second'
    return send(reply, request, failure(refuse(errors.unavailable, message), null, 503))
  }
  options.log.error({ err: error, requestId: request.id }, 'a call failed')
  return send(reply, request, failure(refuse(errors.internal, 'An unexpected error occurred'), null, 500))
}
