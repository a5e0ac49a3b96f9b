// The registry on PostgreSQL: reading it by its keys, and the writes that are checked against what is on record. Nobody else writes it meanwhile, on any
// node; only a commit may disable or delete a device, which is looked at once more when the rows are locked.
// Not here: what is checked (checks.ts).

import { assert } from '../core/errors.ts'
import { POSTGRES_FLEET_STATEMENT_MAX_MS } from '../core/limits.ts'
import {
  assertNoNul,
  checkNewFleet,
  checkRemovable,
  isKept,
  isOnRecord,
  type OnRecord,
  planChange,
  planFleet,
  planMoves,
} from './checks.ts'
import { type Connections, Interrupted, type Session, together } from './postgres-connection.ts'
import { columns } from './postgres-rows.ts'
import type { StatementName } from './postgres-statements.ts'
import {
  type ApplicationColumns,
  applicationOf,
  type DeviceColumns,
  deviceOf,
  type ModelColumns,
  modelOf,
  type OrganizationColumns,
  organizationOf,
  type ProductColumns,
  productOf,
} from './rows.ts'
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

/** The name under which the check value of the secrets' key is kept in `setting`. */
const SECRET_CHECK = 'secret_check'

type Pair = readonly [string, string]

/** Keys that some row may have: PostgreSQL refuses a NUL, and half a surrogate pair would reach it as another character. */
const keptPairs = (pairs: readonly Pair[]): unknown[][] =>
  columns(
    pairs.filter(pair => pair.every(isKept)),
    2,
  )
const kept = (keys: readonly string[]): string[] => keys.filter(isKept)

/** What the registry has on record of the keys given. */
const read = {
  organizations: async (on: Session, orgIds: readonly string[]): Promise<Organization[]> =>
    (await on.all<OrganizationColumns>('organization', kept(orgIds))).map(organizationOf),
  applications: async (on: Session, appKeys: readonly string[]): Promise<ApplicationRow[]> =>
    (await on.all<ApplicationColumns>('application', kept(appKeys))).map(applicationOf),
  models: async (on: Session, keys: readonly Pair[]): Promise<ModelRow[]> =>
    (await on.all<ModelColumns>('model', ...keptPairs(keys))).map(modelOf),
  products: async (on: Session, productKeys: readonly string[]): Promise<ProductRow[]> =>
    (await on.all<ProductColumns>('product', kept(productKeys))).map(productOf),
  devices: async (on: Session, assetIds: readonly string[]): Promise<Device[]> =>
    (await on.arrays<DeviceColumns>('deviceByAsset', kept(assetIds))).map(deviceOf),
  devicesByKeys: async (on: Session, keys: readonly Pair[]): Promise<Device[]> =>
    (await on.arrays<DeviceColumns>('deviceByKeys', ...keptPairs(keys))).map(deviceOf),
}

export class PostgresRegistry implements Registry {
  readonly #connections: Connections

  constructor(connections: Connections) {
    this.#connections = connections
  }

  async #one<Row>(work: (on: Session) => Promise<Row[]>): Promise<Row | null> {
    const [row] = await this.#connections.again('others', work)
    return row ?? null
  }

  organization(orgId: string): Promise<Organization | null> {
    return this.#one(on => read.organizations(on, [orgId]))
  }

  application(appKey: string): Promise<ApplicationRow | null> {
    return this.#one(on => read.applications(on, [appKey]))
  }

  async organizations(): Promise<Organization[]> {
    const rows = await this.#connections.again('others', on => on.all<OrganizationColumns>('organizations'))
    return rows.map(organizationOf)
  }

  async applications(orgId: string): Promise<ApplicationRow[]> {
    return (await this.#rowsOf<ApplicationColumns>('applications', orgId)).map(applicationOf)
  }

  /** Also true where it was the attempt before, whose answer was lost, that removed it. */
  async removeApplication(appKey: string): Promise<boolean> {
    if (!isKept(appKey)) return false
    let isRemoved = false
    await this.#write(async on => {
      const [, removed] = await together([on.run('removeTokens', appKey), on.run('removeApplication', appKey)])
      isRemoved ||= removed === 1
    })
    return isRemoved
  }

  readonly changeApplication: Registry['changeApplication'] = async ({ appKey, secret, grants }, to) => {
    assertNoNul(to)
    return this.#replace<ApplicationRow>({ secret, grants }, to, {
      read: on => read.applications(on, [appKey]),
      write: async (on, row) => {
        await putFleet(on, { ...noRows, applications: [row] })
        if (to.secret !== secret) await on.run('removeTokens', appKey)
      },
    })
  }

  readonly changeProduct: Registry['changeProduct'] = async ({ productKey, json }, to) => {
    assertNoNul(to)
    return this.#replace<ProductRow>({ json }, to, {
      read: on => read.products(on, [productKey]),
      write: (on, row) => putFleet(on, { ...noRows, products: [row] }),
    })
  }

  /** Writes `to` where the row has what `from` says, or where an attempt whose answer was lost has written it. */
  async #replace<Row extends object>(
    from: Partial<Row>,
    to: Partial<Row>,
    row: { read(on: Session): Promise<Row[]>; write(on: Session, row: Row): Promise<void> },
  ): Promise<boolean> {
    let isReplaced = false
    await this.#write(async (on, repeated) => {
      const [known = null] = await row.read(on)
      const isOurs = repeated && isReplaced && isOnRecord(to, known)
      isReplaced = isOurs || isOnRecord(from, known)
      if (!isOurs && isOnRecord(from, known)) await row.write(on, { ...known, ...to })
    })
    return isReplaced
  }

  async firstApplication(orgId: string): Promise<ApplicationRow | null> {
    if (!isKept(orgId)) return null
    const row = await this.#one(on => on.all<ApplicationColumns>('firstApplication', orgId))
    return row === null ? null : applicationOf(row)
  }

  model(orgId: string, modelId: string): Promise<ModelRow | null> {
    return this.#one(on => read.models(on, [[orgId, modelId]]))
  }

  product(productKey: string): Promise<ProductRow | null> {
    return this.#one(on => read.products(on, [productKey]))
  }

  async models(orgId: string): Promise<ModelRow[]> {
    return (await this.#rowsOf<ModelColumns>('models', orgId)).map(modelOf)
  }

  async products(orgId: string): Promise<ProductRow[]> {
    return (await this.#rowsOf<ProductColumns>('products', orgId)).map(productOf)
  }

  /** As removeApplication. */
  async removeProduct(productKey: string): Promise<boolean> {
    if (!isKept(productKey)) return false
    let isRemoved = false
    await this.#write(async on => {
      const [row] = await on.all<{ count: number }>('countDevices', productKey)
      checkRemovable(productKey, row?.count ?? 0)
      isRemoved ||= (await on.run('removeProduct', productKey)) === 1
    })
    return isRemoved
  }

  async deviceById(deviceId: number): Promise<Device | null> {
    const row = await this.#one(on => on.arrays<DeviceColumns>('deviceById', deviceId))
    return row === null ? null : deviceOf(row)
  }

  deviceByKeys(productKey: string, deviceKey: string): Promise<Device | null> {
    return this.#one(on => read.devicesByKeys(on, [[productKey, deviceKey]]))
  }

  deviceByAsset(assetId: string): Promise<Device | null> {
    return this.#one(on => read.devices(on, [assetId]))
  }

  /** The rows of a key from outside, which may be one that nothing can have. */
  async #rowsOf<Columns extends object>(name: StatementName, key: string): Promise<Columns[]> {
    return isKept(key) ? this.#connections.again('others', on => on.all<Columns>(name, key)) : []
  }

  /** Applying the same rows twice is as applying them once, so a loss needs no further thought. */
  async applyFleet(rows: FleetRows, now: number): Promise<void> {
    await this.#write(async on => {
      const known = await recordOf(on, rows)
      const plan = planFleet(rows, known)
      await putFleet(on, plan)
      await putDevices(on, plan.devices, known, now)
    })
  }

  async addFleet(rows: FleetRows, now: number): Promise<void> {
    await this.#write(async (on, repeated) => {
      const known = await recordOf(on, rows)
      if (repeated && areThere(rows, known)) return
      checkNewFleet(rows, known)
      await putFleet(on, rows)
      await putDevices(on, rows.devices, known, now)
    })
  }

  async addDevices(rows: readonly DeviceRow[], now: number): Promise<void> {
    await this.addFleet({ ...noRows, devices: rows }, now)
  }

  /** Once it is so, nothing is left to do: a loss needs no further thought. */
  async changeDevice(assetId: string, to: DeviceChanges): Promise<boolean> {
    let isThere = false
    await this.#write(async on => {
      const [device] = await read.devices(on, [assetId])
      isThere = device !== undefined
      if (device === undefined) return
      const [holder] = await read.devicesByKeys(on, [[device.productKey, to.deviceKey ?? device.deviceKey]])
      const plan = planChange(device, to, { deviceByKeys: () => holder ?? null })
      if (plan === null) return
      await lockDevices(on, [assetId])
      const { deviceKey, secret, nameJson, timezone, description = null } = plan.row
      const values = [deviceKey, secret, nameJson, timezone, description, plan.isOther, assetId]
      assert((await on.run('changeDevice', ...values)) === 1, 'the device changes')
    })
    return isThere
  }

  async countDevices(productKey: string): Promise<number> {
    if (!isKept(productKey)) return 0
    const row = await this.#one(on => on.all<{ count: number }>('countDevices', productKey))
    return row?.count ?? 0
  }

  async subDevices(gatewayAssetId: string): Promise<Device[]> {
    if (!isKept(gatewayAssetId)) return []
    const rows = await this.#connections.again('others', on => on.arrays<DeviceColumns>('subDevices', gatewayAssetId))
    return rows.map(deviceOf)
  }

  async countSubDevices(gatewayAssetId: string): Promise<number> {
    if (!isKept(gatewayAssetId)) return 0
    const row = await this.#one(on => on.all<{ count: number }>('countSubDevices', gatewayAssetId))
    return row?.count ?? 0
  }

  async moveDevices(moves: readonly DeviceMove[]): Promise<void> {
    const assetIds = moves.flatMap(({ assetId, to }) => [assetId, ...(to === null ? [] : [to])])
    await this.#write(async (on, repeated) => {
      const known = mapped(await read.devices(on, assetIds), row => row.assetId)
      const deviceByAsset = (assetId: string): Device | null => known.get(assetId) ?? null
      if (repeated && moves.every(({ assetId, to }) => deviceByAsset(assetId)?.gatewayAssetId === to)) return
      const plan = planMoves(moves, { deviceByAsset })
      await lockDevices(on, [...plan.map(({ assetId }) => assetId), ...plan.flatMap(({ to }) => to ?? [])])
      const moved = await on.run(
        'moveDevice',
        ...columns(
          plan.map(({ assetId, to }) => [to, assetId]),
          2,
        ),
      )
      assert(moved === plan.length, 'every device moves')
    })
  }

  async secretCheck(): Promise<string | null> {
    const row = await this.#one(on => on.all<{ value: string }>('setting', SECRET_CHECK))
    return row?.value ?? null
  }

  async setSecretCheck(value: string): Promise<void> {
    assertNoNul({ value })
    await this.#connections.again('others', on => on.run('addSetting', SECRET_CHECK, value))
  }

  /** One transaction that alone writes the registry, with more time than others. */
  #write(work: (on: Session, repeated: boolean) => Promise<void>): Promise<void> {
    return this.#connections.write('others', async (on, repeated) => {
      await on.run('registryLock', String(POSTGRES_FLEET_STATEMENT_MAX_MS))
      await work(on.patiently(), repeated)
    })
  }
}

const noRows: FleetRows = { organizations: [], applications: [], models: [], products: [], devices: [] }

/** Whether the rows are on record exactly as they were to be added: then it was the attempt before that added them. */
function areThere(rows: FleetRows, known: OnRecord): boolean {
  const different = planFleet(rows, known)
  return Object.values(different).every((left: readonly unknown[]) => left.length === 0)
}

const pairKey = (pair: Pair): string => JSON.stringify(pair)
const mapped = <Row>(rows: readonly Row[], key: (row: Row) => string): ReadonlyMap<string, Row> =>
  new Map(rows.map(row => [key(row), row]))

/** What is on record of all that the rows name, read at once. To be asked for anything else is a bug: it would be taken for absent. */
async function recordOf(on: Session, rows: FleetRows): Promise<OnRecord> {
  const { organizations, applications, models, products, devices } = rows
  const orgIds = new Set(Object.values(rows).flatMap((all: readonly { orgId: string }[]) => all.map(row => row.orgId)))
  const modelKeys: Pair[] = models.map(row => [row.orgId, row.modelId])
  for (const { orgId, modelId } of products) if (modelId !== null) modelKeys.push([orgId, modelId])
  const productKeys = new Set([...products, ...devices].map(row => row.productKey))
  const assetIds = new Set(devices.flatMap(row => [row.assetId, row.gatewayAssetId ?? row.assetId]))
  const deviceKeys = devices.map((row): Pair => [row.productKey, row.deviceKey])
  const appKeys = applications.map(row => row.appKey)
  const [knownOrganizations, knownApplications, knownModels, knownProducts, byAsset, byKeys] = await together([
    read.organizations(on, [...orgIds, ...organizations.map(row => row.orgId)]),
    read.applications(on, appKeys),
    read.models(on, modelKeys),
    read.products(on, [...productKeys]),
    read.devices(on, [...assetIds]),
    read.devicesByKeys(on, deviceKeys),
  ])
  return {
    organization: lookup(orgIds, knownOrganizations, row => row.orgId),
    application: lookup(appKeys, knownApplications, row => row.appKey),
    model: pairLookup(modelKeys, knownModels, row => [row.orgId, row.modelId]),
    product: lookup(productKeys, knownProducts, row => row.productKey),
    deviceByAsset: lookup(assetIds, byAsset, row => row.assetId),
    deviceByKeys: pairLookup(deviceKeys, byKeys, row => [row.productKey, row.deviceKey]),
  }
}

function lookup<Row>(
  asked: Iterable<string>,
  rows: readonly Row[],
  key: (row: Row) => string,
): (key: string) => Row | null {
  const [known, found] = [new Set(asked), mapped(rows, key)]
  return name => {
    assert(known.has(name), `${name} was looked up`)
    return found.get(name) ?? null
  }
}

function pairLookup<Row>(
  asked: readonly Pair[],
  rows: readonly Row[],
  key: (row: Row) => Pair,
): (one: string, other: string) => Row | null {
  const find = lookup(asked.map(pairKey), rows, row => pairKey(key(row)))
  return (one, other) => find(pairKey([one, other]))
}

/** Everything but the devices. */
async function putFleet(on: Session, plan: FleetRows): Promise<void> {
  const { organizations, applications, models, products } = plan
  const of = <Row>(rows: readonly Row[], width: number, row: (row: Row) => readonly unknown[]) =>
    columns(rows.map(row), width)
  await together([
    on.run('putOrganization', ...of(organizations, 2, row => [row.orgId, row.name])),
    on.run(
      'putApplication',
      ...of(applications, 4, row => [row.appKey, row.orgId, row.secret, JSON.stringify(row.grants)]),
    ),
    on.run('putModel', ...of(models, 3, row => [row.orgId, row.modelId, row.json])),
    on.run('putProduct', ...of(products, 5, row => [row.productKey, row.orgId, row.secret, row.modelId, row.json])),
  ])
}

async function putDevices(on: Session, rows: readonly DeviceRow[], known: OnRecord, now: number): Promise<void> {
  if (rows.length === 0) return
  const isKnown = ({ assetId }: DeviceRow): boolean => known.deviceByAsset(assetId) !== null
  const [there, fresh] = [rows.filter(isKnown), rows.filter(row => !isKnown(row))]
  const gateways = rows.flatMap(row => row.gatewayAssetId ?? [])
  const added = new Set(fresh.map(row => row.assetId))
  await lockDevices(on, [...there.map(row => row.assetId), ...gateways.filter(assetId => !added.has(assetId))])
  const fields = (row: DeviceRow): readonly unknown[] => {
    const { productKey, deviceKey, secret, nameJson, timezone, disabled, certificateSerial, assetId, orgId } = row
    const description = row.description ?? null
    return [productKey, deviceKey, secret, nameJson, timezone, disabled, certificateSerial, description, assetId, orgId]
  }
  const placed = [...there, ...fresh.filter(row => row.gatewayAssetId !== null)]
  const [, updated, inserted, behind] = await together([
    // All old keys go before any new ones come: two devices may swap theirs.
    on.run(
      'parkDeviceKey',
      there.map(row => row.assetId),
    ),
    on.run(
      'updateDevice',
      ...columns(there.map(fields), 9),
      there.map(({ description }) => description !== undefined),
    ),
    // Not one upsert: that would use up a number of the sequence for each device that is there.
    on.run('insertDevice', ...columns(fresh.map(fields), 10), now),
    on.run(
      'setGateway',
      ...columns(
        placed.map(row => [row.gatewayAssetId, row.assetId]),
        2,
      ),
    ),
    on.run(
      'endSession',
      there.map(row => row.assetId),
    ),
  ])
  const isPut = updated === there.length && inserted === fresh.length && behind === placed.length
  assert(isPut, 'every device is put')
}

/** Locks devices that were found. One that a commit deleted since then makes it begin again. */
async function lockDevices(on: Session, assetIds: readonly string[]): Promise<void> {
  const wanted = [...new Set(assetIds)]
  const locked = await on.run('lockAssets', wanted)
  if (locked !== wanted.length) throw new Interrupted('a device was deleted meanwhile')
}
