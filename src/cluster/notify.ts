// Signals by PostgreSQL's NOTIFY, over a connection of their own to the database of the store, outside all of its transactions: inside one, each commit
// of each node would wait for all others', since every NOTIFY that is committed takes one lock. Not here: when it is told and heard (carrier.ts).
//
// One connection for both. A server process hears when its statement has ended, so hearing waits for no more than a telling of ours: with three nodes
// and 10,000 tidings a second it took 0.35 ms at the median and 1 to 3 ms at the 99th percentile, and with two connections each just as long.
//
// Needs the primary, and a pooler between must keep the connection for us (PgBouncer: session mode). Channels are of one database: two installations in
// one server do not hear each other.

import { Socket } from 'node:net'
import { Client, DatabaseError } from 'pg'
import { POSTGRES_KEEPALIVE_MS, SIGNAL_STATEMENT_MAX_MS } from '../core/limits.ts'
import {
  type Addressed,
  Carrier,
  type Line,
  type LineEvents,
  ordinaryBearing,
  Refused,
  type SignalBearing,
  type SignalOptions,
} from './carrier.ts'

/**
 * Signals over the database at the address. Resolves also where it cannot be reached at the moment: it is tried for ever.
 *
 * @param url `postgres://…`, as the store has it
 */
export function openNotify(url: string, options: SignalOptions): Promise<Carrier> {
  const bearing = { ...ordinaryBearing, ...options.bearing }
  return Carrier.start('NOTIFY', events => openLine(url, events, bearing), options)
}

/** The node number is checked by whoever has it, and still goes into SQL as digits only. */
const channelOf = (node: number): string => `downlink_node_${Math.trunc(node)}`

const TELL = 'select pg_notify(c, p) from unnest($1::text[], $2::text[]) as n(c, p)'
const LOOK = 'select from pg_listening_channels() as c where c = $1'
const SETTINGS = `set statement_timeout = ${SIGNAL_STATEMENT_MAX_MS}; set lock_timeout = ${SIGNAL_STATEMENT_MAX_MS}`

async function openLine(url: string, events: LineEvents, bearing: SignalBearing): Promise<Line> {
  // Ours to destroy: what the driver ends, it ends politely, and waits for a server that may be silent.
  const socket = new Socket()
  const client = new Client({
    connectionString: url,
    stream: () => socket,
    connectionTimeoutMillis: bearing.connectMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: POSTGRES_KEEPALIVE_MS,
    fallback_application_name: 'downlink signals',
  })
  client.on('error', error => events.lost(error))
  client.on('notification', ({ payload }) => events.heard(payload ?? ''))
  try {
    await client.connect()
    await client.query({ text: SETTINGS, query_timeout: bearing.answerMs } as { text: string })
  } catch (error) {
    socket.destroy()
    throw error
  }
  return new NotifyLine(client, socket, bearing.closeMs)
}

class NotifyLine implements Line {
  readonly #client: Client
  readonly #socket: Socket
  readonly #closeMs: number
  #channel: string | null = null

  constructor(client: Client, socket: Socket, closeMs: number) {
    this.#client = client
    this.#socket = socket
    this.#closeMs = closeMs
  }

  async listen(node: number): Promise<void> {
    const channel = channelOf(node)
    await this.#client.query(`listen ${channel}`)
    this.#channel = channel
  }

  async send(texts: readonly Addressed[]): Promise<void> {
    const channels = texts.map(({ node }) => channelOf(node))
    const payloads = texts.map(({ text }) => text)
    try {
      await this.#client.query({ name: 'tell', text: TELL, values: [channels, payloads] })
    } catch (error) {
      throw isRefusal(error) ? new Refused(error.message, { cause: error }) : error
    }
  }

  async look(): Promise<void> {
    if (this.#channel === null) {
      await this.#client.query('select')
      return
    }
    const { rowCount } = await this.#client.query({ name: 'look', text: LOOK, values: [this.#channel] })
    if (rowCount === 0)
      throw new Error('the connection does not listen any more; a connection pooler between must be in session mode')
  }

  async end(): Promise<void> {
    const timer = setTimeout(() => this.#socket.destroy(), this.#closeMs)
    await this.#client.end()
    clearTimeout(timer)
  }
}

/** Not where the server is going down, or the connection with it: what was told there has to be told again. */
const isRefusal = (error: unknown): error is DatabaseError =>
  error instanceof DatabaseError && !/^(08|57P)/.test(error.code ?? '')
