// What applications do to a device itself: disable, enable, delete. Its queue decides what becomes of its commands; the gateway that it is behind is told.
// Not here: who is asking and whether they may (app.ts), the rules (core/queue.ts).

import { errors, invalid, refuse } from '../core/errors.ts'
import type { Device } from '../store/store.ts'
import { type Action, type Call, isEmptyBody, type Resource } from './action.ts'
import { failure, ok, type Result, refused } from './wire.ts'

/** All three take no body, and no query name but those that name the device: what cannot be undone is not done on a misunderstanding. */
const action = (run: Action['run']): Action => ({
  methods: ['POST'],
  needs: 'Control',
  parameters: [],
  strict: true,
  run: async call => (isEmptyBody(call.body) ? run(call) : failure(invalid('body', 'this action takes no body'))),
})

export const devices: Resource = {
  path: '/connect-service/v2.1/devices',
  label: 'devices ',
  actions: new Map([
    ['disable', action(call => setDisabled(call, 'disable'))],
    ['enable', action(call => setDisabled(call, 'enable'))],
    ['delete', action(remove)],
  ]),
}

/** `data` is null. A device that is so already is refused: whoever did not know that should look who did it. */
async function setDisabled(call: Call, what: 'disable' | 'enable'): Promise<Result> {
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
async function remove(call: Call): Promise<Result> {
  const { engine, device, appKey } = call
  const gateway = await gatewayOf(call)
  const answer = await engine.deleteDevice(device.id, appKey)
  if (!answer.ok) return refused(answer)
  await tell(gateway, call, 'delete')
  const settled = [...(answer.failed === null ? [] : [answer.failed]), ...answer.cancelled]
  return ok(null, { settled: settled.map(({ id, state }) => ({ commandId: id, state })) })
}

/** Looked for first: what was done must not be told as failed because this did. */
const gatewayOf = async ({ fleet, device }: Call): Promise<Device | null> =>
  device.gatewayAssetId === null ? null : fleet.deviceByAsset(device.gatewayAssetId)

/** The device may not be logged in there; its gateway is told all the same, since it will want to log it in. */
async function tell(
  gateway: Device | null,
  { device, notify }: Call,
  notice: 'disable' | 'enable' | 'delete',
): Promise<void> {
  if (gateway !== null) await notify(gateway.id, notice, device)
}
