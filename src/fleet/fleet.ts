// The fleet as everyone else sees it: organizations, applications, products, thing models, devices and their secrets, over the store's rows.
// Not here: the fleet file's text (file.ts), what applications and the administrator change of it (registrar.ts, applications.ts), encryption itself
// (secrets.ts), who is online (the engine).

import { randomBytes as chance } from 'node:crypto'
import { MODELS_CACHED_MAX } from '../core/limits.ts'
import type { Model, StringI18n } from '../core/model.ts'
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
import { Applications } from './applications.ts'
import type { FileApplication, FileDevice, FileProduct, FleetFile } from './file.ts'
import type { RandomBytes } from './names.ts'
import { Registrar } from './registrar.ts'
import {
  applicationRow,
  BrokenFleet,
  deviceRow,
  noNotes,
  type Product,
  type ProductNotes,
  parseStoredModel,
  productJson,
  productRow,
  readNotes,
  readProduct,
  webhookRow,
} from './rows.ts'
import { ClearSecret, type Secrets } from './secrets.ts'

export { BrokenFleet, type Product } from './rows.ts'

/** A caller: it belongs to an organization, proves itself with its secret, and may do what its grants say. */
export interface Application {
  readonly appKey: string
  readonly orgId: string
  readonly grants: readonly Grant[]
  readonly secret: ClearSecret
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

export class Fleet {
  readonly #registry: Registry
  readonly #secrets: Secrets
  /** Parsed thing models, the longest unused first. One is good for as long as the store holds the very text that it was parsed from. */
  readonly #models = new Map<string, { readonly json: string; readonly model: Model }>()
  /** what applications change of it */
  readonly registrar: Registrar
  /** what the administrator does with applications */
  readonly applications: Applications

  /** `randomBytes`: so many bytes that nobody can guess; names and secrets are made of them. */
  constructor(registry: Registry, secrets: Secrets, randomBytes: RandomBytes = chance) {
    this.#registry = registry
    this.#secrets = secrets
    this.registrar = new Registrar(registry, secrets, randomBytes)
    this.applications = new Applications(registry, secrets, randomBytes)
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

  /** Adds devices, all of them or none. `now` in epoch ms. Throws the store's FleetConflict where an assetId or a pair of keys is taken. */
  addDevices(rows: readonly DeviceRow[], now: number): Promise<void> {
    return this.#registry.addDevices(rows, now)
  }

  /** How many devices the product has. */
  countDevices(productKey: string): Promise<number> {
    return this.#registry.countDevices(productKey)
  }

  /** In clear, for checking a login. Throws SecretError where the stored one does not open. */
  deviceSecret(device: Pick<DeviceRow, 'assetId' | 'secret'>): string {
    return this.#secrets.open(deviceRow(device.assetId), device.secret)
  }

  /** The secret of a webhook as it is kept. */
  sealedWebhookSecret(webhookId: string, secret: ClearSecret): string {
    return this.#secrets.seal(webhookRow(webhookId), secret.reveal())
  }

  /** In clear, for signing what is sent. Throws SecretError where the stored one does not open. */
  webhookSecret({ webhookId, secret }: { readonly webhookId: string; readonly secret: string }): string {
    return this.#secrets.open(webhookRow(webhookId), secret)
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
    const row = await this.modelRow(typeof of === 'string' ? of : of.productKey)
    return row === null ? null : this.#parsed(`${row.orgId}/${row.modelId}`, row.json)
  }

  /** A thing model by its id; null where the organization has none. Throws BrokenFleet where its text makes no sense. */
  async modelById(orgId: string, modelId: string): Promise<Model | null> {
    const row = await this.#registry.model(orgId, modelId)
    return row === null ? null : this.#parsed(`${orgId}/${modelId}`, row.json)
  }

  /** The text of a product's thing model; null where the product has none. Throws BrokenFleet as above. */
  async modelJson(productKey: string): Promise<string | null> {
    return (await this.modelRow(productKey))?.json ?? null
  }

  /** A product's thing model as it is kept; null where the product has none. Throws BrokenFleet as above. */
  async modelRow(productKey: string): Promise<ModelRow | null> {
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
    const model = kept?.json === json ? kept.model : parseStoredModel(key, json)
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
    const { productKey, productSecret, modelId } = product
    const present = await this.#registry.product(productKey)
    const secret = this.#sealed(productRow(productKey), productSecret, present)
    return { productKey, orgId, secret, modelId, json: productJson({ ...product, orgId }, notesOf(present)) }
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

/** What applications noted of a product is not undone by a file, which has no words for it; what makes no sense any more is healed by one. */
function notesOf(present: ProductRow | null): ProductNotes {
  if (present === null) return noNotes
  try {
    return readNotes(present)
  } catch (error) {
    if (error instanceof BrokenFleet) return noNotes
    throw error
  }
}
