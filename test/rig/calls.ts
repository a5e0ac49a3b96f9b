// Performs the examples of the OpenAPI document as they stand in it, and judges answers by its schemas. Nothing is known here of what the document describes.

import Schema from 'typebox/schema'
import type { Before } from '../../src/http/action.ts'
import type { Document, Operation } from '../../src/http/openapi.ts'
import type { ExampleCall } from '../../src/http/openapi-calls.ts'

// biome-ignore lint/suspicious/noExplicitAny: answers are looked at field by field in expectations
type Any = any

export interface Told {
  readonly status: number
  /** without what stands behind a semicolon */
  readonly type: string
  readonly headers: Headers
  /** JSON, or text */
  readonly body: Any
}

/** What a caller adds to a request, such as its signature. */
export type Sign = (method: string, url: string, body: string) => Promise<Record<string, string>>

export class Examples {
  readonly #document: Document
  readonly #checks = new Map<string, ReturnType<typeof Schema.Compile>>()

  constructor(document: Document) {
    this.#document = document
  }

  operations(): { readonly path: string; readonly method: string; readonly operation: Operation }[] {
    return Object.entries(this.#document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    )
  }

  operation(operationId: string): Operation {
    const found = this.operations().find(({ operation }) => operation.operationId === operationId)
    if (found === undefined) throw new Error(`there is no operation ${operationId}`)
    return found.operation
  }

  example({ operationId, example }: Pick<Before, 'operationId' | 'example'>): ExampleCall {
    const found = this.operation(operationId)['x-examples'].find(({ summary }) => summary === example)
    if (found === undefined) throw new Error(`${operationId} has no example "${example}"`)
    return found
  }

  /** Performs a call after those that come before it. Texts that stand for what they gave are filled in. */
  async perform(server: string, call: ExampleCall, sign?: Sign): Promise<Told> {
    return this.#perform(server, call, new Map(), sign)
  }

  async #perform(server: string, call: ExampleCall, given: Map<string, string>, sign?: Sign): Promise<Told> {
    for (const before of call.before) {
      const told = await this.#perform(server, this.example(before), given, sign)
      for (const [path, text] of Object.entries(before.gives ?? {})) {
        const value = path.split('.').reduce((part: Any, name) => part?.[name], told.body)
        if (typeof value !== 'string')
          throw new Error(`${before.operationId} gave no ${path}: ${JSON.stringify(told.body)}`)
        given.set(text, value)
      }
    }
    const filled = (text: string): string => [...given].reduce((all, [from, to]) => all.replaceAll(from, to), text)
    const url = filled(call.url)
    const body = call.body === undefined ? '' : filled(JSON.stringify(call.body))
    const headers = Object.fromEntries(Object.entries(call.headers).map(([name, value]) => [name, filled(value)]))
    const signed = sign === undefined ? {} : await sign(call.method, url, body)
    const leave = new AbortController()
    const response = await fetch(server + url, {
      method: call.method,
      headers: { ...headers, ...signed },
      signal: leave.signal,
      ...(body === '' ? {} : { body }),
    })
    const [type = ''] = (response.headers.get('content-type') ?? '').split(';')
    const told = { status: response.status, type, headers: response.headers }
    if (type === STREAM) {
      const text = await firstOf(response, call.before.length > 0)
      leave.abort()
      return { ...told, body: text }
    }
    const text = await response.text()
    return { ...told, body: type === 'application/json' ? JSON.parse(text) : text }
  }

  /** What does not fit the schema that the document has for such an answer; empty where it fits. */
  problems(operationId: string, { status, type, body }: Pick<Told, 'status' | 'type' | 'body'>): unknown[] {
    const key = `${operationId} ${status} ${type}`
    const check = this.#checks.get(key) ?? this.#checkOf(operationId, status, type)
    if (typeof check === 'string') return [check]
    this.#checks.set(key, check)
    const bodies = type === STREAM ? changesOf(body) : [body]
    return bodies.flatMap(body => (check.Check(body) ? [] : [body, ...check.Errors(body)[1]]))
  }

  /** The answer that the document shows for an HTTP status. */
  shown(operationId: string, status: number): Any {
    const response = this.#resolved((this.operation(operationId).responses as Any)[status])
    return response.content['application/json'].example
  }

  #checkOf(operationId: string, status: number, type: string): ReturnType<typeof Schema.Compile> | string {
    const response = this.#resolved((this.operation(operationId).responses as Any)[status])
    if (response === undefined) return `HTTP ${status} is not described`
    const content = response.content[type]
    if (content === undefined) return `an answer of type ${type} is not described`
    const schema = type === STREAM ? content['x-data'] : content.schema
    return Schema.Compile({ ...schema, components: this.#document.components })
  }

  #resolved(part: Any): Any {
    if (typeof part?.$ref !== 'string') return part
    return part.$ref
      .slice(2)
      .split('/')
      .reduce((of: Any, name: string) => of[name], this.#document)
  }
}

const STREAM = 'text/event-stream'

/** What is told as a change in a part of a stream. */
const changesOf = (text: string): unknown[] =>
  text
    .split('\n\n')
    .filter(block => /^event: change$/m.test(block))
    .map(block => JSON.parse(/^data: ?(.*)$/m.exec(block)?.[1] ?? ''))

/** The beginning of an answer that goes on: until its first change, or where none is awaited what comes first. */
async function firstOf(response: Response, isAwaited: boolean): Promise<string> {
  let text = ''
  const decoder = new TextDecoder()
  for await (const part of response.body ?? []) {
    text += decoder.decode(part, { stream: true })
    // The last block may not be whole.
    const whole = text.slice(0, text.lastIndexOf('\n\n') + 2)
    if (!isAwaited || changesOf(whole).length > 0) return whole
  }
  return text
}
