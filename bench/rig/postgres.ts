// PostgreSQL as it is in service, for benches: every commit is on the disk before it is answered, and autovacuum clears up. Its programs come by npm.

import { type PostgresServer, startPostgres } from '../../test/rig/postgres.ts'

/** As PostgreSQL comes, but for the log between two checkpoints: one in the middle of a measurement would say more about the disk than about us. */
const SETTINGS = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  autovacuum: 'on',
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  max_connections: '60',
}

export const startDurablePostgres = (): Promise<PostgresServer> => startPostgres({ settings: SETTINGS })

/** The process whose children serve the connections. */
export async function postmasterOf(server: PostgresServer): Promise<number> {
  const [row] = await server.sql('postgres', `select split_part(pg_read_file('postmaster.pid'), E'\\n', 1) as pid`)
  return Number(row?.pid)
}

/** `18.4`, and the settings by which a commit is durable, as the server has them. */
export async function describe(server: PostgresServer): Promise<string> {
  const [row] = await server.sql(
    'postgres',
    `select current_setting('server_version') as version, current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit`,
  )
  return `PostgreSQL ${row?.version} (fsync ${row?.fsync}, synchronous_commit ${row?.commit})`
}

/** Does the work on a new database, which is dropped after it, so that what one leaves to be written does not burden the next. */
export async function onDatabase<T>(
  server: PostgresServer,
  work: (url: string, database: string) => Promise<T>,
): Promise<T> {
  const database = await server.createDatabase()
  try {
    await server.sql('postgres', 'checkpoint')
    return await work(server.url(database), database)
  } finally {
    await server.sql('postgres', `drop database ${database} with (force)`)
  }
}
