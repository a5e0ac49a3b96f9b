// Restart: how long a server with many waiting commands is away, after it was ended and after it was killed.

import { join } from 'node:path'
import { downlink } from '../contenders/downlink.ts'
import { Caller } from '../rig/caller.ts'
import { fill } from '../rig/fill.ts'
import type { Figures, Row, Scenario, Settings } from '../rig/scenario.ts'
import { type ServerProcess, startServer, writeFleet } from '../rig/server.ts'

const DEVICES = 20_000
const EACH = 50
/** to see that it works */
const QUICK_DEVICES = 100

const COMMANDS = (DEVICES * EACH).toLocaleString('en-US')

/** Throws unless all of a device can be cancelled, and all of it is still there. */
async function check(caller: Caller, device: number): Promise<void> {
  const cancelled = await caller.cancel(device, null)
  if (cancelled.length !== EACH) throw new Error(`device ${device} had ${cancelled.length} commands, not ${EACH}`)
}

/** Starts it; ms until it has answered, to a signed call, that all of a device is cancelled. */
async function started(start: () => Promise<ServerProcess>, device: number) {
  const beganAt = performance.now()
  const server = await start()
  try {
    const caller = await Caller.logIn(server.httpUrl, 1)
    try {
      await check(caller, device)
    } finally {
      caller.close()
    }
  } catch (error) {
    await server.kill()
    throw error
  }
  return { server, ms: performance.now() - beganAt }
}

async function measure({ folder, isQuick, say }: Settings): Promise<Figures> {
  const file = join(folder, 'downlink.db')
  const devices = isQuick ? QUICK_DEVICES : DEVICES
  say(`${devices * EACH} commands are being written`)
  await fill({ file, folder, devices, commands: devices * EACH, of: 'waiting' })
  const fleet = writeFleet(folder, devices)
  const start = (): Promise<ServerProcess> => startServer(`sqlite:${file}`, fleet)
  const first = await started(start, 0)
  await first.server.stop()
  const second = await started(start, 1)
  await second.server.kill()
  const third = await started(start, 2)
  await third.server.stop()
  return { more: { afterStopMs: second.ms, afterKillMs: third.ms } }
}

const row: Row = {
  ...downlink,
  what: downlink.what,
  measure,
}

export const restart: Scenario = {
  name: 'restart',
  title: `Restart with ${COMMANDS} waiting commands`,
  what: `${EACH} commands wait for each of ${DEVICES.toLocaleString('en-US')} devices. From the start of the process until it has answered a signed call that cancels all ${EACH} of a device: after the process before was ended, and after it was killed (SIGKILL).`,
  baseline: downlink.name,
  rows: [row],
  lacking: [],
}
