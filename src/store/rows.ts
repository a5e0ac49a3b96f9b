// How columns read as the records of the port where every SQL store has them alike. Not here: what the dialects read differently, such as commands, devices
// and queues (sqlite-rows.ts, postgres-rows.ts).

import type { State } from '../core/command.ts'
import type { QueueEvent } from '../core/queue.ts'
import type { ApplicationRow, Grant, LatestEvent, LatestValue, ModelRow, Organization, ProductRow } from './store.ts'

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
