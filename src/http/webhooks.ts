// Webhooks of an organization: made, looked at, changed, tried; and what they were not told. Not here: what is sent, and when (stream/).

import { randomBytes } from 'node:crypto'
import Type, { type Static } from 'typebox'
import { errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import {
  DEAD_LETTERS_PAGE_MAX,
  WEBHOOK_GIVE_UP_MS,
  WEBHOOK_URL_MAX_CHARS,
  WEBHOOKS_MAX_PER_ORGANIZATION,
} from '../core/limits.ts'
import { type Need, reachOf } from '../fleet/grants.ts'
import { ClearSecret } from '../fleet/secrets.ts'
import type { DeadLetter, WebhookRow } from '../store/stream.ts'
import { readUrl } from '../stream/address.ts'
import { cursorOf, readCursor } from '../stream/cursor.ts'
import { isOfPurged } from '../stream/dead-letter.ts'
import { filterJson, readFilter } from '../stream/filter.ts'
import { type Example, type Route, type RouteCall, route } from './action.ts'
import { cursor, event, filterOf, unknownIn, wanted } from './events.ts'
import { instant, maybe, none } from './schemas.ts'
import { failure, ok, type Result, refused } from './wire.ts'

const FULL_ACCESS: Need = { resource: 'Organization', action: 'FullAccess' }
const READ: Need = { resource: 'Organization', action: 'Read' }
const TAG = 'Webhooks'

const webhookId = Type.String({ pattern: '^[0-9a-f]{20}$', 'x-rule': 'must be the id of a webhook' })
const names = Type.Object({ webhookId })
const url = Type.String({
  minLength: 1,
  maxLength: WEBHOOK_URL_MAX_CHARS,
  description: 'https, at a public address; http and any address where the server was started with `--webhooks any`.',
})
const filter = Type.Object(wanted, { description: 'What it is told; everything without it.' })
const secret = Type.String({ description: 'Signs what is sent. It is shown this once.' })

const Webhook = Type.Object(
  {
    webhookId,
    url: Type.String(),
    filter: Type.Object(wanted),
    paused: Type.Boolean(),
    createdBy: Type.String({
      description: 'The appKey of who made it. It is told what whoever set its filter could see at that moment.',
    }),
    createdAt: instant('When it was made.'),
    cursor,
    attempts: Type.Integer({ description: 'Failed ones since the last success.' }),
    failingSince: maybe(instant('When the first attempt after the last success failed.')),
    nextAt: maybe(instant('Not before this instant is the next attempt.')),
    lastError: maybe(Type.String()),
    lagMs: maybe(
      Type.Integer({
        description:
          'Age of the oldest change that it has not been told; 0: there is none. Null: some of what it has not been told was purged.',
      }),
    ),
    deadLetters: Type.Integer({ description: 'Changes that were given up.' }),
  },
  { $id: 'Webhook', description: 'Everything up to `cursor` was taken, or is among its dead letters.' },
)

const Answered = Type.Object({
  outcome: Type.Enum(['taken', 'refused', 'unreachable', 'forbidden']),
  status: maybe(Type.Integer({ description: 'The HTTP status of its answer; null: there was none.' })),
  error: Type.String({ description: 'Why it counts as not taken; empty where it was.' }),
  text: Type.String({ description: 'The beginning of what it said.' }),
})

const Letter = Type.Object(
  {
    id: cursor,
    event: maybe(event),
    purged: maybe(
      Type.Object(
        { after: cursor, upTo: cursor },
        { description: 'Changes between these were purged before they could be sent.' },
      ),
    ),
    failedAt: instant('When it was given up.'),
    reason: Type.String({ description: 'What came of the last attempt.' }),
  },
  { $id: 'DeadLetter' },
)

// --- reading -------------------------------------------------------------------------------------------------------

/** Webhooks are of the whole organization. */
function deniedTo({ application }: RouteCall, need: Need): Refusal | null {
  if (reachOf(application, need) === 'all') return null
  return refuse(errors.denied, `Denied resource:  webhooks need ${need.resource}: ${need.action} with scope all`)
}

const missing = refuse(errors.notFound, 'webhook not found')

/** The webhook of the path, if it is the organization's and the caller may do this with it. */
async function withWebhook(
  call: RouteCall<unknown, unknown, Static<typeof names>>,
  need: Need,
  run: (row: WebhookRow) => Promise<Result>,
): Promise<Result> {
  const denied = deniedTo(call, need)
  if (denied !== null) return failure(denied)
  const row = await call.store.webhook(call.path.webhookId)
  return row === null || row.orgId !== call.orgId ? failure(missing) : run(row)
}

async function viewOf({ store, changes, clock }: RouteCall, row: WebhookRow): Promise<Static<typeof Webhook>> {
  const { webhookId, url, paused, createdBy, createdAt, attempts, failingSince, nextAt, lastError } = row
  const filter = readFilter(row.orgId, row.filterJson)
  const { productKey, assetId, to } = filter
  const page = await changes.page(row.position, filter, 1)
  const [first] = page === 'gone' ? [] : page.changes
  return {
    ...{ webhookId, url, paused, createdBy, createdAt, attempts, failingSince, nextAt, lastError },
    filter: {
      ...(productKey !== null && { productKey }),
      ...(assetId !== null && { assetId }),
      ...(to !== null && { state: [...to] }),
    },
    cursor: cursorOf(row.position),
    lagMs: page === 'gone' ? null : first === undefined ? 0 : Math.max(0, clock.now() - first.event.at),
    deadLetters: await store.countDeadLetters(webhookId),
  }
}

/** As it is by now. */
async function shown(
  call: RouteCall,
  webhookId: string,
  beside: Readonly<Record<string, string>> = {},
): Promise<Result> {
  const row = await call.store.webhook(webhookId)
  return row === null ? failure(missing) : ok({ ...(await viewOf(call, row)), ...beside })
}

const letterView = (letter: DeadLetter): Static<typeof Letter> => {
  const said = JSON.parse(letter.eventJson)
  const { position, failedAt, reason } = letter
  const what = isOfPurged(letter) ? { event: null, purged: said.purged } : { event: said, purged: null }
  return { id: cursorOf(position), ...what, failedAt, reason }
}

// --- routes --------------------------------------------------------------------------------------------------------

const newSecret = (): ClearSecret => new ClearSecret(`whsec_${randomBytes(32).toString('base64url')}`)

const SHOWN_ID = '5d0c1e2f3a4b5c6d7e8f'
const onThisMachine = 'A receiver on this machine'
const made = (example: string) => [{ operationId: 'createWebhook', example, gives: { 'data.webhookId': SHOWN_ID } }]
const path = { webhookId: SHOWN_ID }
const ofNone: Example = { summary: 'There is none', path: { webhookId: '0'.repeat(20) }, code: errors.notFound.code }

const createWebhook = route({
  method: 'POST',
  path: '/v1/webhooks',
  tag: TAG,
  operationId: 'createWebhook',
  summary: 'Be told of changes by POST',
  description: `From now on what happens is sent to the URL, in the order of the stream: \`{"webhookId", "events": [Event, …]}\`. 2xx takes it; anything else, and no answer within 10 s, is tried again, from after 1 s up to every 15 min, and what comes later waits. What has failed for ${WEBHOOK_GIVE_UP_MS / 3_600_000} h becomes a dead letter. At least once: know an event by its \`id\`. Needs Organization FullAccess and Asset Read, the former with scope all. The secret is shown here alone.`,
  needs: FULL_ACCESS,
  parameters: none,
  body: Type.Object({ url, filter: Type.Optional(filter), paused: Type.Optional(Type.Boolean({ default: false })) }),
  data: Type.Intersect([Webhook, Type.Object({ secret })]),
  codes: ['isOver', 'productNotFound', 'notFound'],
  examples: [
    {
      summary: 'How commands end',
      body: { url: 'https://example.com/hooks/downlink', filter: { state: [2, 3, 5, 6, 7] }, paused: true },
    },
    { summary: onThisMachine, body: { url: 'http://127.0.0.1:9/', paused: true } },
    {
      summary: 'A product that does not exist',
      body: { url: 'https://example.com/', filter: { productKey: 'nothing' } },
      code: errors.productNotFound.code,
    },
    { summary: 'No URL', body: { url: 'example.com' }, code: errors.invalidArgument.code },
    { summary: 'Not by HTTP', body: { url: 'ftp://example.com/' }, code: errors.invalidArgument.code },
  ],
  run: async call => {
    const denied = deniedTo(call, FULL_ACCESS) ?? deniedToSee(call)
    if (denied !== null) return failure(denied)
    const { store, fleet, clock, changes, orgId, appKey, body } = call
    const read = readUrl(body.url, changes.reachable)
    if (typeof read === 'string') return failure(invalid('url', read))
    const unknown = await unknownIn(call, body.filter ?? {}, 'body.filter.')
    if (unknown !== null) return failure(unknown)
    if ((await store.webhooks(orgId)).length >= WEBHOOKS_MAX_PER_ORGANIZATION)
      return failure(
        refuse(errors.isOver, `an organization has ${WEBHOOKS_MAX_PER_ORGANIZATION} webhooks at most; delete one`),
      )
    const webhookId = randomBytes(10).toString('hex')
    const clear = newSecret()
    await store.addWebhook({
      webhookId,
      orgId,
      url: read.url.href,
      secret: fleet.sealedWebhookSecret(webhookId, clear),
      filterJson: filterJson(filterOf(call, body.filter ?? {})),
      createdBy: appKey,
      createdAt: clock.now(),
      paused: body.paused ?? false,
      position: (await store.streamEnds()).given,
      ...{ attempts: 0, failingSince: null, nextAt: null, lastError: null },
    })
    changes.deliverer.changed()
    return shown(call, webhookId, { secret: clear.reveal() })
  },
})

/** Who may see no event may not have them sent either. */
const deniedToSee = ({ application }: RouteCall): Refusal | null =>
  reachOf(application, { resource: 'Asset', action: 'Read' }) === null
    ? refuse(errors.denied, 'Denied resource:  to be told of events needs a grant for Asset: Read')
    : null

const listWebhooks = route({
  method: 'GET',
  path: '/v1/webhooks',
  tag: TAG,
  operationId: 'listWebhooks',
  summary: 'All webhooks of the organization',
  needs: READ,
  parameters: none,
  data: Type.Array(Webhook),
  examples: [{ summary: 'All of them' }],
  run: async call => {
    const denied = deniedTo(call, READ)
    if (denied !== null) return failure(denied)
    const views: Static<typeof Webhook>[] = []
    // One after the other: each is some reads, and others want to read too.
    for (const row of await call.store.webhooks(call.orgId)) views.push(await viewOf(call, row))
    return ok(views)
  },
})

const getWebhook = route({
  method: 'GET',
  path: '/v1/webhooks/{webhookId}',
  tag: TAG,
  operationId: 'getWebhook',
  summary: 'One webhook: how far it has got, and whether it fails',
  needs: READ,
  names,
  parameters: none,
  data: Webhook,
  codes: ['notFound'],
  examples: [{ summary: 'One', path, before: made('How commands end') }, ofNone],
  run: call => withWebhook(call, READ, async row => ok(await viewOf(call, row))),
})

const changeWebhook = route({
  method: 'PATCH',
  path: '/v1/webhooks/{webhookId}',
  tag: TAG,
  operationId: 'changeWebhook',
  summary: 'Change where it goes, what it is told, whether it is told anything',
  description:
    'What is not named stays. A filter takes the place of the one before it whole, from where the webhook is. While it is paused nothing is sent and nothing is lost, unless it is purged meanwhile; then a dead letter says so. After a change the next attempt is made at once.',
  needs: FULL_ACCESS,
  names,
  parameters: none,
  body: Type.Object(
    { url: Type.Optional(url), filter: Type.Optional(filter), paused: Type.Optional(Type.Boolean()) },
    { minProperties: 1 },
  ),
  data: Webhook,
  codes: ['notFound', 'productNotFound'],
  examples: [
    { summary: 'Only failures', path, body: { filter: { state: [6, 7] } }, before: made('How commands end') },
    { summary: 'Nothing for now', path, body: { paused: true }, before: made('How commands end') },
    { ...ofNone, body: { paused: true } },
  ],
  run: call =>
    withWebhook(call, FULL_ACCESS, async ({ webhookId }) => {
      const { store, changes, body } = call
      const read = body.url === undefined ? null : readUrl(body.url, changes.reachable)
      if (typeof read === 'string') return failure(invalid('url', read))
      const denied = body.filter === undefined ? null : deniedToSee(call)
      if (denied !== null) return failure(denied)
      const unknown = await unknownIn(call, body.filter ?? {}, 'body.filter.')
      if (unknown !== null) return failure(unknown)
      await store.changeWebhook(webhookId, {
        ...(read !== null && { url: read.url.href }),
        ...(body.filter !== undefined && { filterJson: filterJson(filterOf(call, body.filter)) }),
        ...(body.paused !== undefined && { paused: body.paused }),
        anew: true,
      })
      changes.deliverer.changed()
      return shown(call, webhookId)
    }),
})

const rotateWebhookSecret = route({
  method: 'POST',
  path: '/v1/webhooks/{webhookId}/rotate-secret',
  tag: TAG,
  operationId: 'rotateWebhookSecret',
  summary: 'A new secret',
  description:
    'What is sent from now on is signed with the new one, which is shown here alone. What the receiver refuses until it knows it is sent again, so nothing is lost.',
  needs: FULL_ACCESS,
  names,
  parameters: none,
  data: Type.Intersect([Webhook, Type.Object({ secret })]),
  codes: ['notFound'],
  examples: [{ summary: 'A new one', path, before: made('How commands end') }, ofNone],
  run: call =>
    withWebhook(call, FULL_ACCESS, async ({ webhookId }) => {
      const clear = newSecret()
      await call.store.changeWebhook(webhookId, { secret: call.fleet.sealedWebhookSecret(webhookId, clear) })
      call.changes.deliverer.changed()
      return shown(call, webhookId, { secret: clear.reveal() })
    }),
})

const deleteWebhook = route({
  method: 'DELETE',
  path: '/v1/webhooks/{webhookId}',
  tag: TAG,
  operationId: 'deleteWebhook',
  summary: 'Delete a webhook, and its dead letters',
  description: 'What is being sent at this moment may still arrive.',
  needs: FULL_ACCESS,
  names,
  parameters: none,
  data: Type.Object({ webhookId }),
  codes: ['notFound'],
  examples: [{ summary: 'One that is needed no more', path, before: made('How commands end') }, ofNone],
  run: call =>
    withWebhook(call, FULL_ACCESS, async ({ webhookId }) => {
      const isDeleted = await call.store.deleteWebhook(webhookId)
      call.changes.deliverer.changed()
      return isDeleted ? ok({ webhookId }) : failure(missing)
    }),
})

const testWebhook = route({
  method: 'POST',
  path: '/v1/webhooks/{webhookId}/test',
  tag: TAG,
  operationId: 'testWebhook',
  summary: 'Send a ping now, and hear what the receiver says',
  description:
    '`{"webhookId", "ping": true, "events": []}`, signed like anything else; also where the webhook is paused. That it is not taken changes nothing; that it is makes the next attempt come at once. One at a time for each webhook (99413), and an organization has a few tests and replays under way at most (99503).',
  needs: FULL_ACCESS,
  names,
  parameters: none,
  data: Answered,
  codes: ['notFound', 'isOver'],
  examples: [{ summary: 'Where nobody listens', path, before: made(onThisMachine) }, ofNone],
  run: call =>
    withWebhook(call, FULL_ACCESS, async row => {
      const answer = await call.changes.deliverer.ping(row)
      if ('ok' in answer) return refused(answer)
      const { outcome, status, error, text } = answer
      if (outcome === 'taken' && row.nextAt !== null) {
        await call.store.changeWebhook(row.webhookId, { anew: true })
        call.changes.deliverer.changed()
      }
      return ok({ outcome, status, error, text })
    }),
})

const listDeadLetters = route({
  method: 'GET',
  path: '/v1/webhooks/{webhookId}/dead-letters',
  tag: TAG,
  operationId: 'listDeadLetters',
  summary: 'What was given up, oldest first',
  description: '`next` beside data goes into `after` for the next page; null on the last one.',
  needs: READ,
  names,
  parameters: Type.Object({
    after: Type.Optional(cursor),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: DEAD_LETTERS_PAGE_MAX, default: DEAD_LETTERS_PAGE_MAX })),
  }),
  data: Type.Array(Letter),
  beside: Type.Object({ next: maybe(cursor) }),
  codes: ['notFound'],
  examples: [{ summary: 'None so far', path, before: made('How commands end') }, ofNone],
  run: call =>
    withWebhook(call, READ, async ({ webhookId }) => {
      const { after, limit = DEAD_LETTERS_PAGE_MAX } = call.parameters
      const read = after === undefined ? null : readCursor(after, 'after')
      if (read !== null && !read.ok) return failure(read)
      const letters = await call.store.deadLetters(webhookId, read?.position ?? 0, limit)
      const last = letters.length === limit ? letters.at(-1) : undefined
      return ok(letters.map(letterView), { next: last === undefined ? null : cursorOf(last.position) })
    }),
})

const replayDeadLetters = route({
  method: 'POST',
  path: '/v1/webhooks/{webhookId}/dead-letters/replay',
  tag: TAG,
  operationId: 'replayDeadLetters',
  summary: 'Send them again, in order',
  description:
    'Up to the first that is not taken; those taken are dead letters no more. They come as `{"webhookId", "replay": true, "events": […]}`, beside what happens now: they are older than that. One call sends up to 1,000 for some 15 s; call again while `left` is above 0 and `error` is null. What was purged cannot be sent, and stays until it is deleted.',
  needs: FULL_ACCESS,
  names,
  parameters: none,
  data: Type.Object({ taken: Type.Integer(), left: Type.Integer(), error: maybe(Type.String()) }),
  codes: ['notFound', 'isOver'],
  examples: [
    { summary: 'There are none', path, data: { taken: 0, left: 0, error: null }, before: made('How commands end') },
    ofNone,
  ],
  run: call =>
    withWebhook(call, FULL_ACCESS, async row => {
      const replayed = await call.changes.deliverer.replay(row)
      return 'ok' in replayed ? refused(replayed) : ok(replayed)
    }),
})

const deleteDeadLetters = route({
  method: 'DELETE',
  path: '/v1/webhooks/{webhookId}/dead-letters',
  tag: TAG,
  operationId: 'deleteDeadLetters',
  summary: 'Forget all of them',
  needs: FULL_ACCESS,
  names,
  parameters: none,
  data: Type.Object({ deleted: Type.Integer() }),
  codes: ['notFound'],
  examples: [{ summary: 'There are none', path, data: { deleted: 0 }, before: made('How commands end') }, ofNone],
  run: call =>
    withWebhook(call, FULL_ACCESS, async ({ webhookId }) => {
      const { store } = call
      let deleted = 0
      // Those that there are by now: what is given up meanwhile is not meant.
      for (let left = await store.countDeadLetters(webhookId); left > 0; ) {
        const letters = await store.deadLetters(webhookId, 0, Math.min(left, DEAD_LETTERS_PAGE_MAX))
        if (letters.length === 0) break
        deleted += await store.removeDeadLetters(
          webhookId,
          letters.map(({ position }) => position),
        )
        left -= letters.length
      }
      return ok({ deleted })
    }),
})

export const webhookRoutes: readonly Route[] = [
  createWebhook,
  listWebhooks,
  getWebhook,
  changeWebhook,
  rotateWebhookSecret,
  deleteWebhook,
  testWebhook,
  listDeadLetters,
  replayDeadLetters,
  deleteDeadLetters,
]
