// The simulator on a few seeds of each store, so that every test run goes through crashes, faults and hostile devices once. `npm run sim` has the rest.

import { describe, expect, it } from 'vitest'
import { type RunResult, runSeed } from '../sim/run.ts'

const SEEDS = 10
const STEPS = 600

/** What went wrong, with the lines that lead to it, so that a failing test tells its story. */
const told = ({ failure, trace }: RunResult): string =>
  failure === undefined ? 'ok' : [...trace.slice(-40), `invariant ${failure.invariant}: ${failure.detail}`].join('\n')

describe.each(['memory', 'sqlite'] as const)('on %s', store => {
  it(`${SEEDS} worlds keep every promise, and are the same the second time`, async () => {
    const seen = new Map<string, number>()
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const result = await runSeed({ seed, steps: STEPS, store })
      expect(told(result), `repeat: npm run sim -- --seed ${seed} --steps ${STEPS} --store ${store}`).toBe('ok')
      for (const [what, times] of result.coverage) seen.set(what, (seen.get(what) ?? 0) + times)
    }
    // A simulator in which nothing happens keeps every promise.
    for (const what of [
      'published',
      'cancel succeeds',
      'session takeover',
      'event sent > timedOut (timeout)',
      'stale device',
      'sub-device gets a command',
      'command is held',
      'session evicted, disabled',
      'gateway goes with commands of several devices on their way',
    ])
      expect(seen.get(what) ?? 0, what).toBeGreaterThan(0)
    expect([...seen.keys()].filter(what => what.startsWith('crash ')).length).toBeGreaterThan(1)
  })
})
