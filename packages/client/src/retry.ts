// Which failed calls are repeated, after which pause, and how often: by what is known of the call and by its code, never by a sentence.
// Not here: the call itself (caller.ts).

import { DownlinkError } from './errors.ts'
import { PAUSE_MAX_MS, PAUSE_MIN_MS, RETRY_AFTER_MAX_MS } from './limits.ts'

/** Waits; rejects with the signal's reason as soon as it is aborted. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>

export interface Retries {
  /** repeats after the first attempt; 0: none */
  readonly retries: number
  readonly sleep: Sleep
  /** from 0 (inclusive) to 1 */
  readonly random: () => number
}

/**
 * Whether a call is repeated. One that left a command on record is over, whatever its code: a repeat would be another command. One of which it is not known
 * whether it was done is `retriable` only where twice is as good as once: reading, cancelling by id, and what carries an Idempotency-Key.
 */
export const mayRepeat = (error: DownlinkError): boolean => error.retriable && error.outcome !== 'onRecord'

/** ms before the next attempt, from the second on: doubled each time, drawn from its upper half. Null: the server asks for more than is waited here. */
export function pauseMs(attempt: number, retryAfterMs: number | null, random: () => number): number | null {
  if (retryAfterMs !== null && retryAfterMs > RETRY_AFTER_MAX_MS) return null
  const most = Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** attempt)
  return Math.max(most / 2 + (random() * most) / 2, retryAfterMs ?? 0)
}

/** Runs it, and again while it fails in a way that a repeat may mend. Throws the last failure, or the reason of the signal. */
export async function withRetries<T>(
  { retries, sleep, random }: Retries,
  signal: AbortSignal | undefined,
  run: () => Promise<T>,
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await run()
    } catch (error) {
      if (!(error instanceof DownlinkError) || attempt >= retries || !mayRepeat(error)) throw error
      const pause = pauseMs(attempt, error.retryAfterMs, random)
      if (pause === null) throw error
      await sleep(pause, signal)
    }
  }
}

/** By the clock of this machine. */
export const sleep: Sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
