// Connections whose bytes never become a whole request: no HTTP, more than is read at all, or too slow. They are answered in the envelope that every
// caller reads, and closed. Not here: what is refused of a request that is whole (app.ts).

import { type IncomingMessage, maxHeaderSize, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { errors, refuse } from '../core/errors.ts'
import { CLOSE_LINGER_MS } from '../core/limits.ts'
import { envelope, failure, JSON_TYPE } from './wire.ts'

/** A connection with calls that are not answered yet; what came after them may turn out to be no HTTP. */
interface Connection {
  readonly open: Set<ServerResponse>
  broken: boolean
}

export class Connections {
  readonly #connections = new WeakMap<Socket, Connection>()
  readonly #newRequestId: () => string

  constructor(newRequestId: () => string) {
    this.#newRequestId = newRequestId
  }

  watch(server: Server): void {
    server.on('request', (request, response) => this.#opened(request, response))
  }

  #opened({ socket }: IncomingMessage, response: ServerResponse): void {
    const connection = this.#connections.get(socket) ?? { open: new Set(), broken: false }
    this.#connections.set(socket, connection)
    connection.open.add(response)
    response.once('close', () => {
      connection.open.delete(response)
      if (connection.broken && !isBusy(connection)) socket.destroySoon()
    })
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
    const { status, message } = reasons[code] ?? noHttp
    const body = envelope(failure(refuse(errors.invalidArgument, message)), this.#newRequestId())
    const head = [
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
      `content-type: ${JSON_TYPE}`,
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
    ]
    socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
    // Closing at once would reset a connection on which the caller is still sending, and take the answer away again.
    setTimeout(() => socket.destroy(), CLOSE_LINGER_MS).unref()
  }
}

/** A request that is whole is being carried out, so that its answer is still to come. */
const isBusy = ({ open }: Connection): boolean => [...open].some(({ req }) => req.complete)

const noHttp = { status: 400, message: 'Cannot process request: it is not well-formed HTTP/1.1' }
const reasons: Readonly<Record<string, typeof noHttp>> = {
  HPE_HEADER_OVERFLOW: {
    status: 413,
    message: `Request size limit exceeded: the request line and the headers may have ${maxHeaderSize} bytes`,
  },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, message: 'Cannot process request: it comes too slowly' },
}
