// `npm run cluster`: the cluster harness as a process. Not here: what it does (cluster.ts).

import { cluster } from './cluster.ts'

const interrupt = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupt.abort())
process.exitCode = await cluster(
  process.argv.slice(2),
  line => void process.stdout.write(`${line}\n`),
  interrupt.signal,
)
