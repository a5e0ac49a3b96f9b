// The jobs of the scene: one that is over, one in which some are away, one under way, one to come. Not here: the hour in which they are made (hour.ts).

import type { JobCommand, JobOrder, JobTarget } from '../../packages/client/src/index.ts'
import { fleet, type Kind, never } from './fleet.ts'

const named = (en: string, zh: string) => ({ defaultValue: en, i18nValue: { en_US: en, zh_CN: zh } })

/** All of a kind, at one site or everywhere. */
const listed = (kind: Kind, site = ''): JobTarget => ({
  targetType: 'device_list',
  targetDevices: fleet
    .filter(device => device.kind === kind && device.deviceKey.startsWith(site) && !never.has(device.deviceKey))
    // The last one of them is disabled, and not there during the hour.
    .filter(({ deviceKey }) => deviceKey !== 'lab-ahu-04')
    .map(({ assetId }) => ({ assetId })),
})

const set = (measurepointId: string, value: unknown): JobCommand => ({
  commandType: 'MEASUREPOINT_SET',
  setMeasurepointInfo: { measurepointId, value },
})
const invoke = (serviceId: string, inputData: Readonly<Record<string, unknown>>): JobCommand => ({
  commandType: 'SERVICE_INVOKE',
  serviceInvokeInfo: { serviceId, inputData },
})

interface Terms {
  /** s for which each command waits */
  readonly ttl: number
  readonly triggerTs?: number
}
function order(
  name: JobOrder['name'],
  targetScope: JobTarget,
  commandInfo: JobCommand,
  { ttl, triggerTs }: Terms,
): JobOrder {
  const schedulePolicy = {
    scheduleType: 'DISPOSABLE',
    ...(triggerTs === undefined ? {} : { disposableSchedulePolicy: { triggerTs } }),
  } as const
  return {
    ...{ name, desc: '', targetScope, commandInfo, schedulePolicy },
    timeoutPolicy: { inProgressTimeoutInSeconds: 20, ttlTimeoutInSeconds: ttl },
    retryPolicy: { enableRetry: true, retryIntervalInSeconds: 600, retryCount: 2 },
  }
}

const DAY_AND_A_HALF_MS = 129_600_000

/** With the minute of the hour in which each is made. */
export const jobs: readonly { readonly minute: number; readonly order: JobOrder }[] = [
  {
    minute: 18,
    order: order(named('Limit charging at noon', '午间限制充电功率'), listed('ev', 'st'), set('limit', 40), {
      ttl: 300,
    }),
  },
  {
    minute: 35,
    order: order(named('Reboot the depot', '重启停车场充电桩'), listed('ev', 'dep'), invoke('reboot', { delay: 5 }), {
      ttl: 60,
    }),
  },
  {
    minute: 57,
    order: order(named('Night setback', '夜间回调'), listed('ahu'), set('supply', 16.5), { ttl: 7_200 }),
  },
  {
    minute: 59,
    order: order(
      named('Calibrate pumps on Tuesday', '周二校准水泵'),
      listed('pump'),
      invoke('calibrate', { reference: 20, passes: 3 }),
      { ttl: 3_600, triggerTs: Date.now() + DAY_AND_A_HALF_MS },
    ),
  },
]
