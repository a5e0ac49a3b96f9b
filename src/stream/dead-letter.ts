// What a webhook was not told in all the time that it had: the event as it was to be sent, or that some were purged unsent. Pure.
// Not here: when something is given up (delivery.ts), how it is sent again (replay.ts).

import type { Change, DeadLetter } from '../store/stream.ts'
import { cursorOf } from './cursor.ts'
import { eventText } from './event.ts'

export const letterOf = (change: Change, failedAt: number, reason: string): DeadLetter => ({
  position: change.position,
  eventJson: eventText(change),
  failedAt,
  reason,
})

/** Some after one position and up to another are gone. It stands at the last of them. */
export const letterOfPurged = (after: number, upTo: number, failedAt: number, reason: string): DeadLetter => ({
  position: upTo,
  eventJson: JSON.stringify({ purged: { after: cursorOf(after), upTo: cursorOf(upTo) } }),
  failedAt,
  reason,
})

/** There is no event that could be sent again. */
export const isOfPurged = ({ eventJson }: DeadLetter): boolean => eventJson.startsWith('{"purged":')
