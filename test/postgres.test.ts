// What only the PostgreSQL store has: several who write at once, leases that commits go by, migrations, the schema's own guards, and plans that do not
// read whole tables. What it shares with every store is in store*.test.ts; what happens when connections break, in postgres-loss.test.ts.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { State } from '../src/core/command.ts'
import { Bug } from '../src/core/errors.ts'
import { type Migration, parseMigration, readMigrations } from '../src/store/migrate.ts'
import { LeaseLost, type Nodes, StoreUnavailable } from '../src/store/nodes.ts'
import { openPostgres, type PostgresOptions } from '../src/store/postgres.ts'
import { Connections, ordinaryBearing } from '../src/store/postgres-connection.ts'
import { CannotOpen } from '../src/store/postgres-schema.ts'
import { statements } from '../src/store/postgres-statements.ts'
import type { DeviceChange, Store } from '../src/store/store.ts'
import { databaseFor, type PostgresServer, sharedPostgres, stopSharedPostgres } from './rig/postgres.ts'
import { PostgresProxy } from './rig/postgres-proxy.ts'
import {
  addDevices,
  asFinal,
  asSent,
  changeOf,
  created,
  deviceRow,
  event,
  fleetRows,
  id,
  inserted,
  loadOne,
  put,
  T0,
} from './rig/store.ts'

let server: PostgresServer
let folder: string
/** of the test: empty, but it may have the schema already */
let database: string
const undo: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  server = await sharedPostgres()
  folder = mkdtempSync(join(tmpdir(), 'downlink-postgres-'))
  database = new URL(await databaseFor(folder)).pathname.slice(1)
})
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
  rmSync(folder, { recursive: true })
})
afterAll(stopSharedPostgres)

/** One that nobody has opened, and whose statistics are its own. */
async function createDatabase(): Promise<void> {
  database = await server.createDatabase()
}

const sql = (text: string, values?: unknown[]) => server.sql(database, text, values)

const open = async (options?: PostgresOptions): Promise<Store & Nodes> => {
  const store = await openPostgres(server.url(database), options)
  undo.push(() => store.close())
  return store
}

/** A store that has a number. */
const openNode = async (nodeNo: number): Promise<Store & Nodes> => {
  const store = await open()
  if ((await store.takeNode(nodeNo, 60_000)) === null) throw new Error(`node ${nodeNo} is taken`)
  return store
}

const commit = (store: Store, node: number, ...changes: DeviceChange[]) =>
  store.commit({ node, lastCommandId: null, now: T0, changes })

/** A connection of the test's own, which may hold locks. */
const session = async (): Promise<Client> => {
  const client = new Client(server.url(database))
  await client.connect()
  undo.push(() => client.end())
  return client
}

/** As soon as it holds; a machine that is busy may take its time. */
const soon = (holds: () => unknown) => vi.waitFor(holds, { timeout: 10_000, interval: 10 })

describe('the lease of a node', () => {
  test('is needed to commit', async () => {
    const store = await open()
    const [device] = await addDevices(store, 'a1')
    const change = changeOf(await loadOne(store, device!))
    await expect(commit(store, 0, change)).rejects.toThrow(LeaseLost)
    await store.takeNode(0, 60_000)
    expect(await commit(store, 0, change)).toEqual([])
    await expect(commit(store, 1, changeOf(await loadOne(store, device!)))).rejects.toThrow(LeaseLost)
  })

  test('fences: when another life has the number, nothing of this one is written, stale or not', async () => {
    const [old, next] = [await open(), await open()]
    const [device, other] = await addDevices(old, 'a1', 'a2')
    const taken = await old.takeNode(0, 0)
    expect(await commit(old, 0, changeOf(await loadOne(old, device!)))).toEqual([])
    // Lapsed, and nobody has taken the number: what is committed is still guarded by the versions of devices.
    expect(await commit(old, 0, changeOf(await loadOne(old, device!)))).toEqual([])
    expect(await next.takeNode(0, 60_000)).toMatchObject({ lease: { epoch: 2 } })
    const change = changeOf(await loadOne(old, device!), {
      inserts: [inserted(created(id(1)))],
      events: [event(1, id(1))],
    })
    const stale = changeOf({ ...(await loadOne(old, other!)), version: 99 })
    await expect(commit(old, 0, change)).rejects.toThrow(LeaseLost)
    await expect(commit(old, 0, stale, change)).rejects.toThrow(LeaseLost)
    await expect(commit(old, 0)).rejects.toThrow(LeaseLost)
    expect(await old.renewNode(taken!.lease, 60_000)).toBeNull()
    expect([await loadOne(next, device!), await next.events(device!, null, 9)]).toEqual([change.queue, []])
    expect(await commit(next, 0, change)).toEqual([])
    expect(await sql('select epoch, batch_no from node')).toEqual([{ epoch: '2', batch_no: '3' }])
  })

  test('that was given back is the end of what is committed under it', async () => {
    const store = await open()
    const { lease } = (await store.takeNode(0, 60_000))!
    await store.releaseNode(lease)
    await expect(commit(store, 0)).rejects.toThrow(LeaseLost)
    const again = await store.takeNode(0, 60_000)
    expect(again!.lease.epoch).toBe(lease.epoch + 2)
    expect(await commit(store, 0)).toEqual([])
  })

  test('that is taken while a commit is under way makes that one fail as a whole', async () => {
    const [old, next] = [await open(), await open()]
    const [device] = await addDevices(old, 'a1')
    await old.takeNode(0, 0)
    const holder = await session()
    await holder.query('begin; lock table event in share mode')
    const change = changeOf(await loadOne(old, device!), { events: [event(1, null)] })
    const refused = expect(commit(old, 0, change)).rejects.toThrow(LeaseLost)
    await soon(async () =>
      expect(await sql("select 1 from pg_stat_activity where wait_event_type = 'Lock'")).toHaveLength(1),
    )
    await next.takeNode(0, 60_000)
    await holder.query('rollback')
    await refused
    expect([await loadOne(next, device!), await next.events(device!, null, 9)]).toEqual([change.queue, []])
  })

  test('of many who start at once: each has a number of its own', async () => {
    const stores = await Promise.all(Array.from({ length: 6 }, () => open()))
    const taken = await Promise.all(stores.map(store => store.takeNode(null, 60_000)))
    expect(taken.map(each => each!.lease.nodeNo).sort()).toEqual([0, 1, 2, 3, 4, 5])
    const same = await Promise.all(stores.map(store => store.takeNode(9, 60_000)))
    expect(same.filter(each => each !== null)).toHaveLength(1)
  })
})

describe('several nodes', () => {
  beforeEach(createDatabase)

  /** How often transactions waited for each other in a circle. Connections tell when they end. */
  const deadlocks = async (...stores: Store[]): Promise<number> => {
    for (const store of stores) await store.close()
    const others = 'select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'
    await soon(async () => expect(await sql(others)).toEqual([]))
    const [row] = await sql('select deadlocks from pg_stat_database where datname = current_database()')
    return Number(row!.deadlocks)
  }

  test('that commit the same devices at once: of each device one is right, the others are told that it was stale', async () => {
    const nodes = await Promise.all([0, 1, 2].map(openNode))
    // So many that they are looked up one by one, and not found in the order in which they lie.
    const all = await addDevices(nodes[0]!, ...Array.from({ length: 1_500 }, (_, n) => `a${n}`))
    const devices = all.filter((_, n) => n % 100 === 0).slice(0, 12)
    let rounds = 0
    for (; rounds < 15; rounds += 1) {
      const queues = await nodes[0]!.load(devices.map(deviceId => ({ deviceId, commandIds: [] })))
      const stale = await Promise.all(
        nodes.map((store, node) => {
          const changes = queues.map(queue =>
            changeOf(
              { ...queue!, sessionNode: node, eventSeq: queue!.eventSeq + 1 },
              { events: [event(queue!.eventSeq + 1, null)] },
            ),
          )
          // In as many orders as there are nodes: who locked in the order that he is given would wait for another in a circle.
          const order = [changes, [...changes].reverse(), [...changes.slice(6), ...changes.slice(0, 6)]][node]!
          return commit(store, node, ...order)
        }),
      )
      for (const device of devices) expect(stale.filter(each => each.includes(device))).toHaveLength(2)
    }
    for (const device of devices)
      expect(await loadOne(nodes[1]!, device)).toMatchObject({ version: rounds, eventSeq: rounds })
    expect(await deadlocks(...nodes)).toBe(0)
  })

  test('a queue is read as of one instant, whatever others commit meanwhile', async () => {
    const [writer, reader] = [await openNode(0), await open()]
    const [device] = await addDevices(writer, 'a1')
    let stop = false
    const writing = (async () => {
      for (let n = 1; !stop; n += 1) {
        const queue = await loadOne(writer, device!)
        // One is accepted, and from the third on one that was is cancelled: as many are open as events minus twice as many cancelled.
        const oldest = queue.open[0]
        const updates =
          queue.open.length > 2 ? [{ command: asFinal(oldest!, State.cancelled), from: State.created }] : []
        const fields = { ...queue, lastCommandId: id(n), eventSeq: queue.eventSeq + 1 }
        const inserts = [inserted(created(id(n)))]
        await commit(writer, 0, changeOf(fields, { inserts, updates, events: [event(queue.eventSeq + 1, id(n))] }))
      }
    })()
    for (let reads = 0; reads < 150; reads += 1) {
      const all = Array.from({ length: 8 }, (_, n) => id(n))
      const queue = await loadOne(reader, device!, ...all)
      expect(queue.open).toHaveLength(Math.min(queue.eventSeq, 3))
      expect(queue.open.at(-1)?.id ?? null).toBe(queue.lastCommandId)
      expect(queue.named.every(command => command.state === State.cancelled)).toBe(true)
    }
    stop = true
    await writing
  })

  test('everything at once: commits, deletions, moves, fleets, reports and purges neither fail nor wait in a circle', async () => {
    const [one, two] = [await openNode(0), await openNode(1)]
    const names = Array.from({ length: 8 }, (_, n) => `a${n}`)
    await addDevices(one, ...names)
    const until = performance.now() + 1_500
    let done = 0
    const loop = async (work: (n: number) => Promise<unknown>) => {
      for (let n = 0; performance.now() < until; n += 1) {
        await work(n)
        done += 1
      }
    }
    const numbers = async (store: Store) => {
      const found = await Promise.all(names.map(assetId => store.deviceByAsset(assetId)))
      return found.flatMap(device => device?.id ?? [])
    }
    const step = (store: Store, node: number) => async (n: number) => {
      const ids = await numbers(store)
      const queues = await store.load(ids.map(deviceId => ({ deviceId, commandIds: [] })))
      const changes = queues.flatMap((queue, place) => {
        if (queue === null) return []
        const deleted = node === 1 && (n + place) % 7 === 0
        const seq = queue.eventSeq + 1
        return [changeOf({ ...queue, eventSeq: seq, deleted }, { events: [event(seq, null, { at: T0 + n })] })]
      })
      await commit(store, node, ...changes)
    }
    const mayConflict = (error: Error) => expect(error.name).toBe('FleetConflict')
    await Promise.all([
      loop(step(one, 0)),
      loop(step(two, 1)),
      loop(n =>
        two.applyFleet(fleetRows({ devices: names.map(name => deviceRow(name, { disabled: n % 2 === 0 })) }), T0),
      ),
      loop(n => {
        const [assetId, to] = [names[n % 8]!, names[(n + 3) % 8]!]
        return one.moveDevices([{ assetId, from: null, to: n % 3 === 0 ? null : to }]).catch(mayConflict)
      }),
      loop(async n => {
        const ids = await numbers(one)
        await one.saveData(
          [...ids].reverse().flatMap(deviceId => [
            {
              type: 'measurepoints',
              deviceId,
              values: [{ pointId: `p${n % 3}`, valueJson: '1', quality: null, at: T0 + n }],
            },
            { type: 'tags', deviceId, set: [[`t${n % 5}`, 'x']], remove: [`t${(n + 2) % 5}`] },
          ]),
        )
      }),
      loop(() => two.purge(T0 + 2, 10)),
    ])
    expect(done).toBeGreaterThan(30)
    // What is left is whole: no event without its number, no gateway that is gone.
    const gaps = await sql(
      'select d.id from device d join event e on e.device_id = d.id group by d.id having max(e.device_seq) <> d.event_seq',
    )
    expect(gaps).toEqual([])
    expect(await deadlocks(one, two)).toBe(0)
  }, 30_000)

  test('purge one at a time', async () => {
    const [one, two] = [await openNode(0), await open()]
    const [device] = await addDevices(one, 'a1')
    await put(one, device!, asFinal(created(id(1))), asFinal(created(id(2))))
    const other = await session()
    await other.query('begin')
    await other.query(statements.purgeLock)
    expect(await two.purge(T0 + 1_000, 10)).toBe(0)
    await other.query('rollback')
    expect(await two.purge(T0 + 1_000, 10)).toBe(2)
    expect(await one.countByState()).toEqual(new Map())
  })
})

describe('connections', () => {
  const connections = () => {
    const made = new Connections(server.url(database), ordinaryBearing)
    undo.push(() => made.close())
    return made
  }

  test('have their bounds, and say who they are', async () => {
    await open()
    const names = [
      'application_name',
      'idle_in_transaction_session_timeout',
      'jit',
      'lock_timeout',
      'plan_cache_mode',
      'statement_timeout',
    ]
    for (const lane of ['lease', 'steps', 'others'] as const) {
      const rows = await connections().once(lane, on =>
        on.search<[string, string]>('select name, setting from pg_settings where name = any($1) order by name', [
          names,
        ]),
      )
      expect(rows).toEqual([
        ['application_name', 'downlink'],
        ['idle_in_transaction_session_timeout', '2000'],
        ['jit', 'off'],
        ['lock_timeout', '2000'],
        ['plan_cache_mode', 'force_generic_plan'],
        ['statement_timeout', '2000'],
      ])
    }
  })

  test('who waits for a lock gets it, or is told in time', async () => {
    const [one, two] = [await openNode(0), await open({ bearing: { retryMs: 100 } })]
    await two.takeNode(1, 60_000)
    const [device] = await addDevices(one, 'a1')
    const holder = await session()
    await holder.query('begin')
    await holder.query('select 1 from device where id = $1 for update', [device])
    const change = changeOf(await loadOne(one, device!))
    const [patient, impatient] = [commit(one, 0, change), commit(two, 1, change)]
    await expect(impatient).rejects.toThrow(StoreUnavailable)
    await holder.query('rollback')
    expect(await patient).toEqual([])
    expect(await commit(two, 1, change)).toEqual([device])
  })

  test('of the engine are its own: other work that waits does not hold it up', async () => {
    const store = await openNode(0)
    const [device] = await addDevices(store, 'a1')
    const holder = await session()
    await holder.query('begin; lock table token in access exclusive mode')
    const waiting = Array.from({ length: 20 }, (_, n) => store.saveToken(`t${n}`, 'app1', T0))
    await soon(async () =>
      expect((await sql("select 1 from pg_stat_activity where wait_event_type = 'Lock'")).length).toBe(6),
    )
    expect(await commit(store, 0, changeOf(await loadOne(store, device!)))).toEqual([])
    await holder.query('rollback')
    await Promise.all(waiting)
    // Nor does the engine hold up the lease.
    await holder.query('begin; lock table device in access exclusive mode')
    const loading = Array.from({ length: 10 }, () => loadOne(store, device!))
    await soon(async () =>
      expect((await sql("select 1 from pg_stat_activity where wait_event_type = 'Lock'")).length).toBe(3),
    )
    expect(await store.renewNode({ nodeNo: 0, epoch: 1 }, 60_000)).not.toBeNull()
    await holder.query('rollback')
    await Promise.all(loading)
  })

  test('are asked as often for many devices as for one', async () => {
    const proxy = await PostgresProxy.start(server)
    undo.push(() => proxy.stop())
    const store = await openPostgres(proxy.url(database))
    undo.push(() => store.close())
    await store.takeNode(0, 60_000)
    const devices = await addDevices(store, ...Array.from({ length: 60 }, (_, n) => `a${n}`))
    const tripsOf = async <T>(work: () => Promise<T>): Promise<[number, T]> => {
      const before = proxy.roundTrips
      const result = await work()
      return [proxy.roundTrips - before, result]
    }
    /** Everything that a batch may bring: it accepts, sends, settles, answers, and tells. */
    const batch = async (some: readonly number[], from: number) => {
      const keys = some.map((deviceId, n) => ({ deviceId, commandIds: [id(from + n)] }))
      const [loads, queues] = await tripsOf(() => store.load(keys))
      const changes = queues.map((queue, n) => {
        const command = id(from + n)
        const sent = queue!.open.find(({ state }) => state === State.sent)
        const outcome = { commandId: sent?.id ?? command, outputJson: '{}', deviceCode: '200', deviceMessage: null }
        return changeOf(
          { ...queue!, eventSeq: queue!.eventSeq + 1 },
          {
            inserts: [inserted(asSent(created(command)))],
            updates: sent ? [{ command: asFinal(sent), from: State.sent }] : [],
            outcomes: [outcome],
            events: [event(queue!.eventSeq + 1, command)],
          },
        )
      })
      const [commits] = await tripsOf(() => commit(store, 0, ...changes))
      return { loads, commits }
    }
    await batch(devices, 100)
    const expected = { loads: 1, commits: 4 }
    expect(await batch(devices, 200)).toEqual(expected)
    expect(await batch(devices.slice(0, 1), 300)).toEqual(expected)
  })
})

describe('migrations', () => {
  beforeEach(createDatabase)

  const own = readMigrations('postgres')
  const next = own.length + 1
  const migration = (number: number, text: string, breaking = false, name = `step${number}`): Migration =>
    parseMigration(`${String(number).padStart(4, '0')}_${name}.sql`, `-- breaking: ${breaking ? 'yes' : 'no'}\n${text}`)

  test('are applied once, however many nodes start at once', async () => {
    const slow = [...own, migration(next, 'select pg_sleep(0.3); create table once_only (x integer)')]
    await Promise.all(Array.from({ length: 4 }, () => open({ migrations: slow })))
    expect(await sql('select number, name, breaking from schema_version order by number')).toEqual(
      slow.map(({ number, name, breaking }) => ({ number, name, breaking: breaking ? 1 : 0 })),
    )
  })

  test('that fail leave nothing of themselves behind, and those before them stay', async () => {
    const good = migration(next, 'create table good (x integer)')
    const bad = migration(next + 1, 'create table half (x integer); insert into nowhere values (1)')
    await expect(open({ migrations: [...own, good, bad] })).rejects.toThrow(/cannot open the store .*nowhere/)
    await open({ migrations: [...own, good] })
    const names = await sql("select tablename from pg_tables where tablename in ('good', 'half')")
    expect(names).toEqual([{ tablename: 'good' }])
  })

  test('of a newer program: refused if they break, else the database is used', async () => {
    const newer = [...own, migration(next, 'create table later (x integer)')]
    const breaking = [...newer, migration(next + 1, 'create table later_still (x integer)', true)]
    await open({ migrations: newer })
    await addDevices(await open(), 'a1')
    await open({ migrations: breaking })
    await expect(open()).rejects.toThrow(CannotOpen)
    await expect(open()).rejects.toThrow(
      /newer version of Downlink \(migration \d{4}_step\d; .*Start that newer version/,
    )
  })

  test('that break are not applied under nodes of the version before', async () => {
    const store = await open({ migrations: own })
    const { lease } = (await store.takeNode(3, 60_000))!
    const breaking = [...own, migration(next, 'create table not_understood (x integer)', true)]
    await expect(open({ migrations: breaking })).rejects.toThrow(/nodes of it are running \(3\)\. Stop them all first/)
    expect(await sql("select 1 from pg_tables where tablename = 'not_understood'")).toEqual([])
    await store.releaseNode(lease)
    await open({ migrations: breaking })
    expect(await sql("select count(*)::integer as n from pg_tables where tablename = 'not_understood'")).toEqual([
      { n: 1 },
    ])
  })

  test('from the first schema on, with all that it holds, while a program of that time goes on working', async () => {
    await open({ migrations: own.slice(0, 1) })
    await sql(`insert into organization values ('o1', 'One');
      insert into product values ('pk1', 'o1', 's', null, '{}');
      insert into device (asset_id, org_id, product_key, device_key, secret, name_json, timezone, disabled)
        values ('gate', 'o1', 'pk1', 'gate', 's', '{}', '+08:00', false);
      insert into device (asset_id, org_id, product_key, device_key, secret, name_json, timezone, disabled, gateway_id, event_seq, version)
        values ('sub', 'o1', 'pk1', 'sub', 's', '{}', '+08:00', true, 1, 1, 7);
      insert into command values (${id(1)}, 2, 1, 1, 'x', 30, 600, ${T0 + 600_000}, null, ${T0}, null, null, null, 'app1', null, 0);
      insert into command_body values (${id(1)}, '{}', '1', null, null, null);
      insert into event values (2, 1, ${id(1)}, null, 1, ${T0}, 'app1', 'accepted', null);
      insert into node (node_no, batch_no, last_command_id, clock_at, commands) values (0, 4, ${id(1)}, ${T0}, '{1,0,0,0,0,0,0}')`)
    await open({ migrations: own.slice(0, 2) })
    // As a program that knows only the first schema does.
    await sql(`insert into device (asset_id, org_id, product_key, device_key, secret, name_json, timezone, disabled, gateway_id)
        values ('new', 'o1', 'pk1', 'new', 's', '{}', '+08:00', false, 1);
      update device set version = version + 1, session_no = 3 where id = 2`)
    await open({ migrations: own.slice(0, 1) })
    const store = await open()
    const { lease: _, ...taken } = (await store.takeNode(0, 60_000))!
    expect(taken).toMatchObject({ lastCommandId: id(1), clockFloor: T0 })
    const sub = { gatewayAssetId: 'gate', certificateSerial: null, disabled: true, description: null, createdAt: null }
    expect(await store.deviceByAsset('sub')).toMatchObject({ id: 2, ...sub })
    expect((await store.subDevices('gate')).map(({ assetId }) => assetId)).toEqual(['sub', 'new'])
    expect(await loadOne(store, 2)).toMatchObject({ version: 8, sessionNo: 3, eventSeq: 1, open: [{ id: id(1) }] })
    expect(await store.countByState()).toEqual(new Map([[State.created, 1]]))
    expect(await store.deviceLine(2)).toMatchObject({ waiting: 1, oldestWaitingAt: T0 })
    // What happened before there was a stream is in none, and takes no place in it.
    expect(await store.placeEvents(10)).toBe(0)
    expect(await store.changesAfter(0, null, 10, 10)).toEqual({ changes: [], upTo: 0, isFull: false })
    expect(await commit(store, 0, changeOf(await loadOne(store, 2)))).toEqual([])
  })

  test('make the schema that is written down', async () => {
    await open()
    const path = new URL('postgres-schema.txt', import.meta.url)
    await expect(`${await dumpOf(await session())}\n`).toMatchFileSnapshot(path.pathname)
  })

  test('make the tables that SQLite has, with the same columns, and what several nodes need besides', async () => {
    await open()
    const rows = await sql(
      "select table_name, column_name from information_schema.columns where table_schema = 'public'",
    )
    const columns = rows.map(row => `${row.table_name}.${row.column_name}`)
    const text = readMigrations('sqlite')
      .map(each => each.sql.replace(/--.*$/gm, ''))
      .join('\n')
    const tables = [...text.matchAll(/create table (\w+) \((.*?)\n\)/gs)].flatMap(([, table, body]) =>
      [...body!.matchAll(/^ {2}(\w+) (?:text|integer|real)/gm)].map(([, column]) => `${table}.${column}`),
    )
    const added = [...text.matchAll(/alter table (\w+) add column (\w+)/g)].map(
      ([, table, column]) => `${table}.${column}`,
    )
    const own = ['device.is_waiting', 'device.wanting', 'node.commands', 'node.holder', 'token.saved_no']
    const version = ['schema_version.breaking', 'schema_version.name', 'schema_version.number']
    expect(columns.sort()).toEqual([...tables, ...added, ...own, ...version].sort())
  })
})

describe('a database that cannot be had', () => {
  beforeEach(createDatabase)

  const refused = async (url: string, message: RegExp, options: PostgresOptions = { bearing: { retryMs: 50 } }) => {
    const opening = openPostgres(url, options)
    await expect(opening).rejects.toThrow(CannotOpen)
    await expect(opening).rejects.toThrow(message)
  }

  test('is refused, with what to do', async () => {
    await refused(server.url('none'), /cannot open the store postgres:\/\/.*\/none: .*does not exist.*createdb/)
    await refused(
      'postgres://me:geheim@127.0.0.1:1/db',
      /^((?!geheim).)*ECONNREFUSED.*Is PostgreSQL running((?!geheim).)*$/,
    )
    await sql('create table foreign_table (x integer)')
    await refused(server.url(database), /tables of another program.*of its own/)
    await sql(`drop table foreign_table; alter database ${database} set synchronous_commit = off`)
    await refused(server.url(database), /synchronous_commit is off.*Set it to on/)
    await server.sql('postgres', "create database ascii encoding 'SQL_ASCII' template template0")
    await refused(server.url('ascii'), /encoding is SQL_ASCII.*UTF8/)
    await sql(`create role nobody_much login; revoke create on schema public from public;
      alter database ${database} reset synchronous_commit`)
    await refused(server.url(database).replace('downlink@', 'nobody_much@'), /permission denied.*own the schema/)
    expect(await sql('select tablename from pg_tables where schemaname = current_schema()')).toEqual([])
  })

  test('may share its server: a schema of its own is enough', async () => {
    await sql('create schema mine; create table public.foreign_table (x integer)')
    const url = `${server.url(database)}&options=${encodeURIComponent('-c search_path=mine')}`
    const store = await openPostgres(url)
    undo.push(() => store.close())
    await store.takeNode(0, 60_000)
    const [device] = await addDevices(store, 'a1')
    await put(store, device!, created(id(1)))
    expect(await sql('select count(*) as count from mine.command')).toEqual([{ count: '1' }])
  })

  test('is waited for while it starts', async () => {
    const proxy = await PostgresProxy.start(server)
    const { port } = new URL(proxy.url(database))
    await proxy.stop()
    const opening = openPostgres(`postgres://downlink@127.0.0.1:${port}/${database}`)
    const late = await PostgresProxy.start(server, Number(port))
    undo.push(() => late.stop())
    const store = await opening
    undo.push(() => store.close())
    await store.ping()
  })
})

describe('the schema', () => {
  const insert = (commandId: number, deviceId: number, state: number) =>
    sql(`insert into command values ($1, $2, $3, 1, 'x', 900, 0, 1, null, 1, null, null, null, 'a', null, 0)`, [
      commandId,
      deviceId,
      state,
    ])

  test('itself refuses two sent commands of one device, and only those', async () => {
    await open()
    await insert(1, 1, 4)
    await insert(2, 1, 1)
    await insert(3, 2, 4)
    await expect(insert(4, 1, 4)).rejects.toThrow(/command_one_sent/)
    await expect(sql('update command set state = 4 where id = 2')).rejects.toThrow(/command_one_sent/)
    await sql('update command set state = 7 where id = 1; update command set state = 4 where id = 2')
    await insert(5, 1, 7)
  })

  test('texts that are keys have the order of code points, whatever the language of the database', async () => {
    await open()
    const rows = await sql(
      `select distinct c.table_name || '.' || c.column_name as key from information_schema.columns c
        join pg_index i on i.indrelid = c.table_name::regclass
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey) and a.attname = c.column_name
        where c.table_schema = 'public' and c.data_type = 'text' and c.collation_name is distinct from 'C'`,
    )
    expect(rows).toEqual([])
  })

  test('a batch that is too late for a guard is a bug, and says which', async () => {
    const store = await openNode(0)
    const [device] = await addDevices(store, 'a1')
    await put(store, device!, created(id(1)), created(id(2)))
    const queue = await loadOne(store, device!)
    const updates = [
      { command: asFinal(created(id(1)), State.cancelled), from: State.created },
      { command: asFinal(created(id(2))), from: State.sent },
    ]
    await expect(commit(store, 0, changeOf(queue, { updates }))).rejects.toThrow(
      new Bug(`command ${id(2)} is no longer in state 4`),
    )
    expect(await loadOne(store, device!)).toEqual(queue)
  })

  test('steps of a device leave its indexes alone', async () => {
    await createDatabase()
    const store = await openNode(0)
    const [device] = await addDevices(store, 'a1')
    await put(store, device!, created(id(1)))
    for (let n = 2; n < 22; n += 1) await put(store, device!, created(id(n)))
    await store.close()
    await soon(async () => {
      const [stats] = await sql("select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'device'")
      expect(Number(stats!.n_tup_upd)).toBeGreaterThanOrEqual(21)
      // The first one, by which the device comes to have something that waits.
      expect(Number(stats!.n_tup_upd) - Number(stats!.n_tup_hot_upd)).toBe(1)
    })
  })
})

describe('plans', () => {
  beforeEach(createDatabase)

  /** As many rows as make a plan that reads all of a table the wrong one. */
  const fill = async (client: Client) => {
    await client.query(`set session_replication_role = replica;
      insert into organization select 'o' || g, '' from generate_series(1, 3000) g;
      insert into application (app_key, org_id, secret, grants_json) select 'a' || g, 'o' || g, '', '[]' from generate_series(1, 3000) g;
      insert into model select 'o' || g, 'm', '{}' from generate_series(1, 3000) g;
      insert into product select 'p' || g, 'o', '', 'm', '{}' from generate_series(1, 3000) g;
      insert into setting select 's' || g, '' from generate_series(1, 3000) g;
      insert into token select 't' || g, 'a' || g, g from generate_series(1, 3000) g;
      insert into seen_encryption select 'e' || g, g from generate_series(1, 3000) g;
      insert into idempotency select 'a', g, 'k', 'h', '{}', g from generate_series(1, 3000) g;
      insert into node select g from generate_series(0, 1023) g;
      insert into device (asset_id, org_id, product_key, device_key, secret, name_json, timezone, disabled, gateway_id, session_node, wanting)
        select 'd' || g, 'o1', 'p' || g % 100, 'k' || g, '', '{}', '', false, case when g % 50 = 0 then g + 1 end, g % 3, g % 100 = 0
        from generate_series(1, 5000) g;
      insert into command select g, 1 + g % 5000, case when g <= 5000 then 4 when g % 20 = 0 then 1 else 5 end, 1, 'x', 30, 600, g, g, g, g, g, 1, '', 0, 0
        from generate_series(1, 40000) g;
      insert into command_body select g, '{}', '{}', null, null, null from generate_series(1, 40000) g;
      insert into event select 1 + g % 5000, g / 5000, case when g % 10 > 0 then g end, null, 1, g, '', '', null, case when g < 39900 then g else 0 end
        from generate_series(1, 40000) g;
      insert into deleted_device select 10000 + g, 'o', 'p', 'k', 'a', '', g from generate_series(1, 3000) g;
      insert into tally select 'o' || g, 'p', g * 60000, 0, 0, 1, 1 from generate_series(1, 3000) g;
      insert into turn select 't' || g, 'h', g from generate_series(1, 3000) g;
      insert into webhook select 'w' || g, 'o' || g, '', '', '{}', '', g, false, g, 0, null, g, null from generate_series(1, 3000) g;
      insert into dead_letter select 'w' || g % 3000, g, '{}', g, '' from generate_series(1, 20000) g;
      insert into job select 'j' || g, 'o' || g, '', g, g, '{}', '{}', 'running', 9, null, g, case when g % 50 = 0 then g end, g from generate_series(1, 5000) g;
      insert into task select 'j' || g % 5000, g / 5000, g % 5000, 'p' || g % 100, 'k' || g % 5000, 'd' || g % 5000, 'INIT', g, 1, 0, 0,
        case when g % 50 = 0 then g end, null, null, null, g, g from generate_series(1, 40000) g;
      insert into cancellation select 'c' || g, 'o' || g, '', g, '{}', false, 'running', g, 9, 9, 9, 9, 9, case when g % 50 = 0 then g end, g
        from generate_series(1, 5000) g;
      insert into cancellation_item select 'c' || g % 5000, g, g % 5000, g % 50 > 0, 1, false from generate_series(1, 40000) g;
      insert into latest_value select 1 + g % 5000, 'p' || g / 5000, '1', null, g from generate_series(1, 20000) g;
      insert into latest_event select 1 + g % 5000, 'e' || g / 5000, '{}', g from generate_series(1, 20000) g;
      insert into device_attribute select 1 + g % 5000, g / 5000, 'a' || g / 5000, '1' from generate_series(1, 20000) g;
      insert into device_tag select 1 + g % 5000, g / 5000, 't' || g / 5000, '1' from generate_series(1, 20000) g`)
    await client.query('reset session_replication_role')
  }

  test('of no statement read a whole table, but of those that may', async () => {
    await open()
    const client = await session()
    await fill(client)
    await client.query('analyze')
    await client.query('set plan_cache_mode = force_generic_plan; set random_page_cost = 1.1')
    /** A table of a row per node, or one that is cleared now and then by a statement of its own. */
    const mayScan =
      /^(countByState|clockFloor|ping|purgeEncryptions|purgeTokens|freeNode|liveNodes|dueFor|countPurged)$/
    /** One row; an index that has nothing but what is asked for; what may be asked for all there are; and, once in the life of a process, all devices. */
    const isFit = (name: string, table: string): boolean =>
      table === 'stream' ||
      (name === 'webhooks' && table === 'webhook') ||
      (name === 'placeEvents' && table === 'event_unplaced') ||
      (name === 'endSessions' && table.startsWith('device'))
    const scanned: string[] = []
    for (const [name, text] of Object.entries(statements)) {
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain (generic_plan) ${text}`)
      const plan = rows.map(row => row['QUERY PLAN']).join('\n')
      const scans = [
        ...plan.matchAll(/Seq Scan on (\w+)|(?:Index|Index Only) Scan using (\w+) on \w+[^\n]*\n(?!\s+Index Cond)/g),
      ]
      const whole = scans
        .map(scan => scan[1] ?? scan[2])
        .filter(table => !isFit(name, table!))
        .filter(table => !(mayScan.test(name) && /^(node|schema_version|seen_encryption|token)/.test(table!)))
      if (whole.length > 0) scanned.push(`${name}: ${whole}`)
    }
    expect(scanned).toEqual([])
  })

  test('are made anew as tables grow: one that was right for a few rows reads all of many', async () => {
    /** How many rows of the commands a look at one device reads, where its plan was made when there were none. */
    const rowsRead = async (planLifeMs: number): Promise<number> => {
      database = await server.createDatabase()
      const store = await open({ bearing: { planLifeMs } })
      const client = await session()
      // From here on the planner takes every table for empty.
      await client.query('analyze')
      const look = () => store.load([{ deviceId: 4_000, commandIds: [id(1)] }])
      expect(await look()).toEqual([null])
      await fill(client)
      await client.query('select pg_stat_reset()')
      expect((await look())[0]?.open).not.toHaveLength(0)
      await store.close()
      let rows = 0
      await soon(async () => {
        const [stats] = await sql(
          "select seq_tup_read, idx_tup_fetch from pg_stat_user_tables where relname = 'command'",
        )
        rows = Number(stats!.seq_tup_read) + Number(stats!.idx_tup_fetch)
        expect(rows).toBeGreaterThan(0)
      })
      return rows
    }
    expect(await rowsRead(0)).toBeLessThan(100)
    expect(await rowsRead(Number.POSITIVE_INFINITY)).toBeGreaterThan(1_000)
  })
})

/** The schema as the catalog has it, in an order of its own: two that are the same make the same text. */
async function dumpOf(client: Client): Promise<string> {
  const lines = async (text: string): Promise<string[]> =>
    (await client.query<{ line: string }>(text)).rows.map(row => row.line).sort()
  const columns =
    await lines(`select format('%s.%s %s%s%s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
      case when l.collname is not null and l.collname <> 'default' then format(' collate %I', l.collname) end,
      case when a.attnotnull then ' not null' end, ' default ' || pg_get_expr(d.adbin, d.adrelid),
      case a.attidentity when 'd' then ' identity' end) as line
    from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum left join pg_collation l on l.oid = nullif(a.attcollation, 0)
    where a.attnum > 0 and not a.attisdropped`)
  const constraints =
    await lines(`select format('%s: %s', conrelid::regclass, pg_get_constraintdef(oid)) as line from pg_constraint
    where connamespace = 'public'::regnamespace and contype <> 'n'`)
  const indexes = await lines(`select indexdef as line from pg_indexes where schemaname = 'public'`)
  const options =
    await lines(`select format('%s with (%s)', relname, array_to_string(reloptions, ', ')) as line from pg_class
    where relnamespace = 'public'::regnamespace and reloptions is not null`)
  return [...columns, '', ...constraints, '', ...indexes, '', ...options].join('\n')
}
