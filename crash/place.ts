// Where it happens: a folder with the server's files, and the built server as a process that is started on them again and again.
// Not here: when it is killed (kills.ts, scenarios.ts).

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from '@photostructure/sqlite'
import { Fleet, type FleetSize } from './fleet.ts'

/** ms from the start of the process to its addresses; on a busy machine it takes one or two seconds */
const START_WAIT_MS = 30_000

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stderr: string
}

/** The process ended before it was listening, or did not listen in time. */
export class NotStarted extends Error {
  override readonly name = 'NotStarted'
  constructor(readonly ended: Ended) {
    super(`the server ended with ${ended.code ?? ended.signal} before it was listening: ${ended.stderr.slice(-2_000)}`)
  }
}

export interface Launch {
  /** the folder of the database; the place's own unless given */
  readonly data?: string
  readonly options?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** a program that starts the server, with its own arguments, such as prlimit */
  readonly through?: readonly string[]
}

/** One life of the server. */
export class Server {
  readonly pid: number
  readonly startedAt = performance.now()
  readonly ended: Promise<Ended>
  /** Resolves when it listens; rejects with NotStarted. */
  readonly listening: Promise<void>
  httpUrl = ''
  mqttUrl = ''
  stderr = ''
  isOver = false
  /** true once we have asked for its end */
  isEnding = false
  readonly #child: ChildProcess

  constructor(command: readonly string[], env: Readonly<Record<string, string>>) {
    const [program = process.execPath, ...args] = command
    this.#child = spawn(program, args, {
      env: { PATH: process.env.PATH ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.pid = this.#child.pid ?? -1
    let stdout = ''
    this.ended = new Promise(resolve => {
      this.#child.once('error', error => resolve({ code: null, signal: null, stderr: error.message }))
      this.#child.once('close', (code, signal) => resolve({ code, signal, stderr: this.stderr }))
    })
    void this.ended.then(() => {
      this.isOver = true
    })
    this.#child.stderr?.setEncoding('utf8').on('data', text => {
      this.stderr += text
    })
    this.listening = new Promise((resolve, reject) => {
      this.#child.stdout?.setEncoding('utf8').on('data', text => {
        stdout += text
        this.httpUrl = /^listening http (\S+)\n/m.exec(stdout)?.[1] ?? ''
        this.mqttUrl = /^listening mqtt (\S+)\n/m.exec(stdout)?.[1] ?? ''
        if (this.httpUrl !== '' && this.mqttUrl !== '') resolve()
      })
      const tooLong = setTimeout(() => this.#child.kill('SIGKILL'), START_WAIT_MS)
      void this.ended.then(ended => {
        clearTimeout(tooLong)
        reject(new NotStarted(ended))
      })
      this.#child.stdout?.once('data', () => clearTimeout(tooLong))
    })
    // Whoever kills a server that is still starting does not ask whether it listens.
    this.listening.catch(() => undefined)
  }

  /** SIGSTOP or SIGCONT: it does nothing for a while, and knows nothing of it. */
  pause(isPaused: boolean): void {
    this.#child.kill(isPaused ? 'SIGSTOP' : 'SIGCONT')
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.isEnding = true
    this.#child.kill('SIGKILL')
    await this.ended
  }

  /** SIGTERM; resolves with the exit code when the process is gone. */
  async stop(): Promise<number | null> {
    this.isEnding = true
    this.#child.kill('SIGTERM')
    return (await this.ended).code
  }
}

export class Place {
  readonly folder = mkdtempSync(join(tmpdir(), 'downlink-crash-'))
  readonly fleet: Fleet
  /** the built program */
  readonly main: string
  readonly #servers = new Set<Server>()

  constructor(main: string, size: FleetSize) {
    this.main = main
    this.fleet = new Fleet(size)
    writeFileSync(join(this.folder, 'fleet.json'), this.fleet.file())
  }

  /** the database of a data folder, which is the place's own unless given */
  database(data = this.folder): string {
    return join(data, 'downlink.db')
  }

  /** Starts the server and does not wait for it. Ports are free ones each time: a fixed one could be taken by one of our own connections meanwhile. */
  launch({ data, options = [], env = {}, through = [] }: Launch = {}): Server {
    const store = ['--store', `sqlite:${this.database(data)}`, '--fleet', join(this.folder, 'fleet.json')]
    const quick = ['--ready-after', '50', '--log-level', 'warn']
    const serve = ['serve', '--http', '0', '--mqtt', '0', ...store, ...quick, ...options]
    const server = new Server([...through, process.execPath, this.main, ...serve], env)
    this.#servers.add(server)
    void server.ended.then(() => this.#servers.delete(server))
    return server
  }

  /** Starts the server; resolves when it listens. */
  async start(launch: Launch = {}): Promise<Server> {
    const server = this.launch(launch)
    await server.listening
    return server
  }

  /** Ends what still runs and, unless they are to be looked at, removes the files. */
  async close(keep = false): Promise<void> {
    await Promise.all([...this.#servers].map(server => server.kill()))
    if (!keep) rmSync(this.folder, { recursive: true, force: true })
  }
}

/** `ok`, or what SQLite finds wrong with a database that nobody has open. */
export function integrityOf(path: string): string {
  const db = new DatabaseSync(path, { readOnly: true })
  try {
    const rows: { integrity_check: string }[] = db.prepare('pragma integrity_check').all()
    return rows.map(row => row.integrity_check).join('; ')
  } finally {
    db.close()
  }
}
