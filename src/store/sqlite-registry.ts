// The registry in the SQLite store, with its SQL: reading it by its keys, and the writes that are checked against what is on record.
// Not here: what is checked (checks.ts), lists and searches of devices (sqlite-views.ts).

import type { DatabaseSyncInstance, StatementSyncInstance } from '@photostructure/sqlite'
import {
  assertNoNul,
  checkNewDevices,
  checkNewFleet,
  checkRemovable,
  isKept,
  isOnRecord,
  type OnRecord,
  planChange,
  planFleet,
  planMoves,
} from './checks.ts'
import {
  type ApplicationColumns,
  applicationOf,
  DEVICE_COLUMNS,
  type DeviceColumns,
  deviceOf,
  type ModelColumns,
  modelOf,
  type OrganizationColumns,
  organizationOf,
  type ProductColumns,
  productOf,
} from './rows.ts'
import { transaction } from './sqlite-file.ts'
import { find, type Statements } from './sqlite-rows.ts'
import type {
  ApplicationRow,
  Device,
  DeviceChanges,
  DeviceMove,
  DeviceRow,
  FleetRows,
  ModelRow,
  Organization,
  ProductRow,
  Registry,
} from './store.ts'

const APPLICATION_COLUMNS = 'app_key, org_id, secret, grants_json'
const PRODUCT_COLUMNS = 'product_key, org_id, secret, model_id, json'
const DEVICES = `select ${DEVICE_COLUMNS} from device d left join device g on g.id = d.gateway_id`

/** Indexes are named where the planner, which has no statistics, might take another one. */
export const registryStatements = {
  organization: 'select org_id, name from organization where org_id = ?',
  organizations: 'select org_id, name from organization order by org_id',
  application: `select ${APPLICATION_COLUMNS} from application where app_key = ?`,
  applications: `select ${APPLICATION_COLUMNS} from application where org_id = ? order by id`,
  firstApplication: `select ${APPLICATION_COLUMNS} from application where org_id = ? order by id limit 1`,
  removeApplication: 'delete from application where app_key = ?',
  removeTokens: 'delete from token where app_key = ?',
  model: 'select org_id, model_id, json from model where org_id = ? and model_id = ?',
  models: 'select org_id, model_id, json from model where org_id = ? order by model_id',
  product: `select ${PRODUCT_COLUMNS} from product where product_key = ?`,
  products: `select ${PRODUCT_COLUMNS} from product where org_id = ? order by product_key`,
  removeProduct: 'delete from product where product_key = ?',
  deviceById: `${DEVICES} where d.id = ?`,
  deviceByKeys: `${DEVICES} where d.product_key = ? and d.device_key = ?`,
  deviceByAsset: `${DEVICES} where d.asset_id = ?`,
  countDevices: 'select count(*) as count from device indexed by device_by_product where product_key = ?',
  countSubDevices: `select count(*) as count from device g join device d indexed by device_by_gateway on d.gateway_id = g.id where g.asset_id = ?`,
  subDevices: `select ${DEVICE_COLUMNS} from device g join device d indexed by device_by_gateway on d.gateway_id = g.id
    where g.asset_id = ? order by d.id`,
  putOrganization:
    'insert into organization (org_id, name) values (?, ?) on conflict (org_id) do update set name = excluded.name',
  putApplication: `insert into application (app_key, org_id, secret, grants_json) values (?, ?, ?, ?)
    on conflict (app_key) do update set secret = excluded.secret, grants_json = excluded.grants_json`,
  putModel: `insert into model (org_id, model_id, json) values (?, ?, ?) on conflict (org_id, model_id) do update set json = excluded.json`,
  putProduct: `insert into product (product_key, org_id, secret, model_id, json) values (?, ?, ?, ?, ?)
    on conflict (product_key) do update set secret = excluded.secret, model_id = excluded.model_id, json = excluded.json`,
  /** Out of the way for a device that takes these keys in the same fleet; `~` is in no key. */
  parkDeviceKey: "update device set device_key = '~' || id where asset_id = ?",
  /** The description only where the row says something of it (1). */
  updateDevice: `update device set version = version + 1, product_key = ?, device_key = ?, secret = ?, name_json = ?, timezone = ?, disabled = ?,
    certificate_serial = ?, description = iif(?, ?, description) where asset_id = ?`,
  /** one that is disabled has no session any more */
  endSession: `update device set session_node = null where asset_id = ? and disabled = 1`,
  insertDevice: `insert into device (product_key, device_key, secret, name_json, timezone, disabled, certificate_serial, description, asset_id, org_id,
    created_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  changeDevice: `update device set version = version + 1, device_key = ?, secret = ?, name_json = ?, timezone = ?, description = ?,
    session_node = iif(?, null, session_node), active_at = iif(?, null, active_at) where asset_id = ?`,
  /** After all devices are in, because a file may list a gateway after its sub-devices. */
  setGateway: 'update device set gateway_id = (select g.id from device g where g.asset_id = ?) where asset_id = ?',
  moveDevice: `update device set version = version + 1, gateway_id = (select g.id from device g where g.asset_id = ?) where asset_id = ?`,
  setting: 'select value from setting where key = ?',
  /** the first value stays */
  addSetting: 'insert into setting (key, value) values (?, ?) on conflict (key) do nothing',
} as const

/** Statements of devices, which are read by the thousand: see sqlite-rows.ts. */
const asArrays = ['deviceById', 'deviceByKeys', 'deviceByAsset', 'subDevices'] as const

/** The name under which the check value of the secrets' key is kept in `setting`. */
const SECRET_CHECK = 'secret_check'

/** What is on record, by its natural keys. */
interface Known extends OnRecord {
  deviceByAsset(assetId: string): Device | null
  deviceByKeys(productKey: string, deviceKey: string): Device | null
}

const read = <Columns, Row>(row: Columns | undefined, of: (row: Columns) => Row): Row | null =>
  row === undefined ? null : of(row)

const knownBy = (sql: Statements): Known => ({
  organization: orgId => read(find(sql.organization, orgId), organizationOf),
  application: appKey => read(find(sql.application, appKey), applicationOf),
  model: (orgId, modelId) => read(find(sql.model, orgId, modelId), modelOf),
  product: productKey => read(find(sql.product, productKey), productOf),
  deviceByAsset: assetId => read(find(sql.deviceByAsset, assetId), deviceOf),
  deviceByKeys: (productKey, deviceKey) => read(find(sql.deviceByKeys, productKey, deviceKey), deviceOf),
})

export class SqliteRegistry implements Registry {
  readonly #db: DatabaseSyncInstance
  readonly #sql: Statements
  readonly #known: Known

  constructor(db: DatabaseSyncInstance, sql: Statements) {
    this.#db = db
    this.#sql = sql
    for (const name of asArrays) sql[name].setReturnArrays(true)
    this.#known = knownBy(sql)
  }

  async organization(orgId: string): Promise<Organization | null> {
    return this.#known.organization(orgId)
  }

  async organizations(): Promise<Organization[]> {
    const rows: OrganizationColumns[] = this.#sql.organizations.all()
    return rows.map(organizationOf)
  }

  async application(appKey: string): Promise<ApplicationRow | null> {
    return this.#known.application(appKey)
  }

  async applications(orgId: string): Promise<ApplicationRow[]> {
    return rowsOf<ApplicationColumns>(this.#sql.applications, orgId).map(applicationOf)
  }

  async firstApplication(orgId: string): Promise<ApplicationRow | null> {
    return read(find<ApplicationColumns>(this.#sql.firstApplication, orgId), applicationOf)
  }

  async removeApplication(appKey: string): Promise<boolean> {
    if (!isKept(appKey)) return false
    return transaction(this.#db, () => {
      this.#sql.removeTokens.run(appKey)
      return this.#sql.removeApplication.run(appKey).changes === 1
    })
  }

  readonly changeApplication: Registry['changeApplication'] = async ({ appKey, secret, grants }, to) => {
    assertNoNul(to)
    return transaction(this.#db, () => {
      const known = this.#known.application(appKey)
      if (!isOnRecord({ secret, grants }, known)) return false
      this.#sql.putApplication.run(appKey, known.orgId, to.secret, JSON.stringify(to.grants))
      if (to.secret !== secret) this.#sql.removeTokens.run(appKey)
      return true
    })
  }

  async model(orgId: string, modelId: string): Promise<ModelRow | null> {
    return this.#known.model(orgId, modelId)
  }

  async models(orgId: string): Promise<ModelRow[]> {
    return rowsOf<ModelColumns>(this.#sql.models, orgId).map(modelOf)
  }

  async product(productKey: string): Promise<ProductRow | null> {
    return this.#known.product(productKey)
  }

  async products(orgId: string): Promise<ProductRow[]> {
    return rowsOf<ProductColumns>(this.#sql.products, orgId).map(productOf)
  }

  readonly changeProduct: Registry['changeProduct'] = async ({ productKey, json }, to) => {
    assertNoNul(to)
    return transaction(this.#db, () => {
      const known = this.#known.product(productKey)
      if (!isOnRecord({ json }, known)) return false
      this.#sql.putProduct.run(productKey, known.orgId, known.secret, known.modelId, to.json)
      return true
    })
  }

  async removeProduct(productKey: string): Promise<boolean> {
    if (!isKept(productKey)) return false
    return transaction(this.#db, () => {
      checkRemovable(productKey, this.#count(this.#sql.countDevices, productKey))
      return this.#sql.removeProduct.run(productKey).changes === 1
    })
  }

  async deviceById(deviceId: number): Promise<Device | null> {
    return read(find<DeviceColumns>(this.#sql.deviceById, deviceId), deviceOf)
  }

  async deviceByKeys(productKey: string, deviceKey: string): Promise<Device | null> {
    return this.#known.deviceByKeys(productKey, deviceKey)
  }

  async deviceByAsset(assetId: string): Promise<Device | null> {
    return this.#known.deviceByAsset(assetId)
  }

  async applyFleet(rows: FleetRows, now: number): Promise<void> {
    transaction(this.#db, () => this.#putFleet(planFleet(rows, this.#known), now))
  }

  async addFleet(rows: FleetRows, now: number): Promise<void> {
    transaction(this.#db, () => {
      checkNewFleet(rows, this.#known)
      this.#putFleet(rows, now)
    })
  }

  #putFleet({ organizations, applications, models, products, devices }: FleetRows, now: number): void {
    const sql = this.#sql
    for (const row of organizations) sql.putOrganization.run(row.orgId, row.name)
    for (const row of applications)
      sql.putApplication.run(row.appKey, row.orgId, row.secret, JSON.stringify(row.grants))
    for (const row of models) sql.putModel.run(row.orgId, row.modelId, row.json)
    for (const row of products) sql.putProduct.run(row.productKey, row.orgId, row.secret, row.modelId, row.json)
    this.#putDevices(devices, now)
  }

  #putDevices(devices: readonly DeviceRow[], now: number): void {
    const sql = this.#sql
    // All old keys go before any new ones come: two devices may swap theirs.
    for (const row of devices) sql.parkDeviceKey.run(row.assetId)
    for (const row of devices) {
      const { description } = row
      const said = [description === undefined ? 0 : 1, description ?? null]
      // Not one upsert: that would use up a number of the sequence for each device that is there.
      const { changes } = sql.updateDevice.run(...fieldsOf(row), ...said, row.assetId)
      if (changes === 0) this.#insertDevice(row, now)
    }
    for (const row of devices) sql.setGateway.run(row.gatewayAssetId, row.assetId)
    for (const row of devices) if (row.disabled) sql.endSession.run(row.assetId)
  }

  #insertDevice(row: DeviceRow, now: number): void {
    this.#sql.insertDevice.run(...fieldsOf(row), row.description ?? null, row.assetId, row.orgId, now)
  }

  async addDevices(rows: readonly DeviceRow[], now: number): Promise<void> {
    transaction(this.#db, () => {
      checkNewDevices(rows, this.#known)
      for (const row of rows) this.#insertDevice(row, now)
      for (const { gatewayAssetId, assetId } of rows)
        if (gatewayAssetId !== null) this.#sql.setGateway.run(gatewayAssetId, assetId)
    })
  }

  async changeDevice(assetId: string, to: DeviceChanges): Promise<boolean> {
    return transaction(this.#db, () => {
      const device = this.#known.deviceByAsset(assetId)
      if (device === null) return false
      const plan = planChange(device, to, this.#known)
      if (plan === null) return true
      const { deviceKey, secret, nameJson, timezone, description = null } = plan.row
      const isOther = plan.isOther ? 1 : 0
      this.#sql.changeDevice.run(deviceKey, secret, nameJson, timezone, description, isOther, isOther, assetId)
      return true
    })
  }

  #count(count: StatementSyncInstance, key: string): number {
    return find<{ count: number }>(count, key)?.count ?? 0
  }

  async countDevices(productKey: string): Promise<number> {
    return this.#count(this.#sql.countDevices, productKey)
  }

  async subDevices(gatewayAssetId: string): Promise<Device[]> {
    return rowsOf<DeviceColumns>(this.#sql.subDevices, gatewayAssetId).map(deviceOf)
  }

  async countSubDevices(gatewayAssetId: string): Promise<number> {
    return this.#count(this.#sql.countSubDevices, gatewayAssetId)
  }

  async moveDevices(moves: readonly DeviceMove[]): Promise<void> {
    transaction(this.#db, () => {
      for (const { assetId, to } of planMoves(moves, this.#known)) this.#sql.moveDevice.run(to, assetId)
    })
  }

  async secretCheck(): Promise<string | null> {
    return find<{ value: string }>(this.#sql.setting, SECRET_CHECK)?.value ?? null
  }

  async setSecretCheck(value: string): Promise<void> {
    assertNoNul({ value })
    this.#sql.addSetting.run(SECRET_CHECK, value)
  }
}

/** The rows of a key from outside, which may be one that nothing can have. */
const rowsOf = <Columns>(statement: StatementSyncInstance, key: string): Columns[] =>
  isKept(key) ? statement.all(key) : []

/** The columns of a device that a fleet may change. */
const fieldsOf = (row: DeviceRow) => {
  const { productKey, deviceKey, secret, nameJson, timezone, disabled, certificateSerial } = row
  return [productKey, deviceKey, secret, nameJson, timezone, disabled ? 1 : 0, certificateSerial]
}
