// One life of a node: its number, its heartbeat, its clock, and its end. On the memory store's leases, and a machine whose clocks the test moves.

import { describe, expect, it } from 'vitest'
import { NodeClock } from '../src/clock.ts'
import { CannotJoin, Membership, type MembershipOptions } from '../src/cluster/membership.ts'
import type { Signals, Tidings } from '../src/cluster/signal.ts'
import {
  NODE_CUT_OFF_MS,
  NODE_HEARTBEAT_MS,
  NODE_LEASE_MS,
  NODE_MARGIN_MS,
  NODE_MAX,
  NODE_ROUND_TRIP_MAX_MS,
  NODE_SLEW,
} from '../src/core/limits.ts'
import { openMemory } from '../src/store/memory.ts'
import { StoreUnavailable } from '../src/store/nodes.ts'
import type { Store } from '../src/store/store.ts'
import { ManualMachine } from './rig/machine.ts'

const T0 = 1_800_000_000_000

/** What is told is heard by whoever listens, at once. */
class Wire {
  readonly #heard = new Map<number, (tidings: Tidings) => void>()
  closed = 0
  end(): Signals {
    return {
      tell: (node, tidings) => this.#heard.get(node)?.(tidings),
      listen: async (node, heard) => void this.#heard.set(node, heard),
      close: async () => {
        this.closed += 1
      },
    }
  }
}

function world() {
  const machine = new ManualMachine()
  const base = machine.mono()
  const store: Store = openMemory(() => T0 + machine.mono() - base)
  const wire = new Wire()
  const logged: string[] = []
  const note = (_: object, message: string) => void logged.push(message)
  const ended: number[] = []
  const cuts: number[] = []
  const join = (wanted: number | null, over: Partial<MembershipOptions> = {}) =>
    Membership.join(
      {
        nodes: store,
        signals: wire.end(),
        machine,
        log: { info: note, warn: note, error: note },
        ended: () => void ended.push(wanted ?? -1),
        cutOff: () => void cuts.push(wanted ?? -1),
        ...over,
      },
      wanted,
    )
  return { machine, store, wire, logged, ended, cuts, join }
}

const quiet = () => undefined

describe('joining', () => {
  it('takes the lowest free number, and a new life of it each time', async () => {
    const { join } = world()
    const [a, b] = [await join(null), await join(null)]
    expect([a.node, b.node]).toEqual([0, 1])
    await a.leave()
    const again = await join(null)
    expect([again.node, again.epoch > a.epoch]).toEqual([0, true])
  })

  it('waits for a number whose last life was killed a moment ago', async () => {
    const { join, machine, store, logged } = world()
    const before = await store.takeNode(7, NODE_LEASE_MS)
    const joining = join(7)
    await machine.run(NODE_LEASE_MS + NODE_HEARTBEAT_MS)
    const node = await joining
    expect([node.node, node.epoch]).toEqual([7, (before?.lease.epoch ?? 0) + 1])
    await node.leave()
    expect(logged).toContain('the node number is held, waiting for its lease to lapse')
  })

  it('gives up on a number that is in use, and says what to do', async () => {
    const { join, machine } = world()
    const holder = await join(7)
    await holder.start(quiet)
    const joining = join(7).catch((error: unknown) => error)
    await machine.run(2 * NODE_LEASE_MS)
    const error = await joining
    expect(error).toBeInstanceOf(CannotJoin)
    expect(String(error)).toContain('node 7 is held by a live node; leave --node-id out')
    await holder.leave()
  })

  it('is refused where all numbers are held', async () => {
    const { join, store } = world()
    for (let node = 0; node <= NODE_MAX; node += 1) await store.takeNode(node, 60_000)
    await expect(join(null)).rejects.toThrow('all of the node numbers 0 to 1023 are held')
  })

  it('goes by no look at the clock that takes too long, and gives the number back where none is quick', async () => {
    const { join, machine, store } = world()
    const slow: Store = new Proxy(store, {
      get: (target, name: keyof Store) => {
        const call = target[name].bind(target) as (...args: unknown[]) => unknown
        if (name !== 'renewNode') return call
        return (...args: unknown[]) => {
          machine.pass(NODE_ROUND_TRIP_MAX_MS + 1)
          return call(...args)
        }
      },
    })
    await expect(join(3, { nodes: slow })).rejects.toThrow('the store took longer than 500 ms to say its time')
    expect(await store.liveNodes()).toEqual([])
  })
})

describe('the heartbeat', () => {
  it('keeps the number, and tells who else is alive and who is not any more', async () => {
    const { join, machine, store } = world()
    const [a, b] = [await join(null), await join(null)]
    await a.start(quiet)
    await b.start(quiet)
    await machine.run(20 * NODE_LEASE_MS)
    expect((await store.liveNodes()).map(({ nodeNo }) => nodeNo)).toEqual([0, 1])
    expect([[...a.others().alive], [...b.others().alive]]).toEqual([[1], [0]])
    await b.leave()
    await machine.run(NODE_HEARTBEAT_MS)
    expect([...a.others().alive]).toEqual([])
    await a.leave()
  })

  it('that fails stops publishing a margin before the lease ends, and one that succeeds lets it go on', async () => {
    const { join, machine, store, logged } = world()
    let down = false
    const nodes: Store = new Proxy(store, {
      get: (target, name: keyof Store) => {
        const call = target[name].bind(target) as (...args: unknown[]) => unknown
        return (...args: unknown[]) => (down ? Promise.reject(new StoreUnavailable('gone')) : call(...args))
      },
    })
    const node = await join(null, { nodes })
    await node.start(quiet)
    await machine.run(NODE_HEARTBEAT_MS)
    down = true
    await machine.run(NODE_LEASE_MS - NODE_MARGIN_MS - 1)
    expect(node.mayPublish()).toBe(true)
    await machine.run(1)
    expect(node.mayPublish()).toBe(false)
    expect((await store.liveNodes()).length).toBe(1)
    expect(logged).toContain('a heartbeat failed, the next one follows')
    down = false
    await machine.run(NODE_HEARTBEAT_MS)
    expect(node.mayPublish()).toBe(true)
    await node.leave()
  })

  it('that was kept from the store does not take the others for dead before they had the time to come back', async () => {
    const { join, machine, store } = world()
    let down = false
    const nodes: Store = new Proxy(store, {
      get: (target, name: keyof Store) => {
        const call = target[name].bind(target) as (...args: unknown[]) => unknown
        return (...args: unknown[]) => (down ? Promise.reject(new StoreUnavailable('gone')) : call(...args))
      },
    })
    const node = await join(1, { nodes })
    await store.takeNode(2, NODE_LEASE_MS)
    await machine.run(NODE_HEARTBEAT_MS)
    expect([...node.others().alive]).toEqual([2])
    down = true
    await machine.run(3 * NODE_LEASE_MS)
    expect(await store.liveNodes()).toEqual([])
    down = false
    await machine.run(NODE_LEASE_MS)
    expect([...node.others().alive]).toEqual([2])
    await machine.run(2 * NODE_HEARTBEAT_MS)
    expect([...node.others().alive]).toEqual([])
    await node.leave()
  })

  it('has that patience also after a renewal that was tried again for long', async () => {
    const { join, machine, store } = world()
    let outageMs = 0
    const nodes: Store = new Proxy(store, {
      get: (target, name: keyof Store) => {
        const call = target[name].bind(target) as (...args: unknown[]) => unknown
        if (name !== 'renewNode') return call
        return (...args: unknown[]) => {
          machine.pass(outageMs)
          return call(...args)
        }
      },
    })
    const node = await join(1, { nodes })
    await store.takeNode(2, NODE_LEASE_MS)
    await machine.run(NODE_HEARTBEAT_MS)
    outageMs = NODE_LEASE_MS
    await machine.run(NODE_HEARTBEAT_MS)
    outageMs = 0
    expect(await store.liveNodes()).toHaveLength(1)
    expect([...node.others().alive]).toEqual([2])
    await node.leave()
  })

  it('that fails for a minute lets devices go, once in each outage', async () => {
    const { join, machine, store, cuts } = world()
    let down = false
    const nodes: Store = new Proxy(store, {
      get: (target, name: keyof Store) => {
        const call = target[name].bind(target) as (...args: unknown[]) => unknown
        return (...args: unknown[]) => (down ? Promise.reject(new StoreUnavailable('gone')) : call(...args))
      },
    })
    const node = await join(3, { nodes })
    for (const times of [1, 2]) {
      down = true
      await machine.run(NODE_CUT_OFF_MS - NODE_HEARTBEAT_MS)
      expect(cuts).toHaveLength(times - 1)
      await machine.run(NODE_CUT_OFF_MS)
      expect(cuts).toHaveLength(times)
      down = false
      await machine.run(NODE_HEARTBEAT_MS)
    }
    await node.leave()
  })

  it.each([
    ['the process was paused', false],
    ['the machine was asleep, its monotonic clock with it', true],
  ])('is not good any more at the first moment after %s', async (_, asleep) => {
    const { join, machine } = world()
    const node = await join(null)
    await node.start(quiet)
    machine.pass(NODE_LEASE_MS - NODE_MARGIN_MS, asleep)
    expect(node.mayPublish()).toBe(false)
    await machine.run(NODE_HEARTBEAT_MS)
    expect(node.mayPublish()).toBe(true)
    await node.leave()
  })

  it('counts the lease from when it was asked for, not from when the answer came', async () => {
    const { join, machine, store } = world()
    const late: Store = new Proxy(store, {
      get: (target, name: keyof Store) => {
        const call = target[name].bind(target) as (...args: unknown[]) => Promise<unknown>
        if (name !== 'renewNode') return call
        return async (...args: unknown[]) => {
          const answer = await call(...args)
          machine.pass(400)
          return answer
        }
      },
    })
    const node = await join(null, { nodes: late })
    machine.pass(NODE_LEASE_MS - NODE_MARGIN_MS - 401)
    expect(node.mayPublish()).toBe(true)
    machine.pass(1)
    expect(node.mayPublish()).toBe(false)
  })

  it('that finds another life ends this one, once', async () => {
    const { join, machine, store, ended, logged } = world()
    const node = await join(4)
    await node.start(quiet)
    machine.pass(NODE_LEASE_MS + 1)
    expect(await store.takeNode(4, NODE_LEASE_MS)).not.toBeNull()
    await machine.run(3 * NODE_HEARTBEAT_MS)
    node.leaseLost()
    expect(ended).toEqual([4])
    expect(node.mayPublish()).toBe(false)
    expect(logged).toContain('the number of this node has gone over to another life: this one ends')
    await node.leave()
    // It has not taken the number from the other.
    expect((await store.liveNodes()).map(({ nodeNo }) => nodeNo)).toEqual([4])
  })
})

describe('leaving', () => {
  it('gives the number back and tells nobody any more, also where the store is gone', async () => {
    const { join, wire, store, machine, logged } = world()
    const node = await join(null)
    await node.start(quiet)
    await node.leave()
    expect(await store.liveNodes()).toEqual([])
    expect(wire.closed).toBe(1)
    await machine.run(5 * NODE_HEARTBEAT_MS)
    expect(await store.liveNodes()).toEqual([])

    let down = false
    const nodes: Store = new Proxy(store, {
      get: (target, name: keyof Store) => {
        const call = target[name].bind(target) as (...args: unknown[]) => unknown
        return (...args: unknown[]) => (down ? Promise.reject(new StoreUnavailable('gone')) : call(...args))
      },
    })
    const other = await join(null, { nodes })
    await other.start(quiet)
    down = true
    await other.leave()
    expect(logged).toContain('the node number could not be given back, its lease lapses by itself')
  })

  it('hears and tells while it is in', async () => {
    const { join } = world()
    const [a, b] = [await join(null), await join(null)]
    const heard: Tidings[] = []
    await a.start(quiet)
    await b.start(tidings => void heard.push(tidings))
    a.tell(b.node, { look: [5], settled: [] })
    expect(heard).toEqual([{ look: [5], settled: [] }])
    await a.leave()
    await b.leave()
  })
})

describe("the node's clock", () => {
  const at = (machine: ManualMachine, storeNow: number, roundTripMs = 0) => ({
    storeNow,
    askedAt: machine.mono() - roundTripMs,
    answeredAt: machine.mono(),
  })

  it('goes by the store, whatever the clock of the machine says', () => {
    const machine = new ManualMachine()
    const clock = new NodeClock(machine, at(machine, T0), 0)
    machine.setWall(5)
    machine.pass(250)
    expect([clock.now(), clock.wall()]).toEqual([T0 + 250, T0 + 250])
  })

  it('starts no earlier than the last commit, and is slow until time has caught up', () => {
    const machine = new ManualMachine()
    const clock = new NodeClock(machine, at(machine, T0), T0 + 1_000)
    expect(clock.now()).toBe(T0 + 1_000)
    machine.pass(1_000)
    expect(clock.now()).toBe(T0 + 1_000 + 1_000 * (1 - NODE_SLEW))
    machine.pass(9_000)
    expect(clock.now()).toBe(T0 + 10_000)
    machine.pass(1_000)
    expect(clock.now()).toBe(T0 + 11_000)
  })

  it('leaps where it was behind, and never runs backwards where it was ahead', () => {
    const machine = new ManualMachine()
    const clock = new NodeClock(machine, at(machine, T0), 0)
    expect(clock.steer(at(machine, T0 + 700))).toBe(true)
    expect(clock.now()).toBe(T0 + 700)
    expect(clock.steer(at(machine, T0))).toBe(true)
    let last = clock.now()
    for (let i = 0; i < 700; i += 1) {
      machine.pass(10)
      const now = clock.now()
      expect(now).toBeGreaterThanOrEqual(last)
      last = now
    }
    expect(last).toBe(T0 + 7_000)
  })

  it('takes the middle of a look, and none that took too long', () => {
    const machine = new ManualMachine()
    const clock = new NodeClock(machine, at(machine, T0, NODE_ROUND_TRIP_MAX_MS), 0)
    expect(clock.now()).toBe(T0 + NODE_ROUND_TRIP_MAX_MS / 2)
    expect(clock.steer(at(machine, T0 + 90_000, NODE_ROUND_TRIP_MAX_MS + 1))).toBe(false)
    expect(clock.now()).toBe(T0 + NODE_ROUND_TRIP_MAX_MS / 2)
  })

  it('runs timers at its own instants, and calls them off', async () => {
    const machine = new ManualMachine()
    const clock = new NodeClock(machine, at(machine, T0), T0 + 1_000)
    const ran: number[] = []
    clock.at(T0 + 1_900, () => ran.push(clock.now()))
    clock.at(T0 + 1_000, () => ran.push(-1))()
    await machine.run(999)
    expect(ran).toEqual([])
    await machine.run(200)
    expect(ran).toHaveLength(1)
    expect(ran[0]).toBeGreaterThanOrEqual(T0 + 1_900)
  })
})
