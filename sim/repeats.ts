// Callers that repeat themselves: the same call once more at once, after a lost answer, while the first one waits, after its end, as its key lapses, under the
// key of another request, or with the same key for another device. Not here: how a call is made (callers.ts), what the answers must be (keys.ts).

import type { NewCommand } from '../src/engine.ts'
import type { Once } from './keys.ts'
import type { Surroundings } from './units.ts'

/** A call that can be made again; each gets a number of its own, which is not part of the request. */
export interface Request {
  readonly deviceId: number
  readonly command: Omit<NewCommand, 'inputJson' | 'repeatable'>
  /** characters of its input beside the number */
  readonly chars: number
  readonly waits: boolean
  readonly once: Once | null
}

/** chance that a new call has a key, and that this is one that was used elsewhere */
const KEYED = 0.35
const KEY_OF_ANOTHER = 0.1
const OTHER_APPLICATION = 0.15
/** chance that another application has the same key at the same moment */
const SIDE_BY_SIDE = 0.05
const KEEPS_MS = [2_000, 10_000, 60_000, 3_600_000] as const
const REMEMBERED = 16
const AT_ONCE = 0.1
const SOON = 0.06
const SOON_MAX_MS = 3_000
const TWICE = 0.3
const AFTER_LOSS = 0.5
const AFTER_LOSS_MAX_MS = 1_500
const IN_TIME_MAX_MS = 15_000

export class Repeats {
  readonly #around: Surroundings
  readonly #send: (request: Request) => void
  /** of all callers: who repeats a call need not be who made it */
  readonly #known: Request[]
  #keys = 0

  constructor(around: Surroundings, known: Request[], send: (request: Request) => void) {
    this.#around = around
    this.#known = known
    this.#send = send
  }

  /** The key of a new call, if it has one. */
  draw(ttlS: number, of: string): Once | null {
    const { random } = this.#around.world
    if (!random.chance(KEYED)) return null
    this.#keys += 1
    const other =
      this.#known.length > 0 && random.chance(KEY_OF_ANOTHER) ? random.pick(this.#known).once?.key : undefined
    const key = other ?? `${of} ${this.#keys}`
    const application = random.chance(OTHER_APPLICATION) ? 'other' : 'application'
    return { application, key, requestHash: `${of} ${this.#keys}`, keepMs: ttlS * 1_000 + random.pick(KEEPS_MS) }
  }

  /** A new call has just been made: it may come a second time before the first one has been looked at, or a little later. */
  made(request: Request): void {
    if (request.once === null) return
    const { random } = this.#around.world
    this.#known.push(request)
    if (this.#known.length > REMEMBERED) this.#known.shift()
    if (random.chance(SIDE_BY_SIDE)) this.#repeat(ofAnother(request, request.once), 'another application')
    if (random.chance(AT_ONCE)) this.#repeat(request, 'at once')
    if (random.chance(SOON)) this.#later(random.int(0, SOON_MAX_MS), request, 'soon')
  }

  /** Nobody knows what became of a call: the process is gone, or does not know it itself. */
  lost(request: Request): void {
    const { random } = this.#around.world
    if (request.once !== null && random.chance(AFTER_LOSS))
      this.#later(random.int(0, AFTER_LOSS_MAX_MS), request, 'after a lost answer')
  }

  /** A call has come to its end: it may come again. */
  over(request: Request): void {
    const { random } = this.#around.world
    if (request.once !== null && random.chance(SOON)) this.#later(random.int(0, SOON_MAX_MS), request, 'after its end')
  }

  /** One of those that were made before, in one way or another. */
  again(): void {
    const { random } = this.#around.world
    if (this.#known.length === 0) return
    const request = random.pick(this.#known)
    const how = random.weighted({ same: 50, 'in time': 25, 'another request': 15, 'another device': 5, many: 5 })
    if (how === 'in time') this.#inTime(request)
    else if (how === 'another request') this.#repeat(this.#otherThan(request), how)
    else if (how === 'another device')
      this.#repeat({ ...request, deviceId: random.pick(this.#around.site.deviceIds) }, how)
    else for (let i = how === 'many' ? random.int(2, 5) : 1; i > 0; i -= 1) this.#repeat(request, how)
  }

  #otherThan(request: Request): Request {
    const once = request.once && { ...request.once, requestHash: `other than ${request.once.requestHash}` }
    return { ...request, once }
  }

  /** In the very millisecond in which its key lapses, or the one before or after. */
  #inTime(request: Request): void {
    const { ledger, site, world } = this.#around
    const lapsesAt = request.once && ledger.keys.lapsesAt(request.deviceId, request.once)
    const waitMs = Math.ceil((lapsesAt ?? 0) - site.now) + world.random.int(-1, 1)
    if (waitMs >= 0 && waitMs <= IN_TIME_MAX_MS) this.#later(waitMs, request, 'as its key lapses')
  }

  #later(ms: number, request: Request, how: string): void {
    const { world } = this.#around
    world.after(ms, 'actor', () => {
      if (!world.calm) this.#repeat(request, how)
    })
  }

  #repeat(request: Request, how: string): void {
    const { world } = this.#around
    world.count(`caller repeats, ${how}`)
    this.#send(request)
    if (how === 'at once' && world.random.chance(TWICE)) this.#send(request)
  }
}

/** The same of another application, whose key it is not. */
const ofAnother = (request: Request, once: Once): Request => ({
  ...request,
  once: { ...once, application: once.application === 'other' ? 'application' : 'other' },
})
