// Jobs, the newest first, with how far each is. Not here: one job (job.tsx).

import { codes, type Downlink, DownlinkError, type Job, type JobStatistics } from '@downlink/client'
import { useRef, useState } from 'preact/hooks'
import { Link, useLocation } from 'wouter-preact'
import { Empty, Seen } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { Age } from '../parts/time.tsx'
import { Who } from '../parts/who.tsx'
import { nameOf, number } from '../words.ts'
import { GOING_ON_MS, type JobQuery, jobPage, PAGE_SIZE, type Paged, QUIET_MS, usePaced } from './asking.ts'
import { JobStatusBadge } from './job-status.tsx'
import { Pager, pageNoOf, useQuery } from './pager.tsx'
import { Bar, Counts } from './shares.tsx'
import { sharesOf } from './statuses.ts'
import { words } from './words.ts'

type Row = Job & { readonly statistics: JobStatistics }

const jobStatuses = ['SCHEDULED', 'RUNNING', 'ENDED'] as const

export const JobsList = () => {
  const { query } = useQuery()
  const status = jobStatuses.find(status => status === query.get('status')) ?? null
  const name = query.get('name') ?? ''
  const pageNo = pageNoOf(query)
  const known = useRef(new Map<string, JobStatistics>())
  const look = usePaced(
    (client, signal) => jobsWithNumbers(client, { status, name, pageNo }, known.current, signal),
    [status, name, pageNo],
    ({ rows }) => (rows.some(({ status }) => status === 'RUNNING') ? GOING_ON_MS : QUIET_MS),
  )
  return (
    <Card class="fleet-list">
      <Choice key={name} status={status} name={name} />
      <Seen look={look}>
        {jobs => (jobs.rows.length === 0 ? <NoJobs isAll={status === null && name === ''} /> : <Jobs jobs={jobs} />)}
      </Seen>
    </Card>
  )
}

/** The numbers of a job that was over, and still is as it was, are not asked for again. */
async function jobsWithNumbers(
  client: Downlink,
  query: JobQuery,
  known: Map<string, JobStatistics>,
  signal: AbortSignal,
): Promise<Paged<Row>> {
  const { rows, total } = await jobPage(client, query, signal)
  const keyOf = ({ jobId, endTimestamp }: Job) => `${jobId} ${endTimestamp}`
  const all = await Promise.all(
    rows.map(async job => {
      const kept = job.status === 'ENDED' ? known.get(keyOf(job)) : undefined
      return { ...job, statistics: kept ?? (await client.jobs.statistics(job.jobId, { signal }).catch(gone)) }
    }),
  )
  known.clear()
  for (const job of all) if (job.statistics !== null) known.set(keyOf(job), job.statistics)
  return { rows: all.flatMap(job => (job.statistics === null ? [] : [{ ...job, statistics: job.statistics }])), total }
}

/** One that was deleted since the list was read is not shown. */
function gone(error: unknown): null {
  if (error instanceof DownlinkError && error.code === codes.notFound) return null
  throw error
}

/** Which of them: in the address, so that it is there again with the page. */
const Choice = ({ status, name }: { status: Job['status'] | null; name: string }) => {
  const say = words()
  const { with: where } = useQuery()
  const [, go] = useLocation()
  const [text, setText] = useState(name)
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    go(where({ name: text.trim() === '' ? null : text.trim(), page: null }))
  }
  return (
    <form class="choices" onSubmit={submit}>
      <input
        type="search"
        aria-label={say.search}
        placeholder={say.search}
        value={text}
        onInput={event => {
          const { value } = event.currentTarget
          setText(value)
          if (value === '' && name !== '') go(where({ name: null, page: null }))
        }}
        maxLength={100}
        spellcheck={false}
        autocomplete="off"
      />
      <select
        aria-label={say.status}
        value={status ?? ''}
        onChange={event => go(where({ status: event.currentTarget.value || null, page: null }))}
      >
        <option value="">{say.allStatuses}</option>
        {jobStatuses.map(status => (
          <option key={status} value={status}>
            {say.jobStatus[status]}
          </option>
        ))}
      </select>
    </form>
  )
}

const NoJobs = ({ isAll }: { isAll: boolean }) => {
  const say = words()
  if (!isAll)
    return (
      <Empty
        icon="search"
        title={say.noJobsFound}
        hint={
          <Link class="button" href="/fleet?tab=jobs">
            {say.showAll}
          </Link>
        }
      />
    )
  return (
    <Empty
      icon="fleet"
      title={say.noJobs}
      hint={
        <div class="how">
          <p>{say.noJobsHint}</p>
          <pre class="value">{EXAMPLE}</pre>
        </div>
      }
    />
  )
}

/** How a job is made, with the client; as code, it is the same in every language. */
const EXAMPLE = `await downlink.jobs.create({
  name: { defaultValue: 'Reboot all pumps', i18nValue: {} },
  desc: '',
  targetScope: { targetType: 'product_key', targetDevices: [{ productKey }] },
  commandInfo: {
    commandType: 'SERVICE_INVOKE',
    serviceInvokeInfo: { serviceId: 'reboot', inputData: {} },
  },
  schedulePolicy: { scheduleType: 'DISPOSABLE' },
  timeoutPolicy: { ttlTimeoutInSeconds: 3600 },
})`

const Jobs = ({ jobs: { rows, total } }: { jobs: Paged<Row> }) => {
  const say = words()
  const { query, with: where } = useQuery()
  return (
    <>
      <div class="scroll-x">
        <table class="fleet-table">
          <thead>
            <tr>
              <th scope="col">{say.job}</th>
              <th scope="col">{say.status}</th>
              <th scope="col">{say.progress}</th>
              <th scope="col">{say.by}</th>
              <th scope="col">{say.created}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(job => (
              <JobLine key={job.jobId} job={job} />
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

const JobLine = ({ job }: { job: Row }) => {
  const say = words()
  const { jobId, status, statistics, createBy, createTimestamp } = job
  const shares = sharesOf(statistics)
  return (
    <tr>
      <th scope="row" class="row-head">
        <Link class="row-name" href={`/fleet/jobs/${jobId}`} title={nameOf(job.name)}>
          {nameOf(job.name) || jobId}
        </Link>
      </th>
      <td>
        <JobStatusBadge status={status} />
      </td>
      <td class="shares">
        <Bar shares={shares} />
        {statistics.total === 0 ? (
          <span class="faint small">{say.noTasks}</span>
        ) : (
          <div class="small">
            <Counts shares={shares} of={say.taskCount(number(statistics.total), statistics.total === 1)} />
          </div>
        )}
      </td>
      <td>
        <Who by={createBy} />
      </td>
      <td class="when">
        <Age at={createTimestamp} isAgo />
      </td>
    </tr>
  )
}
