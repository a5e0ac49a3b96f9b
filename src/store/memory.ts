// The store in memory: the reference that the others are compared with, and `--store memory:`. Nothing survives the process.
// A step of a device costs what the device has open; due work, counts, searches and the purge look at everything there is.

import { type CommandBody, isOpen, State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import { lapsesAt, type Queue, type QueueEvent } from '../core/queue.ts'
import { assertNoNul, checkBatch } from './checks.ts'
import { matches } from './condition.ts'
import type { Jobs } from './jobs.ts'
import { MemoryCancellations } from './memory-cancellations.ts'
import { MemoryChanges, type Places } from './memory-changes.ts'
import { MemoryData } from './memory-data.ts'
import { Devices } from './memory-devices.ts'
import { byId, type Entry, finalSince, keep, pair, records, updated } from './memory-entry.ts'
import { earliest, MemoryJobs } from './memory-jobs.ts'
import { MemoryNodes } from './memory-nodes.ts'
import { MemoryRegistry } from './memory-registry.ts'
import { MemoryViews } from './memory-views.ts'
import { MemoryWebhooks } from './memory-webhooks.ts'
import type { Nodes } from './nodes.ts'
import type {
  Batch,
  Condition,
  DeviceChange,
  DeviceData,
  LoadKey,
  Registry,
  SearchPage,
  Store,
  StoredCommand,
} from './store.ts'
import type { Changes, Webhooks } from './stream.ts'
import type { Views } from './views.ts'

/**
 * Opens an empty store. now: the store's clock (epoch ms), by which leases of nodes go. places: when events get their positions; `when asked` as in a store
 * that nodes share.
 */
export const openMemory = (now: () => number = Date.now, places: Places = 'at once'): Store & Nodes =>
  new MemoryStore(now, places)

/** The rows that a change makes of a device's commands, found while nothing is written yet. */
interface Staged {
  readonly entry: Entry
  readonly change: DeviceChange
  readonly rows: ReadonlyMap<string, StoredCommand>
}

class MemoryStore implements Store, Nodes {
  readonly #all = new Devices()
  readonly #devices = this.#all.byId
  readonly #recorded = this.#all.recorded
  /** the device of each command on record */
  readonly #owners = new Map<string, Entry>()
  readonly #tokens = new Map<string, { readonly appKey: string; readonly expireAt: number }>()
  readonly #encryptions = new Map<string, number>()
  readonly #nodes: MemoryNodes
  readonly #webhooks: MemoryWebhooks
  readonly #data = new MemoryData(this.#devices)
  readonly #changes: MemoryChanges
  readonly #registry = new MemoryRegistry(this.#all, appKey => this.#endTokens(appKey))
  readonly #views = new MemoryViews(this.#all, {
    owners: this.#owners,
    product: productKey => this.#registry.known.product(productKey),
    tallies: () => this.#changes.tallies(),
  })
  readonly #jobs = new MemoryJobs(id => this.#owners.get(id)?.commands.get(id) ?? null)
  readonly #cancellations = new MemoryCancellations(this.#devices)
  #closed = false

  constructor(now: () => number, places: Places) {
    this.#changes = new MemoryChanges(this.#owners, this.#recorded, places)
    this.#webhooks = new MemoryWebhooks(now)
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
    return keys.map(({ deviceId, commandIds, keys }) => {
      const entry = this.#devices.get(deviceId)
      if (entry === undefined) return null
      const named = new Set(commandIds.filter(id => !entry.open.has(id)))
      const { disabled } = entry.row
      const commands = { open: records(entry, entry.open), named: records(entry, named) }
      const wanted = new Set(keys?.map(({ application, key }) => pair(application, key)))
      const kept = [...wanted].flatMap(key => entry.kept.get(key) ?? [])
      return { deviceId, disabled, deleted: false, ...entry.queue, ...commands, kept }
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
    for (const each of staged) this.#apply(each, batch.now)
    for (const { entry, change } of staged) if (change.queue.deleted) this.#all.remove(entry, batch.now)
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

  #apply({ entry, change, rows }: Staged, now: number): void {
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
    const events = change.events.map(keep)
    entry.events.push(...events)
    this.#changes.add(entry, events, now)
    for (const answer of change.kept ?? []) entry.kept.set(pair(answer.application, answer.key), keep(answer))
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
    this.#changes.drop(isLeft)
    for (const entry of this.#recorded.values()) entry.events = entry.events.filter(isLeft)
    const rest = Math.max(this.#purgeNames(before, limit), this.#changes.purgeTallies(before, limit))
    return rest === limit ? limit : old.length + sessionEvents.length
  }

  /** Forgets devices that were deleted before an instant and have no record left, at most `limit`; returns how many. */
  #purgeNames(before: number, limit: number): number {
    const isOver = ({ deletedAt, commands, events }: Entry): boolean =>
      deletedAt !== null && deletedAt < before && commands.size + events.length === 0
    const over = [...this.#recorded.values()].filter(isOver)
    over.sort((a, b) => Number(a.deletedAt) - Number(b.deletedAt) || a.id - b.id)
    for (const { id } of over.slice(0, limit)) this.#recorded.delete(id)
    return Math.min(over.length, limit)
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

  readonly organization: Registry['organization'] = orgId => this.#registry.organization(orgId)
  readonly organizations: Registry['organizations'] = () => this.#registry.organizations()
  readonly application: Registry['application'] = appKey => this.#registry.application(appKey)
  readonly applications: Registry['applications'] = orgId => this.#registry.applications(orgId)
  readonly firstApplication: Registry['firstApplication'] = orgId => this.#registry.firstApplication(orgId)
  readonly removeApplication: Registry['removeApplication'] = appKey => this.#registry.removeApplication(appKey)
  readonly changeApplication: Registry['changeApplication'] = (from, to) => this.#registry.changeApplication(from, to)
  readonly model: Registry['model'] = (orgId, modelId) => this.#registry.model(orgId, modelId)
  readonly models: Registry['models'] = orgId => this.#registry.models(orgId)
  readonly product: Registry['product'] = productKey => this.#registry.product(productKey)
  readonly products: Registry['products'] = orgId => this.#registry.products(orgId)
  readonly changeProduct: Registry['changeProduct'] = (from, to) => this.#registry.changeProduct(from, to)
  readonly removeProduct: Registry['removeProduct'] = productKey => this.#registry.removeProduct(productKey)
  readonly deviceById: Registry['deviceById'] = deviceId => this.#registry.deviceById(deviceId)
  readonly deviceByKeys: Registry['deviceByKeys'] = (productKey, deviceKey) =>
    this.#registry.deviceByKeys(productKey, deviceKey)
  readonly deviceByAsset: Registry['deviceByAsset'] = assetId => this.#registry.deviceByAsset(assetId)
  readonly applyFleet: Registry['applyFleet'] = (rows, now) => this.#registry.applyFleet(rows, now)
  readonly addFleet: Registry['addFleet'] = (rows, now) => this.#registry.addFleet(rows, now)
  readonly addDevices: Registry['addDevices'] = (rows, now) => this.#registry.addDevices(rows, now)
  readonly changeDevice: Registry['changeDevice'] = (assetId, to) => this.#registry.changeDevice(assetId, to)
  readonly countDevices: Registry['countDevices'] = productKey => this.#registry.countDevices(productKey)
  readonly subDevices: Registry['subDevices'] = gateway => this.#registry.subDevices(gateway)
  readonly countSubDevices: Registry['countSubDevices'] = gateway => this.#registry.countSubDevices(gateway)
  readonly moveDevices: Registry['moveDevices'] = moves => this.#registry.moveDevices(moves)
  readonly secretCheck: Registry['secretCheck'] = () => this.#registry.secretCheck()
  readonly setSecretCheck: Registry['setSecretCheck'] = value => this.#registry.setSecretCheck(value)

  // --- views -----------------------------------------------------------------------------------------------------

  readonly listDevices: Views['listDevices'] = (query, after, limit, scan) =>
    this.#views.listDevices(query, after, limit, scan)
  readonly topDevices: Views['topDevices'] = (query, by, limit) => this.#views.topDevices(query, by, limit)
  readonly deviceLine: Views['deviceLine'] = deviceId => this.#views.deviceLine(deviceId)
  readonly searchDevices: Views['searchDevices'] = (orgId, reach, condition, offset, limit) =>
    this.#views.searchDevices(orgId, reach, condition, offset, limit)
  readonly counts: Views['counts'] = (orgId, productKeys) => this.#views.counts(orgId, productKeys)
  readonly tallies: Views['tallies'] = (orgId, productKeys, from, to, stepMs) =>
    this.#views.tallies(orgId, productKeys, from, to, stepMs)
  readonly commandById: Views['commandById'] = commandId => this.#views.commandById(commandId)
  readonly waitingDevices: Views['waitingDevices'] = (orgId, productKeys, after, limit) =>
    this.#views.waitingDevices(orgId, productKeys, after, limit)
  readonly deviceName: Views['deviceName'] = deviceId => this.#views.deviceName(deviceId)

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

  #endTokens(appKey: string): void {
    for (const [accessToken, token] of this.#tokens) if (token.appKey === appKey) this.#tokens.delete(accessToken)
  }

  async purgeTokens(now: number, limit = Number.POSITIVE_INFINITY): Promise<number> {
    for (const [accessToken, { expireAt }] of this.#tokens) if (expireAt < now) this.#tokens.delete(accessToken)
    for (const [encryption, expireAt] of this.#encryptions) if (expireAt < now) this.#encryptions.delete(encryption)
    const answers = [...this.#recorded.values()].flatMap(({ kept }) =>
      [...kept].map(([key, answer]) => ({ kept, key, answer })),
    )
    const lapsed = answers.filter(({ answer }) => answer.expireAt < now)
    lapsed.sort((a, b) => a.answer.expireAt - b.answer.expireAt)
    for (const { kept, key } of lapsed.slice(0, limit)) kept.delete(key)
    return Math.min(lapsed.length, limit)
  }

  // --- what devices report ---------------------------------------------------------------------------------------

  readonly saveData: DeviceData['saveData'] = changes => this.#data.saveData(changes)
  readonly reportedBytes: DeviceData['reportedBytes'] = (type, deviceId, ids) =>
    this.#data.reportedBytes(type, deviceId, ids)
  readonly latestValues: DeviceData['latestValues'] = (deviceId, ids) => this.#data.latestValues(deviceId, ids)
  readonly latestEvents: DeviceData['latestEvents'] = (deviceId, ids) => this.#data.latestEvents(deviceId, ids)
  readonly attributes: DeviceData['attributes'] = (deviceId, ids) => this.#data.attributes(deviceId, ids)
  readonly tags: DeviceData['tags'] = (deviceId, keys) => this.#data.tags(deviceId, keys)

  // --- changes ---------------------------------------------------------------------------------------------------

  readonly placeEvents: Changes['placeEvents'] = limit => this.#changes.placeEvents(limit)
  readonly changesAfter: Changes['changesAfter'] = (after, filter, limit, scan) =>
    this.#changes.changesAfter(after, filter, limit, scan)
  readonly streamEnds: Changes['streamEnds'] = () => this.#changes.streamEnds()
  readonly timeline: Changes['timeline'] = (commandId, limit) => this.#changes.timeline(commandId, limit)
  readonly eventsBetween: Changes['eventsBetween'] = (deviceId, after, before, limit) =>
    this.#changes.eventsBetween(deviceId, after, before, limit)

  // --- nodes -----------------------------------------------------------------------------------------------------

  readonly takeNode: Nodes['takeNode'] = (wanted, leaseMs) => this.#nodes.takeNode(wanted, leaseMs)
  readonly renewNode: Nodes['renewNode'] = (lease, leaseMs) => this.#nodes.renewNode(lease, leaseMs)
  readonly releaseNode: Nodes['releaseNode'] = lease => this.#nodes.releaseNode(lease)
  readonly liveNodes: Nodes['liveNodes'] = () => this.#nodes.liveNodes()
  readonly sessions: Nodes['sessions'] = deviceIds => this.#nodes.sessions(deviceIds)
  readonly dueFor: Nodes['dueFor'] = (nodeNo, now, marginMs, limit) => this.#nodes.dueFor(nodeNo, now, marginMs, limit)
  readonly wanting: Nodes['wanting'] = (nodeNo, limit, after) => this.#nodes.wanting(nodeNo, limit, after)
  readonly settledOf: Nodes['settledOf'] = commandIds => this.#nodes.settledOf(commandIds)

  async endSessions(nodeNo: number, epoch?: number): Promise<number> {
    if (epoch !== undefined) this.#nodes.check({ node: nodeNo, epoch })
    const open = [...this.#devices.values()].filter(({ queue }) => queue.sessionNode === nodeNo)
    const clockAt = this.#nodes.clockAt(nodeNo)
    for (const entry of open) {
      const { version, lastOnlineAt, lastOfflineAt } = entry.queue
      const since = Math.max(lastOnlineAt ?? 0, lastOfflineAt ?? 0, clockAt)
      entry.queue = { ...entry.queue, version: version + 1, sessionNode: null, lastOfflineAt: since }
    }
    return open.length
  }

  // --- webhooks, turns -------------------------------------------------------------------------------------------

  readonly addWebhook: Webhooks['addWebhook'] = row => this.#webhooks.addWebhook(row)
  readonly webhook: Webhooks['webhook'] = webhookId => this.#webhooks.webhook(webhookId)
  readonly webhooks: Webhooks['webhooks'] = orgId => this.#webhooks.webhooks(orgId)
  readonly changeWebhook: Webhooks['changeWebhook'] = (webhookId, to) => this.#webhooks.changeWebhook(webhookId, to)
  readonly deleteWebhook: Webhooks['deleteWebhook'] = webhookId => this.#webhooks.deleteWebhook(webhookId)
  readonly saveProgress: Webhooks['saveProgress'] = (id, from, to, dead) =>
    this.#webhooks.saveProgress(id, from, to, dead)
  readonly deadLetters: Webhooks['deadLetters'] = (id, after, limit) => this.#webhooks.deadLetters(id, after, limit)
  readonly removeDeadLetters: Webhooks['removeDeadLetters'] = (id, at) => this.#webhooks.removeDeadLetters(id, at)
  readonly countDeadLetters: Webhooks['countDeadLetters'] = webhookId => this.#webhooks.countDeadLetters(webhookId)
  readonly takeTurn: Webhooks['takeTurn'] = (name, holder, ms) => this.#webhooks.takeTurn(name, holder, ms)
  readonly endTurn: Webhooks['endTurn'] = (name, holder) => this.#webhooks.endTurn(name, holder)

  // --- jobs, cancellations ---------------------------------------------------------------------------------------

  readonly addJob: Jobs['addJob'] = (job, tasks) => this.#jobs.addJob(job, tasks)
  readonly job: Jobs['job'] = jobId => this.#jobs.job(jobId)
  readonly countJobs: Jobs['countJobs'] = orgId => this.#jobs.countJobs(orgId)
  readonly searchJobs: Jobs['searchJobs'] = (orgId, by, condition, offset, limit) =>
    this.#jobs.searchJobs(orgId, by, condition, offset, limit)
  readonly searchTasks: Jobs['searchTasks'] = (orgId, by, condition, offset, limit) =>
    this.#jobs.searchTasks(orgId, by, condition, offset, limit)
  readonly dueJobs: Jobs['dueJobs'] = (now, limit) => this.#jobs.dueJobs(now, limit)
  readonly saveJob: Jobs['saveJob'] = (jobId, from, to) => this.#jobs.saveJob(jobId, from, to)
  readonly addTasks: Jobs['addTasks'] = (jobId, from, to, tasks) => this.#jobs.addTasks(jobId, from, to, tasks)
  readonly dueTasks: Jobs['dueTasks'] = (jobId, now, limit) => this.#jobs.dueTasks(jobId, now, limit)
  readonly tasksLeft: Jobs['tasksLeft'] = jobId => this.#jobs.tasksLeft(jobId)
  readonly tasks: Jobs['tasks'] = (jobId, taskNos) => this.#jobs.tasks(jobId, taskNos)
  readonly unfinishedTasks: Jobs['unfinishedTasks'] = (jobId, after, limit) =>
    this.#jobs.unfinishedTasks(jobId, after, limit)
  readonly countTasks: Jobs['countTasks'] = jobId => this.#jobs.countTasks(jobId)
  readonly movedTasks: Jobs['movedTasks'] = (jobId, after, scan) => this.#jobs.movedTasks(jobId, after, scan)
  readonly saveTasks: Jobs['saveTasks'] = (jobId, tasks) => this.#jobs.saveTasks(jobId, tasks)
  readonly removeJob: Jobs['removeJob'] = (jobId, limit) => this.#jobs.removeJob(jobId, limit)
  readonly addCancellation: Jobs['addCancellation'] = row => this.#cancellations.addCancellation(row)
  readonly cancellation: Jobs['cancellation'] = id => this.#cancellations.cancellation(id)
  readonly countCancellations: Jobs['countCancellations'] = orgId => this.#cancellations.countCancellations(orgId)
  readonly cancellations: Jobs['cancellations'] = (orgId, by, offset, limit) =>
    this.#cancellations.cancellations(orgId, by, offset, limit)
  readonly dueCancellations: Jobs['dueCancellations'] = (now, limit) => this.#cancellations.dueCancellations(now, limit)
  readonly openDevices: Jobs['openDevices'] = (orgId, after, scan) =>
    this.#cancellations.openDevices(orgId, after, scan)
  readonly countWaitingDevices: Jobs['countWaitingDevices'] = (orgId, productKeys) =>
    this.#cancellations.countWaitingDevices(orgId, productKeys)
  readonly addItems: Jobs['addItems'] = (id, from, to, items) => this.#cancellations.addItems(id, from, to, items)
  readonly undecidedItems: Jobs['undecidedItems'] = (id, limit) => this.#cancellations.undecidedItems(id, limit)
  readonly decideItems: Jobs['decideItems'] = (id, items) => this.#cancellations.decideItems(id, items)
  readonly saveCancellation: Jobs['saveCancellation'] = (id, from, to) =>
    this.#cancellations.saveCancellation(id, from, to)
  readonly cancellationItems: Jobs['cancellationItems'] = (id, after, limit) =>
    this.#cancellations.cancellationItems(id, after, limit)

  async nextWorkAt(): Promise<number | null> {
    return earliest([this.#jobs.nextAt, this.#cancellations.nextAt])
  }

  async purgeJobs(before: number, limit: number): Promise<number> {
    const purged = this.#jobs.purge(before, limit)
    return purged + this.#cancellations.purge(before, limit - purged)
  }

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
