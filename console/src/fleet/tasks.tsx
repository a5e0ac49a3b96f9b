// The tasks of a job: one line for each device, by state, with what came of it; and the choice of those that something is to be done to.
// Not here: doing it (task-deed.tsx).

import type { Job, JobStatistics, Task, TaskStatus } from '@downlink/client'
import { useEffect, useState } from 'preact/hooks'
import { Link } from 'wouter-preact'
import { Empty, Seen } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { common } from '../parts/words.ts'
import { number } from '../words.ts'
import { type Paged, paceOf, TASKS_PAGE_SIZE, taskPage, usePaced } from './asking.ts'
import { useCanTouch } from './job-rights.ts'
import { Pager, pageNoOf, useQuery } from './pager.tsx'
import { Bar } from './shares.tsx'
import { countOf, kindOf, sharesOf, statuses, unfinished } from './statuses.ts'
import { type Deed, TaskDeed } from './task-deed.tsx'
import { TaskLine } from './task-line.tsx'
import { CHOSEN_MAX, type Chosen, TaskTools } from './task-tools.tsx'
import { words } from './words.ts'

export const Tasks = ({ job, statistics, onDone }: { job: Job; statistics: JobStatistics; onDone: () => void }) => {
  const say = words()
  const { jobId } = job
  const { query } = useQuery()
  const status = statuses.find(status => status === query.get('state')) ?? null
  const pageNo = pageNoOf(query)
  const [chosen, setChosen] = useState<Chosen>(new Map())
  const [deed, setDeed] = useState<Deed | null>(null)
  const look = usePaced(
    (client, signal) => taskPage(client, jobId, status, pageNo, signal),
    [jobId, status, pageNo],
    () => paceOf(job),
  )
  // Whoever has run the job again, or done something to its tasks: the numbers tell.
  const numbers = JSON.stringify([job.status, statistics])
  useEffect(look.again, [numbers])
  const close = (isDone: boolean) => {
    setDeed(null)
    if (!isDone) return
    setChosen(new Map())
    look.again()
    onDone()
  }
  return (
    <Card title={say.tasks} class="tasks" beside={<Over job={job} statistics={statistics} />}>
      <Bar shares={sharesOf(statistics)} />
      <States statistics={statistics} status={status} />
      <Seen look={look}>
        {page => (
          <>
            <TaskTools
              job={job}
              statistics={statistics}
              chosen={asSeen(chosen, page.rows)}
              onChoose={setChosen}
              onDeed={setDeed}
            />
            <TaskTable job={job} page={page} chosen={chosen} onChoose={setChosen} />
            <Missing page={page} statistics={statistics} status={status} />
          </>
        )}
      </Seen>
      {deed !== null && <TaskDeed job={job} deed={deed} onClose={close} />}
    </Card>
  )
}

/** Those that are chosen, as they are now as far as the page shows them. */
const asSeen = (chosen: Chosen, rows: readonly Task[]): Chosen =>
  new Map([...chosen, ...rows.filter(({ taskId }) => chosen.has(taskId)).map(task => [task.taskId, task] as const)])

/** How many of them nothing more is to happen to. */
const Over = ({ job, statistics }: { job: Job; statistics: JobStatistics }) => {
  if (job.status === 'SCHEDULED' || statistics.total === 0) return null
  const open = unfinished.reduce((sum, status) => sum + countOf(statistics, status), 0)
  return (
    <span class="faint" role="status">
      {words().tasksOver(number(statistics.total - open), number(statistics.total))}
    </span>
  )
}

/** The numbers by state, each a link to the tasks of that state. */
const States = ({ statistics, status: chosen }: { statistics: JobStatistics; status: TaskStatus | null }) => {
  const say = words()
  const { with: where } = useQuery()
  const shown = statuses.filter(status => status === chosen || countOf(statistics, status) > 0)
  const link = (status: TaskStatus | null, count: number, word: string) => (
    <li key={word}>
      <Link href={where({ state: status, page: null })} aria-current={status === chosen ? 'true' : undefined}>
        {status !== null && <span class={`dot ${kindOf(status)}`} aria-hidden="true" />}
        <b>{number(count)}</b> {word}
      </Link>
    </li>
  )
  return (
    <nav aria-label={say.filterTasks}>
      <ul class="counts choosing">
        {link(null, statistics.total, say.all)}
        {shown.map(status => link(status, countOf(statistics, status), say.taskStatus[status]))}
      </ul>
    </nav>
  )
}

const TaskTable = ({
  job,
  page: { rows, total },
  chosen,
  onChoose,
}: {
  job: Job
  page: Paged<Task>
  chosen: Chosen
  onChoose: (chosen: Chosen) => void
}) => {
  const say = words()
  const { query, with: where } = useQuery()
  const canTouch = useCanTouch(job)
  if (rows.length === 0)
    return query.get('state') === null ? (
      <Empty title={say.noTasksYet} hint={say.noTasksYetHint} />
    ) : (
      <Empty title={say.noTasksLike} />
    )
  const touchable = rows.filter(canTouch)
  const choose = (tasks: readonly Task[], isChosen: boolean) => onChoose(changed(chosen, tasks, isChosen))
  const isMixed = new Set(rows.map(({ productKey }) => productKey)).size > 1
  const hasBoxes = touchable.length > 0
  return (
    <>
      <div class="scroll-x">
        <table class="fleet-table">
          <TaskHead touchable={touchable} chosen={chosen} onChoose={choose} />
          <tbody>
            {rows.map(task => (
              <TaskLine
                key={task.taskId}
                task={task}
                hasProduct={isMixed}
                box={!hasBoxes ? null : !canTouch(task) ? 'none' : chosen.has(task.taskId)}
                onChoose={isChosen => choose([task], isChosen)}
              />
            ))}
          </tbody>
        </table>
      </div>
      <Pager
        pageNo={pageNoOf(query)}
        pageSize={TASKS_PAGE_SIZE}
        total={total}
        hrefOf={pageNo => where({ page: String(pageNo) })}
      />
    </>
  )
}

function changed(chosen: Chosen, tasks: readonly Task[], isChosen: boolean): Chosen {
  const next = new Map(chosen)
  for (const task of tasks)
    if (!isChosen) next.delete(task.taskId)
    else if (next.size < CHOSEN_MAX) next.set(task.taskId, task)
  return next
}

const TaskHead = ({
  touchable,
  chosen,
  onChoose,
}: {
  /** those of the page that something can be done to */
  touchable: readonly Task[]
  chosen: Chosen
  onChoose: (tasks: readonly Task[], isChosen: boolean) => void
}) => {
  const say = words()
  const columns = [common().device, common().state, say.result, say.retriesDone, say.lastCommand, say.changed]
  return (
    <thead>
      <tr>
        {touchable.length > 0 && (
          <th scope="col" class="box">
            <input
              type="checkbox"
              aria-label={say.selectPage}
              title={say.selectPage}
              checked={touchable.every(({ taskId }) => chosen.has(taskId))}
              onChange={event => onChoose(touchable, event.currentTarget.checked)}
            />
          </th>
        )}
        {columns.map(name => (
          <th key={name} scope="col">
            {name}
          </th>
        ))}
      </tr>
    </thead>
  )
}

/** The numbers are of all tasks of the job, the list of those that this reader may see. */
const Missing = ({
  page: { total },
  statistics,
  status,
}: {
  page: Paged<Task>
  statistics: JobStatistics
  status: TaskStatus | null
}) =>
  status === null && total < statistics.total ? (
    <p class="faint small aside">{words().ofWhichShown(number(total), number(statistics.total))}</p>
  ) : null
