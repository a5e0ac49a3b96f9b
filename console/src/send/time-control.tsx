// Fields for dates and times: typed as texts, which take what the browser's own picker has no place for (ms, offsets), with that picker beside them, and what is
// sent below. Not here: how they are read (wall-time.ts).

import { useRef } from 'preact/hooks'
import { fullTimeText, serverNow } from '../clock.ts'
import { Icon } from '../parts/icon.tsx'
import { isDate, isZone, LATEST, readInstant, wallText } from '../wall-time.ts'
import { type TextDraft, textDraft } from './drafts.ts'
import type { FieldProps } from './field.tsx'
import type { Definition } from './sendable.ts'
import { readText } from './values.ts'
import { useAria, useForm } from './within-form.ts'
import { words } from './words.ts'

const SECOND_MS = 1_000

/** A date goes to the device without a zone, and is read by its clock, whatever the reader's is. */
const useZoneOf = ({ dataType }: Definition): string | undefined => {
  const { zone, timezone } = useForm()
  return dataType === 'DATE' && isZone(timezone) ? timezone : zone
}

export const TimeControl = ({ field, path, draft, onEdit }: FieldProps<TextDraft>) => {
  const say = words()
  const picker = useRef<HTMLInputElement>(null)
  const zone = useZoneOf(field.definition)
  const aria = useAria(path, field.required)
  const now = () => wallText(Math.floor(serverNow() / SECOND_MS) * SECOND_MS, zone)
  return (
    <>
      <input
        type="text"
        class="send-time"
        placeholder="2026-01-31 08:00:00"
        spellcheck={false}
        autocomplete="off"
        {...aria}
        value={draft.text}
        onInput={event => onEdit(textDraft(event.currentTarget.value))}
      />
      <span class="send-pick">
        <button
          type="button"
          class="icon-only"
          aria-label={say.pick}
          title={say.pick}
          onClick={() => open(picker.current)}
        >
          <Icon name="clock" size={16} />
        </button>
        {/* Only what the button opens: who uses a keyboard types. */}
        <input
          ref={picker}
          type="datetime-local"
          step={1}
          tabIndex={-1}
          aria-hidden="true"
          value={toPicker(draft.text)}
          onChange={event => onEdit(textDraft(ofPicker(event.currentTarget.value)))}
        />
      </span>
      <button type="button" onClick={() => onEdit(textDraft(now()))}>
        {say.nowButton}
      </button>
    </>
  )
}

/** A browser that cannot be told to open its picker has the field typed into. */
const open = (picker: HTMLInputElement | null): void => {
  if (picker !== null && 'showPicker' in picker) picker.showPicker()
}
/** What was typed, as far as the picker has a place for it. */
function toPicker(text: string): string {
  const [, day, time = '00:00'] = /^\s*(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?))?/.exec(text) ?? []
  const whole = time.length === 5 ? `${time}:00` : time
  return isDate(`${day} ${whole}`) ? `${day}T${whole}` : ''
}
/** `2026-01-31T08:00`, with seconds unless they are 0. */
const ofPicker = (text: string): string => {
  const [day = '', time = ''] = text.split('T')
  return time === '' ? day : `${day} ${time.length === 5 ? `${time}:00` : time}`
}

/** Exactly what is sent, and when that is. */
export const TimeHint = ({ field, draft }: FieldProps<TextDraft>) => {
  const say = words()
  const { timezone } = useForm()
  const zone = useZoneOf(field.definition)
  const isDate = field.definition.dataType === 'DATE'
  const text = draft.text.trim()
  const read = text === '' ? null : readText(field.definition, text, zone)
  const instant = isDate || text === '' ? null : readInstant(text, zone)
  return (
    <>
      <span>{isDate ? say.dateHint : say.zoneIs(zone ?? say.zoneViewer)}</span>
      {read !== null && 'value' in read && (
        <span>
          {say.sentAs} <code>{JSON.stringify(read.value)}</code>
          {!isDate &&
            typeof read.value === 'number' &&
            isShown(read.value) &&
            ` = ${fullTimeText(read.value, timezone)}`}
        </span>
      )}
      {instant !== null && 'at' in instant && instant.isRepeated && <span class="send-note">{say.repeated}</span>}
    </>
  )
}

/** Beyond the year 9999, figures say more. */
const isShown = (at: number): boolean => at < LATEST
