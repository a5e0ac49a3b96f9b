// Signals over one connection that breaks and comes back: what is told is merged and sent, one message to the carrier at a time; the connection is looked
// at while it is quiet, and made anew when it is lost. All that NOTIFY and NATS have in common. Not here: what either connection is (notify.ts, nats.ts),
// and what tidings look like on it (words.ts).
//
// One at a time, because it bounds everything: while the carrier has not answered, what is told meanwhile is merged into the next message, so nothing
// piles up in a socket, and a carrier that is slow or silent costs no more memory than one that is not there. It costs at most one round trip.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { assert } from '../core/errors.ts'
import {
  SIGNAL_ANSWER_WAIT_MS,
  SIGNAL_BACKLOG_MAX,
  SIGNAL_BACKOFF_MAX_MS,
  SIGNAL_BACKOFF_MIN_MS,
  SIGNAL_CLOSE_MS,
  SIGNAL_CONNECT_WAIT_MS,
  SIGNAL_LOG_EVERY_MS,
  SIGNAL_LOOK_MS,
  SIGNAL_TEXT_MAX_BYTES,
} from '../core/limits.ts'
import type { Log } from '../log.ts'
import { Backlog } from './backlog.ts'
import type { Signals, Tidings } from './signal.ts'
import { readWords, textsOf, type Words } from './words.ts'

/** For metrics; each only grows. */
export interface SignalCounts {
  /** devices and commands that the carrier has taken for other nodes */
  readonly told: number
  /** devices and commands heard */
  readonly heard: number
  /** devices and commands that were not told: no room, refused by the carrier, or closed */
  readonly dropped: number
  /** texts that were not of our words */
  readonly refused: number
}

/** Spans in ms. Tests shorten some. */
export interface SignalBearing {
  /** until a connection is there */
  readonly connectMs: number
  /** without an answer, after which a connection is given up */
  readonly answerMs: number
  /** between two looks whether the connection still is one */
  readonly lookMs: number
  /** until the next attempt: doubled after each, up to the second */
  readonly backoffMinMs: number
  readonly backoffMaxMs: number
  /** for telling what is left, and again for ending the connection */
  readonly closeMs: number
  /** between two lines of one kind in the log */
  readonly logEveryMs: number
  /** devices and commands waiting to be told */
  readonly backlogMax: number
  /** ms of a clock that does not step: for logEveryMs only */
  readonly now: () => number
}
export const ordinaryBearing: SignalBearing = {
  connectMs: SIGNAL_CONNECT_WAIT_MS,
  answerMs: SIGNAL_ANSWER_WAIT_MS,
  lookMs: SIGNAL_LOOK_MS,
  backoffMinMs: SIGNAL_BACKOFF_MIN_MS,
  backoffMaxMs: SIGNAL_BACKOFF_MAX_MS,
  closeMs: SIGNAL_CLOSE_MS,
  logEveryMs: SIGNAL_LOG_EVERY_MS,
  backlogMax: SIGNAL_BACKLOG_MAX,
  now: () => performance.now(),
}

export interface SignalOptions {
  readonly log: Log
  /** The installation's own, derived from its secret key: what is told is signed with it, and what another one tells is refused. */
  readonly key: Buffer
  readonly bearing?: Partial<SignalBearing>
}

export interface Addressed {
  readonly node: number
  readonly text: string
}

/**
 * One connection while it lasts. Of `listen`, `send` and `look` one runs at a time. What they reject with is the end of the line, but for Refused. None
 * needs a time limit of its own.
 */
export interface Line {
  /** Resolves when whatever is sent to the node from now on is heard. Rejects with Refused where that is not allowed. */
  listen(node: number): Promise<void>
  /** Resolves when the carrier has all of them. Rejects with Refused where it does not want them. */
  send(texts: readonly Addressed[]): Promise<void>
  /** Resolves when the other end has answered, and still listens for us where it should. */
  look(): Promise<void>
  /** Ends it, at once where one of the others still waits. Never rejects, and takes no longer than closeMs. */
  end(): Promise<void>
}

/** The carrier has understood a message and refuses it. The line is as good as before; the same again would be refused again. */
export class Refused extends Error {
  override readonly name = 'Refused'
}

/** What a line tells whoever opened it. */
export interface LineEvents {
  heard(text: string): void
  /** It ended by itself. May be called more than once, and for a line that was not even opened. */
  lost(error: Error): void
  /** The other end objects to something; the line goes on. */
  objection(error: Error): void
}

/** Opens a line, or rejects with the reason why there is none. One that comes after `closed` is ended by whoever asked for it. */
export type OpenLine = (events: LineEvents, closed: AbortSignal) => Promise<Line>

/** What became of a line so far. */
interface Fate {
  lost: Error | null
}

interface Listener {
  readonly node: number
  readonly heard: (tidings: Tidings) => void
  readonly listens: () => void
}

export class Carrier implements Signals {
  readonly counts: SignalCounts
  readonly #counts = { told: 0, heard: 0, dropped: 0, refused: 0 }
  readonly #name: string
  readonly #key: Buffer
  readonly #open: OpenLine
  readonly #log: Log
  readonly #bearing: SignalBearing
  readonly #seldom: Seldom
  readonly #closed = new AbortController()
  readonly #running: Promise<void>
  #backlog: Backlog
  #listener: Listener | null = null
  #isOpen = false
  #isClosing = false
  /** tell() has seen to it that this turn's tidings are sent at its end */
  #isToldThisTurn = false
  /** there is something to do that was not there when the loop last looked */
  #isStirred = false
  #resume: () => void = nothing
  /** ends the wait that there is, if there is one */
  #interrupt: (error: Error) => void = nothing
  /** the line whose end does so */
  #waitsFor: Fate | null = null
  #tried: () => void = nothing

  private constructor(name: string, open: OpenLine, log: Log, key: Buffer, bearing: SignalBearing) {
    this.#key = key
    this.counts = this.#counts
    this.#name = name
    this.#open = open
    this.#log = log
    this.#bearing = bearing
    this.#seldom = new Seldom(bearing)
    this.#backlog = new Backlog(bearing.backlogMax)
    this.#running = this.#run()
  }

  /**
   * Resolves when there is a connection, or the first attempt has failed or takes longer than connectMs; it is then tried for ever. Never rejects, since
   * nodes do without signals.
   *
   * @param name of the carrier in the log
   */
  static async start(name: string, open: OpenLine, { log, key, bearing }: SignalOptions): Promise<Carrier> {
    const carrier = new Carrier(name, open, log, key, { ...ordinaryBearing, ...bearing })
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, carrier.#bearing.connectMs)
      carrier.#tried = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    return carrier
  }

  tell(node: number, tidings: Tidings): void {
    if (this.#isClosing) this.#counts.dropped += sizeOf(tidings)
    else this.#keep(node, tidings)
    if (this.#isToldThisTurn) return
    this.#isToldThisTurn = true
    setImmediate(() => {
      this.#isToldThisTurn = false
      this.#stir()
    })
  }

  /**
   * Where the carrier cannot be reached, it resolves at once, and after connectMs at the latest: a node starts without signals, and hears them as soon as
   * there are any.
   */
  async listen(node: number, heard: (tidings: Tidings) => void): Promise<void> {
    assert(this.#listener === null, 'a node listens once')
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      this.#listener = { node, heard, listens: resolve }
      if (!this.#isOpen) return resolve()
      timer = setTimeout(resolve, this.#bearing.connectMs)
      this.#stir()
    })
    clearTimeout(timer)
  }

  async close(): Promise<void> {
    const timer = setTimeout(() => this.#giveUp(), this.#isOpen ? this.#bearing.closeMs : 0)
    this.#isClosing = true
    this.#stir()
    await this.#running
    clearTimeout(timer)
    this.#giveUp()
    this.#listener?.listens()
  }

  #giveUp(): void {
    this.#closed.abort()
    this.#interrupt(new Error('it is closed'))
  }

  /** Lines one after the other, until close(). */
  async #run(): Promise<void> {
    let failures = 0
    while (!this.#isClosing) {
      const fate: Fate = { lost: null }
      const opening = this.#open(this.#events(fate), this.#closed.signal)
      let line: Line | null = null
      let openedAt = Number.POSITIVE_INFINITY
      try {
        line = await this.#meanwhile(opening, fate)
        openedAt = performance.now()
        this.#isOpen = true
        this.#log.info({ signal: this.#name }, 'signals: connected')
        this.#tried()
        await this.#use(line, fate)
      } catch (error) {
        const what = line === null ? 'no connection' : 'the connection is lost'
        if (!this.#isClosing) this.#warn(what, error, 'until there is one, nodes find by looking what others leave')
      }
      this.#isOpen = false
      this.#tried()
      const ended = line === null ? endLate(opening) : line.end()
      if (this.#isClosing) {
        if (line !== null) await ended
        break
      }
      // A line that did not last counts as a failure too: what is lost again and again is not made anew at once.
      const hasLasted = performance.now() - openedAt > this.#bearing.lookMs
      if (hasLasted) failures = 0
      await this.#pause(failures)
      if (!hasLasted) failures += 1
    }
    this.#drop(this.#backlog.size, 'closed before it could be told')
  }

  /** Works on the line for as long as it lasts: rejects when it is lost, resolves when there is nothing left to do at close(). */
  async #use(line: Line, fate: Fate): Promise<void> {
    const { lookMs } = this.#bearing
    let listens = false
    let listenAt = performance.now()
    let lookAt = listenAt + lookMs
    for (;;) {
      this.#isStirred = false
      if (this.#listener !== null && !listens && performance.now() >= listenAt) {
        listens = await this.#listen(line, this.#listener, fate)
        listenAt = performance.now() + lookMs
      }
      if (this.#backlog.size > 0) await this.#send(line, fate)
      else if (this.#isClosing) return
      if (performance.now() >= lookAt) {
        await this.#answered(line.look(), fate)
        lookAt = performance.now() + lookMs
      }
      if (!this.#isStirred) await this.#idle(lookAt - performance.now(), fate)
    }
  }

  /** False where the carrier does not let us: others can still be told, and it may think better of it. */
  async #listen(line: Line, { node, listens }: Listener, fate: Fate): Promise<boolean> {
    try {
      await this.#answered(line.listen(node), fate)
      return true
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      this.#warn('not heard', error, 'this node finds by looking what others leave')
      return false
    } finally {
      listens()
    }
  }

  /** Sends all that is to be told. Where the line is lost over it, it is kept for the next: told twice does no harm. */
  async #send(line: Line, fate: Fate): Promise<void> {
    const taken = this.#backlog
    this.#backlog = new Backlog(this.#bearing.backlogMax)
    const texts = [...taken.entries()].flatMap(([node, tidings]) =>
      textsOf(tidings).map(text => ({ node, text: signed(this.#key, text) })),
    )
    try {
      await this.#answered(line.send(texts), fate)
      this.#counts.told += taken.size
    } catch (error) {
      if (error instanceof Refused) return this.#drop(taken.size, error)
      for (const [node, tidings] of taken.entries()) this.#keep(node, tidings)
      throw error
    }
  }

  #keep(node: number, tidings: Tidings): void {
    const without = this.#backlog.add(node, tidings)
    this.#drop(without, `${this.#bearing.backlogMax} devices and commands wait to be told, and more do not`)
  }

  #drop(count: number, why: unknown): void {
    if (count === 0) return
    this.#counts.dropped += count
    this.#warn('not told', why, 'the nodes that it was for find it by looking')
  }

  #events(fate: Fate): LineEvents {
    return {
      heard: text => this.#hear(text),
      objection: error => this.#warn('the carrier objects', error, 'look at what this server may do there'),
      lost: error => {
        if (fate.lost !== null) return
        fate.lost = error
        // Of a line that is given up already it is no news, and the wait is another's.
        if (this.#waitsFor === fate) this.#interrupt(error)
      },
    }
  }

  #hear(text: string): void {
    const own = verified(this.#key, text)
    const words = own === null ? unsigned : readWords(own)
    if (!words.ok) {
      this.#counts.refused += 1
      const next = 'somebody else writes to where nodes of this installation are told things'
      this.#warn('a text was refused', words.problem, next)
      return
    }
    const { tidings } = words
    this.#counts.heard += sizeOf(tidings)
    try {
      this.#listener?.heard(tidings)
    } catch (error) {
      this.#log.error({ signal: this.#name, err: error }, 'signals: what was heard could not be acted on')
    }
  }

  /** The work's result; rejects before when the line is lost, or all is given up. */
  #meanwhile<T>(work: Promise<T>, fate: Fate | null): Promise<T> {
    // A race with a promise that lasts as long as the line would leave a reaction with it at each turn.
    return new Promise<T>((resolve, reject) => {
      this.#interrupt = reject
      this.#waitsFor = fate
      if (this.#closed.signal.aborted) reject(new Error('it is closed'))
      if (fate?.lost) reject(fate.lost)
      work.then(resolve, reject)
    })
  }

  async #answered(work: Promise<void>, fate: Fate): Promise<void> {
    const { answerMs } = this.#bearing
    const timer = setTimeout(() => this.#interrupt(new Error(`no answer within ${answerMs} ms`)), answerMs)
    try {
      await this.#meanwhile(work, fate)
    } finally {
      clearTimeout(timer)
    }
  }

  /** Until there is something to do, at most so long. */
  async #idle(ms: number, fate: Fate | null): Promise<void> {
    const timer = setTimeout(() => this.#resume(), Math.max(0, ms))
    try {
      await this.#meanwhile(
        new Promise<void>(resolve => {
          this.#resume = resolve
        }),
        fate,
      )
    } finally {
      this.#resume = nothing
      clearTimeout(timer)
    }
  }

  #stir(): void {
    this.#isStirred = true
    if (this.#isOpen) this.#resume()
  }

  async #pause(failures: number): Promise<void> {
    const { backoffMinMs, backoffMaxMs } = this.#bearing
    const ms = Math.min(backoffMinMs * 2 ** failures, backoffMaxMs) * (1 + Math.random() / 2)
    try {
      await this.#idle(ms, null)
    } catch (error) {
      assert(this.#isClosing, `only close() ends a pause: ${String(error)}`)
    }
  }

  #warn(what: string, error: unknown, next: string): void {
    const leftOut = this.#seldom.ask(what)
    if (leftOut === null) return
    this.#log.warn({ signal: this.#name, reason: reasonOf(error), leftOut }, `signals: ${what}; ${next}`)
  }
}

const nothing = (): void => undefined

/** In words. Where a host has several addresses, none of which answers, the error as a whole has none. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join('; ')
  return error instanceof Error ? error.message : String(error)
}

/** A line for which nobody waits any more. That it did not come is what was to be expected. */
async function endLate(opening: Promise<Line>): Promise<void> {
  const [late] = await Promise.allSettled([opening])
  if (late.status === 'fulfilled') await late.value.end()
}

/** One line of a kind, and then none of it for a while: whoever writes rubbish, or cannot be reached, does so many times a second. */
class Seldom {
  readonly #bearing: Pick<SignalBearing, 'logEveryMs' | 'now'>
  readonly #kinds = new Map<string, { readonly saidAt: number; leftOut: number }>()

  constructor(bearing: Pick<SignalBearing, 'logEveryMs' | 'now'>) {
    this.#bearing = bearing
  }

  /** How many of this kind were left out before this one; null: this one is to be. */
  ask(kind: string): number | null {
    const said = this.#kinds.get(kind)
    const now = this.#bearing.now()
    if (said !== undefined && now - said.saidAt < this.#bearing.logEveryMs) {
      said.leftOut += 1
      return null
    }
    this.#kinds.set(kind, { saidAt: now, leftOut: 0 })
    return said?.leftOut ?? 0
  }
}

const sizeOf = ({ look, settled, notices = [] }: Tidings): number => look.length + settled.length + notices.length

/** characters of a signature: 96 bits, which nobody guesses, and with them a text still fits a NOTIFY */
const SIGNATURE_CHARS = 16
const unsigned: Words = { ok: false, problem: 'has no signature of this installation' }

const signatureOf = (key: Buffer, text: string): string =>
  createHmac('sha256', key).update(text).digest('base64url').slice(0, SIGNATURE_CHARS)

/** Whoever may write to the carrier is not one of us by that: another installation, or anybody with a login to the database. */
export const signed = (key: Buffer, text: string): string => signatureOf(key, text) + text

function verified(key: Buffer, text: string): string | null {
  const own = text.slice(SIGNATURE_CHARS)
  if (own.length > SIGNAL_TEXT_MAX_BYTES) return null
  const [given, right] = [text.slice(0, SIGNATURE_CHARS), signatureOf(key, own)].map(each => Buffer.from(each))
  return given && right && given.length === right.length && timingSafeEqual(given, right) ? own : null
}
