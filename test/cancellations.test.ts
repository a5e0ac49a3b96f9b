// Cancellations by filter: which commands a filter is for, what becomes of each, and that the result agrees with the event log to the last command, whatever
// happens on the way: crashes at any step, others who cancel, devices that come back, a stop.

import { describe, expect, test } from 'vitest'
import { idMs, Kind, makeId, State } from '../src/core/command.ts'
import { errors, overloaded, refuse } from '../src/core/errors.ts'
import { CANCELLATION_STEP_DEVICES, CANCELLATIONS_OPEN_MAX, NODE_ROUND_TRIP_MAX_MS } from '../src/core/limits.ts'
import type { Engine, NewCommand } from '../src/engine.ts'
import { Jobs } from '../src/jobs/runner.ts'
import { openMemory } from '../src/store/memory.ts'
import type { Store } from '../src/store/store.ts'
import { dyingAfter, replacing } from './rig/dying.ts'
import { newCommand } from './rig/engine.ts'
import { type JobsRig, jobsRig } from './rig/jobs.ts'
import { asFinal, changeOf, commit, created, inserted, loadOne } from './rig/store.ts'

const queue = async (rig: JobsRig, n: number, over: Partial<NewCommand> = {}): Promise<string> => {
  const accepted = await rig.engine.enqueue(rig.devices[n - 1] ?? 0, newCommand(over), false)
  if (!accepted.ok || accepted.command === null) throw new Error('not accepted')
  return accepted.command.id
}

/** What the event log says that a cancellation cancelled. */
const cancelledBy = async (rig: JobsRig, id: string): Promise<string[]> => {
  const ids: string[] = []
  for (const deviceId of rig.devices)
    for (const event of await rig.store.events(deviceId, null, 10_000))
      if (event.to === State.cancelled && event.detail === JSON.stringify({ cancellation: id }))
        ids.push(event.commandId ?? '')
  return ids.sort()
}

/** The result against the event log and the records, and against itself. */
async function expectExact(rig: JobsRig, id: string): Promise<void> {
  const row = await rig.cancellation(id)
  const items = await rig.items(id)
  const ours = items.filter(item => item.ours)
  expect(ours.map(({ commandId }) => commandId)).toEqual(await cancelledBy(rig, id))
  for (const item of items) {
    expect(item.decided).toBe(true)
    if (item.ours) expect(item.state).toBe(State.cancelled)
    const stored = await rig.store.command(item.deviceId, item.commandId)
    if (item.ours) expect(stored?.command.state).toBe(State.cancelled)
  }
  expect([row.matched, row.cancelled, row.notCancelled]).toEqual([
    items.length,
    ours.length,
    items.length - ours.length,
  ])
}

describe('a filter', () => {
  test('is for exactly the commands that it names', async () => {
    const rig = await jobsRig(4)
    const old = await queue(rig, 1)
    await rig.advance(10_000)
    const set = await queue(rig, 1, { kind: Kind.set, identifier: 'reboot' })
    const other = await queue(rig, 2, { identifier: 'start' })
    const somebody = await queue(rig, 3, { by: 'somebody' })
    const link = await rig.connect(4)
    const sent = await queue(rig, 4)
    const behind = await queue(rig, 4)
    expect(link.published.length).toBe(1)
    const dry = async (said: object, over: object = {}) => {
      const id = await rig.cancel(said, { dryRun: true, ...over })
      await rig.rest()
      const row = await rig.cancellation(id)
      const items = await rig.items(id)
      const waiting = items.filter(({ state }) => state === State.created).length
      expect([row.status, row.cancelled, row.notCancelled]).toEqual(['ended', waiting, items.length - waiting])
      return items.map(({ commandId }) => commandId)
    }
    expect(await dry({ all: true })).toEqual([old, set, other, somebody, behind].sort())
    expect(await dry({ serviceId: 'reboot' })).toEqual([old, somebody, behind].sort())
    expect(await dry({ measurepointId: 'reboot' })).toEqual([set])
    expect(await dry({ olderThanS: 10 })).toEqual([old])
    expect(await dry({ olderThanS: 11 })).toEqual([])
    expect(await dry({ createdBefore: rig.clock.now() })).toEqual([old])
    expect(await dry({ applications: ['somebody'] })).toEqual([somebody])
    expect(await dry({ applications: ['somebody', 'app'], serviceId: 'reboot', olderThanS: 0 })).toEqual(
      [old, somebody, behind].sort(),
    )
    expect(await dry({ serviceId: 'reboot', states: [1, 4] })).toEqual([old, somebody, sent, behind].sort())
    expect(await dry({ assetIds: ['asset2', 'asset3'] }, { deviceIds: [rig.devices[1]!, rig.devices[2]!] })).toEqual(
      [other, somebody].sort(),
    )
    expect(await dry({ productKeys: ['pk'] })).toHaveLength(5)
    expect(await dry({ productKeys: ['other'] })).toEqual([])
    expect(await dry({ all: true }, { reach: { productKeys: [], assetIds: ['asset3'] } })).toEqual([somebody])
    expect(await dry({ all: true }, { reach: { productKeys: ['pk'], assetIds: [] } })).toHaveLength(5)
    expect(await dry({ all: true }, { orgId: 'another', createdBy: 'stranger' })).toEqual([])
    expect(await rig.store.countByState()).toEqual(
      new Map([
        [State.created, 5],
        [State.sent, 1],
      ]),
    )
  })

  test('is not for what is accepted after the call', async () => {
    const rig = await jobsRig(3 * CANCELLATION_STEP_DEVICES)
    for (let n = 1; n <= rig.devices.length; n++) await queue(rig, n)
    const id = await rig.cancel({ all: true })
    await rig.clock.advance(1, async () => undefined)
    const late = await queue(rig, rig.devices.length)
    await rig.rest()
    const row = await rig.cancellation(id)
    expect([row.status, row.cancelled, row.devices]).toEqual(['ended', rig.devices.length, rig.devices.length])
    expect((await rig.store.command(rig.devices.at(-1)!, late))?.command.state).toBe(State.created)
    await expectExact(rig, id)
  })
})

describe('a cancellation', () => {
  test('cancels what waits, cached or instant, and lists what is sent as not cancelled', async () => {
    const rig = await jobsRig(2)
    const link = await rig.connect(1)
    const sent = await queue(rig, 1)
    const accepted = await rig.engine.enqueue(rig.devices[0]!, newCommand({ pendingTtlS: 0 }), true)
    if (!accepted.ok || accepted.settlement === null) throw new Error('not waiting')
    const cached = await queue(rig, 2)
    const id = await rig.cancel({ all: true, states: [1, 4] })
    await rig.rest()
    expect(await rig.cancellation(id)).toMatchObject({
      ...{ status: 'ended', scannedTo: null, matched: 3, cancelled: 2, notCancelled: 1, devices: 2, nextAt: null },
    })
    const items = await rig.items(id)
    expect(items.map(({ commandId, state, ours }) => [commandId, state, ours])).toEqual(
      [
        [sent, State.sent, false],
        [accepted.command!.id, State.cancelled, true],
        [cached, State.cancelled, true],
      ].sort(),
    )
    expect(await accepted.settlement).toMatchObject({ command: { state: State.cancelled } })
    expect(link.published.length).toBe(1)
    await expectExact(rig, id)
    const events = await rig.store.events(rig.devices[1]!, cached, 10)
    expect(events.at(-1)).toMatchObject({ by: 'app', reason: 'cancel', to: State.cancelled })
  })

  test('does what its dry run says, where nothing changes in between', async () => {
    const rig = await jobsRig(120)
    for (let n = 1; n <= 120; n++)
      for (let i = 0; i < 3; i++) await queue(rig, n, { identifier: i === 1 ? 'start' : 'stop' })
    const dry = await rig.cancel({ serviceId: 'stop' }, { dryRun: true })
    await rig.rest()
    const real = await rig.cancel({ serviceId: 'stop' })
    await rig.rest()
    const ids = async (id: string) => (await rig.items(id)).map(({ commandId, deviceId }) => [commandId, deviceId])
    expect(await ids(real)).toEqual(await ids(dry))
    expect(await rig.cancellation(dry)).toMatchObject({
      status: 'ended',
      matched: 240,
      cancelled: 240,
      notCancelled: 0,
    })
    expect(await rig.cancellation(real)).toMatchObject({
      status: 'ended',
      matched: 240,
      cancelled: 240,
      notCancelled: 0,
    })
    expect((await rig.items(dry)).every(({ state, decided }) => decided && state === State.created)).toBe(true)
    await expectExact(rig, real)
    const again = await rig.cancel({ serviceId: 'stop' })
    await rig.rest()
    expect(await rig.cancellation(again)).toMatchObject({ status: 'ended', matched: 0 })
  })

  test('with nothing to do ends at once, also of many devices without anything', async () => {
    const rig = await jobsRig(5)
    const id = await rig.cancel({ all: true })
    await rig.rest()
    expect(await rig.cancellation(id)).toMatchObject({ status: 'ended', matched: 0, endedAt: rig.clock.now() })
  })

  test('finds out what others did to what it had found', async () => {
    const rig = await jobsRig(4)
    const ids = [await queue(rig, 1), await queue(rig, 2), await queue(rig, 3), await queue(rig, 4)]
    await rig.jobs.stop()
    let id = ''
    // Between the moment at which a command is written down and that at which it is cancelled.
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: (...of) => rig.engine.enqueue(...of),
      cancel: async (deviceId, commandId, by, detail) => {
        if (commandId === ids[0]) await rig.engine.cancel(deviceId, commandId, 'somebody')
        if (commandId === ids[1]) await rig.connect(2)
        if (commandId === ids[2]) await rig.engine.deleteDevice(deviceId, 'somebody')
        return rig.engine.cancel(deviceId, commandId, by, detail)
      },
    }
    const other = rig.another({ engine })
    other.start()
    id = await rig.cancel({ all: true })
    other.wake()
    await rig.rest()
    const items = await rig.items(id)
    expect(items.map(({ state, ours }) => [state, ours])).toEqual([
      [State.cancelled, false],
      [State.sent, false],
      [State.cancelled, false],
      [State.cancelled, true],
    ])
    expect(await rig.cancellation(id)).toMatchObject({ status: 'ended', matched: 4, cancelled: 1, notCancelled: 3 })
    await expectExact(rig, id)
  })

  test('asks again where it is refused for now, and does not take it for done', async () => {
    const rig = await jobsRig(5)
    for (let n = 1; n <= 5; n++) await queue(rig, n)
    await rig.jobs.stop()
    const answers = [
      overloaded('a test says so'),
      { ...overloaded('x'), code: errors.outcomeUnknown.code },
      refuse(errors.internal, 'Internal Server Error'),
      // That it is not there is not true: it is on record, and waits.
      refuse(errors.commandNotFound, 'not found'),
    ]
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: (...of) => rig.engine.enqueue(...of),
      cancel: async (...of) => {
        const answer = answers.shift()
        // Of the second nobody knows what came of it: it was done.
        if (answer?.code === errors.outcomeUnknown.code) await rig.engine.cancel(...of)
        return answer ?? rig.engine.cancel(...of)
      },
    }
    const other = rig.another({ engine })
    other.start()
    const id = await rig.cancel({ all: true })
    other.wake()
    await rig.rest()
    expect(await rig.cancellation(id)).toMatchObject({ status: 'running', matched: 5, cancelled: 1, notCancelled: 0 })
    await rig.advance(1_000)
    expect(await rig.cancellation(id)).toMatchObject({ status: 'ended', matched: 5, cancelled: 5, notCancelled: 0 })
    await expectExact(rig, id)
  })

  test('that is stopped cancels no more, and says of each command how it stands', async () => {
    const rig = await jobsRig(4 * CANCELLATION_STEP_DEVICES)
    for (let n = 1; n <= rig.devices.length; n++) await queue(rig, n)
    await rig.jobs.stop()
    const id = await rig.cancel({ all: true })
    const stopped: boolean[] = []
    let calls = 0
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: (...of) => rig.engine.enqueue(...of),
      cancel: async (...of) => {
        calls += 1
        if (calls === CANCELLATION_STEP_DEVICES + 7) stopped.push(await other.stopCancellation(id))
        return rig.engine.cancel(...of)
      },
    }
    const other = rig.another({ engine })
    other.start()
    await rig.rest()
    expect(stopped).toEqual([true])
    const row = await rig.cancellation(id)
    // The step in which it was stopped is done: all of its commands were under way.
    expect(row).toMatchObject({ status: 'stopped', matched: 2 * CANCELLATION_STEP_DEVICES, endedAt: rig.clock.now() })
    expect(row.cancelled).toBe(2 * CANCELLATION_STEP_DEVICES)
    await expectExact(rig, id)
    expect((await rig.store.countByState()).get(State.created)).toBe(2 * CANCELLATION_STEP_DEVICES)
    expect(await other.stopCancellation(id)).toBe(false)
  })

  test('that is stopped before what it had found was seen to leaves that alone', async () => {
    const rig = await jobsRig(3)
    const ids = [await queue(rig, 1), await queue(rig, 2), await queue(rig, 3)]
    await rig.jobs.stop()
    const id = await rig.cancel({ all: true })
    const items = ids.map((commandId, i) => ({ commandId, deviceId: rig.devices[i]!, state: null }))
    await rig.store.addItems(id, 0, null, items)
    // The first of them was cancelled by it, before a crash.
    await rig.engine.cancel(rig.devices[0]!, ids[0]!, 'app', JSON.stringify({ cancellation: id }))
    await rig.engine.cancel(rig.devices[1]!, ids[1]!, 'app', JSON.stringify({ cancellation: 'another' }))
    expect(await rig.jobs.stopCancellation(id)).toBe(true)
    rig.another().start()
    await rig.rest()
    expect((await rig.items(id)).map(({ state, ours }) => [state, ours])).toEqual([
      [State.cancelled, true],
      [State.cancelled, false],
      [State.created, false],
    ])
    expect((await rig.cancellation(id)).status).toBe('stopped')
    await expectExact(rig, id)
  })

  test('goes on in the next process from where a stop of this one has left it', async () => {
    const rig = await jobsRig(3 * CANCELLATION_STEP_DEVICES)
    for (let n = 1; n <= rig.devices.length; n++) await queue(rig, n, { identifier: 'start' })
    const last = await queue(rig, rig.devices.length)
    await rig.jobs.stop()
    let pages = 0
    let stopped: Promise<void> | null = null
    const openDevices: Store['openDevices'] = (...of) => {
      pages += 1
      stopped ??= other.stop()
      return rig.store.openDevices(...of)
    }
    const id = await rig.cancel({ serviceId: 'reboot' })
    const other = rig.another({ store: replacing(rig.store, { openDevices }) })
    other.start()
    await rig.rest()
    await stopped
    expect(pages).toBe(1)
    expect(await rig.cancellation(id)).toMatchObject({
      ...{ status: 'running', scannedTo: rig.devices[CANCELLATION_STEP_DEVICES - 1], matched: 0 },
    })
    rig.another({ holder: 'next' }).start()
    await rig.rest()
    expect((await rig.items(id)).map(({ commandId, ours }) => [commandId, ours])).toEqual([[last, true]])
    await expectExact(rig, id)
  })

  test('is refused where the organization has too many', async () => {
    const rig = await jobsRig(1)
    await rig.jobs.stop()
    for (let n = 0; n < CANCELLATIONS_OPEN_MAX; n++) await rig.cancel({ all: true })
    await expect(rig.cancel({ all: true })).rejects.toThrow(
      `${CANCELLATIONS_OPEN_MAX} cancellations that have not ended`,
    )
  })
})

describe('a crash', () => {
  const steps: readonly (keyof Store)[] = [
    ...(['takeTurn', 'cancellation', 'undecidedItems', 'openDevices', 'load', 'addItems'] as const),
    ...(['decideItems', 'saveCancellation', 'dueCancellations'] as const),
  ]

  test.each(steps)('after any %s loses nothing, and the result is exact', async name => {
    let deaths = 0
    for (let nth = 1; nth <= 6; nth++) {
      const rig = await jobsRig(2 * CANCELLATION_STEP_DEVICES + 5)
      for (let n = 1; n <= rig.devices.length; n++) await queue(rig, n)
      await rig.connect(7)
      await rig.jobs.stop()
      const dying = dyingAfter(rig.store, name, nth)
      const id = await rig.cancel({ all: true, states: [1, 4] })
      new Jobs({ ...rig.options, store: dying.store }).start()
      for (let i = 0; i < 60; i++) await new Promise(resolve => setImmediate(resolve))
      await rig.engine.idle()
      if (dying.isDead()) deaths += 1
      // Between the two lives somebody cancels one of what is left, and a device comes back.
      await rig.engine.cancel(rig.devices.at(-1)!, null, 'somebody')
      await rig.connect(3)
      rig.another({ holder: 'one' }).start()
      await rig.rest()
      await rig.rest()
      const row = await rig.cancellation(id)
      expect([row.status, row.scannedTo], `${name} ${nth}`).toEqual(['ended', null])
      await expectExact(rig, id)
      // Nothing that it was for is left, but for what was sent before it came to it.
      expect((await rig.store.countByState()).get(State.created) ?? 0).toBe(0)
    }
    expect(deaths).toBeGreaterThan(0)
  })

  test('after each single cancel finds that it was its own', async () => {
    for (let nth = 1; nth <= 5; nth++) {
      const rig = await jobsRig(5)
      for (let n = 1; n <= 5; n++) await queue(rig, n)
      await rig.jobs.stop()
      let calls = 0
      const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
        enqueue: (...of) => rig.engine.enqueue(...of),
        cancel: async (...of) => {
          calls += 1
          // Those before it are done and not written down; those after it are not begun.
          if (calls > nth) return new Promise(() => undefined)
          await rig.engine.cancel(...of)
          return new Promise(() => undefined)
        },
      }
      const id = await rig.cancel({ all: true })
      new Jobs({ ...rig.options, engine }).start()
      for (let i = 0; i < 40; i++) await new Promise(resolve => setImmediate(resolve))
      expect((await cancelledBy(rig, id)).length).toBe(nth)
      expect((await rig.cancellation(id)).cancelled).toBe(0)
      rig.another({ holder: 'one' }).start()
      await rig.rest()
      expect(await rig.cancellation(id)).toMatchObject({ status: 'ended', cancelled: 5, notCancelled: 0 })
      await expectExact(rig, id)
    }
  })
})

describe('of several nodes', () => {
  test('it is for what another clock has dated a little later, and not for what comes after its answer', async () => {
    const rig = await jobsRig(2, { jobs: { isShared: true } })
    // A node whose clock is ahead has accepted something for the device: what comes after it is dated after it.
    const ahead = makeId(rig.clock.now() + NODE_ROUND_TRIP_MAX_MS - 1, 1, 0)
    const queue0 = await loadOne(rig.store, rig.devices[0]!)
    await commit(
      rig.store,
      changeOf({ ...queue0, lastCommandId: ahead }, { inserts: [inserted(asFinal(created(ahead)))] }),
    )
    const dated = await queue(rig, 1)
    expect(idMs(dated)).toBeGreaterThan(rig.clock.now())
    const before = rig.clock.now()
    const id = await rig.cancel({ all: true })
    // The answer came when no clock was before that any more.
    expect(rig.clock.now()).toBeGreaterThan(before + 2 * NODE_ROUND_TRIP_MAX_MS)
    const { createdBefore } = JSON.parse((await rig.cancellation(id)).filterJson)
    expect(createdBefore).toBe(before + NODE_ROUND_TRIP_MAX_MS + 1)
    expect((await rig.items(id)).map(({ commandId, ours }) => [commandId, ours])).toEqual([[dated, true]])
    await expectExact(rig, id)
  })
})

describe('of two processes', () => {
  test('one works on a cancellation, and where both do the result is the same', async () => {
    const store = openMemory()
    const rig = await jobsRig(3 * CANCELLATION_STEP_DEVICES, { store, jobs: { isShared: true } })
    for (let n = 1; n <= rig.devices.length; n++) await queue(rig, n)
    await rig.jobs.stop()
    const id = await rig.cancel({ all: true })
    let cancels = 0
    const engine: Pick<Engine, 'enqueue' | 'cancel'> = {
      enqueue: (...of) => rig.engine.enqueue(...of),
      cancel: (...of) => {
        cancels += 1
        return rig.engine.cancel(...of)
      },
    }
    for (const holder of ['two', 'three']) rig.another({ holder, engine }).start()
    await rig.rest()
    await rig.advance(5_000)
    expect(cancels).toBe(rig.devices.length)
    await expectExact(rig, id)

    // Turns that are worth nothing: everything is done twice, by guards alone.
    for (let n = 1; n <= rig.devices.length; n++) await queue(rig, n)
    const everybody = new Proxy(store, {
      get: (target, property) => {
        if (property === 'takeTurn') return async () => true
        const value: unknown = Reflect.get(target, property)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const second = await rig.cancel({ all: true })
    for (const holder of ['four', 'five']) rig.another({ holder, engine, store: everybody }).start()
    await rig.rest()
    await rig.advance(5_000)
    expect(await rig.cancellation(second)).toMatchObject({ status: 'ended', cancelled: rig.devices.length })
    await expectExact(rig, second)
  })
})
