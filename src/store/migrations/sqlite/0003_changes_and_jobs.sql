-- The stream of changes, who a deleted device was, counts over time, what waits on a device, webhooks, jobs, cancellations by filter.
-- breaking: yes
--
-- A program that knows only the schemas before would write events without a position, which nobody would ever be told of.

-- The place of an event in the stream of all changes, given in the commit that writes it, since one process writes this store. Null: written before
-- there was a stream.
alter table event add column position integer;
create unique index event_by_position on event (position) where position is not null;

-- One row. given: the last position that was given. lost: the largest position of a change that was purged, so that who has read less than that knows.
create table stream (
  id integer primary key check (id = 1),
  given integer not null,
  lost integer not null
) strict;
insert into stream (id, given, lost) values (1, 0, 0);

-- Who a device was that has been deleted, for as long as there are records of it.
create table deleted_device (
  device_id integer primary key,
  org_id text not null,
  product_key text not null,
  device_key text not null,
  asset_id text not null,
  timezone text not null,
  deleted_at integer not null
) strict;
create index deleted_device_by_time on deleted_device (deleted_at);

-- How many commands of a product's devices went from one state to another in a minute; from_state 0: they were accepted.
create table tally (
  org_id text not null,
  product_key text not null,
  minute_at integer not null,
  node_no integer not null,
  from_state integer not null,
  to_state integer not null,
  n integer not null,
  primary key (org_id, minute_at, product_key, node_no, from_state, to_state)
) strict, without rowid;
create index tally_by_time on tally (minute_at);

-- created_at: null where it was added before this was kept. waiting: how many created commands it has; oldest_waiting_at: when the oldest of them was
-- created, null where there is none. Each commit writes both from the queue that it writes.
alter table device add column description text;
alter table device add column created_at integer;
alter table device add column waiting integer not null default 0;
alter table device add column oldest_waiting_at integer;
update device set
  waiting = (select count(*) from command c where c.device_id = device.id and c.state in (1, 4) and c.state = 1),
  oldest_waiting_at = (select min(c.created_at) from command c where c.device_id = device.id and c.state in (1, 4) and c.state = 1);
-- The products of an organization, by their keys.
create index product_by_organization on product (org_id, product_key);
-- Pages of devices, by their numbers: of an organization, of a product, and of what most of an organization's are not. The product is at hand in each index,
-- so that to count, or to leave out those of others, no row is read. The status is its place among online, offline, inactive, disabled.
create index device_by_organization on device (org_id);
create index device_by_product on device (product_key);
create index device_by_status on device (org_id, case when disabled = 1 then 3 when session_node is not null then 0 when active_at is null then 2 else 1 end,
  id, product_key);
-- Devices with something that waits: the deepest queues, the oldest command that waits, and how many there are, are looked for among them. The numbers are at
-- hand: an entry is written anew with each change of them anyway, since they decide whether there is one.
create index device_waiting on device (org_id, id, product_key, waiting, oldest_waiting_at) where waiting > 0;

-- Who does what only one may do at a time.
create table turn (
  name text primary key,
  holder text not null,
  until_at integer not null
) strict, without rowid;

-- Where an organization wants to be told of changes. position: everything up to it was taken by the receiver, or is in dead_letter.
create table webhook (
  webhook_id text primary key,
  org_id text not null references organization (org_id),
  url text not null,
  secret text not null,
  filter_json text not null,
  created_by text not null,
  created_at integer not null,
  paused integer not null,
  position integer not null,
  attempts integer not null,
  failing_since integer,
  next_at integer,
  last_error text
) strict;
create index webhook_by_organization on webhook (org_id);

-- Changes that a receiver did not take in all the time that it had.
create table dead_letter (
  webhook_id text not null references webhook (webhook_id) on delete cascade,
  position integer not null,
  event_json text not null,
  failed_at integer not null,
  reason text not null,
  primary key (webhook_id, position)
) strict, without rowid;

-- One command for many devices. tasks: how many it has so far. spread_to: the devices up to this number have theirs; null: all have. changed_at: when one of
-- them changed last. next_at: when it is to be looked at again; null: never.
create table job (
  job_id text primary key,
  org_id text not null references organization (org_id),
  created_by text not null,
  created_at integer not null,
  trigger_at integer not null,
  name_json text not null,
  spec_json text not null,
  status text not null,
  tasks integer not null,
  spread_to integer,
  changed_at integer not null,
  next_at integer,
  ended_at integer
) strict;
create index job_by_organization on job (org_id, created_at, job_id);
create index job_due on job (next_at) where next_at is not null;
-- What may be purged.
create index job_ended on job (ended_at) where ended_at is not null;

-- What becomes of a job on one device. command_id: the command of the last attempt. next_at: when the next attempt is to be made; null: there is to be none.
create table task (
  job_id text not null references job (job_id) on delete cascade,
  task_no integer not null,
  device_id integer not null,
  product_key text not null,
  device_key text not null,
  asset_id text not null,
  status text not null,
  command_id integer,
  attempt integer not null,
  auto_retries integer not null,
  manual_retries integer not null,
  next_at integer,
  result_code integer,
  result_text text,
  output_json text,
  created_at integer not null,
  updated_at integer not null,
  primary key (job_id, task_no)
) strict;
create index task_due on task (job_id, next_at, task_no) where next_at is not null;
-- Those whose command is followed.
create index task_open on task (job_id, task_no) where status in ('QUEUED', 'PUBLISHED');
create index task_by_status on task (job_id, status);
-- All that was ever done on a device.
create index task_by_asset on task (asset_id);
create index task_by_device_key on task (device_key);

-- A cancel over many devices. scanned_to: the devices up to this number have been looked at; null: all have. What is matched, and neither cancelled nor not,
-- is undecided. next_at: when there is something to do for it; null: never again.
create table cancellation (
  cancellation_id text primary key,
  org_id text not null references organization (org_id),
  created_by text not null,
  created_at integer not null,
  filter_json text not null,
  dry_run integer not null,
  status text not null,
  scanned_to integer,
  devices_total integer not null,
  devices integer not null,
  matched integer not null,
  cancelled integer not null,
  not_cancelled integer not null,
  next_at integer,
  ended_at integer
) strict;
create index cancellation_by_organization on cancellation (org_id, created_at, cancellation_id);
create index cancellation_due on cancellation (next_at) where next_at is not null;
create index cancellation_ended on cancellation (ended_at) where ended_at is not null;

-- Each command that a cancellation found. state: what it was in when it was decided on; null: that is still to be done, or its record was gone. ours: this
-- cancellation cancelled it.
create table cancellation_item (
  cancellation_id text not null references cancellation (cancellation_id) on delete cascade,
  command_id integer not null,
  device_id integer not null,
  decided integer not null,
  state integer,
  ours integer not null,
  primary key (cancellation_id, command_id)
) strict, without rowid;
create index cancellation_undecided on cancellation_item (cancellation_id, command_id) where decided = 0;
