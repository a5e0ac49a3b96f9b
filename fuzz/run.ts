// Runs a target: makes its inputs, holds each to its bounds, and says how to repeat the one that failed. Not here: what is fuzzed, the command line,
// and inputs that never come back, which only another process can see (main.ts).

import { memoryUsage } from 'node:process'
import { Random } from './random.ts'
import { type Block, type Target, Violation } from './target.ts'

/** inputs that share what they act on; a failure can depend on nothing older */
export const BLOCK_INPUTS = 5_000

export interface RunOptions {
  readonly seed: number
  /** index of the first input; a block begins there */
  readonly from: number
  readonly inputs: number
  /** Called before each input, with its index. */
  readonly onInput?: (index: number) => void
  /** Called at the end of each block, with the inputs done so far. */
  readonly onBlock?: (done: number) => void
  /** Collects garbage; without it memory is not looked at. */
  readonly collect?: () => void
}

export interface Failure {
  readonly target: string
  readonly seed: number
  readonly index: number
  /** first input of the block that it failed in */
  readonly from: number
  /** the input alone is enough; otherwise it needs those of its block before it */
  readonly alone: boolean
  readonly input: unknown
  readonly why: string
}

export interface Figures {
  readonly inputs: number
  readonly seconds: number
  /** s of processor time, of the whole process: on a machine with other work it says more than the clock */
  readonly processorSeconds: number
  readonly slowestMs: number
  readonly slowestIndex: number
  /** growth over the run, after collection; 0 where it was not looked at */
  readonly heapMb: number
  readonly rssMb: number
}

/** MB that heap and resident memory may grow by between the end of the first block and any later one: what caches keep, and what malloc does not give back */
export const HEAP_GROWTH_MAX_MB = 48
export const RSS_GROWTH_MAX_MB = 384

const MB = 1_048_576

export const makeInput = <I>(target: Target<I>, seed: number, index: number): I =>
  target.generate(new Random(seed, target.name, index))

/** Returns the first failure, or the figures of a run without one. */
export async function runTarget<I>(target: Target<I>, options: RunOptions): Promise<Failure | Figures> {
  const { seed, from, inputs, onBlock, collect } = options
  const startedAt = performance.now()
  const usedBefore = process.cpuUsage()
  const memory = new Memory(collect)
  const slowest = { ms: 0, index: from }
  for (let done = 0; done < inputs; done += BLOCK_INPUTS) {
    const block = { from: from + done, count: Math.min(BLOCK_INPUTS, inputs - done) }
    const failed = (await runBlock(target, seed, block, slowest, options.onInput)) ?? (await memory.look())
    if (failed !== null) return describe(target, seed, block, failed)
    onBlock?.(done + block.count)
  }
  const seconds = (performance.now() - startedAt) / 1_000
  const used = process.cpuUsage(usedBefore)
  const processorSeconds = (used.user + used.system) / 1_000_000
  return { inputs, seconds, processorSeconds, slowestMs: slowest.ms, slowestIndex: slowest.index, ...memory.growth }
}

interface Failed {
  /** null: only seen at the end of the block */
  readonly index: number | null
  readonly error: unknown
}

async function runBlock<I>(
  target: Target<I>,
  seed: number,
  { from, count }: { from: number; count: number },
  slowest: { ms: number; index: number },
  onInput?: (index: number) => void,
): Promise<Failed | null> {
  const block = await target.open()
  for (let index = from; index < from + count; index += 1) {
    onInput?.(index)
    const failed = await runInput(target, block, makeInput(target, seed, index), index, slowest)
    if (failed !== null) {
      // It has failed already: what its end says as well would only hide why.
      await block.close().catch(() => undefined)
      return failed
    }
  }
  try {
    await block.close()
    return null
  } catch (error) {
    return { index: null, error }
  }
}

async function runInput<I>(
  target: Target<I>,
  block: Block<I>,
  input: I,
  index: number,
  slowest: { ms: number; index: number },
): Promise<Failed | null> {
  try {
    const ms = await timed(block, input)
    if (ms > slowest.ms) Object.assign(slowest, { ms, index })
    if (ms <= target.boundMs) return null
    // Others may have had the processor. What counts is what is spent here, which costs too much to be asked for every time.
    const before = process.cpuUsage()
    await timed(block, input)
    const { user, system } = process.cpuUsage(before)
    const spentMs = (user + system) / 1_000
    if (spentMs <= target.boundMs) return null
    throw new Violation(`took ${spentMs.toFixed(0)} ms of processor time, ${target.boundMs} are allowed`)
  } catch (error) {
    return { index, error }
  }
}

async function timed<I>(block: Block<I>, input: I): Promise<number> {
  const startedAt = performance.now()
  const running = block.run(input)
  // Most inputs are done by now, and a turn of the loop for each would cost more than they do.
  if (running instanceof Promise) await running
  return performance.now() - startedAt
}

/** Tries the input by itself on new things, so that the shortest way to repeat it can be told. */
async function describe<I>(
  target: Target<I>,
  seed: number,
  block: { from: number; count: number },
  { index, error }: Failed,
): Promise<Failure> {
  const why =
    error instanceof Violation ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)
  const at = index ?? block.from + block.count - 1
  const input = makeInput(target, seed, at)
  const again =
    index === null || index === block.from
      ? null
      : await runBlock(target, seed, { from: index, count: 1 }, { ms: 0, index })
  const alone = index === block.from || again !== null
  return {
    target: target.name,
    seed,
    index: at,
    from: block.from,
    alone,
    input,
    why: index === null ? `at the end of the block: ${why}` : why,
  }
}

class Memory {
  readonly #collect: (() => void) | undefined
  #first: { heap: number; rss: number } | null = null
  readonly growth = { heapMb: 0, rssMb: 0 }

  constructor(collect?: () => void) {
    this.#collect = collect
  }

  async look(): Promise<Failed | null> {
    if (this.#collect === undefined) return null
    // What native code holds for an object is only let go of in a turn of the loop after the object was collected.
    for (let turns = 0; turns < 3; turns += 1) {
      this.#collect()
      await new Promise(resolve => setTimeout(resolve, 1))
    }
    const { heapUsed, rss } = memoryUsage()
    this.#first ??= { heap: heapUsed, rss }
    const heapMb = (heapUsed - this.#first.heap) / MB
    const rssMb = (rss - this.#first.rss) / MB
    Object.assign(this.growth, {
      heapMb: Math.max(this.growth.heapMb, heapMb),
      rssMb: Math.max(this.growth.rssMb, rssMb),
    })
    if (heapMb <= HEAP_GROWTH_MAX_MB && rssMb <= RSS_GROWTH_MAX_MB) return null
    return {
      index: null,
      error: new Violation(`memory has grown by ${heapMb.toFixed(0)} MB of heap, ${rssMb.toFixed(0)} MB resident`),
    }
  }
}

/** The command that repeats a failure. */
export const repeatOf = ({ target, seed, index, from, alone }: Failure): string =>
  alone
    ? `npm run fuzz -- --target ${target} --seed ${seed} --from ${index} --inputs 1`
    : `npm run fuzz -- --target ${target} --seed ${seed} --from ${from} --inputs ${index - from + 1}`

/** Runs one input that was printed or kept. */
export async function runInputFile<I>(target: Target<I>, input: I): Promise<Failure | Figures> {
  const kept: Target<I> = { ...target, generate: () => input }
  return runTarget(kept, { seed: 0, from: 0, inputs: 1 })
}
