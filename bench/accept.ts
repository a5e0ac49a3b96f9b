// Durable cached accepts per second: signed HTTP, 64 connections, SQLite with fsync, next to the same route with the memory store, in one run.
// Not a test: machines are noisy, so the figure to quote is the ratio of medians.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Caller } from './rig/caller.ts'
import { medianOf, quantile } from './rig/figures.ts'
import { closedLoop } from './rig/loops.ts'
import { startServer, writeFleet } from './rig/server.ts'

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '64' },
    seconds: { type: 'string', default: '5' },
    rounds: { type: 'string', default: '3' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log('npm run bench:accept -- [--connections 64] [--seconds 5 per run] [--rounds 3 of each store]')
  process.exit(0)
}
const connections = Number(values.connections)
const seconds = Number(values.seconds)
const rounds = Number(values.rounds)
const WARM_UP_MS = 1_000
/** Taken in turn. */
const DEVICES = 2_000
const TTL_S = 172_800

const folder = mkdtempSync(join(tmpdir(), 'downlink-bench-'))
const fleet = writeFleet(folder, DEVICES)

interface Figures {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Closed loop: each connection sends its next call when the one before is answered. */
async function measure(store: string): Promise<Figures> {
  const server = await startServer(store, fleet)
  let caller: Caller | null = null
  try {
    const application = await Caller.logIn(server.httpUrl, connections)
    caller = application
    let device = 0
    const load = { workers: connections, warmUpMs: WARM_UP_MS, measuredMs: seconds * 1_000 }
    const { perSecond, latenciesMs } = await closedLoop(load, () => {
      device = (device + 1) % DEVICES
      return application.set(device, TTL_S)
    })
    return { perSecond, p50Ms: quantile(latenciesMs, 0.5), p99Ms: quantile(latenciesMs, 0.99) }
  } finally {
    caller?.close()
    await server.stop()
  }
}

const results: Record<'sqlite' | 'memory', Figures[]> = { sqlite: [], memory: [] }
try {
  console.log(
    `signed HTTP, cached set, ${connections} connections, ${rounds} x ${seconds} s each, load generator on the same machine`,
  )
  for (let round = 1; round <= rounds; round++) {
    for (const name of ['sqlite', 'memory'] as const) {
      const figures = await measure(name === 'sqlite' ? `sqlite:${join(folder, `round${round}.db`)}` : 'memory:')
      results[name].push(figures)
      const { perSecond, p50Ms, p99Ms } = figures
      console.log(
        `round ${round}  ${name.padEnd(6)}  ${perSecond.toFixed(0).padStart(7)} accepts/s  p50 ${p50Ms.toFixed(1)} ms  p99 ${p99Ms.toFixed(1)} ms`,
      )
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
const durable = medianOf(results.sqlite, ({ perSecond }) => perSecond)
const bare = medianOf(results.memory, ({ perSecond }) => perSecond)
console.log(
  `median  sqlite (fsync before each answer) ${durable.toFixed(0)}/s   memory ${bare.toFixed(0)}/s   ratio ${(durable / bare).toFixed(2)}`,
)
