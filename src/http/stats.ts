// How many devices and commands there are, and how much happened over time: GET /v1/stats. Not here: the counting (store/), each device and command (views.ts).

import Type from 'typebox'
import { State, stateName } from '../core/command.ts'
import { errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import { STATS_CACHED_MAX, STATS_FRESH_MS, STATS_STEPS_MAX } from '../core/limits.ts'
import { type Need, reachOf } from '../fleet/grants.ts'
import type { Reach } from '../store/stream.ts'
import type { Counts, Tally } from '../store/views.ts'
import { type Call, type Route, route } from './action.ts'
import { unknownIn } from './events.ts'
import { failure, ok } from './wire.ts'

const READ: Need = { resource: 'Asset', action: 'Read' }
const NOTHING: Reach = { productKeys: [], assetIds: [] }
const Instant = Type.Union([Type.Integer(), Type.Null()], { description: 'epoch ms; null: there is none' })

const MINUTE_MS = 60_000
const outcomes = ['accepted', 'sent', 'succeeded', 'failed', 'timedOut', 'cancelled', 'expired'] as const
type Outcome = (typeof outcomes)[number]
type Sums = Record<Outcome, number>

const noSums = (): Sums => ({ accepted: 0, sent: 0, succeeded: 0, failed: 0, timedOut: 0, cancelled: 0, expired: 0 })

/** One that fails the moment it is accepted counts as both. One that was not sent after all, and waits again, counts as neither. */
function add(sums: Sums, { from, to, n }: Tally): void {
  if (from === null) sums.accepted += n
  if (to === State.created) return
  sums[stateName[to] as Exclude<Outcome, 'accepted'>] += n
}

const SumsView = Type.Object(Object.fromEntries(outcomes.map(outcome => [outcome, Type.Integer()])))

export const stats: Route = route({
  method: 'GET',
  path: '/v1/stats',
  tag: 'Views',
  operationId: 'viewStats',
  summary: 'How many devices and commands there are now, and what happened over time',
  description: `\`now\` is at most ${STATS_FRESH_MS / 1_000} s old. \`series\` has the transitions of each step from \`from\` (inclusive) to \`to\`, by whole minutes; \`total\` is their sum, \`perSecond\` the mean rate. Kept for as long as final commands. Needs a grant for all, or for whole products.`,
  needs: READ,
  parameters: Type.Object({
    productKey: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
    from: Type.Optional(Type.Integer({ minimum: 0, description: 'epoch ms; default: an hour before `to`' })),
    to: Type.Optional(Type.Integer({ minimum: 0, description: 'epoch ms; default: now' })),
    stepS: Type.Optional(Type.Integer({ minimum: 60, multipleOf: 60, maximum: 86_400, default: 60 })),
  }),
  data: Type.Object({
    now: Type.Object({
      at: Type.Integer(),
      devices: Type.Integer(),
      online: Type.Integer(),
      disabled: Type.Integer(),
      inactive: Type.Integer(),
      offline: Type.Integer(),
      waiting: Type.Integer(),
      inFlight: Type.Integer(),
      oldestWaitingAt: Instant,
    }),
    from: Type.Integer(),
    to: Type.Integer(),
    stepS: Type.Integer(),
    total: SumsView,
    perSecond: Type.Object(Object.fromEntries(outcomes.map(outcome => [outcome, Type.Number()]))),
    series: Type.Array(Type.Object({ at: Type.Integer(), ...SumsView.properties })),
  }),
  codes: ['productNotFound'],
  examples: [
    { summary: 'The last hour' },
    { summary: 'A product that does not exist', query: { productKey: 'nothing' }, code: errors.productNotFound.code },
    { summary: 'A step that is no whole minute', query: { stepS: '90' }, code: errors.invalidArgument.code },
  ],
  run: async call => {
    const { productKey, stepS = 60 } = call.parameters
    const productKeys = wholeProducts(call, productKey)
    if (productKeys !== null && 'ok' in productKeys) return failure(productKeys)
    const unknown = productKey === undefined ? null : await unknownIn(call, { productKey })
    if (unknown !== null) return failure(unknown)
    const to = call.parameters.to ?? call.clock.now()
    const from = Math.floor((call.parameters.from ?? to - 3_600_000) / MINUTE_MS) * MINUTE_MS
    const steps = Math.ceil((to - from) / (stepS * 1_000))
    if (to <= from) return failure(invalid('to', 'must be after from'))
    if (steps > STATS_STEPS_MAX)
      return failure(
        invalid(
          'stepS',
          `gives ${steps} steps, and there may be ${STATS_STEPS_MAX}: take longer steps, or a shorter range`,
        ),
      )
    const tallies = await call.store.tallies(call.orgId, productKeys, from, to, stepS * 1_000)
    const total = noSums()
    const series = Array.from({ length: steps }, (_, n) => ({ at: from + n * stepS * 1_000, ...noSums() }))
    for (const tally of tallies) {
      add(total, tally)
      const step = series[Math.floor((tally.at - from) / (stepS * 1_000))]
      if (step !== undefined) add(step, tally)
    }
    const seconds = (to - from) / 1_000
    const perSecond = Object.fromEntries(outcomes.map(outcome => [outcome, total[outcome] / seconds]))
    return ok({ now: await countsNow(call, productKeys), from, to, stepS, total, perSecond, series })
  },
})

/** The products that the caller sees the whole of, or the one that is asked for; null: all there are. */
function wholeProducts(call: Call, productKey: string | undefined): readonly string[] | Refusal | null {
  const seen = reachOf(call.application, READ) ?? NOTHING
  if (seen === 'all') return productKey === undefined ? null : [productKey]
  const keys = seen.productKeys.filter(key => productKey === undefined || key === productKey)
  return keys.length > 0
    ? keys
    : refuse(errors.denied, 'Denied resource:  stats need a grant to Read for all, or for whole products')
}

interface Counted extends Counts {
  readonly at: number
}
const counted = new WeakMap<object, Map<string, Promise<Counted>>>()

/** Asked for by many who look at once, so one look serves all of them for a moment. */
async function countsNow({ store, clock, orgId }: Call, productKeys: readonly string[] | null) {
  const kept = counted.get(store) ?? new Map<string, Promise<Counted>>()
  counted.set(store, kept)
  const key = JSON.stringify([orgId, productKeys])
  const before = await kept.get(key)
  const now = clock.now()
  const isFresh = before !== undefined && now - before.at < STATS_FRESH_MS && now >= before.at
  const looked = isFresh ? before : await look()
  const { devices, online, disabled, inactive } = looked
  return { ...looked, offline: devices - online - disabled - inactive }

  function look(): Promise<Counted> {
    const counts = store.counts(orgId, productKeys).then(found => ({ at: now, ...found }))
    kept.delete(key)
    kept.set(key, counts)
    const oldest = kept.keys().next().value
    if (kept.size > STATS_CACHED_MAX && oldest !== undefined) kept.delete(oldest)
    // One that fails is asked again by the next.
    counts.catch(() => kept.delete(key))
    return counts
  }
}
