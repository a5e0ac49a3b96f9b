// The codec of one product: its calls in their order, its file, its process, and when it is given a rest. Not here: how many processes there are
// (pool.ts), what messages and bytes are (codec.ts).

import { stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Clock, Timers } from '../clock.ts'
import { escapeInvisible } from '../core/json.ts'
import {
  CODEC_CALL_MS,
  CODEC_LINE_MAX_CHARS,
  CODEC_LOAD_MS,
  CODEC_LOOK_EVERY_MS,
  CODEC_LOSSES_MAX,
  CODEC_QUEUE_MAX_BYTES,
  CODEC_QUEUE_MAX_CALLS,
  CODEC_REST_MS,
} from '../core/limits.ts'
import { type CodecLog, Output } from './output.ts'
import type { Pool } from './pool.ts'
import { type Question, Runner } from './runner.ts'

/** What came of a call, or why nothing did, in words for the operator. */
export type CodecResult<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly reason: string }

export const noCodec = (reason: string): { readonly ok: false; readonly reason: string } => ({ ok: false, reason })

export interface ProductOptions {
  readonly productKey: string
  /** absolute path of the module */
  readonly path: string
  readonly pool: Pool
  readonly clock: Clock & Timers
  readonly log: CodecLog
}

interface Call {
  readonly question: Question
  readonly bytes: number
  readonly resolve: (result: CodecResult<unknown>) => void
}

export class ProductCodec {
  readonly #options: ProductOptions
  readonly #output: Output
  #waiting: Call[] = []
  #waitingBytes = 0
  /** the calls being worked off; null: there are none */
  #working: Promise<void> | null = null
  #runner: Runner | null = null
  /** which state of the file is in use; null: none yet */
  #version: string | null = null
  /** why the file cannot be used; null: it can */
  #absent: string | null = null
  #lookAt = Number.NEGATIVE_INFINITY
  /** processes lost in a row */
  #losses = 0
  /** until then nothing is tried, for this reason */
  #rest: { readonly until: number; readonly reason: string } | null = null
  #closed = false

  constructor(options: ProductOptions) {
    this.#options = options
    this.#output = new Output(options.log, options.clock, options.productKey)
  }

  /** Nothing is under way, nothing is kept but the memory of a failure. */
  get isIdle(): boolean {
    return this.#working === null && (this.#runner === null || this.#runner.isOver)
  }

  /** Asks the codec when its turn comes. Always resolves. */
  call(question: Question): Promise<CodecResult<unknown>> {
    const bytes = question.payload.length
    if (this.#closed) return Promise.resolve(this.#failed('the server is stopping'))
    if (this.#waiting.length >= CODEC_QUEUE_MAX_CALLS || this.#waitingBytes + bytes > CODEC_QUEUE_MAX_BYTES)
      return Promise.resolve(this.#failed('too many calls are waiting for it'))
    return new Promise(resolve => {
      this.#waiting.push({ question, bytes, resolve })
      this.#waitingBytes += bytes
      this.#working ??= this.#work()
    })
  }

  /** Whatever waits is told that the server is stopping. Its process is the pool's to end. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#working
  }

  async #work(): Promise<void> {
    for (let call = this.#waiting.shift(); call !== undefined; call = this.#waiting.shift()) {
      this.#waitingBytes -= call.bytes
      call.resolve(await this.#perform(call.question))
    }
    this.#working = null
  }

  async #perform(question: Question): Promise<CodecResult<unknown>> {
    try {
      const result = await this.#ask(question)
      return !result.ok && this.#closed ? this.#failed('the server is stopping') : result
    } catch (error) {
      // A bug, but the calls behind this one must not wait for ever.
      this.#options.log.warn({ ...this.#named(), err: error }, 'a call of a codec failed inside the server')
      return this.#failed('the call failed inside the server')
    }
  }

  async #ask(question: Question): Promise<CodecResult<unknown>> {
    await this.#look()
    if (this.#absent !== null) return this.#failed(this.#absent)
    this.#noteLoss()
    if (this.#rest !== null && this.#options.clock.now() < this.#rest.until) return this.#failed(this.#rest.reason)
    const loaded = await this.#loaded()
    if (!loaded.ok) return loaded
    const runner = loaded.value
    const answer = await runner.ask(question, CODEC_CALL_MS)
    this.#noteLoss()
    if (!runner.isOver) this.#options.pool.idle(runner)
    return answer.type === 'done' ? { ok: true, value: answer.value } : this.#failed(answer.reason)
  }

  /** The file may have changed: then everything known of it is forgotten. */
  async #look(): Promise<void> {
    const { clock, path, productKey } = this.#options
    if (clock.now() < this.#lookAt) return
    let version: string | null = null
    try {
      const file = await stat(path, { bigint: true })
      version = file.isFile() ? `${file.mtimeNs} ${file.size} ${file.ino}` : null
      this.#absent = file.isFile() ? null : `${path} is no file: the module of product ${productKey} is expected there`
    } catch (error) {
      this.#absent = absence(error, path, productKey)
    }
    this.#lookAt = clock.now() + CODEC_LOOK_EVERY_MS
    if (version === this.#version) return
    this.#runner?.end()
    this.#runner = null
    this.#version = version
    this.#losses = 0
    this.#rest = null
  }

  /** The process with the module in it, started if need be; from here on it is busy. */
  async #loaded(): Promise<CodecResult<Runner>> {
    const { clock, path, pool } = this.#options
    if (this.#runner !== null && !this.#runner.isOver) {
      pool.busy(this.#runner)
      return { ok: true, value: this.#runner }
    }
    const runner = await pool.start(() => new Runner(dirname(path), this.#output, clock))
    if (runner === null) return this.#failed('the server is stopping')
    this.#runner = runner
    const answer = await runner.ask({ type: 'load', payload: pathToFileURL(path).href }, CODEC_LOAD_MS)
    if (answer.type === 'done') return { ok: true, value: runner }
    runner.end()
    this.#runner = null
    // Nothing will be different at the next call, unless the file is.
    return this.#failed(this.#closed ? 'the server is stopping' : this.#giveRest(`cannot be loaded: ${answer.reason}`))
  }

  /**
   * A process that was lost, in a call or since, counts once. One that had answered more than its loading and one call shows that the codec is not
   * bad altogether; one answer alone may have been the cause.
   */
  #noteLoss(): void {
    const runner = this.#runner
    if (runner === null || runner.lost === null) return
    this.#runner = null
    this.#losses = runner.answered > 2 ? 1 : this.#losses + 1
    if (this.#losses >= CODEC_LOSSES_MAX) this.#giveRest(`${runner.lost}, ${this.#losses} times in a row`)
    else this.#options.log.warn({ ...this.#named(), reason: runner.lost }, 'a codec lost its process')
  }

  /** Returns what calls are told meanwhile. */
  #giveRest(why: string): string {
    const { clock, log } = this.#options
    const reason = `${why}; it is tried again within ${CODEC_REST_MS / 1_000} s, or at once when its file has changed`
    this.#rest = { until: clock.now() + CODEC_REST_MS, reason }
    log.warn({ ...this.#named(), reason }, 'a codec is given a rest')
    return reason
  }

  #named(): { readonly productKey: string; readonly path: string } {
    const { productKey, path } = this.#options
    return { productKey, path }
  }

  /** Much of it is in the words of foreign code. */
  #failed(reason: string): { readonly ok: false; readonly reason: string } {
    const said = escapeInvisible(reason).slice(0, CODEC_LINE_MAX_CHARS)
    return noCodec(`codec ${basename(this.#options.path)}: ${said}`)
  }
}

function absence(error: unknown, path: string, productKey: string): string {
  const { code, message }: { code?: unknown; message?: unknown } = error instanceof Error ? error : {}
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return `${path} does not exist: the module of product ${productKey} is expected there`
  return `${path} cannot be read: ${String(message)}`
}
