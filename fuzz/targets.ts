// The four things that are fuzzed, by name.

import { expressionTarget } from './expression.ts'
import { fleetTarget } from './fleet.ts'
import { httpTarget } from './http.ts'
import { mqttTarget } from './mqtt.ts'
import type { Target } from './target.ts'

/** A target whatever its inputs are: nothing but the target itself looks into them. */
export type AnyTarget = Target<unknown>

/** What one target makes and prints it takes again, so its inputs may be kept as anything by whoever only passes them on. */
const hidden = <I>(target: Target<I>): AnyTarget => target as unknown as AnyTarget

export const targets: readonly AnyTarget[] = [
  hidden(mqttTarget),
  hidden(httpTarget),
  hidden(expressionTarget),
  hidden(fleetTarget),
]

/** How many of all inputs each of these targets gets: by its share, none fewer than one. */
export function shares(of: readonly AnyTarget[], inputs: number): ReadonlyMap<string, number> {
  const total = of.reduce((sum, { share }) => sum + share, 0)
  const counts = of.map(({ name, share }): [string, number] => [
    name,
    Math.max(1, Math.floor((inputs * share) / total)),
  ])
  const [first] = counts
  const rest = inputs - counts.reduce((sum, [, count]) => sum + count, 0)
  if (first !== undefined) first[1] = Math.max(1, first[1] + rest)
  return new Map(counts)
}
