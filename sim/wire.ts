// One connection between a device and the process, as TCP makes it: in order in each direction, late, cut, or open with nobody at the other end.

import type { Runner, World } from './world.ts'

/** Whoever holds an end. */
export interface End {
  receive(bytes: Buffer): void
  /** the other side has closed, or the connection broke */
  lost(): void
}

interface Direction {
  /** nothing arrives on it any more, and nobody is told */
  dead: boolean
  /** nothing arrives before this: the stream keeps its order */
  lastAt: number
  /** raised where a broken connection takes with it what is on its way */
  cut: number
}

export type Side = 'toServer' | 'toDevice'

const FAST_MAX_MS = 20
const SLOW_MAX_MS = 6_000
const LATE_NOTICE_MAX_MS = 120_000

export class Wire {
  server: End | null = null
  /** the machine at the server's end */
  host: Runner | null = null
  device: End | null = null
  readonly #world: World
  readonly #ways: Record<Side, Direction>

  constructor(world: World) {
    this.#world = world
    const way = (): Direction => ({ dead: false, lastAt: 0, cut: 0 })
    this.#ways = { toServer: way(), toDevice: way() }
  }

  send(side: Side, bytes: Buffer): void {
    this.#push(side, this.#latency(), end => end.receive(bytes))
  }

  /**
   * One side closes. What it has written arrives, unless `abrupt`: then what is on its way may be lost. It hears nothing any more itself.
   * The other side is told, perhaps much later.
   */
  close(by: 'server' | 'device', abrupt: boolean): void {
    const [out, back]: [Side, Side] = by === 'server' ? ['toDevice', 'toServer'] : ['toServer', 'toDevice']
    this.#ways[back].dead = true
    if (abrupt && this.#world.random.chance(0.5)) this.#ways[out].cut += 1
    const { lateNotice } = this.#world.faults
    const isLate = !this.#world.calm && lateNotice > 0 && this.#world.random.chance(lateNotice)
    const delay = isLate ? this.#world.random.int(1_000, LATE_NOTICE_MAX_MS) : this.#latency()
    this.#push(out, delay, end => {
      this.#ways[out].dead = true
      end.lost()
    })
  }

  /** The connection breaks in the middle: each side finds out in its own time, what is on its way is lost. */
  drop(): void {
    for (const side of ['toServer', 'toDevice'] as const) {
      this.#ways[side].cut += 1
      this.#push(side, this.#noticeMs(), end => {
        this.#ways[side].dead = true
        end.lost()
      })
    }
  }

  #noticeMs(): number {
    const { lateNotice } = this.#world.faults
    const isLate = lateNotice > 0 && this.#world.random.chance(lateNotice)
    return isLate ? this.#world.random.int(1_000, LATE_NOTICE_MAX_MS) : this.#latency()
  }

  /** Nothing arrives for a while, and then all of it. */
  stall(ms: number): void {
    for (const way of Object.values(this.#ways)) way.lastAt = Math.max(way.lastAt, this.#world.now + ms)
  }

  /** Nothing arrives in this direction any more, and the sockets stay open. */
  mute(side: Side): void {
    this.#ways[side].dead = true
  }

  #push(side: Side, delayMs: number, deliver: (end: End) => void): void {
    const way = this.#ways[side]
    if (way.dead) return
    const { cut } = way
    way.lastAt = Math.max(way.lastAt, this.#world.now + delayMs)
    const arrive = (): void => {
      const end = side === 'toServer' ? this.server : this.device
      if (!way.dead && way.cut === cut && end !== null) deliver(end)
    }
    this.#world.at(way.lastAt, 'net', arrive, side === 'toServer' ? this.host : null)
  }

  #latency(): number {
    const { random, faults, calm } = this.#world
    if (!calm && faults.slowNetwork > 0 && random.chance(faults.slowNetwork)) return random.int(100, SLOW_MAX_MS)
    return random.int(1, FAST_MAX_MS)
  }
}
