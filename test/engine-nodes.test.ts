// Two engines on one store, as two nodes have them: who sends, who waits, who is told, and what is found when nobody is told anything.
// Leases and clocks are in test/membership.test.ts, whole servers in test/cluster.test.ts.

import { describe, expect, it } from 'vitest'
import type { Cluster, Tidings } from '../src/cluster/signal.ts'
import { State } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import { Ids } from '../src/core/ids.ts'
import { BATCH_STALL_MS, NODE_MARGIN_MS, NODE_SWEEP_MS, RETRY_AFTER_MS } from '../src/core/limits.ts'
import type { Others } from '../src/core/queue.ts'
import { Engine, type Fresh } from '../src/engine.ts'
import { openMemory } from '../src/store/memory.ts'
import { CommitUnknown, LeaseLost, StoreUnavailable } from '../src/store/nodes.ts'
import type { Store } from '../src/store/store.ts'
import { ManualClock } from './rig/clock.ts'
import { addDevices, newCommand, RecordingLink } from './rig/engine.ts'

/** A node's place among the others, as a test arranges it. */
class Place implements Cluster {
  readonly epoch: number
  readonly told: { readonly node: number; readonly tidings: Tidings }[] = []
  readonly alive = new Set<number>()
  leaseIsGood = true
  lost = 0
  carry: (node: number, tidings: Tidings) => void = () => undefined

  constructor(epoch: number) {
    this.epoch = epoch
  }
  others(): Others {
    return { alive: new Set(this.alive), asOf: Number.MAX_SAFE_INTEGER }
  }
  mayPublish(): boolean {
    return this.leaseIsGood
  }
  tell(node: number, tidings: Tidings): void {
    this.told.push({ node, tidings })
    this.carry(node, tidings)
  }
  leaseLost(): void {
    this.lost += 1
  }
}

interface TestNode {
  readonly engine: Engine
  readonly place: Place
}

interface Rig {
  readonly store: Store
  readonly clock: ManualClock
  readonly device: number
  readonly a: TestNode
  readonly b: TestNode
  rest(): Promise<void>
  advance(ms: number): Promise<void>
}

/** Nodes 1 (a) and 2 (b), which hear each other unless the test says otherwise. */
async function rig(options: { signals?: boolean; of?: (store: Store, node: number) => Store } = {}): Promise<Rig> {
  const clock = new ManualClock()
  const store = openMemory(() => clock.now())
  const [device = 0] = await addDevices(store, 1)
  const make = async (node: number): Promise<TestNode> => {
    const taken = await store.takeNode(node, 1_000_000_000)
    const place = new Place(taken?.lease.epoch ?? 0)
    const quiet = () => undefined
    const engine = new Engine({
      store: options.of?.(store, node) ?? store,
      clock,
      ids: new Ids(node, null),
      cluster: place,
      log: { info: quiet, warn: quiet, error: quiet },
      observer: { batch: quiet, transition: quiet, published: quiet, reply: quiet },
      queueCap: 50,
      retentionMs: 7 * 86_400_000,
      defer: run => void setImmediate(run),
    })
    await engine.start()
    return { engine, place }
  }
  const [a, b] = [await make(1), await make(2)]
  a.place.alive.add(2)
  b.place.alive.add(1)
  if (options.signals !== false) {
    a.place.carry = (_, tidings) => b.engine.hear(tidings)
    b.place.carry = (_, tidings) => a.engine.hear(tidings)
  }
  const rest = async () => {
    for (let i = 0; i < 8; i += 1) {
      await new Promise(resolve => setImmediate(resolve))
      await Promise.all([a.engine.idle(), b.engine.idle()])
    }
  }
  return { store, clock, device, a, b, rest, advance: ms => clock.advance(ms, rest) }
}

async function connect({ device }: Rig, node: TestNode): Promise<RecordingLink & { session: number }> {
  const link = Object.assign(new RecordingLink(), { session: 0 })
  const answer = await node.engine.connect(device, link)
  if (!answer.ok) throw new Error(answer.message)
  link.session = answer.session
  return link
}

async function accepted(answer: Promise<unknown>): Promise<Fresh> {
  const said = (await answer) as Fresh
  expect(said).toMatchObject({ ok: true })
  expect(said).not.toHaveProperty('repeated')
  return said
}

const instant = (over = {}) => newCommand({ pendingTtlS: 0, timeoutS: 10, ...over })
const stateOf = async ({ store, device }: Rig, id: string) => (await store.command(device, id))?.command.state
const success = (commandId: string) =>
  ({ type: 'reply', commandId, code: 200, deviceCode: '200', message: 'done', outputJson: '{"ok":true}' }) as const

describe('a device on another node', () => {
  it('gets what is accepted here, from there and from there alone', async () => {
    const r = await rig()
    const link = await connect(r, r.b)
    const { command } = await accepted(r.a.engine.enqueue(r.device, newCommand(), false))
    expect(command.state).toBe(State.created)
    await r.rest()
    expect(link.published.map(({ commandId }) => commandId)).toEqual([command.id])
    expect(r.a.place.told).toEqual([{ node: 2, tidings: { look: [r.device], settled: [] } }])
    expect(await stateOf(r, command.id)).toBe(State.sent)
  })

  it('takes instant commands, whose answer comes back to whoever waits here', async () => {
    const r = await rig()
    const link = await connect(r, r.b)
    const { command, settlement } = await accepted(r.a.engine.enqueue(r.device, instant(), true))
    await r.rest()
    expect(link.published).toHaveLength(1)
    await r.b.engine.apply(r.device, success(command.id))
    expect(await settlement).toMatchObject({
      type: 'settled',
      command: { id: command.id, state: State.succeeded },
      outcome: { outputJson: '{"ok":true}', deviceCode: '200', deviceMessage: 'done' },
    })
    expect(r.b.place.told).toEqual([
      { node: 1, tidings: { look: [], settled: [{ deviceId: r.device, commandId: command.id }] } },
    ])
  })

  it('does all of that within one look where nothing that is told arrives', async () => {
    const r = await rig({ signals: false })
    const link = await connect(r, r.b)
    const { command, settlement } = await accepted(r.a.engine.enqueue(r.device, instant(), true))
    await r.rest()
    expect(link.published).toEqual([])
    await r.advance(NODE_SWEEP_MS)
    expect(link.published).toHaveLength(1)
    await r.b.engine.apply(r.device, success(command.id))
    let answer: unknown = null
    void settlement?.then(said => {
      answer = said
    })
    await r.rest()
    expect(answer).toBeNull()
    await r.advance(NODE_SWEEP_MS)
    expect(answer).toMatchObject({ type: 'settled', command: { state: State.succeeded } })
  })

  it('fails an instant command the moment its node is known to be dead, and not before', async () => {
    const r = await rig()
    const link = await connect(r, r.b)
    link.ready = false
    const { command, settlement } = await accepted(r.a.engine.enqueue(r.device, instant(), true))
    await r.advance(2 * NODE_SWEEP_MS)
    expect(await stateOf(r, command.id)).toBe(State.created)
    await r.b.engine.stop()
    r.a.place.alive.delete(2)
    await r.advance(NODE_SWEEP_MS)
    expect(await settlement).toMatchObject({ command: { state: State.failed, code: errors.offline.code } })
    const { command: next } = await accepted(r.a.engine.enqueue(r.device, instant(), true))
    expect(next).toMatchObject({ state: State.failed, code: errors.offline.code })
  })

  it('leaves an answer to its deadline, and the margin, where that node says nothing at all', async () => {
    const r = await rig({ signals: false })
    const link = await connect(r, r.b)
    const { settlement } = await accepted(r.a.engine.enqueue(r.device, instant({ timeoutS: 3 }), true))
    await r.advance(NODE_SWEEP_MS)
    expect(link.published).toHaveLength(1)
    await r.b.engine.stop()
    let answer: unknown = null
    void settlement?.then(said => {
      answer = said
    })
    await r.advance(3_000 - NODE_SWEEP_MS + NODE_MARGIN_MS - 1)
    expect(answer).toBeNull()
    await r.advance(NODE_SWEEP_MS + 1)
    expect(answer).toMatchObject({ command: { state: State.timedOut } })
  })

  it('is cancelled here like any other, and a command that is sent there is not', async () => {
    const r = await rig({ signals: false })
    const link = await connect(r, r.b)
    link.ready = false
    const ids = []
    for (let i = 0; i < 3; i += 1)
      ids.push((await accepted(r.a.engine.enqueue(r.device, newCommand(), false))).command.id)
    link.ready = true
    await r.b.engine.apply(r.device, { type: 'ready' })
    const cancelled = await r.a.engine.cancel(r.device, null, 'app')
    expect(cancelled).toMatchObject({ ok: true, cancelled: [{ id: ids[1] }, { id: ids[2] }] })
    await r.b.engine.apply(r.device, success(ids[0] ?? ''))
    expect(link.published.map(({ commandId }) => commandId)).toEqual([ids[0]])
  })
})

describe('a call that is repeated at another node', () => {
  const once = { application: 'app', key: 'k', requestHash: 'h', keepMs: 60_000 }
  const asks = async ({ engine }: TestNode, device: number, over = {}) => {
    const answer = await engine.enqueue(device, instant({ repeatable: once, ...over }), true)
    if (!answer.ok) throw new Error(answer.message)
    return { ...answer, id: 'repeated' in answer ? answer.repeated.commandId : answer.command.id }
  }

  it('makes one command, also where both come at once, and its answer comes to both', async () => {
    const r = await rig()
    const link = await connect(r, r.b)
    const [here, there] = await Promise.all([asks(r.a, r.device), asks(r.b, r.device)])
    expect(here.id).toBe(there.id)
    expect(['repeated' in here, 'repeated' in there].sort()).toEqual([false, true])
    await r.rest()
    expect(link.published).toHaveLength(1)
    await r.b.engine.apply(r.device, success(here.id))
    await r.advance(NODE_SWEEP_MS)
    const [one, other] = await Promise.all([here.settlement, there.settlement])
    expect(one).toMatchObject({
      type: 'settled',
      command: { state: State.succeeded },
      outcome: { deviceMessage: 'done' },
    })
    expect(other).toEqual(one)
  })

  it('is answered within one look where nothing tells the node that it waits', async () => {
    const r = await rig()
    await connect(r, r.a)
    const first = await asks(r.a, r.device)
    const joined = await asks(r.b, r.device)
    await r.a.engine.apply(r.device, success(first.id))
    let told: unknown = null
    void joined.settlement?.then(settlement => {
      told = settlement
    })
    await r.rest()
    expect(told).toBeNull()
    await r.advance(NODE_SWEEP_MS)
    expect(told).toEqual(await first.settlement)
  })

  it('finds out what became of a call whose answer was lost', async () => {
    const lost: { isLost: boolean } = { isLost: true }
    const r = await rig({
      of: (store, node) =>
        node === 1
          ? store
          : watch(store, 'commit', async call => {
              const stale = await call()
              if (lost.isLost) throw new CommitUnknown('the answer was lost')
              return stale
            }),
    })
    const command = newCommand({ repeatable: once })
    expect(await r.b.engine.enqueue(r.device, command, false)).toMatchObject({ code: errors.outcomeUnknown.code })
    const again = await r.a.engine.enqueue(r.device, command, false)
    expect(again).toMatchObject({ ok: true, repeated: { key: 'k' }, command: { state: State.created } })
    expect((await r.store.search(r.device, null, 0, 10)).total).toBe(1)
  })
})

describe('a device that comes to another node', () => {
  it.each([
    ['is told', true],
    ['finds out by itself', false],
  ])('is closed where it was, which %s', async (_, signals) => {
    const r = await rig({ signals })
    const old = await connect(r, r.a)
    const link = await connect(r, r.b)
    expect(link.session).toBe(old.session + 1)
    await r.advance(signals ? 0 : NODE_SWEEP_MS)
    expect(old.gone).toBe(1)
    expect(r.a.engine.isOnline(r.device)).toBe(false)
    expect(r.b.engine.isOnline(r.device)).toBe(true)
  })

  it('gets nothing over the old connection, even where that node has not heard of it', async () => {
    const r = await rig({ signals: false })
    const old = await connect(r, r.a)
    const link = await connect(r, r.b)
    const { command } = await accepted(r.a.engine.enqueue(r.device, newCommand(), false))
    await r.advance(NODE_SWEEP_MS)
    expect(old.published).toEqual([])
    expect(link.published.map(({ commandId }) => commandId)).toEqual([command.id])
  })

  it('is not made to seem away by the end of the old connection', async () => {
    const r = await rig()
    const old = await connect(r, r.a)
    const link = await connect(r, r.b)
    await r.a.engine.disconnect(r.device, old.session, 'connection lost')
    const { command, settlement } = await accepted(r.a.engine.enqueue(r.device, instant(), true))
    expect(command.state).toBe(State.created)
    await r.rest()
    expect(link.published).toHaveLength(1)
    await r.b.engine.disconnect(r.device, link.session, 'connection lost')
    expect((await r.store.sessions([r.device]))[0]).toMatchObject({ sessionNode: null })
    const { command: late } = await accepted(r.a.engine.enqueue(r.device, instant(), true))
    expect(late).toMatchObject({ state: State.failed, code: errors.offline.code })
    void settlement
  })

  it('waits for the answer to what was sent before, a margin longer than where it was sent', async () => {
    const r = await rig()
    await connect(r, r.a)
    const first = await accepted(r.a.engine.enqueue(r.device, newCommand({ timeoutS: 5 }), false))
    const second = await accepted(r.a.engine.enqueue(r.device, newCommand(), false))
    const link = await connect(r, r.b)
    await r.advance(5_000 + NODE_MARGIN_MS - 1)
    expect(link.published).toEqual([])
    await r.advance(RETRY_AFTER_MS + 1)
    expect(await stateOf(r, first.command.id)).toBe(State.timedOut)
    expect(link.published.map(({ commandId }) => commandId)).toEqual([second.command.id])
  })
})

describe('a device that is disabled or deleted on another node', () => {
  it.each([
    ['disabled', true],
    ['disabled', false],
    ['deleted', true],
    ['deleted', false],
  ] as const)('is %s here too (told: %s)', async (what, signals) => {
    const r = await rig({ signals })
    const link = await connect(r, r.b)
    if (what === 'disabled') await r.a.engine.disable(r.device, 'me')
    else await r.a.engine.deleteDevice(r.device, 'me')
    await r.advance(signals ? 0 : NODE_SWEEP_MS)
    expect(link.evictions).toEqual([what])
    expect(r.b.engine.isOnline(r.device)).toBe(false)
  })

  it('is closed also where it was enabled again before that was heard', async () => {
    const r = await rig({ signals: false })
    const link = await connect(r, r.b)
    await r.a.engine.disable(r.device, 'me')
    await r.a.engine.enable(r.device, 'me')
    await r.advance(NODE_SWEEP_MS)
    expect(link.evictions).toEqual(['disabled'])
  })
})

describe('a node whose lease is not good', () => {
  it('accepts and sends nothing, lets cancel, and goes on once it is good again', async () => {
    const r = await rig()
    const link = await connect(r, r.b)
    r.b.place.leaseIsGood = false
    expect(await r.b.engine.enqueue(r.device, newCommand(), false)).toMatchObject({ code: errors.unavailable.code })
    const { command } = await accepted(r.a.engine.enqueue(r.device, newCommand(), false))
    const second = await accepted(r.a.engine.enqueue(r.device, newCommand(), false))
    expect(command.state).toBe(State.created)
    expect(await r.b.engine.cancel(r.device, second.command.id, 'app')).toMatchObject({ cancelled: [{}] })
    await r.advance(NODE_SWEEP_MS)
    expect(link.published).toEqual([])
    r.b.place.leaseIsGood = true
    await r.advance(NODE_SWEEP_MS)
    expect(link.published).toHaveLength(1)
  })

  it('gives back what was decided while it was good', async () => {
    let isCommitted = (): void => undefined
    const r = await rig({
      of: (store, node) =>
        node === 1
          ? store
          : watch(store, 'commit', async call => {
              const stale = await call()
              isCommitted()
              return stale
            }),
    })
    const link = await connect(r, r.b)
    isCommitted = () => {
      r.b.place.leaseIsGood = false
    }
    const { command } = await accepted(r.b.engine.enqueue(r.device, newCommand(), false))
    isCommitted = () => undefined
    await r.rest()
    expect(link.published).toEqual([])
    expect(await stateOf(r, command.id)).toBe(State.created)
    const events = await r.store.events(r.device, command.id, 10)
    expect(events.map(({ reason }) => reason)).toEqual(['accepted', 'sent', 'unsent: fenced'])
  })

  it('ends when another life has its number: nothing is written, callers may come again', async () => {
    const r = await rig()
    await r.store.releaseNode({ nodeNo: 2, epoch: r.b.place.epoch })
    const answer = await r.b.engine.enqueue(r.device, newCommand(), false)
    expect(answer).toMatchObject({
      ok: false,
      code: errors.unavailable.code,
      message: expect.stringContaining('ending'),
    })
    expect(r.b.place.lost).toBe(1)
    expect((await r.store.search(r.device, null, 0, 10)).total).toBe(0)
  })
})

describe('a number that was taken again after its last life was killed', () => {
  it('puts the end of the sessions on record that nobody told, and no other', async () => {
    const r = await rig()
    await connect(r, r.b)
    await accepted(r.a.engine.enqueue(r.device, newCommand({ timeoutS: 1 }), false))
    await r.b.engine.stop()
    const taken = await r.store.takeNode(3, 1_000_000_000)
    const quiet = () => undefined
    // The same number as far as the devices on record go.
    const place = new Place(taken?.lease.epoch ?? 0)
    const [load, loads]: [Store['load'], number[]] = [r.store.load.bind(r.store), []]
    const store: Store = new Proxy(r.store, {
      get: (target, name: keyof Store) => {
        if (name === 'load')
          return (keys: Parameters<Store['load']>[0]) => {
            loads.push(keys.length)
            return load(keys)
          }
        return target[name].bind(target)
      },
    })
    const again = new Engine({
      store,
      clock: r.clock,
      ids: new Ids(2, null),
      cluster: Object.assign(place, { epoch: r.b.place.epoch }),
      log: { info: quiet, warn: quiet, error: quiet },
      observer: { batch: quiet, transition: quiet, published: quiet, reply: quiet },
      queueCap: 50,
      retentionMs: 7 * 86_400_000,
      defer: run => void setImmediate(run),
    })
    await again.start()
    const rest = async () => {
      await r.rest()
      await again.idle()
    }
    await accepted(r.a.engine.enqueue(r.device, newCommand(), false))
    await r.clock.advance(5 * NODE_SWEEP_MS, rest)
    expect((await r.store.sessions([r.device]))[0]).toMatchObject({ sessionNode: null })
    loads.length = 0
    await r.clock.advance(10 * NODE_SWEEP_MS, rest)
    expect(loads).toEqual([])
  })
})

/** The store, with one of its calls done by `around`. */
function watch<K extends 'commit' | 'load'>(
  store: Store,
  name: K,
  around: (call: () => ReturnType<Store[K]>) => ReturnType<Store[K]>,
): Store {
  return new Proxy(store, {
    get: (target, key: keyof Store) => {
      const call = target[key].bind(target) as (...args: unknown[]) => unknown
      return key === name ? (...args: unknown[]) => around(() => call(...args) as ReturnType<Store[K]>) : call
    },
  })
}

describe('a store that cannot be reached', () => {
  /** Node 2's commits fail like this until it is null. */
  async function failing() {
    const fault: { error: Error | null; hang: Promise<void> | null } = { error: null, hang: null }
    const r = await rig({
      of: (store, node) =>
        node === 1
          ? store
          : watch(store, 'commit', async call => {
              if (fault.hang !== null) await fault.hang
              if (fault.error !== null) throw fault.error
              return call()
            }),
    })
    return { r, fault }
  }

  it('turns callers away, all of a batch, and keeps what devices said', async () => {
    const { r, fault } = await failing()
    const link = await connect(r, r.b)
    const { command } = await accepted(r.b.engine.enqueue(r.device, newCommand(), false))
    fault.error = new StoreUnavailable('gone')
    const calls = Promise.all([
      r.b.engine.enqueue(r.device, newCommand(), false),
      r.b.engine.enqueue(r.device, instant(), true),
      r.b.engine.cancel(r.device, null, 'app'),
    ])
    let settled = false
    const reply = r.b.engine.apply(r.device, success(command.id)).then(answer => {
      settled = true
      return answer
    })
    for (const answer of await calls)
      expect(answer).toMatchObject({
        ok: false,
        code: errors.unavailable.code,
        message: expect.stringContaining('nothing'),
      })
    expect(settled).toBe(false)
    fault.error = null
    await r.clock.advance(RETRY_AFTER_MS, async () => void (await new Promise(resolve => setImmediate(resolve))))
    expect(await reply).toEqual({ ok: true, outcome: 'settled' })
    expect(await stateOf(r, command.id)).toBe(State.succeeded)
    expect((await r.store.search(r.device, null, 0, 10)).total).toBe(1)
    expect(link.published).toHaveLength(1)
    expect(r.b.engine.gauges().waiters).toBe(0)
  })

  it('does not say that nothing was done where that is not known', async () => {
    const { r, fault } = await failing()
    fault.error = new CommitUnknown('closed')
    const answer = await r.b.engine.enqueue(r.device, newCommand(), false)
    expect(answer).toMatchObject({ ok: false, code: errors.outcomeUnknown.code })
    expect(answer).toMatchObject({ message: expect.stringContaining('not known whether this was done') })
    expect(answer).not.toMatchObject({ message: expect.stringContaining('nothing was stored') })
  })

  it('does not let callers wait behind a batch that takes long, and tells those in it what became of them', async () => {
    const { r, fault } = await failing()
    let answerCommit = (): void => undefined
    fault.hang = new Promise(resolve => {
      answerCommit = resolve
    })
    const inFlight = r.b.engine.enqueue(r.device, newCommand(), false)
    await new Promise(resolve => setImmediate(resolve))
    await new Promise(resolve => setImmediate(resolve))
    const behind = r.b.engine.enqueue(r.device, newCommand(), false)
    await r.clock.advance(BATCH_STALL_MS, async () => void (await new Promise(resolve => setImmediate(resolve))))
    expect(await behind).toMatchObject({ ok: false, code: errors.unavailable.code })
    expect(await r.b.engine.cancel(r.device, null, 'app')).toMatchObject({ ok: false, code: errors.unavailable.code })
    fault.hang = null
    answerCommit()
    const { command } = await accepted(inFlight)
    expect(await stateOf(r, command.id)).toBe(State.created)
    await r.rest()
    await accepted(r.b.engine.enqueue(r.device, newCommand(), false))
  })

  it('ends the life of a node that is fenced', async () => {
    const { r, fault } = await failing()
    fault.error = new LeaseLost('taken')
    expect(await r.b.engine.enqueue(r.device, newCommand(), false)).toMatchObject({ ok: false })
    expect(r.b.place.lost).toBe(1)
  })
})
