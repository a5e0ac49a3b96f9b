// `npm run sim:mutants`: puts each fault of mutant-list.ts into a copy of the project and runs the simulator there until it complains.
// A fault that it does not find is a check that is missing. Not here: the faults, and what a run of the simulator is (mutant-run.ts).

import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Mutant, mutate } from './mutant.ts'
import { mutants } from './mutant-list.ts'
import type { Outcome, Task } from './mutant-run.ts'

const HELP = `npm run sim:mutants [-- --only NAME]... [--seeds K] [--from N] [--steps M] [--jobs J] [--details] [--list]

Puts one fault after another into a copy of the project, and runs the simulator there until it finds something. First the copy without a fault must pass
the same seeds. Exit 0 where every fault was found, 1 where one was not or the control failed, 2 for wrong usage or a fault that no longer fits the source.

  --only NAME  only this fault; may be given several times
  --seeds K    worlds that a fault is given at most (default 300)
  --from N     the first of them (default 1)
  --steps M    steps with faults in each world, for each node (default 1000)
  --jobs J     copies that run at the same time (default 2)
  --details    say below each line what the simulator said, and what somebody would suffer
  --list       only list the faults
`

/** ms that one fault may take until no further world is begun; and how much longer its last world may take before it counts as hanging */
const BOUND_MS = 90_000
const GRACE_MS = 45_000
/** ms for the control, which must pass all worlds */
const CONTROL_BOUND_MS = 240_000

const root = fileURLToPath(new URL('..', import.meta.url))
const print = (text: string): void => void process.stdout.write(`${text}\n`)

interface Options {
  readonly chosen: readonly Mutant[]
  readonly worlds: Omit<Task, 'store' | 'nodes' | 'boundMs'>
  readonly jobs: number
  readonly details: boolean
  readonly list: boolean
}

/** What came of one copy. `broke`: the child ended or hung without a word from the simulator, which finds nothing. */
type Result = { readonly seconds: number } & (
  | ({ readonly type: 'ran' } & Outcome)
  | { readonly type: 'broke'; readonly why: string }
)

class Usage extends Error {}

function readOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', multiple: true, default: [] },
      seeds: { type: 'string', default: '300' },
      from: { type: 'string', default: '1' },
      steps: { type: 'string', default: '1000' },
      jobs: { type: 'string', default: '2' },
      details: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return null
  for (const name of values.only)
    if (!mutants.some(mutant => mutant.name === name)) throw new Usage(`--only ${name}: no such fault, see --list`)
  const chosen = values.only.length === 0 ? mutants : mutants.filter(({ name }) => values.only.includes(name))
  const worlds = {
    from: whole('--from', values.from),
    seeds: whole('--seeds', values.seeds),
    steps: whole('--steps', values.steps),
  }
  return { chosen, worlds, jobs: whole('--jobs', values.jobs), details: values.details, list: values.list }
}

function whole(name: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Usage(`${name} ${text}: use a whole number from 1 on`)
  return Number(text)
}

// --- one copy --------------------------------------------------------------------------------------------------------

/** What the simulator needs of the project, as it was when the run began: who edits it meanwhile does not disturb the run. */
function snapshot(from: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-mutant-'))
  folders.add(folder)
  for (const part of ['src', 'sim']) cpSync(join(from, part), join(folder, part), { recursive: true })
  for (const part of ['package.json', 'tsconfig.json']) cpSync(join(from, part), join(folder, part))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

/** A private copy with a fault in it, or none. */
function copy(base: string, mutant: Mutant | null): string {
  const folder = snapshot(base)
  if (mutant !== null) {
    const path = join(folder, mutant.file)
    writeFileSync(path, mutate(readFileSync(path, 'utf8'), mutant))
  }
  return folder
}

async function run(base: string, mutant: Mutant | null, task: Task): Promise<Result> {
  const folder = copy(base, mutant)
  const startedAt = performance.now()
  try {
    const { said, ended } = await child(folder, task)
    const seconds = (performance.now() - startedAt) / 1_000
    const outcome = ended === null ? readOutcome(said) : null
    return outcome === null ? { type: 'broke', why: ended ?? said, seconds } : { type: 'ran', ...outcome, seconds }
  } finally {
    remove(folder)
  }
}

function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  folders.delete(folder)
}

function readOutcome(said: string): Outcome | null {
  try {
    return JSON.parse(said)
  } catch {
    return null
  }
}

/** Children that run, and folders that are there: both end with this process, whatever ends it. */
const running = new Set<ReturnType<typeof spawn>>()
const folders = new Set<string>()
process.on('exit', () => {
  for (const each of running) each.kill('SIGKILL')
  for (const folder of folders) remove(folder)
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/** Runs the simulator in the folder. `ended`: how it ended where that was not as it should be. */
function child(folder: string, task: Task): Promise<{ readonly said: string; readonly ended: string | null }> {
  return new Promise((resolve, reject) => {
    const args = ['--import', 'tsx', 'sim/mutant-run.ts', JSON.stringify(task)]
    const started = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(started)
    let [said, complained, isLate] = ['', '', false]
    started.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    started.stderr.on('data', (chunk: Buffer) => {
      complained = (complained + chunk.toString()).slice(-2_000)
    })
    const timer = setTimeout(() => {
      isLate = true
      started.kill('SIGKILL')
    }, task.boundMs + GRACE_MS)
    started.once('error', reject)
    started.once('close', code => {
      clearTimeout(timer)
      running.delete(started)
      if (isLate) resolve({ said, ended: 'one world takes for ever' })
      else resolve({ said, ended: code === 0 ? null : complained.trim() || `exit code ${code}` })
    })
  })
}

// --- all of them -------------------------------------------------------------------------------------------------------

const isCaught = (result: Result): boolean => result.type === 'ran' && result.found !== null

function describe(result: Result): string {
  if (result.type === 'broke')
    return `NOT CAUGHT, it broke the simulator: ${result.why.split('\n').slice(-3).join(' | ')}`
  const { found, seeds } = result
  return found === null ? `NOT CAUGHT in ${seeds} worlds` : `${found.invariant} ${found.name}`
}

/** The copy without a fault passes the same worlds, on every store that is used, and with as many nodes. Returns whether it does. */
async function control(base: string, { chosen, worlds, jobs }: Options): Promise<boolean> {
  const kinds = new Map(chosen.map(({ store, nodes }) => [`${store} ${nodes}`, { store, nodes }]))
  const results = await each([...kinds.values()], jobs, async ({ store, nodes }) => {
    const result = await run(base, null, { ...worlds, store, nodes, boundMs: CONTROL_BOUND_MS })
    const isGood = result.type === 'ran' && result.found === null && result.seeds === worlds.seeds
    const seed =
      result.type === 'ran' && result.found !== null ? `, seed ${result.found.seed}: ${result.found.detail}` : ''
    const said = isGood ? `passes ${worlds.seeds} worlds` : `FAILS: ${describe(result)}${seed}`
    print(`control, ${store}, ${nodes === 1 ? 'one node' : `${nodes} nodes`}: ${said}, ${result.seconds.toFixed(0)} s`)
    return isGood
  })
  return results.every(isGood => isGood)
}

async function tryAll(base: string, { chosen, worlds, jobs, details }: Options): Promise<number> {
  const width = Math.max(...chosen.map(({ name }) => name.length), 'mutant'.length)
  print(
    `${'mutant'.padEnd(width)} | ${'store'.padEnd(6)} | nodes | ${'seed'.padStart(5)} | ${'s'.padStart(5)} | caught by`,
  )
  const results = await each(chosen, jobs, async mutant => {
    const result = await run(base, mutant, { ...worlds, store: mutant.store, nodes: mutant.nodes, boundMs: BOUND_MS })
    const seed = result.type === 'ran' && result.found !== null ? String(result.found.seed) : '-'
    const columns = [
      mutant.name.padEnd(width),
      mutant.store.padEnd(6),
      String(mutant.nodes).padStart('nodes'.length),
      seed.padStart(5),
      result.seconds.toFixed(1).padStart(5),
    ]
    print([...columns, describe(result)].join(' | '))
    if (details && result.type === 'ran' && result.found !== null) print(`    ${result.found.detail}`)
    if (details || !isCaught(result)) print(`    ${mutant.breaks}`)
    return isCaught(result)
  })
  const caught = results.filter(Boolean).length
  print(`${caught} of ${chosen.length} caught`)
  return caught === chosen.length ? 0 : 1
}

/** Runs over all items, so many at a time. */
async function each<Item, Result>(
  items: readonly Item[],
  jobs: number,
  act: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  const left = items.entries()
  const work = async (): Promise<void> => {
    for (const [i, item] of left) results[i] = await act(item)
  }
  await Promise.all(Array.from({ length: jobs }, work))
  return results
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2))
  if (options === null) {
    print(HELP)
    return 0
  }
  if (options.list) {
    for (const { name, file, breaks } of options.chosen) print(`${name} (${file}): ${breaks}`)
    print(`${options.chosen.length} faults`)
    return 0
  }
  const base = snapshot(root)
  try {
    // All of them first: it would be a pity to learn of the last one after minutes.
    for (const mutant of options.chosen) mutate(readFileSync(join(base, mutant.file), 'utf8'), mutant)
    return (await control(base, options)) ? await tryAll(base, options) : 1
  } finally {
    remove(base)
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  process.stderr.write(`sim:mutants: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 2
}
