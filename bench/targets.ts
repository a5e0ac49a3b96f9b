// What was aimed at on two cores that the load shares, on SQLite with fsync, and what a run came to. A target that is missed is reported as missed.
// Pure. Not here: how it was measured (scenarios/).

import { PLAIN_MQTT, RAW_ECHO } from './contenders/mqtt-baselines.ts'
import { LOOP_NAME } from './contenders/sqlite-loop.ts'
import { median, shown } from './rig/figures.ts'
import type { Results, RowResult, Target } from './rig/report.ts'
import type { Figures } from './rig/scenario.ts'
import { figureOf, VERBS } from './scenarios/growth.ts'

type Find = (scenario: string, row: string) => RowResult | null

const OURS = 'Downlink'
/** stored commands at which the target for growth holds, and those that it is measured against */
const [GROWN, SMALL] = [2_000_000, 10_000]
const ECHO_MS = 1.5
const IDLE_KIB = 12
const RESTART_MS = 3_000
const EVENT_LOOP_MS = 10

/** The median of a figure; null where it was not measured. */
const of = (row: RowResult | null, value: (figures: Figures) => number | undefined): number | null => {
  const values = (row?.rounds ?? []).map(value).filter(found => found !== undefined)
  return values.length === 0 ? null : median(values)
}

const rate = (row: RowResult | null): number | null => of(row, ({ perSecond }) => perSecond)
const p50 = (row: RowResult | null): number | null => of(row, ({ p50Ms }) => p50Ms)
const more = (row: RowResult | null, name: string): number | null => of(row, ({ more }) => more?.[name])

const unknown = (what: string, atLeast: string): Target => ({ what, atLeast, found: null, isMet: false })

/** At least so many times what the other row does. */
function faster(what: string, least: number, ours: RowResult | null, theirs: RowResult | null, whose: string): Target {
  const [mine, other] = [rate(ours), rate(theirs)]
  const atLeast = least === 1 ? `ahead of ${whose}` : `${least} × ${whose}`
  if (mine === null || other === null) return unknown(what, atLeast)
  const factor = mine / other
  return {
    what,
    atLeast,
    found: `${factor.toFixed(2)} × (${shown(mine)} and ${shown(other)} a second)`,
    isMet: factor >= least,
  }
}

/** At most so much. */
function within(what: string, most: number, unit: string, found: number | null): Target {
  const target = unknown(what, `at most ${shown(most)} ${unit}`)
  return found === null ? target : { ...target, found: `${shown(found)} ${unit}`, isMet: found <= most }
}

function nearEcho(ours: RowResult | null, echo: RowResult | null): Target {
  const target = unknown(
    'instant round trip, 1 outstanding, p50',
    `within ${ECHO_MS} ms of the raw echo and two fsyncs`,
  )
  const [mine, bare, fsyncs] = [p50(ours), p50(echo), more(echo, 'twoFsyncsMs')]
  if (mine === null || bare === null || fsyncs === null) return target
  const above = mine - bare - fsyncs
  const parts = `${shown(mine)} ms; echo ${shown(bare)}, fsyncs ${shown(fsyncs)}`
  return { ...target, found: `${above.toFixed(2)} ms above them (${parts})`, isMet: above <= ECHO_MS }
}

/** What is kept of the rate at a small size, beside what the loop keeps of its own. */
function keeps(verb: (typeof VERBS)[number], ours: RowResult | null, loop: RowResult | null): Target {
  const kept = (row: RowResult | null): number | null => {
    const [small, grown] = [SMALL, GROWN].map(size => more(row, figureOf(verb, size)))
    return small == null || grown == null ? null : grown / small
  }
  const what = `growth to ${GROWN.toLocaleString('en-US')} stored commands, ${verb}`
  const target = unknown(what, `0.8 × what the ${LOOP_NAME} keeps`)
  const [mine, theirs] = [kept(ours), kept(loop)]
  if (mine === null || theirs === null) return target
  const factor = mine / theirs
  const parts = `${mine.toFixed(2)} and ${theirs.toFixed(2)} of the rate at ${SMALL.toLocaleString('en-US')}`
  return { ...target, found: `${factor.toFixed(2)} × (${parts})`, isMet: factor >= 0.8 }
}

export function targetsOf(results: Results): Target[] {
  const find: Find = (scenario, row) =>
    results.scenarios.find(({ name }) => name === scenario)?.rows.find(({ name }) => name === row) ?? null
  const ahead = (what: string, least: number, scenario: string, other: string, whose = other): Target =>
    faster(what, least, find(scenario, OURS), find(scenario, other), whose)
  const growth = VERBS.map(verb => keeps(verb, find('growth', OURS), find('growth', LOOP_NAME)))
  const restart = find('restart', OURS)
  return [
    ahead('durable accept', 0.6, 'accept', 'bare route', 'the same route with no store'),
    ahead('durable accept', 4, 'accept', 'pg-boss'),
    ahead('durable accept', 4, 'accept', 'pg-boss in batches'),
    ahead('durable accept', 1, 'accept', 'BullMQ'),
    ahead('instant round trip, 64 outstanding', 0.5, 'instant-64', PLAIN_MQTT),
    nearEcho(find('instant-1', OURS), find('instant-1', RAW_ECHO)),
    ahead('cancel all of 50', 0.3, 'cancel-all', LOOP_NAME, `the ${LOOP_NAME}`),
    ahead('cancel one', 2, 'cancel-one', 'pg-boss'),
    ahead('reconnect storm', 1, 'storm', 'BullMQ'),
    ahead('reconnect storm', 1, 'storm', 'pg-boss'),
    ahead('reconnect storm', 0.5, 'storm', 'Mosquitto', 'Mosquitto’s own offline drain'),
    within('idle device, resident', IDLE_KIB, 'KiB', more(find('idle', OURS), 'residentKibEach')),
    ...growth,
    within('restart with 1,000,000 waiting', RESTART_MS, 'ms', more(restart, 'afterKillMs')),
    within('event loop p99 at 70 % of the peak', EVENT_LOOP_MS, 'ms', more(find('event-loop', OURS), 'eventLoopP99Ms')),
  ]
}
