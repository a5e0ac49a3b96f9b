// Measurepoints as devices report them: one device's, or those of several devices at once (a gateway's batch, a channel). What counts afterwards is the
// latest value by its time, so a report of old data is one like any other. Not here: whether a value fits (core/report.ts).

import { isObject, quote } from '../core/json.ts'
import { POINTS_MAX_PER_DEVICE } from '../core/limits.ts'
import type { Model } from '../core/model.ts'
import { checkReportedPoint } from '../core/report.ts'
import type { Device, LatestValue } from '../store/store.ts'
import { type Call, type DeviceCall, isOutcome, type Outcome, readTime, refused, save } from './call.ts'
import { codes } from './codes.ts'
import { batchDevices, channelDevices, type FindDevice, readItems } from './items.ts'

/** What one report changes of one device. */
interface Report {
  readonly device: Device
  readonly values: readonly LatestValue[]
}

/** `thing/measurepoint/post` and `…/resume`: `{"measurepoints": {"<id>": <value> | {"value", "quality"}}, "time"?}`, all of it or nothing. */
export async function reportPoints(call: DeviceCall): Promise<Outcome> {
  const { device, params } = call
  if (!isObject(params)) return refused(codes.pointsFormat, `params must be an object, got ${quote(params)}`)
  const report = readReport(
    params,
    device,
    await call.fleet.model(device),
    call.clock.now(),
    call.skipInvalidMeasurepoints,
  )
  return isOutcome(report) ? report : saveReports(call, [report])
}

/**
 * `thing/measurepoint/post/batch` and `…/resume/batch`: a list of the same, each with the keys of its device; without them it is about the publisher.
 * All of it or nothing, and the first thing that is wrong is told; with `skipInvalidMeasurepoints` a value that does not fit is left out instead.
 */
export const reportBatch = (call: DeviceCall): Promise<Outcome> => reportItems(call, batchDevices(call))

/** `measurepoint/post` of a channel: a list of the same, each with the deviceKey of its device. */
export const reportPointsByChannel = (call: Call): Promise<Outcome> => reportItems(call, channelDevices(call))

async function reportItems(call: Call, find: FindDevice): Promise<Outcome> {
  const now = call.clock.now()
  const reports = await readItems(call, find, codes.pointsFormat, (item, device, model) =>
    readReport(item, device, model, now, call.skipInvalidMeasurepoints),
  )
  return isOutcome(reports) ? reports : saveReports(call, reports)
}

function readReport(
  given: Record<string, unknown>,
  device: Device,
  model: Model | null,
  now: number,
  skipInvalid: boolean,
): Report | Outcome {
  if (!isObject(given.measurepoints))
    return refused(codes.pointsFormat, 'measurepoints must be an object of values by their ids')
  const at = readTime(given.time, now)
  if (at === null) return refused(codes.pointsFormat, `time must be ms since 1970, got ${quote(given.time)}`)
  const entries = Object.entries(given.measurepoints)
  if (entries.length > POINTS_MAX_PER_DEVICE) return refused(codes.misfit, tooMany(device))
  const values: LatestValue[] = []
  for (const [pointId, value] of entries) {
    const check = checkReportedPoint(model, pointId, value)
    if (check.ok) values.push({ pointId, valueJson: check.json, quality: check.quality, at })
    else if (!skipInvalid) return refused(codes.misfit, check.problem())
  }
  return { device, values }
}

const tooMany = ({ deviceKey }: Device): string =>
  `${deviceKey} would have more than ${POINTS_MAX_PER_DEVICE} measurepoints`

function saveReports(call: Call, reports: readonly Report[]): Promise<Outcome> {
  const filled = reports.filter(({ values }) => values.length > 0)
  return save(
    call,
    filled.map(({ device, values }) => ({
      change: { type: 'measurepoints', deviceId: device.id, values },
      tooMany: tooMany(device),
    })),
  )
}
