// Commands accepted, and whole cycles, a second, and what they cost in processor time: one process on SQLite, one and two nodes on PostgreSQL.
// A cycle: accepted over HTTP, published over MQTT, answered by the device, and the outcome durable, which is when the server acknowledges the answer.

import { join } from 'node:path'
import { Caller } from '../rig/caller.ts'
import { cpuMs, cpuMsWithChildren, ownCpuMs } from '../rig/cpu.ts'
import { Devices } from '../rig/devices.ts'
import { medianOf, quantile, ratio, shown, spread, type Table } from '../rig/figures.ts'
import { closedLoop } from '../rig/loops.ts'
import { onDatabase } from '../rig/postgres.ts'
import { type ServerProcess, startServer, writeFleet } from '../rig/server.ts'
import type { Bench } from './bench.ts'

/** callers of all nodes together; each has one call on its way */
const CALLERS = 64
/** Connected. Each caller has two, on different nodes where there are two, so that no command waits behind another. */
const CONNECTED = 2 * CALLERS
/** Not connected: what they are sent stays in their queues. */
const AWAY = 2_000
const TTL_S = 172_800

const ways = [
  { name: 'SQLite, one process', nodes: 1, store: 'sqlite' },
  { name: 'PostgreSQL, one node', nodes: 1, store: 'postgres' },
  { name: 'PostgreSQL, two nodes', nodes: 2, store: 'postgres' },
] as const
type Way = (typeof ways)[number]

interface Rate {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** µs of processor for each: of all servers, of PostgreSQL with its connections, of callers and devices */
  readonly serversUs: number
  readonly postgresUs: number
  readonly generatorUs: number
}

interface Round {
  readonly cycles: Rate
  readonly accepts: Rate
}

export async function throughput(bench: Bench): Promise<{ tables: Table[]; rounds: Record<string, Round[]> }> {
  const fleet = writeFleet(bench.folder, CONNECTED + AWAY)
  const rounds: Record<string, Round[]> = {}
  for (let round = 1; round <= bench.rounds; round++) {
    for (const way of ways) {
      const done =
        way.store === 'sqlite'
          ? await measure(bench, way, fleet, `sqlite:${join(bench.folder, `round${round}.db`)}`)
          : await onDatabase(bench.postgres, url => measure(bench, way, fleet, url))
      rounds[way.name] = [...(rounds[way.name] ?? []), done]
      const { cycles, accepts } = done
      bench.progress(
        `round ${round}  ${way.name}: ${shown(cycles.perSecond)} cycles/s, ${shown(accepts.perSecond)} accepts/s`,
      )
    }
  }
  return { tables: [tableOf('cycles', rounds), tableOf('accepts', rounds)], rounds }
}

async function measure(bench: Bench, way: Way, fleet: string, store: string): Promise<Round> {
  const servers: ServerProcess[] = []
  const callers: Caller[] = []
  let devices: Devices | null = null
  try {
    for (let n = 0; n < way.nodes; n++) servers.push(await startServer(store, fleet))
    for (const { httpUrl } of servers) callers.push(await Caller.logIn(httpUrl, CALLERS))
    const connected = await Devices.connect(
      servers.map(({ mqttUrl }) => mqttUrl),
      CONNECTED,
    )
    devices = connected
    const cycles = await rateOf(bench, way, servers, cyclesOf(callers, connected))
    await checkCycles(callers, cycles.all)
    const accepts = await rateOf(bench, way, servers, acceptsOf(callers))
    return { cycles: cycles.rate, accepts: accepts.rate }
  } finally {
    await devices?.stop()
    for (const caller of callers) caller.close()
    for (const server of servers) await server.stop()
  }
}

type Turn = (worker: number) => Promise<void>

/** Two turns of a caller are for devices of different nodes, so that with two nodes one of them crosses over. */
function cyclesOf(callers: readonly Caller[], devices: Devices): Turn {
  const turns = new Uint32Array(CALLERS)
  return async worker => {
    const turn = turns[worker]!++
    const device = 2 * worker + (turn % 2)
    const [durable, accepted] = await Promise.all([
      devices.answered(device),
      callerOf(callers, worker).set(device, TTL_S),
    ])
    if (durable !== accepted) throw new Error(`device ${device} answered ${durable}, and ${accepted} was accepted`)
  }
}

function acceptsOf(callers: readonly Caller[]): Turn {
  let next = 0
  return async worker => {
    next = (next + 1) % AWAY
    await callerOf(callers, worker).set(CONNECTED + next, TTL_S)
  }
}

/** Neighbours call different nodes. */
const callerOf = (callers: readonly Caller[], worker: number): Caller => callers[worker % callers.length]!

/** What the devices saw is what the servers did. */
async function checkCycles(callers: readonly Caller[], cycles: number): Promise<void> {
  let succeeded = 0
  for (const caller of callers) succeeded += await caller.transitions('succeeded')
  if (succeeded !== cycles) throw new Error(`${cycles} cycles were counted, and the servers say ${succeeded}`)
}

async function rateOf(
  { warmUpMs, measuredMs, postmaster }: Bench,
  { store }: Way,
  servers: readonly ServerProcess[],
  turn: Turn,
): Promise<{ readonly rate: Rate; readonly all: number }> {
  const marks: Record<string, readonly [servers: number, postgres: number, generator: number]> = {}
  const mark = (edge: string): void => {
    const ofServers = servers.reduce((sum, { pid }) => sum + cpuMs(pid), 0)
    marks[edge] = [ofServers, store === 'postgres' ? cpuMsWithChildren(postmaster) : 0, ownCpuMs()]
  }
  let all = 0
  const load = { workers: CALLERS, warmUpMs, measuredMs, mark }
  const { turns, perSecond, latenciesMs } = await closedLoop(load, async worker => {
    await turn(worker)
    all += 1
  })
  const { begin, end } = marks
  const eachUs = (which: 0 | 1 | 2): number => ((end![which] - begin![which]) * 1_000) / turns
  const latency = { p50Ms: quantile(latenciesMs, 0.5), p99Ms: quantile(latenciesMs, 0.99) }
  const rate = { perSecond, ...latency, serversUs: eachUs(0), postgresUs: eachUs(1), generatorUs: eachUs(2) }
  return { rate, all }
}

function tableOf(what: 'cycles' | 'accepts', rounds: Record<string, Round[]>): Table {
  const of = (way: Way): Rate[] => (rounds[way.name] ?? []).map(round => round[what])
  const baseline = medianOf(of(ways[0]), rate => rate.perSecond)
  const baseUs = medianOf(of(ways[0]), rate => rate.serversUs)
  const [one, title] =
    what === 'cycles'
      ? ['cycle', 'Whole cycles: accepted, published, answered by the device, succeeded']
      : ['accept', 'Durable accepts: signed HTTP, answered when the command is on the disk']
  return {
    title,
    head: [
      '',
      `${what}/s`,
      'ratio',
      'p50 ms',
      'p99 ms',
      `servers µs/${one}`,
      'ratio',
      'PostgreSQL µs',
      'both µs',
      'callers and devices µs',
    ],
    rows: ways.map(way => {
      const rates = of(way)
      const serversUs = medianOf(rates, rate => rate.serversUs)
      return [
        way.name,
        spread(rates, rate => rate.perSecond),
        ratio(
          medianOf(rates, rate => rate.perSecond),
          baseline,
        ),
        shown(medianOf(rates, rate => rate.p50Ms)),
        shown(medianOf(rates, rate => rate.p99Ms)),
        shown(serversUs),
        ratio(serversUs, baseUs),
        way.store === 'postgres' ? shown(medianOf(rates, rate => rate.postgresUs)) : '-',
        shown(medianOf(rates, rate => rate.serversUs + rate.postgresUs)),
        shown(medianOf(rates, rate => rate.generatorUs)),
      ]
    }),
    notes: [
      `${CALLERS} callers in a closed loop${what === 'cycles' ? '; with two nodes half of the calls are for a device of the other one' : ''}. Ratios are to the first row.`,
    ],
  }
}
