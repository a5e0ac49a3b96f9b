// How many processes of codecs there are, and whose turn it is: a bounded number of places, each held by a process until it is gone. Whoever finds none
// free gets that of the process that has been idle for longest, or else the next that a call leaves. Not here: what processes do (runner.ts).

import type { Runner } from './runner.ts'

export class Pool {
  readonly #max: number
  readonly #runners = new Set<Runner>()
  /** between calls; the one that has been so for longest is first */
  readonly #idle = new Set<Runner>()
  readonly #waiting: (() => void)[] = []
  /** places that were given to who waited, until it has started its process */
  #given = 0
  #closed = false

  constructor(max: number) {
    this.#max = max
  }

  /** A new process, once there is a place for it; it counts as busy. Null: the pool was closed. */
  async start(make: () => Runner): Promise<Runner | null> {
    if (!this.#closed && this.#runners.size + this.#given >= this.#max) await this.#turn()
    if (this.#closed) return null
    const runner = make()
    this.#runners.add(runner)
    void runner.ended.then(() => this.#gone(runner))
    return runner
  }

  /** It is about to be asked. */
  busy(runner: Runner): void {
    this.#idle.delete(runner)
  }

  /** It has answered: it is there for the next call, or it is ended because another product waits for a place. */
  idle(runner: Runner): void {
    if (this.#lacksPlaces()) runner.end()
    else this.#idle.add(runner)
  }

  /** Ends all; resolves when their processes are gone. */
  async close(): Promise<void> {
    this.#closed = true
    for (const go of this.#waiting.splice(0)) {
      this.#given += 1
      go()
    }
    const runners = [...this.#runners]
    for (const runner of runners) runner.end()
    await Promise.all(runners.map(runner => runner.ended))
  }

  async #turn(): Promise<void> {
    const turn = new Promise<void>(resolve => this.#waiting.push(resolve))
    const [longest] = this.#idle
    if (longest !== undefined && this.#lacksPlaces()) {
      this.#idle.delete(longest)
      longest.end()
    }
    await turn
    this.#given -= 1
  }

  /** Whether more wait than those whose end has begun will make room for. */
  #lacksPlaces(): boolean {
    return this.#waiting.length > [...this.#runners].filter(runner => runner.isOver).length
  }

  #gone(runner: Runner): void {
    this.#runners.delete(runner)
    this.#idle.delete(runner)
    const go = this.#waiting.shift()
    if (go === undefined) return
    this.#given += 1
    go()
  }
}
