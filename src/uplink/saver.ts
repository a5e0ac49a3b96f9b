// Saves what devices report: all changes that come while one transaction is in flight form the next, so that many devices share one commit and one fsync;
// as far as SAVE_BATCH_MAX_ROWS, because the embedded store holds the loop until it is done. Not here: what may be reported (core/report.ts), how much one
// request may bring (call.ts), commands and their answers (engine.ts).

import { SAVE_BATCH_MAX_ROWS, SAVE_QUEUE_MAX_ROWS, SAVE_ROW_CHARS } from '../core/limits.ts'
import type { Log } from '../log.ts'
import { StoreUnavailable } from '../store/nodes.ts'
import type { DataChange, DeviceData } from '../store/store.ts'

export interface SaverOptions {
  readonly store: Pick<DeviceData, 'saveData'>
  readonly log: Log
  /** Starts the next transaction: setImmediate, so that all that came in this turn of the loop goes together. */
  readonly defer: (run: () => void) => void
}

/** The changes of one request. */
interface Entry {
  readonly changes: readonly DataChange[]
  /** what they cost: see {@link rowsOf} */
  readonly rows: number
  readonly resolve: (applied: readonly boolean[]) => void
  readonly reject: (error: unknown) => void
  /** it was in a transaction that failed, and is tried again by itself */
  alone: boolean
}

export class Saver {
  readonly #options: SaverOptions
  #waiting: Entry[] = []
  #waitingRows = 0
  #running = false

  constructor(options: SaverOptions) {
    this.#options = options
  }

  /**
   * Durable when it resolves: for each change whether it was applied, as the store says. Changes of one call are saved together, and in the order of
   * the calls. Null: too much is waiting, and nothing of it is taken. Rejects with what the store threw where these changes alone made it throw.
   */
  save(changes: readonly DataChange[]): Promise<readonly boolean[] | null> {
    if (changes.length === 0) return Promise.resolve([])
    const rows = changes.reduce((sum, change) => sum + rowsOf(change), 0)
    if (this.#waitingRows + rows > SAVE_QUEUE_MAX_ROWS) return Promise.resolve(null)
    this.#waitingRows += rows
    return new Promise((resolve, reject) => {
      this.#waiting.push({ changes, rows, resolve, reject, alone: false })
      if (this.#running) return
      this.#running = true
      this.#options.defer(() => void this.#run())
    })
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#transaction(this.#next())
      // Sockets and timers get their turn: a store that answers at once would else hold the loop for as long as changes come.
      if (this.#waiting.length > 0) await new Promise<void>(resolve => this.#options.defer(resolve))
    }
    this.#running = false
  }

  /** As many as may go together, the first however large it is; up to one that was in a transaction that failed: that one goes alone. */
  #next(): Entry[] {
    let count = 0
    let rows = 0
    for (const entry of this.#waiting) {
      if (count > 0 && (entry.alone || rows + entry.rows > SAVE_BATCH_MAX_ROWS)) break
      count += 1
      rows += entry.rows
      if (entry.alone) break
    }
    return this.#waiting.splice(0, count)
  }

  /** One bad change never harms another: what failed together is tried again one by one. */
  async #transaction(entries: readonly Entry[]): Promise<void> {
    let applied: readonly boolean[]
    try {
      applied = await this.#options.store.saveData(entries.flatMap(({ changes }) => changes))
    } catch (error) {
      // Where there is no store each would fail like the other, and only after as long a wait.
      if (entries.length === 1 || error instanceof StoreUnavailable) {
        for (const { rows, reject } of entries) {
          this.#waitingRows -= rows
          reject(error)
        }
        return
      }
      this.#options.log.warn({ err: error, requests: entries.length }, 'saving reports failed, trying them one by one')
      for (const entry of entries) entry.alone = true
      this.#waiting.unshift(...entries)
      return
    }
    let from = 0
    for (const { changes, rows, resolve } of entries) {
      this.#waitingRows -= rows
      resolve(applied.slice(from, from + changes.length))
      from += changes.length
    }
  }
}

/** What a change costs to save, in rows: its values, long ones as several, and one for itself. */
function rowsOf(change: DataChange): number {
  const rowsOfText = (text: string): number => 1 + Math.floor(text.length / SAVE_ROW_CHARS)
  const texts = textsOf(change)
  const removed = 'remove' in change ? change.remove.length : 0
  return 1 + removed + texts.reduce((sum, text) => sum + rowsOfText(text), 0)
}

function textsOf(change: DataChange): readonly string[] {
  if (change.type === 'measurepoints') return change.values.map(({ valueJson }) => valueJson)
  return change.type === 'event' ? [change.event.outputJson] : change.set.map(([, value]) => value)
}
