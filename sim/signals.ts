// What carries tidings between nodes, at its worst: late, lost, twice, in another order, to whoever has the number by then; or in some worlds not at all.
// Not here: what is told, and what follows from it (src/engine.ts).

import type { Signals, Tidings } from '../src/cluster/signal.ts'
import type { Runner, World } from './world.ts'

/** What of a world its signals suffer. */
export interface SignalFaults {
  /** no signal arrives in this world: they cost time only */
  readonly none: boolean
  readonly lost: number
  readonly doubled: number
  /** chance that one takes seconds */
  readonly late: number
}

const QUICK_MAX_MS = 15
const LATE_MAX_MS = 8_000

/** A process as it is spoken to. */
export interface Listener {
  readonly alive: boolean
  readonly runner: Runner
  /** nothing comes in or goes out */
  readonly isDeaf: boolean
}

export class Air {
  readonly #world: World
  readonly #listening = new Map<number, { readonly who: Listener; readonly heard: (tidings: Tidings) => void }>()

  constructor(world: World) {
    this.#world = world
  }

  /** As one process has it. */
  for(who: Listener): Signals {
    return {
      tell: (node, tidings) => this.#tell(who, node, tidings),
      listen: async (node, heard) => {
        this.#listening.set(node, { who, heard })
      },
      close: async () => {
        for (const [node, listening] of this.#listening) if (listening.who === who) this.#listening.delete(node)
      },
    }
  }

  #tell(from: Listener, node: number, tidings: Tidings): void {
    const { random, faults, calm } = this.#world
    const { none, lost, doubled, late } = faults.signals
    this.#world.count('signal told')
    const isLost = !calm && random.chance(lost)
    if (none || from.isDeaf || isLost) {
      this.#world.count(`fault signal ${none ? 'dropped, as all are' : from.isDeaf ? 'cut off' : 'lost'}`)
      return
    }
    const isTwice = !calm && random.chance(doubled)
    if (isTwice) this.#world.count('fault signal doubled')
    for (let copies = isTwice ? 2 : 1; copies > 0; copies -= 1) {
      const isLate = !calm && random.chance(late)
      if (isLate) this.#world.count('fault signal late')
      this.#world.after(random.int(0, isLate ? LATE_MAX_MS : QUICK_MAX_MS), 'net', () => this.#arrive(node, tidings))
    }
  }

  #arrive(node: number, tidings: Tidings): void {
    const listening = this.#listening.get(node)
    if (listening === undefined || listening.who.isDeaf) {
      this.#world.count(listening === undefined ? 'signal to nobody' : 'fault signal cut off')
      return
    }
    const { who, heard } = listening
    const hear = (): void => {
      if (!who.alive) return
      this.#world.count('signal heard')
      heard(tidings)
    }
    this.#world.after(0, 'net', hear, who.runner)
  }
}
