// Everything that a cancellation found, as a file made in the page.

import type { Cancellation, CancellationItem } from '@downlink/client'
import { useState } from 'preact/hooks'
import { useDo } from '../live.ts'
import { Icon } from '../parts/icon.tsx'
import { Problem } from '../parts/problem.tsx'
import { number } from '../words.ts'
import { itemsAfter } from './asking.ts'
import { words } from './cancellation-words.ts'
import { csvOf, keepAsFile } from './csv.ts'

/** lines of a file: what a spreadsheet still opens at once, and about 10 MB */
const LINES_MAX = 100_000

export const CsvButton = ({ cancellation: { cancellationId, matched, dryRun } }: { cancellation: Cancellation }) => {
  const say = words()
  const [count, setCount] = useState(0)
  const [isCut, setCut] = useState(false)
  const download = useDo(async ({ client }) => {
    const { signal } = new AbortController()
    const items: CancellationItem[] = []
    let after: string | null = null
    do {
      const { items: more, next } = await itemsAfter(client, cancellationId, after, signal)
      items.push(...more)
      after = next
      setCount(items.length)
    } while (after !== null && items.length < LINES_MAX)
    setCut(after !== null)
    keepAsFile(`${dryRun ? 'dry-run' : 'cancellation'}-${cancellationId}.csv`, csvOf(items.slice(0, LINES_MAX)))
  })
  if (matched === 0) return null
  return (
    <div class="row">
      {isCut && <span class="faint small">{say.csvCut(number(LINES_MAX))}</span>}
      <button type="button" class="small" onClick={() => download.run()} disabled={download.isBusy}>
        <Icon name="down" size={14} />
        {download.isBusy ? say.collecting(number(count)) : say.csv}
      </button>
      <Problem error={download.error} />
    </div>
  )
}
