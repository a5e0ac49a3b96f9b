// The run of a cluster: callers and devices at work through the balancers, strikes or a rolling restart meanwhile, and the count at the end.
// Not here: what strikes (strikes.ts), what counts as a fault (ledger.ts), what callers and devices do (load.ts, device.ts).

import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, Caller, type NoAnswer } from './caller.ts'
import { Chance } from './chance.ts'
import type { ClusterNode, End } from './cluster-node.ts'
import { abortable, ClusterPlace } from './cluster-place.ts'
import { Device } from './device.ts'
import type { DeviceName } from './fleet.ts'
import { type Call, Ledger } from './ledger.ts'
import { apply, cancel, type Hearing, type Pace, type Wire } from './load.ts'
import type { Findings } from './report.ts'
import { Revivals, type Times, timesOf } from './revival.ts'
import { type Kind, Strikes } from './strikes.ts'
import { explainedOf, faultsOf, progressOf, readEverything, settle } from './verdict.ts'

export interface ClusterRunOptions {
  readonly main: string
  readonly nodes: number
  readonly hasNats: boolean
  readonly seed: number
  /** that err, keep silent and go away at times */
  readonly devices: number
  readonly gateways: number
  /** behind each gateway */
  readonly subDevices: number
  /** that stay connected, and answer at once */
  readonly steady: number
  readonly callers: number
  readonly signal: AbortSignal
  readonly say: (line: string) => void
}

export interface ClusterResult extends Findings {
  readonly strikes: Readonly<Record<Kind, number>>
  readonly ends: Readonly<Record<End, number>>
  readonly startMedianMs: number
  /** how calls ended */
  readonly outcomes: ReadonlyMap<string, number>
  readonly instants: { readonly answered: number; readonly acrossNodes: number }
  readonly aloneMs: Times
  readonly steadyMs: Times
  readonly livelyMs: Times
  /** the longest time in which no caller got an answer */
  readonly longestSilenceMs: number
  /** from SIGTERM to the exit, of a rolling restart */
  readonly stopsMs: readonly number[]
  /** the files, where they were kept because something is wrong */
  readonly kept: string | null
}

/** Strikes so often, or restarts one node after the other so often. */
export type Plan = { readonly strikes: number } | { readonly rolling: number }

/** The harness shares two processors with three nodes and PostgreSQL. Instant commands are what has to go from node to node and back. */
const PACE: Pace = { pauseMs: { from: 20, to: 120 }, instants: 0.25 }
/** of one application: more only takes longer to read at the end */
const CALLS_MAX = 4_000
/** of callers while nodes are paused under them: some give up on a paused node, and on an instant command that waits */
const PATIENCE_MS = { from: 800, to: 3_500 }
/** of callers else: longer than the longest instant command waits, and than a commit may take */
const UNSTRUCK_PATIENCE_MS = 15_000
/** of devices; a paused node takes connections and says nothing */
const CONNECT_WAIT_MS = 2_000
/** a login may lie in the socket of a paused node for as long as the longest pause, and be acted on for some seconds after */
const HAUNT_MS = 20_000
/** the measurements of the store's time by which nodes go may be wrong by half of what they took, each */
const CLOCKS_DIFFER_MS = 500
const WARM_UP_MS = 1_000
/** between the restarts of two nodes */
const ROLL_GAP_MS = 500
const SETTLE_EVERY_MS = 1_000
/** with nothing open, after a restart of all nodes: what would be sent again would come within that time, and within the lease */
const QUIET_MS = 2_000
/** read one by one at the end, besides all of them by search */
const GETS_MAX = 2_000
/** Codes of answers that say how a command, a cancel or a read went: done, its device's error, away, full, not sent in time, timed out, no such command. */
const ORDINARY: ReadonlySet<number> = new Set([0, 2_000, 11404, 11888, 11900, 11902, 11904, 11915])
const UNAVAILABLE = 99503
/** the store was lost while it wrote */
const OUTCOME_UNKNOWN = 99504

export async function clusterRun(options: ClusterRunOptions, plan: Plan): Promise<ClusterResult> {
  const run = new ClusterRun(options)
  let keep = false
  try {
    const result = await run.play(plan)
    keep = result.kept !== null
    return result
  } catch (error) {
    keep = !options.signal.aborted || run.ledger.faults.length > 0
    if (keep) options.say(`the files are kept in ${run.folder}`)
    throw error
  } finally {
    await run.close(keep)
  }
}

class ClusterRun implements Wire, Hearing {
  readonly ledger = new Ledger(() => performance.now(), { hauntMs: HAUNT_MS, clocksDifferMs: CLOCKS_DIFFER_MS })
  readonly caller: Caller
  readonly hearing = this
  readonly #options: ClusterRunOptions
  readonly #chance: Chance
  readonly #revivals: Revivals
  readonly #outcomes = new Map<string, number>()
  /** nodes of connections of devices, by the number of the connection */
  readonly #nodeOfLine = new Map<number, string>()
  #isStriking = true
  #isRolling = false
  #isUnderLoad = false
  #place: ClusterPlace | null = null
  #lively: readonly Device[] = []
  #steady: readonly Device[] = []
  #strikes: Strikes | null = null
  #stopsMs: number[] = []
  #instants = { answered: 0, acrossNodes: 0 }
  #answeredAt = 0
  #longestSilenceMs = 0

  constructor(options: ClusterRunOptions) {
    this.#options = options
    this.#chance = new Chance(options.seed)
    const patience = new Chance(options.seed + 1)
    const patienceMs = () =>
      this.#isStriking ? patience.whole(PATIENCE_MS.from, PATIENCE_MS.to) : UNSTRUCK_PATIENCE_MS
    this.caller = new Caller({ patienceMs, isSpread: true })
    this.#revivals = new Revivals(this)
  }

  get folder(): string {
    return this.#place?.folder ?? 'no folder'
  }

  get #built(): { readonly place: ClusterPlace; readonly strikes: Strikes } {
    if (this.#place === null || this.#strikes === null) throw new Error('the cluster comes first')
    return { place: this.#place, strikes: this.#strikes }
  }

  get #devices(): readonly Device[] {
    return [...this.#lively, ...this.#steady]
  }

  async play(plan: Plan): Promise<ClusterResult> {
    await this.#build()
    this.#isStriking = 'strikes' in plan
    this.#isRolling = !this.#isStriking
    const { place } = this.#built
    await this.caller.login(await this.up())
    for (const device of this.#devices) device.serverAt(place.mqttUrl)
    this.#isUnderLoad = true
    const names = place.fleet.all
    const loads = Array.from({ length: this.#options.callers }, (_, i) =>
      this.#load(i, names, () => !this.#isUnderLoad),
    )
    const work = Promise.all(loads)
    // A caller that fails is a fault of the harness: it ends the run at once, and not as a late surprise.
    const failed = new Promise<never>((_, reject) => work.catch(reject))
    this.#answeredAt = performance.now()
    await Promise.race([this.#struck(plan), failed])
    this.#isUnderLoad = false
    this.#isStriking = false
    await abortable(work, this.#options.signal)
    await this.#finish()
    return this.#result()
  }

  async close(keep: boolean): Promise<void> {
    await Promise.all(this.#devices.map(device => device.stop()))
    this.caller.close()
    await this.#place?.close(keep)
  }

  async up(): Promise<string> {
    this.#options.signal.throwIfAborted()
    return this.#built.place.httpUrl
  }

  // --- what callers are told ---------------------------------------------------------------------------------------

  answer({ status, code, msg, data }: Answer): ReturnType<Hearing['answer']> {
    const isUnavailable = status === 503 && (code === UNAVAILABLE || code === OUTCOME_UNKNOWN)
    this.#count(isUnavailable ? `${status} ${code}` : 'answered')
    if (!isUnavailable) {
      if (this.#isUnderLoad) this.#heard()
      if (status !== 200 || !ORDINARY.has(code))
        this.ledger.contradiction(`a caller was answered ${status} ${code} ${msg} ${JSON.stringify(data)}`)
      return 'judged'
    }
    if (code === OUTCOME_UNKNOWN) return 'unknown'
    // With a command, it says that the command is on record, and its end is not awaited.
    return data === null ? 'refused' : 'judged'
  }

  silence({ how }: NoAnswer): void {
    this.#count(how)
    if (this.#isRolling && how === 'too slow')
      this.ledger.contradiction('a call was not answered, and no node was paused')
  }

  /** An instant command that a device has done: was it connected where its caller called? */
  sent({ pendingTtlS }: Call, id: string, { code, port }: Answer): void {
    if (pendingTtlS > 0 || code !== 0) return
    this.#instants.answered += 1
    const line = this.ledger.lineOf(id)
    const [here, there] = [this.#built.place.nodeOfCall(port), this.#nodeOfLine.get(line ?? 0) ?? null]
    if (here !== null && there !== null && here !== there) this.#instants.acrossNodes += 1
  }

  #count(outcome: string): void {
    this.#outcomes.set(outcome, (this.#outcomes.get(outcome) ?? 0) + 1)
  }

  #heard(): void {
    const now = performance.now()
    this.#longestSilenceMs = Math.max(this.#longestSilenceMs, now - this.#answeredAt)
    this.#answeredAt = now
  }

  // --- what happens ------------------------------------------------------------------------------------------------

  async #build(): Promise<void> {
    const { main, nodes, hasNats, devices, steady, gateways, subDevices, signal, seed, say } = this.#options
    const contradiction = (text: string) => this.ledger.contradiction(text)
    const fleet = { devices: devices + steady, gateways, subDevices }
    const chance = new Chance(seed + 2)
    const place = await ClusterPlace.build({ main, nodes, hasNats, fleet, chance, contradiction, signal })
    this.#place = place
    place.trouble.changed = isCalm => this.ledger.calm(isCalm)
    const hooks = {
      struck: (node: ClusterNode | null) => {
        this.#revivals.struck()
        this.#doubt(node)
      },
      over: (node: ClusterNode | null) => {
        this.#doubt(node)
        this.#comeAnew()
      },
      died: ({ name }: ClusterNode, isAlone: boolean) => this.#died(name, isAlone),
      burst: () => this.#burst(),
      contradiction,
      progress: (struck: number) => say(`${struck} strikes: ${progressOf(this.ledger, place.fleet)}`),
    }
    this.#strikes = new Strikes(place, this.#chance, hooks, signal)
    const opened = (line: number, port: number) => {
      const node = place.nodeOfDevice(port)
      if (node === null) return
      this.#nodeOfLine.set(line, node)
      if (this.#strikes?.isUnsure(node) === true) this.ledger.presence.lost(line)
    }
    const how = { connectWaitMs: CONNECT_WAIT_MS, opened }
    const all = place.fleet.connected.map((name, i) => {
      const isSteady = i >= devices && i < devices + steady
      return new Device(name, isSteady ? 'obedient' : 'lively', this.ledger, new Chance(seed + 1_000 + i), how)
    })
    this.#steady = all.slice(devices, devices + steady)
    this.#lively = all.filter(device => !this.#steady.includes(device))
  }

  #load(i: number, names: readonly DeviceName[], isStopping: () => boolean): Promise<void> {
    let calls = 0
    const isOver = () => {
      calls += 1
      return isStopping() || calls > CALLS_MAX
    }
    return apply(this, names, new Chance(this.#options.seed + 100 + i), isOver, PACE)
  }

  async #struck(plan: Plan): Promise<void> {
    const { strikes } = this.#built
    const { signal, say } = this.#options
    await sleep(WARM_UP_MS, undefined, { signal })
    if ('strikes' in plan) return strikes.run(plan.strikes)
    for (let round = 0; round < plan.rolling; round += 1) {
      this.#stopsMs.push(...(await strikes.rollingRestart()))
      say(`round ${round + 1}: ${progressOf(this.ledger, this.#built.place.fleet)}`)
      await sleep(ROLL_GAP_MS, undefined, { signal })
    }
  }

  /** What the wire shows of devices there is not sure any more, until they have connected anew. */
  #doubt(node: ClusterNode | null): void {
    for (const [line, of] of this.#nodeOfLine) if (node === null || of === node.name) this.ledger.presence.lost(line)
  }

  /** Some of the steady devices that may have lost their server: what is known of them is sure again. The others stay and see. */
  #comeAnew(): void {
    for (const device of this.#steady) {
      const isUnsure = device.line !== null && this.ledger.presence.isLost(device.line)
      if (isUnsure && this.#chance.happens(0.5)) device.rush()
    }
  }

  #died(node: string, isAlone: boolean): void {
    const isThere = ({ line }: Device) => line !== null && this.#nodeOfLine.get(line) === node
    this.#revivals.died(this.#steady.filter(isThere), this.#lively.filter(isThere), isAlone)
  }

  /** Much at once: cancels, all devices coming back, all sub-devices logging in and out. */
  #burst(): void {
    const kind = this.#chance.oneOf(['cancels', 'storm', 'logins'])
    if (kind === 'storm') for (const device of this.#lively) device.rush()
    if (kind === 'logins') for (const device of this.#lively) device.shake()
    if (kind !== 'cancels') return
    const cancels = Promise.all(this.#built.place.fleet.all.map(({ assetId }) => cancel(this, assetId, null)))
    cancels.catch((error: unknown) => {
      if (!this.#options.signal.aborted) this.ledger.contradiction(`a cancel failed in the harness: ${String(error)}`)
    })
  }

  /** All nodes die at once; then everything must become final and be what was told, and an orderly restart of all must bring nothing new. */
  async #finish(): Promise<void> {
    const { place, strikes } = this.#built
    const { say, signal } = this.#options
    await this.#revivals.end()
    place.isHasty = true
    for (const device of this.#devices) device.manner = 'obedient'
    await strikes.killAll()
    say(`all nodes killed and up again; ${place.fleet.all.length} devices stay and answer`)
    await settle(this, place.fleet, this.#devices, SETTLE_EVERY_MS, signal)
    await strikes.rollingRestart()
    await sleep(QUIET_MS, undefined, { signal })
    this.ledger.close(await readEverything(this, place.fleet, GETS_MAX))
    await Promise.all(this.#devices.map(device => device.stop()))
  }

  #result(): ClusterResult {
    const { place, strikes } = this.#built
    const ids = place.fleet.all.map(({ assetId }) => assetId)
    const totals = (areBehind: boolean) =>
      this.ledger.totals(ids.filter(assetId => place.fleet.isBehindGateway(assetId) === areBehind))
    return {
      faults: faultsOf(this.ledger),
      explained: explainedOf(this.ledger),
      totals: { direct: totals(false), behindGateways: totals(true) },
      strikes: strikes.counts,
      ends: place.ends,
      startMedianMs: timesOf(place.startsMs).medianMs,
      outcomes: this.#outcomes,
      instants: this.#instants,
      aloneMs: timesOf(this.#revivals.aloneMs),
      steadyMs: timesOf(this.#revivals.steadyMs),
      livelyMs: timesOf(this.#revivals.livelyMs),
      longestSilenceMs: Math.round(this.#longestSilenceMs),
      stopsMs: this.#stopsMs,
      kept: this.ledger.faults.length > 0 ? place.folder : null,
    }
  }
}
