// Receivers of changes with how far each has got, what they did not take, and turns, on PostgreSQL. Turns go by the clock of the database.
// Not here: the SQL (postgres-webhooks-statements.ts), the changes themselves (postgres-changes.ts).

import { assert } from '../core/errors.ts'
import { assertNoNul, isKept } from './checks.ts'
import type { Connections, Session } from './postgres-connection.ts'
import { columns } from './postgres-rows.ts'
import { type DeadLetterColumns, deadLetterOf, type WebhookColumns, webhookOf } from './rows.ts'
import type { DeadLetter, WebhookProgress, WebhookRow, Webhooks } from './stream.ts'

export class PostgresWebhooks implements Webhooks {
  readonly #connections: Connections

  constructor(connections: Connections) {
    this.#connections = connections
  }

  /** A second attempt may find what the first one added. */
  async addWebhook(row: WebhookRow): Promise<void> {
    assertNoNul(row)
    const { webhookId, orgId, url, secret, filterJson, createdBy, createdAt, paused } = row
    const { position, attempts, failingSince, nextAt, lastError } = row
    const made = [webhookId, orgId, url, secret, filterJson, createdBy, createdAt, paused]
    const added = await this.#connections.write('others', async (on, repeated) => {
      const count = await on.run('addWebhook', ...made, position, attempts, failingSince, nextAt, lastError)
      return count === 1 || repeated
    })
    assert(added, `webhook ${webhookId} is added once`)
  }

  async webhook(webhookId: string): Promise<WebhookRow | null> {
    if (!isKept(webhookId)) return null
    const [row] = await this.#connections.again('others', on => on.all<WebhookColumns>('webhook', webhookId))
    return row === undefined ? null : webhookOf(row)
  }

  async webhooks(orgId: string | null): Promise<WebhookRow[]> {
    if (orgId !== null && !isKept(orgId)) return []
    const rows = await this.#connections.again('others', on => on.all<WebhookColumns>('webhooks', orgId))
    return rows.map(webhookOf)
  }

  readonly changeWebhook: Webhooks['changeWebhook'] = async (webhookId, to) => {
    assertNoNul(to)
    if (!isKept(webhookId)) return false
    const { url = null, secret = null, filterJson = null, paused = null, anew = false } = to
    const changed = await this.#connections.again('others', on =>
      on.run('changeWebhook', webhookId, url, secret, filterJson, paused, anew),
    )
    return changed === 1
  }

  /** A second attempt may find that the first one has deleted it. */
  async deleteWebhook(webhookId: string): Promise<boolean> {
    if (!isKept(webhookId)) return false
    return this.#connections.write('others', async (on, repeated) => {
      const deleted = await on.run('deleteWebhook', webhookId)
      return deleted === 1 || repeated
    })
  }

  async saveProgress(
    webhookId: string,
    from: number,
    to: WebhookProgress,
    dead: readonly DeadLetter[],
  ): Promise<boolean> {
    assertNoNul(to)
    dead.forEach(assertNoNul)
    if (!isKept(webhookId)) return false
    return this.#connections.write('others', async (on, repeated) => {
      // Locked, so that an attempt whose COMMIT nobody answered has ended before this one looks.
      const [row] = await on.all<WebhookColumns>('lockWebhook', webhookId)
      if (row === undefined) return false
      if (row.position === from) await save(on, webhookId, to, dead)
      return row.position === from || (repeated && row.position === to.position)
    })
  }

  async deadLetters(webhookId: string, after: number, limit: number): Promise<DeadLetter[]> {
    if (!isKept(webhookId)) return []
    const rows = await this.#connections.again('others', on =>
      on.all<DeadLetterColumns>('deadLetters', webhookId, after, limit),
    )
    return rows.map(deadLetterOf)
  }

  /** What was removed by an attempt that was not answered is not counted. */
  async removeDeadLetters(webhookId: string, positions: readonly number[]): Promise<number> {
    if (!isKept(webhookId) || positions.length === 0) return 0
    return this.#connections.again('others', on => on.run('removeDeadLetters', webhookId, positions))
  }

  async countDeadLetters(webhookId: string): Promise<number> {
    if (!isKept(webhookId)) return 0
    const [row] = await this.#connections.again('others', on =>
      on.all<{ count: number }>('countDeadLetters', webhookId),
    )
    return row?.count ?? 0
  }

  /** Taken once more by the same holder it is his for as long again. */
  async takeTurn(name: string, holder: string, ms: number): Promise<boolean> {
    assertNoNul({ name, holder })
    return (await this.#connections.again('others', on => on.run('takeTurn', name, holder, ms))) === 1
  }

  async endTurn(name: string, holder: string): Promise<void> {
    assertNoNul({ name, holder })
    await this.#connections.again('others', on => on.run('endTurn', name, holder))
  }
}

async function save(on: Session, webhookId: string, to: WebhookProgress, dead: readonly DeadLetter[]): Promise<void> {
  const { position, attempts, failingSince, nextAt, lastError } = to
  await on.run('saveProgress', webhookId, position, attempts, failingSince, nextAt, lastError)
  if (dead.length === 0) return
  const rows = dead.map(letter => [letter.position, letter.eventJson, letter.failedAt, letter.reason])
  await on.run('putDeadLetters', webhookId, ...columns(rows, 4))
}
