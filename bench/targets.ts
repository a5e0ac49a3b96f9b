// What was aimed at on two cores that the load shares, on SQLite with fsync, and what a run came to. A target that is missed is reported as missed.
// Pure. Not here: how it was measured (scenarios/).

import { median, shown } from './rig/figures.ts'
import type { Results, RowResult, Target } from './rig/report.ts'
import type { Figures } from './rig/scenario.ts'

type Find = (scenario: string, row: string) => RowResult | null

/** The median of a figure; null where it was not measured. */
const of = (row: RowResult | null, value: (figures: Figures) => number | undefined): number | null => {
  const values = (row?.rounds ?? []).map(value).filter(found => found !== undefined)
  return values.length === 0 ? null : median(values)
}

const rate = (row: RowResult | null): number | null => of(row, ({ perSecond }) => perSecond)

/** At least so many times what the other row does. */
function faster(what: string, least: number, ours: RowResult | null, theirs: RowResult | null, whose: string): Target {
  const [mine, other] = [rate(ours), rate(theirs)]
  const atLeast = `${least} × ${whose}`
  if (mine === null || other === null) return { what, atLeast, found: null, isMet: false }
  const factor = mine / other
  return {
    what,
    atLeast,
    found: `${factor.toFixed(2)} × (${shown(mine)} and ${shown(other)} a second)`,
    isMet: factor >= least,
  }
}

export function targetsOf(results: Results): Target[] {
  const find: Find = (scenario, row) =>
    results.scenarios.find(({ name }) => name === scenario)?.rows.find(({ name }) => name === row) ?? null
  const ours = (scenario: string): RowResult | null => find(scenario, 'Downlink')
  return [faster('durable accept', 0.6, ours('accept'), find('accept', 'bare route'), 'the same route with no store')]
}
