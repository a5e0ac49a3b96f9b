// The SQL of the PostgreSQL store, one statement per name, and the columns that they read. Names and order are those of the SQLite store; where that has
// a statement per row, the rows come here as one array per column. Each is prepared once per connection.
// Not here: search, whose condition is put together per call (condition.ts); the schema (migrations/postgres/).

import { QUEUE_CAP } from '../core/limits.ts'
import { changeStatements } from './postgres-changes-statements.ts'
import { jobStatements } from './postgres-job-statements.ts'
import { registryStatements } from './postgres-registry-statements.ts'
import { webhookStatements } from './postgres-webhooks-statements.ts'

/** A command, in the order in which it is read (postgres-rows.ts); its id as text, because JavaScript has no such integers. */
export const COMMAND_COLUMNS = `c.id::text, c.state, c.kind, c.identifier, c.timeout_s, c.pending_ttl_s, c.expire_at, c.deadline_at,
  c.created_at, c.sent_at, c.settled_at, c.sent_session, c.created_by, c.code, c.late_replies`
export const BODY_COLUMNS = 'b.name_json, b.input_json, b.output_json, b.device_code, b.device_message'
const EVENT_COLUMNS = 'device_seq, command_id::text, from_state, to_state, at, by, reason, detail'

/** Epoch ms by the clock of the database: for leases only. Not now(), which is the instant at which the transaction began. */
export const STORE_NOW = 'floor(extract(epoch from clock_timestamp()) * 1000)::bigint'
/** A device that no live node holds, or this one: $1 its number, $3 the margin in ms. The live ones are read once per statement. */
const MAY_TICK = `(d.session_node is null or d.session_node = $1
  or d.session_node <> all (array(select n.node_no from node n where n.lease_until + $3::bigint >= ${STORE_NOW})))`

/** One of the names in $2, or any where that is null. */
const named = (column: string): string => `($2::text[] is null or ${column} = any ($2))`

/** Advisory locks share one space of numbers per database; ours have a first key of their own ("DLNK"). */
const ADVISORY = 1_145_851_467
export const migrationLock = `select pg_advisory_lock(${ADVISORY}, 1)`

/** What a row of a queue has between its device and what comes last, where it is neither a queue nor a command. */
const NULLS = 'null, '.repeat(9 + 15)
const queueOf = (
  first: string,
  then: string,
): string => `select d.id, d.version, d.last_command_id::text, d.event_seq, d.session_no, d.session_node,
      d.disabled, d.active_at, d.last_online_at, d.last_offline_at, ${COMMAND_COLUMNS}${first}
    from device d left join command c on c.device_id = d.id and c.state in (1, 4)
    where d.id = any($1::integer[])
    union all
    select n.device_id, null, null, null, null, null, null, null, null, null, ${COMMAND_COLUMNS}${then}
    from unnest($2::integer[], $3::bigint[]) as n (device_id, id)
    join command c on c.id = n.id and c.device_id = n.device_id
    where c.state not in (1, 4)`

export const statements = {
  // --- load ------------------------------------------------------------------------------------------------------
  /**
   * The devices ($1) with their open commands, and the final ones among the commands named ($2 of which device, $3 ids). One statement, so that all
   * is as of one instant: a decision that changes nothing is guarded by no commit.
   */
  queue: queueOf('', ''),
  /** The same, with the answers kept under the keys named: $4 of which device, $5 whose, $6 keys. */
  queueWithAnswers: `${queueOf(', null as kept', ', null')}
    union all
    select n.device_id, ${NULLS}json_build_array(i.application, i.key, i.request_hash, i.answer, i.expire_at)::text
    from unnest($4::integer[], $5::text[], $6::text[]) as n (device_id, application, key)
    join idempotency i on i.application = n.application and i.device_id = n.device_id and i.key = n.key`,

  // --- commit, in the order of writing ---------------------------------------------------------------------------
  /** Only where devices are deleted ($2): with them goes the link of those behind them. All are locked in the order of their numbers, as everywhere. */
  lockDevices: `select id from device where id = any($1::integer[]) or gateway_id = any($2::integer[]) order by id for update`,
  /**
   * Returns the devices that are still as they were loaded. All are locked before one is written, in the order of their numbers: whoever else locks
   * devices does the same, so that no two wait for each other. A row that had to be waited for is seen as it then is.
   */
  bumpDevice: `with locked as materialized (
      select d.id, d.version, g.loaded, g.last_command_id, g.event_seq, g.session_no, g.session_node, g.disabled, g.active_at, g.last_online_at,
        g.last_offline_at, g.wanting, g.waiting, g.oldest_waiting_at
      from unnest($1::integer[], $2::bigint[], $3::bigint[], $4::integer[], $5::integer[], $6::integer[], $7::boolean[], $8::bigint[], $9::bigint[],
        $10::bigint[], $11::boolean[], $12::integer[], $13::bigint[])
        as g (id, loaded, last_command_id, event_seq, session_no, session_node, disabled, active_at, last_online_at, last_offline_at, wanting,
          waiting, oldest_waiting_at)
      join device d on d.id = g.id order by d.id for no key update of d
    )
    update device d set version = d.version + 1, last_command_id = l.last_command_id, event_seq = l.event_seq, session_no = l.session_no,
      session_node = l.session_node, disabled = l.disabled, active_at = l.active_at, last_online_at = l.last_online_at,
      last_offline_at = l.last_offline_at, wanting = l.wanting, waiting = l.waiting, oldest_waiting_at = l.oldest_waiting_at
    from locked l where d.id = l.id and l.version = l.loaded returning d.id, d.org_id, d.product_key`,
  updateCommand: `update command c set state = u.state, deadline_at = u.deadline_at, sent_at = u.sent_at, settled_at = u.settled_at,
      sent_session = u.sent_session, code = u.code, late_replies = u.late_replies
    from unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::bigint[], $7::integer[], $8::bigint[], $9::integer[],
      $10::smallint[]) as u (state, deadline_at, sent_at, settled_at, sent_session, code, late_replies, id, device_id, from_state)
    where c.id = u.id and c.device_id = u.device_id and c.state = u.from_state returning c.id::text`,
  insertCommand: `insert into command (id, device_id, state, kind, identifier, timeout_s, pending_ttl_s, expire_at, deadline_at,
      created_at, sent_at, settled_at, sent_session, created_by, code, late_replies)
    select * from unnest($1::bigint[], $2::integer[], $3::smallint[], $4::smallint[], $5::text[], $6::integer[], $7::integer[], $8::bigint[],
      $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::integer[], $14::text[], $15::bigint[], $16::integer[])`,
  insertBody: `insert into command_body (id, name_json, input_json, output_json, device_code, device_message)
    select * from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])`,
  setOutcome: `update command_body b set output_json = o.output_json, device_code = o.device_code, device_message = o.device_message
    from unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) as o (output_json, device_code, device_message, id)
    where b.id = o.id returning b.id::text`,
  insertEvent: `insert into event (device_id, device_seq, command_id, from_state, to_state, at, by, reason, detail)
    select * from unnest($1::integer[], $2::integer[], $3::bigint[], $4::smallint[], $5::smallint[], $6::bigint[], $7::text[], $8::text[], $9::text[])`,
  freeSubDevices: 'update device set gateway_id = null, version = version + 1 where gateway_id = any($1::integer[])',
  /** what they reported goes with them */
  deleteDevice: 'delete from device where id = any($1::integer[])',
  /** Nothing changes where the number has gone over to another life, nor where the batch is not the next one. */
  touchNode: `update node set batch_no = $3, last_command_id = greatest(last_command_id, $4::bigint), clock_at = greatest(clock_at, $5),
      commands = array(select coalesce(n, 0) + coalesce(change, 0)
        from unnest(commands, $6::bigint[]) with ordinality as t (n, change, state) order by state)
    where node_no = $1 and epoch = $2 and batch_no = $3::bigint - 1`,
  /** Waits for whoever is writing the row: what it returns stays true of a transaction whose COMMIT nobody answered. */
  lastBatch: 'select epoch, batch_no from node where node_no = $1 for update',

  // --- time ------------------------------------------------------------------------------------------------------
  dueSent: `select device_id from command where state = 4 and deadline_at <= $1 order by deadline_at limit $2`,
  /** Of the earliest that lapsed, so many for each device as it usually has at most: one with many takes one place. */
  dueCreated: `select device_id from (select device_id from command where state = 1 and expire_at <= $1 order by expire_at
      limit $2::bigint * ${QUEUE_CAP}) c group by device_id limit $2`,
  nextExpiring: 'select min(expire_at) as at from command where state = 1',
  nextAwaited: 'select min(deadline_at) as at from command where state = 4',

  // --- reads -----------------------------------------------------------------------------------------------------
  body: `select ${BODY_COLUMNS}, b.id::text from command_body b where b.id = any($1::bigint[])`,
  command: `select ${COMMAND_COLUMNS}, ${BODY_COLUMNS} from command c join command_body b on b.id = c.id where c.id = $1 and c.device_id = $2`,
  commandById: `select c.device_id, ${COMMAND_COLUMNS}, ${BODY_COLUMNS} from command c join command_body b on b.id = c.id where c.id = $1`,
  namesOfDevice: 'select distinct b.name_json from command c join command_body b on b.id = c.id where c.device_id = $1',
  deviceEvents: `select ${EVENT_COLUMNS} from event where device_id = $1 order by device_seq desc limit $2`,
  commandEvents: `select ${EVENT_COLUMNS} from event where command_id = $1 and device_id = $2 order by device_seq desc limit $3`,
  countByState: `select t.state::integer as state, sum(t.n)::bigint as count from node, unnest(commands) with ordinality as t (n, state)
    group by t.state having sum(t.n) > 0`,

  // --- purge -----------------------------------------------------------------------------------------------------
  /** One node purges at a time: a second one would wait for each row that the first deletes. */
  purgeLock: `select pg_try_advisory_xact_lock(${ADVISORY}, 2) as mine`,
  purgeable: `select id::text, device_id from command where state not in (1, 4) and settled_at < $1 order by settled_at, command.id limit $2`,
  raiseVersion: `with locked as materialized (select d.id from device d where d.id = any($1::integer[]) order by d.id for no key update)
    update device d set version = d.version + 1 from locked l where d.id = l.id`,
  deleteCommand: 'delete from command where id = any($1::bigint[]) and state not in (1, 4) returning state',
  deleteBody: 'delete from command_body where id = any($1::bigint[])',
  purgeSessionEvents: `with old as materialized (
      select device_id, device_seq from event where command_id is null and at < $1 order by at, device_id, device_seq limit $2)
    delete from event e using old o where e.device_id = o.device_id and e.device_seq = o.device_seq`,
  /** $1 by how much the commands in each state are fewer. Of which node does not matter, since only the sums mean something. */
  countPurged: `update node set commands = array(select coalesce(n, 0) + coalesce(change, 0)
      from unnest(commands, $1::bigint[]) with ordinality as t (n, change, state) order by state)
    where node_no = (select min(node_no) from node)`,

  // --- what devices report: reads of all that a device has, or of what is named in $2 ----------------------------
  hasDevice: 'select id from device where id = any($1::integer[])',
  lockReporting: 'select id from device where id = any($1::integer[]) order by id for no key update',
  latestValues: `select point_id, value_json, quality, at from latest_value where device_id = $1 and ${named('point_id')} order by point_id`,
  /** How long a text is stands before it: octet_length does not read it. */
  bytesOfValues: `select coalesce(sum(octet_length(value_json)), 0) as bytes from latest_value where device_id = $1 and ${named('point_id')}`,
  latestValue: `select v.device_id, v.point_id as id, v.at from unnest($1::integer[], $2::text[]) as k (device_id, id)
    join latest_value v on v.device_id = k.device_id and v.point_id = k.id`,
  countValues:
    'select device_id, count(*) as count from latest_value where device_id = any($1::integer[]) group by device_id',
  /** In the order of their keys, as everywhere where rows of several devices are written: two who write the same ones do not wait for each other. */
  putValue: `insert into latest_value (device_id, point_id, value_json, quality, at)
    select * from unnest($1::integer[], $2::text[], $3::text[], $4::double precision[], $5::bigint[]) as n (device_id, point_id, value_json, quality, at)
    order by device_id, point_id collate "C"
    on conflict (device_id, point_id) do update set value_json = excluded.value_json, quality = excluded.quality, at = excluded.at
    where excluded.at >= latest_value.at`,
  latestEvents: `select event_id, output_json, at from latest_event where device_id = $1 and ${named('event_id')} order by event_id`,
  bytesOfEvents: `select coalesce(sum(octet_length(output_json)), 0) as bytes from latest_event where device_id = $1 and ${named('event_id')}`,
  latestEvent: `select e.device_id, e.event_id as id, e.at from unnest($1::integer[], $2::text[]) as k (device_id, id)
    join latest_event e on e.device_id = k.device_id and e.event_id = k.id`,
  countEvents:
    'select device_id, count(*) as count from latest_event where device_id = any($1::integer[]) group by device_id',
  putEvent: `insert into latest_event (device_id, event_id, output_json, at)
    select * from unnest($1::integer[], $2::text[], $3::text[], $4::bigint[]) as n (device_id, event_id, output_json, at)
    order by device_id, event_id collate "C"
    on conflict (device_id, event_id) do update set output_json = excluded.output_json, at = excluded.at
    where excluded.at >= latest_event.at`,
  attributes: `select name, value_json as value from device_attribute where device_id = $1 and ${named('name')} order by place`,
  bytesOfAttributes: `select coalesce(sum(octet_length(value_json)), 0) as bytes from device_attribute where device_id = $1 and ${named('name')}`,
  attributePlaces: 'select device_id, name, place from device_attribute where device_id = any($1::integer[])',
  removeAttribute: `delete from device_attribute a using unnest($1::integer[], $2::text[]) as k (device_id, name)
    where a.device_id = k.device_id and a.name = k.name`,
  /** one that is there keeps its place */
  setAttribute: `insert into device_attribute (device_id, place, name, value_json)
    select * from unnest($1::integer[], $2::integer[], $3::text[], $4::text[])
    on conflict (device_id, name) do update set value_json = excluded.value_json`,
  tags: `select name, value from device_tag where device_id = $1 and ${named('name')} order by place`,
  bytesOfTags: `select coalesce(sum(octet_length(value)), 0) as bytes from device_tag where device_id = $1 and ${named('name')}`,
  tagPlaces: 'select device_id, name, place from device_tag where device_id = any($1::integer[])',
  removeTag: `delete from device_tag t using unnest($1::integer[], $2::text[]) as k (device_id, name)
    where t.device_id = k.device_id and t.name = k.name`,
  setTag: `insert into device_tag (device_id, place, name, value) select * from unnest($1::integer[], $2::integer[], $3::text[], $4::text[])
    on conflict (device_id, name) do update set value = excluded.value`,

  // --- tokens ----------------------------------------------------------------------------------------------------
  token: 'select app_key, expire_at from token where access_token = $1',
  tokenOf: `select access_token, expire_at from token where app_key = $1 and expire_at > $2 order by expire_at desc, saved_no desc limit 1`,
  saveToken: `insert into token (access_token, app_key, expire_at) values ($1, $2, $3)
    on conflict (access_token) do update set app_key = excluded.app_key, expire_at = excluded.expire_at, saved_no = excluded.saved_no`,
  useEncryption: 'insert into seen_encryption (encryption, expire_at) values ($1, $2) on conflict do nothing',
  purgeTokens: 'delete from token where expire_at < $1',
  purgeEncryptions: 'delete from seen_encryption where expire_at < $1',
  /** $2 null: all. One that a commit has replaced meanwhile is good again. */
  purgeIdempotency: `delete from idempotency where expire_at < $1
    and ctid = any (array(select ctid from idempotency where expire_at < $1 order by expire_at limit $2))`,

  // --- node ------------------------------------------------------------------------------------------------------
  node: 'select epoch, last_command_id::text from node where node_no = $1',
  clockFloor: 'select coalesce(max(clock_at), 0) as at from node',
  ping: 'select number from schema_version limit 1',
  nodeLock: `select pg_advisory_xact_lock(${ADVISORY}, 4)`,
  /** The number that this taker has already, if its first attempt was not answered; else the lowest free one. $2 the largest. */
  freeNode: `select n.node_no from generate_series(0, $2::integer) as n (node_no) left join node h on h.node_no = n.node_no
    where h.lease_until is null or h.lease_until <= ${STORE_NOW} or h.holder = $1
    order by h.holder is distinct from $1, n.node_no limit 1`,
  /** $1 number, $2 holder, $3 ms. No row where a live node has it. Whoever repeats this is given the same life. */
  takeNode: `insert into node (node_no, epoch, holder, lease_until) values ($1, 1, $2, ${STORE_NOW} + $3::bigint)
    on conflict (node_no) do update set holder = excluded.holder, lease_until = excluded.lease_until,
      epoch = case when node.holder = excluded.holder then node.epoch else node.epoch + 1 end
    where node.lease_until is null or node.lease_until <= ${STORE_NOW} or node.holder = excluded.holder
    returning epoch, batch_no, last_command_id::text, lease_until, ${STORE_NOW} as store_now`,
  renewNode: `update node set lease_until = ${STORE_NOW} + $3::bigint where node_no = $1 and epoch = $2
    returning lease_until, ${STORE_NOW} as store_now`,
  releaseNode: 'update node set epoch = epoch + 1, lease_until = null, holder = null where node_no = $1 and epoch = $2',
  /**
   * $1 node, $2 epoch, $3 how many at most, $4 from above which device on. Nothing where the number has gone over to another life, or was given back. The devices are locked in the
   * order of their numbers, as everywhere, and looked at once more when they are.
   */
  endSessions: `with mine as materialized (select clock_at from node where node_no = $1 and epoch = $2 for share),
      old as materialized (select d.id from device d where d.session_node = $1 and d.id > $4 and exists (select 1 from mine)
        order by d.id limit $3 for no key update)
    update device d set version = d.version + 1, session_node = null, wanting = false,
      last_offline_at = greatest(d.last_online_at, d.last_offline_at, m.clock_at)
    from old o, mine m where d.id = o.id returning d.id`,
  liveNodes: `select node_no, lease_until from node where lease_until > ${STORE_NOW} order by node_no`,
  sessions: 'select id, session_no, session_node from device where id = any($1::integer[]) order by id',
  /** $1 the node, $2 now, $3 the margin, $4 how many */
  dueFor: `(select c.device_id from command c join device d on d.id = c.device_id
      where c.state = 4 and c.deadline_at <= $2 and ${MAY_TICK} order by c.deadline_at limit $4)
    union
    (select c.device_id from command c join device d on d.id = c.device_id
      where c.state = 1 and c.expire_at <= $2 and ${MAY_TICK} order by c.expire_at limit $4::bigint * ${QUEUE_CAP})
    limit $4`,
  wanting: `select id from device where wanting and session_node = $1 and id > $3 order by id limit $2`,
  settledOf: 'select id::text from command where id = any($1::bigint[]) and state not in (1, 4)',
  ...registryStatements(ADVISORY),
  ...changeStatements(EVENT_COLUMNS, ADVISORY),
  ...jobStatements,
  ...webhookStatements(STORE_NOW),
} as const

export type StatementName = keyof typeof statements
