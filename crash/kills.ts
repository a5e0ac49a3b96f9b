// The run: callers and devices at work, the server killed again and again at random moments, and the count at the end.
// Not here: what counts as a fault (ledger.ts), what callers and devices do (load.ts, device.ts).

import { setTimeout as sleep } from 'node:timers/promises'
import { Caller } from './caller.ts'
import { Chance } from './chance.ts'
import { Device } from './device.ts'
import { Ledger, type Totals } from './ledger.ts'
import { apply, cancel, look, type Wire } from './load.ts'
import { integrityOf, Place, type Server } from './place.ts'
import type { Findings } from './report.ts'
import { explainedOf, faultsOf, progressOf, readEverything, settle } from './verdict.ts'

export interface RunOptions {
  /** the built program */
  readonly main: string
  readonly kills: number
  readonly seed: number
  readonly devices: number
  readonly gateways: number
  /** behind each gateway */
  readonly subDevices: number
  readonly callers: number
  /** calls the run off */
  readonly signal: AbortSignal
  readonly say: (line: string) => void
}

export interface RunResult extends Findings {
  readonly kills: number
  readonly restartMedianMs: number
  /** the files, where they were kept because something is wrong */
  readonly kept: string | null
}

/** How a life of the server ends: in the middle of the load, of cancels, of all devices coming back at once, of sub-devices logging in and out, or while it starts. */
type Ending = 'load' | 'cancels' | 'storm' | 'logins' | 'start'
/** A life lasts until callers and devices have been told so much, so that a busy machine does not make idle lives; or so long at most. */
const LIFE_NEWS = { from: 0, to: 250 }
const LIFE_MAX_MS = 2_500
/** from the burst of cancels, connects or logins to the kill */
const STRIKE_MS = { from: 0, to: 60 }
const START_STRIKE_MS = { from: 5, to: 350 }
const SETTLE_EVERY_MS = 100
/** after yet another restart with nothing open: what would be sent again would come within that time */
const QUIET_MS = 1_000
const PROGRESS_EVERY = 5

export async function kills(options: RunOptions): Promise<RunResult> {
  const run = new Run(options)
  let keep = true
  try {
    const result = await run.play()
    keep = result.kept !== null
    return result
  } catch (error) {
    options.say(`the files are kept in ${run.folder}`)
    throw error
  } finally {
    await run.close(keep)
  }
}

class Run implements Wire {
  readonly ledger = new Ledger(() => performance.now())
  readonly caller = new Caller()
  readonly #options: RunOptions
  readonly #chance: Chance
  readonly #place: Place
  readonly #devices: readonly Device[]
  readonly #restartsMs: number[] = []
  #server: Server | null = null
  #waiting: ((httpUrl: string) => void)[] = []
  #kills = 0

  constructor(options: RunOptions) {
    this.#options = options
    this.#chance = new Chance(options.seed)
    this.#place = new Place(options.main, options)
    this.#devices = this.#place.fleet.connected.map(
      (name, i) => new Device(name, 'lively', this.ledger, new Chance(options.seed + 1_000 + i)),
    )
  }

  get folder(): string {
    return this.#place.folder
  }

  async play(): Promise<RunResult> {
    await this.#start()
    await this.caller.login(await this.up())
    let stopping = false
    const ids = Array.from({ length: this.#options.callers }, (_, i) => i)
    const loads = ids.map(i =>
      apply(this, this.#place.fleet.all, new Chance(this.#options.seed + 1 + i), () => stopping),
    )
    const audit = this.#audit(() => stopping)
    const work = Promise.all([...loads, audit])
    // A caller that fails is a fault of the harness: it ends the run at once, and not as a late surprise.
    const failed = new Promise<never>((_, reject) => work.catch(reject))
    await Promise.race([this.#killAll(), failed])
    stopping = true
    await work
    await this.#finish()
    return this.#result()
  }

  /** @param keep leaves the files, to be looked at */
  async close(keep: boolean): Promise<void> {
    await Promise.all(this.#devices.map(device => device.stop()))
    this.caller.close()
    await this.#place.close(keep)
  }

  async up(): Promise<string> {
    this.#options.signal.throwIfAborted()
    const { signal } = this.#options
    if (this.#server !== null) return this.#server.httpUrl
    return new Promise((resolve, reject) => {
      const off = () => reject(signal.reason)
      signal.addEventListener('abort', off, { once: true })
      this.#waiting.push(httpUrl => {
        signal.removeEventListener('abort', off)
        resolve(httpUrl)
      })
    })
  }

  async #start(): Promise<void> {
    const server = await this.#place.start()
    this.#restartsMs.push(performance.now() - server.startedAt)
    this.#server = server
    void server.ended.then(({ code, signal, stderr }) => {
      if (!server.isEnding)
        this.ledger.contradiction(`the server ended by itself with ${code ?? signal}: ${stderr.slice(-1_000)}`)
    })
    for (const device of this.#devices) device.serverAt(server.mqttUrl)
    for (const resolve of this.#waiting.splice(0)) resolve(server.httpUrl)
  }

  async #kill(): Promise<void> {
    const server = this.#server
    if (server === null) return
    await server.kill()
    this.#kills += 1
    this.#gone(server)
  }

  /** The server is no more: callers wait, devices try again, and what it logged as an error is looked at. */
  #gone(server: Server): void {
    this.#server = null
    for (const device of this.#devices) device.serverAt(null)
    const errors = server.stderr.split('\n').filter(line => /"level":(50|60)/.test(line))
    for (const line of errors) this.ledger.contradiction(`the server logged: ${line.slice(0, 500)}`)
  }

  async #killAll(): Promise<void> {
    const { kills, signal, say } = this.#options
    let nextProgress = PROGRESS_EVERY
    while (this.#kills < kills) {
      const ending = this.#chance.oneOf<Ending>([
        'load',
        'load',
        'load',
        'cancels',
        'cancels',
        'storm',
        'storm',
        'logins',
        'start',
      ])
      await this.#live(this.ledger.newsCount + this.#between(LIFE_NEWS))
      const burst = this.#strike(ending)
      await sleep(this.#between(STRIKE_MS), undefined, { signal })
      await this.#kill()
      await burst
      if (ending === 'start' && this.#kills < kills) await this.#killStarting()
      await this.#start()
      if (this.#kills < nextProgress) continue
      say(`${this.#kills} kills: ${progressOf(this.ledger, this.#place.fleet)}`)
      nextProgress = this.#kills + PROGRESS_EVERY
    }
  }

  async #live(untilNews: number): Promise<void> {
    const until = performance.now() + LIFE_MAX_MS
    while (this.ledger.newsCount < untilNews && performance.now() < until)
      await sleep(10, undefined, { signal: this.#options.signal })
  }

  /** What is to be under way when the server dies; resolves when its answers have come or will not come. */
  async #strike(ending: Ending): Promise<void> {
    if (ending === 'cancels') await Promise.all(this.#place.fleet.all.map(({ assetId }) => cancel(this, assetId, null)))
    if (ending === 'storm') for (const device of this.#devices) device.rush()
    if (ending === 'logins') for (const device of this.#devices) device.shake()
  }

  /** Recovery, migrations and the fleet are interrupted too, at any point. */
  async #killStarting(): Promise<void> {
    const server = this.#place.launch()
    await sleep(this.#between(START_STRIKE_MS))
    await server.kill()
    this.#kills += 1
  }

  #between({ from, to }: { readonly from: number; readonly to: number }): number {
    return this.#chance.whole(from, to)
  }

  /** Looks again, one life of the server later, at what was acknowledged: what a kill has swallowed shows while the run is going on. */
  async #audit(stopping: () => boolean): Promise<void> {
    let seen = 0
    let lastKill = 0
    while (!stopping()) {
      await sleep(20)
      if (this.#kills === lastKill) continue
      lastKill = this.#kills
      const known = this.ledger.acknowledged()
      const fresh = known.slice(seen)
      seen = known.length
      for (const { assetId, id } of fresh) {
        if (stopping()) return
        await look(this, assetId, id)
      }
    }
  }

  /** The last restart: everything must become final, and be what was told; and a further restart must bring nothing new. */
  async #finish(): Promise<void> {
    const { say } = this.#options
    await this.#kill()
    for (const device of this.#devices) device.manner = 'obedient'
    await this.#start()
    say(`last restart done; ${this.#place.fleet.all.length} devices stay and answer`)
    await settle(this, this.#place.fleet, this.#devices, SETTLE_EVERY_MS, this.#options.signal)
    await this.#kill()
    await this.#start()
    await settle(this, this.#place.fleet, this.#devices, SETTLE_EVERY_MS, this.#options.signal)
    await sleep(QUIET_MS, undefined, { signal: this.#options.signal })
    this.ledger.close(await readEverything(this, this.#place.fleet))
    await this.#stopInOrder()
  }

  /** After an orderly stop the database must be sound, by SQLite's own judgement. */
  async #stopInOrder(): Promise<void> {
    const server = this.#server
    if (server === null) return
    const code = await server.stop()
    if (code !== 0) this.ledger.contradiction(`SIGTERM ended it with ${code}: ${server.stderr.slice(-500)}`)
    this.#gone(server)
    const unsound = integrityOf(this.#place.database())
    if (unsound !== 'ok') this.ledger.contradiction(`the database is not sound: ${unsound}`)
  }

  #totals(areBehindGateways: boolean): Totals {
    const { fleet } = this.#place
    const ids = fleet.all.map(({ assetId }) => assetId)
    return this.ledger.totals(ids.filter(assetId => fleet.isBehindGateway(assetId) === areBehindGateways))
  }

  #result(): RunResult {
    const sorted = [...this.#restartsMs].sort((a, b) => a - b)
    return {
      faults: faultsOf(this.ledger),
      explained: explainedOf(this.ledger),
      totals: { direct: this.#totals(false), behindGateways: this.#totals(true) },
      kills: this.#kills,
      restartMedianMs: Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0),
      kept: this.ledger.faults.length > 0 ? this.#place.folder : null,
    }
  }
}
