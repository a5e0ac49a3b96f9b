// What happened over time: what commands came to, and how many were accepted, sent and cancelled. The range is in the address, so that a link shows the same.
// Not here: what there is now (now.tsx), how charts are drawn (parts/chart.tsx).

import type { DeviceLine, Downlink, Stats } from '@downlink/client'
import { useMemo, useRef } from 'preact/hooks'
import { Link, useSearchParams } from 'wouter-preact'
import { serverNow } from '../clock.ts'
import { type Live, useLook } from '../live.ts'
import { Chart, type Charted } from '../parts/chart.tsx'
import { Loading } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { Problem } from '../parts/problem.tsx'
import { common } from '../parts/words.ts'
import { offsetAt } from '../wall-time.ts'
import { locale, number } from '../words.ts'
import { FirstSteps, offered } from './first.tsx'
import { beginOf, type Range, rangeNames, rangeOf, ranges, ratesOf } from './ranges.ts'
import { words } from './words.ts'

/** ms, and s of a step: commands that are over are kept for a week, so there is nothing to look for before that */
const KEPT_MS = 7 * 86_400_000
const KEPT_STEP_S = 86_400

interface Past {
  readonly stats: Stats
  /** Where no command is on record, of any time: devices to send the first one to; else null. */
  readonly offered: readonly DeviceLine[] | null
}

export const OverTime = ({ live }: { live: Live }) => {
  const [search] = useSearchParams()
  const range = rangeOf(search.get('range'))
  const { stepS, leastMs, everyMs } = ranges[range]
  // Where one command is found, there is no need to look for any again.
  const isUsed = useRef(false)
  const ask = async (client: Downlink, signal: AbortSignal): Promise<Past> => {
    const now = serverNow()
    const stats = await client.stats({ from: beginOf(range, now, offsetAt(now, undefined)), stepS, signal })
    if (stats.total.accepted === 0 && !isUsed.current) {
      const { total } = await client.stats({ from: now - KEPT_MS, stepS: KEPT_STEP_S, signal })
      isUsed.current = total.accepted > 0
    } else isUsed.current = true
    return { stats, offered: isUsed.current ? null : await offered(client, signal) }
  }
  const { data, error, isCurrent, again } = useLook(ask, [range], { live, leastMs, everyMs })
  const offering = data?.offered ?? null
  const seen = isCurrent || data === null ? 'seen' : 'seen stale'
  return (
    <section class="over-time">
      {offering === null && <Ranges chosen={range} stats={data?.stats ?? null} />}
      {error !== null && <Problem error={error} onAgain={again} />}
      <div class={offering === null ? `charts ${seen}` : seen} data-current={isCurrent}>
        {data === null && error === null && <Loading />}
        {offering !== null && <FirstSteps devices={offering} />}
        {data !== null && offering === null && <Charts key={range} stats={data.stats} range={range} />}
      </div>
    </section>
  )
}

const Ranges = ({ chosen, stats }: { chosen: Range; stats: Stats | null }) => {
  const say = words()
  return (
    <div class="ranges">
      <p class="faint">{stats !== null && settledText(stats)}</p>
      <nav class="segments" aria-label={say.range}>
        {rangeNames.map(range => (
          <Link key={range} href={`/?range=${range}`} aria-current={range === chosen ? 'true' : undefined}>
            {say.ranges[range]}
          </Link>
        ))}
      </nav>
    </div>
  )
}

const outcomes = ['succeeded', 'failed', 'timedOut', 'expired', 'cancelled'] as const
const sumOf = (sums: Stats['total']): number => outcomes.reduce((sum, name) => sum + sums[name], 0)

function settledText({ total }: Stats): string | null {
  const settled = sumOf(total)
  if (settled === 0) return null
  const share = new Intl.NumberFormat(locale.value, { style: 'percent', maximumFractionDigits: 1 })
  // Rounded down: it is not all of them where one is missing.
  const succeeded = Math.floor((total.succeeded / settled) * 1_000) / 1_000
  return words().settledShare(number(settled), share.format(succeeded))
}

const Charts = ({ stats, range }: { stats: Stats; range: Range }) => {
  const say = words()
  const span = say.spans[range]
  const settled = useMemo(() => settledOf(stats), [stats, locale.value])
  const { rates, unit } = useMemo(() => ratesChart(stats), [stats, locale.value])
  return (
    <>
      <Card title={say.settled}>
        <Chart chart={settled} name={say.settled} span={say.inAll(span)} valueText={number} empty={say.settledEmpty} />
      </Card>
      <Card title={say.rates[unit]}>
        <Chart
          chart={rates}
          name={say.rates[unit]}
          span={say.inAll(span)}
          valueText={rateText}
          empty={say.ratesEmpty}
        />
      </Card>
    </>
  )
}

const stepsOf = ({ series, stepS }: Stats) => ({ starts: series.map(({ at }) => at), stepMs: stepS * 1_000 })

function settledOf(stats: Stats): Charted {
  const { states } = common()
  const series = outcomes.map(name => ({
    label: states[name],
    colour: `--${name}-strong`,
    values: stats.series.map(step => step[name]),
    inAll: number(stats.total[name]),
  }))
  return { kind: 'bars', ...stepsOf(stats), series }
}

function ratesChart(stats: Stats) {
  const say = words()
  const { unit, values } = ratesOf(stats)
  const line = (name: keyof typeof values, colour: string) => ({
    ...{ label: say[name], colour, values: values[name], inAll: number(stats.total[name]) },
  })
  const rates: Charted = {
    kind: 'lines',
    ...stepsOf(stats),
    series: [
      line('accepted', '--created-strong'),
      { ...line('sent', '--sent-strong'), dash: 'dashed' },
      { ...line('cancelled', '--cancelled-strong'), dash: 'dotted' },
    ],
  }
  return { rates, unit }
}

/** Small rates are of interest, too: two digits of whatever size. */
const rateText = (rate: number): string =>
  rate === 0 || rate >= 10
    ? number(Math.round(rate))
    : new Intl.NumberFormat(locale.value, { maximumSignificantDigits: 2 }).format(rate)
