// What can go wrong, as errors a program can go by: the server's codes with what to do next, and calls that nothing was heard of. A test keeps the
// table equal to the server's. Not here: which calls are repeated (retry.ts).

import { SHOWN_CHARS } from './limits.ts'
import { isObject, isState, type State, stateName } from './wire.ts'

interface Entry<Code extends number = number> {
  readonly code: Code
  /** whether a repeat can help */
  readonly retriable: boolean
  readonly next: string
}

const entry = <const Code extends number>(code: Code, retriable: boolean, next: string): Entry<Code> => ({
  code,
  retriable,
  next,
})

/** Every code that the server answers with, by its name. */
export const errors = {
  invalidArgument: entry(99400, false, 'Correct the parameter that the message names.'),
  denied: entry(
    99403,
    false,
    'Give the application the grant that the message names, or call with another application.',
  ),
  notFound: entry(99404, false, 'Check orgId and assetId, or productKey and deviceKey, or the id of what is meant.'),
  commandNotFound: entry(11404, false, 'Check the commandId; search the device for what is on record.'),
  deviceStatus: entry(11794, false, 'Look who did it: the event log of the device says so.'),
  inactive: entry(11888, false, 'Connect the device once, or cache the command with pendingTtl.'),
  offline: entry(11900, true, 'Repeat when the device is online, or cache the command with pendingTtl.'),
  queueFull: entry(11902, true, 'Cancel what is no longer wanted, or wait until the queue drains.'),
  notSent: entry(11904, true, 'Look at data.state: 6 it waited behind others for too long, 2 somebody cancelled it.'),
  timedOut: entry(11915, false, 'Find out from the device whether it was executed before sending it again.'),
  notEncodable: entry(
    11810,
    false,
    'Look at the last event of the command, which says which: send a smaller input, correct the codec, or do not send this device such commands.',
  ),
  deviceDeleted: entry(
    99410,
    false,
    'Look at data.state: 2 it was never sent, 6 it was sent and may have been executed.',
  ),
  internal: entry(
    99500,
    true,
    'Without data.deviceCode: get or search the device to see what is on record, then report it with the requestId.',
  ),
  unavailable: entry(99503, true, 'With data.commandId: get it later. Without: repeat after a pause.'),
  productNotFound: entry(11611, false, 'Search the products of the organization.'),
  productInUse: entry(11619, false, 'Delete its devices first.'),
  modelNotFound: entry(11699, false, 'Search the thing models of the organization, or create it.'),
  deviceKeyTaken: entry(11702, false, 'Choose another deviceKey, or leave it out to be given one.'),
  sameDeviceKey: entry(11704, false, 'Nothing, or choose another.'),
  noDeviceKey: entry(11714, true, 'Repeat the call.'),
  notGateway: entry(11738, false, 'Name a device whose product has productType Gateway.'),
  tooManyDevices: entry(11739, false, 'Use another product or gateway, or remove devices.'),
  topology: entry(11795, false, 'Ask which gateway it is behind: device-topos, action getGateway.'),
  keyReused: entry(99409, false, 'Use a new key for a new request; repeat a request with exactly what it had.'),
  cursorGone: entry(99411, false, 'Begin anew: read what is there, then follow the stream without a cursor.'),
  exists: entry(99412, false, 'Choose another name, or update what is there.'),
  isOver: entry(99413, false, 'Look at its status.'),
  outcomeUnknown: entry(
    99504,
    false,
    'With an Idempotency-Key repeat the call with the same key; else look at what is on record before repeating it. A cancel may be repeated.',
  ),
  repeated: entry(1001, false, 'Sign again with the current time.'),
  unknownApp: entry(1002, false, 'Check the appKey.'),
  badSignature: entry(
    1003,
    false,
    'Check the appSecret, what is signed (decoded query values, raw body) and the clock.',
  ),
  badParameter: entry(1004, false, 'Correct what the message names.'),
  missing: entry(1202, false, 'Send what the message names.'),
  tokenExpired: entry(1203, true, 'Get a new token and repeat the call.'),
  refreshFailed: entry(1204, false, 'Get a token instead.'),
} as const satisfies Record<string, Entry>

type Codes = { readonly [Name in keyof typeof errors]: (typeof errors)[Name]['code'] }
/** The codes by name: `if (error.code === codes.offline) …`. */
export const codes = Object.fromEntries(Object.entries(errors).map(([name, { code }]) => [name, code])) as Codes

/** HTTP's word for a caller who calls too often */
const TOO_MANY = 429

const byCode: ReadonlyMap<number, Entry> = new Map(Object.values(errors).map(entry => [entry.code, entry]))

/** What is known of a call that failed: it has done nothing; a command is on record because of it; or it may have been done, or not. */
export type Outcome = 'notDone' | 'onRecord' | 'unknown'

/** What a call is like, for whoever must judge one that failed. */
export interface Nature {
  /** whether it can change anything: reading and asking for a token cannot */
  readonly changes: boolean
  /** whether doing it twice is as good as once */
  readonly repeatable: boolean
}

/** An answer of the server: the envelope as it was read. */
export interface Answer<Data = unknown> {
  /** of HTTP */
  readonly httpStatus: number
  /** 0: done */
  readonly code: number
  readonly msg: string
  readonly requestId: string | null
  readonly data: Data
  /** the whole envelope, for what stands beside `data` */
  readonly fields: Readonly<Record<string, unknown>>
  /** the body as it came */
  readonly text: string
}

/** What an error knows beside its message. */
export interface About {
  readonly outcome: Outcome
  readonly retriable: boolean
  readonly next: string
  readonly code?: number | null
  readonly answer?: Answer | null
  readonly httpStatus?: number | null
  readonly requestId?: string | null
  readonly retryAfterMs?: number | null
  readonly cause?: unknown
}

/**
 * A call that failed. Go by `code` ({@link codes}), not by the message; {@link NoAnswer} is the one where the server's answer is missing.
 */
export class DownlinkError extends Error {
  override readonly name: string = 'DownlinkError'
  /** one of {@link codes}; null where the device refused (then see deviceCode), and where there is no answer */
  readonly code: number | null
  /**
   * Whether the same call may help another time, and does no harm. Where `outcome` is not `onRecord` it was repeated already, as often as `retries` says; a
   * command that is on record stays as it is, and whoever repeats the call sends another.
   */
  readonly retriable: boolean
  readonly outcome: Outcome
  /** the command that is on record because of this call; null: none, or it is not known */
  readonly commandId: string | null
  /** its state when the server answered */
  readonly state: State | null
  /** what the device answered, where it was the device that refused: a number, or whatever else it sent */
  readonly deviceCode: unknown
  /** what the server said beside that; null mostly */
  readonly data: unknown
  readonly httpStatus: number | null
  /** for whoever runs the server: its log has it too */
  readonly requestId: string | null
  /** what to do about it */
  readonly next: string
  /** under which the call was sent: whoever repeats it with the same key repeats nothing that was done */
  idempotencyKey: string | null = null
  readonly #problem: string
  readonly #answer: Answer | null
  readonly #retryAfterMs: number | null

  constructor(problem: string, about: About) {
    super(about.next === '' ? problem : `${problem}. ${about.next}`, { cause: about.cause })
    // Only what was told: an undefined cause would be printed as one.
    if (about.cause === undefined) Reflect.deleteProperty(this, 'cause')
    const { answer = null, code = null } = about
    const data = isObject(answer?.data) ? answer.data : {}
    this.code = code
    this.retriable = about.retriable
    this.outcome = about.outcome
    this.commandId = typeof data.commandId === 'string' ? data.commandId : null
    this.state = isState(data.state) ? data.state : null
    this.deviceCode = data.deviceCode ?? null
    this.data = answer?.data ?? null
    this.httpStatus = answer?.httpStatus ?? about.httpStatus ?? null
    this.requestId = answer?.requestId ?? about.requestId ?? null
    this.next = about.next
    this.#problem = problem
    this.#answer = answer
    this.#retryAfterMs = about.retryAfterMs ?? null
  }

  /** The message without what to do about it. */
  get problem(): string {
    return this.#problem
  }

  /** The whole answer; null where there is none. Not printed with the error. */
  get answer(): Answer | null {
    return this.#answer
  }

  /** ms after which the server asked to come again; null: it said nothing */
  get retryAfterMs(): number | null {
    return this.#retryAfterMs
  }
}

/**
 * Why there is no answer: `lost` the connection could not be made or broke off; `late` it did not come in time; `foreign` something else answered than
 * Downlink, or a Downlink that this client does not understand; `tooLarge` it is larger than a client reads.
 */
export type Why = 'lost' | 'late' | 'foreign' | 'tooLarge'

/** No answer, or none that could be understood. `outcome` says whether the call may have been done all the same. */
export class NoAnswer extends DownlinkError {
  override readonly name = 'NoAnswer'
  readonly why: Why

  constructor(why: Why, problem: string, about: About) {
    super(problem, about)
    this.why = why
  }
}

/** The caller could not prove who it is, or no longer, so that nothing was called. */
export class NoToken extends DownlinkError {
  override readonly name = 'NoToken'
}

/** What an error says beside the answer. */
export interface Beside {
  /** ms after which the server asked to come again */
  readonly retryAfterMs?: number | null
  /** what else is known about it, such as clocks that differ */
  readonly note?: string
}

/** The error of an answer that is a refusal. A device's own code is never taken for one of ours. */
export function refusalOf(answer: Answer, nature: Nature, beside: Beside = {}): DownlinkError {
  const { code, msg, data } = answer
  const { commandId, state, deviceCode } = isObject(data) ? data : {}
  const named = isState(state) ? `; command ${shown(String(commandId))} is ${stateName[state]}` : ''
  if (deviceCode !== undefined) {
    const message = `the device answered ${shown(JSON.stringify(deviceCode))}: ${shown(msg)}${named}`
    const next = 'The code is the device’s own: its manual has it.'
    return new DownlinkError(message, { answer, outcome: 'onRecord', retriable: false, next })
  }
  return new DownlinkError(`refused with ${code}: ${shown(msg)}${named}`, aboutRefusal(answer, nature, beside))
}

export const noToken = (answer: Answer, nature: Nature, beside: Beside): NoToken =>
  new NoToken(`the server gave no token: ${answer.code} ${shown(answer.msg)}`, aboutRefusal(answer, nature, beside))

/** An operator's token is not renewed: only another one helps, which somebody must make. */
export const tokenOver = (answer: Answer): NoToken =>
  new NoToken(`the operator token is not good: ${answer.code} ${shown(answer.msg)}`, {
    ...{ answer, code: answer.code, outcome: 'notDone', retriable: false },
    next: 'Ask for a new one: downlink console token makes it.',
  })

function aboutRefusal(answer: Answer, nature: Nature, { retryAfterMs = null, note = '' }: Beside): About {
  const known = byCode.get(answer.code)
  const outcome = outcomeOf(answer, known, nature)
  const mayHelp = isTooMany(answer) || known?.retriable === true
  return {
    answer,
    code: answer.code,
    outcome,
    retriable: outcome === 'unknown' ? known !== undefined && nature.repeatable : mayHelp,
    retryAfterMs,
    next: [known?.next ?? '', note].filter(text => text !== '').join(' '),
  }
}

function outcomeOf(answer: Answer, known: Entry | undefined, { changes }: Nature): Outcome {
  const { data } = answer
  // A list is what was cancelled, where no more could be told of it. Other refusals may have data too, of what is there.
  if (Array.isArray(data) || (isObject(data) && data.commandId !== undefined)) return 'onRecord'
  if (!changes || isTooMany(answer)) return 'notDone'
  const isOpen = answer.code === codes.outcomeUnknown || answer.code === codes.internal
  return known === undefined || isOpen ? 'unknown' : 'notDone'
}

const isTooMany = ({ httpStatus }: Answer): boolean => httpStatus === TOO_MANY

/** Text of somebody else, short and on one line: it may go to a terminal. */
export function shown(text: string, max = SHOWN_CHARS): string {
  const cut = text.length > max ? `${text.slice(0, max - 1)}…` : text
  return cut.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, sign => sign.replace(/[\s\S]/g, escapeOf))
}

const escapeOf = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
