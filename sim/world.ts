// The world that a process is put into: time, chance, the list of what happens next, and the record of what happened. One world = one seed.
// Nothing here knows what is simulated: the network is in wire.ts, machines in host.ts, processes in incarnation.ts.

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

/** Somebody who may stand still for a while: what is to happen to it meanwhile happens when it goes on. */
export interface Runner {
  /** the instant at which it goes on; in the past while it runs */
  readonly goesOnAt: number
  /** what of all that comes first then */
  readonly first: 'timers' | 'packets'
}

interface Happening {
  at: number
  readonly seq: number
  readonly origin: Origin
  readonly run: () => void
  /** who does it, or gets it; null: nobody who could stand still */
  readonly of: Runner | null
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
  at(instant: number, origin: Origin, run: () => void, of: Runner | null = null): () => void {
    this.#seq += 1
    const happening = { at: Math.max(instant, this.#now), seq: this.#seq, origin, run, of, off: false }
    this.#insert(happening)
    return () => {
      happening.off = true
    }
  }

  after(ms: number, origin: Origin, run: () => void, of: Runner | null = null): () => void {
    return this.at(this.#now + ms, origin, run, of)
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

  /** Something of the process on this machine is overdue: it is not at rest. */
  isDue(runner: Runner): boolean {
    return this.#next.some(
      ({ at, origin, off, of }) => !off && origin === 'process' && of === runner && at <= this.#now,
    )
  }

  /** Timers of this machine have stopped for so long: they go off as much later. */
  delayTimers(runner: Runner, ms: number): void {
    const own = this.#next.filter(({ origin, of }) => origin === 'process' && of === runner)
    for (const happening of own) this.#next.splice(this.#next.indexOf(happening), 1)
    for (const happening of own) this.#insert(Object.assign(happening, { at: happening.at + ms }))
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
    while (happening !== undefined && (happening.off || this.#isPutOff(happening))) happening = this.#next.pop()
    if (happening === undefined) return false
    this.#now = Math.max(this.#now, happening.at)
    this.steps += 1
    happening.run()
    await drain()
    return true
  }

  /** It is for somebody who stands still at that instant: it happens later. */
  #isPutOff(happening: Happening): boolean {
    const { of, at, origin } = happening
    if (of === null || Math.max(at, this.#now) >= of.goesOnAt) return false
    const isFirst = (origin === 'process') === (of.first === 'timers')
    this.#insert(Object.assign(happening, { at: of.goesOnAt + (isFirst ? 0 : 1) }))
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
