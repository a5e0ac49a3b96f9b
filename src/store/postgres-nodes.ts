// Numbers of nodes on lease, and the questions that a node asks about its devices, on PostgreSQL. Leases go by the clock of the database.
// Not here: what a commit does with a lease (postgres-commit.ts).

import { randomUUID } from 'node:crypto'
import { assert } from '../core/errors.ts'
import { NODE_MAX, POSTGRES_SESSIONS_AT_ONCE } from '../core/limits.ts'
import { idNumber } from './condition.ts'
import { type DeviceSession, LeaseLost, type NodeLease, type Nodes, type TakenNode } from './nodes.ts'
import type { HeldLease } from './postgres-commit.ts'
import { type Connections, type Session, together } from './postgres-connection.ts'

interface NodeColumns {
  readonly epoch: number
  readonly batch_no: number
  readonly last_command_id: string | null
  readonly lease_until: number
  readonly store_now: number
}

export class PostgresNodes implements Nodes {
  readonly #connections: Connections
  /** the leases that this store took, by node; what is committed goes by them */
  readonly held = new Map<number, HeldLease>()

  constructor(connections: Connections) {
    this.#connections = connections
  }

  async takeNode(wanted: number | null, leaseMs: number): Promise<TakenNode | null> {
    assert(wanted === null || (wanted >= 0 && wanted <= NODE_MAX), 'a node number has ten bits')
    // By this it is known as ours where the first attempt was not answered.
    const holder = randomUUID()
    const taken = await this.#connections.write('lease', on => take(on, wanted, holder, leaseMs))
    if (taken === null) return null
    const { batchNo, ...node } = taken
    this.held.set(node.lease.nodeNo, { ...node.lease, batchNo })
    return node
  }

  async renewNode({ nodeNo, epoch }: NodeLease, leaseMs: number): Promise<{ storeNow: number; until: number } | null> {
    const [row] = await this.#connections.again('lease', on =>
      on.all<Pick<NodeColumns, 'lease_until' | 'store_now'>>('renewNode', nodeNo, epoch, leaseMs),
    )
    return row === undefined ? null : { storeNow: row.store_now, until: row.lease_until }
  }

  async releaseNode({ nodeNo, epoch }: NodeLease): Promise<void> {
    await this.#connections.again('lease', on => on.run('releaseNode', nodeNo, epoch))
    if (this.held.get(nodeNo)?.epoch === epoch) this.held.delete(nodeNo)
  }

  async liveNodes(): Promise<{ nodeNo: number; until: number }[]> {
    // With the lease, whose next beat comes after it.
    const rows = await this.#connections.again('lease', on =>
      on.all<{ node_no: number; lease_until: number }>('liveNodes'),
    )
    return rows.map(row => ({ nodeNo: row.node_no, until: row.lease_until }))
  }

  /** As the port says, for a number whose lease is held here; in pieces, so that nobody waits long for the row of the node. */
  async endSessions(nodeNo: number, of?: number): Promise<number> {
    const epoch = this.held.get(nodeNo)?.epoch
    if (epoch === undefined || (of !== undefined && of !== epoch))
      throw new LeaseLost(`the lease of node ${nodeNo} is not held`)
    let [ended, last] = [0, 0]
    for (;;) {
      const rows = await this.#connections.again('others', on =>
        on.all<{ id: number }>('endSessions', nodeNo, epoch, POSTGRES_SESSIONS_AT_ONCE, last),
      )
      ended += rows.length
      if (rows.length < POSTGRES_SESSIONS_AT_ONCE) break
      last = Math.max(...rows.map(({ id }) => id))
    }
    const [row] = await this.#connections.again('others', on => on.all<Pick<NodeColumns, 'epoch'>>('node', nodeNo))
    if (row?.epoch !== epoch) throw new LeaseLost(`node ${nodeNo} was taken by another life, or given back`)
    return ended
  }

  async sessions(deviceIds: readonly number[]): Promise<DeviceSession[]> {
    const rows = await this.#connections.again('steps', on =>
      on.all<{ id: number; session_no: number; session_node: number | null }>('sessions', deviceIds),
    )
    return rows.map(row => ({ deviceId: row.id, sessionNo: row.session_no, sessionNode: row.session_node }))
  }

  async dueFor(nodeNo: number, now: number, marginMs: number, limit: number): Promise<number[]> {
    const rows = await this.#connections.again('steps', on =>
      on.all<{ device_id: number }>('dueFor', nodeNo, now, marginMs, limit),
    )
    return rows.map(row => row.device_id)
  }

  async wanting(nodeNo: number, limit: number, after = 0): Promise<number[]> {
    const rows = await this.#connections.again('steps', on => on.all<{ id: number }>('wanting', nodeNo, limit, after))
    return rows.map(row => row.id)
  }

  async settledOf(commandIds: readonly string[]): Promise<string[]> {
    const ids = commandIds.filter(id => idNumber(id) !== null)
    const rows = await this.#connections.again('steps', on => on.all<{ id: string }>('settledOf', ids))
    return rows.map(row => row.id)
  }
}

/** Taking a number once more with the same holder gives the same life. */
async function take(
  on: Session,
  wanted: number | null,
  holder: string,
  leaseMs: number,
): Promise<(TakenNode & { readonly batchNo: number }) | null> {
  await on.run('nodeLock')
  const nodeNo = wanted ?? (await on.all<{ node_no: number }>('freeNode', holder, NODE_MAX))[0]?.node_no
  if (nodeNo === undefined) return null
  const [[row], [floor]] = await together([
    on.all<NodeColumns>('takeNode', nodeNo, holder, leaseMs),
    on.all<{ at: number }>('clockFloor'),
  ])
  if (row === undefined) return null
  return {
    lease: { nodeNo, epoch: row.epoch },
    storeNow: row.store_now,
    until: row.lease_until,
    lastCommandId: row.last_command_id,
    clockFloor: floor?.at ?? 0,
    batchNo: row.batch_no,
  }
}
