// GET /v1/events and /v1/changes as callers see them, over real sockets: nothing is missed and nothing is shown that is not the caller's, also after the
// server was started again; streams begin, say that they are there, and end as the documents say.

import { afterEach, describe, expect, test } from 'vitest'
import { Kind } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import {
  STREAM_HEARTBEAT_MS,
  STREAM_LIFE_MAX_MS,
  STREAM_RECHECK_MS,
  STREAM_STALLED_MS,
  STREAMS_PER_ORGANIZATION_MAX,
} from '../src/core/limits.ts'
import { cursorOf } from '../src/stream/cursor.ts'
import { Follows } from './rig/changes.ts'
import { type AppRig, BY_ASSET, BY_PRODUCT, expectRefused, NOBODY, startApp } from './rig/http.ts'
import {
  type Answer,
  APP,
  Application,
  fleetFile,
  ORG,
  PRODUCT,
  type Rig,
  STRANGER,
  startRig,
  TestDevice,
} from './rig/server.ts'

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function app(options: Parameters<typeof startApp>[0] = {}): Promise<AppRig> {
  const rig = await startApp(options)
  stops.push(() => rig.stop())
  return rig
}
async function follow(...args: Parameters<typeof Follows.begin>): Promise<Follows> {
  const follows = await Follows.begin(...args)
  stops.push(() => follows.close())
  return follows
}
const changes = (app: Application, params: Record<string, string> = {}): Promise<Answer> =>
  app.call({ orgId: ORG, ...params }, { method: 'GET', resource: '/v1/changes' })
/** Pages from the oldest change on, or from a cursor, until there is no more. */
async function all(
  app: Application,
  params: Record<string, string> = {},
  after?: string,
): Promise<{ events: Answer['data']; next: string }> {
  const events: Answer['data'] = []
  let next = after
  for (;;) {
    const page = await changes(app, { ...params, ...(next !== undefined && { after: next }) })
    expect(page).toMatchObject({ status: 200, code: 0 })
    events.push(...page.data)
    next = page.next as string
    if (!page.more) return { events, next }
  }
}
const idOf = ({ id }: { id: string }): string => id
/** The loop has come to rest, as far as sockets of this process go. */
const turns = async (n = 40) => {
  for (let i = 0; i < n; i++) await new Promise(resolve => setImmediate(resolve))
}

describe('a stream of events', () => {
  test('begins with what happens from then on, and says where that is', async () => {
    const { app: caller } = await app()
    await caller.on({ assetId: 'a1' }).queue(2)
    const follows = await follow(caller)
    expect(follows).toMatchObject({ status: 200, headers: { 'content-type': 'text/event-stream;charset=UTF-8' } })
    expect(follows.headers['cache-control']).toContain('no-cache')
    expect(follows.told).toEqual([{ event: 'cursor', id: cursorOf(2), data: { id: cursorOf(2) } }])
    const [id] = await caller.on({ assetId: 'a1' }).queue(1)
    const [told] = await follows.count(1)
    expect(told).toMatchObject({
      event: 'change',
      id: cursorOf(3),
      data: { id: cursorOf(3), commandId: id, seq: 3, to: 1 },
    })
  })

  test('goes on where it was left, by the header or by the query, and the header is the newer one', async () => {
    const { app: caller } = await app()
    await caller.on({ assetId: 'a1' }).queue(5)
    const whole = (await all(caller)).events
    const from = await follow(caller, { from: 'oldest' })
    expect((await from.count(5)).map(idOf)).toEqual(whole.map(idOf))
    const query = await follow(caller, { after: whole[1].id })
    expect((await query.count(3)).map(idOf)).toEqual(whole.slice(2).map(idOf))
    const header = await follow(caller, { after: whole[0].id }, { 'last-event-id': whole[3].id })
    expect((await header.count(1)).map(idOf)).toEqual([whole[4].id])
  })

  test('tells every event of a life in the words that the page has, and to each that follows alike', async () => {
    const { app: caller, advance } = await app()
    const many = await Promise.all(Array.from({ length: 20 }, () => follow(caller)))
    const [first, second] = await caller.on({ assetId: 'a1' }).queue(2, { pendingTtl: '10' })
    await caller.on({ assetId: 'a1' }).cancel(first)
    await advance(11_000)
    await caller.on({ assetId: 'a1' }).get(second ?? '')
    const { events } = await all(caller)
    expect(events.map(({ to }: { to: number }) => to)).toEqual([1, 1, 2, 3])
    for (const each of many) expect((await each.count(4)).map(({ data }) => data)).toEqual(events)
  })

  test('is filtered by product, device and state, and says how far it is where nothing was wanted', async () => {
    const { app: caller, clock } = await app()
    const ofDevice = await follow(caller, { assetId: 'a2' })
    const ofProduct = await follow(caller, { productKey: 'freePk' })
    const ofEnds = await follow(caller, { state: '2,3' })
    const ofBoth = await follow(caller, { productKey: PRODUCT, assetId: 'free1' })
    for (const assetId of ['a1', 'a2', 'free1'])
      await caller
        .on({ assetId })
        .queue(1)
        .catch(() => undefined)
    await caller.on({ assetId: 'a2' }).queue(1)
    await caller.on({ assetId: 'a1' }).cancel()
    const { events, next } = await all(caller)
    expect((await ofDevice.count(2)).map(({ data }) => data.device.assetId)).toEqual(['a2', 'a2'])
    expect((await ofEnds.count(1)).map(({ data }) => [data.device.assetId, data.to])).toEqual([['a1', 2]])
    await clock.advance(STREAM_HEARTBEAT_MS, turns)
    await ofBoth.until(() => ofBoth.told.length === 2)
    expect(ofBoth.told.at(-1)).toEqual({ event: 'cursor', id: next, data: { id: next } })
    expect(ofBoth.changes).toEqual([])
    expect(ofProduct.changes.length).toBe(
      events.filter((event: Answer['data']) => event.device.productKey === 'freePk').length,
    )
  })

  test('shows what the caller’s grants reach and nothing else', async () => {
    const rig = await app()
    const { url, app: caller, clock } = rig
    const as = (who: typeof APP) => new Application(url, who, () => clock.now())
    const product = await follow(as(BY_PRODUCT))
    const asset = await follow(as(BY_ASSET))
    const narrowed = await follow(as(BY_ASSET), { assetId: 'a3' })
    const nobody = await follow(as(NOBODY))
    expectRefused({ ...JSON.parse(nobody.text), status: nobody.status }, errors.denied.code, 'Asset: Read')
    for (const assetId of ['a1', 'a2', 'a3', 't1']) {
      const measurepointId = assetId === 't1' ? 'Int' : 'Int_value'
      const sent = await caller.call(
        { action: 'setMeasurepoint', orgId: ORG, assetId, measurepointId, pendingTtl: '60' },
        { body: { value: 1 } },
      )
      expect(sent.code).toBe(0)
    }
    const seen = (follows: Follows) => follows.changes.map(({ data }) => data.device.assetId)
    await product.count(3)
    await asset.count(2)
    await turns()
    expect(seen(product)).toEqual(['a1', 'a2', 'a3'])
    expect(seen(asset)).toEqual(['a1', 'a2'])
    expect(seen(narrowed)).toEqual([])
    const stranger = new Application(url, STRANGER, () => clock.now())
    expect((await stranger.call({ orgId: 'oOther' }, { method: 'GET', resource: '/v1/changes' })).data).toEqual([])
    const foreign = await stranger.call({ orgId: ORG }, { method: 'GET', resource: '/v1/changes' })
    expectRefused(foreign, errors.denied.code, 'orgId')
  })

  test('refuses what is no cursor, one that is gone, and two beginnings', async () => {
    const { app: caller, engine, store, clock, advance } = await app()
    const refusedWith = async (params: Record<string, string>, headers: Record<string, string> = {}) => {
      const follows = await follow(caller, params, headers)
      await follows.until(() => follows.isOver)
      return { ...(JSON.parse(follows.text) as Answer), status: follows.status }
    }
    expectRefused(await refusedWith({ after: 'x' }), errors.invalidArgument.code, 'Invalid Argument after')
    expectRefused(await refusedWith({}, { 'last-event-id': 'AAAA' }), errors.invalidArgument.code, 'Last-Event-ID')
    expectRefused(
      await refusedWith({ after: cursorOf(0), from: 'now' }),
      errors.invalidArgument.code,
      'Invalid Argument from',
    )
    expectRefused(await refusedWith({ from: 'yesterday' }), errors.invalidArgument.code, 'from')
    expectRefused(await refusedWith({ state: '8' }), errors.invalidArgument.code, 'state')
    expectRefused(await refusedWith({ stat: '5' }), errors.invalidArgument.code, 'stat')
    expectRefused(await refusedWith({ after: cursorOf(1) }), errors.cursorGone.code, 'not of this store', 410)

    await caller.on({ assetId: 'a1' }).queue(3)
    await caller.on({ assetId: 'a1' }).cancel()
    await caller.on({ assetId: 'a1' }).queue(1)
    await engine.idle()
    await store.purge(clock.now() + 1, 100)
    const { lost, given } = await store.streamEnds()
    expect(lost).toBe(6)
    expectRefused(await refusedWith({ after: cursorOf(5) }), errors.cursorGone.code, 'purged', 410)
    expectRefused(await changes(caller, { after: cursorOf(5) }), errors.cursorGone.code, 'purged', 410)
    const left = await follow(caller, { after: cursorOf(lost) })
    expect((await left.count(1)).map(idOf)).toEqual([cursorOf(given)])
    await advance(0)
  })

  test('ends with a word where what comes next is purged while its caller is far behind', async () => {
    const { app: caller, changes: stream, store, clock } = await app()
    await caller.on({ assetId: 'a1' }).queue(3)
    await caller.on({ assetId: 'a1' }).cancel()
    const next = stream.follower.next.bind(stream.follower)
    // The page is asked for when the purge is through: as if the caller had taken that long.
    stream.follower.next = async (...args) => {
      await store.purge(clock.now() + 1, 100)
      return next(...args)
    }
    const follows = await follow(caller, { after: cursorOf(1) })
    await follows.until(() => follows.isOver)
    expect(follows.told.map(({ event }) => event)).toEqual(['cursor', 'gone'])
    expect(follows.told.at(-1)?.data).toEqual({ code: errors.cursorGone.code, after: cursorOf(1) })
  })

  test('says every 15 s that it is there, lives for 2 h, and ends when its caller may see something else', async () => {
    const { app: caller, clock, store } = await app()
    const follows = await follow(caller)
    for (let beats = 1; beats <= 3; beats++) {
      await clock.advance(STREAM_HEARTBEAT_MS, turns)
      await follows.until(() => follows.comments.length === beats)
    }
    const row = await store.application(APP.appKey)
    if (row === null) throw new Error('there is no application')
    await store.applyFleet(
      {
        ...{ organizations: [], models: [], products: [], devices: [] },
        applications: [{ ...row, grants: [{ resource: 'Asset', actions: ['Read'], scope: { assetIds: ['a1'] } }] }],
      },
      clock.now(),
    )
    await clock.advance(STREAM_RECHECK_MS, turns)
    await follows.until(() => follows.isOver)
    expect(follows.comments.at(-1)).toContain('may be seen has changed')

    const again = await follow(caller)
    await clock.advance(STREAM_LIFE_MAX_MS, turns)
    await again.until(() => again.isOver)
    expect(again.comments.at(-1)).toContain('its time is over')
  })

  test('of which there may be so many per organization; one that ends makes room', async () => {
    const { app: caller, changes: stream, url, clock } = await app()
    const first = await follow(caller)
    const places = Array.from({ length: STREAMS_PER_ORGANIZATION_MAX - 1 }, () => stream.enter(ORG))
    expect(places.every(place => place !== null)).toBe(true)
    const refused = await follow(caller)
    await refused.until(() => refused.isOver)
    expectRefused(
      { ...JSON.parse(refused.text), status: refused.status },
      errors.unavailable.code,
      'too many streams',
      503,
    )
    expect(refused.headers['retry-after']).toBe('1')
    const stranger = new Application(url, STRANGER, () => clock.now())
    expect((await follow(stranger, { orgId: 'oOther' })).status).toBe(200)
    first.close()
    while (stream.gauges().streams >= STREAMS_PER_ORGANIZATION_MAX + 1) await turns(1)
    expect((await follow(caller)).status).toBe(200)
  })

  test('is cut off where its caller reads nothing, which holds up nobody and no more than a little', async () => {
    const { app: caller, changes: stream, clock, engine, store } = await app()
    const fast = await follow(caller)
    const slow = await follow(caller, {}, {}, true)
    const device = (await store.deviceByAsset('a1'))?.id ?? 0
    const command = {
      ...{ kind: Kind.set, identifier: 'Int_value', timeoutS: 30, pendingTtlS: 600, by: 'somebody' },
      ...{ nameJson: '{"defaultValue":"Int_value"}', inputJson: '1' },
    }
    // The sockets between the two hold some megabytes. Only then something waits in the stream, and is looked at by time.
    let sent = 0
    let turnsOfClock = 0
    while (stream.gauges().streams === 2 && sent < 100_000) {
      await Promise.all(Array.from({ length: 50 }, () => engine.enqueue(device, command, false)))
      await engine.cancel(device, null, 'somebody')
      sent += 100
      await fast.count(sent)
      if (sent % 2_000 !== 0) continue
      await clock.advance(STREAM_STALLED_MS + STREAM_HEARTBEAT_MS, turns)
      turnsOfClock += 1
    }
    expect(stream.gauges().streams).toBe(1)
    expect(fast.isOver).toBe(false)
    // As long as the sockets took something, it was not cut off for being slow.
    expect(turnsOfClock).toBeGreaterThan(1)
    slow.read()
    await slow.until(() => slow.isOver)
    // What the sockets held came, up to somewhere in the middle.
    expect(slow.changes.length).toBeGreaterThan(1_000)
    expect(slow.changes.length).toBeLessThan(sent)
  })

  test('ends when the server stops, which does not wait for it', async () => {
    const rig = await startApp()
    const follows = await Follows.begin(rig.app)
    const stopped = rig.stop()
    await follows.until(() => follows.isOver)
    expect(follows.comments.at(-1)).toContain('stopping')
    await stopped
  })
})

describe('a page of changes', () => {
  test('is followed by the next until there is no more, and later by what has come since', async () => {
    const { app: caller } = await app()
    await caller.on({ assetId: 'a1' }).queue(7)
    const pages: number[] = []
    let after: string | undefined
    const ids: string[] = []
    for (let more = true; more; ) {
      const page = await changes(caller, { limit: '3', ...(after !== undefined && { after }) })
      pages.push(page.data.length)
      ids.push(...page.data.map(idOf))
      more = page.more as boolean
      after = page.next as string
    }
    expect(new Set(ids).size).toBe(7)
    expect(pages.reduce((sum, n) => sum + n)).toBe(7)
    expect(Math.max(...pages)).toBe(3)
    expect((await changes(caller, { after: after ?? '' })).data).toEqual([])
    await caller.on({ assetId: 'a1' }).queue(1)
    expect((await changes(caller, { after: after ?? '' })).data).toHaveLength(1)
    const now = await changes(caller, { from: 'now' })
    expect(now.data).toEqual([])
    expectRefused(await changes(caller, { limit: '0' }), errors.invalidArgument.code, 'limit')
    expectRefused(await changes(caller, { limit: '201' }), errors.invalidArgument.code, 'limit')
  })
})

describe('a product or a device that the organization does not have', () => {
  test.each([
    [{ productKey: 'nope' }, errors.productNotFound.code, 'productKey'],
    [{ productKey: 'otherPk' }, errors.productNotFound.code, 'productKey'],
    [{ assetId: 'nope' }, errors.notFound.code, 'assetId'],
    [{ assetId: 'other1' }, errors.notFound.code, 'assetId'],
  ])('is refused: %j', async (params, code, name) => {
    const { app: caller } = await app()
    expectRefused(await changes(caller, params), code, name)
    const follows = await follow(caller, params)
    await follows.until(() => follows.isOver)
    expectRefused({ ...JSON.parse(follows.text), status: follows.status }, code, name)
  })
})

describe('on a server with a file', () => {
  let rig: Rig
  const open = async (): Promise<void> => {
    rig = await startRig([], fleetFile(3))
    stops.push(() => rig.stop())
  }

  test('nothing is lost over a restart to who comes again with the last id', async () => {
    await open()
    let follows = await follow(rig.app)
    const seen: string[] = []
    const take = async (count: number) => {
      await follows.count(count)
      seen.push(...follows.changes.map(idOf))
    }
    const device = new TestDevice(rig.server.mqttUrl, 'd1')
    stops.push(() => device.end())
    await device.connected()
    const [id] = await rig.app.on({ assetId: 'a1' }).queue(1)
    await rig.app.on({ assetId: 'a1' }).until(id ?? '', 5)
    // connected, accepted, sent, succeeded
    await take(4)
    const last = follows.cursor
    await device.end()
    rig = await rig.restart()
    stops.push(() => rig.stop())
    await follows.until(() => follows.isOver)
    await rig.app.on({ assetId: 'a2' }).queue(3)
    follows = await follow(rig.app, {}, { 'last-event-id': last })
    const { events } = await all(rig.app)
    await take(events.length - 4)
    expect(seen).toEqual(events.map(idOf))
    const bySeq = new Map<string, number[]>()
    for (const event of events) bySeq.set(event.device.assetId, [...(bySeq.get(event.device.assetId) ?? []), event.seq])
    for (const seqs of bySeq.values()) expect(seqs).toEqual(seqs.map((_, i) => i + 1))
  })

  test('a device that was deleted is told of, to its end and after', async () => {
    await open()
    const follows = await follow(rig.app, { assetId: 'a3' })
    await rig.app.on({ assetId: 'a3' }).queue(2)
    const deleted = await rig.app.call({ action: 'delete', orgId: ORG, assetId: 'a3' }, { resource: 'devices' })
    expect(deleted.code).toBe(0)
    const told = await follows.count(5)
    expect(told.map(({ data }) => [data.reason, data.to])).toEqual([
      ['accepted', 1],
      ['accepted', 1],
      ['device deleted', 2],
      ['device deleted', 2],
      ['deleted', null],
    ])
    for (const { data } of told)
      expect(data.device).toEqual({ orgId: ORG, productKey: PRODUCT, deviceKey: 'd3', assetId: 'a3' })
    const { events, next } = await all(rig.app, { assetId: 'a3' })
    expect(events).toEqual(told.map(({ data }) => data))
    // Who has read to its end may go on; who begins now is told that there is no such device.
    expect(await changes(rig.app, { assetId: 'a3', after: next })).toMatchObject({ code: 0, data: [] })
    expectRefused(await changes(rig.app, { assetId: 'a3', from: 'now' }), errors.notFound.code, 'no device a3')
  })
})
