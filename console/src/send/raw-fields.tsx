// The form where there is no model: which kind of command, its identifier, and the value or the inputs as JSON. Not here: the form with a model (field.tsx).

import { useId } from 'preact/hooks'
import { FaultText } from './fault-text.tsx'
import type { Form } from './form.ts'
import type { Kind } from './sendable.ts'
import { useAria, useForm } from './within-form.ts'
import { words } from './words.ts'

type Raw = Form['raw']
/** where the identifier is, which is no input */
export const IDENTIFIER = '#identifier'
const ROWS = 6
/** characters of an identifier at most */
const IDENTIFIER_MAX_CHARS = 64

export const RawFields = ({ raw, onEdit }: { raw: Raw; onEdit: (raw: Raw) => void }) => {
  const say = words()
  const group = useId()
  const isSet = raw.kind === 'set'
  return (
    <>
      <p class="faint">{say.noModel}</p>
      <fieldset class="field">
        <legend class="send-label">
          <span class="send-name">{say.kind}</span>
        </legend>
        <div class="send-segments">
          {(['set', 'invoke'] as const satisfies readonly Kind[]).map(kind => (
            <label key={kind}>
              <input type="radio" name={group} checked={raw.kind === kind} onChange={() => onEdit({ ...raw, kind })} />
              <span>{say[kind]}</span>
            </label>
          ))}
        </div>
      </fieldset>
      <Line
        path={IDENTIFIER}
        label={isSet ? say.pointId : say.serviceId}
        hint={say.identifierHint}
        value={raw.identifier}
        onEdit={identifier => onEdit({ ...raw, identifier })}
      />
      <Line
        path=""
        label={isSet ? say.valueJson : say.inputsJson}
        hint={isSet ? say.valueJsonHint : say.inputsJsonHint}
        value={raw.json}
        onEdit={json => onEdit({ ...raw, json })}
        rows={ROWS}
        isNeeded={isSet}
      />
    </>
  )
}

const Line = ({
  path,
  label,
  hint,
  value,
  onEdit,
  rows,
  isNeeded = true,
}: {
  path: string
  label: string
  hint: string
  value: string
  onEdit: (text: string) => void
  /** undefined: one line */
  rows?: number
  isNeeded?: boolean
}) => {
  const { idOf, faultAt } = useForm()
  const aria = useAria(path, isNeeded)
  const typing = {
    ...{ ...aria, value, spellcheck: false, autocomplete: 'off' },
    onInput: (event: { currentTarget: { value: string } }) => onEdit(event.currentTarget.value),
  } as const
  const id = idOf(path)
  return (
    <div class="field">
      <label class="send-label" for={id}>
        <span class="send-name">{label}</span>
      </label>
      {rows === undefined ? (
        <input type="text" class="send-json" maxLength={IDENTIFIER_MAX_CHARS} {...typing} />
      ) : (
        <textarea class="send-json" rows={rows} {...typing} />
      )}
      <FaultText id={`${id}-fault`} fault={faultAt(path)} />
      <div class="hint" id={`${id}-hint`}>
        {hint}
      </div>
    </div>
  )
}
