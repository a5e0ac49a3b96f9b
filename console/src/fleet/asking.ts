// What these pages ask of the server by the page, since a list with numbers has them; and how often it is asked again. Not here: what is shown of it, and
// whatever the client has a method for.

import type {
  Answer,
  Cancellation,
  CancellationItem,
  Downlink,
  Job,
  StringI18n,
  Task,
  TaskStatus,
} from '@downlink/client'
import { useRef } from 'preact/hooks'
import { type Look, useLook } from '../live.ts'

/** jobs, cancellations or tasks on a page of a list: about a screen and a half, and each job on it is a call for its numbers */
export const PAGE_SIZE = 20
/** tasks on a page */
export const TASKS_PAGE_SIZE = 50
/** items of a cancellation in one answer: the most that the server gives */
const ITEMS_AT_ONCE = 500
/** products that are offered to choose from: the most that the server gives in one answer; others are typed */
const PRODUCTS_MAX = 200

/** ms between two looks at what goes on */
export const GOING_ON_MS = 1_000
/** ms between two looks at what others may change or add to at any time, and hardly do */
export const QUIET_MS = 10_000
/** ms: the longest that a timer can be set to, for what never changes again */
export const NEVER_MS = 2_147_483_647

/** Looks again after as long as what was seen says: each second while something goes on, and hardly ever when it is over. */
export function usePaced<T>(
  ask: (client: Downlink, signal: AbortSignal) => Promise<T>,
  deps: readonly unknown[],
  paceOf: (seen: T) => number,
): Look<T> {
  const paceMs = useRef(GOING_ON_MS)
  return useLook(
    async (client, signal) => {
      const seen = await ask(client, signal)
      paceMs.current = paceOf(seen)
      return seen
    },
    deps,
    {
      get everyMs() {
        return paceMs.current
      },
    },
  )
}

/** ms until the next look at a job. One that is over may be run again by anybody who retries a task of it. */
export const paceOf = ({ status }: Job): number => (status === 'RUNNING' ? GOING_ON_MS : QUIET_MS)

export interface Paged<T> {
  readonly rows: readonly T[]
  /** on all pages */
  readonly total: number
}

const JOBS = '/connect-service/v2.5/commands'

async function searched<T>(
  client: Downlink,
  action: 'searchJob' | 'searchTask',
  expression: string,
  { pageNo, pageSize }: { readonly pageNo: number; readonly pageSize: number },
  signal: AbortSignal,
): Promise<Paged<T>> {
  const body = { expression, pagination: { pageNo, pageSize } }
  const call = { method: 'POST', path: JOBS, query: { action }, body, changes: false, signal } as const
  const { data, fields } = await client.request(call)
  return { rows: data as readonly T[], total: numberAt(fields, 'pagination', 'totalSize') }
}

/** The number in the answer's fields; NaN would be shown as it is, so what is no number counts as nothing. */
function numberAt(fields: Answer['fields'], ...names: readonly string[]): number {
  let at: unknown = fields
  for (const name of names) at = (at as Record<string, unknown> | null | undefined)?.[name]
  return typeof at === 'number' ? at : 0
}

export interface JobQuery {
  readonly status: Job['status'] | null
  /** a part of the name */
  readonly name: string
  readonly pageNo: number
}

export function jobPage(
  client: Downlink,
  { status, name, pageNo }: JobQuery,
  signal: AbortSignal,
): Promise<Paged<Job>> {
  const terms = [
    ...(status === null ? [] : [`status = '${status}'`]),
    // In a search expression a quote within a text is written twice.
    ...(name === '' ? [] : [`name like '${name.replaceAll("'", "''")}'`]),
  ]
  return searched(client, 'searchJob', terms.join(' and '), { pageNo, pageSize: PAGE_SIZE }, signal)
}

export function taskPage(
  client: Downlink,
  jobId: string,
  status: TaskStatus | null,
  pageNo: number,
  signal: AbortSignal,
): Promise<Paged<Task>> {
  const expression = [
    `jobId = '${jobId.replaceAll("'", "''")}'`,
    ...(status === null ? [] : [`status = '${status}'`]),
  ].join(' and ')
  return searched(client, 'searchTask', expression, { pageNo, pageSize: TASKS_PAGE_SIZE }, signal)
}

export async function cancellationPage(
  client: Downlink,
  pageNo: number,
  signal: AbortSignal,
): Promise<Paged<Cancellation>> {
  const query = { offset: (pageNo - 1) * PAGE_SIZE, limit: PAGE_SIZE }
  const { data, fields } = await client.request({ method: 'GET', path: '/v1/cancellations', query, signal })
  return { rows: data as readonly Cancellation[], total: numberAt(fields, 'total') }
}

/** Items of a cancellation after one of them; `next`: where those after these begin, null: there are no more. */
export async function itemsAfter(
  client: Downlink,
  cancellationId: string,
  after: string | null,
  signal: AbortSignal,
): Promise<{ readonly items: readonly CancellationItem[]; readonly next: string | null }> {
  const path = `/v1/cancellations/${encodeURIComponent(cancellationId)}/items`
  const query = { limit: ITEMS_AT_ONCE, ...(after === null ? {} : { after }) }
  const { data, fields } = await client.request({ method: 'GET', path, query, signal })
  const { next } = fields
  return { items: data as readonly CancellationItem[], next: typeof next === 'string' ? next : null }
}

export interface Product {
  readonly productKey: string
  readonly productName: StringI18n
}

/** The products that one may see, to choose from. */
export async function products(client: Downlink, signal: AbortSignal): Promise<readonly Product[]> {
  const body = { pagination: { pageNo: 1, pageSize: PRODUCTS_MAX } }
  const { data } = await client.call('products', 'search', { body, changes: false, signal })
  return data as readonly Product[]
}
