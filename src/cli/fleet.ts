// `downlink fleet apply`: a fleet file into a store that no server has open. Not here: reading the file (fleet-file.ts), the store's rows.

import { SystemClock } from '../clock.ts'
import type { FleetFile } from '../fleet/file.ts'
import { type Applied, Fleet } from '../fleet/fleet.ts'
import type { SecretKey } from '../fleet/secrets.ts'
import { readSecretKey, readStore, SECRET_KEY_ENV, type StoreConfig, storeOption } from './config.ts'
import { loadFleetFile } from './fleet-file.ts'
import { type CommandSpec, type Environment, Given, type NameOf } from './options.ts'
import { openSecrets, openStore } from './serve.ts'
import { Exit, isExplained, printable, type Terminal, usageError } from './terminal.ts'

export const applySpec = {
  name: 'fleet apply',
  summary: 'Check a fleet file and put it into a store: all of it or nothing, deleting nothing.',
  operand: { name: 'FILE', required: true },
  options: [storeOption],
  notes: [
    'Problems are printed as FILE:line:column: path: message. Applying a file again changes nothing.',
    'A store of SQLite belongs to one process: stop its server first, or restart it with --fleet FILE instead. On PostgreSQL servers go on.',
    `${SECRET_KEY_ENV} must be the one that the server is given; without it the key file beside the database is used.`,
  ],
} as const satisfies CommandSpec

/** Exit 0 when the file is in the store; 1 where the file, the store or its key is not as it should be. */
export async function apply(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof applySpec>>(applySpec, args, env)
  const config = readStore(given.text('store') ?? '', detail => given.problem('store', detail))
  const secretKey = readSecretKey(env, detail => given.problems.push(detail))
  if (config.type === 'memory' && given.text('store') === 'memory:')
    given.problem('store', 'memory: ends with this process; start the server with --fleet FILE instead')
  if (given.problems.length > 0) return usageError(terminal, applySpec, given.problems)
  const path = given.operand ?? ''
  const fleet = await loadFleetFile(path)
  if (!fleet.ok) {
    for (const problem of fleet.problems) terminal.problem(problem)
    return Exit.failure
  }
  try {
    const applied = await applyTo(config, secretKey, fleet.file)
    const counts = Object.entries(applied).map(([what, count]) => `${count} ${what}`)
    terminal.line(`applied ${printable(path)}: ${counts.join(', ')}`)
    return Exit.ok
  } catch (error) {
    if (!isExplained(error)) throw error
    terminal.problem(`downlink fleet apply: ${error.message}`)
    if (error.name === 'CannotOpen')
      terminal.problem(
        `Where a server has the store, it can apply the file itself at its next start: downlink serve --fleet ${printable(path)}`,
      )
    return Exit.failure
  }
}

async function applyTo(config: StoreConfig, secretKey: SecretKey | null, file: FleetFile): Promise<Applied> {
  const store = await openStore(config)
  try {
    const fleet = new Fleet(store, await openSecrets({ store: config, secretKey }, store))
    // No node has run on this store with a clock behind this one.
    const { clockFloor } = await store.node(0)
    return await fleet.apply(file, new SystemClock(clockFloor).now())
  } finally {
    await store.close()
  }
}
