// `downlink migrate`: a SQLite store, whose server is stopped, moved to PostgreSQL, and what is left to do then. Not here: what is copied and how it is
// compared (store/copy.ts), either side (store/sqlite-export.ts, store/postgres-import.ts).

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { COPY_PROGRESS_EVERY_MS } from '../core/limits.ts'
import { keyFromFile, type SecretKey, verifyKey } from '../fleet/secrets.ts'
import { type Copied, CopyFailed, CopyInDoubt, type CopyProgress, copyStore } from '../store/copy.ts'
import { openPostgresImport } from '../store/postgres-import.ts'
import { placeOf } from '../store/postgres-schema.ts'
import { openSqliteExport, type SqliteExport } from '../store/sqlite-export.ts'
import { CannotOpen } from '../store/sqlite-file.ts'
import { readSecretKey, readStore, SECRET_KEY_ENV } from './config.ts'
import { type CommandSpec, type Environment, Given, type NameOf, option } from './options.ts'
import { Exit, isExplained, printable, type Terminal, table, usageError } from './terminal.ts'

export const migrateSpec = {
  name: 'migrate',
  summary: 'Move a SQLite store to PostgreSQL: everything, compared row by row, or nothing.',
  operand: null,
  options: [
    option(
      'from',
      'DOWNLINK_MIGRATE_FROM',
      'url',
      null,
      'The store that there is: sqlite:PATH. Its server must be stopped.',
    ),
    option(
      'to',
      'DOWNLINK_MIGRATE_TO',
      'url',
      null,
      'An empty database: postgres://user:password@host:5432/database; better by environment, where ps does not show it.',
    ),
  ],
  notes: [
    'The database is filled in one transaction: whatever ends this early leaves it empty, and it can be run again. The file keeps all that it has.',
    `The key of the secrets stays the same. Where it is in a file beside the database, the nodes need it in ${SECRET_KEY_ENV}; how is printed.`,
  ],
} as const satisfies CommandSpec

interface Stores {
  /** path of the file */
  readonly from: string
  /** address of the database, with its password */
  readonly to: string
  /** the key that the environment has */
  readonly key: SecretKey | null
}

/** Exit 0 where everything is in PostgreSQL, compared and durable; 1 where it is not, and the database is empty, or it could not be learned. */
export async function migrate(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof migrateSpec>>(migrateSpec, args, env)
  const stores = readStores(given, env)
  if (given.problems.length > 0) return usageError(terminal, migrateSpec, given.problems.map(withoutPassword))
  const say = (text: string): void => terminal.problem(`downlink migrate: ${printable(text)}`)
  try {
    for (const line of await move(stores, terminal, say)) terminal.line(line)
    return Exit.ok
  } catch (error) {
    if (!(error instanceof CopyFailed || error instanceof CopyInDoubt || isExplained(error))) throw error
    say(error.message)
    if (error instanceof CannotOpen && error.message.includes('another process'))
      say('Where it is the server, stop it, and do not start it again before everything is moved.')
    if (!(error instanceof CopyInDoubt)) say('Nothing was moved.')
    return Exit.failure
  }
}

/** A stray word may be the address, without its option before it: it is not repeated. */
const withoutPassword = (problem: string): string =>
  problem.startsWith('unexpected argument') ? 'unexpected argument: addresses stand behind --from and --to' : problem

function readStores(given: Given<NameOf<typeof migrateSpec>>, env: Environment): Stores {
  const read = (name: 'from' | 'to') => {
    const text = given.required(name)
    return text === '' ? null : readStore(text, detail => given.problem(name, detail))
  }
  const before = given.problems.length
  const [from, to] = [read('from'), read('to')]
  if (given.problems.length === before) {
    if (from?.type !== 'sqlite') given.problem('from', 'only a SQLite store is moved: sqlite:PATH')
    if (to?.type !== 'postgres')
      given.problem('to', 'a store is moved to PostgreSQL only: postgres://user:password@host:5432/database')
  }
  return {
    from: from?.type === 'sqlite' ? from.path : '',
    to: to?.type === 'postgres' ? to.url : '',
    key: readSecretKey(env, detail => given.problems.push(detail)),
  }
}

/** What is to be printed when it is done. */
async function move(stores: Stores, terminal: Terminal, say: (text: string) => void): Promise<string[]> {
  const began = performance.now()
  say(`looking through ${stores.from}`)
  const source = openSqliteExport(stores.from)
  try {
    const key = await keyStep(source, stores.key)
    say(`copying to ${placeOf(stores.to)}`)
    const target = await openPostgresImport(stores.to)
    try {
      const copied = await copyStore(
        source,
        target,
        progressLines(() => performance.now(), say),
      )
      const seconds = (performance.now() - began) / 1_000
      return [...summary(terminal, copied), ...nextSteps(source.file, placeOf(stores.to), key, seconds)]
    } finally {
      await target.close()
    }
  } finally {
    source.close()
  }
}

/** Says how far it is, every now and then. now: ms */
export function progressLines(now: () => number, say: (text: string) => void): (progress: CopyProgress) => void {
  let saidAt = now()
  return ({ step, table, done, total }) => {
    if (now() - saidAt < COPY_PROGRESS_EVERY_MS) return
    saidAt = now()
    say(`${step} ${table}: ${done} of ${total} rows`)
  }
}

function summary(terminal: Terminal, copied: Copied): string[] {
  const rows = [...copied].filter(([, count]) => count > 0).map(([name, count]) => [name, String(count)])
  return table(terminal, [['table', 'rows'], ...rows])
}

function nextSteps(file: string, place: string, key: string, seconds: number): string[] {
  return [
    '',
    `Everything is in ${printable(place)}, and every row was compared (${seconds.toFixed(1)} s).`,
    'What is left to do:',
    `  1. ${key}`,
    '  2. Start the server with --store (or DOWNLINK_STORE) set to the address that was given with --to.',
    `  3. Move ${printable(file)} away, so that no server starts on it again: it would send commands that the new one has too.`,
  ]
}

/**
 * How the nodes get the key, without showing it: there is no file beside a database that they share. Throws SecretError where the key of the environment is
 * not the one that the secrets are sealed under.
 */
async function keyStep(source: SqliteExport, given: SecretKey | null): Promise<string> {
  const isInUse = (await source.secretCheck()) !== null
  if (given !== null) {
    if (isInUse) await verify(source, given)
    return `Start every node with the ${SECRET_KEY_ENV} that is set here.`
  }
  if (!isInUse)
    return `There are no secrets yet: make a key with openssl rand -hex 32, and start every node with it in ${SECRET_KEY_ENV}.`
  const path = join(dirname(source.file), 'secret.key')
  const without = `Start every node with the ${SECRET_KEY_ENV} that the server had`
  if (!existsSync(path)) return `${without}.`
  try {
    await verify(source, keyFromFile(path, true))
  } catch (error) {
    if (!isExplained(error)) throw error
    return `${without} (not that of the file ${printable(path)}: ${printable(error.message)}).`
  }
  return `Start every node with the key of the file: export ${SECRET_KEY_ENV}="$(cat ${quoted(path)})"`
}

/** The store has a check value, so none is set. */
const verify = (source: SqliteExport, key: SecretKey): Promise<void> =>
  verifyKey({ secretCheck: () => source.secretCheck(), setSecretCheck: async () => undefined }, key)

/** For a shell. */
const quoted = (path: string): string => printable(`'${path.replaceAll("'", `'\\''`)}'`)
