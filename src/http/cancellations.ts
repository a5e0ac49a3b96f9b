// Cancellations by filter: one call cancels what waits on many devices, and its result names every command with what became of it. Here the shape of the
// calls, and who may see what; what is done is in jobs/cancellation.ts, which commands a filter is for in jobs/filter.ts.

import { randomBytes } from 'node:crypto'
import Type, { type Static } from 'typebox'
import { errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import {
  CANCELLATION_ASSETS_MAX,
  CANCELLATION_KEYS_MAX,
  CANCELLATION_PAGE_DEFAULT,
  CANCELLATION_PAGE_MAX,
  PENDING_TTL_MAX_S,
  VIEW_PAGE_DEFAULT,
  VIEW_PAGE_MAX,
} from '../core/limits.ts'
import { allows, type Need, reachOf } from '../fleet/grants.ts'
import { checkFilter, definite, type SaidFilter, storedFilter } from '../jobs/filter.ts'
import { type CancellationItem, type CancellationRow, cancellationStatuses } from '../store/jobs.ts'
import type { DeviceName } from '../store/stream.ts'
import { type Before, type Call, type Route, type RouteCall, route } from './action.ts'
import { assetId, commandId, deviceIdentity, instant, key, maybe, none, productKey, state } from './schemas.ts'
import { failure, ok, type Result, refused } from './wire.ts'

const CONTROL: Need = { resource: 'Asset', action: 'Control' }
const READ: Need = { resource: 'Asset', action: 'Read' }
const TAG = 'Cancellations'

// --- schemas -----------------------------------------------------------------------------------------------------

const listOf = <T extends Parameters<typeof Type.Array>[0]>(of: T, maxItems: number) =>
  Type.Array(of, { minItems: 1, maxItems, uniqueItems: true })

const Filter = Type.Object(
  {
    all: Type.Optional(Type.Literal(true, { description: 'Every command that waits; stands alone.' })),
    productKeys: Type.Optional(listOf(productKey, CANCELLATION_KEYS_MAX)),
    assetIds: Type.Optional(listOf(assetId, CANCELLATION_ASSETS_MAX)),
    measurepointId: Type.Optional(key('Commands that set it.')),
    serviceId: Type.Optional(key('Commands that invoke it.')),
    olderThanS: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: PENDING_TTL_MAX_S,
        description: 'Seconds since they were created, at least.',
      }),
    ),
    createdBefore: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Those created before this instant. Epoch ms.' }),
    ),
    applications: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 128 }), {
        minItems: 1,
        maxItems: CANCELLATION_KEYS_MAX,
        uniqueItems: true,
        description: 'appKeys of those who created them.',
      }),
    ),
    states: Type.Optional(
      Type.Array(Type.Union([Type.Literal(1), Type.Literal(4)]), {
        minItems: 1,
        maxItems: 2,
        uniqueItems: true,
        description:
          '1, created, must be among them; with 4 those that are sent and not answered are listed too, as not cancelled.',
      }),
    ),
  },
  { $id: 'CancellationFilter', description: 'All conditions hold. Without any it is refused: say `all` to mean all.' },
)

const Cancellation = Type.Object(
  {
    cancellationId: Type.String(),
    status: Type.Enum([...cancellationStatuses], {
      description:
        '`running`; `stopping`: what was begun is being written down; `stopped`; `ended`: there was nothing more.',
    }),
    dryRun: Type.Boolean(),
    filter: Filter,
    createdBefore: instant('Commands created from this instant on are not of it.'),
    createdAt: instant('When it was asked for.'),
    createdBy: Type.String({ description: 'appKey.' }),
    endedAt: maybe(instant('When it ended or was stopped.')),
    devices: Type.Object({
      matched: Type.Integer({ description: 'Devices with a command of it, so far.' }),
      total: Type.Integer({
        description: 'Devices that had something waiting when it began; an estimate for progress.',
      }),
    }),
    matched: Type.Integer({ description: 'Commands found.' }),
    cancelled: Type.Integer({ description: 'Cancelled by this; in a dry run those that would have been.' }),
    notCancelled: Type.Integer({
      description: 'Found in another state than created by the time they were to be cancelled, or would have been.',
    }),
    undecided: Type.Integer({ description: 'Found, and still to be seen to; 0 once it has ended.' }),
  },
  { $id: 'Cancellation' },
)

const Item = Type.Object(
  {
    commandId,
    device: maybe(Type.Object(deviceIdentity)),
    outcome: Type.Enum(['cancelled', 'wouldBeCancelled', 'notCancelled', 'undecided'], {
      description: '`cancelled`: by this, and never sent. `notCancelled`: it was in `state` already.',
    }),
    state: maybe(state),
  },
  { $id: 'CancellationItem' },
)

const names = Type.Object({
  cancellationId: Type.String({ pattern: '^[0-9a-f]{24}$', 'x-rule': 'must be the id of a cancellation' }),
})

// --- examples ----------------------------------------------------------------------------------------------------

const ID = '5d0c1e2f3a4b5c6d7e8f9a0b'
const path = { cancellationId: ID }
const made: Before = {
  operationId: 'createCancellation',
  example: 'What a dry run finds',
  gives: { 'data.cancellationId': ID },
}
const ofNone = { summary: 'There is none', path: { cancellationId: '0'.repeat(24) }, code: errors.notFound.code }

// --- reading -----------------------------------------------------------------------------------------------------

/** Whoever may see only some devices sees the cancellations that it has made itself: null: all of the organization's. */
const maker = ({ application, appKey }: Call, need: Need): string | null =>
  reachOf(application, need) === 'all' ? null : appKey

const missing = refuse(errors.notFound, 'cancellation not found')

async function withCancellation(
  call: RouteCall<unknown, unknown, Static<typeof names>>,
  need: Need,
  run: (row: CancellationRow) => Promise<Result>,
): Promise<Result> {
  const row = await call.store.cancellation(call.path.cancellationId)
  const by = maker(call, need)
  if (row === null || row.orgId !== call.orgId || (by !== null && row.createdBy !== by)) return failure(missing)
  return run(row)
}

function viewOf(row: CancellationRow): Static<typeof Cancellation> {
  const { said, createdBefore } = storedFilter(row.filterJson)
  const { cancellationId, status, dryRun, createdAt, createdBy, endedAt, matched, cancelled, notCancelled } = row
  const undecided = matched - cancelled - notCancelled
  return {
    ...{
      cancellationId,
      status,
      dryRun,
      filter: said as Static<typeof Filter>,
      createdBefore,
      createdAt,
      createdBy,
      endedAt,
    },
    devices: { matched: row.devices, total: Math.max(row.devicesTotal, row.devices) },
    ...{ matched, cancelled, notCancelled, undecided },
  }
}

/** Grants may have become fewer since it was made. A device of which nothing is on record is for those who may see all. */
const isVisible = ({ application }: Call, device: DeviceName | null): boolean =>
  device === null ? reachOf(application, READ) === 'all' : allows(application, READ, device)

function itemView(item: CancellationItem, dryRun: boolean, device: DeviceName | null): Static<typeof Item> {
  const { commandId, decided, state, ours } = item
  const outcome = !decided
    ? 'undecided'
    : ours
      ? 'cancelled'
      : dryRun && state === 1
        ? 'wouldBeCancelled'
        : 'notCancelled'
  if (device === null) return { commandId, device, outcome, state }
  const { orgId, productKey, deviceKey, assetId } = device
  return { commandId, device: { orgId, productKey, deviceKey, assetId }, outcome, state }
}

// --- routes ------------------------------------------------------------------------------------------------------

const createCancellation = route({
  method: 'POST',
  path: '/v1/cancellations',
  tag: TAG,
  operationId: 'createCancellation',
  summary: 'Cancel what waits on many devices',
  description: `Cancels every created command that the filter is for, on the devices that the caller may command, and that was created up to this moment. It goes on by itself, also over a restart; the answer comes at once, and \`GET\` says how far it is. Each command is cancelled as by \`cancel\`: none that this reports as cancelled is ever sent, and what has been sent is not reported as cancelled. Instant commands that wait are cancelled too.

With \`dryRun\` nothing is cancelled, and the commands that would be are listed. Who the event log says cancelled a command is the caller; the event's detail has \`{"cancellation": id}\`.`,
  needs: CONTROL,
  parameters: none,
  body: Type.Object({ filter: Filter, dryRun: Type.Optional(Type.Boolean({ default: false })) }),
  data: Cancellation,
  codes: ['notFound', 'isOver'],
  examples: [
    {
      summary: 'What a dry run finds',
      body: { filter: { productKeys: ['bXuuAiku'], serviceId: 'reboot', olderThanS: 3_600 }, dryRun: true },
    },
    {
      summary: 'All that one application has queued',
      body: { filter: { applications: ['5acb82e7-a11e-4300-9164-c8b20b638e8b'] } },
    },
    { summary: 'Nothing is not everything', body: { filter: {} }, code: errors.invalidArgument.code },
  ],
  run: create,
})

async function create(
  call: RouteCall<unknown, { readonly filter: SaidFilter; readonly dryRun?: boolean }>,
): Promise<Result> {
  const { orgId, appKey, application, store, clock, body, jobs } = call
  const { filter, dryRun = false } = body
  const fault = checkFilter(filter) ?? (await foreignProduct(call, filter))
  if (fault !== null) return failure(fault)
  const deviceIds = await devicesOf(call, filter)
  if (deviceIds !== null && 'ok' in deviceIds) return failure(deviceIds)
  const reach = reachOf(application, CONTROL) ?? { productKeys: [], assetIds: [] }
  const now = clock.now()
  const row: CancellationRow = {
    cancellationId: randomBytes(12).toString('hex'),
    ...{ orgId, createdBy: appKey, createdAt: now, dryRun, status: 'running', scannedTo: 0 },
    filterJson: JSON.stringify(definite(filter, reach, deviceIds, now, jobs.upTo(now))),
    devicesTotal: deviceIds?.length ?? (await store.countWaitingDevices(orgId, filter.productKeys ?? null)),
    ...{ devices: 0, matched: 0, cancelled: 0, notCancelled: 0, nextAt: now, endedAt: null },
  }
  const refusal = await jobs.createCancellation(row)
  return refusal === null ? ok(viewOf(row)) : refused(refusal)
}

/** A product that is misspelt would match nothing, and look as if nothing waited. */
async function foreignProduct({ fleet, orgId }: Call, { productKeys = [] }: SaidFilter): Promise<Refusal | null> {
  for (const [i, productKey] of productKeys.entries()) {
    const product = await fleet.product(productKey)
    if (product?.orgId !== orgId)
      return invalid(`body.filter.productKeys[${i}]`, `the organization has no product ${productKey}`)
  }
  return null
}

/** The devices that the filter names, by their numbers; null: it names none. */
async function devicesOf(
  { fleet, orgId, application }: Call,
  { assetIds, productKeys }: SaidFilter,
): Promise<number[] | Refusal | null> {
  if (assetIds === undefined) return null
  const found: number[] = []
  for (const [i, assetId] of assetIds.entries()) {
    const device = await fleet.deviceByAsset(assetId)
    if (device?.orgId !== orgId)
      return refuse(errors.notFound, `body.filter.assetIds[${i}]: device ${assetId} not found`)
    if (!allows(application, CONTROL, device))
      return refuse(errors.denied, `Denied resource:  Asset ${assetId} needs ${CONTROL.action}`)
    if (productKeys === undefined || productKeys.includes(device.productKey)) found.push(device.id)
  }
  return found.sort((a, b) => a - b)
}

const listCancellations = route({
  method: 'GET',
  path: '/v1/cancellations',
  tag: TAG,
  operationId: 'listCancellations',
  summary: 'All cancellations on record, the newest first',
  description:
    'They are kept as long as commands are. Who may see only some devices sees those that it has made itself.',
  needs: READ,
  parameters: Type.Object({
    offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_000_000, default: 0 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: VIEW_PAGE_MAX, default: VIEW_PAGE_DEFAULT })),
  }),
  data: Type.Array(Cancellation),
  beside: Type.Object({ total: Type.Integer() }),
  examples: [{ summary: 'The last ones', query: { limit: '10' } }],
  run: async call => {
    const { offset = 0, limit = VIEW_PAGE_DEFAULT } = call.parameters
    const { rows, total } = await call.store.cancellations(call.orgId, maker(call, READ), offset, limit)
    return ok(rows.map(viewOf), { total })
  },
})

const getCancellation = route({
  method: 'GET',
  path: '/v1/cancellations/{cancellationId}',
  tag: TAG,
  operationId: 'getCancellation',
  summary: 'One cancellation: how far it is, and what it did',
  needs: READ,
  names,
  parameters: none,
  data: Cancellation,
  codes: ['notFound'],
  examples: [{ summary: 'One', path, before: [made] }, ofNone],
  run: call => withCancellation(call, READ, async row => ok(viewOf(row))),
})

const listCancellationItems = route({
  method: 'GET',
  path: '/v1/cancellations/{cancellationId}/items',
  tag: TAG,
  operationId: 'listCancellationItems',
  summary: 'Every command that it found, and what became of it',
  description:
    'By their ids, and so by their age. `next` is where the next page begins, null where there is no more. While it runs, commands with smaller ids may still be found. Those of devices that the caller may not see (any more) are left out, so a page may have fewer than `limit`, or none, and still a next one.',
  needs: READ,
  names,
  parameters: Type.Object({
    after: Type.Optional(commandId),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: CANCELLATION_PAGE_MAX, default: CANCELLATION_PAGE_DEFAULT }),
    ),
  }),
  data: Type.Array(Item),
  beside: Type.Object({ next: maybe(commandId) }),
  codes: ['notFound'],
  examples: [{ summary: 'From the beginning', path, query: { limit: '100' }, before: [made] }, ofNone],
  run: call =>
    withCancellation(call, READ, async ({ cancellationId, dryRun }) => {
      const { after = null, limit = CANCELLATION_PAGE_DEFAULT } = call.parameters
      const items = await call.store.cancellationItems(cancellationId, after, limit)
      const devices = new Map<number, DeviceName | null>()
      for (const { deviceId } of items)
        if (!devices.has(deviceId)) devices.set(deviceId, await call.store.deviceName(deviceId))
      const data = items.flatMap(item => {
        const device = devices.get(item.deviceId) ?? null
        return isVisible(call, device) ? [itemView(item, dryRun, device)] : []
      })
      return ok(data, { next: items.length === limit ? (items.at(-1)?.commandId ?? null) : null })
    }),
})

const stopCancellation = route({
  method: 'POST',
  path: '/v1/cancellations/{cancellationId}/stop',
  tag: TAG,
  operationId: 'stopCancellation',
  summary: 'Cancel no more',
  description:
    'What has been cancelled stays cancelled. `stopping`: what was begun is still being written down; then it is `stopped`. One that is over is refused with 99413.',
  needs: CONTROL,
  names,
  parameters: none,
  data: Cancellation,
  codes: ['notFound', 'isOver'],
  examples: [ofNone],
  run: call =>
    withCancellation(call, CONTROL, async ({ cancellationId }) => {
      const isStopped = await call.jobs.stopCancellation(cancellationId)
      const row = await call.store.cancellation(cancellationId)
      if (row === null) return failure(missing)
      if (isStopped || row.status === 'stopping') return ok(viewOf(row))
      return failure(refuse(errors.isOver, `the cancellation is ${row.status} already`), viewOf(row))
    }),
})

export const cancellationRoutes: readonly Route[] = [
  createCancellation,
  listCancellations,
  getCancellation,
  listCancellationItems,
  stopCancellation,
]
