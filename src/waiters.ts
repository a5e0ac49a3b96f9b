// Callers who wait for instant commands, by commandId: who may wait, who is answered with what, and who is overdue.
// Not here: when a command is final (core/queue.ts), and who finds that out (engine.ts, upkeep.ts).

import type { SettledCommand } from './cluster/signal.ts'
import { type Command, isOpen } from './core/command.ts'
import { NODE_MARGIN_MS, WAITERS_MAX } from './core/limits.ts'
import type { Outcome } from './core/queue.ts'
import type { CommandStore } from './store/store.ts'

/** How an instant command ended for the caller who waits for it; `stopping`: the server goes down and the command is on record, open. */
export type Settlement =
  | { readonly type: 'settled'; readonly command: Command; readonly outcome: Outcome | null }
  | { readonly type: 'stopping'; readonly command: Command }

interface Waiter {
  readonly deviceId: number
  /** as it last became durable, as far as this node has seen */
  command: Command
  readonly resolve: (settlement: Settlement) => void
}

export class Waiters {
  readonly #waiting = new Map<string, Waiter>()
  /** calls whose command is not on record yet */
  #reserved = 0

  get size(): number {
    return this.#waiting.size
  }

  /** A place for a call that is about to be decided; false where there is none left. It is given back by `release`. */
  reserve(): boolean {
    if (this.#waiting.size + this.#reserved >= WAITERS_MAX) return false
    this.#reserved += 1
    return true
  }

  release(): void {
    this.#reserved -= 1
  }

  /** Resolves once: when the command settles, or the server stops. */
  wait(deviceId: number, command: Command): Promise<Settlement> {
    return new Promise(resolve => this.#waiting.set(command.id, { deviceId, command, resolve }))
  }

  /** A step has written the command: whoever waits is told its end, or has its newest form. */
  written(command: Command, outcome: Outcome | null): void {
    const waiter = this.#waiting.get(command.id)
    if (waiter === undefined) return
    if (isOpen(command.state)) {
      waiter.command = command
      return
    }
    this.#waiting.delete(command.id)
    waiter.resolve({ type: 'settled', command, outcome })
  }

  stop(): void {
    for (const { command, resolve } of this.#waiting.values()) resolve({ type: 'stopping', command })
    this.#waiting.clear()
  }

  /** Another node has settled these, as it says, or the store does: whoever waits for one here is told what the store has of it. */
  async lookUp(settled: readonly SettledCommand[], store: Pick<CommandStore, 'command'>): Promise<void> {
    const waitedFor = settled.filter(({ commandId }) => this.#waiting.has(commandId))
    const read = ({ deviceId, commandId }: SettledCommand) => store.command(deviceId, commandId)
    for (const stored of await Promise.all(waitedFor.map(read))) {
      if (stored === null) continue
      const { command, body } = stored
      const { outputJson, deviceCode, deviceMessage } = body
      const outcome = deviceCode === null ? null : { commandId: command.id, outputJson, deviceCode, deviceMessage }
      this.written(command, outcome)
    }
  }

  /** What is waited for, oldest first. */
  commands(): SettledCommand[] {
    return [...this.#waiting].map(([commandId, { deviceId }]) => ({ deviceId, commandId }))
  }

  /** Devices whose command should have settled by now whoever has its connection, and has not: nobody but this node will see to it in time. */
  overdue(now: number): number[] {
    const late = [...this.#waiting.values()].filter(({ command }) => now >= command.expireAt + NODE_MARGIN_MS)
    return [...new Set(late.map(({ deviceId }) => deviceId))]
  }
}
