// What applications do to a device itself: disable, enable, delete. Its queue decides what becomes of its commands; the gateway that it is behind is told.
// Also the list of all that can be done with devices. Not here: who is asking and whether they may (perform.ts), the rules (core/queue.ts).

import Type from 'typebox'
import { errors, invalid, refuse } from '../core/errors.ts'
import { DEVICES_BODY_MAX_BYTES } from '../core/limits.ts'
import type { Device } from '../store/store.ts'
import { type Action, type DeviceAction, type DeviceCall, isEmptyBody, type Resource } from './action.ts'
import { getDevice, getStats, searchDevices } from './device-reads.ts'
import { batchCreateDevices, createDevice, gatewayOf, replaceDevice, updateDevice } from './device-writes.ts'
import { fleetFull } from './fleet-structs.ts'
import { commandId, none, state } from './schemas.ts'
import { failure, ok, type Result, refused } from './wire.ts'

type Own = 'operationId' | 'summary' | 'description' | 'codes' | 'examples' | 'beside' | 'run'

/** All three take no body, and no query name but those that name the device: what cannot be undone is not done on a misunderstanding. */
const action = (of: Pick<DeviceAction, Own>): DeviceAction => ({
  ...of,
  about: 'device',
  methods: ['POST'],
  needs: fleetFull,
  parameters: none,
  data: Type.Null(),
  strict: true,
  run: async call => (isEmptyBody(call.body) ? of.run(call) : failure(invalid('body', 'this action takes no body'))),
})

const disable = action({
  operationId: 'disableDevice',
  summary: 'Disable a device',
  description:
    'Closes its connection. It is offline whatever connects: cached commands wait, instant ones fail. What is sent stays sent: its answer still counts, or it times out. No body, and no other query name.',
  codes: ['deviceStatus'],
  run: call => setDisabled(call, 'disable'),
  examples: [{ summary: 'a pump', query: { assetId: 'pN4cYd1E' } }],
})
const enable = action({
  operationId: 'enableDevice',
  summary: 'Enable a device',
  description:
    'Undoes disable: the device may connect again, and gets what waited for it. No body, and no other query name.',
  codes: ['deviceStatus'],
  run: call => setDisabled(call, 'enable'),
  examples: [
    {
      summary: 'one that is disabled',
      query: { assetId: 'pN4cYd1E' },
      before: [{ operationId: 'disableDevice', example: 'a pump' }],
    },
    { summary: 'one that is not disabled', query: { assetId: 'k3TzVb7Q' }, code: 11794 },
  ],
})
const deletion = action({
  operationId: 'deleteDevice',
  summary: 'Delete a device',
  description:
    'Settles all that is open and removes the device, in one step: what was created is cancelled, what was sent has failed, and `settled` lists both. Records stay until they are purged. Devices behind a deleted gateway are behind none. No body, and no other query name.',
  beside: Type.Object({
    settled: Type.Array(Type.Object({ commandId, state }), {
      description: 'What became of each command that was open.',
    }),
  }),
  run: remove,
  examples: [{ summary: 'a device with nothing open', query: { assetId: 'rB6wKq2Z' } }],
})

export const devices: Resource = {
  path: '/connect-service/v2.1/devices',
  label: 'devices ',
  tag: 'Devices',
  bodyMaxBytes: DEVICES_BODY_MAX_BYTES,
  actions: new Map<string, Action>([
    ['create', createDevice],
    ['batchCreate', batchCreateDevices('batchCreateDevices')],
    ['get', getDevice],
    ['search', searchDevices],
    ['update', updateDevice],
    ['delete', deletion],
    ['enable', enable],
    ['disable', disable],
    ['replaceDevice', replaceDevice],
    ['getStats', getStats],
  ]),
}

/** Where the vendor has the same. */
export const devicesV20: Resource = {
  path: '/connect-service/v2.0/devices',
  label: 'devices 2.0 ',
  tag: 'Devices',
  bodyMaxBytes: DEVICES_BODY_MAX_BYTES,
  actions: new Map<string, Action>([['batchCreate', batchCreateDevices('batchCreateDevicesV20')]]),
}

/** `data` is null. A device that is so already is refused: whoever did not know that should look who did it. */
async function setDisabled(call: DeviceCall, what: 'disable' | 'enable'): Promise<Result> {
  const { engine, device, appKey } = call
  const gateway = await gatewayOf(call)
  const answer = await engine[what](device.id, appKey)
  if (!answer.ok) return refused(answer)
  if (!answer.changed)
    return failure(refuse(errors.deviceStatus, `device status invalid: the device is ${what}d already`))
  await tell(gateway, call, what)
  return ok(null)
}

/** `data` is null, and `settled` beside it says what became of each command that was open: cancelled, oldest first, or failed where it was sent. */
async function remove(call: DeviceCall): Promise<Result> {
  const { engine, device, appKey } = call
  const gateway = await gatewayOf(call)
  const answer = await engine.deleteDevice(device.id, appKey)
  if (!answer.ok) return refused(answer)
  await tell(gateway, call, 'delete')
  const settled = [...(answer.failed === null ? [] : [answer.failed]), ...answer.cancelled]
  return ok(null, { settled: settled.map(({ id, state }) => ({ commandId: id, state })) })
}

/** The device may not be logged in there; its gateway is told all the same, since it will want to log it in. */
async function tell(
  gateway: Device | null,
  { device, notify }: DeviceCall,
  notice: 'disable' | 'enable' | 'delete',
): Promise<void> {
  if (gateway !== null) await notify(gateway.id, notice, device)
}
