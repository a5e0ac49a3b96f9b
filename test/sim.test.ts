// The simulator on a few seeds of each store, and on a few with several nodes, so that every test run goes through crashes, faults and hostile devices once.
// `npm run sim` has the rest.

import { describe, expect, it } from 'vitest'
import { type RunOptions, type RunResult, runSeed } from '../sim/run.ts'
import { unseen } from '../sim/seen.ts'

const SEEDS = 10
const STEPS = 600

/** What went wrong, with the lines that lead to it, so that a failing test tells its story. */
const told = ({ failure, trace }: RunResult): string =>
  failure === undefined ? 'ok' : [...trace.slice(-40), `invariant ${failure.invariant}: ${failure.detail}`].join('\n')

/** Runs worlds from seed 1 on, and returns how often each thing happened in all of them. */
async function worlds(count: number, options: Omit<RunOptions, 'seed'>): Promise<ReadonlyMap<string, number>> {
  const seen = new Map<string, number>()
  const { steps, store, nodes = 1 } = options
  for (let seed = 1; seed <= count; seed += 1) {
    const result = await runSeed({ seed, ...options })
    const repeat = `repeat: npm run sim -- --seed ${seed} --steps ${steps} --store ${store} --nodes ${nodes}`
    expect(told(result), repeat).toBe('ok')
    for (const [what, times] of result.coverage) seen.set(what, (seen.get(what) ?? 0) + times)
  }
  return seen
}

describe.each(['memory', 'sqlite'] as const)('on %s', store => {
  it(`${SEEDS} worlds keep every promise, and are the same the second time`, async () => {
    const seen = await worlds(SEEDS, { steps: STEPS, store })
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
      'call answered as a repeat, open',
      'call answered as a repeat, over',
      'call refused 99409',
      'change followed',
    ])
      expect(seen.get(what) ?? 0, what).toBeGreaterThan(0)
    expect([...seen.keys()].filter(what => what.startsWith('crash ')).length).toBeGreaterThan(1)
  })
})

describe('with three nodes', () => {
  it(`${SEEDS} worlds keep every promise, and are the same the second time`, async () => {
    const seen = await worlds(SEEDS, { steps: 3 * STEPS, store: 'memory', nodes: 3 })
    for (const what of [
      'published',
      'session takeover',
      'fault pause',
      'fault sleep',
      'fault cut off from the store',
      'fault cut off from signals',
      'fault signal dropped, as all are',
      'fault store cannot be reached',
      'clocks of nodes far apart',
      'signal heard',
      'settlement by another node',
      'node number taken over',
      'life of a node ended',
      'call answered as a repeat, over',
      'event placed',
    ])
      expect(seen.get(what) ?? 0, what).toBeGreaterThan(0)
  })

  it('needs a store that processes can share', async () => {
    await expect(runSeed({ seed: 1, steps: 1, store: 'sqlite', nodes: 2 })).rejects.toThrow(/memory/)
  })
})

describe('a long run', () => {
  it('fails where a kind of fault has never struck', () => {
    expect(unseen(new Map(), 3)).toContain('fault sleep')
    expect(unseen(new Map(), 1)).not.toContain('fault sleep')
    expect(unseen(new Map([['published', 1]]), 1)).not.toContain('published')
  })
})
