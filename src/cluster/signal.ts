// The port between nodes that share a store: what the engine asks about the others, and what one node tells another.
// Nothing here is relied on: what is told and lost, told twice, late or in another order costs time only, because every node looks for itself as well
// (upkeep.ts). Not here: leases and the heartbeat (membership.ts); what carries the words (notify.ts, nats.ts).

import type { Others } from '../core/queue.ts'

/** What one node has to tell another after a commit. */
export interface Tidings {
  /** Devices that are that node's, or were: there is something to send, or the session that it has is not the newest any more. */
  readonly look: readonly number[]
  /** Commands that are final now, whose callers may be waiting there. */
  readonly settled: readonly SettledCommand[]
  /** What gateways that are connected there are to be told. These alone are found by no look: a gateway that is away is not told either. */
  readonly notices?: readonly GatewayNotice[]
}

/** A device of its topology was enabled, disabled or deleted. */
export interface GatewayNotice {
  readonly gatewayId: number
  readonly notice: 'enable' | 'disable' | 'delete'
  readonly productKey: string
  readonly deviceKey: string
}

export interface SettledCommand {
  readonly deviceId: number
  readonly commandId: string
}

/** What carries tidings from node to node. */
export interface Signals {
  /** Tells the node, soon. Never waits and never throws: what cannot be told is dropped, counted and logged. */
  tell(node: number, tidings: Tidings): void
  /**
   * Resolves when whatever is told to this node from now on is heard; at once where there is no connection. Called once; it listens again by itself
   * whenever there is one.
   */
  listen(node: number, heard: (tidings: Tidings) => void): Promise<void>
  /** Tells what is left to tell, if that is soon done, and ends. */
  close(): Promise<void>
}

/** The other nodes, as the engine sees them. All calls are synchronous and must not throw. */
export interface Cluster {
  /** This life of this node: what it decides is refused at commit once the number has gone over to another. null: the store is this process's alone. */
  readonly epoch: number | null
  /** The others, as far as is known here; null where the store is this process's alone. */
  others(): Others | null
  /** This node's own lease is good, with the margin that keeps it apart from whoever takes over: it may start a PUBLISH now. */
  mayPublish(): boolean
  tell(node: number, tidings: Tidings): void
  /** A commit was refused because the number has gone over to another life: this one must end. */
  leaseLost(): void
}

/** Where one process has the store there are no others, and there is no lease to lose. */
export const alone: Cluster = {
  epoch: null,
  others: () => null,
  mayPublish: () => true,
  tell: () => undefined,
  leaseLost: () => undefined,
}
