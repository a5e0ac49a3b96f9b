// How a cancellation stands, as a badge with a shape beside the colour.

import type { Cancellation } from '@downlink/client'
import { words } from './cancellation-words.ts'

const marks: Readonly<Record<Cancellation['status'], string>> = {
  running: '▶',
  stopping: '▶',
  stopped: '◼',
  ended: '✓',
}

export const CancellationBadge = ({ status }: Pick<Cancellation, 'status'>) => (
  <span class={`badge going-${status}`} data-status={status}>
    <span aria-hidden="true">{marks[status]}</span> {words().status[status]}
  </span>
)
