// One device within one batch of the engine: what its inputs name, what they have been decided to change, and what of that the store and other nodes
// are told. Pure, but for one read. Not here: which inputs go together, and what follows from a commit (engine.ts).

import type { SettledCommand, Tidings } from './cluster/signal.ts'
import { type Command, type CommandBody, idNode, type Kind, type State } from './core/command.ts'
import { assert, type Refusal } from './core/errors.ts'
import type {
  Answers,
  Decision,
  Effect,
  Enqueue,
  Input,
  KeptAnswer,
  Others,
  Outcome,
  Presence,
  Queue,
  QueueEvent,
} from './core/queue.ts'
import type { CommandStore, DeviceChange, LoadKey } from './store/store.ts'

/** A new command, already validated against the model. */
export interface NewCommand {
  readonly kind: Kind
  readonly identifier: string
  readonly timeoutS: number
  readonly pendingTtlS: number
  readonly by: string
  readonly nameJson: string
  readonly inputJson: string
  /** absent: each call is one of its own */
  readonly repeatable?: NonNullable<Enqueue['repeatable']>
}

/** It has no id yet: it gets that when it is decided. */
export interface NewInput {
  readonly type: 'new'
  readonly command: NewCommand
  readonly wait: boolean
}

/** An input, and the device that it is for. */
interface Addressed {
  readonly deviceId: number
  readonly input: Input | NewInput
}

/** What somebody waits for who can ask again, or a device that can log in again. */
const asked: ReadonlySet<string> = new Set(['new', 'cancel', 'disable', 'enable', 'delete', 'connected'])
export const isAsked = ({ type }: { readonly type: string }): boolean => asked.has(type)
/** What a device, or its connection, says once. That it is ready is seen by the next look as well, and a device may be waiting for the answer. */
export const isSaid = ({ type }: { readonly type: string }): boolean =>
  type !== 'tick' && type !== 'ready' && !asked.has(type)

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
  readonly kept: KeptAnswer[]
  readonly effects: Effect[]
  readonly done: { readonly entry: Entry; readonly answer: Answers[keyof Answers] | Refusal }[]
}

export function newWork<Entry>(queue: Queue): Work<Entry> {
  const loaded = new Map([...queue.named, ...queue.open].map(command => [command.id, command.state]))
  const { deviceId } = queue
  const work = { deviceId, before: queue, queue, loaded, rows: new Map(), bodies: new Map() }
  return { ...work, outcomes: [], events: [], kept: [], effects: [], done: [] }
}

/** What has to be loaded for these inputs: their devices, the commands that they name, and the keys of those that may be repeats. */
export function namedBy(entries: readonly Addressed[]): LoadKey[] {
  const named = new Map<
    number,
    { readonly commandIds: string[]; readonly keys: NonNullable<LoadKey['keys']>[number][] }
  >()
  for (const { deviceId, input } of entries) {
    const of = named.get(deviceId) ?? { commandIds: [], keys: [] }
    named.set(deviceId, of)
    if ('commandId' in input && input.commandId !== null) of.commandIds.push(input.commandId)
    if (input.type !== 'new' || input.command.repeatable === undefined) continue
    const { application, key } = input.command.repeatable
    of.keys.push({ application, key })
  }
  return [...named].map(([deviceId, of]) => ({ deviceId, ...of }))
}

export function enqueueOf(command: NewCommand, id: string): Enqueue {
  const { kind, identifier, timeoutS, pendingTtlS, by, repeatable } = command
  const once = repeatable === undefined ? {} : { repeatable }
  return { type: 'enqueue', id, kind, identifier, timeoutS, pendingTtlS, by, ...once }
}

/**
 * The device's connection as this batch leaves it so far. `linked`: as its link has it, which is told only after the commit that a session has begun in
 * the batch, or that an earlier input found the connection suspect, or ended it.
 */
export function presenceIn({ queue, effects, done }: Work<unknown>, linked: Presence | null): Presence | null {
  // A session that has just begun is not away: it may be one that comes over from another node.
  const begins = done.some(({ answer }) => answer.ok && 'session' in answer && answer.session === queue.sessionNo)
  const begun = begins ? { session: queue.sessionNo, ready: false, silent: false } : null
  const found = linked ?? begun
  const isSuspect = effects.some(effect => effect.type === 'suspect' && effect.session === linked?.session)
  const isEvicted = effects.some(effect => effect.type === 'evict' && found && found.session <= effect.session)
  if (isEvicted) return null
  return found && isSuspect ? { ...found, ready: false } : found
}

/** Notes what one input has been decided to change. */
export function add<Entry extends Addressed>(
  work: Work<Entry>,
  entry: Entry,
  { queue, changed, outcomes, events, kept, effects, answer }: Decision<Answers[Input['type']]>,
): void {
  work.queue = queue
  for (const command of changed) work.rows.set(command.id, command)
  work.outcomes.push(...outcomes)
  work.events.push(...events)
  work.kept.push(...kept)
  work.effects.push(...effects)
  work.done.push({ entry, answer })
  if (entry.input.type !== 'new' || !answer.ok || !('command' in answer) || 'repeated' in answer) return
  work.bodies.set(answer.command.id, bodyOf(entry.input.command))
}

/** A session's comings and goings may leave no event; they count all the same. */
export function isChanged({ before, queue, rows, events }: Work<unknown>): boolean {
  if (rows.size > 0 || events.length > 0) return true
  const { sessionNo, sessionNode, lastOfflineAt } = before
  return sessionNo !== queue.sessionNo || sessionNode !== queue.sessionNode || lastOfflineAt !== queue.lastOfflineAt
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
  const { queue, outcomes, events } = work
  // Nothing is kept of a device that is deleted: its keys go with it.
  const kept = queue.deleted ? [] : work.kept
  return { queue, inserts, updates, outcomes, events, kept }
}

/** What other nodes are told of a batch that is committed: who has something to send, and whose callers wait for what was settled. */
export function tidingsOf(works: readonly Work<unknown>[], self: number, others: Others | null): Map<number, Tidings> {
  const told = new Map<number, { readonly look: Set<number>; readonly settled: SettledCommand[] }>()
  const to = (node: number) => {
    const tidings = told.get(node) ?? { look: new Set(), settled: [] }
    told.set(node, tidings)
    return tidings
  }
  for (const { deviceId, effects } of others === null ? [] : works) {
    for (const effect of effects) {
      if (effect.type === 'wake') to(effect.node).look.add(deviceId)
      if (effect.type !== 'settled' || effect.command.pendingTtlS > 0) continue
      // Where it was accepted, its caller waits, if anybody does.
      const node = idNode(effect.command.id)
      if (node !== self) to(node).settled.push({ deviceId, commandId: effect.command.id })
    }
  }
  return new Map([...told].map(([node, { look, settled }]) => [node, { look: [...look], settled }]))
}

/** What the publishes of a batch carry, by commandId. Read before the commit: a read that fails then leaves nothing half done. */
export async function inputsToPublish(
  works: readonly Work<unknown>[],
  store: Pick<CommandStore, 'bodies'>,
): Promise<Map<string, string>> {
  const inputs = new Map<string, string>()
  const missing: string[] = []
  for (const work of works) {
    for (const effect of work.effects) {
      if (effect.type !== 'publish') continue
      const body = work.bodies.get(effect.commandId)
      if (body) inputs.set(effect.commandId, body.inputJson)
      else missing.push(effect.commandId)
    }
  }
  if (missing.length === 0) return inputs
  const bodies = await store.bodies(missing)
  for (const id of missing) {
    const body = bodies.get(id)
    assert(body, `command ${id} has a body`)
    inputs.set(id, body.inputJson)
  }
  return inputs
}

export const bodyOf = ({ nameJson, inputJson }: Pick<CommandBody, 'nameJson' | 'inputJson'>): CommandBody => ({
  nameJson,
  inputJson,
  outputJson: null,
  deviceCode: null,
  deviceMessage: null,
})
