// What people and programs of the scene ask of each kind of device. Not here: when they do.

import type { Downlink, SendOptions, Sent } from '../../packages/client/src/index.ts'
import type { Chance } from './chance.ts'
import type { Kind, SceneDevice } from './fleet.ts'

/** A command for a device: the measurepoint or the service, and what it is given. */
export type Order =
  | { readonly set: string; readonly value: unknown }
  | { readonly invoke: string; readonly inputs: Readonly<Record<string, unknown>> }

const orders: Readonly<Record<Kind, readonly ((chance: Chance) => Order)[]>> = {
  pump: [
    chance => ({ set: 'setpoint', value: chance.from(28, 56) / 2 }),
    chance => ({ set: 'speed', value: chance.from(8, 28) * 100 }),
    chance => ({ set: 'mode', value: chance.from(0, 2) }),
    chance => ({ set: 'setpoint', value: chance.from(28, 56) / 2 }),
    chance => ({ invoke: 'calibrate', inputs: { reference: chance.from(190, 230) / 10, passes: chance.from(1, 5) } }),
  ],
  ahu: [
    chance => ({ set: 'supply', value: chance.from(32, 48) / 2 }),
    chance => ({ set: 'damper', value: chance.from(0, 20) * 5 }),
    chance => ({ set: 'fan', value: chance.from(0, 5) }),
  ],
  ev: [
    chance => ({ set: 'limit', value: chance.from(2, 12) * 10 }),
    chance => ({ set: 'limit', value: chance.from(2, 12) * 10 }),
    chance => ({ invoke: 'unlock', inputs: { connector: chance.from(1, 2) } }),
  ],
  meter: [
    chance => ({ set: 'interval', value: chance.of([10, 30, 60]) }),
    () => ({ invoke: 'report', inputs: { registers: ['1.8.0', '2.8.0'] } }),
  ],
}

export const orderFor = (device: SceneDevice, chance: Chance): Order => chance.of(orders[device.kind])(chance)

export function send(client: Downlink, device: SceneDevice, order: Order, options: SendOptions): Promise<Sent> {
  const of = { assetId: device.assetId }
  if ('set' in order) return client.setMeasurepoint(of, order.set, order.value, options)
  return client.invokeService(of, order.invoke, order.inputs, options)
}
