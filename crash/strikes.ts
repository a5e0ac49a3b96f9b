// What strikes the cluster: nodes are killed, paused, cut off and stopped in order, PostgreSQL and NATS are restarted; one after the other at random moments,
// and one while the other lasts. Not here: what happens meanwhile (cluster-run.ts), and what of it is a fault (ledger.ts).

import { setTimeout as sleep } from 'node:timers/promises'
import type { Cut } from './cable.ts'
import type { Chance } from './chance.ts'
import { type ClusterNode, STOP_WAIT_MS } from './cluster-node.ts'
import { abortable, type ClusterPlace } from './cluster-place.ts'

const kinds = ['kill', 'pause', 'cut', 'stop', 'restart of PostgreSQL', 'restart of NATS'] as const
export type Kind = (typeof kinds)[number]

export interface StrikeHooks {
  /** This node, or with null what all share, is struck from now on: nothing about who is connected there is sure any more. */
  readonly struck: (node: ClusterNode | null) => void
  /** It is over, and what it has done to a node that lives on as well. */
  readonly over: (node: ClusterNode | null) => void
  /** The node is killed now; alone: nothing else is being struck, or has not recovered from that. */
  readonly died: (node: ClusterNode, isAlone: boolean) => void
  /** Something is to be under way when it strikes. */
  readonly burst: () => void
  readonly contradiction: (text: string) => void
  readonly progress: (struck: number) => void
}

/** ms from the beginning of one strike to the next */
const GAP_MS = { from: 50, to: 2_500 }
/** shorter than the lease, and longer */
const PAUSE_MS = { short: { from: 1_000, to: 4_000 }, long: { from: 4_500, to: 12_000 } }
const CUT_MS = { from: 1_000, to: 10_000 }
const NATS_DOWN_MS = { from: 0, to: 2_000 }
/** ms in which a node that has lost its number finds out, after whatever kept it from that */
const FINDS_OUT_MS = 1_500
/** ms more in which one that has not gets its lease good again: until then it may have let devices in of which the others think that they are away */
const RECOVERS_MS = 3_000
const BURST = 0.4
/** how often a node that is struck already is struck again, where all others must be left alone */
const AGAIN = 0.3
/** how often what all nodes share is struck */
const SHARED = 0.08
/** every so many strikes one is a kill to which nothing else comes for a while: how long that costs devices is worth knowing by itself */
const ALONE_EVERY = 5
const ALONE_MS = 2_500
const PROGRESS_EVERY = 5
const LOOK_EVERY_MS = 50

interface Strike {
  readonly kind: Kind
  /** null: it is done to what all nodes share */
  readonly node: ClusterNode | null
  /** another one was done to the same node, or to all, while it lasted */
  isMixed: boolean
}

export class Strikes {
  readonly counts = Object.fromEntries(kinds.map(kind => [kind, 0])) as Record<Kind, number>
  readonly #place: ClusterPlace
  readonly #chance: Chance
  readonly #hooks: StrikeHooks
  readonly #signal: AbortSignal
  readonly #active = new Set<Strike>()
  /** those that are over, and not what they have done */
  readonly #felt = new Set<Strike>()

  constructor(place: ClusterPlace, chance: Chance, hooks: StrikeHooks, signal: AbortSignal) {
    this.#place = place
    this.#chance = chance
    this.#hooks = hooks
    this.#signal = signal
  }

  /** Strikes so many times. Resolves when the last strike is over and all nodes are up. */
  async run(count: number): Promise<void> {
    const failed = new AbortController()
    const signal = AbortSignal.any([this.#signal, failed.signal])
    const all: Promise<void>[] = []
    for (let struck = 0; struck < count; ) {
      await sleep(this.#between(GAP_MS), undefined, { signal })
      const isAlone = (struck + 1) % ALONE_EVERY === 0
      if (isAlone) await this.#calm()
      const strike = isAlone ? this.#killOne() : this.#choose()
      if (strike === null) continue
      if (this.#chance.happens(BURST)) this.#hooks.burst()
      const done = this.#strike(strike)
      done.catch((error: unknown) => failed.abort(error))
      all.push(done)
      struck += 1
      if (isAlone) await sleep(ALONE_MS, undefined, { signal })
      if (struck % PROGRESS_EVERY === 0) this.#hooks.progress(struck)
    }
    await Promise.all(all)
  }

  /** SIGTERM to one node after the other, each when the one before is up again; nothing else happens to them. Their ms to the exit. */
  async rollingRestart(): Promise<number[]> {
    const took: number[] = []
    for (const node of this.#place.nodes) {
      const strike: Strike = { kind: 'stop', node, isMixed: false }
      took.push(await this.#during(strike, () => this.#stop(node, strike)))
    }
    return took
  }

  /** All at once. */
  async killAll(): Promise<void> {
    const kill = (node: ClusterNode) => this.#during({ kind: 'kill', node, isMixed: false }, () => this.#kill(node))
    await Promise.all(this.#place.nodes.map(kill))
  }

  /** It is being struck, or has not recovered from that. */
  isUnsure(name: string): boolean {
    return [...this.#active, ...this.#felt].some(strike => isShaking(strike) && (strike.node?.name ?? name) === name)
  }

  /** What to do to whom, or null where there is nobody to be struck: one node at least is left alone by whatever is done to single ones. */
  #choose(): Strike | null {
    const struck = new Set([...this.#active].map(({ node }) => node))
    if (!struck.has(null) && this.#chance.happens(SHARED)) return this.#shared()
    const { nodes } = this.#place
    const alone = nodes.filter(node => !struck.has(node) && node.isUp)
    const others = nodes.filter(node => struck.has(node))
    const isRoom = others.length < Math.max(1, nodes.length - 1)
    const [first, ...rest] = isRoom ? alone : this.#chance.happens(AGAIN) ? others : []
    if (first === undefined) return null
    const node = this.#chance.oneOf([first, ...rest])
    return { kind: this.#kind(struck.has(node)), node, isMixed: false }
  }

  /** Resolves when nothing is being struck, and nothing has to recover. */
  async #calm(): Promise<void> {
    while (this.#active.size + this.#felt.size > 0) await this.#sleep(LOOK_EVERY_MS)
  }

  #killOne(): Strike | null {
    const [first, ...rest] = this.#place.nodes
    return first === undefined ? null : { kind: 'kill', node: this.#chance.oneOf([first, ...rest]), isMixed: false }
  }

  #shared(): Strike {
    const isOfNats = this.#place.nats !== null && this.#chance.happens(0.4)
    return { kind: isOfNats ? 'restart of NATS' : 'restart of PostgreSQL', node: null, isMixed: false }
  }

  /** One that is paused, cut off or stopping may be killed or cut off as well. */
  #kind(isAgain: boolean): Kind {
    if (isAgain) return this.#chance.oneOf(['kill', 'cut'])
    return this.#chance.oneOf(['kill', 'kill', 'kill', 'kill', 'pause', 'pause', 'pause', 'cut', 'cut', 'stop'])
  }

  #strike(strike: Strike): Promise<void> {
    const { kind, node } = strike
    this.counts[kind] += 1
    return this.#during(strike, async () => {
      if (node === null) await (kind === 'restart of NATS' ? this.#restartNats() : this.#restartPostgres())
      else if (kind === 'kill') await this.#kill(node)
      else if (kind === 'pause') await this.#pause(node)
      else if (kind === 'cut') await this.#cut(node)
      else await this.#stop(node, strike)
    })
  }

  async #during<T>(strike: Strike, act: () => Promise<T>): Promise<T> {
    const { node } = strike
    for (const other of this.#active) {
      if (other.node !== node && other.node !== null && node !== null) continue
      other.isMixed = true
      strike.isMixed = true
    }
    this.#active.add(strike)
    this.#place.trouble.begin()
    this.#place.note(`${told(strike)} begins`)
    if (isShaking(strike)) this.#hooks.struck(node)
    try {
      const result = await act()
      this.#place.note(`${told(strike)} is over`)
      this.#active.delete(strike)
      this.#felt.add(strike)
      if (strike.kind !== 'kill' && strike.kind !== 'stop') await this.#sleep(RECOVERS_MS)
      return result
    } finally {
      this.#active.delete(strike)
      this.#felt.delete(strike)
      if (isShaking(strike)) this.#hooks.over(node)
      this.#place.trouble.end()
    }
  }

  async #kill(node: ClusterNode): Promise<void> {
    this.#hooks.died(node, this.#active.size + this.#felt.size === 1)
    await node.kill()
    await this.#up(node)
  }

  async #pause(node: ClusterNode): Promise<void> {
    const goOn = node.pause()
    try {
      await this.#sleep(this.#between(this.#chance.happens(0.5) ? PAUSE_MS.short : PAUSE_MS.long))
    } finally {
      goOn()
    }
    await this.#findsOut(node)
  }

  async #cut({ name, cable }: ClusterNode): Promise<void> {
    const how = this.#chance.oneOf<Cut>(['refused', 'lost commit', 'lost answer', 'silent', 'silent'])
    this.#place.note(`${name}: ${how}`)
    cable.cut(how)
    try {
      await this.#sleep(this.#between(CUT_MS))
    } finally {
      this.#place.note(`${name}: mended`)
      cable.mend()
    }
    await this.#sleep(FINDS_OUT_MS)
  }

  /** The ms it took. */
  async #stop(node: ClusterNode, strike: Strike): Promise<number> {
    const { code, ms } = await abortable(node.stop(), this.#signal)
    if (!strike.isMixed && (code !== 0 || ms > STOP_WAIT_MS))
      this.#hooks.contradiction(`SIGTERM ended ${node.name} with ${code} after ${Math.round(ms)} ms`)
    await this.#up(node)
    return ms
  }

  async #restartPostgres(): Promise<void> {
    await abortable(this.#place.postgres.restart(this.#chance.oneOf(['fast', 'immediate'])), this.#signal)
    await this.#sleep(FINDS_OUT_MS)
  }

  async #restartNats(): Promise<void> {
    await abortable(this.#place.nats?.restart(this.#between(NATS_DOWN_MS)) ?? Promise.resolve(), this.#signal)
  }

  /** It goes on, or its number has gone over to another one meanwhile, and it ends and comes again. */
  async #findsOut(node: ClusterNode): Promise<void> {
    await this.#sleep(FINDS_OUT_MS)
    await this.#up(node)
  }

  async #up(node: ClusterNode): Promise<void> {
    while (!node.isUp) await this.#sleep(LOOK_EVERY_MS)
  }

  async #sleep(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#signal })
  }

  #between({ from, to }: { readonly from: number; readonly to: number }): number {
    return this.#chance.whole(from, to)
  }
}

/** A loss of signals costs time only: whoever is connected stays so beyond doubt. */
const isShaking = ({ kind }: Strike): boolean => kind !== 'restart of NATS'

const told = ({ kind, node }: Strike): string => (node === null ? kind : `${kind} of ${node.name}`)
