// The HTTP server: what there is to call, what the gateway itself refuses, and how answers are sent. Not here: who is asking and what is performed
// (perform.ts), what an action or a route does (commands.ts and the others), tokens and signatures.

import { randomBytes } from 'node:crypto'
import { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { authErrors, errors, invalid, overloaded, refuse } from '../core/errors.ts'
import {
  CONNECTIONS_CHECK_MS,
  HEADERS_WAIT_MS,
  HTTP_CONNECTIONS_MAX,
  KEEP_ALIVE_MS,
  REQUEST_WAIT_MS,
  TOKEN_LIFE_S,
} from '../core/limits.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics.ts'
import type { Intake } from '../proxy/intake.ts'
import { StoreUnavailable, WriteUnknown } from '../store/nodes.ts'
import type { AnyRoute } from './action.ts'
import { commands } from './commands.ts'
import { Connections } from './connections.ts'
import { registerConsole } from './console.ts'
import { isDevicePath } from './device-wire.ts'
import type { HttpDevices } from './devices.ts'
import { openapi } from './openapi.ts'
import { DOCUMENT, REFERENCE, TOKENS } from './openapi-fixed.ts'
import { isNavigationToPage } from './pages.ts'
import { isOverLoopback, type Performing, performAction, performerOf, readBody, unreadable } from './perform.ts'
import { registerReference } from './reference.ts'
import { resources, routes } from './routes.ts'
import type { TokenAnswer } from './tokens.ts'
import { envelope, failure, JSON_TYPE, type Result } from './wire.ts'

export interface AppOptions extends Performing {
  /** The server is about to stop: it is not ready, and keeps no connection, but serves on until it is closed. */
  readonly leaving: { readonly isLeaving: boolean }
  readonly metrics: Metrics
  readonly log: Log
  readonly maxInputBytes: number
  /** with auth open: the server listens beyond loopback on purpose, and Host is checked only of calls that come over loopback */
  readonly openBeyondLoopback: boolean
  /** devices that speak HTTP, on paths of their own; without them those paths do not exist */
  readonly devices?: HttpDevices
  /** routes beyond those that every server has: an emulator's */
  readonly routes?: readonly AnyRoute[]
  /** the folder of the console's files; absent: where the build puts them */
  readonly consoleFolder?: string
  /** takes PROXY headers off, where connections come from balancers; null: they come from callers */
  readonly intake?: Intake | null
}

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
      bodyLimit: Math.max(options.maxInputBytes, resource.bodyMaxBytes ?? 0),
      handler: async (request, reply) => {
        const { action, result } = await performAction(options, resource, request)
        count(options, `${resource.label}${action}`, result)
        return send(reply, request, result)
      },
    })
  const all = [...routes, ...(options.routes ?? [])]
  registerRoutes(app, options, all)
  registerReference(app, () => openapi(resources, all), options.auth)
  registerConsole(app, options.consoleFolder)
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

/** Those that somebody may take for one that a path has; of any other nothing is there. */
const VERBS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** Our own routes; and under their paths, for the verbs that they do not have, an answer that says which they do. */
function registerRoutes(app: FastifyInstance, options: AppOptions, all: readonly AnyRoute[]): void {
  const stopping = new AbortController()
  app.addHook('preClose', done => {
    stopping.abort()
    done()
  })
  const methodsOf = new Map<string, string[]>()
  for (const route of all) {
    const url = route.path.replace(/\{(\w+)\}/g, ':$1')
    methodsOf.set(url, [...(methodsOf.get(url) ?? []), route.method])
    const perform = performerOf(options, route, stopping.signal)
    app.route({
      method: route.method,
      url,
      exposeHeadRoute: false,
      handler: async (request, reply) => {
        const result = await perform(request)
        count(options, route.operationId, result)
        return send(reply, request, result)
      },
    })
  }
  for (const [url, methods] of methodsOf) {
    const others = VERBS.filter(verb => !methods.includes(verb))
    const handler = (request: FastifyRequest, reply: FastifyReply) => {
      const message = `this path takes ${methods.join(' or ')}, not ${request.method}`
      return send(reply.header('allow', methods.join(', ')), request, failure(invalid('method', message), null, 405))
    }
    app.route({ method: others, url, exposeHeadRoute: false, handler })
  }
}

const count = ({ metrics }: AppOptions, call: string, { code }: Result): void =>
  metrics.call(call, ourCodes.has(code) ? code : 'device')

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
  const message = `no such path or verb: the command API is POST ${commands.path}, tokens are POST ${TOKENS}/get and ${TOKENS}/refresh; all there is stands in GET ${DOCUMENT} and ${REFERENCE}`
  send(reply, request, failure(refuse(errors.notFound, message), null, 404))
}

function send(reply: FastifyReply, request: FastifyRequest, result: Result): FastifyReply {
  if (result.status === 503) reply.header('retry-after', '1')
  if (result.stream) {
    const { type, headers = {}, body } = result.stream
    return reply
      .code(result.status ?? 200)
      .headers(headers)
      .type(type)
      .send(body)
  }
  return reply
    .code(result.status ?? 200)
    .type(JSON_TYPE)
    .send(envelope(result, request.id))
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
 * known by Host, however else the server may be reached. What a link of another site may lead to are our pages: they do nothing by being looked at, and
 * whoever linked to them sees nothing of them.
 */
function refuseForeign(options: AppOptions, request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const { host, origin, 'sec-fetch-site': site } = request.headers
  const named = origin === undefined || origin === `http://${host}` || origin === `https://${host}`
  const isOurs = site === undefined || site === 'same-origin' || site === 'none'
  const sameOrigin = named && (isOurs || isNavigationToPage(request))
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

/** What fastify refuses before a handler runs, and what failed inside one. */
function onError(options: AppOptions, error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const status = error.statusCode ?? 500
  if (status === 413) {
    const message = `Request size limit exceeded: a body may have ${request.routeOptions.bodyLimit ?? options.maxInputBytes} bytes`
    return send(reply, request, failure(refuse(errors.invalidArgument, message), null, status))
  }
  if (status < 500) return send(reply, request, unreadable(error.message))
  if (error instanceof WriteUnknown) {
    options.log.warn({ err: error, requestId: request.id }, 'a call lost the store while it wrote')
    const message =
      'Service unavailable: the store was lost while it wrote; look whether it was done before you repeat it'
    return send(reply, request, failure(refuse(errors.outcomeUnknown, message), null, 503))
  }
  if (error instanceof StoreUnavailable) {
    options.log.warn({ err: error, requestId: request.id }, 'a call met no store')
    const message = 'Service unavailable: the store cannot be reached; come again in a second'
    return send(reply, request, failure(refuse(errors.unavailable, message), null, 503))
  }
  options.log.error({ err: error, requestId: request.id }, 'a call failed')
  return send(reply, request, failure(refuse(errors.internal, 'An unexpected error occurred'), null, 500))
}
