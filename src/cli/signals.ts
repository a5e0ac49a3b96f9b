// SIGINT and SIGTERM as an AbortSignal, for the subcommands that run until they are told to stop. The others keep node's own behaviour.

/** Aborts at the first signal; `second` runs at the next, for who cannot wait. `release` gives the signals back. */
export function stopSignals(second: () => void): { readonly signal: AbortSignal; release(): void } {
  const stop = new AbortController()
  const heard = (): void => (stop.signal.aborted ? second() : stop.abort())
  process.on('SIGINT', heard)
  process.on('SIGTERM', heard)
  const release = (): void => {
    process.off('SIGINT', heard)
    process.off('SIGTERM', heard)
  }
  return { signal: stop.signal, release }
}

/** Resolves at the abort, or at once if it was before. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** Resolves after `waitMs`, or at the abort if that is sooner; the timer is called off then. */
export function pause(waitMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise(resolve => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, waitMs)
    signal.addEventListener('abort', done, { once: true })
  })
}
