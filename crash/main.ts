// The crash harness: options, the run of kills, the scenarios, the figures, the exit code. Not here: what they do (kills.ts, scenarios.ts).

import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { kills, type RunResult } from './kills.ts'
import { type Fault, faultNames, type Totals } from './ledger.ts'
import { NotStarted } from './place.ts'
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
const EXPLAINED_MAX = 20

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
  print(
    `${bad === 0 ? 'as it should be' : 'NOT as it should be'}, after ${((performance.now() - from) / 1_000).toFixed(0)} s`,
  )
  return bad === 0 ? 0 : 1
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
function report(
  { faults, explained, totals, kills: killed, restartMedianMs, kept }: RunResult,
  print: (line: string) => void,
): number {
  for (const line of explained.slice(0, EXPLAINED_MAX)) print(`  ${line}`)
  if (explained.length > EXPLAINED_MAX) print(`  and ${explained.length - EXPLAINED_MAX} more`)
  const counts = Object.entries(faultNames) as [Fault, string][]
  for (const [fault, name] of counts) print(`${String(faults[fault]).padStart(7)}  ${name}`)
  print(totalsOf('direct', totals.direct))
  print(totalsOf('behind gateways', totals.behindGateways))
  print(`kills ${killed}, restart to listening ${restartMedianMs} ms (median)`)
  if (kept !== null) print(`the files are kept in ${kept}`)
  return counts.filter(([fault]) => faults[fault] !== 0).length
}

const totalsOf = (kind: string, totals: Totals): string => {
  const { devices, logins, logouts, accepted, cancelled, delivered, instantAnswered, unanswered, unansweredDone } =
    totals
  const calls = `accepted ${accepted}, cancelled ${cancelled}, delivered ${delivered}, instant answered ${instantAnswered}`
  const lost = `without an answer ${unanswered}, of which ${unansweredDone} were carried out`
  return `${kind} (${devices}): ${calls}; ${lost}; logins ${logins}, logouts ${logouts}`
}

function choose(args: readonly string[]): Chosen | string {
  const text = { type: 'string' } as const
  let values: Readonly<Record<string, string | boolean | string[] | undefined>>
  try {
    const only = { type: 'string', multiple: true, default: [] as string[] } as const
    const options = {
      kills: text,
      seed: text,
      devices: text,
      gateways: text,
      'sub-devices': text,
      callers: text,
      main: text,
      only,
      help: { type: 'boolean' },
    } as const
    values = parseArgs({ args: [...args], options }).values
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\nSee --help.`
  }
  if (values.help === true) return HELP
  const wrong: string[] = []
  const whole = (name: string, min: number, max: number, absent: number): number => {
    const given = values[name]
    if (given === undefined) return absent
    const value = /^\d{1,10}$/.test(String(given)) ? Number(given) : Number.NaN
    if (!(value >= min && value <= max)) wrong.push(`--${name} must be a whole number from ${min} to ${max}`)
    return value
  }
  const chosen = {
    kills: whole('kills', 1, 10_000, 20),
    seed: whole('seed', 0, 4_294_967_295, Date.now() % 1_000_000),
    devices: whole('devices', 1, 200, 12),
    gateways: whole('gateways', 0, 50, 2),
    subDevices: whole('sub-devices', 1, 100, 8),
    callers: whole('callers', 1, 200, 16),
    only: Array.isArray(values.only) ? values.only : [],
    main: String(values.main ?? 'dist/main.js'),
  }
  const unknown = chosen.only.filter(name => name !== 'kills' && !scenarios.has(name))
  if (unknown.length > 0)
    wrong.push(`--only ${unknown.join(', ')}: it is one of kills, ${[...scenarios.keys()].join(', ')}`)
  if (!existsSync(chosen.main)) wrong.push(`${chosen.main} is not there; build it with npm run build`)
  return wrong.length > 0 ? `${wrong.join('\n')}\nSee --help.` : chosen
}
