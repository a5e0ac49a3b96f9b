// Shows that a cancel by filter tells the truth to the last command while devices come back: 20,000 commands on 2,000 devices, 500 of which reconnect. Ends with
// 1 where anything does not agree. With --kills the server is killed on the way as well.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { cancelMany } from './rig/cancel-many.ts'
import { startServer, writeFleet } from './rig/server.ts'

const { values } = parseArgs({
  options: {
    devices: { type: 'string', default: '2000' },
    each: { type: 'string', default: '10' },
    returning: { type: 'string', default: '500' },
    kills: { type: 'string', default: '0' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log('npm run show:cancel -- [--devices 2000] [--each 10 commands] [--returning 500] [--kills 0]')
  process.exit(0)
}
const [devices, each, returning, kills] = [values.devices, values.each, values.returning, values.kills].map(Number) as [
  number,
  number,
  number,
  number,
]

const folder = mkdtempSync(join(tmpdir(), 'downlink-show-'))
try {
  const file = join(folder, 'downlink.db')
  const fleet = writeFleet(folder, devices)
  const { commands, cancelled, sent, received, cancelMs, disagreements } = await cancelMany({
    start: ({ http, mqtt }) =>
      startServer(`sqlite:${file}`, fleet, ['--http', http, '--mqtt', mqtt, '--ready-after', '50']),
    ...{ file, devices, each, returning, kills },
    say: line => console.log(line),
  })
  console.log(
    `cancelled by the call ${cancelled}, sent ${sent}, received ${received} of ${commands}; it took ${Math.round(cancelMs)} ms`,
  )
  for (const line of disagreements) console.log(`WRONG: ${line}`)
  console.log(
    disagreements.length === 0 ? 'the result agrees with the event log to the last command' : 'it does NOT agree',
  )
  process.exitCode = disagreements.length === 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true })
}
