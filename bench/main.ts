// The bench: every scenario, every contender, in one run on one machine. `npm run bench -- --help`. What comes out is docs/benchmarks.md with its plots,
// where `--out` names the page. Not a test: machines are noisy, so what is quoted are medians and ratios within the run.
// Not here: what is measured (scenarios/), of whom (contenders/), how it is printed (rig/report.ts), what was aimed at (targets.ts).

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { shown } from './rig/figures.ts'
import { between, cpuUsOf, describeMachine, page, plotOf, type Results, type RowResult } from './rig/report.ts'
import { type Figures, inFolder, type Row, type Scenario } from './rig/scenario.ts'
import { scenarios } from './scenarios/scenarios.ts'
import { targetsOf } from './targets.ts'

const HELP = `npm run bench -- [options]

Measures Downlink beside what could be used in its place, each scenario in a closed or an open loop, from nothing, several times in turn.
The peers need one set-up: bench/setup.sh. Who is not installed is left out, and the page says so.

  --quick                 small numbers, once: only to see that it works
  --only NAMES            scenarios, by comma: ${scenarios.map(({ name }) => name).join(', ')}
  --contenders NAMES      rows, by comma: Downlink, pg-boss, …; those that the ratios need come by themselves
  --rounds N              how often each row is measured; what is shown is the median (default 3, quick 1)
  --seconds N             of each measured loop (default 6, quick 0.5)
  --out PAGE              puts the tables between the marks of this page, and beside it, in a folder of its name, plots and results.json
  --help
`

/** What a run is asked for; ends the process where that is not understood. */
function asked() {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      contenders: { type: 'string' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(HELP)
    process.exit(0)
  }
  const isQuick = values.quick
  const number = (name: string, text: string | undefined, otherwise: number): number => {
    const value = text === undefined ? otherwise : Number(text)
    if (!(value > 0 && value <= 600)) refuse(`--${name}: must be a number above 0, at most 600, and is ${text}`)
    return value
  }
  const only = values.only?.split(',')
  for (const name of only ?? [])
    if (!scenarios.some(scenario => scenario.name === name)) refuse(`--only: there is no scenario ${name}; see --help`)
  return {
    isQuick,
    only,
    contenders: values.contenders?.split(','),
    rounds: Math.ceil(number('rounds', values.rounds, isQuick ? 1 : 3)),
    measuredMs: number('seconds', values.seconds, isQuick ? 0.5 : 6) * 1_000,
    warmUpMs: isQuick ? 200 : 2_000,
    out: values.out,
  }
}

function refuse(why: string): never {
  console.error(why)
  process.exit(2)
}

const options = asked()

/** One line for whoever waits. */
function summary({ perSecond, p50Ms, p99Ms, cpuUs, more, ...rest }: Figures): string {
  const words = [
    perSecond === undefined ? null : `${shown(perSecond)}/s`,
    p50Ms === undefined ? null : `p50 ${shown(p50Ms)} ms`,
    p99Ms === undefined ? null : `p99 ${shown(p99Ms)} ms`,
    cpuUs === undefined ? null : `CPU ${shown(cpuUsOf({ ...rest, cpuUs }))} µs`,
    ...Object.entries(more ?? {}).map(([name, value]) => `${name} ${shown(value)}`),
  ]
  return words.filter(word => word !== null).join('  ')
}

/** In each round the rows begin one later, so that what drifts with time falls on all of them alike. */
const turned = (rows: readonly Row[], round: number): Row[] => [
  ...rows.slice(round % rows.length),
  ...rows.slice(0, round % rows.length),
]

async function run(): Promise<Results> {
  const chosen = scenarios.filter(({ name }) => options.only?.includes(name) ?? true)
  const results = new Map<Row, { figures: Figures[]; skipped: string | null; versions: string }>()
  const beganAt = new Date().toISOString()
  const machine = describeMachine()
  let done = 0
  const rowsOf = ({ rows, baseline }: Scenario): Row[] =>
    rows.filter(({ name }) => name === baseline || (options.contenders?.includes(name) ?? true))
  const roundsOf = ({ roundsMax = options.rounds }: Scenario): number => Math.min(options.rounds, roundsMax)
  const all = chosen.reduce((sum, scenario) => sum + rowsOf(scenario).length * roundsOf(scenario), 0)
  for (let round = 0; round < options.rounds; round++) {
    for (const scenario of chosen.filter(scenario => round < roundsOf(scenario))) {
      for (const row of turned(rowsOf(scenario), round)) {
        done += 1
        const result = results.get(row) ?? {
          figures: [],
          skipped: await row.missing(),
          versions: '',
        }
        results.set(row, result)
        const label = `${String(done).padStart(String(all).length)}/${all}  ${scenario.name}  ${row.name}`
        if (result.skipped !== null) {
          console.log(`${label}: left out, ${result.skipped}`)
          continue
        }
        result.versions ||= await row.versions()
        const figures = await measure(row, label)
        result.figures.push(figures)
        console.log(`${label}: ${summary(figures)}`)
      }
    }
  }
  const found = (row: Row): RowResult => {
    const { figures, skipped, versions } = results.get(row)!
    return { name: row.name, what: row.what, versions, skipped, rounds: figures }
  }
  const command = ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')
  return {
    command,
    beganAt,
    machine,
    scenarios: chosen.map(scenario => ({ ...scenario, rows: rowsOf(scenario).map(found) })),
  }
}

/** Throws with the row's name where it fails. */
async function measure(row: Row, label: string): Promise<Figures> {
  const { warmUpMs, measuredMs, isQuick } = options
  const say = (line: string): void => console.log(`${label}: ${line}`)
  try {
    return await inFolder(folder => row.measure({ folder, warmUpMs, measuredMs, isQuick, say }))
  } catch (cause) {
    throw new Error(`${label} failed`, { cause })
  }
}

/** The page with its tables, and beside it the plots and all that was measured. */
function write(path: string, results: Results): void {
  const folder = path.replace(/\.md$/, '')
  mkdirSync(folder, { recursive: true })
  const plots = new Set<string>()
  for (const scenario of results.scenarios) {
    const drawn = plotOf(scenario)
    if (drawn === null) continue
    plots.add(scenario.name)
    writeFileSync(join(folder, `${scenario.name}.svg`), drawn)
  }
  writeFileSync(join(folder, 'results.json'), `${JSON.stringify(results, null, 1)}\n`)
  writeFileSync(path, between(readFileSync(path, 'utf8'), page(results, targetsOf(results), plots)))
  console.log(`${path}, and ${folder}/`)
}

const results = await run()
for (const { what, atLeast, found, isMet } of targetsOf(results))
  if (found !== null) console.log(`${isMet ? 'met   ' : 'missed'}  ${what}: ${found}, at least ${atLeast}`)
if (options.out !== undefined) write(options.out, results)
const measured = results.scenarios.flatMap(({ rows }) => rows.filter(({ rounds }) => rounds.length > 0))
// For whoever runs it only to see that it works; a row that fails ends the run before this line.
console.log(`${measured.length} passed, 0 failed`)
