// Long lists: of thousands of rows only those in the window, and some around it, are in the document. All rows are equally high, and the window itself
// scrolls, so that a list is as wheels, keys and fingers know it. Not here: what a row shows, and where rows come from (the pages).

import { observeWindowOffset, observeWindowRect, Virtualizer, windowScroll } from '@tanstack/virtual-core'
import type { RefObject } from 'preact'
import { useEffect, useLayoutEffect, useReducer, useRef, useState } from 'preact/hooks'

/** rows drawn beyond either edge of the window: a turn of the wheel, or the next Tab, finds them there */
const OVERSCAN_ROWS = 8

export interface Listing {
  /** what rows are known by; another array where rows have changed */
  readonly keys: readonly string[]
  /** px of each row */
  readonly rowPx: number
  /** px that the window is to be scrolled to at first; default: where it is */
  readonly beginPx?: number | undefined
  /** Rows that come and go above the window leave what is in it where it is. Not for lists whose order is what one looks at. */
  readonly holdsPlace: boolean
}

export interface Rows {
  /** of what holds the rows, and nothing above them */
  readonly list: RefObject<HTMLTableSectionElement>
  /** rows to draw: from the first up to before the last */
  readonly from: number
  readonly to: number
  /** px of the rows before and after them */
  readonly beforePx: number
  readonly afterPx: number
  /** the first and last row that can be seen */
  readonly first: number
  readonly last: number
  /** px that the window is scrolled by, as long as the list is there */
  scrolledPx(): number
}

export function useWindowRows({ keys, rowPx, beginPx, holdsPlace }: Listing): Rows {
  const list = useRef<HTMLTableSectionElement>(null)
  const [marginPx, setMargin] = useState(0)
  const [, draw] = useReducer<number, void>(n => n + 1, 0)
  const options = {
    count: keys.length,
    estimateSize: () => rowPx,
    overscan: OVERSCAN_ROWS,
    scrollMargin: marginPx,
    initialRect: { width: window.innerWidth, height: window.innerHeight },
    initialOffset: () => beginPx ?? window.scrollY,
    getScrollElement: () => window,
    observeElementRect: observeWindowRect,
    observeElementOffset: observeWindowOffset,
    scrollToFn: windowScroll,
    onChange: () => draw(),
  }
  const [virtual] = useState(() => new Virtualizer<Window, HTMLElement>(options))
  virtual.setOptions(options)
  useLayoutEffect(() => virtual._didMount(), [virtual])
  useLayoutEffect(() => virtual.measure(), [virtual, rowPx])
  useLayoutEffect(() => {
    virtual._willUpdate()
    // What stands above the list may have become higher or lower.
    const top = (list.current?.getBoundingClientRect().top ?? 0) + window.scrollY
    if (Math.abs(top - marginPx) >= 1) setMargin(top)
  })

  const items = virtual.getVirtualItems()
  const { startIndex: first, endIndex: last } = virtual.range ?? { startIndex: 0, endIndex: 0 }
  useHeldPlace(keys, first, last, rowPx, holdsPlace)
  const [from, to] = [items[0]?.index ?? 0, (items.at(-1)?.index ?? -1) + 1]
  return {
    ...{ list, from, to, first, last, beforePx: from * rowPx, afterPx: (keys.length - to) * rowPx },
    scrolledPx: () => virtual.scrollOffset ?? 0,
  }
}

/** Scrolls by what the first row that was seen, and is still there, has moved. */
function useHeldPlace(keys: readonly string[], first: number, last: number, rowPx: number, holdsPlace: boolean): void {
  const seen = useRef<{ readonly first: number; readonly keys: readonly string[] }>({ first: 0, keys: [] })
  useLayoutEffect(() => {
    const { current } = seen
    // At the top the top is what one looks at, and nothing is above it.
    if (!holdsPlace || current.first === 0) return
    for (const [n, key] of current.keys.entries()) {
      const index = keys.indexOf(key)
      if (index === -1) continue
      const moved = index - (current.first + n)
      if (moved !== 0) window.scrollBy(0, moved * rowPx)
      return
    }
  }, [keys])
  useLayoutEffect(() => {
    seen.current = { first, keys: keys.slice(first, last + 1) }
  })
}

/** Whether the window is as the media query says, and again when that changes. */
export function useMedia(query: string): boolean {
  const [media] = useState(() => window.matchMedia(query))
  const [matches, setMatches] = useState(media.matches)
  useEffect(() => {
    const look = () => setMatches(media.matches)
    look()
    media.addEventListener('change', look)
    return () => media.removeEventListener('change', look)
  }, [media])
  return matches
}
