// What all operations of the OpenAPI document have in common: the introduction, the groups, the callers' credentials, the answers of the gateway itself. Not
// here: how the document is put together (openapi.ts).

import Type from 'typebox'
import { authErrors, type ErrorEntry, errors } from '../core/errors.ts'

export const requestId = Type.String({
  pattern: '^[0-9a-f]{32}$',
  description: 'Names the call in the log of the server.',
})

/** Whatever is not done, and whatever the HTTP status. */
export const failed = Type.Object(
  {
    code: Type.Integer({ description: 'Other than 0; see the table of the operation, and docs/errors.md.' }),
    msg: Type.String({ description: 'For people: it may change. Look at the code.' }),
    requestId,
    data: Type.Unknown({
      description: '`null`, or what is on record all the same, such as commandId and state of the command.',
    }),
  },
  { $id: 'Failed', description: 'The answer to a call that was not done.' },
)

const rejected = Type.Object(
  {
    code: Type.Union(Object.values(authErrors).map(({ code }) => Type.Literal(code))),
    status: Type.Integer({ description: 'The same as code.' }),
    msg: Type.String(),
    requestId,
    data: Type.Null(),
  },
  { $id: 'Rejected', description: 'Who calls is not known.' },
)

export const introduction = `Durable, cancellable command delivery for devices that are not always online: HTTP in, MQTT out.

* Paths that begin with \`/connect-service\` and \`/apim-token-service\` are the vendor's API. On one path there are several actions, told apart by the query value
  \`action\`. OpenAPI tells operations apart by their paths, so each action has a path with a fragment here (\`…/commands#cancel\`). **The fragment is not part of what is sent**:
  where a generated client puts the query behind it, cut it off, \`url.replace(/#[^?]*/, '')\`.
* Paths that begin with \`/v1\` are our own. They refuse fields and query names that they do not know.
* Business answers have HTTP status 200: look at \`code\`, 0 is success. What the gateway itself refuses has another status and the same envelope.
* Any call may be answered 99400 (an argument is wrong; the message names it), 99403 (no grant), 99500 (a bug of ours) and 99503 (with HTTP 503: nothing was stored, unless \`data\` says
  what is on record).
* Bodies are JSON in UTF-8. Integers beyond ±2^53 are refused, never rounded.

**Examples** run against \`examples/fleet.yaml\`, where the device \`mqtt_01\` (asset \`oxWwM9i5\`) is connected and answers, \`mqtt_03\` (\`pN4cYd1E\`) was connected and is away, and no
other device ever was. *Try it out* on the page that the server makes of this works where it runs with \`--auth open\` (\`npm start -- --auth open\`, or \`downlink emulate\`): a
signature is another one for each call, and the page has none to give.`

/** The groups, in the order of the page. One that is not here is refused. */
export const tags: Readonly<Record<string, string>> = {
  Commands: 'Send to a device, look, and cancel what was not sent yet.',
  'Measurepoints and events': 'What devices last reported.',
  Views:
    'What people look at: devices and what waits for them, one command and why it waits, how much happens over time.',
  Devices: 'The devices of the fleet.',
  Products: 'Kinds of devices.',
  Gateways: 'Which devices are behind which gateway.',
  'Thing models': 'What devices of a product can do and say.',
  'Command jobs': 'The same command for many devices, with retries.',
  Cancellations: 'Cancel what waits for many devices at once, with a result that lists every command.',
  Events: 'Every change of every command, as it happens.',
  Webhooks: 'The same, sent to a receiver of yours.',
  Administration: "Applications, operators and their grants: for who has the administrator's token.",
  Emulator: 'Time that leaps, and faults of simulated devices: in `downlink emulate` alone.',
  Tokens: 'Access tokens for signed calls.',
  Server: 'What the server says of itself. Nobody is asked for credentials.',
}

const header = (name: string, description: string) => ({ type: 'apiKey', in: 'header', name, description })

export const securitySchemes = {
  accessToken: header('apim-accesstoken', 'From `/apim-token-service/v2.0/token/get`.'),
  timestamp: header('apim-timestamp', 'Epoch ms, at most 10 minutes off.'),
  signature: header(
    'apim-signature',
    'Lower-case hex of SHA-256 over: the access token, then name and decoded value of each query parameter in ASCII order of the names, then the raw body, then the timestamp, then the appSecret, with nothing between them. Path and verb are not signed: use TLS.',
  ),
  operator: {
    type: 'http',
    scheme: 'bearer',
    description:
      'Instead of the three headers of a signed call: a token of an operator, as `downlink console token` prints it.',
  },
  administrator: { type: 'http', scheme: 'bearer', description: 'The value of DOWNLINK_ADMIN_TOKEN of the server.' },
}

/** Of applications, all three together; or of a person. */
export const signed = [{ accessToken: [], timestamp: [], signature: [] }, { operator: [] }]
export const administrator = [{ administrator: [] }]

interface GatewayAnswer {
  readonly name: string
  readonly description: string
  readonly schema: typeof failed | typeof rejected
  readonly headers?: Readonly<Record<string, unknown>>
  /** code and msg of one such answer */
  readonly example: readonly [code: number, msg: string]
}
const answer = (
  name: string,
  description: string,
  { code }: ErrorEntry,
  msg: string,
  more: Partial<GatewayAnswer> = {},
): GatewayAnswer => ({ name, description, schema: failed, example: [code, msg], ...more })

const retryAfter = { 'Retry-After': { description: 'Seconds.', schema: { type: 'integer' } } }

/** What the gateway itself answers, by HTTP status. */
export const gatewayAnswers: Readonly<Record<number, GatewayAnswer>> = {
  400: answer(
    'Unreadable',
    'The body is not JSON, or not UTF-8.',
    errors.invalidArgument,
    'Cannot process request body: it is not UTF-8',
  ),
  401: answer(
    'Rejected',
    'The credentials are missing, wrong or stale.',
    authErrors.missing,
    'header apim-accesstoken is missing',
    { schema: rejected },
  ),
  403: answer(
    'Forbidden',
    'Open mode: a foreign Origin or Host. Administration: the server has no administrator.',
    errors.denied,
    'Denied resource:  a foreign Origin may not call a server in open mode',
  ),
  409: answer(
    'KeyReused',
    `${errors.keyReused.code}: ${errors.keyReused.meaning}`,
    errors.keyReused,
    'the Idempotency-Key was used before, for another request; nothing was stored',
  ),
  410: answer(
    'CursorGone',
    `${errors.cursorGone.code}: ${errors.cursorGone.meaning}`,
    errors.cursorGone,
    errors.cursorGone.meaning,
  ),
  413: answer(
    'TooLarge',
    'The body, the query or the headers are larger than they may be.',
    errors.invalidArgument,
    'Request size limit exceeded: a body may have 65536 bytes',
  ),
  500: answer(
    'Internal',
    'Something failed inside; the log has it under the requestId.',
    errors.internal,
    'An unexpected error occurred',
  ),
  503: answer(
    'Unavailable',
    '99503: nothing was stored, unless data says what is on record. 99504: the store was lost while it wrote, and the outcome is not known.',
    errors.unavailable,
    'Service unavailable: the store cannot be reached; come again in a second',
    { headers: retryAfter },
  ),
}
