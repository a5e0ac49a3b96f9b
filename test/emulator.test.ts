// The emulator: time that leaps with everything in its order, faults of devices, and the command line that starts it.

import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { readServeConfig } from '../src/cli/config.ts'
import { type Emulation, emulate, startEmulation } from '../src/cli/emulate.ts'
import type { Machine } from '../src/clock.ts'
import { VirtualClock } from '../src/emulator/clock.ts'

const ORG = 'o15541858646501'
const PUMP = 'oxWwM9i5'
const HOUR = 3_600_000

/** A machine whose time stands still. */
function still(): Machine & { pass(ms: number): void } {
  let mono = 0
  let timers: { at: number; run: () => void }[] = []
  return {
    mono: () => mono,
    wall: () => 1_800_000_000_000 + mono,
    after: (ms, run) => {
      const timer = { at: mono + ms, run }
      timers.push(timer)
      return () => {
        timers = timers.filter(other => other !== timer)
      }
    },
    pass: ms => {
      mono += ms
      const due = timers.filter(({ at }) => at <= mono)
      timers = timers.filter(({ at }) => at > mono)
      for (const { run } of due) run()
    },
  }
}

describe('the clock', () => {
  it('passes as the machine does, and runs timers at their instants', () => {
    const machine = still()
    const clock = new VirtualClock(machine)
    const ran: number[] = []
    clock.at(clock.now() + 50, () => ran.push(50))
    const callOff = clock.at(clock.now() + 20, () => ran.push(20))
    clock.at(clock.now() + 10, () => ran.push(10))
    callOff()
    machine.pass(10)
    expect(ran).toEqual([10])
    machine.pass(40)
    expect(ran).toEqual([10, 50])
    expect(clock.now()).toBe(1_800_000_000_050)
  })

  it('leaps, meets each exact instant, and lets it come to rest before time goes on', async () => {
    const clock = new VirtualClock(still())
    const start = clock.now()
    const exact = [start + 5_000, start + 70_000, start + 2 * HOUR]
    const met: string[] = []
    for (const instant of exact) clock.at(instant, () => met.push(`ran ${clock.now() - start}`))
    await clock.leap(HOUR, {
      next: async () => exact.find(instant => instant > clock.now()) ?? null,
      rest: async () => void met.push(`rest ${clock.now() - start}`),
    })
    expect(met).toEqual(['ran 5000', 'rest 5000', 'ran 70000', 'rest 70000', `rest ${HOUR}`])
    expect(clock.now()).toBe(start + HOUR)
  })

  it('runs a timer that sets itself anew a bounded number of times on the way', async () => {
    const clock = new VirtualClock(still())
    let runs = 0
    const again = (): void => {
      runs += 1
      clock.at(clock.now() + 200, again)
    }
    again()
    await clock.leap(48 * HOUR, { next: async () => null, rest: async () => undefined })
    expect(runs).toBeGreaterThan(900)
    expect(runs).toBeLessThan(1_100)
  })

  it('goes on by itself after a leap, with what is left', async () => {
    const machine = still()
    const clock = new VirtualClock(machine)
    let ran = false
    clock.at(clock.now() + 2 * HOUR, () => {
      ran = true
    })
    await clock.leap(2 * HOUR - 100, { next: async () => null, rest: async () => undefined })
    machine.pass(99)
    expect(ran).toBe(false)
    machine.pass(1)
    expect(ran).toBe(true)
  })
})

let emulation: Emulation | null = null
afterEach(async () => {
  await emulation?.stop()
  emulation = null
})

async function start(): Promise<void> {
  const args = [
    '--http=0',
    '--mqtt=0',
    '--store=memory:',
    '--auth=open',
    '--fleet=examples/fleet.yaml',
    '--log-level=silent',
  ]
  const read = readServeConfig(args, {})
  if (!read.ok) throw new Error(read.problems.join())
  emulation = await startEmulation(read.config, pino({ level: 'silent' }), true)
}

async function call(method: string, path: string, body?: unknown) {
  const response = await fetch(`${emulation!.server.httpUrl}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return (await response.json()) as { code: number; msg: string; data: Data }
}
/** What any of the answers may have. */
interface Data {
  commandId: string
  state: number
  settledAt: number
  lateReplies: number
}
const command = (action: string, query: string, body?: unknown) =>
  call('POST', `/connect-service/v2.1/commands?action=${action}&orgId=${ORG}&assetId=${PUMP}&${query}`, body)
const state = async (commandId: string) => (await command('get', `commandId=${commandId}`)).data.state
const faults = (of: object) => call('PUT', `/emulator/devices/${PUMP}/faults`, of)
const advance = (advanceMs: number) => call('POST', '/emulator/clock', { advanceMs })

describe('the emulator', () => {
  it('has the devices of the fleet, connected, and answers like them', async () => {
    await start()
    const { data } = (await call('GET', '/emulator/devices')) as unknown as { data: { connected: boolean }[] }
    expect(data.length).toBeGreaterThan(0)
    expect(data.every(device => device.connected)).toBe(true)
    const done = await command('setMeasurepoint', 'measurepointId=Int_value&timeout=10', { value: 5 })
    expect(done.code).toBe(0)
    expect(await state(done.data.commandId)).toBe(5)
  })

  it('sends a device away and lets 48 hours pass in a moment: what waited is expired, in order', async () => {
    await start()
    await faults({ offline: true })
    const ids: string[] = []
    for (const ttl of [600, 172_800, 60])
      ids.push(
        (await command('setMeasurepoint', `measurepointId=Int_value&pendingTtl=${ttl}`, { value: 1 })).data.commandId,
      )
    expect((await advance(61_000)).code).toBe(0)
    expect(await Promise.all(ids.map(state))).toEqual([1, 1, 3])
    const before = performance.now()
    await advance(48 * HOUR)
    expect(performance.now() - before).toBeLessThan(10_000)
    expect(await Promise.all(ids.map(state))).toEqual([3, 3, 3])
    const settledAt = async (id: string) => (await call('GET', `/v1/commands/${id}?orgId=${ORG}`)).data.settledAt
    const [ten = 0, long = 0, short = 0] = await Promise.all(ids.map(settledAt))
    // Each at its own instant, not when the leap was over.
    expect(ten - short).toBeGreaterThan(500_000)
    expect(long - ten).toBeGreaterThan(47 * HOUR)
  })

  it('has it back, and it gets what waited, in order', async () => {
    await start()
    await faults({ offline: true })
    expect((await command('setMeasurepoint', 'measurepointId=Int_value', { value: 1 })).code).toBe(11900)
    const ids: string[] = []
    for (const value of [1, 2, 3])
      ids.push((await command('setMeasurepoint', 'measurepointId=Int_value&pendingTtl=600', { value })).data.commandId)
    expect(await faults({})).toMatchObject({ code: 0, data: { offline: false } })
    await advance(0)
    expect(await Promise.all(ids.map(state))).toEqual([5, 5, 5])
  })

  it('is mute, slow, answers with an error, and twice', async () => {
    await start()
    const send = async () =>
      (await command('setMeasurepoint', 'measurepointId=Int_value&pendingTtl=600&timeout=30', { value: 1 })).data
        .commandId
    await faults({ mute: true })
    const muted = await send()
    await advance(29_000)
    expect(await state(muted)).toBe(4)
    await advance(1_500)
    expect(await state(muted)).toBe(7)

    await faults({ delayMs: 20_000 })
    const slow = await send()
    await advance(19_000)
    expect(await state(slow)).toBe(4)
    await advance(2_000)
    expect(await state(slow)).toBe(5)
    const late = await faults({ delayMs: 40_000 }).then(send)
    await advance(31_000)
    expect(await state(late)).toBe(7)
    await advance(10_000)
    expect(await state(late)).toBe(7)
    expect((await call('GET', `/v1/commands/${late}?orgId=${ORG}`)).data.lateReplies).toBe(1)

    await faults({ errorCode: 2042 })
    expect(await command('setMeasurepoint', 'measurepointId=Int_value&timeout=10', { value: 1 })).toMatchObject({
      code: 2042,
    })
    await faults({ answersTwice: true })
    const twice = (await command('setMeasurepoint', 'measurepointId=Int_value&timeout=10', { value: 1 })).data.commandId
    await expect.poll(async () => (await call('GET', `/v1/commands/${twice}?orgId=${ORG}`)).data.lateReplies).toBe(1)
  })

  it('names what is wrong with a request', async () => {
    await start()
    expect(await faults({ offlin: true })).toMatchObject({ code: 99400, msg: expect.stringContaining('offlin') })
    expect(await faults({ errorCode: 200 })).toMatchObject({ code: 99400, msg: expect.stringContaining('errorCode') })
    expect(await advance(-1)).toMatchObject({ code: 99400, msg: expect.stringContaining('advanceMs') })
    expect(await call('PUT', '/emulator/devices/nobody/faults', {})).toMatchObject({ code: 99404 })
  })
})

describe('downlink emulate', () => {
  const run = async (args: string[], env: Record<string, string> = {}) => {
    const problems: string[] = []
    const terminal = { line: () => undefined, problem: (text: string) => void problems.push(text), colour: false }
    const exit = await emulate(args, env, terminal)
    return { exit, problems: problems.join('\n') }
  }
  it('refuses a store that keeps anything, by option and by environment, and says what to run instead', async () => {
    expect(await run(['--store=postgres://u:secret@h/d'])).toMatchObject({
      exit: 2,
      problems: expect.stringContaining('downlink serve'),
    })
    const refused = await run([], { DOWNLINK_STORE: 'postgres://u:secret@h/d' })
    expect(refused.exit).toBe(2)
    expect(refused.problems).not.toContain('secret')
  })
  it('refuses an address that others can reach', async () => {
    expect(await run(['--http=0.0.0.0:0'])).toMatchObject({ exit: 2, problems: expect.stringContaining('loopback') })
  })
})
