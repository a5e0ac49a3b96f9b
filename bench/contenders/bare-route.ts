// A baseline: the signed route with nothing behind it. No server in Node that checks the same signature can accept more.

import type { Contender } from '../rig/contender.ts'
import { secretLogin } from '../rig/contender.ts'
import { startScript } from '../rig/programs.ts'

const NOTHING = 'nothing is behind the route'

export const bareRoute: Contender = {
  name: 'bare route',
  what: 'The signed route by itself: fastify, the signature, and an answer. Nothing is kept and nothing is sent.',
  lacks: { instant: NOTHING, cancel: NOTHING, deliver: NOTHING, 'in order': NOTHING, read: NOTHING },
  missing: () => Promise.resolve(null),
  versions: async () => {
    const { default: fastify } = await import('fastify/package.json', { with: { type: 'json' } })
    return `fastify ${fastify.version}`
  },
  start: async () => {
    const server = await startScript(['--import', 'tsx', 'bench/peers/main.ts', 'nothing'])
    const { url, pid } = server
    return { httpUrl: url, mqttUrl: url, login: secretLogin, processes: { server: pid }, stop: () => server.stop() }
  },
}
