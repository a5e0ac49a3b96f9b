// Devices that are there and do nothing: what each of them holds of memory, what all of them cost by the second, and how fast they come in.

import { setTimeout as sleep } from 'node:timers/promises'
import { downlink } from '../contenders/downlink.ts'
import { mosquitto } from '../contenders/mosquitto.ts'
import { echoServer, RAW_ECHO } from '../contenders/mqtt-baselines.ts'
import type { Running } from '../rig/contender.ts'
import { memoryBytes } from '../rig/cpu.ts'
import { RawDevices } from '../rig/raw-devices.ts'
import { type Figures, measured, type Row, type Scenario, type Settings, standing } from '../rig/scenario.ts'
import { deviceKeyOf } from '../rig/server.ts'
import { watch } from '../rig/watch.ts'
import { workOff } from '../rig/work-off.ts'

const DEVICES = 10_000
/** to see that it works */
const QUICK_DEVICES = 200
/** that are on their way in at a time */
const AT_ONCE = 64
/** ms in which nothing happens, after all are in: long enough that a runtime which collects its garbage when it is idle has done so */
const IDLE_MS = 20_000
const QUICK_IDLE_MS = 500
const KIB = 1_024
const MIB = 1_048_576

type Server = Pick<Running, 'mqttUrl' | 'login' | 'processes'>

async function measure({ mqttUrl: url, login, processes }: Server, { isQuick }: Settings): Promise<Figures> {
  const count = isQuick ? QUICK_DEVICES : DEVICES
  const held = (): number => Object.values(processes).reduce((sum, pid) => sum + memoryBytes(pid), 0)
  const before = held()
  const devices = new RawDevices({ url, login })
  try {
    const numbers = Array.from({ length: count }, (_, device) => device)
    const figures = await measured(processes, mark =>
      workOff(numbers, { workers: AT_ONCE, mark }, device => devices.connect(device, device + 1)),
    )
    const idle = watch(processes)
    await sleep(isQuick ? QUICK_IDLE_MS : IDLE_MS)
    const { cpuMs, elapsedMs } = idle()
    devices.check()
    const idleMs = Object.values(cpuMs).reduce((sum, ms) => sum + ms, 0)
    const more = {
      residentKibEach: (held() - before) / KIB / count,
      residentMibBefore: before / MIB,
      idleCpuPercent: (idleMs * 100) / elapsedMs,
    }
    return { ...figures, more }
  } finally {
    await devices.disconnect('is lost')
  }
}

/** What a process of Node holds for a connection and a parser, without anything of what a server knows of its device. */
const bare: Row = {
  ...echoServer,
  name: RAW_ECHO,
  what: 'A server in Node that only hands on: mqtt-packet and bare sockets.',
  measure: async settings => {
    const server = await echoServer.start()
    try {
      const login = (device: number) => ({ clean: true, clientId: deviceKeyOf(device) })
      return await measure({ mqttUrl: server.url, login, processes: { server: server.pid } }, settings)
    } finally {
      await server.stop()
    }
  },
}

const taking = standing([downlink, mosquitto], [], {
  devices: DEVICES,
  connections: 1,
  measure: stand => measure(stand.running, stand),
})

export const idle: Scenario = {
  name: 'idle',
  title: `${DEVICES.toLocaleString('en-US')} idle devices`,
  what: `Devices log in and subscribe, ${AT_ONCE} on their way at a time, and then do nothing for ${IDLE_MS / 1_000} s. An operation is a device that is let in. What each holds is by how much the memory of all processes has grown from before the first came to the end of those ${IDLE_MS / 1_000} s. Downlink writes to the disk that a device is there before it lets it in; the others keep nothing of it there.`,
  baseline: RAW_ECHO,
  rows: [bare, ...taking.rows],
  lacking: taking.lacking,
}
