// The fleet as everyone else sees it: organizations, applications, products, thing models, devices and their secrets, over the store's rows.
// Not here: the fleet file's text (file.ts), encryption itself (secrets.ts), who is online (the engine).

import { isObject } from '../core/json.ts'
import { MODELS_CACHED_MAX } from '../core/limits.ts'
import { type Model, parseModel, parseStringI18n, type StringI18n } from '../core/model.ts'
import type {
  ApplicationRow,
  Device,
  DeviceMove,
  DeviceRow,
  FleetRows,
  Grant,
  ModelRow,
  Organization,
  ProductRow,
  Registry,
} from '../store/store.ts'
import type { FileApplication, FileDevice, FileProduct, FleetFile } from './file.ts'
import { ClearSecret, type Secrets } from './secrets.ts'

/** A caller: it belongs to an organization, proves itself with its secret, and may do what its grants say. */
export interface Application {
  readonly appKey: string
  readonly orgId: string
  readonly grants: readonly Grant[]
  readonly secret: ClearSecret
}

export interface Product {
  readonly productKey: string
  readonly orgId: string
  /** null: its devices take any JSON */
  readonly modelId: string | null
  readonly productName: StringI18n
  readonly productType: 'Device' | 'Gateway'
  /** Custom: its devices speak a format of their own, which its codec turns into JSON and back */
  readonly dataFormat: 'Json' | 'Custom'
  readonly dynamicActivateEnabled: boolean
  readonly biDirectionalAuth: boolean
}

/** A device that is to be added. */
export interface NewDevice extends Pick<DeviceRow, 'assetId' | 'orgId' | 'productKey' | 'deviceKey' | 'timezone'> {
  readonly deviceSecret: ClearSecret
  readonly deviceName: StringI18n
}

/** How many of each a fleet file held. */
export interface Applied {
  readonly organizations: number
  readonly applications: number
  readonly models: number
  readonly products: number
  readonly devices: number
}

/** A stored row that contradicts itself or another: somebody else wrote to the store. Never taken for "there is none". */
export class BrokenFleet extends Error {
  override readonly name = 'BrokenFleet'
}

/** The names that secrets are bound to. */
const applicationRow = (appKey: string): string => `application:${appKey}`
const productRow = (productKey: string): string => `product:${productKey}`
const deviceRow = (assetId: string): string => `device:${assetId}`

/**
 * Whether the application may act on the device: the device is of its organization, and one of its grants for assets has the action
 * (Control implies Read) and covers the device by its scope.
 */
export function allows(
  application: Pick<Application, 'orgId' | 'grants'>,
  action: 'Control' | 'Read',
  device: Pick<DeviceRow, 'orgId' | 'productKey' | 'assetId'>,
): boolean {
  if (application.orgId !== device.orgId) return false
  return application.grants.some(({ resource, actions, scope }) => {
    if (resource !== 'Asset') return false
    if (!actions.includes(action) && !actions.includes('Control')) return false
    if (scope === 'all') return true
    return 'productKeys' in scope
      ? scope.productKeys.includes(device.productKey)
      : scope.assetIds.includes(device.assetId)
  })
}

function readProduct(row: ProductRow): Product {
  const broken = (why: string) =>
    new BrokenFleet(`the stored product ${row.productKey} ${why}; apply its fleet file again`)
  let said: unknown
  try {
    said = JSON.parse(row.json)
  } catch (error) {
    throw new BrokenFleet(broken('is not JSON').message, { cause: error })
  }
  if (!isObject(said)) throw broken('is no object')
  // Products that were stored before there was a choice say nothing of it.
  const { productName, productType, dataFormat = 'Json', dynamicActivateEnabled, biDirectionalAuth } = said
  const name = parseStringI18n(productName)
  if (name === null) throw broken('has no productName')
  if (productType !== 'Device' && productType !== 'Gateway') throw broken('has no productType')
  if (dataFormat !== 'Json' && dataFormat !== 'Custom') throw broken('has no dataFormat')
  if (typeof dynamicActivateEnabled !== 'boolean') throw broken('has no dynamicActivateEnabled')
  if (typeof biDirectionalAuth !== 'boolean') throw broken('has no biDirectionalAuth')
  const { productKey, orgId, modelId } = row
  const flags = { dynamicActivateEnabled, biDirectionalAuth }
  return { productKey, orgId, modelId, productName: name, productType, dataFormat, ...flags }
}

export class Fleet {
  readonly #registry: Registry
  readonly #secrets: Secrets
  /** Parsed thing models, the longest unused first. One is good for as long as the store holds the very text that it was parsed from. */
  readonly #models = new Map<string, { readonly json: string; readonly model: Model }>()

  constructor(registry: Registry, secrets: Secrets) {
    this.#registry = registry
    this.#secrets = secrets
  }

  /**
   * Puts a fleet file into the store: one transaction that inserts and updates; what the file says wins, nothing is deleted.
   * A secret that has not changed keeps its ciphertext, so that applying a file again changes no row. Throws the store's FleetConflict,
   * and then nothing was applied. `now` is in epoch ms.
   */
  async apply(file: FleetFile, now: number): Promise<Applied> {
    const rows: { -readonly [K in keyof FleetRows]: FleetRows[K][number][] } = {
      organizations: [],
      applications: [],
      models: [],
      products: [],
      devices: [],
    }
    for (const { orgId, name, applications, models, products, devices } of file.organizations) {
      rows.organizations.push({ orgId, name })
      for (const application of applications) rows.applications.push(await this.#applicationRow(orgId, application))
      for (const { modelId, json } of models) rows.models.push({ modelId, orgId, json })
      for (const product of products) rows.products.push(await this.#productRow(orgId, product))
      for (const device of devices) rows.devices.push(await this.#deviceRow(orgId, device))
    }
    await this.#registry.applyFleet(rows, now)
    this.#models.clear()
    return {
      organizations: rows.organizations.length,
      applications: rows.applications.length,
      models: rows.models.length,
      products: rows.products.length,
      devices: rows.devices.length,
    }
  }

  organization(orgId: string): Promise<Organization | null> {
    return this.#registry.organization(orgId)
  }

  async application(appKey: string): Promise<Application | null> {
    return this.#opened(await this.#registry.application(appKey))
  }

  /** The one that `--auth open` acts as: the first that was added to the organization. */
  async firstApplication(orgId: string): Promise<Application | null> {
    return this.#opened(await this.#registry.firstApplication(orgId))
  }

  deviceByKeys(productKey: string, deviceKey: string): Promise<Device | null> {
    return this.#registry.deviceByKeys(productKey, deviceKey)
  }

  deviceByAsset(assetId: string): Promise<Device | null> {
    return this.#registry.deviceByAsset(assetId)
  }

  /** The topology of a gateway: the devices behind it, online or not. */
  subDevices(gateway: Pick<DeviceRow, 'assetId'>): Promise<Device[]> {
    return this.#registry.subDevices(gateway.assetId)
  }

  /** How many they are: what a gateway may ask without all of them being read. */
  countSubDevices(gateway: Pick<DeviceRow, 'assetId'>): Promise<number> {
    return this.#registry.countSubDevices(gateway.assetId)
  }

  /**
   * Puts devices behind gateways or takes them out, all of them or none. Throws the store's FleetConflict where one of them is no longer where it was
   * when it was looked up: somebody else has moved it.
   */
  moveDevices(moves: readonly DeviceMove[]): Promise<void> {
    return this.#registry.moveDevices(moves)
  }

  /** A new device as it is kept, its secret sealed: behind no gateway, not disabled. For {@link addDevices}. */
  newRow({ deviceSecret, deviceName, ...device }: NewDevice): DeviceRow {
    return {
      ...device,
      secret: this.#secrets.seal(deviceRow(device.assetId), deviceSecret.reveal()),
      nameJson: JSON.stringify(deviceName),
      disabled: false,
      gatewayAssetId: null,
      certificateSerial: null,
    }
  }

  /** Adds devices, all of them or none. Throws the store's FleetConflict where an assetId or a pair of keys is taken. */
  addDevices(rows: readonly DeviceRow[]): Promise<void> {
    return this.#registry.addDevices(rows)
  }

  /** How many devices the product has. */
  countDevices(productKey: string): Promise<number> {
    return this.#registry.countDevices(productKey)
  }

  /** In clear, for checking a login. Throws SecretError where the stored one does not open. */
  deviceSecret(device: Pick<DeviceRow, 'assetId' | 'secret'>): string {
    return this.#secrets.open(deviceRow(device.assetId), device.secret)
  }

  /** In clear, for checking a login by product; null where there is no such product. Throws SecretError where the stored one does not open. */
  async productSecret(productKey: string): Promise<string | null> {
    const row = await this.#registry.product(productKey)
    return row === null ? null : this.#secrets.open(productRow(productKey), row.secret)
  }

  /** Null where there is no such product; throws BrokenFleet where its row makes no sense. */
  async product(productKey: string): Promise<Product | null> {
    const row = await this.#registry.product(productKey)
    return row === null ? null : readProduct(row)
  }

  /**
   * The thing model of a device's product, or of the product with this key. Null means that the product has none, so that any JSON
   * goes; whatever else keeps a model from being read throws BrokenFleet, because taking it for "none" would let everything through.
   */
  async model(of: Pick<DeviceRow, 'productKey'> | string): Promise<Model | null> {
    const row = await this.#modelRow(typeof of === 'string' ? of : of.productKey)
    return row === null ? null : this.#parsed(`${row.orgId}/${row.modelId}`, row.json)
  }

  /** The text of the same, a ThingModel; null where the product has none. Throws BrokenFleet as above. */
  async modelJson(productKey: string): Promise<string | null> {
    return (await this.#modelRow(productKey))?.json ?? null
  }

  async #modelRow(productKey: string): Promise<ModelRow | null> {
    const product = await this.#registry.product(productKey)
    if (product === null) throw new BrokenFleet(`there is no product ${productKey} in the store`)
    const { orgId, modelId } = product
    if (modelId === null) return null
    const row = await this.#registry.model(orgId, modelId)
    if (row === null)
      throw new BrokenFleet(`the product ${productKey} names the model ${modelId}, which the store does not hold`)
    return row
  }

  #parsed(key: string, json: string): Model {
    const kept = this.#models.get(key)
    this.#models.delete(key)
    const model = kept?.json === json ? kept.model : parseStored(key, json)
    this.#models.set(key, { json, model })
    const oldest = this.#models.keys().next().value
    if (this.#models.size > MODELS_CACHED_MAX && oldest !== undefined) this.#models.delete(oldest)
    return model
  }

  #opened(row: ApplicationRow | null): Application | null {
    if (row === null) return null
    const { appKey, orgId, grants } = row
    return { appKey, orgId, grants, secret: new ClearSecret(this.#secrets.open(applicationRow(appKey), row.secret)) }
  }

  /** The ciphertext that the row has already, if it holds this secret; a new one otherwise. */
  #sealed(row: string, clear: ClearSecret, present: { readonly secret: string } | null): string {
    const text = clear.reveal()
    return present !== null && this.#secrets.holds(row, present.secret, text)
      ? present.secret
      : this.#secrets.seal(row, text)
  }

  async #applicationRow(orgId: string, { appKey, appSecret, grants }: FileApplication): Promise<ApplicationRow> {
    const present = await this.#registry.application(appKey)
    return { appKey, orgId, secret: this.#sealed(applicationRow(appKey), appSecret, present), grants }
  }

  async #productRow(orgId: string, product: FileProduct): Promise<ProductRow> {
    const { productKey, productSecret, modelId, ...said } = product
    const { productName, productType, dataFormat, dynamicActivateEnabled, biDirectionalAuth } = said
    const present = await this.#registry.product(productKey)
    const secret = this.#sealed(productRow(productKey), productSecret, present)
    const json = JSON.stringify({ productName, productType, dataFormat, dynamicActivateEnabled, biDirectionalAuth })
    return { productKey, orgId, secret, modelId, json }
  }

  async #deviceRow(orgId: string, device: FileDevice): Promise<DeviceRow> {
    const { assetId, productKey, deviceKey, deviceSecret, deviceName, timezone, disabled, gateway } = device
    const { certificateSerial } = device
    const present = await this.#registry.deviceByAsset(assetId)
    const secret = this.#sealed(deviceRow(assetId), deviceSecret, present)
    const nameJson = JSON.stringify(deviceName)
    const keys = { assetId, orgId, productKey, deviceKey }
    // What applications and gateways decided is not undone by a file that says nothing about it.
    const kept = {
      disabled: disabled ?? present?.disabled ?? false,
      gatewayAssetId: gateway ?? present?.gatewayAssetId ?? null,
    }
    return { ...keys, ...kept, secret, nameJson, timezone, certificateSerial }
  }
}

function parseStored(key: string, json: string): Model {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (error) {
    throw new BrokenFleet(`the stored model ${key} is not JSON; apply its fleet file again`, { cause: error })
  }
  const parsed = parseModel(value)
  if (parsed.ok) return parsed.model
  const first = parsed.problems[0]
  const where = first === undefined ? '' : `, first at ${first.path}: ${first.message}`
  throw new BrokenFleet(`the stored model ${key} is not a thing model${where}; apply its fleet file again`)
}
