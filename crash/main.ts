// The crash harness: options, the run of kills, the scenarios, the figures, the exit code. Not here: what they do (kills.ts, scenarios.ts).

import { existsSync } from 'node:fs'
import { kills, type RunResult } from './kills.ts'
import { Options } from './options.ts'
import { NotStarted } from './place.ts'
import { reportEnd, reportFindings } from './report.ts'
import { scenarios } from './scenarios.ts'
import { Wrong } from './stage.ts'

const HELP = `The crash harness: kills the built server (kill -9) again and again under load, and counts what must not be.

Usage: npm run crash -- [options]

Options:
  --kills n       How often the server is killed. [default 20]
  --seed n        What chance is made of; printed, so that a run can be had again, alike if not equal. [default: the time]
  --devices n     Devices with a connection of their own, besides the gateways. [default 12]
  --gateways n    Gateways. [default 2]
  --sub-devices n Devices behind each gateway. [default 8]
  --callers n     Applications on HTTP, each with one call at a time. [default 16]
  --only name     Only this: kills, or a scenario. May be given several times.
  --main file     The built program. [default dist/main.js]
  --help          Show this.

Scenarios, run after the kills: ${[...scenarios.keys()].join(', ')}.
Exit codes: 0 all counts are 0 and all scenarios are as they should be, 1 they are not or it took too long, 2 wrong usage.
The server runs on SQLite in a temporary folder, on loopback. The folder is kept where something is wrong.
`

/** s that the run may take: a start may be slow, and each scenario has its own waits */
const BOUND_S = { base: 120, kill: 4, scenario: 60 }

interface Chosen {
  readonly kills: number
  readonly seed: number
  readonly devices: number
  readonly gateways: number
  readonly subDevices: number
  readonly callers: number
  readonly only: readonly string[]
  readonly main: string
}

/** Resolves with the exit code. `print` gets whole lines; `interrupt` calls it off. */
export async function crash(
  args: readonly string[],
  print: (line: string) => void,
  interrupt: AbortSignal,
): Promise<number> {
  const chosen = choose(args)
  if (typeof chosen === 'string') {
    print(chosen)
    return chosen === HELP ? 0 : 2
  }
  const { main, seed, only } = chosen
  const names = [...scenarios.keys()].filter(name => only.length === 0 || only.includes(name))
  const withKills = only.length === 0 || only.includes('kills')
  const boundS = BOUND_S.base + (withKills ? BOUND_S.kill * chosen.kills : 0) + BOUND_S.scenario * names.length
  const signal = AbortSignal.any([interrupt, AbortSignal.timeout(boundS * 1_000)])
  const from = performance.now()
  let bad = 0
  try {
    if (withKills) {
      print(
        `${chosen.kills} kills, ${chosen.devices} devices, ${chosen.gateways} gateways with ${chosen.subDevices} each, ${chosen.callers} callers, --seed ${seed}, at most ${boundS} s`,
      )
      bad += report(await kills({ ...chosen, signal, say: print }), print)
    }
    for (const name of names) bad += await play(name, main, signal, print)
  } catch (error) {
    // A server that does not start again after a kill, for one.
    if (!signal.aborted) print(`WRONG: ${told(error)}`)
    else print(interrupt.aborted ? 'interrupted' : `not done after ${boundS} s`)
    bad += 1
  }
  return reportEnd(bad, from, print)
}

/** One scenario; 1 if it went wrong. */
async function play(name: string, main: string, signal: AbortSignal, print: (line: string) => void): Promise<number> {
  signal.throwIfAborted()
  const scenario = scenarios.get(name)
  if (scenario === undefined) throw new Error(`no scenario ${name}`)
  try {
    print(`${name}: ${await scenario(main, signal)}`)
    return 0
  } catch (error) {
    if (signal.aborted) throw error
    print(`${name}: WRONG: ${told(error)}`)
    return 1
  }
}

/** What is wrong with the server is said in its message; what else fails keeps its stack. */
const told = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  const isExplained = error instanceof Wrong || error instanceof NotStarted
  return isExplained ? error.message : (error.stack ?? error.message)
}

/** Prints the figures; how many of the counts are not 0. */
function report(result: RunResult, print: (line: string) => void): number {
  const { kills: killed, restartMedianMs, kept } = result
  const bad = reportFindings(result, print)
  print(`kills ${killed}, restart to listening ${restartMedianMs} ms (median)`)
  if (kept !== null) print(`the files are kept in ${kept}`)
  return bad
}

function choose(args: readonly string[]): Chosen | string {
  if (args.includes('--help')) return HELP
  const numbers = ['kills', 'seed', 'devices', 'gateways', 'sub-devices', 'callers']
  const options = new Options(args, [...numbers, 'main'], ['only'])
  const chosen = {
    kills: options.whole('kills', 1, 10_000, 20),
    seed: options.whole('seed', 0, 4_294_967_295, Date.now() % 1_000_000),
    devices: options.whole('devices', 1, 200, 12),
    gateways: options.whole('gateways', 0, 50, 2),
    subDevices: options.whole('sub-devices', 1, 100, 8),
    callers: options.whole('callers', 1, 200, 16),
    only: options.some('only', ['kills', ...scenarios.keys()]),
    main: options.text('main') ?? 'dist/main.js',
  }
  if (!existsSync(chosen.main)) options.wrong.push(`${chosen.main} is not there; build it with npm run build`)
  return options.wrong.length > 0 ? `${options.wrong.join('\n')}\nSee --help.` : chosen
}
