// The five actions on /connect-service/v2.1/commands: from the shape of a request to an input of the engine, and from its answer to a result.
// Not here: who is asking and whether they may (app.ts), the rules of the queue (core/queue.ts).

import { type Command, isCommandId, isKey, Kind, State } from '../core/command.ts'
import { assert, errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import {
  PAGE_MAX_BYTES,
  PAGE_SIZE_DEFAULT,
  PAGE_SIZE_MAX,
  PENDING_TTL_MAX_S,
  TIMEOUT_DEFAULT_S,
  TIMEOUT_MAX_S,
} from '../core/limits.ts'
import { checkPoint, checkService } from '../core/model.ts'
import type { KeptAnswer } from '../core/queue.ts'
import type { NewCommand } from '../engine.ts'
import { StoreUnavailable } from '../store/nodes.ts'
import type { StoredCommand } from '../store/store.ts'
import { outcomeOf, type Settlement } from '../waiters.ts'
import { type Action, type DeviceCall, isEmptyBody, objectBody, type Resource } from './action.ts'
import * as described from './commands-described.ts'
import { parseExpression } from './expression.ts'
import { readPagination } from './pagination.ts'
import { parseProjection } from './projection.ts'
import { type Asked, repeatable } from './repeats.ts'
import { commandStruct, failure, ok, onRecord, type Result, refused } from './wire.ts'

const control = { about: 'device', needs: { resource: 'Asset', action: 'Control' } } as const
const reading = { about: 'device', needs: { resource: 'Asset', action: 'Read' }, strict: false } as const

const actions: ReadonlyMap<string, Action> = new Map(
  Object.entries({
    setMeasurepoint: {
      ...described.setMeasurepoint,
      ...control,
      methods: ['POST'],
      strict: false,
      run: setMeasurepoint,
    },
    invokeService: { ...described.invokeService, ...control, methods: ['POST'], strict: false, run: invokeService },
    get: { ...described.get, ...reading, methods: ['GET', 'POST'], run: get },
    search: { ...described.search, ...reading, methods: ['POST'], run: search },
    cancel: { ...described.cancel, ...control, methods: ['POST', 'GET'], strict: true, run: cancel },
  } satisfies Record<string, Action>),
)

export const commands: Resource = { path: '/connect-service/v2.1/commands', label: '', tag: 'Commands', actions }

async function setMeasurepoint(call: DeviceCall): Promise<Result> {
  const measurepointId = call.query.get('measurepointId') ?? ''
  if (measurepointId === '') return failure(invalid('measurepointId', 'measurepointId is missing'))
  if (!isKey(measurepointId)) return failure(invalid('measurepointId', keyRule))
  const body = objectBody(call.body)
  if ('ok' in body) return failure(body)
  const asked = askedOf(call, 'setMeasurepoint', measurepointId)
  if ('ok' in asked) return failure(asked)
  const checked = checkPoint(await call.fleet.model(call.device), measurepointId, body.fields.get('value'))
  if (!checked.ok) return unfit(call, asked, checked)
  return send(call, Kind.set, asked, checked.name, checked.value)
}

async function invokeService(call: DeviceCall): Promise<Result> {
  const serviceId = call.query.get('serviceId') ?? ''
  if (serviceId === '') return failure(invalid('serviceId', 'serviceId is missing'))
  if (!isKey(serviceId)) return failure(invalid('serviceId', keyRule))
  const body = objectBody(call.body)
  if ('ok' in body) return failure(body)
  const asked = askedOf(call, 'invokeService', serviceId)
  if ('ok' in asked) return failure(asked)
  const checked = checkService(await call.fleet.model(call.device), serviceId, body.fields.get('inputData'))
  if (!checked.ok) return unfit(call, asked, checked)
  return send(call, Kind.invoke, asked, checked.name, checked.inputs)
}

const keyRule = 'must be 1 to 64 of A-Z a-z 0-9 _ . -'

function askedOf(call: DeviceCall, action: Asked['action'], identifier: string): Asked | Refusal {
  const pendingTtlS = seconds(call.query, 'pendingTtl', 0, PENDING_TTL_MAX_S, 0)
  if (typeof pendingTtlS !== 'number') return pendingTtlS
  const timeoutS = seconds(call.query, 'timeout', 1, TIMEOUT_MAX_S, TIMEOUT_DEFAULT_S)
  return typeof timeoutS === 'number' ? { action, identifier, pendingTtlS, timeoutS } : timeoutS
}

/** What is asked does not fit the model. It may have fitted when it was asked first: then a repeat gets that answer all the same. */
async function unfit(call: DeviceCall, asked: Asked, refusal: Refusal): Promise<Result> {
  const { repeatable: of } = repeatable(call, asked)
  if (of === undefined) return failure(refusal)
  const [queue] = await call.store.load([{ deviceId: call.device.id, commandIds: [], keys: [of] }])
  const now = call.clock.now()
  const kept = queue?.kept.find(({ requestHash, expireAt }) => requestHash === of.requestHash && now < expireAt)
  if (kept === undefined) return failure(refusal)
  const instant = asked.pendingTtlS === 0
  const open = queue?.open.find(({ id }) => id === kept.commandId)
  if (open === undefined || !instant) return again(call, kept, instant)
  const message =
    'Service unavailable: the first call still waits, and the model has changed since: get the command later'
  return failure(refuse(errors.unavailable, message), onRecord(open), 503)
}

async function send(call: DeviceCall, kind: Kind, asked: Asked, name: object, input: unknown): Promise<Result> {
  const { identifier, pendingTtlS, timeoutS } = asked
  const instant = pendingTtlS === 0
  const command: NewCommand = {
    kind,
    identifier,
    timeoutS,
    pendingTtlS,
    by: call.appKey,
    nameJson: JSON.stringify(name),
    inputJson: JSON.stringify(input),
    ...repeatable(call, asked),
  }
  const accepted = await call.engine.enqueue(call.device.id, command, instant)
  if (!accepted.ok) return refused(accepted)
  if (accepted.settlement !== null) return settled(await accepted.settlement)
  if ('repeated' in accepted) return again(call, accepted.repeated, instant)
  if (accepted.command.state === State.failed) return failed(accepted.command)
  return ok({ commandId: accepted.command.id })
}

/** What the first call was answered, or would have been. */
async function again(call: DeviceCall, { commandId, refusedCode }: KeptAnswer, instant: boolean): Promise<Result> {
  if (refusedCode !== null) return failed({ id: commandId, state: State.failed, code: refusedCode })
  if (!instant) return ok({ commandId })
  // It is final: who repeats a call whose command is open waits for it like the first.
  const stored = await call.store.command(call.device.id, commandId)
  if (stored !== null) return settled({ type: 'settled', command: stored.command, outcome: outcomeOf(stored) })
  const message = `the call was performed before as commandId ${commandId}, whose record has been purged since`
  return failure(refuse(errors.commandNotFound, message), { commandId })
}

/** What the caller of an instant command is told when it has ended. Every failure carries commandId and state: the command is on record. */
function settled(settlement: Settlement): Result {
  const { command } = settlement
  if (settlement.type === 'stopping')
    return failure(refuse(errors.unavailable, 'Service unavailable: the server is stopping'), onRecord(command), 503)
  const { outcome } = settlement
  if (command.state === State.succeeded) {
    const outputData = outcome?.outputJson ? JSON.parse(outcome.outputJson) : {}
    return ok(command.kind === Kind.invoke ? { commandId: command.id, outputData } : { commandId: command.id })
  }
  if (outcome === null) return failed(command)
  const isInteger = command.code !== null && String(command.code) === String(Number(outcome.deviceCode))
  const deviceCode = isInteger ? command.code : outcome.deviceCode
  const message = outcome.deviceMessage || `the device answered code ${outcome.deviceCode}`
  return failure(
    { ok: false, code: command.code ?? errors.internal.code, message },
    { ...onRecord(command), deviceCode },
  )
}

/** Ended without an answer of the device. */
function failed(command: Pick<Command, 'id' | 'state' | 'code'>): Result {
  if (command.state === State.cancelled && command.code === null)
    return failure(
      refuse(errors.notSent, 'not sent: the instant command was cancelled while it waited'),
      onRecord(command),
    )
  const why = reasons.get(command.code ?? -1) ?? 'the command failed'
  return failure({ ok: false, code: command.code ?? errors.internal.code, message: why }, onRecord(command))
}

const reasons: ReadonlyMap<number, string> = new Map([
  [errors.inactive.code, 'device not activated, instant command cannot be sent'],
  [errors.offline.code, 'device offline, instant command cannot be sent'],
  [errors.queueFull.code, 'cached commands of the device at upper limit'],
  [errors.notSent.code, 'not sent, instant command timed out'],
  [errors.timedOut.code, 'sent, response timed out'],
  [
    errors.notEncodable.code,
    'the command is larger than the device takes, the codec of its product failed, or it takes no such commands',
  ],
  [errors.deviceDeleted.code, 'the device was deleted'],
])

async function get(call: DeviceCall): Promise<Result> {
  const commandId = namedCommand(call.query)
  if (typeof commandId !== 'string') return failure(commandId ?? invalid('commandId', 'commandId is missing'))
  const settled = await call.engine.settleDue(call.device.id)
  if (!settled.ok) return refused(settled)
  const stored = await call.store.command(call.device.id, commandId)
  if (stored === null) return failure(refuse(errors.commandNotFound, `commandId ${commandId} not found`))
  return ok(commandStruct(stored, call.device))
}

async function search(call: DeviceCall): Promise<Result> {
  const body = objectBody(call.body)
  if ('ok' in body) return failure(body)
  const expression = body.fields.get('expression') ?? ''
  if (typeof expression !== 'string') return failure(invalid('expression', 'must be a string'))
  const condition = parseExpression(expression, call.device.timezone)
  if (!condition.ok) return failure(condition)
  const projection = parseProjection(body.fields.get('projection'))
  if (!projection.ok) return failure(projection)
  const page = readPagination(body.fields.get('pagination'), PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
  if ('ok' in page) return failure(page)

  const { pageNo, pageSize, offset } = page
  const settled = await call.engine.settleDue(call.device.id)
  if (!settled.ok) return refused(settled)
  const { rows, total } = await call.store.search(call.device.id, condition.condition, offset, pageSize)
  const bytes = pageBytes(rows)
  if (bytes > PAGE_MAX_BYTES) {
    const megabytes = (bytes / 1_000_000).toFixed(1)
    return failure(invalid('pagination.pageSize', `the page would be ${megabytes} MB; ask for fewer`))
  }
  const data = rows.map(row => projection.project(commandStruct(row, call.device)))
  const sortedBy = [{ field: 'createDate', order: 'DESC' }]
  return ok(data, { pagination: { sortedBy, pageNo, pageSize, totalSize: total } })
}

/** Of the names, inputs and outputs of a page. A projection is not counted off: what it leaves out has to be read all the same. */
const pageBytes = (rows: readonly StoredCommand[]): number =>
  rows.reduce(
    (sum, { body: { nameJson, inputJson, outputJson } }) =>
      sum + Buffer.byteLength(nameJson) + Buffer.byteLength(inputJson) + Buffer.byteLength(outputJson ?? ''),
    0,
  )

/** They are cancelled, and that is on record; but the store was lost before their contents were read. A repeat would say that nothing was cancelled. */
function cancelledUnseen(cancelled: readonly Command[]): Result {
  const message =
    'cancelled, as data says; the store was lost before more of it could be read: get them by their commandIds'
  return failure(refuse(errors.unavailable, message), cancelled.map(onRecord), 503)
}

/** With commandId that one, without all of the device; `data` holds exactly those that this call cancelled. */
async function cancel(call: DeviceCall): Promise<Result> {
  // A commandId in a body would otherwise be overlooked, and all be cancelled where one was meant. Clients that must send a body send an empty one.
  if (!isEmptyBody(call.body))
    return failure(invalid('body', 'cancel takes no body; a commandId belongs into the query'))
  const commandId = namedCommand(call.query)
  if (commandId !== null && typeof commandId !== 'string') return failure(commandId)
  const answer = await call.engine.cancel(call.device.id, commandId, call.appKey)
  if (!answer.ok) return refused(answer)
  let bodies: Awaited<ReturnType<DeviceCall['store']['bodies']>>
  try {
    bodies = await call.store.bodies(answer.cancelled.map(({ id }) => id))
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error
    return cancelledUnseen(answer.cancelled)
  }
  const data = answer.cancelled.map(command => {
    const body = bodies.get(command.id)
    assert(body, 'a command just cancelled is on record')
    return commandStruct({ command, body }, call.device)
  })
  return ok(data, answer.notCancelled.length > 0 ? { notCancelled: answer.notCancelled } : {})
}

/** The commandId of the query: text, null where there is none, or why it is not one. An empty one is refused, not ignored. */
function namedCommand(query: ReadonlyMap<string, string>): string | Refusal | null {
  const commandId = query.get('commandId')
  if (commandId === undefined) return null
  return isCommandId(commandId) ? commandId : invalid('commandId', 'must be a decimal number of up to 19 digits')
}

function seconds(
  query: ReadonlyMap<string, string>,
  name: string,
  min: number,
  max: number,
  absent: number,
): number | Refusal {
  const text = query.get(name)
  if (text === undefined) return absent
  const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN
  return value >= min && value <= max ? value : invalid(name, `must be an integer from ${min} to ${max} (seconds)`)
}
