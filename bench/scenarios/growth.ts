// Growth: what becomes of accepting, delivering and cancelling as the file grows to millions of commands, beside what becomes of the bare SQLite loop on the
// same file. Not here: how a file of that size is made (../rig/fill.ts).

import { constants, copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as breathe } from 'node:timers/promises'
import { downlink } from '../contenders/downlink.ts'
import { GROUP, inTurn, LOOP_NAME, loopVersions, measuredHere } from '../contenders/sqlite-loop.ts'
import { BareSqlite } from '../rig/bare-sqlite.ts'
import { Caller } from '../rig/caller.ts'
import { secretLogin } from '../rig/contender.ts'
import { fill, flush } from '../rig/fill.ts'
import { closedLoop, twoEach } from '../rig/loops.ts'
import { RawDevices } from '../rig/raw-devices.ts'
import type { Figures, Row, Scenario, Settings } from '../rig/scenario.ts'
import { startServer, writeFleet } from '../rig/server.ts'
import { workOff } from '../rig/work-off.ts'

/** stored commands: the first is what the others are compared with */
export const SIZES = [10_000, 1_000_000, 2_000_000, 10_000_000] as const
/** to see that it works */
const QUICK_SIZES = [2_000, 4_000]
const DEVICES = 2_000
const WORKERS = GROUP
const TTL_S = 172_800
/** commands that are queued to be cancelled: what is taken back within the time of a loop, several times over */
const QUEUED_MAX = 20_000

export const VERBS = ['accept', 'deliver', 'cancel'] as const
type Rates = Readonly<Record<(typeof VERBS)[number], number>>

/** As `plotOf` reads it. */
export const figureOf = (verb: (typeof VERBS)[number], size: number): string => `${verb}At${size}PerSecond`

let filled: { readonly folder: string; readonly files: Map<number, string> } | null = null

/** Files are made once, and kept for the rows and rounds of this run. */
async function fileOf(size: number, say: Settings['say']): Promise<string> {
  if (filled === null) {
    const folder = mkdtempSync(join(tmpdir(), 'downlink-bench-filled-'))
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
    filled = { folder, files: new Map() }
  }
  const { folder, files } = filled
  const known = files.get(size)
  if (known !== undefined) return known
  say(`${size} commands are being written, once for this run`)
  const file = join(folder, `${size}.db`)
  await fill({ file, folder, devices: DEVICES, commands: size, of: 'days' })
  files.set(size, file)
  return file
}

/** The rates at each size, each on a copy of its own. */
async function measure(settings: Settings, rates: (file: string) => Promise<Rates>): Promise<Figures> {
  const { folder, isQuick, say } = settings
  const more: Record<string, number> = {}
  for (const size of isQuick ? QUICK_SIZES : SIZES) {
    const file = join(folder, 'growth.db')
    copyFileSync(await fileOf(size, say), file, constants.COPYFILE_FICLONE)
    await flush(file)
    const found = await rates(file)
    for (const verb of VERBS) more[figureOf(verb, size)] = found[verb]
    for (const end of ['', '-wal']) rmSync(`${file}${end}`, { force: true })
  }
  return { more }
}

async function ratesOfLoop(file: string, { warmUpMs, measuredMs }: Settings): Promise<Rates> {
  const loop = new BareSqlite(file)
  const devices = inTurn(DEVICES, GROUP)
  const repeated = async (work: () => void): Promise<number> => {
    const { perSecond } = await measuredHere(GROUP, mark =>
      closedLoop({ workers: 1, warmUpMs, measuredMs, mark }, async () => {
        work()
        await breathe()
      }),
    )
    return perSecond ?? Number.NaN
  }
  try {
    const accept = await repeated(() => loop.accept(devices()))
    const deliver = await repeated(() => loop.deliver(devices()))
    const groups = Array.from({ length: Math.ceil(QUEUED_MAX / GROUP) }, () => {
      const group = devices()
      const ids = loop.accept(group)
      return group.map((device, place) => ({ device, commandIds: [ids[place]!] }))
    })
    const { perSecond } = await workOff(groups, { workers: 1 }, async group => {
      loop.cancel(group)
      await breathe()
    })
    return { accept, deliver, cancel: perSecond * GROUP }
  } finally {
    loop.close()
  }
}

async function ratesOfDownlink(file: string, { folder, warmUpMs, measuredMs }: Settings): Promise<Rates> {
  const server = await startServer(`sqlite:${file}`, writeFleet(folder, DEVICES))
  const devices = new RawDevices({ url: server.mqttUrl, login: secretLogin })
  try {
    const caller = await Caller.logIn(server.httpUrl, WORKERS)
    const load = { workers: WORKERS, warmUpMs, measuredMs }
    // Those that are connected later are spared: what waits for them would be sent first.
    const connected = WORKERS * 2
    const away = DEVICES - connected
    let next = 0
    const set = async (): Promise<{ device: number; commandId: string }> => {
      const device = connected + (next++ % away)
      return { device, commandId: await caller.set(device, TTL_S) }
    }
    try {
      const accepted = await closedLoop(load, set)
      await devices.connect(0, connected)
      const deviceOf = twoEach(WORKERS)
      const delivered = await closedLoop(load, worker => caller.set(deviceOf(worker), 0))
      devices.check()
      const queued: Awaited<ReturnType<typeof set>>[] = []
      const queue = async (): Promise<void> => {
        while (queued.length < QUEUED_MAX) queued.push(await set())
      }
      await Promise.all(Array.from({ length: WORKERS }, queue))
      const cancelled = await workOff(queued, { workers: WORKERS }, async ({ device, commandId }) => {
        const [id] = await caller.cancel(device, commandId)
        if (id !== commandId) throw new Error(`${commandId} was to be cancelled, and ${id ?? 'nothing'} was`)
      })
      return { accept: accepted.perSecond, deliver: delivered.perSecond, cancel: cancelled.perSecond }
    } finally {
      caller.close()
    }
  } finally {
    await devices.disconnect()
    await server.stop()
  }
}

const loopRow: Row = {
  name: LOOP_NAME,
  what: `One thread that writes the rows of accepts, of commands sent and answered, and of cancels into the same tables by the same SQLite with the same fsync, ${GROUP} in each transaction, and does nothing else.`,
  missing: () => Promise.resolve(null),
  versions: loopVersions,
  measure: settings => measure(settings, file => ratesOfLoop(file, settings)),
}

const downlinkRow: Row = {
  ...downlink,
  measure: settings => measure(settings, file => ratesOfDownlink(file, settings)),
}

export const growth: Scenario = {
  name: 'growth',
  title: `From ${SIZES[0].toLocaleString('en-US')} to ${SIZES.at(-1)!.toLocaleString('en-US')} stored commands`,
  what: `The file holds the commands of ${DEVICES.toLocaleString('en-US')} devices over six days, most of them answered, with all their events. On a copy of each size: durable accepts, instant round trips with ${WORKERS} outstanding, and cancels of one command each, as in the scenarios of these. The loop does what these write and nothing else, and shows what SQLite itself loses as its tables grow.`,
  baseline: LOOP_NAME,
  roundsMax: 1,
  rows: [loopRow, downlinkRow],
  lacking: [],
}
