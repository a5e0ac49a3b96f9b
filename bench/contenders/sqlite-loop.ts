// The floor of the store as rows of tables: one thread that writes what Downlink would write, in groups as large as those that Downlink's group commit has
// with as many callers. Not here: the statements (rig/bare-sqlite.ts).

import { join } from 'node:path'
import { setImmediate as breathe } from 'node:timers/promises'
import { BareSqlite } from '../rig/bare-sqlite.ts'
import { makeStore } from '../rig/fill.ts'
import { closedLoop, type Turns } from '../rig/loops.ts'
import { type Figures, figuresOf, type Row, type Settings } from '../rig/scenario.ts'
import { watch } from '../rig/watch.ts'
import { workOff } from '../rig/work-off.ts'

/** commands, or devices of which all is cancelled, that share a transaction: as many as callers are outstanding in the scenarios */
export const GROUP = 64
const DEVICES = 2_000

export const LOOP_NAME = 'bare SQLite loop'

/** What a loop in this process did and cost. `size`: how many operations a turn of it is. */
export async function measuredHere(
  size: number,
  loop: (mark: (edge: 'begin' | 'end') => void) => Promise<Turns>,
  more?: (perSecond: number) => Figures['more'],
): Promise<Figures> {
  let end = watch({})
  const { turns, perSecond, latenciesMs } = await loop(edge => {
    if (edge === 'begin') end = watch({})
  })
  const { elapsedMs, loadCpuMs } = end()
  const cost = { elapsedMs, cpuMs: { loop: loadCpuMs }, loadCpuMs: 0, memoryBytes: {} }
  const all = { turns: turns * size, perSecond: perSecond * size, latenciesMs }
  const { loadCpuUs: _, memoryMib: __, ...figures } = figuresOf(all, cost, more?.(all.perSecond))
  return figures
}

/** The next devices in turn, a group of them. */
export function inTurn(devices: number, size: number, first = 0): () => number[] {
  let next = 0
  return () => Array.from({ length: size }, () => first + (next++ % devices))
}

export async function loopVersions(): Promise<string> {
  const { default: driver } = await import('@photostructure/sqlite/package.json', { with: { type: 'json' } })
  return `@photostructure/sqlite ${driver.version}`
}

function row(name: string, what: string, measure: (loop: BareSqlite, settings: Settings) => Promise<Figures>): Row {
  return {
    name,
    what,
    missing: () => Promise.resolve(null),
    versions: loopVersions,
    measure: async settings => {
      const file = join(settings.folder, 'loop.db')
      await makeStore({ file, folder: settings.folder, devices: DEVICES })
      const loop = new BareSqlite(file)
      try {
        return await measure(loop, settings)
      } finally {
        loop.close()
      }
    },
  }
}

/** Beside accepts: the rows of an accepted command, 64 in each transaction. */
export const sqliteInserts: Row = row(
  LOOP_NAME,
  `One thread that writes the rows of accepted commands into the same tables by the same SQLite with the same fsync, ${GROUP} commands in each transaction, and does nothing else.`,
  (loop, { warmUpMs, measuredMs }) => {
    const devices = inTurn(DEVICES, GROUP)
    return measuredHere(GROUP, mark =>
      closedLoop({ workers: 1, warmUpMs, measuredMs, mark }, async () => {
        loop.accept(devices())
        await breathe()
      }),
    )
  },
)

/** Beside cancels, each of `each` commands of a device: `size` devices in each transaction. */
export const sqliteCancels = (each: number, size: number, name = LOOP_NAME): Row =>
  row(
    name,
    `One thread that writes the rows of cancels into the same tables by the same SQLite with the same fsync, ${each === 1 ? 'a command' : `${each} commands`} of ${size === 1 ? 'one device' : `each of ${size} devices`} in each transaction, and does nothing else.`,
    async (loop, { warmUpMs, measuredMs }) => {
      const devices = inTurn(DEVICES, size)
      const groups: { device: number; commandIds: string[] }[][] = []
      const until = performance.now() + warmUpMs + measuredMs
      while (performance.now() < until && groups.length * size * each < QUEUED_MAX) {
        const group = devices().map(device => ({ device, commandIds: [] as string[] }))
        for (let n = 0; n < each; n++) {
          const ids = loop.accept(group.map(({ device }) => device))
          for (const [place, { commandIds }] of group.entries()) commandIds.push(ids[place]!)
        }
        groups.push(group)
        await breathe()
      }
      return measuredHere(
        size,
        mark =>
          workOff(groups, { workers: 1, mark }, async group => {
            loop.cancel(group)
            await breathe()
          }),
        perSecond => (each === 1 ? {} : { commandsPerSecond: perSecond * each }),
      )
    },
  )

/** commands that are queued before they are cancelled: what a file and a list may hold */
export const QUEUED_MAX = 200_000
