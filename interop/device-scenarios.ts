// What a device of the vendor's SDK must be able to do here, alone or as a gateway. The same for every language: each program has the same calls.
// Not here: the programs (java/device, python), the application's side (application-scenarios.ts).

import { join } from 'node:path'
import type { Device } from './fleet.ts'
import type { Program } from './program.ts'
import { field, invoke, onRecord, type Scenario, type Stage, same, set } from './scenario.ts'

/** How the SDKs of a language differ where they may. */
export interface Language {
  /** how the keys of its devices begin */
  readonly prefix: string
  /** what it answers to a command that nobody handles, and where the handler throws */
  readonly unhandled: { readonly code: number; readonly msg: string }
  readonly broken: { readonly code: number; readonly msg: string }
  /** whether it can compress what it sends */
  readonly compresses: boolean
  /** until it has found the server again, been ready and got its first command, at most */
  readonly backWithinMs: number
}

const CONNECT_WITHIN_MS = 10_000
/** how long a login is watched that must not succeed: several times what the server holds a refusal back */
const REFUSED_WITHIN_MS = 2_000
/** for what follows at once on a loopback connection */
const SOON_MS = 10_000
/** Java's SDK saves the secret, disconnects, and logs in again about 3 s later */
const ACTIVATED_WITHIN_MS = 15_000

/** what a request of a device is answered with where all is well */
const OK = 200

export function deviceScenarios(language: Language): Scenario[] {
  return [
    { name: 'login', run: stage => login(stage, language) },
    { name: 'invoke a service', run: stage => invokeService(stage, language) },
    { name: 'set measurepoints', run: stage => setMeasurepoints(stage, language) },
    { name: 'a device that refuses', run: stage => refuses(stage, language) },
    { name: 'a handler that throws', run: stage => throws(stage, language) },
    { name: 'no handler at all', run: stage => unhandled(stage, language) },
    { name: 'cached commands, one cancelled', run: stage => cached(stage, language) },
    { name: 'reconnect after the server was away', run: stage => returns(stage, language) },
    { name: 'post measurepoints', run: stage => post(stage, language) },
    { name: 'topology of a gateway', run: stage => topology(stage, language) },
    { name: 'commands to a sub-device', run: stage => subDevice(stage, language) },
    { name: 'login of many sub-devices at once', run: stage => batch(stage, language) },
    { name: 'reconnect of a gateway', run: stage => gatewayReturns(stage, language) },
    { name: 'dynamic activation', run: stage => activation(stage, language) },
    { name: 'the integration channel of a product', run: stage => integration(stage, language) },
    ...(language.compresses
      ? [{ name: 'compression by GZIP', run: (stage: Stage) => compresses(stage, language) }]
      : []),
  ]
}

/** The device of this language with that name. */
const device = (stage: Stage, language: Language, name: string): Device =>
  stage.fleet.device(`${language.prefix}_${name}`)

async function connect(stage: Stage, who: Device, more: object = {}): Promise<Program> {
  const program = stage.begin()
  const given = { url: stage.server.mqttUrl, ...who, waitMs: CONNECT_WITHIN_MS, ...more }
  const { connected } = await program.ask('connect', given, CONNECT_WITHIN_MS)
  same('connected', connected, true)
  return program
}

async function login(stage: Stage, language: Language): Promise<void> {
  const who = device(stage, language, 'login')
  same('the code before the first login', (await set(stage, who, 'speed', 1)).code, 11888)
  const stranger = stage.begin()
  const wrong = { ...who, url: stage.server.mqttUrl, deviceSecret: 'wrong', waitMs: REFUSED_WITHIN_MS }
  same('connected with a wrong secret', await stranger.ask('connect', wrong, REFUSED_WITHIN_MS), { connected: false })
  await stranger.stop()
  const program = await connect(stage, who)
  same('the code once it is there', (await set(stage, who, 'speed', 2)).code, 0)
  await program.stop()
  same('the code when it has left', (await set(stage, who, 'speed', 3)).code, 11900)
}

async function invokeService(stage: Stage, language: Language): Promise<void> {
  const who = device(stage, language, 'commands')
  const program = await connect(stage, who)
  const inputs = { left: 6.5, right: 4 }
  const answer = await invoke(stage, who, 'multiply', inputs)
  const commandId = field(answer, 'commandId')
  same('the answer', [answer.code, answer.data], [0, { commandId, outputData: { result: 26 } }])
  const { productKey, deviceKey } = who
  const got = { kind: 'invoke', commandId, productKey, deviceKey, service: 'multiply', params: inputs }
  same('what the device got', program.commands, [got])
  const { state, outputData } = await onRecord(stage, who, commandId)
  same('what is on record', [state, outputData], [5, { result: 26 }])
}

async function setMeasurepoints(stage: Stage, language: Language): Promise<void> {
  const who = device(stage, language, 'commands')
  const program = await connect(stage, who)
  const values = { speed: -7, setpoint: 21.5, label: 'Pumpe «1»\n二', curve: [0, 0.25, 1e-7] }
  for (const [point, value] of Object.entries(values)) {
    const answer = await set(stage, who, point, value)
    same(`the code of ${point}`, [answer.code, answer.msg], [0, 'OK'])
    same(`the state of ${point}`, (await onRecord(stage, who, field(answer, 'commandId'))).state, 5)
  }
  const params = program.commands.map(command => command.params)
  same(
    'what the device got',
    params,
    Object.entries(values).map(entry => Object.fromEntries([entry])),
  )
}

async function refuses(stage: Stage, language: Language): Promise<void> {
  const who = device(stage, language, 'commands')
  await connect(stage, who)
  await failing(stage, who, 'refuse', { code: 2001, msg: 'not today' })
}

async function throws(stage: Stage, language: Language): Promise<void> {
  const who = device(stage, language, 'commands')
  await connect(stage, who)
  await failing(stage, who, 'break', language.broken)
}

async function unhandled(stage: Stage, language: Language): Promise<void> {
  const who = device(stage, language, 'commands')
  const program = await connect(stage, who, { handles: false })
  await failing(stage, who, 'multiply', language.unhandled, { left: 1, right: 1 })
  same('what the program was told', program.commands, [])
}

/** The device's code and words reach the caller, and the command is on record as failed. */
async function failing(
  stage: Stage,
  who: Device,
  service: string,
  end: Language['broken'],
  inputs = {},
): Promise<void> {
  const answer = await invoke(stage, who, service, inputs)
  same('the answer', { code: answer.code, msg: answer.msg }, end)
  same('the code as the device sent it', field(answer, 'deviceCode'), end.code)
  same('the state', (await onRecord(stage, who, field(answer, 'commandId'))).state, 6)
}

/** What was cancelled while the device was away never reaches it, and the rest does, in order and once. */
async function cached(stage: Stage, language: Language): Promise<void> {
  const who = device(stage, language, 'cached')
  const ids: unknown[] = []
  for (const speed of [1, 2, 3]) ids.push(field(await set(stage, who, 'speed', speed, true), 'commandId'))
  const query = { action: 'cancel', orgId: stage.fleet.orgId, assetId: who.assetId, commandId: String(ids[1]) }
  const cancelled = await stage.client.call('POST', query, null, 0)
  same(
    'what was cancelled',
    (cancelled.data as { commandId: string }[]).map(each => each.commandId),
    [ids[1]],
  )
  const program = await connect(stage, who)
  await program.until('the last command', SOON_MS, () => program.commands.length >= 2)
  // An instant command joins the tail: when it is answered, whatever should not have come would have come.
  same('the code of the one behind them', (await set(stage, who, 'speed', 4)).code, 0)
  same(
    'what the device got',
    program.commands.map(each => each.params),
    [{ speed: 1 }, { speed: 3 }, { speed: 4 }],
  )
  const states = await Promise.all(ids.map(async id => (await onRecord(stage, who, id)).state))
  same('the states', states, [5, 2, 5])
}

/** The server goes and comes again on its port; the SDK finds it by itself, and what was cached meanwhile is delivered. */
async function returns(stage: Stage, language: Language): Promise<void> {
  const who = device(stage, language, 'returns')
  const program = await connect(stage, who)
  same('the code before', (await set(stage, who, 'speed', 1)).code, 0)
  await stage.server.stop()
  await stage.server.start()
  const commandId = field(await invoke(stage, who, 'multiply', { left: 2, right: 3 }, true), 'commandId')
  await program.until('the cached command', language.backWithinMs, () => program.commands.length === 2)
  same('the cached command', program.commands[1]?.commandId, commandId)
  same('the code after', (await set(stage, who, 'speed', 2)).code, 0)
  const { state, outputData } = await onRecord(stage, who, commandId)
  same('what is on record', [state, outputData], [5, { result: 6 }])
  same('how many commands the device got', program.commands.length, 3)
}

async function post(stage: Stage, language: Language): Promise<void> {
  const who = device(stage, language, 'commands')
  const program = await connect(stage, who)
  const { code } = await program.ask('post', { points: { speed: 12, setpoint: 20.5, curve: [1, 2] } })
  same('the code', code, OK)
}

/** A sub-device as it must be named in requests of its gateway. */
const named = ({ productKey, deviceKey }: Device) => ({ productKey, deviceKey })

async function topology(stage: Stage, language: Language): Promise<void> {
  const added = device(stage, language, 'sub_new')
  const known = device(stage, language, 'sub_known')
  const program = await connect(stage, device(stage, language, 'gateway'))
  const before = await program.ask('topology')
  same('the topology of the fleet file', [before.code, before.data], [OK, [named(known)]])
  const foreign = await program.ask('addToTopology', { devices: [{ ...added, deviceSecret: 'wrong' }] })
  same('the code of adding with a wrong secret', foreign.code, 1255)
  same('the code of adding', (await program.ask('addToTopology', { devices: [added] })).code, OK)
  const after = (await program.ask('topology')).data as Device[]
  const sorted = after.map(named).sort((a, b) => a.deviceKey.localeCompare(b.deviceKey))
  same('the topology after', sorted, [named(known), named(added)])
  same('the code of removing', (await program.ask('removeFromTopology', named(added))).code, OK)
  same('the topology at the end', (await program.ask('topology')).data, [named(known)])
}

async function subDevice(stage: Stage, language: Language): Promise<void> {
  const sub = device(stage, language, 'sub_known')
  const program = await connect(stage, device(stage, language, 'gateway'))
  const early = { ...named(sub), points: { speed: 2 } }
  same('the code of a post before the login', (await program.ask('post', early)).code, 1009)
  same('the code of a wrong login', (await program.ask('logIn', { ...sub, deviceSecret: 'wrong' })).code, 742)
  const { code, data } = await program.ask('logIn', sub)
  same('the code of the login', code, OK)
  same('whom the login names', data, { assetId: sub.assetId, ...named(sub) })
  same('the code of a post', (await program.ask('post', { ...named(sub), points: { speed: 3 } })).code, OK)
  const invoked = await invoke(stage, sub, 'multiply', { left: 3, right: 3 })
  same('the answer', [invoked.code, field(invoked, 'outputData')], [0, { result: 9 }])
  same('the code of a set', (await set(stage, sub, 'speed', 5)).code, 0)
  const got = program.commands.map(({ kind, productKey, deviceKey, params }) => ({
    kind,
    productKey,
    deviceKey,
    params,
  }))
  const invocation = { kind: 'invoke', ...named(sub), params: { left: 3, right: 3 } }
  same('what the gateway got', got, [invocation, { kind: 'set', ...named(sub), params: { speed: 5 } }])
  same('the code of the logout', (await program.ask('logOut', named(sub))).code, OK)
  same('the code when it has left', (await set(stage, sub, 'speed', 6)).code, 11900)
}

async function batch(stage: Stage, language: Language): Promise<void> {
  const known = device(stage, language, 'sub_known')
  const program = await connect(stage, device(stage, language, 'gateway'))
  const stranger = device(stage, language, 'sub_new')
  const { code, data } = await program.ask('logInAll', { devices: [known, stranger] })
  const { loginedSubDevices, failedSubDevices } = data as Record<string, Device[]>
  same('the code where one of two fails', code, 723)
  same('who is in', loginedSubDevices?.map(named), [named(known)])
  same('who is not', failedSubDevices, [named(stranger)])
  same('the code of a command', (await set(stage, known, 'speed', 8)).code, 0)
}

/** After a reconnect the SDK logs its sub-devices in again; until then they are away. */
async function gatewayReturns(stage: Stage, language: Language): Promise<void> {
  const sub = device(stage, language, 'sub_known')
  const program = await connect(stage, device(stage, language, 'gateway'))
  same('the code of the login', (await program.ask('logIn', sub)).code, OK)
  await stage.server.stop()
  await stage.server.start()
  const commandId = field(await set(stage, sub, 'speed', 9, true), 'commandId')
  await program.until('the cached command', language.backWithinMs, () => program.commands.length > 0)
  same(
    'the cached command',
    program.commands.map(each => each.commandId),
    [commandId],
  )
  same('the code after', (await set(stage, sub, 'speed', 10)).code, 0)
}

async function activation(stage: Stage, language: Language): Promise<void> {
  const who = device(stage, language, 'dynamic')
  const { url, productKey, deviceKey } = { url: stage.server.mqttUrl, ...who }
  const given = { url, productKey, deviceKey, productSecret: stage.fleet.productSecret(who) }
  const program = stage.begin()
  const more = { profile: join(stage.folder, `${deviceKey}.json`), waitMs: ACTIVATED_WITHIN_MS }
  const activated = await program.ask('activate', { ...given, ...more }, ACTIVATED_WITHIN_MS)
  same('what the device was told', activated, { deviceSecret: who.deviceSecret, connected: true })
  same('the code while it is there', (await set(stage, who, 'speed', 1)).code, 0)
  await program.stop()
  await connect(stage, { ...who, deviceSecret: String(activated.deviceSecret) })
  same('the code with the secret it was told', (await set(stage, who, 'speed', 2)).code, 0)
}

/** A login for a whole product, which posts for devices that are not connected themselves. */
async function integration(stage: Stage, language: Language): Promise<void> {
  const { productKey, deviceKey } = device(stage, language, 'commands')
  const productSecret = stage.fleet.productSecret(device(stage, language, 'commands'))
  const given = { url: stage.server.mqttUrl, productKey, deviceKey, productSecret, waitMs: CONNECT_WITHIN_MS }
  const { code } = await stage.begin().ask('integrate', { ...given, points: { speed: 7 } }, CONNECT_WITHIN_MS)
  same('the code', code, OK)
}

async function compresses(stage: Stage, language: Language): Promise<void> {
  const who = device(stage, language, 'packed')
  const program = await connect(stage, who, { compress: 'GZIP' })
  const answer = await invoke(stage, who, 'multiply', { left: 5, right: 5 })
  same('the answer', [answer.code, field(answer, 'outputData')], [0, { result: 25 }])
  same('the code of a post', (await program.ask('post', { points: { speed: 4 } })).code, OK)
}
