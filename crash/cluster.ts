// The cluster harness: options, the runs, the figures, the exit code. Not here: what a run does (cluster-run.ts).

import { existsSync } from 'node:fs'
import { type ClusterResult, type ClusterRunOptions, clusterRun, type Plan } from './cluster-run.ts'
import { hasNats } from './nats.ts'
import { Options } from './options.ts'
import { reportEnd, reportFindings } from './report.ts'
import type { Times } from './revival.ts'

const HELP = `The cluster harness: several nodes on one PostgreSQL behind a balancer, under load. Nodes are killed, paused, cut off from PostgreSQL and
stopped, PostgreSQL is restarted; what must not be is counted.

Usage: npm run cluster -- [options]

Options:
  --nodes n       Nodes, each a process of its own. [default 3]
  --kills n       How often something is struck; nearly half of it is kill -9. [default 20]
  --signal nats   Signals between nodes go over NATS, which is killed too; nats-server must be installed. [default: over PostgreSQL]
  --seed n        What chance is made of; printed, so that a run can be had again, alike if not equal. [default: the time]
  --devices n     Devices that err, keep silent and go away at times, besides the gateways, which do so too. [default 12]
  --gateways n    Gateways. [default 2]
  --sub-devices n Devices behind each gateway. [default 8]
  --steady n      Devices that stay connected and answer at once, on which the time from a node's death is measured. [default 12]
  --callers n     Applications on HTTP, each with one call at a time. [default 24]
  --only name     Only this: kills or rolling. May be given several times.
  --main file     The built program. [default dist/main.js]
  --help          Show this.

rolling, run after the kills: all nodes are restarted with SIGTERM, one after the other, twice.
Exit codes: 0 all counts are 0, 1 they are not or it took too long, 2 wrong usage.
Everything is on loopback and in a temporary folder, which is kept where something is wrong.
`

const RUNS = ['kills', 'rolling'] as const
/** s that it may take: the longest strike is a pause of 12 s, and two may last at a time */
const BOUND_S = { base: 150, kill: 10, rolling: 150 }
const ROUNDS = 2

interface Chosen extends Omit<ClusterRunOptions, 'signal' | 'say'> {
  readonly kills: number
  readonly only: readonly string[]
}

/** Resolves with the exit code. `print` gets whole lines; `interrupt` calls it off. */
export async function cluster(
  args: readonly string[],
  print: (line: string) => void,
  interrupt: AbortSignal,
): Promise<number> {
  const chosen = choose(args)
  if (typeof chosen === 'string') {
    print(chosen)
    return chosen === HELP ? 0 : 2
  }
  const { kills, only, nodes, devices, steady, gateways, subDevices, callers, seed } = chosen
  const runs = RUNS.filter(name => only.length === 0 || only.includes(name))
  const boundS =
    BOUND_S.base +
    (runs.includes('kills') ? BOUND_S.kill * kills : 0) +
    (runs.includes('rolling') ? BOUND_S.rolling : 0)
  const signal = AbortSignal.any([interrupt, AbortSignal.timeout(boundS * 1_000)])
  const from = performance.now()
  let bad = 0
  try {
    for (const name of runs) {
      const plan: Plan = name === 'kills' ? { strikes: kills } : { rolling: ROUNDS }
      const fleet = `${devices} lively devices and ${steady} steady ones, ${gateways} gateways with ${subDevices} each`
      const what = name === 'kills' ? `${kills} strikes` : `${ROUNDS} rolling restarts`
      const signals = chosen.hasNats ? 'NATS' : 'PostgreSQL'
      print(
        `${what}, ${nodes} nodes, signals over ${signals}, ${fleet}, ${callers} callers, --seed ${seed}, at most ${boundS} s`,
      )
      bad += report(await clusterRun({ ...chosen, signal, say: print }, plan), print)
    }
  } catch (error) {
    if (!signal.aborted) print(`WRONG: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    else print(interrupt.aborted ? 'interrupted' : `not done after ${boundS} s`)
    bad += 1
  }
  return reportEnd(bad, from, print)
}

/** Prints the figures; how many of the counts are not 0. */
function report(result: ClusterResult, print: (line: string) => void): number {
  const bad = reportFindings(result, print)
  const {
    strikes,
    ends,
    outcomes,
    instants,
    aloneMs,
    steadyMs,
    livelyMs,
    longestSilenceMs,
    startMedianMs,
    stopsMs,
    kept,
  } = result
  if (stopsMs.length === 0) print(`strikes: ${listed(Object.entries(strikes))}`)
  print(`lives of nodes: ${listed(Object.entries(ends))}; start to listening ${startMedianMs} ms (median)`)
  print(`calls: ${listed([...outcomes].sort(([, left], [, right]) => right - left))}`)
  print(`longest time without an answer to any caller ${longestSilenceMs} ms`)
  print(
    `instants done ${instants.answered}, of which ${instants.acrossNodes} by a device on another node than the caller`,
  )
  if (steadyMs.count > 0) print(`from a node's death to a command at its devices: steady ones ${timed(steadyMs)}`)
  if (aloneMs.count > 0) print(`  of these where nothing else was struck meanwhile: ${timed(aloneMs)}`)
  if (livelyMs.count > 0) print(`  lively ones, which stay away at times: ${timed(livelyMs)}`)
  if (stopsMs.length > 0) print(`SIGTERM to exit: ${stopsMs.map(ms => `${Math.round(ms)} ms`).join(', ')}`)
  if (kept !== null) print(`the files are kept in ${kept}`)
  return bad
}

const listed = (counts: readonly (readonly [string, number])[]): string =>
  counts.map(([name, count]) => `${name} ${count}`).join(', ')

const timed = ({ count, medianMs, p95Ms, maxMs }: Times): string =>
  `${count} times, median ${medianMs} ms, p95 ${p95Ms} ms, max ${maxMs} ms`

function choose(args: readonly string[]): Chosen | string {
  if (args.includes('--help')) return HELP
  const numbers = ['nodes', 'kills', 'seed', 'devices', 'gateways', 'sub-devices', 'steady', 'callers']
  const options = new Options(args, [...numbers, 'main', 'signal'], ['only'])
  const signal = options.text('signal')
  const chosen = {
    nodes: options.whole('nodes', 1, 9, 3),
    kills: options.whole('kills', 1, 10_000, 20),
    seed: options.whole('seed', 0, 4_294_967_295, Date.now() % 1_000_000),
    devices: options.whole('devices', 1, 200, 12),
    gateways: options.whole('gateways', 0, 50, 2),
    subDevices: options.whole('sub-devices', 1, 100, 8),
    steady: options.whole('steady', 0, 200, 12),
    callers: options.whole('callers', 1, 200, 24),
    only: options.some('only', RUNS),
    main: options.text('main') ?? 'dist/main.js',
    hasNats: signal === 'nats',
  }
  if (signal !== null && signal !== 'nats') options.wrong.push(`--signal ${signal}: it is nats, or not given`)
  if (chosen.hasNats && !hasNats()) options.wrong.push('--signal nats: nats-server is not installed here')
  if (!existsSync(chosen.main)) options.wrong.push(`${chosen.main} is not there; build it with npm run build`)
  return options.wrong.length > 0 ? `${options.wrong.join('\n')}\nSee --help.` : chosen
}
