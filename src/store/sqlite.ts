// The embedded store: one SQLite file, owned by one process. Every method does its work before it returns its promise, so that no two interleave,
// but for searches of devices, which only read.
// Not here: the SQL (sqlite-statements.ts), commits (sqlite-commit.ts), the stream of changes (sqlite-changes.ts), what devices
// report (sqlite-data.ts), how the file is opened and owned (sqlite-file.ts), what is checked before a write (checks.ts).

import type { DatabaseSyncInstance } from '@photostructure/sqlite'
import type { Command, CommandBody, State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import type { KeptAnswer, Queue, QueueEvent } from '../core/queue.ts'
import { assertNoNul, checkData } from './checks.ts'
import { compile, idNumber, looksAtNames } from './condition.ts'
import type { Jobs } from './jobs.ts'
import { distinctKeys, type KeptColumns, keptOf } from './kept-rows.ts'
import { type Migration, readMigrations } from './migrate.ts'
import type { Nodes } from './nodes.ts'
import { type EventColumns, eventOf } from './rows.ts'
import { SqliteCancellations } from './sqlite-cancellations.ts'
import { SqliteChanges } from './sqlite-changes.ts'
import { Commits } from './sqlite-commit.ts'
import { applyData, bytesOf, readEvents, readLabels, readValues } from './sqlite-data.ts'
import { closeFile, openFile, transaction } from './sqlite-file.ts'
import { SqliteJobs } from './sqlite-jobs.ts'
import { SqliteNodes } from './sqlite-nodes.ts'
import { SqliteRegistry } from './sqlite-registry.ts'
import {
  type BodyColumns,
  bodyOf,
  type CommandColumns,
  commandOf,
  find,
  type QueueColumns,
  queueOf,
  type Statements,
} from './sqlite-rows.ts'
import { Searches } from './sqlite-searches.ts'
import { COMMAND_COLUMNS, statements } from './sqlite-statements.ts'
import { SqliteViews } from './sqlite-views.ts'
import { SqliteWebhooks } from './sqlite-webhooks.ts'
import type {
  Batch,
  Condition,
  DataChange,
  DeviceChange,
  LatestEvent,
  LatestValue,
  LoadKey,
  Registry,
  SearchPage,
  Store,
  StoredCommand,
} from './store.ts'
import type { Changes, Webhooks } from './stream.ts'
import type { Views } from './views.ts'

/**
 * Opens the store in the file at `path`, which is created with its folder if it is not there, and migrates it. The file belongs to this process
 * until `close` or the process's end. Throws CannotOpen, saying what to do, where another process has it or a newer Downlink changed it.
 * now: the store's clock (epoch ms), by which leases of nodes go.
 */
export const openSqlite = (
  path: string,
  migrations: readonly Migration[] = readMigrations('sqlite'),
  now: () => number = Date.now,
): Store & Nodes => new SqliteStore(openFile(path, migrations), now)

/** Statements of rows that are read by the thousand: see sqlite-rows.ts. */
const asArrays = ['openCommands', 'command', 'bumpDevice'] as const

/** as SQLite has it */
const NO_LIMIT = -1

class SqliteStore implements Store, Nodes {
  readonly #db: DatabaseSyncInstance
  readonly #sql: Statements
  readonly #registry: SqliteRegistry
  readonly #views: SqliteViews
  readonly #searches: Searches
  readonly #nodes: SqliteNodes
  readonly #changes: SqliteChanges
  readonly #commits: Commits
  readonly #webhooks: SqliteWebhooks
  readonly #jobs: SqliteJobs
  readonly #cancellations: SqliteCancellations
  /** Commands by state, counted at the first call and kept up from then on: this process is the only writer, and a count reads every record. */
  #counts: Map<State, number> | null = null

  constructor(db: DatabaseSyncInstance, now: () => number) {
    this.#db = db
    const prepared = Object.entries(statements).map(([name, sql]) => [name, db.prepare(sql)])
    this.#sql = Object.fromEntries(prepared) as Statements
    for (const name of asArrays) this.#sql[name].setReturnArrays(true)
    this.#registry = new SqliteRegistry(db, this.#sql)
    this.#views = new SqliteViews(db, this.#sql)
    this.#searches = new Searches(db)
    this.#nodes = new SqliteNodes(this.#sql, now)
    this.#changes = new SqliteChanges(db)
    this.#commits = new Commits(db, this.#sql, this.#changes)
    this.#webhooks = new SqliteWebhooks(db, now)
    this.#jobs = new SqliteJobs(db)
    this.#cancellations = new SqliteCancellations(db)
  }

  // --- queues and commands ---------------------------------------------------------------------------------------

  async load(keys: readonly LoadKey[]): Promise<(Queue | null)[]> {
    return keys.map(({ deviceId, commandIds, keys }) => {
      const row: QueueColumns | undefined = this.#sql.queue.get(deviceId)
      if (row === undefined) return null
      const open = this.#sql.openCommands.all(deviceId).map(commandOf)
      const ids = new Set(commandIds)
      for (const { id } of open) ids.delete(id)
      const named = [...ids].sort().flatMap(id => this.#command(deviceId, id) ?? [])
      return queueOf(row, open, named, keys === undefined ? [] : this.#kept(deviceId, keys))
    })
  }

  #kept(deviceId: number, keys: NonNullable<LoadKey['keys']>): KeptAnswer[] {
    return distinctKeys(keys).flatMap(({ application, key }) => {
      const row: KeptColumns | undefined = find(this.#sql.keptAnswer, application, deviceId, key)
      return row === undefined ? [] : keptOf(row)
    })
  }

  #command(deviceId: number, commandId: string): Command | null {
    const row: CommandColumns | undefined = this.#sql.command.get(idNumber(commandId), deviceId)
    return row === undefined ? null : commandOf(row)
  }

  async commit(batch: Batch): Promise<number[]> {
    const { fresh, stale } = this.#commits.commit(batch)
    this.#countChanges(fresh)
    return stale
  }

  async due(now: number, limit: number): Promise<number[]> {
    const sent: { device_id: number }[] = this.#sql.dueSent.all(now, limit)
    const created: { device_id: number }[] = this.#sql.dueCreated.all(now, limit)
    const devices = new Set([...sent, ...created].map(row => row.device_id))
    return [...devices].slice(0, limit)
  }

  async nextDue(): Promise<number | null> {
    const expiring: { at: number | null } = this.#sql.nextExpiring.get()
    const awaited: { at: number | null } = this.#sql.nextAwaited.get()
    const instants = [expiring.at, awaited.at].filter(at => at !== null)
    return instants.length === 0 ? null : Math.min(...instants)
  }

  async bodies(commandIds: readonly string[]): Promise<Map<string, CommandBody>> {
    const bodies = new Map<string, CommandBody>()
    for (const id of commandIds) {
      const row: BodyColumns | undefined = this.#sql.body.get(idNumber(id))
      if (row !== undefined) bodies.set(id, bodyOf(row))
    }
    return bodies
  }

  async command(deviceId: number, commandId: string): Promise<StoredCommand | null> {
    const command = this.#command(deviceId, commandId)
    return command === null ? null : this.#stored(command)
  }

  #stored(command: Command): StoredCommand {
    const row: BodyColumns | undefined = this.#sql.body.get(key(command.id))
    assert(row, `command ${command.id} has a body`)
    return { command, body: bodyOf(row) }
  }

  async search(deviceId: number, condition: Condition | null, offset: number, limit: number): Promise<SearchPage> {
    const wanted = condition ?? { op: 'and', terms: [] }
    const distinct: { name_json: string }[] = looksAtNames(wanted) ? this.#sql.namesOfDevice.all(deviceId) : []
    const { sql, parameters, names } = compile(
      wanted,
      distinct.map(row => row.name_json),
      'in (select value from json_each(?))',
    )
    const body = names ? 'join command_body b on b.id = c.id' : ''
    const matching = `from command c ${body} where c.device_id = ? and ${sql}`
    const [total]: [number] = this.#searches.prepared(`select count(*) ${matching}`).get(deviceId, ...parameters)
    const page = this.#searches.prepared(`select ${COMMAND_COLUMNS} ${matching} order by c.id desc limit ? offset ?`)
    const commands = page.all(deviceId, ...parameters, limit, offset).map(commandOf)
    return { rows: commands.map(command => this.#stored(command)), total }
  }

  async events(deviceId: number, commandId: string | null, limit: number): Promise<QueueEvent[]> {
    const rows: EventColumns[] =
      commandId === null
        ? this.#sql.deviceEvents.all(deviceId, limit)
        : this.#sql.commandEvents.all(idNumber(commandId), deviceId, limit)
    return rows.map(eventOf).reverse()
  }

  async purge(before: number, limit: number): Promise<number> {
    const old: { id: string; device_id: number; state: State }[] = this.#sql.purgeable.all(before, limit)
    const [sessionEvents, rest] = transaction(this.#db, () => {
      for (const { id } of old) {
        const number = key(id)
        this.#sql.deleteCommand.run(number)
        this.#sql.deleteBody.run(number)
      }
      this.#changes.purgeEvents(old.map(({ id }) => id))
      // A queue that was loaded with one of these commands must not be committed any more.
      for (const deviceId of new Set(old.map(row => row.device_id))) this.#sql.raiseVersion.run(deviceId)
      const sessionEvents = this.#sql.purgeSessionEvents.run(before, limit - old.length).changes
      return [sessionEvents, this.#changes.purgeRest(before, limit)] as const
    })
    for (const { state } of old) this.#count(state, -1)
    return rest === limit ? limit : old.length + sessionEvents
  }

  async countByState(): Promise<Map<State, number>> {
    if (this.#counts === null) {
      const rows: { state: State; count: number }[] = this.#sql.countByState.all()
      this.#counts = new Map(rows.map(({ state, count }) => [state, count]))
    }
    return new Map([...this.#counts].filter(([, count]) => count > 0))
  }

  #countChanges(changes: readonly DeviceChange[]): void {
    for (const { inserts, updates } of changes) {
      for (const { command } of inserts) this.#count(command.state, 1)
      for (const { command, from } of updates) {
        this.#count(from, -1)
        this.#count(command.state, 1)
      }
    }
  }

  #count(state: State, by: number): void {
    this.#counts?.set(state, (this.#counts.get(state) ?? 0) + by)
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
    const row: { app_key: string; expire_at: number } | undefined = find(this.#sql.token, accessToken)
    return row === undefined ? null : { appKey: row.app_key, expireAt: row.expire_at }
  }

  async tokenOf(
    appKey: string,
    now: number,
  ): Promise<{ readonly accessToken: string; readonly expireAt: number } | null> {
    const row: { access_token: string; expire_at: number } | undefined = find(this.#sql.tokenOf, appKey, now)
    return row === undefined ? null : { accessToken: row.access_token, expireAt: row.expire_at }
  }

  async saveToken(accessToken: string, appKey: string, expireAt: number): Promise<void> {
    assertNoNul({ accessToken, appKey })
    this.#sql.saveToken.run(accessToken, appKey, expireAt)
  }

  async useEncryption(encryption: string, expireAt: number): Promise<boolean> {
    assertNoNul({ encryption })
    return this.#sql.useEncryption.run(encryption, expireAt).changes === 1
  }

  async purgeTokens(now: number, limit?: number): Promise<number> {
    return transaction(this.#db, () => {
      this.#sql.purgeTokens.run(now)
      this.#sql.purgeEncryptions.run(now)
      return this.#sql.purgeIdempotency.run(now, limit ?? NO_LIMIT).changes
    })
  }

  // --- what devices report ---------------------------------------------------------------------------------------

  async saveData(changes: readonly DataChange[]): Promise<boolean[]> {
    checkData(changes)
    return transaction(this.#db, () => changes.map(change => applyData(this.#sql, change)))
  }

  async reportedBytes(type: DataChange['type'], deviceId: number, ids: readonly string[] | null): Promise<number> {
    return bytesOf(this.#sql, type, deviceId, ids)
  }

  async latestValues(deviceId: number, pointIds: readonly string[] | null): Promise<LatestValue[]> {
    return readValues(this.#sql, deviceId, pointIds)
  }

  async latestEvents(deviceId: number, eventIds: readonly string[] | null = null): Promise<LatestEvent[]> {
    return readEvents(this.#sql, deviceId, eventIds)
  }

  async attributes(deviceId: number, ids: readonly string[] | null = null): Promise<Map<string, string>> {
    return readLabels(this.#sql, 'attributes', deviceId, ids)
  }

  async tags(deviceId: number, keys: readonly string[] | null = null): Promise<Map<string, string>> {
    return readLabels(this.#sql, 'tags', deviceId, keys)
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

  readonly endSessions: Store['endSessions'] = (nodeNo, epoch) => this.#nodes.endSessions(nodeNo, epoch)

  // --- changes ---------------------------------------------------------------------------------------------------

  readonly placeEvents: Changes['placeEvents'] = () => this.#changes.placeEvents()
  readonly changesAfter: Changes['changesAfter'] = (after, filter, limit, scan) =>
    this.#changes.changesAfter(after, filter, limit, scan)
  readonly streamEnds: Changes['streamEnds'] = () => this.#changes.streamEnds()
  readonly timeline: Changes['timeline'] = (commandId, limit) => this.#changes.timeline(commandId, limit)
  readonly eventsBetween: Changes['eventsBetween'] = (deviceId, after, before, limit) =>
    this.#changes.eventsBetween(deviceId, after, before, limit)

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
    const instants = [this.#jobs.nextAt, this.#cancellations.nextAt].filter(at => at !== null)
    return instants.length === 0 ? null : Math.min(...instants)
  }

  async purgeJobs(before: number, limit: number): Promise<number> {
    return transaction(this.#db, () => {
      const purged = this.#jobs.purge(before, limit)
      return purged + this.#cancellations.purge(before, limit - purged)
    })
  }

  // --- the store itself ------------------------------------------------------------------------------------------

  async node(nodeNo: number): Promise<{ readonly lastCommandId: string | null; readonly clockFloor: number }> {
    const row: { last_command_id: string | null } | undefined = this.#sql.node.get(nodeNo)
    const floor: { at: number } = this.#sql.clockFloor.get()
    return { lastCommandId: row?.last_command_id ?? null, clockFloor: floor.at }
  }

  async ping(): Promise<void> {
    this.#sql.ping.get()
  }

  giveUp(): void {
    // It answers at once.
  }

  async close(): Promise<void> {
    closeFile(this.#db)
  }
}

/** The id of a command that is to be written. */
function key(id: string): bigint {
  const number = idNumber(id)
  assert(number !== null, `${id} is a command id`)
  return number
}
