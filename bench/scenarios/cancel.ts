// Cancel: how many of the commands that wait for devices that are away can be taken back in a second, one by one, and all of a device by one call.

import { contenders } from '../contenders/contenders.ts'
import { GROUP, LOOP_NAME, QUEUED_MAX, sqliteCancels } from '../contenders/sqlite-loop.ts'
import type { Caller } from '../rig/caller.ts'
import { measured, type Scenario, type Settings, type Stand, standing } from '../rig/scenario.ts'
import { workOff } from '../rig/work-off.ts'

const DEVICES = 2_000
const WORKERS = GROUP
const TTL_S = 172_800
/** of each device whose commands are cancelled by one call: as many as a device may have by default */
const EACH = 50

interface Queued {
  readonly device: number
  readonly commandIds: readonly string[]
}

/** Queues for as long as is measured afterwards, so many for each device in turn, no device twice where they are many; what is waiting then. */
async function queue(caller: Caller, each: number, { warmUpMs, measuredMs }: Settings): Promise<Queued[]> {
  const queued: Queued[] = []
  const until = performance.now() + warmUpMs + measuredMs
  const most = each === 1 ? QUEUED_MAX : DEVICES
  let next = 0
  const run = async (): Promise<void> => {
    while (next < most && performance.now() < until) {
      const device = next % DEVICES
      next += 1
      const commandIds: string[] = []
      while (commandIds.length < each) commandIds.push(await caller.set(device, TTL_S))
      queued.push({ device, commandIds })
    }
  }
  await Promise.all(Array.from({ length: WORKERS }, run))
  return queued
}

/** Throws where what was reported is not what waited. */
function check(device: number, waited: readonly string[], reported: readonly string[]): void {
  const found = new Set(reported)
  const isAll = waited.length === reported.length && waited.every(id => found.has(id))
  if (!isAll)
    throw new Error(`device ${device}: ${waited.length} waited, and ${reported.length} were reported cancelled`)
}

async function measureOne(stand: Stand) {
  const { running, caller } = stand
  const queued = await queue(caller, 1, stand)
  return measured(running.processes, mark =>
    workOff(queued, { workers: WORKERS, mark }, async ({ device, commandIds }) => {
      check(device, commandIds, await caller.cancel(device, commandIds[0]!))
    }),
  )
}

async function measureAll(stand: Stand) {
  const { running, caller } = stand
  const queued = await queue(caller, EACH, stand)
  const figures = await measured(running.processes, mark =>
    workOff(queued, { workers: WORKERS, mark }, async ({ device, commandIds }) => {
      check(device, commandIds, await caller.cancel(device, null))
    }),
  )
  return { ...figures, more: { commandsPerSecond: (figures.perSecond ?? Number.NaN) * EACH } }
}

const one = standing(contenders, ['accept', 'cancel'], { devices: DEVICES, connections: WORKERS, measure: measureOne })

export const cancelOne: Scenario = {
  name: 'cancel-one',
  title: 'Cancel one command',
  what: `Commands wait for ${DEVICES.toLocaleString('en-US')} devices that are away. ${WORKERS} callers cancel each its own by a signed call that names it, and send the next call when they have the answer to the one before; each answer must name exactly that command.`,
  baseline: LOOP_NAME,
  rows: [sqliteCancels(1, GROUP), ...one.rows],
  lacking: one.lacking,
}

const all = standing(contenders, ['accept', 'cancel'], { devices: DEVICES, connections: WORKERS, measure: measureAll })

export const cancelAll: Scenario = {
  name: 'cancel-all',
  title: `Cancel all ${EACH} of a device`,
  what: `${EACH} commands wait for each device. ${WORKERS} callers cancel all of a device by one signed call, each for another device; each answer must name all ${EACH}. Figures are of calls.`,
  baseline: LOOP_NAME,
  rows: [
    sqliteCancels(EACH, GROUP),
    sqliteCancels(EACH, 1, `${LOOP_NAME}, a transaction for each device`),
    ...all.rows,
  ],
  lacking: all.lacking,
}
