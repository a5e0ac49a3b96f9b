// All devices: found by text, status and product, in an order, with what waits for them, as it is now. What is asked for stands in the address. Here it is
// looked at; not here: what a page of it is (pages.ts), how it is shown (list.tsx).

import type { ChangeEvent, Downlink } from '@downlink/client'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import { useLocation, useSearch } from 'wouter-preact'
import { timeText } from '../clock.ts'
import { type Live, type Look, useLive, useLook } from '../live.ts'
import { Icon } from '../parts/icon.tsx'
import { Empty, Loading } from '../parts/notice.tsx'
import { Page } from '../parts/page.tsx'
import { Problem } from '../parts/problem.tsx'
import type { Rows } from '../parts/virtual.ts'
import { common } from '../parts/words.ts'
import { useSession } from '../signed-in.tsx'
import { number } from '../words.ts'
import './devices.css'
import { Filters } from './filters.tsx'
import { keep, take } from './kept.ts'
import { List } from './list.tsx'
import { type Ask, DevicePages, type Joining, type Listed, PAGE_DEVICES, REST_MS } from './pages.ts'
import { useProducts } from './products.ts'
import { type Asked, askedIn, everything, isFiltered, queryOf, searchOf } from './query.ts'
import { words } from './words.ts'

/** ms after which what is in view is looked at though no event told of it: a device tells of its coming and going every ten seconds at most */
const QUIET_MS = 10_000

export const Devices = () => {
  const say = words()
  const asked = askedIn(useSearch())
  const [, go] = useLocation()
  const products = useProducts()
  const list = useList(asked)
  const onAsk = (asked: Asked) => go(`/devices${searchOf(asked)}`, { replace: true })
  const onClear = () => onAsk({ ...everything, order: asked.order })
  return (
    <Page
      class="devices-page"
      title={say.title}
      beside={
        <div class="device-count faint">
          {isFiltered(asked) && (
            <button type="button" class="quiet" onClick={onClear}>
              {say.clear}
            </button>
          )}
          <p role="status">{list.listed === null || !list.isOfThis ? '' : countText(list.listed, asked)}</p>
        </div>
      }
    >
      <Filters asked={asked} onAsk={onAsk} products={products} />
      {asked.order !== null && <p class="faint small device-order">{say.ordered}</p>}
      <Shown list={list} asked={asked} names={products.names} onClear={() => onAsk(everything)} />
    </Page>
  )
}

interface ShownList {
  readonly live: Live
  readonly look: Look<Listed>
  /** null: nothing was seen yet */
  readonly listed: Listed | null
  /** it is what was asked for; else it is what was there before, until that comes */
  readonly isOfThis: boolean
  readonly beginPx: number | undefined
  readonly onView: (rows: Rows) => void
}

/** The list that is asked for; the one that was left, from where it was left. */
function useList(asked: Asked): ShownList {
  const { client } = useSession()
  const live = useLive({})
  const search = searchOf(asked)
  const begun = useMemo(() => begin(client, search, asked), [client, search])
  const { pages } = begun
  const opening = () => live.openings.peek()
  const look = useLook<Listed>(
    (client, signal) => pages.look(askOf(client, asked, signal), opening(), performance.now()),
    [search],
    {
      live,
      heeds: event => concerns(event, asked) && pages.mark(event),
      get leastMs() {
        return pages.isUrgent(opening(), performance.now()) ? 0 : REST_MS
      },
      everyMs: QUIET_MS,
    },
  )
  const { data, error, again } = look
  const seen = data ?? begun.seen
  const before = useRef<Listed | null>(null)
  before.current = seen ?? before.current

  // A look that has failed is made again by itself, after a while.
  const onward = () => {
    if (data !== null && error === null && pages.isDue(opening())) again()
  }
  useEffect(onward, [data, error])
  const view = useRef<Rows | null>(null)
  const onView = (rows: Rows) => {
    view.current = rows
    if (seen === null) return
    pages.view(rows.first, rows.last)
    onward()
  }
  useLeaving(search, () => keep(client, { search, pages, scrolledPx: view.current?.scrolledPx() ?? 0 }))
  return { live, look, listed: before.current, isOfThis: data !== null, beginPx: begun.beginPx, onView }
}

function begin(client: Downlink, search: string, asked: Asked) {
  const kept = take(client, search)
  if (kept !== null) return { pages: kept.pages, seen: kept.pages.listed(), beginPx: kept.scrolledPx }
  return { pages: new DevicePages(joiningOf(asked)), seen: null, beginPx: undefined }
}

/** With another query the list begins at its top. What is left for another page is kept, and that page begins at its own top. */
function useLeaving(search: string, keepIt: () => void): void {
  useLayoutEffect(() => () => window.scrollTo(0, 0), [search])
  const latest = useRef(keepIt)
  latest.current = keepIt
  useLayoutEffect(() => () => latest.current(), [])
}

function joiningOf({ text, status, waiting, order }: Asked): Joining {
  if (order !== null || status !== null || waiting) return 'anywhere'
  return text === '' ? 'atEnd' : 'never'
}

const concerns = ({ device }: ChangeEvent, { product }: Asked): boolean =>
  product === '' || device.productKey === product

/** A list in an order has one page. */
const askOf =
  (client: Downlink, asked: Asked, signal: AbortSignal): Ask =>
  async after => {
    const { order, product } = asked
    if (order === null) return client.devicePage({ ...queryOf(asked), after, limit: PAGE_DEVICES, signal })
    const of = product === '' ? {} : { productKey: product }
    return { devices: await client.topDevices(order, { ...of, limit: PAGE_DEVICES, signal }), next: null }
  }

function countText({ rows, isAll, isFull }: Listed, asked: Asked): string {
  const say = words()
  const n = number(rows.length)
  if (isFull) return say.full(n)
  if (asked.order !== null) return say.waiting(n, rows.length === 1)
  if (!isAll) return isFiltered(asked) ? say.firstMatching(n) : say.first(n)
  return isFiltered(asked) ? say.matching(n, rows.length === 1) : say.all(n, rows.length === 1)
}

interface ShownProps {
  readonly list: ShownList
  readonly asked: Asked
  readonly names: Parameters<typeof List>[0]['names']
  readonly onClear: () => void
}

const Shown = ({ list, asked, names, onClear }: ShownProps) => {
  const { live, look, listed, isOfThis, beginPx, onView } = list
  const { error, askedAt, again } = look
  if (listed === null) return error === null ? <Loading /> : <Problem error={error} onAgain={again} />
  const isCurrent = isOfThis && look.isCurrent
  const isLost = live.connection.value === 'lost'
  return (
    <>
      <div
        class={isCurrent ? 'seen devices-seen' : 'seen devices-seen stale'}
        inert={!isCurrent}
        data-current={isCurrent}
      >
        {listed.rows.length === 0 && listed.isAll ? (
          <None asked={asked} onClear={onClear} />
        ) : (
          <List
            listed={listed}
            names={names}
            holdsPlace={isOfThis && asked.order === null}
            beginPx={beginPx}
            onView={onView}
          />
        )}
      </div>
      {(error !== null || isLost) && (
        <div class="device-told">
          {error === null && askedAt !== null && (
            <div class="notice stale" role="status">
              <Icon name="clock" />
              <div>{common().asOf(timeText(askedAt))}</div>
            </div>
          )}
          {error !== null && <Problem error={error} onAgain={again} />}
        </div>
      )}
    </>
  )
}

const None = ({ asked, onClear }: { asked: Asked; onClear: () => void }) => {
  const say = words()
  if (isFiltered(asked) || asked.order !== null) {
    const isOnlyWaiting = asked.text === '' && asked.status === null && asked.product === ''
    return (
      <div class="card">
        <Empty
          icon="search"
          title={isOnlyWaiting ? say.noneWaits : say.noMatch}
          hint={
            <button type="button" onClick={onClear}>
              {say.clear}
            </button>
          }
        />
      </div>
    )
  }
  return (
    <div class="card">
      <Empty icon="devices" title={say.none} hint={<HowDevicesComeToBe />} />
    </div>
  )
}

const HowDevicesComeToBe = () => {
  const say = words()
  return (
    <div class="no-devices">
      <div>{say.noneHint}</div>
      <pre class="value">
        {
          'downlink fleet apply fleet.yaml\ndownlink serve --fleet fleet.yaml\nPOST /connect-service/v2.1/devices?action=create'
        }
      </pre>
      <div>{say.noneGrants}</div>
    </div>
  )
}
