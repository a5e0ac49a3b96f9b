// Instants and durations on a page: in words that are read at a glance, with the whole of it on a pointer's hover. Those that tick do so once a second.
// Not here: how they are worded (clock.ts).

import { durationText, fullTimeText, now, timeText } from '../clock.ts'
import { common } from './words.ts'

interface Props {
  /** ms since 1970 */
  readonly at: number
  /** of the device that it is about, for who reads times in the device's zone */
  readonly zone?: string | undefined
}
const iso = (at: number): string => new Date(at).toISOString()

/** `10:41:05` */
export const Time = ({ at, zone }: Props) => (
  <time dateTime={iso(at)} title={fullTimeText(at, zone)}>
    {timeText(at, zone)}
  </time>
)

/** `4 min 2 s`: how old it is; with `isAgo`, `4 min 2 s ago` */
export const Age = ({ at, zone, isAgo = false }: Props & { isAgo?: boolean }) => {
  const age = durationText(now.value - at)
  return (
    <time class="ticking" dateTime={iso(at)} title={fullTimeText(at, zone)}>
      {isAgo ? common().ago(age) : age}
    </time>
  )
}

/** `23 s`: how long it is until then; 0 s when it is past */
export const Left = ({ at, zone }: Props) => (
  <time class="ticking" dateTime={iso(at)} title={fullTimeText(at, zone)}>
    {durationText(at - now.value)}
  </time>
)
