// A process that takes a number: the devices of the number's last life are away, and that is on record before anything else is done; alone with a store, and
// as one of several nodes. What that is in each store is in store-changes.test.ts.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { readServeConfig } from '../src/cli/config.ts'
import { type Node, openNode } from '../src/cli/node.ts'
import { openPostgres } from '../src/store/postgres.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import type { Store } from '../src/store/store.ts'
import { databaseFor, stopSharedPostgres } from './rig/postgres.ts'
import { addDevices, changeOf, commit, loadOne, T0 } from './rig/store.ts'

const quiet = pino({ level: 'silent' })
let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-node-'))
})
afterEach(() => rmSync(folder, { recursive: true }))
afterAll(stopSharedPostgres)

/** A device that is connected to node 0 as far as is on record: its process was killed. */
async function connected(store: Store): Promise<number> {
  const [device] = await addDevices(store, 'a1')
  const online = { sessionNo: 1, sessionNode: 0, lastOnlineAt: T0 }
  await commit(store, changeOf({ ...(await loadOne(store, device!)), ...online }))
  return device!
}

async function start(url: string, store: Store): Promise<Node> {
  const env = { DOWNLINK_SECRET_KEY: randomBytes(32).toString('hex') }
  const read = readServeConfig(['--store', url, '--node-id', '0', '--auth', 'open', '--http', '0', '--mqtt', '0'], env)
  if (!read.ok) throw new Error(read.problems.join('; '))
  return openNode(read.config, quiet, store, () => undefined)
}

test('alone: sessions of the life before are over', async () => {
  const store = openSqlite(join(folder, 'x.db'))
  const device = await connected(store)
  const node = await start(`sqlite:${join(folder, 'x.db')}`, store)
  expect(await loadOne(store, device)).toMatchObject({ sessionNode: null, lastOfflineAt: T0, version: 2 })
  await node.leave()
  await store.close()
})

test('among others: sessions of the life before are over, those of others are not', async () => {
  const url = await databaseFor(folder)
  const before = await openPostgres(url)
  await before.takeNode(0, 0)
  const device = await connected(before)
  const [other] = await addDevices(before, 'a2')
  await commit(before, changeOf({ ...(await loadOne(before, other!)), sessionNo: 1, sessionNode: 3 }))
  await before.close()
  const store = await openPostgres(url)
  const node = await start(url, store)
  expect(node.node).toBe(0)
  expect(await loadOne(store, device)).toMatchObject({ sessionNode: null, lastOfflineAt: T0 })
  expect(await loadOne(store, other!)).toMatchObject({ sessionNode: 3 })
  await node.leave()
  await store.close()
})
