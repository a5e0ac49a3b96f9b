// The SQL of webhooks, their dead letters and turns on PostgreSQL; part of the one list in postgres-statements.ts.

const WEBHOOK_COLUMNS = `webhook_id, org_id, url, secret, filter_json, created_by, created_at, paused, position, attempts, failing_since, next_at,
  last_error`

/** storeNow: the instant in epoch ms by the clock of the database, as SQL */
export const webhookStatements = (storeNow: string) =>
  ({
    addWebhook: `insert into webhook (${WEBHOOK_COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
      on conflict (webhook_id) do nothing`,
    webhook: `select ${WEBHOOK_COLUMNS} from webhook where webhook_id = $1`,
    lockWebhook: `select ${WEBHOOK_COLUMNS} from webhook where webhook_id = $1 for update`,
    webhooks: `select ${WEBHOOK_COLUMNS} from webhook where $1::text is null or org_id = $1 order by webhook_id`,
    /** null: as it is; but the instant is only so where $6 says so */
    changeWebhook: `update webhook set url = coalesce($2, url), secret = coalesce($3, secret), filter_json = coalesce($4, filter_json),
        paused = coalesce($5, paused), attempts = case when $6::boolean then 0 else attempts end,
        failing_since = case when $6::boolean then null else failing_since end, next_at = case when $6::boolean then null else next_at end
      where webhook_id = $1`,
    /** its dead letters go with it */
    deleteWebhook: 'delete from webhook where webhook_id = $1',
    saveProgress: `update webhook set position = $2, attempts = $3, failing_since = $4, next_at = $5, last_error = $6 where webhook_id = $1`,
    putDeadLetters: `insert into dead_letter (webhook_id, position, event_json, failed_at, reason)
      select $1, d.* from unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[]) as d (position, event_json, failed_at, reason)
      on conflict (webhook_id, position) do update
        set event_json = excluded.event_json, failed_at = excluded.failed_at, reason = excluded.reason`,
    deadLetters: `select position, event_json, failed_at, reason from dead_letter where webhook_id = $1 and position > $2 order by position limit $3`,
    removeDeadLetters: 'delete from dead_letter where webhook_id = $1 and position = any($2::bigint[])',
    countDeadLetters: 'select count(*) as count from dead_letter where webhook_id = $1',
    takeTurn: `insert into turn (name, holder, until_at) values ($1, $2, ${storeNow} + $3::bigint)
      on conflict (name) do update set holder = excluded.holder, until_at = excluded.until_at
      where turn.holder = excluded.holder or turn.until_at <= ${storeNow}`,
    endTurn: 'delete from turn where name = $1 and holder = $2',
  }) as const
