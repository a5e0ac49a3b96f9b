// The command line's way to the administrator's routes of a server: no signature, but a token that is sent as it is. Not here: what is asked (app.ts), calls
// of applications (client.ts).

import { exchange, foreign, readObject, readText } from '../../packages/client/src/exchange.ts'
import { type Answer, NoAnswer } from '../../packages/client/src/index.ts'
import { ANSWER_MARGIN_MS } from '../../packages/client/src/limits.ts'
import { CallFailed, whyNoAnswer } from './client.ts'

export interface AdminCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** below /v1/admin; each part is percent-encoded here */
  readonly path: readonly string[]
  readonly body?: object
}

export class Administrator {
  readonly #server: URL
  readonly #token: string | null

  /** Without a token only a server in open mode does what is asked. */
  constructor(server: URL, token: string | null) {
    this.#server = server
    this.#token = token
  }

  /** Refusals come as answers with their code; CallFailed where nothing or something else came back. Never repeated: a secret is told once. */
  async ask({ method, path, body }: AdminCall): Promise<Answer> {
    const headers: Record<string, string> = {
      ...(body === undefined ? {} : { 'content-type': 'application/json;charset=UTF-8' }),
      ...(this.#token === null ? {} : { authorization: `Bearer ${this.#token}` }),
    }
    const request = {
      ...{ method, headers, withinMs: ANSWER_MARGIN_MS, signal: undefined },
      server: this.#server.href.replace(/\/$/, ''),
      target: `/v1/admin/${path.map(encodeURIComponent).join('/')}`,
      body: body === undefined ? null : JSON.stringify(body),
      changes: method !== 'GET',
      repeatable: method === 'GET',
    }
    try {
      return await exchange(fetch, request, async response => {
        const text = await readText(response)
        const fields = readObject(request, response, text)
        const { code, msg, data, requestId } = fields
        if (typeof code !== 'number' || typeof msg !== 'string') throw foreign(request, response, text)
        return {
          ...{ httpStatus: response.status, fields, text, code, msg, data },
          requestId: typeof requestId === 'string' ? requestId : null,
        }
      })
    } catch (error) {
      if (error instanceof NoAnswer) throw new CallFailed(whyNoAnswer(this.#server, error))
      throw error
    }
  }
}
