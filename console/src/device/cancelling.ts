// Cancelling, and finding out for certain what came of it: what the server has said, and where nothing was heard of it, what is on record. It is kept beside
// the page, because the row of a command is gone before all is known of it. Not here: buttons, dialogs and words (cancel.tsx).

import {
  type Command,
  type CommandRecord,
  codes,
  type Device,
  type Downlink,
  DownlinkError,
  isFinal,
  State,
} from '@downlink/client'
import { type Signal, signal } from '@preact/signals'
import { serverNow } from '../clock.ts'
import { endsSession, isSignedIn, pause } from '../session.ts'

/** What is cancelled: a command as the server shows it anywhere. */
export type Target = Pick<
  Command,
  'commandId' | 'assetId' | 'productKey' | 'deviceKey' | 'commandName' | 'tslIdentifier'
>

/** How far cancelling one command has come. */
export type Attempt = {
  readonly target: Target /** ms since 1970, the server's, when this became so */
  readonly at: number
} & (
  | { readonly phase: 'asking' }
  /** no answer was heard, so it may have been cancelled or not: the record is looked at until that is known */
  | { readonly phase: 'unheard' }
  /** it is cancelled, and will never be sent */
  | { readonly phase: 'cancelled' }
  /** it had been sent, or was over; `record` says since when, and is null where only the state was learnt */
  | { readonly phase: 'tooLate'; readonly state: State; readonly record: CommandRecord | null }
  /** no answer was heard, and at that moment it still waited */
  | { readonly phase: 'waits' }
  | { readonly phase: 'refused'; readonly error: unknown }
)

/** attempts that are kept, of which only the last few are shown: enough for whoever cancels one after the other for a while */
const ATTEMPTS_MAX = 200
/** ms between two looks at a record that could not be read */
const LOOK_AGAIN_MS = 2_000
/** records that are asked for at a time: a browser has six connections to a server, and the stream needs one */
const LOOKS_AT_A_TIME = 3

const attempts = new WeakMap<Downlink, Signal<ReadonlyMap<string, Attempt>>>()

/** All attempts of who is signed in, by commandId, oldest first. Read while rendering, they are followed. */
export function attemptsOf(client: Downlink): Signal<ReadonlyMap<string, Attempt>> {
  const kept = attempts.get(client) ?? signal<ReadonlyMap<string, Attempt>>(new Map())
  attempts.set(client, kept)
  return kept
}

/** What came of it has been read, and so has what came of those before it at the same device. What is under way goes on, and is told of when it is over. */
export function forget(client: Downlink, { commandId, assetId }: Target): void {
  const kept = attemptsOf(client)
  const rest = new Map(kept.value)
  for (const [id, { target }] of kept.value) {
    if (target.assetId === assetId) rest.delete(id)
    if (id === commandId) break
  }
  kept.value = rest
}

type Progress = Attempt extends infer One ? (One extends Attempt ? Omit<One, 'target' | 'at'> : never) : never

function keep(client: Downlink, target: Target, progress: Progress): Attempt {
  const kept = attemptsOf(client)
  const attempt = { ...progress, target, at: serverNow() } as Attempt
  const others = [...kept.value].filter(([commandId]) => commandId !== target.commandId)
  kept.value = new Map([...others.slice(1 - ATTEMPTS_MAX), [target.commandId, attempt]])
  return attempt
}

/**
 * Cancels one command, once: while it is under way another call for the same command does nothing. Resolves when it is known what came of it; null where it
 * is under way already, or the session ended meanwhile.
 */
export async function cancelOne(client: Downlink, target: Target): Promise<Attempt | null> {
  const { commandId, assetId } = target
  const phase = attemptsOf(client).peek().get(commandId)?.phase
  if (phase === 'asking' || phase === 'unheard') return null
  keep(client, target, { phase: 'asking' })
  try {
    const { cancelled, state } = await client.cancel({ assetId }, commandId)
    if (cancelled) return keep(client, target, { phase: 'cancelled' })
    const record = await client.record(commandId).catch(() => null)
    return keep(client, target, { phase: 'tooLate', state: record?.state ?? state, record })
  } catch (error) {
    if (endsSession(error, client)) return null
    if (!isUnheard(error)) return keep(client, target, { phase: 'refused', error })
  }
  keep(client, target, { phase: 'unheard' })
  return lookUp(client, target)
}

/** What is on record of a command of which it is not known whether the cancel was carried out. */
async function lookUp(client: Downlink, target: Target): Promise<Attempt | null> {
  const found = await untilHeard(client, () => client.record(target.commandId))
  if (found === null) return null
  if ('error' in found) return keep(client, target, { phase: 'refused', error: found.error })
  return keep(client, target, recorded(found.value))
}

/** What the record says of a cancel that was not answered. */
function recorded(record: CommandRecord): Progress {
  const { state } = record
  if (state === State.cancelled) return { phase: 'cancelled' }
  return state === State.created ? { phase: 'waits' } : { phase: 'tooLate', state, record }
}

/**
 * An event has told of a command that was not cancelled, and is not over: what is shown of it is looked at again. One that came back to the queue may go out
 * once more; a cancel of which no answer was heard may only have been late.
 */
export async function lookAgain(client: Downlink, commandId: string): Promise<void> {
  const attempt = attemptsOf(client).peek().get(commandId)
  const isOpen = attempt?.phase === 'waits' || (attempt?.phase === 'tooLate' && !isFinal(attempt.state))
  if (attempt === undefined || !isOpen) return
  const record = await client.record(commandId).catch(() => null)
  // What could not be read is read with the next event; what is shown has its time beside it.
  if (record === null || attemptsOf(client).peek().get(commandId) !== attempt) return
  const isBack = attempt.phase === 'tooLate' && record.state === State.created
  keep(client, attempt.target, isBack ? { phase: 'tooLate', state: record.state, record } : recorded(record))
}

const isUnheard = (error: unknown): boolean => error instanceof DownlinkError && error.outcome !== 'notDone'

/** Asks until there is an answer, or a refusal; null where the session ended, somebody else has signed in, or the signal said so. */
async function untilHeard<T>(
  client: Downlink,
  ask: () => Promise<T>,
  signal?: AbortSignal,
): Promise<{ readonly value: T } | { readonly error: unknown } | null> {
  for (;;) {
    try {
      return { value: await ask() }
    } catch (error) {
      if (signal?.aborted || endsSession(error, client)) return null
      const isMissing =
        error instanceof DownlinkError && (error.code === codes.notFound || error.code === codes.commandNotFound)
      const mayHelp = error instanceof DownlinkError && !isMissing && (error.retriable || error.code === null)
      if (!mayHelp) return { error }
    }
    const isOver = await pause(LOOK_AGAIN_MS, signal).then(
      () => false,
      () => true,
    )
    if (isOver || !isSignedIn(client)) return null
  }
}

/** What became of a command that was in the queue when all of it was to be cancelled, and was not cancelled. */
export interface Left {
  readonly target: Target
  /** as it is on record now; null: it could not be read, and `error` says why */
  readonly record: CommandRecord | null
  readonly error: unknown
}

/** What cancelling all that waits for a device came to. */
export interface AllCancelled {
  /** whether the server has said so; else it is what stood on record afterwards */
  readonly isAnswered: boolean
  /** oldest first; they will never be sent */
  readonly cancelled: readonly Target[]
  /** in the order of the queue */
  readonly left: readonly Left[]
  /** ms since 1970, the server's, when it was known */
  readonly at: number
}

/**
 * Cancels all that waits for a device, once: nothing is repeated, because a second one would cancel what was sent since. `queue` is what was open, in order,
 * when it was asked for, with the one in flight. `onUnheard` is called where no answer was heard; then the records tell. Throws where the server refused, and
 * nothing was cancelled; null where the session ended or the signal said so.
 */
export async function cancelAll(
  client: Downlink,
  device: Device,
  queue: readonly Command[],
  { signal, onUnheard }: { readonly signal: AbortSignal; readonly onUnheard: () => void },
): Promise<AllCancelled | null> {
  let cancelled: readonly Command[]
  try {
    cancelled = await client.cancelAll(device, { signal })
  } catch (error) {
    if (signal.aborted || endsSession(error, client)) return null
    if (!isUnheard(error)) throw error
    onUnheard()
    return onRecord(client, device, queue, signal)
  }
  const ids = new Set(cancelled.map(({ commandId }) => commandId))
  const others = queue.filter(({ commandId }) => !ids.has(commandId))
  const found = await leftOf(client, others, signal)
  if (found === null) return null
  const { left, alsoCancelled } = parted(found)
  return { isAnswered: true, cancelled: inOrder([...cancelled, ...alsoCancelled]), left, at: serverNow() }
}

/** Of what it was to cancel, somebody else may have cancelled some a moment before: nobody needs to worry about these. */
function parted(found: readonly Left[]): { left: readonly Left[]; alsoCancelled: readonly Target[] } {
  const isCancelled = ({ record }: Left) => record?.state === State.cancelled
  return {
    left: found.filter(one => !isCancelled(one)),
    alsoCancelled: found.filter(isCancelled).map(({ target }) => target),
  }
}

const inOrder = (targets: readonly Target[]): readonly Target[] =>
  [...targets].sort((one, other) => (one.commandId < other.commandId ? -1 : 1))

/** What the records say of them; and which of those that came afterwards are cancelled. */
export async function onRecord(
  client: Downlink,
  device: Device,
  queue: readonly Command[],
  signal: AbortSignal,
): Promise<AllCancelled | null> {
  const found = await leftOf(client, queue, signal)
  const last = queue.at(-1)
  const since = await untilHeard(client, () => cancelledAfter(client, device, last, signal), signal)
  if (found === null || since === null) return null
  const { left, alsoCancelled } = parted(found)
  const cancelled = [...alsoCancelled, ...('value' in since ? since.value : [])]
  return { isAnswered: false, cancelled, left, at: serverNow() }
}

/** Oldest first. Ids of a device only grow, so those after `last` were accepted after it. */
async function cancelledAfter(
  client: Downlink,
  device: Device,
  last: Command | undefined,
  signal: AbortSignal,
): Promise<readonly Target[]> {
  if (last === undefined) return []
  const second = `${new Date(Number(last.createTime)).toISOString().slice(0, 19)}Z`
  const expression = `state = ${State.cancelled} and createTime >= "${second}"`
  const found: Command[] = []
  for await (const command of client.search(device, { expression, signal })) {
    if (command.commandId <= last.commandId) break
    found.unshift(command)
  }
  return found
}

async function leftOf(
  client: Downlink,
  targets: readonly Target[],
  signal: AbortSignal,
): Promise<readonly Left[] | null> {
  const left: Left[] = []
  const waiting = [...targets.entries()]
  const look = async (): Promise<boolean> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, target] = next
      const found = await untilHeard(client, () => client.record(target.commandId, { signal }), signal)
      if (found === null) return false
      left[index] =
        'value' in found ? { target, record: found.value, error: null } : { target, record: null, error: found.error }
    }
    return true
  }
  const done = await Promise.all(Array.from({ length: LOOKS_AT_A_TIME }, look))
  return done.every(Boolean) ? left : null
}
