// What a codec prints, into the server's log: so many lines a second, each so long, and beyond a bound it is made to wait. Not here: processes.

import type { Readable } from 'node:stream'
import type { Clock, Timers } from '../clock.ts'
import { CODEC_LINE_MAX_CHARS, CODEC_LINES_LOGGED_PER_S, CODEC_OUTPUT_MAX_CHARS_PER_S } from '../core/limits.ts'

/** The logger's face; pino has it. */
export interface CodecLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

const WINDOW_MS = 1_000

export class Output {
  readonly #log: CodecLog
  readonly #clock: Clock & Timers
  readonly #productKey: string
  /** the second that the counts below are of */
  #windowEnd = 0
  #lines = 0
  #chars = 0
  #leftOut = 0

  constructor(log: CodecLog, clock: Clock & Timers, productKey: string) {
    this.#log = log
    this.#clock = clock
    this.#productKey = productKey
  }

  /** Logs what comes out of the stream until it ends. */
  watch(stream: Readable, level: 'info' | 'warn'): void {
    /** of the line that has begun, as much as is logged of one */
    let begun = ''
    let cancelResume = (): void => undefined
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => {
      const lines = text.split('\n')
      for (const [index, part] of lines.entries()) {
        if (begun.length < CODEC_LINE_MAX_CHARS) begun = (begun + part).slice(0, CODEC_LINE_MAX_CHARS)
        if (index === lines.length - 1) break
        this.#line(level, begun)
        begun = ''
      }
      if (!this.#isTooMuch(text.length)) return
      stream.pause()
      cancelResume = this.#clock.at(this.#windowEnd, () => stream.resume())
    })
    stream.once('close', () => {
      cancelResume()
      if (begun !== '') this.#line(level, begun)
    })
  }

  #isTooMuch(chars: number): boolean {
    this.#turnWindow()
    this.#chars += chars
    return this.#chars > CODEC_OUTPUT_MAX_CHARS_PER_S
  }

  #line(level: 'info' | 'warn', text: string): void {
    this.#turnWindow()
    if (this.#lines >= CODEC_LINES_LOGGED_PER_S) {
      this.#leftOut += 1
      return
    }
    this.#lines += 1
    const leftOut = this.#leftOut > 0 ? { leftOut: this.#leftOut } : {}
    this.#leftOut = 0
    this.#log[level]({ productKey: this.#productKey, text, ...leftOut }, 'a codec printed')
  }

  #turnWindow(): void {
    const now = this.#clock.now()
    if (now < this.#windowEnd) return
    this.#windowEnd = now + WINDOW_MS
    this.#lines = 0
    this.#chars = 0
  }
}
