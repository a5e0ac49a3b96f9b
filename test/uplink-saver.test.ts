// What devices report is saved together, and one report that cannot be saved harms no other.

import { describe, expect, it } from 'vitest'
import { SAVE_BATCH_MAX_ROWS, SAVE_QUEUE_MAX_ROWS, SAVE_ROW_CHARS } from '../src/core/limits.ts'
import type { DataChange } from '../src/store/store.ts'
import { Saver } from '../src/uplink/saver.ts'

const change = (deviceId: number): DataChange => ({ type: 'tags', deviceId, set: [], remove: [] })
const changes = (...deviceIds: number[]): DataChange[] => deviceIds.map(change)

/** A store that is done when it is told to be. */
class SlowStore {
  readonly transactions: number[][] = []
  /** devices whose changes it refuses to save */
  readonly bad = new Set<number>()
  /** devices that have too much */
  readonly full = new Set<number>()
  #finish: (() => void)[] = []

  async saveData(said: readonly DataChange[]): Promise<boolean[]> {
    const ids = said.map(({ deviceId }) => deviceId)
    this.transactions.push(ids)
    await new Promise<void>(resolve => this.#finish.push(resolve))
    const bad = ids.find(id => this.bad.has(id))
    if (bad !== undefined) throw new Error(`device ${bad} cannot be saved`)
    return ids.map(id => !this.full.has(id))
  }

  /** Ends the transaction in flight, and waits until the next one, if any, has begun. */
  async finish(): Promise<void> {
    const before = this.transactions.length
    this.#finish.shift()?.()
    for (let turn = 0; turn < 20 && this.transactions.length === before; turn += 1)
      await new Promise(resolve => setImmediate(resolve))
  }
}

function rig() {
  const store = new SlowStore()
  const warnings: object[] = []
  const log = { info: () => undefined, warn: (fields: object) => void warnings.push(fields), error: () => undefined }
  const saver = new Saver({ store, log, defer: run => void setImmediate(run) })
  return { store, saver, warnings }
}

describe('the saver', () => {
  it('saves together what came while a transaction was in flight, in order', async () => {
    const { store, saver } = rig()
    const first = saver.save(changes(1))
    const second = saver.save(changes(2))
    await store.finish()
    expect(store.transactions).toEqual([[1, 2]])
    const more = [saver.save(changes(3, 4)), saver.save(changes(5))]
    store.full.add(4)
    await store.finish()
    expect([await first, await second]).toEqual([[true], [true]])
    expect(store.transactions).toEqual([
      [1, 2],
      [3, 4, 5],
    ])
    await store.finish()
    expect(await Promise.all(more)).toEqual([[true, false], [true]])
  })

  it('saves nothing where nothing changes', async () => {
    const { store, saver } = rig()
    expect(await saver.save([])).toEqual([])
    expect(store.transactions).toEqual([])
  })

  it('tries one by one what failed together, and only the bad one fails', async () => {
    const { store, saver, warnings } = rig()
    store.bad.add(2)
    const told = Promise.allSettled([1, 2, 3].map(id => saver.save(changes(id))))
    for (let i = 0; i < 5; i += 1) await store.finish()
    expect(await told).toMatchObject([
      { status: 'fulfilled', value: [true] },
      { status: 'rejected', reason: { message: 'device 2 cannot be saved' } },
      { status: 'fulfilled', value: [true] },
    ])
    expect(store.transactions).toEqual([[1, 2, 3], [1], [2], [3]])
    expect(warnings).toHaveLength(1)
    const after = saver.save(changes(4))
    await store.finish()
    await store.finish()
    expect(await after).toEqual([true])
  })

  const points = (deviceId: number, count: number, valueJson = '1'): DataChange => ({
    type: 'measurepoints',
    deviceId,
    values: Array.from({ length: count }, (_, n) => ({ pointId: `p${n}`, valueJson, quality: null, at: 0 })),
  })
  const finishAll = async (store: SlowStore, transactions: number) => {
    for (let i = 0; i <= transactions; i += 1) await store.finish()
  }

  // A change is one row, and each of its values is one more: half a transaction of each.
  const half = SAVE_BATCH_MAX_ROWS / 2 - 1
  const labels = Array.from({ length: half }, (_, n) => [`t${n}`, 'x'] as const)
  // As long as two rows more.
  const long = 'x'.repeat(2 * SAVE_ROW_CHARS)
  const filled: [string, readonly DataChange[]][] = [
    ['values', [points(1, half)]],
    ['long values', [points(1, half / 3, long)]],
    ['attributes and tags', [{ type: 'tags', deviceId: 1, set: labels, remove: [] }]],
    ['what is removed', [{ type: 'attributes', deviceId: 1, set: [], remove: labels.map(([name]) => name) }]],
    [
      'events',
      Array.from({ length: SAVE_BATCH_MAX_ROWS / 4 }, (_, n) => ({
        ...{ type: 'event' as const, deviceId: 1, event: { eventId: `e${n}`, outputJson: '{}', at: 0 } },
      })),
    ],
    ['changes of nothing', changes(...Array.from({ length: half + 1 }, () => 1))],
  ]
  it.each(filled)('fills a transaction as far as it may, with %s, and leaves the rest to the next', async (_, said) => {
    const { store, saver } = rig()
    const told = [saver.save(said), saver.save(said), saver.save(changes(7))]
    await finishAll(store, 2)
    expect(store.transactions.map(({ length }) => length)).toEqual([2 * said.length, 1])
    expect((await Promise.all(told)).map(applied => applied?.length)).toEqual([said.length, said.length, 1])
  })

  it('keeps a request whole, however large', async () => {
    const { store, saver } = rig()
    const many = [points(2, SAVE_BATCH_MAX_ROWS), points(3, SAVE_BATCH_MAX_ROWS)]
    const told = [saver.save(changes(1)), saver.save(many), saver.save(changes(4))]
    await finishAll(store, 3)
    expect(store.transactions).toEqual([[1], [2, 3], [4]])
    expect(await Promise.all(told)).toEqual([[true], [true, true], [true]])
  })

  it('gives the loop a turn between two transactions', async () => {
    const turns: string[] = []
    const store = {
      async saveData(said: readonly DataChange[]) {
        turns.push('transaction')
        return said.map(() => true)
      },
    }
    const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
    const saver = new Saver({ store, log, defer: run => void setImmediate(run) })
    const told = Promise.all([1, 2, 3].map(id => saver.save([points(id, SAVE_BATCH_MAX_ROWS)])))
    let isDone = false
    const loop = () => {
      if (isDone) return
      turns.push('turn')
      setImmediate(loop)
    }
    setImmediate(loop)
    await told
    isDone = true
    expect(turns.join(' ').replace(/(turn )+/g, 'turn ')).toMatch(
      /^(turn )?transaction turn transaction turn transaction/,
    )
  })

  it('takes no more than may wait, and takes again when that is done', async () => {
    const { store, saver } = rig()
    const many = [points(1, SAVE_QUEUE_MAX_ROWS - 2)]
    const told = saver.save(many)
    const last = saver.save(changes(2))
    expect(await saver.save(changes(3))).toBeNull()
    await finishAll(store, 2)
    expect(await Promise.all([told, last])).toEqual([[true], [true]])
    const after = saver.save(many)
    await finishAll(store, 1)
    expect(await after).toEqual([true])
  })

  it('counts a request that failed no longer', async () => {
    const { store, saver } = rig()
    store.bad.add(1)
    const told = Promise.allSettled([saver.save([points(1, SAVE_QUEUE_MAX_ROWS - 1)])])
    await finishAll(store, 1)
    expect(await told).toMatchObject([{ status: 'rejected' }])
    const after = saver.save([points(2, SAVE_QUEUE_MAX_ROWS - 1)])
    await finishAll(store, 1)
    expect(await after).toEqual([true])
  })
})
