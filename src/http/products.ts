// Products, as the vendor has them: created, looked up, changed, deleted. Not here: how they are kept (fleet/registrar.ts), who is asking (perform.ts).

import Type from 'typebox'
import { invalid, type Refusal } from '../core/errors.ts'
import { FLEET_PAGE_DEFAULT, FLEET_PAGE_MAX } from '../core/limits.ts'
import { noProduct, type StoredProduct } from '../fleet/registrar.ts'
import type { Action, Call, OrganizationAction, Resource } from './action.ts'
import { isEmptyBody, objectBody } from './action.ts'
import { bodyReader, firstOf, nameFault, nameOf, tagsFault, textFault } from './body.ts'
import { type FieldCondition, type Grammar, isMatch, parseFieldExpression } from './field-expression.ts'
import { newProduct, product, productChanges } from './fleet-schemas.ts'
import { coversProduct, denied, fleetFull, fleetRead, productStruct, reach } from './fleet-structs.ts'
import { readPagination } from './pagination.ts'
import { none, pageRequest, pagination, productKey } from './schemas.ts'
import { failure, ok, type Result, refused } from './wire.ts'

const named = Type.Object({ productKey })

const create: OrganizationAction = {
  about: 'organization',
  operationId: 'createProduct',
  summary: 'Create a product',
  description:
    '`data` is its key. Its secret is made by the server; get shows it. Needs FullAccess to all devices of the organization. `modelId` must be said: `null` is a product whose devices take any JSON, which the vendor does not have.',
  methods: ['POST'],
  needs: fleetFull,
  parameters: none,
  body: newProduct,
  data: Type.String({ description: 'The productKey.' }),
  codes: ['modelNotFound'],
  strict: false,
  run: createProduct,
  examples: [
    {
      summary: 'pumps of the demo model',
      body: {
        productName: { defaultValue: 'Pump', i18nValue: { en_US: 'Pump' } },
        modelId: 'demo',
        productType: 'Device',
        dataFormat: 'Json',
        biDirectionalAuth: false,
        productTags: { line: 'P7' },
      },
      data: 'bXuuAiku',
    },
    {
      summary: 'a model that does not exist',
      body: {
        productName: { defaultValue: 'Pump' },
        modelId: 'nothing',
        productType: 'Device',
        dataFormat: 'Json',
        biDirectionalAuth: false,
      },
      code: 11699,
    },
  ],
}

const get: OrganizationAction = {
  about: 'organization',
  operationId: 'getProduct',
  summary: 'Get a product',
  methods: ['GET', 'POST'],
  needs: fleetRead,
  parameters: named,
  data: product,
  codes: ['productNotFound'],
  strict: false,
  run: getProduct,
  examples: [
    { summary: 'the demo product', query: { productKey: 'bXuuAiku' } },
    { summary: 'one that does not exist', query: { productKey: 'nothing' }, code: 11611 },
  ],
}

const search: OrganizationAction = {
  about: 'organization',
  operationId: 'searchProducts',
  summary: 'Search products',
  description:
    'Expressions know `productKey`, `modelId`, `productType`, `productTags.KEY` (`=`, `!=`, `in`, `exists`, `not exists`) and `productName` (`like`, with a locale or without). By their keys. Products that the caller has no grant for are not there.',
  methods: ['POST'],
  needs: fleetRead,
  parameters: none,
  body: Type.Object({
    expression: Type.Optional(Type.String()),
    pagination: Type.Optional(pageRequest(FLEET_PAGE_DEFAULT, FLEET_PAGE_MAX)),
  }),
  data: Type.Array(product),
  beside: Type.Object({ pagination }),
  strict: false,
  run: searchProducts,
  examples: [
    {
      summary: 'those of a model',
      body: { expression: "modelId = 'demo'", pagination: { pageNo: 1, pageSize: 5 } },
    },
    { summary: 'by a part of the name', body: { expression: "productName.en_US like 'pump'" } },
  ],
}

const update: OrganizationAction = {
  about: 'organization',
  operationId: 'updateProduct',
  summary: 'Change a product',
  description:
    'What the body does not say stays as it is; tags are replaced as a whole. `data` is the productKey. What a product is (modelId, productType, dataFormat) cannot be changed.',
  methods: ['POST'],
  needs: fleetFull,
  parameters: named,
  body: productChanges,
  data: Type.String({ description: 'The productKey.' }),
  codes: ['productNotFound'],
  strict: false,
  run: updateProduct,
  examples: [
    {
      summary: 'another name',
      query: { productKey: 'fR33form' },
      body: { productName: { defaultValue: 'Test benches' }, productDesc: 'whatever stands in the lab' },
      data: 'fR33form',
    },
  ],
}

const deletion: OrganizationAction = {
  about: 'organization',
  operationId: 'deleteProduct',
  summary: 'Delete a product',
  description: 'Only one without devices. `data` is the productKey. No body, and no other query name.',
  methods: ['POST'],
  needs: fleetFull,
  parameters: named,
  data: Type.String({ description: 'The productKey.' }),
  codes: ['notFound', 'productInUse'],
  strict: true,
  run: deleteProduct,
  examples: [{ summary: 'one that still has devices', query: { productKey: 'bXuuAiku' }, code: 11619 }],
}

export const products: Resource = {
  path: '/connect-service/v2.1/products',
  label: 'products ',
  tag: 'Products',
  actions: new Map<string, Action>([
    ['create', create],
    ['get', get],
    ['search', search],
    ['update', update],
    ['delete', deletion],
  ]),
}

const readNew = bodyReader(newProduct)
const readChanges = bodyReader(productChanges)

async function createProduct(call: Call): Promise<Result> {
  const body = readNew(call.body)
  if (!body.ok) return failure(body)
  const { productName, productDesc, productTags, dynamicActivateEnabled, ...rest } = body.value
  const fault = firstOf(
    nameFault('productName', productName),
    textFault('productDesc', productDesc),
    tagsFault('productTags', productTags ?? {}),
  )
  if (fault !== null) return failure(fault)
  if (reach(call, fleetFull) !== 'all') return failure(denied(`orgId ${call.orgId}`, fleetFull))
  const { modelId, productType, dataFormat, biDirectionalAuth } = rest
  const said = {
    ...{ modelId, productType, dataFormat, biDirectionalAuth },
    productName: nameOf(productName),
    productDesc: productDesc ?? null,
    productTags: productTags ?? {},
    dynamicActivateEnabled: dynamicActivateEnabled ?? false,
  }
  const made = await call.fleet.registrar.createProduct(call.orgId, said, call.appKey, call.clock.now())
  return typeof made === 'string' ? ok(made) : refused(made)
}

/** The product that the query names, if the caller may see or change it. */
async function namedProduct(call: Call, need: typeof fleetRead | typeof fleetFull): Promise<StoredProduct | Refusal> {
  const productKey = call.query.get('productKey') ?? ''
  if (productKey === '') return invalid('productKey', 'productKey is missing')
  const stored = await call.fleet.registrar.product(call.orgId, productKey)
  if (stored === null) return noProduct(productKey)
  return coversProduct(reach(call, need), productKey) ? stored : denied(`product ${productKey}`, need)
}

async function getProduct(call: Call): Promise<Result> {
  const stored = await namedProduct(call, fleetRead)
  return 'ok' in stored ? failure(stored) : ok(productStruct(call, stored))
}

const grammar: Grammar<'productKey' | 'modelId' | 'productType', 'productTags'> = {
  fields: {
    productKey: null,
    modelId: null,
    productType: new Map([
      ['Device', 'Device'],
      ['Gateway', 'Gateway'],
    ]),
  },
  name: 'productName',
  labels: { productTags: { of: 'productTags', isJson: false } },
}
type Condition = FieldCondition<keyof typeof grammar.fields, 'productTags'>

async function searchProducts(call: Call): Promise<Result> {
  const body = objectBody(call.body)
  if ('ok' in body) return failure(body)
  const read = parseFieldExpression(body.fields.get('expression'), grammar)
  if (!read.ok) return failure(read)
  const page = readPagination(body.fields.get('pagination'), FLEET_PAGE_DEFAULT, FLEET_PAGE_MAX)
  if ('ok' in page) return failure(page)
  const visible = reach(call, fleetRead)
  const { condition } = read
  const found = (await call.fleet.registrar.products(call.orgId)).filter(
    stored => coversProduct(visible, stored.product.productKey) && (condition === null || isWanted(condition, stored)),
  )
  const { pageNo, pageSize, offset } = page
  const data = found.slice(offset, offset + pageSize).map(stored => productStruct(call, stored))
  return ok(data, { pagination: { sortedBy: null, pageNo, pageSize, totalSize: found.length } })
}

const isWanted = (condition: Condition, { product, notes }: StoredProduct): boolean =>
  isMatch(condition, {
    field: name => product[name],
    nameJson: () => JSON.stringify(product.productName),
    label: (_, key) => (Object.hasOwn(notes.productTags, key) ? (notes.productTags[key] ?? null) : null),
  })

/** What a product is for good: whoever sends something else would otherwise believe that it has become that. */
const FIXED = ['modelId', 'productType', 'dataFormat'] as const

async function updateProduct(call: Call): Promise<Result> {
  const body = readChanges(call.body)
  if (!body.ok) return failure(body)
  const { productName, productDesc, productTags, dynamicActivateEnabled, biDirectionalAuth } = body.value
  const fault = firstOf(
    productName ? nameFault('productName', productName) : null,
    textFault('productDesc', productDesc),
    tagsFault('productTags', productTags ?? {}),
  )
  if (fault !== null) return failure(fault)
  const stored = await namedProduct(call, fleetFull)
  if ('ok' in stored) return failure(stored)
  const given = new Map<string, unknown>(Object.entries(Object(call.body)))
  for (const name of FIXED)
    if ((given.get(name) ?? stored.product[name]) !== stored.product[name])
      return failure(invalid(name, `cannot be changed, it is ${stored.product[name]}; create another product`))
  const changes = {
    ...(productName ? { productName: nameOf(productName) } : {}),
    ...(typeof productDesc === 'string' ? { productDesc } : {}),
    ...(productTags ? { productTags } : {}),
    ...(typeof dynamicActivateEnabled === 'boolean' ? { dynamicActivateEnabled } : {}),
    ...(typeof biDirectionalAuth === 'boolean' ? { biDirectionalAuth } : {}),
  }
  const { productKey } = stored.product
  const { registrar } = call.fleet
  const refusal = await registrar.updateProduct(call.orgId, productKey, changes, call.appKey, call.clock.now())
  return refusal === null ? ok(productKey) : refused(refusal)
}

async function deleteProduct(call: Call): Promise<Result> {
  if (!isEmptyBody(call.body)) return failure(invalid('body', 'this action takes no body'))
  const productKey = call.query.get('productKey') ?? ''
  if (productKey === '') return failure(invalid('productKey', 'productKey is missing'))
  if (!coversProduct(reach(call, fleetFull), productKey)) return failure(denied(`product ${productKey}`, fleetFull))
  const refusal = await call.fleet.registrar.removeProduct(call.orgId, productKey)
  return refusal === null ? ok(productKey) : refused(refusal)
}
