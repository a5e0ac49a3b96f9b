// The store port: what the engine, the fleet and the reads need from durable storage, as data. Implementations: memory.ts (the reference), sqlite.ts.
// Nothing here decides. All instants are epoch ms and come in as arguments; no statement asks the database for the time.
// Text with a NUL character is refused where it is written (JSON text writes it as an escape) and names nothing where it is looked up.

import type { Command, CommandBody, State } from '../core/command.ts'
import type { KeptAnswer, Outcome, Queue, QueueEvent } from '../core/queue.ts'
import type { Jobs } from './jobs.ts'
import type { Nodes } from './nodes.ts'
import type { Changes, Webhooks } from './stream.ts'
import type { Views } from './views.ts'

/** What one batch does to one device. Applied whole, or not at all where the device's version is no longer the loaded one. */
export interface DeviceChange {
  /**
   * The queue as it shall be, its `version` still the loaded one: the guard. Where it is `deleted`, which it may only be with nothing open, the device
   * goes with all that it reported, after everything else of the batch is written; devices behind it are free, and get a new version. Its commands
   * and events stay until they are purged, and its number is never given again. A queue that is loaded is never deleted.
   */
  readonly queue: Queue
  readonly inserts: readonly { readonly command: Command; readonly body: CommandBody }[]
  /**
   * Rows that existed, with the state they had when loaded: each must still have it, or the whole batch is refused as a bug. Of a row on record
   * only state, deadlineAt, sentAt, settledAt, sentSession, code and lateReplies are written; the rest never changes.
   */
  readonly updates: readonly { readonly command: Command; readonly from: State }[]
  readonly outcomes: readonly Outcome[]
  /**
   * On a store of one process each gets its position in the stream in this commit; where nodes share it, soon after (Changes.placeEvents). What each says
   * of commands is added to the tally of its minute, and where the device is deleted, who it was is kept.
   */
  readonly events: readonly QueueEvent[]
  /** answers that repeated calls are to get; one that had lapsed is replaced; absent: none */
  readonly kept?: readonly KeptAnswer[]
}

export interface Batch {
  readonly node: number
  /** The life of the node that decided it, where nodes share the store: refused with LeaseLost once another one has the number. */
  readonly epoch?: number
  /** the node's largest id so far, or null: becomes its high-water mark */
  readonly lastCommandId: string | null
  /** the clock at the decision: becomes the floor of the clock at the next start */
  readonly now: number
  readonly changes: readonly DeviceChange[]
}

export interface LoadKey {
  readonly deviceId: number
  /** commands that the inputs name */
  readonly commandIds: readonly string[]
  /** keys of calls that may be repeats; absent: none */
  readonly keys?: readonly { readonly application: string; readonly key: string }[]
}

/** A command with its payload, as reads show it. */
export interface StoredCommand {
  readonly command: Command
  readonly body: CommandBody
}

/** The search condition as a tree; http/expression.ts makes it from text. Time bounds are on createTime, in ms. */
export type Condition =
  | { readonly op: 'and' | 'or'; readonly terms: readonly Condition[] }
  | { readonly op: 'state'; readonly states: readonly State[]; readonly negated: boolean }
  /** from <= createTime < to; null = open end */
  | { readonly op: 'created'; readonly from: number | null; readonly to: number | null }
  /**
   * The name in `locale` (null = any of its names; 'default' = defaultValue; a locale without a name falls back to defaultValue)
   * contains `text`, ignoring case, or with `exact` equals it to the letter.
   */
  | { readonly op: 'name'; readonly locale: string | null; readonly text: string; readonly exact: boolean }

export interface SearchPage {
  readonly rows: readonly StoredCommand[]
  readonly total: number
}

/** Queues and commands: what the engine writes and everyone reads. */
export interface CommandStore {
  /** One queue per key, in the order of the keys; null where the device does not exist. */
  load(keys: readonly LoadKey[]): Promise<(Queue | null)[]>
  /** Durable when it resolves. Returns the ids of devices left out because they had changed since they were loaded. */
  commit(batch: Batch): Promise<number[]>
  /** Devices that have something lapsed at `now`, at most `limit`. */
  due(now: number, limit: number): Promise<number[]>
  /** The earliest instant at which anything open lapses; null when nothing is open. */
  nextDue(): Promise<number | null>
  /** Bodies by id; ids without a record are absent. */
  bodies(commandIds: readonly string[]): Promise<Map<string, CommandBody>>
  command(deviceId: number, commandId: string): Promise<StoredCommand | null>
  /** Newest first. total counts all matches. */
  search(deviceId: number, condition: Condition | null, offset: number, limit: number): Promise<SearchPage>
  /** The last `limit` events, in order: of one command, or with null of the device. */
  events(deviceId: number, commandId: string | null, limit: number): Promise<QueueEvent[]>
  /**
   * Deletes final commands settled before `before`, oldest first, with their bodies and events; then session events as old. At most `limit` of
   * both together. Returns how many: `limit` means that there may be more. The version of each device that loses a command is raised. Who deleted devices
   * were goes with the last record of them, and tallies of minutes before go too: at most `limit` of each, not counted, but `limit` is returned where it is reached.
   */
  purge(before: number, limit: number): Promise<number>
  /** Commands by state over the whole store, for metrics. */
  countByState(): Promise<Map<State, number>>
}

export interface Organization {
  readonly orgId: string
  readonly name: string
}

/** `scope: all`, or the products or devices that a grant is for. */
export type Scope = 'all' | { readonly productKeys: readonly string[] } | { readonly assetIds: readonly string[] }
export interface Grant {
  readonly resource: string
  readonly actions: readonly string[]
  readonly scope: Scope
}

/** Secrets are ciphertext here (fleet/secrets.ts); the store never sees one in clear. */
export interface ApplicationRow {
  readonly appKey: string
  readonly orgId: string
  readonly secret: string
  readonly grants: readonly Grant[]
}
export interface ModelRow {
  readonly modelId: string
  readonly orgId: string
  /** the ThingModel as JSON text */
  readonly json: string
}
export interface ProductRow {
  readonly productKey: string
  readonly orgId: string
  readonly secret: string
  /** null: a product without a model accepts any JSON */
  readonly modelId: string | null
  /** what else the product says, as JSON text: productName, productType, dataFormat, dynamicActivateEnabled, biDirectionalAuth, … */
  readonly json: string
}
export interface DeviceRow {
  readonly assetId: string
  readonly orgId: string
  readonly productKey: string
  readonly deviceKey: string
  readonly secret: string
  /** StringI18n as JSON text, as JSON.stringify writes it */
  readonly nameJson: string
  /** `+08:00` or an IANA name */
  readonly timezone: string
  readonly disabled: boolean
  /** what somebody says of it; null: nothing; absent: as it is, or nothing of a new one */
  readonly description?: string | null
  /** assetId of its gateway */
  readonly gatewayAssetId: string | null
  /** serial number of its client certificate, lower-case hexadecimal without leading zeros; null: its certificate is known by its name */
  readonly certificateSerial: string | null
}
/** A device as it is read: its row, its number, and what its queue knows of its connections. */
export interface Device extends DeviceRow {
  readonly id: number
  /** null: before that was kept */
  readonly createdAt: number | null
  readonly activeAt: number | null
  readonly lastOnlineAt: number | null
  readonly lastOfflineAt: number | null
}

/** A device that comes behind a gateway or leaves it; assetIds, null = none. */
export interface DeviceMove {
  readonly assetId: string
  readonly from: string | null
  readonly to: string | null
}

/** What an application may change of a device. */
export type DeviceChanges = Partial<Pick<DeviceRow, 'deviceKey' | 'nameJson' | 'timezone' | 'description' | 'secret'>>

/** Everything a fleet file says, secrets already encrypted. */
export interface FleetRows {
  readonly organizations: readonly Organization[]
  readonly applications: readonly ApplicationRow[]
  readonly models: readonly ModelRow[]
  readonly products: readonly ProductRow[]
  readonly devices: readonly DeviceRow[]
}

/** A row that cannot be applied: a unique key is taken, or a thing it names does not exist. */
export class FleetConflict extends Error {
  override readonly name = 'FleetConflict'
}

/** Organizations, applications, models, products, devices. */
export interface Registry {
  organization(orgId: string): Promise<Organization | null>
  application(appKey: string): Promise<ApplicationRow | null>
  /** In the order in which they were added. */
  applications(orgId: string): Promise<ApplicationRow[]>
  /** False: it is not there (any more). Its tokens end with it. */
  removeApplication(appKey: string): Promise<boolean>
  /**
   * One transaction: `to` in the place of `from`, of the same appKey. False, and nothing is changed, where it is not on record as `from` any more: its secret
   * and grants are compared. With another secret its tokens end.
   */
  changeApplication(from: ApplicationRow, to: Pick<ApplicationRow, 'secret' | 'grants'>): Promise<boolean>
  organizations(): Promise<Organization[]>
  /** the one that `--auth open` acts as: the first that was added to the organization */
  firstApplication(orgId: string): Promise<ApplicationRow | null>
  model(orgId: string, modelId: string): Promise<ModelRow | null>
  /** By their ids. */
  models(orgId: string): Promise<ModelRow[]>
  product(productKey: string): Promise<ProductRow | null>
  /** By their keys. */
  products(orgId: string): Promise<ProductRow[]>
  /** As changeApplication; the JSON is compared. */
  changeProduct(from: ProductRow, to: Pick<ProductRow, 'json'>): Promise<boolean>
  /** Throws FleetConflict where it has devices; false: there is none. */
  removeProduct(productKey: string): Promise<boolean>
  deviceById(deviceId: number): Promise<Device | null>
  deviceByKeys(productKey: string, deviceKey: string): Promise<Device | null>
  deviceByAsset(assetId: string): Promise<Device | null>
  /** One transaction; inserts and updates, deletes nothing; a device whose row changes gets a new version, and one that is disabled has no session any more. Throws FleetConflict, then nothing was applied. */
  applyFleet(rows: FleetRows, now: number): Promise<void>
  /** As applyFleet, but every row must be new: throws FleetConflict, with nothing added, where one is there already. */
  addFleet(rows: FleetRows, now: number): Promise<void>
  /**
   * One transaction that only inserts. Throws FleetConflict where an assetId or a pair of keys is taken, listed twice, or what a row names does not
   * exist; then nothing was added.
   */
  addDevices(rows: readonly DeviceRow[], now: number): Promise<void>
  /**
   * One transaction: what an application changes of a device. Throws FleetConflict where the keys are taken; false: there is none. It gets a new version. With
   * another deviceKey it is another device: its connection is not the newest session any more, and it is inactive until it has proved its secret. Its
   * commands stay as they are.
   */
  changeDevice(assetId: string, to: DeviceChanges): Promise<boolean>
  /** How many devices a product has. */
  countDevices(productKey: string): Promise<number>
  /** The devices behind a gateway, by id. */
  subDevices(gatewayAssetId: string): Promise<Device[]>
  /** How many they are. */
  countSubDevices(gatewayAssetId: string): Promise<number>
  /**
   * One transaction: puts devices behind gateways or takes them out (null). Throws FleetConflict, with nothing changed, where one of them is no
   * longer where it was when it was looked up, does not exist, is listed twice or would be behind itself, or where its gateway does not exist in its
   * organization. A device that moves gets a new version.
   */
  moveDevices(moves: readonly DeviceMove[]): Promise<void>
  /** Check value of the key that encrypts secrets; null on a store that has none yet. */
  secretCheck(): Promise<string | null>
  /** The first value stays: of two processes that start on a new store at once, one finds the other's. */
  setSecretCheck(value: string): Promise<void>
}

/** Access tokens and used `encryption` values: valid on every node and after a restart. */
export interface Tokens {
  token(accessToken: string): Promise<{ readonly appKey: string; readonly expireAt: number } | null>
  /** the newest token of the application that is good after `now` */
  tokenOf(appKey: string, now: number): Promise<{ readonly accessToken: string; readonly expireAt: number } | null>
  saveToken(accessToken: string, appKey: string, expireAt: number): Promise<void>
  /** False if this value was used before; true, and it is recorded until expireAt. */
  useEncryption(encryption: string, expireAt: number): Promise<boolean>
  /**
   * Forgets what expired before `now`: tokens, used encryptions, and kept answers of repeated calls, of these at most `limit` (absent: all). Returns how many
   * of them: `limit` means that there may be more.
   */
  purgeTokens(now: number, limit?: number): Promise<number>
}

/** A measurepoint as a device last reported it. */
export interface LatestValue {
  readonly pointId: string
  /** JSON text */
  readonly valueJson: string
  readonly quality: number | null
  /** epoch ms, as the device dated it or when it came */
  readonly at: number
}

/** The last occurrence of an event that a device reported. */
export interface LatestEvent {
  readonly eventId: string
  /** its outputs, JSON text of an object */
  readonly outputJson: string
  readonly at: number
}

/** What one request of a device changes of what it reports. Each is applied whole or, where the device would have more than it may, not at all. */
export type DataChange =
  | { readonly type: 'measurepoints'; readonly deviceId: number; readonly values: readonly LatestValue[] }
  | { readonly type: 'event'; readonly deviceId: number; readonly event: LatestEvent }
  | {
      readonly type: 'attributes' | 'tags'
      readonly deviceId: number
      /** id and value: of an attribute JSON text as JSON.stringify writes it, of a tag the text itself. One that is listed twice has the later value. */
      readonly set: readonly (readonly [id: string, value: string])[]
      /** applied before `set`; what is not there is ignored */
      readonly remove: readonly string[]
    }

/**
 * What devices say of themselves besides answers to commands: latest values, latest events, attributes, tags. It goes with its device. What is
 * written must be whole: ids of at most 64 characters, text without NUL and without half a surrogate pair, instants that are integers, qualities that
 * are finite; anything else is a Bug, and nothing is written. Orders of ids are those of their code points.
 */
export interface DeviceData {
  /**
   * One transaction, durable when it resolves; the changes are applied one after the other. An older measurepoint or event leaves a newer one as it
   * is; an equally old one takes its place. Returns for each change whether it was applied; false: the device would get more points, events,
   * attributes or tags than it may have (limits.ts), or it does not exist any more.
   */
  saveData(changes: readonly DataChange[]): Promise<boolean[]>
  /**
   * Bytes (UTF-8) of the texts that a read of the same would return: of values, of outputs of events, of attributes, of tags; of all, or of those named.
   * For who must know first, because all that a device may have reported is more than anybody should read at once.
   */
  reportedBytes(type: DataChange['type'], deviceId: number, ids: readonly string[] | null): Promise<number>
  /** Latest values in the order of pointIds; of all points, or of those named (unknown ones are absent, one named twice is there once). */
  latestValues(deviceId: number, pointIds: readonly string[] | null): Promise<LatestValue[]>
  /** In the order of eventIds; all, or those named, as above. */
  latestEvents(deviceId: number, eventIds?: readonly string[] | null): Promise<LatestEvent[]>
  /** JSON texts by attribute id, in the order in which they were first set; all, or those named, as above. */
  attributes(deviceId: number, ids?: readonly string[] | null): Promise<Map<string, string>>
  /** Texts by tag key, in the order in which they were first set; all, or those named, as above. */
  tags(deviceId: number, keys?: readonly string[] | null): Promise<Map<string, string>>
}

export interface Store extends CommandStore, Registry, Tokens, DeviceData, Nodes, Changes, Webhooks, Jobs, Views {
  /**
   * The last life of this number is over: its devices are away, and that is on record, each as of when its session last said something or the last commit of
   * the node. Each of them has a new version. Before the engine starts. Returns how many there were. epoch: the life that begins, where nodes share the store;
   * rejects with LeaseLost once another one has the number.
   */
  endSessions(nodeNo: number, epoch?: number): Promise<number>
  /** The node's high-water mark, and the floor of its clock: the latest of any node, 0 on a new store. */
  node(nodeNo: number): Promise<{ readonly lastCommandId: string | null; readonly clockFloor: number }>
  /** Resolves if the store answers. */
  ping(): Promise<void>
  /**
   * Before a close that must not take long: what waits for a store that is not there, or does not answer, is told so at once, and nothing is tried again.
   */
  giveUp(): void
  close(): Promise<void>
}
