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
import { describeFaults, drawFaults } from './faults.ts'
import { type Draft, drawDevices, firstFile, isGateway, isRaw, type Kin, secrets } from './fleet.ts'
import { Follower } from './follower.ts'
import { History } from './history.ts'
import { invariants } from './invariants.ts'
import { Ledger } from './ledger.ts'
import { Operator } from './operator.ts'
import { Random } from './random.ts'
import { type Disk, Site } from './site.ts'
import { type Struck, strikeLater } from './strikes.ts'
import type { Surroundings, Unit } from './units.ts'
import { type Failure, World } from './world.ts'

export interface RunOptions {
  readonly seed: number
  /** of the part with faults; what comes after takes as many as it needs */
  readonly steps: number
  readonly store: 'memory' | 'sqlite'
  /** that share the store; 1 unless said otherwise, more only in memory */
  readonly nodes?: number
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

async function runOnce({ seed, steps, store, nodes = 1 }: RunOptions): Promise<World> {
  if (nodes > 1 && store !== 'memory')
    throw new Error(`one process has the ${store} store, several nodes need the memory one`)
  const random = new Random(seed)
  const world = new World(seed, drawFaults(random, nodes), random)
  const disk = store === 'memory' ? memoryDisk(nodes) : sqliteDisk()
  try {
    const sim = await build(world, disk, nodes)
    await faulty(world, sim.site, steps)
    if (world.failure === null) await calm(world, sim)
    await sim.disk.close(sim.site.store)
  } finally {
    disk.remove()
  }
  return world
}

// --- disks -------------------------------------------------------------------------------------------------------------

type RemovableDisk = Disk & { remove(): void }

/** Memory that survives its process, as no memory does: the reference store with a disk's promise. */
const memoryDisk = (nodes: number): RemovableDisk => ({
  open: now => openMemory(now, nodes > 1 ? 'when asked' : 'at once'),
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

interface Sim extends Struck {
  readonly disk: Disk
  readonly follower: Follower
}

async function build(world: World, disk: Disk, nodes: number): Promise<Sim> {
  const { random } = world
  const store = disk.open(() => world.now)
  const drafts = drawDevices(random, world.faults.gateways)
  await new Fleet(store, secrets).apply(firstFile(drafts), world.now)
  const family = await Promise.all(drafts.map(draft => kinOf(store, draft)))
  const ids = family.map(({ id }) => id)
  const ledger = new Ledger(world, ids)
  const history = new History(world, ledger)
  const checks = new Checks(world, ledger, history, nodes)
  const site = new Site(world, ledger, checks, family, disk, store, nodes)
  const around = { world, site, ledger, checks, units: new Map<number, Unit>() }
  const devices = family.map(kin => new SimDevice(around, kin))
  site.moved(
    drafts.filter(({ gateway }) => gateway !== null).map(({ assetId, gateway: to }) => ({ assetId, from: null, to })),
  )
  for (const [of, gateway] of site.topology) wire(around, devices, of, gateway)
  const operator = new Operator(around)
  const shared = { tag: 0, requests: [] }
  for (let i = random.int(2, 5); i > 0; i -= 1) new Caller(around, history, ids, shared)
  // An earlier run may have given ids faster than time passes.
  const aheadMs = random.pick([0, random.int(1, ID_AHEAD_MAX_MS - 100)])
  await store.commit({ node: 1, lastCommandId: makeId(world.now + aheadMs, 1, 0), now: world.now, changes: [] })
  await start(site)
  const sim = { ...around, devices, operator, disk, follower: new Follower(around) }
  strikeLater(sim)
  return sim
}

/** One process is there before anything happens; of several each starts in its own time. */
async function start({ hosts, isMany }: Site): Promise<void> {
  if (isMany) for (const host of hosts) host.start(false)
  else for (const host of hosts) await host.boot()
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

async function faulty(world: World, site: Site, steps: number): Promise<void> {
  while (world.steps < steps && world.failure === null) await stepOnce(world, site)
}

async function stepOnce(world: World, site: Site): Promise<boolean> {
  try {
    if (!(await world.step())) return false
    site.afterStep()
  } catch (error) {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
    world.fail({ invariant: 20, name: invariants[20], detail, deviceId: null })
  }
  return true
}

// --- without -----------------------------------------------------------------------------------------------------------

const CALM_STEPS_MAX = 30_000
const WAIT_MS = 4 * 3_600_000

/** The faults end. Some devices come, behave, and empty their queues; the others stay away until what waits for them has expired. */
async function calm(world: World, sim: Sim): Promise<void> {
  const { site, devices, ledger, checks } = sim
  world.calm = true
  world.note(null, 'the faults end')
  for (const host of site.hosts) host.calm()
  for (const device of devices) device.staysAway = world.random.chance(0.25)
  const isOpen = (id: number): boolean => ledger.inState(id, 1).length + ledger.inState(id, 4).length > 0
  const waiting = (): number | undefined => devices.find(({ kin: { id } }) => isOpen(id) && isPresent(sim, id))?.kin.id
  const asking = (): SimDevice | undefined => devices.find(({ isAsking }) => isAsking)
  const isDone = (): boolean => waiting() === undefined && asking() === undefined
  await until(world, site, () => site.isUp && isDone())
  const left = waiting()
  if (asking() !== undefined) ledger.broken(34, asking()?.kin.id ?? null, 'asks, and is never answered')
  if (left !== undefined) ledger.broken(21, left, 'is connected and ready, and its queue does not empty')
  for (const device of devices) device.staysAway = true
  await until(world, site, () => site.calls === 0 && !devices.some(({ kin }) => isOpen(kin.id)))
  if (site.calls > 0) ledger.broken(9, null, `${site.calls} calls were never answered`)
  await checks.compareStore(site.store)
  await sim.follower.finish()
  checks.atEnd()
}

/** It comes, by itself or over its gateway, and nobody keeps it from coming. */
function isPresent({ site, devices, ledger }: Sim, id: number): boolean {
  const isBarred = (of: number): boolean => ledger.log(of).disabled || ledger.log(of).deleted
  const over = site.topology.get(id) ?? id
  const device = devices.find(({ kin }) => kin.id === over)
  return device?.staysAway === false && !isBarred(over) && !isBarred(id)
}

async function until(world: World, site: Site, done: () => boolean): Promise<void> {
  const [lastStep, lastMs] = [world.steps + CALM_STEPS_MAX, world.now + WAIT_MS]
  while (world.steps < lastStep && world.now < lastMs && world.failure === null && !done())
    if (!(await stepOnce(world, site))) return
}
