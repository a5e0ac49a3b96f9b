// The registry in memory. What is checked before anything is written is in checks.ts.

import {
  assertNoNul,
  byCodePoint,
  checkNewDevices,
  checkNewFleet,
  checkRemovable,
  isOnRecord,
  type OnRecord,
  planChange,
  planFleet,
  planMoves,
} from './checks.ts'
import { change, type Devices } from './memory-devices.ts'
import { deviceOf, keep, pair } from './memory-entry.ts'
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

export class MemoryRegistry implements Registry {
  readonly #devices: Devices
  readonly #endTokens: (appKey: string) => void
  readonly #organizations = new Map<string, Organization>()
  readonly #applications = new Map<string, ApplicationRow>()
  readonly #models = new Map<string, ModelRow>()
  readonly #products = new Map<string, ProductRow>()
  #secretCheck: string | null = null

  constructor(devices: Devices, endTokens: (appKey: string) => void) {
    this.#devices = devices
    this.#endTokens = endTokens
  }

  /** What is on record, for who does not wait. */
  readonly known: OnRecord = {
    organization: orgId => this.#organizations.get(orgId) ?? null,
    application: appKey => this.#applications.get(appKey) ?? null,
    model: (orgId, modelId) => this.#models.get(pair(orgId, modelId)) ?? null,
    product: productKey => this.#products.get(productKey) ?? null,
    deviceByAsset: assetId => this.#devices.byAsset(assetId)?.row ?? null,
    deviceByKeys: (productKey, deviceKey) => this.#devices.byKeys(productKey, deviceKey)?.row ?? null,
  }

  async organization(orgId: string): Promise<Organization | null> {
    return this.known.organization(orgId)
  }

  async organizations(): Promise<Organization[]> {
    return sorted(this.#organizations.values(), ({ orgId }) => orgId)
  }

  async application(appKey: string): Promise<ApplicationRow | null> {
    return this.known.application(appKey)
  }

  async applications(orgId: string): Promise<ApplicationRow[]> {
    return [...this.#applications.values()].filter(row => row.orgId === orgId)
  }

  async firstApplication(orgId: string): Promise<ApplicationRow | null> {
    return (await this.applications(orgId))[0] ?? null
  }

  async removeApplication(appKey: string): Promise<boolean> {
    this.#endTokens(appKey)
    return this.#applications.delete(appKey)
  }

  readonly changeApplication: Registry['changeApplication'] = async ({ appKey, secret, grants }, to) => {
    assertNoNul(to)
    const known = this.known.application(appKey)
    if (!isOnRecord({ secret, grants }, known)) return false
    this.#applications.set(appKey, keep({ ...known, ...to }))
    if (to.secret !== secret) this.#endTokens(appKey)
    return true
  }

  async model(orgId: string, modelId: string): Promise<ModelRow | null> {
    return this.known.model(orgId, modelId)
  }

  async models(orgId: string): Promise<ModelRow[]> {
    return sorted(of(this.#models, orgId), ({ modelId }) => modelId)
  }

  async product(productKey: string): Promise<ProductRow | null> {
    return this.known.product(productKey)
  }

  async products(orgId: string): Promise<ProductRow[]> {
    return sorted(of(this.#products, orgId), ({ productKey }) => productKey)
  }

  readonly changeProduct: Registry['changeProduct'] = async ({ productKey, json }, to) => {
    assertNoNul(to)
    const known = this.known.product(productKey)
    if (!isOnRecord({ json }, known)) return false
    this.#products.set(productKey, keep({ ...known, ...to }))
    return true
  }

  async removeProduct(productKey: string): Promise<boolean> {
    checkRemovable(productKey, await this.countDevices(productKey))
    return this.#products.delete(productKey)
  }

  async deviceById(deviceId: number): Promise<Device | null> {
    const entry = this.#devices.byId.get(deviceId)
    return entry === undefined ? null : deviceOf(entry)
  }

  async deviceByKeys(productKey: string, deviceKey: string): Promise<Device | null> {
    const entry = this.#devices.byKeys(productKey, deviceKey)
    return entry === null ? null : deviceOf(entry)
  }

  async deviceByAsset(assetId: string): Promise<Device | null> {
    const entry = this.#devices.byAsset(assetId)
    return entry === null ? null : deviceOf(entry)
  }

  async applyFleet(rows: FleetRows, now: number): Promise<void> {
    this.#put(planFleet(rows, this.known), now)
  }

  async addFleet(rows: FleetRows, now: number): Promise<void> {
    checkNewFleet(rows, this.known)
    this.#put(rows, now)
  }

  #put(rows: FleetRows, now: number): void {
    for (const row of rows.organizations) this.#organizations.set(row.orgId, keep(row))
    for (const row of rows.applications) this.#applications.set(row.appKey, keep(row))
    for (const row of rows.models) this.#models.set(pair(row.orgId, row.modelId), keep(row))
    for (const row of rows.products) this.#products.set(row.productKey, keep(row))
    this.#devices.put(rows.devices, now)
  }

  async addDevices(rows: readonly DeviceRow[], now: number): Promise<void> {
    checkNewDevices(rows, this.known)
    this.#devices.put(rows, now)
  }

  async changeDevice(assetId: string, to: DeviceChanges): Promise<boolean> {
    const entry = this.#devices.byAsset(assetId)
    if (entry === null) return false
    const plan = planChange(entry.row, to, this.known)
    if (plan === null) return true
    this.#devices.rename(entry, plan.row)
    change(entry, plan.row, plan.isOther ? null : entry.queue.sessionNode)
    if (plan.isOther) entry.queue = { ...entry.queue, activeAt: null }
    return true
  }

  async countDevices(productKey: string): Promise<number> {
    return [...this.#devices.byId.values()].filter(({ row }) => row.productKey === productKey).length
  }

  async subDevices(gatewayAssetId: string): Promise<Device[]> {
    const behind = [...this.#devices.byId.values()].filter(({ row }) => row.gatewayAssetId === gatewayAssetId)
    return behind.sort((a, b) => a.id - b.id).map(deviceOf)
  }

  async countSubDevices(gatewayAssetId: string): Promise<number> {
    return (await this.subDevices(gatewayAssetId)).length
  }

  async moveDevices(moves: readonly DeviceMove[]): Promise<void> {
    for (const { assetId, to } of planMoves(moves, this.known)) {
      const entry = this.#devices.byAsset(assetId)
      if (entry !== null) change(entry, { ...entry.row, gatewayAssetId: to })
    }
  }

  async secretCheck(): Promise<string | null> {
    return this.#secretCheck
  }

  async setSecretCheck(value: string): Promise<void> {
    assertNoNul({ value })
    this.#secretCheck ??= value
  }
}

const of = <Row extends { readonly orgId: string }>(rows: ReadonlyMap<string, Row>, orgId: string): Row[] =>
  [...rows.values()].filter(row => row.orgId === orgId)

const sorted = <Row>(rows: Iterable<Row>, key: (row: Row) => string): Row[] =>
  [...rows].sort((a, b) => byCodePoint(key(a), key(b)))
