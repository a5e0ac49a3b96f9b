// `downlink emulate`: a whole Downlink for other people's tests: in memory, open, with the fleet's devices simulated, a clock that leaps and faults that
// can be switched. Not here: the clock and the faults (emulator/), how a device speaks (simulator.ts), what a server is made of (serve.ts).

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import { type Clock, machine } from '../clock.ts'
import { EMULATOR_DEVICES_MAX } from '../core/limits.ts'
import { VirtualClock } from '../emulator/clock.ts'
import { Devices, type EmulatedDevice } from '../emulator/devices.ts'
import { Emulator } from '../emulator/emulator.ts'
import type { FleetFile } from '../fleet/file.ts'
import { readServeConfig, type ServeConfig } from './config.ts'
import { modelOf } from './device.ts'
import { loadFleetFile } from './fleet-file.ts'
import { makeLog } from './log.ts'
import { type CommandSpec, type Environment, Given, type NameOf, option } from './options.ts'
import { plausibleOutputs } from './outputs.ts'
import { type Server, startServer } from './serve.ts'
import { leaveInTime, startFailure } from './serving.ts'
import { aborted, stopSignals } from './signals.ts'
import { type Login, SimulatedDevice, type Witness } from './simulator.ts'
import { Exit, type Terminal, usageError } from './terminal.ts'

export const emulateSpec = {
  name: 'emulate',
  summary: 'A Downlink for your tests: in memory, open, its devices simulated, with a clock that leaps.',
  operand: null,
  options: [
    option(
      'http',
      'DOWNLINK_HTTP',
      '[host:]port',
      '127.0.0.1:8080',
      'Address of the HTTP API; port 0 takes a free one.',
    ),
    option('mqtt', 'DOWNLINK_MQTT', '[host:]port', '127.0.0.1:11883', 'Address for devices; port 0 takes a free one.'),
    option('fleet', 'DOWNLINK_FLEET', 'file', null, 'Fleet file, YAML or JSON; without one the demo fleet.'),
    option(
      'store',
      'DOWNLINK_STORE',
      'url',
      'memory:',
      'Only memory: is taken; what is to be kept is for: downlink serve.',
    ),
    option('no-devices', null, null, null, 'Simulate none: the devices are your own.'),
    option('log-level', 'DOWNLINK_LOG_LEVEL', 'level', 'warn', 'trace, debug, info, warn, error, fatal or silent.'),
  ],
  notes: [
    'No credentials are checked, so it listens on loopback alone. It ends at SIGTERM or SIGINT, and nothing is left.',
    'POST /emulator/clock {"advanceMs": 172800000} lets 48 hours pass; PUT /emulator/devices/{assetId}/faults',
    '{"offline": true} sends a device away; also delayMs, mute, errorCode, answersTwice. See docs/emulator.md.',
  ],
} as const satisfies CommandSpec

type EmulateName = NameOf<typeof emulateSpec>

export interface Emulation {
  readonly server: Server
  readonly emulator: Emulator
  readonly devices: Devices
  stop(): Promise<void>
}

/** Runs until SIGTERM or SIGINT. Exit 0 after an orderly stop, 1 if it cannot start. */
export async function emulate(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<EmulateName>(emulateSpec, args, env)
  const store = given.text('store')
  if (store !== 'memory:')
    given.problem('store', 'an emulator keeps nothing: only memory: is taken; to keep things run: downlink serve')
  const fleet = given.text('fleet') ?? demoFleet()
  if (fleet === null) given.problem('fleet', 'the demo fleet is not installed; name a file')
  const config = readConfig(given, fleet ?? '')
  const problems = [...given.problems, ...(config.ok ? [] : config.problems)]
  if (!config.ok || problems.length > 0) return usageError(terminal, emulateSpec, problems)
  const log = makeLog(config.config.logLevel)
  const { signal } = stopSignals(() => process.exit(Exit.failure))
  let emulation: Emulation
  try {
    emulation = await startEmulation(config.config, log, !given.flag('no-devices'))
  } catch (error) {
    terminal.problem(startFailure(error, config.config))
    return Exit.failure
  }
  terminal.line(`listening http ${emulation.server.httpUrl}`)
  terminal.line(`listening mqtt ${emulation.server.mqttUrl}`)
  const all = emulation.devices.all()
  const named = all.slice(0, SHOWN).map(({ device }) => device.deviceKey)
  const more = all.length > SHOWN ? ` and ${all.length - SHOWN} more` : ''
  terminal.line(all.length === 0 ? 'simulating no device' : `simulating ${named.join(', ')}${more}`)
  terminal.line('ready')
  await aborted(signal)
  leaveInTime(log)
  await emulation.stop()
  return Exit.ok
}

const SHOWN = 5

/** The demo fleet, which lies beside the program. */
function demoFleet(): string | null {
  const places = ['../examples/fleet.yaml', '../../examples/fleet.yaml'].map(path =>
    fileURLToPath(new URL(path, import.meta.url)),
  )
  return places.find(path => existsSync(path)) ?? null
}

/** As a server's, but for what makes it an emulator; what the environment says for servers beyond the options is not looked at. */
function readConfig(given: Given<EmulateName>, fleet: string): ReturnType<typeof readServeConfig> {
  const options = { http: given.text('http'), mqtt: given.text('mqtt'), 'log-level': given.text('log-level') }
  const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`)
  return readServeConfig([...args, '--store=memory:', '--auth=open', `--fleet=${fleet}`], {})
}

/** Resolves when every simulated device is connected. */
export async function startEmulation(config: ServeConfig, log: Logger, simulates: boolean): Promise<Emulation> {
  const clock = new VirtualClock(machine)
  const logins: { mqtt: URL | null } = { mqtt: null }
  const devices = new Devices(simulates ? await devicesOf(config, log, clock, () => logins.mqtt) : [], clock)
  const emulator = new Emulator(clock, devices)
  const server = await startServer(config, log, {
    clock,
    routes: emulator.routes,
    watch: parts => emulator.watch(parts),
  })
  try {
    logins.mqtt = new URL(server.mqttUrl)
    await devices.start()
  } catch (error) {
    await server.stop()
    throw error
  }
  const stop = async (): Promise<void> => {
    await devices.stop()
    await server.stop()
  }
  return { server, emulator, devices, stop }
}

/** Those that can log in by themselves and speak JSON: not behind a gateway, not disabled. */
async function devicesOf(
  config: ServeConfig,
  log: Logger,
  clock: Clock,
  at: () => URL | null,
): Promise<EmulatedDevice[]> {
  const read = await loadFleetFile(config.fleetFile ?? '')
  // What is wrong with the file is told by the server, which applies it.
  if (!read.ok) return []
  const found: EmulatedDevice[] = []
  for (const { products, devices } of read.file.organizations) {
    const speaking = new Set(
      products.filter(({ dataFormat }) => dataFormat === 'Json').map(({ productKey }) => productKey),
    )
    for (const device of devices)
      if (!device.disabled && device.gateway === null && speaking.has(device.productKey))
        found.push(emulated(device, read.file, log, clock, at))
  }
  if (found.length > EMULATOR_DEVICES_MAX)
    log.warn(
      { devices: found.length, simulated: EMULATOR_DEVICES_MAX },
      'the fleet has more devices than are simulated',
    )
  return found.slice(0, EMULATOR_DEVICES_MAX)
}

function emulated(
  { assetId, productKey, deviceKey, deviceSecret }: FleetFile['organizations'][number]['devices'][number],
  file: FleetFile,
  log: Logger,
  clock: Clock,
  at: () => URL | null,
): EmulatedDevice {
  const model = modelOf(file, productKey)
  return {
    assetId,
    productKey,
    deviceKey,
    make: (behaviour, told, pace) => {
      const server = at()
      const host = server?.hostname.replace(/^\[|\]$/g, '') ?? '127.0.0.1'
      const login: Login = {
        ...{ host, port: Number(server?.port), productKey, deviceKey, deviceSecret: deviceSecret.reveal() },
        // Time leaps: it must not be taken for dead by that.
        keepAliveS: 0,
      }
      const outputs = (serviceId: string, inputs: Readonly<Record<string, unknown>>) =>
        plausibleOutputs(model?.services.get(serviceId), inputs, clock.now())
      const running = Object.defineProperties(
        { outputs, leave: null },
        Object.getOwnPropertyDescriptors(behaviour),
      ) as ConstructorParameters<typeof SimulatedDevice>[1]
      return new SimulatedDevice(login, running, witness(log, told), pace)
    },
  }
}

function witness(log: Logger, told: { connected(): void; disconnected(): void }): Witness {
  const nothing = (): void => undefined
  return {
    connected: () => told.connected(),
    disconnected: () => told.disconnected(),
    refused: ({ deviceKey }, returnCode) => {
      log.warn({ deviceKey, returnCode }, 'a simulated device is refused')
      told.disconnected()
    },
    received: nothing,
    answered: nothing,
    acknowledged: nothing,
    ignored: nothing,
  }
}
