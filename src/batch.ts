// One device within one batch of the engine: what its inputs have been decided to change, and what of that the store is told. Pure.
// Not here: which inputs go together, and what follows from a commit (engine.ts).

import type { Command, CommandBody, State } from './core/command.ts'
import { assert, type Refusal } from './core/errors.ts'
import type { Answers, Effect, Outcome, Queue, QueueEvent } from './core/queue.ts'
import type { DeviceChange } from './store/store.ts'

/** One device within one batch: its queue as decided so far, and what is to be written. */
export interface Work<Entry> {
  readonly deviceId: number
  readonly before: Queue
  queue: Queue
  readonly loaded: ReadonlyMap<string, State>
  readonly rows: Map<string, Command>
  readonly bodies: Map<string, CommandBody>
  readonly outcomes: Outcome[]
  readonly events: QueueEvent[]
  readonly effects: Effect[]
  readonly done: { readonly entry: Entry; readonly answer: Answers[keyof Answers] | Refusal }[]
}

export function newWork<Entry>(queue: Queue): Work<Entry> {
  const loaded = new Map([...queue.named, ...queue.open].map(command => [command.id, command.state]))
  const { deviceId } = queue
  const work = { deviceId, before: queue, queue, loaded, rows: new Map(), bodies: new Map() }
  return { ...work, outcomes: [], events: [], effects: [], done: [] }
}

/** A session's comings and goings may leave no event; they count all the same. */
export function isChanged({ before, queue, rows, events }: Work<unknown>): boolean {
  if (rows.size > 0 || events.length > 0) return true
  return before.sessionNo !== queue.sessionNo || before.lastOfflineAt !== queue.lastOfflineAt
}

/**
 * A connection ends before anything else is done: what an earlier input of the same batch was to send on it is then known not to have left, instead of
 * leaving for a device that is on record as disabled or deleted.
 */
export const evictionsFirst = (effects: readonly Effect[]): Effect[] => [
  ...effects.filter(({ type }) => type === 'evict'),
  ...effects.filter(({ type }) => type !== 'evict'),
]

/** Several steps of one batch may touch a row: what counts for the store is where it was and where it ends. */
export function toChange(work: Work<unknown>): DeviceChange {
  const inserts: { command: Command; body: CommandBody }[] = []
  const updates: { command: Command; from: State }[] = []
  for (const command of work.rows.values()) {
    const body = work.bodies.get(command.id)
    const from = work.loaded.get(command.id)
    if (body) inserts.push({ command, body })
    else {
      assert(from !== undefined, 'a row that is written was loaded or made in this batch')
      updates.push({ command, from })
    }
  }
  return { queue: work.queue, inserts, updates, outcomes: work.outcomes, events: work.events }
}
