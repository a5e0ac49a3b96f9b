// `npm run crash`: the harness as a process. Not here: what it does (main.ts).

import { crash } from './main.ts'

const interrupt = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interrupt.abort())
process.exitCode = await crash(process.argv.slice(2), line => void process.stdout.write(`${line}\n`), interrupt.signal)
