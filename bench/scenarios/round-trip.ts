// Instant round trip: from a signed call to the device and back to the caller, on record before and after.

import { setTimeout as sleep } from 'node:timers/promises'
import { contenders } from '../contenders/contenders.ts'
import { PLAIN_MQTT, plainMqtt, RAW_ECHO, rawEcho } from '../contenders/mqtt-baselines.ts'
import { closedLoop, twoEach } from '../rig/loops.ts'
import { RawDevices } from '../rig/raw-devices.ts'
import { type Figures, measured, type Scenario, type Stand, standing } from '../rig/scenario.ts'

/** answered when the device has */
const INSTANT_S = 0
/** ms within which a device that is connected must be known to be there */
const READY_WAIT_MS = 10_000
const RETRY_MS = 20

/** Resolves when the device has answered a command: a peer learns from the broker that a device is there, and not at once. */
async function ready({ caller }: Stand, device: number): Promise<void> {
  for (const beganAt = performance.now(); ; await sleep(RETRY_MS)) {
    try {
      await caller.set(device, INSTANT_S)
      return
    } catch (cause) {
      if (performance.now() - beganAt > READY_WAIT_MS) throw new Error(`device ${device} is not there`, { cause })
    }
  }
}

async function measure(outstanding: number, stand: Stand): Promise<Figures> {
  const { running, caller, warmUpMs, measuredMs } = stand
  const devices = new RawDevices({ url: running.mqttUrl, login: running.login })
  try {
    await devices.connect(0, outstanding * 2)
    await Promise.all(Array.from({ length: outstanding * 2 }, (_, device) => ready(stand, device)))
    const deviceOf = twoEach(outstanding)
    const figures = await measured(running.processes, mark =>
      closedLoop({ workers: outstanding, warmUpMs, measuredMs, mark }, worker =>
        caller.set(deviceOf(worker), INSTANT_S),
      ),
    )
    devices.check()
    return figures
  } finally {
    await devices.disconnect()
  }
}

function scenario(outstanding: number, baseline: string): Scenario {
  const peers = standing(contenders, ['instant'], {
    devices: outstanding * 2,
    connections: outstanding,
    measure: stand => measure(outstanding, stand),
  })
  return {
    name: `instant-${outstanding}`,
    title: `Instant round trip, ${outstanding} outstanding`,
    what: `A signed call with pendingTtl 0 for a device that is there, answered when the device has; ${outstanding} at a time, each to one of ${outstanding * 2} devices, none of which has two at once. “${PLAIN_MQTT}” and “${RAW_ECHO}” are applications that speak MQTT themselves, without HTTP or signature, and keep nothing.`,
    baseline,
    rows: [plainMqtt(outstanding), rawEcho(outstanding), ...peers.rows],
    lacking: peers.lacking,
  }
}

export const instantOne = scenario(1, RAW_ECHO)
export const instantMany = scenario(64, PLAIN_MQTT)
