// Waiting for a command's end: it is looked at, with growing pauses; where the stream of events tells of its device, an event ends the pause and looks are
// rare. So a stream that breaks off, or may not be had, costs time and nothing else. Not here: the stream (events.ts), how one looks (client.ts).

import { DownlinkError, NoAnswer } from './errors.ts'
import { LOOK_MAX_MS, LOOK_MIN_MS, LOOK_STREAMED_MS } from './limits.ts'
import { mayRepeat, type Retries } from './retry.ts'
import { type CommandRecord, isFinal, stateName } from './wire.ts'

export interface Waiting extends Pick<Retries, 'sleep' | 'retries'> {
  readonly commandId: string
  readonly signal: AbortSignal | undefined
  /** ms; null: as long as it takes */
  readonly timeoutMs: number | null
  look(signal: AbortSignal): Promise<CommandRecord>
  /** Tells of the command's end, and of the stream that would, until the signal is aborted; returns where there is none to be had. Never throws. */
  listen(assetId: string, signal: AbortSignal, on: { open(): void; event(): void }): Promise<void>
}

/**
 * The command once it is over. Throws the signal's reason, NoAnswer when the time is up, or what a look fails with; but once there was one, a server that is
 * away is waited for as well, unless `retries` is 0.
 */
export async function waitForEnd(of: Waiting): Promise<CommandRecord> {
  const over = new AbortController()
  const stop = () => over.abort(of.signal?.reason)
  of.signal?.throwIfAborted()
  of.signal?.addEventListener('abort', stop, { once: true })
  const timer = of.timeoutMs === null ? undefined : setTimeout(() => over.abort(TIME_IS_UP), of.timeoutMs)
  let last: CommandRecord | null = null
  try {
    return await lookUntilOver(of, over.signal, command => {
      last = command
    })
  } catch (error) {
    throw error === TIME_IS_UP ? timeIsUp(of, last) : error
  } finally {
    clearTimeout(timer)
    of.signal?.removeEventListener('abort', stop)
    over.abort()
  }
}

const TIME_IS_UP = new Error('the time is up')

async function lookUntilOver(
  { look, listen, sleep, retries }: Waiting,
  signal: AbortSignal,
  seen: (command: CommandRecord) => void,
): Promise<CommandRecord> {
  const bell = new Bell()
  let [isListening, isStreamed] = [false, false]
  for (let pause = LOOK_MIN_MS; ; pause = Math.min(pause * 2, LOOK_MAX_MS)) {
    // Only the first look must be answered.
    const command = await look(signal).catch(isListening && retries > 0 ? later : undefined)
    if (command !== null) seen(command)
    if (command !== null && isFinal(command.state)) return command
    if (command !== null && !isListening) {
      isListening = true
      // The stream has what happens from its opening on, so there is a look once it is there.
      const on = { open, event: () => bell.ring() }
      void listen(command.assetId, signal, on).finally(() => {
        isStreamed = false
      })
    }
    await bell.heard(isStreamed && command !== null ? LOOK_STREAMED_MS : pause, sleep, signal)
  }

  function open(): void {
    isStreamed = true
    bell.ring()
  }
}

/** Null for what may go better another time. */
function later(error: unknown): null {
  if (error instanceof DownlinkError && mayRepeat(error)) return null
  throw error
}

/** Rings once for whoever listens, or for the next who does. */
class Bell {
  #rang = false
  #wake: AbortController | null = null

  ring(): void {
    this.#rang = true
    this.#wake?.abort()
  }

  /** When it rings or has rung, or after the pause. Throws the signal's reason. */
  async heard(pauseMs: number, sleep: Retries['sleep'], signal: AbortSignal): Promise<void> {
    const wake = new AbortController()
    const stop = () => wake.abort()
    this.#wake = wake
    signal.addEventListener('abort', stop, { once: true })
    try {
      // Woken is as good as slept.
      if (!this.#rang && !signal.aborted) await sleep(pauseMs, wake.signal).catch(() => undefined)
      signal.throwIfAborted()
    } finally {
      signal.removeEventListener('abort', stop)
      this.#wake = null
      this.#rang = false
    }
  }
}

function timeIsUp({ commandId, timeoutMs }: Waiting, last: CommandRecord | null): NoAnswer {
  const state = last === null ? '' : `; it is ${stateName[last.state]}`
  return new NoAnswer('late', `command ${commandId} was not over in ${timeoutMs} ms${state}`, {
    outcome: 'notDone',
    retriable: true,
    next: 'Ask why it waits (explain), cancel it, or wait again.',
  })
}
