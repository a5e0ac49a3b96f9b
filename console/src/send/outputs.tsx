// What a service answered, by the names of its model: choices by theirs, times as times, figures with their units. What the model does not have is shown as it is.
// Not here: whether it answered (outcome.tsx).

import { Time } from '../parts/time.tsx'
import { Value } from '../parts/value.tsx'
import { nameOf } from '../words.ts'
import { isObject } from './drafts.ts'
import type { Definition, Field } from './sendable.ts'

export const Outputs = ({
  fields,
  outputs,
  timezone,
}: {
  fields: readonly Field[]
  outputs: Readonly<Record<string, unknown>>
  timezone: string
}) => (
  <dl class="facts send-outputs">
    {Object.entries(outputs).map(([identifier, value]) => {
      const field = fields.find(field => field.identifier === identifier)
      const name = field === undefined ? identifier : nameOf(field.name)
      return (
        <div key={identifier}>
          <dt>
            {name} {name !== identifier && <code class="small">{identifier}</code>}
          </dt>
          <dd>
            {field === undefined ? (
              <Value value={value} />
            ) : (
              <Of {...{ definition: field.definition, value, timezone }} />
            )}
            {field !== undefined && field.unit !== '' && <span class="faint"> {field.unit}</span>}
          </dd>
        </div>
      )
    })}
  </dl>
)

/** By its type, where it is of that type. */
const Of = ({ definition, value, timezone }: { definition: Definition; value: unknown; timezone: string }) => {
  if (definition.dataType === 'STRUCT' && isObject(value))
    return <Outputs fields={definition.items ?? []} outputs={value} timezone={timezone} />
  if (definition.dataType === 'STRING' && typeof value === 'string') return <span class="value">{value}</span>
  const at = definition.dataType === 'TIMESTAMP' ? instantOf(value) : null
  const name = nameFor(definition, value)
  return (
    <>
      {at !== null && <Time at={at} zone={timezone} />}
      {name !== null && <span>{name}</span>}
      {(at !== null || name !== null) && ' '}
      <Value value={value} />
    </>
  )
}

/** ms up to which browsers can show an instant */
const INSTANT_MAX_MS = 8.64e15

function instantOf(value: unknown): number | null {
  const at = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value
  return typeof at === 'number' && at >= 0 && at <= INSTANT_MAX_MS ? at : null
}

/** The name that the model has for a choice; null: it has none. */
function nameFor(definition: Definition, value: unknown): string | null {
  if (definition.dataType === 'BOOL') {
    const name = value === true || value === 1 ? definition.names.true : definition.names.false
    return name === null || ![true, false, 0, 1].includes(value as never) ? null : nameOf(name)
  }
  if (definition.dataType !== 'ENUM') return null
  const found = definition.keys?.find(({ key }) => key === String(value))
  return found === undefined ? null : nameOf(found.name)
}
