// What an engine does unasked: it makes what is due lapse, purges what is old, and where other nodes share the store looks for what a lost signal left.
// Each of these only finds work, which then goes through the engine like any other. Not here: what lapses when (core/queue.ts), SQL (store/).

import type { Clock, Timers } from './clock.ts'
import type { Cluster, SettledCommand } from './cluster/signal.ts'
import { errors, type Refusal } from './core/errors.ts'
import {
  NODE_LEASE_MS,
  NODE_MARGIN_MS,
  NODE_SWEEP_MS,
  NODE_SWEEP_SESSIONS,
  NODE_SWEEP_WAITERS,
  PURGE_EVERY_MS,
  PURGE_MAX_ROWS,
  RETRY_AFTER_MS,
  SWEEP_MAX_DEVICES,
  SWEEP_SOON_MS,
} from './core/limits.ts'
import type { Log } from './log.ts'
import type { DeviceSession, Nodes } from './store/nodes.ts'
import type { CommandStore, Tokens } from './store/store.ts'

export type UpkeepStore = Pick<CommandStore, 'due' | 'nextDue' | 'purge'> &
  Pick<Tokens, 'purgeTokens'> &
  Pick<Nodes, 'dueFor' | 'wanting' | 'settledOf' | 'sessions'>

export interface UpkeepOptions {
  readonly store: UpkeepStore
  readonly clock: Clock & Timers
  readonly node: number
  readonly cluster: Cluster
  readonly log: Log
  readonly retentionMs: number
  readonly defer: (run: () => void) => void
}

/** The engine, as it is kept up. */
export interface Kept {
  tick(deviceId: number): Promise<{ readonly ok: true } | Refusal>
  /** devices with a connection here */
  linked(): number[]
  /** it has one, or is about to */
  isLinked(deviceId: number): boolean
  /** Puts the end of a session on record that nobody has told. */
  ended(deviceId: number, session: number): void
  /** Compares the links of the devices `asked` about with their sessions on record; one that is not there has been deleted. */
  compare(asked: readonly number[], sessions: readonly DeviceSession[]): void
  /** commands that callers wait for here */
  waitedFor(): SettledCommand[]
  /** devices of which such a command is overdue */
  overdue(now: number): number[]
  /** Reads commands that are final, and answers whoever waits for them. */
  answer(settled: readonly SettledCommand[]): Promise<void>
}

export class Upkeep {
  readonly #options: UpkeepOptions
  readonly #engine: Kept
  #stopping = false
  #armedAt = Number.POSITIVE_INFINITY
  #disarm = (): void => undefined
  #disarmPurge = (): void => undefined
  #disarmRound = (): void => undefined
  #sweeping: Promise<void> | null = null
  #sweepAgain = false
  #round: Promise<void> = Promise.resolve()
  /** the links up to this device have been compared in this turn */
  #comparedTo = 0
  /** devices that are connected here on record and not in truth, with their sessions, as the last look found them */
  #ghosts: ReadonlyMap<number, number> = new Map()
  /** nodes that were alive at the last look */
  #alive: ReadonlySet<number> = new Set()
  #asOf = 0

  constructor(options: UpkeepOptions, engine: Kept) {
    this.#options = options
    this.#engine = engine
  }

  get #isAlone(): boolean {
    return this.#options.cluster.epoch === null
  }

  /** Takes up what the last process left: deadlines and expiries are due from now on. */
  async start(): Promise<void> {
    const { store, clock } = this.#options
    const next = this.#isAlone ? await store.nextDue() : clock.now()
    if (next !== null) this.arm(next)
    this.#armPurge()
    if (!this.#isAlone) this.#armRound()
  }

  /** Resolves when nothing of it is in flight. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#disarm()
    this.#disarmPurge()
    this.#disarmRound()
    await this.#sweeping
    await this.#round
  }

  // --- what is due -----------------------------------------------------------------------------------------------

  /** One timer for everything that lapses: set to the earliest known instant; what it finds stale costs one look at the index. */
  arm(instant: number): void {
    if (this.#stopping || instant >= this.#armedAt) return
    this.#disarm()
    this.#armedAt = instant
    this.#disarm = this.#options.clock.at(instant, () => {
      this.#armedAt = Number.POSITIVE_INFINITY
      this.#sweepAgain = true
      this.#sweeping ??= this.#sweep()
    })
  }

  async #sweep(): Promise<void> {
    const { clock, log } = this.#options
    while (this.#sweepAgain) {
      this.#sweepAgain = false
      try {
        const devices = await this.#due()
        const answers = await Promise.all(devices.map(deviceId => this.#engine.tick(deviceId)))
        // One that was deleted meanwhile has nothing due any more.
        const failed = answers.some(answer => !answer.ok && answer.code !== errors.notFound.code)
        await this.#armNext(failed, devices.length === SWEEP_MAX_DEVICES)
      } catch (error) {
        log.error({ err: error }, 'sweep failed, trying again')
        this.arm(clock.now() + RETRY_AFTER_MS)
      }
    }
    this.#sweeping = null
  }

  /** Of a node among others, what is its own to see to. */
  #due(): Promise<number[]> {
    const { store, clock, node } = this.#options
    const now = clock.now()
    return this.#isAlone
      ? store.due(now, SWEEP_MAX_DEVICES)
      : store.dueFor(node, now, NODE_MARGIN_MS, SWEEP_MAX_DEVICES)
  }

  /**
   * Alone, a node knows of everything that is due. Among others it looks every second as well: at what a node that died has left, and at what lapses a
   * little later here than at its instant.
   */
  async #armNext(failed: boolean, isFull: boolean): Promise<void> {
    const { store, clock } = this.#options
    const soon = clock.now() + RETRY_AFTER_MS
    if (!this.#isAlone) return this.arm(isFull && !failed ? clock.now() + SWEEP_SOON_MS : soon)
    const next = await store.nextDue()
    if (next !== null) this.arm(failed ? Math.max(next, soon) : next)
  }

  // --- what a lost signal left -----------------------------------------------------------------------------------

  #armRound(): void {
    const { clock } = this.#options
    if (this.#stopping) return
    this.#disarmRound = clock.at(clock.now() + NODE_SWEEP_MS, () => {
      this.#round = this.#look().finally(() => this.#armRound())
    })
  }

  async #look(): Promise<void> {
    const { log } = this.#options
    const looks = [this.#lookForWork(), this.#lookForAnswers(), this.#lookForOldLinks()]
    for (const look of await Promise.allSettled(looks))
      if (look.status === 'rejected') log.warn({ err: look.reason }, 'a look at the store failed, the next one follows')
  }

  /** Devices that are connected here and want something sent. One that is not ready is looked at in vain, which costs a read. */
  async #lookForWork(): Promise<void> {
    const { store, node } = this.#options
    let after = 0
    const ghosts: number[] = []
    for (let isMore = true; isMore && !this.#stopping; ) {
      const devices = await store.wanting(node, SWEEP_MAX_DEVICES, after)
      ghosts.push(...devices.filter(deviceId => !this.#engine.isLinked(deviceId)))
      await Promise.all(devices.map(deviceId => this.#engine.tick(deviceId)))
      after = devices.at(-1) ?? after
      isMore = devices.length === SWEEP_MAX_DEVICES
    }
    await this.#layGhosts(ghosts)
  }

  /** The last life of this number was killed, and could not say that its devices are gone: they would be looked at every second until they are back. */
  async #layGhosts(deviceIds: readonly number[]): Promise<void> {
    const before = this.#ghosts
    const sessions = deviceIds.length === 0 ? [] : await this.#options.store.sessions(deviceIds)
    this.#ghosts = new Map(sessions.map(({ deviceId, sessionNo }) => [deviceId, sessionNo]))
    for (const [deviceId, session] of this.#ghosts)
      if (before.get(deviceId) === session && !this.#engine.isLinked(deviceId)) this.#engine.ended(deviceId, session)
  }

  /** Commands that callers wait for here, and that other nodes have settled, or should have. */
  async #lookForAnswers(): Promise<void> {
    const { store, clock, cluster } = this.#options
    const waitedFor = this.#engine.waitedFor()
    const { alive, asOf } = cluster.others() ?? { alive: this.#alive, asOf: this.#asOf }
    // After a look that was too old to say who is dead, whoever was not alive before may have died as well.
    const isAnyGone = [...this.#alive].some(node => !alive.has(node)) || asOf - this.#asOf > NODE_LEASE_MS
    this.#alive = alive
    this.#asOf = asOf
    // Those of a node that has died are away now, and nothing else would say so before their time is over.
    if (isAnyGone)
      await Promise.all([...new Set(waitedFor.map(({ deviceId }) => deviceId))].map(id => this.#engine.tick(id)))
    for (let i = 0; i < waitedFor.length; i += NODE_SWEEP_WAITERS) {
      const some = waitedFor.slice(i, i + NODE_SWEEP_WAITERS)
      const settled = new Set(await store.settledOf(some.map(({ commandId }) => commandId)))
      await this.#engine.answer(some.filter(({ commandId }) => settled.has(commandId)))
    }
    await Promise.all(this.#engine.overdue(clock.now()).map(deviceId => this.#engine.tick(deviceId)))
  }

  /** Whether the connections here are still the newest of their devices: some of them at a time, all of them in turn. */
  async #lookForOldLinks(): Promise<void> {
    const links = this.#engine.linked().sort((a, b) => a - b)
    const after = this.#comparedTo
    const some = links.filter(deviceId => deviceId > after).slice(0, NODE_SWEEP_SESSIONS)
    this.#comparedTo = some.length === NODE_SWEEP_SESSIONS ? (some.at(-1) ?? 0) : 0
    if (some.length > 0) this.#engine.compare(some, await this.#options.store.sessions(some))
  }

  // --- what is old -----------------------------------------------------------------------------------------------

  #armPurge(): void {
    const { clock } = this.#options
    this.#disarmPurge = clock.at(clock.now() + PURGE_EVERY_MS, () => void this.#purge())
  }

  /** Final records past their retention, and with them what else has had its time: tokens and proofs. */
  async #purge(): Promise<void> {
    const { store, clock, retentionMs, log, defer } = this.#options
    try {
      const steps = [
        () => store.purgeTokens(clock.now(), PURGE_MAX_ROWS),
        () => store.purge(clock.now() - retentionMs, PURGE_MAX_ROWS),
      ]
      for (const step of steps) {
        let purged = PURGE_MAX_ROWS
        while (purged === PURGE_MAX_ROWS && !this.#stopping) {
          purged = await step()
          // Other work gets its turn between two steps.
          await new Promise<void>(resolve => defer(resolve))
        }
      }
    } catch (error) {
      log.error({ err: error }, 'purge failed, trying again later')
    }
    if (!this.#stopping) this.#armPurge()
  }
}
