// Searches of devices that take long, on SQLite: how much is asked in one go, and whose turn it is. Not here: what they find (store-views.test.ts).

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as loop } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  STORE_SEARCHES_WAITING_MAX,
  STORE_SEARCHES_WAITING_PER_ORGANIZATION_MAX,
  VIEW_SEARCH_DEVICES,
  VIEW_SEARCH_FIELDS,
} from '../src/core/limits.ts'
import { readMigrations } from '../src/store/migrate.ts'
import { SearchTurns } from '../src/store/search-turns.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import { closeFile, openFile } from '../src/store/sqlite-file.ts'
import { dialect } from '../src/store/sqlite-views.ts'
import { searchDevices } from '../src/store/view-questions.ts'
import { type DeviceCondition, SearchesFull } from '../src/store/views.ts'
import { deviceRow, fleetRows, ORG, T0 } from './rig/store.ts'

const FLEET = 500
const tag = (n: number): DeviceCondition => ({ op: 'label', of: 'tags', key: `k${n}`, values: ['v'] })
const name = (n: number): DeviceCondition => ({ op: 'name', locale: null, text: `zz${n}` })
const asset = (n: number): DeviceCondition => ({ op: 'in', field: 'assetId', values: [`x${n}`] })
const some = (count: number, of: (n: number) => DeviceCondition): DeviceCondition[] =>
  Array.from({ length: count }, (_, n) => of(n))
const or = (...terms: DeviceCondition[]): DeviceCondition => ({ op: 'or', terms })

describe('a search on SQLite', () => {
  let folder: string
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-turns-'))
    const store = openSqlite(join(folder, 'test.db'))
    const products = [{ productKey: 'pk1', orgId: ORG, secret: 's', modelId: null, json: '{}' }]
    await store.applyFleet(fleetRows({ organizations: [{ orgId: ORG, name: 'One' }], products }), T0)
    await store.addDevices(
      Array.from({ length: FLEET }, (_, n) => deviceRow(`a${n}`)),
      T0,
    )
    await store.close()
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  /** How many devices each of its questions was asked about that compare them, as the ranges of numbers say. */
  function partsOf(condition: DeviceCondition): number[] {
    const db = openFile(join(folder, 'test.db'), readMigrations('sqlite'))
    try {
      const parts: number[] = []
      const asking = searchDevices(dialect, ORG, 'all', condition, 0, 10)
      for (let rows: readonly (readonly unknown[])[] = []; ; ) {
        const step = asking.next(rows)
        if (step.done) return parts
        const { sql, parameters } = step.value
        const [isRange, from] = [sql.includes('d.id >= ?'), parameters[2]]
        if (isRange && sql.startsWith('select d.id from')) parts.push(Number(parameters[1]) - Math.max(1, Number(from)))
        const statement = db.prepare(sql)
        statement.setReturnArrays(true)
        rows = statement.all(...parameters)
      }
    } finally {
      closeFile(db)
    }
  }

  it.each([
    ['labels and names', or(...some(56, tag), ...some(8, name)), 64],
    ['labels', or(...some(20, tag)), 20],
    ['many fields', or(...some(VIEW_SEARCH_FIELDS + 1, asset), ...some(20, tag)), 22],
  ])('by %s looks at the fewer devices in one go the more is compared of each', (_, condition, comparisons) => {
    const parts = partsOf(condition)
    const most = Math.ceil(VIEW_SEARCH_DEVICES / comparisons)
    // Numbers are dense; the first part counts from the largest number that there may be.
    expect(parts).toHaveLength(Math.floor(FLEET / most) + 1)
    for (const part of parts.slice(1)) expect(part).toBeLessThanOrEqual(most)
    expect(parts.slice(1).reduce((sum, part) => sum + part, most)).toBeGreaterThanOrEqual(FLEET - 1)
  })

  it('by one label looks at as many as may be, and by few fields at all in one question', () => {
    expect(partsOf(tag(1))).toHaveLength(1)
    expect(partsOf(or(...some(VIEW_SEARCH_FIELDS + 1, asset)))).toHaveLength(1)
    expect(partsOf(or(...some(VIEW_SEARCH_FIELDS, asset)))).toEqual([])
  })

  it('is over before the next one begins, and what takes its turn beside it is not held up', async () => {
    const store = openSqlite(join(folder, 'test.db'))
    try {
      const ended: string[] = []
      const search = async (label: string, condition: DeviceCondition | null) => {
        await store.searchDevices(ORG, 'all', condition, 0, 1)
        ended.push(label)
      }
      const long = or(...some(56, tag), ...some(8, name))
      await Promise.all([
        search('long', long),
        search('long too', long),
        search('short', asset(1)),
        search('all', null),
      ])
      expect(ended.slice(0, 2).sort()).toEqual(['all', 'short'])
      expect(ended.slice(2)).toEqual(['long', 'long too'])
      const many = some(STORE_SEARCHES_WAITING_PER_ORGANIZATION_MAX + 2, tag)
      const results = await Promise.allSettled(many.map(one => search('one', one)))
      const refused = results.filter(result => result.status === 'rejected')
      expect(refused.map(({ reason }) => reason)).toEqual([expect.any(SearchesFull)])
    } finally {
      await store.close()
    }
  })
})

describe('turns', () => {
  it('go to one at a time, in order, whether the one before failed or not', async () => {
    const turns = new SearchTurns()
    const log: string[] = []
    const run = (label: string) =>
      turns.run(ORG, async () => {
        log.push(`begin ${label}`)
        await loop()
        log.push(`end ${label}`)
        if (label === 'b') throw new Error('no such table')
        return label
      })
    const results = await Promise.allSettled(['a', 'b', 'c'].map(run))
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(log).toEqual(['a', 'b', 'c'].flatMap(label => [`begin ${label}`, `end ${label}`]))
    expect(await run('d')).toBe('d')
  })

  it('are refused beyond what may wait, of an organization and of all, and there again afterwards', async () => {
    const turns = new SearchTurns()
    let end = (): void => undefined
    const first = turns.run('o1', () => new Promise<void>(resolve => (end = resolve)))
    const wait = (orgId: string, count: number) =>
      Array.from({ length: count }, () => turns.run(orgId, async () => orgId))
    const waiting = wait('o1', STORE_SEARCHES_WAITING_PER_ORGANIZATION_MAX)
    await expect(turns.run('o1', async () => null)).rejects.toThrow(
      /16 searches of the organization wait .*; come again/,
    )
    waiting.push(...wait('o2', STORE_SEARCHES_WAITING_MAX - waiting.length))
    await expect(turns.run('o3', async () => null)).rejects.toThrow(
      /^32 searches wait already; come again in some seconds/,
    )
    end()
    await first
    expect(await Promise.all(waiting)).toHaveLength(STORE_SEARCHES_WAITING_MAX)
    expect(await turns.run('o3', async () => 'o3')).toBe('o3')
  })
})
