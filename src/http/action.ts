// What the server calls: actions of the vendor's API, one path and a query name `action`, and routes of our own under /v1. What each is given, and what it
// says of itself, from which the OpenAPI document is made. Types, and readers of bodies.
// Not here: who is asking and whether they may (perform.ts), what each does, schemas that several share (schemas.ts).

import type { Static, TObject, TSchema, TUnknown } from 'typebox'
import type { Clock } from '../clock.ts'
import { invalid, type Refusal } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import type { Engine } from '../engine.ts'
import type { Application, Fleet } from '../fleet/fleet.ts'
import type { Need } from '../fleet/grants.ts'
import type { Jobs } from '../jobs/runner.ts'
import type { Device, Store } from '../store/store.ts'
import type { Stream } from '../stream/stream.ts'
import type { DeviceKeys, Notice } from '../uplink/topics.ts'
import type { TokenService } from './tokens.ts'
import type { Result } from './wire.ts'

/** Tells a gateway, if it is connected, what became of a device of its topology. */
export type Notify = (gatewayId: number, notice: Notice, of: DeviceKeys) => Promise<void>

/** One authorised call: everything about who and which organization is settled. */
export interface Call {
  readonly engine: Engine
  readonly store: Store
  readonly fleet: Fleet
  readonly clock: Clock
  readonly notify: Notify
  readonly jobs: Jobs
  readonly changes: Stream
  readonly orgId: string
  readonly application: Application
  readonly appKey: string
  /** decoded, trimmed query values by name */
  readonly query: ReadonlyMap<string, string>
  /** the JSON body, undefined where there was none */
  readonly body: unknown
  /** the header Idempotency-Key, where the action takes one and it was sent: 1 to 255 printable ASCII characters */
  readonly idempotencyKey: string | null
}

/** A call about one device, which the query names and the caller may act on. */
export interface DeviceCall extends Call {
  readonly device: Device
}

/**
 * An example that is in the OpenAPI document, and that a test performs against a fresh server in open mode with examples/fleet.yaml, where mqtt_01 (asset
 * oxWwM9i5) is connected and answers, mqtt_03 (pN4cYd1E) was connected and is away, and no other device ever was.
 */
export interface Example {
  /** in a few words; unique within its operation */
  readonly summary: string
  /** query values; `action` and, where it is the demo's, `orgId` may be left out */
  readonly query?: Readonly<Record<string, string>>
  readonly path?: Readonly<Record<string, string>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** `code` of the answer; 0 if absent */
  readonly code?: number
  /** the HTTP status of the answer; 200 if absent */
  readonly status?: number
  /** of an answer with another code than 0: what it says, word for word */
  readonly msg?: string
  /** Of the answer, where it says more than the schema does. Shown; what is compared with a real answer is which fields there are. */
  readonly data?: unknown
  /** what stands beside data; likewise */
  readonly beside?: Readonly<Record<string, unknown>>
  /** examples that are performed first, in this order, each with what comes before it */
  readonly before?: readonly Before[]
}

/** An example of some operation that another one needs. */
export interface Before {
  readonly operationId: string
  /** its summary */
  readonly example: string
  /**
   * What of its answer the later ones use: a path into the answer, such as `data.commandId`, and the text that stands for it in their query, path, headers and
   * body. So an example can show an id that only a run can tell.
   */
  readonly gives?: Readonly<Record<string, string>>
}

/** What an action or a route says of itself. */
export interface Described {
  /** unique; camel case */
  readonly operationId: string
  readonly summary: string
  /** Markdown: what for, what it does not do, races */
  readonly description?: string
  /** Query parameters beyond those that every one of its kind has. Of a route they are read by their types: see {@link Route}. */
  readonly parameters: TObject
  /** absent: it takes none */
  readonly body?: TSchema
  /** `data` of an answer with code 0 */
  readonly data: TSchema
  /** what stands beside data */
  readonly beside?: TObject
  /** `data` of an answer with another code; absent: null */
  readonly failed?: TSchema
  /** codes other than 0 and those that every call may have (99400, 99403, 99500, 99503), by their names in errors.ts */
  readonly codes?: readonly string[]
  readonly examples: readonly Example[]
  /** Content-Type of an answer that goes on (Result.stream); `data` is then of each thing in it */
  readonly streams?: string
  /** whether it takes the header Idempotency-Key */
  readonly repeatable?: boolean
}

interface ActionBase extends Described {
  readonly methods: readonly string[]
  readonly needs: Need
  /** any other query name is refused: a misspelt commandId must not turn cancel one into cancel all */
  readonly strict: boolean
}
/** Of one device, which the query names. */
export interface DeviceAction extends ActionBase {
  readonly about: 'device'
  run(call: DeviceCall): Promise<Result>
}
/** Of the organization, or of what its query or body names. */
export interface OrganizationAction extends ActionBase {
  readonly about: 'organization'
  run(call: Call): Promise<Result>
}
export type Action = DeviceAction | OrganizationAction

/** What an action is about: one path, on which the query's `action` says what is wanted. */
export interface Resource {
  readonly path: string
  /** before the action in metrics; empty for commands, which had theirs before there was anything else */
  readonly label: string
  /** the group in the reference */
  readonly tag: string
  /** where a body may be larger than an ordinary command's */
  readonly bodyMaxBytes?: number
  readonly actions: ReadonlyMap<string, Action>
}

/** A call of a route of our own: its parts are as their schemas say. */
export interface RouteCall<Parameters = unknown, Body = unknown, Names = unknown> extends Call {
  /** the query, orgId left out */
  readonly parameters: Parameters
  readonly body: Body
  /** values of the `{names}` in the path */
  readonly path: Names
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** when the token that the call carries ends, in epoch ms of the wall clock; null with auth open */
  readonly expireAt: number | null
  /** Aborted when the server begins to stop: an answer that goes on (Result.stream) ends then. That the caller has gone destroys its stream. */
  readonly stopping: AbortSignal
}

/**
 * A route of our own, under /v1: path values, query and body are checked by their schemas before `run`, unknown names are refused. orgId is in every query,
 * but for those that the administrator calls, and those that are for any caller.
 *
 * Values of the path and the query are text and are read by the type of their schema: `integer` and `number` from decimal text, `boolean` from `true` and
 * `false`, `array` from elements with commas between; anything else stays text. A schema's `default` is for readers only. The caller has a grant for `needs`
 * with some scope; which devices it covers is for the route to honour (grants.ts, reachOf and allows).
 */
export interface Route extends Described {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** `/v1/commands/{commandId}/explain` */
  readonly path: string
  /** the group in the reference */
  readonly tag: string
  /** of the path's `{names}` */
  readonly names?: TObject
  readonly needs: Need
  run(call: RouteCall): Promise<Result>
}

/** A route that only who has the administrator's token may call (DOWNLINK_ADMIN_TOKEN), for any organization. */
export interface AdminRoute extends Omit<Route, 'needs' | 'run'> {
  readonly needs: 'administrator'
  run(call: AdminCall): Promise<Result>
}
export interface AdminCall<Parameters = unknown, Body = unknown, Names = unknown>
  extends Pick<
    RouteCall<Parameters, Body, Names>,
    'engine' | 'store' | 'fleet' | 'clock' | 'query' | 'parameters' | 'body' | 'path'
  > {
  readonly tokens: Pick<TokenService, 'issueToOperator'>
}

/** A route for whoever is calling, whatever his grants and his organization: it names none. */
export interface CallerRoute extends Omit<Route, 'needs' | 'run'> {
  readonly needs: 'nothing'
  run(call: CallerCall): Promise<Result>
}
export interface CallerCall<Parameters = unknown, Body = unknown, Names = unknown>
  extends Pick<
    RouteCall<Parameters, Body, Names>,
    'store' | 'fleet' | 'clock' | 'query' | 'parameters' | 'body' | 'path'
  > {
  readonly auth: 'signature' | 'open'
  /** who has proved to be calling; null with auth open, where nobody has to */
  readonly application: Application | null
  /** when the token that the call carries ends, in epoch ms of the wall clock; null with auth open */
  readonly expireAt: number | null
}

export type AnyRoute = Route | AdminRoute | CallerRoute

/** A route with the schemas' own types in its calls. */
interface Typed<P extends TObject, B extends TSchema, N extends TObject> {
  readonly parameters: P
  readonly body?: B
  readonly names?: N
}

/** A route whose `run` is given parameters, body and path in the types of their schemas, which they were checked by. */
export const route = <P extends TObject, B extends TSchema = TUnknown, N extends TObject = TObject>(
  of: Omit<Route, keyof Typed<P, B, N> | 'run'> &
    Typed<P, B, N> & { run(call: RouteCall<Static<P>, Static<B>, Static<N>>): Promise<Result> },
): Route => of

/** The same for the administrator. */
export const adminRoute = <P extends TObject, B extends TSchema = TUnknown, N extends TObject = TObject>(
  of: Omit<AdminRoute, keyof Typed<P, B, N> | 'needs' | 'run'> &
    Typed<P, B, N> & { run(call: AdminCall<Static<P>, Static<B>, Static<N>>): Promise<Result> },
): AdminRoute => ({ ...of, needs: 'administrator' })

/** The same for any caller. */
export const callerRoute = <P extends TObject, B extends TSchema = TUnknown, N extends TObject = TObject>(
  of: Omit<CallerRoute, keyof Typed<P, B, N> | 'needs' | 'run'> &
    Typed<P, B, N> & { run(call: CallerCall<Static<P>, Static<B>, Static<N>>): Promise<Result> },
): CallerRoute => ({ ...of, needs: 'nothing' })

/** The fields of a body that is an object; none where there is no body. */
export function objectBody(body: unknown): { readonly fields: ReadonlyMap<string, unknown> } | Refusal {
  if (body === undefined) return { fields: new Map() }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return invalid('body', 'must be a JSON object')
  return { fields: new Map(Object.entries(body)) }
}

/** Whether a body says nothing: clients that must send one send an empty one. */
export const isEmptyBody = (body: unknown): boolean =>
  body === undefined || body === null || (isObject(body) && Object.keys(body).length === 0)
