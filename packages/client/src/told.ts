// What the server told, checked as far as the client goes by it; the rest is as it says. What is not there is NoAnswer that names the field.
// Not here: refusals (errors.ts), the envelope (caller.ts).

import { type Answer, codes, DownlinkError, NoAnswer, shown } from './errors.ts'
import { type ChangeEvent, type Command, isCommandId, isObject, isState } from './wire.ts'

export const notUnderstood = (field: string): NoAnswer =>
  new NoAnswer('foreign', `the answer has no proper ${field}`, {
    outcome: 'unknown',
    retriable: false,
    next: 'Is the server a Downlink of this version?',
  })

/** Makes sure of what the client itself goes by; the rest is as the server says. */
export function commandOf<T extends Command>(value: unknown): T {
  const { commandId, state, createTime }: Record<string, unknown> = isObject(value) ? value : {}
  if (!isCommandId(commandId)) throw notUnderstood('commandId')
  if (!isState(state)) throw notUnderstood('state')
  if (typeof createTime !== 'string' || !/^[0-9]{1,15}$/.test(createTime)) throw notUnderstood('createTime')
  return value as T
}

export function listOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw notUnderstood('data')
  return value
}

/** The one refusal that is none: cancelled, as its data says, and the store was lost before more could be told. */
export function cancelledUnseen(error: unknown): Answer {
  const isDone = error instanceof DownlinkError && error.code === codes.unavailable && Array.isArray(error.data)
  if (isDone && error.answer !== null) return error.answer
  throw error
}

export function eventOf(data: string): ChangeEvent {
  let event: unknown
  try {
    event = JSON.parse(data)
  } catch (error) {
    throw new NoAnswer('foreign', `an event is no JSON: ${shown(data)}`, {
      outcome: 'notDone',
      retriable: false,
      next: 'Is the server a Downlink of this version?',
      cause: error,
    })
  }
  if (!isObject(event) || typeof event.id !== 'string') throw notUnderstood('id of an event')
  return event as unknown as ChangeEvent
}
