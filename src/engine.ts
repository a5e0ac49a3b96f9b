// The only writer of commands: collects inputs, loads their queues, lets the core decide, commits them together, then acts and answers.
// All inputs that arrive while a batch is in flight form the next one: many devices, one commit, one fsync. One batch is in flight at a time.
// Not here: rules (core/queue.ts), SQL (store/), sockets (mqtt/, http/), what is done unasked (upkeep.ts), callers who wait (waiters.ts). Long, because
// one batch is shared by all from the collecting to the answer; what is pure of it is in batch.ts.

import {
  add,
  enqueueOf,
  evictionsFirst,
  inputsToPublish,
  isAsked,
  isChanged,
  isSaid,
  type NewCommand,
  type NewInput,
  namedBy,
  newWork,
  presenceIn,
  tidingsOf,
  toChange,
  type Work,
} from './batch.ts'
import type { Clock, Timers } from './clock.ts'
import type { Cluster, Tidings } from './cluster/signal.ts'
import { type Command, type Downlink, isOpen, State } from './core/command.ts'
import { assert, errors, overloaded, type Refusal, refuse } from './core/errors.ts'
import type { Ids } from './core/ids.ts'
import { BATCH_MAX_INPUTS, BATCH_STALL_MS, ENGINE_QUEUE_MAX, RETRY_AFTER_MS, STALE_RETRIES_MAX } from './core/limits.ts'
import {
  type Answers,
  type AnswerTo,
  type Decision,
  decide,
  type Effect,
  type Input,
  isDue,
  type KeptAnswer,
  lapsesAt,
  type Presence,
  type QueueEvent,
  type Tick,
  type Unsent,
} from './core/queue.ts'
import type { Log } from './log.ts'
import { CommitUnknown, type DeviceSession, LeaseLost, StoreUnavailable } from './store/nodes.ts'
import type { Batch, CommandStore } from './store/store.ts'
import { Upkeep, type UpkeepStore } from './upkeep.ts'
import { type Settlement, Waiters } from './waiters.ts'

/** A device's live connection, as the engine uses it. All calls are synchronous and must not throw. */
export interface Link {
  presence(): Omit<Presence, 'session'>
  /** Hands the whole PUBLISH to the socket and returns null, or hands over not a byte and says why. */
  publish(downlink: Downlink): Unsent['reason'] | null
  /** Nothing came back before the deadline of the last command: the link is not ready until something arrives. */
  suspect(): void
  /** A newer session of the same device has taken its place: close without a word. */
  takenOver(): void
  /** The device was disabled or deleted, and that is on record: close. Its end need not be told. */
  evicted(why: 'disabled' | 'deleted'): void
}

/** What the engine tells whoever counts. */
export interface Observer {
  batch(inputs: number, durationMs: number): void
  transition(event: QueueEvent): void
  published(): void
  reply(outcome: Answers['reply']['outcome'] | 'dropped'): void
}

export interface EngineOptions {
  readonly store: CommandStore & UpkeepStore
  readonly clock: Clock & Timers
  readonly ids: Ids
  /** the other nodes that share the store; `alone` where there are none */
  readonly cluster: Cluster
  readonly log: Log
  readonly observer: Observer
  readonly queueCap: number
  readonly retentionMs: number
  /** Starts the next batch: setImmediate, so that all that came in this turn of the loop goes together. */
  readonly defer: (run: () => void) => void
}

export type { NewCommand } from './batch.ts'

/** A new command that is on record. */
export interface Fresh {
  readonly ok: true
  readonly command: Command
  /** set where the caller asked to wait and the command is open; it always resolves, by the command's deadline at the latest */
  readonly settlement: Promise<Settlement> | null
}
/** Its key was used before, for the same: nothing was done. */
export interface Repeated {
  readonly ok: true
  readonly repeated: KeptAnswer
  /** null: it was final before; its record tells how it ended, if it is still there */
  readonly command: Command | null
  /** the same that the first caller gets, under the same conditions */
  readonly settlement: Promise<Settlement> | null
}
export type Accepted = Fresh | Repeated

interface Entry {
  readonly deviceId: number
  readonly input: Input | NewInput
  readonly link: Link | null
  readonly resolve: (answer: Answers[keyof Answers] | Accepted | Refusal) => void
  staleRetries: number
  /** it was in a batch that failed, and is tried again by itself */
  alone: boolean
}

/** A batch ready to be committed. */
interface Plan {
  readonly works: readonly Work<Entry>[]
  readonly refused: { readonly entry: Entry; readonly refusal: Refusal }[]
  /** input JSON by command id, of what will be published */
  readonly inputs: ReadonlyMap<string, string>
  readonly batch: Batch
}

export class Engine {
  readonly #options: EngineOptions
  readonly #links = new Map<number, { readonly session: number; readonly link: Link }>()
  /** devices that are being let in */
  readonly #connecting = new Set<number>()
  readonly #waiters = new Waiters()
  readonly #upkeep: Upkeep
  /** devices whose next step is owed, because one failed, and which */
  readonly #later = new Map<number, Tick | Unsent>()
  #pending: Entry[] = []
  #running = false
  /** the batch in flight is taking so long that callers are sent away */
  #stalled = false
  #stopping = false
  #idle: (() => void)[] = []

  constructor(options: EngineOptions) {
    this.#options = options
    this.#upkeep = new Upkeep(
      { ...options, node: options.ids.node },
      {
        tick: deviceId => this.apply(deviceId, { type: 'tick' }),
        linked: () => [...this.#links.keys()],
        isLinked: deviceId => this.#links.has(deviceId) || this.#connecting.has(deviceId),
        ended: (deviceId, session) =>
          void this.apply(deviceId, { type: 'disconnected', session, reason: 'its node ended' }),
        compare: (asked, sessions) => this.#compare(asked, sessions),
        waitedFor: () => this.#waiters.commands(),
        overdue: now => this.#waiters.overdue(now),
        answer: settled => this.#waiters.lookUp(settled, options.store),
      },
    )
  }

  /** Takes up what the last process left: deadlines and expiries are due from now on. */
  start(): Promise<void> {
    return this.#upkeep.start()
  }

  /**
   * Stops sending: no new head leaves, callers who wait are told that their command is on record, inputs already taken are committed.
   * Resolves when nothing is in flight. Inputs may still come (a last reply, disconnects) and are committed too.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#waiters.stop()
    await this.#upkeep.stop()
    await this.idle()
  }

  /** Resolves when no input is in flight or waiting. */
  idle(): Promise<void> {
    if (!this.#running && this.#pending.length === 0) return Promise.resolve()
    return new Promise(resolve => this.#idle.push(resolve))
  }

  /** Connected here and not disabled. */
  isOnline(deviceId: number): boolean {
    return this.#links.has(deviceId)
  }

  /** Its connection here, as it is at this moment; null: it has none. */
  presence(deviceId: number): Omit<Presence, 'session'> | null {
    return this.#links.get(deviceId)?.link.presence() ?? null
  }

  /** Devices connected, callers waiting, inputs waiting: for metrics. */
  gauges(): { readonly online: number; readonly waiters: number; readonly pending: number } {
    return { online: this.#links.size, waiters: this.#waiters.size, pending: this.#pending.length }
  }

  /**
   * Accepts a command: durable when this resolves. With `wait`, an instant command's settlement comes as a promise of its own;
   * who does not wait any longer just drops it, the command goes on. One that is `repeatable` is done once, however often and on however many nodes it
   * is asked for at a time: the others are told of the first, and join its waiters where it is open. Refusals: 99404 no such device, 99409 the key was
   * used for another request, 99503 overloaded, stopping or without a store (nothing stored by this call), 99504 not known whether it was.
   */
  enqueue(deviceId: number, command: NewCommand, wait: boolean): Promise<Accepted | Refusal> {
    const refusal = this.#turnedAway()
    if (refusal !== null) return Promise.resolve(refusal)
    // After a pause the clock may be wrong until the store has told the time again: what is accepted now would be dated by it.
    if (!this.mayPublish()) return Promise.resolve(overloaded('the lease of this node may be over'))
    if (wait) {
      if (this.#stopping) return Promise.resolve(overloaded('the server is stopping'))
      if (!this.#waiters.reserve()) return Promise.resolve(overloaded('too many callers wait for instant commands'))
    }
    return this.#submit<Accepted>(deviceId, { type: 'new', command, wait }, null)
  }

  /**
   * Cancels one created command, or with null all of the device. Exactly those reported were moved from created to cancelled by this call,
   * and will never be published; decided against one version of the device, so that it cannot race a dispatch. `detail`: JSON text for their events.
   */
  cancel(deviceId: number, commandId: string | null, by: string, detail?: string): Promise<Answers['cancel']> {
    const said = detail === undefined ? {} : { detail }
    return this.#ask(deviceId, { type: 'cancel', commandId, by, ...said })
  }

  /**
   * From now on the device is offline whatever connects: when this resolves its connection is evicted, its instant commands that waited have
   * failed (11900), its cached ones wait. The one that is sent stays sent: an answer that is on its way still settles it, else it times out.
   * `changed` is false where it was disabled already. `by`: who did it, for the event log. Refusals: 99404 no such device, 99503 overloaded.
   * Of a login at the same time either is first: the connection is let in and evicted, or refused.
   */
  disable(deviceId: number, by: string): Promise<Answers['disable'] | Refusal> {
    return this.#ask(deviceId, { type: 'disable', by })
  }

  /** Undoes `disable`: the device may connect again, and gets what waited for it. Answers and refusals are those of `disable`. */
  enable(deviceId: number, by: string): Promise<Answers['enable'] | Refusal> {
    return this.#ask(deviceId, { type: 'enable', by })
  }

  /**
   * Settles all that the device has open, then removes it, in one commit: what was created is cancelled (`cancelled`, oldest first), what was sent
   * has failed (`failed`), callers who wait for either are told 99410, its connection is evicted, devices behind it are free. Its records stay until
   * they are purged. Refusals: 99404 no such device; 99503 overloaded, nothing was done. Of two such calls at once the second settles nothing,
   * or is refused with 99404. A command accepted at the same time is either before it, and settled by it, or refused with 99404.
   */
  deleteDevice(deviceId: number, by: string): Promise<Answers['delete'] | Refusal> {
    return this.#ask(deviceId, { type: 'delete', by })
  }

  /** What a caller asks, who can ask again; what devices say is always taken. */
  #ask<I extends Input>(deviceId: number, input: I): Promise<AnswerTo<I> | Refusal> {
    const refusal = this.#turnedAway()
    return refusal === null ? this.apply(deviceId, input) : Promise.resolve(refusal)
  }

  #turnedAway(): Refusal | null {
    if (this.#stalled) return overloaded('the store does not answer')
    return this.#pending.length >= ENGINE_QUEUE_MAX ? overloaded('too many inputs are waiting') : null
  }

  /**
   * A device logged in. On success `link` has become its link, and the link before it, if any, was told that it is taken over. `link` may be told
   * that it is taken over or evicted before this resolves. With `activates` false it did not prove a secret of its own, and is not active by this.
   * Refusals: 99403 it is disabled, 99404 it does not exist any more, 99500.
   */
  connect(deviceId: number, link: Link, activates = true): Promise<Answers['connected'] | Refusal> {
    // Without a good lease it could be sent nothing.
    if (this.#stalled || !this.mayPublish()) return Promise.resolve(overloaded('the store does not answer'))
    const input: Input = { type: 'connected', activates }
    this.#connecting.add(deviceId)
    return this.#submit<Answers['connected']>(deviceId, input, link).finally(() => this.#connecting.delete(deviceId))
  }

  /** A session ended. Of an older session than the newest one it changes nothing. */
  disconnect(deviceId: number, session: number, reason: string): Promise<Answers['disconnected'] | Refusal> {
    if (this.#links.get(deviceId)?.session === session) this.#links.delete(deviceId)
    return this.apply(deviceId, { type: 'disconnected', session, reason })
  }

  /** Whether a PUBLISH may start now: not once this node's lease may be over, and another may be sending to its devices. */
  mayPublish(): boolean {
    return this.#options.cluster.mayPublish()
  }

  /** What another node has told. It may be old, or told twice. */
  hear({ look, settled }: Tidings): void {
    // Others than those that are here have nothing to send.
    for (const deviceId of look) if (this.#links.has(deviceId)) void this.apply(deviceId, { type: 'tick' })
    this.#waiters
      .lookUp(settled, this.#options.store)
      .catch((error: unknown) =>
        this.#options.log.warn({ err: error }, 'what another node settled cannot be read now, the next look finds it'),
      )
  }

  /** Any other input. Never rejects: a failure inside is answered 99500 and logged; 99503 where the store cannot be reached. */
  apply<I extends Input>(deviceId: number, input: I): Promise<AnswerTo<I> | Refusal> {
    return this.#submit<AnswerTo<I>>(deviceId, input, null)
  }

  /**
   * Makes the durable state of a device what it is at this instant, before it is read: where something is due, a tick is applied first.
   * So a final state, once shown, is never taken back. A refusal means that this failed, and that nothing may be read.
   */
  async settleDue(deviceId: number): Promise<{ readonly ok: true } | Refusal> {
    const [queue] = await this.#options.store.load([{ deviceId, commandIds: [] }])
    const due = queue && isDue(queue, this.#options.clock.now())
    return due ? this.apply(deviceId, { type: 'tick' }) : { ok: true }
  }

  #submit<A extends Answers[keyof Answers] | Accepted>(
    deviceId: number,
    input: Input | NewInput,
    link: Link | null,
  ): Promise<A | Refusal> {
    return new Promise(resolve => {
      // Each answer has the type of its input by construction in #decide.
      const entry = { deviceId, input, link, resolve: resolve as Entry['resolve'], staleRetries: 0, alone: false }
      // Ahead of all that waits: what is known not to have left must not be taken for sent by any other input.
      if (input.type === 'unsent') this.#pending.unshift(entry)
      else this.#pending.push(entry)
      if (this.#running) return
      this.#running = true
      this.#options.defer(() => void this.#run())
    })
  }

  async #run(): Promise<void> {
    while (this.#pending.length > 0) {
      await this.#batch(this.#nextEntries())
      // Sockets and timers get their turn: a store that answers at once would else hold the loop for as long as inputs come.
      if (this.#pending.length > 0) await new Promise<void>(resolve => this.#options.defer(resolve))
    }
    this.#running = false
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** What goes together: all that waits, up to an input that was in a batch that failed; that one goes alone. */
  #nextEntries(): Entry[] {
    const alone = this.#pending.slice(0, BATCH_MAX_INPUTS).findIndex(entry => entry.alone)
    return this.#pending.splice(0, alone < 0 ? BATCH_MAX_INPUTS : Math.max(alone, 1))
  }

  /** Callers are not left waiting behind a batch that takes this long. What is in it is in the store's hands. */
  #stall(): void {
    this.#stalled = true
    this.#options.log.warn(
      { pending: this.#pending.length },
      'the store does not answer, callers are told to come again',
    )
    const asked = this.#pending.filter(({ input }) => isAsked(input))
    this.#pending = this.#pending.filter(({ input }) => !isAsked(input))
    for (const entry of asked) this.#answer(entry, overloaded('the store does not answer'))
  }

  async #batch(entries: Entry[]): Promise<void> {
    const startedAt = performance.now()
    const { clock, store, observer } = this.#options
    const stalls = clock.at(clock.now() + BATCH_STALL_MS, () => this.#stall())
    let plan: Plan
    let stale: ReadonlySet<number>
    try {
      plan = await this.#plan(entries)
      stale = new Set(plan.batch.changes.length > 0 ? await store.commit(plan.batch) : [])
    } catch (error) {
      return this.#batchFailed(entries, error)
    } finally {
      stalls()
      this.#stalled = false
    }
    for (const { entry, refusal } of plan.refused) this.#answer(entry, refusal)
    const written = plan.works.filter(({ deviceId }) => !stale.has(deviceId))
    for (const work of plan.works) {
      if (stale.has(work.deviceId)) this.#again(work)
      else this.#act(work, plan.inputs)
    }
    const { ids, cluster } = this.#options
    for (const [node, tidings] of tidingsOf(written, ids.node, cluster.others())) cluster.tell(node, tidings)
    observer.batch(entries.length, performance.now() - startedAt)
  }

  /**
   * One bad input never harms another: a batch that fails is tried again input by input, and the one that fails alone is answered 99500. But where the
   * store is not to be had, each would fail like the other: callers may come again, and what devices said is kept for later.
   */
  async #batchFailed(entries: Entry[], error: unknown): Promise<void> {
    const { log, cluster, clock } = this.#options
    const isLost = error instanceof LeaseLost
    if (isLost) cluster.leaseLost()
    if (isLost || error instanceof CommitUnknown) {
      log.error({ err: error, inputs: entries.length }, 'batch refused')
      for (const entry of entries) this.#answer(entry, isLost ? overloaded('this node is ending') : unknown)
      return
    }
    if (error instanceof StoreUnavailable) {
      const isKept = ({ input }: Entry): boolean => !this.#stopping && isSaid(input)
      const kept = entries.filter(isKept)
      log.warn({ err: error, inputs: entries.length, kept: kept.length }, 'the store cannot be reached')
      for (const entry of entries) if (!isKept(entry)) this.#answer(entry, overloaded('the store cannot be reached'))
      this.#pending.unshift(...kept)
      if (kept.length > 0) await new Promise<void>(resolve => clock.at(clock.now() + RETRY_AFTER_MS, resolve))
      return
    }
    const [only] = entries
    if (only && entries.length === 1) return this.#fail(only, error)
    log.warn({ err: error, inputs: entries.length }, 'batch failed, trying its inputs one by one')
    for (const entry of entries) entry.alone = true
    this.#pending.unshift(...entries)
  }

  #fail(entry: Entry, error: unknown): void {
    const { deviceId, input } = entry
    this.#options.log.error({ err: error, deviceId, input: input.type }, 'input failed')
    if (input.type === 'reply') this.#options.observer.reply('dropped')
    this.#answer(entry, internal)
    // Callers repeat what failed; what only moves a queue on has nobody who would.
    // What is known not to have left must not be taken for sent because the store failed once.
    if (input.type === 'unsent') this.#goOnLater(deviceId, input)
    else if (input.type !== 'new' && input.type !== 'cancel' && input.type !== 'tick') this.#goOnLater(deviceId)
  }

  /** Makes a step of the device a little later, again and again until one succeeds: that of the input, or any. */
  #goOnLater(deviceId: number, input: Tick | Unsent = { type: 'tick' }): void {
    if (this.#stopping) return
    const isArmed = this.#later.has(deviceId)
    if (!isArmed || input.type === 'unsent') this.#later.set(deviceId, input)
    if (isArmed) return
    const { clock } = this.#options
    clock.at(clock.now() + RETRY_AFTER_MS, () => {
      const next = this.#later.get(deviceId) ?? input
      this.#later.delete(deviceId)
      if (this.#stopping) return
      void this.apply<Tick | Unsent>(deviceId, next).then(answer => {
        // One that was deleted meanwhile has nothing to go on with. An `unsent` that fails comes back here by itself.
        if (!answer.ok && answer.code !== errors.notFound.code) this.#goOnLater(deviceId)
      })
    })
  }

  /** Everything before the commit. Answers nobody and changes nothing, so that it may be thrown away. */
  async #plan(entries: Entry[]): Promise<Plan> {
    const works = await this.#load(entries)
    entries.unshift(...this.#unsentMeanwhile(works))
    const now = this.#options.clock.now()
    const refused: Plan['refused'] = []
    let lastCommandId: string | null = null
    for (const entry of entries) {
      const work = works.get(entry.deviceId)
      const decided = work ? this.#decide(work, entry, now) : refuse(errors.notFound, 'device not found')
      if (typeof decided === 'string') lastCommandId = decided
      else if (decided !== null) refused.push({ entry, refusal: decided })
    }
    const all = [...works.values()]
    const changed = all.filter(isChanged)
    const inputs = await inputsToPublish(changed, this.#options.store)
    const { ids, cluster } = this.#options
    const life = cluster.epoch === null ? {} : { epoch: cluster.epoch }
    const batch = { node: ids.node, ...life, lastCommandId, now, changes: changed.map(toChange) }
    return { works: all, refused, inputs, batch }
  }

  /** What was said to be unsent while the queues were loaded: it is decided on before anything else of its device. */
  #unsentMeanwhile(works: ReadonlyMap<number, Work<Entry>>): Entry[] {
    const isOne = ({ deviceId, input }: Entry): boolean => input.type === 'unsent' && works.has(deviceId)
    const found = this.#pending.filter(isOne)
    if (found.length > 0) this.#pending = this.#pending.filter(entry => !isOne(entry))
    return found
  }

  async #load(entries: readonly Entry[]): Promise<Map<number, Work<Entry>>> {
    const keys = namedBy(entries)
    const queues = await this.#options.store.load(keys)
    const works = new Map<number, Work<Entry>>()
    for (const [i, { deviceId }] of keys.entries()) {
      const queue = queues[i] ?? null
      this.#checkLink(deviceId, queue)
      if (queue !== null) works.set(deviceId, newWork(queue))
    }
    return works
  }

  #compare(asked: readonly number[], sessions: readonly DeviceSession[]): void {
    const found = new Map(sessions.map(session => [session.deviceId, session]))
    for (const deviceId of asked) this.#checkLink(deviceId, found.get(deviceId) ?? null)
  }

  /** Other nodes let devices in, disable and delete them too: a link that is not the session on record any more ends, whoever did that. */
  #checkLink(deviceId: number, record: Pick<DeviceSession, 'sessionNo' | 'sessionNode'> | null): void {
    const here = this.#links.get(deviceId)
    // One that began since the record was read is not on it yet.
    if (here === undefined || (record !== null && record.sessionNo < here.session)) return
    if (record?.sessionNo === here.session && record.sessionNode === this.#options.ids.node) return
    this.#links.delete(deviceId)
    if (record === null) here.link.evicted('deleted')
    else if (record.sessionNo > here.session) here.link.takenOver()
    else here.link.evicted('disabled')
  }

  /** Decides one entry and notes what it changes. Returns the id that it used, if any, or why it is refused. A decision that throws fails alone. */
  #decide(work: Work<Entry>, entry: Entry, now: number): string | Refusal | null {
    const input = this.#input(work, entry, now)
    if ('ok' in input) return input
    let decision: Decision<Answers[Input['type']]>
    try {
      decision = decide(work.queue, input, this.#situation(work, now))
    } catch (error) {
      this.#options.log.error({ err: error, deviceId: work.deviceId, input: input.type }, 'decision failed')
      return internal
    }
    add(work, entry, decision)
    // A repeat uses no id, nor does what is refused.
    return input.type === 'enqueue' && work.rows.has(input.id) ? input.id : null
  }

  #input(work: Work<Entry>, entry: Entry, now: number): Input | Refusal {
    if (entry.input.type !== 'new') return entry.input
    const id = this.#options.ids.next(now, work.queue.lastCommandId)
    if (id === null) return overloaded('the clock is more than 5 s behind the ids already given')
    return enqueueOf(entry.input.command, id)
  }

  #situation(work: Work<Entry>, now: number) {
    const here = this.#links.get(work.deviceId)
    const presence = presenceIn(work, here ? { session: here.session, ...here.link.presence() } : null)
    const { ids, cluster, queueCap } = this.#options
    const dispatch = !this.#stopping && cluster.mayPublish()
    return { now, node: ids.node, others: cluster.others(), presence, dispatch, queueCap }
  }

  /** Another writer changed the device since it was loaded: nothing of it was written, so its inputs go first into the next batch. */
  #again(work: Work<Entry>): void {
    const again: Entry[] = []
    for (const { entry } of work.done) {
      entry.staleRetries += 1
      if (entry.staleRetries > STALE_RETRIES_MAX) this.#fail(entry, new Error('the device changed under every attempt'))
      else again.push(entry)
    }
    this.#pending.unshift(...again)
  }

  /** After the commit: waiters first, so that an effect of the same batch finds them; then effects; then answers. */
  #act(work: Work<Entry>, inputs: ReadonlyMap<string, string>): void {
    const answers = work.done.map(({ entry, answer }) => ({ entry, answer: this.#accepted(entry, answer) }))
    for (const { entry, answer } of answers)
      if (entry.link && answer.ok && 'session' in answer) this.#attach(work.deviceId, answer.session, entry.link)
    for (const effect of evictionsFirst(work.effects)) {
      try {
        this.#effect(work, effect, inputs)
      } catch (error) {
        // A bug in one link must neither take the others' answers with it nor stop the engine. What it was to send stays sent: some of it may have left.
        this.#options.log.error({ err: error, deviceId: work.deviceId, effect: effect.type }, 'effect failed')
      }
    }
    for (const event of work.events) this.#options.observer.transition(event)
    for (const command of work.queue.open) if (work.rows.has(command.id)) this.#stillOpen(command)
    for (const { entry, answer } of answers) this.#answer(entry, answer)
  }

  #accepted(entry: Entry, answer: Answers[keyof Answers] | Refusal): Answers[keyof Answers] | Accepted | Refusal {
    if (entry.input.type !== 'new' || !answer.ok || !('command' in answer)) return answer
    const { command } = answer
    const waits = entry.input.wait && command !== null && isOpen(command.state)
    if (!waits) return { ...answer, settlement: null }
    if (this.#stopping) return { ...answer, settlement: Promise.resolve({ type: 'stopping', command }) }
    return { ...answer, settlement: this.#waiters.wait(entry.deviceId, command) }
  }

  #answer(entry: Entry, answer: Answers[keyof Answers] | Accepted | Refusal): void {
    if (entry.input.type === 'new' && entry.input.wait) this.#waiters.release()
    if (answer.ok && 'outcome' in answer) this.#options.observer.reply(answer.outcome)
    entry.resolve(answer)
  }

  #attach(deviceId: number, session: number, link: Link): void {
    const before = this.#links.get(deviceId)
    this.#links.set(deviceId, { session, link })
    before?.link.takenOver()
  }

  #effect(work: Work<Entry>, effect: Effect, inputs: ReadonlyMap<string, string>): void {
    switch (effect.type) {
      case 'publish':
        this.#publish(work, effect, inputs)
        break
      case 'settled':
        this.#waiters.written(
          effect.command,
          work.outcomes.find(({ commandId }) => commandId === effect.command.id) ?? null,
        )
        break
      case 'wake':
        // Told with all of this batch, once they are done.
        break
      case 'suspect': {
        const here = this.#links.get(work.deviceId)
        if (here?.session === effect.session) here.link.suspect()
        break
      }
      case 'evict':
        this.#evict(work.deviceId, effect)
    }
  }

  #evict(deviceId: number, { session, why }: Effect & { type: 'evict' }): void {
    const here = this.#links.get(deviceId)
    if (here === undefined || here.session > session) return
    this.#links.delete(deviceId)
    here.link.evicted(why)
  }

  /** One synchronous step from the last look at session and deadline to the socket. What did not leave is said to be unsent. */
  #publish(work: Work<Entry>, effect: Effect & { type: 'publish' }, inputs: ReadonlyMap<string, string>): void {
    const { commandId, kind, identifier, session, notAfter } = effect
    // A later input of the same batch may have settled it already: then there is nothing to send any more.
    if (!work.queue.open.some(command => command.id === commandId && command.state === State.sent)) return
    const inputJson = inputs.get(commandId)
    assert(inputJson !== undefined, 'a publish has its input')
    const here = this.#links.get(work.deviceId)
    let reason: Unsent['reason'] | null
    if (here?.session !== session) reason = 'sessionGone'
    else if (!this.mayPublish()) reason = 'fenced'
    else if (this.#options.clock.now() >= notAfter) reason = 'late'
    else reason = here.link.publish({ commandId, kind, identifier, inputJson, session, notAfter })
    if (reason === null) this.#options.observer.published()
    else void this.apply(work.deviceId, { type: 'unsent', commandId, session, reason })
  }

  #stillOpen(command: Command): void {
    this.#upkeep.arm(lapsesAt(command))
    this.#waiters.written(command, null)
  }
}

const internal = refuse(errors.internal, 'Internal Server Error')

const unknown = refuse(
  errors.outcomeUnknown,
  'Service unavailable: the store was lost while it wrote; it is not known whether this was done, so look before you repeat it',
)
