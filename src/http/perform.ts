// From a request to what an action or a route answers, in steps: who is asking, for which organization, what is asked for, and whether they may. Not here: the
// server and what it refuses by itself (app.ts), what each does, tokens and signatures (tokens.ts).

import { createHash, timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { TSchema } from 'typebox'
import type { Clock } from '../clock.ts'
import { authErrors, errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import { isJson, parseJson } from '../core/json.ts'
import { IDEMPOTENCY_KEY_MAX_CHARS, QUERY_MAX_BYTES } from '../core/limits.ts'
import type { Engine } from '../engine.ts'
import type { Application, Fleet } from '../fleet/fleet.ts'
import { allows, type Need, reachOf } from '../fleet/grants.ts'
import type { Jobs } from '../jobs/runner.ts'
import type { Device, Store } from '../store/store.ts'
import type { Stream } from '../stream/stream.ts'
import type { Action, AdminRoute, AnyRoute, Call, CallerRoute, Notify, Resource, Route } from './action.ts'
import { isEmptyBody } from './action.ts'
import { checker, type Plain, readText, unknownName } from './check.ts'
import { parseQuery, type Query } from './signature.ts'
import type { TokenService } from './tokens.ts'
import { failure, type Result } from './wire.ts'

export interface Performing {
  readonly engine: Engine
  readonly store: Store
  readonly fleet: Fleet
  readonly tokens: TokenService
  readonly clock: Clock
  readonly notify: Notify
  readonly changes: Stream
  readonly jobs: Jobs
  /** `open`: nobody is asked for credentials; see docs/http.md */
  readonly auth: 'signature' | 'open'
  /** what the administrator's calls carry as bearer token; null or absent: with auth signature nobody may make them */
  readonly adminToken?: string | null
}

/** query names that every action of a device has, and those that every action of an organization has */
const OF_DEVICE = ['action', 'orgId', 'assetId', 'productKey', 'deviceKey']
const OF_ORGANIZATION = ['action', 'orgId']

/** Steps in order: a call that is not authentic learns nothing about fleets, one without a grant nothing about commands. */
export async function performAction(
  options: Performing,
  { actions }: Resource,
  request: FastifyRequest,
): Promise<{ action: string; result: Result }> {
  const unknown = (result: Result) => ({ action: 'unknown', result })
  const caller = await authenticate(options, request)
  if (!caller.ok) return unknown(caller.result)
  const name = caller.query.get('action') ?? ''
  const action = actions.get(name)
  if (action === undefined) return unknown(failure(unknownAction(name, actions)))
  if (options.auth === 'open' && mayBeAnImage(request, action.needs))
    return { action: name, result: failure(refuse(errors.denied, imageMessage), null, 403) }
  return { action: name, result: await runAction(options, request, action, caller) }
}

const unknownAction = (name: string, actions: Resource['actions']): Refusal =>
  name === ''
    ? invalid('action', 'action is missing')
    : invalid('action', `unknown action; it is one of ${[...actions.keys()].join(', ')}`)

async function runAction(
  options: Performing,
  request: FastifyRequest,
  action: Action,
  { query, application }: Authentic,
): Promise<Result> {
  if (!action.methods.includes(request.method))
    return failure(invalid('action', `this action takes ${action.methods.join(' or ')}, not ${request.method}`))
  const stray = strayName(query, action)
  if (stray !== null) return failure(stray)
  const caller = await callerFor(options, query, application)
  if ('ok' in caller) return failure(caller)

  const device = action.about === 'device' ? await findDevice(options.fleet, query, caller.orgId) : null
  if (device !== null && 'ok' in device) return failure(device)
  const denied = device === null ? deniedAll(caller, action.needs) : deniedOf(caller, action.needs, device)
  if (denied !== null) return failure(denied)
  const idempotencyKey = action.repeatable ? keyOf(request) : null
  if (typeof idempotencyKey === 'object' && idempotencyKey !== null) return failure(idempotencyKey)
  const body = readBody(request.body)
  if (!body.ok) return body.result
  const call = callOf(options, caller, query, body.value, idempotencyKey)
  if (action.about === 'organization') return action.run(call)
  return device === null ? failure(refuse(errors.notFound, 'device not found')) : action.run({ ...call, device })
}

const callOf = (
  { engine, store, fleet, clock, notify, changes, jobs }: Performing,
  application: Application,
  query: ReadonlyMap<string, string>,
  body: unknown,
  idempotencyKey: string | null,
): Call => {
  const { orgId, appKey } = application
  return { engine, store, fleet, clock, notify, changes, jobs, orgId, application, appKey, query, body, idempotencyKey }
}

/** What is done for each call of a route; its schemas are compiled here, once. */
export function performerOf(
  options: Performing,
  route: AnyRoute,
  stopping: AbortSignal,
): (request: FastifyRequest) => Promise<Result> {
  const shape = shapeOf(route)
  if (isForAdministrator(route)) return request => runAdminRoute(options, route, shape, request)
  if (isForAnyCaller(route)) return request => runCallerRoute(options, route, shape, request)
  return request => runRoute(options, route, shape, request, stopping)
}

const isForAdministrator = (route: AnyRoute): route is AdminRoute => route.needs === 'administrator'
const isForAnyCaller = (route: AnyRoute): route is CallerRoute => route.needs === 'nothing'

async function runRoute(
  options: Performing,
  route: Route,
  shape: Shape,
  request: FastifyRequest,
  stopping: AbortSignal,
): Promise<Result> {
  const authentic = await authenticate(options, request)
  if (!authentic.ok) return authentic.result
  const { query, application, expireAt } = authentic
  if (options.auth === 'open' && mayBeAnImage(request, route.needs))
    return failure(refuse(errors.denied, imageMessage), null, 403)
  const stray = shape.strayName(query, ['orgId'])
  if (stray !== null) return failure(stray)
  const caller = await callerFor(options, query, application)
  if ('ok' in caller) return failure(caller)
  const denied = deniedAll(caller, route.needs)
  if (denied !== null) return failure(denied)
  const idempotencyKey = route.repeatable ? keyOf(request) : null
  if (typeof idempotencyKey === 'object' && idempotencyKey !== null) return failure(idempotencyKey)
  const read = shape.read(request, query)
  if (!read.ok) return read.result
  const call = callOf(options, caller, query, read.body, idempotencyKey)
  const { parameters, path } = read
  return route.run({ ...call, parameters, path, headers: request.headers, expireAt, stopping })
}

async function runCallerRoute(
  options: Performing,
  route: CallerRoute,
  shape: Shape,
  request: FastifyRequest,
): Promise<Result> {
  const authentic = await authenticate(options, request)
  if (!authentic.ok) return authentic.result
  const { query, application, expireAt } = authentic
  const stray = shape.strayName(query, [])
  if (stray !== null) return failure(stray)
  const read = shape.read(request, query)
  if (!read.ok) return read.result
  const { store, fleet, clock, auth } = options
  const { parameters, path, body } = read
  return route.run({ store, fleet, clock, auth, application, expireAt, query, parameters, path, body })
}

async function runAdminRoute(
  options: Performing,
  route: AdminRoute,
  shape: Shape,
  request: FastifyRequest,
): Promise<Result> {
  const parsed = queryOf(request)
  if (!parsed.ok) return parsed.result
  const rejected = options.auth === 'open' ? null : rejectedAdministrator(options.adminToken ?? null, request)
  if (rejected !== null) return rejected
  const { values: query } = parsed.query
  const stray = shape.strayName(query, [])
  if (stray !== null) return failure(stray)
  const read = shape.read(request, query)
  if (!read.ok) return read.result
  const { engine, store, fleet, tokens, clock } = options
  const { parameters, path, body } = read
  return route.run({ engine, store, fleet, tokens, clock, query, parameters, path, body })
}

/** Null for who has the administrator's token. It is compared by its digest, so that nothing is learned from how long that takes. */
function rejectedAdministrator(adminToken: string | null, { headers }: FastifyRequest): Result | null {
  if (adminToken === null) {
    const next = 'start the server with DOWNLINK_ADMIN_TOKEN (at least 32 characters) and send it as a bearer token'
    return failure(refuse(errors.denied, `Denied resource:  there is no administrator; ${next}`), null, 403)
  }
  const given = headers.authorization ?? ''
  if (given === '')
    return rejected(refuse(authErrors.missing, 'header authorization is missing: Bearer and the administrator token'))
  const [, token = ''] = /^Bearer +(\S+)$/i.exec(given) ?? []
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  if (timingSafeEqual(digest(token), digest(adminToken))) return null
  return rejected(
    refuse(authErrors.badParameter, 'header authorization is not Bearer and the value of DOWNLINK_ADMIN_TOKEN'),
  )
}

/** How the parts of a route's calls are read and checked. */
interface Shape {
  /** the refusal of a query name that the route does not have */
  strayName(query: ReadonlyMap<string, string>, common: readonly string[]): Refusal | null
  read(
    request: FastifyRequest,
    query: ReadonlyMap<string, string>,
  ):
    | { readonly ok: true; readonly parameters: unknown; readonly path: unknown; readonly body: unknown }
    | { readonly ok: false; readonly result: Result }
}

function shapeOf(route: AnyRoute): Shape {
  const { parameters, names } = route
  const body: (TSchema & Plain) | undefined = route.body
  const queryOf = textsOf(parameters)
  const pathOf = names === undefined ? null : textsOf(names)
  const bodyFault = body === undefined ? noBody : checker(body, 'body')
  const known = Object.keys(parameters.properties)
  return {
    strayName: (query, common) => {
      const all = [...common, ...known]
      const name = [...query.keys()].find(name => !all.includes(name))
      return name === undefined ? null : invalid(printable(name), unknownName(name, all))
    },
    read: (request, query) => {
      const inPath = new Map(Object.entries(request.params as Readonly<Record<string, string>>))
      const path = pathOf === null ? { ok: true as const, value: {} } : pathOf(inPath)
      if (!path.ok) return { ok: false, result: failure(path) }
      const parameters = queryOf(query)
      if (!parameters.ok) return { ok: false, result: failure(parameters) }
      const read = readBody(request.body)
      if (!read.ok) return read
      // Who has nothing to say need not say it with braces.
      const value = read.value === undefined && body?.type === 'object' ? {} : read.value
      const fault = bodyFault(value)
      if (fault !== null) return { ok: false, result: failure(fault) }
      return { ok: true, path: path.value, parameters: parameters.value, body: value }
    },
  }
}

const noBody = (body: unknown): Refusal | null =>
  isEmptyBody(body) ? null : invalid('body', 'there is none in this call')

/** Reads texts by name as the values that a schema's properties are of, and checks them. What the schema does not have is left out. */
function textsOf(schema: Route['parameters']) {
  const properties: readonly (readonly [string, Plain])[] = Object.entries(schema.properties)
  const faultOf = checker(schema, '')
  return (texts: ReadonlyMap<string, string>): { readonly ok: true; readonly value: unknown } | Refusal => {
    const value = Object.fromEntries(
      properties.flatMap(([name, property]) => {
        const text = texts.get(name)
        return text === undefined ? [] : [[name, readText(property, text)]]
      }),
    )
    return faultOf(value) ?? { ok: true, value }
  }
}

type Authentic = {
  readonly ok: true
  readonly query: ReadonlyMap<string, string>
  /** null in open mode */
  readonly application: Application | null
  /** epoch ms, when the token that the call carries ends; null in open mode */
  readonly expireAt: number | null
}
type Rejected = { readonly ok: false; readonly result: Result }

async function authenticate(options: Performing, request: FastifyRequest): Promise<Authentic | Rejected> {
  const parsed = queryOf(request)
  if (!parsed.ok) return parsed
  const { query } = parsed
  if (options.auth === 'open') return { ok: true, query: query.values, application: null, expireAt: null }
  const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
  const caller = await options.tokens.authenticate(request.headers, query, body, options.clock.wall())
  if (!caller.ok) return { ok: false, result: rejected(caller) }
  return { ok: true, query: query.values, application: caller.application, expireAt: caller.expireAt }
}

/** Of a call that does not prove who makes it. */
const rejected = ({ code, message }: Refusal): Result => ({
  code,
  msg: message,
  data: null,
  beside: { status: code },
  status: 401,
})

function queryOf(request: FastifyRequest): { readonly ok: true; readonly query: Query } | Rejected {
  const raw = request.raw.url ?? ''
  const at = raw.indexOf('?')
  const text = at < 0 ? '' : raw.slice(at + 1)
  if (text.length > QUERY_MAX_BYTES) return { ok: false, result: tooLong }
  const query = parseQuery(text)
  return query.ok ? { ok: true, query } : { ok: false, result: failure(query) }
}

const tooLong = failure(
  refuse(errors.invalidArgument, `Request size limit exceeded: the query may have ${QUERY_MAX_BYTES} bytes`),
  null,
  413,
)

/** A name that the action does not have: refused where the action is strict, and everywhere if only its case is wrong. */
function strayName(query: ReadonlyMap<string, string>, action: Action): Refusal | null {
  const common = action.about === 'device' ? OF_DEVICE : OF_ORGANIZATION
  const known = [...new Set([...common, ...Object.keys(action.parameters.properties)])]
  for (const name of query.keys()) {
    if (known.includes(name)) continue
    const meant = known.find(other => other.toLowerCase() === name.toLowerCase())
    if (meant) return invalid(printable(name), `unknown parameter, did you mean ${meant}?`)
    if (action.strict) return invalid(printable(name), `unknown parameter; this action takes ${known.join(', ')}`)
  }
  return null
}

const printable = (name: string): string => name.slice(0, 64).replace(/[^\x20-\x7e]/g, '?')

/** Who the call is made as: the application that signed it, of the organization named; in open mode the first that the organization has. */
async function callerFor(
  options: Performing,
  query: ReadonlyMap<string, string>,
  application: Application | null,
): Promise<Application | Refusal> {
  const orgId = query.get('orgId') ?? ''
  if (orgId === '') return invalid('orgId', 'orgId is missing')
  if ((await options.fleet.organization(orgId)) === null) return invalid('orgId', ' orgId does not exist')
  const caller = application ?? (await options.fleet.firstApplication(orgId))
  if (caller === null) return refuse(errors.denied, `Denied resource:  orgId ${orgId} has no application to act as`)
  return caller.orgId === orgId ? caller : refuse(errors.denied, `Denied resource:  orgId ${orgId}`)
}

const deniedOf = (caller: Application, needs: Need, device: Device): Refusal | null =>
  allows(caller, needs, device)
    ? null
    : refuse(errors.denied, `Denied resource:  ${needs.resource} ${device.assetId} needs ${needs.action}`)

/** With a grant for anything of the kind, what exactly it covers is for the action itself to honour. */
const deniedAll = (caller: Application, needs: Need): Refusal | null =>
  reachOf(caller, needs) === null
    ? refuse(
        errors.denied,
        `Denied resource:  orgId ${caller.orgId} needs a grant for ${needs.resource}: ${needs.action}`,
      )
    : null

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

/** The header Idempotency-Key; null where there is none. Sent twice, node joins the two with a comma and a blank: that is one key, and the same each time. */
function keyOf({ headers }: FastifyRequest): string | Refusal | null {
  const key = headers['idempotency-key'] ?? null
  if (key === null) return null
  if (typeof key === 'string' && key.length <= IDEMPOTENCY_KEY_MAX_CHARS && /^[\x20-\x7e]+$/.test(key)) return key
  return invalid('Idempotency-Key', `must be 1 to ${IDEMPOTENCY_KEY_MAX_CHARS} printable characters of ASCII`)
}

/** The JSON of a body; undefined where there is none. */
export function readBody(body: unknown): { ok: true; value: unknown } | Rejected {
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

export const unreadable = (why: string): Result =>
  failure(refuse(errors.invalidArgument, `Cannot process request body: ${why}`), null, 400)

/** A socket that is closed already has no address, and counts as the stricter of the two. */
export const isOverLoopback = ({ socket: { localAddress = '' } }: FastifyRequest): boolean =>
  /^(|::1|(::ffff:)?127\..*)$/i.test(localAddress)

/**
 * To an address that is not loopback browsers send no Sec-Fetch-Site over plain HTTP, so the GET of a page's image looks like any other. What a page
 * cannot send to another origin without asking first is a header of its own, and the vendor's clients always send such a one.
 */
const mayBeAnImage = (request: FastifyRequest, needs: Need): boolean =>
  request.method === 'GET' &&
  needs.action !== 'Read' &&
  !isOverLoopback(request) &&
  !Object.keys(request.headers).some(name => name.startsWith('apim-'))

const imageMessage =
  'Denied resource:  in open mode a GET that changes something needs an apim-accesstoken header, whatever its value; or use POST'
