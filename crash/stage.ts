// What every scenario stands on: a place, a server that is started and ended on its files, the caller, the devices, the ledger that judges them.
// Not here: the run of random kills (kills.ts), which has its own order of things.

import { setTimeout as sleep } from 'node:timers/promises'
import { Caller } from './caller.ts'
import { Chance } from './chance.ts'
import { Device, type Manner } from './device.ts'
import type { Connected, FleetSize } from './fleet.ts'
import { Ledger } from './ledger.ts'
import { look, readAll, type Shown, send, type Wire } from './load.ts'
import { integrityOf, type Launch, Place, type Server } from './place.ts'

/** Something is not as it should be. */
export class Wrong extends Error {
  override readonly name = 'Wrong'
}

export function expectThat(holds: boolean, message: string): asserts holds {
  if (!holds) throw new Wrong(message)
}

/** ms for what takes no time to speak of, on a machine that is busy */
const PATIENCE_MS = 15_000
const LONG_TTL_S = 3_600

export class Stage implements Wire {
  readonly ledger = new Ledger(() => performance.now())
  readonly caller = new Caller()
  readonly place: Place
  readonly signal: AbortSignal
  readonly #devices: Device[] = []
  #server: Server | null = null

  private constructor(main: string, size: FleetSize, signal: AbortSignal) {
    this.place = new Place(main, size)
    this.signal = signal
  }

  /** Plays a scenario and cleans up. What the ledger holds against the server is wrong even where the scenario saw nothing. */
  static async play(
    main: string,
    size: FleetSize,
    signal: AbortSignal,
    act: (stage: Stage) => Promise<string>,
  ): Promise<string> {
    const stage = new Stage(main, size, signal)
    try {
      const told = await act(stage)
      const { faults } = stage.ledger
      expectThat(faults.length === 0, faults.map(({ fault, text }) => `${fault}: ${text}`).join('\n'))
      return told
    } finally {
      await Promise.all(stage.#devices.map(device => device.stop()))
      stage.caller.close()
      await stage.place.close()
    }
  }

  get server(): Server {
    expectThat(this.#server !== null, 'no server is running')
    return this.#server
  }

  async up(): Promise<string> {
    this.signal.throwIfAborted()
    return this.server.httpUrl
  }

  async start(launch: Launch = {}): Promise<Server> {
    const isFirst = this.#server === null
    const server = await this.place.start(launch)
    this.#server = server
    if (isFirst) await this.caller.login(server.httpUrl)
    for (const device of this.#devices) device.serverAt(server.mqttUrl)
    return server
  }

  async kill(): Promise<void> {
    await this.server.kill()
    for (const device of this.#devices) device.serverAt(null)
  }

  /** Ends it in order, and asks SQLite whether the database is sound. */
  async stop(data?: string): Promise<void> {
    const code = await this.server.stop()
    for (const device of this.#devices) device.serverAt(null)
    expectThat(code === 0, `SIGTERM ended it with ${code}: ${this.server.stderr}`)
    const integrity = integrityOf(this.place.database(data))
    expectThat(integrity === 'ok', `the database is not sound: ${integrity}`)
  }

  /** The nth device comes, and comes again whenever it loses its connection. */
  device(n: number, manner: Manner): Device {
    return this.#comes(this.place.fleet.devices[n - 1], manner)
  }

  /** The same for a gateway and those behind it. */
  gateway(n: number, manner: Manner): Device {
    return this.#comes(this.place.fleet.gateways[n - 1], manner)
  }

  #comes(name: Connected | undefined, manner: Manner): Device {
    expectThat(name !== undefined, 'there is such a device')
    const device = new Device(name, manner, this.ledger, new Chance(this.#devices.length))
    this.#devices.push(device)
    device.serverAt(this.server.mqttUrl)
    return device
  }

  /** Sends so many cached commands one after the other, each of which must be accepted; their ids. */
  async queue(assetId: string, count: number, timeoutS = 30): Promise<string[]> {
    const ids: string[] = []
    for (let i = 0; i < count; i += 1) {
      const id = await send(this, assetId, { pendingTtlS: LONG_TTL_S, timeoutS })
      expectThat(id !== null, `command ${i + 1} of ${count} was not accepted`)
      ids.push(id)
    }
    return ids
  }

  /** All records of the device, oldest first. */
  async records(assetId: string): Promise<Shown[]> {
    const records = await readAll(this, assetId)
    expectThat(records !== null, `the search of ${assetId} was not answered`)
    return records.reverse()
  }

  async becomes(assetId: string, id: string, state: number, withinMs = PATIENCE_MS): Promise<void> {
    await this.until(
      async () => (await look(this, assetId, id)) === state,
      `command ${id} is in state ${state}`,
      withinMs,
    )
  }

  async until(holds: () => Promise<boolean> | boolean, what: string, withinMs = PATIENCE_MS): Promise<void> {
    const end = performance.now() + withinMs
    while (!(await holds())) {
      expectThat(performance.now() < end, `not within ${withinMs} ms: ${what}`)
      await sleep(20, undefined, { signal: this.signal })
    }
  }
}
