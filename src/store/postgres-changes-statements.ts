// The SQL of the stream of changes on PostgreSQL, and of what a commit keeps and counts besides; part of the one list in postgres-statements.ts.

import { PLACED_MAX } from '../core/limits.ts'
import { CHANGE_COLUMNS, changeFilter, changeJoins } from './change-rows.ts'

/** eventColumns: those of an event as it is read. advisory: the first key of our advisory locks. */
export const changeStatements = (eventColumns: string, advisory: number) => {
  const wanted = changeFilter({
    value: (n, type) => `$${n + 3}::${type}`,
    isIn: (n, type) => `= any ($${n + 3}::${type})`,
  })
  // Looked up one by one: how many there will be is not known to the planner, which would rather read a whole table.
  const joins = changeJoins(
    (table, as, on) => `left join lateral (select * from ${table} where ${on} limit 1) ${as} on true`,
  )
  return {
    // --- commit: events themselves are inserted with those of the queue, without a position --------------------------
    /** In the order of their key, as whoever deletes the lapsed ones: one that had lapsed is replaced. */
    keepAnswer: `insert into idempotency (application, device_id, key, request_hash, answer, expire_at)
      select * from unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::bigint[])
        as n (application, device_id, key, request_hash, answer, expire_at) order by application, device_id, key
      on conflict (application, device_id, key) do update set request_hash = excluded.request_hash, answer = excluded.answer,
        expire_at = excluded.expire_at`,
    /** $1 the minute, $2 the node: each has rows of its own, so that no commit waits for that of another node */
    count: `insert into tally (org_id, product_key, minute_at, node_no, from_state, to_state, n)
      select org_id, product_key, $1::bigint, $2::integer, from_state, to_state, n
      from unnest($3::text[], $4::text[], $5::smallint[], $6::smallint[], $7::bigint[]) as m (org_id, product_key, from_state, to_state, n)
      on conflict (org_id, minute_at, product_key, node_no, from_state, to_state) do update set n = tally.n + excluded.n`,
    /** who devices ($2) are that are about to be deleted at $1 */
    nameDeleted: `insert into deleted_device (device_id, org_id, product_key, device_key, asset_id, timezone, deleted_at)
      select id, org_id, product_key, device_key, asset_id, timezone, $1::bigint from device where id = any($2::integer[])`,

    // --- the stream ------------------------------------------------------------------------------------------------
    /**
     * Whoever gets the turn waits for the row of the stream, which a purge may have, and reads what it is then. What this statement sees of events may be
     * older than that: one that has got its position meanwhile is looked at once more when it is written, and left as it is; then a position is given to none.
     * The bound that is no parameter is for the planner, who would take the other one for a part of all that there is.
     */
    placeEvents: `with turn as materialized (select pg_try_advisory_xact_lock(${advisory}, 5) as mine),
        stream_row as materialized (select given from stream where id = 1 and (select mine from turn) for update),
        found as materialized (
          select e.ctid as place, s.given + row_number() over (order by e.device_id, e.device_seq) as position
          from stream_row s cross join lateral (
            select * from (select ctid, device_id, device_seq from event where position = 0 order by device_id, device_seq limit ${PLACED_MAX}) as next
            order by device_id, device_seq limit $1) e),
        given as (update stream set given = f.last from (select max(position) as last from found) f where id = 1 and f.last is not null)
      update event e set position = f.position from found f where e.ctid = f.place and e.position = 0`,
    /** $1 after, $2 how many, $3 how many to look at; then the filter. One row at least, with what was looked at. */
    changes: `with looked as materialized (
          select device_id, device_seq, position, command_id, from_state, to_state, at, by, reason, detail
          from event where position > 0 and position > $1::bigint order by position limit $3),
        ends as (select max(position) as last, count(*) as looked from looked),
        page as (select ${CHANGE_COLUMNS} from looked e ${joins} where ${wanted} order by e.position limit $2)
      select ends.last, ends.looked, page.* from ends left join page on true order by page.position`,
    streamEnds: 'select given, lost from stream where id = 1',
    timeline: `select ${eventColumns} from event where command_id = $1 order by device_seq limit $2`,
    eventsBetween: `select ${eventColumns} from event where device_id = $1 and device_seq > $2 and device_seq < $3 order by device_seq limit $4`,

    // --- purge -----------------------------------------------------------------------------------------------------
    /** Before events are deleted: whoever gives positions has the row first, and then events. */
    lockStream: 'select given from stream where id = 1 for update',
    /** What nobody was told of before it goes takes a position as well, the next one, by which he who reads on learns that he has missed something. */
    deleteEvents: `with gone as (delete from event where command_id = any($1::bigint[]) returning position, from_state, to_state),
        moved as (select coalesce(max(position), 0) as last, count(*) filter (where position = 0) > 0 as is_untold
          from gone where from_state is distinct from to_state)
      update stream set given = given + is_untold::integer, lost = greatest(lost, last, case when is_untold then given + 1 else 0 end)
      from moved where id = 1 and (is_untold or last > lost)`,
    purgeNames: `delete from deleted_device where device_id in (
      select x.device_id from deleted_device x where x.deleted_at < $1
        and not exists (select 1 from event e where e.device_id = x.device_id)
        and not exists (select 1 from command c where c.device_id = x.device_id)
      order by x.deleted_at, x.device_id limit $2)`,
    /** $1 the last minute that goes */
    purgeTallies: `delete from tally where ctid = any (array(
      select ctid from tally where minute_at <= $1 order by minute_at, org_id, product_key, node_no, from_state, to_state limit $2))`,
  } as const
}
