// Schemas that several actions and routes share. One with an `$id` stands in the OpenAPI document once, under that name, and is referred to. They describe
// what is sent and answered; requests to our own routes are checked by them (check.ts), those to the vendor's actions by the actions themselves.

import Type, { type TSchema } from 'typebox'
import { type State, stateName } from '../core/command.ts'
import { TIMEOUT_MAX_S } from '../core/limits.ts'

/** No query parameters beyond the common ones. */
export const none = Type.Object({})

/** What becomes part of a topic: ids of points and services, keys of products and devices. */
export const key = (description: string) =>
  Type.String({
    pattern: '^[A-Za-z0-9_.-]{1,64}$',
    'x-rule': 'must be 1 to 64 of A-Z a-z 0-9 _ . -',
    description,
  })

export const orgId = Type.String({ minLength: 1, description: 'The organization.' })
export const assetId = key('The device, by its assetId.')
export const productKey = key('The product.')
export const deviceKey = key('The device, by its key within the product.')

export const commandId = Type.String({
  $id: 'CommandId',
  pattern: '^[0-9]{1,19}$',
  'x-rule': 'must be a decimal number of up to 19 digits',
  description:
    'Decimal text of 19 digits, for it does not fit a double. `(id >> 23) + 1288834974657` is its createTime; ids grow strictly within a queue.',
})

/** Epoch ms in our own routes; the vendor's structs have some as text. */
export const instant = (description: string) => Type.Integer({ description: `${description} Epoch ms.` })

/** The same where it may not have happened. */
export const maybe = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const stringI18n = Type.Object(
  {
    defaultValue: Type.String(),
    i18nValue: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'By locale, such as `en_US` or `zh_CN`.' }),
    ),
  },
  { $id: 'StringI18n', description: 'A name in several languages.' },
)

const states = Object.entries(stateName).map(([state, name]) => ({ state: Number(state) as State, name }))

export const state = Type.Integer({
  $id: 'State',
  minimum: 1,
  maximum: states.length,
  description: `${states.map(({ state, name }) => `${state} ${name}`).join(', ')}. Final are all but 1 and 4.`,
})

export const commandType = Type.Integer({
  minimum: 1,
  maximum: 2,
  description: '1 measurepoint set, 2 service invocation.',
})

/** Who a device is, in structs that are about something else. */
export const deviceIdentity = {
  orgId: Type.String(),
  productKey: Type.String(),
  deviceKey: Type.String(),
  assetId: Type.String(),
}

export const command = Type.Object(
  {
    commandId,
    ...deviceIdentity,
    createTime: Type.String({ pattern: '^[0-9]+$', description: 'Epoch ms, as text.' }),
    createLocalTime: Type.String({
      description: "`YYYY-MM-DD HH:mm:ss` in the device's timezone at the time of reading.",
    }),
    createLocaltime: Type.String({ description: "The same: the vendor's documents have both spellings." }),
    commandType,
    commandName: stringI18n,
    timeout: Type.Integer({ minimum: 1, description: 'Seconds that the device may take to answer.' }),
    pendingTtl: Type.Integer({ minimum: 0, description: 'Seconds that it may wait; 0: an instant command.' }),
    state,
    tslIdentifier: Type.String({ description: 'Of the measurepoint or the service.' }),
    inputData: Type.Unknown({ description: 'Set: the bare value. Invoke: the map of inputs.' }),
    outputData: Type.Unknown({
      description: "`null` until a service's answer carries outputs; of a set always `null`.",
    }),
  },
  { $id: 'Command', description: 'A command, as get, search and cancel show it.' },
)

/** `timeout` as sends take it. */
export const timeout = (byDefault: number, max = TIMEOUT_MAX_S) =>
  Type.Integer({
    minimum: 1,
    maximum: max,
    default: byDefault,
    description: 'Seconds that the device may take to answer.',
  })

/** What a failing send says of the command that it left on record. */
export const onRecord = Type.Object(
  {
    commandId,
    state,
    deviceCode: Type.Optional(
      Type.Unknown({ description: "The device's own code: where this is present, `code` is the device's as well." }),
    ),
  },
  { $id: 'OnRecord', description: 'The command that the call left on record.' },
)

export const pagination = Type.Object(
  {
    sortedBy: maybe(
      Type.Array(
        Type.Object({
          field: Type.String(),
          order: Type.Union([Type.Literal('ASC'), Type.Literal('DESC')]),
        }),
      ),
    ),
    pageNo: Type.Integer({ minimum: 1 }),
    pageSize: Type.Integer({ minimum: 0 }),
    totalSize: Type.Integer({ minimum: 0, description: 'Exact.' }),
  },
  { $id: 'Pagination', description: 'Which page this is, of how many.' },
)

/** What searches of the vendor's API take. */
export const pageRequest = (byDefault: number, max: number) =>
  Type.Object(
    {
      pageNo: Type.Optional(Type.Integer({ minimum: 1, default: 1 })),
      pageSize: Type.Optional(Type.Integer({ minimum: 1, maximum: max, default: byDefault })),
      sorters: Type.Optional(Type.Unknown({ description: 'Ignored.' })),
    },
    { description: 'Which page is wanted.' },
  )

export const projection = Type.Array(Type.String(), {
  description:
    'Which fields are wanted, as paths such as `commandName.i18nValue.en_US`: `.` goes into a field, `[*]` into each element of a list, `*` into any field. All without it.',
})

/** Structs of which a projection may have left less than is required. */
export const projected = <T extends TSchema>(struct: T) =>
  Type.Union([struct, Type.Record(Type.String(), Type.Unknown(), { description: 'What a projection leaves.' })])
