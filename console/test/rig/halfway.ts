// A cancellation that is in the middle of its work for as long as a test looks at it: the store as a crash leaves it, with nothing due before long. What it is
// for was found, some of that is cancelled, and none of it is written down as decided. Not here: the server that goes on from there (server.ts).

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { SystemClock } from '../../../src/clock.ts'
import { alone } from '../../../src/cluster/signal.ts'
import { Ids } from '../../../src/core/ids.ts'
import { Engine } from '../../../src/engine.ts'
import { openSqlite } from '../../../src/store/sqlite.ts'

/** ms until it would go on by itself: longer than any test takes */
const HELD_MS = 3_600_000

/**
 * Makes one like this dry run, and cancels the first `done` of the commands that it found. To be called while no server has the folder. Its id.
 */
export async function beginHalfway(folder: string, dryRunId: string, done: number): Promise<string> {
  const store = openSqlite(join(folder, 'downlink.db'))
  const clock = new SystemClock()
  const fail = (fields: object, message: string) => {
    throw new Error(`${message}: ${JSON.stringify(fields)}`)
  }
  const engine = new Engine({
    ...{ store, clock, cluster: alone, ids: new Ids(0, null), queueCap: 50, retentionMs: 7 * 86_400_000 },
    log: { info: () => undefined, warn: fail, error: fail },
    observer: {
      batch: () => undefined,
      transition: () => undefined,
      published: () => undefined,
      reply: () => undefined,
    },
    defer: run => void setImmediate(run),
  })
  try {
    await engine.start()
    const like = await store.cancellation(dryRunId)
    if (like === null) throw new Error(`there is no dry run ${dryRunId}`)
    const cancellationId = randomBytes(12).toString('hex')
    const found = await store.cancellationItems(dryRunId, null, like.matched)
    const now = clock.now()
    await store.addCancellation({
      ...like,
      ...{ cancellationId, dryRun: false, status: 'running', scannedTo: 0, createdAt: now, endedAt: null },
      ...{ nextAt: now + HELD_MS, devices: 0, matched: 0, cancelled: 0, notCancelled: 0 },
    })
    const items = found.map(({ commandId, deviceId }) => ({ commandId, deviceId, state: null }))
    if (!(await store.addItems(cancellationId, 0, null, items))) throw new Error('nothing was written down')
    const detail = JSON.stringify({ cancellation: cancellationId })
    for (const { deviceId, commandId } of items.slice(0, done)) {
      const answer = await engine.cancel(deviceId, commandId, like.createdBy, detail)
      if (!answer.ok) throw new Error(answer.message)
    }
    return cancellationId
  } finally {
    await engine.stop()
    await store.close()
  }
}
