// `downlink command cancel-many` against a real server: what is asked for, what is printed, and the exit codes.

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { runHere } from './rig/program.ts'
import { APP, fleetFile, ORG, PRODUCT, READER, type Rig, startRig, TestDevice } from './rig/server.ts'

let rig: Rig
let env: Record<string, string>
beforeAll(async () => {
  rig = await startRig([], fleetFile(3))
  env = {
    DOWNLINK_SERVER: rig.server.httpUrl,
    DOWNLINK_ORG: ORG,
    DOWNLINK_APP_KEY: APP.appKey,
    DOWNLINK_APP_SECRET: APP.appSecret,
  }
})
afterAll(() => rig.stop())
beforeEach(async () => {
  for (const n of [1, 2, 3]) await rig.app.on({ assetId: `a${n}` }).cancel()
})

const cancelMany = (...args: string[]) => runHere(['command', 'cancel-many', ...args], env)
const on = (n: number) => rig.app.on({ assetId: `a${n}` })

describe('cancel-many', () => {
  it('cancels what is meant, and says how many that were', async () => {
    const [one] = await on(1).queue(1)
    const other = (await on(2).invoke({ delay: 1 })).data.commandId
    const { code, stdout, stderr } = await cancelMany('--product', PRODUCT, '--service', 'reboot')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^[0-9a-f]{24} ended: 1 cancelled, 0 not cancelled\n$/)
    expect([await on(1).states([one!]), await on(2).states([other])]).toEqual([[1], [2]])
  })

  it('tells of each command, and in a dry run cancels none', async () => {
    const [one] = await on(1).queue(1)
    const [two] = await on(2).queue(1)
    const dry = await cancelMany('--asset-id', 'a1, a2', '--point', 'Int_value', '--dry-run', '--list')
    expect(dry.stdout).toMatch(
      new RegExp(
        `^${one} {2}a1 {2}would be cancelled\n${two} {2}a2 {2}would be cancelled\n[0-9a-f]{24} dry run: 2 would`,
      ),
    )
    expect(await on(1).states([one!])).toEqual([1])
    const real = await cancelMany('--asset-id', 'a1', '--list')
    expect(real.stdout).toMatch(new RegExp(`^${one} {2}a1 {2}cancelled\n`))
  })

  it('prints what came as it came with --json', async () => {
    await on(3).queue(2)
    const { code, stdout } = await cancelMany('--all', '--json', '--list')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ code: 0, data: { status: 'ended', matched: 2, cancelled: 2 } })
  })

  it('leaves alone what is sent, and what is younger', async () => {
    const device = new TestDevice(rig.server.mqttUrl, 'd1')
    device.answer = () => undefined
    await device.connected()
    const [sent, behind] = await on(1).queue(2)
    await device.count(1)
    expect((await cancelMany('--older-than', '3600', '--application', APP.appKey)).stdout).toMatch(/ 0 cancelled/)
    expect((await cancelMany('--application', APP.appKey)).stdout).toMatch(/ 1 cancelled, 0 not cancelled/)
    expect(await on(1).states([sent!, behind!])).toEqual([4, 2])
    await device.end()
  })

  it('is refused by the server for who may not, and for what is not there', async () => {
    const reader = { ...env, DOWNLINK_APP_KEY: READER.appKey, DOWNLINK_APP_SECRET: READER.appSecret }
    const denied = await runHere(['command', 'cancel-many', '--all'], reader)
    expect([denied.code, denied.stdout]).toEqual([1, ''])
    expect(denied.stderr).toMatch(/refused with 99403/)
    const unknown = await cancelMany('--product', 'nothing')
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringMatching(/no product nothing/)])
  })

  it.each([
    [[], 'say which commands, or --all'],
    [['--dry-run'], 'say which commands, or --all'],
    [['--all', '--service', 'reboot'], '--all stands alone'],
    [['--service', 'a', '--point', 'b'], 'give either --service or --point'],
    [['--service', 'a/b'], '--service: must be 1 to 64'],
    [['--product', ''], '--product: must be 1 to 100 keys'],
    [['--product', 'a,,b'], '--product: must be 1 to 100 keys'],
    [['--older-than', 'yesterday'], 'is not an integer from 0 to 172800'],
  ])('with %j is a mistake of the command line', async (args, message) => {
    const [id] = await on(1).queue(1)
    const { code, stdout, stderr } = await cancelMany(...args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(message)
    expect(await on(1).states([id!])).toEqual([1])
  })
})
