// Backup and restore with PostgreSQL's own programs: a database that servers write to is backed up, restored elsewhere, compared row by row as of the
// snapshot, and gone on with. Those programs are not among what npm brings: they and a server of their version are taken from the machine, or this is
// skipped. pg_dump refuses a server that is newer than itself.

import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Server } from '../src/cli/serve.ts'
import { openPostgres } from '../src/store/postgres.ts'
import { startNode } from './rig/node.ts'
import { giveToServer, type PostgresServer, runAs, startPostgres } from './rig/postgres.ts'
import { root, runHere } from './rig/program.ts'
import { APP, Application, type DeviceCalls, fleetFile, ORG, PRODUCT, TestDevice } from './rig/server.ts'
import { deviceRow } from './rig/store.ts'

const PROGRAMS = ['initdb', 'postgres', 'pg_dump', 'pg_restore', 'pg_basebackup']

/** A folder that has all of them, as Debian's packages put them; null where there is none. */
function programFolder(): string | null {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [
    ...versions.map(version => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ]
  return folders.find(folder => PROGRAMS.every(name => existsSync(join(folder, name)))) ?? null
}

const programs = programFolder()
const suite =
  programs === null
    ? 'backup and restore: skipped, since PostgreSQL with pg_dump is not installed'
    : 'backup and restore'

const run = promisify(execFile)
/** As the user that PostgreSQL runs as, while this process goes on with its work. */
const program = async (name: string, ...args: string[]): Promise<string> =>
  (await run(join(programs ?? '', name), args, { ...runAs })).stdout

const soon = (holds: () => unknown) => vi.waitFor(holds, { timeout: 20_000, interval: 20 })

describe.skipIf(programs === null)(suite, { timeout: 60_000 }, () => {
  let postgres: PostgresServer
  /** of the user that PostgreSQL runs as */
  let folder: string
  const undo: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    postgres = await startPostgres({ programs: programs ?? '', settings: archiving() })
  })
  afterAll(() => postgres.stop())
  beforeEach(() => {
    folder = makeFolder()
    writeFileSync(join(folder, 'fleet.json'), fleetFile(8))
  })
  afterEach(async () => {
    for (const step of undo.splice(0).reverse()) await step()
    rmSync(folder, { recursive: true })
  })

  const archive = makeFolder()
  afterAll(() => rmSync(archive, { recursive: true }))
  /** Each segment of the log is copied when it is full, and never over another. */
  function archiving(): Record<string, string> {
    const command = `test ! -f ${archive}/%f && cp %p ${archive}/%f`
    return { archive_mode: 'on', archive_command: command, max_wal_senders: '4' }
  }

  const at = (database: string): string[] => [
    '--host',
    dirname(postgres.socket),
    '--username',
    'downlink',
    '--dbname',
    database,
  ]
  const dump = (database: string, ...more: string[]): Promise<string> =>
    program('pg_dump', '--format=custom', '--file', join(folder, 'backup'), ...more, ...at(database))
  /** Into a new database, whose name it resolves to. */
  async function restore(): Promise<string> {
    const database = await postgres.createDatabase()
    await program('pg_restore', '--exit-on-error', '--no-owner', ...at(database), join(folder, 'backup'))
    return database
  }

  async function serve(url: string, ...args: string[]): Promise<Server> {
    const server = await startNode(url, args)
    undo.push(() => server.stop())
    return server
  }
  const withFleet = (): string[] => ['--fleet', join(folder, 'fleet.json')]

  async function device(server: Server, deviceKey: string): Promise<TestDevice> {
    const device = await new TestDevice(server.mqttUrl, deviceKey).connected()
    undo.push(() => device.end())
    return device
  }

  test('a database that is being written to is restored as it was at one instant, and a server goes on with it', async () => {
    const database = await postgres.createDatabase()
    const server = await serve(postgres.url(database), ...withFleet())
    const app = new Application(server.httpUrl, APP)
    const calls = (n: number): DeviceCalls => app.on({ assetId: `a${n}` })

    const answering = await device(server, 'd1')
    await report(answering, 'd1')
    const mute = await device(server, 'd2')
    mute.answer = () => undefined
    const [sent, behind] = await calls(2).queue(2, { pendingTtl: '600', timeout: '2' })
    await mute.count(1)
    const waiting = await calls(3).queue(5)
    await calls(3).cancel(waiting[1])
    const traffic = new Traffic([calls(1), calls(4), calls(5)])
    undo.push(() => traffic.end())
    await soon(() => expect(traffic.calls).toBeGreaterThan(30))

    const snapshot = new Client(postgres.url(database))
    await snapshot.connect()
    await snapshot.query('begin isolation level repeatable read')
    const { rows } = await snapshot.query<{ name: string }>('select pg_export_snapshot() as name')
    const before = traffic.calls
    await dump(database, '--snapshot', String(rows[0]?.name))
    expect(traffic.calls).toBeGreaterThan(before)
    const then = await contents(snapshot)
    const shape = await schemaOf(snapshot)
    await snapshot.end()
    await traffic.end()
    for (const table of [
      'command',
      'command_body',
      'event',
      'device',
      'token',
      'seen_encryption',
      'node',
      'latest_value',
    ])
      expect(then[table], table).not.toEqual([])
    expect(await contentsOf(postgres, database)).not.toEqual(then)

    const copy = await restore()
    expect(await contentsOf(postgres, copy)).toEqual(then)
    const restored = new Client(postgres.url(copy))
    await restored.connect()
    expect(await schemaOf(restored)).toEqual(shape)
    await restored.end()

    const next = await serve(postgres.url(copy))
    const caller = new Application(next.httpUrl, APP)
    // The token was in the backup.
    caller.token = app.token
    const after = (n: number): DeviceCalls => caller.on({ assetId: `a${n}` })
    const back = await device(next, 'd3')
    await back.count(4)
    expect(back.ids()).toEqual(waiting.filter((_, i) => i !== 1))
    expect((await after(3).get(waiting[1]!)).data.state).toBe(2)
    // What was in flight is not sent again, and the queue goes on.
    const again = await device(next, 'd2')
    await after(2).until(sent!, 7)
    await after(2).until(behind!, 5)
    expect(again.ids()).toEqual([behind])
    const [id] = await after(3).queue(1)
    const last = await postgres.sql(copy, 'select max(id)::text as id from command where id <> $1', [id])
    expect(BigInt(id!)).toBeGreaterThan(BigInt(String(last[0]?.id)))
    await next.stop()

    // Numbers that a sequence gives go on behind the ones that are there.
    const store = await openPostgres(postgres.url(copy))
    undo.push(() => store.close())
    const [highest] = await postgres.sql(copy, 'select max(id) as id from device')
    await store.addDevices([deviceRow('new', { orgId: ORG, productKey: PRODUCT })], 0)
    expect((await store.deviceByAsset('new'))?.id).toBeGreaterThan(Number(highest?.id))
  })

  test('of an older backup what waits is cancelled before devices come back, as the operations page says', async () => {
    const database = await postgres.createDatabase()
    const old = await serve(postgres.url(database), ...withFleet())
    const app = new Application(old.httpUrl, APP)
    const calls = (n: number): DeviceCalls => app.on({ assetId: `a${n}` })
    const [cancelled, waiting] = await calls(1).queue(2)
    const [executed] = await calls(2).queue(1)
    await dump(database)
    await calls(1).cancel(cancelled)
    const worker = await device(old, 'd2')
    await calls(2).until(executed!, 5)
    const [accepted] = await calls(3).queue(1)
    await worker.end()
    await old.stop()

    const copy = await restore()
    const server = await serve(postgres.url(copy))
    const caller = new Application(server.httpUrl, APP)
    const after = (n: number): DeviceCalls => caller.on({ assetId: `a${n}` })
    // This is the danger: a backup does not know what was cancelled, executed or accepted after it.
    expect(await after(1).states([cancelled!, waiting!])).toEqual([1, 1])
    expect(await after(2).states([executed!])).toEqual([1])
    expect((await after(3).get(accepted!)).code).toBe(11404)

    const waits = await postgres.sql(copy, documentedQuery())
    expect(waits).toEqual([
      { org_id: ORG, asset_id: 'a1' },
      { org_id: ORG, asset_id: 'a2' },
    ])
    const env = { DOWNLINK_SERVER: server.httpUrl, DOWNLINK_APP_KEY: APP.appKey, DOWNLINK_APP_SECRET: APP.appSecret }
    for (const { org_id, asset_id } of waits) {
      const args = ['command', 'cancel', '--all', '--org', String(org_id), '--asset-id', String(asset_id)]
      expect(await runHere(args, env)).toMatchObject({ code: 0 })
    }
    expect(await postgres.sql(copy, documentedQuery())).toEqual([])
    for (const n of [1, 2]) {
      const back = await device(server, `d${n}`)
      const fresh = await after(n).set(n)
      await back.count(1)
      expect(back.ids()).toEqual([fresh.data.commandId])
    }
  })

  test('a base backup with the archived log is restored to its end, and nothing that was archived is missing', async () => {
    const database = await postgres.createDatabase()
    const old = await serve(postgres.url(database), ...withFleet())
    const app = new Application(old.httpUrl, APP)
    const calls = (n: number): DeviceCalls => app.on({ assetId: `a${n}` })
    const [cancelled, waiting] = await calls(1).queue(2)
    const base = join(folder, 'base')
    const host = dirname(postgres.socket)
    await program(
      'pg_basebackup',
      '--host',
      host,
      '-U',
      'downlink',
      '-D',
      base,
      '--checkpoint=fast',
      '--wal-method=none',
    )
    await calls(1).cancel(cancelled)
    const [accepted] = await calls(2).queue(1)
    await old.stop()
    const then = await contentsOf(postgres, database)
    const [{ segment } = {}] = await postgres.sql('postgres', 'select pg_walfile_name(pg_switch_wal()) as segment')
    await soon(() => expect(readdirSync(archive)).toContain(segment))

    const restored = await startPostgres({
      programs: programs ?? '',
      settings: { archive_mode: 'off', restore_command: `cp ${archive}/%f %p`, max_wal_senders: '4' },
      prepare: data => {
        writeFileSync(join(base, 'recovery.signal'), '')
        renameSync(base, data)
      },
    })
    undo.push(() => restored.stop())
    await soon(async () => {
      const [row] = await restored.sql('postgres', 'select pg_is_in_recovery() as recovering')
      expect(row).toEqual({ recovering: false })
    })
    expect(await contentsOf(restored, database)).toEqual(then)
    const server = await serve(restored.url(database))
    const after = new Application(server.httpUrl, APP)
    const back = await device(server, 'd1')
    await back.count(1)
    expect(back.ids()).toEqual([waiting])
    expect(await after.on({ assetId: 'a1' }).states([cancelled!])).toEqual([2])
    expect(await after.on({ assetId: 'a2' }).states([accepted!])).toEqual([1])
  })
})

/** Which PostgreSQL may use as well. */
function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-backup-'))
  giveToServer(folder)
  return folder
}

/** Every row of every table as text, in an order that does not depend on where it lies. */
async function contents(client: Client): Promise<Record<string, string[]>> {
  const tables = await client.query<{ name: string }>(
    `select tablename as name from pg_tables where schemaname = 'public' order by 1`,
  )
  const all: Record<string, string[]> = {}
  for (const { name } of tables.rows) {
    const { rows } = await client.query<{ row: string }>(
      `select t::text as row from ${name} t order by t::text collate "C"`,
    )
    all[name] = rows.map(({ row }) => row)
  }
  return all
}

async function contentsOf(server: PostgresServer, database: string): Promise<Record<string, string[]>> {
  const client = new Client(server.url(database))
  await client.connect()
  try {
    return await contents(client)
  } finally {
    await client.end()
  }
}

/** Columns, indexes, constraints and settings of tables: what a restored store would be slow or unsafe without. */
async function schemaOf(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(`
    select format('%s.%s %s %s %s %s %s', table_name, column_name, data_type, collation_name, is_nullable, column_default, is_identity) as line
      from information_schema.columns where table_schema = 'public'
    union all select indexdef from pg_indexes where schemaname = 'public'
    union all select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint
      where connamespace = 'public'::regnamespace
    union all select format('%s %s', relname, reloptions) from pg_class where relnamespace = 'public'::regnamespace
    order by 1`)
  return rows.map(({ line }) => line)
}

/** The query that docs/operations.md gives for the devices that have something waiting. */
function documentedQuery(): string {
  const page = readFileSync(join(root, 'docs/operations.md'), 'utf8')
  const [, query] = /```sql\n\s*(select [^;]*asset_id[^;]*);\n\s*```/.exec(page) ?? []
  if (query === undefined) throw new Error('docs/operations.md has no such query')
  return query
}

/** Resolves when the value is saved. */
const report = async (device: TestDevice, deviceKey: string): Promise<void> => {
  const topic = `/sys/${PRODUCT}/${deviceKey}/thing/measurepoint/post`
  const params = { measurepoints: { Int_value: 5 } }
  await device.client.publishAsync(
    topic,
    JSON.stringify({ id: '1', version: '1.0', params, method: 'thing.measurepoint.post' }),
    {
      qos: 1,
    },
  )
}

/** Callers that go on sending, cancelling and reading, each one call after the other. */
class Traffic {
  calls = 0
  #isOver = false
  readonly #ended: Promise<unknown>

  constructor(devices: readonly DeviceCalls[]) {
    this.#ended = Promise.all(devices.map(device => this.#call(device)))
  }

  async #call(device: DeviceCalls): Promise<void> {
    while (!this.#isOver) {
      const [id] = await device.queue(1)
      if (this.calls % 3 === 0) await device.cancel(id)
      else await device.get(id!)
      if (this.calls % 40 === 0) await device.cancel()
      this.calls += 1
    }
  }

  async end(): Promise<void> {
    this.#isOver = true
    await this.#ended
  }
}
