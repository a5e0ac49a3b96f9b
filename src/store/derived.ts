// What a commit writes besides what its changes say, because it follows from them: what waits on a device, and how many commands went from which state to which.
// Pure. Not here: where the stores keep it.

import { State } from '../core/command.ts'
import type { QueueEvent } from '../core/queue.ts'
import type { DeviceChange } from './store.ts'

/** How a device's queue stands once the change is written. */
export interface Standing {
  /** created commands */
  readonly waiting: number
  /** when the oldest of them was created; null: none */
  readonly oldestWaitingAt: number | null
  /** it has a session on record, is not disabled, and has something created and nothing sent */
  readonly isWanting: boolean
}

export function standingOf({ queue, inserts, updates }: DeviceChange): Standing {
  const open = new Map(queue.open.map(command => [command.id, command]))
  for (const { command } of inserts) open.set(command.id, command)
  for (const { command } of updates) open.set(command.id, command)
  let waiting = 0
  let oldestWaitingAt: number | null = null
  let isSending = false
  for (const { state, createdAt } of open.values()) {
    if (state === State.sent) isSending = true
    if (state !== State.created) continue
    waiting += 1
    oldestWaitingAt = Math.min(oldestWaitingAt ?? createdAt, createdAt)
  }
  const isThere = queue.sessionNode !== null && !queue.disabled
  return { waiting, oldestWaitingAt, isWanting: isThere && waiting > 0 && !isSending }
}

/** A command went from one state to another, or was accepted. (What comes after it is final is an event of it too, and moves it nowhere.) */
export const isTransition = (event: Pick<QueueEvent, 'commandId' | 'from' | 'to'>): boolean =>
  event.commandId !== null && event.from !== event.to

/** Tallies are kept by the minute. */
export const TALLY_MS = 60_000
export const minuteOf = (now: number): number => Math.floor(now / TALLY_MS) * TALLY_MS

/** How often commands of a product's devices went from a state to another: `from` 0 where they were accepted. */
export interface Moves {
  readonly orgId: string
  readonly productKey: string
  readonly from: State | 0
  readonly to: State
  readonly n: number
}

/** What is added to the events of a device. */
export interface Added {
  readonly orgId: string
  readonly productKey: string
  readonly events: readonly QueueEvent[]
}

/** Each pair of states of a product once, in the order in which they first occur. */
export function movesOf(added: readonly Added[]): Moves[] {
  const moves = new Map<string, Moves>()
  for (const { orgId, productKey, events } of added)
    for (const event of events) {
      if (!isTransition(event) || event.to === null) continue
      const { to } = event
      const from = event.from ?? 0
      const key = `${from} ${to} ${productKey}`
      moves.set(key, { orgId, productKey, from, to, n: 1 + (moves.get(key)?.n ?? 0) })
    }
  return [...moves.values()]
}
