// Receivers of changes with how far each has got, what they did not take, and turns, in the SQLite store, with their SQL. Turns go by the clock that the
// store was opened with. Not here: the changes themselves (sqlite-changes.ts).

import type { DatabaseSyncInstance } from '@photostructure/sqlite'
import { assertNoNul, isKept } from './checks.ts'
import { type DeadLetterColumns, deadLetterOf, type WebhookColumns, webhookOf } from './rows.ts'
import { transaction } from './sqlite-file.ts'
import type { DeadLetter, WebhookProgress, WebhookRow, Webhooks } from './stream.ts'

const WEBHOOK_COLUMNS = `webhook_id, org_id, url, secret, filter_json, created_by, created_at, paused, position, attempts, failing_since, next_at,
  last_error`

const statements = {
  addWebhook: `insert into webhook (${WEBHOOK_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  webhook: `select ${WEBHOOK_COLUMNS} from webhook where webhook_id = ?`,
  webhooks: `select ${WEBHOOK_COLUMNS} from webhook order by webhook_id`,
  webhooksOf: `select ${WEBHOOK_COLUMNS} from webhook where org_id = ? order by webhook_id`,
  changeWebhook: `update webhook set url = ?, secret = ?, filter_json = ?, paused = ?, attempts = ?, failing_since = ?, next_at = ?
    where webhook_id = ?`,
  /** its dead letters go with it */
  deleteWebhook: 'delete from webhook where webhook_id = ?',
  saveProgress: `update webhook set position = ?, attempts = ?, failing_since = ?, next_at = ?, last_error = ?
    where webhook_id = ? and position = ?`,
  putDeadLetter: `insert or replace into dead_letter (webhook_id, position, event_json, failed_at, reason) values (?, ?, ?, ?, ?)`,
  deadLetters: `select position, event_json, failed_at, reason from dead_letter where webhook_id = ? and position > ? order by position limit ?`,
  removeDeadLetter: 'delete from dead_letter where webhook_id = ? and position = ?',
  countDeadLetters: 'select count(*) as count from dead_letter where webhook_id = ?',
  takeTurn: `insert into turn (name, holder, until_at) values (?, ?, ?)
    on conflict (name) do update set holder = excluded.holder, until_at = excluded.until_at
    where turn.holder = excluded.holder or turn.until_at <= ?`,
  endTurn: 'delete from turn where name = ? and holder = ?',
} as const

export class SqliteWebhooks implements Webhooks {
  readonly #db: DatabaseSyncInstance
  readonly #sql: Readonly<Record<keyof typeof statements, ReturnType<DatabaseSyncInstance['prepare']>>>
  readonly #now: () => number

  /** now: the store's clock, epoch ms */
  constructor(db: DatabaseSyncInstance, now: () => number) {
    this.#db = db
    const prepared = Object.entries(statements).map(([name, sql]) => [name, db.prepare(sql)])
    this.#sql = Object.fromEntries(prepared)
    this.#now = now
  }

  async addWebhook(row: WebhookRow): Promise<void> {
    assertNoNul(row)
    const { webhookId, orgId, url, secret, filterJson, createdBy, createdAt, paused } = row
    const { position, attempts, failingSince, nextAt, lastError } = row
    const made = [webhookId, orgId, url, secret, filterJson, createdBy, createdAt, paused ? 1 : 0]
    this.#sql.addWebhook.run(...made, position, attempts, failingSince, nextAt, lastError)
  }

  async webhook(webhookId: string): Promise<WebhookRow | null> {
    return this.#read(webhookId)
  }

  #read(webhookId: string): WebhookRow | null {
    if (!isKept(webhookId)) return null
    const row: WebhookColumns | undefined = this.#sql.webhook.get(webhookId)
    return row === undefined ? null : webhookOf(row)
  }

  async webhooks(orgId: string | null): Promise<WebhookRow[]> {
    if (orgId !== null && !isKept(orgId)) return []
    const rows: WebhookColumns[] = orgId === null ? this.#sql.webhooks.all() : this.#sql.webhooksOf.all(orgId)
    return rows.map(webhookOf)
  }

  readonly changeWebhook: Webhooks['changeWebhook'] = async (webhookId, to) => {
    assertNoNul(to)
    const before = this.#read(webhookId)
    if (before === null) return false
    const { url, secret, filterJson, paused } = { ...before, ...to }
    const { attempts, failingSince, nextAt } = to.anew ? { attempts: 0, failingSince: null, nextAt: null } : before
    this.#sql.changeWebhook.run(url, secret, filterJson, paused ? 1 : 0, attempts, failingSince, nextAt, webhookId)
    return true
  }

  async deleteWebhook(webhookId: string): Promise<boolean> {
    return isKept(webhookId) && this.#sql.deleteWebhook.run(webhookId).changes === 1
  }

  async saveProgress(
    webhookId: string,
    from: number,
    to: WebhookProgress,
    dead: readonly DeadLetter[],
  ): Promise<boolean> {
    assertNoNul(to)
    dead.forEach(assertNoNul)
    const { position, attempts, failingSince, nextAt, lastError } = to
    return transaction(this.#db, () => {
      const progress = [position, attempts, failingSince, nextAt, lastError]
      const isSaved = this.#sql.saveProgress.run(...progress, webhookId, from).changes === 1
      for (const { position, eventJson, failedAt, reason } of isSaved ? dead : [])
        this.#sql.putDeadLetter.run(webhookId, position, eventJson, failedAt, reason)
      return isSaved
    })
  }

  async deadLetters(webhookId: string, after: number, limit: number): Promise<DeadLetter[]> {
    if (!isKept(webhookId)) return []
    const rows: DeadLetterColumns[] = this.#sql.deadLetters.all(webhookId, after, limit)
    return rows.map(deadLetterOf)
  }

  async removeDeadLetters(webhookId: string, positions: readonly number[]): Promise<number> {
    if (!isKept(webhookId)) return 0
    return transaction(
      this.#db,
      () => positions.filter(position => this.#sql.removeDeadLetter.run(webhookId, position).changes === 1).length,
    )
  }

  async countDeadLetters(webhookId: string): Promise<number> {
    if (!isKept(webhookId)) return 0
    const row: { count: number } = this.#sql.countDeadLetters.get(webhookId)
    return row.count
  }

  async takeTurn(name: string, holder: string, ms: number): Promise<boolean> {
    assertNoNul({ name, holder })
    const now = this.#now()
    return this.#sql.takeTurn.run(name, holder, now + ms, now).changes === 1
  }

  async endTurn(name: string, holder: string): Promise<void> {
    assertNoNul({ name, holder })
    this.#sql.endTurn.run(name, holder)
  }
}
