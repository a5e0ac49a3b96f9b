// Events as devices report them, of which the last occurrence of each kind is kept. Not here: whether the outputs fit (core/report.ts).

import { isObject, quote } from '../core/json.ts'
import { ATTRIBUTES_MAX_PER_DEVICE, REQUEST_ITEMS_MAX } from '../core/limits.ts'
import type { Model } from '../core/model.ts'
import { checkReportedEvent } from '../core/report.ts'
import type { Device } from '../store/store.ts'
import { type Call, type DeviceCall, isOutcome, type Outcome, readTime, refused, type Saving, save } from './call.ts'
import { codes } from './codes.ts'
import { channelDevices, readItems } from './items.ts'

/** The id in the path of an event's report; null: it is another path. */
export const eventIdOf = (path: string): string | null => /^thing\/event\/([^/]+)\/post$/.exec(path)?.[1] ?? null

/** `thing/event/{id}/post`: `{"events": {"<output>": <value>}, "time"?}`; without outputs an event has none. */
export async function reportEvent(call: DeviceCall): Promise<Outcome> {
  const { device, params = {}, path } = call
  if (!isObject(params)) return refused(codes.badFormat, `params must be an object, got ${quote(params)}`)
  const at = readTime(params.time, call.clock.now())
  if (at === null) return refused(codes.badFormat, `time must be ms since 1970, got ${quote(params.time)}`)
  const saving = readEvent(device, await call.fleet.model(device), eventIdOf(path) ?? '', params.events, at)
  return isOutcome(saving) ? saving : save(call, [saving])
}

/** `event/post` of a channel: a list of `{"deviceKey", "events": {"<id>": {"<output>": <value>}}, "time"?}`. */
export async function reportEventsByChannel(call: Call): Promise<Outcome> {
  const now = call.clock.now()
  const read = await readItems(call, channelDevices(call), codes.badFormat, (item, device, model) =>
    readEvents(item, device, model, now),
  )
  if (isOutcome(read)) return read
  const savings = read.flat()
  return savings.length <= REQUEST_ITEMS_MAX
    ? save(call, savings)
    : refused(codes.badFormat, `a request may report ${REQUEST_ITEMS_MAX} events, got ${savings.length}`)
}

function readEvents(
  item: Record<string, unknown>,
  device: Device,
  model: Model | null,
  now: number,
): readonly Saving[] | Outcome {
  if (!isObject(item.events))
    return refused(codes.badFormat, 'events must be an object of outputs by the ids of events')
  const at = readTime(item.time, now)
  if (at === null) return refused(codes.badFormat, `time must be ms since 1970, got ${quote(item.time)}`)
  const entries = Object.entries(item.events)
  if (entries.length > ATTRIBUTES_MAX_PER_DEVICE) return refused(codes.misfit, tooMany(device))
  const savings: Saving[] = []
  for (const [eventId, outputs] of entries) {
    const saving = readEvent(device, model, eventId, outputs, at)
    if (isOutcome(saving)) return saving
    savings.push(saving)
  }
  return savings
}

function readEvent(
  device: Device,
  model: Model | null,
  eventId: string,
  outputs: unknown,
  at: number,
): Saving | Outcome {
  const check = checkReportedEvent(model, eventId, outputs)
  if (!check.ok) return refused(codes.misfit, check.problem())
  const event = { eventId, outputJson: check.json, at }
  return { change: { type: 'event', deviceId: device.id, event }, tooMany: tooMany(device) }
}

const tooMany = ({ deviceKey }: Device): string =>
  `${deviceKey} would have more than ${ATTRIBUTES_MAX_PER_DEVICE} events`
