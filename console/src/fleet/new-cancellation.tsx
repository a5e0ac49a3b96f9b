// Cancelling by filter, in three steps that cannot be mixed up: a filter is written, a dry run shows what it is for, and only from there the real one begins.
// The address has the filter, then the dry run, so that a link shows the same. Not here: the form (filter-form.tsx), the dry run (dry-run.tsx), what the real
// one did (cancellation.tsx).

import { may } from '../grants.ts'
import { Empty } from '../parts/notice.tsx'
import { useSession } from '../signed-in.tsx'
import { words } from './cancellation-words.ts'
import { DryRun } from './dry-run.tsx'
import { saidIn } from './filter.ts'
import { FilterForm } from './filter-form.tsx'
import { FleetPage } from './fleet-page.tsx'
import { useQuery } from './pager.tsx'
import { words as listWords } from './words.ts'

export const NewCancellation = () => {
  const say = words()
  const { grants } = useSession()
  const { query } = useQuery()
  const dryRunId = query.get('dryRun')
  const isAllowed = may(grants, 'Asset', 'Control')
  return (
    <FleetPage title={say.title} above={{ href: '/fleet?tab=cancellations', text: listWords().cancellations }}>
      {isAllowed && <Steps at={dryRunId === null ? 0 : 1} />}
      {!isAllowed ? (
        <Empty icon="cancel" title={say.denied} hint={say.deniedHint} />
      ) : dryRunId === null ? (
        // Another filter in the address is another form.
        <FilterForm key={query.toString()} said={saidIn(query)} />
      ) : (
        <DryRun key={dryRunId} cancellationId={dryRunId} />
      )}
    </FleetPage>
  )
}

const Steps = ({ at }: { at: number }) => {
  const say = words()
  return (
    <ol class="way" aria-label={say.steps}>
      {say.step.map((name, n) => (
        <li key={name} aria-current={n === at ? 'step' : undefined} class={n < at ? 'past' : ''}>
          <span class="mark" aria-hidden="true">
            {n + 1}
          </span>
          {name}
        </li>
      ))}
    </ol>
  )
}
