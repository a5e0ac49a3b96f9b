// kill -9: what was acknowledged is there afterwards, what was cancelled is never delivered, what was in flight is not sent again.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ServerProcess, spawnServer } from './rig/process.ts'
import { Program } from './rig/program.ts'
import { APP, Application, type DeviceCalls, fleetFile, TestDevice } from './rig/server.ts'

const DEVICES = 20
const EACH = 50

const program = new Program()
const { folder } = program
let server: ServerProcess
const args = () => {
  const store = `sqlite:${join(folder, 'downlink.db')}`
  return ['--http', '0', '--mqtt', '0', '--store', store, '--fleet', join(folder, 'fleet.json'), '--ready-after', '50']
}

beforeAll(async () => {
  writeFileSync(join(folder, 'fleet.json'), fleetFile(DEVICES + 1))
  server = await spawnServer(program, args())
})
afterAll(async () => {
  await program.remove()
})

const calls = (app: Application, n: number): DeviceCalls => app.on({ assetId: `a${n}` })

describe('kill -9 with 1,000 commands queued and one in flight', () => {
  it('loses nothing, revives nothing, repeats nothing', async () => {
    const app = new Application(server.httpUrl, APP)
    app.token = await app.getToken()
    const devices = Array.from({ length: DEVICES }, (_, i) => i + 1)
    const ids = new Map(
      await Promise.all(devices.map(async n => [n, await calls(app, n).queue(EACH, { pendingTtl: '3600' })] as const)),
    )
    // One command of one more device is in flight: delivered, not answered.
    const flying = new TestDevice(server.mqttUrl, `d${DEVICES + 1}`)
    flying.answer = () => undefined
    await flying.connected()
    const [inFlight, behind] = await calls(app, DEVICES + 1).queue(2, { pendingTtl: '3600', timeout: '3' })
    await flying.count(1)
    // Cancels are under way when the process dies: what was reported counts.
    const reported = new Set<string>()
    const cancels = devices.map(async n => {
      for (const id of (ids.get(n) ?? []).slice(0, 5)) {
        const answer = await calls(app, n).cancel(id)
        for (const command of answer.data) reported.add(command.commandId)
        if (reported.size === 40) await server.kill()
      }
    })
    await Promise.allSettled(cancels)
    await server.kill()
    await flying.end()
    expect(reported.size).toBeGreaterThanOrEqual(40)

    server = await spawnServer(program, args())
    const after = new Application(server.httpUrl, APP)
    // Tokens are kept too.
    after.token = app.token
    const before = new Map<string, number>()
    for (const n of devices) {
      const page = { pagination: { pageNo: 1, pageSize: 200 } }
      const { data, pagination } = await calls(after, n).search(page)
      expect(pagination.totalSize).toBe(EACH)
      for (const { commandId, state } of data) before.set(commandId, state)
    }
    const all = [...ids.values()].flat()
    expect([...before.keys()].sort()).toEqual([...all].sort())
    for (const id of reported) expect(before.get(id)).toBe(2)
    const cancelled = new Set(all.filter(id => before.get(id) === 2))
    // A cancel whose answer the crash swallowed may have been made durable; nothing else may have changed.
    for (const id of all) expect([1, 2]).toContain(before.get(id))

    const back = new TestDevice(server.mqttUrl, `d${DEVICES + 1}`)
    await back.connected()
    await calls(after, DEVICES + 1).until(inFlight!, 7)
    await calls(after, DEVICES + 1).until(behind!, 5)
    expect(back.ids()).toEqual([behind])
    await back.end()

    for (const n of devices) {
      const device = new TestDevice(server.mqttUrl, `d${n}`)
      await device.connected()
      const wanted = (ids.get(n) ?? []).filter(id => !cancelled.has(id))
      await calls(after, n).until(wanted.at(-1)!, 5)
      expect(device.ids()).toEqual(wanted)
      await device.end()
    }
  }, 60_000)
})

describe('SIGTERM', () => {
  it('tells who waits, and ends in order with exit code 0', async () => {
    const app = new Application(server.httpUrl, APP)
    const device = new TestDevice(server.mqttUrl, 'mqtt_01')
    device.answer = () => undefined
    await device.connected()
    const seed = app.on({ assetId: 'oxWwM9i5' })
    const waiting = seed.set(1, { pendingTtl: '0', timeout: '30' })
    await device.count(1)
    const cached = await seed.set(2)
    const code = server.stop()
    const answer = await waiting
    expect(answer).toMatchObject({ status: 503, code: 99503, data: { state: 4 } })
    expect(await code).toBe(0)
    await device.end()

    server = await spawnServer(program, args())
    const again = new Application(server.httpUrl, APP).on({ assetId: 'oxWwM9i5' })
    expect((await again.get(answer.data.commandId)).data.state).toBe(4)
    expect((await again.get(cached.data.commandId)).data.state).toBe(1)
  }, 30_000)
})

describe('a second server on the same file', () => {
  it('refuses to start and says why', async () => {
    const second = await spawnServer(program, args()).then(
      () => 'started',
      (error: Error) => error.message,
    )
    expect(second).toContain('downlink.db')
    expect(second).toMatch(/another|already|in use/)
  })
})
