// One device's session over HTTP, as the engine and the requests see it: a link that is ready only while a request of the device waits for its response,
// and takes at most one command for each. Not here: routes and the list of sessions (devices.ts), who gets one (device-login.ts).
//
// A response leaves after *sent* is durable, and nothing that was put on one is ever put on another. Whether it arrived is known only by the answer.

import type { Clock, Timers } from '../clock.ts'
import { type Downlink, Kind } from '../core/command.ts'
import { assert } from '../core/errors.ts'
import {
  HTTP_COMMAND_MAX_BYTES,
  HTTP_LIFETIME_GRACE_MS,
  HTTP_SESSION_REQUESTS_MAX,
  HTTP_UNFIT_MAX,
} from '../core/limits.ts'
import type { Presence, Unsent } from '../core/queue.ts'
import type { Engine, Link } from '../engine.ts'
import type { Device } from '../store/store.ts'
import type { Asker } from '../uplink/asker.ts'
import { type DeviceKeys, isSame } from '../uplink/topics.ts'
import type { Turns } from '../uplink/turns.ts'
import { COMMAND_HEADER, type CommandHeaders, commandHeaders } from './device-wire.ts'

/** What a session was agreed on at its login. */
export interface SessionTerms {
  readonly sessionId: string
  readonly device: Device
  /** ms without a request after which it ends */
  readonly lifetimeMs: number
  readonly takesInvocations: boolean
  /** see AdmittedDevice */
  readonly isCustom: boolean
}

/** What sessions share. */
export interface SessionHost {
  readonly engine: Pick<Engine, 'apply' | 'disconnect'>
  readonly clock: Clock & Timers
  /** null: there is nobody else who should have a turn */
  readonly turns: Turns | null
  /** It is over: requests that name it are not its any more. */
  gone(session: DeviceSession): void
}

/** A response that waits for its headers. */
interface Offer {
  /** whether its bytes would still leave */
  readonly isOpen: () => boolean
  /** told the moment it has a command, so that nothing comes between that and the response */
  readonly filled: () => void
  command: CommandHeaders | null
  /** a command did not fit, and is about to fail: the one behind it may */
  hasTurnedDown: boolean
}

export class DeviceSession implements Link, Asker {
  readonly sessionId: string
  readonly device: Device
  readonly productKey: string
  readonly #terms: SessionTerms
  readonly #host: SessionHost
  /** as the engine has it on record; null until that has happened */
  #number: number | null = null
  #isOver = false
  #offer: Offer | null = null
  #isSilent = false
  #seenAt: number
  #waiting = 0
  /** ends when the request before the next one has been answered */
  #last: Promise<unknown> = Promise.resolve()
  #disarm = (): void => undefined

  constructor(terms: SessionTerms, host: SessionHost) {
    this.#terms = terms
    this.#host = host
    this.sessionId = terms.sessionId
    this.device = terms.device
    this.productKey = terms.device.productKey
    this.#seenAt = host.clock.now()
  }

  get isOver(): boolean {
    return this.#isOver
  }

  /** The engine has it on record under this number: from now on it ends by itself after its lifetime without a request. */
  begin(number: number): void {
    assert(this.#number === null && !this.#isOver, 'a session begins once')
    this.#number = number
    this.#seenAt = this.#host.clock.now()
    this.#arm()
  }

  /** Ends it, and resolves when that is on record. What was handed out stays sent: its answer may come in another session. */
  async end(reason: string): Promise<void> {
    if (this.#isOver) return
    this.#close()
    if (this.#number !== null) await this.#host.engine.disconnect(this.device.id, this.#number, reason)
  }

  /** A request has arrived, of whatever kind. */
  seen(): void {
    this.#isSilent = false
    this.#seenAt = this.#host.clock.now()
  }

  /**
   * Performs a request when those before it are done, then takes the head of the queue along where it may be: `command` is what must be put on the
   * response, which must leave. Null: too many requests wait, and nothing was done. `isOpen`: whether the response would still leave.
   */
  perform<T>(
    work: () => Promise<T>,
    isOpen: () => boolean,
  ): Promise<{ readonly answer: T; readonly command: CommandHeaders | null }> | null {
    if (this.#waiting >= HTTP_SESSION_REQUESTS_MAX) return null
    this.#waiting += 1
    const turn = this.#last.then(async () => {
      try {
        // Nothing else need come between two requests that are answered at once.
        const { turns } = this.#host
        while (turns?.isOver()) await turns.ended
        const answer = await work()
        return { answer, command: await this.#takeCommand(isOpen) }
      } finally {
        this.#waiting -= 1
      }
    })
    // What failed is told to who asked; the next one has its turn all the same.
    this.#last = turn.then(nothing, nothing)
    return turn
  }

  async #takeCommand(isOpen: () => boolean): Promise<CommandHeaders | null> {
    if (!this.#terms.takesInvocations || this.#isOver) return null
    let fill = (): void => undefined
    const filled = new Promise<void>(resolve => {
      fill = resolve
    })
    const offer: Offer = { isOpen, filled: fill, command: null, hasTurnedDown: false }
    this.#offer = offer
    for (let turn = 0; turn < HTTP_UNFIT_MAX; turn += 1) {
      offer.hasTurnedDown = false
      // A batch before that of `ready` may have a command for it. That one leaves at once: whoever is in the way of the next batch must not hold it up.
      await Promise.race([this.#host.engine.apply(this.device.id, { type: 'ready' }), filled])
      if (!offer.hasTurnedDown) break
    }
    this.#offer = null
    return offer.command
  }

  // --- what the engine asks of a link --------------------------------------------------------------------------

  /** Ready only while a response waits that has no command yet and would still leave, so that what is decided here can be handed over. */
  presence(): Omit<Presence, 'session'> {
    return { ready: this.#waits() !== null, silent: this.#isSilent }
  }

  #waits(): Offer | null {
    const offer = this.#offer
    return !this.#isOver && offer !== null && offer.command === null && offer.isOpen() ? offer : null
  }

  publish(downlink: Downlink): Unsent['reason'] | null {
    const offer = this.#waits()
    if (offer === null) return 'sessionGone'
    // The type that the device said it takes is that of service invocations; and there is no other than JSON in a header.
    const isUnfit = downlink.kind === Kind.set || this.#terms.isCustom
    const headers = commandHeaders(this.device, downlink)
    if (isUnfit || headers[COMMAND_HEADER].length > HTTP_COMMAND_MAX_BYTES) {
      offer.hasTurnedDown = true
      return isUnfit ? 'unsupported' : 'tooLarge'
    }
    offer.command = headers
    offer.filled()
    this.#isSilent = true
    return null
  }

  suspect(): void {
    // The device has not come back since its last command, and gets nothing before it does: that is so without being suspect.
  }

  takenOver(): void {
    this.#close()
  }

  evicted(): void {
    this.#close()
  }

  // --- who asks ------------------------------------------------------------------------------------------------

  speaker(keys: DeviceKeys): Device | null {
    return !this.#isOver && isSame(keys, this.device) ? this.device : null
  }

  joined(): void {
    // Sub-devices are logged in over MQTT only: nobody here has anything to be told.
  }

  left(): void {
    // As above: nobody is logged in over this session who could be logged out.
  }

  // --- the end -------------------------------------------------------------------------------------------------

  #close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#disarm()
    this.#host.gone(this)
  }

  get #endsAt(): number {
    return this.#seenAt + this.#terms.lifetimeMs + HTTP_LIFETIME_GRACE_MS
  }

  /** It is left where it is when requests move the end: waking early costs less than setting it at each of them. */
  #arm(): void {
    this.#disarm = this.#host.clock.at(this.#endsAt, () => {
      if (this.#waiting > 0) this.#seenAt = this.#host.clock.now()
      if (this.#host.clock.now() < this.#endsAt) this.#arm()
      else void this.end('session expired')
    })
  }
}

const nothing = (): void => undefined
