// The overview: what there is now, what happened over time, where most waits, and what happens. Not here: each of these (now, over-time, queues, happening).

import type { ChangeEvent, DeviceLine, Downlink, Grant, Stats } from '@downlink/client'
import { useRef } from 'preact/hooks'
import { serverNow } from '../clock.ts'
import { may } from '../grants.ts'
import { type Live, type Look, useLive, useLook } from '../live.ts'
import { Empty, Notice, Seen } from '../parts/notice.tsx'
import { Page } from '../parts/page.tsx'
import { useSession } from '../signed-in.tsx'
import { Happening } from './happening.tsx'
import { CommandsNow, DevicesNow } from './now.tsx'
import { OverTime } from './over-time.tsx'
import './overview.css'
import { Queues } from './queues.tsx'
import { words } from './words.ts'

/** devices in each of the two lists */
const QUEUES_SHOWN = 6
/** ms between two looks: the server counts no more often, so that a look before that sees the same figures */
const LEAST_MS = 1_000
/** ms until the next look where nothing happens */
const EVERY_MS = 5_000
/** ms looked back for counts of now alone: the least there can be */
const MOMENT_MS = 60_000

export const Overview = () => {
  const { grants } = useSession()
  const say = words()
  return (
    <Page class="overview" title={say.title}>
      {may(grants, 'Asset', 'Read') ? (
        <Board counted={countedFor(grants)} />
      ) : (
        <Empty icon="warning" title={say.unseen} hint={say.unseenHint} />
      )}
    </Page>
  )
}

/** Of what the server counts for these grants: of everything, of whole products, or of nothing. */
type Counted = 'all' | 'none' | readonly string[]

function countedFor(grants: readonly Grant[]): Counted {
  const scopes = grants.filter(grant => may([grant], 'Asset', 'Read')).map(({ scope }) => scope)
  if (scopes.includes('all')) return 'all'
  const keys = scopes.flatMap(scope => (scope !== 'all' && 'productKeys' in scope ? scope.productKeys : []))
  return keys.length === 0 ? 'none' : [...new Set(keys)]
}

interface Seeing {
  readonly stats: Stats | null
  readonly deepest: readonly DeviceLine[]
  readonly longest: readonly DeviceLine[]
}

/** One look, so that all of it is of one moment. */
async function lookNow(client: Downlink, isCounted: boolean, signal: AbortSignal): Promise<Seeing> {
  const [stats, deepest, longest] = await Promise.all([
    isCounted ? client.stats({ from: serverNow() - MOMENT_MS, signal }) : null,
    client.topDevices('waiting', { limit: QUEUES_SHOWN, signal }),
    client.topDevices('oldest', { limit: QUEUES_SHOWN, signal }),
  ])
  const waits = ({ waiting }: DeviceLine) => waiting > 0
  return { stats, deepest: deepest.filter(waits), longest: longest.filter(waits) }
}

/** Looks with each change; and once more soon, where what was counted is older than the last change. */
function useNow(live: Live, isCounted: boolean): Look<Seeing> {
  const changedAt = useRef(Number.NEGATIVE_INFINITY)
  const countedAt = useRef(Number.POSITIVE_INFINITY)
  const ask = async (client: Downlink, signal: AbortSignal) => {
    const seen = await lookNow(client, isCounted, signal)
    countedAt.current = seen.stats?.now.at ?? Number.POSITIVE_INFINITY
    return seen
  }
  const heeds = ({ at }: ChangeEvent) => {
    changedAt.current = Math.max(changedAt.current, at)
    return true
  }
  return useLook(ask, [isCounted], {
    ...{ live, heeds, leastMs: LEAST_MS },
    // Asked for after each look.
    get everyMs() {
      return countedAt.current <= changedAt.current ? LEAST_MS : EVERY_MS
    },
  })
}

const Board = ({ counted }: { counted: Counted }) => {
  const say = words()
  const live = useLive({})
  const isCounted = counted !== 'none'
  const look = useNow(live, isCounted)
  return (
    <Seen look={look}>
      {({ stats, deepest, longest }) => (
        <div class="stack">
          {!isCounted && <Notice kind="info">{say.uncounted}</Notice>}
          {typeof counted !== 'string' && <Notice kind="info">{say.partly(counted.join(', '))}</Notice>}
          <div class="now">
            <CommandsNow stats={stats?.now ?? null} oldest={longest[0]} />
            {stats !== null && <DevicesNow stats={stats.now} />}
          </div>
          {isCounted && <OverTime live={live} />}
          <div class="lists">
            {deepest.length === 0 ? (
              <Queues title={say.queues} devices={deepest} />
            ) : (
              <div class="stack">
                <Queues title={say.deepest} devices={deepest} />
                <Queues title={say.longest} devices={longest} />
              </div>
            )}
            <Happening live={live} />
          </div>
        </div>
      )}
    </Seen>
  )
}
