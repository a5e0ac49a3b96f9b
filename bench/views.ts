// What reads for people cost where there are many devices: medians of each view, in SQLite and PostgreSQL, through the store itself. A fifth of the devices
// has something that waits, half of them are connected, and a tenth has a command that is sent and not answered.
// Not a test: machines are noisy, and the database has the machine to itself here.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Command, Kind, makeId, State } from '../src/core/command.ts'
import { BATCH_MAX_INPUTS } from '../src/core/limits.ts'
import type { Nodes } from '../src/store/nodes.ts'
import { openPostgres } from '../src/store/postgres.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import type { DeviceRow, Store } from '../src/store/store.ts'
import type { DeviceCondition, DeviceQuery } from '../src/store/views.ts'
import { startPostgres } from '../test/rig/postgres.ts'
import { quantile } from './rig/figures.ts'

const { values } = parseArgs({
  options: {
    devices: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '15' },
    store: { type: 'string', default: 'both' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log('npm run bench:views -- [--devices 100000] [--rounds 15 of each view] [--store sqlite|postgres|both]')
  process.exit(0)
}
const devices = Number(values.devices)
const rounds = Number(values.rounds)

const ORG = 'o15541858646501'
const PRODUCTS = ['bXuuAik0', 'bXuuAik1', 'bXuuAik2', 'bXuuAik3', 'bXuuAik4'] as const
const NOW = 1_700_000_000_000
const MINUTE = 60_000
/** devices that are added in one call */
const PAGE = 5_000

const rowOf = (n: number): DeviceRow => ({
  assetId: `oxWw${String(n).padStart(6, '0')}`,
  orgId: ORG,
  productKey: PRODUCTS[n % PRODUCTS.length] ?? PRODUCTS[0],
  deviceKey: `device_${n}`,
  secret: `v1:${'x'.repeat(64)}`,
  nameJson: JSON.stringify({ defaultValue: `Pump number ${n}`, i18nValue: { en_US: `Pump ${n}`, zh_CN: `水泵 ${n}` } }),
  timezone: '+08:00',
  disabled: n % 97 === 0,
  gatewayAssetId: null,
  certificateSerial: null,
})

const commandOf = (n: number, state: State): Command => ({
  id: makeId(NOW + Math.floor(n / 1_000), 0, n % 1_000),
  state,
  kind: Kind.set,
  identifier: 'setpoint',
  timeoutS: 30,
  pendingTtlS: 3_600,
  expireAt: NOW + 3_600_000,
  deadlineAt: state === State.sent ? NOW + 30_000 : null,
  createdAt: NOW + Math.floor(n / 1_000),
  sentAt: state === State.sent ? NOW : null,
  settledAt: null,
  sentSession: state === State.sent ? 1 : null,
  createdBy: 'bench',
  code: null,
  lateReplies: 0,
})

const body = {
  nameJson: '{"defaultValue":"Set point","i18nValue":{}}',
  inputJson: '{"value":21.5}',
  outputJson: null,
  deviceCode: null,
  deviceMessage: null,
}

async function fill(store: Store & Nodes): Promise<void> {
  if ((await store.takeNode(0, 3_600_000)) === null) throw new Error('node 0 is taken')
  const products = PRODUCTS.map(productKey => ({
    productKey,
    orgId: ORG,
    secret: 's',
    modelId: null,
    json: '{"productType":"Device"}',
  }))
  await store.addFleet(
    { organizations: [{ orgId: ORG, name: 'Bench' }], applications: [], models: [], products, devices: [] },
    NOW,
  )
  for (let from = 0; from < devices; from += PAGE)
    await store.addDevices(
      Array.from({ length: Math.min(PAGE, devices - from) }, (_, n) => rowOf(from + n)),
      NOW,
    )
  let commandNo = 0
  for (let from = 1; from <= devices; from += BATCH_MAX_INPUTS) {
    const ids = Array.from({ length: Math.min(BATCH_MAX_INPUTS, devices - from + 1) }, (_, n) => from + n)
    const queues = await store.load(ids.map(deviceId => ({ deviceId, commandIds: [] })))
    const changes = queues.flatMap(queue => {
      if (queue === null || queue.disabled) return []
      const [isConnected, isWaiting] = [queue.deviceId % 2 === 0, queue.deviceId % 5 === 0]
      const created = isWaiting
        ? Array.from({ length: 1 + (queue.deviceId % 8) }, () => commandOf(commandNo++, State.created))
        : []
      const sent = isWaiting && isConnected ? [commandOf(commandNo++, State.sent)] : []
      const commands = [...sent, ...created]
      const events = commands.map(({ id }, n) => ({
        ...{ seq: n + 1, commandId: id, from: null, to: State.created, at: NOW + (queue.deviceId % 60) * MINUTE },
        ...{ by: 'bench', reason: 'accepted', detail: null },
      }))
      const activeAt = queue.deviceId % 3 === 0 ? null : NOW
      const standing = { ...queue, sessionNode: isConnected ? 0 : null, activeAt, eventSeq: events.length }
      return [
        { queue: standing, inserts: commands.map(command => ({ command, body })), updates: [], outcomes: [], events },
      ]
    })
    await store.commit({ node: 0, lastCommandId: null, now: NOW + (from % 3_600) * 1_000, changes })
    await store.saveData(
      ids.flatMap(deviceId => [
        { type: 'tags', deviceId, set: [['site', `site-${deviceId % 50}`]], remove: [] } as const,
        { type: 'attributes', deviceId, set: [['floor', String(deviceId % 20)]], remove: [] } as const,
      ]),
    )
  }
}

const every: DeviceQuery = { orgId: ORG, reach: 'all', productKey: null, status: null, text: null, waiting: false }
const SCAN = 10_000
const middle = Math.floor(devices / 2)
const list = (over: Partial<DeviceQuery>) => (store: Store) =>
  store.listDevices({ ...every, ...over }, middle, 50, SCAN)
const search = (condition: DeviceCondition | null) => (store: Store) =>
  store.searchDevices(ORG, 'all', condition, 0, 50)

const views: readonly (readonly [string, (store: Store) => Promise<unknown>])[] = [
  ['counts', store => store.counts(ORG, null)],
  ['counts of two products', store => store.counts(ORG, PRODUCTS.slice(0, 2))],
  ['list', list({})],
  ['list of a product', list({ productKey: PRODUCTS[1] })],
  ['list online', list({ status: 'online' })],
  ['list offline', list({ status: 'offline' })],
  ['list disabled, of a product', list({ status: 'disabled', productKey: PRODUCTS[1] })],
  ['list waiting', list({ waiting: true })],
  ['list waiting and offline', list({ waiting: true, status: 'offline' })],
  ['list by the beginning of a key', list({ text: `device_${middle + 9}` })],
  ['list by a part of a name', list({ text: 'PUMP number' })],
  [`list by a name that none of ${SCAN} has`, list({ text: '阀门' })],
  [`list by one that no index helps with (${SCAN})`, list({ text: 'ö' })],
  ['list of a few assets', list({ reach: { productKeys: [], assetIds: [rowOf(middle + 100).assetId] } })],
  ['top 10 by what waits', store => store.topDevices(every, 'waiting', 10)],
  ['top 10 by the oldest', store => store.topDevices(every, 'oldest', 10)],
  ['waitingDevices, 500', store => store.waitingDevices(ORG, null, middle, 500)],
  ['one line', store => store.deviceLine(middle)],
  ['command by id', store => store.commandById(makeId(NOW, 0, 7))],
  ['tallies of an hour', store => store.tallies(ORG, null, NOW - (NOW % MINUTE), NOW + 60 * MINUTE, 5 * MINUTE)],
  ['search: all', search(null)],
  ['search: an assetId', search({ op: 'in', field: 'assetId', values: [rowOf(middle).assetId] })],
  [
    'search: ten deviceKeys',
    search({ op: 'in', field: 'deviceKey', values: Array.from({ length: 10 }, (_, n) => `device_${n * 7}`) }),
  ],
  ['search: a product', search({ op: 'in', field: 'productKey', values: [PRODUCTS[1]] })],
  ['search: a status', search({ op: 'in', field: 'status', values: ['offline'] })],
  ['search: a rare name', search({ op: 'name', locale: null, text: 'number 4242' })],
  ['search: a name that all have', search({ op: 'name', locale: null, text: 'pump' })],
  ['search: a tag', search({ op: 'label', of: 'tags', key: 'site', values: ['site-7'] })],
  ['search: an attribute', search({ op: 'label', of: 'attributes', key: 'floor', values: ['7'] })],
]

/** How long something takes, and the longest time in it in which the process did nothing else. */
async function timed(work: () => Promise<unknown>): Promise<{ readonly ms: number; readonly stallMs: number }> {
  let isOver = false
  let [last, stallMs] = [performance.now(), 0]
  const tick = (): void => {
    const now = performance.now()
    stallMs = Math.max(stallMs, now - last)
    last = now
    if (!isOver) setImmediate(tick)
  }
  setImmediate(tick)
  const from = performance.now()
  await work()
  isOver = true
  tick()
  return { ms: performance.now() - from, stallMs }
}

async function measure(title: string, store: Store & Nodes): Promise<void> {
  const startedAt = performance.now()
  await fill(store)
  console.log(`\n${title}: ${devices} devices, filled in ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`)
  console.log(JSON.stringify(await store.counts(ORG, null)))
  console.log(`  ${'ms'.padEnd(48)}   median     best  at once`)
  for (const [name, ask] of views) {
    const times: number[] = []
    const stalls: number[] = []
    for (let round = 0; round <= rounds; round++) {
      const { ms, stallMs } = await timed(() => ask(store))
      // The first one prepares what is asked.
      if (round === 0) continue
      times.push(ms)
      stalls.push(stallMs)
    }
    const figures = [quantile(times, 0.5), Math.min(...times), quantile(stalls, 0.5)]
    console.log(`  ${name.padEnd(48)} ${figures.map(ms => ms.toFixed(2).padStart(8)).join(' ')}`)
  }
}

if (values.store !== 'postgres') {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-bench-'))
  const store = openSqlite(join(folder, 'bench.db'))
  try {
    await measure('sqlite', store)
  } finally {
    await store.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
if (values.store !== 'sqlite') {
  const server = await startPostgres({
    settings: { autovacuum: 'on', autovacuum_naptime: '1s', max_wal_size: '2GB', shared_buffers: '256MB' },
  })
  try {
    const store = await openPostgres(server.url(await server.createDatabase()))
    try {
      await measure('postgres', store)
    } finally {
      await store.close()
    }
  } finally {
    await server.stop()
  }
}
