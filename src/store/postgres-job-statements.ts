// The SQL of command jobs and of cancellations on PostgreSQL; part of the one list in postgres-statements.ts. Names and order are those of the SQLite store.
// Not here: searches, whose condition is put together per call (job-condition.ts).

import { CANCELLATION_COLUMNS, ITEM_COLUMNS, JOB_COLUMNS, OUTCOME_COLUMNS, TASK_COLUMNS } from './job-rows.ts'

/** What an attempt or its end changes of a task. */
const CHANGING =
  'status, command_id, attempt, auto_retries, manual_retries, next_at, result_code, result_text, output_json, updated_at'
const CHANGING_ARRAYS = (from: number): string =>
  ['text', 'bigint', 'integer', 'integer', 'integer', 'bigint', 'bigint', 'text', 'text', 'bigint']
    .map((type, n) => `$${from + n}::${type}[]`)
    .join(', ')

export const jobStatements = {
  // --- jobs ------------------------------------------------------------------------------------------------------
  addJob: `insert into job (${JOB_COLUMNS.replaceAll('j.', '')}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    on conflict (job_id) do nothing`,
  job: `select ${JOB_COLUMNS} from job j where j.job_id = $1`,
  lockJob: `select ${JOB_COLUMNS} from job j where j.job_id = $1 for update`,
  countJobs: 'select count(*) as n, count(*) filter (where ended_at is null) as open from job where org_id = $1',
  namesOfJobs: 'select distinct name_json from job where org_id = $1',
  dueJobs: `select ${JOB_COLUMNS} from job j where j.next_at <= $1 order by j.next_at, j.job_id limit $2`,
  nextJobAt: 'select min(next_at) as at from job where next_at is not null',
  saveJob: 'update job set status = $2, changed_at = $3, next_at = $4, ended_at = $5 where job_id = $1',
  spreadJob: 'update job set tasks = tasks + $2, spread_to = $3 where job_id = $1',
  addTasks: `insert into task (job_id, task_no, device_id, product_key, device_key, asset_id, created_at, ${CHANGING})
    select $1, * from unnest($2::integer[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::bigint[], ${CHANGING_ARRAYS(8)})`,
  dueTasks: `select ${TASK_COLUMNS} from task t where t.job_id = $1 and t.next_at <= $2 order by t.next_at, t.task_no limit $3`,
  tasksLeft: `select exists (select 1 from task where job_id = $1 and status in ('QUEUED', 'PUBLISHED')) as open,
    (select min(next_at) from task where job_id = $1 and next_at is not null) as next_at`,
  tasks: `select ${TASK_COLUMNS} from task t where t.job_id = $1 and t.task_no = any($2::integer[]) order by t.task_no`,
  unfinishedTasks: `select ${TASK_COLUMNS} from task t
    where t.job_id = $1 and t.task_no > $2 and (t.status in ('QUEUED', 'PUBLISHED') or t.next_at is not null) order by t.task_no limit $3`,
  countTasks: 'select status, count(*) as n from task where job_id = $1 group by status',
  /** how many open tasks a look takes, and the last of them */
  openTasks: `select count(*) as n, max(task_no) as last from (select task_no from task
    where job_id = $1 and status in ('QUEUED', 'PUBLISHED') and task_no > $2 order by task_no limit $3) t`,
  movedTasks: `select ${TASK_COLUMNS}, ${OUTCOME_COLUMNS}
    from task t left join command c on c.id = t.command_id left join command_body b on b.id = c.id
    where t.job_id = $1 and t.status in ('QUEUED', 'PUBLISHED') and t.task_no > $2 and t.task_no <= $3
      and (c.id is null or c.state <> case t.status when 'QUEUED' then 1 else 4 end)
    order by t.task_no`,
  /** With $3 also those that an attempt which nobody answered may have written. */
  saveTasks: `update task t set status = u.status, command_id = u.command_id, attempt = u.attempt, auto_retries = u.auto_retries,
      manual_retries = u.manual_retries, next_at = u.next_at, result_code = u.result_code, result_text = u.result_text, output_json = u.output_json,
      updated_at = u.updated_at
    from unnest($2::integer[], $4::integer[], $5::text[], ${CHANGING_ARRAYS(6)}) as u (task_no, from_attempt, from_status, ${CHANGING})
    where t.job_id = $1 and t.task_no = u.task_no and ((t.attempt = u.from_attempt and t.status = u.from_status)
      or ($3::boolean and t.attempt = u.attempt and t.status = u.status and t.updated_at = u.updated_at
        and t.command_id is not distinct from u.command_id and t.next_at is not distinct from u.next_at))
    returning t.task_no`,
  removeTasks: `delete from task where job_id = $1 and task_no in (select task_no from task where job_id = $1 order by task_no limit $2)`,
  removeJob: 'delete from job where job_id = $1 and not exists (select 1 from task where job_id = $1)',
  // Locked, so that it is not begun anew meanwhile.
  oldestEndedJob: 'select job_id from job where ended_at < $1 order by ended_at limit 1 for update',
  hideJob: `update job set status = 'DELETED' where job_id = $1`,

  // --- cancellations ---------------------------------------------------------------------------------------------
  addCancellation: `insert into cancellation (${CANCELLATION_COLUMNS})
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) on conflict (cancellation_id) do nothing`,
  cancellation: `select ${CANCELLATION_COLUMNS} from cancellation where cancellation_id = $1`,
  lockCancellation: `select ${CANCELLATION_COLUMNS} from cancellation where cancellation_id = $1 for update`,
  countCancellations:
    'select count(*) as n, count(*) filter (where ended_at is null) as open from cancellation where org_id = $1',
  countVisibleCancellations:
    'select count(*) as n from cancellation where org_id = $1 and ($2::text is null or created_by = $2)',
  cancellations: `select ${CANCELLATION_COLUMNS} from cancellation where org_id = $1 and ($2::text is null or created_by = $2)
    order by created_at desc, cancellation_id desc limit $3 offset $4`,
  dueCancellations: `select ${CANCELLATION_COLUMNS} from cancellation where next_at <= $1 order by next_at, cancellation_id limit $2`,
  nextCancellationAt: 'select min(next_at) as at from cancellation where next_at is not null',
  openDevices: `select count(*) as n, max(device_id) as last from (select distinct device_id from command
    where state in (1, 4) and device_id > $1 order by device_id limit $2) c`,
  openDevicesOf: `select d.id, d.product_key, d.asset_id from (select distinct device_id from command
      where state in (1, 4) and device_id > $1 and device_id <= $2) c join device d on d.id = c.device_id
    where d.org_id = $3 order by d.id`,
  countWaitingDevices: `select count(*) as n from device where org_id = $1 and is_waiting
    and ($2::text[] is null or product_key = any($2))`,
  scanned: 'update cancellation set scanned_to = $2 where cancellation_id = $1',
  addItems: `insert into cancellation_item (cancellation_id, command_id, device_id, decided, state, ours)
    select $1, i.command_id, i.device_id, i.state is not null, i.state, false
    from unnest($2::bigint[], $3::integer[], $4::smallint[]) as i (command_id, device_id, state)
    on conflict (cancellation_id, command_id) do nothing returning device_id, state`,
  addCancellationCounts: `update cancellation set devices = devices + $2, matched = matched + $3, cancelled = cancelled + $4,
    not_cancelled = not_cancelled + $5 where cancellation_id = $1`,
  undecidedItems: `select ${ITEM_COLUMNS} from cancellation_item where cancellation_id = $1 and not decided order by command_id limit $2`,
  decideItems: `update cancellation_item i set decided = true, state = d.state, ours = d.ours
    from unnest($2::bigint[], $3::smallint[], $4::boolean[]) as d (command_id, state, ours)
    where i.cancellation_id = $1 and i.command_id = d.command_id and not i.decided returning i.ours`,
  ownItems: `update cancellation_item i set state = d.state, ours = true
    from unnest($2::bigint[], $3::smallint[], $4::boolean[]) as d (command_id, state, ours)
    where i.cancellation_id = $1 and i.command_id = d.command_id and d.ours and i.decided and not i.ours`,
  saveCancellation: 'update cancellation set status = $2, next_at = $3, ended_at = $4 where cancellation_id = $1',
  cancellationItems: `select ${ITEM_COLUMNS} from cancellation_item where cancellation_id = $1 and command_id > $2::bigint order by command_id limit $3`,
  removeItems: `delete from cancellation_item where cancellation_id = $1 and command_id in
    (select command_id from cancellation_item where cancellation_id = $1 order by command_id limit $2)`,
  removeCancellation: `delete from cancellation where cancellation_id = $1
    and not exists (select 1 from cancellation_item where cancellation_id = $1)`,
  oldestEndedCancellation: 'select cancellation_id from cancellation where ended_at < $1 order by ended_at limit 1',
} as const
