// The contract's own page, field by field, over a real socket: Cancel Command with and without commandId, by assetId and by productKey + deviceKey.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toLocal } from '../src/core/time.ts'
import { type Answer, APP, ORG, PRODUCT, type Rig, startRig } from './rig/server.ts'

let rig: Rig
beforeAll(async () => {
  rig = await startRig()
})
afterAll(() => rig.stop())

const byKeys = { productKey: PRODUCT, deviceKey: 'mqtt_01' }
const byAsset = { assetId: 'oxWwM9i5' }

describe.each([
  ['productKey + deviceKey', byKeys],
  ['assetId', byAsset],
])('cancel by %s', (_name, device) => {
  it('answers the sample request with the sample answer, field by field', async () => {
    const calls = rig.app.on(device)
    const { data: sent } = await calls.set(222, { pendingTtl: '6000', timeout: '1' })
    const answer = await calls.cancel(sent.commandId)
    const { status, requestId, ...rest } = answer
    expect(status).toBe(200)
    expect(requestId).toMatch(/^[0-9a-f]{32}$/)
    const createTime = Number((BigInt(sent.commandId) >> 23n) + 1288834974657n)
    expect(Math.abs(Date.now() - createTime)).toBeLessThan(10_000)
    expect(rest).toEqual({
      code: 0,
      msg: 'OK',
      data: [
        {
          commandId: sent.commandId,
          orgId: ORG,
          productKey: PRODUCT,
          deviceKey: 'mqtt_01',
          assetId: 'oxWwM9i5',
          createTime: String(createTime),
          createLocalTime: toLocal(createTime, '+08:00'),
          createLocaltime: toLocal(createTime, '+08:00'),
          commandType: 1,
          commandName: { defaultValue: 'Int_value', i18nValue: { en_US: 'Int_value' } },
          timeout: 1,
          pendingTtl: 6000,
          // The sample prints 1, the state before; the call's own deed is 2.
          state: 2,
          tslIdentifier: 'Int_value',
          inputData: 222,
          outputData: null,
        },
      ],
    })
  })

  it('without commandId cancels all the device has cached, oldest first', async () => {
    const calls = rig.app.on(device)
    const ids = await calls.queue(3)
    const invoked = await calls.invoke({ delay: 5 })
    const { code, data } = await calls.cancel()
    expect(code).toBe(0)
    expect(data.map((command: { commandId: string }) => command.commandId)).toEqual([...ids, invoked.data.commandId])
    expect(data.every((command: { state: number }) => command.state === 2)).toBe(true)
    expect(data[3]).toMatchObject({ commandType: 2, inputData: { delay: 5 }, tslIdentifier: 'reboot', timeout: 30 })
    expect(await calls.cancel()).toMatchObject({ code: 0, data: [] })
  })

  it('of one that is no longer created says what it is', async () => {
    const calls = rig.app.on(device)
    const [id] = await calls.queue(1)
    await calls.cancel(id)
    const again = await calls.cancel(id)
    expect(again).toMatchObject({ code: 0, msg: 'OK', data: [], notCancelled: [{ commandId: id, state: 2 }] })
    expect((await calls.get(id!)).data.state).toBe(2)
  })

  it('of one that the device never had says 11404', async () => {
    expect(await rig.app.on(device).cancel('2278935391225618432')).toMatchObject({
      status: 200,
      code: 11404,
      data: null,
    })
  })
})

describe('cancel', () => {
  it('takes exactly the one named, and leaves the rest', async () => {
    const calls = rig.app.on(byAsset)
    const ids = await calls.queue(3)
    const { data } = await calls.cancel(ids[1])
    expect(data.map((command: { commandId: string }) => command.commandId)).toEqual([ids[1]])
    expect(await calls.states(ids)).toEqual([1, 2, 1])
    await calls.cancel()
  })

  it('is taken as a GET too, as the vendor sample sends it', async () => {
    const calls = rig.app.on(byAsset)
    const [id] = await calls.queue(1)
    const params = { action: 'cancel', orgId: ORG, ...byKeys, commandId: id! }
    expect(await rig.app.call(params, { method: 'GET' })).toMatchObject({
      code: 0,
      data: [{ commandId: id, state: 2 }],
    })
  })

  it.each([
    ['an empty commandId', { commandId: '' }],
    ['a blank commandId', { commandId: ' ' }],
    ['a commandId that is no number', { commandId: '12x' }],
    ['a misspelt commandId', { commandID: '1' }],
    ['a name that it does not have', { force: 'true' }],
  ])('with %s cancels nothing and says so', async (_what, extra) => {
    const calls = rig.app.on(byAsset)
    const ids = await calls.queue(2)
    const answer = await rig.app.call({ action: 'cancel', orgId: ORG, ...byAsset, ...extra } as Record<string, string>)
    expect(answer).toMatchObject({ status: 200, code: 99400, data: null })
    expect(answer.msg).toContain(Object.keys(extra)[0]!)
    expect(await calls.states(ids)).toEqual([1, 1])
    await calls.cancel()
  })

  it('refuses a name that comes twice, on any action', async () => {
    rig.app.token ??= await rig.app.getToken()
    for (const action of ['cancel', 'get', 'invokeService']) {
      const url = `${rig.server.httpUrl}/connect-service/v2.1/commands?action=${action}&orgId=${ORG}&assetId=oxWwM9i5&commandId=1&commandId=2`
      const answer = (await (await fetch(url, { method: 'POST' })).json()) as Answer
      expect(answer).toMatchObject({ code: 99400 })
      expect(answer.msg).toContain('commandId')
    }
  })

  it('trims blanks and ignores pairs without a name, as the vendor samples have them', async () => {
    const calls = rig.app.on(byAsset)
    const [id] = await calls.queue(1)
    const token = rig.app.token ?? ''
    const timestamp = String(Date.now())
    const { signature } = await import('../src/http/signature.ts')
    const pairs = Object.entries({ action: 'cancel', orgId: ORG, assetId: 'oxWwM9i5', commandId: ` ${id}` })
    const signed = signature(
      token,
      pairs.map(([name, value]) => ({ name, value })),
      Buffer.alloc(0),
      timestamp,
      APP.appSecret,
    )
    const url = `${rig.server.httpUrl}/connect-service/v2.1/commands?action=cancel&&orgId=${ORG}&assetId=oxWwM9i5&commandId=%20${id}`
    const headers = { 'apim-accesstoken': token, 'apim-timestamp': timestamp, 'apim-signature': signed }
    const answer = await (await fetch(url, { method: 'POST', headers })).json()
    expect(answer).toMatchObject({ code: 0, data: [{ commandId: id }] })
  })
})
