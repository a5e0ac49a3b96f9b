// Products and devices of a filter, with what there is to choose from while one types.

import { useEffect, useState } from 'preact/hooks'
import { may } from '../grants.ts'
import { useLook } from '../live.ts'
import { useSession } from '../signed-in.tsx'
import { nameOf } from '../words.ts'
import { products } from './asking.ts'
import { words } from './cancellation-words.ts'
import { type FieldsProps, KEYS_MAX } from './filter-form.tsx'
import { KeysField } from './keys-field.tsx'

/** devices that are offered for what was typed: as many as are read at a glance */
const OFFERS = 10
/** ms without a further key after which devices are looked for */
const TYPING_MS = 200
/** devices that the server takes in one filter */
const ASSETS_MAX = 1_000

export const ProductKeys = ({ draft, onChange, faultOf }: FieldsProps) => {
  const say = words()
  const { grants } = useSession()
  const maySee = may(grants, 'Device', 'Read')
  const look = useLook(async (client, signal) => (maySee ? products(client, signal) : []), [])
  const offers = (look.data ?? []).map(({ productKey, productName }) => ({
    key: productKey,
    name: nameOf(productName),
  }))
  return (
    <KeysField
      label={say.products}
      hint={say.productsHint}
      none={say.anyProduct}
      keys={draft.productKeys}
      onChange={productKeys => onChange({ productKeys })}
      offers={offers}
      fault={faultOf('productKeys')}
      max={KEYS_MAX}
    />
  )
}

export const DeviceKeys = ({ draft, onChange, faultOf }: FieldsProps) => {
  const say = words()
  const [typed, setTyped] = useState('')
  const text = useLater(typed)
  const look = useLook(
    async (client, signal) => (text === '' ? [] : (await client.devicePage({ text, limit: OFFERS, signal })).devices),
    [text],
  )
  const offers = (look.data ?? []).map(({ assetId, deviceKey, deviceName, productKey }) => ({
    key: assetId,
    name: [nameOf(deviceName), deviceKey, productKey].filter((name, i, all) => all.indexOf(name) === i).join(' · '),
  }))
  return (
    <KeysField
      label={say.devices}
      hint={say.devicesHint}
      none={say.anyDevice}
      keys={draft.assetIds}
      onChange={assetIds => onChange({ assetIds })}
      offers={text === typed ? offers : []}
      onType={setTyped}
      fault={faultOf('assetIds')}
      max={ASSETS_MAX}
    />
  )
}

/** What was typed, as soon as no key has come for a moment. */
function useLater(typed: string): string {
  const [text, setText] = useState('')
  useEffect(() => {
    const timer = setTimeout(() => setText(typed.trim()), TYPING_MS)
    return () => clearTimeout(timer)
  }, [typed])
  return text
}
