// Fields with their labels above: a choice of some, and a text that counts while it is typed or when it is done. Not here: what they ask for (filters.tsx).

import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
import { ASKED_MAX_CHARS } from './query.ts'

/** ms without a key after which a text counts */
const TYPED_MS = 250

interface FieldProps {
  readonly label: string
  /** how much room it takes */
  readonly width: 'narrow' | 'middle' | 'wide'
  readonly children: (id: string) => ComponentChildren
}

const Field = ({ label, width, children }: FieldProps) => {
  const id = useId()
  return (
    <div class={`asked ${width}`}>
      <label for={id}>{label}</label>
      {children(id)}
    </div>
  )
}

export interface ChoiceProps {
  readonly label: string
  readonly value: string
  readonly width?: 'narrow' | 'middle'
  readonly choices: readonly (readonly [value: string, word: string])[]
  readonly onChoose: (value: string) => void
}

export const Choice = ({ label, value, width = 'narrow', choices, onChoose }: ChoiceProps) => (
  <Field label={label} width={width}>
    {id => (
      <select id={id} value={value} onChange={event => onChoose(event.currentTarget.value)}>
        {choices.map(([choice, word]) => (
          <option key={choice} value={choice}>
            {word}
          </option>
        ))}
      </select>
    )}
  </Field>
)

export interface TextFieldProps {
  readonly label: string
  readonly hint: string
  readonly value: string
  /** without blanks around it */
  readonly onText: (text: string) => void
  /** It counts while it is typed; else when the field is left. With Enter it counts in any case. */
  readonly whileTyped?: boolean
  /** what may be meant */
  readonly known?: readonly (readonly [value: string, word: string])[]
}

export const TextField = ({ label, hint, value, onText, whileTyped = false, known = [] }: TextFieldProps) => {
  const [typed, setTyped] = useState(value)
  const timer = useRef<ReturnType<typeof setTimeout>>()
  const isTyping = useRef(false)
  const done = (text: string) => {
    clearTimeout(timer.current)
    isTyping.current = false
    if (text.trim() !== value) onText(text.trim())
  }
  // What the timer calls: what else is asked for may have changed since it was set.
  const latest = useRef(done)
  latest.current = done
  useEffect(() => () => clearTimeout(timer.current), [])
  useEffect(() => {
    // The address says something else: somebody has followed a link. What is still being typed comes after it.
    if (!isTyping.current) setTyped(typed => (typed.trim() === value ? typed : value))
  }, [value])
  const onTyped = (text: string, isComposing: boolean) => {
    setTyped(text)
    clearTimeout(timer.current)
    isTyping.current = true
    // Half a Chinese word is not looked for.
    if (whileTyped && !isComposing) timer.current = setTimeout(() => latest.current(text), TYPED_MS)
  }
  return (
    <Field label={label} width={whileTyped ? 'wide' : 'narrow'}>
      {id => (
        <>
          <input
            id={id}
            type="search"
            value={typed}
            placeholder={hint}
            maxLength={ASKED_MAX_CHARS}
            spellcheck={false}
            autocomplete="off"
            list={known.length === 0 ? undefined : `${id}-known`}
            onInput={event => onTyped(event.currentTarget.value, event.isComposing)}
            onCompositionEnd={event => onTyped(event.currentTarget.value, false)}
            onChange={event => done(event.currentTarget.value)}
          />
          {known.length > 0 && (
            <datalist id={`${id}-known`}>
              {known.map(([key, word]) => (
                <option key={key} value={key} label={word} />
              ))}
            </datalist>
          )}
        </>
      )}
    </Field>
  )
}
