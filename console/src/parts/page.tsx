// A page: its heading, what can be done there, and what is on it. With another page the heading gets the focus, so that who cannot see it hears where they are.

import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { Link } from 'wouter-preact'
import { Icon } from './icon.tsx'

export const Page = ({
  title,
  name = title,
  above,
  beside,
  class: own,
  children,
}: {
  /** of the window */
  title: string
  /** what the heading shows */
  name?: ComponentChildren
  /** where this page belongs, and a link there */
  above?: { readonly href: string; readonly text: string }
  /** beside the heading: what can be done */
  beside?: ComponentChildren
  /** within which the styles of the page's folder hold, and nowhere else: they stay in the window when the page is left */
  class: string
  children: ComponentChildren
}) => {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${title} · Downlink`
  }, [title])
  useEffect(() => heading.current?.focus({ preventScroll: true }), [])
  return (
    <div class={own}>
      <header class="page-head">
        <div>
          {above !== undefined && (
            <Link class="above" href={above.href}>
              <Icon name="left" size={13} />
              {above.text}
            </Link>
          )}
          <h1 ref={heading} tabIndex={-1}>
            {name}
          </h1>
        </div>
        {beside !== undefined && <div class="actions">{beside}</div>}
      </header>
      {children}
    </div>
  )
}

/** A part of a page with a heading of its own. */
export const Card = ({
  title,
  beside,
  children,
  class: more = '',
}: {
  title?: ComponentChildren
  beside?: ComponentChildren
  children: ComponentChildren
  class?: string
}) => (
  <section class={`card ${more}`}>
    {title !== undefined && (
      <header>
        <h2>{title}</h2>
        {beside}
      </header>
    )}
    {children}
  </section>
)
