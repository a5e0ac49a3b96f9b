// What is wrong at a field, below it. The field names it (aria-describedby), so that it is read with it.

import type { FaultShown } from './within-form.ts'
import { words } from './words.ts'

export const FaultText = ({ id, fault }: { id: string; fault: FaultShown | null }) =>
  fault === null ? null : (
    <div class="fault" id={id} lang={fault.by === 'form' ? undefined : 'en'}>
      {fault.by === 'server' && <span>{words().serverSays} </span>}
      {fault.text}
    </div>
  )

/** What a control is described by. */
export const describedBy = (id: string, fault: FaultShown | null, isHinted = true): string | undefined => {
  const ids = [...(fault === null ? [] : [`${id}-fault`]), ...(isHinted ? [`${id}-hint`] : [])]
  return ids.length === 0 ? undefined : ids.join(' ')
}
