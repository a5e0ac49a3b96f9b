// A server that is stopped while a job makes instant commands for devices that are there: what it has made is sent, and what it has not made is still to be
// done. Not here: what a stop does to the steps of jobs one by one (jobs.test.ts).

import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { State } from '../src/core/command.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import { jobBody } from './rig/jobs.ts'
import { fleetFile, ORG, startRig, TestDevice } from './rig/server.ts'

const DEVICES = 40
const keys = Array.from({ length: DEVICES }, (_, i) => `d${i + 1}`)
const assets = keys.map((_, i) => ({ assetId: `a${i + 1}` }))
const body = {
  ...jobBody,
  targetScope: { targetType: 'device_list', targetDevices: assets },
  timeoutPolicy: { ttlTimeoutInSeconds: 0, inProgressTimeoutInSeconds: 30 },
}

// The turns of the loop are there so that the stop comes before, in and after the step that makes the commands.
test('none of its commands fails because the server was stopped', async () => {
  for (const turns of [0, 1, 2]) {
    const rig = await startRig([], fleetFile(DEVICES))
    const devices = await Promise.all(keys.map(key => new TestDevice(rig.server.mqttUrl, key).connected()))
    // Each has answered one, so that it is known to be ready for the next.
    const answers = await Promise.all(assets.map(asset => rig.app.on(asset).set(1, {})))
    expect(answers.map(({ code }) => code)).toEqual(keys.map(() => 0))
    for (const device of devices) device.answer = () => undefined
    const params = { action: 'createJob', orgId: ORG }
    const created = await rig.app.call(params, { body, resource: '/connect-service/v2.5/commands' })
    expect(created.code).toBe(0)
    for (let n = 0; n < turns; n++) await new Promise(resolve => setImmediate(resolve))
    await rig.server.stop()
    await Promise.all(devices.map(device => device.end()))
    const store = await openSqlite(join(rig.folder, 'downlink.db'))
    const states = await store.countByState()
    const tasks = await store.countTasks(created.data)
    await store.close()
    rmSync(rig.folder, { recursive: true })
    const sent = states.get(State.sent) ?? 0
    expect([...states.keys()].sort(), `${turns}`).toEqual(sent > 0 ? [State.sent, State.succeeded] : [State.succeeded])
    expect((tasks.get('INIT') ?? 0) + (tasks.get('QUEUED') ?? 0) + (tasks.get('PUBLISHED') ?? 0)).toBe(DEVICES)
    expect((tasks.get('QUEUED') ?? 0) + (tasks.get('PUBLISHED') ?? 0)).toBe(sent)
  }
}, 60_000)
