// One HTTP exchange: sent by the fetch that was given, bounded in time and bytes, and what came back. Every way to fail is a NoAnswer that says whether
// anything can have been done. Not here: signatures, repeats, what the answers mean (caller.ts).

import { DownlinkError, type Nature, NoAnswer, type Outcome, shown } from './errors.ts'
import { ANSWER_MAX_BYTES } from './limits.ts'
import { isObject } from './wire.ts'

export type Fetch = typeof globalThis.fetch

export interface Request extends Nature {
  readonly method: string
  /** its address as it was given: what is asked of it has no place in a message */
  readonly server: string
  /** what follows the address: path and query */
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
  /** ms until the answer must be there, whole */
  readonly withinMs: number
  readonly signal: AbortSignal | undefined
}

/** Sends, and reads with `read`. Throws the signal's reason where it is aborted, else NoAnswer. */
export async function exchange<T>(
  fetch: Fetch,
  request: Request,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  const { method, headers, body, withinMs, signal } = request
  signal?.throwIfAborted()
  const controller = new AbortController()
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    controller.abort()
  }, withinMs)
  const stop = () => controller.abort(signal?.reason)
  signal?.addEventListener('abort', stop, { once: true })
  try {
    // A signed call is meant for one server: it follows no redirect.
    const init = { method, headers, signal: controller.signal, redirect: 'manual' } as const
    const response = await fetch(request.server + request.target, body === null ? init : { ...init, body })
    return await read(response)
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof DownlinkError) throw error
    throw isLate ? late(request) : lost(request, error)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
  }
}

/** The body as text. One that is larger than anyone needs is not read on. */
export async function readText(response: Response, maxBytes = ANSWER_MAX_BYTES): Promise<string> {
  if (response.body === null) return ''
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  let [text, bytes] = ['', 0]
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    bytes += value.byteLength
    if (bytes > maxBytes) {
      await reader.cancel()
      throw new NoAnswer('tooLarge', `the answer is larger than ${maxBytes} bytes`, {
        outcome: 'unknown',
        retriable: false,
        next: 'Ask for less, such as a smaller page.',
        httpStatus: response.status,
      })
    }
    text += decoder.decode(value, { stream: true })
  }
}

/** The JSON object of a body; NoAnswer where it is something else. */
export function readObject(request: Request, response: Response, text: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw foreign(request, response, text, error)
  }
  if (!isObject(value)) throw foreign(request, response, text)
  return value
}

/** HTTP's statuses of gateways that have no answer of the server. Whether it was done is known only of the first: too many calls. */
const GATEWAY: ReadonlyMap<number, Outcome> = new Map([
  [429, 'notDone'],
  [502, 'unknown'],
  [503, 'unknown'],
  [504, 'unknown'],
])

/** Something answered, and it is not a Downlink that this client understands. */
export function foreign(request: Request, response: Response, text: string, cause?: unknown): NoAnswer {
  const { status } = response
  // A redirect has no status in a browser.
  const isRedirect = response.type === 'opaqueredirect' || (status >= 300 && status < 400)
  const outcome = isRedirect || !request.changes ? 'notDone' : (GATEWAY.get(status) ?? 'unknown')
  const what = isRedirect
    ? `points elsewhere${told(response.headers.get('location'))}`
    : `does not answer as Downlink does: ${shown(text) || 'empty body'}`
  return new NoAnswer('foreign', `${shown(request.server)} ${what}`, {
    outcome,
    retriable: GATEWAY.has(status) && (outcome === 'notDone' || request.repeatable),
    next: isRedirect
      ? 'Calls are not followed there: name that server, if it is the one.'
      : 'Check the server’s address.',
    httpStatus: status,
    retryAfterMs: retryAfterMs(response),
    cause,
  })
}

const told = (location: string | null): string => (location === null ? '' : `, to ${shown(location)}`)

/** The header Retry-After, in ms: it has seconds, or a date, which counts from the server's own. Null: none that can be read. */
export function retryAfterMs({ headers }: Response): number | null {
  const text = headers.get('retry-after')?.trim() ?? ''
  if (/^[0-9]{1,9}$/.test(text)) return Number(text) * 1_000
  const ms = Date.parse(text) - Date.parse(headers.get('date') ?? '')
  return Number.isNaN(ms) ? null : Math.max(0, ms)
}

function late(request: Request): NoAnswer {
  const { server, withinMs, repeatable } = request
  const about = { outcome: unheard(request), retriable: repeatable, next: afterUnheard(request) }
  return new NoAnswer('late', `no answer from ${shown(server)} in ${withinMs} ms`, about)
}

/** What is known of a call that was perhaps sent, and not answered. */
const unheard = ({ changes }: Nature): Outcome => (changes ? 'unknown' : 'notDone')

const afterUnheard = ({ changes }: Nature): string =>
  changes
    ? 'It may have been done: look at what is on record, or repeat it with the same Idempotency-Key.'
    : 'Check that the server runs, and repeat the call.'

/** Where the cause has one of these codes of Node's, no byte of the call was handed over. */
const NOT_SENT: ReadonlySet<string> = new Set([
  ...['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'EMFILE'],
  'UND_ERR_CONNECT_TIMEOUT',
])
/** The other end is not who it should be, or speaks no TLS: nothing was sent, and a repeat does not help. */
const NOT_TRUSTED = /^(ERR_SSL|ERR_TLS|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH)/

function lost(request: Request, error: unknown): NoAnswer {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  const code = isObject(cause) && typeof cause.code === 'string' ? cause.code : ''
  const why = cause instanceof Error ? shown(cause.message || code || cause.name) : 'unknown cause'
  const isUntrusted = NOT_TRUSTED.test(code)
  const isUnsent = isUntrusted || NOT_SENT.has(code)
  return new NoAnswer('lost', `cannot reach ${shown(request.server)} (${why})`, {
    outcome: isUnsent ? 'notDone' : unheard(request),
    retriable: isUnsent ? !isUntrusted : request.repeatable,
    next: isUnsent ? 'Nothing was sent: check the server’s address, and that it runs.' : afterUnheard(request),
    cause,
  })
}
