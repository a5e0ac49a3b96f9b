// One process with one codec in it: started, asked one thing at a time within a time, killed. Not here: when to start one, and what a loss leads to
// (product.ts), how many there are (pool.ts), the program that runs in it (codec-process.mjs).

import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Clock, Timers } from '../clock.ts'
import { assert } from '../core/errors.ts'
import {
  CODEC_HEAP_MIB,
  CODEC_LINE_MAX_CHARS,
  CODEC_MEMORY_MAX_BYTES,
  CODEC_RESULT_MAX_BYTES,
  JSON_MAX_DEPTH,
} from '../core/limits.ts'
import type { Output } from './output.ts'

/** Beside this file in the sources, and beside the bundle where it is built. */
const PROGRAM = fileURLToPath(new URL('./codec-process.mjs', import.meta.url))
const MIB = 1_048_576

/** `load` a module by its URL, `encode` JSON text, `decode` bytes. */
export interface Question {
  readonly type: 'load' | 'encode' | 'decode'
  readonly payload: string | Uint8Array
}

export type Answer =
  /** not checked: it comes out of a process with foreign code in it */
  | { readonly type: 'done'; readonly value: unknown }
  /** the codec, or what it returned, is wrong; the process goes on */
  | { readonly type: 'failed'; readonly reason: string }
  /** the process is of no more use: it did not answer in time, or it ended */
  | { readonly type: 'lost'; readonly reason: string }

interface Asked {
  readonly seq: number
  readonly resolve: (answer: Answer) => void
  readonly disarm: () => void
}

export class Runner {
  /** Resolves when the process is no more, or never came to be. */
  readonly ended: Promise<void>
  readonly #clock: Clock & Timers
  readonly #child: ChildProcess | null
  #asked: Asked | null = null
  #seq = 0
  #answered = 0
  #lost: string | null = null
  #isOver = false
  #end: () => void = () => undefined

  /** Starts it, in this folder. Where the machine does not let it, this does not throw: the runner is lost from the start. */
  constructor(folder: string, output: Output, clock: Clock & Timers) {
    this.#clock = clock
    this.ended = new Promise(resolve => {
      this.#end = resolve
    })
    this.#child = this.#start(folder, output)
  }

  /** calls that it answered, loading included */
  get answered(): number {
    return this.#answered
  }

  /** Why it is of no more use though nobody ended it; null: it is not so. */
  get lost(): string | null {
    return this.#lost
  }

  /** Whether it may not be asked any more: lost or ended, though its process may be there for another moment. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Always resolves, within the time. Nothing else may be asked before. */
  ask(question: Question, limitMs: number): Promise<Answer> {
    assert(this.#asked === null, 'a codec is asked one thing at a time')
    const child = this.#child
    if (this.#isOver || child === null) return Promise.resolve({ type: 'lost', reason: this.#lost ?? 'was ended' })
    this.#seq += 1
    const seq = this.#seq
    return new Promise(resolve => {
      // An answer that arrived while this process was busy itself is read before it is judged: between two immediates lies one look at all sockets.
      const late = (): void => {
        if (this.#asked?.seq === seq) this.#lose(`did not return within ${limitMs} ms`)
      }
      const disarm = this.#clock.at(this.#clock.now() + limitMs, () => void setImmediate(() => setImmediate(late)))
      this.#asked = { seq, resolve, disarm }
      child.send({ seq, ...question }, error => {
        if (error !== null) this.#lose(`cannot be reached: ${error.message}`)
      })
    })
  }

  /** Ends it, which is no loss. Whoever still asks is told that it is lost. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#answer({ type: 'lost', reason: 'was ended' })
    this.#child?.kill('SIGKILL')
  }

  #lose(reason: string): void {
    if (this.#isOver) return
    this.#lost = reason
    this.#isOver = true
    this.#answer({ type: 'lost', reason })
    this.#child?.kill('SIGKILL')
  }

  #start(folder: string, output: Output): ChildProcess | null {
    const bounds = [CODEC_RESULT_MAX_BYTES, JSON_MAX_DEPTH, CODEC_LINE_MAX_CHARS].map(String)
    let child: ChildProcess
    try {
      child = fork(PROGRAM, bounds, {
        cwd: folder,
        // Nothing of the server's environment, which holds its secrets, and no options of its node.
        env: {},
        execArgv: [`--max-old-space-size=${CODEC_HEAP_MIB}`],
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
        serialization: 'advanced',
      })
    } catch (error) {
      this.#notStarted(error)
      return null
    }
    child.on('message', message => this.#hear(message))
    child.on('error', error => {
      if (child.pid === undefined) this.#notStarted(error)
      else this.#lose(`cannot be reached: ${error.message}`)
    })
    child.once('exit', (code, signal) => {
      this.#lose(howItEnded(code, signal))
      this.#end()
      // Its last words are read by now; what it may have started itself could hold the pipes open for ever.
      setImmediate(() => {
        child.stdout?.destroy()
        child.stderr?.destroy()
      })
    })
    // Where it could not be started there are none, whatever the types say.
    if (child.stdout) output.watch(child.stdout, 'info')
    if (child.stderr) output.watch(child.stderr, 'warn')
    return child
  }

  #notStarted(error: unknown): void {
    this.#lose(`cannot be started: ${error instanceof Error ? error.message : String(error)}`)
    this.#end()
  }

  #hear(message: unknown): void {
    const said: { seq?: unknown; ok?: unknown; value?: unknown; reason?: unknown; memoryBytes?: unknown } =
      typeof message === 'object' && message !== null ? message : {}
    if (this.#asked === null || said.seq !== this.#asked.seq) return
    this.#answered += 1
    if (said.ok === true) this.#answer({ type: 'done', value: said.value })
    else this.#answer({ type: 'failed', reason: String(said.reason) })
    if (typeof said.memoryBytes === 'number' && said.memoryBytes > CODEC_MEMORY_MAX_BYTES)
      this.#lose(
        `holds ${Math.round(said.memoryBytes / MIB)} MiB of memory; ${CODEC_MEMORY_MAX_BYTES / MIB} are allowed`,
      )
  }

  #answer(answer: Answer): void {
    const asked = this.#asked
    this.#asked = null
    asked?.disarm()
    asked?.resolve(answer)
  }
}

/** Node aborts its process where the heap is full. */
function howItEnded(code: number | null, signal: string | null): string {
  if (signal === 'SIGABRT') return `was aborted, most likely for want of memory: its heap has ${CODEC_HEAP_MIB} MiB`
  return signal === null ? `ended its process with exit code ${code}` : `was ended by ${signal}`
}
