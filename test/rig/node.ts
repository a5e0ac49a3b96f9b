// One of several nodes on a PostgreSQL of the rig: the whole server, in this process.

import { pino } from 'pino'
import { readServeConfig } from '../../src/cli/config.ts'
import { type Server, startServer } from '../../src/cli/serve.ts'

/** The key that all nodes of the tests have. */
export const SECRET_KEY = 'c0'.repeat(32)

/** Listens on free ports; `args` are more options of `downlink serve`. Its `stop` may be called again. */
export async function startNode(storeUrl: string, args: readonly string[] = []): Promise<Server> {
  const base = ['--http', '0', '--mqtt', '0', '--ready-after', '50', '--store', storeUrl]
  const read = readServeConfig([...base, ...args], { DOWNLINK_SECRET_KEY: SECRET_KEY })
  if (!read.ok) throw new Error(read.problems.join('\n'))
  const server = await startServer(read.config, pino({ level: 'silent' }))
  let stopping: Promise<void> | null = null
  const stop = (): Promise<void> => {
    stopping ??= server.stop()
    return stopping
  }
  return { ...server, stop }
}
