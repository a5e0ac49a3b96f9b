// What a filter would cancel, as a dry run has found it; and from there the real one, for exactly that. Not here: the form before it (filter-form.tsx).

import type { Cancellation } from '@downlink/client'
import { useState } from 'preact/hooks'
import { Link, useLocation } from 'wouter-preact'
import { useDo } from '../live.ts'
import { Icon } from '../parts/icon.tsx'
import { Empty, Notice, Seen } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { Problem } from '../parts/problem.tsx'
import { Age } from '../parts/time.tsx'
import { useSession } from '../signed-in.tsx'
import { number } from '../words.ts'
import { useCancellation } from './cancellation-look.ts'
import { words } from './cancellation-words.ts'
import { ConfirmCancellation } from './confirm.tsx'
import { queryOf } from './filter.ts'
import { FilterWords } from './filter-words.tsx'
import { ITEMS_KEPT_MAX } from './item-reader.ts'
import { Items } from './items.tsx'
import { type Tally, useCounts } from './outcomes.ts'

export const DryRun = ({ cancellationId }: { cancellationId: string }) => {
  const look = useCancellation(cancellationId)
  return <Seen look={look}>{dryRun => <Whole dryRun={dryRun} />}</Seen>
}

const Whole = ({ dryRun }: { dryRun: Cancellation }) => {
  const counts = useCounts(dryRun)
  if (!dryRun.dryRun) return <Notice kind="bad">{words().notDry}</Notice>
  return (
    <div class="stack">
      <Found dryRun={dryRun} counts={counts} />
      {dryRun.matched > 0 && <Items cancellation={dryRun} counts={counts} />}
    </div>
  )
}

const Found = ({ dryRun, counts }: { dryRun: Cancellation; counts: Tally | null }) => {
  const say = words()
  const { status, endedAt, createdAt } = dryRun
  const { notCancelled = 0 } = counts ?? {}
  return (
    <Card class="inset">
      <div class="inner found">
        <FilterWords filter={dryRun.filter} />
        <Headline dryRun={dryRun} counts={counts} />
        {notCancelled > 0 && <p>{say.wouldNot(number(notCancelled), notCancelled === 1)}</p>}
        {endedAt !== null && (
          <p class="faint">
            {say.lookedAt} <Age at={createdAt} isAgo />
          </p>
        )}
        {status === 'stopped' && <Notice kind="bad">{say.stoppedEarly}</Notice>}
        <Onward dryRun={dryRun} counts={counts} />
      </div>
    </Card>
  )
}

const Headline = ({ dryRun: { matched, endedAt }, counts }: { dryRun: Cancellation; counts: Tally | null }) => {
  const say = words()
  const { wouldBeCancelled: count = 0, devices = 0 } = counts ?? {}
  if (endedAt !== null && counts !== null && count === 0)
    return <Empty icon="check" title={say.nothing} hint={say.nothingHint} />
  const isTooMany = counts === null && matched > ITEMS_KEPT_MAX
  const isLooking = endedAt === null || (counts === null && !isTooMany)
  return (
    <p class="headline" role="status">
      <strong>
        {counts === null
          ? say.found(number(matched), matched === 1)
          : say.wouldBe(number(count), count === 1, number(devices), devices === 1)}
      </strong>{' '}
      {isTooMany && <span class="faint">{say.uncounted(number(ITEMS_KEPT_MAX))}</span>}
      {isLooking && (
        <span class="row faint">
          <span class="spinner" aria-hidden="true" />
          {say.soFar}
        </span>
      )}
    </p>
  )
}

/** From here: another filter, another look, or the real one. */
const Onward = ({ dryRun, counts }: { dryRun: Cancellation; counts: Tally | null }) => {
  const say = words()
  const { appKey } = useSession()
  const [, go] = useLocation()
  const [isAsked, ask] = useState(false)
  const again = useDo(({ client }) => client.cancellations.create(dryRun.filter, { dryRun: true }))
  const { status, createdBy, filter } = dryRun
  const { wouldBeCancelled: count = 0 } = counts ?? {}
  const isMine = createdBy === appKey
  const lookAgain = async () => {
    const next = await again.run()
    if (next !== undefined) go(`/fleet/cancellations/new?dryRun=${next.cancellationId}`)
  }
  return (
    <>
      {!isMine && <Notice kind="info">{say.foreign}</Notice>}
      <Problem error={again.error} />
      <div class="row onward">
        <Link class="button" href={`/fleet/cancellations/new?${queryOf(filter)}`}>
          {say.change}
        </Link>
        <button type="button" onClick={lookAgain} disabled={again.isBusy}>
          <Icon name="retry" size={14} />
          {say.again}
        </button>
        <span class="gap" />
        {status === 'ended' && count > 0 && isMine && (
          <button type="button" class="danger primary" onClick={() => ask(true)}>
            {say.proceed(number(count), count === 1)}
          </button>
        )}
      </div>
      {isAsked && counts !== null && <ConfirmCancellation dryRun={dryRun} counts={counts} onClose={() => ask(false)} />}
    </>
  )
}
