// The thread that fuzzes. It says where it is in shared memory before each input, so that main.ts can tell which one never came back, or took the thread
// with it. An error that nobody awaited is a failure of the input that is running.

import { readFileSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { type Failure, type Figures, runInputFile, runTarget } from './run.ts'
import { targets } from './targets.ts'

export interface Job {
  readonly target: string
  readonly seed: number
  readonly from: number
  readonly inputs: number
  /** a file with one input as JSON, run instead of all that */
  readonly inputFile: string | null
  /** index of the input that runs, then the count of inputs begun */
  readonly position: Int32Array
}

/** What comes out of the thread. */
export type Said =
  | { readonly type: 'progress'; readonly done: number }
  | { readonly type: 'done'; readonly figures: Figures }
  | { readonly type: 'failed'; readonly failure: Failure }
  /** an error that nobody awaited */
  | { readonly type: 'stray'; readonly index: number; readonly why: string }

const job = workerData as Job
const say = (said: Said): void => parentPort?.postMessage(said)

const stray = (error: unknown): void => {
  const why = error instanceof Error ? (error.stack ?? error.message) : String(error)
  // Told now: by the time that it is read the thread has gone on.
  say({ type: 'stray', index: Atomics.load(job.position, 0), why })
}
process.on('uncaughtException', stray)
process.on('unhandledRejection', stray)

const target = targets.find(({ name }) => name === job.target)
if (target === undefined) throw new Error(`no target ${job.target}`)
const onInput = (index: number): void => {
  Atomics.store(job.position, 0, index)
  Atomics.add(job.position, 1, 1)
}
const collect = globalThis.gc
const { seed, from, inputs } = job
const result =
  job.inputFile === null
    ? await runTarget(target, {
        ...{ seed, from, inputs, onInput },
        onBlock: done => say({ type: 'progress', done }),
        ...(collect === undefined ? {} : { collect: () => void collect() }),
      })
    : await runInputFile(target, JSON.parse(readFileSync(job.inputFile, 'utf8')))
// Errors that come late still belong to the last block.
await new Promise(resolve => setTimeout(resolve, 50))
say('why' in result ? { type: 'failed', failure: result } : { type: 'done', figures: result })
