// Who is told: the receiver of webhooks, a process that is killed and started again behind an address that stays; and a follower of the stream of events,
// who comes again with the last id that he has. Not here: what of it counts (told.ts).

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type ClientRequest, get } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Balancer } from './balancer.ts'
import type { Caller } from './caller.ts'
import { eventOf, type ToldEvent } from './told.ts'

const PROGRAM = fileURLToPath(new URL('receiver.mjs', import.meta.url))
const AGAIN_MS = 50

export class Receiver {
  readonly #balancer: Balancer
  readonly #lines: string
  readonly #secret: string
  #child: ChildProcess | null = null
  #lives = 0

  private constructor(balancer: Balancer, folder: string) {
    this.#balancer = balancer
    this.#lines = join(folder, 'received.jsonl')
    this.#secret = join(folder, 'secret')
  }

  /** Its address stays; nobody listens there until it is started. */
  static async at(folder: string): Promise<Receiver> {
    return new Receiver(await Balancer.listen(), folder)
  }

  get url(): string {
    return `http://127.0.0.1:${this.#balancer.port}/hook`
  }

  knows(secret: string): void {
    writeFileSync(this.#secret, secret)
  }

  async start(seed: number): Promise<void> {
    this.#lives += 1
    const args = [PROGRAM, this.#lines, this.#secret, String(seed + this.#lives)]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child = child
    const port = await new Promise<number>((resolve, reject) => {
      child.once('exit', code => reject(new Error(`the receiver ended by itself with ${code}`)))
      child.stdout.setEncoding('utf8').once('data', text => resolve(Number(/^listening (\d+)$/m.exec(text)?.[1])))
    })
    this.#balancer.add('receiver', port)
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    this.#balancer.remove('receiver')
    if (child === null || child.exitCode !== null) return
    const gone = new Promise(resolve => child.once('close', resolve))
    child.kill('SIGKILL')
    await gone
  }

  /** All that it has put down, in order, over all its lives; and what was wrong with it. */
  received(): { readonly events: ToldEvent[]; readonly faults: string[] } {
    const events: ToldEvent[] = []
    const faults: string[] = []
    const lines = existsSync(this.#lines) ? readFileSync(this.#lines, 'utf8').split('\n') : []
    for (const line of lines.filter(text => text !== '')) {
      const said: { event?: unknown } = JSON.parse(line)
      const event = eventOf(said.event)
      if (event === null) faults.push(`webhook: ${line}`)
      else events.push(event)
    }
    return { events, faults }
  }

  async close(): Promise<void> {
    await this.kill()
    await this.#balancer.close()
  }
}

/** Follows the stream from the beginning, over all lives of the server. */
export class Follower {
  readonly events: ToldEvent[] = []
  readonly faults: string[] = []
  /** how often a stream was begun */
  streams = 0
  readonly #caller: Caller
  #httpUrl: string | null = null
  #cursor: string | null = null
  #request: ClientRequest | null = null
  #again: NodeJS.Timeout | undefined
  #stopped = false

  constructor(caller: Caller) {
    this.#caller = caller
  }

  /** Where the server is from now on, or null where it is not. */
  serverAt(httpUrl: string | null): void {
    this.#httpUrl = httpUrl
    if (this.#request === null) this.#begin()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#again)
    this.#request?.destroy()
  }

  #begin(): void {
    clearTimeout(this.#again)
    if (this.#stopped || this.#httpUrl === null) return
    const { path, headers } = this.#caller.signed('/v1/events', { from: 'oldest' })
    const last = this.#cursor === null ? {} : { 'last-event-id': this.#cursor }
    const request = get(this.#httpUrl + path, { headers: { ...headers, ...last }, agent: false })
    this.#request = request
    this.streams += 1
    request.on('error', () => this.#over(request))
    request.on('response', response => {
      if (response.statusCode !== 200) this.faults.push(`stream: it was answered with ${response.statusCode}`)
      let rest = ''
      response.setEncoding('utf8').on('data', chunk => {
        const blocks = (rest + chunk).split('\n\n')
        rest = blocks.pop() ?? ''
        for (const block of blocks) this.#read(block)
      })
      response.on('error', () => this.#over(request))
      response.on('close', () => this.#over(request))
    })
  }

  /** A block that was cut off counts for nothing: its id is not kept either. */
  #read(block: string): void {
    const fields = new Map(block.split('\n').map(line => [line.split(':')[0] ?? '', line.replace(/^[^:]*: ?/, '')]))
    const id = fields.get('id')
    if (id !== undefined) this.#cursor = id
    if (fields.get('event') === 'gone') this.faults.push('stream: changes were gone')
    if (fields.get('event') !== 'change') return
    const event = eventOf(JSON.parse(fields.get('data') ?? 'null'))
    if (event === null || event.id !== id) this.faults.push(`stream: ${block}`)
    else this.events.push(event)
  }

  #over(request: ClientRequest): void {
    if (this.#request !== request) return
    this.#request = null
    if (!this.#stopped) this.#again = setTimeout(() => this.#begin(), AGAIN_MS)
  }
}
