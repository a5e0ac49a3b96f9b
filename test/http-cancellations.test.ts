// /v1/cancellations over HTTP: what may be asked and by whom, how far one is, and every command that it found with what became of it.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type AppRig, BY_ASSET, BY_PRODUCT, expectRefused, NOBODY, startApp } from './rig/http.ts'
import { APP, Application, ORG, PRODUCT, READER, STRANGER } from './rig/server.ts'

let rig: AppRig
beforeEach(async () => {
  rig = await startApp()
})
afterEach(() => rig.stop())

const as = (credentials: { appKey: string; appSecret: string }) =>
  new Application(rig.url, credentials, () => rig.clock.now())

const ask = (path: string, { method = 'GET', body, app = rig.app, query = {}, orgId = ORG }: Asked = {}) =>
  app.call({ orgId, ...query }, { method, body, resource: `/v1/cancellations${path}` })
interface Asked {
  readonly method?: string
  readonly body?: unknown
  readonly app?: Application
  readonly query?: Record<string, string>
  readonly orgId?: string
}
const create = (filter: object, over: object = {}, app = rig.app) =>
  ask('', { method: 'POST', body: { filter, ...over }, app })

describe('a cancellation', () => {
  test('cancels what the filter is for, and tells of every command', async () => {
    const [one, two] = await rig.app.on({ assetId: 'a1' }).queue(2)
    const [other] = await rig.app.on({ assetId: 'a2' }).queue(1)
    const invoked = (await rig.app.on({ assetId: 'a2' }).invoke({ delay: 1 })).data.commandId
    const answer = await create({ productKeys: [PRODUCT], measurepointId: 'Int_value' })
    expect(answer).toMatchObject({
      code: 0,
      data: {
        ...{ status: 'running', dryRun: false, createdBy: APP.appKey, createdAt: rig.clock.now(), endedAt: null },
        filter: { productKeys: [PRODUCT], measurepointId: 'Int_value' },
        createdBefore: rig.clock.now() + 1,
        devices: { matched: 0, total: 2 },
        ...{ matched: 0, cancelled: 0, notCancelled: 0, undecided: 0 },
      },
    })
    const { cancellationId } = answer.data
    expect(cancellationId).toMatch(/^[0-9a-f]{24}$/)
    await rig.advance(0)
    const done = await ask(`/${cancellationId}`)
    expect(done.data).toMatchObject({
      ...{ status: 'ended', endedAt: rig.clock.now(), devices: { matched: 2, total: 2 } },
      ...{ matched: 3, cancelled: 3, notCancelled: 0, undecided: 0 },
    })
    const items = await ask(`/${cancellationId}/items`)
    const device = (deviceKey: string, assetId: string) => ({ orgId: ORG, productKey: PRODUCT, deviceKey, assetId })
    expect(items.data).toEqual([
      { commandId: one, device: device('d1', 'a1'), outcome: 'cancelled', state: 2 },
      { commandId: two, device: device('d1', 'a1'), outcome: 'cancelled', state: 2 },
      { commandId: other, device: device('d2', 'a2'), outcome: 'cancelled', state: 2 },
    ])
    expect(items.next).toBeNull()
    expect(await rig.app.on({ assetId: 'a2' }).states([other!, invoked])).toEqual([2, 1])
  })

  test('shows its items in pages', async () => {
    const ids = await rig.app.on({ assetId: 'a1' }).queue(5)
    const { data } = await create({ all: true }, { dryRun: true })
    await rig.advance(0)
    const seen: string[] = []
    for (let after: string | null = '0'; after !== null; ) {
      const page = await ask(`/${data.cancellationId}/items`, { query: { after, limit: '2' } })
      seen.push(...page.data.map((item: { commandId: string }) => item.commandId))
      expect(page.data.every((item: { outcome: string }) => item.outcome === 'wouldBeCancelled')).toBe(true)
      after = page.next
    }
    expect(seen).toEqual(ids)
    expect((await ask(`/${data.cancellationId}`)).data).toMatchObject({ dryRun: true, matched: 5, cancelled: 5 })
  })

  test('names devices that are gone', async () => {
    await rig.app.on({ assetId: 'a3' }).queue(1)
    const { data } = await create({ assetIds: ['a3'] })
    await rig.advance(0)
    await rig.app.call({ action: 'delete', orgId: ORG, assetId: 'a3' }, { resource: 'devices' })
    const items = await ask(`/${data.cancellationId}/items`)
    expect(items.data[0]).toMatchObject({ device: { assetId: 'a3', deviceKey: 'd3' }, outcome: 'cancelled' })
  })

  test('is listed, the newest first', async () => {
    const first = (await create({ all: true })).data.cancellationId
    await rig.advance(1)
    const second = (await create({ all: true })).data.cancellationId
    const list = await ask('')
    expect([list.data.map((each: { cancellationId: string }) => each.cancellationId), list.total]).toEqual([
      [second, first],
      2,
    ])
    const page = await ask('', { query: { offset: '1', limit: '1' } })
    expect(page.data.map((each: { cancellationId: string }) => each.cancellationId)).toEqual([first])
  })

  test('that has ended cannot be stopped', async () => {
    const { data } = await create({ all: true })
    await rig.advance(0)
    const answer = await ask(`/${data.cancellationId}/stop`, { method: 'POST' })
    expect(answer).toMatchObject({
      code: 99413,
      msg: expect.stringContaining('ended already'),
      data: { status: 'ended' },
    })
  })

  test('that is stopped says so', async () => {
    // Nothing of it is done before the runner has its turn, which it has after this.
    const row = {
      ...{ cancellationId: 'f'.repeat(24), orgId: ORG, createdBy: APP.appKey, createdAt: 1, dryRun: false },
      filterJson: JSON.stringify({ said: { all: true }, reach: 'all', deviceIds: null, createdBefore: 2 }),
      ...{
        status: 'running' as const,
        scannedTo: 0,
        devicesTotal: 0,
        devices: 0,
        matched: 0,
        cancelled: 0,
        notCancelled: 0,
      },
      ...{ nextAt: rig.clock.now() + 60_000, endedAt: null },
    }
    await rig.store.addCancellation(row)
    const answer = await ask(`/${row.cancellationId}/stop`, { method: 'POST' })
    expect([answer.code, ['stopping', 'stopped'].includes(answer.data.status)]).toEqual([0, true])
    await rig.advance(0)
    expect((await ask(`/${row.cancellationId}`)).data).toMatchObject({ status: 'stopped', endedAt: rig.clock.now() })
  })
})

describe('a filter', () => {
  const refusals: readonly (readonly [string, object, RegExp])[] = [
    ['nothing', {}, /filter:has no condition: say "all": true/],
    ['only states', { states: [1] }, /filter:has no condition/],
    ['all and more', { all: true, serviceId: 'reboot' }, /filter\.all:stands alone, and there is also serviceId/],
    ['all: false', { all: false }, /filter\.all/],
    ['a point and a service', { measurepointId: 'x', serviceId: 'y' }, /not both/],
    ['two ages', { olderThanS: 1, createdBefore: 1 }, /not both/],
    ['states without created', { all: true, states: [4] }, /filter\.states:must have 1/],
    ['states that cannot be', { all: true, states: [1, 5] }, /filter\.states\[1\]/],
    ['an unknown name', { all: true, productKey: PRODUCT }, /filter\.productKey.*did you mean productKeys\?/],
    ['no products', { productKeys: [] }, /filter\.productKeys/],
    ['products twice', { productKeys: [PRODUCT, PRODUCT] }, /filter\.productKeys/],
    [
      'a product that is not there',
      { productKeys: [PRODUCT, 'otherPk'] },
      /filter\.productKeys\[1\].*no product otherPk/,
    ],
    ['an age that is a text', { olderThanS: '5' }, /filter\.olderThanS/],
    ['an age that is negative', { olderThanS: -1 }, /filter\.olderThanS/],
    ['a service that is no key', { serviceId: 'a/b' }, /filter\.serviceId/],
  ]
  test.each(refusals)('that says %s is refused, and nothing is cancelled', async (_what, filter, message) => {
    const [id] = await rig.app.on({ assetId: 'a1' }).queue(1)
    expectRefused(await create(filter), 99400, message)
    await rig.advance(0)
    expect(await rig.app.on({ assetId: 'a1' }).states([id!])).toEqual([1])
    expect((await ask('')).total).toBe(0)
  })

  test('must be there, and nothing else beside it', async () => {
    expectRefused(await ask('', { method: 'POST', body: {} }), 99400, /filter is missing/)
    expectRefused(await ask('', { method: 'POST' }), 99400, /body/)
    expectRefused(await create({ all: true }, { dryrun: true }), 99400, /dryrun.*did you mean dryRun\?/)
    expectRefused(await create({ all: true }, { dryRun: 'yes' }), 99400, /dryRun/)
    expectRefused(await create({ assetIds: ['a1', 'nothing'] }), 99404, /assetIds\[1\]: device nothing not found/)
    expectRefused(await create({ assetIds: ['other1'] }), 99404, /other1 not found/)
  })
})

describe('who', () => {
  test('may only read may look, and not cancel', async () => {
    const { data } = await create({ all: true })
    await rig.advance(0)
    const app = as(READER)
    expectRefused(await create({ all: true }, {}, app), 99403, /Denied resource/)
    expectRefused(await ask(`/${data.cancellationId}/stop`, { method: 'POST', app }), 99403, /Denied resource/)
    expect((await ask(`/${data.cancellationId}`, { app })).code).toBe(0)
    expect((await ask('', { app })).total).toBe(1)
    expectRefused(await ask('', { app: as(NOBODY) }), 99403, /Denied resource/)
  })

  test('may command some devices cancels on those alone, and sees what is his own', async () => {
    const [mine] = await rig.app.on({ assetId: 'a1' }).queue(1)
    const [theirs] = await rig.app.on({ assetId: 'free1' }).queue(1)
    const [other] = await rig.app.on({ assetId: 'a2' }).queue(1)
    const foreign = (await create({ serviceId: 'nothing' })).data.cancellationId
    const app = as(BY_PRODUCT)
    const own = (await create({ all: true }, {}, app)).data.cancellationId
    await rig.advance(0)
    expect(await rig.app.on({ assetId: 'a1' }).states([mine!])).toEqual([2])
    expect(await rig.app.on({ assetId: 'a2' }).states([other!])).toEqual([2])
    expect(await rig.app.on({ assetId: 'free1' }).states([theirs!])).toEqual([1])
    expect((await ask('', { app })).data.map((each: { cancellationId: string }) => each.cancellationId)).toEqual([own])
    expectRefused(await ask(`/${foreign}`, { app }), 99404, /not found/)
    expectRefused(await create({ assetIds: ['a1', 'free1'] }, {}, app), 99403, /free1 needs/)
    // It may control a1, and only read a2.
    const few = as(BY_ASSET)
    const [left] = await rig.app.on({ assetId: 'a1' }).queue(1)
    const [kept] = await rig.app.on({ assetId: 'a2' }).queue(1)
    await create({ all: true }, {}, few)
    await rig.advance(0)
    expect(await rig.app.on({ assetId: 'a1' }).states([left!])).toEqual([2])
    expect(await rig.app.on({ assetId: 'a2' }).states([kept!])).toEqual([1])
  })

  test('may see a device no more is not told of its commands', async () => {
    const [one] = await rig.app.on({ assetId: 'a1' }).queue(1)
    const [two] = await rig.app.on({ assetId: 'a2' }).queue(1)
    const app = as(BY_PRODUCT)
    const { cancellationId } = (await create({ all: true }, {}, app)).data
    await rig.advance(0)
    const seenBy = async (caller: Application, query = {}) => {
      const { data, next } = await ask(`/${cancellationId}/items`, { app: caller, query })
      return [data.map((item: { commandId: string }) => item.commandId), next]
    }
    expect(await seenBy(app)).toEqual([[one, two], null])
    const grants = [{ resource: 'Asset', actions: ['Read'], scope: { assetIds: ['a2'] } }]
    await rig.fleet.applications.setGrants(ORG, BY_PRODUCT.appKey, grants)
    expect(await seenBy(app)).toEqual([[two], null])
    expect(await seenBy(app, { limit: '1' })).toEqual([[], one])
    expect(await seenBy(app, { limit: '1', after: one })).toEqual([[two], two])
    expect(await seenBy(rig.app)).toEqual([[one, two], null])
  })

  const losses: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['was removed', () => rig.fleet.applications.remove(ORG, BY_PRODUCT.appKey)],
    [
      'may command nothing any more',
      () => rig.fleet.applications.revoke(ORG, BY_PRODUCT.appKey, { resource: 'Asset' }),
    ],
    [
      'may command less',
      () =>
        rig.fleet.applications.setGrants(ORG, BY_PRODUCT.appKey, [
          { resource: 'Asset', actions: ['Control'], scope: { assetIds: ['a1'] } },
        ]),
    ],
  ]
  test.each(losses)('%s has its cancellation stopped', async (_what, lose) => {
    const [mine] = await rig.app.on({ assetId: 'a1' }).queue(1)
    const row = {
      ...{ cancellationId: 'e'.repeat(24), orgId: ORG, createdBy: BY_PRODUCT.appKey, createdAt: 1, dryRun: false },
      filterJson: JSON.stringify({
        ...{ said: { all: true }, reach: { productKeys: [PRODUCT], assetIds: [] }, deviceIds: null },
        createdBefore: rig.clock.now() + 1,
      }),
      ...{ status: 'running' as const, scannedTo: 0, devicesTotal: 1, devices: 0 },
      ...{ matched: 0, cancelled: 0, notCancelled: 0, nextAt: rig.clock.now(), endedAt: null },
    }
    await lose()
    await rig.store.addCancellation(row)
    // Whatever is asked of jobs wakes the runner.
    await create({ serviceId: 'nothing' })
    await rig.advance(0)
    const { data } = await ask(`/${row.cancellationId}`)
    expect(data).toMatchObject({ status: 'stopped', endedAt: rig.clock.now(), matched: 0, cancelled: 0 })
    expect(await rig.app.on({ assetId: 'a1' }).states([mine!])).toEqual([1])
  })

  test('may command more than before has it go on', async () => {
    const [mine] = await rig.app.on({ assetId: 'a1' }).queue(1)
    const { cancellationId } = (await create({ all: true }, {}, as(BY_ASSET))).data
    const more = { resource: 'Asset', actions: ['Control'], scope: { productKeys: [PRODUCT] } }
    await rig.fleet.applications.grant(ORG, BY_ASSET.appKey, more)
    await rig.advance(0)
    expect((await ask(`/${cancellationId}`)).data).toMatchObject({ status: 'ended', cancelled: 1 })
    expect(await rig.app.on({ assetId: 'a1' }).states([mine!])).toEqual([2])
  })

  test('is of another organization sees nothing', async () => {
    const { data } = await create({ all: true })
    const app = as(STRANGER)
    expectRefused(await ask(`/${data.cancellationId}`, { app, orgId: 'oOther' }), 99404, /not found/)
    expectRefused(await ask(`/${data.cancellationId}`, { app }), 99403, /Denied resource/)
    expectRefused(await ask('/x'), 99400, /cancellationId/)
  })
})
