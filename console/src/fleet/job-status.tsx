// How a job stands, and how one of its tasks does, as badges with a shape each beside the colour.

import type { Job, Task } from '@downlink/client'
import { StateBadge } from '../parts/state.tsx'
import { stateOf } from './statuses.ts'
import { words } from './words.ts'

const marks: Readonly<Record<Job['status'], string>> = { SCHEDULED: '◷', RUNNING: '▶', ENDED: '■' }

export const JobStatusBadge = ({ status }: { status: Job['status'] }) => (
  <span class={`badge going-${status}`} data-status={status}>
    <span aria-hidden="true">{marks[status]}</span> {words().jobStatus[status]}
  </span>
)

export const TaskBadge = ({ status }: Pick<Task, 'status'>) => {
  const state = stateOf[status]
  return state === null ? (
    <span class="badge state-init" data-state="init">
      <span aria-hidden="true">○</span> {words().notBegun}
    </span>
  ) : (
    <StateBadge state={state} />
  )
}
