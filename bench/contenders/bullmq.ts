// BullMQ on Redis with Mosquitto in front of the devices: what somebody with a Redis at hand would put together.
// Not here: what is between BullMQ and the broker (../peers/bullmq.ts).

import { existsSync, readFileSync } from 'node:fs'
import { brokerLogin, type Contender } from '../rig/contender.ts'
import { mosquittoVersion, startMosquitto } from '../rig/mosquitto.ts'
import { freePort, saidBy, startProgram, startScript, startTogether } from '../rig/programs.ts'

const PACKAGE = 'bench/peers/node_modules/bullmq/package.json'

/** Redis writes its log and has it on the disk before it answers ("a single write and a single fsync (before sending the replies)", its documentation says). */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', '']

async function redisVersion(): Promise<string | null> {
  const said = await saidBy('redis-server', '--version')
  return said === null ? null : `Redis ${/v=([0-9.]+)/.exec(said)?.[1] ?? said}`
}

export const bullMq: Contender = {
  name: 'BullMQ',
  what: 'BullMQ on Redis, a queue for each device, and Mosquitto. A command is in the log of Redis, with fsync, before it is accepted, as it is taken to be sent, and with its answer, together with which the next one is taken. A command that is cancelled is removed: BullMQ keeps no record of it.',
  lacks: {},
  missing: async () => {
    if (!existsSync(PACKAGE)) return 'BullMQ is not installed: run bench/setup.sh'
    if ((await redisVersion()) === null) return 'Redis is not installed: run bench/setup.sh'
    return (await mosquittoVersion()) === null ? 'Mosquitto is not installed: run bench/setup.sh' : null
  },
  versions: async () => {
    const { version } = JSON.parse(readFileSync(PACKAGE, 'utf8'))
    return `BullMQ ${version}, ${await redisVersion()} (appendonly yes, appendfsync always), ${await mosquittoVersion()}`
  },
  start: ({ folder }) =>
    startTogether(async add => {
      const redisPort = await freePort()
      const own = ['--port', String(redisPort), '--bind', '127.0.0.1', '--dir', folder]
      const redis = add(await startProgram('redis-server', [...own, ...DURABLE], redisPort))
      const broker = add(await startMosquitto(folder))
      const options = JSON.stringify({ mqttUrl: broker.url.href, redisPort })
      const front = add(await startScript(['--import', 'tsx', 'bench/peers/main.ts', 'bullmq', options]))
      const processes = { server: front.pid, Redis: redis.pid, Mosquitto: broker.pid }
      return { httpUrl: front.url, mqttUrl: broker.url, login: device => brokerLogin(device, true), processes }
    }),
}
