// What a failover of PostgreSQL costs while nodes are at work: with a synchronous standby time, and nothing that was acknowledged; with an asynchronous one
// what docs/operations.md warns of. Two real servers, the second made from the first and following it; one address that moves from one to the other.

import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Server } from '../src/cli/serve.ts'
import { startNode } from './rig/node.ts'
import { giveToServer, type PostgresServer, runAsServer, startPostgres } from './rig/postgres.ts'
import { PostgresProxy } from './rig/postgres-proxy.ts'
import { APP, Application, type DeviceCalls, fleetFile, TestDevice } from './rig/server.ts'

const STANDBY = 'standby'
const DATABASE = 'postgres'
/** commands that a caller leaves in a queue */
const WAITING = 5

let folder: string
let primary: PostgresServer
let standby: PostgresServer
let proxy: PostgresProxy
const undo: (() => unknown)[] = []
const soon = (holds: () => unknown) => vi.waitFor(holds, { timeout: 20_000, interval: 20 })

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-failover-'))
  giveToServer(folder)
  undo.push(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'fleet.json'), fleetFile(8))
  primary = await startPostgres()
  undo.push(() => primary.stop())
  standby = await follow(primary)
  undo.push(() => standby.stop())
  proxy = await PostgresProxy.start(primary)
  undo.push(() => proxy.stop())
}, 60_000)
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** Another server, which begins as a copy of this one and follows it. */
async function follow(server: PostgresServer): Promise<PostgresServer> {
  const [from, copy] = [join(dirname(server.socket), 'data'), join(folder, 'copy')]
  const client = new Client(server.url(DATABASE))
  await client.connect()
  await client.query(`select pg_backup_start('standby', true)`)
  runAsServer('cp', ['-r', from, copy])
  const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)')
  await client.end()
  rmSync(join(copy, 'postmaster.pid'))
  writeFileSync(join(copy, 'backup_label'), rows[0]?.labelfile ?? '')
  giveToServer(join(copy, 'backup_label'))
  writeFileSync(join(copy, 'standby.signal'), '')
  return startPostgres({
    prepare: data => renameSync(copy, data),
    settings: {
      primary_conninfo: `host=${dirname(server.socket)} user=downlink application_name=${STANDBY}`,
      wal_retrieve_retry_interval: '100ms',
    },
  })
}

async function serve(...args: string[]): Promise<Server> {
  const server = await startNode(proxy.url(DATABASE), args)
  undo.push(() => server.stop())
  return server
}

/** The primary is lost, the standby takes its place, and then the address leads there. */
async function failOver(): Promise<void> {
  const port = Number(new URL(proxy.url(DATABASE)).port)
  await primary.stop()
  await proxy.stop()
  await standby.sql(DATABASE, 'select pg_promote()')
  const moved = await PostgresProxy.start(standby, port)
  proxy = moved
}

test('with a synchronous standby nothing that was acknowledged is lost, and devices stay connected', {
  timeout: 60_000,
}, async () => {
  await primary.sql(DATABASE, `alter system set synchronous_standby_names = '${STANDBY}'`)
  await primary.sql(DATABASE, 'select pg_reload_conf()')
  await soon(async () =>
    expect(await primary.sql(DATABASE, 'select sync_state from pg_stat_replication')).toEqual([{ sync_state: 'sync' }]),
  )
  const [a, b] = [await serve('--fleet', join(folder, 'fleet.json')), await serve()]
  const device = await new TestDevice(b.mqttUrl, 'd1').connected()
  undo.push(() => device.end())
  let closed = 0
  device.client.on('close', () => {
    closed += 1
  })
  const app = new Application(a.httpUrl, APP)
  app.token = await app.getToken()
  const callers = [2, 3, 4, 5].map(n => new Caller(app.on({ assetId: `a${n}` })))
  undo.push(() => Promise.all(callers.map(caller => caller.end())))
  const done = (of: 'accepted' | 'cancelled', least: readonly number[]): Promise<unknown> =>
    soon(() => {
      for (const [i, caller] of callers.entries())
        expect(caller[of].length, `${of}, after codes ${[...caller.codes]}`).toBeGreaterThan(least[i] ?? 0)
    })
  await done('cancelled', [5, 5, 5, 5])
  await failOver()
  const before = callers.map(({ accepted }) => accepted.length)
  await done(
    'accepted',
    before.map(count => count + 5),
  )
  await Promise.all(callers.map(caller => caller.end()))

  for (const { device, accepted, cancelled, unsure, codes } of callers) {
    expect([...codes].filter(code => code !== 0 && code !== 99503)).toEqual([])
    const states = await device.states(accepted)
    for (const [i, id] of accepted.entries())
      expect(unsure.has(id) ? [1, 2] : [cancelled.includes(id) ? 2 : 1], id).toContain(states[i])
  }
  const ids = callers.flatMap(({ accepted }) => accepted)
  expect(new Set(ids).size).toBe(ids.length)
  expect((await app.on({ assetId: 'a1' }).set(1, { pendingTtl: '0' })).code).toBe(0)
  expect([closed, device.client.connected]).toEqual([0, true])
})

test('with an asynchronous one that lags, what was promised is forgotten, and a node that it concerns ends', {
  timeout: 60_000,
}, async () => {
  const server = await serve('--fleet', join(folder, 'fleet.json'))
  const app = new Application(server.httpUrl, APP)
  const calls = app.on({ assetId: 'a1' })
  const [cancelled] = await calls.queue(1)
  const [{ at } = {}] = await primary.sql(DATABASE, 'select pg_current_wal_lsn()::text as at')
  await soon(async () =>
    expect(await standby.sql(DATABASE, `select pg_last_wal_replay_lsn() >= $1::pg_lsn as there`, [at])).toEqual([
      { there: true },
    ]),
  )
  await standby.sql(DATABASE, `alter system set primary_conninfo = ''`)
  await standby.sql(DATABASE, 'select pg_reload_conf()')
  await soon(async () => expect(await primary.sql(DATABASE, 'select pid from pg_stat_replication')).toEqual([]))
  expect((await calls.cancel(cancelled)).data).toMatchObject([{ commandId: cancelled, state: 2 }])
  const [accepted] = await calls.queue(1)
  await failOver()

  // It may take some attempts until it has noticed that its connections lead elsewhere.
  await soon(async () => expect((await calls.get(cancelled!)).data?.state).toBe(1))
  expect((await calls.get(accepted!)).code).toBe(11404)
  expect((await calls.set(1)).code).toBe(99503)
  await server.ended
})

/** Sends and cancels, one call after the other, and remembers what was answered. */
class Caller {
  readonly accepted: string[] = []
  readonly cancelled: string[] = []
  /** whose cancel was answered with neither yes nor no */
  readonly unsure = new Set<string>()
  readonly codes = new Set<number>()
  readonly device: DeviceCalls
  #isOver = false
  readonly #ended: Promise<void>

  constructor(device: DeviceCalls) {
    this.device = device
    this.#ended = this.#call()
  }

  async #call(): Promise<void> {
    while (!this.#isOver) {
      const { code, data } = await this.device.set(this.accepted.length)
      this.codes.add(code)
      if (code !== 0) continue
      this.accepted.push(data.commandId)
      // So that fewer wait than a device may have.
      const waiting = this.accepted.filter(id => !this.cancelled.includes(id) && !this.unsure.has(id))
      const [oldest] = waiting
      if (oldest === undefined || waiting.length < WAITING) continue
      const answer = await this.device.cancel(oldest)
      this.codes.add(answer.code)
      if (answer.code !== 0) this.unsure.add(oldest)
      else this.cancelled.push(...answer.data.map((command: { commandId: string }) => command.commandId))
    }
  }

  async end(): Promise<void> {
    this.#isOver = true
    await this.#ended
  }
}
