// Signals by NATS: a subject for each node, plain messages that NATS keeps for nobody. Not here: when it is told and heard (carrier.ts), how the address
// is read (nats-url.ts).
//
// A line is one connection of the driver, up to its first loss. The driver's own way of connecting anew is not used: it does not say why it fails nor what
// became of what was on the way, what it holds back meanwhile has no bound, and until its first connection there is nothing that could be called off.

import { connect as connectTcp } from 'node:net'
import { connect, errors, type NatsConnection } from '@nats-io/transport-node'
import { SIGNAL_TEXT_MAX_BYTES } from '../core/limits.ts'
import {
  type Addressed,
  Carrier,
  type Line,
  type LineEvents,
  ordinaryBearing,
  Refused,
  reasonOf,
  type SignalBearing,
  type SignalOptions,
} from './carrier.ts'
import { type NatsAddress, readNatsUrl } from './nats-url.ts'

/**
 * Signals over the NATS at the address. Resolves also where it cannot be reached, or does not let us in: it is tried for ever. Rejects where the text is
 * no address (readNatsUrl says why).
 */
export async function openNats(url: string, options: SignalOptions): Promise<Carrier> {
  const read = readNatsUrl(url)
  if (!read.ok) throw new Error(`the address of NATS ${read.problem}`)
  const { address } = read
  const bearing = { ...ordinaryBearing, ...options.bearing }
  const open = (events: LineEvents, closed: AbortSignal) => openLine(address, events, closed, bearing)
  return Carrier.start(`NATS at ${address.servers.join()}`, open, options)
}

/** To the first of the servers that lets us in. Rejects with what is wrong with each. */
async function openLine(
  address: NatsAddress,
  events: LineEvents,
  closed: AbortSignal,
  bearing: SignalBearing,
): Promise<Line> {
  const problems: string[] = []
  for (const server of address.servers) {
    if (closed.aborted) break
    try {
      await greeted(server, closed, bearing.connectMs)
      return new NatsLine(await connectTo(server, address, bearing), address.name, events)
    } catch (error) {
      problems.push(`${server}: ${reasonOf(error)}`)
    }
  }
  throw new Error(problems.join('; '))
}

/**
 * Resolves when the server has said its first word, which it does before we do. One that takes connections and then says nothing is met here: the driver
 * would give it up as well, but leave the socket open, which in the end keeps the process from ending.
 */
async function greeted(server: string, closed: AbortSignal, connectMs: number): Promise<void> {
  const at = server.lastIndexOf(':')
  const host = server.slice(0, at).replace(/^\[|\]$/g, '')
  const socket = connectTcp({ host, port: Number(server.slice(at + 1)) })
  const timer = setTimeout(() => socket.destroy(new Error(`says nothing within ${connectMs} ms`)), connectMs)
  const callOff = (): void => void socket.destroy(new Error('called off'))
  closed.addEventListener('abort', callOff)
  try {
    const { done } = await socket[Symbol.asyncIterator]().next()
    if (done) throw new Error('ends the connection without a word')
  } finally {
    closed.removeEventListener('abort', callOff)
    clearTimeout(timer)
    socket.destroy()
  }
}

const connectTo = (server: string, { login, tls, caFile }: NatsAddress, bearing: SignalBearing) =>
  connect({
    servers: server,
    ...('token' in login ? { token: login.token } : {}),
    ...('user' in login ? { user: login.user, pass: login.password } : {}),
    ...(tls === 'required' ? { tls: caFile === null ? {} : { caFile } } : {}),
    name: 'downlink',
    timeout: bearing.connectMs,
    reconnect: false,
  })

class NatsLine implements Line {
  readonly #connection: NatsConnection
  readonly #name: string
  readonly #events: LineEvents

  constructor(connection: NatsConnection, name: string, events: LineEvents) {
    this.#connection = connection
    this.#name = name
    this.#events = events
    void connection.closed().then(error => events.lost(error ?? new Error('the server ended it')))
    void this.#watch()
  }

  /** What the server objects to is said beside the answers, not as one. */
  async #watch(): Promise<void> {
    for await (const status of this.#connection.status())
      if (status.type === 'error') this.#events.objection(status.error)
  }

  #subjectOf(node: number): string {
    return `${this.#name}.node.${Math.trunc(node)}`
  }

  async listen(node: number): Promise<void> {
    const subscription = this.#connection.subscribe(this.#subjectOf(node), {
      callback: (error, message) => {
        // An error is an objection too, and comes as one.
        if (error === null) this.#events.heard(textOf(message.data))
      },
    })
    await this.#connection.flush()
    if (subscription.isClosed()) throw new Refused(`may not subscribe to ${subscription.getSubject()}`)
  }

  async send(texts: readonly Addressed[]): Promise<void> {
    for (const { node, text } of texts) {
      try {
        this.#connection.publish(this.#subjectOf(node), text)
      } catch (error) {
        throw error instanceof errors.InvalidArgumentError ? new Refused(error.message, { cause: error }) : error
      }
    }
    await this.#connection.flush()
  }

  async look(): Promise<void> {
    await this.#connection.flush()
  }

  /** Drops the socket; whatever was to be told has been answered, or will not be. */
  async end(): Promise<void> {
    await this.#connection.close()
  }
}

/** Of a message that is too long only as much as shows that it is. */
const textOf = (data: Uint8Array): string => decoder.decode(data.subarray(0, SIGNAL_TEXT_MAX_BYTES + 1))
const decoder = new TextDecoder()
