// The store as one process sees it: the real one behind a gate that takes its time, fails, crashes the process, and opens for no dead process.

import type { Batch, DeviceMove, Store } from '../src/store/store.ts'
import type { World } from './world.ts'

/** What an injected fault throws, so that it can be told from a defect. */
export class StoreFault extends Error {
  override readonly name = 'StoreFault'
}

export type StoreOp = 'load' | 'commit' | 'due' | 'nextDue' | 'bodies' | 'read' | 'purge' | 'save' | 'move'

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
  onCommitting(batch: Batch): void
  /** `old`: devices that somebody else had changed since they were loaded */
  onCommitted(batch: Batch, stale: readonly number[], old: readonly number[]): void
  onMoved(moves: readonly DeviceMove[]): void
}

/** Who is never answered waits for ever; nothing holds on to it. */
export const never = <T>(): Promise<T> => new Promise<T>(() => undefined)

const SLOW_MAX_MS = 40
/** of what devices report: many share one transaction, and wait for it */
const SLOW_SAVE_MAX_MS = 600
const STUCK_MAX_MS = 1_500
/** share of slow calls that are stuck */
const STUCK = 0.02
/** what comes while the sweep looks for its next instant is easily missed */
const NEXT_DUE_STUCK = 0.2

/** Faults to come: so many of the next calls of a kind fail. */
export type FaultsDue = Map<StoreOp, number>

export function gate(store: Store, world: World, process: Gated, due: FaultsDue, failed: (op: StoreOp) => void): Store {
  async function pass<T>(op: StoreOp, run: () => Promise<T>, crash: CrashPoint | null = null): Promise<T> {
    if (!process.alive) return never()
    process.inFlight += 1
    await linger(world, process, op)
    if (crash !== null) process.crashAt(crash)
    if (!process.alive) return never()
    const left = process.started && !world.calm ? (due.get(op) ?? 0) : 0
    if (left > 0) {
      due.set(op, left - 1)
      world.count(`store fault ${op}`)
      world.note(null, `the store fails: ${op}`)
      failed(op)
      process.inFlight -= 1
      throw new StoreFault(`injected: ${op}`)
    }
    try {
      const result = await run()
      await linger(world, process, op)
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
    moveDevices: moves =>
      pass('move', async () => {
        await store.moveDevices(moves)
        process.onMoved(moves)
      }),
  }
  return new Proxy(store, {
    get: (target, name: keyof Store) => {
      const call = target[name].bind(target) as (...given: unknown[]) => Promise<unknown>
      return particular[name] ?? ((...given: unknown[]) => pass(ops[name] ?? 'read', () => call(...given)))
    },
  })
}

/** Kinds of calls; all others read. */
const ops: Partial<Record<keyof Store, StoreOp>> = {
  due: 'due',
  nextDue: 'nextDue',
  bodies: 'bodies',
  purgeTokens: 'purge',
  saveData: 'save',
}

/** Mostly no time at all; sometimes long enough for other things to happen in between. */
function linger(world: World, process: Gated, op: StoreOp): Promise<void> {
  const share = world.faults.slowStore / (op === 'read' ? 10 : 2)
  const isSlow = process.started && !world.calm && world.random.chance(share)
  if (!isSlow) return Promise.resolve()
  const isStuck = world.random.chance(op === 'nextDue' ? NEXT_DUE_STUCK : STUCK)
  if (isStuck) process.onStuck()
  const slowMaxMs = op === 'save' ? SLOW_SAVE_MAX_MS : SLOW_MAX_MS
  const ms = world.random.int(1, isStuck ? STUCK_MAX_MS * (op === 'nextDue' ? 2 : 1) : slowMaxMs)
  return new Promise(resolve => world.after(ms, 'process', resolve))
}
