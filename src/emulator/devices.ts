// The emulator's devices: one for each of the fleet file that can log in by itself, over real MQTT, each with faults that can be switched while it runs.
// Not here: how a device speaks (given), which fleet it is, who switches (routes.ts).

import type { Timers } from '../clock.ts'

/** What is wrong with a device. Absent: nothing is. */
export interface Faults {
  /** it is away, and comes back when this is switched off */
  readonly offline: boolean
  /** ms of the emulator's clock from a command to its answer */
  readonly delayMs: number
  /** it takes commands and never answers */
  readonly mute: boolean
  /** it answers with this code instead of 200 */
  readonly errorCode: number | null
  /** it gives each answer twice */
  readonly answersTwice: boolean
}

export const noFaults: Faults = { offline: false, delayMs: 0, mute: false, errorCode: null, answersTwice: false }

/** A device that can be started and stopped; made anew for each time that it is there. */
export interface Run {
  start(): void
  stop(): Promise<void>
}

/** How it behaves at the moment: read anew for each command. */
export interface Behaviour {
  readonly answer: 'ok' | 'error' | 'never'
  readonly code: number
  readonly delayMs: number
  readonly twice: boolean
}

/** What a run tells of itself. */
export interface Told {
  connected(): void
  disconnected(): void
}

export interface EmulatedDevice {
  readonly assetId: string
  readonly productKey: string
  readonly deviceKey: string
  /** Makes the device itself, which is not started yet. */
  make(behaviour: Behaviour, told: Told, pace: (ms: number, run: () => void) => () => void): Run
}

interface Living {
  readonly device: EmulatedDevice
  faults: Faults
  connected: boolean
  run: Run | null
  /** whoever waits until it is connected, or is not */
  waiting: (() => void)[]
}

export class Devices {
  readonly #clock: Pick<Timers, 'at'> & { now(): number }
  readonly #living: ReadonlyMap<string, Living>
  /** answers that are to come */
  readonly #answers = new Set<{ readonly instant: number }>()

  constructor(devices: readonly EmulatedDevice[], clock: Pick<Timers, 'at'> & { now(): number }) {
    this.#clock = clock
    this.#living = new Map(
      devices.map(device => [
        device.assetId,
        { device, faults: noFaults, connected: false, run: null, waiting: [] } satisfies Living,
      ]),
    )
  }

  /** Resolves when all are connected. */
  async start(): Promise<void> {
    for (const living of this.#living.values()) if (!living.faults.offline) this.#begin(living)
    await Promise.all([...this.#living.values()].map(living => this.#connected(living)))
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#living.values()].map(living => living.run?.stop()))
  }

  all(): { readonly device: EmulatedDevice; readonly faults: Faults; readonly connected: boolean }[] {
    return [...this.#living.values()].map(({ device, faults, connected }) => ({ device, faults, connected }))
  }

  faultsOf(assetId: string): Faults | null {
    return this.#living.get(assetId)?.faults ?? null
  }

  /** Resolves when it is so: a device that was to go is away, one that was to come is connected. False: there is no such device. */
  async setFaults(assetId: string, faults: Faults): Promise<boolean> {
    const living = this.#living.get(assetId)
    if (living === undefined) return false
    living.faults = faults
    if (faults.offline && living.run !== null) {
      const { run } = living
      living.run = null
      await run.stop()
    } else if (!faults.offline && living.run === null) {
      this.#begin(living)
      await this.#connected(living)
    }
    return true
  }

  /** assetIds of those that answer as soon as they have a command. */
  prompt(): string[] {
    const found = [...this.#living.values()].filter(
      ({ connected, faults }) => connected && !faults.mute && faults.delayMs === 0,
    )
    return found.map(({ device }) => device.assetId)
  }

  /** The next instant at which one of them answers; null: none is about to. */
  nextAnswerAt(): number | null {
    let next: number | null = null
    for (const { instant } of this.#answers) next = Math.min(next ?? instant, instant)
    return next
  }

  #begin(living: Living): void {
    const now = (): Faults => living.faults
    const behaviour: Behaviour = {
      get answer() {
        return now().mute ? 'never' : now().errorCode === null ? 'ok' : 'error'
      },
      get code() {
        return now().errorCode ?? 200
      },
      get delayMs() {
        return now().delayMs
      },
      get twice() {
        return now().answersTwice
      },
    }
    const turned = (connected: boolean) => (): void => {
      living.connected = connected
      for (const resolve of living.waiting.splice(0)) resolve()
    }
    const told = { connected: turned(true), disconnected: turned(false) }
    living.run = living.device.make(behaviour, told, (ms, run) => this.#pace(ms, run))
    living.run.start()
  }

  /** By the emulator's clock, so that a slow device is slow in its time. */
  #pace(ms: number, run: () => void): () => void {
    const answer = { instant: this.#clock.now() + ms }
    this.#answers.add(answer)
    const callOff = this.#clock.at(answer.instant, () => {
      this.#answers.delete(answer)
      run()
    })
    return () => {
      this.#answers.delete(answer)
      callOff()
    }
  }

  /** Or until somebody sends it away again. */
  async #connected(living: Living): Promise<void> {
    while (!living.connected && living.run !== null) await new Promise<void>(resolve => living.waiting.push(resolve))
  }
}
