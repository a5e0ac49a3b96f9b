// The embedded store: one SQLite file, owned by one process. Every method does its work before it returns its promise, so that no two interleave.
// Not here: the SQL (sqlite-statements.ts), what devices report (sqlite-data.ts), how the file is opened and owned (sqlite-file.ts), what is checked
// before a write (checks.ts).

import type { DatabaseSyncInstance } from '@photostructure/sqlite'
import { type Command, type CommandBody, State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import type { Queue, QueueEvent } from '../core/queue.ts'
import { assertNoNul, checkBatch, checkData, checkNewDevices, isKept, planFleet, planMoves } from './checks.ts'
import { compile, idNumber, looksAtNames } from './condition.ts'
import { type Migration, readMigrations } from './migrate.ts'
import type { Nodes } from './nodes.ts'
import { type EventColumns, eventOf } from './rows.ts'
import { applyData, bytesOf, readEvents, readLabels, readValues } from './sqlite-data.ts'
import { closeFile, openFile, transaction } from './sqlite-file.ts'
import { SqliteNodes } from './sqlite-nodes.ts'
import {
  type BodyColumns,
  bodyOf,
  type CommandColumns,
  commandOf,
  type DeviceColumns,
  deviceOf,
  find,
  type QueueColumns,
  queueOf,
  type Registered,
  registered,
  type Statements,
} from './sqlite-rows.ts'
import { Searches } from './sqlite-searches.ts'
import { COMMAND_COLUMNS, statements } from './sqlite-statements.ts'
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
const asArrays = ['openCommands', 'command', 'deviceByKeys', 'deviceByAsset', 'subDevices'] as const

/** The name under which the check value of the secrets' key is kept in `setting`. */
const SECRET_CHECK = 'secret_check'

class SqliteStore implements Store, Nodes {
  readonly #db: DatabaseSyncInstance
  readonly #sql: Statements
  readonly #registry: Registered
  readonly #searches: Searches
  readonly #nodes: SqliteNodes
  /** Commands by state, counted at the first call and kept up from then on: this process is the only writer, and a count reads every record. */
  #counts: Map<State, number> | null = null

  constructor(db: DatabaseSyncInstance, now: () => number) {
    this.#db = db
    const prepared = Object.entries(statements).map(([name, sql]) => [name, db.prepare(sql)])
    this.#sql = Object.fromEntries(prepared) as Statements
    for (const name of asArrays) this.#sql[name].setReturnArrays(true)
    this.#registry = registered(this.#sql)
    this.#searches = new Searches(db)
    this.#nodes = new SqliteNodes(this.#sql, now)
  }

  // --- queues and commands ---------------------------------------------------------------------------------------

  async load(keys: readonly LoadKey[]): Promise<(Queue | null)[]> {
    return keys.map(({ deviceId, commandIds }) => {
      const row: QueueColumns | undefined = this.#sql.queue.get(deviceId)
      if (row === undefined) return null
      const open = this.#sql.openCommands.all(deviceId).map(commandOf)
      const ids = new Set(commandIds)
      for (const { id } of open) ids.delete(id)
      const named = [...ids].sort().flatMap(id => this.#command(deviceId, id) ?? [])
      return queueOf(row, open, named)
    })
  }

  #command(deviceId: number, commandId: string): Command | null {
    const row: CommandColumns | undefined = this.#sql.command.get(idNumber(commandId), deviceId)
    return row === undefined ? null : commandOf(row)
  }

  async commit(batch: Batch): Promise<number[]> {
    checkBatch(batch)
    const stale: number[] = []
    const fresh: DeviceChange[] = []
    transaction(this.#db, () => {
      for (const change of batch.changes) {
        if (this.#bumpDevice(change.queue)) fresh.push(change)
        else stale.push(change.queue.deviceId)
      }
      this.#write(fresh)
      for (const { queue } of fresh) if (queue.deleted) this.#deleteDevice(queue.deviceId)
      this.#sql.touchNode.run(batch.node, keyOrNull(batch.lastCommandId), batch.now)
    })
    this.#countChanges(fresh)
    return stale
  }

  /** True where the device is still as it was loaded. */
  #bumpDevice(queue: Queue): boolean {
    const { changes } = this.#sql.bumpDevice.run(
      keyOrNull(queue.lastCommandId),
      queue.eventSeq,
      queue.sessionNo,
      queue.sessionNode,
      queue.disabled ? 1 : 0,
      queue.activeAt,
      queue.lastOnlineAt,
      queue.lastOfflineAt,
      queue.deviceId,
      queue.version,
    )
    return changes === 1
  }

  /** In this order over the whole batch: a device's next command may only become sent when the one before has left that state. */
  #write(changes: readonly DeviceChange[]): void {
    for (const { queue, updates } of changes)
      for (const { command, from } of updates)
        if (from === State.sent) this.#updateCommand(queue.deviceId, command, from)
    for (const { queue, updates } of changes)
      for (const { command, from } of updates)
        if (from !== State.sent) this.#updateCommand(queue.deviceId, command, from)
    for (const { queue, inserts } of changes)
      for (const { command, body } of inserts) this.#insertCommand(queue.deviceId, command, body)
    for (const { outcomes } of changes)
      for (const { commandId, outputJson, deviceCode, deviceMessage } of outcomes) {
        const { changes } = this.#sql.setOutcome.run(outputJson, deviceCode, deviceMessage, key(commandId))
        assert(changes === 1, `command ${commandId} has a body`)
      }
    for (const { queue, events } of changes) for (const event of events) this.#insertEvent(queue.deviceId, event)
  }

  #updateCommand(deviceId: number, command: Command, from: State): void {
    const { changes } = this.#sql.updateCommand.run(
      command.state,
      command.deadlineAt,
      command.sentAt,
      command.settledAt,
      command.sentSession,
      command.code,
      command.lateReplies,
      key(command.id),
      deviceId,
      from,
    )
    assert(changes === 1, `command ${command.id} is no longer in state ${from}`)
  }

  #insertCommand(deviceId: number, command: Command, body: CommandBody): void {
    const id = key(command.id)
    this.#sql.insertCommand.run(
      id,
      deviceId,
      command.state,
      command.kind,
      command.identifier,
      command.timeoutS,
      command.pendingTtlS,
      command.expireAt,
      command.deadlineAt,
      command.createdAt,
      command.sentAt,
      command.settledAt,
      command.sentSession,
      command.createdBy,
      command.code,
      command.lateReplies,
    )
    this.#sql.insertBody.run(id, body.nameJson, body.inputJson, body.outputJson, body.deviceCode, body.deviceMessage)
  }

  #insertEvent(deviceId: number, event: QueueEvent): void {
    const { seq, commandId, from, to, at, by, reason, detail } = event
    this.#sql.insertEvent.run(deviceId, seq, keyOrNull(commandId), from, to, at, by, reason, detail)
  }

  #deleteDevice(deviceId: number): void {
    this.#sql.freeSubDevices.run(deviceId)
    this.#sql.deleteDevice.run(deviceId)
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
    const sessionEvents = transaction(this.#db, () => {
      for (const { id } of old) {
        const number = key(id)
        this.#sql.deleteCommand.run(number)
        this.#sql.deleteBody.run(number)
        this.#sql.deleteEvents.run(number)
      }
      // A queue that was loaded with one of these commands must not be committed any more.
      for (const deviceId of new Set(old.map(row => row.device_id))) this.#sql.raiseVersion.run(deviceId)
      return this.#sql.purgeSessionEvents.run(before, limit - old.length).changes
    })
    for (const { state } of old) this.#count(state, -1)
    return old.length + sessionEvents
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

  async organization(orgId: string): Promise<Organization | null> {
    return this.#registry.organization(orgId)
  }

  async application(appKey: string): Promise<ApplicationRow | null> {
    return this.#registry.application(appKey)
  }

  async firstApplication(orgId: string): Promise<ApplicationRow | null> {
    return this.#registry.firstApplication(orgId)
  }

  async model(orgId: string, modelId: string): Promise<ModelRow | null> {
    return this.#registry.model(orgId, modelId)
  }

  async product(productKey: string): Promise<ProductRow | null> {
    return this.#registry.product(productKey)
  }

  async deviceByKeys(productKey: string, deviceKey: string): Promise<Device | null> {
    return this.#registry.deviceByKeys(productKey, deviceKey)
  }

  async deviceByAsset(assetId: string): Promise<Device | null> {
    return this.#registry.deviceByAsset(assetId)
  }

  async applyFleet(rows: FleetRows): Promise<void> {
    transaction(this.#db, () => this.#putFleet(planFleet(rows, this.#registry)))
  }

  #putFleet({ organizations, applications, models, products, devices }: FleetRows): void {
    const sql = this.#sql
    for (const row of organizations) sql.putOrganization.run(row.orgId, row.name)
    for (const row of applications)
      sql.putApplication.run(row.appKey, row.orgId, row.secret, JSON.stringify(row.grants))
    for (const row of models) sql.putModel.run(row.orgId, row.modelId, row.json)
    for (const row of products) sql.putProduct.run(row.productKey, row.orgId, row.secret, row.modelId, row.json)
    this.#putDevices(devices)
  }

  #putDevices(devices: readonly DeviceRow[]): void {
    const sql = this.#sql
    // All old keys go before any new ones come: two devices may swap theirs.
    for (const row of devices) sql.parkDeviceKey.run(row.assetId)
    for (const row of devices) {
      // Not one upsert: that would use up a number of the sequence for each device that is there.
      if (sql.updateDevice.run(...fieldsOf(row), row.assetId).changes === 0) this.#insertDevice(row)
    }
    for (const row of devices) sql.setGateway.run(row.gatewayAssetId, row.assetId)
    for (const row of devices) if (row.disabled) sql.endSession.run(row.assetId)
  }

  #insertDevice(row: DeviceRow): void {
    this.#sql.insertDevice.run(...fieldsOf(row), row.assetId, row.orgId)
  }

  async addDevices(rows: readonly DeviceRow[]): Promise<void> {
    transaction(this.#db, () => {
      checkNewDevices(rows, this.#registry)
      for (const row of rows) this.#insertDevice(row)
      for (const { gatewayAssetId, assetId } of rows)
        if (gatewayAssetId !== null) this.#sql.setGateway.run(gatewayAssetId, assetId)
    })
  }

  async countDevices(productKey: string): Promise<number> {
    const row: { count: number } | undefined = find(this.#sql.countDevices, productKey)
    return row?.count ?? 0
  }

  async subDevices(gatewayAssetId: string): Promise<Device[]> {
    const rows: DeviceColumns[] = isKept(gatewayAssetId) ? this.#sql.subDevices.all(gatewayAssetId) : []
    return rows.map(deviceOf)
  }

  async countSubDevices(gatewayAssetId: string): Promise<number> {
    const row: { count: number } | undefined = find(this.#sql.countSubDevices, gatewayAssetId)
    return row?.count ?? 0
  }

  async moveDevices(moves: readonly DeviceMove[]): Promise<void> {
    transaction(this.#db, () => {
      for (const { assetId, to } of planMoves(moves, this.#registry)) this.#sql.moveDevice.run(to, assetId)
    })
  }

  async secretCheck(): Promise<string | null> {
    const row: { value: string } | undefined = this.#sql.setting.get(SECRET_CHECK)
    return row?.value ?? null
  }

  async setSecretCheck(value: string): Promise<void> {
    assertNoNul({ value })
    this.#sql.addSetting.run(SECRET_CHECK, value)
  }

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

  async purgeTokens(now: number): Promise<void> {
    transaction(this.#db, () => {
      this.#sql.purgeTokens.run(now)
      this.#sql.purgeEncryptions.run(now)
      this.#sql.purgeIdempotency.run(now)
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

/** The columns of a device that may change. */
const fieldsOf = (row: DeviceRow) => {
  const { productKey, deviceKey, secret, nameJson, timezone, disabled, certificateSerial } = row
  return [productKey, deviceKey, secret, nameJson, timezone, disabled ? 1 : 0, certificateSerial]
}

/** The id of a command that is to be written. */
function key(id: string): bigint {
  const number = idNumber(id)
  assert(number !== null, `${id} is a command id`)
  return number
}
const keyOrNull = (id: string | null): bigint | null => (id === null ? null : key(id))
