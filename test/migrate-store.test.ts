// `downlink migrate`: a real SQLite file into a real PostgreSQL. Everything is there afterwards, and the same; whatever goes wrong leaves the database empty
// and says what it was; and what is not the same is found, by table and key.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { progressLines } from '../src/cli/migrate.ts'
import { makeId, State } from '../src/core/command.ts'
import { COPY_PAGE_BYTES, COPY_PAGE_ROWS, COPY_PROGRESS_EVERY_MS } from '../src/core/limits.ts'
import { keyFromEnvironment, keyFromFile, Secrets, verifyKey } from '../src/fleet/secrets.ts'
import { type CopyFailed, CopyInDoubt, type CopyProgress, copyStore, tables } from '../src/store/copy.ts'
import { readMigrations } from '../src/store/migrate.ts'
import type { Nodes } from '../src/store/nodes.ts'
import { openPostgres } from '../src/store/postgres.ts'
import { openPostgresImport } from '../src/store/postgres-import.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import { openSqliteExport } from '../src/store/sqlite-export.ts'
import { closeFile, openFile } from '../src/store/sqlite-file.ts'
import type { Store } from '../src/store/store.ts'
import { databaseFor, type PostgresServer, sharedPostgres, stopSharedPostgres } from './rig/postgres.ts'
import { PostgresProxy } from './rig/postgres-proxy.ts'
import { Program, root, runHere } from './rig/program.ts'
import {
  asFinal,
  asSent,
  bodyRow,
  changeOf,
  created,
  deviceRow,
  event,
  fleetRows,
  id,
  inserted,
  loadOne,
  ORG,
  smallFleet,
  T0,
} from './rig/store.ts'

let server: PostgresServer
let folder: string
let file: string
let database: string
let program: Program
const undo: (() => unknown)[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-migrate-'))
  file = join(folder, 'downlink.db')
  server = await sharedPostgres()
  database = new URL(await databaseFor(folder)).pathname.slice(1)
})
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
  rmSync(folder, { recursive: true })
})
beforeAll(() => {
  program = new Program()
})
afterAll(async () => {
  await program.remove()
  await stopSharedPostgres()
})

const sql = (text: string, values?: unknown[]) => server.sql(database, text, values)

/** The same command line as a person's. */
const migrate = (over: { from?: string; to?: string; env?: Record<string, string> } = {}) =>
  runHere(['migrate', '--from', over.from ?? `sqlite:${file}`, '--to', over.to ?? server.url(database)], over.env)

/** SQL on the file, past the store. */
function edit(text: string): void {
  const db = openFile(file, readMigrations('sqlite'))
  db.exec(text)
  closeFile(db)
}

const opened = (store: Store & Nodes): Store & Nodes => {
  undo.push(() => store.close())
  return store
}
const openNew = async () => opened(await openPostgres(server.url(database)))

/** Makes the schema, and a trigger that spoils what is written. It is gone with the test. */
async function trigger(table: string, body: string, when = 'before insert', each = 'row'): Promise<void> {
  await (await openPostgres(server.url(database))).close()
  await sql(`create function spoil() returns trigger language plpgsql as $$ begin ${body} end $$;
    create trigger spoil ${when} on ${table} for each ${each} execute function spoil()`)
  undo.push(() => sql('drop function spoil cascade'))
}

async function expectEmpty(): Promise<void> {
  const counts = await Promise.all(
    tables.map(async ({ name, asMade = 'false' }) => {
      const [rows] = await sql(`select count(*) as n from ${name} where not (${asMade})`)
      return [name, Number(rows!.n)] as const
    }),
  )
  expect(counts.filter(([, count]) => count > 0)).toEqual([])
}

/** Texts that are easily read as something else on the way. */
const TEXTS = [
  '',
  ' ',
  'NULL',
  '{}',
  '{"a","b"}',
  '\\',
  '\\x41',
  '"',
  "'",
  'a,b\n\tc\r',
  '\ufeffmark',
  '重启 😀 é',
  '\u0001',
]

/** A store with something of everything in it. Device 3 is gone; 2 is behind 4, which came later. */
async function fill(): Promise<void> {
  const store = openSqlite(file)
  for (const nodeNo of [0, 7]) await store.takeNode(nodeNo, 0)
  await store.setSecretCheck('v1:check')
  const fleet = smallFleet('a1', 'a2', 'a3', 'a4')
  const [a1, a2, a3, a4] = fleet.devices
  await store.applyFleet(
    {
      ...fleet,
      organizations: [...fleet.organizations, { orgId: 'o2', name: TEXTS.join('|') }],
      applications: [...fleet.applications, { ...fleet.applications[0]!, appKey: 'app0', secret: 'other' }],
      products: [...fleet.products, { productKey: 'bare', orgId: 'o2', secret: 's', modelId: null, json: '{}' }],
      devices: [
        { ...a1!, timezone: 'Europe/Berlin', certificateSerial: '0a1b', description: TEXTS.join('|') },
        { ...a2!, gatewayAssetId: 'a4' },
        a3!,
        { ...a4!, disabled: true },
      ],
    },
    T0,
  )
  const commit = (node: number, n: number, over: Parameters<typeof changeOf>[1], deviceId = 1, queue = {}) =>
    loadOne(store, deviceId).then(loaded =>
      store.commit({ node, lastCommandId: id(n), now: T0 + n, changes: [changeOf({ ...loaded, ...queue }, over)] }),
    )
  const finals = [State.cancelled, State.expired, State.succeeded, State.failed, State.timedOut]
  await commit(
    0,
    20,
    {
      inserts: [
        ...finals.map((state, n) =>
          inserted({ ...asFinal(created(id(n)), state), code: n === 3 ? -40_000_000_000 : null }),
        ),
        inserted(asSent(created(id(8)))),
        inserted(created(id(9), { expireAt: T0 + 1, pendingTtlS: 0 })),
        ...TEXTS.map((text, n) =>
          inserted(
            created(id(10 + n)),
            bodyRow({ nameJson: text, inputJson: text, outputJson: text, deviceCode: text, deviceMessage: text }),
          ),
        ),
      ],
      events: [
        event(1, id(0)),
        event(2, null, { reason: 'connected', detail: '{"x":1}' }),
        event(3, id(8), { from: 1, to: 4 }),
      ],
    },
    1,
    {
      lastCommandId: id(30),
      eventSeq: 3,
      sessionNo: 5,
      sessionNode: 0,
      activeAt: T0 - 5,
      lastOnlineAt: T0,
      lastOfflineAt: T0 - 1,
    },
  )
  const kept = {
    application: 'app1',
    key: 'k',
    requestHash: 'ab',
    commandId: id(41),
    refusedCode: null,
    expireAt: T0 + 50,
  }
  const accepted = event(1, id(41), { to: State.created })
  await commit(7, 40, { inserts: [inserted(asFinal(created(id(41))))], events: [accepted] }, 3, { eventSeq: 1 })
  await commit(7, 41, { kept: [kept, { ...kept, key: 'k2', refusedCode: 11_421 }] }, 2)
  await commit(7, 42, {}, 3, { deleted: true })
  for (const [n, token] of ['t-z', 't-a', 't-m'].entries()) await store.saveToken(token, 'app1', n === 0 ? T0 : T0 + 9)
  await store.useEncryption('used', T0 + 1)
  await store.saveData([
    {
      type: 'measurepoints',
      deviceId: 1,
      values: TEXTS.map((text, n) => ({
        pointId: `p${n}`,
        valueJson: text,
        quality: n === 0 ? null : n / 3,
        at: T0 + n,
      })),
    },
    { type: 'event', deviceId: 2, event: { eventId: 'alarm', outputJson: '{"level":3}', at: T0 } },
    {
      type: 'attributes',
      deviceId: 1,
      set: [
        ['z', '1'],
        ['a', '2'],
        ['m', '3'],
      ],
      remove: [],
    },
    { type: 'attributes', deviceId: 1, set: [['b', '4']], remove: ['a'] },
    { type: 'tags', deviceId: 4, set: TEXTS.map((text, n): [string, string] => [`${9 - n}`, text]), remove: [] },
  ])
  await store.close()
  edit(`insert into event (device_id, device_seq, at, by, reason) values (3, 9, 1, '', 'before there was a stream');
    update stream set lost = 2;
    ${later.map(one => `insert into ${one} ${rowOf(one)};`).join('\n')}`)
}

/** What other parts keep: of each table a row, in an order in which each comes after those that it refers to. */
const later = ['webhook', 'dead_letter', 'job', 'task', 'cancellation', 'cancellation_item']

/** A row with the same text, or the same number, in all of its columns. */
function rowOf(name: string): string {
  const { columns } = tables.find(table => table.name === name)!
  const value = (column: string, type: string) =>
    column === 'org_id' ? `'${ORG}'` : type === 'text' ? "'same'" : type === 'boolean' ? 1 : 5
  return `(${columns.map(each => each.name).join()}) values (${columns.map(each => value(each.name, each.type)).join()})`
}

/** All that can be read through the port. */
const everything = async (store: Store & Nodes) => ({
  queues: await store.load([1, 2, 3, 4].map(deviceId => ({ deviceId, commandIds: [id(0), id(3), id(41)] }))),
  records: await Promise.all([1, 2, 3, 4].map(each => store.search(each, null, 0, 1_000))),
  events: await Promise.all([1, 2, 3, 4].map(each => store.events(each, null, 1_000))),
  counts: new Map([...(await store.countByState())].sort()),
  kept: (
    await store.load([{ deviceId: 2, commandIds: [], keys: ['k', 'k2'].map(key => ({ application: 'app1', key })) }])
  )[0]!.kept,
  stream: [await store.changesAfter(0, null, 100, 100), await store.streamEnds(), await store.timeline(id(41), 9)],
  tallies: await store.tallies(ORG, null, 0, 2 * T0, 60_000),
  waiting: (await Promise.all([1, 2, 4].map(each => store.deviceLine(each)))).map(line => [
    line?.waiting,
    line?.oldestWaitingAt,
  ]),
  due: [await store.due(T0 + 1_000, 10), await store.nextDue()],
  nodes: [await store.node(0), await store.node(7), await store.node(9)],
  organizations: [await store.organization(ORG), await store.organization('o2')],
  applications: [await store.firstApplication(ORG), await store.application('app0')],
  models: await store.model(ORG, 'model1'),
  products: [await store.product('pk1'), await store.product('bare')],
  devices: await Promise.all(['a1', 'a2', 'a3', 'a4'].map(assetId => store.deviceByAsset(assetId))),
  behind: await store.subDevices('a4'),
  check: await store.secretCheck(),
  tokens: [await store.tokenOf('app1', T0), await store.token('t-z'), await store.token('t-a')],
  values: await store.latestValues(1, null),
  latest: await store.latestEvents(2, null),
  attributes: [...(await store.attributes(1, null))],
  tags: [...(await store.tags(4, null))],
})

describe('what is moved', () => {
  test('is all that there is, and the same', async () => {
    await fill()
    const old = openSqlite(file)
    const before = await everything(old)
    expect(before.queues[0]).toMatchObject({ sessionNode: 0, version: 1 })
    expect(before.queues[2]).toBeNull()
    await old.close()

    const { code, stdout, stderr } = await migrate()
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: `downlink migrate: looking through ${file}\ndownlink migrate: copying to postgres://${new URL(server.url(database)).searchParams.get('host')}/${database}\n`,
    })
    expect(stdout).toMatch(
      /^table +rows\nsetting +1\norganization +2\napplication +2\nmodel +1\nproduct +2\ndevice +3\ncommand +21\n/,
    )
    expect(stdout).toMatch(/\nEverything is in postgres:.*, and every row was compared \(\d+\.\d s\)\.\n/)

    const store = await openNew()
    const after = await everything(store)
    // Nobody is connected to the new store, and so nobody wants anything.
    const nobody = before.queues.map(queue => queue && { ...queue, sessionNode: null })
    expect(after).toEqual({ ...before, queues: nobody })
    expect(await sql('select id from device where wanting or session_node is not null')).toEqual([])
    expect(before.kept).toMatchObject([
      { key: 'k', commandId: id(41), refusedCode: null },
      { key: 'k2', refusedCode: 11_421 },
    ])
    expect(before.stream[0]).toMatchObject({
      upTo: 4,
      changes: [{}, {}, {}, { device: { assetId: 'a3', deletedAt: T0 + 42 } }],
    })
    expect(before.stream[1]).toEqual({ given: 4, lost: 2 })
    expect(before.tallies).not.toEqual([])
    expect(before.waiting[0]).toEqual([14, T0])
    for (const one of later) expect(await sql(`select * from ${one}`)).toHaveLength(1)
    expect(await sql('select position from event where device_seq = 9')).toEqual([{ position: null }])
    expect(await store.useEncryption('used', T0)).toBe(false)
    // The file still has everything, for as long as it is kept.
    expect(await everything(opened(openSqlite(file)))).toEqual(before)
  })

  test('goes on where it was: numbers are not given twice, and commands move on', async () => {
    await fill()
    expect((await migrate()).code).toBe(0)
    const store = await openNew()
    await store.addDevices([deviceRow('new')], T0)
    expect((await store.deviceByAsset('new'))!.id).toBe(5)
    await store.applyFleet(fleetRows({ applications: [{ appKey: 'app9', orgId: ORG, secret: 's', grants: [] }] }), T0)
    expect(await sql('select id, app_key from application order by id')).toMatchObject([
      { app_key: 'app1' },
      { app_key: 'app0' },
      { id: 3, app_key: 'app9' },
    ])
    // Of two that expire at once the later saved is the newer.
    await store.saveToken('t-0', 'app1', T0 + 9)
    expect(await store.tokenOf('app1', T0)).toEqual({ accessToken: 't-0', expireAt: T0 + 9 })
    const taken = await store.takeNode(null, 60_000)
    expect(taken).toMatchObject({ lease: { nodeNo: 0 }, lastCommandId: id(20), clockFloor: T0 + 42 })
    const queue = await loadOne(store, 1)
    const sent = queue.open.find(({ state }) => state === State.sent)!
    const stale = await store.commit({
      node: 0,
      lastCommandId: makeId(T0 + 60, 0, 0),
      now: T0 + 60,
      changes: [
        changeOf(
          { ...queue, eventSeq: 4 },
          {
            updates: [{ command: asFinal(sent), from: State.sent }],
            events: [event(4, sent.id, { from: State.sent, to: State.succeeded })],
          },
        ),
      ],
    })
    expect(stale).toEqual([])
    expect(await store.placeEvents(10)).toBe(1)
    expect(await store.changesAfter(4, null, 10, 10)).toMatchObject({ changes: [{ position: 5, event: { seq: 4 } }] })
    const counts = await store.countByState()
    expect([counts.get(State.sent), counts.get(State.succeeded), counts.get(State.created)]).toEqual([undefined, 3, 14])
    expect(await store.purge(T0 + 1_000, 100)).toBe(9)
    expect(await store.countByState()).toEqual(new Map([[State.created, 14]]))
  })

  test('leaves the schema as it was', async () => {
    await (await openPostgres(server.url(database))).close()
    const dump = async () => [
      await sql(
        'select conname, pg_get_constraintdef(oid) as text, condeferrable, condeferred from pg_constraint order by 1, 2',
      ),
      await sql(
        'select tgrelid::regclass::text, tgfoid::regproc::text, tgdeferrable, tginitdeferred, tgenabled from pg_trigger order by 1, 2',
      ),
      await sql("select tablename, indexdef from pg_indexes where schemaname = 'public' order by 1, 2"),
    ]
    const before = await dump()
    await fill()
    expect((await migrate()).code).toBe(0)
    expect(await dump()).toEqual(before)
    await expect(sql("update device set gateway_id = 99 where asset_id = 'a1'")).rejects.toThrow(/foreign key/)
  })

  test('is every table and column of either schema but what the new store has of its own', async () => {
    await (await openPostgres(server.url(database))).close()
    openSqlite(file).close()
    const db = openFile(file, readMigrations('sqlite'))
    const kept: { name: string }[] = db
      .prepare(
        `select t.name || '.' || c.name as name from sqlite_schema t join pragma_table_info(t.name) c
        where t.type = 'table' and t.name not like 'sqlite_%' and t.name <> 'schema_version'`,
      )
      .all()
    closeFile(db)
    const columns = await sql(
      `select table_name || '.' || column_name as name, udt_name as type from information_schema.columns
      where table_schema = 'public' and table_name <> 'schema_version'`,
    )
    const types = { text: 'text', smallint: 'int2', integer: 'int4', bigint: 'int8', boolean: 'bool', float8: 'float8' }
    const copied = tables.flatMap(table =>
      table.columns.map(({ name, type }) => ({ name: `${table.name}.${name}`, type: types[type] })),
    )
    const lives = ['node.epoch', 'node.batch_no', 'node.lease_until']
    const turns = ['turn.holder', 'turn.name', 'turn.until_at']
    const leftOut = [...lives, ...turns, 'device.session_node']
    const names = copied.map(({ name }) => name)
    expect([...names, ...leftOut].sort()).toEqual([...kept.map(({ name }) => name), 'token.saved_no'].sort())
    const own = [...leftOut, 'node.holder', 'node.commands', 'device.wanting', 'device.is_waiting']
    const byName = (a: { name?: unknown }, b: { name?: unknown }) => (String(a.name) < String(b.name) ? -1 : 1)
    expect(copied.sort(byName)).toEqual(columns.filter(({ name }) => !own.includes(String(name))).sort(byName))
  })

  test('comes in pages, of many rows or of large ones, by every kind of key', async () => {
    openSqlite(file).close()
    const many = 2 * COPY_PAGE_ROWS + 1
    const large = 'x'.repeat(COPY_PAGE_BYTES / 3)
    edit(`with recursive n (i) as (select 1 union all select i + 1 from n where i < ${many})
        insert into seen_encryption select 'e' || ((i * 7919) % ${many}), i from n;
      insert into organization values ('o1', 'One');
      insert into product values ('pk1', 'o1', 's', null, '{}');
      with recursive n (i) as (select 1 union all select i + 1 from n where i < 3)
        insert into device (asset_id, org_id, product_key, device_key, secret, name_json, timezone, disabled)
          select 'a' || i, 'o1', 'pk1', 'k' || i, 's', '{}', 'UTC', 0 from n;
      with recursive n (i) as (select 1 union all select i + 1 from n where i < ${many})
        insert into event (device_id, device_seq, at, by, reason) select 1 + i % 3, i, i, 'b', 'r' from n;
      insert into command_body (id, name_json, input_json) values ${Array.from({ length: 10 }, (_, n) => `(${n + 1}, '{}', '${large}')`).join()}`)
    const source = openSqliteExport(file)
    undo.push(() => source.close())
    const pages = tables.flatMap(table => [...source.pages(table)].map(page => [table.name, page.length]))
    const sizes = (name: string) => pages.filter(page => page[0] === name).map(page => page[1])
    expect([sizes('seen_encryption'), sizes('event')]).toEqual([
      [2_000, 2_000, 1],
      [2_000, 2_000, 1],
    ])
    expect(sizes('command_body')).toEqual([3, 3, 3, 1])
    const target = await openPostgresImport(server.url(database))
    undo.push(() => target.close())
    const told: CopyProgress[] = []
    // Without commands there is nothing to count, and without nodes nothing to count it in.
    const copied = await copyStore(source, target, progress => told.push(progress))
    expect([copied.get('seen_encryption'), copied.get('event'), copied.get('setting')]).toEqual([many, many, 0])
    const events = told.filter(({ table }) => table === 'event').map(({ step, done, total }) => [step, done, total])
    const steps = [2_000, 4_000, 4_001].map(done => [done, many])
    expect(events).toEqual([...steps.map(each => ['copying', ...each]), ...steps.map(each => ['comparing', ...each])])
    const [sums] = await sql('select count(*) as n, sum(expire_at) as sum from seen_encryption')
    expect(sums).toEqual({ n: String(many), sum: String((many * (many + 1)) / 2) })
  })

  test('may come from an older schema', async () => {
    const db = openFile(file, readMigrations('sqlite').slice(0, 1))
    db.exec(`insert into organization values ('o1', 'One');
      insert into product values ('pk1', 'o1', 's', null, '{}');
      insert into device (asset_id, org_id, product_key, device_key, secret, name_json, timezone, disabled)
        values ('a1', 'o1', 'pk1', 'k', 's', '{}', 'UTC', 0)`)
    closeFile(db)
    expect((await migrate()).code).toBe(0)
    expect(await (await openNew()).deviceByAsset('a1')).toMatchObject({ id: 1, certificateSerial: null })
  })
})

test('a running installation is stopped, moved, and goes on where it was', async () => {
  const fleet = join(root, 'examples/fleet.yaml')
  const serve = async (args: string[], env: Record<string, string> = {}) => {
    const running = program.start(['serve', '--http', '0', '--mqtt', '0', '--auth', 'open', ...args], env)
    const [, http = '', mqtt = ''] = await running.printed(/listening http (\S+)\nlistening mqtt (\S+)\n/)
    return { running, mqtt, of: ['--server', http, '--org', 'o15541858646501', '--asset-id', 'oxWwM9i5'] }
  }
  const old = await serve(['--store', `sqlite:${file}`, '--fleet', fleet])
  for (const n of [1, 2])
    await program.run(['command', 'send', ...old.of, '--set', `Int_value=${n}`, '--pending-ttl', '600'])
  const early = await migrate()
  expect(early.code).toBe(1)
  expect(early.stderr).toContain('another process has it open')
  expect((await old.running.stop()).code).toBe(0)
  const [, key] = /"\$\(cat '(.*)'\)"\n/.exec((await migrate()).stdout)!

  const env = { DOWNLINK_SECRET_KEY: readFileSync(key!, 'utf8').trim() }
  const moved = await serve(['--store', server.url(database)], env)
  // With the secret that the fleet file gave it, which the new store was never told in clear.
  const device = ['--product-key', 'bXuuAiku', '--device-key', 'mqtt_01', '--fleet', fleet, '--exit-after', '2']
  expect((await program.run(['device', 'simulate', '--mqtt', moved.mqtt, ...device])).code).toBe(0)
  const { stdout } = await program.run(['command', 'list', ...moved.of, '--json'])
  const states = (JSON.parse(stdout).data as { inputData: number; state: number }[]).map(each => [
    each.inputData,
    each.state,
  ])
  expect(states).toEqual([
    [2, State.succeeded],
    [1, State.succeeded],
  ])
  expect((await moved.running.stop()).code).toBe(0)
})

describe('what is not the same afterwards', () => {
  test.each([
    [
      'a value is another',
      'command_body',
      'if new.id = $ID then new.input_json := new.input_json || 1; end if; return new;',
      `table command_body, id ${id(12)}: column input_json is another in PostgreSQL`,
    ],
    [
      'a number is another',
      'device',
      'if new.id = 2 then new.version := 77; end if; return new;',
      'table device, id 2: column version is another in PostgreSQL',
    ],
    [
      'a null is none',
      'event',
      'new.detail := coalesce(new.detail, new.reason); return new;',
      'table event, device_id 1, device_seq 1: column detail is another in PostgreSQL',
    ],
    [
      'a row is missing',
      'latest_value',
      "if new.point_id = 'p3' then return null; end if; return new;",
      'table latest_value, device_id 1, point_id "p3": it is missing in PostgreSQL',
    ],
    [
      'the last row is missing',
      'device_tag',
      'if new.place = 13 then return null; end if; return new;',
      'table device_tag, device_id 4, place 13: it is missing in PostgreSQL',
    ],
    [
      'a row is too many',
      'application',
      "insert into organization values ('o11', 'new') on conflict do nothing; return new;",
      'table organization, org_id "o11": it is not in the file',
    ],
    [
      'a row is too many at the end',
      'command',
      "insert into command_body (id, name_json, input_json) values (9000000000000000000, '', '') on conflict do nothing; return new;",
      'table command_body, id 9000000000000000000: it is not in the file',
    ],
    [
      'a token is another',
      'token',
      "if new.saved_no = 2 then new.app_key := 'app0'; end if; return new;",
      'table token, saved_no 2: column app_key is another in PostgreSQL',
    ],
  ])('is found and named: %s', async (_, table, body, said) => {
    await fill()
    await trigger(table, body.replace('$ID', id(12)))
    const { code, stdout, stderr } = await migrate()
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(
      `downlink migrate: the copy is not the same: ${said}\ndownlink migrate: Nothing was moved.\n`,
    )
    expect(stderr).not.toContain('t-a')
    await expectEmpty()
  })
})

describe('what PostgreSQL could not keep', () => {
  test.each([
    [
      'a NUL',
      `update command_body set input_json = 'a' || char(0) || 'b' where id = ${id(12)}`,
      `table command_body, id ${id(12)}: column input_json holds a NUL character`,
    ],
    [
      'a NUL in a key',
      "update setting set key = 'a' || char(0) || 'b'",
      'table setting, key "a\\u0000b": column key holds a NUL character',
    ],
    [
      'broken text',
      "update device_tag set value = cast(x'41ff42' as text) where place = 3",
      'table device_tag, device_id 4, place 3: column value holds bytes that are not UTF-8',
    ],
    [
      'half of a pair',
      "update organization set name = cast(x'eda080' as text) where org_id = 'o2'",
      'table organization, org_id "o2": column name holds bytes that are not UTF-8',
    ],
    [
      'a number of 33 bits',
      'update device set session_no = 4294967296 where id = 2',
      'table device, id 2: column session_no is 4294967296, too large for integer',
    ],
    [
      'a negative one',
      'update event set from_state = -32769 where device_seq = 3',
      'table event, device_id 1, device_seq 3: column from_state is -32769, too large for smallint',
    ],
    [
      'a third truth',
      'update device set disabled = 2 where id = 4',
      'table device, id 4: column disabled is 2, neither 0 nor 1',
    ],
    [
      'a row that its checks refuse',
      `pragma foreign_keys = off; update latest_event set device_id = 99`,
      /PostgreSQL refuses a row from table latest_event, device_id 99, event_id "alarm" to .*foreign key/,
    ],
    ['commands of no node', 'delete from node', 'there are commands, and no node'],
  ])('is named: %s', async (_, text, said) => {
    await fill()
    edit(text)
    const { code, stderr } = await migrate()
    expect(code).toBe(1)
    expect(stderr).toMatch(said instanceof RegExp ? said : new RegExp(said.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')))
    expect(stderr).toContain('\ndownlink migrate: Nothing was moved.\n')
    await expectEmpty()
  })
})

describe('a file that cannot be moved', () => {
  const refused = async (said: RegExp) => {
    const { code, stdout, stderr } = await migrate()
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(said)
    expect(stderr).toContain('downlink migrate: Nothing was moved.\n')
  }

  test('is one that is not there, and none is made', async () => {
    await refused(/cannot open the store .*downlink\.db: there is no such file, and none was made\./)
    expect(readdirSync(folder)).toEqual([])
  })

  test('is no file of ours', async () => {
    mkdirSync(file)
    await refused(/it is not a file/)
    rmSync(file, { recursive: true })
    writeFileSync(file, '')
    await refused(/or an empty one/)
    expect(readFileSync(file, 'utf8')).toBe('')
    writeFileSync(file, 'not a database, but long enough to be taken for one at first sight'.repeat(100))
    await refused(/it is not a SQLite database/)
  })

  test('is one that a server has open', async () => {
    await fill()
    const store = openSqlite(file)
    await refused(/another process has it open.*\n.*Where it is the server, stop it/)
    await store.close()
    expect((await migrate()).code).toBe(0)
  })

  test('is one that a newer version keeps more in', async () => {
    await fill()
    edit(`insert into schema_version values (${readMigrations('sqlite').length + 1}, 'more', 0)`)
    await refused(/a newer version of Downlink keeps more in it than this one knows/)
    await expectEmpty()
  })

  test('is one whose index has lost rows', async () => {
    await fill()
    const db = openFile(file, readMigrations('sqlite'))
    const index: { rootpage: number } = db
      .prepare("select rootpage from sqlite_schema where name = 'sqlite_autoindex_organization_1'")
      .get()
    const { page_size: size }: { page_size: number } = db.prepare('pragma page_size').get()
    closeFile(db)
    // An empty leaf: the rows are there, and nobody who asks by the key would find them.
    const page = Buffer.alloc(8)
    page.writeUInt8(10, 0)
    page.writeUInt16BE(size, 5)
    const at = openSync(file, 'r+')
    writeSync(at, page, 0, 8, (index.rootpage - 1) * size)
    await refused(/it is damaged: .*Restore the last backup/s)
    await expectEmpty()
  })
})

describe('a database that cannot be moved to', () => {
  test('is one with anything in it', async () => {
    await fill()
    const store = await openNew()
    await store.setSecretCheck('v1:another')
    const { code, stderr } = await migrate()
    expect(code).toBe(1)
    expect(stderr).toMatch(/it is not empty: there are rows in setting\. Give an empty database; .*createdb/)
    expect(await store.secretCheck()).toBe('v1:another')
    await sql('delete from setting')
    expect((await migrate()).code).toBe(0)
    const again = await migrate()
    expect(again.code).toBe(1)
    expect(again.stderr).toContain(
      'there are rows in setting, organization, application, model, product, device, command,',
    )
  })

  test('is one that others work in', async () => {
    await fill()
    await (await openPostgres(server.url(database))).close()
    const held = sql('begin; lock table event; select pg_sleep(3); rollback')
    await vi.waitFor(async () =>
      expect(
        await sql("select 1 from pg_locks where mode = 'AccessExclusiveLock' and relation = 'event'::regclass"),
      ).toHaveLength(1),
    )
    const { code, stderr } = await migrate()
    expect(code).toBe(1)
    expect(stderr).toContain('somebody is at work in the database: stop the servers that use it, and run this again')
    await held
    await expectEmpty()
  })

  test('is one that is not there, and no password is shown', async () => {
    await fill()
    const gone = await migrate({ to: server.url('gone') })
    expect(gone.code).toBe(1)
    expect(gone.stderr).toMatch(/cannot open the store postgres:.*gone: .*createdb/)
    const to = new URL(server.url('gone'))
    to.password = 'geheim'
    const { code, stdout, stderr } = await migrate({ to: to.href })
    expect(code).toBe(1)
    expect(stdout + stderr).not.toContain('geheim')
  })

  test('shows no password where all goes well either', async () => {
    await fill()
    const to = new URL(server.url(database))
    to.password = 'geheim'
    const { code, stdout, stderr } = await runHere(['migrate'], {
      DOWNLINK_MIGRATE_FROM: `sqlite:${file}`,
      DOWNLINK_MIGRATE_TO: to.href,
    })
    expect(code).toBe(0)
    expect(stdout + stderr).not.toContain('geheim')
  })
})

describe('a wrong line', () => {
  const pg = 'postgres://me:geheim@127.0.0.1/db'
  test.each([
    [[], ['--from (DOWNLINK_MIGRATE_FROM): is required', '--to (DOWNLINK_MIGRATE_TO): is required']],
    [['--from', pg, '--to', pg], ['--from (DOWNLINK_MIGRATE_FROM): only a SQLite store is moved: sqlite:PATH']],
    [['--from', 'sqlite:x', '--to', 'sqlite:x'], ['--to (DOWNLINK_MIGRATE_TO): a store is moved to PostgreSQL only']],
    [
      ['--from', 'memory:', '--to', 'memory:'],
      ['--from', '--to'],
    ],
    [['--from', 'sqlite:', '--to', pg], ['--from (DOWNLINK_MIGRATE_FROM): needs a path']],
    [
      ['--from', 'sqlite:x', '--to', 'postgres://me:geheim@/'],
      ['--to (DOWNLINK_MIGRATE_TO): is not an address of a database'],
    ],
    [['--from', 'sqlite:x', '--to', 'geheim'], ['--to (DOWNLINK_MIGRATE_TO): is none of']],
    [['sqlite:x', 'postgres://me:ge/heim@h/db'], ['unexpected argument: addresses stand behind --from and --to']],
  ])('%j says what to do', async (args, said) => {
    const { code, stdout, stderr } = await runHere(['migrate', ...args])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    for (const each of said) expect(stderr).toContain(`downlink migrate: ${each}`)
    expect(stderr).not.toMatch(/geheim|heim@/)
  })

  test('also in the key of the environment', async () => {
    const { code, stderr } = await migrate({ env: { DOWNLINK_SECRET_KEY: 'geheim' } })
    expect(code).toBe(2)
    expect(stderr).toContain('DOWNLINK_SECRET_KEY must hold 32 bytes')
    expect(stderr).not.toContain('geheim')
  })
})

describe('the key of the secrets', () => {
  const HEX = 'ab'.repeat(32)
  const path = () => join(folder, 'secret.key')
  /** The first thing that is left to do. */
  const step = async (env: Record<string, string> = {}) => {
    const { code, stdout, stderr } = await migrate({ env })
    expect({ code, stderr }).toMatchObject({ code: 0 })
    expect(stdout).not.toContain(HEX)
    return / {2}1\. (.*)\n/.exec(stdout)![1]!
  }
  const withKey = async (hex: string) => {
    const store = openSqlite(file)
    await verifyKey(store, keyFromEnvironment(hex))
    await store.close()
  }

  test('is read from its file by what is printed, and opens what was sealed', async () => {
    folder = join(folder, "it's here")
    mkdirSync(folder)
    file = join(folder, 'downlink.db')
    undo.push(() => {
      folder = join(folder, '..')
    })
    const own = keyFromFile(path())
    const store = openSqlite(file)
    await verifyKey(store, own)
    await store.applyFleet(
      fleetRows({
        organizations: [{ orgId: ORG, name: 'One' }],
        applications: [
          { appKey: 'app1', orgId: ORG, secret: new Secrets(own).seal('application:app1', 'open sesame'), grants: [] },
        ],
      }),
      T0,
    )
    await store.close()
    const { code, stdout } = await migrate()
    expect(code).toBe(0)
    expect(stdout).not.toContain(readFileSync(path(), 'utf8').trim())
    const [, line] = /key of the file: (export .*)\n/.exec(stdout)!
    const key = execFileSync('sh', ['-c', `${line}; printf %s "$DOWNLINK_SECRET_KEY"`], { encoding: 'utf8' })
    const moved = await openNew()
    await verifyKey(moved, keyFromEnvironment(key))
    const { secret } = (await moved.application('app1'))!
    expect(new Secrets(keyFromEnvironment(key)).open('application:app1', secret)).toBe('open sesame')
  })

  test('is that of the environment, if it is the right one', async () => {
    await withKey(HEX)
    const wrong = await migrate({ env: { DOWNLINK_SECRET_KEY: 'cd'.repeat(32) } })
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toContain('this key is not the one that the secrets in the store are encrypted under')
    await (await openPostgres(server.url(database))).close()
    await expectEmpty()
    expect(await step({ DOWNLINK_SECRET_KEY: HEX })).toBe(
      'Start every node with the DOWNLINK_SECRET_KEY that is set here.',
    )
  })

  test('is somewhere else where it is neither here nor beside the file', async () => {
    await withKey(HEX)
    expect(await step()).toBe('Start every node with the DOWNLINK_SECRET_KEY that the server had.')
  })

  test('is not that of a file that lies there for another store', async () => {
    await withKey(HEX)
    keyFromFile(path())
    expect(await step()).toMatch(
      /the DOWNLINK_SECRET_KEY that the server had \(not that of the file .*secret\.key: this key is not the one/,
    )
  })

  test('is made where there are no secrets yet', async () => {
    openSqlite(file).close()
    expect(await step()).toContain('make a key with openssl rand -hex 32')
  })
})

describe('what ends it early', () => {
  test('kill -9 leaves the database empty, and it can be run again', async () => {
    await fill()
    // It is in the middle, and stays there for a moment.
    await trigger('event', 'perform pg_sleep(0.5); return null;', 'before insert', 'statement')
    const running = program.start(['migrate', '--from', `sqlite:${file}`, '--to', server.url(database)])
    await vi.waitFor(
      async () => expect(await sql("select 1 from pg_stat_activity where wait_event = 'PgSleep'")).toHaveLength(1),
      { timeout: 10_000, interval: 5 },
    )
    expect((await running.stop('SIGKILL')).code).toBeNull()
    expect(running.stdout).toBe('')
    const { code } = await migrate()
    expect(code).toBe(0)
    const [count] = await sql('select count(*) as n from event')
    expect(count).toEqual({ n: '5' })
  })

  test('a connection that is lost says so, and nothing is there', async () => {
    await fill()
    const proxy = await PostgresProxy.start(server)
    undo.push(() => proxy.stop())
    await trigger('event', 'perform pg_sleep(0.3); return null;', 'before insert', 'statement')
    const migrating = migrate({ to: proxy.url(database) })
    await vi.waitFor(
      async () => expect(await sql("select 1 from pg_stat_activity where wait_event = 'PgSleep'")).toHaveLength(1),
      { timeout: 10_000, interval: 5 },
    )
    proxy.down()
    const { code, stderr } = await migrating
    expect(code).toBe(1)
    expect(stderr).toMatch(/onnection.*\ndownlink migrate: Nothing was moved\.\n$/)
    await expectEmpty()
  })

  test('a COMMIT that never arrived is found out', async () => {
    await fill()
    const proxy = await PostgresProxy.start(server)
    undo.push(() => proxy.stop())
    proxy.nextCommit('cutBefore')
    // The first one is that of the schema, which is there.
    await (await openPostgres(server.url(database))).close()
    const { code, stdout, stderr } = await migrate({ to: proxy.url(database) })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain(
      'the connection was lost before everything was committed. Run this again.\ndownlink migrate: Nothing was moved.',
    )
    expect(proxy.commits).toBe(1)
    await expectEmpty()
  })

  test('a COMMIT whose answer is lost is found out too', async () => {
    await fill()
    await (await openPostgres(server.url(database))).close()
    const proxy = await PostgresProxy.start(server)
    undo.push(() => proxy.stop())
    proxy.nextCommit('cutAfter')
    const { code, stdout } = await migrate({ to: proxy.url(database) })
    expect(code).toBe(0)
    expect(stdout).toContain('every row was compared')
    expect(proxy.commits).toBe(1)
    expect(await (await openNew()).deviceByAsset('a4')).toMatchObject({ id: 4 })
  })

  /** Copies over a proxy that takes no connection after a COMMIT; for as long as it is asked what became of it, or until `meanwhile` is done. */
  async function copyAndLose(
    doubtMs: number,
    meanwhile: (proxy: PostgresProxy) => Promise<void>,
  ): Promise<CopyFailed | CopyInDoubt> {
    await fill()
    await (await openPostgres(server.url(database))).close()
    const proxy = await PostgresProxy.start(server)
    const source = openSqliteExport(file)
    const target = await openPostgresImport(proxy.url(database), doubtMs)
    undo.push(
      () => proxy.stop(),
      () => source.close(),
      () => target.close(),
    )
    proxy.nextCommit('cutAfter', true)
    const copying = copyStore(source, target, () => undefined).then(
      () => new Error('it was copied'),
      error => error,
    )
    await vi.waitFor(() => expect(proxy.isDown).toBe(true), { timeout: 10_000, interval: 5 })
    await meanwhile(proxy)
    return copying
  }

  test('and where it cannot be, that is said', async () => {
    const error = await copyAndLose(200, async () => undefined)
    expect(error).toBeInstanceOf(CopyInDoubt)
    expect(error.message).toMatch(
      /could not be asked again whether it was\. Run this again.*all of it is there, and was compared/,
    )
    // As that says.
    expect((await sql('select 1 from node')).length).toBe(2)
  })

  test('as where a server was quicker', async () => {
    const error = await copyAndLose(10_000, async proxy => {
      await vi.waitFor(async () => expect(await sql('select 1 from node')).toHaveLength(2), { timeout: 10_000 })
      await sql('update device set version = version + 1 where id = 2')
      proxy.up()
    })
    expect(error).toBeInstanceOf(CopyInDoubt)
    expect(error.message).toMatch(
      /neither empty nor what was copied: .*table device, id 2: column version.*a server at work on it already/,
    )
  })
})

test('how far it is, is said every now and then', () => {
  const said: string[] = []
  let now = 5
  const tell = progressLines(
    () => now,
    text => said.push(text),
  )
  const at = (ms: number, done: number) => {
    now = ms
    tell({ step: 'copying', table: 'command', done, total: 900 })
  }
  at(6, 100)
  at(5 + COPY_PROGRESS_EVERY_MS, 200)
  at(6 + COPY_PROGRESS_EVERY_MS, 300)
  at(5 + 2 * COPY_PROGRESS_EVERY_MS, 400)
  expect(said).toEqual(['copying command: 200 of 900 rows', 'copying command: 400 of 900 rows'])
})
