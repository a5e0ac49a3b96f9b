// The peers by name. Each is loaded when it is asked for: what one needs may not be installed.

import type { Peer } from './front.ts'

const NOTHING: Peer = {
  set: () => Promise.resolve(String(++lastId)),
  close: () => Promise.resolve(),
}
let lastId = 0

const peers: Readonly<Record<string, (options: never) => Promise<Peer>>> = {
  /** No store and no device: what the front costs by itself. */
  nothing: async () => NOTHING,
  'pg-boss': async options => (await import('./pgboss.ts')).openPgBoss(options),
  bullmq: async options => (await import('./bullmq.ts')).openBullMq(options),
  mosquitto: async options => (await import('./broker.ts')).openBroker(options),
}

export function peerOf(name: string, options: unknown): Promise<Peer> {
  const open = peers[name]
  if (open === undefined) throw new Error(`no peer is called ${name}: ${Object.keys(peers).join(', ')}`)
  return open(options as never)
}
