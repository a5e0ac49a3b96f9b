// The only writer of commands: collects inputs, loads their queues, lets the core decide, commits them together, then acts and answers.
// All inputs that arrive while a batch is in flight form the next one: many devices, one commit, one fsync. One batch is in flight at a time.
// Not here: rules (core/queue.ts), SQL (store/), sockets (mqtt/, http/). Long, because everything from the collecting to the answer shares one batch and
// its waiters; what is pure of it is in batch.ts.

import { evictionsFirst, isChanged, newWork, toChange, type Work } from './batch.ts'
import type { Clock, Timers } from './clock.ts'
import { type Command, type CommandBody, type Downlink, isOpen, type Kind, State } from './core/command.ts'
import { assert, errors, type Refusal, refuse } from './core/errors.ts'
import type { Ids } from './core/ids.ts'
import {
  BATCH_MAX_INPUTS,
  ENGINE_QUEUE_MAX,
  PURGE_EVERY_MS,
  PURGE_MAX_ROWS,
  RETRY_AFTER_MS,
  STALE_RETRIES_MAX,
  SWEEP_MAX_DEVICES,
  WAITERS_MAX,
} from './core/limits.ts'
import {
  type Answers,
  type AnswerTo,
  type Decision,
  decide,
  type Effect,
  type Input,
  isDue,
  lapsesAt,
  type Outcome,
  type Presence,
  type QueueEvent,
  type Tick,
  type Unsent,
} from './core/queue.ts'
import type { Batch, CommandStore, Tokens } from './store/store.ts'

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

/** The logger's face; pino has it. */
export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** What the engine tells whoever counts. */
export interface Observer {
  batch(inputs: number, durationMs: number): void
  transition(event: QueueEvent): void
  published(): void
  reply(outcome: Answers['reply']['outcome'] | 'dropped'): void
}

export interface EngineOptions {
  readonly store: CommandStore & Pick<Tokens, 'purgeTokens'>
  readonly clock: Clock & Timers
  readonly ids: Ids
  readonly log: Log
  readonly observer: Observer
  readonly queueCap: number
  readonly retentionMs: number
  /** Starts the next batch: setImmediate, so that all that came in this turn of the loop goes together. */
  readonly defer: (run: () => void) => void
}

/** A new command, already validated against the model. */
export interface NewCommand {
  readonly kind: Kind
  readonly identifier: string
  readonly timeoutS: number
  readonly pendingTtlS: number
  readonly by: string
  readonly nameJson: string
  readonly inputJson: string
}

/** How an instant command ended for the caller who waits for it; `stopping`: the server goes down and the command is on record, open. */
export type Settlement =
  | { readonly type: 'settled'; readonly command: Command; readonly outcome: Outcome | null }
  | { readonly type: 'stopping'; readonly command: Command }

export interface Accepted {
  readonly ok: true
  readonly command: Command
  /** set where the caller asked to wait and the command is open; it always resolves, by the command's deadline at the latest */
  readonly settlement: Promise<Settlement> | null
}

interface Entry {
  readonly deviceId: number
  readonly input: Input | NewInput
  readonly link: Link | null
  readonly resolve: (answer: Answers[keyof Answers] | Accepted | Refusal) => void
  staleRetries: number
  /** it was in a batch that failed, and is tried again by itself */
  alone: boolean
}
interface NewInput {
  readonly type: 'new'
  readonly command: NewCommand
  readonly wait: boolean
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
  /** callers of instant commands by commandId, with the command as it last became durable */
  readonly #waiters = new Map<string, { command: Command; readonly resolve: (settlement: Settlement) => void }>()
  /** devices whose next step is owed, because one failed, and which */
  readonly #later = new Map<number, Tick | Unsent>()
  #pending: Entry[] = []
  #pendingWaits = 0
  #running = false
  #stopping = false
  #idle: (() => void)[] = []
  #armedAt = Number.POSITIVE_INFINITY
  #disarm = (): void => undefined
  #disarmPurge = (): void => undefined
  #sweeping: Promise<void> | null = null
  #sweepAgain = false

  constructor(options: EngineOptions) {
    this.#options = options
  }

  /** Takes up what the last process left: deadlines and expiries are due from now on. */
  async start(): Promise<void> {
    const next = await this.#options.store.nextDue()
    if (next !== null) this.#arm(next)
    this.#armPurge()
  }

  /**
   * Stops sending: no new head leaves, callers who wait are told that their command is on record, inputs already taken are committed.
   * Resolves when nothing is in flight. Inputs may still come (a last reply, disconnects) and are committed too.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#disarm()
    this.#disarmPurge()
    for (const { command, resolve } of this.#waiters.values()) resolve({ type: 'stopping', command })
    this.#waiters.clear()
    await this.#sweeping
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

  /** Devices connected, callers waiting, inputs waiting: for metrics. */
  gauges(): { readonly online: number; readonly waiters: number; readonly pending: number } {
    return { online: this.#links.size, waiters: this.#waiters.size, pending: this.#pending.length }
  }

  /**
   * Accepts a command: durable when this resolves. With `wait`, an instant command's settlement comes as a promise of its own;
   * who does not wait any longer just drops it, the command goes on. Refusals: 99404 no such device, 99503 overloaded or stopping (nothing stored).
   */
  enqueue(deviceId: number, command: NewCommand, wait: boolean): Promise<Accepted | Refusal> {
    if (this.#pending.length >= ENGINE_QUEUE_MAX) return Promise.resolve(overloaded('too many inputs are waiting'))
    if (wait) {
      if (this.#stopping) return Promise.resolve(overloaded('the server is stopping'))
      if (this.#waiters.size + this.#pendingWaits >= WAITERS_MAX)
        return Promise.resolve(overloaded('too many callers wait for instant commands'))
      this.#pendingWaits += 1
    }
    return this.#submit<Accepted>(deviceId, { type: 'new', command, wait }, null)
  }

  /**
   * Cancels one created command, or with null all of the device. Exactly those reported were moved from created to cancelled by this call,
   * and will never be published; decided against one version of the device, so that it cannot race a dispatch.
   */
  cancel(deviceId: number, commandId: string | null, by: string): Promise<Answers['cancel']> {
    return this.#ask(deviceId, { type: 'cancel', commandId, by })
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
    if (this.#pending.length >= ENGINE_QUEUE_MAX) return Promise.resolve(overloaded('too many inputs are waiting'))
    return this.apply(deviceId, input)
  }

  /**
   * A device logged in. On success `link` has become its link, and the link before it, if any, was told that it is taken over. `link` may be told
   * that it is taken over or evicted before this resolves. With `activates` false it did not prove a secret of its own, and is not active by this.
   * Refusals: 99403 it is disabled, 99404 it does not exist any more, 99500.
   */
  connect(deviceId: number, link: Link, activates = true): Promise<Answers['connected'] | Refusal> {
    const input: Input = { type: 'connected', node: this.#options.ids.node, activates }
    return this.#submit<Answers['connected']>(deviceId, input, link)
  }

  /** A session ended. Of an older session than the newest one it changes nothing. */
  disconnect(deviceId: number, session: number, reason: string): Promise<Answers['disconnected'] | Refusal> {
    if (this.#links.get(deviceId)?.session === session) this.#links.delete(deviceId)
    return this.apply(deviceId, { type: 'disconnected', session, reason })
  }

  /** Any other input. Never rejects: a failure inside is answered 99500 and logged. */
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

  /** One bad input never harms another: a batch that fails is tried again input by input, and the one that fails alone is answered 99500. */
  async #batch(entries: Entry[]): Promise<void> {
    const startedAt = performance.now()
    let plan: Plan
    let stale: ReadonlySet<number>
    try {
      plan = await this.#plan(entries)
      stale = new Set(plan.batch.changes.length > 0 ? await this.#options.store.commit(plan.batch) : [])
    } catch (error) {
      const [only] = entries
      if (only && entries.length === 1) return this.#fail(only, error)
      this.#options.log.warn({ err: error, inputs: entries.length }, 'batch failed, trying its inputs one by one')
      for (const entry of entries) entry.alone = true
      this.#pending.unshift(...entries)
      return
    }
    for (const { entry, refusal } of plan.refused) this.#answer(entry, refusal)
    for (const work of plan.works) {
      if (stale.has(work.deviceId)) this.#again(work)
      else this.#act(work, plan.inputs)
    }
    this.#options.observer.batch(entries.length, performance.now() - startedAt)
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
    const inputs = await this.#inputsToPublish(changed)
    const batch = { node: this.#options.ids.node, lastCommandId, now, changes: changed.map(toChange) }
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
    const named = new Map<number, string[]>()
    for (const { deviceId, input } of entries) {
      const ids = named.get(deviceId) ?? []
      named.set(deviceId, ids)
      if ('commandId' in input && input.commandId !== null) ids.push(input.commandId)
    }
    const keys = [...named].map(([deviceId, commandIds]) => ({ deviceId, commandIds }))
    const queues = await this.#options.store.load(keys)
    const works = new Map<number, Work<Entry>>()
    for (const queue of queues) if (queue !== null) works.set(queue.deviceId, newWork(queue))
    return works
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
    work.queue = decision.queue
    for (const command of decision.changed) work.rows.set(command.id, command)
    work.outcomes.push(...decision.outcomes)
    work.events.push(...decision.events)
    work.effects.push(...decision.effects)
    work.done.push({ entry, answer: decision.answer })
    if (input.type !== 'enqueue' || entry.input.type !== 'new' || !decision.answer.ok) return null
    work.bodies.set(input.id, bodyOf(entry.input.command))
    return input.id
  }

  #input(work: Work<Entry>, entry: Entry, now: number): Input | Refusal {
    if (entry.input.type !== 'new') return entry.input
    const id = this.#options.ids.next(now, work.queue.lastCommandId)
    if (id === null) return overloaded('the clock is more than 5 s behind the ids already given')
    const { kind, identifier, timeoutS, pendingTtlS, by } = entry.input.command
    return { type: 'enqueue', id, kind, identifier, timeoutS, pendingTtlS, by }
  }

  #situation({ deviceId, effects }: Work<Entry>, now: number) {
    const here = this.#links.get(deviceId)
    const found = here ? { session: here.session, ...here.link.presence() } : null
    // An earlier input of this batch found the connection suspect, or ended it, which its link is told after the commit only.
    const isSuspect = effects.some(effect => effect.type === 'suspect' && effect.session === here?.session)
    const isEvicted = effects.some(effect => effect.type === 'evict' && here && here.session <= effect.session)
    const suspected = found && isSuspect ? { ...found, ready: false } : found
    const presence = isEvicted ? null : suspected
    return { now, presence, dispatch: !this.#stopping, queueCap: this.#options.queueCap }
  }

  /** What the publishes of this batch carry. Read before the commit: a read that fails then leaves nothing half done. */
  async #inputsToPublish(works: readonly Work<Entry>[]): Promise<Map<string, string>> {
    const inputs = new Map<string, string>()
    const missing: string[] = []
    for (const work of works) {
      for (const effect of work.effects) {
        if (effect.type !== 'publish') continue
        const body = work.bodies.get(effect.commandId)
        if (body) inputs.set(effect.commandId, body.inputJson)
        else missing.push(effect.commandId)
      }
    }
    if (missing.length === 0) return inputs
    const bodies = await this.#options.store.bodies(missing)
    for (const id of missing) {
      const body = bodies.get(id)
      assert(body, `command ${id} has a body`)
      inputs.set(id, body.inputJson)
    }
    return inputs
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
    const waits = entry.input.wait && isOpen(command.state)
    if (!waits) return { ok: true, command, settlement: null }
    if (this.#stopping) return { ok: true, command, settlement: Promise.resolve({ type: 'stopping', command }) }
    const settlement = new Promise<Settlement>(resolve => this.#waiters.set(command.id, { command, resolve }))
    return { ok: true, command, settlement }
  }

  #answer(entry: Entry, answer: Answers[keyof Answers] | Accepted | Refusal): void {
    if (entry.input.type === 'new' && entry.input.wait) this.#pendingWaits -= 1
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
        this.#settled(effect.command, work.outcomes.find(({ commandId }) => commandId === effect.command.id) ?? null)
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
    else if (this.#options.clock.now() >= notAfter) reason = 'late'
    else reason = here.link.publish({ commandId, kind, identifier, inputJson, session, notAfter })
    if (reason === null) this.#options.observer.published()
    else void this.apply(work.deviceId, { type: 'unsent', commandId, session, reason })
  }

  #stillOpen(command: Command): void {
    this.#arm(lapsesAt(command))
    const waiter = this.#waiters.get(command.id)
    if (waiter) waiter.command = command
  }

  #settled(command: Command, outcome: Outcome | null): void {
    const waiter = this.#waiters.get(command.id)
    this.#waiters.delete(command.id)
    waiter?.resolve({ type: 'settled', command, outcome })
  }

  /** One timer for everything that lapses: set to the earliest known instant; what it finds stale costs one look at the index. */
  #arm(instant: number): void {
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
    const { store, clock, log } = this.#options
    while (this.#sweepAgain) {
      this.#sweepAgain = false
      try {
        const devices = await store.due(clock.now(), SWEEP_MAX_DEVICES)
        const answers = await Promise.all(devices.map(deviceId => this.apply(deviceId, { type: 'tick' })))
        // One that was deleted meanwhile has nothing due any more.
        const failed = answers.some(answer => !answer.ok && answer.code !== errors.notFound.code)
        const next = await store.nextDue()
        if (next !== null) this.#arm(failed ? Math.max(next, clock.now() + RETRY_AFTER_MS) : next)
      } catch (error) {
        log.error({ err: error }, 'sweep failed, trying again')
        this.#arm(clock.now() + RETRY_AFTER_MS)
      }
    }
    this.#sweeping = null
  }

  #armPurge(): void {
    const { clock } = this.#options
    this.#disarmPurge = clock.at(clock.now() + PURGE_EVERY_MS, () => void this.#purge())
  }

  /** Final records past their retention, and with them what else has had its time: tokens and proofs. */
  async #purge(): Promise<void> {
    const { store, clock, retentionMs, log } = this.#options
    try {
      await store.purgeTokens(clock.now())
      let purged = PURGE_MAX_ROWS
      while (purged === PURGE_MAX_ROWS && !this.#stopping) {
        purged = await store.purge(clock.now() - retentionMs, PURGE_MAX_ROWS)
        // Other work gets its turn between two steps.
        await new Promise<void>(resolve => this.#options.defer(resolve))
      }
    } catch (error) {
      log.error({ err: error }, 'purge failed, trying again later')
    }
    if (!this.#stopping) this.#armPurge()
  }
}

const overloaded = (why: string): Refusal =>
  refuse(errors.unavailable, `Service unavailable: ${why}; nothing was stored`)

const internal = refuse(errors.internal, 'Internal Server Error')

const bodyOf = ({ nameJson, inputJson }: NewCommand): CommandBody => ({
  nameJson,
  inputJson,
  outputJson: null,
  deviceCode: null,
  deviceMessage: null,
})
