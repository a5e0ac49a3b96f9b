-- What devices say of themselves besides answers to commands, which certificate a device shows, and devices behind a gateway.
-- breaking: no
--
-- A program that knows only the first schema works with this one: it writes none of the new tables, and leaves the new column empty. What it does not
-- know either is that devices can be deleted; the records of such a device are read through no device any more, and purged as all others are.

-- Lower-case hexadecimal without leading zeros; null where a certificate is known by its name. Read with its device only, so there is no index.
alter table device add column certificate_serial text;
-- The devices behind a gateway: when it connects, and when it is deleted, which looks for rows that refer to it. Most devices have none.
create index device_by_gateway on device (gateway_id, id) where gateway_id is not null;

-- What a device reports goes with its row. The primary keys give the order in which it is read, and find what belongs to a device that is deleted.

-- Measurepoints as last reported. Quality is any number.
create table latest_value (
  device_id integer not null references device (id) on delete cascade,
  point_id text collate "C" not null,
  value_json text not null,
  quality double precision,
  at bigint not null,
  primary key (device_id, point_id)
) with (fillfactor = 80);

-- The last occurrence of each event of the model; `event` is the log of the queue.
create table latest_event (
  device_id integer not null references device (id) on delete cascade,
  event_id text collate "C" not null,
  output_json text not null,
  at bigint not null,
  primary key (device_id, event_id)
) with (fillfactor = 80);

-- place grows with each attribute that a device gets, and stays when its value changes. The second key finds one by its name.
create table device_attribute (
  device_id integer not null references device (id) on delete cascade,
  place integer not null,
  name text collate "C" not null,
  value_json text not null,
  primary key (device_id, place),
  unique (device_id, name)
);

-- As attributes; values are text.
create table device_tag (
  device_id integer not null references device (id) on delete cascade,
  place integer not null,
  name text collate "C" not null,
  value text not null,
  primary key (device_id, place),
  unique (device_id, name)
);
