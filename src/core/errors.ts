// Stable error codes: what they mean, whether a repeat can help, and what to do next. docs/errors.md prints this table and a test keeps both equal.
// Not here: HTTP status lines of the gateway (http/app.ts).

export interface ErrorEntry {
  readonly code: number
  readonly name: string
  readonly meaning: string
  readonly next: string
  readonly retriable: boolean
  /** `vendor`: documented by the vendor; `ours`: a choice of this project */
  readonly origin: 'vendor' | 'ours'
}

const entry = (
  code: number,
  name: string,
  origin: ErrorEntry['origin'],
  retriable: boolean,
  meaning: string,
  next: string,
): ErrorEntry => ({ code, name, origin, retriable, meaning, next })

/** Codes in the `code` field of the command API. */
export const errors = {
  ok: entry(0, 'ok', 'vendor', false, 'Done.', 'Nothing.'),
  invalidArgument: entry(
    99400,
    'invalidArgument',
    'vendor',
    false,
    'A parameter is missing, malformed, out of range or does not fit the thing model. Nothing was stored.',
    'Correct the parameter that the message names.',
  ),
  denied: entry(
    99403,
    'denied',
    'vendor',
    false,
    'The application has no grant for this, or none that covers the device, or belongs to another organization. With HTTP status 403: the call comes from where it may not, or is for an administrator and there is none.',
    'Give the application the grant that the message names, or call with another application.',
  ),
  notFound: entry(
    99404,
    'notFound',
    'vendor',
    false,
    'The device, or what else the call names, does not exist in this organization. With HTTP status 404: there is no such path or verb.',
    'Check orgId and assetId, or productKey and deviceKey, or the id of what is meant.',
  ),
  commandNotFound: entry(
    11404,
    'commandNotFound',
    'vendor',
    false,
    'The device has no command with this commandId, or its record was purged.',
    'Check the commandId; search the device for what is on record.',
  ),
  deviceStatus: entry(
    11794,
    'deviceStatus',
    'vendor',
    false,
    'The device is disabled, or enabled, already.',
    'Look who did it: the event log of the device says so.',
  ),
  inactive: entry(
    11888,
    'inactive',
    'vendor',
    false,
    'The device has never connected with a secret of its own, so an instant command cannot be sent. Recorded as failed.',
    'Connect the device once, or cache the command with pendingTtl.',
  ),
  offline: entry(
    11900,
    'offline',
    'vendor',
    true,
    'The device is offline or disabled, or went offline while the instant command waited. Recorded as failed.',
    'Repeat when the device is online, or cache the command with pendingTtl.',
  ),
  queueFull: entry(
    11902,
    'queueFull',
    'vendor',
    true,
    'The device already has as many created commands as it may have. Recorded as failed.',
    'Cancel what is no longer wanted, or wait until the queue drains.',
  ),
  notSent: entry(
    11904,
    'notSent',
    'vendor',
    true,
    'The instant command was not sent within its timeout, or was cancelled while it waited.',
    'Look at data.state: 6 it waited behind others for too long, 2 somebody cancelled it.',
  ),
  timedOut: entry(
    11915,
    'timedOut',
    'vendor',
    false,
    'The command was sent and not answered within its timeout. It may have been executed.',
    'Find out from the device whether it was executed before sending it again.',
  ),
  notEncodable: entry(
    11810,
    'notEncodable',
    'vendor',
    false,
    'The command cannot be put into a form that the device takes: it is larger than its Maximum Packet Size, the codec of its product failed, or it takes no such commands. Recorded as failed.',
    'Look at the last event of the command, which says which: send a smaller input, correct the codec, or do not send this device such commands.',
  ),
  deviceDeleted: entry(
    99410,
    'deviceDeleted',
    'ours',
    false,
    'The device was deleted before it answered the command.',
    'Look at data.state: 2 it was never sent, 6 it was sent and may have been executed.',
  ),
  internal: entry(
    99500,
    'internal',
    'vendor',
    true,
    'This input failed inside the server, or the device answered with a code that is not an integer (then data.deviceCode is set).',
    'Without data.deviceCode: get or search the device to see what is on record, then report it with the requestId.',
  ),
  unavailable: entry(
    99503,
    'unavailable',
    'ours',
    true,
    'The server is stopping, overloaded, or its clock ran backwards; the HTTP status is 503. With data.commandId the command is on record, without it nothing was stored.',
    'With data.commandId: get it later. Without: repeat after a pause.',
  ),
  productNotFound: entry(
    11611,
    'productNotFound',
    'vendor',
    false,
    'The productKey does not exist in this organization.',
    'Search the products of the organization.',
  ),
  productInUse: entry(
    11619,
    'productInUse',
    'vendor',
    false,
    'The product still has devices, so it is not deleted.',
    'Delete its devices first.',
  ),
  modelNotFound: entry(
    11699,
    'modelNotFound',
    'vendor',
    false,
    'The modelId does not exist in this organization.',
    'Search the thing models of the organization, or create it.',
  ),
  deviceKeyTaken: entry(
    11702,
    'deviceKeyTaken',
    'vendor',
    false,
    'The product has a device with this deviceKey already.',
    'Choose another deviceKey, or leave it out to be given one.',
  ),
  sameDeviceKey: entry(
    11704,
    'sameDeviceKey',
    'vendor',
    false,
    'The new deviceKey is the one that the device has.',
    'Nothing, or choose another.',
  ),
  noDeviceKey: entry(
    11714,
    'noDeviceKey',
    'vendor',
    true,
    'No free deviceKey was found in several attempts.',
    'Repeat the call.',
  ),
  notGateway: entry(
    11738,
    'notGateway',
    'vendor',
    false,
    'The device is not of a product for gateways, or is not in the organization.',
    'Name a device whose product has productType Gateway.',
  ),
  tooManyDevices: entry(
    11739,
    'tooManyDevices',
    'vendor',
    false,
    'The product, or the topology of the gateway, has as many devices as it may have.',
    'Use another product or gateway, or remove devices.',
  ),
  topology: entry(
    11795,
    'topology',
    'vendor',
    false,
    'The sub-device is behind a gateway already, is a gateway itself, or is not behind the gateway named.',
    'Ask which gateway it is behind: device-topos, action getGateway.',
  ),
  keyReused: entry(
    99409,
    'keyReused',
    'ours',
    false,
    'The Idempotency-Key was used before, for another request; the HTTP status is 409. Nothing was stored.',
    'Use a new key for a new request; repeat a request with exactly what it had.',
  ),
  cursorGone: entry(
    99411,
    'cursorGone',
    'ours',
    false,
    'Changes after this cursor have been purged, so that some would be missed; the HTTP status is 410.',
    'Begin anew: read what is there, then follow the stream without a cursor.',
  ),
  exists: entry(
    99412,
    'exists',
    'ours',
    false,
    'Something with this name exists already, so it is not created.',
    'Choose another name, or update what is there.',
  ),
  isOver: entry(
    99413,
    'isOver',
    'ours',
    false,
    'What the call is about is over already, or is in a state in which this cannot be done.',
    'Look at its status.',
  ),
  outcomeUnknown: entry(
    99504,
    'outcomeUnknown',
    'ours',
    false,
    'The store was lost while it wrote; the HTTP status is 503. It is not known whether this was done.',
    'With an Idempotency-Key repeat the call with the same key; else look at what is on record before repeating it. A cancel may be repeated.',
  ),
} as const satisfies Record<string, ErrorEntry>

/** Codes of the token service and of rejected signatures. */
export const authErrors = {
  repeated: entry(
    1001,
    'repeated',
    'vendor',
    false,
    'The same encryption was used before.',
    'Sign again with the current time.',
  ),
  unknownApp: entry(1002, 'unknownApp', 'vendor', false, 'The appKey does not exist.', 'Check the appKey.'),
  badSignature: entry(
    1003,
    'badSignature',
    'vendor',
    false,
    'The encryption or signature is wrong, or its timestamp is too far from the server clock.',
    'Check the appSecret, what is signed (decoded query values, raw body) and the clock.',
  ),
  badParameter: entry(
    1004,
    'badParameter',
    'vendor',
    false,
    'A parameter or header is malformed.',
    'Correct what the message names.',
  ),
  missing: entry(1202, 'missing', 'vendor', false, 'A parameter or header is missing.', 'Send what the message names.'),
  tokenExpired: entry(
    1203,
    'tokenExpired',
    'vendor',
    true,
    'The access token is unknown or has expired.',
    'Get a new token and repeat the call.',
  ),
  refreshFailed: entry(
    1204,
    'refreshFailed',
    'vendor',
    false,
    'The access token to refresh is unknown, expired, or belongs to another application.',
    'Get a token instead.',
  ),
} as const satisfies Record<string, ErrorEntry>

/** A refusal as a value: what the core and the shell answer when a request is understood and cannot be done. */
export interface Refusal {
  readonly ok: false
  readonly code: number
  readonly message: string
}

export const refuse = (of: ErrorEntry, message: string): Refusal => ({ ok: false, code: of.code, message })

/** 99400 in the vendor's wording: `Invalid Argument <param>:<detail>`. */
export const invalid = (parameter: string, detail: string): Refusal =>
  refuse(errors.invalidArgument, `Invalid Argument ${parameter}:${detail}`)

/** A bug, not an input: thrown when something that cannot be is. */
export class Bug extends Error {
  override readonly name = 'Bug'
}

export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Bug(what)
}

/** Nothing was done, and whoever asked may ask again. */
export const overloaded = (why: string): Refusal =>
  refuse(errors.unavailable, `Service unavailable: ${why}; nothing was stored`)

/** Nothing is wrong with what was asked: this server could not do it now, or was kept from knowing whether it did. */
export const isUnavailable = ({ code }: Pick<Refusal, 'code'>): boolean =>
  code === errors.unavailable.code || code === errors.outcomeUnknown.code
