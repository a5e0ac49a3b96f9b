// The SQL of the SQLite store, one statement per name, and the columns that they read. Every statement is prepared once, at open.
// Not here: search, whose condition is put together per call (condition.ts).

import { registryStatements } from './sqlite-registry.ts'
import { viewStatements } from './sqlite-views.ts'

/** A command; its id as text, because the driver refuses integers beyond 2^53. Ordering names `c.id`: a bare `id` would mean that text. */
export const COMMAND_COLUMNS = `cast(c.id as text) as id, c.state, c.kind, c.identifier, c.timeout_s, c.pending_ttl_s, c.expire_at, c.deadline_at,
  c.created_at, c.sent_at, c.settled_at, c.sent_session, c.created_by, c.code, c.late_replies`
const EVENT_COLUMNS = 'device_seq, cast(command_id as text) as command_id, from_state, to_state, at, by, reason, detail'

/** A device that no live node holds, or this one: ? its number, ? the instant after which the lease of a live one ends. */
const MAY_TICK = `(d.session_node is null or d.session_node = ?
  or not exists (select 1 from node n where n.node_no = d.session_node and n.lease_until >= ?))`

/** Indexes are named where the planner, which has no statistics, might take one that reads every record of a device. */
export const statements = {
  // --- load ------------------------------------------------------------------------------------------------------
  queue: `select id, version, cast(last_command_id as text) as last_command_id, event_seq, session_no, session_node, disabled,
    active_at, last_online_at, last_offline_at from device where id = ?`,
  openCommands: `select ${COMMAND_COLUMNS} from command c indexed by command_open
    where c.device_id = ? and c.state in (1, 4) order by c.id`,
  command: `select ${COMMAND_COLUMNS} from command c where c.id = ? and c.device_id = ?`,
  keptAnswer: `select application, key, request_hash, answer, expire_at from idempotency where application = ? and device_id = ? and key = ?`,

  // --- commit, in the order of writing ---------------------------------------------------------------------------
  /** What indexes look at is returned as it was, and written by itself where it changes: whatever a statement may set, its indexes are written anew. */
  bumpDevice: `update device set version = version + 1, last_command_id = ?, event_seq = ?, session_no = ?, last_online_at = ?, last_offline_at = ?
    where id = ? and version = ? returning org_id, product_key, session_node, disabled, active_at, waiting, oldest_waiting_at`,
  setStatus: 'update device set session_node = ?, disabled = ?, active_at = ? where id = ?',
  setWaiting: 'update device set waiting = ?, oldest_waiting_at = ? where id = ?',
  updateCommand: `update command set state = ?, deadline_at = ?, sent_at = ?, settled_at = ?, sent_session = ?, code = ?, late_replies = ?
    where id = ? and device_id = ? and state = ?`,
  insertCommand: `insert into command (id, device_id, state, kind, identifier, timeout_s, pending_ttl_s, expire_at, deadline_at,
    created_at, sent_at, settled_at, sent_session, created_by, code, late_replies)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  insertBody: `insert into command_body (id, name_json, input_json, output_json, device_code, device_message) values (?, ?, ?, ?, ?, ?)`,
  setOutcome: 'update command_body set output_json = ?, device_code = ?, device_message = ? where id = ?',
  /** one that had lapsed is replaced */
  keepAnswer: `insert or replace into idempotency (application, device_id, key, request_hash, answer, expire_at) values (?, ?, ?, ?, ?, ?)`,
  freeSubDevices: 'update device set gateway_id = null, version = version + 1 where gateway_id = ?',
  /** what it reported goes with it */
  deleteDevice: 'delete from device where id = ?',
  touchNode: `insert into node (node_no, batch_no, last_command_id, clock_at) values (?, 1, ?, ?)
    on conflict (node_no) do update set batch_no = batch_no + 1,
    last_command_id = max(coalesce(last_command_id, excluded.last_command_id), coalesce(excluded.last_command_id, last_command_id)),
    clock_at = max(clock_at, excluded.clock_at)`,

  // --- time ------------------------------------------------------------------------------------------------------
  dueSent: `select device_id from command indexed by command_awaited where state = 4 and deadline_at <= ? order by deadline_at limit ?`,
  dueCreated:
    'select distinct device_id from command indexed by command_expiring where state = 1 and expire_at <= ? limit ?',
  nextExpiring: 'select min(expire_at) as at from command indexed by command_expiring where state = 1',
  nextAwaited: 'select min(deadline_at) as at from command indexed by command_awaited where state = 4',

  // --- reads -----------------------------------------------------------------------------------------------------
  body: 'select name_json, input_json, output_json, device_code, device_message from command_body where id = ?',
  namesOfDevice: `select distinct b.name_json from command c indexed by command_by_device join command_body b on b.id = c.id
    where c.device_id = ?`,
  deviceEvents: `select ${EVENT_COLUMNS} from event where device_id = ? order by device_seq desc limit ?`,
  commandEvents: `select ${EVENT_COLUMNS} from event indexed by event_by_command where command_id = ? and device_id = ?
    order by device_seq desc limit ?`,
  countByState: 'select state, count(*) as count from command group by state',

  // --- purge -----------------------------------------------------------------------------------------------------
  purgeable: `select cast(id as text) as id, device_id, state from command indexed by command_final
    where state not in (1, 4) and settled_at < ? order by settled_at, command.id limit ?`,
  deleteCommand: 'delete from command where id = ? and state not in (1, 4)',
  deleteBody: 'delete from command_body where id = ?',
  raiseVersion: 'update device set version = version + 1 where id = ?',
  purgeSessionEvents: `delete from event where (device_id, device_seq) in (
    select device_id, device_seq from event indexed by event_of_session
    where command_id is null and at < ? order by at, device_id, device_seq limit ?)`,

  // --- what devices report ---------------------------------------------------------------------------------------
  hasDevice: 'select 1 from device where id = ?',
  latestValues: 'select point_id, value_json, quality, at from latest_value where device_id = ? order by point_id',
  latestValue: 'select point_id, value_json, quality, at from latest_value where device_id = ? and point_id = ?',
  /** How long a text is stands before it: octet_length does not read it. */
  bytesOfValues: 'select coalesce(sum(octet_length(value_json)), 0) as bytes from latest_value where device_id = ?',
  bytesOfValue: 'select octet_length(value_json) as bytes from latest_value where device_id = ? and point_id = ?',
  /** of the ids in a JSON array */
  countKnownValues: `select count(*) as count from latest_value where device_id = ?
    and point_id in (select value from json_each(?))`,
  countValues: 'select count(*) as count from latest_value where device_id = ?',
  putValue: `insert into latest_value (device_id, point_id, value_json, quality, at) values (?, ?, ?, ?, ?)
    on conflict (device_id, point_id) do update set value_json = excluded.value_json, quality = excluded.quality, at = excluded.at
    where excluded.at >= latest_value.at`,
  latestEvents: 'select event_id, output_json, at from latest_event where device_id = ? order by event_id',
  latestEvent: 'select event_id, output_json, at from latest_event where device_id = ? and event_id = ?',
  hasEvent: 'select 1 from latest_event where device_id = ? and event_id = ?',
  bytesOfEvents: 'select coalesce(sum(octet_length(output_json)), 0) as bytes from latest_event where device_id = ?',
  bytesOfEvent: 'select octet_length(output_json) as bytes from latest_event where device_id = ? and event_id = ?',
  countEvents: 'select count(*) as count from latest_event where device_id = ?',
  putEvent: `insert into latest_event (device_id, event_id, output_json, at) values (?, ?, ?, ?)
    on conflict (device_id, event_id) do update set output_json = excluded.output_json, at = excluded.at
    where excluded.at >= latest_event.at`,
  attributes: 'select name, value_json as value from device_attribute where device_id = ? order by place',
  attribute: 'select place, name, value_json as value from device_attribute where device_id = ? and name = ?',
  hasAttribute: 'select 1 from device_attribute where device_id = ? and name = ?',
  bytesOfAttributes:
    'select coalesce(sum(octet_length(value_json)), 0) as bytes from device_attribute where device_id = ?',
  bytesOfAttribute: 'select octet_length(value_json) as bytes from device_attribute where device_id = ? and name = ?',
  countAttributes: 'select count(*) as count from device_attribute where device_id = ?',
  removeAttribute: 'delete from device_attribute where device_id = ? and name = ?',
  /** one that is there keeps its place */
  setAttribute: `insert into device_attribute (device_id, place, name, value_json)
    values (?, (select coalesce(max(place), 0) + 1 from device_attribute where device_id = ?), ?, ?)
    on conflict (device_id, name) do update set value_json = excluded.value_json`,
  tags: 'select name, value from device_tag where device_id = ? order by place',
  tag: 'select place, name, value from device_tag where device_id = ? and name = ?',
  hasTag: 'select 1 from device_tag where device_id = ? and name = ?',
  bytesOfTags: 'select coalesce(sum(octet_length(value)), 0) as bytes from device_tag where device_id = ?',
  bytesOfTag: 'select octet_length(value) as bytes from device_tag where device_id = ? and name = ?',
  countTags: 'select count(*) as count from device_tag where device_id = ?',
  removeTag: 'delete from device_tag where device_id = ? and name = ?',
  setTag: `insert into device_tag (device_id, place, name, value)
    values (?, (select coalesce(max(place), 0) + 1 from device_tag where device_id = ?), ?, ?)
    on conflict (device_id, name) do update set value = excluded.value`,

  // --- tokens ----------------------------------------------------------------------------------------------------
  token: 'select app_key, expire_at from token where access_token = ?',
  tokenOf: `select access_token, expire_at from token where app_key = ? and expire_at > ? order by expire_at desc, rowid desc limit 1`,
  saveToken: 'insert or replace into token (access_token, app_key, expire_at) values (?, ?, ?)',
  useEncryption: 'insert into seen_encryption (encryption, expire_at) values (?, ?) on conflict do nothing',
  purgeTokens: 'delete from token where expire_at < ?',
  purgeEncryptions: 'delete from seen_encryption where expire_at < ?',
  purgeIdempotency: `delete from idempotency where (application, device_id, key) in (
    select application, device_id, key from idempotency indexed by idempotency_expiring where expire_at < ? order by expire_at limit ?)`,

  // --- node ------------------------------------------------------------------------------------------------------
  node: 'select epoch, cast(last_command_id as text) as last_command_id from node where node_no = ?',
  clockFloor: 'select coalesce(max(clock_at), 0) as at from node',
  ping: 'select number from schema_version limit 1',
  takeNode: `insert into node (node_no, epoch, lease_until) values (?, 1, ?)
    on conflict (node_no) do update set epoch = epoch + 1, lease_until = excluded.lease_until`,
  renewNode: 'update node set lease_until = ? where node_no = ? and epoch = ?',
  releaseNode: 'update node set epoch = epoch + 1, lease_until = null where node_no = ? and epoch = ?',
  endSessions: `update device set version = version + 1, session_node = null, last_offline_at = max(coalesce(last_online_at, 0),
    coalesce(last_offline_at, 0), coalesce((select clock_at from node where node_no = ?), 0)) where session_node = ?`,
  liveNodes: 'select node_no, lease_until from node where node_no between 0 and ? and lease_until > ? order by node_no',
  dueSentFor: `select c.device_id from command c indexed by command_awaited join device d on d.id = c.device_id
    where c.state = 4 and c.deadline_at <= ? and ${MAY_TICK} order by c.deadline_at limit ?`,
  dueCreatedFor: `select distinct c.device_id from command c indexed by command_expiring join device d on d.id = c.device_id
    where c.state = 1 and c.expire_at <= ? and ${MAY_TICK} limit ?`,
  /** by way of all that waits: a process that has the file alone loses no wake-up, and asks this seldom if ever */
  wanting: `select distinct c.device_id from command c indexed by command_expiring join device d on d.id = c.device_id
    where c.state = 1 and c.expire_at > 0 and d.session_node = ? and d.id > ? and d.disabled = 0
      and not exists (select 1 from command s indexed by command_one_sent where s.device_id = d.id and s.state = 4)`,
  isFinal: 'select 1 from command where id = ? and state not in (1, 4)',

  ...registryStatements,
  ...viewStatements,
} as const
