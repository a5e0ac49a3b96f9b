// Cancellations by filter and their dry runs, the newest first. Not here: one of them (cancellation.tsx).

import type { Cancellation } from '@downlink/client'
import { Link } from 'wouter-preact'
import { may } from '../grants.ts'
import { Empty, Seen } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { Age } from '../parts/time.tsx'
import { Who } from '../parts/who.tsx'
import { useSession } from '../signed-in.tsx'
import { cancellationPage, GOING_ON_MS, PAGE_SIZE, type Paged, QUIET_MS, usePaced } from './asking.ts'
import { CancellationBadge } from './cancellation-badge.tsx'
import { words } from './cancellation-words.ts'
import { FilterWords } from './filter-words.tsx'
import { countsOf, sharesOf } from './outcomes.ts'
import { Pager, pageNoOf, useQuery } from './pager.tsx'
import { Bar, Counts } from './shares.tsx'
import { words as listWords } from './words.ts'

export const CancellationsList = () => {
  const { query } = useQuery()
  const pageNo = pageNoOf(query)
  const look = usePaced(
    (client, signal) => cancellationPage(client, pageNo, signal),
    [pageNo],
    ({ rows }) => (rows.some(({ endedAt }) => endedAt === null) ? GOING_ON_MS : QUIET_MS),
  )
  return (
    <Card class="fleet-list">
      <Seen look={look}>{page => (page.total === 0 ? <None /> : <All page={page} />)}</Seen>
    </Card>
  )
}

const None = () => {
  const say = words()
  const { grants } = useSession()
  return (
    <Empty
      icon="fleet"
      title={say.none}
      hint={
        <div class="how">
          <p>{say.noneHint}</p>
          {may(grants, 'Asset', 'Control') && (
            <p>
              <Link class="button" href="/fleet/cancellations/new">
                {say.begin}
              </Link>
            </p>
          )}
          <p>{say.noneHintCli}</p>
          <pre class="value">downlink command cancel-many --product KEY --service ID --older-than 3600 --dry-run</pre>
        </div>
      }
    />
  )
}

const All = ({ page: { rows, total } }: { page: Paged<Cancellation> }) => {
  const say = words()
  const { query, with: where } = useQuery()
  const columns = [say.cancellation, listWords().status, say.result, say.by, say.asked]
  return (
    <>
      <div class="scroll-x">
        <table class="fleet-table">
          <thead>
            <tr>
              {columns.map(name => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(row => (
              <Line key={row.cancellationId} cancellation={row} />
            ))}
          </tbody>
        </table>
      </div>
      <Pager
        pageNo={pageNoOf(query)}
        pageSize={PAGE_SIZE}
        total={total}
        hrefOf={pageNo => where({ page: String(pageNo) })}
      />
    </>
  )
}

const Line = ({ cancellation }: { cancellation: Cancellation }) => {
  const say = words()
  const { cancellationId, status, dryRun, createdBy, createdAt, filter } = cancellation
  const shares = sharesOf(cancellation, countsOf(cancellation))
  return (
    <tr>
      <th scope="row" class="row-head">
        <Link class="row-name" href={`/fleet/cancellations/${cancellationId}`} aria-describedby={cancellationId}>
          {dryRun ? say.kind.dryRun : say.kind.real}
        </Link>
        <FilterWords filter={filter} id={cancellationId} />
      </th>
      <td>
        <CancellationBadge status={status} />
      </td>
      <td class="shares">
        <Bar shares={shares} />
        {cancellation.matched === 0 ? (
          <span class="faint small">{say.noItems}</span>
        ) : (
          <div class="small">
            <Counts shares={shares} />
          </div>
        )}
      </td>
      <td>
        <Who by={createdBy} />
      </td>
      <td class="when">
        <Age at={createdAt} isAgo />
      </td>
    </tr>
  )
}
