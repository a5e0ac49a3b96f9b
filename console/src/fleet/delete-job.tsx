// Deleting a job: the question, which says what it does, and what came of it.

import type { Job, JobDeleted } from '@downlink/client'
import { Link } from 'wouter-preact'
import { useDo } from '../live.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Notice } from '../parts/notice.tsx'
import { Problem } from '../parts/problem.tsx'
import { nameOf, number } from '../words.ts'
import { words } from './words.ts'

export const DeleteJob = ({
  job,
  onClose,
  onDeleted,
}: {
  job: Job
  onClose: () => void
  onDeleted: (told: JobDeleted) => void
}) => {
  const say = words()
  const deletion = useDo(({ client }) => client.jobs.delete(job.jobId))
  const confirm = async () => {
    const told = await deletion.run()
    if (told !== undefined) onDeleted(told)
  }
  return (
    <Dialog title={say.deleteTitle(nameOf(job.name) || job.jobId)} onClose={onClose} isBusy={deletion.isBusy}>
      <ul class="means">
        {say.deleteMeans.map(text => (
          <li key={text}>{text}</li>
        ))}
      </ul>
      <Problem error={deletion.error} />
      <footer>
        <button type="button" onClick={onClose} disabled={deletion.isBusy}>
          {say.keep}
        </button>
        <button type="button" class="danger primary" onClick={confirm} disabled={deletion.isBusy}>
          {say.doDelete}
        </button>
      </footer>
    </Dialog>
  )
}

export const Deleted = ({ told: { cancelled, published, finished } }: { told: JobDeleted }) => {
  const say = words()
  return (
    <>
      <Notice kind="good">
        <strong>{say.deleted}</strong>
        {cancelled > 0 && <p>{say.deletedCancelled(number(cancelled), cancelled === 1)}</p>}
        {published > 0 && <p>{say.deletedSent(number(published), published === 1)}</p>}
        {!finished && <p>{say.deletedLater}</p>}
      </Notice>
      <Link class="button" href="/fleet?tab=jobs">
        {say.toJobs}
      </Link>
    </>
  )
}
