// Examples of the OpenAPI document as whole calls: what is sent, what comes back, and what is called before. In the document they stand as `x-examples` of
// each operation, for programs, and as text in its description, for people. Not here: the examples themselves (beside what they are of).

import { assert, authErrors, errors } from '../core/errors.ts'
import type { Before, Described, Example } from './action.ts'

/** of examples/fleet.yaml */
export const DEMO_ORG = 'o15541858646501'
/** what a requestId looks like */
export const REQUEST_ID = '7d863d517eae4f18a2776452eb1305bb'

export interface ExampleCall {
  /** names it in the examples of bodies and answers */
  readonly key: string
  readonly summary: string
  readonly before: readonly Before[]
  readonly method: string
  /** path and query, percent-encoded */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** absent: none */
  readonly body?: unknown
  readonly status: number
  /** of the answer: `code`, or the token service's `status`; absent: it has neither */
  readonly code?: number
  /** word for word; absent: it may be any */
  readonly msg?: string
  /** a body that the answer may have: another one has the same fields. Absent: nothing is shown. */
  readonly answer?: unknown
}

/** Where an operation is called. `fixed` are the query values that all its calls have. */
export interface Endpoint {
  readonly method: string
  /** with `{names}` */
  readonly path: string
  readonly fixed: Readonly<Record<string, string>>
}

/** The examples of an operation as calls. A mistake in them is a bug. */
export function callsOf(described: Described, endpoint: Endpoint): ExampleCall[] {
  const { operationId, examples } = described
  assert(
    new Set(examples.map(({ summary }) => summary)).size === examples.length,
    `${operationId}: a summary is there twice`,
  )
  return examples.map(example => {
    const { summary, before = [], headers = {}, body, code = 0, status = 200, msg } = example
    const answer = answerOf(example)
    return {
      key: keyOf(summary),
      summary,
      before,
      method: endpoint.method,
      url: urlOf(endpoint, example, operationId),
      headers,
      ...(body === undefined ? {} : { body }),
      status,
      ...(described.streams === undefined || code !== 0 ? { code } : {}),
      ...(msg === undefined ? {} : { msg }),
      ...(answer === undefined ? {} : { answer }),
    }
  })
}

/** `A value that does not fit` as `aValueThatDoesNotFit`: components and examples have names without blanks. */
export const keyOf = (summary: string): string =>
  summary
    .replace(/[^A-Za-z0-9 ]/g, ' ')
    .trim()
    .split(/ +/)
    .map((word, at) => (at === 0 ? word.charAt(0).toLowerCase() : word.charAt(0).toUpperCase()) + word.slice(1))
    .join('')

function urlOf({ path, fixed }: Endpoint, example: Example, operationId: string): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = example.path?.[name]
    assert(value !== undefined, `${operationId}, ${example.summary}: the path needs ${name}`)
    return encodeURIComponent(value)
  })
  const query = Object.entries({ ...fixed, ...example.query })
  return filled + (query.length === 0 ? '' : `?${query.map(([name, value]) => `${name}=${encode(value)}`).join('&')}`)
}

/** As readable as a query may be. */
const encode = (value: string): string => encodeURIComponent(value).replace(/%2C/g, ',').replace(/%3A/g, ':')

/** The body of the answer, where the example says what is in it. */
function answerOf({ code = 0, status = 200, msg, data, beside }: Example): unknown {
  if (code === 0 && data === undefined && beside === undefined) return undefined
  if (code === 0) return { code, msg: 'OK', requestId: REQUEST_ID, data: data ?? null, ...beside }
  if (msg === undefined && data === undefined) return undefined
  const text = msg ?? meaningOf(code)
  return { code, msg: text, requestId: REQUEST_ID, data: data ?? null, ...(status === 401 ? { status: code } : {}) }
}

/** What a code means, in general. */
export const meaningOf = (code: number): string =>
  [...Object.values(errors), ...Object.values(authErrors)].find(entry => entry.code === code)?.meaning ?? ''

/** The calls as people read them, in Markdown. */
export function callsText(calls: readonly ExampleCall[]): string {
  return calls.map(callText).join('\n\n')
}

function callText({ summary, before, method, url, headers, body, status, code, answer }: ExampleCall): string {
  const after = before.map(({ operationId, example }) => `*${operationId}: ${example}*`).join(', ')
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const lines = [`${method} ${url}`, ...head, ...(body === undefined ? [] : [JSON.stringify(body)])]
  const answered =
    answer !== undefined
      ? JSON.stringify(answer).replace(REQUEST_ID, '…')
      : code === undefined
        ? `HTTP ${status}`
        : `{"code":${code}, …}`
  const outcome = status === 200 ? answered : `HTTP ${status}\n${answered}`
  return `**${summary}**${after === '' ? '' : `, after ${after}`}\n\n\`\`\`\n${lines.join('\n')}\n\n${outcome}\n\`\`\``
}
