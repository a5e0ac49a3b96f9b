// The stream of changes inside one process: cursors, the words of an event, and how pages come to those who follow, on a clock that the test moves.
// What is read is made by a real engine on the memory store; a store that counts, or fails, is that one with a door in front.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { State } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import { RETRY_AFTER_MS, STREAM_PLACE_MAX, STREAM_POLL_MS, STREAM_RING_MAX } from '../src/core/limits.ts'
import { openMemory } from '../src/store/memory.ts'
import type { Store } from '../src/store/store.ts'
import type { Change, ChangeFilter, ChangePage } from '../src/store/stream.ts'
import { cursorOf, readCursor } from '../src/stream/cursor.ts'
import { eventOf, eventText } from '../src/stream/event.ts'
import { filterJson, isWanted, readFilter } from '../src/stream/filter.ts'
import { Follower, type FollowerOptions } from '../src/stream/follower.ts'
import { newCommand, ORG, RecordingLink, rig } from './rig/engine.ts'

const everything: ChangeFilter = { orgId: ORG, reach: 'all', productKey: null, assetId: null, to: null }
const never = new AbortController().signal
const turns = async (n = 12) => {
  for (let i = 0; i < n; i++) await new Promise(resolve => setImmediate(resolve))
}

describe('a cursor', () => {
  test('is 12 characters of base64url, and its position again', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), position => {
        const cursor = cursorOf(position)
        expect(cursor).toMatch(/^[A-Za-z0-9_-]{12}$/)
        expect(readCursor(cursor, 'after')).toEqual({ ok: true, position })
      }),
    )
  })

  test('that is none of ours is refused by the name of its parameter', () => {
    const good = cursorOf(77)
    const version2 = Buffer.from(good, 'base64url')
    version2.writeUInt8(2)
    const beyond = Buffer.from(good, 'base64url')
    beyond.writeBigUInt64BE(2n ** 53n, 1)
    const wrong = [
      ...[
        '',
        '0',
        '77',
        good.slice(1),
        `${good}A`,
        `${good}=`,
        ` ${good}`,
        good.replace(/.$/, '+'),
        '中文中文中文中文中文中文',
      ],
      ...[version2.toString('base64url'), beyond.toString('base64url'), Buffer.alloc(9, 255).toString('base64url')],
    ]
    for (const text of wrong) {
      const read = readCursor(text, 'Last-Event-ID')
      expect(read, text).toMatchObject({ ok: false, code: errors.invalidArgument.code })
      expect(!read.ok && read.message).toContain('Last-Event-ID')
    }
  })

  test('never throws, and reads nothing but what it writes', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String(), fc.string({ unit: 'binary' })), text => {
        const read = readCursor(text, 'after')
        if (read.ok) expect(cursorOf(read.position)).toBe(text)
      }),
    )
  })
})

/** Everything that is on record, from the first change on. */
async function allOf(store: Store, filter: ChangeFilter | null = null): Promise<Change[]> {
  const changes: Change[] = []
  for (let after = 0; ; ) {
    const page = await store.changesAfter(after, filter, 100, 100)
    changes.push(...page.changes)
    after = page.upTo
    if (!page.isFull) return changes
  }
}

/** What may happen to devices: each step is something that an engine is asked. */
const act = fc.record({
  device: fc.nat(2),
  what: fc.constantFrom(
    'cached',
    'instant',
    'cancel',
    'connect',
    'reply',
    'lateReply',
    'disconnect',
    'disable',
    'wait',
  ),
})

/** Does them one after the other; `after` is told when each is on record. */
async function perform(
  world: Awaited<ReturnType<typeof rig>>,
  acts: readonly { readonly device: number; readonly what: string }[],
  after: () => Promise<void>,
): Promise<void> {
  const { engine, devices } = world
  const links = devices.map(() => new RecordingLink())
  const sessions = devices.map(() => 0)
  for (const { device, what } of acts) {
    const id = devices[device]!
    const link = links[device]!
    const newest = link.published.at(-1)?.commandId ?? ''
    const said = { deviceCode: '200', message: null, outputJson: '{"ok":true}' }
    if (what === 'cached') await engine.enqueue(id, newCommand(), false)
    if (what === 'instant') await engine.enqueue(id, newCommand({ pendingTtlS: 0, timeoutS: 5 }), false)
    if (what === 'cancel') await engine.cancel(id, null, 'app')
    if (what === 'connect') {
      const connected = await engine.connect(id, link)
      if (connected.ok) sessions[device] = connected.session
      await engine.apply(id, { type: 'ready' })
    }
    if (what === 'reply') await engine.apply(id, { type: 'reply', commandId: newest, code: 200, ...said })
    if (what === 'lateReply') await engine.apply(id, { type: 'reply', commandId: newest, code: 1, ...said })
    if (what === 'disconnect')
      await engine.apply(id, { type: 'disconnected', session: sessions[device]!, reason: 'closed' })
    if (what === 'disable') await engine.apply(id, { type: 'disable', by: 'app' })
    await world.advance(what === 'wait' ? 40_000 : 700)
    await after()
  }
}

describe('an event', () => {
  test('is told in the same words whenever it is told, and is whole JSON with its cursor', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 25 }), async acts => {
        const world = await rig(3)
        const told = new Map<number, string>()
        await perform(world, acts, async () => {
          for (const change of await allOf(world.store)) {
            // A copy: what was put into words before is not asked for again.
            const text = eventText({ ...change })
            expect(told.get(change.position) ?? text).toBe(text)
            told.set(change.position, text)
            expect(JSON.parse(text).id).toBe(cursorOf(change.position))
          }
        })
        await world.engine.stop()
      }),
      { numRuns: 40 },
    )
  })

  test('says what it was of, who did it, and how long things took', async () => {
    const { engine, store, devices, advance } = await rig()
    const [device] = devices as [number]
    const link = new RecordingLink()
    const accepted = await engine.enqueue(device, newCommand(), false)
    if (!accepted.ok || accepted.command === null) throw new Error('not accepted')
    const { id, createdAt } = accepted.command
    await advance(3_000)
    await engine.connect(device, link)
    await engine.apply(device, { type: 'ready' })
    await advance(250)
    const reply = {
      type: 'reply',
      commandId: id,
      code: 4_711,
      deviceCode: '4711',
      message: 'no',
      outputJson: null,
    } as const
    await engine.apply(device, reply)
    const events = (await allOf(store)).map(change => JSON.parse(eventText(change)))
    const of = { orgId: ORG, productKey: 'pk', deviceKey: 'dk1', assetId: 'asset1' }
    const command = { commandType: 2, tslIdentifier: 'reboot' }
    const common = { commandId: id, device: of }
    expect(events.filter(event => event.commandId !== null)).toEqual([
      {
        ...{ ...common, id: cursorOf(1), seq: 1, from: null, to: 1, state: 'created', at: createdAt, by: 'app' },
        ...{ reason: 'accepted', detail: null, latency: null, command: { ...command, code: null } },
      },
      expect.objectContaining({
        ...{ ...common, from: 1, to: 4, state: 'sent', at: createdAt + 3_000, command: { ...command, code: null } },
        latency: { waitedMs: 3_000, answeredMs: null, totalMs: null },
      }),
      expect.objectContaining({
        ...{ ...common, from: 4, to: 6, state: 'failed', by: 'device', command: { ...command, code: 4_711 } },
        latency: { waitedMs: 3_000, answeredMs: 250, totalMs: 3_250 },
      }),
    ])
    const [connected] = events.filter(event => event.commandId === null)
    expect(connected).toMatchObject({ device: of, from: null, to: null, state: null, latency: null, command: null })
    await engine.stop()
  })

  test('of one that was never sent has waited for nothing', async () => {
    const { engine, store, devices, advance } = await rig()
    await engine.enqueue(devices[0]!, newCommand({ pendingTtlS: 10 }), false)
    await advance(20_000)
    const [, expired] = await allOf(store)
    if (expired === undefined) throw new Error('it has not expired')
    expect(eventOf(expired.device, expired.event, expired.command)).toMatchObject({
      to: State.expired,
      latency: { waitedMs: null, answeredMs: null, totalMs: 10_000 },
    })
    await engine.stop()
  })
})

const someStates = fc.option(fc.subarray([1, 2, 3, 4, 5, 6, 7] as const, { minLength: 1 }), { nil: null })
const someFilter: fc.Arbitrary<ChangeFilter> = fc.record({
  orgId: fc.constantFrom(ORG, ORG, ORG, 'elsewhere'),
  reach: fc.constantFrom<ChangeFilter['reach'][]>(
    'all',
    { productKeys: ['pk'], assetIds: [] },
    { productKeys: [], assetIds: ['asset1', 'asset3'] },
    { productKeys: [], assetIds: [] },
  ),
  productKey: fc.constantFrom(null, 'pk', 'other'),
  assetId: fc.constantFrom(null, null, 'asset2'),
  to: someStates,
})

describe('a filter', () => {
  test('is the same in the process as in the store', async () => {
    const acts = fc.array(act, { minLength: 5, maxLength: 25 })
    await fc.assert(
      fc.asyncProperty(acts, fc.array(someFilter, { minLength: 1, maxLength: 8 }), async (acts, filters) => {
        const world = await rig(3)
        await perform(world, acts, async () => undefined)
        const all = await allOf(world.store)
        for (const filter of filters)
          expect(all.filter(change => isWanted(filter, change))).toEqual(await allOf(world.store, filter))
        await world.engine.stop()
      }),
      { numRuns: 40 },
    )
  })

  test('is the same again after it was kept, and nothing else is taken for one', () => {
    fc.assert(
      fc.property(someFilter, filter => {
        expect(readFilter(filter.orgId, filterJson(filter))).toEqual(filter)
      }),
    )
    const whole = { reach: 'all', productKey: null, assetId: null, to: null }
    const wrong = [
      { reach: 'some' },
      { reach: { productKeys: [1], assetIds: [] } },
      { productKey: 1 },
      { to: [0] },
      { to: 5 },
    ]
    for (const over of wrong)
      expect(() => readFilter(ORG, JSON.stringify({ ...whole, ...over })), JSON.stringify(over)).toThrow('filter')
    expect(() => readFilter(ORG, '[]')).toThrow('filter')
  })
})

/** The memory store with a door: reads are counted, may be refused, and positions may be given late as where nodes share a store. */
function behindDoor(store: Store) {
  const door = { reads: 0, looked: 0, fails: false, unplaced: 0, placed: 0, lost: 0 }
  const guarded: FollowerOptions['store'] = {
    placeEvents: async limit => {
      if (door.fails) throw new Error('the store is away')
      const placed = Math.min(limit, door.unplaced)
      door.unplaced -= placed
      door.placed += 1
      return placed
    },
    changesAfter: async (after, filter, limit, scan) => {
      if (door.fails) throw new Error('the store is away')
      door.reads += 1
      const page: ChangePage = await store.changesAfter(after, filter, limit, scan)
      door.looked += page.upTo - after
      return page
    },
    streamEnds: async () => ({ ...(await store.streamEnds()), ...(door.lost > 0 && { lost: door.lost }) }),
  }
  return { door, guarded }
}

async function following(devices = 2, isShared = false) {
  const store = openMemory()
  const { door, guarded } = behindDoor(store)
  let follower: Follower | null = null
  const world = await rig(devices, {
    store,
    observer: {
      batch: () => follower?.stir(),
      transition: () => undefined,
      published: () => undefined,
      reply: () => undefined,
    },
  })
  const defer = (run: () => void) => void setImmediate(run)
  const log = {
    info: () => undefined,
    warn: (_: object, text: string) => void world.logged.push(text),
    error: () => undefined,
  }
  follower = new Follower({ store: guarded, clock: world.clock, log, isShared, defer })
  await follower.start()
  const send = async (n = 1, device = 0) => {
    for (let i = 0; i < n; i++) await world.engine.enqueue(world.devices[device]!, newCommand(), false)
    await turns()
  }
  const stop = async () => {
    await follower?.stop()
    await world.engine.stop()
  }
  return { ...world, follower, door, send, stop }
}

/** The page that comes at once, or fails the test. */
function pageOf(next: Promise<ChangePage | 'gone' | null>): Promise<ChangePage> {
  return next.then(page => {
    if (page === null || page === 'gone') throw new Error(`it is ${page}`)
    return page
  })
}
const positions = (page: ChangePage): number[] => page.changes.map(({ position }) => position)

describe('who follows', () => {
  test('is told as soon as something is written, and not before', async () => {
    const { follower, send, stop } = await following()
    let page: unknown = 'nothing'
    void follower.next(0, everything, 10, never).then(told => {
      page = told
    })
    await turns()
    expect(page).toBe('nothing')
    await send()
    expect(page).toMatchObject({ upTo: 1, changes: [{ position: 1 }] })
    await stop()
  })

  test('costs the store one read for all who are at the end', async () => {
    const { follower, door, send, stop } = await following()
    const pages: ChangePage[] = []
    for (let i = 0; i < 300; i++)
      void pageOf(follower.next(0, everything, 10, new AbortController().signal)).then(page => pages.push(page))
    await send()
    expect(pages).toHaveLength(300)
    expect(new Set(pages.map(({ changes }) => changes[0])).size).toBe(1)
    expect(door.reads).toBe(1)
    await stop()
  })

  test('costs nothing where there is nobody, and who comes later is not made to wait for what he has not asked for', async () => {
    const { follower, door, send, stop, store } = await following()
    await send(30)
    expect(door.reads).toBe(0)
    const { given } = await store.streamEnds()
    const next = pageOf(follower.next(given, everything, 10, never))
    await turns()
    await send()
    expect(positions(await next)).toEqual([given + 1])
    expect(door.looked).toBe(1)
    await stop()
  })

  test('gets pages of the size asked for, in order, whether from the store or from what is kept', async () => {
    const { follower, send, stop } = await following()
    await send(25)
    for (const warm of [false, true]) {
      if (warm) {
        // From here on the last changes are kept: somebody has followed.
        const next = pageOf(follower.next(25, everything, 10, never))
        await send(25)
        await next
      }
      const seen: number[] = []
      let after = warm ? 25 : 0
      while (seen.length < 25) {
        const page = await pageOf(follower.next(after, everything, 7, never))
        expect(page.changes.length).toBeLessThanOrEqual(7)
        seen.push(...positions(page))
        after = page.upTo
      }
      expect(seen).toEqual(Array.from({ length: 25 }, (_, i) => (warm ? 26 : 1) + i))
    }
    await stop()
  })

  test('is told how far it has been looked where nothing was for him', async () => {
    const { follower, send, stop } = await following()
    const next = pageOf(follower.next(0, { ...everything, assetId: 'asset2' }, 10, never))
    await send(3)
    expect(await next).toMatchObject({ changes: [], upTo: 1 })
    await send(1, 1)
    expect(positions(await pageOf(follower.next(1, { ...everything, assetId: 'asset2' }, 10, never)))).toEqual([4])
    await stop()
  })

  test('slowly holds up nobody, holds nothing, and finds in the store what is kept no longer', async () => {
    const { follower, engine, devices, door, stop } = await following(1)
    // One who takes everything at once, and one who does not come back for a long time.
    let fast = 0
    const takeAll = async (until: number) => {
      while (fast < until) fast = (await pageOf(follower.next(fast, everything, 200, never))).upTo
    }
    const slow = await (async () => {
      const next = pageOf(follower.next(0, everything, 1, never))
      await engine.enqueue(devices[0]!, newCommand(), false)
      return (await next).upTo
    })()
    expect(slow).toBe(1)
    const all = STREAM_RING_MAX + 500
    const taking = takeAll(all)
    for (let i = 1; i < all; i += 100) {
      // Cancelled at once, so that the queue is not full: two changes for each.
      const some = Array.from({ length: 25 }, () => engine.enqueue(devices[0]!, newCommand(), false))
      await Promise.all([...some, engine.cancel(devices[0]!, null, 'app')])
      await engine.cancel(devices[0]!, null, 'app')
    }
    while ((await engine.cancel(devices[0]!, null, 'app')).ok && fast < all) {
      await engine.enqueue(devices[0]!, newCommand(), false)
      await turns(2)
    }
    await taking
    const readsBefore = door.reads
    const seen: number[] = []
    for (let after = slow; after < all; ) {
      const page = await pageOf(follower.next(after, everything, 100, never))
      seen.push(...positions(page))
      after = page.upTo
    }
    expect(seen.slice(0, all - 1)).toEqual(Array.from({ length: all - 1 }, (_, i) => i + 2))
    // Only what was no longer kept was read again.
    expect(door.reads - readsBefore).toBeGreaterThan(0)
    expect(door.reads - readsBefore).toBeLessThan(20)
    await stop()
  })

  test('learns that changes after his position were purged', async () => {
    const { follower, door, send, stop } = await following()
    await send(5)
    door.lost = 3
    expect(await follower.next(2, everything, 10, never)).toBe('gone')
    expect(positions(await pageOf(follower.next(3, everything, 10, never)))).toEqual([4, 5])
    await stop()
  })

  test('learns it also where he was at the end when everybody left, and all since then is gone', async () => {
    const { follower, door, send, stop, clock } = await following()
    const first = pageOf(follower.next(0, everything, 10, never))
    await send()
    expect(await first).toMatchObject({ upTo: 1 })
    // Nobody follows while four more are written; later, the first two of those are purged.
    await send(4)
    await clock.advance(3_600_000, turns)
    door.lost = 3
    expect(await follower.next(1, everything, 10, never)).toBe('gone')
    expect(positions(await pageOf(follower.next(3, everything, 10, never))).slice(0, 2)).toEqual([4, 5])
    await stop()
  })

  test('is not kept for ever by positions of which nothing is left', async () => {
    const { engine, devices, store, clock, stop } = await following()
    // Events of a device itself leave no gap that matters.
    await engine.connect(devices[0]!, new RecordingLink())
    await engine.connect(devices[1]!, new RecordingLink())
    const { given } = await store.streamEnds()
    expect(given).toBeGreaterThan(1)
    await store.purge(clock.now() + 1, 100)
    const reading = new Follower({
      ...{ store, clock, isShared: false, defer: run => void setImmediate(run) },
      log: { info: () => undefined, warn: () => undefined, error: () => undefined },
    })
    await reading.start()
    expect(await reading.next(0, everything, 10, never)).toMatchObject({ changes: [], upTo: given })
    await reading.stop()
    await stop()
  })

  test('waits out a store that is away, which is told once', async () => {
    const { follower, door, send, stop, clock, logged, advance } = await following()
    const next = pageOf(follower.next(0, everything, 10, never))
    door.fails = true
    await send()
    await advance(RETRY_AFTER_MS * 3)
    const behind = pageOf(follower.next(0, everything, 10, never))
    expect(logged.filter(text => text.includes('changes cannot be read'))).toHaveLength(1)
    door.fails = false
    await clock.advance(RETRY_AFTER_MS, turns)
    expect(positions(await next)).toEqual([1])
    expect(positions(await behind)).toEqual([1])
    await stop()
  })

  test('and has gone is not waited for; a follower that stops lets everybody go', async () => {
    const { follower, send, stop } = await following()
    const gone = new AbortController()
    const one = follower.next(0, everything, 10, gone.signal)
    const other = follower.next(0, everything, 10, never)
    gone.abort()
    expect(await one).toBeNull()
    await follower.stop()
    expect(await other).toBeNull()
    await send()
    expect(await follower.next(0, everything, 10, never)).toBeNull()
    expect(await follower.next(0, everything, 10, gone.signal)).toBeNull()
    await stop()
  })
})

describe('where nodes share the store', () => {
  test('positions are given, all of them, as soon as this node has written, and whoever waits is told', async () => {
    const { follower, door, send, stop } = await following(1, true)
    await turns()
    const before = door.placed
    door.unplaced = 2 * STREAM_PLACE_MAX + 7
    const next = pageOf(follower.next(0, everything, 10, never))
    await send()
    expect(door.unplaced).toBe(0)
    expect(door.placed - before).toBeGreaterThanOrEqual(3)
    expect(positions(await next)).toEqual([1])
    await stop()
  })

  test('it looks by itself for what others have written, again and again', async () => {
    const { follower, store, devices, door, stop, clock } = await following(1, true)
    const other = await rig(1, { store })
    const next = pageOf(follower.next(0, everything, 10, never))
    await turns()
    // Another engine writes, and nobody tells of it.
    await other.engine.enqueue(devices[0]!, newCommand(), false)
    await turns()
    const placed = door.placed
    await clock.advance(STREAM_POLL_MS, turns)
    expect(positions(await next)).toEqual([1])
    await clock.advance(STREAM_POLL_MS * 4, turns)
    expect(door.placed - placed).toBeGreaterThanOrEqual(4)
    await other.engine.stop()
    await stop()
  })
})
