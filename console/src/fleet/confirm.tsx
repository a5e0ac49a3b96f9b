// The question before what a dry run has shown is cancelled: how many, and what cannot be taken back. Then it begins, and its page is shown.

import type { Cancellation } from '@downlink/client'
import { useState } from 'preact/hooks'
import { useLocation } from 'wouter-preact'
import { timeText } from '../clock.ts'
import { useDo } from '../live.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Problem } from '../parts/problem.tsx'
import { number } from '../words.ts'
import { words } from './cancellation-words.ts'
import { exactly, type Said } from './filter.ts'
import type { Tally } from './outcomes.ts'

export const ConfirmCancellation = ({
  dryRun,
  counts: { wouldBeCancelled: count = 0, devices },
  onClose,
}: {
  dryRun: Cancellation
  counts: Tally
  onClose: () => void
}) => {
  const say = words()
  const [, go] = useLocation()
  const [isMeant, setMeant] = useState(false)
  const { createdBefore, cancellationId } = dryRun
  const said: Said = dryRun.filter
  const isAll = said.all === true
  const isAged = said.olderThanS !== undefined || said.createdBefore !== undefined
  const [n, one] = [number(count), count === 1]
  const begin = useDo(({ client }) => client.cancellations.create(exactly(dryRun)))
  const confirm = async () => {
    const real = await begin.run()
    if (real !== undefined) go(`/fleet/cancellations/${real.cancellationId}?dryRun=${cancellationId}`)
  }
  return (
    <Dialog title={say.confirmTitle(n, one)} onClose={onClose} isBusy={begin.isBusy}>
      <ul class="means">
        <li>
          <strong>
            {say.confirmMeans(one ? say.oneCommand : say.manyCommands(n), number(devices), devices === 1)}
          </strong>
        </li>
        <li>{say.confirmFinal}</li>
        <li>{say.confirmSent}</li>
        <li>{say.confirmBound(timeText(createdBefore), isAged)}</li>
      </ul>
      {isAll && (
        <div class="notice bad">
          <div>
            <strong>{say.confirmAll}</strong>
            <label class="check-line">
              <input type="checkbox" checked={isMeant} onChange={event => setMeant(event.currentTarget.checked)} />
              <span>{say.confirmAllCheck}</span>
            </label>
          </div>
        </div>
      )}
      <Problem error={begin.error} />
      <footer>
        <button type="button" onClick={onClose} disabled={begin.isBusy}>
          {say.keep}
        </button>
        <button type="button" class="danger primary" onClick={confirm} disabled={begin.isBusy || (isAll && !isMeant)}>
          {say.confirm(n, one)}
        </button>
      </footer>
    </Dialog>
  )
}
