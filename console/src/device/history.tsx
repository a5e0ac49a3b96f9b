// A device's commands, newest first, also those that are over. Rows stay where they are: what comes meanwhile is counted above them, and shown when asked for.
// Not here: what is searched for and how (history-query.ts, history-find.ts), the fields (history-filters.tsx).

import { type Command, type DeviceLine, stateName } from '@downlink/client'
import { useEffect, useRef } from 'preact/hooks'
import { useSearchParams } from 'wouter-preact'
import { type Live, useLook } from '../live.ts'
import { Empty } from '../parts/notice.tsx'
import { StateBadge } from '../parts/state.tsx'
import { Time } from '../parts/time.tsx'
import { ShortValue } from '../parts/value.tsx'
import { common } from '../parts/words.ts'
import { number } from '../words.ts'
import { Body } from './body.tsx'
import { HistoryFilters } from './history-filters.tsx'
import { type Found, findCommands, NEWER_MAX, type Wanted } from './history-find.ts'
import { everything, type Filter, filterIn, isExact, isFiltered, searchOf } from './history-query.ts'
import { What } from './what.tsx'
import { words } from './words.ts'

/** rows that are shown at first, and with each wish for more */
const PAGE_ROWS = 50
/** commands that are looked through at first, and with each wish to look further, where most of them are not meant */
const PAGE_DEPTH = 1_000
/** ms between two looks at least: of a device that is busy each second is enough, and a look that has much to look through is dearer */
const LEAST_MS = 1_000
const LEAST_DEEP_MS = 5_000

export const History = ({ device, live }: { device: DeviceLine; live: Live }) => {
  const { assetId, timezone } = device
  const [given, setGiven] = useSearchParams()
  const filter = filterIn(given)
  const key = JSON.stringify(searchOf(filter))
  const onFilter = (filter: Filter) => setGiven({ tab: 'history', ...searchOf(filter) }, { replace: true })
  const extent = useRef<Omit<Wanted, 'filter'> & { readonly key: string }>({ key: '', ...beginning })
  if (extent.current.key !== key) extent.current = { key, ...beginning }

  const look = useLook(
    (client, signal) => findCommands(client, assetId, { ...extent.current, filter }, signal),
    [assetId, key],
    { live, leastMs: isExact(filter) ? LEAST_MS : LEAST_DEEP_MS },
  )
  const { data } = look
  useEffect(() => {
    const [top] = data?.commands ?? []
    if (top !== undefined) extent.current = { ...extent.current, top: extent.current.top ?? top }
  }, [data])
  const widen = (by: Partial<Wanted>) => {
    extent.current = { ...extent.current, ...by }
    look.again()
  }
  const { rows, depth } = extent.current
  return (
    <div class="card history">
      <HistoryFilters filter={filter} zone={timezone} onFilter={onFilter} />
      <Body look={look}>
        {found => (
          <>
            <Newer found={found} onShow={() => widen({ top: null })} />
            {found.commands.length > 0 ? (
              <HistoryTable commands={found.commands} zone={timezone} />
            ) : (
              <Nothing found={found} filter={filter} onClear={() => onFilter(everything)} />
            )}
            <Further
              found={found}
              onMore={() => widen({ rows: rows + PAGE_ROWS })}
              onFurther={() => widen({ depth: depth + PAGE_DEPTH })}
            />
          </>
        )}
      </Body>
    </div>
  )
}
const beginning = { rows: PAGE_ROWS, depth: PAGE_DEPTH, top: null }

const Newer = ({ found: { newer }, onShow }: { found: Found; onShow: () => void }) => {
  const say = words()
  const n = newer < NEWER_MAX ? number(newer) : `${number(newer)}+`
  return (
    <div class="newer" role="status">
      {newer > 0 && (
        <button type="button" class="wide" onClick={onShow}>
          {say.newOnes(n, newer === 1)} · {say.showNew}
        </button>
      )}
    </div>
  )
}

const HistoryTable = ({ commands, zone }: { commands: readonly Command[]; zone: string }) => {
  const say = words()
  return (
    <div class="scroll-x">
      <table>
        <thead>
          <tr>
            <th scope="col" class="time-cell">
              {say.created}
            </th>
            <th scope="col" class="wide-cell">
              {say.command}
            </th>
            <th scope="col">{say.input}</th>
            <th scope="col" class="state-cell">
              {common().state}
            </th>
          </tr>
        </thead>
        <tbody>
          {commands.map(command => (
            <tr key={command.commandId} data-command-id={command.commandId} data-state={stateName[command.state]}>
              <td class="time-cell">
                <Time at={Number(command.createTime)} zone={zone} />
              </td>
              <td class="wide-cell">
                <What command={command} />
              </td>
              <td class="input-cell">
                <ShortValue value={command.inputData} />
              </td>
              <td class="state-cell">
                <StateBadge state={command.state} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

const Nothing = ({ found, filter, onClear }: { found: Found; filter: Filter; onClear: () => void }) => {
  const say = words()
  if (!isFiltered(filter)) return <Empty icon="clock" title={say.noHistory} hint={say.noHistoryHint} />
  // What has not been looked through may have one.
  if (found.stoppedBy === 'depth') return <Empty icon="search" title={say.noneAmong} />
  return (
    <Empty
      icon="search"
      title={say.noMatch}
      hint={
        <button type="button" onClick={onClear}>
          {say.clear}
        </button>
      }
    />
  )
}

const Further = ({
  found: { commands, stoppedBy, lookedAt },
  onMore,
  onFurther,
}: {
  found: Found
  onMore: () => void
  onFurther: () => void
}) => {
  const say = words()
  const { length } = commands
  if (stoppedBy === null)
    return length === 0 ? null : <p class="further faint">{say.allShown(number(length), length === 1)}</p>
  return (
    <div class="further">
      {stoppedBy === 'depth' && <span class="faint">{say.lookedAt(number(lookedAt))}</span>}
      <button type="button" onClick={stoppedBy === 'rows' ? onMore : onFurther}>
        {stoppedBy === 'rows' ? say.more : say.lookFurther}
      </button>
    </div>
  )
}
