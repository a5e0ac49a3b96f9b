// The OpenAPI 3.1 document, made from what actions and routes say of themselves. A mistake in what they say is a bug, which a test meets before anybody else.
// Not here: what they say, examples as calls (openapi-calls.ts), what all operations have in common (openapi-common.ts), the page for people (reference.ts).

import type { TSchema } from 'typebox'
import { assert, type ErrorEntry, errors } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import { IDEMPOTENCY_KEY_MAX_CHARS } from '../core/limits.ts'
import type { Action, AnyRoute, Described, Resource } from './action.ts'
import { closed, type Plain, readText } from './check.ts'
import { callsOf, callsText, DEMO_ORG, type Endpoint, type ExampleCall, keyOf, REQUEST_ID } from './openapi-calls.ts'
import * as common from './openapi-common.ts'
import { type Fixed, fixed } from './openapi-fixed.ts'
import * as schemas from './schemas.ts'

/** Of the API; the package has the same. */
export const API_VERSION = '0.1.0'

type Json = Readonly<Record<string, unknown>>

/** The document as JSON. */
export interface Document extends Json {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

export interface Operation extends Json {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly responses: Json
  /** every example as a whole call */
  readonly 'x-examples': readonly ExampleCall[]
}

/** Of everything that can be called. */
export function openapi(resources: readonly Resource[], routes: readonly AnyRoute[]): Document {
  const components = new Components()
  const of = new Operations(components)
  const paths: Record<string, Record<string, Operation>> = {}
  const add = (path: string, method: string, operation: Operation): void => {
    const operations = paths[path] ?? {}
    assert(operations[method] === undefined, `${method} ${path} is described twice`)
    paths[path] = { ...operations, [method]: operation }
  }
  for (const resource of resources)
    for (const [name, action] of resource.actions) {
      const [method = 'POST'] = action.methods
      add(`${resource.path}#${name}`, method.toLowerCase(), of.action(resource, name, method, action))
    }
  for (const route of routes) add(route.path, route.method.toLowerCase(), of.route(route))
  for (const path of fixed) add(path.path, path.method.toLowerCase(), of.fixed(path))
  return {
    openapi: '3.1.0',
    info: {
      title: 'Downlink',
      version: API_VERSION,
      description: common.introduction,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/', description: 'The server that this document is from.' }],
    tags: of.tags(),
    paths,
    components: {
      schemas: components.schemas,
      responses: components.responses,
      securitySchemes: Object.fromEntries(
        Object.entries(common.securitySchemes).filter(([name]) => of.securities.has(name)),
      ),
    },
  }
}

/** Schemas and answers that stand in the document once. */
class Components {
  readonly schemas: Record<string, unknown> = {}
  readonly responses: Record<string, unknown> = {}

  /** The schema with what has a name referred to. What is for our own messages only is left out. */
  refer(schema: Plain): unknown {
    const { $id, 'x-rule': _rule, ...rest } = schema
    const plain = Object.fromEntries(Object.entries(rest).map(([name, part]) => [name, this.#part(name, part)]))
    if ($id === undefined) return plain
    const present = this.schemas[$id]
    assert(
      present === undefined || JSON.stringify(present) === JSON.stringify(plain),
      `two different schemas are called ${$id}`,
    )
    this.schemas[$id] = plain
    return { $ref: `#/components/schemas/${$id}` }
  }

  #part(name: string, part: unknown): unknown {
    if (name === 'properties' || name === 'patternProperties')
      return Object.fromEntries(Object.entries(part as object).map(([key, schema]) => [key, this.refer(schema)]))
    if (['anyOf', 'oneOf', 'allOf'].includes(name)) return (part as Plain[]).map(schema => this.refer(schema))
    const isSchema = ['items', 'additionalProperties', 'not'].includes(name) && isObject(part)
    return isSchema ? this.refer(part as Plain) : part
  }

  of = (schema: TSchema): unknown => this.refer(plainOf(schema))

  /** What the gateway itself answers with this HTTP status. */
  answer(status: number): unknown {
    const answer = common.gatewayAnswers[status]
    assert(answer, `nothing is said of HTTP ${status}`)
    const { name, description, schema, headers, example } = answer
    const [code, msg] = example
    const shown = { code, msg, requestId: REQUEST_ID, data: null, ...(status === 401 && { status: code }) }
    this.responses[name] ??= {
      description,
      ...(headers && { headers }),
      content: { 'application/json': { schema: this.of(schema), example: shown } },
    }
    return { $ref: `#/components/responses/${name}` }
  }
}

/** Only what is JSON of it. */
const plainOf = (schema: TSchema): Plain => JSON.parse(JSON.stringify(schema))

class Operations {
  readonly #components: Components
  readonly #ids = new Set<string>()
  readonly #tags = new Set<string>()
  /** credentials that some operation asks for */
  readonly securities = new Set<string>()

  constructor(components: Components) {
    this.#components = components
  }

  /** The groups that have something in them, in their order. */
  tags(): unknown[] {
    return Object.entries(common.tags).flatMap(([name, description]) =>
      this.#tags.has(name) ? [{ name, description }] : [],
    )
  }

  action({ path, tag }: Resource, name: string, method: string, action: Action): Operation {
    const calls = callsOf(action, { method, path, fixed: { action: name, orgId: DEMO_ORG } })
    const always = { action: { type: 'string', enum: [name] }, orgId: schemas.orgId }
    const device = { assetId: schemas.assetId, productKey: schemas.productKey, deviceKey: schemas.deviceKey }
    const parameters = [
      ...this.#parameters('query', always, ['action', 'orgId'], action, { action: name, orgId: DEMO_ORG }),
      ...(action.about === 'device' ? this.#parameters('query', device, [], action) : []),
      ...this.#own('query', action.parameters, action),
    ]
    const { resource, action: right } = action.needs
    return this.#operation(tag, action, calls, {
      parameters,
      body: action.body && plainOf(action.body),
      needs: `${resource}: ${right}`,
      security: common.signed,
    })
  }

  route(route: AnyRoute): Operation {
    const hasOrganization = typeof route.needs === 'object'
    const fixed: Endpoint['fixed'] = hasOrganization ? { orgId: DEMO_ORG } : {}
    const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    const named = Object.keys(route.names?.properties ?? {})
    assert(inPath.join() === named.join(), `${route.operationId}: names says ${named}, the path has ${inPath}`)
    const calls = callsOf(route, { method: route.method, path: route.path, fixed })
    const parameters = [
      ...(route.names ? this.#own('path', route.names, route) : []),
      ...(hasOrganization ? this.#parameters('query', { orgId: schemas.orgId }, ['orgId'], route, fixed) : []),
      ...this.#own('query', route.parameters, route),
    ]
    return this.#operation(route.tag, route, calls, {
      parameters,
      body: route.body && closed(plainOf(route.body), true),
      needs: needsOf(route),
      security: route.needs === 'administrator' ? common.administrator : common.signed,
    })
  }

  fixed({ operationId, tag, method, path, summary, description, body, answers, examples }: Fixed): Operation {
    this.#take(operationId, tag)
    const calls = examples.map(({ summary, status = 200, ...example }) => {
      const call = { key: keyOf(summary), summary, before: [], method, url: path, headers: {}, status }
      return { ...call, ...example }
    })
    const responses = Object.entries(answers).map(([status, { description, type, schema }]) => {
      const shown = answersOf(calls, Number(status))
      return [status, { description, content: { [type]: { schema: this.#components.of(schema), ...shown } } }]
    })
    return {
      operationId,
      tags: [tag],
      summary,
      description,
      security: [],
      ...(body && { requestBody: bodyOf(this.#components.of(body), true, calls) }),
      responses: {
        ...Object.fromEntries(responses),
        ...Object.fromEntries(
          (body === undefined ? [403] : [400, 403, 413, 500, 503]).map(status => [
            status,
            this.#components.answer(status),
          ]),
        ),
      },
      'x-examples': calls,
    }
  }

  #take(operationId: string, tag: string): void {
    assert(!this.#ids.has(operationId), `there are two operations ${operationId}`)
    assert(common.tags[tag] !== undefined, `${operationId}: there is no group ${tag}`)
    this.#ids.add(operationId)
    this.#tags.add(tag)
  }

  #operation(
    tag: string,
    described: Described,
    calls: readonly ExampleCall[],
    of: {
      readonly parameters: readonly unknown[]
      readonly body: Plain | undefined
      readonly needs: string
      readonly security: readonly object[]
    },
  ): Operation {
    const { operationId, summary, repeatable } = described
    this.#take(operationId, tag)
    for (const name of of.security.flatMap(Object.keys)) this.securities.add(name)
    const key = { name: 'Idempotency-Key', in: 'header', schema: idempotencyKey, description: keyWords }
    return {
      operationId,
      tags: [tag],
      summary,
      description: descriptionOf(described, of.needs, calls),
      security: of.security,
      parameters: [...of.parameters, ...(repeatable ? [key] : [])],
      ...(of.body && {
        requestBody: bodyOf(this.#components.refer(of.body), (of.body.required ?? []).length > 0, calls),
      }),
      responses: this.#responses(described, calls),
      'x-examples': calls,
    }
  }

  #own(where: 'query' | 'path', { properties }: Described['parameters'], described: Described): unknown[] {
    const plain: Record<string, Plain> = JSON.parse(JSON.stringify(properties))
    const required: readonly string[] = JSON.parse(JSON.stringify(described.parameters)).required ?? []
    return this.#parameters(where, plain, where === 'path' ? Object.keys(plain) : required, described)
  }

  /** Each with the value that the first example has, which is also what the page begins with. */
  #parameters(
    where: 'query' | 'path',
    properties: Readonly<Record<string, Plain>>,
    required: readonly string[],
    { examples: [first] }: Described,
    fixed: Readonly<Record<string, string>> = {},
  ): unknown[] {
    const values: Readonly<Record<string, string>> = { ...fixed, ...(where === 'path' ? first?.path : first?.query) }
    return Object.entries(properties).map(([name, schema]) => {
      const value = values[name]
      const { description, ...rest } = schema as Plain & { readonly description?: string }
      return {
        name,
        in: where,
        ...(required.includes(name) && { required: true }),
        ...(description !== undefined && { description }),
        ...(schema.type === 'array' && { style: 'form', explode: false }),
        schema: this.#components.refer(schema.$id === undefined ? rest : schema),
        ...(value !== undefined && { example: readText(schema, value) }),
      }
    })
  }

  #responses(described: Described, calls: readonly ExampleCall[]): Json {
    const { codes = [], repeatable, streams } = described
    // Until OpenAPI 3.2 a stream has no schema for what is in it.
    const stream = { schema: { type: 'string' }, 'x-data': this.#components.of(described.data) }
    const done = streams === undefined ? null : { [streams]: stream }
    const answered = { schema: this.#envelope(described), ...answersOf(calls, 200) }
    const statuses = [
      ...[400, 401, 403],
      ...(repeatable || codes.includes('keyReused') ? [409] : []),
      ...(codes.includes('cursorGone') ? [410] : []),
      ...[413, 500, 503],
    ]
    const stray = calls.find(({ status }) => status !== 200 && !statuses.includes(status))
    assert(
      !stray,
      `${described.operationId}, ${stray?.summary}: its HTTP status is of a code that the operation does not name`,
    )
    return {
      200: {
        description: streams === undefined ? 'Look at `code`.' : 'What happens, for as long as you listen; or why not.',
        content: { ...done, 'application/json': answered },
      },
      ...Object.fromEntries(statuses.map(status => [status, this.#components.answer(status)])),
    }
  }

  /** The answer with code 0, or another. */
  #envelope({ data, beside, failed, streams }: Described): unknown {
    const { refer } = this.#components
    const envelope = (code: Plain, of: Plain, more: Plain = {}): unknown =>
      refer.call(this.#components, {
        type: 'object',
        properties: {
          code,
          msg: { type: 'string' },
          requestId: plainOf(common.requestId),
          data: of,
          ...more.properties,
        },
        required: ['code', 'msg', 'requestId', 'data', ...(more.required ?? [])],
      })
    const not = { type: 'integer', not: { const: 0 } } as Plain
    const none: Plain = { type: 'null' }
    const refused = failed === undefined ? envelope(not, none) : envelope(not, { anyOf: [plainOf(failed), none] })
    if (streams !== undefined) return refused
    const done = envelope({ const: 0 }, plainOf(data), beside && plainOf(beside))
    return { anyOf: [done, refused] }
  }
}

const idempotencyKey = { type: 'string', minLength: 1, maxLength: IDEMPOTENCY_KEY_MAX_CHARS, pattern: '^[ -~]+$' }
const keyWords =
  'Any text that is new for each request. Repeated with the same key, a request is done once and answered the same; for pendingTtl and 24 hours.'

const bodyOf = (schema: unknown, required: boolean, calls: readonly ExampleCall[]): unknown => {
  // What is refused for its form is no example of that form.
  const examples = calls.flatMap(({ key, summary, body, code }) =>
    body === undefined || code === errors.invalidArgument.code ? [] : [[key, { summary, value: body }]],
  )
  return {
    required,
    content: {
      'application/json': { schema, ...(examples.length > 0 && { examples: Object.fromEntries(examples) }) },
    },
  }
}

function needsOf({ needs }: AnyRoute): string {
  if (needs === 'administrator') return "the administrator's token"
  return needs === 'nothing' ? 'no grant' : `${needs.resource}: ${needs.action}`
}

/** The answers that examples show. */
function answersOf(calls: readonly ExampleCall[], status: number): Json {
  const shown = calls.filter(call => call.status === status && call.answer !== undefined)
  if (shown.length === 0) return {}
  return { examples: Object.fromEntries(shown.map(({ key, summary, answer }) => [key, { summary, value: answer }])) }
}

function descriptionOf({ description, codes = [] }: Described, needs: string, calls: readonly ExampleCall[]): string {
  const entries: Readonly<Record<string, ErrorEntry>> = errors
  const rows = codes.map(name => {
    const entry = entries[name]
    assert(entry, `there is no error called ${name}`)
    return `| ${entry.code} | ${entry.meaning} |`
  })
  const table = rows.length === 0 ? [] : [['| code | meaning |', '| --- | --- |', ...rows].join('\n')]
  return [
    ...(description === undefined ? [] : [description.trim()]),
    `Needs **${needs}**.`,
    ...table,
    '### Examples',
    callsText(calls),
  ].join('\n\n')
}
