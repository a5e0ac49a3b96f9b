// Who follows the stream of changes in this process, and how pages come to them. Whoever follows asks for the next page from where he is, and holds nothing
// but his position: one that is slow asks seldom, and neither fills the memory nor holds up the others. The last changes are kept for all: they are read
// once, however many are at the end of the stream; only who is further behind reads by himself. Not here: what becomes of a page.

import type { Clock, Timers } from '../clock.ts'
import {
  RETRY_AFTER_MS,
  STREAM_FRESH_MS,
  STREAM_PAGE_MAX,
  STREAM_PLACE_MAX,
  STREAM_POLL_MS,
  STREAM_READS_MAX,
  STREAM_READS_WAITING_MAX,
  STREAM_RING_MAX,
  STREAM_SCAN_MAX,
} from '../core/limits.ts'
import type { Log } from '../log.ts'
import type { Change, ChangeFilter, ChangePage, Changes } from '../store/stream.ts'
import { isWanted } from './filter.ts'
import { Gate } from './gate.ts'

export interface FollowerOptions {
  readonly store: Pick<Changes, 'placeEvents' | 'changesAfter' | 'streamEnds'>
  readonly clock: Clock & Timers
  readonly log: Log
  /** Other nodes write to the store as well: positions are given later than events are written, and nobody tells of theirs. */
  readonly isShared: boolean
  /** Lets others have their turn of the loop: setImmediate. */
  readonly defer: (run: () => void) => void
}

/** A page, or that some of what would be in it has been purged. */
export type Following = ChangePage | 'gone'

/** What comes after a position, straight from the store; at most `limit`. May be empty, with `upTo` further on. */
export async function pageAfter(
  store: FollowerOptions['store'],
  after: number,
  filter: ChangeFilter,
  limit: number,
): Promise<Following> {
  const page = await store.changesAfter(after, filter, limit, STREAM_SCAN_MAX)
  // Asked after the page was read: what was purged before it is known by now.
  const { lost } = await store.streamEnds()
  return after < lost ? 'gone' : page
}

export class Follower {
  readonly #options: FollowerOptions
  /** the last changes, of everybody: all that there are after #from, up to #head */
  #ring: Change[] = []
  #from = 0
  #head = 0
  /** when a read that came to the end began, epoch ms */
  #readAt = Number.NEGATIVE_INFINITY
  /** there may be more than that */
  #isUnread = false
  #running: Promise<void> | null = null
  #isFailing = false
  readonly #waiting = new Set<{ readonly after: number; readonly wake: () => void }>()
  readonly #reads = new Gate(STREAM_READS_MAX, STREAM_READS_WAITING_MAX)
  #disarm = (): void => undefined
  #stopped = false

  constructor(options: FollowerOptions) {
    this.#options = options
  }

  async start(): Promise<void> {
    const { given } = await this.#options.store.streamEnds()
    this.#from = given
    this.#head = given
    if (this.#options.isShared) this.#go()
  }

  /** Whoever waits is told that it is over. Resolves when nothing of it is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#disarm()
    this.#wakeAll()
    await this.#running
  }

  /** Something may have been written. Cheap, and may be called for every batch. Where nobody waits to be told, it has time until the next look. */
  stir(): void {
    this.#isUnread = true
    if (this.#waiting.size > 0) this.#go()
  }

  #go(): void {
    if (this.#stopped) return
    this.#isUnread = true
    this.#running ??= this.#run()
  }

  /**
   * Resolves with what comes after a position: at once where there is something, else as soon as there is. A page may have no changes and only say how far
   * it has looked. 'gone': changes after the position have been purged. Null: the follower has stopped, or the signal was aborted. What the store has
   * against it is waited out.
   */
  async next(after: number, filter: ChangeFilter, limit: number, signal: AbortSignal): Promise<Following | null> {
    while (!this.#stopped && !signal.aborted) {
      if (after >= this.#head) await this.#until(after, signal)
      else if (after >= this.#from) return this.#fromRing(after, filter, limit)
      else {
        const page = await this.#fromStore(after, filter, limit, signal)
        if (page !== null) return page
      }
    }
    return null
  }

  // --- those who are at the end ----------------------------------------------------------------------------------

  #fromRing(after: number, filter: ChangeFilter, limit: number): ChangePage {
    const changes: Change[] = []
    for (let i = this.#indexAfter(after); i < this.#ring.length; i += 1) {
      const change = this.#ring[i]
      if (change === undefined || !isWanted(filter, change)) continue
      changes.push(change)
      if (changes.length === limit) return { changes, upTo: change.position, isFull: true }
    }
    return { changes, upTo: this.#head, isFull: false }
  }

  #indexAfter(position: number): number {
    let [low, high] = [0, this.#ring.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#ring[middle]?.position ?? 0) > position) high = middle
      else low = middle + 1
    }
    return low
  }

  /** Resolves when there may be something after the position. */
  async #until(after: number, signal: AbortSignal): Promise<void> {
    await new Promise<void>(resolve => {
      const waiter = {
        after,
        wake: () => {
          signal.removeEventListener('abort', waiter.wake)
          this.#waiting.delete(waiter)
          resolve()
        },
      }
      signal.addEventListener('abort', waiter.wake, { once: true })
      this.#waiting.add(waiter)
      // It was written while nobody waited.
      if (this.#isUnread) this.stir()
    })
  }

  #wakeAll(): void {
    for (const { after, wake } of [...this.#waiting]) if (this.#stopped || after < this.#head) wake()
  }

  /** Reads on as long as there is more. One at a time. */
  async #run(): Promise<void> {
    this.#disarm()
    let againMs = STREAM_POLL_MS
    try {
      do {
        this.#isUnread = false
        if (this.#options.isShared) await this.#place()
        await this.#readOn()
      } while (this.#isUnread && this.#waiting.size > 0 && !this.#stopped)
      this.#isFailing = false
    } catch (error) {
      this.#tellFailure(error)
      this.#isUnread = true
      againMs = RETRY_AFTER_MS
    }
    this.#running = null
    if (this.#options.isShared || this.#isFailing) this.#arm(againMs)
  }

  /** Gives positions to what has none; where another node does so at this moment, it, or the next look, sees to the rest. */
  async #place(): Promise<void> {
    let placed = STREAM_PLACE_MAX
    while (placed === STREAM_PLACE_MAX && !this.#stopped)
      placed = await this.#options.store.placeEvents(STREAM_PLACE_MAX)
  }

  /** Up to the end; but as long only as somebody waits: whoever comes to wait makes it read on. */
  async #readOn(): Promise<void> {
    const { store, clock } = this.#options
    while (this.#waiting.size > 0 && !this.#stopped) {
      const now = clock.now()
      if (now - this.#readAt > STREAM_FRESH_MS) await this.#beginAnew()
      const page = await store.changesAfter(this.#head, null, STREAM_PAGE_MAX, STREAM_PAGE_MAX)
      this.#add(page)
      if (!page.isFull) {
        this.#readAt = now
        return
      }
      await this.#turn()
    }
    this.#isUnread = true
  }

  /**
   * It was not read to the end for a while. Where nobody wants what was written meanwhile, it is not read, and where some of that has been purged, what is kept
   * does not go on without a gap: then it begins at the end, and whoever is further behind reads, or is told, by himself.
   */
  async #beginAnew(): Promise<void> {
    const { given, lost } = await this.#options.store.streamEnds()
    let lowest = Number.POSITIVE_INFINITY
    for (const { after } of this.#waiting) lowest = Math.min(lowest, after)
    if (lowest <= this.#head && lost <= this.#head) return
    this.#ring = []
    this.#from = given
    this.#head = given
    this.#wakeAll()
  }

  #add({ changes, upTo }: ChangePage): void {
    this.#ring.push(...changes)
    this.#head = Math.max(this.#head, upTo)
    const surplus = this.#ring.length - STREAM_RING_MAX
    if (surplus > 0) this.#from = this.#ring.splice(0, surplus).at(-1)?.position ?? this.#from
    this.#wakeAll()
  }

  #arm(ms: number): void {
    const { clock } = this.#options
    if (this.#stopped) return
    this.#disarm = clock.at(clock.now() + ms, () => this.#go())
  }

  // --- those who are behind --------------------------------------------------------------------------------------

  async #fromStore(after: number, filter: ChangeFilter, limit: number, signal: AbortSignal): Promise<Following | null> {
    const from = this.#from
    try {
      const page = await this.#reads.pass(async () => {
        if (signal.aborted || this.#stopped) return null
        await this.#turn()
        return pageAfter(this.#options.store, after, filter, limit)
      }, signal)
      if (page === null || page === 'gone' || page.isFull) return page
      // All that there is was looked at, and up to where the ring began when the read did, no more can come.
      return { ...page, upTo: Math.max(page.upTo, from) }
    } catch (error) {
      if (signal.aborted) return null
      this.#tellFailure(error)
      await this.#pause(signal)
      return null
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    return new Promise(resolve => {
      const cancel = clock.at(clock.now() + RETRY_AFTER_MS, () => {
        signal.removeEventListener('abort', over)
        resolve()
      })
      const over = () => {
        cancel()
        resolve()
      }
      signal.addEventListener('abort', over, { once: true })
    })
  }

  #turn(): Promise<void> {
    return new Promise(resolve => this.#options.defer(resolve))
  }

  /** Once for each time that the store is away. */
  #tellFailure(error: unknown): void {
    if (!this.#isFailing) this.#options.log.warn({ err: error }, 'changes cannot be read, trying again')
    this.#isFailing = true
  }
}
