// Numbers of nodes, and what nodes ask about their devices, in memory. One process has the store, so nobody can lose a lease to another process here;
// epochs are counted all the same, and a batch that names one is refused when it is not the newest.
// Not here: queues and what is committed to them (memory.ts).

import { type Command, State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import { NODE_MAX } from '../core/limits.ts'
import { lapsesAt, type Queue } from '../core/queue.ts'
import { type DeviceSession, LeaseLost, type NodeLease, type Nodes, type TakenNode } from './nodes.ts'
import type { Batch } from './store.ts'

/** One node number. until: null where it is free. */
interface NodeEntry {
  readonly lastCommandId: string | null
  readonly clockAt: number
  readonly epoch: number
  readonly until: number | null
}

const newNode: NodeEntry = { lastCommandId: null, clockAt: 0, epoch: 0, until: null }

/** What nodes look at. */
export interface Holdings {
  /** every device there is, with its open commands */
  devices(): Iterable<Pick<Queue, 'sessionNo' | 'sessionNode'> & Holding>
  isFinal(commandId: string): boolean
}
interface Holding {
  readonly deviceId: number
  readonly disabled: boolean
  readonly open: readonly Command[]
}

export class MemoryNodes implements Nodes {
  readonly #nodes = new Map<number, NodeEntry>()
  readonly #now: () => number
  readonly #holdings: Holdings

  /** now: the store's clock, epoch ms */
  constructor(now: () => number, holdings: Holdings) {
    this.#now = now
    this.#holdings = holdings
  }

  lastCommandId(nodeNo: number): string | null {
    return this.#entry(nodeNo).lastCommandId
  }

  /** The instant of its last commit; 0 before the first. */
  clockAt(nodeNo: number): number {
    return this.#entry(nodeNo).clockAt
  }

  get clockFloor(): number {
    return Math.max(0, ...[...this.#nodes.values()].map(({ clockAt }) => clockAt))
  }

  /** Throws LeaseLost where another life has the number, or it was given back. */
  check({ node, epoch }: Pick<Batch, 'node' | 'epoch'>): void {
    if (epoch !== undefined && epoch !== this.#entry(node).epoch)
      throw new LeaseLost(`node ${node} was taken by another life, or given back`)
  }

  touch({ node, lastCommandId, now }: Batch): void {
    const before = this.#entry(node)
    const ids = [before.lastCommandId, lastCommandId].filter(id => id !== null).sort()
    const clockAt = Math.max(before.clockAt, now)
    this.#nodes.set(node, { ...before, lastCommandId: ids.at(-1) ?? null, clockAt })
  }

  #entry(nodeNo: number): NodeEntry {
    return this.#nodes.get(nodeNo) ?? newNode
  }

  #isFree(nodeNo: number): boolean {
    const { until } = this.#entry(nodeNo)
    return until === null || until <= this.#now()
  }

  async takeNode(wanted: number | null, leaseMs: number): Promise<TakenNode | null> {
    assert(wanted === null || (wanted >= 0 && wanted <= NODE_MAX), 'a node number has ten bits')
    let nodeNo = wanted ?? 0
    while (wanted === null && nodeNo <= NODE_MAX && !this.#isFree(nodeNo)) nodeNo += 1
    if (nodeNo > NODE_MAX || !this.#isFree(nodeNo)) return null
    const { clockFloor } = this
    const before = this.#entry(nodeNo)
    const lease = { nodeNo, epoch: before.epoch + 1 }
    const storeNow = this.#now()
    const until = storeNow + leaseMs
    this.#nodes.set(nodeNo, { ...before, epoch: lease.epoch, until })
    return { lease, storeNow, until, lastCommandId: before.lastCommandId, clockFloor }
  }

  async renewNode({ nodeNo, epoch }: NodeLease, leaseMs: number): Promise<{ storeNow: number; until: number } | null> {
    const before = this.#entry(nodeNo)
    if (before.epoch !== epoch) return null
    const storeNow = this.#now()
    const until = storeNow + leaseMs
    this.#nodes.set(nodeNo, { ...before, until })
    return { storeNow, until }
  }

  async releaseNode({ nodeNo, epoch }: NodeLease): Promise<void> {
    const before = this.#entry(nodeNo)
    if (before.epoch === epoch) this.#nodes.set(nodeNo, { ...before, epoch: epoch + 1, until: null })
  }

  async liveNodes(): Promise<{ nodeNo: number; until: number }[]> {
    const live = [...this.#nodes].flatMap(([nodeNo, { until }]) =>
      until === null || this.#isFree(nodeNo) ? [] : [{ nodeNo, until }],
    )
    return live.sort((a, b) => a.nodeNo - b.nodeNo)
  }

  async sessions(deviceIds: readonly number[]): Promise<DeviceSession[]> {
    const wanted = new Set(deviceIds)
    const found = [...this.#holdings.devices()].filter(({ deviceId }) => wanted.has(deviceId))
    found.sort((a, b) => a.deviceId - b.deviceId)
    return found.map(({ deviceId, sessionNo, sessionNode }) => ({ deviceId, sessionNo, sessionNode }))
  }

  async dueFor(nodeNo: number, now: number, marginMs: number, limit: number): Promise<number[]> {
    const storeNow = this.#now()
    const mayTick = (holder: number | null): boolean => {
      if (holder === null || holder === nodeNo) return true
      const { until } = this.#entry(holder)
      return until === null || until + marginMs < storeNow
    }
    const due = [...this.#holdings.devices()].filter(
      ({ sessionNode, open }) => mayTick(sessionNode) && open.some(command => now >= lapsesAt(command)),
    )
    return due.slice(0, limit).map(({ deviceId }) => deviceId)
  }

  async wanting(nodeNo: number, limit: number, after = 0): Promise<number[]> {
    const wanting = [...this.#holdings.devices()].filter(device => {
      const { deviceId, sessionNode, disabled, open } = device
      const states = open.map(({ state }) => state)
      const isWaiting = states.includes(State.created) && !states.includes(State.sent)
      return deviceId > after && sessionNode === nodeNo && !disabled && isWaiting
    })
    const ids = wanting.map(({ deviceId }) => deviceId)
    return ids.sort((a, b) => a - b).slice(0, limit)
  }

  async settledOf(commandIds: readonly string[]): Promise<string[]> {
    return [...new Set(commandIds)].filter(id => this.#holdings.isFinal(id))
  }
}
