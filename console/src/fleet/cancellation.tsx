// One cancellation by filter, real or dry: what it is for, how far it is, what it did, and every command with what became of it.
// Not here: the commands (items.tsx), how one begins (new-cancellation.tsx).

import type { Cancellation } from '@downlink/client'
import { useState } from 'preact/hooks'
import { Link } from 'wouter-preact'
import { durationText } from '../clock.ts'
import { may, mayAll } from '../grants.ts'
import { useLook } from '../live.ts'
import { Id } from '../parts/copy.tsx'
import { Icon } from '../parts/icon.tsx'
import { Seen } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { Time } from '../parts/time.tsx'
import { Who } from '../parts/who.tsx'
import { useSession } from '../signed-in.tsx'
import { number } from '../words.ts'
import { CancellationBadge } from './cancellation-badge.tsx'
import { useCancellation } from './cancellation-look.ts'
import { words } from './cancellation-words.ts'
import { FilterWords } from './filter-words.tsx'
import { FleetPage } from './fleet-page.tsx'
import { Items } from './items.tsx'
import { Fact } from './job-facts.tsx'
import { told } from './names.ts'
import { sharesOf, type Tally, useCounts } from './outcomes.ts'
import { useQuery } from './pager.tsx'
import { Bar, Counts } from './shares.tsx'
import { StopCancellation } from './stop.tsx'
import { words as listWords } from './words.ts'

export const CancellationPage = ({ cancellationId }: { cancellationId: string }) => {
  const say = words()
  const [isStopping, setStopping] = useState(false)
  const look = useCancellation(cancellationId)
  const { data, isCurrent } = look
  const title = data?.dryRun === true ? say.dryRunTitle : say.cancellation
  const mayStop = useMayStop(data)
  return (
    <FleetPage
      title={title}
      above={{ href: '/fleet?tab=cancellations', text: listWords().cancellations }}
      name={
        <span class="row">
          {title}
          {data !== null && <CancellationBadge status={data.status} />}
        </span>
      }
      beside={
        data !== null &&
        isCurrent && (
          <>
            <ToReal cancellation={data} />
            {mayStop && (
              <button type="button" class="danger" onClick={() => setStopping(true)}>
                <Icon name="stop" size={13} />
                {say.stop}
              </button>
            )}
          </>
        )
      }
    >
      <Seen look={look}>{cancellation => <Whole cancellation={cancellation} />}</Seen>
      {isStopping && data !== null && (
        <StopCancellation
          cancellation={data}
          onClose={() => {
            setStopping(false)
            look.again()
          }}
        />
      )}
    </FleetPage>
  )
}

function useMayStop(cancellation: Cancellation | null): boolean {
  const { grants, appKey } = useSession()
  if (cancellation?.status !== 'running' || !may(grants, 'Asset', 'Control')) return false
  return mayAll(grants, 'Asset', 'Control') || cancellation.createdBy === appKey
}

/** From a dry run that is over to where the real one begins. */
const ToReal = ({ cancellation: { dryRun, endedAt, cancellationId } }: { cancellation: Cancellation }) => {
  const { grants } = useSession()
  if (!dryRun || endedAt === null || !may(grants, 'Asset', 'Control')) return null
  return (
    <Link class="button" href={`/fleet/cancellations/new?dryRun=${cancellationId}`}>
      {words().toReal}
      <Icon name="right" size={14} />
    </Link>
  )
}

const Whole = ({ cancellation }: { cancellation: Cancellation }) => {
  const counts = useCounts(cancellation)
  return (
    <div class="stack">
      <Summary cancellation={cancellation} counts={counts} />
      <Items cancellation={cancellation} counts={counts} />
    </div>
  )
}

const Summary = ({ cancellation, counts }: { cancellation: Cancellation; counts: Tally | null }) => {
  const say = words()
  const { createdAt, createdBefore, createdBy, endedAt, cancellationId, filter } = cancellation
  return (
    <Card class="inset">
      <Progress cancellation={cancellation} counts={counts} />
      <dl class="facts inner">
        <Fact name={say.filter}>
          <FilterWords filter={filter} />
        </Fact>
        <Fact name={say.createdBefore}>
          <Time at={createdBefore} />
        </Fact>
        <Fact name={say.by}>
          <Who by={createdBy} />
        </Fact>
        <Fact name={say.began}>
          <Time at={createdAt} />
        </Fact>
        {endedAt !== null && (
          <Fact name={say.ended}>
            <Time at={endedAt} /> <span class="faint">{say.took(durationText(endedAt - createdAt, true))}</span>
          </Fact>
        )}
        <Fact name={say.id}>
          <Id text={cancellationId} />
        </Fact>
      </dl>
    </Card>
  )
}

const Progress = ({ cancellation, counts }: { cancellation: Cancellation; counts: Tally | null }) => {
  const say = words()
  const { matched, cancelled, devices, endedAt, dryRun } = cancellation
  const isOver = endedAt !== null
  const shares = sharesOf(cancellation, counts)
  return (
    <div class="progress" role="status">
      <p class="headline">
        <strong>
          {isOver && !dryRun
            ? say.endedWith(number(cancelled), cancelled === 1)
            : say.found(number(matched), matched === 1)}
        </strong>{' '}
        <span class="faint">
          {isOver
            ? say.devicesMatched(number(devices.matched), devices.matched === 1)
            : say.devicesSoFar(number(devices.matched), number(devices.total))}
        </span>
        {!isOver && <span class="spinner" aria-hidden="true" />}
      </p>
      <Bar shares={shares} />
      <Counts shares={shares} />
      {isOver && !dryRun && <Compared cancellation={cancellation} />}
    </div>
  )
}

/** What has become of those that the dry run before it had found; the address names that. */
const Compared = ({ cancellation: { cancelled } }: { cancellation: Cancellation }) => {
  const { query } = useQuery()
  const dryRunId = query.get('dryRun')
  const look = useLook(
    async (client, signal) => (dryRunId === null ? null : told(client.cancellations.get(dryRunId, { signal }))),
    [dryRunId],
  )
  return look.data?.dryRun === true ? <Fewer dryRun={look.data} cancelled={cancelled} /> : null
}

const Fewer = ({ dryRun, cancelled }: { dryRun: Cancellation; cancelled: number }) => {
  const say = words()
  const found = useCounts(dryRun)?.wouldBeCancelled
  if (found === undefined) return null
  const fewer = found - cancelled
  return (
    <p class="small">
      {fewer <= 0 ? say.same : say.fewer(number(fewer), fewer === 1)}{' '}
      <Link href={`/fleet/cancellations/${dryRun.cancellationId}`}>{say.ofDryRun}</Link>
    </p>
  )
}
