// The store that several nodes share: one PostgreSQL database. Each method is one round trip or a few, however much it is asked for.
// Not here: the SQL (postgres-statements.ts), connections and their loss (postgres-connection.ts), commits (postgres-commit.ts), the stream of
// changes (postgres-changes.ts), leases (postgres-nodes.ts), the registry (postgres-registry.ts), what devices report (postgres-data.ts), migrations
// (postgres-schema.ts), what is checked before a write (checks.ts).

import type { CommandBody, State } from '../core/command.ts'
import type { Queue, QueueEvent } from '../core/queue.ts'
import { assertNoNul, isKept } from './checks.ts'
import { compile, idNumber, looksAtNames } from './condition.ts'
import { TALLY_MS } from './derived.ts'
import type { Jobs } from './jobs.ts'
import { distinctKeys } from './kept-rows.ts'
import { type Migration, readMigrations } from './migrate.ts'
import { type Nodes, StoreUnavailable } from './nodes.ts'
import { PostgresCancellations, purgeCancellations } from './postgres-cancellations.ts'
import { PostgresChanges } from './postgres-changes.ts'
import { Commits } from './postgres-commit.ts'
import {
  type Bearing,
  Connections,
  Interrupted,
  ordinaryBearing,
  type Session,
  together,
} from './postgres-connection.ts'
import { PostgresData } from './postgres-data.ts'
import { PostgresJobs, purgeJobs } from './postgres-jobs.ts'
import { PostgresNodes } from './postgres-nodes.ts'
import { PostgresRegistry } from './postgres-registry.ts'
import { bodyOf, columns, commandOf, type QueueColumns, queuesOf } from './postgres-rows.ts'
import { prepareDatabase } from './postgres-schema.ts'
import { BODY_COLUMNS, COMMAND_COLUMNS } from './postgres-statements.ts'
import { PostgresViews } from './postgres-views.ts'
import { PostgresWebhooks } from './postgres-webhooks.ts'
import { type EventColumns, eventOf } from './rows.ts'
import type {
  Batch,
  Condition,
  DataChange,
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

export interface PostgresOptions {
  readonly migrations?: readonly Migration[]
  readonly bearing?: Partial<Bearing>
}

/**
 * Opens the store in the database at `url` (`postgres://user:password@host:port/database`), and migrates it; several nodes may do so at once. Nothing
 * is committed before a number is taken (Nodes.takeNode). Throws CannotOpen, saying what to do, where it cannot be reached or a newer Downlink has changed it.
 */
export async function openPostgres(url: string, options: PostgresOptions = {}): Promise<Store & Nodes> {
  const connections = new Connections(url, { ...ordinaryBearing, ...options.bearing })
  try {
    await prepareDatabase(url, options.migrations ?? readMigrations('postgres'), connections.attempts())
  } catch (error) {
    await connections.close()
    throw error
  }
  return new PostgresStore(connections)
}

class PostgresStore implements Store, Nodes {
  readonly #connections: Connections
  readonly #nodes: PostgresNodes
  readonly #changes: PostgresChanges
  readonly #webhooks: PostgresWebhooks
  readonly #jobs: PostgresJobs
  readonly #cancellations: PostgresCancellations
  readonly #commits: Commits
  readonly #registry: PostgresRegistry
  readonly #views: PostgresViews
  readonly #data: PostgresData

  constructor(connections: Connections) {
    this.#connections = connections
    this.#nodes = new PostgresNodes(connections)
    this.#changes = new PostgresChanges(connections)
    this.#webhooks = new PostgresWebhooks(connections)
    this.#jobs = new PostgresJobs(connections)
    this.#cancellations = new PostgresCancellations(connections)
    this.#commits = new Commits(connections, this.#nodes.held)
    this.#registry = new PostgresRegistry(connections)
    this.#views = new PostgresViews(connections)
    this.#data = new PostgresData(connections)
  }

  // --- queues and commands ---------------------------------------------------------------------------------------

  async load(keys: readonly LoadKey[]): Promise<(Queue | null)[]> {
    if (keys.length === 0) return []
    const deviceIds = [...new Set(keys.map(({ deviceId }) => deviceId))]
    const named = keys.flatMap(({ deviceId, commandIds }) =>
      [...new Set(commandIds)].filter(id => idNumber(id) !== null).map(id => [deviceId, id] as const),
    )
    const asked = [deviceIds, ...columns(named, 2)]
    const answers = keys.flatMap(({ deviceId, keys }) =>
      distinctKeys(keys ?? []).map(({ application, key }) => [deviceId, application, key] as const),
    )
    const kept = answers.filter(([, application, key]) => isKept(application) && isKept(key))
    const rows = await this.#connections.again('steps', on =>
      kept.length === 0
        ? on.arrays<QueueColumns>('queue', ...asked)
        : on.arrays<QueueColumns>('queueWithAnswers', ...asked, ...columns(kept, 3)),
    )
    const queues = queuesOf(rows)
    return keys.map(({ deviceId }) => queues.get(deviceId) ?? null)
  }

  commit(batch: Batch): Promise<number[]> {
    return this.#commits.commit(batch)
  }

  async due(now: number, limit: number): Promise<number[]> {
    const [sent, created] = await this.#connections.again('steps', on =>
      together([
        on.all<{ device_id: number }>('dueSent', now, limit),
        on.all<{ device_id: number }>('dueCreated', now, limit),
      ]),
    )
    const devices = new Set([...sent, ...created].map(row => row.device_id))
    return [...devices].slice(0, limit)
  }

  async nextDue(): Promise<number | null> {
    const rows = await this.#connections.again('steps', on =>
      together([on.all<{ at: number | null }>('nextExpiring'), on.all<{ at: number | null }>('nextAwaited')]),
    )
    const instants = rows.flat().flatMap(({ at }) => at ?? [])
    return instants.length === 0 ? null : Math.min(...instants)
  }

  async bodies(commandIds: readonly string[]): Promise<Map<string, CommandBody>> {
    const ids = commandIds.filter(id => idNumber(id) !== null)
    if (ids.length === 0) return new Map()
    const rows = await this.#connections.again('steps', on => on.arrays<[...unknown[], string]>('body', ids))
    const bodies = new Map(rows.map(row => [row.at(-1) as string, bodyOf(row, 0)]))
    return new Map(ids.flatMap(id => [[id, bodies.get(id)] as const]).filter(isFound))
  }

  async command(deviceId: number, commandId: string): Promise<StoredCommand | null> {
    if (idNumber(commandId) === null) return null
    const [row] = await this.#connections.again('others', on => on.arrays<unknown[]>('command', commandId, deviceId))
    return row === undefined ? null : storedOf(row)
  }

  async search(deviceId: number, condition: Condition | null, offset: number, limit: number): Promise<SearchPage> {
    const wanted = condition ?? { op: 'and', terms: [] }
    const rows = await this.#connections.again('others', async on => {
      const distinct = looksAtNames(wanted) ? await on.all<{ name_json: string }>('namesOfDevice', deviceId) : []
      const names = distinct.map(row => row.name_json)
      return on.search<[number, ...unknown[]]>(...searchOf(deviceId, wanted, names, offset, limit))
    })
    // A page with nothing on it is one row, which has only the total.
    const page = rows.filter(row => row[1] !== null)
    return { rows: page.map(row => storedOf(row.slice(1))), total: rows[0]?.[0] ?? 0 }
  }

  async events(deviceId: number, commandId: string | null, limit: number): Promise<QueueEvent[]> {
    if (commandId !== null && idNumber(commandId) === null) return []
    const rows = await this.#connections.again('others', on =>
      commandId === null
        ? on.all<EventColumns>('deviceEvents', deviceId, limit)
        : on.all<EventColumns>('commandEvents', commandId, deviceId, limit),
    )
    return rows.map(eventOf).reverse()
  }

  /** 0 while another node purges. What was purged by an attempt that was not answered is not counted. */
  purge(before: number, limit: number): Promise<number> {
    return this.#connections.write('others', async on => {
      const [lock] = await on.all<{ mine: boolean }>('purgeLock')
      return lock?.mine ? purgeOnce(on, before, limit) : 0
    })
  }

  async countByState(): Promise<Map<State, number>> {
    const rows = await this.#connections.again('others', on => on.all<{ state: State; count: number }>('countByState'))
    return new Map(rows.map(({ state, count }) => [state, count]))
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
    if (!isKept(accessToken)) return null
    const [row] = await this.#connections.again('others', on =>
      on.all<{ app_key: string; expire_at: number }>('token', accessToken),
    )
    return row === undefined ? null : { appKey: row.app_key, expireAt: row.expire_at }
  }

  async tokenOf(
    appKey: string,
    now: number,
  ): Promise<{ readonly accessToken: string; readonly expireAt: number } | null> {
    if (!isKept(appKey)) return null
    const [row] = await this.#connections.again('others', on =>
      on.all<{ access_token: string; expire_at: number }>('tokenOf', appKey, now),
    )
    return row === undefined ? null : { accessToken: row.access_token, expireAt: row.expire_at }
  }

  async saveToken(accessToken: string, appKey: string, expireAt: number): Promise<void> {
    assertNoNul({ accessToken, appKey })
    await this.#connections.again('others', on => on.run('saveToken', accessToken, appKey, expireAt))
  }

  /** Not tried again: the first attempt may have recorded it, and then it would look as if it had been used before. */
  async useEncryption(encryption: string, expireAt: number): Promise<boolean> {
    assertNoNul({ encryption })
    try {
      const used = await this.#connections.once('others', on => on.run('useEncryption', encryption, expireAt))
      return used === 1
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error
      throw new StoreUnavailable('PostgreSQL did not answer whether this is used for the first time', { cause: error })
    }
  }

  async purgeTokens(now: number, limit?: number): Promise<number> {
    const [, , answers] = await this.#connections.again('others', on =>
      together([
        on.run('purgeTokens', now),
        on.run('purgeEncryptions', now),
        on.run('purgeIdempotency', now, limit ?? null),
      ]),
    )
    return answers
  }

  // --- what devices report ---------------------------------------------------------------------------------------

  saveData(changes: readonly DataChange[]): Promise<boolean[]> {
    return this.#data.saveData(changes)
  }

  reportedBytes(type: DataChange['type'], deviceId: number, ids: readonly string[] | null): Promise<number> {
    return this.#data.reportedBytes(type, deviceId, ids)
  }

  latestValues(deviceId: number, pointIds: readonly string[] | null): Promise<LatestValue[]> {
    return this.#data.latestValues(deviceId, pointIds)
  }

  latestEvents(deviceId: number, eventIds?: readonly string[] | null): Promise<LatestEvent[]> {
    return this.#data.latestEvents(deviceId, eventIds)
  }

  attributes(deviceId: number, ids?: readonly string[] | null): Promise<Map<string, string>> {
    return this.#data.attributes(deviceId, ids)
  }

  tags(deviceId: number, keys?: readonly string[] | null): Promise<Map<string, string>> {
    return this.#data.tags(deviceId, keys)
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

  readonly placeEvents: Changes['placeEvents'] = limit => this.#changes.placeEvents(limit)
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
    const rows = await this.#connections.again('others', on =>
      together([on.all<{ at: number | null }>('nextJobAt'), on.all<{ at: number | null }>('nextCancellationAt')]),
    )
    const instants = rows.flat().flatMap(({ at }) => at ?? [])
    return instants.length === 0 ? null : Math.min(...instants)
  }

  /** What was purged by an attempt that was not answered is not counted. */
  async purgeJobs(before: number, limit: number): Promise<number> {
    return this.#connections.write('others', async on => {
      const purged = await purgeJobs(on, before, limit)
      return purged + (await purgeCancellations(on, before, limit - purged))
    })
  }

  // --- the store itself ------------------------------------------------------------------------------------------

  async node(nodeNo: number): Promise<{ readonly lastCommandId: string | null; readonly clockFloor: number }> {
    const [[row], [floor]] = await this.#connections.again('steps', on =>
      together([on.all<{ last_command_id: string | null }>('node', nodeNo), on.all<{ at: number }>('clockFloor')]),
    )
    return { lastCommandId: row?.last_command_id ?? null, clockFloor: floor?.at ?? 0 }
  }

  /** Once: who asks wants to know how it is now. Rejects also while it is not known whether the last batch was written, and nothing can be committed. */
  async ping(): Promise<void> {
    if (this.#commits.inDoubt) throw new StoreUnavailable('it is being read whether the last batch was written')
    try {
      await this.#connections.once('others', on => on.all('ping'))
    } catch (error) {
      throw error instanceof Interrupted ? new StoreUnavailable(error.message, { cause: error }) : error
    }
  }

  giveUp(): void {
    this.#connections.giveUp()
  }

  close(): Promise<void> {
    return this.#connections.close()
  }
}

const isFound = (entry: readonly [string, CommandBody | undefined]): entry is [string, CommandBody] =>
  entry[1] !== undefined

const storedOf = (row: readonly unknown[]): StoredCommand => ({ command: commandOf(row), body: bodyOf(row) })

/** SQL and parameters of a search: page and total as of one instant. Each row has the total first; the last of no page is empty but for that. */
function searchOf(
  deviceId: number,
  condition: Condition,
  names: readonly string[],
  offset: number,
  limit: number,
): [string, unknown[]] {
  const compiled = compile(condition, names, '= any (array(select json_array_elements_text(?::json)))')
  const body = compiled.names ? 'join command_body b on b.id = c.id' : ''
  const question = `with found as materialized (select c.id from command c ${body} where c.device_id = ? and ${compiled.sql}),
      page as (select id from found order by id desc limit ? offset ?)
    select (select count(*) from found), ${COMMAND_COLUMNS}, ${BODY_COLUMNS}
    from (select) as one left join (page join command c on c.id = page.id join command_body b on b.id = c.id) on true
    order by c.id desc`
  let n = 0
  // Nothing of the caller's text is in the SQL, so every question mark is a parameter.
  const sql = question.replace(/\?/g, () => `$${++n}`)
  return [sql, [deviceId, ...compiled.parameters, limit, offset]]
}

/** Devices first, as in every transaction: who waits for one of them holds none of its commands. */
async function purgeOnce(on: Session, before: number, limit: number): Promise<number> {
  const old = await on.all<{ id: string; device_id: number }>('purgeable', before, limit)
  const ids = old.map(({ id }) => id)
  const [, , commands, , , sessionEvents, names, tallies] = await together([
    // A queue that was loaded with one of these commands must not be committed any more.
    on.run('raiseVersion', [...new Set(old.map(row => row.device_id))]),
    on.all('lockStream'),
    on.all<{ state: State }>('deleteCommand', ids),
    on.run('deleteBody', ids),
    on.run('deleteEvents', ids),
    on.run('purgeSessionEvents', before, limit - old.length),
    on.run('purgeNames', before, limit),
    on.run('purgeTallies', before - TALLY_MS, limit),
  ])
  const fewer = [0, 0, 0, 0, 0, 0, 0]
  for (const { state } of commands) fewer[state - 1] = (fewer[state - 1] ?? 0) - 1
  await on.run('countPurged', fewer)
  return Math.max(names, tallies) === limit ? limit : commands.length + sessionEvents
}
