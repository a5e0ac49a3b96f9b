// Whom a call names: action, organization, device, command; and how names are written. Whatever is wrong is refused by name, and nothing is stored.
// Not here: what is to be done there (http-values.test.ts).

import { describe, expect, it } from 'vitest'
import { Contract, cancel, get, invoke, search, set } from './rig/contract.ts'
import { expectRefused } from './rig/http.ts'
import { ORG, PRODUCT } from './rig/server.ts'

const contract = new Contract()

describe('action', () => {
  it.each<[string, string | undefined, string]>([
    ['missing', undefined, 'action is missing'],
    ['empty', '', 'action is missing'],
    ['blank', '  ', 'action is missing'],
    ['misspelt', 'setMeasurePoint', 'unknown action; it is one of setMeasurepoint, invokeService, get, search, cancel'],
    ['upper case', 'CANCEL', 'unknown action'],
    ['a name that every object has', 'constructor', 'unknown action'],
    ['another one', '__proto__', 'unknown action'],
    ['followed by NUL', 'cancel\0', 'unknown action'],
  ])('%s is refused', async (_what, action, says) => {
    await contract.refused(cancel, { action }, `Invalid Argument action:${says}`)
  })

  it('that is only misspelt as a name is missing', async () => {
    await contract.refused(cancel, { action: undefined, Action: 'cancel' }, 'action is missing')
  })
})

describe.each([
  ['set', set],
  ['invoke', invoke],
  ['get', get],
  ['search', search],
  ['cancel', cancel],
])('%s', (_name, params) => {
  it("needs an organization that exists and is the application's own", async () => {
    await contract.refused(params, { orgId: undefined }, /^Invalid Argument orgId:orgId is missing$/)
    await contract.refused(params, { orgId: ' ' }, /^Invalid Argument orgId:orgId is missing$/)
    await contract.refused(params, { orgId: 'nowhere' }, /^Invalid Argument orgId: {1,2}orgId does not exist$/)
    await contract.refused(params, { orgId: `${ORG}' or 1=1 --` }, 'orgId does not exist')
    await contract.refused(params, { orgId: `${ORG}\0` }, 'orgId does not exist')
    await contract.refused(params, { orgId: 'oOther', assetId: 'other1' }, /^Denied resource: {2}orgId oOther$/, 99403)
  })

  it('needs a device', async () => {
    const none = { assetId: undefined }
    await contract.refused(params, none, 'Invalid Argument assetId:the device identifier is missing')
    await contract.refused(params, { assetId: '' }, 'Invalid Argument assetId:the device identifier is missing')
    await contract.refused(params, { assetId: ' ' }, 'Invalid Argument assetId:the device identifier is missing')
    await contract.refused(
      params,
      { ...none, productKey: PRODUCT },
      'Invalid Argument deviceKey:the device identifier is missing',
    )
    await contract.refused(
      params,
      { ...none, deviceKey: 'd1' },
      'Invalid Argument productKey:the device identifier is missing',
    )
    await contract.refused(
      params,
      { ...none, productKey: PRODUCT, deviceKey: ' ' },
      'Invalid Argument deviceKey:the device identifier is missing',
    )
  })

  it('refuses two names of different devices', async () => {
    const other = 'Invalid Argument assetId:names another device'
    await contract.refused(params, { productKey: PRODUCT, deviceKey: 'd2' }, other)
    await contract.refused(params, { productKey: 'freePk', deviceKey: 'd1' }, other)
    await contract.refused(params, { productKey: 'freePk' }, other)
    await contract.refused(params, { deviceKey: 'd2' }, other)
    await contract.refused(params, { assetId: 'nobody', productKey: PRODUCT, deviceKey: 'd1' }, other)
  })

  it('answers the same for a device of another organization as for none', async () => {
    const keys = (assetId: string | undefined, productKey?: string, deviceKey?: string) => ({
      assetId,
      productKey,
      deviceKey,
    })
    const same = async (foreign: ReturnType<typeof keys>, unknown: ReturnType<typeof keys>, code: number) => {
      const { requestId: _1, ...first } = await contract.refused(params, foreign, '', code)
      const { requestId: _2, ...second } = await contract.refused(params, unknown, '', code)
      expect(first).toEqual(second)
    }
    await same(keys('other1'), keys('nobody'), 99404)
    await same(keys(undefined, 'otherPk', 'other1'), keys(undefined, 'noPk', 'nobody'), 99404)
    await same(keys('other1', 'otherPk', 'other1'), keys('nobody', 'noPk', 'nobody'), 99404)
    await same(keys('other1', 'otherPk'), keys('nobody', 'noPk'), 99404)
    await same(keys('other1', undefined, 'other1'), keys('nobody', undefined, 'nobody'), 99404)
    await same(keys('other1', PRODUCT, 'd1'), keys('nobody', PRODUCT, 'd1'), 99400)
    await same(keys('a1', 'otherPk', 'other1'), keys('a1', 'noPk', 'nobody'), 99400)
    await same(keys('a1', 'otherPk'), keys('a1', 'noPk'), 99400)
  })

  it.each(["a1' or '1'='1", 'A1', 'a1\0', 'a1;drop table command', 'a1,a2', '*', '%', 'ä'.repeat(300)])(
    'does not know the device %j',
    async assetId => {
      await contract.refused(params, { assetId }, 'device not found', 99404)
    },
  )

  it('refuses a name that comes twice, even with the same value', async () => {
    const query = new URLSearchParams(params).toString()
    for (const again of [
      'orgId=oOther',
      `orgId=${ORG}`,
      'action=get',
      'assetId=a2',
      'commandId=1&commandId=2',
      'x=1&x=1',
      'assetId+=a2',
      '%61ssetId=a2',
    ]) {
      const answer = await contract.raw('POST', `${query}&${again}`)
      const name = /commandId|x|action|orgId|assetId/.exec(decodeURIComponent(again))?.[0] ?? ''
      expectRefused(answer, 99400, `Invalid Argument ${name}:is given more than once`)
    }
  })

  it('refuses a name that differs from a known one by its case only', async () => {
    const misspelt: Record<string, string[]> = {
      setMeasurepoint: ['pendingTTL', 'pendingttl', 'PendingTtl', 'Timeout', 'TIMEOUT', 'measurePointId'],
      invokeService: ['pendingTTL', 'timeOut', 'serviceID', 'serviceid'],
      get: ['commandID', 'commandid'],
      search: [],
      cancel: ['commandID', 'COMMANDID'],
    }
    for (const name of [
      'orgid',
      'OrgId',
      'assetID',
      'productkey',
      'DeviceKey',
      ...(misspelt[params.action ?? ''] ?? []),
    ]) {
      const { msg } = await contract.refused(
        params,
        { [name]: '1' },
        `Invalid Argument ${name}:unknown parameter, did you mean `,
      )
      expect(msg.split(' ').at(-1)?.toLowerCase()).toBe(`${name.toLowerCase()}?`)
    }
  })

  it('refuses what is no percent-encoded UTF-8', async () => {
    for (const broken of ['x=%', 'x=%zz', 'x=%ff', '%80=1', 'x=%ed%a0%80']) {
      const answer = await contract.raw('POST', `${new URLSearchParams(params)}&${broken}`)
      expectRefused(answer, 99400, 'not valid percent-encoded UTF-8')
    }
  })
})

describe('a device', () => {
  it.each([
    [{ assetId: 'a1' }],
    [{ productKey: PRODUCT, deviceKey: 'd1' }],
    [{ assetId: '', productKey: PRODUCT, deviceKey: 'd1' }],
    [{ assetId: 'a1', productKey: PRODUCT, deviceKey: 'd1' }],
    [{ assetId: 'a1', productKey: PRODUCT }],
    [{ assetId: 'a1', deviceKey: 'd1', productKey: ' ' }],
    [{ assetId: ' a1 ' }],
  ])('is named by %j', async names => {
    const { code, pagination } = await contract.call({ action: 'search', orgId: ORG, ...names })
    expect({ code, total: pagination?.totalSize }).toEqual({ code: 0, total: 2 })
  })
})

describe('names that an action does not have', () => {
  it('are ignored, but by cancel', async () => {
    expect((await contract.call(search, { color: 'red', 'x y': '1' })).code).toBe(0)
    await contract.refused(
      cancel,
      { color: 'red' },
      'Invalid Argument color:unknown parameter; this action takes action, orgId, assetId, productKey, deviceKey, commandId',
    )
    await contract.refused(cancel, { 'a\nb"<é>': 'red' }, 'Invalid Argument a?b"<?>:unknown parameter')
    await contract.refused(cancel, { pendingTtl: '1' }, 'Invalid Argument pendingTtl:unknown parameter')
  })
})

describe('commandId', () => {
  const notOne = [
    '',
    ' ',
    '-1',
    '1.0',
    '1e3',
    '0x10',
    '12a',
    '٣',
    '1 2',
    '12345678901234567890',
    'null',
    "1' or '1'='1",
    '1\0',
    '1,2',
  ]
  it.each(notOne)('%j is none, for get and for cancel', async commandId => {
    await contract.refused(get, { commandId }, 'Invalid Argument commandId:must be a decimal number of up to 19 digits')
    await contract.refused(
      cancel,
      { commandId },
      'Invalid Argument commandId:must be a decimal number of up to 19 digits',
    )
  })

  it('is needed by get', () => contract.refused(get, {}, 'Invalid Argument commandId:commandId is missing'))

  it.each(['0', '1', '2278935391225618432', '9223372036854775807', '9223372036854775808', '9999999999999999999'])(
    '%s names nothing here',
    async commandId => {
      await contract.refused(get, { commandId }, `commandId ${commandId} not found`, 11404)
      await contract.refused(cancel, { commandId }, '', 11404)
    },
  )

  it('of another device names nothing, to get and to cancel', async () => {
    await contract.refused(
      get,
      { assetId: 'a2', commandId: contract.queued[0] },
      `commandId ${contract.queued[0]} not found`,
      11404,
    )
    await contract.refused(cancel, { assetId: 'a2', commandId: contract.queued[0] }, '', 11404)
    await contract.refused(get, { commandId: `0${contract.queued[0]}`.slice(0, 19) }, 'not found', 11404)
  })

  it('in the body of a cancel does not cancel all instead', async () => {
    for (const body of [{ commandId: contract.queued[0] }, [contract.queued[0]], contract.queued[0], 0]) {
      for (const method of ['POST', 'GET']) {
        const answer = await contract.raw(method, cancel, JSON.stringify(body))
        expectRefused(answer, 99400, 'Invalid Argument body:cancel takes no body')
      }
    }
    for (const body of ['', '{}', 'null']) {
      const params = { ...cancel, assetId: 'a4' }
      expect(await contract.rig.app.call(params, { body })).toMatchObject({ code: 0, data: [] })
    }
  })
})
