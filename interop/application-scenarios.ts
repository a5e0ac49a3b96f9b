// What an application of the vendor's Poseidon client must be able to do here, and that each field of its typed responses holds what we sent.
// Not here: the program (java/application), the devices' side (device-scenarios.ts).

import { isObject } from '../src/core/json.ts'
import type { Device } from './fleet.ts'
import type { Program } from './program.ts'
import { call, onRecord, type Scenario, type Stage, same } from './scenario.ts'

/** the fields of the vendor's CommandResponse; `createTime` is a long there and a text on the wire */
const TYPED = [
  ...['assetId', 'commandId', 'commandName', 'commandType', 'createLocaltime', 'createTime', 'deviceKey', 'inputData'],
  ...['orgId', 'outputData', 'pendingTtl', 'productKey', 'state', 'timeout', 'tslIdentifier'],
]
/** the call of an instant command returns when the device has answered, or with its timeout */
const INSTANT_WITHIN_MS = 20_000
/** the simulated device is started by then on a busy machine */
const DEVICE_WITHIN_MS = 10_000

export const applicationScenarios: readonly Scenario[] = [
  { name: 'set and get', run: setAndGet },
  { name: 'invoke, cached', run: invokeCached },
  { name: 'invoke, instant', run: invokeInstant },
  { name: 'an instant command that the device refuses', run: refused },
  { name: 'an instant command for a device that was never there', run: neverThere },
  { name: 'search', run: search },
  { name: 'cancel one', run: cancelOne },
  { name: 'cancel all', run: cancelAll },
  { name: 'arguments that are wrong', run: wrong },
  { name: 'turned away by a server that wants signatures', run: turnedAway },
]

async function begin(stage: Stage, server = stage.server.httpUrl): Promise<Program> {
  const program = stage.begin()
  await program.ask('start', { server, ...stage.fleet.application })
  return program
}

const away = (stage: Stage): Device => stage.fleet.device('application_away')
const here = (stage: Stage): Device => stage.fleet.device('application_here')
/** the two ways to name a device */
const byKeys = (stage: Stage, { productKey, deviceKey }: Device) => ({
  orgId: stage.fleet.orgId,
  productKey,
  deviceKey,
})
const byAsset = (stage: Stage, { assetId }: Device) => ({ orgId: stage.fleet.orgId, assetId })

/** The data of a response that must be good. */
async function good(program: Program, what: string, given: object): Promise<unknown> {
  const { code, msg, requestId, data } = await program.ask(what, given, INSTANT_WITHIN_MS)
  same(`the end of ${what}`, [code, msg], [0, 'OK'])
  same(`the requestId of ${what}`, typeof requestId === 'string' && /^[0-9a-f]{32}$/.test(requestId), true)
  return data
}

async function queue(program: Program, stage: Stage, device: Device, value: number): Promise<string> {
  const given = { ...byKeys(stage, device), measurepointId: 'setpoint', value, pendingTtl: 600, timeout: 7 }
  const data = await good(program, 'setMeasurepoint', given)
  if (!isObject(data) || typeof data.commandId !== 'string') throw new Error(`set answered ${JSON.stringify(data)}`)
  same('the fields of the typed data', Object.keys(data), ['commandId'])
  return data.commandId
}

/** A typed command is the one on record, field by field. */
async function sameCommand(stage: Stage, device: Device, typed: unknown): Promise<Record<string, unknown>> {
  if (!isObject(typed)) throw new Error(`the typed command is ${JSON.stringify(typed)}`)
  same('the fields of the typed command', Object.keys(typed).sort(), TYPED)
  const record = await onRecord(stage, device, typed.commandId)
  for (const name of TYPED) {
    if (name === 'createTime') same(name, String(typed[name]), record[name])
    else same(name, typed[name], record[name])
  }
  return typed
}

async function setAndGet(stage: Stage): Promise<void> {
  const program = await begin(stage)
  const device = away(stage)
  const before = Date.now()
  const commandId = await queue(program, stage, device, 21.5)
  const typed = await sameCommand(stage, device, await good(program, 'get', { ...byAsset(stage, device), commandId }))
  const { commandType, commandName, timeout, pendingTtl, state, tslIdentifier, inputData, outputData } = typed
  same('type, id and state', [commandType, tslIdentifier, state], [1, 'setpoint', 1])
  same('the name', commandName, { defaultValue: 'Setpoint', i18nValue: { en_US: 'Setpoint', zh_CN: '设定温度' } })
  same('the times', [timeout, pendingTtl], [7, 600])
  same('input and output', [inputData, outputData], [21.5, null])
  const createTime = Number(typed.createTime)
  same('created in time', createTime >= before && createTime <= Date.now(), true)
  const local = new Date(createTime + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ')
  same('the local time, eight hours east', typed.createLocaltime, local)
}

async function invokeCached(stage: Stage): Promise<void> {
  const program = await begin(stage)
  const device = away(stage)
  const inputData = { left: 6, right: 7.5 }
  const given = { ...byAsset(stage, device), serviceId: 'multiply', inputData, pendingTtl: 172_800 }
  const data = await good(program, 'invokeService', given)
  if (!isObject(data)) throw new Error(`invokeService answered ${JSON.stringify(data)}`)
  same('the outputs of a cached command', data.outputData, null)
  const got = await good(program, 'get', { ...byKeys(stage, device), commandId: data.commandId })
  const typed = await sameCommand(stage, device, got)
  same('inputs, type and life', [typed.inputData, typed.commandType, typed.pendingTtl], [inputData, 2, 172_800])
}

/** The simulated device of this repository, which has nothing of the vendor's: here the application is on trial. */
async function simulate(stage: Stage, ...more: string[]): Promise<void> {
  const { productKey, deviceKey, deviceSecret } = here(stage)
  const identity = ['--product-key', productKey, '--device-key', deviceKey, '--device-secret', deviceSecret]
  const server = ['--mqtt', stage.server.mqttUrl.replace(/^tcp/, 'mqtt')]
  const args = [stage.built, 'device', 'simulate', ...server, ...identity, ...more]
  stage.keep({ command: process.execPath, args, cwd: stage.folder })
  // A device that is away is told so at once; one that is there has the call wait.
  const deadline = Date.now() + DEVICE_WITHIN_MS
  for (;;) {
    const { code } = await call(stage, here(stage), 'setMeasurepoint', { measurepointId: 'speed' }, { value: 1 })
    if (code !== 11888 && code !== 11900) return
    if (Date.now() > deadline) throw new Error(`the simulated device did not come (${code})`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

async function invokeInstant(stage: Stage): Promise<void> {
  await simulate(stage)
  const program = await begin(stage)
  const device = here(stage)
  const inputData = { left: 2, right: 3 }
  const data = await good(program, 'invokeService', { ...byKeys(stage, device), serviceId: 'multiply', inputData })
  if (!isObject(data)) throw new Error(`invokeService answered ${JSON.stringify(data)}`)
  const typed = await sameCommand(
    stage,
    device,
    await good(program, 'get', { ...byKeys(stage, device), commandId: data.commandId }),
  )
  same('the outputs, of the call and on record', data.outputData, typed.outputData)
  same('the state', typed.state, 5)
  if (!isObject(data.outputData)) throw new Error(`the outputs are ${JSON.stringify(data.outputData)}`)
}

async function refused(stage: Stage): Promise<void> {
  await simulate(stage, '--answer', 'error', '--code', '2001')
  const program = await begin(stage)
  const given = { ...byKeys(stage, here(stage)), serviceId: 'refuse', inputData: {} }
  const { code, data } = await program.ask('invokeService', given, INSTANT_WITHIN_MS)
  same('the code', code, 2001)
  const commandId = isObject(data) ? data.commandId : null
  same('the state of the command it names', (await onRecord(stage, here(stage), commandId)).state, 6)
}

async function neverThere(stage: Stage): Promise<void> {
  const program = await begin(stage)
  const given = { ...byKeys(stage, away(stage)), measurepointId: 'speed', value: 5 }
  const { code, msg, data } = await program.ask('setMeasurepoint', given, INSTANT_WITHIN_MS)
  same('the code', code, 11888)
  same('that it says why', typeof msg === 'string' && msg.length > 0, true)
  const commandId = isObject(data) ? data.commandId : null
  same('the state of the command it names', (await onRecord(stage, away(stage), commandId)).state, 6)
}

async function search(stage: Stage): Promise<void> {
  const program = await begin(stage)
  const device = away(stage)
  const first = await queue(program, stage, device, 5)
  const second = await queue(program, stage, device, 6)
  const expression = "state in (1, 2) and commandName.zh_CN like '设定' and createTime >= '2020-01-01 00:00:00'"
  const given = { ...byAsset(stage, device), expression, pageNo: 1, pageSize: 2 }
  const found = await program.ask('search', given)
  same('the code', found.code, 0)
  const [newest, older, ...more] = found.data as unknown[]
  const ids = [await sameCommand(stage, device, newest), await sameCommand(stage, device, older)]
  same('the page', [ids.map(each => each.commandId), more], [[second, first], []])
  const { pagination } = found
  if (!isObject(pagination)) throw new Error(`the pagination is ${JSON.stringify(pagination)}`)
  same('page and size', [pagination.pageNo, pagination.pageSize], [1, 2])
  same('the total', Number(pagination.totalSize) >= 2, true)
  same('the order', pagination.sortedBy, [{ field: 'createDate', order: 'DESC' }])
  const projection = ['commandId', 'createTime', 'commandName.i18nValue.en_US']
  const [projected] = (await program.ask('search', { ...given, projection })).data as Record<string, unknown>[]
  same(
    'what was asked for',
    [projected?.commandId, projected?.commandName],
    [second, { defaultValue: null, i18nValue: { en_US: 'Setpoint' } }],
  )
  same('what was not', [projected?.state, projected?.orgId], [0, null])
}

async function cancelOne(stage: Stage): Promise<void> {
  const program = await begin(stage)
  const device = away(stage)
  const commandId = await queue(program, stage, device, 8)
  const given = { ...byKeys(stage, device), commandId }
  const [typed, ...more] = (await good(program, 'cancel', given)) as unknown[]
  same('which, and its state', await sameCommand(stage, device, typed).then(one => [one.commandId, one.state]), [
    commandId,
    2,
  ])
  same('what else', more, [])
  same('what a second cancel reports', await good(program, 'cancel', given), [])
  const unknown = await program.ask('cancel', { ...given, commandId: '1234567890123456789' })
  same('an unknown one', [unknown.code, unknown.data], [11404, null])
}

async function cancelAll(stage: Stage): Promise<void> {
  const program = await begin(stage)
  const device = away(stage)
  await good(program, 'cancel', byAsset(stage, device))
  const ids = [await queue(program, stage, device, 9), await queue(program, stage, device, 10)]
  const typed = (await good(program, 'cancel', byAsset(stage, device))) as unknown[]
  const cancelled = await Promise.all(typed.map(each => sameCommand(stage, device, each)))
  same(
    'which, oldest first',
    cancelled.map(each => each.commandId),
    ids,
  )
  same(
    'their states',
    cancelled.map(each => each.state),
    [2, 2],
  )
  same('what is left to cancel', await good(program, 'cancel', byAsset(stage, device)), [])
}

async function wrong(stage: Stage): Promise<void> {
  const program = await begin(stage)
  const device = away(stage)
  const refusals: [string, object, number][] = [
    ['get', { orgId: 'nobody', assetId: device.assetId, commandId: '1' }, 99400],
    ['get', { ...byAsset(stage, device), assetId: 'nothing', commandId: '1' }, 99404],
    ['cancel', { ...byAsset(stage, device), commandId: 'all' }, 99400],
    ['setMeasurepoint', { ...byAsset(stage, device), measurepointId: 'speed', value: 'fast' }, 99400],
  ]
  for (const [what, given, expected] of refusals) {
    const { code, msg, data } = await program.ask(what, given)
    same(`${what} with ${JSON.stringify(given)}`, [code, data], [expected, null])
    same('that it says why', typeof msg === 'string' && msg.length > 0, true)
  }
}

/** The header of this client is encrypted for the vendor alone, so such a server cannot tell who it is. */
async function turnedAway(stage: Stage): Promise<void> {
  const strict = await stage.serve('signature')
  const program = await begin(stage, strict.httpUrl)
  const given = { ...byAsset(stage, away(stage)), commandId: '1' }
  const outcome = await program.ask('get', given).then(
    answer => `an answer: ${JSON.stringify(answer)}`,
    (error: Error) => error.message,
  )
  const isTold = outcome.includes('PoseidonException') && outcome.includes('"code":1202')
  if (!isTold) throw new Error(`it was to be turned away with 1202, and there came ${outcome}`)
}
