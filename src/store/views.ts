// The port's reads for people: lists of devices, how much waits, what happened over time, a command whose device is not known. All of them are cheap with
// 100,000 devices: pages are read by their key, and counts from small indexes. Not here: who may see what (http/).

import type { State } from '../core/command.ts'
import type { Device, StoredCommand } from './store.ts'
import type { DeviceName, Reach } from './stream.ts'

/** `online`: it has a session on a node that is alive. A disabled device is that alone; one that never proved a secret of its own is inactive unless it is online. */
export type DeviceStatus = 'online' | 'offline' | 'inactive' | 'disabled'
export const deviceStatuses: readonly DeviceStatus[] = ['online', 'offline', 'inactive', 'disabled']

/** A search of devices was not begun, because too many wait already. The message says what to do, and can be shown as it is. */
export class SearchesFull extends Error {
  override readonly name = 'SearchesFull'
}

export interface DeviceQuery {
  readonly orgId: string
  readonly reach: Reach
  readonly productKey: string | null
  readonly status: DeviceStatus | null
  /** the beginning of a deviceKey or an assetId, or a part of one of its names, whatever the case; null: any */
  readonly text: string | null
  /** only those with something that waits */
  readonly waiting: boolean
}

export interface DeviceLine {
  readonly device: Device
  readonly status: DeviceStatus
  /** created commands */
  readonly waiting: number
  readonly oldestWaitingAt: number | null
  /** one is sent and not answered */
  readonly inFlight: boolean
}

/** A condition of the vendor's device search; http/device-expression.ts makes it from text. */
export type DeviceCondition =
  | { readonly op: 'and' | 'or'; readonly terms: readonly DeviceCondition[] }
  | { readonly op: 'not'; readonly term: DeviceCondition }
  | {
      readonly op: 'in'
      readonly field: 'modelId' | 'productKey' | 'deviceKey' | 'assetId' | 'productType' | 'status'
      readonly values: readonly string[]
    }
  /** as the names of commands: `like` */
  | { readonly op: 'name'; readonly locale: string | null; readonly text: string }
  /** an attribute (JSON text) or a tag (text) is one of these; null: it is there, whatever it is */
  | {
      readonly op: 'label'
      readonly of: 'attributes' | 'tags'
      readonly key: string
      readonly values: readonly string[] | null
    }

export interface Counts {
  readonly devices: number
  readonly online: number
  readonly disabled: number
  readonly inactive: number
  /** created commands */
  readonly waiting: number
  /** sent and not answered */
  readonly inFlight: number
  readonly oldestWaitingAt: number | null
}

/** Commands that went from one state to another (from null: they were accepted) in the `stepMs` from `at` on. */
export interface Tally {
  readonly at: number
  readonly from: State | null
  readonly to: State
  readonly n: number
}

export interface FoundCommand extends StoredCommand {
  readonly device: DeviceName
}

export interface Views {
  /** In the order of their numbers, from above `after` on, at most `limit`; it looks at no more than `scan` devices. `next`: where to go on; null: that is all. */
  listDevices(
    query: DeviceQuery,
    after: number,
    limit: number,
    scan: number,
  ): Promise<{ readonly lines: DeviceLine[]; readonly next: number | null }>
  /** Those with the most commands that wait, or with the one that has waited longest, first. */
  topDevices(
    query: Pick<DeviceQuery, 'orgId' | 'reach' | 'productKey'>,
    by: 'waiting' | 'oldest',
    limit: number,
  ): Promise<DeviceLine[]>
  /** One of them; null: there is none. */
  deviceLine(deviceId: number): Promise<DeviceLine | null>
  /**
   * As the vendor's search has it: newest first; total counts all matches. Rejects with SearchesFull where the store makes such searches wait for each other,
   * and too many do.
   */
  searchDevices(
    orgId: string,
    reach: Reach,
    condition: DeviceCondition | null,
    offset: number,
    limit: number,
  ): Promise<{ readonly lines: DeviceLine[]; readonly total: number }>
  /** Of an organization, or of some of its products. */
  counts(orgId: string, productKeys: readonly string[] | null): Promise<Counts>
  /** From `from` (inclusive) to `to`, in steps of whole minutes that begin at `from`. Empty steps are absent. */
  tallies(
    orgId: string,
    productKeys: readonly string[] | null,
    from: number,
    to: number,
    stepMs: number,
  ): Promise<Tally[]>
  /** A command by its id alone, also of a deleted device. */
  commandById(commandId: string): Promise<FoundCommand | null>
  /** Devices of an organization with something created, by their numbers, from above `after` on, at most `limit`; for work that goes through all of them. */
  waitingDevices(orgId: string, productKeys: readonly string[] | null, after: number, limit: number): Promise<number[]>
  deviceName(deviceId: number): Promise<DeviceName | null>
}
