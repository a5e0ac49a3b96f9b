// What the list of devices is asked for: a text, a status, a product, only those that something waits for, an order. Not here: what it finds (list.tsx).

import { common } from '../parts/words.ts'
import { nameOf } from '../words.ts'
import { Choice, TextField } from './field.tsx'
import type { Products } from './products.ts'
import { type Asked, askedWith, orders, statuses } from './query.ts'
import { words } from './words.ts'

interface Props {
  readonly asked: Asked
  readonly onAsk: (asked: Asked) => void
  readonly products: Products
}

export const Filters = ({ asked, onAsk, products }: Props) => {
  const say = words()
  const { all, statuses: named } = common()
  const change = (change: Partial<Asked>) => onAsk(askedWith(asked, change))
  const ofStatuses = statuses.map(status => [status, named[status]] as const)
  return (
    <search class="device-filters" aria-label={say.filters}>
      <TextField label={say.text} hint={say.textHint} value={asked.text} onText={text => change({ text })} whileTyped />
      <Choice
        label={say.status}
        value={asked.status ?? ''}
        choices={[['', all], ...ofStatuses]}
        onChoose={value => change({ status: statuses.find(status => status === value) ?? null })}
      />
      <ProductField product={asked.product} onProduct={product => change({ product })} products={products} />
      <Choice
        label={say.order}
        width="middle"
        value={asked.order ?? ''}
        choices={[
          ['', say.asAdded],
          ['waiting', say.deepest],
          ['oldest', say.longest],
        ]}
        onChoose={value => change({ order: orders.find(order => order === value) ?? null })}
      />
      {asked.order === null && (
        <label class="check">
          <input
            type="checkbox"
            checked={asked.waiting}
            onChange={event => change({ waiting: event.currentTarget.checked })}
          />
          {say.onlyWaiting}
        </label>
      )}
    </search>
  )
}

interface ProductProps {
  readonly product: string
  readonly onProduct: (product: string) => void
  readonly products: Products
}

/** A choice where all products are known; else a key is typed, with those that are known to choose from. */
const ProductField = ({ product, onProduct, products: { names, isAll } }: ProductProps) => {
  const say = words()
  const named = [...names].map(([key, name]) => [key, nameOf(name) || key] as const)
  if (isAll === false)
    return <TextField label={say.product} hint={say.productHint} value={product} onText={onProduct} known={named} />
  const strange = product === '' || names.has(product) ? [] : [[product, product] as const]
  const choices = [['', common().all] as const, ...named, ...strange]
  return <Choice label={say.product} value={product} choices={choices} onChoose={onProduct} />
}
