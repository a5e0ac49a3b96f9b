// `npm run fuzz`: options, a thread for each target in turn, progress, and the report. It only watches: a thread that does not move on, or dies, has
// failed with the input that it was at. What a failure is otherwise, the thread knows (run.ts).

import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { BLOCK_INPUTS, type Failure, type Figures, makeInput, repeatOf } from './run.ts'
import { type AnyTarget, shares, targets } from './targets.ts'
import type { Job, Said } from './worker.ts'

/** ms without a new input, or an end, after which a thread hangs: any single wait inside is bounded by a third of it */
const WATCHDOG_MS = 30_000
/** ms between two looks at the thread */
const LOOK_EVERY_MS = 500
/** MB; a thread whose live objects need more has let something grow without bound */
const HEAP_MAX_MB = 768
/** ms between two lines of progress */
const PROGRESS_EVERY_MS = 10_000

const USAGE = `Usage: npm run fuzz -- [options]

Throw seeded, hostile inputs at the MQTT endpoint, the HTTP surface, the search grammar and fleet files.

Options:
  --inputs n        How many, over all targets. [default 1000000]
  --seed n          The same seed makes the same inputs. [default 1]
  --target name     Only this one: ${targets.map(({ name }) => name).join(', ')}.
  --from n          Index of the first input of each target. [default 0]
  --input-file f    Run the one input in this file instead, JSON as a failure prints it; needs --target.
  --help            Show this.

Exit codes: 0 every property held, 1 one did not, 2 wrong usage.
`

const print = (text: string): void => void process.stdout.write(`${text}\n`)

interface Options {
  readonly chosen: readonly AnyTarget[]
  readonly inputs: number
  readonly seed: number
  readonly from: number
  readonly inputFile: string | null
}

/** The options, or what is wrong with them; null asks for help. */
function readOptions(args: readonly string[]): Options | string | null {
  const text = { type: 'string' } as const
  let values: { [name: string]: string | boolean | undefined }
  try {
    const options = {
      inputs: text,
      seed: text,
      target: text,
      from: text,
      'input-file': text,
      help: { type: 'boolean' },
    } as const
    values = parseArgs({ args: [...args], options }).values
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  if (values.help === true) return null
  const numbers: Record<'inputs' | 'seed' | 'from', number> = { inputs: 1_000_000, seed: 1, from: 0 }
  for (const name of ['inputs', 'seed', 'from'] as const) {
    const value = values[name]
    if (value === undefined) continue
    if (!/^[0-9]{1,9}$/.test(String(value)) || (name === 'inputs' && Number(value) === 0))
      return `--${name} must be a whole number`
    numbers[name] = Number(value)
  }
  const chosen = targets.filter(({ name }) => values.target === undefined || name === values.target)
  if (chosen.length === 0) return `--target must be one of ${targets.map(({ name }) => name).join(', ')}`
  const inputFile = values['input-file'] === undefined ? null : String(values['input-file'])
  if (inputFile !== null && chosen.length > 1) return '--input-file needs --target'
  return { chosen, inputFile, ...numbers }
}

type Outcome = { readonly figures: Figures } | { readonly failure: Failure }

/** Runs one target in a thread of its own. */
function inThread(target: AnyTarget, inputs: number, { seed, from, inputFile }: Options): Promise<Outcome> {
  const position = new Int32Array(new SharedArrayBuffer(8))
  const job: Job = { target: target.name, seed, from, inputs, inputFile, position }
  // A thread does not inherit who reads TypeScript in this one.
  const [reader, code] = [import.meta.resolve('tsx/esm/api'), new URL('./worker.ts', import.meta.url).href]
  const boot = `import('${reader}').then(({ register }) => { register(); return import('${code}') })`
  const worker = new Worker(boot, {
    eval: true,
    workerData: job,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MAX_MB },
  })
  return new Promise(resolve => {
    const startedAt = performance.now()
    const seen = { begun: -1, at: startedAt, printedAt: startedAt }
    const end = (outcome: Outcome): void => {
      clearInterval(timer)
      resolve(outcome)
      void worker.terminate()
    }
    /** The thread could not say it itself: the input that it was at, and whether that one alone is enough is not known. */
    const died = (why: string, index = Atomics.load(position, 0)): void => {
      const input = inputFile === null ? makeInput(target, seed, index) : null
      const block = from + Math.floor((index - from) / BLOCK_INPUTS) * BLOCK_INPUTS
      end({ failure: { target: target.name, seed, index, from: block, alone: index === block, input, why } })
    }
    const timer = setInterval(() => {
      const begun = Atomics.load(position, 1)
      const now = performance.now()
      if (begun !== seen.begun) Object.assign(seen, { begun, at: now })
      else if (now - seen.at > WATCHDOG_MS) died(`no end of this input for ${WATCHDOG_MS} ms`)
      if (now - seen.printedAt < PROGRESS_EVERY_MS) return
      seen.printedAt = now
      print(`${target.name}: ${begun} of ${inputs}, ${(begun / ((now - startedAt) / 1_000)).toFixed(0)} inputs/s`)
    }, LOOK_EVERY_MS)
    worker.on('message', (said: Said) => {
      if (said.type === 'done') end({ figures: said.figures })
      else if (said.type === 'failed') end({ failure: said.failure })
      else if (said.type === 'stray') died(`an error that nobody awaited: ${said.why}`, said.index)
    })
    worker.on('error', error => died(`the thread died: ${error.stack ?? error.message}`))
    worker.on('exit', code => died(`the thread ended with ${code}`))
  })
}

/** Everything that it takes to see it again. Large inputs go to a file, from which --input-file takes them. */
function report(failure: Failure): void {
  const { target, seed, index, why, input } = failure
  const json = JSON.stringify(input)
  print(`\nFAILED: ${target}, seed ${seed}, input ${index}\n  ${why.replaceAll('\n', '\n  ')}`)
  const file = join(tmpdir(), `downlink-fuzz-${target}-${seed}-${index}.json`)
  writeFileSync(file, json)
  print(`  input (whole in ${file}): ${json.slice(0, 2_000)}`)
  print(`  repeat: ${repeatOf(failure)}`)
}

const row = (
  name: string,
  { inputs, seconds, processorSeconds, slowestMs, slowestIndex, heapMb, rssMb }: Figures,
): string =>
  `${name.padEnd(12)}${String(inputs).padStart(9)} inputs ${seconds.toFixed(1).padStart(7)} s ${(inputs / seconds).toFixed(0).padStart(7)}/s   ` +
  `processor ${processorSeconds.toFixed(1)} s   slowest ${slowestMs.toFixed(0)} ms (input ${slowestIndex})   heap +${heapMb.toFixed(1)} MB, resident +${rssMb.toFixed(1)} MB`

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args)
  if (options === null) {
    process.stdout.write(USAGE)
    return 0
  }
  if (typeof options === 'string') {
    process.stderr.write(`fuzz: ${options}\n\n${USAGE}`)
    return 2
  }
  if (globalThis.gc === undefined) print('memory is not looked at: run node with --expose-gc')
  const counts = shares(options.chosen, options.inputFile === null ? options.inputs : 1)
  const done: Figures[] = []
  const lines: string[] = []
  for (const target of options.chosen) {
    const outcome = await inThread(target, counts.get(target.name) ?? 1, options)
    if ('failure' in outcome) {
      for (const line of lines) print(line)
      report(outcome.failure)
      return 1
    }
    done.push(outcome.figures)
    lines.push(row(target.name, outcome.figures))
  }
  for (const line of lines) print(line)
  const inputs = done.reduce((sum, each) => sum + each.inputs, 0)
  const seconds = done.reduce((sum, each) => sum + each.seconds, 0)
  const processor = done.reduce((sum, each) => sum + each.processorSeconds, 0)
  const pace = `${seconds.toFixed(0)} s (${processor.toFixed(0)} s of processor time), ${(inputs / seconds).toFixed(0)}/s`
  print(`every property held: ${inputs} inputs with seed ${options.seed} in ${pace}`)
  return 0
}

process.exit(await main(process.argv.slice(2)))
