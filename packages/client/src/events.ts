// The stream of changes: Server-Sent Events over fetch, since a browser's own EventSource cannot sign. Read, and opened again where it broke off, from the
// last event on: none is missed, and one may come twice, with the same id. Not here: which events there are (wire.ts), signing (caller.ts).

import type { Call, Caller } from './caller.ts'
import { codes, DownlinkError, errors, NoAnswer } from './errors.ts'
import { EVENT_MAX_CHARS, RETRY_AFTER_MAX_MS, STREAM_SILENCE_MS } from './limits.ts'
import { mayRepeat, pauseMs, type Retries } from './retry.ts'

/** One message of a stream. */
export interface Message {
  /** its id, or else that of the one before; null: none had one */
  readonly id: string | null
  /** `message` where it does not say */
  readonly event: string
  readonly data: string
}

/** Reads the format text/event-stream, in whatever pieces it comes. */
export class MessageReader {
  #rest = ''
  #id: string | null = null
  #event = ''
  #data: string[] = []

  /** The messages that are whole with this piece. Throws NoAnswer where one is larger than any that is meant. */
  read(piece: string): Message[] {
    this.#rest += piece
    const messages: Message[] = []
    for (;;) {
      const end = /\r\n|\n|\r(?!$)/.exec(this.#rest)
      if (end === null) break
      const line = this.#rest.slice(0, end.index)
      this.#rest = this.#rest.slice(end.index + end[0].length)
      const message = line === '' ? this.#take() : this.#keep(line)
      if (message !== null) messages.push(message)
    }
    const chars = this.#data.reduce((sum, { length }) => sum + length, this.#rest.length)
    if (chars > EVENT_MAX_CHARS) throw tooLarge(chars)
    return messages
  }

  #keep(line: string): null {
    const [, name = '', value = ''] = /^([^:]*):? ?([\s\S]*)$/.exec(line) ?? []
    if (name === 'data') this.#data.push(value)
    else if (name === 'event') this.#event = value
    else if (name === 'id' && !value.includes('\0')) this.#id = value
    return null
  }

  #take(): Message | null {
    const [event, data] = [this.#event || 'message', this.#data]
    this.#event = ''
    this.#data = []
    return data.length === 0 ? null : { id: this.#id, event, data: data.join('\n') }
  }
}

const tooLarge = (chars: number): NoAnswer =>
  new NoAnswer('tooLarge', `an event has more than ${chars} characters`, {
    outcome: 'notDone',
    retriable: false,
    next: 'Check the server’s address: this is not one of its events.',
  })

export interface Following extends Retries {
  readonly caller: Caller
  readonly call: Call
  /** the id after which it begins; null: now */
  readonly after: string | null
  /** opening it the first time is tried again as well, for as long as that may help */
  readonly untilOpen?: boolean | undefined
  /** as often as the stream is there, first or again */
  readonly onOpen?: (() => void) | undefined
  /** as often as it broke off, or could not be opened again, and is tried again */
  readonly onLost?: ((error: DownlinkError) => void) | undefined
}

/** What the server calls its messages: something happened; the stream is as far as its id; what comes next has been purged. */
const CHANGE = 'change'
const GONE = 'gone'

/**
 * The changes of a stream, until whoever reads them stops, or the signal says so (then it throws its reason). Opening it the first time fails as every call does,
 * unless `untilOpen`; from then on it is opened again for as long as that may help, unless `retries` is 0. Each of these attempts is one call: how often they come
 * is decided here alone.
 */
export async function* follow(of: Following): AsyncGenerator<Message, never> {
  const { caller, call, retries, sleep, random, onOpen, onLost } = of
  const { signal } = call
  let last = of.after
  let isKept = of.untilOpen === true && retries > 0
  for (let failures = 0; ; failures += 1) {
    let lost: DownlinkError = broken()
    try {
      const headers = last === null ? {} : { 'last-event-id': last }
      const response = await caller.open({ ...call, headers }, isKept ? 0 : retries)
      isKept = true
      onOpen?.()
      for await (const message of messages(response, signal)) {
        failures = 0
        last = message.id ?? last
        if (message.event === GONE) throw gone()
        if (message.event === CHANGE) yield message
      }
    } catch (error) {
      if (!isKept || !(error instanceof DownlinkError) || !mayRepeat(error)) throw error
      lost = error
    }
    if (retries === 0) throw lost
    onLost?.(lost)
    await sleep(pauseMs(failures, lost.retryAfterMs, random) ?? RETRY_AFTER_MAX_MS, signal)
  }
}

const gone = (): DownlinkError =>
  new DownlinkError('changes that would come next have been purged', {
    ...{ code: codes.cursorGone, outcome: 'notDone', retriable: false },
    next: errors.cursorGone.next,
  })

const broken = (): NoAnswer =>
  new NoAnswer('lost', 'the stream of events broke off', {
    outcome: 'notDone',
    retriable: true,
    next: 'Follow it again after the id of the last event.',
  })

/** Of one response, until it ends, breaks off, or says nothing for too long. Throws only the signal's reason, and NoAnswer for what is no event. */
async function* messages(response: Response, signal: AbortSignal | undefined): AsyncGenerator<Message> {
  if (response.body === null) return
  const input = response.body.getReader()
  const decoder = new TextDecoder()
  const reader = new MessageReader()
  // Whoever waits for the next piece is then told that there is none.
  const stop = () => void input.cancel().catch(() => undefined)
  let timer = setTimeout(stop, STREAM_SILENCE_MS)
  signal?.addEventListener('abort', stop, { once: true })
  try {
    for (;;) {
      const piece = await input.read().catch(() => null)
      signal?.throwIfAborted()
      // A connection that broke off is an end like any other: what was missed comes with the next one.
      if (piece === null || piece.done) return
      clearTimeout(timer)
      timer = setTimeout(stop, STREAM_SILENCE_MS)
      yield* reader.read(decoder.decode(piece.value, { stream: true }))
    }
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
    stop()
  }
}
