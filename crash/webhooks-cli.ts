// `npm run crash:webhooks`: the harness of the stream as a process. Not here: what it does (webhooks.ts).

import { crashWebhooks } from './webhooks.ts'

const interrupt = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupt.abort())
process.exitCode = await crashWebhooks(
  process.argv.slice(2),
  line => void process.stdout.write(`${line}\n`),
  interrupt.signal,
)
