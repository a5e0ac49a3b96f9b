// What the store's rows of a fleet mean: products out of their JSON, thing models out of their text, and the names that secrets are bound to. Pure.
// Not here: who reads and writes them (fleet.ts, registrar.ts), encryption itself (secrets.ts).

import { isObject } from '../core/json.ts'
import { type Model, parseModel, parseStringI18n, type StringI18n } from '../core/model.ts'
import type { ProductRow } from '../store/store.ts'

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

/** What applications say of a product beside that. Of one that came from a fleet file nothing is known. */
export interface ProductNotes {
  readonly productDesc: string | null
  readonly productTags: Readonly<Record<string, string>>
  /** appKeys; null: a fleet file */
  readonly createBy: string | null
  readonly updateBy: string | null
  /** epoch ms */
  readonly createTime: number | null
  readonly updateTime: number | null
}

/** A stored row that contradicts itself or another: somebody else wrote to the store. Never taken for "there is none". */
export class BrokenFleet extends Error {
  override readonly name = 'BrokenFleet'
}

/** The names that secrets are bound to. */
export const applicationRow = (appKey: string): string => `application:${appKey}`
export const productRow = (productKey: string): string => `product:${productKey}`
export const deviceRow = (assetId: string): string => `device:${assetId}`
export const webhookRow = (webhookId: string): string => `webhook:${webhookId}`

const brokenProduct = ({ productKey }: ProductRow, why: string, cause?: unknown): BrokenFleet =>
  new BrokenFleet(`the stored product ${productKey} ${why}; apply its fleet file again`, { cause })

function fieldsOf(row: ProductRow): Record<string, unknown> {
  let said: unknown
  try {
    said = JSON.parse(row.json)
  } catch (error) {
    throw brokenProduct(row, 'is not JSON', error)
  }
  if (!isObject(said)) throw brokenProduct(row, 'is no object')
  return said
}

/** Throws BrokenFleet where the row makes no sense. */
export function readProduct(row: ProductRow): Product {
  // Products that were stored before there was a choice say nothing of it.
  const { productName, productType, dataFormat = 'Json', dynamicActivateEnabled, biDirectionalAuth } = fieldsOf(row)
  const name = parseStringI18n(productName)
  if (name === null) throw brokenProduct(row, 'has no productName')
  if (productType !== 'Device' && productType !== 'Gateway') throw brokenProduct(row, 'has no productType')
  if (dataFormat !== 'Json' && dataFormat !== 'Custom') throw brokenProduct(row, 'has no dataFormat')
  if (typeof dynamicActivateEnabled !== 'boolean') throw brokenProduct(row, 'has no dynamicActivateEnabled')
  if (typeof biDirectionalAuth !== 'boolean') throw brokenProduct(row, 'has no biDirectionalAuth')
  const { productKey, orgId, modelId } = row
  const flags = { dynamicActivateEnabled, biDirectionalAuth }
  return { productKey, orgId, modelId, productName: name, productType, dataFormat, ...flags }
}

export function readNotes(row: ProductRow): ProductNotes {
  const fields = fieldsOf(row)
  const text = (name: string): string | null => {
    const value = fields[name] ?? null
    if (value !== null && typeof value !== 'string') throw brokenProduct(row, `has a ${name} that is no text`)
    return value
  }
  const instant = (name: string): number | null => {
    const value = fields[name] ?? null
    if (value !== null && typeof value !== 'number') throw brokenProduct(row, `has a ${name} that is no instant`)
    return value
  }
  const tags: unknown = fields.productTags ?? {}
  if (!isObject(tags)) throw brokenProduct(row, 'has productTags that are no object')
  const entries = Object.entries(tags).filter((tag): tag is [string, string] => typeof tag[1] === 'string')
  return {
    productDesc: text('productDesc'),
    productTags: Object.fromEntries(entries),
    createBy: text('createBy'),
    updateBy: text('updateBy'),
    createTime: instant('createTime'),
    updateTime: instant('updateTime'),
  }
}

/** What of a product is kept as JSON. Notes that say nothing are left out, so that the same product is always the same text. */
export function productJson(product: Product, notes: ProductNotes): string {
  const { productName, productType, dataFormat, dynamicActivateEnabled, biDirectionalAuth } = product
  const { productDesc, productTags, createBy, updateBy, createTime, updateTime } = notes
  return JSON.stringify({
    ...{ productName, productType, dataFormat, dynamicActivateEnabled, biDirectionalAuth },
    ...(productDesc === null ? {} : { productDesc }),
    ...(Object.keys(productTags).length === 0 ? {} : { productTags }),
    ...(createBy === null ? {} : { createBy }),
    ...(createTime === null ? {} : { createTime }),
    ...(updateBy === null ? {} : { updateBy }),
    ...(updateTime === null ? {} : { updateTime }),
  })
}

export const noNotes: ProductNotes = {
  productDesc: null,
  productTags: {},
  createBy: null,
  updateBy: null,
  createTime: null,
  updateTime: null,
}

/** `key`: what the model is called in messages. Throws BrokenFleet where the text is no thing model. */
export function parseStoredModel(key: string, json: string): Model {
  const parsed = parseModel(readModelJson(key, json))
  if (parsed.ok) return parsed.model
  const first = parsed.problems[0]
  const where = first === undefined ? '' : `, first at ${first.path}: ${first.message}`
  throw new BrokenFleet(`the stored model ${key} is not a thing model${where}; apply its fleet file again`)
}

/** The ThingModel as it was given. Throws BrokenFleet where the text is not JSON. */
export function readModelJson(key: string, json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (error) {
    throw new BrokenFleet(`the stored model ${key} is not JSON; apply its fleet file again`, { cause: error })
  }
}
