// What the OpenAPI document says of the paths that are neither actions nor routes: the token service, and what the server says of itself. Not here: what they
// do (app.ts, tokens.ts, reference.ts).

import Type, { type TSchema } from 'typebox'
import { requestId } from './openapi-common.ts'
import { maybe } from './schemas.ts'

export interface FixedExample {
  readonly summary: string
  readonly body?: unknown
  readonly status?: number
  readonly code?: number
  /** what is shown */
  readonly answer?: unknown
}

export interface Fixed {
  readonly operationId: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly tag: string
  readonly summary: string
  readonly description: string
  readonly body?: TSchema
  readonly answers: Readonly<
    Record<number, { readonly description: string; readonly type: string; readonly schema: TSchema }>
  >
  readonly examples: readonly FixedExample[]
}

export const TOKENS = '/apim-token-service/v2.0/token'
/** where the OpenAPI document is */
export const DOCUMENT = '/openapi.json'
/** where people read it */
export const REFERENCE = '/docs'

const JSON_TYPE = 'application/json'

const proof = {
  appKey: Type.String(),
  encryption: Type.String({
    pattern: '^[0-9a-fA-F]{64}$',
    description: 'Hex of SHA-256 over appKey, timestamp and appSecret. Each is taken once.',
  }),
  timestamp: Type.Union([Type.Integer(), Type.String({ pattern: '^[0-9]{1,15}$' })], {
    description: 'Epoch ms, at most 10 minutes off.',
  }),
}

const tokenAnswer = Type.Object(
  {
    status: Type.Integer({ description: '0, or a code of the token service: see docs/errors.md.' }),
    msg: Type.String(),
    business: Type.Literal('apim-token-service'),
    requestId,
    data: maybe(
      Type.Object({
        accessToken: Type.String(),
        expire: Type.Integer({ minimum: 0, description: 'Seconds that it is still good for.' }),
      }),
    ),
  },
  { $id: 'TokenAnswer', description: 'Errors come in `status`, with HTTP status 200.' },
)
const answered = { 200: { description: 'A token, or why there is none.', type: JSON_TYPE, schema: tokenAnswer } }

/** of the demo's first application; its time is long over, which only signature mode minds */
const demoProof = {
  appKey: '5acb82e7-a11e-4300-9164-c8b20b638e8b',
  encryption: '9112ad204f553392ae798aff397e6997802fbd0a42ad4dfc40a21ae8fe83116e',
  timestamp: 1_560_505_243_577,
}
const token = {
  status: 0,
  msg: 'SUCCESS',
  business: 'apim-token-service',
  requestId: '7d863d517eae4f18a2776452eb1305bb',
  data: { accessToken: 'T0pZ2lXkJ1mQ', expire: 7200 },
}

const status = Type.Object({ status: Type.String() })
const plain = (description: string) => ({ description, type: JSON_TYPE, schema: status })

export const fixed: readonly Fixed[] = [
  {
    operationId: 'getToken',
    method: 'POST',
    path: `${TOKENS}/get`,
    tag: 'Tokens',
    summary: 'Get an access token',
    description:
      'Asked again before it expires, the same one comes. In open mode everybody gets one that nobody looks at.',
    body: Type.Object(proof),
    answers: answered,
    examples: [{ summary: 'An application', body: demoProof, code: 0, answer: token }],
  },
  {
    operationId: 'refreshToken',
    method: 'POST',
    path: `${TOKENS}/refresh`,
    tag: 'Tokens',
    summary: 'Get a new access token for an old one',
    description: 'The old one stays good until it expires, for calls under way and for other processes that share it.',
    body: Type.Object({ ...proof, accessToken: Type.String() }),
    answers: answered,
    examples: [
      { summary: 'An application', body: { ...demoProof, accessToken: 'T0pZ2lXkJ1mQ' }, code: 0, answer: token },
    ],
  },
  {
    operationId: 'getHealth',
    method: 'GET',
    path: '/healthz',
    tag: 'Server',
    summary: 'Whether the process is up',
    description: 'Says nothing of the store.',
    answers: { 200: plain('It is up.') },
    examples: [{ summary: 'Up', answer: { status: 'up' } }],
  },
  {
    operationId: 'getReadiness',
    method: 'GET',
    path: '/readyz',
    tag: 'Server',
    summary: 'Whether the server takes calls',
    description: 'The store answers, and the server is not about to stop.',
    answers: { 200: plain('It does.'), 503: plain('It does not; `status` says why.') },
    examples: [{ summary: 'Ready', answer: { status: 'ready' } }],
  },
  {
    operationId: 'getMetrics',
    method: 'GET',
    path: '/metrics',
    tag: 'Server',
    summary: 'Metrics for Prometheus',
    description: 'The text is at most a second old.',
    answers: { 200: { description: 'The text.', type: 'text/plain', schema: Type.String() } },
    examples: [{ summary: 'All' }],
  },
  {
    operationId: 'getDocument',
    method: 'GET',
    path: DOCUMENT,
    tag: 'Server',
    summary: 'This document',
    description: `OpenAPI 3.1. What people read is made of it, at \`${REFERENCE}\`.`,
    answers: {
      200: { description: 'The document.', type: JSON_TYPE, schema: Type.Object({ openapi: Type.String() }) },
    },
    examples: [{ summary: 'All of it' }],
  },
]
