// What can be done to tasks, above their list: to those that are chosen, or to all that failed or wait. Only what the reader may do, and what there is
// something for. Not here: the question and the doing (task-deed.tsx).

import type { Job, JobStatistics, Task, TaskStatus } from '@downlink/client'
import { may } from '../grants.ts'
import { Icon } from '../parts/icon.tsx'
import { useSession } from '../signed-in.tsx'
import { number } from '../words.ts'
import { useMayChange } from './job-rights.ts'
import { canCancel, canRetry, countOf, failed, waiting } from './statuses.ts'
import type { Deed } from './task-deed.tsx'
import { words } from './words.ts'

/** tasks that may be chosen at a time: five calls' worth; for more there are the buttons for all */
export const CHOSEN_MAX = 1_000

/** By their ids. */
export type Chosen = ReadonlyMap<string, Task>

export const TaskTools = ({
  job,
  statistics,
  chosen,
  onChoose,
  onDeed,
}: {
  job: Job
  statistics: JobStatistics
  chosen: Chosen
  onChoose: (chosen: Chosen) => void
  onDeed: (deed: Deed) => void
}) => {
  const say = words()
  const { grants } = useSession()
  const mayChange = useMayChange(job)
  if (!mayChange || !may(grants, 'Asset', 'Control')) return null
  const button = (deed: Deed, word: string) => (
    <button type="button" class={deed.kind === 'cancel' ? 'danger' : ''} onClick={() => onDeed(deed)}>
      <Icon name={deed.kind === 'cancel' ? 'cancel' : 'retry'} size={14} />
      {word}
    </button>
  )
  if (chosen.size > 0) {
    const toRetry = [...chosen.values()].filter(canRetry)
    const toCancel = [...chosen.values()].filter(canCancel)
    return (
      <div class="tools">
        <span role="status">{say.chosen(number(chosen.size))}</span>
        {toRetry.length > 0 && button({ kind: 'retry', tasks: toRetry }, say.retryChosen(number(toRetry.length)))}
        {toCancel.length > 0 && button({ kind: 'cancel', tasks: toCancel }, say.cancelChosen(number(toCancel.length)))}
        <button type="button" class="quiet" onClick={() => onChoose(new Map())}>
          {say.unchoose}
        </button>
        {chosen.size >= CHOSEN_MAX && <span class="faint small">{say.choiceFull(number(CHOSEN_MAX))}</span>}
      </div>
    )
  }
  const count = (of: readonly TaskStatus[]) => of.reduce((sum, status) => sum + countOf(statistics, status), 0)
  const failures = count(failed)
  // What failed in a job that goes on may wait for its next attempt.
  const mayWait = count(waiting) + (job.status === 'ENDED' || job.retryPolicy.enableRetry !== true ? 0 : failures)
  if (failures === 0 && mayWait === 0) return null
  return (
    <div class="tools">
      {failures > 0 && button({ kind: 'retry', tasks: null }, say.retryAllFailed)}
      {mayWait > 0 && button({ kind: 'cancel', tasks: null }, say.cancelAllWaiting)}
    </div>
  )
}
