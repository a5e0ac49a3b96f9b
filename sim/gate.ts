// The store as one process sees it: the real one behind a gate that takes its time, fails, is cut off, crashes the process, and opens for no dead process.

import type { NodeLease } from '../src/store/nodes.ts'
import type { Batch, DeviceMove, Store } from '../src/store/store.ts'
import type { World } from './world.ts'

/** What an injected fault throws, so that it can be told from a defect. */
export class StoreFault extends Error {
  override readonly name = 'StoreFault'
}

export type StoreOp = 'load' | 'commit' | 'due' | 'nextDue' | 'bodies' | 'read' | 'purge' | 'save' | 'move' | 'lease'

/** Where a process may be made to crash. */
export const crashPoints = [
  'while deciding',
  'before commit',
  'after commit, before effects',
  'between effects, before the PUBLISH',
  'after the PUBLISH, before answers',
  'between PUBLISH and PUBACK',
  'while a command is held',
  'at rest',
] as const
export type CrashPoint = (typeof crashPoints)[number]

/** The process that is behind the gate. */
export interface Gated {
  readonly alive: boolean
  /** everything takes its time and may fail: not while the process starts */
  readonly started: boolean
  /** dies here if this is where it shall die */
  crashAt(point: CrashPoint): void
  /** one more, or one less, thing that it waits for */
  inFlight: number
  /** a call to the store hangs for long */
  onStuck(): void
  onLoad(deviceIds: readonly number[]): void
  onPurge(before: number): void
  /** of what lapsed before: tokens, proofs, keys */
  onForgetting(before: number): void
  onCommitting(batch: Batch): void
  /** `old`: devices that somebody else had changed since they were loaded */
  onCommitted(batch: Batch, stale: readonly number[], old: readonly number[]): void
  onMoved(moves: readonly DeviceMove[]): void
}

/** The way from a process to a store that it shares with others. */
export interface Way {
  /** Resolves when a call has got through to the store; rejects with StoreUnavailable where it does not in time. */
  there(): Promise<void>
  /**
   * The same for the answer. That of a commit is waited for as long as it takes; it is CommitUnknown where it was lost, and the number with it: nobody
   * can learn it then.
   */
  back(op: StoreOp): Promise<void>
  /** ms that a call that keeps leases takes in one direction */
  leaseMs(direction: Direction): number
  /** what the store has just done */
  onTaken(lease: NodeLease, until: number): void
  onRenewed(lease: NodeLease, until: number): void
  onReleased(lease: NodeLease): void
  /** The process asks for the store's time. Returns what is to be called when it has learned it. */
  onAsked(): () => void
  /** The store says who is alive. Returns what is to be called when the process learns it. */
  onLive(): () => void
  /** A batch has been written. */
  onWritten(): void
}
export type Direction = 'there' | 'back'

/** Who is never answered waits for ever; nothing holds on to it. */
export const never = <T>(): Promise<T> => new Promise<T>(() => undefined)

const SLOW_MAX_MS = 40
/** of what devices report: many share one transaction, and wait for it */
const SLOW_SAVE_MAX_MS = 600
const STUCK_MAX_MS = 1_500
/** share of slow calls that are stuck */
const STUCK = 0.02
/** what comes while the sweep looks for its next instant is easily missed */
const NEXT_DUE_STUCK = 0.5

/** Faults to come: so many of the next calls of a kind fail. */
export type FaultsDue = Map<StoreOp, number>

/** way: null where the process has the store to itself. */
export function gate(
  store: Store,
  world: World,
  process: Gated,
  due: FaultsDue,
  failed: (op: StoreOp) => void,
  way: Way | null,
): Store {
  async function pass<T>(op: StoreOp, run: () => Promise<T>, crash: CrashPoint | null = null): Promise<T> {
    if (!process.alive) return never()
    process.inFlight += 1
    try {
      await linger(world, process, op, way?.leaseMs('there') ?? 0)
      if (crash !== null) process.crashAt(crash)
      if (!process.alive) return never()
      const left = process.started && !world.calm ? (due.get(op) ?? 0) : 0
      if (left > 0) {
        due.set(op, left - 1)
        world.count(`store fault ${op}`)
        world.note(null, `the store fails: ${op}`)
        failed(op)
        throw new StoreFault(`injected: ${op}`)
      }
      if (way !== null) await way.there()
      if (!process.alive) return never()
      const result = await run()
      await linger(world, process, op, way?.leaseMs('back') ?? 0)
      if (way !== null) await way.back(op)
      return process.alive ? result : never()
    } finally {
      process.inFlight -= 1
    }
  }

  async function commit(batch: Batch): Promise<number[]> {
    process.onCommitting(batch)
    const on = await store.load(batch.changes.map(({ queue }) => ({ deviceId: queue.deviceId, commandIds: [] })))
    const old = batch.changes.filter(({ queue }, i) => on[i]?.version !== queue.version)
    const stale = await store.commit(batch)
    way?.onWritten()
    const oldIds = old.map(({ queue }) => queue.deviceId)
    process.onCommitted(batch, stale, oldIds)
    process.crashAt('after commit, before effects')
    return stale
  }

  const particular: Partial<Store> = {
    load: keys => {
      process.onLoad(keys.map(key => key.deviceId))
      return pass('load', () => store.load(keys), 'while deciding')
    },
    commit: batch => pass('commit', () => commit(batch), 'before commit'),
    purge: (before, limit) =>
      pass('purge', () => {
        process.onPurge(before)
        return store.purge(before, limit)
      }),
    purgeTokens: (before, limit) =>
      pass('purge', () => {
        process.onForgetting(before)
        return store.purgeTokens(before, limit)
      }),
    moveDevices: moves =>
      pass('move', async () => {
        await store.moveDevices(moves)
        process.onMoved(moves)
      }),
    ...(way === null ? {} : leases(store, way, pass)),
  }
  return new Proxy(store, {
    get: (target, name: keyof Store) => {
      const call = target[name].bind(target) as (...given: unknown[]) => Promise<unknown>
      return particular[name] ?? ((...given: unknown[]) => pass(ops[name] ?? 'read', () => call(...given)))
    },
  })
}

/** What keeps a node among others. Somebody writes down what the store says. */
function leases(store: Store, way: Way, pass: <T>(op: StoreOp, run: () => Promise<T>) => Promise<T>): Partial<Store> {
  return {
    takeNode: (wanted, leaseMs) =>
      pass('lease', async () => {
        const taken = await store.takeNode(wanted, leaseMs)
        if (taken !== null) way.onTaken(taken.lease, taken.until)
        return taken
      }),
    renewNode: async (lease, leaseMs) => {
      const learned = way.onAsked()
      const renewed = await pass('lease', async () => {
        const found = await store.renewNode(lease, leaseMs)
        if (found !== null) way.onRenewed(lease, found.until)
        return found
      })
      if (renewed !== null) learned()
      return renewed
    },
    releaseNode: lease =>
      pass('lease', async () => {
        await store.releaseNode(lease)
        way.onReleased(lease)
      }),
    liveNodes: async () => {
      let learned = (): void => undefined
      const live = await pass('lease', () => {
        learned = way.onLive()
        return store.liveNodes()
      })
      learned()
      return live
    },
  }
}

/** Kinds of calls; all others read. */
const ops: Partial<Record<keyof Store, StoreOp>> = {
  due: 'due',
  dueFor: 'due',
  nextDue: 'nextDue',
  bodies: 'bodies',
  saveData: 'save',
}

/** Mostly no time at all; sometimes long enough for other things to happen in between. */
function linger(world: World, process: Gated, op: StoreOp, leaseMs: number): Promise<void> {
  const ms = op === 'lease' ? leaseMs : drawDelay(world, process, op)
  return ms === 0 ? Promise.resolve() : new Promise(resolve => world.after(ms, 'process', resolve))
}

function drawDelay(world: World, process: Gated, op: StoreOp): number {
  const share = world.faults.slowStore / (op === 'read' ? 10 : 2)
  const isSlow = process.started && !world.calm && world.random.chance(share)
  if (!isSlow) return 0
  const isStuck = world.random.chance(op === 'nextDue' ? NEXT_DUE_STUCK : STUCK)
  if (isStuck) process.onStuck()
  const slowMaxMs = op === 'save' ? SLOW_SAVE_MAX_MS : SLOW_MAX_MS
  return world.random.int(1, isStuck ? STUCK_MAX_MS * (op === 'nextDue' ? 2 : 1) : slowMaxMs)
}
