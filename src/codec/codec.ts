// Codecs: what turns the messages of a product with a format of its own into its bytes, and back. Each is a module of the operator's, and runs in a
// process of its own, so that whatever it does is a failed call and nothing else. Not here: topics, replies, what is done with a message (mqtt/).

import { readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Clock, Timers } from '../clock.ts'
import { isKey } from '../core/command.ts'
import { isObject, quote, readJson } from '../core/json.ts'
import { CODEC_PROCESSES_MAX, CODEC_PRODUCTS_REMEMBERED_MAX, CODEC_RESULT_MAX_BYTES } from '../core/limits.ts'
import type { CodecLog } from './output.ts'
import { Pool } from './pool.ts'
import { type CodecResult, noCodec, ProductCodec } from './product.ts'

export type { CodecLog, CodecResult }

export interface CodecsOptions {
  /** the folder of the modules, `<dir>/<productKey>.mjs`; null: there is none, and every call fails */
  readonly dir: string | null
  readonly clock: Clock & Timers
  readonly log: CodecLog
  /** processes at a time; CODEC_PROCESSES_MAX unless said otherwise */
  readonly processesMax?: number
}

const SUFFIX = '.mjs'

export class Codecs {
  readonly #options: CodecsOptions
  readonly #dir: string | null
  readonly #pool: Pool
  /** by productKey, the one called last at the end */
  readonly #products = new Map<string, ProductCodec>()
  #closed = false

  constructor(options: CodecsOptions) {
    this.#options = options
    this.#dir = options.dir === null ? null : resolve(options.dir)
    this.#pool = new Pool(options.processesMax ?? CODEC_PROCESSES_MAX)
  }

  /** The products that have a module, sorted; not ok where the folder cannot be read. For the start of a server: a misspelt folder is told then. */
  async products(): Promise<CodecResult<readonly string[]>> {
    if (this.#dir === null) return { ok: true, value: [] }
    try {
      const names = await readdir(this.#dir)
      const keys = names.filter(name => name.endsWith(SUFFIX)).map(name => name.slice(0, -SUFFIX.length))
      return { ok: true, value: keys.filter(isKey).sort() }
    } catch (error) {
      return noCodec(`${this.#dir} cannot be read: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  /**
   * The bytes of a message: a command `{id, version, method, params}`, or our answer `{id, code, data, message}` to what came up. They may be none.
   * Never rejects; calls of one product are made in their order, those of different products side by side.
   */
  async encode(productKey: string, message: object): Promise<CodecResult<Buffer>> {
    let payload: string
    try {
      payload = JSON.stringify(message)
    } catch (error) {
      return noCodec(`the message is not JSON: ${error instanceof Error ? error.message : String(error)}`)
    }
    const result = await this.#call(productKey, { type: 'encode', payload })
    if (!result.ok) return result
    const { value } = result
    if (!(value instanceof Uint8Array) || value.length > CODEC_RESULT_MAX_BYTES) return badAnswer(productKey)
    return { ok: true, value: Buffer.from(value) }
  }

  /**
   * The message that bytes of a device say: a JSON object, with nothing in it that JSON has not, no whole number that was rounded, JSON_MAX_DEPTH
   * levels and CODEC_RESULT_MAX_BYTES at most. Its members are not looked at. Never rejects; as {@link encode} in the rest.
   */
  async decode(productKey: string, bytes: Buffer): Promise<CodecResult<unknown>> {
    // A copy: the call may have to wait, and the buffer is the caller's.
    const result = await this.#call(productKey, { type: 'decode', payload: Buffer.from(bytes) })
    if (!result.ok) return result
    const { value } = result
    if (typeof value !== 'string' || Buffer.byteLength(value) > CODEC_RESULT_MAX_BYTES) return badAnswer(productKey)
    const read = readJson(value)
    if (!read.ok) return noCodec(`codec ${productKey}${SUFFIX}: decode returned an object in which ${read.fault}`)
    return isObject(read.value) ? read : badAnswer(productKey)
  }

  /** Ends all processes. Calls under way and later ones are answered that the server is stopping. Resolves when no process is left. */
  async close(): Promise<void> {
    this.#closed = true
    const closed = [...this.#products.values()].map(product => product.close())
    await this.#pool.close()
    await Promise.all(closed)
  }

  async #call(productKey: string, question: Parameters<ProductCodec['call']>[0]): Promise<CodecResult<unknown>> {
    if (!isKey(productKey)) return noCodec(`${quote(productKey)} is no productKey`)
    if (this.#dir === null)
      return noCodec(
        `product ${productKey} has no codec: name a folder with --codecs, its module there is ${productKey}${SUFFIX}`,
      )
    if (this.#closed) return noCodec('the server is stopping')
    return this.#product(productKey, this.#dir).call(question)
  }

  #product(productKey: string, dir: string): ProductCodec {
    const { clock, log } = this.#options
    const known = this.#products.get(productKey)
    if (known === undefined && this.#products.size >= CODEC_PRODUCTS_REMEMBERED_MAX) this.#forget()
    const path = join(dir, `${productKey}${SUFFIX}`)
    const product = known ?? new ProductCodec({ productKey, path, pool: this.#pool, clock, log })
    this.#products.delete(productKey)
    this.#products.set(productKey, product)
    return product
  }

  /** The one that was called longest ago, of those that do nothing. */
  #forget(): void {
    for (const [productKey, product] of this.#products) {
      if (!product.isIdle) continue
      this.#products.delete(productKey)
      return
    }
  }
}

/** Something in its process spoke in the codec's place. */
const badAnswer = (productKey: string): { readonly ok: false; readonly reason: string } =>
  noCodec(`codec ${productKey}${SUFFIX}: its process gave an answer that is none`)
