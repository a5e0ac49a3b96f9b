// Durable cached accepts per second: signed HTTP, 64 connections, SQLite with fsync, next to the same route with the memory store, in one run.
// Not a test: machines are noisy, so the figure to quote is the ratio of medians.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { encryption, signature } from '../src/http/signature.ts'

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
const WARM_UP_S = 1

const ORG = 'oBench'
const APP = { appKey: '5acb82e7-a11e-4300-9164-c8b20b638e8b', appSecret: '65417473-2da3-40cc-b235-513b9123aefb' }
/** Devices are taken in turn, and the cap is off the road: what is measured is accepting, not refusing. */
const DEVICES = 2_000
const QUEUE_CAP = 1_000

const folder = mkdtempSync(join(tmpdir(), 'downlink-bench-'))
const fleet = join(folder, 'fleet.json')
writeFileSync(
  fleet,
  JSON.stringify({
    organizations: [
      {
        orgId: ORG,
        name: 'Bench',
        applications: [{ ...APP, grants: [{ resource: 'Asset', actions: ['Control'], scope: 'all' }] }],
        models: [
          { modelId: 'm', measurepoints: { Int_value: { name: { defaultValue: 'Int_value' }, dataType: 'INT' } } },
        ],
        products: [{ productKey: 'pk', productSecret: 's', productName: { defaultValue: 'p' }, modelId: 'm' }],
        devices: Array.from({ length: DEVICES }, (_, i) => ({
          assetId: `a${i}`,
          productKey: 'pk',
          deviceKey: `d${i}`,
          deviceSecret: 's',
        })),
      },
    ],
  }),
)

async function startServer(store: string): Promise<{ url: URL; child: ChildProcess }> {
  const args = ['dist/main.js', 'serve', '--http', '0', '--mqtt', '0', '--store', store, '--fleet', fleet]
  const child = spawn(process.execPath, [...args, '--queue-cap', String(QUEUE_CAP), '--log-level', 'warn'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', code => reject(new Error(`the server ended with ${code}`)))
    createInterface(child.stdout).on('line', line => {
      const [, found] = /^listening http (\S+)$/.exec(line) ?? []
      if (found) resolve(found)
    })
  })
  return { url: new URL(url), child }
}

const post = (agent: Agent, url: URL, path: string, headers: Record<string, string>, body: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const call = request({ agent, host: url.hostname, port: url.port, path, method: 'POST', headers }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk
      })
      response.on('end', () => resolve(text))
    })
    call.on('error', reject)
    call.end(body)
  })

interface Figures {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Closed loop: each connection sends its next call when the one before is answered. */
async function measure(store: string): Promise<Figures> {
  const { url, child } = await startServer(store)
  const agent = new Agent({ keepAlive: true, maxSockets: connections, noDelay: true })
  try {
    const at = String(Date.now())
    const proof = JSON.stringify({
      appKey: APP.appKey,
      timestamp: at,
      encryption: encryption(APP.appKey, at, APP.appSecret),
    })
    const got = JSON.parse(await post(agent, url, '/apim-token-service/v2.0/token/get', {}, proof))
    const token: string = got.data.accessToken
    let device = 0
    let accepted = 0
    const latenciesMs: number[] = []
    const startedAt = performance.now()
    const from = startedAt + WARM_UP_S * 1000
    const until = from + seconds * 1000
    const body = '{"value":222}'
    const run = async () => {
      while (performance.now() < until) {
        device = (device + 1) % DEVICES
        const params = {
          action: 'setMeasurepoint',
          orgId: ORG,
          assetId: `a${device}`,
          measurepointId: 'Int_value',
          pendingTtl: '172800',
        }
        const timestamp = String(Date.now())
        const pairs = Object.entries(params).map(([name, value]) => ({ name, value }))
        const headers = {
          'apim-accesstoken': token,
          'apim-timestamp': timestamp,
          'apim-signature': signature(token, pairs, Buffer.from(body), timestamp, APP.appSecret),
        }
        const sentAt = performance.now()
        const text = await post(
          agent,
          url,
          `/connect-service/v2.1/commands?${new URLSearchParams(params)}`,
          headers,
          body,
        )
        if (!text.startsWith('{"code":0,')) throw new Error(`not accepted: ${text}`)
        const now = performance.now()
        if (now >= from && now < until) {
          accepted += 1
          latenciesMs.push(now - sentAt)
        }
      }
    }
    await Promise.all(Array.from({ length: connections }, run))
    latenciesMs.sort((a, b) => a - b)
    const atPart = (part: number) => latenciesMs[Math.floor(latenciesMs.length * part)] ?? Number.NaN
    return { perSecond: accepted / seconds, p50Ms: atPart(0.5), p99Ms: atPart(0.99) }
  } finally {
    agent.destroy()
    child.kill('SIGTERM')
    await new Promise(resolve => child.once('exit', resolve))
  }
}

const median = (of: number[]): number => [...of].sort((a, b) => a - b)[Math.floor(of.length / 2)] ?? Number.NaN

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
const durable = median(results.sqlite.map(({ perSecond }) => perSecond))
const bare = median(results.memory.map(({ perSecond }) => perSecond))
console.log(
  `median  sqlite (fsync before each answer) ${durable.toFixed(0)}/s   memory ${bare.toFixed(0)}/s   ratio ${(durable / bare).toFixed(2)}`,
)
