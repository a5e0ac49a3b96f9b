// What the OpenAPI document says of the five actions on commands. Not here: the actions (commands.ts), structs that others have too (schemas.ts).

import Type from 'typebox'
import { PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX, PENDING_TTL_MAX_S, TIMEOUT_DEFAULT_S } from '../core/limits.ts'
import type { Before, Described, Example } from './action.ts'
import {
  command,
  commandId,
  key,
  none,
  onRecord,
  pageRequest,
  pagination,
  projected,
  projection,
  state,
  timeout,
} from './schemas.ts'

/** connected, and answers */
const HERE = { assetId: 'oxWwM9i5' }
/** was never connected */
const NEVER = { assetId: 'k3TzVb7Q' }
/** was connected once */
const AWAY = { assetId: 'pN4cYd1E' }

const ID = '2278935391225618432'
const queued: Before = { operationId: 'setMeasurepoint', example: 'Cached', gives: { 'data.commandId': ID } }
const answered: Before = { operationId: 'invokeService', example: 'Instant', gives: { 'data.commandId': ID } }

const sending = {
  pendingTtl: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: PENDING_TTL_MAX_S,
      default: 0,
      description:
        'Seconds. 0: an *instant* command, the call waits for what becomes of it. Above: *cached*, it waits that long for the device.',
    }),
  ),
  timeout: Type.Optional(timeout(TIMEOUT_DEFAULT_S)),
}

const sent = `
**Cached** (\`pendingTtl\` above 0): the answer comes as soon as the command is on disk. **Instant**: the call waits; \`timeout\` counts once, from acceptance. Every failure
with \`data.commandId\` is on record. Where \`data.deviceCode\` is present, \`code\` and \`msg\` are the device's own.

A device has one queue and no priority: a new command joins the tail while anything is open. To overtake, cancel first.`

const sendCodes = [
  'notFound',
  'inactive',
  'offline',
  'queueFull',
  'notSent',
  'timedOut',
  'notEncodable',
  'deviceDeleted',
  'keyReused',
  'outcomeUnknown',
] as const

export const setMeasurepoint: Described = {
  operationId: 'setMeasurepoint',
  summary: 'Set a measurepoint',
  description: `Sends a device a new value for one of its measurepoints, checked against the thing model of its product.\n${sent}`,
  parameters: Type.Object({ measurepointId: key('The measurepoint, as the thing model names it.'), ...sending }),
  body: Type.Object({ value: Type.Unknown({ description: 'Of the type that the model gives the point; not null.' }) }),
  data: Type.Object({ commandId }),
  failed: onRecord,
  codes: sendCodes,
  repeatable: true,
  examples: [
    {
      summary: 'Cached',
      query: { ...NEVER, measurepointId: 'Int_value', pendingTtl: '600', timeout: '30' },
      body: { value: 222 },
      data: { commandId: ID },
    },
    {
      summary: 'Instant',
      query: { ...HERE, measurepointId: 'setpoint' },
      body: { value: 21.5 },
      data: { commandId: ID },
    },
    {
      summary: 'The device by its keys',
      query: { productKey: 'bXuuAiku', deviceKey: 'mqtt_02', measurepointId: 'label', pendingTtl: '172800' },
      body: { value: 'cellar' },
      data: { commandId: ID },
    },
    {
      summary: 'With a key, so that it may be repeated',
      query: { ...NEVER, measurepointId: 'Int_value', pendingTtl: '600' },
      headers: { 'Idempotency-Key': 'order-4711' },
      body: { value: 222 },
      data: { commandId: ID },
    },
    {
      summary: 'Another request with the same key',
      before: [{ operationId: 'setMeasurepoint', example: 'With a key, so that it may be repeated' }],
      query: { ...NEVER, measurepointId: 'Int_value', pendingTtl: '600' },
      headers: { 'Idempotency-Key': 'order-4711' },
      body: { value: 333 },
      code: 99409,
      status: 409,
      msg: 'the Idempotency-Key was used before, for another request; nothing was stored',
    },
    {
      summary: 'A value that does not fit the model',
      query: { ...NEVER, measurepointId: 'setpoint', pendingTtl: '600' },
      body: { value: 90 },
      code: 99400,
      msg: 'Invalid Argument value:must be a DOUBLE from 5 to 35, got 90',
    },
    {
      summary: 'Instant, and the device was never there',
      query: { ...NEVER, measurepointId: 'Int_value' },
      body: { value: 222 },
      code: 11888,
      msg: 'device not activated, instant command cannot be sent',
      data: { commandId: ID, state: 6 },
    },
    {
      summary: 'Instant, and the device is away',
      query: { ...AWAY, measurepointId: 'Int_value' },
      body: { value: 222 },
      code: 11900,
      msg: 'device offline, instant command cannot be sent',
      data: { commandId: ID, state: 6 },
    },
    {
      summary: 'No such device',
      query: { assetId: 'nobody', measurepointId: 'Int_value' },
      body: { value: 222 },
      code: 99404,
      msg: 'device not found',
    },
  ],
}

export const invokeService: Described = {
  operationId: 'invokeService',
  summary: 'Invoke a service',
  description: `Tells a device to run one of its services. Inputs are checked against the thing model; a required one that is missing takes the model's default.\n${sent}`,
  parameters: Type.Object({ serviceId: key('The service, as the thing model names it.'), ...sending }),
  body: Type.Object({
    inputData: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: 'The inputs by their names.' })),
  }),
  data: Type.Object({
    commandId,
    outputData: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), { description: 'Of an instant command: what the service answered.' }),
    ),
  }),
  failed: onRecord,
  codes: sendCodes,
  repeatable: true,
  examples: [
    {
      summary: 'Instant',
      query: { ...HERE, serviceId: 'calibrate', timeout: '10' },
      body: { inputData: { reference: 20.5 } },
      data: { commandId: ID, outputData: { offset: 0.3, passes: 3, finishedAt: 1_795_383_655_330 } },
    },
    {
      summary: 'Cached',
      query: { ...NEVER, serviceId: 'reboot', pendingTtl: '86400' },
      body: { inputData: { delay: 5 } },
      data: { commandId: ID },
    },
    {
      summary: 'A product without a model takes anything',
      query: { assetId: 'u9LmFh6S', serviceId: 'anything', pendingTtl: '60' },
      body: { inputData: { list: [1, 2, 3] } },
      data: { commandId: ID },
    },
    {
      summary: 'An input is missing',
      query: { ...HERE, serviceId: 'calibrate' },
      body: { inputData: {} },
      code: 99400,
      msg: 'Invalid Argument inputData:reference is required',
    },
    {
      summary: 'A service that the model does not have',
      query: { ...HERE, serviceId: 'rebot' },
      body: {},
      code: 99400,
      msg: 'Invalid Argument serviceId:the product\'s model has no service "rebot"; did you mean "reboot"?',
    },
  ],
}

export const get: Described = {
  operationId: 'getCommand',
  summary: 'Get a command',
  description:
    'One command of a device by its id, settled first if it is due: a final state once shown is never taken back. POST is taken as well.',
  parameters: Type.Object({ commandId }),
  data: command,
  codes: ['notFound', 'commandNotFound'],
  examples: [
    { summary: 'One that waits', before: [queued], query: { ...NEVER, commandId: ID }, data: commandOf(1, null) },
    {
      summary: 'One that the device has answered',
      before: [answered],
      query: { ...HERE, commandId: ID },
    },
    {
      summary: 'No such command',
      query: { ...NEVER, commandId: ID },
      code: 11404,
      msg: `commandId ${ID} not found`,
    },
    {
      summary: 'No commandId',
      query: { ...NEVER, commandId: 'latest' },
      code: 99400,
      msg: 'Invalid Argument commandId:must be a decimal number of up to 19 digits',
    },
  ],
}

/** As the example "Cached" of setMeasurepoint leaves it. */
function commandOf(state: number, outputData: unknown) {
  return {
    commandId: ID,
    orgId: 'o15541858646501',
    productKey: 'bXuuAiku',
    deviceKey: 'mqtt_02',
    assetId: 'k3TzVb7Q',
    createTime: '1560505243577',
    createLocalTime: '2019-06-14 11:40:43',
    createLocaltime: '2019-06-14 11:40:43',
    commandType: 1,
    commandName: { defaultValue: 'Int_value', i18nValue: { en_US: 'Int_value', zh_CN: '整数值' } },
    timeout: 30,
    pendingTtl: 600,
    state,
    tslIdentifier: 'Int_value',
    inputData: 222,
    outputData,
  }
}

const searched = (body: unknown, more: Partial<Example> = {}) => ({ query: NEVER, body, before: [queued], ...more })

export const search: Described = {
  operationId: 'searchCommands',
  summary: 'Search the commands of a device',
  description: `The commands of one device, newest first. \`expression\` knows

* \`state = 1\`, \`state != 1\`, \`state in (1, 4)\`
* \`createTime >= '2019-06-14 00:00:00'\` in the device's timezone, or \`'2019-06-14T00:00:00Z'\`; also \`> < <= =\`. It means that whole second
* \`commandName like 'reboot'\`, \`commandName.zh_CN = '重启'\`
* \`and\`, \`or\`, parentheses

A page whose names, inputs and outputs have more than 4 MiB is refused: ask for fewer at a time.`,
  parameters: none,
  body: Type.Object({
    expression: Type.Optional(Type.String({ description: 'Which commands; all without it.' })),
    pagination: Type.Optional(pageRequest(PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)),
    projection: Type.Optional(projection),
  }),
  data: Type.Array(projected(command)),
  beside: Type.Object({ pagination }),
  codes: ['notFound'],
  examples: [
    {
      summary: 'All that waits',
      ...searched({ expression: 'state = 1', pagination: { pageNo: 1, pageSize: 50 } }),
      data: [commandOf(1, null)],
      beside: {
        pagination: { sortedBy: [{ field: 'createDate', order: 'DESC' }], pageNo: 1, pageSize: 50, totalSize: 1 },
      },
    },
    {
      summary: 'Some fields of what failed since a moment',
      ...searched({
        expression: "state in (6, 7) and createTime >= '2019-06-14 00:00:00'",
        projection: ['commandId', 'state', 'commandName.i18nValue.en_US'],
      }),
    },
    { summary: 'Everything', ...searched({}) },
    {
      summary: 'An expression that cannot be read',
      ...searched({ expression: 'status = 1' }),
      code: 99400,
      msg: 'Invalid Argument expression:character 1: expected state, commandName, createTime or (, got "status"',
    },
    {
      summary: 'A page that is too large',
      ...searched({ pagination: { pageSize: 1000 } }),
      code: 99400,
      msg: 'Invalid Argument pagination.pageSize:must be an integer from 1 to 200',
    },
  ],
}

export const cancel: Described = {
  operationId: 'cancelCommands',
  summary: 'Cancel one command, or all that wait',
  description: `With \`commandId\` that one, without it **all** commands of the device that wait. \`data\` lists exactly those that this call cancelled, oldest first.

* **A command that any cancel has reported is never sent to the device**, whatever happens; one that was sent is never reported as cancelled.
* A command that is no longer *created* stays as it is: code 0, \`data: []\`, and \`notCancelled\` beside it says its state.
* It takes no body, and no query name but those listed, so that a misspelt \`commandId\` never turns one into all. It may be repeated. GET is taken as well.`,
  parameters: Type.Object({ commandId: Type.Optional(commandId) }),
  data: Type.Array(command),
  beside: Type.Object({
    notCancelled: Type.Optional(Type.Array(Type.Object({ commandId, state }))),
  }),
  failed: Type.Array(onRecord, {
    description: 'They are cancelled, but the store was lost before more of them could be read.',
  }),
  codes: ['notFound', 'commandNotFound', 'outcomeUnknown'],
  examples: [
    { summary: 'All that wait', before: [queued], query: NEVER, data: [commandOf(2, null)] },
    { summary: 'One', before: [queued], query: { ...NEVER, commandId: ID }, data: [commandOf(2, null)] },
    {
      summary: 'One that is over',
      before: [answered],
      query: { ...HERE, commandId: ID },
      data: [],
      beside: { notCancelled: [{ commandId: ID, state: 5 }] },
    },
    { summary: 'Nothing waits', query: NEVER, data: [] },
    {
      summary: 'No such command',
      query: { ...NEVER, commandId: ID },
      code: 11404,
      msg: `commandId ${ID} not found`,
    },
    {
      summary: 'A misspelt name cancels nothing',
      before: [queued],
      query: { ...NEVER, comandId: ID },
      code: 99400,
      msg: 'Invalid Argument comandId:unknown parameter; this action takes action, orgId, assetId, productKey, deviceKey, commandId',
    },
    {
      summary: 'A body cancels nothing',
      before: [queued],
      query: NEVER,
      body: { commandId: ID },
      code: 99400,
      msg: 'Invalid Argument body:cancel takes no body; a commandId belongs into the query',
    },
  ],
}
