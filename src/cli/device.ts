// `downlink device simulate`: its options, the devices that they describe, and a line for everything that happens to them.
// Not here: how a device speaks (simulator.ts), what it gives back (outputs.ts).

import { isKey } from '../core/command.ts'
import { INT32_MAX, SIMULATED_DEVICES_MAX, SIMULATED_SPAN_MAX_S, SIMULATED_START_EVERY_MS } from '../core/limits.ts'
import { type Model, parseModel } from '../core/model.ts'
import type { FleetFile } from '../fleet/file.ts'
import { loadFleetFile } from './fleet-file.ts'
import { type CommandSpec, type Environment, Given, type NameOf, option } from './options.ts'
import { plausibleOutputs } from './outputs.ts'
import { aborted, pause, stopSignals } from './signals.ts'
import { type Behaviour, type Login, type ReceivedCommand, SimulatedDevice, type Witness } from './simulator.ts'
import { Exit, paint, printable, type Style, type Terminal, usageError } from './terminal.ts'

export const simulateSpec = {
  name: 'device simulate',
  summary: 'Be a device, or many: connect as the vendor does, take commands, answer them.',
  operand: null,
  options: [
    option('mqtt', 'DOWNLINK_MQTT_URL', 'url', 'mqtt://127.0.0.1:11883', 'The server to connect to.'),
    option('product-key', null, 'key', null, 'Product of the device.'),
    option(
      'device-key',
      null,
      'key',
      null,
      'Key of the device; with --count a pattern: dev_{nnn} is dev_001, dev_002, …',
    ),
    option(
      'device-secret',
      'DOWNLINK_DEVICE_SECRET',
      'secret',
      null,
      'Its secret, or that of all; better by environment,',
    ),
    option(
      'fleet',
      'DOWNLINK_FLEET',
      'file',
      null,
      'or by this fleet file, whose models then shape the answers as well.',
    ),
    option('count', null, 'n', 1, `Devices to be, 1 to ${SIMULATED_DEVICES_MAX}.`),
    option('answer', null, 'ok|error|never', 'ok', 'How to answer commands.'),
    option('code', null, 'n', null, 'Code of the answers; by default 200 for ok and 2000 for error.'),
    option('delay', null, 'ms', 0, 'Time from a command to its answer.'),
    option('away-after', null, 'n', null, 'Go away after n commands, and come back.'),
    option('offline-for', null, 'ms', 5_000, 'How long to stay away.'),
    option('exit-after', null, 'n', null, 'Leave for good after n commands (each device).'),
    option('for', null, 's', null, 'Leave for good after this time.'),
  ],
  notes: [
    'Ends at SIGINT or SIGTERM, or when every device has left for good. A device that is refused at its first login gives up (exit code 1);',
    'one that loses its connection comes back, after 1 s at first and up to 30 s later.',
  ],
} as const satisfies CommandSpec

type SimulateName = NameOf<typeof simulateSpec>

/** Codes of simulated answers where none is given; the vendor leaves codes from 2000 on to devices. */
const CODE_OK = 200
const CODE_ERROR = 2_000

/** Exit 0 when the devices came to their end as told; 1 if one was refused; 2 if the options do not describe devices. */
export async function simulate(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<SimulateName>(simulateSpec, args, env)
  const server = readServer(given)
  const keys = readKeys(given)
  const behaviour = readBehaviour(given)
  const forS = given.integer('for', 1, SIMULATED_SPAN_MAX_S)
  const fleetFile = given.text('fleet')
  if (fleetFile === null && given.text('device-secret') === null)
    given.problems.push(`give ${given.label('device-secret')} or ${given.label('fleet')}`)
  if (given.problems.length > 0) return usageError(terminal, simulateSpec, given.problems)

  const fleet = fleetFile === null ? null : await loadFleetFile(fleetFile)
  if (fleet?.ok === false) {
    for (const problem of fleet.problems) terminal.problem(problem)
    return Exit.failure
  }
  const file = fleet?.file ?? { organizations: [] }
  const logins = readLogins(given, keys, server, file)
  if (given.problems.length > 0) return usageError(terminal, simulateSpec, given.problems)
  const model = modelOf(file, keys.productKey)
  const outputs: Behaviour['outputs'] = (serviceId, inputs) =>
    plausibleOutputs(model?.services.get(serviceId), inputs, Date.now())
  return run(logins, { ...behaviour, outputs }, forS, terminal)
}

async function run(
  logins: readonly Login[],
  behaviour: Behaviour,
  forS: number | null,
  terminal: Terminal,
): Promise<Exit> {
  const { signal, release } = stopSignals(() => process.exit(Exit.failure))
  const witness = new Printer(terminal)
  const devices = logins.map(login => new SimulatedDevice(login, behaviour, witness))
  const ended = Promise.all(devices.map(device => device.ended))
  const over = new AbortController()
  const stop = AbortSignal.any([signal, over.signal])
  const timer = forS === null ? undefined : setTimeout(() => over.abort(), forS * 1_000)
  for (const device of devices) {
    if (stop.aborted) break
    device.start()
    if (devices.length > 1) await pause(SIMULATED_START_EVERY_MS, stop)
  }
  await Promise.race([ended, aborted(stop)])
  clearTimeout(timer)
  await Promise.all(devices.map(device => device.stop()))
  release()
  return witness.refusals > 0 ? Exit.failure : Exit.ok
}

/** `mqtt://host[:port]`; the part before // may be left out. */
function readServer(given: Given<SimulateName>): { host: string; port: number } {
  const text = given.text('mqtt') ?? ''
  const full = text.includes('://') ? text : `mqtt://${text}`
  const url = URL.canParse(full) ? new URL(full) : null
  const plain = url !== null && url.username === '' && ['', '/'].includes(url.pathname) && url.search === ''
  if (url?.protocol === 'mqtt:' && plain && url.hostname !== '')
    return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 11_883 : Number(url.port) }
  given.problem('mqtt', `"${printable(text)}" is not mqtt://host:port`)
  return { host: '127.0.0.1', port: 0 }
}

/** One key, or the pattern filled in with 1, 2, … `count`; as many digits as the braces have letters. */
function readKeys(given: Given<SimulateName>): { productKey: string; deviceKeys: readonly string[] } {
  const productKey = given.required('product-key')
  const pattern = given.required('device-key')
  const count = given.integer('count', 1, SIMULATED_DEVICES_MAX) ?? 1
  const [place] = /\{n+\}/.exec(pattern) ?? []
  if (count > 1 && place === undefined)
    given.problem('device-key', `needs a place for the number with --count ${count}, such as dev_{nnn}`)
  const deviceKeys = Array.from({ length: count }, (_, index) =>
    place === undefined ? pattern : pattern.replace(place, String(index + 1).padStart(place.length - 2, '0')),
  )
  const rule = 'is not a key: 1 to 64 of A-Z a-z 0-9 _ . -'
  if (productKey !== '' && !isKey(productKey)) given.problem('product-key', rule)
  if (pattern !== '' && !deviceKeys.every(isKey)) given.problem('device-key', rule)
  return { productKey, deviceKeys }
}

function readBehaviour(given: Given<SimulateName>): Omit<Behaviour, 'outputs'> {
  const answer = given.choice('answer', ['ok', 'error', 'never'])
  const code = given.integer('code', -INT32_MAX, INT32_MAX) ?? (answer === 'error' ? CODE_ERROR : CODE_OK)
  const isSuccess = code === 0 || code === CODE_OK
  if (answer === 'ok' && !isSuccess) given.problem('code', 'of --answer ok is 0 or 200; other codes are errors')
  if (answer === 'error' && isSuccess)
    given.problem('code', 'of --answer error is neither 0 nor 200, which mean success')
  const spanMs = SIMULATED_SPAN_MAX_S * 1_000
  const delayMs = given.integer('delay', 0, spanMs) ?? 0
  const offlineForMs = given.integer('offline-for', 0, spanMs)
  const awayAfter = given.integer('away-after', 1, INT32_MAX)
  const exitAfter = given.integer('exit-after', 1, INT32_MAX)
  given.conflict('away-after', 'exit-after')
  const afterCommands = awayAfter ?? exitAfter
  const leave = afterCommands === null ? null : { afterCommands, backAfterMs: awayAfter === null ? null : offlineForMs }
  return { answer, code, delayMs, leave }
}

/** The option's secret wins over the fleet file's. */
function readLogins(
  given: Given<SimulateName>,
  keys: { productKey: string; deviceKeys: readonly string[] },
  server: { host: string; port: number },
  file: FleetFile,
): Login[] {
  const { productKey } = keys
  const secret = given.text('device-secret')
  const secrets = new Map<string, string>()
  for (const { devices } of file.organizations)
    for (const device of devices)
      if (device.productKey === productKey) secrets.set(device.deviceKey, device.deviceSecret.reveal())
  const logins: Login[] = []
  for (const deviceKey of keys.deviceKeys) {
    const deviceSecret = secret ?? secrets.get(deviceKey)
    if (deviceSecret !== undefined) logins.push({ ...server, productKey, deviceKey, deviceSecret })
  }
  const missing = keys.deviceKeys.filter(deviceKey => secret === null && !secrets.has(deviceKey))
  if (missing.length > 0)
    given.problem(
      'fleet',
      `the file has no device ${productKey}/${missing[0]}${missing.length > 1 ? ` nor ${missing.length - 1} more` : ''}`,
    )
  return logins
}

/** Null where the file has no such product or the product no model: then services give back nothing. */
export function modelOf(file: FleetFile, productKey: string): Model | null {
  for (const { products, models } of file.organizations) {
    const product = products.find(one => one.productKey === productKey)
    const model = models.find(({ modelId }) => modelId === product?.modelId)
    const parsed = model ? parseModel(JSON.parse(model.json)) : null
    if (parsed?.ok) return parsed.model
  }
  return null
}

/** What each CONNACK code asks of the person who started the device. */
const refusals: ReadonlyMap<number, string> = new Map([
  [1, 'the server does not speak MQTT 3.1.1'],
  [2, 'the client id was not understood'],
  [3, 'the server is overloaded'],
  [4, 'the secret is wrong; check --device-secret or the fleet file'],
  [5, 'the device does not exist or is disabled; apply its fleet file to the server'],
])

/** Prints what happens, one line each. */
export class Printer implements Witness {
  refusals = 0
  readonly #terminal: Terminal

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  connected(login: Login): void {
    this.#say(login, 'cyan', 'connected', '')
  }

  refused(login: Login, returnCode: number, final: boolean): void {
    if (final) this.refusals += 1
    const why = refusals.get(returnCode) ?? 'for a reason that MQTT 3.1.1 does not know'
    this.#terminal.problem(`${login.deviceKey} refused with ${returnCode}: ${why}${final ? '' : '; trying again'}`)
  }

  disconnected(login: Login, reason: string, againInMs: number | null): void {
    const again = againInMs === null ? '' : `, again in ${(againInMs / 1_000).toFixed(1)} s`
    this.#say(login, 'gray', 'disconnected', `${printable(reason)}${again}`)
  }

  received(login: Login, { commandId, verb, service, params }: ReceivedCommand): void {
    const what = verb === 'set' ? 'set' : `invoke ${service}`
    this.#say(
      login,
      'yellow',
      'received',
      `${printable(commandId)} ${what} ${printable(JSON.stringify(params), SHOWN_CHARS)}`,
    )
  }

  answered(login: Login, { commandId }: ReceivedCommand, code: number): void {
    this.#say(login, code === 0 || code === CODE_OK ? 'green' : 'red', 'answered', `${printable(commandId)} ${code}`)
  }

  acknowledged(): void {
    // Nothing that a person has to be told.
  }

  ignored(login: Login, topic: string): void {
    this.#say(login, 'gray', 'ignored', `a message on ${printable(topic)}`)
  }

  #say(login: Login, style: Style, what: string, rest: string): void {
    const time = new Date().toTimeString().slice(0, 8)
    this.#terminal.line(`${time} ${login.deviceKey} ${paint(this.#terminal, style, what)} ${rest}`.trimEnd())
  }
}

/** characters of a command's inputs that are printed */
const SHOWN_CHARS = 200
