// The command line's way to a server: @downlink/client, with refusals as answers to be shown, and what went wrong in the words of the command line.
// Not here: tokens, signatures and repeats (packages/client), what the answers mean to a person (command.ts).

import { randomUUID } from 'node:crypto'
import { type Answer, type Call, Downlink, DownlinkError, NoAnswer, NoToken } from '../../packages/client/src/index.ts'
import { isObject } from '../core/json.ts'
import { CLI_RETRIES } from '../core/limits.ts'
import { printable } from './terminal.ts'

export type { Answer }

export interface Credentials {
  readonly appKey: string
  readonly appSecret: string
}

/** No answer that could be understood. The message says what to do next and holds no secret. */
export class CallFailed extends Error {
  override readonly name = 'CallFailed'
}

const COMMANDS = '/connect-service/v2.1/commands'

export class Client {
  readonly #server: URL
  readonly #downlink: (orgId: string) => Downlink

  /** Without credentials nothing is signed, which a server takes only with `--auth open`. */
  constructor(server: URL, credentials: Credentials | null, now: () => number = Date.now) {
    this.#server = server
    const known = new Map<string, Downlink>()
    this.#downlink = orgId => {
      const options = { server, orgId, now, retries: CLI_RETRIES, ...(credentials ?? { open: true }) }
      const downlink = known.get(orgId) ?? new Downlink(options)
      known.set(orgId, downlink)
      return downlink
    }
  }

  /**
   * One call of the command API. Refusals come as answers with their code; CallFailed where nothing or something else came back.
   * `body` is JSON text, sent as it is; `waitMs` is how long the server may take by what is asked of it.
   * Repeated where that does no harm: sending a command has a key of its own, by which the server knows it again.
   */
  async call(
    method: 'GET' | 'POST',
    query: Readonly<Record<string, string>>,
    body: string | null,
    waitMs: number,
  ): Promise<Answer> {
    const nature = natureOf(query)
    return this.ask({ method, path: COMMANDS, query, waitMs, ...nature, ...(body === null ? {} : { body }) })
  }

  /** The same for any path. */
  async ask(call: Call & { readonly query: { readonly orgId?: string } }): Promise<Answer> {
    const { orgId = '', ...query } = call.query
    try {
      return await this.#downlink(orgId).request({ ...call, query })
    } catch (error) {
      if (!(error instanceof DownlinkError)) throw error
      if (error instanceof NoAnswer) throw new CallFailed(whyNoAnswer(this.#server, error))
      if (error instanceof NoToken || error.answer === null) throw new CallFailed(error.message)
      return error.answer
    }
  }
}

/** What may be repeated though nothing was heard of it. */
function natureOf({ action, commandId }: Readonly<Record<string, string>>): Omit<Call, 'method' | 'path'> {
  if (action === 'setMeasurepoint' || action === 'invokeService')
    return { repeatable: true, headers: { 'idempotency-key': randomUUID() } }
  if (action === 'cancel') return { repeatable: commandId !== undefined }
  return { changes: action !== 'get' && action !== 'search' }
}

/** As it was named, with its path: that may be what is wrong. */
const shown = (server: URL): string => printable(server.href.replace(/\/$/, ''))

/** What OpenSSL says of an answer that is no TLS, such as that of an HTTP server. */
const NOT_TLS: ReadonlySet<string> = new Set(['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'])

export function whyNoAnswer(server: URL, { why, problem, outcome, cause }: NoAnswer): string {
  const onRecord = 'what was sent may be on record, look with: downlink command list'
  switch (why) {
    case 'late':
      return `no answer from ${shown(server)} in time; ${onRecord}`
    case 'tooLarge':
      return `${problem}; ask for less with --limit`
    case 'foreign':
      return `${problem}; check --server`
    case 'lost':
      if (isObject(cause) && NOT_TLS.has(String(cause.code)))
        return `${shown(server)} does not speak TLS; try --server ${shown(server).replace(/^https/, 'http')}`
      if (outcome === 'unknown') return `${problem}; ${onRecord}`
      return `${problem}; start a server with "downlink serve", or name another with --server`
  }
}
