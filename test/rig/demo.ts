// A server in open mode with the demo fleet, and its devices as the examples of the OpenAPI document have them: mqtt_01 is connected, has reported and
// answers; mqtt_03 was connected and is away; no other device ever was.

import { readFileSync } from 'node:fs'
import { credentials, type Rig, startRig, TestDevice } from './server.ts'

const PRODUCT_KEY = 'bXuuAiku'
const sys = `/sys/${PRODUCT_KEY}/mqtt_01`
export const demoFleet = readFileSync(new URL('../../examples/fleet.yaml', import.meta.url), 'utf8')

/** What the services of the demo's model answer. */
const outputs: Readonly<Record<string, unknown>> = {
  'thing.service.reboot': { ok: true },
  'thing.service.calibrate': { offset: 0.3, passes: 3, finishedAt: 1_795_383_655_330 },
}

export interface Demo {
  readonly rig: Rig
  /** mqtt_01 */
  readonly here: TestDevice
  /** Connects another device of the fleet, by the secret that the file gives it. */
  device(productKey: string, deviceKey: string, secret: string): Promise<TestDevice>
  stop(): Promise<void>
}

/** `args` are options of `downlink serve`. */
export async function startDemo(args: readonly string[] = ['--auth', 'open']): Promise<Demo> {
  const rig = await startRig(['--store', 'memory:', ...args], demoFleet)
  const device = (productKey: string, deviceKey: string, secret: string) =>
    new TestDevice(rig.server.mqttUrl, deviceKey, credentials(deviceKey, secret, productKey)).connected()
  const away = await device(PRODUCT_KEY, 'mqtt_03', 'J2gUeA5oBq8HtKs3ZxWv')
  await away.end()
  const here = await device(PRODUCT_KEY, 'mqtt_01', 'Z5YtZaQpK5IWocakV7zQ')
  here.answer = ({ payload }) => ({ id: payload.id, code: 200, data: outputs[payload.method] ?? {} })
  await here.client.subscribeAsync([`${sys}/thing/service/measurepoint/set`, `${sys}/thing/service/+`], { qos: 1 })
  // Acknowledged when it is on record.
  const report = { measurepoints: { Int_value: 222, temperature: { value: 21.5, quality: 9 } } }
  await here.client.publishAsync(
    `${sys}/thing/measurepoint/post`,
    JSON.stringify({ id: '1', version: '1.0', method: 'thing.measurepoint.post', params: report }),
    { qos: 1 },
  )
  const stop = async () => {
    await here.end()
    await rig.stop()
  }
  return { rig, here, device, stop }
}
