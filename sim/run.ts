// One seed from beginning to end: a world is built, faults strike, then they end and everything that was promised must come true; and all of it twice.
// No side effects on import: tests and mutation runs call runSeed in their own process.

import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeId } from '../src/core/command.ts'
import { ID_AHEAD_MAX_MS } from '../src/core/limits.ts'
import { openMemory } from '../src/store/memory.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import type { DeviceRow, FleetRows, Store } from '../src/store/store.ts'
import { Caller } from './callers.ts'
import { Checks } from './checks.ts'
import { SimDevice, type Surroundings } from './devices.ts'
import { describeFaults, drawFaults, type Strike } from './faults.ts'
import { crashPoints } from './gate.ts'
import { History } from './history.ts'
import { invariants } from './invariants.ts'
import { Ledger } from './ledger.ts'
import { type Disk, Host } from './process.ts'
import { Random } from './random.ts'
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
  readonly rows: DeviceRow[]
  readonly disk: Disk
}

const deviceRow = (n: number): DeviceRow => ({
  assetId: `asset${n}`,
  orgId: 'o1',
  productKey: 'pk',
  deviceKey: `dk${n}`,
  secret: 'sealed',
  nameJson: '{"defaultValue":"device","i18nValue":{}}',
  timezone: '+00:00',
  disabled: false,
  gatewayAssetId: null,
})

const fleetOf = (devices: readonly DeviceRow[]): FleetRows => ({
  organizations: [{ orgId: 'o1', name: 'One' }],
  applications: [],
  models: [],
  products: [{ productKey: 'pk', orgId: 'o1', secret: 'sealed', modelId: null, json: '{}' }],
  devices,
})

async function build(world: World, disk: Disk): Promise<Sim> {
  const { random } = world
  const store = disk.open()
  const rows = Array.from({ length: random.int(3, 8) }, (_, i) => deviceRow(i + 1))
  await store.applyFleet(fleetOf(rows), world.now)
  const ids = await Promise.all(rows.map(async ({ assetId }) => numberOf(store, assetId)))
  const ledger = new Ledger(world, ids)
  const history = new History(world, ledger)
  const checks = new Checks(world, ledger, history)
  const host = new Host(world, ledger, checks, ids, disk, store)
  const around = { world, host, ledger, checks }
  const devices = ids.map((id, i) => {
    const { productKey = '', deviceKey = '' } = rows[i] ?? {}
    return new SimDevice(around, id, { productKey, deviceKey })
  })
  const tags = { next: 0 }
  for (let i = random.int(2, 5); i > 0; i -= 1) new Caller(around, history, ids, tags)
  // An earlier run may have given ids faster than time passes.
  const aheadMs = random.pick([0, random.int(1, ID_AHEAD_MAX_MS - 100)])
  await store.commit({ node: 1, lastCommandId: makeId(world.now + aheadMs, 1, 0), now: world.now, changes: [] })
  await host.boot()
  const sim = { ...around, devices, rows, disk }
  strikeLater(sim)
  if (world.faults.strikes['fleet edit'] > 0) host.onLoad.push(loaded => editMeanwhile(sim, loaded))
  return sim
}

async function numberOf(store: Store, assetId: string): Promise<number> {
  const device = await store.deviceByAsset(assetId)
  if (device === null) throw new Error(`${assetId} is not in the fleet`)
  return device.id
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
  const { world, host, devices } = sim
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
      host.faultsDue.set(random.pick(['load', 'bodies', 'due', 'nextDue', 'read', 'purge']), random.int(1, 3))
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
      edit(sim, random.int(0, devices.length - 1), renamed(world))
      break
    case 'disable':
      edit(sim, random.int(0, devices.length - 1), row => ({ ...row, disabled: !row.disabled }))
  }
}

/** Sooner or later between a load and its commit. */
function editMeanwhile(sim: Sim, loaded: readonly number[]): void {
  const { world } = sim
  if (world.calm || !world.random.chance(EDIT_MEANWHILE)) return
  const at = sim.devices.findIndex(({ id }) => loaded.includes(id))
  world.after(world.random.int(0, 10), 'actor', () => edit(sim, at, renamed(world)))
}
const EDIT_MEANWHILE = 0.04

const renamed =
  (world: World) =>
  (row: DeviceRow): DeviceRow => ({ ...row, nameJson: `{"defaultValue":"edited ${world.steps}","i18nValue":{}}` })

/** Somebody else writes: the version of the device is raised under the engine. A device that is disabled is kicked, as the server does it. */
function edit(sim: Sim, at: number, change: (row: DeviceRow) => DeviceRow): void {
  const { world, host, rows, devices } = sim
  const [before, device] = [rows[at], devices[at]]
  if (host.current === null || before === undefined || device === undefined) return
  const row = change(before)
  rows[at] = row
  world.note(device.id, row.disabled ? 'is edited, and disabled' : 'is edited')
  // Whoever is disabled at one end of a batch counts as away in it.
  host.awayAt.set(device.id, world.steps)
  if (row.disabled) host.disabled.add(device.id)
  else host.disabled.delete(device.id)
  void host.store
    .applyFleet(fleetOf([row]), world.now)
    .catch((error: unknown) => sim.ledger.broken(20, device.id, `the fleet cannot be edited: ${String(error)}`))
  if (row.disabled) for (const link of host.current.connections) if (link.deviceId === device.id) link.kick()
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
  const present = devices.filter(({ id, staysAway }) => !staysAway && !host.disabled.has(id))
  const isOpen = (id: number): boolean => ledger.inState(id, 1).length + ledger.inState(id, 4).length > 0
  await until(world, host, () => host.current?.stopping === false && !present.some(({ id }) => isOpen(id)))
  for (const { id } of present)
    if (isOpen(id)) ledger.broken(21, id, 'is connected and ready, and its queue does not empty')
  for (const device of devices) device.staysAway = true
  await until(world, host, () => host.calls === 0 && !devices.some(({ id }) => isOpen(id)))
  if (host.calls > 0) ledger.broken(9, null, `${host.calls} calls were never answered`)
  await checks.compareStore(host.store, host.current?.clock.now() ?? 0)
  checks.atEnd()
}

async function until(world: World, host: Host, done: () => boolean): Promise<void> {
  const [lastStep, lastMs] = [world.steps + CALM_STEPS_MAX, world.now + WAIT_MS]
  while (world.steps < lastStep && world.now < lastMs && world.failure === null && !done())
    if (!(await stepOnce(world, host))) return
}
