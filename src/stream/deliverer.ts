// Which webhooks there are, and a delivery for each that is not paused. Every few seconds it looks what other nodes, or calls on them, have changed; of what
// is changed by a call on this one it is told. Not here: what a delivery does (delivery.ts).

import { errors, type Refusal, refuse } from '../core/errors.ts'
import {
  DEAD_LETTERS_COUNT_EVERY_MS,
  WEBHOOK_CALLS_MAX,
  WEBHOOK_CALLS_PER_ORGANIZATION_MAX,
  WEBHOOK_LOOK_MS,
  WEBHOOK_STOP_MS,
} from '../core/limits.ts'
import type { WebhookRow } from '../store/stream.ts'
import { Delivery, type DeliveryOptions } from './delivery.ts'
import { postOf } from './message.ts'
import { Places } from './places.ts'
import type { Answered } from './post.ts'
import { type Replayed, replay } from './replay.ts'

export class Deliverer {
  readonly #options: DeliveryOptions
  readonly #deliveries = new Map<string, Delivery>()
  /** of tests and replays */
  readonly #places = new Places(WEBHOOK_CALLS_MAX, WEBHOOK_CALLS_PER_ORGANIZATION_MAX)
  /** webhooks that are being tried */
  readonly #tried = new Set<string>()
  #looking: Promise<void> | null = null
  #lookAgain = false
  #disarm = (): void => undefined
  #deadLetters = 0
  #countedAt = Number.NEGATIVE_INFINITY
  #stopped = false

  constructor(options: DeliveryOptions) {
    this.#options = options
  }

  start(): void {
    this.changed()
  }

  /** Resolves when nothing is being sent any more; what has no answer after a while is sent again by whoever comes next. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#disarm()
    await this.#looking
    const ended = Promise.all([...this.#deliveries.values()].map(delivery => delivery.stop()))
    const cut = setTimeout(() => {
      for (const delivery of this.#deliveries.values()) delivery.cut()
    }, WEBHOOK_STOP_MS)
    await ended
    clearTimeout(cut)
  }

  /** A webhook was added, changed or deleted. */
  changed(): void {
    this.#lookAgain = true
    this.#looking ??= this.#look()
  }

  /** For metrics. deadLetters: of all webhooks, as of some time ago. */
  gauges(now: number): { readonly lagMs: number; readonly deadLetters: number } {
    const lags = [...this.#deliveries.values()].map(delivery => delivery.lagMs(now))
    return { lagMs: Math.max(0, ...lags), deadLetters: this.#deadLetters }
  }

  /**
   * Sends nothing but that it is there, once; whatever else is on its way. Refusals: 99413 it is being tried on this node, 99503 the organization, or all of
   * them, have as many tests and replays under way here as may be.
   */
  async ping(row: WebhookRow): Promise<Answered | Refusal> {
    const { poster, observer } = this.#options
    if (this.#tried.has(row.webhookId))
      return refuse(errors.isOver, 'another call tries this webhook at this moment; come again')
    return this.#inPlace(row, async () => {
      this.#tried.add(row.webhookId)
      try {
        const answer = await poster.postAtOnce(postOf(this.#options, row, [], 'ping'), new AbortController().signal)
        observer.attempt(answer.outcome)
        return answer
      } finally {
        this.#tried.delete(row.webhookId)
      }
    })
  }

  /** Sends its dead letters again. Refusals: 99413 another call is at it, on whatever node; 99503 as above. */
  replay(row: WebhookRow): Promise<Replayed | Refusal> {
    const busy = refuse(errors.isOver, 'another call sends them at this moment; come again')
    return this.#inPlace(row, async () => (await replay(this.#options, row)) ?? busy)
  }

  /** What somebody waits for has a place of its own, or none: it must not stand behind the deliveries, nor hold them up. */
  async #inPlace<T>({ orgId }: WebhookRow, work: () => Promise<T>): Promise<T | Refusal> {
    const leave = this.#places.enter(orgId)
    if (leave === null)
      return refuse(
        errors.unavailable,
        'Service unavailable: too many webhooks are being tried, or sent dead letters, at this moment; come again',
      )
    try {
      return await work()
    } finally {
      leave()
    }
  }

  async #look(): Promise<void> {
    const { store, clock, log } = this.#options
    this.#disarm()
    while (this.#lookAgain && !this.#stopped) {
      this.#lookAgain = false
      try {
        const rows = await store.webhooks(null)
        this.#compare(rows)
        if (clock.now() - this.#countedAt >= DEAD_LETTERS_COUNT_EVERY_MS) await this.#count(rows)
      } catch (error) {
        log.warn({ err: error }, 'webhooks cannot be read, trying again')
      }
    }
    this.#looking = null
    if (!this.#stopped) this.#disarm = clock.at(clock.now() + WEBHOOK_LOOK_MS, () => this.changed())
  }

  #compare(rows: readonly WebhookRow[]): void {
    const wanted = new Map(rows.filter(({ paused }) => !paused).map(row => [row.webhookId, row]))
    for (const [webhookId, delivery] of this.#deliveries) {
      const row = wanted.get(webhookId)
      // Its place is free once it has ended.
      if (row === undefined || !delivery.see(row)) void delivery.stop()
    }
    if (this.#stopped) return
    for (const row of wanted.values()) if (!this.#deliveries.has(row.webhookId)) this.#begin(row)
  }

  #begin(row: WebhookRow): void {
    const { webhookId } = row
    let delivery: Delivery
    try {
      delivery = new Delivery(row, this.#options)
    } catch (error) {
      this.#options.log.error({ err: error, webhookId }, 'a webhook is not told anything')
      return
    }
    this.#deliveries.set(webhookId, delivery)
    void delivery.ended.then(() => {
      this.#deliveries.delete(webhookId)
      // Ended because its row had changed, there is another one to begin.
      if (!this.#stopped) this.changed()
    })
  }

  async #count(rows: readonly WebhookRow[]): Promise<void> {
    let all = 0
    for (const { webhookId } of rows) all += await this.#options.store.countDeadLetters(webhookId)
    this.#deadLetters = all
    this.#countedAt = this.#options.clock.now()
  }
}
