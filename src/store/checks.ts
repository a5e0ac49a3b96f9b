// What every store checks before it writes, so that all refuse the same things in the same words. Pure; what is on record is read through lookups.
// Not here: the guards that need a row locked (version, state), which belong to each store's own transaction.

import { assert } from '../core/errors.ts'
import { ATTRIBUTES_MAX_PER_DEVICE, DATA_ID_MAX_CHARS, POINTS_MAX_PER_DEVICE } from '../core/limits.ts'
import {
  type ApplicationRow,
  type Batch,
  type DataChange,
  type DeviceChanges,
  type DeviceMove,
  type DeviceRow,
  FleetConflict,
  type FleetRows,
  type ModelRow,
  type Organization,
  type ProductRow,
} from './store.ts'

/** SQLite hands text back only up to its first NUL, PostgreSQL refuses one: better a loud bug than a silent cut. JSON text writes it as an escape. */
export function assertNoNul(row: object): void {
  for (const [field, value] of Object.entries(row))
    if (typeof value === 'string')
      assert(!value.includes('\0'), `${field} holds a NUL character, which no store can keep`)
}

/** Text that a database keeps to the letter: what is not cannot be the key of anything, though a driver would cut or replace it and find something. */
export const isKept = (text: string): boolean => !/[\0\p{Surrogate}]/u.test(text)

/** The order of texts that databases have. */
export const byCodePoint = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

/** A batch names each device once, deletes none with anything open, and holds no text that a database cannot keep. Throws Bug. */
export function checkBatch(batch: Batch): void {
  const devices = new Set(batch.changes.map(change => change.queue.deviceId))
  assert(devices.size === batch.changes.length, 'a batch names a device once')
  for (const { queue, inserts, outcomes, events, kept } of batch.changes) {
    assert(!queue.deleted || queue.open.length === 0, `device ${queue.deviceId} is deleted with nothing open`)
    for (const { command, body } of inserts) {
      assertNoNul(command)
      assertNoNul(body)
    }
    outcomes.forEach(assertNoNul)
    events.forEach(assertNoNul)
    kept?.forEach(assertNoNul)
  }
}

/** What is on record, read while nobody else can write. */
export interface OnRecord {
  organization(orgId: string): Organization | null
  application(appKey: string): ApplicationRow | null
  model(orgId: string, modelId: string): ModelRow | null
  product(productKey: string): ProductRow | null
  deviceByAsset(assetId: string): DeviceRow | null
  deviceByKeys(productKey: string, deviceKey: string): DeviceRow | null
}

/** The rows of a fleet that are new or differ from what is on record, each kind in the order of the file. */
export type FleetPlan = FleetRows

/**
 * Checks a fleet against itself and what is on record: every natural key once, no row in another organization than before, everything that a
 * row names present in its own organization. Throws FleetConflict, naming the row and the key; nothing has been written then.
 */
export function planFleet(rows: FleetRows, known: OnRecord): FleetPlan {
  for (const row of Object.values(rows).flat()) assertNoNul(row)
  const fleet = new Fleet(rows, known)
  for (const row of rows.applications) fleet.checkApplication(row)
  for (const row of rows.models) fleet.checkModel(row)
  for (const row of rows.products) fleet.checkProduct(row)
  for (const row of rows.devices) fleet.checkDevice(row)
  return {
    organizations: rows.organizations.filter(row => differs(row, known.organization(row.orgId))),
    applications: rows.applications.filter(row => differs(row, known.application(row.appKey))),
    models: rows.models.filter(row => differs(row, known.model(row.orgId, row.modelId))),
    products: rows.products.filter(row => differs(row, known.product(row.productKey))),
    devices: rows.devices
      .filter(row => differs(row, known.deviceByAsset(row.assetId)))
      // What a row does not say of its description stays.
      .map(row => ({ description: known.deviceByAsset(row.assetId)?.description ?? null, ...row })),
  }
}

/** Checks devices that are to be added, as planFleet does, and that they are new. Throws FleetConflict. */
export function checkNewDevices(rows: readonly DeviceRow[], known: OnRecord): void {
  checkNewFleet({ organizations: [], applications: [], models: [], products: [], devices: rows }, known)
}

/** Checks a fleet as planFleet does, and that every row of it is new. Throws FleetConflict. */
export function checkNewFleet(rows: FleetRows, known: OnRecord): void {
  planFleet(rows, known)
  const taken = (row: string, id: string): never => conflict(row, `exists already; use another ${id}`)
  for (const row of rows.organizations)
    if (known.organization(row.orgId) !== null) taken(organizationName(row), 'orgId')
  for (const row of rows.applications) if (known.application(row.appKey) !== null) taken(applicationName(row), 'appKey')
  for (const row of rows.models) if (known.model(row.orgId, row.modelId) !== null) taken(modelName(row), 'modelId')
  for (const row of rows.products) if (known.product(row.productKey) !== null) taken(productName(row), 'productKey')
  for (const row of rows.devices) if (known.deviceByAsset(row.assetId) !== null) taken(deviceName(row), 'assetId')
}

/** A product goes only when nothing is of it. Throws FleetConflict. */
export function checkRemovable(productKey: string, devices: number): void {
  if (devices > 0) conflict(productName({ productKey }), `has ${devices} devices; delete them first`)
}

/** What a device becomes; null where that is what it is. `isOther`: it goes by another key, so who is connected is not it. Throws FleetConflict. */
export function planChange(
  device: DeviceRow,
  to: DeviceChanges,
  known: Pick<OnRecord, 'deviceByKeys'>,
): { readonly row: DeviceRow; readonly isOther: boolean } | null {
  assertNoNul(to)
  if (!differs(to, device)) return null
  const row = { ...device, ...to }
  const isOther = row.deviceKey !== device.deviceKey
  const holder = isOther ? known.deviceByKeys(row.productKey, row.deviceKey) : null
  if (holder !== null)
    conflict(deviceName(row), `${deviceKeys(row)} is taken by assetId "${holder.assetId}"; use another deviceKey`)
  return { row, isOther }
}

/** Whether a row is on record with all that these fields say. */
export const isOnRecord = <Row extends object>(fields: Partial<Row>, known: Row | null): known is Row =>
  known !== null && !differs(fields, known)

/** Checks moves against what is on record, and returns those that change something. Throws FleetConflict. */
export function planMoves(moves: readonly DeviceMove[], known: Pick<OnRecord, 'deviceByAsset'>): DeviceMove[] {
  once(moves, move => move.assetId, deviceName)
  for (const move of moves) {
    const name = deviceName(move)
    const device = known.deviceByAsset(move.assetId)
    if (device === null) return conflict(name, 'does not exist')
    const { orgId, gatewayAssetId } = device
    const where = gatewayAssetId === null ? 'no gateway' : `gateway "${gatewayAssetId}"`
    if (gatewayAssetId !== move.from) conflict(name, `is behind ${where} by now; look it up again`)
    checkGateway({ assetId: move.assetId, orgId, gatewayAssetId: move.to }, known.deviceByAsset)
  }
  return moves.filter(({ from, to }) => from !== to)
}

/** What is to be kept of a device is whole. Throws Bug. */
export function checkData(changes: readonly DataChange[]): void {
  const check = (id: string, text: string): void => {
    assert(id.length <= DATA_ID_MAX_CHARS, `an id has at most ${DATA_ID_MAX_CHARS} characters`)
    assert(
      isKept(id) && isKept(text),
      `what is kept as ${JSON.stringify(id)} has no NUL and no half of a surrogate pair`,
    )
  }
  const checkAt = (at: number): void => assert(Number.isSafeInteger(at), 'an instant is an integer')
  for (const change of changes) {
    switch (change.type) {
      case 'measurepoints':
        for (const { pointId, valueJson, quality, at } of change.values) {
          check(pointId, valueJson)
          checkAt(at)
          assert(quality === null || Number.isFinite(quality), 'a quality is a finite number')
        }
        break
      case 'event':
        check(change.event.eventId, change.event.outputJson)
        checkAt(change.event.at)
        break
      case 'attributes':
      case 'tags':
        for (const [id, value] of change.set) check(id, value)
    }
  }
}

/** How many of each a device may have. */
const DATA_MAX: Readonly<Record<DataChange['type'], number>> = {
  measurepoints: POINTS_MAX_PER_DEVICE,
  event: ATTRIBUTES_MAX_PER_DEVICE,
  attributes: ATTRIBUTES_MAX_PER_DEVICE,
  tags: ATTRIBUTES_MAX_PER_DEVICE,
}

/** Whether a device that has `before` of them may have `after`. One that does not get more always may: the bound may have been higher once. */
export const mayHave = (type: DataChange['type'], before: number, after: number): boolean =>
  after <= before || after <= DATA_MAX[type]

/** Field by field of the new row, so that what else a record carries (a number, a time) does not count. */
function differs<Row extends object>(row: Partial<Row>, known: Row | null): boolean {
  if (known === null) return true
  const fields = Object.keys(row) as (keyof Row)[]
  return fields.some(field => JSON.stringify(row[field]) !== JSON.stringify(known[field]))
}

const pair = (one: string, other: string): string => JSON.stringify([one, other])
const conflict = (row: string, what: string): never => {
  throw new FleetConflict(`${row}: ${what}`)
}

/** How a row is called in messages. */
const organizationName = (row: Organization): string => `organization orgId "${row.orgId}"`
const applicationName = (row: ApplicationRow): string => `application appKey "${row.appKey}"`
const modelName = (row: ModelRow): string => `model modelId "${row.modelId}"`
const productName = (row: Pick<ProductRow, 'productKey'>): string => `product productKey "${row.productKey}"`
const deviceName = (row: Pick<DeviceRow, 'assetId'>): string => `device assetId "${row.assetId}"`
const deviceKeys = (row: DeviceRow): string => `productKey "${row.productKey}", deviceKey "${row.deviceKey}"`

const modelKey = (row: ModelRow): string => pair(row.orgId, row.modelId)
const deviceKeysKey = (row: DeviceRow): string => pair(row.productKey, row.deviceKey)

/** The fleet as it will be: a row of the file, or else the one on record. Lives only inside planFleet. */
class Fleet {
  readonly #known: OnRecord
  readonly #organizations: ReadonlyMap<string, Organization>
  readonly #models: ReadonlyMap<string, ModelRow>
  readonly #products: ReadonlyMap<string, ProductRow>
  readonly #devices: ReadonlyMap<string, DeviceRow>

  constructor({ organizations, applications, models, products, devices }: FleetRows, known: OnRecord) {
    this.#known = known
    this.#organizations = once(organizations, row => row.orgId, organizationName)
    once(applications, row => row.appKey, applicationName)
    this.#models = once(models, modelKey, modelName)
    this.#products = once(products, row => row.productKey, productName)
    this.#devices = once(devices, row => row.assetId, deviceName)
    once(devices, deviceKeysKey, row => `${deviceName(row)}: ${deviceKeys(row)}`)
  }

  checkApplication(row: ApplicationRow): void {
    const name = applicationName(row)
    this.#checkOrganization(name, row.orgId)
    this.#checkStays(name, row.orgId, this.#known.application(row.appKey))
  }

  checkModel(row: ModelRow): void {
    this.#checkOrganization(modelName(row), row.orgId)
  }

  checkProduct(row: ProductRow): void {
    const name = productName(row)
    this.#checkOrganization(name, row.orgId)
    this.#checkStays(name, row.orgId, this.#known.product(row.productKey))
    const { orgId, modelId } = row
    if (modelId === null || this.#models.has(pair(orgId, modelId)) || this.#known.model(orgId, modelId)) return
    conflict(name, `modelId "${modelId}" does not exist in organization "${orgId}"; add the model`)
  }

  checkDevice(row: DeviceRow): void {
    const name = deviceName(row)
    this.#checkOrganization(name, row.orgId)
    this.#checkStays(name, row.orgId, this.#known.deviceByAsset(row.assetId))
    const product = this.#products.get(row.productKey) ?? this.#known.product(row.productKey)
    if (product?.orgId !== row.orgId)
      conflict(name, `productKey "${row.productKey}" does not exist in organization "${row.orgId}"; add the product`)
    // The keys may be on record with a device that the same file gives other ones.
    const holder = this.#known.deviceByKeys(row.productKey, row.deviceKey)
    if (holder !== null && !this.#devices.has(holder.assetId))
      conflict(name, `${deviceKeys(row)} is taken by assetId "${holder.assetId}"; use another deviceKey`)
    checkGateway(row, assetId => this.#devices.get(assetId) ?? this.#known.deviceByAsset(assetId))
  }

  #checkOrganization(name: string, orgId: string): void {
    if (!this.#organizations.has(orgId) && this.#known.organization(orgId) === null)
      conflict(name, `orgId "${orgId}" does not exist; add the organization`)
  }

  #checkStays(name: string, orgId: string, known: { readonly orgId: string } | null): void {
    if (known !== null && known.orgId !== orgId)
      conflict(name, `is taken by organization "${known.orgId}" and cannot be used in organization "${orgId}"`)
  }
}

/** A device is behind none, or another one of its organization. */
function checkGateway(
  row: Pick<DeviceRow, 'assetId' | 'orgId' | 'gatewayAssetId'>,
  find: (assetId: string) => Pick<DeviceRow, 'orgId'> | null,
): void {
  const { orgId, gatewayAssetId } = row
  if (gatewayAssetId === null) return
  if (gatewayAssetId === row.assetId) conflict(deviceName(row), 'gateway names the device itself')
  if (find(gatewayAssetId)?.orgId !== orgId)
    conflict(deviceName(row), `gateway "${gatewayAssetId}" does not exist in organization "${orgId}"; add the gateway`)
}

/** Rows by a key that only one of them may have. */
function once<Row>(rows: readonly Row[], key: (row: Row) => string, name: (row: Row) => string): Map<string, Row> {
  const map = new Map<string, Row>()
  for (const row of rows) {
    if (map.has(key(row))) conflict(name(row), 'is listed twice')
    map.set(key(row), row)
  }
  return map
}
