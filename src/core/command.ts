// The nouns of the queue: a command, its states, its identity. Data and pure functions only; the rules are in queue.ts.

/** States as the vendor numbers them. *Open* = created or sent; *final* = the other five. */
export const State = {
  created: 1,
  cancelled: 2,
  expired: 3,
  sent: 4,
  succeeded: 5,
  failed: 6,
  timedOut: 7,
} as const
export type State = (typeof State)[keyof typeof State]

/** The name of a state, for event logs, messages and documents: `stateName[4] === 'sent'`. */
export const stateName: Readonly<Record<State, keyof typeof State>> = {
  1: 'created',
  2: 'cancelled',
  3: 'expired',
  4: 'sent',
  5: 'succeeded',
  6: 'failed',
  7: 'timedOut',
}

export const isOpen = (state: State): boolean => state === State.created || state === State.sent

/** 1 = set a measurepoint, 2 = invoke a service: the wire's `commandType`. */
export const Kind = { set: 1, invoke: 2 } as const
export type Kind = (typeof Kind)[keyof typeof Kind]

/**
 * The slim record of one command: all that the rules look at, no payload.
 * Instants are epoch milliseconds. A command is *instant* when `pendingTtlS` is 0.
 */
export interface Command {
  /** 19 decimal digits, see {@link idMs}. Text order is numeric order. */
  readonly id: string
  readonly state: State
  readonly kind: Kind
  /** measurepoint id or service id */
  readonly identifier: string
  readonly timeoutS: number
  /** 0 = instant */
  readonly pendingTtlS: number
  /** The instant at which it lapses if it is still *created*: cached, end of pendingTtl; instant, end of timeout. */
  readonly expireAt: number
  /** The instant at which it lapses if it is still *sent*; null until sent. */
  readonly deadlineAt: number | null
  readonly createdAt: number
  readonly sentAt: number | null
  readonly settledAt: number | null
  /** number of the device session that it was sent on; null until sent */
  readonly sentSession: number | null
  /** appKey of the application that created it */
  readonly createdBy: string
  /**
   * Why it settled: 0 succeeded, one of ours (errors.ts), or the device's own integer code. Null while open, where it expired, and where a caller
   * cancelled it.
   */
  readonly code: number | null
  /** replies that came after it was final: the first ones are kept as events, all are counted */
  readonly lateReplies: number
}

/** What travels with a command but decides nothing. JSON as text, already validated. */
export interface CommandBody {
  /** StringI18n `{defaultValue, i18nValue}` of the point or service when the command was created */
  readonly nameJson: string
  /** kind set: the bare value; kind invoke: the map of inputs */
  readonly inputJson: string
  /** outputs of a service, or null */
  readonly outputJson: string | null
  /** the device's code exactly as it sent it, as text; null before a reply */
  readonly deviceCode: string | null
  readonly deviceMessage: string | null
}

/** Epoch of the time bits in a commandId, in ms. The vendor's ids decode with it. */
export const ID_EPOCH_MS = 1_288_834_974_657
const NODE_BITS = 10n
const SEQUENCE_BITS = 13n

/** createTime in ms, which a commandId carries in its upper bits. */
export const idMs = (id: string): number => Number(BigInt(id) >> (NODE_BITS + SEQUENCE_BITS)) + ID_EPOCH_MS

/** The node that gave a commandId. */
export const idNode = (id: string): number => Number((BigInt(id) >> SEQUENCE_BITS) & ((1n << NODE_BITS) - 1n))

/** The smallest id of the given millisecond: also the bound for a range of ids by time. */
export const makeId = (ms: number, node: number, sequence: number): string =>
  (
    (BigInt(ms - ID_EPOCH_MS) << (NODE_BITS + SEQUENCE_BITS)) |
    (BigInt(node) << SEQUENCE_BITS) |
    BigInt(sequence)
  ).toString()

/** A commandId as callers write it: 1 to 19 decimal digits. Real ids have 19; fewer name nothing but are well-formed. */
export const isCommandId = (text: string): boolean => /^[0-9]{1,19}$/.test(text)

/** `measurepoint/set` and service topics are made of these, so nothing that MQTT or a path would read otherwise may pass. */
export const isKey = (text: string): boolean => /^[A-Za-z0-9_.-]{1,64}$/.test(text)

/** What a device is told: everything that makes up the PUBLISH. */
export interface Downlink {
  readonly commandId: string
  readonly kind: Kind
  readonly identifier: string
  readonly inputJson: string
  /** session number it was decided for */
  readonly session: number
  /** Not a byte may leave at or after this instant. */
  readonly notAfter: number
}
