// What was looked at, on a page whose head tells already that the server cannot be reached: dimmed and inert as long as it is not current, and not told again.

import { NoAnswer } from '@downlink/client'
import type { ComponentChildren } from 'preact'
import type { Look } from '../live.ts'
import { Loading } from '../parts/notice.tsx'
import { Problem } from '../parts/problem.tsx'

export function Body<T>({ look, children }: { look: Look<T>; children: (data: T) => ComponentChildren }) {
  const { data, error, isCurrent, again } = look
  const isTold = error instanceof NoAnswer && error.why === 'lost'
  return (
    <>
      {error !== null && !isTold && <Problem error={error} onAgain={again} />}
      {data === null ? (
        (error === null || isTold) && <Loading />
      ) : (
        <Current isCurrent={isCurrent}>{children(data)}</Current>
      )}
    </>
  )
}

/** What may be old is dimmed, and does nothing. Not for what stays true, such as a result, and what tells itself that it cannot be done now. */
export const Current = ({ isCurrent, children }: { isCurrent: boolean; children: ComponentChildren }) => (
  <div class={isCurrent ? 'seen' : 'seen stale'} inert={!isCurrent} data-current={isCurrent}>
    {children}
  </div>
)
