// Callers who wait for instant commands, by commandId: who may wait, who is answered with what, and who is overdue.
// Not here: when a command is final (core/queue.ts), and who finds that out (engine.ts, upkeep.ts).

import type { SettledCommand } from './cluster/signal.ts'
import { type Command, isOpen } from './core/command.ts'
import { NODE_MARGIN_MS, WAITERS_MAX } from './core/limits.ts'
import type { Outcome } from './core/queue.ts'
import type { CommandStore, StoredCommand } from './store/store.ts'

/** How an instant command ended for the caller who waits for it; `stopping`: the server goes down and the command is on record, open. */
export type Settlement =
  | { readonly type: 'settled'; readonly command: Command; readonly outcome: Outcome | null }
  | { readonly type: 'stopping'; readonly command: Command }

/** One command, and all who wait for it: whoever made the first call, and those who repeat it. */
interface Waiting {
  readonly deviceId: number
  /** as it last became durable, as far as this node has seen */
  command: Command
  readonly callers: ((settlement: Settlement) => void)[]
}

export class Waiters {
  readonly #waiting = new Map<string, Waiting>()
  /** of all commands together */
  #callers = 0
  /** calls whose command is not on record yet */
  #reserved = 0

  /** Callers who wait. */
  get size(): number {
    return this.#callers
  }

  /** A place for a call that is about to be decided; false where there is none left. It is given back by `release`. */
  reserve(): boolean {
    if (this.#callers + this.#reserved >= WAITERS_MAX) return false
    this.#reserved += 1
    return true
  }

  release(): void {
    this.#reserved -= 1
  }

  /** Resolves once: when the command settles, or the server stops. */
  wait(deviceId: number, command: Command): Promise<Settlement> {
    const callers = this.#waiting.get(command.id)?.callers ?? []
    // Whoever joins has just read the command: it may have been sent from another node since.
    this.#waiting.set(command.id, { deviceId, command, callers })
    this.#callers += 1
    return new Promise(resolve => callers.push(resolve))
  }

  /** A step has written the command: whoever waits is told its end, or has its newest form. */
  written(command: Command, outcome: Outcome | null): void {
    const waiting = this.#waiting.get(command.id)
    if (waiting === undefined) return
    if (isOpen(command.state)) {
      waiting.command = command
      return
    }
    this.#tell(waiting, { type: 'settled', command, outcome })
  }

  stop(): void {
    for (const waiting of this.#waiting.values()) this.#tell(waiting, { type: 'stopping', command: waiting.command })
  }

  /** All who wait for a command are told the same. */
  #tell({ command, callers }: Waiting, settlement: Settlement): void {
    this.#waiting.delete(command.id)
    this.#callers -= callers.length
    for (const resolve of callers) resolve(settlement)
  }

  /** Another node has settled these, as it says, or the store does: whoever waits for one here is told what the store has of it. */
  async lookUp(settled: readonly SettledCommand[], store: Pick<CommandStore, 'command'>): Promise<void> {
    const waitedFor = settled.filter(({ commandId }) => this.#waiting.has(commandId))
    const read = ({ deviceId, commandId }: SettledCommand) => store.command(deviceId, commandId)
    for (const stored of await Promise.all(waitedFor.map(read))) {
      if (stored === null) continue
      this.written(stored.command, outcomeOf(stored))
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

/** What a device answered, as it is on record; null where no answer settled the command. */
export function outcomeOf({ command, body }: StoredCommand): Outcome | null {
  const { outputJson, deviceCode, deviceMessage } = body
  return deviceCode === null ? null : { commandId: command.id, outputJson, deviceCode, deviceMessage }
}
