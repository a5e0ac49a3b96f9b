// What a simulated device gives back from a service: values that fit the thing model and look like a device's. Pure.

import type { Service } from '../core/model.ts'
import { checkValue, type Definition } from '../core/value.ts'

/** One value per output of the service. An output that has the name of an input says back what was put in, where it fits. */
export function plausibleOutputs(
  service: Service | undefined,
  inputs: Readonly<Record<string, unknown>>,
  now: number,
): Record<string, unknown> {
  const outputs = [...(service?.outputs ?? [])].map(([identifier, { definition }]) => {
    const said = Object.hasOwn(inputs, identifier) ? inputs[identifier] : undefined
    const fits = said !== undefined && checkValue(definition, said).ok
    return [identifier, fits ? said : plausible(definition, now)] as const
  })
  return Object.fromEntries(outputs)
}

/** A value of that type; `now` in epoch ms. */
export function plausible(definition: Definition, now: number): unknown {
  switch (definition.dataType) {
    case 'BOOL':
      return true
    case 'INT':
      return Math.ceil(within(definition, 1))
    case 'FLOAT':
    case 'DOUBLE':
      return within(definition, 1.5)
    case 'STRING':
      return 'ok'.slice(0, definition.maxLength)
    case 'ENUM':
      return enumValue(definition)
    case 'DATE':
      return new Date(now).toISOString().slice(0, 19).replace('T', ' ')
    case 'TIMESTAMP':
      return now
    case 'FILE':
      return 'file:///simulated'
    case 'ARRAY':
      return definition.item === null ? [] : [plausible(definition.item, now)]
    case 'STRUCT':
      return Object.fromEntries(
        [...(definition.items ?? [])].map(([key, member]) => [key, plausible(member.definition, now)]),
      )
  }
}

const within = ({ min, max }: { readonly min: number | null; readonly max: number | null }, wish: number): number =>
  Math.min(Math.max(wish, min ?? wish), max ?? Number.POSITIVE_INFINITY)

/** The first of the model's values; where it lists none, any of the type. */
function enumValue({ enumType, keys }: Extract<Definition, { dataType: 'ENUM' }>): unknown {
  const [first = '1'] = keys ?? []
  return enumType === 'INT' ? Number(first) : first
}
