// The fuzzers themselves: a few hundred to thousand inputs for each target hold every property; a target that fails is told with all that repeats it.

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { Random } from '../fuzz/random.ts'
import { type Failure, type Figures, makeInput, repeatOf, runTarget } from '../fuzz/run.ts'
import { type Target, Violation } from '../fuzz/target.ts'
import { shares, targets } from '../fuzz/targets.ts'

const root = join(import.meta.dirname, '..')
const inputs: Readonly<Record<string, number>> = { mqtt: 3_000, http: 1_000, expression: 2_000, fleet: 250 }

describe.each(targets.map(target => ({ name: target.name, target })))('$name', ({ name, target }) => {
  it('holds every property', async () => {
    const result = await runTarget(target, { seed: 20_260_314, from: 0, inputs: inputs[name] ?? 0 })
    if ('why' in result)
      expect.fail(`${result.why}\n${repeatOf(result)}\n${JSON.stringify(result.input).slice(0, 2_000)}`)
    expect(result.inputs).toBe(inputs[name])
  })

  it('makes the same inputs from the same seed, and others from another', () => {
    const made = (seed: number) =>
      Array.from({ length: 50 }, (_, index) => JSON.stringify(makeInput(target, seed, index)))
    expect(made(1)).toEqual(made(1))
    expect(made(1)).not.toEqual(made(2))
    expect(new Set(made(1)).size).toBeGreaterThan(40)
  })
})

/** Numbers below 100; fails as `fails` says, knowing all inputs of its block so far. */
const numbers = (fails: (seen: readonly number[]) => string | null): Target<number> => ({
  name: 'numbers',
  share: 1,
  boundMs: 200,
  generate: random => random.below(100),
  open: async () => {
    const seen: number[] = []
    return {
      run: input => {
        seen.push(input)
        const why = fails(seen)
        if (why !== null) throw new Violation(why)
      },
      close: async () => undefined,
    }
  },
})

describe('the runner', () => {
  const failure = async (target: Target<number>, over = {}): Promise<Failure> => {
    const result: Failure | Figures = await runTarget(target, { seed: 3, from: 0, inputs: 400, ...over })
    if (!('why' in result)) throw new Error('it did not fail')
    return result
  }

  it('tells an input that fails alone by itself', async () => {
    const found = await failure(numbers(seen => (seen.at(-1) === 42 ? 'it is 42' : null)))
    expect(found).toMatchObject({ target: 'numbers', seed: 3, input: 42, alone: true, why: 'it is 42' })
    expect(repeatOf(found)).toBe(`npm run fuzz -- --target numbers --seed 3 --from ${found.index} --inputs 1`)
    expect(
      await failure(
        numbers(seen => (seen.at(-1) === 42 ? 'it is 42' : null)),
        { from: found.index, inputs: 1 },
      ),
    ).toMatchObject({ input: 42 })
  })

  it('tells one that needs those before it together with them', async () => {
    const found = await failure(numbers(seen => (seen.length > 7 && seen.at(-1) === 42 ? 'it is 42 again' : null)))
    expect(found).toMatchObject({ input: 42, alone: false })
    expect(repeatOf(found)).toBe(`npm run fuzz -- --target numbers --seed 3 --from 0 --inputs ${found.index + 1}`)
  })

  it('tells what is only seen at the end of a block', async () => {
    const { open, ...rest } = numbers(() => null)
    const broken = async () => ({
      ...(await open()),
      close: async () => Promise.reject(new Violation('something is left')),
    })
    expect(await failure({ ...rest, open: broken })).toMatchObject({
      index: 399,
      why: 'at the end of the block: something is left',
    })
  })

  it('fails an input that takes too long, and an error that nobody meant', async () => {
    const busy = numbers(() => {
      const end = performance.now() + 600
      while (performance.now() < end);
      return null
    })
    expect((await failure(busy)).why).toMatch(/ms of processor time, 200 are allowed/)
    const typo = numbers(() => (undefined as unknown as string).length.toString())
    expect((await failure(typo)).why).toMatch(/^TypeError/)
  })

  it('fails where memory grows without end', async () => {
    const kept: number[][] = []
    const greedy = numbers(() => {
      kept.push(new Array(1_000).fill(kept.length))
      return null
    })
    // A real collection: without one, what other tests of this thread left behind may go while this one grows, and hide it.
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const found = await failure(greedy, { inputs: 20_000, collect })
    expect(found.why).toMatch(/memory has grown by \d+ MB/)
  })
})

describe('chance', () => {
  it('spreads over its range', () => {
    const random = new Random(1, 'x', 0)
    const counts = new Array<number>(10).fill(0)
    for (let i = 0; i < 10_000; i += 1) counts[random.below(10)]! += 1
    for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150)
  })

  it('shares out all inputs', () => {
    const counts = shares(targets, 1_000_000)
    expect([...counts.values()].reduce((sum, count) => sum + count, 0)).toBe(1_000_000)
    for (const { name } of targets) expect(counts.get(name)).toBeGreaterThan(0)
  })
})

describe('the command', () => {
  const fuzz = (...args: string[]) =>
    spawnSync(process.execPath, ['--expose-gc', '--import', 'tsx', 'fuzz/main.ts', ...args], {
      cwd: root,
      encoding: 'utf8',
    })

  it('runs a target to its figures, and refuses what it does not know', () => {
    const good = fuzz('--target', 'expression', '--inputs', '200')
    expect(good.stdout).toMatch(/expression +200 inputs .*\nevery property held: 200 inputs with seed 1/)
    expect(good.status).toBe(0)
    const wrong = fuzz('--target', 'nothing')
    expect(wrong.stderr).toContain('Usage: npm run fuzz')
    expect(wrong.status).toBe(2)
  })
})
