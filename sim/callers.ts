// Callers: they send commands and wait or not, cancel one or all, get, search, repeat themselves and hang up. What they are told goes to the history.

import { isOpen, Kind, State } from '../src/core/command.ts'
import { errors, isUnavailable, type Refusal } from '../src/core/errors.ts'
import { NODE_MARGIN_MS } from '../src/core/limits.ts'
import type { Accepted, NewCommand, Repeated } from '../src/engine.ts'
import type { StoredCommand } from '../src/store/store.ts'
import type { Settlement } from '../src/waiters.ts'
import type { Waiter } from './checks.ts'
import type { Call, History } from './history.ts'
import type { Incarnation, Moment } from './incarnation.ts'
import type { Once } from './keys.ts'
import { Repeats, type Request } from './repeats.ts'
import type { Surroundings } from './units.ts'

const THINK_MAX_MS = 1_500
const BURST_MAX = 6
const MANY = 7
const MANY_TWICE = 0.5
/** characters; three of these are more than a connection may have on its way */
const LARGE = 60_000
const ALL_LARGE = 0.07
const REMEMBERED = 12
/** chance of each caller */
const AT_MOMENTS: Readonly<Record<Moment, number>> = {
  login: 0.08,
  input: 0,
  published: 0,
  'published unread': 0.5,
  held: 0.05,
  stop: 0.05,
}
const IN_TIME_MAX_MS = 10_000
const SEARCH_ALL = Number.MAX_SAFE_INTEGER
/** nodes that a call is made to, one after the other, where there are several and one sends it away */
const ATTEMPTS = 2

/** The store was lost while it wrote: it may have been done. */
const isUnknown = ({ code }: Refusal): boolean => code === errors.outcomeUnknown.code

/** What all callers have in common: numbers for their inputs, so that each can be told from all others, and calls that any of them may repeat. */
export interface Shared {
  tag: number
  readonly requests: Request[]
}

interface Begun {
  readonly call: Call
  readonly process: Incarnation
}

/** What an enqueue comes to; `stored`: what is on record of an instant command that was over, of which whoever repeats the call is told how it ended. */
interface Result {
  readonly answer: Accepted | Refusal
  readonly stored: StoredCommand | null
}

async function ask(
  { engine, store }: Incarnation,
  deviceId: number,
  command: NewCommand,
  wait: boolean,
): Promise<Result> {
  const answer = await engine.enqueue(deviceId, command, wait)
  const isOver = answer.ok && 'repeated' in answer && answer.settlement === null && answer.repeated.refusedCode === null
  return { answer, stored: isOver && wait ? await store.command(deviceId, answer.repeated.commandId) : null }
}

type Act = (deviceId: number) => void

export class Caller {
  readonly #around: Surroundings
  readonly #history: History
  readonly #deviceIds: readonly number[]
  readonly #shared: Shared
  readonly #repeats: Repeats
  /** ids that it was told, newest last, with their devices */
  readonly #known: { readonly deviceId: number; readonly id: string }[] = []
  #last: () => void = () => undefined
  /** cancels that it has not been answered, and by whom */
  readonly #cancelling = new Map<Call, Incarnation>()
  /** the same of calls that may be repeated */
  readonly #sending = new Map<Call, { readonly request: Request; readonly process: Incarnation }>()

  constructor(around: Surroundings, history: History, deviceIds: readonly number[], shared: Shared) {
    this.#around = around
    this.#history = history
    this.#deviceIds = deviceIds
    this.#shared = shared
    this.#repeats = new Repeats(around, shared.requests, request => this.#send(request))
    around.site.onDeath.push(process => this.#abandoned(process))
    around.site.onMoment.push((moment, deviceId) => this.#atTheMoment(moment, deviceId))
    this.#actLater()
  }

  #abandoned(by: Incarnation): void {
    for (const [call, process] of this.#cancelling) {
      if (process !== by) continue
      this.#around.checks.lostCancel(call.deviceId)
      this.#cancelling.delete(call)
    }
    for (const [call, { request, process }] of this.#sending) {
      if (process !== by) continue
      this.#sending.delete(call)
      this.#repeats.lost(request)
    }
  }

  #atTheMoment(moment: Moment, deviceId: number): void {
    const { world } = this.#around
    const { random } = world
    if (world.calm || !random.chance(AT_MOMENTS[moment])) return
    world.count(`caller calls at the moment, ${moment}`)
    if (moment === 'stop') this.#enqueue(deviceId, 0)
    else world.after(random.int(0, 1), 'actor', () => this.#do(deviceId))
  }

  #actLater(): void {
    const { world } = this.#around
    world.after(world.random.int(1, THINK_MAX_MS), 'actor', () => {
      if (world.calm) return
      this.#act()
      this.#actLater()
    })
  }

  #act(): void {
    const { random, faults } = this.#around.world
    const toMany = faults.gateways === 0 ? 4 : 16
    const does = random.weighted({ one: 66, burst: 10, again: 8, 'in time': 9, repeat: 8, 'to many': toMany })
    if (does === 'again') {
      this.#last()
      return
    }
    if (does === 'in time') {
      this.#inTime()
      return
    }
    if (does === 'repeat') {
      this.#repeats.again()
      return
    }
    if (does === 'to many') {
      this.#toMany()
      return
    }
    const deviceId = random.pick(this.#deviceIds)
    const times = does === 'burst' ? random.int(2, BURST_MAX) : 1
    for (let i = 0; i < times; i += 1) this.#do(deviceId)
  }

  /** The same for one device after the other, all at once: more than a gateway may have on its way. */
  #toMany(): void {
    const { world } = this.#around
    const from = world.random.int(0, this.#deviceIds.length - 1)
    const ttlS = world.random.chance(0.3) ? 0 : this.#drawTtl()
    world.count('caller calls for many')
    const isLarge = world.random.chance(ALL_LARGE)
    const many = this.#deviceIds.slice(from, from + MANY)
    for (const deviceId of many) this.#enqueue(deviceId, ttlS, isLarge)
    // What comes second is decided on as the first ones end, together where they were sent together.
    if (world.random.chance(MANY_TWICE)) for (const deviceId of many) this.#enqueue(deviceId, this.#drawTtl())
  }

  /** Something is called in the very millisecond in which an open command lapses, or the one before. */
  #inTime(): void {
    const { world, ledger, site } = this.#around
    const { random } = world
    const deviceId = random.pick(this.#deviceIds)
    const open = [...ledger.inState(deviceId, State.created), ...ledger.inState(deviceId, State.sent)]
    if (open.length === 0) return
    const { id, state } = random.pick(open)
    const due = ledger.dueAt(deviceId, id, state)
    if (due === null) return
    const waitMs = due - site.now - random.int(0, 1)
    if (waitMs < 0 || waitMs > IN_TIME_MAX_MS) return
    world.count('caller calls in the last moment')
    const act = random.pick([() => this.#cancel(deviceId, id), () => this.#search(deviceId), () => this.#do(deviceId)])
    world.after(waitMs, 'actor', act)
  }

  #do(deviceId: number): void {
    const acts: Record<string, Act> = {
      instant: device => this.#enqueue(device, 0),
      cached: device => this.#enqueue(device, this.#drawTtl()),
      cancelOne: () => this.#cancelOne(),
      cancelAll: device => this.#cancel(device, null),
      get: () => this.#get(),
      search: device => this.#search(device),
    }
    const weights = { instant: 22, cached: 34, cancelOne: 12, cancelAll: 5, get: 14, search: 9 }
    const act = acts[this.#around.world.random.weighted(weights)]
    if (act === undefined) return
    this.#last = () => act(deviceId)
    act(deviceId)
  }

  #drawTtl(): number {
    const { random } = this.#around.world
    // With several nodes time is dear: each looks at the store every second.
    if (this.#around.site.isMany) return random.pick([1, 2, 5, 10, 20, 60, random.int(1, 60)])
    return random.pick([1, 2, 5, 10, 60, 60, 600, random.int(1, 900)])
  }

  /** Begins a call to some process, if one listens. */
  #begin(deviceId: number, what: string): Begun | null {
    const { site, world } = this.#around
    const process = site.pick()
    const call = this.#history.invoke(deviceId, what, process?.clock.now() ?? world.now)
    if (process !== null) return { call, process }
    world.count('call nobody listens')
    return null
  }

  /** What a dead process would have answered is never heard. */
  #call<A>({ call, process }: Begun, run: () => Promise<A>, answered: (answer: A) => void): void {
    const { world } = this.#around
    world.note(call.deviceId, `call ${call.invokedAt}: ${call.what}`)
    process.callBegins()
    const ended = (answer: A): void => {
      if (!process.alive) return
      world.note(call.deviceId, `call ${call.invokedAt} is answered`)
      answered(answer)
      process.callEnds()
    }
    const failed = (error: unknown): void => {
      if (!process.alive) return
      process.unexpected(error, 'a call rejects')
      world.count('call failed by a store fault')
      process.callEnds()
    }
    process.reach(() => run().then(ended, failed))
  }

  #enqueue(deviceId: number, pendingTtlS: number, isLarge = false): void {
    const { random } = this.#around.world
    const kind = random.pick([Kind.set, Kind.invoke])
    const command = {
      kind,
      identifier: kind === Kind.set ? 'point' : random.pick(['reboot', 'configure']),
      timeoutS: random.pick([1, 1, 2, 5, 30]),
      pendingTtlS,
      by: 'application',
      nameJson: '{"defaultValue":"name","i18nValue":{}}',
    }
    const chars = isLarge ? LARGE : random.chance(0.1) ? 200 : 0
    const waits = pendingTtlS === 0 && random.chance(0.95)
    const once = this.#repeats.draw(pendingTtlS, `tag ${this.#shared.tag + 1}`)
    const request = { deviceId, command, chars, waits, once }
    this.#send(request)
    this.#repeats.made(request)
  }

  /** A call with a number of its own, also where it is a repeat: it tells which of them put a command on record. */
  #send(request: Request, attempts = ATTEMPTS): void {
    const { deviceId, command, chars, waits, once } = request
    const { world, ledger, site } = this.#around
    this.#shared.tag += 1
    const { tag } = this.#shared
    const kind = command.pendingTtlS === 0 ? 'instant' : 'cached'
    const key = once === null ? '' : `, key ${once.application} ${once.key}, request ${once.requestHash}`
    const begun = this.#begin(deviceId, `enqueue ${kind}, tag ${tag}${key}`)
    if (begun === null) return
    const { call, process } = begun
    world.count(`input enqueue ${kind}`)
    const repeatable = once === null ? {} : { repeatable: once }
    if (once !== null) {
      ledger.keys.asks(tag, once)
      this.#sending.set(call, { request, process })
    }
    const padding = chars > 0 ? { padding: 'x'.repeat(chars) } : {}
    const inputJson = JSON.stringify({ tag, ...padding })
    this.#call(
      begun,
      () => ask(process, deviceId, { ...command, inputJson, ...repeatable }, waits),
      ({ answer, stored }) => {
        this.#sending.delete(call)
        if (answer.ok) return this.#taken(begun, request, tag, answer, stored)
        this.#refused(call, tag, answer, once)
        if (isUnavailable(answer)) this.#repeats.lost(request)
        const again = once === null && site.isMany && attempts > 1 && answer.code === errors.unavailable.code
        if (again) this.#send(request, attempts - 1)
      },
    )
  }

  /** The call is done, now or before. */
  #taken(begun: Begun, request: Request, tag: number, answer: Accepted, stored: StoredCommand | null): void {
    const { world, checks } = this.#around
    const { call, process } = begun
    const { command, settlement } = answer
    const repeats = 'repeated' in answer
    const id = repeats ? answer.repeated.commandId : answer.command.id
    const state = command === null ? 'over' : `state ${command.state}`
    world.note(call.deviceId, `tag ${tag} is ${repeats ? 'a repeat of' : 'accepted as'} ${id}, ${state}`)
    if (repeats) this.#repeated(call, request, tag, answer, stored)
    else {
      checks.accepted(call, answer.command, tag)
      this.#remember(call.deviceId, id)
    }
    if (command === null || settlement === null) this.#repeats.over(request)
    else this.#await({ call, id, expireAt: command.expireAt, process: process.number, repeats }, settlement, request)
  }

  #repeated(call: Call, { once, waits }: Request, tag: number, answer: Repeated, stored: StoredCommand | null): void {
    const { world, checks, ledger } = this.#around
    const { repeated, command, settlement } = answer
    const { deviceId } = call
    const isOpenNow = command !== null && isOpen(command.state)
    world.count(`call answered as a repeat, ${isOpenNow ? 'open' : 'over'}`)
    if (once === null) ledger.broken(44, deviceId, `${call.what} has no key, and is taken for a repeat`)
    else ledger.keys.repeated(call, once, repeated, command)
    checks.repeated(call, command, repeated.commandId, tag)
    if (waits && isOpenNow && settlement === null)
      ledger.broken(46, deviceId, `${call.what} asks to wait for ${repeated.commandId}, which is open, and may not`)
    if (stored !== null) ledger.keys.wasOver(deviceId, stored)
    else if (waits && !isOpenNow && repeated.refusedCode === null) this.#mustBeGone(deviceId, repeated.commandId)
  }

  /** A caller that hangs up drops the promise; that it is kept all the same is looked at for everybody. */
  #await(waiter: Waiter, settlement: Promise<Settlement>, request: Request): void {
    const { world, checks, ledger, site } = this.#around
    const { id, call, repeats } = waiter
    const process = site.process(waiter.process)
    if (process === null) return
    const hangsUp = world.random.chance(0.1)
    if (hangsUp) world.count('caller hangs up')
    if (repeats) world.count('caller joins those who wait')
    checks.waits(waiter)
    process.callBegins()
    void settlement.then(told => {
      if (!process.alive) return
      const isElsewhere = ledger.log(call.deviceId).commands.get(id)?.settledBy !== process.number
      world.count(`settlement ${told.type} ${told.command.state}${hangsUp ? ' (hung up)' : ''}`)
      if (told.type === 'settled' && isElsewhere) world.count('settlement by another node')
      checks.settled(waiter, told)
      this.#repeats.over(request)
      process.callEnds()
    })
  }

  #refused(call: Call, tag: number, answer: Refusal, once: Once | null): void {
    const { world, checks, ledger } = this.#around
    const { code } = answer
    world.count(`call refused ${code}`)
    if (isUnknown(answer)) {
      world.count('call answered: not known whether it was done')
      return
    }
    if (code === errors.keyReused.code) ledger.keys.reused(call, once)
    const { deleted } = ledger.log(call.deviceId)
    if (code === errors.notFound.code && !deleted)
      ledger.broken(1, call.deviceId, 'is not found, and was never deleted')
    checks.refused(call, tag)
  }

  #remember(deviceId: number, id: string): void {
    this.#known.push({ deviceId, id })
    if (this.#known.length > REMEMBERED) this.#known.shift()
  }

  #drawKnown(): { readonly deviceId: number; readonly id: string } | null {
    const { random } = this.#around.world
    if (this.#known.length === 0) return null
    // The newest are those that still move.
    const from = random.chance(0.7) ? Math.max(0, this.#known.length - 3) : 0
    return this.#known[random.int(from, this.#known.length - 1)] ?? null
  }

  #cancelOne(): void {
    const known = this.#drawKnown()
    if (known !== null) this.#cancel(known.deviceId, known.id)
  }

  #cancel(deviceId: number, id: string | null): void {
    const { world, checks, ledger } = this.#around
    const begun = this.#begin(deviceId, id === null ? 'cancel all' : `cancel ${id}`)
    if (begun === null) return
    const { call, process } = begun
    world.count(`input cancel ${id === null ? 'all' : 'one'}`)
    this.#cancelling.set(call, process)
    this.#call(
      begun,
      () => process.engine.cancel(deviceId, id, 'application'),
      answer => {
        this.#cancelling.delete(call)
        if (!answer.ok) {
          if (isUnknown(answer)) checks.lostCancel(deviceId)
          world.count(`cancel refused ${answer.code}`)
          if (answer.code === errors.commandNotFound.code && id !== null) this.#mustBeGone(deviceId, id)
          return
        }
        const { cancelled, notCancelled } = answer
        world.count(cancelled.length > 0 ? 'cancel succeeds' : 'cancel finds nothing')
        world.note(deviceId, `cancelled ${cancelled.map(command => command.id).join(', ') || 'nothing'}`)
        checks.cancelled(call, cancelled, id === null)
        if (id !== null && cancelled.some(command => command.id !== id))
          ledger.broken(16, deviceId, `cancel ${id} cancelled another command`)
        if (id !== null && cancelled.length + notCancelled.length !== 1)
          ledger.broken(16, deviceId, `cancel ${id} does not say what became of it`)
        for (const { commandId, state } of notCancelled) {
          if (state === State.created) ledger.broken(16, deviceId, `${commandId} is created and was not cancelled`)
          this.#history.saw(call, commandId, state)
          this.#history.matches(call, [[commandId, state]])
        }
      },
    )
  }

  /** Only a purge may take a record away. */
  #mustBeGone(deviceId: number, id: string): void {
    const { ledger } = this.#around
    const entry = ledger.log(deviceId).commands.get(id)
    if (entry !== undefined && !this.#history.mayBeGone(entry))
      ledger.broken(1, deviceId, `${id} was accepted and is not found`)
  }

  #get(): void {
    const known = this.#drawKnown()
    if (known === null) return
    const { deviceId, id } = known
    const begun = this.#begin(deviceId, `get ${id}`)
    if (begun === null) return
    const { call, process } = begun
    this.#call(
      begun,
      async () => {
        const settled = await process.engine.settleDue(deviceId)
        return settled.ok ? { stored: await process.store.command(deviceId, id) } : settled
      },
      answer => {
        if ('ok' in answer) return this.#around.world.count('read refused')
        if (answer.stored === null) return this.#mustBeGone(deviceId, id)
        const { state } = answer.stored.command
        this.#history.read(call, id, state, this.#lapsesLaterMs(process, deviceId, id))
        this.#history.matches(call, [[id, state]])
      },
    )
  }

  /** What was sent over a session that is not where it is asked for lapses there a little later: its node may be about to send it. */
  #lapsesLaterMs(process: Incarnation, deviceId: number, id: string): number {
    const { site, ledger } = this.#around
    const { commands, sessions } = ledger.log(deviceId)
    return site.isMany && !(process.holds(deviceId) && commands.get(id)?.sentSession === sessions) ? NODE_MARGIN_MS : 0
  }

  #search(deviceId: number): void {
    const { world, ledger } = this.#around
    const states = world.random.pick([[1, 2, 3, 4, 5, 6, 7], [1], [1, 4], [2, 3, 5, 6, 7]] as const satisfies State[][])
    const begun = this.#begin(deviceId, `search state in (${states.join(', ')})`)
    if (begun === null) return
    const { call, process } = begun
    this.#call(
      begun,
      async () => {
        const settled = await process.engine.settleDue(deviceId)
        if (!settled.ok) return settled
        const condition = { op: 'state', states, negated: false } as const
        return { page: await process.store.search(deviceId, condition, 0, SEARCH_ALL) }
      },
      answer => {
        if ('ok' in answer) return world.count('read refused')
        const { rows, total } = answer.page
        if (rows.length !== total) ledger.broken(16, deviceId, `a search has ${rows.length} rows of ${total}`)
        for (const { command } of rows)
          this.#history.read(call, command.id, command.state, this.#lapsesLaterMs(process, deviceId, command.id))
        const told = rows.map(({ command }) => [command.id, command.state] as const)
        this.#history.matches(call, told, new Set(states))
      },
    )
  }
}
