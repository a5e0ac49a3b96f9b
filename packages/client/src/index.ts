// What the package gives: the client, its errors and codes, and the types of what goes over the wire. Nothing else is public.

export { type AccessOptions, whoAmI } from './access.ts'
export type { Call } from './caller.ts'
export type { Cancellation, CancellationFilter, CancellationItem, Cancellations } from './cancellations.ts'
export {
  type ActionCall,
  type CallOptions,
  type ChangesOptions,
  Downlink,
  type DownlinkOptions,
  type EventsOptions,
  type SearchOptions,
  type SearchPageOptions,
  type SendOptions,
  type WaitOptions,
} from './client.ts'
export { type Answer, codes, DownlinkError, NoAnswer, NoToken, type Outcome, type Why } from './errors.ts'
export type {
  Job,
  JobCommand,
  JobDeleted,
  JobOrder,
  JobSearch,
  JobStatistics,
  Jobs,
  JobTarget,
  Task,
  TaskAnswer,
  TaskStatus,
} from './jobs.ts'
export type { DataDefinition, Datapoint, DataType, ThingEvent, ThingModel, ThingService } from './model.ts'
export {
  type Cancelled,
  type ChangeEvent,
  type ChangePage,
  type Command,
  type CommandPage,
  type CommandRecord,
  type Device,
  type DeviceLine,
  type DevicePage,
  type DeviceQuery,
  type DeviceQueue,
  type DeviceStatus,
  type EventFilter,
  type Explanation,
  type Grant,
  isFinal,
  type Reason,
  type Sent,
  State,
  type StateName,
  type Stats,
  type StatsQuery,
  type StringI18n,
  type Sums,
  stateName,
  type Timeline,
  type TimelineEvent,
  type WhoAmI,
} from './wire.ts'
