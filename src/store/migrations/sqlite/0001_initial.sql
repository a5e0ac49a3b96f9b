-- The first schema on SQLite.
-- breaking: yes
--
-- Instants are epoch milliseconds and always come in as parameters. JSON is text. Ids of commands are 64-bit integers that callers see as
-- decimal text. No CHECK on what a later feature may widen (states, kinds, timeouts). Every index costs each accepted command, so each has its reason.

-- What the installation knows of itself, such as the check value of the key that encrypts secrets.
create table setting (
  key text primary key,
  value text not null
) strict, without rowid;

create table organization (
  org_id text primary key,
  name text not null
) strict;

-- id gives the order in which applications were added. Grants are JSON in their row: they are read whole with the application on every
-- call, written whole by the fleet, and never searched.
create table application (
  id integer primary key,
  app_key text not null unique,
  org_id text not null references organization (org_id),
  secret text not null,
  grants_json text not null
) strict;
create index application_by_organization on application (org_id);

create table model (
  org_id text not null references organization (org_id),
  model_id text not null,
  json text not null,
  primary key (org_id, model_id)
) strict;

create table product (
  product_key text primary key,
  org_id text not null references organization (org_id),
  secret text not null,
  model_id text,
  json text not null,
  foreign key (org_id, model_id) references model (org_id, model_id)
) strict;

-- A device and the fixed part of its queue. version guards every commit. last_command_id is never lowered. id is never given twice
-- (autoincrement), because the records of a deleted device outlive it.
create table device (
  id integer primary key autoincrement,
  asset_id text not null unique,
  org_id text not null references organization (org_id),
  product_key text not null references product (product_key),
  device_key text not null,
  secret text not null,
  name_json text not null,
  timezone text not null,
  disabled integer not null,
  gateway_id integer references device (id),
  version integer not null default 0,
  last_command_id integer,
  event_seq integer not null default 0,
  session_no integer not null default 0,
  session_node integer,
  active_at integer,
  last_online_at integer,
  last_offline_at integer,
  unique (product_key, device_key)
) strict;

-- The slim record of a command: everything the rules look at. No foreign key to device: records outlive a deleted device.
create table command (
  id integer primary key,
  device_id integer not null,
  state integer not null,
  kind integer not null,
  identifier text not null,
  timeout_s integer not null,
  pending_ttl_s integer not null,
  expire_at integer not null,
  deadline_at integer,
  created_at integer not null,
  sent_at integer,
  settled_at integer,
  sent_session integer,
  created_by text not null,
  code integer,
  late_replies integer not null
) strict;
-- At most one command of a device is sent.
create unique index command_one_sent on command (device_id) where state = 4;
-- A device's queue; the rowid, which is the id, is the last part of every index and gives the order.
create index command_open on command (device_id) where state in (1, 4);
-- A device's records, newest first, for search; again with the id as its last part.
create index command_by_device on command (device_id);
-- What lapses next.
create index command_expiring on command (expire_at) where state = 1;
create index command_awaited on command (deadline_at) where state = 4;
-- What may be purged. Open commands are not in it.
create index command_final on command (settled_at) where state not in (1, 4);

-- What travels with a command and decides nothing. The name comes first, so that a search by name does not read past long inputs.
create table command_body (
  id integer primary key,
  name_json text not null,
  input_json text not null,
  output_json text,
  device_code text,
  device_message text
) strict;

-- The event log of each device, dense in device_seq.
create table event (
  device_id integer not null,
  device_seq integer not null,
  command_id integer,
  from_state integer,
  to_state integer,
  at integer not null,
  by text not null,
  reason text not null,
  detail text,
  primary key (device_id, device_seq)
) strict, without rowid;
create index event_by_command on event (command_id) where command_id is not null;
-- Events of sessions, for the purge: those of commands go with their command.
create index event_of_session on event (at) where command_id is null;

-- Answers that a repeated call gets again.
create table idempotency (
  application text not null,
  device_id integer not null,
  key text not null,
  request_hash text not null,
  answer text not null,
  expire_at integer not null,
  primary key (application, device_id, key)
) strict, without rowid;
create index idempotency_expiring on idempotency (expire_at);

create table token (
  access_token text primary key,
  app_key text not null,
  expire_at integer not null
) strict;
create index token_by_application on token (app_key, expire_at);

create table seen_encryption (
  encryption text primary key,
  expire_at integer not null
) strict, without rowid;

-- One row per node, touched by every commit: the high-water mark of its ids, the floor of its clock, and the number of its last batch,
-- which tells whether a commit whose answer was lost has happened. epoch and lease_until are for stores that several nodes share.
create table node (
  node_no integer primary key,
  epoch integer not null default 0,
  batch_no integer not null default 0,
  last_command_id integer,
  lease_until integer,
  clock_at integer not null default 0
) strict;
