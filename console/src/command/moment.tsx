// Instants and durations to the millisecond: in one command's life several things happen within a second. Not here: times elsewhere (parts/time.tsx).

import { durationText, fullTimeText, timeText } from '../clock.ts'

/** digits of what is left of a second */
const DIGITS = 3

/** `10:41:05.123`, whatever the zone: its thousandths are the same everywhere. */
export const momentText = (at: number, zone?: string): string =>
  `${timeText(at, zone)}.${String(((at % 1_000) + 1_000) % 1_000).padStart(DIGITS, '0')}`

export const Moment = ({ at, zone }: { at: number; zone: string | undefined }) => (
  <time class="moment" dateTime={new Date(at).toISOString()} title={fullTimeText(at, zone)}>
    {momentText(at, zone)}
  </time>
)

/** How long something took that is over. What began and ended within one tick of the clock took some time as well. */
export const tookText = (ms: number): string => (ms < 1 ? `< ${durationText(1, true)}` : durationText(ms, true))
