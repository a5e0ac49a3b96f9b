// One of the programs that drive a vendor's SDK, as a process: it is told what to do, a JSON line each, and answers; commands
// that come to its device it tells by itself.
// Not here: what it is told (scenarios), how it is built (toolchain.ts).

import { isObject } from '../src/core/json.ts'
import { Child } from './child.ts'

export interface Command {
  readonly kind: 'set' | 'invoke'
  readonly commandId: string
  readonly productKey: string
  readonly deviceKey: string
  readonly service: string | null
  readonly params: unknown
}

/** How to start a program, once it is built. */
export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
}

/** beyond what a program was itself given to wait: for the start of its runtime on a busy machine */
const ANSWER_MARGIN_MS = 20_000
const LOOK_EVERY_MS = 20

export class Program {
  readonly #child: Child
  readonly #answers = new Map<number, Record<string, unknown>>()
  /** The commands that the device got so far, in order. */
  readonly commands: Command[] = []
  #asked = 0
  /** a line that is no message: its end is missing where the program was ended while it wrote */
  #garbled: string | null = null

  constructor(launch: Launch) {
    this.#child = new Child({ ...launch, onLine: line => this.#take(line) })
  }

  /** Tells it to do something and returns what came of it. Throws where it failed, or does not answer. */
  async ask(what: string, given: object = {}, waitMs = 0): Promise<Record<string, unknown>> {
    this.#asked += 1
    const id = this.#asked
    this.#child.write(JSON.stringify({ id, do: what, with: given }))
    await this.until(`an answer to ${what}`, waitMs + ANSWER_MARGIN_MS, () => this.#answers.has(id))
    const answer = this.#answers.get(id) ?? {}
    if (answer.error !== undefined) throw new Error(`${what}: ${String(answer.error)}`)
    if (!isObject(answer.result)) throw new Error(`${what}: the program answered ${JSON.stringify(answer)}`)
    return answer.result
  }

  /** Waits for a state of things. Throws where it does not come in time, or the program ends. */
  async until(what: string, waitMs: number, isSo: () => boolean): Promise<void> {
    const deadline = Date.now() + waitMs
    while (!isSo()) {
      if (this.#child.end !== null) throw new Error(`the program ended (${this.#child.end}) before ${what}`)
      if (this.#garbled !== null) throw new Error(`the program printed ${this.#garbled} before ${what}`)
      if (Date.now() > deadline) throw new Error(`${what} did not come within ${waitMs / 1000} s`)
      await new Promise(resolve => setTimeout(resolve, LOOK_EVERY_MS))
    }
  }

  get said(): string {
    return this.#child.said
  }

  /** Lets it end by itself, as it does when there is nothing more to do. */
  async stop(): Promise<void> {
    await this.#child.stop('end of input')
  }

  /** Ends it at once: some SDKs take seconds to leave. */
  async kill(): Promise<void> {
    this.#child.kill()
    await this.#child.ended
  }

  #take(line: string): void {
    try {
      const message: unknown = JSON.parse(line)
      if (isObject(message) && typeof message.re === 'number') this.#answers.set(message.re, message)
      else this.commands.push(command(message))
    } catch (error) {
      this.#garbled = `${line} (${error instanceof Error ? error.message : String(error)})`
    }
  }
}

function command(message: unknown): Command {
  if (!isObject(message)) throw new Error('neither an answer nor a command')
  const { kind, commandId, productKey, deviceKey, service, params } = message
  if (kind !== 'set' && kind !== 'invoke') throw new Error(`no command is of kind ${String(kind)}`)
  const texts = { commandId: String(commandId), productKey: String(productKey), deviceKey: String(deviceKey) }
  return { kind, ...texts, service: typeof service === 'string' ? service : null, params }
}
