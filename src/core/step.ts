// One step of a device in the making: its queue as decided so far, and what is to be written, done and answered. What a rule changes it changes here.
// Not here: the rules (queue.ts).

import { type Command, isOpen, State } from './command.ts'
import { assert } from './errors.ts'
import { NODE_LEASE_MS, NODE_MARGIN_MS } from './limits.ts'
import type { Decision, Effect, KeptAnswer, Outcome, Presence, Queue, QueueEvent, Situation } from './queue.ts'

/** Every transition that exists. A step that tries another is a bug. */
export const transitions: Readonly<Record<State, readonly State[]>> = {
  [State.created]: [State.cancelled, State.expired, State.sent, State.failed],
  [State.cancelled]: [],
  [State.expired]: [],
  [State.sent]: [State.created, State.succeeded, State.failed, State.timedOut],
  [State.succeeded]: [],
  [State.failed]: [],
  [State.timedOut]: [],
}

/** Lives only inside decide. */
export class Step {
  readonly commands = new Map<string, Command>()
  readonly changed = new Map<string, Command>()
  readonly outcomes: Outcome[] = []
  readonly events: QueueEvent[] = []
  readonly kept: KeptAnswer[] = []
  readonly effects: Effect[] = []
  device: Queue
  presence: Presence | null

  constructor(
    queue: Queue,
    readonly situation: Situation,
  ) {
    this.device = queue
    this.presence = queue.disabled || queue.deleted ? null : situation.presence
    for (const command of queue.named) this.commands.set(command.id, command)
    for (const command of queue.open) this.commands.set(command.id, command)
  }

  /** The other node, alive, on which its newest session is; null where it is here, or away. */
  get elsewhere(): number | null {
    const { sessionNode, lastOnlineAt, disabled, deleted } = this.device
    const { now, node, others } = this.situation
    if (sessionNode === null || sessionNode === node || others === null || disabled || deleted) return null
    const isNew = lastOnlineAt !== null && lastOnlineAt > others.asOf - NODE_MARGIN_MS
    // A look that old, as after a pause, says of nobody that he is dead.
    const isOld = now - others.asOf > NODE_LEASE_MS
    return others.alive.has(sessionNode) || isNew || isOld ? sessionNode : null
  }

  /** Connected nowhere, as far as is known here. */
  get isAway(): boolean {
    return this.presence === null && this.elsewhere === null
  }

  inState(state: State): Command[] {
    return [...this.commands.values()].filter(command => command.state === state)
  }

  put(command: Command): void {
    this.commands.set(command.id, command)
    this.changed.set(command.id, command)
  }

  event(of: Omit<QueueEvent, 'seq' | 'at'>): void {
    const seq = this.device.eventSeq + 1
    this.device = { ...this.device, eventSeq: seq }
    this.events.push({ seq, at: this.situation.now, ...of })
  }

  move(
    command: Command,
    to: State,
    by: string,
    reason: string,
    patch: Partial<Command> = {},
    detail: string | null = null,
  ): Command {
    assert(transitions[command.state].includes(to), `no transition ${command.state} -> ${to}`)
    const settledAt = isOpen(to) ? null : this.situation.now
    const next: Command = { ...command, ...patch, state: to, settledAt }
    this.put(next)
    this.event({ commandId: command.id, from: command.state, to, by, reason, detail })
    if (!isOpen(to)) this.effects.push({ type: 'settled', command: next })
    return next
  }

  decision<A>(answer: A): Decision<A> {
    const all = [...this.commands.values()]
    const queue = {
      ...this.device,
      open: all.filter(command => isOpen(command.state)),
      named: all.filter(command => !isOpen(command.state)),
    }
    const { outcomes, events, kept, effects } = this
    return { queue, changed: [...this.changed.values()], outcomes, events, kept, effects, answer }
  }
}
