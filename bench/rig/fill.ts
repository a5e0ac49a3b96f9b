// Puts many commands into the file of a server, as they would be after days of service, without the days: the server makes the file with its devices, and
// then the rows are written as the engine would have written them, by plain SQL and many at a time. What a server that opens the file relies on holds: ids
// grow with time, events are dense in each device, what waits is counted, and the node knows its last id. Not here: what is measured on it (growth.ts).

import { open } from 'node:fs/promises'
import { setImmediate as breathe } from 'node:timers/promises'
import { DatabaseSync, type DatabaseSyncInstance } from '@photostructure/sqlite'
import { ID_EPOCH_MS } from '../../src/core/command.ts'
import { APP, ORG, POINT, PRODUCT, startServer, writeFleet } from './server.ts'

export interface Filling {
  /** does not exist yet */
  readonly file: string
  /** for the fleet file */
  readonly folder: string
  readonly devices: number
  /** a multiple of the devices: each has as many */
  readonly commands: number
  /** The commands of the last days, most of them answered, and one of each device waits; or of the last hours, and all of them wait. */
  readonly of: 'days' | 'waiting'
}

/** ms in which the commands were accepted: all are younger than the retention of 7 days, and those that wait than their pendingTtl of 48 hours */
const SPAN_MS = { days: 6 * 86_400_000, waiting: 12 * 3_600_000 }
/** ms between the last of them and now, in which all that is over had its time to end */
const AGO_MS = 600_000
const MINUTE_MS = 60_000
/** of the ids, below their milliseconds */
const ID_BITS = 23
const EVENTS_EACH_MAX = 3

/**
 * What becomes of the command of a device in this turn, by a number below 100 that goes through all of them: 88 of a hundred succeed, 4 time out, 3 fail,
 * 3 are cancelled, 2 expire; the chances of neighbours differ. ?1: where the turn begins, ms. ?2: ms from one device to the next. ?3: number of the turn.
 * ?4: 1 where all wait.
 */
const TURN = `insert into temp.turn (device_id, place, event_seq, id, state, created_at)
  select id, place, event_seq, (at - ${ID_EPOCH_MS}) << ${ID_BITS},
    case when ?4 = 1 then 1 when chance < 88 then 5 when chance < 92 then 7 when chance < 95 then 6 when chance < 98 then 2 else 3 end, at
  from (select id, place, event_seq, cast(?1 + place * ?2 as integer) as at, (place * 7 + ?3 * 13) % 100 as chance
    from (select id, event_seq, row_number() over (order by id) - 1 as place from device))`

/** In this order, for each turn. Instants: a device answers after 25 ms, is cancelled after 20 s; what expires had a pendingTtl of a minute. */
const STEPS = [
  `update temp.turn set sent_at = created_at + 40 where state in (5, 6, 7)`,
  `update temp.turn set settled_at = case state when 5 then sent_at + 25 when 6 then sent_at + 25 when 7 then sent_at + 30000
    when 2 then created_at + 20000 else created_at + 60000 end where state <> 1`,
  `insert into command (id, device_id, state, kind, identifier, timeout_s, pending_ttl_s, expire_at, deadline_at, created_at, sent_at, settled_at,
      sent_session, created_by, code, late_replies)
    select id, device_id, state, 1, '${POINT}', 30, case state when 3 then 60 else 172800 end, created_at + case state when 3 then 60000 else 172800000 end,
      sent_at + 30000, created_at, sent_at, settled_at, iif(sent_at is null, null, 1), '${APP.appKey}',
      case state when 5 then 0 when 6 then 500 when 7 then 11915 end, 0
    from temp.turn order by id`,
  `insert into command_body (id, name_json, input_json, output_json, device_code, device_message)
    select id, '{"defaultValue":"${POINT}","i18nValue":{}}', '222', null, case state when 5 then '200' when 6 then '500' end,
      case state when 6 then 'busy' end
    from temp.turn order by id`,
] as const

/** ?1: the last position before the turn. */
const EVENTS = [
  `insert into event (device_id, device_seq, command_id, from_state, to_state, at, by, reason, detail, position)
    select device_id, event_seq + 1, id, null, 1, created_at, '${APP.appKey}', 'accepted', null, ?1 + place * ${EVENTS_EACH_MAX} + 1 from temp.turn`,
  `insert into event (device_id, device_seq, command_id, from_state, to_state, at, by, reason, detail, position)
    select device_id, event_seq + 2, id, 1, 4, sent_at, 'server', 'sent', '{"node":0,"session":1}', ?1 + place * ${EVENTS_EACH_MAX} + 2
    from temp.turn where sent_at is not null`,
  `insert into event (device_id, device_seq, command_id, from_state, to_state, at, by, reason, detail, position)
    select device_id, event_seq + iif(sent_at is null, 2, 3), id, iif(sent_at is null, 1, 4), state, settled_at,
      case state when 2 then '${APP.appKey}' when 3 then 'time' when 7 then 'time' else 'device' end,
      case state when 2 then 'cancel' when 3 then 'pendingTtl' when 7 then 'timeout' else 'reply' end, null, ?1 + place * ${EVENTS_EACH_MAX} + 3
    from temp.turn where settled_at is not null`,
  `insert into tally (org_id, product_key, minute_at, node_no, from_state, to_state, n)
    select '${ORG}', '${PRODUCT}', at / ${MINUTE_MS} * ${MINUTE_MS}, 0, coalesce(from_state, 0), to_state, count(*)
    from event indexed by event_by_position where position > ?1 group by 3, 5, 6 on conflict do update set n = n + excluded.n`,
] as const

const NEXT_TURN = `update device set last_command_id = t.id, event_seq = t.event_seq + t.events, version = version + t.events
    from (select device_id, id, event_seq, 1 + (sent_at is not null) + (settled_at is not null) as events from temp.turn) t
    where device.id = t.device_id;
  delete from temp.turn`

/** The devices were connected once, before the first command; ?: that instant. */
const CONNECTED = 'update device set session_no = 1, active_at = ?1, last_online_at = ?1, last_offline_at = ?1'
const WAITING = `update device set
  waiting = (select count(*) from command c indexed by command_open where c.device_id = device.id and c.state in (1, 4)),
  oldest_waiting_at = (select min(c.created_at) from command c indexed by command_open where c.device_id = device.id and c.state in (1, 4))`
const NODE = `insert into node (node_no, batch_no, last_command_id, clock_at) values (0, ?1, (select max(id) from command), ?2)
  on conflict do update set batch_no = excluded.batch_no, last_command_id = excluded.last_command_id, clock_at = max(clock_at, excluded.clock_at)`

/** Makes the file with its devices and no commands, as a server does at its first start. */
export async function makeStore({
  file,
  folder,
  devices,
}: Pick<Filling, 'file' | 'folder' | 'devices'>): Promise<void> {
  const server = await startServer(`sqlite:${file}`, writeFleet(folder, devices))
  await server.stop()
}

/** Makes the file with its commands; resolves when it is on the disk. Takes half a minute for a million commands, and 550 MB. */
export async function fill({ file, folder, devices, commands, of }: Filling): Promise<void> {
  const turns = commands / devices
  if (!Number.isInteger(turns)) throw new Error(`${commands} commands are not as many for each of ${devices} devices`)
  await makeStore({ file, folder, devices })
  const db = new DatabaseSync(file)
  try {
    // A file that is not finished is thrown away. temp_store: each statement notes what to take back were it to fail half way, and would note it on the disk.
    db.exec(
      'pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -524288; pragma temp_store = memory',
    )
    db.exec(`create temp table turn (device_id integer primary key, place integer, event_seq integer, id integer, state integer, created_at integer,
      sent_at integer, settled_at integer)`)
    await writeTurns(db, turns, devices, of)
  } finally {
    db.close()
  }
  await flush(file)
}

/** What is written of the file is on the disk when this resolves, so that it does not burden what is measured next. */
export async function flush(file: string): Promise<void> {
  const written = await open(file, 'r+')
  try {
    await written.sync()
  } finally {
    await written.close()
  }
}

async function writeTurns(db: DatabaseSyncInstance, turns: number, devices: number, of: Filling['of']): Promise<void> {
  const gapMs = SPAN_MS[of] / (turns * devices)
  if (gapMs < 1) throw new Error(`${turns * devices} commands are more than one a millisecond`)
  const lastAt = Date.now() - AGO_MS
  const firstAt = lastAt - SPAN_MS[of]
  db.prepare(CONNECTED).run(firstAt)
  const begin = db.prepare(TURN)
  const steps = STEPS.map(sql => db.prepare(sql))
  const events = EVENTS.map(sql => db.prepare(sql))
  // All in one: each commit would write the same pages again, of which every device has its own.
  db.exec('begin')
  for (let turn = 0; turn < turns; turn++) {
    const position = turn * devices * EVENTS_EACH_MAX
    begin.run(firstAt + turn * devices * gapMs, gapMs, turn, of === 'waiting' || turn === turns - 1 ? 1 : 0)
    for (const step of steps) step.run()
    for (const event of events) event.run(position)
    db.exec(NEXT_TURN)
    await breathe()
  }
  db.exec(WAITING)
  db.prepare('update stream set given = ? where id = 1').run(turns * devices * EVENTS_EACH_MAX)
  db.prepare(NODE).run(turns, lastAt)
  db.exec('commit')
}
