// The hour before the screenshots: devices come and go, answer, fail and are slow, and everything is written into a store, in which a server finds it afterwards.
// The emulator's clock leaps through it in some seconds. The server that comes after goes on from there, as one does whose machine's clock was set back: an
// hour ahead of the machine. Not here: what is there now (present.ts).

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pino } from 'pino'
import { Downlink, DownlinkError } from '../../packages/client/src/index.ts'
import { readServeConfig } from '../../src/cli/config.ts'
import { startEmulation } from '../../src/cli/emulate.ts'
import { type Faults, noFaults } from '../../src/emulator/devices.ts'
import { ORG } from '../test/rig/fleet.ts'
import { Chance } from './chance.ts'
import { byKey, disabled, fleet, fleetFile, never, type SceneDevice } from './fleet.ts'
import { jobs } from './jobs.ts'
import { orderFor, send } from './orders.ts'

const MINUTES = 62
/** s between two moments at which something is done */
const STEP_S = 10
const STEPS_PER_MINUTE = 60 / STEP_S
/** commands in ten seconds, at the quietest and at the busiest */
const QUIET = 2
const BUSY = 7
/** part of these moments at which somebody takes something back */
const TAKEN_BACK = 0.5
/** s for which commands wait, each as likely */
const WAITS_S = [120, 300, 900, 3_600]

/** Who has which faults, from which minute on. */
const troubles: readonly { readonly minute: number; readonly who: RegExp; readonly faults: Partial<Faults> }[] = [
  { minute: 9, who: /^nt-ahu-05$/, faults: { mute: true } },
  { minute: 12, who: /^lab-ahu-0[23]$/, faults: { errorCode: 1203 } },
  { minute: 17, who: /^nt-ahu-05$/, faults: {} },
  { minute: 21, who: /^lab-pump-01$/, faults: { offline: true } },
  // The south tower is cut off, and comes back.
  { minute: 30, who: /^st-(?!ev)/, faults: { offline: true } },
  { minute: 38, who: /^st-/, faults: {} },
  { minute: 40, who: /^lab-ahu-02$/, faults: {} },
  { minute: 44, who: /^hs-/, faults: { offline: true } },
  { minute: 51, who: /^nt-pump-04$/, faults: { mute: true } },
  { minute: 52, who: /^nt-pump-04$/, faults: {} },
  { minute: 55, who: /^dep-ev-0[29]$/, faults: { offline: true } },
  { minute: 56, who: /^nt-ahu-05$/, faults: { mute: true } },
]

/** Those that are away when the hour is over, with the commands that wait for them. */
export const away: ReadonlyMap<string, number> = new Map([
  ['hs-pump-01', 24],
  ['hs-pump-02', 13],
  ['hs-pump-03', 9],
  ['hs-pump-04', 4],
  ['hs-ahu-01', 6],
  ['hs-ahu-02', 3],
  ['hs-meter-01', 1],
  ['lab-pump-01', 11],
  ['dep-ev-02', 2],
  ['dep-ev-09', 0],
])

/** Commands in a step of this minute: two waves in an hour, and nobody at the beginning. */
const busyness = (minute: number): number =>
  Math.round(QUIET + (BUSY - QUIET) * (0.5 - 0.5 * Math.cos((minute / MINUTES) * 4 * Math.PI)))

/** Writes downlink.db, and the key of its secrets, into the folder. */
export async function liveAnHour(folder: string): Promise<void> {
  const file = join(folder, 'hour.json')
  writeFileSync(file, fleetFile('connectable'))
  const store = `sqlite:${join(folder, 'downlink.db')}`
  const options = ['--http', '0', '--mqtt', '0', '--fleet', file, '--store', store, '--auth', 'open']
  const read = readServeConfig(options, {})
  if (!read.ok) throw new Error(read.problems.join('\n'))
  const log = pino({ level: 'silent' })
  const emulation = await startEmulation(read.config, log, true)
  try {
    const { devices, emulator } = emulation
    const client = new Downlink({ server: emulation.server.httpUrl, orgId: ORG, open: true })
    const hour = new Hour(client, (assetId, faults) => devices.setFaults(assetId, faults))
    await hour.begin()
    for (let minute = 0; minute < MINUTES; minute += 1)
      for (let step = 0; step < STEPS_PER_MINUTE; step += 1) {
        await hour.step(minute, step === 0)
        await emulator.advance(STEP_S * 1_000)
      }
  } finally {
    await emulation.stop()
  }
}

class Hour {
  readonly #chance = new Chance(20_261_123)
  readonly #client: Downlink
  readonly #setFaults: (assetId: string, faults: Faults) => Promise<boolean>
  readonly #there = fleet.filter(({ deviceKey }) => !never.has(deviceKey) && !disabled.has(deviceKey))
  /** how long each takes for an answer, which each has from the beginning */
  readonly #delays = new Map<string, number>()
  /** commands that are still to be left waiting */
  readonly #owed = new Map(away)

  constructor(client: Downlink, setFaults: (assetId: string, faults: Faults) => Promise<boolean>) {
    this.#client = client
    this.#setFaults = setFaults
  }

  async begin(): Promise<void> {
    for (const device of this.#there) {
      this.#delays.set(device.deviceKey, this.#chance.from(120, 2_400))
      await this.#trouble(device, {})
    }
  }

  async #trouble({ assetId, deviceKey }: SceneDevice, faults: Partial<Faults>): Promise<void> {
    await this.#setFaults(assetId, { ...noFaults, delayMs: this.#delays.get(deviceKey) ?? 0, ...faults })
  }

  async step(minute: number, isFirst: boolean): Promise<void> {
    const now = isFirst ? troubles.filter(trouble => trouble.minute === minute) : []
    for (const { who, faults } of now)
      for (const device of this.#there) if (who.test(device.deviceKey)) await this.#trouble(device, faults)
    await Promise.all(Array.from({ length: busyness(minute) }, () => this.#somebody(minute)))
    if (this.#chance.is(TAKEN_BACK)) await this.#takeBack()
    if (minute > 45) await this.#leaveWaiting(minute)
    if (isFirst) for (const job of jobs) if (job.minute === minute) await this.#client.jobs.create(job.order)
  }

  /** Someone sends something to a device; a few want it now or never. */
  async #somebody(minute: number): Promise<void> {
    const device = this.#chance.of(this.#there.filter(({ deviceKey }) => minute < 44 || !away.has(deviceKey)))
    const options = this.#chance.is(0.08) ? {} : { pendingTtl: this.#chance.of(WAITS_S) }
    const isInstant = options.pendingTtl === undefined
    const sent = send(this.#client, device, orderFor(device, this.#chance), { ...options, timeout: 20 })
    // An instant command is answered when time has gone on, and a device that is away refuses it.
    if (isInstant) void sent.catch(refused)
    else await sent.catch(refused)
  }

  /** What waits where most does: the newest of it, or all. */
  async #takeBack(): Promise<void> {
    const deepest = await this.#client.topDevices('waiting', { limit: 20 })
    const device = deepest.find(({ deviceKey, waiting }) => waiting > 0 && !away.has(deviceKey))
    if (device === undefined) return
    const { commands } = await this.#client.queue(device.assetId)
    const last = commands.at(-1)
    if (this.#chance.is(0.3)) await this.#client.cancelAll({ assetId: device.assetId })
    else if (last !== undefined) await this.#client.cancel({ assetId: device.assetId }, last.commandId)
  }

  /** So that the queues of those who are away have grown over time. */
  async #leaveWaiting(minute: number): Promise<void> {
    for (const [deviceKey, owed] of this.#owed) {
      const all = away.get(deviceKey) ?? 0
      const due = Math.ceil((all * (MINUTES - minute)) / (MINUTES - 46))
      if (owed < due || owed === 0) continue
      const device = byKey(deviceKey)
      const options = { pendingTtl: this.#chance.of([7_200, 14_400, 86_400]), timeout: 30 }
      await send(this.#client, device, orderFor(device, this.#chance), options)
      this.#owed.set(deviceKey, owed - 1)
    }
  }
}

/** A device that is away, or that says no, is part of the scene; anything else is a mistake in it. */
function refused(error: unknown): void {
  if (!(error instanceof DownlinkError) || error.outcome !== 'onRecord') throw error
}
