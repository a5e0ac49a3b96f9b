// Which commands of a filter: any, those that invoke a service, or those that set a measurepoint; with the names that the models of the chosen devices have.

import type { Downlink, StringI18n, ThingModel } from '@downlink/client'
import { useId } from 'preact/hooks'
import { may } from '../grants.ts'
import { useLook } from '../live.ts'
import { useSession } from '../signed-in.tsx'
import { nameOf } from '../words.ts'
import { products } from './asking.ts'
import { words } from './cancellation-words.ts'
import type { Draft } from './filter.ts'
import type { FieldsProps } from './filter-form.tsx'
import { modelOf, told } from './names.ts'

/** models that are looked at for what they offer: each is a call or two, and devices of one fleet share most of it */
const MODELS_MAX = 4

export const CommandFields = ({ draft, onChange, faultOf }: FieldsProps) => {
  const id = useId()
  const say = words()
  const models = useModels(draft)
  const isService = draft.what === 'service'
  const fault = faultOf('identifier', 'serviceId', 'measurepointId')
  const offers = new Map<string, StringI18n>(
    models.flatMap(model =>
      Object.values(isService ? model.services : model.measurepoints).map(
        ({ identifier, name }) => [identifier, name] as const,
      ),
    ),
  )
  const known = offers.get(draft.identifier)
  return (
    <fieldset class="field">
      <legend class="label">{say.what}</legend>
      <div class="row">
        <select
          aria-label={say.what}
          value={draft.what}
          onChange={event => onChange({ what: event.currentTarget.value as Draft['what'], identifier: '' })}
        >
          <option value="any">{say.anyCommand}</option>
          <option value="service">{say.service}</option>
          <option value="measurepoint">{say.measurepoint}</option>
        </select>
        {draft.what !== 'any' && (
          <input
            class="identifier"
            list={id}
            aria-label={isService ? say.serviceId : say.measurepointId}
            placeholder={isService ? say.serviceId : say.measurepointId}
            value={draft.identifier}
            onInput={event => onChange({ identifier: event.currentTarget.value })}
            aria-invalid={fault !== null}
            maxLength={64}
            spellcheck={false}
            autocapitalize="off"
            autocomplete="off"
          />
        )}
        {known !== undefined && nameOf(known) !== draft.identifier && <strong>{nameOf(known)}</strong>}
      </div>
      <datalist id={id}>
        {[...offers].map(([identifier, name]) => (
          <option key={identifier} value={identifier}>
            {nameOf(name)}
          </option>
        ))}
      </datalist>
      {fault !== null && <span class="fault">{fault}</span>}
    </fieldset>
  )
}

/** Models of what is chosen, or where nothing is, of some products. */
function useModels({ what, assetIds, productKeys }: Draft): readonly ThingModel[] {
  const { grants } = useSession()
  const [asset, isAsked] = [may(grants, 'Asset', 'Read'), what !== 'any']
  const look = useLook(
    async (client, signal) => {
      if (!asset || !isAsked) return []
      const chosen = [
        ...assetIds.map(assetId => ({ assetId, productKey: null })),
        ...productKeys.map(productKey => ({ assetId: null, productKey })),
      ]
      const some = chosen.length > 0 ? chosen : await someProducts(client, may(grants, 'Device', 'Read'), signal)
      const models = await Promise.all(
        some.slice(0, MODELS_MAX).map(({ assetId, productKey }) => told(modelOf(client, assetId, productKey, signal))),
      )
      return models.filter(model => model !== null)
    },
    [asset, isAsked, assetIds.join(' '), productKeys.join(' ')],
  )
  return look.data ?? []
}

async function someProducts(client: Downlink, maySee: boolean, signal: AbortSignal) {
  const found = maySee ? await products(client, signal) : []
  return found.map(({ productKey }) => ({ assetId: null, productKey }))
}
