// The world that a process is put into: time, chance, the list of what happens next, and the record of what happened. One world = one seed.
// Nothing here knows what is simulated: the network is in wire.ts, the process in process.ts.

import type { Faults } from './faults.ts'
import type { Random } from './random.ts'

/** An invariant that does not hold: invariants.ts names them all. */
export interface Failure {
  readonly invariant: number
  readonly name: string
  readonly detail: string
  /** whose trace tells the story; null where it is no single device's */
  readonly deviceId: number | null
  readonly step: number
}

/** What may happen next. `process` is a timer or a turn of the process's own loop, `net` a packet on its way, `actor` somebody's own decision. */
type Origin = 'process' | 'net' | 'actor'

interface Happening {
  at: number
  readonly seq: number
  readonly origin: Origin
  readonly run: () => void
  off: boolean
}

const T0 = 1_800_000_000_000
const FNV_PRIME = 0x01000193
const FNV_BASIS = 0x811c9dc5

/** Lets everything that waits for a promise run until nothing does: the only turn of the real loop in the simulator, and no time passes in it. */
const drain = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

export class World {
  readonly random: Random
  /** how often each thing happened, by name */
  readonly coverage = new Map<string, number>()
  readonly trace: { readonly deviceId: number | null; readonly line: string }[] = []
  failure: Failure | null = null
  /** no faults any more: what was promised must come true */
  calm = false
  steps = 0
  /** the clock of the process, or of the last one while none runs */
  processNow: () => number = () => T0
  /** what the wall clock is ahead of the world's own time; changes while no process runs */
  wallOffsetMs = 0
  #now = T0
  #seq = 0
  #hash = FNV_BASIS
  /** what happens next is last */
  readonly #next: Happening[] = []

  constructor(
    readonly seed: number,
    readonly faults: Faults,
    random: Random,
  ) {
    this.random = random
  }

  /** Time as it truly passes, in ms. */
  get now(): number {
    return this.#now
  }

  get wall(): number {
    return this.#now + this.wallOffsetMs
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  /** Runs at the instant of the world's own time, after what was asked for earlier. Returns what calls it off. */
  at(instant: number, origin: Origin, run: () => void): () => void {
    this.#seq += 1
    const happening = { at: Math.max(instant, this.#now), seq: this.#seq, origin, run, off: false }
    this.#insert(happening)
    return () => {
      happening.off = true
    }
  }

  after(ms: number, origin: Origin, run: () => void): () => void {
    return this.at(this.#now + ms, origin, run)
  }

  #insert(happening: Happening): void {
    let low = 0
    let high = this.#next.length
    while (low < high) {
      const middle = (low + high) >> 1
      const other = this.#next[middle]
      const isLater = other && (other.at > happening.at || (other.at === happening.at && other.seq > happening.seq))
      if (isLater) low = middle + 1
      else high = middle
    }
    this.#next.splice(low, 0, happening)
  }

  /** Something of the process is overdue: it is not at rest. */
  get processIsDue(): boolean {
    return this.#next.some(({ at, origin, off }) => !off && origin === 'process' && at <= this.#now)
  }

  /**
   * The whole machine stood still for a while, as when it sleeps. What was to happen meanwhile happens now; timers run before the network is read,
   * or everything in its old order.
   */
  jump(ms: number, timersFirst: boolean): void {
    this.#now += ms
    if (!timersFirst) return
    const late = this.#next.filter(({ origin, at }) => origin === 'net' && at < this.#now)
    for (const happening of late) {
      this.#next.splice(this.#next.indexOf(happening), 1)
    }
    for (const happening of late) this.#insert(Object.assign(happening, { at: this.#now }))
  }

  /** One thing happens, and everything that follows from it at once. False where nothing is left to happen. */
  async step(): Promise<boolean> {
    let happening = this.#next.pop()
    while (happening?.off) happening = this.#next.pop()
    if (happening === undefined) return false
    this.#now = Math.max(this.#now, happening.at)
    this.steps += 1
    happening.run()
    await drain()
    return true
  }

  count(what: string, by = 1): void {
    this.coverage.set(what, (this.coverage.get(what) ?? 0) + by)
  }

  /** A line of the record: of one device, or of the world where that is null. */
  note(deviceId: number | null, text: string): void {
    const who = deviceId === null ? 'world' : `device ${deviceId}`
    const line = `${this.steps} +${this.#now - T0} ${who}: ${text}`
    this.trace.push({ deviceId, line })
    for (let i = 0; i < line.length; i += 1) this.#hash = Math.imul(this.#hash ^ line.charCodeAt(i), FNV_PRIME)
  }

  /** The first failure counts: what comes after it is its consequence. */
  fail(failure: Omit<Failure, 'step'>): void {
    this.failure ??= { ...failure, step: this.steps }
  }
}
