// Which commands a cancellation is for: what its maker said, made definite at that moment, and whether a command is one of them. Pure.
// Not here: the shape of the body (http/cancellations.ts), how devices are gone through (cancellation.ts).

import { type Command, Kind, State } from '../core/command.ts'
import { invalid, type Refusal } from '../core/errors.ts'
import type { Reach } from '../store/stream.ts'

/** As callers write it. Several conditions all hold; `all` stands alone, so that nothing means everything by mistake. */
export interface SaidFilter {
  readonly all?: boolean
  readonly productKeys?: readonly string[]
  readonly assetIds?: readonly string[]
  readonly measurepointId?: string
  readonly serviceId?: string
  readonly olderThanS?: number
  /** epoch ms */
  readonly createdBefore?: number
  /** appKeys of those who created them */
  readonly applications?: readonly string[]
  readonly states?: readonly number[]
}

/** What is kept of it as JSON: nothing in it depends on when it is read. */
export interface Filter {
  readonly said: SaidFilter
  /** devices that its maker may command */
  readonly reach: Reach
  /** these devices, in the order of their numbers; null: all of the organization */
  readonly deviceIds: readonly number[] | null
  /** createdAt is below it: at most what was accepted before the cancellation was asked for */
  readonly createdBefore: number
}

export const storedFilter = (filterJson: string): Filter => JSON.parse(filterJson) as Filter

/** What schemas cannot say of a filter; null: it is sound. */
export function checkFilter(filter: SaidFilter): Refusal | null {
  const { all, states, ...conditions } = filter
  const names = Object.keys(conditions)
  if (all !== true && names.length === 0)
    return invalid('filter', 'has no condition: say "all": true to mean every command that waits')
  if (all === true && names.length > 0)
    return invalid('filter.all', `stands alone, and there is also ${names.join(', ')}: leave one of them out`)
  if (filter.measurepointId !== undefined && filter.serviceId !== undefined)
    return invalid('filter.serviceId', 'a command has a measurepointId or a serviceId, not both')
  if (filter.olderThanS !== undefined && filter.createdBefore !== undefined)
    return invalid('filter.createdBefore', 'give olderThanS or createdBefore, not both')
  if (states !== undefined && !states.includes(State.created))
    return invalid('filter.states', 'must have 1 (created): nothing else can be cancelled')
  return null
}

/** The filter made definite at `now`: of commands that are dated after `upTo` none is of it. */
export function definite(
  said: SaidFilter,
  reach: Reach,
  deviceIds: readonly number[] | null,
  now: number,
  upTo: number,
): Filter {
  const { createdBefore, olderThanS } = said
  const before = createdBefore ?? (olderThanS === undefined ? upTo + 1 : now + 1 - olderThanS * 1_000)
  return { said, reach, deviceIds, createdBefore: Math.min(before, upTo + 1) }
}

/** Whether commands of this device may be among them. */
export function coversDevice(
  { said, reach }: Filter,
  { productKey, assetId }: { readonly productKey: string; readonly assetId: string },
): boolean {
  if (said.productKeys !== undefined && !said.productKeys.includes(productKey)) return false
  return reach === 'all' || reach.productKeys.includes(productKey) || reach.assetIds.includes(assetId)
}

/** Whether it is for this command of such a device. One that is sent is only named. */
export function coversCommand({ said, createdBefore }: Filter, command: Command): boolean {
  const { state, kind, identifier, createdBy, createdAt } = command
  if (!(said.states ?? [State.created]).includes(state) || createdAt >= createdBefore) return false
  if (said.measurepointId !== undefined && (kind !== Kind.set || identifier !== said.measurepointId)) return false
  if (said.serviceId !== undefined && (kind !== Kind.invoke || identifier !== said.serviceId)) return false
  return said.applications === undefined || said.applications.includes(createdBy)
}
