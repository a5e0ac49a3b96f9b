// Fields that have fields: lists, whose items come and go, and structs. An optional one is left out until somebody means it. Not here: the fields within.

import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { Icon } from '../parts/icon.tsx'
import { nameOf, number } from '../words.ts'
import {
  emptyDraft,
  itemPath,
  type ListDraft,
  memberPath,
  type StructDraft,
  withItem,
  withItemAs,
  withMember,
  withoutItem,
} from './drafts.ts'
import { Below, FieldOf, type FieldProps, NameOf } from './field.tsx'
import type { Definition, Field } from './sendable.ts'
import { useAria, useForm } from './within-form.ts'
import { words } from './words.ts'

/** items whose fields are shown at a time: a list of some thousand, out of an earlier command, would hold the browser up */
const ITEMS_SHOWN = 50

export const ListField = ({ field, path, draft, onEdit }: FieldProps<ListDraft>) => {
  const { zone } = useForm()
  const list = useRef<HTMLDivElement>(null)
  const { definition, required } = field
  const item = definition.dataType === 'ARRAY' ? definition.item : null
  const isAdded = useRef(false)
  // A new item is where somebody goes on typing, at once.
  useLayoutEffect(() => {
    if (isAdded.current) lastOf(list.current)?.focus()
    isAdded.current = false
  }, [draft.items.length])
  if (item === null) return null
  const add = () => {
    isAdded.current = true
    onEdit(withItem(draft, emptyDraft(item, true, zone)))
  }
  return (
    <Group field={field} path={path} isGiven={draft.isGiven} onGive={isGiven => onEdit({ ...draft, isGiven })}>
      {(required || draft.isGiven) && (
        <div class="send-list" ref={list}>
          <Items {...{ draft, item, path, onEdit, unit: field.unit }} />
          <div class="row">
            <button type="button" onClick={add}>
              <Icon name="plus" size={14} />
              {words().addItem}
            </button>
            <span class="faint small" role="status">
              {draft.items.length === 0
                ? words().noItems
                : words().items(number(draft.items.length), draft.items.length === 1)}
            </span>
          </div>
        </div>
      )}
    </Group>
  )
}

/** The control of the last item; what stands below that is none of it. */
const lastOf = (list: HTMLElement | null): HTMLElement | null | undefined =>
  [...(list?.querySelectorAll('.send-item') ?? [])].at(-1)?.querySelector<HTMLElement>('input, select, textarea')

const Items = ({
  draft,
  item,
  path,
  unit,
  onEdit,
}: Pick<FieldProps<ListDraft>, 'draft' | 'path' | 'onEdit'> & { item: Definition; unit: string }) => {
  const say = words()
  const [shown, show] = useState(ITEMS_SHOWN)
  // What is added stands at the end, and is seen.
  const hidden = Math.max(0, draft.items.length - shown)
  return (
    <>
      {draft.items.map(({ id, draft: one }, index) =>
        index >= shown - 1 && index < draft.items.length - 1 && hidden > 0 ? null : (
          <div class="send-item" key={id}>
            <FieldOf
              field={itemField(item, index, unit)}
              path={itemPath(path, index)}
              draft={one}
              onEdit={edited => onEdit(withItemAs(draft, id, edited))}
            />
            <button
              type="button"
              class="quiet icon-only"
              aria-label={say.removeItem(index + 1)}
              title={say.removeItem(index + 1)}
              onClick={() => onEdit(withoutItem(draft, id))}
            >
              <Icon name="cancel" size={14} />
            </button>
          </div>
        ),
      )}
      {hidden > 0 && (
        <button type="button" class="quiet" onClick={() => show(shown + ITEMS_SHOWN)}>
          {say.showItems(number(Math.min(hidden, ITEMS_SHOWN)))}
        </button>
      )}
    </>
  )
}

/** An item has no name but its number; without an identifier nothing else is shown of it. */
const itemField = (definition: Definition, index: number, unit: string): Field => ({
  ...{ identifier: '', name: { defaultValue: words().item(index + 1), i18nValue: {} }, desc: '', unit },
  ...{ required: true, defaultValue: undefined, definition },
})

export const StructField = ({ field, path, draft, onEdit }: FieldProps<StructDraft>) => {
  const { zone } = useForm()
  const { definition, required } = field
  const items = definition.dataType === 'STRUCT' ? (definition.items ?? []) : []
  return (
    <Group field={field} path={path} isGiven={draft.isGiven} onGive={isGiven => onEdit({ ...draft, isGiven })}>
      {(required || draft.isGiven) &&
        items.map(member => (
          <FieldOf
            key={member.identifier}
            field={member}
            path={memberPath(path, member.identifier)}
            draft={draft.members[member.identifier] ?? emptyDraft(member.definition, member.required, zone)}
            onEdit={edited => onEdit(withMember(draft, member.identifier, edited))}
          />
        ))}
    </Group>
  )
}

const Group = ({
  field,
  path,
  isGiven,
  onGive,
  children,
}: Pick<FieldProps, 'field' | 'path'> & {
  isGiven: boolean
  onGive: (isGiven: boolean) => void
  children: preact.ComponentChildren
}) => {
  const { onBlur: _, 'aria-required': __, 'aria-invalid': ___, ...aria } = useAria(path, false)
  return (
    <fieldset class="field send-group" {...aria}>
      <legend class="send-label">
        <NameOf field={field} isAlone={path === ''} />
      </legend>
      {!field.required && (
        <label class="send-check">
          <input type="checkbox" checked={isGiven} onChange={event => onGive(event.currentTarget.checked)} />
          {words().give(nameOf(field.name))}
        </label>
      )}
      {children}
      <Below path={path} field={field} />
    </fieldset>
  )
}
