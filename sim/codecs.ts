// Codecs of the products that have a format of their own: here one format for all of them, done slowly and now and then not at all. In the product each
// is a module of the operator's in a process of its own.

import type { MembersEndpoint } from '../src/mqtt/members.ts'
import type { Runner, World } from './world.ts'

type Codecs = MembersEndpoint['codecs']
type Encoded = Awaited<ReturnType<Codecs['encode']>>
type Decoded = Awaited<ReturnType<Codecs['decode']>>

const TURN = 0x5a
const turned = (bytes: Uint8Array): Buffer => Buffer.from(bytes.map(byte => byte ^ TURN))

/** JSON, with every byte turned. */
export const toRaw = (json: string): Buffer => turned(Buffer.from(json))
/** The JSON that such bytes are, if they are. */
export const fromRaw = (bytes: Buffer): string => turned(bytes).toString()

const FAILS = 0.03
const SLOW = 0.2
const QUICK_MAX_MS = 4
const SLOW_MAX_MS = 500

export class SimCodecs implements Codecs {
  readonly #world: World
  readonly #process: { readonly alive: boolean }
  readonly #runner: Runner
  /** calls are made in their order: when the last one is done */
  #lastAt = 0

  constructor(world: World, process: { readonly alive: boolean }, runner: Runner) {
    this.#world = world
    this.#process = process
    this.#runner = runner
  }

  encode(_productKey: string, message: object): Promise<Encoded> {
    return this.#call<Encoded>('encode', () => ({ ok: true, value: toRaw(JSON.stringify(message)) }))
  }

  decode(_productKey: string, bytes: Buffer): Promise<Decoded> {
    return this.#call<Decoded>('decode', () => {
      try {
        return { ok: true, value: JSON.parse(fromRaw(bytes)) }
      } catch {
        return { ok: false, reason: 'that is not the format' }
      }
    })
  }

  #call<Result>(what: string, run: () => Result): Promise<Result | { readonly ok: false; readonly reason: string }> {
    const { random, calm } = this.#world
    const fails = !calm && random.chance(FAILS)
    const ms = random.int(0, !calm && random.chance(SLOW) ? SLOW_MAX_MS : QUICK_MAX_MS)
    this.#lastAt = Math.max(this.#lastAt, this.#world.now + ms)
    this.#world.count(`codec ${what}${fails ? ' fails' : ''}`)
    return new Promise(resolve => {
      const done = (): void => {
        if (this.#process.alive) resolve(fails ? { ok: false, reason: 'injected' } : run())
      }
      this.#world.at(this.#lastAt, 'process', done, this.#runner)
    })
  }
}
