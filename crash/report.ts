// What a run prints when it is over: what was found wrong, the counts that must be 0, and how much was done. Not here: figures of one kind of run alone.

import { type Fault, faultNames, type Totals } from './ledger.ts'

const EXPLAINED_MAX = 20

export interface Findings {
  readonly faults: Readonly<Record<Fault, number>>
  readonly explained: readonly string[]
  readonly totals: { readonly direct: Totals; readonly behindGateways: Totals }
}

/** How many of the counts are not 0. */
export function reportFindings({ faults, explained, totals }: Findings, print: (line: string) => void): number {
  for (const line of explained.slice(0, EXPLAINED_MAX)) print(`  ${line}`)
  if (explained.length > EXPLAINED_MAX) print(`  and ${explained.length - EXPLAINED_MAX} more`)
  const counts = Object.entries(faultNames) as [Fault, string][]
  for (const [fault, name] of counts) print(`${String(faults[fault]).padStart(7)}  ${name}`)
  print(totalsOf('direct', totals.direct))
  print(totalsOf('behind gateways', totals.behindGateways))
  return counts.filter(([fault]) => faults[fault] !== 0).length
}

function totalsOf(kind: string, totals: Totals): string {
  const { devices, logins, logouts, accepted, cancelled, delivered, instantAnswered, timedOut } = totals
  const calls = `accepted ${accepted}, cancelled ${cancelled}, delivered ${delivered}, instant answered ${instantAnswered}`
  const lost = `without an answer ${totals.unanswered}, of which ${totals.unansweredDone} were carried out`
  return `${kind} (${devices}): ${calls}, timed out ${timedOut}; ${lost}; logins ${logins}, logouts ${logouts}`
}

/** The last line; the exit code. */
export function reportEnd(bad: number, from: number, print: (line: string) => void): number {
  const seconds = ((performance.now() - from) / 1_000).toFixed(0)
  print(`${bad === 0 ? 'as it should be' : 'NOT as it should be'}, after ${seconds} s`)
  return bad === 0 ? 0 : 1
}
