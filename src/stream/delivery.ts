// What one webhook is told: its changes strictly in order, one POST at a time, again and again until they are taken, and after a day of failing its dead
// letters. Where several nodes share the store each follows, and the one whose turn it is sends. A successor begins where the last one's progress was
// saved: so something may be sent twice, and nothing is left out, or sent for the first time after what came later.
// Not here: the POST (post.ts), which webhooks there are (deliverer.ts).

import type { Clock, Timers } from '../clock.ts'
import {
  DEAD_LETTERS_MAX,
  WEBHOOK_BACKOFF_MAX_MS,
  WEBHOOK_BACKOFF_MIN_MS,
  WEBHOOK_BATCH_MAX,
  WEBHOOK_GIVE_UP_MS,
  WEBHOOK_LOOK_MS,
  WEBHOOK_SAVE_EVERY_MS,
  WEBHOOK_SAVE_EVERY_POSITIONS,
  WEBHOOK_TURN_MARGIN_MS,
  WEBHOOK_TURN_MS,
} from '../core/limits.ts'
import type { Log } from '../log.ts'
import type {
  Change,
  ChangeFilter,
  ChangePage,
  Changes,
  DeadLetter,
  WebhookProgress,
  WebhookRow,
  Webhooks,
} from '../store/stream.ts'
import { letterOf, letterOfPurged } from './dead-letter.ts'
import { eventText } from './event.ts'
import { readFilter } from './filter.ts'
import type { Follower } from './follower.ts'
import { postOf, type SecretOf } from './message.ts'
import type { Answered, Poster } from './post.ts'

export interface DeliveryOptions {
  readonly store: Webhooks & Pick<Changes, 'streamEnds'>
  readonly follower: Follower
  readonly poster: Poster
  readonly secretOf: SecretOf
  /** the time of commands */
  readonly clock: Clock & Timers
  /** the time of receivers, by which they tell an old message from a new one; another one only where the time of commands is made to leap */
  readonly realClock: Clock
  readonly log: Log
  /** Who takes turns: of its own for each process that shares the store, and the same for each life of one that has it alone, which need not wait for itself. */
  readonly holder: string
  /** 0 <= x < 1 */
  readonly chance: () => number
  readonly observer: DeliveryObserver
}

/** What a delivery tells whoever counts. */
export interface DeliveryObserver {
  attempt(outcome: Answered['outcome']): void
  /** so many changes were taken */
  told(changes: number): void
  gaveUp(changes: number): void
}

/** ms until the attempt after so many failed ones: doubled each time, and drawn from its upper half, so that many do not come as one. */
export function backoffMs(attempts: number, chance: () => number): number {
  const wholeMs = Math.min(WEBHOOK_BACKOFF_MIN_MS * 2 ** Math.min(attempts - 1, 30), WEBHOOK_BACKOFF_MAX_MS)
  return Math.round(wholeMs * (1 + chance()) * 0.5)
}

/** The changes of a page that are given up, if its webhook has failed for long enough: those that are as old. */
function givenUp(changes: readonly Change[], failingSince: number, now: number): readonly Change[] {
  if (now - failingSince < WEBHOOK_GIVE_UP_MS) return []
  const young = changes.findIndex(({ event }) => now - event.at < WEBHOOK_GIVE_UP_MS)
  return young < 0 ? changes : changes.slice(0, young)
}

const key = ({ url, secret, filterJson, paused }: WebhookRow): string =>
  JSON.stringify([url, secret, filterJson, paused])

export class Delivery {
  readonly #options: DeliveryOptions
  #row: WebhookRow
  readonly #filter: ChangeFilter
  /** ends waiting; what is being sent goes on */
  readonly #over = new AbortController()
  /** ends what is being sent */
  readonly #cut = new AbortController()
  /** until when the turn is ours, by our clock; 0: it is not */
  #turnUntil = 0
  /** of the first change that is not taken */
  #pendingSince: number | null = null
  /** how far it has been looked, which is not saved each time that nothing of it is wanted */
  #lookedTo: number
  #savedAt: number
  /** changes in the next POST: halved where one was not taken, so that one that never will be is found, and doubled where it was */
  #limit: number
  #wake = (): void => undefined
  /** ends waiting for what comes next */
  #waiting = new AbortController()
  readonly ended: Promise<void>

  /** Begins at once. */
  constructor(row: WebhookRow, options: DeliveryOptions) {
    this.#options = options
    this.#row = row
    this.#filter = readFilter(row.orgId, row.filterJson)
    this.#lookedTo = row.position
    this.#savedAt = options.clock.now()
    this.#limit = Math.max(1, WEBHOOK_BATCH_MAX >> row.attempts)
    this.ended = this.#run()
  }

  /** ms since the first change that is not taken; 0: there is none */
  lagMs(now: number): number {
    return this.#pendingSince === null ? 0 : Math.max(0, now - this.#pendingSince)
  }

  /**
   * Called every few seconds with how its row is by now; false: another one must take this one's place. One that waits for its next attempt goes on at once
   * where somebody has taken the wait away, and one for which nothing comes saves how far it has looked.
   */
  see(row: WebhookRow): boolean {
    if (key(row) !== key(this.#row)) return false
    if (row.nextAt === null && this.#row.nextAt !== null) this.#wake()
    if (this.#isToSave) this.#waiting.abort()
    return true
  }

  get #isToSave(): boolean {
    const isTime = this.#options.clock.now() - this.#savedAt >= WEBHOOK_SAVE_EVERY_MS || this.#over.signal.aborted
    const behind = this.#lookedTo - this.#row.position
    return (behind > 0 && isTime) || behind >= WEBHOOK_SAVE_EVERY_POSITIONS
  }

  /** Begins no further POST. Resolves when the one under way has had its answer. */
  stop(): Promise<void> {
    this.#over.abort()
    this.#waiting.abort()
    this.#wake()
    return this.ended
  }

  /** Whatever was being sent is over: it is not known whether it was taken. */
  cut(): void {
    this.#cut.abort()
  }

  async #run(): Promise<void> {
    const { log, store, holder } = this.#options
    const { webhookId } = this.#row
    while (!this.#over.signal.aborted) {
      try {
        await this.#step()
      } catch (error) {
        log.warn({ err: error, webhookId }, 'a webhook is held up, trying again')
        await this.#sleep(WEBHOOK_LOOK_MS)
      }
    }
    this.#pendingSince = null
    if (this.#turnUntil === 0) return
    try {
      await store.endTurn(turnOf(webhookId), holder)
    } catch (error) {
      log.warn({ err: error, webhookId }, 'the turn of a webhook lapses by itself')
    }
  }

  /** What comes next, as far as it gets. */
  async #step(): Promise<void> {
    const { follower, clock } = this.#options
    const waiting = new AbortController()
    this.#waiting = waiting
    const page = await follower.next(this.#lookedTo, this.#filter, this.#limit, waiting.signal)
    // Nothing comes any more.
    if (page === null && !waiting.signal.aborted) this.#over.abort()
    if (page === null) return this.#pass(this.#lookedTo)
    if (page === 'gone') return this.#missed()
    if (page.changes.length === 0) return this.#pass(page.upTo)
    this.#pendingSince = page.changes[0]?.event.at ?? null
    const waitMs = (this.#row.nextAt ?? 0) - clock.now()
    // Others may have been more successful meanwhile, and somebody may have made it shorter.
    if (waitMs > 0) return this.#sleep(waitMs).then(() => this.#look())
    if (!(await this.#hasTurn())) return
    await this.#send(page)
  }

  /** Whether it may send now. Where the turn is new, what is sent is what is not saved as taken by then: so it looks again first. */
  async #hasTurn(): Promise<boolean> {
    const { store, clock, holder } = this.#options
    const now = clock.now()
    if (now < this.#turnUntil - WEBHOOK_TURN_MARGIN_MS) return true
    const wasOurs = now < this.#turnUntil
    const { webhookId } = this.#row
    if (await store.takeTurn(turnOf(webhookId), holder, WEBHOOK_TURN_MS)) {
      this.#turnUntil = now + WEBHOOK_TURN_MS
      if (wasOurs) return true
      await this.#look()
      return false
    }
    this.#turnUntil = 0
    // Another node is at it.
    await this.#sleep(WEBHOOK_LOOK_MS)
    await this.#look()
    return false
  }

  /** Goes on from what is saved. A webhook that is gone, or changed, ends this; deliverer.ts begins another one where there is one to begin. */
  async #look(): Promise<void> {
    const row = await this.#options.store.webhook(this.#row.webhookId)
    if (row === null || key(row) !== key(this.#row)) {
      this.#over.abort()
      return
    }
    if (row.position !== this.#row.position) {
      this.#pendingSince = null
      this.#lookedTo = row.position
    }
    this.#row = row
  }

  async #send(page: ChangePage): Promise<void> {
    const { poster, observer } = this.#options
    const events = page.changes.map(change => ({ position: change.position, text: eventText(change) }))
    const answer = await poster.post(postOf(this.#options, this.#row, events), this.#cut.signal)
    // Where it was cut off by a stop nothing is known, and nothing is said.
    if (this.#cut.signal.aborted && answer.outcome !== 'taken') return
    observer.attempt(answer.outcome)
    if (answer.outcome !== 'taken') return this.#failed(page.changes, answer)
    observer.told(events.length)
    this.#limit = Math.min(2 * this.#limit, WEBHOOK_BATCH_MAX)
    await this.#save({ position: page.upTo, attempts: 0, failingSince: null, nextAt: null, lastError: null }, [])
  }

  async #failed(changes: readonly Change[], { error, retryAfterMs }: Answered): Promise<void> {
    const { clock, chance, store, log, observer } = this.#options
    const now = clock.now()
    const { webhookId, position, attempts } = this.#row
    const failingSince = this.#row.failingSince ?? now
    const old = givenUp(changes, failingSince, now)
    const last = old.at(-1)
    this.#limit = Math.ceil(changes.length / 2)
    const isFull = last !== undefined && (await store.countDeadLetters(webhookId)) + old.length > DEAD_LETTERS_MAX
    if (last !== undefined && !isFull) {
      const dead = old.map(change => letterOf(change, now, error))
      const next = { position: last.position, attempts: 0, failingSince, nextAt: null, lastError: error }
      if (!(await this.#save(next, dead))) return
      // Where the receiver is simply not there, what is as old goes the same way without much ado.
      this.#limit = WEBHOOK_BATCH_MAX
      observer.gaveUp(dead.length)
      log.warn({ webhookId, changes: dead.length, error }, 'changes became dead letters of a webhook')
      return
    }
    const waitMs = Math.max(backoffMs(attempts + 1, chance), Math.min(retryAfterMs ?? 0, WEBHOOK_BACKOFF_MAX_MS))
    const lastError = isFull ? `${error}; it has ${DEAD_LETTERS_MAX} dead letters, replay or delete some` : error
    await this.#save({ position, attempts: attempts + 1, failingSince, nextAt: now + waitMs, lastError }, [])
  }

  /** Nothing up to there is wanted. */
  async #pass(upTo: number): Promise<void> {
    const { attempts, failingSince, nextAt, lastError } = this.#row
    this.#lookedTo = upTo
    if (this.#isToSave) await this.#save({ position: upTo, attempts, failingSince, nextAt, lastError }, [])
  }

  /** Some of what it was to be told has been purged: it is said in a dead letter, and what is left is told. */
  async #missed(): Promise<void> {
    const { store, clock, log, observer } = this.#options
    const { webhookId, attempts, failingSince, nextAt } = this.#row
    const { lost } = await store.streamEnds()
    const reason = 'changes were purged before they could be sent: see the records of commands for how they are now'
    const letter = letterOfPurged(this.#lookedTo, lost, clock.now(), reason)
    if (!(await this.#save({ position: lost, attempts, failingSince, nextAt, lastError: reason }, [letter]))) return
    observer.gaveUp(1)
    log.warn({ webhookId }, reason)
  }

  /** Whether it was saved. Where it was not, another node has got further, or the webhook is gone. */
  async #save(to: WebhookProgress, dead: readonly DeadLetter[]): Promise<boolean> {
    const { store, clock } = this.#options
    const isSaved = await store.saveProgress(this.#row.webhookId, this.#row.position, to, dead)
    if (!isSaved) {
      await this.#look()
      return false
    }
    this.#row = { ...this.#row, ...to }
    this.#lookedTo = to.position
    this.#savedAt = clock.now()
    if (to.nextAt === null) this.#pendingSince = null
    return true
  }

  #sleep(ms: number): Promise<void> {
    const { clock } = this.#options
    if (this.#over.signal.aborted) return Promise.resolve()
    return new Promise(resolve => {
      const cancel = clock.at(clock.now() + ms, () => this.#wake())
      this.#wake = () => {
        cancel()
        this.#wake = () => undefined
        resolve()
      }
    })
  }
}

const turnOf = (webhookId: string): string => `webhook:${webhookId}`
