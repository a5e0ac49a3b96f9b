// What goes over the wire, as types: devices, commands, and what the answers hold. With the few readers that make sure of what the client itself goes by.
// Not here: how any of it is sent.

/** A device, by its asset or by its keys. */
export type Device = { readonly assetId: string } | { readonly productKey: string; readonly deviceKey: string }

/** States as the vendor numbers them. *Open*: created or sent. The other five are final. */
export const State = {
  created: 1,
  cancelled: 2,
  expired: 3,
  sent: 4,
  succeeded: 5,
  failed: 6,
  timedOut: 7,
} as const
export type State = (typeof State)[keyof typeof State]
export type StateName = keyof typeof State

/** `stateName[4] === 'sent'` */
export const stateName: Readonly<Record<State, StateName>> = {
  1: 'created',
  2: 'cancelled',
  3: 'expired',
  4: 'sent',
  5: 'succeeded',
  6: 'failed',
  7: 'timedOut',
}

/** Nothing happens to it any more. */
export const isFinal = (state: State): boolean => state !== State.created && state !== State.sent

/** A name in several languages. */
export interface StringI18n {
  readonly defaultValue: string
  readonly i18nValue: Readonly<Record<string, string>>
}

/** A command as get, search and cancel show it. */
export interface Command {
  /** 19 digits: more than a number holds, so it is a text */
  readonly commandId: string
  readonly orgId: string
  readonly productKey: string
  readonly deviceKey: string
  readonly assetId: string
  /** ms since 1970, as digits */
  readonly createTime: string
  /** `YYYY-MM-DD HH:mm:ss` in the device's timezone */
  readonly createLocalTime: string
  /** 1: a measurepoint is set, 2: a service is invoked */
  readonly commandType: 1 | 2
  readonly commandName: StringI18n
  /** s that the device has to answer */
  readonly timeout: number
  /** s for which it waits for its device; 0: instant */
  readonly pendingTtl: number
  readonly state: State
  /** the measurepoint or the service */
  readonly tslIdentifier: string
  /** the value, or the inputs of the service */
  readonly inputData: unknown
  /** outputs of a service; null until it has answered with some */
  readonly outputData: Readonly<Record<string, unknown>> | null
}

/** Some commands of a device, newest first, and which of how many pages it is. */
export interface CommandPage {
  readonly commands: readonly Command[]
  /** from 1 */
  readonly pageNo: number
  readonly pageSize: number
  /** commands on all pages; null where the server does not count them */
  readonly totalSize: number | null
}

/** What became of sending a command. */
export interface Sent {
  readonly commandId: string
  /** what the device answered an instant service with; null for all others */
  readonly outputData: Readonly<Record<string, unknown>> | null
}

/** What became of cancelling one command. */
export interface Cancelled {
  readonly commandId: string
  /** true: it was not sent and never will be, be it by this call or by one before. False: it is too late, `state` says for what. */
  readonly cancelled: boolean
  readonly state: State
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const isState = (value: unknown): value is State => typeof value === 'number' && Object.hasOwn(stateName, value)

/** A commandId as it may be sent: an empty or missing one must never turn a call about one command into a call about all. */
export const isCommandId = (value: unknown): value is string => typeof value === 'string' && /^[0-9]{1,19}$/.test(value)

// --- what people look at -------------------------------------------------------------------------------------------
// Instants are ms since 1970; null: never, or none.

/** A command with all that is on record of it. */
export interface CommandRecord extends Command {
  /** appKey of the application that sent it */
  readonly createdBy: string
  readonly sentAt: number | null
  readonly settledAt: number | null
  /** when it lapses if it has not been sent */
  readonly expireAt: number
  /** when it lapses if it has not been answered; null until it is sent */
  readonly deadlineAt: number | null
  /** why it ended as it did: 0 succeeded, one of the server's codes, or the device's own; null: open, expired or cancelled by a caller */
  readonly code: number | null
  /** answers that came after it was over */
  readonly lateReplies: number
  readonly deviceCode: string | null
  readonly deviceMessage: string | null
}

export type DeviceStatus = 'online' | 'offline' | 'inactive' | 'disabled'

/** A device with its status and what waits for it. */
export interface DeviceLine {
  readonly assetId: string
  readonly productKey: string
  readonly deviceKey: string
  readonly deviceName: StringI18n
  readonly description: string | null
  readonly timezone: string
  /** assetId of the gateway that it is behind */
  readonly gateway: string | null
  readonly status: DeviceStatus
  /** created commands */
  readonly waiting: number
  readonly oldestWaitingAt: number | null
  /** one is sent and not answered */
  readonly inFlight: boolean
  readonly createdAt: number | null
  readonly activeAt: number | null
  readonly lastOnlineAt: number | null
  readonly lastOfflineAt: number | null
}

/** Which devices, and in which order. */
export interface DeviceQuery {
  readonly productKey?: string
  readonly status?: DeviceStatus
  /** beginning of a deviceKey or assetId, or part of a name, whatever the case */
  readonly text?: string
  /** true: only those that something waits for */
  readonly waiting?: boolean
}

/** Some devices, and where those after them begin. */
export interface DevicePage {
  /** may be fewer than the limit though there are more: go by `next` */
  readonly devices: readonly DeviceLine[]
  /** `after` of the next page; null: this is the last one */
  readonly next: number | null
}

/** What a device has open, in the order in which it goes out. */
export interface DeviceQueue {
  readonly now: number
  readonly device: DeviceLine
  readonly commands: readonly Omit<CommandRecord, 'deviceCode' | 'deviceMessage'>[]
}

/** What keeps a command, or what it waits for. New ones may be added. */
export type Reason =
  | { readonly reason: 'deviceDisabled' | 'deviceInactive' | 'deviceNotReady' | 'next' }
  | { readonly reason: 'deviceOffline'; readonly since: number | null }
  | { readonly reason: 'deviceElsewhere'; readonly node: number }
  | { readonly reason: 'behind'; readonly commandId: string; readonly ahead: number }
  | { readonly reason: 'awaitingAnswer'; readonly sentAt: number; readonly deadlineAt: number }
  | { readonly reason: 'over'; readonly settledAt: number; readonly code: number | null }

/** Why a command waits, in words and in fields. */
export interface Explanation {
  readonly commandId: string
  readonly assetId: string
  readonly state: State
  readonly now: number
  /** in English, times in UTC */
  readonly explanation: string
  readonly reasons: readonly Reason[]
  /** whether it could be cancelled at that moment; only a cancel that reports it has stopped it */
  readonly cancellable: boolean
  /** open commands before it; null: it is over */
  readonly ahead: number | null
  readonly head: {
    readonly commandId: string
    readonly state: State
    readonly sentAt: number | null
    readonly deadlineAt: number | null
  } | null
  readonly expireAt: number | null
  readonly deadlineAt: number | null
}

/** Counts of transitions by outcome. One that fails the moment it is accepted counts as both. */
export interface Sums {
  readonly accepted: number
  readonly sent: number
  readonly succeeded: number
  readonly failed: number
  readonly timedOut: number
  readonly cancelled: number
  readonly expired: number
}

export interface StatsQuery {
  readonly productKey?: string
  /** default: an hour before `to` */
  readonly from?: number
  /** default: now */
  readonly to?: number
  /** whole minutes, in s */
  readonly stepS?: number
}

/** How many devices and commands there are now, and what happened over time. */
export interface Stats {
  readonly now: {
    readonly at: number
    readonly devices: number
    readonly online: number
    readonly offline: number
    readonly inactive: number
    readonly disabled: number
    readonly waiting: number
    readonly inFlight: number
    readonly oldestWaitingAt: number | null
  }
  readonly from: number
  readonly to: number
  readonly stepS: number
  readonly total: Sums
  readonly perSecond: Sums
  readonly series: readonly (Sums & { readonly at: number })[]
}

// --- who calls -----------------------------------------------------------------------------------------------------

/** What a caller may do. Control and FullAccess imply Read. */
export interface Grant {
  readonly resource: 'Asset' | 'Device' | 'Model' | 'Organization'
  readonly actions: readonly ('Control' | 'FullAccess' | 'Read')[]
  /** for everything of the organization, or for these */
  readonly scope: 'all' | { readonly productKeys: readonly string[] } | { readonly assetIds: readonly string[] }
}

/** As whom the server takes a caller. */
export interface WhoAmI {
  /** `open`: it asks nobody for credentials */
  readonly auth: 'signature' | 'open'
  /** null where it is open: nobody is told from anybody else there */
  readonly caller: {
    readonly appKey: string
    readonly orgId: string
    readonly orgName: string
    /** the name, where it is a person with an operator token */
    readonly operator: string | null
    /** ms since 1970, when the token that the call carried ends */
    readonly expireAt: number | null
    readonly grants: readonly Grant[]
  } | null
  /** where it is open: those that there are, each with the application that a call acts as; appKey null: it has none, and nothing can be called */
  readonly organizations: readonly {
    readonly orgId: string
    readonly name: string
    readonly appKey: string | null
    readonly grants: readonly Grant[]
  }[]
  /** there are more than are listed */
  readonly more: boolean
  /** the clock by which the server times commands, ms since 1970 */
  readonly now: number
}

// --- what happens --------------------------------------------------------------------------------------------------

/** A transition of a command, or something that happened to a device itself. */
export interface ChangeEvent {
  /** Its place in the stream: `after` of the events that come after it. The same each time it is told. */
  readonly id: string
  /** of the device: each of its events has the next number */
  readonly seq: number
  /** null: the event is of the device itself */
  readonly commandId: string | null
  readonly device: {
    readonly orgId: string
    readonly productKey: string
    readonly deviceKey: string
    readonly assetId: string
  }
  /** null: it was accepted */
  readonly from: State | null
  readonly to: State | null
  /** the name of `to` */
  readonly state: StateName | null
  readonly at: number
  /** the appKey of who did it, `device`, or what in the server did */
  readonly by: string
  readonly reason: string
  readonly detail: unknown
  /** ms; null while there is none to tell */
  readonly latency: {
    /** from creation to sending */
    readonly waitedMs: number | null
    /** from sending to the end */
    readonly answeredMs: number | null
    /** from creation to the end */
    readonly totalMs: number | null
  } | null
  readonly command: { readonly commandType: 1 | 2; readonly tslIdentifier: string; readonly code: number | null } | null
}

/** An event as it stands in a timeline: where it is in the stream is not told there. */
export type TimelineEvent = Omit<ChangeEvent, 'id'>

/** One command's life. */
export interface Timeline {
  readonly command: CommandRecord
  /** all that happened to it, oldest first */
  readonly events: readonly TimelineEvent[]
  /** what happened meanwhile to its device, and to the commands before it: what it waited for */
  readonly waitedFor: readonly TimelineEvent[]
}

/** Which events. */
export interface EventFilter {
  readonly assetId?: string
  readonly productKey?: string
  /** Only transitions into one of these. Without it also late answers, and what happens to devices themselves. */
  readonly states?: readonly State[]
}

/** Some events, and where those after them begin. */
export interface ChangePage {
  readonly events: readonly ChangeEvent[]
  /** `after` of the next page, which may be asked for at any time */
  readonly next: string
  /** whether there is more now */
  readonly more: boolean
}
