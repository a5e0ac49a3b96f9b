-- The stream of changes, who a deleted device was, counts over time, what waits on a device, webhooks, jobs, cancellations by filter.
-- breaking: yes
--
-- A program that knows only the schemas before would write events without a position, which nobody would ever be told of.

-- The place of an event in the stream of all changes. Commits of several nodes become visible in another order than they began, so it is not the commit
-- that gives it: one node at a time gives positions to what is there and has none (0), in the order of each device. Null: written before there was a stream.
alter table event add column position bigint;
alter table event alter column position set default 0;
create unique index event_by_position on event (position) where position > 0;
create index event_unplaced on event (device_id, device_seq) where position = 0;

-- One row. given: the last position that was given. lost: the largest position of a change that was purged, so that who has read less than that knows.
create table stream (
  id integer primary key check (id = 1),
  given bigint not null,
  lost bigint not null
);
insert into stream (id, given, lost) values (1, 0, 0);

-- Who a device was that has been deleted, for as long as there are records of it.
create table deleted_device (
  device_id integer primary key,
  org_id text collate "C" not null,
  product_key text collate "C" not null,
  device_key text collate "C" not null,
  asset_id text collate "C" not null,
  timezone text not null,
  deleted_at bigint not null
);
create index deleted_device_by_time on deleted_device (deleted_at);

-- How many commands of a product's devices went from one state to another in a minute; from_state 0: they were accepted.
create table tally (
  org_id text collate "C" not null,
  product_key text collate "C" not null,
  minute_at bigint not null,
  node_no integer not null,
  from_state smallint not null,
  to_state smallint not null,
  n bigint not null,
  primary key (org_id, minute_at, product_key, node_no, from_state, to_state)
);
create index tally_by_time on tally (minute_at);

-- created_at: null where it was added before this was kept. waiting: how many created commands it has; oldest_waiting_at: when the oldest of them was
-- created, null where there is none. Each commit writes both from the queue that it writes.
alter table device add column description text;
alter table device add column created_at bigint;
alter table device add column waiting integer not null default 0;
alter table device add column oldest_waiting_at bigint;
-- For indexes: none has the numbers themselves, which change with most steps, and PostgreSQL leaves the indexes of a row alone only where no column changes
-- that any of them looks at. This one changes when a first command comes to wait, and when the last one is gone.
alter table device add column is_waiting boolean not null generated always as (waiting > 0) stored;
-- Last, so that each row is written once more only.
update device set
  waiting = (select count(*) from command c where c.device_id = device.id and c.state in (1, 4) and c.state = 1),
  oldest_waiting_at = (select min(c.created_at) from command c where c.device_id = device.id and c.state in (1, 4) and c.state = 1);
-- The products of an organization, by their keys.
create index product_by_organization on product (org_id, product_key);
-- Pages of devices, by their numbers: of an organization, of a product, and of what most of an organization's are not. The product is at hand in each index,
-- so that to count, or to leave out those of others, no row is read. In the second but one a device stands on the node of its session, or nowhere and is
-- disabled (-3), inactive (-2) or neither (-1); a node may be dead, with its devices. What is included is there for counts.
create index device_by_organization on device (org_id, id);
create index device_by_product on device (product_key, id);
create index device_by_status on device
  (org_id, (case when disabled then -3 when session_node is not null then session_node when active_at is null then -2 else -1 end), id)
  include (product_key, disabled, session_node, active_at);
create index device_waiting on device (org_id, id) include (product_key) where is_waiting;

-- Who does what only one may do at a time.
create table turn (
  name text collate "C" primary key,
  holder text collate "C" not null,
  until_at bigint not null
);

-- Where an organization wants to be told of changes. position: everything up to it was taken by the receiver, or is in dead_letter.
create table webhook (
  webhook_id text collate "C" primary key,
  org_id text collate "C" not null references organization (org_id),
  url text not null,
  secret text not null,
  filter_json text not null,
  created_by text not null,
  created_at bigint not null,
  paused boolean not null,
  position bigint not null,
  attempts integer not null,
  failing_since bigint,
  next_at bigint,
  last_error text
);
create index webhook_by_organization on webhook (org_id);

-- Changes that a receiver did not take in all the time that it had.
create table dead_letter (
  webhook_id text collate "C" not null references webhook (webhook_id) on delete cascade,
  position bigint not null,
  event_json text not null,
  failed_at bigint not null,
  reason text not null,
  primary key (webhook_id, position)
);

-- One command for many devices. tasks: how many it has so far. spread_to: the devices up to this number have theirs; null: all have. changed_at: when one of
-- them changed last. next_at: when it is to be looked at again; null: never.
create table job (
  job_id text collate "C" primary key,
  org_id text collate "C" not null references organization (org_id),
  created_by text collate "C" not null,
  created_at bigint not null,
  trigger_at bigint not null,
  name_json text not null,
  spec_json text not null,
  status text collate "C" not null,
  tasks integer not null,
  spread_to integer,
  changed_at bigint not null,
  next_at bigint,
  ended_at bigint
);
create index job_by_organization on job (org_id, created_at, job_id);
create index job_due on job (next_at) where next_at is not null;
-- What may be purged.
create index job_ended on job (ended_at) where ended_at is not null;

-- What becomes of a job on one device. command_id: the command of the last attempt. next_at: when the next attempt is to be made; null: there is to be none.
create table task (
  job_id text collate "C" not null references job (job_id) on delete cascade,
  task_no integer not null,
  device_id integer not null,
  product_key text collate "C" not null,
  device_key text collate "C" not null,
  asset_id text collate "C" not null,
  status text collate "C" not null,
  command_id bigint,
  attempt integer not null,
  auto_retries integer not null,
  manual_retries integer not null,
  next_at bigint,
  result_code bigint,
  result_text text,
  output_json text,
  created_at bigint not null,
  updated_at bigint not null,
  primary key (job_id, task_no)
);
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
  cancellation_id text collate "C" primary key,
  org_id text collate "C" not null references organization (org_id),
  created_by text collate "C" not null,
  created_at bigint not null,
  filter_json text not null,
  dry_run boolean not null,
  status text collate "C" not null,
  scanned_to integer,
  devices_total integer not null,
  devices integer not null,
  matched integer not null,
  cancelled integer not null,
  not_cancelled integer not null,
  next_at bigint,
  ended_at bigint
);
create index cancellation_by_organization on cancellation (org_id, created_at, cancellation_id);
create index cancellation_due on cancellation (next_at) where next_at is not null;
create index cancellation_ended on cancellation (ended_at) where ended_at is not null;

-- Each command that a cancellation found. state: what it was in when it was decided on; null: that is still to be done, or its record was gone. ours: this
-- cancellation cancelled it.
create table cancellation_item (
  cancellation_id text collate "C" not null references cancellation (cancellation_id) on delete cascade,
  command_id bigint not null,
  device_id integer not null,
  decided boolean not null,
  state smallint,
  ours boolean not null,
  primary key (cancellation_id, command_id)
);
create index cancellation_undecided on cancellation_item (cancellation_id, command_id) where not decided;
