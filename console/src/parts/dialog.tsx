// A question, or a form, before the page: the browser's own dialog, which keeps the focus within and gives it back. Escape closes it.

import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'
import { Icon } from './icon.tsx'
import { common } from './words.ts'

export const Dialog = ({
  title,
  onClose,
  children,
  isBusy = false,
}: {
  title: string
  onClose: () => void
  children: ComponentChildren
  /** something is under way that closing would not stop: it cannot be closed */
  isBusy?: boolean
}) => {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const { current } = dialog
    current?.showModal()
    return () => current?.close()
  }, [])
  const onCancel = (event: Event) => {
    event.preventDefault()
    if (!isBusy) onClose()
  }
  return (
    <dialog ref={dialog} aria-labelledby={id} onCancel={onCancel}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="quiet icon-only" onClick={onClose} disabled={isBusy} aria-label={common().close}>
          <Icon name="cancel" />
        </button>
      </header>
      {children}
    </dialog>
  )
}
