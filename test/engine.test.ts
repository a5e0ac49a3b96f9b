// The engine over the memory store: batches, waiters, deadlines, takeover, and what happens when a part of it fails.

import { describe, expect, it } from 'vitest'
import { State } from '../src/core/command.ts'
import { Ids } from '../src/core/ids.ts'
import { ENGINE_QUEUE_MAX, PURGE_EVERY_MS, WAITERS_MAX } from '../src/core/limits.ts'
import type { Fresh } from '../src/engine.ts'
import { openMemory } from '../src/store/memory.ts'
import type { Batch, Store } from '../src/store/store.ts'
import { ManualClock } from './rig/clock.ts'
import { newCommand, RecordingLink, type Rig, rig } from './rig/engine.ts'

const instant = (over = {}) => newCommand({ pendingTtlS: 0, ...over })

async function accepted(r: Rig, command = newCommand(), wait = false, device = 0): Promise<Fresh> {
  const answer = await r.engine.enqueue(r.devices[device]!, command, wait)
  if (!answer.ok) throw new Error(answer.message)
  if ('repeated' in answer) throw new Error(`repeats ${answer.repeated.commandId}`)
  return answer
}

async function connect(
  r: Rig,
  link = new RecordingLink(),
  device = 0,
): Promise<{ link: RecordingLink; session: number }> {
  const answer = await r.engine.connect(r.devices[device]!, link)
  if (!answer.ok) throw new Error(answer.message)
  await r.engine.apply(r.devices[device]!, { type: 'ready' })
  return { link, session: answer.session }
}

const reply = (r: Rig, commandId: string, code: number | null = 200, over = {}) =>
  r.engine.apply(r.devices[0]!, {
    type: 'reply',
    commandId,
    code,
    deviceCode: String(code),
    message: null,
    outputJson: '{"ok":true}',
    ...over,
  })

const stateOf = async (r: Rig, id: string, device = 0) => (await r.store.command(r.devices[device]!, id))?.command.state

/** The memory store with one of its verbs changed. */
function memoryWith(change: (store: Store) => Partial<Store>): Store {
  const store = openMemory()
  const changed = change(store)
  return new Proxy(store, {
    get: (target, name: keyof Store) => {
      if (name in changed) return changed[name]
      const value = target[name]
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

describe('batches', () => {
  it('commit together what arrives in one turn of the loop', async () => {
    const batches: Batch[] = []
    const store = memoryWith(inner => ({
      commit: batch => {
        batches.push(batch)
        return inner.commit(batch)
      },
    }))
    const r = await rig(20, { store })
    await Promise.all(r.devices.map((_, i) => accepted(r, newCommand(), false, i)))
    expect(batches.map(batch => batch.changes.length)).toEqual([20])
    expect(r.counted).toContain('batch 20')
  })

  it('leave the loop to others in between', async () => {
    let turns = 0
    const defer = (run: () => void) => {
      turns += 1
      setImmediate(run)
    }
    const r = await rig(1, { defer })
    await Promise.all(Array.from({ length: 2_000 }, () => r.engine.apply(r.devices[0]!, { type: 'tick' })))
    expect(turns).toBe(4)
  })

  it('commit nothing for inputs that change nothing', async () => {
    const r = await rig()
    let commits = 0
    const inner = r.store.commit.bind(r.store)
    r.store.commit = batch => {
      commits += 1
      return inner(batch)
    }
    expect(await r.engine.cancel(r.devices[0]!, null, 'me')).toEqual({ ok: true, cancelled: [], notCancelled: [] })
    expect(commits).toBe(0)
  })

  it('let a poisoned input fail alone', async () => {
    const store = memoryWith(inner => ({
      commit: async batch => {
        const poisoned = batch.changes.some(change =>
          change.inserts.some(({ command }) => command.identifier === 'poison'),
        )
        if (poisoned) throw new Error('the store chokes on this')
        return inner.commit(batch)
      },
    }))
    const r = await rig(3, { store })
    const answers = await Promise.all(
      ['reboot', 'poison', 'reboot'].map((identifier, i) =>
        r.engine.enqueue(r.devices[i]!, newCommand({ identifier }), false),
      ),
    )
    expect(answers.map(answer => (answer.ok ? 0 : answer.code))).toEqual([0, 99500, 0])
    expect(r.logged).toContain('input failed')
    expect((await r.store.search(r.devices[0]!, null, 0, 10)).total).toBe(1)
    expect((await r.store.search(r.devices[1]!, null, 0, 10)).total).toBe(0)
  })

  it('let an input whose decision throws fail alone', async () => {
    const ids = new Ids(0, null)
    const next = ids.next.bind(ids)
    let first: string | null = null
    // An id that does not grow is a bug that the rules must catch, not the store.
    ids.next = (now, floor) => {
      first ??= next(now, floor)
      return first
    }
    const r = await rig(2, { ids })
    const [good, bad, other] = await Promise.all([
      r.engine.enqueue(r.devices[0]!, newCommand(), false),
      r.engine.enqueue(r.devices[0]!, newCommand(), false),
      r.engine.cancel(r.devices[0]!, null, 'me'),
    ])
    expect(good.ok).toBe(true)
    expect(bad).toMatchObject({ ok: false, code: 99500 })
    expect(other.ok && other.cancelled).toHaveLength(1)
    expect(r.logged).toContain('decision failed')
  })

  it('let a waiting caller whose input fails go, and count the place free again', async () => {
    const store = memoryWith(() => ({ load: () => Promise.reject(new Error('no disk')) }))
    const r = await rig(1, { store })
    expect(await r.engine.enqueue(r.devices[0]!, instant(), true)).toMatchObject({ ok: false, code: 99500 })
    expect(r.engine.gauges().waiters).toBe(0)
  })

  it('decide again what another writer changed meanwhile, and write nothing of the stale decision', async () => {
    let races = 3
    const store = memoryWith(inner => ({
      commit: async batch => {
        const device = await inner.deviceByAsset('asset1')
        if (races-- > 0 && device) {
          const rows = { organizations: [], applications: [], models: [], products: [] }
          await inner.applyFleet({ ...rows, devices: [{ ...device, timezone: `+0${races}:00` }] }, 0)
        }
        return inner.commit(batch)
      },
    }))
    const r = await rig(1, { store })
    const both = await Promise.all([accepted(r), accepted(r)])
    expect(races).toBeLessThan(0)
    expect((await r.store.search(r.devices[0]!, null, 0, 10)).rows.map(({ command }) => command.id)).toEqual(
      both.map(({ command }) => command.id).reverse(),
    )
  })

  it('give up an input whose device never holds still', async () => {
    const store = memoryWith(() => ({ commit: async batch => batch.changes.map(change => change.queue.deviceId) }))
    const r = await rig(1, { store })
    expect(await r.engine.enqueue(r.devices[0]!, newCommand(), false)).toMatchObject({ ok: false, code: 99500 })
  })

  it('refuse a device that does not exist, and more inputs than may wait', async () => {
    const r = await rig()
    expect(await r.engine.enqueue(4711, newCommand(), false)).toMatchObject({ ok: false, code: 99404 })
    const many = Array.from({ length: ENGINE_QUEUE_MAX }, () => r.engine.apply(r.devices[0]!, { type: 'tick' }))
    const refused = [
      r.engine.enqueue(r.devices[0]!, newCommand(), false),
      r.engine.cancel(r.devices[0]!, null, 'me'),
      r.engine.disable(r.devices[0]!, 'me'),
      r.engine.enable(r.devices[0]!, 'me'),
      r.engine.deleteDevice(r.devices[0]!, 'me'),
    ]
    for (const answer of await Promise.all(refused)) expect(answer).toMatchObject({ ok: false, code: 99503 })
    await Promise.all(many)
    expect(await r.store.deviceByAsset('asset1')).toMatchObject({ disabled: false })
  })

  it('refuse new commands while the clock is far behind the ids already given', async () => {
    const r = await rig()
    const { command } = await accepted(r)
    await r.advance(0)
    const slow = await rig(1, { store: r.store, ids: new Ids(0, command.id) })
    const behind = new ManualClock(r.clock.now() - 60_000)
    const late = await rig(1, {
      store: r.store,
      clock: behind,
      ids: new Ids(0, command.id),
    })
    expect(await late.engine.enqueue(late.devices[0]!, newCommand(), false)).toMatchObject({ ok: false, code: 99503 })
    expect((await slow.engine.enqueue(slow.devices[0]!, newCommand(), false)).ok).toBe(true)
  })
})

describe('delivery', () => {
  it('goes one by one, each after the answer to the one before, the next saved before it is published', async () => {
    const r = await rig()
    const ids = [await accepted(r), await accepted(r), await accepted(r)].map(({ command }) => command.id)
    const { link } = await connect(r)
    for (const [i, id] of ids.entries()) {
      expect(link.published.map(({ commandId }) => commandId)).toEqual(ids.slice(0, i + 1))
      expect(await stateOf(r, id)).toBe(State.sent)
      await reply(r, id)
      expect(await stateOf(r, id)).toBe(State.succeeded)
    }
    expect(link.published[0]).toMatchObject({ identifier: 'reboot', inputJson: '{"delay":1}' })
  })

  it('has the row sent in the store at the moment of the publish', async () => {
    const r = await rig()
    const seen: (State | undefined)[] = []
    const link = new RecordingLink()
    let look = Promise.resolve()
    link.publish = downlink => {
      look = stateOf(r, downlink.commandId).then(state => void seen.push(state))
      return null
    }
    await connect(r, link)
    await accepted(r)
    await look
    expect(seen).toEqual([State.sent])
  })

  it('takes back what the link did not let out: cached to created, instant to failed', async () => {
    const r = await rig()
    const { link } = await connect(r)
    link.refusal = 'sessionGone'
    link.presence = () => ({ ready: link.published.length === 0 && link.refusal !== null && !taken, silent: false })
    let taken = false
    const inner = link.publish.bind(link)
    link.publish = downlink => {
      taken = true
      return inner(downlink)
    }
    const { command } = await accepted(r)
    await r.advance(0)
    expect(await stateOf(r, command.id)).toBe(State.created)
    const events = await r.store.events(r.devices[0]!, command.id, 10)
    expect(events.map(({ to }) => to)).toEqual([State.created, State.sent, State.created])

    const other = await rig()
    const second = await connect(other)
    second.link.refusal = 'tooLarge'
    const answer = await accepted(other, instant(), true)
    expect(await answer.settlement).toMatchObject({ command: { state: State.failed, code: 11810 } })
  })

  it('survives a link that throws: the command stays sent until its deadline, others go on', async () => {
    const r = await rig(2)
    const broken = new RecordingLink()
    broken.publish = () => {
      throw new Error('a bug in the endpoint')
    }
    await connect(r, broken)
    const { link } = await connect(r, new RecordingLink(), 1)
    const [a, b] = await Promise.all([accepted(r), accepted(r, newCommand(), false, 1)])
    expect(r.logged).toContain('effect failed')
    expect(link.published).toHaveLength(1)
    expect([await stateOf(r, a.command.id), await stateOf(r, b.command.id, 1)]).toEqual([State.sent, State.sent])
    await r.advance(30_000)
    expect(await stateOf(r, a.command.id)).toBe(State.timedOut)
  })

  it('does not publish when the deadline passed on the way to the socket', async () => {
    const r = await rig()
    const { link } = await connect(r)
    const inner = r.store.commit.bind(r.store)
    r.store.commit = async batch => {
      const stale = await inner(batch)
      r.store.commit = inner
      await r.clock.advance(40_000, async () => undefined)
      return stale
    }
    const { command } = await accepted(r)
    await r.advance(0)
    const events = await r.store.events(r.devices[0]!, command.id, 10)
    expect(events[2]).toMatchObject({ from: State.sent, to: State.created, reason: 'unsent: late' })
    expect(link.published).toHaveLength(1)
    expect(await stateOf(r, command.id)).toBe(State.sent)
  })

  it('is said not to have left before anything else of the device is decided, though it came first', async () => {
    const r = await rig()
    const { link } = await connect(r)
    const inner = r.store.commit.bind(r.store)
    r.store.commit = async batch => {
      const stale = await inner(batch)
      r.store.commit = inner
      // The deadline passes while the commit is under way, and a step that would call the command timed out is waiting by then.
      await r.clock.advance(40_000, async () => undefined)
      void r.engine.apply(r.devices[0]!, { type: 'tick' })
      return stale
    }
    const { command } = await accepted(r)
    await r.advance(0)
    const events = await r.store.events(r.devices[0]!, command.id, 10)
    expect(events.map(({ to }) => to)).toEqual([State.created, State.sent, State.created, State.sent])
    expect(link.published).toHaveLength(1)
  })

  it('is said not to have left first, also where a failed batch is tried again input by input', async () => {
    const r = await rig()
    const { link } = await connect(r)
    let refuse = true
    link.presence = () => ({ ready: refuse, silent: false })
    link.publish = () => {
      refuse = false
      // By the time the next input is decided, its deadline has passed.
      void r.clock.advance(40_000, async () => undefined)
      return 'sessionGone'
    }
    const inner = r.store.commit.bind(r.store)
    r.store.commit = () => {
      r.store.commit = inner
      return Promise.reject(new Error('no disk'))
    }
    const [{ command }] = await Promise.all([accepted(r), r.engine.apply(r.devices[0]!, { type: 'tick' })])
    await r.advance(0)
    expect(r.logged).toContain('batch failed, trying its inputs one by one')
    expect(await stateOf(r, command.id)).toBe(State.created)
  })

  it('goes on by itself after a step that failed', async () => {
    let failures = 3
    const store = memoryWith(inner => ({
      commit: batch =>
        batch.changes.some(change => change.updates.some(({ command }) => command.state === State.sent)) &&
        failures-- > 0
          ? Promise.reject(new Error('no disk'))
          : inner.commit(batch),
    }))
    const r = await rig(1, { store })
    const { command } = await accepted(r)
    const { link } = await connect(r)
    expect(link.published).toEqual([])
    for (let second = 0; second < 3; second++) await r.advance(1_000)
    expect(link.published.map(({ commandId }) => commandId)).toEqual([command.id])
  })

  it('has every session on record, also those that leave no event', async () => {
    const r = await rig()
    const sessions: number[] = []
    for (let i = 0; i < 5; i++) {
      const { session } = await connect(r)
      sessions.push(session)
      await r.engine.disconnect(r.devices[0]!, session, 'closed')
    }
    expect(sessions).toEqual([1, 2, 3, 4, 5])
    const [queue] = await r.store.load([{ deviceId: r.devices[0]!, commandIds: [] }])
    expect(queue).toMatchObject({ sessionNo: 5 })
    expect((await r.store.events(r.devices[0]!, null, 100)).map(({ reason }) => reason)).toEqual([
      'connected',
      'disconnected',
    ])
    await accepted(r)
    const { link } = await connect(r)
    expect(link.published).toHaveLength(1)
  })

  it('goes to the newer session after a takeover, whose end alone is offline', async () => {
    const r = await rig()
    const first = await connect(r)
    const second = await connect(r)
    expect([first.link.gone, second.link.gone]).toEqual([1, 0])
    await r.engine.disconnect(r.devices[0]!, first.session, 'closed')
    expect(r.engine.isOnline(r.devices[0]!)).toBe(true)
    await accepted(r)
    expect([first.link.published.length, second.link.published.length]).toEqual([0, 1])
    await r.engine.disconnect(r.devices[0]!, second.session, 'closed')
    expect(r.engine.isOnline(r.devices[0]!)).toBe(false)
  })

  it('stops on a connection that stays silent until something arrives on it', async () => {
    const r = await rig()
    const { link } = await connect(r)
    link.silent = true
    const ids = [await accepted(r), await accepted(r)].map(({ command }) => command.id)
    await r.advance(30_000)
    expect(link.suspected).toBe(1)
    expect([await stateOf(r, ids[0]!), await stateOf(r, ids[1]!)]).toEqual([State.timedOut, State.created])
    link.ready = true
    link.silent = false
    await r.engine.apply(r.devices[0]!, { type: 'ready' })
    expect(link.published.map(({ commandId }) => commandId)).toEqual(ids)
  })

  it('stops on it for the other inputs of the same batch too', async () => {
    const r = await rig()
    const { link } = await connect(r)
    link.silent = true
    const [first] = [await accepted(r), await accepted(r)]
    await r.clock.advance(30_000, async () => undefined)
    const tick = () => r.engine.apply(r.devices[0]!, { type: 'tick' })
    await Promise.all([tick(), tick(), tick()])
    expect(link.published.map(({ commandId }) => commandId)).toEqual([first!.command.id])
  })
})

describe('a disabled device', () => {
  it('is cut off when the call returns: its connection ends, instant commands fail, cached ones wait', async () => {
    const r = await rig()
    const { link } = await connect(r)
    const sent = await accepted(r)
    const cached = await accepted(r)
    const waits = await accepted(r, instant(), true)
    expect(await r.engine.disable(r.devices[0]!, 'me')).toEqual({ ok: true, changed: true })
    expect(link.evictions).toEqual(['disabled'])
    expect(r.engine.isOnline(r.devices[0]!)).toBe(false)
    expect(await waits.settlement).toMatchObject({ command: { state: State.failed, code: 11900 } })
    expect([await stateOf(r, sent.command.id), await stateOf(r, cached.command.id)]).toEqual([
      State.sent,
      State.created,
    ])
    expect(await r.store.deviceByAsset('asset1')).toMatchObject({ disabled: true, lastOfflineAt: r.clock.now() })
    await reply(r, sent.command.id)
    expect(await stateOf(r, sent.command.id)).toBe(State.succeeded)
    expect(link.published).toHaveLength(1)
    expect(await r.engine.disable(r.devices[0]!, 'me')).toEqual({ ok: true, changed: false })
    expect(link.evictions).toHaveLength(1)
  })

  it('is not let in until it is enabled, and then gets what waited', async () => {
    const r = await rig()
    await r.engine.disable(r.devices[0]!, 'me')
    const { command } = await accepted(r)
    const link = new RecordingLink()
    const refused = await r.engine.connect(r.devices[0]!, link)
    expect(refused).toEqual({ ok: false, code: 99403, message: 'the device is disabled' })
    expect(r.engine.isOnline(r.devices[0]!)).toBe(false)
    expect(await r.engine.enable(r.devices[0]!, 'me')).toEqual({ ok: true, changed: true })
    await connect(r, link)
    expect(link.published.map(({ commandId }) => commandId)).toEqual([command.id])
    const reasons = (await r.store.events(r.devices[0]!, null, 10)).map(({ by, reason }) => `${by}: ${reason}`)
    expect(reasons).toEqual(['me: disabled', 'app: accepted', 'me: enabled', 'device: connected', 'server: sent'])
  })

  it('is sent nothing that was decided in the same batch: that is known not to have left', async () => {
    const r = await rig()
    const { link } = await connect(r)
    const [cached, disabled] = await Promise.all([accepted(r), r.engine.disable(r.devices[0]!, 'me')])
    await r.advance(0)
    expect([disabled.ok, link.published, link.evictions]).toEqual([true, [], ['disabled']])
    const events = await r.store.events(r.devices[0]!, cached.command.id, 10)
    expect(events.map(({ to, reason }) => [to, reason])).toEqual([
      [State.created, 'accepted'],
      [State.sent, 'sent'],
      [State.created, 'unsent: sessionGone'],
    ])
    await r.engine.enable(r.devices[0]!, 'me')
    const again = await connect(r)
    expect(again.link.published.map(({ commandId }) => commandId)).toEqual([cached.command.id])
    await reply(r, cached.command.id)
    const [waits] = await Promise.all([accepted(r, instant(), true), r.engine.disable(r.devices[0]!, 'me')])
    expect(await waits.settlement).toMatchObject({ command: { state: State.failed, code: 11900 } })
    expect(again.link.published).toHaveLength(1)
  })

  it('loses a connection that was let in in the same batch, and gets none after it', async () => {
    const r = await rig()
    const [first, second] = [new RecordingLink(), new RecordingLink()]
    const [before, , after] = await Promise.all([
      r.engine.connect(r.devices[0]!, first),
      r.engine.disable(r.devices[0]!, 'me'),
      r.engine.connect(r.devices[0]!, second),
    ])
    expect([before.ok, after.ok]).toEqual([true, false])
    expect([first.evictions, second.evictions]).toEqual([['disabled'], []])
    expect(r.engine.isOnline(r.devices[0]!)).toBe(false)
  })

  it('that was enabled and came back in the same batch keeps its new connection', async () => {
    const r = await rig()
    const old = await connect(r)
    const link = new RecordingLink()
    const device = r.devices[0]!
    const [, , came, command] = await Promise.all([
      r.engine.disable(device, 'me'),
      r.engine.enable(device, 'me'),
      r.engine.connect(device, link),
      accepted(r),
    ])
    expect(came.ok).toBe(true)
    expect([old.link.gone, old.link.published, link.evictions]).toEqual([1, [], []])
    expect(r.engine.isOnline(device)).toBe(true)
    await r.engine.apply(device, { type: 'ready' })
    expect(link.published.map(({ commandId }) => commandId)).toEqual([command.command.id])
  })

  it('is sent nothing on the connection that ends, though it is enabled in the same batch', async () => {
    const r = await rig()
    const { link } = await connect(r)
    const device = r.devices[0]!
    const [{ command }] = await Promise.all([
      accepted(r),
      r.engine.disable(device, 'me'),
      r.engine.enable(device, 'me'),
      r.engine.apply(device, { type: 'tick' }),
    ])
    await r.advance(0)
    expect([link.published, link.evictions]).toEqual([[], ['disabled']])
    expect(await stateOf(r, command.id)).toBe(State.created)
  })

  it('that a fleet file disabled loses its connection when it is disabled again', async () => {
    const r = await rig()
    const { link } = await connect(r)
    const row = (await r.store.deviceByAsset('asset1'))!
    const rows = { organizations: [], applications: [], models: [], products: [] }
    await r.store.applyFleet({ ...rows, devices: [{ ...row, disabled: true }] }, 0)
    expect(await r.engine.disable(r.devices[0]!, 'me')).toEqual({ ok: true, changed: false })
    expect(link.evictions).toEqual(['disabled'])
  })

  it('is cut off also where its link throws', async () => {
    const r = await rig()
    const link = new RecordingLink()
    link.evicted = () => {
      throw new Error('a bug in the endpoint')
    }
    await connect(r, link)
    expect((await r.engine.disable(r.devices[0]!, 'me')).ok).toBe(true)
    expect(r.logged).toContain('effect failed')
    expect(r.engine.isOnline(r.devices[0]!)).toBe(false)
  })
})

describe('a deleted device', () => {
  it('leaves nothing open: its callers are told, its connection ends, its records stay', async () => {
    const r = await rig()
    const { link } = await connect(r)
    const sent = await accepted(r, instant(), true)
    const waits = await accepted(r, instant(), true)
    const cached = await accepted(r)
    const answer = await r.engine.deleteDevice(r.devices[0]!, 'me')
    expect(answer).toMatchObject({
      ok: true,
      cancelled: [
        { id: waits.command.id, state: State.cancelled },
        { id: cached.command.id, state: State.cancelled },
      ],
      failed: { id: sent.command.id, state: State.failed },
    })
    expect(await sent.settlement).toMatchObject({ type: 'settled', command: { state: State.failed, code: 99410 } })
    expect(await waits.settlement).toMatchObject({ type: 'settled', command: { state: State.cancelled, code: 99410 } })
    expect([link.evictions, r.engine.isOnline(r.devices[0]!)]).toEqual([['deleted'], false])
    expect(await r.store.deviceByAsset('asset1')).toBeNull()
    expect((await r.store.search(r.devices[0]!, null, 0, 10)).total).toBe(3)
    expect(await r.engine.settleDue(r.devices[0]!)).toEqual({ ok: true })
    await r.advance(600_000)
    expect(await stateOf(r, cached.command.id)).toBe(State.cancelled)
    expect(r.logged).toEqual([])
  })

  it('does not exist for whatever comes later, or behind it in the same batch', async () => {
    const r = await rig()
    const device = r.devices[0]!
    const { link } = await connect(r)
    const { command } = await accepted(r)
    const late = new RecordingLink()
    const calls = () => [
      r.engine.enqueue(device, instant(), true),
      r.engine.cancel(device, null, 'me'),
      r.engine.connect(device, late),
    ]
    const [deleted, ...same] = await Promise.all([r.engine.deleteDevice(device, 'me'), ...calls()])
    expect(deleted).toMatchObject({ ok: true, failed: { id: command.id } })
    for (const answer of same) expect(answer).toEqual({ ok: false, code: 99404, message: 'the device is deleted' })
    const after = await Promise.all([r.engine.deleteDevice(device, 'me'), reply(r, command.id), ...calls()])
    for (const answer of after) expect(answer).toEqual({ ok: false, code: 99404, message: 'device not found' })
    expect(r.engine.gauges()).toMatchObject({ online: 0, waiters: 0 })
    expect([link.published.length, late.published.length]).toEqual([1, 0])
    expect((await r.store.search(device, null, 0, 10)).total).toBe(1)
  })

  it('is sent nothing that was decided in the same batch', async () => {
    const r = await rig()
    const { link } = await connect(r)
    const [{ command }] = await Promise.all([accepted(r), r.engine.deleteDevice(r.devices[0]!, 'me')])
    await r.advance(0)
    expect([link.published, link.evictions]).toEqual([[], ['deleted']])
    expect(await stateOf(r, command.id)).toBe(State.failed)
  })

  it('is not asked again and again to make up for a step that failed', async () => {
    let loads = 0
    const store = memoryWith(inner => ({
      load: keys => {
        loads += 1
        return inner.load(keys)
      },
      commit: batch =>
        batch.changes.some(change => change.outcomes.length > 0)
          ? Promise.reject(new Error('no'))
          : inner.commit(batch),
    }))
    const r = await rig(1, { store })
    await connect(r)
    const { command } = await accepted(r)
    expect(await reply(r, command.id)).toMatchObject({ ok: false, code: 99500 })
    await r.engine.deleteDevice(r.devices[0]!, 'me')
    const before = loads
    for (let second = 0; second < 5; second++) await r.advance(1_000)
    expect(loads).toBe(before + 1)
  })
})

describe('a device without a secret of its own', () => {
  it('is connected and not active, until it has got its secret', async () => {
    const r = await rig()
    const device = r.devices[0]!
    const link = new RecordingLink()
    expect((await r.engine.connect(device, link, false)).ok).toBe(true)
    expect((await accepted(r, instant(), true)).command).toMatchObject({ state: State.failed, code: 11888 })
    expect(await r.engine.apply(device, { type: 'activated' })).toEqual({ ok: true })
    expect(await r.store.deviceByAsset('asset1')).toMatchObject({ activeAt: r.clock.now() })
    const { command, settlement } = await accepted(r, instant(), true)
    await reply(r, command.id)
    expect(await settlement).toMatchObject({ command: { state: State.succeeded } })
    expect(await r.engine.apply(4711, { type: 'activated' })).toMatchObject({ ok: false, code: 99404 })
  })
})

describe('time', () => {
  it('expires, times out and lets the next go, from one timer', async () => {
    const r = await rig()
    const a = await accepted(r, newCommand({ pendingTtlS: 5 }))
    const b = await accepted(r, newCommand({ timeoutS: 3 }))
    const c = await accepted(r)
    await r.advance(5_000)
    expect(await stateOf(r, a.command.id)).toBe(State.expired)
    const { link } = await connect(r)
    await r.advance(3_000)
    expect(await stateOf(r, b.command.id)).toBe(State.timedOut)
    expect(link.published.map(({ commandId }) => commandId)).toEqual([b.command.id, c.command.id])
  })

  it('takes up the deadlines of the process before', async () => {
    const r = await rig()
    const { command } = await accepted(r, newCommand({ pendingTtlS: 5 }))
    const next = await rig(1, { store: r.store, clock: r.clock })
    await next.clock.advance(0, async () => undefined)
    await r.clock.advance(5_000, () => next.engine.idle())
    await next.advance(0)
    expect(await stateOf(r, command.id)).toBe(State.expired)
  })

  it('is applied before a read', async () => {
    const r = await rig()
    const { command } = await accepted(r, newCommand({ pendingTtlS: 5 }))
    // The clock has passed the instant, its timer has not run yet.
    const late = await rig(1, { store: r.store })
    await late.clock.advance(5_001, async () => undefined)
    await late.engine.settleDue(late.devices[0]!)
    expect(await stateOf(r, command.id)).toBe(State.expired)
    expect(await late.engine.settleDue(late.devices[0]!)).toEqual({ ok: true })
  })

  it('is not read where it cannot be applied', async () => {
    const store = memoryWith(inner => ({
      commit: batch =>
        batch.changes.some(change => change.updates.length > 0) ? Promise.reject(new Error('no')) : inner.commit(batch),
    }))
    const r = await rig(1, { store })
    const { command } = await accepted(r, newCommand({ pendingTtlS: 5 }))
    await r.clock.advance(5_000, async () => undefined)
    expect(await r.engine.settleDue(r.devices[0]!)).toMatchObject({ ok: false, code: 99500 })
    expect(await stateOf(r, command.id)).toBe(State.created)
  })

  it('tries a sweep again that failed', async () => {
    let broken = true
    const store = memoryWith(inner => ({
      due: (now, limit) => (broken ? Promise.reject(new Error('no disk')) : inner.due(now, limit)),
    }))
    const r = await rig(1, { store })
    const { command } = await accepted(r, newCommand({ pendingTtlS: 5 }))
    await r.advance(5_000)
    expect(r.logged).toContain('sweep failed, trying again')
    broken = false
    await r.advance(1_000)
    expect(await stateOf(r, command.id)).toBe(State.expired)
  })

  it('purges what settled before the retention, and goes on after a failure', async () => {
    let broken = true
    const store = memoryWith(inner => ({
      purge: (before, limit) => (broken ? Promise.reject(new Error('no disk')) : inner.purge(before, limit)),
    }))
    const r = await rig(1, { store, retentionMs: 10_000 })
    const { command } = await accepted(r, newCommand({ pendingTtlS: 5 }))
    const open = await accepted(r, newCommand({ pendingTtlS: 100_000 }))
    await r.advance(PURGE_EVERY_MS)
    expect(await stateOf(r, command.id)).toBe(State.expired)
    broken = false
    await r.advance(PURGE_EVERY_MS)
    expect(await stateOf(r, command.id)).toBeUndefined()
    expect(await stateOf(r, open.command.id)).toBe(State.created)
  })
})

describe('callers who wait', () => {
  it('get the device answer, good or bad', async () => {
    const r = await rig()
    await connect(r)
    const good = await accepted(r, instant(), true)
    await reply(r, good.command.id)
    expect(await good.settlement).toMatchObject({
      command: { state: State.succeeded },
      outcome: { outputJson: '{"ok":true}' },
    })
    const bad = await accepted(r, instant(), true)
    await reply(r, bad.command.id, 405, { message: 'no' })
    expect(await bad.settlement).toMatchObject({
      command: { state: State.failed, code: 405 },
      outcome: { deviceMessage: 'no' },
    })
  })

  it('are told at once when the device is away, when it goes, when time is up, and when it is cancelled', async () => {
    const r = await rig()
    expect((await accepted(r, instant(), true)).command).toMatchObject({ state: State.failed, code: 11888 })
    const { session, link } = await connect(r)
    link.ready = false
    const goes = await accepted(r, instant(), true)
    await r.engine.disconnect(r.devices[0]!, session, 'closed')
    expect(await goes.settlement).toMatchObject({ command: { state: State.failed, code: 11900 } })
    expect((await accepted(r, instant(), true)).command).toMatchObject({ state: State.failed, code: 11900 })

    await connect(r, link)
    const queued = await accepted(r, instant({ timeoutS: 2 }), true)
    await r.advance(2_000)
    expect(await queued.settlement).toMatchObject({ command: { state: State.failed, code: 11904 } })
    const cancelled = await accepted(r, instant(), true)
    await r.engine.cancel(r.devices[0]!, null, 'me')
    expect(await cancelled.settlement).toMatchObject({ command: { state: State.cancelled } })
    link.ready = true
    const sent = await accepted(r, instant({ timeoutS: 2 }), true)
    await r.advance(2_000)
    expect(await sent.settlement).toMatchObject({ command: { state: State.timedOut, code: 11915 } })
    expect(r.engine.gauges().waiters).toBe(0)
  })

  it('find the settlement even where it came in the same batch', async () => {
    const r = await rig()
    const link = new RecordingLink()
    link.ready = false
    await connect(r, link)
    const [answer] = await Promise.all([accepted(r, instant(), true), r.engine.cancel(r.devices[0]!, null, 'me')])
    expect(await answer.settlement).toMatchObject({ command: { state: State.cancelled } })
  })

  it('are bounded in number, and a refused one has stored nothing', async () => {
    const r = await rig(250)
    for (let i = 0; i < r.devices.length; i++) {
      const link = new RecordingLink()
      link.ready = false
      await r.engine.connect(r.devices[i]!, link)
    }
    const all = await Promise.all(Array.from({ length: WAITERS_MAX }, (_, i) => accepted(r, instant(), true, i % 250)))
    expect(all.every(answer => answer.settlement !== null)).toBe(true)
    expect(await r.engine.enqueue(r.devices[0]!, instant(), true)).toMatchObject({ ok: false, code: 99503 })
    expect((await r.store.search(r.devices[0]!, null, 0, 1)).total).toBe(WAITERS_MAX / 250)
  })

  it('learn that the server stops, with the command on record; nothing new is sent', async () => {
    const r = await rig()
    const { link, session } = await connect(r)
    const sent = await accepted(r, instant(), true)
    const queued = await accepted(r, instant(), true)
    const late = r.engine.enqueue(r.devices[0]!, instant(), true)
    const stopped = r.engine.stop()
    expect(await sent.settlement).toMatchObject({
      type: 'stopping',
      command: { id: sent.command.id, state: State.sent },
    })
    expect(await queued.settlement).toMatchObject({ type: 'stopping', command: { state: State.created } })
    const answer = await late
    expect(answer.ok && (await answer.settlement)).toMatchObject({ type: 'stopping' })
    await stopped
    expect(await r.engine.enqueue(r.devices[0]!, instant(), true)).toMatchObject({ ok: false, code: 99503 })
    await reply(r, sent.command.id)
    expect(link.published).toHaveLength(1)
    expect(await stateOf(r, sent.command.id)).toBe(State.succeeded)
    await r.engine.disconnect(r.devices[0]!, session, 'the server stops')
    expect(await stateOf(r, queued.command.id)).toBe(State.failed)
  })
})

describe('replies', () => {
  it('are counted by what became of them', async () => {
    const r = await rig()
    await connect(r)
    const { command } = await accepted(r)
    await reply(r, command.id)
    await reply(r, command.id)
    await reply(r, '17')
    expect(r.counted.filter(what => what.startsWith('reply '))).toEqual([
      'reply settled',
      'reply late',
      'reply ignored',
    ])
  })

  it('that fail alone are dropped and counted', async () => {
    const store = memoryWith(inner => ({
      commit: batch =>
        batch.changes.some(change => change.outcomes.length > 0)
          ? Promise.reject(new Error('no'))
          : inner.commit(batch),
    }))
    const r = await rig(1, { store })
    await connect(r)
    const { command } = await accepted(r)
    expect(await reply(r, command.id)).toMatchObject({ ok: false, code: 99500 })
    expect(r.counted).toContain('reply dropped')
  })
})
