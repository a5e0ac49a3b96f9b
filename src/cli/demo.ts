// `downlink demo`: the story of a queue in the terminal, with nothing pretended: a server, signed HTTP, a device over MQTT, an SQLite file.
// The end is checked, not assumed. Not here: how any of these parts work.

import { randomBytes, randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { idMs, State, stateName } from '../core/command.ts'
import { isObject } from '../core/json.ts'
import { DEMO_PATIENCE_MS } from '../core/limits.ts'
import { CallFailed, Client } from './client.ts'
import { readServeConfig } from './config.ts'
import { Printer } from './device.ts'
import { makeLog } from './log.ts'
import { type CommandSpec, type Environment, Given } from './options.ts'
import { startServer } from './serve.ts'
import { commandTable, readCommands, readNotCancelled, type ShownCommand } from './shown.ts'
import { pause, stopSignals } from './signals.ts'
import { type Login, type ReceivedCommand, SimulatedDevice } from './simulator.ts'
import { Exit, paint, type Terminal, usageError } from './terminal.ts'

export const demoSpec = {
  name: 'demo',
  summary: 'See it work: five commands for a device that is away, some cancelled, some expired, one delivered.',
  operand: null,
  options: [],
  notes: ['Everything happens on this machine, on free ports, in a temporary directory that is removed at the end.'],
} as const satisfies CommandSpec

/** s; long enough to see them queued, short enough to wait for */
const SHORT_TTL_S = 2
const LONG_TTL_S = 600

/** The five commands: what is set, for how long it is kept, and how it must end. */
const plot = [
  { setpoint: 18, ttlS: LONG_TTL_S, end: State.cancelled },
  { setpoint: 19, ttlS: SHORT_TTL_S, end: State.expired },
  { setpoint: 20, ttlS: LONG_TTL_S, end: State.cancelled },
  { setpoint: 21, ttlS: LONG_TTL_S, end: State.succeeded },
  { setpoint: 22, ttlS: SHORT_TTL_S, end: State.expired },
] as const

const device = { productKey: 'pump', deviceKey: 'pump_01' }
const address = { orgId: 'demo', ...device }

/** Exit 0 only if every command ended as the story says and the device received exactly the one that it should. */
export async function demo(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given(demoSpec, args, env)
  if (given.problems.length > 0) return usageError(terminal, demoSpec, given.problems)
  const directory = await mkdtemp(join(tmpdir(), 'downlink-demo-'))
  const remove = (): void => rmSync(directory, { recursive: true, force: true })
  const { signal, release } = stopSignals(() => {
    remove()
    process.exit(Exit.failure)
  })
  try {
    const faults = await tell(directory, terminal, signal)
    for (const fault of faults) terminal.problem(`downlink demo: ${fault}`)
    return faults.length === 0 ? Exit.ok : Exit.failure
  } catch (error) {
    if (!(error instanceof CallFailed || error instanceof Interrupted)) throw error
    terminal.problem(`downlink demo: ${error.message}`)
    return Exit.failure
  } finally {
    release()
    remove()
  }
}

class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

/** Starts the server, tells the story, stops the server whatever happened. Returns what did not end as told. */
async function tell(directory: string, terminal: Terminal, signal: AbortSignal): Promise<string[]> {
  const secrets = { appKey: randomUUID(), appSecret: randomUUID(), deviceSecret: randomBytes(16).toString('hex') }
  const fleetFile = join(directory, 'fleet.json')
  await writeFile(fleetFile, JSON.stringify(fleetOf(secrets)), { mode: 0o600 })
  const store = `sqlite:${join(directory, 'downlink.db')}`
  const options = { http: '127.0.0.1:0', mqtt: '127.0.0.1:0', store, fleet: fleetFile, 'log-level': 'warn' }
  const read = readServeConfig(
    Object.entries(options).map(([name, value]) => `--${name}=${value}`),
    {},
  )
  if (!read.ok) return [...read.problems]
  const server = await startServer(read.config, makeLog(read.config.logLevel))
  try {
    const client = new Client(new URL(server.httpUrl), secrets)
    const { hostname, port } = new URL(server.mqttUrl)
    const login = { ...device, host: hostname, port: Number(port), deviceSecret: secrets.deviceSecret }
    const story = new Story(terminal, signal, client)
    story.say(`A server starts, with an empty database: ${server.httpUrl}, ${server.mqttUrl}`)
    return await story.tell(login)
  } finally {
    await server.stop()
  }
}

class Story {
  readonly #terminal: Terminal
  readonly #signal: AbortSignal
  readonly #client: Client
  readonly #faults: string[] = []
  #steps = 0

  constructor(terminal: Terminal, signal: AbortSignal, client: Client) {
    this.#terminal = terminal
    this.#signal = signal
    this.#client = client
  }

  say(text: string): void {
    if (this.#signal.aborted) throw new Interrupted('interrupted')
    this.#steps += 1
    this.#terminal.line('')
    this.#terminal.line(paint(this.#terminal, 'bold', `${this.#steps}. ${text}`))
  }

  async tell(login: Login): Promise<string[]> {
    this.say(
      `Its one device, ${device.deviceKey}, is away. Five commands are queued for it over signed HTTP: ` +
        `the second and the fifth for ${SHORT_TTL_S} s only, the others for ${LONG_TTL_S / 60} minutes.`,
    )
    const ids: string[] = []
    for (const { setpoint, ttlS } of plot) ids.push(await this.#queue(setpoint, ttlS))
    const [first = '', , third = '', fourth = ''] = ids
    this.#show(await this.#list())

    this.say('The first is cancelled by its id. Cancelling it again finds that it is cancelled.')
    await this.#cancel(first, null)
    await this.#cancel(first, State.cancelled)

    this.say(`The third is cancelled too; the second and the fifth were for ${SHORT_TTL_S} s only, and expire.`)
    await this.#cancel(third, null)
    await this.#reach(idMs(ids.at(-1) ?? '') + SHORT_TTL_S * 1_000)
    this.#show(await this.#list())

    this.say('The device connects. What is left is sent to it, and answered.')
    const received = await this.#connect(login)
    this.#check(
      received.join() === fourth,
      `the device should have received ${fourth} and nothing else, not ${received}`,
    )

    this.say('Now it is too late to cancel that one, and the answer says so.')
    await this.#cancel(fourth, State.succeeded)

    this.say('How the five ended:')
    const final = await this.#list()
    this.#show(final)
    for (const [index, { end }] of plot.entries()) {
      const state = final.find(({ commandId }) => commandId === ids[index])?.state
      const is = state === undefined ? 'not on record' : stateName[state]
      this.#check(state === end, `command ${index + 1} should have ended ${stateName[end]} and is ${is}`)
    }
    if (this.#faults.length === 0)
      this.#terminal.line('\nAs told: one was delivered, and the other four never left the server.')
    return this.#faults
  }

  #check(holds: boolean, otherwise: string): void {
    if (!holds) this.#faults.push(otherwise)
  }

  #show(commands: readonly ShownCommand[]): void {
    for (const line of commandTable(this.#terminal, commands)) this.#terminal.line(`   ${line}`)
  }

  async #call(method: 'GET' | 'POST', query: Readonly<Record<string, string>>, body: unknown) {
    const answer = await this.#client.call(
      method,
      { ...address, ...query },
      body === null ? null : JSON.stringify(body),
      0,
    )
    if (answer.code !== 0) throw new CallFailed(`${query.action} was refused: ${answer.code} ${answer.msg}`)
    return answer
  }

  async #queue(setpoint: number, ttlS: number): Promise<string> {
    const query = { action: 'setMeasurepoint', measurepointId: 'setpoint', pendingTtl: String(ttlS), timeout: '10' }
    const { data } = await this.#call('POST', query, { value: setpoint })
    if (!isObject(data) || typeof data.commandId !== 'string') throw new CallFailed('the answer has no commandId')
    return data.commandId
  }

  /** Oldest first, as they were queued. */
  async #list(): Promise<ShownCommand[]> {
    return readCommands((await this.#call('POST', { action: 'search' }, {})).data).reverse()
  }

  /** `already` null: it must be cancelled by this call; else it must not, because it is in that state. */
  async #cancel(commandId: string, already: State | null): Promise<void> {
    const { data, fields } = await this.#call('POST', { action: 'cancel', commandId }, null)
    const cancelled = readCommands(data).map(command => command.commandId)
    const others = readNotCancelled(fields.notCancelled)
    const [other] = others
    const said = cancelled.includes(commandId)
      ? 'cancelled'
      : `nothing to cancel, it is ${other ? stateName[other.state] : 'unknown'}`
    this.#terminal.line(`   ${commandId} ${said}`)
    const asTold =
      already === null ? cancelled.join() === commandId : cancelled.length === 0 && other?.state === already
    this.#check(asTold, `cancelling ${commandId} should have found it ${stateName[already ?? State.created]}`)
  }

  /** Waits for an instant: timers may fire a little before their time. */
  async #reach(instant: number): Promise<void> {
    while (Date.now() < instant && !this.#signal.aborted) await pause(instant - Date.now(), this.#signal)
  }

  /** Is the device until it has answered, and returns the ids of what it received. */
  async #connect(login: Login): Promise<string[]> {
    const watcher = new Watcher({ ...this.#terminal, line: text => this.#terminal.line(`   ${text}`) })
    const behaviour = { answer: 'ok', code: 200, delayMs: 0, leave: null, outputs: () => ({}) } as const
    const simulated = new SimulatedDevice(login, behaviour, watcher)
    simulated.start()
    await pause(DEMO_PATIENCE_MS, AbortSignal.any([watcher.over, this.#signal]))
    await simulated.stop()
    return watcher.ids
  }
}

/** Prints like any simulated device, keeps the ids of what arrived, and aborts `over` when the server has the first answer. */
class Watcher extends Printer {
  readonly ids: string[] = []
  readonly #over = new AbortController()
  readonly over = this.#over.signal

  override received(login: Login, command: ReceivedCommand): void {
    this.ids.push(command.commandId)
    super.received(login, command)
  }

  override acknowledged(): void {
    this.#over.abort()
  }
}

function fleetOf(secrets: { appKey: string; appSecret: string; deviceSecret: string }): object {
  const { appKey, appSecret, deviceSecret } = secrets
  const grants = [{ resource: 'Asset', actions: ['Control', 'Read'], scope: 'all' }]
  const setpoint = { name: { defaultValue: 'Setpoint' }, dataType: 'DOUBLE', dataDefinition: { min: 5, max: 35 } }
  const organization = {
    orgId: address.orgId,
    applications: [{ appKey, appSecret, grants }],
    models: [{ modelId: 'pump', measurepoints: { setpoint } }],
    products: [{ productKey: device.productKey, productSecret: randomBytes(16).toString('hex'), modelId: 'pump' }],
    devices: [{ assetId: 'pump01', ...device, deviceSecret }],
  }
  return { organizations: [organization] }
}
