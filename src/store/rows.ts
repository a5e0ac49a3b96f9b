// How columns read as the records of the port where every SQL store has them alike. Not here: what the dialects read differently, such as commands and
// queues (sqlite-rows.ts, postgres-rows.ts).

import type { State } from '../core/command.ts'
import type { QueueEvent } from '../core/queue.ts'
import type {
  ApplicationRow,
  Device,
  Grant,
  LatestEvent,
  LatestValue,
  ModelRow,
  Organization,
  ProductRow,
} from './store.ts'
import type { DeadLetter, WebhookRow } from './stream.ts'

export interface EventColumns {
  readonly device_seq: number
  readonly command_id: string | null
  readonly from_state: State | null
  readonly to_state: State | null
  readonly at: number
  readonly by: string
  readonly reason: string
  readonly detail: string | null
}

export const eventOf = (row: EventColumns): QueueEvent => ({
  seq: row.device_seq,
  commandId: row.command_id,
  from: row.from_state,
  to: row.to_state,
  at: row.at,
  by: row.by,
  reason: row.reason,
  detail: row.detail,
})

export interface OrganizationColumns {
  readonly org_id: string
  readonly name: string
}

export const organizationOf = (row: OrganizationColumns): Organization => ({ orgId: row.org_id, name: row.name })

export interface ApplicationColumns {
  readonly app_key: string
  readonly org_id: string
  readonly secret: string
  readonly grants_json: string
}

export const applicationOf = (row: ApplicationColumns): ApplicationRow => ({
  appKey: row.app_key,
  orgId: row.org_id,
  secret: row.secret,
  grants: JSON.parse(row.grants_json) as readonly Grant[],
})

export interface ModelColumns {
  readonly org_id: string
  readonly model_id: string
  readonly json: string
}

export const modelOf = (row: ModelColumns): ModelRow => ({ modelId: row.model_id, orgId: row.org_id, json: row.json })

export interface ProductColumns {
  readonly product_key: string
  readonly org_id: string
  readonly secret: string
  readonly model_id: string | null
  readonly json: string
}

export const productOf = (row: ProductColumns): ProductRow => ({
  productKey: row.product_key,
  orgId: row.org_id,
  secret: row.secret,
  modelId: row.model_id,
  json: row.json,
})

export interface ValueColumns {
  readonly point_id: string
  readonly value_json: string
  readonly quality: number | null
  readonly at: number
}

export const latestValueOf = (row: ValueColumns): LatestValue => ({
  pointId: row.point_id,
  valueJson: row.value_json,
  quality: row.quality,
  at: row.at,
})

export interface LatestEventColumns {
  readonly event_id: string
  readonly output_json: string
  readonly at: number
}

export const latestEventOf = (row: LatestEventColumns): LatestEvent => ({
  eventId: row.event_id,
  outputJson: row.output_json,
  at: row.at,
})

export interface WebhookColumns {
  readonly webhook_id: string
  readonly org_id: string
  readonly url: string
  readonly secret: string
  readonly filter_json: string
  readonly created_by: string
  readonly created_at: number
  /** SQLite has no booleans */
  readonly paused: boolean | 0 | 1
  readonly position: number
  readonly attempts: number
  readonly failing_since: number | null
  readonly next_at: number | null
  readonly last_error: string | null
}

export const webhookOf = (row: WebhookColumns): WebhookRow => ({
  webhookId: row.webhook_id,
  orgId: row.org_id,
  url: row.url,
  secret: row.secret,
  filterJson: row.filter_json,
  createdBy: row.created_by,
  createdAt: row.created_at,
  paused: Boolean(row.paused),
  position: row.position,
  attempts: row.attempts,
  failingSince: row.failing_since,
  nextAt: row.next_at,
  lastError: row.last_error,
})

export interface DeadLetterColumns {
  readonly position: number
  readonly event_json: string
  readonly failed_at: number
  readonly reason: string
}

export const deadLetterOf = (row: DeadLetterColumns): DeadLetter => ({
  position: row.position,
  eventJson: row.event_json,
  failedAt: row.failed_at,
  reason: row.reason,
})

/** Of `device d` and its gateway, `device g`. */
export const DEVICE_COLUMNS = `d.id, d.asset_id, d.org_id, d.product_key, d.device_key, d.secret, d.name_json, d.timezone, d.disabled,
  g.asset_id as gateway_asset_id, d.certificate_serial, d.active_at, d.last_online_at, d.last_offline_at, d.description, d.created_at`

/** Devices are read as arrays, which cost less than objects: a gateway has thousands of them behind it. In the order of DEVICE_COLUMNS. */
export type DeviceColumns = readonly [
  id: number,
  assetId: string,
  orgId: string,
  productKey: string,
  deviceKey: string,
  secret: string,
  nameJson: string,
  timezone: string,
  /** SQLite has no booleans */
  disabled: boolean | 0 | 1,
  gatewayAssetId: string | null,
  certificateSerial: string | null,
  activeAt: number | null,
  lastOnlineAt: number | null,
  lastOfflineAt: number | null,
  description: string | null,
  createdAt: number | null,
]

export const deviceOf = (row: DeviceColumns): Device => ({
  id: row[0],
  assetId: row[1],
  orgId: row[2],
  productKey: row[3],
  deviceKey: row[4],
  secret: row[5],
  nameJson: row[6],
  timezone: row[7],
  disabled: Boolean(row[8]),
  gatewayAssetId: row[9],
  certificateSerial: row[10],
  activeAt: row[11],
  lastOnlineAt: row[12],
  lastOfflineAt: row[13],
  description: row[14],
  createdAt: row[15],
})
