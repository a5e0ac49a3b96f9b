// What one connection may ask of the server and keep it holding: its requests are performed one after the other, few may wait, and answers must be
// read. Connections whose bytes never become a whole request (no HTTP, more than is read at all, too slow) are answered in the envelope that every
// caller reads, and closed. Not here: what is refused of a request that is whole (app.ts).

import {
  createServer,
  type IncomingMessage,
  maxHeaderSize,
  type Server,
  type ServerOptions,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http'
import type { Socket } from 'node:net'
import { errors, refuse } from '../core/errors.ts'
import { ANSWER_READ_MAX_MS, ANSWERS_UNREAD_MAX_BYTES, CLOSE_LINGER_MS, PIPELINED_MAX } from '../core/limits.ts'
import { envelope, failure, JSON_TYPE } from './wire.ts'

/** Performs a request whose headers are here, and ends the response sooner or later. */
type Perform = (request: IncomingMessage, response: ServerResponse) => void

interface Connection {
  /** requests whose answers are not written out, in order: the first is being performed, the others wait with what will perform them */
  readonly open: Map<ServerResponse, Perform>
  /** what came after them turned out to be no HTTP */
  broken: boolean
}

/** An answer of which the operating system has not taken everything yet, since the caller does not read on. */
interface Unread {
  readonly bytes: number
  readonly socket: Socket
  readonly deadline: NodeJS.Timeout
}

export class Connections {
  readonly #connections = new WeakMap<Socket, Connection>()
  /** the longest waiting first */
  readonly #unread = new Map<ServerResponse, Unread>()
  #unreadBytes = 0
  readonly #newRequestId: () => string
  readonly #answerReadMs: number
  readonly #unreadMaxBytes: number

  /** `answerReadMs` and `unreadMaxBytes` are the bounds of answers that are not read: of each in time, of all together in bytes. */
  constructor(
    newRequestId: () => string,
    answerReadMs = ANSWER_READ_MAX_MS,
    unreadMaxBytes = ANSWERS_UNREAD_MAX_BYTES,
  ) {
    this.#newRequestId = newRequestId
    this.#answerReadMs = answerReadMs
    this.#unreadMaxBytes = unreadMaxBytes
  }

  /**
   * A server on whose connections one request at a time is performed: the next one begins when the answer before it has been taken. A caller that
   * sends ahead without reading therefore holds one answer, and one that opens more than PIPELINED_MAX requests is closed. Node alone would
   * perform all that one read brought in, hundreds of short ones, and keep their answers.
   */
  createServer(options: ServerOptions, perform: Perform): Server {
    // Node would answer both without a body.
    const server = createServer({ ...options, requireHostHeader: false })
    server.on('request', (request, response) =>
      this.#take(request, response, missesHost(request) ? this.#refuseWith(noHost) : perform),
    )
    server.on('checkExpectation', (request, response) => this.#take(request, response, this.#refuseWith(expectation)))
    return server
  }

  #take(request: IncomingMessage, response: ServerResponse, perform: Perform): void {
    const { socket } = request
    const connection = this.#connections.get(socket) ?? { open: new Map(), broken: false }
    this.#connections.set(socket, connection)
    if (connection.open.size >= PIPELINED_MAX) {
      socket.destroy()
      return
    }
    connection.open.set(response, perform)
    response.once('prefinish', () => this.#ended(socket, response))
    response.once('close', () => {
      this.#forget(response)
      connection.open.delete(response)
      if (connection.broken && !isBusy(connection)) socket.destroySoon()
      // Nobody would get the answers of those that wait behind the end of a connection: they are not performed.
      else if (socket.writable) performFirst(connection)
    })
    // After an answer that closed the connection, more may still come in that was under way.
    if (connection.open.size === 1 && socket.writable) performFirst(connection)
  }

  /** The answer is complete; what the operating system has not taken of it now waits for its reader. */
  #ended(socket: Socket, response: ServerResponse): void {
    const bytes = response.writableLength
    if (bytes === 0) return
    const deadline = setTimeout(() => socket.destroy(), this.#answerReadMs)
    this.#unread.set(response, { bytes, socket, deadline })
    this.#unreadBytes += bytes
    for (const [longest, { socket }] of this.#unread) {
      if (this.#unreadBytes <= this.#unreadMaxBytes || longest === response) return
      this.#forget(longest)
      socket.destroy()
    }
  }

  #forget(response: ServerResponse): void {
    const unread = this.#unread.get(response)
    if (unread === undefined) return
    clearTimeout(unread.deadline)
    this.#unread.delete(response)
    this.#unreadBytes -= unread.bytes
  }

  #refuseWith(reason: Reason): Perform {
    return (_request, response) => {
      const body = this.#refusal(reason)
      const length = Buffer.byteLength(body)
      response.writeHead(reason.status, { 'content-type': JSON_TYPE, 'content-length': length, connection: 'close' })
      response.end(body)
    }
  }

  #refusal({ message }: Reason): string {
    return envelope(failure(refuse(errors.invalidArgument, message)), this.#newRequestId())
  }

  /**
   * Takes node's `clientError`. While a call of this connection is being carried out nothing is said, for its caller would take the refusal
   * for the answer to that call: the connection then ends with the answers to what was whole.
   */
  refuse(error: Error & { readonly code?: string }, socket: Socket): void {
    const connection = this.#connections.get(socket)
    if (connection !== undefined && isBusy(connection)) connection.broken = true
    // What follows the first broken byte comes here again, part by part.
    else if (socket.writable) this.#answer(error.code ?? '', socket)
  }

  #answer(code: string, socket: Socket): void {
    const reason = reasons[code] ?? noHttp
    const body = this.#refusal(reason)
    const head = [
      `HTTP/1.1 ${reason.status} ${STATUS_CODES[reason.status]}`,
      `content-type: ${JSON_TYPE}`,
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
    ]
    socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
    // Closing at once would reset a connection on which the caller is still sending, and take the answer away again.
    setTimeout(() => socket.destroy(), CLOSE_LINGER_MS).unref()
  }
}

function performFirst({ open }: Connection): void {
  for (const [response, perform] of open) {
    perform(response.req, response)
    return
  }
}

/** A request that is whole is being carried out or will be, so that its answer is still to come. */
const isBusy = ({ open }: Connection): boolean => [...open.keys()].some(({ req }) => req.complete)

/** HTTP/1.1 has one in every request (RFC 9112, 3.2). */
const missesHost = ({ httpVersion, headers }: IncomingMessage): boolean =>
  httpVersion === '1.1' && headers.host === undefined

interface Reason {
  readonly status: number
  readonly message: string
}
const noHost: Reason = { status: 400, message: 'Cannot process request: it has no Host header' }
const expectation: Reason = { status: 417, message: 'Cannot process request: Expect may only be 100-continue' }
const noHttp: Reason = { status: 400, message: 'Cannot process request: it is not well-formed HTTP/1.1' }
const reasons: Readonly<Record<string, Reason>> = {
  HPE_HEADER_OVERFLOW: {
    status: 413,
    message: `Request size limit exceeded: the request line and the headers may have ${maxHeaderSize} bytes`,
  },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, message: 'Cannot process request: it comes too slowly' },
}
