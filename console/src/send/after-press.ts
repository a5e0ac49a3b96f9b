// Waits until no button of the pointer is pressed. What is told at a field that was left makes the page longer: told while the button is still down, it would
// move from under the pointer what somebody is about to click, and the click would be lost.

import { useEffect, useMemo } from 'preact/hooks'

/** Runs it after the click that may be under way; at once where there is none. */
export function useAfterPress(): (run: () => void) => void {
  const press = useMemo(() => ({ isDown: false, waiting: [] as (() => void)[] }), [])
  useEffect(() => {
    const down = () => {
      press.isDown = true
    }
    // The click comes after the release, and before any timer.
    const up = () => setTimeout(release, 0)
    const release = () => {
      press.isDown = false
      for (const run of press.waiting.splice(0)) run()
    }
    const listening = new AbortController()
    const how = { capture: true, signal: listening.signal }
    window.addEventListener('pointerdown', down, how)
    window.addEventListener('pointerup', up, how)
    window.addEventListener('pointercancel', up, how)
    return () => listening.abort()
  }, [press])
  return run => {
    if (press.isDown) press.waiting.push(run)
    else run()
  }
}
