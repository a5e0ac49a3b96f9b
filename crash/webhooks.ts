// The harness of the stream: commands are sent while the server, and the receiver of a webhook, are killed (kill -9) at random; in the end every change that
// is on record must have arrived, at the webhook and over the stream of events, of each device in order, and twice only as the same.
// Not here: what arrives (listener.ts), and what is wrong with it (told.ts).

import { existsSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Caller, listOf, textField } from './caller.ts'
import { Chance } from './chance.ts'
import { Device } from './device.ts'
import { Ledger } from './ledger.ts'
import { Follower, Receiver } from './listener.ts'
import { cancel, readAll, send, type Wire } from './load.ts'
import { Options } from './options.ts'
import { Place, type Server } from './place.ts'
import { reportEnd } from './report.ts'
import { eventOf, judgeRecord, judgeTold, repeatsOf, type ToldEvent } from './told.ts'
import { explainedOf, settle } from './verdict.ts'

const HELP = `The harness of the stream: kills the built server and the receiver of a webhook (kill -9) again and again while commands are sent, and looks whether
every event arrives, of each device in order.

Usage: npm run crash:webhooks -- [options]

Options:
  --commands n    How many are sent. [default 1000]
  --kills n       How often the server, the receiver or both are killed. [default 24]
  --seed n        What chance is made of; printed, so that a run can be had again, alike if not equal. [default: the time]
  --devices n     Devices, each with a connection of its own. [default 12]
  --callers n     Applications on HTTP, each with one call at a time. [default 6]
  --main file     The built program. [default dist/main.js]
  --help          Show this.

Exit codes: 0 everything arrived as it should, 1 it did not or it took too long, 2 wrong usage.
The server runs on SQLite in a temporary folder, on loopback. The folder is kept where something is wrong.
`

/** s that it may take, whatever the options: a machine that is busy needs most of it */
const BOUND_S = 180
/** the share of calls that cancel what is in a queue */
const CANCELS = 0.08
/** the share of instant commands */
const INSTANTS = 0.1
const PAUSE_MS = { from: 0, to: 30 }
/** for which who was killed stays away */
const AWAY_MS = { from: 0, to: 600 }
/** from the moment that a kill is due to the kill */
const STRIKE_MS = { from: 0, to: 80 }
const SETTLE_EVERY_MS = 200
const LOOK_EVERY_MS = 100
/** ms without anything new after which what has not arrived never will: the longest wait between two attempts is shorter in so short a run */
const ARRIVAL_WAIT_MS = 40_000
const EXPLAINED_MAX = 20

interface Chosen {
  readonly commands: number
  readonly kills: number
  readonly seed: number
  readonly devices: number
  readonly callers: number
  readonly main: string
}

/** Resolves with the exit code. `print` gets whole lines; `interrupt` calls it off. */
export async function crashWebhooks(
  args: readonly string[],
  print: (line: string) => void,
  interrupt: AbortSignal,
): Promise<number> {
  const chosen = choose(args)
  if (typeof chosen === 'string') {
    print(chosen)
    return chosen === HELP ? 0 : 2
  }
  const { commands, kills, devices, callers, seed } = chosen
  print(
    `${commands} commands, ${kills} kills, ${devices} devices, ${callers} callers, --seed ${seed}, at most ${BOUND_S} s`,
  )
  const from = performance.now()
  const signal = AbortSignal.any([interrupt, AbortSignal.timeout(BOUND_S * 1_000)])
  const run = await Run.begin(chosen, signal, print)
  let faults: string[]
  try {
    faults = await run.play()
  } catch (error) {
    const why = error instanceof Error ? (error.stack ?? error.message) : String(error)
    faults = [signal.aborted ? (interrupt.aborted ? 'interrupted' : `not done after ${BOUND_S} s`) : why]
  }
  await run.close(faults.length > 0)
  for (const fault of faults.slice(0, EXPLAINED_MAX)) print(`  WRONG: ${fault}`)
  if (faults.length > EXPLAINED_MAX) print(`  and ${faults.length - EXPLAINED_MAX} more`)
  if (faults.length > 0) print(`the files are kept in ${run.folder}`)
  return reportEnd(faults.length, from, print)
}

function choose(args: readonly string[]): Chosen | string {
  if (args.includes('--help')) return HELP
  const options = new Options(args, ['commands', 'kills', 'seed', 'devices', 'callers', 'main'], [])
  const chosen = {
    commands: options.whole('commands', 1, 100_000, 1_000),
    kills: options.whole('kills', 0, 1_000, 24),
    seed: options.whole('seed', 0, 4_294_967_295, Date.now() % 1_000_000),
    devices: options.whole('devices', 1, 200, 12),
    callers: options.whole('callers', 1, 100, 6),
    main: options.text('main') ?? 'dist/main.js',
  }
  if (!existsSync(chosen.main)) options.wrong.push(`${chosen.main} is not there; build it with npm run build`)
  return options.wrong.length > 0 ? `${options.wrong.join('\n')}\nSee --help.` : chosen
}

class Run implements Wire {
  readonly ledger = new Ledger(() => performance.now())
  readonly caller = new Caller()
  readonly #chosen: Chosen
  readonly #signal: AbortSignal
  readonly #print: (line: string) => void
  readonly #chance: Chance
  readonly #place: Place
  readonly #devices: readonly Device[]
  readonly #receiver: Receiver
  readonly #follower: Follower
  #server: Server | null = null
  #waiting: ((httpUrl: string) => void)[] = []
  #sent = 0
  readonly #killed = { server: 0, receiver: 0 }

  static async begin(chosen: Chosen, signal: AbortSignal, print: (line: string) => void): Promise<Run> {
    const place = new Place(chosen.main, { devices: chosen.devices, gateways: 0, subDevices: 0 })
    return new Run(chosen, signal, print, place, await Receiver.at(place.folder))
  }

  private constructor(
    chosen: Chosen,
    signal: AbortSignal,
    print: (line: string) => void,
    place: Place,
    receiver: Receiver,
  ) {
    this.#chosen = chosen
    this.#signal = signal
    this.#print = print
    this.#chance = new Chance(chosen.seed)
    this.#place = place
    this.#receiver = receiver
    this.#follower = new Follower(this.caller)
    this.#devices = place.fleet.connected.map(
      (name, i) => new Device(name, 'lively', this.ledger, new Chance(chosen.seed + 1_000 + i)),
    )
  }

  get folder(): string {
    return this.#place.folder
  }

  async up(): Promise<string> {
    this.#signal.throwIfAborted()
    if (this.#server !== null) return this.#server.httpUrl
    return new Promise((resolve, reject) => {
      const off = () => reject(this.#signal.reason)
      this.#signal.addEventListener('abort', off, { once: true })
      this.#waiting.push(httpUrl => {
        this.#signal.removeEventListener('abort', off)
        resolve(httpUrl)
      })
    })
  }

  /** What is wrong, in words. */
  async play(): Promise<string[]> {
    await this.#start()
    await this.caller.login(await this.up())
    await this.#makeWebhook()
    this.#everybodyComes()
    const ids = Array.from({ length: this.#chosen.callers }, (_, i) => i)
    const work = Promise.all(ids.map(i => this.#load(new Chance(this.#chosen.seed + 1 + i))))
    // A caller that fails is a fault of the harness: it ends the run at once.
    await Promise.all([work, this.#killAll()])
    return this.#judge()
  }

  async close(keep: boolean): Promise<void> {
    this.#follower.stop()
    await Promise.all(this.#devices.map(device => device.stop()))
    this.caller.close()
    await this.#receiver.close()
    await this.#place.close(true)
    if (!keep) rmSync(this.folder, { recursive: true, force: true })
  }

  async #start(): Promise<void> {
    const server = await this.#place.start({ options: ['--webhooks', 'any'] })
    this.#server = server
    for (const resolve of this.#waiting.splice(0)) resolve(server.httpUrl)
  }

  #everybodyComes(): void {
    for (const device of this.#devices) device.serverAt(this.#server?.mqttUrl ?? null)
    this.#follower.serverAt(this.#server?.httpUrl ?? null)
  }

  /** Before anything has happened, so that it is told of everything. */
  async #makeWebhook(): Promise<void> {
    const body = { url: this.#receiver.url, paused: true }
    const { data } = await this.caller.ours(await this.up(), 'POST', '/v1/webhooks', {}, body)
    this.#receiver.knows(textField(data, 'secret') ?? '')
    await this.#receiver.start(this.#chosen.seed)
    const route = `/v1/webhooks/${textField(data, 'webhookId')}`
    await this.caller.ours(await this.up(), 'PATCH', route, {}, { paused: false })
  }

  /** One application: commands, and now and then a cancel, until all are sent. */
  async #load(chance: Chance): Promise<void> {
    const { all } = this.#place.fleet
    while (this.#sent < this.#chosen.commands) {
      const { assetId } = all[chance.whole(0, all.length - 1)] ?? { assetId: '' }
      if (chance.happens(CANCELS)) await cancel(this, assetId, null)
      else {
        this.#sent += 1
        const pendingTtlS = chance.happens(INSTANTS) ? 0 : chance.happens(INSTANTS) ? 1 : 3_600
        await send(this, assetId, { pendingTtlS, timeoutS: chance.whole(1, 2), invoke: chance.happens(0.3) })
      }
      await sleep(chance.whole(PAUSE_MS.from, PAUSE_MS.to), undefined, { signal: this.#signal })
    }
  }

  /** Spread over the commands. */
  async #killAll(): Promise<void> {
    const { commands, kills } = this.#chosen
    while (this.#killed.server + this.#killed.receiver < kills) {
      const due = ((this.#killed.server + this.#killed.receiver) * commands) / Math.max(1, kills)
      while (this.#sent < due) await sleep(10, undefined, { signal: this.#signal })
      await sleep(this.#chance.whole(STRIKE_MS.from, STRIKE_MS.to), undefined, { signal: this.#signal })
      const victim = this.#chance.oneOf(['server', 'server', 'receiver', 'receiver', 'both'] as const)
      await Promise.all([
        victim === 'receiver' ? null : this.#killServer(),
        victim === 'server' ? null : this.#killReceiver(),
      ])
    }
  }

  async #killServer(): Promise<void> {
    const server = this.#server
    if (server === null) return
    this.#killed.server += 1
    this.#server = null
    await server.kill()
    this.#everybodyComes()
    const errors = server.stderr.split('\n').filter(line => /"level":(50|60)/.test(line))
    for (const line of errors) this.ledger.contradiction(`the server logged: ${line.slice(0, 500)}`)
    await sleep(this.#chance.whole(AWAY_MS.from, AWAY_MS.to))
    await this.#start()
    this.#everybodyComes()
  }

  async #killReceiver(): Promise<void> {
    this.#killed.receiver += 1
    await this.#receiver.kill()
    await sleep(this.#chance.whole(AWAY_MS.from, AWAY_MS.to))
    await this.#receiver.start(this.#chosen.seed)
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  async #judge(): Promise<string[]> {
    for (const device of this.#devices) device.manner = 'obedient'
    await settle(this, this.#place.fleet, this.#devices, SETTLE_EVERY_MS, this.#signal)
    const record = await this.#arrived()
    const { events: posted, faults } = this.#receiver.received()
    const states = new Map<string, number>()
    for (const { assetId } of this.#place.fleet.all)
      for (const { id, state } of (await readAll(this, assetId)) ?? []) states.set(id, state)
    const { streams, events: followed } = this.#follower
    const { server, receiver } = this.#killed
    this.#print(`sent ${this.#sent}, accepted ${states.size}, killed: the server ${server}, the receiver ${receiver}`)
    this.#print(
      `on record ${record.length} events; webhook ${posted.length}, of them repeats ${repeatsOf(posted)}; ${streams} streams ${followed.length}, of them repeats ${repeatsOf(followed)}`,
    )
    return [
      ...explainedOf(this.ledger),
      ...faults,
      ...this.#follower.faults,
      ...judgeRecord(record, this.ledger.acknowledged(), states),
      ...judgeTold('webhook', record, posted),
      ...judgeTold('stream', record, followed),
    ]
  }

  /** The record, once all of it has arrived, or nothing has for long. */
  async #arrived(): Promise<ToldEvent[]> {
    let before = -1
    let until = 0
    for (;;) {
      const record = await this.#record()
      const posted = new Set(this.#receiver.received().events.map(({ id }) => id))
      const followed = new Set(this.#follower.events.map(({ id }) => id))
      const missing = record.filter(({ id }) => !posted.has(id) || !followed.has(id)).length
      if (missing === 0) return record
      const came = posted.size + followed.size
      if (came !== before) until = performance.now() + ARRIVAL_WAIT_MS
      before = came
      if (performance.now() > until) return record
      await sleep(LOOK_EVERY_MS, undefined, { signal: this.#signal })
    }
  }

  /** All pages, from the first change on. */
  async #record(): Promise<ToldEvent[]> {
    const record: ToldEvent[] = []
    for (let after: string | null = null, isMore = true; isMore; ) {
      const params: Record<string, string> = after === null ? {} : { after }
      const page: Record<string, unknown> = await this.caller.ours(await this.up(), 'GET', '/v1/changes', params)
      for (const value of listOf(page.data)) {
        const event = eventOf(value)
        if (event === null) throw new Error(`no event: ${JSON.stringify(value)}`)
        record.push(event)
      }
      after = textField(page, 'next')
      isMore = page.more === true
    }
    return record
  }
}
