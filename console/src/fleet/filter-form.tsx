// The form of a filter: which commands a cancellation is for. Not here: what the filter means on the wire (filter.ts), what it would do (dry-run.tsx).

import { DownlinkError } from '@downlink/client'
import { useRef, useState } from 'preact/hooks'
import { useLocation } from 'wouter-preact'
import { useDo } from '../live.ts'
import { Icon } from '../parts/icon.tsx'
import { Notice } from '../parts/notice.tsx'
import { Problem } from '../parts/problem.tsx'
import { words } from './cancellation-words.ts'
import { CommandFields } from './command-fields.tsx'
import { DeviceKeys, ProductKeys } from './device-fields.tsx'
import { type Draft, draftOf, type Fault, filterOf, type Said, units } from './filter.ts'
import { KeysField } from './keys-field.tsx'

/** keys that the server takes in one list of a filter */
export const KEYS_MAX = 100

export interface FieldsProps {
  readonly draft: Draft
  readonly onChange: (change: Partial<Draft>) => void
  /** what is wrong with a field, by its name in the filter */
  readonly faultOf: (...names: readonly string[]) => string | null
}

export const FilterForm = ({ said }: { said: Said }) => {
  const say = words()
  const [, go] = useLocation()
  const [draft, setDraft] = useState(() => draftOf(said))
  // What the last field says is taken over as it loses the focus, which is within the submit itself.
  const latest = useRef(draft)
  const [fault, setFault] = useState<Fault | null>(null)
  const asking = useDo(({ client }, filter: Parameters<typeof client.cancellations.create>[0]) =>
    client.cancellations.create(filter, { dryRun: true }),
  )
  const change = (change: Partial<Draft>) => {
    latest.current = { ...latest.current, ...change }
    setDraft(latest.current)
    setFault(null)
    asking.forget()
  }
  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    event.submitter?.focus()
    const read = filterOf(latest.current)
    if ('fault' in read) return setFault(read.fault)
    const dryRun = await asking.run(read.filter)
    if (dryRun !== undefined) go(`/fleet/cancellations/new?dryRun=${dryRun.cancellationId}`)
  }
  const refused = refusedField(asking.error)
  const faultOf = (...names: readonly string[]): string | null => {
    if (refused !== null && names.includes(refused.name)) return refused.message
    if (fault === null || !names.includes(fault)) return null
    return { noCondition: say.noCondition, identifier: say.needed, older: say.ageFault, before: say.beforeFault }[fault]
  }
  const fields = { draft, onChange: change, faultOf }
  return (
    <form class="card inset filter-form" onSubmit={submit} noValidate>
      <Scope {...fields} />
      {draft.isAll ? (
        <div class="notice bad" role="note">
          <Icon name="warning" />
          <div>
            <strong>{say.everythingMeans}</strong>
            <p>{say.everythingLoud}</p>
          </div>
        </div>
      ) : (
        <Conditions {...fields} />
      )}
      {fault === 'noCondition' && <Notice kind="bad">{say.noCondition}</Notice>}
      {(refused === null || !isShown(refused.name)) && <Problem error={asking.error} />}
      <footer>
        <button
          type="submit"
          class="primary"
          disabled={asking.isBusy}
          // The field before it would lose the focus at once and might grow, so that the button were elsewhere when it is let go.
          onMouseDown={event => event.preventDefault()}
        >
          <Icon name="search" size={15} />
          {asking.isBusy ? say.looking : say.look}
        </button>
      </footer>
    </form>
  )
}

/** The field of the filter that the server has refused, which its message names: `body.filter.productKeys[0]: …`. */
function refusedField(error: unknown): { readonly name: string; readonly message: string } | null {
  if (!(error instanceof DownlinkError) || error.answer === null) return null
  const [, name] = /filter\.(\w+)/.exec(error.answer.msg) ?? []
  return name === undefined ? null : { name, message: error.answer.msg }
}

const shown = ['productKeys', 'assetIds', 'serviceId', 'measurepointId', 'olderThanS', 'createdBefore', 'applications']
const isShown = (name: string): boolean => shown.includes(name)

const Scope = ({ draft: { isAll }, onChange }: FieldsProps) => {
  const say = words()
  return (
    <fieldset class="tabs">
      <legend class="unseen">{say.scope}</legend>
      {[false, true].map(all => (
        <label key={String(all)}>
          <input type="radio" name="scope" checked={isAll === all} onChange={() => onChange({ isAll: all })} />
          <span>{all ? say.everything : say.some}</span>
        </label>
      ))}
    </fieldset>
  )
}

const Conditions = (fields: FieldsProps) => {
  const say = words()
  const { draft, onChange, faultOf } = fields
  return (
    <>
      <p class="faint lead">{say.lead}</p>
      <div class="two-columns">
        <ProductKeys {...fields} />
        <DeviceKeys {...fields} />
        <CommandFields {...fields} />
        <AgeFields {...fields} />
        <KeysField
          label={say.applications}
          hint={say.applicationsHint}
          none={say.anybody}
          keys={draft.applications}
          onChange={applications => onChange({ applications })}
          fault={faultOf('applications')}
          max={KEYS_MAX}
        />
        <label class="check-line">
          <input
            type="checkbox"
            checked={draft.withSent}
            onChange={event => onChange({ withSent: event.currentTarget.checked })}
          />
          <span>{say.sent}</span>
        </label>
      </div>
    </>
  )
}

const AgeFields = ({ draft, onChange, faultOf }: FieldsProps) => {
  const say = words()
  const fault = faultOf('older', 'olderThanS', 'before', 'createdBefore')
  return (
    <fieldset class="field">
      <legend class="label">{say.age}</legend>
      <div class="row">
        <select
          aria-label={say.age}
          value={draft.age}
          onChange={event => onChange({ age: event.currentTarget.value as Draft['age'] })}
        >
          <option value="any">{say.anyAge}</option>
          <option value="older">{say.olderThan}</option>
          <option value="before">{say.before}</option>
        </select>
        {draft.age === 'older' && (
          <>
            <input
              class="short"
              inputMode="decimal"
              aria-label={say.olderThanLabel}
              value={draft.older}
              onInput={event => onChange({ older: event.currentTarget.value })}
              aria-invalid={fault !== null}
              autocomplete="off"
            />
            <select
              aria-label={say.unit}
              value={draft.unit}
              onChange={event => onChange({ unit: event.currentTarget.value as Draft['unit'] })}
            >
              {units.map(unit => (
                <option key={unit} value={unit}>
                  {say.units[unit]}
                </option>
              ))}
            </select>
          </>
        )}
        {draft.age === 'before' && (
          <input
            type="datetime-local"
            step="1"
            aria-label={say.before}
            value={draft.before}
            onInput={event => onChange({ before: event.currentTarget.value })}
            aria-invalid={fault !== null}
          />
        )}
      </div>
      {fault !== null && <span class="fault">{fault}</span>}
    </fieldset>
  )
}
