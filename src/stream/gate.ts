// So many at a time, and the others after them in the order in which they came, up to a bound. Not here: what they do.

/** Nobody more may wait. */
export class Crowded extends Error {
  override readonly name = 'Crowded'
}

export class Gate {
  #free: number
  readonly #waitingMax: number
  /** in the order in which they came; who is called has the place */
  readonly #waiting = new Set<() => void>()

  constructor(places: number, waitingMax: number) {
    this.#free = places
    this.#waitingMax = waitingMax
  }

  /**
   * Does the work as soon as there is a place, which is free again when the work has ended, and not before. Rejects with Crowded where nobody more may wait,
   * and with the reason of the signal where that is aborted before there was a place; work that has begun is not called off.
   */
  async pass<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted()
    if (this.#free > 0) this.#free -= 1
    else await this.#turn(signal)
    try {
      return await work()
    } finally {
      // The place goes from hand to hand, so that nobody who comes just now takes it.
      const [next] = this.#waiting
      if (next === undefined) this.#free += 1
      else next()
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= this.#waitingMax) throw new Crowded('too many are waiting already')
    return new Promise((resolve, reject) => {
      const go = () => {
        this.#waiting.delete(go)
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        this.#waiting.delete(go)
        reject(signal.reason)
      }
      this.#waiting.add(go)
      signal.addEventListener('abort', leave, { once: true })
    })
  }
}
