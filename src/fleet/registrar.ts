// What applications change of a fleet: products, thing models, devices and their keys. Each change is one transaction of the store; names and secrets are
// drawn here. Not here: whether what they ask for is well formed, and whether they may (http/), what becomes of a device's commands (the engine).

import { errors, invalid, overloaded, type Refusal, refuse } from '../core/errors.ts'
import {
  CHANGE_ATTEMPTS,
  MODELS_MAX,
  NEW_NAMES_ATTEMPTS,
  PRODUCTS_MAX,
  REGISTER_UP_TO_DEVICES,
} from '../core/limits.ts'
import type { StringI18n } from '../core/model.ts'
import {
  type Device,
  type DeviceRow,
  FleetConflict,
  type FleetRows,
  type ModelRow,
  type ProductRow,
  type Registry,
} from '../store/store.ts'
import { newAssetId, newDeviceKey, newProductKey, newSecret, type RandomBytes } from './names.ts'
import {
  deviceRow,
  noNotes,
  type Product,
  type ProductNotes,
  productJson,
  productRow,
  readNotes,
  readProduct,
} from './rows.ts'
import type { Secrets } from './secrets.ts'

/** A product with all that is kept of it. */
export interface StoredProduct {
  readonly product: Product
  readonly notes: ProductNotes
  /** ciphertext */
  readonly secret: string
}

export type NewProduct = Omit<Product, 'productKey' | 'orgId'> & Pick<ProductNotes, 'productDesc' | 'productTags'>

/** What may be changed of a product; what is absent stays. */
export type ProductChanges = Partial<
  Pick<Product, 'productName' | 'dynamicActivateEnabled' | 'biDirectionalAuth'> &
    Pick<ProductNotes, 'productDesc' | 'productTags'>
>

/** A device as it is asked for. */
export interface DeviceDraft extends Pick<DeviceRow, 'orgId' | 'productKey' | 'timezone'> {
  /** null: one is drawn */
  readonly deviceKey: string | null
  readonly deviceName: StringI18n
  readonly description: string | null
}

/** The one time that a new secret is told, in clear. */
export interface DeviceWithSecret extends Pick<DeviceRow, 'assetId' | 'productKey' | 'deviceKey'> {
  readonly ok: true
  readonly deviceSecret: string
}

const nothing: FleetRows = { organizations: [], applications: [], models: [], products: [], devices: [] }

export class Registrar {
  readonly #registry: Registry
  readonly #secrets: Secrets
  readonly #randomBytes: RandomBytes

  constructor(registry: Registry, secrets: Secrets, randomBytes: RandomBytes) {
    this.#registry = registry
    this.#secrets = secrets
    this.#randomBytes = randomBytes
  }

  // --- products --------------------------------------------------------------------------------------------------

  /** By their keys. Throws BrokenFleet where a row makes no sense. */
  async products(orgId: string): Promise<StoredProduct[]> {
    return (await this.#registry.products(orgId)).map(storedProduct)
  }

  /** Null: the organization has none with this key. */
  async product(orgId: string, productKey: string): Promise<StoredProduct | null> {
    const row = await this.#registry.product(productKey)
    return row?.orgId === orgId ? storedProduct(row) : null
  }

  /** In clear. */
  productSecret({ product, secret }: StoredProduct): string {
    return this.#secrets.open(productRow(product.productKey), secret)
  }

  /** The key that it was given. Refusals: 11699 the organization has no such model; 99400 it has as many products as it may have. */
  async createProduct(
    orgId: string,
    { productDesc, productTags, ...said }: NewProduct,
    by: string,
    now: number,
  ): Promise<string | Refusal> {
    const { length } = await this.#registry.products(orgId)
    if (length >= PRODUCTS_MAX) return invalid('orgId', `the organization has ${length} products, more are not taken`)
    const written = { createBy: by, updateBy: by, createTime: now, updateTime: now }
    const notes = { ...noNotes, ...written, productDesc, productTags }
    for (let attempt = 1; attempt <= NEW_NAMES_ATTEMPTS; attempt += 1) {
      const { modelId } = said
      if (modelId !== null && (await this.#registry.model(orgId, modelId)) === null) return noModel(modelId)
      const productKey = newProductKey(this.#randomBytes)
      const secret = this.#secrets.seal(productRow(productKey), newSecret(this.#randomBytes))
      const json = productJson({ ...said, productKey, orgId }, notes)
      try {
        await this.#registry.addFleet({ ...nothing, products: [{ productKey, orgId, secret, modelId, json }] }, now)
        return productKey
      } catch (error) {
        if (!(error instanceof FleetConflict)) throw error
      }
    }
    return overloaded('no free productKey was found')
  }

  /** Refusals: 11611 the organization has no such product. Of two changes at once both count, unless they are of the same field. */
  async updateProduct(
    orgId: string,
    productKey: string,
    changes: ProductChanges,
    by: string,
    now: number,
  ): Promise<Refusal | null> {
    for (let attempt = 1; attempt <= CHANGE_ATTEMPTS; attempt += 1) {
      const from = await this.#registry.product(productKey)
      if (from?.orgId !== orgId) return noProduct(productKey)
      const { product, notes } = storedProduct(from)
      const to = { ...product, ...notes, ...changes, updateBy: by, updateTime: now }
      if (await this.#registry.changeProduct(from, { ...from, json: productJson(to, to) })) return null
    }
    return overloaded('others are changing this product')
  }

  /** Refusals: 11619 it has devices; 99404 the organization has no such product. A device that is being added at the same time is either first. */
  async removeProduct(orgId: string, productKey: string): Promise<Refusal | null> {
    const gone = refuse(errors.notFound, `product ${productKey} not found`)
    if ((await this.#registry.product(productKey))?.orgId !== orgId) return gone
    try {
      return (await this.#registry.removeProduct(productKey)) ? null : gone
    } catch (error) {
      if (!(error instanceof FleetConflict)) throw error
      return refuse(errors.productInUse, `product ${productKey} still has devices; delete them first`)
    }
  }

  // --- thing models ----------------------------------------------------------------------------------------------

  /** By their ids. */
  models(orgId: string): Promise<ModelRow[]> {
    return this.#registry.models(orgId)
  }

  model(orgId: string, modelId: string): Promise<ModelRow | null> {
    return this.#registry.model(orgId, modelId)
  }

  /** `json`: a ThingModel that was read already. Refusals: 99412 there is one; 99400 the organization has as many as it may have. */
  async createModel(orgId: string, modelId: string, json: string, now: number): Promise<Refusal | null> {
    const exists = refuse(errors.exists, `modelId ${modelId} exists already; use another, or update it`)
    if ((await this.#registry.model(orgId, modelId)) !== null) return exists
    const { length } = await this.#registry.models(orgId)
    if (length >= MODELS_MAX) return invalid('orgId', `the organization has ${length} models, more are not taken`)
    try {
      await this.#registry.addFleet({ ...nothing, models: [{ modelId, orgId, json }] }, now)
      return null
    } catch (error) {
      if (!(error instanceof FleetConflict)) throw error
      return exists
    }
  }

  /** What is sent and reported from now on must fit the new one; commands that were accepted stay as they are. Refusals: 11699 there is none. */
  async updateModel(orgId: string, modelId: string, json: string, now: number): Promise<Refusal | null> {
    // Models are never removed, so it cannot come to be by this.
    if ((await this.#registry.model(orgId, modelId)) === null) return noModel(modelId)
    await this.#registry.applyFleet({ ...nothing, models: [{ modelId, orgId, json }] }, now)
    return null
  }

  // --- devices ---------------------------------------------------------------------------------------------------

  /**
   * Adds devices: each of them or a refusal, in the order of the drafts, which are of one organization and name no deviceKey twice. Those that can be are
   * added in one transaction. Refusals: 11611 there is no such product (any more), 11702 the deviceKey is taken, 11714 no free one was found, 11739 the
   * product is full, 99400 the deviceKey is a productKey.
   */
  async createDevices(drafts: readonly DeviceDraft[], now: number): Promise<(DeviceWithSecret | Refusal)[]> {
    const outcomes = new Map<DeviceDraft, DeviceWithSecret | Refusal>()
    const left = () => drafts.filter(draft => !outcomes.has(draft))
    await this.#refuseWhereFull(drafts, outcomes)
    for (let attempt = 1; attempt <= NEW_NAMES_ATTEMPTS && left().length > 0; attempt += 1) {
      // Also after the first attempt: somebody else may have taken a key, or removed a product, since it was looked up.
      for (const draft of left()) {
        const refusal = await this.#whyNot(draft)
        if (refusal !== null) outcomes.set(draft, refusal)
      }
      const made = left().map(draft => ({ draft, ...this.#newDevice(draft) }))
      try {
        await this.#registry.addDevices(
          made.map(({ row }) => row),
          now,
        )
        for (const { draft, device } of made) outcomes.set(draft, device)
      } catch (error) {
        if (!(error instanceof FleetConflict)) throw error
      }
    }
    const noKey = refuse(errors.noDeviceKey, 'no free deviceKey was found; repeat the call')
    return drafts.map(draft => outcomes.get(draft) ?? noKey)
  }

  async #refuseWhereFull(drafts: readonly DeviceDraft[], outcomes: Map<DeviceDraft, Refusal | DeviceWithSecret>) {
    const has = new Map<string, number>()
    for (const draft of drafts) {
      const { productKey } = draft
      const before = has.get(productKey) ?? (await this.#registry.countDevices(productKey))
      has.set(productKey, before + 1)
      if (before >= REGISTER_UP_TO_DEVICES)
        outcomes.set(
          draft,
          refuse(errors.tooManyDevices, `product ${productKey} has ${REGISTER_UP_TO_DEVICES} devices`),
        )
    }
  }

  async #whyNot({ orgId, productKey, deviceKey }: DeviceDraft): Promise<Refusal | null> {
    if ((await this.#registry.product(productKey))?.orgId !== orgId) return noProduct(productKey)
    return deviceKey === null ? null : this.#whyNotKey('deviceKey', productKey, deviceKey)
  }

  async #whyNotKey(name: string, productKey: string, deviceKey: string): Promise<Refusal | null> {
    // The certificate of a product's channel is named after the product: nobody's device may come to that name.
    if ((await this.#registry.product(deviceKey)) !== null) return invalid(name, 'must not be a productKey')
    if ((await this.#registry.deviceByKeys(productKey, deviceKey)) === null) return null
    return keyTaken(productKey, deviceKey)
  }

  #newDevice(draft: DeviceDraft): { readonly row: DeviceRow; readonly device: DeviceWithSecret } {
    const { orgId, productKey, timezone, description } = draft
    const assetId = newAssetId(this.#randomBytes)
    const deviceKey = draft.deviceKey ?? newDeviceKey(this.#randomBytes)
    const deviceSecret = newSecret(this.#randomBytes)
    const keys = { assetId, productKey, deviceKey }
    const row: DeviceRow = {
      ...{ ...keys, orgId, timezone, description },
      secret: this.#secrets.seal(deviceRow(assetId), deviceSecret),
      nameJson: JSON.stringify(draft.deviceName),
      disabled: false,
      gatewayAssetId: null,
      certificateSerial: null,
    }
    return { row, device: { ok: true, ...keys, deviceSecret } }
  }

  /** False: there is no such device any more. */
  updateDevice(
    { assetId }: Pick<Device, 'assetId'>,
    changes: Partial<Pick<DeviceRow, 'nameJson' | 'timezone' | 'description'>>,
  ): Promise<boolean> {
    return this.#registry.changeDevice(assetId, changes)
  }

  /**
   * Another device takes the place of this one: a new key and a new secret, which nobody has proved yet; its commands, its data and its assetId stay. When
   * this resolves the connection of the old one is not the newest session any more. Refusals: 11702 the key is taken, 11704 it is the one that the device
   * has, 99400 it is a productKey, 99404 the device is gone.
   */
  async replaceDevice(device: Device, newKey: string): Promise<DeviceWithSecret | Refusal> {
    const { assetId, productKey } = device
    if (newKey === device.deviceKey) return refuse(errors.sameDeviceKey, 'newDeviceKey is the key that the device has')
    const refusal = await this.#whyNotKey('newDeviceKey', productKey, newKey)
    if (refusal !== null) return refusal
    const deviceSecret = newSecret(this.#randomBytes)
    const secret = this.#secrets.seal(deviceRow(assetId), deviceSecret)
    try {
      if (!(await this.#registry.changeDevice(assetId, { deviceKey: newKey, secret })))
        return refuse(errors.notFound, 'device not found')
    } catch (error) {
      if (!(error instanceof FleetConflict)) throw error
      return keyTaken(productKey, newKey)
    }
    return { ok: true, assetId, productKey, deviceKey: newKey, deviceSecret }
  }
}

const storedProduct = (row: ProductRow): StoredProduct => ({
  product: readProduct(row),
  notes: readNotes(row),
  secret: row.secret,
})

export const noProduct = (productKey: string): Refusal =>
  refuse(errors.productNotFound, `productKey ${productKey} not found`)

export const noModel = (modelId: string): Refusal => refuse(errors.modelNotFound, `modelId ${modelId} not found`)

const keyTaken = (productKey: string, deviceKey: string): Refusal =>
  refuse(errors.deviceKeyTaken, `product ${productKey} has a device ${deviceKey} already`)
