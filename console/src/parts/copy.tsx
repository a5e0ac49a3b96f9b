// A text to copy, such as an id; and a link to where the reader is.

import { useEffect, useState } from 'preact/hooks'
import { Icon } from './icon.tsx'
import { common } from './words.ts'

/** ms for which it says that it was copied */
const COPIED_MS = 1_500

/** Copies a text; says so. Where the browser refuses (a page without https), the text can be marked by hand. */
export const CopyButton = ({ text, label }: { text: string; label?: string }) => {
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), COPIED_MS)
    return () => clearTimeout(timer)
  }, [copied])
  const copy = async () => {
    const isDone = await navigator.clipboard?.writeText(text).then(
      () => true,
      () => false,
    )
    setCopied(isDone ?? false)
  }
  const words = copied ? common().copied : (label ?? common().copy)
  return (
    <button
      type="button"
      class={label === undefined ? 'quiet icon-only' : 'quiet'}
      onClick={copy}
      aria-label={words}
      title={words}
    >
      <Icon name={copied ? 'check' : label === undefined ? 'copy' : 'link'} size={15} />
      {label !== undefined && <span>{words}</span>}
      <span class="unseen" aria-live="polite">
        {copied ? common().copied : ''}
      </span>
    </button>
  )
}

/** An id as it is, and a button that copies it. */
export const Id = ({ text }: { text: string }) => (
  <span class="id">
    <code>{text}</code>
    <CopyButton text={text} />
  </span>
)
