// The newest events, in the order of the stream: those that the page was told, and before them those that were there already. Bounded, whatever happens, and
// drawn a few times a second at most. Not here: how an event reads (happened.tsx), where it stands (happening.tsx).

import { type ChangeEvent, codes, type Downlink, DownlinkError } from '@downlink/client'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { type Live, useLook } from '../live.ts'
import { useSession } from '../signed-in.tsx'

/** events that are shown: some screens; who wants older ones looks at the device */
const SHOWN_MAX = 50
/** ms between two drawings, at least: more often nobody reads it, and a thousand events a second must leave the page usable */
const DRAW_MS = 250
/** events that are read to find what was there before the page: one answer. Where more happened since, there is a gap, and what is before it is not shown. */
const PAST_MAX = 200

/** What each client's feed has shown last, so that who comes back to the page finds it there. */
const shownLast = new WeakMap<Downlink, readonly ChangeEvent[]>()

interface Past {
  readonly events: readonly ChangeEvent[]
  /** There are others before these, or in between. */
  readonly hasGap: boolean
}
const gap: Past = { events: [], hasGap: true }

/** What was shown last and all that came since; on the first visit all that there is. Nothing where that is more than one answer. */
async function before(client: Downlink, signal: AbortSignal): Promise<Past> {
  const shown = shownLast.get(client) ?? []
  const last = shown.at(-1)
  try {
    const { events, more } = await client.changes({ ...(last && { after: last.id }), limit: PAST_MAX, signal })
    return more ? gap : { events: [...shown, ...events].slice(-SHOWN_MAX), hasGap: false }
  } catch (error) {
    // What comes after the last one that was shown is kept no more.
    if (error instanceof DownlinkError && error.code === codes.cursorGone) return gap
    throw error
  }
}

/** In their order, each once. One that both have stands where the stream told it. */
function joined(before: readonly ChangeEvent[], told: readonly ChangeEvent[]): readonly ChangeEvent[] {
  const ids = new Set(told.map(({ id }) => id))
  return [...before.filter(({ id }) => !ids.has(id)), ...told].slice(-SHOWN_MAX)
}

export interface Feed {
  /** newest first; null: it is not known yet whether there are any */
  readonly events: readonly ChangeEvent[] | null
  /** Before the page was there something had happened that it does not show. */
  readonly hasGap: boolean
  /** how many came while it was held */
  readonly newer: number
}

/** The feed of a stream of everything; while it is held it stays as it is, so that something in it can be read and clicked. */
export function useFeed(live: Live, isHeld: boolean): Feed {
  const { client } = useSession()
  // Looked at again with each opening of the stream: what happened before it was open is told by no stream.
  const past = useLook(before, [], { live, heeds: () => false })
  const { events: told, newer } = useTold(live, isHeld)
  const events = useMemo(() => joined(past.data?.events ?? [], told), [past.data, told])
  useEffect(() => {
    if (events.length > 0) shownLast.set(client, events)
  }, [client, events])
  const isKnown = events.length > 0 || past.data !== null || past.error !== null
  return { events: isKnown ? events.toReversed() : null, hasGap: past.data?.hasGap ?? true, newer }
}

interface Told {
  readonly events: readonly ChangeEvent[]
  readonly newer: number
}

/** What the stream has told since the page is there, drawn at once where nothing was drawn a moment ago. */
function useTold(live: Live, isHeld: boolean): Told {
  const [told, setTold] = useState<Told>({ events: [], newer: 0 })
  const held = useRef(isHeld)
  const due = useRef<() => void>(() => undefined)
  useEffect(() => {
    let kept: readonly ChangeEvent[] = []
    let newer = 0
    let drawnAt = Number.NEGATIVE_INFINITY
    let timer: ReturnType<typeof setTimeout> | undefined
    let frame: number | undefined
    const draw = () => {
      drawnAt = performance.now()
      timer = undefined
      if (!held.current) newer = 0
      const shown = { events: kept, newer }
      setTold(told => (held.current ? { ...told, newer: shown.newer } : shown))
    }
    due.current = () => {
      timer ??= setTimeout(
        () => {
          frame = requestAnimationFrame(draw)
        },
        Math.max(0, drawnAt + DRAW_MS - performance.now()),
      )
    }
    const unheed = live.heed(event => {
      if (kept.some(({ id }) => id === event.id)) return
      kept = [...kept.slice(1 - SHOWN_MAX), event]
      newer += 1
      due.current()
    })
    return () => {
      unheed()
      clearTimeout(timer)
      if (frame !== undefined) cancelAnimationFrame(frame)
    }
  }, [live])
  useEffect(() => {
    held.current = isHeld
    due.current()
  }, [isHeld])
  return told
}
