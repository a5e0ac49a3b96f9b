// The store that several nodes share: one PostgreSQL database. Each method is one round trip or a few, however much it is asked for.
// Not here: the SQL (postgres-statements.ts), connections and their loss (postgres-connection.ts), commits (postgres-commit.ts), leases (postgres-nodes.ts),
// the registry (postgres-registry.ts), what devices report (postgres-data.ts), migrations (postgres-schema.ts), what is checked before a write (checks.ts).

import type { CommandBody, State } from '../core/command.ts'
import type { Queue, QueueEvent } from '../core/queue.ts'
import { assertNoNul, isKept } from './checks.ts'
import { compile, idNumber, looksAtNames } from './condition.ts'
import { type Migration, readMigrations } from './migrate.ts'
import { type Nodes, StoreUnavailable } from './nodes.ts'
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
import { PostgresNodes } from './postgres-nodes.ts'
import { PostgresRegistry } from './postgres-registry.ts'
import { bodyOf, commandOf, type QueueColumns, queuesOf } from './postgres-rows.ts'
import { prepareDatabase } from './postgres-schema.ts'
import { BODY_COLUMNS, COMMAND_COLUMNS } from './postgres-statements.ts'
import { type EventColumns, eventOf } from './rows.ts'
import type {
  ApplicationRow,
  Batch,
  Condition,
  DataChange,
  Device,
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
  readonly #commits: Commits
  readonly #registry: PostgresRegistry
  readonly #data: PostgresData

  constructor(connections: Connections) {
    this.#connections = connections
    this.#nodes = new PostgresNodes(connections)
    this.#commits = new Commits(connections, this.#nodes.held)
    this.#registry = new PostgresRegistry(connections)
    this.#data = new PostgresData(connections)
  }

  // --- queues and commands ---------------------------------------------------------------------------------------

  async load(keys: readonly LoadKey[]): Promise<(Queue | null)[]> {
    if (keys.length === 0) return []
    const deviceIds = [...new Set(keys.map(({ deviceId }) => deviceId))]
    const named = keys.flatMap(({ deviceId, commandIds }) =>
      [...new Set(commandIds)].filter(id => idNumber(id) !== null).map(id => [deviceId, id] as const),
    )
    const [devices, ids] = [named.map(([deviceId]) => deviceId), named.map(([, id]) => id)]
    const rows = await this.#connections.again('steps', on => on.arrays<QueueColumns>('queue', deviceIds, devices, ids))
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

  organization(orgId: string): Promise<Organization | null> {
    return this.#registry.organization(orgId)
  }

  application(appKey: string): Promise<ApplicationRow | null> {
    return this.#registry.application(appKey)
  }

  firstApplication(orgId: string): Promise<ApplicationRow | null> {
    return this.#registry.firstApplication(orgId)
  }

  model(orgId: string, modelId: string): Promise<ModelRow | null> {
    return this.#registry.model(orgId, modelId)
  }

  product(productKey: string): Promise<ProductRow | null> {
    return this.#registry.product(productKey)
  }

  deviceByKeys(productKey: string, deviceKey: string): Promise<Device | null> {
    return this.#registry.deviceByKeys(productKey, deviceKey)
  }

  deviceByAsset(assetId: string): Promise<Device | null> {
    return this.#registry.deviceByAsset(assetId)
  }

  applyFleet(rows: FleetRows): Promise<void> {
    return this.#registry.applyFleet(rows)
  }

  addDevices(rows: readonly DeviceRow[]): Promise<void> {
    return this.#registry.addDevices(rows)
  }

  countDevices(productKey: string): Promise<number> {
    return this.#registry.countDevices(productKey)
  }

  subDevices(gatewayAssetId: string): Promise<Device[]> {
    return this.#registry.subDevices(gatewayAssetId)
  }

  countSubDevices(gatewayAssetId: string): Promise<number> {
    return this.#registry.countSubDevices(gatewayAssetId)
  }

  moveDevices(moves: readonly DeviceMove[]): Promise<void> {
    return this.#registry.moveDevices(moves)
  }

  secretCheck(): Promise<string | null> {
    return this.#registry.secretCheck()
  }

  setSecretCheck(value: string): Promise<void> {
    return this.#registry.setSecretCheck(value)
  }

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

  async purgeTokens(now: number): Promise<void> {
    const names = ['purgeTokens', 'purgeEncryptions', 'purgeIdempotency'] as const
    await this.#connections.again('others', on => together(names.map(name => on.run(name, now))))
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
  const [, commands, , , sessionEvents] = await together([
    // A queue that was loaded with one of these commands must not be committed any more.
    on.run('raiseVersion', [...new Set(old.map(row => row.device_id))]),
    on.all<{ state: State }>('deleteCommand', ids),
    on.run('deleteBody', ids),
    on.run('deleteEvents', ids),
    on.run('purgeSessionEvents', before, limit - old.length),
  ])
  const fewer = [0, 0, 0, 0, 0, 0, 0]
  for (const { state } of commands) fewer[state - 1] = (fewer[state - 1] ?? 0) - 1
  await on.run('countPurged', fewer)
  return commands.length + sessionEvents
}
