// What devices last reported, for applications: measurepoints as the vendor has it, events as an addition of this project.
// Not here: who is asking and whether they may (app.ts), how devices report (uplink/).

import Type from 'typebox'
import { invalid, type Refusal } from '../core/errors.ts'
import { quote } from '../core/json.ts'
import { PAGE_MAX_BYTES, POINTS_MAX_PER_DEVICE } from '../core/limits.ts'
import { type Described, type DeviceAction, type DeviceCall, objectBody, type Resource } from './action.ts'
import { none } from './schemas.ts'
import { failure, ok, type Result } from './wire.ts'

const queryLatest = (of: Omit<Described, 'parameters'> & Pick<DeviceAction, 'run'>): Resource['actions'] =>
  new Map([
    [
      'queryLatest',
      {
        ...of,
        about: 'device',
        methods: ['POST'],
        needs: { resource: 'Asset', action: 'Read' },
        parameters: none,
        strict: false,
      },
    ],
  ])

const TAG = 'Measurepoints and events'
const ids = Type.Optional(
  Type.Array(Type.String(), {
    maxItems: POINTS_MAX_PER_DEVICE,
    description: 'Which ones; all without it. Ids that the device never reported are absent.',
  }),
)
const time = Type.String({ pattern: '^[0-9]+$', description: 'Epoch ms, as text.' })
/** of the demo fleet: the one that is connected and reports, and one that never was */
const [HERE, NEVER] = [{ assetId: 'oxWwM9i5' }, { assetId: 'k3TzVb7Q' }]

export const measurepoints: Resource = {
  path: '/connect-service/v2.1/measurepoints',
  label: 'measurepoints ',
  tag: TAG,
  actions: queryLatest({
    operationId: 'queryLatestMeasurepoints',
    summary: 'What a device last reported of its measurepoints',
    description: 'By id. Where the values have more than 4 MiB the call is refused before any is read: name fewer.',
    body: Type.Object({ measurepointIds: ids }),
    data: Type.Array(
      Type.Object({
        id: Type.String(),
        time,
        value: Type.Unknown(),
        quality: Type.Optional(Type.Number({ description: 'Where the device gave one.' })),
      }),
    ),
    codes: ['notFound'],
    examples: [
      {
        summary: 'All',
        query: HERE,
        data: [
          { id: 'Int_value', time: '1795383655330', value: 222 },
          { id: 'temperature', time: '1795383655330', value: 21.5, quality: 9 },
        ],
      },
      {
        summary: 'Some',
        query: HERE,
        body: { measurepointIds: ['temperature', 'pressure'] },
        data: [{ id: 'temperature', time: '1795383655330', value: 21.5, quality: 9 }],
      },
      { summary: 'Nothing was reported yet', query: NEVER, data: [] },
      {
        summary: 'No list',
        query: HERE,
        body: { measurepointIds: 'temperature' },
        code: 99400,
        msg: 'Invalid Argument measurepointIds:must be a list of at most 5000 ids',
      },
    ],
    run: latestMeasurepoints,
  }),
}

export const events: Resource = {
  path: '/connect-service/v2.1/events',
  label: 'events ',
  tag: TAG,
  actions: queryLatest({
    operationId: 'queryLatestEvents',
    summary: 'The last occurrence of each event that a device reported',
    description:
      "An addition of ours to the vendor's API. These are events of the device's model, not changes of its commands.",
    body: Type.Object({ eventIds: ids }),
    data: Type.Array(Type.Object({ id: Type.String(), time, output: Type.Record(Type.String(), Type.Unknown()) })),
    codes: ['notFound'],
    examples: [
      { summary: 'All', query: HERE },
      { summary: 'Nothing was reported yet', query: NEVER, body: { eventIds: ['overheated'] }, data: [] },
      {
        summary: 'No list of ids',
        query: HERE,
        body: { eventIds: [1] },
        code: 99400,
        msg: 'Invalid Argument eventIds:must be a list of ids, got 1',
      },
    ],
    run: latestEvents,
  }),
}

/** `{"measurepointIds": […]}`: those, or without a list all. `time` is text of ms; `quality` is there where the device gave one. */
async function latestMeasurepoints({ body, store, device }: DeviceCall): Promise<Result> {
  const read = objectBody(body)
  if ('ok' in read) return failure(read)
  const pointIds = named('measurepointIds', read.fields)
  if (pointIds !== null && 'ok' in pointIds) return failure(pointIds)
  const bytes = await store.reportedBytes('measurepoints', device.id, pointIds)
  if (bytes > PAGE_MAX_BYTES) return failure(tooMuch('measurepointIds', bytes))
  const values = await store.latestValues(device.id, pointIds)
  return ok(
    values.map(({ pointId, valueJson, quality, at }) => ({
      id: pointId,
      time: String(at),
      value: JSON.parse(valueJson),
      ...(quality === null ? {} : { quality }),
    })),
  )
}

/** `{"eventIds": […]}`: the last occurrence of those, or without a list of each event that the device ever reported. */
async function latestEvents({ body, store, device }: DeviceCall): Promise<Result> {
  const read = objectBody(body)
  if ('ok' in read) return failure(read)
  const eventIds = named('eventIds', read.fields)
  if (eventIds !== null && 'ok' in eventIds) return failure(eventIds)
  const bytes = await store.reportedBytes('event', device.id, eventIds)
  if (bytes > PAGE_MAX_BYTES) return failure(tooMuch('eventIds', bytes))
  const latest = await store.latestEvents(device.id, eventIds)
  return ok(
    latest.map(({ eventId, outputJson, at }) => ({ id: eventId, time: String(at), output: JSON.parse(outputJson) })),
  )
}

/** The ids in a list; null where there is no list: all are wanted. */
function named(name: string, fields: ReadonlyMap<string, unknown>): readonly string[] | Refusal | null {
  const given = fields.get(name) ?? null
  if (given === null) return null
  if (!Array.isArray(given) || given.length > POINTS_MAX_PER_DEVICE)
    return invalid(name, `must be a list of at most ${POINTS_MAX_PER_DEVICE} ids`)
  const odd = given.find(id => typeof id !== 'string')
  return odd === undefined ? given : invalid(name, `must be a list of ids, got ${quote(odd)}`)
}

const tooMuch = (parameter: string, bytes: number): Refusal =>
  invalid(parameter, `what the device reported is ${(bytes / 1_000_000).toFixed(1)} MB; name fewer`)
