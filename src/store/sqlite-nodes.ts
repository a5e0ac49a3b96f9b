// Numbers of nodes, and what nodes ask about their devices, in the SQLite store. One process has the file, by the operating system's lock, so nobody can
// lose a lease to another process here; epochs are counted all the same. A commit is not checked against them.
// Not here: the SQL (sqlite-statements.ts).

import { assert } from '../core/errors.ts'
import { NODE_MAX } from '../core/limits.ts'
import { idNumber } from './condition.ts'
import { type DeviceSession, LeaseLost, type NodeLease, type Nodes, type TakenNode } from './nodes.ts'
import type { Statements } from './sqlite-rows.ts'

interface NodeColumns {
  readonly node_no: number
  readonly epoch: number
  readonly last_command_id: string | null
  readonly lease_until: number | null
}

export class SqliteNodes implements Nodes {
  readonly #sql: Statements
  readonly #now: () => number

  /** now: the store's clock, epoch ms */
  constructor(sql: Statements, now: () => number) {
    this.#sql = sql
    this.#now = now
  }

  async takeNode(wanted: number | null, leaseMs: number): Promise<TakenNode | null> {
    assert(wanted === null || (wanted >= 0 && wanted <= NODE_MAX), 'a node number has ten bits')
    const storeNow = this.#now()
    const rows: NodeColumns[] = this.#sql.liveNodes.all(NODE_MAX, storeNow)
    const live = new Set(rows.map(row => row.node_no))
    let nodeNo = wanted ?? 0
    while (wanted === null && live.has(nodeNo)) nodeNo += 1
    if (nodeNo > NODE_MAX || live.has(nodeNo)) return null
    const until = storeNow + leaseMs
    this.#sql.takeNode.run(nodeNo, until)
    const row: NodeColumns = this.#sql.node.get(nodeNo)
    const floor: { at: number } = this.#sql.clockFloor.get()
    const lease = { nodeNo, epoch: row.epoch }
    return { lease, storeNow, until, lastCommandId: row.last_command_id, clockFloor: floor.at }
  }

  async renewNode({ nodeNo, epoch }: NodeLease, leaseMs: number): Promise<{ storeNow: number; until: number } | null> {
    const storeNow = this.#now()
    const until = storeNow + leaseMs
    return this.#sql.renewNode.run(until, nodeNo, epoch).changes === 1 ? { storeNow, until } : null
  }

  async releaseNode({ nodeNo, epoch }: NodeLease): Promise<void> {
    this.#sql.releaseNode.run(nodeNo, epoch)
  }

  async liveNodes(): Promise<{ nodeNo: number; until: number }[]> {
    const rows: { node_no: number; lease_until: number }[] = this.#sql.liveNodes.all(NODE_MAX, this.#now())
    return rows.map(row => ({ nodeNo: row.node_no, until: row.lease_until }))
  }

  async endSessions(nodeNo: number, epoch?: number): Promise<number> {
    const row: NodeColumns | undefined = this.#sql.node.get(nodeNo)
    if (epoch !== undefined && row?.epoch !== epoch)
      throw new LeaseLost(`node ${nodeNo} was taken by another life, or given back`)
    return this.#sql.endSessions.run(nodeNo, nodeNo).changes
  }

  async sessions(deviceIds: readonly number[]): Promise<DeviceSession[]> {
    return [...new Set(deviceIds)]
      .sort((a, b) => a - b)
      .flatMap(deviceId => {
        const row: { session_no: number; session_node: number | null } | undefined = this.#sql.queue.get(deviceId)
        return row === undefined ? [] : [{ deviceId, sessionNo: row.session_no, sessionNode: row.session_node }]
      })
  }

  async dueFor(nodeNo: number, now: number, marginMs: number, limit: number): Promise<number[]> {
    const live = this.#now() - marginMs
    const sent: { device_id: number }[] = this.#sql.dueSentFor.all(now, nodeNo, live, limit)
    const created: { device_id: number }[] = this.#sql.dueCreatedFor.all(now, nodeNo, live, limit)
    const devices = new Set([...sent, ...created].map(row => row.device_id))
    return [...devices].slice(0, limit)
  }

  async wanting(nodeNo: number, limit: number, after = 0): Promise<number[]> {
    const rows: { device_id: number }[] = this.#sql.wanting.all(nodeNo, after)
    return rows
      .map(row => row.device_id)
      .sort((a, b) => a - b)
      .slice(0, limit)
  }

  async settledOf(commandIds: readonly string[]): Promise<string[]> {
    return [...new Set(commandIds)].filter(id => this.#sql.isFinal.get(idNumber(id)) !== undefined)
  }
}
