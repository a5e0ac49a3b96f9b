// Commands that have just left the queue, each with its outcome, for the moment in which a reader may still look for them. They are told apart from the queue
// by whoever shows them. Where the outcome is not known, such as after the connection was lost, nothing is kept: then only the queue itself is shown.

import { type ChangeEvent, type DeviceQueue, isFinal, type State } from '@downlink/client'
import { useEffect, useReducer, useRef } from 'preact/hooks'
import type { Live, Look } from '../live.ts'

type Queued = DeviceQueue['commands'][number]

export interface Leaving {
  readonly command: Queued
  /** what it has come to */
  readonly state: State
  /** ms, by performance.now(), until which it is shown */
  readonly until: number
}

/** ms for which it is seen leaving */
const SHOWN_MS = 1_800
/** commands that are seen leaving at a time: more than fill a screen cannot be looked at */
const LEAVING_MAX = 50
/** outcomes that are kept from the events until a look shows that the command has left */
const ENDS_MAX = 500

/** Those that left since the look before, in the order of the queue. Empty while the look is not current. */
export function useLeaving(look: Look<DeviceQueue>, live: Live): readonly Leaving[] {
  const [, redraw] = useReducer<number, void>(n => n + 1, 0)
  const ends = useRef(new Map<string, State>())
  const seen = useRef<DeviceQueue | null>(null)
  const leaving = useRef<readonly Leaving[]>([])
  useEffect(() => live.heed(event => remember(ends.current, event)), [live])

  if (!look.isCurrent) {
    ends.current.clear()
    leaving.current = []
  } else if (look.data !== seen.current) {
    leaving.current = leavingNow(leaving.current, seen.current, look.data, ends.current)
  }
  seen.current = look.data

  const [first] = leaving.current
  useEffect(() => {
    if (first === undefined) return
    const timer = setTimeout(
      () => {
        const now = performance.now()
        leaving.current = leaving.current.filter(({ until }) => until > now)
        redraw()
      },
      first.until - performance.now() + 1,
    )
    return () => clearTimeout(timer)
  }, [first])
  return leaving.current
}

function remember(ends: Map<string, State>, { commandId, from, to }: ChangeEvent): void {
  if (commandId === null || to === null || from === to || !isFinal(to)) return
  ends.set(commandId, to)
  for (const oldest of ends.keys()) {
    if (ends.size <= ENDS_MAX) break
    ends.delete(oldest)
  }
}

/** Those that leave still, and those that have left with this look, the earliest first. One that is back in the queue has not left it. */
function leavingNow(
  before: readonly Leaving[],
  from: DeviceQueue | null,
  to: DeviceQueue | null,
  ends: ReadonlyMap<string, State>,
): readonly Leaving[] {
  const open = new Set(to?.commands.map(({ commandId }) => commandId))
  const until = performance.now() + SHOWN_MS
  const left = (from?.commands ?? []).flatMap(command => {
    const state = ends.get(command.commandId)
    return open.has(command.commandId) || state === undefined ? [] : [{ command, state, until }]
  })
  return [...before.filter(({ command }) => !open.has(command.commandId)), ...left].slice(-LEAVING_MAX)
}
