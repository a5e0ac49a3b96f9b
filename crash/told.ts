// The judge of what was told: every change that is on record must have arrived, of each device in its order without a gap, and more than once only as the
// same; and what is on record must be whole. Pure: it knows what came, and what the server says of itself. Not here: how it came (webhooks.ts).

import { field, numberField, textField } from './caller.ts'

/** An event as it was told, and the text that it was told in. */
export interface ToldEvent {
  readonly id: string
  readonly seq: number
  readonly assetId: string
  readonly commandId: string | null
  readonly from: number | null
  readonly to: number | null
  readonly text: string
}

/** Reads what stands in a line, or in a page; null where it is no event. */
export function eventOf(value: unknown): ToldEvent | null {
  const [id, assetId] = [textField(value, 'id'), textField(field(value, 'device'), 'assetId')]
  const seq = numberField(value, 'seq')
  if (id === null || assetId === null || seq === null) return null
  const commandId = textField(value, 'commandId')
  const text = JSON.stringify(value)
  return { id, seq, assetId, commandId, from: numberField(value, 'from'), to: numberField(value, 'to'), text }
}

/** What is wrong with what came over one way, in words, against the record of all that happened; `way` is how it came. */
export function judgeTold(way: string, record: readonly ToldEvent[], came: readonly ToldEvent[]): string[] {
  const faults: string[] = []
  const onRecord = new Map(record.map(event => [event.id, event]))
  const seen = new Set<string>()
  const lastSeq = new Map<string, number>()
  for (const event of came) {
    const known = onRecord.get(event.id)
    if (known === undefined) faults.push(`${way}: ${event.text} is not on record`)
    else if (known.text !== event.text) faults.push(`${way}: ${event.id} came as ${event.text}, and is ${known.text}`)
    if (seen.has(event.id)) continue
    seen.add(event.id)
    const before = lastSeq.get(event.assetId) ?? 0
    if (event.seq !== before + 1)
      faults.push(`${way}: of device ${event.assetId} event ${event.seq} came first after ${before}`)
    lastSeq.set(event.assetId, Math.max(before, event.seq))
  }
  for (const event of record) if (!seen.has(event.id)) faults.push(`${way}: ${event.text} never came`)
  return faults
}

/** How often something came that had come before. */
export const repeatsOf = (came: readonly ToldEvent[]): number => came.length - new Set(came.map(({ id }) => id)).size

/**
 * What is wrong with the record itself: of each device it is dense, of each command it goes from state to state without a gap, and it says of every command
 * that somebody was told of how it ended. `states` are those that the command's own record shows.
 */
export function judgeRecord(
  record: readonly ToldEvent[],
  acknowledged: readonly { readonly assetId: string; readonly id: string }[],
  states: ReadonlyMap<string, number>,
): string[] {
  const faults = judgeTold('the record', record, record)
  const stateOf = new Map<string, number | null>()
  for (const { commandId, from, to, text } of record) {
    if (commandId === null) continue
    const before = stateOf.get(commandId) ?? null
    if (before !== from) faults.push(`the record: ${text} does not go on from state ${before}`)
    stateOf.set(commandId, to)
  }
  for (const { id } of acknowledged)
    if (!stateOf.has(id)) faults.push(`the record: command ${id}, of which its caller was told, never came to be`)
  for (const [id, state] of states)
    if (stateOf.get(id) !== state)
      faults.push(
        `the record: command ${id} is in state ${state}, and its last event says ${stateOf.get(id) ?? 'nothing'}`,
      )
  return faults
}
