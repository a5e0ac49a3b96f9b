// What people look at, under /v1: devices with their queues, one command and why it waits, and its life.
// Not here: what the vendor's API has (commands.ts, manage.ts), the words of an explanation (explain.ts), how much happens (stats.ts),
// changes as they happen (events.ts).

import Type from 'typebox'
import { type Command, isCommandId, State, stateName } from '../core/command.ts'
import { errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import { TIMELINE_MAX_EVENTS, VIEW_PAGE_DEFAULT, VIEW_PAGE_MAX, VIEW_SCAN_MAX } from '../core/limits.ts'
import type { Queue, QueueEvent } from '../core/queue.ts'
import { allows, type Need, reachOf } from '../fleet/grants.ts'
import type { Device } from '../store/store.ts'
import type { Reach } from '../store/stream.ts'
import { type DeviceLine, deviceStatuses, type FoundCommand } from '../store/views.ts'
import { eventOf } from '../stream/event.ts'
import { type Call, type Example, type Route, route } from './action.ts'
import { type Contact, type Explanation, explainOpen, explainOver } from './explain.ts'
import { thingModel } from './fleet-schemas.ts'
import { modelStruct } from './fleet-structs.ts'
import { command, instant, maybe, stringI18n } from './schemas.ts'
import { commandStruct, failure, ok, type Result, refused } from './wire.ts'

const READ: Need = { resource: 'Asset', action: 'Read' }
const NOTHING: Reach = { productKeys: [], assetIds: [] }
const reach = ({ application }: Call): Reach => reachOf(application, READ) ?? NOTHING

// --- devices -------------------------------------------------------------------------------------------------------

/** A device with what waits for it. Instants are epoch ms. */
const lineOf = ({ device, status, waiting, oldestWaitingAt, inFlight }: DeviceLine) => ({
  assetId: device.assetId,
  productKey: device.productKey,
  deviceKey: device.deviceKey,
  deviceName: JSON.parse(device.nameJson),
  description: device.description ?? null,
  timezone: device.timezone,
  gateway: device.gatewayAssetId,
  status,
  waiting,
  oldestWaitingAt,
  inFlight,
  createdAt: device.createdAt,
  activeAt: device.activeAt,
  lastOnlineAt: device.lastOnlineAt,
  lastOfflineAt: device.lastOfflineAt,
})

const Instant = Type.Union([Type.Integer(), Type.Null()], { description: 'epoch ms; null: never, or none' })
const DeviceView = Type.Object(
  {
    assetId: Type.String(),
    productKey: Type.String(),
    deviceKey: Type.String(),
    deviceName: stringI18n,
    description: Type.Union([Type.String(), Type.Null()]),
    timezone: Type.String(),
    gateway: Type.Union([Type.String(), Type.Null()], { description: 'assetId of the gateway that it is behind' }),
    status: Type.Enum([...deviceStatuses]),
    waiting: Type.Integer({ description: 'created commands' }),
    oldestWaitingAt: Instant,
    inFlight: Type.Boolean({ description: 'one is sent and not answered' }),
    createdAt: Instant,
    activeAt: Instant,
    lastOnlineAt: Instant,
    lastOfflineAt: Instant,
  },
  { $id: 'DeviceView', description: 'A device with what waits for it.' },
)

const listDevices = route({
  method: 'GET',
  path: '/v1/devices',
  tag: 'Views',
  operationId: 'viewDevices',
  summary: 'Devices with their status and what waits for them',
  description:
    'By page, in the order in which they were added; `next` beside data goes into `after` for the next page, and is null on the last one. A page may have fewer devices than `limit` though there are more: go by `next`. With `order`, the first `limit` devices by the number of commands that wait (`waiting`) or by the command that has waited longest (`oldest`), without pages.',
  needs: READ,
  parameters: Type.Object({
    productKey: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    status: Type.Optional(Type.Enum([...deviceStatuses])),
    text: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        description: 'beginning of the deviceKey or assetId, or part of a name, whatever the case',
      }),
    ),
    waiting: Type.Optional(Type.Boolean({ description: 'true: only those with commands that wait' })),
    order: Type.Optional(Type.Enum(['waiting', 'oldest'])),
    after: Type.Optional(Type.Integer({ minimum: 0 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: VIEW_PAGE_MAX, default: VIEW_PAGE_DEFAULT })),
  }),
  data: Type.Array(DeviceView),
  beside: Type.Object({ next: Type.Union([Type.Integer(), Type.Null()]) }),
  examples: [
    { summary: 'The first page' },
    { summary: 'Those that something waits for', query: { waiting: 'true', limit: '10' } },
    { summary: 'The deepest queues', query: { order: 'waiting', limit: '5' } },
    { summary: 'An unknown status', query: { status: 'asleep' }, code: errors.invalidArgument.code },
  ],
  run: async call => {
    const { productKey = null, status = null, text = null, waiting = false, order, after = 0 } = call.parameters
    const { limit = VIEW_PAGE_DEFAULT } = call.parameters
    const query = { orgId: call.orgId, reach: reach(call), productKey, status, text, waiting }
    if (order === undefined) {
      const { lines, next } = await call.store.listDevices(query, after, limit, VIEW_SCAN_MAX)
      return ok(lines.map(lineOf), { next })
    }
    const stray = (['status', 'text', 'after'] as const).find(name => call.parameters[name] !== undefined)
    if (stray !== undefined) return failure(invalid(stray, 'does not go together with order'))
    return ok((await call.store.topDevices(query, order, limit)).map(lineOf), { next: null })
  },
})

const Asset = Type.Object({ assetId: Type.String({ minLength: 1, maxLength: 64 }) })

/** The device, if the caller may see it; another organization's is not there. */
async function seen(call: Call, assetId: string): Promise<Device | Refusal> {
  const device = await call.fleet.deviceByAsset(assetId)
  if (device === null || device.orgId !== call.orgId) return refuse(errors.notFound, 'device not found')
  return allows(call.application, READ, device)
    ? device
    : refuse(errors.denied, `Denied resource:  Asset ${assetId} needs Read`)
}

const getDevice = route({
  method: 'GET',
  path: '/v1/devices/{assetId}',
  tag: 'Views',
  operationId: 'viewDevice',
  summary: 'One device with its status and what waits for it',
  needs: READ,
  names: Asset,
  parameters: Type.Object({}),
  data: DeviceView,
  codes: ['notFound'],
  examples: [
    { summary: 'A device', path: { assetId: 'oxWwM9i5' } },
    { summary: 'There is none', path: { assetId: 'nobody' }, code: errors.notFound.code },
  ],
  run: async call => {
    const device = await seen(call, call.path.assetId)
    if ('ok' in device) return failure(device)
    const settled = await call.engine.settleDue(device.id)
    if (!settled.ok) return refused(settled)
    const line = await call.store.deviceLine(device.id)
    return line === null ? failure(refuse(errors.notFound, 'device not found')) : ok(lineOf(line))
  },
})

// --- commands ------------------------------------------------------------------------------------------------------

/** What is on record of a command beyond the vendor's struct. */
const recordOf = (command: Command) => ({
  createdBy: command.createdBy,
  sentAt: command.sentAt,
  settledAt: command.settledAt,
  expireAt: command.expireAt,
  deadlineAt: command.deadlineAt,
  code: command.code,
  lateReplies: command.lateReplies,
})

const structOf = ({ device, command, body }: FoundCommand) => ({
  ...commandStruct({ command, body }, device),
  ...recordOf(command),
  deviceCode: body.deviceCode,
  deviceMessage: body.deviceMessage,
})

const CommandView = Type.Object(
  {
    ...command.properties,
    createdBy: Type.String({ description: 'appKey' }),
    sentAt: Instant,
    settledAt: Instant,
    expireAt: instant('When it lapses if it has not been sent.'),
    deadlineAt: Instant,
    code: maybe(Type.Integer({ description: 'Why it ended as it did; null: open, expired or cancelled.' })),
    lateReplies: Type.Integer(),
    deviceCode: Type.Optional(maybe(Type.String())),
    deviceMessage: Type.Optional(maybe(Type.String())),
  },
  { $id: 'CommandView', description: 'The Command struct, and what else is on record.' },
)

const thingModelOfDevice = route({
  method: 'GET',
  path: '/v1/devices/{assetId}/thing-model',
  tag: 'Views',
  operationId: 'viewThingModel',
  summary: 'What a device can be told and asked',
  description:
    'The thing model of its product, as the API of thing models shows it, for whoever may see the device: forms for commands are made of it. Null where the product has none, so that its devices take any JSON.',
  needs: READ,
  names: Asset,
  parameters: Type.Object({}),
  data: maybe(thingModel),
  codes: ['notFound'],
  examples: [
    { summary: 'A device', path: { assetId: 'oxWwM9i5' } },
    { summary: 'There is none', path: { assetId: 'nobody' }, code: errors.notFound.code },
  ],
  run: async call => {
    const device = await seen(call, call.path.assetId)
    if ('ok' in device) return failure(device)
    const model = await call.fleet.modelRow(device.productKey)
    return ok(model === null ? null : modelStruct(model))
  },
})

const queueOfDevice = route({
  method: 'GET',
  path: '/v1/devices/{assetId}/queue',
  tag: 'Views',
  operationId: 'viewQueue',
  summary: 'What a device has open, in the order in which it goes out',
  description: 'As of one instant, `now`. The one that is sent comes first; then those that wait, oldest first.',
  needs: READ,
  names: Asset,
  parameters: Type.Object({}),
  data: Type.Object({ now: Type.Integer(), device: DeviceView, commands: Type.Array(CommandView) }),
  codes: ['notFound'],
  examples: [{ summary: 'A queue', path: { assetId: 'oxWwM9i5' } }],
  run: async call => {
    const device = await seen(call, call.path.assetId)
    if ('ok' in device) return failure(device)
    const settled = await call.engine.settleDue(device.id)
    if (!settled.ok) return refused(settled)
    const [[queue], line] = await Promise.all([
      call.store.load([{ deviceId: device.id, commandIds: [] }]),
      call.store.deviceLine(device.id),
    ])
    if (!queue || line === null) return failure(refuse(errors.notFound, 'device not found'))
    const bodies = await call.store.bodies(queue.open.map(({ id }) => id))
    const open = [...queue.open].sort((a, b) => b.state - a.state || (a.id < b.id ? -1 : 1))
    const commands = open.flatMap(command => {
      const body = bodies.get(command.id)
      return body === undefined ? [] : [{ ...commandStruct({ command, body }, device), ...recordOf(command) }]
    })
    return ok({ now: call.clock.now(), device: lineOf(line), commands })
  },
})

const Id = Type.Object({
  commandId: Type.String({ pattern: '^[0-9]{1,19}$', 'x-rule': 'must be 1 to 19 decimal digits' }),
})

/** The command, if the caller may see it, as it durably is by now. */
async function find(call: Call, commandId: string): Promise<FoundCommand | Refusal> {
  const missing = refuse(errors.commandNotFound, `commandId ${commandId} not found`)
  if (!isCommandId(commandId)) return missing
  const found = await call.store.commandById(commandId)
  if (found === null || found.device.orgId !== call.orgId) return missing
  if (!allows(call.application, READ, found.device))
    return refuse(errors.denied, `Denied resource:  Asset ${found.device.assetId} needs Read`)
  if (found.device.deletedAt !== null) return found
  const settled = await call.engine.settleDue(found.device.deviceId)
  // It may have been deleted in this moment: then what is read now says so.
  if (!settled.ok && settled.code !== errors.notFound.code) return settled
  return (await call.store.commandById(commandId)) ?? missing
}

const withFound = async (
  call: Call,
  commandId: string,
  run: (found: FoundCommand) => Promise<Result>,
): Promise<Result> => {
  const found = await find(call, commandId)
  return 'ok' in found ? refused(found) : run(found)
}

/** One that waits for a device that was never connected; its id is told by the call before. */
const ID = '2278935391225618432'
const queued: Example = {
  summary: 'One that waits',
  path: { commandId: ID },
  before: [{ operationId: 'setMeasurepoint', example: 'Cached', gives: { 'data.commandId': ID } }],
}
const unknownCommand = { summary: 'There is none', path: { commandId: '1' }, code: errors.commandNotFound.code }

const getCommand = route({
  method: 'GET',
  path: '/v1/commands/{commandId}',
  tag: 'Views',
  operationId: 'viewCommand',
  summary: 'One command by its id alone',
  description: 'Also of a device that has been deleted, for as long as the record is kept.',
  needs: READ,
  names: Id,
  parameters: Type.Object({}),
  data: CommandView,
  codes: ['commandNotFound'],
  examples: [queued, unknownCommand],
  run: call => withFound(call, call.path.commandId, async found => ok(structOf(found))),
})

const ReasonView = Type.Object({ reason: Type.String() }, { description: 'what keeps it, with fields of its own' })
const explain = route({
  method: 'GET',
  path: '/v1/commands/{commandId}/explain',
  tag: 'Views',
  operationId: 'explainCommand',
  summary: 'Why is it waiting, and can it be stopped?',
  description:
    'In words (`explanation`, English, times in UTC) and in fields. `reasons`: `deviceDisabled`, `deviceInactive`, `deviceOffline` {since}, `deviceNotReady`, `deviceElsewhere` {node}, `behind` {commandId, ahead}, `awaitingAnswer` {sentAt, deadlineAt}, `next`, `over` {settledAt, code}. `cancellable` says how it is at this moment; only a cancel that reports the command has stopped it.',
  needs: READ,
  names: Id,
  parameters: Type.Object({}),
  data: Type.Object({
    commandId: Type.String(),
    assetId: Type.String(),
    state: Type.Integer(),
    now: Type.Integer(),
    explanation: Type.String(),
    reasons: Type.Array(ReasonView),
    cancellable: Type.Boolean(),
    ahead: Type.Union([Type.Integer(), Type.Null()]),
    head: Type.Union([
      Type.Object({ commandId: Type.String(), state: Type.Integer(), sentAt: Instant, deadlineAt: Instant }),
      Type.Null(),
    ]),
    expireAt: Instant,
    deadlineAt: Instant,
  }),
  codes: ['commandNotFound'],
  examples: [queued, unknownCommand],
  run: call =>
    withFound(call, call.path.commandId, async found => {
      const { command, device } = found
      const { commandId, assetId } = { commandId: command.id, assetId: device.assetId }
      const now = call.clock.now()
      return ok({ commandId, assetId, state: command.state, now, ...(await explanationOf(call, found, now)) })
    }),
})

async function explanationOf(call: Call, { command, device }: FoundCommand, now: number): Promise<Explanation> {
  const { deviceId } = device
  const [queue] = await call.store.load([{ deviceId, commandIds: [command.id] }])
  const open = queue?.open.find(({ id }) => id === command.id)
  if (queue && open) {
    const line = await call.store.deviceLine(deviceId)
    if (line !== null) return explainOpen(open, queue, contactOf(call, queue, line), now)
  }
  const over = queue?.named.find(({ id }) => id === command.id) ?? command
  const last = (await call.store.timeline(command.id, TIMELINE_MAX_EVENTS)).findLast(({ from, to }) => from !== to)
  return explainOver(over, last === undefined ? stateName[over.state] : `by ${last.by}, ${last.reason}`)
}

function contactOf({ engine }: Call, { sessionNode, disabled }: Queue, { device, status }: DeviceLine): Contact {
  const presence = engine.presence(device.id)
  const isElsewhere = presence === null && !disabled && status === 'online'
  const { lastOnlineAt, lastOfflineAt } = device
  return { status, lastOnlineAt, lastOfflineAt, presence, elsewhere: isElsewhere ? sessionNode : null }
}

/** An event as streams have it, without the cursor. */
const EventView = Type.Object(
  {
    seq: Type.Integer({ description: 'dense per device' }),
    commandId: Type.Union([Type.String(), Type.Null()]),
    from: Type.Union([Type.Integer(), Type.Null()]),
    to: Type.Union([Type.Integer(), Type.Null()]),
    at: Type.Integer({ description: 'epoch ms' }),
    by: Type.String({ description: 'an appKey, `device`, `server` or `time`' }),
    reason: Type.String(),
    detail: Type.Unknown(),
  },
  { $id: 'TimelineEvent', description: 'As the stream of changes has it, without a cursor.' },
)

const timeline = route({
  method: 'GET',
  path: '/v1/commands/{commandId}/timeline',
  tag: 'Views',
  operationId: 'viewTimeline',
  summary: "One command's life",
  description: `\`events\`: who created it, when and by which node it was sent (\`detail\`), who cancelled it, what the device answered and when; late answers too. \`waitedFor\`: what happened to the device and to commands before it between its creation and its sending (or its end), at most ${TIMELINE_MAX_EVENTS} of it.`,
  needs: READ,
  names: Id,
  parameters: Type.Object({}),
  data: Type.Object({ command: CommandView, events: Type.Array(EventView), waitedFor: Type.Array(EventView) }),
  codes: ['commandNotFound'],
  examples: [queued, unknownCommand],
  run: call =>
    withFound(call, call.path.commandId, async found => {
      const { device, command } = found
      const events = await call.store.timeline(command.id, TIMELINE_MAX_EVENTS)
      const told = (event: QueueEvent, of: Command | null) => eventOf(device, event, of)
      const waitedFor = await waitedForBy(call, device.deviceId, events)
      return ok({
        command: structOf(found),
        events: events.map(event => told(event, command)),
        waitedFor: waitedFor.map(event => told(event, null)),
      })
    }),
})

/** What happened to the device itself and to commands that were before this one, while it waited. */
async function waitedForBy({ store }: Call, deviceId: number, events: readonly QueueEvent[]): Promise<QueueEvent[]> {
  const created = events.find(({ from }) => from === null)
  if (created?.commandId == null || created.to !== State.created) return []
  // Once it was sent for good it waited for nothing but its answer.
  const end = events.findLast(({ from }) => from === State.created)
  const meanwhile = await store.eventsBetween(
    deviceId,
    created.seq,
    end?.seq ?? Number.MAX_SAFE_INTEGER,
    TIMELINE_MAX_EVENTS,
  )
  const { commandId } = created
  return meanwhile.filter(event => event.commandId === null || event.commandId < commandId)
}

export const views: readonly Route[] = [
  ...[listDevices, getDevice, thingModelOfDevice, queueOfDevice],
  ...[getCommand, explain, timeline],
]
