// Receivers of changes with how far each has got, what they did not take, and turns, in memory. Not here: the changes themselves (memory-changes.ts).

import { assert } from '../core/errors.ts'
import { assertNoNul, byCodePoint } from './checks.ts'
import type { DeadLetter, WebhookProgress, WebhookRow, Webhooks } from './stream.ts'

interface Entry {
  row: WebhookRow
  /** by their positions */
  readonly dead: Map<number, DeadLetter>
}

export class MemoryWebhooks implements Webhooks {
  readonly #webhooks = new Map<string, Entry>()
  readonly #turns = new Map<string, { readonly holder: string; readonly until: number }>()
  readonly #now: () => number

  /** now: the store's clock, epoch ms, by which turns go */
  constructor(now: () => number) {
    this.#now = now
  }

  async addWebhook(row: WebhookRow): Promise<void> {
    assertNoNul(row)
    assert(!this.#webhooks.has(row.webhookId), `webhook ${row.webhookId} is added once`)
    this.#webhooks.set(row.webhookId, { row: Object.freeze({ ...row }), dead: new Map() })
  }

  async webhook(webhookId: string): Promise<WebhookRow | null> {
    return this.#webhooks.get(webhookId)?.row ?? null
  }

  async webhooks(orgId: string | null): Promise<WebhookRow[]> {
    const rows = [...this.#webhooks.values()].map(({ row }) => row)
    const wanted = rows.filter(row => orgId === null || row.orgId === orgId)
    return wanted.sort((a, b) => byCodePoint(a.webhookId, b.webhookId))
  }

  readonly changeWebhook: Webhooks['changeWebhook'] = async (webhookId, to) => {
    assertNoNul(to)
    const { anew = false, ...changed } = to
    return this.#put(webhookId, { ...changed, ...(anew && { attempts: 0, failingSince: null, nextAt: null }) })
  }

  async deleteWebhook(webhookId: string): Promise<boolean> {
    return this.#webhooks.delete(webhookId)
  }

  async saveProgress(
    webhookId: string,
    from: number,
    to: WebhookProgress,
    dead: readonly DeadLetter[],
  ): Promise<boolean> {
    const entry = this.#webhooks.get(webhookId)
    if (entry?.row.position !== from) return false
    assertNoNul(to)
    dead.forEach(assertNoNul)
    const { position, attempts, failingSince, nextAt, lastError } = to
    this.#put(webhookId, { position, attempts, failingSince, nextAt, lastError })
    for (const letter of dead) entry.dead.set(letter.position, Object.freeze({ ...letter }))
    return true
  }

  async deadLetters(webhookId: string, after: number, limit: number): Promise<DeadLetter[]> {
    const letters = [...(this.#webhooks.get(webhookId)?.dead.values() ?? [])]
    const wanted = letters.filter(({ position }) => position > after)
    return wanted.sort((a, b) => a.position - b.position).slice(0, limit)
  }

  async removeDeadLetters(webhookId: string, positions: readonly number[]): Promise<number> {
    const dead = this.#webhooks.get(webhookId)?.dead
    return positions.filter(position => dead?.delete(position)).length
  }

  async countDeadLetters(webhookId: string): Promise<number> {
    return this.#webhooks.get(webhookId)?.dead.size ?? 0
  }

  async takeTurn(name: string, holder: string, ms: number): Promise<boolean> {
    assertNoNul({ name, holder })
    const now = this.#now()
    const turn = this.#turns.get(name)
    if (turn !== undefined && turn.holder !== holder && turn.until > now) return false
    this.#turns.set(name, { holder, until: now + ms })
    return true
  }

  async endTurn(name: string, holder: string): Promise<void> {
    if (this.#turns.get(name)?.holder === holder) this.#turns.delete(name)
  }

  #put(webhookId: string, to: Partial<WebhookRow>): boolean {
    const entry = this.#webhooks.get(webhookId)
    if (entry !== undefined) entry.row = Object.freeze({ ...entry.row, ...to })
    return entry !== undefined
  }
}
