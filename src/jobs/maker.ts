// Whether the application that made a job or a cancellation may still have done what it asked for then: it is looked at again whenever something is done in
// its name, so that one that was removed, or whose grants were revoked, commands nothing any more. Not here: what a call may ask (http/), what grants cover
// (fleet/grants.ts).

import { errors, type Refusal, refuse } from '../core/errors.ts'
import type { Listed } from '../fleet/applications.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { allows, type Need, reachOf } from '../fleet/grants.ts'
import type { JobRow, TaskRow } from '../store/jobs.ts'
import type { Reach } from '../store/stream.ts'

const control: Need = { resource: 'Asset', action: 'Control' }

type Made = Pick<JobRow, 'orgId' | 'createdBy'>

/** The maker as it is now; null: it was removed. Its secret is not opened for this. */
export const makerOf = ({ applications }: Pick<Fleet, 'applications'>, made: Made): Promise<Listed | null> =>
  applications.find(made.orgId, made.createdBy)

/** Why the maker may not command the device of a task (any more): 99403; null: it may. */
export function deniedToMaker(
  maker: Listed | null,
  { orgId, createdBy }: Made,
  { productKey, assetId }: Pick<TaskRow, 'productKey' | 'assetId'>,
): Refusal | null {
  if (maker === null)
    return refuse(errors.denied, `Denied resource:  application ${createdBy}, which made the job, was removed`)
  if (allows(maker, control, { orgId, productKey, assetId })) return null
  const lost = `application ${createdBy}, which made the job, does not have that any more`
  return refuse(errors.denied, `Denied resource:  Asset ${assetId} needs Asset Control, and ${lost}`)
}

/** Whether the maker may still command all that it could `then`. */
export function stillReaches(maker: Listed | null, then: Reach): boolean {
  const now = maker === null ? null : reachOf(maker, control)
  if (now === null || now === 'all' || then === 'all') return now === 'all'
  const productKeys = new Set(now.productKeys)
  const assetIds = new Set(now.assetIds)
  return then.productKeys.every(each => productKeys.has(each)) && then.assetIds.every(each => assetIds.has(each))
}
