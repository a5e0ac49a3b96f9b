// What applications do while the server is killed under them: send, cancel, get, search, each in a loop of its own, telling the ledger what they were told.
// Not here: what it proves (ledger.ts), and who kills (kills.ts).

import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Caller, listOf, NoAnswer, numberField, textField } from './caller.ts'
import type { Chance } from './chance.ts'
import { numberOf } from './device.ts'
import { type DeviceName, POINT, SERVICE, SERVICE_INPUT } from './fleet.ts'
import type { Call, Ledger } from './ledger.ts'

export interface Pace {
  /** between two calls of one application */
  readonly pauseMs: { readonly from: number; readonly to: number }
  /** the share of instant commands */
  readonly instants: number
}
const PACE: Pace = { pauseMs: { from: 1, to: 15 }, instants: 0.12 }
/** the share of cached commands that live for a second or two only */
const SHORT_LIVED = 0.12
const LONG_TTL_S = 3_600
const TIMEOUT_S = { from: 1, to: 3 }
/** commands per device that an application remembers, to cancel or look at */
const REMEMBERED = 60

/** For servers that may be told to refuse: what an answer is worth, and who counts. */
export interface Hearing {
  /**
   * `judged`: it means what it says. `refused`: it says that nothing was done, as it may at such a time. `unknown`: it says that it is not known
   * whether anything was.
   */
  answer(answer: Answer): 'judged' | 'refused' | 'unknown'
  silence(error: NoAnswer): void
  /** A command was accepted, or done, by this answer. */
  sent(call: Call, id: string, answer: Answer): void
}

/** What applications and judges share of one server: the ledger, the signed caller, where the server is. */
export interface Wire {
  /** absent: every answer means what it says */
  readonly hearing?: Hearing
  readonly ledger: Ledger
  readonly caller: Caller
  /** resolves with the HTTP address when there is a server that listens; rejects when the run is called off */
  up(): Promise<string>
}

const isRefusal = (answer: Answer): boolean => answer.code !== 0 && textField(answer.data, 'commandId') === null

/** Sends one command and tells the ledger. The id, or null where none was answered. `padding` makes it larger. */
export async function send(wire: Wire, assetId: string, how: Sending): Promise<string | null> {
  const { pendingTtlS, timeoutS, invoke = false, padding } = how
  const httpUrl = await wire.up()
  const call: Call = wire.ledger.calling(assetId, timeoutS, pendingTtlS)
  const params = { pendingTtl: String(pendingTtlS), timeout: String(timeoutS) }
  const input = padding === undefined ? call.number : { [SERVICE_INPUT]: call.number, padding }
  try {
    const answer = invoke
      ? await wire.caller.call(
          httpUrl,
          assetId,
          { action: 'invokeService', serviceId: SERVICE, ...params },
          { inputData: { [SERVICE_INPUT]: input } },
        )
      : await wire.caller.call(
          httpUrl,
          assetId,
          { action: 'setMeasurepoint', measurepointId: POINT, ...params },
          { value: input },
        )
    const commandId = textField(answer.data, 'commandId')
    const { status, code, msg } = answer
    const worth = wire.hearing?.answer(answer) ?? 'judged'
    if (how.refused !== undefined && isRefusal(answer)) {
      wire.ledger.refused(call)
      how.refused(status, code)
    } else if (worth === 'unknown') wire.ledger.unanswered(call, true)
    else wire.ledger.answered(call, { status, code, commandId, text: msg })
    if (commandId !== null) wire.hearing?.sent(call, commandId, answer)
    return commandId
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error
    wire.hearing?.silence(error)
    wire.ledger.unanswered(call, error.reached)
    return null
  }
}
export interface Sending {
  readonly pendingTtlS: number
  readonly timeoutS: number
  readonly invoke?: boolean
  readonly padding?: string
  /** given: a refusal that stores nothing is no contradiction, whatever its code, and this is told it */
  readonly refused?: (status: number, code: number) => void
}

/** Cancels one command, or with null all of the device. The ids reported, or null without an answer or with a refusal. */
export async function cancel(wire: Wire, assetId: string, commandId: string | null): Promise<string[] | null> {
  const params = { action: 'cancel', ...(commandId === null ? {} : { commandId }) }
  const answer = await ask(wire, assetId, params, null)
  if (answer === null) return null
  if (answer.code !== 0) {
    if (commandId !== null && answer.code === 11404) wire.ledger.missing(assetId, commandId)
    return null
  }
  const ids = listOf(answer.data).map(command => textField(command, 'commandId') ?? '')
  wire.ledger.cancelled(assetId, ids)
  return ids
}

/** Looks at one command. Its state; null without an answer, or where it is not there. */
export async function look(wire: Wire, assetId: string, commandId: string): Promise<number | null> {
  const reading = wire.ledger.reading()
  const answer = await ask(wire, assetId, { action: 'get', commandId }, null)
  if (answer === null) return null
  if (answer.code === 11404) wire.ledger.missing(assetId, commandId)
  else if (answer.code !== 0)
    wire.ledger.contradiction(`get ${commandId}: ${answer.status} ${answer.code} ${answer.msg}`)
  else return show(wire.ledger, assetId, answer.data, reading).state
  return null
}

/** The newest records of a device. */
async function readNewest(wire: Wire, assetId: string): Promise<void> {
  const reading = wire.ledger.reading()
  const answer = await ask(wire, assetId, { action: 'search' }, { pagination: { pageNo: 1, pageSize: 20 } })
  if (answer === null) return
  if (answer.code !== 0) wire.ledger.contradiction(`search ${assetId}: ${answer.status} ${answer.code} ${answer.msg}`)
  for (const record of listOf(answer.data)) show(wire.ledger, assetId, record, reading)
}

/** All records of a device, page by page, in no order. Only where nothing is added meanwhile. Null where an answer is missing. */
export async function readAll(wire: Wire, assetId: string): Promise<Shown[] | null> {
  const records: Shown[] = []
  for (let pageNo = 1; ; pageNo += 1) {
    const reading = wire.ledger.reading()
    const answer = await ask(wire, assetId, { action: 'search' }, { pagination: { pageNo, pageSize: 200 } })
    if (answer === null || answer.code !== 0) return null
    const page = listOf(answer.data)
    for (const record of page) records.push(show(wire.ledger, assetId, record, reading))
    if (page.length < 200) return records
  }
}

export interface Shown {
  readonly id: string
  readonly state: number
  readonly call: number | null
}

function show(ledger: Ledger, assetId: string, record: unknown, reading: number): Shown {
  const id = textField(record, 'commandId') ?? ''
  const state = numberField(record, 'state') ?? 0
  const call = numberOf(Object.entries(record ?? {}).find(([name]) => name === 'inputData')?.[1])
  ledger.shown(assetId, id, state, call, reading)
  return { id, state, call }
}

/** An answer, or null where none came, or one that refuses. Cancels and reads may be lost: what is read next tells what they did. */
async function ask(
  wire: Wire,
  assetId: string,
  params: Readonly<Record<string, string>>,
  body: object | null,
): Promise<Answer | null> {
  const httpUrl = await wire.up()
  try {
    const answer = await wire.caller.call(httpUrl, assetId, params, body)
    return (wire.hearing?.answer(answer) ?? 'judged') === 'judged' ? answer : null
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error
    wire.hearing?.silence(error)
    return null
  }
}

/** One application in a loop: of its calls two thirds are commands, the rest cancels and reads. Ends when `stopping` says so, after its last answer. */
export async function apply(
  wire: Wire,
  devices: readonly DeviceName[],
  chance: Chance,
  stopping: () => boolean,
  { pauseMs, instants }: Pace = PACE,
): Promise<void> {
  const remembered = new Map<string, string[]>(devices.map(({ assetId }) => [assetId, []]))
  while (!stopping()) {
    const { assetId } = devices[chance.whole(0, devices.length - 1)] ?? { assetId: '' }
    const ids = remembered.get(assetId) ?? []
    const kind = chance.next()
    if (kind < 0.66) {
      const id = await send(wire, assetId, sending(chance, instants))
      if (id !== null) ids.push(id)
      if (ids.length > REMEMBERED) ids.shift()
    } else if (kind < 0.84) {
      const id = ids[chance.whole(0, ids.length - 1)]
      if (id !== undefined) await cancel(wire, assetId, id)
    } else if (kind < 0.87) await cancel(wire, assetId, null)
    else if (kind < 0.9) await readNewest(wire, assetId)
    else {
      const id = ids[chance.whole(0, ids.length - 1)]
      if (id !== undefined) await look(wire, assetId, id)
    }
    await sleep(chance.whole(pauseMs.from, pauseMs.to))
  }
}

/** Mostly cached for long, sometimes for a second or two so that it expires, sometimes instant. */
function sending(chance: Chance, instants: number): Sending {
  const isShort = () => chance.happens(SHORT_LIVED)
  const pendingTtlS = chance.happens(instants) ? 0 : isShort() ? chance.whole(1, 2) : LONG_TTL_S
  return { pendingTtlS, timeoutS: chance.whole(TIMEOUT_S.from, TIMEOUT_S.to), invoke: chance.happens(0.3) }
}
