// The state of a command and the status of a device, each with a shape of its own beside its colour: not everybody tells colours apart.

import { type DeviceStatus, type State, type StateName, stateName } from '@downlink/client'
import { Icon, type IconName } from './icon.tsx'
import { common } from './words.ts'

/** what stands before the word; each is another shape. Drawn, since no face has all of these as characters. */
const marks: Readonly<Record<StateName, IconName>> = {
  created: 'clock',
  cancelled: 'forbidden',
  expired: 'hourglass',
  sent: 'send',
  succeeded: 'check',
  failed: 'cancel',
  timedOut: 'stopwatch',
}

export const StateBadge = ({ state }: { state: State }) => {
  const name = stateName[state]
  return (
    <span class={`badge state-${name}`} data-state={name}>
      <Icon name={marks[name]} size={13} /> {common().states[name]}
    </span>
  )
}

export const StatusBadge = ({ status }: { status: DeviceStatus }) => (
  <span class={`status status-${status}`} data-status={status}>
    {common().statuses[status]}
  </span>
)
