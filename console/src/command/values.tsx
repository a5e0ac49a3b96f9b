// Inputs and outputs by the names that the thing model has for them, with units and the names of choices; what the model does not know is shown as it is.
// Not here: how a model is read (send/sendable.ts).

import type { ComponentChildren } from 'preact'
import { Time } from '../parts/time.tsx'
import { Value } from '../parts/value.tsx'
import type { Field } from '../send/sendable.ts'
import { nameOf } from '../words.ts'

export const Values = ({
  values,
  fields,
  zone,
}: {
  values: Readonly<Record<string, unknown>>
  fields: readonly Field[]
  zone: string | undefined
}) => {
  const known = fields.filter(({ identifier }) => Object.hasOwn(values, identifier))
  const names = new Set(known.map(({ identifier }) => identifier))
  return (
    <dl class="facts values">
      {known.map(field => (
        <Pair key={field.identifier} name={nameOf(field.name)} identifier={field.identifier}>
          <FieldValue field={field} value={values[field.identifier]} zone={zone} />
        </Pair>
      ))}
      {Object.entries(values)
        .filter(([identifier]) => !names.has(identifier))
        .map(([identifier, value]) => (
          <Pair key={identifier} name={identifier} identifier={identifier}>
            <Value value={value} />
          </Pair>
        ))}
    </dl>
  )
}

const Pair = ({ name, identifier, children }: { name: string; identifier: string; children: ComponentChildren }) => (
  <>
    <dt>
      {name} {name !== identifier && <code>{identifier}</code>}
    </dt>
    <dd>{children}</dd>
  </>
)

const FieldValue = ({
  field: { definition, unit },
  value,
  zone,
}: {
  field: Field
  value: unknown
  zone: string | undefined
}) => {
  const name = choiceOf(definition, value)
  return (
    <>
      {name !== null && <span>{name} </span>}
      {definition.dataType === 'TIMESTAMP' && typeof value === 'number' && isInstant(value) && (
        <span>
          <Time at={value} zone={zone} />{' '}
        </span>
      )}
      <span class={name === null ? '' : 'faint'}>
        <Value value={value} />
      </span>
      {unit !== '' && <span class="faint"> {unit}</span>}
    </>
  )
}

/** ms since 1970 up to which there are dates at all */
const DATE_MAX_MS = 8.64e15
const isInstant = (value: number): boolean => Math.abs(value) <= DATE_MAX_MS

/** What the model calls the value; null: nothing. */
function choiceOf(definition: Field['definition'], value: unknown): string | null {
  if (definition.dataType === 'BOOL' && typeof value === 'boolean') {
    const name = definition.names[value ? 'true' : 'false']
    return name === null ? null : nameOf(name)
  }
  if (definition.dataType !== 'ENUM') return null
  const found = definition.keys?.find(({ key }) => key === String(value))
  const name = found === undefined ? '' : nameOf(found.name)
  return name === '' || name === String(value) ? null : name
}
