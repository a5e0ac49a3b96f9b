// The request as it will be made, and lines that make the same one from a shell. Not here: how they are put together (order.ts).

import { CopyButton } from '../parts/copy.tsx'
import type { Session } from '../session.ts'
import { useSession } from '../signed-in.tsx'
import { type Order, previewOf } from './order.ts'
import { words } from './words.ts'

export const Preview = ({ order, assetId }: { order: Order | null; assetId: string }) => {
  const say = words()
  const session = useSession()
  const target = { server: window.location.origin, orgId: session.orgId, assetId, proof: proofOf(session) }
  const shown = order === null ? null : previewOf(order, target)
  return (
    <details class="send-preview">
      <summary>{say.preview}</summary>
      {shown === null ? (
        <p class="faint small">{say.previewIncomplete}</p>
      ) : (
        <>
          <Lines title={say.asRequest} text={shown.request} />
          <Lines title={say.asCli} text={shown.cli} />
          {shown.curl !== null && <Lines title={say.asCurl} text={shown.curl} />}
          <p class="faint small">{say.previewKey}</p>
        </>
      )}
    </details>
  )
}

const proofOf = ({ isOpen, operator }: Session): 'open' | 'operator' | 'signed' => {
  if (isOpen) return 'open'
  return operator === null ? 'signed' : 'operator'
}

const Lines = ({ title, text }: { title: string; text: string }) => (
  <div class="send-lines">
    <div>
      <h4>{title}</h4>
      <CopyButton text={text} />
    </div>
    <pre class="value">{text}</pre>
  </div>
)
