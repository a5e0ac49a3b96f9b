// A field of a form: its name, its control by its type, its rule, and what is wrong with it. Not here: the controls of dates and times (time-control.tsx), lists
// and structs (nested.tsx), what a draft comes to (values.ts).

import type { ComponentChildren } from 'preact'
import { nameOf, number } from '../words.ts'
import { type Draft, type TextDraft, textDraft } from './drafts.ts'
import { FaultText } from './fault-text.tsx'
import { ListField, StructField } from './nested.tsx'
import type { Definition, Field } from './sendable.ts'
import { TimeControl, TimeHint } from './time-control.tsx'
import { useAria, useForm } from './within-form.ts'
import { ruleText, words } from './words.ts'

/** characters from which on a text gets a box of several lines */
const LONG_CHARS = 80
/** lines of that box, and of one for JSON */
const ROWS_LONG = 3
const ROWS_JSON = 5

export interface FieldProps<D extends Draft = Draft> {
  readonly field: Field
  /** where it is: `limits.low` */
  readonly path: string
  readonly draft: D
  readonly onEdit: (draft: Draft) => void
}

export const FieldOf = (props: FieldProps) => {
  const { draft } = props
  if (draft.shape === 'list') return <ListField {...props} draft={draft} />
  if (draft.shape === 'struct') return <StructField {...props} draft={draft} />
  return props.field.definition.dataType === 'BOOL' ? (
    <BoolField {...props} draft={draft} />
  ) : (
    <TextField {...props} draft={draft} />
  )
}

/** Its name, and what engineers know it by. A field of a list has the number of the item only; one that is alone needs no mark that it is required. */
export const NameOf = ({ field, isAlone = false }: { field: Field; isAlone?: boolean }) => {
  const { identifier, definition, required } = field
  const name = nameOf(field.name)
  return (
    <>
      <span class="send-name">{name}</span>
      {identifier !== '' && name !== identifier && <code class="faint">{identifier}</code>}
      {required && identifier !== '' && !isAlone && (
        <span class="send-required">
          <span aria-hidden="true">*</span>
          <span class="unseen">{words().required}</span>
        </span>
      )}
      {identifier !== '' && <span class="send-type">{typeText(definition)}</span>}
    </>
  )
}
const typeText = (definition: Definition): string =>
  definition.dataType === 'ARRAY' && definition.item !== null
    ? `ARRAY · ${definition.item.dataType}`
    : definition.dataType

/** What stands below a control: its rule, or what is wrong with it. */
export const Below = ({ path, field, children }: { path: string; field: Field; children?: ComponentChildren }) => {
  const form = useForm()
  const fault = form.faultAt(path)
  const id = form.idOf(path)
  return (
    <>
      <FaultText id={`${id}-fault`} fault={fault} />
      <div class="hint" id={`${id}-hint`}>
        {field.desc !== '' && <span>{field.desc}</span>}
        {children}
      </div>
    </>
  )
}

const TextField = (props: FieldProps<TextDraft>) => {
  const { field, path } = props
  const { idOf } = useForm()
  const { dataType } = field.definition
  const isTime = dataType === 'TIMESTAMP' || dataType === 'DATE'
  return (
    <div class="field">
      <label class="send-label" for={idOf(path)}>
        <NameOf field={field} isAlone={path === ''} />
      </label>
      <div class="send-control">
        {isTime ? <TimeControl {...props} /> : <Control {...props} />}
        {field.unit !== '' && <span class="send-unit">{field.unit}</span>}
      </div>
      <Below path={path} field={field}>
        <Rule {...props} />
        <EmptyText {...props} />
        {isTime && <TimeHint {...props} />}
      </Below>
    </div>
  )
}

const isDefault = ({ defaultValue }: Field, { text }: TextDraft): boolean =>
  defaultValue !== undefined && text !== '' && text === String(defaultValue)

/** Its range or length, whether what stands there is the default, and what becomes of a field that is left blank. */
const Rule = ({ field, path, draft }: FieldProps<TextDraft>) => {
  const say = words()
  const isFaulty = useForm().faultAt(path) !== null
  const { definition, required, defaultValue } = field
  const rule = ruleText(definition)
  const isBlank = draft.text.trim() === '' && !draft.isEmptyText
  return (
    <>
      {rule !== '' && !isFaulty && <span>{rule}</span>}
      {definition.dataType === 'STRING' && (
        <span class={[...draft.text].length > definition.maxLength ? 'fault' : ''}>
          {say.characters(number([...draft.text].length), number(definition.maxLength))}
        </span>
      )}
      {isDefault(field, draft) && <span class="send-default">{say.defaultIs}</span>}
      {isBlank && required && defaultValue !== undefined && (
        <span>{say.defaultTaken(JSON.stringify(defaultValue))}</span>
      )}
      {isBlank && !required && <span>{say.leftOut}</span>}
    </>
  )
}

/** A blank text is left out, or missing, unless a text of no characters is meant. */
const EmptyText = ({ field, draft, onEdit }: FieldProps<TextDraft>) => {
  if (field.definition.dataType !== 'STRING' || draft.text !== '') return null
  return (
    <label class="send-check">
      <input
        type="checkbox"
        checked={draft.isEmptyText}
        onChange={event => onEdit(textDraft('', event.currentTarget.checked))}
      />
      {words().emptyText}
    </label>
  )
}

/** One control of a text that is typed or chosen. Numbers are typed as texts: a number box would drop what it does not understand. */
const Control = ({ field, path, draft, onEdit }: FieldProps<TextDraft>) => {
  const { definition, required } = field
  const aria = useAria(path, required)
  const typing = {
    ...{ ...aria, value: draft.text, spellcheck: false, autocomplete: 'off' },
    onInput: (event: { currentTarget: { value: string } }) => onEdit(textDraft(event.currentTarget.value)),
  } as const
  switch (definition.dataType) {
    case 'ENUM':
      return definition.keys === null ? (
        <input type="text" {...typing} />
      ) : (
        <select
          {...aria}
          value={draft.text}
          onChange={event => {
            onEdit(textDraft(event.currentTarget.value))
            aria.onBlur()
          }}
        >
          <option value="">{required ? words().chooseOne : words().leaveOut}</option>
          {definition.keys.map(({ key, name }) => (
            <option key={key} value={key}>
              {nameOf(name) === key ? key : `${nameOf(name)} (${key})`}
            </option>
          ))}
        </select>
      )
    case 'STRUCT':
    case 'ARRAY':
      return <textarea class="send-json" rows={ROWS_JSON} placeholder={JSON_LIKE[definition.dataType]} {...typing} />
    case 'STRING':
      return definition.maxLength > LONG_CHARS || draft.text.includes('\n') ? (
        <textarea rows={field.identifier === '' ? 1 : ROWS_LONG} {...typing} />
      ) : (
        <input type="text" {...typing} />
      )
    case 'FILE':
      return <input type="text" inputMode="url" placeholder="https://…" {...typing} />
    default:
      return <input type="text" class="send-number" {...typing} inputMode={keysOf(definition)} />
  }
}

const JSON_LIKE = { STRUCT: '{"name": 1}', ARRAY: '[1, 2, 3]' } as const

/** Which keys a telephone shows: those for decimals have no minus. */
const keysOf = (definition: Definition): 'decimal' | 'text' =>
  'min' in definition && definition.min !== null && definition.min >= 0 ? 'decimal' : 'text'

const BoolField = ({ field, path, draft, onEdit }: FieldProps<TextDraft>) => {
  const say = words()
  const { definition, required } = field
  const { onBlur, ...aria } = useAria(path, required)
  const names = definition.dataType === 'BOOL' ? definition.names : { true: null, false: null }
  const choices = [
    ...(required ? [] : [{ texts: [''], text: '', shown: say.leaveOut, isRaw: true }]),
    {
      texts: ['true', '1'],
      text: 'true',
      shown: names.true === null ? 'true' : nameOf(names.true),
      isRaw: !names.true,
    },
    {
      texts: ['false', '0'],
      text: 'false',
      shown: names.false === null ? 'false' : nameOf(names.false),
      isRaw: !names.false,
    },
  ]
  return (
    <div class="field" role="radiogroup" aria-labelledby={`${aria.id}-name`} {...aria}>
      <div class="send-label" id={`${aria.id}-name`}>
        <NameOf field={field} isAlone={path === ''} />
      </div>
      <div class="send-segments">
        {choices.map(({ texts, text, shown, isRaw }) => (
          <label key={text}>
            <input
              type="radio"
              name={aria.id}
              checked={texts.includes(draft.text)}
              onChange={() => onEdit(textDraft(text))}
              onBlur={onBlur}
            />
            <span>{shown}</span>
            {!isRaw && <code class="faint">{text}</code>}
          </label>
        ))}
      </div>
      <Below path={path} field={field}>
        {isDefault(field, draft) && <span class="send-default">{say.defaultIs}</span>}
      </Below>
    </div>
  )
}
