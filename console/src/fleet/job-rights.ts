// What the reader may do to a job, by the grants; the server decides. Not here: what can be done to a task as it is (statuses.ts).

import type { Job, Task } from '@downlink/client'
import { may, mayAll } from '../grants.ts'
import { useSession } from '../signed-in.tsx'
import { canCancel, canRetry } from './statuses.ts'

/** Whether what is done to a job of somebody else, or to one's own, is allowed at all; each task needs Control of its device besides. */
export function useMayChange({ createBy }: Pick<Job, 'createBy'>): boolean {
  const { grants, appKey } = useSession()
  return may(grants, 'Device', 'FullAccess') && (mayAll(grants, 'Device', 'FullAccess') || createBy === appKey)
}

/** Deleting takes back what waits: one for a product may get tasks of any of its devices yet, so that takes the whole product. */
export function useMayDelete(job: Job | null): boolean {
  const { grants } = useSession()
  const mayChange = useMayChange(job ?? { createBy: '' })
  if (job === null || !mayChange || !may(grants, 'Asset', 'Control')) return false
  const { targetType, targetDevices } = job.targetScope
  const productKey = targetType === 'PRODUCT_KEY' ? (targetDevices[0]?.productKey ?? null) : null
  if (productKey === null || job.status === 'ENDED') return true
  return may(grants, 'Asset', 'Control', { productKey, assetId: '' })
}

/** Whether this reader can do anything to a task as it is now. */
export function useCanTouch(job: Job): (task: Task) => boolean {
  const { grants } = useSession()
  const mayChange = useMayChange(job)
  return task => mayChange && (canRetry(task) || canCancel(task)) && may(grants, 'Asset', 'Control', task)
}
