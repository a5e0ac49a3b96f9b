// A peer: the broker alone. A command for a device that is away waits in the session that the broker keeps for it; who wants an answer waits for it himself.
// Not here: the broker (../rig/mosquitto.ts), the devices' sessions (../contenders/mosquitto.ts).

import { randomUUID } from 'node:crypto'
import type { Peer } from './front.ts'
import { Link } from './link.ts'

export async function openBroker({ mqttUrl }: { readonly mqttUrl: string }): Promise<Peer> {
  const link = await Link.open(new URL(mqttUrl), () => undefined)
  return {
    set: async (device, inputJson, pendingTtlS) => {
      const commandId = randomUUID()
      if (pendingTtlS > 0) await link.hand(device, commandId, inputJson)
      else {
        const { code } = await link.ask(device, commandId, inputJson)
        if (code !== 200) throw new Error(`device ${device} has answered ${code}`)
      }
      return commandId
    },
    close: () => link.close(),
  }
}
