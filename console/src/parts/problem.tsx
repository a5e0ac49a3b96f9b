// What went wrong, in words: a heading in the reader's language, what the server said, what to do, and what to quote when asking for help.
// Not here: fields of a form, where an error stands at the field (send/).

import { codes, DownlinkError, NoAnswer } from '@downlink/client'
import { Icon } from './icon.tsx'
import { common } from './words.ts'

export function headingOf(error: unknown): string {
  const words = common().problem
  if (error instanceof NoAnswer) return words[error.why]
  if (!(error instanceof DownlinkError)) return words.page
  if (error.code === codes.denied) return words.denied
  const isMissing = error.code === codes.notFound || error.code === codes.commandNotFound
  if (isMissing) return words.notFound
  return error.deviceCode !== null ? words.device : words.refused(String(error.code))
}

/** Shown in the place of what could not be had, or beside what could not be done. */
export const Problem = ({ error, onAgain }: { error: unknown; onAgain?: (() => void) | undefined }) => {
  if (error === null || error === undefined) return null
  const words = common().problem
  const told = error instanceof DownlinkError ? error : null
  const isLost = error instanceof NoAnswer && error.why === 'lost' && error.outcome === 'notDone'
  return (
    <div class="notice bad" role="alert">
      <Icon name="warning" />
      <div>
        <strong>{headingOf(error)}</strong>
        {told?.outcome === 'unknown' && <p>{words.unknownOutcome}</p>}
        {told?.outcome === 'onRecord' && told.commandId !== null && <p>{words.onRecord(told.commandId)}</p>}
        {!isLost && (
          <p class="said" lang="en">
            {told?.message ?? (error instanceof Error ? error.message : String(error))}
          </p>
        )}
        {told?.requestId != null && (
          <p class="faint">
            {words.request} <code>{told.requestId}</code>
          </p>
        )}
      </div>
      {onAgain !== undefined && (
        <button type="button" onClick={onAgain}>
          {common().again}
        </button>
      )}
    </div>
  )
}
