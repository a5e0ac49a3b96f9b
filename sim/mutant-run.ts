// The child of mutants.ts, run inside a copy of the project: worlds one after another until one fails. Prints one line of JSON, and nothing else.

import { runSeed } from './run.ts'

/** What the child is asked for, as JSON in its one argument. */
export interface Task {
  readonly from: number
  readonly seeds: number
  /** with faults, for each node */
  readonly steps: number
  readonly store: 'memory' | 'sqlite'
  readonly nodes: number
  /** ms after which no further world is begun */
  readonly boundMs: number
}

export interface Found {
  readonly seed: number
  readonly invariant: number
  readonly name: string
  readonly detail: string
}

/** What the child answers. `seeds` counts the worlds that passed; fewer than asked for, and nothing found: the time was up. */
export interface Outcome {
  readonly seeds: number
  readonly found: Found | null
}

async function run({ from, seeds, steps, store, nodes, boundMs }: Task): Promise<Outcome> {
  const startedAt = performance.now()
  let done = 0
  while (done < seeds && performance.now() - startedAt < boundMs) {
    const seed = from + done
    const { failure } = await runSeed({ seed, steps: steps * nodes, store, nodes, twice: false })
    if (failure !== undefined) {
      const { invariant, name, detail } = failure
      return { seeds: done, found: { seed, invariant, name, detail } }
    }
    done += 1
  }
  return { seeds: done, found: null }
}

const [, , task = ''] = process.argv
process.stdout.write(`${JSON.stringify(await run(JSON.parse(task)))}\n`)
