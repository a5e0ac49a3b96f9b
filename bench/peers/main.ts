// A peer as a process of its own: `main.ts NAME OPTIONS`, the options as JSON. Says where it listens, and ends on SIGTERM.

import { serveFront } from './front.ts'
import { peerOf } from './peers.ts'

const [, , name = '', options = '{}'] = process.argv
const front = await serveFront(await peerOf(name, JSON.parse(options)))
process.on('SIGTERM', () => void front.close().then(() => process.exit(0)))
console.log(`listening http http://127.0.0.1:${front.port}`)
