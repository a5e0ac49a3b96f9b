// Retrying or cancelling tasks of a job: the question, the calls in batches, and what was done and what was not, task by task. Not here: which are chosen
// (tasks.tsx).

import type { Job, Task, TaskAnswer } from '@downlink/client'
import { useRef, useState } from 'preact/hooks'
import { may } from '../grants.ts'
import { useDo } from '../live.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Problem } from '../parts/problem.tsx'
import { common } from '../parts/words.ts'
import type { Session } from '../session.ts'
import { number } from '../words.ts'
import { canCancel, canRetry, failed, waiting } from './statuses.ts'
import { words } from './words.ts'

/** What is to be done, to these tasks; null: to all that it can be done to. */
export interface Deed {
  readonly kind: 'retry' | 'cancel'
  readonly tasks: readonly Task[] | null
}

/** tasks that one call takes, by the server */
const BATCH = 200
/** tasks that are gone through at a time: fifty calls, some seconds; for more it is done again */
const TASKS_MAX = 10_000
/** tasks that nothing was done to which are listed; the others are counted */
const REFUSED_SHOWN = 50

/** What has come of it so far. */
interface Told {
  readonly done: number
  readonly refused: readonly { readonly task: Task; readonly answer: TaskAnswer }[]
  /** those that no call was made for, since it was stopped or has failed */
  readonly left: number
  readonly isCut: boolean
}

interface Progress {
  /** null: it is still being looked which they are */
  readonly of: number | null
  readonly count: number
}

export const TaskDeed = ({
  job,
  deed,
  onClose,
}: {
  job: Job
  deed: Deed
  /** whether anything may have been done by then */
  onClose: (isDone: boolean) => void
}) => {
  const say = words()
  const [progress, setProgress] = useState<Progress | null>(null)
  const [told, setTold] = useState<Told | null>(null)
  const [isStopping, setStopping] = useState(false)
  const stop = useRef(false)
  const doing = useDo(async session => {
    const tasks = deed.tasks ?? (await collect(session, job, deed.kind, count => setProgress({ of: null, count })))
    const isCut = tasks.length > TASKS_MAX
    const all = tasks.slice(0, TASKS_MAX)
    let so: Told = { done: 0, refused: [], left: all.length, isCut }
    for (let from = 0; from < all.length && !stop.current; from += BATCH) {
      setTold(so)
      setProgress({ of: all.length, count: from })
      so = after(so, await batch(session, job, deed.kind, all.slice(from, from + BATCH)))
    }
    setTold(so)
  })
  const { n, one } = counted(deed.tasks?.length ?? 0)
  const isAll = deed.tasks === null
  const title =
    deed.kind === 'retry'
      ? isAll
        ? say.retryAllTitle
        : say.retryTitle(n, one)
      : isAll
        ? say.cancelAllTitle
        : say.cancelTitle(n, one)
  const isOver = told !== null && !doing.isBusy
  const close = () => onClose(told !== null)
  return (
    <Dialog title={isOver ? say.doneTitle : title} onClose={close} isBusy={doing.isBusy}>
      {!isOver && <Meaning deed={deed} />}
      {doing.isBusy && <Working progress={progress} />}
      <Problem error={doing.error} />
      {isOver && <Outcome kind={deed.kind} told={told} isBroken={doing.error !== null} />}
      <footer>
        {doing.isBusy && (
          <button
            type="button"
            disabled={isStopping}
            onClick={() => {
              stop.current = true
              setStopping(true)
            }}
          >
            {isStopping ? say.stopping : say.stopAfter}
          </button>
        )}
        {!doing.isBusy && !isOver && <Answers kind={deed.kind} onYes={doing.run} onNo={close} />}
        {isOver && (
          <button type="button" class="primary" onClick={close}>
            {common().close}
          </button>
        )}
      </footer>
    </Dialog>
  )
}

const counted = (count: number) => ({ n: number(count), one: count === 1 })

const Answers = ({ kind, onYes, onNo }: { kind: Deed['kind']; onYes: () => void; onNo: () => void }) => (
  <>
    <button type="button" onClick={onNo}>
      {words().keep}
    </button>
    <button type="button" class={kind === 'cancel' ? 'danger primary' : 'primary'} onClick={() => onYes()}>
      {kind === 'cancel' ? words().doCancel : words().doRetry}
    </button>
  </>
)

const Meaning = ({ deed: { kind, tasks } }: { deed: Deed }) => {
  const say = words()
  return (
    <>
      <p>{kind === 'retry' ? say.retryMeans : say.cancelMeans}</p>
      {tasks === null && <p class="faint">{kind === 'retry' ? say.retryAllMeans : say.cancelAllMeans}</p>}
    </>
  )
}

const Working = ({ progress }: { progress: Progress | null }) => (
  <p class="row at-work" role="status">
    <span class="spinner" aria-hidden="true" />
    {progress !== null &&
      (progress.of === null
        ? words().collecting(number(progress.count))
        : words().working(number(progress.count), number(progress.of)))}
  </p>
)

/** All that it can be done to, as they are now, and of devices that may be commanded. */
async function collect(
  { client, grants }: Session,
  { jobId }: Job,
  kind: Deed['kind'],
  onCount: (count: number) => void,
): Promise<readonly Task[]> {
  const can = kind === 'retry' ? canRetry : canCancel
  const wanted = kind === 'retry' ? failed : [...waiting, ...failed]
  const expression = `status in (${wanted.map(status => `'${status}'`).join(', ')})`
  const found: Task[] = []
  onCount(0)
  for await (const task of client.jobs.tasks(jobId, { expression })) {
    if (!can(task) || !may(grants, 'Asset', 'Control', task)) continue
    found.push(task)
    if (found.length % BATCH === 0) onCount(found.length)
    // One more than are done tells that there are more.
    if (found.length > TASKS_MAX) break
  }
  return found
}

async function batch(
  { client }: Session,
  { jobId }: Job,
  kind: Deed['kind'],
  tasks: readonly Task[],
): Promise<readonly { readonly task: Task; readonly answer: TaskAnswer | null }[]> {
  const answers = await client.jobs[kind](
    jobId,
    tasks.map(({ taskId }) => taskId),
  )
  const byTask = new Map(answers.map(answer => [answer.taskId, answer]))
  return tasks.map(task => ({ task, answer: byTask.get(task.taskId) ?? null }))
}

function after(told: Told, answers: Awaited<ReturnType<typeof batch>>): Told {
  const known = answers.flatMap(({ task, answer }) => (answer === null ? [] : [{ task, answer }]))
  const refused = known.filter(({ answer }) => answer.code !== 0)
  return {
    ...told,
    done: told.done + known.length - refused.length,
    refused: [...told.refused, ...refused],
    left: told.left - known.length,
  }
}

const Outcome = ({
  kind,
  told: { done, refused, left, isCut },
  isBroken,
}: {
  kind: Deed['kind']
  told: Told
  isBroken: boolean
}) => {
  const say = words()
  const told = counted(done)
  const not = counted(refused.length)
  const rest = counted(left)
  if (done === 0 && refused.length === 0 && left === 0) return <p role="status">{say.nothingLike}</p>
  return (
    <div role="status" class="came-of">
      <p>
        <strong>{kind === 'retry' ? say.retried(told.n, told.one) : say.cancelled(told.n, told.one)}</strong>
      </p>
      {refused.length > 0 && (
        <>
          <p>{kind === 'retry' ? say.notRetried(not.n, not.one) : say.notCancelled(not.n, not.one)}</p>
          <ul class="refused">
            {refused.slice(0, REFUSED_SHOWN).map(({ task, answer }) => (
              <li key={task.taskId}>
                <b>{task.deviceKey}</b> <span>{say.why[answer.code]?.[kind] ?? answer.msg}</span>{' '}
                <code class="faint small" title={answer.msg}>
                  {say.code} {answer.code}
                </code>
              </li>
            ))}
            {refused.length > REFUSED_SHOWN && <li>{say.moreLike(number(refused.length - REFUSED_SHOWN))}</li>}
          </ul>
        </>
      )}
      {left > 0 && <p>{isBroken ? say.notHeard(rest.n, rest.one) : say.notAsked(rest.n, rest.one)}</p>}
      {isCut && <p>{say.tooMany(number(TASKS_MAX))}</p>}
    </div>
  )
}
