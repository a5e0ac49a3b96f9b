// The simulator's command line: one seed told in full, or many with their sum. Not here: what a run is (run.ts).

import { parseArgs } from 'node:util'
import { type RunOptions, type RunResult, runSeed } from './run.ts'
import { LONG_RUN_SEEDS, unseen } from './seen.ts'

const HELP = `npm run sim -- [--seed N] [--steps M] [--store memory|sqlite] [--nodes K] [--trace]
npm run sim -- --seeds K [--from N] [--steps M] [--store memory|sqlite] [--nodes K]

Runs the real core, engine, store and MQTT session in a world of simulated time, network, devices and callers, in which things fail, and checks every
promise of docs/states.md as it goes. Each seed is run twice and must give the same run. Exit 1 where a promise is broken; the seed repeats it.

  --seed N    one world (default: 1)
  --seeds K   K worlds, from --from on (default 1); from 200 on it fails too where a kind of fault has never struck
  --steps M   steps with faults (default 1000 for each node); the quiet part after them takes as many as it needs
  --store     memory (default) or sqlite
  --nodes K   processes that share the store, each on a machine of its own (default 1; more only in memory): they are killed, paused, put to sleep, cut
              off from the store and from each other, and what they tell each other is lost, late, or told twice
  --trace     print the whole record of a single seed
  --once      run each seed only once
`

const print = (text: string): void => void process.stdout.write(`${text}\n`)

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string' },
      from: { type: 'string', default: '1' },
      steps: { type: 'string' },
      store: { type: 'string', default: 'memory' },
      nodes: { type: 'string', default: '1' },
      trace: { type: 'boolean', default: false },
      once: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    print(HELP)
    return 0
  }
  const store = storeOf(values.store)
  const nodes = nodesOf(values.nodes, store)
  const steps = values.steps === undefined ? STEPS_PER_NODE * nodes : whole('--steps', values.steps)
  const options = { steps, store, nodes, twice: !values.once }
  if (values.seeds === undefined) return one({ seed: whole('--seed', values.seed), ...options }, values.trace)
  return many(whole('--from', values.from), whole('--seeds', values.seeds), options)
}

function whole(name: string, text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw new Error(`${name} ${text}: use a whole number`)
  return value
}

const STEPS_PER_NODE = 1_000
const NODES_MAX = 16

function nodesOf(text: string, store: RunOptions['store']): number {
  const nodes = whole('--nodes', text)
  if (nodes < 1 || nodes > NODES_MAX) throw new Error(`--nodes ${text}: use 1 to ${NODES_MAX}`)
  if (nodes > 1 && store !== 'memory')
    throw new Error(`--nodes ${text}: one process has the ${store} store; leave --store out`)
  return nodes
}

function storeOf(text: string): RunOptions['store'] {
  if (text === 'memory' || text === 'sqlite') return text
  throw new Error(`--store ${text}: use memory or sqlite`)
}

async function one(options: RunOptions, withTrace: boolean): Promise<number> {
  const startedAt = performance.now()
  const result = await runSeed(options)
  print(`seed ${options.seed}, ${result.faults}`)
  if (withTrace) for (const line of result.trace) print(line)
  printCoverage(result.coverage)
  printSpeed(result.steps, startedAt)
  if (!result.ok) await printFailure(options, result)
  return result.ok ? 0 : 1
}

async function many(from: number, count: number, options: Omit<RunOptions, 'seed'>): Promise<number> {
  print(
    `seeds ${from} to ${from + count - 1}, ${options.steps} steps with faults each, store ${options.store}, nodes ${options.nodes}`,
  )
  const startedAt = performance.now()
  const totals = new Map<string, number>()
  let steps = 0
  for (let seed = from; seed < from + count; seed += 1) {
    const result = await runSeed({ ...options, seed })
    steps += result.steps
    for (const [what, times] of result.coverage) totals.set(what, (totals.get(what) ?? 0) + times)
    if (!result.ok) {
      print(`seed ${seed}, ${result.faults}`)
      await printFailure({ ...options, seed }, result)
      print(`${seed - from} passed, 1 failed`)
      return 1
    }
    if ((seed - from + 1) % 100 === 0) print(`  ${seed - from + 1} seeds, ${steps} steps`)
  }
  printCoverage(totals)
  printSpeed(steps, startedAt)
  const missed = count >= LONG_RUN_SEEDS ? unseen(totals, options.nodes ?? 1) : []
  for (const what of missed) print(`FAILED: in so long a run there should have been: ${what}`)
  if (missed.length > 0) return 1
  print(`${count} passed, 0 failed`)
  return 0
}

function printSpeed(steps: number, startedAt: number): void {
  const seconds = (performance.now() - startedAt) / 1_000
  print(`${steps} steps in ${seconds.toFixed(1)} s, ${Math.round(steps / seconds)} steps/s`)
}

/** By name, so that what was never exercised is seen by its absence. */
function printCoverage(coverage: ReadonlyMap<string, number>): void {
  const lines = [...coverage].sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [what, times] of lines) print(`  ${String(times).padStart(8)}  ${what}`)
}

const TRACE_LINES_MAX = 120

async function printFailure(options: RunOptions, found: RunResult): Promise<void> {
  const { steps, result } = await shrink(options, found)
  const { failure } = result
  if (failure === undefined) throw new Error('a failure has a failure')
  const lines = result.trace.slice(-TRACE_LINES_MAX)
  if (lines.length < result.trace.length) print(`  … ${result.trace.length - lines.length} lines before`)
  for (const line of lines) print(`  ${line}`)
  print(`FAILED: invariant ${failure.invariant}, ${failure.name}`)
  print(`  ${failure.detail}`)
  print(
    `repeat: npm run sim -- --seed ${options.seed} --steps ${steps} --store ${options.store} --nodes ${options.nodes}`,
  )
}

/** The fewest steps with faults that still fail in the same way, found by halving: not the fewest there are, but few. */
async function shrink(options: RunOptions, found: RunResult): Promise<{ steps: number; result: RunResult }> {
  const stepsOf = (result: RunResult): number => Math.min(options.steps, result.failure?.step ?? options.steps)
  let best = { steps: stepsOf(found), result: found }
  let low = 0
  while (best.steps - low > 10) {
    const steps = (low + best.steps) >> 1
    const result = await runSeed({
      ...options,
      steps,
      twice: options.twice === true && found.failure?.invariant === 22,
    })
    if (result.failure?.invariant === found.failure?.invariant) best = { steps, result }
    else low = steps
  }
  return best
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`sim: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 2
}
