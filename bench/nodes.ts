// Several nodes, measured in one run: what PostgreSQL and a second node cost next to one process on SQLite, what batches are worth, what carries signals,
// and what it takes to reach a device at another node. Not a test: machines are noisy, so the figures to quote are the ratios of medians.
// Linux only, for processor time. Needs `npm run build`.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { connect } from '@nats-io/transport-node'
import { type NatsServer, startNats, whyNoNats } from '../test/rig/nats.ts'
import type { PostgresServer } from '../test/rig/postgres.ts'
import { batches } from './nodes/batches.ts'
import type { Bench } from './nodes/bench.ts'
import { instant } from './nodes/instant.ts'
import { signals } from './nodes/signals.ts'
import { throughput } from './nodes/throughput.ts'
import { markdown, type Table } from './rig/figures.ts'
import { describe, postmasterOf, startDurablePostgres } from './rig/postgres.ts'

const parts = { throughput, batches, signals, instant } as const
type Part = keyof typeof parts

const USAGE = `npm run bench:nodes -- [--quick] [--rounds 3] [--seconds 3] [--only ${Object.keys(parts).join(',')}] [--out FILE.md|FILE.json]
  --quick    one round of half a second: whether it runs, in less than a minute; its figures are worth little
  --rounds   how often each is measured, in turn with the others; the medians are shown
  --seconds  that one measurement takes, without its warm-up
  --only     these parts, of ${Object.keys(parts).join(', ')}
  --out      writes the tables as Markdown, or all figures of all rounds as JSON`

/** ms after which something hangs: three times what a run takes on a machine of two cores */
const hangsAfterMs = ({ rounds, measuredMs }: Options): number => 120_000 + rounds * (180_000 + 80 * measuredMs)

/** ms for which it is watched how busy the machine is without us */
const BUSY_SAMPLE_MS = 1_000

interface Options {
  readonly rounds: number
  readonly measuredMs: number
  readonly only: readonly Part[]
  readonly out: string | null
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      only: { type: 'string', default: Object.keys(parts).join() },
      out: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    process.exit(0)
  }
  const number = (name: string, text: string, most: number): number => {
    const value = Number(text)
    if (!(value > 0 && value <= most)) refuse(`--${name} ${text}: a number up to ${most} is wanted`)
    return value
  }
  const only = values.only.split(',').map(name => {
    if (!Object.hasOwn(parts, name)) refuse(`--only ${name}: there are ${Object.keys(parts).join(', ')}`)
    return name as Part
  })
  const out = values.out ?? null
  if (out !== null && !/\.(md|json)$/.test(out)) refuse(`--out ${out}: a name that ends in .md or .json is wanted`)
  return {
    rounds: Math.ceil(number('rounds', values.rounds ?? (values.quick ? '1' : '3'), 20)),
    measuredMs: 1_000 * number('seconds', values.seconds ?? (values.quick ? '0.5' : '3'), 60),
    only,
    out,
  }
}

function refuse(problem: string): never {
  console.error(`${problem}\n${USAGE}`)
  process.exit(2)
}

/** Where and how it was measured, a line each. */
async function circumstances(postgres: PostgresServer, nats: NatsServer | null): Promise<string[]> {
  const gigabytes = Math.round(totalmem() / 2 ** 30)
  return [
    `${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC, ${['npm run bench:nodes --', ...process.argv.slice(2)].join(' ')}`,
    `${availableParallelism()} cores (${cpus()[0]?.model.trim()}), ${gigabytes} GB; everything on this one machine`,
    `Node ${process.versions.node}, ${await describe(postgres)}, ${nats === null ? `no NATS: ${whyNoNats}` : await natsVersion(nats)}`,
  ]
}

/** What others did on this machine: the part of its processors that was busy while the bench itself did nothing. */
async function busyPercent(): Promise<number> {
  const read = () => cpus().map(({ times }) => times)
  const sum = (of: 'idle' | 'all', times: ReturnType<typeof read>): number =>
    times.reduce((all, each) => all + (of === 'idle' ? each.idle : Object.values(each).reduce((a, b) => a + b)), 0)
  const before = read()
  await sleep(BUSY_SAMPLE_MS)
  const after = read()
  return Math.round(100 * (1 - (sum('idle', after) - sum('idle', before)) / (sum('all', after) - sum('all', before))))
}

async function natsVersion({ url }: NatsServer): Promise<string> {
  const connection = await connect({ servers: url, reconnect: false })
  const version = connection.info?.version
  await connection.close()
  return `NATS ${version}`
}

async function run({ rounds, measuredMs, only, out }: Options): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-bench-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const undo: (() => unknown)[] = []
  const busyBefore = await busyPercent()
  try {
    const postgres = await startDurablePostgres()
    undo.push(() => postgres.stop())
    const nats = whyNoNats === null ? await startNats() : null
    undo.push(() => nats?.stop())
    const lines = await circumstances(postgres, nats)
    for (const line of lines) console.log(line)
    const progress = (text: string): void => console.error(`  ${text}`)
    const common = { folder, postgres, postmaster: await postmasterOf(postgres), nats, progress }
    const bench: Bench = { ...common, rounds, measuredMs, warmUpMs: Math.min(1_000, measuredMs / 3) }
    const tables: Table[] = []
    const figures: Record<string, unknown> = {}
    for (const part of only) {
      const done = await parts[part](bench)
      tables.push(...done.tables)
      figures[part] = done.rounds
      for (const table of done.tables) console.log(`\n${markdown(table)}`)
    }
    const others = `without the bench the processors were ${busyBefore} % busy before it, and ${await busyPercent()} % after it`
    lines.push(others)
    console.log(`\n${others}`)
    if (out?.endsWith('.json')) writeFileSync(out, `${JSON.stringify({ circumstances: lines, figures }, null, 2)}\n`)
    else if (out !== null) writeFileSync(out, `${[lines.join('\\\n'), ...tables.map(markdown)].join('\n\n')}\n`)
  } finally {
    for (const step of undo.reverse()) await step()
  }
}

const options = readOptions()
// The servers end with this process, PostgreSQL and NATS when nobody holds their input open any more.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
setTimeout(() => {
  console.error('something hangs, so this ends')
  process.exit(1)
}, hangsAfterMs(options)).unref()
await run(options)
