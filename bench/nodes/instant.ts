// How long an instant command takes over HTTP when its device is at the same node, and at another one, by what carries the signals between them.

import { Caller } from '../rig/caller.ts'
import { Devices } from '../rig/devices.ts'
import { medianOf, quantile, ratio, shown, spread, type Table } from '../rig/figures.ts'
import { closedLoop } from '../rig/loops.ts'
import { onDatabase } from '../rig/postgres.ts'
import { type ServerProcess, startServer, writeFleet } from '../rig/server.ts'
import type { Bench } from './bench.ts'

/** each with a device of its own */
const CALLERS = 64
/** Some 60 calls a second where they are quick: the machine is idle most of the time, and what is measured is the way, not a queue. */
const THINK_MS = 2_000
const MEASURED_MIN_MS = 2_500
/** a port where nobody listens */
const NOWHERE = 'nats://127.0.0.1:1'

interface Way {
  readonly name: string
  readonly signal: string | null
  /** the node that is called: the devices are at the second */
  readonly called: 0 | 1
}

interface Round {
  readonly calls: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
}

export async function instant(bench: Bench): Promise<{ tables: Table[]; rounds: Record<string, Round[]> }> {
  const fleet = writeFleet(bench.folder, CALLERS)
  const ways: Way[] = [
    { name: 'same node', signal: null, called: 1 },
    { name: 'across nodes, NOTIFY', signal: null, called: 0 },
    ...(bench.nats === null ? [] : [{ name: 'across nodes, NATS', signal: bench.nats.url, called: 0 } as const]),
    { name: 'across nodes, all signals lost', signal: NOWHERE, called: 0 },
  ]
  const rounds: Record<string, Round[]> = {}
  for (let round = 1; round <= bench.rounds; round++) {
    for (const way of ways) {
      const done = await onDatabase(bench.postgres, url => measure(bench, way, fleet, url))
      rounds[way.name] = [...(rounds[way.name] ?? []), done]
      bench.progress(`round ${round}  instant, ${way.name}: p50 ${shown(done.p50Ms)} ms, p99 ${shown(done.p99Ms)} ms`)
    }
  }
  return { tables: [tableOf(ways, rounds)], rounds }
}

async function measure(bench: Bench, { signal, called }: Way, fleet: string, store: string): Promise<Round> {
  const servers: ServerProcess[] = []
  let caller: Caller | null = null
  let devices: Devices | null = null
  const more = signal === null ? [] : ['--signal', signal]
  try {
    for (let n = 0; n < 2; n++) servers.push(await startServer(store, fleet, more))
    const [there, here] = [servers[1]!, servers[called]!]
    devices = await Devices.connect([there.mqttUrl], CALLERS)
    const at = await Caller.logIn(here.httpUrl, CALLERS)
    caller = at
    // Longer than other measurements: a call without signals takes a second, and there must be enough of them.
    const measuredMs = Math.max(2 * bench.measuredMs, MEASURED_MIN_MS)
    const load = { workers: CALLERS, warmUpMs: bench.warmUpMs, measuredMs, thinkMs: THINK_MS }
    const { turns, latenciesMs } = await closedLoop(load, worker => at.set(worker, 0))
    const [p50Ms, p95Ms, p99Ms] = [0.5, 0.95, 0.99].map(part => quantile(latenciesMs, part))
    return { calls: turns, p50Ms: p50Ms!, p95Ms: p95Ms!, p99Ms: p99Ms! }
  } finally {
    await devices?.stop()
    caller?.close()
    for (const server of servers) await server.stop()
  }
}

function tableOf(ways: readonly Way[], rounds: Record<string, Round[]>): Table {
  const of = ({ name }: Way): Round[] => rounds[name] ?? []
  const baseline = medianOf(of(ways[0]!), round => round.p50Ms)
  return {
    title: 'Instant commands: from the call to its answer',
    head: ['', 'calls', 'p50 ms', 'ratio', 'p95 ms', 'p99 ms'],
    rows: ways.map(way => [
      way.name,
      shown(of(way).reduce((sum, { calls }) => sum + calls, 0)),
      spread(of(way), round => round.p50Ms),
      ratio(
        medianOf(of(way), round => round.p50Ms),
        baseline,
      ),
      spread(of(way), round => round.p95Ms),
      spread(of(way), round => round.p99Ms),
    ]),
    notes: [
      `Two nodes in each case; ${CALLERS} callers of one node, who wait up to ${THINK_MS} ms by chance before each call; devices answer after a millisecond.`,
    ],
  }
}
