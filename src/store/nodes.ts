// The port for nodes that share a store: numbers on lease, who holds which device, work that a node has to take up, and how such a store fails.
// Not here: what nodes tell each other, and when they look (that is up to them). Stores with one process implement it too: its leases are good by nature.
// Leases go by the clock of the store, which is every node's alike; all other instants come in as arguments.

/** One life of a node: the epoch grows with each that takes the number. */
export interface NodeLease {
  readonly nodeNo: number
  readonly epoch: number
}

/** A number taken. Instants are epoch ms by the store's clock. */
export interface TakenNode {
  readonly lease: NodeLease
  readonly storeNow: number
  /** the lease is good before this instant */
  readonly until: number
  /** high-water mark of the ids that this number ever gave */
  readonly lastCommandId: string | null
  /** the latest instant of a commit of any node; 0 on a new store */
  readonly clockFloor: number
}

export interface DeviceSession {
  readonly deviceId: number
  readonly sessionNo: number
  readonly sessionNode: number | null
}

export interface Nodes {
  /**
   * Takes the number asked for, or with null the lowest free one, for a new life of a process: its epoch grows, and what is committed through this
   * store from now on is that life's. Null where a live node holds it, or none of 0..NODE_MAX is free. A number is free once its lease has lapsed.
   */
  takeNode(wanted: number | null, leaseMs: number): Promise<TakenNode | null>
  /**
   * Extends it from the store's now; also one that has lapsed and that nobody took. Null: it was lost, another life has the number or it was given
   * back, and nothing of this one may be written any more.
   */
  renewNode(lease: NodeLease, leaseMs: number): Promise<{ readonly storeNow: number; readonly until: number } | null>
  /** Ends it: the number and its devices are free at once, and nothing of this life may be written any more. Of a lease that was lost nothing happens. */
  releaseNode(lease: NodeLease): Promise<void>
  /** Nodes whose lease is good at the store's now, by their numbers. */
  liveNodes(): Promise<{ readonly nodeNo: number; readonly until: number }[]>
  /**
   * The newest session of each device given, and the node that it is on (null before the first and after its end), by their numbers; devices that do not exist are
   * absent. For a node that looks whether its links are still the newest.
   */
  sessions(deviceIds: readonly number[]): Promise<DeviceSession[]>
  /**
   * Devices with something lapsed at `now` that this node must tick, at most `limit`: those whose session is on it, as far as is on record, those that
   * have none, and those of a node whose lease was given back or lapsed more than `marginMs` ago by the store's clock.
   */
  dueFor(nodeNo: number, now: number, marginMs: number, limit: number): Promise<number[]>
  /**
   * Devices whose session on record is on this node, and that are not disabled and have a created command and nothing sent: what a lost wake-up
   * left. By their numbers, from above `after` on, at most `limit`: who holds more asks again from the last. A device that is not ready yet, or whose
   * connection ended unseen, is among them for as long as that lasts.
   */
  wanting(nodeNo: number, limit: number, after?: number): Promise<number[]>
  /** Those of the commands that are final by now: what a lost answer left. */
  settledOf(commandIds: readonly string[]): Promise<string[]>
}

/**
 * The store cannot be reached, or did not answer in time, and went on trying for as long as it may. Of a commit: nothing of the batch was written. Of
 * any other write it is not known, and it may be repeated. Whoever asked should come again; other inputs will fare no better at this moment.
 */
export class StoreUnavailable extends Error {
  override readonly name: string = 'StoreUnavailable'
}

/**
 * The same of a write whose COMMIT was on its way: it may be in the store, and it was not learned. Whoever asked must be told so; done again, it may be done
 * twice.
 */
export class WriteUnknown extends StoreUnavailable {
  override readonly name = 'WriteUnknown'
}

/**
 * A batch was refused whole, because the node's lease is not this life's any more: nothing of it was written, and nothing of this life will be.
 * Decided again, it would be refused again.
 */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}

/**
 * The answer to a commit was lost, and it cannot be learned any more whether the batch was written, because the store was closed meanwhile or another
 * life took the node's number. Neither may be told to anybody; the batch must not be tried again.
 */
export class CommitUnknown extends Error {
  override readonly name = 'CommitUnknown'
}
