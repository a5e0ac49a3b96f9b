// Mosquitto alone: each device has a session that outlives its connection, and what comes while it is away waits there.
// Not here: what is between the signed calls and the broker (../peers/broker.ts).

import type { Contender } from '../rig/contender.ts'
import { mosquittoVersion, startMosquitto } from '../rig/mosquitto.ts'
import { startScript, startTogether } from '../rig/programs.ts'
import { deviceKeyOf } from '../rig/server.ts'

export const mosquitto: Contender = {
  name: 'Mosquitto',
  what: 'Mosquitto alone, with a persistent session for each device: a command is accepted when Mosquitto has acknowledged its publication, and nothing is kept of it when the device has it.',
  lacks: {
    accept:
      'Mosquitto acknowledges a publication when it has it in memory; it writes its memory to the disk when it ends, every half hour, or after every so many changes (autosave_on_changes), each time as a whole and after it has acknowledged',
    cancel: 'MQTT has no way to take back what waits in a session',
    'in order': 'Mosquitto sends in order, and sends on without waiting for what a device answers',
    read: 'nothing is kept of a command',
  },
  missing: async () => ((await mosquittoVersion()) === null ? 'Mosquitto is not installed: run bench/setup.sh' : null),
  versions: async () => (await mosquittoVersion()) ?? '',
  start: ({ folder }) =>
    startTogether(async add => {
      const broker = add(await startMosquitto(folder))
      const options = JSON.stringify({ mqttUrl: broker.url.href })
      const front = add(await startScript(['--import', 'tsx', 'bench/peers/main.ts', 'mosquitto', options]))
      const processes = { server: front.pid, Mosquitto: broker.pid }
      const login = (device: number) => ({ clean: false, clientId: deviceKeyOf(device) })
      return { httpUrl: front.url, mqttUrl: broker.url, login, processes }
    }),
}
