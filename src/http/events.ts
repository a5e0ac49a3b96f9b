// The stream of changes over HTTP: as Server-Sent Events for who stays, and by page for scripts. Not here: how a stream is read and ends (event-stream.ts),
// what an event says (stream/event.ts), webhooks (webhooks.ts).

import Type from 'typebox'
import type { State } from '../core/command.ts'
import { errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import { STREAM_PAGE_MAX } from '../core/limits.ts'
import { type Need, reachOf } from '../fleet/grants.ts'
import { operatorOf } from '../fleet/operators.ts'
import type { ChangeFilter } from '../store/stream.ts'
import { cursorOf, readCursor } from '../stream/cursor.ts'
import { eventText } from '../stream/event.ts'
import { type Route, type RouteCall, route } from './action.ts'
import { EventStream } from './event-stream.ts'
import { commandId, commandType, deviceIdentity, instant, key, maybe, state } from './schemas.ts'
import { failure, ok, refused } from './wire.ts'

const READ: Need = { resource: 'Asset', action: 'Read' }

export const cursor = Type.String({
  $id: 'Cursor',
  pattern: '^[A-Za-z0-9_-]{12}$',
  'x-rule': 'must be a cursor: the id of an event, or what a page gave as next',
  description: 'A place in the stream of changes. Nothing else may be read into it.',
})

const Latency = Type.Object({
  waitedMs: maybe(Type.Integer({ description: 'From its creation until it was sent.' })),
  answeredMs: maybe(Type.Integer({ description: 'From then until its end.' })),
  totalMs: maybe(Type.Integer({ description: 'From its creation until its end.' })),
})

/** What every event says; one that is told in the stream has an id besides. */
export const eventFields = {
  seq: Type.Integer({
    minimum: 1,
    description: 'Number of the event among those of its device: 1, 2, 3, … without a gap.',
  }),
  commandId: maybe(commandId),
  device: Type.Object(deviceIdentity),
  from: maybe(state),
  to: maybe(state),
  state: maybe(Type.String({ description: 'The name of `to`.' })),
  at: instant('When it happened.'),
  by: Type.String({ description: 'The appKey of who did it, `device`, or what in the server did.' }),
  reason: Type.String(),
  detail: Type.Unknown({ description: 'What else there is to say; depends on the reason.' }),
  latency: maybe(Latency),
  command: maybe(
    Type.Object({
      commandType,
      tslIdentifier: Type.String(),
      code: maybe(Type.Integer({ description: 'Why it ended as it did; null before that.' })),
    }),
  ),
}

export const event = Type.Object(
  { id: cursor, ...eventFields },
  {
    $id: 'Event',
    description:
      'A command came to be (`from` null) or went from one state to another; it got a late answer (`from` equals `to`); or something happened to the device itself (`commandId` null). The same `id` each time it is told.',
  },
)

/** What may be asked for, of a stream, a page or a webhook. */
export const wanted = {
  productKey: Type.Optional(key('Only of devices of this product.')),
  assetId: Type.Optional(key('Only of this device.')),
  state: Type.Optional(
    Type.Array(state, {
      minItems: 1,
      maxItems: 7,
      uniqueItems: true,
      description:
        'Only transitions into one of these states. Without it also late answers, and what happened to devices themselves.',
    }),
  ),
}

interface Asked {
  readonly productKey?: string
  readonly assetId?: string
  readonly state?: readonly number[]
}

/** What the call asks for, as far as the caller's grants reach. */
export function filterOf({ orgId, application }: Pick<RouteCall, 'orgId' | 'application'>, asked: Asked): ChangeFilter {
  const reach = reachOf(application, READ) ?? { productKeys: [], assetIds: [] }
  const { productKey = null, assetId = null, state } = asked
  return { orgId, reach, productKey, assetId, to: state === undefined ? null : (state as readonly State[]) }
}

/**
 * Refused where it names a product or a device that the organization does not have: it would match nothing, and look as if nothing happened. 11611 and 99404
 * with the names of the parameters, which stand under `path`.
 */
export async function unknownIn(
  { fleet, orgId }: Pick<RouteCall, 'fleet' | 'orgId'>,
  { productKey, assetId }: Asked,
  path = '',
): Promise<Refusal | null> {
  if (productKey !== undefined && (await fleet.product(productKey))?.orgId !== orgId)
    return refuse(errors.productNotFound, `${path}productKey: the organization has no product ${productKey}`)
  if (assetId !== undefined && (await fleet.deviceByAsset(assetId))?.orgId !== orgId)
    return refuse(errors.notFound, `${path}assetId: the organization has no device ${assetId}`)
  return null
}

/**
 * The same for who begins. Who goes on with a cursor may read of what has been deleted meanwhile, and so may who begins with the oldest, where the first look
 * finds something.
 */
async function unknownAtBeginning(
  call: Pick<RouteCall, 'fleet' | 'orgId' | 'application' | 'changes'>,
  asked: Asked & Beginning,
  after: number,
  hasCursor: boolean,
): Promise<Refusal | null> {
  const refusal = hasCursor ? null : await unknownIn(call, asked)
  if (refusal === null) return null
  const page = await call.changes.page(after, filterOf(call, asked), 1)
  return page !== 'gone' && page.changes.length > 0 ? null : refusal
}

interface Beginning {
  readonly after?: string
  readonly from?: 'now' | 'oldest'
}

/** The position after which to begin. Refused where something in between is missing, or the cursor is of another store. */
async function beginningOf(
  { store, headers }: Pick<RouteCall, 'store' | 'headers'>,
  { after, from }: Beginning,
  byDefault: 'now' | 'oldest',
): Promise<number | Refusal> {
  // Who comes again sends what he had last, and what he was first called with.
  const last = headers['last-event-id']
  const [text, name] = last === undefined || last === '' ? [after, 'after'] : [String(last), 'Last-Event-ID']
  if (after !== undefined && from !== undefined) return invalid('from', 'does not go together with after')
  const { given, lost } = await store.streamEnds()
  if (text === undefined) return (from ?? byDefault) === 'now' ? given : lost
  const read = readCursor(text, name)
  if (!read.ok) return read
  if (read.position < lost)
    return refuse(errors.cursorGone, 'changes after this cursor have been purged; begin anew, without a cursor')
  if (read.position > given)
    return refuse(
      errors.cursorGone,
      'this cursor is not of this store, or of one that was restored since; begin anew, without a cursor',
    )
  return read.position
}

const beginning = {
  after: Type.Optional(cursor),
  from: (byDefault: 'now' | 'oldest') =>
    Type.Optional(
      Type.Enum(['now', 'oldest'], {
        default: byDefault,
        description:
          'Where to begin without a cursor: with what happens from now on, or with the oldest that is kept without a gap.',
      }),
    ),
}
const aheadOfAll = cursorOf(2 ** 50)
const gone = {
  summary: 'A cursor that is none any more',
  query: { after: aheadOfAll },
  code: errors.cursorGone.code,
  status: 410,
}
const unknownNames = [
  { summary: 'A product that does not exist', query: { productKey: 'nothing' }, code: errors.productNotFound.code },
  { summary: 'A device that does not exist', query: { assetId: 'nothing' }, code: errors.notFound.code },
]
const noCursor = { summary: 'No cursor at all', query: { after: 'yesterday' }, code: errors.invalidArgument.code }

const followEvents = route({
  method: 'GET',
  path: '/v1/events',
  tag: 'Events',
  operationId: 'followEvents',
  summary: 'What happens, as it happens (Server-Sent Events)',
  description: `Every transition of every command, late answers, and what happens to devices, each as \`event: change\` with its cursor as \`id\` and an Event as \`data\`; for each device in the order in which it happened. At least once: who comes again with the header \`Last-Event-ID\` (browsers do by themselves) or \`after\` misses nothing, and may get again what he had not read.

\`event: cursor\` says how far the stream is where nothing was for the caller; keep its id like that of any other. A comment comes every 15 s. The stream ends after 2 h, when the server stops, when the caller's grants change, or where the caller reads nothing for 30 s: come again. \`event: gone\` before the end, or HTTP 410 (99411) at the beginning: what comes after the cursor has been purged; begin without one. HTTP 503: there are as many streams as may be.

*Try it out* on this page does not show a stream: it waits for the end of the answer. Use a program, such as \`curl -N\`.`,
  needs: READ,
  parameters: Type.Object({ ...wanted, after: beginning.after, from: beginning.from('now') }),
  data: event,
  streams: 'text/event-stream',
  codes: ['cursorGone', 'productNotFound', 'notFound'],
  examples: [
    { summary: 'From now on' },
    { summary: 'How commands end', query: { state: '2,3,5,6,7' } },
    ...unknownNames,
    noCursor,
    gone,
  ],
  run: async call => {
    const { changes, fleet, application, orgId, expireAt, stopping } = call
    const after = await beginningOf(call, call.parameters, 'now')
    if (typeof after !== 'number') return refused(after)
    const hasCursor = call.parameters.after !== undefined || Boolean(call.headers['last-event-id'])
    const unknown = await unknownAtBeginning(call, call.parameters, after, hasCursor)
    if (unknown !== null) return failure(unknown)
    const leave = changes.enter(orgId)
    if (leave === null)
      return refused(
        refuse(errors.unavailable, 'Service unavailable: there are too many streams; close one, or come again'),
      )
    const filter = filterOf(call, call.parameters)
    const isAllowed = async (): Promise<boolean> => {
      const now = await fleet.application(application.appKey)
      // A new secret has ended the tokens that the old one got, and so what was opened with one of them.
      const isSame = now !== null && now.orgId === orgId && now.secret.reveal() === application.secret.reveal()
      // A program gets another token; what a person was given ends when it was said to.
      const isOver = expireAt !== null && operatorOf(application) !== null && call.clock.wall() >= expireAt
      const reach = isSame && !isOver ? reachOf(now, READ) : null
      return JSON.stringify(reach) === JSON.stringify(filter.reach)
    }
    const { follower, realClock: clock } = changes
    const told = (count: number) => changes.told(count)
    const body = new EventStream({ follower, filter, after, clock, stopping, isAllowed, told })
    body.once('close', leave)
    const headers = { 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' }
    return { ...ok(null), stream: { type: 'text/event-stream;charset=UTF-8', headers, body } }
  },
})

const listChanges = route({
  method: 'GET',
  path: '/v1/changes',
  tag: 'Events',
  operationId: 'listChanges',
  summary: 'What has happened, by page',
  description:
    'The same events in the same order as the stream has them. `next` beside data goes into `after` for the next page; it is never null, since there may be more later. `more` says whether there is more now. A page may be empty though there is more: go by `more`. Several nodes give a change its place up to some hundred milliseconds after it happened.',
  needs: READ,
  parameters: Type.Object({
    ...wanted,
    after: beginning.after,
    from: beginning.from('oldest'),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: STREAM_PAGE_MAX, default: STREAM_PAGE_MAX })),
  }),
  data: Type.Array(event),
  beside: Type.Object({ next: cursor, more: Type.Boolean() }),
  codes: ['cursorGone', 'productNotFound', 'notFound'],
  examples: [
    { summary: 'The oldest that are kept', query: { limit: '10' } },
    { summary: 'What failed and what timed out', query: { state: '6,7' } },
    { summary: 'Where the stream is now', query: { from: 'now', limit: '1' } },
    ...unknownNames,
    noCursor,
    gone,
  ],
  run: async call => {
    const { limit = STREAM_PAGE_MAX } = call.parameters
    const after = await beginningOf({ ...call, headers: {} }, call.parameters, 'oldest')
    if (typeof after !== 'number') return refused(after)
    const unknown = await unknownAtBeginning(call, call.parameters, after, call.parameters.after !== undefined)
    if (unknown !== null) return failure(unknown)
    const page = await call.changes.page(after, filterOf(call, call.parameters), limit)
    // It was purged while it was read.
    if (page === 'gone')
      return refused(refuse(errors.cursorGone, 'changes after this cursor have just been purged; begin anew'))
    call.changes.told(page.changes.length)
    const data = page.changes.map(change => JSON.parse(eventText(change)))
    return ok(data, { next: cursorOf(page.upTo), more: page.isFull })
  },
})

export const changeRoutes: readonly Route[] = [followEvents, listChanges]
