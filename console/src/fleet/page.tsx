// What was asked of many devices at once: jobs, and cancellations by filter, in two lists. Not here: the lists (jobs-list.tsx, cancellations-list.tsx), one of
// either (job.tsx, cancellation.tsx).

import { Link } from 'wouter-preact'
import { may } from '../grants.ts'
import { Icon } from '../parts/icon.tsx'
import { Empty } from '../parts/notice.tsx'

import { useSession } from '../signed-in.tsx'
import { CancellationsList } from './cancellations-list.tsx'
import { FleetPage } from './fleet-page.tsx'
import { JobsList } from './jobs-list.tsx'
import { useQuery } from './pager.tsx'
import { words } from './words.ts'

type Tab = 'jobs' | 'cancellations'

export const FleetCommands = () => {
  const say = words()
  const { grants } = useSession()
  const { query } = useQuery()
  const tabs: readonly Tab[] = [
    ...(may(grants, 'Device', 'Read') ? (['jobs'] as const) : []),
    ...(may(grants, 'Asset', 'Read') ? (['cancellations'] as const) : []),
  ]
  const chosen = tabs.find(tab => tab === query.get('tab')) ?? tabs[0]
  const cancel = may(grants, 'Asset', 'Control') && (
    <Link class="button" href="/fleet/cancellations/new">
      <Icon name="cancel" size={14} />
      {say.cancelByFilter}
    </Link>
  )
  return (
    <FleetPage title={say.title} beside={cancel}>
      {tabs.length > 1 && (
        <nav class="tabs" aria-label={say.title}>
          {tabs.map(tab => (
            <Link key={tab} href={`/fleet?tab=${tab}`} aria-current={tab === chosen ? 'page' : undefined}>
              {say[tab]}
            </Link>
          ))}
        </nav>
      )}
      {chosen === undefined && <Empty icon="fleet" title={say.noGrant} hint={say.noGrantHint} />}
      {chosen === 'jobs' && <JobsList />}
      {chosen === 'cancellations' && <CancellationsList />}
    </FleetPage>
  )
}
