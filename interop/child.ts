// A process that this suite has started: its lines, the end of what it said on stderr, and its end. None outlives the suite.
// Not here: what the lines mean (server.ts, program.ts).

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** characters of stderr that are kept: enough for a stack of Java and what led to it */
const SAID_CHARS = 20_000
/** how long a process that was asked to end may take, before it is ended */
const END_WITHIN_MS = 12_000

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})
// Without this, a signal would end this process and none of its children.
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(1))

export interface Start {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly environment?: Readonly<Record<string, string>>
  /** called with each line of stdout */
  readonly onLine?: (line: string) => void
}

export class Child {
  /** resolves when the process is gone, also where it could not be started at all */
  readonly ended: Promise<void>
  readonly #process: ChildProcess
  #said = ''
  #end: string | null = null

  constructor({ command, args, cwd, environment = {}, onLine = () => undefined }: Start) {
    const env = { ...inherited(), ...environment }
    this.#process = spawn(command, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] })
    running.add(this.#process)
    if (this.#process.stdout) createInterface({ input: this.#process.stdout }).on('line', onLine)
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-SAID_CHARS)
    })
    // A process that is gone cannot be written to; what waits for its answer learns of it by `ended`.
    this.#process.stdin?.on('error', error => {
      this.#said += `\nstdin: ${error.message}`
    })
    this.ended = new Promise(resolve => {
      const over = (end: string): void => {
        this.#end ??= end
        running.delete(this.#process)
        resolve()
      }
      this.#process.once('error', error => over(error.message))
      this.#process.once('close', (code, signal) => over(signal === null ? `exit code ${code}` : signal))
    })
  }

  /** how it ended, null while it runs */
  get end(): string | null {
    return this.#end
  }

  /** the end of what it said on stderr */
  get said(): string {
    return this.#said
  }

  write(line: string): void {
    this.#process.stdin?.write(`${line}\n`)
  }

  /** Closes its stdin or sends it SIGTERM; ends it where that is not enough. Returns how it ended. */
  async stop(how: 'end of input' | 'SIGTERM'): Promise<string> {
    if (how === 'SIGTERM') this.#process.kill('SIGTERM')
    else this.#process.stdin?.end()
    const impatient = setTimeout(() => this.#process.kill('SIGKILL'), END_WITHIN_MS)
    await this.ended
    clearTimeout(impatient)
    return this.#end ?? ''
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }
}

/** Our environment, without what would reach into the server that is tried. */
function inherited(): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('DOWNLINK_'))
  return Object.fromEntries(kept.map(([name, value]) => [name, value ?? '']))
}

/** Runs a process to its end, at most for `limitMs`. Returns its stdout, what it said, and how it ended: `exit code 0` if well. */
export async function run(start: Start, limitMs: number): Promise<{ stdout: string; said: string; end: string }> {
  const lines: string[] = []
  const child = new Child({ ...start, onLine: line => lines.push(line) })
  let isLate = false
  const limit = setTimeout(() => {
    isLate = true
    child.kill()
  }, limitMs)
  await child.ended
  clearTimeout(limit)
  const end = isLate ? `not done within ${limitMs / 1000} s` : (child.end ?? '')
  return { stdout: lines.join('\n'), said: child.said, end }
}
