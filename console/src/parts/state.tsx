// The state of a command and the status of a device, each with a shape of its own beside its colour: not everybody tells colours apart.

import { type DeviceStatus, type State, type StateName, stateName } from '@downlink/client'
import { common } from './words.ts'

/** what stands before the word; each is another shape */
const marks: Readonly<Record<StateName, string>> = {
  created: '◷',
  cancelled: '⊘',
  expired: '⊖',
  sent: '➤',
  succeeded: '✓',
  failed: '✕',
  timedOut: '!',
}

export const StateBadge = ({ state }: { state: State }) => {
  const name = stateName[state]
  return (
    <span class={`badge state-${name}`} data-state={name}>
      <span aria-hidden="true">{marks[name]}</span> {common().states[name]}
    </span>
  )
}

export const StatusBadge = ({ status }: { status: DeviceStatus }) => (
  <span class={`status status-${status}`} data-status={status}>
    {common().statuses[status]}
  </span>
)
