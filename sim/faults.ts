// What goes wrong in one world: drawn once from its seed, so that a seed tries a few faults hard rather than all of them a little.

import type { Random } from './random.ts'
import type { SignalFaults } from './signals.ts'

/** Chances per occasion, or weights among each other; 0 = this world does not have it. */
export interface Faults {
  /** chance that a packet takes seconds instead of milliseconds */
  readonly slowNetwork: number
  /** chance that a closed connection is noticed by the other side only much later */
  readonly lateNotice: number
  /** chance that a store call takes its time while inputs pile up */
  readonly slowStore: number
  /** weights of what strikes from outside */
  readonly strikes: Readonly<Record<Strike, number>>
  /** ms; the longest step back of the wall clock at a restart */
  readonly stepBackMs: number
  /** ms that final records are kept */
  readonly retentionMs: number
  readonly queueCap: number
  /** gateways in this world */
  readonly gateways: number
  /** every look at the store's clock is wrong, by nearly as much as may be, and of one node in the other direction than of the next */
  readonly farApart: boolean
  /** what signals between nodes suffer */
  readonly signals: SignalFaults
  /** whether a device that is active may ask for its secret again */
  readonly reactivation: 'strict' | 'lenient'
}

export const strikes = [
  'half-open',
  'drop',
  'stall',
  'crash',
  'stop',
  'commit fails',
  'read fails',
  'clock jump',
  'fleet edit',
  'disable',
  'delete',
  'move',
  'pause',
  'sleep',
  'cut off from the store',
  'cut off from signals',
] as const
export type Strike = (typeof strikes)[number]

const DAY_MS = 86_400_000

/** nodes: some faults are only where several share the store. */
export function drawFaults(random: Random, nodes: number): Faults {
  const some = (value: number): number => (random.chance(0.6) ? value : 0)
  return {
    slowNetwork: some(0.05),
    lateNotice: some(0.4),
    slowStore: random.pick([0.1, 0.4, 0.8]),
    strikes: {
      'half-open': some(3),
      drop: some(3),
      stall: some(3),
      crash: some(2),
      stop: some(1),
      'commit fails': some(2),
      'read fails': some(2),
      'clock jump': some(1),
      'fleet edit': some(2),
      disable: some(0.5),
      delete: random.chance(0.3) ? 0.3 : 0,
      move: some(3),
      pause: nodes > 1 ? some(1.5) : 0,
      sleep: nodes > 1 ? some(0.7) : 0,
      'cut off from the store': nodes > 1 ? some(1.5) : 0,
      'cut off from signals': nodes > 1 ? some(1) : 0,
    },
    stepBackMs: random.pick([0, 0, 5_000, 60_000, 3_600_000]),
    // A node may be out for a minute or two with callers waiting: what they wait for must be on record for longer.
    retentionMs: random.pick([7 * DAY_MS, 7 * DAY_MS, nodes > 1 ? 600_000 : 60_000]),
    queueCap: random.pick([1, 3, 3, 8, 50]),
    gateways: random.pick([0, 0, 1, 2, 2]),
    reactivation: random.pick(['strict', 'lenient']),
    farApart: nodes > 1 && random.chance(0.4),
    signals: drawSignals(random, nodes),
  }
}

function drawSignals(random: Random, nodes: number): SignalFaults {
  if (nodes === 1) return { none: false, lost: 0, doubled: 0, late: 0 }
  const [lost, doubled, late] = [random.pick([0, 0.05, 0.5]), random.pick([0, 0.1]), random.pick([0, 0.1])]
  return { none: random.chance(0.25), lost, doubled, late }
}

/** For the first line of a run. */
export function describeFaults(faults: Faults): string {
  const on = strikes.filter(strike => faults.strikes[strike] > 0)
  const { slowNetwork, lateNotice, slowStore, stepBackMs, retentionMs, queueCap, gateways, signals, farApart } = faults
  const network = [slowNetwork > 0 ? 'slow network' : '', lateNotice > 0 ? 'late notice' : ''].filter(Boolean)
  const figures = `slow store ${slowStore}, step back ${stepBackMs} ms, retention ${retentionMs} ms, cap ${queueCap}, gateways ${gateways}`
  const air = [signals.none ? 'no signals' : '', farApart ? 'clocks far apart' : ''].filter(Boolean)
  return `faults: ${[...on, ...network, ...air].join(', ') || 'none'}; ${figures}`
}
