// The store in memory: the reference that the others are compared with, and `--store memory:`. Nothing survives the process.
// A step of a device costs what the device has open; due work, counts, searches and the purge look at everything there is.

import { type Command, type CommandBody, isOpen, State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import { lapsesAt, type Queue, type QueueEvent } from '../core/queue.ts'
import {
  assertNoNul,
  byCodePoint,
  checkBatch,
  checkData,
  checkNewDevices,
  mayHave,
  type OnRecord,
  planFleet,
  planMoves,
} from './checks.ts'
import { matches } from './condition.ts'
import { MemoryNodes } from './memory-nodes.ts'
import type { Nodes } from './nodes.ts'
import type {
  ApplicationRow,
  Batch,
  Condition,
  DataChange,
  Device,
  DeviceChange,
  DeviceMove,
  DeviceRow,
  FleetRows,
  LatestEvent,
  LatestValue,
  LoadKey,
  ModelRow,
  Organization,
  ProductRow,
  SearchPage,
  Store,
  StoredCommand,
} from './store.ts'

/** Opens an empty store. now: the store's clock (epoch ms), by which leases of nodes go. */
export const openMemory = (now: () => number = Date.now): Store & Nodes => new MemoryStore(now)

/** What of a queue belongs to its device alone; the rest is its commands, and `disabled`, which its row has. */
type QueueFields = Omit<Queue, 'deviceId' | 'disabled' | 'deleted' | 'open' | 'named'>

/** One device, or what is left of it. Rows and events are frozen and replaced, never changed, so that they may be handed out. */
interface Entry {
  readonly id: number
  row: DeviceRow
  queue: QueueFields
  readonly commands: Map<string, StoredCommand>
  /** ids of the open ones */
  readonly open: Set<string>
  events: QueueEvent[]
  readonly values: Map<string, LatestValue>
  readonly latestEvents: Map<string, LatestEvent>
  readonly labels: Record<'attributes' | 'tags', Map<string, string>>
}

const newQueue: QueueFields = {
  version: 0,
  lastCommandId: null,
  eventSeq: 0,
  sessionNo: 0,
  sessionNode: null,
  activeAt: null,
  lastOnlineAt: null,
  lastOfflineAt: null,
}

/** The rows that a change makes of a device's commands, found while nothing is written yet. */
interface Staged {
  readonly entry: Entry
  readonly change: DeviceChange
  readonly rows: ReadonlyMap<string, StoredCommand>
}

/** A copy that nobody can change. */
function keep<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, part]) => [name, keep(part)])
  const copy: unknown = Array.isArray(value) ? value.map(keep) : Object.fromEntries(entries)
  return Object.freeze(copy) as T
}

const pair = (one: string, other: string): string => JSON.stringify([one, other])
const byId = (a: Command, b: Command): number => (a.id < b.id ? -1 : 1)

class MemoryStore implements Store, Nodes {
  readonly #devices = new Map<number, Entry>()
  /** devices, and those deleted of which there are records left */
  readonly #recorded = new Map<number, Entry>()
  #lastDeviceId = 0
  /** the device of each command on record */
  readonly #owners = new Map<string, Entry>()
  readonly #organizations = new Map<string, Organization>()
  readonly #applications = new Map<string, ApplicationRow>()
  readonly #models = new Map<string, ModelRow>()
  readonly #products = new Map<string, ProductRow>()
  readonly #devicesByAsset = new Map<string, Entry>()
  readonly #devicesByKeys = new Map<string, Entry>()
  readonly #tokens = new Map<string, { readonly appKey: string; readonly expireAt: number }>()
  readonly #encryptions = new Map<string, number>()
  readonly #nodes: MemoryNodes
  #secretCheck: string | null = null
  #closed = false

  constructor(now: () => number) {
    this.#nodes = new MemoryNodes(now, {
      devices: () =>
        [...this.#devices.values()].map(entry => ({
          ...entry.queue,
          deviceId: entry.id,
          disabled: entry.row.disabled,
          open: records(entry, entry.open),
        })),
      isFinal: id => {
        const entry = this.#owners.get(id)
        return entry !== undefined && finalSince(entry, id) !== null
      },
    })
  }

  // --- queues and commands ---------------------------------------------------------------------------------------

  async load(keys: readonly LoadKey[]): Promise<(Queue | null)[]> {
    return keys.map(({ deviceId, commandIds }) => {
      const entry = this.#devices.get(deviceId)
      if (entry === undefined) return null
      const named = new Set(commandIds.filter(id => !entry.open.has(id)))
      const { disabled } = entry.row
      const commands = { open: records(entry, entry.open), named: records(entry, named) }
      return { deviceId, disabled, deleted: false, ...entry.queue, ...commands }
    })
  }

  async commit(batch: Batch): Promise<number[]> {
    checkBatch(batch)
    this.#nodes.check(batch)
    const stale: number[] = []
    const staged: Staged[] = []
    for (const change of batch.changes) {
      const entry = this.#devices.get(change.queue.deviceId)
      if (entry?.queue.version === change.queue.version) staged.push(this.#stage(entry, change))
      else stale.push(change.queue.deviceId)
    }
    const inserted = staged.flatMap(({ change }) => change.inserts.map(({ command }) => command.id))
    assert(new Set(inserted).size === inserted.length, 'a batch inserts a command once')
    // Everything is checked: from here on nothing can fail, so a batch is applied whole.
    for (const each of staged) this.#apply(each)
    for (const { entry, change } of staged) if (change.queue.deleted) this.#deleteDevice(entry)
    this.#nodes.touch(batch)
    return stale
  }

  /** The rows that the change makes. Throws Bug where a guard does not hold. */
  #stage(entry: Entry, change: DeviceChange): Staged {
    const rows = new Map<string, StoredCommand>()
    const find = (id: string): StoredCommand | undefined => rows.get(id) ?? entry.commands.get(id)
    for (const { command, from } of change.updates) {
      const before = find(command.id)
      assert(before?.command.state === from, `command ${command.id} is no longer in state ${from}`)
      rows.set(command.id, { command: updated(before.command, command), body: before.body })
    }
    for (const { command, body } of change.inserts) {
      assert(!this.#owners.has(command.id), `command ${command.id} is already on record`)
      rows.set(command.id, { command, body })
    }
    for (const { commandId, outputJson, deviceCode, deviceMessage } of change.outcomes) {
      const before = find(commandId)
      assert(before, `command ${commandId} has a body`)
      rows.set(commandId, { command: before.command, body: { ...before.body, outputJson, deviceCode, deviceMessage } })
    }
    const touched = new Set([...entry.open, ...rows.keys()])
    const sent = [...touched].filter(id => find(id)?.command.state === State.sent)
    assert(sent.length <= 1, `device ${entry.id} has at most one sent command`)
    const seqs = new Set(change.events.map(({ seq }) => seq))
    const last = entry.events.at(-1)?.seq ?? 0
    assert(
      seqs.size === change.events.length && [...seqs].every(seq => seq > last),
      `events of device ${entry.id} grow`,
    )
    return { entry, change, rows }
  }

  #apply({ entry, change, rows }: Staged): void {
    const { version, lastCommandId, eventSeq, sessionNo, sessionNode } = change.queue
    const { activeAt, lastOnlineAt, lastOfflineAt } = change.queue
    const session = { sessionNo, sessionNode, activeAt, lastOnlineAt, lastOfflineAt }
    entry.queue = { version: version + 1, lastCommandId, eventSeq, ...session }
    const { disabled } = change.queue
    if (entry.row.disabled !== disabled) entry.row = keep({ ...entry.row, disabled })
    for (const [id, row] of rows) {
      entry.commands.set(id, keep(row))
      this.#owners.set(id, entry)
      if (isOpen(row.command.state)) entry.open.add(id)
      else entry.open.delete(id)
    }
    entry.events.push(...change.events.map(keep))
  }

  /** Its records stay. */
  #deleteDevice({ id, row, values, latestEvents, labels }: Entry): void {
    this.#devices.delete(id)
    this.#devicesByAsset.delete(row.assetId)
    this.#devicesByKeys.delete(pair(row.productKey, row.deviceKey))
    for (const reported of [values, latestEvents, labels.attributes, labels.tags]) reported.clear()
    for (const entry of this.#devices.values()) if (entry.row.gatewayAssetId === row.assetId) move(entry, null)
  }

  async due(now: number, limit: number): Promise<number[]> {
    const isDue = (entry: Entry): boolean => records(entry, entry.open).some(command => now >= lapsesAt(command))
    return [...this.#devices.values()]
      .filter(isDue)
      .map(({ id }) => id)
      .slice(0, limit)
  }

  async nextDue(): Promise<number | null> {
    let next: number | null = null
    for (const entry of this.#devices.values())
      for (const command of records(entry, entry.open))
        next = Math.min(next ?? Number.POSITIVE_INFINITY, lapsesAt(command))
    return next
  }

  async bodies(commandIds: readonly string[]): Promise<Map<string, CommandBody>> {
    const bodies = new Map<string, CommandBody>()
    for (const id of commandIds) {
      const stored = this.#owners.get(id)?.commands.get(id)
      if (stored !== undefined) bodies.set(id, stored.body)
    }
    return bodies
  }

  async command(deviceId: number, commandId: string): Promise<StoredCommand | null> {
    return this.#recorded.get(deviceId)?.commands.get(commandId) ?? null
  }

  async search(deviceId: number, condition: Condition | null, offset: number, limit: number): Promise<SearchPage> {
    const stored = [...(this.#recorded.get(deviceId)?.commands.values() ?? [])]
    const found = stored.filter(each => condition === null || matches(each, condition))
    found.sort((a, b) => byId(b.command, a.command))
    return { rows: found.slice(offset, offset + limit), total: found.length }
  }

  async events(deviceId: number, commandId: string | null, limit: number): Promise<QueueEvent[]> {
    const events = this.#recorded.get(deviceId)?.events ?? []
    const wanted = commandId === null ? events : events.filter(event => event.commandId === commandId)
    return wanted.slice(Math.max(0, wanted.length - limit))
  }

  async purge(before: number, limit: number): Promise<number> {
    const old = [...this.#owners]
      .flatMap(([id, entry]) => ({ entry, settledAt: finalSince(entry, id), id }))
      .filter(({ settledAt }) => settledAt !== null && settledAt < before)
      .sort((a, b) => Number(a.settledAt) - Number(b.settledAt) || (a.id < b.id ? -1 : 1))
      .slice(0, limit)
    for (const { entry, id } of old) {
      entry.commands.delete(id)
      this.#owners.delete(id)
    }
    for (const entry of new Set(old.map(each => each.entry)))
      entry.queue = { ...entry.queue, version: entry.queue.version + 1 }
    const sessionEvents = this.#sessionEvents(before).slice(0, limit - old.length)
    const gone = new Set(sessionEvents.map(({ event }) => event))
    const isLeft = (event: QueueEvent): boolean =>
      !gone.has(event) && (event.commandId === null || this.#owners.has(event.commandId))
    for (const entry of this.#recorded.values()) {
      entry.events = entry.events.filter(isLeft)
      const isOver = entry.commands.size + entry.events.length === 0
      if (isOver && !this.#devices.has(entry.id)) this.#recorded.delete(entry.id)
    }
    return old.length + sessionEvents.length
  }

  /** Events of sessions before an instant, oldest first. */
  #sessionEvents(before: number): { readonly event: QueueEvent; readonly deviceId: number }[] {
    return [...this.#recorded.values()]
      .flatMap(({ id, events }) => events.map(event => ({ event, deviceId: id })))
      .filter(({ event }) => event.commandId === null && event.at < before)
      .sort((a, b) => a.event.at - b.event.at || a.deviceId - b.deviceId || a.event.seq - b.event.seq)
  }

  async countByState(): Promise<Map<State, number>> {
    const counts = new Map<State, number>()
    for (const { commands } of this.#recorded.values())
      for (const { command } of commands.values()) counts.set(command.state, (counts.get(command.state) ?? 0) + 1)
    return counts
  }

  // --- registry --------------------------------------------------------------------------------------------------

  readonly #known: OnRecord = {
    organization: orgId => this.#organizations.get(orgId) ?? null,
    application: appKey => this.#applications.get(appKey) ?? null,
    model: (orgId, modelId) => this.#models.get(pair(orgId, modelId)) ?? null,
    product: productKey => this.#products.get(productKey) ?? null,
    deviceByAsset: assetId => this.#devicesByAsset.get(assetId)?.row ?? null,
    deviceByKeys: (productKey, deviceKey) => this.#devicesByKeys.get(pair(productKey, deviceKey))?.row ?? null,
  }

  async organization(orgId: string): Promise<Organization | null> {
    return this.#organizations.get(orgId) ?? null
  }

  async application(appKey: string): Promise<ApplicationRow | null> {
    return this.#applications.get(appKey) ?? null
  }

  async firstApplication(orgId: string): Promise<ApplicationRow | null> {
    return [...this.#applications.values()].find(row => row.orgId === orgId) ?? null
  }

  async model(orgId: string, modelId: string): Promise<ModelRow | null> {
    return this.#models.get(pair(orgId, modelId)) ?? null
  }

  async product(productKey: string): Promise<ProductRow | null> {
    return this.#products.get(productKey) ?? null
  }

  async deviceByKeys(productKey: string, deviceKey: string): Promise<Device | null> {
    const entry = this.#devicesByKeys.get(pair(productKey, deviceKey))
    return entry === undefined ? null : deviceOf(entry)
  }

  async deviceByAsset(assetId: string): Promise<Device | null> {
    const entry = this.#devicesByAsset.get(assetId)
    return entry === undefined ? null : deviceOf(entry)
  }

  async applyFleet(rows: FleetRows): Promise<void> {
    const plan = planFleet(rows, this.#known)
    for (const row of plan.organizations) this.#organizations.set(row.orgId, keep(row))
    for (const row of plan.applications) this.#applications.set(row.appKey, keep(row))
    for (const row of plan.models) this.#models.set(pair(row.orgId, row.modelId), keep(row))
    for (const row of plan.products) this.#products.set(row.productKey, keep(row))
    // All old keys go before any new ones come: two devices may swap theirs.
    for (const { assetId } of plan.devices) {
      const row = this.#devicesByAsset.get(assetId)?.row
      if (row !== undefined) this.#devicesByKeys.delete(pair(row.productKey, row.deviceKey))
    }
    for (const row of plan.devices) this.#putDevice(keep(row))
  }

  #putDevice(row: DeviceRow): void {
    let entry = this.#devicesByAsset.get(row.assetId)
    if (entry === undefined) {
      this.#lastDeviceId += 1
      entry = newEntry(this.#lastDeviceId, row)
      this.#devices.set(entry.id, entry)
      this.#recorded.set(entry.id, entry)
      this.#devicesByAsset.set(row.assetId, entry)
    } else {
      entry.row = row
      const { version, sessionNode } = entry.queue
      entry.queue = { ...entry.queue, version: version + 1, sessionNode: row.disabled ? null : sessionNode }
    }
    this.#devicesByKeys.set(pair(row.productKey, row.deviceKey), entry)
  }

  async addDevices(rows: readonly DeviceRow[]): Promise<void> {
    checkNewDevices(rows, this.#known)
    for (const row of rows) this.#putDevice(keep(row))
  }

  async countDevices(productKey: string): Promise<number> {
    return [...this.#devices.values()].filter(({ row }) => row.productKey === productKey).length
  }

  async subDevices(gatewayAssetId: string): Promise<Device[]> {
    const behind = [...this.#devices.values()].filter(({ row }) => row.gatewayAssetId === gatewayAssetId)
    return behind.sort((a, b) => a.id - b.id).map(deviceOf)
  }

  async countSubDevices(gatewayAssetId: string): Promise<number> {
    return [...this.#devices.values()].filter(({ row }) => row.gatewayAssetId === gatewayAssetId).length
  }

  async moveDevices(moves: readonly DeviceMove[]): Promise<void> {
    for (const { assetId, to } of planMoves(moves, this.#known)) {
      const entry = this.#devicesByAsset.get(assetId)
      if (entry) move(entry, to)
    }
  }

  async secretCheck(): Promise<string | null> {
    return this.#secretCheck
  }

  async setSecretCheck(value: string): Promise<void> {
    assertNoNul({ value })
    this.#secretCheck ??= value
  }

  // --- tokens ----------------------------------------------------------------------------------------------------

  async token(accessToken: string): Promise<{ readonly appKey: string; readonly expireAt: number } | null> {
    return this.#tokens.get(accessToken) ?? null
  }

  async tokenOf(
    appKey: string,
    now: number,
  ): Promise<{ readonly accessToken: string; readonly expireAt: number } | null> {
    let newest: { readonly accessToken: string; readonly expireAt: number } | null = null
    for (const [accessToken, token] of this.#tokens) {
      if (token.appKey !== appKey || token.expireAt <= now) continue
      if (newest === null || token.expireAt >= newest.expireAt) newest = { accessToken, expireAt: token.expireAt }
    }
    return newest
  }

  async saveToken(accessToken: string, appKey: string, expireAt: number): Promise<void> {
    assertNoNul({ accessToken, appKey })
    // Deleted first, because a Map keeps the place of a key it has, and the one saved last counts as the newest.
    this.#tokens.delete(accessToken)
    this.#tokens.set(accessToken, Object.freeze({ appKey, expireAt }))
  }

  async useEncryption(encryption: string, expireAt: number): Promise<boolean> {
    assertNoNul({ encryption })
    if (this.#encryptions.has(encryption)) return false
    this.#encryptions.set(encryption, expireAt)
    return true
  }

  async purgeTokens(now: number): Promise<void> {
    for (const [accessToken, { expireAt }] of this.#tokens) if (expireAt < now) this.#tokens.delete(accessToken)
    for (const [encryption, expireAt] of this.#encryptions) if (expireAt < now) this.#encryptions.delete(encryption)
  }

  // --- what devices report ---------------------------------------------------------------------------------------

  async saveData(changes: readonly DataChange[]): Promise<boolean[]> {
    checkData(changes)
    return changes.map(change => {
      const entry = this.#devices.get(change.deviceId)
      return entry !== undefined && report(entry, keep(change))
    })
  }

  async reportedBytes(type: DataChange['type'], deviceId: number, ids: readonly string[] | null): Promise<number> {
    const entry = this.#devices.get(deviceId)
    const texts = entry === undefined ? [] : [...named(textsOf(entry, type), ids).values()]
    return texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  }

  async latestValues(deviceId: number, pointIds: readonly string[] | null): Promise<LatestValue[]> {
    const wanted = [...named(this.#devices.get(deviceId)?.values, pointIds).values()]
    return wanted.sort((a, b) => byCodePoint(a.pointId, b.pointId))
  }

  async latestEvents(deviceId: number, eventIds: readonly string[] | null = null): Promise<LatestEvent[]> {
    const wanted = [...named(this.#devices.get(deviceId)?.latestEvents, eventIds).values()]
    return wanted.sort((a, b) => byCodePoint(a.eventId, b.eventId))
  }

  async attributes(deviceId: number, ids: readonly string[] | null = null): Promise<Map<string, string>> {
    return named(this.#devices.get(deviceId)?.labels.attributes, ids)
  }

  async tags(deviceId: number, keys: readonly string[] | null = null): Promise<Map<string, string>> {
    return named(this.#devices.get(deviceId)?.labels.tags, keys)
  }

  // --- nodes -----------------------------------------------------------------------------------------------------

  readonly takeNode: Nodes['takeNode'] = (wanted, leaseMs) => this.#nodes.takeNode(wanted, leaseMs)
  readonly renewNode: Nodes['renewNode'] = (lease, leaseMs) => this.#nodes.renewNode(lease, leaseMs)
  readonly releaseNode: Nodes['releaseNode'] = lease => this.#nodes.releaseNode(lease)
  readonly liveNodes: Nodes['liveNodes'] = () => this.#nodes.liveNodes()
  readonly sessions: Nodes['sessions'] = deviceIds => this.#nodes.sessions(deviceIds)
  readonly dueFor: Nodes['dueFor'] = (nodeNo, now, marginMs, limit) => this.#nodes.dueFor(nodeNo, now, marginMs, limit)
  readonly wanting: Nodes['wanting'] = (nodeNo, limit, after) => this.#nodes.wanting(nodeNo, limit, after)
  readonly settledOf: Nodes['settledOf'] = commandIds => this.#nodes.settledOf(commandIds)

  // --- the store itself ------------------------------------------------------------------------------------------

  async node(nodeNo: number): Promise<{ readonly lastCommandId: string | null; readonly clockFloor: number }> {
    return { lastCommandId: this.#nodes.lastCommandId(nodeNo), clockFloor: this.#nodes.clockFloor }
  }

  async ping(): Promise<void> {
    if (this.#closed) throw new Error('the store is closed')
  }

  giveUp(): void {
    // It answers at once.
  }

  async close(): Promise<void> {
    this.#closed = true
  }
}

/** The commands of these ids that the device has, oldest first. */
function records(entry: Entry, ids: ReadonlySet<string>): Command[] {
  const found = [...ids].map(id => entry.commands.get(id)?.command)
  return found.filter(command => command !== undefined).sort(byId)
}

/** Of a row on record only these fields ever change. */
function updated(before: Command, after: Command): Command {
  const { state, deadlineAt, sentAt, settledAt, sentSession, code, lateReplies } = after
  return { ...before, state, deadlineAt, sentAt, settledAt, sentSession, code, lateReplies }
}

/** When a command became final; null while it is open. */
function finalSince(entry: Entry, id: string): number | null {
  const command = entry.commands.get(id)?.command
  return command === undefined || isOpen(command.state) ? null : command.settledAt
}

function deviceOf({ id, row, queue }: Entry): Device {
  const { activeAt, lastOnlineAt, lastOfflineAt } = queue
  return { ...row, id, activeAt, lastOnlineAt, lastOfflineAt }
}

function newEntry(id: number, row: DeviceRow): Entry {
  const data = { values: new Map(), latestEvents: new Map(), labels: { attributes: new Map(), tags: new Map() } }
  return { id, row, queue: newQueue, commands: new Map(), open: new Set(), events: [], ...data }
}

/** Behind a gateway, or out from behind one. */
function move(entry: Entry, gatewayAssetId: string | null): void {
  entry.row = keep({ ...entry.row, gatewayAssetId })
  entry.queue = { ...entry.queue, version: entry.queue.version + 1 }
}

/** Those of the names given, or with null all, in the order that they have; a new Map. */
function named<T>(all: ReadonlyMap<string, T> | undefined, names: readonly string[] | null): Map<string, T> {
  const wanted = names === null ? null : new Set(names)
  return new Map([...(all ?? [])].filter(([name]) => wanted?.has(name) ?? true))
}

function textsOf(entry: Entry, type: DataChange['type']): ReadonlyMap<string, string> {
  if (type === 'attributes' || type === 'tags') return entry.labels[type]
  if (type === 'event') return new Map([...entry.latestEvents].map(([id, { outputJson }]) => [id, outputJson]))
  return new Map([...entry.values].map(([id, { valueJson }]) => [id, valueJson]))
}

/** Applies a change to what a device reports; false, and nothing is changed, where it would get more than it may have. */
function report(entry: Entry, change: DataChange): boolean {
  switch (change.type) {
    case 'measurepoints':
      return putLatest(
        entry.values,
        change.values.map(value => [value.pointId, value]),
        change.type,
      )
    case 'event':
      return putLatest(entry.latestEvents, [[change.event.eventId, change.event]], change.type)
    case 'attributes':
    case 'tags': {
      const labels = new Map(entry.labels[change.type])
      for (const id of change.remove) labels.delete(id)
      for (const [id, value] of change.set) labels.set(id, value)
      if (!mayHave(change.type, entry.labels[change.type].size, labels.size)) return false
      entry.labels[change.type] = labels
      return true
    }
  }
}

function putLatest<T extends { readonly at: number }>(
  latest: Map<string, T>,
  said: readonly (readonly [id: string, T])[],
  type: DataChange['type'],
): boolean {
  const added = new Set(said.map(([id]) => id).filter(id => !latest.has(id)))
  if (!mayHave(type, latest.size, latest.size + added.size)) return false
  for (const [id, each] of said) if (each.at >= (latest.get(id)?.at ?? each.at)) latest.set(id, each)
  return true
}
