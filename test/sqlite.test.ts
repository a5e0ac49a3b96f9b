// What only the SQLite store has: a file with an owner, migrations, the schema's own guards, and plans that do not read whole tables.
// What it shares with every store is in store.test.ts.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from '@photostructure/sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { State } from '../src/core/command.ts'
import { Bug } from '../src/core/errors.ts'
import { STORE_SEARCHES_PREPARED_MAX } from '../src/core/limits.ts'
import {
  type Migration,
  parseMigration,
  pendingMigrations,
  readMigrations,
  SchemaMismatch,
} from '../src/store/migrate.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import { changeStatements } from '../src/store/sqlite-changes.ts'
import { CannotOpen, closeFile, openFile } from '../src/store/sqlite-file.ts'
import { Searches } from '../src/store/sqlite-searches.ts'
import { statements } from '../src/store/sqlite-statements.ts'
import type { Condition, Store } from '../src/store/store.ts'
import { addDevices, asSent, changeOf, commit, created, id, inserted, loadOne, ORG, put, T0 } from './rig/store.ts'

let folder: string
let file: string
const opened: Store[] = []
const children: ChildProcess[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-sqlite-'))
  file = join(folder, 'test.db')
})
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  for (const store of opened.splice(0)) await store.close()
  rmSync(folder, { recursive: true })
})

const open = (path = file, migrations = readMigrations('sqlite')): Store => {
  const store = openSqlite(path, migrations)
  opened.push(store)
  return store
}

/** Looks at a file that no store has open, through a connection of its own. */
const raw = (work: (db: InstanceType<typeof DatabaseSync>) => void): void => {
  const db = new DatabaseSync(file)
  try {
    work(db)
  } finally {
    db.close()
  }
}

/** A real second process that runs a module; its lines as they come. */
function program(source: string): { child: ChildProcess; lines: AsyncIterator<string> } {
  const root = new URL('..', import.meta.url)
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', source], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  return { child, lines: createInterface({ input: child.stdout! })[Symbol.asyncIterator]() }
}

describe('the file', () => {
  test('is made for its owner only, in a folder that is made if it is not there', async () => {
    const path = join(folder, 'deep', 'down', 'd.db')
    const store = open(path)
    await addDevices(store, 'a1')
    const mode = (of: string) => statSync(of).mode & 0o777
    expect(mode(join(folder, 'deep'))).toBe(0o700)
    expect(mode(join(folder, 'deep', 'down'))).toBe(0o700)
    expect(mode(path)).toBe(0o600)
    expect(mode(`${path}-wal`)).toBe(0o600)
  })

  test('that others could read is closed to them', () => {
    writeFileSync(file, '', { mode: 0o644 })
    open()
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  test('that is not ours is left as it is', () => {
    const untouched = (path: string) => {
      chmodSync(path, 0o644)
      const before = readFileSync(path)
      expect(() => openSqlite(path)).toThrow(CannotOpen)
      expect(statSync(path).mode & 0o777).toBe(0o644)
      expect(readFileSync(path).equals(before)).toBe(true)
    }
    const text = join(folder, 'package.json')
    writeFileSync(text, '{"name":"not a database"}\n'.repeat(50))
    untouched(text)
    raw(db => db.exec('create table foreign_table (x)'))
    untouched(file)
    expect(readdirSync(folder).sort()).toEqual(['package.json', 'test.db'])
  })

  test('is one file again after close, and all is in it', async () => {
    const store = open()
    const [device] = await addDevices(store, 'a1')
    await put(store, device!, created(id(1)))
    expect(existsSync(`${file}-wal`)).toBe(true)
    await store.close()
    expect(readdirSync(folder)).toEqual(['test.db'])
    expect((await loadOne(open(), device!)).open).toEqual([created(id(1))])
  })

  test('has the name that it was given, also where SQLite would read the name its own way', async () => {
    const { lines } = program(`
      import { openSqlite } from './src/store/sqlite.ts'
      process.chdir(${JSON.stringify(folder)})
      await openSqlite(':memory:').close()
      await openSqlite('file:odd.db').close()
      console.log('done')`)
    expect((await lines.next()).value).toBe('done')
    expect(readdirSync(folder).sort()).toEqual([':memory:', 'file:odd.db'])
  })
})

describe('the owner of the file', () => {
  const refusal = /cannot open the store .*test\.db: another process has it open.*Stop that process, or .*--store/

  test('a second store on the file is refused, and the first goes on', async () => {
    const store = open()
    const [device] = await addDevices(store, 'a1')
    expect(() => openSqlite(file)).toThrow(CannotOpen)
    expect(() => openSqlite(file)).toThrow(refusal)
    await put(store, device!, created(id(1)))
    await store.close()
    const [row] = (await loadOne(open(), device!)).open
    expect(row).toEqual(created(id(1)))
  })

  test('a second process is refused, even after a refusal within this one; then it may have the file', async () => {
    const store = open()
    expect(() => openSqlite(file)).toThrow(refusal)
    const source = `
      import { openSqlite } from './src/store/sqlite.ts'
      try { await openSqlite(${JSON.stringify(file)}).close(); console.log('opened') }
      catch (error) { console.log(error.name + ': ' + error.message) }`
    expect((await program(source).lines.next()).value).toMatch(refusal)
    await store.close()
    expect((await program(source).lines.next()).value).toBe('opened')
  })

  test('no process beside the owner reads the file either', async () => {
    const store = open()
    await addDevices(store, 'a1')
    expect(() => raw(db => db.exec('select * from device'))).toThrow(/locked/)
  })

  test('after kill -9 the next opens at once, and everything committed is there', async () => {
    const { child, lines } = program(`
      import { openSqlite } from './src/store/sqlite.ts'
      import { addDevices, created, id, put } from './test/rig/store.ts'
      const store = openSqlite(${JSON.stringify(file)})
      const [device] = await addDevices(store, 'a1')
      for (let n = 1; ; n++) {
        await put(store, device, created(id(n)))
        process.stdout.write(n + '\\n')
        await new Promise(resolve => setImmediate(resolve))
      }`)
    let committed = 0
    while (committed < 40) committed = Number((await lines.next()).value)
    expect(() => openSqlite(file)).toThrow(refusal)
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(existsSync(`${file}-wal`)).toBe(true)
    const store = open()
    const device = (await store.deviceByAsset('a1'))!.id
    const ids = (await loadOne(store, device)).open.map(command => command.id)
    expect(ids.length).toBeGreaterThanOrEqual(committed)
    expect(ids).toEqual(ids.map((_, n) => id(n + 1)))
    expect(await loadOne(store, device)).toMatchObject({ version: ids.length })
    await put(store, device, created(id(ids.length + 1)))
  })

  test.skipIf(!existsSync('/proc/self'))(
    'a folder that takes no entries is refused, not tried for ever (needs /proc)',
    () => {
      expect(() => openSqlite('/proc/downlink/x.db')).toThrow(CannotOpen)
    },
  )

  test('what cannot be a store is refused with the reason and the next step', () => {
    writeFileSync(file, 'not a database '.repeat(100))
    expect(() => openSqlite(file)).toThrow(/is not a SQLite database.*Give another file with --store/)
    const folderAsFile = join(folder, 'sub')
    mkdirSync(folderAsFile)
    expect(() => openSqlite(folderAsFile)).toThrow(/cannot open the store .*sub: .*must be writable/)
    expect(() => openSqlite(join(file, 'x.db'))).toThrow(CannotOpen)
    rmSync(file)
    raw(db => db.exec('create table foreign_table (x)'))
    expect(() => openSqlite(file)).toThrow(/holds the tables of another program.*file of its own/)
    raw(db => db.exec('drop table foreign_table'))
    open()
  })
})

describe('migrations', () => {
  const migration = (number: number, sql: string, breaking = false, name = `step${number}`): Migration => ({
    number,
    name,
    breaking,
    sql,
  })
  const own = readMigrations('sqlite')
  const next = own.length + 1

  test('those of this program are numbered and say whether they break', () => {
    expect(own.map(({ number }) => number)).toEqual(own.map((_, n) => n + 1))
    expect(own.map(({ name, breaking }) => [name, breaking])).toEqual([
      ['initial', true],
      ['device_data', false],
      ['changes_and_jobs', true],
    ])
  })

  test('a file needs a number, a name and the word on breaking', () => {
    expect(parseMigration('0012_add_jobs.sql', '-- Jobs.\n-- breaking: no\nselect 1;')).toMatchObject({
      number: 12,
      name: 'add_jobs',
      breaking: false,
    })
    expect(() => parseMigration('12_add.sql', '-- breaking: no')).toThrow(Bug)
    expect(() => parseMigration('0012_add.sql', 'select 1')).toThrow(/breaking: yes/)
    expect(() => parseMigration('0012_add.sql', '-- breaking: perhaps')).toThrow(/breaking: yes/)
  })

  test('those that are lacking are applied in order, and only once', async () => {
    await open().close()
    const more = [
      ...own,
      migration(next, 'create table extra (x integer)'),
      migration(next + 1, 'insert into extra values (1)'),
    ]
    await open(file, more).close()
    await open(file, more).close()
    let versions: unknown
    let rows: unknown
    raw(db => {
      versions = db.prepare('select number, name, breaking from schema_version order by number').all()
      rows = db.prepare('select x from extra').all()
    })
    expect(versions).toEqual(more.map(({ number, name, breaking }) => ({ number, name, breaking: breaking ? 1 : 0 })))
    expect(rows).toEqual([{ x: 1 }])
  })

  /** A store as the first program left it: a gateway, a device behind it, a command that waits. */
  const firstSchema = (): void => {
    const db = openFile(file, own.slice(0, 1))
    db.exec(`
      insert into organization values ('o1', 'One');
      insert into product values ('pk1', 'o1', 'sealed', null, '{}');
      insert into device (asset_id, org_id, product_key, device_key, secret, name_json, timezone, disabled, gateway_id, version, session_no, active_at)
        values ('gate', 'o1', 'pk1', 'gate', 's', '{}', '+08:00', 0, null, 3, 2, ${T0}), ('sub', 'o1', 'pk1', 'sub', 's', '{}', '+08:00', 1, 1, 5, 0, null);
      insert into command values (${id(1)}, 1, 1, 2, 'reboot', 30, 600, ${T0 + 600_000}, null, ${T0}, null, null, null, 'app1', null, 0);
      insert into command_body values (${id(1)}, '{"defaultValue":"Reboot"}', '{"delay":1}', null, null, null);
      insert into event values (1, 1, ${id(1)}, null, 1, ${T0}, 'app1', 'accepted', null)`)
    closeFile(db)
  }

  test('a store of the first schema keeps all that it has, and takes what devices report', async () => {
    firstSchema()
    const store = open()
    const row = { orgId: 'o1', productKey: 'pk1', secret: 's', nameJson: '{}', timezone: '+08:00' }
    const never = { lastOnlineAt: null, lastOfflineAt: null }
    expect(await store.deviceByAsset('gate')).toEqual({
      ...row,
      ...never,
      id: 1,
      assetId: 'gate',
      deviceKey: 'gate',
      disabled: false,
      gatewayAssetId: null,
      certificateSerial: null,
      description: null,
      createdAt: null,
      activeAt: T0,
    })
    expect(await store.deviceLine(1)).toMatchObject({ waiting: 1, oldestWaitingAt: T0 })
    expect(await store.deviceLine(2)).toMatchObject({ waiting: 0, oldestWaitingAt: null })
    expect(await store.subDevices('gate')).toMatchObject([{ id: 2, assetId: 'sub', disabled: true }])
    expect(await loadOne(store, 1)).toMatchObject({ version: 3, sessionNo: 2, open: [created(id(1))] })
    expect((await store.command(1, id(1)))?.body.inputJson).toBe('{"delay":1}')
    expect(await store.events(1, null, 10)).toMatchObject([{ seq: 1, commandId: id(1) }])
    expect(await store.latestValues(1, null)).toEqual([])
    const value = { pointId: 'p', valueJson: '1', quality: null, at: T0 }
    expect(await store.saveData([{ type: 'measurepoints', deviceId: 1, values: [value] }])).toEqual([true])
    await store.close()
    expect(await open().latestValues(1, null)).toEqual([value])
  })

  test('a program that knows the first schema only can use a file of the second', async () => {
    firstSchema()
    closeFile(openFile(file, own.slice(0, 2)))
    const db = openFile(file, own.slice(0, 1))
    db.exec(`
      insert into device (asset_id, org_id, product_key, device_key, secret, name_json, timezone, disabled, gateway_id)
        values ('new', 'o1', 'pk1', 'new', 's', '{}', '+08:00', 0, 1);
      update device set version = version + 1, session_no = 3 where id = 1`)
    closeFile(db)
    const store = open()
    expect((await store.subDevices('gate')).map(({ assetId }) => assetId)).toEqual(['sub', 'new'])
    expect(await loadOne(store, 1)).toMatchObject({ version: 4, sessionNo: 3 })
  })

  test('one that fails leaves nothing behind, and those before it stay', async () => {
    const good = migration(next, 'create table good (x integer)')
    const bad = migration(next + 1, 'create table half (x integer); insert into nowhere values (1)')
    expect(() => openSqlite(file, [...own, good, bad])).toThrow(/nowhere/)
    const orphan = migration(next + 1, "insert into application values (1, 'a', 'no such organization', 's', '[]')")
    expect(() => openSqlite(file, [...own, good, orphan])).toThrow(/references to rows that do not exist/)
    await open(file, [...own, good]).close()
    let names: unknown[] = []
    raw(db => {
      names = db.prepare("select name from sqlite_schema where name in ('good', 'half')").all()
    })
    expect(names).toEqual([{ name: 'good' }])
  })

  test('a file that a newer program changed: refused if that breaks, else used', async () => {
    const newer = [...own, migration(next, 'create table later (x integer)')]
    const breaking = [...newer, migration(next + 1, 'create table later_still (x integer)', true)]
    await open(file, newer).close()
    const store = open()
    await addDevices(store, 'a1')
    await store.close()
    await open(file, breaking).close()
    expect(() => openSqlite(file)).toThrow(CannotOpen)
    expect(() => openSqlite(file)).toThrow(
      /newer version of Downlink \(migration \d{4}_step\d; .*Start that newer version again, or restore the backup/,
    )
    expect((await open(file, breaking).deviceByAsset('a1'))?.assetId).toBe('a1')
  })

  test('a history of its own is refused', () => {
    const known = [migration(1, ''), migration(2, '')]
    expect(pendingMigrations(known, [])).toEqual(known)
    expect(pendingMigrations(known, [known[0]!])).toEqual([known[1]])
    expect(pendingMigrations(known, [known[1]!, known[0]!])).toEqual([])
    expect(pendingMigrations(known, [...known, migration(3, '')])).toEqual([])
    expect(() => pendingMigrations(known, [...known, migration(3, ''), migration(4, '', true)])).toThrow(SchemaMismatch)
    expect(() => pendingMigrations(known, [migration(1, '', false, 'other')])).toThrow(/0001_other.*step1/)
    expect(() => pendingMigrations(known, [known[1]!])).toThrow(SchemaMismatch)
  })
})

describe('the schema', () => {
  /** A database with the schema and nothing else. */
  const schema = () => {
    const db = new DatabaseSync(':memory:')
    for (const { sql } of readMigrations('sqlite')) db.exec(sql)
    db.exec('create table schema_version (number integer primary key, name text, breaking integer)')
    return db
  }
  const insert = (db: InstanceType<typeof DatabaseSync>, commandId: number, deviceId: number, state: number) =>
    db
      .prepare(statements.insertCommand)
      .run(commandId, deviceId, state, 1, 'x', 900, 0, 1, null, 1, null, null, null, 'a', null, 0)

  test('the index itself refuses two sent commands of one device, and only those', () => {
    const db = schema()
    insert(db, 1, 1, 4)
    insert(db, 2, 1, 1)
    insert(db, 3, 2, 4)
    expect(() => insert(db, 4, 1, 4)).toThrow(/UNIQUE.*device_id/)
    expect(() => db.exec('update command set state = 4 where id = 2')).toThrow(/UNIQUE.*device_id/)
    db.exec('update command set state = 7 where id = 1; update command set state = 4 where id = 2')
    insert(db, 5, 1, 7)
    db.close()
  })

  test('no statement reads a whole table, but those that may', () => {
    const db = schema()
    const mayScan = new Set([
      'countByState',
      'clockFloor',
      'ping',
      'purgeTokens',
      'purgeEncryptions',
      'organizations',
      'endSessions',
      'ends',
    ])
    for (const [name, sql] of Object.entries({ ...statements, ...changeStatements })) {
      const numbers = Array.from(sql.matchAll(/\?(\d+)/g), ([, n]) => Number(n))
      const length = numbers.length > 0 ? Math.max(...numbers) : (sql.match(/\?/g)?.length ?? 0)
      const parameters = Array.from({ length }, () => 1)
      const plan: { detail: string }[] = db.prepare(`explain query plan ${sql}`).all(...parameters)
      // A list of parameters is no table, nor is what a statement has found.
      const steps = plan.flatMap(({ detail }) => (/^SCAN (json_each|\(subquery)/.test(detail) ? [] : detail)).join('; ')
      if (!mayScan.has(name)) expect(`${name}: ${steps}`).not.toMatch(/SCAN|ORDER BY/)
    }
    db.close()
  })

  test('numbers of devices are not given twice, because records outlive a device', async () => {
    const store = open()
    await addDevices(store, 'a1', 'a2')
    await store.close()
    raw(db => db.exec("delete from device where asset_id = 'a2'"))
    const again = open()
    expect(await addDevices(again, 'a3')).toEqual([3])
  })

  test('what a device reported goes with its row, of every table that has some', async () => {
    const store = open()
    const [deviceId] = await addDevices(store, 'a1')
    await store.saveData([
      {
        type: 'measurepoints',
        deviceId: deviceId!,
        values: [{ pointId: 'p', valueJson: '1', quality: null, at: T0 }],
      },
      { type: 'event', deviceId: deviceId!, event: { eventId: 'e', outputJson: '{}', at: T0 } },
      { type: 'attributes', deviceId: deviceId!, set: [['a', '1']], remove: [] },
      { type: 'tags', deviceId: deviceId!, set: [['t', 'x']], remove: [] },
    ])
    const queue = await loadOne(store, deviceId!)
    await commit(store, changeOf({ ...queue, deleted: true }))
    await store.close()
    raw(db => {
      const tables: { name: string }[] = db.prepare("select name from sqlite_schema where type = 'table'").all()
      const ofDevices = tables.filter(({ name }) => /^(latest_|device_)/.test(name))
      expect(ofDevices).toHaveLength(4)
      for (const { name } of [...ofDevices, { name: 'device' }])
        expect([name, db.prepare(`select count(*) as count from ${name}`).get()]).toEqual([name, { count: 0 }])
    })
  })

  test('expired answers of repeated calls are forgotten with the tokens', async () => {
    await open().close()
    const row = (key: string, expireAt: number) =>
      `insert into idempotency values ('app1', 1, '${key}', 'h', '{}', ${expireAt});`
    raw(db => db.exec(row('old', T0 - 1) + row('good', T0)))
    const store = open()
    await store.purgeTokens(T0)
    await store.close()
    let left: unknown
    raw(db => {
      left = db.prepare('select key from idempotency').all()
    })
    expect(left).toEqual([{ key: 'good' }])
  })

  test('a fleet whose writing fails half-way leaves nothing behind', async () => {
    await open().close()
    raw(db => db.exec("create trigger full before insert on device begin select raise(abort, 'disk full'); end"))
    const store = open()
    await expect(addDevices(store, 'a1')).rejects.toThrow(/disk full/)
    expect(await store.organization(ORG)).toBeNull()
    expect(await store.product('pk1')).toBeNull()
    await store.close()
    raw(db => db.exec('drop trigger full'))
    expect(await addDevices(open(), 'a1')).toHaveLength(1)
  })

  test('every commit is numbered in the row of its node, stale or not', async () => {
    const store = open()
    const [device] = await addDevices(store, 'a1')
    const queue = await loadOne(store, device!)
    await commit(store, changeOf(queue, { inserts: [inserted(asSent(created(id(1))))] }))
    expect(await commit(store, changeOf(queue))).toEqual([device])
    await expect(put(store, device!, asSent(created(id(2))))).rejects.toThrow()
    await store.close()
    let node: unknown
    raw(db => {
      node = db.prepare('select node_no, batch_no, clock_at from node').all()
    })
    expect(node).toEqual([{ node_no: 0, batch_no: 2, clock_at: T0 }])
  })
})

describe('searches', () => {
  test('of a shape that was asked for before are not prepared again; so many are kept, and no more', () => {
    const db = new DatabaseSync(':memory:')
    let count = 0
    const searches = new Searches({
      prepare: sql => {
        count += 1
        return db.prepare(sql)
      },
    })
    const prepared = (...shapes: number[]) => {
      count = 0
      for (const shape of shapes) expect(searches.prepared(`select ${shape}, ?`).get('x')).toEqual([shape, 'x'])
      return count
    }
    const shapes = Array.from({ length: STORE_SEARCHES_PREPARED_MAX }, (_, n) => n)
    expect(prepared(0, 0, 0)).toBe(1)
    expect(prepared(...shapes)).toBe(shapes.length - 1)
    expect(prepared(...shapes, ...shapes)).toBe(0)
    expect(prepared(-1)).toBe(1)
    // The one that had not been asked for longest has made room; all others are there.
    expect(prepared(...shapes.slice(1))).toBe(0)
    expect(prepared(0)).toBe(1)
    db.close()
  })

  test('of more shapes than are kept find what they should', async () => {
    const store = open()
    const [device] = await addDevices(store, 'a1')
    await put(store, device!, created(id(1)), created(id(2)))
    const isCreated = { op: 'state', states: [State.created], negated: false } as const
    for (let terms = 1; terms <= STORE_SEARCHES_PREPARED_MAX; terms += 1) {
      const condition: Condition = { op: 'or', terms: Array.from({ length: terms }, () => isCreated) }
      const { rows, total } = await store.search(device!, condition, 0, 1)
      expect([rows.map(({ command }) => command.id), total]).toEqual([[id(2)], 2])
    }
    expect((await store.search(device!, { op: 'or', terms: [isCreated] }, 1, 1)).rows).toHaveLength(1)
  })
})
