// The calls as their callers saw them: when each was made, when it was answered, with what. Checked twice: against the ledger (is there one moment between
// call and answer at which the answer was the whole truth?) and, without the ledger, against each other and the bytes that left (is there an order at all?).

import { State, stateName } from '../src/core/command.ts'
import type { Entry, Ledger, Log } from './ledger.ts'
import type { World } from './world.ts'

/** A call between its beginning and its answer. */
export interface Call {
  readonly deviceId: number
  readonly what: string
  readonly invokedAt: number
  /** the process's clock then */
  readonly now: number
  /** length of the device's log when it was made */
  readonly logFrom: number
}

type Told = readonly [id: string, state: State]
const NO_STATE: ReadonlySet<State> = new Set()

/** Somebody was told, at some moment between `from` and `to`, that a command is in a state. */
interface Seen {
  readonly from: number
  readonly to: number
  readonly state: State
  readonly by: string
}

interface Story {
  readonly deviceId: number
  readonly seen: Seen[]
  publishedAt: number | null
  /** the final state that was shown first, and when */
  final: { readonly state: State; readonly at: number } | null
}

const isFinal = (state: State): boolean => state !== State.created && state !== State.sent
/** `unsent`: it was sent, and not a byte left, so that it went back. */
function mayFollow(before: State, after: State, unsent: boolean): boolean {
  if (before === after || before === State.created) return true
  return before === State.sent && (unsent || afterSent.has(after))
}
const afterSent: ReadonlySet<State> = new Set([State.succeeded, State.failed, State.timedOut])

export class History {
  readonly #world: World
  readonly #ledger: Ledger
  readonly #stories = new Map<string, Story>()
  /** cancels of all that were answered: every command accepted before must be out of the queue after */
  readonly #sweeps: { readonly deviceId: number; readonly from: number; readonly to: number }[] = []
  readonly #accepted = new Map<string, number>()
  #clock = 0

  constructor(world: World, ledger: Ledger) {
    this.#world = world
    this.#ledger = ledger
  }

  #tick(): number {
    this.#clock += 1
    return this.#clock
  }

  #story(deviceId: number, id: string): Story {
    const story = this.#stories.get(id) ?? { deviceId, seen: [], publishedAt: null, final: null }
    this.#stories.set(id, story)
    return story
  }

  /** now: the clock of the process that is called */
  invoke(deviceId: number, what: string, now: number): Call {
    this.#world.count(`call ${what.split(' ')[0]}`)
    return {
      deviceId,
      what,
      invokedAt: this.#tick(),
      now,
      logFrom: this.#ledger.log(deviceId).length,
    }
  }

  published(deviceId: number, id: string): void {
    this.#story(deviceId, id).publishedAt ??= this.#tick()
  }

  /** A call said that a command is in a state. */
  saw(call: Call, id: string, state: State): void {
    const { deviceId, what, invokedAt } = call
    const story = this.#story(deviceId, id)
    story.seen.push({ from: invokedAt, to: this.#tick(), state, by: what })
    const { final } = story
    const isLater = final !== null && (isFinal(state) || invokedAt > final.at)
    if (final !== null && isLater && final.state !== state)
      this.#ledger.broken(
        12,
        deviceId,
        `${what} shows ${id} ${stateName[state]}, it was shown ${stateName[final.state]}`,
      )
    if (isFinal(state)) story.final ??= { state, at: this.#clock }
  }

  /** A read shows a command: what was due when it was asked for has been settled; what is sent, so much later. */
  read(call: Call, id: string, state: State, sentLaterMs: number): void {
    this.saw(call, id, state)
    const due = this.#ledger.dueAt(call.deviceId, id, state)
    if (due !== null && call.now >= due + (state === State.sent ? sentLaterMs : 0))
      this.#ledger.broken(
        12,
        call.deviceId,
        `${call.what} at ${call.now} shows ${id} ${stateName[state]}, due at ${due}`,
      )
  }

  accepted(call: Call, id: string, state: State): void {
    this.saw(call, id, state)
    this.#accepted.set(id, this.#clock)
    this.matches(call, [[id, state]])
  }

  cancelledAll({ deviceId, invokedAt }: Call): void {
    this.#sweeps.push({ deviceId, from: invokedAt, to: this.#tick() })
  }

  /** There is one moment between call and answer at which all of this was durable, and no other command was in one of the states `whole`. */
  matches(call: Call, states: readonly Told[], whole: ReadonlySet<State> = NO_STATE): void {
    const log = this.#ledger.log(call.deviceId)
    const wanted = new Map(states)
    for (let at = call.logFrom; at <= log.length; at += 1) if (fits(log, at, wanted, whole, this.mayBeGone)) return
    const said = states.map(([id, state]) => `${id} ${stateName[state]}`).join(', ') || 'nothing'
    const where = `between events ${call.logFrom} and ${log.length}`
    this.#ledger.broken(16, call.deviceId, `${call.what} answered ${said}: at no moment ${where} was that so`)
  }

  /** Records of the far past may be purged. */
  readonly mayBeGone = (entry: Entry): boolean =>
    entry.settledAt !== null && entry.settledAt < this.#ledger.purgedBefore

  /** At the end, without the ledger: do all answers fit together, and with what left? */
  checkAll(): void {
    for (const [id, story] of this.#stories) {
      this.#checkOrder(id, story)
      this.#checkPublished(id, story)
      this.#checkSweeps(id, story)
    }
  }

  #checkOrder(id: string, { deviceId, seen }: Story): void {
    const unsent = this.#ledger.log(deviceId).commands.get(id)?.unsent ?? false
    for (const after of seen)
      for (const before of seen)
        if (before.to < after.from && !mayFollow(before.state, after.state, unsent))
          this.#ledger.broken(
            16,
            deviceId,
            `${id}: ${before.by} said ${stateName[before.state]}, a later ${after.by} ${stateName[after.state]}`,
          )
  }

  #checkPublished(id: string, { deviceId, seen, publishedAt }: Story): void {
    for (const { from, to, state, by } of seen) {
      const isUnsentState = state === State.created || state === State.cancelled || state === State.expired
      if (publishedAt !== null && isUnsentState && (state !== State.created || from > publishedAt))
        this.#ledger.broken(2, deviceId, `${id} was published, and ${by} said ${stateName[state]}`)
      const isGuess = this.#ledger.log(deviceId).commands.get(id)?.guessed === true
      const needsPublish = !isGuess && (state === State.succeeded || state === State.timedOut)
      if (needsPublish && publishedAt !== null && to < publishedAt)
        this.#ledger.broken(4, deviceId, `${by} said ${id} is ${stateName[state]} before it was published`)
    }
  }

  #checkSweeps(id: string, { deviceId, seen }: Story): void {
    const acceptedAt = this.#accepted.get(id)
    const isBack = this.#ledger.log(deviceId).commands.get(id)?.unsent
    if (acceptedAt === undefined || isBack === true) return
    for (const sweep of this.#sweeps) {
      if (sweep.deviceId !== deviceId || sweep.from < acceptedAt) continue
      const left = seen.find(({ from, state }) => from > sweep.to && state === State.created)
      if (left !== undefined)
        this.#ledger.broken(16, deviceId, `${id} was accepted, then all were cancelled, then ${left.by} says created`)
    }
  }
}

function fits(
  log: Log,
  at: number,
  wanted: ReadonlyMap<string, State>,
  whole: ReadonlySet<State>,
  mayBeGone: (entry: Entry) => boolean,
): boolean {
  for (const [id, state] of wanted) {
    const entry = log.commands.get(id)
    if (entry === undefined || stateAt(entry, at) !== state) return false
  }
  if (whole.size === 0) return true
  for (const [id, entry] of log.commands) {
    const state = stateAt(entry, at)
    if (state !== null && whole.has(state) && !wanted.has(id) && !mayBeGone(entry)) return false
  }
  return true
}

/** The state of a command after so many events of its device; null before it was accepted. */
export function stateAt({ history }: Entry, at: number): State | null {
  return history.findLast(({ from }) => from <= at)?.state ?? null
}
