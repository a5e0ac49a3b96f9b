// A filter as it reads: one condition beside the other. Not here: the form (filter-form.tsx).

import type { Cancellation } from '@downlink/client'
import type { ComponentChildren } from 'preact'
import { durationText } from '../clock.ts'
import { Time } from '../parts/time.tsx'
import { number } from '../words.ts'
import { words as allWords } from './cancellation-words.ts'
import type { Said } from './filter.ts'

/** keys of one condition that are named; the others are counted */
const KEYS_SHOWN = 3
/** characters of a key that are shown; the whole is on a pointer's hover */
const KEY_CHARS = 20

export const FilterWords = ({ filter, id }: { filter: Cancellation['filter']; id?: string }) => {
  const { words } = allWords()
  const said: Said = filter
  const { all, productKeys = [], assetIds = [], applications = [], states } = said
  return (
    <ul class="conditions" id={id}>
      {all === true && (
        <li>
          <strong>{words.all}</strong>
        </li>
      )}
      {said.serviceId !== undefined && (
        <Condition name={words.service}>
          <code>{said.serviceId}</code>
        </Condition>
      )}
      {said.measurepointId !== undefined && (
        <Condition name={words.measurepoint}>
          <code>{said.measurepointId}</code>
        </Condition>
      )}
      <Keys name={productKeys.length === 1 ? words.product : words.products} keys={productKeys} />
      <Keys name={assetIds.length === 1 ? words.device : words.devices} keys={assetIds} />
      {said.olderThanS !== undefined && <li>{words.olderThan(durationText(said.olderThanS * 1_000))}</li>}
      {said.createdBefore !== undefined && (
        <Condition name={words.before}>
          <Time at={said.createdBefore} />
        </Condition>
      )}
      <Keys name={words.by} keys={applications} />
      {states?.includes(4) === true && <li>{words.sent}</li>}
    </ul>
  )
}

const Condition = ({ name, children }: { name: string; children: ComponentChildren }) => (
  <li>
    <span class="faint">{name}</span> {children}
  </li>
)

const Keys = ({ name, keys }: { name: string; keys: readonly string[] }) =>
  keys.length === 0 ? null : (
    <li title={keys.join(' ')}>
      <span class="faint">{name}</span>{' '}
      {keys.slice(0, KEYS_SHOWN).map((key, i) => (
        <span key={key}>
          {i > 0 && ', '}
          <code>{key.length > KEY_CHARS ? `${key.slice(0, KEY_CHARS - 1)}…` : key}</code>
        </span>
      ))}
      {keys.length > KEYS_SHOWN && ` ${allWords().words.more(number(keys.length - KEYS_SHOWN))}`}
    </li>
  )
