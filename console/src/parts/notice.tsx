// What stands where there is nothing to show: it is being fetched, there is none, it could not be had, it is no longer true. Every look at the server is shown
// through one of these, so that no page shows an old queue as if it were now.

import type { ComponentChildren } from 'preact'
import { timeText } from '../clock.ts'
import type { Look } from '../live.ts'
import { Icon, type IconName } from './icon.tsx'
import { Problem } from './problem.tsx'
import { common } from './words.ts'

export const Loading = () => (
  <div class="loading" role="status">
    <span class="spinner" aria-hidden="true" />
    {common().loading}
  </div>
)

/** Nothing is there, and that is no mistake: `hint` says what would bring something. */
export const Empty = ({ icon = 'info', title, hint }: { icon?: IconName; title: string; hint?: ComponentChildren }) => (
  <div class="empty">
    <Icon name={icon} size={28} />
    <p>{title}</p>
    {hint !== undefined && <div class="faint">{hint}</div>}
  </div>
)

export const Notice = ({ kind, children }: { kind: 'info' | 'good' | 'bad'; children: ComponentChildren }) => (
  <div class={`notice ${kind}`} role={kind === 'bad' ? 'alert' : 'status'}>
    <Icon name={kind === 'good' ? 'check' : kind === 'bad' ? 'warning' : 'info'} />
    <div>{children}</div>
  </div>
)

/**
 * What was looked at, or what stands in its place. What is not current stays readable, dimmed, with the time at which it was so; its buttons do nothing then
 * (`inert`).
 */
export function Seen<T>({ look, children }: { look: Look<T>; children: (data: T) => ComponentChildren }) {
  const { data, error, isCurrent, isLost, askedAt, again } = look
  if (data === null) return error === null ? <Loading /> : <Problem error={error} onAgain={again} />
  return (
    <>
      {!isCurrent && (error === null || isLost) && (
        <div class="notice stale" role="status">
          <Icon name="clock" />
          <div>{isLost && askedAt !== null ? common().asOf(timeText(askedAt)) : common().catchingUp}</div>
        </div>
      )}
      {error !== null && error !== undefined && !isLost && <Problem error={error} onAgain={again} />}
      <div class={isCurrent ? 'seen' : 'seen stale'} inert={!isCurrent} data-current={isCurrent}>
        {children(data)}
      </div>
    </>
  )
}
