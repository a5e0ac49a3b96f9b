// How a batch gets into PostgreSQL: one transaction, in the same order as on SQLite; and what is done when the connection breaks under it.
// A commit rejects only where nothing of the batch was written. Where its COMMIT was not answered, it waits until it has read which of the two it is.
// Not here: the SQL (postgres-statements.ts), leases and how they are got (postgres-nodes.ts).

import { type Command, State } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import { checkBatch } from './checks.ts'
import { minuteOf, movesOf } from './derived.ts'
import { distinctKeys } from './kept-rows.ts'
import { CommitUnknown, LeaseLost, type NodeLease, StoreUnavailable } from './nodes.ts'
import { type Connections, InDoubt, Interrupted, type Session, together } from './postgres-connection.ts'
import {
  answerColumns,
  bodyColumns,
  bumpColumns,
  columns,
  eventColumns,
  insertColumns,
  updateColumns,
} from './postgres-rows.ts'
import type { Batch, DeviceChange } from './store.ts'

/** A lease that this store got, and the number of the last batch that was written under it. */
export interface HeldLease extends NodeLease {
  batchNo: number
}

interface Update {
  readonly deviceId: number
  readonly command: Command
  readonly from: State
}

export class Commits {
  readonly #connections: Connections
  readonly #held: ReadonlyMap<number, HeldLease>
  /** the commit before; they go one after the other, because each has the next number */
  #last: Promise<unknown> = Promise.resolve()
  #inDoubt = false

  /** held: the leases of this store by node, as they are at each commit */
  constructor(connections: Connections, held: ReadonlyMap<number, HeldLease>) {
    this.#connections = connections
    this.#held = held
  }

  /** Whether it is being read just now if a batch was written. Until that is known no other is begun. */
  get inDoubt(): boolean {
    return this.#inDoubt
  }

  /** As the port says. Rejects with StoreUnavailable, LeaseLost, or a bug in the batch, and nothing was written; or with CommitUnknown. */
  async commit(batch: Batch): Promise<number[]> {
    checkBatch(batch)
    const commit = this.#last.then(() => this.#commit(batch))
    this.#last = commit.then(
      () => undefined,
      () => undefined,
    )
    return commit
  }

  async #commit(batch: Batch): Promise<number[]> {
    const lease = this.#held.get(batch.node)
    if (lease === undefined || (batch.epoch !== undefined && batch.epoch !== lease.epoch))
      throw new LeaseLost(`the lease of node ${batch.node} is not held`)
    const batchNo = lease.batchNo + 1
    const attempts = this.#connections.attempts()
    for (;;) {
      try {
        const stale = await this.#connections.transaction('steps', on => write(on, batch, lease, batchNo))
        lease.batchNo = batchNo
        return stale
      } catch (error) {
        if (error instanceof InDoubt) {
          if (await this.#learn(lease, batchNo, error)) {
            lease.batchNo = batchNo
            return error.result as number[]
          }
          continue
        }
        if (!(error instanceof Interrupted)) throw error
        await attempts.next(error)
      }
    }
  }

  /**
   * Whether the batch of this number was written. The transaction that wrote it holds the node's row until it ends, and reading waits for the row; so
   * what is read stays true, however late a COMMIT that was on its way arrives. Goes on until it has been read.
   */
  async #learn(lease: NodeLease, batchNo: number, doubt: Error): Promise<boolean> {
    const attempts = this.#connections.attempts(Number.POSITIVE_INFINITY)
    this.#inDoubt = true
    try {
      for (;;) {
        try {
          return await this.#connections.once('steps', on => wasWritten(on, lease, batchNo))
        } catch (error) {
          if (!(error instanceof Interrupted)) throw error
          await attempts.next(error)
        }
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      throw new CommitUnknown('the store was closed before it was known whether the last batch was written', {
        cause: doubt,
      })
    } finally {
      this.#inDoubt = false
    }
  }
}

async function wasWritten(on: Session, { nodeNo, epoch }: NodeLease, batchNo: number): Promise<boolean> {
  const [row] = await on.all<{ epoch: number; batch_no: number }>('lastBatch', nodeNo)
  if (row?.epoch !== epoch)
    throw new CommitUnknown(
      `node ${nodeNo} was taken by another life before it was known whether the last batch was written`,
    )
  // Batches come one after the other. A failover to a standby that had not got everything takes back some that were acknowledged.
  if (row.batch_no !== batchNo && row.batch_no !== batchNo - 1)
    throw new CommitUnknown(
      `the database is not the one that node ${nodeNo} wrote to: it has gone back to an earlier state`,
    )
  return row.batch_no === batchNo
}

/** The batch as one transaction, but for its begin and commit: at most three round trips. Returns the devices left out. */
async function write(on: Session, batch: Batch, lease: NodeLease, batchNo: number): Promise<number[]> {
  const ids = batch.changes.map(({ queue }) => queue.deviceId)
  const deleted = batch.changes.filter(({ queue }) => queue.deleted).map(({ queue }) => queue.deviceId)
  if (deleted.length > 0) await on.run('lockDevices', ids, deleted)
  const bumped = await bump(on, batch.changes)
  const fresh = new Map(bumped.map(row => [row.id, row]))
  const changes = batch.changes.filter(({ queue }) => fresh.has(queue.deviceId))
  const gone = deleted.filter(id => fresh.has(id))
  const { node, lastCommandId, now } = batch
  const [, , , touched] = await together([
    writeChanges(on, changes),
    count(on, changes, fresh, batch),
    gone.length > 0 ? remove(on, gone, now) : Promise.resolve(),
    on.run('touchNode', node, lease.epoch, batchNo, lastCommandId, now, countsOf(changes)),
  ])
  if (touched !== 1) throw new LeaseLost(`node ${node} was taken by another life, or given back`)
  return ids.filter(id => !fresh.has(id))
}

interface Bumped {
  readonly id: number
  readonly org_id: string
  readonly product_key: string
}

/** Raises the version of each device that is still as it was loaded, and returns those. */
async function bump(on: Session, changes: readonly DeviceChange[]): Promise<Bumped[]> {
  return changes.length === 0 ? [] : on.all<Bumped>('bumpDevice', ...columns(changes.map(bumpColumns), 13))
}

/** Adds to the tallies of the minute. */
async function count(
  on: Session,
  changes: readonly DeviceChange[],
  devices: ReadonlyMap<number, Bumped>,
  { node, now }: Batch,
): Promise<void> {
  const added = changes.flatMap(({ queue, events }) => {
    const device = devices.get(queue.deviceId)
    return device === undefined ? [] : { orgId: device.org_id, productKey: device.product_key, events }
  })
  const rows = movesOf(added).map(({ orgId, productKey, from, to, n }) => [orgId, productKey, from, to, n])
  if (rows.length > 0) await on.run('count', minuteOf(now), node, ...columns(rows, 5))
}

/** In this order over the whole batch: a device's next command may only become sent when the one before has left that state. */
async function writeChanges(on: Session, changes: readonly DeviceChange[]): Promise<void> {
  const updates = changes.flatMap(({ queue, updates }) =>
    updates.map(({ command, from }): Update => ({ deviceId: queue.deviceId, command, from })),
  )
  const inserts = changes.flatMap(({ queue, inserts }) => inserts.map(each => ({ deviceId: queue.deviceId, ...each })))
  const outcomes = changes.flatMap(({ outcomes }) => outcomes)
  const kept = changes.flatMap(({ queue, kept }) =>
    distinctKeys(kept ?? []).map(answer => answerColumns(queue.deviceId, answer)),
  )
  const events = changes.flatMap(({ queue, events }) => events.map(event => eventColumns(queue.deviceId, event)))
  await together([
    updateCommands(
      on,
      updates.filter(({ from }) => from === State.sent),
    ),
    updateCommands(
      on,
      updates.filter(({ from }) => from !== State.sent),
    ),
    insert(
      on,
      'insertCommand',
      columns(
        inserts.map(({ deviceId, command }) => insertColumns(deviceId, command)),
        16,
      ),
    ),
    insert(
      on,
      'insertBody',
      columns(
        inserts.map(({ command, body }) => bodyColumns(command.id, body)),
        6,
      ),
    ),
    setOutcomes(on, outcomes),
    insert(on, 'insertEvent', columns(events, 9)),
    insert(on, 'keepAnswer', columns(kept, 6)),
  ])
}

async function updateCommands(on: Session, updates: readonly Update[]): Promise<void> {
  if (updates.length === 0) return
  const rows = updates.map(({ deviceId, command, from }) => updateColumns(deviceId, command, from))
  const changed = await on.all<{ id: string }>('updateCommand', ...columns(rows, 10))
  if (changed.length === updates.length) return
  // A row is changed once, however often it is listed: so one that is listed again was not in its state any more.
  const left = new Set(changed.map(({ id }) => id))
  const missed = updates.find(({ command }) => !left.delete(command.id))
  assert(missed === undefined, `command ${missed?.command.id} is no longer in state ${missed?.from}`)
}

async function setOutcomes(on: Session, outcomes: DeviceChange['outcomes']): Promise<void> {
  if (outcomes.length === 0) return
  // Of two for one command the later one counts, and a statement writes a row but once.
  const last = [...new Map(outcomes.map(each => [each.commandId, each])).values()]
  const rows = last.map(each => [each.outputJson, each.deviceCode, each.deviceMessage, each.commandId])
  const changed = await on.all<{ id: string }>('setOutcome', ...columns(rows, 4))
  const left = new Set(changed.map(({ id }) => id))
  const missed = last.find(({ commandId }) => !left.has(commandId))
  assert(missed === undefined, `command ${missed?.commandId} has a body`)
}

async function insert(
  on: Session,
  name: 'insertCommand' | 'insertBody' | 'insertEvent' | 'keepAnswer',
  columns: unknown[][],
): Promise<void> {
  const rows = columns[0]?.length ?? 0
  if (rows === 0) return
  const inserted = await on.run(name, ...columns)
  assert(inserted === rows, `${name} inserts every row`)
}

/** What it reported goes with a device, and who it was is kept. Those behind it are free. */
async function remove(on: Session, deviceIds: readonly number[], now: number): Promise<void> {
  const [, , deleted] = await together([
    on.run('nameDeleted', now, deviceIds),
    on.run('freeSubDevices', deviceIds),
    on.run('deleteDevice', deviceIds),
  ])
  assert(deleted === deviceIds.length, 'a device that is deleted was there')
}

/** By how much the commands in each state are more. */
function countsOf(changes: readonly DeviceChange[]): number[] {
  const counts = Object.values(State).map(() => 0)
  const count = (state: State, by: number): void => {
    counts[state - 1] = (counts[state - 1] ?? 0) + by
  }
  for (const { inserts, updates } of changes) {
    for (const { command } of inserts) count(command.state, 1)
    for (const { command, from } of updates) {
      count(from, -1)
      count(command.state, 1)
    }
  }
  return counts
}
