// The list of what can be sent: points and services by their names, to be searched where there are many. Radio buttons, so that arrows move through it.
// Not here: the form of what is chosen.

import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { Icon } from '../parts/icon.tsx'
import { nameOf, number } from '../words.ts'
import type { Form } from './form.ts'
import { type Kind, keyOf, type Sendable } from './sendable.ts'
import { words } from './words.ts'

/** things from which on they can be searched: fewer are seen at a glance */
const SEARCH_FROM = 9
/** things that are shown at a time: a model may have thousands, and nobody reads through them */
const SHOWN_MAX = 200

export const Choose = ({
  all,
  choice,
  onChoose,
}: {
  all: readonly Sendable[]
  choice: Form['choice']
  onChoose: (chosen: Sendable) => void
}) => {
  const say = words()
  const [text, search] = useState('')
  const found = all.filter(thing => isFound(thing, text))
  const shown = found.slice(0, SHOWN_MAX)
  const group = useId()
  const list = useRef<HTMLDivElement>(null)
  useEffect(() => showChosen(list.current), [])
  const part = (kind: Kind, title: string) => {
    const things = shown.filter(thing => thing.kind === kind)
    return things.length === 0 ? null : (
      <fieldset>
        <legend>{title}</legend>
        {things.map(thing => (
          <Choice key={keyOf(thing)} {...{ thing, group, onChoose }} isChosen={isChosen(thing, choice)} />
        ))}
      </fieldset>
    )
  }
  return (
    <div class="send-choose">
      <h3>{say.choose}</h3>
      {all.length >= SEARCH_FROM && (
        <div class="send-search">
          <Icon name="search" size={15} />
          <input
            type="search"
            aria-label={say.search}
            placeholder={say.search}
            value={text}
            onInput={event => search(event.currentTarget.value)}
            onKeyDown={event => event.key === 'Enter' && event.preventDefault()}
            spellcheck={false}
            autocomplete="off"
          />
        </div>
      )}
      <div class="send-choices" ref={list}>
        {part('set', say.points)}
        {part('invoke', say.services)}
        <div class="faint small" role="status">
          {found.length === 0 && say.noneFound}
          {found.length > shown.length && say.moreFound(number(found.length - shown.length))}
        </div>
      </div>
    </div>
  )
}

/** Who comes by a link finds what is chosen where they look. Only the list is moved, not the page. */
function showChosen(list: HTMLElement | null): void {
  const chosen = list?.querySelector(':checked')?.closest('label')
  if (list && chosen) list.scrollTop = chosen.offsetTop - (list.clientHeight - chosen.offsetHeight) / 2
}

const isChosen = (thing: Sendable, choice: Form['choice']): boolean => choice !== null && keyOf(thing) === keyOf(choice)

/** By any of its names, whatever the language, and by its identifier. */
function isFound({ identifier, name }: Sendable, text: string): boolean {
  const wanted = text.trim().toLowerCase()
  const names = [identifier, name.defaultValue, ...Object.values(name.i18nValue)]
  return names.some(name => name.toLowerCase().includes(wanted))
}

const Choice = ({
  thing,
  group,
  isChosen,
  onChoose,
}: {
  thing: Sendable
  group: string
  isChosen: boolean
  onChoose: (chosen: Sendable) => void
}) => {
  const { identifier, name, kind, fields } = thing
  const shown = nameOf(name)
  const [field] = fields
  const type = kind === 'set' ? [field?.definition.dataType, field?.unit].filter(Boolean).join(' · ') : ''
  return (
    <label class="send-choice">
      <input type="radio" name={group} checked={isChosen} onChange={() => onChoose(thing)} />
      <span class="send-called">{shown}</span>
      {type !== '' && <span class="send-type">{type}</span>}
      {shown !== identifier && <code>{identifier}</code>}
    </label>
  )
}
