// The built server and real devices: a cancel by filter, and jobs, while devices come back and the server is killed. What bench/cancel-many.ts shows at full size.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from '@photostructure/sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cancelMany, type Target } from '../bench/rig/cancel-many.ts'
import { writeFleet } from '../bench/rig/server.ts'
import { type ServerProcess, spawnServer } from './rig/process.ts'
import { Program } from './rig/program.ts'
import { APP, Application, fleetFile, ORG, PRODUCT, TestDevice } from './rig/server.ts'

let program: Program
beforeAll(() => {
  program = new Program()
})
afterAll(() => program.remove())

const asTarget = (server: ServerProcess): Target => ({
  httpUrl: new URL(server.httpUrl),
  mqttUrl: new URL(server.mqttUrl),
  kill: server.kill,
  stop: async () => void expect(await server.stop()).toBe(0),
})

describe('a cancel by filter over 2,000 commands on 200 devices, 50 of which come back meanwhile', () => {
  it.each([0, 2])(
    'agrees with the event log to the last command, the server being killed %i times',
    async kills => {
      const file = join(program.folder, `cancel-${kills}.db`)
      const fleet = writeFleet(program.folder, 200)
      const report = await cancelMany({
        start: async ({ http, mqtt }) => {
          const args = ['--http', http, '--mqtt', mqtt, '--store', `sqlite:${file}`, '--fleet', fleet]
          return asTarget(await spawnServer(program, [...args, '--ready-after', '50']))
        },
        ...{ file, devices: 200, each: 10, returning: 50, kills },
        say: () => undefined,
      })
      expect(report.disagreements).toEqual([])
      expect(report.commands).toBe(2_000)
      // Both happened: otherwise nothing was shown.
      expect(report.cancelled).toBeGreaterThan(1_000)
      expect(report.received).toBeGreaterThan(5)
    },
    120_000,
  )
})

describe('a job whose server is killed again and again', () => {
  const DEVICES = 400
  const KILLS = 5

  it('makes one command for each device, and ends', async () => {
    const store = join(program.folder, 'jobs.db')
    const fleet = join(program.folder, 'jobs.json')
    writeFileSync(fleet, fleetFile(DEVICES - 1))
    const start = (http = '0', mqtt = '0') => {
      const args = ['--http', http, '--mqtt', mqtt, '--store', `sqlite:${store}`, '--fleet', fleet]
      return spawnServer(program, [...args, '--ready-after', '50'])
    }
    let server = await start()
    const app = new Application(server.httpUrl, APP)
    app.token = await app.getToken()
    const ports = [server.httpUrl, server.mqttUrl].map(url => new URL(url).port) as [string, string]
    const ask = (action: string, query: Record<string, string>, body?: unknown) =>
      app.call({ action, orgId: ORG, ...query }, { body, resource: '/connect-service/v2.5/commands' })

    const created = await ask(
      'createJob',
      {},
      {
        name: { defaultValue: 'killed' },
        desc: '',
        targetScope: { targetType: 'product_key', targetDevices: [{ productKey: PRODUCT }] },
        schedulePolicy: { scheduleType: 'DISPOSABLE' },
        timeoutPolicy: { ttlTimeoutInSeconds: 600 },
        commandInfo: {
          commandType: 'SERVICE_INVOKE',
          serviceInvokeInfo: { serviceId: 'reboot', inputData: { delay: 1 } },
        },
      },
    )
    expect(created.code).toBe(0)
    const jobId = created.data as string
    for (let n = 0; n < KILLS; n++) {
      // At once at first, then a little later each time: somewhere in the making of tasks, of commands, of their records.
      await new Promise(resolve => setTimeout(resolve, n * 15))
      await server.kill()
      server = await start(...ports)
    }
    const until = async (isMet: (counts: Record<string, number>) => boolean) => {
      for (;;) {
        const { data } = await ask('queryStatistics', { jobId })
        if (isMet(data)) return data
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    }
    await until(({ queued }) => queued === DEVICES)
    const devices = [1, 2, 3].map(n => new TestDevice(server.mqttUrl, `d${n}`))
    for (const device of devices) await device.connected()
    await until(({ succeed }) => succeed === 3)
    for (const device of devices) {
      expect(device.received.length).toBe(1)
      await device.end()
    }
    const tasks = await ask(
      'searchTask',
      {},
      { expression: `jobId = '${jobId}'`, pagination: { pageNo: 1, pageSize: 1_000 } },
    )
    expect(tasks.data.length).toBe(DEVICES)
    const ids = new Set(tasks.data.map((task: { commandId: string }) => task.commandId))
    const assets = new Set(tasks.data.map((task: { assetId: string }) => task.assetId))
    expect([ids.size, assets.size]).toEqual([DEVICES, DEVICES])

    // What is left is taken back with the job, in the middle of which the server is killed once more.
    const deletion = ask('deleteJob', { jobId }).catch((error: unknown) => error)
    await new Promise(resolve => setTimeout(resolve, 5))
    await server.kill()
    await deletion
    server = await start(...ports)
    for (;;) {
      const answer = await ask('deleteJob', { jobId })
      if (answer.code === 99404) break
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    // A deleted job is not found from that moment on; what it had queued may take a little longer.
    const waiting = async (): Promise<number> => {
      const body = { filter: { all: true }, dryRun: true }
      const { data } = await app.call({ orgId: ORG }, { body, resource: '/v1/cancellations' })
      for (;;) {
        const resource = `/v1/cancellations/${data.cancellationId}`
        const row = (await app.call({ orgId: ORG }, { method: 'GET', resource })).data
        if (row.status === 'ended') return row.matched
      }
    }
    while ((await waiting()) > 0) await new Promise(resolve => setTimeout(resolve, 50))
    expect(await server.stop()).toBe(0)
    const db = new DatabaseSync(store, { readOnly: true })
    const states = db.prepare('select state, count(*) as n from command group by state order by state').all()
    const perDevice = db.prepare('select count(*) as n from command group by device_id having count(*) > 1').all()
    db.close()
    expect(states).toEqual([
      { state: 2, n: DEVICES - 3 },
      { state: 5, n: 3 },
    ])
    expect(perDevice).toEqual([])
  }, 120_000)
})
