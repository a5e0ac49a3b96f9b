// Schemas of the fleet: products, devices, thing models, grants, and what applications say of them. One with an `$id` stands in the OpenAPI document once.
// Not here: schemas that others have as well (schemas.ts).

import Type, { type TSchema, type TSchemaOptions } from 'typebox'
import {
  ATTRIBUTES_MAX_PER_REQUEST,
  DESCRIPTION_MAX_CHARS,
  GRANTS_MAX,
  PRODUCT_TAGS_MAX,
  SCOPE_MAX_KEYS,
  TAG_MAX_CHARS,
} from '../core/limits.ts'
import { permissions } from '../fleet/grants.ts'
import { deviceStatuses } from '../store/views.ts'
import { key, maybe, stringI18n } from './schemas.ts'

/** Clients say nothing by leaving a field out, or by null. */
export const optional = <T extends TSchema>(schema: T) => Type.Optional(maybe(schema))

export const oneOf = <const W extends readonly string[]>(words: W, options: TSchemaOptions = {}) =>
  Type.Union(
    words.map(word => Type.Literal(word as W[number])),
    options,
  )

const tags = (max: number, description: string) =>
  Type.Record(Type.String({ pattern: '^[A-Za-z0-9_./-]{1,64}$' }), Type.String({ maxLength: TAG_MAX_CHARS }), {
    additionalProperties: false,
    maxProperties: max,
    'x-rule': `must be at most ${max} texts of up to ${TAG_MAX_CHARS} characters, under keys of 1 to 64 of A-Z a-z 0-9 _ . - /`,
    description,
  })
const description = Type.String({ maxLength: DESCRIPTION_MAX_CHARS })

export const productTags = tags(PRODUCT_TAGS_MAX, 'Texts by key. An update replaces them as a whole.')
export const deviceTags = tags(ATTRIBUTES_MAX_PER_REQUEST, 'Texts by key. An update replaces them as a whole.')
export const productDesc = description
export const deviceDesc = description
export const deviceAttributes = Type.Record(Type.String(), Type.Unknown(), {
  maxProperties: ATTRIBUTES_MAX_PER_REQUEST,
  'x-rule': `must be an object of at most ${ATTRIBUTES_MAX_PER_REQUEST} values by the ids of attributes`,
  description: "Values by the ids of attributes, checked against the product's thing model.",
})
export const timezone = Type.String({
  description: 'An offset such as `+08:00`, or an IANA name such as `Europe/Berlin`.',
})
const productType = oneOf(['Device', 'Gateway'], { description: 'Devices of a `Gateway` speak for those behind them.' })
const dataFormat = oneOf(['Json', 'Custom'], {
  description: '`Custom`: its devices speak a format of their own, which needs a codec at the server.',
})
const time = (what: string) => maybe(Type.Integer({ description: `${what} Epoch ms; null: not known.` }))

/** Products as they are created. modelId must be said, if only as null: a product without a model takes any command. */
export const newProduct = Type.Object({
  productName: stringI18n,
  modelId: Type.Union([key('A thing model of the organization.'), Type.Null()], {
    'x-rule': 'must be the id of a thing model, or null for a product that takes any JSON',
  }),
  productType,
  dataFormat,
  biDirectionalAuth: Type.Boolean({ description: 'Its devices must show a client certificate.' }),
  dynamicActivateEnabled: optional(Type.Boolean({ default: false })),
  productDesc: optional(productDesc),
  productTags: optional(productTags),
})

export const productChanges = Type.Object({
  productName: optional(stringI18n),
  biDirectionalAuth: optional(Type.Boolean()),
  dynamicActivateEnabled: optional(Type.Boolean()),
  productDesc: optional(productDesc),
  productTags: optional(productTags),
})

export const product = Type.Object(
  {
    orgId: Type.String(),
    productKey: Type.String(),
    productName: stringI18n,
    productSecret: Type.Optional(
      Type.String({ description: 'For callers with Device FullAccess to all of the product.' }),
    ),
    productDesc: maybe(Type.String()),
    productType,
    dataFormat,
    productTags: Type.Record(Type.String(), Type.String()),
    modelId: maybe(Type.String()),
    dynamicActivateEnabled: Type.Boolean(),
    dynamicActiveEnabled: Type.Boolean({ description: "The same: the vendor's answers have this spelling." }),
    biDirectionalAuth: Type.Boolean(),
    createBy: maybe(Type.String({ description: 'An appKey; null: it came from a fleet file.' })),
    createTime: time('When it was created.'),
    updateBy: maybe(Type.String()),
    updateTime: time('When it was last changed by an application.'),
    defaultValidDay: Type.Null(),
    maxValidDay: Type.Null(),
  },
  { $id: 'Product' },
)

/** A device as it is created. */
export const newDevice = Type.Object({
  productKey: key('The product.'),
  timezone,
  deviceName: stringI18n,
  deviceKey: optional(key('Unique within the product; drawn (10 characters) where it is left out.')),
  deviceAttributes: optional(deviceAttributes),
  deviceTags: optional(deviceTags),
  deviceDesc: optional(deviceDesc),
})

export const deviceChanges = Type.Object({
  timezone: optional(timezone),
  deviceName: optional(stringI18n),
  deviceAttributes: optional(deviceAttributes),
  deviceTags: optional(deviceTags),
  deviceDesc: optional(deviceDesc),
})

/** The one time that a new secret is told without being asked for. */
export const createdDevice = Type.Object(
  {
    assetId: Type.String(),
    productKey: Type.String(),
    deviceKey: Type.String(),
    deviceSecret: Type.String(),
  },
  { $id: 'CreatedDevice' },
)

export const device = Type.Object(
  {
    orgId: Type.String(),
    assetId: Type.String(),
    modelId: maybe(Type.String()),
    modelIdPath: maybe(Type.String()),
    productKey: Type.String(),
    productName: stringI18n,
    productType,
    dataFormat,
    deviceKey: Type.String(),
    deviceName: stringI18n,
    deviceSecret: Type.Optional(Type.String({ description: 'For callers with Device FullAccess to this device.' })),
    deviceDesc: maybe(Type.String()),
    timezone,
    deviceAttributes: maybe(Type.Record(Type.String(), Type.Unknown())),
    deviceTags: maybe(
      Type.Record(Type.String(), Type.String(), {
        description: 'Null, like attributes, where both have more than 4 MiB.',
      }),
    ),
    createTime: time('When it was added.'),
    status: oneOf(deviceStatuses),
    activeTime: Type.Integer({ description: 'When it first proved a secret of its own. Epoch ms; 0: never.' }),
    lastOnlineTime: Type.Integer({ description: 'Epoch ms; 0: never.' }),
    lastOfflineTime: Type.Integer({ description: 'Epoch ms; 0: never.' }),
    measurepointLastUpdate: time('The newest measurepoint. In searches always null.'),
    eventLastUpdate: time('The newest event. In searches always null.'),
    attributeLastUpdate: Type.Null({ description: 'Not kept.' }),
    featureLastUpdate: time('The newest of both. In searches always null.'),
  },
  { $id: 'Device' },
)

/** How a body names a device. */
export const deviceIdentifier = Type.Object(
  {
    assetId: optional(Type.String()),
    productKey: optional(Type.String()),
    deviceKey: optional(Type.String()),
  },
  { $id: 'DeviceIdentifier', description: 'Either assetId, or productKey and deviceKey.' },
)

const elements = (what: string) =>
  Type.Record(Type.String(), Type.Unknown(), { description: `${what}, by identifier.` })

/** Its parts are checked by core/model.ts, which says more than a schema could. */
export const newThingModel = Type.Object(
  {
    modelId: Type.Optional(key('The model.')),
    name: optional(stringI18n),
    desc: optional(Type.String()),
    tags: Type.Optional(Type.Unknown()),
    attributes: optional(elements('Attributes')),
    measurepoints: optional(elements('Measurepoints')),
    services: optional(elements('Services')),
    events: optional(elements('Events')),
  },
  { additionalProperties: true },
)

export const thingModel = Type.Object(
  {
    modelId: Type.String(),
    modelIdPath: Type.String(),
    orgId: Type.String(),
    name: stringI18n,
    desc: Type.String(),
    tags: Type.Record(Type.String(), Type.Unknown()),
    attributes: elements('Attributes'),
    measurepoints: elements('Measurepoints'),
    services: elements('Services'),
    events: elements('Events'),
  },
  { $id: 'ThingModel' },
)

const keys = (what: string) => Type.Array(key(what), { minItems: 1, maxItems: SCOPE_MAX_KEYS })

export const scope = Type.Union(
  [Type.Literal('all'), Type.Object({ productKeys: keys('A product.') }), Type.Object({ assetIds: keys('A device.') })],
  { $id: 'Scope', 'x-rule': 'must be "all", {"productKeys": […]} or {"assetIds": […]}' },
)

const resources = Object.keys(permissions)
const actions = [...new Set(Object.values(permissions).flat())]

/** A grant; which actions a resource has is looked at by the routes themselves. */
export const grant = Type.Object(
  {
    resource: oneOf(resources),
    actions: Type.Array(oneOf(actions), { minItems: 1, maxItems: actions.length }),
    scope,
  },
  { $id: 'Grant' },
)

export const grants = Type.Array(grant, { maxItems: GRANTS_MAX })

export const application = Type.Object(
  { appKey: Type.String(), orgId: Type.String(), grants: Type.Array(grant) },
  { $id: 'Application', description: 'Never with its secret.' },
)
