// How much of a whole is what: a bar of several parts, and the same in numbers, since not everybody sees the bar. Not here: what the parts are of.

import type { StateName } from '@downlink/client'
import { number } from '../words.ts'

export interface Share {
  /** whose colour it has; `rest`: what is still to come */
  readonly kind: StateName | 'rest'
  readonly count: number
  readonly word: string
}

export const Bar = ({ shares }: { shares: readonly Share[] }) => (
  <div class="bar" aria-hidden="true">
    {shares.map(
      ({ kind, count, word }) => count > 0 && <span key={word} class={`share ${kind}`} style={{ flexGrow: count }} />,
    )}
  </div>
)

/** `● 3 succeeded  ● 1 failed`, without those of which there is none. */
export const Counts = ({ shares, of }: { shares: readonly Share[]; of?: string }) => (
  <ul class="counts">
    {of !== undefined && <li class="faint">{of}</li>}
    {shares
      .filter(({ count }) => count > 0)
      .map(({ kind, count, word }) => (
        <li key={word}>
          <span class={`dot ${kind}`} aria-hidden="true" />
          <b>{number(count)}</b> {word}
        </li>
      ))}
  </ul>
)
