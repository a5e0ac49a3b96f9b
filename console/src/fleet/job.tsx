// One job: what it does, how far it is, and what becomes of it on each device. Not here: its tasks (tasks.tsx), what can be done to them (task-deed.tsx),
// deleting it (delete-job.tsx).

import type { Job, JobDeleted, JobStatistics } from '@downlink/client'
import { useState } from 'preact/hooks'
import { Icon } from '../parts/icon.tsx'
import { Seen } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { nameOf } from '../words.ts'
import { paceOf, usePaced } from './asking.ts'
import { Deleted, DeleteJob } from './delete-job.tsx'
import { FleetPage } from './fleet-page.tsx'
import { JobFacts } from './job-facts.tsx'
import { useMayDelete } from './job-rights.ts'
import { JobStatusBadge } from './job-status.tsx'
import { Tasks } from './tasks.tsx'
import { words } from './words.ts'

interface JobSeen {
  readonly job: Job
  readonly statistics: JobStatistics
}

export const JobPage = ({ jobId }: { jobId: string }) => {
  const say = words()
  const [deleted, setDeleted] = useState<JobDeleted | null>(null)
  const [isDeleting, setDeleting] = useState(false)
  const look = usePaced(
    async (client, signal): Promise<JobSeen> => {
      const [job, statistics] = await Promise.all([
        client.jobs.get(jobId, { signal }),
        client.jobs.statistics(jobId, { signal }),
      ])
      return { job, statistics }
    },
    [jobId],
    ({ job }) => paceOf(job),
  )
  const job = look.data?.job ?? null
  const title = job === null ? say.job : nameOf(job.name) || jobId
  const above = { href: '/fleet?tab=jobs', text: say.jobs }
  const mayDelete = useMayDelete(job)
  if (deleted !== null)
    return (
      <FleetPage title={title} above={above}>
        <Deleted told={deleted} />
      </FleetPage>
    )
  return (
    <FleetPage
      title={title}
      above={above}
      name={
        <span class="row">
          {title}
          {job !== null && <JobStatusBadge status={job.status} />}
        </span>
      }
      beside={
        mayDelete &&
        look.isCurrent && (
          <button type="button" class="danger" onClick={() => setDeleting(true)}>
            <Icon name="cancel" size={14} />
            {say.delete}
          </button>
        )
      }
    >
      <Seen look={look}>{seen => <Whole seen={seen} onDone={look.again} />}</Seen>
      {isDeleting && job !== null && <DeleteJob job={job} onClose={() => setDeleting(false)} onDeleted={setDeleted} />}
    </FleetPage>
  )
}

const Whole = ({ seen: { job, statistics }, onDone }: { seen: JobSeen; onDone: () => void }) => (
  <div class="stack">
    <Card class="inset">
      <JobFacts job={job} />
    </Card>
    <Tasks job={job} statistics={statistics} onDone={onDone} />
  </div>
)
