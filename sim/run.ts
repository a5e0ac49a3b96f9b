// One seed from beginning to end: a world is built, faults strike, then they end and everything that was promised must come true; and all of it twice.
// No side effects on import: tests and mutation runs call runSeed in their own process.

import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeId } from '../src/core/command.ts'
import { ID_AHEAD_MAX_MS } from '../src/core/limits.ts'
import { Fleet } from '../src/fleet/fleet.ts'
import { openMemory } from '../src/store/memory.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import type { Store } from '../src/store/store.ts'
import { Caller } from './callers.ts'
import { Checks } from './checks.ts'
import { SimDevice } from './devices.ts'
import { describeFaults, drawFaults, type Strike } from './faults.ts'
import { type Draft, drawDevices, firstFile, isGateway, isRaw, type Kin, secrets } from './fleet.ts'
import { crashPoints } from './gate.ts'
import { History } from './history.ts'
import { invariants } from './invariants.ts'
import { Ledger } from './ledger.ts'
import { Operator } from './operator.ts'
import { type Disk, Host } from './process.ts'
import { Random } from './random.ts'
import type { Surroundings, Unit } from './units.ts'
import { type Failure, World } from './world.ts'

export interface RunOptions {
  readonly seed: number
  /** of the part with faults; what comes after takes as many as it needs */
  readonly steps: number
  readonly store: 'memory' | 'sqlite'
  /** run it a second time and compare; true unless said otherwise */
  readonly twice?: boolean
}

export interface RunResult {
  readonly ok: boolean
  readonly failure?: Failure
  /** of all runs of the seed together */
  readonly steps: number
  readonly coverage: ReadonlyMap<string, number>
  readonly faults: string
  /** the lines of the device concerned and of the world, up to the failure; empty where there was none */
  readonly trace: readonly string[]
}

/** Runs one world, and once more to see that it is the same. Never rejects for what the product does: that is a failure, and told as one. */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  const first = await runOnce(options)
  const second = options.twice === false ? null : await runOnce(options)
  const failure = first.failure ?? (second && differs(first, second))
  const steps = first.steps + (second?.steps ?? 0)
  const { coverage } = first
  const common = { steps, coverage, faults: describeFaults(first.faults) }
  if (failure === null) return { ok: true, ...common, trace: [] }
  const { deviceId } = failure
  const isTold = (of: number | null): boolean => deviceId === null || of === null || of === deviceId
  const trace = first.trace.filter(entry => isTold(entry.deviceId)).map(({ line }) => line)
  return { ok: false, failure, ...common, trace }
}

function differs(first: World, second: World): Failure | null {
  if (first.hash === second.hash) return null
  const at = first.trace.findIndex(({ line }, i) => line !== second.trace[i]?.line)
  const [one, other] = [first.trace[at]?.line ?? 'nothing', second.trace[at]?.line ?? 'nothing']
  const detail = `line ${at} is "${one}" once, and "${other}" the other time`
  return { invariant: 22, name: invariants[22], detail, deviceId: null, step: first.steps }
}

async function runOnce({ seed, steps, store }: RunOptions): Promise<World> {
  const random = new Random(seed)
  const world = new World(seed, drawFaults(random), random)
  const disk = store === 'memory' ? memoryDisk() : sqliteDisk()
  try {
    const sim = await build(world, disk)
    await faulty(world, sim.host, steps)
    if (world.failure === null) await calm(world, sim)
    await sim.disk.close(sim.host.store)
  } finally {
    disk.remove()
  }
  return world
}

// --- disks -------------------------------------------------------------------------------------------------------------

type RemovableDisk = Disk & { remove(): void }

/** Memory that survives its process, as no memory does: the reference store with a disk's promise. */
const memoryDisk = (): RemovableDisk => ({
  open: openMemory,
  reopen: async store => store,
  close: async () => undefined,
  remove: () => undefined,
})

/** A killed process leaves its file and its write-ahead log as they are at that moment: the next one gets a copy of both. */
function sqliteDisk(): RemovableDisk {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'downlink-sim-'))
  let files = 0
  const path = (): string => join(folder, `${files}.db`)
  return {
    open: () => openSqlite(path()),
    reopen: async (store, killed) => {
      if (!killed) {
        await store.close()
        return openSqlite(path())
      }
      const left = path()
      files += 1
      for (const part of ['', '-wal']) if (existsSync(left + part)) copyFileSync(left + part, path() + part)
      await store.close()
      return openSqlite(path())
    },
    close: store => store.close(),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

// --- the world -----------------------------------------------------------------------------------------------------------

interface Sim extends Surroundings {
  readonly devices: readonly SimDevice[]
  readonly operator: Operator
  readonly disk: Disk
}

async function build(world: World, disk: Disk): Promise<Sim> {
  const { random } = world
  const store = disk.open()
  const drafts = drawDevices(random, world.faults.gateways)
  await new Fleet(store, secrets).apply(firstFile(drafts), world.now)
  const family = await Promise.all(drafts.map(draft => kinOf(store, draft)))
  const ids = family.map(({ id }) => id)
  const ledger = new Ledger(world, ids)
  const history = new History(world, ledger)
  const checks = new Checks(world, ledger, history)
  const host = new Host(world, ledger, checks, family, disk, store)
  const around = { world, host, ledger, checks, units: new Map<number, Unit>() }
  const devices = family.map(kin => new SimDevice(around, kin))
  host.moved(
    drafts.filter(({ gateway }) => gateway !== null).map(({ assetId, gateway: to }) => ({ assetId, from: null, to })),
  )
  for (const [of, gateway] of host.topology) wire(around, devices, of, gateway)
  const operator = new Operator(around)
  const tags = { next: 0 }
  for (let i = random.int(2, 5); i > 0; i -= 1) new Caller(around, history, ids, tags)
  // An earlier run may have given ids faster than time passes.
  const aheadMs = random.pick([0, random.int(1, ID_AHEAD_MAX_MS - 100)])
  await store.commit({ node: 1, lastCommandId: makeId(world.now + aheadMs, 1, 0), now: world.now, changes: [] })
  await host.boot()
  const sim = { ...around, devices, operator, disk }
  strikeLater(sim)
  return sim
}

async function kinOf(store: Store, { assetId, keys }: Draft): Promise<Kin> {
  const device = await store.deviceByAsset(assetId)
  if (device === null) throw new Error(`${assetId} is not in the fleet`)
  return { id: device.id, assetId, keys, isGateway: isGateway(keys), raw: isRaw(keys) }
}

/** The device is behind this gateway from the beginning. */
function wire({ units }: Surroundings, devices: readonly SimDevice[], of: number, gateway: number): void {
  const [unit, home] = [units.get(of), devices.find(({ kin }) => kin.id === gateway)]
  if (unit !== undefined && home !== undefined) unit.home = home
}

// --- with faults -----------------------------------------------------------------------------------------------------------

async function faulty(world: World, host: Host, steps: number): Promise<void> {
  while (world.steps < steps && world.failure === null) await stepOnce(world, host)
}

async function stepOnce(world: World, host: Host): Promise<boolean> {
  try {
    if (!(await world.step())) return false
    host.afterStep()
  } catch (error) {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
    world.fail({ invariant: 20, name: invariants[20], detail, deviceId: null })
  }
  return true
}

const STRIKE_MAX_MS = 1_500
const STALL_MAX_MS = 15_000
const JUMP_MAX_MS = 3 * 3_600_000
const JUST_BEFORE_MS = 10_000

function strikeLater(sim: Sim): void {
  const { world } = sim
  world.after(world.random.int(50, STRIKE_MAX_MS), 'actor', () => {
    if (world.calm) return
    const { strikes } = world.faults
    if (Object.values(strikes).some(weight => weight > 0)) strike(sim, world.random.weighted(strikes))
    strikeLater(sim)
  })
}

function strike(sim: Sim, what: Strike): void {
  const { world, host, devices, operator } = sim
  const { random } = world
  world.count(`fault ${what}`)
  const clients = devices.flatMap(device => device.open)
  switch (what) {
    case 'half-open':
      if (clients.length > 0) random.pick(clients).goHalfOpen()
      break
    case 'drop':
      if (clients.length > 0) random.pick(clients).drop()
      break
    case 'stall':
      if (clients.length > 0) random.pick(clients).stall(random.int(1_000, STALL_MAX_MS))
      break
    case 'crash':
      host.crashDue = random.pick(crashPoints)
      break
    case 'stop':
      host.stop()
      break
    case 'commit fails':
      host.faultsDue.set('commit', random.int(1, 3))
      break
    case 'read fails':
      host.faultsDue.set(
        random.pick(['load', 'bodies', 'due', 'nextDue', 'read', 'purge', 'save', 'move']),
        random.int(1, 3),
      )
      break
    case 'clock jump': {
      const ms = random.pick([random.int(1_000, 60_000), random.int(1_000, 60_000), random.int(60_000, JUMP_MAX_MS)])
      world.note(null, `everything stands still for ${ms} ms`)
      world.jump(ms, random.chance(0.5))
      // What failed just before is tried again a while after.
      if (world.now - ms - host.faultAt < JUST_BEFORE_MS) host.faultAt = world.now
      break
    }
    case 'fleet edit':
      operator.edit(random.pick(host.family))
      break
    case 'disable':
      operator.toggle(random.pick(host.family))
      break
    case 'delete':
      operator.delete(random.pick(host.family))
      break
    case 'move': {
      const behind = host.family.filter(({ id }) => host.topology.has(id))
      if (behind.length > 0) operator.move(random.pick(behind))
    }
  }
}

// --- without -----------------------------------------------------------------------------------------------------------

const CALM_STEPS_MAX = 30_000
const WAIT_MS = 4 * 3_600_000

/** The faults end. Some devices come, behave, and empty their queues; the others stay away until what waits for them has expired. */
async function calm(world: World, sim: Sim): Promise<void> {
  const { host, devices, ledger, checks } = sim
  world.calm = true
  world.note(null, 'the faults end')
  host.crashDue = null
  host.faultsDue.clear()
  for (const device of devices) device.staysAway = world.random.chance(0.25)
  const isOpen = (id: number): boolean => ledger.inState(id, 1).length + ledger.inState(id, 4).length > 0
  const waiting = (): number | undefined => devices.find(({ kin: { id } }) => isOpen(id) && isPresent(sim, id))?.kin.id
  const asking = (): SimDevice | undefined => devices.find(({ isAsking }) => isAsking)
  const isDone = (): boolean => waiting() === undefined && asking() === undefined
  await until(world, host, () => host.current?.stopping === false && isDone())
  const left = waiting()
  if (asking() !== undefined) ledger.broken(34, asking()?.kin.id ?? null, 'asks, and is never answered')
  if (left !== undefined) ledger.broken(21, left, 'is connected and ready, and its queue does not empty')
  for (const device of devices) device.staysAway = true
  await until(world, host, () => host.calls === 0 && !devices.some(({ kin }) => isOpen(kin.id)))
  if (host.calls > 0) ledger.broken(9, null, `${host.calls} calls were never answered`)
  await checks.compareStore(host.store)
  checks.atEnd()
}

/** It comes, by itself or over its gateway, and nobody keeps it from coming. */
function isPresent({ host, devices, ledger }: Sim, id: number): boolean {
  const isBarred = (of: number): boolean => ledger.log(of).disabled || ledger.log(of).deleted
  const over = host.topology.get(id) ?? id
  const device = devices.find(({ kin }) => kin.id === over)
  return device?.staysAway === false && !isBarred(over) && !isBarred(id)
}

async function until(world: World, host: Host, done: () => boolean): Promise<void> {
  const [lastStep, lastMs] = [world.steps + CALM_STEPS_MAX, world.now + WAIT_MS]
  while (world.steps < lastStep && world.now < lastMs && world.failure === null && !done())
    if (!(await stepOnce(world, host))) return
}
