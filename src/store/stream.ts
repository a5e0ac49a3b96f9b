// The port for the stream of changes: every event of every device at a position of its own, who the device was, and who has been told of it (webhooks).
// Positions only grow and are dense enough to be compared, nothing more: what callers see of one is an opaque cursor (http/). Not here: who asks when.

import type { Kind, State } from '../core/command.ts'
import type { QueueEvent } from '../core/queue.ts'

/** Who a device is, or was: also one that has been deleted, for as long as there are records of it. */
export interface DeviceName {
  readonly deviceId: number
  readonly orgId: string
  readonly productKey: string
  readonly deviceKey: string
  readonly assetId: string
  readonly timezone: string
  /** null: it is there */
  readonly deletedAt: number | null
}

/** What the command of an event is; as it was when the event was read, which of a final state is for ever. */
export interface EventCommand {
  readonly kind: Kind
  readonly identifier: string
  readonly createdAt: number
  readonly createdBy: string
  readonly sentAt: number | null
  readonly settledAt: number | null
  readonly code: number | null
}

export interface Change {
  /** above 0 */
  readonly position: number
  readonly device: DeviceName
  readonly event: QueueEvent
  /** null: the event is of the device itself */
  readonly command: EventCommand | null
}

/** Which changes somebody wants and may see. */
export interface ChangeFilter {
  readonly orgId: string
  /** only of these products or these devices; null: of all that the organization has */
  readonly reach: Reach
  readonly productKey: string | null
  readonly assetId: string | null
  /** only transitions into one of these; null: all, and what happened to devices */
  readonly to: readonly State[] | null
}

/** The devices that an application may see: all of its organization, or those of some products and some by themselves. */
export type Reach = 'all' | { readonly productKeys: readonly string[]; readonly assetIds: readonly string[] }

export interface ChangePage {
  /** in the order of positions, which is for each device the order in which it happened */
  readonly changes: readonly Change[]
  /** everything up to here has been looked at: the next page begins after it */
  readonly upTo: number
  /** whether there may be more by now */
  readonly isFull: boolean
}

export interface Changes {
  /**
   * Where several nodes share the store: gives positions to events that are committed and have none, at most `limit`, of each device in its order, so
   * that whoever has read up to a position has missed nothing before it. One node does it at a time; 0 where another one does, or there is nothing to do.
   */
  placeEvents(limit: number): Promise<number>
  /** At most `limit` changes after a position, looking at no more than `scan` of any kind. filter null: those of all organizations, whatever they are. */
  changesAfter(after: number, filter: ChangeFilter | null, limit: number, scan: number): Promise<ChangePage>
  /**
   * The last position given; and the largest one of a change that has been purged (0: none), so that who has read less may have missed something. Asked for
   * after a page, it says so of that page too.
   */
  streamEnds(): Promise<{ readonly given: number; readonly lost: number }>
  /** All events of a command whose record is there, in order, at most `limit` of the first; also of a deleted device. */
  timeline(commandId: string, limit: number): Promise<QueueEvent[]>
  /** Events of a device between two of its numbers, both left out: in order, at most `limit` of the first; also of a deleted device. */
  eventsBetween(deviceId: number, after: number, before: number, limit: number): Promise<QueueEvent[]>
}

/** A receiver that is told of changes. `secret` is ciphertext. */
export interface WebhookRow {
  readonly webhookId: string
  readonly orgId: string
  readonly url: string
  readonly secret: string
  /** what it wants, as JSON text (http/webhooks.ts); its reach is that of whoever made it, at that moment */
  readonly filterJson: string
  readonly createdBy: string
  readonly createdAt: number
  readonly paused: boolean
  /** everything up to it was taken, or is among its dead letters */
  readonly position: number
  /** that failed one after the other */
  readonly attempts: number
  readonly failingSince: number | null
  /** not before; null: as soon as there is something */
  readonly nextAt: number | null
  readonly lastError: string | null
}

/** What an attempt changes: guarded by the position that it began from. */
export type WebhookProgress = Pick<WebhookRow, 'position' | 'attempts' | 'failingSince' | 'nextAt' | 'lastError'>

export interface DeadLetter {
  readonly position: number
  /** the event as it was to be sent */
  readonly eventJson: string
  readonly failedAt: number
  readonly reason: string
}

export interface Webhooks {
  addWebhook(row: WebhookRow): Promise<void>
  webhook(webhookId: string): Promise<WebhookRow | null>
  /** of an organization, or with null all there are: by their ids */
  webhooks(orgId: string | null): Promise<WebhookRow[]>
  /**
   * What its owner changes; false: there is none. `anew`: what failed before is forgotten, so that the next attempt is made at once and is the first one. (It
   * must not be given up for the time that it was paused, or that its URL was wrong.)
   */
  changeWebhook(
    webhookId: string,
    to: Partial<Pick<WebhookRow, 'url' | 'secret' | 'filterJson' | 'paused'>> & { readonly anew?: boolean },
  ): Promise<boolean>
  /** Its dead letters go with it; false: there is none. */
  deleteWebhook(webhookId: string): Promise<boolean>
  /** One transaction: how far it has got, and what is given up on. False, and nothing is written, where its position is not `from` any more, or it is gone. */
  saveProgress(webhookId: string, from: number, to: WebhookProgress, dead: readonly DeadLetter[]): Promise<boolean>
  /** In the order of positions. */
  deadLetters(webhookId: string, after: number, limit: number): Promise<DeadLetter[]>
  /** Returns how many there were of those. */
  removeDeadLetters(webhookId: string, positions: readonly number[]): Promise<number>
  countDeadLetters(webhookId: string): Promise<number>
  /**
   * Whose turn it is to do what only one process may do at a time: true, and it is the holder's for `ms`, where nobody else has it. By the store's clock. A
   * holder that is late may meet his successor: what is done in a turn must bear that.
   */
  takeTurn(name: string, holder: string, ms: number): Promise<boolean>
  /** Gives it back, if it is his. */
  endTurn(name: string, holder: string): Promise<void>
}
