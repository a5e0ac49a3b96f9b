// Reconnect storm: commands wait for many devices, and all of these come back within a second. How fast they get everything, and how fast it is answered.

import { setTimeout as sleep } from 'node:timers/promises'
import { contenders } from '../contenders/contenders.ts'
import { mosquitto } from '../contenders/mosquitto.ts'
import type { Caller } from '../rig/caller.ts'
import type { Contender } from '../rig/contender.ts'
import type { Turns } from '../rig/loops.ts'
import { RawDevices } from '../rig/raw-devices.ts'
import { type Figures, measured, type Scenario, type Stand, standing } from '../rig/scenario.ts'

const DEVICES = 1_000
const EACH = 50
/** to see that it works */
const QUICK = { devices: 20, each: 5 }
const CONNECTIONS = 64
const TTL_S = 172_800
/** ms over which they come back, one after the other */
const SPREAD_MS = 1_000
/** ms after which the storm has failed: no contender needs half of it */
const OVER_WAIT_MS = 180_000
const LOOK_MS = 10
/** ms for which it is watched, when all is answered, whether anything comes twice */
const SURPLUS_WAIT_MS = 500

/** What the devices saw; times in ms. */
class Tally {
  /** commands by device, as they came */
  readonly received: string[][]
  readonly cameAt: number[] = []
  /** of each command: from its device's return until its answer was acknowledged */
  readonly latenciesMs: number[] = []
  lastReceivedAt = 0
  lastAnswerAt = 0

  constructor(devices: number) {
    this.received = Array.from({ length: devices }, () => [])
  }

  readonly take = (device: number, commandId: string): void => {
    this.lastReceivedAt = performance.now()
    this.received[device]!.push(commandId)
  }

  readonly acknowledge = (device: number): void => {
    this.lastAnswerAt = performance.now()
    this.latenciesMs.push(this.lastAnswerAt - this.cameAt[device]!)
  }
}

/** So many commands for each device, which is away; their ids, in the order in which they were accepted. */
async function queue(caller: Caller, devices: number, each: number): Promise<string[][]> {
  const accepted: string[][] = Array.from({ length: devices }, () => [])
  let next = 0
  const run = async (): Promise<void> => {
    while (next < devices) {
      const device = next
      next += 1
      while (accepted[device]!.length < each) accepted[device]!.push(await caller.set(device, TTL_S))
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, run))
  return accepted
}

/** All come back; resolves when so many commands are answered. */
async function comeBack(devices: RawDevices, tally: Tally, commands: number): Promise<Turns> {
  const beganAt = performance.now()
  const count = tally.received.length
  const one = async (device: number): Promise<void> => {
    await sleep((device * SPREAD_MS) / count)
    tally.cameAt[device] = performance.now()
    await devices.connect(device, device + 1)
  }
  const over = async (): Promise<void> => {
    while (tally.latenciesMs.length < commands) {
      devices.check()
      if (performance.now() - beganAt > OVER_WAIT_MS)
        throw new Error(`after ${OVER_WAIT_MS} ms ${tally.latenciesMs.length} of ${commands} are answered`)
      await sleep(LOOK_MS)
    }
  }
  await Promise.all([over(), ...Array.from({ length: count }, (_, device) => one(device))])
  const perSecond = (commands * 1_000) / (tally.lastAnswerAt - beganAt)
  return { turns: commands, perSecond, latenciesMs: tally.latenciesMs }
}

/** Throws where a device got anything else than its commands, each once, and in their order where that is promised. */
function check(accepted: readonly string[][], { received }: Tally, isOrdered: boolean): void {
  for (const [device, commandIds] of accepted.entries()) {
    const got = received[device]!
    const [due, came] = isOrdered ? [commandIds, got] : [commandIds.toSorted(), got.toSorted()]
    const place = Array.from({ length: Math.max(due.length, came.length) }, (_, n) => n).find(n => due[n] !== came[n])
    if (place === undefined) continue
    const which = `device ${device} was due ${due.length} commands and got ${came.length}`
    throw new Error(
      `${which}; at ${place} ${isOrdered ? 'of their order' : ''} ${due[place]} was due, ${came[place]} came`,
    )
  }
}

async function measure(contender: Contender, { running, caller, isQuick }: Stand): Promise<Figures> {
  const { devices: count, each } = isQuick ? QUICK : { devices: DEVICES, each: EACH }
  const { mqttUrl: url, login } = running
  const isKept = !login(0).clean
  if (isKept) {
    // What waits, waits in a session, and there is none before a device has been there.
    const before = new RawDevices({ url, login })
    await before.connect(0, count)
    await before.disconnect()
  }
  const accepted = await queue(caller, count, each)
  const tally = new Tally(count)
  const devices = new RawDevices({ url, login, received: tally.take, acknowledged: tally.acknowledge })
  try {
    const beganAt = performance.now()
    const figures = await measured(running.processes, () => comeBack(devices, tally, count * each))
    await sleep(SURPLUS_WAIT_MS)
    devices.check()
    check(accepted, tally, contender.lacks['in order'] === undefined)
    const deliveredPerSecond = (count * each * 1_000) / (tally.lastReceivedAt - beganAt)
    return { ...figures, more: { deliveredPerSecond, lastAnswerMs: tally.lastAnswerAt - beganAt } }
  } finally {
    await devices.disconnect()
  }
}

const taking = contenders.map(contender =>
  standing([contender], ['deliver'], {
    devices: DEVICES,
    connections: CONNECTIONS,
    measure: stand => measure(contender, stand),
  }),
)

export const storm: Scenario = {
  name: 'storm',
  title: 'Reconnect storm',
  what: `${EACH} commands wait for each of ${DEVICES.toLocaleString('en-US')} devices, which all come back within ${SPREAD_MS / 1_000} s, evenly spread, and answer each command as it comes. An operation is a command that was answered, and whose answer was acknowledged to its device; latencies count from the return of the device, so half of all commands have had their turn after p50. Each device must get each of its commands once, and in the order in which they were accepted where that is promised. Downlink acknowledges an answer when it is on the disk; with the others Mosquitto acknowledges it when it has it. Mosquitto by itself does not wait for answers, and nobody listens to them: it is its own offline drain.`,
  baseline: mosquitto.name,
  rows: taking.flatMap(({ rows }) => rows),
  lacking: taking.flatMap(({ lacking }) => lacking),
}
