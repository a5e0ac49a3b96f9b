// What a command, a device and a reported value cost PostgreSQL: bytes on the disk by table and index, bytes of write-ahead log, memory of a connection.
// The real engine on a real server. Not a measure of speed: fsync is off, and commits are as large as batches get. docs/operations.md does its sums with this.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Downlink } from '../src/core/command.ts'
import { BATCH_MAX_INPUTS, PURGE_MAX_ROWS, SAVE_BATCH_MAX_ROWS } from '../src/core/limits.ts'
import type { Link } from '../src/engine.ts'
import { openPostgres } from '../src/store/postgres.ts'
import type { DataChange } from '../src/store/store.ts'
import { newCommand, rig } from '../test/rig/engine.ts'
import { type PostgresServer, startPostgres } from '../test/rig/postgres.ts'

const { values } = parseArgs({
  options: {
    devices: { type: 'string', default: '5000' },
    each: { type: 'string', default: '20' },
    points: { type: 'string', default: '10' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log('npm run bench:size -- [--devices 5000] [--each 20 commands] [--points 10 measurepoints per device]')
  process.exit(0)
}
const devices = Number(values.devices)
const each = Number(values.each)
const points = Number(values.points)
const commands = devices * each

/** As PostgreSQL comes: with autovacuum, which clears away what updates leave, as it does in service. */
const SETTINGS = { autovacuum: 'on', autovacuum_naptime: '1s', max_wal_size: '4GB', max_connections: '40' }
/** Names and inputs of ordinary length. */
const COMMAND = newCommand({
  pendingTtlS: 3_600,
  nameJson: '{"defaultValue":"Set point","i18nValue":{"en_US":"Set point","zh_CN":"设定温度"}}',
  inputJson: '{"value":21.5,"mode":"auto"}',
  by: '5acb82e7-a11e-4300-9164-c8b20b638e8b',
})

const REPLY = { type: 'reply', code: 200, deviceCode: '200', message: null, outputJson: '{"ok":true}' } as const

interface Sizes {
  readonly relation: string
  readonly bytes: number
}

const sizesOf = async (server: PostgresServer, database: string): Promise<Sizes[]> => {
  const rows = await server.sql(
    database,
    `select c.relname, (case when c.relkind = 'r' then pg_table_size(c.oid) else pg_relation_size(c.oid) end)::text as bytes
     from pg_class c join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'public' where c.relkind in ('r', 'i')
     order by c.relname`,
  )
  return rows.map(row => ({ relation: String(row.relname), bytes: Number(row.bytes) }))
}

const walOf = async (server: PostgresServer): Promise<number> => {
  const [row] = await server.sql('postgres', `select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text as bytes`)
  return Number(row?.bytes)
}

/** A device that answers each command at once. */
class Answering implements Link {
  readonly answer: (downlink: Downlink) => void
  constructor(answer: (downlink: Downlink) => void) {
    this.answer = answer
  }
  presence = () => ({ ready: true, silent: false })
  publish(downlink: Downlink): null {
    this.answer(downlink)
    return null
  }
  suspect = () => undefined
  takenOver = () => undefined
  evicted = () => undefined
}

function print(title: string, per: number, of: string, before: readonly Sizes[], after: readonly Sizes[]): number {
  const was = new Map(before.map(({ relation, bytes }) => [relation, bytes]))
  const grown = after.map(({ relation, bytes }) => ({ relation, bytes: bytes - (was.get(relation) ?? 0) }))
  const total = grown.reduce((sum, { bytes }) => sum + bytes, 0)
  console.log(`\n${title}: ${(total / per).toFixed(0)} bytes for each ${of}`)
  for (const { relation, bytes } of grown)
    if (bytes / per >= 1) console.log(`  ${relation.padEnd(36)} ${(bytes / per).toFixed(0).padStart(6)}`)
  return total / per
}

/** Kilobytes that each server process has for itself, by what the operating system says. */
async function memoryOf(server: PostgresServer, database: string): Promise<number[]> {
  const rows = await server.sql(database, `select pid from pg_stat_activity where application_name = 'downlink'`)
  return rows.map(({ pid }) => {
    const text = readFileSync(`/proc/${Number(pid)}/smaps_rollup`, 'utf8')
    const kilobytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)
    return kilobytes('Private_Clean') + kilobytes('Private_Dirty')
  })
}

const server = await startPostgres({ settings: SETTINGS })
try {
  const database = await server.createDatabase()
  const store = await openPostgres(server.url(database))
  if ((await store.takeNode(0, 3_600_000)) === null) throw new Error('node 0 is taken')
  const empty = await sizesOf(server, database)
  const { engine, clock, devices: ids } = await rig(devices, { store })
  await server.sql(database, 'vacuum analyze')
  const fleet = await sizesOf(server, database)
  print('a device', devices, 'device', empty, fleet)

  const answers: Promise<unknown>[] = []
  for (const device of ids) {
    const answer = ({ commandId }: Downlink): void => {
      answers.push(engine.apply(device, { ...REPLY, commandId }))
    }
    const connected = await engine.connect(device, new Answering(answer))
    if (!connected.ok) throw new Error('not connected')
  }
  await server.sql(database, 'checkpoint')
  const [wal, startedAt] = [await walOf(server), performance.now()]
  for (let round = 0; round < each; round++) {
    for (let from = 0; from < devices; from += BATCH_MAX_INPUTS) {
      const sent = ids.slice(from, from + BATCH_MAX_INPUTS).map(device => engine.enqueue(device, COMMAND, false))
      for (const accepted of await Promise.all(sent)) if (!accepted.ok) throw new Error(JSON.stringify(accepted))
      // Commands are sent when their acceptance has been answered, and answered in turn.
      await engine.idle()
      await Promise.all(answers.splice(0))
      await clock.advance(10, () => engine.idle())
    }
  }
  const seconds = (performance.now() - startedAt) / 1_000
  const walPer = ((await walOf(server)) - wal) / commands
  await server.sql(database, 'vacuum analyze')
  const counts = Object.fromEntries(await store.countByState())
  console.log(`\n${commands} commands in ${seconds.toFixed(0)} s, by state: ${JSON.stringify(counts)}`)
  const bloated = await sizesOf(server, database)
  print('a command with its answer, as the tables are', commands, 'command', fleet, bloated)
  await server.sql(database, 'vacuum full')
  print('the same, packed anew', commands, 'command', fleet, await sizesOf(server, database))
  console.log(`write-ahead log: ${walPer.toFixed(0)} bytes for each command, full pages after a checkpoint included`)

  const packed = await sizesOf(server, database)
  const report = (deviceId: number, at: number): DataChange => ({
    type: 'measurepoints',
    deviceId,
    values: Array.from({ length: points }, (_, i) => ({
      pointId: `temperature_${i}`,
      valueJson: '21.5',
      quality: 0,
      at,
    })),
  })
  const perSave = Math.max(1, Math.floor(SAVE_BATCH_MAX_ROWS / points))
  const save = async (at: number): Promise<number> => {
    const from = performance.now()
    for (let first = 0; first < devices; first += perSave)
      await store.saveData(ids.slice(first, first + perSave).map(device => report(device, at)))
    return (devices * points * 1_000) / (performance.now() - from)
  }
  await save(1)
  print('a measurepoint', devices * points, 'value', packed, await sizesOf(server, database))
  await server.sql(database, 'checkpoint')
  const walBefore = await walOf(server)
  const rates = [await save(2), await save(3), await save(4)]
  const walValue = ((await walOf(server)) - walBefore) / (3 * devices * points)
  console.log(`write-ahead log: ${walValue.toFixed(0)} bytes for each value that is reported again`)
  console.log(`${Math.max(...rates).toFixed(0)} values a second without fsync, by one node`)

  const [walFull, purgedFrom] = [await walOf(server), performance.now()]
  let purged = 0
  for (let gone = PURGE_MAX_ROWS; gone === PURGE_MAX_ROWS; purged += gone)
    gone = await store.purge(Number.MAX_SAFE_INTEGER, PURGE_MAX_ROWS)
  const walPurge = ((await walOf(server)) - walFull) / commands
  const perSecond = (purged * 1_000) / (performance.now() - purgedFrom)
  console.log(
    `\npurge: ${walPurge.toFixed(0)} bytes of log for each command, ${perSecond.toFixed(0)} commands a second`,
  )
  const memory = (await memoryOf(server, database)).sort((a, b) => a - b)
  console.log(`\nmemory of ${memory.length} connections of one node, KiB each: ${memory.join(' ')}`)
  await engine.stop()
  await store.close()
} finally {
  await server.stop()
}
