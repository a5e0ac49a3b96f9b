// Several whole servers on one real PostgreSQL: callers on one, devices on another, over signed HTTP and the real mqtt client.
// Nodes that are killed, paused and cut off at random are for the cluster harness (crash/); single rules are in test/engine-nodes.test.ts.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { readServeConfig } from '../src/cli/config.ts'
import { type Server, startServer } from '../src/cli/serve.ts'
import { idNode } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import { NODE_SWEEP_MS } from '../src/core/limits.ts'
import { GATEWAYS, gatewayFleet, TestGateway } from './rig/gateway.ts'
import { type PostgresServer, sharedPostgres, stopSharedPostgres } from './rig/postgres.ts'
import { PostgresProxy } from './rig/postgres-proxy.ts'
import { runHere } from './rig/program.ts'
import { APP, Application, fleetFile, ORG, PRODUCT, TestDevice } from './rig/server.ts'

const KEY = randomBytes(32).toString('base64')
const env = { DOWNLINK_SECRET_KEY: KEY }
const silent = pino({ level: 'silent' })
const instant = { pendingTtl: '0', timeout: '10' }

let postgres: PostgresServer
let folder: string
let url: string
const servers: Server[] = []
const devices: TestDevice[] = []

beforeAll(async () => {
  postgres = await sharedPostgres()
  folder = mkdtempSync(join(tmpdir(), 'downlink-cluster-'))
})
beforeEach(() => writeFileSync(join(folder, 'fleet.json'), fleetFile(20)))
afterEach(async () => {
  for (const device of devices.splice(0)) await device.end()
  for (const server of servers.splice(0)) await server.stop()
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await stopSharedPostgres()
})

async function start(args: string[] = [], store = url, of: Record<string, string> = env): Promise<Server> {
  const base = ['--http', '0', '--mqtt', '0', '--store', store, '--fleet', join(folder, 'fleet.json')]
  const read = readServeConfig([...base, '--ready-after', '50', ...args], of)
  if (!read.ok) throw new Error(read.problems.join('\n'))
  const server = await startServer(read.config, silent)
  servers.push(server)
  return server
}

/** So many nodes on a database of their own. */
async function nodes(count: number, args: string[] = []): Promise<[Server, Server, ...Server[]]> {
  url = postgres.url(await postgres.createDatabase())
  // At once, as after a power cut: one of them makes the schema.
  return (await Promise.all(Array.from({ length: count }, () => start(args)))) as [Server, Server, ...Server[]]
}

const calls = (server: Server, n: number) => new Application(server.httpUrl, APP).on({ assetId: `a${n}` })

async function come(server: Server, n: number): Promise<TestDevice> {
  const device = new TestDevice(server.mqttUrl, `d${n}`)
  devices.push(device)
  return device.connected()
}

const status = async (server: Server, path: string) => (await fetch(`${server.httpUrl}${path}`)).status

describe.each([
  ['signals of PostgreSQL', []],
  // Nobody listens there: whatever is told is lost.
  ['all signals lost', ['--signal', 'nats://127.0.0.1:1']],
] as const)('two nodes, %s', (_, args) => {
  it('deliver here what was accepted there, in order, each after the answer to the one before', async () => {
    const [a, b] = await nodes(2, [...args])
    const there = calls(a, 1)
    const ids = await there.queue(3)
    const device = await come(b, 1)
    await there.until(ids[2] ?? '', 5)
    // The device is connected by now: what comes from the other node goes out too.
    const later = await there.queue(3)
    await there.until(later[2] ?? '', 5)
    expect(device.ids()).toEqual([...ids, ...later])
  })

  it('answer a caller here with what a device said there', async () => {
    const [a, b] = await nodes(2, [...args])
    const device = await come(b, 1)
    device.answer = ({ payload }) => ({ id: payload.id, code: 200, data: { ok: true }, message: 'done' })
    const answer = await calls(a, 1).invoke({ delay: 1 }, instant)
    expect(answer).toMatchObject({ code: 0, data: { outputData: { ok: true } } })
    device.answer = ({ payload }) => ({ id: payload.id, code: 4711, message: 'broken' })
    expect(await calls(a, 1).set(1, instant)).toMatchObject({ code: 4711, msg: 'broken', data: { deviceCode: 4711 } })
  })

  it('carry out once what is called at both with one key, and tell all the same', async () => {
    const [a, b] = await nodes(2, [...args])
    const device = await come(b, 1)
    device.answer = ({ payload }) => ({ id: payload.id, code: 200, data: { ok: true } })
    const apps = [a, b].map(server => new Application(server.httpUrl, APP))
    const params = { orgId: ORG, assetId: 'a1', serviceId: 'reboot', action: 'invokeService' }
    const call = async (i: number, key: string, over: Record<string, string>, delay = 1) => {
      const options = { body: { inputData: { delay } }, headers: { 'idempotency-key': key } }
      const { status, code, data } = await apps[i % 2]!.call({ ...params, ...over }, options)
      return { status, code, data }
    }
    const instants = await Promise.all(Array.from({ length: 10 }, (_, i) => call(i, 'instant', instant)))
    expect(instants[0]).toMatchObject({ code: 0, data: { outputData: { ok: true } } })
    expect(new Set(instants.map(told => JSON.stringify(told))).size).toBe(1)
    const cached = await Promise.all(Array.from({ length: 10 }, (_, i) => call(i, 'cached', { pendingTtl: '60' })))
    expect(new Set(cached.map(told => JSON.stringify(told))).size).toBe(1)
    await device.count(2)
    expect(device.ids()).toEqual([instants[0]?.data.commandId, cached[0]?.data.commandId])
    expect(await call(1, 'instant', instant, 2)).toMatchObject({ status: 409, code: errors.keyReused.code })
    expect((await calls(a, 1).search()).pagination.totalSize).toBe(2)
  })

  it('close the connection of a device that has come to the other', async () => {
    const [a, b] = await nodes(2, [...args])
    const old = await come(a, 1)
    const closed = old.closed()
    const device = await come(b, 1)
    await closed
    expect(await calls(a, 1).set(1, instant)).toMatchObject({ code: 0 })
    expect([old.received.length, device.received.length]).toEqual([0, 1])
  })

  it('close the connection of a device that was disabled on the other', async () => {
    const [a, b] = await nodes(2, [...args])
    const device = await come(b, 1)
    const closed = device.closed()
    const app = new Application(a.httpUrl, APP)
    const params = { action: 'disable', orgId: ORG, assetId: 'a1' }
    expect(await app.call(params, { resource: 'devices' })).toMatchObject({ code: 0 })
    await closed
    expect(await calls(b, 1).set(1, instant)).toMatchObject({ code: errors.offline.code })
  })
})

describe('nodes on one store', () => {
  it('have numbers of their own, which ids bear; ids of a device grow over all of them', async () => {
    const all = await nodes(3)
    const ids: string[] = []
    for (let round = 0; round < 4; round += 1) for (const node of all) ids.push(...(await calls(node, 2).queue(1)))
    expect([...new Set(ids.map(idNode))].sort()).toEqual([0, 1, 2])
    expect([...ids].sort()).toEqual(ids)
  })

  it('do not take a number that is in use', async () => {
    await nodes(2)
    await expect(start(['--node-id', '1'])).rejects.toThrow('node 1 is held by a live node')
  })

  it('cancel on one what waits for a device on the other, and never what has left', async () => {
    const [a, b] = await nodes(2)
    const device = await come(b, 3)
    const held: string[] = []
    device.answer = ({ payload }) => {
      held.push(payload.id)
      return undefined
    }
    const ids = await calls(a, 3).queue(4, { pendingTtl: '600', timeout: '5' })
    await device.count(1)
    const cancelled = await calls(a, 3).cancel()
    expect(cancelled.data.map(({ commandId }: { commandId: string }) => commandId)).toEqual(ids.slice(1))
    expect(await calls(a, 3).cancel(ids[0])).toMatchObject({
      data: [],
      notCancelled: [{ commandId: ids[0], state: 4 }],
    })
    await calls(a, 3).until(ids[0] ?? '', 7)
    expect(device.ids()).toEqual([ids[0]])
  })

  it('take a fleet while they run, and a device that it disables is gone', async () => {
    const [, b] = await nodes(2)
    const device = await come(b, 4)
    const closed = device.closed()
    const fleet = JSON.parse(fleetFile(20))
    fleet.organizations[0].devices.find(({ deviceKey }: { deviceKey: string }) => deviceKey === 'd4').disabled = true
    const file = join(folder, 'disabling.json')
    writeFileSync(file, JSON.stringify(fleet))
    const applied = await runHere(['fleet', 'apply', file, '--store', url], env)
    expect(applied).toMatchObject({ code: 0, stderr: '' })
    await closed
  })

  it('stop one after the other: who waits is told 503 with the command, devices move, nothing is lost', async () => {
    const [a, b] = await nodes(2)
    const device = await come(b, 5)
    device.answer = () => undefined
    const ids = await calls(a, 5).queue(2, { pendingTtl: '600', timeout: '3' })
    await device.count(1)
    const waiting = calls(b, 5).set(9, instant)
    await calls(a, 5).until(await newest(a, 5), 1)
    const closed = device.closed()
    const stopped = servers.splice(servers.indexOf(b), 1)[0]?.stop()
    const told = await waiting
    expect(told).toMatchObject({ status: 503, code: errors.unavailable.code, data: { commandId: expect.any(String) } })
    await closed
    await stopped
    const again = await come(a, 5)
    await calls(a, 5).until(ids[1] ?? '', 5)
    expect(await calls(a, 5).states(ids)).toEqual([7, 5])
    // The instant one did not wait for a device that was away.
    expect((await calls(a, 5).get(told.data.commandId)).data.state).toBe(6)
    expect(again.ids()).toEqual([ids[1]])
  })

  it('serve on for a moment when they are told to stop, not ready any more, and keep no connection', async () => {
    const [, b] = await nodes(2)
    const there = calls(b, 9)
    await there.queue(1)
    const stopped = servers.splice(servers.indexOf(b), 1)[0]?.stop()
    expect(await status(b, '/readyz')).toBe(503)
    expect(await status(b, '/healthz')).toBe(200)
    const { path, headers } = await there.app.sign({ action: 'search', orgId: ORG, assetId: 'a9' })
    const answer = await fetch(b.httpUrl + path, { method: 'POST', headers })
    expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close'])
    expect(((await answer.json()) as { code: number }).code).toBe(0)
    await stopped
  })

  it('end when their number has gone to another life, after which nothing of them is written', async () => {
    const [a] = await nodes(2)
    await postgres.sql(new URL(url).pathname.slice(1), 'update node set epoch = epoch + 1, lease_until = null')
    expect(await calls(a, 6).set(1)).toMatchObject({ status: 503, code: errors.unavailable.code })
    await a.ended
    expect(await status(a, '/readyz')).toBe(503)
  })

  it('refuse another secret key', async () => {
    await nodes(2)
    await expect(start([], url, { DOWNLINK_SECRET_KEY: randomBytes(32).toString('base64') })).rejects.toThrow('key')
  })
})

describe('a gateway on another node', () => {
  it('has its devices there, and is told when one of them is disabled, enabled or deleted here', async () => {
    writeFileSync(join(folder, 'fleet.json'), gatewayFleet(2))
    const [a, b] = await nodes(2)
    const gateway = new TestGateway(b.mqttUrl, 'g1')
    devices.push(gateway)
    await gateway.connected()
    await gateway.loginBatch(['s1', 's2'])
    const app = new Application(a.httpUrl, APP)
    const manage = (action: string) => app.call({ action, orgId: ORG, assetId: 's1' }, { resource: 'devices' })
    expect(await app.on({ assetId: 's1' }).set(1, instant)).toMatchObject({ code: 0 })
    for (const [i, action] of ['disable', 'enable', 'delete'].entries()) {
      expect(await manage(action)).toMatchObject({ code: 0 })
      await gateway.noticed(i + 1)
      expect(gateway.notices[i]).toMatchObject({
        topic: `/ext/session/${GATEWAYS}/g1/combine/${action}`,
        payload: { params: { productKey: PRODUCT, deviceKey: 's1' } },
      })
    }
    expect(await app.on({ assetId: 's2' }).set(1, instant)).toMatchObject({ code: 0 })
  })

  it('is not told that a device is logged in which was sent away here, though it has not heard of that', async () => {
    writeFileSync(join(folder, 'fleet.json'), gatewayFleet(2))
    const [a, b] = await nodes(2, ['--signal', 'nats://127.0.0.1:1'])
    const gateway = new TestGateway(b.mqttUrl, 'g1')
    devices.push(gateway)
    await gateway.connected()
    await gateway.login('s1')
    const app = new Application(a.httpUrl, APP)
    for (const action of ['disable', 'enable'])
      expect(await app.call({ action, orgId: ORG, assetId: 's1' }, { resource: 'devices' })).toMatchObject({ code: 0 })
    expect((await gateway.login('s1')).code).toBe(200)
    expect(await app.on({ assetId: 's1' }).set(1, instant)).toMatchObject({ code: 0 })
    // Also after each node has looked for itself.
    await new Promise(resolve => setTimeout(resolve, NODE_SWEEP_MS + 200))
    expect(await app.on({ assetId: 's1' }).set(1, instant)).toMatchObject({ code: 0 })
  })
})

describe('a node that is cut off from PostgreSQL', () => {
  it('says so, loses nothing, and goes on when it is back; the other goes on all the while', async () => {
    const [a] = await nodes(2)
    const proxy = await PostgresProxy.start(postgres)
    try {
      const cut = await start([], proxy.url(new URL(url).pathname.slice(1)))
      const device = await come(cut, 7)
      expect(await calls(a, 7).set(1, instant)).toMatchObject({ code: 0 })
      // The answer to this one comes while nobody can write it down.
      let answer = (): void => undefined
      device.answer = received => {
        answer = () =>
          void device.client.publish(
            `${received.topic}_reply`,
            JSON.stringify({ id: received.payload.id, code: 200 }),
            {
              qos: 1,
            },
          )
        return undefined
      }
      const [id = ''] = await calls(a, 7).queue(1, { pendingTtl: '600', timeout: '60' })
      await device.count(2)
      const there = calls(cut, 7)
      await there.get(id)
      proxy.down()
      answer()
      const refused = await Promise.all([there.set(2), there.set(3, instant), there.cancel(), there.get(id)])
      for (const each of refused) expect(each).toMatchObject({ status: 503, code: errors.unavailable.code })
      expect([await status(cut, '/readyz'), await status(cut, '/healthz')]).toEqual([503, 200])
      const [elsewhere = ''] = await calls(a, 8).queue(1)
      proxy.up()
      await calls(a, 7).until(id, 5)
      expect((await calls(a, 7).search()).pagination.totalSize).toBe(2)
      await come(a, 8)
      await calls(a, 8).until(elsewhere, 5)
      device.answer = ({ payload }) => ({ id: payload.id, code: 200 })
      const [after = ''] = await calls(a, 7).queue(1)
      await calls(a, 7).until(after, 5)
    } finally {
      for (const server of servers.splice(0)) await server.stop()
      await proxy.stop()
    }
  })
})

describe('a node that is told to stop while PostgreSQL is away', () => {
  it.each([
    ['refuses connections', 'down'],
    ['is silent', 'stall'],
    ['was lost in the middle of a COMMIT', 'doubt'],
  ] as const)('ends in time: it %s', { timeout: 30_000 }, async (_, how) => {
    url = postgres.url(await postgres.createDatabase())
    const proxy = await PostgresProxy.start(postgres)
    const server = await start([], proxy.url(new URL(url).pathname.slice(1)))
    await come(server, 10)
    await calls(server, 11).queue(1)
    let told: Promise<unknown> = Promise.resolve(null)
    if (how === 'down') proxy.down()
    if (how === 'stall') proxy.stallAll(true)
    if (how === 'doubt') {
      proxy.nextCommit('cutAfter', true)
      told = calls(server, 11).set(1)
      while (!proxy.isDown) await new Promise(resolve => setImmediate(resolve))
    }
    const began = performance.now()
    servers.splice(servers.indexOf(server), 1)
    await server.stop()
    expect(performance.now() - began).toBeLessThan(10_000)
    if (how === 'doubt') expect(await told).toMatchObject({ status: 503, code: errors.outcomeUnknown.code })
    await proxy.stop()
  })
})

async function newest(server: Server, n: number): Promise<string> {
  for (;;) {
    const { data } = await calls(server, n).search()
    if (data.length === 3) return data[0].commandId
    await new Promise(resolve => setImmediate(resolve))
  }
}
