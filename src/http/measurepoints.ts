// What devices last reported, for applications: measurepoints as the vendor has it, events as an addition of this project.
// Not here: who is asking and whether they may (app.ts), how devices report (uplink/).

import { invalid, type Refusal } from '../core/errors.ts'
import { quote } from '../core/json.ts'
import { PAGE_MAX_BYTES, POINTS_MAX_PER_DEVICE } from '../core/limits.ts'
import { type Action, type Call, objectBody, type Resource } from './action.ts'
import { failure, ok, type Result } from './wire.ts'

const queryLatest = (run: Action['run']): Resource['actions'] =>
  new Map([['queryLatest', { methods: ['POST'], needs: 'Read', parameters: [], strict: false, run }]])

export const measurepoints: Resource = {
  path: '/connect-service/v2.1/measurepoints',
  label: 'measurepoints ',
  actions: queryLatest(latestMeasurepoints),
}

export const events: Resource = {
  path: '/connect-service/v2.1/events',
  label: 'events ',
  actions: queryLatest(latestEvents),
}

/** `{"measurepointIds": […]}`: those, or without a list all. `time` is text of ms; `quality` is there where the device gave one. */
async function latestMeasurepoints({ body, store, device }: Call): Promise<Result> {
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
async function latestEvents({ body, store, device }: Call): Promise<Result> {
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
