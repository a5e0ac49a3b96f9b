// Downlink itself: the built server on SQLite with fsync, and the same with its commands in memory, which shows what durability costs.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Contender, secretLogin } from '../rig/contender.ts'
import { startServer, writeFleet } from '../rig/server.ts'

const contender = (name: string, what: string, storeOf: (folder: string) => string): Contender => ({
  name,
  what,
  lacks: {},
  missing: () => Promise.resolve(null),
  versions: async () => `Downlink ${JSON.parse(readFileSync('package.json', 'utf8')).version}`,
  start: async ({ folder, devices }) => {
    const server = await startServer(storeOf(folder), writeFleet(folder, devices))
    const { httpUrl, mqttUrl, pid } = server
    return { httpUrl, mqttUrl, login: secretLogin, processes: { server: pid }, stop: () => server.stop() }
  },
})

export const downlink = contender(
  'Downlink',
  'Downlink on SQLite. Accepted, sent and settled are each on the disk before they are told.',
  folder => `sqlite:${join(folder, 'downlink.db')}`,
)

export const downlinkInMemory = contender(
  'Downlink in memory',
  'The same without a disk: what is lost with the process, and what durability costs.',
  () => 'memory:',
)
