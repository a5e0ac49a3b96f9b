// Dynamic activation, the whole way: a device that knows its product's secret only is given its own, and is active from when it says so or uses it.

import { createHash } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { AskingDevice, gatewayFleet, secretOf } from './rig/gateway.ts'
import { type Rig, startRig } from './rig/server.ts'

const PRODUCT = 'activated'
const rigs: Rig[] = []
const opened: AskingDevice[] = []
afterEach(async () => {
  for (const device of opened.splice(0)) await device.end()
  for (const rig of rigs.splice(0)) await rig.stop()
})

async function start(...args: string[]): Promise<Rig> {
  const rig = await startRig(args, gatewayFleet(0))
  rigs.push(rig)
  return rig
}

/** Logs in as the SDKs do in secure mode 3, with the product's secret. */
function login(secureMode: 2 | 3, secret: string) {
  const content = `clientIdfresh1deviceKeyfresh1productKey${PRODUCT}timestamp1${secret}`
  return {
    clientId: `fresh1|securemode=${secureMode},signmethod=sha256,timestamp=1|`,
    username: `fresh1&${PRODUCT}`,
    password: createHash('sha256').update(content).digest('hex'),
  }
}
const byProduct = login(3, 'activatedSecret')

async function come(rig: Rig, credentials = byProduct): Promise<AskingDevice> {
  const device = new AskingDevice(rig.server.mqttUrl, 'fresh1', credentials, PRODUCT)
  opened.push(device)
  await device.connected()
  return device
}
const instant = { pendingTtl: '0', timeout: '10' }

describe('a device with its product secret', () => {
  it('is told its own, is active when it has said so, and stays on its session', async () => {
    const rig = await start()
    const calls = rig.app.on({ assetId: 'fresh1' })
    const device = await come(rig)
    await device.noticed(1)
    const [{ topic, payload }] = device.notices as [(typeof device.notices)[number]]
    expect(topic).toBe(`/ext/session/${PRODUCT}/fresh1/thing/activate/info`)
    expect(payload.params).toEqual({
      deviceSecret: secretOf('fresh1'),
      assetId: 'fresh1',
      productKey: PRODUCT,
      deviceKey: 'fresh1',
    })
    expect((await calls.set(1, instant)).code).toBe(11888)
    await device.client.publishAsync(`${topic}_reply`, JSON.stringify({ id: payload.id, code: 200 }), { qos: 1 })
    expect((await calls.set(1, instant)).code).toBe(0)
    await device.end()
    // What it has is what it logs in with from now on.
    await expect(come(rig)).rejects.toThrow()
    await come(rig, login(2, payload.params.deviceSecret))
    expect((await calls.set(1, instant)).code).toBe(0)
  })

  it('that was cut off before it had its own comes again, and is active by using it', async () => {
    const rig = await start()
    await (await come(rig)).end()
    const again = await come(rig)
    await again.noticed(1)
    await again.end()
    await come(rig, login(2, secretOf('fresh1')))
    expect((await rig.app.on({ assetId: 'fresh1' }).set(1, instant)).code).toBe(0)
  })

  it('gets what was cached for it, active or not', async () => {
    const rig = await start()
    const calls = rig.app.on({ assetId: 'fresh1' })
    const [id] = await calls.queue(1)
    await come(rig)
    await calls.until(id!, 5)
  })

  it('is let in again and again where the server is lenient', async () => {
    const rig = await start('--reactivation', 'lenient')
    for (let round = 0; round < 2; round++) {
      const device = await come(rig)
      await device.noticed(1)
      const [{ topic, payload }] = device.notices as [(typeof device.notices)[number]]
      await device.client.publishAsync(`${topic}_reply`, JSON.stringify({ id: payload.id, code: 200 }), { qos: 1 })
      await device.end()
    }
  })
})
