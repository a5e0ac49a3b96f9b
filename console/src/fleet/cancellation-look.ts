// How a cancellation is: looked at each second while it goes on, and no more once it is over, since nothing of it changes then.

import type { Cancellation } from '@downlink/client'
import type { Look } from '../live.ts'
import { GOING_ON_MS, NEVER_MS, usePaced } from './asking.ts'

export const useCancellation = (cancellationId: string): Look<Cancellation> =>
  usePaced(
    (client, signal) => client.cancellations.get(cancellationId, { signal }),
    [cancellationId],
    ({ endedAt }) => (endedAt === null ? GOING_ON_MS : NEVER_MS),
  )
