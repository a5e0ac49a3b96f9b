// Stopping a cancellation: the question, which says what stays as it is.

import { type Cancellation, codes, DownlinkError } from '@downlink/client'
import { useDo } from '../live.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Problem } from '../parts/problem.tsx'
import { words } from './cancellation-words.ts'

export const StopCancellation = ({
  cancellation: { cancellationId, dryRun },
  onClose,
}: {
  cancellation: Cancellation
  onClose: () => void
}) => {
  const say = words()
  const stop = useDo(({ client }) => client.cancellations.stop(cancellationId).catch(overAlready))
  const confirm = async () => {
    if ((await stop.run()) !== undefined) onClose()
  }
  return (
    <Dialog title={dryRun ? say.stopTitleDry : say.stopTitle} onClose={onClose} isBusy={stop.isBusy}>
      <ul class="means">
        {(dryRun ? say.stopMeansDry : say.stopMeans).map(text => (
          <li key={text}>{text}</li>
        ))}
      </ul>
      <Problem error={stop.error} />
      <footer>
        <button type="button" onClick={onClose} disabled={stop.isBusy}>
          {say.goOn}
        </button>
        <button type="button" class="danger primary" onClick={confirm} disabled={stop.isBusy}>
          {say.doStop}
        </button>
      </footer>
    </Dialog>
  )
}

/** It came to its end meanwhile: then there is nothing to stop, and the page shows how it ended. */
function overAlready(error: unknown): null {
  if (error instanceof DownlinkError && error.code === codes.isOver) return null
  throw error
}
