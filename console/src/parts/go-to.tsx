// From anything that somebody has at hand, such as a commandId out of a log, to its page.

import { useState } from 'preact/hooks'
import { useLocation } from 'wouter-preact'
import { shell } from '../shell-words.ts'
import { Icon } from './icon.tsx'

/** digits that an id has at least: fewer are looked for among devices, whose keys may be numbers */
const COMMAND_ID = /^[0-9]{15,19}$/

export const GoTo = () => {
  const words = shell()
  const [text, setText] = useState('')
  const [, go] = useLocation()
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const wanted = text.trim()
    if (wanted === '') return
    go(COMMAND_ID.test(wanted) ? `/commands/${wanted}` : `/devices?text=${encodeURIComponent(wanted)}`)
    setText('')
  }
  return (
    <search>
      <form class="go-to" onSubmit={submit}>
        <Icon name="search" size={16} />
        <input
          type="search"
          aria-label={words.goTo}
          placeholder={words.goToHint}
          value={text}
          onInput={event => setText(event.currentTarget.value)}
          maxLength={64}
          spellcheck={false}
          autocomplete="off"
        />
      </form>
    </search>
  )
}
