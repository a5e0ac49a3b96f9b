// The stream of changes for tests: over a store and a clock of theirs, and something that receives webhooks on a real socket.

import {
  type ClientRequest,
  createServer,
  get,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock, Timers } from '../../src/clock.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import type { Log } from '../../src/log.ts'
import type { Store } from '../../src/store/store.ts'
import { Stream, type StreamOptions } from '../../src/stream/stream.ts'
import { type Application, ORG } from './server.ts'

const quiet: Log = { info: () => undefined, warn: () => undefined, error: () => undefined }
const uncounted: StreamOptions['observer'] = {
  attempt: () => undefined,
  told: () => undefined,
  gaveUp: () => undefined,
}

/** A stream that is not started; webhooks may go anywhere, and chance is none. */
export function streamOver(
  of: { readonly store: Store; readonly fleet: Fleet; readonly clock: Clock & Timers; readonly log?: Log },
  over: Partial<StreamOptions> = {},
): Stream {
  return new Stream({
    ...{ realClock: of.clock, log: quiet, isShared: false, reachable: 'any', observer: uncounted },
    ...{ defer: run => void setImmediate(run), chance: () => 1 },
    ...of,
    ...over,
  })
}

/** What came in one POST. */
export interface Received {
  readonly headers: IncomingMessage['headers']
  readonly body: string
  // biome-ignore lint/suspicious/noExplicitAny: what is sent is looked at field by field in expectations
  readonly json: any
}

/** Listens for webhooks; answers 200 unless it is told otherwise. */
export class Receiver {
  readonly received: Received[] = []
  /** What becomes of a request; null: no answer at all. */
  answer: (received: Received, response: ServerResponse) => void = (_, response) => void response.end('thanks')
  readonly #server: Server
  #told: (() => void)[] = []

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', chunk => chunks.push(chunk))
      request.on('end', () => {
        const body = Buffer.concat(chunks).toString('utf8')
        const received = { headers: request.headers, body, json: JSON.parse(body) }
        this.received.push(received)
        this.answer(received, response)
        for (const told of this.#told.splice(0)) told()
      })
    })
  }

  /** Resolves with its URL. */
  async listen(port = 0): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(port, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`
  }

  /** All events so far, in the order in which they came, repeats included. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  get events(): any[] {
    return this.received.flatMap(({ json }) => json.events)
  }

  /** Resolves when so many requests have come in all. */
  async requests(count: number): Promise<void> {
    while (this.received.length < count) await new Promise<void>(resolve => this.#told.push(resolve))
  }

  /** Resolves when so many different events have come in all. */
  async distinct(count: number): Promise<void> {
    while (new Set(this.events.map(({ id }) => id)).size < count)
      await new Promise<void>(resolve => this.#told.push(resolve))
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    if (this.#server.listening) await new Promise(resolve => this.#server.close(resolve))
  }
}

/** One thing that came over a stream. */
export interface Told {
  readonly event: string
  readonly id: string
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly data: any
}

/** Follows a stream of events, as the standard for them says, over a connection of its own. */
export class Follows {
  readonly told: Told[] = []
  readonly comments: string[] = []
  status = 0
  headers: IncomingMessage['headers'] = {}
  /** what came where it is no stream */
  text = ''
  readonly #request: ClientRequest
  #response: IncomingMessage | null = null
  /** the stream is over, or cut off */
  isOver = false
  #waiting: (() => void)[] = []

  private constructor(request: ClientRequest, slowly: boolean) {
    this.#request = request
    request.on('response', response => {
      this.status = response.statusCode ?? 0
      this.headers = response.headers
      this.#response = response
      let rest = ''
      const take = (chunk: string) => {
        this.text += chunk
        const blocks = (rest + chunk).split('\n\n')
        rest = blocks.pop() ?? ''
        for (const block of blocks) this.#read(block)
        this.#wake()
      }
      response.setEncoding('utf8').on('data', take)
      if (slowly) response.pause()
      response.on('close', () => this.#ended())
      response.on('error', () => this.#ended())
      this.#wake()
    })
    request.on('error', () => this.#ended())
  }

  /** `slowly`: it reads nothing but the head. */
  static async begin(
    app: Application,
    params: Record<string, string> = {},
    headers: Record<string, string> = {},
    slowly = false,
  ): Promise<Follows> {
    const signed = await app.sign({ orgId: ORG, ...params }, '', app.now(), '/v1/events')
    const request = get(app.url + signed.path, { headers: { ...signed.headers, ...headers }, agent: false })
    const follows = new Follows(request, slowly)
    while (follows.status === 0 && !follows.isOver) await follows.#next()
    // Until it says where it is, something may happen that it does not see.
    while (follows.status === 200 && follows.told.length === 0 && !slowly && !follows.isOver) await follows.#next()
    return follows
  }

  /** Changes alone. */
  get changes(): Told[] {
    return this.told.filter(({ event }) => event === 'change')
  }

  /** Of the last thing told. */
  get cursor(): string {
    return this.told.at(-1)?.id ?? ''
  }

  /** Resolves when so many changes have come in all; fails where it ends before. */
  async count(changes: number): Promise<Told[]> {
    while (this.changes.length < changes) {
      if (this.isOver) throw new Error(`it ended after ${this.changes.length} changes: ${this.comments.join(', ')}`)
      await this.#next()
    }
    return this.changes
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await this.#next()
  }

  /** One that read nothing reads from now on. */
  read(): void {
    this.#response?.resume()
  }

  close(): void {
    this.#request.destroy()
  }

  #read(block: string): void {
    const fields = new Map<string, string>()
    for (const line of block.split('\n')) {
      const [, name = '', value = ''] = /^([^:]*): ?(.*)$/.exec(line) ?? []
      if (name === '') this.comments.push(value)
      else fields.set(name, value)
    }
    const event = fields.get('event')
    if (event === undefined) return
    this.told.push({ event, id: fields.get('id') ?? '', data: JSON.parse(fields.get('data') ?? 'null') })
  }

  #ended(): void {
    this.isOver = true
    this.#wake()
  }

  #next(): Promise<void> {
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
