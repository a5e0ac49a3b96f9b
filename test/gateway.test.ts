// Gateways and the devices behind them, the whole way: HTTP calls that name a sub-device, its own queue, one connection for all, the real mqtt client.

import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { GATEWAYS, gatewayFleet, secretOf, subLogin, TestGateway } from './rig/gateway.ts'
import { Application, ORG, PRODUCT, READER, type Rig, startRig, type TestDevice } from './rig/server.ts'

const SUBS = 200
let rig: Rig
const opened: TestDevice[] = []

beforeAll(async () => {
  rig = await startRig([], gatewayFleet(SUBS))
})
afterAll(() => rig.stop())
afterEach(async () => {
  for (const device of opened.splice(0)) await device.end()
})

async function gateway(deviceKey = 'g1', options = {}): Promise<TestGateway> {
  const device = new TestGateway(rig.server.mqttUrl, deviceKey, options)
  opened.push(device)
  return device.connected()
}
const calls = (assetId: string) => rig.app.on({ assetId })
const instant = { pendingTtl: '0', timeout: '10' }
const set = (deviceKey: string) => `/sys/${PRODUCT}/${deviceKey}/thing/service/measurepoint/set`

describe('a sub-device', () => {
  it('gets its commands over the connection of its gateway, after its login and not before', async () => {
    const ids = await calls('s1').queue(3)
    const g1 = await gateway()
    expect(await g1.login('s1')).toMatchObject({
      code: 200,
      data: { assetId: 's1', productKey: PRODUCT, deviceKey: 's1' },
    })
    await calls('s1').until(ids[2]!, 5)
    expect(g1.received.map(({ topic }) => topic)).toEqual([set('s1'), set('s1'), set('s1')])
    expect(g1.ids()).toEqual(ids)
  })

  it('that is not logged in is offline for an instant command, and its cached commands wait', async () => {
    const g1 = await gateway()
    expect((await calls('s2').set(1, instant)).code).toBe(11888)
    await g1.login('s2')
    expect((await calls('s2').invoke({ delay: 1 }, instant)).code).toBe(0)
    await g1.logout('s2')
    expect((await calls('s2').set(1, instant)).code).toBe(11900)
    const [waiting] = await calls('s2').queue(1)
    expect((await calls('s2').cancel()).data).toMatchObject([{ commandId: waiting, state: 2 }])
  })

  it('is offline at once when its gateway is gone, with all others, and comes back by login only', async () => {
    const first = await gateway()
    await first.loginBatch(['s3', 's4'])
    expect((await calls('s3').set(1, instant)).code).toBe(0)
    await first.end()
    const second = await gateway()
    expect((await calls('s3').set(1, instant)).code).toBe(11900)
    expect((await calls('s4').set(1, instant)).code).toBe(11900)
    await second.login('s3')
    expect((await calls('s3').set(1, instant)).code).toBe(0)
    expect((await calls('s4').set(1, instant)).code).toBe(11900)
  })

  it('whose gateway takes its own connection over gets each command once', async () => {
    const first = await gateway()
    await first.login('s5')
    first.command = () => undefined
    const ids = await calls('s5').queue(2, { pendingTtl: '600', timeout: '1' })
    await first.count(1)
    const second = await gateway()
    await first.closed()
    await second.login('s5')
    await calls('s5').until(ids[1]!, 5)
    // What the first had got and not answered is not sent again: it times out.
    expect(first.ids()).toEqual([ids[0]])
    expect(second.ids()).toEqual([ids[1]])
    expect(await calls('s5').states(ids)).toEqual([7, 5])
  })

  it('may be of a product with dynamic activation: it signs with the product secret and is told its own', async () => {
    const g1 = await gateway()
    const login = (over: object) =>
      g1.request(`${g1.session}/combine/login`, subLogin('freshSub', { productKey: 'activated', ...over }))
    for (const secureMode of ['3', 3]) {
      const answer = await login({ secret: 'activatedSecret', secureMode })
      expect(answer).toMatchObject({ code: 200, data: { deviceSecret: secretOf('freshSub'), assetId: 'freshSub' } })
    }
    const { code, data } = await login({ secureMode: undefined })
    expect([code, Object.keys(data)]).toEqual([200, ['assetId', 'productKey', 'deviceKey']])
  })

  it('that cannot log in is told why, and nobody else is harmed', async () => {
    const g1 = await gateway()
    await g1.login('s6')
    const code = async (deviceKey: string, over = {}) => (await g1.login(deviceKey, over)).code
    expect(await code('nobody')).toBe(705)
    expect(await code('other1', { productKey: 'otherPk' })).toBe(705)
    expect(await code('far1')).toBe(740)
    expect(await code('free1')).toBe(740)
    expect(await code('s7', { secret: 'wrong' })).toBe(742)
    expect(await code('s7', { signMethod: 'rot13' })).toBe(742)
    expect(await code('s7', { secret: 'k2vEY1LRMJl', secureMode: '3' })).toBe(770)
    expect(await code('off1')).toBe(723)
    expect(await code('certSub', { productKey: 'guarded' })).toBe(746)
    expect((await g1.request(`${g1.session}/combine/login`, [])).code).toBe(1220)
    expect((await g1.request(`${g1.session}/combine/login`, { productKey: PRODUCT, deviceKey: 7 })).code).toBe(1220)
    expect((await calls('s6').set(1, instant)).code).toBe(0)
    expect((await calls('s7').set(1, instant)).code).toBe(11888)
  })

  it('cannot be spoken for by a device that is not its gateway', async () => {
    const g2 = await gateway('g2')
    expect((await g2.login('s6')).code).toBe(740)
    const answer = await g2.request(`/sys/${PRODUCT}/s6/thing/measurepoint/post`, { measurepoints: { Int_value: 1 } })
    expect(answer.code).toBe(1009)
    expect((await g2.request(`/ext/session/${GATEWAYS}/g1/combine/login`, subLogin('s6'))).code).toBe(1009)
  })
})

describe('a login batch', () => {
  it('names who came in and who did not, always both', async () => {
    const g1 = await gateway()
    const all = await g1.loginBatch(['s8', 's9'])
    expect(all).toMatchObject({ code: 200, data: { failedSubDevices: [] } })
    expect(all.data.loginedSubDevices.map(({ deviceKey }: { deviceKey: string }) => deviceKey)).toEqual(['s8', 's9'])
    const half = await g1.loginBatch(['s10', 'far1', 'off1'])
    expect(half.code).toBe(723)
    expect(half.data).toMatchObject({
      loginedSubDevices: [{ deviceKey: 's10' }],
      failedSubDevices: [{ deviceKey: 'far1' }, { deviceKey: 'off1' }],
    })
    expect(half.message).toContain(`${PRODUCT}&far1 has error: 740`)
    expect((await calls('s10').set(1, instant)).code).toBe(0)
    for (const params of [{}, { subDevices: [] }, { subDevices: 'x' }, null]) {
      const { code, data } = await g1.request(`${g1.session}/combine/login/batch`, params)
      expect([code, data]).toEqual([1220, { loginedSubDevices: [], failedSubDevices: [] }])
    }
  })
})

describe('a gateway that guesses', () => {
  it('is not listened to for a while, for that device alone', async () => {
    const g1 = await gateway()
    const wrong = []
    for (let i = 0; i < 12; i++) wrong.push((await g1.login('s12', { secret: `guess ${i}` })).code)
    expect(new Set(wrong)).toEqual(new Set([742]))
    const right = await g1.login('s12')
    expect(right).toMatchObject({ code: 742, message: expect.stringContaining('wait') })
    expect((await g1.login('s13')).code).toBe(200)
    // By batch it is no faster.
    const batch = await g1.loginBatch(['s12', 's14'])
    expect(batch.data).toMatchObject({
      loginedSubDevices: [{ deviceKey: 's14' }],
      failedSubDevices: [{ deviceKey: 's12' }],
    })
  })

  it('does not fill the answer to a batch with reasons', async () => {
    const g1 = await gateway()
    const answer = await g1.loginBatch(Array.from({ length: 900 }, (_, i) => `nobody${i}`))
    expect(answer.data.failedSubDevices).toHaveLength(900)
    expect(answer.message).toMatch(/ and 800 more$/)
  })
})

describe('logging out', () => {
  it('is 200 for whoever is not here as well, and echoes the keys', async () => {
    const g1 = await gateway()
    for (const deviceKey of ['s11', 'nobody', 'far1'])
      expect(await g1.logout(deviceKey)).toMatchObject({ code: 200, data: { productKey: PRODUCT, deviceKey } })
    expect((await g1.request(`${g1.session}/combine/logout`, {})).code).toBe(1220)
  })

  it('does not log the gateway itself out', async () => {
    const g1 = await gateway()
    await g1.request(`${g1.session}/combine/logout`, { productKey: GATEWAYS, deviceKey: 'g1' })
    expect((await calls('g1').invoke({}, instant, 'reboot')).code).toBe(0)
  })
})

describe('the topology', () => {
  it('changes what may log in: added, then logged in, then taken out, which logs out', async () => {
    const [g1, g2] = [await gateway(), await gateway('g2')]
    expect((await g1.login('free1')).code).toBe(740)
    expect((await g1.request(`${g1.sys}/thing/topo/add`, [subLogin('free1')])).code).toBe(200)
    expect((await g1.login('free1')).code).toBe(200)
    expect((await calls('free1').set(1, instant)).code).toBe(0)
    // It is in one topology only.
    expect((await g2.request(`${g2.sys}/thing/topo/add`, [subLogin('free1')])).code).toBe(1255)
    const keys = [{ productKey: PRODUCT, deviceKey: 'free1' }]
    expect((await g1.request(`${g1.sys}/thing/topo/delete`, keys)).code).toBe(200)
    expect((await calls('free1').set(1, instant)).code).toBe(11900)
    expect((await g1.login('free1')).code).toBe(740)
    expect((await g2.request(`${g2.sys}/thing/topo/add`, [subLogin('free1')])).code).toBe(200)
    expect((await g2.login('free1')).code).toBe(200)
    const { data } = await g2.request(`${g2.sys}/thing/topo/get`, {})
    expect(data).toContainEqual({ productKey: PRODUCT, deviceKey: 'free1' })
  })

  it('takes devices that were registered in one go', async () => {
    const g1 = await gateway()
    const { code, data } = await g1.request(`${g1.sys}/thing/device/register`, [
      { productKey: PRODUCT, deviceKey: 'made1', deviceName: { defaultValue: 'Made' } },
    ])
    expect([code, data]).toMatchObject([200, [{ productKey: PRODUCT, deviceKey: 'made1' }]])
    const { deviceSecret } = data[0]
    const add = [subLogin('made1', { secret: deviceSecret })]
    expect((await g1.request(`${g1.sys}/thing/topo/add`, add)).code).toBe(200)
    expect((await g1.login('made1', { secret: deviceSecret })).code).toBe(200)
    expect((await rig.app.on({ productKey: PRODUCT, deviceKey: 'made1' }).set(1, instant)).code).toBe(0)
  })
})

describe('a gateway with 200 sub-devices and 50 cached commands each', () => {
  it('drains them in order for each, one at a time, none lost, over one connection', { timeout: 120_000 }, async () => {
    const names = Array.from({ length: SUBS }, (_, i) => `s${i + 1}`)
    // Whatever an earlier test left is out of the way.
    for (const name of names) await calls(name).cancel()
    const queues = new Map<string, string[]>()
    const app = rig.app
    await Promise.all(
      Array.from({ length: 20 }, async (_, worker) => {
        for (let i = worker; i < SUBS; i += 20) queues.set(names[i]!, await app.on({ assetId: names[i]! }).queue(50))
      }),
    )
    const g1 = await gateway()
    const open = new Map<string, number>()
    let most = 0
    g1.command = ({ topic, payload }) => {
      const device = topic.split('/')[3]!
      open.set(device, (open.get(device) ?? 0) + 1)
      most = Math.max(most, open.get(device)!)
      setImmediate(() => {
        open.set(device, open.get(device)! - 1)
        g1.client.publish(`${topic}_reply`, JSON.stringify({ id: payload.id, code: 200 }), { qos: 1 })
      })
      return undefined
    }
    for (let i = 0; i < SUBS; i += 50) expect((await g1.loginBatch(names.slice(i, i + 50))).code).toBe(200)
    await g1.count(SUBS * 50)
    expect(most).toBe(1)
    for (const name of names) {
      const got = g1.received.filter(({ topic }) => topic.split('/')[3] === name).map(({ payload }) => payload.id)
      expect(got).toEqual(queues.get(name))
      await calls(name).until(queues.get(name)![49]!, 5)
      const { data } = await calls(name).search({ expression: 'state in (1, 3, 4, 6, 7)', projection: ['commandId'] })
      expect(data.filter(({ commandId }: { commandId: string }) => queues.get(name)!.includes(commandId))).toEqual([])
    }
  })
})

describe('a sub-device that is disabled, enabled, deleted', () => {
  const manage = (action: string, deviceKey: string) =>
    rig.app.call({ action, orgId: ORG, productKey: PRODUCT, deviceKey }, { resource: 'devices' })
  const notice = (deviceKey: string, what: string) => ({
    topic: `/ext/session/${GATEWAYS}/g1/combine/${what}`,
    payload: {
      id: expect.stringMatching(/^\d{13,19}$/),
      version: '1.0',
      params: { productKey: PRODUCT, deviceKey },
      method: `combine.${what}`,
    },
  })

  it('goes offline, which its gateway is told, and comes back by login', async () => {
    const g1 = await gateway()
    await g1.loginBatch(['s20', 's21'])
    expect(await manage('disable', 's20')).toMatchObject({ code: 0, data: null })
    await g1.noticed(1)
    expect(g1.notices).toEqual([notice('s20', 'disable')])
    expect((await manage('disable', 's20')).code).toBe(11794)
    expect((await calls('s20').set(1, instant)).code).toBe(11900)
    const [waits] = await calls('s20').queue(1)
    expect((await g1.login('s20')).code).toBe(723)
    expect((await calls('s21').set(1, instant)).code).toBe(0)
    expect(await manage('enable', 's20')).toMatchObject({ code: 0, data: null })
    await g1.noticed(2)
    expect(g1.notices[1]).toEqual(notice('s20', 'enable'))
    expect((await manage('enable', 's20')).code).toBe(11794)
    expect((await g1.login('s20')).code).toBe(200)
    await calls('s20').until(waits!, 5)
  })

  it('is gone when it is deleted, and its open commands are settled', async () => {
    const g1 = await gateway()
    await g1.login('s22')
    g1.command = () => undefined
    const ids = await calls('s22').queue(3)
    await g1.count(1)
    expect(await manage('delete', 's22')).toMatchObject({
      code: 0,
      data: null,
      settled: [
        { commandId: ids[0], state: 6 },
        { commandId: ids[1], state: 2 },
        { commandId: ids[2], state: 2 },
      ],
    })
    await g1.noticed(1)
    expect(g1.notices).toEqual([notice('s22', 'delete')])
    expect((await calls('s22').set(1)).code).toBe(99404)
    expect((await g1.login('s22')).code).toBe(705)
    expect((await manage('delete', 's22')).code).toBe(99404)
    expect((await g1.request(`${g1.sys}/thing/topo/get`, {})).data).not.toContainEqual({
      productKey: PRODUCT,
      deviceKey: 's22',
    })
  })

  it('is left as it is by a call that says more than it may, and by one who may only read', async () => {
    const params = { action: 'delete', orgId: ORG, productKey: PRODUCT, deviceKey: 's23' }
    const on = { resource: 'devices' }
    expect((await rig.app.call({ ...params, commandId: '1' }, on)).code).toBe(99400)
    expect((await rig.app.call(params, { ...on, body: { commandId: '1' } })).code).toBe(99400)
    expect((await rig.app.call(params, { ...on, method: 'GET' })).code).toBe(99400)
    const reader = new Application(rig.server.httpUrl, READER)
    expect((await reader.call(params, on)).code).toBe(99403)
    expect((await calls('s23').set(1)).code).toBe(0)
  })
})
