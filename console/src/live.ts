// What is on the page, and how it stays true: a stream of events that says that something has changed, and looks at the server that are made again when it
// does, when the stream is opened again, and when the page is looked at again. A look that is older than its stream's last opening is not current, nor is one
// without a stream that should be there, and pages show that. Not here: what is looked at (the pages), how a stream is read (the client).

import { type ChangeEvent, codes, type Downlink, DownlinkError, type EventFilter } from '@downlink/client'
import { computed, type ReadonlySignal, type Signal, signal } from '@preact/signals'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { serverNow } from './clock.ts'
import { endsSession, isSignedIn, pause, type Session } from './session.ts'
import { useSession } from './signed-in.tsx'

/**
 * How the stream of the page is: `refused` where the server lives but gives none (it has too many), and is looked at now and then instead; `denied` where it
 * gives none however often it is asked, since there is nothing there, or not for this caller.
 */
export type Connection = 'connecting' | 'live' | 'lost' | 'refused' | 'denied'

export interface Live {
  readonly connection: ReadonlySignal<Connection>
  /** how often it was opened, or refused where it had not been before: what was seen before that may have changed unnoticed */
  readonly openings: ReadonlySignal<number>
  /** Calls with each event, until what it returns is called. */
  heed(listener: (event: ChangeEvent) => void): () => void
  /** Asks for it once more where it was denied: somebody wants to know whether that is still so. */
  again(): void
}

/** The streams of what is on the page now; the top bar tells of them. What was denied, the page tells itself. */
const streams = signal<readonly Stream[]>([])
export const connection: ReadonlySignal<Exclude<Connection, 'denied'> | 'none'> = computed(() => {
  const all = streams.value.map(({ connection }) => connection.value)
  return (['lost', 'connecting', 'refused', 'live'] as const).find(state => all.includes(state)) ?? 'none'
})

/** ms that a page which nobody looks at keeps its stream: a browser has six connections to a server, for all of its tabs */
const HIDDEN_MS = 30_000
/** ms until a stream is opened anew that the client gave up: its events were purged meanwhile, or something else answered than the server */
const ANEW_MIN_MS = 250
const ANEW_MAX_MS = 2_000
/** ms between two looks at the clock, and what may pass between them: after more this machine was asleep, and a connection may be dead without having said so */
const TICK_MS = 1_000
const ASLEEP_MS = 10_000

class Stream implements Live {
  readonly connection: Signal<Connection> = signal('connecting')
  readonly openings = signal(0)
  readonly #client: Downlink
  readonly #filter: EventFilter
  #reading: AbortController | null = null
  readonly #listeners = new Set<(event: ChangeEvent) => void>()

  constructor(client: Downlink, filter: EventFilter) {
    this.#client = client
    this.#filter = filter
  }

  heed(listener: (event: ChangeEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Or tried to. */
  get isRead(): boolean {
    return this.#reading !== null
  }

  /** Reads it, unless it is read already. */
  start(): void {
    if (this.isRead) return
    const reading = new AbortController()
    this.#reading = reading
    void this.#read(reading.signal).finally(() => {
      if (this.#reading === reading) this.#reading = null
    })
  }

  /** Gives it back. What was seen before is not current when somebody looks again. */
  rest(): void {
    this.#reading?.abort()
    this.#reading = null
    this.connection.value = 'connecting'
  }

  again(): void {
    if (this.connection.peek() === 'denied') this.start()
  }

  /** Until the signal says so, through whatever breaks off: the client opens it again, and here only what it gives up. */
  async #read(signal: AbortSignal): Promise<void> {
    for (let failures = 0; ; failures += 1) {
      try {
        // What comes of it after it was given back concerns nobody: by then there may be another.
        const onOpen = () => {
          failures = 0
          if (!signal.aborted) this.#opened()
        }
        const onLost = (error: unknown) => {
          if (!signal.aborted) this.#lost(error)
        }
        const how = { untilOpen: true, signal, onOpen, onLost }
        for await (const event of this.#client.events({ ...this.#filter, ...how }))
          for (const listener of this.#listeners) listener(event)
      } catch (error) {
        if (signal.aborted || endsSession(error, this.#client)) return
        this.#lost(error)
        if (isDenial(error)) return
        await pause(Math.min(ANEW_MAX_MS, ANEW_MIN_MS * 2 ** failures), signal).catch(() => undefined)
        if (signal.aborted) return
      }
    }
  }

  #opened(): void {
    this.connection.value = 'live'
    this.openings.value += 1
  }

  /** A server that answers, and gives no stream, can be looked at: from now on that is how it is known what is there. */
  #lost(error: unknown): void {
    const isRefused = error instanceof DownlinkError && error.answer !== null && error.code !== codes.cursorGone
    const becomes = !isRefused ? 'lost' : isDenial(error) ? 'denied' : 'refused'
    const isNews = isRefused && this.connection.value !== becomes
    this.connection.value = becomes
    if (isNews) this.openings.value += 1
  }
}

/** Whether the server has said no, and would say so again: until something else changes there is no sense in asking. */
const isDenial = (error: unknown): boolean =>
  error instanceof DownlinkError && error.answer !== null && !error.retriable && error.code !== codes.cursorGone

/** The stream of what the filter is for, while the component is there and somebody looks at the page. */
export function useLive(filter: EventFilter): Live {
  const { client } = useSession()
  const key = JSON.stringify(filter)
  const stream = useMemo(() => new Stream(client, filter), [client, key])
  useEffect(() => {
    streams.value = [...streams.value, stream]
    let timer: ReturnType<typeof setTimeout> | undefined
    const look = () => {
      clearTimeout(timer)
      if (document.hidden) timer = setTimeout(() => stream.rest(), HIDDEN_MS)
      else stream.start()
    }
    let tickedAt = Date.now()
    const tick = () => {
      const isAwake = Math.abs(Date.now() - tickedAt) < ASLEEP_MS
      tickedAt = Date.now()
      if (isAwake || document.hidden || !stream.isRead) return
      stream.rest()
      stream.start()
    }
    stream.start()
    look()
    const ticking = setInterval(tick, TICK_MS)
    document.addEventListener('visibilitychange', look)
    return () => {
      document.removeEventListener('visibilitychange', look)
      clearTimeout(timer)
      clearInterval(ticking)
      stream.rest()
      streams.value = streams.value.filter(other => other !== stream)
    }
  }, [stream])
  return stream
}

export interface Look<T> {
  /** what was seen last; null: nothing yet */
  readonly data: T | null
  /** ms since 1970, by the server's clock as all other times, when it was asked for */
  readonly askedAt: number | null
  /** why the last look failed; null: it did not */
  readonly error: unknown
  /** It was seen since the stream was opened last, and the stream is there; where the server gives no stream, the last look went well. */
  readonly isCurrent: boolean
  /** The stream is not there, so that it may have changed since without anybody telling. */
  readonly isLost: boolean
  /** Looks once more, also at what was denied. */
  again(): void
}

export interface Looking {
  readonly live?: Live
  /** Which events it is looked again for; default: all of the stream. */
  readonly heeds?: (event: ChangeEvent) => boolean
  /** ms between the beginnings of two looks, at least: what is dear to look at is not looked at with every event */
  readonly leastMs?: number
  /** ms after which it is looked again though no event says so */
  readonly everyMs?: number
}

/** ms between two looks where there is no stream that would tell, or the last one failed */
const UNTOLD_MS = 3_000
/** ms for which the first look waits for the stream: what happens between a look and the opening of the stream, nobody would tell */
const FIRST_MS = 1_000

/**
 * Looks at the server: as soon as the stream is there, and whenever it may have changed. One look at a time; what happens during one is seen by the next.
 * With other `deps` it is another look, and begins with nothing.
 */
export function useLook<T>(
  ask: (client: Downlink, signal: AbortSignal) => Promise<T>,
  deps: readonly unknown[],
  looking: Looking = {},
): Look<T> {
  const { client } = useSession()
  const { live } = looking
  const [seen, show] = useState<Seen<T>>(nothing)
  const latest = useRef({ ask, looking })
  latest.current = { ask, looking }
  const looker = useRef<Looker<T> | null>(null)
  useEffect(() => {
    show(nothing)
    const now = new Looker<T>(
      client,
      signal => latest.current.ask(client, signal),
      () => latest.current.looking,
      show,
    )
    looker.current = now
    return () => now.stop()
  }, [client, live, ...deps])
  const again = useMemo(
    () => () => {
      live?.again()
      looker.current?.due()
    },
    [live],
  )
  // Read while rendering, so that it is rendered again when the stream comes and goes.
  const isTold = live === undefined || (isThere(live) && seen.opening >= live.openings.value)
  const isLost = live?.connection.value === 'lost'
  return { ...seen, isCurrent: isTold && seen.error === null, isLost, again }
}

/** Or was never there, and it is waited for: the first look goes without it if need be. */
function isThere({ connection, openings }: Live): boolean {
  const { value } = connection
  return (
    value === 'live' || value === 'refused' || value === 'denied' || (value === 'connecting' && openings.value === 0)
  )
}

interface Seen<T> {
  readonly data: T | null
  readonly askedAt: number | null
  readonly error: unknown
  /** how often the stream had been opened when it was asked for */
  readonly opening: number
}
const nothing = { data: null, askedAt: null, error: null, opening: -1 }

class Looker<T> {
  readonly #client: Downlink
  readonly #ask: (signal: AbortSignal) => Promise<T>
  readonly #looking: () => Looking
  readonly #show: (change: (seen: Seen<T>) => Seen<T>) => void
  readonly #stop = new AbortController()
  readonly #unheed: (() => void)[] = []
  #isAsking = false
  #isDue = false
  #askedAt = Number.NEGATIVE_INFINITY
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(
    client: Downlink,
    ask: (signal: AbortSignal) => Promise<T>,
    looking: () => Looking,
    show: (change: (seen: Seen<T>) => Seen<T>) => void,
  ) {
    this.#client = client
    this.#ask = ask
    this.#looking = looking
    this.#show = show
    const { live } = looking()
    const onSeen = () => {
      if (!document.hidden) this.due()
    }
    document.addEventListener('visibilitychange', onSeen)
    this.#unheed.push(() => document.removeEventListener('visibilitychange', onSeen))
    if (live !== undefined) {
      this.#unheed.push(
        live.heed(event => {
          if (this.#looking().heeds?.(event) ?? true) this.due()
        }),
      )
      // Called at once as well: with 0 it is waited for.
      this.#unheed.push(
        live.openings.subscribe(openings => {
          if (openings === 0) this.#after(FIRST_MS)
          else this.due()
        }),
      )
    } else this.due()
  }

  stop(): void {
    this.#stop.abort()
    clearTimeout(this.#timer)
    for (const unheed of this.#unheed) unheed()
  }

  /** Looks now, or as soon as it may. */
  due(): void {
    if (this.#stop.signal.aborted) return
    if (this.#isAsking) {
      this.#isDue = true
      return
    }
    const waitMs = this.#askedAt + (this.#looking().leastMs ?? 0) - performance.now()
    if (waitMs <= 0) void this.#look()
    else this.#after(waitMs)
  }

  #after(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), ms)
  }

  async #look(): Promise<void> {
    clearTimeout(this.#timer)
    if (this.#isAsking) return
    this.#isAsking = true
    this.#isDue = false
    this.#askedAt = performance.now()
    const { signal } = this.#stop
    const opening = this.#looking().live?.openings.value ?? -1
    const askedAt = serverNow()
    try {
      const data = await this.#ask(signal)
      if (!signal.aborted) this.#show(() => ({ data, askedAt, error: null, opening }))
    } catch (error) {
      if (signal.aborted || endsSession(error, this.#client)) return
      this.#show(seen => ({ ...seen, error }))
      this.#isAsking = false
      // Meanwhile the stream may have been opened again: then it is worth another look at once.
      if (this.#isDue) this.due()
      else if (!isDenial(error)) this.#after(UNTOLD_MS)
      return
    }
    this.#isAsking = false
    if (signal.aborted) return
    if (this.#isDue) return this.due()
    const { live, everyMs } = this.#looking()
    const isTold = live === undefined || live.connection.value === 'live'
    if (everyMs !== undefined || !isTold) this.#after(Math.min(everyMs ?? UNTOLD_MS, isTold ? Infinity : UNTOLD_MS))
  }
}

export interface Doing<A extends readonly unknown[], R> {
  /** Resolves with what it came to; undefined where it failed, which `error` then tells. A second one while the first is under way does nothing. */
  run(...args: A): Promise<R | undefined>
  readonly isBusy: boolean
  readonly error: unknown
  /** Forgets the last failure. */
  forget(): void
}

/** Does something once, when it is told to: for buttons and forms. */
export function useDo<A extends readonly unknown[], R>(act: (session: Session, ...args: A) => Promise<R>): Doing<A, R> {
  const session = useSession()
  const [state, setState] = useState<{ readonly isBusy: boolean; readonly error: unknown }>({
    isBusy: false,
    error: null,
  })
  const isBusy = useRef(false)
  const run = async (...args: A): Promise<R | undefined> => {
    if (isBusy.current) return undefined
    isBusy.current = true
    setState({ isBusy: true, error: null })
    try {
      const result = await act(session, ...args)
      // Whoever asked for it has left: nothing is to follow from it for who is there now.
      if (!isSignedIn(session.client)) return undefined
      setState({ isBusy: false, error: null })
      return result
    } catch (error) {
      if (!endsSession(error, session.client)) setState({ isBusy: false, error })
      return undefined
    } finally {
      isBusy.current = false
    }
  }
  return { ...state, run, forget: () => setState(({ isBusy }) => ({ isBusy, error: null })) }
}
