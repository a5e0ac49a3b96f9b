// The commands that a cancellation has found, each with what became of it; by page, and all of them once it is over. Not here: how they are fetched and kept
// (item-reader.ts), as a file (csv.ts).

import type { Cancellation, CancellationItem } from '@downlink/client'
import { useRef, useState } from 'preact/hooks'
import { Link } from 'wouter-preact'
import { Empty, Seen } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { StateBadge } from '../parts/state.tsx'
import { common } from '../parts/words.ts'
import { number } from '../words.ts'
import { GOING_ON_MS, NEVER_MS, usePaced } from './asking.ts'
import { words } from './cancellation-words.ts'
import { CsvButton } from './csv-button.tsx'
import { ITEMS_KEPT_MAX, ItemReader } from './item-reader.ts'
import { kindOf, type Outcome, outcomesOf, type Tally } from './outcomes.ts'
import { Pager, pageNoOf, useQuery } from './pager.tsx'

/** commands on a page: about two screens */
const ITEMS_PAGE_SIZE = 50
/** ms between two looks at the first ones while more are found */
const FINDING_MS = 2 * GOING_ON_MS

export const Items = ({ cancellation, counts }: { cancellation: Cancellation; counts: Tally | null }) => {
  const say = words()
  const { query } = useQuery()
  const { cancellationId, endedAt, matched } = cancellation
  const isOver = endedAt !== null
  const outcome = outcomesOf(cancellation).find(outcome => outcome === query.get('outcome')) ?? null
  const pageNo = isOver ? pageNoOf(query) : 1
  const [looked, setLooked] = useState(0)
  const kept = useRef<{ readonly key: string; readonly reader: ItemReader } | null>(null)
  const look = usePaced(
    async (client, signal) => {
      const key = `${cancellationId} ${isOver}`
      // What is found while it goes on may have any place: it is read from the beginning each time.
      if (kept.current?.key !== key || !isOver) kept.current = { key, reader: new ItemReader(cancellationId) }
      const { reader } = kept.current
      return reader.page(client, outcome, pageNo, ITEMS_PAGE_SIZE, signal, isOver ? setLooked : null)
    },
    [cancellationId, isOver, outcome, pageNo],
    () => (isOver ? NEVER_MS : FINDING_MS),
  )
  return (
    <Card title={say.items} class="items" beside={isOver && <CsvButton cancellation={cancellation} />}>
      <Outcomes cancellation={cancellation} counts={counts} outcome={outcome} />
      <Seen look={look}>
        {({ items, isEnd, known }) => (
          <>
            <ItemTable items={items} cancellation={cancellation} />
            {!isOver && matched > items.length && <p class="faint small aside">{say.firstOnes}</p>}
            {isOver && (
              <Below
                counted={outcome === null ? matched : (counts?.[outcome] ?? matched)}
                isEnd={isEnd}
                known={known}
              />
            )}
          </>
        )}
      </Seen>
      {look.data === null && look.error === null && looked > 0 && (
        <p class="faint small aside">{say.looked(number(looked))}</p>
      )}
    </Card>
  )
}

/** Links to the commands of one outcome, with how many there are. */
const Outcomes = ({
  cancellation,
  counts,
  outcome: chosen,
}: {
  cancellation: Cancellation
  counts: Tally | null
  outcome: Outcome | null
}) => {
  const say = words()
  const { with: where } = useQuery()
  const shown = outcomesOf(cancellation).filter(outcome => outcome === chosen || (counts?.[outcome] ?? 0) > 0)
  if (shown.length < 2 && chosen === null) return null
  const link = (outcome: Outcome | null, count: number, word: string) => (
    <li key={word}>
      <Link href={where({ outcome, page: null })} aria-current={outcome === chosen ? 'true' : undefined}>
        {outcome !== null && <span class={`dot ${kindOf[outcome]}`} aria-hidden="true" />}
        <b>{number(count)}</b> {word}
      </Link>
    </li>
  )
  return (
    <nav aria-label={say.filterItems}>
      <ul class="counts choosing">
        {link(null, cancellation.matched, say.all)}
        {shown.map(outcome => link(outcome, counts?.[outcome] ?? 0, say.outcome[outcome]))}
      </ul>
    </nav>
  )
}

const ItemTable = ({ items, cancellation }: { items: readonly CancellationItem[]; cancellation: Cancellation }) => {
  const say = words()
  const { query } = useQuery()
  if (items.length === 0) {
    const isAll = query.get('outcome') === null
    return <Empty title={!isAll ? say.noItemsLike : cancellation.endedAt === null ? say.noItemsYet : say.noItems} />
  }
  return (
    <div class="scroll-x">
      <table class="fleet-table">
        <thead>
          <tr>
            <th scope="col">{say.command}</th>
            <th scope="col">{common().device}</th>
            <th scope="col">{say.outcomeName}</th>
          </tr>
        </thead>
        <tbody>
          {items.map(item => (
            <Line key={item.commandId} item={item} />
          ))}
        </tbody>
      </table>
    </div>
  )
}

const Line = ({ item: { commandId, device, outcome, state } }: { item: CancellationItem }) => {
  const say = words()
  return (
    <tr>
      <th scope="row" class="row-head">
        <Link href={`/commands/${commandId}`} class="id">
          {commandId}
        </Link>
      </th>
      <td>
        {device === null ? (
          <span class="faint">{say.gone}</span>
        ) : (
          <>
            <Link href={`/devices/${encodeURIComponent(device.assetId)}`} title={device.assetId}>
              {device.deviceKey}
            </Link>{' '}
            <code class="faint small">{device.productKey}</code>
          </>
        )}
      </td>
      <td>
        <span class={`outcome-word outcome-${outcome}`}>
          <span class={`dot ${kindOf[outcome]}`} aria-hidden="true" />
          {say.outcome[outcome]}
        </span>
        {outcome === 'notCancelled' &&
          (state === null ? <span class="faint"> {say.gone}</span> : <StateBadge state={state} />)}
      </td>
    </tr>
  )
}

/** From page to page; and where not everything is listed, that this is so. */
const Below = ({ counted, isEnd, known }: { counted: number; isEnd: boolean; known: number }) => {
  const say = words()
  const { query, with: where } = useQuery()
  const total = isEnd ? known : Math.min(counted, ITEMS_KEPT_MAX)
  const unseen = isEnd ? counted - known : 0
  return (
    <>
      <Pager
        pageNo={pageNoOf(query)}
        pageSize={ITEMS_PAGE_SIZE}
        total={total}
        hrefOf={pageNo => where({ page: String(pageNo) })}
      />
      {unseen > 0 && <p class="faint small aside">{say.unseen(number(unseen), unseen === 1)}</p>}
      {!isEnd && counted > ITEMS_KEPT_MAX && <p class="faint small aside">{say.cut(number(ITEMS_KEPT_MAX))}</p>}
    </>
  )
}
