// What may have become of a command that a cancellation found: which words there are for one, whose colour they have, and how many there are of each.
// Not here: the commands themselves (item-reader.ts).

import type { Cancellation, CancellationItem, Downlink } from '@downlink/client'
import { useLook } from '../live.ts'
import { words } from './cancellation-words.ts'
import { ItemReader } from './item-reader.ts'
import type { Share } from './shares.tsx'

export type Outcome = CancellationItem['outcome']

/** How many of each outcome there are. A dry run cancels nothing, and has what would be in its place. */
export interface Tally extends Readonly<Partial<Record<Outcome, number>>> {
  /** with a command that was cancelled, or would be */
  readonly devices: number
}

/** A dry run cancels nothing, and has another word for it. */
export const outcomesOf = ({ dryRun }: Cancellation): readonly Outcome[] => [
  dryRun ? 'wouldBeCancelled' : 'cancelled',
  'notCancelled',
  'undecided',
]

/**
 * As far as the numbers of a cancellation tell; null: they do not. A dry run has what would be cancelled in the place of what was. On how many devices that
 * is, only its items tell where it has found something else as well.
 */
export function countsOf(cancellation: Cancellation): Tally | null {
  const { dryRun, cancelled, notCancelled, undecided } = cancellation
  const devices = cancellation.devices.matched
  if (!dryRun) return { cancelled, notCancelled, undecided, devices }
  return notCancelled === 0 ? { wouldBeCancelled: cancelled, undecided, devices } : null
}

/** The same, from the items of a dry run that is over where only these tell. Null: not known yet, or there are more than a page goes through. */
export function useCounts(cancellation: Cancellation): Tally | null {
  const told = countsOf(cancellation)
  const { cancellationId, endedAt } = cancellation
  const isAsked = told === null && endedAt !== null
  const look = useLook(
    async (client, signal) => (isAsked ? countItems(client, cancellationId, signal) : null),
    [cancellationId, isAsked],
  )
  return told ?? look.data
}

async function countItems(client: Downlink, cancellationId: string, signal: AbortSignal): Promise<Tally | null> {
  const items = await new ItemReader(cancellationId).all(client, signal)
  if (items === null) return null
  const counts: Partial<Record<Outcome, number>> = {}
  const devices = new Set<string>()
  for (const { outcome, device } of items) {
    counts[outcome] = (counts[outcome] ?? 0) + 1
    if (outcome === 'wouldBeCancelled' && device !== null) devices.add(device.assetId)
  }
  return { ...counts, devices: devices.size }
}

export const kindOf: Readonly<Record<Outcome, Share['kind']>> = {
  cancelled: 'cancelled',
  wouldBeCancelled: 'created',
  notCancelled: 'sent',
  undecided: 'rest',
}

/** As a bar has them; without counts, all that was found as one. */
export const sharesOf = (cancellation: Cancellation, counts: Tally | null): readonly Share[] =>
  counts === null
    ? [{ kind: 'rest', count: cancellation.matched, word: words().foundWord }]
    : outcomesOf(cancellation).map(outcome => ({
        kind: kindOf[outcome],
        count: counts[outcome] ?? 0,
        word: words().outcome[outcome],
      }))
