// How long devices are without a server after the death of their node: from the kill to the moment at which a command reaches them again, over another
// connection. Not here: who dies (strikes.ts).

import { setTimeout as sleep } from 'node:timers/promises'
import type { Device } from './device.ts'
import { send, type Wire } from './load.ts'

const PROBE = { pendingTtlS: 600, timeoutS: 3 }
const LOOK_EVERY_MS = 5
/** ms after which another command is sent: the one before was refused, or cancelled by somebody who cancels all, or is on its way */
const SEND_EVERY_MS = 500
/** so long a device may be without a server: the lease and its margin, its last command's timeout, and a login at a node that is paused */
const SERVED_WITHIN_MS = 60_000

export interface Times {
  readonly count: number
  readonly medianMs: number
  readonly p95Ms: number
  readonly maxMs: number
}

interface Waiting {
  readonly diedAt: number
  /** the connection to the node that died */
  readonly line: number
  readonly isSteady: boolean
  /** nothing else is done to any node, or to what they stand on, until it is served */
  isAlone: boolean
}

export class Revivals {
  /** of devices that stay connected and answer at once: commands are sent to each as soon as it is back */
  readonly steadyMs: number[] = []
  /** of those, where nothing else was struck meanwhile */
  readonly aloneMs: number[] = []
  /** of those that stay away at times, and keep silent: the first command that reaches them, whoever sent it */
  readonly livelyMs: number[] = []
  readonly #waiting = new Map<string, Waiting>()
  readonly #wire: Wire
  readonly #probes: Promise<void>[] = []
  #isOver = false

  constructor(wire: Wire) {
    this.#wire = wire
    wire.ledger.heard = (assetId, line) => this.#heard(assetId, line)
  }

  /** Something is struck: whoever waits may wait for that. */
  struck(): void {
    for (const waiting of this.#waiting.values()) waiting.isAlone = false
  }

  /** The node of these devices is being killed. One that has not been served since its last node's death waits since then. */
  died(steady: readonly Device[], lively: readonly Device[], isAlone: boolean): void {
    if (this.#isOver) return
    for (const device of steady) if (this.#waits(device, true, isAlone)) this.#probes.push(this.#probe(device))
    for (const device of lively) this.#waits(device, false, isAlone)
  }

  /** Resolves when no probe is under way any more; those that have not reached anybody yet are given up. */
  async end(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#probes)
  }

  #waits({ assetId, line }: Device, isSteady: boolean, isAlone: boolean): boolean {
    if (line === null || this.#waiting.has(assetId)) return false
    this.#waiting.set(assetId, { diedAt: performance.now(), line, isSteady, isAlone })
    return true
  }

  #heard(assetId: string, line: number): void {
    const waiting = this.#waiting.get(assetId)
    if (waiting === undefined || line <= waiting.line) return
    this.#waiting.delete(assetId)
    const tookMs = performance.now() - waiting.diedAt
    const { isSteady, isAlone } = waiting
    if (isSteady) this.steadyMs.push(tookMs)
    else this.livelyMs.push(tookMs)
    if (isSteady && isAlone) this.aloneMs.push(tookMs)
  }

  async #probe(device: Device): Promise<void> {
    const { assetId } = device
    const waiting = this.#waiting.get(assetId)
    if (waiting === undefined) return
    const isDone = () => this.#isOver || this.#waiting.get(assetId) !== waiting
    let sendAt = 0
    while (!isDone()) {
      const now = performance.now()
      if (now > waiting.diedAt + SERVED_WITHIN_MS) {
        this.#waiting.delete(assetId)
        this.#wire.ledger.stuck(assetId, `not served ${SERVED_WITHIN_MS} ms after the death of its node`)
        return
      }
      const isBack = device.line !== null && device.line !== waiting.line
      if (isBack && now >= sendAt) {
        sendAt = now + SEND_EVERY_MS
        await send(this.#wire, assetId, PROBE)
      }
      await sleep(LOOK_EVERY_MS)
    }
  }
}

export function timesOf(all: readonly number[]): Times {
  const sorted = [...all].sort((left, right) => left - right)
  const at = (part: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0)
  return { count: all.length, medianMs: at(0.5), p95Ms: at(0.95), maxMs: at(1) }
}
