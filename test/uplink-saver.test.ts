// What devices report is saved together, and one report that cannot be saved harms no other.

import { describe, expect, it } from 'vitest'
import { SAVE_BATCH_MAX_CHANGES, SAVE_QUEUE_MAX_CHANGES } from '../src/core/limits.ts'
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

  it('keeps a request whole, however large, and a transaction small where it can', async () => {
    const { store, saver } = rig()
    const many = changes(...Array.from({ length: SAVE_BATCH_MAX_CHANGES + 1 }, (_, i) => i))
    const told = [saver.save(changes(1)), saver.save(many), saver.save(changes(2))]
    for (let i = 0; i < 4; i += 1) await store.finish()
    expect(store.transactions.map(({ length }) => length)).toEqual([1, many.length, 1])
    expect((await Promise.all(told)).map(applied => applied?.length)).toEqual([1, many.length, 1])
  })

  it('takes no more than may wait, and takes again when that is done', async () => {
    const { store, saver } = rig()
    const many = changes(...Array.from({ length: SAVE_QUEUE_MAX_CHANGES }, (_, i) => i))
    const told = saver.save(many)
    expect(await saver.save(changes(1))).toBeNull()
    await store.finish()
    await store.finish()
    expect((await told)?.length).toBe(SAVE_QUEUE_MAX_CHANGES)
    const after = saver.save(changes(1))
    await store.finish()
    await store.finish()
    expect(await after).toEqual([true])
  })
})
