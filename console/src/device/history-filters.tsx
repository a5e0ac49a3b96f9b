// The fields by which a device's history is narrowed. What they say stands in the address of the page. Not here: what it means (history-query.ts).

import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { zoneOf } from '../clock.ts'
import { common } from '../parts/words.ts'
import { readInstant, wallText } from '../wall-time.ts'
import { everything, type Filter, isFiltered, kinds, ranges, stateNames, TEXT_MAX_CHARS } from './history-query.ts'
import { words } from './words.ts'

/** ms after the last key for which is waited before the text is looked for */
const TYPING_MS = 300

interface Props {
  readonly filter: Filter
  /** the device's timezone, for who reads times in it */
  readonly zone: string
  readonly onFilter: (filter: Filter) => void
}

export const HistoryFilters = ({ filter, zone, onFilter }: Props) => {
  const say = words()
  const change = (changed: Partial<Filter>) => onFilter({ ...filter, ...changed })
  return (
    <search class="filters" aria-label={say.filters}>
      <div class="row">
        <TextField text={filter.text} onText={text => change({ text })} />
        <Select
          label={say.kind}
          value={filter.kind ?? 'all'}
          choices={['all', ...kinds] as const}
          wordOf={choice => say.kinds[choice]}
          onChoose={choice => change({ kind: choice === 'all' ? null : choice })}
        />
        <Select
          label={say.time}
          value={filter.range ?? 'all'}
          choices={['all', ...ranges] as const}
          wordOf={choice => say.times[choice]}
          onChoose={choice => change({ range: choice === 'all' ? null : choice, from: null, to: null })}
        />
        {filter.range === 'between' && (
          <>
            <Instant label={say.from} at={filter.from} zone={zone} onAt={from => change({ from })} />
            <Instant label={say.to} at={filter.to} zone={zone} onAt={to => change({ to })} />
          </>
        )}
        {isFiltered(filter) && (
          <button type="button" class="quiet" onClick={() => onFilter(everything)}>
            {say.clear}
          </button>
        )}
      </div>
      <fieldset class="states">
        <legend class="unseen">{say.states}</legend>
        {stateNames.map(name => {
          const isOn = filter.states.includes(name)
          const others = filter.states.filter(other => other !== name)
          return (
            <label key={name} class={isOn ? `badge state-${name}` : 'badge'}>
              <input
                type="checkbox"
                checked={isOn}
                onChange={() => change({ states: isOn ? others : [...others, name] })}
              />
              {common().states[name]}
            </label>
          )
        })}
      </fieldset>
    </search>
  )
}

/** Looked for when the reader pauses, and at once with Enter. */
const TextField = ({ text, onText }: { text: string; onText: (text: string) => void }) => {
  const say = words()
  const [typed, setTyped] = useState(text)
  const told = useRef(text)
  // With another address, such as one step back, the field says what that asks for.
  useEffect(() => {
    if (text !== told.current) setTyped(text)
    told.current = text
  }, [text])
  const tell = (value: string) => {
    const trimmed = value.trim()
    if (trimmed === told.current) return
    told.current = trimmed
    onText(trimmed)
  }
  useEffect(() => {
    const timer = setTimeout(() => tell(typed), TYPING_MS)
    return () => clearTimeout(timer)
  }, [typed])
  return (
    <input
      type="search"
      class="text"
      aria-label={say.text}
      placeholder={say.text}
      value={typed}
      maxLength={TEXT_MAX_CHARS}
      spellcheck={false}
      autocomplete="off"
      onInput={event => setTyped(event.currentTarget.value)}
      onKeyDown={event => event.key === 'Enter' && tell(typed)}
    />
  )
}

function Select<T extends string>({
  label,
  value,
  choices,
  wordOf,
  onChoose,
}: {
  label: string
  value: T
  choices: readonly T[]
  wordOf: (choice: T) => ComponentChildren
  onChoose: (choice: T) => void
}) {
  return (
    <select
      aria-label={label}
      value={value}
      onChange={({ currentTarget }) => {
        const chosen = choices.find(choice => choice === currentTarget.value)
        if (chosen !== undefined) onChoose(chosen)
      }}
    >
      {choices.map(choice => (
        <option key={choice} value={choice}>
          {wordOf(choice)}
        </option>
      ))}
    </select>
  )
}

/** A time on the clock of the reader, or of the device's place, as the reader has chosen. */
const Instant = ({
  label,
  at,
  zone,
  onAt,
}: {
  label: string
  at: number | null
  zone: string
  onAt: (at: number | null) => void
}) => {
  const [isWrong, setWrong] = useState(false)
  const where = zoneOf(zone)
  const change = (text: string) => {
    const read = text === '' ? null : readInstant(text, where)
    const isFault = read !== null && 'fault' in read
    setWrong(isFault)
    if (!isFault) onAt(read?.at ?? null)
  }
  return (
    <label class="instant-field">
      <span class="faint small">{label}</span>
      <input
        type="datetime-local"
        step={1}
        value={at === null ? '' : wallText(at, where).slice(0, 19).replace(' ', 'T')}
        aria-invalid={isWrong}
        onChange={event => change(event.currentTarget.value)}
      />
      {isWrong && <span class="fault">{words().noSuchTime}</span>}
    </label>
  )
}
