// Built servers as processes of their own, and the fleet that they serve: what several benches stand on. Needs `npm run build`.
// Not here: who calls them (caller.ts), and the devices (devices.ts).

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export const ORG = 'oBench'
export const APP = { appKey: '5acb82e7-a11e-4300-9164-c8b20b638e8b', appSecret: '65417473-2da3-40cc-b235-513b9123aefb' }
export const PRODUCT = 'pk'
export const DEVICE_SECRET = 's'
export const POINT = 'Int_value'
export const assetOf = (device: number): string => `a${device}`
export const deviceKeyOf = (device: number): string => `d${device}`

/** Off the road: what is measured is accepting, not refusing. */
const QUEUE_CAP = 1_000
/** Nodes that share a store have one key; these hold nothing that is worth keeping. */
const SECRET_KEY = 'be'.repeat(32)
/** of what a server wrote to stderr, for whoever has to see why it ended */
const WORDS_MAX_CHARS = 4_000

/** Writes a fleet file with devices 0, 1, … of one product into the folder, and returns its path. */
export function writeFleet(folder: string, devices: number): string {
  const file = join(folder, 'fleet.json')
  const grants = [{ resource: 'Asset', actions: ['Control'], scope: 'all' }]
  const organization = {
    orgId: ORG,
    name: 'Bench',
    applications: [{ ...APP, grants }],
    models: [{ modelId: 'm', measurepoints: { [POINT]: { name: { defaultValue: POINT }, dataType: 'INT' } } }],
    products: [{ productKey: PRODUCT, productSecret: 's', productName: { defaultValue: 'p' }, modelId: 'm' }],
    devices: Array.from({ length: devices }, (_, i) => ({
      assetId: assetOf(i),
      productKey: PRODUCT,
      deviceKey: deviceKeyOf(i),
      deviceSecret: DEVICE_SECRET,
    })),
  }
  writeFileSync(file, JSON.stringify({ organizations: [organization] }))
  return file
}

export interface ServerProcess {
  readonly httpUrl: URL
  readonly mqttUrl: URL
  readonly pid: number
  /** kill -9; resolves when it is gone */
  kill(): Promise<void>
  /** SIGTERM; resolves when it has ended. Throws where it ended otherwise than it should, with what it said. */
  stop(): Promise<void>
}

const alive = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

/** Starts `downlink serve`, on free ports unless `more` has some; resolves when it listens. */
export async function startServer(store: string, fleet: string, more: readonly string[] = []): Promise<ServerProcess> {
  const ports = more.includes('--http') ? [] : ['--http', '0', '--mqtt', '0']
  const args = ['dist/main.js', 'serve', ...ports, '--store', store, '--fleet', fleet]
  const child = spawn(process.execPath, [...args, '--queue-cap', String(QUEUE_CAP), '--log-level', 'warn', ...more], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', DOWNLINK_SECRET_KEY: SECRET_KEY },
  })
  alive.add(child)
  let words = ''
  child.stderr.setEncoding('utf8').on('data', (said: string) => {
    words = (words + said).slice(-WORDS_MAX_CHARS)
  })
  const ended = once(child, 'exit').finally(() => alive.delete(child))
  const listening = async (): Promise<Record<string, URL>> => {
    const urls: Record<string, URL> = {}
    for await (const line of createInterface(child.stdout)) {
      const [, scheme, url] = /^listening (http|mqtt) (\S+)$/.exec(line) ?? []
      if (scheme !== undefined && url !== undefined) urls[scheme] = new URL(url)
      if (urls.http && urls.mqtt) return urls
    }
    throw new Error(`the server ended before it listened: ${words}`)
  }
  const { http, mqtt } = await listening()
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    const [code] = await ended
    if (code !== 0) throw new Error(`the server ended with ${code}: ${words}`)
  }
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  return { httpUrl: http!, mqttUrl: mqtt!, pid: child.pid!, kill, stop }
}
