// From one page of a list to the next: links, so that each page has an address. And the values that stand in it.

import { Link, useLocation, useSearch } from 'wouter-preact'
import { Icon } from '../parts/icon.tsx'
import { number } from '../words.ts'
import { words } from './words.ts'

/** The query of the page's address, and what it would be with some of it changed; null: without it. */
export function useQuery(): {
  readonly query: URLSearchParams
  with(changes: Readonly<Record<string, string | null>>): string
} {
  const [path] = useLocation()
  const query = new URLSearchParams(useSearch())
  return {
    query,
    with: changes => {
      const changed = new URLSearchParams(query)
      for (const [name, value] of Object.entries(changes))
        if (value === null) changed.delete(name)
        else changed.set(name, value)
      const text = changed.toString()
      return text === '' ? path : `${path}?${text}`
    },
  }
}

/** The number of a page in the query; 1 where it says none, or nonsense. */
export function pageNoOf(query: URLSearchParams): number {
  const text = query.get('page') ?? ''
  return /^[1-9][0-9]{0,5}$/.test(text) ? Number(text) : 1
}

export const Pager = ({
  pageNo,
  pageSize,
  total,
  hrefOf,
}: {
  pageNo: number
  pageSize: number
  total: number
  hrefOf: (pageNo: number) => string
}) => {
  const say = words()
  const last = Math.max(1, Math.ceil(total / pageSize))
  if (last === 1 && pageNo === 1) return null
  const from = (pageNo - 1) * pageSize + 1
  return (
    <nav class="pager" aria-label={say.pages}>
      <span class="faint">
        {from <= total && say.rows(number(from), number(Math.min(total, from + pageSize - 1)), number(total))}
      </span>
      <span class="gap" />
      {pageNo > 1 && (
        <Link class="button" href={hrefOf(Math.min(pageNo - 1, last))}>
          <Icon name="left" size={14} />
          {say.previous}
        </Link>
      )}
      <span>{say.page(number(pageNo), number(last))}</span>
      {pageNo < last && (
        <Link class="button" href={hrefOf(pageNo + 1)}>
          {say.next}
          <Icon name="right" size={14} />
        </Link>
      )}
    </nav>
  )
}
