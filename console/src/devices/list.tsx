// The devices as a table: of thousands of rows only those near the window are in the document. Not here: which devices (pages.ts), when they are looked at
// (page.tsx).

import { type DeviceLine, State, type StringI18n } from '@downlink/client'
import { useLayoutEffect, useState } from 'preact/hooks'
import { Link } from 'wouter-preact'
import { DeviceName } from '../parts/device-name.tsx'
import { StateBadge, StatusBadge } from '../parts/state.tsx'
import { Age } from '../parts/time.tsx'
import { type Rows, useMedia, useWindowRows } from '../parts/virtual.ts'
import { common } from '../parts/words.ts'
import { nameOf, number } from '../words.ts'
import type { Listed } from './pages.ts'
import { words } from './words.ts'

/** px of a row: one line, or in a narrow window two; as devices.css has it */
const ROW_PX = 40
const NARROW_ROW_PX = 68
/** as in devices.css */
const NARROW = '(max-width: 640px)'

const columns = ['device', 'status', 'waiting', 'inFlight', 'oldest', 'seen', 'product', 'gateway'] as const
type Names = ReadonlyMap<string, StringI18n>

export interface ListProps {
  readonly listed: Listed
  readonly names: Names
  readonly holdsPlace: boolean
  readonly beginPx: number | undefined
  /** with what can be seen, each time that it is drawn */
  readonly onView: (rows: Rows) => void
}

export const List = ({ listed, names, holdsPlace, beginPx, onView }: ListProps) => {
  const say = words()
  const rowPx = useMedia(NARROW) ? NARROW_ROW_PX : ROW_PX
  const rows = useWindowRows({ keys: listed.keys, rowPx, beginPx, holdsPlace })
  const barPx = useBarPx()
  useLayoutEffect(() => onView(rows))
  const shown = listed.rows.slice(rows.from, rows.to)
  return (
    <div class="card device-list" style={{ '--bar': `${barPx}px` }}>
      {/* How many rows there are is not known before the last page is there. */}
      <table aria-label={say.title} aria-rowcount={listed.isAll ? listed.rows.length + 1 : -1}>
        <colgroup>
          {columns.map(column => (
            <col key={column} class={`of-${column}`} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map(column => (
              <th key={column} scope="col" class={`of-${column}`}>
                {say.columns[column]}
              </th>
            ))}
          </tr>
        </thead>
        <Space px={rows.beforePx} place={rows.list} />
        <tbody>
          {shown.map(({ device, isOld }, n) => (
            <tr
              key={device.assetId}
              aria-rowindex={rows.from + n + 2}
              class={[isOld && 'stale', rows.from + n === 0 && 'first'].filter(Boolean).join(' ')}
              style={{ height: `${rowPx}px` }}
            >
              <Cells device={device} names={names} />
            </tr>
          ))}
        </tbody>
        <Space px={rows.afterPx} />
      </table>
      {!listed.isAll && (
        <p class="faint small more">{listed.isFull ? say.full(number(listed.rows.length)) : say.more}</p>
      )}
    </div>
  )
}

/** As high as the rows that are not in the document. */
const Space = ({ px, place = null }: { px: number; place?: Rows['list'] | null }) => (
  <tbody ref={place} aria-hidden="true" class="space">
    <tr>
      <td style={{ height: `${px}px` }} />
    </tr>
  </tbody>
)

const Cells = ({ device, names }: { device: DeviceLine; names: Names }) => {
  const { assetId, productKey, status, waiting, inFlight, oldestWaitingAt, timezone, gateway } = device
  const product = names.get(productKey)
  return (
    <>
      <th scope="row" class="of-device">
        <Link href={`/devices/${encodeURIComponent(assetId)}`} title={titleOf(device)}>
          <DeviceName device={device} />
        </Link>
        {/* In a narrow window it stands here instead of in a column. */}
        <span class="below">
          <StatusBadge status={status} />
          {inFlight && <StateBadge state={State.sent} />}
        </span>
      </th>
      <td class="of-status">
        <StatusBadge status={status} />
      </td>
      <td class={waiting === 0 ? 'of-waiting faint' : 'of-waiting'}>{number(waiting)}</td>
      <td class="of-inFlight">{inFlight && <StateBadge state={State.sent} />}</td>
      <td class="of-oldest">{oldestWaitingAt !== null && <Age at={oldestWaitingAt} zone={timezone} />}</td>
      <td class="of-seen">
        <LastSeen device={device} />
      </td>
      <td class="of-product" title={productKey}>
        {product === undefined ? <code>{productKey}</code> : nameOf(product) || productKey}
      </td>
      <td class="of-gateway">
        {gateway !== null && (
          <Link href={`/devices/${encodeURIComponent(gateway)}`}>
            <code>{gateway}</code>
          </Link>
        )}
      </td>
    </>
  )
}

/** All of what a row has cut off, and what it has no room for. */
const titleOf = ({ deviceName, deviceKey, assetId }: DeviceLine): string =>
  [nameOf(deviceName), deviceKey, assetId].filter(text => text !== '').join(' · ')

const LastSeen = ({ device: { status, lastOnlineAt, lastOfflineAt, timezone } }: { device: DeviceLine }) => {
  if (status === 'online') return <>{words().nowSeen}</>
  // A server that was killed has not told when its devices went; then they were seen when they came.
  const at = Math.max(lastOnlineAt ?? 0, lastOfflineAt ?? 0)
  return at === 0 ? <span class="faint">{common().never}</span> : <Age at={at} zone={timezone} isAgo />
}

/** px of the bar above, where it stays while the page scrolls: the head of the table stays below it. */
function useBarPx(): number {
  const [px, setPx] = useState(0)
  useLayoutEffect(() => {
    const bar = document.querySelector<HTMLElement>('header.top')
    if (bar === null) return
    const look = () => setPx(getComputedStyle(bar).position === 'sticky' ? bar.offsetHeight : 0)
    look()
    const observer = new ResizeObserver(look)
    observer.observe(bar)
    return () => observer.disconnect()
  }, [])
  return px
}
