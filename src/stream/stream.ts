// The stream of changes as the server has it: one follower for all, the webhooks, and how many streams of events are open. Not here: HTTP.

import { randomUUID } from 'node:crypto'
import type { Clock, Timers } from '../clock.ts'
import { STREAMS_MAX, STREAMS_PER_ORGANIZATION_MAX } from '../core/limits.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { Log } from '../log.ts'
import type { ChangeFilter, Changes, Webhooks } from '../store/stream.ts'
import type { Reachable, Resolve } from './address.ts'
import { Deliverer } from './deliverer.ts'
import type { DeliveryObserver } from './delivery.ts'
import { Follower, type Following, pageAfter } from './follower.ts'
import { Places } from './places.ts'
import { Poster } from './post.ts'

export interface StreamOptions {
  readonly store: Changes & Webhooks
  readonly fleet: Pick<Fleet, 'webhookSecret'>
  /** the time of commands */
  readonly clock: Clock & Timers
  /** the time of connections; another one only where the time of commands is made to leap */
  readonly realClock: Clock & Timers
  readonly log: Log
  /** other nodes write to the store as well */
  readonly isShared: boolean
  /** where webhooks may go */
  readonly reachable: Reachable
  /** Lets others have their turn of the loop: setImmediate. */
  readonly defer: (run: () => void) => void
  /** 0 <= x < 1 */
  readonly chance: () => number
  readonly observer: DeliveryObserver
  /** how names of receivers become addresses; the system's way unless given */
  readonly resolve?: Resolve
  /** ms that a receiver has for its answer */
  readonly answerWaitMs?: number
}

export class Stream {
  readonly follower: Follower
  readonly deliverer: Deliverer
  readonly #options: StreamOptions
  readonly #poster: Poster
  /** of open streams */
  readonly #places = new Places(STREAMS_MAX, STREAMS_PER_ORGANIZATION_MAX)

  constructor(options: StreamOptions) {
    const { store, fleet, clock, realClock, log, isShared, defer, chance, observer } = options
    const { reachable, resolve, answerWaitMs: waitMs } = options
    this.#options = options
    this.follower = new Follower({ store, clock, log, isShared, defer })
    const poster = { reachable, log, ...(resolve && { resolve }), ...(waitMs !== undefined && { waitMs }) }
    this.#poster = new Poster(poster)
    this.deliverer = new Deliverer({
      store,
      follower: this.follower,
      poster: this.#poster,
      secretOf: row => fleet.webhookSecret(row),
      clock,
      realClock,
      log,
      holder: isShared ? randomUUID() : 'alone',
      chance,
      observer,
    })
  }

  /** where webhooks may go */
  get reachable(): Reachable {
    return this.#options.reachable
  }

  /** the time of connections */
  get realClock(): Clock & Timers {
    return this.#options.realClock
  }

  /** Changes were told to somebody who follows by himself. */
  told(changes: number): void {
    this.#options.observer.told(changes)
  }

  async start(): Promise<void> {
    await this.follower.start()
    this.deliverer.start()
  }

  /** Resolves when nothing of it is in flight. Streams of events end by themselves, since there is nothing to follow any more. */
  async stop(): Promise<void> {
    await this.deliverer.stop()
    await this.follower.stop()
    this.#poster.close()
  }

  /** The engine has committed a batch. */
  stir(): void {
    this.follower.stir()
  }

  /** One page from the store, for who does not follow. */
  page(after: number, filter: ChangeFilter, limit: number): Promise<Following> {
    return pageAfter(this.#options.store, after, filter, limit)
  }

  /** A place for one more stream of an organization: what gives it back, once; null: there is none. */
  enter(orgId: string): (() => void) | null {
    return this.#places.enter(orgId)
  }

  /** For metrics. */
  gauges(): { readonly streams: number; readonly lagMs: number; readonly deadLetters: number } {
    return { streams: this.#places.taken, ...this.deliverer.gauges(this.#options.clock.now()) }
  }
}
