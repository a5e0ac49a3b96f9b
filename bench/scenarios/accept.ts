// Durable accept: how many commands a second are taken for devices that are away, and how long a caller waits until his is safe.

import { bareRoute } from '../contenders/bare-route.ts'
import { contenders } from '../contenders/contenders.ts'
import { closedLoop, openLoop } from '../rig/loops.ts'
import { measured, type Scenario, standing } from '../rig/scenario.ts'

/** in turn, so that no queue grows long */
const DEVICES = 2_000
const CONNECTIONS = 64
const TTL_S = 172_800
/** a second, in the open loop: what each of the contenders can bear */
const RATE = 400
const OUTSTANDING_MAX = 2_000

export const accept: Scenario = {
  name: 'accept',
  title: 'Durable accept',
  what: `A signed call with a pendingTtl of 48 hours for a device that is away, answered when the command will survive a crash; ${DEVICES.toLocaleString('en-US')} devices in turn, ${CONNECTIONS} connections, each of which sends its next call when it has the answer to the one before.`,
  baseline: bareRoute.name,
  ...standing([bareRoute, ...contenders], ['accept'], {
    devices: DEVICES,
    connections: CONNECTIONS,
    measure: ({ running, caller, warmUpMs, measuredMs }) => {
      let device = 0
      const turn = (): Promise<unknown> => {
        device = (device + 1) % DEVICES
        return caller.set(device, TTL_S)
      }
      return measured(running.processes, mark => closedLoop({ workers: CONNECTIONS, warmUpMs, measuredMs, mark }, turn))
    },
  }),
}

export const acceptAtRate: Scenario = {
  name: 'accept-at-rate',
  title: `Durable accept at ${RATE} a second`,
  what: `The same calls in an open loop: ${RATE} a second whatever becomes of those before, and each latency counts from the moment at which its call was due.`,
  baseline: bareRoute.name,
  ...standing([bareRoute, ...contenders], ['accept'], {
    devices: DEVICES,
    connections: OUTSTANDING_MAX,
    measure: ({ running, caller, warmUpMs, measuredMs }) => {
      const rate = { perSecond: RATE, warmUpMs, measuredMs, outstandingMax: OUTSTANDING_MAX }
      return measured(running.processes, mark =>
        openLoop({ ...rate, mark }, number => caller.set(number % DEVICES, TTL_S)),
      )
    },
  }),
}
