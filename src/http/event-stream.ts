// One stream of events (Server-Sent Events) as its caller reads it: what he has not read yet is bounded, since no page is read for him before that; one who
// reads nothing for long is cut off, and comes back with the cursor of the last event that he has. Not here: who may follow what (events.ts).

import { setMaxListeners } from 'node:events'
import { Readable } from 'node:stream'
import type { Clock, Timers } from '../clock.ts'
import { errors } from '../core/errors.ts'
import {
  STREAM_BUFFER_BYTES,
  STREAM_HEARTBEAT_MS,
  STREAM_LIFE_MAX_MS,
  STREAM_PAGE_MAX,
  STREAM_RECHECK_MS,
  STREAM_STALLED_MS,
} from '../core/limits.ts'
import type { ChangeFilter } from '../store/stream.ts'
import { cursorOf } from '../stream/cursor.ts'
import { eventText } from '../stream/event.ts'
import type { Follower, Following } from '../stream/follower.ts'

export interface EventStreamOptions {
  readonly follower: Pick<Follower, 'next'>
  readonly filter: ChangeFilter
  /** position after which it begins */
  readonly after: number
  readonly clock: Clock & Timers
  /** aborted when the server begins to stop */
  readonly stopping: AbortSignal
  /** Whether the caller may still see all that the filter lets through. */
  readonly isAllowed: () => Promise<boolean>
  readonly told: (changes: number) => void
}

/** ms after which a caller that was cut off should come again; the standard leaves it to the client unless it is said */
const RETRY_MS = 1_000

const message = (fields: Readonly<Record<string, string>>): string =>
  `${Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\n`)
    .join('')}\n`
const comment = (text: string): string => `: ${text}\n\n`

/** Text of events. It ends by itself: when the server stops, its time is over, the caller may not see it any more, or a gap would be in it. */
export class EventStream extends Readable {
  readonly #options: EventStreamOptions
  readonly #closed = new AbortController()
  readonly #startedAt: number
  #checkedAt: number
  /** when something of what waits was taken last, or nothing waited */
  #takenAt: number
  #position: number
  /** the caller has been told of this one as a cursor */
  #toldPosition: number
  #isReading = false
  #isSilent = true
  #disarm = (): void => undefined

  constructor(options: EventStreamOptions) {
    super({ highWaterMark: STREAM_BUFFER_BYTES, encoding: 'utf8' })
    const now = options.clock.now()
    this.#options = options
    this.#startedAt = now
    this.#checkedAt = now
    this.#takenAt = now
    this.#position = options.after
    this.#toldPosition = -1
    // At once, so that the caller sees that it has begun, and has a cursor even if nothing happens.
    this.push(message({ retry: String(RETRY_MS) }))
    this.#tellCursor()
    const end = () => this.#end('the server is stopping')
    // Every open stream listens to the same one, and node would take more than ten for a mistake.
    setMaxListeners(0, options.stopping)
    options.stopping.addEventListener('abort', end, { once: true })
    this.once('close', () => options.stopping.removeEventListener('abort', end))
    if (options.stopping.aborted) end()
    this.#arm()
  }

  override _read(): void {
    this.#takenAt = this.#options.clock.now()
    if (!this.#isReading) void this.#pull()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#closed.abort()
    this.#disarm()
    done(error)
  }

  get #isOver(): boolean {
    return this.destroyed || this.#closed.signal.aborted
  }

  /** One page after the other, until as much waits as may. */
  async #pull(): Promise<void> {
    const { follower, filter } = this.#options
    this.#isReading = true
    try {
      let hasRoom = true
      while (hasRoom && !this.#isOver) {
        const page = await follower.next(this.#position, filter, STREAM_PAGE_MAX, this.#closed.signal)
        if (this.#isOver) return
        if (page === null) return this.#end('the server is stopping')
        hasRoom = this.#tell(page)
      }
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
    } finally {
      this.#isReading = false
    }
  }

  /** Whether there is room for more. */
  #tell(page: Following): boolean {
    if (page === 'gone') {
      const data = JSON.stringify({ code: errors.cursorGone.code, after: cursorOf(this.#position) })
      this.push(message({ event: 'gone', data }))
      this.#end('changes after this cursor have been purged')
      return false
    }
    this.#position = page.upTo
    const { changes } = page
    if (changes.length === 0) return true
    const text = changes.map(change =>
      message({ id: cursorOf(change.position), event: 'change', data: eventText(change) }),
    )
    this.#toldPosition = changes.at(-1)?.position ?? this.#toldPosition
    this.#isSilent = false
    this.#options.told(changes.length)
    return this.push(text.join(''))
  }

  /** An event of its own, so that who is told little comes back with a cursor that is not old. */
  #tellCursor(): void {
    const id = cursorOf(this.#position)
    this.#toldPosition = this.#position
    this.push(message({ id, event: 'cursor', data: JSON.stringify({ id }) }))
  }

  #arm(): void {
    const { clock } = this.#options
    if (!this.#isOver) this.#disarm = clock.at(clock.now() + STREAM_HEARTBEAT_MS, () => void this.#beat())
  }

  async #beat(): Promise<void> {
    const { clock, isAllowed } = this.#options
    const now = clock.now()
    if (this.readableLength === 0) this.#takenAt = now
    if (now - this.#takenAt >= STREAM_STALLED_MS) {
      this.destroy(new Error(`nothing was read for ${STREAM_STALLED_MS / 1_000} s`))
      return
    }
    if (now - this.#startedAt >= STREAM_LIFE_MAX_MS) return this.#end('its time is over, come again')
    if (now - this.#checkedAt >= STREAM_RECHECK_MS) {
      this.#checkedAt = now
      if (!(await this.#mayGoOn(isAllowed))) return this.#end('what may be seen has changed, come again')
    }
    if (this.#isOver) return
    // What waits already says that it is there.
    if (this.readableLength === 0) {
      if (this.#position !== this.#toldPosition) this.#tellCursor()
      else if (this.#isSilent) this.push(comment('still here'))
    }
    this.#isSilent = true
    this.#arm()
  }

  /** A store that does not answer takes nobody's permission away. */
  async #mayGoOn(isAllowed: () => Promise<boolean>): Promise<boolean> {
    try {
      return await isAllowed()
    } catch {
      return true
    }
  }

  #end(why: string): void {
    if (this.#isOver) return
    this.#closed.abort()
    this.#disarm()
    this.push(comment(why))
    this.push(null)
  }
}
