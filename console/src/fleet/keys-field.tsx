// Several keys, typed, pasted or chosen from what is offered while one types: productKeys, assetIds, appKeys. Not here: what is offered, whether they exist.

import { useId, useRef, useState } from 'preact/hooks'
import { Icon } from '../parts/icon.tsx'
import { words } from './cancellation-words.ts'

export interface Offer {
  readonly key: string
  readonly name: string
}

export interface KeysProps {
  readonly label: string
  readonly hint: string
  /** what it means that there are none */
  readonly none: string
  readonly keys: readonly string[]
  readonly onChange: (keys: readonly string[]) => void
  readonly offers?: readonly Offer[]
  /** what has been typed and is no key yet, so that something can be offered for it */
  readonly onType?: (text: string) => void
  readonly fault?: string | null
  /** keys that the server takes in one filter */
  readonly max: number
}

/** What stands between keys in a list that is pasted; and what ends a key while one types, since what is looked for may be a name with blanks. */
const BETWEEN = /[\s,;]+/
const END = /[,;]+/

export const KeysField = ({ label, hint, none, keys, onChange, offers = [], onType, fault = null, max }: KeysProps) => {
  const id = useId()
  const input = useRef<HTMLInputElement>(null)
  const typing = useTyping({ keys, onChange, offers, onType, max })
  return (
    <div class="field keys">
      <label class="label" for={id}>
        {label}
      </label>
      <div class="keys-box">
        <Keys
          keys={keys}
          onRemove={key => {
            onChange(keys.filter(other => other !== key))
            input.current?.focus()
          }}
        />
        <input
          ref={input}
          id={id}
          list={offers.length > 0 ? `${id}-offers` : undefined}
          placeholder={keys.length === 0 ? none : ''}
          {...typing}
          aria-describedby={`${id}-hint`}
          aria-invalid={fault !== null}
          spellcheck={false}
          autocapitalize="off"
          autocomplete="off"
        />
      </div>
      <datalist id={`${id}-offers`}>
        {offers
          .filter(({ key }) => !keys.includes(key))
          .map(({ key, name }) => (
            <option key={key} value={key}>
              {name}
            </option>
          ))}
      </datalist>
      <span id={`${id}-hint`} class={fault === null ? 'hint' : 'fault'}>
        {fault ?? hint}
      </span>
    </div>
  )
}

/** What an input needs so that what is typed, pasted or chosen in it becomes keys. */
function useTyping({
  keys,
  onChange,
  offers,
  onType,
  max,
}: Pick<KeysProps, 'keys' | 'onChange' | 'max'> & {
  readonly offers: readonly Offer[]
  readonly onType: KeysProps['onType']
}) {
  const [text, setText] = useState('')
  const type = (text: string) => {
    setText(text)
    onType?.(text)
  }
  const add = (more: readonly string[]) => {
    const all = new Set([...keys, ...more.map(key => key.trim()).filter(key => key !== '')])
    // One more than the server takes is let through, so that it refuses them: none is left out without a word.
    onChange([...all].slice(0, max + 1))
    type('')
  }
  const addTyped = () => {
    if (text.trim() !== '') add(meant(text.trim(), offers))
  }
  return {
    value: text,
    onBlur: addTyped,
    onInput: ({ currentTarget: { value }, inputType }: InputEvent & { currentTarget: HTMLInputElement }) => {
      // Browsers say so, or nothing at all, where something that is offered was chosen.
      if (inputType === 'insertReplacementText' || inputType === undefined) add([value])
      else if (END.test(value)) add(value.split(END))
      else type(value)
    },
    onPaste: (event: ClipboardEvent) => {
      const pasted = event.clipboardData?.getData('text').trim().split(BETWEEN) ?? []
      if (pasted.length < 2) return
      // An input of one line would join the lines of a list.
      event.preventDefault()
      add(pasted)
    },
    onKeyDown: (event: KeyboardEvent) => {
      if (event.key !== 'Enter' || text.trim() === '') return
      event.preventDefault()
      addTyped()
    },
  }
}

/**
 * The only one of what is offered that has the text in it; else the text itself. Nothing that was typed is left out: what is no key the server refuses, where
 * leaving it out would make the filter wider.
 */
function meant(text: string, offers: readonly Offer[]): readonly string[] {
  const has = (of: string) => of.toLowerCase().includes(text.toLowerCase())
  const fitting = offers.filter(({ key, name }) => has(key) || has(name))
  const [only] = fitting
  return only !== undefined && fitting.length === 1 ? [only.key] : text.split(END)
}

const Keys = ({ keys, onRemove }: { keys: readonly string[]; onRemove: (key: string) => void }) =>
  keys.length === 0 ? null : (
    <ul>
      {keys.map(key => (
        <li key={key}>
          <code>{key}</code>
          <button type="button" class="quiet icon-only" aria-label={words().remove(key)} onClick={() => onRemove(key)}>
            <Icon name="cancel" size={11} />
          </button>
        </li>
      ))}
    </ul>
  )
